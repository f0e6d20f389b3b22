"""How an ensemble is taught: one member per fold of patients, each stopped by the fold that it did not learn from.

Every training patient is thus predicted once by a network that never saw him. From these out-of-fold predictions come
the temperature, and whatever else must be set before anybody else is looked at (thresholds, conformal sets, the
logistic curve of a baseline score), so that no patient is spent on setting it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch  # noqa: TID253 - this module teaches networks; whoever imports it wants torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn  # noqa: TID253 - as above

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.learn.augment import PolarAugmentation, augment_polar
from myoscope.learn.ensemble import Ensemble
from myoscope.learn.examples import Examples
from myoscope.learn.fit import Batch, FitSettings, Progress, fit
from myoscope.learn.losses import known_cross_entropy
from myoscope.learn.splits import Split, cross_validation
from myoscope.learn.temperature import fit_temperature
from myoscope.learn.tracking import Log, csv_log

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_AT_ONCE = 256


@dataclass(frozen=True)
class TeachSettings:
    """What decides an ensemble's weights besides its design.

    ``counts`` are the channels that counting noise reaches, ``groups`` those that come from one image and may be left
    out together. With ``frozen`` the heads are first taught by these settings while the trunk stays as it was borrowed.
    """

    fit: FitSettings
    members: int
    augmentation: PolarAugmentation
    counts: tuple[int, ...] = ()
    groups: tuple[tuple[int, ...], ...] = ()
    frozen: FitSettings | None = None


@dataclass(frozen=True, eq=False)
class Taught:
    """An ensemble, and what each training study got from the member that did not learn from it.

    ``out_of_fold`` (study, target) are logits at the final temperature; ``splits`` say which member that was.
    """

    ensemble: Ensemble
    out_of_fold: FloatArray
    splits: tuple[Split, ...]
    minutes: float


def teach_ensemble(
    examples: Examples,
    build: Callable[[int], nn.Module],
    settings: TeachSettings,
    *,
    folder: Path,
    chances: ArrayLike | None = None,
    even: ArrayLike | None = None,
    prepare: Callable[[nn.Module, int], None] | None = None,
    fabric: Fabric | None = None,
    log: Callable[[str], Log] | None = None,
    progress: Progress | None = None,
) -> Taught:
    """Teach ``settings.members`` networks, each on all folds of patients but one; checkpoints go to ``folder``.

    ``build`` gives the untrained network of a member; ``prepare`` does what must happen to it first (borrow a trunk).
    ``chances`` (study,) say how often each study is shown (`sampling_chances`), ``even`` (study,) what the folds
    share out evenly, by default the first target. An interrupted run goes on from its checkpoints.

    Raises
    ------
    InvalidValue
        Fewer than 3 members, or a target whose outcomes cannot be told apart in the out-of-fold predictions.
    """
    if settings.members < 3:
        raise InvalidValue(f"an ensemble over folds of patients has at least 3 members, got {settings.members}")
    rng = np.random.default_rng([settings.fit.seed, 1])
    shared = examples.targets[:, 0] if even is None else np.asarray(even)
    splits = cross_validation(examples.patient, folds=settings.members, rng=rng, even=shared)
    weight = np.full(len(examples), 1.0) if chances is None else np.asarray(chances, np.float64)
    maps, covariates, targets = (
        torch.from_numpy(np.array(a)) for a in (examples.maps, examples.covariates, examples.targets)
    )
    tell = progress or (lambda step, fraction: None)
    members, out_of_fold, seconds = [], np.full(targets.shape, np.nan), 0.0
    for member, split in enumerate(splits):
        # The tested fold stops this member; the fold that cross-validation would stop it by teaches as well.
        teaching = np.sort(np.concatenate([split.training, split.validation]))
        network = build(member)
        network.fit_scales(maps[teaching], covariates[teaching])  # type: ignore[operator]
        if prepare is not None:
            prepare(network, member)

        name = f"member-{member}"

        def within(step: str, fraction: float, *, number: int = member) -> None:
            tell(f"network {number + 1} of {settings.members}: {step}", (number + fraction) / settings.members)

        draw = _draws(maps, covariates, targets, teaching, weight, settings)
        validate = _validation(maps, covariates, targets, split.test)
        if settings.frozen is not None:
            network.freeze_trunk(True)  # type: ignore[operator]
            fitted = fit(
                network,
                draw,
                _loss,
                replace(settings.frozen, seed=settings.fit.seed + 1000 * (member + 1) + 1),
                checkpoint=folder / f"{name}-frozen.pt",
                validate=validate,
                fabric=fabric,
            )
            network, seconds = fitted.network, seconds + fitted.history[-1]["seconds"]
            network.freeze_trunk(False)  # type: ignore[operator]
        fitted = fit(
            network,
            draw,
            _loss,
            replace(settings.fit, seed=settings.fit.seed + 1000 * (member + 1)),
            checkpoint=folder / f"{name}.pt",
            validate=validate,
            fabric=fabric,
            log=(log or (lambda one: csv_log(folder / f"{one}.csv")))(name),
            progress=within,
        )
        members.append(fitted.network)
        seconds += fitted.history[-1]["seconds"]
        out_of_fold[split.test] = logits_of(fitted.network, examples.rows(split.test))
    ensemble = Ensemble(members, targets.shape[1]).eval()
    for target in range(targets.shape[1]):
        temperature = fit_temperature(out_of_fold[:, target], examples.targets[:, target])
        ensemble.temperature[target] = temperature
        out_of_fold[:, target] /= temperature
    return Taught(ensemble, out_of_fold, splits, seconds / 60)


def logits_of(network: nn.Module, examples: Examples) -> FloatArray:
    """Logits of a network or an ensemble, in pieces: (study, target) or (study, member, target)."""
    network = network.eval()
    parts = []
    with torch.no_grad():
        for first in range(0, len(examples), _AT_ONCE):
            chosen = slice(first, first + _AT_ONCE)
            maps, covariates = (
                torch.from_numpy(np.array(array[chosen])) for array in (examples.maps, examples.covariates)
            )
            parts.append(network(maps, covariates).numpy())
    logits: FloatArray = np.concatenate(parts).astype(np.float64)
    return logits


def _draws(
    maps: Tensor,
    covariates: Tensor,
    targets: Tensor,
    teaching: NDArray[np.intp],
    weight: FloatArray,
    settings: TeachSettings,
) -> Callable[[np.random.Generator], Batch]:
    chance = weight[teaching] / weight[teaching].sum()

    def draw(rng: np.random.Generator) -> Batch:
        which = torch.from_numpy(rng.choice(teaching, settings.fit.batch, p=chance))
        varied = augment_polar(
            maps[which], settings.augmentation, rng=rng, counts=settings.counts, groups=settings.groups
        )
        return varied, covariates[which], targets[which]

    return draw


def _loss(network: nn.Module, batch: Batch) -> Tensor:
    maps, covariates, targets = batch
    return known_cross_entropy(network(maps, covariates), targets)


def _validation(
    maps: Tensor, covariates: Tensor, targets: Tensor, rows: NDArray[np.intp]
) -> Callable[[nn.Module], float]:
    held_out = torch.from_numpy(np.array(rows))

    def validate(network: nn.Module) -> float:
        device = next(network.parameters()).device
        answers = [
            network(maps[part].to(device), covariates[part].to(device)).cpu()
            for part in torch.split(held_out, _AT_ONCE)
        ]
        return float(known_cross_entropy(torch.cat(answers), targets[held_out]).detach())

    return validate
