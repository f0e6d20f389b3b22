"""One study at the bedside: what models say of it, why, when they say nothing, and how the page shows it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from numpy.typing import NDArray
from small_systems import Trained, cohorts, shared, trained_system

from myoscope import analyze as analysis
from myoscope import io
from myoscope.core import CardiacFrame, Grid, InvalidValue, ModelReport, PolarMap, Prediction, StudyResult
from myoscope.learn import NOT_FOR_CLINICAL_USE
from myoscope.report import result_schema
from myoscope.report.colour_tables import colour_table
from myoscope.report.prediction_panel import render_predictions
from myoscope.simulate import lv_phantom
from myoscope.simulate.deficit import SEGMENT_OF_PLACE, SHARE_OF_WALL
from myoscope.systems.contract import settings_of
from myoscope.systems.explanation import DEPTHS, Explainer
from myoscope.systems.one_study import StudyInputs, model_folders, model_reports
from myoscope.systems.perfusion_inputs import SAMPLED_BY, kinds_of, limits_of

SEGMENTS = np.asarray(SEGMENT_OF_PLACE)
FRAME = CardiacFrame(np.array([10.0, -10.0, 0.0]), np.array([0.5, -0.8, -0.35]))


def _map(values: NDArray[np.float32], unit: str) -> PolarMap:
    return PolarMap(values.astype(float), unit, SEGMENTS, np.clip(SEGMENTS, 1, 20), SHARE_OF_WALL * 12_000, SAMPLED_BY)


@pytest.fixture(scope="module", params=["betancur2018", "otaki2022"])
def one(
    request: pytest.FixtureRequest, cohorts: tuple[io.CohortFolder, io.CohortFolder], shared: Path
) -> tuple[Trained, StudyInputs, int]:
    """A trained system, one of its studies as analyze would have it, and its row."""
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("lightning_fabric", reason="lightning is not installed (pip install myoscope[train])")
    trained = trained_system(request.param, cohorts, shared)
    folder, row = cohorts[0], 5
    table = folder.cohort
    names = {"stress_supine": "counts", "stress_motion": "mm", "stress_thickening": "%"}
    study = StudyInputs(
        {name: _map(folder.map(name)[row], unit) for name, unit in names.items()},
        str(table["sex"][row]),
        {"stress_supine": limits_of([cohorts[1], folder], ["stress_supine"])["stress_supine"][kinds_of(folder)[row]]},
        {name: float(table[name][row]) for name in ("age_y", "stress_edv_mL", "stress_esv_mL")},
        {"stress_supine": "stress, supine"},
    )
    position = trained.examples.study.tolist().index(str(table.study[row]))
    return trained, study, position


def _report(one: tuple[Trained, StudyInputs, int]) -> ModelReport:
    trained, study, _ = one
    reports, reasons = model_reports(
        study, model_folders(trained.folder.parent) | {trained.card.system: trained.folder}
    )
    del reasons
    return next(report for report in reports if report.system == trained.card.system)


def test_one_study_gets_the_answer_that_it_gets_in_its_cohort(one: tuple[Trained, StudyInputs, int]) -> None:
    trained, _, row = one
    prognosis = trained.system.predict(trained.examples.rows([row]), trained.model)
    report = _report(one)
    if prognosis.answers.unusual[0]:
        assert report.abstained
        return
    assert report.predictions[0].value == pytest.approx(float(prognosis.patient[0]), abs=1e-5)
    assert len(report.predictions) == (4 if prognosis.vessels is not None else 1)
    assert report.warning == NOT_FOR_CLINICAL_USE


def test_steps_lead_from_a_normal_heart_to_the_answer(one: tuple[Trained, StudyInputs, int]) -> None:
    trained, _, row = one
    report = _report(one)
    if report.abstained:
        pytest.skip("this network finds the study unusual")
    logits = trained.model.answers(trained.examples.rows([row])).logit[0]
    assert report.steps[-1].end == pytest.approx(float(logits.max()), abs=1e-4)
    assert report.steps[0].start == report.start
    assert report.segment_probability is not None
    assert report.segment_probability.max() in (0.0, pytest.approx(report.predictions[0].value))
    curve = report.curves[0]
    assert np.interp(100.0, curve.values, curve.probability) == pytest.approx(report.predictions[0].value, abs=1e-4)


def test_a_model_says_nothing_of_a_map_that_no_heart_has(one: tuple[Trained, StudyInputs, int]) -> None:
    trained, study, _ = one
    noise = np.random.default_rng(0).uniform(0, 400, (40, 72)).astype(np.float32)
    strange = replace(study, maps={**study.maps, "stress_supine": _map(noise, "counts")})
    reports, _ = model_reports(strange, {trained.card.system: trained.folder})
    assert "unlike those the model was taught on" in reports[0].abstained
    assert reports[0].explanation is None
    assert all(prediction.value is None for prediction in reports[0].predictions)


def test_a_study_that_a_model_cannot_take_is_passed_over_with_a_reason(one: tuple[Trained, StudyInputs, int]) -> None:
    trained, study, _ = one
    name = trained.card.system
    without_limits = [(replace(study, limits={}), "no normal limits for stress supine")]
    shown = study.maps["stress_supine"]
    otherwise = PolarMap(shown.value, shown.unit, shown.segment, shown.segment_20, shown.area_mm2, "profile")
    for changed, said in (
        *(without_limits if name == "betancur2018" else []),  # the other one takes counts alone
        (replace(study, maps={"rest_supine": shown}), "the study has no image stress supine"),
        (replace(study, maps={"stress_supine": otherwise}), "sampled by profile"),
        (replace(study, maps={"stress_supine": _map(np.ones((40, 72), np.float32), "%")}), "needed in counts"),
    ):
        reports, reasons = model_reports(changed, {name: trained.folder})
        assert reports == ()
        assert said in reasons[0]


def test_a_model_says_nothing_where_something_is_missing_that_it_was_always_given(
    one: tuple[Trained, StudyInputs, int],
) -> None:
    trained, study, _ = one
    if trained.card.system != "otaki2022":
        pytest.skip("it asks more than an image")
    ungated = replace(
        study,
        maps={"stress_supine": study.maps["stress_supine"]},
        covariates={"age_y": study.covariates["age_y"]},
    )
    reports, reasons = model_reports(ungated, {trained.card.system: trained.folder})
    assert reports == ()
    assert "lacks motion, thickening, end-diastolic volume, end-systolic volume" in reasons[0]


def test_a_shallower_defect_is_blacked_out_or_not_and_never_half(one: tuple[Trained, StudyInputs, int]) -> None:
    from myoscope.systems import one_study

    trained, study, _ = one
    if trained.card.system != "betancur2018":
        pytest.skip("the other one has no blackout map")
    name = trained.card.system
    system = one_study._SYSTEMS[name]
    settings = settings_of(system.settings, trained.model.card.settings)
    explainer = Explainer(trained.folder, name, system.build_from)
    maps = np.array(system.prepare_study(study.study_maps, settings).maps[0])
    deeper = one_study._in_depths(explainer, system, study, settings, maps)
    raw, blackout = (deeper[:, trained.model.channels.index(channel)] for channel in ("raw", "blackout"))
    dark = blackout == 0
    assert np.allclose(blackout[~dark], raw[~dark])
    as_measured = int(np.argmin(np.abs(DEPTHS - 1)))
    assert np.allclose(deeper[as_measured], maps, atol=1e-3, equal_nan=True)
    assert dark[0].sum() <= dark[-1].sum()


def test_the_page_says_what_it_is_not_for_over_every_answer(one: tuple[Trained, StudyInputs, int]) -> None:
    report = _report(one)
    text = render_predictions([report, report], colour_table("uniform"))
    assert text.count(NOT_FOR_CLINICAL_USE) == 2
    assert report.model_card in text
    if not report.abstained:
        assert text.count("data:image/png") == 2 * 4  # perfusion, what was looked at, attention, segments
        for step in report.steps:
            assert step.name in text
        assert "not what would happen to the patient" in text


def test_a_model_that_abstains_shows_its_reason_and_no_number() -> None:
    why = "the map is unlike those the model was taught on"
    prediction = Prediction(name="disease", unit="probability", model_card="c", abstained=why)
    report = ModelReport(
        system="s",
        does="d",
        source="p",
        model_card="c",
        warning="not for use",
        series="stress",
        predictions=(prediction,),
    )
    text = render_predictions([report], colour_table("uniform"))
    assert why in text
    assert "not for use" in text
    assert not re.search(r"\d+ %</td>", text)


def test_what_a_model_says_is_escaped() -> None:
    prediction = Prediction(name="<b>x</b>", unit="probability", model_card="c", value=0.5)
    report = ModelReport(
        system="<i>s", does="d", source="p", model_card="c", warning="w", series="s", predictions=(prediction,)
    )
    text = render_predictions([report], colour_table("uniform"))
    assert "<b>x</b>" not in text
    assert "<i>s" not in text


def test_asking_the_models_of_one_study_imports_no_torch(one: tuple[Trained, StudyInputs, int], tmp_path: Path) -> None:
    trained, study, _ = one
    if trained.card.system != "otaki2022":
        pytest.skip("one system shows it")
    import pickle

    (tmp_path / "study").write_bytes(pickle.dumps(study))
    code = (
        "import pickle, sys\n"
        "from pathlib import Path\n"
        "from myoscope.systems.one_study import model_reports\n"
        f"study = pickle.loads((Path({str(tmp_path)!r}) / 'study').read_bytes())\n"
        f"reports, reasons = model_reports(study, {{{trained.card.system!r}: Path({str(trained.folder)!r})}})\n"
        "assert len(reports) == 1, reasons\n"
        "assert 'torch' not in sys.modules and 'onnxruntime' in sys.modules\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def analysed(
    cohorts: tuple[io.CohortFolder, io.CohortFolder], shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[StudyResult, Path, str]:
    """A phantom from a DICOM file through `analyze`, asking a model that answers whatever it is shown."""
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("lightning_fabric", reason="lightning is not installed (pip install myoscope[train])")
    place = tmp_path_factory.mktemp("study")
    trained = trained_system("otaki2022", cohorts, shared)
    shutil.copytree(trained.folder, place / "models" / "otaki2022")
    card = place / "models" / "otaki2022" / "otaki2022.json"
    facts = json.loads(card.read_text())
    facts["numbers"]["strangeness_limit"] = 1e9
    facts["numbers"]["may_be_missing"] = ["motion", "thickening", "stress_edv_mL", "stress_esv_mL"]
    card.write_text(json.dumps(facts))
    grid = Grid.axis_aligned((56, 56, 48), spacing_mm=4.0)
    heart = lv_phantom(grid, frame=FRAME, fwhm_mm=8.5)
    about = io.NmDescription(state="stress", position="supine", sex="F", age_y=61.0, corrected=False)
    io.write_nm(heart.volume, place / "stress.dcm", description=about)
    settings = analysis.Settings(finder="model", models=(place / "models",))
    result = analysis.analyze([place / "stress.dcm"], place / "out", settings=settings)
    return result, place / "out", facts["identifier"]


def test_an_analysis_asks_the_models_that_have_their_inputs(analysed: tuple[StudyResult, Path, str]) -> None:
    result, out, card = analysed
    (model,) = result.models
    assert (model.system, model.series) == ("otaki2022", "stress-nc")
    assert {(step.name, step.shown) for step in model.steps} >= {
        ("age", "61 years"),
        ("sex", "woman"),
        ("end-diastolic volume", "not known"),
    }
    stored = json.loads((out / "result.json").read_text())
    jsonschema.validate(stored, result_schema())
    (said,) = stored["predictions"]
    assert said["model_card"] == card
    assert said["answers"][0]["value"] == pytest.approx(model.predictions[0].value, rel=1e-6)
    added = said["start_log_odds"] + sum(step["log_odds"] for step in said["contributions"])
    assert added == pytest.approx(model.steps[-1].end, abs=1e-4)


def test_the_report_shows_the_answer_and_what_it_is_not_for(analysed: tuple[StudyResult, Path, str]) -> None:
    result, out, card = analysed
    page = (out / "report.html").read_text()
    assert page.count(NOT_FOR_CLINICAL_USE) == len(result.models)
    assert card in page
    assert "probability by segment" in page


def test_a_folder_without_a_model_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="holds no trained model"):
        analysis.analyze([tmp_path], tmp_path / "out", settings=analysis.Settings(models=(tmp_path,)))
