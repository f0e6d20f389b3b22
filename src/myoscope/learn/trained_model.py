"""A trained model in its folder: card, weights, ONNX graph, and what its usual inputs look like.

``<system>.json`` and ``.md`` (the card), ``.safetensors`` (to go on teaching, to explain by gradients), ``.onnx`` (to
predict, without torch), ``.npz`` (`InputDescription`, and the maps of a normal heart). Hashes of all files stand in
the card and are checked when they are loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.learn.card import ModelCard, read_card
from myoscope.learn.examples import Examples
from myoscope.learn.outliers import InputDescription
from myoscope.learn.weights import OnnxNetwork, export_onnx, file_sha256, load_weights, require_hash, save_weights

if TYPE_CHECKING:
    from torch import nn

_AT_ONCE = 256
_NORMAL = "normal_maps"
_INTERVAL_Z = 1.96


@dataclass(frozen=True, eq=False)
class Answers:
    """What a model says of some studies.

    ``probability`` (study, target) of the mean logit over members; ``low`` and ``high`` its 95 % interval by the
    grouped jackknife: each member did without one fold of the training patients, so their differences say how far a
    model taught on other patients would differ, and not how often it is wrong. ``strangeness`` (study,) of the input,
    ``unusual`` where it exceeds the limit of the card: there the model abstains.
    """

    targets: tuple[str, ...]
    probability: FloatArray
    low: FloatArray
    high: FloatArray
    logit: FloatArray
    strangeness: FloatArray
    unusual: NDArray[np.bool_]

    def of(self, target: str) -> FloatArray:
        """Probability of one target (study,)."""
        if target not in self.targets:
            raise InvalidValue(f"there is no target {target!r}; there are {', '.join(self.targets)}")
        column: FloatArray = self.probability[:, self.targets.index(target)]
        return column


class TrainedModel:
    """A model that predicts by onnxruntime; `load_model` reads it.

    ``normal_maps`` (channel, ring, angle) is what a normal heart looks like to it: what explanations compare with.
    """

    def __init__(
        self,
        card: ModelCard,
        network: OnnxNetwork,
        description: InputDescription,
        normal_maps: NDArray[np.float32],
    ) -> None:
        self.card = card
        self.description = description
        self.normal_maps = normal_maps
        self._network = network

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the maps, in order."""
        return tuple(self.card.numbers["channels"])

    @property
    def covariates(self) -> tuple[str, ...]:
        """Names of the covariates, in order."""
        return tuple(self.card.numbers["covariates"])

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the answers, in order."""
        return tuple(self.card.numbers["targets"])

    def logits(self, maps: NDArray[np.float32], covariates: NDArray[np.float32]) -> FloatArray:
        """Logits (study, member, target) at their temperature, for maps (study, channel, 40, 72) and covariates."""
        n = len(maps)
        if maps.shape[1] != len(self.channels) or covariates.shape != (n, len(self.covariates)):
            raise InvalidValue(
                f"{self.card.identifier} takes the maps {', '.join(self.channels)} and the covariates "
                f"{', '.join(self.covariates) or 'none'}; got {maps.shape[1]} maps and {covariates.shape} covariates"
            )
        parts = [
            self._network.answers(
                {
                    "maps": np.ascontiguousarray(maps[first : first + _AT_ONCE], np.float32),
                    "covariates": np.ascontiguousarray(covariates[first : first + _AT_ONCE], np.float32),
                },
                ("logit",),
            )[0]
            for first in range(0, n, _AT_ONCE)
        ]
        logits: FloatArray = np.concatenate(parts).astype(np.float64)
        return logits

    def answers(self, examples: Examples) -> Answers:
        """What the model says of these studies.

        Raises
        ------
        InvalidValue
            The studies have other maps or covariates than the model was taught on.
        """
        if examples.channels != self.channels or examples.covariate_names != self.covariates:
            raise InvalidValue(
                f"{self.card.identifier} takes the maps {', '.join(self.channels)} and the covariates "
                f"{', '.join(self.covariates) or 'none'}, in this order; got {', '.join(examples.channels)} and "
                f"{', '.join(examples.covariate_names) or 'none'}"
            )
        return self.answers_to(examples.maps, examples.covariates)

    def answers_to(self, maps: NDArray[np.float32], covariates: NDArray[np.float32]) -> Answers:
        """The same for arrays in the model's own order."""
        logits = self.logits(maps, covariates)
        mean = logits.mean(axis=1)
        n_members = logits.shape[1]
        # Grouped jackknife: (k - 1)/k times the sum of squared differences from the mean.
        spread = logits.std(axis=1) * np.sqrt(n_members - 1)
        strangeness = self.description.strangeness(described_maps(maps, self.card.numbers))
        limit = float(self.card.numbers["strangeness_limit"])
        return Answers(
            self.targets,
            expit(mean),
            expit(mean - _INTERVAL_Z * spread),
            expit(mean + _INTERVAL_Z * spread),
            mean,
            strangeness,
            strangeness > limit,
        )


def described_maps(maps: NDArray[np.float32], numbers: Mapping[str, Any]) -> NDArray[np.float32]:
    """The channels by which usual inputs are known, each in units of its training spread."""
    channels = list(numbers["described_channels"])
    spread = np.asarray(numbers["described_spread"], np.float32)
    scaled: NDArray[np.float32] = maps[:, channels] / spread[:, None, None]
    return scaled


def save_model(
    folder: Path,
    card: ModelCard,
    ensemble: nn.Module,
    description: InputDescription,
    normal_maps: NDArray[np.float32],
) -> ModelCard:
    """Write a trained ensemble with its card into a folder; gives the card with the hashes of the files.

    The ensemble's weights are rounded to what is stored, so that card, graph and figures are about the same numbers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = card.system
    files = {f"{name}.safetensors": save_weights(ensemble, folder / f"{name}.safetensors")}
    files[f"{name}.onnx"] = export_onnx(
        ensemble,
        folder / f"{name}.onnx",
        inputs={
            "maps": normal_maps.shape,
            "covariates": (len(card.numbers["covariates"]),),
        },
        output_names=("logit",),
        one_batch=True,
    )
    with (folder / f"{name}.npz").open("wb") as file:
        arrays = description.arrays() | {_NORMAL: normal_maps.astype(np.float32)}
        np.savez_compressed(file, allow_pickle=False, **arrays)
    files[f"{name}.npz"] = file_sha256(folder / f"{name}.npz")
    complete = replace(card, files=files)
    complete.write(folder)
    return complete


def load_model(folder: Path, system: str) -> TrainedModel:
    """A model to predict with.

    Raises
    ------
    UnreadableFile
        The folder holds no model of this system.
    MyoscopeError
        A file is not the one that the card was written for.
    """
    card = read_card(folder, system)
    require_hash(folder / f"{system}.npz", card.files[f"{system}.npz"])
    with np.load(folder / f"{system}.npz", allow_pickle=False) as arrays:
        normal_maps = arrays[_NORMAL]
        description = InputDescription.of_arrays({name: arrays[name] for name in arrays.files if name != _NORMAL})
    network = OnnxNetwork(folder / f"{system}.onnx", sha256=card.files[f"{system}.onnx"])
    return TrainedModel(card, network, description, normal_maps)


def load_ensemble(folder: Path, card: ModelCard, ensemble: nn.Module) -> nn.Module:
    """Stored weights put into an ensemble of the same design, to explain by gradients or to go on teaching."""
    name = f"{card.system}.safetensors"
    load_weights(ensemble, folder / name, sha256=card.files[name])
    return ensemble.eval()
