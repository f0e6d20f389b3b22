"""Over a beat the end of the wall follows its width, and every heart keeps its own length."""

import numpy as np
import pytest

from myoscope.core.geometry import FloatArray
from myoscope.heart.usual_wall_constants import BEAT_POWER
from myoscope.heart.wall_end import lengths_of_a_beat

APEX_MM = 42.0
BODY = np.arange(50) >= 6
RADIUS_MM = 27 - 4 * np.sin(np.linspace(0, np.pi, 8)) ** 2
LENGTH_MM = 80 * (RADIUS_MM / 27) ** BEAT_POWER


def walls(radius_mm: FloatArray) -> list[FloatArray]:
    """A tube of each of these radii, its apex at `APEX_MM`, (row, column, 3)."""
    angle = np.arange(72) * 2 * np.pi / 72
    height = np.broadcast_to(APEX_MM - 2.0 * np.arange(50)[:, None], (50, 72))
    return [
        np.stack(
            [np.broadcast_to(r * np.cos(angle), (50, 72)), np.broadcast_to(r * np.sin(angle), (50, 72)), height], -1
        )
        for r in radius_mm
    ]


def test_a_heart_that_shortens_as_it_narrows_is_left_alone() -> None:
    for own in (0.8, 1.0, 1.3):
        ends = APEX_MM - own * LENGTH_MM
        np.testing.assert_allclose(lengths_of_a_beat(walls(RADIUS_MM), ends, body=BODY), ends, rtol=1e-12)


def test_a_valve_plane_that_stands_still_is_made_to_follow_the_wall() -> None:
    still = np.full(8, APEX_MM - 75.0)
    length = APEX_MM - lengths_of_a_beat(walls(RADIUS_MM), still, body=BODY)
    assert np.corrcoef(length, RADIUS_MM)[0, 1] == pytest.approx(1, abs=1e-3)
    assert np.log(length).mean() == pytest.approx(np.log(75))
    assert 0.5 < np.ptp(length) / np.ptp(LENGTH_MM) < 1


def test_one_gate_alone_is_believed_in_part() -> None:
    ends = APEX_MM - LENGTH_MM
    odd = ends.copy()
    odd[3] -= 8.0
    moved = lengths_of_a_beat(walls(RADIUS_MM), odd, body=BODY) - ends
    assert -8 < moved[3] < -1
    assert np.all(np.abs(np.delete(moved, 3)) < 1)
