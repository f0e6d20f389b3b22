import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from myoscope.quantify.scaling import scale_factors

MEAN = 80 + 10 * np.cos(np.linspace(0, 2 * np.pi, 72))[None] + np.linspace(0, 5, 40)[:, None]
THRESHOLD = MEAN - 15
WEIGHTS = np.repeat(np.linspace(0.2, 1, 40)[:, None], 72, axis=1)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def factor(value: np.ndarray) -> float:
    return float(scale_factors(value[None], MEAN, THRESHOLD, WEIGHTS)[0])


@given(st.floats(1e-3, 1e6))
def test_a_normal_map_comes_back_to_the_mean_whatever_its_counts(counts: float) -> None:
    assert factor(MEAN * counts) * counts == pytest.approx(1, rel=1e-9)


@given(st.floats(0.05, 0.45), st.floats(0.0, 0.6))
def test_a_deep_defect_does_not_move_the_healthy_wall(share: float, left: float) -> None:
    value = MEAN.copy()
    value[:, : int(72 * share)] *= left
    assert factor(value) == pytest.approx(1, rel=1e-9)


def test_when_most_of_the_wall_is_abnormal_its_brighter_part_is_the_reference() -> None:
    value = MEAN.copy()
    value[:, :50] *= 0.5
    assert factor(value) == pytest.approx(1, rel=0.02)


@given(st.floats(0.3, 0.65), st.floats(0.55, 0.7))
def test_a_mild_defect_of_half_of_the_wall_is_a_defect_and_the_rest_not_too_bright(share: float, left: float) -> None:
    value = MEAN.copy()
    value[:, : int(72 * share)] *= left  # thresholds lie at 0.79 to 0.84 of the mean
    assert factor(value) == pytest.approx(1, rel=1e-9)


def test_a_bright_spot_hardly_moves_the_level() -> None:
    value = MEAN.copy()
    value[10:18, 10:20] *= 1.6
    assert factor(value) == pytest.approx(1, rel=0.02)


def test_cells_that_were_not_seen_do_not_count() -> None:
    value = MEAN.copy()
    value[35:] = np.nan
    assert factor(value) == pytest.approx(1, rel=1e-9)


def test_a_map_of_nothing_has_no_level() -> None:
    assert np.isnan(factor(np.zeros_like(MEAN)))
    assert np.isnan(factor(np.full_like(MEAN, np.nan)))


def test_maps_are_scaled_independently_of_their_company() -> None:
    sick = MEAN.copy()
    sick[10:30, 5:25] *= 0.4
    together = scale_factors(np.stack([sick * 3, MEAN * 7]), MEAN, THRESHOLD, WEIGHTS)
    assert together == pytest.approx([factor(sick * 3), factor(MEAN * 7)], rel=1e-12)
