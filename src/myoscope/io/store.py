"""Core types to a file and back, exactly.

A file is a NumPy archive (``.npz``): every array as it is, and ``header.json``, which says the type, the schema
version and the rest of the value, with arrays named where they belong. Nothing is pickled, so a file can hold
data and nothing else; ``numpy.load`` opens it without Myoscope. The same value gives the same bytes.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np

from myoscope import core
from myoscope.core import InvalidValue, UnreadableFile, UnsupportedFile
from myoscope.core.geometry import frozen
from myoscope.io.atomic import atomic_write

SCHEMA_VERSION = 1

_HEADER = "header.json"
_FORMAT = "myoscope"
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # the first moment a zip archive can name; a fixed one keeps the bytes the same

STORED_TYPES: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        core.Grid,
        core.CardiacFrame,
        core.Gating,
        core.EnergyWindow,
        core.Volume,
        core.Projections,
        core.Surfaces,
        core.PolarMap,
        core.Stated,
        core.Flag,
        core.SourceFile,
        core.Series,
        core.Study,
        core.Quantity,
        core.VolumeCurve,
        core.LimitsUsed,
        core.RegionValue,
        core.CurveFit,
        core.FlowCurves,
        core.FlowResult,
        core.ReserveResult,
        core.HeartResult,
        core.SeriesResult,
        core.PairResult,
        core.StudyResult,
        core.StudyKind,
        core.NormalLimits,
        core.Column,
        core.Cohort,
        core.Folds,
        core.Prediction,
        core.Explanation,
        core.Contribution,
        core.WhatIfCurve,
        core.ModelReport,
    )
}
"""What a file may hold, by the name in its header; nothing else is ever constructed from one."""

T = TypeVar("T")


def save(value: object, path: Path | str) -> None:
    """Store one value of a core type as ``path`` (``.npz``); the file appears whole or not at all.

    Raises
    ------
    InvalidValue
        The value, or something inside it, is not a core type, an array of numbers or text, or a plain value.
    OutputError
        The file cannot be written.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise InvalidValue(f"values are stored as .npz files, not {path.name}")
    if type(value).__name__ not in STORED_TYPES or not is_dataclass(value):
        raise InvalidValue(f"a {type(value).__name__} is not one of the types that can be stored")
    arrays: list[np.ndarray[Any, Any]] = []
    content = _encode(value, arrays)
    header = {"format": _FORMAT, "schema_version": SCHEMA_VERSION, "type": type(value).__name__, "value": content}
    with atomic_write(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        text = json.dumps(header, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        _add(archive, _HEADER, text.encode())
        for n, array in enumerate(arrays):
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, array, allow_pickle=False)
            _add(archive, f"array_{n}.npy", buffer.getvalue())


@overload
def load(path: Path | str) -> Any: ...
@overload
def load(path: Path | str, kind: type[T]) -> T: ...
def load(path: Path | str, kind: type[Any] | None = None) -> Any:
    """The value stored in ``path``, the same to the last bit; with ``kind``, checked to be of that type.

    Raises
    ------
    UnreadableFile
        No such file, not one of ours, damaged, or holding something that its own type refuses.
    UnsupportedFile
        Written by a newer version, or of another type than ``kind``.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            header = json.loads(archive.read(_HEADER))
            if not isinstance(header, dict) or header.get("format") != _FORMAT:
                raise UnreadableFile(f"{path.name} was not stored by Myoscope")
            version = header.get("schema_version")
            if not isinstance(version, int) or version > SCHEMA_VERSION:
                raise UnsupportedFile(
                    f"{path.name} has schema version {version}; this version of Myoscope knows up to {SCHEMA_VERSION}"
                )
            if kind is not None and header.get("type") != kind.__name__:
                raise UnsupportedFile(f"{path.name} holds a {header.get('type')}, not a {kind.__name__}")
            value = _decode(header["value"], archive)
            if type(value).__name__ != header["type"] or type(value).__name__ not in STORED_TYPES:
                raise UnreadableFile(f"{path.name} is damaged: it does not hold the {header['type']} that it announces")
            return value
    except FileNotFoundError as error:
        raise UnreadableFile(f"{path.name} does not exist") from error
    except (UnreadableFile, UnsupportedFile):
        raise
    except InvalidValue as error:
        raise UnreadableFile(f"{path.name} holds values that contradict each other: {error}") from error
    except KeyError as error:
        raise UnreadableFile(f"{path.name} was not stored by Myoscope, or parts of it are missing") from error
    except (
        zipfile.BadZipFile,
        zlib.error,
        ValueError,
        TypeError,
        AttributeError,
        EOFError,
        NotImplementedError,
        RuntimeError,
        RecursionError,
        MemoryError,
        OSError,
    ) as error:
        raise UnreadableFile(f"{path.name} is damaged or was not stored by Myoscope") from error


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _EARLIEST)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, content)


def _encode(value: object, arrays: list[np.ndarray[Any, Any]]) -> Any:
    """Plain JSON for a value; arrays are put aside and named. Anything JSON lacks is an object with a ``$`` key."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "biufcUSM":
            raise InvalidValue(f"an array of {value.dtype} cannot be stored without pickling")
        arrays.append(value)
        return {"$array": len(arrays) - 1}
    if isinstance(value, np.generic):
        return {"$scalar": _encode(np.asarray(value), arrays)}
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": repr(value)}
    if isinstance(value, tuple | list):
        items = [_encode(item, arrays) for item in value]
        return items if isinstance(value, list) else {"$tuple": items}
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise InvalidValue("a mapping is stored with names for keys")
        return {"$map": {key: _encode(item, arrays) for key, item in value.items()}}
    name = type(value).__name__
    if is_dataclass(value) and STORED_TYPES.get(name) is type(value):
        return {"$type": name, "fields": {f.name: _encode(getattr(value, f.name), arrays) for f in fields(value)}}
    raise InvalidValue(f"a {name} cannot be stored")


def _decode(node: Any, archive: zipfile.ZipFile) -> Any:
    if isinstance(node, list):
        return [_decode(item, archive) for item in node]
    if not isinstance(node, dict):
        return node
    if "$array" in node:
        raw = archive.read(f"array_{int(node['$array'])}.npy")
        return frozen(np.lib.format.read_array(io.BytesIO(raw), allow_pickle=False))
    if "$scalar" in node:
        return _decode(node["$scalar"], archive)[()]
    if "$float" in node:
        return float(node["$float"])
    if "$tuple" in node:
        return tuple(_decode(item, archive) for item in node["$tuple"])
    if "$map" in node:
        return {key: _decode(item, archive) for key, item in node["$map"].items()}
    kind = STORED_TYPES[node["$type"]]
    return kind(**{name: _decode(item, archive) for name, item in node["fields"].items()})
