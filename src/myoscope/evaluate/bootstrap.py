"""Intervals by drawing patients again, for statistics that are functions of weights.

A resample of patients is a vector of counts: how often each was drawn. Every statistic here takes such weights
(resample, row) and answers for all resamples at once, so that nothing loops over them. Rows of one patient (vessels,
segments, repeated studies) are drawn together.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from myoscope.core.geometry import FloatArray
from myoscope.evaluate.estimate import Estimate, cluster_numbers, outcome_and_scores, probabilities

Statistic = Callable[[FloatArray], FloatArray]
"""Takes weights (resample, row), gives the statistic of each resample, (resample,) or (resample, k); NaN where none."""

_CELLS_AT_ONCE = 4_000_000
_LEAST_SHARE = 0.9


def draw_weights(n: int, resamples: int, *, rng: np.random.Generator, cluster: ArrayLike | None = None) -> FloatArray:
    """How often each of ``n`` rows is drawn in each resample (resample, row), clusters as a whole."""
    number = cluster_numbers(cluster, n)
    k = int(number.max()) + 1
    counts = rng.multinomial(k, np.full(k, 1 / k), size=resamples)
    weights: FloatArray = counts[:, number].astype(np.float64)
    return weights


def resampled(
    statistic: Statistic, n: int, resamples: int, *, rng: np.random.Generator, cluster: ArrayLike | None = None
) -> FloatArray:
    """The statistic in each of ``resamples`` resamples, (resample,) or (resample, k); memory stays bounded."""
    at_once = max(1, _CELLS_AT_ONCE // n)
    parts = []
    for first in range(0, resamples, at_once):
        parts.append(statistic(draw_weights(n, min(at_once, resamples - first), rng=rng, cluster=cluster)))
    return np.concatenate(parts)


def bootstrap(
    statistic: Statistic,
    n: int,
    *,
    rng: np.random.Generator,
    resamples: int = 2000,
    cluster: ArrayLike | None = None,
    n_events: int = -1,
    level: float = 0.95,
) -> tuple[Estimate, ...]:
    """A statistic of ``n`` rows with percentile intervals, one `Estimate` for each number it gives.

    Where the statistic does not exist in more than a tenth of the resamples (an outcome did not occur, a fit did not
    converge) there are too few patients to say how sure it is: the interval is NaN and ``method`` says why.
    """
    whole = np.atleast_2d(np.asarray(statistic(np.ones((1, n)))).reshape(1, -1))[0]
    drawn = resampled(statistic, n, resamples, rng=rng, cluster=cluster).reshape(resamples, -1)
    estimates = []
    for value, column in zip(whole, drawn.T, strict=True):
        known = column[np.isfinite(column)]
        if known.size < _LEAST_SHARE * resamples:
            why = f"no interval: only {known.size} of {resamples} resamples of {n} rows have this statistic"
            estimates.append(Estimate(float(value), math.nan, math.nan, n, why, n_events, level))
            continue
        low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
        estimates.append(
            Estimate(
                float(value),
                float(low),
                float(high),
                n,
                f"bootstrap, {resamples} resamples",
                n_events,
                level,
                float(known.std(ddof=1)),
            )
        )
    return tuple(estimates)


def weighted_auc(outcome: ArrayLike, *scores: ArrayLike) -> Statistic:
    """Area under the ROC curve of each score as a function of weights: (resample, k)."""
    y, values = outcome_and_scores(outcome, *scores)
    sorted_scores = []
    for score in values:
        order = np.argsort(score, kind="stable")
        starts = np.flatnonzero(np.r_[True, np.diff(score[order]) > 0])
        sorted_scores.append((order, y[order].astype(np.float64), starts))

    def statistic(weights: FloatArray) -> FloatArray:
        areas = []
        for order, sick, starts in sorted_scores:
            w = weights[:, order]
            # Sums over groups of equal score, so that ties count half.
            with_outcome = np.add.reduceat(w * sick, starts, axis=1)
            without = np.add.reduceat(w * (1 - sick), starts, axis=1)
            below = np.cumsum(without, axis=1) - without
            pairs = with_outcome.sum(axis=1) * without.sum(axis=1)
            won = (with_outcome * (below + 0.5 * without)).sum(axis=1)
            with np.errstate(invalid="ignore", divide="ignore"):
                areas.append(np.where(pairs > 0, won / pairs, np.nan))
        return np.stack(areas, axis=1)

    return statistic


def weighted_brier(outcome: ArrayLike, *predicted: ArrayLike) -> Statistic:
    """Mean squared error of each probability as a function of weights: (resample, k)."""
    y, _ = outcome_and_scores(outcome)
    error = np.stack([(probabilities(p, y.size) - y) ** 2 for p in predicted])  # (k, row)

    def statistic(weights: FloatArray) -> FloatArray:
        mean: FloatArray = weights @ error.T / weights.sum(axis=1, keepdims=True)
        return mean

    return statistic


def weighted_mean(values: ArrayLike) -> Statistic:
    """Mean of a number per row, or of each of several (row, k), as a function of weights: (resample, k)."""
    v = np.asarray(values, np.float64)
    v = v[:, None] if v.ndim == 1 else v

    def statistic(weights: FloatArray) -> FloatArray:
        mean: FloatArray = weights @ v / weights.sum(axis=1, keepdims=True)
        return mean

    return statistic
