"""Whether a model knows what it should not need, and whether it leans on it: an audit of shortcuts.

Sex, site and camera can be read from a polar map (Yeung et al. 2022 read sex with an AUC of 0.81), so a network can
learn "this camera means illness" where patients of one camera were iller. Two questions, because knowing is not using:

* *decodable*: how well does a linear model read the attribute from the network's features in patients that it was not
  fitted on?
* *leans*: at equal truth (outcome and true deficit), does the predicted log-odds still differ with the attribute?
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.evaluate.auc import auc
from myoscope.evaluate.bootstrap import Statistic, bootstrap
from myoscope.evaluate.estimate import BoolArray, Estimate, binary, cluster_numbers

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
    x, z, t = (np.asarray(v, np.float64) for v in (features, log_odds, truth))
    t = t.reshape(a.size, -1)
    if a.all() or not a.any():
        raise InvalidValue(f"all patients are alike in {name}; nothing can be read or leant on")
    if x.ndim != 2 or len(x) != a.size or z.shape != a.shape:
        raise InvalidValue(f"{a.size} patients need features and a prediction each, got {x.shape} and {z.shape}")
    if not (np.isfinite(x).all() and np.isfinite(z).all() and np.isfinite(t).all()):
        raise InvalidValue("an audit needs every feature, prediction and truth; leave the others out and say how many")
    cluster = cluster_numbers(patient, a.size)
    decodable = auc(a, cross_fitted(x, a, cluster, rng=rng), cluster=cluster)
    (lean,) = bootstrap(_coefficient(z, a, t), a.size, rng=rng, resamples=resamples, cluster=cluster)
    return Shortcut(name, decodable, lean)


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


def _coefficient(z: FloatArray, attribute: BoolArray, truth: FloatArray) -> Statistic:
    """Coefficient of the attribute in a linear regression of the log-odds on truth and attribute, by weights."""
    design = np.column_stack([np.ones(z.size), truth, attribute])
    k = design.shape[1]
    products = (design[:, :, None] * design[:, None, :]).reshape(z.size, -1)

    def statistic(weights: FloatArray) -> FloatArray:
        left = (weights @ products).reshape(-1, k, k) + 1e-9 * np.eye(k)
        right = weights @ (design * z[:, None])
        found: FloatArray = np.linalg.solve(left, right[:, :, None])[:, -1, :]
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
