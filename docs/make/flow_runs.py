"""Scans of virtual patients, and what the chain measures of them: what `validate_flow.py` and `calibrate_flow.py` run.

Everything returned is plain numbers, to be kept in a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myoscope import flow_study
from myoscope.core import FlowResult, MyoscopeError, Surfaces, Volume
from myoscope.correct.residual import residual_image, subtract_residual
from myoscope.quantify.flow.blur import outside_share
from myoscope.quantify.flow.wall_place import wall_curves
from myoscope.simulate.dynamic_pet import DynamicScene, FrameMotion, MotionHabit, dynamic_scene, pet_perfusion
from myoscope.simulate.flow_traits import transmural_flow
from myoscope.simulate.patient import VirtualPatient, draw_patient
from myoscope.simulate.pet_camera import PetCamera
from myoscope.simulate.sites import State

Array = NDArray[np.float64]
SITE, TRACER = "harbour", "rubidium"
MOVEMENT = 1.45
"""Times the usual movement: what makes the same-session CV of rest flow about 16 % without correction."""
LOUD = 2.5
"""Times the usual variance of noise, at which repeatability is told beside."""
STATES: tuple[State, ...] = ("rest", "stress")
BOUNDS = {"rest": (0.5, 1.3), "stress": (1.0, 3.5)}
"""Mean flows, mL/min/g, over which the patients are spread."""
VOLUNTEERS = {"rest": 0.72, "stress": 2.89}
EDGES = (0.3, 5.0)
OTHERS = {"ammonia": ("ucla", "ucla-plasma"), "water": ("iida",), "flurpiridaz": ("flurpiridaz",)}
"""Other tracers, and the models they are measured with here."""
MIDDLE_MM = (-2.0, 0.0, 2.0)
IMPLEMENTATIONS: Mapping[str, Mapping[str, Any]] = {
    "as the program does": {},
    "blood about the valve plane": {"input_region": "basal"},
    "blood of the cavity": {"input_region": "cavity"},
    "blood of the atrium": {"input_region": "atrium"},
    "blood by factors": {"input_region": "factors"},
    "frames weighted by duration": {"weighting": "duration"},
    "washout free everywhere": {"global_volume": False},
    "what lies beyond the wall counted as muscle": {"outside": False},
}
"""Ways to apply Lortie's model in which programs differ."""


def patient_of(seed: int) -> VirtualPatient:
    return draw_patient(seed, site=SITE)


def scene_of(patient: VirtualPatient, state: State, mean: float) -> DynamicScene:
    """The patient with this mean flow, in the pattern that the patient has."""
    flow = transmural_flow(pet_perfusion(patient), state)
    return dynamic_scene(patient, state, TRACER, flow=flow * mean / float(flow.mean()))


def as_row(found: FlowResult, scene: DynamicScene) -> dict[str, Any]:
    """Measured and true values of one scan, as plain numbers."""
    weight, truth = found.flow.weights("surface"), found.flow.like(scene.flow, "truth")

    def told(parts: Sequence[Any], true: Array) -> list[list[float | None]]:
        return [[one.value, one.low, one.high, float(t)] for one, t in zip(parts, true, strict=True)]

    return {
        "whole": told([found.whole], np.array([(scene.flow * weight).sum()])),
        "vessels": told(found.vessels, truth.vessel_means()),
        "segments": told(found.segments, truth.segment_means(17)),
        "doubted": [flag.code for flag in found.flags if flag.severity == "error"],
    }


