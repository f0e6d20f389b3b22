import numpy as np
import pytest

from myoscope.core import GeometryMismatch, InvalidValue, NormalLimits, PolarMap, UnitMismatch

SHAPE = (4, 24)


def limits(**changes: object) -> NormalLimits:
    values: dict[str, object] = {
        "mean": np.full(SHAPE, 80.0),
        "deviation": np.full(SHAPE, 5.0),
        "threshold": np.full(SHAPE, 65.0),
        "n": 40,
        "sex": "F",
        "tracer": "Tc-99m sestamibi",
        "camera": "any",
        "position": "supine",
        "state": "stress",
        "corrected": False,
        "unit": "%",
        "method": "surface",
        "weighting": "surface",
        "provenance": "virtual registry, cohort 1234abcd, seed 7",
    }
    return NormalLimits(**{**values, **changes})  # type: ignore[arg-type]


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


def test_a_study_of_the_same_kind_has_no_mismatch_and_any_camera_will_do() -> None:
    study = {"sex": "F", "tracer": "Tc-99m sestamibi", "position": "supine", "state": "stress"}
    assert limits().mismatches(**study, camera="Discovery NM 530c", corrected=False) == ()


def test_every_mismatch_is_named() -> None:
    found = limits().mismatches(sex="M", tracer="Tl-201", camera="x", position="prone", state="rest", corrected=True)
    assert len(found) == 5
    assert "the limits are for sex F, the study has M" in found
    assert "the limits are for images without attenuation correction, the study is with it" in found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": np.ones(24)}, "axes"),
        ({"threshold": np.full((4, 23), 65.0)}, "does not fit a mean"),
        ({"deviation": np.full(SHAPE, np.nan)}, "a number in every cell"),
        ({"deviation": np.zeros(SHAPE)}, "too few or copied"),
        ({"threshold": np.full(SHAPE, 80.0)}, "below their mean"),
        ({"n": 1}, "at least 2"),
        ({"sex": ""}, "state their sex"),
        ({"provenance": ""}, "state their provenance"),
        ({"weighting": "mass"}, "sample, display or surface"),
    ],
)
def test_limits_that_cannot_be_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        limits(**change)


def test_limits_cannot_be_changed() -> None:
    made = limits()
    for array in (made.mean, made.deviation, made.threshold):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 1


def test_limits_say_for_whom_they_are() -> None:
    assert repr(limits()) == (
        "NormalLimits(n = 40; F, Tc-99m sestamibi, any, supine, stress, NAC; 4 rings x 24 angles, "
        "mean 80, deviation 5 %)"
    )
