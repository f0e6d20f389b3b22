"""The blood that feeds the wall, read off the image: where, and how clean.

* ``pool`` (`blood_pool`): all blood about the valve plane and in the cavity. The quietest, which matters most: the
  error of the blood is the error of every flow. The default of rubidium.
* ``basal``: a cylinder of 10 mm radius about the axis, from 8 mm before the valve plane to 20 mm behind it. Farthest
  from the wall, so that hardly any of its activity spills in (below 2 % in virtual patients).
* ``atrium``: the same from 8 to 24 mm behind the valve plane.
* ``cavity``: the middle of the ventricle; the classical region, which small hearts and papillary muscles reach into.
* ``factors`` (`factor_curves`): left blood, right blood and muscle as the factors of the image about the heart, without
  regions.

Right blood is read where the septum's far side is brightest before the left ventricle is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from myoscope.core import InvalidValue, Surfaces, Volume
from myoscope.core.geometry import FloatArray
from myoscope.quantify.flow.wall_place import WallPlace, read_frames

InputRegion = Literal["basal", "atrium", "cavity"]
InputChoice = Literal["pool", "basal", "atrium", "cavity", "factors"]
"""Where left blood may be read: a region, all of it together, or a factor of the image."""

_RADIUS_MM = 10.0
_ALONG_MM = {"basal": (-8.0, 20.0), "atrium": (8.0, 24.0)}  # behind the valve plane
_SEPTUM_DEG = (110.0, 250.0)
_RIGHT_DEPTHS_MM = (10.0, 14.0, 18.0, 22.0, 26.0)


@dataclass(frozen=True, eq=False, slots=True)
class BloodRegion:
    """Points of one region, LPS mm (point, 3), and its mean in every frame, (frame,), in the image's unit."""

    name: str
    points_mm: FloatArray
    means: FloatArray


def left_region(volume: Volume, surfaces: Surfaces, shifts_mm: FloatArray, *, where: InputRegion) -> BloodRegion:
    """Left blood in every frame.

    Raises
    ------
    InvalidValue
        For an unknown region, or one that lies outside the image.
    """
    if where not in get_args(InputRegion):
        raise InvalidValue(f"left blood is read at {', '.join(get_args(InputRegion))}, not at {where!r}")
    axis = surfaces.endo_mm.mean(axis=1)  # (ring + 1, 3), apex to base
    if where == "cavity":
        rings = slice(int(0.4 * surfaces.n_rings), int(0.85 * surfaces.n_rings))
        middle = axis[rings, None]
        inside = [middle + share * (surfaces.endo_mm[rings] - middle) for share in (0.0, 0.2, 0.4)]
        points = np.concatenate([p.reshape(-1, 3) for p in inside])
    else:
        begin, end = _ALONG_MM[where]
        points = cylinder(axis[-1], surfaces, np.arange(begin, end + 1, 4.0), _RADIUS_MM)
    return _region(f"left blood, {where}", volume, points, shifts_mm)


def right_region(
    volume: Volume, surfaces: Surfaces, shifts_mm: FloatArray, left_means: FloatArray
) -> BloodRegion | None:
    """Right blood in every frame: the brightest place beyond the septum before the left ventricle fills.

    None where nothing there is brighter than left blood at that time: no bolus was seen.
    """
    place = WallPlace.of(surfaces)
    n_rings, n_angles = place.thickness_mm.shape
    rings = np.arange(int(0.35 * n_rings), int(0.95 * n_rings), 2)
    angle = (np.arange(n_angles) + 0.5) * 360 / n_angles
    columns = np.flatnonzero((angle > _SEPTUM_DEG[0]) & (angle < _SEPTUM_DEG[1]))[::2]
    half = 0.5 * place.thickness_mm[np.ix_(rings, columns)]
    where = np.stack(
        [
            place.mid_mm[np.ix_(rings, columns)] + (half + d)[..., None] * place.outward[np.ix_(rings, columns)]
            for d in _RIGHT_DEPTHS_MM
        ]
    )
    seen = read_frames(volume, where, shifts_mm)  # (frame, depth, ring, angle)
    peak = int(np.argmax(left_means))
    early = np.arange(peak + 1)
    rises = np.nan_to_num(seen[early]) - left_means[early, None, None, None]
    first = int(early[np.argmax(rises.max(axis=(1, 2, 3)))])
    brightness = np.nan_to_num(seen[first] + 0.5 * seen[max(first - 1, 0)])
    smooth = _box_mean(brightness)
    if not float(smooth.max()) > 0.3 * float(left_means.max()):
        return None
    d, r, a = np.unravel_index(int(np.argmax(smooth)), smooth.shape)
    centre = where[d, r, a]
    step = np.arange(-6.0, 6.5, 3.0)
    cube = np.stack(np.meshgrid(step, step, step, indexing="ij"), axis=-1).reshape(-1, 3)
    ball = cube[np.linalg.norm(cube, axis=1) <= 6.5]
    return _region("right blood", volume, centre + ball, shifts_mm)


def _box_mean(values: FloatArray) -> FloatArray:
    from scipy.ndimage import uniform_filter

    mean: FloatArray = uniform_filter(values, size=(1, 3, 3), mode="nearest")
    return mean


