"""What one file holds: an image, or one slice of it, with what the file tells of it and whose it is."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from myoscope.core import (
    MISSING,
    Flag,
    Projections,
    Series,
    SourceFile,
    Stated,
    UnreadableFile,
    UnsupportedFile,
    Volume,
)
from myoscope.io.ct_read import CtSlice, is_ct, read_ct_slice, refuse_other_ct
from myoscope.io.describe import Description, describe, describe_words
from myoscope.io.dicom_header import Header, load, looks_like_dicom, parse, read_bytes
from myoscope.io.dicom_read import NMImage, is_transmission, read_nm, refuse_other_objects
from myoscope.io.pt_read import PtSlice, is_pt, read_pt_slice, refuse_other_pt

NIFTI_ENDINGS = (".nii", ".nii.gz")
INTERFILE_ENDINGS = (".hdr", ".h33", ".hv", ".hs", ".ihdr")
_HEADER_BYTES = 1 << 20

# What de-identification leaves in place of a name or number: it tells no two patients apart.
_PLACEHOLDERS = frozenset(
    (
        *("anonymous", "anonymized", "anonymised", "anonym", "anonymus", "anon", "anonimo", "anonyme", "noname"),
        *("unknown", "none", "na", "nil", "null", "noid", "nobody", "xxx", "xxxx", "test", "removed"),
        *("deidentified", "0", "00000000"),
    )
)


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells patients apart, compared in memory only; empty where a file does not say."""

    patient_id: str
    name: str
    birth_date: str
    issuer: str
    study_uid: str

    @property
    def says_something(self) -> bool:
        return bool(self.patient_id or self.name or self.study_uid)

    def conflicts(self, other: Identity) -> bool:
        """Whether two files cannot, or cannot be shown to, belong to one patient."""
        pairs = (
            (self.patient_id, other.patient_id),
            (self.name, other.name),
            (self.birth_date, other.birth_date),
            (self.issuer, other.issuer),
        )
        if any(a and b and a != b for a, b in pairs):
            return True
        linked = any(a and a == b for a, b in (*pairs[:2], (self.study_uid, other.study_uid)))
        return not linked


@dataclass(frozen=True, eq=False, slots=True)
class FoundImage:
    """One image with its facts, before it has a name."""

    series: Series
    facts: tuple[str | None, ...]
    order: tuple[Any, ...]
    identity: Identity | None = None
    instance_uid: str = ""
    file_name: str = ""
    flags: tuple[Flag, ...] = field(default=())


@dataclass(frozen=True, eq=False, slots=True)
class SliceFile:
    """One slice of a CT or a PET image before its series is put together."""

    slice: CtSlice | PtSlice
    facts: Description
    source: SourceFile
    identity: Identity
    order: tuple[Any, ...]
    uid: str
    place_uid: str


def read_file(path: Path, told: dict[str, Description]) -> Sequence[FoundImage | SliceFile]:
    """The images of a file, or its slice of one; ``told`` keeps what was told of each series of slices.

    Raises
    ------
    UnreadableFile
        If the file cannot be read, or not as what it claims to be.
    UnsupportedFile
        If it is sound and nothing that is analysed here.
    """
    name = path.name.lower()
    start = start_of(path, _HEADER_BYTES)
    if looks_like_dicom(start):
        return _read_dicom(path, start, told)
    if name.endswith(NIFTI_ENDINGS):
        return [_read_nifti(path)]
    if is_interfile(start):
        return [_read_interfile(path)]
    raise UnsupportedFile(f"{path.name} is neither DICOM, NIfTI nor an Interfile header.")


def is_interfile(start: bytes) -> bool:
    """Whether the first bytes of a file are those of an Interfile header."""
    return b"!INTERFILE" in start[:512].upper()


