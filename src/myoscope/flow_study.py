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
    Quantity,
    RegionValue,
    ReserveResult,
    Surfaces,
    Volume,
    segment_table,
)
from myoscope.core.geometry import FloatArray
from myoscope.correct.frame_motion import FrameShifts
from myoscope.correct.residual import residual_image, subtract_residual
from myoscope.dynamic_spect import dynamic_image as dynamic_image
from myoscope.flow_protocols import BY_FACTORS, PER_SAMPLE, Threshold, model_for
from myoscope.flow_protocols import PROTOCOLS as PROTOCOLS
from myoscope.flow_protocols import flow_tracer as flow_tracer
from myoscope.flow_protocols import model_named as model_named
from myoscope.flow_protocols import protocol_of as protocol_of
from myoscope.physics.decay import decay_constant_per_s, share_left
from myoscope.physics.frames import Frames
from myoscope.quantify import flow as models
from myoscope.quantify.flow import Blood, FlowEstimate, FlowModel, OneTissue, WallCurves, frame_weights
from myoscope.quantify.flow.blur import EDGE_DEPTHS_MM, Blur, blur_from_blood, edge_regions, outside_share
from myoscope.quantify.flow.capacity import HOUSTON, CapacityClasses, capacity_class, capacity_shares
from myoscope.quantify.flow.indices import (
    REFERENCE_RATE_PRESSURE,
    corrected_for_work,
    flow_reserve,
    relative_reserve,
    reserve_map,
)
from myoscope.quantify.flow.input_function import InputRegion, factor_curves, left_region, right_region
from myoscope.quantify.flow.interval_constants import UNSEEN_LOG_SD
from myoscope.quantify.flow.wall_place import WallPlace, read_frames, wall_curves

DEPTHS_MM = (-7.0, -5.0, -3.0, -1.0)
"""Where curves are read: from the inner side to just inside the middle of the wall, so that little lies outside it."""
_BRIGHTEST_PERCENTILE, _BOLUS_S = 99.9, (25.0, 15.0)  # of voxels that tell when the bolus is seen; before and after
_BRIGHT_BLOOD = 0.6  # of the brightest blood, inside the ventricles
_MAP_SD_MM = 5.0  # neighbouring cells lend each other their counts
_LEAST_MUSCLE = 0.2  # share of muscle that a sample of the wall has at least
_BESIDE_RIGHT = 0.3  # share of right blood beyond the wall from which a cell is beside the right ventricle


@dataclass(frozen=True, slots=True)
class FlowSettings:
    """What a user may choose about flow.

    ``model``, ``input_region`` (where left blood is read, or ``factors``) and ``resolution_fwhm_mm`` None take the
    tracer's usual one; ``motion`` whether frames are aligned; ``global_volume`` ties washout to uptake by one
    distribution volume of the whole heart where the model has one; ``outside`` leaves out what of a sample lies beyond
    the wall.
    """

    model: FlowModel | None = None
    input_region: InputRegion | Literal["factors"] | None = None
    motion: bool = True
    global_volume: bool = True
    outside: bool = True
    resolution_fwhm_mm: float | None = None
    weighting: Literal["uniform", "duration", "counts"] = "counts"


def settings_of(model: str | None, *, resolution_fwhm_mm: float | None = None) -> FlowSettings:
    """Settings for a model by its name, None = the tracer's usual one, with the input that it was made for.

    Raises
    ------
    InvalidValue
        If there is no such model.
    """
    if model is None:
        return FlowSettings(resolution_fwhm_mm=resolution_fwhm_mm)
    region: Literal["factors"] | None = "factors" if model in BY_FACTORS else None
    return FlowSettings(model_named(model), region, resolution_fwhm_mm=resolution_fwhm_mm)


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
    frames, late, flags = Frames.of(volume), late_frames(volume, tracer), []
    static = heart.sample_wall(late_image(volume, tracer), surfaces, method="surface")
    shifts = protocol.find_shifts(volume, surfaces, late=late) if settings.motion else FrameShifts.none(len(frames))
    moved, place = shifts.displacement_mm, WallPlace.of(surfaces)

    chosen = settings.input_region or protocol.input_region
    region: InputRegion = "basal" if chosen == "factors" else chosen
    left_means = left_region(volume, surfaces, moved, where=region).means
    found = right_region(volume, surfaces, moved, left_means)
    right_means = None if found is None else found.means
    if chosen == "factors":
        factors = factor_curves(volume, surfaces, moved)
        left_means, right_means = factors.left, factors.right if found is not None else None
    if right_means is None:
        message = "No bolus was seen in the right ventricle: its blood was not told apart from muscle in the septum."
        flags.append(Flag("right_blood_not_seen", message, "warning"))
    left = Blood.from_means(frames, left_means)
    right = None if right_means is None else Blood.from_means(frames, right_means)

    curves = wall_curves(volume, place, moved, DEPTHS_MM)
    seen = np.isfinite(curves).all(axis=1)
    if not seen.any():
        raise InvalidValue("no part of the wall was seen in every frame")
    weight = frame_weights(frames, curves[seen].mean(axis=0), nuclide=protocol.nuclide, weighting=settings.weighting)
    probe = _Probe(volume, place, moved, frames, left, right, weight, tracer)
    beside = probe.beside_right()
    blur = probe.blur()
    resolution_mm = settings.resolution_fwhm_mm or protocol.resolution_fwhm_mm
    outside = (
        outside_share(
            place,
            blur,
            DEPTHS_MM,
            resolution_fwhm_mm=resolution_mm,
            beside_right=beside,
            outer_edge_mm=protocol.outer_edge_mm,
        )
        if settings.outside
        else np.zeros(place.n_cells)
    )
    raw = WallCurves(
        frames, curves, left, right, weight=weight, outside=np.minimum(outside, 0.9), beside_right=beside.ravel()
    )
    lent = _lent(curves, place, _MAP_SD_MM)
    if protocol.measured_shares:
        blood = probe.blood_share(lent, beside.ravel())
        muscle = np.clip(1 - blood - np.minimum(outside, 0.9), _LEAST_MUSCLE, 1.0)
        raw = replace(raw, blood_share=blood, recovery=muscle)
    cells = replace(raw, tissue=lent)
    return FlowData(tracer, frames, place, static, shifts, blur, cells, raw, volume.unit, settings, tuple(flags))


