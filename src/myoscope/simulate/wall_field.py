"""Where the cells of a polar map lie on an average heart, and smooth random fields upon it.

Distances along the wall decide which artery feeds a cell and how far a random difference reaches. A polar disc
stretches the base threefold, so they are taken on a half ellipsoid of ordinary size instead.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike

from myoscope.core import N_ANGLES, N_RINGS
from myoscope.core.geometry import FloatArray, frozen

_SHORT_MM, _LONG_MM, _BEYOND_EQUATOR_MM = 30.0, 72.0, 18.0
_WAVES = 192  # chance correlation of far places below a tenth


@cache
def _profile() -> tuple[FloatArray, FloatArray, FloatArray]:
    angle = np.linspace(0, np.pi / 2 + np.arcsin(_BEYOND_EQUATOR_MM / _LONG_MM), 2001)
    radius, height = _SHORT_MM * np.sin(angle), -_LONG_MM * np.cos(angle)
    arc = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(radius), np.diff(height)))])
    return arc / arc[-1], radius, height


def on_wall_mm(depth: ArrayLike, angle_deg: ArrayLike) -> FloatArray:
    """Points of the average mid-wall, (..., 3) mm; ``depth`` is 0 at the apex and 1 at the base."""
    fraction, radius, height = _profile()
    depth, theta = np.broadcast_arrays(np.asarray(depth, float), np.radians(np.asarray(angle_deg, float)))
    r = np.interp(depth, fraction, radius)
    points: FloatArray = np.stack([r * np.cos(theta), r * np.sin(theta), np.interp(depth, fraction, height)], -1)
    return points


@cache
def cell_depth() -> FloatArray:
    """Depth of each cell of a polar map (ring, angle), 0 at the apex and 1 at the base."""
    depth = np.repeat((np.arange(N_RINGS) + 0.5)[:, None] / N_RINGS, N_ANGLES, axis=1)
    return frozen(depth, np.float64)


@cache
def cell_angle_deg() -> FloatArray:
    """Angle of each cell of a polar map (ring, angle): 0 lateral, 90 anterior, 180 septal, 270 inferior."""
    angle = np.repeat((np.arange(N_ANGLES) + 0.5)[None] * 360 / N_ANGLES, N_RINGS, axis=0)
    return frozen(angle, np.float64)


@cache
def cell_place_mm() -> FloatArray:
    """Place of each cell on the average mid-wall, (ring, angle, 3) mm."""
    return frozen(on_wall_mm(cell_depth(), cell_angle_deg()), np.float64)


@cache
def cell_weight() -> FloatArray:
    """Share of the average mid-wall that each cell covers, (ring, angle), summing to 1."""
    fraction, radius, _ = _profile()
    weight = np.interp(cell_depth(), fraction, radius)
    return frozen(weight / weight.sum(), np.float64)


def toward(angle_deg: float, width_deg: float) -> FloatArray:
    """1 at an angle, falling off to both sides as a Gaussian of this standard deviation; (ring, angle)."""
    away = (cell_angle_deg() - angle_deg + 180) % 360 - 180
    bell: FloatArray = np.exp(-0.5 * (away / width_deg) ** 2)
    return bell


def smooth_field(length_mm: float, rng: np.random.Generator, n: int = 1) -> FloatArray:
    """Random fields on the wall, (n, ring, angle), mean 0 and SD 1 over patients, correlated over ``length_mm``.

    Sums of plane waves through the average heart (random Fourier features of a Gaussian kernel), so the apex is as
    smooth as the rest and no seam shows at angle 0. The waves are drawn once for each length and are everybody's;
    a patient draws their strengths, which makes a field as cheap as one small matrix product.
    """
    field: FloatArray = (rng.standard_normal((n, 2 * _WAVES)) @ _waves(float(length_mm))).reshape(n, N_RINGS, N_ANGLES)
    return field


@cache
def _waves(length_mm: float) -> FloatArray:
    """Cosine and sine of each wave in each cell, (2 waves, cell); the squares of a cell sum to 1."""
    wave = np.random.default_rng(0).standard_normal((_WAVES, 3)) / length_mm
    phase = wave @ cell_place_mm().reshape(-1, 3).T
    return frozen(np.concatenate([np.cos(phase), np.sin(phase)]) / np.sqrt(_WAVES), np.float64)
