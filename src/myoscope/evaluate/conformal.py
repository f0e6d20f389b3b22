"""Sets of answers that hold the true one as often as promised.

Split conformal prediction (Vovk et al. 2005; Angelopoulos and Bates 2023): the threshold is a quantile of 1 - predicted
probability of the true class on patients that neither trained nor are to be predicted. If those and the new patients
are exchangeable, the set misses the true class in at most ``miscoverage``, whatever the model is worth; a bad model
pays with large sets. By class, the promise holds in those with and in those without the outcome.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.evaluate.estimate import Estimate, cluster_numbers, clustered_share, outcome_and_scores, probabilities


@dataclass(frozen=True, slots=True)
class ConformalThresholds:
    """A class is in the set where its probability is at least 1 - threshold; ``without``, ``with_outcome`` by class."""

    without: float
    with_outcome: float
    miscoverage: float
    n: int

    def sets(self, predicted: ArrayLike) -> NDArray[np.bool_]:
        """Which of the two answers (without, with the outcome) each set holds: (n, 2)."""
        p = np.asarray(predicted, np.float64)
        p = probabilities(p, p.size)
        held: NDArray[np.bool_] = np.stack([p <= self.without, 1 - p <= self.with_outcome], axis=1)
        return held


def conformal_thresholds(
    outcome: ArrayLike, predicted: ArrayLike, *, miscoverage: float = 0.1, by_class: bool = True
) -> ConformalThresholds:
    """Thresholds from a calibration set of patients.

    ``by_class`` keeps the promise in those with and in those without the outcome apart, not only on average.

    Raises
    ------
    InvalidValue
        A miscoverage outside 0 to 1, or fewer patients (of a class) than it takes to promise it.
    """
    y, _ = outcome_and_scores(outcome)
    p = probabilities(predicted, y.size)
    if not 0 < miscoverage < 1:
        raise InvalidValue(f"a share of misses lies between 0 and 1, got {miscoverage}")
    strangeness = np.where(y, 1 - p, p)
    if by_class:
        return ConformalThresholds(
            _quantile(strangeness[~y], miscoverage), _quantile(strangeness[y], miscoverage), miscoverage, y.size
        )
    both = _quantile(strangeness, miscoverage)
    return ConformalThresholds(both, both, miscoverage, y.size)


@dataclass(frozen=True, slots=True)
class SetAccuracy:
    """How often sets hold the truth, overall and by outcome, and how many give one answer, both, or none."""

    coverage: Estimate
    coverage_without: Estimate
    coverage_with: Estimate
    single: float
    both: float
    empty: float


def set_accuracy(outcome: ArrayLike, sets: NDArray[np.bool_], *, cluster: ArrayLike | None = None) -> SetAccuracy:
    """Coverage and size of sets (n, 2) as `ConformalThresholds.sets` gives them; ``cluster`` (n,) names patients.

    Raises
    ------
    InvalidValue
        Not one set per row, or outcomes of one kind only.
    """
    y, _ = outcome_and_scores(outcome)
    if sets.shape != (y.size, 2):
        raise InvalidValue(f"{y.size} patients need sets of shape ({y.size}, 2), got {sets.shape}")
    held = np.where(y, sets[:, 1], sets[:, 0])
    size = sets.sum(axis=1)
    patient = cluster_numbers(cluster, y.size)
    return SetAccuracy(
        clustered_share(held, patient),
        clustered_share(held[~y], patient[~y]),
        clustered_share(held[y], patient[y]),
        *(float(np.mean(size == k)) for k in (1, 2, 0)),
    )


def _quantile(strangeness: FloatArray, miscoverage: float) -> float:
    """The (n + 1)(1 - miscoverage)-th smallest."""
    n = strangeness.size
    rank = int(np.ceil((n + 1) * (1 - miscoverage)))
    if rank > n:
        raise InvalidValue(
            f"{n} patients of a class cannot promise to miss at most {miscoverage:.0%}; at least "
            f"{int(np.ceil(1 / miscoverage)) - 1} are needed"
        )
    return float(np.sort(strangeness)[rank - 1])
