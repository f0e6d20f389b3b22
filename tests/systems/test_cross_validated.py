"""Cross-validation from folders to a folder: who judges whom, what is written, and what happens after a kill."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_systems import BRIEF, OWN, cohorts, shared
from tiny_cohort import write_cohort_of_maps
from typer.testing import CliRunner

from myoscope import io
from myoscope.cli import app
from myoscope.core import Cohort, InvalidValue
from myoscope.learn import Examples, read_card
from myoscope.systems import betancur2018
from myoscope.systems.cross_validated import cross_validate_system
from myoscope.systems.evaluation import Evaluation
from myoscope.systems.out_of_fold import CrossValidation, judge_folds
from myoscope.systems.scheme import Scheme

SYSTEM = "betancur2018"
SETTINGS = [*BRIEF, *OWN[SYSTEM]]
Folders = tuple[io.CohortFolder, io.CohortFolder]


def _validated(cohorts: Folders, out: Path, scheme: Scheme, *changes: str, **more: Any) -> CrossValidation:
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("lightning_fabric", reason="lightning is not installed (pip install myoscope[train])")
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    found = cross_validate_system(
        SYSTEM, [cohorts[0].folder], out, scheme, normals=[cohorts[1].folder], changes=[*SETTINGS, *changes], **more
    )
    assert found is not None
    return found


def _lines(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _taught(folder: Path) -> set[str]:
    """Studies that a fold's model was taught on."""
    with np.load(folder / "model" / "out_of_fold.npz") as kept:
        return set(kept["study"].tolist())


@pytest.fixture(scope="module")
def by_patients(cohorts: Folders, tmp_path_factory: pytest.TempPathFactory) -> tuple[CrossValidation, Path]:
    """Three folds of patients of both sites, and where they lie."""
    out = tmp_path_factory.mktemp("folds") / "result"
    return _validated(cohorts, out, Scheme(folds=3)), out


def test_every_patient_is_judged_once_by_networks_that_never_saw_him(
    by_patients: tuple[CrossValidation, Path], cohorts: Folders
) -> None:
    _, out = by_patients
    lines = _lines(out / "out_of_fold.csv")
    assert sorted(line["study"] for line in lines) == sorted(cohorts[0].cohort.study.tolist())
    for fold in ("fold 0", "fold 1", "fold 2"):
        judged = {line["study"] for line in lines if line["fold"] == fold}
        taught = _taught(out / "folds" / fold.replace(" ", "-"))
        assert judged
        assert not judged & taught
        assert judged | taught == set(cohorts[0].cohort.study.tolist())
    assert all(0 < float(line["low, patient"]) <= float(line["high, patient"]) < 1 for line in lines)


def test_tables_stand_per_fold_within_and_together(by_patients: tuple[CrossValidation, Path]) -> None:
    found, out = by_patients
    text = (out / f"{SYSTEM}.md").read_text(encoding="utf-8")
    assert "3 folds of patients, each judged by networks taught on the others" in text
    assert "model betancur2018-" not in text.splitlines()[2]
    for head in ("| fold 0 | ", "| fold 2 | ", "| **within folds** |", "| **all together** |"):
        assert text.count(head) == 2, head  # patients and vessels
    whole = found.pooled.papers["patients"]
    assert (whole.n, whole.n_patients) == (54, 54)
    assert sum(table.papers["patients"].n for table in found.tables.values()) == 54
    assert whole.row(SYSTEM).auc_within is not None
    assert whole.row("TPD").difference_within is None
    assert found.pooled.papers["vessels"].n_patients == 54
    for name in (f"{SYSTEM}_patients.png", f"{SYSTEM}_vessels.png", "folds/fold-1/betancur2018.md"):
        assert (out / name).exists()
    assert not out.with_name("result.parts").exists()
    assert not list(out.rglob("*.pt"))


