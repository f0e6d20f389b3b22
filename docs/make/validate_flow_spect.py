"""Blood flow by dynamic SPECT against what is true of virtual patients, with and without correction of attenuation.

    python docs/make/validate_flow_spect.py [--seed 600] [--patients 7] [--rows FILE]

writes ``docs/validation/flow_spect.md``. About four minutes of one core for each patient; with ``--rows`` patients that
are done are kept in a file and not done again. Resolution and thickness of walls that the chain believes in were read
off seeds 3 and 600.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from myoscope import flow_pair, flow_study
from myoscope.core import FlowResult, MyoscopeError, Volume
from myoscope.simulate.dynamic_pet import MotionHabit
from myoscope.simulate.dynamic_spect import MINUTES_BETWEEN, LeftOver, spect_scene
from myoscope.simulate.patient import draw_patient
from myoscope.simulate.sites import State

Array = NDArray[np.float64]
PAGE = Path(__file__).parents[1] / "validation" / "flow_spect.md"
SITE, TRACER = "hillside", "sestamibi"
STATES: tuple[State, ...] = ("rest", "stress")
MODELS = tuple(flow_study.PROTOCOLS[TRACER].models)
WAYS = {"corrected": "attenuation corrected", "uncorrected": "not corrected", "unaligned": "corrected, not aligned"}


def told(found: FlowResult, true: Array, weight: Array) -> dict[str, Any]:
    """Measured and true values of one scan by one model, as plain numbers."""
    parts = (found.whole, *found.vessels)
    truth = (float((true * weight).sum()), *found.flow.like(true, "truth").vessel_means().tolist())
    values = [[one.value, one.low, one.high, float(t)] for one, t in zip(parts, truth, strict=True)]
    return {"values": values, "doubtful": any(flag.code == "flow_doubtful" for flag in found.flags)}


def measured(image: Volume, true: Array, *, motion: bool) -> dict[str, Any]:
    """What each model says of one dynamic image; the wall is found anew."""
    try:
        settings = flow_study.FlowSettings(motion=motion)
        data = flow_study.gather(image, flow_study.find_wall(image, TRACER), TRACER, settings=settings)
        weight = data.static.weights("surface")
        return {
            name: told(
                flow_study.fit_flow(replace(data, settings=replace(settings, model=flow_study.model_named(name)))),
                true,
                weight,
            )
            for name in MODELS
        }
    except MyoscopeError as error:
        return {"failed": str(error)}


def one_patient(seed: int) -> dict[str, Any]:
    """Rest, then stress an hour later with what rest has left, with noise and movement."""
    patient, rows = draw_patient(seed, site=SITE), {}
    left_over: LeftOver | None = None
    first: dict[str, tuple[Volume, Any]] = {}
    for state in STATES:
        scene = spect_scene(patient, state, TRACER)
        rng = np.random.default_rng([seed, state == "stress"])
        frames = scene.scan(rng=rng, motion=MotionHabit().draw(scene.frames, rng=rng), left_over=left_over)
        left_over = scene.left_at(60 * MINUTES_BETWEEN)
        images = {
            way: flow_study.dynamic_image(frames, TRACER, frame_start_s=scene.frames.start_s.tolist(), attenuation=mu)
            for way, mu in (("corrected", scene.attenuation), ("uncorrected", None))
        }
        for way, image in images.items():
            try:
                wall = flow_study.find_wall(image, TRACER)
            except MyoscopeError as error:
                rows[f"{state} {way}"] = {"failed": str(error)}
                continue
            if state == "rest":
                first[way] = (image, wall)
            elif way in first:
                images[way] = flow_pair.without_first(
                    image, first[way][0], TRACER, seconds_between=60 * MINUTES_BETWEEN, second_wall=wall,
                    first_wall=first[way][1],
                )  # fmt: skip
            rows[f"{state} {way}"] = measured(images[way], scene.flow, motion=True)
        rows[f"{state} unaligned"] = measured(images["corrected"], scene.flow, motion=False)
    return {"seed": seed, "scans": rows}


def usable(row: dict[str, Any], model: str) -> bool:
    return "failed" not in row and not row[model]["doubtful"] and row[model]["values"][0][0] is not None


def ratios(patients: Sequence[dict[str, Any]], state: str, way: str, model: str, parts: Sequence[int]) -> Array:
    """Measured over true of these regions (0 the ventricle, 1 to 3 its territories) of usable scans."""
    out = []
    for one in patients:
        row = one["scans"][f"{state} {way}"]
        if usable(row, model):
            values = [row[model]["values"][n] for n in parts]
            out += [v[0] / v[3] for v in values if v[0] is not None]
    return np.array(out)


def reserves(patients: Sequence[dict[str, Any]], way: str, model: str) -> Array:
    """Measured over true reserve of the ventricle."""
    out = []
    for one in patients:
        rest, stress = (one["scans"][f"{state} {way}"] for state in STATES)
        if usable(rest, model) and usable(stress, model):
            (r, _, _, r_true), (s, _, _, s_true) = rest[model]["values"][0], stress[model]["values"][0]
            out.append(s / r / (s_true / r_true))
    return np.array(out)


def bias(ratio: Array) -> str:
    """Mean error with its 95 % interval, and the standard deviation."""
    if len(ratio) < 2:
        return f"n = {len(ratio)}"
    x = 100 * (ratio - 1)
    reach = float(stats.t.ppf(0.975, len(x) - 1)) * float(x.std(ddof=1)) / np.sqrt(len(x))
    return f"{x.mean():+.0f} % ({x.mean() - reach:+.0f} to {x.mean() + reach:+.0f}), SD {x.std(ddof=1):.0f} %"


def spread(ratio: Array) -> str:
    return f"{100 * (ratio.mean() - 1):+.0f} %, SD {100 * ratio.std(ddof=1):.0f} %" if len(ratio) > 1 else "-"


def held(patients: Sequence[dict[str, Any]], parts: Sequence[int]) -> tuple[int, int]:
    """How many intervals of the usual model with attenuation corrected hold the truth, of how many."""
    inside = [
        v[1] <= v[3] <= v[2]
        for one in patients
        for state in STATES
        if usable(row := one["scans"][f"{state} corrected"], MODELS[0])
        for v in (row[MODELS[0]]["values"][n] for n in parts)
        if v[0] is not None
    ]
    return sum(inside), len(inside)


def as_told(row: dict[str, Any]) -> str:
    value, _, _, true = row["values"][0]
    ratio = "no flow" if value is None else f"{value / true:.2f}"
    return f"{ratio} (doubted)" if row["doubtful"] else ratio


def page(patients: Sequence[dict[str, Any]], command: str, minutes: float) -> str:
    seeds = [one["seed"] for one in patients]
    failed = [
        f"seed {one['seed']}, {name}: {row['failed']}"
        for one in patients
        for name, row in one["scans"].items()
        if "failed" in row
    ]
    doubted = sum(
        "failed" not in row and row[MODELS[0]]["doubtful"] for one in patients for row in one["scans"].values()
    )
    truths = {
        state: [v for one in patients if "failed" not in (row := one["scans"][f"{state} corrected"])
                for v in [row[MODELS[0]]["values"][0][3]]]
        for state in STATES
    }  # fmt: skip
    lines = [
        "# Blood flow by dynamic SPECT",
        "",
        f"By `{command}` ({minutes:.0f} minutes of one core). All patients are **virtual**: nothing here is an "
        "accuracy in people. Brackets hold 95 % intervals.",
        "",
        f"{len(seeds)} patients (seeds {min(seeds)} to {max(seeds)}) of the site {SITE}: a stationary camera of 19 "
        f"pinholes, {TRACER}, 250 MBq at rest and 750 MBq under a vasodilator an hour later, 32 frames in 345 s begun "
        "5 s before the injection, usual movement, counts drawn from their own Poisson distribution, scatter in the "
        "photopeak, what rest had left in the stress frames and subtracted. Mean true flows "
        + " and ".join(f"{min(t):.2f} to {max(t):.2f} ({s})" for s, t in truths.items() if t)
        + f" mL/min/g. {len(failed)} of {6 * len(patients)} measurements failed, and the program itself called "
        f"{doubted} by one-tissue doubtful; both are left out below.",
        "",
        "Measured over true, less one. The ventricle: mean, interval, standard deviation over patients.",
        "",
        "| model | attenuation | rest | stress | reserve | n (rest, stress, reserve) |",
        "|---|---|---|---|---|---|",
    ]
    for model in MODELS:
        for way, said in WAYS.items():
            cells = [ratios(patients, state, way, model, [0]) for state in STATES]
            cells.append(reserves(patients, way, model))
            shown = " | ".join(bias(c) for c in cells)
            lines.append(f"| {model} | {said} | {shown} | {', '.join(str(len(c)) for c in cells)} |")
    lines += [
        "",
        "Territories, rest and stress together (mean, standard deviation over scans):",
        "",
        "| model | attenuation | LAD | LCx | RCA |",
        "|---|---|---|---|---|",
    ]
    for model in MODELS:
        for way, said in WAYS.items():
            columns = [
                np.concatenate([ratios(patients, state, way, model, [n]) for state in STATES]) for n in (1, 2, 3)
            ]
            lines.append(f"| {model} | {said} | {' | '.join(spread(c) for c in columns)} |")
    ventricle, territories = held(patients, [0]), held(patients, [1, 2, 3])
    lines += [
        "",
        f"Intervals of one-tissue with attenuation corrected that hold the truth: {ventricle[0]} of {ventricle[1]} of "
        f"the ventricle, {territories[0]} of {territories[1]} of territories. Their width is taken over from PET.",
        "",
    ]
    lines += ["Every scan, doubted ones as well: ventricle, measured over true.", ""]
    lines += [f"| seed | state | attenuation | {' | '.join(MODELS)} |", f"|---|---|---|{'---|' * len(MODELS)}"]
    for one in patients:
        for name, row in one["scans"].items():
            state, way = name.split(" ")
            values = ["failed" if "failed" in row else as_told(row[model]) for model in MODELS]
            lines.append(f"| {one['seed']} | {state} | {WAYS[way]} | {' | '.join(values)} |")
    lines.append("")
    lines += [f"* Failed: {one}." for one in failed]
    lines += [FOOT]
    return "\n".join(lines)


FOOT = """
## Against what is published

