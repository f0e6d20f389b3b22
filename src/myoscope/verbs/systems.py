"""`myoscope train`, `evaluate`, `reproduce` and `list`: the systems that are built in."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from myoscope.verbs.conduct import Debug, Exit, Overwrite, Quiet, errors_in_one_sentence, progress_bar

if TYPE_CHECKING:
    from myoscope.systems.evaluation import Evaluation
    from myoscope.systems.out_of_fold import CrossValidation


class Device(StrEnum):
    CPU = "cpu"
    GPU = "gpu"
    AUTO = "auto"


class Precision(StrEnum):
    FULL = "32-true"
    BF16 = "bf16-mixed"
    FP16 = "16-mixed"


Cohorts = Annotated[list[Path], typer.Option("--cohort", help="Cohort folder; once for each.")]
Normals = Annotated[
    list[Path] | None, typer.Option("--normals", help="Cohort with low-likelihood patients, for normal limits.")
]
Changes = Annotated[list[str] | None, typer.Option("--set", help="A setting, NAME=VALUE; once for each.")]
JudgedOn = Annotated[
    list[str] | None, typer.Option("--set", help="label=NAME: judge on another label than it was taught on.")
]
Accelerator = Annotated[Device, typer.Option("--accelerator", help="What trains.")]
Devices = Annotated[int, typer.Option("--devices", min=1, help="How many of them per machine.")]
Nodes = Annotated[int, typer.Option("--nodes", min=1, help="Machines; the scheduler starts the same call on each.")]
Precise = Annotated[Precision, typer.Option("--precision", help="Of the numbers while training.")]
Mlflow = Annotated[str, typer.Option("--mlflow", help="Also log to this MLflow address [only to CSV files].")]
Explained = Annotated[
    int, typer.Option("--explained", min=0, help="Patients whose explanations are tried by deletion and insertion.")
]
SystemName = Annotated[
    str, typer.Argument(metavar="NAME", help="A system of `myoscope list` that learns from cohorts.")
]


def train(
    name: SystemName,
    cohort: Cohorts,
    out: Annotated[Path, typer.Option("--out", help="Folder for the model; it must not exist yet.")],
    normals: Normals = None,
    change: Changes = None,
    accelerator: Accelerator = Device.CPU,
    devices: Devices = 1,
    nodes: Nodes = 1,
    precision: Precise = Precision.FULL,
    mlflow: Mlflow = "",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Teach a system on a cohort: weights, ONNX graph and model card. After a kill the same call goes on.

    Exit codes: 0 written; 2 bad call.
    """
    with errors_in_one_sentence(debug, refused=Exit.BAD_CALL, kept=True):
        from myoscope.systems.run import Machine, train_system

        with progress_bar(quiet) as progress:
            card = train_system(
                name,
                cohort,
                out,
                normals=normals or (),
                changes=change or (),
                machine=Machine(accelerator.value, devices, nodes, precision.value, mlflow),
                overwrite=overwrite,
                progress=progress,
            )
        if not quiet:
            typer.echo(f"Model {card.identifier}, {card.n_training} patients, {card.minutes:.1f} min: {out}")
            typer.echo(card.warning)


