"""Endo- and epicardium from blurred counts: a wall of finite thickness seen through a Gaussian.

Profiles of counts along normals of the mid-wall are fitted by a step of height A and width w between two
levels (cavity inside, surroundings outside), blurred by the image's resolution; the wall's curvature is
part of the model, because a blurred shell peaks inside of where it lies. In the flat case the peak is the
recovery erf(sqrt(ln 2) w / R) of a slab (reference section 4.4) and the width of the profile gives w. Where
counts are too low to see the wall, it is bridged from its neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from myoscope.core import N_ANGLES, N_RINGS, GeometryMismatch, Surfaces, Volume
from myoscope.core.geometry import FloatArray
from myoscope.heart.rays import (
    FWHM_TO_SIGMA,
    HeartImage,
    Rays,
    blur_on_wall,
    extended,
    follow_ridge,
    follow_wall,
    normals_and_curvature,
    resample_nodes,
)
from myoscope.heart.valve_plane import ValvePlane, fit_valve_plane

if TYPE_CHECKING:
    from myoscope.heart.left_ventricle import LeftVentricle

# How far neighbours lend each other their counts: mm along the wall for each mm of resolution. The width of
# the whole wall comes from the wider neighbourhood, its regional differences from the narrower one.
_REGION, _WHOLE = 0.95, 2.5
# One gate has an eighth or less of the counts: neighbours lend from further away.
_GATE_LENDING = 2.2
# Neighbours lend along a curved wall: their profiles do not quite lie on one another and come out wider, in
# quadrature, by this share of the resolution squared. Measured on walls of 6 to 14 mm without noise
# (docs/validation/surfaces.md).
_EXTRA_WIDTH_SQUARED = 0.05
# A profile that rises again by this share of its height has reached something else.
_RISE = 0.10
# How much regions of one wall differ in thickness: prior standard deviation.
_SPREAD_MM = 1.5


def default_resolution_mm(volume: Volume) -> float:
    """Resolution to expect of a reconstruction when nobody states it, by its voxel size: FWHM in mm.

    7.5 mm for voxels up to 5 mm (CZT cameras: 6.7 and 8.6 mm), 13.5 mm above (parallel-hole cameras with
    their usual filters: 12 to 15 mm). After Imbert et al., J Nucl Med 2012;53:1897.
    """
    return 7.5 if float(volume.grid.spacing_mm.max()) <= 5.0 else 13.5


def fit_surfaces(volume: Volume, lv: LeftVentricle, *, resolution_fwhm_mm: float | None = None) -> Surfaces:
    """The anatomical wall of a located ventricle, ungated, or gate by gate with its mass conserved.

    ``lv`` gives the long axis and which voxels hold the wall; its outline is a starting point only. Without
    ``resolution_fwhm_mm`` the resolution is the usual one for the voxel size, which ``made_by`` says. Gated
    images give surfaces with a gate axis: one valve plane per gate, the same wall volume in each.

    Raises
    ------
    GeometryMismatch
        If the wall mask does not lie on the image's grid.
    HeartNotFound
        If no closed wall can be followed around the long axis.
    """
    if not lv.wall.grid.same_place(volume.grid):
        raise GeometryMismatch(f"the wall mask lies on {lv.wall.grid!r}, the image on {volume.grid!r}")
    assumed = resolution_fwhm_mm is None
    fwhm_mm = default_resolution_mm(volume) if resolution_fwhm_mm is None else float(resolution_fwhm_mm)
    note = f"resolution {fwhm_mm:.3g} mm FWHM ({'assumed from the voxel size' if assumed else 'given'})"
    steps: tuple[str, ...] = ("surfaces by blurred-slab fit", note)
    sigma_mm = fwhm_mm * FWHM_TO_SIGMA
    whole = HeartImage(volume.summed())
    rays, radius, ridge = follow_wall(whole, lv, sigma_mm)
    if volume.frame_axis != "gate":
        valve = fit_valve_plane(rays.points(radius), ridge, rays.origin[:, 2], body=rays.body, fwhm_mm=fwhm_mm)
        nodes, thickness, visible = _fit_wall(whole, rays, rays.points(radius), valve, sigma_mm)
        endo, epi = _two_sides(nodes, thickness, valve)
        steps += (f"{1 - visible.mean():.1%} of the wall bridged",)
    else:
        gates = [HeartImage(volume.frame(gate)) for gate in range(volume.n_frames)]
        endo, epi, valve, visible = _fit_gates(gates, rays, radius, sigma_mm)
        steps += (f"{1 - visible.mean():.1%} of the wall bridged", f"mass conserved over {len(gates)} gates")
    return Surfaces(
        rays.to_patient(endo),
        rays.to_patient(epi),
        lv.frame,
        rays.to_patient(valve.point),
        valve.normal @ lv.frame.rotation,
        steps,
    )


def _fit_wall(
    image: HeartImage, rays: Rays, mid: FloatArray, valve: ValvePlane, sigma_mm: float, *, lending: float = 1.0
) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
    """Mid-wall nodes, wall thickness and whether the wall was seen, from profiles along its normals."""
    nodes = resample_nodes(mid, valve)
    for _ in range(2):
        normals, curvature = normals_and_curvature(nodes)
        shift, thickness, visible = _fit_profiles(image, rays, nodes, normals, curvature, sigma_mm, lending)
        nodes = nodes + shift[..., None] * normals
        nodes[0] = nodes[0].mean(axis=0)
        # Moving along normals leaves the valve plane: put the rows back at equal arc length.
        nodes = resample_nodes(extended(nodes), valve)
    return nodes, thickness, visible


def _two_sides(nodes: FloatArray, thickness: FloatArray, valve: ValvePlane) -> tuple[FloatArray, FloatArray]:
    """Endo- and epicardium, half the thickness to either side; the last row's offsets lie in the valve plane."""
    normals, _ = normals_and_curvature(nodes)
    lean = np.clip((np.linspace(0, 1, N_RINGS + 1) - 0.8) / 0.2, 0, 1) ** 2
    across = (normals @ valve.normal)[..., None] * valve.normal
    direction = normals - lean[:, None, None] * across
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    offset = 0.5 * thickness[..., None] * direction
    return nodes - offset, nodes + offset


