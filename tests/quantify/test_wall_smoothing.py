import numpy as np
import pytest

from myoscope.core import InvalidValue
from myoscope.quantify import smoothed_on_wall

RINGS, ANGLES, RADIUS_MM, LENGTH_MM = 40, 72, 30.0, 80.0
# A cylinder whose cells have the area that a ventricle of this length would give them.
AREA = np.full((RINGS, ANGLES), 1.68 * LENGTH_MM**2 / (RINGS * ANGLES))
WIDTH_MM = AREA[0, 0] / (LENGTH_MM / RINGS)


def test_an_even_map_stays_and_what_is_not_seen_stays_unseen() -> None:
    even = np.full((RINGS, ANGLES), 7.0)
    even[3, 4] = np.nan
    smooth = smoothed_on_wall(even, AREA, 25.0)
    assert np.isnan(smooth[3, 4])
    np.testing.assert_allclose(smooth[np.isfinite(smooth)], 7, atol=1e-9)


def test_a_spot_spreads_as_far_along_the_wall_as_round_it() -> None:
    spot = np.zeros((RINGS, ANGLES))
    spot[20, 36] = 1
    smooth = smoothed_on_wall(spot, AREA, 20.0)
    assert smooth.sum() == pytest.approx(1, abs=1e-3)
    row, column = np.arange(RINGS) - 20, np.arange(ANGLES) - 36
    along = np.sqrt((smooth.sum(axis=1) * row**2).sum()) * LENGTH_MM / RINGS
    round_it = np.sqrt((smooth.sum(axis=0) * column**2).sum()) * WIDTH_MM
    assert along == pytest.approx(20 / np.sqrt(8 * np.log(2)), rel=0.03)
    assert round_it == pytest.approx(along, rel=0.03)


def test_no_width_changes_nothing_and_a_negative_one_is_refused() -> None:
    noise = np.random.default_rng(1).normal(size=(3, RINGS, ANGLES))
    np.testing.assert_array_equal(smoothed_on_wall(noise, AREA, 0), noise)
    with pytest.raises(InvalidValue, match="positive distance"):
        smoothed_on_wall(noise, AREA, -1)
