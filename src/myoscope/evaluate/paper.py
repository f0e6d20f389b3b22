"""The table and the plots of a paper about a diagnostic model, in one call.

Give the outcome, the scores that compete, and which of them is the reference; get discrimination with a paired test
against the reference, sensitivity at the reference's specificity and the reverse, calibration, reclassification and net
benefit, each with its interval, as a table in Markdown; and ROC curves, calibration curves and decision curves as a
picture. Of a score that says how unsure it is, what abstaining saves is in the table and drawn; curves of explanations
that were tried come into both as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.evaluate.auc import aucs
from myoscope.evaluate.bootstrap import bootstrap
from myoscope.evaluate.calibration import Calibration, calibration
from myoscope.evaluate.estimate import BoolArray, Estimate, cluster_numbers, outcome_and_scores, probabilities
from myoscope.evaluate.explained_curves import ExplainedCurves
from myoscope.evaluate.reclassification import Reclassification, category_free_nri, idi
from myoscope.evaluate.risk_coverage import RiskCoverageBand, risk_coverage_band
from myoscope.evaluate.roc import (
    MatchedAccuracy,
    sensitivity_at_matched_specificity,
    specificity_at_matched_sensitivity,
)
from myoscope.evaluate.utility import weighted_net_benefit
from myoscope.evaluate.within_strata import aucs_within


@dataclass(frozen=True, eq=False, slots=True)
class Score:
    """One competitor: its name, a score (n,), higher where the outcome is likelier, and the same as a probability.

    ``probability`` (n,) is None for a score that is none (TPD); calibration, reclassification and net benefit are then
    not said of it. ``threshold`` is the usual cut of the score, where it has one. ``doubt`` (n,) is higher where a
    model would rather abstain.
    """

    name: str
    score: FloatArray
    probability: FloatArray | None = None
    threshold: float | None = None
    doubt: FloatArray | None = None

    @classmethod
    def of_probability(cls, name: str, probability: ArrayLike, *, doubt: ArrayLike | None = None) -> Score:
        """A model that predicts probabilities, and perhaps says where it would rather not."""
        p = np.asarray(probability, np.float64)
        return cls(name, p, p, doubt=None if doubt is None else np.asarray(doubt, np.float64))


@dataclass(frozen=True, eq=False, slots=True)
class PaperRow:
    """Everything about one score; what cannot be said of it is None."""

    name: str
    auc: Estimate
    difference: Estimate | None
    sensitivity: MatchedAccuracy | None
    specificity: MatchedAccuracy | None
    calibration: Calibration | None
    nri: Reclassification | None
    idi: Reclassification | None
    net_benefit: Estimate | None
    abstaining: RiskCoverageBand | None = None
    auc_within: Estimate | None = None
    difference_within: Estimate | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Paper:
    """The comparison: one `PaperRow` per score. ``unit`` says what was counted, ``threshold`` where net benefit is.

    ``explained`` are curves of explanations of one of the models, by method.
    """

    rows: tuple[PaperRow, ...]
    reference: str
    n: int
    n_events: int
    n_patients: int
    unit: str
    threshold: float
    outcome: BoolArray
    scores: tuple[Score, ...]
    cluster: np.ndarray[tuple[int], np.dtype[np.intp]]
    explained: tuple[ExplainedCurves, ...] = ()

    def row(self, name: str) -> PaperRow:
        """The row of one score.

        Raises
        ------
        InvalidValue
            There is no such score.
        """
        for row in self.rows:
            if row.name == name:
                return row
        raise InvalidValue(f"there is no score {name!r}; there are {', '.join(row.name for row in self.rows)}")

    def markdown(self) -> str:
        """The comparison as a table, one column per score."""
        title = (
            f"n = {self.n} {self.unit}"
            + (f" of {self.n_patients} patients" if self.n_patients < self.n else "")
            + f", {self.n_events} with the outcome; 95 % intervals"
        )
        head = f"| {title} | " + " | ".join(row.name for row in self.rows) + " |"
        lines = [head, "|" + "---|" * (len(self.rows) + 1)]

        def line(name: str, cells: Sequence[str]) -> None:
            if any(cells):
                lines.append(f"| {name} | " + " | ".join(cells) + " |")

        rows = self.rows
        line("AUC", [_said(r.auc) for r in rows])
        line(f"AUC less that of {self.reference}", [_signed(r.difference) for r in rows])
        line("p, paired", [_p(r.difference) for r in rows])
        line("AUC among those judged by the same network", [_said(r.auc_within) if r.auc_within else "" for r in rows])
        line(f"the same less that of {self.reference}", [_signed(r.difference_within) for r in rows])
        line(
            f"sensitivity, % (at the specificity of {self.reference})",
            [_percent(r.sensitivity.of_score) if r.sensitivity else "" for r in rows],
        )
        line("more than the reference, points", [_points(r.sensitivity) for r in rows])
        line(
            f"specificity, % (at the sensitivity of {self.reference})",
            [_percent(r.specificity.of_score) if r.specificity else "" for r in rows],
        )
        line("more than the reference, points ", [_points(r.specificity) for r in rows])
        for name, label in (
            ("brier", "Brier score"),
            ("in_the_large", "calibration in the large, log-odds"),
            ("slope", "calibration slope"),
            ("ici", "ICI"),
            ("e90", "E90"),
            ("ece", "ECE, 10 groups"),
        ):
            line(label, [_said(getattr(r.calibration, name)) if r.calibration else "" for r in rows])
        for part, label in (("events", "events"), ("nonevents", "nonevents"), ("total", "total")):
            line(f"category-free NRI, {label}", [_signed(getattr(r.nri, part)) if r.nri else "" for r in rows])
        for part, label in (("events", "events"), ("nonevents", "nonevents"), ("total", "total")):
            line(f"IDI, {label}", [_signed(getattr(r.idi, part)) if r.idi else "" for r in rows])
        line(f"net benefit at {self.threshold:g}", [_said(r.net_benefit) if r.net_benefit else "" for r in rows])
        line(
            "Brier score saved by leaving out the most doubtful, mean over coverage",
            [_signed(r.abstaining.saved, digits=4) if r.abstaining else "" for r in rows],
        )
        if any(row.calibration for row in rows):
            lines += ["", "ICI, E90 and ECE cannot be negative; noise adds to them, so their intervals lie high."]
        if self.explained:
            lines += ["", *_lines_of_explanations(self.explained)]
        return "\n".join(lines) + "\n"

    def draw(self, path: Path, *, rng: np.random.Generator, title: str = "", resamples: int = 300) -> None:
        """Every curve there is, in one picture (PNG or SVG by the name of the file): see `draw_paper`."""
        from myoscope.evaluate.paper_figure import draw_paper

        draw_paper(self, path, rng=rng, title=title, resamples=resamples)


def paper(
    outcome: ArrayLike,
    scores: Sequence[Score],
    *,
    reference: str,
    rng: np.random.Generator,
    cluster: ArrayLike | None = None,
    unit: str = "patients",
    threshold: float = 0.5,
    stratum: ArrayLike | None = None,
    explained: Sequence[ExplainedCurves] = (),
    resamples: int = 1000,
) -> Paper:
    """Compare scores of the same rows with a reference among them.

    ``cluster`` names the patient of each row where a patient has several. ``unit`` says what a row is; net benefit is
    said at ``threshold``. ``stratum`` (n,) says which network judged each row, where several did (folds): areas among
    rows of the same one are then given too. ``explained`` are curves of explanations to stand beside.

    Raises
    ------
    InvalidValue
        No such reference, a name twice, missing scores, or too few patients.
    """
    names = [score.name for score in scores]
    if len(set(names)) != len(names) or reference not in names:
        raise InvalidValue(f"scores need different names, one of them {reference!r}; got {', '.join(names) or 'none'}")
    y, values = outcome_and_scores(outcome, *(score.score for score in scores))
    patient = cluster_numbers(cluster, y.size)
    found = aucs(y, *values, cluster=patient)
    old = names.index(reference)
    within: tuple[Estimate | None, ...] = (None,) * len(scores)
    less: tuple[Estimate | None, ...] = within
    if stratum is not None:
        within, less = aucs_within(
            y, *values, stratum=stratum, reference=old, rng=rng, cluster=patient, resamples=resamples
        )
    cut, old_p = scores[old].threshold, scores[old].probability
    rows = []
    for number, score in enumerate(scores):
        against = number != old
        sensitivity = specificity = calibrated = nri = discrimination = benefit = abstaining = None
        if against and cut is not None:
            sensitivity, specificity = (
                at_match(
                    y,
                    values[number],
                    values[old],
                    reference_threshold=cut,
                    rng=rng,
                    resamples=resamples,
                    cluster=patient,
                )
                for at_match in (sensitivity_at_matched_specificity, specificity_at_matched_sensitivity)
            )
        if score.probability is not None:
            p = probabilities(score.probability, y.size)
            calibrated = calibration(y, p, rng=rng, resamples=resamples, cluster=patient)
            (benefit,) = bootstrap(
                weighted_net_benefit(y, p, threshold),
                y.size,
                rng=rng,
                resamples=resamples,
                cluster=patient,
                n_events=int(y.sum()),
            )
            if score.doubt is not None:
                abstaining = risk_coverage_band(
                    (p - y) ** 2, score.doubt, rng=rng, resamples=resamples, cluster=patient
                )
            if against and old_p is not None:
                nri = category_free_nri(y, p, old_p, rng=rng, resamples=resamples, cluster=patient)
                discrimination = idi(y, p, old_p, rng=rng, resamples=resamples, cluster=patient)
        rows.append(
            PaperRow(
                score.name,
                found.interval(number),
                found.difference(number, old) if against else None,
                sensitivity,
                specificity,
                calibrated,
                nri,
                discrimination,
                benefit,
                abstaining,
                within[number],
                less[number] if against else None,
            )
        )
    return Paper(
        tuple(rows),
        reference,
        y.size,
        int(y.sum()),
        int(patient.max()) + 1,
        unit,
        threshold,
        y,
        tuple(scores),
        patient,
        tuple(explained),
    )


def _lines_of_explanations(explained: Sequence[ExplainedCurves]) -> list[str]:
    """Areas under the curves of explanations as a table; the same draws for every method."""
    lines = [
        "| explained by | patients | area when deleted | area when inserted |",
        "|---|---|---|---|",
    ]
    for one in explained:
        areas = (one.area(which, rng=np.random.default_rng(0)) for which in ("deletion", "insertion"))
        lines.append(f"| {one.method} | {one.n} | " + " | ".join(_said(area) for area in areas) + " |")
    return [*lines, "", "A faithful explanation has a small area when deleted and a large one when inserted."]


def _said(e: Estimate) -> str:
    if math.isnan(e.value):
        return "none"
    return f"{e.value:.3f} (no interval)" if math.isnan(e.low) else f"{e.value:.3f} ({e.low:.3f} to {e.high:.3f})"


def _signed(e: Estimate | None, *, digits: int = 3) -> str:
    return "" if e is None else f"{e.value:+.{digits}f} ({e.low:+.{digits}f} to {e.high:+.{digits}f})"


def _percent(e: Estimate) -> str:
    return f"{100 * e.value:.1f} ({100 * e.low:.1f} to {100 * e.high:.1f})"


def _points(m: MatchedAccuracy | None) -> str:
    if m is None:
        return ""
    d = m.difference
    return f"{100 * d.value:+.1f} ({100 * d.low:+.1f} to {100 * d.high:+.1f})"


def _p(e: Estimate | None) -> str:
    if e is None:
        return ""
    return "< 0.001" if e.p < 0.001 else f"{e.p:.3f}"