def start_of(path: Path, n_bytes: int = 512) -> bytes:
    """The first bytes of a file, fewer where it is shorter.

    Raises
    ------
    UnreadableFile
        If it is no ordinary file, not there any more, empty, or may not be read.
    """
    try:
        if not path.is_file():
            raise UnreadableFile(
                f"{path.name} is not an ordinary file." if path.exists() else f"{path.name} has disappeared."
            )
        with path.open("rb") as file:
            start = file.read(n_bytes)
    except PermissionError as error:
        raise UnreadableFile(f"{path.name} may not be read by this user (permission denied).") from error
    except OSError as error:
        raise UnreadableFile(f"{path.name} could not be read: {error.strerror or 'input/output error'}.") from error
    if not start:
        raise UnreadableFile(f"{path.name} is empty (0 bytes); it was probably not copied completely.")
    return start


def _read_dicom(path: Path, beginning: bytes, told: dict[str, Description]) -> Sequence[FoundImage | SliceFile]:
    if len(beginning) == _HEADER_BYTES:
        _refuse_by_beginning(beginning, path)
        loaded = load(path)
    else:
        loaded = load(path, content=beginning)
    header = loaded.header
    uid = header.text("SOPInstanceUID")
    source = SourceFile(loaded.sha256, loaded.n_bytes, hashed(uid))
    if is_ct(header):
        return [_found_slice(header, read_ct_slice(header), source, uid, {})]
    if is_pt(header):
        return [_found_slice(header, read_pt_slice(header), source, uid, told)]
    images = read_nm(header)
    if is_transmission(header):
        images = [_mu_map(image, header) for image in images]
    return [_found_nm(header, image, source, uid) for image in images]


def _refuse_by_beginning(beginning: bytes, path: Path) -> None:
    """Pass over large files of other modalities by their header, without reading them to the end."""
    try:
        header = parse(beginning, path.name, with_pixels=False)
    except UnreadableFile:
        # The header may go on beyond the beginning: the whole file will tell.
        return
    if is_ct(header):
        refuse_other_ct(header)
    elif is_pt(header):
        refuse_other_pt(header)
    else:
        refuse_other_objects(header)


def _found_slice(
    header: Header, one: CtSlice | PtSlice, source: SourceFile, uid: str, told: dict[str, Description]
) -> SliceFile:
    """A slice with what its file tells; a dynamic series of a thousand files tells it a thousand times, read once."""
    facts = told.get(one.series_uid)
    if facts is None:
        facts = describe(header, gated=isinstance(one, PtSlice) and one.series_type == "GATED")
        if one.series_uid:
            told[one.series_uid] = facts
    return SliceFile(
        slice=one,
        facts=facts,
        source=source,
        identity=_identity(header),
        order=(
            header.text("AcquisitionDate") + header.text("AcquisitionTime"),
            header.integer("SeriesNumber") or 0,
            header.integer("InstanceNumber") or 0,
            uid,
        ),
        uid=uid,
        place_uid=header.text("FrameOfReferenceUID"),
    )


def _mu_map(image: NMImage, header: Header) -> NMImage:
    """A transmission reconstruction as an attenuation map; without a unit, it is a picture of one."""
    if not isinstance(image.image, Volume):
        raise UnsupportedFile(
            f"{header.file_name} holds transmission projections, which this version does not reconstruct."
        )
    flags = image.flags
    if image.image.unit != "1/cm":
        flags = (
            *flags,
            Flag(
                "mu_map_unit_not_stated",
                "The attenuation map does not say that its values are in 1/cm; it cannot be used for correction.",
                "warning",
            ),
        )
        unknown = replace(image.image, unit="unknown")
        return NMImage("MU MAP", unknown, flags, image.acquisition, image.window)
    return NMImage("MU MAP", image.image, flags, image.acquisition, image.window)


def _found_nm(header: Header, image: NMImage, source: SourceFile, uid: str) -> FoundImage:
    gated = image.image.gating is not None
    facts = describe(header, gated=gated, window_keV=_first_window(header))
    series = Series(
        name="unnamed",
        kind=image.kind,
        image=image.image,
        state=facts.state,
        corrected=facts.corrected,
        position=facts.position,
        tracer=facts.tracer,
        camera=facts.camera,
        sex=facts.sex,
        age_y=facts.age_y,
        series_uid_sha256=hashed(header.text("SeriesInstanceUID")),
        frame_of_reference_sha256=hashed(header.text("FrameOfReferenceUID")),
        sources=(source,),
        flags=(*image.flags, *facts.flags),
        acquisition=image.acquisition,
    )
    order = (
        header.text("AcquisitionDate") + header.text("AcquisitionTime"),
        header.integer("SeriesNumber") or 0,
        header.integer("InstanceNumber") or 0,
        uid,
        image.window,
    )
    return FoundImage(
        series, facts_in_name(series, image.window), order, _identity(header), f"{uid} {image.window}", header.file_name
    )


