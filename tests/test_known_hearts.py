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
    monkeypatch: pytest.MonkeyPatch, hearts: KnownHearts, one: Series, what: heart.LeftVentricle | None
) -> heart.LeftVentricle:
    def find(*_: object, **__: object) -> tuple[heart.LeftVentricle, Mapping[str, float]]:
        if what is None:
            raise HeartNotFound("nothing here")
        return what, {}

    monkeypatch.setattr(heart, "find_left_ventricle", find)
    return hearts.find(one, IMAGE, finder="auto", in_training_domain=False)[0]


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
