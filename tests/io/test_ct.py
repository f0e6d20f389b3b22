"""CT slices in and out: one volume per series, in Hounsfield units, where the patient was; read by others too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nm_factory as make
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.dataset import Dataset

from myoscope.core import (
    CardiacFrame,
    Grid,
    InvalidValue,
    MixedPatients,
    NothingToAnalyse,
    Series,
    UnitMismatch,
    UnreadableFile,
    Volume,
)
from myoscope.io import NmDescription, read_paths, write_ct, write_nm

ABOUT = NmDescription(
    patient_name="Synthetic^One",
    patient_id="SYNTHETIC-1",
    sex="F",
    uid_seed="ct test",
    place_label="stress",
    series_number=7,
    comments="synthetic (simulated), not a patient",
)


def thorax(grid: Grid | None = None, seed: int = 0) -> Volume:
    """Values between air and bone, no two slices alike."""
    grid = grid or Grid.axis_aligned((9, 7, 6), spacing_mm=(3.0, 4.0, 5.0), centre_mm=(10, -20, 30))
    return Volume(np.random.default_rng(seed).integers(-1000, 1200, grid.shape).astype(np.int16), grid, "HU")


def only(folder: Path) -> Series:
    (series,) = read_paths([folder]).study.series
    return series


def slices(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.dcm"))


def change(path: Path, **attributes: Any) -> Dataset:
    ds = pydicom.dcmread(path)
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    ds.save_as(path, enforce_file_format=True)
    return ds


OBLIQUE = CardiacFrame(np.array([5.0, 6.0, 7.0]), np.array([0.5, -0.7, -0.4])).short_axis_grid(
    (9, 7, 6), spacing_mm=4.0
)
DOWNWARD = Grid((9, 7, 6), np.array([[3.0, 0, 0, 1], [0, 4.0, 0, 2], [0, 0, -5.0, 3], [0, 0, 0, 1]]))


@pytest.mark.parametrize("grid", [None, OBLIQUE, DOWNWARD], ids=["transverse", "oblique", "downward"])
def test_a_ct_comes_back_with_every_voxel_in_its_place(tmp_path: Path, grid: Grid | None) -> None:
    original = thorax(grid)
    written = write_ct(original, tmp_path / "ct", ABOUT, kvp=120)
    assert (written.n_files, written.max_error_HU) == (6, 0.0)
    series = only(tmp_path)
    assert (series.kind, series.name, series.acquisition["kvp"]) == ("CT", "ct", 120.0)
    assert isinstance(series.image, Volume)
    assert series.image.unit == "HU"
    index = np.rint(series.image.grid.to_index(original.grid.points_mm())).astype(int)
    np.testing.assert_allclose(series.image.grid.to_mm(index), original.grid.points_mm(), atol=0.02)
    np.testing.assert_array_equal(series.image.array[tuple(np.moveaxis(index, -1, 0))], original.array)
    assert len(series.sources) == 6


def test_other_programs_see_the_same_ct(tmp_path: Path) -> None:
    original = thorax()
    write_ct(original, tmp_path / "ct", ABOUT, kvp=120)
    sitk: Any = SimpleITK
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "ct")))
    image = reader.Execute()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).transpose(2, 1, 0), original.array)
    np.testing.assert_allclose(image.GetSpacing(), original.grid.spacing_mm)
    np.testing.assert_allclose(image.GetOrigin(), original.grid.affine[:3, 3])


def test_every_slice_says_that_it_is_synthetic(tmp_path: Path) -> None:
    write_ct(thorax(), tmp_path / "ct", ABOUT)
    for path in slices(tmp_path / "ct"):
        ds = pydicom.dcmread(path)
        assert str(ds.PatientName).startswith("Synthetic^")
        for comment in (ds.PatientComments, ds.ImageComments, ds[0x0032, 0x4000].value):
            assert comment == "synthetic (simulated), not a patient"


def test_file_names_and_numbers_do_not_order_a_ct(tmp_path: Path) -> None:
    original = thorax()
    write_ct(original, tmp_path / "ct", ABOUT)
    for n, path in enumerate(slices(tmp_path / "ct")):
        change(path, InstanceNumber=99 - n)
        path.rename(path.with_name(f"{(n * 5) % 6}.img"))
    volume = only(tmp_path).image
    assert isinstance(volume, Volume)
    np.testing.assert_array_equal(volume.array, original.array)


def test_a_missing_slice_leaves_the_ct_out_and_says_where(tmp_path: Path) -> None:
    write_ct(thorax(), tmp_path / "ct", ABOUT)
    slices(tmp_path / "ct")[2].unlink()
    with pytest.raises(NothingToAnalyse, match=r"gaps: slices are 5 mm apart.*1 slices missing"):
        read_paths([tmp_path])


def test_series_stay_apart_and_a_second_acquisition_too(tmp_path: Path) -> None:
    write_ct(thorax(seed=1), tmp_path / "one", ABOUT)
    write_ct(
        thorax(seed=2),
        tmp_path / "two",
        NmDescription(patient_id="SYNTHETIC-1", uid_seed="ct test", series_label="low dose", series_number=8),
    )
    again = thorax(seed=3)
    write_ct(again, tmp_path / "three", ABOUT)
    for path in slices(tmp_path / "three"):
        ds = pydicom.dcmread(path)
        change(path, AcquisitionNumber=2, SOPInstanceUID=f"1.2.3.{ds.InstanceNumber}")
    found = read_paths([tmp_path])
    assert [s.name for s in found.study.series] == ["ct", "ct-2", "ct-3"]
    assert found.skipped == ()


def test_copies_of_slices_count_once_and_changed_ones_are_refused(tmp_path: Path) -> None:
    write_ct(thorax(), tmp_path / "ct", ABOUT)
    first = slices(tmp_path / "ct")[0]
    copy = first.with_name("copy.dcm")
    copy.write_bytes(first.read_bytes())
    assert len(only(tmp_path).sources) == 6
    ds = pydicom.dcmread(copy)
    ds.PixelData = bytes(2) + ds.PixelData[2:]
    ds.save_as(copy, enforce_file_format=True)
    with pytest.raises(UnreadableFile, match="same identifier"):
        read_paths([tmp_path])


def test_a_localiser_is_left_out_by_name(tmp_path: Path) -> None:
    write_ct(thorax(), tmp_path / "ct", ABOUT)
    scout = slices(tmp_path / "ct")[0]
    copy = scout.with_name("scout.dcm")
    copy.write_bytes(scout.read_bytes())
    change(copy, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], SOPInstanceUID="1.2.3", SeriesInstanceUID="1.2.4")
    found = read_paths([tmp_path])
    assert len(found.study.series) == 1
    assert "scout.dcm is CT, but a localiser" in found.skipped[0]


def test_rescale_padding_and_missing_voltage_are_read_as_the_file_says(tmp_path: Path) -> None:
    write_ct(thorax(), tmp_path / "ct", ABOUT)
    for path in slices(tmp_path / "ct"):
        ds = pydicom.dcmread(path)
        ds.RescaleSlope, ds.RescaleIntercept = 0.5, -1000
        ds.add_new(0x00280120, "US", int(ds.pixel_array[0, 0]))
        ds.save_as(path, enforce_file_format=True)
    series = only(tmp_path)
    assert isinstance(series.image, Volume)
    np.testing.assert_array_equal(series.image.array[0, 0], -1000.0)
    stored = np.asarray(thorax().array, float) + 1024
    np.testing.assert_allclose(series.image.array[1:, 1:, 0], (0.5 * stored - 1000)[1:, 1:, 0], atol=1e-3)
    assert "kvp" not in series.acquisition
    assert "kvp_unknown" in {flag.code for flag in series.flags}


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"RescaleSlope": None}, "rescale"),
        ({"ImagePositionPatient": None}, "where its slice lies"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "perpendicular"),
        ({"NumberOfFrames": 2, "Rows": 3}, "frames"),
    ],
)
def test_a_slice_that_makes_no_sense_is_named(tmp_path: Path, attributes: dict[str, Any], words: str) -> None:
    write_ct(thorax(), tmp_path / "ct", ABOUT)
    change(slices(tmp_path / "ct")[0], **attributes)
    found = read_paths([tmp_path])
    assert any(words in sentence and "ct-0001.dcm" in sentence for sentence in found.skipped)
    assert len(found.study.series) == 1


def test_a_tilted_gantry_keeps_its_slant(tmp_path: Path) -> None:
    write_ct(thorax(), tmp_path / "ct", ABOUT)
    for n, path in enumerate(slices(tmp_path / "ct")):
        position = [float(x) for x in pydicom.dcmread(path).ImagePositionPatient]
        change(path, ImagePositionPatient=[position[0], position[1] + n * 1.0, position[2]])
    series = only(tmp_path)
    assert "gantry_tilted" in {flag.code for flag in series.flags}
    assert isinstance(series.image, Volume)
    np.testing.assert_allclose(series.image.grid.affine[:3, 2], (0, 1, 5), atol=1e-6)


def test_a_ct_of_someone_else_is_refused(tmp_path: Path) -> None:
    write_ct(thorax(), tmp_path / "ct", ABOUT)
    make.write(make.recon(), tmp_path / "nm.dcm")
    with pytest.raises(MixedPatients):
        read_paths([tmp_path])


def test_a_mu_map_is_a_series_in_its_own_unit(tmp_path: Path) -> None:
    grid = Grid.axis_aligned((6, 5, 4), spacing_mm=6.4)
    mu = Volume(np.random.default_rng(0).uniform(0, 0.3, grid.shape).astype(np.float32), grid, "1/cm")
    written = write_nm(mu, tmp_path / "mu.dcm", description=ABOUT)
    series = only(tmp_path)
    assert (series.kind, series.name) == ("MU MAP", "mu-map")
    assert isinstance(series.image, Volume)
    assert series.image.unit == "1/cm"
    np.testing.assert_allclose(series.image.array, mu.array, atol=1.001 * written.max_error)
    ds = pydicom.dcmread(tmp_path / "mu.dcm")
    assert ds.ImageType[3] == "TRANSMISSION"
    assert ds.ImageComments.startswith("synthetic (simulated), not a patient; Stored value")


@pytest.mark.parametrize(
    ("volume", "kvp", "error"),
    [
        (Volume(np.zeros((3, 3, 3)), Grid.axis_aligned((3, 3, 3), spacing_mm=1), "counts"), 120, UnitMismatch),
        (Volume(np.full((3, 3, 3), 1e6), Grid.axis_aligned((3, 3, 3), spacing_mm=1), "HU"), 120, InvalidValue),
        (Volume(np.full((3, 3, 3), np.nan), Grid.axis_aligned((3, 3, 3), spacing_mm=1), "HU"), 120, InvalidValue),
        (Volume(np.zeros((3, 3, 3)), Grid.axis_aligned((3, 3, 3), spacing_mm=1), "HU"), 12, InvalidValue),
    ],
)
def test_what_is_no_ct_is_not_written_as_one(tmp_path: Path, volume: Volume, kvp: float, error: type) -> None:
    with pytest.raises(error):
        write_ct(volume, tmp_path / "ct", ABOUT, kvp=kvp)
    assert not (tmp_path / "ct").exists()
