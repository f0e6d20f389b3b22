"""`myoscope simulate`: virtual patients and registries of them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from myoscope.verbs.conduct import Debug, Exit, Overwrite, Quiet, errors_in_one_sentence, progress_bar

if TYPE_CHECKING:
    from myoscope.registry import RegistrySettings


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
    FLOW = "flow"


class Processing(StrEnum):
    SITE = "site"
    ANALYZE = "analyze"


class State(StrEnum):
    STRESS = "stress"
    REST = "rest"


simulate = typer.Typer(no_args_is_help=True, help="Simulate virtual patients: one study, or a registry.")

Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed: the same seed gives the same patients.")]
EvenSexes = Annotated[bool, typer.Option("--even-sexes", help="As many women as men at each site.")]
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
    with errors_in_one_sentence(debug, refused=Exit.BAD_CALL):
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
        with progress_bar(quiet) as progress:
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
    gated: Annotated[bool, typer.Option("--gated", help="Also the late frames, sorted by the beat.")] = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Simulate one virtual patient's dynamic PET study, rest and stress: DICOM files, and the truth beside them.

    Exit codes: 0 written; 2 bad call.
    """
    with errors_in_one_sentence(debug, refused=Exit.BAD_CALL):
        from myoscope.virtual_pet import PetPatientSettings
        from myoscope.virtual_pet import simulate_pet_patient as run

        settings = PetPatientSettings(
            seed=seed,
            tracer=tracer.value,
            site=site,
            index=index,
            population=population.value,
            disease=disease.value,
            gated=gated,
            overwrite=overwrite,
        )
        with progress_bar(quiet) as progress:
            patient = run(settings, out, progress=progress)
        if not quiet:
            typer.echo(f"{patient.who}")
            typer.echo(f"Images: {out / 'dicom'}\nTruth: {out / 'truth.json'}")


@simulate.command("pet-registry")
def simulate_pet_registry(
    seed: Seed,
    patients: Annotated[int, typer.Option(min=1, help="How many patients.")],
    site: Annotated[list[str], typer.Option(help="Centre, once for each or with commas; dealt out in turn.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the cohort; it must not exist yet.")],
    tracer: Annotated[PetTracer, typer.Option(help="What is injected.")] = PetTracer.RUBIDIUM,
    population: Annotated[Population, typer.Option(help="Who comes: everybody, or a part of them.")] = Population.ALL,
    workers: Workers = 1,
    even_sexes: EvenSexes = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Simulate a registry of dynamic PET studies: a cohort with maps of rest flow, stress flow and reserve.

    The same call gives the same files, however many workers there are; after a kill it goes on where it was.
    Exit codes: 0 written; 2 bad call.
    """
    with errors_in_one_sentence(debug, refused=Exit.BAD_CALL, kept=True):
        from myoscope.registry import RegistrySettings

        settings = RegistrySettings(
            seed=seed,
            patients=patients,
            sites=tuple(name for words in site for name in words.split(",")),
            population=population.value,
            even_sexes=even_sexes,
            pet=tracer.value,
        )
        _write_registry(settings, "virtual PET patients", out, workers=workers, overwrite=overwrite, quiet=quiet)


@simulate.command("registry")
def simulate_registry(
    seed: Seed,
    patients: Annotated[int, typer.Option(min=1, help="How many patients.")],
    site: Annotated[list[str], typer.Option(help="Centre, once for each or with commas; dealt out in turn.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the cohort; it must not exist yet.")],
    population: Annotated[Population, typer.Option(help="Who comes: everybody, or a part of them.")] = Population.ALL,
    workers: Workers = 1,
    state: Annotated[list[State] | None, typer.Option(help="State to image, once for each [both].")] = None,
    ungated_only: Annotated[bool, typer.Option("--ungated-only", help="No gates and no function.")] = False,
    all_positions: Annotated[
        bool, typer.Option("--all-positions", help="Stress in every position of the site, not the first alone.")
    ] = False,
    even_sexes: EvenSexes = False,
    processing: Annotated[
        Processing,
        typer.Option(help="Who reconstructs: the site by its habit, or this program as `analyze` does projections."),
    ] = Processing.SITE,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Simulate a registry of virtual patients: a cohort folder with a table and polar maps.

    The same call gives the same files, however many workers there are; after a kill it goes on where it was.
    Exit codes: 0 written; 2 bad call.
    """
    with errors_in_one_sentence(debug, refused=Exit.BAD_CALL, kept=True):
        from myoscope.registry import RegistrySettings

        settings = RegistrySettings(
            seed=seed,
            patients=patients,
            sites=tuple(name for words in site for name in words.split(",")),
            population=population.value,
            states=tuple(s.value for s in State if s in state) if state else ("stress", "rest"),
            gated=not ungated_only,
            all_positions=all_positions,
            even_sexes=even_sexes,
            processing=processing.value,
        )
        _write_registry(settings, "virtual patients", out, workers=workers, overwrite=overwrite, quiet=quiet)


def _write_registry(
    settings: RegistrySettings, who: str, out: Path, *, workers: int, overwrite: bool, quiet: bool
) -> None:
    from myoscope.registry import simulate_registry as run

    with progress_bar(quiet) as progress:
        sha256 = run(settings, out, workers=workers, overwrite=overwrite, progress=progress)
    if not quiet:
        typer.echo(f"Cohort of {settings.patients} {who}: {out} (sha256 {sha256[:12]})")


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
    with errors_in_one_sentence(debug, refused=Exit.BAD_CALL, kept=True):
        from myoscope.registry import simulate_reference as run

        with progress_bar(quiet) as progress:
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
