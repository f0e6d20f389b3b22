"""Planes parallel to a detector, and how the voxels of an image lie on them.

A view's planes are a lattice of square cells as large as a voxel, aligned with the detector: columns run along its u
axis from its left edge, depths towards it. Cells of all slices are alike, since detectors stand upright.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from myoscope.core import Grid, InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.physics.sparse import SparseRows, sparse_rows

Discretisation = Literal["conserving", "sampled"]

_Indices = NDArray[np.int64]
_Entries = tuple[_Indices, _Indices, FloatArray]  # of a sparse matrix: row, column, weight


@dataclass(frozen=True, slots=True)
class Sight:
    """Where detectors look from and what reaches them, but not from how far.

    ``angle_deg`` and ``offset_mm`` (detector's middle along u) for each view; ``reach`` is how many cells along u,
    and how many slices, a blur carries counts into the detector from outside.
    """

    angle_deg: tuple[float, ...]
    offset_mm: tuple[float, ...]
    pixel_mm: float
    detector_shape: tuple[int, int]
    reach: tuple[int, int]


@dataclass(frozen=True, eq=False, slots=True)
class Lattice:
    """Planes of one view: first column and first depth in cells, and how many of each."""

    first_cell: int
    n_cells: int
    first_depth: int
    n_depths: int


@lru_cache(maxsize=16)
def resampling(grid: Grid, sight: Sight, discretisation: Discretisation) -> tuple[tuple[SparseRows, SparseRows], ...]:
    """For every view the matrix from voxels to cells (depth * column, voxel) and its transpose."""
    made = []
    for view, lattice in enumerate(lattices(grid, sight)):
        entries = spreading if discretisation == "conserving" else sampling
        row, column, weight = entries(grid, sight, view, lattice)
        made.append(
            (
                sparse_rows(row, column, weight, lattice.n_depths * lattice.n_cells),
                sparse_rows(column, row, weight, grid.shape[0] * grid.shape[1]),
            )
        )
    return tuple(made)


@lru_cache(maxsize=64)
def lattices(grid: Grid, sight: Sight) -> tuple[Lattice, ...]:
    """The planes of every view that hold the grid, as far as it is seen; all have the same number of columns."""
    size, n_u, reach = grid.spacing_mm[0], sight.detector_shape[1], sight.reach[0]
    end = int(np.ceil(n_u * sight.pixel_mm / size - 1e-6)) + reach
    spans = []
    for view in range(len(sight.angle_deg)):
        u_mm, t_mm = in_view(grid, sight, view)
        u, t = (u_mm + n_u * sight.pixel_mm / 2) / size - 0.5, t_mm / size - 0.5
        first, last = max(int(np.floor(u.min())), -reach), min(int(np.floor(u.max())) + 1, end - 1)
        if first > last:
            raise InvalidValue(f"{grid!r} lies out of sight of the detector at view {view + 1}")
        spans.append((first, last, int(np.floor(t.min())), int(np.floor(t.max())) + 1))
    cells = max(last - first + 1 for first, last, _, _ in spans)
    return tuple(Lattice(first, cells, near, far - near + 1) for first, _, near, far in spans)


def seen_slices(grid: Grid, sight: Sight) -> slice:
    """Slices of the image that reach the detector."""
    size = grid.spacing_mm[2]
    half = sight.detector_shape[0] * sight.pixel_mm / 2 + sight.reach[1] * size
    z = grid.affine[2, 3] + size * np.arange(grid.shape[2])
    seen = np.flatnonzero(np.abs(z) < half + size / 2)
    if not len(seen):
        raise InvalidValue(f"{grid!r} lies above or below what the detector sees")
    return slice(int(seen[0]), int(seen[-1]) + 1)


def in_view(grid: Grid, sight: Sight, view: int) -> tuple[FloatArray, FloatArray]:
    """Column (mm from the detector's middle) and depth (mm towards the detector) of each voxel, shape (i, j)."""
    x, y = (grid.affine[a, 3] + grid.spacing_mm[a] * np.arange(grid.shape[a]) for a in (0, 1))
    sine, cosine = _direction(sight, view)
    return (
        -x[:, None] * cosine + y[None, :] * sine - sight.offset_mm[view],
        x[:, None] * sine + y[None, :] * cosine,
    )


def spreading(grid: Grid, sight: Sight, view: int, lattice: Lattice) -> _Entries:
    """Entries (cell, voxel, weight): every voxel's counts go to the four nearest cells."""
    size = grid.spacing_mm[0]
    u_mm, t_mm = in_view(grid, sight, view)
    u = (u_mm + sight.detector_shape[1] * sight.pixel_mm / 2) / size - 0.5 - lattice.first_cell
    t = t_mm / size - 0.5 - lattice.first_depth
    voxel = np.arange(u.size)
    cells, voxels, weights = [], [], []
    for near_u, share_u in _neighbours(u.reshape(-1)):
        for near_t, share_t in _neighbours(t.reshape(-1)):
            inside = (near_u >= 0) & (near_u < lattice.n_cells) & (near_t >= 0) & (near_t < lattice.n_depths)
            cells.append((near_t * lattice.n_cells + near_u)[inside])
            voxels.append(voxel[inside])
            weights.append((share_u * share_t)[inside])
    return np.concatenate(cells), np.concatenate(voxels), np.concatenate(weights)


def sampling(grid: Grid, sight: Sight, view: int, lattice: Lattice) -> _Entries:
    """Entries (cell, voxel, weight): every cell of the planes reads the four nearest voxels."""
    size = grid.spacing_mm[0]
    u = (np.arange(lattice.n_cells) + lattice.first_cell + 0.5) * size
    u = u - sight.detector_shape[1] * sight.pixel_mm / 2 + sight.offset_mm[view]
    t = (np.arange(lattice.n_depths) + lattice.first_depth + 0.5) * size
    sine, cosine = _direction(sight, view)
    i = ((-u[None] * cosine + t[:, None] * sine - grid.affine[0, 3]) / size).reshape(-1)
    j = ((u[None] * sine + t[:, None] * cosine - grid.affine[1, 3]) / size).reshape(-1)
    cell = np.arange(i.size)
    n_i, n_j = grid.shape[:2]
    cells, voxels, weights = [], [], []
    for near_i, share_i in _neighbours(i):
        for near_j, share_j in _neighbours(j):
            inside = (near_i >= 0) & (near_i < n_i) & (near_j >= 0) & (near_j < n_j)
            cells.append(cell[inside])
            voxels.append((near_i * n_j + near_j)[inside])
            weights.append((share_i * share_j)[inside])
    return np.concatenate(cells), np.concatenate(voxels), np.concatenate(weights)


def _direction(sight: Sight, view: int) -> tuple[float, float]:
    phi = np.radians(sight.angle_deg[view])
    return float(np.sin(phi)), float(np.cos(phi))


def _neighbours(place: FloatArray) -> tuple[tuple[_Indices, FloatArray], tuple[_Indices, FloatArray]]:
    """The two lattice points next to each place, with their linear weights."""
    # Angles such as 180 degrees leave places a rounding error off the lattice.
    place = np.round(place, 9)
    below = np.floor(place).astype(np.int64)
    share = place - below
    return (below, 1 - share), (below + 1, share)
