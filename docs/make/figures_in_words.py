"""Figures of the validation pages in words: shares, and statistics of rows, with their 95 % intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def interval_of_share(hits: int, n: int) -> tuple[float, float]:
    """Exact (Clopper-Pearson) 95 % interval of a share."""
    from scipy.stats import beta

    low = 0.0 if hits == 0 else float(beta.ppf(0.025, hits, n - hits + 1))
    high = 1.0 if hits == n else float(beta.ppf(0.975, hits + 1, n - hits))
    return low, high


def share(hits: Sequence[bool] | NDArray[Any]) -> str:
    n, k = len(hits), int(np.sum(hits))
    if n == 0:
        return "none to count"
    low, high = interval_of_share(k, n)
    return f"{100 * k / n:.0f} % ({100 * low:.0f} to {100 * high:.0f}; {k} of {n})"


def bootstrap(of: Callable[[Array], float], rows: Array, n: int = 2000) -> tuple[float, float]:
    """Percentile interval over resampled rows."""
    rng = np.random.default_rng(0)
    found = [of(rows[rng.integers(0, len(rows), len(rows))]) for _ in range(n)]
    low, high = np.nanpercentile(found, [2.5, 97.5])
    return float(low), float(high)


def told(of: Callable[[Array], float], rows: Array, form: str = ".1f") -> str:
    low, high = bootstrap(of, rows)
    return f"{of(rows):{form}} ({low:{form}} to {high:{form}})"
