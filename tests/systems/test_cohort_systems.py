"""The contract of all systems that learn from a cohort, on a cohort of a few dozen made-up patients.

Networks this small, taught this briefly, know nothing: what is tested is that everything fits together.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_systems import BRIEF, OWN, Trained, cohorts, shared, trained
from tiny_cohort import write_cohort_of_maps, write_pet_cohort

from myoscope import io
from myoscope.core import Explanation, InvalidValue, UnitMismatch
from myoscope.learn import Examples, load_model
from myoscope.simulate.deficit import SHARE_OF_WALL
from myoscope.systems.contract import load_system, settings_with
from myoscope.systems.explanation import Explainer
from myoscope.systems.otaki2022 import build_from_card

_WRONG_MAP = {"yeung2022": "truth_stress_flow"}


def test_examples_hold_what_the_system_says(trained: Trained) -> None:
    examples = trained.examples
    assert len(examples) > 50
    assert set(np.unique(examples.about["site"])) == {"riverside", "coast"}
    assert np.isfinite(examples.targets).any(axis=0).all()
    assert trained.card.numbers["channels"] == list(examples.channels)
    assert trained.card.n_training == np.sum(examples.about["site"] != "coast")


def test_a_trained_model_comes_back_from_its_folder(trained: Trained) -> None:
    again = trained.model
    prognosis = trained.system.predict(trained.examples, again)
    assert prognosis.patient.shape == (len(trained.examples),)
    assert ((prognosis.patient > 0) & (prognosis.patient < 1)).all()
    assert (prognosis.low <= prognosis.patient).all()
    assert (prognosis.patient <= prognosis.high).all()
    for suffix in ("json", "md", "safetensors", "onnx", "npz"):
        assert (trained.folder / f"{trained.card.system}.{suffix}").exists()
    assert "not for clinical use" in (trained.folder / f"{trained.card.system}.md").read_text()
    (trained.folder / "training" / "member-0.csv").read_text().index("validation_loss")


def test_the_same_seed_teaches_the_same_network(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out-of-fold logits of a second run; what is written besides is the same for the same weights."""
    monkeypatch.setattr("myoscope.systems.training.save_model", lambda *given: given[1])
    trained.system.train(trained.examples, trained.settings, out=tmp_path)
    with np.load(tmp_path / "out_of_fold.npz") as again, np.load(trained.folder / "out_of_fold.npz") as first:
        assert np.array_equal(again["logit"], first["logit"])
        assert np.array_equal(again["study"], first["study"])


