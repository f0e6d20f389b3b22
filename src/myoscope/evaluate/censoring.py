"""Follow-up that ends before anything happens: Kaplan-Meier curves, of events and of censoring, and what hangs on them.

A time to event is a time with a mark: 0 where observation ended without an event (censored), 1, 2, ... for the kind of
event that came first. Weighting those who were observed by the inverse of their chance to be (IPCW) undoes censoring
that does not depend on the outcome.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray, frozen


@dataclass(frozen=True, eq=False, slots=True)
class FollowUpTimes:
    """Time (n,) to the first event or the end of observation, and which event (n,): 0 none, 1, 2, ... kinds."""

    time: FloatArray
    event: NDArray[np.int64]

    def __post_init__(self) -> None:
        time, event = frozen(self.time, np.float64), frozen(self.event, np.int64)
        if time.ndim != 1 or time.size == 0 or event.shape != time.shape:
            raise InvalidValue(f"times of shape {time.shape} and events of shape {event.shape} are not one per patient")
        if not (np.isfinite(time).all() and (time >= 0).all()):
            raise InvalidValue("a follow-up time is a number from 0; a patient without follow-up is left out")
        if (event < 0).any():
            raise InvalidValue("events are 0 (none yet) or the number of their kind from 1")
        object.__setattr__(self, "time", time)
        object.__setattr__(self, "event", event)

    def __len__(self) -> int:
        return int(self.time.size)


@dataclass(frozen=True, eq=False, slots=True)
class StepCurve:
    """A curve that is ``start`` until the first of ``time`` (k,) and ``value`` (k,) from each of them on."""

    time: FloatArray
    value: FloatArray
    start: float = 1.0

    def at(self, t: ArrayLike) -> FloatArray:
        """Value at t, a step at t included."""
        return self._read(t, "right")

    def before(self, t: ArrayLike) -> FloatArray:
        """Value just before t."""
        return self._read(t, "left")

    def _read(self, t: ArrayLike, side: Any) -> FloatArray:
        values = np.concatenate([[self.start], self.value])
        found: FloatArray = values[np.searchsorted(self.time, np.asarray(t, np.float64), side)]
        return found


def kaplan_meier(time: ArrayLike, happened: ArrayLike) -> StepCurve:
    """Chance that nothing has happened yet (Kaplan and Meier, J Am Stat Assoc 1958;53:457)."""
    t, d = np.asarray(time, np.float64), np.asarray(happened, bool)
    times, deaths, at_risk = _table(t, d)
    return StepCurve(times, _product(1 - deaths / at_risk))


def censoring_curve(follow_up: FollowUpTimes) -> StepCurve:
    """Chance to be still under observation; of an event and a censoring at one time, the event comes first."""
    t, censored = follow_up.time, follow_up.event == 0
    times, lost, at_risk = _table(t, censored)
    events = _table(t, ~censored)[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        step = np.where(at_risk > events, 1 - lost / (at_risk - events), 1.0)
    return StepCurve(times, _product(step))


def _product(steps: FloatArray) -> FloatArray:
    product: FloatArray = np.cumprod(steps, dtype=np.float64)
    return product


def _table(t: FloatArray, d: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Distinct times, how much happened at each, and how many were at risk just before."""
    times, row = np.unique(t, return_inverse=True)
    happened = np.bincount(row, d.astype(np.float64), len(times)).astype(np.float64)
    leaving = np.bincount(row, minlength=len(times))
    at_risk = t.size - np.cumsum(leaving) + leaving
    return times, happened, at_risk.astype(np.float64)
