"""Two studies of one patient, apart in time: what changed between the results of two analyses.

Series are matched by state, position, correction and gating, pairs of stress and rest by their series. Every figure of
perfusion, function, synchrony and flow that both hold is compared, with the interval of its difference from both
intervals; for flow with rubidium the repeatability coefficient of same-day scans says whether the patient changed or
the measurement. Polar maps are compared cell by cell (`map_change.py`). Nothing is measured anew: results of other
settings or limits differ for that reason too, and the comparison says so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import myoscope
from myoscope import io, quantify, report
from myoscope.core import VESSELS, InvalidValue, MyoscopeError, Quantity
from myoscope.map_change import FALSE_DISCOVERY_RATE, MapChange, change_of_maps
from myoscope.quantify import SerialChange
from myoscope.quantify.flow.indices import FLOW_REPEATABILITY_PERCENT, RESERVE_REPEATABILITY_PERCENT
from myoscope.stored_result import read_result

SCHEMA_VERSION = "1.1"
COMPARISON_FILE, PAGE_FILE = "comparison.json", "comparison.html"
CHANGE_FILE, CALLED_FILE = "change.npz", "change_beyond_repeats.npz"
_GROUPS = ("perfusion", "flow", "change", "function", "phase")
_FACTS = ("state", "position", "corrected")
_RUBIDIUM = "Rb-82"
_FITTED = ("one distribution volume", "washout fitted")
_REPEATABILITY_PERCENT: Mapping[str, float] = {
    "blood flow": FLOW_REPEATABILITY_PERCENT,
    "flow reserve": RESERVE_REPEATABILITY_PERCENT,
}
_REPEATABILITY_SOURCE = "rubidium-82 twice in a session, twelve volunteers (Comput Math Methods Med 2017;6810626)"


@dataclass(frozen=True, slots=True)
class Changed:
    """One figure at two times and its change; ``of`` names what it belongs to, as in the earlier result."""

    of: str
    before: Quantity
    after: Quantity
    change: SerialChange


@dataclass(frozen=True, slots=True)
class StudyComparison:
    """All changes of a patient, and sentences on what else differs between the two analyses or was not compared.

    ``maps`` are the changes over the wall, one for each image whose maps lie beside both results.
    """

    changes: tuple[Changed, ...]
    notes: tuple[str, ...]
    maps: tuple[MapChange, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain values, as `write_comparison` stores them."""
        return {
            "schema_version": SCHEMA_VERSION,
            "changes": [
                {
                    "of": one.of,
                    "name": one.before.name,
                    "unit": one.before.unit,
                    "before": one.before.value,
                    "after": one.after.value,
                    "change": one.change.change.value,
                    "interval_95": None
                    if one.change.change.low is None
                    else [one.change.change.low, one.change.change.high],
                    "beyond_noise": one.change.beyond_noise,
                    "repeatability": one.change.repeatability,
                    "beyond_repeatability": one.change.beyond_repeatability,
                    "reason": one.change.change.reason or None,
                }
                for one in self.changes
            ],
            "maps": [_map_as_json(one) for one in self.maps],
            "notes": list(self.notes),
            "intended_use": "Research only; not a medical device.",
        }


def compare_results(before: Path, after: Path) -> StudyComparison:
    """Changes between two folders that ``myoscope analyze`` wrote, the earlier study first.

    Raises
    ------
    UnreadableFile, UnsupportedFile
        A folder without a result, or one of a later format.
    InvalidValue
        Results of two people, as far as the stated sex tells, or nothing that can be compared.
    """
    earlier, later = read_result(before), read_result(after)
    notes: list[str] = []
    changes: list[Changed] = []
    maps: list[MapChange] = []
    without: dict[str, list[str]] = {}
    there = {_key(one): one for one in later["series"] if one["heart"]}
    matched: dict[str, str] = {}
    tracers: dict[str, str] = {}
    for one in earlier["series"]:
        if not one["heart"]:
            continue
        other = there.get(_key(one))
        if other is None:
            notes.append(f"{one['name']} has nothing of its kind in the later study.")
            continue
        sexes = {str(side["sex"]["value"]) for side in (one, other) if side["sex"]["value"] in ("F", "M")}
        if len(sexes) > 1:
            raise InvalidValue("the two results state different sexes: they are not of one patient")
        matched[one["name"]] = other["name"]
        notes += _differences(one, other)
        tracers[one["name"]] = str(one["tracer"]["value"])
        changes += _changes(
            one["name"], one["heart"]["quantities"], other["heart"]["quantities"], tracer=tracers[one["name"]]
        )
        try:
            sides = ((_place(before), one), (_place(after), other))
            maps.append(change_of_maps(*sides, same_limits=_same_limits(one, other)))
        except MyoscopeError as error:
            without.setdefault(str(error).rstrip("."), []).append(one["name"])
    pairs = {(pair["stress"], pair["rest"]): pair for pair in later["pairs"]}
    for pair in earlier["pairs"]:
        found = pairs.get((matched.get(pair["stress"], ""), matched.get(pair["rest"], "")))
        if found is not None:
            title = f"{pair['stress']} and {pair['rest']}"
            changes += _changes(title, pair["quantities"], found["quantities"], tracer=tracers[pair["stress"]])
    if not changes:
        raise InvalidValue("the two results have no image of the same state, position, correction and gating in common")
    if any(change.change.repeatability is not None for change in changes):
        notes.append(f"Repeatability of flow: {_REPEATABILITY_SOURCE}.")
    notes += [f"There is no map of the change of {', '.join(names)}: {why}." for why, names in without.items()]
    return StudyComparison(tuple(changes), tuple(dict.fromkeys(notes)), tuple(maps))


