"""Flow reserve and risk traits from PET polar maps, after Yeung et al., J Nucl Cardiol 2022;29:3300.

Data       A cohort with polar maps of blood flow at rest and under stress in mL/min/g (``rest_flow``, ``stress_flow``)
           and of their ratio (``reserve``), the true flow maps for the label, sex and risk factors.
           myoscope simulate reference --tier flow --out reference/flow
           myoscope reproduce yeung2022 --cohort reference/flow --out result
           Without one, ``--set stand_in=true`` takes the true flow maps of any virtual cohort, blurred and with noise.
           Figures of that are for trying the recipe and are marked as such in card and tables.
Published  N-13 ammonia, one centre, hold-out test. Impaired reserve (below 2.0) from the reserve map AUC 0.94 (0.87 to
           0.98); sex from the stress map 0.81 (0.73 to 0.88); smoking from the rest map 0.71 (0.58 to 0.85);
           hypertension and dyslipidaemia no better than chance.
Here       Taught on 300 virtual patients of four sites (ammonia), judged on 125 of a fifth: impaired reserve from the
           reserve map 0.998 (0.994 to 1.000), from the mean of that map 0.988 (0.976 to 1.000; paired p 0.08), from the
           stress map 0.890, from the rest map 0.749; sex from the rest map 0.697, from the stress map 0.596; smoking no
           better than chance (docs/validation/systems.md). Virtual patients, not people; the flow is measured with
           whole blood as input (`ucla`), a study measured otherwise is another input.
Differs    The paper lends its networks what photographs of things taught (ImageNet). Here the trunk is taught on
           virtual polar maps: to say from an image-like map how much each of the 17 segments truly takes up
           (`pretrain`). Then as in the paper: heads alone over a frozen trunk, then everything at a lower rate. One
           small residual network per map (rest, stress, reserve), six tasks each, cross-entropy averaged over the tasks
           that are known. Reserve is impaired by the *true* flows of the whole wall, never by the map that is shown:
           from a reserve map the answer is otherwise a mean. That mean stands beside the network as the score to beat.
           Tested on a site that took no part in training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from myoscope import io
from myoscope.core import Explanation, InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.evaluate import Paper, Score, auc, paper
from myoscope.learn import Examples, ModelCard, TrainedModel
from myoscope.simulate.deficit import SEGMENT_OF_PLACE, SHARE_OF_WALL
from myoscope.systems.contract import Published, settings_of
from myoscope.systems.diagnosis import Prognosis, about_studies, inside, with_label
from myoscope.systems.evaluation import JUDGED_BY, Evaluation
from myoscope.systems.explanation import explain_network
from myoscope.systems.perfusion_inputs import maps_in
from myoscope.systems.training import Progress, Recipe, pace_of, teach_and_write, teach_settings, weights_of_member
from myoscope.systems.virtual_maps import draw_virtual_maps

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch import nn

    from myoscope.learn.backbones.polar_resnet import PolarResnet
    from myoscope.learn.tracking import Log

PUBLISHED = (
    Published("AUC, impaired reserve from the reserve map", 0.94, 0.87, 0.98, "hold-out test set"),
    Published("AUC, sex from the stress map", 0.81, 0.73, 0.88, "hold-out test set"),
    Published("AUC, smoking from the rest map", 0.71, 0.58, 0.85, "hold-out test set"),
)
MAPS = ("rest", "stress", "reserve")
TASKS = ("impaired reserve", "male", "diabetes", "hypertension", "dyslipidaemia", "smoking")
TARGETS = tuple(f"{task} from {name}" for name in MAPS for task in TASKS)
IMPAIRED_BELOW = 2.0
_STAND_IN = "true flow maps of virtual patients, blurred and with noise, in the place of measured ones"
# Of a stand-in map, assumed: error of a whole study, and of a cell.
_STUDY_ERROR, _CELL_ERROR = 0.08, 0.15
_LEAST_REST_FLOW = 0.15
_LEAST_OF_EITHER = 10  # patients with and without a trait, for an area under its curve to mean something


@dataclass(frozen=True)
class Settings:
    """Everything that decides the weights; ``pretraining_patients`` are drawn anew for the trunk, by ``seed``."""

    stand_in: bool = False
    external: tuple[str, ...] = ("coast",)
    seed: int = 0
    members: int = 5
    pretraining_patients: int = 1500
    pretraining_steps: int = 600
    frozen_steps: int = 300
    steps: int = 600
    batch: int = 48
    frozen_learning_rate: float = 5e-3
    peak_learning_rate: float = 1e-3
    weight_decay: float = 3e-2
    average_decay: float = 0.99
    validate_every: int = 30
    patience: int = 8
    widths: tuple[int, int, int] = (16, 32, 48)
    dropout: float = 0.3
    rotation_deg: float = 5.0
    ring_shift: float = 1.0
    noise: float = 0.03


def prepare(
    cohorts: Sequence[io.CohortFolder],
    settings: Settings,
    *,
    normals: Sequence[io.CohortFolder] = (),
    keep_unverified: bool = False,
) -> Examples:
    """Maps of flow and reserve, and the six answers; the reserve's is that of the true flows.

    Raises
    ------
    UnitMismatch
        A flow map that is not in mL/min/g.
    InvalidValue
        No flow maps, or asked to keep those whose label awaits angiography: there are none.
    """
    del normals  # flow has units and needs no limits
    if keep_unverified:
        raise InvalidValue("yeung2022 is judged by true flow, which is known of everybody; nothing is left to verify")
    maps = np.concatenate([_flow_maps(folder, settings) for folder in cohorts])
    true = np.concatenate([_true_reserve(folder) for folder in cohorts])
    about = about_studies(cohorts)
    traits = [np.concatenate([folder.cohort[name] for folder in cohorts]) for name in TASKS[2:]]
    answers = np.stack(
        [np.where(np.isfinite(true), true < IMPAIRED_BELOW, np.nan), about["sex"] == "M", *traits], axis=1
    )
    reserve = maps[:, MAPS.index("reserve")].astype(np.float64)
    weight = np.where(np.isfinite(reserve), SHARE_OF_WALL, 0.0)
    with np.errstate(invalid="ignore"):
        mean_reserve = (weight * np.nan_to_num(reserve)).sum(axis=(1, 2)) / weight.sum(axis=(1, 2))
    about |= {"mean_reserve": mean_reserve, "true_reserve": true}
    examples = Examples(
        np.concatenate([folder.cohort.patient for folder in cohorts]),
        np.concatenate([folder.cohort.study for folder in cohorts]),
        maps,
        MAPS,
        np.empty((len(true), 0), np.float32),
        (),
        np.tile(answers, (1, len(MAPS))),
        TARGETS,
        "+".join(folder.sha256 for folder in cohorts),
        about,
        (_STAND_IN,) if settings.stand_in else (),
    )
    return with_label(examples, np.isfinite(maps).any(axis=(2, 3)).all(axis=1), "no map of flow at rest and stress")


def prepare_study(maps: Sequence[FloatArray], settings: Settings) -> Examples:
    """The same for one study outside any cohort: flow at rest and under stress, and reserve, each (40, 72).

    Raises
    ------
    InvalidValue
        The model was taught on stand-ins for measured maps, or one of the three is nowhere known.
    """
    if settings.stand_in:
        raise InvalidValue(f"the model was taught on {_STAND_IN}, for trying the recipe only")
    shown = np.stack([np.asarray(one, np.float32) for one in maps])
    if not np.isfinite(shown).any(axis=(1, 2)).all():
        raise InvalidValue("the study has no map of flow at rest and stress")
    nobody = np.array(["this"])
    answers = np.full((1, len(TARGETS)), np.nan, np.float32)
    return Examples(nobody, nobody, shown[None], MAPS, np.empty((1, 0), np.float32), (), answers, TARGETS, "")


def _flow_maps(folder: io.CohortFolder, settings: Settings) -> NDArray[np.float32]:
    """Rest flow, stress flow and reserve (study, 3, 40, 72) as measured, or a stand-in for it."""
    if settings.stand_in:
        rest = _imitated(maps_in(folder, "truth_rest_flow", "mL/min/g"), settings.seed)
        stress = _imitated(maps_in(folder, "truth_stress_flow", "mL/min/g"), settings.seed + 1)
        maps: list[NDArray[Any]] = [rest, stress, stress / np.maximum(rest, np.float32(_LEAST_REST_FLOW))]
    else:
        maps = [*(maps_in(folder, f"{name}_flow", "mL/min/g") for name in MAPS[:2]), maps_in(folder, MAPS[2], "1")]
    together: NDArray[np.float32] = np.stack(maps, axis=1).astype(np.float32)
    return together


def _imitated(flow: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """True flow as a measurement might give it: blurred, off as a whole, and noisy from cell to cell."""
    rng = np.random.default_rng([seed, 5])
    smooth = ndimage.gaussian_filter(flow, (0, 1.2, 2.0), mode=("constant", "nearest", "wrap"))
    noise = ndimage.gaussian_filter(rng.normal(size=flow.shape), (0, 1.2, 2.0), mode=("constant", "nearest", "wrap"))
    whole = np.exp(rng.normal(0, _STUDY_ERROR, (len(flow), 1, 1)))
    measured: NDArray[np.float32] = (smooth * whole * np.exp(_CELL_ERROR * noise / noise.std())).astype(np.float32)
    return measured


def _true_reserve(folder: io.CohortFolder) -> FloatArray:
    """Mean true stress flow over mean true rest flow of the whole wall (study,)."""
    stress, rest = (
        (maps_in(folder, f"truth_{state}_flow", "mL/min/g").astype(np.float64) * SHARE_OF_WALL).sum(axis=(1, 2))
        for state in ("stress", "rest")
    )
    reserve: FloatArray = stress / rest
    return reserve


def pretrain(
    settings: Settings, *, folder: Path, fabric: Fabric | None = None, progress: Progress | None = None
) -> PolarResnet:
    """A trunk that has learned what polar maps look like: from an image-like map to the true uptake of 17 segments."""
    import torch

    from myoscope.learn.augment import PolarAugmentation, augment_polar
    from myoscope.learn.backbones.polar_resnet import PolarResnet
    from myoscope.learn.fit import Batch, FitSettings, fit
    from myoscope.learn.losses import known_squared_error

    drawn = draw_virtual_maps(settings.pretraining_patients, seed=settings.seed + 900_000, population="all")
    maps = torch.from_numpy(drawn.stress)[:, None] / float(drawn.stress.mean())
    segment = np.asarray(SEGMENT_OF_PLACE, int).ravel() - 1
    cells = np.bincount(segment, minlength=17)
    uptake = np.stack([np.bincount(segment, one.stress_uptake.ravel(), 17) / cells for one in drawn.facts])
    truth = torch.from_numpy(((uptake - uptake.mean(axis=0)) / uptake.std(axis=0)).astype(np.float32))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = PolarResnet(1, 0, 17, widths=settings.widths, dropout=0.0)
    nothing = torch.empty(len(maps), 0)
    network.fit_scales(maps, nothing)
    variation = PolarAugmentation(settings.rotation_deg, settings.ring_shift, settings.noise)

    def draw(rng: np.random.Generator) -> Batch:
        which = torch.from_numpy(rng.integers(0, len(maps), settings.batch))
        return augment_polar(maps[which], variation, rng=rng, counts=(0,)), nothing[which], truth[which]

    pace = FitSettings(
        settings.pretraining_steps, settings.batch, 3e-3, settings.weight_decay, settings.average_decay, settings.seed
    )
    fitted = fit(
        network,
        draw,
        lambda taught, batch: known_squared_error(taught(batch[0], batch[1]), batch[2]),
        pace,
        checkpoint=folder / "trunk.pt",
        fabric=fabric,
        progress=progress,
    )
    trunk: Any = fitted.network
    found: PolarResnet = trunk
    return found


def train(
    examples: Examples,
    settings: Settings,
    *,
    out: Path,
    fabric: Fabric | None = None,
    log: Callable[[str], Log] | None = None,
    progress: Progress | None = None,
) -> ModelCard:
    """Teach the trunk, then heads over it, then everything, on the sites that are not external."""
    taught = inside(examples, settings.external)
    trunk = pretrain(settings, folder=out / "training", fabric=fabric, progress=progress)

    def borrow(network: nn.Module, member: int) -> None:
        del member  # every member starts from the same trunk
        network.borrow_trunk(trunk)  # type: ignore[operator]

    frozen = replace(pace_of(settings), steps=settings.frozen_steps, peak_learning_rate=settings.frozen_learning_rate)
    recipe = Recipe(
        "yeung2022",
        "Predicts impaired flow reserve and risk traits from polar maps of blood flow, many tasks at once",
        "Yeung et al., J Nucl Cardiol 2022;29:3300",
        lambda member: build(settings, member),
        teach_settings(settings, counts=(0, 1, 2), frozen=frozen),
        described=(0, 1),
        inputs=("flow at rest in mL/min/g", "flow under stress in mL/min/g", "reserve"),
        answers=tuple(f"probability of {target}" for target in TARGETS),
        settings=asdict(settings),
        limits=(f"Taught on {_STAND_IN}: not to be shipped.",) if settings.stand_in else (),
    )
    impaired = taught.target(TARGETS[0]).astype(np.float64)
    return teach_and_write(
        taught,
        recipe,
        out=out,
        even=impaired,
        normal=np.flatnonzero(impaired == 0),
        fitted=lambda out_of_fold: {
            "stand_in": settings.stand_in,
            "tracers": np.unique(taught.about["tracer"]).tolist() if "tracer" in taught.about else [],
            "out_of_fold_auc": _out_of_fold_auc(taught, out_of_fold),
        },
        prepare=borrow,
        fabric=fabric,
        log=log,
        progress=progress,
    )


def _out_of_fold_auc(taught: Examples, out_of_fold: FloatArray) -> dict[str, dict[str, float]]:
    """How well each answer tells the training patients that its member did not learn from, with the interval.

    Answers that nearly all of them share are left out: a trait that hardly anybody has must not undo the teaching.
    """
    found = {}
    for column, target in enumerate(TARGETS):
        known = np.isfinite(taught.targets[:, column])
        y = taught.targets[known, column] > 0
        if min(y.sum(), (~y).sum()) < _LEAST_OF_EITHER:
            continue
        area = auc(y, out_of_fold[known, column], cluster=taught.patient[known])
        found[target] = {"value": area.value, "low": area.low, "high": area.high}
    return found


def build(settings: Settings, member: int) -> nn.Module:
    """The untrained networks of one member, one per map, their weights drawn from the seed."""
    from myoscope.learn.backbones.per_map import PerMap
    from myoscope.learn.backbones.polar_resnet import PolarResnet

    with weights_of_member(settings, member):
        return PerMap([PolarResnet(1, 0, len(TASKS), widths=settings.widths, dropout=settings.dropout) for _ in MAPS])


def predict(examples: Examples, model: TrainedModel) -> Prognosis:
    """Every answer from every map; the patient's is impaired reserve from the reserve map."""
    answers = model.answers(examples)
    column = TARGETS.index("impaired reserve from reserve")
    return Prognosis(answers, answers.probability[:, column], answers.low[:, column], answers.high[:, column], None)


