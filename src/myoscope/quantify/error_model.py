"""Shapes of the intervals that are calibrated on virtual patients; their constants stand in `interval_constants.py`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from myoscope.core.geometry import FloatArray

_Z = 1.96
_USUAL_FWHM_MM, _USUAL_VOLUME_ML, _USUAL_NOISE = 15.0, 100.0, 0.1
_LEAST_VOLUME_ML = 5.0


@dataclass(frozen=True, slots=True)
class ErrorModel:
    """Mean and spread of an error: of the logarithm of measured over true volume, or of EF in points.

    mean = bias + bias_by_softness ln(fwhm / 15 mm) + bias_by_size ln(volume / 100 mL)
    spread = base (fwhm / 15 mm)^by_softness (volume / 100 mL)^by_size (1 + (noise / 0.1)^2 by_noise)^0.5

    Both are averages over cameras; ``volume`` is the measured one; ``factor`` is the width in spreads of the 95 %
    interval. Beyond ``known_fwhm_mm`` and ``known_volume_mL`` (least and greatest of what it was solved on) nothing is
    known: there it goes on as at the end.
    """

    bias: float
    base: float
    by_softness: float
    by_size: float
    by_noise: float
    factor: float = _Z
    bias_by_softness: float = 0.0
    bias_by_size: float = 0.0
    known_fwhm_mm: tuple[float, float] = (1.0, 100.0)
    known_volume_mL: tuple[float, float] = (_LEAST_VOLUME_ML, 1000.0)

    def mean(self, *, fwhm_mm: ArrayLike, volume_mL: ArrayLike) -> FloatArray:
        """Error to expect; arguments broadcast."""
        softness, size = self._relative(fwhm_mm, volume_mL)
        expected: FloatArray = self.bias + self.bias_by_softness * np.log(softness) + self.bias_by_size * np.log(size)
        return expected

    def spread(self, *, fwhm_mm: ArrayLike, volume_mL: ArrayLike, noise: ArrayLike = _USUAL_NOISE) -> FloatArray:
        """Standard deviation to expect; arguments broadcast."""
        softness, size = self._relative(fwhm_mm, volume_mL)
        noisy = np.sqrt(1 + self.by_noise * (np.asarray(noise, np.float64) / _USUAL_NOISE) ** 2)
        expected: FloatArray = self.base * softness**self.by_softness * size**self.by_size * noisy
        return expected

    def interval(
        self, measured: float, *, fwhm_mm: float, volume_mL: float, relative_noise: float | None
    ) -> tuple[float, float]:
        """95 % interval of the truth, in what the error is told in (logarithms or points); usual noise if not known."""
        noise = _USUAL_NOISE if relative_noise is None else relative_noise
        width = self.factor * float(self.spread(fwhm_mm=fwhm_mm, volume_mL=volume_mL, noise=noise))
        middle = measured - float(self.mean(fwhm_mm=fwhm_mm, volume_mL=volume_mL))
        return min(middle - width, measured), max(middle + width, measured)

    def _relative(self, fwhm_mm: ArrayLike, volume_mL: ArrayLike) -> tuple[FloatArray, FloatArray]:
        softness = np.clip(np.asarray(fwhm_mm, np.float64), *self.known_fwhm_mm)
        return softness / _USUAL_FWHM_MM, np.clip(
            np.asarray(volume_mL, np.float64), *self.known_volume_mL
        ) / _USUAL_VOLUME_ML


@dataclass(frozen=True, slots=True)
class DrawCalibration:
    """How drawn figures become an interval.

    ``unbias`` is the share of their excess over the measured one that is taken away, ``below`` and ``above`` the
    standard deviations to either side, ``least`` the least standard deviation that is believed; ``relative`` times the
    measured figure is added to it in quadrature: what draws of a map that stays in place do not show.
    """

    unbias: float
    below: float
    above: float
    least: float
    relative: float = 0.0


@dataclass(frozen=True, slots=True)
class NoiseAddition:
    """How a statistic that noise adds most of, tells what it would be without noise.

    ``low`` and ``high`` are lines (at a measured value of 0, per unit of it) between which 95 % of the values without
    noise lie, at ordinary noise and more. ``usual_spread`` is the spread of drawn figures from which on noise is
    ordinary; with less, the lines move towards the measured value in proportion.
    """

    low: tuple[float, float]
    high: tuple[float, float]
    usual_spread: float
