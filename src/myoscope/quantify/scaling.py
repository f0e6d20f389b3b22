"""One level of counts for maps that are compared: perfusion images know only ratios.

Scaling to normal limits follows the idea of quantitative perfusion SPECT (Slomka et al., J Nucl Cardiol 2012;19:338:
each study is brought to a common level before it is compared): the factor is a least-squares fit to the normal mean
over those places that are not abnormal, found by iteration from a median, because what is abnormal depends on the
factor.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from myoscope.core import InvalidValue, NormalLimits, PolarMap
from myoscope.core.geometry import FloatArray
from myoscope.quantify.wall_smoothing import smoothed_on_wall

_MOST_ITERATIONS = 10
# Beyond this share of abnormal wall the median of the map is no longer healthy: its brighter part is taken instead.
_HALF_THE_WALL = 0.5
_BRIGHT = (80.0, 95.0)
_NOTHING = 1e-6


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

    NaN where a map holds nothing. Where more than half of the wall would be abnormal, the 80th to 95th percentile of
    the ratio to the mean is taken as healthy (evenly reduced uptake hides in any relative image).
    """
    n = len(values)
    value = np.asarray(values, np.float64).reshape(n, -1)
    known = np.where(np.isfinite(value), value, 0.0)
    # Next to nothing tells nothing about the level.
    value = np.where(known > _NOTHING * known.max(axis=1, keepdims=True, initial=0.0), known, np.nan)
    mu = np.broadcast_to(mean, values.shape).reshape(n, -1)
    low = np.broadcast_to(threshold, values.shape).reshape(n, -1)
    seen = np.isfinite(value)
    w = np.where(seen, np.broadcast_to(weights, values.shape).reshape(n, -1), 0.0)
    factor = np.full(n, np.nan)
    rows = np.flatnonzero(seen.any(axis=1))
    if not rows.size:
        return factor
    value, mu, low, w = (np.where(seen, value, 0.0)[rows], mu[rows], low[rows], w[rows])
    ratio = np.where(w > 0, mu / np.where(value > 0, value, 1), np.nan)
    k = _weighted_median(ratio, w)
    # Counts are regressed on the mean and not the mean on counts: noise in what divides would lower the factor.
    mu_value, square = w * mu * value, w * mu**2
    normal = w > 0
    for _ in range(_MOST_ITERATIONS):
        now = (k[:, None] * value >= low) & (w > 0)
        total = (mu_value * now).sum(axis=1)
        fitted = (square * now).sum(axis=1) / np.where(total > 0, total, 1)
        k = np.where(total > 0, fitted, k)
        if np.array_equal(now, normal):
            break
        normal = now
    abnormal = 1 - (w * (k[:, None] * value >= low)).sum(axis=1) / w.sum(axis=1)
    widely = np.flatnonzero(abnormal > _HALF_THE_WALL)
    if widely.size:
        k[widely] = _bright_factor(value[widely], mu[widely], w[widely])
    factor[rows] = k
    return factor


def _bright_factor(value: FloatArray, mu: FloatArray, w: FloatArray) -> FloatArray:
    """1 over the mean relative uptake between two high percentiles of the wall."""
    relative = np.where(w > 0, value / mu, np.nan)
    low, high = np.nanpercentile(relative, _BRIGHT, axis=1)
    inside = (relative >= low[:, None]) & (relative <= high[:, None])
    bright: FloatArray = 1 / np.nanmean(np.where(inside, relative, np.nan), axis=1)
    return bright


def _weighted_median(value: FloatArray, w: FloatArray) -> FloatArray:
    order = np.argsort(np.where(w > 0, value, np.inf), axis=1)
    sorted_value = np.take_along_axis(value, order, axis=1)
    share = np.cumsum(np.take_along_axis(w, order, axis=1), axis=1)
    middle: NDArray[np.intp] = (share >= 0.5 * share[:, -1:]).argmax(axis=1)
    result: FloatArray = sorted_value[np.arange(len(value)), middle]
    return result
