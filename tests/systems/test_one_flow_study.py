"""The flow model at the bedside: the same answers as in a cohort, only those worth giving, and none it cannot give."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_systems import BRIEF, OWN, Trained, cohorts, shared
from tiny_cohort import write_pet_cohort

from myoscope import io
from myoscope.core import InvalidValue, PolarMap
from myoscope.core.geometry import FloatArray
from myoscope.learn import NOT_FOR_CLINICAL_USE, read_card
from myoscope.report.colour_tables import colour_table
from myoscope.report.prediction_panel import render_predictions
from myoscope.simulate.deficit import SEGMENT_OF_PLACE, SHARE_OF_WALL
from myoscope.systems import one_flow_study, yeung2022
from myoscope.systems.contract import load_system, settings_with
from myoscope.systems.one_flow_study import FlowStudy, flow_report
from myoscope.systems.one_study import StudyInputs, model_folders, model_reports

SEGMENTS = np.asarray(SEGMENT_OF_PLACE)


def _map(values: FloatArray, unit: str) -> PolarMap:
    return PolarMap(values.astype(float), unit, SEGMENTS, np.clip(SEGMENTS, 1, 20), SHARE_OF_WALL * 12_000, "surface")


@pytest.fixture(scope="module")
def flow_model(shared: Path) -> tuple[Trained, io.CohortFolder]:
    """A flow system taught for a moment on measured maps of made-up patients, and its cohort."""
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("lightning_fabric", reason="lightning is not installed (pip install myoscope[train])")
    from filelock import FileLock

    settings = settings_with(yeung2022.Settings(), [*BRIEF, *OWN["yeung2022"], "stand_in=false"])
    folder = shared / "yeung2022-measured"
    with FileLock(shared / "yeung2022-measured.lock"):
        if not (shared / "flow").exists():
            write_pet_cohort(shared / "flow", {"riverside": 40, "coast": 4}, seed=3)
        cohort = io.read_cohort(shared / "flow")
        examples = yeung2022.prepare([cohort], settings)
        if not (folder / "yeung2022.json").exists():
            yeung2022.train(examples, settings, out=folder)
    return Trained(load_system("yeung2022"), settings, examples, read_card(folder, "yeung2022"), folder), cohort


@pytest.fixture(scope="module")
def usual(flow_model: tuple[Trained, io.CohortFolder]) -> tuple[FlowStudy, int]:
    """A study that the model does not find strange, and its row."""
    trained, cohort = flow_model
    row = int(np.flatnonzero(~trained.model.answers(trained.examples).unusual)[0])
    rest, stress, reserve = (cohort.map(name)[row] for name in ("rest_flow", "stress_flow", "reserve"))
    maps = (_map(rest, "mL/min/g"), _map(stress, "mL/min/g"), _map(reserve, "1"))
    return FlowStudy(*maps, str(cohort.cohort["tracer"][row]), "stress, dynamic"), row


def test_one_study_gets_the_answers_that_it_gets_in_its_cohort(
    flow_model: tuple[Trained, io.CohortFolder], usual: tuple[FlowStudy, int]
) -> None:
    trained, _ = flow_model
    study, row = usual
    report = flow_report(trained.folder, study)
    prognosis = yeung2022.predict(trained.examples.rows([row]), trained.model)
    first = report.predictions[0]
    assert first.name == "impaired reserve, from the reserve map"
    assert first.value == pytest.approx(float(prognosis.patient[0]), abs=1e-5)
    assert np.interp(100.0, report.curves[0].values, report.curves[0].probability) == pytest.approx(
        first.value, abs=1e-4
    )
    assert report.warning == NOT_FOR_CLINICAL_USE
    text = render_predictions([report], colour_table("uniform"))
    assert "flow reserve, % of maximum" in text
    assert text.count("data:image/png") == 4


def test_traits_are_given_where_training_patients_showed_them() -> None:
    def areas(low: float) -> dict[str, dict[str, float]]:
        chance = {target: {"value": 0.5, "low": 0.4, "high": 0.6} for target in yeung2022.TARGETS}
        return chance | {"male from stress": {"value": 0.8, "low": low, "high": 0.9}}

    reserve = ["impaired reserve from reserve", "impaired reserve from stress", "impaired reserve from rest"]
    assert [target for _, target in one_flow_study._told(areas(0.49))] == reserve
    # Above chance by two standard errors is what one of 15 areas is by luck now and then.
    assert [target for _, target in one_flow_study._told(areas(0.52))] == reserve
    assert [target for _, target in one_flow_study._told(areas(0.7))] == [*reserve, "male from stress"]
    assert [target for _, target in one_flow_study._told({})] == reserve


def test_a_map_that_no_heart_has_gets_no_answer(
    flow_model: tuple[Trained, io.CohortFolder], usual: tuple[FlowStudy, int]
) -> None:
    trained, _ = flow_model
    noise = np.random.default_rng(0).uniform(0, 40, (40, 72))
    report = flow_report(trained.folder, replace(usual[0], stress=_map(noise, "mL/min/g")))
    assert "unlike those the model was taught on" in report.abstained
    assert report.explanation is None


def test_another_tracer_no_flow_and_stand_ins_are_refused(
    flow_model: tuple[Trained, io.CohortFolder], usual: tuple[FlowStudy, int]
) -> None:
    trained, _ = flow_model
    study, _ = usual
    with pytest.raises(InvalidValue, match="was made with water"):
        flow_report(trained.folder, replace(study, tracer="water"))
    with pytest.raises(InvalidValue, match="this was measured by another"):
        flow_report(trained.folder, replace(study, by_usual_model=False))
    nowhere = _map(np.full((40, 72), np.nan), "mL/min/g")
    with pytest.raises(InvalidValue, match="no map of flow"):
        flow_report(trained.folder, replace(study, rest=nowhere))
    with pytest.raises(InvalidValue, match="trying the recipe"):
        yeung2022.prepare_study([study.rest.value] * 3, replace(trained.settings, stand_in=True))
    folders = model_folders(trained.folder) | {"yeung2022": trained.folder}
    reports, reasons = model_reports(StudyInputs({}, "F", {}), folders)
    assert reports == ()
    assert "no blood flow" in reasons[0]
    reports, _ = model_reports(StudyInputs({}, "F", {}, flow=study), folders)
    assert reports[0].system == "yeung2022"
