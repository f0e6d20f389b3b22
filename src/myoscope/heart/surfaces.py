"""Endo- and epicardium from blurred counts: a wall of finite thickness seen through a Gaussian.

Profiles of counts along normals of the mid-wall are fitted by a step of height A and width w between two
levels (cavity inside, surroundings outside), blurred by the image's resolution; the wall's curvature is
part of the model, because a blurred shell peaks inside of where it lies. In the flat case the peak is the
recovery erf(sqrt(ln 2) w / R) of a slab (reference section 4.4) and the width of the profile gives w. Where
counts are too low to see the wall, it is bridged from its neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from myoscope.core import N_ANGLES, N_RINGS, CardiacFrame, GeometryMismatch, HeartNotFound, Surfaces, Volume
from myoscope.core.geometry import FloatArray
from myoscope.heart.valve_plane import ValvePlane, fit_valve_plane

if TYPE_CHECKING:
    from myoscope.heart.left_ventricle import LeftVentricle

_FWHM_TO_SIGMA = 1 / np.sqrt(8 * np.log(2))

# Rays of the hybrid (spherical apex, cylindrical body) search.
_ROW_STEP_MM = 2.5
_RADIAL_STEP_MM = 1.0
_MAX_RADIUS_MM = 60.0
_BEYOND_BASE_MM = 30.0

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
    sigma_mm = fwhm_mm * _FWHM_TO_SIGMA
    whole = _Image(volume.summed())
    rays, radius, ridge = _follow_wall(whole, lv, sigma_mm)
    if volume.frame_axis != "gate":
        valve = fit_valve_plane(rays.points(radius), ridge, rays.origin[:, 2], body=rays.body, fwhm_mm=fwhm_mm)
        nodes, thickness, visible = _fit_wall(whole, rays, rays.points(radius), valve, sigma_mm)
        endo, epi = _two_sides(nodes, thickness, valve)
        steps += (f"{1 - visible.mean():.1%} of the wall bridged",)
    else:
        gates = [_Image(volume.frame(gate)) for gate in range(volume.n_frames)]
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


class _Image:
    """Counts between the voxels: a cubic spline about the heart."""

    def __init__(self, volume: Volume) -> None:
        from scipy.ndimage import spline_filter

        array = np.asarray(volume.array, np.float64)
        self.grid = volume.grid
        self._spline = spline_filter(np.where(np.isfinite(array), array, 0.0), order=3, mode="mirror")

    def at(self, points_mm: FloatArray) -> FloatArray:
        from scipy.ndimage import map_coordinates

        coordinates = np.moveaxis(self.grid.to_index(points_mm), -1, 0)
        values: FloatArray = map_coordinates(self._spline, coordinates, order=3, mode="nearest", prefilter=False)
        return values


@dataclass(eq=False, slots=True)
class _Rays:
    """Rays from the long axis: spherical above the cap's centre, cylindrical below it.

    Heart coordinates (lateral, up, towards apex) about ``origin_mm``. Rows run from the apex to beyond the base.
    """

    frame: CardiacFrame
    origin: FloatArray  # (row, 3): start of each row's rays, on the axis
    tilt: FloatArray  # (row,): angle from the long axis, 90 degrees in the body
    angle: FloatArray  # (column,)

    @property
    def body(self) -> NDArray[np.bool_]:
        """Rows searched around the axis, not about the cap's centre."""
        body: NDArray[np.bool_] = self.tilt > 0.4999 * np.pi
        return body

    @property
    def direction(self) -> FloatArray:
        """Unit vectors in heart coordinates; (row, column, 3)."""
        across, along = np.sin(self.tilt)[:, None], np.cos(self.tilt)[:, None]
        parts = (across * np.cos(self.angle), across * np.sin(self.angle), along + 0 * self.angle)
        result: FloatArray = np.stack(np.broadcast_arrays(*parts), axis=-1)
        return result

    def points(self, radius: FloatArray) -> FloatArray:
        """Heart coordinates at a distance along each ray; radius (row, column) or (row, column, depth)."""
        extra = radius.ndim - 2
        origin = self.origin.reshape(self.origin.shape[0], 1, *([1] * extra), 3)
        direction = self.direction.reshape(*self.direction.shape[:2], *([1] * extra), 3)
        points: FloatArray = origin + radius[..., None] * direction
        return points

    def to_patient(self, points: FloatArray) -> FloatArray:
        return self.frame.to_patient(points)


