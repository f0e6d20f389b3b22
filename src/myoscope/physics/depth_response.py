"""Blur that changes with depth, as a sum of a few filters.

The collimator blurs every plane parallel to the detector by a Gaussian of its own. All these Gaussians are one
smooth family, so that a few functions span them (singular value decomposition of their transfer functions):

    blur of plane d  =  sum over r of  weight[d, r] * filter r,        r = 1 ... rank (4 to 7)

Planes are first summed with their weights, then filtered: `rank` filters instead of one for each depth. Filters are
diagonal in a real Fourier basis (cosines and sines), so that filtering is three small matrix products and its
transpose is three others. The basis is periodic; its period leaves room for the blur, so that nothing comes round.

The Gaussian on a lattice is the *discrete* one (Lindeberg 1990), with the transfer function exp(-s (1 - cos w)):
it is positive and normalised and its variance is exactly s for every width. A sampled Gaussian, which is what most
programs take, is too narrow when it is narrower than a cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from myoscope.core.geometry import FloatArray

Kernel = Literal["discrete", "sampled"]


@dataclass(frozen=True, eq=False, slots=True)
class DepthResponse:
    """Filters (rank, frequency u, frequency z) that span the Gaussians of a range of widths."""

    filters: FloatArray
    spacing_mm: tuple[float, float]
    kernel: Kernel
    _counted: FloatArray  # (frequency u, frequency z) how the filters were weighted against each other

    def weights(self, sigma_mm: FloatArray) -> FloatArray:
        """Weight of every filter for Gaussians of these widths, shape (..., rank)."""
        n_u, n_z = self.filters.shape[1:]
        family = _transfer(sigma_mm, (n_u, n_z), self.spacing_mm, self.kernel)
        weights: FloatArray = np.einsum("...uz,ruz->...r", family * self._counted**2, self.filters)
        return weights


def depth_response(
    sigma_range_mm: tuple[float, float],
    *,
    period: tuple[int, int],
    spacing_mm: tuple[float, float],
    kernel: Kernel = "discrete",
    tolerance: float = 1e-4,
) -> DepthResponse:
    """The filters for Gaussians between two widths on a periodic lattice of ``period`` (u, z) cells.

    No transfer function is further from its sum of filters than ``tolerance`` (of 1).
    """
    widths = np.linspace(*sigma_range_mm, 64)
    family = _transfer(widths, period, spacing_mm, kernel)
    # Distances of transfer functions are measured with every frequency counted once.
    counted = np.full(period, 1 / np.sqrt(np.prod(period)))
    flat = (family * counted).reshape(len(widths), -1)
    _, _, right = np.linalg.svd(flat, full_matrices=False)
    for rank in range(1, len(widths) + 1):
        filters = right[:rank]
        missed = np.abs(flat - (flat @ filters.T) @ filters) / counted.reshape(-1)
        if missed.max() <= tolerance:
            break
    return DepthResponse(filters.reshape(rank, *period) / counted, spacing_mm, kernel, counted)


def fourier_basis(period: int) -> FloatArray:
    """Orthonormal cosines and sines of a periodic lattice, shape (frequency, cell).

    Row f has the wave number (f + 1) // 2. An even filter is diagonal in it.
    """
    wave = (np.arange(period) + 1) // 2
    phase = 2 * np.pi * np.outer(wave, np.arange(period)) / period
    sine = (np.arange(period) % 2 == 0)[:, None] & (wave > 0)[:, None]
    basis: FloatArray = np.where(sine, np.sin(phase), np.cos(phase)) * np.sqrt(2 / period)
    basis[0] = 1 / np.sqrt(period)
    if period % 2 == 0:
        basis[-1] = np.cos(phase[-1]) / np.sqrt(period)
    return basis


def _transfer(
    sigma_mm: FloatArray, period: tuple[int, int], spacing_mm: tuple[float, float], kernel: Kernel
) -> FloatArray:
    """Transfer functions of Gaussians in the real Fourier basis, shape (..., frequency u, frequency z)."""
    one_axis = []
    for n, spacing in zip(period, spacing_mm, strict=True):
        cells = np.asarray(sigma_mm, dtype=np.float64)[..., None] / spacing
        angle = 2 * np.pi * ((np.arange(n) + 1) // 2) / n
        if kernel == "discrete":
            one_axis.append(np.exp(-(cells**2) * (1 - np.cos(angle))))
        else:
            reach = np.arange(-(n // 2), n // 2 + 1)
            values = np.exp(-(reach**2) / (2 * np.maximum(cells, 1e-6) ** 2))
            values /= values.sum(axis=-1, keepdims=True)
            one_axis.append(values @ np.cos(np.outer(reach, angle)))
    family: FloatArray = one_axis[0][..., :, None] * one_axis[1][..., None, :]
    return family
