"""Scatter from energy windows."""

import numpy as np
import pytest

from myoscope.core import EnergyWindow, Gating, InvalidValue, Projections
from myoscope.correct import dual_energy_window, estimate_scatter, triple_energy_window

PEAK = EnergyWindow("photopeak", 126, 154)


def projections(windows: tuple[EnergyWindow, ...], levels: tuple[float, ...], *, size: int = 16) -> Projections:
    rng = np.random.default_rng(1)
    counts = np.stack([rng.poisson(level, (2, 4, size, size)) for level in levels])
    nothing = np.full(4, np.nan)
    return Projections(counts, 6.0 * np.arange(4.0), nothing, (6.4, 6.4), windows, nothing, gating=Gating(2))


def test_the_worked_example_of_the_triangle() -> None:
    scatter = triple_energy_window(5000, None, lower_keV=6, upper_keV=None, photopeak_keV=28)
    assert float(scatter) == pytest.approx(11_667, abs=0.5)


def test_the_trapezoid_adds_the_upper_side_and_both_are_linear() -> None:
    both = triple_energy_window([600, 1200], [60, 120], lower_keV=6, upper_keV=3, photopeak_keV=28)
    np.testing.assert_allclose(both, [(100 + 20) * 14, (200 + 40) * 14])
    np.testing.assert_allclose(dual_energy_window([10, 20], k=0.5), [5, 10])


def test_a_narrow_window_next_to_the_photopeak_is_used_and_smoothed() -> None:
    found = estimate_scatter(projections((PEAK, EnergyWindow("low", 120, 126)), (100, 9)), photopeak=0)
    assert found is not None
    assert found.method == "triple energy window, lower window only"
    expected = 9 / 6 * 14
    assert found.counts.shape == (2, 4, 16, 16)
    assert found.counts.mean() == pytest.approx(expected, rel=0.02)
    # Counts of 9 scatter by 33 %; the estimate does not.
    assert found.counts.std() < 0.2 * expected
    assert found.share_of_photopeak == pytest.approx(0.21, abs=0.01)


def test_both_sides_and_any_order_of_windows() -> None:
    windows = (EnergyWindow("high", 154, 160), EnergyWindow("low", 120, 126), PEAK)
    found = estimate_scatter(projections(windows, (3, 9, 100)), photopeak=2)
    assert found is not None
    assert found.method == "triple energy window"
    assert found.counts.mean() == pytest.approx(12 / 6 * 14, rel=0.03)


def test_a_wide_window_below_gives_the_dual_window_estimate() -> None:
    found = estimate_scatter(projections((PEAK, EnergyWindow("scatter", 92, 125)), (100, 60)), photopeak=0)
    assert found is not None
    assert found.method == "dual energy window, k = 0.5"
    assert found.counts.mean() == pytest.approx(30, rel=0.02)


def test_the_estimate_is_never_more_than_what_was_counted_around() -> None:
    found = estimate_scatter(projections((PEAK, EnergyWindow("low", 120, 126)), (20, 50)), photopeak=0)
    assert found is not None
    assert found.share_of_photopeak <= 1.0001


def test_windows_that_tell_nothing_give_no_estimate() -> None:
    assert estimate_scatter(projections((PEAK,), (100,)), photopeak=0) is None
    far = (PEAK, EnergyWindow("far", 60, 80))
    assert estimate_scatter(projections(far, (100, 50)), photopeak=0) is None
    with pytest.raises(InvalidValue, match="widths"):
        triple_energy_window(1, None, lower_keV=0, upper_keV=None, photopeak_keV=28)
    with pytest.raises(InvalidValue, match="upper window"):
        triple_energy_window(1, 2, lower_keV=6, upper_keV=None, photopeak_keV=28)
    with pytest.raises(InvalidValue, match="positive"):
        dual_energy_window(1, k=0)
