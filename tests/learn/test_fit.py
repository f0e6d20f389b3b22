"""The fit loop: it learns, stops, resumes, survives a kill, and gives the same weights for the same seed."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from myoscope.core import InvalidValue
from myoscope.learn import csv_log

torch = pytest.importorskip("torch", reason="torch is not installed (pip install myoscope[train])")
pytest.importorskip("lightning_fabric", reason="lightning is not installed (pip install myoscope[train])")

from torch import Tensor, nn  # noqa: E402 - only where torch is

from myoscope.learn.fit import Batch, FitSettings, Fitted, Hardware, fit  # noqa: E402
from myoscope.learn.losses import known_cross_entropy, known_squared_error  # noqa: E402

PACE = FitSettings(steps=40, batch=16, peak_learning_rate=3e-2, weight_decay=0.0, average_decay=0.8, seed=5)


def _network(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, 1))


def _draw(rng: np.random.Generator) -> Batch:
    x = torch.from_numpy(rng.normal(size=(PACE.batch, 3))).float()
    return x, (x[:, :1] - x[:, 1:2] > 0).float()


def _loss(network: nn.Module, batch: Batch) -> Tensor:
    return known_cross_entropy(network(batch[0]), batch[1])


def _validate(network: nn.Module) -> float:
    return float(_loss(network, _draw(np.random.default_rng(99))).detach())


def _weights(fitted: Fitted) -> Tensor:
    weights: Tensor = torch.cat([p.detach().flatten() for p in fitted.network.parameters()])
    return weights


def test_a_network_learns_and_the_history_says_how(tmp_path: Path) -> None:
    before = _validate(_network())
    pace = FitSettings(**{**PACE.__dict__, "validate_every": 10})
    told: list[float] = []
    taught = fit(
        _network(),
        _draw,
        _loss,
        pace,
        checkpoint=tmp_path / "run.pt",
        validate=_validate,
        log=csv_log(tmp_path / "run.csv"),
        progress=lambda step, fraction: told.append(fraction),
    )
    assert _validate(taught.network) < 0.6 * before
    assert [row["step"] for row in taught.history] == [10, 20, 30, 40]
    assert told == [0.25, 0.5, 0.75, 1.0]
    with (tmp_path / "run.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["validation_loss"]) for row in rows] == pytest.approx(
        [row["validation_loss"] for row in taught.history], rel=1e-4
    )


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    first, again = (fit(_network(), _draw, _loss, PACE, checkpoint=tmp_path / f"{n}.pt") for n in (1, 2))
    other = fit(_network(), _draw, _loss, FitSettings(**{**PACE.__dict__, "seed": 6}), checkpoint=tmp_path / "3.pt")
    assert torch.equal(_weights(first), _weights(again))
    assert not torch.equal(_weights(first), _weights(other))


def test_training_stops_when_validation_no_longer_improves_and_gives_back_the_best(tmp_path: Path) -> None:
    answers = iter([0.5, 0.3, 0.4, 0.35, 0.6, 0.1])
    seen: list[Tensor] = []

    def validate(network: nn.Module) -> float:
        seen.append(torch.cat([p.detach().flatten().clone() for p in network.parameters()]))
        return next(answers)

    pace = FitSettings(**{**PACE.__dict__, "validate_every": 5, "patience": 3})
    taught = fit(_network(), _draw, _loss, pace, checkpoint=tmp_path / "run.pt", validate=validate)
    assert (taught.best_step, taught.steps) == (10, 25)
    assert torch.equal(_weights(taught), seen[1])


def test_a_finished_run_is_not_repeated(tmp_path: Path) -> None:
    first = fit(_network(), _draw, _loss, PACE, checkpoint=tmp_path / "run.pt")

    def never(rng: np.random.Generator) -> Batch:
        raise AssertionError(f"a finished run drew another batch from {rng}")

    again = fit(_network(seed=3), never, _loss, PACE, checkpoint=tmp_path / "run.pt")
    assert torch.equal(_weights(first), _weights(again))


_KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_fit import PACE, _draw, _loss, _network
from myoscope.learn.fit import fit
def slowly(rng):
    time.sleep(0.05)
    return _draw(rng)
fit(_network(), slowly, _loss, PACE, checkpoint=Path(sys.argv[1]), seconds_between_checkpoints=0.0)
"""


