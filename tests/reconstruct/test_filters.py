"""Filters: the two Butterworths apart, units of the cut-off, and what smoothing keeps."""

import numpy as np
import pytest

from myoscope.core import Grid, InvalidValue, Volume
from myoscope.reconstruct import Butterworth, Gaussian, Hann, smooth

# Amplitude form: order, cut-off, frequency (cycles/pixel), gain.
TABLE = [
    (5, 0.33, 0.2, 0.9967),
    (5, 0.33, 0.3, 0.8496),
    (5, 0.33, 0.4, 0.3570),
    (2.5, 0.30, 0.2, 0.9400),
    (2.5, 0.30, 0.3, 0.7071),
]
PIXEL_MM = 6.4


@pytest.mark.parametrize(("order", "cutoff", "frequency", "gain"), TABLE)
def test_amplitude_butterworth_has_the_tabled_gain(order: float, cutoff: float, frequency: float, gain: float) -> None:
    by = Butterworth(order, cutoff, "cycles/pixel", "amplitude")
    assert by.gain(frequency / PIXEL_MM, pixel_mm=PIXEL_MM) == pytest.approx(gain, abs=5e-5)


@pytest.mark.parametrize(("order", "cutoff", "frequency", "gain"), TABLE)
def test_power_butterworth_is_the_square_of_the_amplitude_one(
    order: float, cutoff: float, frequency: float, gain: float
) -> None:
    by = Butterworth(order, cutoff, "cycles/pixel", "power")
    assert by.gain(frequency / PIXEL_MM, pixel_mm=PIXEL_MM) == pytest.approx(gain**2, abs=1e-4)


def test_one_cutoff_in_three_units_is_one_filter() -> None:
    frequency = np.linspace(0, 0.1, 40)
    per_pixel = Butterworth(5, 0.33, "cycles/pixel", "amplitude").gain(frequency, pixel_mm=PIXEL_MM)
    for same in (Butterworth(5, 0.515625, "cycles/cm", "amplitude"), Butterworth(5, 0.66, "Nyquist", "amplitude")):
        np.testing.assert_allclose(same.gain(frequency, pixel_mm=PIXEL_MM), per_pixel, rtol=1e-9)


@pytest.mark.parametrize("by", [Butterworth(5, 0.33, "Nyquist", "power"), Gaussian(12.0), Hann(0.9, "Nyquist")])
def test_smoothing_leaves_a_uniform_image_as_it_is(by: Butterworth | Gaussian | Hann) -> None:
    volume = Volume(np.full((9, 8, 7), 5.0), Grid.axis_aligned((9, 8, 7), spacing_mm=(6, 6, 4)), "counts")
    np.testing.assert_allclose(smooth(volume, by).array, 5.0, rtol=1e-5)


def test_a_gaussian_makes_a_point_as_wide_as_it_says_in_millimetres_along_every_axis() -> None:
    grid = Grid.axis_aligned((41, 41, 61), spacing_mm=(3, 3, 2))
    point = np.zeros(grid.shape)
    point[20, 20, 30] = 1
    blurred = np.asarray(smooth(Volume(point, grid, "counts"), Gaussian(15.0)).array, float)
    assert blurred.sum() == pytest.approx(1, rel=1e-5)
    offset = grid.points_mm() - grid.to_mm((20, 20, 30))
    for axis in range(3):
        sigma = np.sqrt((blurred * offset[..., axis] ** 2).sum())
        assert sigma * 2.3548 == pytest.approx(15.0, rel=0.01)


def test_gates_are_smoothed_one_by_one() -> None:
    grid = Grid.axis_aligned((8, 8, 8), spacing_mm=6)
    gates = np.random.default_rng(1).uniform(size=(3, 8, 8, 8))
    both = smooth(Volume(gates, grid, "counts", frame_axis="gate"), Gaussian(14.0))
    one = smooth(Volume(gates[1], grid, "counts"), Gaussian(14.0))
    np.testing.assert_allclose(both.array[1], one.array, rtol=1e-5)
    assert both.made_by == ("smoothed: Gaussian, 14 mm FWHM",)


def test_a_filter_without_sense_is_refused() -> None:
    for make in (
        lambda: Butterworth(5, 0, "Nyquist", "power"),
        lambda: Butterworth(0, 0.3, "Nyquist", "power"),
        lambda: Butterworth(5, 0.3, "per cm", "power"),  # type: ignore[arg-type]
        lambda: Gaussian(-1),
    ):
        with pytest.raises(InvalidValue):
            make()
