"""NM reconstructions out and back: by pydicom and the geometry of the standard, by SimpleITK, and by our own reader."""

import itertools
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from myoscope.core import (
    CardiacFrame,
    EnergyWindow,
    Gating,
    Grid,
    InvalidValue,
    OutputError,
    Series,
    Stated,
    Volume,
)
from myoscope.io import NmDescription, codes, dicom_write, read_paths, read_volume, write_nm

ORIENTATIONS = list(itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)))
SHAPE = (6, 5, 7)
CORNERS = np.array(list(itertools.product((0, 5), (0, 4), (0, 6))))


def grid(axes: np.ndarray, spacing: tuple[float, float, float] = (2.0, 3.0, 4.0)) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing
    affine[:3, 3] = (-42.215317, -208.837956, 573.7)
    return Grid(SHAPE, affine)


def counts(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).poisson(300, shape or SHAPE).astype(np.int16)


def tilted() -> np.ndarray:
    axes, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))
    return axes


def by_the_standard(path: Path) -> tuple[np.ndarray, Any]:
    """Voxels as (slice, row, column) frames and a function from (i, j, k) to mm, from PS3.3 C.8.4.11 and C.8.4.15."""
    ds = pydicom.dcmread(path)
    detector = ds.DetectorInformationSequence[0]
    origin = np.array(detector.ImagePositionPatient, float)
    row, column = np.array(detector.ImageOrientationPatient, float).reshape(2, 3)
    between_rows, between_columns = map(float, ds.PixelSpacing)
    step = float(ds.SpacingBetweenSlices) * np.cross(row, column)

    def to_mm(index: np.ndarray) -> np.ndarray:
        i, j, k = np.moveaxis(np.asarray(index, float), -1, 0)[..., None]
        place: np.ndarray = origin + i * row * between_columns + j * column * between_rows + k * step
        return place

    return ds.pixel_array, to_mm


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_orientation_reads_back_to_the_same_voxels_in_the_same_place(
    tmp_path: Path, orientation: tuple[tuple[int, ...], tuple[int, ...]]
) -> None:
    import SimpleITK

    order, signs = orientation
    volume = Volume(counts(), grid(np.eye(3)[:, list(order)] * signs), "counts")
    path = tmp_path / "v.dcm"
    assert write_nm(volume, path).max_error == 0

    frames, to_mm = by_the_standard(path)
    np.testing.assert_array_equal(frames.transpose(2, 1, 0), volume.array)
    np.testing.assert_allclose(to_mm(CORNERS), volume.grid.to_mm(CORNERS), atol=1e-6)

    itk: Any = SimpleITK.ReadImage(str(path))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(itk).T, volume.array)
    for corner in CORNERS:
        place = itk.TransformIndexToPhysicalPoint([int(n) for n in corner])
        np.testing.assert_allclose(place, volume.grid.to_mm(corner), atol=1e-3)

    ours = read_volume(path)
    np.testing.assert_array_equal(ours.array, volume.array)
    assert ours.grid.same_place(volume.grid, tolerance_mm=1e-6)
    assert ours.unit == "counts"


@pytest.mark.parametrize("mirror", [1, -1])
def test_an_oblique_grid_of_either_hand_reads_back_in_place(tmp_path: Path, mirror: int) -> None:
    volume = Volume(counts(), grid(tilted() * (1, 1, mirror)), "counts")
    write_nm(volume, tmp_path / "v.dcm")
    _, to_mm = by_the_standard(tmp_path / "v.dcm")
    np.testing.assert_allclose(to_mm(CORNERS), volume.grid.to_mm(CORNERS), atol=1e-6)
    assert read_volume(tmp_path / "v.dcm").grid.same_place(volume.grid, tolerance_mm=1e-6)


