"""Parallel-hole collimators: what a detector sees of a point, how sharply and how often.

Holes of diameter d between septa t, of length L in lead (Anger's formulas):

    Le    = L - 2 / mu                         septa are a little transparent at the hole's ends
    Rg(z) = d (Le + z + B) / Le                geometric FWHM at z from the face, B behind the collimator
    Rs(z) = sqrt(Rg^2 + Ri^2)                  with the intrinsic resolution of the detector
    g     = K^2 (d / Le)^2 (d / (d + t))^2     share of all photons that passes, whatever the distance

K = 0.26 for hexagonal, 0.28 for square and 0.24 for round holes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray

_PACKING = {"hexagonal": 0.26, "square": 0.28, "round": 0.24}
_MU_LEAD_PER_MM = 2.692  # at 140.5 keV
# Mass attenuation coefficients of lead in cm2/g (NIST), on both sides of its K edge.
_LEAD_KEV = (50.0, 60.0, 80.0, 88.0, 88.01, 100.0, 150.0, 200.0, 300.0)
_LEAD_CM2_G = (8.041, 5.021, 2.419, 1.910, 7.683, 5.549, 2.014, 0.9985, 0.4031)
_REFERENCE_KEV = 140.5
_FWHM_PER_SIGMA = 2.3548
# A parallel-hole camera of a sodium-iodide crystal: 3.8 mm FWHM, and the share of the arriving photons that ends in
# the photopeak window. The gap (collimator to crystal, with the mean depth of interaction) is not published with the
# hole dimensions; 8 mm brings the formula to the resolution that vendors state at 10 cm.
_INTRINSIC_NAI_MM, _EFFICIENCY_NAI, _GAP_MM = 3.8, 0.84, 8.0


@dataclass(frozen=True, slots=True)
class Collimator:
    """A parallel-hole collimator with the detector behind it.

    Lengths in mm. ``gap_mm`` is the gap behind the collimator plus the mean depth of interaction,
    ``intrinsic_fwhm_mm`` the detector's own resolution, ``efficiency`` the share of the photons arriving at the
    detector that is counted in the photopeak window, ``mu_per_mm`` the attenuation of the septa; all at 140.5 keV.
    A ``pixelated`` detector resolves its pixel at any energy.
    """

    name: str
    hole_mm: float
    septum_mm: float
    length_mm: float
    holes: Literal["hexagonal", "square", "round"] = "hexagonal"
    gap_mm: float = _GAP_MM
    intrinsic_fwhm_mm: float = _INTRINSIC_NAI_MM
    efficiency: float = _EFFICIENCY_NAI
    mu_per_mm: float = _MU_LEAD_PER_MM
    pixelated: bool = False

    def __post_init__(self) -> None:
        if self.holes not in _PACKING:
            raise InvalidValue(f"holes are hexagonal, square or round, got {self.holes!r}")
        if min(self.hole_mm, self.length_mm, self.mu_per_mm) <= 0 or min(self.septum_mm, self.gap_mm) < 0:
            raise InvalidValue(f"the dimensions of a collimator are positive, got {self}")
        if self.effective_length_mm <= 0:
            raise InvalidValue(f"holes of {self.length_mm:g} mm are too short to collimate")
        if self.intrinsic_fwhm_mm < 0 or not 0 < self.efficiency <= 1:
            raise InvalidValue(f"a detector resolves 0 mm or worse and counts up to every photon, got {self}")

    @property
    def effective_length_mm(self) -> float:
        return self.length_mm - 2 / self.mu_per_mm

    @property
    def geometric_efficiency(self) -> float:
        """Share of the photons of a point source that passes the holes, g above."""
        through = self.hole_mm / self.effective_length_mm
        open_area = self.hole_mm / (self.hole_mm + self.septum_mm)
        return float((_PACKING[self.holes] * through * open_area) ** 2)

    @property
    def sensitivity(self) -> float:
        """Counts per emitted photon: geometric efficiency times the detector's."""
        return self.geometric_efficiency * self.efficiency

    def fwhm_mm(self, distance_mm: ArrayLike) -> FloatArray:
        """Resolution in air at distances from the collimator's face (0 for what lies behind it)."""
        distance = np.maximum(np.asarray(distance_mm, dtype=np.float64), 0.0)
        effective = self.effective_length_mm
        geometric = self.hole_mm * (effective + distance + self.gap_mm) / effective
        fwhm: FloatArray = np.hypot(geometric, self.intrinsic_fwhm_mm)
        return fwhm

    def at(self, energy_keV: float) -> Collimator:
        """The same camera for photons of another energy.

        Septa of lead let other energies through differently, and a crystal's light, so its resolution, goes with
        the square root of the energy; the efficiency is kept.
        """
        if not _LEAD_KEV[0] <= energy_keV <= _LEAD_KEV[-1]:
            raise InvalidValue(f"collimators are described from 50 to 300 keV, got {energy_keV:g} keV")
        if energy_keV == _REFERENCE_KEV:
            return self
        lead = [
            np.exp(np.interp(np.log(energy), np.log(_LEAD_KEV), np.log(_LEAD_CM2_G)))
            for energy in (energy_keV, _REFERENCE_KEV)
        ]
        light = 1.0 if self.pixelated else float(np.sqrt(_REFERENCE_KEV / energy_keV))
        return replace(
            self,
            mu_per_mm=self.mu_per_mm * float(lead[0] / lead[1]),
            intrinsic_fwhm_mm=self.intrinsic_fwhm_mm * light,
        )

    def sigma_mm(self, distance_mm: ArrayLike) -> FloatArray:
        """Standard deviation of the Gaussian with that resolution."""
        return self.fwhm_mm(distance_mm) / _FWHM_PER_SIGMA


# Hole diameters, septa and lengths as in the collimator data base of the SIMIND Monte Carlo program.
COLLIMATORS = {
    collimator.name: collimator
    for collimator in (
        Collimator("SY-LEHR", 1.11, 0.16, 24.05),
        Collimator("SY-LEAP", 1.45, 0.20, 24.05),
        Collimator("GE-LEHR", 1.50, 0.20, 35.00),
        Collimator("VENTRI-LEHR", 1.40, 0.15, 30.00),
        Collimator("PH-LEHR", 1.22, 0.152, 27.00),
        # Registered to cadmium-zinc-telluride pixels of 2.46 mm, whose width is the intrinsic resolution.
        Collimator("GE-CZT-670", 2.26, 0.20, 45.00, holes="square", intrinsic_fwhm_mm=2.46, pixelated=True),
    )
}
