"""The wall network, its training examples and the fit loop."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from myoscope.core import InvalidValue, MyoscopeError
from myoscope.learn import load_weights, save_weights

torch = pytest.importorskip("torch", reason="torch is not installed (pip install myoscope[train])")

from myoscope.learn.fit import FitSettings, fit  # noqa: E402 - only where torch is
from myoscope.learn.segmentation import (  # noqa: E402
    AugmentationSettings,
    WallNetwork,
    WallNetworkSettings,
    dice_cross_entropy,
    sample_training_batch,
    wall_loss,
)

if TYPE_CHECKING:
    from torch import Tensor

_TINY = WallNetworkSettings(channels=(4, 8), blocks_per_level=1, edge_channels=2)
_STILL = AugmentationSettings(
    rotation_deg=0, scale_log_sd=0, shear_sd=0, shift_mm=0, elastic_mm=0, intensity_strength=0
)
_LIVELY = AugmentationSettings(
    rotation_deg=20, scale_log_sd=0.1, shear_sd=0.04, shift_mm=8, elastic_mm=3, intensity_strength=1
)


def _network(seed: int = 0) -> WallNetwork:
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    return WallNetwork(_TINY)


def _scan() -> Tensor:
    """A bright hollow ball of radius 5 to 8 voxels on a dim background: (scan, activity and wall, i, j, k)."""
    from_centre = np.linalg.norm(np.indices((30, 26, 28)) - np.array([14, 13, 15])[:, None, None, None], axis=0)
    wall = ((from_centre > 5) & (from_centre < 8)).astype(np.float32)
    scan: Tensor = torch.from_numpy(np.stack([500 * wall + 50, wall])[None])
    return scan


def _draw(settings: AugmentationSettings, seed: int) -> tuple[Tensor, Tensor]:
    return sample_training_batch(
        _scan(),
        torch.tensor([0, 0]),
        centres_voxel=torch.tensor([[14.0, 13.0, 15.0]] * 2),
        spacing_ratio=1.0,
        side=16,
        voxel_mm=4.0,
        scaled_by="wall",
        settings=settings,
        rng=np.random.default_rng(seed),
    )


def test_importing_learn_does_not_import_torch() -> None:
    asked = "import myoscope.learn, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asked], check=False).returncode == 0


def test_every_voxel_gets_a_finite_logit() -> None:
    with torch.no_grad():
        logit = _network()(torch.rand(2, 1, 16, 16, 16))
    assert logit.shape == (2, 1, 16, 16, 16)
    assert bool(torch.isfinite(logit).all())


def test_the_right_answer_costs_less_than_the_wrong_one() -> None:
    wall = _scan()[:, 1:]
    assert dice_cross_entropy(20 * wall - 10, wall) < 0.01
    assert dice_cross_entropy(10 - 20 * wall, wall) > 5


def test_an_example_without_variation_is_the_scan_itself_scaled_by_its_wall() -> None:
    image, wall = _draw(_STILL, 0)
    scan = _scan()[0, :, 6:22, 5:21, 7:23]
    torch.testing.assert_close(wall[0, 0], scan[1], rtol=0, atol=1e-4)
    torch.testing.assert_close(image[0, 0], scan[0] / 550, rtol=0, atol=1e-3)


def test_the_same_seed_draws_the_same_examples_and_another_seed_others() -> None:
    first, again, other = (_draw(_LIVELY, seed)[0] for seed in (1, 1, 2))
    assert bool((first == again).all())
    assert not bool((first == other).all())
    assert bool(torch.isfinite(first).all())
    assert float(first.min()) >= 0


def test_a_few_steps_lower_the_loss(tmp_path: Path) -> None:
    image, wall = _draw(_STILL, 0)
    before = dice_cross_entropy(_network()(image), wall).item()
    pace = FitSettings(steps=30, batch=2, peak_learning_rate=1e-2, weight_decay=0, average_decay=0.8, seed=0)
    taught = fit(_network(), lambda _: (image, wall), wall_loss, pace, checkpoint=tmp_path / "run.pt").network
    assert dice_cross_entropy(taught(image), wall).item() < 0.5 * before


def test_stored_weights_answer_exactly_as_the_network_that_stored_them(tmp_path: Path) -> None:
    stored, loaded = _network(seed=0), _network(seed=1)
    digest = save_weights(stored, tmp_path / "w.safetensors")
    load_weights(loaded, tmp_path / "w.safetensors", sha256=digest)
    cube = torch.rand(1, 1, 16, 16, 16)
    with torch.no_grad():
        assert bool((stored(cube) == loaded(cube)).all())


def test_weights_with_another_hash_are_refused(tmp_path: Path) -> None:
    network = _network()
    digest = save_weights(network, tmp_path / "w.safetensors")
    with (tmp_path / "w.safetensors").open("ab") as file:
        file.write(b"x")
    with pytest.raises(MyoscopeError, match="not the file that was promised"):
        load_weights(network, tmp_path / "w.safetensors", sha256=digest)


def test_weights_that_are_not_numbers_are_not_stored(tmp_path: Path) -> None:
    network = _network()
    with torch.no_grad():
        next(network.parameters()).fill_(float("nan"))
    with pytest.raises(InvalidValue, match="diverged"):
        save_weights(network, tmp_path / "w.safetensors")
