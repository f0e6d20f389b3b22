"""The 17 segments of one comparison in numbers: counts, scores, flow and function, stress beside rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from myoscope.core import VESSELS, PairResult, RegionValue, segment_table
from myoscope.report.map_disc import score_text
from myoscope.report.map_scales import MAP_SCALES
from myoscope.report.pairing import Comparison, state_label
from myoscope.report.wall_values import map_means, polar_percent

FloatArray = NDArray[np.float64]

_SHOWN = ("motion", "thickening", "thickening_counts", "phase")
_HEADINGS = {
    "motion": "Motion, mm",
    "thickening": "Thickening, %",
    "thickening_counts": "Thickening by counts, %",
    "phase": "Phase, °",
}
_NARROW = 5


@dataclass(frozen=True, slots=True)
class SegmentRow:
    name: str
    vessel: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SegmentTable:
    """``headings`` span columns of the same kind (heading, number of columns), ``labels`` name each column.

    ``vessels`` are the means of the territories; a sum of scores is no mean, so its place is empty there.
    """

    title: str
    headings: tuple[tuple[str, int], ...]
    labels: tuple[str, ...]
    rows: tuple[SegmentRow, ...]
    vessels: tuple[SegmentRow, ...]

    @property
    def wide(self) -> bool:
        """Whether it needs the width of the page."""
        return len(self.labels) > _NARROW


@dataclass(frozen=True, slots=True)
class _Column:
    heading: str
    label: str
    segments: tuple[str, ...]
    vessels: tuple[str, ...]


def segment_table_of(comparison: Comparison, pair: PairResult | None, *, title: str) -> SegmentTable:
    """The segment values of every map of the series that are compared."""
    columns = [
        *_counts(comparison),
        *_scores(comparison, pair),
        *_flow(comparison, pair),
        *_function(comparison),
    ]
    headings = tuple(dict.fromkeys(c.heading for c in columns))
    return SegmentTable(
        title=title,
        headings=tuple((h, sum(c.heading == h for c in columns)) for h in headings),
        labels=tuple(c.label for c in columns),
        rows=tuple(
            SegmentRow(f"{s.number} {s.name}", s.vessel, tuple(c.segments[n] for c in columns))
            for n, s in enumerate(segment_table(17))
        ),
        vessels=tuple(SegmentRow(vessel, "", tuple(c.vessels[n] for c in columns)) for n, vessel in enumerate(VESSELS)),
    )


def _counts(comparison: Comparison) -> list[_Column]:
    columns = []
    for member in comparison.members:
        assert member.heart is not None  # comparisons hold series with a heart only
        percent = polar_percent(member.heart.polar_map)
        nothing = np.full(17, np.nan)
        means = None if percent is None else map_means(percent)
        columns.append(
            _column(
                "Counts, % of max.",
                state_label(member),
                "perfusion",
                nothing if means is None else means.segments_17,
                nothing[:3] if means is None else means.vessels,
            )
        )
    return columns


def _scores(comparison: Comparison, pair: PairResult | None) -> list[_Column]:
    found = [
        (state_label(m), m.heart.segment_scores)
        for m in comparison.members
        if m.heart is not None and m.heart.segment_scores is not None
    ]
    if pair is not None and pair.segment_scores is not None:
        found.append(("Difference", pair.segment_scores))
    return [
        _Column(
            "Score, 0 to 4",
            label,
            tuple(score_text(s) for s in scores.tolist()),
            ("",) * len(VESSELS),
        )
        for label, scores in found
        if len(scores) == 17
    ]


def _flow(comparison: Comparison, pair: PairResult | None) -> list[_Column]:
    """Flow of segments as fitted to their curves, and the ratios of those."""
    columns = [
        _regions("Flow, mL/min/g", state_label(m), m.heart.flow.segments, m.heart.flow.vessels)
        for m in comparison.members
        if m.heart is not None and m.heart.flow is not None
    ]
    if pair is not None and pair.reserve is not None:
        columns.append(_regions("Reserve", "Ratio", pair.reserve.segments, pair.reserve.vessels))
    return columns


def _regions(heading: str, label: str, segments: Sequence[RegionValue], vessels: Sequence[RegionValue]) -> _Column:
    said = [tuple(_with_interval(region) for region in regions) for regions in (segments, vessels)]
    return _Column(heading, label, said[0], said[1])


def _with_interval(one: RegionValue) -> str:
    if one.value is None:
        return "–"
    if one.low is None or one.high is None:
        return f"{one.value:.2f}"
    return f"{one.value:.2f} ({one.low:.2f} to {one.high:.2f})"


def _function(comparison: Comparison) -> list[_Column]:
    columns = []
    for name in _SHOWN:
        for member in comparison.members:
            if member.heart is None or name not in member.heart.maps:
                continue
            means = map_means(member.heart.maps[name], cyclic=MAP_SCALES[name].cyclic)
            columns.append(_column(_HEADINGS[name], state_label(member), name, means.segments_17, means.vessels))
    return columns


def _column(heading: str, label: str, name: str, segments: FloatArray, vessels: FloatArray) -> _Column:
    text = MAP_SCALES[name].text
    return _Column(heading, label, tuple(text(v) for v in segments.tolist()), tuple(text(v) for v in vessels.tolist()))
