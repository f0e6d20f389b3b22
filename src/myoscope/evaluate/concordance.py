"""Concordance of a risk score with the order in which events come, Harrell's and Uno's.

A pair of patients is comparable when one had the event while the other was still followed without it; it is concordant
when the first had the higher score, ties counting half. Harrell's C averages over the comparable pairs there happen to
be, so it depends on the censoring; Uno's weighs them by the inverse of the squared chance to be observed that long
(Stat Med 2011;30:1105) and holds up to a stated time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.evaluate.censoring import FollowUpTimes, censoring_curve


def harrell_c(follow_up: FollowUpTimes, risk: ArrayLike, *, event: int = 1) -> float:
    """Harrell's C of a risk (n,), higher where the event comes sooner.

    Raises
    ------
    InvalidValue
        Missing risks, or no comparable pair.
    """
    return _weighted_c(follow_up, risk, np.ones(len(follow_up)), event)


def uno_c(follow_up: FollowUpTimes, risk: ArrayLike, *, tau: float, event: int = 1) -> float:
    """Uno's C of a risk (n,) for events before ``tau``.

    Raises
    ------
    InvalidValue
        Missing risks, no comparable pair, or nobody under observation any more before ``tau``.
    """
    chance = censoring_curve(follow_up).before(follow_up.time)
    early = (follow_up.time < tau) & (follow_up.event == event)
    if (chance[early] <= 0).any():
        raise InvalidValue(f"nobody is under observation any more before {tau:g}; choose an earlier end")
    weight = np.where(early, 1 / np.where(chance > 0, chance, 1) ** 2, 0.0)
    return _weighted_c(follow_up, risk, weight, event)


def _weighted_c(follow_up: FollowUpTimes, risk: ArrayLike, weight: FloatArray, event: int) -> float:
    score = risk_scores(risk, len(follow_up))
    t = follow_up.time
    cases = np.flatnonzero((follow_up.event == event) & (weight > 0))
    won = total = 0.0
    # Row by row of a block, so that 14,000 patients need megabytes and not gigabytes.
    for block in np.array_split(cases, max(1, cases.size * t.size // 2_000_000)):
        # Someone lost at the very time of the event was still without it.
        later = (t[None] > t[block, None]) | ((t[None] == t[block, None]) & (follow_up.event[None] == 0))
        higher = (score[block, None] > score[None]) + 0.5 * (score[block, None] == score[None])
        total += float(weight[block] @ later.sum(axis=1))
        won += float(weight[block] @ (later * higher).sum(axis=1))
    if total == 0:
        raise InvalidValue("no two patients can be compared: no event came while another patient was still followed")
    return won / total


def risk_scores(risk: ArrayLike, n: int) -> FloatArray:
    """Risk scores as numbers (n,).

    Raises
    ------
    InvalidValue
        Another length, or a missing number.
    """
    score = np.asarray(risk, np.float64)
    if score.shape != (n,) or not np.isfinite(score).all():
        raise InvalidValue(f"{n} patients need one finite risk each, got shape {score.shape}")
    return score
