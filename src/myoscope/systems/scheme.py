"""How a cohort judges a system that it teaches: folds of patients in rounds, or each site in turn, with nested folds.

A scheme only says who teaches and who is judged; `learn.Split` refuses a patient on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from myoscope.core import VESSELS, InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.learn import Examples, Split, cross_validation, leave_one_site_out
from myoscope.systems.contract import settings_with
from myoscope.systems.diagnosis import patient_label

_LEAST_FOLDS = 3
_NOT_CHOSEN = ("label", "external", "seed")
"""What decides who is judged by what, and not how well."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """Folds of patients, ``rounds`` times; or each site in turn where ``folds`` is 0.

    With ``candidates`` (each some settings, ``name=value``) the ``inner_folds`` of the patients who teach choose among
    them, anew in every fold and without a look at who is judged there.

    Raises
    ------
    InvalidValue
        Fewer than 3 folds, rounds of sites, candidates without nested folds or the reverse.
    """

    folds: int = 0
    rounds: int = 1
    inner_folds: int = 0
    candidates: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        if self.folds and self.folds < _LEAST_FOLDS:
            raise InvalidValue(f"cross-validation needs at least {_LEAST_FOLDS} folds, got {self.folds}")
        if self.rounds < 1 or (self.rounds > 1 and not self.folds):
            raise InvalidValue(
                f"rounds deal patients out to folds anew, so {self.rounds} of them need a number of folds; sites stay "
                "as they are"
            )
        if bool(self.inner_folds) != bool(self.candidates):
            raise InvalidValue("nested folds choose among candidates: give both --nested and --candidate, or neither")
        if self.candidates and len(self.candidates) < 2:
            raise InvalidValue("nested folds choose among at least two candidates; a single one is a setting (--set)")
        if self.inner_folds and self.inner_folds < _LEAST_FOLDS:
            raise InvalidValue(f"nested folds are at least {_LEAST_FOLDS}, got {self.inner_folds}")
        for change in (one for candidate in self.candidates for one in candidate):
            if change.partition("=")[0].strip() in _NOT_CHOSEN:
                raise InvalidValue(f"nested folds cannot choose {change!r}: it decides who is judged, or by what")

    @property
    def by_site(self) -> bool:
        """Whether each site is judged in turn."""
        return not self.folds

    def in_words(self) -> str:
        """For titles."""
        nested = f", settings chosen among {len(self.candidates)} by {self.inner_folds} nested folds"
        chosen = nested if self.candidates else ""
        if self.by_site:
            return f"each site judged by networks taught at the others{chosen}"
        rounds = f", {self.rounds} rounds" if self.rounds > 1 else ""
        return f"{self.folds} folds of patients{rounds}, each judged by networks taught on the others{chosen}"

    def splits(self, examples: Examples, *, seed: int) -> tuple[Split, ...]:
        """Who teaches and who is judged, the same for the same studies and seed.

        Raises
        ------
        InvalidValue
            Too few patients or sites, or a patient at two sites.
        """
        rng = np.random.default_rng([seed, 11])
        even = shared_out(examples)
        if self.by_site:
            site = examples.about["site"]
            return leave_one_site_out(examples.patient, site, rng=rng, even=even, inner_folds=self.inner_folds)
        return cross_validation(
            examples.patient, folds=self.folds, repeats=self.rounds, rng=rng, even=even, inner_folds=self.inner_folds
        )


def shared_out(examples: Examples) -> FloatArray:
    """What folds share out evenly (study,): disease of any vessel, or the first answer."""
    targets = examples.targets.astype(np.float64)
    return patient_label(targets) if examples.target_names == VESSELS else targets[:, 0]


def candidate_settings(settings: Any, candidates: Sequence[Sequence[str]]) -> list[Any]:
    """Settings of each candidate; the given ones alone where there is none.

    Raises
    ------
    InvalidValue
        No such setting, or two candidates that are the same.
    """
    if not candidates:
        return [settings]
    found = [settings_with(settings, list(changes)) for changes in candidates]
    if any(a == b for n, a in enumerate(found) for b in found[:n]):
        raise InvalidValue("two candidates are the same settings, so there is nothing to choose between them")
    return found
