"""A small residual network over polar maps whose trunk can be taught one task and lent to others.

Residual units (He et al. 2016) with group normalisation, halving rings three times and angles twice; the trunk's last
maps are averaged over a coarse grid of places, then each task has one linear head. ``trunk`` is what transfer learning
moves: taught on many maps, frozen under new heads, then let go (Yeung et al. 2022 did so from photographs; here it is
taught on virtual polar maps).
"""

from __future__ import annotations

import torch  # noqa: TID253 - this module is a network; whoever imports it wants torch
from torch import Tensor, nn  # noqa: TID253 - as above

from myoscope.learn.polar_layers import MaskedScale, PolarConv

_GROUPS = 4
# An even number of angles is left, so that every cell has one opposite.
_SHRINK = ((2, 2), (2, 2), (2, 1))
_FEATURE_SHAPE, _PLACES = (5, 18), (2, 6)


class _ResidualUnit(nn.Module):
    def __init__(self, before: int, after: int, shrink: tuple[int, int]) -> None:
        super().__init__()
        self.shrink = nn.MaxPool2d(shrink)
        self.first, self.second = PolarConv(before, after, bias=False), PolarConv(after, after, bias=False)
        self.first_norm, self.second_norm = nn.GroupNorm(_GROUPS, after), nn.GroupNorm(_GROUPS, after)
        self.shortcut = nn.Conv2d(before, after, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.shrink(x)
        y = torch.relu(self.first_norm(self.first(x)))
        return torch.relu(self.shortcut(x) + self.second_norm(self.second(y)))


class PolarResnet(nn.Module):
    """In: maps (batch, channel, 40, 72), covariates (batch, covariate). Out: logits (batch, target)."""

    def __init__(
        self,
        n_channels: int,
        n_covariates: int,
        n_targets: int,
        *,
        widths: tuple[int, int, int] = (16, 32, 48),
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        self.maps, self.covariates = MaskedScale(n_channels), MaskedScale(n_covariates)
        self.stem = PolarConv(2 * n_channels, widths[0])
        before = (widths[0], *widths[:-1])
        self.trunk = nn.Sequential(*(_ResidualUnit(*unit) for unit in zip(before, widths, _SHRINK, strict=True)))
        # 5 x 18 cells into 2 x 6 places by a fixed matrix each way: adaptive pooling has no counterpart in ONNX.
        self.register_buffer("_rings", _averages(_FEATURE_SHAPE[0], _PLACES[0]))
        self.register_buffer("_angles", _averages(_FEATURE_SHAPE[1], _PLACES[1]))
        self.answer = nn.Linear(widths[-1] * _PLACES[0] * _PLACES[1] + 2 * n_covariates, n_targets)
        self.dropout = nn.Dropout(dropout)

    _rings: Tensor
    _angles: Tensor

    def forward(self, maps: Tensor, covariates: Tensor) -> Tensor:
        return self.head(self.features(maps), covariates)

    def fit_scales(self, maps: Tensor, covariates: Tensor) -> None:
        """Take the scales of the inputs from training studies."""
        self.maps.fit(maps)
        self.covariates.fit(covariates)

    def features(self, maps: Tensor) -> Tensor:
        """(batch, channel, 5, 18)"""
        features: Tensor = self.trunk(torch.relu(self.stem(self.maps(maps))))
        return features

    def head(self, features: Tensor, covariates: Tensor) -> Tensor:
        """(batch, target)"""
        logit: Tensor = self.answer(self.dropout(self._joined(features, covariates)))
        return logit

    def embedding(self, maps: Tensor, covariates: Tensor) -> Tensor:
        """(batch, channel x places + 2 covariates)"""
        return self._joined(self.features(maps), covariates)

    def borrow_trunk(self, other: PolarResnet) -> None:
        """Take over what another network has learned of polar maps: stem and trunk, not scales and heads.

        The stem is taken channel by channel where both see as many, else its mean over channels.
        """
        self.trunk.load_state_dict(other.trunk.state_dict())
        with torch.no_grad():
            ours, theirs = self.stem.conv.weight, other.stem.conv.weight
            if ours.shape == theirs.shape:
                ours.copy_(theirs)
            else:
                half, other_half = ours.shape[1] // 2, theirs.shape[1] // 2
                for part, source in (
                    (ours[:, :half], theirs[:, :other_half]),
                    (ours[:, half:], theirs[:, other_half:]),
                ):
                    part.copy_(source.mean(dim=1, keepdim=True) * source.shape[1] / part.shape[1])
            if self.stem.conv.bias is not None and other.stem.conv.bias is not None:
                self.stem.conv.bias.copy_(other.stem.conv.bias)

    def freeze_trunk(self, frozen: bool) -> None:
        """Keep stem and trunk as they are while the heads learn, or let them learn too."""
        for parameter in (*self.stem.parameters(), *self.trunk.parameters()):
            parameter.requires_grad_(not frozen)

    def _joined(self, features: Tensor, covariates: Tensor) -> Tensor:
        places = torch.einsum("bcra,pr,qa->bcpq", features, self._rings, self._angles)
        return torch.cat([places.flatten(1), self.covariates(covariates)], dim=1)


def _averages(n: int, groups: int) -> Tensor:
    """Matrix (group, n) that averages n cells in groups of nearly equal size."""
    matrix = torch.zeros(groups, n)
    for cell in range(n):
        matrix[cell * groups // n, cell] = 1
    return matrix / matrix.sum(dim=1, keepdim=True)
