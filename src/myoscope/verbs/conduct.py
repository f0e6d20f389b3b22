"""How every verb conducts itself: exit codes, shared options, errors in one sentence, and progress."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Annotated

import typer


class Exit(IntEnum):
    """What the exit code says."""

    ANALYSED = 0
    INTERNAL_ERROR = 1
    BAD_CALL = 2
    NOTHING_TO_ANALYSE = 3
    IN_PART = 4
    INTERRUPTED = 130


Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output folder if it exists.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print errors only.")]


def given_path(text: str) -> Path:
    """A path as typed; an empty one, which would otherwise mean the current folder, is a variable that is not set."""
    if not text.strip():
        raise typer.BadParameter("a path is empty; is a variable not set?")
    return Path(text)


def refuse_missing(paths: list[Path]) -> None:
    """End with one sentence if a path that was given does not exist."""
    for path in paths:
        if not os.path.lexists(path):
            leave(f"{path} does not exist: is the name right?", Exit.BAD_CALL)


def leave(sentence: str, code: Exit) -> None:
    """Say a sentence on stderr and end with an exit code."""
    typer.echo(sentence, err=True)
    raise typer.Exit(code)


@contextmanager
def errors_in_one_sentence(
    debug: bool, *, refused: Exit = Exit.NOTHING_TO_ANALYSE, kept: bool = False
) -> Iterator[None]:
    """Turn every error into one sentence on stderr and an exit code; ``--debug`` lets it through.

    ``refused`` is the code for what the library will not do; ``kept`` says that an interrupted call leaves parts from
    which the same call goes on.
    """
    from myoscope.core.errors import MyoscopeError, OutputError, WorkerDied

    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except KeyboardInterrupt:
        then = "the same call goes on from what is done" if kept else "nothing was written"
        leave(f"Interrupted; {then}.", Exit.INTERRUPTED)
    except MyoscopeError as error:
        if debug:
            raise
        if isinstance(error, WorkerDied):
            leave(str(error), Exit.INTERNAL_ERROR)
        leave(str(error), Exit.BAD_CALL if isinstance(error, OutputError) else refused)
    except BrokenPipeError as error:
        # Whoever reads the output (head, less) has seen enough; what is left in the buffer has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit from error
    except MemoryError:
        if debug:
            raise
        leave("There is not enough memory for this study; nothing was written.", Exit.INTERNAL_ERROR)
    except Exception as error:  # the last resort of a command line: a defect of ours, said in one sentence
        if debug:
            raise
        leave(
            f"Myoscope met a defect of its own ({type(error).__name__}: {_first_line(error)}); nothing was written. "
            "Please report it with the output of --debug.",
            Exit.INTERNAL_ERROR,
        )


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0][:200] if text else "no message"


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Callable[[str, float], None]]:
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
