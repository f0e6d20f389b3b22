"""Scattered photons in an energy window, as an effective source that is projected like the activity itself.

After Frey and Tsui (Effective source scatter estimation, IEEE Trans Nucl Sci 1996): scatter is treated as if it had
been emitted where it was last scattered, from a source that depends on the direction towards the detector, and is
then attenuated on its way out as primary photons are. Their kernels come from Monte Carlo simulation; these come
from first-order Compton physics. A photon of energy E emitted at x reaches x' through water, is scattered there by
the angle t towards the detector, and counts when its energy after scattering falls into the window of a detector of
finite resolution:

    S(x'; n) = mu_C(x') * integral a(x) exp(-mu_w r) / (4 pi r^2) * f(cos t) dx,    r = |x' - x|
    f(cos t) = 4 pi (dsigma/dOmega) / sigma * P(window | E / (1 + (E / 511 keV)(1 - cos t)))

with the Klein-Nishina cross section and mu_C = mu * (Compton share of water). f is expanded in Legendre polynomials,
so that the source of every direction is a sum of a few images, whatever the number of views; each is one
convolution. Photons scattered more than once are not followed in space, only in energy: the share of them that falls
into a window after two, three and four collisions raises the first order (`multiple_scatter`). How likely another
collision is, was set with a Monte Carlo run in water of a chest's size (in the tests).
Differences of density between x and x', the softening on the way out, and coherent scatter are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import erf, lpmv

from myoscope.core import EnergyWindow, Grid, InvalidValue
from myoscope.core.geometry import FloatArray

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_ELECTRON_KEV = 510.99895
_CLASSICAL_RADIUS_SQUARED_CM2 = 7.9407877e-26
_ELECTRONS_PER_CM3_OF_WATER = 3.343e23
_DEGREE = 4
_FWHM_TO_SIGMA = 1 / np.sqrt(8 * np.log(2))
# Photons that scatter once more, per scattered photon of any energy that would leave, in a chest of water.
_NEXT_ORDER, _ORDERS = 0.8, 4


@dataclass(frozen=True, slots=True)
class EnergyResponse:
    """How a detector tells energies: a Gaussian whose width grows with the square root of the energy.

    ``resolution_percent`` is the full width at half maximum at ``reference_keV``, as a share of it.
    """

    resolution_percent: float
    reference_keV: float = 140.5

    def __post_init__(self) -> None:
        if not 0 < self.resolution_percent < 50 or self.reference_keV <= 0:
            raise InvalidValue(f"an energy resolution is a small positive percentage of an energy, got {self}")

    def acceptance(self, energy_keV: FloatArray | float, window: EnergyWindow) -> FloatArray:
        """Share of detected photons of an energy that is counted in the window."""
        energy = np.asarray(energy_keV, dtype=np.float64)
        fwhm = self.resolution_percent / 100 * np.sqrt(energy * self.reference_keV)
        scale = np.sqrt(2) * fwhm * _FWHM_TO_SIGMA
        share: FloatArray = (erf((window.upper_keV - energy) / scale) - erf((window.lower_keV - energy) / scale)) / 2
        return share


def compton_energy_keV(energy_keV: float, cosine: FloatArray | float) -> FloatArray:
    """Energy of a photon after Compton scattering by the angle with that cosine."""
    scattered: FloatArray = energy_keV / (1 + energy_keV / _ELECTRON_KEV * (1 - np.asarray(cosine, dtype=np.float64)))
    return scattered


def klein_nishina_cm2(energy_keV: float, cosine: FloatArray | float) -> FloatArray:
    """Differential cross section per electron and steradian (cm^2)."""
    cosine = np.asarray(cosine, dtype=np.float64)
    ratio = compton_energy_keV(energy_keV, cosine) / energy_keV
    section: FloatArray = _CLASSICAL_RADIUS_SQUARED_CM2 / 2 * ratio**2 * (ratio + 1 / ratio - 1 + cosine**2)
    return section


def compton_per_cm_of_water(energy_keV: float) -> float:
    """Compton attenuation of water (1/cm), electrons taken as free."""
    cosine, weight = np.polynomial.legendre.leggauss(64)
    total = 2 * np.pi * float(weight @ klein_nishina_cm2(energy_keV, cosine))
    return total * _ELECTRONS_PER_CM3_OF_WATER


def window_coefficients(energy_keV: float, window: EnergyWindow, response: EnergyResponse) -> FloatArray:
    """Legendre coefficients c_l of f(cos t) = sum c_l P_l: scatter into the window by angle, isotropic = 1.

    c_0 is the share of scattered photons whose energy falls into the window.
    """
    cosine, weight = np.polynomial.legendre.leggauss(256)
    section = klein_nishina_cm2(energy_keV, cosine)
    density = 2 * section / float(weight @ section)
    f = density * response.acceptance(compton_energy_keV(energy_keV, cosine), window)
    return np.array(
        [(2 * n + 1) / 2 * float(weight @ (f * lpmv(0, n, cosine))) for n in range(_DEGREE + 1)], dtype=np.float64
    )


def multiple_scatter(energy_keV: float, window: EnergyWindow, response: EnergyResponse) -> float:
    """Detected scatter of all orders over its first order.

    Low windows gain more: each collision takes energy.
    """
    cosine, weight = np.polynomial.legendre.leggauss(64)
    lowest = float(compton_energy_keV(energy_keV, -1.0))
    for _ in range(_ORDERS - 1):
        lowest = float(compton_energy_keV(lowest, -1.0))
    nodes = np.linspace(lowest, energy_keV, 400)
    step = nodes[1] - nodes[0]
    move = np.zeros((len(nodes), len(nodes)))
    for n, energy in enumerate(nodes):
        section = weight * klein_nishina_cm2(float(energy), cosine)
        place = np.clip((compton_energy_keV(float(energy), cosine) - lowest) / step, 0, len(nodes) - 1 - 1e-9)
        below = place.astype(int)
        np.add.at(move[n], below, (1 - (place - below)) * section / section.sum())
        np.add.at(move[n], below + 1, (place - below) * section / section.sum())
    accepted = response.acceptance(nodes, window)
    spectrum = move[-1]
    first = float(spectrum @ accepted)
    total = first
    for order in range(1, _ORDERS):
        spectrum = spectrum @ move
        total += _NEXT_ORDER**order * float(spectrum @ accepted)
    return total / first


@dataclass(frozen=True, eq=False, slots=True)
class ScatterKernel:
    """Convolution kernels that turn an activity into scatter towards a set of views.

    ``spectrum`` (basis, fi, fj, fk) complex64: transforms of the kernels on the padded grid; ``view_weight``
    (window, view, basis): how much of each convolution a view adds up.
    """

    grid: Grid
    padded_shape: tuple[int, int, int]
    spectrum: Tensor
    view_weight: Tensor
    compton_share: float

    def to(self, device: str | torch.device) -> ScatterKernel:
        """The same kernels on another device."""
        return replace(self, spectrum=self.spectrum.to(device), view_weight=self.view_weight.to(device))


def scatter_kernel(
    grid: Grid,
    *,
    towards_detector: FloatArray,
    windows: tuple[EnergyWindow, ...],
    response: EnergyResponse,
    energy_keV: float,
    mu_water_per_cm: float,
) -> ScatterKernel:
    """Kernels for a grid, the unit vectors towards the detectors (view, 3) and energy windows.

    They depend on no patient and are kept: the same camera and spacing cost nothing the second time.
    """
    directions = np.ascontiguousarray(np.asarray(towards_detector, dtype=np.float64))
    if directions.ndim != 2 or directions.shape[1] != 3 or not np.allclose(np.linalg.norm(directions, axis=1), 1):
        raise InvalidValue("directions towards the detectors are unit vectors, one per view")
    limits = tuple((w.lower_keV, w.upper_keV) for w in windows)
    return _kernel(
        grid, directions.round(6).tobytes(), limits, response, round(float(energy_keV), 3), round(mu_water_per_cm, 5)
    )


def scatter_sources(activity: Tensor, attenuation_per_cm: Tensor, kernel: ScatterKernel) -> Tensor:
    """Effective sources of scatter, shape (..., basis, i, j, k), in the unit of the activity (..., i, j, k).

    ``attenuation_per_cm`` (i, j, k) lies on the same grid. What a view v of window w sees is their sum with the
    weights ``kernel.view_weight[w, v]``, projected with attenuation. Linear in the activity; zero where nothing
    attenuates.
    """
    import torch

    if activity.shape[-3:] != kernel.grid.shape or attenuation_per_cm.shape != kernel.grid.shape:
        raise InvalidValue(
            f"activity {tuple(activity.shape)} and attenuation {tuple(attenuation_per_cm.shape)} do not lie on the "
            f"grid of the scatter kernel, {kernel.grid.shape}"
        )
    n_i, n_j, n_k = kernel.grid.shape
    transformed = torch.fft.rfftn(activity, s=kernel.padded_shape, dim=(-3, -2, -1))
    scattered = torch.fft.irfftn(
        transformed[..., None, :, :, :] * kernel.spectrum, s=kernel.padded_shape, dim=(-3, -2, -1)
    )
    sources: Tensor = scattered[..., :n_i, :n_j, :n_k] * (attenuation_per_cm * kernel.compton_share)
    return sources


@lru_cache(maxsize=8)
def _kernel(
    grid: Grid,
    directions: bytes,
    limits: tuple[tuple[float, float], ...],
    response: EnergyResponse,
    energy_keV: float,
    mu_water_per_cm: float,
) -> ScatterKernel:
    import torch
    from scipy.fft import next_fast_len, rfftn

    towards = np.frombuffer(directions).reshape(-1, 3)
    windows = [EnergyWindow(f"{low:g} to {high:g} keV", low, high) for low, high in limits]
    harmonics = _harmonics(towards)  # (view, lm)
    degree = np.concatenate([np.full(2 * n + 1, n) for n in range(_DEGREE + 1)])
    coefficients = np.stack(
        [window_coefficients(energy_keV, w, response) * multiple_scatter(energy_keV, w, response) for w in windows]
    )  # (window, l)
    # f(cos t) = sum_l c_l 4 pi / (2 l + 1) sum_m Y_lm(n) Y_lm(r)
    weight = harmonics * (coefficients * 4 * np.pi / (2 * np.arange(_DEGREE + 1) + 1))[:, None, degree]
    flat = weight.reshape(-1, len(degree))  # (window and view, lm)
    _, size, right = np.linalg.svd(flat, full_matrices=False)
    rank = int((size > 1e-6 * size[0]).sum())
    view_weight = (flat @ right[:rank].T).reshape(len(windows), len(towards), rank)

    padded = tuple(next_fast_len(2 * n - 1, real=True) for n in grid.shape)
    offsets = [np.minimum(np.arange(n), n - np.arange(n)) * np.where(np.arange(n) <= n // 2, 1, -1) for n in padded]
    kernels = _kernel_values(offsets, grid.spacing_mm, mu_water_per_cm, right[:rank])
    spectrum = np.stack([rfftn(one.astype(np.float32)) for one in kernels])
    return ScatterKernel(
        grid,
        (padded[0], padded[1], padded[2]),
        torch.from_numpy(spectrum.astype(np.complex64)),
        torch.from_numpy(view_weight.astype(np.float32)),
        compton_per_cm_of_water(energy_keV) / mu_water_per_cm,
    )


def _kernel_values(
    offsets: list[FloatArray], spacing_mm: FloatArray, mu_per_cm: float, combine: FloatArray
) -> list[FloatArray]:
    """exp(-mu r) / (4 pi r^2) times each combination of harmonics, times the voxel's volume; unit cm."""
    axes = [offset * step / 10 for offset, step in zip(offsets, spacing_mm, strict=True)]  # cm
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    volume = float(np.prod(spacing_mm / 10))
    r = np.sqrt(x**2 + y**2 + z**2)
    r[0, 0, 0] = 1.0
    points = np.stack(np.broadcast_arrays(x / r, y / r, z / r), axis=-1)
    fall = np.exp(-mu_per_cm * r) / (4 * np.pi * r**2) * volume
    # Inside its own voxel a source reaches what lies there on average: the integral over a ball of equal volume.
    ball = (3 * volume / (4 * np.pi)) ** (1 / 3)
    fall[0, 0, 0] = -np.expm1(-mu_per_cm * ball) / mu_per_cm
    harmonics = _harmonics(points.reshape(-1, 3))
    harmonics[0, 1:] = 0.0  # no direction of its own
    return [(harmonics @ row).reshape(r.shape) * fall for row in combine]


def _harmonics(unit: FloatArray) -> FloatArray:
    """Real spherical harmonics up to the degree of the expansion, shape (..., (degree + 1)^2)."""
    x, y, z = unit[..., 0], unit[..., 1], np.clip(unit[..., 2], -1, 1)
    azimuth = np.arctan2(y, x)
    columns = []
    for n in range(_DEGREE + 1):
        for m in range(-n, n + 1):
            k = abs(m)
            factorial = np.prod(np.arange(n - k + 1, n + k + 1, dtype=np.float64))
            norm = np.sqrt((2 * n + 1) / (4 * np.pi) / factorial) * (np.sqrt(2) if m else 1)
            turn = np.cos(k * azimuth) if m >= 0 else np.sin(k * azimuth)
            columns.append(norm * lpmv(k, n, z) * turn)
    return np.stack(columns, axis=-1)
