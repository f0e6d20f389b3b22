"""Hot liver, bowel or stomach beside the heart: how hot, how near, and which part of the wall it touches.

Activity next to the wall spills into it and hides a defect, or, through the scaling to the hottest point and through
ramp filters, makes one. Every cell of the wall is looked out of along its normal, to 30 mm outside the epicardium: what
rises again after the wall's own blur has fallen, and anything that lies beyond that blur, is something else. It is
compared with the wall's usual counts (median of the polar map's upper half). The septum looks into the right ventricle,
whose wall lies there by nature: it is held to a higher bar. Thresholds are ours. In noisy images of 17 virtual patients
the highest count and the share of the wall that is touched followed those of an image without a heart (r = 0.98).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from myoscope.core import SEGMENTS_17, Flag, GeometryMismatch, InvalidValue, PolarMap, Surfaces, Volume
from myoscope.core.geometry import FloatArray

_FROM_MM, _TO_MM, _STEP_MM = 4.0, 30.0, 2.0  # from the epicardium
_CLEAR_MM = 14.0  # beyond this the wall's own blur is gone, at the resolution and breathing of any camera
_RISE = 0.2  # of the wall's counts: nearer than that, only what rises again is something else
_HOT, _VERY_HOT = 0.5, 0.9  # of the wall's counts
_SEPTUM_HOT = 0.8
_NEAR_MM = 14.0  # within the blur of most cameras
_TOUCHED_SHARE = 0.02  # of the wall
_SEPTAL = (2, 3, 8, 9, 14)


@dataclass(frozen=True, eq=False, slots=True)
class ExtracardiacActivity:
    """What lies beside the wall.

    ``beside`` (a polar map) is the highest count within 30 mm outside of every cell, over the wall's usual counts;
    ``distance_mm`` (ring, angle) how far from the epicardium it begins. ``hottest`` is the highest of all
    cells that are judged, ``nearest_mm`` the shortest way from the wall to something hot (NaN: nothing is hot).
    ``touched_percent`` is the share of the wall with something hot beside it, ``segments`` the numbers of the segments
    that have most of it.
    """

    beside: PolarMap
    distance_mm: FloatArray
    hottest: float
    nearest_mm: float
    touched_percent: float
    segments: tuple[int, ...]

    def flag(self) -> Flag | None:
        """What a reader should know; None if nothing hot touches the wall."""
        if self.touched_percent < 100 * _TOUCHED_SHARE or not self.segments:
            return None
        names = [SEGMENTS_17[number - 1].name for number in self.segments]
        serious = self.hottest >= _VERY_HOT and self.nearest_mm <= _NEAR_MM
        return Flag(
            "extracardiac_activity",
            f"Activity of up to {100 * self.hottest:.0f} % of the wall's lies {self.nearest_mm:.0f} mm beside it "
            f"({', '.join(names[:3])}{' and more' if len(names) > 3 else ''}); counts there may be too high "
            "or too low.",
            "warning" if serious else "info",
            {
                "hottest_over_wall": round(self.hottest, 2),
                "distance_mm": round(self.nearest_mm, 1),
                "touched_percent": round(self.touched_percent, 1),
                "segments": list(self.segments),
            },
        )


def extracardiac_activity(volume: Volume, surfaces: Surfaces, polar_map: PolarMap) -> ExtracardiacActivity:
    """Look out of the wall of an ungated image; ``polar_map`` holds the same image's counts on the same surfaces.

    Raises
    ------
    InvalidValue
        If image or surfaces are gated, or the wall holds no counts.
    GeometryMismatch
        If surfaces and map have different cells.
    """
    from scipy.ndimage import map_coordinates, uniform_filter

    if volume.frame_axis is not None or surfaces.epi_mm.ndim != 3:
        raise InvalidValue("the surroundings are looked at in the ungated image")
    if polar_map.value.shape != (surfaces.n_rings, surfaces.n_angles):
        raise GeometryMismatch("surfaces and polar map have different rings or angles")
    seen = polar_map.value[np.isfinite(polar_map.value)]
    usual = float(np.median(seen[seen >= np.median(seen)])) if seen.size else 0.0
    if not usual > 0:
        raise InvalidValue("a wall without counts has nothing to be compared with")
    endo, epi = (_centres(nodes) for nodes in (surfaces.endo_mm, surfaces.epi_mm))
    outward = epi - endo
    outward /= np.maximum(np.linalg.norm(outward, axis=-1, keepdims=True), 1e-9)
    distance = np.arange(_FROM_MM, _TO_MM + _STEP_MM / 2, _STEP_MM)
    points = epi[..., None, :] + distance[:, None] * outward[..., None, :]
    index = volume.grid.to_index(points)
    array = np.nan_to_num(np.asarray(volume.array, np.float64))
    values = map_coordinates(array, np.moveaxis(index, -1, 0), order=1, mode="constant") / usual
    # Over about a square centimetre: single voxels are noise.
    values = uniform_filter(np.pad(values, ((0, 0), (1, 1), (0, 0)), mode="wrap"), (3, 3, 1), mode="nearest")[:, 1:-1]
    lowest = np.minimum.accumulate(values, axis=-1)
    other = np.where((values > lowest + _RISE) | (distance >= _CLEAR_MM), values, 0.0)
    beside = other.max(axis=-1)
    # It begins half-way up from the valley between it and the wall.
    upto = np.arange(distance.size) <= other.argmax(axis=-1)[..., None]
    valley = np.where(upto, values, np.inf).argmin(axis=-1)
    half = 0.5 * (np.take_along_axis(values, valley[..., None], axis=-1) + beside[..., None])
    begins_mm = distance[((np.arange(distance.size) >= valley[..., None]) & (values >= half)).argmax(axis=-1)]
    septal = np.isin(polar_map.segment, _SEPTAL)
    hot = beside >= np.where(septal, _SEPTUM_HOT, _HOT)
    w = polar_map.weights("surface")
    judged = np.where(septal & ~hot, 0.0, beside)
    by_segment = np.bincount(polar_map.segment.ravel().astype(int) - 1, (w * hot).ravel(), len(SEGMENTS_17))
    order = np.argsort(-by_segment, kind="stable")
    touched = [int(n) + 1 for n in order if by_segment[n] > 0.1 * by_segment.max()] if hot.any() else []
    return ExtracardiacActivity(
        beside=polar_map.like(beside, "highest count beside the wall over the wall's", unit="of the wall's counts"),
        distance_mm=np.where(beside > 0, begins_mm, np.nan),
        hottest=float(judged.max()),
        nearest_mm=float(begins_mm[hot].min()) if hot.any() else float("nan"),
        touched_percent=float(100 * (w * hot).sum()),
        segments=tuple(touched),
    )


def _centres(nodes: FloatArray) -> FloatArray:
    following = np.roll(nodes, -1, axis=1)
    centres: FloatArray = 0.25 * (nodes[:-1] + nodes[1:] + following[:-1] + following[1:])
    return centres
