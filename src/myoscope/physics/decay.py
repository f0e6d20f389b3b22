"""Radioactive decay of the tracers' nuclides, over a delay and averaged over a frame.

Half-lives: Tc-99m 6.02 h (package inserts of sestamibi and tetrofosmin), Tl-201 73.0 h (nuclear data sheets). Positron
emitters: Rb-82 76.4 s (75.45 s in newer evaluations, which makes 3 % of the activity left after four minutes), N-13
9.965 min, O-15 122.24 s, F-18 109.77 min.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray

_HOUR_S = 3600.0
HALF_LIFE_S = {
    "Tc-99m": 6.02 * _HOUR_S,
    "Tl-201": 73.0 * _HOUR_S,
    "Rb-82": 76.4,
    "N-13": 9.965 * 60,
    "O-15": 122.24,
    "F-18": 109.77 * 60,
}


def decay_constant_per_s(nuclide: str) -> float:
    """Share of the atoms that decays per second."""
    if nuclide not in HALF_LIFE_S:
        raise InvalidValue(f"no half-life for {nuclide!r}; known: {', '.join(HALF_LIFE_S)}")
    return float(np.log(2) / HALF_LIFE_S[nuclide])


def share_left(nuclide: str, elapsed_s: ArrayLike) -> FloatArray:
    """Share of the activity that is left after a delay (above 1 for times before the reference).

    >>> round(float(share_left("Tc-99m", 6.02 * 3600)), 12)
    0.5
    """
    elapsed = np.asarray(elapsed_s, dtype=np.float64)
    if not np.isfinite(elapsed).all():
        raise InvalidValue("a decay time is not a finite number of seconds")
    left: FloatArray = np.exp(-decay_constant_per_s(nuclide) * elapsed)
    return left


def mean_share_left(nuclide: str, start_s: ArrayLike, duration_s: ArrayLike) -> FloatArray:
    """Share of the activity left, averaged over frames that begin ``start_s`` after the reference time.

    Exact when the tracer stands still within the frame: (1 - exp(-l d)) / (l d) times the share at the start.
    """
    duration = np.asarray(duration_s, dtype=np.float64)
    if (duration < 0).any():
        raise InvalidValue("a frame cannot last less than no time")
    decayed = decay_constant_per_s(nuclide) * duration
    # The series keeps the mean exact for frames so short that 1 - exp(-x) would lose all digits.
    mean = np.where(decayed < 1e-6, 1 - decayed / 2, -np.expm1(-decayed) / np.maximum(decayed, 1e-30))
    shares: FloatArray = share_left(nuclide, start_s) * mean
    return shares
