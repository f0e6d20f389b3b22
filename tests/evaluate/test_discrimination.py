"""Areas under ROC curves and what hangs on them: golden values, laws, and other people's implementations."""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from myoscope.core import InvalidValue
from myoscope.evaluate import (
    auc,
    aucs,
    aucs_within,
    bootstrap,
    mcnemar,
    operating_point,
    roc_curve,
    sensitivity_at_matched_specificity,
    sensitivity_at_specificity,
    specificity_at_matched_sensitivity,
    weighted_auc,
    wilson_interval,
)

# Acceptance test AT-19 of the project's quantification reference, computed there in two ways.
Y = np.array([1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0])
S1 = np.array([0.9, 0.8, 0.7, 0.55, 0.3, 0.6, 0.4, 0.35, 0.2, 0.15, 0.1, 0.5])
S2 = np.array([0.7, 0.75, 0.4, 0.6, 0.35, 0.65, 0.3, 0.45, 0.5, 0.2, 0.1, 0.25])

FloatArray = NDArray[np.float64]


def _binormal(rng: np.random.Generator, n: int, shift: float) -> tuple[NDArray[np.bool_], FloatArray]:
    y = rng.random(n) < 0.4
    return y, rng.normal(size=n) + shift * y


def test_delong_gives_the_golden_areas_covariance_and_test() -> None:
    both = aucs(Y, S1, S2)
    assert both.auc == pytest.approx([0.857142857, 0.8], abs=1e-9)
    assert both.covariance == pytest.approx(np.array([[0.01551020, 0.00897959], [0.00897959, 0.01891156]]), abs=1e-8)
    difference = both.difference(0, 1)
    assert difference.z == pytest.approx(0.44536, abs=1e-5)
    assert difference.p == pytest.approx(0.65606, abs=1e-5)
    assert both.method == "DeLong"


def test_area_is_the_share_of_pairs_won_ties_counting_half() -> None:
    rng = np.random.default_rng(0)
    y = rng.random(90) < 0.3
    score = rng.integers(0, 6, 90).astype(float) + 2 * y
    sick, well = score[y], score[~y]
    pairs = (sick[:, None] > well) + 0.5 * (sick[:, None] == well)
    assert auc(y, score).value == pytest.approx(pairs.mean(), abs=1e-12)


def test_area_and_interval_agree_with_scikit_learn_and_confidenceinterval() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    oracle = pytest.importorskip("confidenceinterval.auc", reason="confidenceinterval is not installed")
    y, score = _binormal(np.random.default_rng(1), 300, 0.9)
    score = np.round(score, 1)  # with ties
    found = auc(y, score)
    assert found.value == pytest.approx(metrics.roc_auc_score(y, score), abs=1e-12)
    _, (low, high) = oracle.roc_auc_score(y.astype(int).tolist(), score.tolist())
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-7)


def test_interval_of_the_area_holds_the_true_one_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    true = 0.5 * (1 + math.erf(0.8 / 2))  # of two normals 0.8 apart
    held = [found.low <= true <= found.high for found in (auc(*_binormal(rng, 400, 0.8)) for _ in range(800))]
    assert 0.93 < np.mean(held) < 0.97


def test_reversing_a_score_mirrors_its_area_and_monotone_change_leaves_it() -> None:
    y, score = _binormal(np.random.default_rng(3), 200, 0.7)
    plain = aucs(y, score, -score, np.exp(score))
    assert plain.auc[1] == pytest.approx(1 - plain.auc[0], abs=1e-12)
    assert plain.auc[2] == pytest.approx(plain.auc[0], abs=1e-12)
    assert plain.covariance[0, 1] == pytest.approx(-plain.covariance[0, 0], abs=1e-12)
    assert plain.difference(0, 2).value == 0
    assert plain.difference(0, 2).standard_error == 0


