"""What a new model changes for the people it is applied to: NRI and IDI, each with both of its components.

Category-free NRI (Pencina et al., Stat Med 2011;30:11) counts in which direction predictions moved, not by how much; it
can be positive for a useless marker, so it never stands alone and never without its two parts. IDI (Pencina et al.,
Stat Med 2008;27:157) is the gain of the mean prediction in those with the outcome plus its loss in those without.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.evaluate.bootstrap import Statistic, bootstrap
from myoscope.evaluate.estimate import BoolArray, Estimate, outcome_and_scores, probabilities


@dataclass(frozen=True, slots=True)
class Reclassification:
    """A gain in those with the outcome, in those without, and their sum; positive is better throughout."""

    events: Estimate
    nonevents: Estimate
    total: Estimate


def category_free_nri(
    outcome: ArrayLike,
    new: ArrayLike,
    old: ArrayLike,
    *,
    rng: np.random.Generator,
    resamples: int = 2000,
    cluster: ArrayLike | None = None,
) -> Reclassification:
    """Share moved up less share moved down among events, the reverse among nonevents, and the sum, -2 to 2.

    Raises
    ------
    InvalidValue
        Predictions that are no probabilities.
    """
    y, moved = _moved(outcome, new, old)
    return _gain(y, np.sign(moved), rng, resamples, cluster)


def categorical_nri(
    outcome: ArrayLike,
    new: ArrayLike,
    old: ArrayLike,
    *,
    cuts: Sequence[float],
    rng: np.random.Generator,
    resamples: int = 2000,
    cluster: ArrayLike | None = None,
) -> Reclassification:
    """The same between risk categories that begin at ``cuts``.

    Raises
    ------
    InvalidValue
        Predictions that are no probabilities, or cuts that do not rise.
    """
    at = np.asarray(cuts, np.float64)
    if at.size == 0 or (np.diff(at) <= 0).any():
        raise InvalidValue(f"categories need cuts that rise, got {list(cuts)}")
    y, _ = outcome_and_scores(outcome)
    levels = [np.searchsorted(at, probabilities(p, y.size), side="right") for p in (new, old)]
    return _gain(y, np.sign(levels[0] - levels[1]).astype(np.float64), rng, resamples, cluster)


def idi(
    outcome: ArrayLike,
    new: ArrayLike,
    old: ArrayLike,
    *,
    rng: np.random.Generator,
    resamples: int = 2000,
    cluster: ArrayLike | None = None,
) -> Reclassification:
    """Integrated discrimination improvement: mean rise of the prediction in events, mean fall in nonevents, the sum.

    Raises
    ------
    InvalidValue
        Predictions that are no probabilities.
    """
    y, moved = _moved(outcome, new, old)
    return _gain(y, moved, rng, resamples, cluster)


def _moved(outcome: ArrayLike, new: ArrayLike, old: ArrayLike) -> tuple[BoolArray, FloatArray]:
    y, _ = outcome_and_scores(outcome)
    return y, probabilities(new, y.size) - probabilities(old, y.size)


def _gain(
    y: BoolArray, moved: FloatArray, rng: np.random.Generator, resamples: int, cluster: ArrayLike | None
) -> Reclassification:
    found = bootstrap(
        _mean_gain(y, moved), y.size, rng=rng, resamples=resamples, cluster=cluster, n_events=int(y.sum())
    )
    return Reclassification(*found)


def _mean_gain(y: BoolArray, moved: FloatArray) -> Statistic:
    def statistic(weights: FloatArray) -> FloatArray:
        with np.errstate(invalid="ignore", divide="ignore"):
            up = weights @ (moved * y) / (weights @ y.astype(np.float64))
            down = -(weights @ (moved * ~y)) / (weights @ (~y).astype(np.float64))
        return np.stack([up, down, up + down], axis=1)

    return statistic
