"""The shift between attenuation map and emission: found where it was put, left alone where there is none."""

import numpy as np
import pytest
from scipy import ndimage

from myoscope.core import CardiacFrame, Grid, InvalidValue, Surfaces, UnitMismatch, Volume
from myoscope.correct import find_alignment, moved

FRAME = CardiacFrame(np.array((35.0, -25.0, 0.0)), np.array((0.55, -0.78, -0.3)))
GRID = Grid.axis_aligned((64, 64, 40), spacing_mm=6.4)


def wall() -> Surfaces:
    """Half an ellipsoid and a cylinder: endocardium 23, epicardium 33 mm from the axis."""
    rings, angles = np.linspace(0, 1, 41)[:, None], np.radians(np.arange(72) * 5.0)[None]
    along = 45 - 85 * rings
    nodes = []
    for radius, apex in ((23.0, 40.0), (33.0, 50.0)):
        profile = radius * np.sqrt(np.clip(1 - (np.clip(along, 0, apex) / apex) ** 2, 0.02, 1))
        nodes.append(
            FRAME.to_patient(
                np.stack(
                    [profile * np.cos(angles), profile * np.sin(angles), np.broadcast_to(along * apex / 45, (41, 72))],
                    axis=-1,
                )
            )
        )
    return Surfaces(nodes[0], nodes[1], FRAME, FRAME.centre_mm - 40 * FRAME.long_axis, -FRAME.long_axis)


def chest(shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Volume:
    """Heart, mediastinum, lungs and the liver under the diaphragm."""
    points = GRID.points_mm() - shift_mm
    x, y, z = np.moveaxis(points, -1, 0)
    body = (x / 165) ** 2 + ((y - 10) / 130) ** 2 < 1
    lungs = body & (((np.abs(x) - 72) / 58) ** 2 + ((y - 10) / 104) ** 2 < 1) & (z > -50 - 0.2 * y)
    heart_mm = FRAME.to_heart(points)
    tip = np.clip(heart_mm[..., 2], 0, None) * 35 / 52
    heart = np.sqrt(heart_mm[..., 0] ** 2 + heart_mm[..., 1] ** 2 + tip**2) < 35
    heart &= heart_mm[..., 2] > -60
    mu = np.where(lungs & ~heart, 0.04, np.where(body | heart, 0.15, 0.0))
    return Volume(ndimage.gaussian_filter(mu, 0.6), GRID, "1/cm")


@pytest.mark.parametrize("shift_mm", [(18.0, 0, 0), (0, 0, 16.0), (-12.0, 10.0, -8.0), (20.0, -8.0, 14.0)])
def test_a_shift_is_found_and_undone(shift_mm: tuple[float, float, float]) -> None:
    beside = chest(shift_mm)
    found = find_alignment(beside, wall())
    np.testing.assert_allclose(found.shift_mm, -np.array(shift_mm), atol=6)
    assert found.to_be_applied
    assert found.fit > found.fit_before
    flag = found.flag()
    assert (flag.code, flag.severity) == ("mu_map_moved", "warning")
    back = moved(beside, found)
    assert "moved by" in back.made_by[-1]
    again = find_alignment(back, wall())
    assert again.distance_mm < 9
    assert again.fit_before > found.fit_before


def test_a_map_that_fits_is_left_alone() -> None:
    found = find_alignment(chest(), wall())
    assert found.distance_mm < 8
    assert not found.to_be_applied
    assert (found.flag().code, found.flag().severity) == ("mu_map_aligned", "info")


def test_a_map_of_somewhere_else_is_not_believed() -> None:
    mu = chest()
    water = mu.like(np.where(np.asarray(mu.array) > 0.02, 0.15, 0), "no lungs in it")
    found = find_alignment(water, wall())
    assert not found.to_be_applied
    assert found.flag().code == "mu_map_alignment_doubtful"


def test_what_is_no_map_is_refused() -> None:
    with pytest.raises(UnitMismatch):
        find_alignment(Volume(np.zeros(GRID.shape), GRID, "HU"), wall())
    with pytest.raises(InvalidValue, match="no body"):
        find_alignment(Volume(np.zeros(GRID.shape), GRID, "1/cm"), wall())