def test_slices_against_the_normal_get_a_negative_spacing(tmp_path: Path) -> None:
    write_nm(Volume(counts(), grid(np.diag([1.0, 1, -1])), "counts"), tmp_path / "v.dcm")
    assert pydicom.dcmread(tmp_path / "v.dcm").SpacingBetweenSlices == -4


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        ("bool", 0, 1),
        ("uint8", 0, 255),
        ("int16", -32768, 32767),
        ("uint16", 0, 65535),
        ("int32", 0, 65535),
        ("int64", -300, 300),
        ("uint64", 0, 40_000),
        ("float32", 0, 50_000),
        ("float64", -10, 30_000),
        (">i4", 0, 1000),
    ],
)
def test_whole_numbers_that_fit_are_stored_as_they_are(tmp_path: Path, dtype: str, low: int, high: int) -> None:
    array = np.random.default_rng(1).integers(low, high, SHAPE, endpoint=True).astype(dtype)
    array.ravel()[:2] = (low, high)
    written = write_nm(Volume(array, grid(np.eye(3)), "counts"), tmp_path / "v.dcm")
    assert (written.slope, written.max_error) == (1.0, 0.0)
    frames, _ = by_the_standard(tmp_path / "v.dcm")
    np.testing.assert_array_equal(frames.transpose(2, 1, 0), array)
    assert "RescaleSlope" not in pydicom.dcmread(tmp_path / "v.dcm")
    np.testing.assert_array_equal(read_volume(tmp_path / "v.dcm").array, array)


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(2).gamma(2, 1e-4, SHAPE),
        np.random.default_rng(3).normal(0, 1e7, SHAPE),
        np.random.default_rng(4).random(SHAPE) * 0.15,
        np.random.default_rng(5).integers(0, 70_000, SHAPE),
        -np.random.default_rng(6).random(SHAPE),
        np.random.default_rng(7).random(SHAPE).astype(np.float32) * 1e6,
    ],
    ids=["small", "large with signs", "mu map", "integers beyond 16 bits", "negative", "single precision"],
)
def test_other_numbers_come_back_within_the_stated_error(tmp_path: Path, values: np.ndarray) -> None:
    import SimpleITK

    path = tmp_path / "v.dcm"
    written = write_nm(Volume(values, grid(np.eye(3)), "counts"), path)
    span = max(float(values.max()), -float(values.min()))
    assert 0 < written.max_error <= 0.51 * written.slope
    assert written.slope <= span / 32767 * (1 + 1e-6)
    frames, _ = by_the_standard(path)
    ds = pydicom.dcmread(path)
    assert float(ds.RescaleSlope) == written.slope
    assert ds.RealWorldValueMappingSequence[0].RealWorldValueSlope == written.slope
    for back in (
        frames.transpose(2, 1, 0) * float(ds.RescaleSlope),
        read_volume(path).array,
        SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))).T,
    ):
        np.testing.assert_allclose(back, values, rtol=0, atol=written.max_error * (1 + 1e-6) + span * 1e-7)


@pytest.mark.parametrize(
    ("unit", "code"), [("1/cm", "/cm"), ("Bq/mL", "Bq/ml"), ("%", "%"), ("counts/s", "{counts}/s")]
)
def test_a_unit_other_than_counts_goes_along(tmp_path: Path, unit: str, code: str) -> None:
    write_nm(Volume(counts(), grid(np.eye(3)), unit), tmp_path / "v.dcm")
    ds = pydicom.dcmread(tmp_path / "v.dcm")
    assert ds.RealWorldValueMappingSequence[0].MeasurementUnitsCodeSequence[0].CodeValue == code
    assert ds.ImageType[3] == ("TRANSMISSION" if unit == "1/cm" else "EMISSION")
    if unit in ("1/cm", "Bq/mL"):
        assert read_volume(tmp_path / "v.dcm").unit == unit


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_missing_voxel_is_refused_because_integers_have_none(tmp_path: Path, bad: float) -> None:
    array = np.ones(SHAPE)
    array[1, 2, 3] = bad
    with pytest.raises(InvalidValue, match="missing"):
        write_nm(Volume(array, grid(np.eye(3)), "counts"), tmp_path / "v.dcm")
    assert not list(tmp_path.iterdir())


def test_gates_come_back_in_order_with_their_gating(tmp_path: Path) -> None:
    array = np.random.default_rng(8).poisson(40, (8, *SHAPE))
    gating = Gating(8, rr_ms=823.0, rr_low_ms=700, rr_high_ms=950, accepted_beats=1200, rejected_beats=30)
    write_nm(Volume(array, grid(tilted()), "counts", (), "gate", gating), tmp_path / "v.dcm")
    ds = pydicom.dcmread(tmp_path / "v.dcm")
    assert list(ds.ImageType)[2] == "RECON GATED TOMO"
    assert [int(tag) for tag in ds.FrameIncrementPointer] == [0x00540060, 0x00540070, 0x00540080]
    for frame, (gate, k) in enumerate(zip(ds.TimeSlotVector, ds.SliceVector, strict=True)):
        np.testing.assert_array_equal(ds.pixel_array[frame].T, array[gate - 1, :, :, k - 1])
    data = ds.GatedInformationSequence[0].DataInformationSequence[0]
    assert float(data.FrameTime) == pytest.approx(823 / 8)
    assert (data.IntervalsAcquired, data.IntervalsRejected, ds.HeartRate) == (1200, 30, 73)
    ours = read_volume(tmp_path / "v.dcm")
    np.testing.assert_array_equal(ours.array, array)
    assert (ours.frame_axis, ours.gating) == ("gate", gating)


