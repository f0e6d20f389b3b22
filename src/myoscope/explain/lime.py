"""A straight line through the model's answers near one patient: LIME.

Ribeiro et al., KDD 2016. Regions of the wall are made normal at random; a ridge regression of the answers on which
regions were left as they are, weighed by how many, says what each region adds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from myoscope.core import Explanation, InvalidValue
from myoscope.explain.model import Model, answers

_KERNEL_WIDTH = 0.25
_RIDGE = 1e-3


def lime(
    model: Model,
    maps: NDArray[Any],
    baseline: NDArray[Any],
    *,
    region: NDArray[Any],
    target: str,
    baseline_name: str,
    rng: np.random.Generator,
    samples: int = 300,
    model_card: str = "",
) -> Explanation:
    """Attribution of maps (channel, ring, angle) by ``region`` (ring, angle) numbers from 1, such as segments.

    Raises
    ------
    InvalidValue
        Fewer samples than regions.
    """
    numbers = np.unique(region)
    n = numbers.size
    if samples <= n:
        raise InvalidValue(f"{samples} samples do not determine {n} regions")
    kept = rng.random((samples, n)) < 0.5
    kept[0] = True
    member = (region[None] == numbers[:, None, None]).astype(np.float64)
    shown = np.tensordot(kept.astype(np.float64), member, 1) > 0.5
    worth = answers(model, np.where(shown[:, None], maps, baseline))
    # Distance of a variant from the patient: cosine of the two patterns of regions.
    distance = 1 - np.sqrt(kept.mean(axis=1))
    weight = np.exp(-((distance / _KERNEL_WIDTH) ** 2))
    design = np.column_stack([np.ones(samples), kept])
    weighted = design * weight[:, None]
    ridge = _RIDGE * np.eye(n + 1)
    ridge[0, 0] = 0
    slope = np.linalg.solve(weighted.T @ design + ridge, weighted.T @ worth)[1:]
    plane = np.tensordot(slope / member.sum(axis=(1, 2)), member, 1)
    return Explanation(
        attribution=np.broadcast_to(plane / len(maps), maps.shape).copy(),
        input_shape=maps.shape,
        method="LIME",
        target=target,
        baseline=baseline_name,
        model_card=model_card,
    )
