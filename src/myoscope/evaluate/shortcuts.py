"""Whether a model knows what it should not need, and whether it leans on it: an audit of shortcuts.

Sex, site and camera can be read from a polar map (Yeung et al. 2022 read sex with an AUC of 0.81), so a network can
learn "this camera means illness" where patients of one camera were iller. Two questions, because knowing is not using:

* *decodable*: how well does a linear model read the attribute from the network's features in patients that it was not
  fitted on?
* *leans*: at equal truth (outcome and true deficit), does the predicted log-odds still differ with the attribute?

What has several levels (site, camera) is asked level by level against all others, and as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.evaluate.auc import auc
from myoscope.evaluate.bootstrap import Statistic, bootstrap, resampled
from myoscope.evaluate.estimate import BoolArray, Estimate, binary, cluster_numbers, clustered_share

LEAST_PER_LEVEL = 10
"""Patients of a level, and of the others, that an audit of it needs."""
_FOLDS = 5
_MOST_STEPS = 30


@dataclass(frozen=True, slots=True)
class Shortcut:
    """One attribute: how well it can be read (AUC), and by how much log-odds the prediction leans on it at equal truth.

    ``lean`` is the difference of the predicted log-odds between those with and without the attribute.
    """

    attribute: str
    decodable: Estimate
    lean: Estimate


def audit_shortcut(
    name: str,
    attribute: ArrayLike,
    features: ArrayLike,
    log_odds: ArrayLike,
    truth: ArrayLike,
    *,
    rng: np.random.Generator,
    patient: ArrayLike | None = None,
    resamples: int = 500,
) -> Shortcut:
    """Both questions about one attribute (n,) of 0 and 1.

    ``features`` (n, k) are what the network's last layer sees, ``log_odds`` (n,) its prediction, ``truth`` (n, m) what
    the prediction may rightly hang on: the outcome, the true deficit.

    Raises
    ------
    InvalidValue
        Missing numbers, or an attribute that all or none have.
    """
    a = binary(attribute)
    if a.all() or not a.any():
        raise InvalidValue(f"all patients are alike in {name}; nothing can be read or leant on")
    x, z, t = _audited(features, log_odds, truth, a.size)
    cluster = cluster_numbers(patient, a.size)
    decodable = auc(a, cross_fitted(x, a, cluster, rng=rng), cluster=cluster)
    (lean,) = bootstrap(_coefficients(z, a[:, None], t), a.size, rng=rng, resamples=resamples, cluster=cluster)
    return Shortcut(name, decodable, lean)


@dataclass(frozen=True, slots=True)
class LevelAudit:
    """An attribute of several levels: each level against all others, and as a whole.

    ``read`` is the share of rows whose level is read right from the features, ``commonest`` the share of the commonest
    level, which guessing gets right. ``p_lean`` is the probability of so unlike predictions by chance if at equal truth
    the levels were alike (Wald's test with the covariance of a bootstrap). ``left_out`` are levels of too few patients.
    """

    attribute: str
    levels: tuple[Shortcut, ...]
    read: Estimate
    commonest: float
    p_lean: float
    left_out: tuple[str, ...] = ()


def audit_levels(
    name: str,
    levels: ArrayLike,
    features: ArrayLike,
    log_odds: ArrayLike,
    truth: ArrayLike,
    *,
    rng: np.random.Generator,
    patient: ArrayLike | None = None,
    resamples: int = 500,
) -> LevelAudit:
    """Both questions about an attribute of several levels (n,), as words; the rest as `audit_shortcut`.

    Levels of fewer than 10 patients are left out, their rows with them.

    Raises
    ------
    InvalidValue
        Missing numbers, or fewer than two levels of enough patients.
    """
    word = np.asarray(levels).astype(str)
    x, z, t = _audited(features, log_odds, truth, word.size)
    cluster = cluster_numbers(patient, word.size)
    patients_of = {str(one): np.unique(cluster[word == one]).size for one in np.unique(word)}
    kept = [one for one, n in patients_of.items() if n >= LEAST_PER_LEVEL]
    if len(kept) < 2:
        raise InvalidValue(
            f"an audit of {name} needs two levels of {LEAST_PER_LEVEL} patients; there are "
            + ", ".join(f"{n} of {one or 'no'} {name}" for one, n in patients_of.items())
        )
    rows = np.isin(word, kept)
    word, x, z, t, cluster = word[rows], x[rows], z[rows], t[rows], cluster_numbers(cluster[rows], int(rows.sum()))
    found, readings = [], []
    for one in kept:
        here = word == one
        readings.append(cross_fitted(x, here, cluster, rng=rng))
        decodable = auc(here, readings[-1], cluster=cluster)
        (lean,) = bootstrap(
            _coefficients(z, here[:, None], t), word.size, rng=rng, resamples=resamples, cluster=cluster
        )
        found.append(Shortcut(f"{name}: {one}", decodable, lean))
    right = np.asarray(kept)[np.argmax(readings, axis=0)] == word
    # The first level is what the others are compared with.
    dummies = np.stack([word == one for one in kept[1:]], axis=1)
    return LevelAudit(
        name,
        tuple(found),
        clustered_share(right, cluster),
        float(max(np.mean(word == one) for one in kept)),
        _p_alike(_coefficients(z, dummies, t), word.size, rng, resamples, cluster),
        tuple(one for one in patients_of if one not in kept),
    )


def _p_alike(
    statistic: Statistic, n: int, rng: np.random.Generator, resamples: int, cluster: NDArray[np.intp]
) -> float:
    """Probability of coefficients as far from 0 by chance."""
    from scipy import stats  # takes a second to load

    value = statistic(np.ones((1, n)))[0]
    drawn = resampled(statistic, n, resamples, rng=rng, cluster=cluster).reshape(resamples, value.size)
    spread = np.atleast_2d(np.cov(drawn.T))
    return float(stats.chi2.sf(value @ np.linalg.pinv(spread) @ value, value.size))


def _audited(
    features: ArrayLike, log_odds: ArrayLike, truth: ArrayLike, n: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Features (n, k), log-odds (n,) and truth (n, m), refused where a number is missing."""
    x, z, t = (np.asarray(v, np.float64) for v in (features, log_odds, truth))
    if x.ndim != 2 or len(x) != n or z.shape != (n,) or len(t) != n:
        raise InvalidValue(f"{n} patients need features and a prediction each, got {x.shape} and {z.shape}")
    t = t.reshape(n, -1)
    if not (np.isfinite(x).all() and np.isfinite(z).all() and np.isfinite(t).all()):
        raise InvalidValue("an audit needs every feature, prediction and truth; leave the others out and say how many")
    return x, z, t


def cross_fitted(
    features: FloatArray,
    attribute: BoolArray,
    patient: NDArray[np.intp],
    *,
    rng: np.random.Generator,
    ridge: float = 1.0,
) -> FloatArray:
    """Log-odds (n,) of the attribute by a ridge logistic regression fitted on the other folds of patients."""
    names = np.unique(patient)
    fold = (rng.permutation(names.size) % _FOLDS)[np.searchsorted(names, patient)]
    found = np.zeros(attribute.size)
    for held in range(_FOLDS):
        teach = fold != held
        mean, spread = features[teach].mean(axis=0), features[teach].std(axis=0)
        scaled = (features - mean) / np.where(spread > 1e-9, spread, 1.0)
        design = np.column_stack([np.ones(attribute.size), scaled])
        found[~teach] = design[~teach] @ _ridge_logistic(design[teach], attribute[teach], ridge)
    return found


def _ridge_logistic(design: FloatArray, y: BoolArray, ridge: float) -> FloatArray:
    beta = np.zeros(design.shape[1])
    penalty = np.full(design.shape[1], ridge)
    penalty[0] = 0.0
    for _ in range(_MOST_STEPS):
        p = 1 / (1 + np.exp(-np.clip(design @ beta, -30, 30)))
        slope = design.T @ (y - p) - penalty * beta
        curvature = (design * (p * (1 - p))[:, None]).T @ design + np.diag(penalty + 1e-9)
        step = np.linalg.solve(curvature, slope)
        beta += step
        if np.abs(step).max() < 1e-8:
            break
    return beta


def _coefficients(z: FloatArray, attributes: BoolArray, truth: FloatArray) -> Statistic:
    """Coefficients of attributes (n, j) in a linear regression of the log-odds on truth and attributes, by weights."""
    design = np.column_stack([np.ones(z.size), truth, attributes])
    k, wanted = design.shape[1], attributes.shape[1]
    products = (design[:, :, None] * design[:, None, :]).reshape(z.size, -1)

    def statistic(weights: FloatArray) -> FloatArray:
        left = (weights @ products).reshape(-1, k, k) + 1e-9 * np.eye(k)
        right = weights @ (design * z[:, None])
        found: FloatArray = np.linalg.solve(left, right[:, :, None])[:, -wanted:, 0]
        return found

    return statistic


def shortcut_lines(found: Sequence[Shortcut]) -> list[str]:
    """The audit as lines of a table in Markdown."""
    return [
        "| attribute | read from the features, AUC | prediction leans on it at equal truth, log-odds |",
        "|---|---|---|",
        *(
            f"| {s.attribute} | {s.decodable.value:.3f} ({s.decodable.low:.3f} to {s.decodable.high:.3f}) | "
            f"{s.lean.value:+.3f} ({s.lean.low:+.3f} to {s.lean.high:+.3f}) |"
            for s in found
        ),
    ]


def level_lines(found: Sequence[LevelAudit]) -> list[str]:
    """What is said of attributes of several levels as a whole, a sentence each, to stand under the table."""
    lines = []
    for one in found:
        p = "< 0.001" if one.p_lean < 0.001 else f"{one.p_lean:.3f}"
        left = f"; too few of {', '.join(one.left_out)}" if one.left_out else ""
        lines.append(
            f"* {one.attribute}: read right in {100 * one.read.value:.0f} % ({100 * one.read.low:.0f} to "
            f"{100 * one.read.high:.0f}; guessing the commonest {100 * one.commonest:.0f} %); at equal truth "
            f"predictions are alike among all {len(one.levels)} levels: p {p}{left}."
        )
    return lines
