"""Area under the ROC curve with its variance, for single patients and for vessels of patients.

The area is the chance that someone with the outcome scores higher than someone without it, ties counting half
(Mann-Whitney). Variance and covariance: DeLong et al., Biometrics 1988;44:837, by mid-ranks (Sun and Xu, IEEE Signal
Process Lett 2014;21:1389). Three vessels of one patient are not three patients: with clusters, Obuchowski, Biometrics
1997;53:567.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray, frozen
from myoscope.evaluate.estimate import BoolArray, Estimate, cluster_numbers, normal_interval, outcome_and_scores


@dataclass(frozen=True, eq=False, slots=True)
class Aucs:
    """Areas (k,) of k scores of the same rows, and the covariance (k, k) of those areas.

    ``method`` is DeLong, or Obuchowski where rows are clustered; ``n`` counts rows, ``n_events`` rows with the outcome,
    ``n_clusters`` patients.
    """

    auc: FloatArray
    covariance: FloatArray
    n: int
    n_events: int
    n_clusters: int
    method: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "auc", frozen(self.auc, np.float64))
        object.__setattr__(self, "covariance", frozen(self.covariance, np.float64))

    def interval(self, which: int = 0, *, level: float = 0.95) -> Estimate:
        """One area with its interval."""
        return normal_interval(
            float(self.auc[which]),
            math.sqrt(max(float(self.covariance[which, which]), 0.0)),
            n=self.n,
            n_events=self.n_events,
            method=self.method,
            level=level,
            bounds=(0.0, 1.0),
        )

    def difference(self, a: int, b: int, *, level: float = 0.95) -> Estimate:
        """Area of score ``a`` less that of ``b``, paired; its ``z`` and ``p`` are DeLong's test."""
        contrast = np.zeros(self.auc.size)
        contrast[a] += 1
        contrast[b] -= 1
        variance = max(float(contrast @ self.covariance @ contrast), 0.0)
        return normal_interval(
            float(contrast @ self.auc),
            math.sqrt(variance),
            n=self.n,
            n_events=self.n_events,
            method=f"{self.method}, paired",
            level=level,
        )


def aucs(outcome: ArrayLike, *scores: ArrayLike, cluster: ArrayLike | None = None) -> Aucs:
    """Areas of one or more scores of the same rows, with their covariance.

    ``outcome`` (n,) is 0 or 1, each score (n,) higher where the outcome is likelier. ``cluster`` names the patient of
    each row where a patient has several (vessels, segments).

    >>> both = aucs([1, 1, 1, 0, 0, 0], [0.9, 0.8, 0.3, 0.4, 0.2, 0.1], [0.6, 0.7, 0.5, 0.6, 0.4, 0.1])
    >>> both.auc.round(3).tolist()
    [0.889, 0.833]

    Raises
    ------
    InvalidValue
        Missing scores, other outcomes than 0 and 1 or only one of them, no score, or fewer than two rows (patients) of
        either outcome.
    """
    y, values = outcome_and_scores(outcome, *scores)
    if not len(values):
        raise InvalidValue("an area under a curve needs a score")
    patient = cluster_numbers(cluster, y.size)
    n_clusters = int(patient.max()) + 1
    placed = [_placements(y, score) for score in values]
    with_outcome = np.stack([above for above, _ in placed])  # (k, rows with the outcome)
    without = np.stack([below for _, below in placed])  # (k, rows without)
    area = with_outcome.mean(axis=1)
    clustered = n_clusters < y.size
    covariance = _covariance(area, with_outcome, without, patient[y], patient[~y], n_clusters)
    return Aucs(area, covariance, y.size, int(y.sum()), n_clusters, "Obuchowski" if clustered else "DeLong")


def auc(outcome: ArrayLike, score: ArrayLike, *, cluster: ArrayLike | None = None, level: float = 0.95) -> Estimate:
    """Area under one ROC curve with its interval; see `aucs`."""
    return aucs(outcome, score, cluster=cluster).interval(level=level)


def _placements(y: BoolArray, score: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Share of the others that each row with the outcome outscores, and by which each row without is outscored."""
    sick, well = score[y], score[~y]
    below = np.sort(well)
    above = np.sort(sick)
    beats = 0.5 * (np.searchsorted(below, sick, "left") + np.searchsorted(below, sick, "right")) / well.size
    beaten = 1 - 0.5 * (np.searchsorted(above, well, "left") + np.searchsorted(above, well, "right")) / sick.size
    return beats, beaten


def _covariance(
    area: FloatArray,
    with_outcome: FloatArray,
    without: FloatArray,
    patient_with: NDArray[np.intp],
    patient_without: NDArray[np.intp],
    n_clusters: int,
) -> FloatArray:
    """Obuchowski's covariance of areas; with clusters of one row it is DeLong's."""
    sums = []
    for placed, patient in ((with_outcome, patient_with), (without, patient_without)):
        total = np.zeros((n_clusters, len(area)))
        np.add.at(total, patient, (placed - area[:, None]).T)
        sums.append(total)
    sick, well = sums
    m, n = with_outcome.shape[1], without.shape[1]
    n_sick, n_well = np.unique(patient_with).size, np.unique(patient_without).size
    if n_sick < 2 or n_well < 2:
        raise InvalidValue(
            f"a variance needs two patients of either outcome, got {n_sick} with and {n_well} without it"
        )
    s10 = n_sick / ((n_sick - 1) * m) * sick.T @ sick
    s01 = n_well / ((n_well - 1) * n) * well.T @ well
    cross = sick.T @ well
    # In a cluster of one row one of the two sums is zero, and with it the cross term.
    s11 = n_clusters / (n_clusters - 1) * (cross + cross.T)
    covariance: FloatArray = s10 / m + s01 / n + s11 / (m * n)
    return covariance
