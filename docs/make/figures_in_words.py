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


def bootstrap(
    of: Callable[[Array], float], rows: Array, n: int = 2000, *, cluster: NDArray[Any] | None = None
) -> tuple[float, float]:
    """Percentile interval over resampled rows, or over resampled clusters (row,) that keep their rows together."""
    rng = np.random.default_rng(0)
    if cluster is None:
        picks = (rng.integers(0, len(rows), len(rows)) for _ in range(n))
    else:
        _, of_row = np.unique(cluster, return_inverse=True)
        members = np.split(np.argsort(of_row, kind="stable"), np.cumsum(np.bincount(of_row))[:-1])
        picks = (np.concatenate([members[k] for k in rng.integers(0, len(members), len(members))]) for _ in range(n))
    low, high = np.nanpercentile([of(rows[pick]) for pick in picks], [2.5, 97.5])
    return float(low), float(high)


def told(of: Callable[[Array], float], rows: Array, form: str = ".1f", *, cluster: NDArray[Any] | None = None) -> str:
    low, high = bootstrap(of, rows, cluster=cluster)
    return f"{of(rows):{form}} ({low:{form}} to {high:{form}})"
