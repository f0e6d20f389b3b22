"""Blood flow of one study: maps, numbers with intervals, the curves behind them, and what was done to get them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from myoscope.core.errors import InvalidValue
from myoscope.core.geometry import FloatArray, frozen
from myoscope.core.polar_map import PolarMap
from myoscope.core.study import Flag


@dataclass(frozen=True, slots=True)
class RegionValue:
    """A number of one region (segment, territory or the whole ventricle) with its 95 % interval.

    ``value`` is None exactly when ``reason`` says why.
    """

    region: str
    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        if (self.value is None) != bool(self.reason):
            raise InvalidValue(f"{self.region}: a missing value has a reason, a value has none")


@dataclass(frozen=True, eq=False, slots=True)
class FlowCurves:
    """Curves of blood and of regions of the wall over the frames, in the image's unit.

    ``start_s`` and ``duration_s`` (frame,); ``left`` and ``right`` (frame,) the blood of the ventricles (NaN where the
    right one was not seen); ``measured`` and ``fitted`` (region, frame) for the regions named.
    """

    start_s: FloatArray
    duration_s: FloatArray
    left: FloatArray
    right: FloatArray
    regions: tuple[str, ...]
    measured: FloatArray
    fitted: FloatArray
    unit: str

    def __post_init__(self) -> None:
        n = len(self.start_s)
        shapes = {
            "start_s": (n,),
            "duration_s": (n,),
            "left": (n,),
            "right": (n,),
            "measured": (len(self.regions), n),
            "fitted": (len(self.regions), n),
        }
        for name, shape in shapes.items():
            value = frozen(getattr(self, name), np.float64)
            if value.shape != shape:
                raise InvalidValue(f"{name} of these curves has shape {shape}, got {value.shape}")
            object.__setattr__(self, name, value)


@dataclass(frozen=True, slots=True)
class CurveFit:
    """How well a model fits one region's curve, and how well that curve tells its flow.

    ``unexplained_percent`` of the curve's variance is left over. ``correlation`` is that of the errors of flow and of
    ``hangs_on``, the parameter it is told apart from least. ``profile_low_mL_min_g`` and ``profile_high_mL_min_g`` are
    the flows at which the fit becomes worse than noise explains, all else refitted; None where that is nowhere near, or
    the model has no profile. ``at_bound`` names parameters that ended on a bound.
    """

    region: str
    unexplained_percent: float | None = None
    hangs_on: str = ""
    correlation: float | None = None
    profile_low_mL_min_g: float | None = None
    profile_high_mL_min_g: float | None = None
    at_bound: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class FlowResult:
    """Myocardial blood flow of one dynamic series, mL/min/g.

    ``flow`` and ``error`` (its standard error) are polar maps, NaN where the fit failed; ``parameters`` holds maps of
    what was fitted along with it, by name (k1, k2, v_lv, ...). ``segments`` are the 17 segments in order, ``vessels``
    the three territories, ``whole`` the ventricle. ``shifts_mm`` (frame, 3) is how far the heart lay from its place in
    the late image, ``shift_fit`` (frame,) how well each frame fitted, ``shift_kind`` what it shows. ``failed`` counts
    cells by the reason why they have no flow. ``settings`` says in words how it was done; ``fits`` how well the curves
    of the territories and of the ventricle tell their flow.
    """

    tracer: str
    model: str
    flow: PolarMap
    error: PolarMap
    parameters: Mapping[str, PolarMap]
    segments: tuple[RegionValue, ...]
    vessels: tuple[RegionValue, ...]
    whole: RegionValue
    curves: FlowCurves
    shifts_mm: FloatArray
    shift_kind: tuple[str, ...]
    shift_fit: FloatArray
    failed: Mapping[str, int] = field(default_factory=dict)
    flags: tuple[Flag, ...] = ()
    settings: tuple[str, ...] = ()
    fits: tuple[CurveFit, ...] = ()

    def __post_init__(self) -> None:
        if self.flow.unit != "mL/min/g" or self.error.unit != "mL/min/g":
            raise InvalidValue(f"flow is in mL/min/g, these maps are in {self.flow.unit} and {self.error.unit}")
        object.__setattr__(self, "shifts_mm", frozen(self.shifts_mm, np.float64))
        object.__setattr__(self, "shift_fit", frozen(self.shift_fit, np.float64))
        object.__setattr__(self, "parameters", dict(self.parameters))
        object.__setattr__(self, "failed", dict(self.failed))


@dataclass(frozen=True, eq=False, slots=True)
class ReserveResult:
    """Stress over rest: the ratio of two flow maps, and what follows from both.

    ``reserve`` is the map of the ratio; ``capacity`` (ring, angle) the class of coronary flow capacity of each cell as
    an index into ``capacity_names``, -1 where unknown, ``capacity_share`` the share of the wall in each class.
    ``corrected`` is the reserve with rest flow scaled to a reference rate-pressure product, where that product is
    known; ``corrected_rest`` is that flow, of the three territories and the ventricle, ``corrected_vessels`` are the
    reserves of the territories with it. ``relative`` is stress flow of each segment over that of the best-perfused
    territory. ``capacity_source`` says whose limits between the classes are.
    """

    reserve: PolarMap
    segments: tuple[RegionValue, ...]
    vessels: tuple[RegionValue, ...]
    whole: RegionValue
    corrected: RegionValue
    relative: tuple[RegionValue, ...]
    capacity: FloatArray
    capacity_names: tuple[str, ...]
    capacity_share: FloatArray
    capacity_source: str
    flags: tuple[Flag, ...] = ()
    corrected_rest: tuple[RegionValue, ...] = ()
    corrected_vessels: tuple[RegionValue, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "capacity", frozen(self.capacity, np.int16))
        object.__setattr__(self, "capacity_share", frozen(self.capacity_share, np.float64))
        if len(self.capacity_share) != len(self.capacity_names):
            raise InvalidValue("every class of flow capacity has a share of the wall")
