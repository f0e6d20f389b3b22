"""From the command line to a model and its tables: what `myoscope train`, `evaluate` and `reproduce` promise."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from small_systems import BRIEF, OWN, cohorts, shared
from typer.testing import CliRunner, Result

from myoscope import io
from myoscope.cli import app
from myoscope.core import InvalidValue
from myoscope.learn import NOT_FOR_CLINICAL_USE, load_model
from myoscope.systems.run import reproduce_system

SYSTEM = "betancur2018"
SETTINGS = [*BRIEF, *OWN[SYSTEM]]


def _call(*words: str | Path) -> Result:
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("lightning_fabric", reason="lightning is not installed (pip install myoscope[train])")
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    return CliRunner().invoke(app, [str(word) for word in words])


def _places(cohorts: tuple[io.CohortFolder, io.CohortFolder]) -> list[str | Path]:
    return ["--cohort", cohorts[0].folder, "--normals", cohorts[1].folder]


@pytest.fixture(scope="module")
def reproduced(cohorts: tuple[io.CohortFolder, io.CohortFolder], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `reproduce` writes."""
    out = tmp_path_factory.mktemp("reproduced") / "result"
    changes = [word for change in SETTINGS for word in ("--set", change)]
    answer = _call("reproduce", SYSTEM, *_places(cohorts), *changes, "--out", out)
    assert answer.exit_code == 0, answer.output
    assert "Published" in answer.output
    return out


def test_reproducing_leaves_a_model_tables_and_pictures_and_nothing_half_made(reproduced: Path) -> None:
    assert {path.name for path in reproduced.iterdir()} == {
        "model",
        f"{SYSTEM}.md",
        f"{SYSTEM}_patients.png",
        f"{SYSTEM}_vessels.png",
    }
    assert not reproduced.with_name("result.parts").exists()
    assert not list((reproduced / "model").rglob("*.pt"))
    assert (reproduced / "model" / "training" / "member-0.csv").exists()


def test_the_card_states_what_was_measured_and_on_whom(reproduced: Path) -> None:
    card = load_model(reproduced / "model", SYSTEM).card
    assert any(line.startswith("AUC per patient of betancur2018") for line in card.figures)
    assert any(line.startswith("AUC per vessel of TPD") for line in card.figures)
    assert all("virtual patients, not people" in line and "coast" in line for line in card.figures)
    page = (reproduced / "model" / f"{SYSTEM}.md").read_text()
    assert NOT_FOR_CLINICAL_USE in page
    assert card.figures[0] in page


@pytest.mark.slow
def test_a_model_is_judged_alike_by_evaluate(
    reproduced: Path, cohorts: tuple[io.CohortFolder, io.CohortFolder], tmp_path: Path
) -> None:
    model = reproduced / "model"
    answer = _call("evaluate", SYSTEM, "--model", model, *_places(cohorts), "--out", tmp_path / "again")
    assert answer.exit_code == 0, answer.output
    again = (tmp_path / "again" / f"{SYSTEM}.md").read_text()
    assert again == (reproduced / f"{SYSTEM}.md").read_text()


def test_weights_that_are_not_those_of_the_card_are_refused(
    reproduced: Path, cohorts: tuple[io.CohortFolder, io.CohortFolder], tmp_path: Path
) -> None:
    import shutil

    shutil.copytree(reproduced / "model", tmp_path / "model")
    onnx = tmp_path / "model" / f"{SYSTEM}.onnx"
    onnx.write_bytes(onnx.read_bytes() + b"x")
    answer = _call("evaluate", SYSTEM, "--model", tmp_path / "model", *_places(cohorts), "--out", tmp_path / "t")
    assert answer.exit_code == 2
    assert "Traceback" not in answer.output
    assert not (tmp_path / "t").exists()


def test_reproducing_needs_a_site_that_taught_nothing(
    cohorts: tuple[io.CohortFolder, io.CohortFolder], tmp_path: Path
) -> None:
    with pytest.raises(InvalidValue, match="needs a site that took no part in training"):
        reproduce_system(
            SYSTEM,
            [cohorts[0].folder],
            tmp_path / "out",
            normals=[cohorts[1].folder],
            changes=[*SETTINGS, "external=moon"],
        )


def test_a_model_begun_otherwise_is_not_gone_on_with(
    cohorts: tuple[io.CohortFolder, io.CohortFolder], tmp_path: Path
) -> None:
    """What was taught so far has seen the patients on whom another choice of the external site would judge."""
    out = tmp_path / "out"
    parts = tmp_path / "out.parts"
    parts.mkdir()
    (parts / "begun.json").write_text(json.dumps({"system": SYSTEM, "external": ["north"]}))
    (parts / "training").mkdir()
    places = [str(word) for word in _places(cohorts)]
    changes = [word for change in SETTINGS for word in ("--set", change)]
    answer = _call("train", SYSTEM, *places, *changes, "--out", out)
    assert answer.exit_code == 2
    assert "out.parts holds a model that was begun with another" in answer.output
    assert "external" in answer.output
    assert "Traceback" not in answer.output
    assert not out.exists()
    (parts / "begun.json").unlink()
    answer = _call("train", SYSTEM, *places, *changes, "--out", out)
    assert answer.exit_code == 2
    assert "nobody wrote down how it was begun" in answer.output


def test_a_model_is_judged_on_another_label_at_most(reproduced: Path, tmp_path: Path) -> None:
    model = reproduced / "model"
    changes = "--set", "external=north"
    answer = _call("evaluate", SYSTEM, "--model", model, "--cohort", tmp_path, *changes, "--out", tmp_path / "t")
    assert answer.exit_code == 2
    assert "only its label may be another" in answer.output


def test_help_of_the_new_verbs_imports_neither_torch_nor_numpy() -> None:
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom myoscope.cli import app\n"
        "for verb in ('train', 'evaluate', 'reproduce'):\n"
        "    assert CliRunner().invoke(app, [verb, '--help']).exit_code == 0\n"
        "print(sorted({'torch', 'numpy', 'lightning_fabric'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert json.loads(done.stdout.replace("'", '"')) == []


@pytest.mark.slow
def test_the_page_of_figures_takes_nothing_but_the_reference_registry(
    cohorts: tuple[io.CohortFolder, io.CohortFolder], tmp_path: Path
) -> None:
    (tmp_path / "registry").mkdir()
    (tmp_path / "registry" / "maps").symlink_to(cohorts[0].folder)
    script = Path(__file__).parents[2] / "docs" / "make" / "validate_systems.py"
    call = [sys.executable, str(script), "--registry", str(tmp_path / "registry")]
    done = subprocess.run(call, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("maps is not a tier of the reference registry")
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["registry"]
