"""Perfusion with the beat frozen: all gates brought to the shape of end diastole before they are added up.

The ungated image of a beating heart is blurred by its motion, most where it moves most. Slomka et al. (J Nucl Med
2004;45:1128) warp every gate to end diastole by a spline through matched points of the wall and add up. So here: the
surfaces of all gates are matched node by node; the displacement between them is interpolated in space by the
biharmonic spline (the smoothest function that meets them; in three dimensions its kernel is the distance) and fades
out between 10 and 30 mm from the wall, so that what does not beat stays where it is. Voxels keep their values: the
same muscle stands thinner at end diastole than at end systole, and total counts are not kept. The frozen image shows
the mean brightness of the cycle, recovery of a thickened wall included, at the place of end diastole.

On polar maps nothing needs to be warped: their cells move with the wall.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from myoscope.core import GeometryMismatch, InvalidValue, PolarMap, Surfaces, Volume
from myoscope.core.geometry import FloatArray

_EVERY_RING, _EVERY_ANGLE = 4, 4  # nodes that carry the spline; between them the wall moves smoothly
_FULL_MM, _FADED_MM = 10.0, 30.0  # from the wall


def motion_frozen(volume: Volume, surfaces: Surfaces, *, ed_gate: int) -> Volume:
    """The sum of all gates, each warped to end diastole; ungated, on the same grid and in the same unit.

    Raises
    ------
    InvalidValue
        If image or surfaces are not gated, or there is no such gate.
    GeometryMismatch
        If they hold different numbers of gates.
    """
    from scipy.ndimage import map_coordinates, spline_filter

    if volume.frame_axis != "gate" or surfaces.endo_mm.ndim != 4:
        raise InvalidValue("freezing the beat needs a gated image and gated surfaces")
    if volume.n_frames != surfaces.n_gates:
        raise GeometryMismatch(f"the image has {volume.n_frames} gates, the surfaces {surfaces.n_gates}")
    if not 0 <= ed_gate < surfaces.n_gates:
        raise InvalidValue(f"there is no gate {ed_gate} among {surfaces.n_gates}")
    gates = np.asarray(volume.array, np.float64)
    total = gates.sum(axis=0)
    near, displacement_mm = displacement_to_gates(volume.grid.points_mm(), surfaces, ed_gate=ed_gate)
    index = np.argwhere(near)
    # Millimetres to voxels; a displacement has no origin.
    step = displacement_mm @ np.linalg.inv(volume.grid.affine[:3, :3]).T  # (gate, point, 3)
    frozen = np.zeros(len(index))
    for gate, image in enumerate(gates):
        known = np.isfinite(image)
        spline = spline_filter(np.where(known, image, 0.0), order=3, mode="mirror", output=np.float64)
        at = (index + step[gate]).T
        values = map_coordinates(spline, at, order=3, mode="mirror", prefilter=False)
        if not known.all():
            values[map_coordinates((~known).astype(np.float32), at, order=1, mode="nearest") > 0.01] = np.nan
        frozen += values
    total[near] = frozen
    step_told = f"{surfaces.n_gates} gates warped to gate {ed_gate} by their surfaces and summed"
    return Volume(total, volume.grid, volume.unit, (*volume.made_by, step_told))


def motion_frozen_map(gates: Sequence[PolarMap], *, ed_gate: int) -> PolarMap:
    """The sum of the polar maps of all gates, each sampled on its own surfaces, on the wall of end diastole.

    Raises
    ------
    InvalidValue
        If there is no such gate.
    GeometryMismatch
        If the maps differ in shape or unit.
    """
    if not 0 <= ed_gate < len(gates):
        raise InvalidValue(f"there is no gate {ed_gate} among {len(gates)}")
    wall = gates[ed_gate]
    if any(gate.value.shape != wall.value.shape or gate.unit != wall.unit for gate in gates):
        raise GeometryMismatch("gates of one heart have polar maps of one shape and unit")
    total = np.sum([gate.value for gate in gates], axis=0)
    return wall.like(total, f"sum of {len(gates)} gates, each on its own wall")


def displacement_to_gates(
    points_mm: FloatArray, surfaces: Surfaces, *, ed_gate: int
) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.bool_]], FloatArray]:
    """Where muscle at points of end diastole stands in every gate, less where it stood: for points near the wall.

    ``points_mm`` (..., 3), LPS. The mask (...) is True within 30 mm of the wall; displacements (gate, point, 3) in mm
    belong to the points of the mask in its order.
    """
    from scipy.interpolate import RBFInterpolator
    from scipy.spatial import cKDTree

    distance, _ = cKDTree(surfaces.mid_mm[ed_gate, ::2, ::2].reshape(-1, 3)).query(
        points_mm, distance_upper_bound=_FADED_MM
    )
    near = distance < _FADED_MM
    layers = [_carriers(nodes) for nodes in (surfaces.endo_mm, surfaces.epi_mm)]
    carriers = np.concatenate(layers, axis=1)  # (gate, point, 3)
    moved = carriers - carriers[ed_gate]
    n_gates, n_points = moved.shape[:2]
    spline = RBFInterpolator(
        carriers[ed_gate], moved.transpose(1, 0, 2).reshape(n_points, 3 * n_gates), kernel="linear", degree=0
    )
    displacement = spline(points_mm[near]).reshape(-1, n_gates, 3).transpose(1, 0, 2)
    left = np.clip((_FADED_MM - distance[near]) / (_FADED_MM - _FULL_MM), 0, 1)
    smooth: FloatArray = displacement * (left**2 * (3 - 2 * left))[None, :, None]
    return near, smooth


def _carriers(nodes: FloatArray) -> FloatArray:
    """A part of the nodes of one surface in all gates (gate, point, 3); the apex once."""
    rows = nodes[:, _EVERY_RING::_EVERY_RING, ::_EVERY_ANGLE]
    return np.concatenate([nodes[:, :1, 0], rows.reshape(len(nodes), -1, 3)], axis=1)
