"""Layers that know what a polar map is: round in angle, one point at the apex, ending at the base.

A convolution that pads with zeros sees a wall where angle 355 meets angle 0, and another at the apex, where in the
heart the next cell lies on the other side. These layers go on round the circle and through the apex.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch  # noqa: TID253 - this module is layers; whoever imports it wants torch
from torch import Tensor, nn  # noqa: TID253 - as above

from myoscope.core import InvalidValue

_LEAST_SPREAD = 1e-6


def pad_polar(maps: Tensor, margin: int) -> Tensor:
    """Maps (batch, channel, ring, angle) with ``margin`` more cells around: round, through the apex, base repeated.

    Raises
    ------
    InvalidValue
        An odd number of angles: nothing lies opposite.
    """
    # Numbers and not tensors, also while the network is traced for export.
    n_rings, n_angles = int(maps.shape[-2]), int(maps.shape[-1])
    if n_angles % 2:
        raise InvalidValue(f"a polar map with {n_angles} angles has no opposite cells; use an even number")
    source = _sources(n_rings, n_angles, margin).to(maps.device)
    # One look-up instead of a dozen slices: as fast here, and a tenth of the nodes in an exported graph.
    padded = maps.flatten(2).index_select(2, source)
    return padded.reshape(maps.shape[0], maps.shape[1], n_rings + 2 * margin, n_angles + 2 * margin)


@lru_cache(maxsize=32)
def _sources(n_rings: int, n_angles: int, margin: int) -> Tensor:
    """Which cell each cell of a padded map is taken from, counted along the rings."""
    ring = np.arange(-margin, n_rings + margin)
    angle = np.arange(-margin, n_angles + margin)
    # Beyond the apex the first ring follows again, seen from the other side.
    opposite = np.where(ring < 0, n_angles // 2, 0)
    ring = np.minimum(np.where(ring < 0, -1 - ring, ring), n_rings - 1)
    cell = ring[:, None] * n_angles + (angle[None] + opposite[:, None]) % n_angles
    return torch.from_numpy(cell.ravel())


class PolarConv(nn.Module):
    """A convolution over a polar map that keeps its size; ``width`` cells wide, odd."""

    def __init__(self, channels_in: int, channels_out: int, width: int = 3, *, bias: bool = True) -> None:
        super().__init__()
        if width % 2 == 0:
            raise InvalidValue(f"a polar convolution has a middle: its width is odd, not {width}")
        self.margin = width // 2
        self.conv = nn.Conv2d(channels_in, channels_out, width, bias=bias)

    def forward(self, maps: Tensor) -> Tensor:
        out: Tensor = self.conv(pad_polar(maps, self.margin) if self.margin else maps)
        return out


class MaskedScale(nn.Module):
    """Scaled inputs beside masks that say what was there; NaN becomes 0, the mean of what was seen.

    ``mean`` and ``spread`` (channel,) are those of the training studies and travel with the weights. In: (batch,
    channel, ...). Out: (batch, 2 channels, ...).
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_channels))
        self.register_buffer("spread", torch.ones(n_channels))

    def fit(self, values: Tensor) -> None:
        """Take mean and spread from training studies (study, channel, ...); what never varies keeps a spread of 1."""
        for index, row in enumerate(values.transpose(0, 1).flatten(1)):
            known = row[torch.isfinite(row)].double()
            if known.numel():
                spread = float(known.std(correction=0))
                self.mean[index] = known.mean()
                self.spread[index] = spread if spread > _LEAST_SPREAD else 1.0

    def forward(self, values: Tensor) -> Tensor:
        over = (-1, *(1 for _ in range(values.ndim - 2)))
        mean, spread = self.mean.view(over), self.spread.view(over)
        missing = torch.isnan(values)
        filled = torch.where(missing, mean, values)
        return torch.cat([(filled - mean) / spread, (~missing).to(values.dtype)], dim=1)
