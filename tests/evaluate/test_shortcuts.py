"""Knowing is not using: the audit tells the two apart."""

from __future__ import annotations

import numpy as np
import pytest

from myoscope.core import InvalidValue
from myoscope.evaluate import LevelAudit, audit_levels, audit_shortcut, level_lines, shortcut_lines


def _audit(*, in_features: float, in_prediction: float, n: int = 600) -> tuple[float, float, bool]:
    rng = np.random.default_rng(1)
    sex = rng.random(n) < 0.5
    deficit = rng.gamma(1.0, 4.0, n)
    ill = rng.random(n) < 1 / (1 + np.exp(-(deficit - 4) / 2))
    features = rng.normal(size=(n, 12))
    features[:, 3] += in_features * sex
    log_odds = 0.3 * deficit + ill + in_prediction * sex + rng.normal(0, 0.5, n)
    found = audit_shortcut(
        "men", sex, features, log_odds, np.column_stack([ill, deficit]), rng=np.random.default_rng(0), resamples=300
    )
    return found.decodable.value, found.lean.value, found.lean.excludes_zero


def test_what_is_neither_known_nor_used() -> None:
    decodable, lean, leans = _audit(in_features=0, in_prediction=0)
    assert decodable == pytest.approx(0.5, abs=0.06)
    assert lean == pytest.approx(0, abs=0.12)
    assert not leans


def test_what_is_known_but_not_used() -> None:
    decodable, _, leans = _audit(in_features=3, in_prediction=0)
    assert decodable > 0.95
    assert not leans


def test_what_is_used_is_measured() -> None:
    _, lean, leans = _audit(in_features=3, in_prediction=0.8)
    assert lean == pytest.approx(0.8, abs=0.15)
    assert leans


def test_an_attribute_of_everybody_is_refused() -> None:
    with pytest.raises(InvalidValue, match="all patients are alike in camera"):
        audit_shortcut("camera", np.ones(9), np.zeros((9, 2)), np.zeros(9), np.zeros(9), rng=np.random.default_rng(0))


def _site_audit(*, in_features: float, in_prediction: float, n: int = 900) -> LevelAudit:
    """Patients of three sites, one of which has iller patients, and of a fourth that saw four."""
    rng = np.random.default_rng(2)
    site = rng.choice(["coast", "hillside", "north"], n)
    site[:4] = "moon"
    deficit = rng.gamma(1.0, 4.0, n) + 3 * (site == "coast")
    ill = rng.random(n) < 1 / (1 + np.exp(-(deficit - 4) / 2))
    features = rng.normal(size=(n, 10))
    features[:, 1] += in_features * (site == "north")
    features[:, 2] += in_features * (site == "coast")
    log_odds = 0.3 * deficit + ill + in_prediction * (site == "north") + rng.normal(0, 0.5, n)
    truth = np.column_stack([ill, deficit])
    return audit_levels("site", site, features, log_odds, truth, rng=np.random.default_rng(0), resamples=300)


def test_sites_of_iller_patients_are_no_shortcut_by_themselves() -> None:
    found = _site_audit(in_features=0, in_prediction=0)
    assert [one.attribute for one in found.levels] == ["site: coast", "site: hillside", "site: north"]
    assert found.left_out == ("moon",)
    assert all(one.decodable.value == pytest.approx(0.5, abs=0.07) for one in found.levels)
    assert found.read.low < found.commonest + 0.05
    assert found.p_lean > 0.05


def test_a_site_that_is_read_and_leant_on_is_named() -> None:
    found = _site_audit(in_features=4, in_prediction=0.8)
    by_name = {one.attribute: one for one in found.levels}
    assert min(one.decodable.value for one in found.levels) > 0.9
    assert found.read.low > 0.9
    assert by_name["site: north"].lean.low > 0.6
    assert by_name["site: coast"].lean.high < -0.2  # it is compared with all others, the leant-on one among them
    assert found.p_lean < 0.001
    table = "\n".join([*shortcut_lines(found.levels), *level_lines([found])])
    assert "| site: north |" in table
    assert "too few of moon" in table


def test_levels_are_alike_as_often_as_chance_has_it() -> None:
    rng = np.random.default_rng(3)
    p = []
    for _ in range(60):
        site, truth = rng.choice(["a", "b", "c"], 150), rng.normal(size=150)
        answers = truth + rng.normal(size=150)
        found = audit_levels("site", site, rng.normal(size=(150, 2)), answers, truth, rng=rng, resamples=200)
        p.append(found.p_lean)
    assert 0.0 <= np.mean(np.array(p) < 0.05) < 0.15
    assert 0.35 < np.mean(p) < 0.65


def test_an_audit_of_one_camera_is_refused() -> None:
    with pytest.raises(InvalidValue, match="two levels of 10 patients; there are 30 of czt camera"):
        audit_levels(
            "camera", ["czt"] * 30, np.zeros((30, 2)), np.zeros(30), np.zeros(30), rng=np.random.default_rng(0)
        )
