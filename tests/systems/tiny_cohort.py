"""Registries for tests, in the form of the real ones but without photons: drawn in seconds, with exact truth.

Columns and maps have the names, meanings and units of `myoscope simulate registry`; what is imaged is imitated by
`myoscope.systems.virtual_maps`, so nothing measured on them says anything about a system.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from myoscope import io
from myoscope.core import VESSELS, Cohort
from myoscope.simulate.patient import TRUTH_MAPS
from myoscope.simulate.population_columns import POPULATION_COLUMNS, facts_row
from myoscope.simulate.sites import SITES, State
from myoscope.systems.virtual_maps import VirtualMaps, draw_virtual_maps
from myoscope.virtual_pet import pet_study_columns, pet_study_maps
from myoscope.virtual_rows import IMAGE_COLUMNS, study_maps

_DRAWN_PER_PATIENT = 3
STATES: tuple[State, ...] = ("stress", "rest")


def write_cohort_of_maps(
    folder: Path,
    patients: Mapping[str, int],
    *,
    seed: int,
    healthy: bool = False,
    units: Mapping[str, str] | None = None,
) -> str:
    """A cohort of so many patients per site, all of whom went on to angiography.

    Up to half of them are ill, as among those truly referred, who take much longer to draw. ``healthy`` ones have even
    hearts and count as low-likelihood; ``units`` overrides the unit of a map, to see it refused.
    """
    rows: list[dict[str, Any]] = []
    maps: dict[str, list[Any]] = {}
    kinds = {kind.name: kind for kind in study_maps(STATES, gated=True)}
    nothing = np.full((40, 72), np.nan, np.float32)
    for site, n in patients.items():
        drawn = draw_virtual_maps(
            n if healthy else _DRAWN_PER_PATIENT * n, seed=seed, site=site, population="all", healthy=healthy
        )
        rng = np.random.default_rng([seed, 77])
        for number in range(n) if healthy else _half_ill(drawn, n):
            row, pictures = _study(drawn, number, site, rng)
            row["patient"] = f"{site}-{seed}-{number:06d}{'-healthy' if healthy else ''}"
            row["population"] = "low-likelihood" if healthy else "referred"
            row |= {f"angiography_{v.lower()}": float(row[f"truth_obstructive_{v.lower()}"]) for v in VESSELS}
            rows.append(row)
            for name in kinds:
                maps.setdefault(name, []).append(np.asarray(pictures.get(name, nothing), np.float32))
    columns = [column for column in (*POPULATION_COLUMNS, *IMAGE_COLUMNS) if column.name in rows[0]]
    identifiers = np.array([row["patient"] for row in rows])
    cohort = Cohort(
        identifiers,
        np.array([f"{name}-1" for name in identifiers]),
        tuple(columns),
        {column.name: np.array([row[column.name] for row in rows]) for column in columns},
        ("made for tests, without photons",),
    )
    renamed = {
        name: io.MapKind(kind.name, kind.meaning, (units or {}).get(name, kind.unit), kind.shape, kind.encoding)
        for name, kind in kinds.items()
    }
    return io.write_cohort(folder, cohort, {renamed[name]: np.stack(values) for name, values in maps.items()})


def write_pet_cohort(folder: Path, patients: Mapping[str, int], *, seed: int) -> str:
    """Patients with rest flow, stress flow and reserve, measured with an error of a tenth per cell."""
    rows: list[dict[str, Any]] = []
    maps: dict[str, list[Any]] = {}
    for site, n in patients.items():
        drawn = draw_virtual_maps(n, seed=seed, site=site)
        rng = np.random.default_rng([seed, 78])
        for number, facts in enumerate(drawn.facts):
            true = {"rest": facts.perfusion.rest_flow_mL_min_g, "stress": facts.perfusion.stress_flow_mL_min_g}
            found = {state: flow * np.exp(rng.normal(0, 0.1, flow.shape)) for state, flow in true.items()}
            pictures = {f"truth_{state}_flow": flow for state, flow in true.items()}
            pictures |= {f"{state}_flow": flow for state, flow in found.items()}
            pictures["reserve"] = found["stress"] / np.maximum(found["rest"], 0.02)
            rows.append(facts_row(facts) | {"patient": f"{site}-{seed}-{number:06d}", "tracer": "rubidium"})
            for name, values in pictures.items():
                maps.setdefault(name, []).append(np.asarray(values, np.float32))
    columns = [column for column in pet_study_columns() if column.name in rows[0]]
    identifiers = np.array([row["patient"] for row in rows])
    cohort = Cohort(
        identifiers,
        np.array([f"{name}-1" for name in identifiers]),
        tuple(columns),
        {column.name: np.array([row[column.name] for row in rows]) for column in columns},
        ("made for tests, without photons",),
    )
    kinds = {kind.name: kind for kind in pet_study_maps()}
    return io.write_cohort(folder, cohort, {kinds[name]: np.stack(values) for name, values in maps.items()})


def _half_ill(drawn: VirtualMaps, n: int) -> list[int]:
    """Numbers of ``n`` of the patients, half of them with an obstructed artery if there are so many."""
    ill = [number for number, one in enumerate(drawn.facts) if one.obstructive_vessels]
    well = [number for number, one in enumerate(drawn.facts) if not one.obstructive_vessels]
    few = ill[: n // 2]
    return sorted([*few, *well[: n - len(few)]])


def _study(
    drawn: VirtualMaps, number: int, site: str, rng: np.random.Generator
) -> tuple[dict[str, Any], dict[str, Any]]:
    facts, where = drawn.facts[number], SITES[site]
    row: dict[str, Any] = facts_row(facts)
    row |= {"camera": where.camera, "tracer": where.tracer, "protocol": where.protocol}
    pictures: dict[str, Any] = {}
    for state, counts in (("stress", drawn.stress[number]), ("rest", drawn.rest[number])):
        for position in where.positions if state == "stress" else where.positions[:1]:
            again = counts * rng.normal(1, 0.02, counts.shape).astype(np.float32)
            # An upright image is less shadowed from below: half of what breast or diaphragm took is given back.
            if position != "supine":
                true = (facts.stress_uptake if state == "stress" else facts.rest_uptake) * 400
                again = (0.5 * again + 0.5 * true * rng.normal(1, 0.03, counts.shape)).astype(np.float32)
            pictures[f"{state}_{position}"] = again
            row[f"{state}_{position}_heart"] = "found"
            row[f"{state}_{position}_cavity_mL"] = float(rng.normal(60, 12))
        lost = 1 - (facts.stress_uptake if state == "stress" else facts.rest_uptake)
        row[f"{state}_edv_mL"] = float(rng.normal(90, 18) + 60 * lost.mean())
        row[f"{state}_esv_mL"] = float(row[f"{state}_edv_mL"] * (0.35 + 0.5 * lost.mean()))
        row[f"{state}_ef_percent"] = 100 * (1 - row[f"{state}_esv_mL"] / row[f"{state}_edv_mL"])
        pictures[f"{state}_motion"] = 8 * (1 - 0.6 * lost) + rng.normal(0, 1.2, lost.shape)
        pictures[f"{state}_thickening"] = 45 * (1 - 0.6 * lost) + rng.normal(0, 8, lost.shape)
    for state in STATES:
        for position in ("supine", "prone", "upright"):
            row.setdefault(f"{state}_{position}_heart", "not imaged")
            row.setdefault(f"{state}_{position}_cavity_mL", np.nan)
    truth = {
        "truth_stress_uptake": facts.stress_uptake,
        "truth_rest_uptake": facts.rest_uptake,
        "truth_stress_flow": facts.perfusion.stress_flow_mL_min_g,
        "truth_rest_flow": facts.perfusion.rest_flow_mL_min_g,
        "truth_scar": facts.perfusion.scar_fraction,
        "truth_territory": facts.disease.territory.astype(float),
        "truth_diseased": facts.disease.diseased,
    }
    assert set(truth) <= set(TRUTH_MAPS)
    return row, pictures | truth
