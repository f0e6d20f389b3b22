"""Blood flow of one dynamic series, and of a rest and stress pair. Read top to bottom: this file is the pipeline.

late frames -> left ventricle and its surfaces -> where the heart lay in every frame -> blood of both ventricles ->
blur of the wall -> curves of every cell near the wall's inner side -> one kinetic model, fitted to all cells, segments
and territories at once -> maps and numbers with intervals; then stress over rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from myoscope import heart
from myoscope.core import (
    VESSELS,
    Flag,
    FlowCurves,
    FlowResult,
    InvalidValue,
    PolarMap,
    RegionValue,
    Surfaces,
    Volume,
    segment_table,
)
from myoscope.core.geometry import FloatArray
from myoscope.correct.frame_motion import FrameShifts
from myoscope.dynamic_spect import dynamic_image as dynamic_image
from myoscope.flow_choices import FlowSettings as FlowSettings
from myoscope.flow_choices import settings_of as settings_of
from myoscope.flow_probe import (
    FAR_BREATH_MM,
    LEAST_MUSCLE,
    Probe,
    breathes_far,
    drawn_in_blood,
    no_pool,
    partly_in_blood,
)
from myoscope.flow_protocols import PER_SAMPLE, model_for
from myoscope.flow_protocols import PROTOCOLS as PROTOCOLS
from myoscope.flow_protocols import flow_tracer as flow_tracer
from myoscope.flow_protocols import model_named as model_named
from myoscope.flow_protocols import protocol_of as protocol_of
from myoscope.physics.decay import decay_constant_per_s
from myoscope.physics.frames import Frames
from myoscope.quantify import flow as models
from myoscope.quantify.flow import Blood, FlowEstimate, FlowModel, OneTissue, WallCurves, frame_weights
from myoscope.quantify.flow.blood_pool import blood_pool
from myoscope.quantify.flow.blur import (
    Blur,
    outside_share,
    past_end_share,
    too_far_inside_mm,
)
from myoscope.quantify.flow.bounded import within_bounds
from myoscope.quantify.flow.compartment_model import CompartmentModel
from myoscope.quantify.flow.identifiability import curve_fits
from myoscope.quantify.flow.input_function import InputRegion, factor_curves, left_region, right_region
from myoscope.quantify.flow.interval_constants import UNSEEN_LOG_SD
from myoscope.quantify.flow.wall_place import WallPlace, wall_curves

DEPTHS_MM = (-7.0, -5.0, -3.0, -1.0)
"""Where curves are read: from the inner side to just inside the middle of the wall, so that little lies outside it."""
_BRIGHTEST_PERCENTILE, _BOLUS_S = 99.9, (25.0, 15.0)  # of voxels that tell when the bolus is seen; before and after
_BRIGHT_BLOOD = 0.6  # of the brightest blood, inside the ventricles
_WHERE: Mapping[str, str] = {
    "pool": "left blood read in cavity and atrium together",
    "basal": "left blood read about the valve plane",
    "atrium": "left blood read in the atrium",
    "cavity": "left blood read in the cavity",
    "factors": "left blood by factors",
}
_MAP_SD_MM = 5.0  # neighbouring cells lend each other their counts
_MOST_BLOOD = 0.7
"""Share of blood in the samples of a segment from which on its wall is drawn in blood: none of 1,632 segments of
virtual patients with walls in place had so much (96 scans with rubidium, seeds 800 to 823)."""


@dataclass(frozen=True, eq=False, slots=True)
class FlowData:
    """Everything that was read off one dynamic series before a model is fitted.

    ``cells`` holds the curves of all cells of the polar map (neighbours averaged a little), ``raw`` those without
    averaging, from which regions are made; ``static`` is the late image sampled on the wall.
    """

    tracer: str
    frames: Frames
    place: WallPlace
    static: PolarMap
    shifts: FrameShifts
    blur: Blur
    cells: WallCurves
    raw: WallCurves
    unit: str
    settings: FlowSettings
    flags: tuple[Flag, ...]


def late_frames(volume: Volume, tracer: str) -> NDArray[np.bool_]:
    """Which frames show muscle with this tracer, (frame,).

    Raises
    ------
    InvalidValue
        If the series ends before it does.
    """
    frames = Frames.of(volume)
    late: NDArray[np.bool_] = frames.start_s >= protocol_of(tracer).late_from_s - 0.5
    if not late.any():
        raise InvalidValue(
            f"the series ends {frames.end_min[-1]:.3g} min after its start; with this tracer muscle is seen from "
            f"{protocol_of(tracer).late_from_s / 60:.3g} min on"
        )
    return late


def late_image(volume: Volume, tracer: str) -> Volume:
    """The static perfusion image of a dynamic series: late frames averaged, each with the counts it has.

    With a tracer that leaves muscle as fast as blood, the image of the bolus is taken off, at the level at which the
    ventricles are empty; what is left is where tissue holds the tracer.
    """
    late, frames = late_frames(volume, tracer), Frames.of(volume)
    decay_per_min = 60 * decay_constant_per_s(protocol_of(tracer).nuclide)
    weight = late * frames.duration_min * np.exp(-decay_per_min * frames.middle_min)
    image = np.tensordot(weight / weight.sum(), np.asarray(volume.array), axes=1)
    begin, end = (60 * float(t) for t in (frames.start_min[np.argmax(late)], frames.end_min[late][-1]))
    step = f"mean of the frames from {begin:.0f} to {end:.0f} s"
    if protocol_of(tracer).leaves_muscle:
        blood = _bolus_image(volume, frames)
        bright = blood > _BRIGHT_BLOOD * blood.max()
        image = np.clip(image - np.median(image[bright] / blood[bright]) * blood, 0, None)
        step += ", less the blood that the bolus showed"
    return Volume(image.astype(np.float32), volume.grid, volume.unit, (*volume.made_by, step))


def _bolus_image(volume: Volume, frames: Frames) -> FloatArray:
    """Blood of both ventricles: the mean of the frames about the one with the brightest blood."""
    activity = np.asarray(volume.array, np.float64)
    brightest = np.percentile(activity.reshape(len(activity), -1), _BRIGHTEST_PERCENTILE, axis=1)
    peak_s = float(frames.start_s[int(brightest.argmax())])
    before, after = _BOLUS_S
    near = (frames.start_s >= peak_s - before) & (frames.start_s < peak_s + after)
    weight = near * frames.duration_min
    blood: FloatArray = np.tensordot(weight / weight.sum(), activity, axes=1)
    return blood


def gather(volume: Volume, surfaces: Surfaces, tracer: str, *, settings: FlowSettings | None = None) -> FlowData:
    """Align the frames, read blood and wall, and find out how blurred the wall is.

    ``surfaces`` is the wall in the late image.

    Raises
    ------
    InvalidValue
        If the series has no late frames, or the blood of the left ventricle lies outside the image.
    """
    settings = settings or FlowSettings()
    protocol = protocol_of(tracer)
    frames, late = Frames.of(volume), late_frames(volume, tracer)
    static = heart.sample_wall(late_image(volume, tracer), surfaces, method="surface")
    shifts = protocol.find_shifts(volume, surfaces, late=late) if settings.motion else FrameShifts.none(len(frames))
    moved, place = shifts.displacement_mm, WallPlace.of(surfaces)

    left, right, doubts = _blood(volume, surfaces, moved, tracer, settings)
    flags = [*doubts]
    if right is None:
        message = "No bolus was seen in the right ventricle: its blood was not told apart from muscle in the septum."
        flags.append(Flag("right_blood_not_seen", message, "warning"))

    for again in (False, True):
        curves = wall_curves(volume, place, moved, DEPTHS_MM)
        seen = np.isfinite(curves).all(axis=1)
        if not seen.any():
            raise InvalidValue("no part of the wall was seen in every frame")
        mean = curves[seen].mean(axis=0)
        weight = frame_weights(frames, mean, nuclide=protocol.nuclide, weighting=settings.weighting)
        probe = Probe(volume, place, moved, frames, left, right, weight, tracer)
        blur = probe.blur()
        # An image so blurred that its shares are measured says little about where blood ends.
        inside_mm = 0.0 if protocol.measured_shares else too_far_inside_mm(place, blur)
        if again or not inside_mm:
            break
        place = place.moved_out(inside_mm)
        flags.append(drawn_in_blood(inside_mm))
    if blur.breathing_sd_mm > FAR_BREATH_MM and not protocol.measured_shares:
        flags.append(breathes_far(blur.breathing_sd_mm))
    beside = probe.beside_right()
    resolution_mm = settings.resolution_fwhm_mm or protocol.resolution_fwhm_mm
    outside, past_end = np.zeros(place.n_cells), np.zeros(place.n_cells)
    if settings.outside:
        outside = outside_share(
            place,
            blur,
            DEPTHS_MM,
            resolution_fwhm_mm=resolution_mm,
            beside_right=beside,
            outer_edge_mm=protocol.outer_edge_mm,
        )
        past_end = past_end_share(place, blur, resolution_fwhm_mm=resolution_mm)
    raw = WallCurves(
        frames,
        curves,
        left,
        right,
        weight=weight,
        outside=np.minimum(outside, 0.9),
        past_end=past_end,
        beside_right=beside.ravel(),
    )
    lent = _lent(curves, place, _MAP_SD_MM)
    if protocol.measured_shares:
        blood = probe.blood_share(lent, beside.ravel())
        muscle = np.clip((1 - past_end) * (1 - blood - np.minimum(outside, 0.9)), LEAST_MUSCLE, 1.0)
        raw = replace(raw, blood_share=blood, recovery=muscle)
    cells = replace(raw, tissue=lent)
    return FlowData(tracer, frames, place, static, shifts, blur, cells, raw, volume.unit, settings, tuple(flags))


def _blood(
    volume: Volume, surfaces: Surfaces, shifts_mm: FloatArray, tracer: str, settings: FlowSettings
) -> tuple[Blood, Blood | None, tuple[Flag, ...]]:
    """Blood of the left ventricle, read where the settings say, of the right one where it was seen, and doubts."""
    frames, protocol = Frames.of(volume), protocol_of(tracer)
    chosen = settings.input_region or protocol.input_region
    region: InputRegion = "basal" if chosen == "pool" or chosen == "factors" else chosen
    left = left_region(volume, surfaces, shifts_mm, where=region).means
    found = right_region(volume, surfaces, shifts_mm, left)
    doubts: tuple[Flag, ...] = ()
    right = None if found is None else found.means
    if chosen == "factors":
        factors = factor_curves(volume, surfaces, shifts_mm)
        left, right = factors.left, None if right is None else factors.right
    if chosen == "pool":
        weight = frame_weights(frames, left, nuclide=protocol.nuclide, weighting=settings.weighting)
        pool = blood_pool(volume, surfaces, shifts_mm, first=left, right=right, weight=weight)
        if pool is None:
            doubts = (no_pool(),)
        else:
            left = pool.means
    return Blood.from_means(frames, left), None if right is None else Blood.from_means(frames, right), doubts


def _lent(curves: FloatArray, place: WallPlace, sd_mm: float) -> FloatArray:
    """Each cell's curve averaged with its neighbours' along the wall, by a Gaussian of this standard deviation."""
    # Millions of pairs: single precision is a fraction of a micrometre here, and several times faster.
    points = place.mid_mm.reshape(-1, 3)
    points = (points - points.mean(axis=0)).astype(np.float32) / np.float32(np.sqrt(2) * sd_mm)
    square = (points**2).sum(axis=1)
    apart = square[:, None] + square[None] - 2 * points @ points.T
    seen: NDArray[np.bool_] = np.asarray(np.isfinite(curves).all(axis=1))
    weight = np.exp(-np.maximum(apart, 0)) * (place.area_mm2.ravel() * seen).astype(np.float32)
    total = np.maximum(weight.sum(axis=1, keepdims=True, dtype=np.float64), 1e-12)
    lent = weight.astype(np.float64) @ np.where(seen[:, None], curves, 0.0) / total
    return np.where(seen[:, None], lent, np.nan)


DOUBTFUL_LOG_SD = 0.08
"""Error of the fit to the curve of the whole wall, in logarithms of flow, from which on something was read in a wrong
place: it is 0.02 to 0.03 where all is well in virtual patients."""


def _is_doubtful(whole: RegionValue) -> bool:
    """Whether the model hardly fits the curve of the whole wall."""
    if whole.value is None or whole.low is None or whole.high is None:
        return True
    spread = float(np.log(whole.high / whole.low)) / (2 * 1.96)
    return spread**2 - UNSEEN_LOG_SD["whole"] ** 2 > DOUBTFUL_LOG_SD**2


def _doubts(whole: RegionValue) -> tuple[Flag, ...]:
    if not _is_doubtful(whole):
        return ()
    message = (
        "The model hardly fits the curve of the whole wall: the heart, its movement or its blood was probably read in "
        "a wrong place. Do not trust the flow."
    )
    return (Flag("flow_doubtful", message, "error"),)


def fit_flow(data: FlowData) -> FlowResult:
    """Fit the model to cells, segments, territories and the whole wall, and put the result together.

    Raises
    ------
    InvalidValue
        If the model that the settings name is another tracer's.
    """
    settings = data.settings
    model = model_for(data.tracer, settings.model)
    regions, names = regions_of(data)
    region_curves = data.raw.averaged(regions)
    said = _choices(data)
    # One volume for the whole heart leaves no k2 that could be held.
    together = settings.global_volume and "k2" not in settings.bounds
    if together and isinstance(model, OneTissue) and model.distribution_volume_mL_mL is None:
        try:
            model = models.with_global_distribution_volume(model, region_curves.some(np.arange(17)))
            said.append(f"one distribution volume for the whole wall, {model.distribution_volume_mL_mL:.2f} mL/mL")
        except InvalidValue as why:
            said.append(f"washout fitted cell by cell ({why})")
    model = within_bounds(model, settings.bounds)
    said += [f"{name} held within {low:g} and {high:g}" for name, (low, high) in settings.bounds.items()]
    found = model.estimate(data.cells)
    whole = model.estimate(region_curves)
    in_blood = _in_blood(model, whole)
    values = _region_values(data, whole, names, in_blood)

    flow = data.static.like(found.flow.reshape(data.static.value.shape), f"flow by {found.model}", unit="mL/min/g")
    error = flow.like(found.flow_se.reshape(flow.value.shape), "standard error of the fit")
    parameters = {
        p.name: flow.like(found.of(p.name).reshape(flow.value.shape), p.name, unit=p.unit)
        for p in found.parameters
        if p.name not in ("flow",)
    }
    for name, (rate, unit) in model.rates(np.nan_to_num(found.value)).items():
        value = np.where(found.failed, np.nan, rate).reshape(flow.value.shape)
        parameters[name] = flow.like(value, f"rate of exchange {name}", unit=unit)
    vessels = slice(17, 21)
    fits = curve_fits(model, region_curves.some(np.arange(17, 21)), whole.some(np.arange(17, 21)), names[vessels])
    curves = FlowCurves(
        data.frames.start_s,
        data.frames.duration_s,
        data.raw.left.means,
        np.full(len(data.frames), np.nan) if data.raw.right is None else data.raw.right.means,
        tuple(names[vessels]),
        region_curves.tissue[vessels],
        _padded(whole.fitted[vessels], len(data.frames)),
        data.unit,
    )
    return FlowResult(
        tracer=data.tracer,
        model=found.model,
        flow=flow,
        error=error,
        parameters=parameters,
        segments=values[:17],
        vessels=values[17:20],
        whole=values[20],
        curves=curves,
        shifts_mm=data.shifts.displacement_mm,
        shift_kind=data.shifts.kind,
        shift_fit=data.shifts.fit,
        failed=dict(Counter(r for r in found.reason.tolist() if r)),
        flags=(*data.flags, *partly_in_blood(in_blood, names), *_doubts(values[20]), *_uncalibrated(model)),
        settings=tuple(said),
        fits=fits,
    )


def _choices(data: FlowData) -> list[str]:
    """How the curves were read and weighted, for whoever wants the same again."""
    chosen = data.settings.input_region or protocol_of(data.tracer).input_region
    said = [_WHERE[chosen]]
    said.append(f"frames weighted by {data.settings.weighting}")
    if not data.settings.motion:
        said.append("frames not aligned")
    if not data.settings.outside:
        said.append("what lies beyond the wall not left out")
    return said


def _uncalibrated(model: FlowModel) -> tuple[Flag, ...]:
    """A doubt about models that take what was sampled for muscle: curves are read where half of it is blood."""
    if model.name not in {model_named(name).name for name in PER_SAMPLE}:
        return ()
    message = (
        f"{model.name} counts what was sampled as muscle (or a fixed share of it), and this chain reads the inner side "
        "of the wall, half of which is blood to the camera: flow comes out too low, by up to a factor of four in "
        "virtual patients, and its interval does not say so. Use it to compare models, not patients."
    )
    return (Flag("flow_model_not_made_for_this", message, "warning", {"model": model.name}),)


def _padded(curves: FloatArray, n: int) -> FloatArray:
    """Fitted curves of a model that reads early frames alone, NaN in the others."""
    out = np.full((len(curves), n), np.nan)
    out[:, : curves.shape[1]] = curves
    return out


def regions_of(data: FlowData) -> tuple[FloatArray, list[str]]:
    """Area-weighted means over segments, territories and everything, (region, cell), and their names."""
    polar, area = data.static, data.place.area_mm2.ravel()
    seen = np.isfinite(data.raw.tissue).all(axis=1)
    weight = area * seen
    groups = [polar.segment.ravel() == n for n in range(1, 18)]
    groups += [polar.territory.ravel() == n for n in range(len(VESSELS))]
    groups.append(np.ones(len(area), bool))
    rows = np.stack([weight * g for g in groups])
    rows = rows / np.maximum(rows.sum(axis=1, keepdims=True), 1e-12)
    return rows, [*(s.name for s in segment_table(17)), *VESSELS, "left ventricle"]


def _in_blood(model: FlowModel, found: FlowEstimate) -> NDArray[np.bool_]:
    """Which of the 17 segments are drawn in blood, of a model that takes for muscle what is not blood."""
    if not (isinstance(model, CompartmentModel) and model.sharing == "geometric" and found.has("v_lv")):
        return np.zeros(17, bool)
    return np.asarray(np.nan_to_num(found.of("v_lv")[:17]) > _MOST_BLOOD)


def _region_values(
    data: FlowData, found: FlowEstimate, names: list[str], in_blood: NDArray[np.bool_]
) -> tuple[RegionValue, ...]:
    """Flow of each region: of a segment as fitted, of larger ones as the mean of their segments by area.

    A territory with a defect is not what its mean curve says, because uptake bends with flow. Its interval is the one
    of the fit to its curve, moved to that mean and widened by `UNSEEN_LOG_SD`.
    """
    polar, area = data.static, data.place.area_mm2.ravel()
    segment = polar.segment.ravel()
    size = np.array([area[segment == n].sum() for n in range(1, 18)])
    vessel_of = np.array([VESSELS.index(s.vessel) for s in segment_table(17)])
    unseen = [
        UNSEEN_LOG_SD[kind] for kind, n in (("segment", 17), ("vessel", len(VESSELS)), ("whole", 1)) for _ in range(n)
    ]
    low, high = _interval(found, np.array(unseen))
    values = []
    told = (size > 0) & ~found.failed[:17] & ~in_blood
    members = [*np.eye(17, dtype=bool), *(vessel_of == n for n in range(len(VESSELS))), np.ones(17, bool)]
    for k, (name, member) in enumerate(zip(names, members, strict=True)):
        flow, use = float(found.flow[k]), member & told
        if found.failed[k]:
            values.append(RegionValue(name, None, reason=str(found.reason[k])))
        elif in_blood[member].any() and not use.any():
            values.append(RegionValue(name, None, reason="the wall is drawn in blood here"))
        else:
            mean = float(np.average(found.flow[:17][use], weights=size[use])) if use.any() else flow
            values.append(RegionValue(name, mean, mean * float(low[k]) / flow, mean * float(high[k]) / flow))
    return tuple(values)


def _interval(found: FlowEstimate, unseen_log_sd: FloatArray) -> tuple[FloatArray, FloatArray]:
    from scipy.special import stdtrit

    t = float(stdtrit(max(found.dof, 1), 0.975))
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.sqrt((t * found.flow_se / found.flow) ** 2 + (1.96 * unseen_log_sd) ** 2)
        factor = np.exp(np.minimum(spread, 50))
    return found.flow / factor, found.flow * factor


def measure_flow(
    volume: Volume, surfaces: Surfaces, tracer: str, *, settings: FlowSettings | None = None
) -> FlowResult:
    """Blood flow of one dynamic series whose late image has these surfaces."""
    return fit_flow(gather(volume, surfaces, tracer, settings=settings))


_FAR_MM = 15.0  # finders whose hearts lie farther apart do not mean the same one
_BLOOD_RADIUS_MM = 10.0


def find_ventricle(
    volume: Volume, tracer: str, *, prefer: Literal["auto", "network", "model"] = "auto"
) -> tuple[heart.LeftVentricle, Mapping[str, float]]:
    """The left ventricle in the late image of a dynamic series, and how far apart the two finders are.

    Where muscle is pale and liver or stomach bright, a finder may take those for the heart. A ventricle is full of the
    bolus before its muscle shows, and little else with a bright wall is (a great vein within the liver, for one): where
    the two finders disagree, the one is believed whose heart holds more blood early, times its confidence.

    Raises
    ------
    HeartNotFound
        If there is none to be found.
    """
    image = late_image(volume, tracer)
    found, agreement = heart.find_left_ventricle(image, in_training_domain=False, prefer=prefer)
    if prefer != "auto" or agreement.get("centre_mm", 0.0) <= _FAR_MM:
        return found, agreement
    other, _ = heart.find_left_ventricle(image, in_training_domain=False, prefer="network")
    ours, theirs = (_early_blood(volume, one, tracer) * one.confidence for one in (found, other))
    if ours >= theirs:
        return found, agreement
    message = (
        "The finders disagree, and the one that usually goes first found a place with less early blood or less "
        "surely: the other one was believed."
    )
    flag = Flag("ventricle_told_by_blood", message, "info", {"score_ratio": round(theirs / max(ours, 1e-9), 1)})
    return replace(other, flags=(*other.flags, flag)), agreement


def _early_blood(volume: Volume, ventricle: heart.LeftVentricle, tracer: str) -> float:
    """Highest activity of any early frame in the middle of a ventricle, of the mean of its wall in late ones."""
    grid = volume.grid
    early = Frames.of(volume).start_s < protocol_of(tracer).late_from_s
    wall = np.asarray(ventricle.wall.array) > 0
    muscle = float(np.asarray(late_image(volume, tracer).array)[wall].mean())
    middle = grid.to_mm(np.argwhere(wall).mean(axis=0))
    near = np.linalg.norm(grid.points_mm() - middle, axis=-1) < _BLOOD_RADIUS_MM
    blood = float(np.asarray(volume.array)[early][:, near].mean(axis=1).max())
    return blood / max(muscle, 1e-9)


def find_wall(volume: Volume, tracer: str) -> Surfaces:
    """The wall of the left ventricle in the late image of a dynamic series.

    Raises
    ------
    HeartNotFound
        If there is none to be found.
    """
    ventricle, _ = find_ventricle(volume, tracer)
    return heart.fit_surfaces(
        late_image(volume, tracer), ventricle, resolution_fwhm_mm=protocol_of(tracer).wall_fit_fwhm_mm
    )
