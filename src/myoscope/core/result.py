"""What an analysis found: numbers with their unit and interval, flags, and what could not be done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from myoscope.core.errors import InvalidValue
from myoscope.core.geometry import CardiacFrame
from myoscope.core.polar_map import PolarMap
from myoscope.core.study import Flag, Series
from myoscope.core.surfaces import Surfaces
from myoscope.core.volume import Volume


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its unit, its 95 % interval where one is known, and the reason where there is none.

    ``value`` is None exactly when ``reason`` says why.
    """

    name: str
    value: float | None
    unit: str
    low: float | None = None
    high: float | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        if (self.value is None) != bool(self.reason):
            raise InvalidValue(f"{self.name}: a missing value has a reason, a value has none")
        if self.value is not None and self.value != self.value:
            raise InvalidValue(f"{self.name}: NaN is not a result; leave the value out and give the reason")

    def __str__(self) -> str:
        if self.value is None:
            return f"not available: {self.reason}"
        interval = f" ({self.low:.4g} to {self.high:.4g})" if self.low is not None and self.high is not None else ""
        return f"{self.value:.4g}{interval} {self.unit}"


@dataclass(frozen=True, eq=False, slots=True)
class HeartResult:
    """The left ventricle of one image: where it is, its wall twice over, its polar map.

    ``wall`` is the mask as readers outline it, on the image's own grid (dtype bool); ``surfaces`` the
    anatomical wall; the two are not the same thing. ``short_axis`` is the reoriented image. ``polar_map``
    holds counts. ``finder`` names the method that was used; ``agreement`` holds what the other one said.
    """

    frame: CardiacFrame
    wall: Volume
    surfaces: Surfaces
    short_axis: Volume
    polar_map: PolarMap
    finder: str
    quantities: tuple[Quantity, ...] = ()
    flags: tuple[Flag, ...] = ()
    agreement: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, slots=True)
class SeriesResult:
    """One series and what came of it: a heart, or the reasons why there is none.

    ``used_for`` says what a series without a heart of its own served for: projections that were reconstructed, a map
    that corrected others.
    """

    series: Series
    heart: HeartResult | None
    flags: tuple[Flag, ...] = ()
    not_done: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    used_for: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class StudyResult:
    """Everything an analysis found about one study, and what it could not do and why.

    ``skipped`` has one sentence for each input file that was left out, naming it, for the terminal; ``left_out`` the
    same without names, for what is written.
    """

    series: tuple[SeriesResult, ...]
    flags: tuple[Flag, ...] = ()
    skipped: tuple[str, ...] = ()
    software: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every series gave a heart or served one, and no file was left out."""
        done = ((s.heart is not None or bool(s.used_for)) and not s.not_done for s in self.series)
        hearts = not self.series or any(s.heart is not None for s in self.series)
        return not self.skipped and hearts and all(done)
