"""Accuracy when only some patients were verified: correction of verification (work-up) bias.

Patients with an abnormal scan go to angiography more often than others, so accuracy among the verified alone shows too
much sensitivity and too little specificity. All methods here assume that, given the test and the stated covariates,
whether someone was verified does not depend on the disease (missing at random); what was not recorded and decided over
angiography can still bias them.

* Two-way tests: Begg and Greenes, Biometrics 1983;39:207, with their variance on the logit scale.
* Scores: imputation, inverse probability weighting and the doubly robust combination of both (semiparametric efficient;
  Alonzo and Pepe, J R Stat Soc C 2005;54:173). The models of disease and of verification are logistic in the score and
  the covariates; the interval is a bootstrap of patients with both models fitted anew. At a threshold they give
  sensitivity and specificity corrected for more than the test itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit, ndtri

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.evaluate.bootstrap import bootstrap
from myoscope.evaluate.calibration import logistic_fit
from myoscope.evaluate.estimate import BoolArray, Estimate, binary, wilson_interval

Correction = Literal["imputed", "weighted", "doubly robust"]

_LEAST_CHANCE = 0.01  # of being verified; rarer strata would carry a hundred times their weight


@dataclass(frozen=True, slots=True)
class VerifiedAccuracy:
    """Sensitivity and specificity among the verified alone, and corrected; ``n_verified`` of ``n`` patients."""

    naive_sensitivity: Estimate
    naive_specificity: Estimate
    sensitivity: Estimate
    specificity: Estimate
    prevalence: float
    n: int
    n_verified: int


def begg_greenes(test: ArrayLike, outcome: ArrayLike, *, level: float = 0.95) -> VerifiedAccuracy:
    """Accuracy of a positive or negative test, corrected for verification that depends on the test.

    ``test`` (n,) is 0 or 1; ``outcome`` (n,) is 0, 1, or NaN where it was not verified.

    Raises
    ------
    InvalidValue
        A test result without a verified patient of either outcome: nothing says what the others of that result have.
    """
    t = binary(test)
    y, verified = _outcome(outcome, t.size)
    n = np.array([(t == r).sum() for r in (False, True)], np.float64)
    seen = np.array([(verified & (t == r)).sum() for r in (False, True)], np.float64)
    ill = np.array([(y & verified & (t == r)).sum() for r in (False, True)], np.float64)
    if (seen == 0).any() or (ill == 0).any() or (ill == seen).any():
        raise InvalidValue(
            "each test result needs verified patients with and without the outcome; got "
            f"{ill[1]:.0f} of {seen[1]:.0f} after a positive and {ill[0]:.0f} of {seen[0]:.0f} after a negative test"
        )
    chance = ill / seen  # of the outcome, by test result
    expected_ill, expected_well = n * chance, n * (1 - chance)
    hit, missed = seen[1] and ill[1], ill[0]
    false, passed = seen[1] - ill[1], seen[0] - ill[0]
    total = float(n.sum())
    # Variance of logit(sensitivity): the share of positive tests, and both predictive values, estimated apart.
    by_test = total / (n[1] * n[0])
    of_sensitivity = by_test + (1 - chance[1]) / ill[1] + (1 - chance[0]) / ill[0]
    of_specificity = by_test + chance[1] / (seen[1] - ill[1]) + chance[0] / (seen[0] - ill[0])
    return VerifiedAccuracy(
        wilson_interval(int(hit), int(hit + missed), level=level),
        wilson_interval(int(passed), int(passed + false), level=level),
        _on_logit(expected_ill[1] / expected_ill.sum(), of_sensitivity, t.size, level),
        _on_logit(expected_well[0] / expected_well.sum(), of_specificity, t.size, level),
        float(expected_ill.sum() / total),
        t.size,
        int(verified.sum()),
    )


@dataclass(frozen=True, slots=True)
class VerifiedAuc:
    """Area under the ROC curve among the verified alone, and corrected."""

    naive: Estimate
    corrected: Estimate
    n: int
    n_verified: int


def verified_auc(
    score: ArrayLike,
    outcome: ArrayLike,
    *,
    rng: np.random.Generator,
    covariates: ArrayLike | None = None,
    method: Correction = "doubly robust",
    cluster: ArrayLike | None = None,
    resamples: int = 500,
    level: float = 0.95,
) -> VerifiedAuc:
    """Area under the ROC curve of a score, corrected for verification that depends on it and on covariates.

    ``outcome`` (n,) is 0, 1, or NaN where not verified; ``covariates`` (n, m) are what else the decision went by;
    ``cluster`` (n,) names the patient where one has several rows.

    Raises
    ------
    InvalidValue
        Missing scores or covariates, too few verified, or no such method.
    """
    x = np.asarray(score, np.float64)
    y, verified = _outcome(outcome, x.size)
    shared_out = _shared_out(x, y, verified, covariates, method)
    order = np.argsort(x, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(x[order]) > 0])

    def area(ill: FloatArray, well: FloatArray) -> FloatArray:
        """Area of fractional patients, a patient not being compared with himself; (resample, row) in."""
        i, w = np.add.reduceat(ill[:, order], starts, axis=1), np.add.reduceat(well[:, order], starts, axis=1)
        below = np.cumsum(w, axis=1) - w
        own = (ill * well).sum(axis=1)
        won = (i * (below + 0.5 * w)).sum(axis=1) - 0.5 * own
        result: FloatArray = won / (ill.sum(axis=1) * well.sum(axis=1) - own)
        return result

    def statistic(weights: FloatArray) -> FloatArray:
        known = weights * verified
        return np.stack([area(known * y, known * ~y), area(*shared_out(weights))], axis=1)

    naive, corrected = bootstrap(
        statistic,
        x.size,
        rng=rng,
        resamples=resamples,
        cluster=cluster,
        n_events=int((y & verified).sum()),
        level=level,
    )
    return VerifiedAuc(naive, corrected, x.size, int(verified.sum()))


@dataclass(frozen=True, slots=True)
class VerifiedOperating:
    """Sensitivity and specificity of a score at a threshold among the verified alone, and corrected.

    ``prevalence`` of the outcome is the corrected one of everybody.
    """

    naive_sensitivity: Estimate
    naive_specificity: Estimate
    sensitivity: Estimate
    specificity: Estimate
    prevalence: Estimate
    n: int
    n_verified: int


def verified_accuracy(
    score: ArrayLike,
    outcome: ArrayLike,
    *,
    threshold: float,
    rng: np.random.Generator,
    covariates: ArrayLike | None = None,
    method: Correction = "doubly robust",
    cluster: ArrayLike | None = None,
    resamples: int = 500,
    level: float = 0.95,
) -> VerifiedOperating:
    """Sensitivity and specificity of a score that is positive from ``threshold``, corrected as by `verified_auc`.

    For a test of two results and no covariates the corrected values are those of `begg_greenes`.

    Raises
    ------
    InvalidValue
        As `verified_auc`.
    """
    x = np.asarray(score, np.float64)
    y, verified = _outcome(outcome, x.size)
    shared_out = _shared_out(x, y, verified, covariates, method)
    positive = (x >= threshold).astype(np.float64)

    def statistic(weights: FloatArray) -> FloatArray:
        known = weights * verified
        ill, well = shared_out(weights)
        found = [_share(known * y, positive), _share(known * ~y, 1 - positive), _share(ill, positive)]
        found += [_share(well, 1 - positive), ill.sum(axis=1) / weights.sum(axis=1)]
        return np.stack(found, axis=1)

    naive_sensitivity, naive_specificity, sensitivity, specificity, prevalence = bootstrap(
        statistic,
        x.size,
        rng=rng,
        resamples=resamples,
        cluster=cluster,
        n_events=int((y & verified).sum()),
        level=level,
    )
    return VerifiedOperating(
        naive_sensitivity, naive_specificity, sensitivity, specificity, prevalence, x.size, int(verified.sum())
    )


def _share(weights: FloatArray, of: FloatArray) -> FloatArray:
    """Weighted share (resample,) of rows that are ``of`` (row,), NaN where nobody has weight."""
    total = weights.sum(axis=1)
    share: FloatArray = np.where(total > 0, weights @ of / np.where(total > 0, total, 1), np.nan)
    return share


def _shared_out(
    x: FloatArray, y: BoolArray, verified: BoolArray, covariates: ArrayLike | None, method: Correction
) -> Callable[[FloatArray], tuple[FloatArray, FloatArray]]:
    """How much of each row is ill and how much is well (resample, row), as functions of weights (resample, row)."""
    more = np.empty((x.size, 0)) if covariates is None else np.asarray(covariates, np.float64).reshape(x.size, -1)
    if not (np.isfinite(x).all() and np.isfinite(more).all()):
        raise InvalidValue("a missing score or covariate cannot be corrected for; leave those patients out")
    if method not in get_args(Correction):
        raise InvalidValue(f"a correction is imputed, weighted or doubly robust, not {method!r}")
    design = np.column_stack([np.ones(x.size), _standardised(np.column_stack([x, more]))])

    def parts(weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        if method != "weighted":
            disease = expit(logistic_fit(design, y & verified, weights * verified) @ design.T)
        if method == "imputed":
            return weights * np.where(verified, y, disease), weights * np.where(verified, ~y, 1 - disease)
        # Where everybody was verified there is nothing to weigh by, and no logistic curve to fit.
        seen = np.ones((1, 1)) if verified.all() else expit(logistic_fit(design, verified, weights) @ design.T)
        weight = verified / np.maximum(seen, _LEAST_CHANCE)
        if method == "weighted":
            return weights * weight * y, weights * weight * ~y
        return (
            weights * (weight * y + (1 - weight) * disease),
            weights * (weight * ~y + (1 - weight) * (1 - disease)),
        )

    return parts


def _outcome(outcome: ArrayLike, n: int) -> tuple[BoolArray, BoolArray]:
    """The outcome (False where unknown) and where it is known."""
    given = np.asarray(outcome, np.float64)
    if given.shape != (n,):
        raise InvalidValue(f"{n} patients need one outcome each, NaN where not verified; got shape {given.shape}")
    verified = np.isfinite(given)
    if not np.isin(given[verified], (0, 1)).all():
        raise InvalidValue("a verified outcome is 0 or 1")
    known = given[verified].astype(bool)
    if known.size == 0 or known.all() or not known.any():
        raise InvalidValue("both outcomes must occur among the verified")
    return np.nan_to_num(given).astype(bool), verified


def _standardised(columns: FloatArray) -> FloatArray:
    spread = columns.std(axis=0)
    scaled: FloatArray = (columns - columns.mean(axis=0)) / np.where(spread > 0, spread, 1)
    return scaled[:, spread > 0]


def _on_logit(share: float, variance: float, n: int, level: float) -> Estimate:
    reach = float(ndtri((1 + level) / 2)) * math.sqrt(variance)
    middle = float(logit(share))
    low, high = float(expit(middle - reach)), float(expit(middle + reach))
    return Estimate(float(share), low, high, n, "Begg-Greenes", level=level,
                    standard_error=math.sqrt(variance) * share * (1 - share))  # fmt: skip
