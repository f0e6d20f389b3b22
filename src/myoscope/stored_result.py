"""The result of an earlier analysis, read back from its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from myoscope.core import UnreadableFile, UnsupportedFile

RESULT_FILE = "result.json"
_READS_MAJOR = 1


def read_result(place: Path) -> dict[str, Any]:
    """The content of ``result.json``; ``place`` is its folder or the file itself.

    Raises
    ------
    UnreadableFile
        No such file, damaged, or no result of an analysis.
    UnsupportedFile
        Written in a later format.
    """
    path = place / RESULT_FILE if place.is_dir() else place
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = str(content["schema_version"])
        major = int(version.split(".")[0])
        content["series"], content["pairs"]
    except FileNotFoundError as error:
        raise UnreadableFile(f"{place.name} holds no result.json: is it a folder that analyze wrote?") from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UnreadableFile(f"{place.name} holds no sound result of an analysis: damaged, or another file") from error
    if major > _READS_MAJOR:
        raise UnsupportedFile(
            f"{place.name} has result format {version}; this version of Myoscope reads {_READS_MAJOR}.x"
        )
    result: dict[str, Any] = content
    return result
