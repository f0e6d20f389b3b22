"""Views of all detectors become one list by angle, as DICOM counts angles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nm_factory as make
import numpy as np
import pytest
from pydicom.dataset import Dataset

from myoscope.core import Flag, Projections, UnreadableFile, UnsupportedFile
from myoscope.io import read_paths, read_projections, read_volume
from myoscope.io.dicom_views import orientation_angle_deg


def _read(ds: Dataset, folder: Path) -> tuple[Projections, dict[str, Flag]]:
    series = read_paths([make.write(ds, folder / "a.dcm")]).study.series[0]
    assert isinstance(series.image, Projections)
    return series.image, {flag.code: flag for flag in series.flags}


def test_a_clockwise_rotation_counts_angles_down(tmp_path: Path) -> None:
    projections, flags = _read(make.tomo(), tmp_path)
    np.testing.assert_allclose(projections.angle_deg, [90, 135, 180, 225])
    pixels = make.counts(1, 1, 1, 4, 8, 7, seed=2)[0, 0, 0]
    np.testing.assert_array_equal(projections.counts[0, 0], pixels[::-1])
    np.testing.assert_allclose(projections.radius_mm, 200)
    np.testing.assert_allclose(projections.view_duration_s, 20)
    assert projections.pixel_mm == (5, 6)
    assert not flags


def test_a_counter_clockwise_rotation_counts_angles_up_and_goes_on_beyond_360(tmp_path: Path) -> None:
    turn = make.rotation(RotationDirection="CC", StartAngle=270.0)
    a = np.radians(270.0)
    head = make.item(ImageOrientationPatient=[float(-np.cos(a)), float(np.sin(a)), 0, 0, 0, -1])
    ds = make.tomo(RotationInformationSequence=[turn], DetectorInformationSequence=[head])
    projections, flags = _read(ds, tmp_path)
    np.testing.assert_allclose(projections.angle_deg, [270, 315, 360, 405])
    assert not flags


@pytest.mark.parametrize("shuffle", [None, 1, 2])
def test_two_detectors_are_merged_by_angle(tmp_path: Path, shuffle: int | None) -> None:
    projections, flags = _read(make.tomo(n_detectors=2, shuffle=shuffle), tmp_path)
    # Detector 1 turns 225, 180, 135, 90; detector 2, by its orientation, 315, 270, 225, 180.
    np.testing.assert_allclose(projections.angle_deg, [90, 135, 180, 180, 225, 225, 270, 315])
    pixels = make.counts(1, 2, 1, 4, 8, 7, seed=2)[0, :, 0]
    np.testing.assert_array_equal(projections.counts[0, 0, 0], pixels[0, 3])
    np.testing.assert_array_equal(projections.counts[0, 0, 7], pixels[1, 0])
    assert set(flags) == set()


def test_a_detectors_own_start_angle_goes_before_the_rotations(tmp_path: Path) -> None:
    heads = [make.item(StartAngle=10.0), make.item(StartAngle=190.0)]
    projections, _ = _read(make.tomo(n_detectors=2, DetectorInformationSequence=heads), tmp_path)
    np.testing.assert_allclose(sorted(projections.angle_deg % 360), [10, 55, 100, 145, 190, 235, 280, 325])


def test_a_second_detector_of_unknown_angle_is_refused(tmp_path: Path) -> None:
    ds = make.tomo(n_detectors=2, DetectorInformationSequence=[make.item(), make.item()])
    with pytest.raises(UnreadableFile, match="at which angle detector 2 started"):
        read_projections(make.write(ds, tmp_path / "a.dcm"))


def test_views_numbered_through_over_both_detectors_are_understood(tmp_path: Path) -> None:
    ds = make.tomo(n_detectors=2)
    ds.AngularViewVector = list(range(1, 9))
    projections, _ = _read(ds, tmp_path)
    np.testing.assert_allclose(projections.angle_deg, [90, 135, 180, 180, 225, 225, 270, 315])


def test_energy_windows_keep_their_order_and_limits(tmp_path: Path) -> None:
    projections, _ = _read(make.tomo(n_windows=2, shuffle=3), tmp_path)
    assert [(w.lower_keV, w.upper_keV) for w in projections.windows] == [(126, 154), (106, 124)]
    pixels = make.counts(2, 1, 1, 4, 8, 7, seed=2)[:, 0, 0]
    np.testing.assert_array_equal(projections.counts[:, 0], pixels[:, ::-1])


def test_gated_projections_keep_gates_apart(tmp_path: Path) -> None:
    projections, flags = _read(make.gated_tomo(shuffle=5), tmp_path)
    pixels = make.counts(1, 1, 1, 1, 8, 4, 8, 7, seed=3)[0, 0, 0, 0]
    np.testing.assert_array_equal(projections.counts[0], pixels[:, ::-1])
    assert projections.gating is not None
    assert projections.gating.rr_ms == 800  # 8 gates of 100 ms
    assert set(flags) == {"rr_inferred"}


def test_a_missing_view_is_named(tmp_path: Path) -> None:
    ds = make.tomo()
    frames = np.frombuffer(ds.PixelData, "u2").reshape(4, 8, 7)
    ds.PixelData, ds.NumberOfFrames = frames[[0, 2, 3]].tobytes(), 3
    for vector in ("EnergyWindowVector", "DetectorVector", "RotationVector"):
        setattr(ds, vector, [1, 1, 1])
    ds.AngularViewVector = [1, 3, 3]
    with pytest.raises(UnreadableFile, match="view 2 of detector 1 is missing"):
        read_projections(make.write(ds, tmp_path / "a.dcm"))


def test_rows_that_run_to_the_head_are_turned(tmp_path: Path) -> None:
    a = np.radians(225.0)
    head = make.item(ImageOrientationPatient=[float(np.cos(a)), float(-np.sin(a)), 0, 0, 0, 1])
    plain, _ = _read(make.tomo(), tmp_path)
    turned, _ = _read(make.tomo(DetectorInformationSequence=[head]), tmp_path)
    np.testing.assert_array_equal(turned.counts, plain.counts[:, :, :, ::-1])
    assert "turned" in turned.made_by[1]


def test_a_radius_for_each_view_follows_its_view(tmp_path: Path) -> None:
    turn = make.rotation(RadialPosition=[210.0, 220.0, 230.0, 240.0])
    projections, _ = _read(make.tomo(RotationInformationSequence=[turn]), tmp_path)
    np.testing.assert_allclose(projections.radius_mm, [240, 230, 220, 210])


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        ({"StartAngle": 30.0}, "start_angle_contradicts_orientation"),
        ({"ScanArc": 360.0}, "scan_arc_contradicts_views"),
        ({"RadialPosition": 700.0}, "radius_unusual"),
        ({"RadialPosition": [1.0, 2.0]}, "radial_positions_do_not_fit"),
        ({"AngularStep": None}, "angular_step_inferred"),
        ({"StartAngle": None}, "start_angle_inferred"),
    ],
)
def test_contradictions_of_the_rotation_are_flagged(tmp_path: Path, change: dict[str, Any], flag: str) -> None:
    _, flags = _read(make.tomo(RotationInformationSequence=[make.rotation(**change)]), tmp_path)
    assert flag in flags


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"RotationDirection": ""}, "RotationDirection"),
        ({"AngularStep": 0, "ScanArc": 0}, "AngularStep"),
        ({"AngularStep": 1e6}, "no tomography"),
    ],
)
def test_a_rotation_that_says_too_little_is_refused(tmp_path: Path, change: dict[str, Any], word: str) -> None:
    ds = make.tomo(RotationInformationSequence=[make.rotation(**change)])
    with pytest.raises(UnreadableFile, match=word):
        read_projections(make.write(ds, tmp_path / "a.dcm"))


@pytest.mark.parametrize("angle_deg", [0.0, 45.0, 90.0, 180.0, 225.44, 300.0])
def test_a_detector_faces_the_axis_from_its_angle(angle_deg: float) -> None:
    # 0 = behind the patient (+y), 90 = at the left (+x): the detector at (sin, cos) looks along (-sin, -cos).
    a = np.radians(angle_deg)
    facing = np.array([-np.sin(a), -np.cos(a), 0])
    down = np.array([0.0, 0.0, -1.0])
    row = np.cross(down, facing)
    found = orientation_angle_deg([*row, *down])
    assert found is not None
    assert abs((found - angle_deg + 180) % 360 - 180) < 1e-9


def test_volumes_and_projections_are_not_taken_for_each_other(tmp_path: Path) -> None:
    volume, projections = make.write(make.recon(), tmp_path / "v.dcm"), make.write(make.tomo(), tmp_path / "p.dcm")
    with pytest.raises(UnsupportedFile, match="projections, not a reconstructed"):
        read_volume(projections)
    with pytest.raises(UnsupportedFile, match="reconstructed volume, not projections"):
        read_projections(volume)
