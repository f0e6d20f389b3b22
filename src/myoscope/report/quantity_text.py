"""How a quantity is read: as many digits as mean something, the unit, the interval, and on which side of its limit."""

from __future__ import annotations

import math
from dataclasses import dataclass

from myoscope.core import Quantity

MISSING_TEXT, MINUS = "—", "\u2212"
_NO_UNIT = ("1", "", "score", "points")


@dataclass(frozen=True, slots=True)
class Told:
    """One number as it stands on the page.

    ``text`` holds value and unit, ``interval`` its 95 % interval without unit; ``verdict`` is ``abnormal``, ``normal``,
    or empty where there is no limit. ``reason`` says why a value is missing, ``leaves_out`` what its interval lacks.
    """

    name: str
    text: str
    interval: str = ""
    verdict: str = ""
    limit: str = ""
    reason: str = ""
    leaves_out: str = ""


def tell(quantity: Quantity, name: str = "") -> Told:
    """The quantity as it is read, under its own name or another."""
    verdict = "" if quantity.abnormal is None else "abnormal" if quantity.abnormal else "normal"
    interval = format_interval(quantity)
    return Told(
        name=name or quantity.name,
        text=format_quantity(quantity),
        interval=interval,
        verdict=verdict if quantity.value is not None else "",
        limit=quantity.limit,
        reason=quantity.reason,
        leaves_out=quantity.interval_of if interval else "",
    )


def format_quantity(quantity: Quantity) -> str:
    """The number with its unit, or a dash."""
    if quantity.value is None:
        return MISSING_TEXT
    number = _rounded(quantity.value, decimals(quantity.value, quantity.unit))
    if quantity.unit in _NO_UNIT:
        return number
    return f"{number}°" if quantity.unit == "deg" else f"{number} {quantity.unit}"


def format_interval(quantity: Quantity) -> str:
    """The 95 % interval with as many decimals as the value, or nothing."""
    if quantity.value is None or quantity.low is None or quantity.high is None:
        return ""
    n = decimals(quantity.value, quantity.unit)
    return f"{_rounded(quantity.low, n)} to {_rounded(quantity.high, n)}"


def decimals(value: float, unit: str) -> int:
    """Digits behind the point: limits of percentages lie at 2, 3 and 5 %, so small ones keep one."""
    size = abs(value)
    if unit == "%":
        return 1 if size < 9.95 else 0
    if unit in ("mL", "ms"):
        return 0
    if unit in ("mm", "deg", "deviations"):
        return 1
    if float(value).is_integer() and unit in _NO_UNIT:
        return 0
    if size < 1:
        return 2
    return max(0, 2 - math.floor(math.log10(size)))


def _rounded(value: float, n: int) -> str:
    text = f"{value:.{n}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", MINUS)
