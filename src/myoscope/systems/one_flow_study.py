"""What the flow model says of one dynamic PET study: impaired reserve, and the traits that it can tell. No torch.

In: polar maps of flow at rest, under stress and of reserve. Out: a ``ModelReport``. Of its eighteen answers (six tasks
from three maps) those for reserve are given from every map; a trait is given from the map that told it best among the
training patients, and only if it told it better than chance there. The card holds the figures of all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from myoscope import explain
from myoscope.core import PROBABILITY, InvalidValue, ModelReport, PolarMap, Prediction, WhatIfCurve
from myoscope.learn import Answers
from myoscope.learn.trained_model import TrainedModel
from myoscope.systems import yeung2022
from myoscope.systems.contract import settings_of
from myoscope.systems.diagnosis import why_abstained
from myoscope.systems.explanation import DEPTHS, Explainer

SYSTEM = "yeung2022"
_SURE_Z = 2.94
"""Standard errors above chance that a trait's area must lie: with three maps for each of five traits, one of 15 areas
passes by luck in 1 of 40 models (one-sided 0.025, divided by 15)."""
_Z_95 = 1.96
_TARGET = f"{yeung2022.TASKS[0]} from reserve"


@dataclass(frozen=True, eq=False)
class FlowStudy:
    """Flow of one study in mL/min/g at rest and under stress, their ratio, what was injected, and the stress series.

    ``by_usual_model`` says that flow was measured by the tracer's usual model, as in the registry that teaches.
    """

    rest: PolarMap
    stress: PolarMap
    reserve: PolarMap
    tracer: str
    series: str
    by_usual_model: bool = True


def flow_report(folder: Path, study: FlowStudy) -> ModelReport:
    """What the model in ``folder`` says of a study.

    Raises
    ------
    InvalidValue
        It was taught on another tracer or another model of flow, the study has no flow, or the model is not whole.
    """
    explainer = Explainer(folder, SYSTEM, yeung2022.build_from_card)
    model = explainer.model
    taught_on = model.card.numbers["tracers"]
    if study.tracer not in taught_on:
        raise InvalidValue(f"the study was made with {study.tracer}; the model was taught on {' and '.join(taught_on)}")
    if not study.by_usual_model:
        raise InvalidValue(f"it was taught on flow by the usual model of {study.tracer}, this was measured by another")
    settings = settings_of(yeung2022.Settings, model.card.settings)
    examples = yeung2022.prepare_study([study.rest.value, study.stress.value, study.reserve.value], settings)
    answers = model.answers(examples)
    about: dict[str, Any] = {
        "system": SYSTEM,
        "does": model.card.does,
        "source": model.card.source,
        "model_card": model.card.identifier,
        "warning": model.card.warning,
        "series": study.series,
        "predictions": _predictions(answers, model),
        "polar_map": study.reserve,
        "shown": "flow reserve",
    }
    if answers.unusual[0]:
        return ModelReport(**about)
    maps, covariates = np.array(examples.maps[0]), np.array(examples.covariates[0])
    target = model.targets.index(_TARGET)
    explanation = explainer.by("occlusion", maps, covariates, target)
    return ModelReport(
        **about,
        explanation=explanation,
        explained="impaired reserve, from the reserve map",
        segment_probability=explain.segment_probabilities(
            explanation, study.reserve.segment, float(answers.probability[0, target])
        ),
        curves=(_curve(explainer, maps, target),),
    )


def _predictions(answers: Answers, model: TrainedModel) -> tuple[Prediction, ...]:
    """Reserve from every map, the surest first, then each trait that the training patients showed; or why not."""
    why = why_abstained(answers, 0, model)
    found = []
    for name, target in _told(model.card.numbers["out_of_fold_auc"]):
        column = model.targets.index(target)
        low, value, high = (float(x[0, column]) for x in (answers.low, answers.probability, answers.high))
        ends = {} if why else {"value": value, "low": low, "high": high}
        found.append(Prediction(name=name, unit=PROBABILITY, model_card=model.card.identifier, abstained=why, **ends))
    return tuple(found)


def _told(areas: Mapping[str, Mapping[str, float]]) -> list[tuple[str, str]]:
    """Answers to give, as words and target."""
    reserve, *traits = yeung2022.TASKS
    told = [(f"{reserve}, from the {name} map", f"{reserve} from {name}") for name in reversed(yeung2022.MAPS)]
    for task in traits:
        by_map = {name: areas[f"{task} from {name}"] for name in yeung2022.MAPS if f"{task} from {name}" in areas}
        if not by_map:
            continue
        best, area = max(by_map.items(), key=lambda one: one[1]["value"])
        if area["value"] - _SURE_Z / _Z_95 * (area["value"] - area["low"]) > 0.5:
            told.append((f"{task}, from the {best} map (AUC {area['value']:.2f} in training)", f"{task} from {best}"))
    return told


def _curve(explainer: Explainer, maps: np.ndarray[Any, np.dtype[np.float32]], target: int) -> WhatIfCurve:
    """Probability of impaired reserve over the depth of what differs from a normal heart."""
    deeper = explainer.in_depths(maps, DEPTHS)
    logits = explainer.model.logits(deeper, np.empty((len(deeper), 0), np.float32))
    return WhatIfCurve(
        "what differs from a normal heart",
        "% of what was measured",
        100 * DEPTHS,
        expit(logits.mean(axis=1)[:, target]),
        100.0,
    )
