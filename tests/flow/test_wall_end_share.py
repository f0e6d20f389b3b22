"""How much muscle a sample lacks beside the wall's end: its geometry, and what a fit makes of it."""

from __future__ import annotations

import numpy as np
import pytest
from flow_curves import FRAMES, left_blood
from scipy.special import ndtr

from myoscope.core import InvalidValue
from myoscope.quantify.flow import OneTissue, WallCurves, fit_model, lortie
from myoscope.quantify.flow.blur import END_BEAT_MM, END_EDGE_MM, Blur, past_end_share
from myoscope.quantify.flow.wall_place import WallPlace

_FWHM = float(np.sqrt(8 * np.log(2)))


def _cylinder(rings: int = 40, step_mm: float = 2.0, radius_mm: float = 25.0) -> WallPlace:
    """A straight wall along the patient's right-left axis, across which nothing breathes."""
    angle = np.arange(72) * np.deg2rad(5)
    outward = np.stack([np.zeros(72), np.cos(angle), np.sin(angle)], axis=-1)
    place = radius_mm * outward + np.arange(rings)[:, None, None] * np.array([step_mm, 0.0, 0.0])
    whole = np.broadcast_to(outward, (rings, 72, 3))
    return WallPlace(place, whole, np.full((rings, 72), 9.0), np.full((rings, 72), 4.0))


def test_the_end_of_a_straight_wall_is_a_blurred_step() -> None:
    share = past_end_share(_cylinder(), Blur(8.0, 4.0, -4.0), resolution_fwhm_mm=7.0).reshape(40, 72)
    to_end_mm = 2.0 * np.arange(40)[::-1] + 1.0
    sigma = np.hypot(7.0 / _FWHM, END_BEAT_MM)
    assert share == pytest.approx(np.broadcast_to(ndtr(-(END_EDGE_MM + to_end_mm) / sigma)[:, None], (40, 72)))
    assert share[20].max() < 1e-6


def test_flow_beside_the_end_comes_out_as_in_the_middle() -> None:
    model = lortie()
    assert isinstance(model, OneTissue)
    left, past_end, spill = left_blood(), np.array([0.0, 0.2, 0.5]), 0.3
    kinetic = np.column_stack([np.full(3, 1.2), np.full(3, 0.2)])
    tissue = model.tissue(kinetic, WallCurves(FRAMES, np.zeros((3, len(FRAMES))), left))[0]
    muscle = ((1 - past_end) * (1 - spill))[:, None] * tissue
    seen = WallCurves(FRAMES, muscle + spill * left.means, left, past_end=past_end)
    found, unaware = fit_model(model, seen), fit_model(model, WallCurves(FRAMES, seen.tissue, left))
    assert found.flow == pytest.approx(np.full(3, found.flow[0]), rel=1e-6)
    assert unaware.flow[2] < 0.7 * found.flow[2]


def test_a_share_of_one_is_refused() -> None:
    with pytest.raises(InvalidValue, match="past the wall's end"):
        WallCurves(FRAMES, np.ones((1, len(FRAMES))), left_blood(), past_end=np.ones(1))
