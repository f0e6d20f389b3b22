"""The wall of a heart that is seen too softly to tell its thickness: gates and ungated images of patients.

At the resolution of clinical images, with breathing on top, half the width of a wall's profile says next to nothing
about its thickness, while the middle of the wall is known to a millimetre. So here thickness comes from what is usual
(`usual_wall_mL`: people's walls differ by a tenth of their volume for a given size of the heart) and the image tells
the rest:

1. Along rays from the long axis (`rays.py`) the counts of all gates are read once. Their ridge is followed gate by
   gate, smooth along the wall and with the first harmonics of the cycle; the wall's end is found along it
   (`wall_end.py`).
2. How soft the image is follows from how far counts reach outside the ridge, all gates laid upon one another.
3. A ridge lies inside the middle of a curved wall, where the wall curves sharply by millimetres. Instead of a formula
   for it, the wall found so far is put into voxels, blurred as the image is (`blurred_wall.py`) and fitted in the same
   way: by how much that fit misses the wall that was put in, the real one is moved. Three rounds suffice.
4. The volume between the surfaces is the same in all gates, and that of every part of the wall too: where the wall
   draws together it thickens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from myoscope.core import N_ANGLES, N_RINGS, GeometryMismatch, Grid, Surfaces, Volume
from myoscope.core.geometry import FloatArray
from myoscope.core.surfaces import enclosed_mL
from myoscope.heart.blurred_wall import blurred_wall
from myoscope.heart.rays import (
    FWHM_TO_SIGMA,
    HeartImage,
    Rays,
    blur_on_wall,
    follow_wall,
    normals_and_curvature,
    resample_nodes,
    smooth_on_wall,
    twice_as_many,
)
from myoscope.heart.usual_wall_constants import (
    APICAL_REACH,
    APICAL_THINNING,
    GATED_WALL,
    REFERENCE_MID_ML,
    UNGATED_WALL,
)
from myoscope.heart.valve_plane import ValvePlane
from myoscope.heart.wall_end import EVEN_WALL, FADING_WALL, fit_wall_end, lengths_of_a_beat

if TYPE_CHECKING:
    from myoscope.heart.left_ventricle import LeftVentricle

_MARGIN_MM = 35.0
_INWARD_MM, _OUTWARD_MM = 20.0, 10.0
# Reach of the smoothing along the wall in units of the blur: of counts, to begin with and at last; of the ridge.
_COARSE, _FINE, _RIDGE = 4.0, 2.0, 1.7
_ALONG_DEPTH = 0.5
_WINDOWS_MM = ((_COARSE, 14.0), (_FINE, 5.0), (_FINE, 3.0))
_HARMONICS, _PLANE_HARMONICS = 2, 1
_ROUNDS = 3
# Rings and angles whose profiles tell how soft the image is, how far out, and which share of them is the typical one
# (others hold liver or right ventricle).
_SOFT_ROWS, _SOFT_COLUMNS = slice(10, 32, 3), slice(0, N_ANGLES, 4)
_PROFILE_MM, _TYPICAL_PERCENT = 27.0, 40.0
_SOFTNESS_STEP = (0.7, 1.4)
_SOFTEST_MM, _SHARPEST_MM = 32.0, 5.0

_MUSCLE_REACH_MM = 15.0


@dataclass(frozen=True, eq=False, slots=True)
class SoftWall:
    """Surfaces by usual thickness, and how soft the image was found to be: FWHM in mm of camera and motion together."""

    surfaces: Surfaces
    fwhm_mm: float


def usual_wall_mL(mid_mL: float, *, gated: bool) -> float:
    """Volume of muscle to expect about a mid-wall that encloses so much (at end diastole if gated)."""
    share, power = GATED_WALL if gated else UNGATED_WALL
    return float(share * mid_mL * (mid_mL / REFERENCE_MID_ML) ** power)


def fit_soft_wall(volume: Volume, lv: LeftVentricle, *, start_fwhm_mm: float) -> SoftWall:
    """Surfaces of a located ventricle, ungated or gate by gate, with the usual thickness.

    ``start_fwhm_mm`` is a first guess of the image's softness; the image itself settles it.

    Raises
    ------
    GeometryMismatch
        If the wall mask does not lie on the image's grid.
    HeartNotFound
        If no closed wall can be followed around the long axis.
    """
    if not lv.wall.grid.same_place(volume.grid):
        raise GeometryMismatch(f"the wall mask lies on {lv.wall.grid!r}, the image on {volume.grid!r}")
    gated = volume.frame_axis == "gate"
    sigma_mm = start_fwhm_mm * FWHM_TO_SIGMA
    box, gates = _cropped(volume, lv)
    rays, start, _ = follow_wall(HeartImage(volume.summed()), lv, sigma_mm)
    fit = _RidgeFit(box, rays, start, sigma_mm, even=FADING_WALL if gated else EVEN_WALL)
    found = fit.ridges(gates, cyclic=gated)
    bare = fit.nodes(found, fit.planes(found, sigma_mm, cyclic=gated))
    reach_mm = _outward_reach_mm(box, rays, gates, bare)
    mid = _moved_out(bare, sigma_mm)
    planes = fit.planes(found, sigma_mm, cyclic=gated)
    for _ in range(_ROUNDS):
        inside_mL = enclosed_mL(mid)
        shown = sorted({int(inside_mL.argmax()), int(inside_mL.argmin())})
        wall_mL = usual_wall_mL(float(inside_mL.max()), gated=gated)
        narrowed = np.sqrt(inside_mL.max() / inside_mL)
        images = np.stack([_image_of(box, rays, mid[gate], wall_mL, sigma_mm, float(narrowed[gate])) for gate in shown])
        again = fit.ridges(images, cyclic=False)
        seen = fit.nodes(again, fit.planes(again, sigma_mm, cyclic=False))
        miss = _between(mid[shown] - seen, inside_mL, shown)
        reach_here_mm = _outward_reach_mm(box, rays, images, seen)
        sigma_mm *= float(np.clip(reach_mm / reach_here_mm, *_SOFTNESS_STEP))
        sigma_mm = float(np.clip(sigma_mm, _SHARPEST_MM * FWHM_TO_SIGMA, _SOFTEST_MM * FWHM_TO_SIGMA))
        planes = fit.planes(found, sigma_mm, cyclic=gated)
        mid = fit.nodes(found, planes) + miss
    fwhm_mm = sigma_mm / FWHM_TO_SIGMA
    wall_mL = usual_wall_mL(float(enclosed_mL(mid).max()), gated=gated)
    endo, epi = _with_thickness(mid, [plane.normal for plane in planes], wall_mL)
    normal = np.mean([plane.normal for plane in planes], axis=0)
    steps: tuple[str, ...] = (
        "surfaces by ridge of counts, corrected by refitting their own image",
        f"softness of the image {fwhm_mm:.3g} mm FWHM (from the image)",
        f"wall of {wall_mL:.3g} mL, usual for the size",
    )
    if gated:
        steps += (f"mass conserved over {len(gates)} gates",)
    else:
        endo, epi = endo[0], epi[0]
    surfaces = Surfaces(
        rays.to_patient(endo),
        rays.to_patient(epi),
        lv.frame,
        rays.to_patient(mid[:, -1].mean(axis=(0, 1))),
        normal / np.linalg.norm(normal) @ lv.frame.rotation,
        steps,
    )
    return SoftWall(surfaces, fwhm_mm)


def _cropped(volume: Volume, lv: LeftVentricle) -> tuple[Grid, FloatArray]:
    """The box about the outlined wall, and the gates in it (gate, i, j, k)."""
    grid = volume.grid
    voxels = np.argwhere(lv.wall.array)
    margin = np.ceil(_MARGIN_MM / grid.spacing_mm).astype(int)
    low = np.maximum(voxels.min(axis=0) - margin, 0)
    high = np.minimum(voxels.max(axis=0) + margin + 1, grid.shape)
    affine = np.array(grid.affine)
    affine[:3, 3] = grid.to_mm(low)
    shape = tuple(int(n) for n in high - low)
    frames = np.asarray(volume.array) if volume.frame_axis else np.asarray(volume.array)[None]
    inside = frames[(slice(None), *(slice(a, b) for a, b in zip(low, high, strict=True)))].astype(np.float64)
    return Grid((shape[0], shape[1], shape[2]), affine), np.nan_to_num(inside)


@dataclass(frozen=True, eq=False, slots=True)
class _Ridges:
    """Distance of the ridge along every ray (gate, row, column), and the counts along it."""

    radius: FloatArray
    counts: FloatArray


class _RidgeFit:
    """The ridge of counts along fixed rays, in any images on the same box; no image is read more than once."""

    def __init__(self, box: Grid, rays: Rays, start: FloatArray, sigma_mm: float, *, even: float) -> None:
        self._rays, self._start, self._sigma_mm, self._even = rays, start, sigma_mm, even
        half = Rays(rays.frame, rays.origin, rays.tilt, rays.angle[::2])
        self._about = start[:, ::2]
        self._depth = np.arange(-_INWARD_MM, _OUTWARD_MM + 0.5)
        points = rays.to_patient(half.points(np.maximum(self._about[..., None] + self._depth, 1.0)))
        self._index = np.moveaxis(box.to_index(points), -1, 0)
        self._around_mm = np.maximum(self._about.mean(axis=1) * np.sin(rays.tilt), 0.5)

    def ridges(self, images: FloatArray, *, cyclic: bool) -> _Ridges:
        """Ridges of images (gate, i, j, k); ``cyclic`` ones are gates of one beat and share its first harmonics."""
        cube = self._read(images)
        cube = first_harmonics(cube, _HARMONICS) if cyclic else cube
        moved = np.zeros((len(images), *self._about.shape))
        smooth: dict[float, FloatArray] = {}
        for reach, window_mm in _WINDOWS_MM:
            if reach not in smooth:
                smooth[reach] = np.stack([self._blurred(gate, reach) for gate in cube])
            moved = np.stack(
                [self._ridge(counts, about, window_mm) for counts, about in zip(smooth[reach], moved, strict=True)]
            )
            moved = first_harmonics(moved, _HARMONICS) if cyclic else moved
        along = np.stack([self._at(self._blurred(gate, 1.0), where) for gate, where in zip(cube, moved, strict=True)])
        along = first_harmonics(along, _HARMONICS) if cyclic else along
        return _Ridges(
            np.stack([self._start + twice_as_many(gate) for gate in moved]),
            np.stack([twice_as_many(gate) for gate in along]),
        )

    def planes(self, found: _Ridges, sigma_mm: float, *, cyclic: bool) -> list[ValvePlane]:
        """The valve plane of every gate."""
        planes = [
            fit_wall_end(
                self._rays.points(radius),
                counts,
                self._rays.origin[:, 2],
                body=self._rays.body,
                sigma_mm=sigma_mm,
                even=self._even,
            )
            for radius, counts in zip(found.radius, found.counts, strict=True)
        ]
        if not cyclic:
            return planes
        points = first_harmonics(np.stack([plane.point for plane in planes]), _PLANE_HARMONICS)
        walls = [self._rays.points(radius) for radius in found.radius]
        points[:, 2] = lengths_of_a_beat(walls, points[:, 2], body=self._rays.body)
        normals = first_harmonics(np.stack([plane.normal for plane in planes]), _PLANE_HARMONICS)
        normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
        return [ValvePlane(point, normal) for point, normal in zip(points, normals, strict=True)]

    def nodes(self, found: _Ridges, planes: list[ValvePlane]) -> FloatArray:
        """Nodes on the ridge, equally spaced from the apex to the valve plane; (gate, 41, 72, 3)."""
        return np.stack(
            [
                resample_nodes(self._rays.points(radius), plane)
                for radius, plane in zip(found.radius, planes, strict=True)
            ]
        )

    def _read(self, images: FloatArray) -> FloatArray:
        from scipy.ndimage import gaussian_filter1d, map_coordinates, spline_filter

        cube = np.empty((len(images), *self._index.shape[1:]))
        for gate, image in zip(cube, images, strict=True):
            spline = spline_filter(image, order=3, mode="mirror")
            map_coordinates(spline, self._index, output=gate, order=3, mode="nearest", prefilter=False)
        smooth: FloatArray = gaussian_filter1d(cube, _ALONG_DEPTH * self._sigma_mm, axis=-1, mode="nearest")
        return smooth

    def _blurred(self, counts: FloatArray, reach: float) -> FloatArray:
        return blur_on_wall(counts, self._around_mm, reach * self._sigma_mm)

    def _ridge(self, counts: FloatArray, about: FloatArray, window_mm: float) -> FloatArray:
        """Depth of the highest counts near ``about`` (row, column), smooth along the wall."""
        near = np.abs(self._depth - about[..., None]) <= window_mm
        inner = np.clip(np.where(near, counts, -np.inf).argmax(axis=-1), 1, self._depth.size - 2)
        left, peak, right = (np.take_along_axis(counts, (inner + d)[..., None], -1)[..., 0] for d in (-1, 0, 1))
        bend = np.minimum(left - 2 * peak + right, -1e-9 * np.abs(peak) - 1e-12)
        depth = self._depth[inner] + np.clip(0.5 * (left - right) / bend, -1, 1)
        level = max(float(np.percentile(peak, 80)), 1e-12)
        # A maximum at the window's end is a slope towards something else, not the wall.
        top = (left <= peak) & (right <= peak)
        sure = np.where(top, np.clip(peak / level, 0, 1) ** 2, 1e-3) + 1e-6
        around = np.full(self._rays.tilt.size, self._about.mean())
        return smooth_on_wall(depth, sure, self._rays.tilt, around, _RIDGE * self._sigma_mm)

    def _at(self, counts: FloatArray, depth: FloatArray) -> FloatArray:
        """Counts (row, column, depth) read at a depth (row, column)."""
        place = np.clip(depth - self._depth[0], 0, self._depth.size - 1.001)
        low = place.astype(int)
        part = place - low
        below, above = (np.take_along_axis(counts, (low + d)[..., None], -1)[..., 0] for d in (0, 1))
        between: FloatArray = below * (1 - part) + above * part
        return between


def first_harmonics(values: FloatArray, highest: int) -> FloatArray:
    """The mean and the first harmonics of a cycle; gates on axis 0."""
    spectrum = np.fft.rfft(values, axis=0)
    spectrum[highest + 1 :] = 0
    smooth: FloatArray = np.fft.irfft(spectrum, len(values), axis=0)
    return smooth


def _outward_reach_mm(box: Grid, rays: Rays, images: FloatArray, nodes: FloatArray) -> float:
    """Distance from the ridge outwards to half of the way from its counts to the surroundings'.

    Gates are laid upon one another along the wall's normals, so that the beat does not soften the profile.
    """
    from scipy.ndimage import map_coordinates, uniform_filter

    depth = np.arange(0, _PROFILE_MM)
    total: FloatArray | float = 0.0
    for image, surface in zip(images, nodes, strict=True):
        normals, _ = normals_and_curvature(surface)
        from_ridge = depth[:, None] * normals[_SOFT_ROWS, _SOFT_COLUMNS][..., None, :]
        points = rays.to_patient(surface[_SOFT_ROWS, _SOFT_COLUMNS][..., None, :] + from_ridge)
        total = total + map_coordinates(image, np.moveaxis(box.to_index(points), -1, 0), order=1, mode="nearest")
    profile = np.asarray(total)
    profile = profile / np.maximum(profile[..., :1], 1e-12)
    profile = uniform_filter(profile, size=(3, 3, 1), mode=("nearest", "wrap", "nearest"))
    typical = np.percentile(profile, _TYPICAL_PERCENT, axis=(0, 1))
    floor = float(typical.min())
    height = (typical - floor) / max(float(typical[0]) - floor, 1e-9)
    beyond = max(int(np.argmax(height < 0.5)), 1)
    before = height[beyond - 1]
    return float(beyond - 1 + (before - 0.5) / max(before - height[beyond], 1e-9))


def _moved_out(nodes: FloatArray, sigma_mm: float) -> FloatArray:
    """Where the middle of a thin wall lies whose blurred ridge is here: outwards by the blur's variance times the
    mean curvature."""
    moved = []
    for surface in nodes:
        normals, curvature = normals_and_curvature(surface)
        out = surface + (sigma_mm**2 * curvature)[..., None] * normals
        out[0] = out[0].mean(axis=0)
        moved.append(out)
    return np.stack(moved)


def _image_of(box: Grid, rays: Rays, mid: FloatArray, wall_mL: float, sigma_mm: float, narrowed: float) -> FloatArray:
    """The blurred image of an even wall of usual thickness about a mid-wall."""
    normals, _ = normals_and_curvature(mid)
    thickness = _usual_thickness(mid[None], wall_mL)[0]
    turned = normals @ rays.frame.rotation
    return blurred_wall(box, rays.to_patient(mid), turned, thickness, sigma_mm=sigma_mm, narrowed=narrowed)


def _between(miss: FloatArray, inside_mL: FloatArray, shown: list[int]) -> FloatArray:
    """The miss of every gate from that of the fullest and the emptiest one, by how full it is."""
    if len(shown) == 1:
        return np.repeat(miss, len(inside_mL), axis=0)
    first, last = inside_mL[shown]
    share = ((inside_mL - first) / (last - first))[:, None, None, None]
    between: FloatArray = miss[0] * (1 - share) + miss[1] * share
    return between


def _usual_thickness(mid: FloatArray, wall_mL: float) -> FloatArray:
    """Thickness at the nodes (gate, 41, 72) of a wall of this volume, thinner at the apex, the same muscle everywhere.

    A part of the wall keeps its volume: where its area shrinks it thickens.
    """
    arc = np.linspace(0, 1, N_RINGS + 1)[:, None]
    pattern = (1 - APICAL_THINNING * np.exp(-((arc / APICAL_REACH) ** 2))) * np.ones((1, N_ANGLES))
    area = _node_area_mm2(mid)
    muscle = (area.mean(axis=0) if len(mid) > 1 else area[0]) * pattern
    # What belongs to a node is small and noisy; muscle moves together.
    radius = np.linalg.norm(mid[0, :, :, :2] - mid[0, :, :, :2].mean(axis=1, keepdims=True), axis=-1).mean(axis=1)
    row_mm = float(np.linalg.norm(np.diff(mid[0], axis=0), axis=-1).mean())
    relative = np.stack(
        [blur_on_wall(muscle / gate, np.maximum(radius, 0.5), _MUSCLE_REACH_MM, row_mm) for gate in area]
    )
    volume = (relative * area).sum(axis=(1, 2), keepdims=True) / 1000
    thickness: FloatArray = relative * wall_mL / volume
    return thickness


def _node_area_mm2(mid: FloatArray) -> FloatArray:
    """Mid-wall area that belongs to each node (gate, 41, 72), adding up to the whole."""
    following = np.roll(mid, -1, axis=-2)
    a, b = mid[..., :-1, :, :], mid[..., 1:, :, :]
    c, d = following[..., 1:, :, :], following[..., :-1, :, :]
    cell = 0.125 * np.linalg.norm(np.cross(c - a, d - b), axis=-1)
    shared = cell + np.roll(cell, 1, axis=-1)
    area = np.zeros(mid.shape[:-1])
    area[..., :-1, :] += shared
    area[..., 1:, :] += shared
    return np.maximum(area, 1e-6)


def _with_thickness(
    mid: FloatArray, valve_normals: list[NDArray[np.float64]], wall_mL: float
) -> tuple[FloatArray, FloatArray]:
    """Endo- and epicardium (gate, 41, 72, 3) about the mid-wall, with ``wall_mL`` between them in every gate."""
    thickness = _usual_thickness(mid, wall_mL)
    lean = np.clip((np.linspace(0, 1, N_RINGS + 1) - 0.8) / 0.2, 0, 1)[:, None, None] ** 2
    across = []
    for surface, valve in zip(mid, valve_normals, strict=True):
        normals, _ = normals_and_curvature(surface)
        direction = normals - lean * (normals @ valve)[..., None] * valve
        across.append(direction / np.linalg.norm(direction, axis=-1, keepdims=True))
    half = 0.5 * thickness[..., None] * np.stack(across)
    scale = np.ones(len(mid))
    for _ in range(6):
        here = half * scale[:, None, None, None]
        scale = scale * wall_mL / (enclosed_mL(mid + here) - enclosed_mL(mid - here))
    half = half * scale[:, None, None, None]
    return mid - half, mid + half