def _follow_wall(image: _Image, lv: LeftVentricle, sigma_mm: float) -> tuple[_Rays, FloatArray, FloatArray]:
    """Rays about the ventricle's own axis, the mid-wall's distance along each, and the counts there."""
    rays, start = _start_from_mask(lv)
    radius, ridge = _follow_ridge(image, rays, start, sigma_mm)
    upper = rays.body & (rays.origin[:, 2] > rays.origin[-1, 2] + _BEYOND_BASE_MM)
    moments = 2 * np.stack([radius * np.cos(rays.angle), radius * np.sin(rays.angle)], axis=-1)
    off_axis = moments[upper].mean(axis=(0, 1)) if upper.any() else np.zeros(2)
    if np.linalg.norm(off_axis) > 0.5:
        points = rays.points(radius)
        rays.origin = rays.origin + np.array([*off_axis, 0.0])
        radius, ridge = _follow_ridge(image, rays, _radius_through(rays, points), sigma_mm)
    return rays, radius, ridge


def _fit_wall(
    image: _Image, rays: _Rays, mid: FloatArray, valve: ValvePlane, sigma_mm: float, *, lending: float = 1.0
) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
    """Mid-wall nodes, wall thickness and whether the wall was seen, from profiles along its normals."""
    nodes = _resample(mid, valve)
    for _ in range(2):
        normals, curvature = _normals(nodes)
        shift, thickness, visible = _fit_profiles(image, rays, nodes, normals, curvature, sigma_mm, lending)
        nodes = nodes + shift[..., None] * normals
        nodes[0] = nodes[0].mean(axis=0)
        # Moving along normals leaves the valve plane: put the rows back at equal arc length.
        nodes = _resample(_extended(nodes), valve)
    return nodes, thickness, visible


def _two_sides(nodes: FloatArray, thickness: FloatArray, valve: ValvePlane) -> tuple[FloatArray, FloatArray]:
    """Endo- and epicardium, half the thickness to either side; the last row's offsets lie in the valve plane."""
    normals, _ = _normals(nodes)
    lean = np.clip((np.linspace(0, 1, N_RINGS + 1) - 0.8) / 0.2, 0, 1) ** 2
    across = (normals @ valve.normal)[..., None] * valve.normal
    direction = normals - lean[:, None, None] * across
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    offset = 0.5 * thickness[..., None] * direction
    return nodes - offset, nodes + offset


def _fit_gates(
    gates: list[_Image], rays: _Rays, radius: FloatArray, sigma_mm: float
) -> tuple[FloatArray, FloatArray, ValvePlane, NDArray[np.bool_]]:
    """Both surfaces in every gate, heart coordinates (gate, 41, 72, 3), with one wall volume for all gates.

    The mid-wall and the valve plane move with the first harmonics of the cycle; thickness is fitted gate by
    gate and then scaled so that the volume between the surfaces does not change.
    """
    fwhm_mm = sigma_mm / _FWHM_TO_SIGMA
    followed = [_follow_ridge(image, rays, radius, _GATE_LENDING * sigma_mm) for image in gates]
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
    nodes = np.stack([_resample(_extended(mid), plane) for mid, plane in zip(nodes, planes, strict=True)])
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


