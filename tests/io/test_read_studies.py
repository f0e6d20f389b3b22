"""One patient's study out of files and folders: nothing mixed, nothing twice, nothing left out in silence."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nm_factory as make
import numpy as np
import pytest
from pydicom.dataset import Dataset

from myoscope.core import (
    Grid,
    MixedPatients,
    MyoscopeError,
    NothingToAnalyse,
    Projections,
    UnreadableFile,
    Volume,
)
from myoscope.io import ReadResult, one_file, read_paths, read_projections, read_volume, write_nifti
from myoscope.io.interfile import write_interfile


def _two_days(folder: Path) -> list[Path]:
    rest = make.nm(make.counts(5, 8, 7, seed=5), (make.SLICE,), ImageID="Rest", seed_uid="rest")
    return [
        make.write(make.recon(seed_uid="stress"), folder / "b.dcm"),
        make.write(rest, folder / "a.dcm"),
        make.write(make.gated_recon(ImageID="Stress gate", seed_uid="gated"), folder / "c"),
        make.write(make.tomo(ImageID="Stress raw", seed_uid="tomo"), folder / "d.img"),
    ]


def test_a_folder_gives_all_series_of_the_patient_with_telling_names(tmp_path: Path) -> None:
    inner = tmp_path / "study" / "deep"
    inner.mkdir(parents=True)
    _two_days(inner)
    found = read_paths([tmp_path / "study"])
    assert [s.name for s in found.study.series] == ["rest", "stress", "stress-gated", "stress-projections"]
    assert found.skipped == ()
    assert found.study.series[2].gated
    assert found.study.series[0].sex.value == "F"


def test_names_do_not_depend_on_the_order_of_files(tmp_path: Path) -> None:
    paths = _two_days(tmp_path)
    paths.append(make.write(make.recon(seed_uid="again", SeriesNumber=9), tmp_path / "z.dcm"))
    forward, backward = read_paths(paths), read_paths(paths[::-1])

    def named(found: ReadResult) -> dict[str, str]:
        return {s.name: s.series_uid_sha256 for s in found.study.series}

    assert named(forward) == named(backward)
    assert {"stress", "stress-2"} <= set(named(forward))


def test_progress_is_told_from_none_to_all(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    read_paths(_two_days(tmp_path), progress=lambda done, of: told.append((done, of)))
    assert told == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_path_given_twice_is_read_once(tmp_path: Path) -> None:
    path = make.write(make.recon(), tmp_path / "a.dcm")
    found = read_paths([path, path, tmp_path])
    assert len(found.study.series) == 1
    assert found.flags == ()


def test_a_large_file_of_another_modality_is_passed_over_by_its_beginning(tmp_path: Path) -> None:
    ds = make.nm(make.counts(40, 128, 128), (make.SLICE,), Modality="CT")
    path = make.write(ds, tmp_path / "ct.dcm")
    assert path.stat().st_size > 1 << 20
    with pytest.raises(NothingToAnalyse, match=r"ct\.dcm is CT"):
        read_paths([path])


def test_a_large_nm_file_is_read_to_its_end(tmp_path: Path) -> None:
    ds = make.nm(make.counts(40, 128, 128), (make.SLICE,))
    ds.add_new(0x00091001, "OB", bytes(1 << 21))  # a private element larger than what is first looked at
    ds.add_new(0x00090010, "LO", "TEST")
    assert read_paths([make.write(ds, tmp_path / "nm.dcm")]).study.series[0].image.made_by


def test_copies_are_read_once_and_noted(tmp_path: Path) -> None:
    for name in ("a.dcm", "b.dcm", "c.dcm"):
        make.write(make.recon(), tmp_path / name)
    found = read_paths([tmp_path])
    assert len(found.study.series) == 1
    assert [(f.code, f.evidence) for f in found.flags] == [("duplicates_left_out", {"n_copies": 2})]


def test_one_identifier_on_two_different_images_is_refused(tmp_path: Path) -> None:
    make.write(make.recon(), tmp_path / "a.dcm")
    changed = make.recon()
    changed.PixelData = bytes(2) + changed.PixelData[2:]
    make.write(changed, tmp_path / "b.dcm")
    with pytest.raises(UnreadableFile, match="same identifier"):
        read_paths([tmp_path])


def _pair(folder: Path, one: dict[str, Any], other: dict[str, Any]) -> list[Path]:
    return [
        make.write(make.recon(seed_uid="one", **one), folder / "one.dcm"),
        make.write(make.recon(seed_uid="two", **other), folder / "two.dcm"),
    ]


NOBODY: dict[str, Any] = {"PatientID": "", "PatientName": "", "PatientBirthDate": ""}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"PatientID": "P2"}),
        ({}, {"PatientName": "Doe^Jane"}),
        ({}, {"PatientBirthDate": "19510101"}),
        (NOBODY, {**NOBODY, "StudyInstanceUID": "1.2.3"}),
        (
            {**NOBODY, "PatientName": "ANONYMOUS", "StudyInstanceUID": "1.2.3"},
            {**NOBODY, "PatientName": "ANONYMOUS", "StudyInstanceUID": "1.2.4"},
        ),
        ({**NOBODY, "PatientBirthDate": "19500101"}, {"StudyInstanceUID": "1.2.3"}),
        ({"IssuerOfPatientID": "A"}, {"IssuerOfPatientID": "B"}),
        ({**NOBODY, "StudyInstanceUID": ""}, {**NOBODY, "StudyInstanceUID": ""}),
    ],
)
def test_two_patients_are_never_mixed(tmp_path: Path, one: dict[str, Any], other: dict[str, Any]) -> None:
    with pytest.raises(MixedPatients, match="2 patients") as caught:
        read_paths(_pair(tmp_path, one, other))
    for identifier in ("P1", "P2", "Doe", "1950"):
        assert identifier not in str(caught.value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"StudyInstanceUID": "1.2.3"}),
        ({}, {"PatientName": "DOE^JO^^"}),
        ({}, {"PatientBirthDate": ""}),
        ({}, {"PatientName": ""}),
        (NOBODY, NOBODY),
        (NOBODY, {}),
    ],
)
def test_one_patient_stays_one(tmp_path: Path, one: dict[str, Any], other: dict[str, Any]) -> None:
    assert len(read_paths(_pair(tmp_path, one, other)).study.series) == 2


def test_three_patients_are_counted(tmp_path: Path) -> None:
    for n in range(3):
        make.write(make.recon(seed_uid=str(n), PatientID=f"Q{n}"), tmp_path / f"{n}.dcm")
    with pytest.raises(MixedPatients, match="3 patients"):
        read_paths([tmp_path])


def test_the_patient_key_names_nobody(tmp_path: Path) -> None:
    import hashlib

    key = read_paths([make.write(make.recon(), tmp_path / "a.dcm")]).study.patient_key
    guesses = ("P1", "p1\0doejo\x0019500101", "P1Doe^Jo19500101")
    assert all(not hashlib.sha256(g.encode()).hexdigest().startswith(key) for g in guesses)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty"),
        (b"Dear colleague", "neither DICOM"),
        (b"\0" * 128 + b"DICM", "does not say what it is"),
        (b"\0" * 128 + b"DICM" + b"\x08\x00", r"damaged|does not say"),
    ],
)
def test_a_file_that_is_no_image_is_named_with_its_reason(tmp_path: Path, content: bytes, word: str) -> None:
    path = tmp_path / "letter.dcm"
    path.write_bytes(content)
    with pytest.raises(NothingToAnalyse, match=rf"letter\.dcm .*{word}|letter\.dcm is {word}"):
        read_paths([path])


@pytest.mark.parametrize(("modality", "word"), [("CT", "CT"), ("PT", "PET"), ("MR", "MR"), ("US", "modality")])
def test_other_modalities_are_left_out_by_name(tmp_path: Path, modality: str, word: str) -> None:
    make.write(make.recon(), tmp_path / "nm.dcm")
    make.write(make.recon(Modality=modality, seed_uid="other"), tmp_path / "other.dcm")
    found = read_paths([tmp_path])
    assert len(found.study.series) == 1
    assert len(found.skipped) == 1
    assert found.skipped[0].startswith("other.dcm is")
    assert word in found.skipped[0]


def test_other_modalities_alone_are_nothing_to_analyse(tmp_path: Path) -> None:
    make.write(make.recon(Modality="CT"), tmp_path / "ct.dcm")
    with pytest.raises(NothingToAnalyse, match=r"ct\.dcm is CT"):
        read_paths([tmp_path])


def test_a_damaged_file_among_good_ones_is_left_out_with_its_reason(tmp_path: Path) -> None:
    make.write(make.recon(), tmp_path / "good.dcm")
    (tmp_path / "bad.dcm").write_bytes(make.to_bytes(make.recon(seed_uid="bad"))[:-50])
    found = read_paths([tmp_path])
    assert len(found.study.series) == 1
    assert found.skipped[0].startswith("bad.dcm is truncated")


def test_system_files_of_a_folder_pass_without_a_word(tmp_path: Path) -> None:
    make.write(make.recon(), tmp_path / "good.dcm")
    (tmp_path / ".DS_Store").write_bytes(b"x")
    (tmp_path / "DICOMDIR").write_bytes(b"x")
    assert read_paths([tmp_path]).skipped == ()


def test_results_of_an_earlier_analysis_are_no_input(tmp_path: Path) -> None:
    make.write(make.recon(), tmp_path / "good.dcm")
    result = tmp_path / "result"
    (result / "stress").mkdir(parents=True)
    for name in ("result.json", "report.html"):
        (result / name).write_text("{}")
    image = Volume(make.counts(7, 8, 5), Grid.axis_aligned((7, 8, 5), spacing_mm=4), "counts")
    write_nifti(image, result / "stress" / "short_axis.nii.gz")
    found = read_paths([tmp_path])
    assert [s.name for s in found.study.series] == ["stress"]
    assert found.skipped == ()
    assert [f.code for f in found.flags] == ["earlier_results_passed_over"]
    with pytest.raises(NothingToAnalyse, match="earlier analysis"):
        read_paths([result])


def test_an_empty_folder_and_a_missing_path_say_so(tmp_path: Path) -> None:
    with pytest.raises(NothingToAnalyse, match="empty"):
        read_paths([tmp_path])
    with pytest.raises(UnreadableFile, match="does not exist"):
        read_paths([tmp_path / "gone"])


def test_a_file_that_vanishes_between_listing_and_reading_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make.write(make.recon(), tmp_path / "a.dcm")
    read_bytes = Path.read_bytes

    def vanish(self: Path) -> bytes:
        self.unlink()
        return read_bytes(self)

    monkeypatch.setattr(Path, "read_bytes", vanish)
    monkeypatch.setattr(one_file, "_HEADER_BYTES", 600)  # a file that is larger than its beginning is read twice
    with pytest.raises(NothingToAnalyse, match="disappeared"):
        read_paths([path])


def test_a_file_that_vanishes_right_after_listing_says_so(tmp_path: Path) -> None:
    make.write(make.recon(), tmp_path / "a.dcm")
    gone = make.write(make.recon(seed_uid="two"), tmp_path / "b.dcm")
    found = read_paths([tmp_path], progress=lambda done, of: gone.unlink() if done == 1 and gone.exists() else None)
    assert found.skipped == ("b.dcm has disappeared.",)


def test_a_file_that_may_not_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make.write(make.recon(), tmp_path / "a.dcm")

    def deny(self: Path, *_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", deny)
    with pytest.raises(NothingToAnalyse, match=r"a\.dcm may not be read"):
        read_paths([path])


def test_a_folder_that_may_not_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make.write(make.recon(), tmp_path / "a.dcm")

    def deny(path: Any = ".") -> Any:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", deny)
    with pytest.raises(UnreadableFile, match=r"folder .* cannot be read: Permission denied"):
        read_paths([tmp_path])


def test_a_pipe_does_not_hang_the_reader(tmp_path: Path) -> None:
    make.write(make.recon(), tmp_path / "a.dcm")
    os.mkfifo(tmp_path / "pipe")
    assert read_paths([tmp_path]).skipped == ("pipe is not an ordinary file.",)


def test_nifti_files_join_the_study_and_masks_do_not(tmp_path: Path) -> None:
    make.write(make.recon(ImageID="Rest"), tmp_path / "nm.dcm")
    image = Volume(make.counts(7, 8, 5), Grid.axis_aligned((7, 8, 5), spacing_mm=4), "counts")
    write_nifti(image, tmp_path / "Patient Stress.nii.gz")
    write_nifti(image.like(np.asarray(image.array) > 40, "mask", unit="mask"), tmp_path / "wall.nii.gz")
    found = read_paths([tmp_path])
    assert [(s.name, s.kind) for s in found.study.series] == [("rest", "RECON TOMO"), ("stress", "NIFTI")]
    assert found.study.series[1].state.evidence == "the word 'stress' in the file name"
    assert "patient_not_stated" in {f.code for f in found.study.series[1].flags}
    assert len(found.skipped) == 1
    assert found.skipped[0].startswith("wall.nii.gz holds a mask")
    assert read_volume(tmp_path / "Patient Stress.nii.gz").grid == image.grid


def test_interfile_projections_are_read_through_their_header(tmp_path: Path) -> None:
    projections = read_projections(make.write(make.tomo(n_views=4), tmp_path.parent / "source.dcm"))
    write_interfile(projections, tmp_path / "stress.h33")
    found = read_paths([tmp_path])
    assert found.skipped == ()
    assert [(s.name, s.kind) for s in found.study.series] == [("stress-projections", "INTERFILE")]
    image = found.study.series[0].image
    assert isinstance(image, Projections)
    np.testing.assert_allclose(sorted(image.angle_deg % 360), sorted(projections.angle_deg % 360), atol=0.01)


def test_everything_said_about_files_is_one_sentence(tmp_path: Path) -> None:
    broken: list[Dataset] = [
        make.recon(Modality="CT"),
        make.recon(Rows=0),
        make.recon(image_type=("ORIGINAL", "PRIMARY", "STATIC", "EMISSION")),
        make.recon(PixelSpacing=[0, 0]),
        make.recon(SliceVector=[1, 1, 2, 3, 4]),
    ]
    for n, ds in enumerate(broken):
        with pytest.raises(MyoscopeError) as caught:
            read_paths([make.write(ds, tmp_path / f"{n}.dcm")])
        sentence = str(caught.value)
        assert sentence.startswith(f"{n}.dcm")
        assert sentence.endswith(".")
        assert "\n" not in sentence
