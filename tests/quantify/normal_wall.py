"""Normal limits that are the same everywhere, and maps on a wall of average shape, for tests."""

import numpy as np

from myoscope.core import NormalLimits, PolarMap, StudyKind
from myoscope.simulate.deficit import SEGMENT_OF_PLACE, SHARE_OF_WALL

KIND = StudyKind(sex="F", tracer="any", camera="any", position="supine", state="stress", corrected=True)
SHAPE = (40, 72)


def limits(mean: float = 100.0, deviation: float = 5.0) -> NormalLimits:
    return NormalLimits(
        mean=np.full(SHAPE, mean),
        deviation=np.full(SHAPE, deviation),
        area_mm2=SHARE_OF_WALL,
        multiple=3.0,
        n=80,
        kind=KIND,
        unit="% of normal maximum",
        method="surface",
        provenance="made up",
    )


def polar_map(value: np.ndarray, unit: str = "% of normal maximum") -> PolarMap:
    segment_20 = np.ones(SHAPE)
    return PolarMap(value, unit, SEGMENT_OF_PLACE, segment_20, SHARE_OF_WALL, "surface")  # type: ignore[arg-type]
