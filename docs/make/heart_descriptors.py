"""What an image of a heart looks like, in a dozen numbers that can be compared between real and virtual ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from myoscope import heart
from myoscope.core import Volume

MEANING: Mapping[str, str] = {
    "azimuth_deg": "long axis, left of anterior (degrees)",
    "elevation_deg": "long axis, below the transverse plane (degrees)",
    "outlined_mL": "wall outlined as readers do (mL)",
    "wall_half_width_mm": "outer half-width of the blurred wall, peak to half maximum (mm)",
    "wall_radius_mm": "radius of the brightest ring, mid-ventricular (mm)",
    "blood_to_wall": "darkest point of the cavity over the wall",
    "outside_to_wall": "activity 16 mm outside the brightest ring over the wall, median direction",
    "septal_outside_to_wall": "the same on the septal side (right ventricle)",
    "inferior_neighbour_to_wall": "hottest 2 % below the heart (liver, gut) over the wall",
    "circumferential_cv": "variation of the wall round the mid-ventricle (SD over mean)",
    "fine_grain": "SD of what a 6-mm Gaussian removes, within the outlined wall, over the wall",
    "background_grain": "SD over mean 25 to 40 mm from the wall's outside, after removing the slow part",
    "grain_correlation": "correlation of neighbouring voxels' grain in the background",
}


def descriptors(
    volume: Volume, find: Callable[[Volume], heart.LeftVentricle] = heart.find_by_network
) -> dict[str, float]:
    """The numbers of `MEANING` for one ungated image.

    Raises
    ------
    HeartNotFound
        If ``find`` finds no heart.
    """
    image = volume.summed()
    ventricle = find(image)
    frame = ventricle.frame
    u = frame.long_axis
    short_axis = heart.resample(image, frame.short_axis_grid((61, 61, 13), spacing_mm=2.0), step="cut")
    planes = np.asarray(short_axis.array, np.float64)[:, :, 2:11:2]  # 16 mm about the centre
    radius = np.arange(0, 56, 1.0)
    angle = np.radians(np.arange(0, 360, 10.0))
    at = (30 + np.outer(np.cos(angle), radius) / 2, 30 - np.outer(np.sin(angle), radius) / 2)
    rays = np.stack(
        [ndimage.map_coordinates(planes[..., k], at, order=1) for k in range(planes.shape[2])]
    )  # plane, angle, radius
    within = rays[..., 10:46]
    peak, where = within.max(-1), within.argmax(-1) + 10
    wall = float(np.median(peak))
    beyond = np.arange(radius.size) >= where[..., None]
    below_half = beyond & (rays < 0.5 * peak[..., None])
    reached = below_half.any(-1)
    half_width = np.where(reached, below_half.argmax(-1) - where, np.nan)
    outside = np.take_along_axis(rays, np.minimum(where + 16, radius.size - 1)[..., None], -1)[..., 0]
    septal = (np.degrees(angle) > 150) & (np.degrees(angle) < 210)
    mean_ring = peak.mean(0)

    array = np.asarray(image.array, np.float64)
    spacing = image.grid.spacing_mm
    slow = ndimage.gaussian_filter(array, 6.0 / 2.3548 / spacing)
    grain = array - slow
    mask = np.asarray(ventricle.wall.array, bool)
    distance = ndimage.distance_transform_edt(~mask, sampling=spacing)
    ring = (distance > 25) & (distance < 40)
    points = image.grid.points_mm() - frame.centre_mm
    below = (points[..., 2] < -30) & (points[..., 2] > -80) & (np.abs(points[..., :2]) < 70).all(-1)
    background = grain[ring]
    return {
        "azimuth_deg": float(np.degrees(np.arctan2(u[0], -u[1]))),
        "elevation_deg": float(np.degrees(np.arcsin(-u[2]))),
        "outlined_mL": float(mask.sum() * image.grid.voxel_volume_mL),
        "wall_half_width_mm": float(np.nanmedian(half_width)),
        "wall_radius_mm": float(np.median(where)),
        "blood_to_wall": float(np.median(rays[..., :12].min(-1)) / wall),
        "outside_to_wall": float(np.median(outside) / wall),
        "septal_outside_to_wall": float(np.median(outside[:, septal]) / wall),
        "inferior_neighbour_to_wall": _percentile(array[below], 98) / wall,
        "circumferential_cv": float(mean_ring.std() / mean_ring.mean()),
        "fine_grain": float(grain[mask].std() / wall),
        "background_grain": float(background.std() / array[ring].mean()),
        "grain_correlation": _neighbour_correlation(grain, ring),
    }


def _percentile(values: NDArray[np.float64], percent: float) -> float:
    return float(np.percentile(values, percent)) if values.size else float("nan")


def _neighbour_correlation(grain: NDArray[np.float64], inside: NDArray[np.bool_]) -> float:
    both = inside[1:] & inside[:-1]
    if both.sum() < 10:
        return float("nan")
    return float(np.corrcoef(grain[1:][both], grain[:-1][both])[0, 1])
