"""Tables of a system that was cross-validated: each fold or site by itself, and all out-of-fold predictions together.

Every prediction is by networks that never saw the patient. Together they are clustered by patient: in several rounds a
patient is judged several times and still counts once.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from myoscope.core import InvalidValue
from myoscope.evaluate import Estimate
from myoscope.io import atomic_write
from myoscope.learn import Examples, Split, TrainedModel
from myoscope.systems.contract import CohortSystem, Progress, Published
from myoscope.systems.diagnosis import Prognosis, pooled
from myoscope.systems.evaluation import JUDGED_BY, Evaluation

_RESAMPLES_OF_A_FOLD = 300


@dataclass(frozen=True, eq=False)
class JudgedFold:
    """One fold or site: its split, the examples judged, what was said of them and by which model.

    ``chosen`` are the settings that nested folds chose, empty where nothing was to be chosen; ``losses`` is the mean
    cross-entropy of each candidate in the nested folds.
    """

    split: Split
    examples: Examples
    prognosis: Prognosis
    model: TrainedModel
    chosen: tuple[str, ...] = ()
    losses: Mapping[str, float] | None = None

    @property
    def name(self) -> str:
        """As the split is called: a fold, or the site that was left out."""
        return self.split.name.removeprefix("external ")

    @property
    def n_taught(self) -> int:
        """Patients whom its networks learned from."""
        rows = np.concatenate([self.split.training, self.split.validation])
        return int(np.unique(self.split.patient[rows]).size)


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """All folds together and one by one; ``reasons`` says why a fold has no tables of its own."""

    pooled: Evaluation
    folds: tuple[JudgedFold, ...]
    tables: Mapping[str, Evaluation]
    reasons: Mapping[str, str]

    def markdown(self, published: Sequence[Published] = ()) -> str:
        """The pooled tables, then a line per fold."""
        lines = [self.pooled.markdown(published).rstrip("\n"), "", "### Folds", ""]
        for name, together in self.pooled.papers.items():
            scores = [row.name for row in together.rows]
            against = [row for row in scores if row != together.reference]
            head = [f"{name}", "taught on", "n", "with the outcome", *(f"AUC of {score}" for score in scores)]
            head += [f"{score} less {together.reference}" for score in against]
            lines += ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
            for fold in self.folds:
                table = self.tables.get(fold.name)
                if table is None or name not in table.papers:
                    cells = [fold.name, str(fold.n_taught), str(len(fold.examples)), "too few"]
                    lines.append("| " + " | ".join([*cells, *[""] * (len(head) - len(cells))]) + " |")
                    continue
                paper = table.papers[name]
                cells = [fold.name, str(fold.n_taught), str(paper.n), str(paper.n_events)]
                cells += [_figure(paper.row(score).auc) for score in scores]
                cells += [_signed(paper.row(score).difference) for score in against]
                lines.append("| " + " | ".join(cells) + " |")
            for said, auc, difference in (
                ("within folds", "auc_within", "difference_within"),
                ("all together", "auc", "difference"),
            ):
                cells = [f"**{said}**", "", str(together.n), str(together.n_events)]
                cells += [_figure(getattr(together.row(score), auc)) for score in scores]
                cells += [_signed(getattr(together.row(score), difference)) for score in against]
                lines.append("| " + " | ".join(cells) + " |")
            lines.append("")
        lines += [
            "*Within folds* compares patients who were judged by the same networks, *all together* everybody with "
            "everybody: where networks of folds are calibrated apart the second is lower. Intervals draw patients.",
            "",
            *(f"* {name}: no tables of its own, because {why}" for name, why in self.reasons.items()),
        ]
        for fold in self.folds:
            if fold.losses is not None:
                beside = "; ".join(f"{what}: {loss:.4f}" for what, loss in fold.losses.items())
                lines.append(
                    f"* {fold.name}: chosen {', '.join(fold.chosen)} (cross-entropy in nested folds: {beside})"
                )
        return "\n".join(lines).rstrip("\n") + "\n"

    def write(
        self, folder: Path, *, rng: np.random.Generator, published: Sequence[Published] = (), resamples: int = 300
    ) -> None:
        """Pooled table and pictures, ``out_of_fold.csv``, and the tables and pictures of each fold in its folder."""
        self.pooled.write(folder, rng=rng, published=published, resamples=resamples)
        text = self.markdown(published)
        (folder / f"{self.pooled.system}.md").write_text(text, encoding="utf-8", newline="\n")
        for fold in self.folds:
            table = self.tables.get(fold.name)
            if table is not None:
                table.write(folder / "folds" / folder_name(fold.name), rng=rng, resamples=resamples)
        write_out_of_fold(folder / "out_of_fold.csv", self.folds)


def folder_name(fold: str) -> str:
    """A fold's name as that of a folder: letters, digits and hyphens."""
    return "-".join("".join(c if c.isalnum() else " " for c in fold.lower()).split())


