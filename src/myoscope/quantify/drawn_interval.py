"""From drawn figures to an interval: what the measurement would have been without noise.

Noise makes deficits and spread out of nothing. Drawn figures hold it twice, the measured one once: the mean by which
they exceed the measured one is by how much that exceeds what it would be without noise.
"""

from __future__ import annotations

import numpy as np

from myoscope.core.geometry import FloatArray
from myoscope.quantify.error_model import DrawCalibration, NoiseAddition


def interval_of_draws(
    observed: float, draws: FloatArray, calibration: DrawCalibration, *, highest: float
) -> tuple[float, float]:
    """95 % interval between 0 and ``highest`` that holds the measured figure; NaN among the draws are left out."""
    known = draws[np.isfinite(draws)]
    if not known.size:
        return 0.0, highest
    excess = max(float(known.mean()) - observed, 0.0)
    spread = float(np.hypot(max(float(known.std()), calibration.least), calibration.relative * observed))
    centre = observed - calibration.unbias * excess
    low = float(np.clip(centre - calibration.below * spread, 0.0, observed))
    return low, float(np.clip(centre + calibration.above * spread, observed, max(highest, observed)))


def interval_without_noise(
    observed: float, draws: FloatArray, calibration: NoiseAddition, *, highest: float
) -> tuple[float, float]:
    """95 % interval, between 0 and ``highest``, of a statistic without the noise that made most of it.

    It holds the measured figure; NaN among the draws are left out.
    """
    known = draws[np.isfinite(draws)]
    noisy = min(float(known.std()) / calibration.usual_spread, 1.0) if known.size else 1.0
    low, high = (at_zero + slope * observed for at_zero, slope in (calibration.low, calibration.high))
    return (
        float(np.clip(observed + noisy * (low - observed), 0.0, observed)),
        float(np.clip(observed + noisy * (high - observed), observed, max(highest, observed))),
    )