def _start_from_mask(lv: LeftVentricle) -> tuple[_Rays, FloatArray]:
    """Rays about the outlined wall, and the distance at which each meets its middle."""
    mask = lv.wall.array
    voxels = np.argwhere(mask)
    wall = lv.frame.to_heart(lv.wall.grid.to_mm(voxels))
    height = wall[:, 2]
    base = float(np.percentile(height, 2))
    low = height < np.percentile(height, 60)
    centre = _ring_centre(wall[low, :2])
    wall = wall - np.array([*centre, 0.0])
    from_axis = np.hypot(wall[:, 0], wall[:, 1])
    typical = float(np.median(from_axis[low]))
    near_axis = (from_axis < max(0.45 * typical, 6.0)) & (height > np.median(height))
    top = float(np.percentile(height, 98)) - 4 if near_axis.sum() < 3 else float(np.median(height[near_axis]))
    cap = float(np.clip(0.8 * typical, 12, 26))
    cap_centre = top - cap
    n_cap = max(8, int(np.ceil(np.pi / 2 * cap / _ROW_STEP_MM)))
    tilt_cap = np.linspace(0, np.pi / 2, n_cap, endpoint=False)
    body = np.arange(cap_centre, min(base, cap_centre - 20) - _BEYOND_BASE_MM, -_ROW_STEP_MM)
    heights = np.concatenate([np.full(n_cap, cap_centre), body])
    origin = np.column_stack([np.full(heights.size, centre[0]), np.full(heights.size, centre[1]), heights])
    tilt = np.concatenate([tilt_cap, np.full(body.size, np.pi / 2)])
    angle = np.arange(N_ANGLES, dtype=np.float64) * (2 * np.pi / N_ANGLES)
    rays = _Rays(lv.frame, origin, tilt, angle)

    depth = np.arange(6.0, _MAX_RADIUS_MM, 2.0)
    shape = (tilt.size, N_ANGLES, depth.size)
    points = rays.to_patient(rays.points(np.broadcast_to(depth, shape)))
    from scipy.ndimage import map_coordinates

    index = np.moveaxis(lv.wall.grid.to_index(points), -1, 0)
    share = map_coordinates(mask.astype(np.float32), index, order=1, mode="constant")
    weight = share.sum(axis=-1)
    middle = (share * depth).sum(axis=-1) / np.maximum(weight, 1e-6)
    seen = np.clip(weight / 3, 0, 1)
    if (seen > 0.5).mean() < 0.15:
        raise HeartNotFound("the outlined wall does not surround the long axis: too few rays from the axis meet it")
    smooth = _smooth(middle, seen + 1e-9, rays.tilt, np.full(tilt.size, typical), 10.0)
    return rays, np.clip(smooth, 8, _MAX_RADIUS_MM - 5)


def _ring_centre(points: FloatArray) -> FloatArray:
    """Centre of the circle through points on a ring (algebraic least squares)."""
    matrix = np.column_stack([2 * points, np.ones(len(points))])
    solution, *_ = np.linalg.lstsq(matrix, (points**2).sum(axis=1), rcond=None)
    centre: FloatArray = solution[:2]
    return centre if np.linalg.norm(centre) < 25 else np.zeros(2)


def _smooth(
    value: FloatArray, weight: FloatArray, tilt: FloatArray, around_mm: FloatArray, reach_mm: float
) -> FloatArray:
    """Weighted mean over neighbours on the wall, Gaussian of ``reach_mm``; (row, column[, ...])."""
    around = np.maximum(around_mm * np.sin(np.maximum(tilt, 1e-3)), 1e-3)
    total = _blur(value * weight, around, reach_mm)
    norm = _blur(weight, around, reach_mm)
    result: FloatArray = total / np.maximum(norm, 1e-30)
    return result


