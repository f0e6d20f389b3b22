"""result.json holds what DESIGN promises, in strict JSON, by its schema."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from analytic_heart import FRAME, cold_spot, even, heart_of, series_of, study_of
from measured_heart import SUMMARY, full_study, measured

from myoscope.core import (
    MAP_MEANINGS,
    EnergyWindow,
    Flag,
    OutputError,
    Projections,
    Series,
    SeriesResult,
    Stated,
    StudyResult,
)
from myoscope.core.result import QUANTITY_GROUPS
from myoscope.report import SCHEMA_VERSION, result_schema, result_to_dict, write_json


@pytest.fixture(scope="module")
def stress() -> SeriesResult:
    flag = Flag("doubt", "Something is odd.", evidence={"b_mm": np.float32(2.5), "a": np.array([1.0, np.nan])})
    return series_of(
        "stress", *heart_of(cold_spot(110), unseen=True), state=Stated("stress", "description", "x"), flags=(flag,)
    )


@pytest.fixture(scope="module")
def projections() -> SeriesResult:
    counts = np.ones((1, 1, 30, 64, 64))
    unknown = np.full(30, np.nan)
    image = Projections(
        counts, np.linspace(0, 174, 30), unknown, (6.8, 6.8), (EnergyWindow("Tc-99m", 126, 154),), unknown
    )
    series = Series("projections_1", "TOMO", image, acquisition={"scan_arc_deg": 180.0, "collimator_type": "PARA"})
    return SeriesResult(series, None, (), ("projections_1: not reconstructed in this version.",), {})


def _loaded(result: StudyResult, folder: Path) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    write_json(result, folder / "result.json")
    content: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"), parse_constant=refuse)
    jsonschema.Draft202012Validator(result_schema()).validate(content)
    return content


def test_the_schema_is_a_schema_and_names_its_version() -> None:
    jsonschema.Draft202012Validator.check_schema(result_schema())
    assert result_schema()["properties"]["schema_version"]["const"] == SCHEMA_VERSION


@pytest.mark.parametrize("n_gates", [1, 4])
def test_results_follow_the_schema(n_gates: int, tmp_path: Path) -> None:
    content = _loaded(study_of(series_of("rest", *heart_of(even, n_gates=n_gates))), tmp_path)
    assert len(content["series"][0]["heart"]["volumes_mL"]["cavity"]) == n_gates
    assert content["complete"] is True


def test_projections_and_failures_follow_the_schema(projections: SeriesResult, tmp_path: Path) -> None:
    content = _loaded(study_of(projections, skipped=("DOE.dcm is empty (0 bytes).",)), tmp_path)
    (series,) = content["series"]
    assert series["heart"] is None
    assert series["image"]["form"] == "projections"
    assert series["not_done"] == ["projections_1: not reconstructed in this version."]
    assert series["acquisition"] == {"collimator_type": "PARA", "scan_arc_deg": 180.0}
    assert content["not_done"] == ["The file is empty (0 bytes)."]
    assert content["complete"] is False


def test_axis_and_centre_are_those_of_the_heart_and_of_the_wall_mask(stress: SeriesResult) -> None:
    heart = result_to_dict(study_of(stress))["series"][0]["heart"]
    assert heart["long_axis_lps"] == pytest.approx(FRAME.long_axis.tolist(), abs=1e-6)
    assert np.linalg.norm(heart["long_axis_lps"]) == pytest.approx(1, abs=1e-6)
    assert stress.heart is not None
    wall = stress.heart.wall
    points = wall.grid.points_mm()[wall.array > 0]
    assert heart["centre_lps_mm"] == pytest.approx(points.mean(axis=0).tolist(), abs=1e-3)
    assert heart["outlined_wall_mL"] == pytest.approx(len(points) * 0.064)


def test_segments_carry_percent_counts_and_codes(stress: SeriesResult) -> None:
    polar_map = result_to_dict(study_of(stress))["series"][0]["heart"]["polar_map"]
    seventeen = {s["number"]: s for s in polar_map["segments_17"]}
    assert list(seventeen) == list(range(1, 18))
    assert seventeen[7]["snomed"] == "264848000"
    assert seventeen[7]["percent_of_maximum"] < 75 < seventeen[11]["percent_of_maximum"]
    assert seventeen[11]["counts"] == pytest.approx(800, rel=0.01)
    assert len(polar_map["segments_20"]) == 20
    assert [v["vessel"] for v in polar_map["vessels"]] == ["LAD", "LCx", "RCA"]
    assert polar_map["vessels"][0]["percent_of_maximum"] < 95


def test_a_missing_number_is_null_with_a_reason_and_never_nan(stress: SeriesResult, tmp_path: Path) -> None:
    assert stress.heart is not None
    value = np.array(stress.heart.polar_map.value)
    value[stress.heart.polar_map.segment == 4] = np.nan
    blind = replace(stress, heart=replace(stress.heart, polar_map=stress.heart.polar_map.like(value, "blinded")))
    (series,) = _loaded(study_of(blind), tmp_path)["series"]
    fourth = series["heart"]["polar_map"]["segments_17"][3]
    assert fourth["percent_of_maximum"] is None
    assert fourth["counts"] is None
    quantities = {q["name"]: q for q in series["heart"]["quantities"]}
    assert quantities["EF"]["value"] is None
    assert quantities["EF"]["reason"] == "the series is not gated"
    assert quantities["wall volume"]["reason"] is None
    assert quantities["cavity volume, ungated"]["interval_95"] == [70.0, 110.0]
    assert series["flags"][0]["evidence"] == {"a": [1.0, None], "b_mm": 2.5}


def test_a_map_without_positive_values_has_no_percentages(stress: SeriesResult, tmp_path: Path) -> None:
    assert stress.heart is not None
    empty = stress.heart.polar_map.like(np.zeros((40, 72)), "emptied")
    content = _loaded(study_of(replace(stress, heart=replace(stress.heart, polar_map=empty))), tmp_path)
    segments = content["series"][0]["heart"]["polar_map"]["segments_17"]
    assert {s["percent_of_maximum"] for s in segments} == {None}
    assert {s["counts"] for s in segments} == {0.0}


def test_inferred_facts_say_from_what(stress: SeriesResult) -> None:
    (series,) = result_to_dict(study_of(stress))["series"]
    assert series["inferred"] == [{"fact": "state", "value": "stress", "from": "x"}]
    assert series["state"]["inferred"] is True
    assert series["tracer"] == {"value": "Tc-99m sestamibi", "source": "code", "evidence": "", "inferred": False}


def test_inputs_are_hashes_in_a_stable_order_and_nothing_else(stress: SeriesResult) -> None:
    source = stress.series.sources[0]
    several = replace(stress.series, sources=(replace(source, sha256="f" * 64), source))
    (series,) = result_to_dict(study_of(replace(stress, series=several)))["series"]
    assert [i["sha256"][0] for i in series["inputs"]] == ["0", "f"]
    assert set(series["inputs"][0]) == {"sha256", "n_bytes", "sop_instance_uid_sha256"}


@pytest.fixture(scope="module")
def full() -> StudyResult:
    return full_study(cold_spot(110), even)


def test_a_full_study_follows_the_schema_and_keeps_its_order(full: StudyResult, tmp_path: Path) -> None:
    content = _loaded(full, tmp_path)
    assert content["summary"] == list(SUMMARY)
    (pair,) = content["pairs"]
    assert (pair["stress"], pair["rest"]) == ("stress", "rest")
    heart = content["series"][0]["heart"]
    assert full.series[0].heart is not None
    assert [q["name"] for q in heart["quantities"]] == [q.name for q in full.series[0].heart.quantities]


def test_a_quantity_says_its_group_its_limit_and_what_its_interval_leaves_out(full: StudyResult) -> None:
    heart = result_to_dict(full)["series"][0]["heart"]
    quantities = {q["name"]: q for q in heart["quantities"]}
    assert quantities["TPD"] == {
        "name": "TPD",
        "value": 12.4,
        "unit": "%",
        "interval_95": [9.8, 15.1],
        "reason": None,
        "group": "perfusion",
        "abnormal": True,
        "limit": "abnormal from 5 %",
        "interval_of": "what other normal patients would change",
    }
    assert quantities["extent"]["abnormal"] is None
    assert quantities["extent"]["limit"] is None
    assert quantities["EF"]["abnormal"] is False


def test_limits_say_for_whom_they_hold_from_how_many_and_whether_those_were_people(full: StudyResult) -> None:
    perfusion = result_to_dict(full)["series"][0]["heart"]["perfusion"]
    assert perfusion["limits"]["kind"]["sex"] == "F"
    assert perfusion["limits"]["n"] == 40
    assert perfusion["limits"]["virtual_patients"] is True
    assert perfusion["limits"]["signed_by"] == "the maintainers"
    assert perfusion["no_limits"] == []
    assert len(perfusion["segment_scores_17"]) == 17
    assert len(perfusion["segment_scores_20"]) == 20


def test_without_limits_the_reasons_stand_in_their_place(stress: SeriesResult, tmp_path: Path) -> None:
    assert stress.heart is not None
    bare = replace(stress, heart=replace(stress.heart, no_limits=("the limits are for men",)))
    (series,) = _loaded(study_of(bare), tmp_path)["series"]
    assert series["heart"]["perfusion"] == {
        "limits": None,
        "no_limits": ["the limits are for men"],
        "segment_scores_17": None,
        "segment_scores_20": None,
    }
    assert series["heart"]["maps"] == {}
    assert series["heart"]["function"] is None
    assert series["heart"]["phase"] is None


def test_maps_give_the_means_of_their_segments_and_angles_those_of_the_circle(full: StudyResult) -> None:
    maps = result_to_dict(full)["series"][0]["heart"]["maps"]
    stress = full.series[0].heart
    assert stress is not None
    assert sorted(maps) == sorted(stress.maps)
    assert maps["motion"]["segments_20"] == pytest.approx(stress.maps["motion"].segment_means(20).tolist(), rel=1e-6)
    assert maps["motion"]["unit"] == "mm"
    assert maps["motion"]["meaning"] == MAP_MEANINGS["motion"]
    over_the_seam = stress.maps["phase"].like((stress.maps["phase"].value + 190) % 360, "later")
    turned = replace(stress, maps={"phase": over_the_seam})
    content = result_to_dict(replace(full, series=(replace(full.series[0], heart=turned), full.series[1])))
    phase = content["series"][0]["heart"]["maps"]["phase"]["segments_17"]
    assert phase[0] == pytest.approx(360, abs=1) or phase[0] == pytest.approx(0, abs=1)  # of 330 and 30 degrees


def test_the_volume_curve_keeps_its_gates_and_its_extremes(full: StudyResult) -> None:
    function = result_to_dict(full)["series"][0]["heart"]["function"]
    stress = full.series[0].heart
    assert stress is not None
    assert stress.curve is not None
    curve = function["volume_curve"]
    assert curve["gate_mL"] == pytest.approx(stress.curve.gate_mL.tolist(), rel=1e-6)
    assert curve["rr_ms"] == 850
    assert max(curve["volume_mL"]) == pytest.approx(stress.curve.volume_mL.max(), rel=1e-3)
    assert min(curve["volume_mL"]) == pytest.approx(stress.curve.volume_mL.min(), rel=1e-3)
    assert len(curve["time"]) == len(curve["volume_mL"])


def test_the_phase_histogram_adds_up_to_the_wall(full: StudyResult) -> None:
    phase = result_to_dict(full)["series"][0]["heart"]["phase"]
    assert phase["bin_deg"] * len(phase["wall_percent"]) == 360
    assert sum(phase["wall_percent"]) == pytest.approx(100, abs=1e-4)


def test_unseen_segments_are_null_in_maps_and_scores(stress: SeriesResult, tmp_path: Path) -> None:
    whole = measured(stress, "stress")
    assert whole.heart is not None
    hidden = whole.heart.polar_map.segment == 4
    maps = {name: one.like(np.where(hidden, np.nan, one.value), "blinded") for name, one in whole.heart.maps.items()}
    scores = np.array(whole.heart.segment_scores)
    scores[3] = np.nan
    blind = replace(whole, heart=replace(whole.heart, maps=maps, segment_scores=scores))
    (series,) = _loaded(study_of(blind), tmp_path)["series"]
    assert series["heart"]["maps"]["severity"]["segments_17"][3] is None
    assert series["heart"]["maps"]["severity"]["seen_fraction"] < 1
    assert series["heart"]["perfusion"]["segment_scores_17"][3] is None


def test_the_schema_knows_every_map_and_every_group() -> None:
    definitions = result_schema()["$defs"]
    assert definitions["maps"]["propertyNames"]["enum"] == sorted(MAP_MEANINGS)
    assert definitions["quantity"]["properties"]["group"]["enum"] == list(QUANTITY_GROUPS)


@pytest.mark.parametrize("key", ["summary", "pairs"])
def test_the_schema_refuses_a_study_that_leaves_something_out(full: StudyResult, key: str) -> None:
    content = result_to_dict(full)
    del content[key]
    with pytest.raises(jsonschema.ValidationError, match=key):
        jsonschema.Draft202012Validator(result_schema()).validate(content)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("maps", "motion", "segments_17"), [1.0] * 16),
        (("perfusion", "segment_scores_17"), [5.0] * 17),
        (("perfusion", "limits", "n"), 1),
        (("maps", "motion", "colour"), "red"),
    ],
)
def test_the_schema_refuses_values_that_cannot_be(full: StudyResult, place: tuple[str, ...], value: object) -> None:
    content = result_to_dict(full)
    inner = content["series"][0]["heart"]
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(result_schema()).validate(content)


def test_the_same_result_gives_the_same_bytes(stress: SeriesResult, tmp_path: Path) -> None:
    write_json(study_of(stress), tmp_path / "one.json")
    write_json(study_of(stress), tmp_path / "two.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_a_result_that_cannot_be_written_leaves_nothing_behind(stress: SeriesResult, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="could not be written"):
        write_json(study_of(stress), tmp_path / "nowhere" / "result.json")
    assert list(tmp_path.iterdir()) == []
