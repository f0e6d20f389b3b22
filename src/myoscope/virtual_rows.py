"""One virtual patient as a row of a registry: photographed, measured as an analysis measures, and put beside its truth.

A row has every column and map that a registry may hold; what a site does not do, or what failed, is missing in it and
says why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myoscope import heart, io, measure, quantify
from myoscope.core import (
    AS_STORED,
    VESSELS,
    Column,
    MyoscopeError,
    NormalLimits,
    PolarMap,
    Volume,
)
from myoscope.simulate.patient import STATES, TRUTH_MAPS, draw_patient, truth_map_names
from myoscope.simulate.person import Sex
from myoscope.simulate.population_columns import POPULATION_COLUMNS, Value
from myoscope.simulate.referral import Population
from myoscope.simulate.sites import SITES, Position, Site, State
from myoscope.virtual import Processing, aligned_mu_map, kind_of, photograph


@dataclass(frozen=True, eq=False, slots=True)
class StudyRow:
    """One patient's line of a registry: values by column, maps (40, 72) by name; maps that were not made are absent."""

    patient: str
    study: str
    values: dict[str, Value]
    maps: dict[str, NDArray[np.float64]]


def image_study(
    seed: int,
    site: Site,
    population: Population,
    index: int,
    *,
    states: Sequence[State] = STATES,
    gated: bool = True,
    all_positions: bool = False,
    sex: Sex | None = None,
    limits: Sequence[io.SignedLimits] = (),
    processing: Processing = "site",
) -> StudyRow:
    """Draw, photograph and measure one patient for a registry.

    Where no heart is found in an image, its maps are missing and ``<image>_heart`` says why. With ``gated``, the
    site's first position gives function as well. Perfusion figures are missing where none of ``limits`` fit.
    """
    patient = draw_patient(seed, site=site, population=population, index=index, sex=sex)
    values: dict[str, Value] = {**patient.row(), **dict.fromkeys((c.name for c in IMAGE_COLUMNS), np.nan)}
    values |= {column.name: "not imaged" for column in IMAGE_COLUMNS if column.name.endswith("_heart")}
    values |= {"external_site": site.external, "camera": site.camera, "tracer": site.tracer, "protocol": site.protocol}
    values["truth_mass_g"] = patient.heart.mass_g
    true = patient.truth_maps()
    maps = {name: true[name] for name in truth_map_names(states, gated=gated)}
    for state in STATES:
        beating = patient.beating(state, site.positions[0])
        values |= {
            f"truth_{state}_edv_mL": beating.edv_mL,
            f"truth_{state}_esv_mL": beating.esv_mL,
            f"truth_{state}_ef_percent": beating.ef_percent,
        }
    values |= {"processing": AS_STORED, "processing_ac": AS_STORED}
    mu_maps: dict[Position, Volume] = {}
    for look in patient.looks(tuple(states), all_positions=all_positions):
        values[f"{look.state}_dose_MBq"] = site.scan(look.state).dose_MBq
        first = look.position == site.positions[0]
        try:
            if (site.reconstruction.attenuation or processing == "analyze") and look.position not in mu_maps:
                mu_maps[look.position] = aligned_mu_map(patient, look)
            about: dict[str, Any] = {"mu_map": mu_maps.get(look.position), "processing": processing}
            images = photograph(patient, look, gated=gated and first, **about)
        except (MyoscopeError, ArithmeticError, ValueError, RuntimeError, LookupError) as error:
            # One patient of thousands whom a camera cannot image must not stop the others.
            values[f"{look.state}_{look.position}_heart"] = f"failed: {error}"
            continue
        for suffix, image in (("", images.uncorrected), ("_ac", images.corrected)):
            if image is not None:
                name = f"{look.state}_{look.position}{suffix}"
                made = images.processing_corrected if suffix else images.processing
                values[f"processing{suffix}"] = made
                kind = kind_of(site, patient.facts.person.sex, look.state, look.position, corrected=bool(suffix))
                kind = replace(kind, processing=made)
                normal, _ = io.limits_for(kind, limits)
                values[f"{name}_heart"] = _measure(
                    site,
                    image,
                    images.gated if not suffix else None,
                    look.state,
                    name,
                    values,
                    maps,
                    None if normal is None else normal.limits,
                )
    known = {column.name for column in study_columns()}
    if set(values) != known:
        raise AssertionError(f"columns and values differ: {sorted(set(values) ^ known)}")
    return StudyRow(patient.identifier, f"{patient.identifier}-1", values, maps)