def _blur(value: FloatArray, around_mm: FloatArray, reach_mm: float, row_mm: float = _ROW_STEP_MM) -> FloatArray:
    """Gaussian along rows and, by its Fourier multiplier, around each row; columns on axis 1."""
    from scipy.ndimage import gaussian_filter1d

    n = value.shape[1]
    order = np.arange(n // 2 + 1)
    multiplier = np.exp(-0.5 * (order * (reach_mm / around_mm)[:, None]) ** 2)
    spectrum = np.fft.rfft(value, axis=1)
    spectrum *= multiplier.reshape(*multiplier.shape, *([1] * (value.ndim - 2)))
    smooth = np.fft.irfft(spectrum, n, axis=1)
    result: FloatArray = gaussian_filter1d(smooth, reach_mm / row_mm, axis=0, mode="nearest")
    return result


def _follow_ridge(image: _Image, rays: _Rays, radius: FloatArray, sigma_mm: float) -> tuple[FloatArray, FloatArray]:
    """The smooth surface along which counts across the wall are highest, and those counts."""
    every_angle, rays = rays, _Rays(rays.frame, rays.origin, rays.tilt, rays.angle[::2])
    radius = radius[:, ::2]
    for window, reach in ((9.0, 3.0), (6.0, 2.4), (4.0, 1.7)):
        offset = np.arange(-window, window + 0.5, _RADIAL_STEP_MM)
        depth = np.maximum(radius[..., None] + offset, 2.0)
        counts = image.at(rays.to_patient(rays.points(depth)))
        around = np.maximum(radius.mean(axis=1) * np.sin(rays.tilt), 0.5)
        counts = _blur(counts, around, 1.7 * sigma_mm)
        best = counts.argmax(axis=-1)
        inner = np.clip(best, 1, offset.size - 2)
        left, peak, right = (np.take_along_axis(counts, (inner + d)[..., None], -1)[..., 0] for d in (-1, 0, 1))
        bend = np.minimum(left - 2 * peak + right, -1e-9 * np.abs(peak) - 1e-12)
        found = offset[inner] + _RADIAL_STEP_MM * np.clip(0.5 * (left - right) / bend, -1, 1)
        level = np.percentile(peak, 80)
        # A maximum at the window's end is a slope towards something else, not the wall.
        sure = np.where(best == inner, np.clip(peak / level, 0, 1) ** 2, 1e-3) + 1e-6
        radius = _smooth(radius + found, sure, rays.tilt, np.full(rays.tilt.size, radius.mean()), reach * sigma_mm)
        radius = np.clip(radius, 5, _MAX_RADIUS_MM)
    rays, radius = every_angle, _twice_as_many(radius)
    counts = image.at(rays.to_patient(rays.points(radius[..., None] + np.arange(-4.0, 4.5, 1.0)))).max(axis=-1)
    return radius, counts


def _twice_as_many(field: FloatArray) -> FloatArray:
    """A smooth periodic field with a column between any two (Fourier interpolation)."""
    n = field.shape[1]
    result: FloatArray = 2 * np.fft.irfft(np.fft.rfft(field, axis=1), 2 * n, axis=1)
    return result


def _radius_through(rays: _Rays, points: FloatArray) -> FloatArray:
    """Distances along the rays (their axis moved) at which they pass a surface given by its points."""
    relative = points - rays.origin[:, None]
    cap = ~rays.body
    radius = np.where(cap[:, None], np.linalg.norm(relative, axis=-1), np.hypot(relative[..., 0], relative[..., 1]))
    angle = np.arctan2(relative[..., 1], relative[..., 0])
    result = np.empty_like(radius)
    for row in range(radius.shape[0]):
        if np.sin(rays.tilt[row]) < 0.2:
            result[row] = radius[row].mean()
            continue
        result[row] = np.interp(rays.angle, angle[row], radius[row], period=2 * np.pi)
    return result


def _resample(mid: FloatArray, valve: ValvePlane) -> FloatArray:
    """Nodes equally spaced in arc length from the apex to the valve plane on every meridian; (41, 72, 3)."""
    apex = mid[:1].mean(axis=1, keepdims=True)
    path = np.concatenate([np.broadcast_to(apex, (1, mid.shape[1], 3)), mid[1:]])
    beyond = (path - valve.point) @ valve.normal
    steps = np.linalg.norm(np.diff(path, axis=0), axis=-1)
    length = np.concatenate([np.zeros((1, mid.shape[1])), np.cumsum(steps, axis=0)])
    crossed = beyond > 0
    first = np.where(crossed.any(axis=0), np.maximum(crossed.argmax(axis=0), 1), path.shape[0] - 1)
    column = np.arange(mid.shape[1])
    before, after = beyond[first - 1, column], beyond[first, column]
    share = np.where(after > before, -before / np.where(after > before, after - before, 1), 1.0)
    end = length[first - 1, column] + np.clip(share, 0, 1.5) * (length[first, column] - length[first - 1, column])
    wanted = np.linspace(0, 1, N_RINGS + 1)[:, None] * end
    low = np.clip((length[None] <= wanted[:, None]).sum(axis=1) - 1, 0, path.shape[0] - 2)
    part = (wanted - length[low, column]) / np.maximum(length[low + 1, column] - length[low, column], 1e-9)
    nodes: FloatArray = path[low, column] + part[..., None] * (path[low + 1, column] - path[low, column])
    return nodes


def _extended(nodes: FloatArray) -> FloatArray:
    """The surface with a row more beyond its rim, straight on."""
    return np.concatenate([nodes, nodes[-1:] + 3 * (nodes[-1:] - nodes[-3:-2])])


def _normals(nodes: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Outward unit normals and mean curvature (1/mm, positive for a cup) of the mid-wall."""
    along = np.gradient(nodes, axis=0)
    around = 0.5 * (np.roll(nodes, -1, axis=1) - np.roll(nodes, 1, axis=1))
    normal = np.cross(around, along)
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    normal = normal / np.maximum(length, 1e-9)
    apex = normal[1].mean(axis=0)
    normal[0] = apex / np.linalg.norm(apex)
    inward = nodes.mean(axis=(0, 1)) - nodes
    if (normal * inward).sum() > 0:
        normal = -normal
    turn_along = np.gradient(normal, axis=0)
    turn_around = 0.5 * (np.roll(normal, -1, axis=1) - np.roll(normal, 1, axis=1))
    k_along = (turn_along * along).sum(-1) / np.maximum((along**2).sum(-1), 1e-6)
    k_around = (turn_around * around).sum(-1) / np.maximum((around**2).sum(-1), 1e-6)
    curvature = 0.5 * (k_along + k_around)
    curvature[:3] = curvature[2:4].mean()
    radius = np.linalg.norm(nodes[:, :, :2] - nodes[:, :, :2].mean(axis=1, keepdims=True), axis=-1).mean(axis=1)
    smooth = _blur(curvature, np.maximum(radius, 1.0), 8.0)
    return normal, np.clip(smooth, 0.0, 1 / 10)


def _fit_profiles(
    image: _Image,
    rays: _Rays,
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
    fwhm_mm = sigma_mm / _FWHM_TO_SIGMA
    whole = _blur(counts, around, lending * _WHOLE * fwhm_mm, row_mm)[rows].reshape(-1, depth.size)
    _, width, height = _fit_slabs(whole, depth, bend, sigma_mm, typical_mm=10.0, spread_mm=4.0)
    typical_mm = float(np.average(width, weights=height**2))
    region = _blur(counts, around, lending * _REGION * fwhm_mm, row_mm)[rows].reshape(-1, depth.size)
    shift, width, height = _fit_slabs(region, depth, bend, sigma_mm, typical_mm=typical_mm, spread_mm=_SPREAD_MM)
    width = np.sqrt(np.maximum(width**2 - _EXTRA_WIDTH_SQUARED * fwhm_mm**2, 3.0**2))
    level = np.percentile(height, 75)
    seen = height > 0.25 * level
    grid_shape = (rows.size, columns.size)
    weight = np.where(seen, np.clip(height / level, 0, 1) ** 2, 0).reshape(grid_shape) + 1e-6
    fields = []
    for field in (shift, width):
        smooth = _blur(field.reshape(grid_shape) * weight, around[rows], lending * _REGION * fwhm_mm, 2 * row_mm)
        smooth /= _blur(weight, around[rows], lending * _REGION * fwhm_mm, 2 * row_mm)
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
