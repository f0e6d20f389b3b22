"""Calibration, utility and reclassification: golden values, laws, and other people's implementations."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit, logit

from myoscope.core import InvalidValue
from myoscope.evaluate import (
    brier_parts,
    calibration,
    calibration_curve,
    categorical_nri,
    category_free_nri,
    decision_curve,
    fit_recalibration,
    idi,
    logistic_fit,
    net_benefit,
    recalibrated,
    weighted_brier,
)
from myoscope.evaluate.calibration import curve_distances, recalibration

Y = np.array([1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0])
S1 = np.array([0.9, 0.8, 0.7, 0.55, 0.3, 0.6, 0.4, 0.35, 0.2, 0.15, 0.1, 0.5])
S2 = np.array([0.7, 0.75, 0.4, 0.6, 0.35, 0.65, 0.3, 0.45, 0.5, 0.2, 0.1, 0.25])

FloatArray = NDArray[np.float64]


def _drawn(n: int, seed: int, *, slope: float = 1.0, shift: float = 0.0) -> tuple[NDArray[np.bool_], FloatArray]:
    """Outcomes whose true log-odds are shift + slope x those of the prediction."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(-0.3, 1.3, n)
    return rng.random(n) < expit(shift + slope * odds), expit(odds)


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_golden_brier_scores_net_benefits_and_reclassification() -> None:
    assert weighted_brier(Y, S1, S2)(np.ones((1, 12)))[0] == pytest.approx([0.149792, 0.181042], abs=1e-6)
    assert net_benefit(Y, S1, 0.3) == pytest.approx(0.273810, abs=1e-6)
    assert net_benefit(Y, S2, 0.3) == pytest.approx(0.273810, abs=1e-6)
    assert decision_curve(Y, S1, rng=_rng(), threshold=0.3, resamples=20).treat_all[0] == pytest.approx(
        0.166667, abs=1e-6
    )
    nri = category_free_nri(Y, S1, S2, rng=_rng(), resamples=200)
    assert (nri.events.value, nri.nonevents.value, nri.total.value) == pytest.approx(
        (0.2, 0.285714, 0.485714), abs=1e-6
    )
    assert idi(Y, S1, S2, rng=_rng(), resamples=200).total.value == pytest.approx(0.111429, abs=1e-6)


def test_brier_score_agrees_with_scikit_learn_and_its_parts_add_up() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    y, p = _drawn(500, 1)
    p = np.round(p, 1)
    parts = brier_parts(y, p)
    assert parts.brier == pytest.approx(metrics.brier_score_loss(y, p), abs=1e-12)
    assert parts.within == pytest.approx(0, abs=1e-12)
    assert parts.brier == pytest.approx(parts.reliability - parts.resolution + parts.uncertainty, abs=1e-12)
    grouped = brier_parts(y, _drawn(500, 1)[1], bins=10)
    assert abs(grouped.within) < 0.01


def test_a_perfect_forecast_has_no_reliability_term_and_all_the_resolution() -> None:
    y = np.array([1, 0, 1, 0, 0])
    parts = brier_parts(y, y.astype(float))
    assert parts.brier == parts.reliability == 0
    assert parts.resolution == pytest.approx(parts.uncertainty)


def test_recalibration_agrees_with_statsmodels() -> None:
    api = pytest.importorskip("statsmodels.api", reason="statsmodels is not installed")
    y, p = _drawn(400, 2, slope=0.6, shift=0.4)
    odds = logit(p)
    level, slope = recalibration(y, p)(np.ones((1, 400)))[0]
    binomial = api.families.Binomial()
    line = api.GLM(y.astype(float), api.add_constant(odds), family=binomial).fit()
    offset = api.GLM(y.astype(float), np.ones((400, 1)), family=binomial, offset=odds).fit()
    assert slope == pytest.approx(line.params[1], abs=1e-6)
    assert level == pytest.approx(offset.params[0], abs=1e-6)


def test_weighted_logistic_fits_are_those_of_repeated_rows() -> None:
    rng = np.random.default_rng(3)
    y, p = _drawn(120, 3)
    design = np.stack([np.ones(120), logit(p)], axis=1)
    weights = rng.integers(0, 3, (4, 120)).astype(float)
    for row, beta in zip(weights.astype(int), logistic_fit(design, y, weights), strict=True):
        repeated = logistic_fit(np.repeat(design, row, axis=0), np.repeat(y, row), np.ones((1, row.sum())))
        assert beta == pytest.approx(repeated[0], abs=1e-7)


def test_a_separable_outcome_has_no_slope_and_says_so_by_nan() -> None:
    y = np.arange(20) >= 10
    beta = logistic_fit(np.stack([np.ones(20), np.arange(20.0)], axis=1), y, np.ones((1, 20)))
    assert np.isnan(beta).all()


def test_calibration_finds_what_was_put_in() -> None:
    y, p = _drawn(4000, 4, slope=0.7, shift=0.5)
    found = calibration(y, p, rng=_rng(), resamples=200)
    assert found.slope.low < 0.7 < found.slope.high
    assert found.slope.high < 1
    assert found.in_the_large.low > 0
    truth = expit(0.5 + 0.7 * logit(p))
    assert found.ici.value == pytest.approx(np.mean(np.abs(truth - p)), abs=0.02)
    assert found.e50.value == pytest.approx(np.median(np.abs(truth - p)), abs=0.03)
    assert found.e90.value == pytest.approx(np.quantile(np.abs(truth - p), 0.9), abs=0.03)
    assert found.ece.value == pytest.approx(found.ici.value, abs=0.03)


