"""What is measured on a heart that was found: its wall, perfusion against normal limits, function, phase, shape.

One image at a time (`measure_wall`, `measure_perfusion`, `measure_function`), then stress with rest (`compare_states`).
Analyses of files and registries of virtual patients both come here, so that a figure means the same in both. Numbers
that could not be had carry the reason; intervals say what they leave out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from myoscope import heart, io, quantify
from myoscope.camera_kind import camera_kind
from myoscope.core import (
    VESSELS,
    Flag,
    HeartResult,
    InvalidValue,
    LimitsUsed,
    MyoscopeError,
    NormalLimits,
    PairResult,
    PolarMap,
    Quantity,
    Series,
    StudyKind,
    Surfaces,
    Volume,
    VolumeCurve,
)
from myoscope.core.geometry import FloatArray

# Walls over the cardiac cycle; thinner or thicker ones are more often a wrong resolution than a disease.
_PLAUSIBLE_WALL_MM = (6.0, 14.5)
_SMALL_HEART_EDV_ML, _SMALL_HEART_ESV_ML = 60.0, 20.0
PHASE = quantify.PhaseSettings()
GATE_SMOOTHING_MM = 25.0
"""Over which single gates are averaged along the wall (FWHM) before their thickening is told."""
_COUNT_THICKENING_PERCENT = (-200.0, 400.0)
_N_DRAWS = 160

Sampling = Literal["surface", "profile", "hybrid"]


@dataclass(frozen=True, eq=False, slots=True)
class FittedWall:
    """Surfaces of one image, how soft it was (FWHM in mm), and what is doubtful.

    ``thickness_measured`` says that the wall's thickness was told from the image; else it is the usual one.
    """

    surfaces: Surfaces
    fwhm_mm: float
    thickness_measured: bool
    flags: tuple[Flag, ...] = ()


def measure_wall(image: Volume, ventricle: heart.LeftVentricle, *, stated_fwhm_mm: float | None = None) -> FittedWall:
    """The anatomical wall, of each gate if there are gates.

    A resolution that the user states is believed. Otherwise the camera's usual one is tried first; where the wall's
    edges are softer than that, the heart moved or the image was smoothed, and its thickness is the usual one for its
    size. So it is in gates, which are too noisy to tell it and whose volumes hang on it.
    """
    if stated_fwhm_mm is not None:
        stated = heart.fit_surfaces(image, ventricle, resolution_fwhm_mm=stated_fwhm_mm)
        return FittedWall(stated, stated_fwhm_mm, True, _implausible_thickness(stated))
    usual_fwhm_mm = heart.default_resolution_mm(image)
    why = "Gates are too noisy to tell how thick the wall is"
    if image.frame_axis != "gate":
        surfaces = heart.fit_surfaces(image, ventricle, resolution_fwhm_mm=usual_fwhm_mm)
        if not heart.is_soft(image, surfaces, resolution_fwhm_mm=usual_fwhm_mm):
            return FittedWall(surfaces, usual_fwhm_mm, True, _implausible_thickness(surfaces))
        why = "The wall's edges are softer than the camera's resolution explains (breathing, beating, smoothing)"
    soft = heart.fit_soft_wall(image, ventricle, start_fwhm_mm=max(usual_fwhm_mm, 10.0))
    flag = Flag(
        "wall_thickness_assumed",
        f"{why}: its thickness was taken to be the usual one for its size, and cavity and wall volumes rest on that.",
        "info",
        {"usual_fwhm_mm": usual_fwhm_mm, "effective_fwhm_mm": round(soft.fwhm_mm, 1)},
    )
    return FittedWall(soft.surfaces, soft.fwhm_mm, False, (flag,))


def _implausible_thickness(surfaces: Surfaces) -> tuple[Flag, ...]:
    thickness_mm = float(np.median(surfaces.thickness_mm))
    if _PLAUSIBLE_WALL_MM[0] <= thickness_mm <= _PLAUSIBLE_WALL_MM[1]:
        return ()
    message = (
        f"The fitted wall is {thickness_mm:.1f} mm thick, outside {_PLAUSIBLE_WALL_MM[0]:.0f} to "
        f"{_PLAUSIBLE_WALL_MM[1]:.0f} mm: the resolution is probably not what was assumed; do not trust the volumes."
    )
    return (Flag("wall_thickness_implausible", message, "warning", {"thickness_mm": round(thickness_mm, 1)}),)


def wall_quantities(ventricle: heart.LeftVentricle, wall: FittedWall, still: FittedWall) -> tuple[Quantity, ...]:
    """Size of the ventricle; ``wall`` is gated where there are gates, ``still`` belongs to the ungated image."""
    outlined_mL = float(np.count_nonzero(ventricle.wall.array)) * ventricle.wall.grid.voxel_volume_mL
    thickness = Quantity(
        "wall thickness, median",
        None,
        "mm",
        reason="the image is too soft or too noisy to measure it; the usual one was taken",
    )
    if wall.thickness_measured:
        thickness = Quantity("wall thickness, median", float(np.median(wall.surfaces.thickness_mm)), "mm")
    return (
        Quantity("outlined wall volume", outlined_mL, "mL"),
        Quantity("wall volume", float(np.mean(wall.surfaces.wall_mL)), "mL"),
        thickness,
        quantify.cavity_quantity(float(still.surfaces.cavity_mL), fwhm_mm=still.fwhm_mm),
        Quantity("long axis length", quantify.long_axis_length_mm(still.surfaces), "mm"),
        Quantity("finder confidence", ventricle.confidence, "1"),
    )


@dataclass(frozen=True, eq=False, slots=True)
class Perfusion:
    """Perfusion of one image: numbers, maps, and the limits they rest on, or why none fit."""

    quantities: tuple[Quantity, ...]
    maps: Mapping[str, PolarMap] = field(default_factory=dict)
    limits: LimitsUsed | None = None
    no_limits: tuple[str, ...] = ()
    deficit: quantify.PerfusionDeficit | None = None
    scores: quantify.SegmentScores | None = None
    scores_20: quantify.SegmentScores | None = None
    normal: NormalLimits | None = None
    noise: quantify.MapNoise | None = None
    by_segment: Mapping[str, FloatArray] = field(default_factory=dict)


def study_kind(series: Series, *, processing: str) -> tuple[StudyKind | None, tuple[str, ...]]:
    """What kind of study a series is for normal limits, or what is not known of it."""
    stated = {
        "sex": series.sex.value,
        "tracer": series.tracer.value,
        "camera": series.camera.value,
        "state": series.state.value,
    }
    missing = [name for name, value in stated.items() if value is None]
    if missing:
        return None, (f"the files do not state the {' and the '.join(missing)}",)
    sex, tracer, camera, state = (str(value) for value in stated.values())
    kind = StudyKind(
        sex=sex,
        tracer=tracer,
        camera=camera,
        position=series.position.value or "supine",
        state=state,
        corrected=series.corrected.value == "yes",
        processing=processing,
    )
    return kind, ()


def measure_perfusion(
    polar_map: PolarMap,
    kind: StudyKind | None,
    known: Sequence[io.SignedLimits],
    *,
    noise: quantify.MapNoise | None,
    rng: np.random.Generator,
    unknown: Sequence[str] = (),
) -> Perfusion:
    """TPD, extent, severity and scores with intervals, if there are normal limits for this kind of study.

    ``unknown`` says why there is no ``kind``. Without ``noise`` intervals cover contour and limits alone, and say so.
    """
    signed, why = (None, tuple(unknown)) if kind is None else io.limits_for(kind, known)
    if signed is None or kind is None:
        reason = f"no normal limits fit: {'; '.join(why)}"
        missing = tuple(
            Quantity(name, None, unit, reason=reason, group="perfusion") for name, unit in _perfusion_names(kind)
        )
        return Perfusion(missing, no_limits=tuple(why), noise=noise)
    limits = signed.limits
    try:
        scaled = quantify.scale_to_limits(polar_map, limits)
        deficit = quantify.perfusion_deficit(scaled, limits)
    except MyoscopeError as error:
        missing = tuple(
            Quantity(name, None, unit, reason=str(error), group="perfusion") for name, unit in _perfusion_names(kind)
        )
        return Perfusion(missing, noise=noise)
    scores = quantify.score_segments(scaled, limits)
    scores_20 = quantify.score_segments(scaled, limits, model=20)
    maps = {
        "relative": polar_map.like(
            polar_map.value * quantify.level_factor(polar_map, limits),
            "scaled to the level of normal limits",
            unit=limits.unit,
        ),
        "blackout": quantify.blackout_map(scaled, limits),
        "severity": quantify.defect_severity_map(scaled, limits),
    }
    quantities = quantify.perfusion_quantities(
        scaled, polar_map, limits, deficit, scores, scores_20, noise=noise, rng=rng, n_draws=_N_DRAWS
    )
    used = LimitsUsed(
        limits.kind, limits.n, limits.provenance, signed.sha256, str(signed.signer) if signed.signer else ""
    )
    by_segment = {"tpd_percent": deficit.segment_tpd_percent}
    return Perfusion(quantities, maps, used, (), deficit, scores, scores_20, limits, noise, by_segment)


def _perfusion_names(kind: StudyKind | None) -> tuple[tuple[str, str], ...]:
    score = "SRS" if kind is not None and kind.state == "rest" else "SSS"
    vessels = tuple((f"TPD, {vessel}", "%") for vessel in VESSELS)
    return (("TPD", "%"), *vessels, ("extent", "%"), ("severity", "deviations"), (score, "1"))


@dataclass(frozen=True, eq=False, slots=True)
class Function:
    """Function, phase and shape of one gated image."""

    quantities: tuple[Quantity, ...]
    maps: Mapping[str, PolarMap] = field(default_factory=dict)
    curve: VolumeCurve | None = None
    flags: tuple[Flag, ...] = ()
    gates: tuple[PolarMap, ...] = ()
    ventricular: quantify.VentricularFunction | None = None
    by_segment: Mapping[str, FloatArray] = field(default_factory=dict)


_FUNCTION_NAMES: tuple[tuple[str, str, str], ...] = (
    ("EDV", "mL", "function"),
    ("ESV", "mL", "function"),
    ("EF", "%", "function"),
    ("stroke volume", "mL", "function"),
    ("phase SD", "deg", "phase"),
    ("phase bandwidth", "deg", "phase"),
)


def no_function(reason: str) -> tuple[Quantity, ...]:
    """The numbers of function, missing for a reason."""
    return tuple(Quantity(name, None, unit, reason=reason, group=group) for name, unit, group in _FUNCTION_NAMES)


def measure_function(
    image: Volume,
    wall: FittedWall,
    *,
    sampling: Sampling,
    rng: np.random.Generator,
    sex: str | None,
    camera: str | None = None,
) -> Function:
    """Volumes, ejection fraction, rates, regional motion and thickening, phase and shape of a gated image.

    ``camera`` is the kind that intervals are taken for (`Series.camera`); an average of kinds unless known.
    """
    surfaces = wall.surfaces
    rr_ms = image.gating.rr_ms if image.gating else None
    try:
        curve = quantify.volume_curve(surfaces.cavity_mL, rr_ms=rr_ms)
        function = quantify.function_of_curve(curve)
    except InvalidValue as error:
        return Function(no_function(str(error)))
    gates = gate_maps(image, surfaces, sampling=sampling)
    regional = quantify.regional_function(
        quantify.smoothed_gates(gates, GATE_SMOOTHING_MM),
        surfaces,
        ed_gate=function.ed_gate,
        es_gate=function.es_gate,
        fwhm_mm=wall.fwhm_mm,
    )
    maps = {
        "motion": regional.motion,
        "thickening": regional.thickening,
        "thickening_counts": regional.corrected_thickening,
    }
    flags = list(quantify.gating_flags(image, cavity_mL=surfaces.cavity_mL))
    relative_noise = gate_noise(gates)
    quantities = [
        *quantify.function_quantities(
            function, fwhm_mm=wall.fwhm_mm, relative_noise=relative_noise, sex=sex, camera=camera
        ),
        Quantity("wall motion, mean", _mean(regional.motion), "mm", group="function"),
        Quantity("wall thickening, mean", _mean(regional.thickening), "%", group="function"),
    ]
    if function.edv_mL < _SMALL_HEART_EDV_ML or function.esv_mL < _SMALL_HEART_ESV_ML:
        flags.append(
            Flag(
                "small_heart",
                f"A small heart (EDV {function.edv_mL:.0f} mL, ESV {function.esv_mL:.0f} mL): at the resolution of "
                "the camera its cavity is hardly seen at end systole; volumes and ejection fraction are uncertain.",
                "warning",
                {"edv_mL": round(function.edv_mL), "esv_mL": round(function.esv_mL)},
            )
        )
    by_segment = {"ef_percent": regional.segment_ef_percent}
    try:
        phases = quantify.phase_figures(gates, PHASE, rng=rng)
        quantities += phases.quantities
        maps |= phases.maps
        flags += phases.flags
        by_segment |= {"phase_deg": phases.segment_mean_deg, "phase_sd_deg": phases.segment_sd_deg}
    except MyoscopeError as error:
        quantities += [q for q in no_function(str(error)) if q.group == "phase"]
    frozen = quantify.motion_frozen_map(gates, ed_gate=function.ed_gate)
    maps["motion_frozen"] = frozen
    index = quantify.shape_index(surfaces)
    axes = quantify.wall_semi_axes_mm(surfaces.gate(function.ed_gate))
    quantities += [
        Quantity("shape index, end diastole", float(index[function.ed_gate]), "1", group="shape"),
        Quantity("shape index, end systole", float(index[function.es_gate]), "1", group="shape"),
        Quantity("eccentricity", float(quantify.eccentricity(axes)), "1", group="shape"),
    ]
    return Function(tuple(quantities), maps, curve, tuple(flags), gates, function, by_segment)


def gate_maps(image: Volume, surfaces: Surfaces, *, sampling: Sampling) -> tuple[PolarMap, ...]:
    """The polar map of every gate on its own wall, all gates brought to equal counts."""
    factors = quantify.equal_count_factors(image)
    sampled = (
        heart.sample_wall(image.frame(gate), surfaces.gate(gate), method=sampling) for gate in range(surfaces.n_gates)
    )
    told = "gates brought to equal counts"
    return tuple(one.like(one.value * factor, told) for one, factor in zip(sampled, factors, strict=True))


def count_thickening(function: Function) -> PolarMap | None:
    """Gain of counts from end diastole to end systole in %, as registries keep it; None where nothing is known."""
    if function.ventricular is None:
        return None
    gates = (function.gates[gate] for gate in (function.ventricular.ed_gate, function.ventricular.es_gate))
    diastole, systole = quantify.smoothed_gates(tuple(gates), GATE_SMOOTHING_MM)
    gain = np.clip(quantify.count_thickening_percent(diastole.value, systole.value), *_COUNT_THICKENING_PERCENT)
    return diastole.like(gain, "rise of counts from end diastole to end systole", unit="%")


def gate_noise(gates: Sequence[PolarMap]) -> float | None:
    """Noise of one cell of one gate as a share of its counts, None where too few gates tell it."""
    counts = np.stack([gate.value for gate in gates])
    try:
        noise = quantify.noise_from_gates(counts)
    except InvalidValue:
        return None
    return noise.relative(np.asarray(np.nansum(counts, axis=0))) * float(np.sqrt(len(gates)))


def _mean(polar_map: PolarMap) -> float:
    seen = np.isfinite(polar_map.value)
    w = np.where(seen, polar_map.weights("surface"), 0.0)
    return float((w * np.where(seen, polar_map.value, 0.0)).sum() / w.sum())


def sampling_quantities(image: Volume, surfaces: Surfaces, polar_map: PolarMap) -> tuple[Quantity, ...]:
    """By how much the three definitions of a polar map differ on this wall."""
    mean, worst = "sampling methods, mean difference", "sampling methods, worst segment"
    methods: tuple[Sampling, ...] = ("surface", "profile", "hybrid")
    try:
        maps = [
            polar_map if polar_map.method == method else heart.sample_wall(image, surfaces, method=method)
            for method in methods
        ]
        found = quantify.sampling_agreement(maps)
    except MyoscopeError as error:
        return tuple(Quantity(name, None, "%", reason=str(error), group="image") for name in (mean, worst))
    return (
        Quantity(mean, found.mean_spread_percent, "%", group="image"),
        Quantity(worst, float(np.nanmax(found.segment_spread_percent)), "%", group="image"),
    )


def image_flags(image: Volume, surfaces: Surfaces, polar_map: PolarMap) -> tuple[Flag, ...]:
    """What an ungated image shows beside the heart and beyond its own edge."""
    beside = quantify.extracardiac_activity(image, surfaces, polar_map).flag()
    outside = quantify.wall_outside_image(image, surfaces)
    septum = quantify.base_of_septum_flag(polar_map, surfaces)
    return tuple(flag for flag in (beside, outside, septum) if flag is not None)


@dataclass(frozen=True, eq=False, slots=True)
class State:
    """One state of a study as `compare_states` needs it."""

    series: Series
    heart: HeartResult
    image: Volume
    still: Surfaces
    perfusion: Perfusion
    function: Function | None = None
    still_fwhm_mm: float | None = None


def compare_states(stress: State, rest: State) -> PairResult:
    """Difference scores, ischaemic TPD, reversibility, direct change, dilation and change of function."""
    quantities: list[Quantity] = []
    maps: dict[str, PolarMap] = {}
    flags: list[Flag] = []
    difference: FloatArray | None = None
    difference_20: FloatArray | None = None
    ours, theirs = stress.perfusion, rest.perfusion
    if ours.deficit is not None and theirs.deficit is not None and ours.scores and theirs.scores:
        found = quantify.ischaemia(ours.deficit, theirs.deficit, stress.heart.maps["relative"])
        scores = ours.scores.minus(theirs.scores)
        difference = scores.scores
        quantities += quantify.change_quantities(found, scores, stress.heart.quantities, rest.heart.quantities)
        if ours.scores_20 and theirs.scores_20:
            scores_20 = ours.scores_20.minus(theirs.scores_20)
            difference_20 = scores_20.scores
            quantities += quantify.sum_of_20("SDS", scores_20, group="change")
        maps["reversibility"] = found.reversible.like(
            found.reversible.value / 4 * 100 * 0.70, "lost under stress and not at rest", unit="%"
        )
    else:
        reason = "stress or rest has no normal limits"
        names = (("SDS", "1"), ("ischaemic TPD", "%"))
        quantities += [Quantity(name, None, unit, reason=reason, group="change") for name, unit in names]
    try:
        change = quantify.stress_rest_change(stress.image, rest.image, stress.still, rest.still)
        flag = change.flag()
        flags += [flag] if flag else []
        quantities.append(Quantity("direct change", change.net_percent, "%", group="change"))
        maps["change"] = stress.heart.polar_map.like(
            100 * change.cell_change, "stress counts over those of rest, less one", unit="%"
        )
    except MyoscopeError as error:
        quantities.append(Quantity("direct change", None, "%", reason=str(error), group="change"))
    try:
        dilation = quantify.transient_dilation(stress.still, rest.still)
        softness = (stress.still_fwhm_mm, rest.still_fwhm_mm)
        known = None if softness[0] is None or softness[1] is None else (softness[0], softness[1])
        camera = camera_kind(stress.series)
        quantities.append(quantify.dilation_quantity(dilation, fwhm_mm=known, camera=camera))
    except MyoscopeError as error:
        quantities.append(Quantity("TID", None, "1", reason=str(error), group="change"))
    quantities.append(_ef_change(stress, rest))
    return PairResult(
        stress.series.name, rest.series.name, tuple(quantities), maps, tuple(flags), difference, difference_20
    )


def _ef_change(stress: State, rest: State) -> Quantity:
    ours, theirs = stress.heart.quantity("EF"), rest.heart.quantity("EF")
    if ours is None or theirs is None or ours.value is None or theirs.value is None:
        return Quantity("EF change", None, "%", reason="stress or rest is not gated", group="change")
    low, high = quantify.difference_interval(theirs, ours)
    return Quantity("EF change", ours.value - theirs.value, "%", low, high, group="change")
