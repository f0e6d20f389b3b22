from dataclasses import replace

import numpy as np
import pytest

from myoscope.core import EnergyWindow, Projections
from myoscope.reconstruct import split_counts


def counted(level: float) -> Projections:
    counts = np.random.default_rng(1).poisson(level, (1, 1, 20, 16, 16)).astype(np.uint16)
    angle = np.linspace(0, 171, 20)
    return Projections(
        counts, angle, np.full(20, 200.0), (6.4, 6.4), (EnergyWindow("peak", 126, 154),), np.full(20, 25.0)
    )


def test_halves_add_up_and_are_independent() -> None:
    whole = counted(30.0)
    halves = split_counts(whole, rng=np.random.default_rng(2))
    assert halves is not None
    one, other = (np.asarray(half.counts, float) for half in halves)
    np.testing.assert_array_equal(one + other, np.asarray(whole.counts, float))
    assert one.var() == pytest.approx(15.0, rel=0.08)
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.05


def test_pixels_that_are_no_counts_cannot_be_halved() -> None:
    whole = counted(30.0)
    scaled = replace(whole, counts=np.asarray(whole.counts, float) * 0.37)
    assert split_counts(scaled, rng=np.random.default_rng(2)) is None
