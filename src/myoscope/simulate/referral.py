"""Who goes on to angiography, and how virtual populations are drawn: all comers, the referred, the unlikely.

Angiography is for those whose scan was read as abnormal, who have typical pain, a positive stress ECG or a suspicious
CT: so its result is known for a selected few, and accuracy measured in them alone is biased (Begg and Greenes 1983).
The decision rests on what the referring doctor knows, a noisy reading of true perfusion and never the truth. Two
constants, solved by `docs/make/calibrate_population.py`, make 62 % of the referred without known disease have it, and
8.4 % of all who are imaged be referred (REFINE SPECT 2.0).

Nothing here needs an image: a patient is drawn, diseased, perfused and read in a few milliseconds, and rejected or
kept, before a photon is simulated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from myoscope.core import InvalidValue
from myoscope.simulate.angiography import Angiogram, read_angiogram
from myoscope.simulate.coronaries import CoronaryDisease, draw_coronaries
from myoscope.simulate.deficit import Deficit, deficit
from myoscope.simulate.findings import findings
from myoscope.simulate.perfusion import Perfusion, perfuse, redistributed, uptake
from myoscope.simulate.person import Person, Sex, draw_person
from myoscope.simulate.population_constants import CALIBRATED, Calibrated
from myoscope.simulate.readers import Appearance, Reading, appearance, read_segments
from myoscope.simulate.risk import coronary_risk, pretest_likelihood
from myoscope.simulate.sites import Site

Population = Literal["all", "referred", "low-likelihood"]
POPULATIONS: tuple[Population, ...] = ("all", "referred", "low-likelihood")

LOW_LIKELIHOOD_BELOW = 0.05
"""Pre-test likelihood of obstructive disease under which a patient may define what is normal."""
CT_KNOWN_SHARE = 0.125
"""Share of patients whose doctor knows a coronary CT; an assumption."""
_MOST_SDS = 12  # beyond, more ischaemia speaks no louder
_MOST_TRIES = 20_000


@dataclass(frozen=True, eq=False, slots=True)
class PatientFacts:
    """A virtual patient before imaging: who, what is wrong, what is known of it, and what was decided.

    ``stress_uptake`` and ``rest_uptake`` (40, 72) are relative to healthy wall in the same state for the site's tracer
    (where it redistributes, ``rest_uptake`` is that of the later image); ``readings`` holds one per reader of the site,
    the first of which is the clinical report; ``referred`` says whether angiography followed, ``angiogram`` what it
    reported, or would have.
    """

    site: str
    population: Population
    person: Person
    pretest_likelihood: float
    disease: CoronaryDisease
    perfusion: Perfusion
    stress_uptake: NDArray[np.float64]
    rest_uptake: NDArray[np.float64]
    deficit: Deficit
    findings: Mapping[str, float | int | bool | str]
    shown: Appearance
    readings: tuple[Reading, ...]
    referred: bool
    angiogram: Angiogram

    @property
    def obstructive_vessels(self) -> int:
        """How many of the three vessels angiography calls obstructed (the left main counts as LAD and LCx)."""
        return sum(self.angiogram.obstructive.values())


def referral_evidence(
    person: Person, found: Mapping[str, float | int | bool | str], reading: Reading, *, ct_known: bool
) -> float:
    """What speaks for angiography, in logits before weighing: report, complaint, ECG and, where known, CT."""
    evidence = 0.75 * reading.impression + 0.10 * min(reading.sds, _MOST_SDS)
    evidence += _complaint(person)
    evidence += 0.6 * (found["stress_ecg"] == "positive") + 0.5 * bool(found["stress_chest_pain"])
    if ct_known:
        worst = max(float(found[f"ct_stenosis_grade_{vessel}"]) for vessel in ("lad", "lcx", "rca"))
        evidence += 0.7 * (worst - 2)
    return evidence


def _complaint(person: Person) -> float:
    return (
        0.7 * (person.symptoms == "typical")
        - 0.4 * (person.symptoms == "asymptomatic")
        - 0.5 * max(person.age_y - 80, 0) / 10
    )


def _most_evidence(person: Person, *, ct_known: bool) -> float:
    """More than this nothing that is found can speak for angiography of this person."""
    return 0.75 * 4 + 0.10 * _MOST_SDS + _complaint(person) + 0.6 + 0.5 + 0.7 * 3 * ct_known


def is_referred(
    person: Person,
    found: Mapping[str, float | int | bool | str],
    reading: Reading,
    rng: np.random.Generator,
    *,
    site_logit: float = 0.0,
    constants: Calibrated = CALIBRATED,
) -> bool:
    """Whether this patient goes on to angiography. In one of eight the doctor knows a coronary CT."""
    luck = _draw_luck(rng)
    evidence = referral_evidence(person, found, reading, ct_known=luck.ct_known)
    return luck.suffices(evidence, site_logit, constants)


@dataclass(frozen=True, slots=True)
class _Luck:
    """What besides evidence decides: whether a CT is known, and how ready the doctor is."""

    ct_known: bool
    threshold_logit: float

    def suffices(self, evidence: float, site_logit: float, constants: Calibrated) -> bool:
        return constants.referral_logit + site_logit + constants.referral_weight * evidence > self.threshold_logit


def _draw_luck(rng: np.random.Generator) -> _Luck:
    known, chance = rng.random(2).tolist()
    return _Luck(known < CT_KNOWN_SHARE, math.log(chance / (1 - chance)) if chance > 0 else -math.inf)


def draw_patient_facts(
    site: Site,
    population: Population,
    rng: np.random.Generator,
    *,
    sex: Sex | None = None,
    constants: Calibrated = CALIBRATED,
) -> PatientFacts:
    """Draw patients of a site until one belongs to the population, and return that one.

    "all": everybody who comes. "referred": sent to angiography, without coronary disease known before, as in the
    registries the diagnostic systems were trained on. "low-likelihood": no known disease, pre-test likelihood below
    5 %, normal ECG at rest and under stress; what is drawn may still be ill, as in life. ``sex`` restricts further.

    Raises
    ------
    InvalidValue
        There is no such population, or 20,000 draws held nobody who belongs to it.
    """
    if population not in POPULATIONS:
        raise InvalidValue(f"there is no population {population!r}; there are {', '.join(POPULATIONS)}")
    for _ in range(_MOST_TRIES):
        person = draw_person(site, rng)
        if sex is not None and person.sex != sex:
            continue
        if population != "all" and person.known_cad:
            continue
        likelihood = pretest_likelihood(person, site_logit=site.risk_logit, constants=constants)
        if population == "low-likelihood" and (likelihood >= LOW_LIKELIHOOD_BELOW or person.lbbb):
            continue
        luck = _draw_luck(rng)
        most = _most_evidence(person, ct_known=luck.ct_known)
        if population == "referred" and not luck.suffices(most, site.referral_logit, constants):
            continue  # no finding could have sent this person on, so none needs to be drawn
        facts = _facts(site, population, person, likelihood, luck, rng, constants)
        if population == "referred" and not facts.referred:
            continue
        if population == "low-likelihood" and (
            facts.findings["rest_ecg"] != "normal" or facts.findings["stress_ecg"] != "negative"
        ):
            continue
        return facts
    raise InvalidValue(f"{_MOST_TRIES} patients of site {site.name} held none of population {population!r}")


def _facts(
    site: Site,
    population: Population,
    person: Person,
    likelihood: float,
    luck: _Luck,
    rng: np.random.Generator,
    constants: Calibrated,
) -> PatientFacts:
    disease = draw_coronaries(coronary_risk(person, site_logit=site.risk_logit, constants=constants), rng)
    perfusion = perfuse(disease, stress_type=person.stress_type, age_y=person.age_y, rng=rng)
    stress = uptake(perfusion, tracer=site.tracer, state="stress")
    if site.redistributes:
        after = site.rest.minutes_after_injection + site.rest.duration_s / 120
        rest = redistributed(perfusion, tracer=site.tracer, minutes_after_injection=after)
    else:
        rest = uptake(perfusion, tracer=site.tracer, state="rest")
    truth = deficit(stress, rest, disease.territory)
    found = findings(person, disease, perfusion, rng)
    shown = appearance(truth, person, rng, corrected=site.reconstruction.attenuation)
    readings = tuple(read_segments(shown, reader, rng) for reader in site.readers)
    evidence = referral_evidence(person, found, readings[0], ct_known=luck.ct_known)
    referred = luck.suffices(evidence, site.referral_logit, constants)
    angiogram = read_angiogram(disease, rng)
    return PatientFacts(
        site.name, population, person, likelihood, disease, perfusion, stress, rest, truth, found, shown, readings,
        referred, angiogram,
    )  # fmt: skip
