import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from myoscope.core import Grid, InvalidValue


def signed_permutations() -> list[np.ndarray]:
    identity = np.eye(3)
    return [
        identity[:, list(order)] * signs
        for order in itertools.permutations(range(3))
        for signs in itertools.product((1, -1), repeat=3)
    ]


def grid_of(directions: np.ndarray, spacing: tuple[float, float, float] = (2, 3, 4)) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = directions * spacing
    affine[:3, 3] = (10, -20, 30)
    return Grid((5, 6, 7), affine)


coordinates = st.floats(-500, 500, allow_nan=False)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 47), st.tuples(coordinates, coordinates, coordinates))
def test_index_to_mm_and_back_is_the_identity(which: int, index: tuple[float, float, float]) -> None:
    grid = grid_of(signed_permutations()[which])
    np.testing.assert_allclose(grid.to_index(grid.to_mm(index)), index, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-2, 2), min_size=9, max_size=9))
def test_the_voxel_volume_is_that_of_the_parallelepiped(numbers: list[float]) -> None:
    edges = np.array(numbers).reshape(3, 3) + 4 * np.eye(3)
    if abs(np.linalg.det(edges)) < 0.1:
        return
    affine = np.eye(4)
    affine[:3, :3] = edges
    volume_mm3 = abs(edges[:, 0] @ np.cross(edges[:, 1], edges[:, 2]))
    assert Grid((2, 2, 2), affine).voxel_volume_mL == pytest.approx(volume_mm3 / 1000)


def test_an_axis_aligned_grid_is_centred_where_it_is_told() -> None:
    grid = Grid.axis_aligned((70, 71, 50), spacing_mm=(4, 3, 2), centre_mm=(-12, 5, 300))
    np.testing.assert_allclose(grid.centre_mm, (-12, 5, 300))
    np.testing.assert_allclose(grid.spacing_mm, (4, 3, 2))
    assert grid.orientation == "LPS"
    assert grid.voxel_volume_mL == pytest.approx(0.024)


@pytest.mark.parametrize("directions", signed_permutations())
def test_the_orientation_letters_name_where_each_axis_runs(directions: np.ndarray) -> None:
    letters = grid_of(directions).orientation
    towards = {"L": 0, "R": 0, "P": 1, "A": 1, "S": 2, "I": 2}
    for axis, letter in enumerate(letters):
        sign = 1 if letter in "LPS" else -1
        assert directions[towards[letter], axis] == sign


def test_points_are_the_positions_of_the_voxel_centres() -> None:
    grid = grid_of(signed_permutations()[13])
    points = grid.points_mm()
    assert points.shape == (5, 6, 7, 3)
    np.testing.assert_allclose(points[3, 4, 5], grid.to_mm((3, 4, 5)))
    np.testing.assert_allclose(points[0, 0, 0], (10, -20, 30))


def test_the_same_place_needs_the_same_shape_and_corners() -> None:
    grid = grid_of(np.eye(3))
    moved = grid.affine.copy()
    moved[0, 3] += 5e-4
    assert grid.same_place(Grid(grid.shape, moved))
    assert grid != Grid(grid.shape, moved)
    moved[0, 3] += 0.1
    assert not grid.same_place(Grid(grid.shape, moved))
    assert not grid.same_place(Grid((5, 6, 8), grid.affine))


def test_equal_grids_have_equal_hashes() -> None:
    first, second = grid_of(np.eye(3)), grid_of(np.eye(3))
    assert first == second
    assert hash(first) == hash(second)
    assert first != "grid"


def test_a_turned_grid_keeps_its_spacing() -> None:
    angle = np.radians(33)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    grid = grid_of(turn)
    np.testing.assert_allclose(grid.spacing_mm, (2, 3, 4))
    np.testing.assert_allclose(grid.direction, turn, atol=1e-12)


def test_a_grid_cannot_be_changed() -> None:
    affine = np.eye(4)
    grid = Grid((2, 2, 2), affine)
    affine[0, 0] = 7  # the caller's own array stays the caller's
    assert grid.affine[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        grid.affine[0, 0] = 2
    with pytest.raises(AttributeError):
        grid.shape = (1, 1, 1)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("shape", "change", "message"),
    [
        ((2, 2), None, "three positive sizes"),
        ((2, 0, 2), None, "three positive sizes"),
        ((2, 2, 2), ((0, 0), np.nan), "4x4 and finite"),
        ((2, 2, 2), ((3, 0), 1.0), "last row"),
        ((2, 2, 2), ((0, 0), 0.0), "singular"),
    ],
)
def test_a_grid_that_has_no_place_is_refused(shape: tuple[int, ...], change: object, message: str) -> None:
    affine = np.eye(4)
    if change is not None:
        affine[change[0]] = change[1]  # type: ignore[index]
    with pytest.raises(InvalidValue, match=message):
        Grid(shape, affine)  # type: ignore[arg-type]


def test_an_affine_of_three_rows_is_refused() -> None:
    with pytest.raises(InvalidValue, match="4x4"):
        Grid((2, 2, 2), np.eye(4)[:3])


def test_a_grid_says_what_it_is() -> None:
    text = repr(Grid.axis_aligned((70, 70, 50), spacing_mm=4, centre_mm=(1, 2, 3)))
    assert text == "Grid(70 x 70 x 50 voxels of 4 x 4 x 4 mm, LPS, centre (1.0, 2.0, 3.0) mm)"
