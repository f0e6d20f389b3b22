"""A cohort as a folder: one table, one store of maps, one page that says what it is.

``cohort.parquet`` has one row per study; each column carries its meaning and unit. ``maps.zarr`` has one group per map
with an array over studies, in the order of the table. ``cohort.json`` holds the schema version, how the cohort was made
and its hash. The same cohort gives the same bytes with the same libraries, however many processes made it.

A map is stored in 8 bits with a scale and an offset per study (largest error 1/508 of the study's own range), as 8-bit
labels, or in 16-bit floating point; NaN (not seen, not acquired) stays NaN in each but labels, where it is 255.

A cohort that takes hours is made in parts (``write_part``): files that appear whole or not at all and are merged in
their order, one map at a time.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from myoscope.core import Cohort, Column, InvalidValue, UnreadableFile, UnsupportedFile
from myoscope.io.atomic import atomic_folder, atomic_write

if TYPE_CHECKING:
    import zarr

FOLDER_SCHEMA_VERSION = 1
TABLE, MAPS, COHORT_MANIFEST = "cohort.parquet", "maps.zarr", "cohort.json"

Encoding = Literal["8 bit", "label", "float16"]
_CODE: dict[str, Any] = {"8 bit": np.uint8, "label": np.uint8, "float16": np.float16}
_MISSING = 255
_STEPS = 254
_STUDIES_PER_CHUNK = 256
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_IDENTIFIERS = ("patient", "study")


@dataclass(frozen=True, slots=True)
class MapKind:
    """One map of every study: its name, what it means, its unit and shape, and how it is stored.

    Polar maps have shape (40, 72); short-axis volumes (i, j, k).
    """

    name: str
    meaning: str
    unit: str
    shape: tuple[int, ...] = (40, 72)
    encoding: Encoding = "8 bit"

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InvalidValue(f"a map's name is lower-case letters, digits and _; got {self.name!r}")
        if not self.meaning or not self.unit:
            raise InvalidValue(f"map {self.name} needs a word on what it means and a unit (1 for pure numbers)")
        if self.encoding not in _CODE:
            raise InvalidValue(f"a map is stored as {', '.join(_CODE)}, not {self.encoding!r}")
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))


@dataclass(frozen=True, eq=False, slots=True)
class EncodedMap:
    """Stored numbers of some studies and what makes values of them: value = offset + scale x code, per study."""

    code: NDArray[Any]
    scale: NDArray[np.float32]
    offset: NDArray[np.float32]

    @property
    def n_bytes(self) -> int:
        return int(self.code.nbytes + self.scale.nbytes + self.offset.nbytes)


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


@dataclass(frozen=True, eq=False, slots=True)
class CohortFolder:
    """A cohort read from its folder: the table at once, maps when they are asked for."""

    folder: Path
    cohort: Cohort
    kinds: tuple[MapKind, ...]
    sha256: str

    def kind(self, name: str) -> MapKind:
        """What a map is.

        Raises
        ------
        InvalidValue
            If the cohort has no such map.
        """
        for kind in self.kinds:
            if kind.name == name:
                return kind
        raise InvalidValue(f"the cohort has no map {name!r}; it has {', '.join(k.name for k in self.kinds) or 'none'}")

    def map(self, name: str, rows: NDArray[Any] | slice | None = None) -> NDArray[np.float32]:
        """One map of all studies, or of some rows of the table: float32, shape (study, ...); NaN where there is none.

        Raises
        ------
        InvalidValue
            If the cohort has no such map.
        UnreadableFile
            If the store of maps is damaged.
        """
        self.kind(name)
        return decode_map(self._encoded(name, slice(None) if rows is None else rows), self.kind(name).encoding)

    def verify(self) -> None:
        """Check table and maps against the hash of ``cohort.json``.

        Raises
        ------
        UnreadableFile
            If they are not what was written.
        """
        digest = _digest(self.cohort, self.kinds, lambda name: iter([self._encoded(name, slice(None))]))
        if digest != self.sha256:
            raise UnreadableFile(
                f"{self.folder.name} is not the cohort that its {COHORT_MANIFEST} describes (hash differs)"
            )

    def _encoded(self, name: str, rows: Any) -> EncodedMap:
        import zarr

        try:
            group = zarr.open_group(self.folder / MAPS, mode="r")
            arrays = (_zarr_array(group, f"{name}/{part}") for part in ("code", "scale", "offset"))
            return EncodedMap(*(np.asarray(array[:])[rows] for array in arrays))
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            raise UnreadableFile(f"{self.folder.name}/{MAPS} is damaged: map {name} cannot be read") from error


def encode_map(values: NDArray[Any], encoding: Encoding) -> EncodedMap:
    """Values (study, ...) as they are stored.

    Raises
    ------
    InvalidValue
        Infinite values, labels that are not whole numbers from 0 to 254, or numbers too large for 16-bit floats.
    """
    array = np.asarray(values, np.float32)
    n = array.shape[0]
    one, zero = np.ones(n, np.float32), np.zeros(n, np.float32)
    if np.isinf(array).any():
        raise InvalidValue("maps hold numbers or NaN, not infinity")
    seen = np.isfinite(array)
    if encoding == "float16":
        if np.abs(np.where(seen, array, 0)).max(initial=0) > 65504:
            raise InvalidValue("a map with numbers above 65504 does not fit 16-bit floats; store it in 8 bits")
        return EncodedMap(array.astype(np.float16), one, zero)
    if encoding == "label":
        whole = np.where(seen, np.rint(array), 0)
        if (np.where(seen, array, 0) != whole).any() or whole.min(initial=0) < 0 or whole.max(initial=0) >= _MISSING:
            raise InvalidValue("labels are whole numbers from 0 to 254")
        return EncodedMap(np.where(seen, whole, _MISSING).astype(np.uint8), one, zero)
    flat, known = array.reshape(n, -1), seen.reshape(n, -1)
    low = np.where(known, flat, np.inf).min(axis=1, initial=np.inf)
    high = np.where(known, flat, -np.inf).max(axis=1, initial=-np.inf)
    some = known.any(axis=1)
    offset = np.where(some, low, 0).astype(np.float32)
    scale = (np.where(some, high - np.where(some, low, 0), 0) / _STEPS).astype(np.float32)
    divisor = np.where(scale > 0, scale, 1)[:, None]
    code = np.rint((np.where(known, flat, offset[:, None]) - offset[:, None]) / divisor).clip(0, _STEPS)
    return EncodedMap(np.where(known, code, _MISSING).astype(np.uint8).reshape(array.shape), scale, offset)


def decode_map(encoded: EncodedMap, encoding: Encoding) -> NDArray[np.float32]:
    """The values of stored numbers, float32, NaN where there is none."""
    if encoding == "float16":
        return encoded.code.astype(np.float32)
    along = (-1, *(1 for _ in encoded.code.shape[1:]))
    values = encoded.offset.reshape(along) + encoded.scale.reshape(along) * encoded.code.astype(np.float32)
    result: NDArray[np.float32] = np.where(encoded.code == _MISSING, np.float32(np.nan), values).astype(np.float32)
    return result


def write_cohort(
    folder: Path | str,
    cohort: Cohort,
    maps: Mapping[MapKind, NDArray[Any]] | None = None,
    *,
    replace: bool = False,
) -> str:
    """Write a cohort and its maps as a folder, whole or not at all; returns its hash.

    ``maps`` holds an array (study, ...) per kind, in the order of the cohort's rows.

    Raises
    ------
    InvalidValue
        Maps of another shape or number of studies than announced, or numbers that cannot be stored.
    OutputError
        The folder exists (and may not be replaced) or cannot be written.
    """
    given = maps or {}
    kinds = tuple(given)
    part = CohortPart.of(cohort, kinds, {kind.name: values for kind, values in given.items()})
    return _write(Path(folder), cohort, kinds, lambda name: iter([part.maps[name]]), replace=replace)


def read_cohort(folder: Path | str) -> CohortFolder:
    """The cohort in a folder.

    Raises
    ------
    UnreadableFile
        No such folder, not a cohort, or damaged.
    UnsupportedFile
        Written by a newer version.
    """
    folder = Path(folder)
    try:
        manifest = json.loads((folder / COHORT_MANIFEST).read_text(encoding="utf-8"))
        version = manifest["schema_version"]
        if not isinstance(version, int) or version > FOLDER_SCHEMA_VERSION:
            raise UnsupportedFile(
                f"{folder.name} has schema version {version}; this version of Myoscope knows up to "
                f"{FOLDER_SCHEMA_VERSION}"
            )
        kinds = tuple(MapKind(**{**entry, "shape": tuple(entry["shape"])}) for entry in manifest["maps"])
        return CohortFolder(folder, _read_table(folder / TABLE, tuple(manifest["made_by"])), kinds, manifest["sha256"])
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UnreadableFile(f"{folder} is not a cohort folder ({COHORT_MANIFEST} or {TABLE} is missing)") from error
    except (InvalidValue, ValueError, KeyError, TypeError, OSError) as error:
        raise UnreadableFile(f"{folder} is damaged or not a cohort of Myoscope: {error}") from error


def write_part(path: Path | str, part: CohortPart) -> None:
    """Store a part of a cohort as one ``.npz`` file, whole or not at all.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    header = {
        "schema_version": FOLDER_SCHEMA_VERSION,
        "columns": [asdict(column) for column in part.cohort.columns],
        "made_by": list(part.cohort.made_by),
        "maps": [_entry(kind) for kind in part.kinds],
    }
    arrays: dict[str, NDArray[Any]] = {"header": np.frombuffer(json.dumps(header).encode(), np.uint8)}
    for name in _IDENTIFIERS:
        arrays[name] = getattr(part.cohort, name)
    for column in part.cohort.columns:
        arrays[f"column {column.name}"] = part.cohort[column.name]
    for kind in part.kinds:
        encoded = part.maps[kind.name]
        for what in ("code", "scale", "offset"):
            arrays[f"map {kind.name} {what}"] = getattr(encoded, what)
    with atomic_write(path) as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def read_part(path: Path | str) -> CohortPart:
    """A part of a cohort, as ``write_part`` stored it.

    Raises
    ------
    UnreadableFile
        No such file, damaged, or of another version.
    """
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            header = _part_header(archive)
            return _part_of(archive, header, [MapKind(**entry) for entry in header["maps"]])
    except (OSError, EOFError, KeyError, ValueError, TypeError) as error:
        raise UnreadableFile(f"{path.name} is not a part of a cohort, or damaged") from error


