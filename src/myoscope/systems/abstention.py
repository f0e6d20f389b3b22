"""How often a model abstains from maps that it should not answer: turned, cut, noise, and another site's camera.

A heart that is turned, a contour that stops short and a camera that nobody taught it are three kinds of strange. The
first two are made here from right maps; the last are true maps of patients imaged by cameras that took no part in the
teaching.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myoscope.core import InvalidValue
from myoscope.evaluate import Estimate, clustered_share
from myoscope.learn import Examples, TrainedModel
from myoscope.learn.wrong_turns import wrong_turns

AS_THEY_COME = "as they come"
_SHIFT_RINGS = 8
_BRIGHTEST = 100.0


@dataclass(frozen=True, slots=True)
class Abstention:
    """Share of some maps from which a model abstains, and of so many ``patients``; ``foreign`` says of which camera."""

    maps: str
    abstains: Estimate
    patients: int
    foreign: str = ""


def strange_maps(maps: NDArray[np.float32], *, rng: np.random.Generator) -> dict[str, NDArray[np.float32]]:
    """What becomes of right maps (study, channel, ring, angle) when something went wrong, by what it was."""
    n_angles = maps.shape[-1]
    found: dict[str, NDArray[Any]] = {name: maps[..., turned] for name, turned in wrong_turns(n_angles).items()}
    found["contour too short (base not reached)"] = np.roll(maps, _SHIFT_RINGS, axis=2)
    found["half of the wall missed"] = np.where(np.arange(n_angles) < n_angles // 2, 0, maps)
    found["noise in the place of a heart"] = rng.uniform(0, _BRIGHTEST, maps.shape)
    return {name: np.asarray(strange, np.float32) for name, strange in found.items()}


def taught_cameras(model: TrainedModel) -> tuple[str, ...]:
    """Cameras that a model was taught on.

    Raises
    ------
    InvalidValue
        Its card, of an earlier version, does not say.
    """
    if "cameras" not in model.card.numbers:
        raise InvalidValue(
            f"the card of {model.card.identifier} does not say which cameras taught it; train the model again"
        )
    return tuple(model.card.numbers["cameras"])


def of_foreign_cameras(examples: Examples, taught: Collection[str]) -> dict[str, Examples]:
    """Studies of each site whose camera is not among the ``taught`` ones, by "CAMERA of SITE".

    Raises
    ------
    InvalidValue
        The examples do not say site and camera.
    """
    if not {"site", "camera"} <= set(examples.about):
        raise InvalidValue("which studies come from a foreign camera needs the columns site and camera of the cohort")
    camera, site = (np.asarray(examples.about[name]).astype(str) for name in ("camera", "site"))
    foreign = ~np.isin(camera, sorted(taught))
    pairs = sorted(set(zip(camera[foreign].tolist(), site[foreign].tolist(), strict=True)))
    return {f"{c} of {s}": examples.rows((camera == c) & (site == s)) for c, s in pairs}


def abstention(
    model: TrainedModel,
    examples: Examples,
    *,
    rng: np.random.Generator,
    foreign: Mapping[str, Examples] | None = None,
) -> tuple[Abstention, ...]:
    """How often a model abstains from right maps, from the same maps spoilt, and from those of ``foreign`` cameras.

    Intervals count patients, some of whom have several studies.

    Raises
    ------
    InvalidValue
        Examples of other maps than the model takes.
    """
    maps, covariates = np.array(examples.maps), np.array(examples.covariates)
    rows = [_asked(AS_THEY_COME, model, examples, maps, covariates)]
    for name, strange in strange_maps(maps, rng=rng).items():
        rows.append(_asked(name, model, examples, strange, covariates))
    for name, others in (foreign or {}).items():
        found = _asked(f"of a camera that did not teach: {name}", model, others, others.maps, others.covariates)
        rows.append(Abstention(found.maps, found.abstains, found.patients, name))
    return tuple(rows)


def abstention_lines(rows: Sequence[Abstention]) -> list[str]:
    """As a table in Markdown."""
    lines = ["| maps | patients | abstains |", "|---|---|---|"]
    for row in rows:
        e = row.abstains
        said = f"{100 * e.value:.0f} % ({100 * e.low:.0f} to {100 * e.high:.0f})"
        lines.append(f"| {row.maps} | {row.patients} | {said} |")
    return lines


def _asked(
    name: str,
    model: TrainedModel,
    examples: Examples,
    maps: NDArray[np.float32],
    covariates: NDArray[np.float32],
) -> Abstention:
    if examples.channels != model.channels:
        raise InvalidValue(
            f"{model.card.identifier} takes the maps {', '.join(model.channels)}, not {', '.join(examples.channels)}"
        )
    patient = np.unique(examples.patient, return_inverse=True)[1]
    unusual = model.answers_to(np.asarray(maps, np.float32), np.asarray(covariates, np.float32)).unusual
    return Abstention(name, clustered_share(unusual, patient), int(patient.max()) + 1)
