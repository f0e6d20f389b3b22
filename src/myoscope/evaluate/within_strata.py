"""Area under the ROC curve among rows of the same stratum: patients judged by the same network, at the same site.

In cross-validation every fold has a network of its own, and what one calls 0.4 another calls 0.5. Comparing patients
across folds then mixes how well networks tell patients apart with how they differ, and can even be worse than chance
where every network is right (Parker et al., BMC Bioinformatics 2007;8:326; Airola et al., Comput Stat Data Anal
2011;55:1828). Here only pairs of one stratum are compared, and each pair counts once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.evaluate.bootstrap import bootstrap, weighted_auc
from myoscope.evaluate.estimate import Estimate, cluster_numbers, outcome_and_scores


def aucs_within(
    outcome: ArrayLike,
    *scores: ArrayLike,
    stratum: ArrayLike,
    reference: int,
    rng: np.random.Generator,
    cluster: ArrayLike | None = None,
    resamples: int = 1000,
) -> tuple[tuple[Estimate, ...], tuple[Estimate, ...]]:
    """Areas of scores (n,) among pairs of one ``stratum`` (n,), and each less that of the score number ``reference``.

    Intervals draw patients (``cluster`` (n,)) again, wherever their rows lie.

    Raises
    ------
    InvalidValue
        Scores that do not fit the outcomes, or no stratum with both outcomes.
    """
    y, values = outcome_and_scores(outcome, *scores)
    where = cluster_numbers(stratum, y.size)
    parts = []
    for one in range(int(where.max()) + 1):
        rows = np.flatnonzero(where == one)
        if y[rows].any() and not y[rows].all():
            parts.append((rows, y[rows].astype(np.float64), weighted_auc(y[rows], *values[:, rows])))
    if not parts:
        raise InvalidValue("no stratum has rows with and rows without the outcome, so no pair can be compared")

    def statistic(weights: FloatArray) -> FloatArray:
        won, pairs = np.zeros((len(weights), len(values))), np.zeros((len(weights), 1))
        for rows, ill, area in parts:
            w = weights[:, rows]
            of_stratum = ((w @ ill) * (w @ (1 - ill)))[:, None]
            won += np.where(of_stratum > 0, of_stratum * np.nan_to_num(area(w)), 0.0)
            pairs += of_stratum
        mean = np.where(pairs > 0, won / np.where(pairs > 0, pairs, 1), np.nan)
        return np.concatenate([mean, mean - mean[:, [reference]]], axis=1)

    found = bootstrap(statistic, y.size, rng=rng, resamples=resamples, cluster=cluster, n_events=int(y.sum()))
    return found[: len(values)], found[len(values) :]
