import numpy as np
import pytest

from myoscope.core import GeometryMismatch, InvalidValue, NormalLimits, PolarMap, StudyKind, UnitMismatch

SHAPE = (4, 24)
WOMEN = StudyKind(sex="F", tracer="Tc-99m sestamibi", camera="any", position="supine", state="stress", corrected=False)


def limits(**changes: object) -> NormalLimits:
    values: dict[str, object] = {
        "mean": np.full(SHAPE, 80.0),
        "deviation": np.full(SHAPE, 5.0),
        "area_mm2": np.full(SHAPE, 20.0),
        "multiple": 3.0,
        "n": 40,
        "kind": WOMEN,
        "unit": "%",
        "method": "surface",
        "provenance": "virtual registry, cohort 1234abcd, seed 7",
    }
    return NormalLimits(**{**values, **changes})  # type: ignore[arg-type]


def kind(**changes: object) -> StudyKind:
    values: dict[str, object] = {
        "sex": "F",
        "tracer": "Tc-99m sestamibi",
        "camera": "Discovery NM 530c",
        "position": "supine",
        "state": "stress",
        "corrected": False,
    }
    return StudyKind(**{**values, **changes})  # type: ignore[arg-type]


def polar_map(shape: tuple[int, int] = SHAPE, unit: str = "%", method: str = "surface") -> PolarMap:
    ones = np.ones(shape)
    return PolarMap(ones, unit, ones, ones, ones, method)  # type: ignore[arg-type]


def test_limits_accept_the_kind_of_map_they_were_made_from() -> None:
    limits().require(polar_map())
    assert limits().shape == SHAPE


def test_limits_refuse_every_other_kind_of_map() -> None:
    with pytest.raises(GeometryMismatch, match="40 rings x 72 angles, the normal limits 4 x 24"):
        limits().require(polar_map((40, 72)))
    with pytest.raises(UnitMismatch, match="in counts, the normal limits in %"):
        limits().require(polar_map(unit="counts"))
    with pytest.raises(InvalidValue, match="sampled by hybrid, the normal limits by surface"):
        limits().require(polar_map(method="hybrid"))


def test_a_study_of_the_same_kind_has_no_difference_and_any_camera_will_do() -> None:
    assert WOMEN.differences(kind()) == ()
    limits().require_kind(kind())


def test_every_difference_is_named() -> None:
    found = WOMEN.differences(kind(sex="M", tracer="Tl-201", position="prone", state="rest", corrected=True))
    assert len(found) == 5
    assert "the limits are for sex F, the study has M" in found
    assert "the limits are for images without attenuation correction, the study is with it" in found
    with pytest.raises(InvalidValue, match="for sex F, the study has M; the limits are for tracer"):
        limits().require_kind(kind(sex="M", tracer="Tl-201"))


def test_limits_of_stored_images_refuse_an_image_that_was_processed_in_another_way() -> None:
    assert "processing" in WOMEN.differences(kind(processing="fbp, no filter"))[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": np.ones(24)}, "axes"),
        ({"area_mm2": np.full((4, 23), 65.0)}, "does not fit a mean"),
        ({"deviation": np.full(SHAPE, np.nan)}, "a number in every cell"),
        ({"deviation": np.zeros(SHAPE)}, "too few or copied"),
        ({"area_mm2": np.zeros(SHAPE)}, "positive area"),
        ({"multiple": 0.0}, "lies below the mean"),
        ({"n": 1}, "at least 2"),
        ({"provenance": ""}, "state their provenance"),
        ({"modes": np.ones((2, *SHAPE))}, "modes"),
    ],
)
def test_limits_that_cannot_be_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        limits(**change)


def test_a_kind_of_study_leaves_nothing_open() -> None:
    with pytest.raises(InvalidValue, match="states its sex"):
        kind(sex="")


def test_limits_cannot_be_changed() -> None:
    made = limits()
    for array in (made.mean, made.deviation, made.area_mm2):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 1


def test_the_threshold_lies_its_multiple_of_deviations_below_the_mean_and_not_below_zero() -> None:
    assert np.all(limits().threshold == 65.0)
    assert np.all(limits(deviation=np.full(SHAPE, 40.0)).threshold == 0.0)


def test_limits_without_modes_are_certain() -> None:
    mean, threshold = limits().drawn(3, rng=np.random.default_rng(1))
    assert np.all(mean == 80.0)
    assert np.all(threshold == 65.0)


def test_limits_are_drawn_with_the_spread_of_their_modes() -> None:
    modes = np.zeros((1, 2, *SHAPE))
    modes[0, 0], modes[0, 1] = 2.0, -0.5
    mean, threshold = limits(modes=modes).drawn(4000, rng=np.random.default_rng(1))
    assert mean[:, 0, 0].std() == pytest.approx(2.0, rel=0.05)
    # The threshold is mean - 3 deviations: 2 + 1.5 for each standard normal number.
    assert threshold[:, 0, 0].std() == pytest.approx(3.5, rel=0.05)


def test_limits_say_for_whom_they_are() -> None:
    assert repr(limits()) == (
        "NormalLimits(n = 40; F, Tc-99m sestamibi, any, supine, stress, NC, as stored; 4 rings x 24 angles, "
        "mean 80, deviation 5 %)"
    )
