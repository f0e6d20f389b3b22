"""Samples of matter put on a lattice so that none of it is lost.

A sample is a small cube of known content; each voxel gets the share of the cube that lies in it. Whatever the
voxels, the sum over the lattice is the sum over the samples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray


def deposit(
    shape: tuple[int, int, int],
    index: NDArray[np.floating],
    content: NDArray[np.floating],
    *,
    width: float,
    frame: NDArray[np.integer] | int = 0,
    n_frames: int = 1,
) -> FloatArray:
    """Content of every voxel from samples spread over cubes; shape (frame, i, j, k).

    ``index`` (n, 3) holds fractional voxel indices of the samples' centres, ``content`` (n,) what each carries,
    ``width`` the side of a sample in voxels (1 shares a sample among its eight neighbours trilinearly, a small
    width puts it into the voxel it lies in, a larger one is cut into cubes of one voxel or less); ``frame`` says
    to which of ``n_frames`` lattices a sample belongs.

    Raises
    ------
    InvalidValue
        If a sample reaches beyond the lattice, or the width is not positive.
    """
    if not 0 < width < np.inf:
        raise InvalidValue(f"a sample is wider than nothing, got {width:g} voxels")
    # Coordinate by coordinate: sums and extremes along rows of three are many times slower.
    points = np.ascontiguousarray(np.asarray(index, np.float32).reshape(-1, 3).T)
    weight, frames = np.asarray(content, np.float32), np.asarray(frame, np.intp)
    n = int(np.ceil(width - 1e-6))
    if n > 1:
        width /= n
        offset = (np.arange(n, dtype=np.float32) - 0.5 * (n - 1)) * np.float32(width)
        cube = np.stack(np.meshgrid(offset, offset, offset, indexing="ij")).reshape(3, -1, 1)
        n_samples = points.shape[1]
        points = (points[:, None] + cube).reshape(3, -1)
        weight = np.tile(weight / n**3, n**3)
        frames = np.tile(np.broadcast_to(frames, n_samples), n**3)
    if not points.size:
        return np.zeros((n_frames, *shape))
    low = np.floor(points)
    least, most = low.min(axis=1), low.max(axis=1)
    if not ((least >= 0) & (most < np.array(shape) - 1)).all():
        raise InvalidValue(f"matter lies outside the lattice of {shape} voxels")
    # Share of a cube beyond the face between two neighbouring voxels.
    upper = points - low
    if width != 1:
        half = np.float32(0.5 - 0.5 * width)
        upper = np.clip((upper - half) / np.float32(width), 0, 1)
    lower = 1 - upper
    # Only the window that the samples reach is worked on; the lattice may be much larger.
    first = least.astype(np.intp)
    window = most.astype(np.intp) - first + 2
    stride = (window[1] * window[2], window[2], 1)
    cells = low.astype(np.intp) - first[:, None]
    size = int(window.prod())
    flat = cells[0] * stride[0] + cells[1] * stride[1] + cells[2] + frames * size
    total = np.zeros(n_frames * size)
    for i, along_i in enumerate((lower[0], upper[0])):
        row = weight * along_i
        for j, along_j in enumerate((lower[1], upper[1])):
            column = row * along_j
            for k, along_k in enumerate((lower[2], upper[2])):
                step = i * stride[0] + j * stride[1] + k
                part = np.bincount(flat, column * along_k, total.size - step)
                total[step:] += part
    lattice = np.zeros((n_frames, *shape))
    there = tuple(slice(int(f), int(f + w)) for f, w in zip(first, window, strict=True))
    lattice[(slice(None), *there)] = total.reshape(n_frames, *window)
    return lattice
