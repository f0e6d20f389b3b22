"""One virtual patient's dynamic PET study, from seed to files and from seed to a row of a registry. Read top to bottom.

draw -> rest and stress scans with one tracer, one after the other on one day -> write a DICOM study with the truth
beside it (`simulate_pet_patient`), or measure blood flow in the images and keep its polar maps (`image_pet_study`).
What measures flow here knows the images only, never the truth.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

import numpy as np

from myoscope import flow_pair, flow_study, io
from myoscope.core import VESSELS, Column, FlowResult, InvalidValue, MyoscopeError, Surfaces, Volume, territory_map
from myoscope.core.geometry import FloatArray
from myoscope.physics.decay import decay_constant_per_s
from myoscope.simulate.deficit import SEGMENT_OF_PLACE, SHARE_OF_WALL
from myoscope.simulate.dynamic_pet import DynamicScene, MotionHabit, dynamic_scene, pet_perfusion
from myoscope.simulate.flow_traits import has_traits, trait_factors, transmural_flow
from myoscope.simulate.gated_pet import gated_scan
from myoscope.simulate.patient import Disease, VirtualPatient, draw_patient
from myoscope.simulate.person import Sex
from myoscope.simulate.pet_camera import PetCamera
from myoscope.simulate.pet_tracers import PetTracerName, pet_tracer
from myoscope.simulate.population_columns import POPULATION_COLUMNS, Value
from myoscope.simulate.referral import Population
from myoscope.simulate.sites import Site, State, site_named
from myoscope.virtual import COMMENT, MANUFACTURER
from myoscope.virtual_rows import StudyRow

Progress = Callable[[str, float], None]
"""Called with what is being done and the fraction that is behind us, 0 to 1."""

TRACER_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "rubidium": "Rb-82 chloride",
        "ammonia": "N-13 ammonia",
        "water": "O-15 water",
        "flurpiridaz": "F-18 flurpiridaz",
    }
)
"""Tracers as DICOM files say them."""
CAMERA = "virtual PET"
LATE_IMAGES: Mapping[str, str] = MappingProxyType({f"{state}_late": state for state in ("stress", "rest")})
"""Maps of a PET registry that show relative perfusion, and the state of each."""
MINUTES_BETWEEN: Mapping[str, float] = MappingProxyType(
    {"rubidium": 15.0, "ammonia": 60.0, "water": 15.0, "flurpiridaz": 60.0}
)
"""From the start of the rest scan to that of the stress scan."""
_FIRST_CLOCK_S = 9 * 3600.0
_RESERVE_FLOOR = 0.02  # mL/min/g; no ratio is taken to less


@dataclass(frozen=True, slots=True)
class PetPatientSettings:
    """One virtual PET study: whose, and with which tracer and camera.

    The site says where the patient comes from; its camera for single photons plays no part. ``sex`` None leaves it to
    the site's population. ``gated`` adds the late frames of each state once more, sorted by the beat.
    """

    seed: int
    tracer: PetTracerName = "rubidium"
    site: Site | str = "harbour"
    index: int = 0
    population: Population = "all"
    disease: Disease = "any"
    sex: Sex | None = None
    camera: PetCamera = field(default_factory=PetCamera)
    habit: MotionHabit = field(default_factory=MotionHabit)
    gated: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.tracer not in get_args(PetTracerName):
            raise InvalidValue(f"a PET tracer is {', '.join(get_args(PetTracerName))}, not {self.tracer!r}")

    def patient(self) -> VirtualPatient:
        """The patient whom these settings mean."""
        site = site_named(self.site) if isinstance(self.site, str) else self.site
        return draw_patient(
            self.seed, site=site, population=self.population, index=self.index, disease=self.disease, sex=self.sex
        )


@dataclass(frozen=True, eq=False, slots=True)
class PetScan:
    """One state: the image as the camera gives it, gated too where asked for, and the scene that it shows."""

    scene: DynamicScene
    image: Volume
    displacement_mm: FloatArray
    gated: Volume | None = None


def scan_pet(
    patient: VirtualPatient,
    tracer: PetTracerName,
    *,
    camera: PetCamera | None = None,
    habit: MotionHabit | None = None,
    again: int = 0,
    gated: bool = False,
) -> dict[str, PetScan]:
    """Rest, then stress, with what rest has left; ``again`` counts repetitions, each with its own noise and motion.

    Gated images are of the late frames, without motion and without what an injection before has left.
    """
    camera, habit = camera or PetCamera(), habit or MotionHabit()
    scans: dict[str, PetScan] = {}
    left_over = None
    for state in ("rest", "stress"):
        scene = dynamic_scene(patient, state, tracer, camera=camera)
        purpose = f"pet scan {tracer} {state}" if again == 0 else f"pet scan {tracer} {state} {again}"
        rng = patient.rng(purpose)
        motion = habit.draw(scene.frames, rng=rng)
        image = scene.scan(rng=rng, camera=camera, motion=motion, left_over=left_over)
        beats = None
        if gated:
            late_s = flow_study.protocol_of(tracer).late_from_s
            rng = patient.rng(f"{purpose} gated")
            beats = gated_scan(patient, scene, from_s=late_s, camera=camera, rng=rng)
        scans[state] = PetScan(scene, image, motion.displacement_mm, beats)
        left_over = scene.left_at(60 * MINUTES_BETWEEN[tracer])
    return scans


def simulate_pet_patient(
    settings: PetPatientSettings, out: Path, *, progress: Progress | None = None
) -> VirtualPatient:
    """Simulate one study into the folder ``out``: DICOM in ``dicom``, the truth in ``truth.json`` and ``truth``.

    The folder appears whole or not at all; same settings, same bytes.

    Raises
    ------
    OutputError
        ``out`` exists (and may not be replaced) or cannot be written.
    InvalidValue
        No such site, population, disease or tracer.
    """
    tell = progress or (lambda step, fraction: None)
    io.refuse_existing(out, replace=settings.overwrite, sign=io.TRUTH_FILE)
    tell("drawing the patient", 0.0)
    patient = settings.patient()
    with io.atomic_folder(out, replace=settings.overwrite, sign=io.TRUTH_FILE) as folder:
        (folder / "dicom").mkdir()
        (folder / io.TRUTH_FOLDER).mkdir()
        tell("rest and stress: scanning", 0.1)
        scans = scan_pet(patient, settings.tracer, camera=settings.camera, habit=settings.habit, gated=settings.gated)
        for number, (state, scan) in enumerate(scans.items()):
            tell(f"{state}: writing", 0.4 + 0.25 * number)
            _write_scan(patient, settings, state, scan, scan.image, folder / "dicom", number)
            if scan.gated is not None:
                _write_scan(patient, settings, state, scan, scan.gated, folder / "dicom", number)
        tell("writing the truth", 0.95)
        truth = pet_truth(patient, settings.tracer, scans)
        text = json.dumps(truth, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        (folder / io.TRUTH_FILE).write_text(text, encoding="utf-8", newline="\n")
        maps = {f"truth_{state}_flow": scan.scene.flow for state, scan in scans.items()}
        with (folder / io.TRUTH_FOLDER / "polar_maps.npz").open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **maps)
    tell("done", 1.0)
    return patient


def _write_scan(
    patient: VirtualPatient,
    settings: PetPatientSettings,
    state: str,
    scan: PetScan,
    image: Volume,
    folder: Path,
    number: int,
) -> None:
    """One image of a state, dynamic or gated, as a series of its own."""
    person, agent = patient.facts.person, scan.scene.tracer
    kind = "gated" if image.frame_axis == "gate" else "dynamic"
    io.write_pt(
        image,
        folder / f"{state}-{kind}",
        io.NmDescription(
            patient_name=f"Synthetic^{patient.identifier}",
            patient_id=f"SYNTHETIC-{patient.identifier}",
            sex=person.sex,
            state=state,
            position="supine",
            gantry="head-first",
            corrected=True,
            tracer=TRACER_WORDS[agent.name],
            dose_MBq=agent.dose_MBq[state],
            camera=CAMERA,
            manufacturer=MANUFACTURER,
            study_description="Virtual myocardial blood flow study",
            series_description=f"{state} {kind} {agent.name}, synthetic",
            series_label=f"{state} {kind}",
            place_label="supine",
            series_number=number + (1 if kind == "dynamic" else 11),
            uid_seed=f"myoscope virtual pet {patient.identifier} {settings}",
            comments=COMMENT,
        ),
        half_life_s=math.log(2) / decay_constant_per_s(agent.nuclide),
        clock_s=_FIRST_CLOCK_S + 60 * MINUTES_BETWEEN[agent.name] * number,
    )


def pet_truth(patient: VirtualPatient, tracer: str, scans: Mapping[str, PetScan]) -> dict[str, Any]:
    """Everything that is true of this study, as plain numbers and words (JSON), without the maps."""
    flows = {state: _means(scan.scene.flow) for state, scan in scans.items()}
    person = patient.facts.person
    rest_factor, stress_factor = trait_factors(person)
    return {
        "synthetic": "simulated; not a patient",
        "seed": patient.seed,
        "index": patient.index,
        "site": patient.site.name,
        "tracer": tracer,
        "minutes_between_scans": MINUTES_BETWEEN[tracer],
        "flow_mL_min_g": flows,
        "reserve": {name: flows["stress"][name] / max(flows["rest"][name], _RESERVE_FLOOR) for name in flows["rest"]},
        "rest_rate_pressure": person.rest_heart_rate_bpm * person.rest_systolic_mmHg,
        "traits": {name: bool(present) for name, present in has_traits(person).items()},
        "trait_factors": {"rest": rest_factor, "stress": stress_factor},
        "distribution_volume_mL_mL": {state: scan.scene.muscle_volume for state, scan in scans.items()},
        "function": {state: _function(patient, scan.scene.state) for state, scan in scans.items()},
        "displacement_mm": {state: scan.displacement_mm.tolist() for state, scan in scans.items()},
        "frame_start_s": {state: scan.scene.frames.start_s.tolist() for state, scan in scans.items()},
        "person": {name: value for name, value in patient.row().items() if _plain(value)},
    }


def _function(patient: VirtualPatient, state: State) -> dict[str, float]:
    beating = patient.beating(state, "supine")
    return {"edv_mL": beating.edv_mL, "esv_mL": beating.esv_mL, "ef_percent": beating.ef_percent}


def _plain(value: Value) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def true_reserve(patient: VirtualPatient) -> dict[str, float]:
    """Stress flow over rest flow of the ventricle and each territory, without a scan."""
    flow = pet_perfusion(patient)
    stress, rest = (_means(transmural_flow(flow, state)) for state in ("stress", "rest"))
    return {name: stress[name] / max(rest[name], _RESERVE_FLOOR) for name in stress}


def _means(flow: FloatArray) -> dict[str, float]:
    """Mean flow of the ventricle and its territories, by the areas of a mean wall."""
    weight, territory = SHARE_OF_WALL, territory_map(SEGMENT_OF_PLACE)
    named = {"left ventricle": float((flow * weight).sum() / weight.sum())}
    for n, vessel in enumerate(VESSELS):
        here = weight * (territory == n)
        named[vessel] = float((flow * here).sum() / here.sum())
    return named


_WHERE = ("left ventricle", *VESSELS)
_SHORT: dict[str, str] = {"left ventricle": ""} | {vessel: f"_{vessel.lower()}" for vessel in VESSELS}
_STATES = ("stress", "rest")

PET_COLUMNS: tuple[Column, ...] = (
    Column("camera", "camera, as DICOM files would say it"),
    Column("tracer", "what was injected"),
    Column("rest_rate_pressure", "heart rate (bpm) times systolic pressure (mmHg) at rest"),
    *(Column(f"{state}_dose_MBq", f"activity injected for {state}", "MBq") for state in _STATES),
    *(
        Column(f"{origin}{state}_flow{_SHORT[where]}_mL_min_g", f"{said} blood flow, {state}, {where}", "mL/min/g")
        for origin, said in (("truth_", "true"), ("", "measured"))
        for state in _STATES
        for where in _WHERE
    ),
    *(
        Column(f"{state}_flow_{end}_mL_min_g", f"{word} end of the 95 % interval of measured flow, {state}", "mL/min/g")
        for state in _STATES
        for end, word in (("low", "lower"), ("high", "upper"))
    ),
    *(
        Column(f"{origin}reserve{_SHORT[where]}", f"{said} flow reserve, {where}")
        for origin, said in (("truth_", "true"), ("", "measured"))
        for where in _WHERE
    ),
    Column("severely_reduced_percent", "share of the wall whose flow capacity is severely reduced", "%"),
    *(
        Column(f"{state}_motion_mm", f"largest displacement of the heart that was found, {state}", "mm")
        for state in _STATES
    ),
    *(Column(f"{state}_flow_found", f"whether flow was measured in {state}, or why not") for state in _STATES),
)
"""What a PET study adds to a patient's row."""


