from typing import Any

import numpy as np
import pytest

from myoscope.core import CardiacFrame, GeometryMismatch, Grid, HeartNotFound, Surfaces, Volume
from myoscope.heart import LeftVentricle, default_resolution_mm, fit_surfaces
from myoscope.simulate import Cycle, Defect, Phantom, lv_phantom

FRAME = CardiacFrame(np.array([1.7, -2.2, 0.9]), np.array([0.5, -0.75, -0.4]))
CZT = Grid.axis_aligned((48, 48, 44), spacing_mm=4)
CONVENTIONAL = Grid.axis_aligned((36, 36, 30), spacing_mm=6.4)


def outlined(phantom: Phantom, *, moved_mm: float = 0.0) -> LeftVentricle:
    """The wall as blurred counts show it: half as thick again."""
    from scipy.ndimage import gaussian_filter

    grid = phantom.volume.grid
    mask = gaussian_filter(phantom.wall.array, 2.5 / grid.spacing_mm) > 0.25
    centre = phantom.frame.centre_mm + moved_mm * phantom.frame.lateral
    return LeftVentricle(CardiacFrame(centre, phantom.frame.long_axis), Volume(mask, grid, "mask"), "truth", 1.0)


def fitted(phantom: Phantom, **choices: Any) -> Surfaces:
    return fit_surfaces(phantom.volume, outlined(phantom, **choices), resolution_fwhm_mm=phantom.fwhm_mm)


def base_error_mm(surfaces: Surfaces, truth: Surfaces) -> float:
    return float((surfaces.valve_point_mm - truth.valve_point_mm) @ truth.valve_normal)


@pytest.mark.parametrize("wall_mm", [6, 8, 10, 12, 14])
@pytest.mark.parametrize(("grid", "fwhm_mm", "tolerance_mm"), [(CZT, 7.5, 0.5), (CONVENTIONAL, 13.5, 1.5)])
def test_thickness_is_recovered_without_noise(wall_mm: float, grid: Grid, fwhm_mm: float, tolerance_mm: float) -> None:
    phantom = lv_phantom(grid, frame=FRAME, fwhm_mm=fwhm_mm, wall_mm=wall_mm)
    surfaces = fitted(phantom)
    assert float(np.mean(surfaces.thickness_mm[5:36])) == pytest.approx(wall_mm, abs=tolerance_mm)
    assert float(surfaces.cavity_mL) == pytest.approx(float(phantom.surfaces.cavity_mL), rel=0.04, abs=3)


@pytest.mark.parametrize(("radius_mm", "length_mm"), [(20, 56), (28, 80), (38, 104)])
@pytest.mark.parametrize(("grid", "fwhm_mm"), [(CZT, 7.5), (CONVENTIONAL, 13.5)])
def test_volumes_are_recovered_from_small_to_dilated(
    radius_mm: float, length_mm: float, grid: Grid, fwhm_mm: float
) -> None:
    phantom = lv_phantom(grid, frame=FRAME, fwhm_mm=fwhm_mm, short_axis_radius_mm=radius_mm, long_axis_mm=length_mm)
    surfaces, truth = fitted(phantom), phantom.surfaces
    assert float(surfaces.cavity_mL) == pytest.approx(float(truth.cavity_mL), rel=0.06, abs=2)
    assert float(surfaces.wall_mL) == pytest.approx(float(truth.wall_mL), rel=0.08)
    assert abs(base_error_mm(surfaces, truth)) < 1.0
    assert surfaces.valve_normal @ truth.valve_normal > np.cos(np.radians(3))


def test_noise_and_neighbours_cost_little() -> None:
    phantom = lv_phantom(
        CZT,
        frame=FRAME,
        fwhm_mm=7.5,
        rv_ratio=0.5,
        liver_ratio=1.3,
        liver_gap_mm=10,
        rng=np.random.default_rng(1),
    )
    surfaces, truth = fitted(phantom), phantom.surfaces
    assert float(surfaces.cavity_mL) == pytest.approx(float(truth.cavity_mL), rel=0.06)
    assert float(surfaces.wall_mL) == pytest.approx(float(truth.wall_mL), rel=0.08)
    distance = np.linalg.norm(surfaces.mid_mm - truth.mid_mm, axis=-1)
    assert np.median(distance) < 1.5


def test_a_wall_that_does_not_show_is_bridged_and_said_so() -> None:
    defect = Defect(angle_deg=270, arc_fraction=0.45, extent=0.18, depth=1.0)
    phantom = lv_phantom(CZT, frame=FRAME, fwhm_mm=7.5, defect=defect)
    surfaces, truth = fitted(phantom), phantom.surfaces
    missing = np.zeros((41, 72), bool)
    missing[:-1] = phantom.defect_map > 0.9
    distance = np.linalg.norm(surfaces.mid_mm - truth.mid_mm, axis=-1)
    assert distance[missing].max() < 5
    assert float(surfaces.cavity_mL) == pytest.approx(float(truth.cavity_mL), rel=0.05)
    (share,) = [float(step.split("%")[0]) for step in surfaces.made_by if step.endswith("of the wall bridged")]
    assert 4 < share < 30


