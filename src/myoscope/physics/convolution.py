"""Exact response of a tissue compartment that empties exponentially to a piecewise-linear input.

    C(t) = integral from 0 to t of A(s) exp(-k (t - s)) ds,    dC/dt = A - k C

With A linear between nodes, C is known in closed form from node to node, and so is its integral, from which frame means
follow: nothing is sampled, no step size is chosen. Written in the functions

    phi_0(z) = exp(-z),  phi_1(z) = (1 - phi_0) / z,  phi_2(z) = (1 - phi_1) / z,  phi_3(z) = (1/2 - phi_2) / z

at z = k h for a step of length h, one step is

    C(h)          = phi_0 C(0) + h (phi_1 A(0) + phi_2 [A(h) - A(0)])
    integral of C = h phi_1 C(0) + h^2 (phi_2 A(0) + phi_3 [A(h) - A(0)])

and its derivative by k uses phi_j' = -phi_j + j phi_(j+1). Thousands of rates go through the steps side by side.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.physics.frames import Frames
from myoscope.physics.time_curve import TimeCurve

_SERIES_BELOW, _SERIES_TERMS = 1.0, 16
_FACTORIAL = np.concatenate([[1.0], np.cumprod(np.arange(1.0, 25.0))])


def exponential_frame_means(curve: TimeCurve, frames: Frames, rate_per_min: ArrayLike) -> FloatArray:
    """Mean of ``curve`` convolved with exp(-rate t) over each frame; shape (..., frame) for rates of shape (...).

    In the curve's unit times minutes. A rate of 0 keeps everything.

    Raises
    ------
    InvalidValue
        For negative or missing rates.
    """
    means, _ = _march(curve, frames, _checked(rate_per_min), slope=False)
    return means.reshape(*np.shape(rate_per_min), len(frames))


def exponential_frame_means_and_slope(
    curve: TimeCurve, frames: Frames, rate_per_min: ArrayLike
) -> tuple[FloatArray, FloatArray]:
    """As `exponential_frame_means`, and the derivative of each mean by the rate, of the same shape."""
    means, slopes = _march(curve, frames, _checked(rate_per_min), slope=True)
    shape = (*np.shape(rate_per_min), len(frames))
    return means.reshape(shape), slopes.reshape(shape)


def _checked(rate_per_min: ArrayLike) -> FloatArray:
    rate = np.asarray(rate_per_min, np.float64).ravel()
    if not (rate >= 0).all():
        raise InvalidValue("rates of washout are numbers of at least 0 per minute")
    return rate


def _march(curve: TimeCurve, frames: Frames, rate: FloatArray, *, slope: bool) -> tuple[FloatArray, FloatArray]:
    """Frame means (rate, frame) and, if wanted, their derivatives by the rate."""
    first, last = float(curve.time_min[0]), float(frames.end_min[-1])
    edges = np.concatenate([frames.start_min, frames.end_min])
    knots = np.unique(np.concatenate([[first], curve.time_min, edges]))
    knots = knots[(knots >= first) & (knots <= last)]
    # Times that differ by rounding alone would make steps of no length.
    knots = knots[np.concatenate([[True], np.diff(knots) > 1e-12])]
    frame_of = np.searchsorted(frames.start_min, 0.5 * (knots[:-1] + knots[1:]), side="right") - 1
    middle = 0.5 * (knots[:-1] + knots[1:])
    frame_of = np.where((frame_of >= 0) & (middle < frames.end_min[np.maximum(frame_of, 0)]), frame_of, -1)
    step = np.round(np.diff(knots), 12)
    begin, rise = curve.at(knots[:-1]), np.diff(curve.at(knots))
    kernels = {h: _kernels(rate, h, slope=slope) for h in np.unique(step).tolist()}

    total = np.zeros((len(frames), len(rate)))
    by_rate = np.zeros((len(frames), len(rate))) if slope else np.zeros((0, 0))
    content, changed = np.zeros(len(rate)), np.zeros(len(rate))
    for h, a, b, frame in zip(step.tolist(), begin.tolist(), rise.tolist(), frame_of.tolist(), strict=True):
        k = kernels[h]
        if frame >= 0:
            total[frame] += k[3] * content
            total[frame] += k[4] * a
            total[frame] += k[5] * b
        if slope:
            if frame >= 0:
                by_rate[frame] += k[3] * changed
                by_rate[frame] += k[9] * content
                by_rate[frame] += k[10] * a
                by_rate[frame] += k[11] * b
            changed = k[0] * changed + k[6] * content + k[7] * a + k[8] * b
        content = k[0] * content + k[1] * a + k[2] * b
    duration = frames.duration_min[:, None]
    return (total / duration).T, (by_rate / duration).T if slope else by_rate


def _kernels(rate: FloatArray, h: float, *, slope: bool) -> tuple[FloatArray, ...]:
    """Factors of content, input and its rise in one step of length h: for the content, its integral, and slopes."""
    p0, p1, p2, p3, p4 = _phi(rate * h)
    held = (p0, h * p1, h * p2, h * p1, h**2 * p2, h**2 * p3)
    if not slope:
        return held
    d1, d2, d3 = p2 - p1, 2 * p3 - p2, 3 * p4 - p3
    return (*held, -h * p0, h**2 * d1, h**2 * d2, h**2 * d1, h**3 * d2, h**3 * d3)


def _phi(z: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """phi_0 to phi_4, by recursion upward from z = 1 on and by their series below, where that would lose digits."""
    p0 = np.exp(-z)
    large = np.maximum(z, _SERIES_BELOW)
    upward = [(1 - np.exp(-large)) / large]
    for constant in (1.0, 1 / 2, 1 / 6):
        upward.append((constant - upward[-1]) / large)
    small = np.minimum(z, _SERIES_BELOW)
    p4 = np.full_like(small, 1 / _FACTORIAL[_SERIES_TERMS + 4])
    for m in range(_SERIES_TERMS - 1, -1, -1):
        p4 = 1 / _FACTORIAL[m + 4] - small * p4
    downward = [p4]
    for constant in (1 / 6, 1 / 2, 1.0):
        downward.insert(0, constant - small * downward[0])
    p1, p2, p3, p4 = (np.where(z < _SERIES_BELOW, low, high) for low, high in zip(downward, upward, strict=True))
    return p0, p1, p2, p3, p4
