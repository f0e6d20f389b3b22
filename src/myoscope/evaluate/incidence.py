"""How many have had an event by a time, when other events can come first: Aalen-Johansen and its Brier score.

One minus a Kaplan-Meier curve that censors the other events answers a question about a world without them and is too
high in this one; the Aalen-Johansen estimate is the share that has really had this event first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.evaluate.censoring import FollowUpTimes, StepCurve, censoring_curve
from myoscope.evaluate.estimate import Estimate, normal_interval


def cumulative_incidence(follow_up: FollowUpTimes, *, event: int = 1) -> StepCurve:
    """Share that has had this event first, over time (Aalen and Johansen, Scand J Stat 1978;5:141)."""
    times, at_risk, any_event, this = _counts(follow_up, event)
    survival = np.cumprod(1 - any_event / at_risk)
    before = np.concatenate([[1.0], survival[:-1]])
    return StepCurve(times, np.cumsum(before * this / at_risk), start=0.0)


def incidence_at(follow_up: FollowUpTimes, time: float, *, event: int = 1, level: float = 0.95) -> Estimate:
    """The same at one time, with an interval from the delta-method variance (Marubini and Valsecchi 1995)."""
    times, at_risk, any_event, this = _counts(follow_up, event)
    survival = np.cumprod(1 - any_event / at_risk)
    before = np.concatenate([[1.0], survival[:-1]])
    incidence = np.cumsum(before * this / at_risk)
    upto = times <= time
    value = float(incidence[upto][-1]) if upto.any() else 0.0
    still = value - incidence[upto]
    n, d, k, s = at_risk[upto], any_event[upto], this[upto], before[upto]
    with np.errstate(invalid="ignore", divide="ignore"):
        first = np.where(n > d, still**2 * d / (n * (n - d)), 0.0)
    variance = float((first + s**2 * k * (n - k) / n**3 - 2 * still * s * k / n**2).sum())
    events = int(((follow_up.time <= time) & (follow_up.event == event)).sum())
    return normal_interval(
        value, max(variance, 0.0) ** 0.5, n=len(follow_up), n_events=events, method="Aalen-Johansen", level=level,
        bounds=(0.0, 1.0),
    )  # fmt: skip


def brier_at(follow_up: FollowUpTimes, predicted: ArrayLike, times: ArrayLike, *, event: int = 1) -> FloatArray:
    """Brier score (k,) of the predicted chance (n, k) to have had this event by each of ``times`` (k,), by IPCW.

    Graf et al., Stat Med 1999;18:2529; someone who had another event first counts as never having this one.

    Raises
    ------
    InvalidValue
        Predictions that are no probabilities, one per patient and time, or a time after which nobody is followed.
    """
    at = np.atleast_1d(np.asarray(times, np.float64))
    p = np.asarray(predicted, np.float64)
    p = p[:, None] if p.ndim == 1 else p
    t, kind = follow_up.time, follow_up.event
    if p.shape != (t.size, at.size) or not (np.isfinite(p).all() and (p >= 0).all() and (p <= 1).all()):
        raise InvalidValue(f"{t.size} patients and {at.size} times need a probability each, got shape {p.shape}")
    if (at >= t.max()).any():
        raise InvalidValue(f"nobody is followed beyond {at.max():g}, so nobody is known to be free of the event then")
    chance = censoring_curve(follow_up)
    own = chance.before(t)
    done = (t[:, None] <= at) & (kind > 0)[:, None]
    weight = np.where(done, 1 / np.where(own > 0, own, 1)[:, None], (t[:, None] > at) / chance.at(at))
    truth = done & (kind == event)[:, None]
    score: FloatArray = (weight * (p - truth) ** 2).mean(axis=0)
    return score


def integrated_brier(follow_up: FollowUpTimes, predicted: ArrayLike, times: ArrayLike, *, event: int = 1) -> float:
    """Mean of `brier_at` over time, by trapezoids between ``times`` (2 or more, rising)."""
    at = np.atleast_1d(np.asarray(times, np.float64))
    if at.size < 2 or (np.diff(at) <= 0).any():
        raise InvalidValue("a mean over time needs two or more times that rise")
    return float(np.trapezoid(brier_at(follow_up, predicted, at, event=event), at) / (at[-1] - at[0]))


def _counts(follow_up: FollowUpTimes, event: int) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Distinct times, numbers at risk, events of any kind and of this one."""
    times, row = np.unique(follow_up.time, return_inverse=True)
    leaving = np.bincount(row, minlength=times.size)
    at_risk = (len(follow_up) - np.cumsum(leaving) + leaving).astype(np.float64)
    any_event = np.bincount(row, follow_up.event > 0, times.size).astype(np.float64)
    this = np.bincount(row, follow_up.event == event, times.size).astype(np.float64)
    return times, at_risk, any_event, this
