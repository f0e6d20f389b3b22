"""Every voxel ends up where the DICOM put it; what had to be assumed says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nm_factory as make
import numpy as np
import pytest
from pydicom.dataset import Dataset

from myoscope.core import Flag, UnreadableFile, UnsupportedFile, Volume
from myoscope.io import read_paths


def _read(ds: Dataset, folder: Path) -> tuple[Volume, dict[str, Flag]]:
    series = read_paths([make.write(ds, folder / "a.dcm")]).study.series[0]
    assert isinstance(series.image, Volume)
    return series.image, {flag.code: flag for flag in series.flags}


def test_columns_rows_and_slices_step_as_the_header_says(tmp_path: Path) -> None:
    volume, flags = _read(make.recon(), tmp_path)
    # PixelSpacing is (row distance, column distance): 6 mm down, 5 mm to the right.
    np.testing.assert_allclose(volume.grid.to_mm([0, 0, 0]), [-20, -30, 100])
    np.testing.assert_allclose(volume.grid.to_mm([1, 0, 0]), [-15, -30, 100])
    np.testing.assert_allclose(volume.grid.to_mm([0, 1, 0]), [-20, -24, 100])
    np.testing.assert_allclose(volume.grid.to_mm([0, 0, 1]), [-20, -30, 104])
    assert not flags


def test_negative_spacing_stacks_slices_downwards(tmp_path: Path) -> None:
    volume, flags = _read(make.recon(SpacingBetweenSlices=-4.0), tmp_path)
    np.testing.assert_allclose(volume.grid.to_mm([0, 0, 4]), [-20, -30, 84])
    assert volume.grid.orientation == "LPI"
    assert not flags


@pytest.mark.parametrize(
    ("cosines", "orientation"),
    [
        ([1, 0, 0, 0, 1, 0], "LPS"),
        ([-1, 0, 0, 0, -1, 0], "RAS"),
        ([-1, 0, 0, 0, 1, 0], "RPI"),
        ([1, 0, 0, 0, 0, -1], "LIP"),
        ([0, 1, 0, 0, 0, -1], "PIR"),
    ],
)
def test_slices_follow_row_cross_column(tmp_path: Path, cosines: list[float], orientation: str) -> None:
    detector = make.item(ImageOrientationPatient=cosines, ImagePositionPatient=[0, 0, 0])
    volume, _ = _read(make.recon(DetectorInformationSequence=[detector]), tmp_path)
    assert volume.grid.orientation == orientation


def test_geometry_at_the_root_is_found(tmp_path: Path) -> None:
    ds = make.recon(
        DetectorInformationSequence=[make.item(CollimatorType="PARA")],
        ImageOrientationPatient=[-1, 0, 0, 0, -1, 0],
        ImagePositionPatient=[7, 8, 9],
    )
    volume, flags = _read(ds, tmp_path)
    assert volume.grid.orientation == "RAS"
    np.testing.assert_allclose(volume.grid.to_mm([0, 0, 0]), [7, 8, 9])
    assert not flags


def test_geometry_in_functional_groups_is_found(tmp_path: Path) -> None:
    ds = make.recon(DetectorInformationSequence=[])
    del ds.PixelSpacing, ds.SpacingBetweenSlices, ds.SliceThickness
    ds.SharedFunctionalGroupsSequence = [
        make.item(
            PixelMeasuresSequence=[make.item(PixelSpacing=[3, 3])],
            PlaneOrientationSequence=[make.item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
        )
    ]
    ds.PerFrameFunctionalGroupsSequence = [
        make.item(PlanePositionSequence=[make.item(ImagePositionPatient=[0, 0, 50 - 2.5 * k])]) for k in range(5)
    ]
    volume, _ = _read(ds, tmp_path)
    np.testing.assert_allclose(volume.grid.to_mm([1, 1, 2]), [3, 3, 45])


def test_geometry_given_twice_and_different_is_flagged(tmp_path: Path) -> None:
    ds = make.recon(ImageOrientationPatient=[-1, 0, 0, 0, -1, 0], ImagePositionPatient=[1, 2, 3])
    volume, flags = _read(ds, tmp_path)
    assert volume.grid.orientation == "LPS"
    assert flags["orientation_contradictory"].evidence["other"] == [-1, 0, 0, 0, -1, 0]
    assert flags["position_contradictory"].evidence["other"] == [1, 2, 3]


def test_missing_spacing_falls_back_to_the_thickness_and_says_so(tmp_path: Path) -> None:
    ds = make.recon()
    del ds.SpacingBetweenSlices
    volume, flags = _read(ds, tmp_path)
    assert volume.grid.spacing_mm[2] == pytest.approx(4)
    assert flags["slice_spacing_assumed"].evidence == {"thickness_mm": 4}


def test_spacing_of_zero_is_passed_over(tmp_path: Path) -> None:
    volume, flags = _read(make.recon(SpacingBetweenSlices=0.0), tmp_path)
    assert volume.grid.spacing_mm[2] == pytest.approx(4)
    assert {"slice_spacing_zero", "slice_spacing_assumed"} <= set(flags)


def test_spacing_that_contradicts_the_thickness_is_flagged(tmp_path: Path) -> None:
    volume, flags = _read(make.recon(SpacingBetweenSlices=-6.0), tmp_path)
    assert volume.grid.spacing_mm[2] == pytest.approx(6)
    assert flags["spacing_contradicts_thickness"].evidence == {"spacing_mm": -6, "thickness_mm": 4}


@pytest.mark.parametrize("empty", [None, [0, 0, 0, 0, 0, 0]])
@pytest.mark.parametrize("position", ["HFS", "FFS", "HFP", "FFP"])
def test_a_missing_orientation_is_assumed_in_the_patients_frame_and_flagged(
    tmp_path: Path, empty: list[int] | None, position: str
) -> None:
    detector = make.item(ImagePositionPatient=[0, 0, 0])
    if empty:
        detector.ImageOrientationPatient = empty
    volume, flags = _read(make.recon(DetectorInformationSequence=[detector], PatientPosition=position), tmp_path)
    assert volume.grid.orientation == "LPS"
    assert flags["orientation_inferred"].evidence == {"patient_position": position}


def test_a_missing_position_centres_the_image_and_says_so(tmp_path: Path) -> None:
    detector = make.item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    volume, flags = _read(make.recon(DetectorInformationSequence=[detector]), tmp_path)
    np.testing.assert_allclose(volume.grid.centre_mm, 0, atol=1e-9)
    assert flags["position_inferred"].severity == "info"


def test_short_axis_slices_without_an_orientation_are_refused(tmp_path: Path) -> None:
    ds = make.recon(DetectorInformationSequence=[], ViewCodeSequence=[make.code("103340004", "SCT", "Short axis")])
    with pytest.raises(UnsupportedFile, match="short axis"):
        _read_all(ds, tmp_path)


def test_slices_cut_along_the_heart_say_so(tmp_path: Path) -> None:
    detector = make.item(
        ImageOrientationPatient=[0.6, 0.8, 0, 0, 0, -1],
        ImagePositionPatient=[0, 0, 0],
        ViewCodeSequence=[make.code("G-A186", "SRT", "Short axis")],
    )
    volume, flags = _read(make.recon(DetectorInformationSequence=[detector]), tmp_path)
    assert set(flags) == {"already_reoriented"}
    np.testing.assert_allclose(volume.grid.direction[:, 0], [0.6, 0.8, 0])


def test_slices_stored_backwards_are_put_in_order_and_flagged(tmp_path: Path) -> None:
    pixels = make.counts(5, 8, 7)
    ds = make.nm(pixels[::-1], (make.SLICE,), SliceVector=[5, 4, 3, 2, 1])
    volume, flags = _read(ds, tmp_path)
    np.testing.assert_array_equal(volume.array, pixels.transpose(2, 1, 0))
    assert flags["slices_stored_out_of_order"].evidence == {"first_stored_slice": 5}


def _read_all(ds: Dataset, folder: Path) -> Any:
    from myoscope.io.dicom_header import load
    from myoscope.io.dicom_read import read_nm

    return read_nm(load(make.write(ds, folder / "a.dcm")).header)


@pytest.mark.parametrize(
    ("attributes", "word"),
    [
        ({"PixelSpacing": [0, 0]}, "PixelSpacing is 0"),
        ({"PixelSpacing": [-4, 4]}, "not negative"),
        ({"PixelSpacing": [4]}, "1 values"),
        ({"PixelSpacing": [4000, 4000]}, "in cm or m"),
        ({"PixelSpacing": None}, "does not state its PixelSpacing"),
        ({"SpacingBetweenSlices": None, "SliceThickness": None}, "neither SpacingBetweenSlices nor SliceThickness"),
        ({"SpacingBetweenSlices": 0, "SliceThickness": 0}, "SpacingBetweenSlices is 0"),
        ({"SpacingBetweenSlices": 1e9}, "no nuclear image"),
    ],
)
def test_sizes_that_are_no_sizes_are_refused(tmp_path: Path, attributes: dict[str, Any], word: str) -> None:
    with pytest.raises(UnreadableFile, match=word):
        _read_all(make.recon(**attributes), tmp_path)


@pytest.mark.parametrize(
    ("cosines", "word"),
    [
        ([1, 0, 0, 0, 2, 0], "length one"),
        ([1, 0, 0, 0.8, 0.6, 0], "not perpendicular"),
        ([1, 0, 0, 1, 0, 0], "not perpendicular"),
    ],
)
def test_an_orientation_that_is_none_is_refused(tmp_path: Path, cosines: list[float], word: str) -> None:
    detector = make.item(ImageOrientationPatient=cosines, ImagePositionPatient=[0, 0, 0])
    with pytest.raises(UnreadableFile, match=word):
        _read_all(make.recon(DetectorInformationSequence=[detector]), tmp_path)
