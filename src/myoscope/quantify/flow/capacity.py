"""Coronary flow capacity: stress flow and reserve together, in classes.

Johnson NP, Gould KL. JACC Cardiovasc Imaging 2012;5:430. Either number alone misleads: a heart that works hard at rest
has a low reserve and good stress flow, one with little flow altogether may have a fair reserve. A place belongs to the
class for which both criteria hold, and otherwise to the better of the two. The limits are those quoted for rubidium at
the University of Texas at Houston (unverified); other laboratories and tracers have their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray


@dataclass(frozen=True, slots=True)
class CapacityClasses:
    """Classes from the best to the worst, and the limits between them.

    ``stress_flow`` (mL/min/g) and ``reserve`` hold one limit fewer than there are names, falling: above the first one
    is the first class.
    """

    names: tuple[str, ...]
    stress_flow: tuple[float, ...]
    reserve: tuple[float, ...]
    source: str

    def __post_init__(self) -> None:
        if len(self.names) < 2 or len(set(self.names)) < len(self.names) or not all(self.names):
            raise InvalidValue("classes of flow capacity are two or more, each with a name of its own")
        for limits in (self.stress_flow, self.reserve):
            if not all(0 < limit < np.inf for limit in limits):
                raise InvalidValue("limits of flow capacity are numbers above 0")
            if len(limits) != len(self.names) - 1 or any(a <= b for a, b in pairwise(limits)):
                raise InvalidValue("classes of flow capacity have falling limits, one fewer than there are classes")


HOUSTON = CapacityClasses(
    ("normal", "minimally reduced", "mildly reduced", "moderately reduced", "severely reduced"),
    (2.17, 1.82, 1.09, 0.83),
    (2.90, 2.38, 1.60, 1.27),
    "Johnson and Gould 2012, limits of UT Houston for Rb-82 as quoted",
)


def capacity_class(
    stress_flow: ArrayLike, reserve: ArrayLike, *, classes: CapacityClasses = HOUSTON
) -> NDArray[np.int16]:
    """Number of the class of each place (0 the best), -1 where flow or reserve is missing; arrays of one shape.

    >>> capacity_class([3.0, 1.0, 0.5], [3.5, 3.5, 1.0]).tolist()
    [0, 0, 4]
    """
    flow, ratio = np.broadcast_arrays(np.asarray(stress_flow, float), np.asarray(reserve, float))
    by_flow = (flow[..., None] <= np.array(classes.stress_flow)).sum(axis=-1)
    by_ratio = (ratio[..., None] <= np.array(classes.reserve)).sum(axis=-1)
    better = np.minimum(by_flow, by_ratio)
    return np.where(np.isfinite(flow) & np.isfinite(ratio), better, -1).astype(np.int16)


def capacity_shares(
    classes_of: NDArray[np.int16], weight: FloatArray, *, classes: CapacityClasses = HOUSTON
) -> FloatArray:
    """Share of the wall in each class, (class,), of what is known of it."""
    known = classes_of >= 0
    total = np.bincount(classes_of[known], weight[known], len(classes.names))
    shares: FloatArray = total / max(float(total.sum()), 1e-12)
    return shares
