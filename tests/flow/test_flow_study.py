"""The chain on one virtual patient: what flow was put in comes out, moved or not, and nothing is silently wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from flow_scene import PATIENT, SITE, rest_scene, still_image, still_wall
from scipy.ndimage import gaussian_filter1d

from myoscope import flow_pair, flow_study, measure, quantify
from myoscope.analyze import Settings, analyze_study
from myoscope.core import InvalidValue, PairResult, Series, SeriesResult, Stated, Study, Surfaces, Volume
from myoscope.quantify.flow import blood_pool
from myoscope.simulate.dynamic_pet import DynamicScene, FrameMotion, MotionHabit, dynamic_scene
from myoscope.simulate.gated_pet import gated_scan
from myoscope.simulate.patient import draw_patient
from myoscope.simulate.pet_camera import PetCamera


@pytest.fixture
def rest() -> DynamicScene:
    return rest_scene()


@pytest.fixture
def image() -> Volume:
    return still_image()


@pytest.fixture
def wall() -> Surfaces:
    return still_wall()


@pytest.fixture(scope="module")
def data() -> flow_study.FlowData:
    return flow_study.gather(still_image(), still_wall(), "rubidium")


def truth(rest: DynamicScene, data: flow_study.FlowData) -> float:
    return float((rest.flow * data.static.weights("surface")).sum())


def test_gates_add_up_to_the_late_image_and_eject_what_the_heart_does(rest: DynamicScene, image: Volume) -> None:
    patient = draw_patient(PATIENT, site=SITE)
    late_s = flow_study.protocol_of("rubidium").late_from_s
    gates = gated_scan(patient, rest, from_s=late_s, camera=PetCamera(), rng=None)
    late = rest.frames.start_s >= late_s - 0.5
    share = rest.frames.duration_s[late] / rest.frames.duration_s[late].sum()
    mean = np.tensordot(share, np.asarray(image.array, float)[late], axes=1)
    np.testing.assert_allclose(np.asarray(gates.array).mean(axis=0), mean, rtol=2e-3, atol=2e-3 * mean.max())
    ventricle, _ = flow_study.find_ventricle(image, "rubidium")
    found = quantify.ventricular_function(measure.measure_wall(gates, ventricle).surfaces)
    assert found.ef_percent == pytest.approx(patient.beating("rest", "supine").ef_percent, abs=6)
    assert found.edv_mL == pytest.approx(patient.beating("rest", "supine").edv_mL, rel=0.15)


def test_the_flow_that_was_put_in_comes_out(rest: DynamicScene, data: flow_study.FlowData) -> None:
    found = flow_study.fit_flow(data)
    assert found.whole.value == pytest.approx(truth(rest, data), rel=0.10)
    for one, true in zip(found.vessels, data.static.like(rest.flow, "truth").vessel_means(), strict=True):
        assert one.value == pytest.approx(true, rel=0.25)
    assert found.whole.low is not None
    assert found.whole.high is not None
    assert found.whole.low < float(found.whole.value or 0) < found.whole.high
    assert not found.failed


def test_a_still_heart_is_found_still(data: flow_study.FlowData) -> None:
    seen = np.array([kind != "empty" for kind in data.shifts.kind])
    assert np.linalg.norm(data.shifts.displacement_mm[seen], axis=1).max() < 1.5


def test_ten_millimetres_over_three_blood_frames_are_put_right(
    rest: DynamicScene, wall: Surfaces, data: flow_study.FlowData
) -> None:
    toward_septum = -rest.heart.lateral
    direction = toward_septum + rest.heart.long_axis
    shift = np.zeros((len(rest.frames), 3))
    shift[3:6] = 10.0 * direction / np.linalg.norm(direction)
    moved = rest.scan(rng=np.random.default_rng(0), motion=FrameMotion(shift))
    settings = flow_study.FlowSettings(motion=False)
    still, before, after = (
        np.array([one.value or np.nan for one in found.vessels])
        for found in (
            flow_study.fit_flow(data),
            flow_study.measure_flow(moved, wall, "rubidium", settings=settings),
            flow_study.measure_flow(moved, wall, "rubidium"),
        )
    )
    assert np.abs(before / still - 1).max() > 0.08
    assert np.abs(after / still - 1).max() < 0.02


def test_segments_drawn_in_blood_have_no_flow(image: Volume, wall: Surfaces, data: flow_study.FlowData) -> None:
    across = wall.epi_mm - wall.endo_mm
    inward = -12.0 * across / np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-6)
    # The inferior wall between apex and base: columns about 270 degrees.
    turn = (np.arange(wall.n_angles) * 360 / wall.n_angles - 270 + 180) % 360 - 180
    rise = np.minimum(np.arange(wall.n_rings + 1) / 10, 1.0)
    inward = inward * (rise[:, None] * np.exp(-0.5 * (turn / 40) ** 2))[..., None]
    drawn = replace(wall, endo_mm=wall.endo_mm + inward, epi_mm=wall.epi_mm + inward)
    found = flow_study.fit_flow(flow_study.gather(image, drawn, "rubidium"))
    (flag,) = [flag for flag in found.flags if flag.code == "wall_partly_in_blood"]
    left_out = [k + 1 for k, one in enumerate(found.segments) if one.value is None]
    assert {4, 10} <= set(left_out) <= {3, 4, 5, 9, 10, 11, 15}
    reasons = [one.reason for one in found.segments if one.value is None]
    assert flag.evidence["segments"] == reasons.count("the wall is drawn in blood here") > 0
    well = flow_study.fit_flow(data)
    assert "wall_partly_in_blood" not in [flag.code for flag in well.flags]
    assert found.whole.value == pytest.approx(well.whole.value, rel=0.2)


def test_a_bound_on_washout_frees_it_from_the_whole_heart(image: Volume, wall: Surfaces) -> None:
    low, high = 0.05, 0.12
    settings = flow_study.settings_of(None, choices=[f"bound-k2={low}:{high}"])
    found = flow_study.measure_flow(image, wall, "rubidium", settings=settings)
    k2 = found.parameters["k2"].value
    held = k2[np.isfinite(k2)]
    assert low - 1e-9 <= held.min() < held.max() <= high + 1e-9
    assert not any("one distribution volume" in said for said in found.settings)


def test_blood_is_read_elsewhere_and_said_where_no_pool_is_found(
    image: Volume, wall: Surfaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blood_pool, "_CORE_LEAST_SHARE", 2.0)
    found = flow_study.gather(image, wall, "rubidium")
    assert "blood_pool_not_found" in [flag.code for flag in found.flags]
    basal = flow_study.gather(image, wall, "rubidium", settings=flow_study.FlowSettings(input_region="basal"))
    np.testing.assert_array_equal(found.raw.left.means, basal.raw.left.means)
    assert "blood_pool_not_found" not in [flag.code for flag in basal.flags]


def test_a_heart_that_breathes_far_is_doubted(image: Volume, wall: Surfaces, data: flow_study.FlowData) -> None:
    breathing_mm = 10.0
    blurred = gaussian_filter1d(np.asarray(image.array), breathing_mm / image.grid.spacing_mm[2], axis=3)
    found = flow_study.gather(image.like(blurred.astype(np.float32), "breathing"), wall, "rubidium")
    (flag,) = [flag for flag in found.flags if flag.code == "heart_breathes_far"]
    assert flag.severity == "warning"
    assert flag.evidence["breathing_sd_mm"] == pytest.approx(breathing_mm, abs=2.5)
    assert "heart_breathes_far" not in [flag.code for flag in data.flags]


def test_a_wall_drawn_in_blood_is_told_by_the_bolus(
    rest: DynamicScene, image: Volume, wall: Surfaces, data: flow_study.FlowData
) -> None:
    across = wall.epi_mm - wall.endo_mm
    inward = -5.0 * across / np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-6)
    drawn = replace(wall, endo_mm=wall.endo_mm + inward, epi_mm=wall.epi_mm + inward)
    found = flow_study.gather(image, drawn, "rubidium")
    (flag,) = [flag for flag in found.flags if flag.code == "wall_drawn_in_blood"]
    assert flag.severity == "error"
    assert flag.evidence["inside_mm"] == pytest.approx(5.0, abs=1.5)
    assert flow_study.fit_flow(found).whole.value == pytest.approx(truth(rest, data), rel=0.15)
    assert "wall_drawn_in_blood" not in [flag.code for flag in data.flags]


def test_a_tracer_without_a_model_and_a_series_without_late_frames_are_refused(image: Volume) -> None:
    with pytest.raises(InvalidValue, match="F-18 FDG"):
        flow_study.flow_tracer("F-18 FDG")
    with pytest.raises(InvalidValue, match="which tracer"):
        flow_study.flow_tracer(None)
    assert image.frame_start_s is not None
    assert image.frame_duration_s is not None
    short = Volume(
        np.asarray(image.array)[:8], image.grid, "kBq/mL", image.made_by, "time", None,
        image.frame_start_s[:8], image.frame_duration_s[:8],
    )  # fmt: skip
    with pytest.raises(InvalidValue, match="muscle is seen from 2 min"):
        flow_study.late_image(short, "rubidium")


def test_the_heart_is_found_with_water_which_leaves_muscle_as_fast_as_blood() -> None:
    patient = draw_patient(PATIENT, site=SITE)
    scene = dynamic_scene(patient, "rest", "water")
    image = scene.scan(rng=np.random.default_rng(0))
    ventricle, _ = flow_study.find_ventricle(image, "water")
    true = patient.frame("supine")
    assert np.linalg.norm(ventricle.frame.centre_mm - true.centre_mm) < 12
    assert ventricle.frame.angle_to_deg(true) < 15


def test_every_named_model_belongs_to_one_tracer_and_an_unknown_one_is_refused() -> None:
    names = [name for protocol in flow_study.PROTOCOLS.values() for name in protocol.models]
    assert len(names) == len(set(names)) == 19
    assert len({flow_study.model_named(name).name for name in names}) == len(names)
    with pytest.raises(InvalidValue, match="lortie"):
        flow_study.model_named("guesswork")


def test_a_model_of_another_tracer_is_refused(data: flow_study.FlowData) -> None:
    foreign = replace(data.settings, model=flow_study.model_named("ucla-plasma"))
    with pytest.raises(InvalidValue, match="no model of rubidium; those are lortie"):
        flow_study.fit_flow(replace(data, settings=foreign))


@pytest.fixture(scope="module")
def analysed() -> tuple[tuple[SeriesResult, ...], tuple[PairResult, ...], dict[str, DynamicScene]]:
    patient = draw_patient(PATIENT, site=SITE)
    scenes, series = {}, []
    for k, state in enumerate(("stress", "rest")):
        scene = dynamic_scene(patient, "stress" if state == "stress" else "rest", "rubidium")
        rng = np.random.default_rng(k)
        image = scene.scan(rng=rng, camera=PetCamera(), motion=MotionHabit().draw(scene.frames, rng=rng))
        scenes[state] = scene
        series.append(
            Series(
                name=f"{state}-dynamic",
                kind="DYNAMIC PET",
                image=image,
                state=Stated(state, "code"),
                tracer=Stated("Rb-82 chloride", "code"),
                acquisition={"began_after_first_s": 900.0 * (1 - k)},
            )
        )
    found = analyze_study(Study("key", tuple(series)), settings=Settings(rest_rate_pressure=9000.0))
    return found.series, found.pairs, scenes


def test_an_analysis_gives_flow_of_both_states_in_the_order_of_the_study(
    analysed: tuple[tuple[SeriesResult, ...], tuple[PairResult, ...], dict[str, DynamicScene]],
) -> None:
    results, _, scenes = analysed
    assert [one.series.name for one in results] == ["stress-dynamic", "rest-dynamic"]
    for one, state in zip(results, ("stress", "rest"), strict=True):
        assert one.heart is not None
        assert one.heart.flow is not None
        assert not one.not_done
        true = float((scenes[state].flow * one.heart.polar_map.weights("surface")).sum())
        quantity = one.heart.quantity("blood flow")
        assert quantity is not None
        assert quantity.value == pytest.approx(true, rel=0.2)
        assert set(one.heart.maps) >= {"flow", "flow_error", "uptake", "left_blood"}


def test_the_pair_has_reserve_capacity_and_work_at_rest(
    analysed: tuple[tuple[SeriesResult, ...], tuple[PairResult, ...], dict[str, DynamicScene]],
) -> None:
    results, pairs, _ = analysed
    (pair,) = pairs
    assert pair.reserve is not None
    flows = [one.heart.flow.whole.value for one in results if one.heart is not None and one.heart.flow is not None]
    assert pair.reserve.whole.value == pytest.approx((flows[0] or 0) / (flows[1] or 1))
    corrected = pair.reserve.corrected.value
    assert corrected == pytest.approx((pair.reserve.whole.value or 0) * 0.9)
    assert pair.reserve.capacity_share.sum() == pytest.approx(1.0)
    assert set(pair.maps) >= {"reserve", "capacity"}
    verdict = pair.quantity("flow reserve")
    assert verdict is not None
    assert "guideline" in verdict.limit


def test_reserve_of_two_models_is_refused(
    analysed: tuple[tuple[SeriesResult, ...], tuple[PairResult, ...], dict[str, DynamicScene]],
) -> None:
    flows = [one.heart.flow for one in analysed[0] if one.heart is not None and one.heart.flow is not None]
    with pytest.raises(InvalidValue, match="no reserve"):
        flow_pair.reserve_of(flows[0], replace(flows[1], model="another"))


def test_a_dynamic_series_without_a_tracer_says_so_and_stops_nothing(image: Volume) -> None:
    series = Series(name="dynamic", kind="DYNAMIC PET", image=image)
    found = analyze_study(Study("key", (series,)), settings=Settings())
    (result,) = found.series
    assert result.heart is None
    assert not found.pairs
    assert "which tracer" in result.not_done[0]
