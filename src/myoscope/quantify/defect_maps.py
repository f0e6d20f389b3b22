"""Polar maps that show where uptake is abnormal: blackout, binary defect and severity.

These are what deep-learning papers take as "quantitative" maps: raw counts and a blackout map in which abnormal cells
are black (Betancur et al., JACC Cardiovasc Imaging 2018;11:1654); counts, defects and severities of each position
(Betancur et al., J Nucl Med 2019;60:664). All need a map at the level of its limits (`scale_to_limits`).
"""

from __future__ import annotations

import numpy as np

from myoscope.core import NormalLimits, PolarMap
from myoscope.core.geometry import FloatArray


def blackout_map(polar_map: PolarMap, limits: NormalLimits) -> PolarMap:
    """The map with 0 in abnormal cells, so that what is left is normal; NaN (not seen) stays NaN.

    Raises
    ------
    InvalidValue, GeometryMismatch, UnitMismatch
        If the map is not of the kind of the limits.
    """
    value = np.where(_abnormal(polar_map, limits), 0.0, polar_map.value)
    return polar_map.like(value, "abnormal cells set to 0")


def defect_map(polar_map: PolarMap, limits: NormalLimits) -> PolarMap:
    """1 in abnormal cells, 0 in normal ones, NaN where the wall was not seen. Raises as `blackout_map`."""
    value = np.where(np.isfinite(polar_map.value), _abnormal(polar_map, limits), np.nan)
    return polar_map.like(value, "abnormal cells", unit="1 = abnormal")


def severity_map(polar_map: PolarMap, limits: NormalLimits) -> PolarMap:
    """Mean absolute deviations of normal studies below their mean, in every cell; negative above it.

    What lies more than the limits' ``multiple`` below is abnormal; for a Gaussian one such deviation is 0.798 standard
    deviations. Raises as `blackout_map`.
    """
    limits.require(polar_map)
    value = severities(polar_map.value, limits.mean, limits.deviation)
    return polar_map.like(value, "deviations below the normal mean", unit="deviations")


def defect_severity_map(polar_map: PolarMap, limits: NormalLimits) -> PolarMap:
    """Severity within the defect and 0 outside: what networks take as hypoperfusion. Raises as `blackout_map`."""
    severity = severity_map(polar_map, limits)
    value = np.where(_abnormal(polar_map, limits) | np.isnan(severity.value), severity.value, 0.0)
    return severity.like(value, "0 outside the defect")


def severities(value: FloatArray, mean: FloatArray, deviation: FloatArray) -> FloatArray:
    """(mean - value) / deviation of arrays that broadcast."""
    below: FloatArray = (mean - value) / deviation
    return below


def _abnormal(polar_map: PolarMap, limits: NormalLimits) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    limits.require(polar_map)
    return polar_map.value < limits.threshold
