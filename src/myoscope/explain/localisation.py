"""Whether an explanation points at the disease: possible where the truth is known, as in virtual patients.

The pointing game (Zhang et al., IJCV 2018) asks whether the place of greatest attribution lies in the diseased region;
here the place is a segment, because a single cell is noise. Beside every method stand rules that need no network: a
random segment, the darkest one, the one farthest below normal limits. What does not beat these explains nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.explain.segments import N_SEGMENTS

_MAJORITY = 0.5


@dataclass(frozen=True, slots=True)
class Pointing:
    """How one attribution fits one true region.

    ``hit``: the segment of greatest mean attribution lies mostly within it. ``overlap``: share of the positive
    attribution within it. ``dice``: likeness of the region and as many cells of greatest attribution. ``share``: the
    region's share of the wall, which is what chance gives for the first two.
    """

    hit: bool
    overlap: float
    dice: float
    share: float


def point_at(attribution: NDArray[Any], region: NDArray[np.bool_], segment: NDArray[Any]) -> Pointing:
    """Compare an attribution (ring, angle) with a true region (ring, angle); ``segment`` numbers the cells from 1.

    Raises
    ------
    InvalidValue
        A region that is empty or the whole wall, or shapes that differ.
    """
    values = np.asarray(attribution, np.float64)
    if region.shape != values.shape or segment.shape != values.shape:
        raise InvalidValue(f"attribution {values.shape}, region {region.shape} and segments {segment.shape} differ")
    if not region.any() or region.all():
        raise InvalidValue("pointing needs a region that is neither empty nor the whole wall")
    share = segment_shares(region, segment)
    top = int(np.argmax(_segment_means(values, segment)))
    positive = np.maximum(values, 0)
    total = positive.sum()
    n = int(region.sum())
    highest = np.zeros(values.size, bool)
    highest[np.argsort(-values.ravel(), kind="stable")[:n]] = True
    return Pointing(
        bool(share[top] >= _MAJORITY),
        float(positive[region].sum() / total) if total > 0 else float("nan"),
        float((highest & region.ravel()).sum() / n),
        float(region.mean()),
    )


def segment_shares(region: NDArray[np.bool_], segment: NDArray[Any]) -> FloatArray:
    """Share of each segment's cells (17,) that lie in a region."""
    return _segment_means(region.astype(np.float64), segment)


def chance_of_hit(region: NDArray[np.bool_], segment: NDArray[Any]) -> float:
    """How often a segment drawn at random lies mostly in the region."""
    return float((segment_shares(region, segment) >= _MAJORITY).mean())


def lowest_segment_hits(values: NDArray[Any], region: NDArray[np.bool_], segment: NDArray[Any]) -> bool:
    """Whether the segment with the lowest mean of ``values`` (counts, or distance from normal) lies in the region."""
    means = _segment_means(np.nan_to_num(np.asarray(values, np.float64), nan=np.inf), segment)
    return bool(segment_shares(region, segment)[int(np.argmin(means))] >= _MAJORITY)


def _segment_means(values: FloatArray, segment: NDArray[Any]) -> FloatArray:
    index = np.asarray(segment, int).ravel() - 1
    cells = np.bincount(index, minlength=N_SEGMENTS)
    means: FloatArray = np.bincount(index, values.ravel(), N_SEGMENTS) / np.maximum(cells, 1)
    return means
