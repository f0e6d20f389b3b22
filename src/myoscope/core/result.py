"""What an analysis found: numbers with their unit and interval, flags, and what could not be done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from myoscope.core.errors import InvalidValue
from myoscope.core.flow import FlowResult, ReserveResult
from myoscope.core.geometry import CardiacFrame, FloatArray, frozen
from myoscope.core.limits import StudyKind
from myoscope.core.model_report import ModelReport
from myoscope.core.polar_map import PolarMap
from myoscope.core.study import Flag, Series
from myoscope.core.surfaces import Surfaces
from myoscope.core.volume import Projections, Volume


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its unit, its 95 % interval where one is known, and the reason where there is none.

    ``value`` is None exactly when ``reason`` says why. ``group`` is the table it belongs to: ``image``, ``perfusion``,
    ``function``, ``phase``, ``shape``, ``change`` or ``flow``. ``abnormal`` says on which side of its limit it lies,
    None where there is no limit; ``limit`` gives the limit in words with its source. ``interval_of`` says what the
    interval leaves out, empty where it covers everything that is known to matter.
    """

    name: str
    value: float | None
    unit: str
    low: float | None = None
    high: float | None = None
    reason: str = ""
    group: str = "image"
    abnormal: bool | None = None
    limit: str = ""
    interval_of: str = ""

    def __post_init__(self) -> None:
        if (self.value is None) != bool(self.reason):
            raise InvalidValue(f"{self.name}: a missing value has a reason, a value has none")
        if self.value is not None and self.value != self.value:
            raise InvalidValue(f"{self.name}: NaN is not a result; leave the value out and give the reason")
        if (self.low is None) != (self.high is None):
            raise InvalidValue(f"{self.name}: an interval has both ends or is left out")
        if self.group not in QUANTITY_GROUPS:
            raise InvalidValue(f"{self.name}: there is no table {self.group!r}")

    def __str__(self) -> str:
        if self.value is None:
            return f"not available: {self.reason}"
        interval = f" ({self.low:.4g} to {self.high:.4g})" if self.low is not None and self.high is not None else ""
        return f"{self.value:.4g}{interval} {self.unit}"


QUANTITY_GROUPS = ("image", "perfusion", "function", "phase", "shape", "change", "flow")
MAP_MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        "relative": "counts at the level of the normal limits",
        "blackout": "the same with abnormal places at 0",
        "severity": "how far below the normal mean, in deviations of normal studies; 0 where normal",
        "motion": "inward motion of the endocardium, end diastole to end systole",
        "thickening": "gain of thickness from end diastole to end systole, by the fitted surfaces",
        "thickening_counts": "gain of thickness from end diastole to end systole, by counts corrected for resolution",
        "phase": "phase of the first harmonic of counts over the beat, from the R wave, where the wall moves",
        "phase_counted": "the phases that statistics count, off the valve plane",
        "amplitude": "amplitude of the first harmonic of counts, of their mean",
        "motion_frozen": "counts with the beat frozen",
        "reversibility": "what the stress deficit loses at rest, percent of normal",
        "change": "stress counts over those of the rest image laid upon it, less one",
        "flow": "myocardial blood flow",
        "flow_error": "standard error of myocardial blood flow, of the fit alone",
        "uptake": "uptake rate K1 per mL of muscle",
        "washout": "washout rate k2",
        "trapping": "rate k3 from the first tissue compartment into the second",
        "release": "rate k4 from the second tissue compartment back into the first",
        "left_blood": "share of left ventricular blood in what was sampled",
        "right_blood": "share of right ventricular blood in what was sampled",
        "tissue_share": "share of what was sampled that is perfusable tissue",
        "reserve": "stress flow over flow at rest",
        "capacity": "class of coronary flow capacity, 0 the best",
    }
)
"""The polar maps that an analysis may add to the counts, and what each means."""


@dataclass(frozen=True, eq=False, slots=True)
class VolumeCurve:
    """Cavity volume over one R-R interval.

    ``gate_mL`` (gate,) are the volumes of the gates, each standing for the middle of its time; ``time`` (point,) runs
    from 0 (R wave) to 1 and ``volume_mL`` (point,) is the continuous curve. ``rr_ms`` is the R-R interval, None if
    unknown.
    """

    gate_mL: FloatArray
    time: FloatArray
    volume_mL: FloatArray
    rr_ms: float | None = None

    def __post_init__(self) -> None:
        for name in ("gate_mL", "time", "volume_mL"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.float64))
        if self.time.shape != self.volume_mL.shape or self.gate_mL.ndim != 1:
            raise InvalidValue("a volume curve has a volume for each of its times")


