"""Where a slice cuts a surface of the left ventricle: the contour that is drawn on the image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def plane_contours(nodes: FloatArray, *, normal: FloatArray, offset_mm: float) -> list[FloatArray]:
    """Polylines in which the plane ``points . normal = offset_mm`` cuts a surface of rings and angles.

    ``nodes`` has shape (ring + 1, angle, 3), closed over the angles, in the same coordinates as ``normal``.
    Every polyline has shape (n, 3); a closed one repeats its first point. An empty list: the plane misses.

    The distance to the plane is a field on the (ring, angle) lattice and the contour its zero level, found in
    every quad at once (marching squares); only stringing the pieces together walks along the contour.
    """
    field = nodes @ np.asarray(normal, float) - offset_mm  # (ring + 1, angle)
    # A node exactly on the plane counts as just above it, so each crossing lies inside an edge.
    field = np.where(field == 0, 1e-9, field)
    n_rows, n_angles = field.shape
    following, field_next = np.roll(nodes, -1, axis=1), np.roll(field, -1, axis=1)

    # Edges: along a meridian (row r to r + 1), numbered first, then along a parallel (angle a to a + 1).
    along_points = _crossing(nodes[:-1], nodes[1:], field[:-1], field[1:])
    around_points = _crossing(nodes, following, field, field_next)
    points = np.concatenate([along_points.reshape(-1, 3), around_points.reshape(-1, 3)])
    along = (np.arange((n_rows - 1) * n_angles)).reshape(n_rows - 1, n_angles)
    around = along.size + np.arange(n_rows * n_angles).reshape(n_rows, n_angles)

    # The four edges of each quad in order around it, and which of them are cut.
    edges = np.stack([along, around[1:], np.roll(along, -1, axis=1), around[:-1]], axis=-1).reshape(-1, 4)
    corner = np.stack([field[:-1], field[1:], field_next[1:], field_next[:-1]], axis=-1).reshape(-1, 4) > 0
    cut = corner != np.roll(corner, -1, axis=-1)
    n_cut = cut.sum(axis=1)
    pieces = [edges[n_cut == 2][cut[n_cut == 2]].reshape(-1, 2)]
    saddle = edges[n_cut == 4]
    pieces += [saddle[:, :2], saddle[:, 2:]]
    return [points[chain] for chain in _string_together(np.concatenate(pieces))]


def _crossing(start: FloatArray, end: FloatArray, field_start: FloatArray, field_end: FloatArray) -> FloatArray:
    difference = field_start - field_end
    share = np.where(difference == 0, 0.5, field_start / np.where(difference == 0, 1.0, difference))
    point: FloatArray = start + np.clip(share, 0, 1)[..., None] * (end - start)
    return point


def _string_together(pieces: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Chains of edge numbers from unordered pairs; open chains first, each from one end to the other."""
    neighbours: dict[int, list[int]] = {}
    for a, b in pieces.tolist():
        neighbours.setdefault(a, []).append(b)
        neighbours.setdefault(b, []).append(a)
    chains = []
    starts = [e for e, n in neighbours.items() if len(n) == 1] + list(neighbours)
    for start in starts:
        if not neighbours[start]:
            continue
        chain = [start]
        while neighbours[chain[-1]]:
            following = neighbours[chain[-1]].pop()
            neighbours[following].remove(chain[-1])
            chain.append(following)
        chains.append(np.array(chain))
    return chains
