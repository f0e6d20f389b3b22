"""What is told about a study in words: series, inferences, flags and what could not be done.

Every sentence here may hold text that came from a file; the page escapes it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from myoscope.core import Flag, Projections, Series, SeriesResult, Stated, StudyResult

FACTS: tuple[str, ...] = ("state", "tracer", "position", "corrected", "camera", "sex")
"""Attributes of a series that carry their source."""
FACT_LABELS: Mapping[str, str] = {
    "state": "state",
    "tracer": "tracer",
    "position": "position",
    "corrected": "attenuation-corrected",
    "camera": "camera",
    "sex": "sex",
}
_SEVERITY_ORDER = {"error": 0, "warning": 1, "info": 2}
SEVERITY_WORDS = {"error": "Error", "warning": "Warning", "info": "Note"}


@dataclass(frozen=True, slots=True)
class FlagLine:
    """A quality flag with the parts of the study that it belongs to, each with its own evidence."""

    scopes: tuple[str, ...]
    flag: Flag
    evidence: str

    @property
    def scope(self) -> str:
        return ", ".join(self.scopes)

    @property
    def severity_word(self) -> str:
        return SEVERITY_WORDS[self.flag.severity]


@dataclass(frozen=True, slots=True)
class Inference:
    """A fact about a series that the file does not state outright."""

    scope: str
    fact: str
    value: str
    evidence: str


def flags_of(result: SeriesResult) -> tuple[Flag, ...]:
    """The flags of a series and of its heart, each once."""
    found = (*result.series.flags, *result.flags, *(result.heart.flags if result.heart else ()))
    return tuple(_each_once(found))


def flag_lines(result: StudyResult) -> tuple[FlagLine, ...]:
    """All flags of a study, errors first, in a stable order; series that share a sentence share a line."""
    shared: dict[tuple[str, str, str], list[tuple[str, Flag]]] = {}
    scoped = [("Study", f) for f in _each_once(result.flags)]
    scoped += [(s.series.name, f) for s in result.series for f in flags_of(s)]
    scoped += [(f"{p.stress} and {p.rest}", f) for p in result.pairs for f in _each_once(p.flags)]
    for scope, flag in scoped:
        shared.setdefault((flag.severity, flag.code, flag.message), []).append((scope, flag))
    lines = []
    for members in shared.values():
        scopes = tuple(dict.fromkeys(scope for scope, _ in members))
        told = [(scope, _evidence(flag)) for scope, flag in members if flag.evidence]
        several = len({text for _, text in told}) > 1
        evidence = "; ".join(f"{s}: {t}" for s, t in told) if several else next((t for _, t in told), "")
        lines.append(FlagLine(scopes, members[0][1], evidence))
    return tuple(sorted(lines, key=lambda line: _SEVERITY_ORDER[line.flag.severity]))


def _evidence(flag: Flag) -> str:
    return ", ".join(named_value(key, flag.evidence[key]) for key in sorted(flag.evidence))


def inferences(series: Series) -> tuple[Inference, ...]:
    """What was inferred about a series, and from what."""
    return tuple(
        Inference(series.name, FACT_LABELS[name], stated.value or "", stated.evidence or stated.source)
        for name in FACTS
        if (stated := stated_fact(series, name)).inferred
    )


def stated_fact(series: Series, name: str) -> Stated:
    stated: Stated = getattr(series, name)
    return stated


def describe_series(series: Series) -> tuple[str, ...]:
    """Short facts for the head of the page: tracer, position, correction, gating, camera, grid."""
    is_map = series.kind in ("CT", "MU MAP")
    facts = [] if series.state.value or is_map else ["stress or rest not stated"]
    for name in ("tracer", "position"):
        stated = stated_fact(series, name)
        if stated.value is not None:
            facts.append(stated.value + ("*" if stated.inferred else ""))
    corrected = series.corrected
    if corrected.value in ("yes", "no"):
        star = "*" if corrected.inferred else ""
        facts.append(("attenuation-corrected" if corrected.value == "yes" else "not attenuation-corrected") + star)
    image = series.image
    if not is_map:
        facts.append(f"gated, {image.gating.n_gates} gates" if image.gating else "ungated")
    if series.camera.value:
        facts.append(series.camera.value)
    if isinstance(image, Projections):
        facts.append(f"{image.n_views} projections")
    else:
        size = " × ".join(str(n) for n in image.grid.shape)
        spacing = image.grid.spacing_mm
        same = np.allclose(spacing, spacing[0], atol=0.005)
        mm = f"{spacing[0]:.4g}" if same else " × ".join(f"{s:.4g}" for s in spacing)
        facts.append(f"{size} voxels of {mm}\u00a0mm")
    return tuple(facts)


_UNITS = ("mm", "deg", "mL", "ms", "s", "percent", "counts", "keV")


def named_value(key: str, value: Any) -> str:
    """A piece of evidence in words, the unit behind the number: ``axis_angle_deg`` 12.1 is "axis angle 12.1 deg"."""
    name, _, unit = key.rpartition("_")
    if name and unit in _UNITS:
        return f"{name.replace('_', ' ')} {plain_value(value)} {'%' if unit == 'percent' else unit}"
    return f"{key.replace('_', ' ')} {plain_value(value)}"


def plain_value(value: Any) -> str:
    """Evidence in words: numbers short, lists with commas."""
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (float, np.floating)):
        number = float(value)
        return f"{number:.4g}" if abs(number) < 1000 else f"{number:.0f}"
    if isinstance(value, np.ndarray):
        return plain_value(value.tolist())
    if isinstance(value, (list, tuple)):
        return " / ".join(plain_value(v) for v in value)
    return str(value)


def left_out(result: StudyResult) -> list[str]:
    """What was left out, without names: one sentence for files of the same fate."""
    unsaid = "The file was left out; the program said why when it ran."
    sentences = result.left_out if len(result.left_out) == len(result.skipped) else (unsaid,) * len(result.skipped)
    counted = Counter(sentences)
    return [sentence if n == 1 else f"{n} files alike: {sentence}" for sentence, n in counted.items()]


def _each_once(flags: Iterable[Flag]) -> list[Flag]:
    seen = {(f.code, f.severity, f.message, repr(f.evidence)): f for f in flags}
    return list(seen.values())
