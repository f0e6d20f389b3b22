"""From two flows to the numbers that are acted upon: reserve, its correction for work at rest, and comparisons.

* **Flow reserve** is stress over rest. Its map is the ratio of the two maps, and that of a region the ratio of its two
  flows; a mean of ratios of noisy places would be too high.
* **Work at rest.** Flow at rest follows heart rate times systolic pressure. Divided by that product and multiplied by a
  reference (10,000 unless given), it is what a quiet heart would have; the corrected reserve uses it.
* **Relative flow reserve**: stress flow of a segment over that of the best-perfused territory.
* **Serial change**: two studies of one patient, held against how repeatable the number is.

Intervals are symmetric in logarithms: errors of flows multiply.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from myoscope.core import InvalidValue, PolarMap, RegionValue

REFERENCE_RATE_PRESSURE = 10_000.0
"""Heart rate (per minute) times systolic pressure (mmHg) to which flow at rest is scaled; 9,000 to 10,000 are used."""
FLOW_REPEATABILITY_PERCENT, RESERVE_REPEATABILITY_PERCENT = 15.8, 20.2
"""Repeatability coefficients of flow and of reserve in volunteers (Comput Math Methods Med 2017;6810626, n = 12)."""
_Z = 1.959964


def log_sd(value: RegionValue) -> float:
    """Standard deviation of a value's logarithm that its interval stands for; NaN without an interval."""
    if value.value is None or value.low is None or value.high is None or value.low <= 0:
        return float("nan")
    return float(np.log(value.high / value.low) / (2 * _Z))


def _with_interval(region: str, value: float, sd: float) -> RegionValue:
    if not np.isfinite(sd):
        return RegionValue(region, value)
    return RegionValue(region, value, value * float(np.exp(-_Z * sd)), value * float(np.exp(_Z * sd)))


def flow_reserve(stress: RegionValue, rest: RegionValue) -> RegionValue:
    """Stress over rest of one region; its relative variance is the sum of both."""
    if stress.region != rest.region:
        raise InvalidValue(f"a reserve compares one region with itself, not {stress.region} with {rest.region}")
    if stress.value is None or rest.value is None or not rest.value > 0:
        return RegionValue(stress.region, None, reason=stress.reason or rest.reason or "no flow was found at rest")
    return _with_interval(stress.region, stress.value / rest.value, float(np.hypot(log_sd(stress), log_sd(rest))))


def reserve_map(stress: PolarMap, rest: PolarMap) -> PolarMap:
    """The ratio of two flow maps, cell by cell; NaN where either is missing or there is no flow at rest."""
    if stress.value.shape != rest.value.shape:
        raise InvalidValue(f"maps of {stress.value.shape} and {rest.value.shape} cells are of different walls")
    below = np.where(rest.value > 0.02, rest.value, np.nan)
    return stress.like(stress.value / below, "divided by flow at rest", unit="1")


def corrected_for_work(
    rest: RegionValue, rate_pressure: float | None, *, reference: float = REFERENCE_RATE_PRESSURE
) -> RegionValue:
    """Flow at rest scaled to a reference rate-pressure product; missing where that product is."""
    if rate_pressure is None or not 2000 < rate_pressure < 60_000:
        return RegionValue(rest.region, None, reason="heart rate and blood pressure at rest are not known")
    if rest.value is None:
        return rest
    return _with_interval(rest.region, rest.value * reference / rate_pressure, log_sd(rest))


def relative_reserve(segments: Sequence[RegionValue], vessels: Sequence[RegionValue]) -> tuple[RegionValue, ...]:
    """Stress flow of each segment over that of the territory that has most."""
    best = max((v.value for v in vessels if v.value is not None), default=None)
    if best is None or not best > 0:
        return tuple(RegionValue(s.region, None, reason="no territory has a stress flow") for s in segments)
    return tuple(s if s.value is None else _with_interval(s.region, s.value / best, log_sd(s)) for s in segments)
