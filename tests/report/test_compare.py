"""Two results of one patient: what is compared with what, and what is said of it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from analytic_heart import even, heart_of, series_of, study_of
from typer.testing import CliRunner

from myoscope import report
from myoscope.cli import app
from myoscope.compare import compare_results
from myoscope.core import InvalidValue, Quantity, Stated, StudyResult, UnreadableFile


def stored(folder: Path, result: StudyResult) -> Path:
    folder.mkdir()
    report.write_json(result, folder / "result.json")
    return folder


def with_ef(
    percent: float, low: float, high: float, *, sex: str = "F", state: str = "stress", tracer: str = "Rb-82"
) -> StudyResult:
    image, heart = heart_of(even, n_gates=8)
    others = tuple(q for q in heart.quantities if q.name != "EF")
    ef = Quantity("EF", percent, "%", low, high, group="function")
    flow = Quantity("blood flow", percent / 20, "mL/min/g", group="flow")
    changed = replace(heart, quantities=(*others, ef, flow))
    one = series_of("stress-gated", image, changed, state=Stated(state, "code"))
    return study_of(replace(one, series=replace(one.series, sex=Stated(sex, "header"), tracer=Stated(tracer, "code"))))


def test_a_change_beyond_the_noise_of_both_is_marked_and_a_smaller_one_is_not(tmp_path: Path) -> None:
    before = stored(tmp_path / "before", with_ef(60, 56, 64))
    same = compare_results(before, before)
    assert all(one.change.change.value in (0, None) for one in same.changes)
    assert not any(one.change.beyond_noise for one in same.changes)
    after = stored(tmp_path / "after", with_ef(45, 41, 49))
    found = {one.before.name: one for one in compare_results(before, after).changes}
    assert found["EF"].change.beyond_noise
    assert found["EF"].change.change.value == pytest.approx(-15)
    # Zou and Donner: the root of the sum of the squares of two half-widths of 4.
    assert found["EF"].change.change.low == pytest.approx(-15 - 32**0.5)
    assert found["blood flow"].change.repeatability == pytest.approx(0.158 * (60 + 45) / 2 / 20)
    assert found["blood flow"].change.beyond_repeatability is True
    assert "wall volume" not in found


def test_the_repeatability_of_rubidium_is_not_lent_to_other_tracers(tmp_path: Path) -> None:
    one = stored(tmp_path / "one", with_ef(60, 56, 64, tracer="O-15 water"))
    found = {one.before.name: one for one in compare_results(one, one).changes}
    assert found["blood flow"].change.repeatability is None


def test_only_like_is_compared_with_like(tmp_path: Path) -> None:
    stress = stored(tmp_path / "stress", with_ef(60, 56, 64))
    rest = stored(tmp_path / "rest", with_ef(60, 56, 64, state="rest"))
    with pytest.raises(InvalidValue, match="in common"):
        compare_results(stress, rest)
    other = stored(tmp_path / "other", with_ef(60, 56, 64, sex="M"))
    with pytest.raises(InvalidValue, match="sexes"):
        compare_results(stress, other)


def test_the_command_prints_a_star_stores_json_and_refuses_what_is_no_result(tmp_path: Path) -> None:
    before = stored(tmp_path / "before", with_ef(60, 56, 64))
    after = stored(tmp_path / "after", with_ef(45, 41, 49))
    call = ["compare", str(before), str(after), "--out", str(tmp_path / "change.json")]
    answer = CliRunner().invoke(app, call)
    assert answer.exit_code == 0
    assert "* EF: 60 to 45 %, change -15" in answer.stdout
    stored_change = {one["name"]: one for one in json.loads((tmp_path / "change.json").read_text())["changes"]}
    assert stored_change["EF"]["change"] == pytest.approx(-15)
    again = CliRunner().invoke(app, call)
    assert again.exit_code == 2
    assert "exists" in again.stderr
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UnreadableFile, match="analyze wrote"):
        compare_results(empty, after)
    (empty / "result.json").write_text("[1, 2")
    refused = CliRunner().invoke(app, ["compare", str(empty), str(after)])
    assert refused.exit_code == 2
    assert "damaged" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_another_way_of_measuring_flow_is_said(tmp_path: Path) -> None:
    one = stored(tmp_path / "one", with_ef(60, 56, 64))
    content = json.loads((one / "result.json").read_text())
    heart = content["series"][0]["heart"]
    read = "left blood read in: basal"
    fitted = "one distribution volume for the whole wall, {} mL/mL"
    heart["flow"] = {"model": "Lortie one-tissue (Rb-82)", "settings": [read, fitted.format(4.48)]}
    (one / "result.json").write_text(json.dumps(content))
    other = tmp_path / "other"
    other.mkdir()
    heart["flow"] = {"model": "El Fakhri two-tissue (Rb-82)", "settings": []}
    (other / "result.json").write_text(json.dumps(content))
    assert any("measured in another way" in note for note in compare_results(one, other).notes)
    assert not any("measured in another way" in note for note in compare_results(one, one).notes)
    # What was fitted to the patient is no choice, and an earlier result does not say how curves were read.
    for settings, said in ((["one distribution volume"], False), ([read], False), (["left blood by factors"], True)):
        heart["flow"] = {"model": "Lortie one-tissue (Rb-82)", "settings": settings}
        (other / "result.json").write_text(json.dumps(content))
        notes = compare_results(one, other).notes
        assert any("measured in another way" in note for note in notes) is said
