"""The same figures in parts of a cohort: by sex, age, body size, camera, site, kind of stress.

A model that is good on average can be bad for someone. Each level of each factor gets its own discrimination and
calibration in the large; whether levels differ by more than chance is Cochran's Q over their areas (Biometrics
1954;10:101), whose groups share no patient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from myoscope.core import InvalidValue
from myoscope.evaluate.auc import auc
from myoscope.evaluate.estimate import Estimate, cluster_numbers, outcome_and_scores, probabilities

LEAST_PER_OUTCOME = 10
"""Patients with and without the outcome that a level needs before an area is said of it."""


@dataclass(frozen=True, slots=True)
class Subgroup:
    """One level of one factor. ``auc`` is None where too few patients have, or lack, the outcome; ``reason`` says so.

    ``brier`` and ``mean_predicted`` are NaN for scores that are no probabilities; ``observed`` is the share with the
    outcome.
    """

    factor: str
    level: str
    n: int
    n_events: int
    auc: Estimate | None
    observed: float
    mean_predicted: float
    brier: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Factor:
    """The levels of one factor, and the probability of so different areas by chance (NaN with fewer than two)."""

    name: str
    levels: tuple[Subgroup, ...]
    p_equal_auc: float


def subgroups(
    outcome: ArrayLike,
    score: ArrayLike,
    factors: Mapping[str, ArrayLike],
    *,
    is_probability: bool = True,
    cluster: ArrayLike | None = None,
) -> tuple[Factor, ...]:
    """One `Factor` for each of ``factors``: a name and the level (n,) that each row belongs to, as words or numbers.

    Rows whose level is empty or NaN stand under "missing".

    Raises
    ------
    InvalidValue
        Scores or levels that do not fit the outcomes.
    """
    y, (values,) = outcome_and_scores(outcome, score)
    if is_probability:
        probabilities(values, y.size)
    patient = cluster_numbers(cluster, y.size)
    found = []
    for name, given in factors.items():
        words = _levels(given, y.size, name)
        rows = []
        for level in sorted(set(words), key=lambda word: (word == "missing", not word.startswith("under "), word)):
            here = words == level
            here_y, here_score = y[here], values[here]
            n_events = int(here_y.sum())
            area, reason = None, ""
            if min(n_events, here_y.size - n_events) < LEAST_PER_OUTCOME:
                reason = f"{n_events} with and {here_y.size - n_events} without the outcome"
            else:
                area = auc(here_y, here_score, cluster=patient[here])
            rows.append(
                Subgroup(
                    name,
                    str(level),
                    int(here.sum()),
                    n_events,
                    area,
                    float(here_y.mean()),
                    float(here_score.mean()) if is_probability else float("nan"),
                    float(np.mean((here_score - here_y) ** 2)) if is_probability else float("nan"),
                    reason,
                )
            )
        found.append(Factor(name, tuple(rows), _p_equal([row.auc for row in rows if row.auc is not None])))
    return tuple(found)


def bands(values: ArrayLike, cuts: Sequence[float], *, unit: str = "") -> list[str]:
    """Levels of a number: "under 60", "60 to under 75", "75 and over"; "missing" for NaN.

    >>> bands([52.0, 60.0, 81.0], [60, 75], unit="y")
    ['under 60 y', '60 to under 75 y', '75 y and over']
    """
    x, at = np.asarray(values, np.float64), np.asarray(cuts, np.float64)
    if at.size == 0 or (np.diff(at) <= 0).any():
        raise InvalidValue(f"bands need cuts that rise, got {list(cuts)}")
    said = f" {unit}" if unit else ""
    names = [
        f"under {at[0]:g}{said}",
        *(f"{low:g} to under {high:g}{said}" for low, high in pairwise(at)),
        f"{at[-1]:g}{said} and over",
    ]
    return ["missing" if np.isnan(v) else names[int(np.searchsorted(at, v, side="right"))] for v in x]


def _levels(given: ArrayLike, n: int, name: str) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
    values = np.asarray(given)
    if values.shape != (n,):
        raise InvalidValue(f"factor {name} needs a level for each of {n} rows, got shape {values.shape}")
    if values.dtype.kind == "f":
        return np.array(["missing" if np.isnan(v) else f"{v:g}" for v in values])
    words = values.astype(str)
    return np.where(words == "", "missing", words)


def _p_equal(areas: Sequence[Estimate]) -> float:
    from scipy import stats  # takes a second to load, which asking a model can do without

    known = [area for area in areas if area.standard_error > 0]
    if len(known) < 2:
        return float("nan")
    value = np.array([area.value for area in known])
    weight = np.array([area.standard_error for area in known]) ** -2
    q = float((weight * (value - (weight @ value) / weight.sum()) ** 2).sum())
    return float(stats.chi2.sf(q, len(known) - 1))
