"""Polar-map values as a reader and a file see them: per segment and vessel, in % of the maximum and in counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from myoscope.core import VESSEL_SNOMED, VESSELS, InvalidValue, PolarMap, segment_table

SCALE_PERCENTILE = 99.5
"""The percentile of the polar map that is called 100 %: its maximum, robust against one hot cell."""


@dataclass(frozen=True, slots=True)
class SegmentValue:
    """One segment's mean; None where no cell of it was seen."""

    number: int
    name: str
    vessel: str
    snomed: str | None
    percent_of_maximum: float | None
    counts: float | None


@dataclass(frozen=True, slots=True)
class VesselValue:
    """One territory's mean; None where no cell of it was seen."""

    vessel: str
    snomed: str
    percent_of_maximum: float | None
    counts: float | None


def polar_percent(polar_map: PolarMap) -> PolarMap | None:
    """The map in % of its maximum, or None where it holds nothing positive."""
    try:
        return polar_map.percent_of_maximum(percentile=SCALE_PERCENTILE)
    except InvalidValue:
        return None


def segment_values(polar_map: PolarMap, model: Literal[17, 20]) -> tuple[SegmentValue, ...]:
    """Area-weighted mean of each segment, in numerical order."""
    percent = polar_percent(polar_map)
    counts = polar_map.segment_means(model)
    scaled = np.full(model, np.nan) if percent is None else percent.segment_means(model)
    return tuple(
        SegmentValue(s.number, s.name, s.vessel, s.snomed, _value(p), _value(c))
        for s, p, c in zip(segment_table(model), scaled, counts, strict=True)
    )


def vessel_values(polar_map: PolarMap) -> tuple[VesselValue, ...]:
    """Area-weighted mean of each territory in the order LAD, LCx, RCA."""
    percent = polar_percent(polar_map)
    counts = polar_map.vessel_means()
    scaled = np.full(len(VESSELS), np.nan) if percent is None else percent.vessel_means()
    return tuple(
        VesselValue(v, VESSEL_SNOMED[v], _value(p), _value(c)) for v, p, c in zip(VESSELS, scaled, counts, strict=True)
    )


def _value(number: float) -> float | None:
    return float(number) if np.isfinite(number) else None
