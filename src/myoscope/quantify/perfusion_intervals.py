"""How uncertain perfusion figures are: noise, contour and limits, by drawing many maps that might as well have been.

Each drawn map is the measured one with noise added once more (`map_noise.py`), its wall a little longer or shorter (the
contour), compared with limits drawn from their own uncertainty. A deficit cannot be negative, so noise makes deficits
out of nothing: drawn maps, which hold noise twice, show by how much, and the interval is moved down by that. Its width
was calibrated on virtual patients so that 95 % of intervals hold what the same patient's image without noise gives
(docs/make/calibrate_intervals.py); that is the meaning of these intervals, not truth of the muscle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from myoscope.core import VESSELS, NormalLimits, PolarMap
from myoscope.core.geometry import FloatArray
from myoscope.quantify.map_noise import MapNoise
from myoscope.quantify.scaling import scale_factors
from myoscope.quantify.segment_scores import segment_scores_of_many
from myoscope.quantify.tpd import tpd_of_many
from myoscope.quantify.wall_smoothing import smoothed_on_wall

# How far off the ends of the wall may lie, as a share of its length, and how far the map may be turned.
_LENGTH_SD, _TURN_SD_DEG = 0.03, 3.0


@dataclass(frozen=True, eq=False, slots=True)
class PerfusionDraws:
    """Figures of drawn maps, one entry per draw: TPD and extent in %, TPD by vessel (draw, 3), segment scores (draw,
    17)."""

    tpd_percent: FloatArray
    extent_percent: FloatArray
    vessel_tpd_percent: FloatArray
    segment_scores: FloatArray

    @property
    def summed_score(self) -> FloatArray:
        """Summed segment scores; a segment that was not seen makes it NaN."""
        total: FloatArray = self.segment_scores.sum(axis=1)
        return total


@dataclass(frozen=True, eq=False, slots=True)
class DrawnMaps:
    """Maps (draw, ring, angle) as they are compared with limits, and the ``mean`` and ``threshold`` of the limits drawn
    for each, (draw or 1, ring, angle)."""

    value: FloatArray
    mean: FloatArray
    threshold: FloatArray


def no_noise(polar_map: PolarMap) -> MapNoise:
    """Noise of a map of which nothing tells."""
    return MapNoise(np.zeros((1, *polar_map.value.shape)), "none")


def drawn_maps(
    polar_map: PolarMap,
    limits: NormalLimits,
    noise: MapNoise,
    *,
    rng: np.random.Generator,
    n: int = 160,
    with_limits: bool = True,
    with_contour: bool = True,
) -> DrawnMaps:
    """``n`` maps like this one (in counts) at the level of the limits drawn for them.

    ``with_limits`` and ``with_contour`` False leave those sources of doubt out.
    """
    value = polar_map.value[None] + noise.drawn(polar_map.value, n, rng=rng)
    value = np.where(np.isfinite(polar_map.value), value, np.nan)
    if with_contour:
        value = stretched(value, 1 + _LENGTH_SD * rng.standard_normal(n), _TURN_SD_DEG * rng.standard_normal(n))
    value = smoothed_on_wall(value, limits.area_mm2, limits.smoothing_fwhm_mm)
    if with_limits:
        mean, threshold = limits.drawn(n, rng=rng)
    else:
        mean, threshold = limits.mean[None], limits.threshold[None]
    scaled = value * scale_factors(value, mean, threshold, polar_map.weights("surface"))[:, None, None]
    return DrawnMaps(scaled, mean, threshold)


def draw_perfusion(
    polar_map: PolarMap,
    limits: NormalLimits,
    noise: MapNoise,
    *,
    rng: np.random.Generator,
    n: int = 160,
    with_limits: bool = True,
    with_contour: bool = True,
) -> PerfusionDraws:
    """Figures of ``n`` maps like this one (in counts); arguments as for `drawn_maps`."""
    drawn = drawn_maps(polar_map, limits, noise, rng=rng, n=n, with_limits=with_limits, with_contour=with_contour)
    scaled, mean, threshold = drawn.value, drawn.mean, drawn.threshold
    weights = polar_map.weights("surface")
    segment = polar_map.segment.astype(int) - 1
    w = np.where(np.isfinite(scaled), weights, 0.0)
    return PerfusionDraws(
        tpd_of_many(scaled, mean, threshold, weights),
        100 * (w * (np.nan_to_num(scaled, nan=np.inf) < threshold)).sum(axis=(1, 2)) / w.sum(axis=(1, 2)),
        tpd_of_many(scaled, mean, threshold, weights, group=polar_map.territory, n_groups=len(VESSELS)),
        segment_scores_of_many(scaled, mean, threshold, weights, segment, 17),
    )


def stretched(value: FloatArray, longer: FloatArray, turned_deg: FloatArray) -> FloatArray:
    """Maps (map, ring, angle) as they would be if the wall were longer by a factor and turned about its axis."""
    n, n_rings, n_angles = value.shape
    row = np.clip((np.arange(n_rings) + 0.5)[None] * longer[:, None] - 0.5, 0, n_rings - 1)
    low = np.minimum(row.astype(int), n_rings - 2)
    part = (row - low)[..., None]
    which = np.arange(n)[:, None]
    rows = value[which, low] * (1 - part) + value[which, low + 1] * part
    column = np.arange(n_angles)[None] + turned_deg[:, None] * n_angles / 360
    left = np.floor(column).astype(int)
    share = (column - left)[:, None, :]
    ring = np.arange(n_rings)[None, :, None]
    which = np.arange(n)[:, None, None]
    left = left[:, None, :]
    turned: FloatArray = (
        rows[which, ring, left % n_angles] * (1 - share) + rows[which, ring, (left + 1) % n_angles] * share
    )
    return turned
