"""Many studies as a table: one row per study, documented columns, and folds that keep a patient together."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from myoscope.core.errors import InvalidValue
from myoscope.core.geometry import frozen

COHORT_SCHEMA_VERSION = 1
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Column:
    """A column by its name, what it means, and its unit (``""`` for labels, counts, scores and flags).

    A column with a unit ends in it: ``dose_MBq``, ``flow_mL_min_g``, ``tpd_percent``.
    """

    name: str
    meaning: str
    unit: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InvalidValue(f"a column name is letters, digits and _, starting with a letter; got {self.name!r}")
        if not self.meaning:
            raise InvalidValue(f"column {self.name} needs a word on what it means")
        suffix = re.sub(r"\W+", "_", self.unit.replace("%", "percent")).strip("_")
        if self.unit and not self.name.endswith(f"_{suffix}"):
            raise InvalidValue(f"column {self.name} is in {self.unit}, so its name ends in _{suffix}")


@dataclass(frozen=True, eq=False, slots=True)
class Cohort:
    """Studies of patients: who, which, and what is known about each.

    ``patient`` and ``study`` hold one identifier per row (strings without identity: made-up or hashed); a patient
    may have many studies, a study one row. ``values`` holds one array per entry of ``columns``: numbers, booleans
    or strings; NaN is a missing number. ``made_by`` says how the cohort came about.
    """

    patient: NDArray[np.str_]
    study: NDArray[np.str_]
    columns: tuple[Column, ...]
    values: Mapping[str, NDArray[Any]]
    made_by: tuple[str, ...] = ()
    schema_version: int = COHORT_SCHEMA_VERSION

    def __post_init__(self) -> None:
        if self.schema_version != COHORT_SCHEMA_VERSION:
            raise InvalidValue(f"cohort schema {self.schema_version} is not the {COHORT_SCHEMA_VERSION} known here")
        for name in ("patient", "study"):
            object.__setattr__(self, name, _identifiers(getattr(self, name), name))
        if self.patient.size != self.study.size:
            raise InvalidValue(f"{self.patient.size} patient identifiers but {self.study.size} study identifiers")
        if np.unique(self.study).size != self.study.size:
            raise InvalidValue("a study has one row; some study identifiers appear twice")
        names = [column.name for column in self.columns]
        if len(set(names)) != len(names) or set(names) != set(self.values):
            raise InvalidValue(f"columns described {sorted(names)} and given {sorted(self.values)} are not the same")
        values = {}
        for name in names:
            value = frozen(self.values[name])
            if value.dtype.kind not in "biufU" or value.shape != self.patient.shape:
                raise InvalidValue(
                    f"column {name} needs a number or word for each of {self.patient.size} rows, "
                    f"got {value.dtype} of shape {value.shape}"
                )
            values[name] = value
        object.__setattr__(self, "columns", tuple(self.columns))
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "made_by", tuple(self.made_by))

    def __len__(self) -> int:
        return int(self.patient.size)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """One column's values."""
        if name not in self.values:
            raise InvalidValue(f"no column {name!r}; there are {', '.join(self.values) or 'none'}")
        return self.values[name]

    @property
    def n_patients(self) -> int:
        return int(np.unique(self.patient).size)

    @property
    def sha256(self) -> str:
        """Hash of identifiers, columns and values in their order; what it takes to be the same cohort."""
        digest = hashlib.sha256(f"cohort {self.schema_version}".encode())
        for name, array in (("patient", self.patient), ("study", self.study), *sorted(self.values.items())):
            digest.update(f"\n{name} {array.dtype.kind} {array.size}\n".encode())
            if array.dtype.kind == "U":
                # Not the padded memory: a longer word elsewhere must not change the hash of this one.
                digest.update("\0".join(array.tolist()).encode())
            else:
                little = array.astype(array.dtype.newbyteorder("<"))
                if little.dtype.kind == "f":
                    little[little != little] = np.nan  # one bit pattern for every missing number
                digest.update(f"{little.dtype.itemsize}\n".encode() + little.tobytes())
        return digest.hexdigest()

    def rows(self, index: ArrayLike, step: str) -> Cohort:
        """The cohort of some rows, by index or by a mask; ``step`` says which."""
        chosen = np.asarray(index)
        return Cohort(
            self.patient[chosen],
            self.study[chosen],
            self.columns,
            {name: value[chosen] for name, value in self.values.items()},
            (*self.made_by, step),
        )

    def split_by_patient(self, n_folds: int, *, rng: np.random.Generator, even: str | None = None) -> Folds:
        """Folds of nearly equal numbers of patients, in random order.

        ``even`` names a column whose patients are dealt out evenly (a patient counts by the largest value among
        the studies, so one abnormal study makes an abnormal patient).

        Raises
        ------
        InvalidValue
            Fewer than 2 folds, more folds than patients, or no such column.
        """
        names, row = np.unique(self.patient, return_inverse=True)
        if not 2 <= n_folds <= names.size:
            raise InvalidValue(f"{names.size} patients cannot be split into {n_folds} folds (2 or more, up to that)")
        order = rng.permutation(names.size)
        if even is not None:
            _, rank = np.unique(self[even], return_inverse=True)
            highest = np.full(names.size, -1)
            np.maximum.at(highest, row, rank)
            order = order[np.argsort(highest[order], kind="stable")]
        fold = np.empty(names.size, np.int64)
        fold[order] = np.arange(names.size) % n_folds
        return Folds(self.patient, fold[row], self.sha256)

    def __repr__(self) -> str:
        return (
            f"Cohort({len(self)} studies of {self.n_patients} patients, {len(self.columns)} columns, "
            f"sha256 {self.sha256[:12]})"
        )


