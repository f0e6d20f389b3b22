"""Virtual torsos: mass, organ volumes, order of organs, positions, and where the heart sits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from myoscope.core import Grid, InvalidValue
from myoscope.simulate.build import Sex, trunk_mass_kg
from myoscope.simulate.organs import heart_envelope
from myoscope.simulate.tissues import ORGANS
from myoscope.simulate.torso import Torso, draw_torso

CAMERA = Grid.axis_aligned((64, 64, 48), spacing_mm=6.4)
WHOLE = Grid.axis_aligned((60, 48, 104), spacing_mm=8.0, centre_mm=(0, 0, -100))
PEOPLE: tuple[tuple[Sex, float, float], ...] = (
    ("M", 178, 82),
    ("M", 170, 58),
    ("M", 175, 130),
    ("F", 163, 66),
    ("F", 170, 52),
    ("F", 158, 105),
    ("F", 146, 40),
    ("M", 198, 88),
)


def body(sex: Sex = "M", height: float = 176.0, weight: float = 80.0, seed: int = 1) -> Torso:
    return draw_torso(sex=sex, height_cm=height, weight_kg=weight, rng=np.random.default_rng(seed))


@pytest.mark.parametrize(("sex", "height", "weight"), PEOPLE)
def test_the_trunk_weighs_what_the_body_asks_for(sex: Sex, height: float, weight: float) -> None:
    torso = body(sex, height, weight)
    z = WHOLE.points_mm()[..., 2] - torso.offset_mm[2]
    low, high = torso.build.trunk_mm
    density = np.asarray(torso.tissues(WHOLE).density().array)
    mass = float(density[(z > low) & (z < high)].sum()) * WHOLE.voxel_volume_mL / 1000
    assert mass == pytest.approx(trunk_mass_kg(height, weight), rel=0.08)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("sex", "height", "weight"), PEOPLE)
def test_organs_have_the_volumes_of_people(sex: Sex, height: float, weight: float, seed: int) -> None:
    tissues = body(sex, height, weight, seed).tissues(WHOLE)
    volume = {name: float(share.sum()) * WHOLE.voxel_volume_mL for name, share in tissues.fraction.items()}
    assert 1700 < volume["lung"] < 6500
    assert 950 < volume["liver"] < 2300
    assert 90 < volume["spleen"] < 320
    assert 120 < volume["kidney"] < 480
    assert 8 < volume["gallbladder"] < 70
    assert (volume.get("breast", 0) > 150) == (sex == "F")


@pytest.mark.parametrize(("sex", "height", "weight"), PEOPLE)
def test_bodies_are_as_wide_and_deep_as_patients(sex: Sex, height: float, weight: float) -> None:
    build = body(sex, height, weight).build
    assert 255 < 2 * build.half_width_mm < 450
    assert 150 < 2 * build.half_depth_mm < 320


def test_shares_of_a_voxel_never_exceed_one_and_none_is_negative() -> None:
    for sex, height, weight in PEOPLE:
        for position in ("supine", "prone", "upright"):
            fraction = body(sex, height, weight).tissues(CAMERA, position=position).fraction
            assert set(fraction) <= set(ORGANS)
            assert max(float(share.max()) for share in fraction.values()) <= 1 + 1e-5
            assert min(float(share.min()) for share in fraction.values()) >= 0
            assert float(np.sum(list(fraction.values()), axis=0).max()) <= 1 + 1e-5


def test_the_same_seed_gives_the_same_body() -> None:
    first, second = (body(seed=5).tissues(CAMERA).fraction for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert body(seed=5).heart_seat == body(seed=5).heart_seat


def test_organ_volumes_do_not_depend_on_the_voxels() -> None:
    torso = body("F", 165, 70)
    coarse, fine = WHOLE, Grid.axis_aligned((96, 76, 168), spacing_mm=5.0, centre_mm=(0, 0, -100))
    for name, share in torso.tissues(coarse).fraction.items():
        volume = float(share.sum()) * coarse.voxel_volume_mL
        expected = float(torso.tissues(fine).fraction[name].sum()) * fine.voxel_volume_mL
        # Ribs and vessels are thinner than a voxel.
        assert volume == pytest.approx(expected, rel=0.05, abs=5), name


def centre_of(torso: Torso, name: str, **kwargs: object) -> np.ndarray:
    share = torso.tissues(WHOLE, **kwargs).fraction[name]  # type: ignore[arg-type]
    centre: np.ndarray = np.average(WHOLE.points_mm().reshape(-1, 3), axis=0, weights=share.ravel())
    return centre


@pytest.mark.parametrize(("sex", "height", "weight"), PEOPLE)
def test_organs_lie_on_their_side(sex: Sex, height: float, weight: float) -> None:
    torso = body(sex, height, weight)
    seat = torso.heart_seat.centre_mm
    liver, spleen, stomach, bone = (centre_of(torso, name) for name in ("liver", "spleen", "stomach", "bone"))
    middle = torso.offset_mm[0]
    assert liver[0] < middle < seat[0]
    assert min(spleen[0], stomach[0]) > middle
    assert max(liver[2], spleen[2], stomach[2]) < seat[2] - 20
    assert bone[1] > seat[1]


def test_long_axes_spread_as_in_the_shared_scans() -> None:
    axes = np.array([body(seed=seed).heart_seat.long_axis for seed in range(100)])
    azimuth, elevation = np.degrees(np.arctan2(axes[:, 0], -axes[:, 1])), np.degrees(-np.arcsin(axes[:, 2]))
    assert azimuth.mean() == pytest.approx(34, abs=2.5)
    assert azimuth.std() == pytest.approx(9.5, abs=1.5)
    assert elevation.mean() == pytest.approx(15, abs=3)
    assert elevation.std() == pytest.approx(7.6, abs=1.5)


def test_hearts_of_slender_people_stand_steeper() -> None:
    slender, heavy = (
        np.mean([-body("M", 180, weight, seed).heart_seat.long_axis[2] for seed in range(40)]) for weight in (62, 125)
    )
    assert slender > heavy + 0.1


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("sex", ["F", "M"])
def test_the_sac_of_the_heart_stays_inside_the_ribs(sex: Sex, seed: int) -> None:
    torso = body(sex, 168, 72, seed)
    for part in heart_envelope(torso.seat_in_body, torso.heart_size)[:2]:
        front = part.centre_mm - part.reach_mm
        width, depth, centre = (float(p) for p in torso.build.cavity(part.centre_mm[2]))
        assert front[1] > centre - depth
        assert part.centre_mm[0] + part.reach_mm[0] < width


def test_a_heart_displaces_everything_else() -> None:
    torso = body()
    ball = np.linalg.norm(CAMERA.points_mm() - torso.heart_seat.centre_mm, axis=-1) < 40
    tissues = torso.tissues(CAMERA, heart={"lv_blood": ball.astype(np.float32)})
    others = np.sum([share for name, share in tissues.fraction.items() if name in ORGANS], axis=0)
    assert float(others[ball].max()) < 1e-6
    assert np.array_equal(tissues.fraction["lv_blood"], ball.astype(np.float32))


def test_standing_lowers_heart_diaphragm_and_breasts() -> None:
    torso = body("F", 165, 72)
    assert torso.seat("upright").centre_mm[2] < torso.heart_seat.centre_mm[2] - 8
    for name in ("liver", "breast", "spleen"):
        assert centre_of(torso, name, position="upright")[2] < centre_of(torso, name)[2] - 5, name


def test_lying_prone_moves_the_heart_forward_and_the_left_dome_away() -> None:
    torso = body()
    assert torso.seat("prone").centre_mm[1] < torso.heart_seat.centre_mm[1] - 2
    lung = {p: float(torso.tissues(WHOLE, position=p).fraction["lung"].sum()) for p in ("supine", "prone")}
    assert lung["prone"] > lung["supine"]


def test_breathing_moves_what_lies_under_the_diaphragm() -> None:
    torso = body()
    for name in ("liver", "spleen"):
        moved = centre_of(torso, name, displace_mm=-12.0) - centre_of(torso, name)
        assert moved[2] == pytest.approx(-12, abs=3.5)
    assert torso.seat(displace_mm=-12.0).centre_mm[2] == pytest.approx(torso.heart_seat.centre_mm[2] - 12)
    deep, quiet = (float(torso.tissues(WHOLE, displace_mm=d).fraction["lung"].sum()) for d in (-12.0, 0.0))
    assert deep > quiet


def test_a_moved_body_moves_in_the_camera() -> None:
    torso = body()
    step = np.array([6.4, -12.8, 6.4])
    before, after = torso.tissues(CAMERA).fraction["lung"], torso.moved(step).tissues(CAMERA).fraction["lung"]
    np.testing.assert_allclose(after[1:, :-2, 1:], before[:-1, 2:, :-1], atol=1e-3)
    np.testing.assert_allclose(torso.moved(step).heart_seat.centre_mm, torso.heart_seat.centre_mm + step)


def test_arms_at_the_sides_widen_the_picture() -> None:
    torso = body()
    up, down = (np.sum(list(torso.tissues(WHOLE, arms=arms).fraction.values()), axis=0) for arms in ("up", "down"))
    chest = slice(45, 75)
    assert float(down[..., chest].sum()) > 1.08 * float(up[..., chest].sum())


@pytest.mark.parametrize(
    ("sex", "height", "weight", "says"),
    [("X", 170, 70, "sex F or M"), ("M", 100, 70, "heights"), ("F", 170, 200, "body mass index")],
)
def test_bodies_that_cannot_be_drawn_are_refused(sex: Sex, height: float, weight: float, says: str) -> None:
    with pytest.raises(InvalidValue, match=says):
        body(sex, height, weight)


def test_unknown_positions_arms_and_hearts_are_refused() -> None:
    torso = body()
    with pytest.raises(InvalidValue, match="supine, prone or upright"):
        torso.tissues(CAMERA, position="sitting")  # type: ignore[arg-type]
    with pytest.raises(InvalidValue, match="up or down"):
        torso.tissues(CAMERA, arms="crossed")  # type: ignore[arg-type]
    with pytest.raises(InvalidValue, match="none of these"):
        torso.tissues(CAMERA, heart={"valve": np.zeros(CAMERA.shape)})
    with pytest.raises(InvalidValue, match="shape"):
        torso.tissues(CAMERA, heart={"lv_wall": np.zeros((2, 2, 2))})


def transmission(torso: Torso, side: float) -> float:
    """Share of photons from the wall above (+) or below (-) the heart's middle that leave to the left back."""
    mu = torso.tissues(CAMERA).attenuation_per_cm(140.5)
    start = torso.heart_seat.centre_mm + np.array([0.0, 0.0, side * 28.0])
    shares = []
    for angle in np.radians([50.0, 60.0, 70.0]):
        away = np.array([np.sin(angle), np.cos(angle), 0.0])
        index = np.round(mu.grid.to_index(start + np.arange(0, 250, 2.0)[:, None] * away)).astype(int)
        index = index[((index >= 0) & (index < np.array(mu.grid.shape))).all(axis=1)]
        shares.append(np.exp(-0.2 * np.asarray(mu.array)[tuple(index.T)].sum()))
    return float(np.mean(shares))


def test_a_high_left_dome_shades_the_inferior_wall_alone() -> None:
    torso = body()
    right, left = torso.organs.dome_mm
    raised = replace(torso, organs=replace(torso.organs, dome_mm=(right, left + 15)))
    assert transmission(raised, -1) < 0.92 * transmission(torso, -1)
    assert transmission(raised, +1) == pytest.approx(transmission(torso, +1), rel=0.02)
