"""Solid shapes on voxels keep their volume, wherever they lie and however thin they are."""

from __future__ import annotations

import numpy as np
import pytest

from myoscope.core import Grid, InvalidValue
from myoscope.simulate.shapes import SUPERELLIPSE_AREA, Ellipsoid, Lattice, Tube, superellipse_distance

GRID = Grid.axis_aligned((40, 36, 30), spacing_mm=5.0, centre_mm=(3, -2, 1))
LATTICE = Lattice.of(GRID)


def volume_mL(share: np.ndarray) -> float:
    return float(share.sum()) * GRID.voxel_volume_mL


def test_ellipsoids_keep_their_volume_when_turned_and_moved() -> None:
    c, s = np.cos(0.7), np.sin(0.7)
    turn = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    shape = Ellipsoid.at((5.0, -7.0, 2.0), (45, 30, 22), turn)
    for placed in (shape, shape.moved((3.3, -2.1, 1.7))):
        box, part = placed.box(LATTICE)
        share = part.inside(placed.distance(part))
        assert volume_mL(share) == pytest.approx(shape.volume_mL, rel=0.01)
        whole = LATTICE.inside(placed.distance(LATTICE))
        assert float(whole.sum()) == pytest.approx(float(share.sum()), rel=1e-4)
        np.testing.assert_allclose(whole[box], share, atol=1e-5)


def test_the_lower_face_of_an_ellipsoid_lies_on_it() -> None:
    shape = Ellipsoid.at((4.0, 1.0, 0.0), (40, 25, 20), np.linalg.qr(np.arange(9).reshape(3, 3) + 5 * np.eye(3))[0])
    height, depth = shape.lower_face(LATTICE.x, LATTICE.y)
    i, j = np.nonzero(depth[..., 0] > 0.05)
    points = np.stack([LATTICE.x.ravel()[i], LATTICE.y.ravel()[j], height[i, j, 0]], axis=1) - shape.centre_mm
    level = (((points @ shape.rotation.T) / shape.semi_axes_mm) ** 2).sum(axis=1)
    np.testing.assert_allclose(level, 1, atol=1e-5)


def test_a_tube_is_a_cylinder_with_round_ends() -> None:
    tube = Tube.along([(-40, 0, 0), (40, 10, 5)], 12.0)
    length = float(np.linalg.norm([80, 10, 5]))
    box, part = tube.box(LATTICE)
    expected = (np.pi * 12**2 * length + 4 / 3 * np.pi * 12**3) / 1000
    assert volume_mL(part.inside(tube.distance(part))) == pytest.approx(expected, rel=0.03)
    assert all(side.stop > side.start for side in box)


def test_layers_thinner_than_a_voxel_keep_their_volume() -> None:
    ball = Ellipsoid.at((0, 0, 0), (50, 50, 50)).distance(LATTICE)
    layer = LATTICE.between(ball, -1.0, 1.0)
    assert volume_mL(layer) == pytest.approx(4 / 3 * np.pi * (51**3 - 49**3) / 1000, rel=0.03)


def test_a_stack_of_superellipses_has_its_area() -> None:
    ones = np.ones((1, 1, GRID.shape[2]), np.float32)
    distance = superellipse_distance(LATTICE, 80 * ones, 55 * ones, 4 * ones)
    area = LATTICE.inside(distance)[:, :, 0].sum() * 25.0
    assert area == pytest.approx(SUPERELLIPSE_AREA * 80 * 55, rel=0.01)


def test_a_turned_grid_is_refused() -> None:
    affine = np.eye(4)
    affine[:2, :2] = [[0, 1], [1, 0]]
    with pytest.raises(InvalidValue, match="axis-aligned"):
        Lattice.of(Grid((4, 4, 4), affine))