def merge_parts(
    paths: Sequence[Path | str], folder: Path | str, *, made_by: Sequence[str] | None = None, replace: bool = False
) -> str:
    """Put parts together, in the order given, as one cohort folder; returns its hash.

    Only one map is in memory at a time. ``made_by`` says how the whole came about; None takes what the first part says.

    Raises
    ------
    InvalidValue
        No parts, parts with other columns or maps than the first, or a study that is in two of them.
    UnreadableFile
        A part that is damaged.
    OutputError
        The folder exists (and may not be replaced) or cannot be written.
    """
    if not paths:
        raise InvalidValue("there are no parts to put together")
    tables = [_table_of_part(Path(path)) for path in paths]
    first, kinds = tables[0]
    for path, (cohort, others) in zip(paths, tables, strict=True):
        if cohort.columns != first.columns or others != kinds:
            raise InvalidValue(f"{Path(path).name} has other columns or maps than the first part; merge like with like")
    merged = Cohort(
        np.concatenate([cohort.patient for cohort, _ in tables]),
        np.concatenate([cohort.study for cohort, _ in tables]),
        first.columns,
        {column.name: np.concatenate([c[column.name] for c, _ in tables]) for column in first.columns},
        first.made_by if made_by is None else tuple(made_by),
    )

    def blocks(name: str) -> Iterator[EncodedMap]:
        for path in paths:
            yield _map_of_part(Path(path), name)

    return _write(Path(folder), merged, kinds, blocks, replace=replace)


