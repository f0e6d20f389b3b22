"""Blood flow of one dynamic series, and of a rest and stress pair. Read top to bottom: this file is the pipeline.

late frames -> left ventricle and its surfaces -> where the heart lay in every frame -> blood of both ventricles ->
blur of the wall -> curves of every cell near the wall's inner side -> one kinetic model, fitted to all cells, segments
and territories at once -> maps and numbers with intervals; then stress over rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
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
from myoscope.correct.frame_motion import FrameShifts, find_frame_shifts
from myoscope.physics.decay import decay_constant_per_s
from myoscope.physics.frames import Frames
from myoscope.quantify import flow as models
from myoscope.quantify.flow import Blood, FlowEstimate, FlowModel, OneTissue, WallCurves, frame_weights
from myoscope.quantify.flow.blur import EDGE_DEPTHS_MM, Blur, blur_from_blood, edge_regions, outside_share
from myoscope.quantify.flow.input_function import InputRegion, factor_curves, left_region, right_region
from myoscope.quantify.flow.wall_place import WallPlace, read_frames, wall_curves

FlowTracer = Literal["rubidium", "ammonia", "water", "flurpiridaz"]


@dataclass(frozen=True, slots=True)
class TracerProtocol:
    """What the chain must know of a tracer: its nuclide, when muscle stands out, and the model it is measured with."""

    nuclide: str
    late_from_s: float
    model: Callable[[], FlowModel]


PROTOCOLS: Mapping[str, TracerProtocol] = {
    "rubidium": TracerProtocol("Rb-82", 120.0, models.lortie),
    "ammonia": TracerProtocol("N-13", 240.0, models.degrado),
    "water": TracerProtocol("O-15", 60.0, models.iida),
    "flurpiridaz": TracerProtocol("F-18", 300.0, models.flurpiridaz),
}

RESOLUTION_FWHM_MM = 7.0
"""Resolution of a clinical PET image of the heart, where nobody states it."""
_WALL_FIT_FWHM_MM = 8.0  # camera and beating together: what walls are fitted with
DEPTHS_MM = (-7.0, -5.0, -3.0, -1.0)
"""Where curves are read: from the inner side to just inside the middle of the wall, so that little lies outside it."""
_MAP_SD_MM = 5.0  # neighbouring cells lend each other their counts
_BESIDE_RIGHT = 0.3  # share of right blood beyond the wall from which a cell is beside the right ventricle


@dataclass(frozen=True, slots=True)
class FlowSettings:
    """What a user may choose about flow.

    ``model`` None takes the tracer's usual one; ``input_region`` where left blood is read, or ``factors``;
    ``motion`` whether frames are aligned; ``global_volume`` ties washout to uptake by one distribution volume of the
    whole heart where the model has one; ``outside`` leaves out what of a sample lies beyond the wall.
    """

    model: FlowModel | None = None
    input_region: InputRegion | Literal["factors"] = "basal"
    motion: bool = True
    global_volume: bool = True
    outside: bool = True
    resolution_fwhm_mm: float = RESOLUTION_FWHM_MM
    weighting: Literal["uniform", "duration", "counts"] = "counts"


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


def protocol_of(tracer: str) -> TracerProtocol:
    """The protocol of a tracer by name.

    Raises
    ------
    InvalidValue
        If flow cannot be measured with it here.
    """
    if tracer not in PROTOCOLS:
        raise InvalidValue(f"flow is measured with {', '.join(PROTOCOLS)}, not with {tracer!r}")
    return PROTOCOLS[tracer]


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
    """The static perfusion image of a dynamic series: late frames averaged, each with the counts it has."""
    late, frames = late_frames(volume, tracer), Frames.of(volume)
    decay_per_min = 60 * decay_constant_per_s(protocol_of(tracer).nuclide)
    weight = late * frames.duration_min * np.exp(-decay_per_min * frames.middle_min)
    image = np.tensordot(weight / weight.sum(), np.asarray(volume.array), axes=1)
    begin, end = (60 * float(t) for t in (frames.start_min[np.argmax(late)], frames.end_min[late][-1]))
    step = f"mean of the frames from {begin:.0f} to {end:.0f} s"
    return Volume(image.astype(np.float32), volume.grid, volume.unit, (*volume.made_by, step))


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
    shifts = find_frame_shifts(volume, surfaces, late=late) if settings.motion else FrameShifts.none(len(frames))
    moved, place = shifts.displacement_mm, WallPlace.of(surfaces)

    region = "basal" if settings.input_region == "factors" else settings.input_region
    left_means = left_region(volume, surfaces, moved, where=region).means
    found = right_region(volume, surfaces, moved, left_means)
    right_means = None if found is None else found.means
    if settings.input_region == "factors":
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
    outside = (
        outside_share(place, blur, DEPTHS_MM, resolution_fwhm_mm=settings.resolution_fwhm_mm, beside_right=beside)
        if settings.outside
        else np.zeros(place.n_cells)
    )
    raw = WallCurves(
        frames, curves, left, right, weight=weight, outside=np.minimum(outside, 0.9), beside_right=beside.ravel()
    )
    cells = replace(raw, tissue=_lent(curves, place, _MAP_SD_MM))
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
        plain = models.katoh()
        self.model: FlowModel = models.iida() if tracer == "water" else plain

    def fit(self, curves: FloatArray) -> FlowEstimate:
        frames, left, right, weight = self.blood
        return self.model.estimate(WallCurves(frames, np.nan_to_num(curves), left, right, weight=weight))

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


UNSEEN_LOG_SD = 0.0
"""What a fit cannot see of its own error, as standard deviation of the logarithm of flow."""


def fit_flow(data: FlowData) -> FlowResult:
    """Fit the model to cells, segments, territories and the whole wall, and put the result together."""
    settings = data.settings
    model = settings.model or protocol_of(data.tracer).model()
    regions, names = _regions(data)
    region_curves = data.raw.averaged(regions)
    said = []
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
        flags=data.flags,
        settings=tuple(said),
    )


def _padded(curves: FloatArray, n: int) -> FloatArray:
    """Fitted curves of a model that reads early frames alone, NaN in the others."""
    out = np.full((len(curves), n), np.nan)
    out[:, : curves.shape[1]] = curves
    return out


def _regions(data: FlowData) -> tuple[FloatArray, list[str]]:
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
    of the fit to its curve, moved to that mean.
    """
    polar, area = data.static, data.place.area_mm2.ravel()
    segment = polar.segment.ravel()
    size = np.array([area[segment == n].sum() for n in range(1, 18)])
    vessel_of = np.array([VESSELS.index(s.vessel) for s in segment_table(17)])
    low, high = _interval(found)
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


def _interval(found: FlowEstimate) -> tuple[FloatArray, FloatArray]:
    from scipy.special import stdtrit

    t = float(stdtrit(max(found.dof, 1), 0.975))
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.sqrt((t * found.flow_se / found.flow) ** 2 + (1.96 * UNSEEN_LOG_SD) ** 2)
        factor = np.exp(np.minimum(spread, 50))
    return found.flow / factor, found.flow * factor


def measure_flow(
    volume: Volume, surfaces: Surfaces, tracer: str, *, settings: FlowSettings | None = None
) -> FlowResult:
    """Blood flow of one dynamic series whose late image has these surfaces."""
    return fit_flow(gather(volume, surfaces, tracer, settings=settings))


def find_wall(volume: Volume, tracer: str) -> Surfaces:
    """The wall of the left ventricle in the late image of a dynamic series.

    Raises
    ------
    HeartNotFound
        If there is none to be found.
    """
    image = late_image(volume, tracer)
    ventricle, _ = heart.find_left_ventricle(image, in_training_domain=False)
    return heart.fit_surfaces(image, ventricle, resolution_fwhm_mm=_WALL_FIT_FWHM_MM)
