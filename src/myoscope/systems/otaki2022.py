"""CAD-DL: obstructive disease from perfusion and function, after Otaki et al., JACC Cardiovasc Imaging 2022;15:1091.

Data       A cohort with a stress map in counts (``stress_supine``, or ``stress_upright`` where a site images upright),
           ``stress_motion`` in mm, ``stress_thickening`` in %, volumes of the gated stress image, age and sex; and
           normal limits from low-likelihood patients, for TPD beside it.
           myoscope simulate reference --tier full --out full
           myoscope simulate reference --tier low-likelihood --out normals
           myoscope reproduce otaki2022 --cohort full --normals normals --out result
Published  3,578 patients of 9 centres with suspected disease, 63 % with it (doi 10.1016/j.jcmg.2021.04.030). Repeated
           ten-fold testing: AUC 0.83 (0.82 to 0.85) against 0.78 (0.77 to 0.80) of stress TPD and 0.71 (0.69 to 0.72)
           of readers; 555 external patients: 0.80 (0.76 to 0.84) against 0.73 (0.69 to 0.77) and 0.65 (0.61 to 0.69).
           Under 12 s on a clinical workstation.
Here       Taught on 875 virtual patients of the registry as far as it is made it was no better than TPD on 200 of the
           external site (docs/validation/systems.md): no weights are shipped yet.
Differs    What was read of the paper leaves layer sizes open: three convolutions of 16, 32 and 32 features with group
           normalisation, round the circle and through the apex, then 64 units joined with end-diastolic and
           end-systolic volume, age and sex. Few of all who come to the gated registry are sent to angiography, so by
           default the label is what is true of everybody's arteries (``label``), which no clinic knows. Training,
           ensemble and temperature as in betancur2018. The attention map is by occlusion against a normal heart unless
           another method is asked for (docs/concepts/explanations.md says which to trust); the paper draws Grad-CAM.
           The map of probability by segment spreads the patient's probability in proportion to attention: a way of
           showing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from myoscope import io
from myoscope.core import VESSELS, Explanation
from myoscope.learn import Examples, ModelCard, TrainedModel
from myoscope.learn.sampling import Strategy
from myoscope.systems.contract import Published, settings_of
from myoscope.systems.diagnosis import (
    Label,
    Prognosis,
    about_studies,
    patient_label,
    prognosis_of,
    teach_diagnosis,
    vessel_labels,
    with_known_label,
    with_label,
)
from myoscope.systems.evaluation import Evaluation, evaluate_diagnosis
from myoscope.systems.explanation import explain_network
from myoscope.systems.perfusion_inputs import (
    Limits,
    PerfusionMaps,
    StudyMaps,
    limits_of,
    maps_in,
    perfusion_of_cohort,
)
from myoscope.systems.training import Progress, Recipe, teach_settings, weights_of_member

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch import nn

    from myoscope.learn.tracking import Log

PUBLISHED = (
    Published("AUC, CAD-DL, repeated ten-fold", 0.83, 0.82, 0.85, "3,578 patients"),
    Published("AUC, stress TPD, repeated ten-fold", 0.78, 0.77, 0.80, "3,578 patients"),
    Published("AUC, readers, repeated ten-fold", 0.71, 0.69, 0.72, "3,578 patients"),
    Published("AUC, CAD-DL, external", 0.80, 0.76, 0.84, "555 patients"),
    Published("AUC, stress TPD, external", 0.73, 0.69, 0.77, "555 patients"),
    Published("AUC, readers, external", 0.65, 0.61, 0.69, "555 patients"),
)
CHANNELS = ("perfusion", "motion", "thickening")
COVARIATES = ("stress_edv_mL", "stress_esv_mL", "age_y", "male")
TARGET = "CAD"


@dataclass(frozen=True)
class Settings:
    """Everything that decides the weights.

    Of ``images`` the first that a study has is taken. Without ``function`` motion, thickening and volumes are withheld.
    """

    images: tuple[str, ...] = ("stress_supine", "stress_upright")
    motion: str = "stress_motion"
    thickening: str = "stress_thickening"
    function: bool = True
    label: Label = "truth"
    external: tuple[str, ...] = ("coast",)
    seed: int = 0
    members: int = 5
    steps: int = 1500
    batch: int = 64
    peak_learning_rate: float = 3e-3
    weight_decay: float = 3e-2
    average_decay: float = 0.99
    validate_every: int = 50
    patience: int = 10
    widths: tuple[int, ...] = (16, 32, 32)
    hidden: int = 64
    dropout: float = 0.4
    rotation_deg: float = 5.0
    ring_shift: float = 1.0
    noise: float = 0.03
    strategy: Strategy = "natural"
    times: float = 1.0


def prepare(
    cohorts: Sequence[io.CohortFolder],
    settings: Settings,
    *,
    normals: Sequence[io.CohortFolder] = (),
    keep_unverified: bool = False,
) -> Examples:
    """Perfusion, motion and thickening, volumes, age and sex, and whether any artery is obstructed.

    ``keep_unverified`` keeps studies without a label, to correct for who was verified.

    Raises
    ------
    UnitMismatch
        A map in another unit than counts, mm and %.
    InvalidValue
        No limits for a camera, or no study with a map and a label.
    """
    limits = limits_of([*normals, *cohorts], settings.images)
    parts = [_first_image(folder, settings.images, limits) for folder in cohorts]
    maps = [
        np.stack([part.raw, maps_in(folder, settings.motion, "mm"), maps_in(folder, settings.thickening, "%")], axis=1)
        for folder, part in zip(cohorts, parts, strict=True)
    ]
    about = about_studies(cohorts)
    tpd, by_vessel = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("tpd_percent", "vessel_tpd_percent")
    )
    about |= {"tpd_percent": tpd}
    about |= {f"tpd_{v.lower()}_percent": by_vessel[:, n] for n, v in enumerate(VESSELS)}
    columns = [
        *(np.concatenate([folder.cohort[name] for folder in cohorts]) for name in COVARIATES[:3]),
        about["sex"] == "M",
    ]
    covariates = np.stack([np.asarray(column, np.float32) for column in columns], axis=1)
    together = np.concatenate(maps)
    if not settings.function:
        together[:, 1:], covariates[:, :2] = np.nan, np.nan
    examples = Examples(
        np.concatenate([folder.cohort.patient for folder in cohorts]),
        np.concatenate([folder.cohort.study for folder in cohorts]),
        together,
        CHANNELS,
        covariates,
        COVARIATES,
        np.concatenate([patient_label(vessel_labels(folder, settings.label)) for folder in cohorts])[:, None],
        (TARGET,),
        "+".join(folder.sha256 for folder in cohorts),
        about,
    )
    with_map = with_label(
        examples, np.isfinite(tpd), f"no heart was found in {' or '.join(settings.images)}, or none was made"
    )
    return with_known_label(with_map, keep_unverified=keep_unverified)


def _first_image(folder: io.CohortFolder, images: Sequence[str], limits: Limits) -> PerfusionMaps:
    """For each study the first of the images that it has, against the limits of that image."""
    found = [perfusion_of_cohort(folder, image, limits) for image in images]
    there = np.stack([one.there for one in found])
    first = np.argmax(there, axis=0)
    rows = np.arange(first.size)
    return PerfusionMaps(
        **{field.name: np.stack([getattr(one, field.name) for one in found])[first, rows] for field in fields(found[0])}
    )


def prepare_study(study: StudyMaps, settings: Settings) -> Examples:
    """The same for one study outside any cohort, whose arteries are not known; what is not known of it is missing."""
    images = [study.raw(image) for image in settings.images]
    raw = next((image for image in images if np.isfinite(image).any()), images[0])
    maps = np.stack([raw, study.plane(settings.motion, "mm"), study.plane(settings.thickening, "%")])
    known = {name: study.covariates.get(name, np.nan) for name in COVARIATES[:3]}
    return study.examples(maps, CHANNELS, known | {"male": study.male}, 1, (TARGET,))


def train(
    examples: Examples,
    settings: Settings,
    *,
    out: Path,
    fabric: Fabric | None = None,
    log: Callable[[str], Log] | None = None,
    progress: Progress | None = None,
) -> ModelCard:
    """Teach on the sites that are not external; checkpoints, model and card go to ``out``."""
    recipe = Recipe(
        "otaki2022",
        "Predicts obstructive disease from perfusion, motion, thickening, volumes, age and sex",
        "Otaki et al., JACC Cardiovasc Imaging 2022;15:1091",
        lambda member: build(settings, member),
        teach_settings(settings, counts=(0,)),
        described=(0,),
        inputs=(
            f"{' or '.join(settings.images)} in % of its maximum",
            "inward motion of the endocardium in mm",
            "count thickening in %",
            *COVARIATES,
        ),
        answers=("probability that an artery is obstructed",),
        settings=asdict(settings),
    )
    return teach_diagnosis(examples, recipe, settings, out=out, fabric=fabric, log=log, progress=progress)


def build(settings: Settings, member: int) -> nn.Module:
    """The untrained network of one member, its weights drawn from the seed."""
    from myoscope.learn.backbones.fused_cnn import FusedCnn

    with weights_of_member(settings, member):
        return FusedCnn(
            len(CHANNELS),
            len(COVARIATES),
            1,
            widths=settings.widths,
            hidden=settings.hidden,
            dropout=settings.dropout,
        )


def predict(examples: Examples, model: TrainedModel) -> Prognosis:
    """Probability of obstructive disease."""
    return prognosis_of(model.answers(examples), model.card.numbers, examples.about.get("tpd_percent"))


def evaluate(
    examples: Examples,
    prognosis: Prognosis,
    model: TrainedModel,
    *,
    rng: np.random.Generator,
    resamples: int = 1000,
) -> Evaluation:
    """Beside TPD, per patient."""
    return evaluate_diagnosis(examples, prognosis, model, system="otaki2022", rng=rng, resamples=resamples)


def explain(examples: Examples, row: int, folder: Path, *, method: str = "") -> Explanation:
    """Which cells raised the log-odds of disease of one study."""
    return explain_network(examples, row, folder, "otaki2022", build_from_card, method=method)


def build_from_card(settings: Mapping[str, Any], member: int) -> nn.Module:
    """The untrained network of one member, as a card's settings say."""
    return build(settings_of(Settings, settings), member)
