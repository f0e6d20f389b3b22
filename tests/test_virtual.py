"""A virtual patient's study: files that other programs open and that say they are synthetic, the truth beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK
import torch

from myoscope import io, virtual_rows
from myoscope.analyze import Settings, analyze_study
from myoscope.core import InvalidValue, OutputError, Projections, Surfaces, Volume
from myoscope.reconstruct import ReconstructionSettings
from myoscope.simulate.cameras import CAMERAS
from myoscope.simulate.patient import TRUTH_MAPS, VirtualPatient, draw_patient
from myoscope.simulate.sites import SITES
from myoscope.virtual import (
    COMMENT,
    CT_KVP,
    PatientSettings,
    photograph,
    reconstruction_settings,
    simulate_patient,
)
from myoscope.virtual_rows import image_study, study_columns, study_maps

# The quickest site that still has everything: one position, filtered back-projection, a corrected image.
QUICK = replace(
    SITES["harbour"],
    reconstruction=replace(SITES["harbour"].reconstruction, iterations=1, response=False),
    gated_reconstruction=SITES["north"].gated_reconstruction,
)
SHIFT_MM = (0.0, 0.0, 12.0)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, VirtualPatient]:
    out = tmp_path_factory.mktemp("virtual") / "study"
    told: list[float] = []
    settings = PatientSettings(seed=3, site=QUICK, disease="LAD", misregistration_mm=SHIFT_MM)
    patient = simulate_patient(settings, out, progress=lambda step, share: told.append(share))
    assert told == sorted(told)
    assert told[-1] == 1.0
    return out, patient


def test_the_study_is_read_as_one_patient_with_all_its_series(written: tuple[Path, VirtualPatient]) -> None:
    found = io.read_paths([written[0]])
    names = {
        f"{state}-{what}"
        for state in ("stress", "rest")
        for what in ("projections", "projections-gated", "nc", "ac", "gated")
    }
    read = {series.name for series in found.study.series}
    # A gated image without correction may say so in its name.
    assert {name.replace("gated-nc", "gated") for name in read} == names | {"ct", "mu-map"}
    assert found.skipped == ()
    by_name = {series.name: series for series in found.study.series}
    for series in by_name.values():
        assert series.sex.value == written[1].facts.person.sex
        if series.kind not in ("CT", "MU MAP"):
            assert series.tracer.value == "Tc-99m tetrofosmin"
            assert series.position.value == "supine"
    assert by_name["ct"].acquisition["kvp"] == CT_KVP
    places = {s.frame_of_reference_sha256 for s in by_name.values()}
    assert len(places) == 1


def test_every_object_says_that_it_is_synthetic(written: tuple[Path, VirtualPatient]) -> None:
    files = sorted((written[0] / "dicom").rglob("*.dcm"))
    assert len(files) > 50
    for path in files:
        ds = pydicom.dcmread(path, stop_before_pixels=True)
        assert str(ds.PatientName).startswith("Synthetic^")
        assert ds.PatientComments == COMMENT
        assert ds.ImageComments.startswith(COMMENT)
        assert ds[0x0032, 0x4000].value == COMMENT


def test_other_programs_open_images_and_truth(written: tuple[Path, VirtualPatient]) -> None:
    sitk: Any = SimpleITK
    image = sitk.ReadImage(str(written[0] / "dicom" / "stress-supine.dcm"))
    ours = io.read_volume(written[0] / "dicom" / "stress-supine.dcm")
    slope = float(pydicom.dcmread(written[0] / "dicom" / "stress-supine.dcm").get("RescaleSlope", 1))
    array = np.asarray(sitk.GetArrayFromImage(image), float).transpose(2, 1, 0)
    scale = 1.0 if np.isclose(array.max(), np.asarray(ours.array).max(), rtol=1e-3) else slope
    np.testing.assert_allclose(array * scale, ours.array, rtol=1e-4, atol=1e-6)
    truth = sitk.ReadImage(str(written[0] / "truth" / "stress-supine-activity.nii.gz"))
    assert truth.GetSize() == ours.grid.shape


def test_projections_come_back_as_they_were_counted(written: tuple[Path, VirtualPatient]) -> None:
    out, patient = written
    look = patient.looks()[0]
    images = photograph(patient, look, gated=True)
    assert images.gated_projections is not None
    for name, original in (("projections", images.projections), ("gated-projections", images.gated_projections)):
        back = io.read_projections(out / "dicom" / f"stress-supine-{name}.dcm")
        order, there = np.argsort(original.angle_deg % 360), np.argsort(back.angle_deg % 360)
        np.testing.assert_array_equal(back.counts[:, :, there], original.counts[:, :, order])
        assert back.collimator == original.collimator
        assert (back.gating is None) == (original.gating is None)
    # A beat that was rejected is in the ungated image only.
    assert images.gated_projections.counts.sum() <= images.projections.counts.sum()


def test_projections_alone_find_limits_made_for_their_reconstruction(written: tuple[Path, VirtualPatient]) -> None:
    out, _ = written
    found = io.read_paths([out / "dicom" / "stress-supine-projections.dcm"])
    study = analyze_study(found.study, settings=Settings(workers=1))
    (heart,) = [one.heart for one in study.series if one.heart is not None]
    assert heart.limits is not None
    assert "OSEM" in heart.limits.kind.processing
    tpd = heart.quantity("TPD")
    assert tpd is not None
    assert tpd.value is not None
    assert tpd.interval_of == ""


def test_the_ct_and_its_map_are_misplaced_as_asked(written: tuple[Path, VirtualPatient]) -> None:
    out, patient = written
    look = patient.looks()[0]
    mu = io.read_volume(out / "dicom" / "mu-map.dcm")
    assert mu.unit == "1/cm"
    true = np.asarray(patient.tissues(look.state, look.position, mu.grid).attenuation_per_cm(140.5).array)
    steps = {shift: np.roll(true, shift, axis=2)[:, :, 4:-4] for shift in (-2, -1, 0, 1, 2)}
    error = {shift: float(np.abs(np.asarray(mu.array)[:, :, 4:-4] - moved).mean()) for shift, moved in steps.items()}
    # 12 mm up is about two voxels of 6.4 mm.
    assert min(error, key=error.__getitem__) == 2
    (ct,) = [s for s in io.read_paths([out / "dicom" / "ct"]).study.series if s.kind == "CT"]
    assert isinstance(ct.image, Volume)
    assert ct.image.unit == "HU"


def test_the_truth_beside_it_is_that_of_the_patient(written: tuple[Path, VirtualPatient]) -> None:
    out, patient = written
    truth = json.loads((out / "truth.json").read_text())
    assert truth["ct_misregistration_mm"] == list(SHIFT_MM)
    assert {k: v for k, v in truth.items() if k != "ct_misregistration_mm"} == json.loads(json.dumps(patient.truth()))
    with np.load(out / "truth" / "polar_maps.npz") as maps:
        assert set(maps.files) == set(TRUTH_MAPS)
        np.testing.assert_array_equal(maps["truth_stress_uptake"], patient.facts.stress_uptake)
    mu = io.read_nifti(out / "truth" / "stress-supine-mu.nii.gz")
    assert mu.unit == "1/cm"
    assert 0.12 < float(np.percentile(mu.array, 95)) < 0.30
    walls = io.load(out / "truth" / "stress-supine-surfaces.npz")
    assert isinstance(walls, Surfaces)
    assert walls.n_gates == SITES["harbour"].gates
    wall = io.read_nifti(out / "truth" / "stress-supine-lv-wall.nii.gz")
    volume_mL = float(np.asarray(wall.array).sum()) * wall.grid.voxel_volume_mL
    assert abs(volume_mL * 1.05 - patient.heart.mass_g) < 0.15 * patient.heart.mass_g


def test_a_folder_that_is_there_is_not_touched(written: tuple[Path, VirtualPatient]) -> None:
    with pytest.raises(OutputError, match="exists already"):
        simulate_patient(PatientSettings(seed=3, site="north"), written[0])
    with pytest.raises(InvalidValue, match="no CT"):
        simulate_patient(
            PatientSettings(seed=3, site="north", misregistration_mm=(5, 0, 0)), written[0].with_name("other")
        )
    assert not written[0].with_name("other").exists()
    with pytest.raises(InvalidValue, match="100 mm"):
        PatientSettings(seed=1, misregistration_mm=(0, 0, 400.0))


@pytest.mark.parametrize("site", ["hillside", "riverside"])
def test_projections_of_cameras_without_an_orbit_come_back(site: str, tmp_path: Path) -> None:
    camera = CAMERAS[SITES[site].camera]
    rng = np.random.default_rng(0)
    original = Projections(
        rng.poisson(5, (1, 1, camera.n_views, 4, 3)).astype(np.uint16),
        camera.angle_deg,
        np.full(camera.n_views, 160.0),
        (2.46, 2.46),
        draw_patient(1, site=site).emission.windows[:1],
        np.full(camera.n_views, 10.0),
        collimator=camera.collimator,
    )
    about = io.NmDescription(geometry=camera.collimator)
    io.write_nm_projections(original, tmp_path / "p.dcm", description=about)
    back = io.read_projections(tmp_path / "p.dcm")
    np.testing.assert_array_equal(back.counts, original.counts)
    np.testing.assert_array_equal(back.angle_deg, original.angle_deg)
    assert back.collimator == original.collimator


def test_a_row_of_a_registry_has_every_column_and_the_maps_that_were_made() -> None:
    site = replace(SITES["north"], positions=("supine",))
    row = image_study(3, site, "all", 1, states=("stress",), gated=True)
    again = image_study(3, site, "all", 1, states=("stress",), gated=True)
    assert row.values.keys() == {column.name for column in study_columns()}
    assert row.values["stress_supine_heart"] == "found"
    assert row.values["rest_supine_heart"] == "not imaged"
    kinds = {kind.name for kind in study_maps(("stress",), gated=True)}
    assert set(row.maps) <= kinds
    assert "truth_stress_phase" in kinds
    assert not kinds & {"truth_rest_phase", "truth_rest_thickness"}
    assert {"stress_supine", "stress_thickening", "stress_phase", "truth_stress_uptake"} <= set(row.maps)
    for name, values in row.maps.items():
        np.testing.assert_array_equal(values, again.maps[name])
    # Measured on images that are blurred and noisy, but it is this heart.
    assert abs(float(row.values["stress_ef_percent"]) - float(row.values["truth_stress_ef_percent"])) < 25
    seen = np.isfinite(row.maps["stress_supine"])
    assert seen.mean() > 0.95
    assert np.nanmin(row.maps["stress_supine"]) > 0


def test_the_map_of_a_sick_heart_follows_its_uptake() -> None:
    site = replace(SITES["north"], positions=("supine",))
    row = image_study(3, site, "referred", 3, states=("stress",), gated=False)
    measured, true = (row.maps[name][5:32] for name in ("stress_supine", "truth_stress_uptake"))
    dark = true < 0.6 * np.percentile(true, 95)
    assert 0.1 < dark.mean() < 0.5
    assert measured[dark].mean() < 0.8 * measured[~dark].mean()


def test_a_look_that_fails_leaves_its_reason_and_the_rest_of_the_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise np.linalg.LinAlgError("singular")

    monkeypatch.setattr(virtual_rows, "photograph", fails)
    row = image_study(3, SITES["north"], "all", 1, states=("stress",), gated=False)
    assert row.values["stress_supine_heart"] == "failed: singular"
    assert "stress_supine" not in row.maps
    assert "truth_stress_uptake" in row.maps


def test_another_wish_is_another_person_with_other_identifiers() -> None:
    people = (
        draw_patient(1, site="north"),
        draw_patient(1, site="north", population="referred"),
        draw_patient(1, site="north", sex="F"),
    )
    assert len({p.identifier for p in people}) == 3
    assert len({p.heart.mass_g for p in people}) == 3


def test_a_sites_words_become_settings() -> None:
    settings = reconstruction_settings(SITES["north"].reconstruction)
    assert isinstance(settings, ReconstructionSettings)
    assert settings.method == "fbp"
    assert "Butterworth" in str(settings.post_filter)
    assert "Gaussian" in str(reconstruction_settings(SITES["harbour"].reconstruction).post_filter)
