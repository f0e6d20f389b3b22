"""The report page: one HTML file with everything in it, readable without scripts and on paper."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from myoscope.core import MyoscopeError, SeriesResult, StudyResult
from myoscope.report.colour_tables import COLOUR_TABLES, DEFAULT_COLOUR_TABLE, colour_table
from myoscope.report.facts import describe_series, flag_lines, inferences, left_out
from myoscope.report.flow_panel import FLOW_FRAME, FlowPanel, flow_panel
from myoscope.report.how_made import methods
from myoscope.report.indexed_png import LEVELS, data_url, encode_png, windowed_palette
from myoscope.report.limits_told import limits_lines, limits_note
from myoscope.report.map_panel import Maps, function_note, maps_of
from myoscope.report.number_tables import letter, number_tables
from myoscope.report.oklab import Palette
from myoscope.report.pairing import Comparison, comparisons, pair_of, state_label
from myoscope.report.panel import ImagePanel, image_panel
from myoscope.report.phase_histogram import PHASE_FRAME, PhaseHistogram, phase_histograms
from myoscope.report.place_file import place_file
from myoscope.report.prediction_panel import model_views
from myoscope.report.result_json import SCHEMA_VERSION
from myoscope.report.segment_tables import SegmentTable, segment_table_of
from myoscope.report.volume_curve import VOLUME_FRAME, VolumePlot, volume_plot
from myoscope.report.wall_values import SCALE_PERCENTILE


@dataclass(frozen=True, slots=True)
class Section:
    """One comparison on the page: slices, maps, what the gates show, and blood flow."""

    title: str
    panel: ImagePanel | None
    maps: Maps
    volume: VolumePlot | None
    histograms: tuple[PhaseHistogram, ...]
    segments: SegmentTable
    limits_note: str
    function_note: str
    flow: FlowPanel | None
    problems: tuple[str, ...]

    @property
    def rich(self) -> bool:
        """Whether its maps fill a sheet of paper of their own."""
        perfusion, function = self.maps.perfusion, self.maps.function
        return (
            self.flow is not None
            or function is not None
            or self.volume is not None
            or (perfusion is not None and not perfusion.flat)
        )


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
    groups = comparisons(result.series, result.pairs)
    with_heart = [member for group in groups for member in group.members]
    without = [s for s in result.series if s.heart is None]
    served = [s for s in without if s.used_for and not s.not_done]
    flags = flag_lines(result)
    not_done = [sentence for s in result.series for sentence in s.not_done]
    return {
        "software": result.software or "myoscope",
        "schema_version": SCHEMA_VERSION,
        "series": [
            (state_label(s), s.series.name, describe_series(s.series), _fate(s))
            for s in (*with_heart, *(s for s in without if s not in served))
        ],
        "served": [(s.series.name, s.used_for) for s in served],
        "title": _title(groups),
        "summary": result.summary,
        "sections": [_section(group, result, table, n, len(groups)) for n, group in enumerate(groups)],
        "models": model_views(result.models, table),
        "models_silent": result.models_silent,
        "flags": flags,
        "n_loud": sum(line.flag.severity != "info" for line in flags) + len(not_done) + bool(result.skipped),
        "loud_flags": [line for line in flags if line.flag.severity != "info"],
        "inferred": [i for s in result.series for i in inferences(s.series)],
        "not_done": not_done,
        "skipped": left_out(result),
        "n_skipped": len(result.skipped),
        "numbers": number_tables(result),
        "letter": letter,
        "plot": VOLUME_FRAME,
        "phase": PHASE_FRAME,
        "flow_frame": FLOW_FRAME,
        "limits": limits_lines(result),
        "methods": methods(result),
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


def _section(group: Comparison, result: StudyResult, table: Palette, n: int, n_groups: int) -> Section:
    names = " and ".join(m.series.name for m in group.members)
    problems = []
    try:
        panel = image_panel(group, windowed_palette(table))
    except MyoscopeError as error:
        panel = None
        problems.append(f"{names}: the slices cannot be shown: {error}.")
    pair = pair_of(group, result.pairs)
    maps = maps_of(group, pair, table, key=f"map{n}")
    title = names if n_groups > 1 else ""
    return Section(
        title,
        panel,
        maps,
        volume_plot(group.members),
        phase_histograms(group.members),
        segment_table_of(group, pair, title=title),
        limits_note([m.heart for m in group.members if m.heart is not None]),
        function_note(maps),
        flow_panel(group, pair, maps.grounds, table),
        (*problems, *maps.problems),
    )


def _fate(one: SeriesResult) -> str:
    """What became of a series that shows no heart of its own and did not serve another."""
    return "" if one.heart is not None else "not analysed"


def _script_data(table_name: str) -> str:
    """What the page's script needs, safe inside a script element."""
    tables = {name: base64.b64encode(colour_table(name).tobytes()).decode("ascii") for name in COLOUR_TABLES}
    text = json.dumps({"tables": tables, "table": table_name}, separators=(",", ":"))
    return text.replace("<", "\\u003c")
