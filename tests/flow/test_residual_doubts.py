"""A first injection whose rest cannot be taken off a second study: said, and not passed over."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from myoscope.core import Grid, Series, SeriesResult, Stated, Volume
from myoscope.one_series import Measured, _without_first

IMAGE = Volume(np.ones((8, 8, 8), np.float32), Grid.axis_aligned((8, 8, 8), spacing_mm=6), "Bq/mL")


def dynamic(name: str, began_s: float | None, tracer: str = "F-18 flurpiridaz") -> Series:
    about = {} if began_s is None else {"began_after_first_s": began_s}
    return Series(name, "DYNAMIC PET", IMAGE, tracer=Stated(tracer, "code"), acquisition=about)


def doubts(second: Series, first: Series, tracer: str) -> list[str]:
    state: Any = None
    image, flags = _without_first(second, IMAGE, tracer, (Measured(SeriesResult(first, None)),), state)
    assert image is IMAGE
    return [flag.code for flag in flags]


@pytest.mark.parametrize(
    ("began_s", "first_s", "said"),
    [
        (3600.0, 0.0, ["residual_activity_not_subtracted"]),  # no heart was found in the first study
        (None, None, ["residual_activity_not_subtracted"]),  # nobody knows which came first
        (0.0, 3600.0, []),  # this one came first
    ],
)
def test_what_a_lasting_tracer_left_is_not_passed_over(
    began_s: float | None, first_s: float | None, said: list[str]
) -> None:
    assert doubts(dynamic("stress", began_s), dynamic("rest", first_s), "flurpiridaz") == said


def test_rubidium_is_gone_after_an_hour() -> None:
    second, first = dynamic("stress", None, "Rb-82"), dynamic("rest", None, "Rb-82")
    assert doubts(second, first, "rubidium") == []
