"""Deletion and insertion curves of a system's explanations on patients it was judged on, with nothing but its graph.

Those whom the model calls likeliest ill are explained: there is most to explain. Methods are the ones that only ask
for answers, so no torch is needed; a random order of segments stands beside them as what no explanation gives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from myoscope import explain
from myoscope.core.geometry import FloatArray
from myoscope.evaluate import ExplainedCurves
from myoscope.learn import Examples
from myoscope.systems.contract import CohortSystem
from myoscope.systems.diagnosis import Prognosis
from myoscope.systems.explanation import SEGMENTS, Explainer
from myoscope.systems.explanation_trial import RANDOM_ORDER, curves_of

Progress = Callable[[str, float], None]

EXPLAINED_BY = ("occlusion", "occlusion of regions")
"""The method of the report, and the one that takes a segment away at a time."""


def explained_patients(
    system: CohortSystem,
    name: str,
    examples: Examples,
    prognosis: Prognosis,
    folder: Path,
    *,
    patients: int,
    rng: np.random.Generator,
    methods: Sequence[str] = EXPLAINED_BY,
    progress: Progress | None = None,
) -> tuple[ExplainedCurves, ...]:
    """Curves of each method and of a random order for the likeliest ``patients`` studies of different patients.

    ``folder`` holds the model ``name``; what is explained of each study is its likeliest answer. A method is left out
    where nobody was answered otherwise than a normal heart.
    """
    explainer = Explainer(folder, name, system.build_from_card)
    order = np.argsort(-prognosis.patient, kind="stable")
    first_of_each = order[np.sort(np.unique(examples.patient[order], return_index=True)[1])][:patients]
    found: dict[str, list[tuple[FloatArray, FloatArray, FloatArray]]] = {m: [] for m in (*methods, RANDOM_ORDER)}
    for number, row in enumerate(first_of_each.tolist()):
        if progress is not None:
            progress(f"explaining patient {number + 1} of {first_of_each.size}", number / first_of_each.size)
        maps, covariates = np.array(examples.maps[row]), np.array(examples.covariates[row])
        target = int(np.argmax(prognosis.answers.logit[row]))
        asked, normal = explainer.asked(covariates, target), explainer.baseline(maps)
        for method in found:
            if method == RANDOM_ORDER:
                attention = rng.random(int(SEGMENTS.max()) + 1)[SEGMENTS]
            else:
                attention = explain.plane(explainer.by(method, maps, covariates, target))
            faithful = explain.faithfulness(asked, maps, normal, attention)
            found[method].append((faithful.share, *faithful.on_scale))
    return tuple(
        curves_of(method, curves)
        for method, curves in found.items()
        if any(np.isfinite(deletion).all() for _, deletion, _ in curves)
    )
