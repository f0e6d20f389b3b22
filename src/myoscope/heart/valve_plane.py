"""Where the wall ends: the plane of the mitral valve.

A wall of even uptake seen through a symmetric blur falls to half of its counts exactly at its end; the
plane is fitted to those places around the ring (half of the mid-ventricular mean, reference section 1.2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from myoscope.core.geometry import FloatArray

_END_LEVEL = 0.5
_MAX_SLOPE = 0.5
# Counts beyond the wall (blood, atrium) and the search for a maximum move the half level outward: measured
# on phantoms, mm for each mm of resolution (docs/validation/surfaces.md).
_OUTWARD_BIAS = 0.065


@dataclass(frozen=True, eq=False, slots=True)
class ValvePlane:
    """A point on the long axis and the unit normal away from the apex; heart coordinates, mm."""

    point: FloatArray
    normal: FloatArray


def fit_valve_plane(
    mid: FloatArray, counts: FloatArray, height_mm: FloatArray, *, body: NDArray[np.bool_], fwhm_mm: float
) -> ValvePlane:
    """The plane in which the wall ends, in heart coordinates.

    ``mid`` are mid-wall points (row, column, 3), rows from the apex to beyond the base; ``counts`` the wall's
    maximum there; ``height_mm`` each row's place on the long axis and ``body`` the rows searched around the
    axis rather than about the cap's centre. The point returned lies on the long axis of the rows.
    """
    from scipy.ndimage import gaussian_filter1d

    n_rows, n_columns = counts.shape
    smooth = gaussian_filter1d(counts, 4.0, axis=1, mode="wrap")
    mean = gaussian_filter1d(counts.mean(axis=1), 1.0)
    rows = np.arange(n_rows)
    first = int(np.flatnonzero(body)[0])
    # The ring as a whole ends first, then each part of it about there.
    plateau = float(np.median(mean[first : first + max(4, int(0.35 * (n_rows - first)))]))
    ring_end = _falls_below(mean[None], np.array([_END_LEVEL * plateau]), first)[0]
    span = slice(first, max(first + 3, int(first + 0.75 * (ring_end - first))))
    own = smooth[span].mean(axis=0)
    ends = _falls_below(smooth.T, _END_LEVEL * np.maximum(own, 0.3 * plateau), first)
    spacing = float(-np.diff(height_mm[body]).mean())
    column = np.arange(n_columns)
    low = np.clip(ends.astype(int), 0, n_rows - 2)
    part = (ends - low)[:, None]
    rim = mid[low, column] * (1 - part) + mid[low + 1, column] * part
    centre = mid[max(first, int(ring_end) - 4) : int(ring_end) + 1].mean(axis=(0, 1))
    x, y = rim[:, 0] - centre[0], rim[:, 1] - centre[1]
    design = np.column_stack([np.ones(n_columns), x, y])
    trust = np.clip(own / plateau, 0.05, 1) ** 2 * (np.abs(ends - ring_end) * spacing < 20)
    solution = np.array([float(np.interp(ring_end, rows, height_mm)), 0.0, 0.0])
    for _ in range(8):
        miss = rim[:, 2] - design @ solution
        weight = trust / np.maximum(np.abs(miss) / 3.0, 1.0)
        normal = design.T @ (weight[:, None] * design) + np.diag([1e-6, 200.0, 200.0])
        solution = np.linalg.solve(normal, design.T @ (weight * rim[:, 2]))
    slope = np.clip(solution[1:], -_MAX_SLOPE, _MAX_SLOPE)
    outward = np.array([slope[0], slope[1], -1.0])
    outward /= np.linalg.norm(outward)
    point = np.array([centre[0], centre[1], solution[0]]) - _OUTWARD_BIAS * fwhm_mm * outward
    return ValvePlane(point, outward)


def _falls_below(profiles: FloatArray, level: FloatArray, first: int) -> FloatArray:
    """Fractional row at which each profile (profile, row) last falls below its level, from ``first`` on."""
    later = profiles[:, first:]
    above = later > level[:, None]
    gone = np.minimum.accumulate(above | (np.arange(later.shape[1]) < 4), axis=1)
    last = gone.sum(axis=1) - 1
    last = np.minimum(last, later.shape[1] - 2)
    row = np.arange(len(later))
    upper, lower = later[row, last], later[row, last + 1]
    part = np.clip((upper - level) / np.where(upper > lower, upper - lower, 1e-12), 0, 1)
    ends: FloatArray = first + last + part
    return ends
