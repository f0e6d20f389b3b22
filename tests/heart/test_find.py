"""Two finders check each other: who is asked first, what happens when one fails, what counts as disagreement."""

from __future__ import annotations

import numpy as np
import pytest

from myoscope.core import CardiacFrame, Grid, HeartNotFound, Volume
from myoscope.heart import LeftVentricle, find, find_left_ventricle
from myoscope.simulate import lv_phantom

GRID = Grid.axis_aligned((48, 48, 40), spacing_mm=4.0)
AXIS = np.array([0.52, -0.80, -0.29])


@pytest.fixture(scope="module")
def image() -> Volume:
    frame = CardiacFrame(np.zeros(3), AXIS)
    return lv_phantom(GRID, frame=frame, fwhm_mm=9.0, rng=np.random.default_rng(5)).volume


def _ventricle(method: str, *, shift_mm: float = 0.0, turn_deg: float = 0.0, radius_mm: float = 40.0) -> LeftVentricle:
    """A stand-in result: a ball as the wall, moved to the left and turned about the vertical."""
    a = np.radians(turn_deg)
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    centre = np.array([shift_mm, 0.0, 0.0])
    wall = np.linalg.norm(GRID.points_mm() - centre, axis=-1) < radius_mm
    return LeftVentricle(CardiacFrame(centre, turn @ AXIS), Volume(wall, GRID, "mask"), method, 0.9)


def _answering(monkeypatch: pytest.MonkeyPatch, **answers: LeftVentricle | str) -> None:
    """Both finders replaced: each gives its ventricle, or fails with its reason."""

    def finder(name: str):  # type: ignore[no-untyped-def]
        def answer(volume: Volume, **_: object) -> LeftVentricle:
            assert volume.frame_axis is None
            given = answers[name]
            if isinstance(given, str):
                raise HeartNotFound(given)
            return given

        return answer

    monkeypatch.setattr(find, "find_by_network", finder("network"))
    monkeypatch.setattr(find, "find_by_model", finder("model"))


@pytest.mark.parametrize(
    ("prefer", "in_domain", "expected"),
    [
        ("auto", True, "network"),
        ("auto", False, "model"),
        ("network", False, "network"),
        ("model", True, "model"),
    ],
)
def test_the_network_leads_only_on_images_like_its_training_set(
    monkeypatch: pytest.MonkeyPatch, image: Volume, prefer: str, in_domain: bool, expected: str
) -> None:
    _answering(monkeypatch, network=_ventricle("network"), model=_ventricle("model"))
    chosen, agreement = find_left_ventricle(image, prefer=prefer, in_training_domain=in_domain)  # type: ignore[arg-type]
    assert chosen.method == expected
    assert chosen.flags == ()
    assert agreement == {"centre_mm": 0.0, "axis_deg": 0.0, "overlap": 1.0}


@pytest.mark.parametrize(
    ("other", "word"),
    [
        ({"shift_mm": 12.0}, "centre"),
        ({"turn_deg": 25.0}, "long axis"),
        ({"radius_mm": 24.0}, "wall"),
    ],
)
def test_disagreement_is_flagged_with_its_numbers(
    monkeypatch: pytest.MonkeyPatch, image: Volume, other: dict[str, float], word: str
) -> None:
    _answering(monkeypatch, network=_ventricle("network"), model=_ventricle("model", **other))
    chosen, agreement = find_left_ventricle(image, in_training_domain=True)
    (flag,) = chosen.flags
    assert flag.code == "finders_disagree"
    assert word in flag.message
    assert dict(flag.evidence) == agreement


def test_small_differences_are_not_flagged(monkeypatch: pytest.MonkeyPatch, image: Volume) -> None:
    _answering(monkeypatch, network=_ventricle("network"), model=_ventricle("model", shift_mm=3.0, turn_deg=4.0))
    chosen, agreement = find_left_ventricle(image, in_training_domain=True)
    assert chosen.flags == ()
    assert agreement["centre_mm"] == pytest.approx(3.0)
    assert agreement["axis_deg"] == pytest.approx(4.0, abs=0.5)


@pytest.mark.parametrize("in_domain", [True, False])
def test_when_one_finder_fails_the_other_is_used_and_says_so(
    monkeypatch: pytest.MonkeyPatch, image: Volume, in_domain: bool
) -> None:
    _answering(monkeypatch, network="no wall seen", model=_ventricle("model"))
    chosen, agreement = find_left_ventricle(image, in_training_domain=in_domain)
    assert chosen.method == "model"
    (flag,) = chosen.flags
    assert flag.code == "found_by_one_finder"
    assert "no wall seen" in flag.message
    assert flag.severity == ("error" if in_domain else "warning")
    assert not agreement


def test_when_both_fail_both_reasons_are_given(monkeypatch: pytest.MonkeyPatch, image: Volume) -> None:
    _answering(monkeypatch, network="the network is silent", model="no shell")
    with pytest.raises(HeartNotFound, match=r"no shell.*the network is silent"):
        find_left_ventricle(image, in_training_domain=True)


def test_a_gated_image_is_searched_on_its_sum(monkeypatch: pytest.MonkeyPatch, image: Volume) -> None:
    _answering(monkeypatch, network=_ventricle("network"), model=_ventricle("model"))
    gates = Volume(np.stack([image.array, image.array]), GRID, "counts", frame_axis="gate")
    chosen, _ = find_left_ventricle(gates, in_training_domain=True)
    assert chosen.method == "network"


def test_the_real_finders_agree_on_a_phantom(image: Volume) -> None:
    chosen, agreement = find_left_ventricle(image, in_training_domain=False)
    assert chosen.method == "model"
    if agreement:
        assert agreement["centre_mm"] < 10
        assert agreement["axis_deg"] < 15
    else:
        assert "found_by_one_finder" in [flag.code for flag in chosen.flags]
