"""A septum that is drawn on past its counts."""

from __future__ import annotations

import numpy as np
import pytest
from normal_wall import polar_map

from myoscope.core import CardiacFrame, Surfaces
from myoscope.quantify import base_of_septum_flag, faint_base_of_septum_mm

LENGTH_MM = 100.0


def tube() -> Surfaces:
    """A straight wall of 40 rings, 2.5 mm each, about the long axis."""
    frame = CardiacFrame(np.zeros(3), np.array([0.5, -0.7, -0.4]))
    angle, depth = np.arange(72) * 2 * np.pi / 72, np.linspace(0, LENGTH_MM, 41)[:, None]
    unit = np.stack([np.cos(angle) * np.ones_like(depth), np.sin(angle) * np.ones_like(depth), 0 * depth * angle], -1)
    along = np.stack([0 * depth * angle, 0 * depth * angle, -depth * np.ones(72)], -1)
    endo, epi = (frame.to_patient(radius * unit + along) for radius in (25.0, 35.0))
    return Surfaces(endo, epi, frame, frame.centre_mm, -frame.long_axis)


def shown(rings: int, *, septal: bool = True) -> np.ndarray:
    """A map whose last rings are faint in the septum, or opposite to it."""
    value = np.full((40, 72), 95.0)
    middle = 36 if septal else 0
    columns = np.arange(middle - 8, middle + 8) % 72
    value[40 - rings :, columns] = 40.0
    return value


@pytest.mark.parametrize("rings", [0, 3, 8])
def test_the_faint_end_is_measured_along_the_wall(rings: int) -> None:
    assert faint_base_of_septum_mm(polar_map(shown(rings)), tube()) == pytest.approx(rings * 2.5)


def test_a_long_faint_end_is_doubted_in_the_septum_only() -> None:
    assert base_of_septum_flag(polar_map(shown(4)), tube()) is None
    assert base_of_septum_flag(polar_map(shown(12, septal=False)), tube()) is None
    flag = base_of_septum_flag(polar_map(shown(8)), tube())
    assert flag is not None
    assert (flag.code, flag.severity, flag.evidence) == ("septum_base_faint", "warning", {"faint_mm": 20})


def test_a_defect_that_does_not_reach_the_base_is_none_of_its_business() -> None:
    value = shown(0)
    value[20:34, 28:44] = 20.0
    assert base_of_septum_flag(polar_map(value), tube()) is None
