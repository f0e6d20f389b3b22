"""One level of counts for maps that are compared: perfusion images know only ratios.

Scaling to normal limits follows the idea of quantitative perfusion SPECT (Slomka et al., J Nucl Cardiol 2012;19:338:
each study is brought to a common level before it is compared): the factor is a least-squares fit to the normal mean
over those places that are not abnormal, found by iteration, because what is abnormal depends on the factor. Begun at a
median, as usual, the iteration can settle on a mild defect of half of the wall and call the healthy part too bright.
So the level is looked for everywhere first: disease takes counts away and adds none, so a wall above normal speaks
against a level the more the brighter it is, one below normal no more once it lies below its threshold.
"""

from __future__ import annotations

import numpy as np

from myoscope.core import InvalidValue, NormalLimits, PolarMap
from myoscope.core.geometry import FloatArray
from myoscope.quantify.wall_smoothing import smoothed_on_wall

_MOST_ITERATIONS = 10
# Levels looked at: what brings the bright part of the wall (a percentile of its ratio to the mean) to these.
_BRIGHT_PERCENT = 95.0
_LEVELS = np.exp(np.linspace(np.log(0.9), np.log(2.4), 64))
_THINNED = (slice(None), slice(None, None, 2), slice(None, None, 3))
# In distances from the mean to the threshold: the least such distance as a share of the mean, and what counts above
# the mean in proportion to its distance and no longer to the square.
_LEAST_DISTANCE, _HOT = 0.1, 1.2
_NOTHING, _STILL = 1e-6, 1e-9


def scale_to_limits(polar_map: PolarMap, limits: NormalLimits) -> PolarMap:
    """The map as it is compared with normal limits: smoothed as they were, its healthy part agreeing with their mean.

    Raises
    ------
    InvalidValue
        If no cell of the map holds a positive number, or it was sampled in another way than the limits.
    GeometryMismatch
        If its cells are not those of the limits.
    """
    factor = level_factor(polar_map, limits)
    value = smoothed_on_wall(polar_map.value, limits.area_mm2, limits.smoothing_fwhm_mm)
    done = f", smoothed along the wall, {limits.smoothing_fwhm_mm:g} mm" if limits.smoothing_fwhm_mm else ""
    return polar_map.like(value * factor, f"scaled to the level of normal limits{done}", unit=limits.unit)


def level_factor(polar_map: PolarMap, limits: NormalLimits) -> float:
    """What brings the counts of a map to the level of normal limits; errors as `scale_to_limits`."""
    limits.require_cells(polar_map)
    value = smoothed_on_wall(polar_map.value, limits.area_mm2, limits.smoothing_fwhm_mm)
    factor = float(scale_factors(value[None], limits.mean, limits.threshold, polar_map.weights("surface"))[0])
    if not np.isfinite(factor):
        raise InvalidValue("a polar map without positive values cannot be brought to the level of normal limits")
    return factor


def scale_factors(values: FloatArray, mean: FloatArray, threshold: FloatArray, weights: FloatArray) -> FloatArray:
    """The factor for each of many maps; ``values`` (map, ring, angle), the others (ring, angle) or like ``values``.

    NaN where a map holds nothing. Evenly reduced uptake hides in any relative image.
    """
    value = np.asarray(values, np.float64)
    known = np.where(np.isfinite(value), value, 0.0)
    # Next to nothing tells nothing about the level.
    seen = known > _NOTHING * known.max(axis=(1, 2), keepdims=True, initial=0.0)
    factor = np.full(len(value), np.nan)
    rows = np.flatnonzero(seen.any(axis=(1, 2)))
    if not rows.size:
        return factor
    mu, low, w = (np.broadcast_to(array, value.shape)[rows] for array in (mean, threshold, weights))
    distance = np.maximum(mu - low, _LEAST_DISTANCE * mu)
    # In distances of each cell: its counts and its mean.
    counts, normal, w = known[rows] / distance, mu / distance, np.where(seen[rows], w, 0.0)
    k = _likeliest_level(counts, normal, w)
    # Counts are regressed on the mean and not the mean on counts: noise in what divides would lower the factor.
    both, square = w * normal * counts, w * normal**2
    share = np.zeros_like(both)
    for _ in range(_MOST_ITERATIONS):
        above = k[:, None, None] * counts - normal
        now = np.where(above >= -1, _HOT / np.maximum(above, _HOT), 0.0)
        if np.abs(now - share).max() < _STILL:
            break
        share = now
        total = (both * share).sum(axis=(1, 2))
        k = np.where(total > 0, (square * share).sum(axis=(1, 2)) / np.where(total > 0, total, 1), k)
    factor[rows] = k
    return factor


def _likeliest_level(counts: FloatArray, normal: FloatArray, w: FloatArray) -> FloatArray:
    """The level (map,) at which the least of the wall is too bright or unlike normal; one-sided, over all levels."""
    ratio = np.where(w > 0, counts / normal, np.nan)
    bright = np.nanpercentile(ratio.reshape(len(ratio), -1), _BRIGHT_PERCENT, axis=1)
    counts, normal, w = counts[_THINNED], normal[_THINNED], w[_THINNED]
    best, least = 1 / bright, np.full(len(bright), np.inf)
    for level in _LEVELS:
        k = level / bright
        above = k[:, None, None] * counts - normal
        hot = np.where(above < _HOT, above**2, _HOT * (2 * above - _HOT))
        cost = (w * np.where(above < 0, np.minimum(above**2, 1.0), hot)).sum(axis=(1, 2))
        best, least = np.where(cost < least, k, best), np.minimum(cost, least)
    return best
