"""The axes of a small diagram: where values lie in the drawing, and where the ticks stand."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tick:
    """A number beside an axis, at ``at`` along it in units of the drawing."""

    text: str
    at: float


@dataclass(frozen=True, slots=True)
class Frame:
    """A drawing of ``width`` x ``height`` units with margins around the diagram."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float

    def x(self, share: float) -> float:
        """Across, from the left (0) to the right (1) end of the axis."""
        return self.left + (self.width - self.left - self.right) * share

    def y(self, share: float) -> float:
        """Upwards, from the lower (0) to the upper (1) end of the axis."""
        return self.height - self.bottom - (self.height - self.top - self.bottom) * share


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis from 0 to ``top`` with a tick at every ``step``."""

    top: float
    step: float

    def ticks(self, frame: Frame) -> tuple[Tick, ...]:
        """Ticks of the upward axis."""
        n = round(self.top / self.step)
        return tuple(Tick(f"{self.step * k:g}", frame.y(k / n)) for k in range(n + 1))


def scale_for(highest: float) -> Scale:
    """An axis that holds ``highest`` (positive) with three to six ticks at multiples of 1, 2 or 5."""
    rough = highest / 4.5
    power = 10 ** math.floor(math.log10(rough))
    step = float(next(step for step in (power, 2 * power, 5 * power, 10 * power) if step >= rough))
    return Scale(step * math.ceil(1.02 * highest / step), step)
