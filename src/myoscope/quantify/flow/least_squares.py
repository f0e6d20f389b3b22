"""Thousands of small least-squares problems at once: Levenberg and Marquardt's method, batched.

All curves share the model and the blood; each has its own parameters, damping and bounds. In every iteration the model
and its exact derivatives are computed for the curves that still move, a handful of normal equations is solved for each,
and a step is kept where it lowers the sum of squares. Parameters that sit on a bound and would leave it stay there for
the step (projected Newton). Starting points come from a grid of curve shapes, whose amplitudes are linear and solved
for exactly, so that a fit begins in the basin of the best of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myoscope.core.geometry import FloatArray

_FIRST_DAMPING, _LEAST_DAMPING, _MOST_DAMPING = 1e-3, 1e-12, 1e9
_LESS, _MORE = 0.1, 8.0
_STEP_TOLERANCE = 1e-10
_COST_TOLERANCE = 1e-13
_MOST_ITERATIONS = 100

ModelCurves = Callable[[FloatArray, NDArray[np.intp]], tuple[FloatArray, FloatArray]]
"""Parameters (curve, parameter) and which curves they are for, to curves (curve, frame) and their derivatives
(curve, frame, parameter)."""


@dataclass(frozen=True, eq=False, slots=True)
class LeastSquares:
    """Solution of a batch: parameters, model curves, sums of squares, normal matrices, and which converged."""

    value: FloatArray
    fitted: FloatArray
    cost: FloatArray
    normal: FloatArray
    converged: NDArray[np.bool_]
    iterations: int

    def or_better(self, other: LeastSquares) -> LeastSquares:
        """Curve by curve, whichever of two solutions of the same batch has the lower cost."""
        take = other.cost < self.cost

        def merged(ours: NDArray[Any], theirs: NDArray[Any]) -> NDArray[Any]:
            return np.where(take.reshape(-1, *(1,) * (ours.ndim - 1)), theirs, ours)

        return LeastSquares(
            merged(self.value, other.value),
            merged(self.fitted, other.fitted),
            merged(self.cost, other.cost),
            merged(self.normal, other.normal),
            merged(self.converged, other.converged),
            max(self.iterations, other.iterations),
        )


def solve(
    model: ModelCurves,
    data: FloatArray,
    weight: FloatArray,
    start: FloatArray,
    low: FloatArray,
    high: FloatArray,
    *,
    iterations: int = _MOST_ITERATIONS,
) -> LeastSquares:
    """Minimise the weighted sum of squares of every curve within its bounds.

    ``data`` (curve, frame), ``weight`` (curve or 1, frame), ``start``, ``low``, ``high`` (curve, parameter). Cost is
    the sum of weight times squared residual.
    """
    n = len(start)
    every = np.arange(n)
    weight = np.broadcast_to(weight, data.shape)
    theta = np.clip(start, low, high)
    fitted, slope = model(theta, every)
    cost, normal, gradient = _sums(data, fitted, slope, weight)
    damping = np.full(n, _FIRST_DAMPING)
    moving, converged = every, np.zeros(n, bool)
    # A cost this far below the data is rounding: nothing is left to gain.
    floor = 1e-28 * (weight * data**2).sum(axis=1)
    rounds = 0
    for rounds in range(1, iterations + 1):  # noqa: B007 - how many it took is told
        a = moving
        step = _step(normal[a], gradient[a], damping[a], theta[a], low[a], high[a])
        trial = np.clip(theta[a] + step, low[a], high[a])
        curve, derivative = model(trial, a)
        new_cost, new_normal, new_gradient = _sums(data[a], curve, derivative, weight[a])
        better = new_cost <= cost[a]
        size = (np.abs(trial - theta[a]) / (np.abs(theta[a]) + 1e-3)).max(axis=1)
        settled = better & (cost[a] - new_cost <= _COST_TOLERANCE * cost[a]) & (damping[a] < 1)
        # Rounding can keep a minimum from being improved: then even tiny steps fail.
        stuck = ~better & (size <= 1e-8)
        done = (size <= _STEP_TOLERANCE) | settled | stuck | (better & (new_cost <= floor[a]))
        kept = a[better]
        theta[kept], fitted[kept] = trial[better], curve[better]
        cost[kept], normal[kept], gradient[kept] = new_cost[better], new_normal[better], new_gradient[better]
        damping[a] = np.clip(np.where(better, damping[a] * _LESS, damping[a] * _MORE), _LEAST_DAMPING, _MOST_DAMPING)
        converged[a[done]] = True
        moving = a[~done]
        if not moving.size:
            break
    return LeastSquares(theta, fitted, cost, normal, converged, rounds)


def _sums(
    data: FloatArray, curve: FloatArray, slope: FloatArray, weight: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Cost (curve,), normal matrix (curve, parameter, parameter) and gradient (curve, parameter)."""
    residual = data - curve
    weighted = slope * weight[..., None]
    with np.errstate(over="ignore", invalid="ignore"):
        cost = np.einsum("nt,nt,nt->n", residual, residual, weight)
        normal = np.matmul(weighted.transpose(0, 2, 1), slope)
        gradient = np.matmul(weighted.transpose(0, 2, 1), residual[..., None])[..., 0]
    return np.where(np.isfinite(cost), cost, np.inf), normal, gradient


