"""One deficit from two positions: what is real is there in both, what is attenuation moves with the patient.

Upright and supine, or supine and prone, each against limits of its own position. A cell is abnormal only if it is in
both, and as severe as in the less severe one (Nishina et al., J Nucl Med 2006;47:51 for supine and prone; Nakazato et
al., J Nucl Med 2010;51:1724 for upright and supine). The two maps lie on walls of slightly different areas: a cell
contributes the smaller of what it contributes in either, so that the combined deficit never exceeds either of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from myoscope.core import VESSELS, GeometryMismatch, InvalidValue, NormalLimits, PolarMap, Weighting
from myoscope.core.geometry import FloatArray
from myoscope.core.limits import ANY
from myoscope.quantify.tpd import HIGHEST_SCORE, PerfusionDeficit, ScoreReference, cell_scores, perfusion_deficit

ABNORMAL_TPD_SOURCE = "Nakazato et al., J Nucl Med 2010;51:1724"
"""Where these limits of TPD come from."""
ABNORMAL_TPD_PERCENT = 5.0
"""From here on TPD of one position, upright or supine, is abnormal (Nakazato et al. 2010)."""
ABNORMAL_COMBINED_TPD_PERCENT = 3.0
"""From here on the TPD of two positions combined is abnormal (Nakazato et al. 2010)."""
ABNORMAL_VESSEL_TPD_PERCENT = 2.0
"""From here on the part of one territory is abnormal, in one position or combined (Nakazato et al. 2010)."""


def combined_deficit(
    first: PolarMap,
    first_limits: NormalLimits,
    second: PolarMap,
    second_limits: NormalLimits,
    *,
    weighting: Weighting = "surface",
    score_reference: ScoreReference = "mean",
) -> PerfusionDeficit:
    """The deficit that two positions agree on; each map at the level of its own limits.

    Territories and segments are those of the first map. Cells that either position did not show do not count.

    Raises
    ------
    InvalidValue
        If both limits are of the same position, or as `perfusion_deficit` for either map.
    GeometryMismatch, UnitMismatch
        As `perfusion_deficit`, or if the two maps have other cells.
    """
    one, other = first_limits.kind.position, second_limits.kind.position
    if one == other != ANY:
        raise InvalidValue(f"both limits are for {one} studies; each position needs limits of its own")
    if first.value.shape != second.value.shape:
        raise GeometryMismatch("two positions are combined cell by cell; sample both with the same rings and angles")
    sides = []
    for polar_map, limits in ((first, first_limits), (second, second_limits)):
        found = perfusion_deficit(polar_map, limits, weighting=weighting, score_reference=score_reference)
        seen = np.isfinite(polar_map.value)
        w = np.where(seen, polar_map.weights(weighting), 0.0)
        sides.append((found.score, w / w.sum(), (limits.mean - polar_map.value) / limits.deviation))
    (score_1, w_1, below_1), (score_2, w_2, below_2) = sides
    score = np.minimum(score_1, score_2)
    abnormal = (first.value < first_limits.threshold) & (second.value < second_limits.threshold)
    contribution = np.nan_to_num(100 / HIGHEST_SCORE * np.minimum(w_1 * score_1, w_2 * score_2))
    share = np.where(abnormal, np.minimum(w_1, w_2), 0.0)
    severity = np.minimum(below_1, below_2)[abnormal]
    return PerfusionDeficit(
        tpd_percent=float(contribution.sum()),
        extent_percent=float(100 * share.sum()),
        severity_deviations=float(np.average(severity, weights=share[abnormal])) if abnormal.any() else float("nan"),
        vessel_tpd_percent=_sums(contribution, first.territory, len(VESSELS)),
        segment_tpd_percent=_sums(contribution, first.segment.astype(int) - 1, 17),
        vessel_extent_percent=_sums(100 * share, first.territory, len(VESSELS)),
        score=score,
        weighting=weighting,
        score_reference=score_reference,
    )


def combined_tpd_of_many(
    first: FloatArray,
    second: FloatArray,
    *,
    mean: tuple[FloatArray, FloatArray],
    threshold: tuple[FloatArray, FloatArray],
    weights: tuple[FloatArray, FloatArray],
    group: NDArray[Any] | None = None,
    n_groups: int = 0,
    score_reference: ScoreReference = "mean",
) -> FloatArray:
    """Combined TPD in percent of many pairs of maps (map, ring, angle), or its part in each group (map, group).

    ``mean``, ``threshold`` and ``weights`` hold those of the first and of the second position and broadcast against
    the values; ``group`` (ring, angle) numbers cells from 0.
    """
    parts = []
    for values, mu, low, w in zip((first, second), mean, threshold, weights, strict=True):
        seen = np.where(np.isfinite(values), w, 0.0)
        score = cell_scores(values, mu, low, score_reference=score_reference)
        parts.append(seen * np.nan_to_num(score) / seen.sum(axis=(-2, -1), keepdims=True))
    contribution = 100 / HIGHEST_SCORE * np.minimum(*parts)
    if group is None:
        total: FloatArray = contribution.sum(axis=(-2, -1))
        return total
    member = (group.reshape(-1, 1) == np.arange(n_groups)).astype(np.float64)
    by_group: FloatArray = contribution.reshape(len(contribution), -1) @ member
    return by_group


def _sums(value: FloatArray, group: NDArray[Any], n_groups: int) -> FloatArray:
    return np.bincount(group.ravel(), value.ravel(), n_groups).astype(np.float64)
