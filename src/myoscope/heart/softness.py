"""Whether an image is too soft to tell the wall's thickness: edges that the camera does not explain.

A still wall seen through the camera's resolution has edges of a known steepness. In people the wall breathes and beats,
reconstructions are smoothed, the edges are softer and the image of the wall is wider than the wall: over the 53
outlined scans of a NM 530c its half-height width is 18 to 20 mm, whatever the patient. From such an image thickness
cannot be measured, nor from any whose resolution is coarser than the wall.
"""

from __future__ import annotations

import numpy as np

from myoscope.core import Surfaces, Volume
from myoscope.core.geometry import FloatArray

_SOFT = 1.22
"""Edges this much softer than the resolution allows are taken for motion. On noisy still phantoms whose resolution
is within 10 % of the assumed one the ratio reaches 1.21 (24 of `random_phantom`, three gated ones); on 55 real scans of
one camera it runs from 1.23 to 1.72, median 1.45. The gap is narrow."""
_TOO_COARSE_MM = 10.0
"""Coarser than this, half of a wall's width is blur, and a tenth of error in the one is millimetres in the other
(docs/validation/surfaces.md)."""

_STEP_MM = 0.5
_REACH_MM = 26.0


def is_soft(volume: Volume, surfaces: Surfaces, *, resolution_fwhm_mm: float) -> bool:
    """Whether the thickness of this wall, fitted with this resolution, cannot be believed; ungated images.

    The outer edge is read from profiles along the wall's normals between a quarter and four fifths of its length: the
    distance over which counts fall from 85 % to 15 % of the step between wall and surroundings, compared with that of a
    slab of the fitted thickness seen at the stated resolution.
    """
    if resolution_fwhm_mm > _TOO_COARSE_MM:
        return True
    measured = _edge_mm(_outward_profile(volume, surfaces))
    expected = _edge_mm(_slab(float(np.median(surfaces.thickness_mm)), resolution_fwhm_mm))
    return measured / expected > _SOFT


def _outward_profile(volume: Volume, surfaces: Surfaces) -> FloatArray:
    """Median over the wall of counts from their maximum outward, the maximum scaled to 1; every half mm."""
    from scipy.ndimage import map_coordinates, uniform_filter

    rows = slice(surfaces.n_rings // 4, (4 * surfaces.n_rings) // 5)
    normal = surfaces.epi_mm[rows] - surfaces.endo_mm[rows]
    normal = normal / np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-6)
    depth = np.arange(-10.0, _REACH_MM + 10.0, _STEP_MM)
    points = surfaces.mid_mm[rows][..., None, :] + depth[:, None] * normal[..., None, :]  # (ring, angle, depth, 3)
    array = np.nan_to_num(np.asarray(volume.array, np.float64))
    counts = map_coordinates(array, np.moveaxis(volume.grid.to_index(points), -1, 0), order=1, mode="nearest")
    # Neighbours are averaged first: the maximum of a noisy profile is neither where nor as high as the wall's.
    counts = uniform_filter(counts, size=(7, 9, 1), mode=("nearest", "wrap", "nearest"))
    peak = np.where(np.abs(depth) <= 8.0, counts, -np.inf).argmax(axis=-1)
    index = np.minimum(peak[..., None] + np.arange(int(_REACH_MM / _STEP_MM)), depth.size - 1)
    outward = np.take_along_axis(counts, index, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = outward / outward[..., :1]
    profile: FloatArray = np.nanmedian(scaled, axis=(0, 1))
    return profile


def _slab(thickness_mm: float, fwhm_mm: float) -> FloatArray:
    """The same profile of a flat slab through a Gaussian, from its middle outward."""
    from scipy.special import erf

    depth = np.arange(0, _REACH_MM, _STEP_MM)
    scale = fwhm_mm / (2 * np.sqrt(np.log(2)))
    blurred = erf((depth + thickness_mm / 2) / scale) - erf((depth - thickness_mm / 2) / scale)
    profile: FloatArray = blurred / blurred[0]
    return profile


def _edge_mm(profile: FloatArray) -> float:
    """Distance in mm from 85 % to 15 % of the height above the lowest value outside."""
    floor = float(profile.min())
    height = (profile - floor) / max(1.0 - floor, 1e-9)

    def reach(level: float) -> float:
        beyond = int(np.argmax(height < level))
        before = height[beyond - 1]
        return float((beyond - 1 + (before - level) / max(before - height[beyond], 1e-9)) * _STEP_MM)

    return reach(0.15) - reach(0.85)