def by_model(image: Volume, data: flow_study.FlowData) -> dict[str, float | None]:
    """Mean flow of the ventricle by every model of rubidium, each with its own uptake curve, washout fitted freely.

    Curves are read about the middle of the wall: models that count the whole sample as muscle were made for that, and
    not for the inner side where the chain reads.
    """
    tissue = wall_curves(image, data.place, data.shifts.displacement_mm, MIDDLE_MM)
    beside = data.raw.beside_right
    assert beside is not None
    outside = outside_share(
        data.place,
        data.blur,
        MIDDLE_MM,
        resolution_fwhm_mm=flow_study.PROTOCOLS[TRACER].resolution_fwhm_mm,
        beside_right=beside.reshape(data.place.thickness_mm.shape),
    )
    regions, _ = flow_study.regions_of(data)
    curves = replace(data.raw, tissue=tissue, outside=np.minimum(outside, 0.9)).averaged(regions[-1:])
    out: dict[str, float | None] = {}
    for name, make in flow_study.PROTOCOLS[TRACER].models.items():
        found = make().estimate(curves)
        out[name] = None if found.failed[0] else float(found.flow[0])
    return out


def measure(image: Volume, wall: Surfaces, *, motion: bool) -> tuple[FlowResult, flow_study.FlowData]:
    data = flow_study.gather(image, wall, TRACER, settings=flow_study.FlowSettings(motion=motion))
    return flow_study.fit_flow(data), data


def one_patient(seed: int, index: int, n: int, *, compare: bool = True, noise: float = 1.0) -> dict[str, Any]:
    """Rest and stress twice each; ``compare`` adds the other models, and flow without correction of movement.

    ``noise`` is the variance of the camera's noise in times of the usual one.
    """
    patient, rows = patient_of(seed), []
    camera = PetCamera(noise_kBq_s_mL=noise * PetCamera().noise_kBq_s_mL)
    for state in STATES:
        low, high = BOUNDS[state]
        scene = scene_of(patient, state, low + (high - low) * (index + 0.5) / n)
        for again in range(2):
            rng = np.random.default_rng([seed, again, state == "stress"])
            habit = MotionHabit().times(MOVEMENT)
            image = scene.scan(rng=rng, camera=camera, motion=habit.draw(scene.frames, rng=rng))
            try:
                wall = flow_study.find_wall(image, TRACER)
                found, data = measure(image, wall, motion=True)
                row = {"state": state, "again": again, **as_row(found, scene)}
                if compare:
                    row["models"] = by_model(image, data)
                    row["uncorrected"] = as_row(measure(image, wall, motion=False)[0], scene)["whole"]
            except MyoscopeError as error:
                row = {"state": state, "again": again, "failed": str(error)}
            rows.append(row)
    return {"seed": seed, "scans": rows}


def implementations(seed: int, index: int, n: int) -> dict[str, Any]:
    """Rest and stress of one patient, mean flow of the ventricle by Lortie's model applied in several ways."""
    patient = patient_of(seed)
    rows: list[dict[str, Any]] = []
    for state in STATES:
        low, high = BOUNDS[state]
        scene = scene_of(patient, state, low + (high - low) * (index + 0.5) / n)
        rng = np.random.default_rng([seed, 7, state == "stress"])
        image = scene.scan(rng=rng, camera=PetCamera(), motion=MotionHabit().draw(scene.frames, rng=rng))
        try:
            wall = flow_study.find_wall(image, TRACER)
            flows: dict[str, float | None] = {}
            for name, choices in IMPLEMENTATIONS.items():
                settings = flow_study.FlowSettings(**choices)
                data = flow_study.gather(image, wall, TRACER, settings=settings)
                flows[name] = flow_study.fit_flow(data).whole.value
            rows.append({"state": state, "flows": flows})
        except MyoscopeError as error:
            rows.append({"state": state, "failed": str(error)})
    return {"seed": seed, "scans": rows}


