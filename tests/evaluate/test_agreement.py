"""Agreement of measurements: published tables, laws, and coverage of intervals."""

from __future__ import annotations

import numpy as np
import pytest

from myoscope.core import InvalidValue
from myoscope.evaluate import bland_altman, icc_2_1, repeatability_coefficient

# Table 2 of Shrout and Fleiss, Psychol Bull 1979;86:420: four judges rate six targets.
JUDGES = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float)


def test_icc_is_that_of_the_paper_that_defined_it() -> None:
    found = icc_2_1(JUDGES)
    assert found.value == pytest.approx(0.29, abs=0.005)
    # Interval of McGraw and Wong 1996, as R's psych::ICC(x) prints for ICC2 of this table.
    assert (found.low, found.high) == pytest.approx((0.019, 0.761), abs=0.002)


def test_icc_falls_with_bias_that_correlation_does_not_see() -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(60, 10, 200)
    pair = np.stack([truth + rng.normal(0, 2, 200), truth + rng.normal(0, 2, 200)], axis=1)
    shifted = pair + np.array([0, 15])
    assert icc_2_1(pair).value == pytest.approx(100 / 104, abs=0.02)
    correlations = [float(np.corrcoef(x[:, 0], x[:, 1])[1, 0]) for x in (pair, shifted)]
    assert correlations[0] == pytest.approx(correlations[1])
    assert icc_2_1(shifted).value < icc_2_1(pair).value - 0.3
    assert icc_2_1(pair * 3 - 7).value == pytest.approx(icc_2_1(pair).value)


def test_interval_of_the_icc_holds_the_true_one_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    held = []
    for _ in range(400):
        measured = rng.normal(0, 3, (30, 1)) + rng.normal(0, 1, (1, 3)) + rng.normal(0, 2, (30, 3))
        found = icc_2_1(measured)
        held.append(found.low <= 9 / (9 + 1 + 4) <= found.high)
    assert 0.91 < np.mean(held) <= 0.99


def test_equal_measurements_agree_entirely() -> None:
    truth = np.array([40.0, 55, 62, 71])
    assert icc_2_1(np.stack([truth, truth], axis=1)).value == 1
    same = bland_altman(truth, truth)
    assert same.bias.value == same.upper_limit.value == 0
    assert repeatability_coefficient(np.stack([truth, truth], axis=1)).value == 0


def test_limits_of_agreement_hold_95_percent_of_differences() -> None:
    rng = np.random.default_rng(3)
    truth = rng.normal(100, 20, 5000)
    found = bland_altman(truth + rng.normal(0, 3, 5000), truth + rng.normal(5, 4, 5000))
    assert found.bias.value == pytest.approx(5, abs=0.3)
    assert found.upper_limit.value - found.lower_limit.value == pytest.approx(2 * 1.96 * 5, rel=0.03)
    assert found.slope.low < 0.05
    stretched = bland_altman(truth, 1.2 * truth)
    assert stretched.slope.value == pytest.approx(2 * 0.2 / 2.2, rel=1e-6)


def test_interval_of_a_limit_holds_the_true_one_as_often_as_it_says() -> None:
    rng = np.random.default_rng(4)
    held = []
    for _ in range(500):
        found = bland_altman(np.arange(25.0), np.arange(25.0) + rng.normal(0, 2, 25))
        held.append(found.upper_limit.low <= 1.96 * 2 <= found.upper_limit.high)
    assert 0.92 < np.mean(held) < 0.98


def test_repeatability_is_exceeded_once_in_twenty() -> None:
    rng = np.random.default_rng(5)
    repeats = rng.normal(0, 30, (4000, 1)) + rng.normal(0, 2, (4000, 2))
    found = repeatability_coefficient(repeats)
    assert found.value == pytest.approx(2.772 * 2, rel=0.03)
    assert found.low < 2.772 * 2 < found.high
    assert np.mean(np.abs(np.diff(repeats, axis=1)) > found.value) == pytest.approx(0.05, abs=0.01)


def test_incomplete_measurements_are_refused() -> None:
    with pytest.raises(InvalidValue, match="leave subjects with a missing one out"):
        icc_2_1([[1.0, 2.0], [3.0, np.nan]])
    with pytest.raises(InvalidValue, match="at least 3 subjects"):
        bland_altman([1.0, 2.0], [1.0, 2.5])
