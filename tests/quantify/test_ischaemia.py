import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from normal_wall import SHAPE, limits, polar_map

from myoscope.core import GeometryMismatch, InvalidValue
from myoscope.quantify import Ischaemia, deficit_parts, ischaemia, perfusion_deficit
from myoscope.simulate.deficit import SEGMENT_OF_PLACE


def found(stress: np.ndarray, rest: np.ndarray) -> Ischaemia:
    first, second = (perfusion_deficit(polar_map(value), limits()) for value in (stress, rest))
    return ischaemia(first, second, polar_map(stress))


def lowered(segments: list[int], left: float) -> np.ndarray:
    return np.where(np.isin(SEGMENT_OF_PLACE, segments), left, 100.0)


def test_a_defect_of_stress_alone_is_ischaemia() -> None:
    stress = lowered([7, 13], 50)
    result = found(stress, lowered([], 100))
    tpd = perfusion_deficit(polar_map(stress), limits()).tpd_percent
    assert result.itpd_percent == pytest.approx(tpd)
    assert result.vessel_itpd_percent == pytest.approx([tpd, 0, 0])
    assert result.reversibility_percent == pytest.approx(100)
    assert result.fixed.value.max() == 0


def test_the_same_defect_at_rest_is_fixed() -> None:
    result = found(lowered([10], 40), lowered([10], 40))
    assert result.itpd_percent == 0
    assert result.reversibility_percent == 0
    assert result.fixed_percent == pytest.approx(perfusion_deficit(polar_map(lowered([10], 40)), limits()).tpd_percent)


def test_a_deeper_defect_under_stress_is_partly_reversible() -> None:
    """Scores 100 - 65 = 35 % (2.0) under stress and 17.5 % (1.0) at rest."""
    result = found(lowered([8], 65), lowered([8], 82.5))
    assert result.reversibility_percent == pytest.approx(50)
    inside = SEGMENT_OF_PLACE == 8
    assert result.reversible.value[inside] == pytest.approx(np.full(inside.sum(), 1.0))


def test_ischaemia_is_never_negative_and_one_vessel_does_not_pay_for_another() -> None:
    result = found(lowered([8], 50), lowered([10, 4], 30))
    assert result.itpd_percent == 0
    assert result.vessel_itpd_percent[0] > 0
    assert (result.vessel_itpd_percent >= 0).all()
    assert result.reversible_percent > 0


@given(st.integers(0, 2**31))
def test_parts_add_up_to_stress_and_the_reversible_part_is_at_least_ischaemic(seed: int) -> None:
    rng = np.random.default_rng(seed)
    stress, rest = (100 * rng.uniform(0.3, 1.1, SHAPE) for _ in range(2))
    result = found(stress, rest)
    tpd = perfusion_deficit(polar_map(stress), limits()).tpd_percent
    assert result.reversible_percent + result.fixed_percent == pytest.approx(tpd)
    assert result.reversible_percent >= result.itpd_percent - 1e-9


def test_wall_that_was_not_seen_in_one_image_is_neither() -> None:
    reversible, fixed = deficit_parts([2.0, np.nan, 1.0], [1.0, 1.0, np.nan])
    assert reversible[0] == fixed[0] == 1
    assert np.isnan(reversible[1:]).all()
    assert np.isnan(fixed[1:]).all()


def test_without_a_deficit_nothing_is_reversible() -> None:
    assert np.isnan(found(lowered([], 100), lowered([], 100)).reversibility_percent)


def test_deficits_of_another_kind_are_refused() -> None:
    one = perfusion_deficit(polar_map(lowered([8], 50)), limits())
    other = perfusion_deficit(polar_map(lowered([8], 50)), limits(), weighting="sample")
    with pytest.raises(InvalidValue, match="weighted and scored"):
        ischaemia(one, other, polar_map(lowered([8], 50)))
    small = perfusion_deficit(polar_map(lowered([8], 50)), limits(), weighting="sample")
    wall = polar_map(np.ones(SHAPE))
    short = type(wall)(
        wall.value[:20], "counts", wall.segment[:20], wall.segment_20[:20], wall.area_mm2[:20], wall.method
    )
    with pytest.raises(GeometryMismatch):
        ischaemia(small, small, short)
