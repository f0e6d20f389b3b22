"""What a normal polar map looks like, cell by cell, and for whom.

Normal limits hold for one sex, tracer, camera, position, state and correction state, one sampling method and one
way of scaling; maps of any other kind are refused rather than compared. Deviation is the mean absolute one, and
the usual threshold lies three of them below the mean (Slomka et al., J Nucl Cardiol 2005;12:66; for a Gaussian
that is 2.394 standard deviations).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from myoscope.core.errors import GeometryMismatch, InvalidValue, UnitMismatch
from myoscope.core.geometry import FloatArray, frozen
from myoscope.core.polar_map import PolarMap, Weighting


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class NormalLimits:
    """Mean, mean absolute deviation and threshold of normal polar maps, each of shape (ring, angle).

    ``n`` normal studies made them. ``sex``, ``tracer``, ``camera``, ``position``, ``state`` say for whom and how
    acquired (``any`` where it does not matter), ``corrected`` whether attenuation was corrected, ``unit`` and
    ``method`` how the maps were scaled and sampled, ``weighting`` how their cells count in a sum. ``provenance``
    names the cohort, its hash and the seed. A cell is abnormal where a map lies below ``threshold``.
    """

    mean: FloatArray
    deviation: FloatArray
    threshold: FloatArray
    n: int
    sex: str
    tracer: str
    camera: str
    position: str
    state: str
    corrected: bool
    unit: str
    method: str
    weighting: Weighting
    provenance: str

    def __post_init__(self) -> None:
        mean = frozen(self.mean, np.float64)
        if mean.ndim != 2 or min(mean.shape) < 2:
            raise InvalidValue(f"normal limits have axes (ring, angle), got shape {mean.shape}")
        for name in ("mean", "deviation", "threshold"):
            value = frozen(getattr(self, name), np.float64)
            if value.shape != mean.shape:
                raise InvalidValue(f"{name} of shape {value.shape} does not fit a mean of shape {mean.shape}")
            if not np.isfinite(value).all():
                raise InvalidValue(f"{name} of normal limits is a number in every cell")
            object.__setattr__(self, name, value)
        if not (self.deviation > 0).all():
            raise InvalidValue("normal studies differ: a deviation of zero or less means too few or copied studies")
        if not (self.threshold < self.mean).all():
            raise InvalidValue("the threshold of normal limits lies below their mean in every cell")
        if self.n < 2:
            raise InvalidValue(f"normal limits need at least 2 normal studies, got {self.n}")
        for name in ("sex", "tracer", "camera", "position", "state", "unit", "method", "provenance"):
            if not getattr(self, name):
                raise InvalidValue(f"normal limits state their {name} ('any' where it does not matter)")
        if self.weighting not in ("sample", "display", "surface"):
            raise InvalidValue(f"weighting is sample, display or surface, not {self.weighting!r}")

    @property
    def shape(self) -> tuple[int, int]:
        """Rings and angles."""
        return int(self.mean.shape[0]), int(self.mean.shape[1])

    def require(self, polar_map: PolarMap) -> None:
        """Refuse a map that these limits say nothing about.

        Raises
        ------
        GeometryMismatch
            Another number of rings or angles.
        UnitMismatch
            Another scale (counts are not per cent of the maximum).
        InvalidValue
            Another sampling method.
        """
        if polar_map.value.shape != self.shape:
            rings, angles = polar_map.value.shape
            raise GeometryMismatch(
                f"the polar map has {rings} rings x {angles} angles, the normal limits "
                f"{self.shape[0]} x {self.shape[1]}; sample it with as many"
            )
        if polar_map.unit != self.unit:
            raise UnitMismatch(
                f"the polar map is in {polar_map.unit}, the normal limits in {self.unit} "
                "(was the map scaled to its maximum first?)"
            )
        if polar_map.method != self.method:
            raise InvalidValue(f"the polar map was sampled by {polar_map.method}, the normal limits by {self.method}")

    def mismatches(
        self, *, sex: str, tracer: str, camera: str, position: str, state: str, corrected: bool
    ) -> tuple[str, ...]:
        """One sentence for each way in which a study is not the kind these limits are for; empty if it is."""
        pairs = {"sex": sex, "tracer": tracer, "camera": camera, "position": position, "state": state}
        found = [
            f"the limits are for {name} {getattr(self, name)}, the study has {value}"
            for name, value in pairs.items()
            if getattr(self, name) not in ("any", value)
        ]
        if corrected != self.corrected:
            ours, theirs = ("with", "without") if self.corrected else ("without", "with")
            found.append(f"the limits are for images {ours} attenuation correction, the study is {theirs} it")
        return tuple(found)

    def __repr__(self) -> str:
        correction = "AC" if self.corrected else "NAC"
        kind = f"{self.sex}, {self.tracer}, {self.camera}, {self.position}, {self.state}, {correction}"
        spread = f"mean {self.mean.mean():.3g}, deviation {self.deviation.mean():.3g} {self.unit}"
        return f"NormalLimits(n = {self.n}; {kind}; {self.shape[0]} rings x {self.shape[1]} angles, {spread})"
