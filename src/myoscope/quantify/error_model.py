"""Shapes of the intervals that are calibrated on virtual patients; their constants stand in `interval_constants.py`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_Z = 1.96
_USUAL_FWHM_MM, _USUAL_VOLUME_ML, _USUAL_NOISE = 15.0, 100.0, 0.1


@dataclass(frozen=True, slots=True)
class ErrorModel:
    """Mean and spread of an error: of the logarithm of measured over true volume, or of EF in points.

    spread = base (fwhm / 15 mm)^by_softness (volume / 100 mL)^by_size (1 + (noise / 0.1)^2 by_noise)^0.5; ``bias`` is
    what is left on average over the cameras; ``factor`` is the width in spreads of the 95 % interval.
    """

    bias: float
    base: float
    by_softness: float
    by_size: float
    by_noise: float
    factor: float = _Z

    def spread(self, *, fwhm_mm: float, volume_mL: float, relative_noise: float | None) -> float:
        """Standard deviation to expect."""
        noise = _USUAL_NOISE if relative_noise is None else relative_noise
        softness = (fwhm_mm / _USUAL_FWHM_MM) ** self.by_softness
        size = (max(volume_mL, 5.0) / _USUAL_VOLUME_ML) ** self.by_size
        return float(self.base * softness * size * np.sqrt(1 + self.by_noise * (noise / _USUAL_NOISE) ** 2))


@dataclass(frozen=True, slots=True)
class DrawCalibration:
    """How drawn figures become an interval: the share of their excess over the measured one that is taken away, the
    standard deviations to either side, and the least standard deviation that is believed."""

    unbias: float
    below: float
    above: float
    least: float
