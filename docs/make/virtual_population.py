"""Many virtual patients as arrays, without images: what calibration and the population page are computed from."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from myoscope.core import VESSELS
from myoscope.simulate.contraction import contract
from myoscope.simulate.deficit import SHARE_OF_WALL
from myoscope.simulate.outcome import FollowUp, HeartSummary, follow_up
from myoscope.simulate.person import Person
from myoscope.simulate.population_columns import facts_row
from myoscope.simulate.population_constants import CALIBRATED, Calibrated
from myoscope.simulate.readers import Appearance
from myoscope.simulate.referral import CT_KNOWN_SHARE, PatientFacts, Population, draw_patient_facts, referral_evidence
from myoscope.simulate.sites import SITES

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class VirtualPopulation:
    """Patients of all sites. ``row`` holds documented columns as arrays; the rest is per patient, in order."""

    row: dict[str, NDArray[np.generic]]
    person: list[Person]
    heart: list[HeartSummary]
    shown: list[Appearance]
    evidence: Array  # without and with a CT that the doctor knows, (patient, 2)
    site_logit: Array
    read_obstructed: NDArray[np.bool_]  # by angiography, whether it was done or not, (patient, vessel)

    def __len__(self) -> int:
        return len(self.person)

    def of_person(self, name: str) -> NDArray[np.generic]:
        """One attribute of every person."""
        return np.array([getattr(person, name) for person in self.person])

    @property
    def known_cad(self) -> NDArray[np.bool_]:
        return np.array([person.known_cad for person in self.person])

    @property
    def obstructed(self) -> NDArray[np.bool_]:
        """(patient, vessel) in the order LAD, LCx, RCA."""
        return np.stack([self.row[f"truth_obstructive_{v}"].astype(bool) for v in ("lad", "lcx", "rca")], axis=1)

    @property
    def ill(self) -> NDArray[np.bool_]:
        """Whether any vessel is truly obstructed, (patient,)."""
        return np.array(self.obstructed.any(axis=1), bool)

    @property
    def read_ill(self) -> NDArray[np.bool_]:
        """Whether angiography calls any vessel obstructed, or would, (patient,)."""
        return np.array(self.read_obstructed.any(axis=1), bool)

    @property
    def apparent_percent(self) -> Array:
        """Deficit of the images, what a measured TPD might come to."""
        return np.array([shown.stress_percent for shown in self.shown])

    @property
    def deficit_percent(self) -> Array:
        return self.row["truth_deficit_percent"].astype(float)

    def referral_chance(self, constants: Calibrated = CALIBRATED) -> Array:
        """Probability of angiography, over whether a CT is known."""
        logit = constants.referral_logit + self.site_logit[:, None] + constants.referral_weight * self.evidence
        chance: Array = (1 / (1 + np.exp(-logit))) @ np.array([1 - CT_KNOWN_SHARE, CT_KNOWN_SHARE])
        return chance


def ejection_fraction(facts: PatientFacts, rng: np.random.Generator) -> float:
    """EF at rest, percent, from mean thickening alone.

    Stands in for the volumes of the beating heart, which need its geometry: a line fitted to those of 40 virtual
    hearts (north, seed 5; correlation 0.81).
    """
    thickening = contract(facts.disease, facts.perfusion, state="rest", rng=rng).thickening
    return float(np.clip(28 + 65 * (SHARE_OF_WALL * thickening).sum(), 8, 82))


def draw_population(
    n: int,
    *,
    seed: int,
    population: Population = "all",
    sites: Sequence[str] = tuple(SITES),
    constants: Calibrated = CALIBRATED,
    say: Callable[[str], None] = lambda text: print(text, file=sys.stderr),
) -> VirtualPopulation:
    """``n`` patients in equal parts from the sites, each from a seed of its own."""
    rows, people, hearts, shown, evidence, site_logit, read = [], [], [], [], [], [], []
    for number in range(n):
        site = SITES[sites[number % len(sites)]]
        rng = np.random.default_rng([seed, number])
        facts = draw_patient_facts(site, population, rng, constants=constants)
        truth = facts.deficit
        rows.append(facts_row(facts))
        people.append(facts.person)
        hearts.append(
            HeartSummary(
                truth.stress_percent,
                truth.ischaemic_percent,
                100 * float((SHARE_OF_WALL * facts.perfusion.scar_fraction).sum()),
                ejection_fraction(facts, rng),
            )
        )
        shown.append(facts.shown)
        evidence.append(
            [
                referral_evidence(facts.person, facts.findings, facts.readings[0], ct_known=known)
                for known in (False, True)
            ]
        )
        site_logit.append(site.referral_logit)
        read.append([facts.angiogram.obstructive[vessel] for vessel in VESSELS])
        if (number + 1) % 1000 == 0:
            say(f"{number + 1} of {n} patients")
    row = {name: np.array([r[name] for r in rows]) for name in rows[0]}
    return VirtualPopulation(row, people, hearts, shown, np.array(evidence), np.array(site_logit), np.array(read))


def follow(
    group: VirtualPopulation,
    referred: NDArray[np.bool_],
    *,
    seed: int,
    times: int = 1,
    constants: Calibrated = CALIBRATED,
) -> list[FollowUp]:
    """The years after the scan of every patient, ``times`` over: all of them, then all again."""
    rng = np.random.default_rng([seed, 1])
    vessels = group.read_obstructed.sum(1)
    return [
        follow_up(person, heart, rng, referred=bool(sent), obstructive_vessels=int(k), constants=constants)
        for _ in range(times)
        for person, heart, sent, k in zip(group.person, group.heart, referred, vessels, strict=True)
    ]


@dataclass(frozen=True, eq=False)
class Mace:
    """Time to the first of ACS, death and revascularisation after 90 days; early revascularisation ends it unseen."""

    time_y: Array
    happened: NDArray[np.bool_]


def mace(lives: Sequence[FollowUp]) -> Mace:
    """As the prognostic registries count: what the scan itself led to within 90 days is no outcome."""
    time, happened = np.empty(len(lives)), np.empty(len(lives), bool)
    for k, life in enumerate(lives):
        first = min((t for t in (life.acs_y, life.death_y) if not math.isnan(t)), default=math.inf)
        treated = life.revascularisation_y if not math.isnan(life.revascularisation_y) else math.inf
        late = math.inf if life.early_revascularisation else treated
        end = treated if life.early_revascularisation else life.observed_y
        event = min(first, late)
        time[k], happened[k] = (event, True) if event <= end else (end, False)
    return Mace(time, happened)


def band(percent: Array) -> NDArray[np.int64]:
    """0: below 5 %, 1: 5 to under 10 %, 2: 10 % or more."""
    return np.digitize(percent, [5.0, 10.0])
