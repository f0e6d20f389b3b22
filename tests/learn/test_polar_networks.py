"""Networks over polar maps: what they must not notice, what they must, and that they come back from their files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from myoscope.core import InvalidValue, MyoscopeError, UnreadableFile
from myoscope.learn import (
    InputDescription,
    ModelCard,
    OnnxNetwork,
    describe_inputs,
    fit_temperature,
    load_weights,
    read_card,
    save_weights,
)
from myoscope.learn.card import NOT_FOR_CLINICAL_USE
from myoscope.learn.wrong_turns import wrong_turns

torch = pytest.importorskip("torch", reason="torch is not installed (pip install myoscope[train])")

from torch import Tensor, nn  # noqa: E402 - only where torch is

from myoscope.learn.augment import PolarAugmentation, augment_polar  # noqa: E402
from myoscope.learn.backbones.fused_cnn import FusedCnn  # noqa: E402
from myoscope.learn.backbones.polar_resnet import PolarResnet  # noqa: E402
from myoscope.learn.backbones.vessel_cnn import VesselCnn  # noqa: E402
from myoscope.learn.ensemble import Ensemble  # noqa: E402
from myoscope.learn.polar_layers import MaskedScale, PolarConv, pad_polar  # noqa: E402

BACKBONES = [VesselCnn, FusedCnn, PolarResnet]


def _inputs(n: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, 2, 40, 72, generator=generator), torch.rand(n, 2, generator=generator)


def _network(kind: type[nn.Module], seed: int = 0) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind(2, 2, 3).eval()


def test_a_convolution_turns_with_the_map_and_sees_through_the_apex() -> None:
    torch.manual_seed(0)
    conv = PolarConv(1, 2, 5)
    maps = torch.rand(1, 1, 40, 72)
    torch.testing.assert_close(conv(maps.roll(11, -1)), conv(maps).roll(11, -1))
    padded = pad_polar(maps, 2)
    assert padded.shape == (1, 1, 44, 76)
    assert torch.equal(padded[0, 0, 1, 2:-2], maps[0, 0, 0].roll(36))  # one step beyond the first ring
    assert torch.equal(padded[0, 0, 0, 2:-2], maps[0, 0, 1].roll(36))
    assert torch.equal(padded[..., :2, :][..., 2:-2], pad_polar(maps.roll(36, -1), 2)[..., :2, 2:-2].roll(-36, -1))
    assert torch.equal(padded[0, 0, -1], padded[0, 0, -3])


def test_missing_inputs_are_told_from_average_ones() -> None:
    scale = MaskedScale(2)
    values = torch.tensor([[1.0, 5.0], [3.0, float("nan")], [5.0, 5.0]])
    scale.fit(values)
    out = scale(values)
    assert torch.isfinite(out).all()
    assert out[1].tolist() == [0.0, 0.0, 1.0, 0.0]  # average, missing, there, not there
    assert out[0, 1].item() == 0  # never varies: spread 1
    assert scale.mean.tolist() == [3, 5]


@pytest.mark.parametrize("kind", BACKBONES)
def test_a_network_answers_whatever_is_missing(kind: type[nn.Module]) -> None:
    network = _network(kind)
    maps, covariates = _inputs()
    maps[0, 1] = float("nan")
    maps[1, 0, 30:] = float("nan")
    covariates[2] = float("nan")
    with torch.no_grad():
        logit = network(maps, covariates)
        assert logit.shape == (3, 3)
        assert torch.isfinite(logit).all()
        features = network.features(maps)
        torch.testing.assert_close(network.head(features, covariates), logit)
        assert network.embedding(maps, covariates).shape[0] == 3
        maps[0, 1] = float(network.maps.mean[1])
        assert not torch.equal(network(maps, covariates)[0], logit[0])


@pytest.mark.parametrize("kind", BACKBONES)
def test_the_place_of_a_defect_matters(kind: type[nn.Module]) -> None:
    network = _network(kind)
    maps, covariates = _inputs(1)
    with torch.no_grad():
        turned = network(maps.roll(36, -1), covariates)
        assert not torch.allclose(turned, network(maps, covariates), atol=1e-4)


@pytest.mark.parametrize("kind", BACKBONES)
def test_an_ensemble_comes_back_from_its_files_and_answers_alike_in_onnx(kind: type[nn.Module], tmp_path: Path) -> None:
    from myoscope.learn import export_onnx

    ensemble = Ensemble([_network(kind, seed) for seed in (1, 2)], 3).eval()
    ensemble.temperature[:] = torch.tensor([1.0, 2.0, 0.5])
    digest = save_weights(ensemble, tmp_path / "e.safetensors")
    loaded = Ensemble([_network(kind, seed) for seed in (3, 4)], 3).eval()
    load_weights(loaded, tmp_path / "e.safetensors", sha256=digest)
    maps, covariates = _inputs(5)
    maps[0, 1] = float("nan")
    with torch.no_grad():
        expected = ensemble(maps, covariates)
        assert torch.equal(loaded(maps, covariates), expected)
    assert expected.shape == (5, 2, 3)
    graph = export_onnx(
        ensemble,
        tmp_path / "e.onnx",
        inputs={"maps": (2, 40, 72), "covariates": (2,)},
        output_names=("logit",),
        one_batch=True,
    )
    inputs = {"maps": maps.numpy(), "covariates": covariates.numpy()}
    (logit,) = OnnxNetwork(tmp_path / "e.onnx", sha256=graph).answers(inputs, ("logit",))
    assert np.abs(logit - expected.numpy()).max() < 1e-4
    with pytest.raises(MyoscopeError, match="not the file that was promised"):
        OnnxNetwork(tmp_path / "e.onnx", sha256="0" * 64)


def test_temperature_divides_the_logits() -> None:
    ensemble = Ensemble([_network(VesselCnn)], 3)
    maps, covariates = _inputs()
    with torch.no_grad():
        plain = ensemble(maps, covariates)
        ensemble.temperature[:] = torch.tensor([1.0, 2.0, 4.0])
        torch.testing.assert_close(ensemble(maps, covariates) * torch.tensor([1.0, 2.0, 4.0]), plain)


def test_a_trunk_is_lent_and_can_be_kept_still() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        teacher, pupil, other = PolarResnet(2, 0, 17), PolarResnet(2, 1, 4), PolarResnet(3, 0, 1)
    pupil.borrow_trunk(teacher)
    for a, b in zip(pupil.trunk.parameters(), teacher.trunk.parameters(), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(pupil.stem.conv.weight, teacher.stem.conv.weight)
    other.borrow_trunk(teacher)  # another number of maps
    pupil.freeze_trunk(True)
    maps = torch.rand(2, 2, 40, 72)
    pupil(maps, torch.rand(2, 1)).sum().backward()
    assert all(p.grad is None for p in pupil.trunk.parameters())
    assert pupil.answer.weight.grad is not None
    pupil.freeze_trunk(False)
    assert all(p.requires_grad for p in pupil.parameters())


def _defect() -> Tensor:
    maps = torch.ones(1, 2, 40, 72)
    maps[:, :, 15:25, 30:42] = 0.4  # septal
    defect: Tensor = maps
    return defect


def test_no_variation_leaves_a_map_as_it_is() -> None:
    still = PolarAugmentation(0, 0, 0)
    maps = _defect()
    maps[0, 0, 39] = float("nan")
    out = augment_polar(maps, still, rng=np.random.default_rng(0), counts=(0,))
    torch.testing.assert_close(out, maps, equal_nan=True)


def test_a_variant_stays_the_same_heart() -> None:
    """A turned and stretched map has about as much defect as before, on the same side, and all channels alike."""
    rng = np.random.default_rng(1)
    for _ in range(20):
        out = augment_polar(_defect(), PolarAugmentation(5, 1, 0), rng=rng)
        assert torch.equal(out[:, 0], out[:, 1])
        low = out[0, 0] < 0.7
        assert 0.6 < low.sum().item() / 120 < 1.5
        angle = np.arange(72)[low.numpy().any(axis=0)].mean()
        assert abs(angle - 35.5) < 5


def test_a_turn_by_whole_cells_is_a_roll() -> None:
    class Fixed:
        def normal(self, *drawn: object) -> object:
            return np.full(1, 1.0) if drawn[-1] == 1 else np.zeros(drawn[-1])  # type: ignore[call-overload]

    out = augment_polar(_defect(), PolarAugmentation(10, 1, 0), rng=Fixed())  # type: ignore[arg-type]
    torch.testing.assert_close(out, _defect().roll(2, -1), atol=1e-5, rtol=0)


def test_noise_is_as_strong_as_asked_and_only_in_counts() -> None:
    maps = torch.ones(400, 2, 40, 72)
    out = augment_polar(maps, PolarAugmentation(0, 0, 0.06), rng=np.random.default_rng(2), counts=(0,))
    assert torch.equal(out[:, 1], maps[:, 1])
    spread = out[:, 0].flatten(1).std(dim=1)
    assert spread.mean().item() == pytest.approx(0.03, rel=0.1)  # uniform up to 0.06
    assert spread.max().item() < 0.07


def test_one_image_may_be_left_out_but_never_all() -> None:
    maps = torch.ones(200, 4, 40, 72)
    maps[:50, 2:] = float("nan")
    settings = PolarAugmentation(0, 0, 0, left_out=0.5)
    out = augment_polar(maps, settings, rng=np.random.default_rng(3), groups=((0, 1), (2, 3)))
    seen = torch.isfinite(out).flatten(2).any(dim=2)
    assert seen.any(dim=1).all()
    assert torch.equal(seen[:50], torch.tensor([True, True, False, False]).expand(50, 4))
    assert 0.3 < (~seen[50:].all(dim=1)).float().mean() < 0.7
    assert torch.equal(seen[:, 0], seen[:, 1])


def test_a_large_turn_is_refused() -> None:
    with pytest.raises(InvalidValue, match="another artery's territory"):
        PolarAugmentation(rotation_deg=45)


def test_temperature_undoes_overconfidence_and_leaves_the_order() -> None:
    rng = np.random.default_rng(4)
    odds = rng.normal(size=5000)
    outcome = (rng.random(5000) < 1 / (1 + np.exp(-odds))).astype(float)
    outcome[:100] = np.nan
    assert fit_temperature(3 * odds, outcome) == pytest.approx(3, rel=0.1)
    assert fit_temperature(0.5 * odds, outcome) == pytest.approx(0.5, rel=0.1)
    with pytest.raises(InvalidValue, match="with and without"):
        fit_temperature([0.1, 0.2, 0.3], [1, 1, np.nan])


def _usual(n: int, seed: int) -> np.ndarray:
    """Smooth maps with a defect somewhere in the lower half."""
    rng = np.random.default_rng(seed)
    ring, angle = np.arange(20)[:, None], np.arange(36) * 10
    maps = []
    for _ in range(n):
        where = rng.uniform(180, 360)
        depth = rng.uniform(0.15, 0.5) * np.exp(-(((angle - where) / 50) ** 2))
        maps.append(1 - depth * (1 + 0.2 * ring / 20) + 0.1 * np.cos(np.deg2rad(angle)) + rng.normal(0, 0.02, (20, 36)))
    return np.stack(maps)


def test_usual_inputs_are_usual_and_upside_down_ones_are_not(tmp_path: Path) -> None:
    described = describe_inputs(_usual(300, 1), _usual(200, 2))
    fresh = described.strangeness(_usual(200, 3))
    assert np.mean(fresh > described.limit(0.95)) == pytest.approx(0.05, abs=0.05)
    assert described.rank(_usual(200, 3)).mean() == pytest.approx(0.5, abs=0.1)
    flipped = described.strangeness(_usual(200, 4)[:, :, ::-1])
    assert np.mean(flipped > described.limit(0.95)) > 0.8
    noisy = described.strangeness(_usual(200, 5) + np.random.default_rng(6).normal(0, 0.1, (200, 20, 36)))
    assert np.mean(noisy > described.limit(0.95)) > 0.99
    missing = _usual(5, 7)
    missing[:, :3] = np.nan
    assert np.isfinite(described.strangeness(missing)).all()
    np.savez(tmp_path / "d.npz", **described.arrays())  # type: ignore[arg-type]
    with np.load(tmp_path / "d.npz") as stored:
        again = InputDescription.of_arrays(stored)
    assert again.strangeness(_usual(20, 8)) == pytest.approx(described.strangeness(_usual(20, 8)), rel=0.02)
    with pytest.raises(InvalidValue, match="not of the kind that was described"):
        described.strangeness(np.zeros((2, 5)))


def _maps_with_a_septum(n: int, seed: int) -> np.ndarray:
    """Channels of maps (n, 1, 40, 72), darker at the base of the septum, uneven in ways that differ between hearts."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    ring, angle = np.linspace(0, 1, 40)[:, None], (np.arange(72) + 0.5) * 5
    septum = 0.25 * ring**3 * np.exp(-(((angle - 180) / 50) ** 2))
    diaphragm = 0.12 * ring * np.exp(-(((angle - 270) / 40) ** 2))
    uneven = gaussian_filter(rng.normal(size=(n, 40, 72)), (0, 6, 9), mode=("nearest", "nearest", "wrap"))
    maps: np.ndarray = 100 * (1 - septum - diaphragm + 0.05 * uneven / uneven.std())
    return maps[:, None]


