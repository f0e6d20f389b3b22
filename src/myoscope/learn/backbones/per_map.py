"""Several networks side by side, each seeing one map of a heart and answering the same questions.

What one map alone can tell is asked of a network that sees nothing else; side by side they share an optimiser, a file
and a set of folds, and no weight.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch  # noqa: TID253 - this module is a network; whoever imports it wants torch
from torch import Tensor, nn  # noqa: TID253 - as above

from myoscope.learn.backbones.polar_resnet import PolarResnet


class PerMap(nn.Module):
    """In: maps (batch, channel, 40, 72), covariates (batch, 0). Out: logits (batch, channel x task), map by map."""

    def __init__(self, networks: Sequence[PolarResnet]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, maps: Tensor, covariates: Tensor) -> Tensor:
        return torch.cat([one(maps[:, n : n + 1], covariates) for n, one in enumerate(self.networks)], dim=1)

    def fit_scales(self, maps: Tensor, covariates: Tensor) -> None:
        """Take the scales of the inputs from training studies."""
        for n, one in enumerate(self._each()):
            one.fit_scales(maps[:, n : n + 1], covariates)

    def features(self, maps: Tensor) -> Tensor:
        """(batch, channel x feature, 5, 18)"""
        return torch.cat([one.features(maps[:, n : n + 1]) for n, one in enumerate(self._each())], dim=1)

    def head(self, features: Tensor, covariates: Tensor) -> Tensor:
        """(batch, channel x task)"""
        parts = features.chunk(len(self.networks), dim=1)
        return torch.cat([one.head(part, covariates) for one, part in zip(self._each(), parts, strict=True)], dim=1)

    def embedding(self, maps: Tensor, covariates: Tensor) -> Tensor:
        """What the heads see, map by map."""
        return torch.cat([one.embedding(maps[:, n : n + 1], covariates) for n, one in enumerate(self._each())], dim=1)

    def borrow_trunk(self, other: PolarResnet) -> None:
        """Take over what another network has learned of polar maps, for each map."""
        for one in self._each():
            one.borrow_trunk(other)

    def freeze_trunk(self, frozen: bool) -> None:
        """Keep the trunks as they are while the heads learn, or let them learn too."""
        for one in self._each():
            one.freeze_trunk(frozen)

    def _each(self) -> list[PolarResnet]:
        return [one for one in self.networks if isinstance(one, PolarResnet)]
