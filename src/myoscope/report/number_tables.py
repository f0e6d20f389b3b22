"""The tables of numbers: one for each group of quantities, a column for each series that has any of them.

A series without a single number in a group has no column there; why is said once, below the tables. Numbers that
divide or vary another one ("TPD, LAD") stand indented below it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from myoscope.core import Quantity, StudyResult
from myoscope.report.pairing import comparisons, state_label
from myoscope.report.quantity_text import Told, tell

GROUP_TITLES: Mapping[str, str] = MappingProxyType(
    {
        "perfusion": "Perfusion",
        "flow": "Blood flow",
        "change": "Change",
        "function": "Function",
        "phase": "Synchrony",
        "shape": "Shape",
        "image": "Left ventricle in the image",
    }
)
"""The tables in the order of the page, and their titles."""
_SAME_ROW = {"SRS": "SSS"}
"""Scores that are called by another name at rest than under stress stand in one row."""
_NARROW = 3


@dataclass(frozen=True, slots=True)
class Column:
    """``series`` is told beside the label where labels alone would not do."""

    label: str
    series: str


@dataclass(frozen=True, slots=True)
class NumberCell:
    """A number, or None where this series has none of that name; ``marks`` refer to the footnotes."""

    told: Told | None
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One quantity over all columns; ``part`` stands indented below the row it belongs to."""

    name: str
    cells: tuple[NumberCell, ...]
    limit: str = ""
    part: bool = False


@dataclass(frozen=True, slots=True)
class NumberTable:
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    @property
    def wide(self) -> bool:
        """Whether it needs the width of the page."""
        return len(self.columns) > _NARROW


@dataclass(frozen=True, slots=True)
class NotMeasured:
    """A group of which some series have nothing, and why."""

    titles: tuple[str, ...]
    series: tuple[str, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Numbers:
    """All tables with their footnotes.

    ``reasons`` (1, 2, ...) say why numbers are missing, ``omissions`` (a, b, ...) what intervals leave out.
    """

    tables: tuple[NumberTable, ...]
    reasons: tuple[str, ...]
    omissions: tuple[str, ...]
    not_measured: tuple[NotMeasured, ...]
    any_verdict: bool


@dataclass(frozen=True, slots=True)
class _Source:
    """Whose quantities: a series, or a pair of them."""

    label: str
    name: str
    quantities: tuple[Quantity, ...]


def number_tables(result: StudyResult) -> Numbers:
    """The quantities of every heart and every pair, by group."""
    groups = comparisons(result.series, result.pairs)
    members = [m for group in groups for m in group.members]
    hearts = [_Source(state_label(m), m.series.name, m.heart.quantities) for m in members if m.heart is not None]
    pairs = [_Source(f"{p.stress} to {p.rest}", f"{p.stress} to {p.rest}", p.quantities) for p in result.pairs]
    shown: list[tuple[str, list[_Source]]] = []
    absent: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for group, title in GROUP_TITLES.items():
        told = [(s, [q for q in s.quantities if q.group == group]) for s in (*hearts, *pairs)]
        told = [(s, quantities) for s, quantities in told if quantities]
        present = [_Source(s.label, s.name, tuple(qs)) for s, qs in told if any(q.value is not None for q in qs)]
        if present:
            shown.append((title, present))
        for s, quantities in told:
            if all(q.value is None for q in quantities):
                why = tuple(dict.fromkeys(q.reason for q in quantities))
                absent.setdefault((s.name, why), []).append(title)
    quantities = [q for _, sources in shown for s in sources for q in s.quantities]
    reasons = tuple(dict.fromkeys(q.reason for q in quantities if q.reason))
    omissions = tuple(dict.fromkeys(t.leaves_out for t in map(tell, quantities) if t.leaves_out))
    return Numbers(
        tables=tuple(_table(title, sources, reasons, omissions) for title, sources in shown),
        reasons=reasons,
        omissions=omissions,
        not_measured=_together(absent),
        any_verdict=any(q.abnormal is not None for q in quantities),
    )


def letter(n: int) -> str:
    """The mark of the n-th footnote about intervals: a to z, then aa."""
    return (letter(n // 26 - 1) if n >= 26 else "") + chr(ord("a") + n % 26)


def _table(title: str, sources: Sequence[_Source], reasons: tuple[str, ...], omissions: tuple[str, ...]) -> NumberTable:
    names = list(dict.fromkeys(q.name for s in sources for q in s.quantities))
    rows: list[Row] = []
    keys = _rows(names)
    for key, called in keys.items():
        cells: list[NumberCell] = []
        limits: dict[str, list[str]] = {}
        for source in sources:
            found = next((q for q in source.quantities if q.name in called), None)
            if found is None:
                cells.append(NumberCell(None))
                continue
            told = tell(found)
            marks = [str(reasons.index(told.reason) + 1)] if told.reason else []
            marks += [letter(omissions.index(told.leaves_out))] if told.leaves_out else []
            cells.append(NumberCell(told, tuple(marks)))
            if told.limit:
                limits.setdefault(told.limit, []).append(source.label)
        base = _base(key, keys)
        name = " / ".join(called) if base is None else key.removeprefix(f"{base}, ")
        rows.append(Row(_capital(name) if base is None else name, tuple(cells), _limit(limits), base is not None))
    columns = [Column(s.label, s.name) for s in sources]
    plain = len({c.label for c in columns}) == len(columns) and all(c.label != "Image" for c in columns)
    return NumberTable(title, tuple(Column(c.label, "") if plain else c for c in columns), tuple(rows))


def _rows(names: Sequence[str]) -> dict[str, list[str]]:
    """The rows in order, each with the names of the quantities that stand in it; parts follow what they belong to."""
    called: dict[str, list[str]] = {}
    for name in names:
        head, comma, rest = name.partition(", ")
        called.setdefault(_SAME_ROW.get(head, head) + comma + rest, []).append(name)
    ordered: dict[str, list[str]] = {}
    for key in called:
        if _base(key, called) is None:
            ordered |= {part: called[part] for part in called if key in (part, _base(part, called))}
    return ordered


def _base(key: str, keys: Iterable[str]) -> str | None:
    """The quantity that this one is a part or variant of, None if it stands for itself."""
    return min((other for other in keys if key.startswith(f"{other}, ")), key=len, default=None)


def _limit(limits: dict[str, list[str]]) -> str:
    """One limit for all columns, or each with the columns that it is for."""
    if len(limits) < 2:
        return next(iter(limits), "")
    return "; ".join(f"{', '.join(dict.fromkeys(labels)).lower()}: {limit}" for limit, labels in limits.items())


def _together(absent: dict[tuple[str, tuple[str, ...]], list[str]]) -> tuple[NotMeasured, ...]:
    """Series that lack the same groups for the same reasons share a sentence."""
    shared: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for (name, why), titles in absent.items():
        shared.setdefault((tuple(titles), why), []).append(name)
    return tuple(NotMeasured(titles, tuple(names), why) for (titles, why), names in shared.items())


def _capital(name: str) -> str:
    return name[:1].upper() + name[1:]
