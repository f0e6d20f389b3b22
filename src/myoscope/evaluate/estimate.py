"""A number that came from data: its value, its interval and how many stand behind it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray

BoolArray = NDArray[np.bool_]

_POWER = 0.8


@dataclass(frozen=True, slots=True)
class Estimate:
    """A statistic with its interval at ``level``, the number ``n`` it rests on, and how the interval was made.

    ``low`` and ``high`` are NaN where no interval can be had; ``n_events`` counts those with the outcome, -1 where that
    has no meaning. ``standard_error`` is on the scale of the value, NaN where the interval came without one.
    """

    value: float
    low: float
    high: float
    n: int
    method: str
    n_events: int = -1
    level: float = 0.95
    standard_error: float = math.nan

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of zero."""
        return self.low > 0 or self.high < 0

    @property
    def z(self) -> float:
        """Value over its standard error."""
        return self.value / self.standard_error if self.standard_error > 0 else math.nan

    @property
    def p(self) -> float:
        """Two-sided probability of a value as far from zero by chance, from the standard error."""
        return float(2 * ndtr(-abs(self.z)))

    @property
    def detectable(self) -> float:
        """Smallest true value that a study of this precision finds with 80 % power at this level.

        An interval that holds zero speaks against differences larger than this and says nothing of smaller ones.
        """
        return float((ndtri((1 + self.level) / 2) + ndtri(_POWER)) * self.standard_error)

    def __str__(self) -> str:
        return f"{self.value:.3g} ({self.low:.3g} to {self.high:.3g})"


def normal_interval(
    value: float, sd: float, *, n: int, method: str, n_events: int = -1, level: float = 0.95,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Estimate:  # fmt: skip
    """Value and normal quantiles of its standard error, cut at ``bounds`` of what the statistic can be."""
    reach = float(ndtri((1 + level) / 2)) * sd
    low, high = max(value - reach, bounds[0]), min(value + reach, bounds[1])
    return Estimate(value, low, high, n, method, n_events, level, sd)


def wilson_interval(events: int, n: int, *, level: float = 0.95) -> Estimate:
    """A proportion with Wilson's score interval, which stays sound for few events and for none.

    Raises
    ------
    InvalidValue
        More events than trials, or no trials.
    """
    if not 0 <= events <= n or n < 1:
        raise InvalidValue(f"a proportion needs at least one trial and no more events than trials, got {events} of {n}")
    share = events / n
    low, high = _wilson(share, n, level)
    return Estimate(share, low, high, n, "Wilson", events, level, math.sqrt(share * (1 - share) / n))


def _wilson(share: float, n: float, level: float) -> tuple[float, float]:
    z = float(ndtri((1 + level) / 2))
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    # At the ends the formula gives 0 and 1 only up to rounding.
    return (0.0 if share == 0 else middle - half), (1.0 if share == 1 else middle + half)


def clustered_share(events: BoolArray, cluster: NDArray[np.intp], *, level: float = 0.95) -> Estimate:
    """A proportion of rows (n,), of whose ``cluster`` (n,) some have several rows, with Wilson's interval.

    What rows of one patient have in common makes them count for fewer: the interval is that of n divided by the design
    effect, the variance between clusters over that of independent rows (Rao and Scott, Biometrics 1992;48:577).

    Raises
    ------
    InvalidValue
        No rows.
    """
    plain = wilson_interval(int(events.sum()), events.size, level=level)
    rows_of = np.unique(cluster, return_inverse=True)[1]
    k, n, share = int(rows_of.max()) + 1, events.size, plain.value
    if k == n or k < 2 or not 0 < share < 1:
        return plain
    apart = np.bincount(rows_of, events - share)
    effect = max(k / (k - 1) * float((apart**2).sum()) / (n * share * (1 - share)), 1.0)
    fewer = _wilson(share, n / effect, level)
    return Estimate(share, *fewer, n, "Wilson, clustered", int(events.sum()), level,
                    math.sqrt(share * (1 - share) * effect / n))  # fmt: skip


def outcome_and_scores(outcome: ArrayLike, *scores: ArrayLike) -> tuple[BoolArray, FloatArray]:
    """The outcome as booleans (n,) and the scores (k, n), refused unless every number is there and both outcomes occur.

    Raises
    ------
    InvalidValue
        A length that differs, a missing number, an outcome that is not 0 or 1, or only one of the two.
    """
    y = binary(outcome)
    if y.all() or not y.any():
        raise InvalidValue(f"all {y.size} outcomes are {int(y[0])}; telling two groups apart needs both")
    return y, np.stack([_numbers(score, y.size) for score in scores]) if scores else np.empty((0, y.size))


def binary(outcome: ArrayLike) -> BoolArray:
    """An outcome as booleans (n,).

    Raises
    ------
    InvalidValue
        Not one outcome per patient, or something other than 0 and 1.
    """
    given = np.asarray(outcome)
    if given.ndim != 1 or given.size == 0:
        raise InvalidValue(f"one outcome per patient is needed, got an array of shape {given.shape}")
    if given.dtype != bool and not np.isin(given, (0, 1)).all():
        raise InvalidValue("an outcome is 0 or 1; leave patients without one out and say how many")
    return given.astype(bool)


def probabilities(p: ArrayLike, n: int) -> FloatArray:
    """Predicted probabilities (n,).

    Raises
    ------
    InvalidValue
        Another length, a missing number, or one outside 0 to 1.
    """
    values = _numbers(p, n)
    if values.min() < 0 or values.max() > 1:
        raise InvalidValue(
            f"probabilities lie between 0 and 1, got {values.min():.3g} to {values.max():.3g} "
            "(is this a score, a logit or a percentage?)"
        )
    return values


def _numbers(score: ArrayLike, n: int) -> FloatArray:
    values = np.asarray(score, np.float64)
    if values.shape != (n,):
        raise InvalidValue(f"{n} patients need one score each, got an array of shape {values.shape}")
    if not np.isfinite(values).all():
        raise InvalidValue(
            f"{int((~np.isfinite(values)).sum())} of {n} scores are missing; leave those patients out for every score "
            "and say how many"
        )
    return values


def cluster_numbers(cluster: ArrayLike | None, n: int) -> NDArray[np.intp]:
    """Clusters (patients) numbered from 0, one number per row; every row its own where there are none.

    Raises
    ------
    InvalidValue
        Not one cluster per row.
    """
    if cluster is None:
        return np.arange(n)
    names: NDArray[Any] = np.asarray(cluster)
    if names.shape != (n,):
        raise InvalidValue(f"{n} rows need one cluster each, got an array of shape {names.shape}")
    numbers: NDArray[np.intp] = np.unique(names, return_inverse=True)[1]
    return numbers
