"""Stress or rest, corrected or not, position, tracer, camera: from codes first, then from words, and it says which."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nm_factory as make
import pytest
from hypothesis import given
from hypothesis import strategies as st

from myoscope.core import Series
from myoscope.io import read_paths
from myoscope.io.describe import describe_words, name_series


def _series(folder: Path, **attributes: Any) -> Series:
    settings: dict[str, Any] = {"ImageID": "", **attributes}
    ds = make.nm(make.counts(5, 8, 7), (make.SLICE,), **settings)
    return read_paths([make.write(ds, folder / "a.dcm")]).study.series[0]


def _flags(series: Series) -> set[str]:
    return {flag.code for flag in series.flags}


def _patient_state(value: str, scheme: str) -> list[Any]:
    return [
        make.item(
            ConceptNameCodeSequence=[make.code("109054", "DCM", "Patient State")],
            ConceptCodeSequence=[make.code(value, scheme)],
        )
    ]


@pytest.mark.parametrize(
    ("value", "scheme", "state"),
    [
        ("F-05019", "SRT", "stress"),
        ("F-05019", "99SDM", "stress"),
        ("F-05019", "SNM3", "stress"),
        ("432655005", "SCT", "stress"),
        ("109091", "DCM", "stress"),
        ("F-01604", "SRT", "rest"),
        ("128975004", "SCT", "rest"),
        ("F-01604", "99SDM", "rest"),
    ],
)
def test_the_patient_state_is_read_from_its_code(tmp_path: Path, value: str, scheme: str, state: str) -> None:
    series = _series(tmp_path, AcquisitionContextSequence=_patient_state(value, scheme))
    assert (series.state.value, series.state.source) == (state, "code")


def test_a_code_of_a_foreign_scheme_says_nothing(tmp_path: Path) -> None:
    series = _series(tmp_path, AcquisitionContextSequence=_patient_state("F-05019", "99OTHER"))
    assert series.state.source == "missing"


def test_redistribution_stands_for_rest_but_as_inferred(tmp_path: Path) -> None:
    series = _series(tmp_path, AcquisitionContextSequence=_patient_state("109093", "DCM"))
    assert (series.state.value, series.state.source) == ("rest", "assumed")


@pytest.mark.parametrize(
    ("text", "state"),
    [
        *(("ReconRest-1", "rest"), ("ReconStress gate", "stress"), ("ReconStress pron", "stress")),
        *(("SGATE", "stress"), ("RGATE", "rest"), ("STRESS_AC", "stress"), ("STRESSGATED", "stress")),
        *(("MyoRest [AC]", "rest"), ("Rst TOMO", "rest"), ("STR_SA_G", "stress"), ("RESTTOMO", "rest")),
        *(
            ("Repouso", "rest"),
            ("Esforço", "stress"),
            ("ESFORÇO GATED", "stress"),
            ("Estresse farmacológico", "stress"),
        ),
        *(("Ruhe", "rest"), ("Belastung", "stress"), ("Effort", "stress"), ("Repos", "rest")),
        *(
            ("Reposo", "rest"),
            ("Esfuerzo", "stress"),
            ("Regadenoson Tomo", "stress"),
            ("Tl-201 redistribution", "rest"),
        ),
        *(("Rest/Stress 1 day", None), ("Restored image", None), ("Smith", None), ("Forest", None), ("", None)),
        *(("Street", None), ("IRNC", None), ("Series 2", None), ("S", None), ("Everest", None)),
    ],
)
def test_words_of_the_state_in_many_languages(text: str, state: str | None) -> None:
    assert describe_words(text, "state").value == state


@pytest.mark.parametrize(
    ("text", "corrected"),
    [
        *(("STRESS_AC", "yes"), ("IRAC", "yes"), ("Rest IRNC", "no"), ("IRNC", "no"), ("StressNAC", "no")),
        *(("AC and NC", None), ("ACQUISITION", None), ("Ruhe", None), ("CTAC", "yes"), ("STRESSIRAC", "yes")),
    ],
)
def test_words_of_the_attenuation_correction(text: str, corrected: str | None) -> None:
    assert describe_words(text, "corrected").value == corrected


@pytest.mark.parametrize(
    ("text", "position"),
    [("ReconStress pron", "prone"), ("Bauchlage", "prone"), ("Upright Stress", "upright"), ("Supine", "supine")],
)
def test_words_of_the_position(text: str, position: str) -> None:
    assert describe_words(text, "position").value == position


def test_a_fact_from_a_description_names_the_word_and_the_attribute_only(tmp_path: Path) -> None:
    series = _series(tmp_path, SeriesDescription="Maria Schmidt Rest 1955")
    assert series.state.value == "rest"
    assert series.state.inferred
    assert series.state.evidence == "the word 'rest' in SeriesDescription"


def test_the_code_is_believed_against_the_description_and_flagged(tmp_path: Path) -> None:
    context = _patient_state("F-05019", "SRT")
    series = _series(tmp_path, AcquisitionContextSequence=context, ImageID="RestRecon")
    assert (series.state.value, series.state.source) == ("stress", "code")
    assert "state_contradictory" in _flags(series)


def test_attenuation_correction_is_read_from_corrected_image(tmp_path: Path) -> None:
    assert _series(tmp_path, CorrectedImage=["UNIF", "ATTN"]).corrected.value == "yes"
    assert _series(tmp_path, CorrectedImage=["UNIF", "SCAT"]).corrected.value == "no"
    assert _series(tmp_path).corrected.value is None
    series = _series(tmp_path, CorrectedImage=["UNIF"], ImageID="IRAC")
    assert series.corrected.value == "no"
    assert "corrected_contradictory" in _flags(series)


def _orientation(modifier: str, scheme: str) -> list[Any]:
    recumbent = make.code("F-10450", "SRT", "recumbent")
    recumbent.PatientOrientationModifierCodeSequence = [make.code(modifier, scheme)]
    return [recumbent]


@pytest.mark.parametrize(
    ("modifier", "scheme", "position"),
    [
        ("F-10340", "SRT", "supine"),
        ("F-10340", "99SDM", "supine"),
        ("1240000", "SCT", "prone"),
        ("F-10310", "SRT", "prone"),
    ],
)
def test_the_position_is_read_from_its_code(tmp_path: Path, modifier: str, scheme: str, position: str) -> None:
    patient_position = "HFP" if position == "prone" else "HFS"
    orientation = _orientation(modifier, scheme)
    series = _series(tmp_path, PatientOrientationCodeSequence=orientation, PatientPosition=patient_position)
    assert (series.position.value, series.position.source) == (position, "code")
    assert not _flags(series)


def test_contradictory_positions_are_flagged(tmp_path: Path) -> None:
    series = _series(tmp_path, PatientOrientationCodeSequence=_orientation("F-10340", "SRT"), PatientPosition="FFP")
    assert series.position.value == "supine"
    assert "position_contradictory" in _flags(series)
    series = _series(tmp_path, PatientPosition="FFS", ImageID="Rest prone")
    assert (series.position.value, series.position.source) == ("supine", "header")
    assert "position_contradictory" in _flags(series)
    gantry = [make.code("F-10470", "SRT", "headfirst")]
    series = _series(tmp_path, PatientPosition="FFS", PatientGantryRelationshipCodeSequence=gantry)
    assert "entry_contradictory" in _flags(series)


@pytest.mark.parametrize(
    ("item", "tracer", "source"),
    [
        ({"RadiopharmaceuticalCodeSequence": [("424299003", "SCT")]}, "Tc-99m sestamibi", "code"),
        ({"Radiopharmaceutical": "C-163AB"}, "Tc-99m sestamibi", "code"),
        ({"Radiopharmaceutical": "Tetrofosmin"}, "Tc-99m tetrofosmin", "header"),
        ({"RadionuclideCodeSequence": [("C-163A8", "99SDM")]}, "Tc-99m", "code"),
        ({"RadionuclideCodeSequence": [("C-163A8", "SNM3")]}, "Tc-99m", "code"),
        ({"RadionuclideCodeSequence": [("60057003", "SCT")]}, "Tl-201", "code"),
        ({}, "Tc-99m", "assumed"),
    ],
)
def test_the_tracer_is_read_from_codes_then_text_then_energy(
    tmp_path: Path, item: dict[str, Any], tracer: str, source: str
) -> None:
    made = {k: [make.code(*c) for c in v] if isinstance(v, list) else v for k, v in item.items()}
    series = _series(tmp_path, RadiopharmaceuticalInformationSequence=[make.item(**made)])
    assert (series.tracer.value, series.tracer.source) == (tracer, source)


def test_a_tracer_that_does_not_fit_the_energy_window_is_flagged(tmp_path: Path) -> None:
    thallium = [make.item(RadionuclideCodeSequence=[make.code("60057003", "SCT")])]
    series = _series(tmp_path, RadiopharmaceuticalInformationSequence=thallium)
    assert series.tracer.value == "Tl-201"
    flags = {flag.code: flag for flag in series.flags}
    assert flags["tracer_contradicts_energy"].evidence == {"stated": "Tl-201", "by_energy": "Tc-99m"}


def test_a_description_may_name_the_compound_but_not_change_the_nuclide(tmp_path: Path) -> None:
    technetium = [make.item(RadionuclideCodeSequence=[make.code("C-163A8", "SRT")])]
    series = _series(tmp_path, RadiopharmaceuticalInformationSequence=technetium, ImageID="MIBI stress")
    assert (series.tracer.value, series.tracer.source) == ("Tc-99m sestamibi", "description")
    series = _series(tmp_path, RadiopharmaceuticalInformationSequence=technetium, ImageID="thallium stress")
    assert (series.tracer.value, series.tracer.source) == ("Tc-99m", "code")


def test_the_camera_is_named_without_serial_number_station_or_institution(tmp_path: Path) -> None:
    series = _series(
        tmp_path,
        Manufacturer="GE MEDICAL SYSTEMS",
        ManufacturerModelName="UFC",
        DeviceSerialNumber="SERIAL77",
        StationName="STATION9",
        InstitutionName="St Elsewhere",
        DetectorInformationSequence=[
            make.item(
                CollimatorType="PINH",
                CollimatorGridName="MPH_27_45",
                ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
                ImagePositionPatient=[0, 0, 0],
            )
        ],
    )
    assert series.camera.value == "GE Discovery NM 530c, multi-pinhole"
    assert series.acquisition["collimator_type"] == "PINH"


def test_a_model_name_that_looks_like_a_number_is_not_passed_on(tmp_path: Path) -> None:
    assert _series(tmp_path, ManufacturerModelName="12345678").camera.value == "Siemens, parallel-hole"


def test_no_identifier_reaches_the_series_or_its_messages(tmp_path: Path) -> None:
    secrets = {
        "PatientName": "Zyxwv^Qrst",
        "PatientID": "ZQ998877",
        "InstitutionName": "Zauberberg",
        "ReferringPhysicianName": "Zorro",
        "AccessionNumber": "ZACC55",
        "SeriesDescription": "Zyxwv rest",
        "ProtocolName": "Zyxwv",
        "ImageComments": "Zyxwv prone",
        "StationName": "ZSTAT",
        "DeviceSerialNumber": "ZSER",
    }
    series = _series(tmp_path, **secrets)
    told = " ".join([repr(series), *map(str, series.flags), str(series.acquisition), str(series.sources)])
    told += str([series.state, series.position, series.tracer, series.camera, series.sex, series.series_uid_sha256])
    for word in ("Zyxwv", "Qrst", "ZQ998877", "Zauberberg", "Zorro", "ZACC55", "ZSTAT", "ZSER"):
        assert word.lower() not in told.lower()


def test_a_sum_of_gates_that_calls_itself_gated_is_noted(tmp_path: Path) -> None:
    assert "described_as_gated" in _flags(_series(tmp_path, ImageID="ReconStress gate"))


@given(st.text(max_size=60))
def test_any_text_is_read_without_failing(text: str) -> None:
    for what in ("state", "corrected", "position", "gated", "tracer"):
        describe_words(text, what)


@given(st.lists(st.text(max_size=20) | st.none(), max_size=5))
def test_series_names_are_file_safe(facts: list[str | None]) -> None:
    name = name_series(facts)
    assert name
    assert all(c in "abcdefghijklmnopqrstuvwxyz0123456789-" for c in name)
