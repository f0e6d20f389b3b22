"""Movement in virtual acquisitions: found where it was, not found where there was none, and undone."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from myoscope.core import CardiacFrame, EnergyWindow, Gating, Grid, InvalidValue, Projections, Surfaces, Volume
from myoscope.correct import Movement, find_movement, moved_back
from myoscope.physics.camera_geometry import GENERIC_19_PINHOLE, GENERIC_COLUMNS
from myoscope.physics.noise import poisson_counts
from myoscope.reconstruct import reprojector
from myoscope.simulate import CAMERAS, Scene
from myoscope.simulate.acquire import expected_counts
from myoscope.simulate.motion import Motion, Shift

FloatArray = NDArray[np.float64]
CAMERA = CAMERAS["conventional"].with_views(40)  # 20 stops of two heads
STOP_S, PIXEL_MM = 27.0, 6.4
FRAME = CardiacFrame(np.array([25.0, -30.0, 0.0]), np.array([0.55, -0.70, -0.45]))


def ball(radius_mm: float) -> FloatArray:
    polar, angle = np.linspace(0, 0.75 * np.pi, 41)[:, None], np.arange(72) * 2 * np.pi / 72
    unit = np.stack([np.sin(polar) * np.cos(angle), np.sin(polar) * np.sin(angle), np.cos(polar) * np.ones(72)], -1)
    return FRAME.to_patient(radius_mm * unit)


WALL = Surfaces(ball(22), ball(33), FRAME, FRAME.centre_mm, -FRAME.long_axis)


def scene() -> Scene:
    """An open shell in a body with lungs and a warm liver below and to the right."""
    fine = Grid.axis_aligned((28, 28, 28), spacing_mm=3.2, centre_mm=FRAME.centre_mm)
    heart = FRAME.to_heart(fine.points_mm())
    radius = np.linalg.norm(heart, axis=-1)
    shell = (radius < 33) & (radius > 22) & (heart[..., 2] > -0.7 * radius)
    coarse = Grid.axis_aligned((48, 36, 30), spacing_mm=8.0, centre_mm=(0.0, 30.0, 0.0))
    x, y, z = np.moveaxis(coarse.points_mm() - coarse.centre_mm, -1, 0)
    body = (x / 170) ** 2 + (y / 115) ** 2 < 1
    lung = body & ((np.abs(x) - 95) ** 2 / 55**2 + (y / 80) ** 2 < 1) & (z > -60)
    lung |= body & ((x + 20) ** 2 / 60**2 + ((y + 10) / 60) ** 2 < 1) & (z > 45)
    liver = body & (((x + 55) / 85) ** 2 + (y / 80) ** 2 + ((z + 85) / 60) ** 2 < 1)
    near = np.linalg.norm(coarse.points_mm() - FRAME.centre_mm, axis=-1) < 35
    activity = np.where(liver, 30.0, np.where(lung, 2.0, 4.0)) * body * ~near
    return Scene(
        Volume((shell * 60.0).astype(np.float32)[None], fine, "kBq/mL", frame_axis="gate"),
        Volume(activity.astype(np.float32), coarse, "kBq/mL"),
        Volume(np.where(lung, 0.04, 0.15 * body).astype(np.float32), coarse, "1/cm"),
    )


def seen(motion: Motion) -> Projections:
    return expected_counts(scene(), CAMERA, view_duration_s=STOP_S - 2, motion=motion, scatter=False)


def drawn(expected: Projections, seed: int) -> Projections:
    return replace(expected, counts=poisson_counts(np.asarray(expected.counts), rng=np.random.default_rng(seed)))


def found(projections: Projections, n_heads: int | None = None) -> Movement:
    return find_movement(projections, WALL, reproject=reprojector(projections), n_heads=n_heads)


def jump(stop: int, by_mm: tuple[float, float, float]) -> Motion:
    return Motion(breathing_si_mm=8, breathing_ap_mm=2, shifts=(Shift(stop * STOP_S - 1, by_mm),))


@pytest.fixture(scope="module")
def breathing() -> Projections:
    return seen(Motion(breathing_si_mm=15, breathing_ap_mm=4))


@pytest.fixture(scope="module")
def down() -> Projections:
    """Two pixels towards the feet at the ninth stop."""
    return seen(jump(9, (0.0, 0.0, -2 * PIXEL_MM)))


def test_breathing_alone_is_no_movement(breathing: Projections) -> None:
    for seed in range(6):
        quiet = found(drawn(breathing, seed))
        assert not quiet.to_be_applied
        assert quiet.flag(PIXEL_MM) is None


def test_a_step_of_two_pixels_along_the_body_is_found_at_its_stop(down: Projections) -> None:
    moved = found(drawn(down, 1))
    (step,) = moved.steps
    assert step.view == 9
    assert step.by_mm == pytest.approx((0, 0, -12.8), abs=3)
    assert moved.n_heads == 2
    flag = moved.flag(PIXEL_MM)
    assert flag is not None
    assert (flag.code, flag.severity) == ("patient_moved", "warning")
    assert flag.evidence["steps"][0]["view"] == 10
    # v runs to the feet: the later views of both heads lie lower by the step.
    v = moved.displacement_mm[:, 0]
    assert v[[9, 29]] - v[[8, 28]] == pytest.approx([12.8, 12.8], abs=1.5)


def test_a_step_of_two_pixels_to_the_left_is_found_at_its_stop() -> None:
    moved = found(drawn(seen(jump(12, (2 * PIXEL_MM, 0.0, 0.0))), 2))
    (step,) = moved.steps
    assert step.view == 12
    assert step.by_mm[0] == pytest.approx(12.8, abs=2)
    assert step.by_mm[2] == pytest.approx(0, abs=1.5)


def test_creep_after_exercise_is_told_from_a_step() -> None:
    moved = found(drawn(seen(Motion(breathing_si_mm=8, creep_mm=14, creep_time_s=200)), 3))
    assert moved.creep is not None
    assert moved.steps == ()
    assert moved.creep.forward
    true_mm = 14 * (np.exp(-12.5 / 200) - np.exp(-(19 * STOP_S + 12.5) / 200))
    assert moved.creep.rise_mm == pytest.approx(true_mm, rel=0.3)


def test_going_and_coming_back_are_two_steps() -> None:
    there = Shift(6 * STOP_S - 1, (0.0, 0.0, 12.8))
    back = Shift(13 * STOP_S - 1, (0.0, 0.0, -12.8))
    moved = found(drawn(seen(Motion(shifts=(there, back))), 4))
    assert [step.view for step in moved.steps] == [6, 13]
    assert moved.steps[0].by_mm[2] == pytest.approx(-moved.steps[1].by_mm[2], abs=2)


def test_views_that_are_moved_back_are_those_of_a_patient_who_lay_still(down: Projections) -> None:
    """Round the heart; both lie at their mean place. What is left is mostly the blur of moving by parts of a pixel."""
    still = np.asarray(seen(jump(9, (0.0, 0.0, 0.0))).counts[0, 0], np.float64)
    before = np.asarray(down.counts[0, 0], np.float64)
    after = np.asarray(moved_back(down, found(down)).counts[0, 0], np.float64)
    phi = np.radians(CAMERA.angle_deg)[:, None, None]
    u = 31.5 + (-np.cos(phi) * FRAME.centre_mm[0] + np.sin(phi) * FRAME.centre_mm[1]) / PIXEL_MM
    rows, columns = np.arange(64)[None, :, None], np.arange(64)[None, None, :]
    heart = np.hypot(rows - 31.5, columns - u) * PIXEL_MM < 40

    def unlike(views: FloatArray) -> float:
        return float(np.sqrt(((views - still)[heart] ** 2).mean()) / still[heart].mean())

    assert unlike(before) > 0.2
    assert unlike(after) < 0.3 * unlike(before)


def test_moving_back_keeps_every_count() -> None:
    rng = np.random.default_rng(5)
    counts = rng.poisson(20, (2, 3, 40, 16, 16)).astype(np.uint16)
    views = Projections(
        counts,
        CAMERA.angle_deg,
        np.full(40, 200.0),
        (6.4, 6.4),
        (EnergyWindow("photopeak", 126, 154), EnergyWindow("lower", 120, 126)),
        np.full(40, 25.0),
        gating=Gating(3, rr_ms=900),
    )
    by_mm = rng.normal(0, 9, (40, 2))
    back = moved_back(views, Movement(by_mm))
    assert back.counts.sum(axis=(-2, -1)) == pytest.approx(counts.sum(axis=(-2, -1)), rel=1e-6)
    assert back.counts.min() >= 0
    assert "moved back" in back.made_by[-1]
    whole = np.zeros((40, 2))
    whole[:, 0] = 6.4
    up = moved_back(views, Movement(whole))
    assert np.array_equal(up.counts[..., 1:15, :], counts[..., 2:16, :].astype(np.float32))


def test_the_place_of_the_whole_acquisition_is_no_movement(breathing: Projections) -> None:
    """All views moved alike are a patient who lies elsewhere."""
    away = np.full((40, 2), 0.0)
    away[:, 0] = 12.8
    assert not found(moved_back(drawn(breathing, 7), Movement(away))).to_be_applied


def test_gates_are_judged_together(down: Projections) -> None:
    one = drawn(down, 1)
    counts = np.asarray(one.counts, np.float64)
    gated = replace(one, counts=np.concatenate([0.3 * counts, 0.7 * counts], axis=1), gating=Gating(2, rr_ms=900))
    assert [step.view for step in found(gated).steps] == [9]


def test_cameras_that_stand_still_and_short_sets_are_not_judged(breathing: Projections) -> None:
    for name in (GENERIC_19_PINHOLE, GENERIC_COLUMNS):
        still = find_movement(replace(breathing, collimator=name), WALL, reproject=lambda views: views)
        flag = still.flag(PIXEL_MM)
        assert not still.to_be_applied
        assert flag is not None
        assert flag.code == "movement_not_judged"
        assert "stands still" in flag.message
    few = CAMERA.with_views(8)
    short = Projections(
        np.ones((1, 1, 8, 64, 64)),
        few.angle_deg,
        np.full(8, 200.0),
        (6.4, 6.4),
        (EnergyWindow("photopeak", 126, 154),),
        np.full(8, 25.0),
    )
    assert "too few" in find_movement(short, WALL, reproject=lambda views: views).not_judged
    empty = replace(breathing, counts=np.zeros_like(breathing.counts))
    assert "no counts" in find_movement(empty, WALL, reproject=lambda views: views).not_judged


def test_heads_and_windows_that_do_not_exist_are_refused(breathing: Projections) -> None:
    with pytest.raises(InvalidValue, match="shared by 3 heads"):
        find_movement(breathing, WALL, reproject=lambda views: views, n_heads=3)
    with pytest.raises(InvalidValue, match="no energy window 7"):
        find_movement(breathing, WALL, reproject=lambda views: views, window=7)
