"""Noise of a polar map: realisations of what chance might have added to it.

Where they come from, best first: two halves of the same counts, reconstructed apart (their difference is noise of the
size of the whole image's); gates, whose higher harmonics over the beat hold nothing but noise. Noise of SPECT images
grows with the square root of counts and looks alike all round, so one realisation, freed of the local size, turned and
mirrored serves as many more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from myoscope.core import InvalidValue, PolarMap
from myoscope.core.geometry import FloatArray, frozen
from myoscope.quantify.wall_smoothing import smoothed_on_wall

_FLOOR = 0.05  # of the map's 95th percentile: where there are fewer counts, noise does not shrink further
_GATE_HARMONICS = 3


@dataclass(frozen=True, eq=False, slots=True)
class MapNoise:
    """Realisations of noise over the root of local counts, (realisation, ring, angle), and where they are from."""

    pattern: FloatArray
    source: str

    def __post_init__(self) -> None:
        pattern = frozen(self.pattern, np.float64)
        if pattern.ndim != 3 or not len(pattern):
            raise InvalidValue(f"noise has axes (realisation, ring, angle), got {pattern.shape}")
        object.__setattr__(self, "pattern", np.nan_to_num(pattern))

    def drawn(self, value: FloatArray, n: int, *, rng: np.random.Generator) -> FloatArray:
        """Noise that ``n`` repeated measurements of a map (ring, angle) might add to it, (n, ring, angle).

        Each is the sum of two of the realisations, turned by any angle, mirrored and changed in sign at random, over
        the square root of two.
        """
        k, n_rings, n_angles = self.pattern.shape
        total = np.zeros((n, n_rings, n_angles))
        column = np.arange(n_angles)
        for _ in range(2):
            which, turn = rng.integers(0, k, n), rng.integers(0, n_angles, n)
            mirror = rng.choice((-1, 1), n)
            sign = rng.choice((-1.0, 1.0), n)
            at = (turn[:, None] + mirror[:, None] * column) % n_angles
            total += sign[:, None, None] * self.pattern[which[:, None, None], np.arange(n_rings)[:, None], at[:, None]]
        drawn: FloatArray = total * _size(value) / np.sqrt(2)
        return drawn

    def relative(self, value: FloatArray) -> float:
        """Standard deviation of a cell as a share of the map's mean."""
        size = float(np.sqrt((self.pattern**2).mean()))
        return size * float(np.nanmean(_size(value))) / max(float(np.nanmean(value)), 1e-30)


def noise_from_halves(first: FloatArray, second: FloatArray, *, value: FloatArray) -> MapNoise:
    """Noise of a map from maps of two halves of its counts, sampled at the same places, (ring, angle) or with pairs in
    front. ``value`` is the map of all counts; each half holds half of it."""
    difference = np.atleast_3d(first - second) if first.ndim == 3 else (first - second)[None]
    return MapNoise(difference / _size(value), "two halves of the counts")


def noise_from_gates(gates: FloatArray) -> MapNoise:
    """Noise of the sum of gates (gate, ring, angle), sampled where the wall is in each, from their higher harmonics.

    Raises
    ------
    InvalidValue
        With fewer than 8 gates nothing is left above the harmonics of the beat.
    """
    n = len(gates)
    if n < 2 * (_GATE_HARMONICS + 1):
        raise InvalidValue(f"noise is told from motion in 8 gates or more, not in {n}")
    spectrum = np.fft.rfft(np.nan_to_num(gates), axis=0)
    # Each complex harmonic holds two independent numbers of variance n/2 per gate variance, the last of an even number
    # of gates one of variance n; the sum of all gates has variance n.
    patterns = []
    for order in range(_GATE_HARMONICS + 1, n // 2 + 1):
        if 2 * order == n:
            patterns.append(spectrum[order].real)
        else:
            patterns += [spectrum[order].real * np.sqrt(2), spectrum[order].imag * np.sqrt(2)]
    return MapNoise(np.stack(patterns) / _size(gates.sum(axis=0)), "higher harmonics of the gates")


def noise_sd_map(polar_map: PolarMap, noise: MapNoise, *, smoothing_fwhm_mm: float) -> PolarMap:
    """Standard deviation that noise gives each cell of the map once it is smoothed along the wall, in its unit.

    NaN where the wall was not seen. Noise is taken to be alike all round over the root of counts, as `MapNoise.drawn`
    takes it, so that few realisations tell it for every cell.
    """
    size = _size(polar_map.value)
    smooth = smoothed_on_wall(noise.pattern * size, polar_map.area_mm2, smoothing_fwhm_mm)
    over_root = float(np.sqrt(np.mean((smooth / size) ** 2)))
    value = np.where(np.isfinite(polar_map.value), over_root * size, np.nan)
    return polar_map.like(value, f"standard deviation from noise, smoothed along the wall, {smoothing_fwhm_mm:g} mm")


def _size(value: FloatArray) -> FloatArray:
    """Square root of local counts, smooth and not below a floor."""
    known = np.nan_to_num(value, nan=0.0)
    top = float(np.percentile(known, 95))
    size: FloatArray = np.sqrt(np.maximum(known, _FLOOR * max(top, 1e-30)))
    return size
