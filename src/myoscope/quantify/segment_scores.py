"""Segment scores from 0 to 4 and their sums, as readers give them: SSS under stress, SRS at rest, SDS their difference.

0 normal, 1 equivocal or mild, 2 moderate, 3 severe, 4 absent. The vendors' rules for automatic scores are not
published; ours: a segment whose mean falls short of normal by a share d scores 4 d / 0.70, rounded, and at least 1, if
a quarter of it is abnormal. So 1 means a loss below 26 %, 2 below 44 %, 3 below 61 %. Not calibrated on readers of
real scans.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from myoscope.core import InvalidValue, NormalLimits, PolarMap, Weighting
from myoscope.core.geometry import FloatArray, frozen
from myoscope.quantify.tpd import FULL_SCORE_LOSS, HIGHEST_SCORE

_ABNORMAL_SHARE = 0.25

CATEGORIES: tuple[tuple[float, str], ...] = ((4, "normal"), (9, "mild"), (14, "moderate"), (np.inf, "severe"))
"""Upper bounds (not included) of a summed stress score over 17 segments, and their names."""


@dataclass(frozen=True, eq=False, slots=True)
class SegmentScores:
    """Scores of the 17 or 20 segments in their order, 0 to 4; NaN where a segment was not seen."""

    scores: FloatArray

    def __post_init__(self) -> None:
        scores = frozen(self.scores, np.float64)
        if scores.shape not in ((17,), (20,)):
            raise InvalidValue(f"there are 17 or 20 segment scores, got {scores.shape}")
        known = scores[np.isfinite(scores)]
        if known.size and not (known.min() >= 0 and known.max() <= HIGHEST_SCORE):
            raise InvalidValue(f"segment scores run from 0 to {HIGHEST_SCORE:g}")
        object.__setattr__(self, "scores", scores)

    @property
    def total(self) -> float:
        """Summed score; NaN if a segment was not seen."""
        return float(self.scores.sum())

    @property
    def percent(self) -> float:
        """Summed score in percent of the highest possible one: percent of the myocardium, as TPD."""
        return 100 * self.total / (HIGHEST_SCORE * self.scores.size)

    def minus(self, rest: SegmentScores) -> SegmentScores:
        """Difference scores, stress minus rest, not below 0 in any segment."""
        if rest.scores.shape != self.scores.shape:
            raise InvalidValue(f"{self.scores.size} and {rest.scores.size} segments cannot be compared")
        return SegmentScores(np.maximum(self.scores - rest.scores, 0.0))


def score_segments(
    polar_map: PolarMap, limits: NormalLimits, *, model: Literal[17, 20] = 17, weighting: Weighting = "surface"
) -> SegmentScores:
    """Scores of a map at the level of its limits.

    Raises
    ------
    InvalidValue, GeometryMismatch, UnitMismatch
        If the map is not of the kind of the limits.
    """
    limits.require(polar_map)
    numbers = (polar_map.segment if model == 17 else polar_map.segment_20).astype(int)
    return SegmentScores(
        segment_scores_of_many(
            polar_map.value[None], limits.mean, limits.threshold, polar_map.weights(weighting), numbers - 1, model
        )[0]
    )


def segment_scores_of_many(
    values: FloatArray,
    mean: FloatArray,
    threshold: FloatArray,
    weights: FloatArray,
    segment: np.ndarray[tuple[int, ...], np.dtype[np.int_]],
    n_segments: int,
) -> FloatArray:
    """Scores (map, segment) of many maps (map, ring, angle); ``segment`` (ring, angle) counts from 0."""
    seen = np.isfinite(values)
    w = np.where(seen, weights, 0.0).reshape(len(values), -1)
    value = np.where(seen, values, 0.0).reshape(len(values), -1)
    mu = np.broadcast_to(mean, values.shape).reshape(len(values), -1)
    low = np.broadcast_to(threshold, values.shape).reshape(len(values), -1)
    member = (segment.reshape(-1, 1) == np.arange(n_segments)).astype(np.float64)
    weight = w @ member
    with np.errstate(invalid="ignore", divide="ignore"):
        lost = 1 - ((w * value) @ member) / ((w * mu) @ member)
        abnormal = ((w * (value < low)) @ member) / weight
        graded = np.clip(np.round(HIGHEST_SCORE * lost / FULL_SCORE_LOSS), 1, HIGHEST_SCORE)
    scores: FloatArray = np.where(weight > 0, np.where(abnormal < _ABNORMAL_SHARE, 0.0, graded), np.nan)
    return scores


def category(summed_stress_score: float) -> str:
    """Normal (0 to 3), mild (4 to 8), moderate (9 to 13) or severe (above) for a score over 17 segments."""
    return next(name for bound, name in CATEGORIES if summed_stress_score < bound)
