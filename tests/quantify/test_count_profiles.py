from typing import Any

import numpy as np
import pytest

from myoscope.core import CardiacFrame, Grid, InvalidValue
from myoscope.quantify import CountProfiles, count_profiles
from myoscope.simulate import Cycle, Defect, Phantom, lv_phantom

GRID = Grid.axis_aligned((36, 36, 36), spacing_mm=4)
FRAME = CardiacFrame(np.array([2.0, -3.0, 1.0]), np.array([0.45, -0.80, -0.40]))


def heart(**more: Any) -> Phantom:
    return lv_phantom(GRID, frame=FRAME, fwhm_mm=9, background_ratio=0, lung_ratio=0, **more)


def profiles(phantom: Phantom, n_slices: int = 36, n_angles: int = 60) -> CountProfiles:
    return count_profiles(phantom.volume, phantom.surfaces, n_slices=n_slices, n_angles=n_angles)


@pytest.fixture(scope="module")
def even() -> CountProfiles:
    return profiles(heart(septal_shortening_mm=0.0))


def test_an_even_wall_is_even_at_its_own_maximum(even: CountProfiles) -> None:
    assert even.value.shape == (36, 60)
    assert np.nanmax(even.value) == pytest.approx(100)
    body = even.value[6:30]
    assert body.std() / body.mean() < 0.03
    assert body.mean() > 90


def test_slices_run_from_apex_to_base_equally_far_apart(even: CountProfiles) -> None:
    steps = np.diff(even.depth_mm)
    assert steps == pytest.approx(np.full(35, steps[0]))
    assert even.depth_mm[0] == pytest.approx(steps[0] / 2)
    assert even.depth_mm[-1] == pytest.approx(80 - steps[0] / 2, abs=1)
    assert even.angle_deg[:2] == pytest.approx([3, 9])


def test_a_defect_lies_at_its_angle_and_level() -> None:
    found = profiles(heart(defect=Defect(angle_deg=90, arc_fraction=0.5, extent=0.1, depth=0.9)))
    row, column = np.unravel_index(np.nanargmin(found.value[5:28]), (23, 60))
    assert abs(found.angle_deg[column] - 90) < 15
    assert found.depth_mm[row + 5] == pytest.approx(28, abs=10)
    opposite = found.value[10:25, 40:50]
    assert np.nanmin(opposite) > 85


def test_the_shorter_septum_ends_before_the_last_slice() -> None:
    found = profiles(heart(septal_shortening_mm=14.0))
    missing = np.isnan(found.value)
    septum, lateral = missing[:, 27:33].sum(), np.concatenate([missing[:, :3], missing[:, -3:]], axis=1).sum()
    assert septum > 20
    assert lateral == 0
    assert not missing[:25].any()


def test_profiles_do_not_depend_on_the_level_of_counts(even: CountProfiles) -> None:
    brighter = profiles(heart(septal_shortening_mm=0.0, peak_counts=5000))
    assert np.allclose(brighter.value, even.value, atol=0.01, equal_nan=True)


def test_sizes_are_the_callers_choice() -> None:
    phantom = heart()
    assert profiles(phantom, 20, 36).value.shape == (20, 36)
    with pytest.raises(InvalidValue, match="at least one"):
        profiles(phantom, 0, 60)


def test_what_the_image_does_not_show_is_missing() -> None:
    phantom = heart()
    array = np.array(phantom.volume.array, float)
    array[GRID.points_mm()[..., 0] > 20] = np.nan
    cut = count_profiles(phantom.volume.like(array, "cut"), phantom.surfaces, n_slices=20, n_angles=36)
    assert 0 < np.isnan(cut.value).sum() < cut.value.size
    assert np.nanmax(cut.value) == pytest.approx(100)
    with pytest.raises(InvalidValue, match="without counts"):
        count_profiles(phantom.volume.like(0 * array, "empty"), phantom.surfaces, n_slices=20, n_angles=36)


def test_gated_images_are_cut_gate_by_gate() -> None:
    beat = heart(cycle=Cycle(50, n_gates=2))
    with pytest.raises(InvalidValue, match="one frame"):
        profiles(beat)
    one = count_profiles(beat.volume.frame(0), beat.surfaces.gate(0), n_slices=10, n_angles=20)
    assert one.value.shape == (10, 20)
