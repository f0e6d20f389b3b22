"""Where the detectors of a camera stand: what a projector needs to know besides the image.

A parallel-hole camera is described by its projections (angle, radius, pixel) and its collimator. The two dedicated
cameras stand in layouts of their own, found here by the name that their projections carry as ``collimator``. Both
are *generic*: built from published dimensions where there are any, and from plain choices where the manufacturer
keeps them; neither is a model of a product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray

GENERIC_19_PINHOLE = "generic 19-pinhole"
# 5 mm of cadmium zinc telluride: photons stopped, less those whose charge is lost on the way to the pixel.
_EFFICIENCY_CZT = 0.75


@dataclass(frozen=True, slots=True)
class PinholeGeometry:
    """Pinholes that look at one point, each with its own detector; nothing moves.

    Pinhole n stands at ``distance_mm`` from the centre of the field of view (the origin of the patient frame),
    at ``azimuth_deg[n]`` (DICOM detector angle: 0 = patient's back, 90 = left, 180 = front) and ``elevation_deg[n]``
    towards the head; its detector, ``focal_mm`` behind it, is perpendicular to the line to the centre. Rows run to
    the feet, columns as in a parallel view from that azimuth: the pinhole's inversion is undone.

    ``aperture_mm`` is the effective diameter of a hole, ``efficiency`` the share of the photons arriving at a
    detector that is counted in the photopeak window.
    """

    name: str
    azimuth_deg: tuple[float, ...]
    elevation_deg: tuple[float, ...]
    distance_mm: float
    focal_mm: float
    aperture_mm: float
    pixel_mm: float
    detector_shape: tuple[int, int]
    efficiency: float

    def __post_init__(self) -> None:
        if len(self.azimuth_deg) != len(self.elevation_deg) or not self.azimuth_deg:
            raise InvalidValue("every pinhole needs an azimuth and an elevation")
        if min(self.distance_mm, self.focal_mm, self.aperture_mm, self.pixel_mm, *self.detector_shape) <= 0:
            raise InvalidValue(f"the lengths of a pinhole camera are positive, got {self}")

    @property
    def n_views(self) -> int:
        return len(self.azimuth_deg)

    @property
    def towards_detector(self) -> FloatArray:
        """Unit vectors from the centre to the pinholes, shape (view, 3)."""
        phi, up = np.radians(self.azimuth_deg), np.radians(self.elevation_deg)
        vectors: FloatArray = np.stack([np.sin(phi) * np.cos(up), np.cos(phi) * np.cos(up), np.sin(up)], axis=1)
        return vectors

    @property
    def along_u(self) -> FloatArray:
        """Unit vectors of detector columns, shape (view, 3)."""
        phi = np.radians(self.azimuth_deg)
        vectors: FloatArray = np.stack([-np.cos(phi), np.sin(phi), np.zeros_like(phi)], axis=1)
        return vectors

    @property
    def along_v(self) -> FloatArray:
        """Unit vectors of detector rows (towards the feet), shape (view, 3)."""
        vectors: FloatArray = -np.cross(self.towards_detector, self.along_u)
        return vectors


def generic_19_pinhole() -> PinholeGeometry:
    """A stationary heart camera of 19 pinholes: 9 in the plane of the heart, 5 above and 5 below it.

    Published for such a camera: the number of holes and how they share the planes, effective apertures of 5.1 mm,
    32 x 32 pixels of 2.46 mm behind each, a useful field of view of 190 mm. The positions are not published; here
    the central nine stand every 22.5 degrees from 45 right anterior to 45 left posterior, the others every 36
    degrees at 30 degrees of elevation. Their distance is chosen so that the sensitivity fits patients' counts, the
    focal length so that the detector covers the field of view.
    """
    central = tuple(225.0 - 22.5 * n for n in range(9))
    oblique = tuple(207.0 - 36.0 * n for n in range(5))
    distance_mm, field_mm, pixel_mm, n_pixels = 145.0, 190.0, 2.46, 32
    return PinholeGeometry(
        name=GENERIC_19_PINHOLE,
        azimuth_deg=(*central, *oblique, *oblique),
        elevation_deg=(*(0.0,) * 9, *(30.0,) * 5, *(-30.0,) * 5),
        distance_mm=distance_mm,
        focal_mm=distance_mm * n_pixels * pixel_mm / field_mm,
        aperture_mm=5.1,
        pixel_mm=pixel_mm,
        detector_shape=(n_pixels, n_pixels),
        efficiency=_EFFICIENCY_CZT,
    )
