"""The table and the plots of a paper about a diagnostic model, in one call.

Give the outcome, the scores that compete, and which of them is the reference; get discrimination with a paired test
against the reference, sensitivity at the reference's specificity and the reverse, calibration, reclassification and net
benefit, each with its interval, as a table in Markdown; and ROC curves, calibration curves and decision curves as a
picture.
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
from myoscope.evaluate.calibration import Calibration, calibration, calibration_curve
from myoscope.evaluate.estimate import BoolArray, Estimate, cluster_numbers, outcome_and_scores, probabilities
from myoscope.evaluate.reclassification import Reclassification, category_free_nri, idi
from myoscope.evaluate.roc import (
    MatchedAccuracy,
    roc_curve,
    sensitivity_at_matched_specificity,
    specificity_at_matched_sensitivity,
)
from myoscope.evaluate.utility import decision_curve, weighted_net_benefit

_COLOURS = ("#1b6ca8", "#c4572b", "#3a8f5c", "#7b5ea7", "#8a8a8a")


@dataclass(frozen=True, eq=False, slots=True)
class Score:
    """One competitor: its name, a score (n,), higher where the outcome is likelier, and the same as a probability.

    ``probability`` (n,) is None for a score that is none (TPD); calibration, reclassification and net benefit are then
    not said of it. ``threshold`` is the usual cut of the score, where it has one.
    """

    name: str
    score: FloatArray
    probability: FloatArray | None = None
    threshold: float | None = None

    @classmethod
    def of_probability(cls, name: str, probability: ArrayLike) -> Score:
        """A model that predicts probabilities."""
        p = np.asarray(probability, np.float64)
        return cls(name, p, p)


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


@dataclass(frozen=True, eq=False, slots=True)
class Paper:
    """The comparison: one `PaperRow` per score. ``unit`` says what was counted, ``threshold`` where net benefit is."""

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
        if any(row.calibration for row in rows):
            lines += ["", "ICI, E90 and ECE cannot be negative; noise adds to them, so their intervals lie high."]
        return "\n".join(lines) + "\n"

    def draw(self, path: Path, *, rng: np.random.Generator, title: str = "", resamples: int = 300) -> None:
        """ROC, calibration and decision curves of all scores in one picture (PNG or SVG by the name of the file)."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        coloured = [(score, _COLOURS[n % len(_COLOURS)]) for n, score in enumerate(self.scores)]
        probable = [(s.name, s.probability, c) for s, c in coloured if s.probability is not None]
        figure = Figure(figsize=(4.2 * (3 if probable else 1), 4.2), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(1, 3 if probable else 1, squeeze=False)[0]
        for (score, colour), row in zip(coloured, self.rows, strict=True):
            curve = roc_curve(self.outcome, score.score)
            axes[0].plot(
                1 - curve.specificity, curve.sensitivity, color=colour, lw=1.6, label=f"{row.name}, {row.auc.value:.3f}"
            )
            if score.threshold is not None:
                called = score.score >= score.threshold
                axes[0].plot(called[~self.outcome].mean(), called[self.outcome].mean(), "o", color=colour, ms=5)
        axes[0].plot([0, 1], [0, 1], color="#bbbbbb", lw=0.8)
        axes[0].set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(0, 1), ylim=(0, 1), aspect="equal")
        axes[0].legend(loc="lower right", fontsize=8, title="AUC", title_fontsize=8, frameon=False)
        for name, p, colour in probable:
            smooth = calibration_curve(self.outcome, p, rng=rng, resamples=resamples, cluster=self.cluster)
            axes[1].fill_between(smooth.predicted, smooth.low, smooth.high, color=colour, alpha=0.15, lw=0)
            axes[1].plot(smooth.predicted, smooth.observed, color=colour, lw=1.6, label=name)
            axes[1].plot(smooth.group_predicted, smooth.group_observed, "o", color=colour, ms=3)
            use = decision_curve(self.outcome, p, rng=rng, resamples=resamples, cluster=self.cluster)
            axes[2].plot(use.threshold, use.net_benefit, color=colour, lw=1.6, label=name)
            axes[2].fill_between(use.threshold, use.low, use.high, color=colour, alpha=0.15, lw=0)
        if probable:
            axes[1].plot([0, 1], [0, 1], color="#bbbbbb", lw=0.8)
            axes[1].set(xlabel="predicted", ylabel="observed", xlim=(0, 1), ylim=(0, 1), aspect="equal")
            axes[1].legend(loc="upper left", fontsize=8, frameon=False)
            axes[2].plot(use.threshold, use.treat_all, color="#555555", lw=0.9, ls="--", label="everybody")
            axes[2].axhline(0, color="#555555", lw=0.9, label="nobody")
            top = max(float(self.outcome.mean()), 0.05)
            axes[2].set(
                xlabel="threshold probability", ylabel="net benefit", xlim=(0, 1), ylim=(-0.25 * top, 1.1 * top)
            )
            axes[2].legend(loc="upper right", fontsize=8, frameon=False)
        if title:
            figure.suptitle(title, fontsize=10)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=110)


def paper(
    outcome: ArrayLike,
    scores: Sequence[Score],
    *,
    reference: str,
    rng: np.random.Generator,
    cluster: ArrayLike | None = None,
    unit: str = "patients",
    threshold: float = 0.5,
    resamples: int = 1000,
) -> Paper:
    """Compare scores of the same rows with a reference among them.

    ``cluster`` names the patient of each row where a patient has several. ``unit`` says what a row is; net benefit is
    said at ``threshold``.

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
    cut, old_p = scores[old].threshold, scores[old].probability
    rows = []
    for number, score in enumerate(scores):
        against = number != old
        sensitivity = specificity = calibrated = nri = discrimination = benefit = None
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
            )
        )
    return Paper(
        tuple(rows), reference, y.size, int(y.sum()), int(patient.max()) + 1, unit, threshold, y, tuple(scores), patient
    )


def _said(e: Estimate) -> str:
    if math.isnan(e.value):
        return "none"
    return f"{e.value:.3f} (no interval)" if math.isnan(e.low) else f"{e.value:.3f} ({e.low:.3f} to {e.high:.3f})"


def _signed(e: Estimate | None) -> str:
    return "" if e is None else f"{e.value:+.3f} ({e.low:+.3f} to {e.high:+.3f})"


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