def test_gates_without_an_interval_are_still_gates(tmp_path: Path) -> None:
    array = np.random.default_rng(9).poisson(40, (16, *SHAPE))
    write_nm(Volume(array, grid(np.eye(3)), "counts", (), "gate", Gating(16)), tmp_path / "v.dcm")
    ours = read_volume(tmp_path / "v.dcm")
    np.testing.assert_array_equal(ours.array, array)
    assert ours.gating == Gating(16)


@pytest.mark.parametrize("transfer_syntax", ["explicit", "implicit", "rle", "jpeg-ls", "jpeg-2000"])
@pytest.mark.parametrize("signed", [False, True])
def test_every_transfer_syntax_is_lossless(tmp_path: Path, transfer_syntax: str, signed: bool) -> None:
    place = Grid.axis_aligned((40, 48, 5), spacing_mm=4)
    smooth = np.exp(-((place.points_mm() / 30) ** 2).sum(axis=-1))
    array = np.rint(30_000 * smooth).astype(np.int16) - (500 if signed else 0)
    path = tmp_path / "v.dcm"
    write_nm(Volume(array, place, "counts"), path, transfer_syntax=transfer_syntax)  # type: ignore[arg-type]
    ds = pydicom.dcmread(path)
    assert ds.file_meta.TransferSyntaxUID.is_encapsulated == (transfer_syntax in ("rle", "jpeg-ls", "jpeg-2000"))
    np.testing.assert_array_equal(ds.pixel_array.transpose(2, 1, 0), array)
    np.testing.assert_array_equal(read_volume(path).array, array)


def test_an_encoder_that_gives_up_leaves_nothing(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 65535, (2, 2, 1))
    volume = Volume(noise, Grid.axis_aligned((2, 2, 1), spacing_mm=4), "counts")
    with pytest.raises(OutputError, match=r"v\.dcm could not be compressed as jpeg-2000; store it as rle"):
        write_nm(volume, tmp_path / "v.dcm", transfer_syntax="jpeg-2000")
    assert not list(tmp_path.iterdir())
    with pytest.raises(InvalidValue, match="a transfer syntax is"):
        write_nm(volume, tmp_path / "v.dcm", transfer_syntax="zip")  # type: ignore[arg-type]


def test_nothing_names_the_patient_unless_told(tmp_path: Path) -> None:
    write_nm(Volume(counts(), grid(np.eye(3)), "counts"), tmp_path / "v.dcm")
    ds = pydicom.dcmread(tmp_path / "v.dcm")
    assert (str(ds.PatientName), ds.PatientID, ds.PatientIdentityRemoved) == ("ANONYMOUS^", "ANONYMOUS", "YES")
    for keyword in ("PatientBirthDate", "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName"):
        assert not ds[keyword].value
    told = NmDescription(patient_name="Muster^Maria", patient_id="4711")
    write_nm(Volume(counts(), grid(np.eye(3)), "counts"), tmp_path / "v.dcm", description=told)
    ds = pydicom.dcmread(tmp_path / "v.dcm")
    assert (str(ds.PatientName), ds.PatientID) == ("Muster^Maria", "4711")
    assert "PatientIdentityRemoved" not in ds


def test_a_seed_makes_the_same_bytes_and_one_study(tmp_path: Path) -> None:
    volume = Volume(counts(), grid(np.eye(3)), "counts")

    def write(name: str, label: str, seed: str | None) -> Any:
        about = NmDescription(uid_seed=seed, series_label=label)
        return write_nm(volume, tmp_path / name, description=about)

    first, again, other = write("a", "rest", "demo"), write("b", "rest", "demo"), write("c", "stress", "demo")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert first == again
    assert first.study_instance_uid == other.study_instance_uid
    assert first.series_instance_uid != other.series_instance_uid
    assert first.sop_instance_uid != other.sop_instance_uid
    assert write("d", "rest", "another").study_instance_uid != first.study_instance_uid
    assert write("e", "rest", None).sop_instance_uid != write("f", "rest", None).sop_instance_uid
    for name in "abcdef":
        ds = pydicom.dcmread(tmp_path / name)
        assert all(
            len(uid) <= 64
            for uid in (ds.SOPInstanceUID, ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID)
        )
        assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID


