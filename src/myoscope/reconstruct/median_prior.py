"""The median root prior of Alenius & Ruotsalainen, Eur J Nucl Med 1997: between updates every voxel is drawn to the
median of its neighbourhood.

Noise goes where it is not shared by neighbours; edges, being medians of themselves, stay. The image becomes locally
flat with sharp steps, the look of images from edge-preserving reconstruction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

_MOST = 9.0  # times the median, by which a lone voxel may stand out in the rule
_SLAB_VOXELS = 16_000  # worked on at once: what fits into a processor's cache

Array = NDArray[np.floating[Any]]


def towards_median(image: Tensor, weight: float) -> Tensor:
    """``x / (1 + weight (x - m) / m)`` with m the median of 3 x 3 x 3 voxels; ``weight`` from 0 to less than 1."""
    import torch

    values = image.detach().cpu().numpy()
    volumes = values.reshape(-1, *values.shape[-3:])
    divisor = np.ones_like(volumes)
    least = 1e-6 * max(float(values.max()), 1e-30)
    for volume, by in zip(volumes, divisor, strict=True):
        # What holds nothing stays nothing.
        box = _box_of(volume)
        median = median_27(volume, box)
        away = (volume[box] - median) / np.maximum(median, np.asarray(least, volume.dtype))
        by[box] += weight * np.clip(away, -1, _MOST)
    return image / torch.as_tensor(divisor.reshape(values.shape), device=image.device).to(image)


def median_27(volume: Array, box: tuple[slice, slice, slice]) -> Array:
    """Median of every voxel in a box of the volume and its 26 neighbours; the volume's border is repeated outwards.

    Triples are sorted along each axis in turn, which leaves 27 values in a partial order: 4 of them are too small to
    be the median and 4 too large; of the others the extremes are put aside (Devillard 1998) until one is left. All
    voxels of a slab go through the same comparisons together, several times faster than a selection for each.
    """
    wide = np.pad(volume, 1, mode="edge")[tuple(slice(part.start, part.stop + 2) for part in box)]
    n_i, n_j, n_k = (n - 2 for n in wide.shape)
    row, plane = n_k + 2, (n_j + 2) * (n_k + 2)
    result = np.empty((n_i, n_j, n_k), volume.dtype)
    thick = max(_SLAB_VOXELS // plane, 1)
    for first in range(0, n_i, thick):
        slab = np.ascontiguousarray(wide[first : first + thick + 2])
        # Flat, neighbours are fixed steps apart; what wraps round at the end of a row is cut off below.
        left = [
            value
            for k, along_k in enumerate(_sorted_triples(slab.ravel(), 1))
            for j, along_j in enumerate(_sorted_triples(along_k, row))
            for i, value in enumerate(_sorted_triples(along_j, plane))
            if 1 < i + j + k < 5
        ]
        # Of 19 the least and the greatest of any 11 are not the 10th.
        held, waiting = left[:11], left[11:]
        held = _without_extremes(held)
        while waiting:
            held = _without_extremes([*held, waiting.pop()])
        middle = held[0]
        depth = len(slab) - 2
        padded = np.empty(depth * plane, volume.dtype)
        padded[: len(middle)] = middle
        result[first : first + depth] = padded.reshape(depth, n_j + 2, n_k + 2)[:, :n_j, :n_k]
    return result


def _box_of(volume: Array) -> tuple[slice, slice, slice]:
    """The smallest box of what is not 0."""
    found = []
    for axis in range(3):
        used = np.flatnonzero(volume.any(axis=tuple(a for a in range(3) if a != axis)))
        found.append(slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 1))
    return (found[0], found[1], found[2])


def _sorted_triples(flat: Array, step: int) -> tuple[Array, Array, Array]:
    """Least, middle and greatest of each value and those one and two steps on."""
    n = len(flat) - 2 * step
    a, b, c = flat[:n], flat[step : step + n], flat[2 * step :]
    low, high = np.minimum(a, b), np.maximum(a, b)
    middle = np.minimum(high, c)
    return np.minimum(low, middle), np.maximum(low, middle), np.maximum(high, c)


def _without_extremes(values: list[Array]) -> list[Array]:
    """The values less their least and their greatest, in no order."""
    pairs = list(zip(values[::2], values[1::2], strict=False))
    low = [np.minimum(a, b) for a, b in pairs]
    high = [np.maximum(a, b) for a, b in pairs]
    if len(values) % 2:
        # An odd one may be either: what is left of it after the search for the least joins the greater ones.
        low.append(values[-1])
    rest = []
    least = low[0]
    for value in low[1:]:
        rest.append(np.maximum(least, value))
        least = np.minimum(least, value)
    if len(values) % 2:
        high.append(rest.pop())
    greatest = high[0]
    for value in high[1:]:
        rest.append(np.minimum(greatest, value))
        greatest = np.maximum(greatest, value)
    return rest
