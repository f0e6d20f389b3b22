"""Two results of one patient: what is compared with what, and what is said of it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from analytic_heart import cold_spot, even, heart_of, series_of, study_of
from typer.testing import CliRunner

from myoscope import io, report
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
    read = "left blood read in cavity and atrium together"
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


def with_maps(folder: Path, depth: float, *, sex: str = "F") -> Path:
    """A result with its polar map beside it; the deeper a defect, the lower the ejection fraction."""
    image, heart = heart_of(cold_spot(100, depth=depth))
    ef = Quantity("EF", 60 - 20 * depth, "%", 58 - 20 * depth, 62 - 20 * depth, group="function")
    one = series_of("stress", image, replace(heart, quantities=(ef,)), state=Stated("stress", "code"))
    one = replace(one, series=replace(one.series, sex=Stated(sex, "header")))
    stored(folder, study_of(one))
    (folder / "stress").mkdir()
    io.save(heart.polar_map, folder / "stress" / "polar_map.npz")
    return folder


def test_the_folder_of_a_comparison_holds_figures_maps_and_a_page(tmp_path: Path) -> None:
    before, after = with_maps(tmp_path / "before", 0.1), with_maps(tmp_path / "after", 0.6)
    out = tmp_path / "change"
    answer = CliRunner().invoke(app, ["compare", str(before), str(after), "--out", str(out)])
    assert answer.exit_code == 0, answer.output
    assert "Change over the wall of stress in % of maximum: LAD -" in answer.stdout
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*")) == [
        "comparison.html",
        "comparison.json",
        "stress/change.npz",
        "stress/change_beyond_repeats.npz",
    ]
    change = io.load(out / "stress" / "change.npz")
    told = json.loads((out / "comparison.json").read_text())["maps"][0]
    assert told["segments_17"] == pytest.approx(change.segment_means(17).tolist(), rel=1e-6)
    assert told["worse_percent_of_wall"] > 5
    assert told["level_by"] == "what did not change"
    page = (out / "comparison.html").read_text()
    assert page.count('<figure class="disc') == 4
    assert "later less earlier" in page
    assert "★ −10 %" in page
    assert str(tmp_path) not in page
    assert "<script" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    again = CliRunner().invoke(app, ["compare", str(before), str(after), "--out", str(out)])
    assert again.exit_code == 2
    assert "exists" in again.stderr
    replaced = CliRunner().invoke(app, ["compare", str(before), str(after), "--out", str(out), "--overwrite"])
    assert replaced.exit_code == 0


def test_results_without_maps_are_compared_by_their_figures_and_say_so(tmp_path: Path) -> None:
    before, after = stored(tmp_path / "a", with_ef(60, 56, 64)), stored(tmp_path / "b", with_ef(45, 41, 49))
    found = compare_results(before, after)
    assert found.maps == ()
    assert any("no map of the change of stress-gated: polar_map.npz does not exist" in note for note in found.notes)
    assert CliRunner().invoke(app, ["compare", str(before), str(after), "--out", str(tmp_path / "c")]).exit_code == 0
    assert "<figure" not in (tmp_path / "c" / "comparison.html").read_text()
