"""Attribution by segment of the left ventricle, and the probability map by segment.

A reader thinks in 17 segments. ``by_segment`` sums what an explanation gives to each; the probability map spreads the
probability of a patient over the segments in proportion to their attention, the most attended one having the patient's
own. That is a way of showing, in the manner of CAD-DL (Otaki et al. 2022), not the probability that a segment is ill.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from myoscope.core import SEGMENTS_17, Explanation, InvalidValue
from myoscope.core.geometry import FloatArray

N_SEGMENTS = len(SEGMENTS_17)


def plane(explanation: Explanation) -> FloatArray:
    """Attribution of each cell of the wall (ring, angle), all maps together."""
    attribution = np.asarray(explanation.attribution, np.float64)
    if attribution.ndim == 2:
        return attribution
    if attribution.ndim != 3:
        raise InvalidValue(f"an attribution of shape {attribution.shape} does not lie on a polar map")
    summed: FloatArray = attribution.sum(axis=0)
    return summed


def by_segment(explanation: Explanation, segment: NDArray[Any]) -> FloatArray:
    """Mean attribution per cell of each of the 17 segments (17,); ``segment`` (ring, angle) numbers the cells."""
    values = plane(explanation)
    if segment.shape != values.shape:
        raise InvalidValue(f"segments of {segment.shape} do not fit an attribution of {values.shape}")
    index = np.asarray(segment, int).ravel() - 1
    cells = np.bincount(index, minlength=N_SEGMENTS)
    sums = np.bincount(index, values.ravel(), N_SEGMENTS)
    means: FloatArray = sums / np.maximum(cells, 1)
    return means


def segment_probabilities(explanation: Explanation, segment: NDArray[Any], probability: float) -> FloatArray:
    """A patient's probability shown by segment (17,): in proportion to attention, the greatest equal to the patient's.

    Raises
    ------
    InvalidValue
        A probability outside 0 to 1.
    """
    if not 0 <= probability <= 1:
        raise InvalidValue(f"a probability lies between 0 and 1, got {probability}")
    attention = np.maximum(by_segment(explanation, segment), 0)
    top = attention.max()
    shown: FloatArray = probability * attention / top if top > 0 else np.zeros(N_SEGMENTS)
    return shown
