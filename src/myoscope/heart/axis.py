"""Long axis and centre of a left ventricle whose wall is known.

The axis is that of the shell fitted to the counts in and about the wall mask (``shell.py``), not the principal
axis of the mask: the septum is shorter than the lateral wall and the valve plane is tilted, so the masses of
base and apex do not balance about the axis. The base is the open end.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from myoscope.core import CardiacFrame, GeometryMismatch, HeartNotFound, InvalidValue, Volume
from myoscope.core.geometry import FloatArray
from myoscope.heart.shell import DIRECTIONS_DEG, Shell, ShellFit, axis_from_angles, fit_best_shell, shell_about


def frame_from_wall(volume: Volume, wall_mask: Volume | NDArray[np.bool_]) -> CardiacFrame:
    """Centre and long axis of the ventricle whose wall is outlined.

    ``wall_mask`` is boolean on the volume's grid, the wall as readers (or a network) outline it. The centre is the
    centroid of the mask. Gated volumes are summed.

    Raises
    ------
    GeometryMismatch
        If mask and volume do not lie on the same grid.
    HeartNotFound
        If the mask is too small to have an axis or no open shell can be fitted to the counts in it.
    """
    if isinstance(wall_mask, Volume):
        if not wall_mask.grid.same_place(volume.grid):
            raise GeometryMismatch(f"the wall mask lies on {wall_mask.grid!r}, the image on {volume.grid!r}")
        mask = np.asarray(wall_mask.array)
    else:
        mask = np.asarray(wall_mask)
    if mask.dtype != bool:
        raise InvalidValue(f"a wall mask is boolean, got {mask.dtype} (threshold a probability first)")
    if mask.shape != volume.grid.shape:
        raise GeometryMismatch(f"the wall mask has shape {mask.shape}, the image {volume.grid.shape}")
    fit = fit_to_wall(volume, mask)
    centre = volume.grid.to_mm(np.argwhere(mask)).mean(axis=0)
    return CardiacFrame(centre, fit.shell.axis)


def fit_to_wall(volume: Volume, mask: NDArray[np.bool_]) -> ShellFit:
    """The shell fitted to the counts in and about an outlined wall; errors as for `frame_from_wall`."""
    grid = volume.grid
    n_voxels = int(np.count_nonzero(mask))
    if n_voxels * grid.voxel_volume_mL < 20:
        raise HeartNotFound(
            f"the wall mask holds {n_voxels * grid.voxel_volume_mL:.1f} mL, too little to have a long axis"
        )
    image = np.asarray(volume.summed().array, np.float64)
    in_wall = np.argwhere(mask)
    low = np.maximum(in_wall.min(axis=0) - np.ceil(20 / grid.spacing_mm).astype(int), 0)
    high = np.minimum(in_wall.max(axis=0) + np.ceil(20 / grid.spacing_mm).astype(int) + 1, grid.shape)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    index = np.stack(np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)), indexing="ij"), axis=-1)
    points = grid.to_mm(index).reshape(-1, 3)
    counts = image[box].reshape(-1)
    wall_points = grid.to_mm(in_wall)
    best = fit_best_shell(points, counts, _starts(wall_points), voxel_volume_mm3=grid.voxel_volume_mL * 1000)
    if best.explained < 0.5:
        raise HeartNotFound(
            f"no open shell fits the counts in the wall mask: the best explains {best.explained:.0%} of their variation"
        )
    return best


def _starts(wall_points: FloatArray) -> list[Shell]:
    """Shells to begin from: the mask's size and place with the search directions and the mask's principal axis."""
    centre = wall_points.mean(axis=0)
    offset = wall_points - centre
    _, _, principal = np.linalg.svd(offset[:: max(1, len(offset) // 2000)], full_matrices=False)
    expected = axis_from_angles(*DIRECTIONS_DEG[0])
    # Mean distance from the axis is close to the mid-wall radius, seen from a direction not too far off.
    across = offset - np.outer(offset @ expected, expected)
    short = float(np.clip(np.median(np.linalg.norm(across, axis=1)), 15, 42))
    longest = principal[0] if principal[0] @ expected > 0 else -principal[0]
    directions = [axis_from_angles(*angles) for angles in DIRECTIONS_DEG]
    if abs(longest[2]) < 0.95:
        directions.append(longest)
    return [shell_about(centre, axis, short) for axis in directions]