def _fit_gates(
    gates: list[HeartImage], rays: Rays, radius: FloatArray, sigma_mm: float
) -> tuple[FloatArray, FloatArray, ValvePlane, NDArray[np.bool_]]:
    """Both surfaces in every gate, heart coordinates (gate, 41, 72, 3), with one wall volume for all gates.

    The mid-wall and the valve plane move with the first harmonics of the cycle; thickness is fitted gate by
    gate and then scaled so that the volume between the surfaces does not change.
    """
    fwhm_mm = sigma_mm / FWHM_TO_SIGMA
    followed = [follow_ridge(image, rays, radius, _GATE_LENDING * sigma_mm) for image in gates]
    radii = _harmonics(np.stack([radius for radius, _ in followed]))
    ridges = _harmonics(np.stack([ridge for _, ridge in followed]))
    planes = [
        fit_valve_plane(rays.points(radius), ridge, rays.origin[:, 2], body=rays.body, fwhm_mm=fwhm_mm)
        for radius, ridge in zip(radii, ridges, strict=True)
    ]
    points = _harmonics(np.stack([plane.point for plane in planes]))
    normals = _harmonics(np.stack([plane.normal for plane in planes]))
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    planes = [ValvePlane(point, normal) for point, normal in zip(points, normals, strict=True)]
    fits = [
        _fit_wall(image, rays, rays.points(radius), plane, sigma_mm, lending=_GATE_LENDING)
        for image, radius, plane in zip(gates, radii, planes, strict=True)
    ]
    nodes = _harmonics(np.stack([fit[0] for fit in fits]))
    nodes = np.stack([resample_nodes(extended(mid), plane) for mid, plane in zip(nodes, planes, strict=True)])
    thickness = _harmonics(np.stack([fit[1] for fit in fits]))
    sides = [_two_sides(mid, width, plane) for mid, width, plane in zip(nodes, thickness, planes, strict=True)]
    endo, epi = np.stack([side[0] for side in sides]), np.stack([side[1] for side in sides])

    resting = ValvePlane(points.mean(axis=0), normals.mean(axis=0) / np.linalg.norm(normals.mean(axis=0)))

    def wall_mL(scale: FloatArray) -> FloatArray:
        half = 0.5 * (epi - endo) * scale[:, None, None, None]
        centre = 0.5 * (epi + endo)
        return Surfaces(centre - half, centre + half, rays.frame, resting.point, resting.normal).wall_mL

    scale = np.ones(len(gates))
    target = float(wall_mL(scale).mean())
    for _ in range(6):
        scale = scale * target / wall_mL(scale)
    half, centre = 0.5 * (epi - endo) * scale[:, None, None, None], 0.5 * (epi + endo)
    visible = np.stack([fit[2] for fit in fits])
    return centre - half, centre + half, resting, visible


