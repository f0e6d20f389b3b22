"""Total perfusion deficit: how much of the wall takes up too little, and how much too little, in one number.

TPD-like: own implementation, own normal limits; no claim that it equals any vendor's figure. After Slomka et al., J
Nucl Cardiol 2005;12:66 ("a product of defect extent and severity"): every cell below its limit scores from 0 (normal)
to 4 (nothing left, reached at 70 % below the reference), and

    TPD = 100 sum(w score) / (4 sum(w))

over the cells that were seen. Whether the score counts from the normal mean or from the limit is not settled by what
was read of the paper; both are here (``score_reference``), the mean is the default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from myoscope.core import VESSELS, InvalidValue, NormalLimits, PolarMap, Weighting
from myoscope.core.geometry import FloatArray

ScoreReference = Literal["mean", "limit"]

FULL_SCORE_LOSS = 0.70
"""The share below the reference at which a cell scores 4."""
HIGHEST_SCORE = 4.0
_LEAST_SEEN = 0.8


@dataclass(frozen=True, eq=False, slots=True)
class PerfusionDeficit:
    """What falls short of normal limits in one polar map.

    ``tpd_percent`` is total perfusion deficit; ``vessel_tpd_percent`` (3,) its part in the territory of each of
    ``VESSELS`` and ``segment_tpd_percent`` (17,) in each segment, both adding up to the whole. ``extent_percent`` is
    the abnormal share of the wall, ``vessel_extent_percent`` (3,) its parts; ``severity_deviations`` how far abnormal
    cells lie below the mean on average, in deviations of normal studies, NaN if none is. ``score`` (ring, angle) is 0
    to 4, NaN where the wall was not seen.
    """

    tpd_percent: float
    extent_percent: float
    severity_deviations: float
    vessel_tpd_percent: FloatArray
    segment_tpd_percent: FloatArray
    vessel_extent_percent: FloatArray
    score: FloatArray
    weighting: Weighting
    score_reference: ScoreReference


def perfusion_deficit(
    polar_map: PolarMap,
    limits: NormalLimits,
    *,
    weighting: Weighting = "surface",
    score_reference: ScoreReference = "mean",
) -> PerfusionDeficit:
    """TPD, extent and severity of a map at the level of its limits (`scale_to_limits`).

    ``weighting`` says how cells count: by the area of the wall (default: the apical quarter of the rings is a tenth of
    it), equally (``sample``, as published), or by the area of the displayed disc.

    Raises
    ------
    InvalidValue, GeometryMismatch, UnitMismatch
        If the map is not of the kind of the limits, or less than 80 % of the wall was seen.
    """
    limits.require(polar_map)
    weights = polar_map.weights(weighting)
    seen = np.isfinite(polar_map.value)
    share = float(weights[seen].sum())
    if share < _LEAST_SEEN:
        raise InvalidValue(f"only {100 * share:.0f} % of the wall was seen; a deficit needs {100 * _LEAST_SEEN:.0f} %")
    score = cell_scores(polar_map.value, limits.mean, limits.threshold, score_reference=score_reference)
    w = np.where(seen, weights, 0.0)
    contribution = 100 * w * np.where(seen, score, 0.0) / (HIGHEST_SCORE * w.sum())
    abnormal = seen & (polar_map.value < limits.threshold)
    below = np.where(abnormal, (limits.mean - np.where(seen, polar_map.value, 0.0)) / limits.deviation, 0.0)
    return PerfusionDeficit(
        tpd_percent=float(contribution.sum()),
        extent_percent=float(100 * w[abnormal].sum() / w.sum()),
        severity_deviations=float((w * below).sum() / w[abnormal].sum()) if abnormal.any() else float("nan"),
        vessel_tpd_percent=_added_up(polar_map.territory, contribution, len(VESSELS)),
        segment_tpd_percent=_added_up(polar_map.segment.astype(int) - 1, contribution, 17),
        vessel_extent_percent=_added_up(polar_map.territory, 100 * np.where(abnormal, w, 0.0) / w.sum(), len(VESSELS)),
        score=score,
        weighting=weighting,
        score_reference=score_reference,
    )


def _added_up(group: NDArray[Any], contribution: FloatArray, n_groups: int) -> FloatArray:
    return np.bincount(group.ravel(), contribution.ravel(), n_groups).astype(np.float64)


def cell_scores(
    value: ArrayLike, mean: ArrayLike, threshold: ArrayLike, *, score_reference: ScoreReference = "mean"
) -> FloatArray:
    """Score of each cell from 0 to 4, 0 where it is not below its threshold, NaN where it is NaN; arguments broadcast.

    Raises
    ------
    InvalidValue
        For another reference than ``mean`` or ``limit``.
    """
    if score_reference not in ("mean", "limit"):
        raise InvalidValue(f"a score counts from the normal mean or from the limit, not from {score_reference!r}")
    m, mu, low = np.asarray(value, float), np.asarray(mean, float), np.asarray(threshold, float)
    reference = mu if score_reference == "mean" else np.maximum(low, 1e-12)
    lost = 1 - m / reference
    score = np.clip(HIGHEST_SCORE * lost / FULL_SCORE_LOSS, 0.0, HIGHEST_SCORE)
    scored: FloatArray = np.where(np.isnan(m), np.nan, np.where(m < low, score, 0.0))
    return scored


def tpd_of_many(
    values: FloatArray,
    mean: FloatArray,
    threshold: FloatArray,
    weights: FloatArray,
    *,
    group: NDArray[Any] | None = None,
    n_groups: int = 0,
    score_reference: ScoreReference = "mean",
) -> FloatArray:
    """TPD in percent of many maps (map, ring, angle) at once, or its part in each group of cells (map, group).

    ``mean``, ``threshold`` and ``weights`` broadcast against ``values``; ``group`` (ring, angle) numbers cells from 0.
    Cells that are NaN do not count.
    """
    seen = np.isfinite(values)
    w = np.where(seen, weights, 0.0)
    score = np.nan_to_num(cell_scores(values, mean, threshold, score_reference=score_reference))
    scaled = 100 * w * score / (HIGHEST_SCORE * w.sum(axis=(-2, -1), keepdims=True))
    if group is None:
        total: FloatArray = scaled.sum(axis=(-2, -1))
        return total
    member = (group.reshape(-1, 1) == np.arange(n_groups)).astype(np.float64)
    by_group: FloatArray = scaled.reshape(len(values), -1) @ member
    return by_group
