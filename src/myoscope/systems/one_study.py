"""What the trained models say of one study: predictions, why, and when they say nothing. No torch.

In: the polar maps of a study in counts (and of its function), who the patient is, and normal limits. Out: one
``ModelReport`` per model that has its inputs; a model whose inputs are not there is passed over with a reason. Answers
come from onnxruntime; attention is by occlusion, which only asks for answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from myoscope import explain, quantify
from myoscope.core import Contribution, InvalidValue, ModelReport, MyoscopeError, NormalLimits, PolarMap, WhatIfCurve
from myoscope.core.geometry import FloatArray
from myoscope.learn import Examples
from myoscope.learn.trained_model import TrainedModel
from myoscope.systems import betancur2018, betancur2019, otaki2022
from myoscope.systems.contract import settings_of
from myoscope.systems.diagnosis import predictions_of, prognosis_of
from myoscope.systems.explanation import DEPTHS, Explainer
from myoscope.systems.one_flow_study import SYSTEM as FLOW_SYSTEM
from myoscope.systems.one_flow_study import FlowStudy, flow_report
from myoscope.systems.perfusion_inputs import SAMPLED_BY, StudyMaps

_WORDS = {
    "male": "sex",
    "age_y": "age",
    "stress_edv_mL": "end-diastolic volume",
    "stress_esv_mL": "end-systolic volume",
}
_AGES_Y = np.arange(40, 91, 2.0)
_NOT_OF_COUNTS = ("motion", "thickening")


@dataclass(frozen=True, eq=False)
class StudyInputs:
    """One study as the systems take it.

    ``maps`` by name as in a cohort: ``stress_supine`` and so on in counts, ``stress_motion`` in mm,
    ``stress_thickening`` in %. ``series`` names the series that each map came from. ``sex`` F or M; ``covariates`` by
    name with their unit (``age_y``, ``stress_edv_mL``, ``stress_esv_mL``), absent if not known. ``limits`` by image.
    ``flow`` where rest and stress were dynamic.
    """

    maps: Mapping[str, PolarMap]
    sex: str
    limits: Mapping[str, NormalLimits]
    covariates: Mapping[str, float] = field(default_factory=dict)
    series: Mapping[str, str] = field(default_factory=dict)
    flow: FlowStudy | None = None

    @property
    def study_maps(self) -> StudyMaps:
        """The same in the form that systems prepare."""
        return StudyMaps(
            {name: (one.value.astype(np.float32), one.unit) for name, one in self.maps.items()},
            self.sex,
            self.limits,
            self.covariates,
        )


@dataclass(frozen=True)
class _Bedside:
    """How one system takes a single study: its examples, its images in words, and the builder of its network.

    ``all_images``: it answers only where the study has every image that its settings name, not the first of them.
    """

    prepare_study: Callable[[StudyMaps, Any], Examples]
    settings: type[Any]
    groups: Callable[[tuple[str, ...]], dict[str, list[int]]]
    build_from: Callable[[Mapping[str, Any], int], Any]
    all_images: bool = False


def _each_map(channels: tuple[str, ...]) -> dict[str, list[int]]:
    return {name: [n] for n, name in enumerate(channels)}


def _one_image(channels: tuple[str, ...]) -> dict[str, list[int]]:
    return {"perfusion": list(range(len(channels)))}


def _each_position(channels: tuple[str, ...]) -> dict[str, list[int]]:
    images = dict.fromkeys(name.rsplit(" ", 1)[0] for name in channels)
    return {i.replace("_", " "): [n for n, name in enumerate(channels) if name.startswith(f"{i} ")] for i in images}


_SYSTEMS: dict[str, _Bedside] = {
    "betancur2018": _Bedside(
        betancur2018.prepare_study, betancur2018.Settings, _one_image, betancur2018.build_from_card
    ),
    "betancur2019": _Bedside(
        betancur2019.prepare_study,
        betancur2019.Settings,
        _each_position,
        betancur2019.build_from_card,
        all_images=True,
    ),
    "otaki2022": _Bedside(otaki2022.prepare_study, otaki2022.Settings, _each_map, otaki2022.build_from_card),
}


def model_folders(root: Path) -> dict[str, Path]:
    """Systems that have a model in a folder: its own, or one folder per system, in the order of the table."""
    places = {name: (root / name, root) for name in (*_SYSTEMS, FLOW_SYSTEM)}
    found = {name: [p for p in two if (p / f"{name}.json").exists()] for name, two in places.items()}
    return {name: where[0] for name, where in found.items() if where}


def model_reports(study: StudyInputs, folders: Mapping[str, Path]) -> tuple[tuple[ModelReport, ...], tuple[str, ...]]:
    """What each model says of a study, and for each that says nothing at all one sentence why.

    ``folders`` by system, as `model_folders` gives them.
    """
    reports, reasons = [], []
    for name, folder in folders.items():
        try:
            reports.append(_flow_report(folder, study) if name == FLOW_SYSTEM else _report(name, folder, study))
        except MyoscopeError as error:
            reasons.append(f"{name}: {error}")
    return tuple(reports), tuple(reasons)


def _flow_report(folder: Path, study: StudyInputs) -> ModelReport:
    if study.flow is None:
        raise InvalidValue("the study has no blood flow at rest and under stress")
    return flow_report(folder, study.flow)


def _report(name: str, folder: Path, study: StudyInputs) -> ModelReport:
    system = _SYSTEMS[name]
    explainer = Explainer(folder, name, system.build_from)
    model = explainer.model
    settings = settings_of(system.settings, model.card.settings)
    wanted = _images(settings)
    there = [image for image in wanted if image in study.maps]
    if not there or (system.all_images and len(there) < len(wanted)):
        word = " and " if system.all_images else " or "
        missing = word.join(image for image in wanted if image not in there).replace("_", " ")
        raise InvalidValue(f"the study has no image {missing}")
    shown = there[0]
    if study.maps[shown].method != SAMPLED_BY:
        raise InvalidValue(
            f"the polar map was sampled by {study.maps[shown].method}; the model knows those sampled by {SAMPLED_BY}"
        )
    examples = system.prepare_study(study.study_maps, settings)
    _refuse_what_was_not_taught(examples, model.card.numbers)
    prognosis = prognosis_of(model.answers(examples), model.card.numbers)
    predictions = predictions_of(prognosis, 0, model)
    about: dict[str, Any] = {
        "system": name,
        "does": model.card.does,
        "source": model.card.source,
        "model_card": model.card.identifier,
        "warning": model.card.warning,
        "series": study.series.get(shown, shown),
        "predictions": predictions,
        "polar_map": study.maps[shown],
    }
    if predictions[0].abstained:
        return ModelReport(**about)
    maps, covariates = np.array(examples.maps[0]), np.array(examples.covariates[0])
    target = int(np.argmax(prognosis.answers.logit[0]))
    explanation = explainer.by("occlusion", maps, covariates, target)
    start, steps = _steps(explainer, maps, covariates, target, system.groups(model.channels))
    return ModelReport(
        **about,
        explanation=explanation,
        explained=_answer_of(model.targets[target]),
        segment_probability=explain.segment_probabilities(
            explanation, study.maps[shown].segment, float(prognosis.patient[0])
        ),
        start=start,
        steps=steps,
        curves=_curves(explainer, maps, covariates, _in_depths(explainer, system, study, settings, maps)),
    )


def _answer_of(target: str) -> str:
    """What an answer of a network is called in sentences."""
    return "the patient" if target == otaki2022.TARGET else target


def _refuse_what_was_not_taught(examples: Examples, numbers: Mapping[str, Any]) -> None:
    """A network that always had an input does not know what to make of its absence."""
    allowed = set(numbers.get("may_be_missing", ()))
    lacking = [
        *(
            name
            for name, seen in zip(examples.channels, np.isfinite(examples.maps[0]).any(axis=(1, 2)), strict=True)
            if not seen
        ),
        *(
            name
            for name, value in zip(examples.covariate_names, examples.covariates[0], strict=True)
            if not np.isfinite(value)
        ),
    ]
    missing = [_readable(name).replace("_", " ") for name in lacking if name not in allowed]
    if missing:
        raise InvalidValue(f"the study lacks {', '.join(missing)}, which the model was always given")


def _in_depths(
    explainer: Explainer, system: _Bedside, study: StudyInputs, settings: Any, maps: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Maps (depth, channel, ring, angle) of the same heart with so many times of what differs from a normal one.

    Counts are changed and everything else is made of them anew, as a shallower defect would be seen: a place is
    blacked out or not, and never half. Channels that are not made of counts go towards the normal heart as they are.
    """
    deeper = explainer.in_depths(maps, DEPTHS)
    normal: dict[str, FloatArray] = {}
    for image in _images(settings):
        polar_map, limits = study.maps.get(image), study.limits.get(image)
        if polar_map is not None and limits is not None:
            normal[image] = limits.mean / quantify.level_factor(polar_map, limits)
    if not normal:
        return deeper
    of_counts = [n for n, name in enumerate(explainer.model.channels) if name not in _NOT_OF_COUNTS]
    for place, depth in enumerate(DEPTHS):
        changed = {
            image: study.maps[image].like(
                np.maximum(mean + depth * (study.maps[image].value - mean), 0.0), f"{depth:g} of what differs"
            )
            for image, mean in normal.items()
        }
        otherwise = replace(study, maps={**study.maps, **changed})
        made = system.prepare_study(otherwise.study_maps, settings).maps[0]
        deeper[place, of_counts] = made[of_counts]
    return deeper


