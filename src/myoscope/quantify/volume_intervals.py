"""How far measured volumes and ejection fractions lie from the truth: intervals calibrated on virtual patients.

The error of a volume has parts that no image can tell: the wall's thickness, which is taken to be the usual one, and
where it ends. So the interval is a regression: on virtual patients of five sites, whose volumes are known, the spread
of the logarithm of measured over true volume was fitted to how soft and noisy the image is and how small the heart
(docs/make/calibrate_intervals.py writes the constants). It covers the truth, bias included, for hearts like those; what
it cannot cover is a heart of another kind than any of them.
"""

from __future__ import annotations

import numpy as np

from myoscope.quantify.interval_constants import EDV_ERROR, EF_ERROR, ESV_ERROR, STILL_ERROR


def volume_interval(
    volume_mL: float, *, which: str, fwhm_mm: float, relative_noise: float | None
) -> tuple[float, float]:
    """95 % interval of the true volume; ``which`` is EDV, ESV or ungated."""
    model = {"EDV": EDV_ERROR, "ESV": ESV_ERROR, "ungated": STILL_ERROR}[which]
    width = model.factor * model.spread(fwhm_mm=fwhm_mm, volume_mL=volume_mL, relative_noise=relative_noise)
    middle = volume_mL * np.exp(-model.bias)
    return float(min(middle * np.exp(-width), volume_mL)), float(max(middle * np.exp(width), volume_mL))


def ef_interval(
    ef_percent: float, *, edv_mL: float, fwhm_mm: float, relative_noise: float | None
) -> tuple[float, float]:
    """95 % interval of the true ejection fraction."""
    width = EF_ERROR.factor * EF_ERROR.spread(fwhm_mm=fwhm_mm, volume_mL=edv_mL, relative_noise=relative_noise)
    middle = ef_percent - EF_ERROR.bias
    low, high = min(middle - width, ef_percent), max(middle + width, ef_percent)
    return float(np.clip(low, 0, 100)), float(np.clip(high, 0, 100))