In WATERDAY (30 patients, a column camera, sestamibi, net retention, no correction of attenuation told here; quoted,
not re-read) flow by SPECT was higher than that of water PET in the ventricle, LAD and LCx, while reserve was alike.
In one virtual patient at rest without noise and movement (seed 3) leaving attenuation out took flow from 1.05 to 1.53
of the truth by one-tissue, LAD most, since blood in the middle of the chest is dimmed more than the wall in front of
it. That is one possible reason and no proof: the scans above, with noise and movement, are too few and too far off to
show it, the published study had another camera, and its constants of extraction are not those used here.

## What falls short

* Flow by this chain is not fit for use yet: with usual noise and movement the program itself doubts nearly every fit
  of one-tissue, and net retention, which has no fit to doubt, is off by tens of per cent.
* It is not noise alone: without noise and movement seed 3 at rest came out at 1.05 of the truth, seed 11 at rest at
  0.87 and seed 600 under stress at 0.71 (the first and last before walls were taken to be thinner than they are
  fitted; 0.67 with noise). Images are 14 to 16 mm sharp, a wall is about 10 mm thick, and how much of a sample is
  muscle is known from the spread of blood and an assumed edge, not from the wall's own thickness.
* Extraction is flat at high flow: an error of a tenth in uptake is one of a fifth in flow.
* Muscle's brightness reaches the cavity: blood holds twice its true late activity there (0.037 of its peak where
  0.014 is true, seed 600), which lowers flow by a few per cent.
