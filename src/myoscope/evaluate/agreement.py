"""How far two measurements of one thing agree: ICC, Bland-Altman limits, repeatability.

ICC(2,1): two-way random effects, absolute agreement, single measurement (Shrout and Fleiss, Psychol Bull 1979;86:420,
interval of McGraw and Wong, Psychol Methods 1996;1:30). Correlation is not among them: two methods that differ by a
factor correlate perfectly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.evaluate.estimate import Estimate


def icc_2_1(measured: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Share of the variance of single measurements that lies between subjects, method bias counting against it.

    ``measured`` has shape (subject, measurement), complete.

    Raises
    ------
    InvalidValue
        Fewer than 2 subjects or measurements, a missing number, or no variance at all.
    """
    from scipy import stats  # takes a second to load, which asking a model can do without

    x = _table(measured)
    n, k = x.shape
    rows, columns, error = _mean_squares(x)
    if rows == 0 and columns == 0 and error == 0:
        raise InvalidValue("all measurements are equal; there is no variance that could lie between subjects")
    value = (rows - error) / (rows + (k - 1) * error + k * (columns - error) / n)
    if error == 0 and columns == 0:
        return Estimate(1.0, 1.0, 1.0, n, "McGraw and Wong", level=level)
    a = k * value / (n * (1 - value))
    b = 1 + k * value * (n - 1) / (n * (1 - value))
    freedom = (a * columns + b * error) ** 2 / ((a * columns) ** 2 / (k - 1) + (b * error) ** 2 / ((n - 1) * (k - 1)))
    upper, lower = (float(stats.f.ppf((1 + level) / 2, *f)) for f in ((n - 1, freedom), (freedom, n - 1)))
    rest = k * columns + (k * n - k - n) * error
    low = n * (rows - upper * error) / (upper * rest + n * rows)
    high = n * (lower * rows - error) / (rest + n * lower * rows)
    return Estimate(value, low, high, n, "McGraw and Wong", level=level)


@dataclass(frozen=True, slots=True)
class BlandAltman:
    """Bias of the second measurement against the first, and the limits within which 95 % of differences lie.

    Intervals of the limits: Bland and Altman, Lancet 1986;327:307. ``slope`` is that of the difference on the mean; if
    its interval excludes 0, the difference grows with what is measured and one pair of limits does not describe it.
    """

    bias: Estimate
    lower_limit: Estimate
    upper_limit: Estimate
    slope: Estimate


def bland_altman(first: ArrayLike, second: ArrayLike, *, level: float = 0.95) -> BlandAltman:
    """Agreement of two measurements of the same subjects, second less first.

    Raises
    ------
    InvalidValue
        Unequal lengths, missing numbers, or fewer than 3 subjects.
    """
    from scipy import stats  # takes a second to load, which asking a model can do without

    x = _table(np.stack([np.asarray(first, np.float64), np.asarray(second, np.float64)], axis=-1))
    difference, mean = x[:, 1] - x[:, 0], x.mean(axis=1)
    n = difference.size
    if n < 3:
        raise InvalidValue(f"limits of agreement need at least 3 subjects, got {n}")
    bias, sd = float(difference.mean()), float(difference.std(ddof=1))
    t = float(stats.t.ppf((1 + level) / 2, n - 1))
    se_bias, se_limit = sd / math.sqrt(n), sd * math.sqrt(1 / n + 1.96**2 / (2 * (n - 1)))

    def around(value: float, se: float) -> Estimate:
        return Estimate(value, value - t * se, value + t * se, n, "Bland-Altman", level=level, standard_error=se)

    if np.ptp(mean) > 0:
        line = stats.linregress(mean, difference)
        reach = float(stats.t.ppf((1 + level) / 2, n - 2)) * float(line.stderr)
        slope = Estimate(
            float(line.slope), line.slope - reach, line.slope + reach, n, "least squares", level=level,
            standard_error=float(line.stderr),
        )  # fmt: skip
    else:
        slope = Estimate(math.nan, math.nan, math.nan, n, "all means are equal", level=level)
    return BlandAltman(
        around(bias, se_bias), around(bias - 1.96 * sd, se_limit), around(bias + 1.96 * sd, se_limit), slope
    )


def repeatability_coefficient(repeated: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Difference that two measurements of one subject exceed in 5 % by chance: 1.96 sqrt(2) x within-subject SD.

    ``repeated`` has shape (subject, repeat), complete. The interval is that of a variance (chi-squared).

    Raises
    ------
    InvalidValue
        Fewer than 2 subjects or repeats, or a missing number.
    """
    from scipy import stats  # takes a second to load, which asking a model can do without

    x = _table(repeated)
    n, k = x.shape
    freedom = n * (k - 1)
    variance = float(((x - x.mean(axis=1, keepdims=True)) ** 2).sum() / freedom)
    factor = 1.96 * math.sqrt(2)
    low, high = (
        factor * math.sqrt(variance * freedom / float(stats.chi2.ppf(q, freedom)))
        for q in ((1 + level) / 2, (1 - level) / 2)
    )
    return Estimate(factor * math.sqrt(variance), low, high, n, "chi-squared", level=level)


def _table(measured: ArrayLike) -> FloatArray:
    x = np.asarray(measured, np.float64)
    if x.ndim != 2 or min(x.shape) < 2:
        raise InvalidValue(f"agreement needs at least 2 subjects with 2 measurements each, got shape {x.shape}")
    if not np.isfinite(x).all():
        raise InvalidValue("agreement needs every measurement; leave subjects with a missing one out and say how many")
    return x


def _mean_squares(x: FloatArray) -> tuple[float, float, float]:
    """Between subjects, between methods, residual."""
    n, k = x.shape
    total = x.mean()
    rows = k * ((x.mean(axis=1) - total) ** 2).sum() / (n - 1)
    columns = n * ((x.mean(axis=0) - total) ** 2).sum() / (k - 1)
    residual = x - x.mean(axis=1, keepdims=True) - x.mean(axis=0) + total
    error = (residual**2).sum() / ((n - 1) * (k - 1))
    return float(rows), float(columns), float(error)
