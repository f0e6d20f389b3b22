"""The fit loop that teaches every network here.

A step draws its batch, and a network its dropout, from generators seeded by (seed, step), so a run that was killed and
resumed does what an unbroken one does and ends with the same weights. What is given back is the running average of the
weights (Tarvainen and Valpola 2017), at the validation where it was best if there is one. One GPU, several, several
machines, or half precision are a matter of `Hardware` (lightning's Fabric underneath); with several devices each draws
its own batch, so the batch is that many times larger.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch  # noqa: TID253 - this module is the training; whoever imports it wants torch
from torch import Tensor, nn  # noqa: TID253 - as above

from myoscope.core import InvalidValue
from myoscope.learn.tracking import Log

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Batch = tuple[Tensor, ...]
Draw = Callable[[np.random.Generator], Batch]
Loss = Callable[[nn.Module, Batch], Tensor]
Validate = Callable[[nn.Module], float]
Progress = Callable[[str, float], None]
"""Called with what is being done and the fraction that is behind us, 0 to 1."""

_LARGEST_GRADIENT = 5.0
_SHORT_RUN = 20  # tells of itself at least that often


@dataclass(frozen=True)
class FitSettings:
    """Length and pace of a training run; nothing in it looks at the patients that are tested.

    Ends after ``steps``, or when ``patience`` validations in a row (one every ``validate_every`` steps) brought no
    lower loss; 0 turns either off. ``average_decay`` is the memory of the running average of the weights.
    """

    steps: int
    batch: int
    peak_learning_rate: float
    weight_decay: float
    average_decay: float
    seed: int
    validate_every: int = 0
    patience: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1:
            raise InvalidValue(f"a training run has steps and batches of patients, got {self.steps} and {self.batch}")
        if self.patience and not self.validate_every:
            raise InvalidValue("stopping early needs validations; set validate_every")


@dataclass(frozen=True)
class Hardware:
    """On what a network is trained. ``devices`` per machine; ``precision`` as Fabric names it.

    On several machines the same command is started on each by the scheduler (SLURM, torchrun), which says who is who.
    """

    accelerator: Literal["auto", "cpu", "gpu"] = "cpu"
    devices: int = 1
    nodes: int = 1
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"

    def fabric(self) -> Fabric:
        """Fabric on this hardware, with its processes started.

        Raises
        ------
        InvalidValue
            There are not that many devices.
        """
        from lightning_fabric import Fabric

        try:
            fabric = Fabric(
                accelerator=self.accelerator,
                devices=self.devices,
                num_nodes=self.nodes,
                precision=self.precision,
                strategy="ddp" if self.devices * self.nodes > 1 else "auto",
            )
        except Exception as error:  # Fabric has many of its own; all of them mean that the hardware is not there
            raise InvalidValue(
                f"training on {self.devices} x {self.accelerator} is not possible here: {error}"
            ) from error
        fabric.launch()
        return fabric


@dataclass(frozen=True, eq=False)
class Fitted:
    """The averaged network as it was best, after which step, and what was logged on the way."""

    network: nn.Module
    best_step: int
    steps: int
    history: tuple[Mapping[str, float], ...]


def fit(
    network: nn.Module,
    draw: Draw,
    loss: Loss,
    settings: FitSettings,
    *,
    checkpoint: Path,
    validate: Validate | None = None,
    fabric: Fabric | None = None,
    log: Log | None = None,
    progress: Progress | None = None,
    seconds_between_checkpoints: float = 60.0,
) -> Fitted:
    """Teach ``network`` on batches from ``draw`` by ``loss``.

    The learning rate warms up over a twentieth of the run and falls to zero along a cosine. Interrupted runs go on from
    ``checkpoint``; a finished one is not repeated.

    Raises
    ------
    InvalidValue
        The checkpoint belongs to a run with other settings, or validations are asked for without ``validate``.
    """
    if settings.validate_every and validate is None:
        raise InvalidValue("validations are asked for, but not what is to be validated")
    fabric = fabric if fabric is not None else Hardware().fabric()
    tell = progress or (lambda step, fraction: None)
    optimiser: Any = torch.optim.AdamW(
        network.parameters(), lr=settings.peak_learning_rate, weight_decay=settings.weight_decay
    )
    average, best = copy.deepcopy(network).eval(), copy.deepcopy(network).eval()
    state: dict[str, Any] = {
        "step": 0, "best_loss": math.inf, "best_step": 0, "waited": 0, "history": [], "smooth": math.nan,
        "seconds": 0.0, "settings": json.dumps(asdict(settings), sort_keys=True),
    }  # fmt: skip
    if checkpoint.exists():
        _resume(checkpoint, state, network, average, best, optimiser)
        if log is not None and fabric.is_global_zero:
            log(state["history"])
    average, best = average.to(fabric.device), best.to(fabric.device)
    wrapped: Any
    wrapped, optimiser = fabric.setup(network, optimiser)
    wrapped.train()
    began = saved = time.monotonic()
    before = state["seconds"]
    every = settings.validate_every or max(1, settings.steps // _SHORT_RUN)
    done = _over(state, settings)
    while not done:
        step = state["step"]
        for group in optimiser.param_groups:
            group["lr"] = _rate(step, settings)
        seed = [settings.seed, step] if fabric.world_size == 1 else [settings.seed, step, fabric.global_rank]
        batch = tuple(fabric.to_device(part) for part in draw(np.random.default_rng(seed)))
        with _seeded(seed, fabric), fabric.autocast():
            cost = loss(wrapped, batch)
        optimiser.zero_grad(set_to_none=True)
        fabric.backward(cost)
        fabric.clip_gradients(wrapped, optimiser, max_norm=_LARGEST_GRADIENT, error_if_nonfinite=False)
        optimiser.step()
        _update_average(average, network, min(settings.average_decay, (step + 1) / (step + 10)))
        now = float(cost.detach())
        state["smooth"] = now if math.isnan(state["smooth"]) else 0.98 * state["smooth"] + 0.02 * now
        state["step"] = step + 1
        state["seconds"] = before + time.monotonic() - began
        last = step == settings.steps - 1
        if (step + 1) % every == 0 or last:
            _note(state, settings, average, best, validate, fabric)
            if log is not None and fabric.is_global_zero:
                log(state["history"])
            tell(_said(state, settings), (step + 1) / settings.steps)
        done = _over(state, settings)
        if fabric.is_global_zero and (done or time.monotonic() - saved > seconds_between_checkpoints):
            _save(checkpoint, state, network, average, best, optimiser)
            saved = time.monotonic()
    fabric.barrier()
    chosen = best if settings.validate_every else average
    return Fitted(chosen.cpu().eval(), state["best_step"] or state["step"], state["step"], tuple(state["history"]))


@contextmanager
def _seeded(seed: list[int], fabric: Fabric) -> Iterator[None]:
    """What a network draws itself (dropout) hangs on the step alone, and nobody else's generator is moved."""
    devices = [fabric.device.index] if fabric.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(int(np.random.SeedSequence([*seed, 1]).generate_state(1)[0]))
        yield


