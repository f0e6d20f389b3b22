"""Polar maps smoothed along the wall, over the same distance everywhere.

Cells are a few millimetres wide and far finer than any camera resolves, while noise of one gate is several per cent of
its counts: what is read off single cells of single gates has to be averaged over a neighbourhood first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from myoscope.core import InvalidValue, PolarMap
from myoscope.core.geometry import FloatArray

_FWHM_TO_SIGMA = 1 / np.sqrt(8 * np.log(2))
# Area of a ventricle's wall over the square of its length from apex to base: half an ellipsoid thrice as long as wide.
_AREA_PER_LENGTH2 = 1.68


def smoothed_on_wall(values: FloatArray, area_mm2: FloatArray, fwhm_mm: float) -> FloatArray:
    """Maps (..., ring, angle) smoothed by a Gaussian of this FWHM along the wall; NaN is left out and stays.

    ``area_mm2`` (ring, angle) are the cells' areas, from which their heights and widths follow.

    Raises
    ------
    InvalidValue
        A negative width.
    """
    from scipy.ndimage import gaussian_filter1d

    if fwhm_mm < 0:
        raise InvalidValue(f"a map is smoothed over a positive distance, not {fwhm_mm:g} mm")
    if fwhm_mm == 0:
        return values
    n_rings, n_angles = area_mm2.shape
    sigma_mm = fwhm_mm * _FWHM_TO_SIGMA
    height_mm = float(np.sqrt(area_mm2.sum() / _AREA_PER_LENGTH2)) / n_rings
    width_mm = area_mm2.sum(axis=1) / (height_mm * n_angles)
    # Round a ring, a Gaussian damps each wave on its own: exact however wide it is.
    wave = np.arange(n_angles // 2 + 1) * 2 * np.pi / n_angles
    gain = np.exp(-0.5 * (wave * sigma_mm / width_mm[:, None]) ** 2)
    seen = np.isfinite(values)

    def smooth(field: FloatArray) -> FloatArray:
        round_ring = np.fft.irfft(np.fft.rfft(field, axis=-1) * gain, n_angles, axis=-1)
        along: FloatArray = gaussian_filter1d(round_ring, sigma_mm / height_mm, axis=-2, mode="nearest")
        return along

    total, weight = smooth(np.where(seen, values, 0.0)), smooth(seen.astype(np.float64))
    result: FloatArray = np.where(seen, total / np.maximum(weight, 1e-9), np.nan)
    return result


def smoothed_gates(gates: Sequence[PolarMap], fwhm_mm: float) -> tuple[PolarMap, ...]:
    """The maps of all gates, smoothed along the wall."""
    if not fwhm_mm:
        return tuple(gates)
    area = gates[0].area_mm2
    done = f"smoothed along the wall, {fwhm_mm:g} mm"
    return tuple(gate.like(smoothed_on_wall(gate.value, area, fwhm_mm), done) for gate in gates)
