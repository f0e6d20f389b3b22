"""Smoothing filters of nuclear medicine, with their cut-off in a named unit.

Two filters are called Butterworth (order n, cut-off fc): the amplitude form 1 / sqrt(1 + (f/fc)^(2n)), which falls to
0.707 at the cut-off, and the power form 1 / (1 + (f/fc)^(2n)), which falls to 0.5. Workstations differ in which they
mean, so neither is the default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from myoscope.core import InvalidValue, Volume
from myoscope.core.geometry import FloatArray

FrequencyUnit = Literal["cycles/pixel", "cycles/cm", "Nyquist"]
ButterworthForm = Literal["amplitude", "power"]

_FWHM_TO_SIGMA = 1 / np.sqrt(8 * np.log(2))


@dataclass(frozen=True, slots=True)
class Butterworth:
    """A low pass of the given order and cut-off, in the amplitude or the power form.

    ``unit`` says what ``cutoff`` counts: cycles per pixel, cycles per cm, or fractions of the Nyquist frequency (half
    a cycle per pixel). 0.33 cycles/pixel at 6.4 mm are 0.516 cycles/cm and 0.66 Nyquist.
    """

    order: float
    cutoff: float
    unit: FrequencyUnit
    form: ButterworthForm

    def __post_init__(self) -> None:
        if self.order <= 0:
            raise InvalidValue(f"the order of a Butterworth filter is positive, got {self.order:g}")
        if self.form not in ("amplitude", "power"):
            raise InvalidValue(f"a Butterworth filter has the form amplitude or power, not {self.form!r}")
        _check_cutoff(self.cutoff, self.unit)

    def gain(self, frequency_per_mm: ArrayLike, *, pixel_mm: float) -> FloatArray:
        """The factor by which each frequency passes, 1 at 0."""
        relative = np.abs(np.asarray(frequency_per_mm, float)) / _per_mm(self.cutoff, self.unit, pixel_mm)
        power: FloatArray = 1 / (1 + relative ** (2 * self.order))
        return np.sqrt(power) if self.form == "amplitude" else power

    def __str__(self) -> str:
        return f"Butterworth ({self.form} form), order {self.order:g}, cut-off {self.cutoff:g} {self.unit}"


@dataclass(frozen=True, slots=True)
class Gaussian:
    """A Gaussian of the given full width at half maximum in mm."""

    fwhm_mm: float

    def __post_init__(self) -> None:
        if self.fwhm_mm < 0:
            raise InvalidValue(f"the width of a Gaussian filter is not negative, got {self.fwhm_mm:g} mm")

    def gain(self, frequency_per_mm: ArrayLike, *, pixel_mm: float) -> FloatArray:  # noqa: ARG002
        """The factor by which each frequency passes, 1 at 0."""
        sigma_mm = self.fwhm_mm * _FWHM_TO_SIGMA
        gain: FloatArray = np.exp(-2 * (np.pi * sigma_mm * np.asarray(frequency_per_mm, float)) ** 2)
        return gain

    def __str__(self) -> str:
        return f"Gaussian, {self.fwhm_mm:g} mm FWHM"


@dataclass(frozen=True, slots=True)
class Hann:
    """A raised cosine that reaches zero at its cut-off."""

    cutoff: float
    unit: FrequencyUnit

    def __post_init__(self) -> None:
        _check_cutoff(self.cutoff, self.unit)

    def gain(self, frequency_per_mm: ArrayLike, *, pixel_mm: float) -> FloatArray:
        """The factor by which each frequency passes, 1 at 0."""
        relative = np.abs(np.asarray(frequency_per_mm, float)) / _per_mm(self.cutoff, self.unit, pixel_mm)
        gain: FloatArray = np.where(relative < 1, 0.5 * (1 + np.cos(np.pi * relative)), 0.0)
        return gain

    def __str__(self) -> str:
        return f"Hann, cut-off {self.cutoff:g} {self.unit}"


Filter = Butterworth | Gaussian | Hann


def smooth(volume: Volume, by: Filter) -> Volume:
    """The volume through a filter that acts alike in all three directions, frame by frame.

    The frequency is that along a straight line in the patient, whatever the shape of the voxels; "pixel" means the
    spacing along the first axis. Edges are mirrored, so that a uniform image stays as it is. Counts are kept
    (except where the mirror puts a little more or less at the border); values may become slightly negative.
    """
    spacing_mm = volume.grid.spacing_mm
    gains = _gain_3d(volume.grid.shape, spacing_mm, by)
    frames = np.asarray(volume.array, np.float32).reshape(-1, *volume.grid.shape)
    result = np.empty_like(frames)
    # Cosines are what an image and its mirror images are made of.
    for n, frame in enumerate(frames):
        result[n] = fft.idctn(fft.dctn(frame, type=2) * gains, type=2)
    return volume.like(result.reshape(volume.array.shape), f"smoothed: {by}")


def _gain_3d(shape: tuple[int, int, int], spacing_mm: FloatArray, by: Filter) -> NDArray[np.float32]:
    axes = [np.arange(n) / (2 * n * d) for n, d in zip(shape, spacing_mm, strict=True)]
    radial = np.sqrt(sum(f**2 for f in np.meshgrid(*axes, indexing="ij", sparse=True)))
    return by.gain(radial, pixel_mm=float(spacing_mm[0])).astype(np.float32)


def _per_mm(cutoff: float, unit: FrequencyUnit, pixel_mm: float) -> float:
    if unit == "cycles/cm":
        return cutoff / 10
    return cutoff / pixel_mm if unit == "cycles/pixel" else 0.5 * cutoff / pixel_mm


def _check_cutoff(cutoff: float, unit: str) -> None:
    if unit not in ("cycles/pixel", "cycles/cm", "Nyquist"):
        raise InvalidValue(f"a cut-off is in cycles/pixel, cycles/cm or Nyquist, not {unit!r}")
    if not cutoff > 0:
        raise InvalidValue(f"a cut-off frequency is positive, got {cutoff:g} {unit}")