@dataclass(frozen=True, eq=False, slots=True)
class Folds:
    """Which fold each row of a cohort is in; a patient with rows in two folds cannot be constructed.

    ``fold`` counts from 0 and every fold has a row; ``cohort_sha256`` says of which cohort.
    """

    patient: NDArray[np.str_]
    fold: NDArray[np.int64]
    cohort_sha256: str

    def __post_init__(self) -> None:
        patient, fold = _identifiers(self.patient, "patient"), frozen(self.fold, np.int64)
        if fold.shape != patient.shape:
            raise InvalidValue(f"{patient.size} rows but folds of shape {fold.shape}")
        if not np.array_equal(np.unique(fold), np.arange(fold.max() + 1)) or fold.max() < 1:
            raise InvalidValue("folds are numbered from 0 without a gap, and there are at least two")
        pairs = {(p, int(f)) for p, f in zip(patient.tolist(), fold.tolist(), strict=True)}
        if len(pairs) != np.unique(patient).size:
            raise InvalidValue("a patient is in two folds: training would see the patient it is tested on")
        object.__setattr__(self, "patient", patient)
        object.__setattr__(self, "fold", fold)

    @property
    def n_folds(self) -> int:
        return int(self.fold.max()) + 1

    def test_rows(self, fold: int) -> NDArray[np.intp]:
        """Rows to test on in one fold."""
        return np.flatnonzero(self.fold == self._checked(fold))

    def training_rows(self, fold: int) -> NDArray[np.intp]:
        """All other rows."""
        return np.flatnonzero(self.fold != self._checked(fold))

    def _checked(self, fold: int) -> int:
        if not 0 <= fold < self.n_folds:
            raise InvalidValue(f"there are folds 0 to {self.n_folds - 1}, not {fold}")
        return fold

    def __repr__(self) -> str:
        sizes = ", ".join(map(str, np.bincount(self.fold)))
        return f"Folds({self.n_folds} folds of {sizes} studies, cohort {self.cohort_sha256[:12]})"


def _identifiers(given: ArrayLike | Sequence[str], name: str) -> NDArray[np.str_]:
    identifiers = frozen(given)
    if identifiers.ndim != 1 or identifiers.size == 0 or identifiers.dtype.kind != "U":
        raise InvalidValue(f"a cohort needs a word per row as {name} identifier, got {identifiers.dtype}")
    if not all(identifiers.tolist()):
        raise InvalidValue(f"an empty {name} identifier would make strangers one {name}")
    return identifiers
