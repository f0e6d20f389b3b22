"""Whether a system knows sex, age, site or camera, and whether its answer leans on it at equal truth.

One network of the ensemble is asked, in studies that it did not learn from: those of sites that took no part, and the
training patients of its own left-out fold. Features are what its last layer sees; truth is the outcome and the total
perfusion deficit, which the answer may rightly hang on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.evaluate import LevelAudit, Shortcut, audit_levels, audit_shortcut, level_lines, shortcut_lines
from myoscope.evaluate.shortcuts import LEAST_PER_LEVEL
from myoscope.learn import Examples
from myoscope.systems.diagnosis import patient_label
from myoscope.systems.explanation import Explainer

_AT_ONCE = 256
LEVELS = ("site", "camera", "tracer")
"""Attributes of several levels, by their columns."""


@dataclass(frozen=True, slots=True)
class ShortcutAudit:
    """Attributes that patients have or have not, and those of several levels; ``n`` studies of ``patients``.

    ``not_asked`` says of which attributes nothing can be said, and why.
    """

    shortcuts: tuple[Shortcut, ...]
    levels: tuple[LevelAudit, ...]
    n: int
    patients: int
    not_asked: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """As a table in Markdown, what is said of site and camera as a whole under it."""
        every = [*self.shortcuts, *(one for audit in self.levels for one in audit.levels)]
        return [
            f"{self.n} studies of {self.patients} patients from whom the network did not learn.",
            "",
            *shortcut_lines(every),
            "",
            *level_lines(self.levels),
            *(f"* {one}" for one in self.not_asked),
        ]


def features_of(explainer: Explainer, examples: Examples, *, member: int = 0) -> FloatArray:
    """What the last layer of one network of an ensemble sees of each study, (study, feature)."""
    import torch

    network: Any = explainer.ensemble
    parts = []
    with torch.no_grad():
        for first in range(0, len(examples), _AT_ONCE):
            chosen = slice(first, first + _AT_ONCE)
            given = [torch.from_numpy(np.array(array[chosen])) for array in (examples.maps, examples.covariates)]
            parts.append(network.members[member].embedding(*given).numpy().astype(np.float64))
    features: FloatArray = np.concatenate(parts)
    return features


def not_learned_from(examples: Examples, folder: Path, *, member: int = 0) -> NDArray[np.bool_]:
    """Which studies (study,) one network of the model in a folder did not learn from.

    Raises
    ------
    InvalidValue
        The model was written by an earlier version, which did not say who judged whom.
    """
    with np.load(folder / "out_of_fold.npz", allow_pickle=False) as kept:
        if "member" not in kept.files:
            raise InvalidValue(
                f"{folder.name} does not say which network learned from whom; it was written by an earlier version"
            )
        learned = kept["study"][kept["member"] != member]
    unseen: NDArray[np.bool_] = ~np.isin(examples.study, learned)
    return unseen


def audit_system(
    explainer: Explainer,
    examples: Examples,
    *,
    rng: np.random.Generator,
    member: int = 0,
    resamples: int = 500,
) -> ShortcutAudit:
    """Sex, age, body mass, diabetes, site, camera and tracer: read from the features, and leant on?

    ``examples`` are studies that the network did not learn from (`not_learned_from`); those without a label are left
    out. What nearly all of them share is not asked, and that is said.

    Raises
    ------
    InvalidValue
        Nobody's label is known, or a network that does not show its features.
    """
    known = np.isfinite(examples.targets).all(axis=1)
    if not known.any():
        raise InvalidValue("an audit of shortcuts needs studies whose label is known")
    used = examples.rows(np.flatnonzero(known))
    features = features_of(explainer, used, member=member)
    logits = explainer.model.logits(np.array(used.maps), np.array(used.covariates))[:, member]
    outcome = patient_label(used.targets.astype(np.float64))
    truth = [outcome]
    if "tpd_percent" in used.about:
        truth.append(np.log1p(np.asarray(used.about["tpd_percent"], np.float64)))
    equal = np.stack(truth, axis=1)
    log_odds = logits.max(axis=1)
    shortcuts, levels, not_asked = [], [], []
    for name, has in _traits(used.about).items():
        counts = [np.unique(used.patient[has == one]).size for one in (True, False)]
        if min(counts) < LEAST_PER_LEVEL:
            not_asked.append(f"{name}: not asked, {counts[0]} patients are so and {counts[1]} are not")
            continue
        shortcuts.append(
            audit_shortcut(name, has, features, log_odds, equal, rng=rng, patient=used.patient, resamples=resamples)
        )
    for name in (one for one in LEVELS if one in used.about):
        try:
            levels.append(
                audit_levels(
                    name,
                    used.about[name],
                    features,
                    log_odds,
                    equal,
                    rng=rng,
                    patient=used.patient,
                    resamples=resamples,
                )
            )
        except InvalidValue as error:
            not_asked.append(f"{name}: not asked, {error}")
    return ShortcutAudit(
        tuple(shortcuts), tuple(levels), len(used), int(np.unique(used.patient).size), tuple(not_asked)
    )


def _traits(about: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.bool_]]:
    """What patients have or have not, as far as the cohort says it."""
    found = {}
    if "sex" in about:
        found["man"] = np.asarray(about["sex"] == "M")
    for column, name, cut in (
        ("age_y", "65 years or older", 65.0),
        ("bmi_kg_m2", "BMI of 30 or more", 30.0),
        ("diabetes", "diabetes", 1.0),
    ):
        if column in about and np.isfinite(np.asarray(about[column], np.float64)).all():
            found[name] = np.asarray(about[column], np.float64) >= cut
    return found
