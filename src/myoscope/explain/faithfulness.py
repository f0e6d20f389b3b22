"""Whether the parts that an explanation names are those that the model goes by: deletion and insertion.

Petsiuk et al., BMVC 2018. Cells are made normal from the most to the least important (deletion: a faithful
explanation makes the answer fall soon), or a normal map becomes the patient's in that order (insertion: the answer
rises soon). Both areas are on the scale from the baseline's answer (0) to the patient's (1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.explain.model import Model, answers

_LEAST_DIFFERENCE = 1e-6


@dataclass(frozen=True, eq=False, slots=True)
class Faithfulness:
    """Answers over the share of the wall (k,) that was deleted or inserted, and the areas under the two curves.

    A random order gives areas near one half each; a faithful one a small ``deletion_area`` and a large
    ``insertion_area``. Where patient and baseline get the same answer there is nothing to explain and both are NaN.
    """

    share: FloatArray
    deletion: FloatArray
    insertion: FloatArray
    deletion_area: float
    insertion_area: float

    @property
    def on_scale(self) -> tuple[FloatArray, FloatArray]:
        """Deletion and insertion curves (k,) from the baseline's answer (0) to the patient's (1); NaN if both agree."""
        low, high = self.insertion[0], self.insertion[-1]
        if abs(high - low) < _LEAST_DIFFERENCE:
            nothing = np.full_like(self.share, np.nan)
            return nothing, nothing
        return (self.deletion - low) / (high - low), (self.insertion - low) / (high - low)


def faithfulness(
    model: Model, maps: NDArray[Any], baseline: NDArray[Any], attribution: NDArray[Any], *, steps: int = 20
) -> Faithfulness:
    """Deletion and insertion curves of maps (channel, ring, angle) by an attribution (ring, angle).

    Raises
    ------
    InvalidValue
        An attribution of another shape than the map.
    """
    values = np.asarray(attribution, np.float64)
    if values.shape != maps.shape[1:]:
        raise InvalidValue(f"an attribution of {values.shape} does not order the cells of maps of {maps.shape}")
    rank = np.empty(values.size, np.intp)
    rank[np.argsort(-values.ravel(), kind="stable")] = np.arange(values.size)
    share = np.linspace(0, 1, steps + 1)
    first = (rank[None] < np.rint(share * values.size)[:, None]).reshape(-1, 1, *values.shape)
    deletion = answers(model, np.where(first, baseline, maps))
    insertion = answers(model, np.where(first, maps, baseline))
    found = Faithfulness(share, deletion, insertion, float("nan"), float("nan"))
    areas = [float(np.trapezoid(curve, share)) for curve in found.on_scale]
    return Faithfulness(share, deletion, insertion, *areas)
