"""Where on a dynamic image the wall, its two sides and its blood are, and what the image shows there over time.

In: the surfaces of the left ventricle. Out: points in the patient, and the mean activity at them in every frame, each
frame read where the heart was when it was taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from myoscope.core import InvalidValue, Surfaces, Volume
from myoscope.core.geometry import FloatArray


@dataclass(frozen=True, eq=False, slots=True)
class WallPlace:
    """Centres of the polar map's cells in the middle of the wall, LPS mm (ring, angle, 3), the unit vectors that point
    outward there, the fitted thickness in mm, and the area of each cell in mm2 (ring, angle).
    """

    mid_mm: FloatArray
    outward: FloatArray
    thickness_mm: FloatArray
    area_mm2: FloatArray

    @classmethod
    def of(cls, surfaces: Surfaces) -> WallPlace:
        """Of an ungated wall.

        Raises
        ------
        InvalidValue
            If the surfaces are those of gates.
        """
        if surfaces.endo_mm.ndim != 3:
            raise InvalidValue("curves are read off one wall, not off gates")
        endo, epi = _cells(surfaces.endo_mm), _cells(surfaces.epi_mm)
        across = epi - endo
        thickness = np.linalg.norm(across, axis=-1)
        return cls(
            0.5 * (endo + epi),
            across / np.maximum(thickness, 1e-6)[..., None],
            thickness,
            surfaces.cell_area_mm2(),
        )

    def moved_out(self, by_mm: float) -> WallPlace:
        """The same wall farther out (negative: in)."""
        return replace(self, mid_mm=self.at(by_mm))

    @property
    def n_cells(self) -> int:
        return int(self.thickness_mm.size)

    def at(self, depth_mm: float) -> FloatArray:
        """Points this far outward of the middle of the wall (negative: inward), (ring, angle, 3)."""
        points: FloatArray = self.mid_mm + depth_mm * self.outward
        return points


def _cells(nodes: FloatArray) -> FloatArray:
    columns = nodes + np.roll(nodes, -1, axis=1)
    centres: FloatArray = 0.25 * (columns[1:] + columns[:-1])
    return centres


def read_frames(volume: Volume, points_mm: ArrayLike, shifts_mm: FloatArray) -> FloatArray:
    """Activity at points (..., 3) in every frame of a dynamic image, (frame, ...), trilinear between voxels.

    ``shifts_mm`` (frame, 3) is where the heart lay in each frame relative to the points. NaN where a point lies outside
    the image.
    """
    from scipy.ndimage import map_coordinates

    points = np.asarray(points_mm, np.float64)
    flat = points.reshape(-1, 3)
    size = np.asarray(volume.grid.shape)
    values = np.empty((volume.n_frames, len(flat)))
    for f in range(volume.n_frames):
        index = volume.grid.to_index(flat + shifts_mm[f])
        inside = ((index >= -0.5) & (index <= size - 0.5)).all(axis=1)
        read = map_coordinates(volume.array[f], index.T, order=1, mode="nearest", output=np.float64)
        values[f] = np.where(inside, read, np.nan)
    return values.reshape(volume.n_frames, *points.shape[:-1])


def wall_curves(volume: Volume, place: WallPlace, shifts_mm: FloatArray, depths_mm: Sequence[float]) -> FloatArray:
    """Curve of every cell, averaged over depths in the wall, (cell, frame)."""
    total = np.zeros((volume.n_frames, *place.thickness_mm.shape))
    for depth in depths_mm:
        total += read_frames(volume, place.at(depth), shifts_mm)
    curves: FloatArray = (total / len(depths_mm)).reshape(volume.n_frames, -1).T
    return curves
