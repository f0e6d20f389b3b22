"""What the diagnostic systems share: labels, the patient's probability, and what is fitted beside the network.

A system of vessels answers for LAD, LCx and RCA; its patient is as likely ill as the likeliest vessel says, which as a
probability is too low (any of three may be ill) and is set right by a logistic curve fitted on the out-of-fold
predictions of the training patients. A system of patients answers for the patient alone. TPD becomes a probability by a
logistic curve fitted on the same patients, so that what is compared has been fitted alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit

from myoscope import io
from myoscope.core import PROBABILITY, VESSELS, InvalidValue, Prediction
from myoscope.core.geometry import FloatArray
from myoscope.evaluate import ConformalThresholds, conformal_thresholds, logistic_fit
from myoscope.learn import Answers, Examples, ModelCard, TrainedModel, sampling_chances
from myoscope.learn.sampling import SMALL_TPD_PERCENT, Strategy
from myoscope.systems.training import Progress, Recipe, teach_and_write

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from myoscope.learn.tracking import Log

Label = Literal["angiography", "truth"]

MISCOVERAGE = 0.1
_CUT = 1e-6


def vessel_labels(folder: io.CohortFolder, label: Label) -> FloatArray:
    """Obstructed (1) or not (0) for each of ``VESSELS`` (study, 3), NaN where angiography was not done.

    ``truth`` takes what only a simulation knows: every artery of every patient.
    """
    prefix = {"angiography": "angiography", "truth": "truth_obstructive"}[label]
    columns = [np.asarray(folder.cohort[f"{prefix}_{vessel.lower()}"], np.float64) for vessel in VESSELS]
    labels: FloatArray = np.stack(columns, axis=1)
    return labels


def patient_label(vessels: FloatArray) -> FloatArray:
    """Whether any vessel is obstructed (study,), NaN where not known."""
    any_vessel: FloatArray = vessels.max(axis=1)  # NaN stays NaN
    return any_vessel


def about_studies(folders: Sequence[io.CohortFolder]) -> dict[str, NDArray[Any]]:
    """What subgroups, audits and samplings ask of studies, from all cohorts in order, if all of them say it."""
    names = ("site", "camera", "tracer", "sex", "age_y", "bmi_kg_m2", "diabetes", "stress_type", "population")
    said = [name for name in names if all(name in folder.cohort.values for folder in folders)]
    return {name: np.concatenate([folder.cohort[name] for folder in folders]) for name in said}


def with_known_label(examples: Examples, *, keep_unverified: bool) -> Examples:
    """Only the studies whose every target is known, or all of them to correct for who was verified.

    Raises
    ------
    InvalidValue
        No study has a label.
    """
    known = np.isfinite(examples.targets).all(axis=1)
    if keep_unverified and known.any():
        return examples
    return with_label(examples, known, "no angiography")


def with_label(examples: Examples, known: ArrayLike, why: str) -> Examples:
    """Only the studies of ``known``, with a sentence on how many the others are.

    Raises
    ------
    InvalidValue
        None is left.
    """
    usable = np.asarray(known, bool)
    if not usable.any():
        raise InvalidValue(f"none of {len(examples)} studies can be used: {why}")
    kept = examples.rows(np.flatnonzero(usable))
    if usable.all():
        return kept
    said = f"{int((~usable).sum())} of {usable.size} studies left out: {why}"
    return Examples(
        **{name: getattr(kept, name) for name in kept.__slots__ if name != "left_out"},
        left_out=(*kept.left_out, said),
    )


def inside(examples: Examples, external: Sequence[str]) -> Examples:
    """The studies of sites that may teach.

    Raises
    ------
    InvalidValue
        All studies are from external sites.
    """
    rows = ~np.isin(examples.about["site"], external)
    if not rows.any():
        raise InvalidValue(
            f"all studies are from {', '.join(external)}, which is kept out of training; give a cohort of other sites"
        )
    return examples.rows(rows)


def outside(examples: Examples, external: Sequence[str]) -> Examples:
    """The studies of external sites, or all of them if there is none."""
    rows = np.isin(examples.about["site"], external)
    return examples.rows(rows) if rows.any() else examples


class DiagnosisSettings(Protocol):
    """Who teaches a diagnostic system, and how often well patients are shown."""

    @property
    def external(self) -> tuple[str, ...]: ...
    @property
    def strategy(self) -> Strategy: ...
    @property
    def times(self) -> float: ...


def teach_diagnosis(
    examples: Examples,
    recipe: Recipe,
    settings: DiagnosisSettings,
    *,
    out: Path,
    fabric: Fabric | None = None,
    log: Callable[[str], Log] | None = None,
    progress: Progress | None = None,
) -> ModelCard:
    """Teach a diagnostic recipe on the studies of sites that are not external, and write the model into ``out``."""
    examples = inside(examples, settings.external)
    patient = patient_label(examples.targets.astype(np.float64))
    tpd = np.asarray(examples.about["tpd_percent"], np.float64)
    well = np.flatnonzero(patient == 0)
    small = max(SMALL_TPD_PERCENT, float(np.quantile(tpd[well], 0.25)))
    return teach_and_write(
        examples,
        recipe,
        out=out,
        even=patient,
        normal=well[tpd[well] <= small],
        fitted=lambda out_of_fold: _fitted_numbers(examples, out_of_fold),
        chances=sampling_chances(patient, strategy=settings.strategy, times=settings.times, tpd_percent=tpd),
        fabric=fabric,
        log=log,
        progress=progress,
    )


def _fitted_numbers(examples: Examples, out_of_fold: FloatArray) -> dict[str, Any]:
    """What is fitted on the out-of-fold predictions and travels with the model."""
    known = np.isfinite(examples.targets).all(axis=1)
    y = patient_label(examples.targets[known].astype(np.float64)) > 0
    highest = out_of_fold[known].max(axis=1)
    patient_curve = _logistic(highest, y) if out_of_fold.shape[1] > 1 else [0.0, 1.0]
    probability = expit(patient_curve[0] + patient_curve[1] * highest)
    thresholds = conformal_thresholds(y, probability, miscoverage=MISCOVERAGE)
    tpd = np.asarray(examples.about["tpd_percent"], np.float64)[known]
    return {
        "patient_curve": patient_curve,
        "tpd_curve": _logistic(np.log1p(tpd), y),
        "conformal": asdict(thresholds),
    }


def _logistic(score: FloatArray, y: NDArray[np.bool_]) -> list[float]:
    """Intercept and slope of the log-odds of an outcome on a score."""
    usable = np.isfinite(score)
    design = np.column_stack([np.ones(int(usable.sum())), score[usable]])
    fitted = logistic_fit(design, y[usable], np.ones((1, design.shape[0])))[0]
    if not np.isfinite(fitted).all():
        raise InvalidValue(
            "a score tells the outcome perfectly, so no probability curve can be fitted; there are too few patients"
        )
    return [float(fitted[0]), float(fitted[1])]


@dataclass(frozen=True, eq=False)
class Prognosis:
    """What a diagnostic model says of some studies: of vessels, and of the patient with the interval.

    ``patient`` (study,) with ``low`` and ``high``; ``vessels`` (study, 3) or None; ``answers`` the model's own.
    By what was fitted on the model's own training patients, ``tpd`` (study,) is total perfusion deficit as a
    probability and ``sets`` (study, 2) which answers (without, with disease) are held possible; None where not asked.
    """

    answers: Answers
    patient: FloatArray
    low: FloatArray
    high: FloatArray
    vessels: FloatArray | None
    tpd: FloatArray | None = None
    sets: NDArray[np.bool_] | None = None


def pooled(parts: Sequence[Prognosis]) -> Prognosis:
    """What several models say of studies of their own, one after the other.

    Raises
    ------
    InvalidValue
        None, or models that answer different questions.
    """
    if not parts or len({part.answers.targets for part in parts}) != 1:
        raise InvalidValue("predictions can be put together where models answer the same questions")

    def together(rows: Sequence[Any]) -> Any:
        return None if any(row is None for row in rows) else np.concatenate(rows)

    answers = Answers(
        parts[0].answers.targets,
        **{
            one.name: together([getattr(part.answers, one.name) for part in parts])
            for one in fields(Answers)
            if one.name != "targets"
        },
    )
    names = [one.name for one in fields(Prognosis) if one.name != "answers"]
    return Prognosis(answers, **{name: together([getattr(part, name) for part in parts]) for name in names})


def prognosis_of(answers: Answers, numbers: Mapping[str, Any], tpd_percent: ArrayLike | None = None) -> Prognosis:
    """The patient's probability from what the model answers, and TPD (study,) as one where it is given."""
    intercept, slope = numbers["patient_curve"]

    def patient(probability: FloatArray) -> FloatArray:
        highest = logit(np.clip(probability.max(axis=1), _CUT, 1 - _CUT))
        curved: FloatArray = expit(intercept + slope * highest)
        return curved

    # A network that learned nothing can have a falling curve, which turns the ends of an interval round.
    ends = np.stack([patient(answers.low), patient(answers.high)])
    ours = patient(answers.probability)
    return Prognosis(
        answers,
        ours,
        ends.min(axis=0),
        ends.max(axis=0),
        answers.probability if len(answers.targets) > 1 else None,
        None if tpd_percent is None else tpd_probability(np.asarray(tpd_percent, np.float64), numbers),
        ConformalThresholds(**numbers["conformal"]).sets(ours) if "conformal" in numbers else None,
    )


