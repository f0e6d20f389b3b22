"""The wall unrolled: one value per ring and angle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from myoscope.core.errors import InvalidValue
from myoscope.core.geometry import FloatArray, frozen
from myoscope.core.segments import VESSELS, segment_table, territory_map

Weighting = Literal["sample", "display", "surface"]
N_RINGS, N_ANGLES = 40, 72


@dataclass(frozen=True, eq=False, slots=True)
class PolarMap:
    """Values on the wall of the left ventricle, apex in the middle.

    ``value`` has shape (ring, angle): 40 rings from apex (0) to base, equal in mid-wall arc length; 72 angles
    counter-clockwise as displayed; cell (r, a) spans arc length [r/40, (r+1)/40) and [5a, 5a+5) degrees, with
    its value at the centre. NaN = wall not seen. ``segment`` and ``segment_20`` hold the segment number of
    each cell; ``area_mm2`` its mid-wall area; ``method`` names the sampling. Angle 0 = mid-lateral.
    """

    value: FloatArray
    unit: str
    segment: NDArray[np.int16]
    segment_20: NDArray[np.int16]
    area_mm2: FloatArray
    method: str
    made_by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        value = frozen(self.value, np.float64)
        if value.ndim != 2 or value.shape[0] < 2 or value.shape[1] < 8:
            raise InvalidValue(f"a polar map has axes (ring, angle), got shape {value.shape}")
        if np.isinf(value).any():
            raise InvalidValue("a polar map holds numbers or NaN (wall not seen), not infinity")
        if not self.unit:
            raise InvalidValue("a polar map carries a unit, such as counts or %")
        object.__setattr__(self, "value", value)
        for name, dtype, top in (("segment", np.int16, 17), ("segment_20", np.int16, 20)):
            numbers = frozen(getattr(self, name), dtype)
            if numbers.shape != value.shape or numbers.min() < 1 or numbers.max() > top:
                raise InvalidValue(f"{name} needs a number from 1 to {top} for each cell of {value.shape}")
            object.__setattr__(self, name, numbers)
        area = frozen(self.area_mm2, np.float64)
        if area.shape != value.shape or not (area > 0).all():
            raise InvalidValue("every cell of a polar map has a positive area in mm2")
        object.__setattr__(self, "area_mm2", area)
        object.__setattr__(self, "made_by", tuple(self.made_by))

    @property
    def angle_deg(self) -> FloatArray:
        """Angle of each column's centre."""
        n = self.value.shape[1]
        angles: FloatArray = (np.arange(n) + 0.5) * 360 / n
        return angles

    @property
    def territory(self) -> NDArray[np.int16]:
        """Index into ``VESSELS`` (LAD, LCx, RCA) of each cell."""
        return territory_map(self.segment)

    def weights(self, weighting: Weighting) -> FloatArray:
        """Weight of each cell, summing to 1: equal, area on the displayed disc, or mid-wall area."""
        n_rings, n_angles = self.value.shape
        if weighting == "sample":
            w = np.ones((n_rings, n_angles))
        elif weighting == "display":
            edge = np.arange(n_rings + 1.0) / n_rings
            w = np.repeat(np.diff(edge**2)[:, None], n_angles, axis=1)
        elif weighting == "surface":
            w = np.array(self.area_mm2)
        else:
            raise InvalidValue(f"weighting is sample, display or surface, not {weighting!r}")
        scaled: FloatArray = w / w.sum()
        return scaled

    def segment_means(self, model: Literal[17, 20] = 17, *, weighting: Weighting = "surface") -> FloatArray:
        """Weighted mean of each segment, NaN where no cell of it was seen; shape (17,) or (20,)."""
        numbers = self.segment if model == 17 else self.segment_20
        return self._means(numbers.astype(int) - 1, len(segment_table(model)), weighting)

    def vessel_means(self, *, weighting: Weighting = "surface") -> FloatArray:
        """Weighted mean of each territory in the order of ``VESSELS``."""
        return self._means(self.territory.astype(int), len(VESSELS), weighting)

    def _means(self, group: NDArray[Any], n_groups: int, weighting: Weighting) -> FloatArray:
        seen = np.isfinite(self.value)
        w = np.where(seen, self.weights(weighting), 0.0)
        total = np.bincount(group.ravel(), (w * np.where(seen, self.value, 0.0)).ravel(), n_groups)
        weight = np.bincount(group.ravel(), w.ravel(), n_groups)
        with np.errstate(invalid="ignore", divide="ignore"):
            means: FloatArray = np.where(weight > 0, total / weight, np.nan)
        return means

    def like(self, value: FloatArray, step: str, *, unit: str | None = None) -> PolarMap:
        """The same wall with other values; ``step`` says what was done."""
        return PolarMap(
            value,
            unit or self.unit,
            self.segment,
            self.segment_20,
            self.area_mm2,
            self.method,
            (*self.made_by, step),
        )

    def percent_of_maximum(self, *, percentile: float = 99.5) -> PolarMap:
        """Scaled so that a high percentile of the map is 100 % (robust against one hot cell)."""
        top = float(np.nanpercentile(self.value, percentile)) if np.isfinite(self.value).any() else 0.0
        if not top > 0:
            raise InvalidValue("a polar map without positive values has no maximum to scale to")
        return self.like(self.value * (100 / top), f"% of the {percentile:g}th percentile", unit="%")

    def __repr__(self) -> str:
        seen = np.isfinite(self.value)
        span = f"{self.value[seen].min():.4g} to {self.value[seen].max():.4g}" if seen.any() else "nothing seen"
        rings, angles = self.value.shape
        return f"PolarMap({rings} rings x {angles} angles, {span} {self.unit}, {self.method}, {seen.mean():.0%} seen)"
