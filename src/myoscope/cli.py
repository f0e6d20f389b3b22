"""The command line: one line per verb. Everything heavy is imported when its verb runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from myoscope.core import StudyResult

app = typer.Typer(
    name="myoscope",
    help="Myocardial perfusion imaging from DICOM to report. For research; not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Exit(IntEnum):
    """What the exit code says."""

    ANALYSED = 0
    INTERNAL_ERROR = 1
    BAD_CALL = 2
    NOTHING_TO_ANALYSE = 3
    IN_PART = 4
    INTERRUPTED = 130


class Finder(StrEnum):
    AUTO = "auto"
    NETWORK = "network"
    MODEL = "model"


class Sampling(StrEnum):
    SURFACE = "surface"
    PROFILE = "profile"
    HYBRID = "hybrid"


class Population(StrEnum):
    ALL = "all"
    REFERRED = "referred"
    LOW_LIKELIHOOD = "low-likelihood"


class Disease(StrEnum):
    ANY = "any"
    NONE = "none"
    LAD = "LAD"
    LCX = "LCx"
    RCA = "RCA"
    THREE_VESSEL = "three-vessel"
    LEFT_MAIN = "left-main"
    INFARCT = "infarct"
    MICROVASCULAR = "microvascular"
    LBBB = "lbbb"
    CARDIOMYOPATHY = "cardiomyopathy"


class Tracer(StrEnum):
    SESTAMIBI = "sestamibi"
    TETROFOSMIN = "tetrofosmin"
    THALLIUM = "thallium"


class PetTracer(StrEnum):
    RUBIDIUM = "rubidium"
    AMMONIA = "ammonia"
    WATER = "water"
    FLURPIRIDAZ = "flurpiridaz"


class Tier(StrEnum):
    FULL = "full"
    MAPS = "maps"
    LOW_LIKELIHOOD = "low-likelihood"


class Device(StrEnum):
    CPU = "cpu"
    GPU = "gpu"
    AUTO = "auto"


class Precision(StrEnum):
    FULL = "32-true"
    BF16 = "bf16-mixed"
    FP16 = "16-mixed"


class State(StrEnum):
    STRESS = "stress"
    REST = "rest"


Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output folder if it exists.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print errors only.")]


def _version(wanted: bool) -> None:
    if wanted:
        from myoscope import __version__

        typer.echo(f"myoscope {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    del version  # its callback has already answered


@app.command()
def analyze(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files or folders of one patient's study.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the results; it must not exist yet.")],
    finder: Annotated[Finder, typer.Option(help="How the left ventricle is found.")] = Finder.AUTO,
    sampling: Annotated[Sampling, typer.Option(help="How the polar map is sampled.")] = Sampling.SURFACE,
    resolution_mm: Annotated[
        float | None, typer.Option(min=1, max=40, help="Reconstructed resolution (FWHM, mm), if known.")
    ] = None,
    limits: Annotated[
        list[Path] | None, typer.Option(help="Folder of normal limits, beside those that come along; once for each.")
    ] = None,
    colours: Annotated[str | None, typer.Option(help="Colour table that the report opens with.")] = None,
    flow_model: Annotated[
        str | None, typer.Option(help="Model of blood flow in dynamic PET, such as lortie [the usual one].")
    ] = None,
    rest_rate_pressure: Annotated[
        float | None,
        typer.Option(min=2000, max=60000, help="Heart rate x systolic pressure at rest, mmHg/min."),
    ] = None,
    models: Annotated[
        list[Path] | None, typer.Option(help="Folder of trained models, beside those that come along; once for each.")
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Analyse a study: find the heart, sample the polar map, write result.json and report.html.

    Exit codes: 0 analysed; 2 bad call; 3 nothing to analyse; 4 analysed in part (reasons in result.json).
    """
    _refuse_missing(paths)
    with _errors_in_one_sentence(debug):
        from myoscope import report
        from myoscope.analyze import Settings
        from myoscope.analyze import analyze as run
        from myoscope.flow_study import FlowSettings, model_named

        table = report.DEFAULT_COLOUR_TABLE if colours is None else colours
        if table not in report.COLOUR_TABLES:
            names = ", ".join(sorted(report.COLOUR_TABLES))
            _leave(f"There is no colour table {table!r}; choose one of: {names}.", Exit.BAD_CALL)
        settings = Settings(
            finder=finder.value,
            sampling=sampling.value,
            resolution_fwhm_mm=resolution_mm,
            colour_table=table,
            overwrite=overwrite,
            limits=tuple(limits or ()),
            flow=FlowSettings(model=None if flow_model is None else model_named(flow_model)),
            rest_rate_pressure=rest_rate_pressure,
            models=tuple(models or ()),
        )
        with _progress(quiet) as progress:
            result = run(paths, out, settings=settings, progress=progress)
        _finish(result, out, quiet)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the simulated study and its results.")] = Path("demo"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of the simulation: same seed, same study.")] = 1,
    pet: Annotated[bool, typer.Option("--pet", help="Dynamic PET with rubidium: blood flow.")] = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Simulate a patient with a narrowed artery as DICOM, then analyse those files."""
    with _errors_in_one_sentence(debug):
        from myoscope.analyze import Settings
        from myoscope.analyze import analyze as run
        from myoscope.demo import write_demo_study, write_pet_demo_study

        write = write_pet_demo_study if pet else write_demo_study
        with _progress(quiet) as progress:
            patient = write(
                out, seed=seed, overwrite=overwrite, progress=lambda step, share: progress(step, 0.4 * share)
            )
            person = patient.facts.person
            work = person.rest_heart_rate_bpm * person.rest_systolic_mmHg
            result = run(
                [out / "dicom"],
                out / "result",
                settings=Settings(overwrite=overwrite, rest_rate_pressure=work if pet else None),
                progress=lambda step, share: progress(step, 0.4 + 0.6 * share),
            )
        if not quiet:
            typer.echo(patient.summary)
        _finish(result, out / "result", quiet)


simulate = typer.Typer(no_args_is_help=True, help="Simulate virtual patients: one study, or a registry.")
app.add_typer(simulate, name="simulate")

Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed: the same seed gives the same patients.")]
Workers = Annotated[int, typer.Option("--workers", min=1, help="Processes at work, one thread each.")]


@simulate.command("patient")
def simulate_patient(
    seed: Seed,
    out: Annotated[Path, typer.Option("--out", help="Folder for the study; it must not exist yet.")],
    site: Annotated[str, typer.Option(help="Centre: north, harbour, hillside, riverside or coast.")] = "harbour",
    index: Annotated[int, typer.Option(min=0, help="Number of the patient under this seed.")] = 0,
    population: Annotated[Population, typer.Option(help="Who comes: everybody, or a part of them.")] = Population.ALL,
    disease: Annotated[Disease, typer.Option(help="What the patient shall have.")] = Disease.ANY,
    tracer: Annotated[Tracer | None, typer.Option(help="What is injected [as the site].")] = None,
    ct: Annotated[bool | None, typer.Option("--ct/--no-ct", help="With a CT and a mu map, or without.")] = None,
    misregistration_mm: Annotated[
        tuple[float, float, float], typer.Option(help="How far the CT is misplaced: left, posterior, up.")
    ] = (0.0, 0.0, 0.0),
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Simulate one virtual patient's study: DICOM files, and the truth beside them.

    Exit codes: 0 written; 2 bad call.
    """
    with _errors_in_one_sentence(debug, refused=Exit.BAD_CALL):
        from myoscope.virtual import PatientSettings
        from myoscope.virtual import simulate_patient as run

        settings = PatientSettings(
            seed=seed,
            site=site,
            index=index,
            population=population.value,
            disease=disease.value,
            tracer=tracer.value if tracer else None,
            with_ct=ct,
            misregistration_mm=misregistration_mm,
            overwrite=overwrite,
        )
        with _progress(quiet) as progress:
            patient = run(settings, out, progress=progress)
        if not quiet:
            typer.echo(f"{patient.summary}")
            typer.echo(f"Images: {out / 'dicom'}\nTruth: {out / 'truth.json'}")


