"""What a normal polar map looks like, cell by cell, and for whom.

Normal limits hold for one kind of study (sex, tracer, camera, position, state, correction, processing) and one way of
sampling; maps of any other kind are refused rather than compared. Deviation is the mean absolute one, and the usual
threshold lies three of them below the mean (Slomka et al., J Nucl Cardiol 2005;12:66; Nishina et al., J Nucl Med
2006;47:51; for a Gaussian that is 2.394 standard deviations).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from myoscope.core.errors import GeometryMismatch, InvalidValue, UnitMismatch
from myoscope.core.geometry import FloatArray, frozen
from myoscope.core.polar_map import PolarMap, Weighting

ANY = "any"
AS_STORED = "as stored"
"""``processing`` of images that somebody else reconstructed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyKind:
    """What decides how a normal map looks: who, what was injected, and how the image came about.

    ``sex`` F or M; ``corrected`` whether attenuation was corrected; ``processing`` how projections became the image,
    ``as stored`` where it came reconstructed. ``any`` stands where something does not matter.
    """

    sex: str
    tracer: str
    camera: str
    position: str
    state: str
    corrected: bool
    processing: str = AS_STORED

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name != "corrected" and not getattr(self, field.name):
                raise InvalidValue(f"a kind of study states its {field.name} ('{ANY}' where it does not matter)")

    def differences(self, other: StudyKind) -> tuple[str, ...]:
        """One sentence for each way in which ``other`` is not of this kind; empty if it is."""
        found = [
            f"the limits are for {field.name} {mine}, the study has {theirs}"
            for field in fields(self)
            if field.name != "corrected"
            and (mine := getattr(self, field.name)) not in (ANY, theirs := getattr(other, field.name))
        ]
        if self.corrected != other.corrected:
            ours, theirs = ("with", "without") if self.corrected else ("without", "with")
            found.append(f"the limits are for images {ours} attenuation correction, the study is {theirs} it")
        return tuple(found)

    def __str__(self) -> str:
        correction = "AC" if self.corrected else "NC"
        words = (self.sex, self.tracer, self.camera, self.position, self.state, correction, self.processing)
        return ", ".join(words)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class NormalLimits:
    """Mean, mean absolute deviation and threshold of normal polar maps, each of shape (ring, angle).

    ``n`` normal studies of one ``kind`` made them. ``unit`` and ``method`` say how the maps were scaled and sampled,
    ``area_mm2`` (ring, angle) is the mean area of a cell, ``provenance`` names the cohort, its hash and the seed. A
    cell is abnormal where a map lies below ``threshold``, which lies ``multiple`` deviations below the mean.
    ``modes`` (mode, 2, ring, angle) is how uncertain the limits themselves are, for want of normal studies: with z
    independent standard normal numbers, mean + sum z modes[:, 0] and deviation + sum z modes[:, 1] are limits that
    another sample of as many studies might have given. Maps are smoothed by ``smoothing_fwhm_mm`` along the wall before
    they are compared, as the normal ones were.
    """

    mean: FloatArray
    deviation: FloatArray
    area_mm2: FloatArray
    multiple: float
    n: int
    kind: StudyKind
    unit: str
    method: str
    provenance: str
    modes: FloatArray | None = None
    smoothing_fwhm_mm: float = 0.0

    def __post_init__(self) -> None:
        mean = frozen(self.mean, np.float64)
        if mean.ndim != 2 or min(mean.shape) < 2:
            raise InvalidValue(f"normal limits have axes (ring, angle), got shape {mean.shape}")
        for name in ("mean", "deviation", "area_mm2"):
            value = frozen(getattr(self, name), np.float64)
            if value.shape != mean.shape:
                raise InvalidValue(f"{name} of shape {value.shape} does not fit a mean of shape {mean.shape}")
            if not np.isfinite(value).all():
                raise InvalidValue(f"{name} of normal limits is a number in every cell")
            object.__setattr__(self, name, value)
        if not (self.deviation > 0).all():
            raise InvalidValue("normal studies differ: a deviation of zero or less means too few or copied studies")
        if not (self.area_mm2 > 0).all():
            raise InvalidValue("every cell of normal limits has a positive area in mm2")
        if not self.multiple > 0:
            raise InvalidValue(f"a threshold lies below the mean, not {self.multiple:g} deviations below it")
        if not 0 <= self.smoothing_fwhm_mm < np.inf:
            raise InvalidValue(f"maps are smoothed over a distance, not {self.smoothing_fwhm_mm:g} mm")
        if self.n < 2:
            raise InvalidValue(f"normal limits need at least 2 normal studies, got {self.n}")
        for name in ("unit", "method", "provenance"):
            if not getattr(self, name):
                raise InvalidValue(f"normal limits state their {name}")
        if self.modes is not None:
            modes = frozen(self.modes, np.float64)
            if modes.ndim != 4 or modes.shape[1:] != (2, *mean.shape) or not np.isfinite(modes).all():
                raise InvalidValue(f"modes of normal limits have axes (mode, 2, ring, angle), got {modes.shape}")
            object.__setattr__(self, "modes", modes)

    @property
    def shape(self) -> tuple[int, int]:
        """Rings and angles."""
        return int(self.mean.shape[0]), int(self.mean.shape[1])

    @property
    def threshold(self) -> FloatArray:
        """Below this a cell is abnormal; never below zero."""
        threshold: FloatArray = np.maximum(self.mean - self.multiple * self.deviation, 0.0)
        return threshold

    def drawn(self, n: int, *, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Mean and threshold, each (n, ring, angle), of limits that other normal studies might have given."""
        if self.modes is None:
            return np.repeat(self.mean[None], n, axis=0), np.repeat(self.threshold[None], n, axis=0)
        shift = np.tensordot(rng.standard_normal((n, len(self.modes))), self.modes, axes=1)
        mean = np.maximum(self.mean + shift[:, 0], 1e-6 * float(self.mean.max()))
        deviation = np.maximum(self.deviation + shift[:, 1], 0.1 * self.deviation)
        return mean, np.maximum(mean - self.multiple * deviation, 0.0)

    def weights(self, weighting: Weighting) -> FloatArray:
        """Weight of each cell of a normal wall, summing to 1; see `PolarMap.weights`."""
        ones = np.ones(self.shape)
        wall = PolarMap(ones, "1", ones, ones, self.area_mm2, self.method)  # type: ignore[arg-type]
        return wall.weights(weighting)

    def require_cells(self, polar_map: PolarMap) -> None:
        """Refuse a map whose cells are not those of the limits.

        Raises
        ------
        GeometryMismatch
            Another number of rings or angles.
        InvalidValue
            Another sampling method.
        """
        if polar_map.value.shape != self.shape:
            rings, angles = polar_map.value.shape
            raise GeometryMismatch(
                f"the polar map has {rings} rings x {angles} angles, the normal limits "
                f"{self.shape[0]} x {self.shape[1]}; sample it with as many"
            )
        if polar_map.method != self.method:
            raise InvalidValue(f"the polar map was sampled by {polar_map.method}, the normal limits by {self.method}")

    def require(self, polar_map: PolarMap) -> None:
        """Refuse a map that these limits say nothing about: other cells, or another scale.

        Raises
        ------
        GeometryMismatch, InvalidValue
            As `require_cells`.
        UnitMismatch
            Another scale (counts are not per cent of the normal maximum).
        """
        self.require_cells(polar_map)
        if polar_map.unit != self.unit:
            raise UnitMismatch(
                f"the polar map is in {polar_map.unit}, the normal limits in {self.unit} "
                "(was the map brought to their level first?)"
            )

    def require_kind(self, kind: StudyKind) -> None:
        """Refuse a study that is not of the kind these limits were made from.

        Raises
        ------
        InvalidValue
            With every difference.
        """
        found = self.kind.differences(kind)
        if found:
            raise InvalidValue("; ".join(found))

    def __repr__(self) -> str:
        spread = f"mean {self.mean.mean():.3g}, deviation {self.deviation.mean():.3g} {self.unit}"
        return f"NormalLimits(n = {self.n}; {self.kind}; {self.shape[0]} rings x {self.shape[1]} angles, {spread})"
