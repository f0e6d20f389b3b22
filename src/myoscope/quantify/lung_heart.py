"""Lung to heart ratio: counts of the left lung above the heart over those of the hottest myocardium, in planar views.

Tracer stays in lungs whose veins stand under pressure. As in the clinic: in the views from the front of a turning
camera, the mean counts of a square in the left lung above the heart, at least two pixels away from it, over the mean
of the hottest square of the same view's myocardium. Other tissues lie over both; upper limits in use (about 0.45 for
technetium agents, 0.50 to 0.54 for thallium) belong to their own way of drawing the squares, none is applied here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from myoscope.core import InvalidValue, Projections, Surfaces
from myoscope.core.geometry import FloatArray
from myoscope.physics.camera_geometry import geometry_named
from myoscope.quantify.field_of_view import on_detector_mm

_ANTERIOR_DEG, _LEFT_ANTERIOR_DEG = 180.0, 135.0
_WITHIN_DEG = 12.0
_GAP_PIXELS = 2
_LUNG_MM, _HEART_MM = 40.0, 20.0  # sides of the squares
_LEAST_LUNG_MM = 18.0
_LEAST_COUNTS = 100.0


@dataclass(frozen=True, slots=True)
class LungHeartRatio:
    """Mean counts per pixel of lung and hottest myocardium, and their ratio with its noise.

    ``lung_counts`` and ``heart_counts`` are means over ``n_views`` views about ``angle_deg`` (detector angle; 180 =
    from the front). ``ratio_sd`` is the standard deviation that counting alone gives.
    """

    lung_counts: float
    heart_counts: float
    ratio_sd: float
    n_views: int
    angle_deg: float

    @property
    def ratio(self) -> float:
        return self.lung_counts / self.heart_counts


def lung_heart_ratio(projections: Projections, surfaces: Surfaces, *, window: int = 0) -> LungHeartRatio:
    """Lung to heart ratio of one acquisition, gates added up, with the heart found in its image.

    Views from the front are taken, or from left anterior where there is none from the front.

    Raises
    ------
    InvalidValue
        For cameras without planar views, if no view looks from the front, if the field of view ends too close above
        the heart, or if there are hardly any counts.
    """
    if geometry_named(projections.collimator) is not None:
        raise InvalidValue(
            "a camera of this layout takes no planar views of the chest; there is no lung to heart ratio"
        )
    angles = np.mod(projections.angle_deg, 360)
    for middle in (_ANTERIOR_DEG, _LEFT_ANTERIOR_DEG):
        chosen = np.flatnonzero(np.abs(angles - middle) <= _WITHIN_DEG)
        if chosen.size:
            break
    else:
        raise InvalidValue("no view was taken from the front or from left anterior; there is no lung to heart ratio")
    counts = np.asarray(projections.counts[window], np.float64).sum(axis=0)[chosen]
    epi = surfaces.epi_mm if surfaces.epi_mm.ndim == 3 else surfaces.epi_mm[0]
    mid = surfaces.mid_mm if surfaces.mid_mm.ndim == 3 else surfaces.mid_mm[0]
    shape, pixel = counts.shape[1:], projections.pixel_mm[::-1]
    outline = _pixels(on_detector_mm(projections, epi.reshape(-1, 3))[chosen], shape, pixel)
    wall = _pixels(on_detector_mm(projections, mid.reshape(-1, 3))[chosen], shape, pixel)
    lungs, hearts, lung_pixels, heart_pixels = [], [], 0, 0
    for view, around, within in zip(counts, outline, wall, strict=True):
        square = _lung_square(around, shape, pixel)
        lungs.append(float(view[square].mean()))
        lung_pixels += view[square].size
        hottest, size = _hottest_square(view, within, pixel)
        hearts.append(hottest)
        heart_pixels += size
    lung, heart = float(np.mean(lungs)), float(np.mean(hearts))
    if not heart * heart_pixels >= _LEAST_COUNTS:
        raise InvalidValue("the views hold hardly any counts where the heart is; there is no lung to heart ratio")
    relative = np.sqrt(1 / max(lung * lung_pixels, 1.0) + 1 / (heart * heart_pixels))
    return LungHeartRatio(lung, heart, lung / heart * float(relative), int(chosen.size), middle)


def _pixels(place_mm: FloatArray, shape: tuple[int, ...], pixel_mm: tuple[float, ...]) -> FloatArray:
    """Millimetres on the detector (view, point, 2) to fractional pixels (v, u)."""
    pixels: FloatArray = place_mm / np.asarray(pixel_mm) + (np.asarray(shape) - 1) / 2
    return pixels


def _lung_square(outline: FloatArray, shape: tuple[int, ...], pixel_mm: tuple[float, ...]) -> tuple[slice, slice]:
    """Rows end two pixels above the heart; columns lie over its left (lateral) half, where the left lung is."""
    top = int(np.floor(outline[:, 0].min())) - _GAP_PIXELS
    height = min(round(_LUNG_MM / pixel_mm[0]), top)
    if height * pixel_mm[0] < _LEAST_LUNG_MM:
        raise InvalidValue("the field of view ends too close above the heart to show the lung there")
    # Columns run to the patient's left in views from the front.
    middle, left = float(np.median(outline[:, 1])), float(outline[:, 1].max())
    width = round(_LUNG_MM / pixel_mm[1])
    first = int(np.clip(round((middle + left) / 2 - width / 2), 0, shape[1] - width))
    return slice(top - height, top), slice(first, first + width)


def _hottest_square(view: FloatArray, wall: FloatArray, pixel_mm: tuple[float, ...]) -> tuple[float, int]:
    """Mean of the hottest square that is centred on the projected wall, and its number of pixels."""
    from scipy.ndimage import uniform_filter

    size = tuple(max(1, round(_HEART_MM / mm)) for mm in pixel_mm)
    means = uniform_filter(view, size, mode="constant")
    on_wall: NDArray[np.bool_] = np.zeros(view.shape, bool)
    at = np.rint(wall).astype(int)
    inside = ((at >= 0) & (at < np.asarray(view.shape))).all(axis=1)
    on_wall[tuple(at[inside].T)] = True
    hottest = float(means[on_wall].max()) if on_wall.any() else 0.0
    return hottest, int(np.prod(size))