def _rate(step: int, settings: FitSettings) -> float:
    warm = min(1.0, (step + 1) / max(1, settings.steps // 20))
    return settings.peak_learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / settings.steps))


def _over(state: Mapping[str, Any], settings: FitSettings) -> bool:
    return state["step"] >= settings.steps or (settings.patience > 0 and state["waited"] >= settings.patience)


def _update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    with torch.no_grad():
        for kept, new in zip(average.parameters(), network.parameters(), strict=True):
            kept.lerp_(new, 1 - decay)
        for fixed, now in zip(average.buffers(), network.buffers(), strict=True):
            fixed.copy_(now)


def _note(
    state: dict[str, Any],
    settings: FitSettings,
    average: nn.Module,
    best: nn.Module,
    validate: Validate | None,
    fabric: Fabric,
) -> None:
    """Write a line of history; keep the average if no earlier one did better on the validation patients."""
    row = {"step": float(state["step"]), "training_loss": state["smooth"], "seconds": state["seconds"]}
    if settings.validate_every and validate is not None:
        with torch.no_grad():
            # All processes must decide alike, whatever the last digit of their own answer.
            found = float(fabric.broadcast(validate(average)))
        row["validation_loss"] = found
        if found < state["best_loss"]:
            state |= {"best_loss": found, "best_step": state["step"], "waited": 0}
            best.load_state_dict(average.state_dict())
        else:
            state["waited"] += 1
    state["history"] = [*state["history"], row]


def _said(state: Mapping[str, Any], settings: FitSettings) -> str:
    row = state["history"][-1]
    validation = f", validation {row['validation_loss']:.4f}" if "validation_loss" in row else ""
    pace = 1000 * state["seconds"] / state["step"]
    return f"step {state['step']} of {settings.steps}, loss {row['training_loss']:.4f}{validation}, {pace:.0f} ms each"


def _resume(
    path: Path, state: dict[str, Any], network: nn.Module, average: nn.Module, best: nn.Module, optimiser: Any
) -> None:
    kept = torch.load(path, weights_only=True, map_location="cpu")
    if kept["state"]["settings"] != state["settings"]:
        raise InvalidValue(
            f"{path} was written by a run with other settings ({kept['state']['settings']}); remove it or use "
            "another folder"
        )
    state |= kept["state"]
    for name, module in (("network", network), ("average", average), ("best", best)):
        module.load_state_dict(kept[name])
    optimiser.load_state_dict(kept["optimiser"])


def _save(
    path: Path, state: Mapping[str, Any], network: nn.Module, average: nn.Module, best: nn.Module, optimiser: Any
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    torch.save(
        {
            "state": dict(state),
            "network": network.state_dict(),
            "average": average.state_dict(),
            "best": best.state_dict(),
            "optimiser": optimiser.state_dict(),
        },
        part,
    )
    part.replace(path)
