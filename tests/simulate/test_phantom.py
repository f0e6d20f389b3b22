from typing import Any

import numpy as np
import pytest

from myoscope.core import CardiacFrame, Grid, InvalidValue
from myoscope.simulate import Cycle, Defect, Phantom, lv_phantom, random_phantom

FRAME = CardiacFrame(np.array([3.0, -5.0, 2.0]), np.array([0.45, -0.80, -0.40]))
GRID = Grid.axis_aligned((40, 40, 40), spacing_mm=4)
QUIET: dict[str, Any] = {"background_ratio": 0.0, "lung_ratio": 0.0, "blood_ratio": 0.0}


@pytest.fixture(scope="module")
def lone_wall() -> Phantom:
    return lv_phantom(GRID, frame=FRAME, fwhm_mm=7.5, **QUIET)


def test_the_image_holds_the_activity_of_the_wall_and_nothing_else(lone_wall: Phantom) -> None:
    counts = lone_wall.volume.array.sum() * GRID.voxel_volume_mL / 1000
    assert counts == pytest.approx(float(lone_wall.surfaces.wall_mL), rel=0.005)


def test_the_wall_fraction_sums_to_the_volume_between_the_surfaces(lone_wall: Phantom) -> None:
    wall_mL = lone_wall.wall.array.sum() * GRID.voxel_volume_mL
    assert wall_mL == pytest.approx(float(lone_wall.surfaces.wall_mL), rel=0.005)


def test_the_wall_is_centred_on_the_frame(lone_wall: Phantom) -> None:
    share = lone_wall.wall.array
    centroid = np.einsum("ijk,ijkx->x", share, GRID.points_mm()) / share.sum()
    np.testing.assert_allclose(centroid, FRAME.centre_mm, atol=0.1)
    image = lone_wall.volume.array
    np.testing.assert_allclose(
        np.einsum("ijk,ijkx->x", image, GRID.points_mm()) / image.sum(), FRAME.centre_mm, atol=0.1
    )


def test_nodes_keep_the_convention_of_surfaces(lone_wall: Phantom) -> None:
    surfaces = lone_wall.surfaces
    steps = np.linalg.norm(np.diff(surfaces.mid_mm, axis=0), axis=-1)
    np.testing.assert_allclose(steps / steps.mean(axis=0), 1, atol=0.01)
    assert np.ptp(surfaces.mid_mm[0], axis=0).max() < 1e-9
    for rim in (surfaces.endo_mm[-1], surfaces.epi_mm[-1]):
        np.testing.assert_allclose((rim - surfaces.valve_point_mm) @ surfaces.valve_normal, 0, atol=1e-6)
    heart = FRAME.to_heart(surfaces.mid_mm) - FRAME.to_heart(surfaces.mid_mm[0, 0])
    angle = np.degrees(np.arctan2(heart[1:, :, 1], heart[1:, :, 0])) - np.arange(72) * 5.0
    np.testing.assert_allclose((angle + 180) % 360, 180, atol=1e-6)
    np.testing.assert_allclose(surfaces.thickness_mm, 10, atol=1e-6)


def test_the_septum_is_shorter_than_the_lateral_wall(lone_wall: Phantom) -> None:
    length = np.linalg.norm(np.diff(lone_wall.surfaces.mid_mm, axis=0), axis=-1).sum(axis=0)
    assert length[36] < length[0] - 5


def test_the_valve_normal_points_away_from_the_apex(lone_wall: Phantom) -> None:
    assert lone_wall.surfaces.valve_normal @ FRAME.long_axis < -0.8