def _vessels(rng: np.random.Generator, patients: int) -> tuple[NDArray[np.bool_], FloatArray, FloatArray, FloatArray]:
    """Three vessels per patient whose scores share what is peculiar to the patient."""
    y = rng.random((patients, 3)) < 0.35
    shared = rng.normal(size=(patients, 1))
    good, fair = (shared + rng.normal(size=y.shape) + shift * y for shift in (1.2, 0.9))
    patient = np.repeat(np.arange(patients), 3)
    return y.ravel(), good.ravel(), fair.ravel(), patient.astype(float)


def test_clusters_of_one_row_give_delongs_covariance() -> None:
    rng = np.random.default_rng(4)
    y, good, fair, _ = _vessels(rng, 60)
    plain = aucs(y, good, fair)
    assert aucs(y, good, fair, cluster=rng.permutation(y.size)).covariance == pytest.approx(plain.covariance, rel=1e-12)


def test_vessels_of_one_patient_are_less_than_three_patients() -> None:
    y, good, fair, patient = _vessels(np.random.default_rng(5), 150)
    shared = patient * 0 + np.repeat(np.random.default_rng(6).normal(size=150), 3)  # the patient decides everything
    alike = aucs(np.repeat(np.random.default_rng(7).random(150) < 0.4, 3), shared, cluster=patient)
    naive = aucs(np.repeat(np.random.default_rng(7).random(150) < 0.4, 3), shared)
    assert alike.covariance[0, 0] == pytest.approx(3 * naive.covariance[0, 0], rel=0.05)
    found = aucs(y, good, fair, cluster=patient)
    assert found.method == "Obuchowski"
    assert found.n_clusters == 150


def test_clustered_variance_is_that_of_repeated_samples() -> None:
    rng = np.random.default_rng(8)
    areas, variances, differences, of_differences = [], [], [], []
    for _ in range(300):
        y, good, fair, patient = _vessels(rng, 80)
        found = aucs(y, good, fair, cluster=patient)
        areas.append(found.auc[0])
        variances.append(found.covariance[0, 0])
        differences.append(found.auc[0] - found.auc[1])
        of_differences.append(found.difference(0, 1).standard_error ** 2)
    assert np.mean(variances) == pytest.approx(np.var(areas), rel=0.2)
    assert np.mean(of_differences) == pytest.approx(np.var(differences), rel=0.2)


def test_weighted_area_is_that_of_the_repeated_rows() -> None:
    rng = np.random.default_rng(9)
    y, score = _binormal(rng, 60, 0.8)
    score = np.round(score, 1)
    weights = rng.integers(0, 4, (5, 60)).astype(float)
    found = weighted_auc(y, score)(weights)[:, 0]
    for row, value in zip(weights.astype(int), found, strict=True):
        assert value == pytest.approx(auc(np.repeat(y, row), np.repeat(score, row)).value, abs=1e-12)


def test_bootstrap_of_the_area_agrees_with_delong_and_draws_patients_whole() -> None:
    rng = np.random.default_rng(10)
    y, good, fair, patient = _vessels(rng, 150)
    exact = aucs(y, good, fair, cluster=patient)
    drawn = bootstrap(weighted_auc(y, good, fair), y.size, rng=rng, resamples=3000, cluster=patient)
    for which, estimate in enumerate(drawn):
        assert estimate.value == pytest.approx(float(exact.auc[which]), abs=1e-12)
        assert estimate.standard_error == pytest.approx(exact.interval(which).standard_error, rel=0.08)


def test_bootstrap_is_the_same_for_the_same_seed_however_it_is_cut_up(monkeypatch: pytest.MonkeyPatch) -> None:
    y, score = _binormal(np.random.default_rng(11), 80, 0.8)
    whole = bootstrap(weighted_auc(y, score), y.size, rng=np.random.default_rng(1), resamples=200)
    monkeypatch.setattr(importlib.import_module("myoscope.evaluate.bootstrap"), "_CELLS_AT_ONCE", 800)
    assert bootstrap(weighted_auc(y, score), y.size, rng=np.random.default_rng(1), resamples=200) == whole


