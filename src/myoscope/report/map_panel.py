"""Which polar maps of a comparison stand where: perfusion, change, and function, stress above rest.

Where there is nothing but counts, all maps and surfaces stand side by side in one row. Where there are limits, each
series has a row of its own and the same map of every series stands in the same column.
"""

from __future__ import annotations

from dataclasses import dataclass

from myoscope.core import PairResult, PolarMap, SeriesResult
from myoscope.report.map_disc import Ground, MapDisc, ground_of, map_disc
from myoscope.report.oklab import Palette
from myoscope.report.pairing import Comparison, state_label
from myoscope.report.quantity_text import Told, tell
from myoscope.report.surface_figure import Solid, solid_of
from myoscope.report.wall_values import polar_percent

PERFUSION_MAPS = ("perfusion", "motion_frozen", "blackout", "severity")
_LIMIT_MAPS = ("blackout", "severity")
FUNCTION_MAPS = ("motion", "thickening", "thickening_counts", "phase", "amplitude")
_CHANGE_TOLD = ("SDS", "ischaemic TPD", "reversible part", "fixed part", "direct change", "TID", "EF change")
_STILL_PIXELS = {1: 200, 2: 140}  # by the number of hearts side by side


@dataclass(frozen=True, slots=True)
class Cell:
    """A place in a panel: a map, a surface, or nothing."""

    disc: MapDisc | None = None
    solid: Solid | None = None


@dataclass(frozen=True, slots=True)
class MapPanel:
    """Rows of maps; ``flat`` where all stands in one row, ``last`` what follows the change from stress to rest."""

    rows: tuple[tuple[Cell, ...], ...]
    flat: bool = False
    last: tuple[Cell, ...] = ()

    @property
    def n_columns(self) -> int:
        return max(len(row) for row in self.rows)

    @property
    def n_surfaces(self) -> int:
        return max(sum(cell.solid is not None for cell in row) for row in self.rows)


@dataclass(frozen=True, slots=True)
class ChangePanel:
    """What is reversible, as a map, and the numbers that say how much."""

    disc: MapDisc | None
    facts: tuple[Told, ...]


@dataclass(frozen=True, slots=True)
class Maps:
    """All polar maps of one comparison; ``grounds`` hold what maps of one heart share."""

    perfusion: MapPanel | None
    change: ChangePanel | None
    function: MapPanel | None
    grounds: tuple[Ground, ...]
    problems: tuple[str, ...]


def maps_of(comparison: Comparison, pair: PairResult | None, table: Palette, *, key: str) -> Maps:
    """The maps of one comparison; ``table`` colours counts, ``key`` makes names of drawings unique on the page."""
    problems: list[str] = []
    grounds = {
        m.series.name: ground_of(m.heart.polar_map, f"{key}-{n}")
        for n, m in enumerate(comparison.members)
        if m.heart is not None
    }
    rows = {m.series.name: _perfusion_row(m, grounds[m.series.name], table, problems) for m in comparison.members}
    change = _change(comparison.members[0], pair, grounds, table)
    solids = {m.series.name: _solid(m, table, len(comparison.members)) for m in comparison.members}
    only_counts = all(set(row) <= {"perfusion"} for row in rows.values())
    if only_counts:
        cells = [Cell(disc=disc) for row in rows.values() for disc in row.values()]
        if change is not None and change.disc is not None:
            cells.append(Cell(disc=change.disc))
            change = None
        cells += [Cell(solid=solid) for solid in solids.values() if solid is not None]
        perfusion = MapPanel((tuple(cells),), flat=True) if cells else None
    else:
        names = [name for name in PERFUSION_MAPS if any(name in row for row in rows.values())]
        last: tuple[Cell, ...] = ()
        if len(rows) > 1 and set(names) & set(_LIMIT_MAPS) and "motion_frozen" in names:
            # Beside what is reversible there is room; five maps in a row would be small.
            names.remove("motion_frozen")
            last = tuple(Cell(disc=row.get("motion_frozen")) for row in rows.values())
        series_rows = tuple(
            (*(Cell(disc=row.get(name)) for name in names), Cell(solid=solids[series])) for series, row in rows.items()
        )
        perfusion = MapPanel(series_rows, last=last)
    function = _function(comparison, grounds, table)
    return Maps(perfusion, change, function, tuple(grounds.values()), tuple(problems))


