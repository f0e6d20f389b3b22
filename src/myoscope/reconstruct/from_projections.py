"""From projections to a volume: the choices that a clinic makes, with what was done written into the image.

Parallel views are reconstructed on a grid of the detector's pixels whose origin is the axis of rotation (LPS mm; the
middle row of the detector lies at z = 0). Cameras with a layout of their own are known by the name their projections
carry. Counts stay counts: without attenuation correction the voxels of an image add up to what was acquired; with
it, to what would have been acquired of the same activity without absorption.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from myoscope.core import GeometryMismatch, Grid, InvalidValue, Projections, UnitMismatch, Volume
from myoscope.physics.camera_geometry import ColumnGeometry, PinholeGeometry, geometry_named
from myoscope.physics.decay import mean_share_left
from myoscope.reconstruct.filters import Butterworth, Filter, Gaussian, smooth
from myoscope.reconstruct.mlem import Measurement, Progress
from myoscope.reconstruct.survey import Survey, photopeak_keV, survey

if TYPE_CHECKING:
    from torch import Tensor

    from myoscope.physics.operator import Projector

_VIEWS_PER_SUBSET = 4
_HEART_BOX_MM, _GATE_PASSES = 144.0, 6
_GATES_START = Gaussian(30.0)  # wider than the beat moves a wall
_ROUNDING = 1e-4  # simulated expected counts may lie this share of the maximum below zero
_SQUARE = 1e-3  # by how much the sides of a square pixel may differ
# Grids of cameras that look at the heart only: what radiates from beside the field of view needs a place to go.
_PINHOLE_GRID, _PINHOLE_VOXEL_MM = (70, 70, 50), 4.0
_COLUMN_GRID, _PIXELS_PER_VOXEL = (64, 64, 32), 2
# Pinholes: an image within this distance of the centre, and no nearer to a hole, where a voxel outshines all others.
_PINHOLE_REACH_MM, _PINHOLE_CLEAR_MM = 130.0, 60.0

# Widespread workstation settings for filtered back-projection of cardiac studies.
PERFUSION_FILTER = Butterworth(5, 0.33, "cycles/pixel", "amplitude")
GATED_FILTER = Butterworth(2.5, 0.30, "cycles/pixel", "amplitude")
# After modelling the collimator's response the image is sharper than its noise deserves.
RESOLUTION_RECOVERY_FILTER = Gaussian(8.0)

_ORBIT, _MAP = "detector at", "attenuation map:"
OF_ONE_PATIENT = (_ORBIT, _MAP)
"""How steps of a reconstruction begin that differ from patient to patient though nothing else was chosen."""


@dataclass(frozen=True, slots=True)
class ReconstructionSettings:
    """How projections become an image.

    ``method``: ``osem``, ``mlem`` or ``fbp``; ``auto`` takes OSEM for one image and filtered back-projection for
    gates, which are many and noisy, as clinics do; where a camera looks at the heart only, gates are taken on from
    their common image in a box of 144 mm. ``iterations`` and ``subsets``: the usual 4 passes over 8 subsets;
    where subsets would hold fewer than 4 views, fewer subsets and more passes do as many updates. ``response``: the
    loss of sharpness with distance is modelled where the detector's distance is known (``auto``), or never (``off``).
    ``post_filter``: None = the usual filter of the method (`PERFUSION_FILTER`, `GATED_FILTER`,
    `RESOLUTION_RECOVERY_FILTER`); ``"none"`` leaves the image as it is. ``unit``: counts, or kBq/mL where the
    camera's sensitivity is known. ``radius_mm`` overrides a distance that the file does not state, or states wrongly.
    """

    method: Literal["auto", "fbp", "mlem", "osem"] = "auto"
    iterations: int = 4
    subsets: int = 8
    response: Literal["auto", "off"] = "auto"
    post_filter: Filter | Literal["none"] | None = None
    unit: Literal["counts", "kBq/mL"] = "counts"
    radius_mm: float | None = None
    median_prior: float = 0.0

    def __post_init__(self) -> None:
        if self.iterations < 1 or self.subsets < 1:
            raise InvalidValue(f"iterations and subsets are at least 1, got {self.iterations} and {self.subsets}")
        if not 0 <= self.median_prior < 1 or (self.median_prior and self.method not in ("auto", "osem")):
            raise InvalidValue(
                f"a median prior weighs from 0 to less than 1, with OSEM; got {self.median_prior:g} with {self.method}"
            )
        if self.radius_mm is not None and not self.radius_mm > 0:
            raise InvalidValue(f"a radius is positive, got {self.radius_mm:g} mm")


def reconstruct(
    projections: Projections,
    *,
    settings: ReconstructionSettings | None = None,
    attenuation: Volume | None = None,
    scatter: NDArray[np.floating] | None = None,
    window: int | None = None,
    progress: Progress | None = None,
) -> Volume:
    """The image of one set of projections; gated projections give a gated image.

    ``attenuation`` is a mu map in 1/cm at the energy of the photopeak, in the place of the image (any grid); with it,
    the image is corrected, and iterative. ``scatter`` are expected scattered counts, shape (gate, view, v, u), added
    to the model (iterative) or subtracted (FBP). ``window`` chooses the energy window; None = the photopeak.

    Raises
    ------
    InvalidValue
        If there are no counts, or the settings ask for what the projections cannot give.
    UnitMismatch
        If the mu map is not in 1/cm.
    """
    settings = settings or ReconstructionSettings()
    if attenuation is not None and attenuation.unit != "1/cm":
        raise UnitMismatch(f"mu map is in {attenuation.unit}; attenuation needs 1/cm (did you pass the CT in HU?)")
    looked = survey(projections, window=window)
    gated = projections.gating is not None
    counts = np.asarray(projections.counts[looked.window], np.float32)
    if scatter is not None and np.shape(scatter) != counts.shape:
        raise InvalidValue(f"scatter of shape {np.shape(scatter)} does not fit counts of shape {counts.shape}")
    array, grid, steps, unit = _reconstruct_batch(
        counts, projections, looked, settings, attenuation, scatter, many=gated, progress=progress
    )
    corrected_with = () if attenuation is None else (f"{_MAP} {'; '.join(attenuation.made_by) or 'as given'}",)
    made_by = (*projections.made_by, *corrected_with, *steps)
    if not gated:
        volume = Volume(array[0], grid, unit, made_by)
    else:
        volume = Volume(array, grid, unit, made_by, "gate", projections.gating)
    chosen = _post_filter(settings, steps, many=gated)
    return volume if chosen is None else smooth(volume, chosen)


def reconstruct_frames(
    frames: Sequence[Projections],
    *,
    frame_start_s: Sequence[float],
    settings: ReconstructionSettings | None = None,
    attenuation: Volume | None = None,
    scatter: NDArray[np.floating] | None = None,
    nuclide: str | None = None,
    progress: Progress | None = None,
) -> Volume:
    """A dynamic image, in counts per second per voxel and frame times, from one set of ungated projections per frame.

    All frames are reconstructed together. Each lasts as long as its views do (see `frame_duration_s`). ``scatter``
    (frame, view, v, u) are expected scattered counts; with ``nuclide``, each frame is what it would have shown had
    nothing decayed since the start of the first one.

    Raises
    ------
    GeometryMismatch
        If the frames were not taken from the same places.
    InvalidValue
        If there is no frame, a gated one, or one whose duration is unknown.
    """
    settings = settings or ReconstructionSettings(method="osem")
    if not frames or len(frames) != len(frame_start_s):
        raise InvalidValue(f"{len(frames)} frames need as many start times, got {len(frame_start_s)}")
    first = frames[0]
    for one in frames:
        if one.gating is not None:
            raise InvalidValue("dynamic frames are ungated projections")
        same = one.counts.shape == first.counts.shape and np.allclose(one.angle_deg, first.angle_deg)
        if not same or one.pixel_mm != first.pixel_mm or one.collimator != first.collimator:
            raise GeometryMismatch("the frames of a dynamic study must be taken from the same angles, with one camera")
        if not np.isfinite(one.view_duration_s).all():
            raise InvalidValue("a dynamic frame needs the duration of its views")
    duration_s = np.array([frame_duration_s(one) for one in frames])
    begin_s = np.asarray(frame_start_s, float)
    looked = survey(first)
    summed = replace(first, counts=np.sum([np.asarray(f.counts, np.float64) for f in frames], axis=0))
    looked = survey(summed, window=looked.window)
    counts = np.stack([np.asarray(f.counts[looked.window, 0], np.float32) for f in frames])
    if scatter is not None and np.shape(scatter) != counts.shape:
        raise InvalidValue(f"scatter of shape {np.shape(scatter)} does not fit frames of shape {counts.shape}")
    array, grid, steps, unit = _reconstruct_batch(
        counts, first, looked, replace(settings, unit="counts"), attenuation, scatter, many=True, progress=progress
    )
    said: tuple[str, ...] = ("divided by the frame's duration",)
    decayed = np.ones(len(frames))
    if nuclide is not None:
        decayed = mean_share_left(nuclide, begin_s - begin_s[0], duration_s)
        said = (*said, f"corrected for the decay of {nuclide}")
    per_s = array / (duration_s * decayed)[:, None, None, None].astype(np.float32)
    volume = Volume(
        per_s,
        grid,
        f"{unit}/s",
        (*first.made_by, *steps, *said),
        "time",
        None,
        begin_s,
        duration_s,
    )
    chosen = _post_filter(settings, steps, many=True)
    return volume if chosen is None else smooth(volume, chosen)


def frame_duration_s(projections: Projections) -> float:
    """How long an acquisition lasted: the longest view where a camera sees all at once; the sum of a camera's stops.

    Columns all look at the same time and then all turn; views of a camera on an orbit are added up.
    """
    geometry = geometry_named(projections.collimator)
    if isinstance(geometry, PinholeGeometry):
        return float(np.max(projections.view_duration_s))
    if isinstance(geometry, ColumnGeometry) and projections.n_views == geometry.n_views:
        first_column = geometry.position.max() + 1
        return float(np.sum(projections.view_duration_s[:first_column]))
    return float(np.sum(projections.view_duration_s))


def without_gates(projections: Projections) -> Projections:
    """All gates added up: the ungated projections of a gated acquisition."""
    if projections.gating is None:
        return projections
    total = projections.counts.sum(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    step = f"sum of {projections.gating.n_gates} gates"
    return replace(projections, counts=total, gating=None, made_by=(*projections.made_by, step))


def image_grid(projections: Projections) -> Grid:
    """Where the image of these projections will lie.

    Parallel views: voxels of one detector pixel about the axis of rotation. Cameras that look at the heart only: 4 mm
    voxels (pinholes) or two detector pixels (columns) about the centre of their field of view.
    """
    geometry = geometry_named(projections.collimator)
    if isinstance(geometry, PinholeGeometry):
        return Grid.axis_aligned(_PINHOLE_GRID, spacing_mm=_PINHOLE_VOXEL_MM)
    if geometry is not None:
        return Grid.axis_aligned(_COLUMN_GRID, spacing_mm=_PIXELS_PER_VOXEL * geometry.pixel_mm)
    n_v, n_u = projections.counts.shape[-2:]
    width, height = projections.pixel_mm
    return Grid.axis_aligned((n_u, n_u, n_v), spacing_mm=(width, width, height))


def _reconstruct_batch(
    counts: NDArray[np.float32],
    projections: Projections,
    looked: Survey,
    settings: ReconstructionSettings,
    attenuation: Volume | None,
    scatter: NDArray[np.floating] | None,
    *,
    many: bool,
    progress: Progress | None,
) -> tuple[NDArray[np.float32], Grid, tuple[str, ...], str]:
    """Images (batch, i, j, k) of counts (batch, view, v, u) of one geometry, their grid, the steps, the unit."""
    if not np.isfinite(counts).all() or counts.min() < -_ROUNDING * counts.max():
        raise InvalidValue("projections hold counts that are negative or no numbers")
    counts = np.maximum(counts, 0)
    if not counts.sum() > 0:
        raise InvalidValue("the projections hold no counts")
    stationary = geometry_named(projections.collimator) is not None
    method = settings.method
    if method == "auto":
        width, height = projections.pixel_mm
        cheap = many or abs(width / height - 1) > _SQUARE
        method = "fbp" if cheap and attenuation is None and not stationary else "osem"
    if method == "fbp":
        if stationary:
            raise InvalidValue("filtered back-projection needs parallel views on an orbit; choose osem or mlem")
        if attenuation is not None:
            raise InvalidValue("filtered back-projection cannot correct for attenuation; choose osem or mlem")
        if settings.unit != "counts":
            raise InvalidValue("filtered back-projection gives counts, not activity; choose osem or mlem")
        return (*_by_fbp(counts, projections, looked, scatter), "counts")
    from_ungated = many and stationary and settings.method == "auto" and projections.gating is not None
    return _by_iteration(
        counts,
        projections,
        looked,
        settings,
        attenuation,
        scatter,
        method,
        progress,
        gates_from_ungated=from_ungated,
    )


def _by_fbp(
    counts: NDArray[np.float32],
    projections: Projections,
    looked: Survey,
    scatter: NDArray[np.floating] | None,
) -> tuple[NDArray[np.float32], Grid, tuple[str, ...]]:
    import torch

    from myoscope.reconstruct.fbp import filtered_back_projection

    kept = np.flatnonzero(~looked.lost)
    values = counts if scatter is None else counts - np.asarray(scatter, np.float32)
    values = _filled(values[:, kept], looked.dead)
    image = filtered_back_projection(
        torch.from_numpy(np.ascontiguousarray(values)),
        angle_deg=projections.angle_deg[kept],
        pixel_mm=projections.pixel_mm[0],
    )
    # The detector's rows run to the feet, the image's slices to the head.
    array = np.ascontiguousarray(image.flip(-1).numpy()) * np.float32(projections.n_views)
    step = f"filtered back-projection of {len(kept)} views, ramp"
    return array, image_grid(projections), (step, *(("scatter subtracted",) if scatter is not None else ()))


def _filled(counts: NDArray[np.float32], dead: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Dead pixels take the median of their live neighbours in the same view."""
    if not dead.any():
        return counts
    masked = np.where(dead, np.nan, counts)
    ring = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], bool)
    result = counts.copy()
    for v, u in np.argwhere(dead):
        rows = np.clip(np.arange(v - 1, v + 2), 0, dead.shape[0] - 1)
        columns = np.clip(np.arange(u - 1, u + 2), 0, dead.shape[1] - 1)
        around = masked[..., rows[:, None], columns[None]][..., ring]
        live = np.isfinite(around).any(axis=-1)
        result[..., v, u] = 0
        result[live, v, u] = np.nanmedian(around[live], axis=-1)
    return result