def test_a_thin_wall_recovers_as_the_blurred_slab_predicts() -> None:
    # Reference 4.4: peak of a slab of width w seen with a resolution R is erf(sqrt(ln 2) w / R).
    from scipy.special import erf

    phantom = lv_phantom(GRID, frame=FRAME, fwhm_mm=12, wall_mm=8, short_axis_radius_mm=34, long_axis_mm=84, **QUIET)
    expected = 1000 * erf(np.sqrt(np.log(2)) * 8 / 12)
    middle = phantom.surfaces.mid_mm[15:25]
    index = np.rint(GRID.to_index(middle)).astype(int)
    near = np.linalg.norm(GRID.to_mm(index) - middle, axis=-1) < 0.8
    seen = phantom.volume.array[tuple(index[near].T)]
    assert near.sum() >= 5
    assert seen.mean() == pytest.approx(expected, rel=0.02)


def test_the_voxel_order_of_the_grid_changes_nothing() -> None:
    turned = np.array(GRID.affine)
    turned[:3, 2] *= -1
    turned[:3, 3] = GRID.to_mm((0, 0, GRID.shape[2] - 1))
    phantom = lv_phantom(Grid(GRID.shape, turned), frame=FRAME, fwhm_mm=7.5, **QUIET)
    straight = lv_phantom(GRID, frame=FRAME, fwhm_mm=7.5, **QUIET)
    np.testing.assert_allclose(phantom.volume.array[:, :, ::-1], straight.volume.array, atol=1)


def test_a_defect_takes_its_share_of_the_wall() -> None:
    defect = Defect(angle_deg=270, arc_fraction=0.5, extent=0.2, depth=0.8)
    phantom = lv_phantom(GRID, frame=FRAME, fwhm_mm=7.5, defect=defect, **QUIET)
    area = phantom.surfaces.cell_area_mm2()
    assert (phantom.defect_map * area).sum() / area.sum() == pytest.approx(0.2 * 0.8, rel=0.08)
    assert phantom.defect_map[20, 54] == pytest.approx(0.8)
    assert phantom.defect_map[20, 18] == 0
    whole = lv_phantom(GRID, frame=FRAME, fwhm_mm=7.5, **QUIET)
    missing = 1 - phantom.volume.array.sum() / whole.volume.array.sum()
    assert missing == pytest.approx((phantom.defect_map * area).sum() / area.sum(), abs=0.01)


def test_without_a_generator_there_is_no_noise_and_with_one_the_seed_decides(lone_wall: Phantom) -> None:
    again = lv_phantom(GRID, frame=FRAME, fwhm_mm=7.5, **QUIET)
    assert np.array_equal(again.volume.array, lone_wall.volume.array)
    noisy = [lv_phantom(GRID, frame=FRAME, fwhm_mm=7.5, rng=np.random.default_rng(n), **QUIET) for n in (1, 1, 2)]
    assert np.array_equal(noisy[0].volume.array, noisy[1].volume.array)
    assert not np.array_equal(noisy[0].volume.array, noisy[2].volume.array)


@pytest.mark.parametrize(("counts", "expected"), [(7.5e5, 0.10), (7.5e5 / 4, 0.20)])
def test_noise_in_the_resolved_wall_falls_with_the_root_of_the_counts(counts: float, expected: float) -> None:
    thick: dict[str, Any] = {"wall_mm": 24.0, "short_axis_radius_mm": 32.0, "long_axis_mm": 70.0}
    clean = lv_phantom(GRID, frame=FRAME, fwhm_mm=7.5, **{**QUIET, **thick})
    noisy = lv_phantom(
        GRID, frame=FRAME, fwhm_mm=7.5, rng=np.random.default_rng(3), myocardial_counts=counts, **{**QUIET, **thick}
    )
    resolved = clean.volume.array > 970
    assert resolved.sum() > 300
    difference = (noisy.volume.array - clean.volume.array)[resolved] / 1000
    assert difference.std() == pytest.approx(expected, rel=0.12)