def _step(
    normal: FloatArray, gradient: FloatArray, damping: FloatArray, theta: FloatArray, low: FloatArray, high: FloatArray
) -> FloatArray:
    """Damped Gauss-Newton step of every curve; parameters that push against a bound are left out."""
    held = ((theta <= low) & (gradient < 0)) | ((theta >= high) & (gradient > 0))
    diagonal = np.einsum("npp->np", normal)
    scale = np.sqrt(np.maximum(diagonal, 1e-300))
    scale = np.where(held | (diagonal <= 0), 1.0, scale)
    free = ~(held | (diagonal <= 0))
    system = normal / (scale[:, :, None] * scale[:, None, :]) * (free[:, :, None] & free[:, None, :])
    index = np.arange(theta.shape[1])
    system[:, index, index] = np.where(free, 1 + damping[:, None] + 1e-15, 1.0)
    right = np.where(free, gradient / scale, 0.0)
    step: FloatArray = np.linalg.solve(system, right[..., None])[..., 0] / scale
    return step


def covariance_of(normal: FloatArray, free: NDArray[np.bool_]) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Inverse of the normal matrices over the free parameters, (curve, parameter, parameter), and which exist.

    ``free`` (curve, parameter) leaves out parameters that are fixed; their variance is 0. A matrix whose parameters
    cannot be told apart has no inverse: its condition, with the diagonal scaled to 1, is beyond 1e12.
    """
    p = normal.shape[1]
    diagonal = np.einsum("npp->np", normal)
    usable = free & (diagonal > 0)
    scale = np.where(usable, np.sqrt(np.maximum(diagonal, 1e-300)), 1.0)
    scaled = normal / (scale[:, :, None] * scale[:, None, :])
    both = usable[:, :, None] & usable[:, None, :]
    scaled = np.where(both, np.nan_to_num(scaled), 0.0)
    index = np.arange(p)
    scaled[:, index, index] = 1.0
    spectrum = np.linalg.eigvalsh(scaled)
    sound = (spectrum[:, 0] > 1e-12 * spectrum[:, -1]) & (usable | ~free).all(axis=1)
    inverse = np.linalg.inv(np.where(sound[:, None, None], scaled, np.eye(p)))
    covariance = np.where(both, inverse / (scale[:, :, None] * scale[:, None, :]), 0.0)
    return np.where(sound[:, None, None], covariance, np.nan), sound


def nearest_shape(
    data: FloatArray, weight: FloatArray, shapes: FloatArray, blood: FloatArray
) -> tuple[NDArray[np.intp], FloatArray]:
    """The best of a grid of curve shapes for each curve, with amplitudes of at least 0.

    ``shapes`` (shape, frame) are tissue curves of unit amplitude, ``blood`` (blood, frame) what spills over; each
    curve is a sum of one shape and the bloods. Returns the number of the shape, (curve,), and the amplitudes of shape
    and bloods, (curve, 1 + blood). Negative amplitudes are avoided by trying every subset of the bloods.
    """
    n_blood = len(blood)
    weight = np.broadcast_to(weight, data.shape)
    shared = bool((weight[:1] == weight).all())
    best = np.full(len(data), np.inf)
    number = np.zeros(len(data), np.intp)
    amplitude = np.zeros((len(data), 1 + n_blood))
    total = np.einsum("nt,nt,nt->n", data, data, weight)
    weighted = data * weight
    with_blood = weighted @ blood.T
    for k, shape in enumerate(shapes):
        columns = np.concatenate([shape[None], blood])  # (1 + blood, frame)
        normal = np.einsum("at,bt,nt->nab", columns, columns, weight[:1] if shared else weight)
        right = np.concatenate([(weighted @ shape)[:, None], with_blood], axis=1)
        for subset in range(2**n_blood):
            use = [0, *(1 + b for b in range(n_blood) if (subset >> b) & 1)]
            matrix = normal[:, use][:, :, use]
            matrix = matrix + 1e-12 * np.einsum("naa->na", matrix).max() * np.eye(len(use))
            if shared:
                solved = np.linalg.solve(matrix[0], right[:, use].T).T
            else:
                solved = np.linalg.solve(matrix, right[:, use, None])[..., 0]
            cost = total - (solved * right[:, use]).sum(axis=1)
            better = np.flatnonzero((solved >= 0).all(axis=1) & (cost < best))
            best[better], number[better] = cost[better], k
            amplitude[better] = 0.0
            amplitude[better[:, None], use] = solved[better]
    return number, amplitude


def nearest_curve(
    data: FloatArray, weight: FloatArray, tissue: FloatArray, blood: FloatArray, share: FloatArray, by_spill: float
) -> tuple[NDArray[np.intp], FloatArray]:
    """The best of a grid of whole tissue curves for each curve, and the spill-over beside it.

    As `nearest_shape` for models whose amplitude is no free number. ``tissue`` (grid, frame) counts with the share
    ``share`` (curve,) where nothing spills over, plus ``by_spill`` for each unit of spill-over. Returns the number,
    (curve,), and the spill-over, (curve, blood).
    """
    weight = np.broadcast_to(weight, data.shape)
    best = np.full(len(data), np.inf)
    number = np.zeros(len(data), np.intp)
    spill = np.zeros((len(data), len(blood)))
    for k, curve in enumerate(tissue):
        left = data - share[:, None] * curve
        columns = blood + by_spill * curve  # (blood, frame)
        normal = np.einsum("at,bt,nt->nab", columns, columns, weight)
        normal = normal + 1e-12 * np.einsum("naa->na", normal).max() * np.eye(len(blood))
        right = (left * weight) @ columns.T
        solved = np.clip(np.linalg.solve(normal, right[..., None])[..., 0], 0, 1)
        residual = left - solved @ columns
        cost = np.einsum("nt,nt,nt->n", residual, residual, weight)
        better = np.flatnonzero(cost < best)
        best[better], number[better], spill[better] = cost[better], k, solved[better]
    return number, spill
