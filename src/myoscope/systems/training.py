"""How a system's ensemble is taught, described and written, whatever it answers."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

import myoscope
from myoscope.core.geometry import FloatArray
from myoscope.learn import Examples, ModelCard, Split, describe_inputs, save_model
from myoscope.learn.trained_model import described_maps

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch import nn

    from myoscope.learn.fit import FitSettings
    from myoscope.learn.teach import TeachSettings
    from myoscope.learn.tracking import Log

Progress = Callable[[str, float], None]

UNUSUAL_BEYOND = 0.99
"""Share of validation inputs that are less strange than what a model abstains from."""
_ENOUGH_TO_DESCRIBE = 100
_OFTEN_MISSING = 0.01
_LIMITS = (
    "Taught on virtual patients: nothing is known of its accuracy in people.",
    "Knows the cameras, tracers and sites of its training cohort; abstains from inputs unlike them.",
    "A probability for patients like those it was taught on is wrong for others: in those sent to angiography disease "
    "is commoner than in everybody who is imaged.",
)


class TaughtSettings(Protocol):
    """What settings of a system that is taught by the one fit loop hold besides its own."""

    @property
    def seed(self) -> int: ...
    @property
    def members(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def batch(self) -> int: ...
    @property
    def peak_learning_rate(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def average_decay(self) -> float: ...
    @property
    def validate_every(self) -> int: ...
    @property
    def patience(self) -> int: ...
    @property
    def rotation_deg(self) -> float: ...
    @property
    def ring_shift(self) -> float: ...
    @property
    def noise(self) -> float: ...


def pace_of(settings: TaughtSettings) -> FitSettings:
    """How the fit loop goes by a system's settings."""
    from myoscope.learn.fit import FitSettings

    return FitSettings(
        settings.steps,
        settings.batch,
        settings.peak_learning_rate,
        settings.weight_decay,
        settings.average_decay,
        settings.seed,
        settings.validate_every,
        settings.patience,
    )


def teach_settings(
    settings: TaughtSettings,
    *,
    counts: tuple[int, ...],
    groups: tuple[tuple[int, ...], ...] = (),
    left_out: float = 0.0,
    frozen: FitSettings | None = None,
) -> TeachSettings:
    """How an ensemble is taught by a system's settings; the rest as in `TeachSettings`.

    ``left_out`` is the chance that a group of channels is withheld.
    """
    from myoscope.learn.augment import PolarAugmentation
    from myoscope.learn.teach import TeachSettings

    varied = PolarAugmentation(settings.rotation_deg, settings.ring_shift, settings.noise, left_out)
    return TeachSettings(pace_of(settings), settings.members, varied, counts=counts, groups=groups, frozen=frozen)