def pet_study_columns() -> tuple[Column, ...]:
    """Every column of a PET registry, in order."""
    return (*POPULATION_COLUMNS, *PET_COLUMNS)


def pet_study_maps() -> tuple[io.MapKind, ...]:
    """Every map of a PET registry, in order."""
    kinds = [io.MapKind(f"{state}_flow", f"measured blood flow, {state}", "mL/min/g") for state in _STATES]
    kinds += [io.MapKind(f"{state}_flow_error", f"its standard error, {state}", "mL/min/g") for state in _STATES]
    kinds.append(io.MapKind("reserve", "measured stress flow over rest flow", "1"))
    kinds += [
        io.MapKind(name, f"activity of the wall in late frames, {state}", "kBq/mL")
        for name, state in LATE_IMAGES.items()
    ]
    kinds += [
        io.MapKind(f"truth_{state}_flow", f"true blood flow of the wall, {state}", "mL/min/g") for state in _STATES
    ]
    return tuple(kinds)


def image_pet_study(
    seed: int,
    site: Site,
    population: Population,
    index: int,
    *,
    tracer: PetTracerName = "rubidium",
    sex: Sex | None = None,
) -> StudyRow:
    """Draw, scan and measure one patient for a registry.

    Where flow could not be measured its maps are missing and ``<state>_flow_found`` says why.
    """
    settings = PetPatientSettings(seed, tracer, site, index, population, sex=sex)
    patient, agent = settings.patient(), pet_tracer(tracer)
    person = patient.facts.person
    values: dict[str, Value] = {**patient.row(), **dict.fromkeys((c.name for c in PET_COLUMNS), np.nan)}
    values |= {
        "camera": f"{MANUFACTURER} {CAMERA}",
        "tracer": tracer,
        "rest_rate_pressure": person.rest_heart_rate_bpm * person.rest_systolic_mmHg,
        **{f"{state}_dose_MBq": agent.dose_MBq[state] for state in _STATES},
    }
    scans = scan_pet(patient, tracer)
    truth = {state: _means(scan.scene.flow) for state, scan in scans.items()}
    maps = {f"truth_{state}_flow": scan.scene.flow for state, scan in scans.items()}
    for where in _WHERE:
        for state in _STATES:
            values[f"truth_{state}_flow{_SHORT[where]}_mL_min_g"] = truth[state][where]
        ratio = truth["stress"][where] / max(truth["rest"][where], _RESERVE_FLOOR)
        values[f"truth_reserve{_SHORT[where]}"] = ratio
    found: dict[str, FlowResult] = {}
    walls: dict[str, Surfaces] = {}
    for state, scan in scans.items():
        try:
            wall = flow_study.find_wall(scan.image, tracer)
            walls[state] = wall
            image = _without_rest(scan.image, state, scans, walls, tracer)
            data = flow_study.gather(image, wall, tracer)
            flow = flow_study.fit_flow(data)
        except (MyoscopeError, ArithmeticError, ValueError, RuntimeError, LookupError) as error:
            # One patient of thousands whose heart is not found must not stop the others.
            values[f"{state}_flow_found"] = f"not found: {error}"
            continue
        found[state] = flow
        values[f"{state}_flow_found"] = "found"
        values[f"{state}_motion_mm"] = float(np.linalg.norm(flow.shifts_mm, axis=1).max())
        values[f"{state}_flow_low_mL_min_g"] = _number(flow.whole.low)
        values[f"{state}_flow_high_mL_min_g"] = _number(flow.whole.high)
        for where, one in zip(_WHERE, (flow.whole, *flow.vessels), strict=True):
            values[f"{state}_flow{_SHORT[where]}_mL_min_g"] = _number(one.value)
        maps[f"{state}_flow"], maps[f"{state}_flow_error"] = flow.flow.value, flow.error.value
        maps[f"{state}_late"] = data.static.value
    if len(found) == len(_STATES):
        reserve = flow_pair.reserve_of(found["stress"], found["rest"])
        maps["reserve"] = reserve.reserve.value
        for where, one in zip(_WHERE, (reserve.whole, *reserve.vessels), strict=True):
            values[f"reserve{_SHORT[where]}"] = _number(one.value)
        values["severely_reduced_percent"] = 100 * float(reserve.capacity_share[-1])
    known = {column.name for column in pet_study_columns()}
    if set(values) != known:
        raise AssertionError(f"columns and values differ: {sorted(set(values) ^ known)}")
    return StudyRow(patient.identifier, f"{patient.identifier}-pet", values, maps)


def _without_rest(
    image: Volume, state: str, scans: Mapping[str, PetScan], walls: Mapping[str, Surfaces], tracer: PetTracerName
) -> Volume:
    """A stress image less what rest left in it, as an analysis of the same files takes it off."""
    seconds = 60.0 * MINUTES_BETWEEN[tracer]
    if state != "stress" or "rest" not in walls or flow_pair.left_by_first(tracer, seconds) == 0:
        return image
    return flow_pair.without_first(
        image,
        scans["rest"].image,
        tracer,
        seconds_between=seconds,
        second_wall=walls["stress"],
        first_wall=walls["rest"],
    )


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
