"""Accuracy when only some were verified: by hand, on complete truth that is then hidden, and on real data."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from myoscope.core import InvalidValue
from myoscope.evaluate import VerifiedAuc, auc, begg_greenes, verified_accuracy, verified_auc
from myoscope.evaluate.verification import Correction

REAL = Path(__file__).parents[3] / "shared" / "data" / "tabular" / "cad_pvb.csv"
FloatArray = NDArray[np.float64]


def _patients(n: int, seed: int) -> tuple[NDArray[np.bool_], FloatArray, FloatArray, NDArray[np.bool_]]:
    """Outcome, score, a covariate, and who is verified: the higher the score and the covariate, the sooner."""
    rng = np.random.default_rng(seed)
    age = rng.normal(size=n)
    y = rng.random(n) < expit(-1 + 0.7 * age)
    score = rng.normal(size=n) + 1.1 * y
    verified = rng.random(n) < expit(-0.8 + 1.3 * score + 0.5 * age)
    return y, score, age, verified


def _hidden(y: NDArray[np.bool_], verified: NDArray[np.bool_]) -> FloatArray:
    return np.where(verified, y.astype(float), np.nan)


def test_begg_greenes_by_hand() -> None:
    """40 of 50 positive and 10 of 50 negative tests verified; 30 and 2 of those are ill."""
    test = np.repeat([1, 0], 50)
    outcome = np.full(100, np.nan)
    outcome[:40], outcome[50:60] = np.repeat([1, 0], [30, 10]), np.repeat([1, 0], [2, 8])
    found = begg_greenes(test, outcome)
    ill_positive, ill_negative = 50 * 30 / 40, 50 * 2 / 10
    assert found.sensitivity.value == pytest.approx(ill_positive / (ill_positive + ill_negative))
    assert found.specificity.value == pytest.approx(40 / (40 + 12.5))
    assert found.naive_sensitivity.value == pytest.approx(30 / 32)
    assert found.naive_specificity.value == pytest.approx(8 / 18)
    assert found.prevalence == pytest.approx((ill_positive + ill_negative) / 100)


def test_nothing_is_corrected_where_everybody_was_verified() -> None:
    y, score, _, _ = _patients(800, 1)
    found = begg_greenes(score > 0.5, y.astype(float))
    assert found.sensitivity.value == pytest.approx(found.naive_sensitivity.value)
    assert found.specificity.value == pytest.approx(found.naive_specificity.value)


def test_begg_greenes_finds_the_hidden_truth_and_its_interval_holds_it() -> None:
    held, errors, naive = [], [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        y = rng.random(1500) < 0.3
        test = rng.random(1500) < np.where(y, 0.8, 0.25)
        verified = rng.random(1500) < np.where(test, 0.7, 0.15)
        found = begg_greenes(test, _hidden(y, verified))
        held.append(found.sensitivity.low < 0.8 < found.sensitivity.high)
        errors.append(found.sensitivity.value - 0.8)
        naive.append(found.naive_sensitivity.value - 0.8)
    assert 0.91 < np.mean(held) < 0.99
    assert abs(np.mean(errors)) < 0.01
    assert np.mean(naive) > 0.1


@pytest.mark.parametrize("method", ["imputed", "weighted", "doubly robust"])
def test_area_comes_back_to_that_of_everybody(method: Correction) -> None:
    y, score, age, verified = _patients(6000, 2)
    found = verified_auc(
        score, _hidden(y, verified), covariates=age, method=method, rng=np.random.default_rng(0), resamples=60
    )
    true = auc(y, score).value
    assert abs(found.naive.value - true) > 0.03
    assert found.corrected.low < true < found.corrected.high
    assert abs(found.corrected.value - true) < abs(found.naive.value - true)


def test_doubly_robust_area_survives_a_wrong_model_of_the_disease() -> None:
    """Disease that is not logistic in the score misleads imputation, which weighting then puts right."""
    rng = np.random.default_rng(3)
    score = rng.normal(size=20_000)
    y = rng.random(20_000) < np.where(np.abs(score) > 1.2, 0.75, 0.1)
    verified = rng.random(20_000) < expit(-0.5 + 0.7 * score)
    true = auc(y, score).value

    def by(method: Correction) -> VerifiedAuc:
        return verified_auc(score, _hidden(y, verified), method=method, rng=np.random.default_rng(0), resamples=30)

    assert abs(by("imputed").corrected.value - true) > 0.05
    assert by("doubly robust").corrected.value == pytest.approx(true, abs=0.02)


def test_area_of_everybody_verified_is_the_plain_one() -> None:
    y, score, _, _ = _patients(500, 4)
    found = verified_auc(score, y.astype(float), method="imputed", rng=np.random.default_rng(0), resamples=30)
    assert found.corrected.value == pytest.approx(auc(y, score).value, abs=1e-9)


def test_a_result_that_nobody_verified_is_refused() -> None:
    with pytest.raises(InvalidValue, match="0 of 0 after a negative"):
        begg_greenes([1, 1, 1, 0, 0], [1, 0, 1, np.nan, np.nan])


def test_accuracy_at_a_threshold_is_that_of_begg_and_greenes_for_a_test_of_two_results() -> None:
    test = np.repeat([1.0, 0.0], 50)
    outcome = np.full(100, np.nan)
    outcome[:40], outcome[50:60] = np.repeat([1, 0], [30, 10]), np.repeat([1, 0], [2, 8])
    closed = begg_greenes(test, outcome)
    for method in get_args(Correction):
        found = verified_accuracy(
            test, outcome, threshold=1, method=method, rng=np.random.default_rng(0), resamples=200
        )
        assert found.sensitivity.value == pytest.approx(closed.sensitivity.value, abs=1e-4)
        assert found.specificity.value == pytest.approx(closed.specificity.value, abs=1e-4)
        assert found.naive_sensitivity.value == pytest.approx(closed.naive_sensitivity.value)
        assert found.prevalence.value == pytest.approx(closed.prevalence, abs=1e-4)


def test_accuracy_of_a_second_test_needs_what_the_decision_went_by() -> None:
    """Doctors look at the scan; correcting another score for itself alone leaves bias that the scan takes away."""
    rng = np.random.default_rng(5)
    y = rng.random(8000) < 0.3
    scan, other = (rng.normal(1.5 * y, 1) for _ in range(2))
    verified = rng.random(8000) < expit(-2 + 1.8 * scan)
    hidden = _hidden(y, verified)
    true = ((other >= 1)[y].mean(), (other < 1)[~y].mean(), auc(y, other).value)
    alone, both = (
        verified_accuracy(other, hidden, threshold=1, covariates=by, rng=np.random.default_rng(0), resamples=100)
        for by in (None, scan)
    )
    assert both.sensitivity.low < true[0] < both.sensitivity.high
    assert both.specificity.low < true[1] < both.specificity.high
    assert both.prevalence.low < y.mean() < both.prevalence.high
    assert abs(alone.prevalence.value - y.mean()) > 3 * abs(both.prevalence.value - y.mean())
    assert alone.naive_specificity == both.naive_specificity
    area = verified_auc(other, hidden, covariates=scan, rng=np.random.default_rng(0), resamples=60)
    assert area.corrected.low < true[2] < area.corrected.high


def test_rows_of_one_patient_are_drawn_together() -> None:
    y, score, _, verified = _patients(300, 6)
    hidden = _hidden(y, verified)
    once = verified_auc(score, hidden, rng=np.random.default_rng(0), resamples=300).corrected
    again = verified_auc(
        np.tile(score, 3),
        np.tile(hidden, 3),
        cluster=np.tile(np.arange(300), 3),
        rng=np.random.default_rng(0),
        resamples=300,
    ).corrected
    assert again.high - again.low == pytest.approx(once.high - once.low, rel=0.15)


def test_nothing_is_corrected_at_a_threshold_where_everybody_was_verified() -> None:
    y, score, age, _ = _patients(500, 7)
    for method in get_args(Correction):
        found = verified_accuracy(
            score, y.astype(float), threshold=0.3, covariates=age, method=method, rng=np.random.default_rng(0),
            resamples=30,
        )  # fmt: skip
        assert found.sensitivity.value == pytest.approx((score >= 0.3)[y].mean())
        assert found.specificity.value == pytest.approx((score < 0.3)[~y].mean())


def _real() -> tuple[FloatArray, FloatArray, FloatArray]:
    if not REAL.exists():
        pytest.skip("cad_pvb.csv (2,688 patients, Cecil 1996) is not beside this checkout")
    with REAL.open(newline="") as file:
        rows = list(csv.DictReader(file))
    outcome = np.array([float(r["D"]) if r["D"] else np.nan for r in rows])
    covariates = np.array([[float(r[x]) for x in ("X1", "X2", "X3")] for r in rows])
    return np.array([float(r["T"]) for r in rows]), outcome, covariates


def test_real_thallium_scans_are_as_biased_as_was_published() -> None:
    """2,688 patients, 471 verified: 195 true and 232 false positives, 5 false and 39 true negatives."""
    test, outcome, _ = _real()
    found = begg_greenes(test, outcome)
    assert (found.n, found.n_verified) == (2688, 471)
    assert found.naive_sensitivity.value == pytest.approx(195 / 200)
    assert found.naive_specificity.value == pytest.approx(39 / 271)
    # 1,423 positive and 1,265 negative scans.
    ill = np.array([1423 * 195 / 427, 1265 * 5 / 44])
    well = np.array([1423 * 232 / 427, 1265 * 39 / 44])
    assert found.sensitivity.value == pytest.approx(ill[0] / ill.sum())
    assert found.specificity.value == pytest.approx(well[1] / well.sum())
    assert 0.81 < found.sensitivity.value < 0.83
    assert 0.58 < found.specificity.value < 0.60


def test_corrected_area_of_a_two_way_test_is_the_mean_of_its_corrected_accuracies() -> None:
    test, outcome, _ = _real()
    accuracy = begg_greenes(test, outcome)
    for method in ("imputed", "weighted", "doubly robust"):
        found = verified_auc(test, outcome, method=method, rng=np.random.default_rng(0), resamples=40)
        both = (accuracy.sensitivity.value + accuracy.specificity.value) / 2
        assert found.corrected.value == pytest.approx(both, abs=1e-3)


def test_real_thallium_scans_give_the_same_accuracy_by_every_correction() -> None:
    test, outcome, covariates = _real()
    closed = begg_greenes(test, outcome)
    for method in get_args(Correction):
        found = verified_accuracy(
            test, outcome, threshold=1, method=method, rng=np.random.default_rng(0), resamples=100
        )
        assert found.sensitivity.value == pytest.approx(closed.sensitivity.value, abs=1e-3)
        assert found.specificity.value == pytest.approx(closed.specificity.value, abs=1e-3)
    more = verified_accuracy(
        test, outcome, threshold=1, covariates=covariates, rng=np.random.default_rng(0), resamples=100
    )
    assert more.sensitivity.low < closed.sensitivity.value < more.sensitivity.high
    assert more.specificity.low < closed.specificity.value < more.specificity.high
