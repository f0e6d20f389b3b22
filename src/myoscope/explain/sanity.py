"""What an explanation must not survive, and what it must: random models, random labels, a little noise.

A method that draws the same picture for a network with random weights, or for one taught on shuffled labels, shows
the heart and not the model (Adebayo et al., NeurIPS 2018). A picture that changes with noise that does not change the
answer shows neither (Yeh et al., NeurIPS 2019).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray

Attribute = Callable[[NDArray[Any]], NDArray[Any]]
"""Takes maps (channel, ring, angle), gives their attribution (ring, angle)."""


def likeness(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Spearman's correlation of two attributions of one input; 0 where one of them is flat."""
    from scipy import stats  # takes a second to load, which asking a model can do without

    a, b = np.asarray(first, np.float64).ravel(), np.asarray(second, np.float64).ravel()
    if a.shape != b.shape:
        raise InvalidValue(f"attributions of {first.shape} and {second.shape} are not of one input")
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(stats.spearmanr(a, b).statistic)


@dataclass(frozen=True, slots=True)
class Stability:
    """Likeness of the attribution under noise: mean and least over the draws."""

    mean: float
    least: float


def stability(
    attribute: Attribute, maps: NDArray[Any], *, noise: FloatArray | float, rng: np.random.Generator, draws: int = 5
) -> Stability:
    """How alike attributions stay when noise is added to maps (channel, ring, angle).

    ``noise`` is its standard deviation in the units of the maps, one number or one per channel (channel,).
    """
    spread = np.broadcast_to(np.asarray(noise, np.float64).reshape(-1, 1, 1), (len(maps), 1, 1))
    still = attribute(maps)
    found = [
        likeness(still, attribute((maps + rng.normal(size=maps.shape) * spread).astype(maps.dtype)))
        for _ in range(draws)
    ]
    return Stability(float(np.mean(found)), float(np.min(found)))
