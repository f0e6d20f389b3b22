"""From a baseline to a patient's answer, step by step: the parts of a waterfall plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from myoscope.core import InvalidValue


@dataclass(frozen=True, slots=True)
class Step:
    """One contribution: what, its value in the patient in words, and where the bar begins and ends."""

    name: str
    shown: str
    start: float
    end: float

    @property
    def contribution(self) -> float:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Waterfall:
    """Contributions from the largest to the smallest, between the baseline's answer and the patient's."""

    target: str
    baseline: float
    total: float
    steps: tuple[Step, ...]


def waterfall(
    names: Sequence[str],
    contributions: Sequence[float],
    *,
    baseline: float,
    target: str,
    shown: Sequence[str] | None = None,
    most: int = 10,
) -> Waterfall:
    """Order contributions by size; all beyond ``most`` are put together as "others".

    Raises
    ------
    InvalidValue
        Names and contributions that do not fit.
    """
    words = list(shown) if shown is not None else [""] * len(names)
    if not len(names) == len(contributions) == len(words) or not names:
        raise InvalidValue(f"{len(names)} names, {len(contributions)} contributions and {len(words)} values differ")
    order = sorted(range(len(names)), key=lambda n: -abs(contributions[n]))
    parts = [(names[n], words[n], float(contributions[n])) for n in order]
    if len(parts) > most:
        rest = parts[most - 1 :]
        parts = [*parts[: most - 1], (f"{len(rest)} others", "", sum(part[2] for part in rest))]
    steps, level = [], baseline
    for name, value, contribution in parts:
        steps.append(Step(name, value, level, level + contribution))
        level += contribution
    return Waterfall(target, baseline, level, tuple(steps))