def test_right_probabilities_are_found_right() -> None:
    y, p = _drawn(6000, 5)
    found = calibration(y, p, rng=_rng(), resamples=200)
    assert found.slope.low < 1 < found.slope.high
    assert found.in_the_large.low < 0 < found.in_the_large.high
    assert found.ici.value < 0.02


def test_the_curve_bends_where_the_truth_bends() -> None:
    rng = np.random.default_rng(6)
    p = rng.uniform(0.02, 0.98, 6000)
    truth = 0.5 + 0.4 * np.sin(np.pi * (p - 0.5))  # too extreme in the middle, too tame at the ends
    y = rng.random(6000) < truth
    curve = calibration_curve(y, p, rng=_rng(), resamples=50)
    at = 0.5 + 0.4 * np.sin(np.pi * (curve.predicted - 0.5))
    assert np.abs(curve.observed - at).max() < 0.06
    assert curve.group_n.sum() == 6000
    assert np.abs(curve.group_observed - 0.5 - 0.4 * np.sin(np.pi * (curve.group_predicted - 0.5))).max() < 0.06


def test_the_interval_of_the_curve_holds_the_truth_as_often_as_it_says() -> None:
    held = []
    for seed in range(20):
        y, p = _drawn(800, seed, slope=0.8)
        curve = calibration_curve(y, p, rng=_rng(), resamples=150)
        truth = expit(0.8 * logit(curve.predicted))
        held.append(np.mean((curve.low <= truth) & (truth <= curve.high)))
    assert 0.9 < np.mean(held) < 0.98


def test_the_curve_is_unmoved_by_repeating_every_patient() -> None:
    y, p = _drawn(300, 7, slope=0.8)
    once = curve_distances(y, p)(np.ones((1, 300)))
    assert curve_distances(y, p)(np.full((1, 300), 3.0)) == pytest.approx(once, abs=1e-9)


def test_expected_calibration_error_agrees_with_a_loop_over_bins() -> None:
    y, p = _drawn(405, 8, slope=0.5)
    order = np.argsort(p, kind="stable")
    bins = np.array_split(order, 9)  # 45 each
    by_hand = sum(abs(y[b].mean() - p[b].mean()) * b.size for b in bins) / 405
    assert curve_distances(y, p, bins=9)(np.ones((1, 405)))[0, 3] == pytest.approx(by_hand, abs=1e-12)


def test_net_benefit_of_acting_always_is_that_of_treating_all() -> None:
    y, _ = _drawn(200, 9)
    at = np.array([0.1, 0.5, 0.8])
    curve = decision_curve(y, np.ones(200), rng=_rng(), threshold=at, resamples=50)
    assert curve.net_benefit == pytest.approx(curve.treat_all)
    assert net_benefit(y, np.zeros(200), at) == pytest.approx([0, 0, 0])
    # Knowing the outcome is worth the prevalence at any threshold.
    assert net_benefit(y, y.astype(float), at) == pytest.approx([y.mean()] * 3)


def test_a_useless_marker_can_have_a_positive_nri_and_its_parts_show_it() -> None:
    """Moving every prediction up helps the events and harms the nonevents as much."""
    y, p = _drawn(300, 10)
    moved = category_free_nri(y, np.minimum(p + 0.01, 1), p, rng=_rng(), resamples=100)
    assert (moved.events.value, moved.nonevents.value, moved.total.value) == (1, -1, 0)


def test_categorical_nri_counts_only_changes_of_category() -> None:
    y = np.repeat([1, 1, 0, 0], 5)
    old, new = np.repeat([0.2, 0.6, 0.6, 0.2], 5), np.repeat([0.7, 0.65, 0.3, 0.25], 5)
    found = categorical_nri(y, new, old, cuts=[0.5], rng=_rng(), resamples=100)
    assert (found.events.value, found.nonevents.value, found.total.value) == (0.5, 0.5, 1.0)


@pytest.mark.parametrize(
    ("p", "said"),
    [([1.2, 0.1, 0.5, 0.4, 0.3, 0.2], "is this a score"), ([0.1, 0.9, 0.9, 0.1, 0.1, 0.9], "at least 5 different")],
)
def test_what_are_no_probabilities_is_refused(p: list[float], said: str) -> None:
    with pytest.raises(InvalidValue, match=said):
        calibration([1, 0, 1, 0, 1, 0], p, rng=_rng())


def test_recalibrating_undoes_what_was_done_to_the_log_odds() -> None:
    rng = np.random.default_rng(8)
    right = rng.uniform(0.02, 0.98, 20_000)
    y = rng.random(right.size) < right
    wrong = recalibrated(right, (0.7, 0.4))
    line = fit_recalibration(y, wrong)
    np.testing.assert_allclose(line, (-0.7 / 0.4, 1 / 0.4), rtol=0.06)
    assert np.abs(recalibrated(wrong, line) - right).mean() < 0.01
    assert (np.diff(recalibrated(np.sort(wrong), line)) >= 0).all()


def test_what_tells_the_outcome_perfectly_cannot_be_recalibrated() -> None:
    with pytest.raises(InvalidValue, match="perfectly"):
        fit_recalibration([0, 0, 0, 1, 1, 1], [0.1, 0.15, 0.2, 0.8, 0.85, 0.9])