def facts_in_name(series: Series, window: str = "") -> tuple[str | None, ...]:
    """The parts of a series' name: what sets it apart from its siblings."""
    position = series.position.value
    if series.kind in ("CT", "MU MAP"):
        return (series.kind, series.state.value, position if position != "supine" else None, window or None)
    return (
        series.state.value or ("image" if isinstance(series.image, Volume) else None),
        "projections" if isinstance(series.image, Projections) else None,
        "dynamic" if series.kind == "DYNAMIC PET" else None,
        "gated" if series.gated else None,
        position if position != "supine" else None,
        {"yes": "ac", "no": "nc"}.get(series.corrected.value or ""),
        window.replace(" keV", "keV").replace(" to ", "to") or None,
    )


def _first_window(header: Header) -> tuple[float, float] | None:
    window = header.first("EnergyWindowInformationSequence")
    limits = window.first("EnergyWindowRangeSequence") if window else None
    if limits is None:
        return None
    low, high = limits.positive("EnergyWindowLowerLimit"), limits.positive("EnergyWindowUpperLimit")
    return None if low is None or high is None else (low, high)


def _identity(header: Header) -> Identity:
    return Identity(
        patient_id=_tidy(header.text("PatientID")),
        name=_tidy(header.text("PatientName")),
        birth_date=_tidy(header.text("PatientBirthDate")),
        issuer=_tidy(header.text("IssuerOfPatientID")),
        study_uid=header.text("StudyInstanceUID"),
    )


def _tidy(text: str) -> str:
    """Identifiers as they are compared: without case, spaces and separators; placeholders count as empty."""
    plain = "".join(c for c in text.casefold() if c.isalnum())
    return "" if plain in _PLACEHOLDERS else plain


def _read_nifti(path: Path) -> FoundImage:
    from myoscope.io.nifti import read_nifti

    volume = read_nifti(path)
    array = np.asarray(volume.array)
    if (
        array.dtype == bool
        or volume.unit == "mask"
        or np.unique(array.ravel()[:: max(array.size // 10_000, 1)]).size < 3
    ):
        raise UnsupportedFile(f"{path.name} holds a mask (at most two values), not an image.")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise UnreadableFile(f"{path.name} holds pixels that are no number (NaN or infinite).")
    return _found_file(path, volume, "NIFTI")


def _read_interfile(path: Path) -> FoundImage:
    from myoscope.io.interfile import read_interfile

    return _found_file(path, read_interfile(path), "INTERFILE")


def _found_file(path: Path, image: Volume | Projections, kind: str) -> FoundImage:
    """A file that names no patient: what is known about it can only come from the words of its name."""
    content = read_bytes(path)
    sha256 = hashlib.sha256(content).hexdigest()
    facts = {what: _of_file_name(path, what) for what in ("state", "corrected", "position")}
    flags = (
        Flag(
            "patient_not_stated",
            "The file names no patient; it was taken to belong to the same patient as the others.",
            "info",
        ),
    )
    series = Series(
        name="unnamed",
        kind=kind,
        image=image,
        state=facts["state"],
        corrected=facts["corrected"],
        position=facts["position"],
        sources=(SourceFile(sha256, len(content)),),
        flags=flags,
    )
    return FoundImage(series, facts_in_name(series), ("", 0, 0, sha256, ""), None, sha256, path.name)


def _of_file_name(path: Path, what: str) -> Stated:
    said = describe_words(path.name.split(".")[0], what)
    if said.value is None:
        return MISSING
    return Stated(said.value, "description", f"{said.evidence} in the file name")


def hashed(identifier: str) -> str:
    """The SHA-256 of an identifier, empty for none: results name series by it, never by the identifier."""
    return hashlib.sha256(identifier.encode()).hexdigest() if identifier else ""
