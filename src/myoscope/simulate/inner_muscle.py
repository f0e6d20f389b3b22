"""Muscle inside the cavity of the left ventricle: two papillary muscles and the trabeculae of its inner face.

Contours of cardiac MRI run outside of both, so that they count to the cavity and not to the wall; the same holds
here. They take up tracer as the wall they rise from, and an image shows them as wall: notches in a cavity that would
otherwise be round, and a wall that looks thicker than it is, the more so in systole, when they have less room.

In adults both together hold a fifth or so of the mass of the compact wall (Chuang et al., J Cardiovasc Magn Reson
2012;14:26; to be checked in the paper). Here it is 4.5 and 3.5 % on average: with more, virtual cavities are fuller
and have brighter spots than those of real images. Trabeculae line the apical two thirds, least on the septum, in
ridges of a few millimetres that differ from person to person.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from myoscope.core import N_ANGLES, N_RINGS
from myoscope.core.geometry import FloatArray, frozen
from myoscope.simulate.wall_field import cell_depth, smooth_field, toward

_PAPILLARY_SHARE, _PAPILLARY_SHARE_SD, _PAPILLARY_SHARE_RANGE = 0.045, 0.015, (0.015, 0.09)
_TRABECULAR_SHARE, _TRABECULAR_SHARE_SD, _TRABECULAR_SHARE_RANGE = 0.035, 0.012, (0.01, 0.07)
_MOST_OF_CAVITY = 0.13  # more would leave a small heart no blood in systole
# Usual angle of each muscle and the rows between which it lies; both differ between people.
_PAPILLARIES = ((40.0, 15, 30), (258.0, 14, 29))
_PAPILLARY_ANGLE_SD_DEG, _PAPILLARY_ROWS = 12.0, 2
_PAPILLARY_HALF_WIDTH_COLUMNS = 4.0
_RIDGE_MM = 7.0
_SPONGY = 1.7  # trabeculae reach this much deeper than if they were packed
_DEEPEST = 0.7  # of the way to the axis of the cavity


@dataclass(frozen=True, slots=True)
class Papillary:
    """One muscle along the inner wall: angle at which it stands, rows between which it lies, volume."""

    angle_deg: float
    first_row: int
    last_row: int
    volume_mL: float


@dataclass(frozen=True, eq=False, slots=True)
class InnerMuscle:
    """Papillary muscles, and the volume of trabeculae on each piece of wall (40, 72)."""

    papillaries: tuple[Papillary, ...]
    trabeculae_mL: FloatArray

    @property
    def papillary_mL(self) -> float:
        return float(sum(muscle.volume_mL for muscle in self.papillaries))

    @property
    def volume_mL(self) -> float:
        return self.papillary_mL + float(self.trabeculae_mL.sum())

    def samples(
        self, endo: FloatArray, spine: FloatArray, fuller: FloatArray
    ) -> tuple[FloatArray, FloatArray, NDArray[np.intp]]:
        """Pieces of all of it: points (time, n, 3), volumes (n,) in mL, and the piece of wall each belongs to (n,).

        ``endo`` (time, 41, 72, 3) is the inner face, ``spine`` (time, 41, 3) the cavity's axis, ``fuller`` (time,)
        how much wider the cavity was at end diastole: as it empties, what is in it takes more of its girth and depth.
        """
        parts = [_papillary_samples(muscle, endo, spine, fuller) for muscle in self.papillaries]
        parts.append(_trabecular_samples(self.trabeculae_mL, endo, spine))
        points, volumes, cells = zip(*parts, strict=True)
        return np.concatenate(points, axis=1), np.concatenate(volumes), np.concatenate(cells)


def no_inner_muscle() -> InnerMuscle:
    """A smooth and empty cavity."""
    return InnerMuscle((), frozen(np.zeros((N_RINGS, N_ANGLES)), np.float64))


def draw_inner_muscle(*, wall_mL: FloatArray, cavity_mL: float, rng: np.random.Generator) -> InnerMuscle:
    """Papillary muscles and trabeculae for a wall of these pieces (40, 72, mL) round a cavity at end diastole."""
    total = float(wall_mL.sum())
    papillary_mL = total * float(np.clip(rng.normal(_PAPILLARY_SHARE, _PAPILLARY_SHARE_SD), *_PAPILLARY_SHARE_RANGE))
    trabecular_mL = total * float(
        np.clip(rng.normal(_TRABECULAR_SHARE, _TRABECULAR_SHARE_SD), *_TRABECULAR_SHARE_RANGE)
    )
    room = min(1.0, _MOST_OF_CAVITY * cavity_mL / (papillary_mL + trabecular_mL))
    share = float(rng.uniform(0.3, 0.7))
    muscles = []
    for (angle_deg, first, last), part in zip(_PAPILLARIES, (share, 1 - share), strict=True):
        moved = rng.integers(-_PAPILLARY_ROWS, _PAPILLARY_ROWS + 1, 2)
        angle_deg += float(np.clip(rng.normal(0, _PAPILLARY_ANGLE_SD_DEG), -30, 30))
        muscles.append(Papillary(angle_deg, first + int(moved[0]), last + int(moved[1]), room * part * papillary_mL))
    relief = np.maximum(smooth_field(_RIDGE_MM, rng)[0] + 0.2, 0)
    # They end towards the base, leave the cavity's tip open, and are few on the septum.
    relief *= np.clip((0.85 - cell_depth()) / 0.35, 0, 1) * np.clip(cell_depth() / 0.25, 0, 1)
    relief *= 1 - 0.4 * toward(180.0, 40.0)
    trabeculae = wall_mL * relief
    trabeculae *= room * trabecular_mL / trabeculae.sum()
    return InnerMuscle(tuple(muscles), frozen(trabeculae, np.float64))


def _papillary_samples(
    muscle: Papillary, endo: FloatArray, spine: FloatArray, fuller: FloatArray
) -> tuple[FloatArray, FloatArray, NDArray[np.intp]]:
    rows = np.arange(muscle.first_row, muscle.last_row)
    # Thick in the middle, thin at both ends.
    girth = np.sin(np.pi * (np.arange(len(rows)) + 0.5) / len(rows))
    column = muscle.angle_deg * N_ANGLES / 360
    deep = np.minimum(0.46 * fuller, 0.8)[:, None, None]
    points, cells = [], []
    for turn in (-0.75, -0.25, 0.25, 0.75):
        aside = column + _PAPILLARY_HALF_WIDTH_COLUMNS * turn * fuller
        low = np.floor(aside).astype(int)
        share = (aside - low)[:, None, None]
        time = np.arange(len(endo))[:, None]
        left, right = (endo[time, rows[None], ((low + step) % N_ANGLES)[:, None]] for step in (0, 1))
        nodes = (1 - share) * left + share * right
        for inward in (0.1, 0.3, 0.5, 0.7, 0.9):
            points.append(nodes + inward * deep * (spine[:, rows] - nodes))
            cells.append(rows * N_ANGLES + round(column) % N_ANGLES)
    volume = np.tile(muscle.volume_mL * girth / girth.sum() / len(points), len(points))
    return np.concatenate(points, axis=1), volume, np.concatenate(cells)


def _trabecular_samples(
    volume_mL: FloatArray, endo: FloatArray, spine: FloatArray
) -> tuple[FloatArray, FloatArray, NDArray[np.intp]]:
    """Two layers on every piece that has any, as deep as its inner face leaves it room."""
    ring, angle = np.nonzero(volume_mL > 1e-6)
    after = (angle + 1) % N_ANGLES
    a, b = endo[:, ring, angle], endo[:, ring + 1, angle]
    c, d = endo[:, ring, after], endo[:, ring + 1, after]
    area_mm2 = 0.5 * np.linalg.norm(np.cross(d - a, b - c), axis=-1)  # (time, piece)
    centre = 0.25 * (a + b + c + d)
    inward = 0.5 * (spine[:, ring] + spine[:, ring + 1]) - centre
    room_mm = np.linalg.norm(inward, axis=-1)
    packed_mm = 1000 * volume_mL[ring, angle] / np.maximum(area_mm2, 1e-3)
    deep = np.minimum(_SPONGY * packed_mm / np.maximum(room_mm, 1e-3), _DEEPEST)[..., None]
    points = np.concatenate([centre + layer * deep * inward for layer in (0.25, 0.75)], axis=1)
    return points, np.tile(0.5 * volume_mL[ring, angle], 2), np.tile(ring * N_ANGLES + angle, 2)
