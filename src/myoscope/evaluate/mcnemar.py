"""Whether two readers, or two thresholds, decide differently in the same patients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from myoscope.core import InvalidValue
from myoscope.evaluate.estimate import binary


@dataclass(frozen=True, slots=True)
class McNemar:
    """Discordant pairs and the two-sided probability of so unequal a split by chance.

    ``only_a`` and ``only_b`` count patients in whom only one of the two was right (or positive). ``p_exact`` is
    binomial; ``chi2`` and ``p_chi2`` carry the continuity correction of Edwards and are for comparison with papers.
    """

    only_a: int
    only_b: int
    p_exact: float
    chi2: float
    p_chi2: float


def mcnemar(a: ArrayLike, b: ArrayLike) -> McNemar:
    """McNemar's test of paired decisions, such as "read correctly" by two methods (Psychometrika 1947;12:153).

    Raises
    ------
    InvalidValue
        Decisions that are not 0 or 1, or not of the same patients.
    """
    from scipy import stats  # takes a second to load, which asking a model can do without

    first, second = binary(a), binary(b)
    if first.shape != second.shape:
        raise InvalidValue(f"{first.size} and {second.size} decisions are not about the same patients")
    only_a, only_b = int(np.sum(first & ~second)), int(np.sum(~first & second))
    discordant = only_a + only_b
    if discordant == 0:
        return McNemar(0, 0, 1.0, 0.0, 1.0)
    chi2 = max(abs(only_a - only_b) - 1, 0) ** 2 / discordant
    exact = float(stats.binomtest(only_a, discordant).pvalue)
    return McNemar(only_a, only_b, exact, chi2, float(stats.chi2.sf(chi2, 1)))
