"""Whether explanations name what a model goes by, over many patients: deletion and insertion curves with intervals.

Petsiuk et al., BMVC 2018. Cells are made normal from the most to the least important (deletion: after a faithful
explanation the answer falls soon), or a normal map becomes the patient's in that order (insertion: it rises soon).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray, frozen
from myoscope.evaluate.bootstrap import bootstrap, weighted_mean
from myoscope.evaluate.estimate import Estimate


@dataclass(frozen=True, eq=False, slots=True)
class ExplainedCurves:
    """Answers over the ``share`` of the wall (k,) that was deleted or inserted in the order of one ``method``.

    ``deletion`` and ``insertion`` (patient, k) are on the scale from the answer for a normal heart (0) to the
    patient's (1); patients whose two answers are the same are left out.
    """

    method: str
    share: FloatArray
    deletion: FloatArray
    insertion: FloatArray

    def __post_init__(self) -> None:
        for name in ("share", "deletion", "insertion"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.float64))
        n, k = self.deletion.shape if self.deletion.ndim == 2 else (0, 0)
        if n < 1 or self.share.shape != (k,) or self.insertion.shape != (n, k):
            raise InvalidValue(
                f"curves of {self.method} need a value per patient and share, got {self.deletion.shape} deleted, "
                f"{self.insertion.shape} inserted at {self.share.shape} shares"
            )
        if not (np.isfinite(self.deletion).all() and np.isfinite(self.insertion).all()):
            raise InvalidValue(f"curves of {self.method} lack values; leave out patients who got the normal answer")

    @property
    def n(self) -> int:
        """How many patients."""
        return len(self.deletion)

    def means(self, which: str, *, rng: np.random.Generator, resamples: int = 500) -> tuple[Estimate, ...]:
        """Mean ``deletion`` or ``insertion`` at each share (k of them), with intervals by a bootstrap of patients."""
        values: FloatArray = getattr(self, which)
        return bootstrap(weighted_mean(values), self.n, rng=rng, resamples=resamples)

    def area(self, which: str, *, rng: np.random.Generator, resamples: int = 500) -> Estimate:
        """Mean area under the ``deletion`` or ``insertion`` curve: a random order gives about one half."""
        values: FloatArray = getattr(self, which)
        areas = np.trapezoid(values, self.share, axis=1)
        (found,) = bootstrap(weighted_mean(areas), self.n, rng=rng, resamples=resamples)
        return found