def _part_header(archive: Any) -> dict[str, Any]:
    header = json.loads(archive["header"].tobytes())
    if header["schema_version"] != FOLDER_SCHEMA_VERSION:
        raise ValueError("another schema version")
    header["maps"] = [{**entry, "shape": tuple(entry["shape"])} for entry in header["maps"]]
    return dict(header)


def _part_of(archive: Any, header: Mapping[str, Any], kinds: Sequence[MapKind]) -> CohortPart:
    columns = tuple(Column(**entry) for entry in header["columns"])
    values = {column.name: archive[f"column {column.name}"] for column in columns}
    cohort = Cohort(archive["patient"], archive["study"], columns, values, tuple(header["made_by"]))
    maps = {
        kind.name: EncodedMap(*(archive[f"map {kind.name} {what}"] for what in ("code", "scale", "offset")))
        for kind in kinds
    }
    return CohortPart(cohort, tuple(kinds), maps)


def _table_of_part(path: Path) -> tuple[Cohort, tuple[MapKind, ...]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            header = _part_header(archive)
            return _part_of(archive, header, []).cohort, tuple(MapKind(**entry) for entry in header["maps"])
    except (OSError, EOFError, KeyError, ValueError, TypeError) as error:
        raise UnreadableFile(f"{path.name} is not a part of a cohort, or damaged") from error


def _map_of_part(path: Path, name: str) -> EncodedMap:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return EncodedMap(*(archive[f"map {name} {what}"] for what in ("code", "scale", "offset")))
    except (OSError, EOFError, KeyError, ValueError) as error:
        raise UnreadableFile(f"{path.name} is not a part of a cohort, or damaged") from error


def _write(
    folder: Path,
    cohort: Cohort,
    kinds: Sequence[MapKind],
    blocks: Callable[[str], Iterable[EncodedMap]],
    *,
    replace: bool,
) -> str:
    names = [kind.name for kind in kinds]
    if len(set(names)) != len(names):
        raise InvalidValue(f"two maps of a cohort have the same name: {', '.join(names)}")
    sha256 = _digest(cohort, kinds, blocks)
    manifest = {
        "schema_version": FOLDER_SCHEMA_VERSION,
        "n_studies": len(cohort),
        "n_patients": cohort.n_patients,
        "made_by": list(cohort.made_by),
        "sha256": sha256,
        "columns": [asdict(column) for column in cohort.columns],
        "maps": [_entry(kind) for kind in kinds],
    }
    with atomic_folder(folder, replace=replace, sign=COHORT_MANIFEST) as part:
        _write_table(part / TABLE, cohort)
        _write_maps(part / MAPS, len(cohort), kinds, blocks)
        text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
        (part / COHORT_MANIFEST).write_text(text, encoding="utf-8", newline="\n")
    return sha256


def _digest(cohort: Cohort, kinds: Sequence[MapKind], blocks: Callable[[str], Iterable[EncodedMap]]) -> str:
    """Hash of the table and of every map's stored numbers, independent of how either is cut or compressed."""
    digest = hashlib.sha256(f"cohort folder {FOLDER_SCHEMA_VERSION} {cohort.sha256}".encode())
    for kind in kinds:
        digest.update(json.dumps(_entry(kind), sort_keys=True).encode())
        parts = {what: hashlib.sha256() for what in ("code", "scale", "offset")}
        for block in blocks(kind.name):
            for what, each in parts.items():
                array = np.ascontiguousarray(getattr(block, what))
                each.update(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
        for each in parts.values():
            digest.update(each.digest())
    return digest.hexdigest()


def _entry(kind: MapKind) -> dict[str, Any]:
    return {**asdict(kind), "shape": list(kind.shape)}


def _write_table(path: Path, cohort: Cohort) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields = [
        pa.field(name, pa.string(), nullable=False, metadata={"meaning": f"identifier of the {name}, made up"})
        for name in _IDENTIFIERS
    ]
    arrays = [pa.array(getattr(cohort, name).tolist(), pa.string()) for name in _IDENTIFIERS]
    for column in cohort.columns:
        value = cohort[column.name]
        # NaN stays a number: Arrow's null would come back as something else than it went in as.
        array = pa.array(value.tolist() if value.dtype.kind == "U" else value, from_pandas=False)
        arrays.append(array)
        about = {"meaning": column.meaning, "unit": column.unit}
        fields.append(pa.field(column.name, array.type, nullable=False, metadata=about))
    table = pa.Table.from_arrays(arrays, schema=pa.schema(fields))
    pq.write_table(table, path, compression="zstd", version="2.6", row_group_size=65536)


def _read_table(path: Path, made_by: tuple[str, ...]) -> Cohort:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except pa.ArrowException as error:
        raise UnreadableFile(f"{path.name} is damaged or not a parquet table") from error
    columns, values = [], {}
    for field in table.schema:
        array = table.column(field.name).to_numpy(zero_copy_only=False)
        if array.dtype == object:
            array = np.array(array.tolist(), dtype=np.str_)
        values[field.name] = array
        if field.name not in _IDENTIFIERS:
            about = {key.decode(): text.decode() for key, text in (field.metadata or {}).items()}
            columns.append(Column(field.name, about.get("meaning", ""), about.get("unit", "")))
    patient, study = (values.pop(name) for name in _IDENTIFIERS)
    return Cohort(patient, study, tuple(columns), values, made_by)


def _write_maps(
    path: Path, n_studies: int, kinds: Sequence[MapKind], blocks: Callable[[str], Iterable[EncodedMap]]
) -> None:
    import zarr
    from zarr.codecs import ZstdCodec

    store = zarr.open_group(path, mode="w", zarr_format=3)
    for kind in kinds:
        group = store.create_group(kind.name, attributes=_entry(kind))
        shapes: dict[str, tuple[tuple[int, ...], Any]] = {
            "code": (kind.shape, _CODE[kind.encoding]),
            "scale": ((), np.float32),
            "offset": ((), np.float32),
        }
        collected: dict[str, list[NDArray[Any]]] = {what: [] for what in shapes}
        for block in blocks(kind.name):
            for what, pieces in collected.items():
                pieces.append(getattr(block, what))
        for what, (shape, dtype) in shapes.items():
            whole = np.concatenate(collected[what])
            chunk = min(_STUDIES_PER_CHUNK, n_studies) if what == "code" else n_studies
            array = group.create_array(
                what,
                shape=(n_studies, *shape),
                chunks=(chunk, *shape),
                dtype=dtype,
                compressors=ZstdCodec(level=9),
            )
            array[:] = whole


def _zarr_array(group: zarr.Group, name: str) -> Any:
    array = group[name]
    if not hasattr(array, "dtype"):
        raise ValueError(f"{name} is no array")
    return array
