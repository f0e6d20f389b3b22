"""The page of two studies of one patient: maps before and after, their difference, and every figure that changed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from myoscope.core import PolarMap, Quantity
from myoscope.report.colour_tables import DEFAULT_COLOUR_TABLE, colour_table
from myoscope.report.map_disc import Ground, MapDisc, ground_of, map_disc
from myoscope.report.place_file import place_file
from myoscope.report.quantity_text import MISSING_TEXT, Told, tell

_REPEATABILITY = {True: "beyond", False: "within", None: MISSING_TEXT}


@dataclass(frozen=True, eq=False, slots=True)
class ChangeMaps:
    """Maps of one image at two times in %, ``change`` in points of it, the same where it is beyond that of repeats.

    ``against_normal`` says that 100 % is the normal maximum, not the earlier map's own; ``said`` what the maps show.
    """

    state: str
    before: PolarMap
    after: PolarMap
    change: PolarMap
    called: PolarMap
    against_normal: bool
    said: str


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """One figure at two times and its change, and whether that is beyond noise and beyond repeatability."""

    before: Quantity
    after: Quantity
    change: Quantity
    beyond_noise: bool | None
    beyond_repeatability: bool | None


@dataclass(frozen=True, eq=False, slots=True)
class ChangeSection:
    """What belongs to one image, or one pair of stress and rest: its maps, where there are any, and its figures."""

    name: str
    maps: ChangeMaps | None
    rows: tuple[ChangeRow, ...]


@dataclass(frozen=True, eq=False, slots=True)
class ChangePage:
    """A comparison of two studies as it is shown; ``notes`` say what else differs between them."""

    sections: tuple[ChangeSection, ...]
    notes: tuple[str, ...]
    software: str


@dataclass(frozen=True, slots=True)
class _RowShown:
    name: str
    before: Told
    after: Told
    change: Told
    beyond_noise: bool
    repeatability: str


@dataclass(frozen=True, eq=False, slots=True)
class _SectionShown:
    name: str
    ground: Ground | None
    discs: tuple[MapDisc, ...]
    caption: str
    rows: tuple[_RowShown, ...]

    @property
    def any_repeatability(self) -> bool:
        return any(row.repeatability != MISSING_TEXT for row in self.rows)


def write_change_html(page: ChangePage, path: Path) -> None:
    """Write the comparison of two studies as one self-contained HTML file, readable without scripts and on paper.

    Raises
    ------
    OutputError
        If the file cannot be written; nothing is left behind.
    """
    text = str(
        _template().render(
            title="Myocardial perfusion, earlier and later",
            notes=page.notes,
            sections=[_section(one, n) for n, one in enumerate(page.sections)],
            software=page.software,
        )
    )
    place_file(path, text.encode("utf-8"))


@cache
def _template() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("change.html")


def _section(section: ChangeSection, n: int) -> _SectionShown:
    ground = None if section.maps is None else ground_of(section.maps.before, f"change{n}")
    return _SectionShown(
        section.name,
        ground,
        () if section.maps is None or ground is None else _discs(section.maps, ground),
        "" if section.maps is None else _caption(section.maps),
        tuple(_row(row) for row in section.rows),
    )


def _discs(maps: ChangeMaps, ground: Ground) -> tuple[MapDisc, ...]:
    counts = "relative" if maps.against_normal else "perfusion"
    shown = [
        ("Before", maps.state, counts, maps.before),
        ("After", maps.state, counts, maps.after),
        ("Change", "change", "serial_change", maps.change),
        ("Change", "change", "serial_change_called", maps.called),
    ]
    table = colour_table(DEFAULT_COLOUR_TABLE)
    return tuple(
        map_disc(name, one, label=label, state=state, ground=ground, table=table) for label, state, name, one in shown
    )


def _caption(maps: ChangeMaps) -> str:
    scale = "the normal maximum" if maps.against_normal else "the maximum of the earlier map"
    return (
        f"{maps.said} Both maps are smoothed along the wall and at one level, 100 % is {scale}; the change is later "
        "less earlier in points of that. Numbers are means of segments and territories. The last map shows the change "
        "where it is beyond what it is in unchanged virtual patients whose study is done twice, and 0 elsewhere; other "
        "positioning, dose or cameras may change more."
    )


def _row(row: ChangeRow) -> _RowShown:
    return _RowShown(
        row.before.name,
        tell(row.before),
        tell(row.after),
        tell(row.change),
        bool(row.beyond_noise),
        _REPEATABILITY[row.beyond_repeatability],
    )
