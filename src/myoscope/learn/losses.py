"""What a network is taught by, with outcomes that are not known left out instead of made up."""

from __future__ import annotations

import torch  # noqa: TID253 - this module works on tensors; whoever imports it wants torch
from torch import Tensor  # noqa: TID253 - as above
from torch.nn import functional  # noqa: TID253 - as above


def known_cross_entropy(logit: Tensor, target: Tensor, *, positive_weight: Tensor | None = None) -> Tensor:
    """Binary cross-entropy over the targets that are known; NaN targets teach nothing.

    ``logit`` and ``target`` (batch, target); each target's mean over its known rows, then the mean over targets that
    have any. ``positive_weight`` (target,) counts rows with the outcome that many times.
    """
    known = torch.isfinite(target)
    filled = torch.where(known, target, torch.zeros_like(target))
    loss = functional.binary_cross_entropy_with_logits(logit, filled, reduction="none", pos_weight=positive_weight)
    n = known.sum(dim=0)
    each = (loss * known).sum(dim=0) / n.clamp_min(1)
    return each.sum() / (n > 0).sum().clamp_min(1)


def known_squared_error(answer: Tensor, target: Tensor) -> Tensor:
    """Mean squared error over the targets that are known."""
    known = torch.isfinite(target)
    error = torch.where(known, answer - target, torch.zeros_like(answer))
    return (error**2).sum() / known.sum().clamp_min(1)