@simulate.command("pet-patient")
def simulate_pet_patient(
    seed: Seed,
    out: Annotated[Path, typer.Option("--out", help="Folder for the study; it must not exist yet.")],
    tracer: Annotated[PetTracer, typer.Option(help="What is injected.")] = PetTracer.RUBIDIUM,
    site: Annotated[str, typer.Option(help="Where the patient comes from.")] = "harbour",
    index: Annotated[int, typer.Option(min=0, help="Number of the patient under this seed.")] = 0,
    population: Annotated[Population, typer.Option(help="Who comes: everybody, or a part of them.")] = Population.ALL,
    disease: Annotated[Disease, typer.Option(help="What the patient shall have.")] = Disease.ANY,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Simulate one virtual patient's dynamic PET study, rest and stress: DICOM files, and the truth beside them.

    Exit codes: 0 written; 2 bad call.
    """
    with _errors_in_one_sentence(debug, refused=Exit.BAD_CALL):
        from myoscope.virtual_pet import PetPatientSettings
        from myoscope.virtual_pet import simulate_pet_patient as run

        settings = PetPatientSettings(
            seed=seed,
            tracer=tracer.value,
            site=site,
            index=index,
            population=population.value,
            disease=disease.value,
            overwrite=overwrite,
        )
        with _progress(quiet) as progress:
            patient = run(settings, out, progress=progress)
        if not quiet:
            typer.echo(f"{patient.summary}")
            typer.echo(f"Images: {out / 'dicom'}\nTruth: {out / 'truth.json'}")


@simulate.command("pet-registry")
def simulate_pet_registry(
    seed: Seed,
    patients: Annotated[int, typer.Option(min=1, help="How many patients.")],
    site: Annotated[list[str], typer.Option(help="Where they come from; once for each, dealt out in turn.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the cohort; it must not exist yet.")],
    tracer: Annotated[PetTracer, typer.Option(help="What is injected.")] = PetTracer.RUBIDIUM,
    population: Annotated[Population, typer.Option(help="Who comes: everybody, or a part of them.")] = Population.ALL,
    workers: Workers = 1,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Simulate a registry of dynamic PET studies: a cohort with maps of rest flow, stress flow and reserve.

    The same call gives the same files, however many workers there are; after a kill it goes on where it was.
    Exit codes: 0 written; 2 bad call.
    """
    with _errors_in_one_sentence(debug, refused=Exit.BAD_CALL, kept=True):
        from myoscope.registry import RegistrySettings
        from myoscope.registry import simulate_registry as run

        settings = RegistrySettings(
            seed=seed,
            patients=patients,
            sites=tuple(name for words in site for name in words.split(",")),
            population=population.value,
            pet=tracer.value,
        )
        with _progress(quiet) as progress:
            sha256 = run(settings, out, workers=workers, overwrite=overwrite, progress=progress)
        if not quiet:
            typer.echo(f"Cohort of {patients} virtual PET patients: {out} (sha256 {sha256[:12]})")


@simulate.command("registry")
def simulate_registry(
    seed: Seed,
    patients: Annotated[int, typer.Option(min=1, help="How many patients.")],
    site: Annotated[list[str], typer.Option(help="Centre; once for each, patients are dealt out in turn.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the cohort; it must not exist yet.")],
    population: Annotated[Population, typer.Option(help="Who comes: everybody, or a part of them.")] = Population.ALL,
    workers: Workers = 1,
    state: Annotated[list[State] | None, typer.Option(help="State to image, once for each [both].")] = None,
    ungated_only: Annotated[bool, typer.Option("--ungated-only", help="No gates and no function.")] = False,
    all_positions: Annotated[
        bool, typer.Option("--all-positions", help="Stress in every position of the site, not the first alone.")
    ] = False,
    even_sexes: Annotated[bool, typer.Option("--even-sexes", help="As many women as men at each site.")] = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Simulate a registry of virtual patients: a cohort folder with a table and polar maps.

    The same call gives the same files, however many workers there are; after a kill it goes on where it was.
    Exit codes: 0 written; 2 bad call.
    """
    with _errors_in_one_sentence(debug, refused=Exit.BAD_CALL, kept=True):
        from myoscope.registry import RegistrySettings
        from myoscope.registry import simulate_registry as run

        settings = RegistrySettings(
            seed=seed,
            patients=patients,
            sites=tuple(name for words in site for name in words.split(",")),
            population=population.value,
            states=tuple(s.value for s in State if s in state) if state else ("stress", "rest"),
            gated=not ungated_only,
            all_positions=all_positions,
            even_sexes=even_sexes,
        )
        with _progress(quiet) as progress:
            sha256 = run(settings, out, workers=workers, overwrite=overwrite, progress=progress)
        if not quiet:
            typer.echo(f"Cohort of {patients} virtual patients: {out} (sha256 {sha256[:12]})")


@simulate.command("reference")
def simulate_reference(
    tier: Annotated[Tier, typer.Option(help="Which part of the reference registry.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the cohort; it must not exist yet.")],
    shard: Annotated[int | None, typer.Option(min=0, help="One shard only, into OUT.parts [all, then merged].")] = None,
    as_far_as_made: Annotated[
        bool, typer.Option("--as-far-as-made", help="Simulate nothing: put together what OUT.parts holds so far.")
    ] = False,
    workers: Workers = 1,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Simulate a tier of the reference registry that all systems are trained on; its seed is fixed.

    The work is cut into shards of under 45 minutes on two cores; once all are there, the call without --shard puts
    them together. Exit codes: 0 written; 2 bad call.
    """
    with _errors_in_one_sentence(debug, refused=Exit.BAD_CALL, kept=True):
        from myoscope.registry import simulate_reference as run

        with _progress(quiet) as progress:
            said = run(
                tier.value,
                out,
                shard=shard,
                workers=workers,
                as_far_as_made=as_far_as_made,
                overwrite=overwrite,
                progress=progress,
            )
        if not quiet:
            typer.echo(said)


Cohorts = Annotated[list[Path], typer.Option("--cohort", help="Cohort folder; once for each.")]
Normals = Annotated[
    list[Path] | None, typer.Option("--normals", help="Cohort with low-likelihood patients, for normal limits.")
]
Changes = Annotated[list[str] | None, typer.Option("--set", help="A setting, NAME=VALUE; once for each.")]
Accelerator = Annotated[Device, typer.Option("--accelerator", help="What trains.")]
Devices = Annotated[int, typer.Option("--devices", min=1, help="How many of them per machine.")]
Nodes = Annotated[int, typer.Option("--nodes", min=1, help="Machines; the scheduler starts the same call on each.")]
Precise = Annotated[Precision, typer.Option("--precision", help="Of the numbers while training.")]
Mlflow = Annotated[str, typer.Option("--mlflow", help="Also log to this MLflow address [only to CSV files].")]
SystemName = Annotated[
    str, typer.Argument(metavar="NAME", help="A system of `myoscope list` that learns from cohorts.")
]


@app.command()
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
    with _errors_in_one_sentence(debug, refused=Exit.BAD_CALL, kept=True):
        from myoscope.systems.run import Machine, train_system

        with _progress(quiet) as progress:
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


@app.command()
def evaluate(
    name: SystemName,
    model: Annotated[Path, typer.Option("--model", help="Folder of a trained model.")],
    cohort: Cohorts,
    out: Annotated[Path, typer.Option("--out", help="Folder for tables and pictures; it must not exist yet.")],
    normals: Normals = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the bootstrap.")] = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Judge a trained model on a cohort's external sites, or on all of it where there is none.

    Exit codes: 0 written; 2 bad call.
    """
    with _errors_in_one_sentence(debug, refused=Exit.BAD_CALL):
        from myoscope.systems.run import evaluate_system

        with _progress(quiet) as progress:
            found = evaluate_system(
                name, model, cohort, out, normals=normals or (), overwrite=overwrite, seed=seed, progress=progress
            )
        if not quiet:
            typer.echo(found.markdown())
            typer.echo(f"Tables and pictures: {out}")


@app.command()
def reproduce(
    name: SystemName,
    cohort: Cohorts,
    out: Annotated[Path, typer.Option("--out", help="Folder for model, tables and pictures; it must not exist yet.")],
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
    """From a registry to the table of a paper: teach, judge on the external site, the paper's figures beside ours.

    Exit codes: 0 written; 2 bad call.
    """
    with _errors_in_one_sentence(debug, refused=Exit.BAD_CALL, kept=True):
        from myoscope.systems.contract import load_system
        from myoscope.systems.run import Machine, reproduce_system

        with _progress(quiet) as progress:
            found = reproduce_system(
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
            typer.echo(found.markdown(load_system(name).PUBLISHED))
            typer.echo(f"Model, tables and pictures: {out}")


limits = typer.Typer(no_args_is_help=True, help="Normal limits: make them from a cohort, or look at them.")
app.add_typer(limits, name="limits")


@limits.command("build")
def limits_build(
    cohorts: Annotated[list[Path], typer.Argument(metavar="COHORT...", help="Cohort folders.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the limits; it must not exist yet.")],
    least: Annotated[int, typer.Option(min=10, help="Fewest normal patients of a kind.")] = 20,
    signer: Annotated[str, typer.Option(help="Sign in this name, with --key or a new key that is not kept.")] = "",
    key: Annotated[Path | None, typer.Option(help="Private key to sign with (PEM, Ed25519); made if missing.")] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Make normal limits from the low-likelihood patients of cohorts, a file for each kind of study.

    A kind is a sex, tracer, camera, position, state and correction. Exit codes: 0 written; 2 bad call.
    """
    if key is not None and not signer:
        _leave("A key signs in somebody's name; give it with --signer.", Exit.BAD_CALL)
    with _errors_in_one_sentence(debug, refused=Exit.BAD_CALL):
        from myoscope import io, normals

        if not overwrite:
            io.refuse_existing(out, replace=False)
        with _progress(quiet) as progress:
            made = normals.limits_of_cohorts([io.read_cohort(c) for c in cohorts], least=least, progress=progress)
        private = None
        if signer:
            private = io.load_key(key) if key is not None and key.exists() else io.new_key()
            if key is not None and not key.exists():
                io.save_key(private, key)
        normals.write_limits_folder(made, out, key=private, signer_name=signer, overwrite=overwrite)
        if not quiet:
            for one in made:
                typer.echo(f"n = {one.n:<4} {one.kind}")
            typer.echo(f"Normal limits for {len(made)} kinds of study: {out}")


@limits.command("show")
def limits_show(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH...]", help="Files or folders of limits [those that come along]."),
    ] = None,
    debug: Debug = False,
) -> None:
    """Say for whom normal limits are, of how many studies, and who signed them."""
    with _errors_in_one_sentence(debug, refused=Exit.BAD_CALL):
        from myoscope import io

        known = list(io.shipped_limits()) if not paths else []
        for path in paths or ():
            known += io.read_limits_folder(path) if path.is_dir() else [io.read_limits(path)]
        if not known:
            typer.echo("There are no normal limits here.")
        for one in known:
            signed = "not signed" if one.signer is None else f"signed by {one.signer.name}"
            typer.echo(f"{one.sha256[:12]}  n = {one.limits.n:<4} {one.limits.kind}; {signed}; {one.limits.provenance}")


@app.command()
def compare(
    before: Annotated[Path, typer.Argument(metavar="BEFORE", help="Results of the earlier study.")],
    after: Annotated[Path, typer.Argument(metavar="AFTER", help="Results of the later study of the same patient.")],
    out: Annotated[Path | None, typer.Option("--out", help="Store the comparison as this JSON file.")] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Say what changed between two studies of one patient, from two folders that analyze wrote.

    A star marks what changed beyond the noise of both measurements. Exit codes: 0 compared; 2 bad call.
    """
    _refuse_missing([before, after])
    with _errors_in_one_sentence(debug, refused=Exit.BAD_CALL):
        from myoscope.compare import compare_results, table_of, write_comparison

        found = compare_results(before, after)
        if out is not None:
            write_comparison(found, out, overwrite=overwrite)
        if not quiet:
            typer.echo(table_of(found))


@app.command()
def info(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files or folders of one patient's study.")],
    debug: Debug = False,
) -> None:
    """Say what is in the files, without analysing them: series, state, geometry, and what was inferred."""
    _refuse_missing(paths)
    with _errors_in_one_sentence(debug):
        from myoscope import io

        found = io.read_paths(paths)
        for series in found.study.series:
            typer.echo(f"{series.name}: {series.kind}")
            for fact in ("state", "corrected", "position", "tracer", "camera"):
                typer.echo(f"  {fact:<10} {getattr(series, fact)}")
            typer.echo(f"  image      {series.image!r}")
            for flag in series.flags:
                typer.echo(f"  {flag.severity:<10} {flag.message}")
        for sentence in found.skipped:
            typer.echo(f"left out: {sentence}")


@app.command(name="list")
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


def _finish(result: StudyResult, out: Path, quiet: bool) -> None:
    """Say what was found and leave with the code that fits."""
    for one in result.series:
        if one.heart is not None and not quiet:
            numbers = {q.name: q for q in one.heart.quantities}
            shown = [f"{name} {numbers[name]}" for name in ("EDV", "ESV", "EF") if numbers[name].value is not None]
            if not shown:
                shown = [f"cavity {numbers['cavity volume, ungated']}"]
            if "blood flow" in numbers:
                shown.append(f"blood flow {numbers['blood flow']}")
            typer.echo(f"{one.series.name}: left ventricle found ({one.heart.finder}), {', '.join(shown)}")
        for flag in (*one.flags, *(one.heart.flags if one.heart else ())):
            if flag.severity != "info":
                typer.echo(f"{one.series.name}: {flag.severity}: {flag.message}", err=True)
        for reason in one.not_done:
            typer.echo(reason, err=True)
    for model in () if quiet else result.models:
        typer.echo(f"{model.system}: {model.predictions[0]}. {model.warning}")
    for sentence in result.skipped:
        typer.echo(f"Left out: {sentence}", err=True)
    if not quiet:
        typer.echo(f"Report: {out / 'report.html'}")
    if not result.complete:
        raise typer.Exit(Exit.IN_PART)


def _refuse_missing(paths: list[Path]) -> None:
    for path in paths:
        if not os.path.lexists(path):
            _leave(f"{path} does not exist: is the name right?", Exit.BAD_CALL)


def _leave(sentence: str, code: Exit) -> None:
    typer.echo(sentence, err=True)
    raise typer.Exit(code)


@contextmanager
def _errors_in_one_sentence(
    debug: bool, *, refused: Exit = Exit.NOTHING_TO_ANALYSE, kept: bool = False
) -> Iterator[None]:
    """Turn every error into one sentence on stderr and an exit code; ``--debug`` lets it through.

    ``refused`` is the code for what the library will not do; ``kept`` says that an interrupted call leaves parts from
    which the same call goes on.
    """
    from myoscope.core.errors import MyoscopeError, OutputError

    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except KeyboardInterrupt:
        then = "the same call goes on from what is done" if kept else "nothing was written"
        _leave(f"Interrupted; {then}.", Exit.INTERRUPTED)
    except MyoscopeError as error:
        if debug:
            raise
        _leave(str(error), Exit.BAD_CALL if isinstance(error, OutputError) else refused)
    except BrokenPipeError as error:
        # Whoever reads the output (head, less) has seen enough; what is left in the buffer has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit from error
    except MemoryError:
        if debug:
            raise
        _leave("There is not enough memory for this study; nothing was written.", Exit.INTERNAL_ERROR)
    except Exception as error:  # the last resort of a command line: a defect of ours, said in one sentence
        if debug:
            raise
        _leave(
            f"Myoscope met a defect of its own ({type(error).__name__}: {_first_line(error)}); nothing was written. "
            "Please report it with the output of --debug.",
            Exit.INTERNAL_ERROR,
        )


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0][:200] if text else "no message"


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[str, float], None]]:
    """A progress bar on a terminal, nothing elsewhere."""
    if quiet or not sys.stderr.isatty():
        yield lambda step, fraction: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(bar_width=30), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=1.0)
        yield lambda step, fraction: bar.update(task, description=step, completed=fraction)


def main() -> None:
    """Entry point of the ``myoscope`` command."""
    app()


if __name__ == "__main__":
    main()