def _measure(
    site: Site,
    image: Volume,
    gated: Volume | None,
    state: State,
    name: str,
    values: dict[str, Value],
    maps: dict[str, NDArray[np.float64]],
    limits: NormalLimits | None,
) -> str:
    """Find the heart and put its maps and numbers down; says "found", or why there is none."""
    try:
        ventricle = _find(site, image)
        still = measure.measure_wall(image, ventricle)
        perfusion = heart.sample_wall(image, still.surfaces, method="surface")
    except (MyoscopeError, ArithmeticError, ValueError, RuntimeError, LookupError) as error:
        return f"not found: {error}"
    maps[name] = perfusion.value
    values[f"{name}_cavity_mL"] = float(still.surfaces.cavity_mL)
    if limits is not None:
        try:
            values |= {f"{name}_{what}": value for what, value in _perfusion_row(perfusion, limits).items()}
        except MyoscopeError as error:
            return f"found, but not compared with limits: {error}"
    if gated is not None:
        try:
            _measure_function(gated, ventricle, state, values, maps)
        except (MyoscopeError, ArithmeticError, ValueError, RuntimeError, LookupError) as error:
            return f"found, but not its function: {error}"
    return "found"


def _perfusion_row(counts: PolarMap, limits: NormalLimits) -> dict[str, float]:
    """Perfusion figures of one map, and the level that brings its counts to its limits."""
    scaled = quantify.scale_to_limits(counts, limits)
    found = quantify.perfusion_deficit(scaled, limits)
    return {
        "level": quantify.level_factor(counts, limits),
        "tpd_percent": found.tpd_percent,
        **{
            f"tpd_{vessel.lower()}_percent": float(part)
            for vessel, part in zip(VESSELS, found.vessel_tpd_percent, strict=True)
        },
        "extent_percent": found.extent_percent,
        "summed_score": quantify.score_segments(scaled, limits).total,
    }


def _find(site: Site, image: Volume) -> heart.LeftVentricle:
    """The finder that suits the camera, and the other one where it finds nothing."""
    finders: list[Callable[[Volume], heart.LeftVentricle]] = [heart.find_by_model, heart.find_by_network]
    if site.camera == "multi-pinhole-czt":
        finders.reverse()
    try:
        return finders[0](image)
    except MyoscopeError:
        return finders[1](image)


def _measure_function(
    gated: Volume,
    ventricle: heart.LeftVentricle,
    state: State,
    values: dict[str, Value],
    maps: dict[str, NDArray[np.float64]],
) -> None:
    """Volumes, motion and phase of one gated image."""
    wall = measure.measure_wall(gated, ventricle)
    walls = wall.surfaces
    function = quantify.ventricular_function(walls)
    values |= {
        f"{state}_edv_mL": function.edv_mL,
        f"{state}_esv_mL": function.esv_mL,
        f"{state}_ef_percent": function.ef_percent,
        f"{state}_fwhm_mm": wall.fwhm_mm,
    }
    gates = measure.gate_maps(gated, walls, sampling="surface")
    smooth = quantify.smoothed_gates(gates, measure.GATE_SMOOTHING_MM)
    regional = quantify.regional_function(
        smooth, walls, ed_gate=function.ed_gate, es_gate=function.es_gate, fwhm_mm=wall.fwhm_mm
    )
    phases = quantify.phase_of_gates(gates, measure.PHASE)
    values |= {
        f"{state}_phase_sd_deg": phases.statistics.sd_deg,
        f"{state}_phase_bandwidth_deg": phases.statistics.bandwidth_deg,
        f"{state}_phase_entropy": phases.statistics.entropy,
        f"{state}_gate_noise": measure.gate_noise(gates) or np.nan,
    }
    maps |= {
        f"{state}_motion": regional.motion.value,
        f"{state}_thickening": np.clip(regional.count_thickening.value, -200, 400),
        f"{state}_phase": quantify.after_r_wave_deg(phases.phase.value, n_gates=len(gates)),
        f"{state}_amplitude": phases.amplitude.value,
    }


_POSITIONS: tuple[Position, ...] = ("supine", "prone", "upright")
_IMAGE_NAMES: tuple[str, ...] = tuple(
    f"{state}_{position}{suffix}" for state in STATES for position in _POSITIONS for suffix in ("", "_ac")
)