def test_bootstrap_says_when_there_are_too_few_patients() -> None:
    (found,) = bootstrap(weighted_auc([1, 0, 0], [0.3, 0.2, 0.1]), 3, rng=np.random.default_rng(0), resamples=100)
    assert found.value == 1
    assert np.isnan(found.low)
    assert found.method.startswith("no interval: only")
    assert not found.excludes_zero


def test_roc_curve_agrees_with_scikit_learn_at_every_threshold() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    y, score = _binormal(np.random.default_rng(12), 120, 1.0)
    score = np.round(score, 1)
    ours = roc_curve(y, score)
    false, hit, threshold = metrics.roc_curve(y, score, drop_intermediate=False)
    assert ours.threshold == pytest.approx(threshold)
    assert ours.sensitivity == pytest.approx(hit)
    assert 1 - ours.specificity == pytest.approx(false)
    assert np.trapezoid(ours.sensitivity, 1 - ours.specificity) == pytest.approx(auc(y, score).value)


@pytest.mark.parametrize("compare", [sensitivity_at_matched_specificity, specificity_at_matched_sensitivity])
def test_a_score_matched_with_itself_gains_nothing_on_average(compare: Any) -> None:
    y, score = _binormal(np.random.default_rng(13), 150, 1.0)
    gains = []
    for threshold in np.linspace(-0.5, 1.5, 41):
        same = compare(y, score, score, reference_threshold=threshold, rng=np.random.default_rng(0), resamples=50)
        gains.append(same.difference.value)
    assert np.mean(gains) == pytest.approx(0, abs=0.005)
    tied = compare(y, score > 0.4, score > 0.4, reference_threshold=0.5, rng=np.random.default_rng(0), resamples=50)
    assert (tied.difference.value, tied.difference.low, tied.difference.high) == pytest.approx((0, 0, 0), abs=1e-12)


def test_matched_accuracy_is_read_where_the_reference_stands() -> None:
    y, score = _binormal(np.random.default_rng(14), 400, 1.4)
    weak = score + np.random.default_rng(15).normal(size=400)
    at = operating_point(y, weak, 0.6)
    gain = sensitivity_at_matched_specificity(
        y, score, weak, reference_threshold=0.6, rng=np.random.default_rng(0), resamples=200
    )
    assert gain.matched.value == pytest.approx(at.specificity.value)
    assert gain.of_reference.value == pytest.approx(at.sensitivity.value)
    curve = roc_curve(y, score)
    below, above = curve.specificity >= at.specificity.value, curve.specificity <= at.specificity.value
    assert curve.sensitivity[below].max() <= gain.of_score.value <= curve.sensitivity[above].min()
    other = specificity_at_matched_sensitivity(
        y, score, weak, reference_threshold=0.6, rng=np.random.default_rng(0), resamples=200
    )
    assert other.matched.value == pytest.approx(at.sensitivity.value)
    assert other.of_reference.value == pytest.approx(at.specificity.value)
    assert other.of_score.value > other.of_reference.value
    assert gain.difference.low > 0


def test_sensitivity_at_the_ends_of_specificity() -> None:
    y, score = _binormal(np.random.default_rng(16), 100, 1.0)
    one = np.ones((1, 100))
    assert sensitivity_at_specificity(y, score, 0.0)(one)[0, 0] == 1
    assert sensitivity_at_specificity(y, score, 1.0)(one)[0, 0] == np.mean(score[y] > score[~y].max())


@pytest.mark.parametrize(("events", "n"), [(0, 10), (10, 10), (3, 20), (80, 100)])
def test_wilson_interval_agrees_with_statsmodels(events: int, n: int) -> None:
    oracle = pytest.importorskip("statsmodels.stats.proportion", reason="statsmodels is not installed")
    found = wilson_interval(events, n)
    assert (found.low, found.high) == pytest.approx(oracle.proportion_confint(events, n, method="wilson"), abs=1e-9)


