"""Movement of virtual patients during the acquisition: how often it is found, and what is left once it is undone.

    python docs/make/validate_movement.py [--seed 21] [--patients 20]

writes ``docs/validation/movement.md``. One core, about ten minutes. The seed is not the one by which the thresholds of
`myoscope.correct.find_movement` were chosen (11).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from myoscope.core import EnergyWindow, Projections, Surfaces
from myoscope.correct import Movement, find_movement, moved_back
from myoscope.heart import sample_wall
from myoscope.physics.noise import poisson_counts
from myoscope.reconstruct import ReconstructionSettings, reconstruct, reprojector
from myoscope.simulate.acquire import Exposure, expose
from myoscope.simulate.cameras import CAMERAS
from myoscope.simulate.motion import AT_REST, Motion, Shift
from myoscope.simulate.patient import draw_patient

Array = NDArray[np.float64]
PAGE = Path(__file__).parents[1] / "validation" / "movement.md"
SITE, CAMERA = "north", CAMERAS["conventional"]
PIXEL_MM = CAMERA.pixel_mm
FINDER_ERROR_MM = 2.5  # standard deviation along each axis, by which the wall is misplaced
IMAGE = ReconstructionSettings(method="osem", response="off")


@dataclass(frozen=True, eq=False)
class Patient:
    """What the camera expects per second of a breathing patient who does not move, and where the heart is."""

    seen: Exposure
    view_s: float
    wall: Surfaces
    breathing_mm: float
    rng: np.random.Generator


@dataclass(frozen=True, eq=False)
class Outcome:
    """One acquisition: what was found, the error of the displacements (rms along v and u), and of the polar map."""

    found: Movement
    right_stop: bool
    before_mm: Array
    after_mm: Array
    map_before_percent: float
    map_after_percent: float


def draw(seed: int, index: int) -> Patient:
    patient = draw_patient(seed, site=SITE, index=index)
    look = patient.looks()[0]
    view_s = look.duration_s / CAMERA.n_stops - CAMERA.step_s
    moving = patient.motion(look)
    still = replace(moving, creep_mm=0.0, drift_mm_per_min=(0.0, 0.0, 0.0), shifts=())
    seen = expose(patient.scene(look, n_phases=1), CAMERA, view_duration_s=view_s, motion=still)
    beat = patient.beating(look.state, look.position).surfaces
    frame = patient.frame(look.position)
    wall = Surfaces(beat.endo_mm.mean(axis=0), beat.epi_mm.mean(axis=0), frame, beat.valve_point_mm, beat.valve_normal)
    return Patient(seen, view_s, wall, moving.breathing_si_mm, np.random.default_rng([seed, index]))


def movements(stop: int, stop_s: float) -> Mapping[str, Motion]:
    """Movements that begin when the camera arrives at a stop, by what they are called in the table."""
    at = stop * stop_s - 1.0

    def step(x: float, y: float, z: float) -> Motion:
        return Motion(shifts=(Shift(at, (x, y, z)),))

    return {
        "none": AT_REST,
        "12.8 mm along the body": step(0, 0, -12.8),
        "6.4 mm along the body": step(0, 0, 6.4),
        "12.8 mm to the left": step(12.8, 0, 0),
        "6.4 mm to the left": step(6.4, 0, 0),
        "12.8 mm to the back": step(0, 12.8, 0),
        "creep of 12 mm": Motion(creep_mm=12.0, creep_time_s=250.0),
        "creep of 6 mm": Motion(creep_mm=6.0, creep_time_s=250.0),
    }


def place_mm(motion: Motion, view_s: float) -> tuple[Array, Array]:
    """Where heart and body are in every view about their mean, (view, 2) along v and u."""
    start = np.arange(CAMERA.n_stops) * (view_s + CAMERA.step_s)
    time = start[:, None] + (np.arange(8) + 0.5) / 8 * view_s
    phi = np.radians(CAMERA.angle_deg)
    shown = []
    for course in (motion.displacement_mm(time), motion.patient_displacement_mm(time)):
        at = course.mean(axis=1)
        at = (at - at.mean(axis=0))[CAMERA.stop]
        shown.append(np.stack([-at[:, 2], -np.cos(phi) * at[:, 0] + np.sin(phi) * at[:, 1]], axis=1))
    return shown[0], shown[1]


def shifted(views: NDArray[np.float32], by_mm: Array) -> Array:
    n_v, n_u = views.shape[-2:]
    pixels = by_mm / PIXEL_MM
    turn = np.fft.fftfreq(n_v)[None, :, None] * pixels[:, 0, None, None]
    turn = turn + np.fft.rfftfreq(n_u)[None, None, :] * pixels[:, 1, None, None]
    moved: Array = np.fft.irfft2(np.fft.rfft2(views) * np.exp(-2j * np.pi * turn), s=(n_v, n_u))
    return moved


def acquired(patient: Patient, motion: Motion) -> tuple[Projections, Array]:
    heart_mm, body_mm = place_mm(motion, patient.view_s)
    expected = shifted(patient.seen.heart[0], heart_mm) + shifted(patient.seen.rest[0], body_mm)
    counts = poisson_counts(np.maximum(expected, 0)[None, None] * patient.view_s, rng=patient.rng)
    projections = Projections(
        counts,
        CAMERA.angle_deg,
        patient.seen.radius_mm,
        (PIXEL_MM, PIXEL_MM),
        (EnergyWindow("photopeak", 126, 154),),
        np.full(CAMERA.n_views, patient.view_s),
        collimator=CAMERA.collimator,
    )
    return projections, heart_mm


def unexplained_mm(displacement_mm: Array) -> Array:
    """Root mean square along v and u of what is not a displacement of the whole patient, (2,)."""
    phi = np.radians(CAMERA.angle_deg)
    shows = np.zeros((phi.size, 2, 3))
    shows[:, 0, 2], shows[:, 1, 0], shows[:, 1, 1] = -1, -np.cos(phi), np.sin(phi)
    rows = shows.reshape(-1, 3)
    whole = np.linalg.lstsq(rows, displacement_mm.ravel(), rcond=None)[0]
    left = (displacement_mm.ravel() - rows @ whole).reshape(-1, 2)
    rms: Array = np.sqrt((left**2).mean(axis=0))
    return rms


def wall_map(projections: Projections, wall: Surfaces) -> Array:
    value = sample_wall(reconstruct(projections, settings=IMAGE), wall, method="surface").value
    relative: Array = 100 * value / value.mean()
    return relative


def judge(patient: Patient, motion: Motion, stop: int, still_map: Array | None) -> tuple[Outcome, Array]:
    projections, true_mm = acquired(patient, motion)
    off = patient.rng.normal(0, FINDER_ERROR_MM, 3)
    misplaced = replace(patient.wall, endo_mm=patient.wall.endo_mm + off, epi_mm=patient.wall.epi_mm + off)
    found = find_movement(projections, misplaced, reproject=reprojector(projections))
    before = wall_map(projections, patient.wall)
    after = wall_map(moved_back(projections, found), patient.wall) if found.to_be_applied else before
    reference = before if still_map is None else still_map
    right = any(step.view in (stop, stop + CAMERA.n_stops) for step in found.steps)
    outcome = Outcome(
        found,
        right,
        unexplained_mm(true_mm),
        unexplained_mm(found.displacement_mm - true_mm),
        float(np.std(before - reference)),
        float(np.std(after - reference)),
    )
    return outcome, before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=21)
    parser.add_argument("--patients", type=int, default=20)
    chosen = parser.parse_args()
    results: dict[str, list[Outcome]] = {}
    breathing, repeat = [], []
    for index in range(chosen.patients):
        patient = draw(chosen.seed, index)
        breathing.append(patient.breathing_mm)
        stop = 6 + index % 18
        still: Array | None = None
        for name, motion in movements(stop, patient.view_s + CAMERA.step_s).items():
            outcome, seen = judge(patient, motion, stop, still)
            results.setdefault(name, []).append(outcome)
            if still is None:
                still = seen
                again, _ = judge(patient, motion, stop, still)
                results[name].append(again)
                repeat.append(again.map_before_percent)
        print(f"{index + 1} of {chosen.patients}", flush=True)
    PAGE.write_text(page(chosen, results, np.array(breathing), float(np.mean(repeat))), encoding="utf-8")


def page(chosen: argparse.Namespace, results: Mapping[str, list[Outcome]], breathing: Array, repeat: float) -> str:
    rows = []
    for name, outcomes in results.items():
        n = len(outcomes)
        before, after = (np.mean([getattr(o, f"{when}_mm") for o in outcomes], axis=0) for when in ("before", "after"))
        maps = [np.mean([getattr(o, f"map_{when}_percent") for o in outcomes]) for when in ("before", "after")]
        flagged = sum(o.found.to_be_applied for o in outcomes)
        what = sum((o.found.creep is not None) if "creep" in name else o.right_stop for o in outcomes)
        told = "" if name == "none" else f"{what} of {n}"
        changed = "" if name == "none" else f"{maps[0]:.1f} to {maps[1]:.1f} %"
        rows.append(
            f"| {name} | {flagged} of {n} | {told} | {before[0]:.1f} and {before[1]:.1f} mm | "
            f"{after[0]:.1f} and {after[1]:.1f} mm | {changed} |"
        )
    low, middle, high = np.percentile(breathing, [0, 50, 100])
    return f"""\
