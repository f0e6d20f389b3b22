"""Files and folders that appear whole or not at all.

What is being written lies beside its destination under a hidden name (``.<name>.<random>.part``) and takes its
final name by a rename, which the file system does in one step. A crash leaves a hidden part behind, never a
half-written result; the next write to the same name removes parts older than a day.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Literal, TypeGuard

from myoscope.core import OutputError

PART_SUFFIX = ".part"
_STALE_AFTER_S = 86_400.0
_LONGEST_STEM = 40  # characters of the name in the hidden one, so that a long but legal name stays legal

_CAUSES = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file is larger than the system allows",
    errno.EACCES: "writing there is not permitted",
    errno.EPERM: "writing there is not permitted",
    errno.EROFS: "the file system is read-only",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ENOTDIR: "part of the path is a file, not a folder",
    errno.EISDIR: "there is a folder of that name",
    errno.ENOENT: "the folder it should go into does not exist",
    errno.EIO: "the disk reports an error",
}


# What writing can meet and reading cannot, so that it needs no file name to be told apart.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def output_error(path: Path, error: OSError) -> OutputError:
    """The sentence for a path that could not be written, from what the operating system said."""
    cause = _CAUSES.get(error.errno or 0) or (error.strerror or type(error).__name__)
    return OutputError(f"{path} could not be written: {cause}")


@contextmanager
def atomic_write(path: Path | str, mode: Literal["wb", "w"] = "wb") -> Iterator[IO[Any]]:
    """Open a file that takes its name only when the block ends without an error.

    A file of that name is replaced in one step; readers see the old or the new one, never a mixture. Text is
    UTF-8 with ``\\n`` line ends. If the block raises, nothing remains and the old file is untouched.

    Raises
    ------
    OutputError
        No space, no permission, no such folder, a folder of that name, a name too long.
    """
    target = Path(path)
    part = _part_of(target)
    try:
        _remove_stale_parts(target)
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        text: dict[str, Any] = {} if mode == "wb" else {"encoding": "utf-8", "newline": "\n"}
        file = part.open("xb" if mode == "wb" else "x", **text)
    except OSError as error:
        raise output_error(target, error) from error
    try:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
        finally:
            # Closing flushes again and can fail as writing did; the descriptor is released all the same.
            file.close()
        part.replace(target)
        _sync_folder(target.parent)
    except BaseException as error:
        _remove(part)
        if _concerns(error, part):
            raise output_error(target, error) from error
        raise


@contextmanager
def atomic_folder(path: Path | str, *, replace: bool, sign: str | None = None) -> Iterator[Path]:
    """A folder to write into that takes its name only when the block ends without an error.

    Yields the hidden folder. With ``replace``, an existing folder is set aside, the new one takes its place,
    and the old one is removed with all that is in it: between the two renames the name is absent, never
    half-written. ``sign`` protects folders of other people: only one that holds an entry of that name is replaced.
    Missing parent folders are made (and stay).

    Raises
    ------
    OutputError
        The destination exists and ``replace`` is false, is a file, or may not be replaced (see
        ``refuse_existing``); no space, no permission.
    """
    target = Path(path)
    refuse_existing(target, replace=replace, sign=sign)
    part = _part_of(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale_parts(target)
        part.mkdir()
    except OSError as error:
        raise output_error(target, error) from error
    try:
        yield part
        refuse_existing(target, replace=replace, sign=sign)  # it may have appeared meanwhile
        _swap_in(part, target)
    except BaseException as error:
        _remove(part)
        if _concerns(error, part):
            raise output_error(target, error) from error
        raise


def refuse_existing(target: Path, *, replace: bool, sign: str | None = None, keep: Iterable[Path | str] = ()) -> None:
    """Refuse a place for an output folder before any work is done.

    A folder that does not exist or is empty is a good place, unless it is the working folder. Another is one only
    with ``replace``, and then never one around the working folder, one that holds a path of ``keep`` (the inputs),
    or one without an entry named ``sign``.

    Raises
    ------
    OutputError
        One sentence that says which of these it is.
    """
    try:
        if target.is_symlink() or target.is_file():
            raise OutputError(f"{target} exists and is not a folder; choose another place for the output")
        if not target.is_dir():
            return
        occupied = any(target.iterdir())
        if occupied and not replace:
            raise OutputError(
                f"{target} exists already and is not empty; choose another folder, or allow replacing it (--overwrite)"
            )
        place = target.resolve()
        for path, what in ((Path.cwd(), "the working folder"), *((Path(k), "an input") for k in keep if occupied)):
            if path.resolve() == place or place in path.resolve().parents:
                raise OutputError(f"{target} holds {what} and is not replaced; choose another folder")
        if not occupied:
            return
        if sign is not None and not (target / sign).exists():
            raise OutputError(f"{target} holds something else than an earlier output (no {sign}) and is not replaced")
    except OSError as error:
        raise output_error(target, error) from error


def _concerns(error: BaseException, part: Path) -> TypeGuard[OSError]:
    """Whether an error is about what was being written, and not about something that was read meanwhile."""
    if not isinstance(error, OSError):
        return False
    named = [Path(os.fsdecode(name)) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    return error.errno in _NO_ROOM or not named or any(name == part or part in name.parents for name in named)


def _swap_in(part: Path, target: Path) -> None:
    old: Path | None = None
    if target.exists():
        old = _part_of(target)
        target.rename(old)
    try:
        part.rename(target)
    except OSError:
        if old is not None:
            old.rename(target)
        raise
    _sync_folder(target.parent)
    if old is not None:
        _remove(old)


def _part_of(target: Path) -> Path:
    if len(os.fsencode(target.name)) > 255:
        raise OutputError(f"{target} could not be written: the name is too long")
    return target.with_name(f".{target.name[:_LONGEST_STEM]}.{secrets.token_hex(6)}{PART_SUFFIX}")


def _remove_stale_parts(target: Path) -> None:
    """Clear what a crash left of an earlier write to this name; young parts may belong to a running one."""
    prefix, now = f".{target.name[:_LONGEST_STEM]}.", time.time()
    for entry in target.parent.iterdir():
        random = entry.name[len(prefix) : -len(PART_SUFFIX)]
        if entry.name.startswith(prefix) and entry.name.endswith(PART_SUFFIX) and len(random) == 12:
            with suppress(OSError):
                if now - entry.lstat().st_mtime > _STALE_AFTER_S:
                    _remove(entry)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable where the system offers it (not on Windows)."""
    if os.name != "posix":
        return
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
