"""From drawn figures to an interval: what the measurement would have been without noise.

Noise makes deficits and spread out of nothing. Drawn figures hold it twice, the measured one once: the mean by which
they exceed the measured one is by how much that exceeds what it would be without noise.
"""

from __future__ import annotations

import numpy as np

from myoscope.core.geometry import FloatArray
from myoscope.quantify.error_model import DrawCalibration


def interval_of_draws(
    observed: float, draws: FloatArray, calibration: DrawCalibration, *, highest: float
) -> tuple[float, float]:
    """95 % interval between 0 and ``highest`` that holds the measured figure; NaN among the draws are left out."""
    known = draws[np.isfinite(draws)]
    if not known.size:
        return 0.0, highest
    excess = max(float(known.mean()) - observed, 0.0)
    spread = max(float(known.std()), calibration.least)
    centre = observed - calibration.unbias * excess
    low = float(np.clip(centre - calibration.below * spread, 0.0, observed))
    return low, float(np.clip(centre + calibration.above * spread, observed, max(highest, observed)))
