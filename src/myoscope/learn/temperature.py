"""Probabilities that fit: one number that makes confident logits less so (temperature scaling).

Guo et al., ICML 2017: the logits of a trained network are divided by the temperature that makes the held-out
validation patients likeliest. It changes no ranking, so no AUC; it is fitted on patients that did not teach.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from myoscope.core import InvalidValue

_COLDEST, _HOTTEST = 0.2, 20.0


def fit_temperature(logit: ArrayLike, outcome: ArrayLike) -> float:
    """The temperature of logits (n,) with outcomes (n,) of 0 and 1, NaN where not known.

    Raises
    ------
    InvalidValue
        Missing logits, or fewer than two known outcomes of either kind.
    """
    from scipy.optimize import minimize_scalar

    x, y = np.asarray(logit, np.float64).ravel(), np.asarray(outcome, np.float64).ravel()
    if x.shape != y.shape or not np.isfinite(x).all():
        raise InvalidValue(f"logits of shape {x.shape} do not fit outcomes of shape {y.shape}, or some are missing")
    known = np.isfinite(y)
    x, y = x[known], y[known]
    if min((y == 0).sum(), (y == 1).sum()) < 2:
        raise InvalidValue("a temperature needs validation patients with and without the outcome, two at least")

    def cost(log_temperature: float) -> float:
        z = x / np.exp(log_temperature)
        return float(np.mean(np.logaddexp(0, z) - y * z))

    found = minimize_scalar(cost, bounds=(np.log(_COLDEST), np.log(_HOTTEST)), method="bounded")
    return float(np.exp(found.x))
