"""The report page: one HTML file with everything in it, readable without scripts and on paper."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from myoscope.core import HeartResult, MyoscopeError, PolarMap, Quantity, SeriesResult, StudyResult, segment_table
from myoscope.report.colour_tables import COLOUR_TABLES, DEFAULT_COLOUR_TABLE, colour_table
from myoscope.report.facts import (
    FlagLine,
    Inference,
    describe_series,
    flag_lines,
    format_interval,
    format_quantity,
    inferences,
    left_out,
    named_value,
)
from myoscope.report.indexed_png import LEVELS, data_url, encode_png, to_levels, windowed_palette
from myoscope.report.pairing import Comparison, comparisons, state_label
from myoscope.report.panel import ImagePanel, image_panel
from myoscope.report.place_file import place_file
from myoscope.report.polar_disc import disc_image, segment_centres, segment_outlines
from myoscope.report.result_json import SCHEMA_VERSION
from myoscope.report.surface_view import (
    BACKGROUND,
    VIEWPOINTS,
    mean_nodes,
    shaded_palette,
    still_picture,
    surface_cloud,
    view_matrix,
    viewer_mesh,
)
from myoscope.report.wall_values import SCALE_PERCENTILE, polar_percent, segment_values, vessel_values

_DISC_PIXELS = 280
_STILL_PIXELS = {1: 200, 2: 140}  # by the number of hearts side by side


@dataclass(frozen=True, slots=True)
class Label:
    """A number on the disc, in units of its radius times 100."""

    text: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Disc:
    """A polar map as drawn: raster, lines between segments, numbers, and the territories' means."""

    label: str
    state: str
    picture: str
    outlines: dict[int, str]
    labels: dict[int, tuple[Label, ...]]
    vessels: tuple[tuple[str, str], ...]
    alt: str
    unseen_percent: float


@dataclass(frozen=True, slots=True)
class Still:
    name: str
    picture: str
    alt: str
    matrix: str


@dataclass(frozen=True, slots=True)
class Solid:
    """The surface in three dimensions: still pictures and, for the viewer, its mesh."""

    label: str
    state: str
    key: str
    stills: tuple[Still, ...]
    mesh: str


