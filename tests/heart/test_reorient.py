import numpy as np
import pytest

from myoscope.core import CardiacFrame, Gating, Grid, InvalidValue, Volume
from myoscope.heart import reorient, view_grid

FRAME = CardiacFrame(np.array([4.0, -6.0, 3.0]), np.array([0.5, -0.75, -0.4]))
GRID = Grid.axis_aligned((40, 40, 36), spacing_mm=4)
VIEWS = ("short_axis", "vertical_long_axis", "horizontal_long_axis")


def blob(towards: np.ndarray, *, at_mm: float = 24.0, grid: Grid = GRID) -> Volume:
    """A small hot sphere in one direction from the heart's centre."""
    distance = np.linalg.norm(grid.points_mm() - (FRAME.centre_mm + at_mm * towards), axis=-1)
    return Volume(np.exp(-0.5 * (distance / 5) ** 2).astype(np.float32), grid, "counts")


def hottest(volume: Volume) -> np.ndarray:
    """Offset of the maximum from the middle of the view: columns, rows, slices."""
    place = np.array(np.unravel_index(volume.array.argmax(), volume.array.shape))
    return place - (np.array(volume.array.shape) - 1) / 2


@pytest.mark.parametrize(
    ("direction", "view", "axis", "sign"),
    [
        ("lateral", "short_axis", 0, +1),
        ("up", "short_axis", 1, -1),
        ("apex", "short_axis", 2, -1),
        ("apex", "vertical_long_axis", 0, +1),
        ("up", "vertical_long_axis", 1, -1),
        ("lateral", "vertical_long_axis", 2, +1),
        ("lateral", "horizontal_long_axis", 0, +1),
        ("apex", "horizontal_long_axis", 1, -1),
        ("up", "horizontal_long_axis", 2, +1),
    ],
)
def test_each_wall_stands_where_the_display_standard_puts_it(direction: str, view: str, axis: int, sign: int) -> None:
    towards = {"lateral": FRAME.lateral, "up": FRAME.up, "apex": FRAME.long_axis}[direction]
    offset = hottest(reorient(blob(towards), FRAME, view=view))  # type: ignore[arg-type]
    assert offset[axis] == pytest.approx(sign * 6, abs=1)  # 24 mm at 4 mm
    assert np.abs(np.delete(offset, axis)).max() <= 1


@pytest.mark.parametrize("view", VIEWS)
def test_views_are_right_handed_and_not_mirrored(view: str) -> None:
    grid = view_grid(FRAME, view, spacing_mm=4)  # type: ignore[arg-type]
    assert np.linalg.det(grid.direction) == pytest.approx(1)
    np.testing.assert_allclose(grid.centre_mm, FRAME.centre_mm, atol=1e-9)


def test_a_linear_ramp_survives_both_interpolations_exactly() -> None:
    points = GRID.points_mm()
    ramp = Volume(100 + points @ np.array([0.3, -0.2, 0.5]), GRID, "counts")
    for interpolation, margin in (("trilinear", 0), ("cubic", 6)):
        view = reorient(ramp, FRAME, interpolation=interpolation, outside=np.nan)  # type: ignore[arg-type]
        where = view.grid.points_mm()
        index = GRID.to_index(where)
        inner = ((index >= margin) & (index <= np.array(GRID.shape) - 1 - margin)).all(axis=-1)
        assert inner.sum() > 1000
        expected = 100 + where @ np.array([0.3, -0.2, 0.5])
        # The spline is mirrored at the border, which a ramp does not like; inside it is exact.
        np.testing.assert_allclose(view.array[inner], expected[inner], atol=0.05)


def test_outside_the_field_of_view_is_marked_as_asked() -> None:
    ones = Volume(np.ones(GRID.shape), GRID, "counts")
    far = CardiacFrame(np.array([60.0, 0.0, 0.0]), FRAME.long_axis)
    marked, zero = reorient(ones, far, outside=np.nan), reorient(ones, far)
    assert 0.05 < np.isnan(marked.array).mean() < 0.95
    np.testing.assert_array_equal(np.isnan(marked.array), zero.array == 0)
    np.testing.assert_allclose(zero.array[zero.array != 0], 1, atol=1e-6)


def test_the_storage_order_of_the_input_changes_nothing() -> None:
    turned = np.array(GRID.affine)
    turned[:3, 2] *= -1
    turned[:3, 3] = GRID.to_mm((0, 0, GRID.shape[2] - 1))
    other = Grid(GRID.shape, turned)
    a = reorient(blob(FRAME.up), FRAME)
    b = reorient(blob(FRAME.up, grid=other), FRAME)
    np.testing.assert_allclose(a.array, b.array, atol=1e-5)


def test_gates_are_reoriented_alike_and_keep_their_gating() -> None:
    one, two = blob(FRAME.up).array, blob(FRAME.lateral).array
    gated = Volume(np.stack([one, two]), GRID, "counts", (), "gate", Gating(2, rr_ms=800))
    view = reorient(gated, FRAME)
    assert view.gating == gated.gating
    np.testing.assert_array_equal(view.array[1], reorient(gated.frame(1), FRAME).array)


def test_counts_per_volume_are_kept() -> None:
    volume = blob(FRAME.up)
    view = reorient(volume, FRAME, spacing_mm=3, shape=(64, 64, 54))
    before = volume.array.sum() * GRID.voxel_volume_mL
    assert view.array.sum() * view.grid.voxel_volume_mL == pytest.approx(before, rel=0.01)


def test_what_cannot_be_reoriented_is_refused() -> None:
    holes = np.ones(GRID.shape)
    holes[3, 3, 3] = np.nan
    with pytest.raises(InvalidValue, match="not finite"):
        reorient(Volume(holes, GRID, "counts"), FRAME)
    with pytest.raises(InvalidValue, match="view is"):
        view_grid(FRAME, "coronal", spacing_mm=4)  # type: ignore[arg-type]
    with pytest.raises(InvalidValue, match="spacing"):
        view_grid(FRAME, "short_axis", spacing_mm=0)
    with pytest.raises(InvalidValue, match="interpolation"):
        reorient(blob(FRAME.up), FRAME, interpolation="nearest")  # type: ignore[arg-type]
