"""Right ventricle and atria round a moving left ventricle, as samples of known volume.

The right ventricle is a crescent on the septum: its cavity lies between the epicardium of the left ventricle and a
free wall 3 to 5 mm thick, deepest at the base. The atria are sacs behind the valve planes whose backs stay where
they are, so that they fill while the ventricles empty. Heart coordinates, millimetres.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from myoscope.core.geometry import FloatArray
from myoscope.simulate.lv_shape import ANGLES_RAD, ARC

# Insertions of the free wall at 110 degrees (anterior) and 250 degrees (inferior), from the apical quarter up.
_COLUMNS = np.arange(22, 51)
_FIRST_ROW = 9


@dataclass(frozen=True, eq=False, slots=True)
class Samples:
    """Pieces of matter: centres (time, n, 3) in heart coordinates and volumes (time, n) in mL, single precision."""

    points: NDArray[np.float32]
    volume_mL: NDArray[np.float32]

    @property
    def total_mL(self) -> FloatArray:
        """Volume of all pieces at each time."""
        total: FloatArray = self.volume_mL.sum(axis=-1, dtype=np.float64)
        return total


@dataclass(frozen=True, slots=True)
class RightVentricle:
    """A crescent: its depth at the base at end diastole, the share of it lost in systole, and the free wall."""

    depth_mm: float
    wall_mm: float = 3.5
    systolic_share: float = 0.36

    def _depth(self, course: FloatArray) -> FloatArray:
        """Depth of the cavity at the nodes; (time, row, column)."""
        along = 1 - ((1 - ARC[_FIRST_ROW:]) / (1 - ARC[_FIRST_ROW])) ** 1.5
        turn = (_COLUMNS - _COLUMNS[0]) / (_COLUMNS[-1] - _COLUMNS[0])
        across = np.sin(np.pi * turn) ** 0.75
        squeeze = 1 - self.systolic_share * course
        depth: FloatArray = self.depth_mm * squeeze[:, None, None] * along[:, None] * across
        return depth

    def cavity(self, epi: FloatArray, course: FloatArray) -> Samples:
        """Blood between septum and free wall; ``epi`` (time, 41, 72, 3), ``course`` (time,) share of contraction."""
        septum, outwards = _septum(epi)
        outer = septum + self._depth(course)[..., None] * outwards
        return fill(_twice(septum), _twice(outer), 13)

    def wall(self, epi: FloatArray, course: FloatArray) -> Samples:
        """Free wall; its pieces keep the volume they have at the first time."""
        septum, outwards = _septum(epi)
        depth = self._depth(course)
        inner = septum + depth[..., None] * outwards
        taper = np.clip(depth[0] / (0.5 * self.wall_mm), 0.35, 1)
        thick = self.wall_mm * taper
        for _ in range(2):
            outer = inner + (thick * np.ones_like(depth))[..., None] * outwards
            samples = fill(_twice(inner), _twice(outer), 2)
            # One thickness per time keeps the volume of the whole wall.
            thick = thick * (samples.total_mL[0] / samples.total_mL)[:, None, None]
        return Samples(samples.points, np.broadcast_to(samples.volume_mL[:1], samples.volume_mL.shape))


def fit_right_ventricle(epi: FloatArray, *, cavity_mL: float, wall_mm: float, systolic_share: float) -> RightVentricle:
    """The crescent that holds this much blood on a left ventricle whose epicardium is ``epi`` (41, 72, 3)."""
    ventricle = RightVentricle(28.0, wall_mm, systolic_share)
    still = np.zeros(1)
    for _ in range(12):
        now = float(ventricle.cavity(epi[None], still).total_mL[0])
        ventricle = replace(ventricle, depth_mm=ventricle.depth_mm * (cavity_mL / now) ** 0.9)
    return ventricle


def _septum(epi: FloatArray) -> tuple[FloatArray, FloatArray]:
    angles = ANGLES_RAD[_COLUMNS]
    outwards = np.stack([np.cos(angles), np.sin(angles), np.zeros_like(angles)], axis=-1)
    return epi[:, _FIRST_ROW:][:, :, _COLUMNS], outwards


def _twice(sheet: FloatArray) -> FloatArray:
    """A sheet of nodes (time, row, column, 3) with another column between each two."""
    finer = np.empty((*sheet.shape[:2], 2 * sheet.shape[2] - 1, 3))
    finer[:, :, ::2] = sheet
    finer[:, :, 1::2] = 0.5 * (sheet[:, :, 1:] + sheet[:, :, :-1])
    return finer


def fill(inner: FloatArray, outer: FloatArray, n: int, *, pole: bool = False) -> Samples:
    """Samples between two matched, open sheets of nodes (time, row, column, 3), ``n`` deep.

    Volumes are Jacobians of (row, column, depth) at the middle of each piece. With ``pole``, the nodes of the first row
    are one point: its pieces are triangles, whose centroids lie two thirds out.
    """
    n_times, n_rows, n_columns = (inner.shape[0], inner.shape[1] - 1, inner.shape[2] - 1)
    # Neighbours stand a quarter of a layer nearer and farther: no shells of samples, which a lattice would show.
    stagger = 0.25 * (-1.0) ** (np.arange(n_rows)[:, None] + np.arange(n_columns))
    depth = (((np.arange(n) + 0.5)[:, None, None] + stagger) / n).astype(np.float32)

    def corners(nodes: FloatArray) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        # Coordinates in front: contiguous arrays for what follows.
        single = np.moveaxis(nodes, -1, 0).astype(np.float32)
        a, b, c, d = single[..., :-1, :-1], single[..., 1:, :-1], single[..., :-1, 1:], single[..., 1:, 1:]
        quarter, half = np.float32(0.25), np.float32(0.5)
        return quarter * (a + b + c + d), half * (b + d - a - c), half * (c + d - a - b)

    low, high = corners(inner), corners(outer)
    centre, along, around = (p[:, :, None] + depth * (q - p)[:, :, None] for p, q in zip(low, high, strict=True))
    if pole:
        centre[..., 0, :] += along[..., 0, :] / np.float32(6)
    across = (high[0] - low[0])[:, :, None] / np.float32(n)
    volume = along[1] * around[2]
    volume -= along[2] * around[1]
    volume *= across[0]
    for i, j, k in ((1, 2, 0), (2, 0, 1)):
        part = along[j] * around[k]
        part -= along[k] * around[j]
        volume += part * across[i]
    volume = np.abs(volume) / np.float32(1000)
    points = np.moveaxis(centre.reshape(3, n_times, -1), 0, -1)
    return Samples(points, volume.reshape(n_times, -1))


@dataclass(frozen=True, slots=True)
class Atrium:
    """A sac: widest radius, length from valve to back at end diastole, thickness of its wall; all in mm."""

    radius_mm: float
    length_mm: float
    wall_mm: float = 2.0
    swell: float = 0.12

    def samples(self, mouth: FloatArray, slope: FloatArray, back: FloatArray, course: FloatArray) -> Samples:
        """Blood. ``mouth`` (time, 3) is the middle of the valve, ``slope`` (time, 2) the rise of its plane per mm
        lateral and up, ``back`` (3,) the fixed end of the sac, ``course`` (time,) the ventricles' contraction."""
        return self._between(0.0, 1.0, 9, mouth, slope, back, course)

    def wall(self, mouth: FloatArray, slope: FloatArray, back: FloatArray, course: FloatArray) -> Samples:
        """The wall; it keeps the volume it has at the first time."""
        rim = 1 + self.wall_mm / self.radius_mm
        samples = self._between(1.0, rim, 1, mouth, slope, back, course)
        return Samples(samples.points, np.broadcast_to(samples.volume_mL[:1], samples.volume_mL.shape))

    def _between(
        self,
        low: float,
        high: float,
        n_radial: int,
        mouth: FloatArray,
        slope: FloatArray,
        back: FloatArray,
        course: FloatArray,
    ) -> Samples:
        edges = np.linspace(0, 1, 19)
        turn = np.linspace(0, 2 * np.pi, 49)
        middle = mouth[:, None] + edges[:, None] * (back - mouth)[:, None]
        radius = self.radius_mm * np.sqrt(np.clip(1 - ((edges - 0.4) / 0.6) ** 2, 1e-4, None))
        radius = radius * (1 + self.swell * course)[:, None]
        offset = np.empty((len(mouth), len(edges), len(turn), 3))
        offset[..., 0] = radius[..., None] * np.cos(turn)
        offset[..., 1] = radius[..., None] * np.sin(turn)
        rise = slope[:, :1, None] * offset[..., 0] + slope[:, 1:, None] * offset[..., 1]
        offset[..., 2] = rise * (1 - edges)[:, None]
        base = middle[:, :, None]
        return fill(base + low * offset, base + high * offset, n_radial)
