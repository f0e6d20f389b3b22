"""What can be explained: any function from a batch of inputs to one number each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray

Model = Callable[[NDArray[Any]], NDArray[Any]]
"""Takes inputs (n, ...), gives one number for each (n,): a log-odds, a hazard, a flow; whose model it is does not
matter."""

_AT_ONCE = 512


def answers(model: Model, inputs: NDArray[Any]) -> FloatArray:
    """The model's numbers for many inputs, a bounded number at a time.

    Raises
    ------
    InvalidValue
        The model does not give one finite number for each input.
    """
    parts = [np.asarray(model(inputs[first : first + _AT_ONCE])) for first in range(0, len(inputs), _AT_ONCE)]
    found: FloatArray = np.concatenate(parts).astype(np.float64)
    if found.shape != (len(inputs),):
        raise InvalidValue(f"a model to be explained gives one number per input; got {found.shape} for {len(inputs)}")
    if not np.isfinite(found).all():
        raise InvalidValue("the model gives no finite number for this input, or for variants of it")
    return found


def filled(value: NDArray[Any], baseline: NDArray[Any]) -> NDArray[Any]:
    """The baseline where the input is missing: what was not seen differs from nothing."""
    result: NDArray[Any] = np.where(np.isfinite(value), value, baseline)
    return result
