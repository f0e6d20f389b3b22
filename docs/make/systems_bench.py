"""Networks of the page on systems: taught on the reference registry when first asked for, judged on the external site.

Where things lie, how they are named there, and words that several parts of the page share.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from myoscope import io
from myoscope.core import InvalidValue
from myoscope.evaluate import Estimate
from myoscope.learn import Examples, TrainedModel, load_model
from myoscope.systems.contract import load_system, settings_with
from myoscope.systems.diagnosis import Prognosis, outside, patient_label
from myoscope.systems.run import prepare_examples, train_system

TEACHING = ("maps", "full")
TIERS = (*TEACHING, "low-likelihood")
_RESAMPLES, _RESAMPLES_OF_A_TRIAL = 1000, 100
KEY_LENGTH = 10


@dataclass(frozen=True)
class Network:
    """One network of this page: its system, the tier that teaches it, and the settings that set it apart."""

    label: str
    system: str
    tier: str
    changes: tuple[str, ...] = ()


WITHOUT_A_CAMERA = "betancur2018, taught without the external site's camera"
"""Of the sites of the reference registry, riverside has the camera of coast, the external one."""

NETWORKS = {
    one.label: one
    for one in (
        Network("betancur2018", "betancur2018", "maps"),
        Network("betancur2019", "betancur2019", "maps"),
        Network("betancur2019, upright alone", "betancur2019", "maps", ("images=stress_upright",)),
        Network("otaki2022", "otaki2022", "full"),
        Network("otaki2022, perfusion alone", "otaki2022", "full", ("function=false",)),
        Network("yeung2022", "yeung2022", "flow"),
        Network(WITHOUT_A_CAMERA, "betancur2018", "maps", ("external=riverside,coast",)),
        Network(
            "betancur2018, well patients more often",
            "betancur2018",
            "maps",
            ("strategy=without disease or defect", "times=4"),
        ),
    )
}


@dataclass(frozen=True, eq=False)
class Judged:
    """A taught network and what it says of the external site."""

    network: Network
    folder: Path
    examples: Examples
    prognosis: Prognosis
    model: TrainedModel

    @property
    def outcome(self) -> NDArray[np.bool_]:
        """Whether the patient has obstructive disease, of flow systems whether reserve is impaired (study,)."""
        if self.network.tier == "flow":
            return np.asarray(self.examples.targets[:, 0] > 0)
        return np.asarray(patient_label(self.examples.targets.astype(np.float64)) > 0)


@dataclass(eq=False)
class Bench:
    """Where things lie, what was asked for, and what has been made in this run.

    ``figures`` is the folder for pictures, which the page finds beside itself under that name.
    """

    registry: Path | None
    work: Path
    spectf: Path | None
    changes: tuple[str, ...]
    cases: int
    figures: Path = Path("figures")
    made: dict[str, Judged] = field(default_factory=dict)

    @property
    def resamples(self) -> int:
        """Of the bootstrap."""
        return _RESAMPLES_OF_A_TRIAL if self.changes else _RESAMPLES

    def cohort(self, tier: str) -> Path:
        if self.registry is None or not (self.registry / tier / io.COHORT_MANIFEST).exists():
            where = self.registry or Path("DIR")
            raise InvalidValue(
                f"there is no {tier} in the registry {where}; "
                f"myoscope simulate reference --tier {tier} --out {where / tier} makes it"
            )
        return self.registry / tier

    @cached_property
    def hashes(self) -> Mapping[str, str]:
        """SHA-256 of each tier that is there."""
        found = {}
        for tier in (*TIERS, "flow"):
            if self.registry is not None and (self.registry / tier / io.COHORT_MANIFEST).exists():
                found[tier] = io.read_cohort(self.registry / tier).sha256
        return found

    def examples(self, network: Network) -> Examples:
        """Everything that a network may be shown, external site and all."""
        system = load_system(network.system)
        settings = settings_with(system.Settings(), [*network.changes, *self.changes])
        return prepare_examples(system, settings, [self.cohort(network.tier)], self.normals(network))

    def normals(self, network: Network) -> list[Path]:
        return [] if network.tier == "flow" else [self.cohort("low-likelihood")]

    def judged(self, label: str) -> Judged:
        """The network, taught if it is not yet, and its answers for the external site."""
        if label not in self.made:
            network = NETWORKS[label]
            folder = self.work / "models" / file_name(label)
            if not (folder / f"{network.system}.json").exists():
                say(f"teaching {label}")
                train_system(
                    network.system,
                    [self.cohort(network.tier)],
                    folder,
                    normals=self.normals(network),
                    changes=[*network.changes, *self.changes],
                )
            model = load_model(folder, network.system)
            system = load_system(network.system)
            examples = self.examples(network)
            external = outside(examples, model.card.settings["external"])
            if len(external) == len(examples):
                raise InvalidValue(f"nobody in {network.tier} is from {', '.join(model.card.settings['external'])}")
            self.made[label] = Judged(network, folder, external, system.predict(external, model), model)
        return self.made[label]


def file_name(words: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in words.lower()).split())


def key(words: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:KEY_LENGTH]


def say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", flush=True)


def percent(found: Estimate) -> str:
    if np.isnan(found.low):
        return f"{100 * found.value:.0f} %"
    return f"{100 * found.value:.0f} % ({100 * found.low:.0f} to {100 * found.high:.0f})"
