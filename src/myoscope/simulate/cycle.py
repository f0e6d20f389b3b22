"""How far a piece of wall has contracted at a time in the R-R interval.

The course of a resting heart: a short isovolumic phase, ejection until 37 % of the cycle, rapid filling, diastasis,
and the atrial kick. A delayed piece begins late, is thickest late by the same delay, and has caught up at the end
of diastole, when atrial filling does not wait for it.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike

from myoscope.core.geometry import FloatArray

END_SYSTOLE = 0.37
"""Time of maximal contraction of an undelayed wall, share of the R-R interval from the R wave."""

# Share of the R-R interval, share of full contraction [DEC: the shape of a normal volume curve].
_COURSE = np.array(
    [
        (0.000, 0.000),
        (0.040, 0.030),
        (0.080, 0.150),
        (0.150, 0.430),
        (0.220, 0.700),
        (0.290, 0.900),
        (0.340, 0.985),
        (END_SYSTOLE, 1.000),
        (0.420, 0.970),
        (0.470, 0.850),
        (0.540, 0.550),
        (0.600, 0.360),
        (0.660, 0.270),
        (0.740, 0.235),
        (0.840, 0.215),
        (0.890, 0.150),
        (0.950, 0.035),
        (1.000, 0.000),
    ]
)


@cache
def _table() -> FloatArray:
    from scipy.interpolate import PchipInterpolator

    fine: FloatArray = PchipInterpolator(_COURSE[:, 0], _COURSE[:, 1])(np.linspace(0, 1, 1025))
    return fine


def contraction_course(time: ArrayLike, delay_deg: ArrayLike = 0.0) -> FloatArray:
    """Share of full contraction (0 at end diastole, 1 at the piece's own peak) at a time in the cycle.

    ``time`` is a share of the R-R interval from the R wave (taken modulo 1), ``delay_deg`` how much later than an
    undelayed wall the piece contracts, in degrees of the cycle (negative: earlier). Both broadcast. Delays act up
    to -60 and +150 degrees; beyond, they act as these.
    """
    t, delay = np.broadcast_arrays(np.asarray(time, float) % 1.0, np.clip(np.asarray(delay_deg, float), -60, 150) / 360)
    onset, peak = np.maximum(delay, 0.0), END_SYSTOLE + delay
    rising = (t - onset) / (peak - onset) * END_SYSTOLE
    falling = END_SYSTOLE + (t - peak) / (1 - peak) * (1 - END_SYSTOLE)
    own = np.clip(np.where(t < peak, rising, falling), 0, 1)
    fine = _table()
    course: FloatArray = np.interp(own, np.linspace(0, 1, len(fine)), fine)
    return course
