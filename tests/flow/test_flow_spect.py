"""Dynamic SPECT of a virtual patient: its counts are those of its activity, and the flow put in comes out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import shift

from myoscope import flow_pair, flow_study
from myoscope.core import InvalidValue, Surfaces, Volume
from myoscope.correct.frame_motion import find_relative_shifts
from myoscope.physics.compartments import one_tissue
from myoscope.physics.decay import share_left
from myoscope.physics.frames import Frames
from myoscope.physics.time_curve import TimeCurve
from myoscope.physics.tracers import extraction
from myoscope.quantify.flow import Blood, WallCurves, net_retention
from myoscope.reconstruct import ReconstructionSettings, reconstruct_frames
from myoscope.simulate.dynamic_pet import FrameMotion, dynamic_scene
from myoscope.simulate.dynamic_spect import SpectScene, spect_scene
from myoscope.simulate.patient import VirtualPatient, draw_patient
from myoscope.simulate.spect_tracers import spect_tracer

PATIENT = 11  # another one than the chain's resolution was read from
FEW_FRAMES_S = (*[5.0] * 10, 10.0, 20.0, 40.0, *[45.0] * 5)


@pytest.fixture(scope="module")
def patient() -> VirtualPatient:
    return draw_patient(PATIENT, site="hillside")


@pytest.fixture(scope="module")
def scene(patient: VirtualPatient) -> SpectScene:
    return spect_scene(patient, "rest", replace(spect_tracer("sestamibi"), frame_s=FEW_FRAMES_S))


@pytest.fixture(scope="module")
def image(scene: SpectScene) -> Volume:
    """Noise-free and still, attenuation corrected."""
    frames = scene.scan(rng=None)
    start_s = scene.frames.start_s.tolist()
    return flow_study.dynamic_image(frames, "sestamibi", frame_start_s=start_s, attenuation=scene.attenuation)


@pytest.fixture(scope="module")
def wall(image: Volume) -> Surfaces:
    return flow_study.find_wall(image, "sestamibi")


@pytest.fixture(scope="module")
def data(image: Volume, wall: Surfaces) -> flow_study.FlowData:
    return flow_study.gather(image, wall, "sestamibi")


@pytest.mark.slow
@pytest.mark.parametrize("model", list(flow_study.PROTOCOLS["sestamibi"].models))
def test_the_flow_that_was_put_in_comes_out(scene: SpectScene, data: flow_study.FlowData, model: str) -> None:
    settings = replace(data.settings, model=flow_study.model_named(model))
    found = flow_study.fit_flow(replace(data, settings=settings))
    truth = data.static.like(scene.flow, "truth")
    assert found.whole.value == pytest.approx(float((scene.flow * data.static.weights("surface")).sum()), rel=0.20)
    for one, true in zip(found.vessels, truth.vessel_means(), strict=True):
        assert one.value == pytest.approx(true, rel=0.30)
    assert not found.failed


@pytest.mark.slow
def test_a_still_heart_is_found_still_and_a_jump_is_found(image: Volume, wall: Surfaces) -> None:
    late = flow_study.late_frames(image, "sestamibi")
    still = find_relative_shifts(image, wall, late=late).displacement_mm
    assert np.linalg.norm(still, axis=1).max() < 2.5
    by_mm, jumped = np.array([3.0, -4.0, 8.0]), np.array(image.array)
    for frame in (6, 7):
        jumped[frame] = shift(jumped[frame], by_mm / image.grid.spacing_mm, order=1, mode="nearest")
    moved = find_relative_shifts(image.like(jumped, "two frames displaced"), wall, late=late).displacement_mm
    apart = (moved[6:8] - still[6:8]).mean(axis=0) - (moved[8:10] - still[8:10]).mean(axis=0)
    np.testing.assert_allclose(apart, by_mm, atol=3.0)


def test_flow_is_the_one_that_pet_finds_in_the_same_patient(patient: VirtualPatient, scene: SpectScene) -> None:
    np.testing.assert_array_equal(scene.flow, dynamic_scene(patient, "rest", "rubidium").flow)


def test_frames_add_up_to_the_activity_over_their_time(patient: VirtualPatient, scene: SpectScene) -> None:
    whole = spect_scene(patient, "rest", replace(scene.tracer, frame_s=(sum(FEW_FRAMES_S),)))
    # The last five regions of the heart are blood and the right wall; the others are shapes of the framing.
    added = scene.heart_kBq_mL[-5:] @ scene.frames.duration_s
    np.testing.assert_allclose(added, whole.heart_kBq_mL[-5:] @ whole.frames.duration_s, rtol=1e-9)
    organs = scene.body_kBq_mL @ scene.frames.duration_s
    np.testing.assert_allclose(organs, whole.body_kBq_mL @ whole.frames.duration_s, rtol=1e-9)


def test_nothing_injected_gives_no_counts_and_a_rest_dose_left_over_gives_its_own(scene: SpectScene) -> None:
    nothing = replace(
        scene, heart_kBq_mL=np.zeros_like(scene.heart_kBq_mL), body_kBq_mL=np.zeros_like(scene.body_kBq_mL)
    )
    empty = nothing.left_at(3600.0)
    assert not nothing.expected(left_over=empty).any()
    counts = nothing.expected(left_over=scene.left_at(3600.0))[:, 0].sum(axis=(1, 2, 3)) / scene.frames.duration_s
    # It only decays while the second scan lasts, by an hour more than at the end of the first one.
    assert counts[0] > 0
    decayed = share_left("Tc-99m", 60 * scene.frames.middle_min)
    np.testing.assert_allclose(counts / counts[0], decayed / decayed[0], rtol=1e-4)


@pytest.mark.slow
def test_a_second_injection_of_nothing_leaves_nothing(image: Volume, wall: Surfaces) -> None:
    last = np.asarray(image.array)[-1]
    second = image.like(np.broadcast_to(last * share_left("Tc-99m", 3600.0), image.array.shape).copy(), "left over")
    after = flow_pair.without_first(
        second, image, "sestamibi", seconds_between=3600.0, second_wall=wall, first_wall=wall
    )
    before = float(np.asarray(second.array)[0][last > 0.5 * last.max()].mean())
    assert abs(float(np.asarray(after.array)[0][last > 0.5 * last.max()].mean())) < 0.03 * before


def test_frames_are_corrected_for_decay_to_the_start(scene: SpectScene) -> None:
    frame = scene.scan(rng=None)[-1]
    settings = ReconstructionSettings("osem", 1, 1, post_filter="none")
    hour = reconstruct_frames([frame, frame], frame_start_s=[0.0, 3600.0], settings=settings, nuclide="Tc-99m")
    first, later = np.asarray(hour.array, np.float64).sum(axis=(1, 2, 3))
    assert later / first == pytest.approx(1 / float(share_left("Tc-99m", 3600.0)), rel=1e-5)


def test_net_retention_of_a_trapped_tracer_is_exact_when_the_shares_are_known() -> None:
    frames = Frames.lasting(FEW_FRAMES_S)
    minutes = np.arange(0, 6, 0.01)
    blood = Blood.from_curve(frames, TimeCurve(minutes, minutes * np.exp(-2 * minutes)))
    flow = np.array([0.5, 1.0, 2.0, 3.0])
    k1 = 1.05 * extraction("sestamibi").uptake_rate_mL_min_g(flow)
    muscle = k1[:, None] * one_tissue(blood.curve, frames, 0.0)
    curves = WallCurves(
        frames,
        0.5 * muscle + 0.4 * blood.means,
        blood,
        recovery=np.full(4, 0.5),
        blood_share=np.full(4, 0.4),
    )
    found = net_retention("sestamibi", late_from_min=2.0, density_g_mL=1.05).estimate(curves)
    np.testing.assert_allclose(found.flow, flow, rtol=1e-6)


def test_what_cannot_be_done_is_refused(patient: VirtualPatient, scene: SpectScene) -> None:
    with pytest.raises(InvalidValue, match="sestamibi, tetrofosmin"):
        spect_scene(patient, "rest", "thallium")
    with pytest.raises(InvalidValue, match="too slowly"):
        spect_scene(draw_patient(PATIENT, site="harbour"), "rest", "sestamibi")
    with pytest.raises(InvalidValue, match="one displacement per frame"):
        scene.expected(motion=FrameMotion.none(3))
    with pytest.raises(InvalidValue, match="at least one frame"):
        flow_study.dynamic_image([], "sestamibi", frame_start_s=[])
    assert flow_study.flow_tracer("Tc-99m sestamibi") == "sestamibi"
    with pytest.raises(InvalidValue, match="not with Tc-99m"):
        flow_study.flow_tracer("Tc-99m pertechnetate")
