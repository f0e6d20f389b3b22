"""Obstructed arteries from upright and supine stress maps together, after Betancur et al., J Nucl Med 2019;60:664.

Data       A cohort of patients sent to angiography with ``stress_upright`` and ``stress_supine`` maps in counts (sites
           that image lying only take part with one of them), and normal limits of both from low-likelihood patients.
           myoscope simulate reference --tier maps --out maps
           myoscope simulate reference --tier low-likelihood --out normals
           myoscope reproduce betancur2019 --cohort maps --normals normals --out result
Published  1,160 patients of 4 centres without known disease, each centre predicted by networks taught on the other
           three (PMC6495237). Per patient AUC 0.81 against 0.78 of combined TPD, per vessel 0.77 against 0.73 (p <
           0.001); sensitivity at the specificity of TPD 65.6 against 61.8 % per patient, 59.1 against 54.6 % per
           vessel.
Here       1,050 virtual patients of four sites teach (250 of them imaged upright), 925 of a fifth judge (the registry
           as far as it was made). Per patient AUC 0.801 (0.773 to 0.829) against 0.757 of combined TPD, per vessel
           0.797 (0.777 to 0.816) against 0.715. What a second position adds is not shown: the same network with the
           supine image withheld gives 0.791 (0.010 less, -0.006 to 0.025), with the upright one withheld 0.800.
           Nothing is known of people (docs/validation/systems.md).
Differs    The network is that of betancur2018 with six maps: counts, defect (0 or 1) and severity in deviations of
           normal studies, of each position. What the paper leaves open was chosen as there. An upright or supine image
           that does not exist is missing to the network (a mask says so), and in training one of the two is left out
           now and then, so that one network serves patients with one image and with both. Combined TPD counts a cell
           that is abnormal in both positions, by the less severe of the two; with one image it is that image's. Tested
           on one site that took no part in training; ``myoscope.learn.leave_one_site_out`` makes the paper's four.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from myoscope import io
from myoscope.core import VESSELS, Explanation, InvalidValue
from myoscope.learn import Examples, ModelCard, TrainedModel
from myoscope.learn.sampling import Strategy
from myoscope.systems.contract import Published, settings_of
from myoscope.systems.diagnosis import (
    Label,
    Prognosis,
    about_studies,
    prognosis_of,
    teach_diagnosis,
    vessel_labels,
    with_known_label,
    with_label,
)
from myoscope.systems.evaluation import Evaluation, evaluate_diagnosis
from myoscope.systems.explanation import explain_network
from myoscope.systems.perfusion_inputs import (
    Channel,
    StudyMaps,
    combined_vessel_tpd_percent,
    limits_of,
    perfusion_of_cohort,
)
from myoscope.systems.training import Progress, Recipe, teach_settings, weights_of_member

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch import nn

    from myoscope.learn.tracking import Log

PUBLISHED = (
    Published("AUC per patient, DL", 0.81, np.nan, np.nan, "1,160 patients"),
    Published("AUC per patient, combined TPD", 0.78, np.nan, np.nan, "1,160 patients"),
    Published("AUC per vessel, DL", 0.77, np.nan, np.nan, "3,480 vessels"),
    Published("AUC per vessel, combined TPD", 0.73, np.nan, np.nan, "3,480 vessels"),
)
_OF_EACH: tuple[Channel, ...] = ("raw", "defect", "severity")


@dataclass(frozen=True)
class Settings:
    """Everything that decides the weights; with one of ``images`` it is the network for that position alone."""

    images: tuple[str, ...] = ("stress_upright", "stress_supine")
    label: Label = "angiography"
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
    hidden: int = 32
    dropout: float = 0.5
    rotation_deg: float = 5.0
    ring_shift: float = 1.0
    noise: float = 0.03
    left_out: float = 0.2
    strategy: Strategy = "natural"
    times: float = 1.0

    def __post_init__(self) -> None:
        if len(set(self.images)) != len(self.images) or len(self.images) not in (1, 2):
            raise InvalidValue(f"the network takes one image or two, got {', '.join(self.images) or 'none'}")


def channels(settings: Settings) -> tuple[str, ...]:
    """Names of the maps in order."""
    return tuple(f"{image} {channel}" for image in settings.images for channel in _OF_EACH)


def prepare(
    cohorts: Sequence[io.CohortFolder],
    settings: Settings,
    *,
    normals: Sequence[io.CohortFolder] = (),
    keep_unverified: bool = False,
) -> Examples:
    """Counts, defect and severity of each position, sex, and which arteries angiography found obstructed.

    ``keep_unverified`` keeps studies without a label, to correct for who was verified.

    Raises
    ------
    UnitMismatch
        An image is not in counts.
    InvalidValue
        No limits for a camera, or no study with a map and a label.
    """
    limits = limits_of([*normals, *cohorts], settings.images)
    maps, deficits = [], []
    for folder in cohorts:
        parts = [perfusion_of_cohort(folder, image, limits) for image in settings.images]
        maps.append(np.stack([part.channel(name) for part in parts for name in _OF_EACH], axis=1))
        deficits.append(
            parts[0].vessel_tpd_percent if len(parts) == 1 else combined_vessel_tpd_percent(parts[0], parts[1])
        )
    by_vessel = np.concatenate(deficits)
    about = about_studies(cohorts)
    about |= {"tpd_percent": by_vessel.sum(axis=1)}
    about |= {f"tpd_{v.lower()}_percent": by_vessel[:, n] for n, v in enumerate(VESSELS)}
    examples = Examples(
        np.concatenate([folder.cohort.patient for folder in cohorts]),
        np.concatenate([folder.cohort.study for folder in cohorts]),
        np.concatenate(maps),
        channels(settings),
        (about["sex"] == "M").astype(np.float32)[:, None],
        ("male",),
        np.concatenate([vessel_labels(folder, settings.label) for folder in cohorts]),
        VESSELS,
        "+".join(folder.sha256 for folder in cohorts),
        about,
    )
    seen = np.isfinite(about["tpd_percent"])
    with_map = with_label(examples, seen, f"no heart was found in {' or '.join(settings.images)}, or none was made")
    return with_known_label(with_map, keep_unverified=keep_unverified)


def prepare_study(study: StudyMaps, settings: Settings) -> Examples:
    """The same for one study outside any cohort, whose arteries are not known."""
    parts = [study.perfusion(image) for image in settings.images]
    maps = np.concatenate([part.channel(name) for part in parts for name in _OF_EACH])
    return study.examples(maps, channels(settings), {"male": study.male}, len(VESSELS), VESSELS)


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
    n = len(_OF_EACH)
    groups = tuple(tuple(range(n * image, n * (image + 1))) for image in range(len(settings.images)))
    counted = tuple(group[0] for group in groups)
    teach = teach_settings(settings, counts=counted, groups=groups, left_out=settings.left_out)
    recipe = Recipe(
        "betancur2019",
        "Predicts which arteries are obstructed from upright and supine stress polar maps together",
        "Betancur et al., J Nucl Med 2019;60:664",
        lambda member: build(settings, member),
        teach,
        described=counted,
        inputs=(*channels(settings), "male (0 or 1)"),
        answers=(*(f"probability that the {vessel} is obstructed" for vessel in VESSELS),),
        settings=asdict(settings),
    )
    return teach_diagnosis(examples, recipe, settings, out=out, fabric=fabric, log=log, progress=progress)


def build(settings: Settings, member: int) -> nn.Module:
    """The untrained network of one member, its weights drawn from the seed."""
    from myoscope.learn.backbones.vessel_cnn import VesselCnn

    with weights_of_member(settings, member):
        return VesselCnn(
            len(channels(settings)),
            1,
            len(VESSELS),
            widths=settings.widths,
            hidden=settings.hidden,
            dropout=settings.dropout,
        )


def predict(examples: Examples, model: TrainedModel) -> Prognosis:
    """Probability of each artery and of the patient."""
    return prognosis_of(model.answers(examples), model.card.numbers, examples.about.get("tpd_percent"))


def evaluate(
    examples: Examples,
    prognosis: Prognosis,
    model: TrainedModel,
    *,
    rng: np.random.Generator,
    resamples: int = 1000,
) -> Evaluation:
    """Beside combined TPD, per patient and per vessel."""
    combined = len(model.card.settings["images"]) > 1
    return evaluate_diagnosis(
        examples, prognosis, model, system="betancur2019", rng=rng, combined=combined, resamples=resamples
    )


def explain(examples: Examples, row: int, folder: Path, *, method: str = "") -> Explanation:
    """Which cells raised the log-odds of the likeliest artery of one study."""
    return explain_network(examples, row, folder, "betancur2019", build_from_card, method=method)


def build_from_card(settings: Mapping[str, Any], member: int) -> nn.Module:
    """The untrained network of one member, as a card's settings say."""
    return build(settings_of(Settings, settings), member)
