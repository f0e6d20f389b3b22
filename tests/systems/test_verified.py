"""Accuracy in everybody where only some were sent on: what `myoscope evaluate --verified` promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from small_systems import Trained, cohorts, shared, trained_system
from tiny_cohort import write_cohort_of_maps
from typer.testing import CliRunner, Result

from myoscope import io
from myoscope.cli import app
from myoscope.core import VESSELS, Cohort, Column, InvalidValue
from myoscope.systems import betancur2018
from myoscope.systems.verified import evaluate_verified, of_verified

SYSTEM = "betancur2018"


@pytest.fixture(scope="module")
def taught(cohorts: tuple[io.CohortFolder, io.CohortFolder], shared: Path) -> Trained:
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("lightning_fabric", reason="lightning is not installed (pip install myoscope[train])")
    return trained_system(SYSTEM, cohorts, shared)


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> io.CohortFolder:
    """Patients of whom those with a dark map were sent to angiography more often, and whose truth is kept."""
    place = tmp_path_factory.mktemp("sent")
    write_cohort_of_maps(place / "all", {"coast": 90}, seed=21)
    folder = io.read_cohort(place / "all")
    table = folder.cohort
    stress = folder.map("stress_supine")
    dark = np.nanpercentile(stress, 10, axis=(1, 2)) / np.nanpercentile(stress, 95, axis=(1, 2))
    went = np.random.default_rng(1).random(dark.size) < np.where(dark < np.median(dark), 0.9, 0.35)
    values = dict(table.values) | {"sent": went, "half": np.full(went.size, 0.5), "nobody": np.zeros(went.size, bool)}
    for vessel in VESSELS:
        values[f"angiography_{vessel.lower()}"] = np.where(went, values[f"truth_obstructive_{vessel.lower()}"], np.nan)
    columns = (*table.columns, Column("sent", "went on"), Column("half", "no"), Column("nobody", "nobody"))
    cohort = Cohort(table.patient, table.study, columns, values, table.made_by)
    io.write_cohort(place / "sent", cohort, {kind: folder.map(kind.name) for kind in folder.kinds})
    return io.read_cohort(place / "sent")


def _evaluate(taught: Trained, sent: io.CohortFolder, normals: io.CohortFolder, out: Path, *words: str) -> Result:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    places = ["--model", str(taught.folder), "--cohort", str(sent.folder), "--normals", str(normals.folder)]
    return CliRunner().invoke(app, ["evaluate", SYSTEM, *places, "--out", str(out), "--explained", "2", *words])


def test_corrected_stands_beside_uncorrected(
    taught: Trained, sent: io.CohortFolder, cohorts: tuple[io.CohortFolder, io.CohortFolder], tmp_path: Path
) -> None:
    answer = _evaluate(taught, sent, cohorts[1], tmp_path / "out", "--verified", "sent", "--decided-by", "age_y")
    assert answer.exit_code == 0, answer.output
    text = (tmp_path / "out" / f"{SYSTEM}.md").read_text(encoding="utf-8")
    went = int(np.asarray(sent.cohort["sent"]).sum())
    assert f"{went} of 90 studies were verified (column `sent`)" in text
    assert f"| n = {went} patients," in text  # the other tables are of the verified alone
    assert f"{90 - went} studies without a label are not counted" in text
    assert "given the scores, age_y" in text
    for who in ("TPD, patients", f"{SYSTEM}, patients", "TPD, vessels", f"{SYSTEM}, vessels"):
        assert f"| {who} | AUC |" in text
    assert "explained by" in text
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        f"{SYSTEM}.md",
        f"{SYSTEM}_patients.png",
        f"{SYSTEM}_vessels.png",
    }


def test_correcting_goes_towards_the_truth_of_everybody(
    taught: Trained, sent: io.CohortFolder, cohorts: tuple[io.CohortFolder, io.CohortFolder]
) -> None:
    kept = betancur2018.prepare([sent], taught.settings, normals=[cohorts[1]], keep_unverified=True)
    examples, notes = of_verified(kept, [sent], "sent")
    assert notes == []
    assert len(examples) == 90
    assert np.array_equal(np.isfinite(examples.targets).all(axis=1), np.asarray(sent.cohort["sent"]))
    prognosis = betancur2018.predict(examples, taught.model)
    found = evaluate_verified(
        examples,
        prognosis,
        [sent],
        column="sent",
        reasons=("age_y",),
        system=SYSTEM,
        tpd_name="TPD",
        abnormal_from=5.0,
        rng=np.random.default_rng(0),
        resamples=100,
    )
    assert found.reasons == ("age_y",)
    ill: NDArray[np.bool_] = (
        np.stack([sent.cohort[f"truth_obstructive_{v.lower()}"] for v in VESSELS]).astype(float).max(axis=0) > 0
    )
    tpd = np.asarray(examples.about["tpd_percent"])
    row = found.rows[0]
    assert (row.unit, row.name) == ("patients", "TPD")
    true, corrected = float((tpd >= 5)[ill].mean()), row.accuracy.sensitivity
    assert corrected.low <= true <= corrected.high
    assert abs(row.accuracy.prevalence.value - ill.mean()) < abs(
        ill[np.asarray(sent.cohort["sent"])].mean() - ill.mean()
    )
    assert row.positive == float(np.mean(tpd >= 5))
    assert found.rows[1].positive == pytest.approx(row.positive, abs=0.02)


def test_labels_that_do_not_count_as_verified_are_not_used(
    taught: Trained, sent: io.CohortFolder, cohorts: tuple[io.CohortFolder, io.CohortFolder]
) -> None:
    """With the label of the truth everybody's is known; what the column does not call verified is hidden."""
    from dataclasses import replace

    settings = replace(taught.settings, label="truth")
    everybody = betancur2018.prepare([sent], settings, normals=[cohorts[1]], keep_unverified=True)
    examples, notes = of_verified(everybody, [sent], "sent")
    went = np.asarray(sent.cohort["sent"])
    assert np.isnan(examples.targets[~went]).all()
    assert notes == [
        f"{int((~went).sum())} studies have a label but count as not verified by sent; their label is not used"
    ]
    with pytest.raises(InvalidValue, match="nobody of 90 studies was verified"):
        of_verified(everybody, [sent], "nobody")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--verified", "moon"], "has no column 'moon'; it has"),
        (["--verified", "camera"], "column camera of sent holds words"),
        (["--verified", "half"], "by 0 and 1, got 0.5"),
        (["--decided-by", "age_y"], "(--verified)"),
        (["--verified", "sent", "--decided-by", "moon"], "has no column 'moon'"),
    ],
)
def test_columns_that_cannot_say_it_are_refused_in_one_sentence(
    words: list[str],
    why: str,
    taught: Trained,
    sent: io.CohortFolder,
    cohorts: tuple[io.CohortFolder, io.CohortFolder],
    tmp_path: Path,
) -> None:
    answer = _evaluate(taught, sent, cohorts[1], tmp_path / "out", *words)
    assert answer.exit_code == 2
    assert why in answer.output
    assert answer.output.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
