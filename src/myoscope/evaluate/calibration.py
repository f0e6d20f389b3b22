"""Whether predicted probabilities are what happens: Brier score, slope, intercept, curve and its distances.

Calibration in the large and slope come from logistic recalibration (Cox, Biometrika 1958;45:562): the log-odds of the
outcome are intercept + slope x log-odds of the prediction, with the slope held at 1 for calibration in the large. The
flexible curve is a logistic regression on a restricted cubic spline of those log-odds (Harrell); ICI, E50, E90 are the
mean, median and 90th percentile of its distance from the prediction (Austin and Steyerberg, Stat Med 2019;38:4051, who
draw the curve by loess). ECE is the same idea with bins.

Every statistic is a function of weights and goes into `bootstrap`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.evaluate.bootstrap import Statistic, bootstrap
from myoscope.evaluate.estimate import BoolArray, Estimate, outcome_and_scores, probabilities

_SMALLEST = 1e-6  # log-odds of 0 and 1 are infinite; nothing here hangs on how large they are
_KNOTS = (0.05, 0.275, 0.5, 0.725, 0.95)
_MOST_STEPS, _LONGEST_STEP, _CONVERGED = 40, 4.0, 1e-9  # of Newton, in log-odds


@dataclass(frozen=True, slots=True)
class Calibration:
    """How a set of probabilities fits what happened, each figure with its bootstrap interval.

    ``in_the_large``: log-odds by which outcomes are commoner than predicted (0 is right). ``slope``: 1 is right, below
    1 predictions are too extreme. ``ici``, ``e50``, ``e90``: mean, median, 90th percentile of the distance between
    prediction and flexible curve. ``ece``: the mean distance in ``bins`` groups of equal size. None of the four can be
    negative, so noise adds to them and resampling adds it twice: their intervals lie too high rather than too low.
    """

    brier: Estimate
    in_the_large: Estimate
    slope: Estimate
    ici: Estimate
    e50: Estimate
    e90: Estimate
    ece: Estimate
    bins: int


def calibration(
    outcome: ArrayLike,
    predicted: ArrayLike,
    *,
    rng: np.random.Generator,
    resamples: int = 1000,
    cluster: ArrayLike | None = None,
    bins: int = 10,
) -> Calibration:
    """All figures of calibration with intervals.

    Raises
    ------
    InvalidValue
        Probabilities outside 0 to 1 or missing, only one outcome, or fewer than 5 different predictions.
    """
    y, p = _checked(outcome, predicted)
    of_curve = curve_distances(y, p, bins=bins)
    of_line = recalibration(y, p)

    def statistic(weights: FloatArray) -> FloatArray:
        brier = weights @ (p - y) ** 2 / weights.sum(axis=1)
        return np.concatenate([brier[:, None], of_line(weights), of_curve(weights)], axis=1)

    brier, level, slope, ici, e50, e90, ece = bootstrap(
        statistic, y.size, rng=rng, resamples=resamples, cluster=cluster, n_events=int(y.sum())
    )
    return Calibration(brier, level, slope, ici, e50, e90, ece, bins)


def recalibration(outcome: ArrayLike, predicted: ArrayLike) -> Statistic:
    """Calibration in the large and slope as functions of weights: (resample, 2)."""
    y, p = _checked(outcome, predicted)
    odds = _log_odds(p)

    def statistic(weights: FloatArray) -> FloatArray:
        level = logistic_fit(np.ones((y.size, 1)), y, weights, offset=odds)
        line = logistic_fit(np.stack([np.ones_like(odds), odds], axis=1), y, weights)
        return np.stack([level[:, 0], line[:, 1]], axis=1)

    return statistic


def fit_recalibration(outcome: ArrayLike, predicted: ArrayLike) -> tuple[float, float]:
    """Intercept and slope by which the log-odds of a prediction fit what happens, for `recalibrated`.

    Raises
    ------
    InvalidValue
        As `calibration`, or predictions that tell the outcome perfectly.
    """
    y, p = _checked(outcome, predicted)
    design = np.stack([np.ones(y.size), _log_odds(p)], axis=1)
    intercept, slope = logistic_fit(design, y, np.ones((1, y.size)))[0]
    if not (np.isfinite(intercept) and np.isfinite(slope)):
        raise InvalidValue("predictions that tell the outcome perfectly cannot be recalibrated; there are too few")
    return float(intercept), float(slope)


def recalibrated(predicted: ArrayLike, line: tuple[float, float]) -> FloatArray:
    """Probabilities whose log-odds are intercept + slope x log-odds of the prediction."""
    p = np.asarray(predicted, np.float64)
    right: FloatArray = expit(line[0] + line[1] * _log_odds(p))
    return right


def curve_distances(outcome: ArrayLike, predicted: ArrayLike, *, bins: int = 10) -> Statistic:
    """ICI, E50, E90 and ECE as functions of weights: (resample, 4).

    Raises
    ------
    InvalidValue
        As `calibration`, or fewer rows than bins.
    """
    y, p = _checked(outcome, predicted)
    if not 2 <= bins <= y.size:
        raise InvalidValue(f"{y.size} predictions cannot be put into {bins} bins")
    design = _spline(_log_odds(p), _knots(p))
    order = np.argsort(p, kind="stable")
    group = np.empty(y.size, np.intp)
    group[order] = np.arange(y.size) * bins // y.size
    member = (group[:, None] == np.arange(bins)).astype(np.float64)  # (row, bin)

    def statistic(weights: FloatArray) -> FloatArray:
        share = weights / weights.sum(axis=1, keepdims=True)
        observed = expit(logistic_fit(design, y, weights) @ design.T)  # (resample, row)
        distance = np.abs(observed - p)
        e50, e90 = _weighted_quantiles(distance, share, (0.5, 0.9))
        gap = np.abs(share * (y - p) @ member)
        return np.stack([(share * distance).sum(axis=1), e50, e90, gap.sum(axis=1)], axis=1)

    return statistic


@dataclass(frozen=True, eq=False, slots=True)
class CalibrationCurve:
    """Observed frequency against prediction: a smooth curve with its interval, and groups of equal size.

    ``predicted`` (k,) within the 1st to 99th percentile of the predictions; ``observed``, ``low``, ``high`` (k,).
    ``group_predicted`` and ``group_observed`` (bins,) are means of the groups, ``group_n`` their sizes.
    """

    predicted: FloatArray
    observed: FloatArray
    low: FloatArray
    high: FloatArray
    group_predicted: FloatArray
    group_observed: FloatArray
    group_n: FloatArray


def calibration_curve(
    outcome: ArrayLike,
    predicted: ArrayLike,
    *,
    rng: np.random.Generator,
    resamples: int = 500,
    cluster: ArrayLike | None = None,
    bins: int = 10,
) -> CalibrationCurve:
    """The flexible calibration curve with a pointwise 95 % interval.

    Raises
    ------
    InvalidValue
        As `calibration`.
    """
    y, p = _checked(outcome, predicted)
    knots = _knots(p)
    design = _spline(_log_odds(p), knots)
    grid = np.linspace(float(np.quantile(p, 0.01)), float(np.quantile(p, 0.99)), 60)
    at = _spline(_log_odds(grid), knots)
    heights = bootstrap(
        lambda weights: expit(logistic_fit(design, y, weights) @ at.T),
        y.size,
        rng=rng,
        resamples=resamples,
        cluster=cluster,
    )
    order = np.argsort(p, kind="stable")
    groups = np.array_split(order, min(bins, y.size))
    return CalibrationCurve(
        grid,
        np.array([h.value for h in heights]),
        np.array([h.low for h in heights]),
        np.array([h.high for h in heights]),
        np.array([p[g].mean() for g in groups]),
        np.array([y[g].mean() for g in groups]),
        np.array([float(g.size) for g in groups]),
    )


@dataclass(frozen=True, slots=True)
class BrierParts:
    """Murphy's parts of the Brier score over groups of equal prediction (J Appl Meteorol 1973;12:595).

    ``brier`` = ``reliability`` - ``resolution`` + ``uncertainty`` + ``within``; the last is what predictions differ
    within a group, 0 where groups hold equal predictions.
    """

    brier: float
    reliability: float
    resolution: float
    uncertainty: float
    within: float


def brier_parts(outcome: ArrayLike, predicted: ArrayLike, *, bins: int | None = None) -> BrierParts:
    """The Brier score taken apart; ``bins`` groups of equal size, or groups of equal prediction where None."""
    y, _ = outcome_and_scores(outcome)
    p = probabilities(predicted, y.size)
    if bins is None:
        group = np.unique(p, return_inverse=True)[1]
    else:
        group = np.empty(y.size, np.intp)
        group[np.argsort(p, kind="stable")] = np.arange(y.size) * bins // y.size
    size = np.bincount(group).astype(np.float64)
    mean_p, mean_y = np.bincount(group, p) / size, np.bincount(group, y) / size
    share, prevalence = size / y.size, float(y.mean())
    brier = float(np.mean((p - y) ** 2))
    reliability = float(share @ (mean_p - mean_y) ** 2)
    resolution = float(share @ (mean_y - prevalence) ** 2)
    uncertainty = prevalence * (1 - prevalence)
    return BrierParts(brier, reliability, resolution, uncertainty, brier - reliability + resolution - uncertainty)


def logistic_fit(
    design: FloatArray, outcome: BoolArray, weights: FloatArray, *, offset: FloatArray | None = None
) -> FloatArray:
    """Coefficients (resample, column) of a logistic regression per row of weights, by Newton steps all at once.

    ``design`` (row, column) has its own column of ones. Where the groups are separated, or do not both occur, nothing
    converges and the coefficients are NaN.
    """
    y = outcome.astype(np.float64)
    shift = np.zeros(y.size) if offset is None else offset
    n_columns = design.shape[1]
    beta = np.zeros((len(weights), n_columns))
    products = (design[:, :, None] * design[:, None, :]).reshape(y.size, -1)
    active = np.ones(len(weights), bool)
    for _ in range(_MOST_STEPS):
        w = weights[active]
        p = expit(beta[active] @ design.T + shift)
        slope = (w * (y - p)) @ design
        curvature = ((w * p * (1 - p)) @ products).reshape(-1, n_columns, n_columns)
        # A trace of ridge keeps a resample that determines nothing from stopping the others.
        curvature += 1e-10 * (1 + np.trace(curvature, axis1=1, axis2=2))[:, None, None] * np.eye(n_columns)
        step = np.linalg.solve(curvature, slope[:, :, None])[:, :, 0]
        # How far the log-odds of any row would move: what is large for a coefficient hangs on its column.
        reach = np.abs(step @ design.T).max(axis=1)
        step *= np.minimum(1, _LONGEST_STEP / np.maximum(reach, 1e-12))[:, None]
        beta[active] += step
        still = reach > _CONVERGED
        active[np.flatnonzero(active)[~still]] = False
        if not active.any():
            break
    beta[active] = np.nan
    return beta


def _checked(outcome: ArrayLike, predicted: ArrayLike) -> tuple[BoolArray, FloatArray]:
    y, _ = outcome_and_scores(outcome)
    p = probabilities(predicted, y.size)
    if np.unique(p).size < 5:
        raise InvalidValue(
            f"calibration needs at least 5 different predictions, got {np.unique(p).size} "
            "(are these classes instead of probabilities?)"
        )
    return y, p


def _log_odds(p: FloatArray) -> FloatArray:
    odds: FloatArray = logit(np.clip(p, _SMALLEST, 1 - _SMALLEST))
    return odds


def _knots(p: FloatArray) -> FloatArray:
    """Quantiles of the log-odds; fewer where predictions repeat so often that quantiles coincide."""
    knots: FloatArray = np.unique(np.quantile(_log_odds(p), _KNOTS))
    return knots


def _spline(log_odds: FloatArray, knots_at: FloatArray) -> FloatArray:
    """Restricted cubic spline: ones, x, and a cubic between the knots that is a line beyond them, (n, knots).

    x is the log-odds in units of the span of the knots, so that predictions that hardly differ have a curve too.
    """
    span = float(knots_at[-1] - knots_at[0]) or 1.0
    x, knots = (log_odds - knots_at[0]) / span, (knots_at - knots_at[0]) / span
    columns = [np.ones_like(x), x]
    last, before = knots[-1], knots[-2] if len(knots) > 1 else knots[-1]
    for knot in knots[:-2]:
        cubic = (
            np.maximum(x - knot, 0) ** 3
            - np.maximum(x - before, 0) ** 3 * (last - knot) / (last - before)
            + np.maximum(x - last, 0) ** 3 * (before - knot) / (last - before)
        )
        columns.append(cubic / (last - knots[0]) ** 2)
    return np.stack(columns, axis=1)


def _weighted_quantiles(values: FloatArray, share: FloatArray, at: tuple[float, ...]) -> list[FloatArray]:
    """Quantiles of each row of values under its own weights: the first value whose cumulated weight reaches them."""
    order = np.argsort(values, axis=1)
    sorted_values = np.take_along_axis(values, order, axis=1)
    cumulated = np.cumsum(np.take_along_axis(share, order, axis=1), axis=1)
    found = []
    for q in at:
        index = np.minimum((cumulated < q - 1e-12).sum(axis=1), values.shape[1] - 1)
        found.append(np.take_along_axis(sorted_values, index[:, None], axis=1)[:, 0])
    return found
