"""Where a blurred wall ends that fades towards its base: position and tilt of the valve plane.

The counts along the ridge of the wall, from the apical cap to beyond the base, are explained by a wall that fades
linearly, ends in a step blurred by the image, and leaves a floor of blood and atria beyond. The end is where this
explains most, weighed against how long ventricles of this width are: noise of a single gate can put the end anywhere
within a centimetre, people's hearts differ by less. Each direction then has its own end about that of the whole ring,
and the plane is fitted to them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from myoscope.core.geometry import FloatArray
from myoscope.heart.usual_wall_constants import BEAT_POWER, LENGTH_LOG, LENGTH_LOG_SD, LENGTH_POWER, VALVE_SLOPE
from myoscope.heart.valve_plane import ValvePlane

# Variance of a ring's counts about the model, relative to the wall's; of one direction, several times that.
_RING_VARIANCE, _DIRECTION_FACTOR = 0.01, 4.0
# How firmly the wall is held to be even, and the floor to be none. Freely fading walls end later. In the gates of 40
# virtual patients that brings the volumes nearer to the truth; ungated images keep the firmer end, with which their
# normal limits were made.
EVEN_WALL, FADING_WALL, _FLOOR = 5.0, 0.3, 1e-3
# Share of a gate's own deviation from the usual length for its width that it keeps. Of 0, 0.3, 0.5 and 1 in 48 virtual
# patients for development: mean absolute error of the ejection fraction 4.1, 3.8, 3.8 and 4.3 points over the five
# centres' means, its bias +0.9, 0.0, -0.7 and -2.2.
_OWN_LENGTH = 0.3
_FADING_MM = 20.0
_LEAST_STEP = 0.1
_DIRECTION_SD_MM = 5.0
_PLANE_STIFFNESS = 2000.0
_MAX_SLOPE = 0.5


def fit_wall_end(
    mid: FloatArray,
    counts: FloatArray,
    height_mm: FloatArray,
    *,
    body: NDArray[np.bool_],
    sigma_mm: float,
    even: float = EVEN_WALL,
) -> ValvePlane:
    """The plane in which the wall ends, in heart coordinates; arguments as for `valve_plane.fit_valve_plane`.

    ``sigma_mm`` is the standard deviation of the blur, ``even`` how firmly the wall is held to be even (`EVEN_WALL`,
    `FADING_WALL`).
    """
    from scipy.ndimage import gaussian_filter1d

    n_rows, n_columns = counts.shape
    rows, column = np.arange(n_rows), np.arange(n_columns)
    first = int(np.flatnonzero(body)[0])
    spacing = float(-np.diff(height_mm[body]).mean())
    smooth = gaussian_filter1d(counts, 6.0, axis=1, mode="wrap")
    mean = gaussian_filter1d(counts.mean(axis=1), 0.5)
    plateau = float(np.median(mean[first : first + max(4, int(0.35 * (n_rows - first)))]))
    usual_mm = np.exp(LENGTH_LOG) * _radius_mm(mid, body) ** LENGTH_POWER

    ends = np.arange(first + 2, n_rows - 1, 0.5)
    misfit = _misfit(mean[first + 2 :, None] / plateau, ends - first - 2, spacing / sigma_mm, spacing, even)[:, 0]
    length_mm = np.maximum(float(mid[0, :, 2].mean()) - np.interp(ends, rows, height_mm), 5.0)
    ring_end = _lowest((misfit / _RING_VARIANCE + (np.log(length_mm / usual_mm) / LENGTH_LOG_SD) ** 2)[:, None], ends)[
        0
    ]

    own = np.maximum(smooth[first : max(first + 3, int(first + 0.75 * (ring_end - first)))].mean(axis=0), 0.3 * plateau)
    misfit = _misfit(smooth[first + 2 :] / own, ends - first - 2, spacing / sigma_mm, spacing, even)
    apart = ((ends - ring_end) * spacing / _DIRECTION_SD_MM) ** 2
    end = _lowest(misfit / (_DIRECTION_FACTOR * _RING_VARIANCE) + apart[:, None], ends)
    low = np.clip(end.astype(int), 0, n_rows - 2)
    part = (end - low)[:, None]
    rim = mid[low, column] * (1 - part) + mid[low + 1, column] * part
    centre = mid[max(first, int(ring_end) - 4) : int(ring_end) + 1].mean(axis=(0, 1))
    design = np.column_stack([np.ones(n_columns), rim[:, 0] - centre[0], rim[:, 1] - centre[1]])
    trust = np.clip(own / plateau, 0.05, 1) ** 2
    stiffness = np.diag([1e-6, _PLANE_STIFFNESS, _PLANE_STIFFNESS])
    solution = np.array([float(np.interp(ring_end, rows, height_mm)), 0.0, 0.0])
    for _ in range(8):
        miss = rim[:, 2] - design @ solution
        weight = trust / np.maximum(np.abs(miss) / 3.0, 1.0)
        normal = design.T @ (weight[:, None] * design) + stiffness
        right = design.T @ (weight * rim[:, 2]) + stiffness @ np.array([0.0, *VALVE_SLOPE])
        solution = np.linalg.solve(normal, right)
    slope = np.clip(solution[1:], -_MAX_SLOPE, _MAX_SLOPE)
    outward = np.array([slope[0], slope[1], -1.0])
    return ValvePlane(np.array([centre[0], centre[1], solution[0]]), outward / np.linalg.norm(outward))


def lengths_of_a_beat(mid: Sequence[FloatArray], end_mm: FloatArray, *, body: NDArray[np.bool_]) -> FloatArray:
    """Heights of the wall's end over a beat, (gate,), heart coordinates in mm, from those found gate by gate.

    ``mid`` is the mid-wall of every gate, (row, column, 3), ``end_mm`` the height in the middle of each valve plane.
    Hearts differ in length for their width, but one heart shortens as it narrows, by `BEAT_POWER`; the end of a gate's
    wall is seen less surely than its width, least where a camera looks along the axis. So a gate keeps only a part of
    the deviation from that which it shows.
    """
    apex_mm = np.array([float(gate[0, :, 2].mean()) for gate in mid])
    usual = BEAT_POWER * np.log([_radius_mm(gate, body) for gate in mid])
    longer = np.log(np.maximum(apex_mm - end_mm, 5.0)) - usual
    length_mm = np.exp(usual + longer.mean() + _OWN_LENGTH * (longer - longer.mean()))
    heights: FloatArray = apex_mm - length_mm
    return heights


def _radius_mm(mid: FloatArray, body: NDArray[np.bool_]) -> float:
    """Mean radius of the mid-wall (row, column, 3) below its cap."""
    first = int(np.flatnonzero(body)[0])
    upper = mid[first + 4 : first + 14, :, :2]
    return float(np.linalg.norm(upper - upper.mean(axis=1, keepdims=True), axis=-1).mean())


def _misfit(profile: FloatArray, ends: FloatArray, rows_per_sigma: float, spacing: float, even: float) -> FloatArray:
    """Squared misfit (end, column) of profiles (row, column) to a fading wall that ends at each of ``ends`` (rows)."""
    from scipy.special import ndtr

    row = np.arange(len(profile))
    wall = ndtr((ends[:, None] - row) * rows_per_sigma)  # (end, row)
    design = np.stack([wall, (row - row.mean()) * spacing / _FADING_MM * wall, 1 - wall], axis=-1)
    held = np.diag([1e-6, even, _FLOOR])
    across = design.transpose(0, 2, 1)
    coefficient = np.linalg.solve(across @ design + held, across @ profile)  # (end, 3, column)
    residual = profile - design @ coefficient
    fading = coefficient[:, 1]
    at_end = coefficient[:, 0] + fading * ((ends - row.mean()) * spacing / _FADING_MM)[:, None]
    # A wall does not end where counts rise.
    no_step = 50 * _RING_VARIANCE * (at_end - coefficient[:, 2] < _LEAST_STEP)
    misfit: FloatArray = (residual**2).sum(axis=1) + even * fading**2 + no_step
    return misfit


def _lowest(cost: FloatArray, at: FloatArray) -> FloatArray:
    """Where each column of ``cost`` (place, column) is lowest, between the places by a parabola."""
    column = np.arange(cost.shape[1])
    best = np.clip(cost.argmin(axis=0), 1, len(at) - 2)
    left, lowest, right = (cost[best + d, column] for d in (-1, 0, 1))
    step = np.clip(0.5 * (left - right) / np.maximum(left - 2 * lowest + right, 1e-9), -1, 1)
    place: FloatArray = at[best] + (at[1] - at[0]) * step
    return place