def test_evaluation_stands_beside_a_baseline(trained: Trained, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    model = trained.model
    outside = trained.examples.rows(trained.examples.about["site"] == "coast")
    prognosis = trained.system.predict(outside, model)
    evaluation = trained.system.evaluate(outside, prognosis, model, rng=np.random.default_rng(0), resamples=20)
    first = next(iter(evaluation.papers.values()))
    assert len(first.rows) >= 2
    assert first.n_patients <= 24
    evaluation.write(tmp_path, rng=np.random.default_rng(0), published=trained.system.PUBLISHED, resamples=10)
    text = (tmp_path / f"{evaluation.system}.md").read_text()
    assert "virtual patients, not people" in text
    assert "Published" in text
    assert f"{trained.system.PUBLISHED[0].value:.3g}"[:4] in text


@pytest.mark.parametrize("method", ["occlusion", "Grad-CAM", "integrated gradients"])
def test_an_explanation_has_its_inputs_shape(trained: Trained, method: str) -> None:
    if method == "integrated gradients":
        pytest.importorskip("captum", reason="captum is not installed (pip install myoscope[train])")
    explanation = trained.system.explain(trained.examples, 0, trained.folder, method=method)
    assert isinstance(explanation, Explanation)
    assert explanation.attribution.shape[-2:] == (40, 72)
    if method != "Grad-CAM":
        assert explanation.input_shape == trained.examples.maps.shape[1:]
    assert explanation.model_card == trained.card.identifier
    if method == "integrated gradients":
        assert explanation.completeness_gap == pytest.approx(0, abs=0.02)


def test_a_map_in_the_wrong_unit_is_refused(
    trained: Trained, cohorts: tuple[io.CohortFolder, io.CohortFolder], tmp_path: Path
) -> None:
    wrong = _WRONG_MAP.get(trained.card.system, "stress_supine")
    write_cohort_of_maps(tmp_path / "wrong", {"riverside": 2}, seed=3, units={wrong: "kBq"})
    with pytest.raises(UnitMismatch, match=f"the map {wrong} of wrong is in kBq"):
        trained.system.prepare([io.read_cohort(tmp_path / "wrong")], trained.settings, normals=[cohorts[1]])


def test_a_model_refuses_studies_with_other_maps(trained: Trained) -> None:
    examples = trained.examples
    parts = {name: getattr(examples, name) for name in examples.__slots__}
    renamed = Examples(**{**parts, "channels": tuple(f"other {name}" for name in examples.channels)})
    with pytest.raises(InvalidValue, match="takes the maps"):
        trained.system.predict(renamed, trained.model)


def test_external_sites_teach_nothing(trained: Trained) -> None:
    with np.load(trained.folder / "out_of_fold.npz") as taught:
        taught_studies = set(taught["study"].tolist())
    about = trained.examples.about["site"]
    assert taught_studies == set(trained.examples.study[about != "coast"].tolist())


def test_patients_without_limits_are_refused(
    trained: Trained, cohorts: tuple[io.CohortFolder, io.CohortFolder], tmp_path: Path
) -> None:
    if trained.card.system == "yeung2022":
        pytest.skip("flow has units and needs no normal limits")
    write_cohort_of_maps(tmp_path / "elsewhere", {"harbour": 3}, seed=3)
    with pytest.raises(InvalidValue, match="no normal limits for sex"):
        trained.system.prepare([io.read_cohort(tmp_path / "elsewhere")], trained.settings, normals=[cohorts[1]])


def test_a_network_that_function_is_withheld_from_is_taught_and_explained(
    cohorts: tuple[io.CohortFolder, io.CohortFolder], tmp_path: Path
) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("lightning_fabric", reason="lightning is not installed (pip install myoscope[train])")
    system = load_system("otaki2022")
    settings = settings_with(system.Settings(), [*BRIEF, *OWN["otaki2022"], "function=false"])
    examples = system.prepare([cohorts[0]], settings, normals=[cohorts[1]])
    assert np.isnan(examples.maps[:, 1:]).all()
    card = system.train(examples, settings, out=tmp_path)
    assert card.numbers["covariate_mean"][:2] == [None, None]
    model = load_model(tmp_path, "otaki2022")
    assert np.isfinite(system.predict(examples, model).patient).all()
    values = Explainer(tmp_path, "otaki2022", build_from_card).input_values(
        np.array(examples.maps[0]), np.array(examples.covariates[0]), 0, {"perfusion": [0], "function": [1, 2]}
    )
    withheld = dict(zip(values.names, values.values.tolist(), strict=True))
    assert withheld["function"] == withheld["stress_edv_mL"] == 0
    assert withheld["perfusion"] != 0


def test_flow_systems_read_pet_registries_and_take_their_label_from_the_truth(tmp_path: Path) -> None:
    write_pet_cohort(tmp_path / "flow", {"riverside": 4, "coast": 2}, seed=3)
    folder = io.read_cohort(tmp_path / "flow")
    system = load_system("yeung2022")
    examples = system.prepare([folder], system.Settings())
    assert examples.channels == ("rest", "stress", "reserve")
    weight = np.asarray(SHARE_OF_WALL)
    stress, rest = ((folder.map(f"truth_{s}_flow") * weight).sum(axis=(1, 2)) for s in ("stress", "rest"))
    np.testing.assert_allclose(examples.about["true_reserve"], stress / rest, rtol=1e-4)
    assert np.array_equal(examples.target("impaired reserve from reserve") > 0, stress / rest < 2)
    assert np.array_equal(examples.target("male from rest") > 0, folder.cohort["sex"] == "M")
    assert "camera" not in examples.about


def test_settings_are_changed_by_name_and_nothing_else() -> None:
    settings = load_system("betancur2018").Settings()
    changed = settings_with(settings, ["steps=7", "widths=4,8,8", "label=truth", "dropout=0.1"])
    assert (changed.steps, changed.widths, changed.label, changed.dropout) == (7, (4, 8, 8), "truth", 0.1)
    assert settings.steps != 7
    with pytest.raises(InvalidValue, match="name one of image"):
        settings_with(settings, ["stepz=7"])
    with pytest.raises(InvalidValue, match="setting steps is like"):
        settings_with(settings, ["steps=many"])
    with pytest.raises(InvalidValue, match="setting label is like"):
        settings_with(settings, ["label=hearsay"])


def test_a_system_that_does_not_exist_or_learns_from_scans_is_refused() -> None:
    with pytest.raises(InvalidValue, match="there are betancur2018"):
        load_system("betancur2017")
    with pytest.raises(InvalidValue, match="learns from scans"):
        load_system("lv_wall")
