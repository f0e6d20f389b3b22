"""What tissue keeps of the tracer that blood brings: one and two compartments, exact over frames.

One tissue compartment:   dC/dt = K1 A - k2 C
Two in a row:             dC1/dt = K1 A - (k2 + k3) C1 + k4 C2,   dC2/dt = k3 C1 - k4 C2

A the activity of arterial blood or plasma, C in kBq per mL of tissue, K1 in mL of blood per minute and mL of tissue,
the other rates per minute. Both are sums of exponentials convolved with A; curves here are for K1 = 1 and to be
multiplied by it. Arrays of rates, one per curve, go side by side.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from myoscope.core.geometry import FloatArray
from myoscope.physics.convolution import exponential_frame_means, exponential_frame_means_and_slope
from myoscope.physics.frames import Frames
from myoscope.physics.time_curve import TimeCurve

# Two equal exponents (k3 = 0 and k2 = k4) have no separate amplitudes; they are kept this far apart.
_LEAST_SPLIT_PER_MIN = 1e-7


def one_tissue(curve: TimeCurve, frames: Frames, k2_per_min: ArrayLike) -> FloatArray:
    """Frame means of one compartment for K1 = 1, (..., frame) for rates (...)."""
    return exponential_frame_means(curve, frames, k2_per_min)


def one_tissue_and_slope(curve: TimeCurve, frames: Frames, k2_per_min: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """The same, with its derivative by k2."""
    return exponential_frame_means_and_slope(curve, frames, k2_per_min)


def two_tissue(
    curve: TimeCurve, frames: Frames, k2_per_min: ArrayLike, k3_per_min: ArrayLike, k4_per_min: ArrayLike
) -> FloatArray:
    """Frame means of both compartments together for K1 = 1, (curve, frame) for rates (curve,)."""
    slow, fast, share, _ = _exponents(k2_per_min, k3_per_min, k4_per_min)
    early = exponential_frame_means(curve, frames, fast)
    late = exponential_frame_means(curve, frames, slow)
    means: FloatArray = share[:, None] * late + (1 - share)[:, None] * early
    return means


def two_tissue_and_slopes(
    curve: TimeCurve, frames: Frames, k2_per_min: ArrayLike, k3_per_min: ArrayLike, k4_per_min: ArrayLike
) -> tuple[FloatArray, FloatArray]:
    """The same, with its derivatives by k2, k3 and k4 as the last axis: (curve, frame), (curve, frame, 3)."""
    slow, fast, share, (d_slow, d_fast, d_share) = _exponents(k2_per_min, k3_per_min, k4_per_min)
    early, early_slope = exponential_frame_means_and_slope(curve, frames, fast)
    late, late_slope = exponential_frame_means_and_slope(curve, frames, slow)
    means = share[:, None] * late + (1 - share)[:, None] * early
    slopes = (
        d_share[:, None] * (late - early)[..., None]
        + (share[:, None] * late_slope)[..., None] * d_slow[:, None]
        + ((1 - share)[:, None] * early_slope)[..., None] * d_fast[:, None]
    )
    return means, slopes


def _exponents(
    k2_per_min: ArrayLike, k3_per_min: ArrayLike, k4_per_min: ArrayLike
) -> tuple[FloatArray, FloatArray, FloatArray, tuple[FloatArray, FloatArray, FloatArray]]:
    """Slow and fast rate and the share of the slow one, (curve,), and the derivatives of each by k2, k3, k4."""
    k2, k3, k4 = (np.atleast_1d(np.asarray(k, np.float64)) for k in (k2_per_min, k3_per_min, k4_per_min))
    k2, k3, k4 = np.broadcast_arrays(k2, k3, k4)
    total = k2 + k3 + k4
    split = np.sqrt(np.maximum(total**2 - 4 * k2 * k4, _LEAST_SPLIT_PER_MIN**2))
    fast = 0.5 * (total + split)
    # Not (total - split) / 2, which loses all digits for small k4.
    slow = np.divide(k2 * k4, fast, out=np.zeros_like(fast), where=fast > 0)
    share = np.clip((k3 + k4 - slow) / split, 0, 1)
    d_split = np.stack([total - 2 * k4, total, total - 2 * k2], -1) / split[:, None]
    d_slow, d_fast = 0.5 * (1 - d_split), 0.5 * (1 + d_split)
    d_share = (np.array([0.0, 1.0, 1.0]) - d_slow - share[:, None] * d_split) / split[:, None]
    return slow, fast, share, (d_slow, d_fast, d_share)