def function_note(maps: Maps) -> str:
    """How to read the maps of function that are there."""
    shown = {cell.disc.name for row in maps.function.rows for cell in row if cell.disc} if maps.function else set()
    said = {
        "motion": "Motion is that of the endocardium, inward from end diastole to end systole.",
        "thickening": "Thickening is that of the fitted surfaces from end diastole to end systole.",
        "thickening_counts": "Thickening by counts is corrected for the resolution.",
        "phase": "Phase is that of the first harmonic of the counts where it stands out from noise, in degrees of the "
        "R-R interval after the R wave; numbers are means round the circle. Statistics and histogram leave out the "
        "outermost rings, through which the valve plane moves; the histogram weighs the wall by its area.",
        "amplitude": "Amplitude is that of the same harmonic.",
    }
    return " ".join(sentence for name, sentence in said.items() if name in shown)


def _perfusion_row(member: SeriesResult, ground: Ground, table: Palette, problems: list[str]) -> dict[str, MapDisc]:
    heart = member.heart
    assert heart is not None  # comparisons hold series with a heart only
    shown: dict[str, PolarMap] = {}
    percent = polar_percent(heart.polar_map)
    if percent is None:
        problems.append(f"{member.series.name}: the polar map holds no positive value and is not shown.")
        return {}
    shown["perfusion"] = percent
    frozen = polar_percent(heart.maps["motion_frozen"]) if "motion_frozen" in heart.maps else None
    if frozen is not None:
        shown["motion_frozen"] = frozen
    shown |= {name: heart.maps[name] for name in ("blackout", "severity") if name in heart.maps}
    return {name: _disc(name, one, member, ground, table) for name, one in shown.items()}


def _function(comparison: Comparison, grounds: dict[str, Ground], table: Palette) -> MapPanel | None:
    members = [(m, m.heart.maps) for m in comparison.members if m.heart is not None]
    names = [name for name in FUNCTION_MAPS if any(name in maps for _, maps in members)]
    rows = tuple(
        tuple(
            Cell(disc=_disc(name, maps[name], m, grounds[m.series.name], table)) if name in maps else Cell()
            for name in names
        )
        for m, maps in members
        if any(name in maps for name in names)
    )
    return MapPanel(rows) if rows else None


def _change(
    stress: SeriesResult, pair: PairResult | None, grounds: dict[str, Ground], table: Palette
) -> ChangePanel | None:
    if pair is None:
        return None
    found = (pair.quantity(name) for name in _CHANGE_TOLD)
    facts = tuple(tell(q) for q in found if q is not None and q.value is not None)
    disc = None
    # Without normal limits there is no deficit that could reverse; counts still say where stress has less than rest.
    name = next((name for name in ("reversibility", "change") if name in pair.maps), None)
    if name is not None:
        disc = map_disc(
            name,
            pair.maps[name],
            label="Stress to rest",
            state="change",
            ground=grounds[stress.series.name],
            table=table,
        )
    return ChangePanel(disc, facts) if disc is not None or facts else None


def _disc(name: str, shown: PolarMap, member: SeriesResult, ground: Ground, table: Palette) -> MapDisc:
    state = member.series.state.value or "image"
    return map_disc(name, shown, label=state_label(member), state=state, ground=ground, table=table, heart=member.heart)


def _solid(member: SeriesResult, table: Palette, n_members: int) -> Solid | None:
    assert member.heart is not None
    percent = polar_percent(member.heart.polar_map)
    return None if percent is None else solid_of(member, percent, table, n_pixels=_STILL_PIXELS[n_members])
