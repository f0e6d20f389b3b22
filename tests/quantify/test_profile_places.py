"""Polar maps read along count profiles: the same wall at the same place, whatever the slices."""

import numpy as np
import pytest

from myoscope.core import CardiacFrame, GeometryMismatch, Grid, InvalidValue
from myoscope.heart import sample_wall
from myoscope.quantify import CountProfiles, along_profiles, count_profiles
from myoscope.simulate import Cycle, Defect, lv_phantom

GRID = Grid.axis_aligned((36, 36, 36), spacing_mm=4)
FRAME = CardiacFrame(np.array([2.0, -3.0, 1.0]), np.array([0.45, -0.80, -0.40]))
HEART = lv_phantom(
    GRID,
    frame=FRAME,
    fwhm_mm=9,
    background_ratio=0,
    lung_ratio=0,
    septal_shortening_mm=14.0,
    defect=Defect(angle_deg=90, arc_fraction=0.5, extent=0.15, depth=0.8),
)
ANGLES = np.broadcast_to((np.arange(72) + 0.5) * 5, (40, 72))
RINGS = np.broadcast_to((np.arange(40.0) + 0.5)[:, None], (40, 72))


@pytest.fixture(scope="module")
def profiles() -> CountProfiles:
    return count_profiles(HEART.volume, HEART.surfaces, n_slices=36, n_angles=72)


def test_an_even_map_reads_even_wherever_a_profile_runs(profiles: CountProfiles) -> None:
    read = along_profiles(np.full((40, 72), 7.0), profiles, HEART.surfaces)
    assert np.array_equal(np.isnan(read), np.isnan(profiles.value))
    assert np.nanmax(np.abs(read - 7)) < 1e-12


def test_columns_of_the_map_and_of_the_profiles_are_the_same_angles(profiles: CountProfiles) -> None:
    away = np.minimum(ANGLES, 360 - ANGLES)
    read = along_profiles(away, profiles, HEART.surfaces)
    expected = np.broadcast_to(np.minimum(profiles.angle_deg, 360 - profiles.angle_deg), read.shape)
    assert np.nanmax(np.abs(read - expected)) < 1e-9


def test_rings_rise_from_slice_to_slice_and_a_slice_lies_as_deep_as_its_rings(profiles: CountProfiles) -> None:
    read = along_profiles(RINGS, profiles, HEART.surfaces)
    assert (np.diff(read, axis=0)[np.isfinite(np.diff(read, axis=0))] >= 0).all()
    mid = HEART.surfaces.frame.to_heart(HEART.surfaces.mid_mm)[..., 2]
    depth = mid[0, 0] - mid[:, 0]
    assert np.interp(read[6:, 0], np.arange(41), depth) == pytest.approx(profiles.depth_mm[6:], abs=0.3)


def test_the_polar_map_of_the_image_reads_as_its_profiles_do(profiles: CountProfiles) -> None:
    """Both take the highest count across the wall, along its normal or along a radius: alike off the apical cap."""
    sampled = sample_wall(HEART.volume, HEART.surfaces, method="surface")
    read = along_profiles(sampled.value, profiles, HEART.surfaces)
    counts = profiles.value * profiles.maximum / 100
    body = np.s_[9:28]
    assert np.nanmedian(np.abs(read[body] / counts[body] - 1)) < 0.02
    assert np.corrcoef(read[body].ravel(), counts[body].ravel())[0, 1] > 0.98


def test_cells_that_were_not_seen_are_not_read(profiles: CountProfiles) -> None:
    hidden = np.ones((40, 72))
    hidden[20:, 30:40] = np.nan
    read = along_profiles(hidden, profiles, HEART.surfaces)
    assert np.isnan(read[22:27, 32:38]).all()
    assert np.isfinite(read[22:27, 50:]).all()


def test_other_cells_and_gates_are_refused(profiles: CountProfiles) -> None:
    with pytest.raises(GeometryMismatch, match="does not lie"):
        along_profiles(np.ones((20, 36)), profiles, HEART.surfaces)
    beat = lv_phantom(GRID, frame=FRAME, fwhm_mm=9, cycle=Cycle(50, n_gates=2))
    with pytest.raises(InvalidValue, match="one frame"):
        along_profiles(np.ones((40, 72)), profiles, beat.surfaces)