def test_after_a_kill_finished_folds_are_kept_and_the_end_is_that_of_an_unbroken_run(
    by_patients: tuple[CrossValidation, Path], cohorts: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teach, calls = betancur2018.train, []

    def killed_in_the_third(*given: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return teach(*given, **named)

    monkeypatch.setattr(betancur2018, "train", killed_in_the_third)
    out = tmp_path / "result"
    with pytest.raises(KeyboardInterrupt):
        _validated(cohorts, out, Scheme(folds=3))
    assert not out.exists()
    folds = tmp_path / "result.parts" / "folds"
    assert [(folds / f"fold-{n}" / "model").exists() for n in range(3)] == [True, True, False]
    with pytest.raises(InvalidValue, match="begun with another scheme"):
        _validated(cohorts, out, Scheme(folds=4))
    _validated(cohorts, out, Scheme(folds=3))
    assert len(calls) == 4
    assert (out / "out_of_fold.csv").read_text() == (by_patients[1] / "out_of_fold.csv").read_text()
    assert (out / f"{SYSTEM}.md").read_text() == (by_patients[1] / f"{SYSTEM}.md").read_text()


def test_each_site_is_judged_by_the_others_from_the_command_line(cohorts: Folders, tmp_path: Path) -> None:
    write_cohort_of_maps(tmp_path / "more", {"coast": 16}, seed=5)
    pytest.importorskip("lightning_fabric", reason="lightning is not installed (pip install myoscope[train])")
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    changes = [word for change in SETTINGS for word in ("--set", change)]
    places = ["--normals", str(cohorts[1].folder)]
    places += [word for folder in (cohorts[0].folder, tmp_path / "more") for word in ("--cohort", str(folder))]
    out = tmp_path / "sites"
    answer = CliRunner().invoke(app, ["reproduce", SYSTEM, *places, *changes, "--each-site", "--out", str(out)])
    assert answer.exit_code == 0, answer.output
    assert "each site judged by networks taught at the others" in answer.output
    lines = _lines(out / "out_of_fold.csv")
    assert len(lines) == 70
    assert all(line["fold"] == line["site"] for line in lines)
    for site, others in (("coast", 34), ("riverside", 36)):
        card = read_card(out / "folds" / site / "model", SYSTEM)
        assert card.settings["external"] == [site]
        assert card.n_training == others
        assert not {line["study"] for line in lines if line["site"] == site} & _taught(out / "folds" / site)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--folds", "2"], "at least 3 folds, got 2"),
        (["--folds", "3", "--each-site"], "not by both"),
        (["--rounds", "2"], "add --folds or --each-site"),
        (["--each-site", "--rounds", "2"], "sites stay as they are"),
        (["--folds", "3", "--nested", "3"], "give both --nested and --candidate"),
        (["--folds", "3", "--nested", "3", "--candidate", "hidden=4"], "at least two candidates"),
        (["--folds", "3", "--nested", "3", "--candidate", "label=truth", "--candidate", "hidden=8"], "cannot choose"),
        (["--folds", "3", "--nested", "3", "--candidate", "hidden=4", "--candidate", "hidden=4"], "the same settings"),
        (["--folds", "80"], "54 patients cannot be split into 80 groups"),
    ],
)
def test_schemes_that_cannot_be_are_refused_in_one_sentence(
    words: list[str], why: str, cohorts: Folders, tmp_path: Path
) -> None:
    pytest.importorskip("lightning_fabric", reason="lightning is not installed (pip install myoscope[train])")
    places = ["--cohort", str(cohorts[0].folder), "--normals", str(cohorts[1].folder)]
    answer = CliRunner().invoke(app, ["reproduce", SYSTEM, *places, *words, "--out", str(tmp_path / "out")])
    assert answer.exit_code == 2
    assert why in answer.output
    assert answer.output.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_nested_folds_choose_settings_without_a_look_at_who_is_judged(cohorts: Folders, tmp_path: Path) -> None:
    scheme = Scheme(folds=3, rounds=2, inner_folds=3, candidates=(("hidden=4",), ("hidden=6", "dropout=0.2")))
    found = _validated(cohorts, tmp_path / "out", scheme)
    assert len(found.folds) == 6
    assert found.pooled.papers["patients"].unit == "predictions"
    assert found.pooled.papers["patients"].n == 2 * found.pooled.papers["patients"].n_patients == 108
    for fold in found.folds:
        assert fold.losses is not None
        best = min(fold.losses, key=lambda one, losses=fold.losses: losses[one])  # type: ignore[misc]
        assert ", ".join(fold.chosen) == best
        for inner in fold.split.inner:
            used = {*inner.training.tolist(), *inner.validation.tolist(), *inner.test.tolist()}
            assert not used & set(fold.split.test.tolist())
    for fold in found.folds:
        assert f"hidden={fold.model.card.settings['hidden']}" in fold.chosen
    assert "chosen hidden=" in (tmp_path / "out" / f"{SYSTEM}.md").read_text()


