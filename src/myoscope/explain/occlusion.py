"""What becomes of the answer when a part of the wall is made normal: occlusion.

Zeiler and Fergus, ECCV 2014. A window slides over the polar map, round the circle; what it covers is replaced by the
baseline (a normal heart rather than nothing, because nothing is itself a defect). A cell's attribution is the mean loss
of the answer over the windows that covered it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from myoscope.core import Explanation, InvalidValue
from myoscope.explain.model import Model, answers


def occlusion(
    model: Model,
    maps: NDArray[Any],
    baseline: NDArray[Any],
    *,
    target: str,
    baseline_name: str,
    window: tuple[int, int] = (8, 12),
    stride: tuple[int, int] = (4, 6),
    model_card: str = "",
) -> Explanation:
    """Attribution of maps (channel, ring, angle), the same for all channels, which are covered together.

    ``window`` and ``stride`` are (rings, angles); with a stride as large as the window each cell is covered once.

    Raises
    ------
    InvalidValue
        A window larger than the map, or a stride that leaves cells uncovered.
    """
    _, n_rings, n_angles = maps.shape
    if not (1 <= window[0] <= n_rings and 1 <= window[1] <= n_angles):
        raise InvalidValue(f"a window of {window} does not fit a map of {n_rings} x {n_angles}")
    if stride[0] > window[0] or stride[1] > window[1] or min(stride) < 1:
        raise InvalidValue(f"a stride of {stride} leaves cells that no window of {window} covers")
    tops = sorted({*range(0, n_rings - window[0] + 1, stride[0]), n_rings - window[0]})
    ring, angle = np.arange(n_rings), np.arange(n_angles)
    covered = np.array(
        [
            ((ring >= top) & (ring < top + window[0]))[:, None] & ((angle - left) % n_angles < window[1])[None]
            for top in tops
            for left in range(0, n_angles, stride[1])
        ]
    )  # (window, ring, angle)
    whole = answers(model, maps[None])[0]
    lost = whole - answers(model, np.where(covered[:, None], baseline, maps))
    plane = np.tensordot(lost, covered.astype(np.float64), 1) / covered.sum(axis=0)
    return Explanation(
        attribution=np.broadcast_to(plane / len(maps), maps.shape).copy(),
        input_shape=maps.shape,
        method="occlusion",
        target=target,
        baseline=baseline_name,
        model_card=model_card,
    )


def region_occlusion(
    model: Model,
    maps: NDArray[Any],
    baseline: NDArray[Any],
    *,
    region: NDArray[Any],
    target: str,
    baseline_name: str,
    model_card: str = "",
) -> Explanation:
    """The same with one window per region of the wall, such as the 17 segments: what if this segment were normal?"""
    numbers = np.unique(region)
    covered = region[None] == numbers[:, None, None]
    whole = answers(model, maps[None])[0]
    lost = whole - answers(model, np.where(covered[:, None], baseline, maps))
    plane = np.tensordot(lost / covered.sum(axis=(1, 2)), covered.astype(np.float64), 1)
    return Explanation(
        attribution=np.broadcast_to(plane / len(maps), maps.shape).copy(),
        input_shape=maps.shape,
        method="occlusion of regions",
        target=target,
        baseline=baseline_name,
        model_card=model_card,
    )
