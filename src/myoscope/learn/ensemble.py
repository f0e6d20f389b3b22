"""Several networks that were taught apart and answer together."""

from __future__ import annotations

from collections.abc import Sequence

import torch  # noqa: TID253 - this module is a network; whoever imports it wants torch
from torch import Tensor, nn  # noqa: TID253 - as above

from myoscope.core import InvalidValue


class Ensemble(nn.Module):
    """In: as its members. Out: logits (batch, member, target), divided by the temperature of each target.

    The mean over members is the answer; how far members differ says how sure the answer is, as far as the choice of
    patients and starting weights goes, and nothing of what all of them get wrong.
    """

    temperature: Tensor

    def __init__(self, members: Sequence[nn.Module], n_targets: int) -> None:
        super().__init__()
        if not members:
            raise InvalidValue("an ensemble has at least one member")
        self.members = nn.ModuleList(members)
        self.register_buffer("temperature", torch.ones(n_targets))

    def forward(self, maps: Tensor, covariates: Tensor) -> Tensor:
        return torch.stack([member(maps, covariates) for member in self.members], dim=1) / self.temperature