@pytest.mark.parametrize("turn", list(wrong_turns(72)))
def test_a_map_whose_sides_were_exchanged_is_strange(turn: str) -> None:
    described = describe_inputs(_maps_with_a_septum(200, 1), _maps_with_a_septum(200, 2))
    limit = described.limit(0.99)
    new = _maps_with_a_septum(200, 3)
    assert np.mean(described.strangeness(new) > limit) < 0.04
    assert np.mean(described.strangeness(new[..., wrong_turns(72)[turn]]) > limit) > 0.9
    again = InputDescription.of_arrays(described.arrays())
    assert again.strangeness(new) == pytest.approx(described.strangeness(new), rel=0.02, abs=0.02)
    with pytest.raises(InvalidValue, match=r"lacks turned: .* train the model again"):
        InputDescription.of_arrays({n: a for n, a in described.arrays().items() if n != "turned"})


def test_a_wrong_turn_moves_the_walls_that_it_names() -> None:
    lateral, anterior, septum, inferior = 0, 18, 36, 54
    turns = wrong_turns(72)
    assert turns["septum and lateral wall exchanged"][lateral] in (septum - 1, septum)
    assert turns["septum and lateral wall exchanged"][anterior] in (anterior - 1, anterior)
    assert turns["anterior and inferior wall exchanged"][anterior] in (inferior - 1, inferior)
    assert turns["anterior and inferior wall exchanged"][septum] in (septum - 1, septum)
    assert turns["turned by 180 degrees"][anterior] == inferior