def test_mcnemar_agrees_with_statsmodels() -> None:
    oracle = pytest.importorskip("statsmodels.stats.contingency_tables", reason="statsmodels is not installed")
    rng = np.random.default_rng(17)
    a = rng.random(120) < 0.8
    b = np.where(rng.random(120) < 0.25, ~a, a)
    found = mcnemar(a, b)
    table = [[np.sum(a & b), np.sum(a & ~b)], [np.sum(~a & b), np.sum(~a & ~b)]]
    assert found.p_exact == pytest.approx(oracle.mcnemar(table, exact=True).pvalue)
    chi2 = oracle.mcnemar(table, exact=False, correction=True)
    assert (found.chi2, found.p_chi2) == pytest.approx((chi2.statistic, chi2.pvalue))
    assert mcnemar(a, a).p_exact == 1


def test_power_is_four_fifths_at_the_detectable_difference() -> None:
    found = aucs(Y, S1, S2).difference(0, 1)
    draws = np.random.default_rng(18).normal(found.detectable, found.standard_error, 20_000)
    assert np.mean(np.abs(draws) > 1.959964 * found.standard_error) == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize(
    ("outcome", "score", "said"),
    [
        ([1, 0, 2], [0.1, 0.2, 0.3], "an outcome is 0 or 1"),
        ([1, 1, 1], [0.1, 0.2, 0.3], "needs both"),
        ([1, 0, 0], [0.1, np.nan, 0.3], "1 of 3 scores are missing"),
        ([1, 0, 0], [0.1, 0.3], "3 patients need one score each"),
        ([1, 0, 0], [0.1, 0.2, 0.3], "two patients of either outcome"),
    ],
)
def test_what_has_no_area_is_refused(outcome: list[int], score: list[float], said: str) -> None:
    with pytest.raises(InvalidValue, match=said):
        aucs(outcome, score)


def test_networks_calibrated_apart_are_compared_within_their_folds_alone() -> None:
    """Parker et al. 2007: two folds, each told apart perfectly, whose networks differ by more than their patients."""
    y = np.tile([0, 0, 1, 1], 20)
    fold = np.repeat([0, 1], 40)
    score = np.tile([0.1, 0.2, 0.3, 0.4], 20) + 0.5 * fold
    score[fold == 1] += np.where(y[fold == 1], 0.0, -0.05)
    found, less = aucs_within(y, score, -score, stratum=fold, reference=0, rng=np.random.default_rng(0), resamples=100)
    assert [one.value for one in found] == [1.0, 0.0]
    assert [one.value for one in less] == [0.0, -1.0]
    assert auc(y, score).value < 0.8


def test_areas_within_one_stratum_are_the_plain_ones_and_repeats_do_not_narrow_them() -> None:
    rng = np.random.default_rng(1)
    y = rng.random(200) < 0.4
    score = rng.normal(y, 1)
    (once,), _ = aucs_within(y, score, stratum=np.zeros(200), reference=0, rng=np.random.default_rng(0), resamples=400)
    assert once.value == pytest.approx(auc(y, score).value)
    plain = auc(y, score)
    assert once.high - once.low == pytest.approx(plain.high - plain.low, rel=0.15)
    (again,), _ = aucs_within(
        np.tile(y, 3),
        np.tile(score, 3),
        stratum=np.repeat([0, 1, 2], 200),
        reference=0,
        rng=np.random.default_rng(0),
        cluster=np.tile(np.arange(200), 3),
        resamples=400,
    )
    assert again.high - again.low == pytest.approx(once.high - once.low, rel=0.1)
    with pytest.raises(InvalidValue, match="no pair can be compared"):
        aucs_within([0, 1], [0.1, 0.2], stratum=["a", "b"], reference=0, rng=rng)
