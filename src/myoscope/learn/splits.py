"""Which studies teach, which decide when to stop, and which are judged: folds, nested folds, sites.

A patient on two sides of a split cannot be constructed. Everything that is fitted (scales, limits, temperature,
thresholds) is fitted on ``training`` and ``validation``; ``test`` is looked at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from myoscope.core import InvalidValue
from myoscope.core.geometry import frozen

_VALIDATION_SHARE = 0.15

Rows = NDArray[np.intp]


@dataclass(frozen=True, eq=False, slots=True)
class Split:
    """Rows to train on, to validate on and to test on; ``patient`` (n,) of all rows proves that nobody is on two sides.

    ``inner`` splits the training and validation rows again, to choose settings without a look at the test rows.
    """

    name: str
    patient: NDArray[np.str_]
    training: Rows
    validation: Rows
    test: Rows
    inner: tuple[Split, ...] = field(default=())

    def __post_init__(self) -> None:
        patient = frozen(self.patient)
        sides = {}
        for side in ("training", "validation", "test"):
            rows = frozen(getattr(self, side), np.intp)
            if rows.size and not 0 <= rows.min() <= rows.max() < patient.size:
                raise InvalidValue(f"split {self.name}: {side} rows lie outside the {patient.size} there are")
            object.__setattr__(self, side, rows)
            sides[side] = set(patient[rows].tolist())
        if not sides["training"] or not sides["test"]:
            raise InvalidValue(f"split {self.name} needs patients to train on and patients to test on")
        for a, b in (("training", "validation"), ("training", "test"), ("validation", "test")):
            if sides[a] & sides[b]:
                raise InvalidValue(
                    f"split {self.name}: {len(sides[a] & sides[b])} patients are in {a} and in {b}; the network would "
                    "see the patients it is judged by"
                )
        object.__setattr__(self, "patient", patient)

    def __repr__(self) -> str:
        n = (self.training.size, self.validation.size, self.test.size)
        return f"Split({self.name}: {n[0]} to train, {n[1]} to validate, {n[2]} to test)"


def patient_groups(
    patient: ArrayLike, n_groups: int, *, rng: np.random.Generator, even: ArrayLike | None = None
) -> NDArray[np.int64]:
    """A group (n,) from 0 for each row, nearly equal numbers of patients in each, all rows of a patient in one.

    ``even`` (n,) is dealt out evenly, such as the outcome: a patient counts by the largest of his values.

    Raises
    ------
    InvalidValue
        Fewer than 2 groups, or more than patients.
    """
    names, row = np.unique(np.asarray(patient), return_inverse=True)
    if not 2 <= n_groups <= names.size:
        raise InvalidValue(f"{names.size} patients cannot be split into {n_groups} groups (2 or more, up to that)")
    order = rng.permutation(names.size)
    if even is not None:
        level = np.full(names.size, -np.inf)
        np.maximum.at(level, row, np.nan_to_num(np.asarray(even, np.float64), nan=-1.0))
        order = order[np.argsort(level[order], kind="stable")]
    group = np.empty(names.size, np.int64)
    group[order] = np.arange(names.size) % n_groups
    found: NDArray[np.int64] = group[row]
    return found


def cross_validation(
    patient: ArrayLike,
    *,
    folds: int,
    rng: np.random.Generator,
    repeats: int = 1,
    even: ArrayLike | None = None,
    inner_folds: int = 0,
) -> tuple[Split, ...]:
    """Patient-wise cross-validation: every patient is tested once in each of ``repeats`` rounds.

    The fold after the tested one validates (early stopping, temperature); with ``inner_folds`` the other rows are also
    split into that many folds of their own (nested cross-validation).

    Raises
    ------
    InvalidValue
        Fewer than 3 folds (one trains, one validates, one tests), or more than patients; no round.
    """
    who = np.asarray(patient)
    if repeats < 1:
        raise InvalidValue(f"cross-validation goes at least one round, got {repeats}")
    if folds < 3:
        raise InvalidValue(f"cross-validation needs at least 3 folds (to train, to validate, to test), got {folds}")
    if inner_folds and inner_folds < 3:
        raise InvalidValue(f"nested folds are at least 3, got {inner_folds}")
    splits = []
    for repeat in range(repeats):
        group = patient_groups(who, folds, rng=rng, even=even)
        for fold in range(folds):
            next_fold = (fold + 1) % folds
            name = f"fold {fold}" if repeats == 1 else f"round {repeat}, fold {fold}"
            inner = _nested(name, who, np.flatnonzero(group != fold), inner_folds, rng, even) if inner_folds else ()
            splits.append(
                Split(
                    name,
                    who,
                    np.flatnonzero((group != fold) & (group != next_fold)),
                    np.flatnonzero(group == next_fold),
                    np.flatnonzero(group == fold),
                    inner,
                )
            )
    return tuple(splits)


def _nested(
    name: str, who: NDArray[np.str_], rest: Rows, folds: int, rng: np.random.Generator, even: ArrayLike | None
) -> tuple[Split, ...]:
    """The rows that are not tested, split again into folds of their own."""
    levels = None if even is None else np.asarray(even)[rest]
    within = cross_validation(who[rest], folds=folds, rng=rng, even=levels)
    return tuple(
        Split(f"{name}, inner {s.name}", who, rest[s.training], rest[s.validation], rest[s.test]) for s in within
    )


def leave_one_site_out(
    patient: ArrayLike,
    site: ArrayLike,
    *,
    rng: np.random.Generator,
    even: ArrayLike | None = None,
    inner_folds: int = 0,
) -> tuple[Split, ...]:
    """One split per site: trained and validated on the others, tested on this one; ``inner_folds`` as for folds.

    Raises
    ------
    InvalidValue
        Fewer than two sites, a patient at two of them, or fewer than 3 nested folds.
    """
    where = np.asarray(site)
    names = np.unique(where)
    if names.size < 2:
        raise InvalidValue(f"leaving a site out needs another one; all rows are from {names[0]}")
    if inner_folds and inner_folds < 3:
        raise InvalidValue(f"nested folds are at least 3, got {inner_folds}")
    who, splits = np.asarray(patient), []
    for name in names:
        split = external_site(who, where, [str(name)], rng=rng, even=even)
        if inner_folds:
            rest = np.flatnonzero(where != name)
            split = replace(split, inner=_nested(split.name, who, rest, inner_folds, rng, even))
        splits.append(split)
    return tuple(splits)


def external_site(
    patient: ArrayLike,
    site: ArrayLike,
    external: Sequence[str],
    *,
    rng: np.random.Generator,
    even: ArrayLike | None = None,
) -> Split:
    """Everything of the ``external`` sites is tested on; of the other patients 15 % validate and the rest train.

    Raises
    ------
    InvalidValue
        No row of those sites, or no other row.
    """
    who, where = np.asarray(patient), np.asarray(site)
    tested = np.isin(where, external)
    if not tested.any() or tested.all():
        raise InvalidValue(
            f"testing on {', '.join(external)} needs rows of these and of other sites; there are "
            f"{', '.join(np.unique(where).tolist())}"
        )
    rest = np.flatnonzero(~tested)
    levels = None if even is None else np.asarray(even)[rest]
    n_groups = min(round(1 / _VALIDATION_SHARE), np.unique(who[rest]).size)
    group = patient_groups(who[rest], n_groups, rng=rng, even=levels)
    return Split(f"external {'+'.join(external)}", who, rest[group > 0], rest[group == 0], np.flatnonzero(tested))
