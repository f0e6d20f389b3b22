"""Polar maps as they come out when a heart's axes were taken for others, and how to tell them from right ones.

A wall is nearly the same all round: a mirrored or turned map has nothing that no map has, and is not strange as such.
But the septum is shorter and darker at the base, the lateral wall brighter, and the diaphragm shadows one side. A
linear discriminant for each way of being wrong (Fisher, Ann Eugen 1936;7:179, its covariance held to the round by a
share of the mean variance) sums such signs up; training maps and what becomes of them when turned teach it.

numpy only, as `outliers`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from myoscope.core.geometry import FloatArray

_BLOCKS = (8, 12)  # rings, angles: finer than the signs are
_HELD = 1.0
_MOST_STUDIES = 3000


def wrong_turns(n_angles: int) -> dict[str, NDArray[np.intp]]:
    """Which angle of a right map (0 lateral, 90 degrees anterior) each of a wrong one shows, by what went wrong."""
    angle = np.arange(n_angles)
    half, quarter = n_angles // 2, n_angles // 4
    return {
        "septum and lateral wall exchanged": (half - 1 - angle) % n_angles,
        "anterior and inferior wall exchanged": n_angles - 1 - angle,
        "turned by 90 degrees": (angle + quarter) % n_angles,
        "turned by -90 degrees": (angle - quarter) % n_angles,
        "turned by 180 degrees": (angle + half) % n_angles,
    }


def tell_turned(maps: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Weights (turn, feature) whose sum over a map's deviation from the mean map is higher the likelier it is turned.

    ``maps`` (study, channel, ring, angle) are right ones without gaps. The level of a map does not count.
    """
    rows = rng.permutation(len(maps))[:_MOST_STUDIES]
    right = _in_blocks(maps[rows])
    shape, size = maps.shape[1:], right.shape[1]
    weights = []
    for turned in wrong_turns(maps.shape[-1]).values():
        wrong = _in_blocks(maps[rows][..., turned])
        apart = wrong.mean(axis=0) - right.mean(axis=0)
        spread = 0.5 * (np.cov(right.T) + np.cov(wrong.T))
        held = _HELD * np.trace(spread) / size * np.eye(size)
        weights.append(_on_cells(np.linalg.solve(spread + held, apart), shape))
    return np.stack(weights)


def _in_blocks(maps: FloatArray) -> FloatArray:
    """Mean over blocks of cells less that of the whole map, by channel; (study, channel x block)."""
    n, channels, rings, angles = maps.shape
    tall, wide = rings // _BLOCKS[0], angles // _BLOCKS[1]
    blocks = maps.reshape(n, channels, _BLOCKS[0], tall, _BLOCKS[1], wide).mean(axis=(3, 5))
    level: FloatArray = (blocks - blocks.mean(axis=(2, 3), keepdims=True)).reshape(n, -1)
    return level


def _on_cells(weight: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """The same weights for the cells of a map (channel, ring, angle), flat."""
    channels, rings, angles = shape
    tall, wide = rings // _BLOCKS[0], angles // _BLOCKS[1]
    blocks = weight.reshape(channels, *_BLOCKS)
    blocks = blocks - blocks.mean(axis=(1, 2), keepdims=True)
    cells: FloatArray = (blocks / (tall * wide)).repeat(tall, axis=1).repeat(wide, axis=2).ravel()
    return cells
