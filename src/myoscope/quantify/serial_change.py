"""Two studies of one patient: what changed, by how much, and whether by more than measuring it twice would.

The interval of a difference follows from those of both values (method of variance estimates recovery, Zou and Donner,
Stat Med 2008;27:1693): for independent values a (A- to A+) and b (B- to B+)

    b - a - sqrt((b - B-)^2 + (A+ - a)^2)   to   b - a + sqrt((B+ - b)^2 + (a - A-)^2),

which needs no symmetry. An interval without zero says that the two measurements differ beyond their own noise; whether
the patient differs is asked of the repeatability coefficient, below which 95 % of differences lie when an unchanged
patient comes twice: positioning, dose and the day are in it, and not in the intervals.

Cells are compared one by one after both maps are brought to one level by what did not change. Of thousands of cells
some differ by chance: those called changed are chosen so that of them no more than a stated share is expected to be
false (Benjamini and Hochberg, J R Stat Soc B 1995;57:289; valid for cells that vary together with their neighbours).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from myoscope.core import GeometryMismatch, InvalidValue, PolarMap, Quantity, UnitMismatch, Weighting
from myoscope.core.geometry import FloatArray

_MOST_STEPS = 30
_BISQUARE = 4.685


@dataclass(frozen=True, slots=True)
class SerialChange:
    """The change of one quantity from an earlier to a later study.

    ``change`` has the interval (low, high) of the difference where both values have one. ``repeatability`` is the
    coefficient that was used, None where none is known. ``beyond_noise`` says that the interval excludes 0 (None: no
    interval), ``beyond_repeatability`` that the change is larger than the coefficient (None: not known).
    """

    change: Quantity
    repeatability: float | None

    @property
    def beyond_noise(self) -> bool | None:
        if self.change.low is None or self.change.high is None:
            return None
        return self.change.low > 0 or self.change.high < 0

    @property
    def beyond_repeatability(self) -> bool | None:
        if self.change.value is None or self.repeatability is None:
            return None
        return abs(self.change.value) > self.repeatability


@dataclass(frozen=True, eq=False, slots=True)
class CellChange:
    """Which parts of the wall changed.

    ``change`` (a polar map, % of the mean of the earlier map) is later less earlier at one level, ``z`` that in its own
    standard deviations; ``better`` and ``worse`` (ring, angle) are the cells called changed, ``better_percent`` and
    ``worse_percent`` their share of the wall. ``level`` is the factor by which the later map was multiplied.
    """

    change: PolarMap
    z: FloatArray
    better: NDArray[np.bool_]
    worse: NDArray[np.bool_]
    better_percent: float
    worse_percent: float
    level: float


def serial_change(before: Quantity, after: Quantity, *, repeatability: float | None) -> SerialChange:
    """The difference of one quantity between two studies; with the reason where either value is missing.

    Raises
    ------
    InvalidValue
        If the quantities differ in name, or the repeatability is negative.
    UnitMismatch
        If their units differ.
    """
    if before.name != after.name:
        raise InvalidValue(f"{before.name} and {after.name} are different quantities; there is no change between them")
    if before.unit != after.unit:
        raise UnitMismatch(f"{before.name} is in {before.unit} before and in {after.unit} after")
    if repeatability is not None and not repeatability >= 0:
        raise InvalidValue(f"a repeatability coefficient is 0 or more, got {repeatability:g}")
    name = f"change of {before.name}"
    if before.value is None or after.value is None:
        missing = [f"{when}: {one.reason}" for when, one in (("before", before), ("after", after)) if one.reason]
        return SerialChange(Quantity(name, None, before.unit, reason="; ".join(missing)), repeatability)
    low, high = difference_interval(before, after)
    return SerialChange(Quantity(name, after.value - before.value, before.unit, low, high), repeatability)


def difference_interval(before: Quantity, after: Quantity) -> tuple[float | None, float | None]:
    """95 % interval of ``after`` less ``before`` from their own; None where either has none."""
    a, b = before.value, after.value
    if a is None or b is None:
        return None, None
    if before.low is None or before.high is None or after.low is None or after.high is None:
        return None, None
    down = np.hypot(b - after.low, before.high - a)
    up = np.hypot(after.high - b, a - before.low)
    return float(b - a - down), float(b - a + up)


def changed_cells(
    before: PolarMap,
    after: PolarMap,
    *,
    before_sd: FloatArray,
    after_sd: FloatArray,
    false_discovery_rate: float,
    weighting: Weighting = "surface",
    level: float | None = None,
) -> CellChange:
    """Compare two maps in counts cell by cell; ``before_sd`` and ``after_sd`` (ring, angle) are their noise in counts.

    ``level`` multiplies the later map; unless it is given, it is the one at which unchanged wall agrees.

    Raises
    ------
    InvalidValue
        If the maps were sampled differently, hold nothing in common, a noise or the level is not positive, or the rate
        is not between 0 and 1.
    GeometryMismatch
        If their cells differ.
    """
    if not 0 < false_discovery_rate < 1:
        raise InvalidValue(f"a false discovery rate lies between 0 and 1, got {false_discovery_rate:g}")
    if level is not None and not 0 < level < np.inf:
        raise InvalidValue(f"a map is multiplied by a positive level, not {level:g}")
    shapes = {before.value.shape, after.value.shape, np.shape(before_sd), np.shape(after_sd)}
    if len(shapes) > 1:
        raise GeometryMismatch("both maps and their noise must have the same rings and angles")
    if before.method != after.method:
        raise InvalidValue(f"one map was sampled by {before.method}, the other by {after.method}")
    seen = np.isfinite(before.value) & np.isfinite(after.value)
    if not (np.asarray(before_sd)[seen] > 0).all() or not (np.asarray(after_sd)[seen] > 0).all():
        raise InvalidValue("every cell that was seen needs a noise above 0")
    w = np.where(seen, before.weights(weighting), 0.0)
    first, second = np.where(seen, before.value, 0.0), np.where(seen, after.value, 0.0)
    if not ((w * first).sum() > 0 and (w * second).sum() > 0):
        raise InvalidValue("the two maps show no counts in common")
    sd_1, sd_2 = np.where(seen, before_sd, 1.0), np.where(seen, after_sd, 1.0)
    if level is None:
        level = _common_level(first, second, sd_1, sd_2, w)
    difference = level * second - first
    z = difference / np.hypot(sd_1, level * sd_2)
    chosen = false_discoveries_held(z[seen], false_discovery_rate)
    changed = np.zeros(seen.shape, bool)
    changed[seen] = chosen
    better, worse = changed & (z > 0), changed & (z < 0)
    share = 100 / w.sum()
    mean = (w * first).sum() / w.sum()
    return CellChange(
        change=before.like(np.where(seen, 100 * difference / mean, np.nan), "later less earlier", unit="%"),
        z=np.where(seen, z, np.nan),
        better=better,
        worse=worse,
        better_percent=float(share * w[better].sum()),
        worse_percent=float(share * w[worse].sum()),
        level=level,
    )


def false_discoveries_held(z: FloatArray, rate: float) -> NDArray[np.bool_]:
    """Which of many standard normal scores are called different from 0, with no more than this share of them false."""
    from scipy.special import ndtr

    p = 2 * ndtr(-np.abs(z))
    order = np.argsort(p)
    allowed = rate * np.arange(1, p.size + 1) / max(p.size, 1)
    passed = np.flatnonzero(p[order] <= allowed)
    chosen = np.zeros(p.size, bool)
    if passed.size:
        chosen[order[: passed[-1] + 1]] = True
    return chosen


def _common_level(first: FloatArray, second: FloatArray, sd_1: FloatArray, sd_2: FloatArray, w: FloatArray) -> float:
    """The factor of the second map that makes unchanged wall agree: a ratio of sums over cells that fit it."""
    both = (w > 0) & (first > 0) & (second > 0)
    level = float(np.median(first[both] / second[both]) if both.any() else (w * first).sum() / (w * second).sum())
    for _ in range(_MOST_STEPS):
        off = (level * second - first) / (_BISQUARE * np.hypot(sd_1, level * sd_2))
        fits = w * (1 - np.clip(off, -1, 1) ** 2) ** 2
        if not (fits * second).sum() > 0:
            break
        now = float((fits * first).sum() / (fits * second).sum())
        if abs(now / level - 1) < 1e-9:
            break
        level = now
    return level
