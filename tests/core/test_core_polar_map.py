import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from myoscope.core import N_ANGLES, N_RINGS, VESSELS, InvalidValue, PolarMap, segment_number, territory_map

RNG = np.random.default_rng(5)


def numbered(n_rings: int, n_angles: int, model: int) -> np.ndarray:
    """Segments of a map whose first quarter of rings is the apex and whose other quarters are the three levels."""
    ring = (np.arange(n_rings) + 0.5) / n_rings
    angle = (np.arange(n_angles) + 0.5) * 360 / n_angles
    fraction = (ring - 0.25) / 0.75
    apex = (ring < 0.25)[:, None]
    return segment_number(fraction[:, None], angle, apex=apex, model=model)  # type: ignore[arg-type]


def polar_map(value: np.ndarray, unit: str = "counts", area: np.ndarray | None = None) -> PolarMap:
    area = np.ones(value.shape) if area is None else area
    rings, angles = value.shape
    segment, segment_20 = numbered(rings, angles, 17), numbered(rings, angles, 20)
    return PolarMap(value, unit, segment, segment_20, area, "surface", ("made up",))


def test_the_display_weights_of_the_reference() -> None:
    """Rings at 0.25, 0.5, 0.75 and 1 of the disc: 7.292, 5.208 and 4.688 % per segment, 6.25 % for the apex."""
    disc = polar_map(np.ones((4, N_ANGLES)))
    weight = np.bincount(disc.segment.ravel(), disc.weights("display").ravel(), 18)[1:]
    expected = [7.2917] * 6 + [5.2083] * 6 + [4.6875] * 4 + [6.25]
    np.testing.assert_allclose(100 * weight, expected, atol=5e-5)


@pytest.mark.parametrize("weighting", ["sample", "display", "surface"])
def test_weights_are_positive_and_add_up_to_one(weighting: str) -> None:
    weights = polar_map(np.ones((N_RINGS, N_ANGLES)), area=RNG.uniform(1, 9, (N_RINGS, N_ANGLES))).weights(weighting)  # type: ignore[arg-type]
    assert weights.sum() == pytest.approx(1)
    assert weights.min() > 0


def test_the_apical_quarter_is_a_quarter_of_the_samples_and_a_sixteenth_of_the_disc() -> None:
    disc = polar_map(np.ones((N_RINGS, N_ANGLES)))
    assert disc.weights("sample")[:10].sum() == pytest.approx(1 / 4)
    assert disc.weights("display")[:10].sum() == pytest.approx(1 / 16)


def test_surface_weights_follow_the_area() -> None:
    area = RNG.uniform(1, 9, (N_RINGS, N_ANGLES))
    np.testing.assert_allclose(polar_map(np.ones_like(area), area=area).weights("surface"), area / area.sum())


@pytest.mark.parametrize("weighting", ["sample", "display", "surface"])
@settings(max_examples=40, deadline=None)
@given(level=st.floats(0.1, 1e5))
def test_a_uniform_wall_has_that_value_in_every_segment_and_vessel(weighting: str, level: float) -> None:
    uniform = polar_map(np.full((8, 24), level))
    for model in (17, 20):
        np.testing.assert_allclose(uniform.segment_means(model, weighting=weighting), np.full(model, level))  # type: ignore[arg-type]
    np.testing.assert_allclose(uniform.vessel_means(weighting=weighting), [level] * 3)  # type: ignore[arg-type]


@settings(max_examples=40, deadline=None)
@given(st.floats(0.01, 100), st.floats(-50, 50))
def test_segment_means_are_linear_in_the_counts(factor: float, offset: float) -> None:
    value = np.linspace(1, 7, 8 * 24).reshape(8, 24)
    here, there = polar_map(value), polar_map(factor * value + offset)
    np.testing.assert_allclose(there.segment_means(), factor * here.segment_means() + offset, rtol=1e-9, atol=1e-9)


def test_one_segment_holds_the_mean_of_its_own_cells() -> None:
    value = RNG.uniform(1, 9, (N_RINGS, N_ANGLES))
    area = RNG.uniform(1, 9, value.shape)
    disc = polar_map(value, area=area)
    inside = disc.segment == 9
    assert disc.segment_means(weighting="sample")[8] == pytest.approx(value[inside].mean())
    assert disc.segment_means()[8] == pytest.approx(np.average(value[inside], weights=area[inside]))


