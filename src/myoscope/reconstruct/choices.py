"""Choices about reconstruction as they are said on a command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

from myoscope.core import InvalidValue
from myoscope.reconstruct.filters import Butterworth, ButterworthForm, Filter, FrequencyUnit, Gaussian, Hann
from myoscope.reconstruct.from_projections import ReconstructionSettings


def settings_from_words(choices: Sequence[str]) -> ReconstructionSettings:
    """Settings from words like ``method=osem``, ``iterations=6``, ``subsets=10``, ``response=off``, ``radius-mm=230``.

    ``filter`` is ``none``, ``gaussian:FWHM_MM``, ``hann:CUTOFF:UNIT`` or ``butterworth:ORDER:CUTOFF:UNIT:FORM``, where
    the unit is ``cycles/pixel``, ``cycles/cm`` or ``Nyquist`` and the form ``amplitude`` or ``power``: programs differ
    in what they mean by both, so neither is assumed. What is not said is as usual.

    Raises
    ------
    InvalidValue
        If there is no such choice or value.
    """
    given: dict[str, Any] = {}
    for words in choices:
        name, equals, value = words.partition("=")
        if not equals or name not in _CHOICES:
            known = ", ".join(_CHOICES)
            raise InvalidValue(f"a choice about reconstruction is NAME=VALUE with one of {known}, not {words!r}")
        field, read = _CHOICES[name]
        given[field] = read(name, value)
    return replace(ReconstructionSettings(), **given)


def _one_of(*known: str) -> Callable[[str, str], str]:
    def read(name: str, value: str) -> str:
        if value not in known:
            raise InvalidValue(f"{name} is {', '.join(known)}, not {value!r}")
        return value

    return read


def _whole(name: str, value: str) -> int:
    if not value.isdecimal():
        raise InvalidValue(f"{name} is a whole number, not {value!r}")
    return int(value)


def _number(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise InvalidValue(f"{name} is a number, not {value!r}") from None


def _filter(name: str, value: str) -> Filter | str:
    kind, *parts = value.split(":")
    units, forms = get_args(FrequencyUnit), get_args(ButterworthForm)
    if kind == "none" and not parts:
        return "none"
    if kind == "gaussian" and len(parts) == 1:
        return Gaussian(_number(name, parts[0]))
    if kind == "hann" and len(parts) == 2 and parts[1] in units:
        return Hann(_number(name, parts[0]), parts[1])  # type: ignore[arg-type]
    if kind == "butterworth" and len(parts) == 4 and parts[2] in units and parts[3] in forms:
        return Butterworth(_number(name, parts[0]), _number(name, parts[1]), parts[2], parts[3])  # type: ignore[arg-type]
    raise InvalidValue(
        f"{name} is none, gaussian:FWHM_MM, hann:CUTOFF:UNIT or butterworth:ORDER:CUTOFF:UNIT:FORM "
        f"(unit {', '.join(units)}; form {', '.join(forms)}), not {value!r}"
    )


_CHOICES: Mapping[str, tuple[str, Callable[[str, str], Any]]] = {
    "method": ("method", _one_of("auto", "fbp", "mlem", "osem")),
    "iterations": ("iterations", _whole),
    "subsets": ("subsets", _whole),
    "response": ("response", _one_of("auto", "off")),
    "filter": ("post_filter", _filter),
    "median-prior": ("median_prior", _number),
    "radius-mm": ("radius_mm", _number),
}
