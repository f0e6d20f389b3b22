"""A shallow network over several maps of one heart, with volumes and covariates joined before the answer.

In the manner of CAD-DL (Otaki et al. 2022): maps of perfusion, motion and thickening go through convolutions together;
volumes, age and sex meet what they found in a fully connected layer. Max-pooling is by ring and angle as they come;
places are kept, because a place is an artery's.
"""

from __future__ import annotations

import torch  # noqa: TID253 - this module is a network; whoever imports it wants torch
from torch import Tensor, nn  # noqa: TID253 - as above

from myoscope.learn.polar_layers import MaskedScale, PolarConv


class FusedCnn(nn.Module):
    """In: maps (batch, channel, 40, 72), covariates (batch, covariate). Out: logits (batch, target)."""

    def __init__(
        self,
        n_channels: int,
        n_covariates: int,
        n_targets: int,
        *,
        widths: tuple[int, ...] = (16, 32, 32),
        hidden: int = 64,
        dropout: float = 0.4,
        shape: tuple[int, int] = (40, 72),
    ) -> None:
        super().__init__()
        self.maps, self.covariates = MaskedScale(n_channels), MaskedScale(n_covariates)
        units: list[nn.Module] = []
        for before, after in zip((2 * n_channels, *widths[:-1]), widths, strict=True):
            units += [PolarConv(before, after, bias=False), nn.GroupNorm(4, after), nn.ReLU(), nn.MaxPool2d(2)]
        self.units = nn.Sequential(*units)
        cells = (shape[0] >> len(widths)) * (shape[1] >> len(widths))
        self.from_maps = nn.Linear(widths[-1] * cells, hidden)
        self.joined = nn.Linear(hidden + 2 * n_covariates, hidden)
        self.answer = nn.Linear(hidden, n_targets)
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
        logit: Tensor = self.answer(self._joined(features, covariates))
        return logit

    def embedding(self, maps: Tensor, covariates: Tensor) -> Tensor:
        """(batch, hidden)"""
        return self._joined(self.features(maps), covariates)

    def _joined(self, features: Tensor, covariates: Tensor) -> Tensor:
        seen = self.dropout(torch.relu(self.from_maps(self.dropout(features.flatten(1)))))
        both = torch.cat([seen, self.covariates(covariates)], dim=1)
        joined: Tensor = self.dropout(torch.relu(self.joined(both)))
        return joined