@contextmanager
def weights_of_member(settings: TaughtSettings, member: int) -> Iterator[None]:
    """Inside, weights are drawn from the settings' seed and the member's number; outside, nothing has changed."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed + 1000 * (member + 1))
        yield


@dataclass(frozen=True, eq=False)
class Recipe:
    """What a system brings of its own to its training.

    ``build`` gives the untrained network of a member; ``described`` are the channels by which usual inputs are known.
    """

    system: str
    does: str
    source: str
    build: Callable[[int], nn.Module]
    teach: TeachSettings
    described: tuple[int, ...]
    inputs: tuple[str, ...]
    answers: tuple[str, ...]
    settings: Mapping[str, Any]
    limits: tuple[str, ...] = ()


def teach_and_write(
    examples: Examples,
    recipe: Recipe,
    *,
    out: Path,
    even: ArrayLike,
    normal: NDArray[Any],
    fitted: Callable[[FloatArray], dict[str, Any]],
    chances: ArrayLike | None = None,
    prepare: Callable[[nn.Module, int], None] | None = None,
    fabric: Fabric | None = None,
    log: Callable[[str], Log] | None = None,
    progress: Progress | None = None,
) -> ModelCard:
    """Teach the ensemble of a recipe on these studies and write the model with its card into ``out``.

    ``even`` and ``chances`` as in `teach_ensemble`; ``normal`` are the rows whose mean is a normal heart; ``fitted``
    makes of the out-of-fold logits what travels with the model besides. Checkpoints and logs lie in ``out/training``,
    out-of-fold predictions in ``out/out_of_fold.npz``.
    """
    from myoscope.learn.teach import teach_ensemble

    began = time.monotonic()
    taught = teach_ensemble(
        examples,
        recipe.build,
        recipe.teach,
        folder=out / "training",
        chances=chances,
        even=even,
        prepare=prepare,
        fabric=fabric,
        log=log,
        progress=progress,
    )
    minutes = (time.monotonic() - began) / 60
    numbers = _described(examples, recipe) | fitted(taught.out_of_fold)
    described = described_maps(examples.maps, numbers)
    usual = _with_all_images(described)
    shaping, judging = _two_parts(examples.patient[usual], recipe.teach.fit.seed)
    description = describe_inputs(described[usual][shaping], described[usual][judging])
    numbers["strangeness_limit"] = description.limit(UNUSUAL_BEYOND)
    n_patients = int(np.unique(examples.patient).size)
    card = ModelCard(
        identifier="-".join((recipe.system, examples.cohort_sha256[:8], _hash_of(examples, recipe))),
        system=recipe.system,
        version="1",
        does=recipe.does,
        source=recipe.source,
        inputs=recipe.inputs,
        answers=recipe.answers,
        cohorts={"training cohorts": examples.cohort_sha256},
        n_training=n_patients,
        n_validation=n_patients,
        settings=dict(recipe.settings),
        limits=(*_LIMITS, *recipe.limits),
        numbers=numbers,
        software=f"myoscope {myoscope.__version__}",
        minutes=round(minutes, 2),
    )
    if fabric is not None and not fabric.is_global_zero:
        return card  # one process writes
    out.mkdir(parents=True, exist_ok=True)
    with (out / "out_of_fold.npz").open("wb") as file:
        np.savez_compressed(
            file,
            allow_pickle=False,
            study=examples.study,
            logit=taught.out_of_fold,
            targets=examples.targets,
            member=_judges(taught.splits, len(examples)),
        )
    return save_model(out, card, taught.ensemble, description, _mean_maps(examples.maps[normal]))


def _judges(splits: Sequence[Split], n: int) -> NDArray[np.int16]:
    """Which member did not learn from each training study (study,)."""
    member = np.full(n, -1, np.int16)
    for number, split in enumerate(splits):
        member[split.test] = number
    return member


def _hash_of(examples: Examples, recipe: Recipe) -> str:
    """Tells models of one system and cohort apart: by their settings, their studies and their answers."""
    content = hashlib.sha256(json.dumps(dict(recipe.settings), sort_keys=True, default=str).encode())
    content.update("\n".join(examples.study.tolist()).encode())
    content.update(np.ascontiguousarray(examples.targets, np.float32).tobytes())
    return content.hexdigest()[:8]


def _described(examples: Examples, recipe: Recipe) -> dict[str, Any]:
    """Order of inputs and answers, and the scales that are needed outside the network."""
    spread = np.nanstd(examples.maps[:, list(recipe.described)].astype(np.float64), axis=(0, 2, 3))
    covariates = examples.covariates.astype(np.float64)
    return {
        "channels": list(examples.channels),
        "covariates": list(examples.covariate_names),
        "targets": list(examples.target_names),
        "may_be_missing": _may_be_missing(examples),
        # None where a covariate was withheld from all of them: JSON has no NaN.
        "covariate_mean": [float(c[known].mean()) if (known := np.isfinite(c)).any() else None for c in covariates.T],
        **{
            f"{name}s": np.unique(examples.about[name]).tolist()
            for name in ("site", "camera")
            if name in examples.about
        },
        "described_channels": list(recipe.described),
        "described_spread": [float(s) if s > 0 else 1.0 for s in spread],
    }


def _with_all_images(maps: NDArray[np.float32]) -> NDArray[np.intp]:
    """Rows that have all channels, if they are enough to tell what is usual; else all rows.

    What is missing counts as the mean: among studies of which many lack an image, one that has it looks strange.
    """
    complete = np.flatnonzero(_seen(maps).all(axis=1))
    return complete if complete.size >= _ENOUGH_TO_DESCRIBE else np.arange(len(maps))


def _may_be_missing(examples: Examples) -> list[str]:
    """Channels and covariates that enough of the studies lack for a network to have learned to do without."""
    lacking = {
        **dict(zip(examples.channels, (~_seen(examples.maps)).T, strict=True)),
        **dict(zip(examples.covariate_names, (~np.isfinite(examples.covariates)).T, strict=True)),
    }
    return [name for name, missing in lacking.items() if missing.mean() >= _OFTEN_MISSING]


def _seen(maps: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which channels a study has at all, (study, channel)."""
    return np.asarray(np.isfinite(maps).any(axis=(2, 3)))


def _two_parts(patient: NDArray[np.str_], seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of two thirds of the patients, who shape the description of usual inputs, and of the others."""
    names, row = np.unique(patient, return_inverse=True)
    order = np.random.default_rng([seed, 2]).permutation(names.size)
    shapes = np.zeros(names.size, bool)
    shapes[order[: max(3, (2 * names.size) // 3)]] = True
    return np.flatnonzero(shapes[row]), np.flatnonzero(~shapes[row])


def _mean_maps(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean of some studies' maps (channel, ring, angle), cell by cell where seen."""
    seen = np.isfinite(maps)
    total = np.where(seen, maps, 0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
    mean: NDArray[np.float32] = np.where(seen.any(axis=0), total, np.nan).astype(np.float32)
    return mean