class _Probe:
    """Fits of a plain one-tissue model at a few places about the wall, which tell what lies there."""

    def __init__(
        self,
        volume: Volume,
        place: WallPlace,
        shifts_mm: FloatArray,
        frames: Frames,
        left: Blood,
        right: Blood | None,
        weight: FloatArray,
        tracer: str,
    ) -> None:
        self.volume, self.place, self.shifts_mm = volume, place, shifts_mm
        self.blood = (frames, left, right, weight)
        plain: Mapping[str, FlowModel] = {
            "water": models.iida(),
            "sestamibi": models.tc99m_one_tissue("sestamibi", washout="none"),
            "tetrofosmin": models.tc99m_one_tissue("tetrofosmin", washout="none"),
        }
        self.model = plain.get(tracer) or models.katoh()

    def fit(self, curves: FloatArray) -> FlowEstimate:
        frames, left, right, weight = self.blood
        return self.model.estimate(WallCurves(frames, np.nan_to_num(curves), left, right, weight=weight))

    def blood_share(self, curves: FloatArray, beside_right: NDArray[np.bool_]) -> FloatArray:
        """Share of blood, left and right, in samples with these curves, (cell,): 0 where it cannot be told."""
        frames, left, right, weight = self.blood
        known = WallCurves(frames, np.nan_to_num(curves), left, right, weight=weight, beside_right=beside_right)
        found = self.model.estimate(known)
        share = found.of("v_lv") + (found.of("v_rv") if found.has("v_rv") else 0.0)
        return np.clip(np.nan_to_num(share), 0.0, 1 - _LEAST_MUSCLE)

    def beside_right(self) -> NDArray[np.bool_]:
        """Cells beyond whose outer side lies right blood, (ring, angle)."""
        rings, angles = self.place.thickness_mm.shape
        if self.blood[2] is None:
            return np.zeros((rings, angles), bool)
        beyond = self.place.mid_mm + (0.5 * self.place.thickness_mm + 6.0)[..., None] * self.place.outward
        curves = read_frames(self.volume, beyond, self.shifts_mm)
        block = np.nan_to_num(curves).reshape(len(curves), rings // 4, 4, angles // 6, 6).mean(axis=(2, 4))
        share: FloatArray = np.nan_to_num(self.fit(block.reshape(len(curves), -1).T).of("v_rv"))
        yes: NDArray[np.bool_] = np.asarray(share.reshape(rings // 4, angles // 6) > _BESIDE_RIGHT)
        return np.repeat(np.repeat(yes, 4, axis=0), 6, axis=1)

    def blur(self) -> Blur:
        regions, amount = edge_regions(self.place)
        curves = np.concatenate(
            [
                regions @ np.nan_to_num(wall_curves(self.volume, self.place, self.shifts_mm, [depth]))
                for depth in EDGE_DEPTHS_MM
            ]
        )
        share = self.fit(curves).of("v_lv").reshape(len(EDGE_DEPTHS_MM), len(regions))
        return blur_from_blood(np.nan_to_num(share), amount)


def _lent(curves: FloatArray, place: WallPlace, sd_mm: float) -> FloatArray:
    """Each cell's curve averaged with its neighbours' along the wall, by a Gaussian of this standard deviation."""
    points = place.mid_mm.reshape(-1, 3)
    square = (points**2).sum(axis=1)
    apart = np.maximum(square[:, None] + square[None] - 2 * points @ points.T, 0)
    seen: NDArray[np.bool_] = np.asarray(np.isfinite(curves).all(axis=1))
    weight = np.exp(-0.5 * apart / sd_mm**2) * (place.area_mm2.ravel() * seen)
    lent = weight @ np.where(seen[:, None], curves, 0.0) / np.maximum(weight.sum(axis=1, keepdims=True), 1e-12)
    return np.where(seen[:, None], lent, np.nan)


DOUBTFUL_LOG_SD = 0.08
"""Error of the fit to the curve of the whole wall, in logarithms of flow, from which on something was read in a wrong
place: it is 0.02 to 0.03 where all is well in virtual patients."""


def is_doubtful(whole: RegionValue) -> bool:
    """Whether the model hardly fits the curve of the whole wall."""
    if whole.value is None or whole.low is None or whole.high is None:
        return True
    spread = float(np.log(whole.high / whole.low)) / (2 * 1.96)
    return spread**2 - UNSEEN_LOG_SD["whole"] ** 2 > DOUBTFUL_LOG_SD**2


def _doubts(whole: RegionValue) -> tuple[Flag, ...]:
    if not is_doubtful(whole):
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
    if settings.global_volume and isinstance(model, OneTissue) and model.distribution_volume_mL_mL is None:
        try:
            model = models.with_global_distribution_volume(model, region_curves.some(np.arange(17)))
            said.append(f"one distribution volume for the whole wall, {model.distribution_volume_mL_mL:.2f} mL/mL")
        except InvalidValue as why:
            said.append(f"washout fitted cell by cell ({why})")
    found = model.estimate(data.cells)
    whole = model.estimate(region_curves)
    values = _region_values(data, whole, names)

    flow = data.static.like(found.flow.reshape(data.static.value.shape), f"flow by {found.model}", unit="mL/min/g")
    error = flow.like(found.flow_se.reshape(flow.value.shape), "standard error of the fit")
    parameters = {
        p.name: flow.like(found.of(p.name).reshape(flow.value.shape), p.name, unit=p.unit)
        for p in found.parameters
        if p.name not in ("flow",)
    }
    if isinstance(model, OneTissue):
        k1 = model.uptake_rate(np.nan_to_num(found.flow))
        parameters["k1"] = flow.like(
            np.where(found.failed, np.nan, k1).reshape(flow.value.shape), "uptake rate", unit="mL/min/mL"
        )
        if model.distribution_volume_mL_mL is not None:
            k2 = parameters["k1"].value / model.distribution_volume_mL_mL
            parameters["k2"] = flow.like(k2, "washout", unit="1/min")
    vessels = slice(17, 21)
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
        flags=(*data.flags, *_doubts(values[20]), *_uncalibrated(model)),
        settings=tuple(said),
    )


def _choices(data: FlowData) -> list[str]:
    """How the curves were read and weighted, for whoever wants the same again."""
    chosen = data.settings.input_region or protocol_of(data.tracer).input_region
    said = [f"left blood by {chosen}" if chosen == "factors" else f"left blood read in: {chosen}"]
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


def _region_values(data: FlowData, found: FlowEstimate, names: list[str]) -> tuple[RegionValue, ...]:
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
    for k, name in enumerate(names):
        flow = float(found.flow[k])
        if found.failed[k]:
            values.append(RegionValue(name, None, reason=str(found.reason[k])))
            continue
        if k >= 17:
            members = np.ones(17, bool) if k == 20 else vessel_of == k - 17
            use = members & (size > 0) & ~found.failed[:17]
            mean = float(np.average(found.flow[:17][use], weights=size[use])) if use.any() else flow
        else:
            mean = flow
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


_MAP_NAMES = {"k1": "uptake", "k2": "washout", "v_lv": "left_blood", "v_rv": "right_blood", "ptf": "tissue_share"}


def flow_maps(found: FlowResult) -> dict[str, PolarMap]:
    """The maps of a flow result by the names of `MAP_MEANINGS`."""
    named = {_MAP_NAMES[name]: one for name, one in found.parameters.items() if name in _MAP_NAMES}
    return {"flow": found.flow, "flow_error": found.error, **named}


_INTERVAL_OF = "what people have that virtual patients have not: errors beyond the fit's own were measured on those"


def flow_quantities(found: FlowResult, *, stress: bool) -> tuple[Quantity, ...]:
    """Flow of the ventricle and its territories as numbers of the series; ``stress`` holds them against a limit."""
    limit = protocol_of(found.tracer).low_flow if stress else None
    parts = (found.whole, *found.vessels)
    names = ("blood flow", *(f"blood flow, {one.region}" for one in found.vessels))
    return tuple(_told(name, one, "mL/min/g", limit) for name, one in zip(names, parts, strict=True))


def no_flow(reason: str) -> tuple[Quantity, ...]:
    """Flow that is missing for a reason."""
    return (Quantity("blood flow", None, "mL/min/g", reason=reason, group="flow"),)


def _told(name: str, one: RegionValue, unit: str, limit: Threshold | None = None) -> Quantity:
    if one.value is None:
        return Quantity(name, None, unit, reason=one.reason, group="flow")
    return Quantity(
        name,
        one.value,
        unit,
        one.low,
        one.high,
        group="flow",
        abnormal=None if limit is None else one.value < limit.value,
        limit="" if limit is None else limit.said(),
        interval_of="" if one.low is None else _INTERVAL_OF,
    )


_LEAST_RESIDUAL = 0.002
"""Less than this share of the first injection is left to nobody's harm."""


def left_by_first(tracer: str, seconds_between: float) -> float:
    """Share of a first injection that is left at the start of a second study, 0 where it is too little to matter."""
    share = float(share_left(protocol_of(tracer).nuclide, seconds_between))
    return share if share >= _LEAST_RESIDUAL else 0.0


def without_first(
    second: Volume, first: Volume, tracer: str, *, seconds_between: float, second_wall: Surfaces, first_wall: Surfaces
) -> Volume:
    """The second dynamic image of a day less what the first injection left in it, put where the heart now lies."""
    moved_mm = second_wall.mid_mm.mean(axis=(0, 1)) - first_wall.mid_mm.mean(axis=(0, 1))
    return subtract_residual(
        second,
        residual_image(first),
        nuclide=protocol_of(tracer).nuclide,
        seconds_between=seconds_between,
        moved_mm=moved_mm,
    )


def reserve_of(
    stress: FlowResult,
    rest: FlowResult,
    *,
    rate_pressure: float | None = None,
    classes: CapacityClasses = HOUSTON,
) -> ReserveResult:
    """Stress over rest: map, regions, reserve corrected for work at rest, relative reserve, and flow capacity.

    ``rate_pressure`` is heart rate times systolic pressure at rest.

    Raises
    ------
    InvalidValue
        If the two were measured with different tracers or models.
    """
    if stress.tracer != rest.tracer or stress.model != rest.model:
        raise InvalidValue(
            f"stress was measured with {stress.tracer} by {stress.model}, rest with {rest.tracer} by {rest.model}: "
            "their ratio is no reserve"
        )
    ratio = reserve_map(stress.flow, rest.flow)
    capacity = capacity_class(stress.flow.value, ratio.value, classes=classes)
    return ReserveResult(
        reserve=ratio,
        segments=tuple(flow_reserve(s, r) for s, r in zip(stress.segments, rest.segments, strict=True)),
        vessels=tuple(flow_reserve(s, r) for s, r in zip(stress.vessels, rest.vessels, strict=True)),
        whole=flow_reserve(stress.whole, rest.whole),
        corrected=flow_reserve(stress.whole, corrected_for_work(rest.whole, rate_pressure)),
        relative=relative_reserve(stress.segments, stress.vessels),
        capacity=np.asarray(capacity, np.float64),
        capacity_names=classes.names,
        capacity_share=capacity_shares(capacity, stress.flow.weights("surface"), classes=classes),
        capacity_source=classes.source,
    )


def reserve_maps(found: ReserveResult) -> dict[str, PolarMap]:
    """Reserve and capacity as maps by the names of `MAP_MEANINGS`."""
    capacity = np.where(found.capacity >= 0, found.capacity, np.nan)
    return {
        "reserve": found.reserve,
        "capacity": found.reserve.like(capacity, "classes of flow capacity", unit="class"),
    }


def reserve_quantities(found: ReserveResult, tracer: str) -> tuple[Quantity, ...]:
    """Reserve and capacity as numbers of the pair."""
    limit = protocol_of(tracer).low_reserve
    lowest = min((s for s in found.relative if s.value is not None), key=lambda s: s.value or 0.0, default=None)
    low = found.relative[0] if lowest is None else lowest
    return (
        _told("flow reserve", found.whole, "1", limit),
        *(_told(f"flow reserve, {one.region}", one, "1", limit) for one in found.vessels),
        _told(f"flow reserve, at a rate-pressure product of {REFERENCE_RATE_PRESSURE:g} at rest", found.corrected, "1"),
        _told("relative flow reserve, lowest segment", low, "1"),
        *(
            Quantity(f"flow capacity: {name}", 100 * float(share), "%", group="flow", limit=found.capacity_source)
            if (found.capacity >= 0).any()
            else Quantity(f"flow capacity: {name}", None, "%", reason="no place has a reserve", group="flow")
            for name, share in zip(found.capacity_names, found.capacity_share, strict=True)
        ),
    )