def judge_folds(
    system: CohortSystem,
    name: str,
    folds: Sequence[JudgedFold],
    *,
    scheme: str,
    rounds: int,
    seed: int,
    notes: Sequence[str] = (),
    progress: Progress | None = None,
) -> CrossValidation:
    """Evaluate each fold by itself and all together; a fold of too few patients says so.

    Raises
    ------
    InvalidValue
        No folds, or too few patients even together.
    """
    tell = progress or (lambda step, fraction: None)
    tables, reasons = {}, {}
    for number, fold in enumerate(folds):
        tell(f"evaluating {fold.name}", number / (len(folds) + 1))
        try:
            found = system.evaluate(
                fold.examples,
                fold.prognosis,
                fold.model,
                rng=np.random.default_rng([seed, number]),
                resamples=_RESAMPLES_OF_A_FOLD,
            )
        except InvalidValue as error:
            reasons[fold.name] = str(error)
            continue
        tables[fold.name] = replace(found, title=f"{fold.name}: {found.title}")
    tell("evaluating all together", len(folds) / (len(folds) + 1))
    examples = _together(folds)
    whole = system.evaluate(
        examples, pooled([fold.prognosis for fold in folds]), folds[0].model, rng=np.random.default_rng(seed)
    )
    # What a single model is called is not what judged them all.
    said = whole.title.replace(f"model {folds[0].model.card.identifier}", scheme)
    papers = dict(whole.papers)
    if rounds > 1:
        papers = {
            key: replace(one, unit="predictions" if one.unit == "patients" else f"predictions of {one.unit}")
            for key, one in papers.items()
        }
    return CrossValidation(
        replace(whole, system=name, title=said, papers=papers, notes=(*whole.notes, *notes)),
        tuple(folds),
        tables,
        reasons,
    )


def write_out_of_fold(path: Path, folds: Sequence[JudgedFold]) -> None:
    """One line per study and round: who judged it, its outcome, and what was said of it.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    first = folds[0]
    targets = first.examples.target_names
    about = [name for name in ("site", "camera", "tpd_percent") if name in first.examples.about]
    head = ["study", "patient", "fold", *about, *(f"outcome, {t}" for t in targets)]
    head += ["probability, patient", "low, patient", "high, patient", *(f"probability, {t}" for t in targets)]
    with atomic_write(path, "w") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow([*head, "strangeness", "abstains"])
        for fold in folds:
            e, p = fold.examples, fold.prognosis
            for row in range(len(e)):
                lines.writerow(
                    [
                        str(e.study[row]),
                        str(e.patient[row]),
                        fold.name,
                        *(_cell(e.about[name][row]) for name in about),
                        *(_cell(value) for value in e.targets[row]),
                        *(_cell(value[row]) for value in (p.patient, p.low, p.high)),
                        *(_cell(value) for value in p.answers.probability[row]),
                        _cell(p.answers.strangeness[row]),
                        int(p.answers.unusual[row]),
                    ]
                )


def _together(folds: Sequence[JudgedFold]) -> Examples:
    """Examples of all folds one after the other, each saying which fold it was judged in."""
    parts = [fold.examples for fold in folds]
    first = parts[0]
    about = {name: np.concatenate([part.about[name] for part in parts]) for name in first.about}
    return Examples(
        np.concatenate([part.patient for part in parts]),
        np.concatenate([part.study for part in parts]),
        np.concatenate([part.maps for part in parts]),
        first.channels,
        np.concatenate([part.covariates for part in parts]),
        first.covariate_names,
        np.concatenate([part.targets for part in parts]),
        first.target_names,
        first.cohort_sha256,
        about | {JUDGED_BY: np.repeat([fold.name for fold in folds], [len(part) for part in parts])},
        first.left_out,
    )


def _cell(value: object) -> str:
    """A number with six digits, a word as it is, nothing where nothing is known."""
    if isinstance(value, float | np.floating):
        return "" if math.isnan(value) else f"{float(value):.6g}"
    return str(value)


def _figure(e: Estimate | None) -> str:
    return "" if e is None else f"{e.value:.3f} ({e.low:.3f} to {e.high:.3f})"


def _signed(e: Estimate | None) -> str:
    return "" if e is None else f"{e.value:+.3f} ({e.low:+.3f} to {e.high:+.3f})"