# Movement

`python docs/make/validate_movement.py --seed {chosen.seed} --patients {chosen.patients}`. Virtual patients of the site
{SITE} (conventional camera of two heads, {CAMERA.n_views} views), n = {chosen.patients},
breathing {low:.0f} to {high:.0f} mm (median {middle:.0f}); Poisson noise, scatter and attenuation;
the wall was misplaced by {FINDER_ERROR_MM} mm (SD along each axis), as a finder does. Every patient made each movement
once, at a stop of its own; without movement twice. The number of heads was not told. Movements were put into the
projections, as the simulation does for cameras that turn. Nothing here is a patient.

Displacements are those of the heart along the detector's rows and columns, root mean square over the views, less
what a patient who lies elsewhere would show: as they were, and what is left after moving the views back. The last
column is how much the polar map (on the true wall, percent of its mean) differs from that of the same patient
without movement; two scans without movement differ by {repeat:.1f} %.

| movement | acted upon | at the right stop, or as creep | displacement | left of it | polar map |
|---|---|---|---|---|---|
{chr(10).join(rows)}

Movement towards the back shows only in views from the side, where the body dims the heart. With a single head, slow
movement and anatomy look alike: creep cannot be found, and a step needs twice the evidence.
"""


if __name__ == "__main__":
    main()
