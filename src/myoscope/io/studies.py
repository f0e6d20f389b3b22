"""From paths to one patient's study: what is there, whose it is, what was left out and why."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from myoscope.core import (
    MISSING,
    Flag,
    MixedPatients,
    MyoscopeError,
    NothingToAnalyse,
    Projections,
    Series,
    SourceFile,
    Stated,
    Study,
    UnreadableFile,
    UnsupportedFile,
    Volume,
)
from myoscope.io.ct_read import CtSlice, is_ct, read_ct_slice, refuse_other_ct, stack_ct
from myoscope.io.describe import Description, describe, describe_words, name_series
from myoscope.io.dicom_header import Header, load, looks_like_dicom, many_files, parse, read_bytes
from myoscope.io.dicom_read import NMImage, is_transmission, read_nm, refuse_other_objects
from myoscope.io.pt_read import PtSlice, is_pt, nuclide_of_half_life, read_pt_slice, refuse_other_pt, stack_pt

_NIFTI_ENDINGS = (".nii", ".nii.gz")
_INTERFILE_ENDINGS = (".hdr", ".h33", ".hv", ".hs", ".ihdr")
_RESULT_FILES = {"result.json", "report.html"}
TRUTH_FILE, TRUTH_FOLDER = "truth.json", "truth"
"""What lies beside the images of a virtual patient and is no input of an analysis."""
_HEADER_BYTES = 1 << 20
_FILES_WORTH_SHARING = 400  # handing half of fewer to another process takes longer than reading them

# What de-identification leaves in place of a name or number: it tells no two patients apart.
_PLACEHOLDERS = frozenset(
    (
        *("anonymous", "anonymized", "anonymised", "anonym", "anonymus", "anon", "anonimo", "anonyme", "noname"),
        *("unknown", "none", "na", "nil", "null", "noid", "nobody", "xxx", "xxxx", "test", "removed"),
        *("deidentified", "0", "00000000"),
    )
)


@dataclass(frozen=True, eq=False, slots=True)
class ReadResult:
    """What was found: one patient's study, a sentence for each file that was left out, and flags.

    Files are named by their base name in ``skipped``, which is for the person at the terminal; ``left_out`` says the
    same of each without any name, for results and reports.
    """

    study: Study
    skipped: tuple[str, ...] = ()
    flags: tuple[Flag, ...] = ()
    left_out: tuple[str, ...] = ()


def read_paths(
    paths: Sequence[Path | str],
    *,
    progress: Callable[[int, int], None] | None = None,
    pool: Executor | None = None,
) -> ReadResult:
    """Read files and folders (all levels down) as one patient's study.

    DICOM NM, PET and CT, NIfTI and Interfile are read; what cannot be used is left out with its reason. A CT's slices
    become one series of kind ``CT`` in HU, those of a PET image one of kind ``PET``, ``GATED PET`` or ``DYNAMIC PET``;
    an attenuation map, one of kind ``MU MAP``. The order of ``paths`` does not matter. ``progress`` is told how many of
    how many files are done. A process of the ``pool`` reads half of very many files, of which ``progress`` is not told.

    Raises
    ------
    NothingToAnalyse
        If no file can be used; the sentence says why.
    MixedPatients
        If the files belong to more than one patient.
    UnreadableFile
        If a path does not exist, a folder may not be read, or two different images share one identifier.
    """
    files, expanded, n_results = _list_files([Path(p) for p in paths])
    if pool is None or len(files) < _FILES_WORTH_SHARING:
        found, slices, skipped = _read_files(files, expanded, progress)
    else:
        half = (len(files) + 1) // 2
        others = pool.submit(_read_files, files[half:], expanded)
        ours = _read_files(files[:half], expanded, progress)
        theirs = others.result()
        found, slices, skipped = ours[0] + theirs[0], ours[1] + theirs[1], ours[2] + theirs[2]
        slices = _told_once(slices)
    if progress:
        progress(len(files), len(files))
    _refuse_mixed_patients(
        [*((f.identity, f.series.sources[0]) for f in found), *((f.identity, f.source) for f in slices)]
    )
    stacked, no_stack = _stack_slices(slices)
    skipped += no_stack
    found, flags = _drop_duplicates([*found, *stacked])
    if not found:
        raise NothingToAnalyse(_nothing(files, skipped, n_results))
    if n_results:
        flags.append(
            Flag(
                "earlier_results_passed_over",
                f"{n_results} folders hold results of earlier analyses; the images in them were not read.",
                "info",
                {"n_folders": n_results},
            )
        )
    return ReadResult(_study(found), tuple(skipped), tuple(flags), _without_names(skipped, files))


def _told_once(slices: Sequence[_SliceFile]) -> list[_SliceFile]:
    """The slices of each PET series with the facts of the first of them, as one process would have read them."""
    first: dict[str, Description] = {}
    return [
        replace(one, facts=first.setdefault(one.slice.series_uid, one.facts))
        if isinstance(one.slice, PtSlice) and one.slice.series_uid
        else one
        for one in slices
    ]


def _read_files(
    files: Sequence[Path], expanded: Collection[Path], progress: Callable[[int, int], None] | None = None
) -> tuple[list[_Found], list[_SliceFile], list[str]]:
    """What each file holds, in order, and a sentence for each that holds nothing of use."""
    skipped: list[str] = []
    found: list[_Found] = []
    slices: list[_SliceFile] = []
    told: dict[str, Description] = {}
    with many_files():
        for n, path in enumerate(files):
            if progress:
                progress(n, len(files))
            try:
                for one in _read_file(path, told):
                    (slices if isinstance(one, _SliceFile) else found).append(one)  # type: ignore[arg-type]
            except MyoscopeError as error:
                if not (path in expanded and _is_bystander(path)):
                    skipped.append(_sentence(error))
    return found, slices, skipped


def read_volume(path: Path | str) -> Volume:
    """The reconstructed volume of one DICOM NM or NIfTI file.

    Raises
    ------
    UnreadableFile
        If the file is damaged, incomplete or not what it claims to be.
    UnsupportedFile
        If it holds projections, several volumes, or something else.
    """
    path = Path(path)
    if path.name.lower().endswith(_NIFTI_ENDINGS):
        from myoscope.io.nifti import read_nifti

        return read_nifti(path)
    images = read_nm(load(path).header)
    if len(images) > 1:
        raise UnsupportedFile(f"{path.name} holds {len(images)} volumes (energy windows); use read_paths.")
    image = images[0].image
    if not isinstance(image, Volume):
        raise UnsupportedFile(f"{path.name} holds projections, not a reconstructed volume.")
    return image


def read_projections(path: Path | str) -> Projections:
    """The projections of one DICOM NM file or Interfile header.

    Raises
    ------
    UnreadableFile
        If the file is damaged, incomplete or not what it claims to be.
    UnsupportedFile
        If it holds a reconstructed volume or something else.
    """
    path = Path(path)
    if _is_interfile(_start_of(path)):
        from myoscope.io.interfile import read_interfile

        return read_interfile(path)
    image = read_nm(load(path).header)[0].image
    if not isinstance(image, Projections):
        raise UnsupportedFile(f"{path.name} holds a reconstructed volume, not projections.")
    return image


@dataclass(frozen=True, slots=True)
class _Identity:
    """What tells patients apart, compared in memory only; empty where a file does not say."""

    patient_id: str
    name: str
    birth_date: str
    issuer: str
    study_uid: str

    @property
    def says_something(self) -> bool:
        return bool(self.patient_id or self.name or self.study_uid)

    def conflicts(self, other: _Identity) -> bool:
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
class _Found:
    """One image with its facts, before it has a name."""

    series: Series
    facts: tuple[str | None, ...]
    order: tuple[Any, ...]
    identity: _Identity | None = None
    instance_uid: str = ""
    file_name: str = ""
    flags: tuple[Flag, ...] = field(default=())


@dataclass(frozen=True, eq=False, slots=True)
class _SliceFile:
    """One slice of a CT or a PET image before its series is put together."""

    slice: CtSlice | PtSlice
    facts: Description
    source: SourceFile
    identity: _Identity
    order: tuple[Any, ...]
    uid: str
    place_uid: str


def _list_files(paths: Sequence[Path]) -> tuple[list[Path], set[Path], int]:
    """All files below the paths, each once, in a stable order; which of them came out of a folder; and how many
    folders hold results of earlier analyses, whose images are no input.
    """
    files: dict[Path, None] = {}
    expanded: set[Path] = set()
    n_results = 0

    def refuse(error: OSError) -> None:
        folder = Path(str(error.filename)).name or "folder"
        raise UnreadableFile(
            f"The folder {folder} cannot be read: {error.strerror or 'input/output error'}."
        ) from error

    for path in paths:
        try:
            is_folder = path.is_dir()
            exists = is_folder or path.exists()
        except OSError as error:
            raise UnreadableFile(f"{path.name} cannot be reached: {error.strerror or 'error'}.") from error
        if not exists:
            raise UnreadableFile(f"{path} does not exist.")
        if not is_folder:
            files[path.absolute()] = None
            continue
        for folder, folders, names in os.walk(path, onerror=refuse):
            if set(names) >= _RESULT_FILES:
                folders.clear()
                n_results += 1
                continue
            if TRUTH_FILE in names:
                names = [name for name in names if name != TRUTH_FILE]
                folders[:] = [name for name in folders if name != TRUTH_FOLDER]
            folders.sort()
            for name in sorted(names):
                file = (Path(folder) / name).absolute()
                files[file] = None
                expanded.add(file)
    return list(files), expanded, n_results


def _is_bystander(path: Path) -> bool:
    """Files that lie in image folders as a matter of course and are no loss: indices, system files, notes."""
    name = path.name.lower()
    if name.startswith(".") or name in ("dicomdir", "thumbs.db", "desktop.ini", "lockfile", "version"):
        return True
    # The data beside an Interfile header are read through the header.
    ending = path.suffix.lower()
    if ending in (".dcm", ".gz", ".nii", *_INTERFILE_ENDINGS):
        return False
    return any(path.with_suffix(header).exists() for header in _INTERFILE_ENDINGS)


def _read_file(path: Path, told: dict[str, Description]) -> Sequence[_Found | _SliceFile]:
    name = path.name.lower()
    start = _start_of(path, _HEADER_BYTES)
    if looks_like_dicom(start):
        return _read_dicom(path, start, told)
    if name.endswith(_NIFTI_ENDINGS):
        return [_read_nifti(path)]
    if _is_interfile(start):
        return [_read_interfile(path)]
    raise UnsupportedFile(f"{path.name} is neither DICOM, NIfTI nor an Interfile header.")


def _is_interfile(start: bytes) -> bool:
    return b"!INTERFILE" in start[:512].upper()


def _start_of(path: Path, n_bytes: int = 512) -> bytes:
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


def _read_dicom(path: Path, beginning: bytes, told: dict[str, Description]) -> Sequence[_Found | _SliceFile]:
    if len(beginning) == _HEADER_BYTES:
        _refuse_by_beginning(beginning, path)
        loaded = load(path)
    else:
        loaded = load(path, content=beginning)
    header = loaded.header
    uid = header.text("SOPInstanceUID")
    source = SourceFile(loaded.sha256, loaded.n_bytes, _hash(uid))
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
) -> _SliceFile:
    """A slice with what its file tells; a dynamic series of a thousand files tells it a thousand times, read once."""
    facts = told.get(one.series_uid)
    if facts is None:
        facts = describe(header, gated=isinstance(one, PtSlice) and one.series_type == "GATED")
        if one.series_uid:
            told[one.series_uid] = facts
    return _SliceFile(
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


def _stack_slices(files: Sequence[_SliceFile]) -> tuple[list[_Found], list[str]]:
    """One series per CT or PET image; slices that are copies of another are taken once."""
    kept: dict[str, _SliceFile] = {}
    for one in sorted(files, key=lambda f: f.order):
        twin = kept.setdefault(one.uid if one.uid.strip() else one.source.sha256, one)
        if not np.array_equal(twin.slice.values, one.slice.values):
            raise _two_images(twin.slice.file_name, one.slice.file_name)
    ordered = list(kept.values())
    found: list[_Found] = []
    left_out: list[str] = []
    ct = [(n, f.slice) for n, f in enumerate(ordered) if isinstance(f.slice, CtSlice)]
    ct_stacks, without = stack_ct([one for _, one in ct])
    left_out += without
    for stack in ct_stacks:
        members = [ordered[ct[n][0]] for n in stack.members]
        found.append(_found_stack("CT", stack.volume, members, stack.flags, stack.acquisition))
    pt = [(n, f.slice) for n, f in enumerate(ordered) if isinstance(f.slice, PtSlice)]
    pt_stacks, without = stack_pt([one for _, one in pt])
    left_out += without
    # Times between series matter, times of day would tell of the patient.
    first_s = min((pet.began_s for pet in pt_stacks if np.isfinite(pet.began_s)), default=np.nan)
    for pet in pt_stacks:
        members = [ordered[pt[n][0]] for n in pet.members]
        after = {"began_after_first_s": round(pet.began_s - first_s, 1)} if np.isfinite(pet.began_s) else {}
        found.append(_found_stack(pet.kind, pet.volume, members, pet.flags, {**pet.acquisition, **after}))
    return found, [_sentence_of(text) for text in left_out]


def _found_stack(
    kind: str,
    volume: Volume,
    members: Sequence[_SliceFile],
    flags: Sequence[Flag],
    acquisition: dict[str, Any],
) -> _Found:
    first = min(members, key=lambda f: f.order)
    tracer = MISSING
    if kind != "CT":
        tracer = _tracer_by_half_life(first.facts.tracer, acquisition.get("half_life_s"))
    series = Series(
        name="unnamed",
        kind=kind,
        image=volume,
        state=first.facts.state,
        corrected=MISSING if kind == "CT" else first.facts.corrected,
        position=first.facts.position,
        tracer=tracer,
        camera=first.facts.camera,
        sex=first.facts.sex,
        age_y=first.facts.age_y,
        series_uid_sha256=_hash(first.slice.series_uid),
        frame_of_reference_sha256=_hash(first.place_uid),
        sources=tuple(one.source for one in members),
        flags=(*flags, *first.facts.flags),
        acquisition=acquisition,
    )
    key = f"{kind} {' '.join(sorted(one.uid or one.source.sha256 for one in members))}"
    order = (*first.order[:3], str(first.order[3]), "")
    return _Found(series, _facts(series), order, first.identity, key, first.slice.file_name)


def _tracer_by_half_life(stated: Stated, half_life_s: float | None) -> Stated:
    """The tracer as stated, or the nuclide that decays as the file says."""
    if stated.value is not None or half_life_s is None:
        return stated
    nuclide = nuclide_of_half_life(half_life_s)
    return MISSING if nuclide is None else Stated(nuclide, "assumed", f"the half-life of {half_life_s:g} s")


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


def _found_nm(header: Header, image: NMImage, source: SourceFile, uid: str) -> _Found:
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
        series_uid_sha256=_hash(header.text("SeriesInstanceUID")),
        frame_of_reference_sha256=_hash(header.text("FrameOfReferenceUID")),
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
    return _Found(
        series, _facts(series, image.window), order, _identity(header), f"{uid} {image.window}", header.file_name
    )


def _facts(series: Series, window: str = "") -> tuple[str | None, ...]:
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


def _identity(header: Header) -> _Identity:
    return _Identity(
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


def _read_nifti(path: Path) -> _Found:
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


def _read_interfile(path: Path) -> _Found:
    from myoscope.io.interfile import read_interfile

    return _found_file(path, read_interfile(path), "INTERFILE")


def _found_file(path: Path, image: Volume | Projections, kind: str) -> _Found:
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
    return _Found(series, _facts(series), ("", 0, 0, sha256, ""), None, sha256, path.name)


def _of_file_name(path: Path, what: str) -> Stated:
    said = describe_words(path.name.split(".")[0], what)
    if said.value is None:
        return MISSING
    return Stated(said.value, "description", f"{said.evidence} in the file name")


def _refuse_mixed_patients(stated: Sequence[tuple[_Identity | None, SourceFile]]) -> None:
    # A file that says nothing at all about its patient belongs to no other file than its copies.
    distinct = {
        (identity, "" if identity.says_something else source.sha256): identity
        for identity, source in stated
        if identity is not None
    }
    patients: list[list[_Identity]] = []
    for identity in distinct.values():
        home = next((p for p in patients if not any(identity.conflicts(other) for other in p)), None)
        if home is None:
            patients.append([identity])
        else:
            home.append(identity)
    if len(patients) > 1:
        raise MixedPatients(
            f"The files belong to {len(patients)} patients (their patient identifiers differ, or without any, their "
            "studies); give the files of one patient at a time."
        )


def _drop_duplicates(found: Sequence[_Found]) -> tuple[list[_Found], list[Flag]]:
    """Each image once. The same identifier on two different images is an error: one of them is not what it says."""
    kept: dict[str, _Found] = {}
    n_copies = 0
    for one in sorted(found, key=lambda f: f.order):
        # A file without an identifier is known by its content.
        key = one.instance_uid if one.instance_uid.strip() else one.series.sources[0].sha256
        twin = kept.get(key)
        if twin is None:
            kept[key] = one
        elif _same_image(one.series.image, twin.series.image):
            n_copies += 1
        else:
            raise _two_images(twin.file_name, one.file_name)
    flags = []
    if n_copies:
        flags.append(
            Flag(
                "duplicates_left_out",
                f"{n_copies} files are copies of others and were read once.",
                "info",
                {"n_copies": n_copies},
            )
        )
    return list(kept.values()), flags


def _two_images(one: str, other: str) -> UnreadableFile:
    return UnreadableFile(
        f"{one} and {other} carry the same identifier (SOP Instance UID) but different images; one of them was "
        "changed. Remove the wrong one."
    )


def _same_image(one: Volume | Projections, other: Volume | Projections) -> bool:
    if isinstance(one, Volume) and isinstance(other, Volume):
        return one.grid == other.grid and np.array_equal(one.array, other.array)
    if isinstance(one, Projections) and isinstance(other, Projections):
        return np.array_equal(one.counts, other.counts) and np.array_equal(one.angle_deg, other.angle_deg)
    return False


def _study(found: Sequence[_Found]) -> Study:
    """The study with a unique name for each series; the same files give the same names in any order."""
    ordered = sorted(found, key=lambda f: (name_series(f.facts), f.order))
    taken: dict[str, int] = {}
    series = []
    for one in ordered:
        name = name_series(one.facts)
        taken[name] = taken.get(name, 0) + 1
        series.append(replace(one.series, name=name if taken[name] == 1 else f"{name}-{taken[name]}"))
    identity = next((f.identity for f in found if f.identity is not None), None)
    flags = []
    sexes = {s.sex.value for s in series if s.sex.value in ("M", "F")}
    if len(sexes) > 1:
        flags.append(Flag("sex_contradictory", "The files of this patient name both sexes.", "warning"))
    return Study(_patient_key(identity), tuple(series), tuple(flags))


def _patient_key(identity: _Identity | None) -> str:
    if identity is None:
        return "patient-not-stated"
    told = (identity.patient_id, identity.name, identity.birth_date)
    parts = told if any(told[:2]) else ("study", identity.study_uid)
    return hashlib.sha256(_salt() + "\0".join(parts).encode()).hexdigest()[:32]


@lru_cache(maxsize=1)
def _salt() -> bytes:
    return secrets.token_bytes(16)


def _hash(identifier: str) -> str:
    return hashlib.sha256(identifier.encode()).hexdigest() if identifier else ""


def _sentence(error: MyoscopeError) -> str:
    return _sentence_of(str(error))


def _sentence_of(words: str) -> str:
    text = " ".join(words.split())
    return text if text.endswith(".") else f"{text}."


def _without_names(sentences: Sequence[str], files: Sequence[Path]) -> tuple[str, ...]:
    """The same sentences without the name of any file: names may identify the patient."""
    names = sorted({path.name for path in files}, key=len, reverse=True)
    parts = {part for path in files for part in (path.stem, path.parent.name) if len(part) > 3}
    nameless = []
    for sentence in sentences:
        for name in names:
            sentence = sentence.replace(name, "The file")
        named = any(part in sentence for part in parts) or re.search(r"[\\/]\w", sentence)
        nameless.append("The file was left out; the program said why when it ran." if named else sentence)
    return tuple(nameless)


def _nothing(files: Sequence[Path], skipped: Sequence[str], n_results: int) -> str:
    if not files and n_results:
        return "There is no image to read: the folder holds the result of an earlier analysis."
    if not files:
        return "There is no file to read: the folder is empty."
    if len(skipped) == 1 and len(files) == 1:
        return skipped[0]
    if not skipped:
        return f"None of the {len(files)} files is an image that can be analysed."
    rest = f" (and {len(skipped) - 1} more files that cannot be used)" if len(skipped) > 1 else ""
    return f"Nothing can be analysed: {skipped[0].rstrip('.')}{rest}."
