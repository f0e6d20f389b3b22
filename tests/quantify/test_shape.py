from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from myoscope.core import CardiacFrame, InvalidValue, Surfaces
from myoscope.quantify import eccentricity, shape_index, wall_semi_axes_mm

FRAME = CardiacFrame(np.array([5.0, -9.0, 3.0]), np.array([0.5, -0.7, -0.45]))


def ventricle(across: tuple[float, float], along: float, *, reach_deg: float = 105, turn_deg: float = 0.0) -> Surfaces:
    """A truncated ellipsoid; endo- and epicardium are ellipsoids about the same centre, 4 mm to either side."""
    polar, angle = np.radians(np.linspace(0, reach_deg, 41))[:, None], np.arange(72) * 2 * np.pi / 72
    turn = np.radians(turn_deg)

    def nodes(off: float) -> np.ndarray:
        a, b, c = across[0] + off, across[1] + off, along + off
        # The point at each displayed angle: radius of the ellipse in that direction.
        radius = 1 / np.hypot(np.cos(angle - turn) / a, np.sin(angle - turn) / b)
        x, y = np.sin(polar) * radius * np.cos(angle), np.sin(polar) * radius * np.sin(angle)
        return FRAME.to_patient(np.stack([x, y, c * np.cos(polar) * np.ones(72)], axis=-1))

    valve = FRAME.centre_mm + along * np.cos(np.radians(reach_deg)) * FRAME.long_axis
    return Surfaces(nodes(-4), nodes(4), FRAME, valve, -FRAME.long_axis)


def test_eccentricity_of_a_slender_ellipsoid() -> None:
    """AT-06: semi-axes of 60, 30 and 30 mm."""
    assert eccentricity([60, 30, 30]) == pytest.approx(0.8660, abs=5e-5)
    assert eccentricity([30, 60, 30]) == eccentricity([60, 30, 30])
    assert eccentricity([40, 40, 40]) == 0


@given(st.floats(20, 60), st.floats(20, 60), st.floats(20, 60), st.floats(0.2, 5))
def test_eccentricity_lies_between_nothing_and_one_and_does_not_depend_on_size(
    a: float, b: float, c: float, scale: float
) -> None:
    e = float(eccentricity([a, b, c]))
    assert 0 <= e < 1
    assert float(eccentricity([scale * a, scale * b, scale * c])) == pytest.approx(e, abs=1e-6)


def test_the_wall_gives_back_its_ellipsoid() -> None:
    found = wall_semi_axes_mm(ventricle((32, 26), 58, turn_deg=30))
    assert found == pytest.approx([58, 32, 26], rel=0.01)
    assert eccentricity(found) == pytest.approx(np.sqrt(1 - 32 * 26 / 58**2), abs=0.005)


def test_the_shape_index_is_diameter_over_length() -> None:
    wall = ventricle((29, 29), 64, reach_deg=105)
    length = 60 * (1 + np.cos(np.radians(75)))
    assert shape_index(wall) == pytest.approx([50 / length], rel=0.002)
    oval = ventricle((36, 29), 64, reach_deg=105, turn_deg=40)
    assert shape_index(oval) == pytest.approx([64 / length], rel=0.003)


def test_a_rounder_heart_has_a_higher_index_and_less_eccentricity() -> None:
    slender, round_one = ventricle((27, 27), 66), ventricle((40, 40), 55)
    assert shape_index(round_one) > shape_index(slender)
    assert eccentricity(wall_semi_axes_mm(round_one)) < eccentricity(wall_semi_axes_mm(slender))


def test_every_gate_has_its_own_shape() -> None:
    two = [ventricle((32, 32), 62), ventricle((26, 26), 58)]
    gated = replace(two[0], endo_mm=np.stack([w.endo_mm for w in two]), epi_mm=np.stack([w.epi_mm for w in two]))
    assert shape_index(gated) == pytest.approx(np.concatenate([shape_index(w) for w in two]))
    assert wall_semi_axes_mm(gated) == pytest.approx(np.stack([wall_semi_axes_mm(w) for w in two]))
    assert wall_semi_axes_mm(gated).shape == (2, 3)


def test_a_wall_that_opens_like_a_trumpet_is_no_ellipsoid() -> None:
    t, angle = np.linspace(0, 1, 41)[:, None], np.arange(72) * 2 * np.pi / 72
    radius = 5 + 30 * t**3
    radius[0] = 0

    def nodes(off: float) -> np.ndarray:
        r = np.where(t > 0, radius + off, 0.0)
        return FRAME.to_patient(np.stack([r * np.cos(angle), r * np.sin(angle), -60 * t * np.ones(72)], axis=-1))

    wall = Surfaces(nodes(0), nodes(8), FRAME, FRAME.centre_mm - 60 * FRAME.long_axis, -FRAME.long_axis)
    assert np.isnan(wall_semi_axes_mm(wall)).all()


def test_an_ellipsoid_without_a_length_is_refused() -> None:
    with pytest.raises(InvalidValue, match="three positive"):
        eccentricity([60, 30, 0])