def _harmonics(values: FloatArray, *, highest: int = 3) -> FloatArray:
    """The first harmonics of a cycle; gates on axis 0."""
    spectrum = np.fft.rfft(values, axis=0)
    spectrum[highest + 1 :] = 0
    smooth: FloatArray = np.fft.irfft(spectrum, len(values), axis=0)
    return smooth


def _fit_profiles(
    image: HeartImage,
    rays: Rays,
    nodes: FloatArray,
    normals: FloatArray,
    curvature: FloatArray,
    sigma_mm: float,
    lending: float,
) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
    """Displacement of the mid-wall, wall thickness and whether the wall was seen; each (41, 72)."""
    reach = 6.0 + 1.8 * sigma_mm
    depth = np.arange(-np.ceil(reach), np.ceil(reach) + 0.5)
    rows, columns = np.arange(0, N_RINGS + 1, 2), np.arange(0, N_ANGLES, 3)
    lines = nodes[:, columns, None] + depth[:, None] * normals[:, columns, None]
    counts = image.at(rays.to_patient(lines))
    radius = np.linalg.norm(nodes[:, :, :2] - nodes[:, :, :2].mean(axis=1, keepdims=True), axis=-1).mean(axis=1)
    around = np.maximum(radius, 0.5)
    row_mm = float(np.linalg.norm(np.diff(nodes, axis=0), axis=-1).mean())
    bend = curvature[np.ix_(rows, columns)].reshape(-1)
    fwhm_mm = sigma_mm / FWHM_TO_SIGMA
    whole = blur_on_wall(counts, around, lending * _WHOLE * fwhm_mm, row_mm)[rows].reshape(-1, depth.size)
    _, width, height = _fit_slabs(whole, depth, bend, sigma_mm, typical_mm=10.0, spread_mm=4.0)
    typical_mm = float(np.average(width, weights=height**2))
    region = blur_on_wall(counts, around, lending * _REGION * fwhm_mm, row_mm)[rows].reshape(-1, depth.size)
    shift, width, height = _fit_slabs(region, depth, bend, sigma_mm, typical_mm=typical_mm, spread_mm=_SPREAD_MM)
    width = np.sqrt(np.maximum(width**2 - _EXTRA_WIDTH_SQUARED * fwhm_mm**2, 3.0**2))
    level = np.percentile(height, 75)
    seen = height > 0.25 * level
    grid_shape = (rows.size, columns.size)
    weight = np.where(seen, np.clip(height / level, 0, 1) ** 2, 0).reshape(grid_shape) + 1e-6
    fields = []
    for field in (shift, width):
        smooth = blur_on_wall(field.reshape(grid_shape) * weight, around[rows], lending * _REGION * fwhm_mm, 2 * row_mm)
        smooth /= blur_on_wall(weight, around[rows], lending * _REGION * fwhm_mm, 2 * row_mm)
        fields.append(_finer(smooth, rows, columns))
    visible = _finer(seen.astype(float).reshape(grid_shape), rows, columns) > 0.5
    return fields[0], fields[1], visible


def _finer(field: FloatArray, rows: NDArray[np.int_], columns: NDArray[np.int_]) -> FloatArray:
    """From every second row and third column back to all of them, linearly."""
    wrapped = np.concatenate([field, field[:, :1]], axis=1)
    row = np.arange(N_RINGS + 1) / (rows[1] - rows[0])
    column = np.arange(N_ANGLES) / (columns[1] - columns[0])
    low_r, low_c = np.minimum(row.astype(int), rows.size - 2), column.astype(int)
    part_r, part_c = (row - low_r)[:, None], column - low_c
    top = wrapped[low_r][:, low_c] * (1 - part_c) + wrapped[low_r][:, low_c + 1] * part_c
    bottom = wrapped[low_r + 1][:, low_c] * (1 - part_c) + wrapped[low_r + 1][:, low_c + 1] * part_c
    result: FloatArray = top * (1 - part_r) + bottom * part_r
    return result


