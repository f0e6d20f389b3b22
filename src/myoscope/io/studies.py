"""From paths to one patient's study: what is there, whose it is, what was left out and why."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
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
from myoscope.io.ct_read import CtSlice, stack_ct
from myoscope.io.describe import Description, name_series
from myoscope.io.dicom_header import load, many_files
from myoscope.io.dicom_read import read_nm
from myoscope.io.one_file import (
    INTERFILE_ENDINGS,
    NIFTI_ENDINGS,
    FoundImage,
    Identity,
    SliceFile,
    facts_in_name,
    hashed,
    is_interfile,
    read_file,
    start_of,
)
from myoscope.io.pt_read import PtSlice, nuclide_of_half_life, stack_pt

_RESULT_FILES = {"result.json", "report.html"}
TRUTH_FILE, TRUTH_FOLDER = "truth.json", "truth"
"""What lies beside the images of a virtual patient and is no input of an analysis."""
_FILES_WORTH_SHARING = 400  # handing half of fewer to another process takes longer than reading them


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


def _told_once(slices: Sequence[SliceFile]) -> list[SliceFile]:
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
) -> tuple[list[FoundImage], list[SliceFile], list[str]]:
    """What each file holds, in order, and a sentence for each that holds nothing of use."""
    skipped: list[str] = []
    found: list[FoundImage] = []
    slices: list[SliceFile] = []
    told: dict[str, Description] = {}
    with many_files():
        for n, path in enumerate(files):
            if progress:
                progress(n, len(files))
            try:
                for one in read_file(path, told):
                    if isinstance(one, SliceFile):
                        slices.append(one)
                    else:
                        found.append(one)
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
    if path.name.lower().endswith(NIFTI_ENDINGS):
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
    if is_interfile(start_of(path)):
        from myoscope.io.interfile import read_interfile

        return read_interfile(path)
    image = read_nm(load(path).header)[0].image
    if not isinstance(image, Projections):
        raise UnsupportedFile(f"{path.name} holds a reconstructed volume, not projections.")
    return image


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
    if ending in (".dcm", ".gz", ".nii", *INTERFILE_ENDINGS):
        return False
    return any(path.with_suffix(header).exists() for header in INTERFILE_ENDINGS)


def _stack_slices(files: Sequence[SliceFile]) -> tuple[list[FoundImage], list[str]]:
    """One series per CT or PET image; slices that are copies of another are taken once."""
    kept: dict[str, SliceFile] = {}
    for one in sorted(files, key=lambda f: f.order):
        twin = kept.setdefault(one.uid if one.uid.strip() else one.source.sha256, one)
        if not np.array_equal(twin.slice.values, one.slice.values):
            raise _two_images(twin.slice.file_name, one.slice.file_name)
    ordered = list(kept.values())
    found: list[FoundImage] = []
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
    members: Sequence[SliceFile],
    flags: Sequence[Flag],
    acquisition: dict[str, Any],
) -> FoundImage:
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
        series_uid_sha256=hashed(first.slice.series_uid),
        frame_of_reference_sha256=hashed(first.place_uid),
        sources=tuple(one.source for one in members),
        flags=(*flags, *first.facts.flags),
        acquisition=acquisition,
    )
    key = f"{kind} {' '.join(sorted(one.uid or one.source.sha256 for one in members))}"
    order = (*first.order[:3], str(first.order[3]), "")
    return FoundImage(series, facts_in_name(series), order, first.identity, key, first.slice.file_name)


def _tracer_by_half_life(stated: Stated, half_life_s: float | None) -> Stated:
    """The tracer as stated, or the nuclide that decays as the file says."""
    if stated.value is not None or half_life_s is None:
        return stated
    nuclide = nuclide_of_half_life(half_life_s)
    return MISSING if nuclide is None else Stated(nuclide, "assumed", f"the half-life of {half_life_s:g} s")


def _refuse_mixed_patients(stated: Sequence[tuple[Identity | None, SourceFile]]) -> None:
    # A file that says nothing at all about its patient belongs to no other file than its copies.
    distinct = {
        (identity, "" if identity.says_something else source.sha256): identity
        for identity, source in stated
        if identity is not None
    }
    patients: list[list[Identity]] = []
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


def _drop_duplicates(found: Sequence[FoundImage]) -> tuple[list[FoundImage], list[Flag]]:
    """Each image once. The same identifier on two different images is an error: one of them is not what it says."""
    kept: dict[str, FoundImage] = {}
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


def _study(found: Sequence[FoundImage]) -> Study:
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


def _patient_key(identity: Identity | None) -> str:
    if identity is None:
        return "patient-not-stated"
    told = (identity.patient_id, identity.name, identity.birth_date)
    parts = told if any(told[:2]) else ("study", identity.study_uid)
    return hashlib.sha256(_salt() + "\0".join(parts).encode()).hexdigest()[:32]


@lru_cache(maxsize=1)
def _salt() -> bytes:
    return secrets.token_bytes(16)


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
