"""Area under the ROC curve at a time: who has had the event by then against who has not.

Cases at time t had the event by t, controls had not (cumulative/dynamic). Those lost before t are neither; the others
are weighed by the inverse of their chance to be observed (Uno et al., J Am Stat Assoc 2007;102:527; Hung and Chiang,
Scand J Stat 2010;38:1). With competing events the controls are those free of any event, or also those who had another
one (Blanche et al., Stat Med 2013;32:5381): two questions, and the answer says which was asked.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.evaluate.censoring import FollowUpTimes, censoring_curve
from myoscope.evaluate.concordance import risk_scores

Controls = Literal["free of any event", "free of this event"]


def dynamic_auc(
    follow_up: FollowUpTimes,
    risk: ArrayLike,
    times: ArrayLike,
    *,
    event: int = 1,
    controls: Controls = "free of any event",
) -> FloatArray:
    """Cumulative/dynamic area at each of ``times`` (k,), for a risk (n,) or one for each time (n, k); NaN where a time
    has no case or no control.

    Raises
    ------
    InvalidValue
        Missing risks, a time after which nobody is followed, or no such controls.
    """
    at = np.atleast_1d(np.asarray(times, np.float64))
    given = np.asarray(risk, np.float64)
    if given.ndim == 2 and given.shape[1] != at.size:
        raise InvalidValue(f"risks for {given.shape[1]} times do not fit {at.size} times")
    if controls not in ("free of any event", "free of this event"):
        raise InvalidValue(f"controls are free of any event or free of this event, not {controls!r}")
    t, kind = follow_up.time, follow_up.event
    chance = censoring_curve(follow_up)
    own, areas = chance.before(t), []
    for number, when in enumerate(at):
        if not (t > when).any():
            raise InvalidValue(f"nobody is followed beyond {when:g}, so nobody is known to be free of the event then")
        score = risk_scores(given if given.ndim == 1 else given[:, number], len(follow_up))
        case = np.where((t <= when) & (kind == event), 1 / np.where(own > 0, own, 1), 0.0)
        control = (t > when) / float(chance.at(when))
        if controls == "free of this event":
            control = control + np.where((t <= when) & (kind > 0) & (kind != event), 1 / np.where(own > 0, own, 1), 0.0)
        areas.append(_weighted_area(score, case, control))
    return np.array(areas)


def _weighted_area(score: FloatArray, case: FloatArray, control: FloatArray) -> float:
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(score[order]) > 0])
    with_event, without = np.add.reduceat(case[order], starts), np.add.reduceat(control[order], starts)
    pairs = with_event.sum() * without.sum()
    if pairs == 0:
        return float("nan")
    return float(with_event @ (np.cumsum(without) - 0.5 * without) / pairs)
