"""Virtual patients photographed with and without noise and measured as `myoscope analyze` measures them.

What is measured stands beside what is true and beside what the same patient's image gives without noise. Patients are
independent of one another, so they are made in processes; each is kept as a file, and a run that was stopped goes on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myoscope import heart, io, measure, quantify
from myoscope.core import Gating, MyoscopeError, Projections, Volume
from myoscope.physics.beats import draw_beats, steady_beats
from myoscope.physics.noise import poisson_counts
from myoscope.reconstruct import reconstruct
from myoscope.simulate.acquire import expose
from myoscope.simulate.cameras import CAMERAS
from myoscope.simulate.patient import Look, VirtualPatient, draw_patient
from myoscope.simulate.sites import SITES
from myoscope.virtual import kind_of, reconstruction_settings

Row = dict[str, Any]
Array = NDArray[np.float64]
N_DRAWS = 160


def measured_patients(
    seed: int,
    site: str,
    indices: Sequence[int],
    *,
    population: str = "all",
    disease: str = "any",
    gated: bool = True,
    repeats: int = 1,
    keep: Path,
    workers: int = 2,
) -> list[Row]:
    """Rows of these patients of a site, stress in the first position; those in ``keep`` are not made again."""
    keep.mkdir(parents=True, exist_ok=True)
    who = population if disease == "any" else f"{population}-{disease}"
    paths = [keep / f"{site}-{who}-{seed}-{index:05d}-{'g' if gated else 'u'}{repeats}.json" for index in indices]
    todo = [
        (seed, site, index, population, disease, gated, repeats, path)
        for index, path in zip(indices, paths, strict=True)
        if not path.exists()
    ]
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for done, _ in enumerate(pool.map(_make, todo), start=1):
            print(f"\r{site}: {done} of {len(todo)} patients", end="", flush=True)
    if todo:
        print()
    return [json.loads(path.read_text()) for path in paths]


def _make(task: tuple[int, str, int, str, str, bool, int, Path]) -> None:
    import torch

    torch.set_num_threads(1)
    seed, site, index, population, disease, gated, repeats, path = task
    about: dict[str, Any] = {"population": population, "disease": disease}
    patient = draw_patient(seed, site=SITES[site], index=index, **about)
    try:
        row = measured(patient, gated=gated, repeats=repeats)
    except MyoscopeError as error:
        row = {"failed": str(error)}
    with io.atomic_write(path, "w") as file:
        json.dump({"site": site, "index": index, "sex": patient.facts.person.sex, **row}, file)


class Acquisition:
    """What a patient's camera is exposed to in one look, and the projections that counts of it make."""

    def __init__(self, patient: VirtualPatient, look: Look, *, n_phases: int) -> None:
        self._camera = CAMERAS[patient.site.camera]
        between_s = (self._camera.n_stops - 1) * self._camera.step_s
        self.view_duration_s = (look.duration_s - between_s) / self._camera.n_stops
        self.stop_s = np.full(self._camera.n_stops, self.view_duration_s)
        self.exposure = expose(
            patient.scene(look, n_phases=n_phases),
            self._camera,
            view_duration_s=self.view_duration_s,
            motion=patient.motion(look),
            emission=patient.emission,
        )

    def projections(self, counts: Array, *, gating: Gating | None = None) -> Projections:
        """Counts (window, gate, view, v, u) as the camera stores them."""
        return Projections(
            counts=counts.astype(np.float32),
            angle_deg=self._camera.angle_deg,
            radius_mm=self.exposure.radius_mm,
            pixel_mm=(self._camera.pixel_mm, self._camera.pixel_mm),
            windows=self.exposure.windows,
            view_duration_s=np.full(self._camera.n_views, self.view_duration_s),
            collimator=self._camera.collimator,
            gating=gating,
        )


def measured(patient: VirtualPatient, *, gated: bool, repeats: int) -> Row:
    """One patient's truth, figures of ``repeats`` noisy scans ("scans") and of one without noise ("quiet")."""
    site = patient.site
    look = patient.looks(("stress",), all_positions=False)[0]
    n_phases = site.gates if gated else 1
    taken = Acquisition(patient, look, n_phases=n_phases)
    rng = patient.rng(f"measured {look.name}")
    rhythm = patient.rhythm(look)
    about_beats: dict[str, Any] = {"n_gates": n_phases, "n_phases": taken.exposure.n_phases, "stop_s": taken.stop_s}
    beats = draw_beats(rhythm, rng=rng, **about_beats) if gated else steady_beats(**about_beats)
    expected, lost = taken.exposure.counts(beats, taken.view_duration_s)
    row: Row = {"truth": _truth(patient, look.position), "scans": []}
    for repeat in range(repeats + 1):
        quiet = repeat == repeats
        gates = expected if quiet else poisson_counts(expected, rng=rng).astype(np.float64)
        still = gates.sum(axis=1, keepdims=True) + (lost if quiet else poisson_counts(lost, rng=rng))[:, None]
        projections = taken.projections(still)
        plain = reconstruct(
            projections, settings=reconstruction_settings(replace(site.reconstruction, attenuation=False))
        )
        image = None
        if gated:
            counts = taken.projections(gates, gating=beats.gating)
            image = reconstruct(counts, settings=reconstruction_settings(site.gated_reconstruction))
        found = figures(patient, plain, image, look.state, look.position, draws=not quiet)
        if quiet:
            row["quiet"] = found
        else:
            row["scans"].append(found)
    return row


