"""Shapley values: what each part of an input is worth, averaged over all orders in which parts could be revealed.

A part that is not yet revealed is what the baseline has in its place. The values add up to the difference between the
answer and the baseline's exactly (efficiency), two parts that do the same get the same, and a part that does nothing
gets nothing (Shapley 1953; Lundberg and Lee, NeurIPS 2017). For up to `EXACT_UP_TO` parts every coalition is asked; for
more, random orders are drawn in pairs of an order and its reverse (Castro et al. 2009; Mitchell et al. 2022).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myoscope.core import Explanation, InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.explain.model import Model, answers

EXACT_UP_TO = 10
"""Parts for which all 2^n coalitions are asked."""

Coalition = Callable[[NDArray[np.bool_]], FloatArray]
"""Takes which parts are revealed (n, part), gives the answers (n,)."""


@dataclass(frozen=True, eq=False, slots=True)
class ShapleyValues:
    """Value of each part (part,), of the baseline and of the whole; ``standard_error`` (part,) is 0 where exact."""

    names: tuple[str, ...]
    values: FloatArray
    standard_error: FloatArray
    baseline: float
    total: float

    @property
    def gap(self) -> float:
        """What is left of the difference to the baseline after the values."""
        return self.total - self.baseline - float(self.values.sum())


def shapley_values(
    coalition: Coalition, names: Sequence[str], *, rng: np.random.Generator | None = None, orders: int = 200
) -> ShapleyValues:
    """Shapley values of parts whose coalitions can be asked.

    ``rng`` draws ``orders`` orders of the parts where there are too many to ask all coalitions.

    Raises
    ------
    InvalidValue
        No parts, or too many for all coalitions and no generator.
    """
    n = len(names)
    if n == 0:
        raise InvalidValue("Shapley values need parts to share the answer out to")
    if n <= EXACT_UP_TO:
        values = _exact(coalition, n)
        ends = coalition(np.array([np.zeros(n, bool), np.ones(n, bool)]))
        return ShapleyValues(tuple(names), values, np.zeros(n), float(ends[0]), float(ends[1]))
    if rng is None:
        raise InvalidValue(f"{n} parts have too many coalitions to ask all; give a generator to draw orders with")
    return _sampled(coalition, names, rng, max(orders // 2, 2))


def map_shapley(
    model: Model,
    maps: NDArray[Any],
    baseline: NDArray[Any],
    *,
    groups: Sequence[tuple[str, Sequence[int]]],
    rng: np.random.Generator | None = None,
) -> ShapleyValues:
    """How much each whole map of an input (channel, ring, angle) counted; a group names the channels of one image.

    A map that is missing on both sides is worth nothing.
    """

    def coalition(revealed: NDArray[np.bool_]) -> FloatArray:
        channels = np.zeros((len(revealed), len(maps)), bool)
        for part, (_, members) in enumerate(groups):
            channels[:, list(members)] = revealed[:, part : part + 1]
        return answers(model, np.where(channels[:, :, None, None], maps, baseline))

    return shapley_values(coalition, [name for name, _ in groups], rng=rng)


def covariate_shapley(
    model: Model,
    covariates: NDArray[Any],
    baseline: NDArray[Any],
    *,
    names: Sequence[str],
    rng: np.random.Generator | None = None,
) -> ShapleyValues:
    """How much each covariate (covariate,) counted against a baseline patient."""

    def coalition(revealed: NDArray[np.bool_]) -> FloatArray:
        return answers(model, np.where(revealed, covariates, baseline))

    return shapley_values(coalition, names, rng=rng)


def region_shapley(
    model: Model,
    maps: NDArray[Any],
    baseline: NDArray[Any],
    *,
    region: NDArray[Any],
    target: str,
    baseline_name: str,
    rng: np.random.Generator,
    orders: int = 100,
    model_card: str = "",
) -> Explanation:
    """How much each region of the wall counted, all maps of it together; every cell gets its share of its region.

    ``maps`` and ``baseline`` (channel, ring, angle), ``region`` (ring, angle) numbers from 1, such as segments.
    """
    numbers = np.unique(region)
    member = region[None] == numbers[:, None, None]  # (region, ring, angle)

    def coalition(revealed: NDArray[np.bool_]) -> FloatArray:
        shown = np.tensordot(revealed.astype(np.float64), member.astype(np.float64), 1) > 0.5
        return answers(model, np.where(shown[:, None], maps, baseline))

    found = shapley_values(coalition, [str(n) for n in numbers], rng=rng, orders=orders)
    per_cell = found.values / (member.sum(axis=(1, 2)) * len(maps))
    plane = np.tensordot(per_cell, member.astype(np.float64), 1)
    return Explanation(
        attribution=np.broadcast_to(plane, maps.shape).copy(),
        input_shape=maps.shape,
        method="Shapley values of regions",
        target=target,
        baseline=baseline_name,
        completeness_gap=found.gap,
        model_card=model_card,
    )


def _exact(coalition: Coalition, n: int) -> FloatArray:
    everyone = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    worth = coalition(everyone.astype(bool))
    size = everyone.sum(axis=1)
    values = np.zeros(n)
    for part in range(n):
        without = np.flatnonzero(everyone[:, part] == 0)
        share = np.array([math.factorial(s) * math.factorial(n - s - 1) / math.factorial(n) for s in range(n)])
        values[part] = share[size[without]] @ (worth[without | (1 << part)] - worth[without])
    return values


def _sampled(coalition: Coalition, names: Sequence[str], rng: np.random.Generator, pairs: int) -> ShapleyValues:
    n = len(names)
    gains = np.zeros((pairs, n))
    ends = coalition(np.array([np.zeros(n, bool), np.ones(n, bool)]))
    for pair in range(pairs):
        order = rng.permutation(n)
        for direction in (order, order[::-1]):
            # After the first k parts of the order, for k = 1 to n - 1; both ends are known.
            revealed = np.argsort(direction)[None, :] < np.arange(1, n)[:, None]
            worth = np.concatenate([ends[:1], coalition(revealed), ends[1:]])
            gains[pair, direction] += 0.5 * np.diff(worth)
    return ShapleyValues(
        tuple(names),
        gains.mean(axis=0),
        gains.std(axis=0, ddof=1) / math.sqrt(pairs),
        float(ends[0]),
        float(ends[1]),
    )