def tpd_probability(tpd_percent: FloatArray, numbers: Mapping[str, Any]) -> FloatArray:
    """TPD as a probability, by the curve that was fitted on the training patients."""
    intercept, slope = numbers["tpd_curve"]
    curved: FloatArray = expit(intercept + slope * np.log1p(tpd_percent))
    return curved


def predictions_of(prognosis: Prognosis, row: int, model: TrainedModel) -> tuple[Prediction, ...]:
    """What the model says of one study, as core types: the patient first, then each vessel; or why it abstains."""
    card = model.card.identifier
    names = ["obstructive coronary disease", *(f"obstruction of the {vessel}" for vessel in VESSELS)]
    answers = prognosis.answers
    why = why_abstained(answers, row, model)
    if why:
        return tuple(
            Prediction(name=name, unit=PROBABILITY, model_card=card, abstained=why)
            for name in (names if prognosis.vessels is not None else names[:1])
        )
    found = [
        Prediction(
            name=names[0],
            unit=PROBABILITY,
            model_card=card,
            value=float(prognosis.patient[row]),
            low=float(prognosis.low[row]),
            high=float(prognosis.high[row]),
        )
    ]
    if prognosis.vessels is not None:
        found += [
            Prediction(
                name=name,
                unit=PROBABILITY,
                model_card=card,
                value=float(answers.probability[row, vessel]),
                low=float(answers.low[row, vessel]),
                high=float(answers.high[row, vessel]),
            )
            for vessel, name in enumerate(names[1:])
        ]
    return tuple(found)


def why_abstained(answers: Answers, row: int, model: TrainedModel) -> str:
    """Why a model says nothing of a study, or an empty string."""
    if not answers.unusual[row]:
        return ""
    share = float(np.mean(model.description.reference >= answers.strangeness[row]))
    return (
        f"the map is unlike those the model was taught on (strangeness {answers.strangeness[row]:.2f}; "
        f"{100 * share:.1f} % of validation maps were as strange)"
    )
