"""What is gained by not answering everyone: the risk among those answered, over the share of them.

A model that says how unsure it is can leave the least sure to others. If its doubt is worth something, the loss among
those it answers falls as it answers fewer (El-Yaniv and Wiener, J Mach Learn Res 2010;11:1605).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.evaluate.bootstrap import Statistic, bootstrap
from myoscope.evaluate.estimate import Estimate

_POINTS = 40
_TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False, slots=True)
class RiskCoverage:
    """Loss among the patients who are answered, over the share of them; the surest come first.

    ``coverage`` (k,) and ``risk`` (k,); ``area`` is the mean risk over coverage, ``area_at_random`` what leaving
    patients out by chance would give, ``area_best`` what knowing the loss would.
    """

    coverage: FloatArray
    risk: FloatArray
    area: float
    area_at_random: float
    area_best: float


def risk_coverage(loss: ArrayLike, doubt: ArrayLike) -> RiskCoverage:
    """What abstaining by a measure of doubt (n,) saves of a loss (n,), such as a squared error.

    Of patients with equal doubt none goes before another: their loss is shared.

    Raises
    ------
    InvalidValue
        Missing numbers or unequal lengths.
    """
    lost, unsure = _both(loss, doubt)
    n = lost.size
    group = np.unique(unsure, return_inverse=True)[1]
    shared = (np.bincount(group, lost) / np.bincount(group))[group]
    risk = np.cumsum(shared[np.argsort(unsure, kind="stable")]) / np.arange(1, n + 1)
    best = np.cumsum(np.sort(lost)) / np.arange(1, n + 1)
    return RiskCoverage(np.arange(1, n + 1) / n, risk, float(risk.mean()), float(lost.mean()), float(best.mean()))


@dataclass(frozen=True, eq=False, slots=True)
class RiskCoverageBand:
    """The same curve at ``coverage`` (k,) with 95 % intervals ``low`` and ``high`` (k,) by a bootstrap of patients.

    ``saved`` is the mean loss less the area under the curve: above 0, abstaining by doubt is better than by chance.
    ``at_random`` is the mean loss, ``best`` (k,) the curve of somebody who knows the loss.
    """

    coverage: FloatArray
    risk: FloatArray
    low: FloatArray
    high: FloatArray
    best: FloatArray
    at_random: float
    saved: Estimate


def risk_coverage_band(
    loss: ArrayLike,
    doubt: ArrayLike,
    *,
    rng: np.random.Generator,
    cluster: ArrayLike | None = None,
    resamples: int = 500,
) -> RiskCoverageBand:
    """The curve of `risk_coverage` at 40 shares of the patients, with its interval; ``cluster`` (n,) names patients.

    Raises
    ------
    InvalidValue
        Missing numbers or unequal lengths.
    """
    lost, unsure = _both(loss, doubt)
    coverage = np.arange(1, _POINTS + 1) / _POINTS
    found = bootstrap(_weighted_curve(lost, unsure, coverage), lost.size, rng=rng, resamples=resamples, cluster=cluster)
    curve, saved = found[:-1], found[-1]
    best = _weighted_curve(lost, lost, coverage)(np.ones((1, lost.size)))[0, :-1]
    value, low, high = (np.array([getattr(one, name) for one in curve]) for name in ("value", "low", "high"))
    return RiskCoverageBand(coverage, value, low, high, best, float(lost.mean()), saved)


def _weighted_curve(loss: FloatArray, doubt: FloatArray, coverage: FloatArray) -> Statistic:
    """Risk at each coverage, and mean loss less the area, as functions of weights: (resample, k + 1)."""
    order = np.argsort(doubt, kind="stable")
    lost = loss[order]
    starts = np.flatnonzero(np.r_[True, np.diff(doubt[order]) > 0])
    size = np.diff(np.r_[starts, lost.size])

    def statistic(weights: FloatArray) -> FloatArray:
        w = weights[:, order]
        # Patients of equal doubt share their loss, weighted as they were drawn.
        in_group = np.add.reduceat(w, starts, axis=1)
        of_group = np.add.reduceat(w * lost, starts, axis=1) / np.where(in_group > 0, in_group, 1)
        shared = w * np.repeat(of_group, size, axis=1)
        answered = np.cumsum(w, axis=1)
        risk = np.cumsum(shared, axis=1) / np.where(answered > 0, answered, 1)
        total = answered[:, -1]
        rows = np.arange(len(w))
        at = [risk[rows, (answered < (c - _TOLERANCE) * total[:, None]).sum(axis=1)] for c in coverage]
        saved = shared.sum(axis=1) / total - (w * risk).sum(axis=1) / total
        found: FloatArray = np.stack([*at, saved], axis=1)
        return found

    return statistic


def _both(loss: ArrayLike, doubt: ArrayLike) -> tuple[FloatArray, FloatArray]:
    lost: NDArray[np.float64] = np.asarray(loss, np.float64)
    unsure: NDArray[np.float64] = np.asarray(doubt, np.float64)
    if lost.ndim != 1 or lost.shape != unsure.shape or not (np.isfinite(lost).all() and np.isfinite(unsure).all()):
        raise InvalidValue("a loss and a measure of doubt are needed for every patient")
    return lost, unsure
