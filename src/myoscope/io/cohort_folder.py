"""A cohort as a folder: one table, one store of maps, one page that says what it is.

``cohort.parquet`` has one row per study; each column carries its meaning and unit. ``maps.zarr`` has one group per map
with an array over studies, in the order of the table. ``cohort.json`` holds the schema version, how the cohort was made
and its hash. The same cohort gives the same bytes with the same libraries, however many processes made it.

A cohort that takes hours is made in parts (`cohort_part`), which are merged in their order, one map at a time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from myoscope.core import Cohort, Column, InvalidValue, UnreadableFile, UnsupportedFile
from myoscope.io.atomic import atomic_folder
from myoscope.io.cohort_part import CohortPart, read_part_map, read_part_table
from myoscope.io.map_encoding import CODES, EncodedMap, MapKind, decode_map

if TYPE_CHECKING:
    import zarr

FOLDER_SCHEMA_VERSION = 1
TABLE, MAPS, COHORT_MANIFEST = "cohort.parquet", "maps.zarr", "cohort.json"

_STUDIES_PER_CHUNK = 256
_IDENTIFIERS = ("patient", "study")


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
    tables = [read_part_table(path) for path in paths]
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
        kind = next(kind for kind in kinds if kind.name == name)
        for path, (cohort, _) in zip(paths, tables, strict=True):
            yield read_part_map(path, kind, len(cohort))

    return _write(Path(folder), merged, kinds, blocks, replace=replace)


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
        "maps": [kind.entry() for kind in kinds],
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
        digest.update(json.dumps(kind.entry(), sort_keys=True).encode())
        parts = {what: hashlib.sha256() for what in ("code", "scale", "offset")}
        for block in blocks(kind.name):
            for what, each in parts.items():
                array = np.ascontiguousarray(getattr(block, what))
                each.update(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
        for each in parts.values():
            digest.update(each.digest())
    return digest.hexdigest()


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
        group = store.create_group(kind.name, attributes=kind.entry())
        shapes: dict[str, tuple[tuple[int, ...], Any]] = {
            "code": (kind.shape, CODES[kind.encoding]),
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
