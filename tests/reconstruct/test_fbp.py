"""Filtered back-projection: right place, right value, linear."""

import numpy as np
import pytest
import torch

from myoscope.core import InvalidValue
from myoscope.reconstruct import filtered_back_projection
from myoscope.reconstruct.fbp import view_weights_rad

torch.set_num_threads(1)
HALF_TURN = 225 - 3.0 * np.arange(60)
FULL_TURN = 3.0 * np.arange(120)
N = 48


def disc_views(angle_deg: np.ndarray, *, centre: tuple[float, float], radius: float) -> torch.Tensor:
    """Line integrals of a disc of one count per pixel, shape (view, 1, u): exact but for averaging over a pixel."""
    fine = (np.arange(N * 16) + 0.5) / 16 - N / 2
    phi = np.radians(angle_deg)[:, None]
    middle = -np.cos(phi) * centre[0] + np.sin(phi) * centre[1]
    chord = 2 * np.sqrt(np.maximum(radius**2 - (fine - middle) ** 2, 0))
    return torch.tensor(chord.reshape(len(angle_deg), 1, N, 16).mean(axis=-1), dtype=torch.float32)


@pytest.mark.parametrize("angles", [HALF_TURN, FULL_TURN], ids=["half turn", "full turn"])
def test_a_disc_comes_back_in_its_place_with_its_value(angles: np.ndarray) -> None:
    centre = (7.0, -4.0)  # pixels to the left and to anterior
    image = filtered_back_projection(disc_views(angles, centre=centre, radius=11), angle_deg=angles, pixel_mm=6.4)
    x, y = np.meshgrid(*(np.arange(N) - (N - 1) / 2,) * 2, indexing="ij")
    away = np.hypot(x - centre[0], y - centre[1])
    values = image[..., 0].numpy()
    assert values[away < 8].mean() == pytest.approx(1, abs=0.01)
    assert abs(values[(away > 14) & (np.hypot(x, y) < 20)].mean()) < 0.02
    assert (values * x)[away < 14].sum() / values[away < 14].sum() == pytest.approx(centre[0], abs=0.1)
    assert (values * y)[away < 14].sum() / values[away < 14].sum() == pytest.approx(centre[1], abs=0.1)


def test_counts_are_kept() -> None:
    views = disc_views(HALF_TURN, centre=(3, 5), radius=9)
    image = filtered_back_projection(views, angle_deg=HALF_TURN, pixel_mm=6.4)
    x, y = np.meshgrid(*(np.arange(N) - (N - 1) / 2,) * 2, indexing="ij")
    assert image[torch.tensor(np.hypot(x, y) < 22)].sum() == pytest.approx(float(views.sum()) / 60, rel=0.01)


def test_gates_reconstructed_together_add_up_to_the_ungated_image() -> None:
    gates = torch.tensor(np.random.default_rng(2).poisson(4, (3, 2, 60, 5, N)), dtype=torch.float32)
    together = filtered_back_projection(gates, angle_deg=HALF_TURN, pixel_mm=6.4)
    assert together.shape == (3, 2, N, N, 5)
    ungated = filtered_back_projection(gates.sum(dim=1), angle_deg=HALF_TURN, pixel_mm=6.4)
    torch.testing.assert_close(together.sum(dim=1), ungated, atol=2e-4, rtol=1e-4)
    alone = filtered_back_projection(gates[1, 0], angle_deg=HALF_TURN, pixel_mm=6.4)
    torch.testing.assert_close(together[1, 0], alone)


def test_views_share_half_a_turn() -> None:
    assert view_weights_rad(HALF_TURN).sum() == pytest.approx(np.pi)
    np.testing.assert_allclose(view_weights_rad(FULL_TURN), np.pi / 120)
    np.testing.assert_allclose(view_weights_rad(HALF_TURN), np.pi / 60)
    # A quarter turn stands for a quarter turn and half a step at each end, not for the half that nobody saw.
    assert view_weights_rad(3.0 * np.arange(30)).sum() == pytest.approx(np.radians(90), rel=0.03)


def test_the_order_of_the_views_does_not_matter() -> None:
    views = disc_views(HALF_TURN, centre=(3, 5), radius=9)
    shuffled = np.random.default_rng(3).permutation(60)
    one = filtered_back_projection(views, angle_deg=HALF_TURN, pixel_mm=6.4)
    other = filtered_back_projection(views[shuffled], angle_deg=HALF_TURN[shuffled], pixel_mm=6.4)
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_angles_and_views_must_match() -> None:
    with pytest.raises(InvalidValue, match="59 views"):
        filtered_back_projection(torch.zeros(59, 2, N), angle_deg=HALF_TURN, pixel_mm=6.4)
