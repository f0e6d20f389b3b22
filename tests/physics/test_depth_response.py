"""Gaussians of every depth from a few: accuracy, variance, counts."""

import numpy as np
import pytest

from myoscope.physics.depth_response import Kernel, depth_response, gaussian_matrix


@pytest.mark.parametrize("kernel", ["matched", "sampled"])
@pytest.mark.parametrize(("narrow_mm", "wide_mm", "cell_mm"), [(1.7, 10.3, 6.4), (2.5, 8, 3.2), (3, 3, 6.4)])
def test_a_few_gaussians_stand_for_all(narrow_mm: float, wide_mm: float, cell_mm: float, kernel: Kernel) -> None:
    response = depth_response(narrow_mm, wide_mm, cell_mm=cell_mm, kernel=kernel)
    assert len(response.sigma_mm) <= 9
    assert response.error(np.linspace(narrow_mm, wide_mm, 333)) < 2.5e-4
    weights = response.weights(np.linspace(narrow_mm, wide_mm, 50))
    assert np.allclose(weights.sum(axis=1), 1, atol=1e-6)
    assert np.abs(weights).max() < 6


@pytest.mark.parametrize("sigma_cells", [0.2, 0.4, 0.6, 0.9, 1.3, 2.0])
def test_a_matched_gaussian_has_its_variance_on_the_lattice_and_loses_nothing(sigma_cells: float) -> None:
    line = np.arange(-20, 21)
    kernel = gaussian_matrix(sigma_cells * 6.4, 6.4, out=range(-20, 21), cells=range(1), kernel="matched")[:, 0]
    assert kernel.sum() == pytest.approx(1, abs=1e-9)
    assert (kernel * line**2).sum() == pytest.approx(sigma_cells**2, rel=1e-3)
    assert (kernel >= 0).all()


def test_a_sampled_gaussian_is_too_narrow_when_it_is_narrower_than_a_cell() -> None:
    line = np.arange(-20, 21)
    kernel = gaussian_matrix(0.4 * 6.4, 6.4, out=range(-20, 21), cells=range(1), kernel="sampled")[:, 0]
    assert (kernel * line**2).sum() < 0.9 * 0.4**2
