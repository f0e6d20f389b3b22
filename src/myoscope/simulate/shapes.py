"""Solid shapes on a lattice of voxels: how much of each voxel lies inside.

A shape gives first-order signed distances (mm, negative inside), exact where it matters, at its surface; the
share of a voxel follows from the distance as if the surface were flat across it. Each shape is evaluated only in
the box that holds it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from myoscope.core import Grid, InvalidValue
from myoscope.core.geometry import FloatArray

Array = NDArray[np.float32]
Box = tuple[slice, slice, slice]

# Superellipses |u|^p + |v|^p = 1 with this power: between an ellipse and a rectangle, as trunks are.
SUPERELLIPSE_POWER = 2.5
# Area of the superellipse with semi-axes 1: 4 gamma(1 + 1/p)^2 / gamma(1 + 2/p).
SUPERELLIPSE_AREA = 3.38094


@dataclass(frozen=True, eq=False, slots=True)
class Lattice:
    """Voxel centres of an axis-aligned grid as three axes that broadcast: (i, 1, 1), (1, j, 1), (1, 1, k)."""

    x: Array
    y: Array
    z: Array
    voxel_mm: float

    @classmethod
    def of(cls, grid: Grid, *, origin_mm: ArrayLike = (0.0, 0.0, 0.0)) -> Lattice:
        """The grid's voxels as seen from ``origin_mm``.

        Raises
        ------
        InvalidValue
            If the grid's axes do not run to left, posterior and superior.
        """
        if not np.allclose(grid.direction, np.eye(3), atol=1e-6):
            raise InvalidValue(f"a body is laid on axis-aligned grids only, got {grid!r}")
        start = grid.affine[:3, 3] - np.asarray(origin_mm, float)
        axes = [
            (start[n] + grid.spacing_mm[n] * np.arange(grid.shape[n])).astype(np.float32).reshape(_ALONG[n])
            for n in range(3)
        ]
        return cls(axes[0], axes[1], axes[2], float(np.prod(grid.spacing_mm) ** (1 / 3)))

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.x.size, self.y.size, self.z.size

    def box(self, low_mm: ArrayLike, high_mm: ArrayLike) -> tuple[Box, Lattice]:
        """The part of the lattice between two corners, a voxel wider; empty where they do not meet."""
        low, high = np.asarray(low_mm, float) - self.voxel_mm, np.asarray(high_mm, float) + self.voxel_mm
        cuts = []
        for n, axis in enumerate((self.x, self.y, self.z)):
            values = axis.ravel()
            cuts.append(slice(int(np.searchsorted(values, low[n])), int(np.searchsorted(values, high[n], "right"))))
        part = Lattice(self.x[cuts[0]], self.y[:, cuts[1]], self.z[:, :, cuts[2]], self.voxel_mm)
        return (cuts[0], cuts[1], cuts[2]), part

    def inside(self, distance_mm: Array) -> Array:
        """Share of each voxel on the inner side of a surface at this signed distance."""
        share: Array = np.clip(np.float32(0.5) - distance_mm * np.float32(1 / self.voxel_mm), 0, 1)
        return share

    def between(self, distance_mm: Array, low_mm: ArrayLike, high_mm: ArrayLike) -> Array:
        """Share of each voxel in the layer between two distances from a surface; thin layers keep their volume."""
        low, high = np.asarray(low_mm, np.float32), np.asarray(high_mm, np.float32)
        layer: Array = self.inside(distance_mm - high) - self.inside(distance_mm - low)
        return layer


_ALONG = ((-1, 1, 1), (1, -1, 1), (1, 1, -1))


@dataclass(frozen=True, eq=False, slots=True)
class Ellipsoid:
    """Centre, semi-axes and the rows of the rotation that takes LPS offsets to them."""

    centre_mm: FloatArray
    semi_axes_mm: FloatArray
    rotation: FloatArray

    @classmethod
    def at(cls, centre_mm: ArrayLike, semi_axes_mm: ArrayLike, rotation: ArrayLike | None = None) -> Ellipsoid:
        turn = np.eye(3) if rotation is None else np.asarray(rotation, float)
        return cls(np.asarray(centre_mm, float), np.asarray(semi_axes_mm, float), turn)

    @property
    def volume_mL(self) -> float:
        return float(4 / 3 * np.pi * np.prod(self.semi_axes_mm) / 1000)

    @property
    def reach_mm(self) -> FloatArray:
        """Half the box that holds it, along LPS."""
        reach: FloatArray = np.sqrt(((self.rotation * self.semi_axes_mm[:, None]) ** 2).sum(axis=0))
        return reach

    def moved(self, offset_mm: ArrayLike) -> Ellipsoid:
        return Ellipsoid(self.centre_mm + np.asarray(offset_mm, float), self.semi_axes_mm, self.rotation)

    def box(self, lattice: Lattice) -> tuple[Box, Lattice]:
        return lattice.box(self.centre_mm - self.reach_mm, self.centre_mm + self.reach_mm)

    def distance(self, lattice: Lattice) -> Array:
        """First-order signed distance in mm, shape of the lattice."""
        offset = [
            axis - np.float32(c) for axis, c in zip((lattice.x, lattice.y, lattice.z), self.centre_mm, strict=True)
        ]
        level: Array | np.float32 = np.float32(1e-9)
        slope: Array | np.float32 = np.float32(1e-12)
        for row, semi in zip(self.rotation, self.semi_axes_mm, strict=True):
            terms = [np.float32(c / semi) * along for c, along in zip(row, offset, strict=True) if abs(c) > 1e-9]
            squared = sum(terms[1:], terms[0]) ** 2
            level = level + squared
            slope = slope + squared * np.float32(semi**-2)
        # level - 1 over the length of its gradient, through the root of the level
        distance = (level - np.sqrt(level)) / np.sqrt(slope)
        return np.broadcast_to(distance, lattice.shape).astype(np.float32)

    def lower_face(self, x: Array, y: Array) -> tuple[FloatArray, FloatArray]:
        """Height of the lower surface over (x, y), and how far (x, y) lies inside the shadow (1 centre, 0 rim)."""
        form = (self.rotation.T / self.semi_axes_mm**2) @ self.rotation
        dx, dy = x.astype(float) - self.centre_mm[0], y.astype(float) - self.centre_mm[1]
        b = form[0, 2] * dx + form[1, 2] * dy
        c = form[0, 0] * dx**2 + 2 * form[0, 1] * dx * dy + form[1, 1] * dy**2 - 1
        inside = b**2 - form[2, 2] * c
        depth: FloatArray = np.clip(inside / form[2, 2], 0, 1)
        height: FloatArray = self.centre_mm[2] - (b + np.sqrt(np.maximum(inside, 0))) / form[2, 2]
        return height, depth


@dataclass(frozen=True, eq=False, slots=True)
class Tube:
    """A bent tube: a chain of points with a radius at each."""

    points_mm: FloatArray
    radii_mm: FloatArray

    @classmethod
    def along(cls, points_mm: ArrayLike, radii_mm: ArrayLike) -> Tube:
        points = np.asarray(points_mm, float)
        return cls(points, np.broadcast_to(np.asarray(radii_mm, float), points.shape[:1]).copy())

    def moved(self, offset_mm: ArrayLike) -> Tube:
        return Tube(self.points_mm + np.asarray(offset_mm, float), self.radii_mm)

    def box(self, lattice: Lattice) -> tuple[Box, Lattice]:
        radius = self.radii_mm[:, None]
        return lattice.box((self.points_mm - radius).min(axis=0), (self.points_mm + radius).max(axis=0))

    def distance(self, lattice: Lattice) -> Array:
        nearest = np.full(lattice.shape, 1e3, np.float32)
        for n in range(len(self.points_mm) - 1):
            start, end = self.points_mm[n], self.points_mm[n + 1]
            low, high = np.minimum(start, end), np.maximum(start, end)
            radius = float(self.radii_mm[n : n + 2].max())
            box, part = lattice.box(low - radius, high + radius)
            if 0 in part.shape:
                continue
            along = end - start
            offset = [a - np.float32(s) for a, s in zip((part.x, part.y, part.z), start, strict=True)]
            scaled = (along / (along @ along)).astype(np.float32)
            t = np.clip(offset[0] * scaled[0] + offset[1] * scaled[1] + offset[2] * scaled[2], 0, 1)
            squared = sum((o - t * np.float32(a)) ** 2 for o, a in zip(offset, along, strict=True))
            width = np.float32(self.radii_mm[n]) + t * np.float32(self.radii_mm[n + 1] - self.radii_mm[n])
            np.minimum(nearest[box], np.sqrt(squared) - width, out=nearest[box])
        return nearest


def superellipse_distance(lattice: Lattice, semi_x_mm: Array, semi_y_mm: Array, centre_y_mm: Array) -> Array:
    """Signed distance to a stack of superellipses centred at x = 0; semi-axes and centre per slice (1, 1, k).

    First order within a slice; where the stack narrows fast it overestimates, never with the wrong sign.
    """
    u = np.abs(lattice.x) / semi_x_mm
    v = np.abs(lattice.y - centre_y_mm) / semi_y_mm
    root_u, root_v = np.sqrt(u), np.sqrt(v)
    level = u * u * root_u + v * v * root_v
    slope = (u * u * u) / semi_x_mm**2 + (v * v * v) / semi_y_mm**2
    distance: Array = (level - 1) / (np.float32(SUPERELLIPSE_POWER) * np.sqrt(slope + np.float32(1e-9)))
    return distance
