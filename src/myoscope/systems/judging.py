"""One trained model held against one set of studies: predicted, evaluated, explained, corrected, written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from myoscope import io, quantify
from myoscope.learn import Examples, load_model
from myoscope.systems.contract import CohortSystem, Progress
from myoscope.systems.evaluation import Evaluation
from myoscope.systems.explained_patients import explained_patients
from myoscope.systems.verified import evaluate_verified

EXPLAINED = 20
"""Patients whose explanations are tried by deletion and insertion, unless another number is asked for."""


@dataclass(frozen=True, eq=False)
class Sent:
    """Who was sent to have the outcome verified: by a ``column`` of ``cohorts``, for ``reasons``, with notes on it."""

    cohorts: Sequence[io.CohortFolder]
    column: str
    reasons: tuple[str, ...]
    notes: tuple[str, ...]


def judge(
    system: CohortSystem,
    examples: Examples,
    model: Path,
    name: str,
    folder: Path,
    *,
    seed: int,
    tell: Progress,
    explained: int,
    judged_on: str = "",
    sent: Sent | None = None,
) -> Evaluation:
    """Judge the ``model`` of a system on examples and write tables and pictures into ``folder``.

    ``explained`` patients are explained; ``judged_on`` says which label it was if it is not that of the card; with
    ``sent``, accuracy is also corrected for who was verified. ``seed`` is that of every bootstrap.

    Raises
    ------
    InvalidValue
        The model takes other inputs, or too few patients have, or lack, the outcome.
    """
    trained = load_model(model, name)
    rng = np.random.default_rng(seed)
    tell("predicting", 0.92)
    prognosis = system.predict(examples, trained)
    tell("evaluating", 0.94)
    evaluation = system.evaluate(examples, prognosis, trained, rng=rng)
    if judged_on:
        evaluation = replace(evaluation, title=f"{evaluation.title}; judged on {judged_on}")
    if sent is not None:
        first = next(iter(evaluation.papers.values()))
        tpd = next(score for score in first.scores if score.name == first.reference)
        table = evaluate_verified(
            examples,
            prognosis,
            sent.cohorts,
            column=sent.column,
            reasons=sent.reasons,
            system=name,
            tpd_name=tpd.name,
            abnormal_from=tpd.threshold or quantify.ABNORMAL_TPD_PERCENT,
            rng=rng,
        )
        evaluation = replace(evaluation, verified=table, notes=(*evaluation.notes, *sent.notes))
    if explained:
        curves = explained_patients(
            system,
            name,
            examples,
            prognosis,
            model,
            patients=explained,
            rng=rng,
            progress=lambda step, fraction: tell(step, 0.95 + 0.04 * fraction),
        )
        evaluation = evaluation.explained_by(curves)
    tell("drawing", 0.99)
    evaluation.write(folder, rng=rng, published=system.PUBLISHED)
    return evaluation
