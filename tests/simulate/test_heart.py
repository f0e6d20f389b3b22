"""What a virtual heart promises: sizes, conserved matter, gates that are averages, motion that follows thickening."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from myoscope.core import CardiacFrame, Grid, InvalidValue
from myoscope.simulate.beat import PARTS, BeatingHeart
from myoscope.simulate.chambers import fill
from myoscope.simulate.cycle import END_SYSTOLE, contraction_course
from myoscope.simulate.deposit import deposit
from myoscope.simulate.heart import Heart, Sex, draw_heart
from myoscope.simulate.inner_muscle import no_inner_muscle
from myoscope.simulate.lv_motion import move_wall, tether
from myoscope.simulate.lv_shape import LVForm, cell_volumes, enclosed_mL, fit_volumes

SEAT = CardiacFrame(np.array([28.0, -31.0, 6.0]), np.array([0.52, -0.76, -0.39]))
ANGLE, ARC = np.arange(72) * 5 + 2.5, (np.arange(40)[:, None] + 0.5) / 40
MESH = Path(__file__).resolve().parents[3] / "shared/data/lv-mesh/biv_me_patient1_25frames.npz"


@dataclass(frozen=True)
class Squeeze:
    thickening: NDArray[np.float64]
    delay_deg: NDArray[np.float64]
    dilation: float = 1.0


def even(thickening: float = 0.55, *, dilation: float = 1.0) -> Squeeze:
    return Squeeze(np.full((40, 72), thickening), np.zeros((40, 72)), dilation)


def apart(angle: float) -> NDArray[np.float64]:
    """Degrees between each column and an angle."""
    degrees: NDArray[np.float64] = np.abs((ANGLE - angle + 180) % 360 - 180)
    return degrees


def anterior_scar() -> NDArray[np.bool_]:
    return (apart(110) < 45) & (ARC > 0.15) & (ARC < 0.65)


def drawn(seed: int = 3, *, sex: Sex = "M", dilation: float = 1.0, hypertrophy: float = 1.0) -> Heart:
    rng = np.random.default_rng(seed)
    size = {"M": (178.0, 82.0), "F": (164.0, 68.0)}[sex]
    return draw_heart(
        sex=sex,
        height_cm=size[0],
        weight_kg=size[1],
        seat=SEAT,
        rng=rng,
        dilation=dilation,
        hypertrophy=hypertrophy,
    )


@pytest.fixture(scope="module")
def heart() -> Heart:
    return drawn()


@pytest.fixture(scope="module")
def normal(heart: Heart) -> BeatingHeart:
    return heart.beat(even(), 8)


@pytest.fixture(scope="module")
def infarcted(heart: Heart) -> BeatingHeart:
    return heart.beat(Squeeze(np.where(anterior_scar(), 0.0, 0.55), np.zeros((40, 72))), 8)


@pytest.fixture(scope="module")
def blocked(heart: Heart) -> BeatingHeart:
    late = 0.5 + 0.5 * np.cos(np.radians(ANGLE))
    return heart.beat(Squeeze(np.full((40, 72), 0.4), np.broadcast_to(90 * late - 15, (40, 72))), 8)


# Sizes and shape


@pytest.mark.parametrize(("sex", "edv_mL", "mass_g"), [("M", (166, 32), (103, 21)), ("F", (124, 21), (70, 13))])
def test_sizes_are_those_of_people_of_this_sex(
    sex: Sex, edv_mL: tuple[float, float], mass_g: tuple[float, float]
) -> None:
    from myoscope.simulate.heart import _SURFACE_M2, _draw_size

    rng = np.random.default_rng(1)
    surface = np.clip(rng.normal(*_SURFACE_M2[sex], 20000), 1.2, 2.8)
    sizes = np.array([_draw_size(sex, float(s), rng) for s in surface])
    for column, (mean, sd) in enumerate((edv_mL, mass_g)):
        assert sizes[:, column].mean() == pytest.approx(mean, rel=0.02)
        assert sizes[:, column].std() == pytest.approx(sd, rel=0.08)
    assert 0.7 < np.corrcoef(sizes.T)[0, 1] < 0.9


def test_a_larger_body_has_a_larger_heart() -> None:
    small, large = (
        draw_heart(sex="F", height_cm=cm, weight_kg=kg, seat=SEAT, rng=np.random.default_rng(2), inner_muscle=False)
        for cm, kg in ((150, 45), (180, 100))
    )
    surface = np.sqrt(180 * 100 / (150 * 45))
    assert surface**0.5 < large.edv_mL / small.edv_mL < surface
    assert large.mass_g > small.mass_g


@pytest.mark.parametrize(("edv_mL", "wall_mL"), [(30, 40), (120, 70), (160, 100), (300, 160), (60, 150)])
def test_a_form_is_fitted_to_its_cavity_and_wall(edv_mL: float, wall_mL: float) -> None:
    mid, span = fit_volumes(LVForm(), cavity_mL=edv_mL, wall_mL=wall_mL).wall()
    endo, epi = mid - 0.5 * span, mid + 0.5 * span
    assert enclosed_mL(endo) == pytest.approx(edv_mL, rel=1e-5)
    assert enclosed_mL(epi) - enclosed_mL(endo) == pytest.approx(wall_mL, rel=1e-3)


def test_dilation_and_hypertrophy_do_what_they_say() -> None:
    usual, wide, thick = drawn(5), drawn(5, dilation=1.6), drawn(5, hypertrophy=1.7)
    assert wide.edv_mL == pytest.approx(1.6 * usual.edv_mL, rel=1e-3)
    assert wide.form.elongation < usual.form.elongation
    assert thick.mass_g == pytest.approx(1.7 * usual.mass_g, rel=1e-3)
    assert thick.edv_mL == pytest.approx(usual.edv_mL, rel=1e-3)


def test_the_apex_is_thin_the_septum_short_and_the_membrane_thinner(heart: Heart) -> None:
    surfaces = heart.surfaces
    thickness = surfaces.thickness_mm
    assert thickness[0].mean() < 0.75 * np.median(thickness[15:25])
    assert thickness[-1, 33:36].mean() < 0.65 * np.median(thickness[25:30])
    length = np.linalg.norm(np.diff(surfaces.mid_mm, axis=0), axis=-1).sum(axis=0)
    assert length[36] < length[0]


def test_nodes_keep_the_convention_of_surfaces(heart: Heart, normal: BeatingHeart, infarcted: BeatingHeart) -> None:
    for surfaces in (heart.surfaces, *(b.surfaces.gate(k) for b in (normal, infarcted) for k in (0, 2, 5))):
        steps = np.linalg.norm(np.diff(surfaces.mid_mm, axis=0), axis=-1)
        np.testing.assert_allclose(steps / steps.mean(axis=0), 1, atol=0.02)
        assert np.ptp(surfaces.mid_mm[0], axis=0).max() < 1e-6
        place = SEAT.to_heart(surfaces.mid_mm) - SEAT.to_heart(surfaces.mid_mm[0, 0])
        angle = np.degrees(np.arctan2(place[1:, :, 1], place[1:, :, 0])) - np.arange(72) * 5.0
        np.testing.assert_allclose((angle + 180) % 360, 180, atol=1e-6)
    still = heart.surfaces
    for rim in (still.endo_mm[-1], still.epi_mm[-1]):
        np.testing.assert_allclose((rim - still.valve_point_mm) @ still.valve_normal, 0, atol=1e-6)
    assert still.valve_normal @ SEAT.long_axis < -0.8


def test_the_wall_is_centred_on_its_seat(heart: Heart) -> None:
    still = replace(heart, inner=no_inner_muscle()).beat(even(0.0), 1)
    wall = still.activity(still.box_grid(3.2), wall_kBq_mL=np.ones((40, 72)), rv_wall_kBq_mL=0, blood_kBq_mL=0)
    centre = np.einsum("ijk,ijkx->x", wall.array[0], wall.grid.points_mm()) / wall.array.sum()
    np.testing.assert_allclose(centre, heart.frame.centre_mm, atol=0.3)


def test_the_same_seed_gives_the_same_heart() -> None:
    assert drawn(8).form == drawn(8).form
    assert drawn(8).form != drawn(9).form


# Time


def test_a_wall_contracts_in_systole_rests_in_diastasis_and_is_kicked_by_the_atrium() -> None:
    time = np.linspace(0, 1, 400, endpoint=False)
    course = contraction_course(time)
    assert course[0] == 0
    assert time[course.argmax()] == pytest.approx(END_SYSTOLE, abs=0.003)
    assert (np.diff(course[time < END_SYSTOLE]) >= 0).all()
    filling = -np.diff(course) / np.diff(time)
    assert filling[(time[1:] > 0.45) & (time[1:] < 0.6)].max() > 2
    assert filling[(time[1:] > 0.72) & (time[1:] < 0.82)].max() < 0.4
    assert filling[(time[1:] > 0.88) & (time[1:] < 0.97)].max() > 1


@pytest.mark.parametrize("delay", [-30.0, 20.0, 60.0, 100.0])
def test_a_delayed_wall_peaks_later_by_its_delay(delay: float) -> None:
    time = np.linspace(0, 1, 3600, endpoint=False)
    peak = time[contraction_course(time, delay).argmax()]
    assert 360 * (peak - END_SYSTOLE) == pytest.approx(delay, abs=0.5)
    assert contraction_course(0.0, delay) == pytest.approx(0, abs=1e-9)


# Motion


def test_normal_thickening_gives_a_normal_ejection_fraction() -> None:
    for thickening, low, high in ((0.55, 56, 66), (0.65, 60, 70)):
        found = [drawn(seed, sex=sex).beat(even(thickening), 8).ef_percent for seed in range(4) for sex in ("F", "M")]
        assert low < np.mean(found) < high
    assert drawn().beat(even(0.0), 8).ef_percent == pytest.approx(0, abs=0.05)


def test_the_wall_thickens_as_asked_and_moves_in(normal: BeatingHeart) -> None:
    membrane = np.broadcast_to((apart(190) < 30) & (ARC > 0.97), (40, 72))
    np.testing.assert_allclose(normal.thickening_percent[~membrane], 55, atol=6)
    # Where the septum ends as a membrane, the ring holds it back a little.
    assert (np.abs(normal.thickening_percent[membrane] - 51) < 6).all()
    assert 4 < np.median(normal.displacement_mm) < 12
    assert normal.displacement_mm[10:].min() > 2
    assert normal.eased == 1


def test_the_base_comes_down_and_the_apex_stays(heart: Heart, normal: BeatingHeart) -> None:
    along = SEAT.to_heart(normal.surfaces.mid_mm)[..., 2]
    descent = along[2, -1].mean() - along[0, -1].mean()
    assert 6 < descent < 16
    epi = SEAT.to_heart(normal.surfaces.epi_mm)[..., 0, 0, 2]
    assert abs(epi[2] - epi[0]) < 0.35 * descent
    assert normal.end_systole == pytest.approx(END_SYSTOLE, abs=0.03)
    assert heart.edv_mL == pytest.approx(normal.edv_mL, rel=1e-6)


def test_wall_volume_is_conserved_piece_by_piece(heart: Heart) -> None:
    mid, span = heart.wall_nodes
    course = contraction_course(np.linspace(0, 1, 12)[:, None, None], 60 * (apart(0) > 90))
    asked = 1 + np.where(anterior_scar(), -0.05, 0.6) * course
    moved = move_wall(mid, span, np.array(heart.form.valve_plane()), asked)
    pieces = cell_volumes(moved.mid, moved.span)[0]
    np.testing.assert_allclose(pieces.sum(axis=(1, 2)), pieces[0].sum(), rtol=1e-6)
    np.testing.assert_allclose(pieces / pieces[0], 1, atol=0.03)


def test_a_scar_does_not_thicken_and_hardly_moves(normal: BeatingHeart, infarcted: BeatingHeart) -> None:
    core = (apart(110) < 20) & (ARC > 0.3) & (ARC < 0.5)
    far = apart(290) < 60
    far = np.broadcast_to(far, (40, 72)) & (ARC > 0.2)
    far &= ~((apart(190) < 45) & (ARC > 0.97))  # the membrane and what it holds back
    assert np.abs(infarcted.thickening_percent[core]).max() < 6
    assert infarcted.displacement_mm[core].mean() < 0.35 * normal.displacement_mm[core].mean()
    np.testing.assert_allclose(infarcted.thickening_percent[far], 55, atol=6)
    assert infarcted.ef_percent < normal.ef_percent - 4


def test_a_bulging_wall_thins(heart: Heart) -> None:
    bulging = heart.beat(Squeeze(np.where(anterior_scar(), -0.15, 0.5), np.zeros((40, 72))), 8)
    core = (apart(110) < 20) & (ARC > 0.3) & (ARC < 0.5)
    assert bulging.thickening_percent[core].mean() < -8
    assert bulging.displacement_mm[core].mean() < 0


def test_the_truth_of_phase_is_the_first_harmonic_of_thickness(normal: BeatingHeart, blocked: BeatingHeart) -> None:
    assert np.nanstd(normal.phase_deg) < 3
    # The time of the cosine's maximum lies near end systole: 37 % of the cycle is 133 degrees.
    assert np.nanmean(normal.phase_deg) == pytest.approx(133, abs=12)
    lateral, septal = blocked.phase_deg[15:35, apart(0) < 30], blocked.phase_deg[15:35, apart(180) < 30]
    assert lateral.mean() - septal.mean() > 35
    assert blocked.end_systole > normal.end_systole
    late = blocked.heart.beat(even(0.4), 8)
    assert blocked.ef_percent < late.ef_percent - 2


def test_a_wall_that_stands_still_has_no_phase(heart: Heart) -> None:
    still = heart.beat(even(0.0), 8)
    assert np.isnan(still.phase_deg).all()
    assert np.abs(still.displacement_mm).max() < 0.05


def test_transient_dilation_stretches_the_cavity_and_keeps_the_wall(heart: Heart, normal: BeatingHeart) -> None:
    wide = heart.beat(even(dilation=1.2), 8)
    assert wide.edv_mL == pytest.approx(1.2 * normal.edv_mL, rel=1e-3)
    assert wide.wall_volume_mL.sum() == pytest.approx(normal.wall_volume_mL.sum(), rel=1e-4)


def test_a_gate_is_the_average_over_its_time(heart: Heart, normal: BeatingHeart) -> None:
    assert normal.volumes_mL[0] < normal.edv_mL
    assert normal.volumes_mL.min() > normal.esv_mL
    fine = heart.beat(even(), 16)
    np.testing.assert_allclose(fine.volumes_mL.reshape(8, 2).mean(axis=1), normal.volumes_mL, rtol=0.01)
    whole = heart.beat(even(), 1)
    assert whole.volumes_mL[0] == pytest.approx(normal.volumes_mL.mean(), rel=0.002)
    assert whole.ef_percent == pytest.approx(normal.ef_percent, abs=0.2)
    grid = normal.box_grid(3.2)
    wall = np.full((40, 72), 50.0)
    gates = normal.activity(grid, wall_kBq_mL=wall, rv_wall_kBq_mL=0, blood_kBq_mL=0).array
    average = whole.activity(grid, wall_kBq_mL=wall, rv_wall_kBq_mL=0, blood_kBq_mL=0).array[0]
    np.testing.assert_allclose(average, gates.mean(axis=0), atol=0.01)


def test_tethering_keeps_a_constant_and_the_sum_nearly(heart: Heart) -> None:
    mid, _ = heart.wall_nodes
    np.testing.assert_allclose(tether(np.full((40, 72), 0.3), mid), 0.3, atol=1e-12)
    spot = np.zeros((40, 72))
    spot[20, 10] = 1
    smooth = tether(spot, mid)
    assert smooth.sum() == pytest.approx(1, rel=0.02)
    assert smooth.argmax() == spot.argmax()


# Activity


def test_activity_adds_up_to_concentration_times_volume_in_every_gate(heart: Heart, normal: BeatingHeart) -> None:
    grid = normal.box_grid(3.2)
    rng = np.random.default_rng(0)
    wall = rng.uniform(20, 100, (40, 72))
    bare = draw_heart(
        sex="M", height_cm=178, weight_kg=82, seat=SEAT, rng=np.random.default_rng(3), inner_muscle=False
    ).beat(even(), 8)
    image = bare.activity(grid, wall_kBq_mL=wall, rv_wall_kBq_mL=0, blood_kBq_mL=0)
    total = image.array.sum(axis=(1, 2, 3), dtype=float) * grid.voxel_volume_mL
    np.testing.assert_allclose(total, (wall * bare.wall_volume_mL).sum(), rtol=1e-4)
    assert bare.wall_volume_mL.sum() == pytest.approx(float(bare.heart.surfaces.wall_mL), rel=1e-3)
    np.testing.assert_allclose(bare.surfaces.wall_mL, bare.wall_volume_mL.sum(), rtol=0.005)
    even_image = normal.activity(grid, wall_kBq_mL=np.full((40, 72), 10.0), rv_wall_kBq_mL=0, blood_kBq_mL=0)
    muscle = normal.wall_volume_mL.sum() + heart.inner.volume_mL
    total = even_image.array.sum(axis=(1, 2, 3), dtype=float) * grid.voxel_volume_mL
    np.testing.assert_allclose(total, 10 * muscle, rtol=1e-4)


def test_the_wall_is_painted_evenly() -> None:
    # A wall thicker than the voxels shows its concentration, without grain from the samples.
    thick = thick_walled()
    grid = thick.box_grid(3.2)
    image = thick.activity(grid, wall_kBq_mL=np.full((40, 72), 100.0), rv_wall_kBq_mL=0, blood_kBq_mL=0).array
    filled = image[image > 92]
    # A few voxels where the outer wall folds in are crowded; grain would show everywhere.
    assert (filled > 112).mean() < 0.01
    assert filled.size > 8 * 1500
    assert filled.mean() == pytest.approx(100, abs=2)
    assert filled.std() < 4


def thick_walled() -> BeatingHeart:
    heart = draw_heart(
        sex="M",
        height_cm=178,
        weight_kg=82,
        seat=SEAT,
        rng=np.random.default_rng(3),
        hypertrophy=2.0,
        inner_muscle=False,
    )
    return heart.beat(even(0.3), 8)


def test_blood_fills_what_the_surfaces_enclose(heart: Heart, normal: BeatingHeart) -> None:
    grid = normal.box_grid(3.2)
    for gate in (0, 2, 5):
        blood = normal._deposit(grid, [("lv_blood", 1.0)], [gate]).sum()
        assert blood == pytest.approx(normal.volumes_mL[gate], rel=1e-4)
        assert blood == pytest.approx(float(normal.surfaces.cavity_mL[gate]), rel=0.01)
    fractions = normal.fractions(grid, 0)
    filled = fractions["lv_blood"].sum(dtype=float) * grid.voxel_volume_mL
    assert filled == pytest.approx(normal.volumes_mL[0] - heart.inner.volume_mL, rel=0.04)


def test_shares_of_a_voxel_never_exceed_it(normal: BeatingHeart, blocked: BeatingHeart) -> None:
    for beating in (normal, blocked):
        for grid in (beating.box_grid(3.2), Grid.axis_aligned((64, 64, 40), spacing_mm=6.4)):
            for gate in (None, 3):
                shares = beating.fractions(grid, gate)
                assert tuple(shares) == PARTS
                stack = np.stack(list(shares.values()))
                assert stack.min() >= 0
                assert stack.sum(axis=0).max() <= 1 + 1e-5
                assert stack.dtype == np.float32
                wall = shares["lv_wall"].sum(dtype=float) * grid.voxel_volume_mL
                assert wall == pytest.approx(beating.wall_volume_mL.sum() + beating.heart.inner.volume_mL, rel=0.03)


def test_the_right_ventricle_lies_on_the_septum_and_empties(normal: BeatingHeart) -> None:
    grid = normal.box_grid(3.2)
    diastole, systole = normal.fractions(grid, 0), normal.fractions(grid, 2)
    points = SEAT.to_heart(grid.points_mm())
    right = diastole["rv_blood"]
    assert np.einsum("ijk,ijk->", right, points[..., 0]) / right.sum() < -35
    share = 1 - systole["rv_blood"].sum() / right.sum()
    assert 0.35 < share < 0.7
    wall = [one["rv_wall"].sum() for one in (diastole, systole)]
    assert wall[1] == pytest.approx(wall[0], rel=0.05)
    assert systole["atria"].sum() > 1.15 * diastole["atria"].sum()
    atria = diastole["atria"]
    assert np.einsum("ijk,ijk->", atria, points[..., 2]) / atria.sum() < -50


def test_the_box_subdivides_the_camera_grid(normal: BeatingHeart) -> None:
    for spacing, block in ((3.2, 2), (2.0, 2), (2.46, 1)):
        grid = normal.box_grid(spacing, block=block)
        first_face = grid.to_mm(np.array([-0.5, -0.5, -0.5]))
        blocks = first_face / (block * spacing)
        np.testing.assert_allclose(blocks, np.rint(blocks), atol=1e-6)
        assert all(n % block == 0 for n in grid.shape)


def test_prone_and_upright_move_the_heart_and_a_seat_decides(heart: Heart) -> None:
    supine = heart.beat(even(), 1)
    prone, upright = (heart.beat(even(), 1, position=p) for p in ("prone", "upright"))
    assert (prone.surfaces.frame.centre_mm - supine.surfaces.frame.centre_mm)[1] < 0
    assert (upright.surfaces.frame.centre_mm - supine.surfaces.frame.centre_mm)[2] < 0
    seat = CardiacFrame(np.array([0.0, 0.0, 0.0]), np.array([0.3, -0.9, -0.3]))
    moved = heart.beat(even(), 1, position="upright", seat=seat)
    assert moved.surfaces.frame == seat
    assert moved.ef_percent == pytest.approx(supine.ef_percent, abs=1e-9)


def test_hearts_do_not_fold() -> None:
    check_many(range(25))


@pytest.mark.slow
def test_three_hundred_hearts_do_not_fold() -> None:
    check_many(range(1000, 1300))


def check_many(seeds: range) -> None:
    eased = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        sex: Sex = "F" if rng.random() < 0.5 else "M"
        heart = draw_heart(
            sex=sex,
            height_cm=float(rng.uniform(145, 195)),
            weight_kg=float(rng.uniform(45, 140)),
            seat=SEAT,
            rng=rng,
            dilation=float(np.exp(rng.uniform(np.log(0.3), np.log(2.5)))),
            hypertrophy=float(np.exp(rng.uniform(np.log(0.7), np.log(2.2)))),
        )
        assert 29.9 < heart.edv_mL < 300.1
        patch = (apart(float(rng.uniform(0, 360))) < rng.uniform(20, 80)) & (np.abs(ARC - rng.uniform(0, 1)) < 0.25)
        thickening = np.where(patch, rng.uniform(-0.2, 0.2), rng.uniform(0.1, 0.75)) + rng.normal(0, 0.05, (40, 72))
        delay = rng.uniform(0, 120) * (0.5 + 0.5 * np.cos(np.radians(ANGLE - rng.uniform(0, 360))))
        course = contraction_course(np.array([0.0, 0.2, 0.37, 0.45, 0.7])[:, None, None], delay)
        mid, span = heart.wall_nodes
        moved = move_wall(mid, span, np.array(heart.form.valve_plane()), 1 + thickening * course)
        pieces, least = cell_volumes(moved.mid, moved.span)
        assert least.min() > 0
        assert pieces.min() > 0
        np.testing.assert_allclose(pieces.sum(axis=(1, 2)), pieces[0].sum(), rtol=1e-5)
        assert (enclosed_mL(moved.mid - 0.5 * moved.span) > 0).all()
        eased.append(moved.eased)
    assert np.mean(np.array(eased) < 1) < 0.25


# Against a real heart


@pytest.mark.skipif(not MESH.exists(), reason=f"the cine mesh of a real heart is not at {MESH}")
def test_volume_curve_and_radial_motion_are_like_those_of_a_real_heart() -> None:
    mesh = np.load(MESH)
    nodes, faces = mesh["LV_ENDOCARDIAL_verts"].astype(float), mesh["LV_ENDOCARDIAL_faces"]
    corner = nodes[:, faces] - nodes.mean(axis=1)[:, None, None]
    volume = np.abs(np.einsum("tfi,tfi->t", corner[:, :, 0], np.cross(corner[:, :, 1], corner[:, :, 2]))) / 6000
    assert volume.max() == pytest.approx(161, abs=1)
    emptied = (volume.max() - volume) / np.ptp(volume)
    heart = fit_like(float(volume.max()))
    real_ef = 100 * np.ptp(volume) / volume.max()
    thickening = float(np.interp(real_ef, *ef_curve(heart)))
    ours = heart.beat(even(thickening), 25)
    assert ours.ef_percent == pytest.approx(real_ef, abs=1)
    own = (ours.edv_mL - ours.volumes_mL) / (ours.edv_mL - ours.esv_mL)
    # The first frame of the mesh is at the R wave, gate k of ours in the middle of its time.
    at_frames = np.interp(np.arange(24) / 24, (np.arange(25) + 0.5) / 25, own, period=1)
    assert np.sqrt(np.mean((at_frames - emptied[:24]) ** 2)) < 0.12

    # Radius of the cavity at end systole over that at end diastole, from apex to base.
    centre = nodes[0].mean(axis=0)
    axis = np.linalg.svd(nodes[0] - centre, full_matrices=False)[2]
    place, systole = (nodes[0] - centre) @ axis.T, (nodes[9] - centre) @ axis.T
    span = place[:, 0].min(), np.ptp(place[:, 0])
    level = (place[:, 0] - span[0]) / span[1]
    for low, high in ((0.1, 0.3), (0.3, 0.5), (0.5, 0.7)):
        band = (level >= low) & (level < high)
        radius = [np.hypot(*(p[band, 1:] - p[band, 1:].mean(axis=0)).T).mean() for p in (place, systole)]
        rows = slice(int(low * 40), int(high * 40))
        endo = [SEAT.to_heart(ours.surfaces.endo_mm[gate]) for gate in (0, 9)]
        girth = [np.linalg.norm(e[rows, :, :2] - e[0, 0, :2], axis=-1).mean() for e in endo]
        assert girth[1] / girth[0] == pytest.approx(radius[1] / radius[0], abs=0.08)


def fit_like(edv_mL: float) -> Heart:
    usual = drawn(3)
    return draw_heart(
        sex="M",
        height_cm=178,
        weight_kg=82,
        seat=SEAT,
        rng=np.random.default_rng(3),
        dilation=edv_mL / usual.edv_mL,
        hypertrophy=(edv_mL / usual.edv_mL) ** 0.5,
    )


def ef_curve(heart: Heart) -> tuple[list[float], list[float]]:
    thickenings = [0.4, 0.55, 0.7, 0.85]
    return [heart.beat(even(t), 1).ef_percent for t in thickenings], thickenings


# What is refused


@pytest.mark.parametrize(
    "change",
    [{"sex": "X"}, {"height_cm": 20.0}, {"weight_kg": 500.0}, {"dilation": 9.0}, {"hypertrophy": 0.0}],
)
def test_bodies_and_hearts_out_of_range_are_refused(change: dict[str, object]) -> None:
    usual: dict[str, object] = {"sex": "M", "height_cm": 178, "weight_kg": 82}
    with pytest.raises(InvalidValue):
        draw_heart(**{**usual, **change}, seat=SEAT, rng=np.random.default_rng(0))  # type: ignore[arg-type]


def test_contractions_that_are_none_are_refused(heart: Heart, normal: BeatingHeart) -> None:
    none = np.zeros((40, 72))
    for wrong, words in (
        (Squeeze(np.zeros((3, 3)), none), "thickening is a finite map"),
        (Squeeze(none, np.full((40, 72), np.nan)), "delay_deg is a finite map"),
        (Squeeze(none + 5, none), "thickens by"),
        (Squeeze(none, none, 3.0), "transient dilation"),
    ):
        with pytest.raises(InvalidValue, match=words):
            heart.beat(wrong, 8)
    with pytest.raises(InvalidValue, match="gates"):
        heart.beat(even(), 0)
    with pytest.raises(InvalidValue, match="supine"):
        heart.beat(even(), 8, position="sitting")  # type: ignore[arg-type]
    with pytest.raises(InvalidValue, match="gates 0 to 7"):
        normal.fractions(normal.box_grid(), 8)
    with pytest.raises(InvalidValue, match="outside the lattice"):
        normal.fractions(Grid.axis_aligned((8, 8, 8), spacing_mm=3.2))
    paint = {"rv_wall_kBq_mL": 0.0, "blood_kBq_mL": 0.0}
    with pytest.raises(InvalidValue, match="40 x 72"):
        normal.activity(normal.box_grid(), wall_kBq_mL=np.ones(3), **paint)
    with pytest.raises(InvalidValue, match="not negative"):
        normal.activity(normal.box_grid(), wall_kBq_mL=np.full((40, 72), -1.0), **paint)


# Deposition


@pytest.mark.parametrize("width", [0.3, 0.8, 1.0, 1.7])
def test_deposited_content_keeps_its_sum_and_its_centre(width: float) -> None:
    rng = np.random.default_rng(0)
    index, content = rng.uniform(3, 12, (500, 3)), rng.uniform(0, 2, 500)
    frame = rng.integers(0, 3, 500)
    lattice = deposit((16, 16, 16), index, content, width=width, frame=frame, n_frames=3)
    for k in range(3):
        assert lattice[k].sum() == pytest.approx(content[frame == k].sum(), rel=1e-5)
    if width >= 1:
        where = np.stack(np.meshgrid(*(np.arange(16),) * 3, indexing="ij"), axis=-1)
        centre = np.einsum("ijk,ijkx->x", lattice.sum(axis=0), where) / content.sum()
        np.testing.assert_allclose(centre, content @ index / content.sum(), atol=0.15 if width > 1 else 1e-4)


def test_a_sample_is_shared_by_the_voxels_its_cube_covers() -> None:
    lattice = deposit((4, 4, 4), np.array([[1.5, 1.0, 1.0]]), np.ones(1), width=0.5)[0]
    assert lattice[1, 1, 1] == pytest.approx(0.5)
    assert lattice[2, 1, 1] == pytest.approx(0.5)
    lattice = deposit((4, 4, 4), np.array([[1.2, 1.0, 1.0]]), np.ones(1), width=0.5)[0]
    assert lattice[1, 1, 1] == pytest.approx(1)
    with pytest.raises(InvalidValue, match="wider than nothing"):
        deposit((4, 4, 4), np.ones((1, 3)), np.ones(1), width=0)


def test_a_block_between_two_sheets_is_filled_exactly() -> None:
    x, y = np.meshgrid(np.linspace(0, 30, 7), np.linspace(0, 20, 5), indexing="ij")
    low = np.stack([x, y, 0 * x], axis=-1)[None]
    samples = fill(low, low + np.array([0, 0, 10.0]), 4)
    assert samples.total_mL[0] == pytest.approx(6.0)
    middle = samples.volume_mL[0] @ samples.points[0] / 6
    np.testing.assert_allclose(middle, (15, 10, 5), atol=1e-9)