def _by_iteration(
    counts: NDArray[np.float32],
    projections: Projections,
    looked: Survey,
    settings: ReconstructionSettings,
    attenuation: Volume | None,
    scatter: NDArray[np.floating] | None,
    method: str,
    progress: Progress | None,
    *,
    gates_from_ungated: bool,
) -> tuple[NDArray[np.float32], Grid, tuple[str, ...], str]:
    import torch

    from myoscope.reconstruct.mlem import mlem
    from myoscope.reconstruct.osem import osem

    projector, physics = _projector(image_grid(projections), projections, looked, settings, attenuation)
    duration_s = np.array(projections.view_duration_s)
    timed = bool(np.isfinite(duration_s).all() and (duration_s > 0).all())
    if settings.unit == "kBq/mL" and not timed:
        raise InvalidValue("activity in kBq/mL needs the duration of every view, which is not stated")
    measured = Measurement(
        torch.from_numpy(np.array(counts)),
        torch.as_tensor(duration_s if timed else np.ones_like(duration_s), dtype=torch.float32),
        None if scatter is None else torch.from_numpy(np.array(scatter, np.float32)),
        torch.from_numpy(looked.good.copy()),
    )
    if method == "mlem":
        n = settings.iterations
        image = mlem(measured, projector, iterations=n, progress=progress)
        steps = f"MLEM, {n} iterations"
    else:
        subsets = min(settings.subsets, max(projector.n_views // _VIEWS_PER_SUBSET, 1))
        passes = int(np.ceil(settings.iterations * settings.subsets / subsets))
        prior = settings.median_prior
        steps = f"OSEM, {passes} iterations, {subsets} subsets"
        steps += f", median root prior {prior:g}" if prior else ""
        if gates_from_ungated:
            box = _heart_box(projector.grid)
            inside, _ = _projector(_part(projector.grid, box), projections, looked, settings, attenuation)
            image = _gates_from_ungated(measured, projector, inside, box, passes, subsets, prior, progress)
            steps += f" for all gates together, then {_GATE_PASSES} iterations of each gate round the heart"
        else:
            image = osem(measured, projector, iterations=passes, subsets=subsets, median_prior=prior, progress=progress)
    of_all = (words for words in physics if not words.startswith(_ORBIT))
    told = (
        f"{steps}, {', '.join(of_all)}",
        *(words for words in physics if words.startswith(_ORBIT)),
        *(("scatter modelled",) if scatter is not None else ()),
    )
    if settings.unit == "kBq/mL":
        return image.numpy(), projector.grid, told, "kBq/mL"
    if attenuation is not None:
        projector, _ = _projector(projector.grid, projections, looked, settings, None)
    return image.numpy() * np.float32(_counts_per_kBq_mL(projector, measured)), projector.grid, told, "counts"


def _gates_from_ungated(
    measured: Measurement,
    projector: Projector,
    inside: Projector,
    box: tuple[slice, slice, slice],
    passes: int,
    subsets: int,
    median_prior: float,
    progress: Progress | None,
) -> Tensor:
    """Gates (gate, i, j, k) that differ from the image of all gates in the heart's surroundings only.

    What does not beat is reconstructed once, from all counts, and expected as it was found; each gate is reconstructed
    in a box round the heart (``inside`` is the camera's projector for it). It starts there from a smoothed image of
    all gates: started from a sharp one, in which the beat is averaged, a few iterations leave end systole too wide.
    """
    import torch

    from myoscope.reconstruct.osem import osem

    counts = measured.counts
    total = Measurement(
        counts.sum(dim=0),
        measured.duration_s,
        None if measured.scatter is None else measured.scatter.expand(counts.shape).sum(dim=0),
        measured.seen,
    )

    def scaled(first: float, width: float) -> Progress | None:
        return None if progress is None else lambda step, fraction: progress(step, first + width * fraction)

    ungated = osem(
        total, projector, iterations=passes, subsets=subsets, median_prior=median_prior, progress=scaled(0.0, 0.6)
    )
    share = (counts.sum(dim=(-3, -2, -1)) / counts.sum()).clamp_min(1e-6)[:, None, None, None]
    outside = ungated.clone()
    outside[box] = 0
    around = projector.forward(outside).clamp_min(0) * measured.weight() * share
    still = around if measured.scatter is None else around + measured.scatter
    here = Volume(ungated[box].numpy(), inside.grid, "counts")
    start = torch.from_numpy(np.array(smooth(here, _GATES_START).array)).clamp_min(0)
    gates = osem(
        Measurement(counts, measured.duration_s, still, measured.seen),
        inside,
        iterations=_GATE_PASSES,
        subsets=subsets,
        median_prior=median_prior,
        start=start * share,
        progress=scaled(0.6, 0.4),
    )
    image = ungated * share
    image[(slice(None), *box)] = gates
    return image


def _heart_box(grid: Grid) -> tuple[slice, slice, slice]:
    """The middle of the field of view of a camera that is aimed at the heart."""
    half = np.ceil(_HEART_BOX_MM / 2 / grid.spacing_mm).astype(int)
    spans = [(max(n // 2 - h, 0), min(n // 2 + h, n)) for n, h in zip(grid.shape, half.tolist(), strict=True)]
    return (slice(*spans[0]), slice(*spans[1]), slice(*spans[2]))


def _part(grid: Grid, box: tuple[slice, slice, slice]) -> Grid:
    affine = np.array(grid.affine)
    affine[:3, 3] = grid.to_mm([part.start for part in box])
    n_i, n_j, n_k = (part.stop - part.start for part in box)
    return Grid((n_i, n_j, n_k), affine)


def _projector(
    grid: Grid,
    projections: Projections,
    looked: Survey,
    settings: ReconstructionSettings,
    attenuation: Volume | None,
) -> tuple[Projector, list[str]]:
    """The projector that fits, and what it knows about, in words."""
    said = ["attenuation corrected" if attenuation is not None else "no attenuation correction"]
    energy_keV = photopeak_keV(projections, looked.window)
    geometry = geometry_named(projections.collimator)
    if geometry is not None:
        fits = geometry.n_views == projections.n_views and projections.counts.shape[-2:] == geometry.detector_shape
        if not fits:
            raise InvalidValue(
                f"a camera of the layout {geometry.name} has {geometry.n_views} views of "
                f"{geometry.detector_shape} pixels, these projections {projections.n_views} of "
                f"{projections.counts.shape[-2:]}"
            )
        modelled = settings.response == "auto"
        said.append(f"response of the {geometry.name} camera modelled" if modelled else "response not modelled")
    if isinstance(geometry, PinholeGeometry):
        from myoscope.physics.pinhole import pinhole_projector

        projector: Projector = pinhole_projector(
            grid,
            geometry=geometry if modelled else geometry.sharp(),
            attenuation=attenuation,
            reach_mm=_PINHOLE_REACH_MM,
            clear_mm=_PINHOLE_CLEAR_MM,
        )
        return projector, said
    if geometry is not None:
        from myoscope.physics.columns import column_projector

        projector = column_projector(
            grid,
            geometry=geometry,
            attenuation=attenuation,
            energy_keV=energy_keV,
            response="modelled" if modelled else "left out",
        )
        return projector, said

    from myoscope.physics.parallel import parallel_projector

    width, height = projections.pixel_mm
    if abs(width / height - 1) > _SQUARE:
        raise InvalidValue(f"iterative reconstruction needs square detector pixels, got {width:g} x {height:g} mm")
    radius_mm = looked.radius_mm
    if settings.radius_mm is not None:
        radius_mm = np.full(projections.n_views, settings.radius_mm)
    known = settings.response == "auto"
    if radius_mm is None:
        # Without a response the distance changes nothing.
        radius_mm, known = np.full(projections.n_views, 250.0), False
    if known:
        said.append(f"response of {looked.collimator.name} modelled")
        said.append(f"{_ORBIT} {np.min(radius_mm):.0f} to {np.max(radius_mm):.0f} mm")
    elif settings.unit == "kBq/mL":
        raise InvalidValue("activity in kBq/mL needs the detector's distance and response")
    else:
        said.append("response not modelled")
    return (
        parallel_projector(
            grid,
            angle_deg=projections.angle_deg,
            radius_mm=radius_mm,
            pixel_mm=width,
            detector_shape=(int(projections.counts.shape[-2]), int(projections.counts.shape[-1])),
            collimator=looked.collimator if known else None,
            attenuation=attenuation,
            energy_keV=energy_keV,
        ),
        said,
    )


def _counts_per_kBq_mL(projector: Projector, measured: Measurement) -> float:
    """Counts that the voxel in the middle of the image would give at 1 kBq/mL, absorption left out."""
    weight = measured.counts.new_ones(measured.counts.shape[-3:])
    if measured.duration_s is not None:
        weight = weight * measured.duration_s[:, None, None]
    middle = tuple(n // 2 for n in projector.grid.shape)
    return float(projector.adjoint(weight)[middle])


def _post_filter(settings: ReconstructionSettings, steps: Sequence[str], *, many: bool) -> Filter | None:
    if settings.post_filter == "none":
        return None
    if settings.post_filter is not None:
        return settings.post_filter
    if any("modelled" in step and "not modelled" not in step for step in steps):
        return RESOLUTION_RECOVERY_FILTER
    return GATED_FILTER if many else PERFUSION_FILTER
