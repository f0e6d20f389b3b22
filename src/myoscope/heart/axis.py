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
from myoscope.heart.shell import Shell, ShellFit, fit_shell

# Mean direction of the ventricles in the shared masks: 33 degrees left of anterior, 17 below the transverse plane.
_EXPECTED_AXIS = np.array([0.52, -0.80, -0.29]) / np.linalg.norm([0.52, -0.80, -0.29])


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
    from scipy.ndimage import binary_dilation

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
    best: ShellFit | None = None
    for start in _starts(wall_points):
        fit = fit_shell(points, counts, start, voxel_volume_mm3=grid.voxel_volume_mL * 1000)
        if best is None or fit.explained > best.explained:
            best = fit
        if best.explained > 0.85:
            break
    assert best is not None
    if best.explained < 0.5:
        raise HeartNotFound(
            f"no open shell fits the counts in the wall mask: the best explains {best.explained:.0%} of their variation"
        )
    return best


def _starts(wall_points: FloatArray) -> list[Shell]:
    """Shells to begin from: the expected direction, then the mask's principal axes with the apex at either end."""
    centre = wall_points.mean(axis=0)
    offset = wall_points - centre
    _, _, principal = np.linalg.svd(offset[:: max(1, len(offset) // 3000)], full_matrices=False)
    # Mean distance from the axis is close to the mid-wall radius, seen from a direction not too far off.
    across = offset - np.outer(offset @ _EXPECTED_AXIS, _EXPECTED_AXIS)
    short = float(np.clip(np.median(np.linalg.norm(across, axis=1)), 15, 42))
    directions = [_EXPECTED_AXIS]
    for row in principal:
        if abs(row[2]) < 0.95:
            directions.append(row if row @ _EXPECTED_AXIS > 0 else -row)
    return [
        Shell(centre - 0.25 * short * axis, axis, (short, short), 0.0, 1.75 * short, 1.2, -0.9 * short, (0.0, 0.0), 8.0)
        for axis in directions
    ]