IMAGE_COLUMNS: tuple[Column, ...] = (
    Column("external_site", "whether the site is kept out of training"),
    Column("camera", "kind of camera"),
    Column("tracer", "what was injected"),
    Column("protocol", "days and order of the two states"),
    Column("processing", "how images without correction were made of the projections; as stored = as the site does it"),
    Column("processing_ac", "the same of images corrected for attenuation"),
    *(Column(f"{state}_dose_MBq", f"activity injected for {state}", "MBq") for state in STATES),
    Column("truth_mass_g", "true mass of the left ventricle", "g"),
    *(
        Column(f"truth_{state}_{what}", f"true {meaning} in {state}", unit)
        for state in STATES
        for what, meaning, unit in (
            ("edv_mL", "end-diastolic volume", "mL"),
            ("esv_mL", "end-systolic volume", "mL"),
            ("ef_percent", "ejection fraction", "%"),
        )
    ),
    *(
        Column(f"{state}_{what}", f"{meaning} measured in the gated {state} image; missing if not gated", unit)
        for state in STATES
        for what, meaning, unit in (
            ("edv_mL", "end-diastolic volume", "mL"),
            ("esv_mL", "end-systolic volume", "mL"),
            ("ef_percent", "ejection fraction", "%"),
            ("fwhm_mm", "softness of the image, camera and motion together (FWHM)", "mm"),
            ("phase_sd_deg", "standard deviation of the phases of counts", "deg"),
            ("phase_bandwidth_deg", "arc that holds 95 % of the phases", "deg"),
            ("phase_entropy", "entropy of the phases, 0 to 1", ""),
            ("gate_noise", "noise of one cell of one gate as a share of its counts", ""),
        )
    ),
    *(
        column
        for name in _IMAGE_NAMES
        for column in (
            Column(f"{name}_heart", f"whether the heart was found in the image {name}, or why not"),
            Column(f"{name}_cavity_mL", f"cavity of the left ventricle in the ungated image {name}", "mL"),
            Column(f"{name}_level", f"factor that brings counts of the image {name} to the level of its normal limits"),
            Column(f"{name}_tpd_percent", f"total perfusion deficit of the image {name}; missing without limits", "%"),
            *(
                Column(f"{name}_tpd_{v.lower()}_percent", f"part of it in the territory of the {v}", "%")
                for v in VESSELS
            ),
            Column(f"{name}_extent_percent", f"abnormal share of the wall in the image {name}", "%"),
            Column(f"{name}_summed_score", f"summed score of 17 segments of the image {name}, 0 to 68"),
        )
    ),
)
"""What imaging adds to a patient's row."""

_FUNCTION_MAPS: dict[str, tuple[str, str]] = {
    "thickening": ("gain of counts from end diastole to end systole", "%"),
    "phase": ("phase of the first harmonic of counts, from the R wave", "deg"),
    "amplitude": ("amplitude of the first harmonic of counts, of their mean", "%"),
    "motion": ("inward motion of the endocardium from end diastole to end systole", "mm"),
}


def study_columns() -> tuple[Column, ...]:
    """Every column of a registry, in order."""
    return (*POPULATION_COLUMNS, *IMAGE_COLUMNS)


def study_maps(states: Sequence[State], *, gated: bool, processing: Processing = "site") -> tuple[io.MapKind, ...]:
    """Every map that a registry of these states may hold, in order; what a site does not do is missing in its rows."""
    kinds = []
    for state in STATES:
        if state not in states:
            continue
        for position in _POSITIONS:
            here = [site for site in SITES.values() if position in site.positions]
            if state == "rest":
                here = [site for site in here if site.positions[0] == position]
            for suffix in ("", "_ac"):
                if any(site.reconstruction.attenuation or processing == "analyze" or not suffix for site in here):
                    said = "with attenuation correction" if suffix else "without attenuation correction"
                    meaning = f"counts of the wall, {state}, {position}, {said}"
                    kinds.append(io.MapKind(f"{state}_{position}{suffix}", meaning, "counts"))
        if gated:
            kinds += [
                io.MapKind(f"{state}_{what}", f"{meaning}, {state}", unit)
                for what, (meaning, unit) in _FUNCTION_MAPS.items()
            ]
    for name in truth_map_names(states, gated=gated):
        meaning, unit = TRUTH_MAPS[name]
        kinds.append(io.MapKind(name, meaning, unit, encoding="label" if name == "truth_territory" else "8 bit"))
    return tuple(kinds)
