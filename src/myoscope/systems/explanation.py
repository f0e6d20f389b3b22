"""Explanations of the systems' networks, by any method, against a normal heart.

What is explained is a log-odds of the model (the mean over its members), as a function of the maps; covariates stay as
they are. The baseline is the mean map of training studies without disease and defect; where the patient's map was not
seen, nothing is compared. Methods that only ask for answers run on the exported graph; those that need gradients load
the stored weights into torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from myoscope import explain
from myoscope.core import Explanation, InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.explain.shapley import ShapleyValues
from myoscope.learn import Examples, TrainedModel, load_model
from myoscope.simulate.deficit import SEGMENT_OF_PLACE

if TYPE_CHECKING:
    from torch import Tensor, nn

BuildFrom = Callable[[Mapping[str, Any], int], "nn.Module"]
"""Takes the settings of a card and the number of a member, gives its untrained network."""

FORWARD_METHODS = ("occlusion", "occlusion of regions", "Shapley values of regions", "LIME")
GRADIENT_METHODS = ("Grad-CAM", "Grad-CAM++", "integrated gradients", "gradient SHAP")
METHODS = (*FORWARD_METHODS, *GRADIENT_METHODS)
DEFAULT_METHOD = "occlusion"
DEPTHS = np.linspace(0, 1.5, 31)
"""How much of what differs from a normal heart what-if curves show: from none of it to half as much again."""
NORMAL_HEART = "the mean of training studies without disease or defect"

SEGMENTS: NDArray[np.int16] = np.asarray(SEGMENT_OF_PLACE)
"""Segment number (40, 72) of each cell of an average wall; cohorts store no other."""


class Explainer:
    """A trained model of a folder, ready to be asked why. ``seed`` fixes what methods draw."""

    def __init__(self, folder: Path, system: str, build_from: BuildFrom, *, seed: int = 0) -> None:
        self.model: TrainedModel = load_model(folder, system)
        self._folder = folder
        self._build_from = build_from
        self._seed = seed
        self._logits = self.model.logits

    @cached_property
    def ensemble(self) -> nn.Module:
        """The stored weights in torch."""
        from myoscope.learn.ensemble import Ensemble
        from myoscope.learn.trained_model import load_ensemble

        card = self.model.card
        members = [self._build_from(card.settings, member) for member in range(int(card.settings["members"]))]
        return load_ensemble(self._folder, card, Ensemble(members, len(self.model.targets)))

    def with_random_weights(self, seed: int) -> Explainer:
        """The same network without what it learned: all weights drawn anew, the scales of its inputs kept."""
        import torch

        other = Explainer(self._folder, self.model.card.system, self._build_from, seed=self._seed)
        ensemble: Any = other.ensemble
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for module in ensemble.modules():
                if hasattr(module, "reset_parameters"):
                    module.reset_parameters()

        def logits(maps: NDArray[np.float32], covariates: NDArray[np.float32]) -> FloatArray:
            with torch.no_grad():
                found = ensemble(torch.from_numpy(np.array(maps)), torch.from_numpy(np.array(covariates)))
            answers: FloatArray = found.numpy().astype(np.float64)
            return answers

        other._logits = logits
        return other

    def asked(self, covariates: NDArray[np.float32], target: int) -> explain.Model:
        """The log-odds of one target as a function of maps, for one patient's covariates (covariate,)."""

        def log_odds(maps: NDArray[Any]) -> FloatArray:
            of_all = np.broadcast_to(covariates, (len(maps), covariates.size))
            logits: FloatArray = self._logits(maps.astype(np.float32), of_all)[:, :, target].mean(axis=1)
            return logits

        return log_odds

    def baseline(self, maps: NDArray[np.float32]) -> NDArray[np.float32]:
        """A normal heart (channel, ring, angle), not seen where the patient's was not."""
        normal: NDArray[np.float32] = np.where(np.isfinite(maps), self.model.normal_maps, np.nan).astype(np.float32)
        return normal

    def in_depths(self, maps: NDArray[np.float32], depths: FloatArray) -> NDArray[np.float32]:
        """Maps (depth, channel, ring, angle) with so many times of what differs from a normal heart."""
        normal = self.baseline(maps)
        share = depths.astype(np.float32)[:, None, None, None]
        return (normal + share * (maps - normal)).astype(np.float32)

    def map_values(
        self, maps: NDArray[np.float32], covariates: NDArray[np.float32], target: int, groups: Mapping[str, list[int]]
    ) -> ShapleyValues:
        """How much each whole image counted."""
        return explain.map_shapley(
            self.asked(covariates, target), maps, self.baseline(maps), groups=[*groups.items()], rng=self._rng()
        )

    def input_values(
        self, maps: NDArray[np.float32], covariates: NDArray[np.float32], target: int, groups: Mapping[str, list[int]]
    ) -> ShapleyValues:
        """How much each whole image and each covariate counted, together against an average normal patient."""
        normal = self.baseline(maps)
        mean = np.asarray(self.model.card.numbers["covariate_mean"], np.float32)
        members = [*groups.values()]

        def coalition(revealed: NDArray[np.bool_]) -> FloatArray:
            shown = np.zeros((len(revealed), len(maps)), bool)
            for part, channels in enumerate(members):
                shown[:, channels] = revealed[:, part : part + 1]
            variants = np.where(shown[:, :, None, None], maps, normal).astype(np.float32)
            of_all = np.where(revealed[:, len(members) :], covariates, mean).astype(np.float32)
            logits: FloatArray = self._logits(variants, of_all)[:, :, target].mean(axis=1)
            return logits

        return explain.shapley_values(coalition, [*groups, *self.model.covariates], rng=self._rng())

    def covariate_values(
        self, maps: NDArray[np.float32], covariates: NDArray[np.float32], target: int
    ) -> ShapleyValues:
        """How much each covariate counted, against the mean of the training studies."""
        mean = np.asarray(self.model.card.numbers["covariate_mean"], np.float32)

        def log_odds(variants: NDArray[Any]) -> FloatArray:
            of_all = np.broadcast_to(maps, (len(variants), *maps.shape))
            logits: FloatArray = self._logits(of_all, variants.astype(np.float32))[:, :, target].mean(axis=1)
            return logits

        return explain.covariate_shapley(log_odds, covariates, mean, names=self.model.covariates, rng=self._rng())

    def by(self, method: str, maps: NDArray[np.float32], covariates: NDArray[np.float32], target: int) -> Explanation:
        """Attribution of maps (channel, ring, angle) by one of `METHODS`.

        Raises
        ------
        InvalidValue
            There is no such method.
        """
        about: dict[str, Any] = {
            "target": f"log-odds of {self.model.targets[target]}",
            "model_card": self.model.card.identifier,
        }
        if method in FORWARD_METHODS:
            return self._forward(method, maps, covariates, target, about | {"baseline_name": NORMAL_HEART})
        if method in GRADIENT_METHODS:
            return self._gradient(method, maps, covariates, target, about)
        raise InvalidValue(f"there is no method {method!r}; there are {', '.join(METHODS)}")

    def _forward(
        self,
        method: str,
        maps: NDArray[np.float32],
        covariates: NDArray[np.float32],
        target: int,
        about: dict[str, Any],
    ) -> Explanation:
        asked, normal = self.asked(covariates, target), self.baseline(maps)
        if method == "occlusion":
            return explain.occlusion(asked, maps, normal, **about)
        if method == "occlusion of regions":
            return explain.region_occlusion(asked, maps, normal, region=SEGMENTS, **about)
        if method == "LIME":
            return explain.lime(asked, maps, normal, region=SEGMENTS, rng=self._rng(), **about)
        return explain.region_shapley(asked, maps, normal, region=SEGMENTS, rng=self._rng(), orders=20, **about)

    def _gradient(
        self,
        method: str,
        maps: NDArray[np.float32],
        covariates: NDArray[np.float32],
        target: int,
        about: dict[str, Any],
    ) -> Explanation:
        import torch

        given = torch.from_numpy(np.array(covariates, np.float32))[None]
        if method.startswith("Grad-CAM"):
            cam = explain.grad_cam if method == "Grad-CAM" else explain.grad_cam_plus_plus
            found = [
                cam(
                    member.features,
                    _head(member, given, target),
                    torch.from_numpy(np.array(maps)),
                    **about,
                )
                for member in self.ensemble.members  # type: ignore[union-attr]
            ]
            mean = np.mean([one.attribution for one in found], axis=0)
            return Explanation(attribution=mean, input_shape=mean.shape, method=method, **about)

        def log_odds(variants: Tensor) -> Tensor:
            answer: Tensor = self.ensemble(variants, given.expand(len(variants), -1))[:, :, target].mean(dim=1)
            return answer

        normal = self.baseline(maps)
        if method == "integrated gradients":
            return explain.integrated_gradients(log_odds, maps, normal, baseline_name=NORMAL_HEART, **about)
        # Normal hearts differ: a little brighter, a little darker.
        starts = np.stack([normal * np.float32(level) for level in (0.95, 1.0, 1.05)])
        return explain.gradient_shap(log_odds, maps, starts, baseline_name=NORMAL_HEART, rng=self._rng(), **about)

    def _rng(self) -> np.random.Generator:
        return np.random.default_rng(self._seed)


def explain_network(
    examples: Examples, row: int, folder: Path, system: str, build_from: BuildFrom, *, method: str = ""
) -> Explanation:
    """Why the model of a folder said what it said of one study: of its likeliest target, by one method."""
    explainer = Explainer(folder, system, build_from)
    maps, covariates = np.array(examples.maps[row]), np.array(examples.covariates[row])
    logits = explainer.model.logits(maps[None], covariates[None]).mean(axis=1)[0]
    return explainer.by(method or DEFAULT_METHOD, maps, covariates, int(np.argmax(logits)))


def _head(member: nn.Module, covariates: Tensor, target: int) -> Callable[[Tensor], Tensor]:
    def head(features: Tensor) -> Tensor:
        logit: Tensor = member.head(features, covariates.expand(len(features), -1))[:, target]  # type: ignore[operator]
        return logit

    return head
