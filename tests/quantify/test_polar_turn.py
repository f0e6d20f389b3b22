"""The turn of one map against another: found where the wall tells it, 0 where it does not."""

import numpy as np
import pytest

from myoscope.core import GeometryMismatch, InvalidValue
from myoscope.quantify import smoothed_on_wall, turn_between, turned

SHAPE, AREA = (40, 72), np.full((40, 72), 4.0)
ANGLE = np.broadcast_to((np.arange(72) + 0.5) * 5, SHAPE)
RING = np.broadcast_to(np.arange(40.0)[:, None], SHAPE)


def spot(angle_deg: float, depth: float = 0.5, half_deg: float = 40.0) -> np.ndarray:
    away = (ANGLE - angle_deg + 180) % 360 - 180
    lost: np.ndarray = depth * np.exp(-((away / half_deg) ** 4) - ((RING - 20) / 12) ** 4)
    return lost


def noisy(value: np.ndarray, seed: int, percent: float = 12.0) -> np.ndarray:
    return value * (1 + percent / 100 * np.random.default_rng(seed).standard_normal(SHAPE))


def test_turning_there_and_back_changes_nothing_but_sharpness() -> None:
    value = smoothed_on_wall(1 - spot(120), AREA, 20.0)
    assert np.array_equal(turned(value, 15), np.roll(value, 3, axis=1))
    assert np.abs(turned(turned(value, 7), -7) - value).max() < 0.03
    assert turned(value, 0) == pytest.approx(value)


def test_turning_is_counter_clockwise() -> None:
    place = np.unravel_index(np.argmin(turned(1 - spot(120), 20)), SHAPE)
    assert abs(ANGLE[place] - 140) <= 2.5


@pytest.mark.parametrize("deg", [-12.0, -3.0, 0.0, 7.0, 14.0])
def test_the_turn_of_a_wall_that_shows_it_is_found(deg: float) -> None:
    wall = 100 * (1 - spot(200) - spot(60, 0.25, 25))
    after = 0.4 * turned(wall, deg)
    found = turn_between(noisy(wall, 1), noisy(after, 2), AREA, smoothing_fwhm_mm=20)
    assert found == pytest.approx(deg, abs=1.5)


def test_an_even_wall_is_not_turned_by_its_noise() -> None:
    even = np.full(SHAPE, 100.0)
    turns = [turn_between(noisy(even, n), noisy(even, 50 + n), AREA, smoothing_fwhm_mm=20) for n in range(10)]
    assert turns == [0.0] * 10


def test_a_new_defect_does_not_turn_the_heart() -> None:
    before = 100 * (1 - spot(200, 0.3))
    for where in (215.0, 90.0, 250.0):
        after = before - 100 * spot(where, 0.4)
        found = turn_between(noisy(before, 1), noisy(after, 2), AREA, smoothing_fwhm_mm=20)
        assert found == 0, where


def test_wall_that_was_not_seen_is_left_out() -> None:
    wall = 100 * (1 - spot(200) - spot(60, 0.25, 25))
    hidden = turned(wall, 8)
    hidden[30:, 10:30] = np.nan
    assert turn_between(wall, hidden, AREA, smoothing_fwhm_mm=20) == pytest.approx(8, abs=1)
    assert np.isnan(turned(hidden, 5)).sum() == np.isnan(hidden).sum()


def test_maps_without_anything_in_common_are_refused() -> None:
    with pytest.raises(GeometryMismatch):
        turn_between(np.ones(SHAPE), np.ones((20, 72)), AREA)
    with pytest.raises(InvalidValue, match="in common"):
        turn_between(np.ones(SHAPE), np.full(SHAPE, np.nan), AREA)
