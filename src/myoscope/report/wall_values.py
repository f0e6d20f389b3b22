"""Polar-map values as a reader and a file see them: per segment and vessel, in % of the maximum and in counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from myoscope.core import VESSEL_SNOMED, VESSELS, InvalidValue, PolarMap, ReserveResult, segment_table

FloatArray = NDArray[np.float64]

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


@dataclass(frozen=True, eq=False, slots=True)
class MapMeans:
    """Means of a polar map over segments (17,), (20,) and the territories of `VESSELS` (3,); NaN where unseen."""

    segments_17: FloatArray
    segments_20: FloatArray
    vessels: FloatArray

    def segments(self, model: Literal[17, 20]) -> FloatArray:
        return self.segments_17 if model == 17 else self.segments_20


def map_means(polar_map: PolarMap, *, cyclic: bool = False) -> MapMeans:
    """Area-weighted means; of angles in degrees (``cyclic``) the direction of the mean, 0 to 360."""
    if not cyclic:
        return MapMeans(polar_map.segment_means(17), polar_map.segment_means(20), polar_map.vessel_means())
    angle = np.radians(polar_map.value)
    along, across = (map_means(polar_map.like(part, "part")) for part in (np.cos(angle), np.sin(angle)))
    return MapMeans(
        _direction(along.segments_17, across.segments_17),
        _direction(along.segments_20, across.segments_20),
        _direction(along.vessels, across.vessels),
    )


def commonest_classes(polar_map: PolarMap) -> MapMeans:
    """The class that most of each segment's and territory's wall belongs to; of classes a mean says nothing."""
    known = np.unique(polar_map.value[np.isfinite(polar_map.value)])
    if not known.size:
        return map_means(polar_map)
    shares = [
        map_means(polar_map.like(np.where(np.isfinite(polar_map.value), polar_map.value == one, np.nan), "share"))
        for one in known
    ]

    def of(name: str) -> FloatArray:
        share = np.stack([getattr(one, name) for one in shares])
        most = known[np.nan_to_num(share).argmax(axis=0)]
        chosen: FloatArray = np.where(np.isfinite(share).all(axis=0), most, np.nan)
        return chosen

    return MapMeans(of("segments_17"), of("segments_20"), of("vessels"))


def reserve_means(reserve: ReserveResult) -> MapMeans:
    """Flow reserve of segments and territories as the tables have it: of their flows, never the mean of the cells'."""
    regions = (reserve.segments, reserve.vessels)
    of_17, of_vessels = (
        np.array([np.nan if one.value is None else one.value for one in ones], np.float64) for ones in regions
    )
    return MapMeans(of_17, np.full(20, np.nan), of_vessels)


def means_of(name: str, polar_map: PolarMap, *, cyclic: bool, reserve: ReserveResult | None = None) -> MapMeans:
    """What a map of this name says of segments and territories: means, directions, classes, or ratios of flows."""
    if name == "capacity":
        return commonest_classes(polar_map)
    if name == "reserve" and reserve is not None:
        return reserve_means(reserve)
    return map_means(polar_map, cyclic=cyclic)


def _direction(along: FloatArray, across: FloatArray) -> FloatArray:
    degrees: FloatArray = np.degrees(np.arctan2(across, along)) % 360
    return degrees


def _value(number: float) -> float | None:
    return float(number) if np.isfinite(number) else None
