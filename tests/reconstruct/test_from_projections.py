"""Projections to volumes: the right way round, the right counts, and the physics undone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from cameras import GRID, HALF_TURN, PIXEL_MM, acquired, ball, centroid_mm, cylinder

from myoscope import io
from myoscope.core import EnergyWindow, Gating, GeometryMismatch, Grid, InvalidValue, Projections, UnitMismatch, Volume
from myoscope.reconstruct import (
    ReconstructionSettings,
    image_grid,
    reconstruct,
    reconstruct_frames,
    survey,
    without_gates,
)
from myoscope.simulate.cameras import CAMERAS, projector_for

torch.set_num_threads(1)
REAL = Path(__file__).parents[3] / "shared/data/spect-projections/stress-tomo-30views.dcm"
METHODS = [ReconstructionSettings(method="fbp"), ReconstructionSettings(method="osem")]
PLAIN = ReconstructionSettings(post_filter="none")


@pytest.mark.parametrize("settings", METHODS, ids=["fbp", "osem"])
@pytest.mark.parametrize("patient_position", ["HFS", "HFP"])
def test_what_lies_left_in_front_and_high_comes_back_there_through_dicom(
    settings: ReconstructionSettings, patient_position: str, tmp_path: Path
) -> None:
    place = (58.0, -40.0, 26.0)  # left, anterior, superior
    projections = replace(acquired(ball(place, 15)), patient_position=patient_position)
    counts = np.round(projections.counts * 3e4 / projections.counts.sum() * projections.n_views)
    io.write_nm_projections(replace(projections, counts=counts.astype(np.uint16)), tmp_path / "p.dcm")
    back = io.read_projections(tmp_path / "p.dcm")
    volume = reconstruct(back, settings=settings)
    np.testing.assert_allclose(volume.grid.direction, np.eye(3))
    assert volume.grid.same_place(image_grid(back))
    np.testing.assert_allclose(centroid_mm(volume), place, atol=1.5)


@pytest.mark.parametrize("settings", METHODS, ids=["fbp", "osem"])
def test_without_absorption_the_voxels_hold_the_counts_that_were_acquired(settings: ReconstructionSettings) -> None:
    projections = acquired(ball((20, -10, 5), 30, value=50))
    volume = reconstruct(projections, settings=settings)
    assert volume.unit == "counts"
    assert volume.array.sum() == pytest.approx(projections.counts.sum(), rel=0.03)


def test_activity_comes_back_in_kBq_per_mL() -> None:
    truth = ball((20, -10, 5), 40, value=50)
    mu = cylinder(140, value=0.15, unit="1/cm")
    settings = ReconstructionSettings(unit="kBq/mL", post_filter="none", iterations=10)
    volume = reconstruct(acquired(truth, attenuation=mu), settings=settings, attenuation=mu)
    assert volume.unit == "kBq/mL"
    deep_inside = np.linalg.norm(GRID.points_mm() - (20, -10, 5), axis=-1) < 22
    assert volume.array[deep_inside].mean() == pytest.approx(50, rel=0.03)


@pytest.mark.parametrize("scatter", [False, True], ids=["", "scatter"])
def test_a_uniform_cylinder_is_uniform_after_correction_and_hollow_by_absorption_without(scatter: bool) -> None:
    """Corrected: CV < 3 %, centre over edge 1 +/- 0.03. Uncorrected: as hollow as exp(-mu r) says."""
    radius_mm, mu_per_cm = 110.0, 0.1536
    truth = cylinder(radius_mm, value=10, unit="kBq/mL")
    mu = cylinder(radius_mm, value=mu_per_cm, unit="1/cm")
    angles = 3.0 * np.arange(120)
    projections = acquired(truth, attenuation=mu, angle_deg=angles)
    expected = None
    if scatter:
        expected = np.full(projections.counts.shape[1:], 0.3 * projections.counts.mean())
        projections = replace(projections, counts=projections.counts + expected)
    settings = ReconstructionSettings(iterations=12, post_filter="none")
    corrected = reconstruct(projections, settings=settings, attenuation=mu, scatter=expected)
    plain = reconstruct(projections, settings=settings, scatter=expected)
    middle = slice(8, 16)
    away = np.hypot(*np.moveaxis(GRID.points_mm()[:, :, 12, :2], -1, 0))
    centre, ring = away < 25, (away > 70) & (away < 90)
    inside = corrected.array[away < 90][:, middle]
    assert inside.std() / inside.mean() < 0.03
    assert corrected.array[centre][:, middle].mean() / corrected.array[ring][:, middle].mean() == pytest.approx(
        1, abs=0.03
    )
    sensitivity = corrected.array[away < 90][:, middle].mean()
    for zone in (centre, ring):
        share = plain.array[zone][:, middle].mean() / sensitivity
        predicted = np.mean([uncorrected_share(r, radius_mm, mu_per_cm) for r in np.unique(away[zone])])
        assert share == pytest.approx(predicted, rel=0.06)


def uncorrected_share(at_mm: float, radius_mm: float, mu_per_cm: float) -> float:
    """What is left at a distance from the middle of a uniform cylinder when absorption is not corrected.

    A line at s from the axis holds (1 - exp(-mu L)) / mu, L = 2 sqrt(R^2 - s^2), of which only the part that absorbs
    evenly from all sides returns: the inverse Abel transform -1/pi integral of p'(s) / sqrt(s^2 - r^2) ds.
    """
    # s = r + (R - r) sin^2(t) takes both singular ends out of the integral.
    t = (np.arange(4000) + 0.5) / 4000 * np.pi / 2
    s = at_mm + (radius_mm - at_mm) * np.sin(t) ** 2
    half_chord = np.sqrt(radius_mm**2 - s**2)
    slope = np.exp(-mu_per_cm * 2 * half_chord / 10) * 2 * s / half_chord
    step = 2 * (radius_mm - at_mm) * np.sin(t) * np.cos(t) * np.pi / 2 / 4000
    return float((slope / np.sqrt(s**2 - at_mm**2) * step).sum() / np.pi)


def test_modelling_the_response_makes_a_point_sharper_and_leaves_its_counts() -> None:
    projections = acquired(ball((0, 0, 0), 8, value=100))
    settings = ReconstructionSettings(iterations=12, post_filter="none")
    sharp = reconstruct(projections, settings=settings)
    soft = reconstruct(projections, settings=replace(settings, response="off"))
    assert sharp.array.max() > 1.3 * soft.array.max()
    assert sharp.array.sum() == pytest.approx(soft.array.sum(), rel=0.02)
    assert any("response of SY-LEHR modelled" in step for step in sharp.made_by)
    assert "detector at 200 to 200 mm" in sharp.made_by
    assert any("response not modelled" in step for step in soft.made_by)


@pytest.mark.parametrize("name", ["multi-pinhole-czt", "column-czt"])
def test_the_response_of_a_camera_with_a_layout_can_be_left_out_too(name: str) -> None:
    camera = CAMERAS[name]
    grid = Grid.axis_aligned((20, 20, 20), spacing_mm=4.0)
    projector = projector_for(camera, grid, attenuation=None, radius_mm=np.full(camera.n_views, 150.0))
    counts = projector.forward(torch.tensor(np.asarray(ball((4, -6, 2), 10, value=50, grid=grid).array, np.float32)))
    projections = Projections(
        np.maximum(counts.numpy(), 0)[None, None],
        camera.angle_deg,
        np.full(camera.n_views, 150.0),
        (camera.pixel_mm, camera.pixel_mm),
        (EnergyWindow("photopeak", 126, 154),),
        np.full(camera.n_views, 20.0),
        "HFS",
        camera.collimator,
    )
    settings = ReconstructionSettings(method="osem", iterations=4, post_filter="none")
    sharp = reconstruct(projections, settings=settings)
    soft = reconstruct(projections, settings=replace(settings, response="off"))
    assert sharp.array.max() > 1.15 * soft.array.max()
    assert sharp.array.sum() == pytest.approx(soft.array.sum(), rel=0.05)
    assert any("camera modelled" in step for step in sharp.made_by)
    assert any("response not modelled" in step for step in soft.made_by)


def beating() -> Projections:
    gates = np.stack([np.asarray(ball((10, -20, 0), r, value=4).array) for r in (34, 30, 26, 30)])
    return acquired(Volume(gates, GRID, "kBq/mL", frame_axis="gate"), rng=np.random.default_rng(2))


def test_gates_are_kept_and_add_up_to_the_ungated_image() -> None:
    projections = beating()
    settings = ReconstructionSettings(method="fbp")
    gated = reconstruct(projections, settings=replace(settings, post_filter="none"))
    assert gated.gating == projections.gating
    assert gated.frame_axis == "gate"
    ungated = reconstruct(without_gates(projections), settings=replace(settings, post_filter="none"))
    assert ungated.frame_axis is None
    np.testing.assert_allclose(gated.array.sum(axis=0), ungated.array, atol=1e-3 * ungated.array.max())


def test_gates_take_the_clinics_way_and_one_image_the_better_one() -> None:
    projections = beating()
    assert any("filtered back-projection" in step for step in reconstruct(projections).made_by)
    assert any("OSEM" in step for step in reconstruct(without_gates(projections)).made_by)


def test_gates_can_be_corrected_too() -> None:
    mu = cylinder(140, value=0.12, unit="1/cm")
    gates = np.stack([np.asarray(ball((0, 0, 0), r, value=4).array) for r in (34, 26)])
    truth = Volume(gates, GRID, "kBq/mL", frame_axis="gate")
    projections = acquired(truth, attenuation=mu)
    corrected = reconstruct(projections, attenuation=mu)
    assert any("attenuation corrected" in step for step in corrected.made_by)
    plain = acquired(truth)
    assert corrected.array[0].sum() == pytest.approx(plain.counts[0, 0].sum(), rel=0.05)
    assert corrected.array[1].sum() == pytest.approx(plain.counts[0, 1].sum(), rel=0.05)


def test_dynamic_frames_come_back_as_rates_in_time() -> None:
    one = acquired(ball((0, 0, 0), 30, value=10), view_duration_s=1.0)
    other = acquired(ball((0, 0, 0), 30, value=30), view_duration_s=3.0)
    volume = reconstruct_frames([one, other], frame_start_s=[0, 60])
    assert volume.frame_axis == "time"
    assert volume.unit == "counts/s"
    assert volume.frame_duration_s is not None
    assert volume.frame_start_s is not None
    assert volume.frame_duration_s.tolist() == [60, 180]
    assert volume.frame_start_s.tolist() == [0, 60]
    first, second = (volume.array[n].sum() for n in (0, 1))
    assert second / first == pytest.approx(3, rel=0.01)
    assert first == pytest.approx(one.counts.sum() / 60, rel=0.03)


def test_dynamic_frames_from_different_angles_are_refused() -> None:
    one = acquired(ball((0, 0, 0), 30))
    with pytest.raises(GeometryMismatch):
        reconstruct_frames([one, replace(one, angle_deg=one.angle_deg + 3)], frame_start_s=[0, 1])
    with pytest.raises(InvalidValue, match="start times"):
        reconstruct_frames([one], frame_start_s=[0, 1])


def test_scatter_is_subtracted_from_back_projections() -> None:
    projections = acquired(ball((20, -10, 5), 30, value=50))
    expected = np.full(projections.counts.shape[1:], 2.0)
    settings = ReconstructionSettings(method="fbp", post_filter="none")
    clean = reconstruct(projections, settings=settings)
    more = replace(projections, counts=projections.counts + 2.0)
    np.testing.assert_allclose(
        reconstruct(more, settings=settings, scatter=expected).array, clean.array, atol=1e-3 * clean.array.max()
    )


@pytest.mark.parametrize("settings", METHODS, ids=["fbp", "osem"])
def test_silent_pixels_and_lost_views_are_found_said_and_left_out(settings: ReconstructionSettings) -> None:
    # A body around the ball, so that silence means something.
    truth = ball((20, -10, 5), 30, value=60).like(
        ball((20, -10, 5), 30, value=60).array + cylinder(120, value=8, unit="kBq/mL").array, "body"
    )
    whole = acquired(truth)
    counts = np.array(whole.counts)
    counts[..., 10, 25] = 0
    counts[:, :, 31] = 0
    damaged = replace(whole, counts=counts)
    looked = survey(damaged)
    assert {f.code for f in looked.flags} >= {"dead_pixels", "views_without_counts"}
    assert np.argwhere(looked.dead).tolist() == [[10, 25]]
    assert np.flatnonzero(looked.lost).tolist() == [31]
    clean = reconstruct(whole, settings=settings).array
    away = np.hypot(*np.moveaxis(GRID.points_mm()[..., :2], -1, 0))
    difference = np.abs(reconstruct(damaged, settings=settings).array - clean)[away < 110]
    assert difference.max() < 0.08 * clean.max()


def test_doubtful_geometry_is_said() -> None:
    projections = acquired(cylinder(120, value=8, unit="kBq/mL"))
    assert [f.code for f in survey(projections).flags] == []
    codes = {
        "radius_unknown": replace(projections, radius_mm=np.full(60, np.nan)),
        "radius_not_believed": replace(projections, radius_mm=np.full(60, 327.0)),
        "collimator_assumed": replace(projections, collimator="PARA"),
        "truncated": acquired(cylinder(180, value=8, unit="kBq/mL")),
        "few_views": acquired(cylinder(120, value=8, unit="kBq/mL"), angle_deg=HALF_TURN[::4]),
        "arc_incomplete": acquired(cylinder(120, value=8, unit="kBq/mL"), angle_deg=HALF_TURN[:40]),
    }
    for code, one in codes.items():
        assert code in [f.code for f in survey(one).flags]


def test_a_distance_that_cannot_be_true_is_not_modelled_unless_the_user_gives_one() -> None:
    projections = replace(acquired(ball((0, 0, 0), 20)), radius_mm=np.full(60, 327.0))
    assert any("response not modelled" in step for step in reconstruct(projections).made_by)
    given = reconstruct(projections, settings=ReconstructionSettings(radius_mm=220.0))
    assert "detector at 220 to 220 mm" in given.made_by


def test_the_photopeak_is_reconstructed_whatever_the_order_of_the_windows() -> None:
    peak = acquired(ball((20, -10, 5), 30, value=5))
    windows = (EnergyWindow("scatter", 92, 125), peak.windows[0])
    both = replace(peak, counts=np.concatenate([4 * np.ones_like(peak.counts), peak.counts]), windows=windows)
    np.testing.assert_array_equal(reconstruct(both).array, reconstruct(peak).array)


def test_detectors_with_oblong_pixels_are_reconstructed_by_back_projection() -> None:
    oblong = replace(acquired(ball((20, -10, 5), 30)), pixel_mm=(PIXEL_MM, 5.0))
    volume = reconstruct(oblong)
    np.testing.assert_allclose(volume.grid.spacing_mm, (PIXEL_MM, PIXEL_MM, 5.0))
    with pytest.raises(InvalidValue, match="square"):
        reconstruct(oblong, settings=ReconstructionSettings(method="osem"))


def test_what_cannot_be_done_is_refused_in_words() -> None:
    projections = acquired(ball((20, -10, 5), 30))
    mu = cylinder(100, value=0.15, unit="1/cm")
    with pytest.raises(UnitMismatch, match="HU"):
        reconstruct(projections, attenuation=mu.like(mu.array, "wrong", unit="HU"))
    with pytest.raises(InvalidValue, match="choose osem"):
        reconstruct(projections, settings=ReconstructionSettings(method="fbp"), attenuation=mu)
    with pytest.raises(InvalidValue, match="no counts"):
        reconstruct(replace(projections, counts=0 * projections.counts))
    with pytest.raises(InvalidValue, match="negative"):
        reconstruct(replace(projections, counts=projections.counts - 1))
    activity = ReconstructionSettings(unit="kBq/mL")
    unknown = replace(projections, radius_mm=np.full(60, np.nan))
    with pytest.raises(InvalidValue, match="distance"):
        reconstruct(unknown, settings=activity)
    untimed = replace(projections, view_duration_s=np.full(60, np.nan))
    with pytest.raises(InvalidValue, match="duration"):
        reconstruct(untimed, settings=activity)
    with pytest.raises(InvalidValue, match="iterations"):
        ReconstructionSettings(iterations=0)


@pytest.mark.skipif(not REAL.exists(), reason="needs the real acquisition in spect-projections")
@pytest.mark.parametrize("settings", METHODS, ids=["fbp", "osem"])
def test_the_hottest_part_of_a_real_acquisition_lies_where_a_heart_does(settings: ReconstructionSettings) -> None:
    volume = reconstruct(io.read_projections(REAL), settings=settings)
    near_the_heart = np.asarray(volume.array)[:, :, 20:44]
    i, j, k = np.unravel_index(near_the_heart.argmax(), near_the_heart.shape)
    x, y, z = volume.grid.to_mm((i, j, k + 20))
    assert 20 < x < 110  # left
    assert -90 < y < 30  # in front of the spine
    assert -80 < z < 60


@pytest.mark.parametrize("name", ["multi-pinhole-czt", "column-czt"])
@pytest.mark.parametrize("gates", [1, 3])
def test_cameras_that_look_at_the_heart_only_put_it_where_it_is(name: str, gates: int) -> None:
    camera = CAMERAS[name]
    grid = Grid.axis_aligned((40, 40, 30), spacing_mm=4.0)
    place = (18.0, -22.0, 12.0)
    activity = torch.tensor(np.stack([np.asarray(ball(place, 22 - n, grid=grid).array) for n in range(gates)]))
    projector = projector_for(camera, grid, attenuation=None, radius_mm=np.full(camera.n_views, 150.0))
    counts = np.maximum(projector.forward(activity.float()).numpy(), 0) * 20
    projections = Projections(
        counts[None],
        camera.angle_deg,
        np.full(camera.n_views, 150.0),
        (camera.pixel_mm, camera.pixel_mm),
        (EnergyWindow("photopeak", 126, 154),),
        np.full(camera.n_views, 20.0),
        "HFS",
        camera.collimator,
        Gating(gates) if gates > 1 else None,
    )
    assert survey(projections).flags == ()
    volume = reconstruct(projections, settings=ReconstructionSettings(iterations=2))
    assert volume.grid.same_place(image_grid(projections))
    one = volume.frame(0) if gates > 1 else volume
    np.testing.assert_allclose(centroid_mm(one), place, atol=3.5)
    settings = ReconstructionSettings(unit="kBq/mL", post_filter="none", iterations=4)
    first = np.asarray(reconstruct(without_gates(projections), settings=settings).array) / gates
    inside = np.linalg.norm(volume.grid.points_mm() - place, axis=-1) < 12
    # Not every direction is seen, and modelled edges overshoot.
    assert first[inside].mean() == pytest.approx(1, rel=0.2)
    with pytest.raises(InvalidValue, match="back-projection"):
        reconstruct(projections, settings=ReconstructionSettings(method="fbp"))
    with pytest.raises(InvalidValue, match="layout"):
        reconstruct(replace(projections, counts=projections.counts[..., :-1]))
