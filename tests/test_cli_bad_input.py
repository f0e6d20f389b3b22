"""Bad input to the whole command: each gets one sentence, its exit code, and no half-written output.

The table on the page "When it refuses" of the documentation is tested here, line by line.
"""

from __future__ import annotations

import copy
import errno
import io as byte_io
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from typer.testing import CliRunner, Result

from myoscope import io
from myoscope.cli import app
from myoscope.core import CardiacFrame, Gating, Grid, Volume
from myoscope.io import one_file
from myoscope.simulate import lv_phantom

ANALYSED, BAD_CALL, NOTHING, IN_PART, INTERRUPTED = 0, 2, 3, 4, 130
# Too long to turn up by chance in the letters that stand for a picture in a page.
PATIENT_NAME, PATIENT_ID = "Testcase^Imaginary", "NOBODY-4711085263"
TELLING_NAME = "imaginary_testcase_4711085263.dcm"

pytestmark = pytest.mark.usefixtures("searched_once")

Change = Callable[[pydicom.Dataset], None]


def _description(uid_seed: str, **facts: Any) -> io.NmDescription:
    return io.NmDescription(
        patient_name=PATIENT_NAME,
        patient_id=PATIENT_ID,
        state="stress",
        position="supine",
        gantry="head-first",
        uid_seed=uid_seed,
        **facts,
    )


@pytest.fixture(scope="module")
def heart() -> Volume:
    grid = Grid.axis_aligned((48, 48, 36), spacing_mm=5)
    frame = CardiacFrame(np.array([10.0, -15.0, 5.0]), np.array([0.5, -0.8, -0.35]))
    return lv_phantom(grid, frame=frame, fwhm_mm=10, rng=np.random.default_rng(1)).volume


@pytest.fixture(scope="module")
def sound(heart: Volume, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("sound") / "heart.dcm"
    io.write_nm(heart, path, description=_description("sound"))
    return path.read_bytes()


@pytest.fixture(scope="module")
def gated(heart: Volume, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("gated") / "gated.dcm"
    gates = np.stack([np.asarray(heart.array)] * 4)
    volume = Volume(gates, heart.grid, heart.unit, frame_axis="gate", gating=Gating(4, rr_ms=900))
    io.write_nm(volume, path, description=_description("gated"))
    return path.read_bytes()


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "study"
    folder.mkdir()
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "results"


def analyse(path: Path, out: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["analyze", str(path), "--out", str(out), *options])


def assert_refused(answer: Result, out: Path, *, code: int, says: str) -> None:
    """One sentence that names the cause, the right code, and not a trace of an output."""
    assert answer.exit_code == code, answer.output
    sentence = answer.stderr.strip()
    assert sentence
    assert len(sentence.splitlines()) == 1
    assert says in sentence
    assert "defect of its own" not in sentence
    assert not out.exists()
    assert_no_leftovers(out)


def assert_no_leftovers(out: Path) -> None:
    assert [p.name for p in out.parent.iterdir() if p.name.startswith(".")] == []


def changed(file: bytes, change: Change) -> bytes:
    header = pydicom.dcmread(byte_io.BytesIO(file))
    header = copy.deepcopy(header)
    change(header)
    buffer = byte_io.BytesIO()
    header.save_as(buffer, enforce_file_format=False)
    return buffer.getvalue()


def report_of(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "result.json").read_text())
    return content


# Nothing that can be used ---------------------------------------------------------------------------------


def test_a_file_that_is_not_dicom_is_named(study: Path, out: Path) -> None:
    (study / "letter.txt").write_text("Dear colleague,\n" * 40)
    assert_refused(analyse(study / "letter.txt", out), out, code=NOTHING, says="letter.txt")


def test_an_empty_file_is_called_empty(study: Path, out: Path) -> None:
    (study / "heart.dcm").write_bytes(b"")
    assert_refused(analyse(study, out), out, code=NOTHING, says="empty")


@pytest.mark.parametrize("share", [0.001, 0.01, 0.5, 0.999])
def test_a_truncated_file_is_refused_wherever_it_ends(share: float, sound: bytes, study: Path, out: Path) -> None:
    (study / "heart.dcm").write_bytes(sound[: int(share * len(sound))])
    assert_refused(analyse(study, out), out, code=NOTHING, says="heart.dcm")


def test_an_empty_folder_is_said_to_be_empty(study: Path, out: Path) -> None:
    assert_refused(analyse(study, out), out, code=NOTHING, says="empty")


def test_an_empty_path_does_not_mean_the_current_folder(out: Path) -> None:
    answer = CliRunner().invoke(app, ["analyze", "", "--out", str(out)])
    assert answer.exit_code == BAD_CALL
    assert "is a variable not set?" in answer.stderr
    assert not out.exists()


def test_a_path_that_does_not_exist_is_named(study: Path, out: Path) -> None:
    answer = analyse(study / "nowhere", out)
    assert answer.exit_code == BAD_CALL
    assert "nowhere" in answer.stderr
    assert "does not exist" in answer.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: setattr(d, "Modality", "CT"), "CT"),
        (lambda d: setattr(d, "Modality", "MR"), "MR"),
        (lambda d: setattr(d, "ImageType", ["ORIGINAL", "PRIMARY", "STATIC", "EMISSION"]), "planar"),
        (lambda d: setattr(d, "ImageType", ["ORIGINAL", "PRIMARY", "WHOLE BODY", "EMISSION"]), "whole-body"),
        (lambda d: setattr(d, "ImageType", ["ORIGINAL", "PRIMARY", "DYNAMIC", "EMISSION"]), "dynamic"),
    ],
    ids=["CT", "MR", "planar", "whole body", "dynamic planar"],
)
def test_another_kind_of_image_is_called_by_its_name(
    change: Change, says: str, sound: bytes, study: Path, out: Path
) -> None:
    (study / "other.dcm").write_bytes(changed(sound, change))
    assert_refused(analyse(study, out), out, code=NOTHING, says=says)


