"""The wall of hearts seen too softly to tell its thickness, against the true surfaces of a beating virtual heart."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from myoscope.core import CardiacFrame, GeometryMismatch, Grid, Volume
from myoscope.core.surfaces import enclosed_mL
from myoscope.heart import LeftVentricle, SoftWall, fit_soft_wall
from myoscope.heart.blurred_wall import blurred_wall
from myoscope.heart.soft_wall import usual_wall_mL
from myoscope.simulate.beat import BeatingHeart
from myoscope.simulate.heart import draw_heart

SEAT = CardiacFrame(np.array([4.0, -6.0, 3.0]), np.array([0.5, -0.75, -0.4]))
GRID = Grid.axis_aligned((40, 40, 36), spacing_mm=5)
FWHM_MM = 14.0
N_GATES = 8


@dataclass(frozen=True)
class Squeeze:
    thickening: NDArray[np.float64]
    delay_deg: NDArray[np.float64]
    dilation: float = 1.0


@pytest.fixture(scope="module")
def beating() -> BeatingHeart:
    heart = draw_heart(sex="M", height_cm=178, weight_kg=82, seat=SEAT, rng=np.random.default_rng(3))
    return heart.beat(Squeeze(np.full((40, 72), 0.55), np.zeros((40, 72))), N_GATES)


@pytest.fixture(scope="module")
def image(beating: BeatingHeart) -> Volume:
    from scipy.ndimage import gaussian_filter, map_coordinates

    fine = beating.box_grid(2.5)
    sharp = beating.activity(fine, wall_kBq_mL=np.full((40, 72), 100.0), rv_wall_kBq_mL=40, blood_kBq_mL=8)
    points = GRID.points_mm()
    sigma = FWHM_MM / np.sqrt(8 * np.log(2)) / 2.5
    frames = [
        map_coordinates(
            gaussian_filter(np.pad(frame.astype(float), 16), sigma),
            np.moveaxis(fine.to_index(points), -1, 0) + 16,
            order=1,
            mode="constant",
        )
        for frame in np.asarray(sharp.array)
    ]
    return Volume(np.stack(frames).astype(np.float32), GRID, "counts", frame_axis="gate")


@pytest.fixture(scope="module")
def found(image: Volume) -> SoftWall:
    return fit_soft_wall(image, outlined(image), start_fwhm_mm=11.0)


def outlined(image: Volume) -> LeftVentricle:
    """What stands above half of the wall's counts and lies near the ventricle."""
    mean = np.asarray(image.array, float).mean(axis=0)
    place = SEAT.to_heart(GRID.points_mm())
    near = (np.hypot(place[..., 0], place[..., 1]) < 48) & (np.abs(place[..., 2]) < 60)
    mask = near & (mean > 0.5 * np.percentile(mean[near], 98))
    return LeftVentricle(SEAT, Volume(mask, GRID, "mask"), "truth", 1.0)


def test_the_middle_of_the_wall_is_where_it_is(found: SoftWall, beating: BeatingHeart) -> None:
    true, ours = (enclosed_mL(s.mid_mm) for s in (beating.surfaces, found.surfaces))
    assert ours.max() == pytest.approx(true.max(), rel=0.08)
    assert ours.min() == pytest.approx(true.min(), rel=0.12)


def test_the_heart_ejects_what_it_was_told(found: SoftWall, beating: BeatingHeart) -> None:
    cavity = found.surfaces.cavity_mL
    ef = 100 * (1 - cavity.min() / cavity.max())
    true = beating.volumes_mL
    # This heart's wall is thinner than usual, which no image this soft can tell.
    assert ef == pytest.approx(100 * (1 - true.min() / true.max()), abs=8)
    assert int(cavity.argmin()) == pytest.approx(int(true.argmin()), abs=1)


def test_muscle_is_the_usual_amount_and_the_same_in_all_gates(found: SoftWall) -> None:
    wall = found.surfaces.wall_mL
    np.testing.assert_allclose(wall, wall[0], rtol=0.01)
    inside = float(enclosed_mL(found.surfaces.mid_mm).max())
    assert float(wall[0]) == pytest.approx(usual_wall_mL(inside, gated=True), rel=0.02)


def test_softness_is_told_by_the_image(found: SoftWall) -> None:
    assert found.fwhm_mm == pytest.approx(FWHM_MM, rel=0.15)


def test_brightness_changes_nothing(image: Volume, found: SoftWall) -> None:
    brighter = Volume(np.asarray(image.array) * 37, GRID, "counts", frame_axis="gate")
    again = fit_soft_wall(brighter, outlined(image), start_fwhm_mm=11.0)
    np.testing.assert_allclose(again.surfaces.cavity_mL, found.surfaces.cavity_mL, rtol=1e-3)


def test_an_ungated_image_has_one_wall_between_the_extremes(image: Volume, beating: BeatingHeart) -> None:
    still = fit_soft_wall(image.summed(), outlined(image), start_fwhm_mm=11.0)
    true = beating.volumes_mL
    assert true.min() < float(still.surfaces.cavity_mL) < true.max()


def test_muscle_inside_the_cavity_draws_its_image_inwards() -> None:
    angle = np.arange(72) * 2 * np.pi / 72
    height = np.linspace(30, -30, 41)
    ring = np.stack(np.broadcast_arrays(25 * np.cos(angle), 25 * np.sin(angle), height[:, None]), axis=-1)
    across = ring * (1, 1, 0) / 25
    counts = blurred_wall(GRID, ring, across, np.full((41, 72), 9.0), sigma_mm=5.0)
    points = GRID.points_mm()
    level = np.abs(points[..., 2]) < 10
    radius = np.hypot(points[..., 0], points[..., 1])[level]
    inside, outside = (counts[level][np.abs(radius - at) < 2].mean() for at in (25 - 15, 25 + 15))
    assert inside > 3 * outside


def test_a_mask_on_another_grid_is_refused(image: Volume) -> None:
    other = Grid.axis_aligned((40, 40, 36), spacing_mm=4)
    mask = np.zeros(other.shape, bool)
    mask[20, 20, 18] = True
    with pytest.raises(GeometryMismatch, match="the wall mask lies on"):
        fit_soft_wall(image, LeftVentricle(SEAT, Volume(mask, other, "mask"), "truth", 1.0), start_fwhm_mm=11.0)