@pytest.mark.parametrize("n", [40, 90])
def test_main_directions_are_those_of_the_training_inputs(n: int) -> None:
    """Fewer inputs than numbers in each, and more: two ways to the same answer."""
    training = _usual(n, 1)[:, :, :3]
    described = describe_inputs(training, _usual(20, 2)[:, :, :3])
    assert described.directions @ described.directions.T == pytest.approx(np.eye(len(described.variance)), abs=1e-6)
    along = (training.reshape(n, -1) - described.mean) @ described.directions.T
    assert (along**2).mean(axis=0) == pytest.approx(described.variance, rel=1e-6)
    assert (np.diff(described.variance) <= 0).all()


def test_a_card_comes_back_from_its_file_and_says_what_it_is_not_for(tmp_path: Path) -> None:
    card = ModelCard(
        identifier="betancur2018-1",
        system="betancur2018",
        version="1",
        does="Predicts obstructed arteries",
        source="Betancur et al.",
        inputs=("raw map",),
        answers=("probability of LAD",),
        cohorts={"maps": "a" * 64},
        n_training=10,
        n_validation=5,
        settings={"seed": 0},
        numbers={"temperature": [1.0]},
    )
    card.write(tmp_path)
    assert read_card(tmp_path, "betancur2018") == card or read_card(tmp_path, "betancur2018").__dict__ == card.__dict__
    assert NOT_FOR_CLINICAL_USE in (tmp_path / "betancur2018.md").read_text()
    facts = json.loads((tmp_path / "betancur2018.json").read_text())
    (tmp_path / "betancur2018.json").write_text(json.dumps(facts | {"surprise": 1}))
    with pytest.raises(UnreadableFile, match="not a model card"):
        read_card(tmp_path, "betancur2018")
    with pytest.raises(UnreadableFile, match="myoscope train otaki2022"):
        read_card(tmp_path, "otaki2022")
