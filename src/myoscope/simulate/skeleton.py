"""Bones of the chest: spine, ribs, sternum, collar bones, shoulder blades and heads of the humeri.

Ribs run in the wall of the cage from their vertebra down to the front, where cartilage takes over; vertebrae repeat
along the spine with discs between them. Proportions are this project's own choice.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from myoscope.simulate.build import Build
from myoscope.simulate.shapes import Array, Box, Ellipsoid, Lattice, Tube

_RIB_MM, _RIB_HIGH_MM = 6.5, 12.0
# From rib to rib and vertebra to vertebra; the first rib begins this share of height above the heart.
_PITCH, _FIRST = 0.0136, 0.094
_FALL = 0.042  # from back to front, share of height
# How far round the cage ribs 0.5, 1, 7, 8, ... reach, degrees from the back.
_REACH_DEG = ((0, 1, 7, 8, 9, 10, 11, 12, 13), (0, 150, 152, 142, 132, 122, 85, 55, 0))


def ribs(lattice: Lattice, build: Build, to_cage: Array) -> tuple[Box, Array]:
    """Share of bone of twelve pairs of ribs; ``to_cage`` is the distance to the inner face of the cage."""
    h = build.height_cm * 10
    low, high = (_FIRST - 12.5 * _PITCH - _FALL) * h, (_FIRST + 0.5 * _PITCH) * h
    cut = slice(*(int(n) for n in np.searchsorted(lattice.z.ravel(), [low, high])))
    box: Box = (slice(None), slice(None), cut)
    near = np.abs(to_cage[box] - 4.5) < 4 + lattice.voxel_mm
    i, j, k = np.nonzero(near)
    x, y, z = np.abs(lattice.x.ravel()[i]), lattice.y.ravel()[j], lattice.z.ravel()[cut][k]
    width, depth, centre = (p.astype(np.float32) for p in build.cavity(lattice.z.ravel()[cut]))
    around = np.arctan2(x / width[k], (y - centre[k]) / depth[k])
    number = 1 + (_FIRST * h - _FALL * h * (1 - np.cos(around)) / 2 - z) / (_PITCH * h)
    rib = np.clip(np.round(number), 1, 12)
    off = (number - rib) * (_PITCH * h)
    reach = np.radians(np.interp(rib, *_REACH_DEG))
    along = (around - reach) * 0.5 * (width[k] + depth[k])
    share = np.zeros(near.shape, np.float32)
    share[i, j, k] = (
        lattice.between(to_cage[box][i, j, k], 1.5, 1.5 + _RIB_MM)
        * lattice.between(off, -_RIB_HIGH_MM / 2, _RIB_HIGH_MM / 2)
        * lattice.inside(along)
    )
    return box, share


def spine_front_mm(build: Build, z_mm: NDArray[np.floating]) -> NDArray[np.float64]:
    """Front (y) of the vertebral bodies at heights ``z_mm``."""
    h = build.height_cm * 10
    level = np.linspace(-0.25, 0.16, 60) * h
    _, depth, centre = build.cavity(np.clip(level, -0.19 * h, 0.075 * h))
    back = np.convolve(np.pad(centre + depth, 6, mode="edge"), np.ones(13) / 13, mode="valid")
    lordosis = 9 * np.exp(-(((level + 0.16 * h) / (0.05 * h)) ** 2))
    front: NDArray[np.float64] = np.interp(z_mm, level, back - 26 * build.stature - lordosis)
    return front


def spine(lattice: Lattice, build: Build) -> tuple[Box, Array, Array]:
    """Share of bone of the vertebrae, and of the whole spine with its discs and canal."""
    h, s = build.height_cm * 10, build.stature
    wide = 48 * s
    front_all = spine_front_mm(build, lattice.z.ravel())
    box, part = lattice.box((-wide, front_all.min() - 2, -1e4), (wide, front_all.max() + 90 * s, 0.155 * h))
    if 0 in part.shape:
        return box, np.zeros(part.shape, np.float32), np.zeros(part.shape, np.float32)
    z = part.z.ravel()
    front = spine_front_mm(build, z).astype(np.float32)
    half_x = np.interp(z, [-0.2 * h, 0.1 * h], [23.0 * s, 14.0 * s]).astype(np.float32)
    half_y = np.interp(z, [-0.2 * h, 0.1 * h], [17.0 * s, 11.5 * s]).astype(np.float32)
    middle: Array = front + half_y
    pitch = _PITCH * h
    # The middle of each vertebra is level with its rib's head.
    phase = (np.mod((z - _FIRST * h) / pitch + 0.5, 1) - 0.5) * pitch
    bodies = part.between(phase.astype(np.float32), -0.40 * pitch, 0.40 * pitch)
    processes = part.between(phase.astype(np.float32), -0.32 * pitch, 0.16 * pitch)
    x, y = part.x, part.y
    u, v = x / half_x, (y - middle.astype(np.float32)) / half_y
    level = u * u + v * v
    to_body: Array = (level - np.sqrt(level)) / np.sqrt((u / half_x) ** 2 + (v / half_y) ** 2 + np.float32(1e-9))
    body = part.inside(to_body)
    back: Array = middle + half_y
    canal: Array = np.sqrt(x * x + (y - back - np.float32(8 * s)) ** 2)
    arch = part.between(canal - np.float32(8.5 * s), 0.0, 5.0 * s)
    behind = y - back
    spinous = part.between(x, -3.5 * s, 3.5 * s) * part.between(behind, 20 * s, 42 * s)
    transverse = part.between(np.abs(x), 9 * s, 30 * s) * part.between(behind, 5 * s, 14 * s)
    bone = np.clip(body * bodies + (arch + spinous + transverse) * processes, 0, 1).astype(np.float32)
    column = np.clip(body + part.inside(canal - np.float32(13.5 * s)), 0, 1).astype(np.float32)
    return box, bone, column


def sternum(lattice: Lattice, build: Build, to_cage: Array) -> tuple[Box, Array]:
    """Share of bone of the breast bone, in the front wall of the cage."""
    h, s = build.height_cm * 10, build.stature
    box, part = lattice.box((-22 * s, -1e4, -0.018 * h), (22 * s, 0.0, 0.094 * h))
    if 0 in part.shape:
        return box, np.zeros(part.shape, np.float32)
    wide = np.interp(part.z, [-0.018 * h, 0.0, 0.07 * h, 0.094 * h], [8 * s, 16 * s, 15 * s, 24 * s]).astype(np.float32)
    share: Array = (
        part.inside(np.abs(part.x) - wide)
        * part.between(to_cage[box], 1.0, 10.0)
        * part.between(part.z, -0.018 * h, 0.094 * h)
        * (part.y < build.cage_centre_y_mm)
    )
    return box, share


def shoulder_bones(build: Build, arms: str) -> list[Tube | Ellipsoid]:
    """Collar bones, shoulder blades and heads of the humeri."""
    h, s = build.height_cm * 10, build.stature
    wide, deep, centre = (float(p) for p in build.cavity(0.05 * h))
    outer = float(build.skin(0.10 * h)[0])
    front = centre - 0.72 * deep
    bones: list[Tube | Ellipsoid] = []
    for side in (-1.0, 1.0):
        bones.append(
            Tube.along(
                [
                    (side * 20 * s, front, 0.098 * h),
                    (side * 0.45 * outer, front + 12 * s, 0.108 * h),
                    (side * (outer - 52 * s), centre, 0.113 * h),
                ],
                5.5 * s,
            )
        )
        # With raised arms the blades turn outwards round the ribs.
        turn = np.radians(48.0 if arms == "up" else 30.0) * side
        rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
        out = 0.86 if arms == "up" else 0.68
        back = centre + deep * (0.72 if arms == "up" else 0.90) + 16 * s
        bones.append(Ellipsoid.at((side * out * wide, back, 0.052 * h), (40 * s, 4.5, 66 * s), rotation))
        bones.append(Ellipsoid.at((side * (outer - 42 * s), centre + 4 * s, 0.104 * h), np.full(3, 23.0 * s)))
    return bones


def arm_tubes(build: Build, arms: str) -> list[tuple[Tube, Tube]]:
    """Outline and bone of both arms, raised beside the head or lying at the sides."""
    h, s = build.height_cm * 10, build.stature
    outer = float(build.skin(0.10 * h)[0])
    centre = float(build.cavity(0.05 * h)[2])
    thick = (38 + 0.7 * (build.bmi - 25)) * s
    tubes = []
    for side in (-1.0, 1.0):
        if arms == "up":
            path = [
                (side * (outer - 46 * s), centre, 0.098 * h),
                (side * (outer - 10 * s), centre - 25 * s, 0.175 * h),
                (side * (outer - 30 * s), centre - 60 * s, 0.28 * h),
            ]
        else:
            beside = build.half_width_mm + thick + 8
            path = [
                (side * (outer - 44 * s), centre, 0.098 * h),
                (side * beside, centre + 8 * s, -0.05 * h),
                (side * (beside + 6), centre - 15 * s, -0.24 * h),
            ]
        tubes.append((Tube.along(path, [thick * 1.1, thick, 0.8 * thick]), Tube.along(path, 11.0 * s)))
    return tubes
