"""Where the last convolutions looked: Grad-CAM and Grad-CAM++.

The last feature maps are summed with weights that say how the answer moves with each (Selvaraju et al., ICCV 2017:
the mean gradient; Chattopadhay et al., WACV 2018: a mean over the places that raise it), negative sums are dropped, and
the picture is enlarged to the polar map. It has the coarseness of the features and no sign, and it adds up to nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from myoscope.core import Explanation

if TYPE_CHECKING:
    from torch import Tensor

Features = Callable[["Tensor"], "Tensor"]
"""Takes maps (n, channel, ring, angle), gives the last feature maps (n, feature, ring', angle')."""
Head = Callable[["Tensor"], "Tensor"]
"""Takes these feature maps, gives one number each (n,)."""


def grad_cam(features: Features, head: Head, maps: Tensor, *, target: str, model_card: str = "") -> Explanation:
    """Grad-CAM of maps (channel, ring, angle): one picture (ring, angle) for all channels, 0 or more."""
    found, gradient = _features_and_gradient(features, head, maps)
    weight = gradient.mean(axis=(1, 2))
    return _explanation(np.tensordot(weight, found, 1), maps, "Grad-CAM", target, model_card)


def grad_cam_plus_plus(
    features: Features, head: Head, maps: Tensor, *, target: str, model_card: str = ""
) -> Explanation:
    """Grad-CAM++ of maps (channel, ring, angle), for an answer whose exponential is explained (a log-odds)."""
    found, gradient = _features_and_gradient(features, head, maps)
    # For exp(answer), second and third derivatives are powers of the first.
    square, cube = gradient**2, gradient**3
    share = square / np.where((below := 2 * square + (found.sum(axis=(1, 2), keepdims=True) * cube)) != 0, below, 1.0)
    weight = (share * np.maximum(gradient, 0)).sum(axis=(1, 2))
    return _explanation(np.tensordot(weight, found, 1), maps, "Grad-CAM++", target, model_card)


def _features_and_gradient(
    features: Features, head: Head, maps: Tensor
) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.float64]], np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    import torch

    with torch.no_grad():
        found = features(maps[None])
    found = found.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(head(found).sum(), found)
    return found[0].detach().numpy().astype(np.float64), gradient[0].numpy().astype(np.float64)


def _explanation(
    coarse: np.ndarray[tuple[int, ...], np.dtype[np.float64]], maps: Tensor, method: str, target: str, card: str
) -> Explanation:
    shape = tuple(int(n) for n in maps.shape[-2:])
    return Explanation(
        attribution=np.maximum(enlarged(coarse, (shape[0], shape[1])), 0),
        input_shape=shape,
        method=method,
        target=target,
        model_card=card,
    )


def enlarged(
    coarse: np.ndarray[tuple[int, ...], np.dtype[np.float64]], shape: tuple[int, int]
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """A coarse polar picture on the cells of a finer one: linear between centres, round the circle."""
    rows = np.clip((np.arange(shape[0]) + 0.5) * coarse.shape[0] / shape[0] - 0.5, 0, coarse.shape[0] - 1)
    columns = (np.arange(shape[1]) + 0.5) * coarse.shape[1] / shape[1] - 0.5
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    down, right = (rows - top)[:, None], columns - left
    below = np.minimum(top + 1, coarse.shape[0] - 1)
    n = coarse.shape[1]

    def between(
        row: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        picked: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = (
            coarse[row][:, left % n] * (1 - right) + coarse[row][:, (left + 1) % n] * right
        )
        return picked

    fine: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = between(top) * (1 - down) + between(below) * down
    return fine
