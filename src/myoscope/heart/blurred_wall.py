"""The image that a wall of given surfaces would give: its counts, put into voxels and blurred.

What a fit makes of such an image, whose wall is known, is how it errs; the error is then taken from what it makes of a
real one. Papillary muscles and trabeculae belong to the cavity, as in MRI, but shine like the wall and draw its ridge
inwards: the usual share of both is in the image too, even round the wall.
"""

from __future__ import annotations

import numpy as np

from myoscope.core import Grid
from myoscope.core.geometry import FloatArray
from myoscope.heart.usual_wall_constants import (
    PAPILLARY_ARC,
    PAPILLARY_DEPTH,
    PAPILLARY_SHARE,
    TRABECULAE_END,
    TRABECULAE_SHARE,
)

_LAYERS = 5
_PAPILLARY_DEPTHS = (0.1, 0.3, 0.5, 0.7, 0.9)


def blurred_wall(
    grid: Grid,
    mid_mm: FloatArray,
    across: FloatArray,
    thickness_mm: FloatArray,
    *,
    sigma_mm: float,
    narrowed: float = 1.0,
) -> FloatArray:
    """Even activity of one between two surfaces on a grid, through a Gaussian; counts per mm3, shape of the grid.

    ``mid_mm`` (ring + 1, angle, 3) are mid-wall nodes, LPS mm, ``across`` unit vectors through the wall there,
    ``thickness_mm`` (ring + 1, angle). ``narrowed`` is how much wider the cavity is at end diastole, in which the
    papillary muscles then fill more of it. Voxels and reading between them blur a little of their own, which is taken
    from the Gaussian's width.
    """
    from scipy.ndimage import gaussian_filter

    mid, normal, thickness = (_twice_as_fine(field) for field in (mid_mm, across, thickness_mm[..., None]))
    points, counts = [], []
    for depth in (np.arange(_LAYERS) + 0.5) / _LAYERS - 0.5:
        layer = mid + depth * thickness * normal
        points.append(_centres(layer).reshape(-1, 3))
        counts.append((_area(layer) * _centres(thickness)[..., 0] / _LAYERS).ravel())
    inner_points, inner_counts = _inner_muscle(mid - 0.5 * thickness * normal, float(np.sum(counts)), narrowed)
    points.append(inner_points)
    counts.append(inner_counts)
    deposited = _deposit(grid, np.concatenate(points), np.concatenate(counts))
    spacing = grid.spacing_mm
    width_mm = np.sqrt(np.maximum(sigma_mm**2 - spacing**2 / 6, (0.3 * spacing) ** 2))
    image: FloatArray = gaussian_filter(deposited, width_mm / spacing, mode="constant")
    return image / (grid.voxel_volume_mL * 1000)


def _inner_muscle(endo: FloatArray, wall: float, narrowed: float) -> tuple[FloatArray, FloatArray]:
    """Points and counts of the usual papillary muscles and trabeculae inside an endocardium, for counts of the wall."""
    rows = slice(*(round(arc * len(endo)) for arc in PAPILLARY_ARC))
    ring = _centres(endo)[rows]
    to_axis = ring.mean(axis=1, keepdims=True) - ring
    deep = min(PAPILLARY_DEPTH * narrowed, 0.8)
    points = [(ring + depth * deep * to_axis).reshape(-1, 3) for depth in _PAPILLARY_DEPTHS]
    # Thick in the middle, thin at both ends.
    girth = np.sin(np.pi * (np.arange(len(ring)) + 0.5) / len(ring))[:, None] * np.ones(ring.shape[:2])
    each = PAPILLARY_SHARE * wall * girth.ravel() / girth.sum() / len(points)
    lined = _centres(endo)
    area = _area(endo) * np.clip((TRABECULAE_END - np.linspace(0, 1, len(lined))) / 0.35, 0, 1)[:, None]
    points.append(lined.reshape(-1, 3))
    return np.concatenate(points), np.concatenate(
        [np.tile(each, len(_PAPILLARY_DEPTHS)), TRABECULAE_SHARE * wall * area.ravel() / area.sum()]
    )


def _twice_as_fine(field: FloatArray) -> FloatArray:
    """A row between any two and a column between any two (round the angles), halfway."""
    rows = np.empty((2 * len(field) - 1, *field.shape[1:]))
    rows[::2], rows[1::2] = field, 0.5 * (field[1:] + field[:-1])
    fine = np.empty((rows.shape[0], 2 * rows.shape[1], *rows.shape[2:]))
    fine[:, ::2], fine[:, 1::2] = rows, 0.5 * (rows + np.roll(rows, -1, axis=1))
    return fine


def _centres(nodes: FloatArray) -> FloatArray:
    following = np.roll(nodes, -1, axis=1)
    centres: FloatArray = 0.25 * (nodes[:-1] + nodes[1:] + following[:-1] + following[1:])
    return centres


def _area(nodes: FloatArray) -> FloatArray:
    following = np.roll(nodes, -1, axis=1)
    a, b, c, d = nodes[:-1], nodes[1:], following[1:], following[:-1]
    area: FloatArray = 0.5 * np.linalg.norm(np.cross(c - a, d - b), axis=-1)
    return area


def _deposit(grid: Grid, points_mm: FloatArray, counts: FloatArray) -> FloatArray:
    """Counts shared between the eight voxels about each point; what lies outside is lost."""
    # One voxel more on every side takes the share that points on the edge have outside.
    shape = tuple(n + 2 for n in grid.shape)
    place = grid.to_index(points_mm)
    below = np.floor(place)
    near = ((below >= -1) & (below < grid.shape)).all(axis=1)
    if not near.all():
        place, below, counts = place[near], below[near], counts[near]
    i, j, k = below.T.astype(np.intp) + 1
    first = (i * shape[1] + j) * shape[2] + k
    upper = (place - below).T
    lower = 1 - upper
    total = np.zeros(int(np.prod(shape)))
    for corner in np.ndindex(2, 2, 2):
        x, y, z = (upper[axis] if over else lower[axis] for axis, over in enumerate(corner))
        step = int(np.ravel_multi_index(corner, shape))
        total[step:] += np.bincount(first, x * y * z * counts, total.size - step)
    return total.reshape(shape)[1:-1, 1:-1, 1:-1]
