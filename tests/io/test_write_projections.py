"""NM projections out and back: frame by frame with pydicom, by SimpleITK, and by our own reader."""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from projection_sets import apart_deg, projections

from myoscope.core import Gating, InvalidValue, Projections, Series, Stated, Volume
from myoscope.core.geometry import Grid
from myoscope.io import NmDescription, read_paths, read_projections, write_nm, write_nm_projections

GATING = Gating(8, rr_ms=800.0, rr_low_ms=700, rr_high_ms=900, accepted_beats=1000, rejected_beats=20)
ACQUISITION = Path(__file__).parents[3] / "shared/data/spect-projections/stress-tomo-30views.dcm"


def angles_of_frames(ds: Any) -> np.ndarray:
    """The detector's angle at each frame, from the words of PS3.3 C.8.4.12."""
    angles = []
    for rotation, view in zip(ds.RotationVector, ds.AngularViewVector, strict=True):
        turn = ds.RotationInformationSequence[rotation - 1]
        sign = {"CW": -1, "CC": 1}[turn.RotationDirection]
        angles.append(float(turn.StartAngle) + sign * float(turn.AngularStep) * (view - 1))
    return np.array(angles)


def assert_same(back: Projections, original: Projections) -> None:
    order = np.argsort([round(float(a) % 360, 6) for a in original.angle_deg])
    there = np.argsort([round(float(a) % 360, 6) for a in back.angle_deg])
    np.testing.assert_array_equal(back.counts[:, :, there], original.counts[:, :, order])
    assert apart_deg(back.angle_deg[there], original.angle_deg[order]) < 1e-6
    np.testing.assert_allclose(back.radius_mm[there], original.radius_mm[order])
    np.testing.assert_allclose(back.view_duration_s[there], original.view_duration_s[order], atol=5e-4)
    assert back.pixel_mm == original.pixel_mm
    assert back.gating == original.gating
    assert [(w.lower_keV, w.upper_keV) for w in back.windows] == [(w.lower_keV, w.upper_keV) for w in original.windows]


@pytest.mark.parametrize("n_windows", [1, 2])
@pytest.mark.parametrize("gating", [None, GATING], ids=["ungated", "gated"])
@pytest.mark.parametrize(("start", "step"), [(225.44, -6.0), (45.0, 3.0), (20.0, -5.625)])
def test_every_view_of_every_window_and_gate_comes_back_at_its_angle(
    tmp_path: Path, n_windows: int, gating: Gating | None, start: float, step: float
) -> None:
    original = projections(n_windows=n_windows, gating=gating, start_deg=start, step_deg=step)
    written = write_nm_projections(original, tmp_path / "p.dcm")
    assert (written.slope, written.max_error) == (1.0, 0.0)
    ds = pydicom.dcmread(tmp_path / "p.dcm")
    assert ds.ImageType[2] == ("GATED TOMO" if gating else "TOMO")
    angles = angles_of_frames(ds)
    gates = ds.TimeSlotVector if gating else [1] * len(angles)
    for n, (window, gate, view) in enumerate(zip(ds.EnergyWindowVector, gates, ds.AngularViewVector, strict=True)):
        np.testing.assert_array_equal(ds.pixel_array[n], original.counts[window - 1, gate - 1, view - 1])
        assert apart_deg(angles[n : n + 1], original.angle_deg[view - 1 : view]) < 1e-6
    assert_same(read_projections(tmp_path / "p.dcm"), original)


def test_the_frame_pointer_names_the_vectors_in_the_order_of_the_standard(tmp_path: Path) -> None:
    write_nm_projections(projections(gating=GATING), tmp_path / "p.dcm")
    ds = pydicom.dcmread(tmp_path / "p.dcm")
    names = [pydicom.datadict.keyword_for_tag(tag) for tag in ds.FrameIncrementPointer]
    assert names == [
        "EnergyWindowVector",
        "DetectorVector",
        "RotationVector",
        "RRIntervalVector",
        "TimeSlotVector",
        "AngularViewVector",
    ]


