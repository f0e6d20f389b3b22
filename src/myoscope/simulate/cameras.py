"""The cameras of virtual acquisitions: detector, windows and how a patient is scanned with them.

Where their detectors stand and what they see is physics (`myoscope.physics.camera_geometry`); here are the
protocol and the detector's way with energies. Figures: photopeak of 126 to 154 keV; energy resolution 9.5 % for
sodium iodide, 5.5 % for cadmium zinc telluride (both quoted in the field as 9 to 10 and 5 to 6 %); 64 x 64 pixels
of 6.4 mm and 60 views from 45 right anterior to 45 left posterior on two heads for the conventional camera.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from myoscope.core import EnergyWindow, Grid, InvalidValue, Volume
from myoscope.core.geometry import FloatArray
from myoscope.physics.attenuation import attenuation_per_cm
from myoscope.physics.camera_geometry import (
    ColumnGeometry,
    PinholeGeometry,
    generic_19_pinhole,
    generic_columns,
)
from myoscope.physics.collimator import COLLIMATORS
from myoscope.physics.columns import column_projector
from myoscope.physics.operator import Projector
from myoscope.physics.parallel import parallel_projector
from myoscope.physics.pinhole import pinhole_projector
from myoscope.physics.scatter import EnergyResponse

_BODY_PER_CM = 0.02  # what attenuates more is patient, not air
# Orbits in whole centimetres: patients of one size share the camera's tables.
_ORBIT_MM, _ORBIT_STEP_MM = (130.0, 300.0), 10.0


@dataclass(frozen=True, slots=True)
class Emission:
    """What a nuclide sends out: energy and number of the photons imaged, and its energy windows.

    The second window lies next to the photopeak, for triple-energy-window scatter correction.
    """

    nuclide: str
    energy_keV: float
    photons_per_decay: float
    windows: tuple[EnergyWindow, EnergyWindow]

    @property
    def mu_water_per_cm(self) -> float:
        return attenuation_per_cm("water", energy_keV=self.energy_keV)


TC_99M = Emission(
    "Tc-99m", 140.5, 0.885, (EnergyWindow("photopeak", 126.0, 154.0), EnergyWindow("lower", 120.0, 126.0))
)
# The mercury x rays that follow the decay, as one line at their mean energy; 30 % window.
TL_201 = Emission("Tl-201", 72.0, 0.94, (EnergyWindow("photopeak", 61.0, 83.0), EnergyWindow("lower", 55.0, 61.0)))
EMISSIONS: Mapping[str, Emission] = MappingProxyType({"Tc-99m": TC_99M, "Tl-201": TL_201})


@dataclass(frozen=True, slots=True)
class ParallelGeometry:
    """Heads with parallel holes that turn round the patient.

    ``angle_deg`` in order of views; the heads take ``n_heads`` equal runs of consecutive views at the same time.
    ``orbit`` is circular or follows the body; ``clearance_mm`` stays between collimator and skin.
    """

    angle_deg: tuple[float, ...]
    pixel_mm: float
    detector_shape: tuple[int, int]
    collimator: str
    n_heads: int
    orbit: str = "circular"
    clearance_mm: float = 15.0

    def __post_init__(self) -> None:
        if not self.angle_deg or len(self.angle_deg) % self.n_heads:
            raise InvalidValue(f"{len(self.angle_deg)} views cannot be shared by {self.n_heads} heads")
        if self.orbit not in ("circular", "body contour") or self.collimator not in COLLIMATORS:
            raise InvalidValue(f"an orbit is circular or body contour, the collimator a known one, got {self}")


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera as a virtual patient meets it.

    ``view_duration_s`` is the usual time per view: of one stop of a turning camera, of one swivel position, or of
    the whole acquisition where nothing moves; ``step_s`` the time lost between stops.
    """

    name: str
    geometry: ParallelGeometry | PinholeGeometry | ColumnGeometry
    energy_resolution_percent: float
    view_duration_s: float
    step_s: float

    @property
    def n_views(self) -> int:
        g = self.geometry
        return len(g.angle_deg) if isinstance(g, ParallelGeometry) else g.n_views

    @property
    def collimator(self) -> str:
        """The name that projections carry, by which their geometry is found again."""
        return self.geometry.collimator if isinstance(self.geometry, ParallelGeometry) else self.geometry.name

    @property
    def pixel_mm(self) -> float:
        return self.geometry.pixel_mm

    @property
    def detector_shape(self) -> tuple[int, int]:
        return self.geometry.detector_shape

    @property
    def turns(self) -> bool:
        """Whether views are taken one after another, at long stops."""
        return isinstance(self.geometry, ParallelGeometry)

    @property
    def angle_deg(self) -> FloatArray:
        g = self.geometry
        return np.asarray(g.azimuth_deg if isinstance(g, PinholeGeometry) else g.angle_deg, dtype=np.float64)

    @property
    def towards_detector(self) -> FloatArray:
        """Unit vectors from the patient to the detector, shape (view, 3)."""
        if isinstance(self.geometry, PinholeGeometry):
            return self.geometry.towards_detector
        phi = np.radians(self.angle_deg)
        vectors: FloatArray = np.stack([np.sin(phi), np.cos(phi), np.zeros_like(phi)], axis=1)
        return vectors

    @property
    def stop(self) -> NDArray[np.int64]:
        """At which stop of the camera each view is taken."""
        g = self.geometry
        if isinstance(g, ParallelGeometry):
            return np.arange(self.n_views) % (self.n_views // g.n_heads)
        return g.position if isinstance(g, ColumnGeometry) else np.zeros(self.n_views, dtype=np.int64)

    @property
    def n_stops(self) -> int:
        return int(self.stop.max()) + 1

    def response(self) -> EnergyResponse:
        return EnergyResponse(self.energy_resolution_percent)

    def scan_s(self, view_duration_s: float) -> float:
        """Duration of the acquisition from the first count to the last."""
        return self.n_stops * view_duration_s + (self.n_stops - 1) * self.step_s

    def radius_mm(self, attenuation: Volume) -> FloatArray:
        """Distance of the detector from the centre in every view, fitted to the patient where the camera turns."""
        g = self.geometry
        if isinstance(g, PinholeGeometry):
            return np.full(self.n_views, g.distance_mm)
        if isinstance(g, ColumnGeometry):
            return g.radius_mm
        reach = _body_reach_mm(attenuation, self.towards_detector, g.detector_shape[0] * g.pixel_mm / 2)
        if g.orbit == "circular":
            reach = np.full_like(reach, reach.max())
        rounded: FloatArray = np.ceil((reach + g.clearance_mm) / _ORBIT_STEP_MM) * _ORBIT_STEP_MM
        return np.clip(rounded, *_ORBIT_MM)

    def with_views(self, n_views: int) -> Camera:
        """The same turning camera with another number of views over the same arc."""
        g = self.geometry
        if not isinstance(g, ParallelGeometry):
            raise InvalidValue(f"the number of views of the {self.name} camera is fixed")
        span = len(g.angle_deg) * (g.angle_deg[1] - g.angle_deg[0])
        middle = (g.angle_deg[0] + g.angle_deg[-1]) / 2
        angles = middle + span * ((np.arange(n_views) + 0.5) / n_views - 0.5)
        return replace(self, geometry=replace(g, angle_deg=tuple(float(a) for a in angles)))


def projector_for(
    camera: Camera,
    grid: Grid,
    *,
    attenuation: Volume | None,
    radius_mm: FloatArray,
    emission: Emission = TC_99M,
    device: str = "cpu",
) -> Projector:
    """The projector of a camera for images on ``grid``: kBq/mL in, counts per second in the photopeak out."""
    g = camera.geometry
    photons = emission.photons_per_decay
    if isinstance(g, PinholeGeometry):
        return pinhole_projector(grid, geometry=g, attenuation=attenuation, photons_per_decay=photons, device=device)
    if isinstance(g, ColumnGeometry):
        projector = column_projector(
            grid, geometry=g, attenuation=attenuation, energy_keV=emission.energy_keV, photons_per_decay=photons
        )
    else:
        projector = parallel_projector(
            grid,
            angle_deg=camera.angle_deg,
            radius_mm=radius_mm,
            pixel_mm=g.pixel_mm,
            detector_shape=g.detector_shape,
            collimator=COLLIMATORS[g.collimator],
            attenuation=attenuation,
            energy_keV=emission.energy_keV,
            photons_per_decay=photons,
        )
    return projector if device == "cpu" else projector.to(device)


def _body_reach_mm(attenuation: Volume, towards: FloatArray, half_height_mm: float) -> FloatArray:
    """How far the body reaches from the axis towards every view, within the height of the detector."""
    points = attenuation.grid.points_mm()
    seen = (np.asarray(attenuation.array) > _BODY_PER_CM) & (np.abs(points[..., 2]) < half_height_mm)
    outline = points[..., 0, :2][seen.any(axis=2)]
    if not len(outline):
        return np.full(len(towards), _ORBIT_MM[0])
    reach: FloatArray = (outline @ towards[:, :2].T).max(axis=0) + float(attenuation.grid.spacing_mm[0]) / 2
    return reach


def _orbit_views(n: int) -> tuple[float, ...]:
    """Middles of n equal steps of the 180 degrees from 45 right anterior to 45 left posterior."""
    return tuple(float(a) for a in 225.0 - 180.0 * (np.arange(n) + 0.5) / n)


CAMERAS: Mapping[str, Camera] = MappingProxyType(
    {
        camera.name: camera
        for camera in (
            Camera("conventional", ParallelGeometry(_orbit_views(60), 6.4, (64, 64), "SY-LEHR", 2), 9.5, 25.0, 2.0),
            Camera("multi-pinhole-czt", generic_19_pinhole(), 5.5, 480.0, 0.0),
            Camera("column-czt", generic_columns(), 5.5, 30.0, 0.2),
        )
    }
)
