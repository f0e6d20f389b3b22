"""`myoscope limits`: normal limits made from cohorts or from analysed studies, and looked at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from myoscope.verbs.conduct import Debug, Exit, Overwrite, Quiet, errors_in_one_sentence, leave, progress_bar

if TYPE_CHECKING:
    from myoscope.core import NormalLimits

Progress = Callable[[str, float], None]

limits = typer.Typer(
    no_args_is_help=True, help="Normal limits: make them from cohorts or results of analyses, or look at them."
)


@limits.command("build")
def limits_build(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...",
            help="Cohort folders; or results of analyze, or folders that hold many, of normal people.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for the limits; it must not exist yet.")],
    least: Annotated[int, typer.Option(min=10, help="Fewest normal patients of a kind.")] = 20,
    signer: Annotated[str, typer.Option(help="Sign in this name, with --key or a new key that is not kept.")] = "",
    key: Annotated[Path | None, typer.Option(help="Private key to sign with (PEM, Ed25519); made if missing.")] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Make normal limits, a file for each kind of study.

    They are made from the low-likelihood patients of cohorts, or from results of analyze, all of low likelihood: a
    parent folder stands for every result below it. A kind is a sex, tracer, camera, position, state, correction and
    processing; kinds are not mixed. Exit codes: 0 written; 2 bad call.
    """
    if key is not None and not signer:
        leave("A key signs in somebody's name; give it with --signer.", Exit.BAD_CALL)
    with errors_in_one_sentence(debug, refused=Exit.BAD_CALL):
        from myoscope import io, normals

        if not overwrite:
            io.refuse_existing(out, replace=False)
        results = _results_of(paths)
        told: list[str] = []
        with progress_bar(quiet) as progress:
            if results:
                made = _made_of_results(results, least, progress, told)
            else:
                made = normals.limits_of_cohorts([io.read_cohort(p) for p in paths], least=least, progress=progress)
        private = None
        if signer:
            private = io.load_key(key) if key is not None and key.exists() else io.new_key()
            if key is not None and not key.exists():
                io.save_key(private, key)
        normals.write_limits_folder(made, out, key=private, signer_name=signer, overwrite=overwrite)
        if not quiet:
            for one in made:
                typer.echo(f"n = {one.n:<4} {one.kind}")
            for line in told:
                typer.echo(line)
            typer.echo(f"Normal limits for {len(made)} kinds of study: {out}")


def _results_of(paths: list[Path]) -> list[Path]:
    """The result folders that the paths stand for; none where all of them are cohorts, or nothing is known of them."""
    from myoscope import io
    from myoscope.core import InvalidValue
    from myoscope.normals_of_results import result_folders

    found = {path: () if (path / io.COHORT_MANIFEST).is_file() else result_folders(path) for path in paths}
    without = [path for path, folders in found.items() if not folders]
    if not without:
        return [folder for folders in found.values() for folder in folders]
    if len(without) < len(found):
        cohorts = [path for path in without if (path / io.COHORT_MANIFEST).is_file()]
        if cohorts:
            raise InvalidValue(
                f"{cohorts[0].name} is a cohort and others are results of analyses; make limits of each apart"
            )
        raise InvalidValue(f"{without[0].name} holds no result of an analysis, nor does any folder in it")
    return []


def _made_of_results(folders: list[Path], least: int, progress: Progress, told: list[str]) -> tuple[NormalLimits, ...]:
    """Limits of results; what was left out goes to stderr at once, kinds with too few studies into ``told``."""
    from myoscope.normals_of_results import limits_of_results, read_normal_studies

    studies = read_normal_studies(folders, progress=progress)
    for sentence in studies.skipped:
        typer.echo(sentence, err=True)
    made = limits_of_results(studies, least=least, progress=progress)
    told += [
        f"n = {len(found):<4} {kind}: too few for limits, which need {least}"
        for kind, found in sorted(studies.maps.items(), key=lambda item: str(item[0]))
        if len(found) < least
    ]
    return made


@limits.command("show")
def limits_show(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH...]", help="Files or folders of limits [those that come along]."),
    ] = None,
    debug: Debug = False,
) -> None:
    """Say for whom normal limits are, of how many studies, and who signed them."""
    with errors_in_one_sentence(debug, refused=Exit.BAD_CALL):
        from myoscope import io

        known = list(io.shipped_limits()) if not paths else []
        for path in paths or ():
            known += io.read_limits_folder(path) if path.is_dir() else [io.read_limits(path)]
        if not known:
            typer.echo("There are no normal limits here.")
        for one in known:
            signed = "not signed" if one.signer is None else f"signed by {one.signer}"
            typer.echo(f"{one.sha256[:12]}  n = {one.limits.n:<4} {one.limits.kind}; {signed}; {one.limits.provenance}")
