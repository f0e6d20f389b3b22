"""`myoscope limits`: normal limits made from cohorts, and looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from myoscope.verbs.conduct import Debug, Exit, Overwrite, Quiet, errors_in_one_sentence, leave, progress_bar

limits = typer.Typer(no_args_is_help=True, help="Normal limits: make them from a cohort, or look at them.")


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
        leave("A key signs in somebody's name; give it with --signer.", Exit.BAD_CALL)
    with errors_in_one_sentence(debug, refused=Exit.BAD_CALL):
        from myoscope import io, normals

        if not overwrite:
            io.refuse_existing(out, replace=False)
        with progress_bar(quiet) as progress:
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
