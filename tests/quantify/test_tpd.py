import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from normal_wall import SHAPE, limits, polar_map

from myoscope.core import InvalidValue, UnitMismatch
from myoscope.quantify import cell_scores, perfusion_deficit, scale_to_limits, tpd_of_many


def with_defect(share: float, left: float) -> np.ndarray:
    """A map of 100 in which a share of all cells holds ``left``."""
    value = np.full(40 * 72, 100.0)
    value[: round(share * value.size)] = left
    return value.reshape(SHAPE)


@pytest.mark.parametrize(
    ("share", "left", "tpd"),
    [(0.0, 100, 0.0), (0.20, 65, 10.0), (0.20, 30, 20.0), (0.20, 5, 20.0), (0.35, 82.5, 8.75), (0.20, 86, 0.0)],
)
def test_tpd_of_a_defect_of_known_size_and_depth(share: float, left: float, tpd: float) -> None:
    """Reference section 3.2: mean 100, deviation 5, cells counted equally, score from the mean."""
    found = perfusion_deficit(polar_map(with_defect(share, left)), limits(), weighting="sample")
    assert found.tpd_percent == pytest.approx(tpd, abs=1e-9)
    assert found.extent_percent == pytest.approx(100 * share if left < 85 else 0.0, abs=1e-9)


def test_the_two_references_of_the_score_differ() -> None:
    """Reference section 3.2: mean 80, limit 60, value 40."""
    assert cell_scores(40, 80, 60) == pytest.approx(2.857142857)
    assert cell_scores(40, 80, 60, score_reference="limit") == pytest.approx(1.904761905)


@given(st.floats(1e-3, 1e5), st.floats(0.1, 0.8))
def test_tpd_does_not_depend_on_how_many_counts_there_are(counts: float, left: float) -> None:
    value = with_defect(0.2, 100 * left)
    one = perfusion_deficit(scale_to_limits(polar_map(value, "counts"), limits()), limits())
    other = perfusion_deficit(scale_to_limits(polar_map(value * counts, "counts"), limits()), limits())
    assert other.tpd_percent == pytest.approx(one.tpd_percent, abs=1e-9)


@given(st.integers(0, 2**32 - 1), st.floats(0.0, 1.0))
def test_tpd_never_falls_when_counts_in_a_defect_fall(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    value = rng.uniform(20, 110, SHAPE)
    lower = np.where(rng.random(SHAPE) < 0.3, value * factor, value)
    before = perfusion_deficit(polar_map(value), limits()).tpd_percent
    assert perfusion_deficit(polar_map(lower), limits()).tpd_percent >= before - 1e-9


@pytest.mark.parametrize("weighting", ["sample", "surface", "display"])
@pytest.mark.parametrize("reference", ["mean", "limit"])
def test_vessels_and_segments_add_up_to_the_whole(weighting: str, reference: str) -> None:
    value = np.random.default_rng(3).uniform(20, 110, SHAPE)
    found = perfusion_deficit(polar_map(value), limits(), weighting=weighting, score_reference=reference)  # type: ignore[arg-type]
    assert found.vessel_tpd_percent.sum() == pytest.approx(found.tpd_percent)
    assert found.segment_tpd_percent.sum() == pytest.approx(found.tpd_percent)
    assert 0 < found.tpd_percent < 100


def test_a_wall_without_a_count_has_the_whole_deficit() -> None:
    found = perfusion_deficit(polar_map(np.zeros(SHAPE)), limits())
    assert found.tpd_percent == pytest.approx(100)
    assert found.extent_percent == pytest.approx(100)


def test_severity_is_in_deviations_of_normal_studies_and_missing_without_a_defect() -> None:
    assert perfusion_deficit(polar_map(with_defect(0.2, 70)), limits()).severity_deviations == pytest.approx(6.0)
    assert np.isnan(perfusion_deficit(polar_map(with_defect(0.0, 70)), limits()).severity_deviations)


def test_cells_that_were_not_seen_do_not_count() -> None:
    value = with_defect(0.2, 65)
    whole = perfusion_deficit(polar_map(value), limits(), weighting="sample").tpd_percent
    value[36:] = np.nan
    part = perfusion_deficit(polar_map(value), limits(), weighting="sample").tpd_percent
    assert part == pytest.approx(whole / 0.9)


def test_a_wall_that_was_hardly_seen_has_no_deficit_to_report() -> None:
    value = with_defect(0.2, 65)
    value[20:] = np.nan
    with pytest.raises(InvalidValue, match="of the wall was seen; a deficit needs 80 %"):
        perfusion_deficit(polar_map(value), limits())


def test_counts_are_not_compared_before_they_are_scaled() -> None:
    with pytest.raises(UnitMismatch, match="brought to their level first"):
        perfusion_deficit(polar_map(with_defect(0.2, 65), "counts"), limits())


def test_many_maps_at_once_score_as_each_alone() -> None:
    rng = np.random.default_rng(5)
    values = rng.uniform(20, 110, (7, *SHAPE))
    values[0, 38:] = np.nan
    made = [perfusion_deficit(polar_map(value), limits()) for value in values]
    normal = limits()
    weights = polar_map(values[1]).weights("surface")
    together = tpd_of_many(values, normal.mean, normal.threshold, weights)
    assert together == pytest.approx([m.tpd_percent for m in made])
    territory = polar_map(values[1]).territory
    by_vessel = tpd_of_many(values, normal.mean, normal.threshold, weights, group=territory, n_groups=3)
    assert by_vessel == pytest.approx(np.stack([m.vessel_tpd_percent for m in made]))
