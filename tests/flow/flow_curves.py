"""Inputs and curves that several tests of blood flow share."""

from __future__ import annotations

import numpy as np

from myoscope.core.geometry import FloatArray
from myoscope.physics.frames import Frames
from myoscope.physics.time_curve import TimeCurve
from myoscope.quantify.flow import Blood, WallCurves

FRAMES = Frames.lasting([*[10] * 12, *[20] * 3, *[30] * 2, *[60] * 2])


def bolus(*, delay_min: float = 0.25, until_min: float = 11.0, step_min: float = 0.02) -> TimeCurve:
    """The analytic arterial curve of the golden cases, read at equal steps; 0 before the delay."""
    since = np.arange(0, until_min, step_min)
    value = (2000 * since - 38) * np.exp(-8 * since) + 20 * np.exp(-0.7 * since) + 18 * np.exp(-0.05 * since)
    return TimeCurve(delay_min + since, value)


def left_blood(frames: Frames = FRAMES) -> Blood:
    return Blood.from_curve(frames, bolus())


def right_blood(frames: Frames = FRAMES) -> Blood:
    """Earlier by seven seconds and a third higher."""
    curve = bolus(delay_min=0.13)
    return Blood.from_curve(frames, TimeCurve(curve.time_min, 1.3 * curve.value))


def uptake_rate(flow: FloatArray | float) -> FloatArray:
    """Lortie's K1, written out once more."""
    f = np.asarray(flow, float)
    return np.asarray(f * (1 - 0.77 * np.exp(-0.63 / f)))


def empty_curves(n: int, frames: Frames = FRAMES, *, both: bool = True) -> WallCurves:
    """Blood and frames for n curves that hold nothing yet."""
    return WallCurves(
        frames,
        np.ones((n, len(frames))),
        left_blood(frames),
        right_blood(frames) if both else None,
        recovery=np.full(n, 0.8),
    )
