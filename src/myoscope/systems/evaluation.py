"""How good a diagnostic system is: per patient and per vessel beside TPD, in subgroups, and when it abstains."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myoscope import quantify
from myoscope.core import VESSELS, InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.evaluate import (
    ExplainedCurves,
    Factor,
    Paper,
    RiskCoverage,
    Score,
    SetAccuracy,
    bands,
    paper,
    risk_coverage,
    set_accuracy,
    subgroups,
)
from myoscope.learn import Examples, TrainedModel
from myoscope.systems.contract import Published
from myoscope.systems.diagnosis import Prognosis as Prognosis
from myoscope.systems.diagnosis import patient_label
from myoscope.systems.verified import VerifiedTable

JUDGED_BY = "judged_by"
"""Name of what examples say of themselves where several networks judge them: which one, a fold or a site left out."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Tables of a system by name (patients, vessels), its subgroups, its conformal sets, and what abstaining saves."""

    system: str
    title: str
    papers: Mapping[str, Paper]
    factors: tuple[Factor, ...] = ()
    sets: SetAccuracy | None = None
    abstaining: RiskCoverage | None = None
    notes: tuple[str, ...] = ()
    verified: VerifiedTable | None = None

    def explained_by(self, curves: Sequence[ExplainedCurves]) -> Evaluation:
        """The same with curves of explanations beside the first table."""
        (name, first), *others = self.papers.items()
        return replace(self, papers={name: replace(first, explained=tuple(curves)), **dict(others)})

    def markdown(self, published: Sequence[Published] = ()) -> str:
        """Everything as text, the paper's figures beside ours."""
        lines = [f"## {self.system}", "", self.title, ""]
        for name, table in self.papers.items():
            lines += [f"### {name}", "", table.markdown()]
        if published:
            lines += ["Published, on closed registries of real patients (context, not a target):", ""]
            lines += ["| | paper | n |", "|---|---|---|"]
            lines += [f"| {p.what} | {_interval(p.value, p.low, p.high)} | {p.n} |" for p in published]
            lines.append("")
        if self.factors:
            lines += [
                "### Subgroups",
                "",
                "| | n | ill | AUC | Brier | predicted | observed | p, AUC equal |",
                "|---|---|---|---|---|---|---|---|",
            ]
            for factor in self.factors:
                for level in factor.levels:
                    area = "too few" if level.auc is None else _interval(level.auc.value, level.auc.low, level.auc.high)
                    equal = f"{factor.p_equal_auc:.3f}" if level is factor.levels[0] else ""
                    lines.append(
                        f"| {factor.name}: {level.level} | {level.n} | {level.n_events} | {area} | {level.brier:.3f} | "
                        f"{level.mean_predicted:.3f} | {level.observed:.3f} | {'' if equal == 'nan' else equal} |"
                    )
            lines.append("")
        if self.sets is not None:
            s = self.sets
            lines += [
                f"Conformal sets: hold the truth in {_interval(s.coverage.value, s.coverage.low, s.coverage.high)} "
                f"(with disease {s.coverage_with.value:.3f}, without {s.coverage_without.value:.3f}); one answer in "
                f"{s.single:.3f}, both in {s.both:.3f}, none in {s.empty:.3f}.",
                "",
            ]
        if self.abstaining is not None:
            a = self.abstaining
            lines += [
                f"Leaving out the strangest inputs: mean Brier score over coverage {a.area:.4f}, leaving out at random "
                f"{a.area_at_random:.4f}, knowing the error {a.area_best:.4f}.",
                "",
            ]
        if self.verified is not None:
            lines += ["### Verification", "", *self.verified.lines(), ""]
        lines += [f"* {note}" for note in self.notes]
        return "\n".join(lines) + "\n"

    def figures(self) -> tuple[str, ...]:
        """Areas under ROC curves and calibration in words, with n and interval, as a model card states them."""
        said = []
        for name, table in self.papers.items():
            unit, who = table.unit.removesuffix("s"), f"{name}; n = {table.n}, {table.n_events} with the outcome"
            for row in table.rows:
                auc = _interval(row.auc.value, row.auc.low, row.auc.high)
                said.append(f"AUC per {unit} of {row.name}: {auc} ({who}; {self.title})")
                if row.calibration is not None:
                    slope, large = (
                        _interval(one.value, one.low, one.high)
                        for one in (row.calibration.slope, row.calibration.in_the_large)
                    )
                    said.append(
                        f"Calibration per {unit} of {row.name}: slope {slope}, in the large {large} "
                        f"(1 and 0 are right; {who}; {self.title})"
                    )
        return tuple(said)

    def write(
        self, folder: Path, *, rng: np.random.Generator, published: Sequence[Published] = (), resamples: int = 300
    ) -> None:
        """The text as ``<system>.md`` and a picture per table in a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.system}.md").write_text(self.markdown(published), encoding="utf-8", newline="\n")
        for name, table in self.papers.items():
            title = f"{self.system}, {name}: {self.title}"
            table.draw(folder / f"{self.system}_{name}.png", rng=rng, title=title, resamples=resamples)


def evaluate_diagnosis(
    examples: Examples,
    prognosis: Prognosis,
    model: TrainedModel,
    *,
    system: str,
    rng: np.random.Generator,
    combined: bool = False,
    resamples: int = 1000,
) -> Evaluation:
    """Per patient, and per vessel where the model answers for vessels; studies without a label are left out.

    ``combined`` says that TPD is that of two positions together.

    Raises
    ------
    InvalidValue
        Nobody's label is known, or too few patients have, or lack, disease.
    """
    tpd_name = "combined TPD" if combined else "TPD"
    abnormal_from = quantify.ABNORMAL_COMBINED_TPD_PERCENT if combined else quantify.ABNORMAL_TPD_PERCENT
    known = np.isfinite(examples.targets).all(axis=1)
    if not known.any():
        raise InvalidValue("nobody's label is known, so there is nothing to judge by")
    used = examples.rows(known)
    y = patient_label(used.targets.astype(np.float64)) > 0
    judge: NDArray[Any] | None = used.about.get(JUDGED_BY)
    tpd = np.asarray(used.about["tpd_percent"], np.float64)
    ours = prognosis.patient[known]
    papers = {
        "patients": paper(
            y,
            [
                Score(tpd_name, tpd, None if prognosis.tpd is None else prognosis.tpd[known], abnormal_from),
                Score.of_probability(system, ours, doubt=prognosis.answers.strangeness[known]),
            ],
            reference=tpd_name,
            rng=rng,
            cluster=used.patient,
            stratum=judge,
            resamples=resamples,
        )
    }
    if prognosis.vessels is not None:
        of_vessels: FloatArray = np.stack([used.about[f"tpd_{v.lower()}_percent"] for v in VESSELS], axis=1)
        papers["vessels"] = paper(
            used.targets.ravel() > 0,
            [
                Score(tpd_name, of_vessels.ravel(), None, quantify.ABNORMAL_VESSEL_TPD_PERCENT),
                Score.of_probability(system, prognosis.vessels[known].ravel()),
            ],
            reference=tpd_name,
            rng=rng,
            cluster=np.repeat(used.patient, len(VESSELS)),
            unit="vessels",
            stratum=None if judge is None else np.repeat(judge, len(VESSELS)),
            resamples=resamples,
        )
    unusual = prognosis.answers.unusual[known]
    sites = ", ".join(np.unique(used.about["site"]).tolist())
    return Evaluation(
        system,
        f"virtual patients, not people; {len(used)} studies of {sites}; model {model.card.identifier}",
        papers,
        subgroups(y, ours, factors_of(used), cluster=used.patient),
        None if prognosis.sets is None else set_accuracy(y, prognosis.sets[known], cluster=used.patient),
        risk_coverage((ours - y) ** 2, prognosis.answers.strangeness[known]),
        (
            *used.left_out,
            *([f"{int((~known).sum())} studies without a label are not counted"] if not known.all() else []),
            f"the model would abstain from {int(unusual.sum())} of {len(used)}; they are counted here",
        ),
    )


def factors_of(examples: Examples) -> dict[str, list[str]]:
    """Levels of what may not make a difference, as words."""
    about = examples.about
    asked: dict[str, tuple[str, Callable[[Any], list[str]]]] = {
        "sex": ("sex", lambda v: [{"F": "women", "M": "men"}.get(str(s), str(s)) for s in v]),
        "age": ("age_y", lambda v: bands(np.asarray(v, np.float64), [55, 65, 75], unit="y")),
        "BMI": ("bmi_kg_m2", lambda v: bands(np.asarray(v, np.float64), [25, 30, 35], unit="kg/m2")),
        "diabetes": ("diabetes", lambda v: ["yes" if d else "no" for d in v]),
        "stress": ("stress_type", lambda v: [str(s) for s in v]),
        "camera": ("camera", lambda v: [str(c) for c in v]),
        "site": ("site", lambda v: [str(s) for s in v]),
    }
    words = {name: in_words(about[column]) for name, (column, in_words) in asked.items() if column in about}
    return {name: levels for name, levels in words.items() if len(set(levels)) > 1}


def _interval(value: float, low: float, high: float) -> str:
    return f"{value:.3g}" if math.isnan(low) else f"{value:.3f} ({low:.3f} to {high:.3f})"