ABOUT = NmDescription(
    sex="F",
    state="stress",
    corrected=True,
    position="prone",
    gantry="feet-first",
    tracer="Tc-99m sestamibi",
    dose_MBq=740,
    camera="Virtual 530c",
    energy_windows=(EnergyWindow("Tc-99m", 126.45, 154.55),),
)


def test_what_is_said_is_read_back_from_codes(tmp_path: Path) -> None:
    write_nm(Volume(counts(), grid(np.eye(3)), "counts"), tmp_path / "v.dcm", description=ABOUT)
    study = read_paths([tmp_path]).study
    assert study is not None
    (series,) = study.series
    assert (series.state.value, series.state.source) == ("stress", "code")
    assert (series.position.value, series.position.source) == ("prone", "code")
    assert series.corrected.value == "yes"
    assert (series.tracer.value, series.tracer.source) == ("Tc-99m sestamibi", "code")
    assert series.kind == "RECON TOMO"
    ds = pydicom.dcmread(tmp_path / "v.dcm")
    assert ds.SeriesDescription == "stress prone AC"
    window = ds.EnergyWindowInformationSequence[0].EnergyWindowRangeSequence[0]
    assert (float(window.EnergyWindowLowerLimit), float(window.EnergyWindowUpperLimit)) == (126.45, 154.55)


def test_what_a_series_knows_is_written_and_what_is_told_comes_first(tmp_path: Path) -> None:
    series = Series(
        "rest-1",
        "NIFTI",
        Volume(counts(), grid(np.eye(3)), "counts"),
        state=Stated("rest", "code"),
        corrected=Stated("no", "header"),
        position=Stated("supine", "code"),
        tracer=Stated("Tl-201 chloride", "code"),
        sex=Stated("F", "header"),
    )
    write_nm(series, tmp_path / "v.dcm", description=NmDescription(position="upright", uid_seed="x"))
    study = read_paths([tmp_path]).study
    assert study is not None
    (back,) = study.series
    assert (back.state.value, back.position.value) == ("rest", "upright")
    assert (back.tracer.value or "").startswith("Tl-201")
    ds = pydicom.dcmread(tmp_path / "v.dcm")
    assert (ds.PatientSex, ds.SeriesDescription) == ("F", "rest upright NAC")
    assert "CorrectedImage" not in ds


def test_the_codes_that_are_written_are_those_that_are_read() -> None:
    for state, (value, scheme, _) in dicom_write._STATES.items():
        assert codes.STATE[(codes.vocabulary(scheme), value)] == state
    for position, (_, (value, scheme, _)) in dicom_write._POSITIONS.items():
        assert codes.POSITION[(codes.vocabulary(scheme), value)] == position
    for gantry, (value, scheme, _) in dicom_write._GANTRY.items():
        assert codes.ENTRY[(codes.vocabulary(scheme), value)] == gantry
    for words, (nuclide, *_), (tracer, scheme, _) in dicom_write._TRACERS:
        name = codes.RADIOPHARMACEUTICAL[(codes.vocabulary(scheme), tracer)]
        assert any(word in name.lower() for word in words)
        assert codes.RADIONUCLIDE[("SCT", nuclide)] in name
    for unit, (value, _, _) in dicom_write._UNITS.items():
        assert codes.UNIT.get(value, unit) == unit


def test_the_short_axis_says_its_view_and_which_way_its_slices_go(tmp_path: Path) -> None:
    heart = CardiacFrame(np.array((20.0, -30, 10)), np.array((1.0, -1, -1)))
    place = heart.short_axis_grid(SHAPE, spacing_mm=4)
    volume = Volume(counts(), place, "counts")
    write_nm(volume, tmp_path / "v.dcm", short_axis_of=heart)
    ds = pydicom.dcmread(tmp_path / "v.dcm")
    view = ds.DetectorInformationSequence[0].ViewCodeSequence[0]
    assert (view.CodeValue, view.CodingSchemeDesignator) == ("103340004", "SCT")
    assert ds.SliceProgressionDirection == "APEX_TO_BASE"
    cosines = np.array(ds.DetectorInformationSequence[0].ImageOrientationPatient, float)
    np.testing.assert_allclose(cosines, [*heart.lateral, *-heart.up], atol=1e-9)
    assert ds.SpacingBetweenSlices == 4
    assert read_volume(tmp_path / "v.dcm").grid.same_place(place, tolerance_mm=1e-6)

    turned = np.array(place.affine)
    turned[:3, 3] += turned[:3, 2] * (SHAPE[2] - 1)
    turned[:3, 2] *= -1
    write_nm(Volume(counts(), Grid(SHAPE, turned), "counts"), tmp_path / "w.dcm", short_axis_of=heart)
    ds = pydicom.dcmread(tmp_path / "w.dcm")
    assert (ds.SliceProgressionDirection, ds.SpacingBetweenSlices) == ("BASE_TO_APEX", -4)

    with pytest.raises(InvalidValue, match=r"tilted 55 deg .* not a short axis"):
        write_nm(Volume(counts(), grid(np.eye(3)), "counts"), tmp_path / "x.dcm", short_axis_of=heart)