def test_a_site_that_cannot_be_done_without_is_named(cohorts: Folders, tmp_path: Path) -> None:
    """Without riverside, twenty patients of the coast are left, of whom seven are ill."""
    with pytest.raises(InvalidValue, match="riverside: 7 patients of a class cannot promise"):
        _validated(cohorts, tmp_path / "out", Scheme())


def test_patients_who_make_the_limits_and_external_sites_take_no_part(cohorts: Folders, tmp_path: Path) -> None:
    both = io.read_cohort(cohorts[1].folder)
    out = tmp_path / "out"
    found = cross_validate_system(
        SYSTEM,
        [cohorts[0].folder, both.folder],
        out,
        Scheme(folds=3),
        changes=[*SETTINGS, "label=truth", "external=coast"],
    )
    assert found is not None
    lines = _lines(out / "out_of_fold.csv")
    assert len(lines) == 34
    assert {line["site"] for line in lines} == {"riverside"}
    assert not {line["patient"] for line in lines} & set(both.cohort.patient.tolist())
    assert "30 low-likelihood studies make the normal limits and take no part" in (out / f"{SYSTEM}.md").read_text()


def test_a_patient_of_two_sites_cannot_be_left_out_with_one_of_them(cohorts: Folders, tmp_path: Path) -> None:
    folder = cohorts[0]
    table = folder.cohort
    patient = table.patient.copy()
    coast, riverside = (np.flatnonzero(table["site"] == site)[0] for site in ("coast", "riverside"))
    patient[coast] = patient[riverside]
    moved = Cohort(patient, table.study, table.columns, table.values, table.made_by)
    io.write_cohort(tmp_path / "moved", moved, {kind: folder.map(kind.name) for kind in folder.kinds})
    with pytest.raises(InvalidValue, match="1 patients are in"):
        _validated((io.read_cohort(tmp_path / "moved"), cohorts[1]), tmp_path / "out", Scheme())


def test_a_fold_without_tables_says_why_and_counts_together(by_patients: tuple[CrossValidation, Path]) -> None:
    found, _ = by_patients

    class Refusing:
        """Evaluates nothing anew, and refuses one fold."""

        def evaluate(self, examples: Examples, prognosis: Any, model: Any, **named: Any) -> Evaluation:
            del prognosis, model, named
            if np.array_equal(examples.study, found.folds[1].examples.study):
                raise InvalidValue("all 18 outcomes are 0; telling two groups apart needs both")
            return found.pooled if len(examples) == 54 else found.tables["fold 0"]

    system: Any = Refusing()
    again = judge_folds(system, SYSTEM, found.folds, scheme="3 folds", rounds=1, seed=0)
    assert list(again.tables) == ["fold 0", "fold 2"]
    text = again.markdown()
    assert "| fold 1 | 36 | 18 | too few |" in text
    assert "* fold 1: no tables of its own, because all 18 outcomes are 0" in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith(("| fold", "| patients |", "| **"))}
    assert widths == {8}
