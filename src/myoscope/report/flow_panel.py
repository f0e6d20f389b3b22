"""Blood flow on the page: maps on fixed scales, curves with their fits, the blood that feeds them, and movement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from myoscope.core import FlowCurves, FlowResult, PairResult, SeriesResult
from myoscope.core.geometry import FloatArray
from myoscope.report.map_disc import Ground, MapDisc, map_disc
from myoscope.report.map_panel import Cell, MapPanel
from myoscope.report.oklab import Palette
from myoscope.report.pairing import Comparison, state_label
from myoscope.report.plot_axes import Frame, Scale, Tick, scale_for
from myoscope.report.quantity_text import Told

FLOW_FRAME = Frame(width=420, height=230, left=44, right=12, top=12, bottom=36)
_FLOW_MAPS = ("flow", "uptake", "left_blood", "flow_error")


@dataclass(frozen=True, slots=True)
class FlowLine:
    """One curve as drawn: a path, the points that were measured, and what it is."""

    state: str
    path: str
    points: tuple[tuple[float, float], ...] = ()
    faint: bool = False


@dataclass(frozen=True, slots=True)
class FlowChart:
    """Curves over minutes on one pair of axes, and what they say."""

    title: str
    lines: tuple[FlowLine, ...]
    across: tuple[Tick, ...]
    upwards: tuple[Tick, ...]
    facts: tuple[Told, ...]
    alt: str


@dataclass(frozen=True, slots=True)
class FlowPanel:
    """Everything about flow of one comparison; ``note`` says how it was measured."""

    maps: MapPanel
    charts: tuple[FlowChart, ...]
    note: str


def flow_panel(
    comparison: Comparison, pair: PairResult | None, grounds: Sequence[Ground], table: Palette
) -> FlowPanel | None:
    """The flow of all series that have one; None if none has. ``grounds`` go with the members."""
    members = [
        (m, m.heart.flow, ground)
        for m, ground in zip((m for m in comparison.members if m.heart is not None), grounds, strict=True)
        if m.heart is not None and m.heart.flow is not None
    ]
    if not members:
        return None
    flows = [(m, flow) for m, flow, _ in members]
    flows = [(m, replace(flow, curves=_in_thousands(flow.curves))) for m, flow in flows]
    charts = [_blood_chart(flows)]
    charts += [_region_chart(flows, n, name) for n, name in enumerate(flows[0][1].curves.regions)]
    charts.append(_motion_chart(flows))
    return FlowPanel(_maps(members, pair, table), tuple(charts), _note([flow for _, flow in flows], pair))


def _in_thousands(curves: FlowCurves) -> FlowCurves:
    """Curves in kBq/mL instead of Bq/mL, so that numbers fit beside an axis."""
    if curves.unit != "Bq/mL":
        return curves
    return replace(
        curves,
        left=curves.left / 1000,
        right=curves.right / 1000,
        measured=curves.measured / 1000,
        fitted=curves.fitted / 1000,
        unit="kBq/mL",
    )


def _maps(
    members: Sequence[tuple[SeriesResult, FlowResult, Ground]], pair: PairResult | None, table: Palette
) -> MapPanel:
    rows = []
    for member, flow, ground in members:
        assert member.heart is not None
        maps = member.heart.maps
        rows.append(
            tuple(
                Cell(disc=_disc(name, member, ground, table, flow)) if name in maps else Cell() for name in _FLOW_MAPS
            )
        )
    last: tuple[Cell, ...] = ()
    if pair is not None and pair.reserve is not None:
        ground = members[0][2]
        told = {
            "reserve": tuple(_region_told(one.region, one.value) for one in pair.reserve.vessels),
            "capacity": tuple(
                Told(name, f"{100 * share:.0f} %")
                for name, share in zip(pair.reserve.capacity_names, pair.reserve.capacity_share.tolist(), strict=True)
                if share >= 0.005
            ),
        }
        last = tuple(
            Cell(disc=_with_facts(map_disc(name, pair.maps[name], label="Stress to rest", state="change",
                                           ground=ground, table=table, reserve=pair.reserve), facts))
            for name, facts in told.items()
            if name in pair.maps
        )  # fmt: skip
    return MapPanel(tuple(rows), last=last)


def _disc(name: str, member: SeriesResult, ground: Ground, table: Palette, flow: FlowResult) -> MapDisc:
    assert member.heart is not None
    state = member.series.state.value or "image"
    disc = map_disc(name, member.heart.maps[name], label=state_label(member), state=state, ground=ground, table=table)
    if name != "flow":
        return disc
    return _with_facts(disc, tuple(_region_told(one.region, one.value) for one in flow.vessels))


def _region_told(name: str, value: float | None) -> Told:
    return Told(name, "–" if value is None else f"{value:.2f}")


def _with_facts(disc: MapDisc, facts: tuple[Told, ...]) -> MapDisc:
    return replace(disc, facts=facts)


def _blood_chart(flows: Sequence[tuple[SeriesResult, FlowResult]]) -> FlowChart:
    top = max(float(np.nanmax([flow.curves.left, flow.curves.right])) for _, flow in flows)
    across, end = _minutes(flows)
    scale = scale_for(max(top, 1e-6))
    lines = []
    for member, flow in flows:
        state = member.series.state.value or "image"
        for curve, faint in ((flow.curves.left, False), (flow.curves.right, True)):
            if np.isfinite(curve).any():
                lines.append(FlowLine(state, _path(flow, curve, end, scale), faint=faint))
    unit = flows[0][1].curves.unit
    said = "left ventricle (solid) and right (thin)"
    return FlowChart(
        f"Blood, {unit}", tuple(lines), across, scale.ticks(FLOW_FRAME), (Told("", said),),
        f"Activity of blood in {unit} over minutes, {said}",
    )  # fmt: skip


def _region_chart(flows: Sequence[tuple[SeriesResult, FlowResult]], n: int, name: str) -> FlowChart:
    across, end = _minutes(flows)
    top = max(float(np.nanmax(flow.curves.measured[n], initial=0.0)) for _, flow in flows)
    scale = scale_for(max(top, 1e-6))
    lines, facts = [], []
    for member, flow in flows:
        curves = flow.curves
        measured = curves.measured[n]
        points = tuple(
            (x, y)
            for x, y in zip(_across(flow, end), _upwards(measured, scale), strict=True)
            if np.isfinite(x) and np.isfinite(y)
        )
        state = member.series.state.value or "image"
        lines.append(FlowLine(state, _path(flow, curves.fitted[n], end, scale), points))
        one = next((r for r in (*flow.vessels, flow.whole) if r.region == name), None)
        if one is not None and one.value is not None:
            interval = "" if one.low is None or one.high is None else f"{one.low:.2f} to {one.high:.2f}"
            facts.append(Told(state_label(member), f"{one.value:.2f} mL/min/g", interval))
    return FlowChart(
        f"{name}, {flows[0][1].curves.unit}: measured (points), fitted",
        tuple(lines), across, scale.ticks(FLOW_FRAME), tuple(facts),
        f"Activity of the wall over minutes, {name}; "
        + "; ".join(f"{f.name} {f.text} ({f.interval})" for f in facts),
    )  # fmt: skip


def _motion_chart(flows: Sequence[tuple[SeriesResult, FlowResult]]) -> FlowChart:
    across, end = _minutes(flows)
    lengths = [np.linalg.norm(flow.shifts_mm, axis=1) for _, flow in flows]
    scale = scale_for(max(4.0, *(float(length.max()) for length in lengths)))
    lines, facts = [], []
    for (member, flow), length in zip(flows, lengths, strict=True):
        shown = np.array([kind != "empty" for kind in flow.shift_kind])
        curve = np.where(shown, length, np.nan)
        lines.append(FlowLine(member.series.state.value or "image", _path(flow, curve, end, scale)))
        facts.append(Told(state_label(member), f"up to {float(length.max()):.1f} mm"))
    return FlowChart(
        "Displacement of the heart, mm", tuple(lines), across, scale.ticks(FLOW_FRAME), tuple(facts),
        "How far the heart lay from its place in the late frames, in mm over minutes; "
        + ", ".join(f"{f.name} {f.text}" for f in facts),
    )  # fmt: skip


def _minutes(flows: Sequence[tuple[SeriesResult, FlowResult]]) -> tuple[tuple[Tick, ...], float]:
    end = max(float((f.curves.start_s[-1] + f.curves.duration_s[-1]) / 60) for _, f in flows)
    scale = scale_for(end / 1.02)
    n = round(scale.top / scale.step)
    return tuple(Tick(f"{scale.step * k:g}", FLOW_FRAME.x(k / n)) for k in range(n + 1)), scale.top


def _across(flow: FlowResult, end_min: float) -> list[float]:
    middle = (flow.curves.start_s + 0.5 * flow.curves.duration_s) / 60
    return [FLOW_FRAME.x(float(t) / end_min) for t in middle]


def _upwards(curve: FloatArray, scale: Scale) -> list[float]:
    return [FLOW_FRAME.y(max(float(v), 0.0) / scale.top) if np.isfinite(v) else float("nan") for v in curve]


def _path(flow: FlowResult, curve: FloatArray, end_min: float, scale: Scale) -> str:
    points = [
        f"{x:.1f} {y:.1f}"
        for x, y in zip(_across(flow, end_min), _upwards(curve, scale), strict=True)
        if np.isfinite(y)
    ]
    return "M" + " ".join(points) if points else ""


def _note(flows: Sequence[FlowResult], pair: PairResult | None) -> str:
    first = flows[0]
    said = [f"Flow by the model of {first.model}, {first.tracer}; frames aligned to where the heart lay at the end."]
    settings = dict.fromkeys(words for flow in flows for words in flow.settings)
    if settings:
        said.append(f"Settings: {'; '.join(settings)}.")
    failed = sum(sum(flow.failed.values()) for flow in flows)
    if failed:
        said.append(f"{failed} cells of the maps have no flow; their reasons are in result.json.")
    said.append("All maps have fixed scales. Curves are means of territories, spill-over of blood is part of the fit.")
    if pair is not None and pair.reserve is not None:
        said.append(f"Flow capacity by the limits of {pair.reserve.capacity_source}; 0 is normal, 4 severely reduced.")
    return " ".join(said)
