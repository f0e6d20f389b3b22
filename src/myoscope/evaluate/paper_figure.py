"""The picture of a paper: ROC, calibration, decision, risk over coverage, deletion and insertion, as far as there are.

Every panel has its axis in words, bands are 95 % intervals by a bootstrap of patients, and each curve keeps its
colour through all panels.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes

    from myoscope.evaluate.explained_curves import ExplainedCurves
    from myoscope.evaluate.paper import Paper

_COLOURS = ("#1b6ca8", "#c4572b", "#3a8f5c", "#7b5ea7", "#8a8a8a")
_EXPLAINED_COLOURS = ("#0f766e", "#b45309", "#6d28d9", "#be123c", "#4d7c0f", "#0369a1", "#a21caf", "#57534e", "#1e293b")
_PANEL_INCHES = 4.2
_PANELS_PER_ROW = 3
_GREY, _PALE = "#555555", "#bbbbbb"


def draw_paper(paper: Paper, path: Path, *, rng: np.random.Generator, title: str = "", resamples: int = 300) -> None:
    """Write the picture of a `Paper` as PNG or SVG, by the name of the file.

    One panel each for ROC curves; calibration and decision curves of scores that are probabilities; risk over coverage
    of scores that say how unsure they are; deletion and insertion of explanations that were tried.
    """
    panels: list[Callable[[Axes], None]] = [lambda axes: _roc(axes, paper)]
    if any(score.probability is not None for score in paper.scores):
        panels.append(lambda axes: _calibration(axes, paper, rng, resamples))
        panels.append(lambda axes: _decision(axes, paper, rng, resamples))
    if any(row.abstaining is not None for row in paper.rows):
        panels.append(lambda axes: _risk_over_coverage(axes, paper))
    if paper.explained:
        panels.append(lambda axes: _explained(axes, paper.explained, "deletion", rng, resamples))
        panels.append(lambda axes: _explained(axes, paper.explained, "insertion", rng, resamples))
    _draw(panels, path, title)


def draw_explained(
    curves: Sequence[ExplainedCurves], path: Path, *, rng: np.random.Generator, title: str = "", resamples: int = 300
) -> None:
    """Write deletion and insertion curves of several methods, side by side, as PNG or SVG."""
    _draw(
        [
            lambda axes: _explained(axes, curves, "deletion", rng, resamples),
            lambda axes: _explained(axes, curves, "insertion", rng, resamples),
        ],
        path,
        title,
    )


def _draw(panels: Sequence[Callable[[Axes], None]], path: Path, title: str) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = len(panels) if len(panels) <= _PANELS_PER_ROW else (2 if len(panels) == 4 else _PANELS_PER_ROW)
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(_PANEL_INCHES * columns, _PANEL_INCHES * rows), layout="constrained")
    FigureCanvasAgg(figure)
    all_axes: Any = figure.subplots(rows, columns, squeeze=False)
    for number, axes in enumerate(all_axes.ravel()):
        if number < len(panels):
            panels[number](axes)
        else:
            axes.set_axis_off()
    if title:
        figure.suptitle(_in_lines(title, round(12 * _PANEL_INCHES * columns)), fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _in_lines(title: str, width: int) -> str:
    from textwrap import fill

    return fill(title, width)


def _roc(axes: Axes, paper: Paper) -> None:
    from myoscope.evaluate.roc import roc_curve

    for colour, score, row in zip(_colours(paper), paper.scores, paper.rows, strict=True):
        curve = roc_curve(paper.outcome, score.score)
        said = f"{row.name}, {row.auc.value:.3f}"
        axes.plot(1 - curve.specificity, curve.sensitivity, color=colour, lw=1.6, label=said)
        if score.threshold is not None:
            called = score.score >= score.threshold
            axes.plot(called[~paper.outcome].mean(), called[paper.outcome].mean(), "o", color=colour, ms=5)
    axes.plot([0, 1], [0, 1], color=_PALE, lw=0.8)
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.legend(loc="lower right", fontsize=8, title="AUC", title_fontsize=8, frameon=False)


def _calibration(axes: Axes, paper: Paper, rng: np.random.Generator, resamples: int) -> None:
    from myoscope.evaluate.calibration import calibration_curve

    for colour, score in zip(_colours(paper), paper.scores, strict=True):
        if score.probability is None:
            continue
        smooth = calibration_curve(
            paper.outcome, score.probability, rng=rng, resamples=resamples, cluster=paper.cluster
        )
        axes.fill_between(smooth.predicted, smooth.low, smooth.high, color=colour, alpha=0.15, lw=0)
        axes.plot(smooth.predicted, smooth.observed, color=colour, lw=1.6, label=score.name)
        axes.plot(smooth.group_predicted, smooth.group_observed, "o", color=colour, ms=3)
    axes.plot([0, 1], [0, 1], color=_PALE, lw=0.8)
    axes.set(xlabel="predicted", ylabel="observed", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.legend(loc="upper left", fontsize=8, frameon=False)


def _decision(axes: Axes, paper: Paper, rng: np.random.Generator, resamples: int) -> None:
    from myoscope.evaluate.utility import decision_curve

    for colour, score in zip(_colours(paper), paper.scores, strict=True):
        if score.probability is None:
            continue
        use = decision_curve(paper.outcome, score.probability, rng=rng, resamples=resamples, cluster=paper.cluster)
        axes.plot(use.threshold, use.net_benefit, color=colour, lw=1.6, label=score.name)
        axes.fill_between(use.threshold, use.low, use.high, color=colour, alpha=0.15, lw=0)
    axes.plot(use.threshold, use.treat_all, color=_GREY, lw=0.9, ls="--", label="everybody")
    axes.axhline(0, color=_GREY, lw=0.9, label="nobody")
    top = max(float(paper.outcome.mean()), 0.05)
    axes.set(xlabel="threshold probability", ylabel="net benefit", xlim=(0, 1), ylim=(-0.25 * top, 1.1 * top))
    axes.legend(loc="upper right", fontsize=8, frameon=False)


def _risk_over_coverage(axes: Axes, paper: Paper) -> None:
    top = 0.0
    for colour, row in zip(_colours(paper), paper.rows, strict=True):
        band = row.abstaining
        if band is None:
            continue
        axes.fill_between(band.coverage, band.low, band.high, color=colour, alpha=0.15, lw=0)
        axes.plot(band.coverage, band.risk, color=colour, lw=1.6, label=row.name)
        axes.axhline(band.at_random, color=colour, lw=0.9, ls="--", label=f"{row.name}, left out at random")
        axes.plot(band.coverage, band.best, color=colour, lw=0.9, ls=":", label=f"{row.name}, knowing the error")
        # The first few patients alone can be anything; they must not set the scale.
        usual = band.coverage >= 0.1
        top = max(top, band.at_random, *np.nan_to_num(band.high[usual]).tolist(), *band.risk[usual].tolist())
    axes.set(xlabel="share of patients who are answered", ylabel="Brier score among them", xlim=(0, 1))
    axes.set_ylim(0, 1.3 * top)
    axes.legend(loc="upper left", fontsize=8, frameon=False)


def _explained(
    axes: Axes, curves: Sequence[ExplainedCurves], which: str, rng: np.random.Generator, resamples: int
) -> None:
    lowest, highest = 0.0, 1.0
    for number, one in enumerate(curves):
        colour = _EXPLAINED_COLOURS[number % len(_EXPLAINED_COLOURS)]
        means = one.means(which, rng=rng, resamples=resamples)
        value, low, high = (np.array([getattr(mean, end) for mean in means]) for end in ("value", "low", "high"))
        axes.fill_between(one.share, low, high, color=colour, alpha=0.12, lw=0)
        area = np.trapezoid(value, one.share)
        axes.plot(one.share, value, color=colour, lw=1.6, label=f"{one.method}, {area:.2f}")
        lowest, highest = min(lowest, float(np.nanmin(value))), max(highest, float(np.nanmax(value)))
    done = {"deletion": "made normal, most important first", "insertion": "shown, most important first"}[which]
    axes.axhline(0, color=_PALE, lw=0.8)
    axes.axhline(1, color=_PALE, lw=0.8)
    axes.set(
        xlabel=f"share of wall {done}",
        ylabel="answer: 0 normal heart, 1 this patient",
        xlim=(0, 1),
        ylim=(lowest - 0.05, highest + 0.05),
    )
    n = max(one.n for one in curves)
    axes.legend(
        loc="upper right" if which == "deletion" else "lower right",
        fontsize=8,
        title=f"{which}, area; {n} patients",
        title_fontsize=8,
        edgecolor="none",
    )


def _colours(paper: Paper) -> list[str]:
    return [_COLOURS[number % len(_COLOURS)] for number in range(len(paper.scores))]