@dataclass(frozen=True, slots=True)
class LimitsUsed:
    """Which normal limits a heart was compared with: for whom, from how many studies of which cohort, by whom."""

    kind: StudyKind
    n: int
    provenance: str
    sha256: str
    signed_by: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class HeartResult:
    """The left ventricle of one image: where it is, its wall twice over, its polar map, and what was measured on it.

    ``wall`` is the mask as readers outline it, on the image's own grid (dtype bool); ``surfaces`` the
    anatomical wall; the two are not the same thing. ``short_axis`` is the reoriented image. ``polar_map``
    holds counts, ``maps`` further polar maps by the names of `MAP_MEANINGS`. ``finder`` names the method that was used;
    ``agreement`` holds what the other one said. ``limits`` are the normal limits of the perfusion figures, None where
    none fit (``no_limits`` says why). ``segment_scores`` (17,) and ``segment_scores_20`` (20,) run from 0 to 4;
    ``by_segment`` holds further figures of the 17 segments, their unit in the name, NaN where there is none. ``curve``
    belongs to gated images, ``flow`` to dynamic ones.
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
    maps: Mapping[str, PolarMap] = field(default_factory=dict)
    limits: LimitsUsed | None = None
    no_limits: tuple[str, ...] = ()
    segment_scores: FloatArray | None = None
    segment_scores_20: FloatArray | None = None
    by_segment: Mapping[str, FloatArray] = field(default_factory=dict)
    curve: VolumeCurve | None = None
    flow: FlowResult | None = None

    def __post_init__(self) -> None:
        unknown = set(self.maps) - set(MAP_MEANINGS)
        if unknown:
            raise InvalidValue(f"there is no meaning to the maps {', '.join(sorted(unknown))}")
        for name, n in (("segment_scores", 17), ("segment_scores_20", 20)):
            scores = getattr(self, name)
            if scores is not None:
                scores = frozen(scores, np.float64)
                if scores.shape != (n,):
                    raise InvalidValue(f"{name} has one score for each of {n} segments")
                object.__setattr__(self, name, scores)
        for name, values in self.by_segment.items():
            if np.shape(values) != (17,):
                raise InvalidValue(f"{name} has one figure for each of 17 segments")

    def quantity(self, name: str) -> Quantity | None:
        """The quantity of this name, None if it was not asked for."""
        return next((q for q in self.quantities if q.name == name), None)


@dataclass(frozen=True, eq=False, slots=True)
class SeriesResult:
    """One series and what came of it: a heart, or the reasons why there is none.

    ``used_for`` says what a series without a heart of its own served for: projections that were reconstructed, a map
    that corrected others. ``moved_back`` are its projections with the patient's movement undone, where there was any.
    """

    series: Series
    heart: HeartResult | None
    flags: tuple[Flag, ...] = ()
    not_done: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    used_for: str = ""
    moved_back: Projections | None = None


@dataclass(frozen=True, eq=False, slots=True)
class PairResult:
    """What a stress and a rest image say together. ``stress`` and ``rest`` are the names of the two series, ``reserve``
    compares their blood flow where both are dynamic."""

    stress: str
    rest: str
    quantities: tuple[Quantity, ...] = ()
    maps: Mapping[str, PolarMap] = field(default_factory=dict)
    flags: tuple[Flag, ...] = ()
    segment_scores: FloatArray | None = None
    segment_scores_20: FloatArray | None = None
    reserve: ReserveResult | None = None

    def quantity(self, name: str) -> Quantity | None:
        """The quantity of this name, None if it was not asked for."""
        return next((q for q in self.quantities if q.name == name), None)


@dataclass(frozen=True, eq=False, slots=True)
class StudyResult:
    """Everything an analysis found about one study, and what it could not do and why.

    ``pairs`` compare stress with rest, ``summary`` says in sentences what was measured, in the order of an ASNC report.
    ``models`` is what trained models say of it; ``models_silent`` has one sentence for each that says nothing.
    ``skipped`` has one sentence for each input file that was left out, naming it, for the terminal; ``left_out`` the
    same without names, for what is written.
    """

    series: tuple[SeriesResult, ...]
    flags: tuple[Flag, ...] = ()
    skipped: tuple[str, ...] = ()
    software: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    pairs: tuple[PairResult, ...] = ()
    summary: tuple[str, ...] = ()
    models: tuple[ModelReport, ...] = ()
    models_silent: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every series gave a heart or served one, and no file was left out."""
        done = ((s.heart is not None or bool(s.used_for)) and not s.not_done for s in self.series)
        hearts = not self.series or any(s.heart is not None for s in self.series)
        return not self.skipped and hearts and all(done)