def test_pixels_that_are_all_zero_are_refused(sound: bytes, study: Path, out: Path) -> None:
    (study / "black.dcm").write_bytes(changed(sound, lambda d: setattr(d, "PixelData", bytes(len(d.PixelData)))))
    assert_refused(analyse(study, out), out, code=NOTHING, says="black.dcm")


def test_pixels_that_are_not_numbers_are_refused(heart: Volume, study: Path, out: Path) -> None:
    array = np.array(heart.array, np.float32)
    array[10:14] = np.nan
    image: Any = nib.Nifti1Image  # untyped
    nib.save(image(array, np.diag([-5.0, -5.0, 5.0, 1.0])), study / "holes.nii.gz")
    assert_refused(analyse(study, out), out, code=NOTHING, says="NaN")


def test_a_missing_gate_is_refused_because_its_volumes_would_be_wrong(gated: bytes, study: Path, out: Path) -> None:
    def drop_last_gate(header: pydicom.Dataset) -> None:
        n_slices = header.NumberOfFrames // 4
        frame_bytes = header.Rows * header.Columns * 2
        header.NumberOfFrames -= n_slices
        header.PixelData = header.PixelData[: -n_slices * frame_bytes]
        for element in list(header):
            if element.tag.group == 0x54 and element.keyword.endswith("Vector"):
                element.value = list(element.value)[:-n_slices]

    (study / "gated.dcm").write_bytes(changed(gated, drop_last_gate))
    answer = analyse(study, out)
    assert_refused(answer, out, code=NOTHING, says="gated.dcm")
    assert "gate" in answer.stderr.lower().replace("gated.dcm", "")


def test_two_patients_are_refused_and_not_named(sound: bytes, study: Path, out: Path) -> None:
    def of_another_patient(header: pydicom.Dataset) -> None:
        header.PatientName, header.PatientID = "Other^Person", "NOBODY-4712096374"
        header.SOPInstanceUID = header.SOPInstanceUID[:-3] + "777"
        header.StudyInstanceUID = header.StudyInstanceUID[:-3] + "778"

    (study / "one.dcm").write_bytes(sound)
    (study / "two.dcm").write_bytes(changed(sound, of_another_patient))
    answer = analyse(study, out)
    assert_refused(answer, out, code=NOTHING, says="2 patients")
    for secret in ("Testcase", "Imaginary", "4711085263", "4712096374", "Person"):
        assert secret not in answer.output