def _before_rise(profile: FloatArray) -> NDArray[np.bool_]:
    """Samples up to the lowest one before the profile rises again by a tenth of its height."""
    lowest = np.minimum.accumulate(profile, axis=1)
    rises = profile > lowest + _RISE
    first = np.where(rises.any(axis=1), rises.argmax(axis=1), profile.shape[1])
    place = np.arange(profile.shape[1])
    dip = np.where(place < first[:, None], profile, np.inf).argmin(axis=1)
    last = np.where(rises.any(axis=1), dip, profile.shape[1])
    kept: NDArray[np.bool_] = place <= last[:, None]
    return kept


def _fit_slabs(
    profile: FloatArray,
    depth: FloatArray,
    curvature: FloatArray,
    sigma_mm: float,
    *,
    typical_mm: float,
    spread_mm: float,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Displacement, width (mm) and height of the slab under each blurred profile; arrays (node,).

    Gauss-Newton with the heights of wall, cavity and surroundings and the two edges free, the width held
    softly about the whole wall's.
    """
    from scipy.special import ndtr

    n = len(profile)
    scale = np.maximum(profile.max(axis=1), 1e-12)
    data = profile / scale[:, None]
    # Beyond a dip on either side lies another organ or the opposite wall.
    middle = depth.size // 2
    outward, inward = _before_rise(data[:, middle:]), _before_rise(data[:, middle::-1])[:, ::-1]
    weight = np.concatenate([inward[:, :-1], outward], axis=1).astype(np.float64)
    weight[:, np.abs(depth) <= 5] = 1.0
    jacobian_factor = np.clip(1 + curvature[:, None] * depth, 0.35, None)
    lean = curvature[:, None] * sigma_mm**2 / jacobian_factor

    shift, width = np.zeros(n), np.full(n, typical_mm)
    level = np.column_stack([np.ones(n), np.full(n, 0.1), np.full(n, 0.1)])
    noise = np.full(n, 0.02**2)

    def edge(at: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Blurred step rising outward at ``at``, and its derivative with respect to ``at``."""
        u = (depth - at[:, None]) / sigma_mm
        bell = np.exp(-0.5 * u**2) / (sigma_mm * np.sqrt(2 * np.pi))
        return ndtr(u) + lean * bell, -bell + lean * bell * u / sigma_mm

    for iteration in range(9):
        inner, d_inner = edge(shift - width / 2)
        outer, d_outer = edge(shift + width / 2)
        basis = np.stack([inner - outer, 1 - inner, outer], axis=-1)  # wall, cavity, surroundings
        model = (basis @ level[..., None])[..., 0]
        by_inner = (level[:, :1] - level[:, 1:2]) * d_inner
        by_outer = (level[:, 2:] - level[:, :1]) * d_outer
        jacobian = np.concatenate(
            [basis, (by_inner + by_outer)[..., None], (0.5 * (by_outer - by_inner))[..., None]], axis=-1
        )
        residual = (data - model) * weight
        weighted = jacobian * weight[..., None]
        across = weighted.transpose(0, 2, 1)
        normal = across @ weighted
        right = (across @ residual[..., None])[..., 0]
        prior = np.zeros((n, 5))
        prior[:, 1:3] = noise[:, None] / 0.3**2
        prior[:, 3] = noise / 4.0**2
        prior[:, 4] = noise / spread_mm**2
        normal[:, np.arange(5), np.arange(5)] += prior + 1e-9
        right[:, 1:3] -= prior[:, 1:3] * (level[:, 1:3] - 0.05)
        right[:, 3] -= prior[:, 3] * shift
        right[:, 4] -= prior[:, 4] * (width - typical_mm)
        step = np.linalg.solve(normal, right[..., None])[..., 0]
        level = np.clip(level + step[:, :3], [0.2, -0.1, -0.1], [4.0, 1.5, 2.0])
        shift = np.clip(shift + np.clip(step[:, 3], -2, 2), -8, 8)
        width = np.clip(width + np.clip(step[:, 4], -2, 2), 3, 25)
        if iteration == 4:
            # Misfit is noise shared by neighbouring depths: it counts as fewer samples than there are.
            noise = np.maximum(noise, 4 * (residual**2).sum(axis=1) / weight.sum(axis=1))
    height: FloatArray = level[:, 0] * scale
    return shift, width, height
