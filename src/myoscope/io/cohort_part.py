"""Some studies of a cohort as one small file, whole or not at all; parts are merged into a cohort folder.

A part is a zip archive: ``header.json`` (columns and their text, maps, provenance), ``numbers`` (columns that are
numbers), and a member per map. Polar maps are smooth, so that of their 8-bit codes the difference from what three
neighbours foretell is stored, which takes half of the bytes; nothing is lost.
"""

from __future__ import annotations

import json
import lzma
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myoscope.core import Cohort, Column, InvalidValue, UnreadableFile
from myoscope.io.atomic import atomic_write
from myoscope.io.map_encoding import CODES, EncodedMap, MapKind, encode_map

PART_SCHEMA_VERSION = 2
PART_SUFFIX = ".part.zip"
_HEADER, _NUMBERS, _MAP = "header.json", "numbers", "map {}"
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the same studies give the same bytes
_DAMAGED = (OSError, EOFError, KeyError, ValueError, TypeError, lzma.LZMAError, zipfile.BadZipFile)


@dataclass(frozen=True, eq=False, slots=True)
class CohortPart:
    """Some studies of a cohort with their maps, encoded; parts with the same columns and maps can be merged."""

    cohort: Cohort
    kinds: tuple[MapKind, ...]
    maps: Mapping[str, EncodedMap]

    def __post_init__(self) -> None:
        if [kind.name for kind in self.kinds] != list(self.maps):
            raise InvalidValue(f"maps described {[k.name for k in self.kinds]} and given {list(self.maps)} differ")
        for kind in self.kinds:
            shape = self.maps[kind.name].code.shape
            if shape != (len(self.cohort), *kind.shape):
                raise InvalidValue(
                    f"map {kind.name} needs shape {(len(self.cohort), *kind.shape)} (study, ...), got {shape}"
                )

    @classmethod
    def of(cls, cohort: Cohort, kinds: Sequence[MapKind], values: Mapping[str, NDArray[Any]]) -> CohortPart:
        """Encode the maps of a cohort; ``values`` holds an array (study, ...) per kind, NaN where there is none."""
        if set(values) != {kind.name for kind in kinds}:
            raise InvalidValue(f"maps described {sorted(k.name for k in kinds)} and given {sorted(values)} differ")
        return cls(cohort, tuple(kinds), {kind.name: encode_map(values[kind.name], kind.encoding) for kind in kinds})


