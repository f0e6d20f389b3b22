"""Scatter in the photopeak, estimated from the windows beside or below it.

Triple energy window (Ogawa et al., IEEE Trans Med Imaging 1991): scatter under the photopeak is the trapezoid between
the count densities of narrow windows on both sides; for Tc-99m, which has nothing above its photopeak, the triangle
from the lower window alone. Dual energy window (Jaszczak et al., J Nucl Med 1984): a constant share k of the counts of
a wide window below the photopeak.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from myoscope.core import EnergyWindow, InvalidValue, Projections
from myoscope.core.geometry import FloatArray

_NEXT_TO_KEV = 2.0  # how far a scatter window may lie from the photopeak
_NARROW_KEV = 12.0  # wider windows are for the dual-window method
_SMOOTHED_MM = 12.0  # scatter is smooth, counts in narrow windows are few
_FWHM_TO_SIGMA = 1 / np.sqrt(8 * np.log(2))


@dataclass(frozen=True, eq=False, slots=True)
class ScatterEstimate:
    """Expected scattered counts in the photopeak, shape (gate, view, v, u), and how they were found."""

    counts: FloatArray
    method: str
    share_of_photopeak: float


def triple_energy_window(
    lower: ArrayLike,
    upper: ArrayLike | None,
    *,
    lower_keV: float,
    upper_keV: float | None,
    photopeak_keV: float,
) -> FloatArray:
    """Scattered counts S = (C_l / w_l + C_u / w_u) w_p / 2; window widths in keV, ``upper`` None = nothing above.

    >>> float(triple_energy_window(5000, None, lower_keV=6, upper_keV=None, photopeak_keV=28).round())
    11667.0
    """
    if min(lower_keV, photopeak_keV, 1.0 if upper_keV is None else upper_keV) <= 0:
        raise InvalidValue("the widths of energy windows are positive")
    if (upper is None) != (upper_keV is None):
        raise InvalidValue("an upper window needs its counts and its width")
    density = np.asarray(lower, np.float64) / lower_keV
    if upper is not None and upper_keV is not None:
        density = density + np.asarray(upper, np.float64) / upper_keV
    scatter: FloatArray = density * photopeak_keV / 2
    return scatter


def dual_energy_window(scatter_window: ArrayLike, *, k: float = 0.5) -> FloatArray:
    """Scattered counts S = k C_s of a window from about 92 to 125 keV; k = 0.5 is the authors' value for Tc-99m."""
    if not k > 0:
        raise InvalidValue(f"the factor of the dual-window method is positive, got {k:g}")
    scatter: FloatArray = k * np.asarray(scatter_window, np.float64)
    return scatter


def estimate_scatter(projections: Projections, *, photopeak: int) -> ScatterEstimate | None:
    """The scatter that the extra energy windows of an acquisition tell of, or None if none of them can.

    Narrow windows that touch the photopeak give the triple-window estimate, else a wide one below it the dual-window
    estimate. The estimate is smoothed (12 mm) and never more than the photopeak holds on average around it.
    """
    peak = projections.windows[photopeak]
    others = [n for n in range(len(projections.windows)) if n != photopeak]
    below = [n for n in others if abs(projections.windows[n].upper_keV - peak.lower_keV) <= _NEXT_TO_KEV]
    above = [n for n in others if abs(projections.windows[n].lower_keV - peak.upper_keV) <= _NEXT_TO_KEV]
    narrow = [n for n in below if _width(projections.windows[n]) <= _NARROW_KEV]
    wide = [n for n in below if _width(projections.windows[n]) > _NARROW_KEV]
    counts = np.asarray(projections.counts, np.float64)
    if narrow:
        low, high = narrow[0], next((n for n in above if _width(projections.windows[n]) <= _NARROW_KEV), None)
        scatter = triple_energy_window(
            counts[low],
            None if high is None else counts[high],
            lower_keV=_width(projections.windows[low]),
            upper_keV=None if high is None else _width(projections.windows[high]),
            photopeak_keV=_width(peak),
        )
        method = "triple energy window" + ("" if high is not None else ", lower window only")
    elif wide:
        scatter, method = dual_energy_window(counts[wide[0]]), "dual energy window, k = 0.5"
    else:
        return None
    smooth = _smoothed(scatter, projections.pixel_mm)
    limited = np.minimum(smooth, _smoothed(counts[photopeak], projections.pixel_mm))
    total = float(counts[photopeak].sum())
    return ScatterEstimate(limited, method, float(limited.sum()) / total if total > 0 else 0.0)


def _width(window: EnergyWindow) -> float:
    return window.upper_keV - window.lower_keV


def _smoothed(counts: NDArray[np.float64], pixel_mm: tuple[float, float]) -> FloatArray:
    sigma = [_SMOOTHED_MM * _FWHM_TO_SIGMA / mm for mm in reversed(pixel_mm)]
    smooth: FloatArray = ndimage.gaussian_filter(counts, (*(0,) * (counts.ndim - 2), *sigma), mode="nearest")
    return smooth