def at_mean(seed: int, means: Sequence[tuple[State, float]]) -> dict[str, Any]:
    """One scan of a patient at each of these mean flows, with usual movement."""
    patient, rows = patient_of(seed), []
    for state, mean in means:
        scene = scene_of(patient, state, mean)
        rng = np.random.default_rng([seed, round(100 * mean)])
        image = scene.scan(rng=rng, camera=PetCamera(), motion=MotionHabit().draw(scene.frames, rng=rng))
        try:
            found, _ = measure(image, flow_study.find_wall(image, TRACER), motion=True)
            rows.append({"state": state, "mean": mean, **as_row(found, scene)})
        except MyoscopeError as error:
            rows.append({"state": state, "mean": mean, "failed": str(error)})
    return {"seed": seed, "scans": rows}


def imposed(seed: int) -> dict[str, Any]:
    """10 mm toward septum and apex over three frames of the bolus, without noise: errors against the still scan."""
    scene = dynamic_scene(patient_of(seed), "rest", TRACER)
    rng = np.random.default_rng(seed)
    still = scene.scan(rng=rng)
    wall = flow_study.find_wall(still, TRACER)
    direction = scene.heart.long_axis - scene.heart.lateral
    shift = np.zeros((len(scene.frames), 3))
    shift[3:6] = 10 * direction / np.linalg.norm(direction)
    moved = scene.scan(rng=rng, motion=FrameMotion(shift))
    named = {
        "still": measure(still, wall, motion=True)[0],
        "before": measure(moved, wall, motion=False)[0],
        "after": measure(moved, wall, motion=True)[0],
    }
    return {
        "seed": seed,
        **{name: [v.value for v in (found.whole, *found.vessels)] for name, found in named.items()},
    }


def other_tracers(seed: int) -> dict[str, Any]:
    """Rest and stress of one patient with every other PET tracer and its usual models, usual noise and movement."""
    patient, rows = patient_of(seed), []
    for tracer, models_of_it in OTHERS.items():
        for state in STATES:
            scene = dynamic_scene(patient, state, tracer)
            rng = np.random.default_rng([seed, state == "stress"])
            image = scene.scan(rng=rng, camera=PetCamera(), motion=MotionHabit().draw(scene.frames, rng=rng))
            try:
                data = flow_study.gather(image, flow_study.find_wall(image, tracer), tracer)
            except MyoscopeError as error:
                rows += [{"model": m, "tracer": tracer, "state": state, "failed": str(error)} for m in models_of_it]
                continue
            for name in models_of_it:
                settings = replace(data.settings, model=flow_study.model_named(name))
                found = flow_study.fit_flow(replace(data, settings=settings))
                rows.append({"model": name, "tracer": tracer, "state": state, **as_row(found, scene)})
    return {"seed": seed, "scans": rows}


def left_over(seed: int) -> dict[str, Any]:
    """A second injection of nothing an hour after flurpiridaz: what is there before and after subtraction."""
    scene = dynamic_scene(patient_of(seed), "rest", "flurpiridaz")
    seconds = 3600.0
    rng = np.random.default_rng(seed)
    first = scene.scan(rng=rng, camera=PetCamera())
    left = scene.left_at(seconds)
    second = first.like(np.broadcast_to(left, first.array.shape).astype(np.float32), "what the first injection left")
    after = subtract_residual(second, residual_image(first), nuclide="F-18", seconds_between=seconds)
    exact_first = scene.scan(rng=rng)
    exact = subtract_residual(
        second, residual_image(exact_first, last_s=float(scene.frames.duration_s[-1])), nuclide="F-18",
        seconds_between=seconds,
    )  # fmt: skip
    heart = np.asarray(left) > 0.5 * float(np.asarray(left).max())
    level = float(np.asarray(left)[heart].mean())
    return {
        "seed": seed,
        "noisy_percent": 100 * float(np.asarray(after.array)[0][heart].mean()) / level,
        "exact_percent": 100 * float(np.abs(np.asarray(exact.array)).max()) / level,
    }


def usable(scan: dict[str, Any]) -> bool:
    """Whether the program gave a flow and did not itself warn that it is doubtful."""
    return "failed" not in scan and scan["whole"][0][0] is not None and not scan["doubted"]
