"""Counting noise: what a detector registers when it expects a certain number of photons."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from myoscope.core import InvalidValue


def poisson_counts(expected: ArrayLike, *, rng: np.random.Generator) -> NDArray[Any]:
    """Integer counts for expected counts of the same shape.

    The smallest unsigned type of 16 or 32 bits that holds the largest count.

    Raises
    ------
    InvalidValue
        If an expected count is negative or not finite.
    """
    mean = np.asarray(expected)
    if not np.isfinite(mean).all():
        raise InvalidValue("expected counts are not finite: the activity or the attenuation map holds NaN")
    if mean.size and mean.min() < 0:
        raise InvalidValue(f"expected counts cannot be negative, got {mean.min():g}")
    counts = rng.poisson(mean)
    largest = int(counts.max(initial=0))
    return counts.astype(np.uint16 if largest <= np.iinfo(np.uint16).max else np.uint32)
