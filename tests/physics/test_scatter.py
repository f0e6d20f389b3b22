"""Effective scatter sources against laws and against a Monte Carlo run of our own."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from myoscope.core import EnergyWindow, Grid, InvalidValue
from myoscope.physics.scatter import (
    EnergyResponse,
    ScatterKernel,
    compton_energy_keV,
    compton_per_cm_of_water,
    klein_nishina_cm2,
    multiple_scatter,
    scatter_kernel,
    scatter_sources,
    window_coefficients,
)

ENERGY_KEV, WATER_PER_CM = 140.5, 0.1536
PEAK, LOWER = EnergyWindow("photopeak", 126, 154), EnergyWindow("lower", 120, 126)
NAI = EnergyResponse(9.5)
GRID = Grid.axis_aligned((32, 24, 28), spacing_mm=12.8)
HALF_CM = (16.0, 11.0, 15.0)  # elliptic cylinder of water, the size of a chest
FloatArray = NDArray[np.float64]


def _cylinder() -> torch.Tensor:
    x, y, z = np.moveaxis(GRID.points_mm() / 10, -1, 0)
    inside = ((x / HALF_CM[0]) ** 2 + (y / HALF_CM[1]) ** 2 < 1) & (np.abs(z) < HALF_CM[2])
    return torch.from_numpy((WATER_PER_CM * inside).astype(np.float32))


def _kernel(*windows: EnergyWindow, towards: tuple[float, float, float] = (0.0, -1.0, 0.0)) -> ScatterKernel:
    return scatter_kernel(
        GRID,
        towards_detector=np.array([towards]),
        windows=windows,
        response=NAI,
        energy_keV=ENERGY_KEV,
        mu_water_per_cm=WATER_PER_CM,
    )


def _sources(activity: torch.Tensor, mu: torch.Tensor, *windows: EnergyWindow) -> torch.Tensor:
    """Effective source of each window towards the front, shape (window, i, j, k)."""
    kernel = _kernel(*windows)
    return torch.einsum("wb,bijk->wijk", kernel.view_weight[:, 0], scatter_sources(activity, mu, kernel))


def _out_to_front(source: torch.Tensor, mu: torch.Tensor) -> torch.Tensor:
    """What leaves towards the front (-y) of a source, attenuated on the way, summed over the detector."""
    way_cm = GRID.spacing_mm[1] / 10
    through = torch.exp(-(torch.cumsum(mu, dim=-2) - mu / 2) * way_cm)
    return (source * through).sum(dim=(-3, -2, -1))


def _point() -> torch.Tensor:
    activity = torch.zeros(GRID.shape)
    activity[15:17, 11:13, 13:15] = 1.0
    return activity


def test_energy_after_compton_scatter_is_the_textbook_one() -> None:
    assert compton_energy_keV(140.5, 1.0) == pytest.approx(140.5)
    assert compton_energy_keV(140.5, 0.0) == pytest.approx(140.5 / (1 + 140.5 / 511), rel=1e-5)
    # Thomson scattering at low energy: r_e^2 (1 + cos^2) / 2.
    assert klein_nishina_cm2(1e-3, 0.0) == pytest.approx(7.9407877e-26 / 2, rel=1e-4)


def test_nearly_all_attenuation_of_water_at_140_kev_is_compton_scatter() -> None:
    assert 0.95 < compton_per_cm_of_water(ENERGY_KEV) / WATER_PER_CM < 1.0


def test_half_the_photons_at_the_edge_of_a_window_are_accepted() -> None:
    assert NAI.acceptance(126.0, PEAK) == pytest.approx(0.5, abs=0.001)
    assert NAI.acceptance(140.5, PEAK) == pytest.approx(0.986, abs=0.001)


def test_a_wider_window_takes_more_scatter() -> None:
    widths = (0.10, 0.15, 0.20, 0.30)
    share = [
        window_coefficients(ENERGY_KEV, EnergyWindow("w", 140 * (1 - w / 2), 140 * (1 + w / 2)), NAI)[0] for w in widths
    ]
    assert (np.diff(share) > 0).all()
    mu = _cylinder()
    out = [
        float(_out_to_front(_sources(_point(), mu, EnergyWindow("w", 140 * (1 - w / 2), 140 * (1 + w / 2))), mu)[0])
        for w in widths
    ]
    assert (np.diff(out) > 0).all()


def test_nothing_scatters_where_nothing_attenuates() -> None:
    assert not _sources(_point(), torch.zeros(GRID.shape), PEAK).any()
    mu = _cylinder()
    assert not _sources(_point(), mu, PEAK)[0][mu == 0].any()


def test_scatter_is_linear_in_the_activity() -> None:
    generator = torch.Generator().manual_seed(1)
    first, second = (torch.rand(GRID.shape, generator=generator) for _ in range(2))
    mu = _cylinder()
    together = _sources(2 * first + 3 * second, mu, PEAK)
    apart = 2 * _sources(first, mu, PEAK) + 3 * _sources(second, mu, PEAK)
    assert torch.allclose(together, apart, rtol=1e-4, atol=1e-4 * float(together.max()))


def test_opposite_and_turned_views_see_the_mirror_image() -> None:
    mu = torch.full(GRID.shape, WATER_PER_CM)
    activity = torch.zeros(GRID.shape)
    activity[16, 12, 14] = 1.0

    def source(towards: tuple[float, float, float]) -> torch.Tensor:
        kernel = _kernel(PEAK, towards=towards)
        return torch.einsum("b,bijk->ijk", kernel.view_weight[0, 0], scatter_sources(activity, mu, kernel))

    front, back, left = source((0, -1, 0)), source((0, 1, 0)), source((1, 0, 0))
    assert torch.allclose(front[16, 5:20, 14], back[16, 5:20, 14].flip(0), atol=1e-6)
    # Scatter goes on forward: more of it arises on the way to the detector than behind the source.
    assert float(front[16, 11, 14]) > 3 * float(front[16, 13, 14])
    assert torch.allclose(left[12:21, 12, 14], back[16, 8:17, 14], atol=1e-6)


@pytest.mark.parametrize("where", ["point", "uniform"])
def test_scatter_agrees_with_monte_carlo_in_water_of_a_chest(where: str) -> None:
    mu = _cylinder()
    activity = _point() if where == "point" else (mu > 0).float()
    peak, lower = _out_to_front(_sources(activity, mu, PEAK, LOWER), mu)
    primary = _out_to_front(activity, mu) * float(NAI.acceptance(ENERGY_KEV, PEAK))
    truth = _monte_carlo(_draw_point if where == "point" else _draw_uniform, np.random.default_rng(7))
    assert float(peak / primary) == pytest.approx(truth[:, 0].sum() / truth[0, 0] - 1, rel=0.08)
    assert float(lower / primary) == pytest.approx(truth[1:, 1].sum() / truth[0, 0], rel=0.08)
    # Scatter over total in a 20 % window; a chest lies between these two at 0.25 to 0.35.
    assert 0.2 < float(peak / (primary + peak)) < 0.45


def test_the_triangular_window_recovers_most_of_the_scatter_in_the_photopeak() -> None:
    """Within 15 %: the lower window sees what has lost more energy, not what lies under the peak."""
    mu = _cylinder()
    for activity in (_point(), (mu > 0).float()):
        peak, lower = _out_to_front(_sources(activity, mu, PEAK, LOWER), mu)
        primary = _out_to_front(activity, mu)
        spill = primary * float(NAI.acceptance(ENERGY_KEV, LOWER))
        estimate = (lower + spill) / 6 * 28 / 2
        assert float(estimate / peak) == pytest.approx(1.0, abs=0.15)


def test_further_collisions_matter_more_in_a_lower_window() -> None:
    assert 1.1 < multiple_scatter(ENERGY_KEV, PEAK, NAI) < 1.3
    assert multiple_scatter(ENERGY_KEV, LOWER, NAI) > multiple_scatter(ENERGY_KEV, PEAK, NAI)


def test_maps_on_other_grids_are_refused() -> None:
    with pytest.raises(InvalidValue, match="grid"):
        scatter_sources(torch.zeros(4, 4, 4), torch.zeros(4, 4, 4), _kernel(PEAK))
    with pytest.raises(InvalidValue, match="unit vectors"):
        _kernel(PEAK, towards=(0.0, 2.0, 0.0))


def _draw_point(n: int, _: np.random.Generator) -> FloatArray:
    return np.zeros((n, 3))


def _draw_uniform(n: int, rng: np.random.Generator) -> FloatArray:
    points = rng.uniform(-1, 1, (2 * n, 3))
    inside: FloatArray = points[(points[:, :2] ** 2).sum(axis=1) < 1][:n] * HALF_CM
    return inside


def _way_out_cm(point: FloatArray, direction: FloatArray) -> FloatArray:
    half = np.array(HALF_CM[:2])
    a = ((direction[:, :2] / half) ** 2).sum(axis=1)
    b = 2 * (point[:, :2] * direction[:, :2] / half**2).sum(axis=1)
    c = ((point[:, :2] / half) ** 2).sum(axis=1) - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        side = (-b + np.sqrt(np.maximum(b * b - 4 * a * c, 0))) / (2 * a)
        end = np.where(
            direction[:, 2] == 0, np.inf, (np.sign(direction[:, 2]) * HALF_CM[2] - point[:, 2]) / direction[:, 2]
        )
    way: FloatArray = np.minimum(np.where(a > 1e-12, side, np.inf), end)
    return way


def _monte_carlo(
    draw: Callable[[int, np.random.Generator], FloatArray], rng: np.random.Generator, n: int = 150_000
) -> FloatArray:
    """Photons in the two windows towards the front by number of collisions, shape (collision, window).

    Analog transport in water with forced detection at every collision; free electrons, no coherent scatter.
    """
    front = np.array([0.0, -1.0, 0.0])

    def mu(energy: FloatArray) -> FloatArray:
        energies, water = (60.0, 80.0, 100.0, 150.0), (0.2059, 0.1837, 0.1707, 0.1505)  # 1/cm, NIST
        return np.exp(np.interp(np.log(energy), np.log(energies), np.log(water)))

    def accepted(energy: FloatArray) -> FloatArray:
        return np.stack([NAI.acceptance(energy, PEAK), NAI.acceptance(energy, LOWER)], axis=1)

    point = draw(n, rng)
    n = len(point)
    direction = rng.normal(size=(n, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    energy, weight = np.full(n, ENERGY_KEV), np.ones(n)
    to_front = np.broadcast_to(front, (n, 3))
    through = np.exp(-mu(energy) * _way_out_cm(point, to_front)) / (4 * np.pi)
    detected = [(through[:, None] * accepted(energy)).mean(axis=0)]
    for _ in range(4):
        inside = -np.expm1(-mu(energy) * _way_out_cm(point, direction))
        step = -np.log1p(-rng.random(n) * inside) / mu(energy)
        point = point + direction * step[:, None]
        x = energy / 510.99895
        section = (
            2
            * np.pi
            * 7.9407877e-26
            * (
                (1 + x) / x**2 * (2 * (1 + x) / (1 + 2 * x) - np.log1p(2 * x) / x)
                + np.log1p(2 * x) / (2 * x)
                - (1 + 3 * x) / (1 + 2 * x) ** 2
            )
        )
        weight = weight * inside * np.minimum(section * 3.343e23 / mu(energy), 1)
        cosine = direction @ front
        after = energy / (1 + x * (1 - cosine))
        ratio = after / energy
        per_sr = 7.9407877e-26 / 2 * ratio**2 * (ratio + 1 / ratio - 1 + cosine**2) / section
        out = weight * per_sr * np.exp(-mu(after) * _way_out_cm(point, to_front))
        detected.append((out[:, None] * accepted(after)).mean(axis=0))
        turn = np.empty(n)
        waiting = np.arange(n)
        while len(waiting):
            trial = rng.uniform(-1, 1, len(waiting))
            ratio = 1 / (1 + x[waiting] * (1 - trial))
            kept = rng.random(len(waiting)) < ratio**2 * (ratio + 1 / ratio - 1 + trial**2) / 2
            turn[waiting[kept]] = trial[kept]
            waiting = waiting[~kept]
        around = rng.uniform(0, 2 * np.pi, n)
        helper = np.where(np.abs(direction[:, 2:]) < 0.9, [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]])
        first = np.cross(direction, helper)
        first /= np.linalg.norm(first, axis=1, keepdims=True)
        second = np.cross(direction, first)
        sideways = np.cos(around)[:, None] * first + np.sin(around)[:, None] * second
        direction = turn[:, None] * direction + np.sqrt(1 - turn**2)[:, None] * sideways
        energy = energy / (1 + x * (1 - turn))
    return np.array(detected)
