"""Three feature units and one small head per target, in the manner of Betancur et al. 2018 and 2019.

A unit is a convolution of 3 x 3, a rectifier and a maximum over 2 x 2. The heads see where a feature lies, because an
artery's territory is a place; each target (LAD, LCx, RCA) has a hidden layer of its own with dropout.
"""

from __future__ import annotations

import torch  # noqa: TID253 - this module is a network; whoever imports it wants torch
from torch import Tensor, nn  # noqa: TID253 - as above

from myoscope.learn.polar_layers import MaskedScale, PolarConv


class VesselCnn(nn.Module):
    """In: maps (batch, channel, 40, 72), covariates (batch, covariate). Out: logits (batch, target)."""

    def __init__(
        self,
        n_channels: int,
        n_covariates: int,
        n_targets: int,
        *,
        widths: tuple[int, ...] = (16, 32, 32),
        hidden: int = 32,
        dropout: float = 0.5,
        shape: tuple[int, int] = (40, 72),
    ) -> None:
        super().__init__()
        self.maps, self.covariates = MaskedScale(n_channels), MaskedScale(n_covariates)
        units: list[nn.Module] = []
        for before, after in zip((2 * n_channels, *widths[:-1]), widths, strict=True):
            units += [PolarConv(before, after), nn.ReLU(), nn.MaxPool2d(2)]
        self.units = nn.Sequential(*units)
        cells = (shape[0] >> len(widths)) * (shape[1] >> len(widths))
        n_in = widths[-1] * cells + 2 * n_covariates
        self.hidden = nn.ModuleList(nn.Linear(n_in, hidden) for _ in range(n_targets))
        self.answer = nn.ModuleList(nn.Linear(hidden, 1) for _ in range(n_targets))
        self.dropout = nn.Dropout(dropout)

    def forward(self, maps: Tensor, covariates: Tensor) -> Tensor:
        return self.head(self.features(maps), covariates)

    def fit_scales(self, maps: Tensor, covariates: Tensor) -> None:
        """Take the scales of the inputs from training studies."""
        self.maps.fit(maps)
        self.covariates.fit(covariates)

    def features(self, maps: Tensor) -> Tensor:
        """(batch, channel, 5, 9)"""
        features: Tensor = self.units(self.maps(maps))
        return features

    def head(self, features: Tensor, covariates: Tensor) -> Tensor:
        """(batch, target)"""
        layers = self._hidden(features, covariates)
        return torch.cat([answer(layer) for answer, layer in zip(self.answer, layers, strict=True)], dim=1)

    def embedding(self, maps: Tensor, covariates: Tensor) -> Tensor:
        """(batch, target x hidden)"""
        return torch.cat(self._hidden(self.features(maps), covariates), dim=1)

    def _hidden(self, features: Tensor, covariates: Tensor) -> list[Tensor]:
        joined = self.dropout(torch.cat([features.flatten(1), self.covariates(covariates)], dim=1))
        return [self.dropout(torch.relu(layer(joined))) for layer in self.hidden]