def test_noise_keeps_the_mean_and_the_resolution(lone_wall: Phantom) -> None:
    noisy = lv_phantom(GRID, frame=FRAME, fwhm_mm=7.5, rng=np.random.default_rng(4), myocardial_counts=1e9, **QUIET)
    assert noisy.volume.array.sum() == pytest.approx(lone_wall.volume.array.sum(), rel=0.002)
    assert np.abs(noisy.volume.array - lone_wall.volume.array).max() < 20


def test_a_beating_heart_conserves_mass_and_ejects_what_it_was_told() -> None:
    phantom = lv_phantom(GRID, frame=FRAME, fwhm_mm=7.5, cycle=Cycle(60, n_gates=8), **QUIET)
    surfaces, volume = phantom.surfaces, phantom.volume
    assert volume.frame_axis == "gate"
    assert volume.gating is not None
    assert volume.gating.n_gates == surfaces.n_gates == 8
    cavity = surfaces.cavity_mL
    assert 100 * (1 - cavity.min() / cavity.max()) == pytest.approx(60, abs=0.5)
    assert cavity.argmax() == 0
    assert np.ptp(surfaces.wall_mL) / surfaces.wall_mL.mean() < 0.005
    per_gate = volume.array.sum(axis=(1, 2, 3))
    assert np.ptp(per_gate) / per_gate.mean() < 0.005
    # The wall thickens, so its recovery and its maximum rise in systole.
    assert volume.array[3].max() > 1.08 * volume.array[0].max()


def test_a_hot_liver_lies_below_the_heart_and_outside_it(lone_wall: Phantom) -> None:
    hot = lv_phantom(GRID, frame=FRAME, fwhm_mm=7.5, liver_ratio=1.5, liver_gap_mm=8, **QUIET)
    extra = hot.volume.array - lone_wall.volume.array
    assert extra.max() > 1400
    lowest = lone_wall.surfaces.epi_mm[..., 2].min()
    below = GRID.points_mm()[..., 2] < lowest + 10
    assert extra[below].sum() > 0.9 * extra.sum()
    inside = lone_wall.wall.array > 0.9
    assert np.abs(extra[inside]).max() < 100


@pytest.mark.parametrize("ratio", ["rv_ratio", "gut_ratio", "hot_rim_ratio"])
def test_each_neighbour_adds_activity_outside_the_wall(ratio: str, lone_wall: Phantom) -> None:
    more = lv_phantom(GRID, frame=FRAME, fwhm_mm=7.5, **{**QUIET, ratio: 0.8})
    extra = more.volume.array - lone_wall.volume.array
    assert extra.max() > 300
    assert np.abs(extra[lone_wall.wall.array > 0.95]).max() < 250


def test_a_ventricle_without_a_cavity_or_outside_the_grid_is_refused() -> None:
    with pytest.raises(InvalidValue, match="no cavity"):
        lv_phantom(GRID, frame=FRAME, fwhm_mm=7.5, short_axis_radius_mm=10, wall_mm=22)
    with pytest.raises(InvalidValue, match="does not fit"):
        lv_phantom(GRID, frame=CardiacFrame(np.array([60.0, 0, 0]), FRAME.long_axis), fwhm_mm=7.5)
    with pytest.raises(InvalidValue, match="not negative"):
        lv_phantom(GRID, frame=FRAME, fwhm_mm=7.5, liver_ratio=-1)
    with pytest.raises(InvalidValue, match="extent"):
        Defect(0, 0.5, 1.5, 0.5)


def test_the_population_is_reproducible_and_as_described() -> None:
    draws = [random_phantom(np.random.default_rng([2, n]), voxel_mm=6.4, noise=False)[1] for n in range(4)]
    again = random_phantom(np.random.default_rng([2, 3]), voxel_mm=6.4, noise=False)[1]
    assert again == draws[3]
    for draw in draws:
        assert draw.liver_ratio >= 1 if draw.hot_liver else draw.liver_ratio < 0.8
        assert 0.10 <= draw.defect_extent <= 0.30 if draw.with_defect else draw.defect_extent == 0