def test_a_run_that_was_killed_ends_where_an_unbroken_one_does(tmp_path: Path) -> None:
    """Killed by the kernel, not by an exception: whatever half-written file that leaves must not matter."""
    checkpoint = tmp_path / "killed.pt"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(checkpoint), str(Path(__file__).parent)], env=environment
    )
    deadline = time.monotonic() + 200
    while not checkpoint.exists() and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.3)
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL, "it should still have been at work when it was killed"
    reached = torch.load(checkpoint, weights_only=True)["state"]["step"]
    assert 0 < reached < PACE.steps
    resumed = fit(_network(seed=7), _draw, _loss, PACE, checkpoint=checkpoint)
    unbroken = fit(_network(), _draw, _loss, PACE, checkpoint=tmp_path / "unbroken.pt")
    assert torch.equal(_weights(resumed), _weights(unbroken))


def test_half_precision_learns_too(tmp_path: Path) -> None:
    fabric = Hardware(precision="bf16-mixed").fabric()
    taught = fit(_network(), _draw, _loss, PACE, checkpoint=tmp_path / "run.pt", fabric=fabric)
    plain = fit(_network(), _draw, _loss, PACE, checkpoint=tmp_path / "plain.pt")
    assert next(taught.network.parameters()).dtype == torch.float32
    assert not torch.equal(_weights(taught), _weights(plain))
    assert _validate(taught.network) == pytest.approx(_validate(plain.network), abs=0.05)


_TWO = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import torch
torch.set_num_threads(1)
from test_fit import PACE, _draw, _loss, _network, _weights
from myoscope.learn.fit import Hardware, fit
fabric = Hardware(devices=2).fabric()
taught = fit(_network(), _draw, _loss, PACE, checkpoint=Path(sys.argv[1]) / "run.pt", fabric=fabric)
torch.save(_weights(taught), Path(sys.argv[1]) / f"weights-{fabric.global_rank}.pt")
"""


@pytest.mark.slow
def test_two_devices_end_with_the_same_weights_from_different_batches(tmp_path: Path) -> None:
    script = tmp_path / "two.py"
    script.write_text(_TWO)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, str(script), str(tmp_path), str(Path(__file__).parent)],
        check=True,
        env=environment,
        timeout=280,
    )
    first, second = (torch.load(tmp_path / f"weights-{rank}.pt", weights_only=True) for rank in (0, 1))
    assert torch.equal(first, second)
    alone = fit(_network(), _draw, _loss, PACE, checkpoint=tmp_path / "alone.pt")
    assert not torch.equal(first, _weights(alone))


def test_hardware_that_is_not_there_is_refused_in_one_sentence() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(InvalidValue, match="is not possible here"):
        Hardware(accelerator="gpu").fabric()


def test_stopping_early_needs_validations() -> None:
    with pytest.raises(InvalidValue, match="set validate_every"):
        FitSettings(steps=1, batch=1, peak_learning_rate=1, weight_decay=0, average_decay=0, seed=0, patience=2)


def test_unknown_outcomes_teach_nothing() -> None:
    logit = torch.tensor([[0.3, -1.0], [2.0, 0.5]], requires_grad=True)
    target = torch.tensor([[1.0, float("nan")], [float("nan"), float("nan")]])
    loss = known_cross_entropy(logit, target)
    assert loss.item() == pytest.approx(np.log1p(np.exp(-0.3)), abs=1e-6)
    loss.backward()  # type: ignore[no-untyped-call]
    assert logit.grad is not None
    assert torch.count_nonzero(logit.grad) == 1
    nothing = known_squared_error(logit, torch.full((2, 2), float("nan")))
    assert nothing.item() == 0


def test_each_target_counts_alike_however_often_it_is_known() -> None:
    logit, target = torch.zeros(4, 2), torch.tensor([[1.0, 1.0], [0.0, np.nan], [1.0, np.nan], [0.0, np.nan]])
    plain = known_cross_entropy(logit, target)
    assert plain.item() == pytest.approx(np.log(2))
    logit[0, 1] = 10
    assert known_cross_entropy(logit, target).item() == pytest.approx(np.log(2) / 2, abs=1e-3)
