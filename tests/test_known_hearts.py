from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from myoscope import heart
from myoscope.core import CardiacFrame, Flag, Grid, HeartNotFound, Series, Stated, Volume
from myoscope.known_hearts import KnownHearts

GRID = Grid.axis_aligned((8, 8, 8), spacing_mm=6)
IMAGE = Volume(np.ones((8, 8, 8), np.float32), GRID, "counts")


def ventricle(x_mm: float, *, doubtful: bool = False) -> heart.LeftVentricle:
    mask = np.zeros((8, 8, 8), bool)
    mask[4, 4, 4] = True
    flags = (Flag("finders_disagree", "They disagree.", "error"),) if doubtful else ()
    frame = CardiacFrame(np.array((x_mm, 0.0, 0.0)), np.array((0.6, -0.8, 0.0)))
    return heart.LeftVentricle(frame, Volume(mask, GRID, "mask"), "model", 0.5, flags)


def series(name: str, state: str = "stress") -> Series:
    return Series(name, "RECON TOMO", IMAGE, state=Stated(state, "header"))


def found_in(
    monkeypatch: pytest.MonkeyPatch,
    hearts: KnownHearts,
    one: Series,
    what: heart.LeftVentricle | None,
    still: Volume = IMAGE,
) -> heart.LeftVentricle:
    def find(*_: object, **__: object) -> tuple[heart.LeftVentricle, Mapping[str, float]]:
        if what is None:
            raise HeartNotFound("nothing here")
        return what, {}

    monkeypatch.setattr(heart, "find_left_ventricle", find)
    return hearts.find(one, still, finder="auto", in_training_domain=False)[0]


def test_a_doubtful_heart_is_replaced_by_that_of_the_same_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    hearts = KnownHearts()
    sure = found_in(monkeypatch, hearts, series("stress-nc"), ventricle(1))
    taken = found_in(monkeypatch, hearts, series("stress-gated"), ventricle(40, doubtful=True))
    assert taken.frame is sure.frame
    assert [(flag.code, flag.severity) for flag in taken.flags] == [("heart_from_other_image", "warning")]
    assert "stress-nc" in taken.flags[0].message
    assert found_in(monkeypatch, hearts, series("stress-ac"), None).frame is sure.frame


def test_another_scan_of_the_patient_is_no_witness(monkeypatch: pytest.MonkeyPatch) -> None:
    hearts = KnownHearts()
    found_in(monkeypatch, hearts, series("rest-nc", "rest"), ventricle(1))
    doubtful = ventricle(40, doubtful=True)
    assert found_in(monkeypatch, hearts, series("stress-nc"), doubtful) is doubtful
    with pytest.raises(HeartNotFound, match="nothing here"):
        found_in(monkeypatch, hearts, replace(series("stress-nc"), position=Stated("prone", "header")), None)


def test_a_doubtful_heart_is_no_witness(monkeypatch: pytest.MonkeyPatch) -> None:
    hearts = KnownHearts()
    found_in(monkeypatch, hearts, series("stress-nc"), ventricle(40, doubtful=True))
    sure = ventricle(1)
    assert found_in(monkeypatch, hearts, series("stress-ac"), sure) is sure


def test_images_of_one_scan_that_show_the_same_heart_share_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    i, j, k = np.meshgrid(*[np.arange(16)] * 3, indexing="ij")
    grid = Grid.axis_aligned((16, 16, 16), spacing_mm=6)
    ring = np.exp(-0.5 * ((np.hypot(i - 7.5, j - 7.5) - 4) / 1.5) ** 2) * (np.abs(k - 7.5) < 4)
    image = Volume((1000 * ring).astype(np.float32), grid, "counts")
    corrected = Volume((1000 * ring * (1 + 0.02 * j) + 5).astype(np.float32), grid, "counts")
    moved = Volume(np.roll(image.array, 1, axis=0), grid, "counts")
    frame = CardiacFrame(np.zeros(3), np.array((0.6, -0.8, 0.0)))
    sure = heart.LeftVentricle(frame, Volume(ring > 0.5, grid, "mask"), "model", 0.5, ())
    other = ventricle(40)

    def of_frame(name: str, place: str) -> Series:
        return replace(series(name), frame_of_reference_sha256=place)

    def second(still: Volume, place: str = "place") -> heart.LeftVentricle:
        hearts = KnownHearts()
        found_in(monkeypatch, hearts, of_frame("stress-nc", place), sure, image)
        return found_in(monkeypatch, hearts, of_frame("stress-ac", place), other, still)

    taken = second(corrected)
    assert taken.frame is sure.frame
    assert [(flag.code, flag.severity) for flag in taken.flags] == [("heart_shared", "info")]
    hot, doubt = (Flag(code, "something", "warning") for code in ("hot_neighbour", "finders_disagree"))
    sure = replace(sure, flags=(hot,))
    assert [flag.code for flag in second(corrected).flags] == ["heart_shared"], "what neighbours do is of one image"
    sure = replace(sure, flags=(doubt,))
    assert second(corrected) is other, "in doubt"
    sure = replace(sure, flags=())
    assert second(moved) is other, "moved by a voxel of 6 mm"
    assert second(corrected, place="") is other, "no frame of reference is stated"
    assert second(Volume(np.ones_like(ring, np.float32), grid, "counts")) is other
