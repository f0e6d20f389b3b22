"""What the reader makes of real files: 55 reconstructions of a GE NM 530c and one real acquisition."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pydicom
import pytest
from nibabel.nifti1 import Nifti1Image

from myoscope.core import MixedPatients, Projections, Series, Volume
from myoscope.io import read_paths
from myoscope.io.dicom_views import orientation_angle_deg

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
SCANS = sorted((DATA / "physionet-mps" / "dicom").glob("*.dcm"))
ACQUISITION = DATA / "spect-projections" / "stress-tomo-30views.dcm"

needs_scans = pytest.mark.skipif(not SCANS, reason="the shared real data is not here (physionet-mps)")
needs_acquisition = pytest.mark.skipif(
    not ACQUISITION.exists(), reason="the shared real data is not here (spect-projections)"
)


@pytest.fixture(scope="module")
def scans() -> dict[str, Series]:
    found = {}
    for path in SCANS:
        study = read_paths([path]).study
        assert len(study.series) == 1
        found[path.stem] = study.series[0]
    return found


@needs_scans
def test_every_scan_is_where_its_mask_is(scans: dict[str, Series]) -> None:
    n_compared = 0
    for uid, series in scans.items():
        mask = DATA / "physionet-mps" / "masks" / f"{uid}_mask.nii.gz"
        if not mask.exists():
            continue
        # NIfTI is RAS, ours is LPS.
        expected = np.diag([-1, -1, 1, 1]) @ Nifti1Image.from_filename(mask).affine
        assert isinstance(series.image, Volume)
        np.testing.assert_allclose(series.image.grid.affine, expected, atol=1e-3)
        assert series.image.grid.shape == Nifti1Image.from_filename(mask).shape
        n_compared += 1
    assert n_compared >= 52


@needs_scans
def test_voxels_are_those_of_an_independent_reader(scans: dict[str, Series]) -> None:
    for path in SCANS[::9]:
        image = scans[path.stem].image
        assert isinstance(image, Volume)
        np.testing.assert_array_equal(image.array, pydicom.dcmread(path).pixel_array.transpose(2, 1, 0))


@needs_scans
def test_states_positions_and_cameras_are_as_described(scans: dict[str, Series]) -> None:
    names = Counter(series.name for series in scans.values())
    assert names == {"rest": 49, "stress": 3, "stress-prone": 2, "rest-prone": 1}
    for series in scans.values():
        assert series.kind == "RECON TOMO"
        assert not series.gated
        assert series.state.source == "description"
        assert series.tracer.value == "Tc-99m"
        assert series.camera.value == "GE Discovery NM 530c, multi-pinhole"
        assert series.image.made_by == ("read from NM DICOM",)
        assert isinstance(series.image, Volume)
        assert series.image.unit == "counts (rescaled)"
        assert series.image.grid.orientation == "LPI"


@needs_scans
def test_nothing_in_the_real_geometry_contradicts_itself(scans: dict[str, Series]) -> None:
    flags = Counter(flag.code for series in scans.values() for flag in series.flags)
    assert flags == {"pixels_rescaled": 55, "described_as_gated": 3}


@needs_scans
def test_prone_scans_lie_in_the_patients_own_frame(scans: dict[str, Series]) -> None:
    """The heart's long axis points to the left and forward in prone scans as in supine ones.

    The mask's hollow opens towards the base, so the wall's centroid lies on the apical side of the middle of the
    cavity, taken as the middle of the mask's bounding box.
    """
    leans: dict[str, list[np.ndarray]] = {"prone": [], "supine": []}
    for uid, series in scans.items():
        mask = DATA / "physionet-mps" / "masks" / f"{uid}_mask.nii.gz"
        if not mask.exists() or series.position.value is None:
            continue
        assert isinstance(series.image, Volume)
        wall = series.image.grid.to_mm(np.argwhere(np.asarray(Nifti1Image.from_filename(mask).dataobj) > 0))
        leans[series.position.value].append(wall.mean(axis=0) - 0.5 * (wall.min(axis=0) + wall.max(axis=0)))
    assert len(leans["prone"]) == 3
    supine, prone = np.mean(leans["supine"], axis=0), np.mean(leans["prone"], axis=0)
    for lean in (supine, prone):
        assert lean[0] > 0  # left
        assert lean[1] < 0  # anterior


@needs_scans
def test_all_patients_at_once_are_refused() -> None:
    with pytest.raises(MixedPatients, match="48 patients"):
        read_paths([DATA / "physionet-mps"])


@needs_scans
def test_all_scans_of_one_patient_make_one_study() -> None:
    by_patient: dict[str, list[Path]] = {}
    for path in SCANS:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        by_patient.setdefault(str(header.PatientID), []).append(path)
    largest = max(by_patient.values(), key=len)
    assert len(largest) == 4
    assert len(read_paths(largest).study.series) == 4


@needs_acquisition
def test_the_real_acquisition_is_read_with_all_its_counts() -> None:
    series = read_paths([ACQUISITION]).study.series[0]
    image = series.image
    assert isinstance(image, Projections)
    assert int(image.counts.sum(dtype=np.int64)) == 3_949_221 == series.acquisition["counts_accumulated"]
    assert image.counts.shape == (1, 1, 30, 64, 64)
    assert image.pixel_mm == pytest.approx((6.799385, 6.799385))
    assert image.view_duration_s == pytest.approx(25.717)
    assert (series.state.value, series.state.source) == ("stress", "code")
    assert (series.tracer.value, series.tracer.source) == ("Tc-99m sestamibi", "code")
    assert series.position.value == "supine"
    assert {flag.code for flag in series.flags} == {"radius_unusual"}


@needs_acquisition
def test_the_real_detector_turns_from_right_anterior_to_left_posterior() -> None:
    """Clockwise from 225 degrees: over the front (180) to the left (90), as stress is acquired everywhere."""
    header = pydicom.dcmread(ACQUISITION, stop_before_pixels=True)
    cosines = [float(v) for v in header.DetectorInformationSequence[0].ImageOrientationPatient]
    by_orientation = orientation_angle_deg(cosines)
    assert by_orientation == pytest.approx(float(header.RotationInformationSequence[0].StartAngle), abs=0.01)
    image = read_paths([ACQUISITION]).study.series[0].image
    assert isinstance(image, Projections)
    np.testing.assert_allclose(image.angle_deg, 51.44 + 6 * np.arange(30))
    pixels = pydicom.dcmread(ACQUISITION).pixel_array
    np.testing.assert_array_equal(image.counts[0, 0], pixels[::-1])