@dataclass(frozen=True, slots=True)
class Section:
    """One comparison on the page."""

    title: str
    panel: ImagePanel | None
    discs: tuple[Disc, ...]
    solids: tuple[Solid, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NumberCell:
    text: str
    interval: str
    reason: str


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: a name and one cell for each series."""

    name: str
    cells: tuple[NumberCell, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    label: str
    series: str


def write_html(result: StudyResult, path: Path, *, colour_table: str = DEFAULT_COLOUR_TABLE) -> None:
    """Write the report of a study as one self-contained HTML file.

    ``colour_table`` is the one that the page opens with, from ``COLOUR_TABLES``; a reader can switch it.

    Raises
    ------
    InvalidValue
        For a colour table that does not exist.
    OutputError
        If the file cannot be written; nothing is left behind.
    """
    place_file(path, render_page(result, colour_table=colour_table).encode("utf-8"))


def render_page(result: StudyResult, *, colour_table: str = DEFAULT_COLOUR_TABLE) -> str:
    """The text of the page."""
    return str(_template().render(**_content(result, colour_table)))


@cache
def _template() -> Any:
    """The page's template, compiled once per process."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html")


def _content(result: StudyResult, table_name: str) -> dict[str, Any]:
    table = colour_table(table_name)
    groups = comparisons(result.series)
    with_heart = [member for group in groups for member in group.members]
    in_order = [*with_heart, *(s for s in result.series if s.heart is None)]
    flags = flag_lines(result)
    inferred: list[Inference] = [i for s in result.series for i in inferences(s.series)]
    not_done = [sentence for s in result.series for sentence in s.not_done]
    return {
        "software": result.software or "myoscope",
        "schema_version": SCHEMA_VERSION,
        "series": [(state_label(s), s.series.name, describe_series(s.series), _fate(s)) for s in in_order],
        "title": _title(groups),
        "sections": [_section(group, table, len(groups)) for group in groups],
        "flags": flags,
        "n_loud": sum(line.flag.severity != "info" for line in flags) + len(not_done) + bool(result.skipped),
        "loud_flags": [line for line in flags if line.flag.severity != "info"],
        "inferred": inferred,
        "not_done": not_done,
        "skipped": left_out(result),
        "n_skipped": len(result.skipped),
        "columns": [Column(state_label(m), m.series.name) for m in with_heart],
        "quantities": _quantity_rows(with_heart),
        "reasons": _reasons(with_heart),
        "segments": _segment_rows(with_heart),
        "vessels": _vessel_rows(with_heart),
        "methods": _methods(result),
        "scale_percentile": f"{SCALE_PERCENTILE:g}",
        "table_name": table_name,
        "tables": COLOUR_TABLES,
        "page_data": _script_data(table_name),
        "colour_bar": data_url(encode_png(np.arange(LEVELS, -1, -1, dtype=np.uint8)[:, None], windowed_palette(table))),
        "unit": 100,
    }


def _title(groups: tuple[Comparison, ...]) -> str:
    states = {m.series.state.value for g in groups for m in g.members}
    if {"stress", "rest"} <= states:
        return "Myocardial perfusion, stress and rest"
    if states & {"stress", "rest"}:
        return f"Myocardial perfusion, {next(iter(states & {'stress', 'rest'}))}"
    return "Myocardial perfusion"


def _section(group: Comparison, table: NDArray[np.uint8], n_groups: int) -> Section:
    palette = windowed_palette(table)
    names = " and ".join(m.series.name for m in group.members)
    problems = []
    try:
        panel = image_panel(group, palette)
    except MyoscopeError as error:
        panel = None
        problems.append(f"{names}: the slices cannot be shown: {error}.")
    discs, solids = [], []
    for member in group.members:
        assert member.heart is not None
        percent = polar_percent(member.heart.polar_map)
        if percent is None:
            problems.append(f"{member.series.name}: the polar map holds no positive value and is not shown.")
            continue
        discs.append(_disc(member, percent, palette))
        n_pixels = _STILL_PIXELS[len(group.members)]
        solids.append(_solid(member, member.heart, percent, table, n_pixels=n_pixels))
    return Section(names if n_groups > 1 else "", panel, tuple(discs), tuple(solids), tuple(problems))


def _disc(member: SeriesResult, percent: PolarMap, palette: NDArray[np.uint8]) -> Disc:
    assert member.heart is not None
    label = state_label(member)
    pixels = to_levels(disc_image(percent.value, n_pixels=_DISC_PIXELS))
    vessels = vessel_values(member.heart.polar_map)
    said = ", ".join(f"{v.vessel} {v.percent_of_maximum:.0f} %" for v in vessels if v.percent_of_maximum is not None)
    return Disc(
        label=label,
        state=member.series.state.value or "image",
        picture=data_url(encode_png(pixels, palette)),
        outlines={
            17: segment_outlines(percent, 17, radius=100),
            20: segment_outlines(percent, 20, radius=100),
        },
        labels={17: _labels(percent, 17), 20: _labels(percent, 20)},
        vessels=tuple((v.vessel, _percent(v.percent_of_maximum)) for v in vessels),
        alt=f"{label}: polar map, apex in the middle, anterior on top, septum left; mean of the maximum: {said}",
        unseen_percent=100 * float(np.mean(~np.isfinite(percent.value))),
    )


def _labels(percent: PolarMap, model: Literal[17, 20]) -> tuple[Label, ...]:
    centres = segment_centres(percent, model)
    means = percent.segment_means(model)
    return tuple(
        Label(f"{means[n - 1]:.0f}" if np.isfinite(means[n - 1]) else "–", 100 * x, 100 * y)
        for n, (x, y) in centres.items()
    )


def _solid(
    member: SeriesResult, heart: HeartResult, percent: PolarMap, table: NDArray[np.uint8], *, n_pixels: int
) -> Solid:
    endo, epi = mean_nodes(heart)
    level = to_levels(percent.value)
    label = state_label(member)
    palette, cloud = shaded_palette(table), surface_cloud(epi, level, n_pixels=n_pixels)
    stills = []
    for viewpoint in VIEWPOINTS:
        pixels = still_picture(cloud, viewpoint, n_pixels=n_pixels)
        picture = data_url(encode_png(pixels, palette, transparent=BACKGROUND))
        alt = f"{label}: surface of the left ventricle, {viewpoint.name.lower()} view"
        stills.append(Still(viewpoint.name, picture, alt, json.dumps(np.round(view_matrix(viewpoint), 4).tolist())))
    mesh = json.dumps(viewer_mesh(endo, epi, level), separators=(",", ":"))
    return Solid(label, member.series.state.value or "image", member.series.name, tuple(stills), mesh)


def _quantity_rows(members: list[SeriesResult]) -> tuple[Row, ...]:
    names = list(dict.fromkeys(q.name for m in members if m.heart for q in m.heart.quantities))
    rows = []
    for name in names:
        cells = []
        for member in members:
            found = [q for q in (member.heart.quantities if member.heart else ()) if q.name == name]
            cells.append(_number_cell(found[0]) if found else NumberCell("–", "", ""))
        rows.append(Row(name[:1].upper() + name[1:], tuple(cells)))
    return tuple(rows)


def _reasons(members: list[SeriesResult]) -> list[str]:
    """Why numbers are missing, each reason once: the footnotes of the table."""
    return list(dict.fromkeys(q.reason for m in members if m.heart for q in m.heart.quantities if q.reason))


def _number_cell(quantity: Quantity) -> NumberCell:
    return NumberCell(format_quantity(quantity), format_interval(quantity), quantity.reason)


def _segment_rows(members: list[SeriesResult]) -> tuple[Row, ...]:
    values = [segment_values(m.heart.polar_map, 17) for m in members if m.heart]
    return tuple(
        Row(
            f"{s.number} {s.name}",
            tuple(NumberCell(_percent(v[n].percent_of_maximum), "", "") for v in values),
            s.vessel,
        )
        for n, s in enumerate(segment_table(17))
    )


def _vessel_rows(members: list[SeriesResult]) -> tuple[Row, ...]:
    values = [vessel_values(m.heart.polar_map) for m in members if m.heart]
    if not values:
        return ()
    return tuple(
        Row(vessel.vessel, tuple(NumberCell(_percent(v[n].percent_of_maximum), "", "") for v in values))
        for n, vessel in enumerate(values[0])
    )


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"


def _fate(one: SeriesResult) -> str:
    """What became of a series that shows no heart of its own."""
    return "" if one.heart is not None else one.used_for or "not analysed"


def _methods(result: StudyResult) -> list[tuple[str, str]]:
    """For each series: how its image was made and its heart found and sampled, from which inputs, in which time."""
    lines = []
    for one in result.series:
        said = []
        steps = [step for step in one.series.image.made_by if not step.startswith("read from")]
        if steps:
            said.append(f"Image: {'; '.join(steps)}.")
        if one.heart is not None:
            said.append(f"Heart found by {one.heart.finder}; polar map: {one.heart.polar_map.method}.")
            if one.heart.agreement:
                numbers = (named_value(k, one.heart.agreement[k]) for k in sorted(one.heart.agreement))
                said.append(f"Compared with the other finder: {', '.join(numbers)}.")
        if one.series.sources:
            hashes = [s.sha256[:12] for s in one.series.sources]
            files = "1 input file" if len(hashes) == 1 else f"{len(hashes)} input files"
            said.append(f"{files}, SHA-256 {hashes[0]}…{' and others' if len(hashes) > 1 else ''}.")
        if one.seconds:
            said.append(f"Time: {_times(one.seconds)}.")
        lines.append((one.series.name, " ".join(said)))
    if result.seconds:
        lines.append(("Study", f"Time: {_times(result.seconds)}."))
    return lines


def _times(seconds: Mapping[str, float]) -> str:
    return ", ".join(f"{step.replace('_', ' ')} {value:.2f} s" for step, value in seconds.items())


def _script_data(table_name: str) -> str:
    """What the page's script needs, safe inside a script element."""
    tables = {name: base64.b64encode(colour_table(name).tobytes()).decode("ascii") for name in COLOUR_TABLES}
    text = json.dumps({"tables": tables, "table": table_name}, separators=(",", ":"))
    return text.replace("<", "\\u003c")


__all__ = ["FlagLine", "render_page", "write_html"]
