"""The command line: one line per verb. Everything heavy is imported when its verb runs."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from myoscope.verbs import limits, simulate, systems
from myoscope.verbs.conduct import (
    Debug,
    Exit,
    Overwrite,
    Quiet,
    errors_in_one_sentence,
    given_path,
    leave,
    progress_bar,
    refuse_missing,
)

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
app.add_typer(simulate.simulate, name="simulate")
app.add_typer(limits.limits, name="limits")


class Finder(StrEnum):
    AUTO = "auto"
    NETWORK = "network"
    MODEL = "model"


class Sampling(StrEnum):
    SURFACE = "surface"
    PROFILE = "profile"
    HYBRID = "hybrid"


Paths = Annotated[
    list[Path], typer.Argument(metavar="PATH...", parser=given_path, help="Files or folders of one patient's study.")
]
Workers = Annotated[
    int,
    typer.Option(
        min=1,
        envvar="MYOSCOPE_WORKERS",
        show_default="2, or 1 on one core",
        help="Processes at work, one thread each: stress and rest side by side.",
    ),
]
_WORKERS = min(2, os.cpu_count() or 1)


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
    paths: Paths,
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
    reconstruction_set: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="A choice about images that are made of projections: method, iterations, subsets, response, filter, "
            "median-prior or radius-mm, such as filter=gaussian:10; once for each.",
        ),
    ] = None,
    flow_set: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="A choice about flow: input, motion, washout, outside, weighting, partial-volume, density or "
            "bound-PARAMETER, such as bound-k2=0:1.5; once for each.",
        ),
    ] = None,
    flow_capacity: Annotated[
        Path | None, typer.Option(help="Classes of coronary flow capacity of your own (JSON).")
    ] = None,
    rest_rate_pressure: Annotated[
        float | None,
        typer.Option(min=2000, max=60000, help="Heart rate x systolic pressure at rest, mmHg/min."),
    ] = None,
    models: Annotated[
        list[Path] | None, typer.Option(help="Folder of trained models, beside those that come along; once for each.")
    ] = None,
    workers: Workers = _WORKERS,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Analyse a study: find the heart, sample the polar map, write result.json and report.html.

    Exit codes: 0 analysed; 2 bad call; 3 nothing to analyse; 4 analysed in part (reasons in result.json).
    """
    refuse_missing(paths)
    with errors_in_one_sentence(debug, refused=Exit.BAD_CALL):
        from myoscope import report
        from myoscope.analyze import Settings
        from myoscope.analyze import analyze as run
        from myoscope.flow_choices import settings_of
        from myoscope.reconstruct import settings_from_words

        table = report.DEFAULT_COLOUR_TABLE if colours is None else colours
        if table not in report.COLOUR_TABLES:
            names = ", ".join(sorted(report.COLOUR_TABLES))
            leave(f"There is no colour table {table!r}; choose one of: {names}.", Exit.BAD_CALL)
        settings = Settings(
            finder=finder.value,
            sampling=sampling.value,
            resolution_fwhm_mm=resolution_mm,
            colour_table=table,
            overwrite=overwrite,
            limits=tuple(limits or ()),
            reconstruction=settings_from_words(reconstruction_set or ()),
            flow=settings_of(
                flow_model, resolution_fwhm_mm=resolution_mm, choices=flow_set or (), capacity=flow_capacity
            ),
            rest_rate_pressure=rest_rate_pressure,
            models=tuple(models or ()),
            workers=workers,
        )
    with errors_in_one_sentence(debug):
        with progress_bar(quiet) as progress:
            result = run(paths, out, settings=settings, progress=progress)
        _finish(result, out, quiet)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the simulated study and its results.")] = Path("demo"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of the simulation: same seed, same study.")] = 1,
    pet: Annotated[bool, typer.Option("--pet", help="Dynamic PET with rubidium: blood flow.")] = False,
    workers: Workers = _WORKERS,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Simulate a patient with a narrowed artery as DICOM, then analyse those files."""
    with errors_in_one_sentence(debug):
        from myoscope.analyze import Settings
        from myoscope.analyze import analyze as run
        from myoscope.demo import write_demo_study, write_pet_demo_study

        write = write_pet_demo_study if pet else write_demo_study
        with progress_bar(quiet) as progress:
            patient = write(
                out, seed=seed, overwrite=overwrite, progress=lambda step, share: progress(step, 0.4 * share)
            )
            person = patient.facts.person
            work = person.rest_heart_rate_bpm * person.rest_systolic_mmHg
            result = run(
                [out / "dicom"],
                out / "result",
                settings=Settings(overwrite=overwrite, rest_rate_pressure=work if pet else None, workers=workers),
                progress=lambda step, share: progress(step, 0.4 + 0.6 * share),
            )
        if not quiet:
            typer.echo(patient.who if pet else patient.summary)
        _finish(result, out / "result", quiet)


@app.command()
def compare(
    before: Annotated[Path, typer.Argument(metavar="BEFORE", help="Results of the earlier study.")],
    after: Annotated[Path, typer.Argument(metavar="AFTER", help="Results of the later study of the same patient.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for figures, maps of the change and a page; FILE.json for figures alone."),
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Say what changed between two studies of one patient, from two folders that analyze wrote.

    A star marks what changed beyond the noise of both measurements; --out also writes the change over the wall as polar
    maps. Exit codes: 0 compared; 2 bad call.
    """
    refuse_missing([before, after])
    with errors_in_one_sentence(debug, refused=Exit.BAD_CALL):
        from myoscope.compare import compare_results, table_of, write_comparison

        found = compare_results(before, after)
        if out is not None:
            write_comparison(found, out, overwrite=overwrite)
        if not quiet:
            typer.echo(table_of(found))


@app.command()
def info(
    paths: Paths,
    debug: Debug = False,
) -> None:
    """Say what is in the files, without analysing them: series, state, geometry, and what was inferred."""
    refuse_missing(paths)
    with errors_in_one_sentence(debug):
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


for _verb in (systems.train, systems.evaluate, systems.reproduce):
    app.command()(_verb)
app.command(name="list")(systems.list_systems)


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


def main() -> None:
    """Entry point of the ``myoscope`` command."""
    app()


if __name__ == "__main__":
    main()