def figures(
    patient: VirtualPatient, plain: Volume, image: Volume | None, state: str, position: str, *, draws: bool = True
) -> Row:
    """What is measured in an ungated image and the gated one of the same counts, with ``draws`` of what noise does."""
    site, sex = patient.site, patient.facts.person.sex
    rng = np.random.default_rng(1)
    in_domain = site.camera == "multi-pinhole-czt"
    try:
        ventricle, agreement = heart.find_left_ventricle(plain, in_training_domain=in_domain)
    except MyoscopeError as error:
        return {"failed": str(error)}
    true = patient.frame(position)  # type: ignore[arg-type]
    row: Row = {
        "centre_error_mm": float(np.linalg.norm(ventricle.frame.centre_mm - true.centre_mm)),
        "axis_error_deg": float(ventricle.frame.angle_to_deg(true)),
        "finders_agree": not any(flag.severity == "error" for flag in ventricle.flags) and bool(agreement),
    }
    wall = measure.measure_wall(plain, ventricle)
    counts = heart.sample_wall(plain, wall.surfaces, method="surface")
    row |= {"still_mL": float(wall.surfaces.cavity_mL), "still_fwhm_mm": wall.fwhm_mm}
    noise = None
    if image is not None:
        beating = measure.measure_wall(image, ventricle)
        function = quantify.ventricular_function(beating.surfaces)
        gates = measure.gate_maps(image, beating.surfaces, sampling="surface")
        phases = quantify.phase_of_gates(gates, measure.PHASE)
        row |= {
            "edv_mL": function.edv_mL,
            "esv_mL": function.esv_mL,
            "ef_percent": function.ef_percent,
            "fwhm_mm": beating.fwhm_mm,
            "gate_noise": measure.gate_noise(gates),
            "phase_sd_deg": phases.statistics.sd_deg,
            "phase_bandwidth_deg": phases.statistics.bandwidth_deg,
            "phase_entropy": phases.statistics.entropy,
        }
        drawn = quantify.phase_draws(gates, phases, measure.PHASE, rng=rng) if draws else None
        if drawn is not None:
            row["phase_draws"] = [[float(np.nanmean(x)), float(np.nanstd(x))] for x in drawn.T[2:5]]
        noise = quantify.noise_from_gates(np.stack([gate.value for gate in gates]))
    kind = kind_of(site, sex, state, position, corrected=False)  # type: ignore[arg-type]
    normal, _ = io.limits_for(kind, io.shipped_limits())
    if normal is not None:
        limits = normal.limits
        scaled = quantify.scale_to_limits(counts, limits)
        found = quantify.perfusion_deficit(scaled, limits)
        row |= {
            "tpd_percent": found.tpd_percent,
            "vessel_tpd_percent": [float(v) for v in found.vessel_tpd_percent],
            "tpd_sample_percent": quantify.perfusion_deficit(scaled, limits, weighting="sample").tpd_percent,
            "summed_score": quantify.score_segments(scaled, limits).total,
        }
        if noise is not None and draws:
            maps = quantify.draw_perfusion(counts, limits, noise, rng=rng, n=N_DRAWS)
            drawn_figures = (maps.tpd_percent, maps.summed_score)
            row["tpd_draws"] = [[float(np.nanmean(x)), float(np.nanstd(x))] for x in drawn_figures]
    return row


def _truth(patient: VirtualPatient, position: str) -> Row:
    beating = patient.beating("stress", position, 16)  # type: ignore[arg-type]
    return {
        "edv_mL": beating.edv_mL,
        "esv_mL": beating.esv_mL,
        "ef_percent": beating.ef_percent,
        "mean_mL": float(np.mean(beating.surfaces.cavity_mL)),
        "uptake": np.round(patient.facts.stress_uptake, 3).tolist(),
        "disease": patient.facts.deficit.stress_percent,
        "territory_percent": [float(v) for v in patient.facts.deficit.vessel_percent],
    }


def flat(rows: Sequence[Row], *, quiet: bool = False) -> Iterator[tuple[Row, Row]]:
    """Each scan that was measured with its patient's row; the scans without noise if ``quiet``."""
    for row in rows:
        for scan in [row["quiet"]] if quiet else row.get("scans", []):
            if "failed" not in scan:
                yield row, scan
