"""Training, judging and reproducing a system from folders to a folder: what the command line does.

While a model is taught, checkpoints lie in ``<out>.parts``; the same call goes on from there after a kill, a call for
another model refuses to. The model appears in ``out`` whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from myoscope import io
from myoscope.core import InvalidValue
from myoscope.learn import ModelCard, csv_log, load_model, mlflow_log, read_card
from myoscope.systems.contract import CohortSystem, Progress, load_system, settings_of, settings_with
from myoscope.systems.diagnosis import outside
from myoscope.systems.judging import EXPLAINED, Sent, judge
from myoscope.systems.verified import of_verified

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from myoscope.learn import Examples
    from myoscope.learn.tracking import Log
    from myoscope.systems.evaluation import Evaluation

MODEL_FOLDER = "model"
_BEGUN = "begun.json"


@dataclass(frozen=True)
class Machine:
    """On what to train, and where besides a CSV file to tell of it (an MLflow URI)."""

    accelerator: Literal["auto", "cpu", "gpu"] = "cpu"
    devices: int = 1
    nodes: int = 1
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    mlflow: str = ""

    def fabric(self) -> Fabric:
        """Its processes, started; errors as `Hardware.fabric`."""
        from myoscope.learn.fit import Hardware

        return Hardware(self.accelerator, self.devices, self.nodes, self.precision).fabric()


def train_system(
    name: str,
    cohorts: Sequence[Path],
    out: Path,
    *,
    normals: Sequence[Path] = (),
    changes: Sequence[str] = (),
    machine: Machine | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ModelCard:
    """Teach a system on cohort folders and write its model into ``out``.

    ``normals`` are cohorts with low-likelihood patients, for normal limits; ``changes`` are settings, ``name=value``.

    Raises
    ------
    InvalidValue
        No such system or setting, hardware that is not there, a cohort that cannot teach it, or a model begun in
        ``<out>.parts`` that is another one.
    UnreadableFile, OutputError
        A folder that is no cohort, or one that exists and may not be replaced.
    """
    system = load_system(name)
    settings = settings_with(system.Settings(), changes)
    io.refuse_existing(out, replace=overwrite, sign=f"{name}.json")
    tell = progress or (lambda step, fraction: None)
    tell("reading the cohort", 0.0)
    examples = prepare_examples(system, settings, cohorts, normals)
    machine = machine or Machine()
    fabric = machine.fabric()
    claim(out, name, settings, examples, normals, fabric)
    card = train_in_parts(system, name, examples, settings, out, machine, fabric, tell)
    tell("done", 1.0)
    return card


def evaluate_system(
    name: str,
    model: Path,
    cohorts: Sequence[Path],
    out: Path,
    *,
    normals: Sequence[Path] = (),
    changes: Sequence[str] = (),
    overwrite: bool = False,
    seed: int = 0,
    verified: str = "",
    reasons: Sequence[str] = (),
    explained: int = EXPLAINED,
    progress: Progress | None = None,
) -> Evaluation:
    """Judge a trained model on cohort folders: on their external sites, or on all if there is none.

    ``changes`` may name another label to judge on (``label=angiography``), and no other setting: what a model sees, and
    who taught it, is settled. ``verified`` names the column that says whose outcome was verified; accuracy is then also
    given for everybody, corrected by what the decision went by (``reasons``, columns as well). Of so many patients
    (``explained``) deletion and insertion curves are drawn. Writes ``<name>.md`` and a picture per table into ``out``.

    Raises
    ------
    InvalidValue, UnreadableFile, OutputError
        As `train_system`; also where ``model`` holds no model of this system, or ``verified`` or ``reasons`` are no
        columns to go by.
    """
    system = load_system(name)
    refused = [change for change in changes if change.partition("=")[0].strip() != "label"]
    if refused:
        raise InvalidValue(f"a trained model is judged as it is; only its label may be another, not {refused[0]!r}")
    trained = load_model(model, name)
    settings = settings_with(settings_of(type(system.Settings()), trained.card.settings), changes)
    io.refuse_existing(out, replace=overwrite, sign=f"{name}.md")
    tell = progress or (lambda step, fraction: None)
    if reasons and not verified:
        raise InvalidValue("what a decision to verify went by needs the column that says who was verified (--verified)")
    tell("reading the cohort", 0.0)
    examples = prepare_examples(system, settings, cohorts, normals, keep_unverified=bool(verified))
    examples = outside(examples, settings.external)
    sent = None
    if verified:
        folders = [io.read_cohort(path) for path in cohorts]
        examples, notes = of_verified(examples, folders, verified)
        sent = Sent(folders, verified, tuple(reasons), tuple(notes))
    with io.atomic_folder(out, replace=overwrite, sign=f"{name}.md") as folder:
        return judge(
            system,
            examples,
            model,
            name,
            folder,
            seed=seed,
            tell=tell,
            explained=explained,
            judged_on=", ".join(changes),
            sent=sent,
        )


def reproduce_system(
    name: str,
    cohorts: Sequence[Path],
    out: Path,
    *,
    normals: Sequence[Path] = (),
    changes: Sequence[str] = (),
    machine: Machine | None = None,
    overwrite: bool = False,
    explained: int = EXPLAINED,
    progress: Progress | None = None,
) -> Evaluation | None:
    """From registry to table: teach on the sites that may teach, judge on the external one, beside the paper's figures.

    ``out`` gets the model, the tables and the pictures. Of several processes the first one judges; the others return
    None.

    Raises
    ------
    InvalidValue
        As `train_system`, or no site is external.
    UnreadableFile, OutputError
        As `train_system`.
    """
    system = load_system(name)
    settings = settings_with(system.Settings(), changes)
    io.refuse_existing(out, replace=overwrite, sign=f"{name}.md")
    tell = progress or (lambda step, fraction: None)
    tell("reading the cohort", 0.0)
    examples = prepare_examples(system, settings, cohorts, normals)
    tested = outside(examples, settings.external)
    if len(tested) == len(examples):
        raise InvalidValue(
            f"nobody in the cohort is from {', '.join(settings.external)}; reproducing needs a site that took no part "
            "in training (--set external=NAME)"
        )
    machine = machine or Machine()
    fabric = machine.fabric()
    claim(out, name, settings, examples, normals, fabric)
    parts = parts_of(out)
    model = parts / MODEL_FOLDER
    if not (model / f"{name}.json").exists():
        train_in_parts(system, name, examples, settings, model, machine, fabric, lambda s, f: tell(s, 0.9 * f))
    if not fabric.is_global_zero:
        return None
    with io.atomic_folder(out, replace=overwrite, sign=f"{name}.md") as folder:
        shutil.copytree(model, folder / MODEL_FOLDER)
        evaluation = judge(system, tested, model, name, folder, seed=settings.seed, tell=tell, explained=explained)
        card = read_card(folder / MODEL_FOLDER, name)
        replace(card, figures=evaluation.figures()).write(folder / MODEL_FOLDER)
    shutil.rmtree(parts, ignore_errors=True)
    return evaluation


def prepare_examples(
    system: CohortSystem,
    settings: Any,
    cohorts: Sequence[Path],
    normals: Sequence[Path],
    *,
    keep_unverified: bool = False,
) -> Examples:
    """What a system takes of cohort folders; ``keep_unverified`` also takes studies without a label."""
    return system.prepare(
        [io.read_cohort(path) for path in cohorts],
        settings,
        normals=[io.read_cohort(path) for path in normals],
        keep_unverified=keep_unverified,
    )


def parts_of(out: Path) -> Path:
    """Where what is not finished lies while ``out`` is made."""
    return out.with_name(f"{out.name}.parts")


def claim(
    out: Path,
    name: str,
    settings: Any,
    examples: Examples,
    normals: Sequence[Path],
    fabric: Fabric,
    *,
    besides: Mapping[str, Any] | None = None,
) -> None:
    """Write down what is begun in ``<out>.parts``, or refuse if another model was begun there.

    What was taught so far must not go into a model of other settings: it may have seen the patients that this one is
    to be judged on. ``besides`` is what else decides it (folds).

    Raises
    ------
    InvalidValue
        Something else was begun there.
    """
    asked: dict[str, Any] = {
        "system": name,
        "cohort": examples.cohort_sha256,
        "studies": hashlib.sha256("\n".join(examples.study.tolist()).encode()).hexdigest(),
        "normals": [io.read_cohort(path).sha256 for path in normals],
        **asdict(settings),
        **(besides or {}),
    }
    asked = json.loads(json.dumps(asked))  # as it is read back: tuples are lists there
    path = parts_of(out) / _BEGUN
    others = [one for one in path.parent.glob("*") if one.name != _BEGUN and not one.name.endswith(".part")]
    if not others:
        # Nothing was taught here yet: a call that failed before it began binds nobody.
        if fabric.is_global_zero:
            path.parent.mkdir(parents=True, exist_ok=True)
            with io.atomic_write(path, "w") as file:
                json.dump(asked, file, indent=1)
        fabric.barrier()
        return
    try:
        begun = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError:
        begun = {}
    if not begun:
        raise InvalidValue(
            f"{path.parent} holds a model of which nobody wrote down how it was begun; remove that folder to begin "
            "anew, or write to another --out"
        )
    differing = sorted(key for key in {*asked, *begun} if asked.get(key) != begun.get(key))
    if differing:
        raise InvalidValue(
            f"{path.parent} holds a model that was begun with another {', '.join(differing)}; remove that folder to "
            "begin anew, or write to another --out"
        )


def train_in_parts(
    system: CohortSystem,
    name: str,
    examples: Examples,
    settings: Any,
    out: Path,
    machine: Machine,
    fabric: Fabric,
    tell: Progress,
) -> ModelCard:
    """Teach in ``<out>.parts`` and move what is done to ``out``, without the checkpoints."""
    import torch

    parts = parts_of(out)
    logs = _logs(parts / "training", name, machine.mlflow if fabric.is_global_zero else "")
    threads = torch.get_num_threads()
    if machine.accelerator == "cpu":
        torch.set_num_threads(1)
    try:
        card = system.train(examples, settings, out=parts, fabric=fabric, log=logs, progress=tell)
    finally:
        torch.set_num_threads(threads)
    if fabric.is_global_zero:
        for checkpoint in (parts / "training").glob("*.pt"):
            checkpoint.unlink()
        (parts / _BEGUN).unlink(missing_ok=True)
        if out.exists():
            shutil.rmtree(out)
        parts.replace(out)
    fabric.barrier()
    return card


def _logs(folder: Path, name: str, mlflow: str) -> Callable[[str], Log]:
    def of(member: str) -> Log:
        logs = [csv_log(folder / f"{member}.csv")]
        if mlflow:
            logs.append(mlflow_log(mlflow, experiment=name, run=member))

        def send(history: Any) -> None:
            for log in logs:
                log(history)

        return send

    return of
