"""Did the camera see all of the heart? The wall against the edges of the detector and of the image.

A wall that leaves a view loses its counts there, and the image shows a defect that is none. The survey of projections
looks at the body, whose truncation matters less; this looks at the heart, once it has been found.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from myoscope.core import Flag, InvalidValue, Projections, Surfaces, Volume
from myoscope.core.geometry import FloatArray
from myoscope.physics.camera_geometry import ColumnGeometry, PinholeGeometry, geometry_named

_BLUR_MM = 6.0  # the wall's image reaches beyond the wall
_SOME_VIEWS, _FAR_MM = 0.1, 10.0
_LEAST_SHARE = 0.005  # of the wall outside the image


def on_detector_mm(projections: Projections, points_mm: FloatArray) -> FloatArray:
    """Where points (point, 3) of the patient (LPS mm) appear in every view, (view, point, 2), along v and u.

    In millimetres on the detector from its middle; v runs to the feet, u as the columns do. The origin of the patient
    frame is the axis of rotation in the middle row, as in the images that are reconstructed here.

    Raises
    ------
    InvalidValue
        For cameras with swivelling columns, whose views see a part of the heart each by design.
    """
    geometry = geometry_named(projections.collimator)
    if isinstance(geometry, ColumnGeometry):
        raise InvalidValue("a swivelling column sees a part of the heart in every view; its views have no common frame")
    points = np.asarray(points_mm, np.float64)
    if isinstance(geometry, PinholeGeometry):
        u, v = points @ geometry.along_u.T, points @ geometry.along_v.T
        enlarged = geometry.focal_mm / (geometry.distance_mm - points @ geometry.towards_detector.T)
        return np.stack([(v * enlarged).T, (u * enlarged).T], axis=-1)
    phi = np.radians(projections.angle_deg)
    u = -np.cos(phi)[:, None] * points[:, 0] + np.sin(phi)[:, None] * points[:, 1]
    v = np.broadcast_to(-points[:, 2], u.shape)
    return np.stack([v, u], axis=-1)


def heart_truncation(projections: Projections, surfaces: Surfaces) -> Flag | None:
    """A flag if the heart leaves the detector in some views; None if it does not, or columns swivel across it.

    The evidence holds the number of views, how far the wall reaches outside at most, and past which edge.
    """
    if isinstance(geometry_named(projections.collimator), ColumnGeometry):
        return None
    nodes = (surfaces.epi_mm if surfaces.epi_mm.ndim == 3 else surfaces.epi_mm[0])[:, ::4].reshape(-1, 3)
    place = on_detector_mm(projections, nodes)
    width, height = projections.pixel_mm
    half = np.array([projections.counts.shape[-2] * height, projections.counts.shape[-1] * width]) / 2
    beyond = np.stack([-half - place.min(axis=1), place.max(axis=1) - half], axis=1) + _BLUR_MM  # (view, side, axis)
    cut = beyond.max(axis=(1, 2)) > _BLUR_MM  # the wall itself, and not only its blur
    if not cut.any():
        return None
    worst = float(beyond.max()) - _BLUR_MM
    sides = (("head", "feet"), ("first columns", "last columns"))
    names = [sides[axis][side] for axis in (0, 1) for side in (0, 1) if (beyond[:, side, axis] > _BLUR_MM).any()]
    serious = cut.mean() > _SOME_VIEWS or worst > _FAR_MM
    return Flag(
        "heart_truncated",
        f"The heart reaches up to {worst:.0f} mm past the detector ({', '.join(names)}) in {int(cut.sum())} of "
        f"{cut.size} views; its counts are missing there and the wall may look thin or absent.",
        "warning" if serious else "info",
        {"n_views": int(cut.sum()), "beyond_mm": round(worst, 1), "edges": names},
    )


def wall_outside_image(volume: Volume, surfaces: Surfaces) -> Flag | None:
    """A flag if part of the wall lies outside the image or where it holds no number; None if all of it is seen."""
    mid = surfaces.mid_mm if surfaces.mid_mm.ndim == 3 else surfaces.mid_mm[0]
    outside = ~_seen(volume, mid)
    area = surfaces.cell_area_mm2() if surfaces.mid_mm.ndim == 3 else surfaces.cell_area_mm2()[0]
    following = np.roll(outside, -1, axis=1)
    cells = 0.25 * (outside[:-1] + 0.0 + outside[1:] + following[:-1] + following[1:])
    share = float((cells * area).sum() / area.sum())
    if share <= _LEAST_SHARE:
        return None
    return Flag(
        "wall_outside_image",
        f"{100 * share:.0f} % of the wall lies outside of what the image shows; it is missing in all results.",
        "warning",
        {"share_percent": round(100 * share, 1)},
    )


def _seen(volume: Volume, points_mm: FloatArray) -> NDArray[np.bool_]:
    image = np.asarray(volume.array if volume.frame_axis is None else volume.array[0])
    index = volume.grid.to_index(points_mm)
    inside = ((index >= -0.5) & (index <= np.asarray(volume.grid.shape) - 0.5)).all(axis=-1)
    nearest = np.clip(np.rint(index).astype(int), 0, np.asarray(volume.grid.shape) - 1)
    known = np.isfinite(image[tuple(np.moveaxis(nearest, -1, 0))])
    seen: NDArray[np.bool_] = inside & known
    return seen