def test_one_patient_spelt_in_two_ways_is_still_one(sound: bytes, study: Path, out: Path) -> None:
    def respelt(header: pydicom.Dataset) -> None:
        header.PatientName = PATIENT_NAME.upper() + "^"
        header.SOPInstanceUID = header.SOPInstanceUID[:-3] + "777"

    (study / "one.dcm").write_bytes(sound)
    (study / "two.dcm").write_bytes(changed(sound, respelt))
    found = io.read_paths([study])
    assert len(found.study.series) == 2
    assert not out.exists()


# Analysed in part -----------------------------------------------------------------------------------------


def test_an_image_without_a_heart_gives_a_report_that_says_so(heart: Volume, study: Path, out: Path) -> None:
    rng = np.random.default_rng(3)
    noise = heart.like(rng.poisson(20, heart.grid.shape).astype(np.uint16), "noise")
    io.write_nm(noise, study / "noise.dcm", description=_description("noise"))
    answer = analyse(study, out)
    assert answer.exit_code == IN_PART
    assert len(answer.stderr.strip().splitlines()) == 1
    series = report_of(out)["series"][0]
    assert series["not_done"]
    assert not list(out.glob("*/lv_wall.nii.gz"))


def test_what_is_sound_is_analysed_and_the_rest_is_said(sound: bytes, study: Path, out: Path) -> None:
    (study / TELLING_NAME).write_bytes(sound)
    (study / "cut.dcm").write_bytes(sound[: len(sound) // 2])
    (study / "letter.txt").write_text("Dear colleague,\n" * 40)
    answer = analyse(study, out)
    assert answer.exit_code == IN_PART
    assert "cut.dcm" in answer.stderr
    assert "letter.txt" in answer.stderr
    assert len(report_of(out)["series"]) == 1
    assert (out / "report.html").exists()
    assert_no_leftovers(out)


def test_no_identifier_and_no_file_name_reaches_the_results(sound: bytes, study: Path, out: Path) -> None:
    (study / TELLING_NAME).write_bytes(sound)
    (study / "cut_imaginary.dcm").write_bytes(sound[: len(sound) // 2])
    for name in ("Zacharias Can 19500101", "Hans May 1931-02-03 ID77123.xlsx", "Quentin is Doe.dcm"):
        (study / name).write_bytes(b"not an image")
    analyse(study, out)
    header = pydicom.dcmread(byte_io.BytesIO(sound), stop_before_pixels=True)
    secrets = [
        "Imaginary",
        "Testcase",
        "4711085263",
        TELLING_NAME.split("_")[0],
        "Zacharias",
        "19500101",
        "1931-02-03",
        "ID77123",
        "Quentin",
        header.SOPInstanceUID,
        header.StudyInstanceUID,
    ]
    written = [p for p in out.rglob("*") if p.is_file()]
    assert len(written) >= 4
    for path in written:
        assert not any(secret.lower() in path.name.lower() for secret in secrets)
        if path.suffix in (".json", ".html"):
            text = path.read_text().lower()
            assert [secret for secret in secrets if secret.lower() in text] == [], path.name


def test_a_duplicate_is_used_once(sound: bytes, study: Path, out: Path) -> None:
    (study / "heart.dcm").write_bytes(sound)
    (study / "copy.dcm").write_bytes(sound)
    assert analyse(study, out).exit_code == ANALYSED
    content = report_of(out)
    assert len(content["series"]) == 1
    assert "duplicates_left_out" in json.dumps(content["flags"])


def test_two_different_images_with_one_identifier_are_refused(sound: bytes, study: Path, out: Path) -> None:
    (study / "heart.dcm").write_bytes(sound)
    (study / "altered.dcm").write_bytes(changed(sound, lambda d: setattr(d, "PixelData", d.PixelData[::-1])))
    assert_refused(analyse(study, out), out, code=NOTHING, says="same identifier")


# The system underneath ------------------------------------------------------------------------------------


def test_a_file_that_vanishes_is_left_out(
    sound: bytes, study: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (study / "gone.dcm").write_bytes(sound)
    original = Path.open

    def open_too_late(self: Path, *args: Any, **kwargs: Any) -> Any:
        if self.name == "gone.dcm":
            self.unlink(missing_ok=True)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", open_too_late)
    assert_refused(analyse(study, out), out, code=NOTHING, says="gone.dcm")


def test_a_large_file_that_vanishes_between_two_looks_is_left_out(
    sound: bytes, study: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (study / "gone.dcm").write_bytes(sound)
    original = Path.open
    count = 0

    def open_too_late(self: Path, *args: Any, **kwargs: Any) -> Any:
        nonlocal count
        if self.name == "gone.dcm":
            count += 1
            if count == 2:
                self.unlink()
        return original(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", open_too_late)
    monkeypatch.setattr(one_file, "_HEADER_BYTES", 600)  # larger files are read twice
    assert_refused(analyse(study, out), out, code=NOTHING, says="gone.dcm")
    assert count == 2


def test_a_dangling_link_is_left_out(study: Path, out: Path) -> None:
    (study / "link.dcm").symlink_to(study / "nowhere.dcm")
    assert_refused(analyse(study, out), out, code=NOTHING, says="link.dcm")


def test_an_unreadable_folder_is_named(study: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = study / "closed"
    closed.mkdir()
    if os.geteuid() == 0:
        # Permissions do not bind root, so the refusal is put where the operating system would give it.
        original = os.scandir

        def refuse(path: Any = ".") -> Any:
            if str(path).endswith("closed"):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return original(path)

        monkeypatch.setattr(os, "scandir", refuse)
    else:
        closed.chmod(0)
    answer = analyse(study, out)
    monkeypatch.undo()
    closed.chmod(0o700)
    assert_refused(answer, out, code=NOTHING, says="closed")
    assert "ermission" in answer.stderr


def test_an_unreadable_file_is_named(sound: bytes, study: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (study / "locked.dcm").write_bytes(sound)
    original = Path.open

    def refuse(self: Path, *args: Any, **kwargs: Any) -> Any:
        if self.name == "locked.dcm":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return original(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refuse)
    assert_refused(analyse(study, out), out, code=NOTHING, says="locked.dcm")


def test_a_full_disk_leaves_nothing_behind(
    sound: bytes, study: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (study / "heart.dcm").write_bytes(sound)

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert_refused(analyse(study, out), out, code=BAD_CALL, says="disk is full")


@pytest.mark.parametrize("limit_kB", [1, 20, 200])
def test_a_write_that_the_system_cuts_short_leaves_nothing_behind(
    limit_kB: int,  # noqa: N803  # a unit
    sound: bytes,
    study: Path,
    out: Path,
) -> None:
    (study / "heart.dcm").write_bytes(sound)
    done = subprocess.run(
        [sys.executable, "-m", "myoscope.cli", "analyze", str(study), "--out", str(out)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit_kB * 1000, limit_kB * 1000)),
    )
    assert done.returncode == BAD_CALL, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "larger than the system allows" in done.stderr
    assert not out.exists()
    assert_no_leftovers(out)


# The output -----------------------------------------------------------------------------------------------


def test_an_output_that_exists_is_refused_before_anything_is_read(
    study: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out.mkdir()
    (out / "keep.txt").write_text("mine")
    monkeypatch.setattr(io, "read_paths", lambda *_, **__: pytest.fail("the input was read"))
    answer = analyse(study, out)
    assert answer.exit_code == BAD_CALL
    assert "exists" in answer.stderr
    assert [p.name for p in out.iterdir()] == ["keep.txt"]


def test_an_output_that_is_a_file_is_refused_and_kept(sound: bytes, study: Path, out: Path) -> None:
    (study / "heart.dcm").write_bytes(sound)
    out.write_text("mine")
    answer = analyse(study, out, "--overwrite")
    assert answer.exit_code == BAD_CALL
    assert out.read_text() == "mine"


def test_a_failed_analysis_keeps_the_old_result(sound: bytes, study: Path, out: Path) -> None:
    (study / "heart.dcm").write_bytes(sound)
    assert analyse(study, out).exit_code == ANALYSED
    before = (out / "result.json").read_bytes()
    (study / "heart.dcm").write_bytes(sound[:2000])
    assert analyse(study, out, "--overwrite").exit_code == NOTHING
    assert (out / "result.json").read_bytes() == before


def test_overwrite_replaces_the_whole_folder(sound: bytes, study: Path, out: Path) -> None:
    (study / "heart.dcm").write_bytes(sound)
    assert analyse(study, out).exit_code == ANALYSED
    (out / "stale.txt").write_text("of the run before")
    assert analyse(study, out, "--overwrite").exit_code == ANALYSED
    assert not (out / "stale.txt").exists()
    assert (out / "result.json").exists()
    assert_no_leftovers(out)


def test_an_interrupted_analysis_leaves_nothing(
    sound: bytes, study: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (study / "heart.dcm").write_bytes(sound)

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("myoscope.report.write_json", interrupt)
    assert_refused(analyse(study, out), out, code=INTERRUPTED, says="nterrupted")


def test_the_input_is_never_changed(sound: bytes, study: Path, out: Path) -> None:
    (study / "heart.dcm").write_bytes(sound)
    before = (study / "heart.dcm").stat()
    assert analyse(study, out).exit_code == ANALYSED
    assert (study / "heart.dcm").read_bytes() == sound
    assert (study / "heart.dcm").stat().st_mtime_ns == before.st_mtime_ns
    assert [p.name for p in study.iterdir()] == ["heart.dcm"]


def test_a_result_inside_the_study_folder_is_not_read_again(sound: bytes, study: Path, out: Path) -> None:
    (study / "heart.dcm").write_bytes(sound)
    assert analyse(study, study / "results").exit_code == ANALYSED
    assert analyse(study, out).exit_code == ANALYSED
    assert len(report_of(out)["series"]) == 1
    assert report_of(out)["not_done"] == []


def test_overwrite_spares_a_folder_that_is_no_earlier_result(sound: bytes, study: Path, out: Path) -> None:
    (study / "heart.dcm").write_bytes(sound)
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    answer = analyse(study, out, "--overwrite")
    assert answer.exit_code == BAD_CALL
    assert "earlier output" in answer.stderr
    assert [p.name for p in out.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("place", [".", ".."], ids=["the input itself", "the folder around it"])
def test_the_input_is_never_the_output(place: str, sound: bytes, study: Path, tmp_path: Path) -> None:
    (study / "heart.dcm").write_bytes(sound)
    answer = analyse(study, (study / place).resolve(), "--overwrite")
    assert answer.exit_code == BAD_CALL
    assert len(answer.stderr.strip().splitlines()) == 1
    assert (study / "heart.dcm").read_bytes() == sound
    assert [p.name for p in tmp_path.iterdir()] == ["study"]


def test_debug_shows_the_traceback_that_is_hidden_otherwise(study: Path, out: Path) -> None:
    (study / "heart.dcm").write_bytes(b"")
    assert analyse(study, out, "--debug").exception is not None
    done = subprocess.run(
        [sys.executable, "-m", "myoscope.cli", "analyze", str(study), "--out", str(out), "--debug"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode not in (ANALYSED, IN_PART)
    assert "Traceback" in done.stderr


def test_a_reader_that_closes_early_hears_of_no_defect() -> None:
    """As with `myoscope limits show FOLDER | head -1`."""
    shown = Path(io.__file__).parent / "limits"
    call = [sys.executable, "-c", "from myoscope.cli import main; main()", "limits", "show", str(shown)]
    with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        said = running.stderr.read()
    assert said == ""
    assert running.returncode == 0