def test_nodes_keep_the_convention_of_surfaces() -> None:
    surfaces = fitted(lv_phantom(CZT, frame=FRAME, fwhm_mm=7.5))
    assert surfaces.endo_mm.shape == (41, 72, 3)
    steps = np.linalg.norm(np.diff(surfaces.mid_mm, axis=0), axis=-1)
    np.testing.assert_allclose(steps / steps.mean(axis=0), 1, atol=0.03)
    for rim in (surfaces.endo_mm[-1], surfaces.epi_mm[-1]):
        np.testing.assert_allclose((rim - surfaces.valve_point_mm) @ surfaces.valve_normal, 0, atol=0.02)
    assert np.ptp(surfaces.mid_mm[0], axis=0).max() < 1e-6
    assert surfaces.valve_normal @ FRAME.long_axis < 0
    heart = FRAME.to_heart(surfaces.mid_mm)
    body = heart[10:] - heart[10:].mean(axis=(0, 1))
    angle = np.degrees(np.arctan2(body[..., 1], body[..., 0])) - np.arange(72) * 5.0
    assert np.abs((angle + 180) % 360 - 180).max() < 5


def test_a_misplaced_centre_is_put_right() -> None:
    phantom = lv_phantom(CZT, frame=FRAME, fwhm_mm=7.5)
    straight, moved = fitted(phantom), fitted(phantom, moved_mm=6.0)
    assert float(moved.cavity_mL) == pytest.approx(float(straight.cavity_mL), rel=0.02)
    np.testing.assert_allclose(moved.mid_mm.mean(axis=(0, 1)), straight.mid_mm.mean(axis=(0, 1)), atol=0.7)


def test_the_scale_of_the_counts_changes_nothing() -> None:
    phantom = lv_phantom(CZT, frame=FRAME, fwhm_mm=7.5)
    more = phantom.volume.like(phantom.volume.array * 37.0, "scaled")
    scaled = fit_surfaces(more, outlined(phantom), resolution_fwhm_mm=7.5)
    np.testing.assert_allclose(scaled.endo_mm, fitted(phantom).endo_mm, atol=0.01)


@pytest.mark.parametrize(("ejection_percent", "radius_mm"), [(60, 28), (30, 33)])
def test_a_gated_heart_ejects_what_it_was_told_with_its_mass_conserved(
    ejection_percent: float, radius_mm: float
) -> None:
    phantom = lv_phantom(
        CZT,
        frame=FRAME,
        fwhm_mm=7.5,
        short_axis_radius_mm=radius_mm,
        cycle=Cycle(ejection_percent, n_gates=8),
    )
    surfaces = fitted(phantom)
    assert surfaces.n_gates == 8
    cavity, wall = surfaces.cavity_mL, surfaces.wall_mL
    assert 100 * (1 - cavity.min() / cavity.max()) == pytest.approx(ejection_percent, abs=3)
    np.testing.assert_allclose(cavity, phantom.surfaces.cavity_mL, rtol=0.05, atol=2)
    assert np.ptp(wall) / wall.mean() < 0.002
    thickening = surfaces.thickness_mm[3, 10:30].mean() / surfaces.thickness_mm[0, 10:30].mean()
    expected = phantom.surfaces.thickness_mm[3, 10:30].mean() / phantom.surfaces.thickness_mm[0, 10:30].mean()
    assert thickening == pytest.approx(expected, rel=0.05)


def test_the_resolution_is_assumed_by_voxel_size_and_the_surfaces_say_so() -> None:
    phantom = lv_phantom(CZT, frame=FRAME, fwhm_mm=7.5)
    assumed = fit_surfaces(phantom.volume, outlined(phantom))
    assert any("assumed from the voxel size" in step for step in assumed.made_by)
    np.testing.assert_allclose(assumed.endo_mm, fitted(phantom).endo_mm)
    coarse = Volume(np.zeros(CONVENTIONAL.shape), CONVENTIONAL, "counts")
    assert default_resolution_mm(phantom.volume) < 9 < 12 <= default_resolution_mm(coarse) <= 15


def test_a_blob_or_a_foreign_mask_is_refused() -> None:
    phantom = lv_phantom(CZT, frame=FRAME, fwhm_mm=7.5)
    ventricle = outlined(phantom)
    foreign = Volume(np.ones(CONVENTIONAL.shape), CONVENTIONAL, "counts")
    with pytest.raises(GeometryMismatch, match="lies on"):
        fit_surfaces(foreign, ventricle)
    distance = np.linalg.norm(CZT.points_mm() - (FRAME.centre_mm + 60 * FRAME.lateral), axis=-1)
    aside = LeftVentricle(FRAME, Volume(distance < 8, CZT, "mask"), "made up", 0.1)
    with pytest.raises(HeartNotFound, match="rays"):
        fit_surfaces(phantom.volume, aside)