def _images(settings: Any) -> Sequence[str]:
    """The images of a system in the order of preference."""
    return [settings.image] if hasattr(settings, "image") else list(settings.images)


def _steps(
    explainer: Explainer,
    maps: NDArray[np.float32],
    covariates: NDArray[np.float32],
    target: int,
    groups: Mapping[str, list[int]],
) -> tuple[float, tuple[Contribution, ...]]:
    """From an average patient with a normal heart to this one: what each image and each covariate added."""
    model = explainer.model
    found = explainer.input_values(maps, covariates, target, groups)
    shown = [""] * len(groups) + [
        _in_words(name, float(value)) for name, value in zip(model.covariates, covariates, strict=True)
    ]
    plot = explain.waterfall(
        [_readable(name) for name in found.names],
        found.values.tolist(),
        baseline=found.baseline,
        target=model.targets[target],
        shown=shown,
    )
    return plot.baseline, tuple(Contribution(s.name, s.shown, s.start, s.end) for s in plot.steps)


def _curves(
    explainer: Explainer,
    maps: NDArray[np.float32],
    covariates: NDArray[np.float32],
    deeper: NDArray[np.float32],
) -> tuple[WhatIfCurve, ...]:
    """The patient's probability over the depth of what differs from a normal heart, and over age where it is asked."""
    model = explainer.model
    curves = [
        WhatIfCurve(
            "what differs from a normal heart",
            "% of what was measured",
            100 * DEPTHS,
            _patient(model, deeper, np.repeat(covariates[None], len(deeper), axis=0)),
            100.0,
        )
    ]
    if "age_y" in model.covariates:
        column = model.covariates.index("age_y")
        older = np.repeat(covariates[None], _AGES_Y.size, axis=0)
        older[:, column] = _AGES_Y
        curves.append(
            WhatIfCurve(
                "age",
                "years",
                _AGES_Y,
                _patient(model, np.repeat(maps[None], _AGES_Y.size, axis=0), older),
                float(covariates[column]),
            )
        )
    return tuple(curves)


def _patient(model: TrainedModel, maps: NDArray[np.float32], covariates: NDArray[np.float32]) -> FloatArray:
    intercept, slope = model.card.numbers["patient_curve"]
    highest = model.logits(maps, covariates).mean(axis=1).max(axis=1)
    probability: FloatArray = expit(intercept + slope * highest)
    return probability


def _readable(name: str) -> str:
    return _WORDS.get(name, name)


def _in_words(name: str, value: float) -> str:
    if np.isnan(value):
        return "not known"
    if name == "male":
        return "man" if value > 0.5 else "woman"
    return f"{value:.0f} {'years' if name == 'age_y' else name.rsplit('_', 1)[-1]}"
