"""The ROC curve, and what one score detects where another would have been as specific.

Sensitivity at a matched specificity reads the curve where it crosses that specificity, on the line between neighbouring
thresholds (a rule that tosses a coin between the two reaches it exactly), so that two scores are compared at the same
specificity and not nearly the same. Where several thresholds have that specificity, their mean is read: a score must
not win by choosing among them while its reference keeps its usual one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.evaluate.bootstrap import Statistic, bootstrap
from myoscope.evaluate.estimate import BoolArray, Estimate, outcome_and_scores, wilson_interval

_TINY = 1e-12  # rates that differ by less are sums of the same counts


@dataclass(frozen=True, eq=False, slots=True)
class RocCurve:
    """Sensitivity and specificity of "score >= threshold", from the strictest threshold (infinity) to the loosest."""

    threshold: FloatArray
    sensitivity: FloatArray
    specificity: FloatArray


def roc_curve(outcome: ArrayLike, score: ArrayLike) -> RocCurve:
    """All corners of the ROC curve."""
    y, (values,) = outcome_and_scores(outcome, score)
    order = np.argsort(-values, kind="stable")
    ends = np.flatnonzero(np.r_[np.diff(values[order]) < 0, True])
    hit = np.cumsum(y[order])[ends] / y.sum()
    false = np.cumsum(~y[order])[ends] / (~y).sum()
    return RocCurve(np.r_[np.inf, values[order][ends]], np.r_[0.0, hit], 1 - np.r_[0.0, false])


@dataclass(frozen=True, slots=True)
class Operating:
    """What a threshold does: sensitivity, specificity and predictive values, each with Wilson's interval.

    A predictive value is None where no patient lies on that side of the threshold.
    """

    threshold: float
    sensitivity: Estimate
    specificity: Estimate
    positive_predictive: Estimate | None
    negative_predictive: Estimate | None


def operating_point(outcome: ArrayLike, score: ArrayLike, threshold: float) -> Operating:
    """Accuracy of "score >= threshold" in independent patients."""
    y, (values,) = outcome_and_scores(outcome, score)
    positive = values >= threshold
    hit, false, missed = (int(np.sum(a & b)) for a, b in ((positive, y), (positive, ~y), (~positive, y)))
    passed = y.size - hit - false - missed
    return Operating(
        threshold,
        wilson_interval(hit, hit + missed),
        wilson_interval(passed, passed + false),
        wilson_interval(hit, hit + false) if hit + false else None,
        wilson_interval(passed, passed + missed) if passed + missed else None,
    )


@dataclass(frozen=True, slots=True)
class MatchedAccuracy:
    """Two scores at one specificity (or one sensitivity): that of ``reference`` at its own threshold.

    ``matched`` is what both share, ``of_score`` and ``of_reference`` the other quantity, ``difference`` theirs; all by
    bootstrap, the match made anew in each resample.
    """

    matched: Estimate
    of_score: Estimate
    of_reference: Estimate
    difference: Estimate


def sensitivity_at_matched_specificity(
    outcome: ArrayLike,
    score: ArrayLike,
    reference: ArrayLike,
    *,
    reference_threshold: float,
    rng: np.random.Generator,
    resamples: int = 2000,
    cluster: ArrayLike | None = None,
) -> MatchedAccuracy:
    """Sensitivity of a score where it is as specific as the reference at its usual threshold.

    Raises
    ------
    InvalidValue
        Missing scores, or too few patients for an interval.
    """
    y, (new, old) = outcome_and_scores(outcome, score, reference)
    return _matched(y, new, old, reference_threshold, rng, resamples, cluster)


def specificity_at_matched_sensitivity(
    outcome: ArrayLike,
    score: ArrayLike,
    reference: ArrayLike,
    *,
    reference_threshold: float,
    rng: np.random.Generator,
    resamples: int = 2000,
    cluster: ArrayLike | None = None,
) -> MatchedAccuracy:
    """Specificity of a score where it is as sensitive as the reference at its usual threshold.

    Raises
    ------
    InvalidValue
        Missing scores, or too few patients for an interval.
    """
    y, (new, old) = outcome_and_scores(outcome, score, reference)
    # The same question with the outcome, the scores and the sense of the threshold turned round.
    return _matched(~y, -new, -old, np.nextafter(-reference_threshold, np.inf), rng, resamples, cluster)


def _matched(
    y: BoolArray,
    new: FloatArray,
    old: FloatArray,
    threshold: float,
    rng: np.random.Generator,
    resamples: int,
    cluster: ArrayLike | None,
) -> MatchedAccuracy:
    curve = _weighted_curve(y, new)
    called = old >= threshold

    def statistic(weights: FloatArray) -> FloatArray:
        sick, well = weights * y, weights * ~y
        with np.errstate(invalid="ignore", divide="ignore"):
            false = (well * called).sum(axis=1) / well.sum(axis=1)
            hit_old = (sick * called).sum(axis=1) / sick.sum(axis=1)
        lowest, highest = _heights(*curve(weights), false)
        hit_new = 0.5 * (lowest + highest)
        return np.stack([1 - false, hit_new, hit_old, hit_new - hit_old], axis=1)

    estimates = bootstrap(statistic, y.size, rng=rng, resamples=resamples, cluster=cluster, n_events=int(y.sum()))
    return MatchedAccuracy(*estimates)


def _weighted_curve(y: BoolArray, values: FloatArray) -> Callable[[FloatArray], tuple[FloatArray, FloatArray]]:
    """False and true positive rates at each threshold, strictest first, as functions of weights: (resample, corner)."""
    order = np.argsort(-values, kind="stable")
    ends = np.flatnonzero(np.r_[np.diff(values[order]) < 0, True])

    def curve(weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        sick, well = weights * y, weights * ~y
        with np.errstate(invalid="ignore", divide="ignore"):
            falses = np.cumsum(well[:, order], axis=1)[:, ends] / well.sum(axis=1, keepdims=True)
            hits = np.cumsum(sick[:, order], axis=1)[:, ends] / sick.sum(axis=1, keepdims=True)
        return falses, hits

    return curve


def _heights(x: FloatArray, y: FloatArray, at: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Least and greatest height at ``at`` of each row's rising staircase (x, y) from (0, 0); not equal on a step."""
    x, y = (np.concatenate([np.zeros((len(v), 1)), v], axis=1) for v in (x, y))
    rows = np.arange(len(x))
    left = np.maximum((x <= at[:, None] + _TINY).sum(axis=1) - 1, 0)
    right = np.minimum(left + 1, x.shape[1] - 1)
    first = np.minimum((x < at[:, None] - _TINY).sum(axis=1), left)
    gap = x[rows, right] - x[rows, left]
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(gap > _TINY, np.clip((at - x[rows, left]) / gap, 0, 1), 0.0)
    between = y[rows, left] + share * (y[rows, right] - y[rows, left])
    on_step = np.abs(x[rows, left] - at) <= _TINY
    known = np.isfinite(at)
    lowest = np.where(known, np.where(on_step, y[rows, first], between), np.nan)
    return lowest, np.where(known, between, np.nan)


def sensitivity_at_specificity(outcome: ArrayLike, score: ArrayLike, specificity: float) -> Statistic:
    """Greatest sensitivity at a stated specificity, as a function of weights: (resample, 1); for `bootstrap`.

    Raises
    ------
    InvalidValue
        Missing scores, or a specificity outside 0 to 1.
    """
    y, (values,) = outcome_and_scores(outcome, score)
    if not 0 <= specificity <= 1:
        raise InvalidValue(f"a specificity lies between 0 and 1, got {specificity}")
    curve = _weighted_curve(y, values)

    def statistic(weights: FloatArray) -> FloatArray:
        _, highest = _heights(*curve(weights), np.full(len(weights), 1 - specificity))
        return highest[:, None]

    return statistic
