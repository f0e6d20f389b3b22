"""Decay over a delay and within a frame."""

import numpy as np
import pytest

from myoscope.core import InvalidValue
from myoscope.physics.decay import HALF_LIFE_S, mean_share_left, share_left


def test_half_is_left_after_one_half_life() -> None:
    for nuclide, half_life in HALF_LIFE_S.items():
        assert share_left(nuclide, half_life) == pytest.approx(0.5)
    assert share_left("Tc-99m", -6.02 * 3600) == pytest.approx(2)


def test_the_mean_over_a_frame_is_the_integral_of_what_is_left() -> None:
    times = np.linspace(600, 3000, 200_001)
    mean = share_left("Tc-99m", times).mean()
    assert mean_share_left("Tc-99m", 600, 2400) == pytest.approx(mean, rel=1e-6)


def test_a_short_frame_tends_to_the_share_at_its_time() -> None:
    assert mean_share_left("Tc-99m", 600, 0) == pytest.approx(share_left("Tc-99m", 600), rel=1e-12)
    assert mean_share_left("Tc-99m", 600, 1e-3) == pytest.approx(share_left("Tc-99m", 600), rel=1e-7)


def test_an_unknown_nuclide_is_refused_by_name() -> None:
    with pytest.raises(InvalidValue, match="Ga-68"):
        share_left("Ga-68", 10)
    with pytest.raises(InvalidValue, match="less than no time"):
        mean_share_left("Tc-99m", 0, -1)
