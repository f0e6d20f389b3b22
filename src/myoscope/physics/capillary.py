"""A capillary that exchanges with the tissue along its length: the axially distributed model.

Blood flows through a tube (volume Vp per mL of tissue) and loses tracer to the tissue around it (volume of distribution
Vt) at the rate PS times the difference of concentrations, place by place, with no mixing along the tube (Sangren and
Sheppard, Bull Math Biophys 1953;15:387). What an impulse leaves in the organ at time t, as a share of what came,
is 1 while blood is under way (t < Vp / F) and afterwards

    r(t) = sum over n of Poisson(n; y) gamma_inc(n + 1, a),   a = PS / F,   y = PS (t - Vp / F) / Vt

because the number of steps that a molecule spends outside is Poisson distributed (the same as one less Goldstein's
function J(a, y)). At once after the passage it is the extraction 1 - exp(-PS / F) of Renkin and Crone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammainc

from myoscope.core.geometry import FloatArray
from myoscope.physics.frames import SECONDS_PER_MIN, Frames
from myoscope.physics.time_curve import TimeCurve

_STEP_MIN = 0.5 / SECONDS_PER_MIN
_MOST_TERMS, _NEGLIGIBLE = 60, 1e-12


def kept_share(
    since_min: ArrayLike, flow: ArrayLike, ps: ArrayLike, plasma_volume: float, tissue_volume: ArrayLike
) -> FloatArray:
    """Share of an impulse that is still in the organ, (curve, time), for curves (curve,) and times (time,) in minutes.

    ``flow`` and ``ps`` in mL/min and mL of tissue, volumes in mL per mL of tissue.
    """
    time = np.asarray(since_min, np.float64)[None]
    f, p, v = (np.asarray(x, np.float64).reshape(-1, 1) for x in (flow, ps, tissue_volume))
    after = time - plasma_volume / f
    ratio = p / f
    y = np.maximum(after, 0) * p / v
    poisson = np.exp(-y)
    kept = np.zeros(np.broadcast_shapes(poisson.shape, ratio.shape))
    for n in range(_MOST_TERMS):
        weight = gammainc(n + 1, ratio)
        kept += poisson * weight
        if float(weight.max()) < _NEGLIGIBLE:
            break
        poisson = poisson * y / (n + 1)
    within: FloatArray = np.where(after < 0, 1.0, kept)
    return within


def capillary_frame_means(
    curve: TimeCurve,
    frames: Frames,
    *,
    flow: ArrayLike,
    ps: ArrayLike,
    plasma_volume: float,
    tissue_volume: ArrayLike,
) -> FloatArray:
    """Frame means of what blood and tissue of the organ hold per unit of flow, (curve, frame).

    In the curve's unit times minutes; multiply by flow. On a grid of half a second, exact for the content of each step.
    """
    last = float(frames.end_min[-1])
    n = int(np.ceil(last / _STEP_MIN)) + 1
    edge = np.arange(n + 1) * _STEP_MIN
    supplied = np.diff(curve.integral(edge)) / _STEP_MIN  # mean input of each step
    kept = kept_share(edge[:-1] + 0.5 * _STEP_MIN, flow, ps, plasma_volume, tissue_volume)
    # The passage ends within a step: until then everything is there.
    passage = plasma_volume / np.asarray(flow, np.float64).reshape(-1, 1)
    before = np.clip((passage - edge[:-1]) / _STEP_MIN, 0, 1)
    at_once = -np.expm1(-np.asarray(ps, np.float64).reshape(-1, 1) / np.asarray(flow, np.float64).reshape(-1, 1))
    kept = np.where((before > 0) & (before < 1), before + (1 - before) * np.minimum(kept, at_once), kept)
    size = 1 << int(np.ceil(np.log2(2 * n)))
    response = np.fft.irfft(np.fft.rfft(kept, size) * np.fft.rfft(supplied, size), size)[:, :n] * _STEP_MIN
    # Content at the end of each step; the mean over a frame follows from the area under the polygon.
    area = np.concatenate([np.zeros((len(kept), 1)), np.cumsum(response, axis=1)], axis=1) * _STEP_MIN
    area[:, 1:] -= 0.5 * _STEP_MIN * response
    at = np.concatenate([frames.start_min, frames.end_min]) / _STEP_MIN
    low = np.minimum(at.astype(int), n - 1)
    ends = area[:, low] + (at - low) * (area[:, low + 1] - area[:, low])
    means: FloatArray = (ends[:, len(frames) :] - ends[:, : len(frames)]) / frames.duration_min
    return means
