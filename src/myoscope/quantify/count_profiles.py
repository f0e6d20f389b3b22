"""Circumferential count profiles: slices from apex to base, angles round them, the highest count along each radius.

The input of the network of Liu et al. (Eur J Nucl Med Mol Imaging 2021;48:2793), which sees stress images only, as
counts relative to their own maximum. Slices are cut perpendicular to the long axis, equally far apart, and searched
outward from the axis; unlike a polar map, whose rings are equal steps along the wall, the apical cap fills only a few
rows. The size of the published matrix was not found; here it is the caller's choice, such as 36 slices of 60 angles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from myoscope.core import InvalidValue, Surfaces, Volume
from myoscope.core.geometry import FloatArray, frozen

_STEP_MM = 0.5


@dataclass(frozen=True, eq=False, slots=True)
class CountProfiles:
    """Counts in percent of their maximum, shape (slice, angle): apex first, angles counter-clockwise as displayed.

    ``depth_mm`` is the distance of each slice from the mid-wall apex along the long axis; ``angle_deg`` the angles (0
    lateral, 90 anterior); ``maximum`` what 100 % is, in the unit of the image. NaN where the wall has ended (the septum
    is shorter) or was not seen.
    """

    value: FloatArray
    depth_mm: FloatArray
    angle_deg: FloatArray
    maximum: float

    def __post_init__(self) -> None:
        for name in ("value", "depth_mm", "angle_deg"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.float64))
        if self.value.shape != (self.depth_mm.size, self.angle_deg.size):
            raise InvalidValue(
                f"profiles of shape {self.value.shape} do not fit {self.depth_mm.size} slices and "
                f"{self.angle_deg.size} angles"
            )


def count_profiles(volume: Volume, surfaces: Surfaces, *, n_slices: int, n_angles: int) -> CountProfiles:
    """Profiles of an ungated image; the search along each radius ends at the epicardium.

    Raises
    ------
    InvalidValue
        If image or surfaces are gated, the sizes are not positive, or the wall holds no counts.
    """
    if volume.frame_axis is not None or surfaces.endo_mm.ndim != 3:
        raise InvalidValue("count profiles are cut from one frame: volume.frame(n) and surfaces.gate(n)")
    if n_slices < 1 or n_angles < 1:
        raise InvalidValue(f"profiles have at least one slice and one angle, got {n_slices} x {n_angles}")
    frame = surfaces.frame
    body = surfaces.mid_mm[surfaces.n_rings // 4 :]
    axis_point = frame.to_heart(body.reshape(-1, 3)).mean(axis=0)
    mid, epi = (frame.to_heart(nodes) - axis_point for nodes in (surfaces.mid_mm, surfaces.epi_mm))
    apex, lowest = float(mid[0, 0, 2]), float(mid[-1, :, 2].min())
    depth = (np.arange(n_slices) + 0.5) / n_slices * (apex - lowest)
    angle = (np.arange(n_angles) + 0.5) * 360 / n_angles
    reach = _at(angle, np.stack([_reach_mm(apex - depth, epi[:, a]) for a in range(epi.shape[1])], axis=1))
    bottom = _at(angle, np.broadcast_to(mid[-1, :, 2], (n_slices, mid.shape[1])))
    n_steps = int(np.ceil(float(reach.max()) / _STEP_MM)) + 1
    radius = np.linspace(0, 1, n_steps) * reach[..., None]  # (slice, angle, step)
    turn = np.radians(angle)[None, :, None]
    height = np.broadcast_to((apex - depth)[:, None, None], radius.shape)
    points = np.stack([radius * np.cos(turn), radius * np.sin(turn), height], axis=-1) + axis_point
    highest = _maximum(volume, frame.to_patient(points))
    highest[(apex - depth)[:, None] < bottom] = np.nan
    top = float(np.nanmax(highest)) if np.isfinite(highest).any() else 0.0
    if not top > 0:
        raise InvalidValue("a wall without counts has no profile")
    return CountProfiles(100 * highest / top, depth, angle, top)


def _reach_mm(height: FloatArray, nodes: FloatArray) -> FloatArray:
    """Distance from the axis of one meridian (ring + 1, 3) at falling heights; beyond its ends that of the end."""
    radius = np.hypot(nodes[:, 0], nodes[:, 1])
    read: FloatArray = np.interp(-height, np.maximum.accumulate(-nodes[:, 2]), radius)
    return read


def _at(angle_deg: FloatArray, columns: FloatArray) -> FloatArray:
    """Columns that stand at even angles from 0 on, read in between: (slice, column) to (slice, angle)."""
    n = columns.shape[1]
    place = angle_deg / 360 * n
    low = np.floor(place).astype(int)
    part = place - low
    read: FloatArray = columns[:, low % n] * (1 - part) + columns[:, (low + 1) % n] * part
    return read


def _maximum(volume: Volume, points_mm: FloatArray) -> FloatArray:
    """Highest count along each ray (..., step, 3), by a cubic spline; NaN where the image does not show all of it."""
    from scipy.ndimage import map_coordinates

    array = np.asarray(volume.array, np.float64)
    known = np.isfinite(array)
    index = volume.grid.to_index(points_mm)
    at = np.moveaxis(index, -1, 0)
    values = map_coordinates(np.where(known, array, 0.0), at, order=3, mode="mirror")
    seen = ((index >= 0) & (index <= np.asarray(volume.grid.shape) - 1)).all(axis=(-1, -2))
    if not known.all():
        seen &= map_coordinates((~known).astype(np.float32), at, order=1, mode="nearest").max(axis=-1) < 0.01
    highest: FloatArray = np.where(seen, values.max(axis=-1), np.nan)
    return highest
