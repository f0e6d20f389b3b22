"""Whether acting on a prediction does more good than harm: net benefit and the decision curve.

Net benefit at threshold t = true positives / n - false positives / n x t / (1 - t): false alarms are paid in the
currency of true ones at the odds at which one would just act (Vickers and Elkin, Med Decis Making 2006;26:565).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.evaluate.bootstrap import Statistic, bootstrap
from myoscope.evaluate.estimate import outcome_and_scores, probabilities


@dataclass(frozen=True, eq=False, slots=True)
class DecisionCurve:
    """Net benefit (k,) over thresholds (k,) with its 95 % interval, and of treating all; of treating none it is 0."""

    threshold: FloatArray
    net_benefit: FloatArray
    low: FloatArray
    high: FloatArray
    treat_all: FloatArray


def net_benefit(outcome: ArrayLike, predicted: ArrayLike, threshold: ArrayLike) -> FloatArray:
    """Net benefit of acting where the predicted probability reaches each threshold, the shape of ``threshold``.

    >>> round(float(net_benefit([1, 1, 0, 0], [0.9, 0.2, 0.4, 0.1], 0.3)), 4)
    0.1429
    """
    at = np.asarray(threshold, np.float64)
    benefit = weighted_net_benefit(outcome, predicted, at.ravel())(np.ones((1, np.asarray(outcome).size)))
    return benefit.reshape(at.shape)


def weighted_net_benefit(outcome: ArrayLike, predicted: ArrayLike, threshold: ArrayLike) -> Statistic:
    """Net benefit at each threshold as a function of weights: (resample, threshold).

    Raises
    ------
    InvalidValue
        Predictions that are no probabilities, or a threshold outside 0 to 1 (1 excluded).
    """
    y, _ = outcome_and_scores(outcome)
    p = probabilities(predicted, y.size)
    at = np.atleast_1d(np.asarray(threshold, np.float64))
    if not ((at >= 0) & (at < 1)).all():
        raise InvalidValue(f"a decision threshold lies from 0 to below 1, got {at.min():.3g} to {at.max():.3g}")
    worth = np.where(y[:, None], 1.0, -at / (1 - at)) * (p[:, None] >= at)  # (row, threshold)

    def statistic(weights: FloatArray) -> FloatArray:
        benefit: FloatArray = weights @ worth / weights.sum(axis=1, keepdims=True)
        return benefit

    return statistic


def decision_curve(
    outcome: ArrayLike,
    predicted: ArrayLike,
    *,
    rng: np.random.Generator,
    threshold: ArrayLike | None = None,
    resamples: int = 500,
    cluster: ArrayLike | None = None,
) -> DecisionCurve:
    """Net benefit over thresholds (0.01 to 0.99 where none are given) with intervals.

    Raises
    ------
    InvalidValue
        As `weighted_net_benefit`.
    """
    at = np.linspace(0.01, 0.99, 99) if threshold is None else np.atleast_1d(np.asarray(threshold, np.float64))
    y, _ = outcome_and_scores(outcome)
    found = bootstrap(weighted_net_benefit(y, predicted, at), y.size, rng=rng, resamples=resamples, cluster=cluster)
    value, low, high = (np.array([getattr(e, name) for e in found]) for name in ("value", "low", "high"))
    return DecisionCurve(at, value, low, high, y.mean() - (1 - y.mean()) * at / (1 - at))