def evaluate(
    name: SystemName,
    model: Annotated[Path, typer.Option("--model", help="Folder of a trained model.")],
    cohort: Cohorts,
    out: Annotated[Path, typer.Option("--out", help="Folder for tables and pictures; it must not exist yet.")],
    normals: Normals = None,
    change: JudgedOn = None,
    verified: Annotated[
        str,
        typer.Option("--verified", metavar="COLUMN", help="Correct for whose outcome was verified, by this column."),
    ] = "",
    decided_by: Annotated[
        list[str] | None,
        typer.Option(
            "--decided-by",
            metavar="COLUMN",
            help="What verifying went by besides the scores; once for each [age, sex, BMI, diabetes].",
        ),
    ] = None,
    explained: Explained = 20,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the bootstrap.")] = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Judge a trained model on a cohort's external sites, or on all of it where there is none.

    With --verified, also in everybody who was imaged, corrected for who was sent to angiography.

    Exit codes: 0 written; 2 bad call.
    """
    with errors_in_one_sentence(debug, refused=Exit.BAD_CALL):
        from myoscope.systems.run import evaluate_system

        with progress_bar(quiet) as progress:
            found = evaluate_system(
                name,
                model,
                cohort,
                out,
                normals=normals or (),
                changes=change or (),
                overwrite=overwrite,
                seed=seed,
                verified=verified,
                reasons=decided_by or (),
                explained=explained,
                progress=progress,
            )
        if not quiet:
            typer.echo(found.markdown())
            typer.echo(f"Tables and pictures: {out}")


def reproduce(
    name: SystemName,
    cohort: Cohorts,
    out: Annotated[Path, typer.Option("--out", help="Folder for model, tables and pictures; it must not exist yet.")],
    normals: Normals = None,
    change: Changes = None,
    folds: Annotated[
        int, typer.Option("--folds", min=0, help="Cross-validate by so many folds of patients [external site].")
    ] = 0,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Deal the folds out so often.")] = 1,
    each_site: Annotated[
        bool, typer.Option("--each-site", help="Cross-validate by sites: each is judged by the others.")
    ] = False,
    nested: Annotated[
        int, typer.Option("--nested", min=0, help="Folds within each fold that choose among candidates.")
    ] = 0,
    candidate: Annotated[
        list[str] | None,
        typer.Option(
            "--candidate", metavar="NAME=VALUE[;...]", help="Settings that nested folds may choose; once for each."
        ),
    ] = None,
    explained: Explained = 20,
    accelerator: Accelerator = Device.CPU,
    devices: Devices = 1,
    nodes: Nodes = 1,
    precision: Precise = Precision.FULL,
    mlflow: Mlflow = "",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """From a registry to the table of a paper: teach, judge on the external site, the paper's figures beside ours.

    With --folds or --each-site every patient is judged by networks that never saw him. After a kill the same call goes
    on.

    Exit codes: 0 written; 2 bad call.
    """
    with errors_in_one_sentence(debug, refused=Exit.BAD_CALL, kept=True):
        from myoscope.core.errors import InvalidValue
        from myoscope.systems.contract import load_system
        from myoscope.systems.cross_validated import cross_validate_system
        from myoscope.systems.run import Machine, reproduce_system
        from myoscope.systems.scheme import Scheme

        if folds and each_site:
            raise InvalidValue(
                "cross-validation is by folds of patients (--folds) or by sites (--each-site), not by both"
            )
        if (rounds > 1 or nested or candidate) and not (folds or each_site):
            raise InvalidValue(
                "--rounds, --nested and --candidate belong to cross-validation: add --folds or --each-site"
            )
        machine = Machine(accelerator.value, devices, nodes, precision.value, mlflow)
        found: CrossValidation | Evaluation | None
        with progress_bar(quiet) as progress:
            if folds or each_site:
                found = cross_validate_system(
                    name,
                    cohort,
                    out,
                    Scheme(folds, rounds, nested, _candidates(candidate or [])),
                    normals=normals or (),
                    changes=change or (),
                    machine=machine,
                    overwrite=overwrite,
                    progress=progress,
                )
            else:
                found = reproduce_system(
                    name,
                    cohort,
                    out,
                    normals=normals or (),
                    changes=change or (),
                    machine=machine,
                    overwrite=overwrite,
                    explained=explained,
                    progress=progress,
                )
        if not quiet and found is not None:
            typer.echo(found.markdown(load_system(name).PUBLISHED))
            typer.echo(f"{'Models' if folds or each_site else 'Model'}, tables and pictures: {out}")


def _candidates(given: list[str]) -> tuple[tuple[str, ...], ...]:
    """Settings of each candidate, as they were separated by semicolons."""
    return tuple(tuple(part.strip() for part in one.split(";") if part.strip()) for one in given)


def list_systems(
    json: Annotated[bool, typer.Option("--json", help="As JSON, for other programs.")] = False,
) -> None:
    """List the systems that are built in."""
    from myoscope.systems import SYSTEMS

    if json:
        from json import dumps

        facts = [{"name": s.name, "does": s.does, "source": s.source, "learns_from": s.learns_from} for s in SYSTEMS]
        typer.echo(dumps(facts, indent=2))
        return
    for system in SYSTEMS:
        typer.echo(f"{system.name:<16} {system.does}")