* The wall beside the liver takes up the liver's rise, at rest most.
* A displacement of the whole blood phase against the late frames is not found, only jumps within.
* Column camera (`riverside`, `coast`): scenes and counts are simulated, but its 90 degrees of view smear the wall,
  and flow of the one scan tried (seed 3 at rest, tetrofosmin, no noise, attenuation corrected) came out at 0.3 to 0.4
  of the truth. Use no flow of it.
* Extraction in the virtual patients is the curve by which flow is measured, and the mu map is the true one.
* The width of intervals and the level from which a flow is called doubtful are taken over from PET: images without
  noise are doubted as well (seed 11 at rest, 0.87 of the truth).
* Whether the blood of small cavities is seen too faint, which would make flow too high there, was not looked into.
* So few patients that their mean says little.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=601)
    parser.add_argument("--patients", type=int, default=8)
    parser.add_argument("--rows", type=Path)
    asked = parser.parse_args()
    kept: dict[str, Any] = {}
    if asked.rows and asked.rows.exists():
        kept = json.loads(asked.rows.read_text())
    for seed in range(asked.seed, asked.seed + asked.patients):
        if str(seed) not in kept:
            began = time.process_time()
            kept[str(seed)] = one_patient(seed) | {"seconds": 0.0}
            kept[str(seed)]["seconds"] = time.process_time() - began
            if asked.rows:
                asked.rows.write_text(json.dumps(kept))
            print(f"seed {seed}: {kept[str(seed)]['seconds']:.0f} s", flush=True)
    patients = [kept[str(seed)] for seed in range(asked.seed, asked.seed + asked.patients)]
    command = f"python docs/make/validate_flow_spect.py --seed {asked.seed} --patients {asked.patients}"
    PAGE.write_text(page(patients, command, sum(one["seconds"] for one in patients) / 60).rstrip() + "\n")


if __name__ == "__main__":
    main()