def test_a_vessel_holds_its_territory() -> None:
    disc = polar_map(np.ones((N_RINGS, N_ANGLES)))
    value = np.where(np.isin(disc.segment, [3, 4, 9, 10, 15]), 40.0, 100.0)
    means = dict(zip(VESSELS, polar_map(value).vessel_means(), strict=True))
    assert means == pytest.approx({"LAD": 100, "LCx": 100, "RCA": 40})
    np.testing.assert_array_equal(disc.territory, territory_map(disc.segment))


def test_cells_that_were_not_seen_do_not_count_and_an_unseen_segment_has_no_mean() -> None:
    value = np.full((N_RINGS, N_ANGLES), 50.0)
    disc = polar_map(value)
    value = np.where(disc.segment == 5, np.nan, value)
    value[12, 3] = np.nan
    means = polar_map(value).segment_means()
    assert np.isnan(means[4])
    np.testing.assert_allclose(np.delete(means, 4), 50)


def test_scaling_to_the_maximum_forgets_the_injected_activity() -> None:
    value = RNG.uniform(1, 9, (N_RINGS, N_ANGLES))
    here, there = polar_map(value).percent_of_maximum(), polar_map(3.7 * value).percent_of_maximum()
    np.testing.assert_allclose(here.value, there.value)
    assert np.percentile(here.value, 99.5) == pytest.approx(100)
    assert (here.unit, here.made_by) == ("%", ("made up", "% of the 99.5th percentile"))
    assert polar_map(value).percent_of_maximum(percentile=100).value.max() == pytest.approx(100)


@pytest.mark.parametrize("level", [0.0, -1.0, np.nan])
def test_a_map_without_counts_has_no_maximum_to_scale_to(level: float) -> None:
    with pytest.raises(InvalidValue, match="no maximum"):
        polar_map(np.full((4, 24), level)).percent_of_maximum()


def test_the_angles_are_the_centres_of_the_columns() -> None:
    angle = polar_map(np.ones((N_RINGS, N_ANGLES))).angle_deg
    assert angle[0] == 2.5
    assert angle[-1] == 357.5
    assert np.ptp(np.diff(angle)) == 0


def test_a_polar_map_cannot_be_changed() -> None:
    value = np.ones((4, 24))
    disc = polar_map(value)
    value[0] = 7
    assert disc.value.max() == 1
    for array in (disc.value, disc.segment, disc.segment_20, disc.area_mm2):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": np.ones(24)}, "axes"),
        ({"value": np.full((4, 24), np.inf)}, "not infinity"),
        ({"unit": ""}, "carries a unit"),
        ({"segment": np.full((4, 24), 18)}, "from 1 to 17"),
        ({"segment": np.ones((4, 23))}, "from 1 to 17"),
        ({"segment_20": np.zeros((4, 24))}, "from 1 to 20"),
        ({"area_mm2": np.zeros((4, 24))}, "positive area"),
        ({"area_mm2": np.full((4, 24), np.nan)}, "positive area"),
    ],
)
def test_what_is_no_polar_map_is_refused(change: dict[str, object], message: str) -> None:
    values: dict[str, object] = {
        "value": np.ones((4, 24)),
        "unit": "counts",
        "segment": numbered(4, 24, 17),
        "segment_20": numbered(4, 24, 20),
        "area_mm2": np.ones((4, 24)),
        "method": "surface",
    }
    with pytest.raises(InvalidValue, match=message):
        PolarMap(**{**values, **change})  # type: ignore[arg-type]


def test_an_unknown_weighting_is_refused() -> None:
    with pytest.raises(InvalidValue, match="sample, display or surface"):
        polar_map(np.ones((4, 24))).weights("volume")  # type: ignore[arg-type]


def test_a_polar_map_says_what_it_holds() -> None:
    value = np.full((4, 24), 3.0)
    value[0] = np.nan
    assert repr(polar_map(value)) == "PolarMap(4 rings x 24 angles, 3 to 3 counts, surface, 75% seen)"
    assert "nothing seen" in repr(polar_map(np.full((4, 24), np.nan)))
