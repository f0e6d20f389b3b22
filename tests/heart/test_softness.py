import numpy as np
import pytest
from scipy.ndimage import shift

from myoscope.core import CardiacFrame, Grid, Volume
from myoscope.heart import LeftVentricle, fit_surfaces, is_soft
from myoscope.simulate import Phantom, lv_phantom

FRAME = CardiacFrame(np.array((3.0, -5.0, 2.0)), np.array((0.45, -0.80, -0.40)))
GRID = Grid.axis_aligned((50, 50, 50), spacing_mm=4)


@pytest.fixture(scope="module")
def still() -> Phantom:
    return lv_phantom(GRID, frame=FRAME, fwhm_mm=8, wall_mm=10, background_ratio=0.15, rng=np.random.default_rng(8))


def ventricle(phantom: Phantom) -> LeftVentricle:
    return LeftVentricle(phantom.frame, Volume(phantom.wall.array > 0.5, phantom.volume.grid, "mask"), "truth", 1.0)


def breathing(volume: Volume, *, amplitude_mm: float) -> Volume:
    """The mean over a breath in three directions, as if the heart moved while it was imaged."""
    steps = np.linspace(-0.5, 0.5, 7) * amplitude_mm / volume.grid.spacing_mm[2]
    moved = np.asarray(volume.array, float)
    for direction in np.eye(3):
        moved = np.mean([shift(moved, s * direction, order=1, mode="nearest") for s in steps], axis=0)
    return volume.like(moved, f"moved by {amplitude_mm} mm")


def test_edges_of_a_still_wall_are_as_sharp_as_the_camera_allows(still: Phantom) -> None:
    surfaces = fit_surfaces(still.volume, ventricle(still), resolution_fwhm_mm=7.5)
    assert not is_soft(still.volume, surfaces, resolution_fwhm_mm=7.5)


def test_a_moving_wall_is_told_by_its_soft_edges(still: Phantom) -> None:
    moved = breathing(still.volume, amplitude_mm=16)
    surfaces = fit_surfaces(moved, ventricle(still), resolution_fwhm_mm=7.5)
    assert is_soft(moved, surfaces, resolution_fwhm_mm=7.5)


def test_no_thickness_is_read_at_the_resolution_of_a_conventional_camera(still: Phantom) -> None:
    assert is_soft(still.volume, still.surfaces, resolution_fwhm_mm=13.5)