def test_the_detector_faces_the_patient_at_the_angle_it_says(tmp_path: Path) -> None:
    """As on a real acquisition: at angle a the rows run along (-cos a, sin a, 0), the columns to the feet."""
    write_nm_projections(projections(start_deg=225.44), tmp_path / "p.dcm")
    detector = pydicom.dcmread(tmp_path / "p.dcm").DetectorInformationSequence[0]
    cosines = np.array(detector.ImageOrientationPatient, float)
    np.testing.assert_allclose(cosines, [0.70167, -0.71250, 0, 0, 0, -1], atol=3e-5)
    width, height = 6.8, 6.4
    centre = np.array(detector.ImagePositionPatient, float) + 3.5 * width * cosines[:3] + 4.5 * height * cosines[3:]
    assert np.linalg.norm(centre) == pytest.approx(210)
    facing = np.cross(cosines[:3], cosines[3:])
    np.testing.assert_allclose(-centre / 210, facing, atol=1e-6)
    assert centre[0] < 0  # at the right
    assert centre[1] < 0  # in front


def test_views_at_irregular_angles_take_several_rotations(tmp_path: Path) -> None:
    angle = np.array([10.0, 20, 30, 90, 91, 92, 93, 200, 170, 140])
    original = projections(n_views=10, angle_deg=angle)
    write_nm_projections(original, tmp_path / "p.dcm")
    ds = pydicom.dcmread(tmp_path / "p.dcm")
    assert ds.NumberOfRotations == len(ds.RotationInformationSequence) > 1
    assert sum(turn.NumberOfFramesInRotation for turn in ds.RotationInformationSequence) == 10
    assert apart_deg(angles_of_frames(ds), angle) < 1e-6
    assert_same(read_projections(tmp_path / "p.dcm"), original)


def test_views_of_different_durations_take_several_rotations(tmp_path: Path) -> None:
    seconds = np.array([20.0] * 6 + [30.0] * 6)
    original = projections(view_duration_s=seconds)
    write_nm_projections(original, tmp_path / "p.dcm")
    assert_same(read_projections(tmp_path / "p.dcm"), original)


def test_an_orbit_that_is_no_circle_keeps_its_radii(tmp_path: Path) -> None:
    original = projections(radius_mm=200.0 + np.arange(12))
    write_nm_projections(original, tmp_path / "p.dcm")
    assert_same(read_projections(tmp_path / "p.dcm"), original)


def test_what_is_not_known_stays_unknown(tmp_path: Path) -> None:
    unknown = np.full(12, np.nan)
    write_nm_projections(projections(radius_mm=unknown, view_duration_s=unknown), tmp_path / "p.dcm")
    turn = pydicom.dcmread(tmp_path / "p.dcm").RotationInformationSequence[0]
    assert "RadialPosition" not in turn
    assert "ActualFrameDuration" not in turn
    back = read_projections(tmp_path / "p.dcm")
    assert np.isnan(back.radius_mm).all()
    assert np.isnan(back.view_duration_s).all()


def test_a_single_view_is_a_rotation_of_its_own(tmp_path: Path) -> None:
    write_nm_projections(projections(n_views=1), tmp_path / "p.dcm")
    turn = pydicom.dcmread(tmp_path / "p.dcm").RotationInformationSequence[0]
    assert (turn.NumberOfFramesInRotation, float(turn.StartAngle)) == (1, 225)


def test_means_of_counts_come_back_within_the_stated_error(tmp_path: Path) -> None:
    means = np.random.default_rng(0).gamma(2, 10, (1, 1, 12, 10, 8))
    written = write_nm_projections(projections(counts=means), tmp_path / "p.dcm")
    back = read_projections(tmp_path / "p.dcm")
    np.testing.assert_allclose(back.counts[:, :, ::-1], means, rtol=0, atol=written.max_error * (1 + 1e-9))
    with pytest.raises(InvalidValue, match="missing"):
        write_nm_projections(projections(counts=means * np.nan), tmp_path / "n.dcm")