def cylinder(
    base: FloatArray, surfaces: Surfaces, along: FloatArray, radius_mm: float, step_mm: float = 3.2
) -> FloatArray:
    """Points that fill a cylinder about the long axis evenly, (point, 3), about ``step_mm`` apart across it.

    ``along`` (disc,) is counted from the valve plane ``base`` backwards.
    """
    frame = surfaces.frame
    k = np.arange(int(np.pi * (radius_mm / step_mm) ** 2))
    radius, turn = radius_mm * np.sqrt((k + 0.5) / len(k)), k * np.pi * (3 - np.sqrt(5))  # a sunflower's seeds
    disc = radius[:, None] * (np.cos(turn)[:, None] * frame.lateral + np.sin(turn)[:, None] * frame.up)
    points: FloatArray = (base - along[:, None, None] * frame.long_axis + disc).reshape(-1, 3)
    return points


def _region(name: str, volume: Volume, points: FloatArray, shifts_mm: FloatArray) -> BloodRegion:
    seen = read_frames(volume, points, shifts_mm)
    if not np.isfinite(seen).all():
        raise InvalidValue(f"{name}: part of the region lies outside the image; is the heart cut off at its base?")
    return BloodRegion(name, points, seen.mean(axis=1))


@dataclass(frozen=True, eq=False, slots=True)
class Factors:
    """Left blood, right blood and muscle as factors of an image: curves (frame,) scaled as their purest voxels show
    them, and the share of the image's variance that they explain together."""

    left: FloatArray
    right: FloatArray
    muscle: FloatArray
    explained: float


def factor_curves(
    volume: Volume, surfaces: Surfaces, shifts_mm: FloatArray, *, overlap_penalty: float = 0.1, iterations: int = 200
) -> Factors:
    """Curves of left blood, right blood and muscle by non-negative factor analysis about the heart.

    After Sitek A, Gullberg GT, Huesman RH, IEEE Trans Med Imaging 2002;21:216: least squares of image against factors,
    plus a penalty on voxels that belong to several factors at once, without which the solution is not unique. Solved by
    alternating multiplicative steps from curves of regions; ``overlap_penalty`` weighs the second term.
    """
    left = left_region(volume, surfaces, shifts_mm, where="basal").means
    right = right_region(volume, surfaces, shifts_mm, left)
    place = WallPlace.of(surfaces)
    wall = np.nanmean(wall_curves_of_all(volume, place, shifts_mm), axis=0)
    muscle = np.clip(wall - 0.4 * left, 0, None)
    seeds = [left, muscle] if right is None else [left, right.means, muscle]
    factor = np.clip(np.stack(seeds), 1e-6, None)  # (factor, frame)
    data = np.clip(_voxels_about(volume, place, shifts_mm), 0, None)  # (voxel, frame)
    scale = factor.max(axis=1, keepdims=True)
    factor = factor / scale
    top = float(data.max())
    data = data / top
    share = np.full((len(data), len(factor)), 0.3)
    for _ in range(iterations):
        fitted = share @ factor
        others = share.sum(axis=1, keepdims=True) - share
        share *= (data @ factor.T) / np.maximum(fitted @ factor.T + overlap_penalty * others, 1e-12)
        fitted = share @ factor
        factor *= (share.T @ data) / np.maximum(share.T @ fitted, 1e-12)
        size = np.maximum(factor.max(axis=1, keepdims=True), 1e-12)
        factor, share = factor / size, share * size.T
    # A factor's own voxels say how high it is: the mean of the most of them that hold it almost alone.
    curves = []
    for k in range(len(factor)):
        purity = share[:, k] / np.maximum(share.sum(axis=1), 1e-12) * (share[:, k] > 0.3 * share[:, k].max())
        best = np.argsort(-purity * share[:, k])[: max(20, len(data) // 200)]
        curves.append(top * float(np.median(share[best, k])) * factor[k])
    rest = data - share @ factor
    explained = 1 - float((rest**2).sum() / ((data - data.mean()) ** 2).sum())
    if right is None:
        return Factors(curves[0], np.zeros_like(left), curves[1], explained)
    return Factors(curves[0], curves[1], curves[2], explained)


def wall_curves_of_all(volume: Volume, place: WallPlace, shifts_mm: FloatArray) -> FloatArray:
    """Curves of the middle of the wall, every cell, (cell, frame)."""
    return read_frames(volume, place.mid_mm, shifts_mm).reshape(volume.n_frames, -1).T


def _voxels_about(volume: Volume, place: WallPlace, shifts_mm: FloatArray) -> FloatArray:
    """Curves at many points in and about the heart, (point, frame): cavity, wall, and beyond the septum."""
    depths = [-24.0, -18.0, -12.0, -6.0, 0.0, 8.0, 16.0, 22.0]
    part = [read_frames(volume, place.at(d)[::2, ::3], shifts_mm).reshape(volume.n_frames, -1) for d in depths]
    curves = np.concatenate(part, axis=1).T
    seen: FloatArray = curves[np.isfinite(curves).all(axis=1)]
    return seen
