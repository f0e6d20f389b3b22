"""How well a fitted curve tells its flow: what is left unexplained, what flow cannot be told from, and its profile.

Standard errors come from the curvature at the best fit and can be too small where the sum of squares is no parabola. A
profile holds flow at other values and refits all else: flows at which the fit worsens by less than 3.84 residual
variances are not excluded (likelihood ratio, 95 %; Raue et al., Bioinformatics 2009;25:1923).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from myoscope.core import CurveFit
from myoscope.core.geometry import FloatArray
from myoscope.quantify.flow.compartment_model import CompartmentModel, FlowModel, profile
from myoscope.quantify.flow.estimate import FlowEstimate
from myoscope.quantify.flow.wall_data import WallCurves

_WORSE_BY = 3.84
_FACTORS = np.exp(np.linspace(-np.log(4), np.log(4), 41))


def curve_fits(model: FlowModel, curves: WallCurves, found: FlowEstimate, names: Sequence[str]) -> tuple[CurveFit, ...]:
    """How well each of the curves tells its flow; ``found`` is the estimate of ``model`` on them."""
    unexplained = unexplained_percent(curves, found)
    told = []
    for n, name in enumerate(names):
        if found.failed[n]:
            told.append(CurveFit(name))
            continue
        other, strongest = _strongest(found, n)
        low, high = (None, None)
        if isinstance(model, CompartmentModel):
            low, high = profile_interval(model, curves.some(np.array([n])))
        at_bound = tuple(p.name for p, at in zip(found.parameters, found.at_bound[n], strict=True) if at)
        told.append(CurveFit(name, float(unexplained[n]), other, strongest, low, high, at_bound))
    return tuple(told)


def unexplained_percent(curves: WallCurves, found: FlowEstimate) -> FloatArray:
    """Weighted sum of squares that the fit leaves, of that about the curve's mean, in %; (curve,)."""
    n_frames = found.fitted.shape[1]
    measured = curves.tissue[:, :n_frames]
    weight = np.broadcast_to(curves.weights, curves.tissue.shape)[:, :n_frames]
    total = np.maximum(weight.sum(axis=1, keepdims=True), 1e-30)
    mean = (weight * measured).sum(axis=1, keepdims=True) / total
    about_mean = (weight * (measured - mean) ** 2).sum(axis=1)
    left = (weight * (measured - found.fitted) ** 2).sum(axis=1)
    percent: FloatArray = 100 * left / np.maximum(about_mean, 1e-30)
    return percent


def profile_interval(model: CompartmentModel, curve: WallCurves) -> tuple[float | None, float | None]:
    """Lowest and highest flow (mL/min/g) that one curve does not exclude; None where that is beyond 4 times."""
    best = model.estimate(curve)
    if best.failed[0]:
        return None, None
    parameter = model.kinetic[0]
    values = np.clip(best.value[0, 0] * _FACTORS, parameter.low, parameter.high)
    worse, flow = profile(model, curve, parameter.name, values)
    middle = len(values) // 2
    return _crossing(worse[middle::-1], flow[middle::-1]), _crossing(worse[middle:], flow[middle:])


def _crossing(worse: FloatArray, flow: FloatArray) -> float | None:
    """Flow at which the fit is first worse by `_WORSE_BY`, going outwards from the best one."""
    beyond = np.flatnonzero(~(worse < _WORSE_BY) & np.isfinite(worse))
    if not beyond.size or beyond[0] == 0:
        return None
    after = int(beyond[0])
    before = after - 1
    share = (_WORSE_BY - worse[before]) / (worse[after] - worse[before])
    crossing = float(flow[before] + share * (flow[after] - flow[before]))
    return crossing if np.isfinite(crossing) else None


def _strongest(found: FlowEstimate, n: int) -> tuple[str, float | None]:
    """The parameter whose error hangs most on that of the first one (flow), and their correlation."""
    with_first = found.correlation[n, 0, 1:]
    known = np.isfinite(with_first)
    if not known.any():
        return "", None
    place = int(np.argmax(np.where(known, np.abs(with_first), -1)))
    return found.parameters[1 + place].name, float(with_first[place])
