"""The model-based finder: right on phantoms, silent on what is no heart."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from myoscope.core import CardiacFrame, Grid, HeartNotFound, InvalidValue, Volume
from myoscope.core.geometry import FloatArray
from myoscope.heart import LeftVentricle, find_by_model
from myoscope.simulate import Defect, lv_phantom

GRID = Grid.axis_aligned((56, 56, 44), spacing_mm=4.0)
FRAME = CardiacFrame(np.array([10.0, -8.0, 12.0]), np.array([0.52, -0.80, -0.29]))


def _ellipsoid(centre: tuple[float, float, float], axes: tuple[float, float, float]) -> FloatArray:
    offset = (GRID.points_mm() - np.array(centre)) / np.array(axes)
    inside: FloatArray = ((offset**2).sum(axis=-1) < 1).astype(float)
    return inside


def _counted(activity: FloatArray, seed: int = 0) -> Volume:
    counts = np.random.default_rng(seed).poisson(activity).astype(float)
    return Volume(gaussian_filter(counts, 1.4), GRID, "counts")


@pytest.fixture(scope="module")
def plain() -> Volume:
    return lv_phantom(GRID, frame=FRAME, fwhm_mm=9.0, rng=np.random.default_rng(1)).volume


@pytest.fixture(scope="module")
def found(plain: Volume) -> LeftVentricle:
    return find_by_model(plain)


def test_axis_and_centre_of_a_plain_heart(found: LeftVentricle) -> None:
    assert found.frame.angle_to_deg(FRAME) < 2.0
    assert np.linalg.norm(found.frame.centre_mm - FRAME.centre_mm) < 3.0
    assert found.confidence > 0.8
    assert found.flags == ()


def test_centre_is_the_centroid_of_the_wall_mask(found: LeftVentricle) -> None:
    centroid = found.wall.grid.to_mm(np.argwhere(found.wall.array)).mean(axis=0)
    np.testing.assert_allclose(found.frame.centre_mm, centroid)


@pytest.mark.parametrize(("left", "below"), [(10, 0), (15, 35), (58, 5), (50, 38)])
def test_axes_across_the_spread_of_the_masks(left: float, below: float) -> None:
    a, b = np.radians([left, below])
    axis = np.array([np.sin(a) * np.cos(b), -np.cos(a) * np.cos(b), -np.sin(b)])
    frame = CardiacFrame(np.array([0.0, 0.0, 5.0]), axis)
    phantom = lv_phantom(GRID, frame=frame, fwhm_mm=11.0, rng=np.random.default_rng(2))
    assert find_by_model(phantom.volume).frame.angle_to_deg(frame) < 4.0


def test_a_defect_does_not_turn_the_axis() -> None:
    defect = Defect(angle_deg=270, arc_fraction=0.5, extent=0.25, depth=0.9)
    phantom = lv_phantom(GRID, frame=FRAME, fwhm_mm=9.0, defect=defect, rng=np.random.default_rng(3))
    assert find_by_model(phantom.volume).frame.angle_to_deg(FRAME) < 5.0


def test_a_liver_hotter_than_the_heart_is_not_the_heart_and_is_flagged() -> None:
    phantom = lv_phantom(
        GRID, frame=FRAME, fwhm_mm=9.0, liver_ratio=3.0, liver_gap_mm=8.0, rng=np.random.default_rng(4)
    )
    found = find_by_model(phantom.volume)
    assert found.frame.angle_to_deg(FRAME) < 5.0
    assert np.linalg.norm(found.frame.centre_mm - FRAME.centre_mm) < 6.0
    assert "hot_neighbour" in [flag.code for flag in found.flags]


def test_scaling_the_counts_changes_nothing(plain: Volume, found: LeftVentricle) -> None:
    scaled = find_by_model(plain.like(np.asarray(plain.array, np.float64) * 1234.5, "scaled"))
    assert scaled.frame.angle_to_deg(found.frame) < 0.1
    assert scaled.overlap(found) > 0.999


def test_storage_order_of_the_voxels_does_not_matter(plain: Volume, found: LeftVentricle) -> None:
    # The same patient, slices stored from head to feet and rows from back to front.
    affine = plain.grid.affine.copy()
    for axis in (1, 2):
        affine[:3, 3] += affine[:3, axis] * (plain.grid.shape[axis] - 1)
        affine[:3, axis] *= -1
    flipped = Volume(plain.array[:, ::-1, ::-1], Grid(plain.grid.shape, affine), plain.unit)
    again = find_by_model(flipped)
    assert again.frame.angle_to_deg(found.frame) < 1.5
    assert np.linalg.norm(again.frame.centre_mm - found.frame.centre_mm) < 1.5


def test_a_gated_image_is_found_on_its_sum(plain: Volume, found: LeftVentricle) -> None:
    gates = np.stack([np.asarray(plain.array) * share for share in (0.25, 0.75)])
    gated = find_by_model(Volume(gates, plain.grid, plain.unit, frame_axis="gate"))
    assert gated.frame.angle_to_deg(found.frame) < 0.1


def test_a_heart_cut_by_the_edge_of_the_field_of_view_is_flagged() -> None:
    phantom = lv_phantom(GRID, frame=FRAME, fwhm_mm=9.0)
    index = np.argwhere(phantom.wall.array > 0.5)
    first = int(index[:, 2].min()) + 2
    affine = GRID.affine.copy()
    affine[:3, 3] += affine[:3, 2] * first
    cut = phantom.volume.array[:, :, first:]
    shape = (cut.shape[0], cut.shape[1], cut.shape[2])
    found = find_by_model(Volume(cut, Grid(shape, affine), "counts"))
    assert "heart_truncated" in [flag.code for flag in found.flags]


def test_a_search_centre_far_from_the_heart_finds_nothing(plain: Volume) -> None:
    with pytest.raises(HeartNotFound):
        find_by_model(plain, search_centre_mm=(-90, 80, -60))
    with pytest.raises(InvalidValue):
        find_by_model(plain, search_centre_mm=(0, np.nan, 0))


NO_HEART: dict[str, FloatArray] = {
    "uniform": np.full(GRID.shape, 50.0),
    "few counts": np.full(GRID.shape, 0.02),
    "liver only": 20 + 400 * _ellipsoid((-40, 0, -40), (80, 60, 50)),
    "solid sphere like a brain": 5 + 200 * _ellipsoid((0, 0, 0), (65, 80, 60)),
    "cortex": 105 + 300 * (_ellipsoid((0, 0, 0), (65, 80, 60)) - _ellipsoid((0, 0, 0), (53, 68, 48))),
    "solid lump of a heart's size": 5 + 200 * _ellipsoid((0, 0, 0), (35, 35, 35)),
    "rod": 5 + 200 * _ellipsoid((0, 0, 0), (12, 12, 80)),
    "point sources": 1e4 * (np.arange(np.prod(GRID.shape)) % 7919 == 0).reshape(GRID.shape),
}


@pytest.mark.parametrize("kind", NO_HEART)
def test_what_is_no_heart_is_not_found(kind: str) -> None:
    with pytest.raises(HeartNotFound):
        find_by_model(_counted(NO_HEART[kind]))


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((40, 40, 40)), "no counts"),
        (np.full((40, 40, 40), 7.0), "constant"),
        (np.where(np.arange(64000).reshape(40, 40, 40) == 5, np.nan, 1.0), "not finite"),
        (np.random.default_rng(0).random((64, 64, 1)), "planar"),
    ],
)
def test_an_image_that_cannot_hold_a_heart_says_why(array: FloatArray, reason: str) -> None:
    grid = Grid.axis_aligned((array.shape[0], array.shape[1], array.shape[2]), spacing_mm=4.0)
    with pytest.raises(HeartNotFound, match=reason):
        find_by_model(Volume(array, grid, "counts"))


def _bullet(grid: Grid, frame: CardiacFrame, *, fwhm_mm: float, flattening: float, seed: int) -> Volume:
    """A heart that is not the model's: a hemisphere on a cylinder, septum flattened and shorter, cut sharply."""
    rng = np.random.default_rng(seed)
    radius, activity = 27.0, np.zeros(grid.shape)
    for corner in np.ndindex(2, 2, 2):
        offset = np.array(corner) / 2 - 0.25
        lateral, up, along = np.moveaxis(frame.to_heart(grid.points_mm() + offset * grid.spacing_mm), -1, 0)
        septal = np.where(lateral < 0, lateral / (1 - flattening), lateral)
        reach = np.sqrt(septal**2 + up**2 + np.maximum(along, 0) ** 2)
        above_base = along + 0.25 * lateral > -32
        wall = (np.abs(reach - radius) < 5) & above_base
        activity += np.where(wall, 100.0, np.where((reach < radius) & above_base, 8.0, 6.0)) / 8
    grain = 0.7 * fwhm_mm / 2.3548 / grid.spacing_mm
    counts = rng.poisson(gaussian_filter(activity, grain))
    return Volume(gaussian_filter(counts.astype(float), grain), grid, "counts")


@pytest.mark.parametrize(("voxel_mm", "fwhm_mm"), [(4.0, 8.0), (6.4, 13.5)])
def test_axis_of_a_heart_of_another_form_than_the_model(voxel_mm: float, fwhm_mm: float) -> None:
    size = int(224 / voxel_mm)
    grid = Grid.axis_aligned((size, size, int(176 / voxel_mm)), spacing_mm=voxel_mm)
    image = _bullet(grid, FRAME, fwhm_mm=fwhm_mm, flattening=0.15, seed=6)
    assert find_by_model(image).frame.angle_to_deg(FRAME) < 4.0