def test_what_nm_cannot_say_is_refused(tmp_path: Path) -> None:
    sheared = np.eye(3)
    sheared[0, 2] = 0.2
    with pytest.raises(InvalidValue, match="sheared"):
        write_nm(Volume(counts(), grid(sheared), "counts"), tmp_path / "v.dcm")
    with pytest.raises(InvalidValue, match="time frames"):
        write_nm(Volume(counts(2, *SHAPE), grid(np.eye(3)), "counts", (), "time"), tmp_path / "v.dcm")
    with pytest.raises(InvalidValue, match="not complex"):
        write_nm(Volume(np.ones(SHAPE, complex), grid(np.eye(3)), "counts"), tmp_path / "v.dcm")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"state": "exercise"}, "state is stress, rest or not stated"),
        ({"position": "sitting"}, "position is supine"),
        ({"gantry": "sideways"}, "gantry is head-first, feet-first"),
        ({"sex": "female"}, "sex is F, M, O"),
        ({"study_date": "21.11.2026"}, "YYYYMMDD"),
        ({"dose_MBq": -3.0}, "not one a patient was given"),
        ({"patient_name": "a\\b"}, "no backslash"),
        ({"study_description": "x" * 65}, "up to 64 characters"),
    ],
)
def test_a_description_that_dicom_cannot_hold_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        write_nm(Volume(counts(), grid(np.eye(3)), "counts"), tmp_path / "v.dcm", description=NmDescription(**change))


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        write_nm(Volume(counts(), grid(np.eye(3)), "counts"), tmp_path / "none" / "v.dcm")


REAL = Path(__file__).parents[3] / "shared/data/physionet-mps/dicom"


@pytest.mark.skipif(not REAL.is_dir(), reason="the shared scans are not here")
def test_a_real_scan_written_anew_is_the_same_scan_without_its_identifiers(tmp_path: Path) -> None:
    source = sorted(REAL.iterdir())[0]
    original = read_volume(source)
    write_nm(original, tmp_path / "v.dcm")
    back = read_volume(tmp_path / "v.dcm")
    np.testing.assert_array_equal(back.array, original.array)
    assert back.grid.same_place(original.grid, tolerance_mm=1e-6)
    header = pydicom.dcmread(source, stop_before_pixels=True)
    raw = (tmp_path / "v.dcm").read_bytes()
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "InstitutionName"):
        assert str(header[keyword].value).encode() not in raw


# dciodvfy looks for Time Slot Vector in the sequence item instead of the data set, so it takes this one amiss.
AMISS = "Element=<TimeSlotInformationSequence> Module=<NMMultiGatedAcquisition>"


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="the validator dciodvfy (dicom3tools) is not installed")
@pytest.mark.parametrize("case", ["ungated", "gated", "short axis", "mu map"])
def test_an_independent_validator_finds_no_error(tmp_path: Path, case: str) -> None:
    heart = CardiacFrame(np.array((20.0, -30, 10)), np.array((1.0, -1, -1)))
    place = heart.short_axis_grid(SHAPE, spacing_mm=4)
    volume = {
        "ungated": Volume(counts(), grid(np.eye(3)), "counts"),
        "gated": Volume(counts(8, *SHAPE), grid(np.eye(3)), "counts", (), "gate", Gating(8, rr_ms=800)),
        "short axis": Volume(counts() / 7, place, "counts"),
        "mu map": Volume(counts() / 2000, grid(np.eye(3)), "1/cm"),
    }[case]
    write_nm(volume, tmp_path / "v.dcm", description=ABOUT, short_axis_of=heart if case == "short axis" else None)
    run = subprocess.run(["dciodvfy", str(tmp_path / "v.dcm")], capture_output=True, text=True, check=False)
    errors = [line for line in run.stderr.splitlines() if line.startswith("Error") and AMISS not in line]
    assert "NMImage" in run.stderr
    assert errors == []
