"""A patient's study: image series with what is known about each, and how it is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from myoscope.core.errors import InvalidValue
from myoscope.core.volume import Projections, Volume

Source = Literal["code", "header", "description", "assumed", "made", "missing"]
Severity = Literal["info", "warning", "error"]
_SEVERITIES = ("info", "warning", "error")


@dataclass(frozen=True, slots=True)
class Stated:
    """A fact about a series and where it comes from.

    ``source`` is ``code`` (a coded value), ``header`` (a plain attribute), ``description`` (inferred from
    free text), ``assumed`` (inferred from something else, named in ``evidence``), ``made`` (known because the image was
    made here) or ``missing`` (value None).
    """

    value: str | None
    source: Source
    evidence: str = ""

    def __post_init__(self) -> None:
        if (self.value is None) != (self.source == "missing"):
            raise InvalidValue(f"a fact is missing exactly when it has no value, got {self.value!r} from {self.source}")

    @property
    def inferred(self) -> bool:
        return self.source in ("description", "assumed")

    def __str__(self) -> str:
        if self.value is None:
            return "not stated"
        return f"{self.value} (inferred from {self.evidence})" if self.inferred else self.value


MISSING = Stated(None, "missing")


@dataclass(frozen=True, slots=True)
class Flag:
    """Something a reader should know about a result, with its evidence as plain numbers or words."""

    code: str
    message: str
    severity: Severity = "warning"
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.severity not in _SEVERITIES:
            raise InvalidValue(f"severity is one of {', '.join(_SEVERITIES)}, not {self.severity!r}")
        object.__setattr__(self, "evidence", dict(self.evidence))


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One input file by its content, never by its name (names may identify the patient)."""

    sha256: str
    n_bytes: int
    sop_instance_uid_sha256: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class Series:
    """One image series: a volume or projections, and what is known about it.

    ``kind`` is the NM image type (``TOMO``, ``GATED TOMO``, ``RECON TOMO``, ``RECON GATED TOMO``), ``NIFTI``,
    ``INTERFILE``, ``CT`` (in HU), or ``MU MAP`` (attenuation in 1/cm). ``state`` is stress or rest; ``gated``,
    ``corrected`` (attenuation-corrected: yes or no), ``position`` (supine, prone, upright), ``tracer``, ``camera``,
    ``sex`` likewise; ``age_y`` in whole years, None if not stated. ``name`` is a short file-safe label without
    identifiers, unique within the study.
    """

    name: str
    kind: str
    image: Volume | Projections
    state: Stated = MISSING
    corrected: Stated = MISSING
    position: Stated = MISSING
    tracer: Stated = MISSING
    camera: Stated = MISSING
    sex: Stated = MISSING
    age_y: float | None = None
    series_uid_sha256: str = ""
    frame_of_reference_sha256: str = ""
    sources: tuple[SourceFile, ...] = ()
    flags: tuple[Flag, ...] = ()
    acquisition: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.name or not all(c.isalnum() or c in "-_" for c in self.name):
            raise InvalidValue(f"a series name is letters, digits, - and _ (it becomes a folder), got {self.name!r}")
        if self.age_y is not None and not 0 <= self.age_y < 130:
            raise InvalidValue(f"{self.name}: nobody is {self.age_y:g} years old")
        object.__setattr__(self, "sources", tuple(self.sources))
        object.__setattr__(self, "flags", tuple(self.flags))
        object.__setattr__(self, "acquisition", dict(self.acquisition))

    @property
    def gated(self) -> bool:
        return self.image.gating is not None

    def __repr__(self) -> str:
        facts = f"state {self.state}, corrected {self.corrected}, position {self.position}, tracer {self.tracer}"
        return f"Series({self.name}: {self.kind}, {facts}, {self.image!r})"


@dataclass(frozen=True, eq=False, slots=True)
class Study:
    """All series of one patient's study.

    ``patient_key`` tells patients apart without naming them: a salted hash of the identifiers, valid within
    one run of the program only.
    """

    patient_key: str
    series: tuple[Series, ...]
    flags: tuple[Flag, ...] = ()

    def __post_init__(self) -> None:
        names = [s.name for s in self.series]
        if len(set(names)) != len(names):
            raise InvalidValue(f"series names must differ within a study, got {names}")
        object.__setattr__(self, "series", tuple(self.series))
        object.__setattr__(self, "flags", tuple(self.flags))

    def __repr__(self) -> str:
        return f"Study({len(self.series)} series: {', '.join(s.name for s in self.series)})"