def write_comparison(comparison: StudyComparison, path: Path, *, overwrite: bool = False) -> None:
    """Store a comparison: its figures alone as a file where ``path`` ends in ``.json``, else all of it as a folder.

    The folder holds the same JSON, a page with the maps, and for each image a folder with its map of the change.

    Raises
    ------
    OutputError
        The path exists (and may not be replaced) or cannot be written.
    """
    if path.suffix.lower() == ".json":
        io.refuse_existing(path, replace=overwrite)
        _write_json(comparison, path)
        return
    with io.atomic_folder(path, replace=overwrite, sign=COMPARISON_FILE) as folder:
        _write_json(comparison, folder / COMPARISON_FILE)
        for one in comparison.maps:
            place = folder / one.of
            place.mkdir()
            io.save(one.change, place / CHANGE_FILE)
            io.save(one.called, place / CALLED_FILE)
        report.write_change_html(_page_of(comparison), folder / PAGE_FILE)


def _write_json(comparison: StudyComparison, path: Path) -> None:
    text = json.dumps(comparison.as_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    with io.atomic_write(path, "w") as file:
        file.write(text)


def _map_as_json(one: MapChange) -> dict[str, Any]:
    """The means of a change; every cell of it is a file of its own."""
    return {
        "of": one.of,
        "unit": one.change.unit,
        "level": _rounded(one.level),
        "level_by": one.level_by,
        "turn_deg": _rounded(one.turn_deg),
        "segments_17": [_rounded(mean) for mean in one.change.segment_means(17).tolist()],
        "segments_20": [_rounded(mean) for mean in one.change.segment_means(20).tolist()],
        "vessels": [_rounded(mean) for mean in one.change.vessel_means().tolist()],
        "better_percent_of_wall": _rounded(one.better_percent),
        "worse_percent_of_wall": _rounded(one.worse_percent),
        "noise_known": one.noise_known,
        "false_discovery_rate": FALSE_DISCOVERY_RATE,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.7g}") + 0.0


def said_of_map(one: MapChange) -> str:
    """What a map of the change says, and what it rests on, in a sentence."""
    means = one.change.vessel_means().tolist()
    vessels = ", ".join(f"{vessel} {_signed(mean)}" for vessel, mean in zip(VESSELS, means, strict=True))
    turn = f"{abs(one.turn_deg):.0f} degree{'' if round(abs(one.turn_deg)) == 1 else 's'}"
    level = f"level by {one.level_by}" + (f", the later map turned back by {turn}" if one.turn_deg else "")
    beyond = (
        f"beyond what repeating a study changes, {one.worse_percent:.0f} % of the wall is worse and "
        f"{one.better_percent:.0f} % better"
    )
    return f"Change over the wall of {one.of} in {one.change.unit}: {vessels} ({level}); {beyond}."


def _signed(value: float) -> str:
    """A mean in whole per cent with its sign, 0 without, a dash where nothing was seen."""
    if not math.isfinite(value):
        return "-"
    return f"{value:+.0f}" if round(value) else "0"


def _page_of(comparison: StudyComparison) -> report.ChangePage:
    names = list(dict.fromkeys(one.of for one in comparison.changes))
    maps = {one.of: one for one in comparison.maps}
    return report.ChangePage(
        tuple(
            report.ChangeSection(
                name,
                None if name not in maps else _maps_shown(maps[name]),
                tuple(
                    report.ChangeRow(
                        one.before,
                        one.after,
                        one.change.change,
                        one.change.beyond_noise,
                        one.change.beyond_repeatability,
                    )
                    for one in comparison.changes
                    if one.of == name
                ),
            )
            for name in names
        ),
        comparison.notes,
        f"myoscope {myoscope.__version__}",
    )


def _maps_shown(one: MapChange) -> report.ChangeMaps:
    return report.ChangeMaps(
        one.state,
        one.before,
        one.after,
        one.change,
        one.called,
        against_normal=one.against_normal,
        said=said_of_map(one),
    )


def table_of(comparison: StudyComparison) -> str:
    """The changes as lines of text; a star where the interval of a change leaves out zero."""
    lines: list[str] = []
    of, untold = "", ""
    for one in comparison.changes:
        if one.of != of:
            of, untold = one.of, ""
            lines.append(of)
        change = one.change.change
        if change.value is None:
            if change.reason == untold:
                lines[-1] = f"{lines[-1].split(':')[0]}; {one.before.name}: not to be told ({untold})"
            else:
                untold = change.reason
                lines.append(f"    {one.before.name}: not to be told ({untold})")
            continue
        untold = ""
        span = "" if change.low is None else f" (95 % {change.low:+.3g} to {change.high:+.3g})"
        star = "* " if one.change.beyond_noise else "  "
        beyond = {True: ", beyond repeatability", False: ", within repeatability", None: ""}
        unit = "" if change.unit == "1" else f" {change.unit}"
        lines.append(
            f"  {star}{one.before.name}: {one.before.value:.3g} to {one.after.value:.3g}{unit}, change "
            f"{change.value:+.3g}{span}{beyond[one.change.beyond_repeatability]}"
        )
    return "\n".join([*lines, *(said_of_map(one) for one in comparison.maps), *comparison.notes])


def _key(series: Mapping[str, Any]) -> tuple[Any, ...]:
    facts = [series[name]["value"] for name in _FACTS]
    facts[1] = facts[1] or "supine"
    return (*facts, series["gated"], series["kind"] == "DYNAMIC PET", series["heart"].get("flow") is not None)


def _place(result: Path) -> Path:
    """The folder of a result that was given as its folder or its file."""
    return result if result.is_dir() else result.parent


def _same_limits(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    limits = [(side["heart"].get("perfusion") or {}).get("limits") for side in (one, other)]
    return limits[0] is not None and _identity(limits[0]) == _identity(limits[1])


def _differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """What differs between two matched images beside the patient."""
    told = [
        f"{one['name']}: {name} was {one[name]['value']} before and is {other[name]['value']} after."
        for name in ("camera", "tracer")
        if one[name]["value"] != other[name]["value"]
    ]
    limits = [(side["heart"].get("perfusion") or {}).get("limits") for side in (one, other)]
    if _identity(limits[0]) != _identity(limits[1]):
        told.append(f"{one['name']}: perfusion was compared with other normal limits before than after.")
    flows = [(side["heart"].get("flow") or {}) for side in (one, other)]
    if all(flows) and (flows[0].get("model") != flows[1].get("model") or _choices_differ(*flows)):
        models = " and ".join(str(flow.get("model")) for flow in flows)
        told.append(f"{one['name']}: blood flow was measured in another way before than after ({models}).")
    if one["heart"]["finder"] != other["heart"]["finder"]:
        told.append(f"{one['name']}: the heart was found in another way before than after.")
    return told


def _identity(limits: Mapping[str, Any] | None) -> tuple[Any, Any] | None:
    """By what limits are the same ones, however their signer is written."""
    return None if limits is None else (limits.get("sha256"), limits.get("kind"))


def _choices_differ(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether curves were read or weighted otherwise, where both results say how; what was fitted is no choice."""
    ours, theirs = ({s for s in flow.get("settings", ()) if not s.startswith(_FITTED)} for flow in (one, other))
    return bool(ours) and bool(theirs) and ours != theirs


def _changes(of: str, before: list[Mapping[str, Any]], after: list[Mapping[str, Any]], *, tracer: str) -> list[Changed]:
    later = {(q["name"], q["unit"]): q for q in after}
    found = []
    for one in before:
        other = later.get((one["name"], one["unit"]))
        if one["group"] not in _GROUPS or other is None or (one["value"] is None and other["value"] is None):
            continue
        pair = _quantity(one), _quantity(other)
        found.append(
            Changed(of, *pair, quantify.serial_change(*pair, repeatability=_repeatability(*pair, tracer=tracer)))
        )
    return found


def _quantity(stored: Mapping[str, Any]) -> Quantity:
    low, high = stored["interval_95"] or (None, None)
    return Quantity(stored["name"], stored["value"], stored["unit"], low, high, reason=stored["reason"] or "")


def _repeatability(before: Quantity, after: Quantity, *, tracer: str) -> float | None:
    """The coefficient in the unit of the figure: published ones are a share of the mean flow, and of rubidium alone."""
    percent = _REPEATABILITY_PERCENT.get(before.name) if tracer.startswith(_RUBIDIUM) else None
    if percent is None or before.value is None or after.value is None:
        return None
    return percent / 100 * 0.5 * (before.value + after.value)
