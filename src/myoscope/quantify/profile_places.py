"""A polar map read where circumferential profiles cross the wall, so that both can be drawn over one another.

Rings of a polar map are equal steps along the wall, slices of profiles equal steps along the long axis: near the apex
one slice crosses several rings, near the base they run side by side. A profile's place is where its slice cuts the
middle of the wall at its angle.
"""

from __future__ import annotations

import numpy as np

from myoscope.core import GeometryMismatch, InvalidValue, Surfaces
from myoscope.core.geometry import FloatArray
from myoscope.quantify.count_profiles import CountProfiles


def along_profiles(value: FloatArray, profiles: CountProfiles, surfaces: Surfaces) -> FloatArray:
    """Values of a polar map (ring, angle) at the places of profiles (slice, angle), between cells by straight lines.

    ``surfaces`` are those that the profiles were cut by. NaN where the profile has ended or a cell beside its place was
    not seen.

    Raises
    ------
    InvalidValue
        If the surfaces are gated.
    GeometryMismatch
        If the map has other cells than the surfaces.
    """
    if surfaces.endo_mm.ndim != 3:
        raise InvalidValue("profiles are cut from one frame: surfaces.gate(n)")
    mid = surfaces.frame.to_heart(surfaces.mid_mm)
    n_rings, n_angles = mid.shape[0] - 1, mid.shape[1]
    if value.shape != (n_rings, n_angles):
        raise GeometryMismatch(f"a map of {value.shape} cells does not lie on a wall of {(n_rings, n_angles)}")
    depth = np.maximum.accumulate(mid[0, 0, 2] - mid[:, :, 2], axis=0)  # (ring + 1, angle), of nodes
    # Nodes stand at the edges of cells, at even angles from 0 on.
    edge = np.stack(
        [np.interp(profiles.depth_mm, depth[:, a], np.arange(n_rings + 1)) for a in range(n_angles)], axis=1
    )
    node = profiles.angle_deg / 360 * n_angles
    ring = _between(edge, np.arange(len(edge), dtype=float)[:, None], node[None, :]) - 0.5
    read = _between(value, np.clip(ring, 0, n_rings - 1), np.broadcast_to(node - 0.5, ring.shape))
    return np.where(np.isfinite(profiles.value), read, np.nan)


def _between(field: FloatArray, row: FloatArray, column: FloatArray) -> FloatArray:
    """A field (row, angle) between its places, round the angles; what has no share in a value may be NaN."""
    low, left = np.floor(row).astype(int), np.floor(column).astype(int)
    total = np.zeros(np.broadcast_shapes(row.shape, column.shape))
    for down in (0, 1):
        for across in (0, 1):
            share = np.abs(1 - down - (row - low)) * np.abs(1 - across - (column - left))
            part = field[np.minimum(low + down, len(field) - 1), (left + across) % field.shape[1]]
            total += np.where(share > 0, share * part, 0.0)
    return total
