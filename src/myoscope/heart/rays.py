"""The wall followed along rays from the long axis: where the middle of a blurred wall lies, to begin with.

Rays are spherical about the centre of the apical cap and cylindrical below it, so that they meet the wall head on
everywhere. Along them the ridge of the counts is followed; on the surface that it makes, fields are smoothed by arc
length and nodes are put at equal distances from the apex to the valve plane.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from myoscope.core import N_ANGLES, N_RINGS, CardiacFrame, HeartNotFound, Volume
from myoscope.core.geometry import FloatArray

if TYPE_CHECKING:
    from myoscope.heart.left_ventricle import LeftVentricle
    from myoscope.heart.valve_plane import ValvePlane

FWHM_TO_SIGMA = 1 / np.sqrt(8 * np.log(2))
ROW_STEP_MM = 2.5
_RADIAL_STEP_MM = 1.0
_MAX_RADIUS_MM = 60.0
_BEYOND_BASE_MM = 30.0


class HeartImage:
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
class Rays:
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


def follow_wall(image: HeartImage, lv: LeftVentricle, sigma_mm: float) -> tuple[Rays, FloatArray, FloatArray]:
    """Rays about the ventricle's own axis, the mid-wall's distance along each, and the counts there."""
    rays, start = _start_from_mask(lv)
    radius, ridge = follow_ridge(image, rays, start, sigma_mm)
    upper = rays.body & (rays.origin[:, 2] > rays.origin[-1, 2] + _BEYOND_BASE_MM)
    moments = 2 * np.stack([radius * np.cos(rays.angle), radius * np.sin(rays.angle)], axis=-1)
    off_axis = moments[upper].mean(axis=(0, 1)) if upper.any() else np.zeros(2)
    if np.linalg.norm(off_axis) > 0.5:
        points = rays.points(radius)
        rays.origin = rays.origin + np.array([*off_axis, 0.0])
        radius, ridge = follow_ridge(image, rays, _radius_through(rays, points), sigma_mm)
    return rays, radius, ridge


def _start_from_mask(lv: LeftVentricle) -> tuple[Rays, FloatArray]:
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
    n_cap = max(8, int(np.ceil(np.pi / 2 * cap / ROW_STEP_MM)))
    tilt_cap = np.linspace(0, np.pi / 2, n_cap, endpoint=False)
    body = np.arange(cap_centre, min(base, cap_centre - 20) - _BEYOND_BASE_MM, -ROW_STEP_MM)
    heights = np.concatenate([np.full(n_cap, cap_centre), body])
    origin = np.column_stack([np.full(heights.size, centre[0]), np.full(heights.size, centre[1]), heights])
    tilt = np.concatenate([tilt_cap, np.full(body.size, np.pi / 2)])
    angle = np.arange(N_ANGLES, dtype=np.float64) * (2 * np.pi / N_ANGLES)
    rays = Rays(lv.frame, origin, tilt, angle)

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
    smooth = smooth_on_wall(middle, seen + 1e-9, rays.tilt, np.full(tilt.size, typical), 10.0)
    return rays, np.clip(smooth, 8, _MAX_RADIUS_MM - 5)


def _ring_centre(points: FloatArray) -> FloatArray:
    """Centre of the circle through points on a ring (algebraic least squares)."""
    matrix = np.column_stack([2 * points, np.ones(len(points))])
    solution, *_ = np.linalg.lstsq(matrix, (points**2).sum(axis=1), rcond=None)
    centre: FloatArray = solution[:2]
    return centre if np.linalg.norm(centre) < 25 else np.zeros(2)


def smooth_on_wall(
    value: FloatArray, weight: FloatArray, tilt: FloatArray, around_mm: FloatArray, reach_mm: float
) -> FloatArray:
    """Weighted mean over neighbours on the wall, Gaussian of ``reach_mm``; (row, column[, ...])."""
    around = np.maximum(around_mm * np.sin(np.maximum(tilt, 1e-3)), 1e-3)
    total = blur_on_wall(value * weight, around, reach_mm)
    norm = blur_on_wall(weight, around, reach_mm)
    result: FloatArray = total / np.maximum(norm, 1e-30)
    return result


def blur_on_wall(value: FloatArray, around_mm: FloatArray, reach_mm: float, row_mm: float = ROW_STEP_MM) -> FloatArray:
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


def follow_ridge(image: HeartImage, rays: Rays, radius: FloatArray, sigma_mm: float) -> tuple[FloatArray, FloatArray]:
    """The smooth surface along which counts across the wall are highest, and those counts."""
    every_angle, rays = rays, Rays(rays.frame, rays.origin, rays.tilt, rays.angle[::2])
    radius = radius[:, ::2]
    for window, reach in ((9.0, 3.0), (6.0, 2.4), (4.0, 1.7)):
        offset = np.arange(-window, window + 0.5, _RADIAL_STEP_MM)
        depth = np.maximum(radius[..., None] + offset, 2.0)
        counts = image.at(rays.to_patient(rays.points(depth)))
        around = np.maximum(radius.mean(axis=1) * np.sin(rays.tilt), 0.5)
        counts = blur_on_wall(counts, around, 1.7 * sigma_mm)
        best = counts.argmax(axis=-1)
        inner = np.clip(best, 1, offset.size - 2)
        left, peak, right = (np.take_along_axis(counts, (inner + d)[..., None], -1)[..., 0] for d in (-1, 0, 1))
        bend = np.minimum(left - 2 * peak + right, -1e-9 * np.abs(peak) - 1e-12)
        found = offset[inner] + _RADIAL_STEP_MM * np.clip(0.5 * (left - right) / bend, -1, 1)
        level = np.percentile(peak, 80)
        # A maximum at the window's end is a slope towards something else, not the wall.
        sure = np.where(best == inner, np.clip(peak / level, 0, 1) ** 2, 1e-3) + 1e-6
        radius = smooth_on_wall(
            radius + found, sure, rays.tilt, np.full(rays.tilt.size, radius.mean()), reach * sigma_mm
        )
        radius = np.clip(radius, 5, _MAX_RADIUS_MM)
    rays, radius = every_angle, twice_as_many(radius)
    counts = image.at(rays.to_patient(rays.points(radius[..., None] + np.arange(-4.0, 4.5, 1.0)))).max(axis=-1)
    return radius, counts


def twice_as_many(field: FloatArray) -> FloatArray:
    """A smooth periodic field with a column between any two (Fourier interpolation)."""
    n = field.shape[1]
    result: FloatArray = 2 * np.fft.irfft(np.fft.rfft(field, axis=1), 2 * n, axis=1)
    return result


def _radius_through(rays: Rays, points: FloatArray) -> FloatArray:
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


def resample_nodes(mid: FloatArray, valve: ValvePlane) -> FloatArray:
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


def extended(nodes: FloatArray) -> FloatArray:
    """The surface with a row more beyond its rim, straight on."""
    return np.concatenate([nodes, nodes[-1:] + 3 * (nodes[-1:] - nodes[-3:-2])])


def normals_and_curvature(nodes: FloatArray) -> tuple[FloatArray, FloatArray]:
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
    smooth = blur_on_wall(curvature, np.maximum(radius, 1.0), 8.0)
    return normal, np.clip(smooth, 0.0, 1 / 10)
