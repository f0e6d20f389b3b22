"""The wall's counts on the polar map: three ways of searching the maximum.

* ``profile``: maximal-count circumferential profiles of short-axis slices, apex from a spherical sector
  (Garcia et al., J Nucl Med 1985;26:17).
* ``surface``: along normals of the mid-wall, between endo- and epicardium (Germano, Slomka et al.: QPS).
* ``hybrid``: cylindrical search for the body, spherical for the apical cap (Emory tool box).

All three read the image once, by a cubic spline through its voxels, so that the search does not see the
lattice, and fill the same 40 x 72 cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from myoscope.core import InvalidValue, PolarMap, Surfaces, Volume, segment_number
from myoscope.core.geometry import FloatArray

SamplingMethod = Literal["surface", "profile", "hybrid"]
SAMPLING_METHODS: tuple[SamplingMethod, ...] = ("surface", "profile", "hybrid")

# Across a wall of 10 mm, 0.8 mm apart; the highest count between them is that of a parabola.
_N_DEPTHS = 13


def sample_wall(volume: Volume, surfaces: Surfaces, *, method: SamplingMethod) -> PolarMap:
    """The highest count across the wall in every cell of the polar map, in the image's unit.

    The search goes from endo- to epicardium along the ray through the cell's centre on the mid-wall: along
    the wall's own normal (``surface``), or outward from the long axis and, in the apical cap, from the cap's
    centre (``hybrid``, and ``profile`` slice by slice with rings put in place by arc length). NaN where the
    ray leaves the field of view or meets voxels that are NaN.

    Segments follow from each cell's place along the long axis, counted from the end of the cavity to the
    valve plane on its own meridian.

    Raises
    ------
    InvalidValue
        For an unknown method, and for gated or dynamic images or surfaces: choose one frame.
    """
    if method not in SAMPLING_METHODS:
        raise InvalidValue(f"the wall is sampled by {', '.join(SAMPLING_METHODS)}, not {method!r}")
    if volume.frame_axis is not None or surfaces.endo_mm.ndim != 3:
        raise InvalidValue("sample one frame at a time: volume.frame(n) and surfaces.gate(n)")
    image = _Image(volume)
    wall = _Wall.of(surfaces)
    if method == "surface":
        value = image.maximum(wall.endo, wall.epi)
    elif method == "hybrid":
        value = image.maximum(*wall.span(wall.mid, wall.hybrid_origin(wall.mid), wall.epi - wall.endo))
    else:
        value = _profiles(image, wall, float(volume.grid.spacing_mm.min()))
    segment, segment_20 = _segments(wall)
    return PolarMap(
        value,
        volume.unit,
        segment,
        segment_20,
        surfaces.cell_area_mm2(),
        f"{method} sampling, maximum across the wall",
        (*volume.made_by, *surfaces.made_by, f"sampled: {method}"),
    )


class _Image:
    """One image, read between its voxels by a cubic spline."""

    def __init__(self, volume: Volume) -> None:
        from scipy.ndimage import spline_filter

        array = np.asarray(volume.array, np.float64)
        known = np.isfinite(array)
        self._grid = volume.grid
        self._missing = None if known.all() else (~known).astype(np.float32)
        self._spline = spline_filter(np.where(known, array, 0.0), order=3, mode="mirror", output=np.float64)

    def maximum(self, start_mm: FloatArray, end_mm: FloatArray) -> FloatArray:
        """Highest value on the line between two points; (..., 3) to (...)."""
        from scipy.ndimage import map_coordinates

        fraction = np.linspace(0, 1, _N_DEPTHS)
        points = start_mm[..., None, :] + fraction[:, None] * (end_mm - start_mm)[..., None, :]
        index = self._grid.to_index(points)
        coordinates = np.moveaxis(index, -1, 0)
        values = map_coordinates(self._spline, coordinates, order=3, mode="mirror", prefilter=False)
        seen = ((index >= 0) & (index <= np.asarray(self._grid.shape) - 1)).all(axis=(-1, -2))
        if self._missing is not None:
            seen &= map_coordinates(self._missing, coordinates, order=1, mode="nearest").max(axis=-1) < 0.01
        return np.where(seen, _highest(values), np.nan)


def _highest(values: FloatArray) -> FloatArray:
    """The maximum along the last axis, between samples by the parabola through the highest and its neighbours."""
    at = np.clip(values.argmax(axis=-1), 1, values.shape[-1] - 2)
    left, middle, right = (np.take_along_axis(values, (at + d)[..., None], -1)[..., 0] for d in (-1, 0, 1))
    bend, slope = left - 2 * middle + right, 0.5 * (right - left)
    inside = np.abs(slope) < -bend
    vertex = middle - 0.5 * slope**2 / np.where(inside, bend, 1.0)
    highest: FloatArray = np.where(inside, vertex, np.maximum(left, np.maximum(middle, right)))
    return highest


@dataclass(frozen=True, eq=False, slots=True)
class _Wall:
    """Cell centres of the polar map on the endocardium, mid-wall and epicardium, and the long axis."""

    endo: FloatArray  # (ring, angle, 3), LPS mm
    epi: FloatArray
    node_endo: FloatArray  # (ring + 1, angle, 3)
    node_epi: FloatArray
    end_of_cavity: FloatArray  # (3,)
    axis_point: FloatArray  # (3,), on the long axis
    towards_apex: FloatArray  # (3,)

    @classmethod
    def of(cls, surfaces: Surfaces) -> _Wall:
        rings = surfaces.mid_mm[surfaces.n_rings // 4 :]
        return cls(
            _cell_centres(surfaces.endo_mm),
            _cell_centres(surfaces.epi_mm),
            surfaces.endo_mm,
            surfaces.epi_mm,
            surfaces.endo_mm[0, 0],
            rings.mean(axis=(0, 1)),
            surfaces.frame.long_axis,
        )

    @property
    def mid(self) -> FloatArray:
        return 0.5 * (self.endo + self.epi)

    @property
    def nodes(self) -> FloatArray:
        """Mid-wall nodes, (ring + 1, angle, 3)."""
        return 0.5 * (self.node_endo + self.node_epi)

    def height(self, points: FloatArray) -> FloatArray:
        """Place along the long axis, rising towards the apex, mm."""
        height: FloatArray = (points - self.axis_point) @ self.towards_apex
        return height

    def radius(self, points: FloatArray) -> FloatArray:
        """Distance from the long axis, mm."""
        across = points - self.axis_point - self.height(points)[..., None] * self.towards_apex
        radius: FloatArray = np.linalg.norm(across, axis=-1)
        return radius

    @property
    def cap_height(self) -> float:
        """Where the apical cap begins: as far below the apex as the wall is from the axis there."""
        mean_radius = self.radius(self.nodes).mean(axis=1)
        height = self.height(self.nodes).mean(axis=1)
        below_apex = height[0] - height
        wider = np.flatnonzero(mean_radius[1:] > below_apex[1:])
        return float(height[wider[-1] + 1]) if wider.size else float(height[1])

    def hybrid_origin(self, points: FloatArray) -> FloatArray:
        """Where the search ray of each point starts: on the axis beside it, or the cap's centre."""
        height = np.minimum(self.height(points), self.cap_height)
        origin: FloatArray = self.axis_point + height[..., None] * self.towards_apex
        return origin

    def span(self, points: FloatArray, origin: FloatArray, across: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The part of each ray that lies in the wall, as two ends; the wall taken as flat there.

        ``across`` leads from endo- to epicardium at each of the mid-wall points.
        """
        thickness = np.linalg.norm(across, axis=-1, keepdims=True)
        ray = points - origin
        ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
        slant = np.abs((ray * across / thickness).sum(axis=-1, keepdims=True))
        # A ray almost along the wall would leave its cell: at most 1.5 times straight through.
        half = 0.5 * thickness / np.maximum(slant, 1 / 1.5)
        return points - half * ray, points + half * ray


def _cell_centres(nodes: FloatArray) -> FloatArray:
    following = np.roll(nodes, -1, axis=1)
    centres: FloatArray = 0.25 * (nodes[:-1] + nodes[1:] + following[:-1] + following[1:])
    return centres


def _profiles(image: _Image, wall: _Wall, slice_mm: float) -> FloatArray:
    """Maximal-count profiles of short-axis slices one voxel apart, the apical cap by a spherical sector.

    Each slice is cut perpendicular to the long axis and searched outward from it; slices and the sector's
    parallels are then put at their arc length, where the rings are read by linear interpolation.
    """
    heights = wall.height(wall.nodes)
    lowest = float(heights[-1].min())
    slices = np.arange(wall.cap_height, lowest - slice_mm, -slice_mm)
    # Parallels of the cap as far apart along the wall as the slices are along the axis.
    n_parallels = max(4, int(np.ceil(np.pi / 2 * (heights[0, 0] - wall.cap_height) / slice_mm)))
    tilts = np.linspace(0, np.pi / 2, n_parallels, endpoint=False)
    drop = np.concatenate([tilts, np.pi / 2 + np.arange(slices.size)])  # rises along every meridian
    nodes = wall.nodes
    tilt = np.arctan2(wall.radius(nodes), wall.height(nodes) - wall.cap_height)
    below = (wall.cap_height - heights) / slice_mm
    place = np.where(heights >= wall.cap_height, np.minimum(tilt, np.pi / 2), np.pi / 2 + below)
    place[0] = 0.0
    row = _rows_at(np.maximum.accumulate(place, axis=0), drop)  # (search row, angle), fractional node row
    last = wall.nodes.shape[0] - 1
    at = np.clip(row, 0, last)
    middle, endo, epi = (_read_rows(field, at) for field in (wall.nodes, wall.node_endo, wall.node_epi))
    found = image.maximum(*wall.span(middle, wall.hybrid_origin(middle), epi - endo))
    # Nodes stand on the cells' edges: half a column on, and half a row.
    found = 0.5 * (found + np.roll(found, -1, axis=1))
    row = 0.5 * (row + np.roll(row, -1, axis=1))
    rings = np.arange(last) + 0.5
    index = np.clip((row[None] <= rings[:, None, None]).sum(axis=1) - 1, 0, drop.size - 2)
    column = np.arange(row.shape[1])
    low, high = row[index, column], row[index + 1, column]
    part = np.clip((rings[:, None] - low) / np.maximum(high - low, 1e-9), 0, 1)
    value: FloatArray = found[index, column] * (1 - part) + found[index + 1, column] * part
    return value


def _rows_at(place: FloatArray, wanted: FloatArray) -> FloatArray:
    """Fractional rows at which a quantity that rises along each column takes the wanted values."""
    low = np.clip((place[None] <= wanted[:, None, None]).sum(axis=1) - 1, 0, place.shape[0] - 2)
    column = np.arange(place.shape[1])
    start, end = place[low, column], place[low + 1, column]
    rows: FloatArray = low + (wanted[:, None] - start) / np.maximum(end - start, 1e-6)
    return rows


def _read_rows(nodes: FloatArray, row: FloatArray) -> FloatArray:
    """Points between the rows of a surface; row (n, angle) to (n, angle, 3)."""
    low = np.minimum(row.astype(int), nodes.shape[0] - 2)
    column = np.arange(nodes.shape[1])
    part = (row - low)[..., None]
    points: FloatArray = nodes[low, column] * (1 - part) + nodes[low + 1, column] * part
    return points


def _segments(wall: _Wall) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    n_rings, n_angles = wall.mid.shape[:2]
    height = wall.height(wall.mid)
    top = float(wall.height(wall.end_of_cavity))
    rim = wall.height(wall.nodes[-1])
    valve = 0.5 * (rim + np.roll(rim, -1))
    fraction = (top - height) / (top - valve)
    angle = np.broadcast_to((np.arange(n_angles) + 0.5) * 360 / n_angles, (n_rings, n_angles))
    beyond = height > top
    return (
        segment_number(fraction, angle, apex=beyond, model=17),
        segment_number(fraction, angle, apex=beyond, model=20),
    )
