"""A file appears whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from myoscope.core import OutputError


def place_file(path: Path, content: bytes) -> None:
    """Write a file under another name beside its place, then rename it.

    Raises
    ------
    OutputError
        If the folder does not exist, cannot be written, or the disk is full; nothing is left behind.
    """
    path = Path(path)
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(path)
    except OSError as error:
        if temporary:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
        raise OutputError(f"{path}: could not be written ({error.strerror or error}).") from error
