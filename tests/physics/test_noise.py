"""Poisson counts."""

import numpy as np
import pytest

from myoscope.core import InvalidValue
from myoscope.physics.noise import poisson_counts


def test_counts_have_the_expected_mean_and_variance() -> None:
    counts = poisson_counts(np.full(100_000, 7.3), rng=np.random.default_rng(1))
    assert counts.mean() == pytest.approx(7.3, abs=5 * np.sqrt(7.3 / 1e5))
    assert counts.var() == pytest.approx(7.3, rel=0.03)


def test_the_same_seed_gives_the_same_counts() -> None:
    mean = np.linspace(0, 30, 500).reshape(5, 100)
    first, second = (poisson_counts(mean, rng=np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(first, second)
    assert first.shape == mean.shape
    assert (first[mean == 0] == 0).all()


def test_counts_are_stored_in_the_smallest_type_that_holds_them() -> None:
    assert poisson_counts(np.full(4, 10.0), rng=np.random.default_rng(1)).dtype == np.uint16
    assert poisson_counts(np.full(4, 1e6), rng=np.random.default_rng(1)).dtype == np.uint32


@pytest.mark.parametrize(("mean", "says"), [(-1.0, "negative"), (np.nan, "finite")])
def test_impossible_means_are_refused(mean: float, says: str) -> None:
    with pytest.raises(InvalidValue, match=says):
        poisson_counts([mean], rng=np.random.default_rng(1))
