"""Knowing is not using: the audit tells the two apart."""

from __future__ import annotations

import numpy as np
import pytest

from myoscope.core import InvalidValue
from myoscope.evaluate import audit_shortcut


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
