"""Which normal limits a heart was compared with, in words, or why none fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from myoscope.core import HeartResult, LimitsUsed, StudyResult
from myoscope.core.limits import ANY, AS_STORED, StudyKind

_MADE_UP = ("virtual", "simulated", "synthetic")
_WHOSE = {True: "virtual patients, not people", False: "normal studies"}


@dataclass(frozen=True, slots=True)
class LimitsLine:
    """Limits of some series: one sentence, who made them, and whether they come from virtual patients."""

    series: tuple[str, ...]
    sentence: str
    detail: str = ""
    virtual: bool = False


def limits_lines(result: StudyResult) -> tuple[LimitsLine, ...]:
    """A line for each set of limits, or reason for none, with the series that it concerns."""
    shared: dict[tuple[str, str, bool], list[str]] = {}
    for one in result.series:
        if one.heart is not None:
            shared.setdefault(_line(one.heart), []).append(one.series.name)
    return tuple(LimitsLine(tuple(names), *line) for line, names in shared.items())


def limits_note(hearts: Sequence[HeartResult]) -> str:
    """What a reader of the maps must know about their limits, in a sentence or two."""
    used = [heart.limits for heart in hearts if heart.limits is not None]
    if not used:
        return "No normal limits were used (see Normal limits): what is abnormal is not marked." if hearts else ""
    counts = sorted({limits.n for limits in used})
    virtual = any(from_virtual_patients(limits) for limits in used)
    how_many = " and ".join(str(n) for n in counts)
    return f"Abnormal is what lies below normal limits of {how_many} {_WHOSE[virtual]} (see Normal limits)."


def from_virtual_patients(limits: LimitsUsed) -> bool:
    """Whether the provenance says that the normal studies were simulated."""
    return any(word in limits.provenance.lower() for word in _MADE_UP)


def _line(heart: HeartResult) -> tuple[str, str, bool]:
    limits = heart.limits
    if limits is None:
        why = "; ".join(heart.no_limits)
        sentence = f"no normal limits fit: {why}" if why else "not compared with normal limits"
        return f"{sentence}. Perfusion is relative to the heart's own maximum.", "", False
    virtual = from_virtual_patients(limits)
    signed = f"signed by {limits.signed_by}" if limits.signed_by else "not signed"
    detail = f"{limits.provenance}; SHA-256 {limits.sha256[:12]}…; {signed}."
    return f"limits of {limits.n} {_WHOSE[virtual]}: {kind_in_words(limits.kind)}.", detail, virtual


def kind_in_words(kind: StudyKind) -> str:
    """For whom limits hold."""
    sex = {"F": "women", "M": "men", ANY: "women and men"}.get(kind.sex, f"sex {kind.sex}")
    stated = [(kind.tracer, "any tracer"), (kind.camera, "any camera"), (kind.position, "any position")]
    words = [sex, *(instead if value == ANY else value for value, instead in stated)]
    words.append("stress or rest" if kind.state == ANY else kind.state)
    words.append("attenuation-corrected" if kind.corrected else "not attenuation-corrected")
    if kind.processing not in (ANY, AS_STORED):
        words.append(kind.processing)
    return ", ".join(words)
