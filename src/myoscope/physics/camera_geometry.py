"""Where the detectors of a camera stand: what a projector needs to know besides the image.

A parallel-hole camera is described by its projections (angle, radius, pixel) and its collimator. The two dedicated
cameras stand in layouts of their own, found here by the name that their projections carry as ``collimator``. Both
are *generic*: built from published dimensions where there are any, and from plain choices where the manufacturer
keeps them; neither is a model of a product.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.physics.collimator import Collimator

GENERIC_19_PINHOLE, GENERIC_COLUMNS = "generic 19-pinhole", "generic columns"
# 5 mm of cadmium zinc telluride: photons stopped, less those whose charge is lost on the way to the pixel.
_EFFICIENCY_CZT = 0.75
_MU_TUNGSTEN_PER_MM = 3.6  # near 140 keV
_FINE_HOLE_MM = 0.5


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

    def sharp(self) -> PinholeGeometry:
        """The same camera as if its holes let as much through without blurring."""
        finer = _FINE_HOLE_MM / self.aperture_mm
        return replace(self, aperture_mm=_FINE_HOLE_MM, efficiency=self.efficiency / finer**2)

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
    distance_mm, field_mm, pixel_mm, n_pixels = 160.0, 190.0, 2.46, 32
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


@dataclass(frozen=True, slots=True)
class ColumnGeometry:
    """Narrow parallel-hole columns that swivel in place, each sweeping across the heart.

    Column c stands at ``distance_mm`` from the centre of the field of view at ``azimuth_deg[c]`` and turns through
    ``swivel_deg`` either side of looking at the centre. A view is one column at one position, columns first: view
    = column * positions + position. ``detector_shape`` is (v, u) pixels of one column.
    """

    name: str
    azimuth_deg: tuple[float, ...]
    swivel_deg: tuple[float, ...]
    distance_mm: float
    pixel_mm: float
    detector_shape: tuple[int, int]
    collimator: Collimator

    def __post_init__(self) -> None:
        if not self.azimuth_deg or not self.swivel_deg or max(np.abs(self.swivel_deg)) >= 90:
            raise InvalidValue("a column camera has columns, and positions of less than 90 degrees to either side")
        if min(self.distance_mm, self.pixel_mm, *self.detector_shape) <= 0:
            raise InvalidValue(f"the lengths of a column camera are positive, got {self}")

    @property
    def n_views(self) -> int:
        return len(self.azimuth_deg) * len(self.swivel_deg)

    @property
    def position(self) -> NDArray[np.int64]:
        """Which swivel position a view belongs to; all columns take the same one at the same time."""
        return np.tile(np.arange(len(self.swivel_deg)), len(self.azimuth_deg))

    @property
    def angle_deg(self) -> FloatArray:
        """Detector angle of every view, as DICOM counts it."""
        angles: FloatArray = np.add.outer(np.asarray(self.azimuth_deg), np.asarray(self.swivel_deg)).ravel()
        return angles

    @property
    def radius_mm(self) -> FloatArray:
        """Distance of the collimator's face from the centre along each view's direction."""
        return np.tile(self.distance_mm * np.cos(np.radians(self.swivel_deg)), len(self.azimuth_deg))

    @property
    def u_centre_mm(self) -> FloatArray:
        """Where the middle of the column lies along u, the centre of the field of view being at 0."""
        return np.tile(self.distance_mm * np.sin(np.radians(self.swivel_deg)), len(self.azimuth_deg))


def generic_columns() -> ColumnGeometry:
    """A heart camera of nine swivelling columns over a 90-degree arc at the left front of the chest.

    Published for such a camera: nine columns over 90 degrees, 16 x 64 pixels of 2.46 mm each, square tungsten holes
    registered to the pixels (their length of 21.7 mm is quoted, not confirmed), columns turning together, centred
    on the heart. Chosen here: their distance, and 12 positions per sweep over a region of 75 mm round the centre
    where the product has many more.
    """
    distance_mm, reach_mm, n_positions = 150.0, 75.0, 12
    most = float(np.degrees(np.arcsin(reach_mm / distance_mm)))
    return ColumnGeometry(
        name=GENERIC_COLUMNS,
        azimuth_deg=tuple(90.0 + 11.25 * n for n in range(9)),
        swivel_deg=tuple(float(s) for s in np.linspace(-most, most, n_positions)),
        distance_mm=distance_mm,
        pixel_mm=2.46,
        detector_shape=(64, 16),
        collimator=Collimator(
            GENERIC_COLUMNS,
            2.26,
            0.20,
            21.7,
            holes="square",
            gap_mm=2.5,
            intrinsic_fwhm_mm=2.46,
            efficiency=_EFFICIENCY_CZT,
            mu_per_mm=_MU_TUNGSTEN_PER_MM,
            pixelated=True,
        ),
    )


def geometry_named(name: str | None) -> PinholeGeometry | ColumnGeometry | None:
    """The layout that goes by this name, or None for cameras that need none (parallel holes on an orbit)."""
    known = (name or "").strip().lower()
    if known == GENERIC_19_PINHOLE:
        return generic_19_pinhole()
    return generic_columns() if known == GENERIC_COLUMNS else None
