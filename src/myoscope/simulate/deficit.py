"""How much of the left ventricle truly takes up too little, before any camera has looked.

The true uptake map is summed as total perfusion deficit sums a measured one (Slomka 2005, `score_reference` mean):
a place scores 0 at the level of healthy wall and 4 where 70 % or more is missing, and the sum over the wall is a
percentage of the worst that could be. Healthy is the best-perfused tenth of the same map, because relative images
know no other reference; so evenly reduced flow hides here as it does in clinic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from myoscope.core import N_ANGLES, N_RINGS, VESSELS, InvalidValue, segment_number

FloatArray = NDArray[np.float64]

ABNORMAL_BELOW = 0.85
"""A place counts only where less than this share of healthy uptake is left: healthy walls are uneven by some 5 %."""
FULL_SCORE_LOSS = 0.70
_HEALTHY_PERCENTILE = 90.0
_LONG_MM, _SHORT_MM, _BASE_MM, _CAVITY_END_MM = 68.0, 31.0, 22.0, 4.5


@dataclass(frozen=True, eq=False, slots=True)
class Deficit:
    """True deficit of one patient, percent of the left ventricle and per segment.

    ``stress_percent`` and ``rest_percent`` are on the scale of total perfusion deficit; ``ischaemic_percent`` is
    stress minus rest, not below 0; ``vessel_percent`` (3,) the stress deficit in the territory of each of
    ``VESSELS``, adding up to the whole; ``segment_stress`` and ``segment_rest`` (17,) the missing share of healthy
    uptake per segment.
    """

    stress_percent: float
    rest_percent: float
    ischaemic_percent: float
    vessel_percent: FloatArray
    segment_stress: FloatArray
    segment_rest: FloatArray


def _mean_wall() -> tuple[NDArray[np.int16], FloatArray]:
    """Segment number and share of the wall of each place of the polar grid, on a wall of average shape."""
    # Arc length along a half ellipsoid from the apex to the base plane, which lies behind its widest part.
    angle = np.linspace(0, np.pi / 2 + np.arcsin(_BASE_MM / _LONG_MM), 4001)
    height, radius = _LONG_MM - _LONG_MM * np.cos(angle), _SHORT_MM * np.sin(angle)
    arc = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(height), np.diff(radius)))])
    centre = (np.arange(N_RINGS) + 0.5) / N_RINGS * arc[-1]
    ring_height, ring_radius = np.interp(centre, arc, height), np.interp(centre, arc, radius)
    fraction = (ring_height - _CAVITY_END_MM) / (height[-1] - _CAVITY_END_MM)
    angle_deg = (np.arange(N_ANGLES) + 0.5) * 360 / N_ANGLES
    segment = segment_number(fraction[:, None], angle_deg[None, :], apex=(fraction < 0)[:, None])
    weight = np.repeat(ring_radius[:, None], N_ANGLES, axis=1)
    return segment, weight / weight.sum()


SEGMENT_OF_PLACE, SHARE_OF_WALL = _mean_wall()
"""Segment number (40, 72) and share of the wall (40, 72, sum 1) on the polar grid of an average wall."""
_SEGMENT_INDEX = SEGMENT_OF_PLACE.astype(int).ravel() - 1
SHARE_OF_SEGMENT = np.bincount(_SEGMENT_INDEX, SHARE_OF_WALL.ravel(), 17)
"""Share of the wall in each of the 17 segments, sum 1."""


def deficit(stress_uptake: ArrayLike, rest_uptake: ArrayLike, territory: ArrayLike) -> Deficit:
    """What is missing in true uptake maps (40, 72); ``territory`` (40, 72) indexes ``VESSELS``.

    Raises
    ------
    InvalidValue
        Maps of another shape, or uptake that is negative or missing.
    """
    shape = (N_RINGS, N_ANGLES)
    stress, rest, vessel = np.asarray(stress_uptake, float), np.asarray(rest_uptake, float), np.asarray(territory)
    if stress.shape != shape or rest.shape != shape or vessel.shape != shape:
        raise InvalidValue(
            f"uptake and territory are maps of {shape}, got {stress.shape}, {rest.shape}, {vessel.shape}"
        )
    if not (stress.min() >= 0 and rest.min() >= 0):
        raise InvalidValue("uptake is 0 or more everywhere, and not missing")
    stress_lost, rest_lost = _missing(stress), _missing(rest)
    stress_score, rest_score = _score(stress_lost), _score(rest_lost)
    whole, at_rest = float(stress_score.sum()), float(rest_score.sum())
    return Deficit(
        stress_percent=whole,
        rest_percent=at_rest,
        ischaemic_percent=max(0.0, whole - at_rest),
        vessel_percent=np.bincount(vessel.ravel().astype(int), stress_score.ravel(), len(VESSELS)).astype(float),
        segment_stress=_by_segment(stress_lost),
        segment_rest=_by_segment(rest_lost),
    )


def _missing(uptake: FloatArray) -> FloatArray:
    healthy = np.partition(uptake, int(uptake.size * _HEALTHY_PERCENTILE / 100), axis=None)[
        int(uptake.size * _HEALTHY_PERCENTILE / 100)
    ]
    lost: FloatArray = np.clip(1 - uptake / max(healthy, 1e-12), 0, 1)
    return lost


def _score(lost: FloatArray) -> FloatArray:
    """Percent of the worst possible sum that each place contributes."""
    score = np.where(lost > 1 - ABNORMAL_BELOW, np.minimum(lost / FULL_SCORE_LOSS, 1), 0)
    weighted: FloatArray = 100 * SHARE_OF_WALL * score
    return weighted


def _by_segment(value: FloatArray) -> FloatArray:
    mean: NDArray[Any] = np.bincount(_SEGMENT_INDEX, (SHARE_OF_WALL * value).ravel(), 17) / SHARE_OF_SEGMENT
    return mean