def evaluate(
    examples: Examples,
    prognosis: Prognosis,
    model: TrainedModel,
    *,
    rng: np.random.Generator,
    resamples: int = 300,
) -> Evaluation:
    """Each task from each map; impaired reserve beside the plain mean of the reserve map."""
    papers: dict[str, Paper] = {}
    for number, task in enumerate(TASKS):
        known = np.isfinite(examples.targets[:, number])
        y = examples.targets[known, number] > 0
        scores = [
            Score.of_probability(f"{name} map", prognosis.answers.of(f"{task} from {name}")[known])
            for name in reversed(MAPS)
        ]
        if task == "impaired reserve":
            mean = np.asarray(examples.about["mean_reserve"], np.float64)[known]
            scores = [Score("mean of the reserve map", -mean, None, -IMPAIRED_BELOW), *scores]
        judge = examples.about.get(JUDGED_BY)
        papers[task] = paper(
            y,
            scores,
            reference=scores[0].name,
            rng=rng,
            cluster=examples.patient[known],
            stratum=None if judge is None else judge[known],
            resamples=resamples,
        )
    sites = ", ".join(np.unique(examples.about["site"]).tolist())
    said = f"virtual patients, not people; {len(examples)} studies of {sites}; model {model.card.identifier}"
    if model.card.numbers["stand_in"]:
        said = f"**{_STAND_IN}; for trying the recipe only.** {said}"
    return Evaluation("yeung2022", said, papers, notes=examples.left_out)


def explain(examples: Examples, row: int, folder: Path, *, method: str = "") -> Explanation:
    """Which cells raised the log-odds of the likeliest answer of one study."""
    return explain_network(examples, row, folder, "yeung2022", build_from_card, method=method)


def build_from_card(settings: Mapping[str, Any], member: int) -> nn.Module:
    return build(settings_of(Settings, settings), member)