def test_simpleitk_sees_the_same_counts(tmp_path: Path) -> None:
    import SimpleITK

    original = projections(gating=GATING)
    write_nm_projections(original, tmp_path / "p.dcm", transfer_syntax="rle")
    frames = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / "p.dcm")))
    np.testing.assert_array_equal(frames, original.counts.reshape(-1, 10, 8))


@pytest.mark.parametrize(
    ("term", "position", "gantry"), [("HFS", "supine", "headfirst"), ("FFP", "prone", "feet-first")]
)
def test_how_the_patient_lay_is_written_in_codes(tmp_path: Path, term: str, position: str, gantry: str) -> None:
    write_nm_projections(projections(patient_position=term), tmp_path / "p.dcm")
    ds = pydicom.dcmread(tmp_path / "p.dcm")
    modifier = ds.PatientOrientationCodeSequence[0].PatientOrientationModifierCodeSequence[0]
    assert modifier.CodeMeaning == position
    assert ds.PatientGantryRelationshipCodeSequence[0].CodeMeaning == gantry


def test_a_seed_makes_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_nm_projections(projections(), tmp_path / name, description=NmDescription(uid_seed="demo"))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_reconstructions_and_projections_are_not_mixed_up(tmp_path: Path) -> None:
    volume = Volume(np.ones((2, 2, 2)), Grid.axis_aligned((2, 2, 2), spacing_mm=4), "counts")
    with pytest.raises(InvalidValue, match="write_nm_projections stores them"):
        write_nm(Series("p", "TOMO", projections()), tmp_path / "p.dcm")
    with pytest.raises(InvalidValue, match="write_nm stores it"):
        write_nm_projections(Series("v", "RECON TOMO", volume), tmp_path / "v.dcm")


@pytest.mark.skipif(not ACQUISITION.exists(), reason="the shared acquisition is not here")
def test_a_real_acquisition_written_anew_has_the_same_views(tmp_path: Path) -> None:
    original = read_projections(ACQUISITION)
    series = Series("stress", "TOMO", original, state=Stated("stress", "code"))
    write_nm_projections(series, tmp_path / "p.dcm")
    assert_same(read_projections(tmp_path / "p.dcm"), original)
    assert original.counts.sum() == 3_949_221


def test_views_without_an_orbit_keep_their_own_order(tmp_path: Path) -> None:
    angles = np.array([200.0, 170.0, 185.0, 170.0, 140.5])
    base = projections(n_windows=1, gating=None, start_deg=0.0, step_deg=3.0)
    own = Projections(
        base.counts[:, :, :5],
        angles,
        np.array([150.0, 151, 152, 153, 154]),
        base.pixel_mm,
        base.windows,
        np.full(5, 300.0),
        collimator="generic 19-pinhole",
    )
    about = NmDescription(geometry="generic 19-pinhole", uid_seed="x")
    write_nm_projections(own, tmp_path / "p.dcm", description=about)
    (series,) = read_paths([tmp_path]).study.series
    assert series.acquisition["geometry"] == "generic 19-pinhole"
    assert isinstance(series.image, Projections)
    np.testing.assert_array_equal(series.image.counts, own.counts)
    np.testing.assert_array_equal(series.image.angle_deg, angles)
    np.testing.assert_array_equal(series.image.radius_mm, own.radius_mm)
    assert series.image.collimator == own.collimator


def test_the_name_of_a_collimator_comes_back(tmp_path: Path) -> None:
    write_nm_projections(projections(collimator="SY-LEHR"), tmp_path / "p.dcm")
    assert read_projections(tmp_path / "p.dcm").collimator == "SY-LEHR"
