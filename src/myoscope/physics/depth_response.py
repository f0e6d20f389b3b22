"""Blur that changes with depth, from a handful of Gaussians.

The collimator blurs every plane parallel to the detector by a Gaussian of its own width. All of them are very nearly
sums of a few Gaussians of fixed widths (least squares; widths at the Chebyshev points of the range):

    blur of a plane at depth d  =  sum over n of  weight[d, n] * Gaussian of width n,       n = 1 ... 5 to 8

Planes are first summed with their weights, then blurred: a few blurs for a view instead of one for each depth. A
Gaussian is separable, so that a blur is two small matrices, one along columns and one along rows, into which the
size of the pixels goes too; the transpose is the transposed matrices, and nothing comes round at the edges. Their
weights are of the order of 1 and add up to 1: counts are conserved.

On a lattice a Gaussian is sampled and normalised. Sampled so, one that is narrower than a cell is narrower still; a
"matched" one is sampled from the width that gives it the variance it should have, a "sampled" one is left as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from myoscope.core.geometry import FloatArray

Kernel = Literal["matched", "sampled"]

_MOST = 12  # fixed widths; more are never needed for a range of widths that a collimator has
_FREQUENCIES = 24


@dataclass(frozen=True, eq=False, slots=True)
class DepthResponse:
    """A few Gaussians, ``sigma_mm``, that stand for all between the narrowest and the widest."""

    sigma_mm: FloatArray
    cell_mm: float
    kernel: Kernel

    def weights(self, sigma_mm: FloatArray) -> FloatArray:
        """What each fixed Gaussian contributes to Gaussians of these widths, shape (width, fixed)."""
        fixed, wanted = (_transfer(s, self.cell_mm, self.kernel) for s in (self.sigma_mm, sigma_mm))
        # Frequency zero counts so much that counts are conserved.
        importance = np.ones(fixed.shape[1])
        importance[0] = 1e3
        solved, *_ = np.linalg.lstsq((fixed * importance).T, (wanted * importance).T, rcond=None)
        weights: FloatArray = np.asarray(solved.T, dtype=np.float64)
        return weights

    def error(self, sigma_mm: FloatArray) -> float:
        """Largest error of the transfer functions of Gaussians of these widths (of 1)."""
        fixed, wanted = (_transfer(s, self.cell_mm, self.kernel) for s in (self.sigma_mm, sigma_mm))
        return float(np.abs(self.weights(sigma_mm) @ fixed - wanted).max())


def depth_response(
    narrow_mm: float, wide_mm: float, *, cell_mm: float, kernel: Kernel = "matched", tolerance: float = 2e-4
) -> DepthResponse:
    """The fewest fixed Gaussians that stand for all standard deviations between two.

    ``cell_mm`` is the smaller spacing of the lattice; no transfer function of a width in between is wrong by more
    than ``tolerance`` at any frequency.
    """
    between = np.linspace(narrow_mm, wide_mm, 100)
    for n in range(1, _MOST + 1):
        chebyshev = (1 - np.cos(np.pi * (np.arange(n) + 0.5) / n)) / 2
        root = np.sqrt(narrow_mm) + (np.sqrt(wide_mm) - np.sqrt(narrow_mm)) * chebyshev
        response = DepthResponse(root**2, cell_mm, kernel)
        if response.error(between) <= tolerance:
            break
    return response


def gaussian_matrix(sigma_mm: float, cell_mm: float, *, out: range, cells: range, kernel: Kernel) -> FloatArray:
    """The Gaussian from every cell to every cell of another stretch of the same line, shape (out, cell)."""
    distance = np.abs(np.subtract.outer(np.arange(out.start, out.stop), np.arange(cells.start, cells.stop)))
    weights = _kernels(np.array([sigma_mm / cell_mm]), int(distance.max(initial=0)), kernel)[0]
    matrix: FloatArray = weights[distance]
    return matrix


def _kernels(sigma_cells: FloatArray, reach: int, kernel: Kernel) -> FloatArray:
    """Weights at 0, 1 ... reach cells from the middle, shape (width, cell)."""
    width = np.maximum(_matched(sigma_cells) if kernel == "matched" else sigma_cells, 1e-3)
    at = np.arange(max(reach, int(np.ceil(8 * width.max()))) + 1)
    values = np.exp(-(at**2) / (2 * width[:, None] ** 2))
    whole: FloatArray = values[:, : reach + 1] / (2 * values.sum(axis=1, keepdims=True) - 1)
    return whole


def _matched(sigma_cells: FloatArray) -> FloatArray:
    """The widths that, sampled in steps of 1, have the standard deviations asked for."""
    widths, deviations = _sampled_deviation()
    return np.where(sigma_cells < deviations[-1], np.interp(sigma_cells, deviations, widths), sigma_cells)


@cache
def _sampled_deviation() -> tuple[FloatArray, FloatArray]:
    """Widths up to 1.2 cells, from which on nothing changes, and the standard deviations they have when sampled."""
    widths = np.linspace(0.08, 1.2, 2000)
    at = np.arange(1, 12)
    values = np.exp(-(at**2) / (2 * widths[:, None] ** 2))
    deviations: FloatArray = np.sqrt(2 * (values * at**2).sum(axis=1) / (1 + 2 * values.sum(axis=1)))
    return widths, deviations


def _transfer(sigma_mm: FloatArray, cell_mm: float, kernel: Kernel) -> FloatArray:
    """Transfer functions over both directions of a square lattice, shape (width, frequency)."""
    angle = np.linspace(0, np.pi, _FREQUENCIES)
    cells = np.asarray(sigma_mm, dtype=np.float64) / cell_mm
    reach = max(1, int(np.ceil(8 * cells.max(initial=0))))
    values = _kernels(cells, reach, kernel)
    values[:, 1:] *= 2
    one = values @ np.cos(np.outer(np.arange(reach + 1), angle))
    both: FloatArray = (one[:, :, None] * one[:, None, :]).reshape(len(one), -1)
    return both
