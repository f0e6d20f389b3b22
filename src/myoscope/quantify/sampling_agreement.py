"""How much the three ways of sampling one wall disagree: on one heart, in numbers.

A difference between programs is a difference of definitions before it is one of hearts. Maps of the same image by
different methods (maximal-count profiles, along the wall's normals, hybrid) are compared at their own mean level, so
that what remains is where they see other counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from myoscope.core import GeometryMismatch, InvalidValue, PolarMap, UnitMismatch, Weighting
from myoscope.core.geometry import FloatArray


@dataclass(frozen=True, eq=False, slots=True)
class SamplingAgreement:
    """Differences between polar maps of one wall, in percent of its mean counts.

    ``methods`` names the maps. ``level_percent`` (map,) is each map's mean against the mean of all. After each is
    brought to one mean, ``spread`` (a polar map) is the highest less the lowest value in every cell, and
    ``segment_spread_percent`` (17,) that of the segments' means. For each pair of maps, in the order of ``pairs``:
    ``pair_sd_percent`` is the standard deviation of their difference over the wall, ``pair_worst_percent`` the largest
    difference of any cell.
    """

    methods: tuple[str, ...]
    level_percent: FloatArray
    spread: PolarMap
    segment_spread_percent: FloatArray
    pairs: tuple[tuple[int, int], ...]
    pair_sd_percent: FloatArray
    pair_worst_percent: FloatArray

    @property
    def mean_spread_percent(self) -> float:
        """Mean over the wall of the highest less the lowest value, by area."""
        seen = np.isfinite(self.spread.value)
        w = np.where(seen, self.spread.weights("surface"), 0.0)
        return float((w * np.nan_to_num(self.spread.value)).sum() / w.sum())

    @property
    def worst_segment(self) -> int:
        """Number of the segment in which the methods differ most."""
        return int(np.nanargmax(self.segment_spread_percent)) + 1


def sampling_agreement(maps: Sequence[PolarMap], *, weighting: Weighting = "surface") -> SamplingAgreement:
    """Compare polar maps of the same wall and image; cells that any map did not see are left out.

    Segments and areas are those of the first map.

    Raises
    ------
    InvalidValue
        With fewer than two maps, two of the same method, or nothing that all saw.
    GeometryMismatch, UnitMismatch
        If their cells or units differ.
    """
    if len(maps) < 2:
        raise InvalidValue(f"agreement needs at least two maps of one heart, got {len(maps)}")
    wall = maps[0]
    if len({one.method for one in maps}) < len(maps):
        raise InvalidValue("two of the maps were sampled by the same method; there is nothing to compare")
    if any(one.value.shape != wall.value.shape for one in maps):
        raise GeometryMismatch("the maps have different numbers of rings or angles")
    if any(one.unit != wall.unit for one in maps):
        raise UnitMismatch(f"the maps are in {', '.join(sorted({one.unit for one in maps}))}; one unit is needed")
    values = np.stack([one.value for one in maps])
    seen = np.isfinite(values).all(axis=0)
    w = np.where(seen, wall.weights(weighting), 0.0)
    known = np.where(seen, values, 0.0)
    level = (w * known).sum(axis=(1, 2)) / max(float(w.sum()), 1e-12)
    if not (level > 0).all():
        raise InvalidValue("the maps show no counts in any cell that all of them saw")
    relative = np.where(seen, 100 * values / level[:, None, None], np.nan)
    segments = np.stack([wall.like(one, "relative", unit="%").segment_means(weighting=weighting) for one in relative])
    pairs = tuple(combinations(range(len(maps)), 2))
    differences = [np.where(seen, relative[a] - relative[b], 0.0) for a, b in pairs]
    return SamplingAgreement(
        methods=tuple(one.method for one in maps),
        level_percent=100 * level / level.mean(),
        spread=wall.like(relative.max(axis=0) - relative.min(axis=0), "highest less lowest of all methods", unit="%"),
        segment_spread_percent=segments.max(axis=0) - segments.min(axis=0),
        pairs=pairs,
        pair_sd_percent=np.array([np.sqrt((w * d**2).sum() / w.sum()) for d in differences]),
        pair_worst_percent=np.array([np.abs(d).max() for d in differences]),
    )