def write_part(path: Path | str, part: CohortPart) -> None:
    """Store a part of a cohort as one file, whole or not at all.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    texts = {"patient": part.cohort.patient.tolist(), "study": part.cohort.study.tolist()}
    kept: dict[str, str] = {}
    numbers = b""
    for column in part.cohort.columns:
        value = part.cohort[column.name]
        if value.dtype.kind == "U":
            texts[f"column {column.name}"] = value.tolist()
            continue
        stored = _narrowed(value)
        kept[column.name] = stored.dtype.str
        numbers += _planes(stored)
    header = {
        "schema_version": PART_SCHEMA_VERSION,
        "columns": [asdict(column) for column in part.cohort.columns],
        "types": {column.name: part.cohort[column.name].dtype.str for column in part.cohort.columns},
        "kept_as": kept,
        "made_by": list(part.cohort.made_by),
        "maps": [kind.entry() for kind in part.kinds],
        "texts": texts,
    }
    with atomic_write(path) as file, zipfile.ZipFile(file, "w") as archive:
        _put(archive, _HEADER, json.dumps(header, ensure_ascii=False).encode())
        _put(archive, _NUMBERS, numbers)
        for kind in part.kinds:
            encoded = part.maps[kind.name]
            pieces = [_planes(encoded.scale), _planes(encoded.offset), _foretold(encoded.code, kind).tobytes()]
            _put(archive, _MAP.format(kind.name), b"".join(pieces))


def read_part(path: Path | str) -> CohortPart:
    """A part of a cohort, as ``write_part`` stored it.

    Raises
    ------
    UnreadableFile
        No such file, damaged, or of another version.
    """
    cohort, kinds = read_part_table(path)
    return CohortPart(cohort, kinds, {kind.name: read_part_map(path, kind, len(cohort)) for kind in kinds})


def read_part_table(path: Path | str) -> tuple[Cohort, tuple[MapKind, ...]]:
    """The table of a part and what maps it holds; raises as `read_part`."""
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            header = json.loads(archive.read(_HEADER))
            numbers = archive.read(_NUMBERS)
        if header["schema_version"] != PART_SCHEMA_VERSION:
            raise ValueError("another schema version")
        texts = {name: np.array(values, np.str_) for name, values in header["texts"].items()}
        n, at = len(texts["patient"]), 0
        values: dict[str, NDArray[Any]] = {}
        columns = tuple(Column(**entry) for entry in header["columns"])
        for column in columns:
            if (kept_as := header["kept_as"].get(column.name)) is None:
                values[column.name] = texts[f"column {column.name}"]
                continue
            stored, at = _from_planes(numbers, at, n, kept_as)
            values[column.name] = stored.astype(header["types"][column.name])
        kinds = tuple(MapKind(**{**entry, "shape": tuple(entry["shape"])}) for entry in header["maps"])
        return Cohort(texts["patient"], texts["study"], columns, values, tuple(header["made_by"])), kinds
    except (*_DAMAGED, InvalidValue) as error:
        raise UnreadableFile(f"{path.name} is not a part of a cohort, or damaged") from error


def read_part_map(path: Path | str, kind: MapKind, n_studies: int) -> EncodedMap:
    """One map of a part; raises as `read_part`."""
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            raw = archive.read(_MAP.format(kind.name))
        scale, at = _from_planes(raw, 0, n_studies, "<f4")
        offset, at = _from_planes(raw, at, n_studies, "<f4")
        code = np.frombuffer(raw, CODES[kind.encoding], offset=at).reshape(n_studies, *kind.shape)
        return EncodedMap(_as_it_was(code, kind), scale, offset)
    except _DAMAGED as error:
        raise UnreadableFile(f"{path.name} is not a part of a cohort, or damaged") from error


def _put(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    member = zipfile.ZipInfo(name, date_time=_LONG_AGO)
    archive.writestr(member, content, compress_type=zipfile.ZIP_LZMA)


def _narrowed(value: NDArray[Any]) -> NDArray[Any]:
    """Numbers in single precision where that loses nothing."""
    if value.dtype != np.float64:
        return value
    with np.errstate(over="ignore"):
        single = value.astype(np.float32)
    return single if np.array_equal(single.astype(np.float64), value, equal_nan=True) else value


def _planes(values: NDArray[Any]) -> bytes:
    """All first bytes, then all second ones, ...: alike bytes side by side compress better."""
    plain = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"), copy=False))
    return plain.view(np.uint8).reshape(len(plain), -1).T.tobytes()


def _from_planes(raw: bytes, at: int, n: int, dtype: str) -> tuple[NDArray[Any], int]:
    """``n`` numbers from the place ``at``, and the place after them."""
    kind = np.dtype(dtype)
    end = at + n * kind.itemsize
    planes = np.frombuffer(raw[at:end], np.uint8).reshape(kind.itemsize, n)
    return np.ascontiguousarray(planes.T).view(kind)[:, 0].astype(kind.newbyteorder("=")), end


def _is_smooth(kind: MapKind) -> bool:
    return kind.encoding == "8 bit" and len(kind.shape) >= 2


def _foretold(code: NDArray[Any], kind: MapKind) -> NDArray[Any]:
    """Codes less what the neighbours before them along the last two axes foretell (left + upper - upper left)."""
    if not _is_smooth(kind):
        return code
    down = np.diff(code, axis=-2, prepend=np.zeros_like(code[..., :1, :]))
    return np.diff(down, axis=-1, prepend=np.zeros_like(down[..., :1]))


def _as_it_was(stored: NDArray[Any], kind: MapKind) -> NDArray[Any]:
    if not _is_smooth(kind):
        return stored.copy()
    across: NDArray[Any] = np.cumsum(stored, axis=-1, dtype=np.uint8)
    return np.cumsum(across, axis=-2, dtype=np.uint8)
