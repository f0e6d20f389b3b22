"""What happens to virtual patients after the scan: death, acute coronary syndrome and revascularisation compete.

Each cause has a Weibull hazard of its own,

    h(t) = base * shape * t^(shape - 1) * exp(eta),   t in years,

whose log-hazard `eta` grows with ln(1 + d), d the true perfusion deficit bent towards a limit, and with age, diabetes,
drug stress, ejection fraction and history. Besides, a patient sent to angiography may be revascularised within weeks.
Weights of the covariates and shapes are assumptions; base hazards, weight and limit of the deficit and the share of
early revascularisation are solved for published rates and hazard ratios by `docs/make/calibrate_population.py` and
stand in `population_constants`: ACS 0.83, death 1.58 and revascularisation 2.12 % a year as crude first events (Pieszko
2023); hazard ratio of MACE 2.42 and 3.85 for a deficit of 5 to under 10 % and of 10 % or more against less (REFINE
SPECT 2.0, there of measured TPD, here of the truth); early revascularisation in 48 % of those sent to angiography (Hu
2020).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

from myoscope.core import InvalidValue
from myoscope.simulate.person import Person
from myoscope.simulate.population_constants import CALIBRATED, Calibrated

Cause = Literal["ACS", "death", "revascularisation"]
CAUSES: tuple[Cause, ...] = ("ACS", "death", "revascularisation")

EARLY_DAYS = 90.0
"""Revascularisation within this many days of the scan is the scan's own doing, and called early."""
_DAYS_PER_YEAR = 365.25
_FOLLOW_UP_MEDIAN_Y, _FOLLOW_UP_LOG_SD = 3.5, 0.45  # median 3.1 to 3.6 and IQR 2.5 to 4.8 years in the registries
_SHORTEST_Y, _LONGEST_Y = 0.25, 10.0


@dataclass(frozen=True, slots=True)
class CauseWeights:
    """Log-hazard of one cause: per decade over 65, per yes, per 10 % of ejection fraction lost below 60, ...

    ``deficit`` weighs the common term of the deficit; ``diabetes_deficit`` adds to it in diabetes; ``kidney`` is per
    20 mL/min/1.73 m2 of filtration below 80.
    """

    shape: float
    deficit: float
    diabetes_deficit: float
    age_decade: float
    male: float
    diabetes: float
    hypertension: float
    smoking: float
    drug_stress: float
    ef_lost: float
    kidney: float
    prior_pci: float
    prior_cabg: float


WEIGHTS: Mapping[Cause, CauseWeights] = MappingProxyType(
    {
        "ACS": CauseWeights(0.90, 1.00, 0.15, 0.10, 0.30, 0.60, 0.20, 0.30, 0.60, 0.20, 0.15, 0.85, 0.50),
        "death": CauseWeights(1.15, 0.85, 0.12, 0.60, 0.30, 0.20, 0.05, 0.35, 0.85, 0.30, 0.30, 0.00, 0.00),
        "revascularisation": CauseWeights(0.95, 0.95, 0.15, 0.05, 0.45, 0.60, 0.35, 0.15, 0.00, 0.00, 0.00, 0.60, 0.40),
    }
)
"""Assumed weights; how the groups with events then look is compared with the published cohort on the page."""


@dataclass(frozen=True, slots=True)
class HeartSummary:
    """What the future of a heart hangs on, all percent: true deficits (see `deficit`), scar and ejection fraction."""

    deficit_percent: float
    ischaemic_percent: float
    scar_percent: float
    ef_percent: float

    def __post_init__(self) -> None:
        for name in ("deficit_percent", "ischaemic_percent", "scar_percent", "ef_percent"):
            value = getattr(self, name)
            if not 0 <= value <= 100:
                raise InvalidValue(f"{name} lies between 0 and 100, got {value}")


@dataclass(frozen=True, slots=True)
class FollowUp:
    """What was seen of a patient from the scan to the end of observation, in years.

    ``observed_y`` ends with death or with the end of the study; the time of an event that did not happen by then is
    NaN. ``early_revascularisation`` happened within 90 days.
    """

    observed_y: float
    acs_y: float
    death_y: float
    revascularisation_y: float
    early_revascularisation: bool

    @property
    def first_event(self) -> Literal["none", "ACS", "death", "revascularisation"]:
        """Which came first, or "none"."""
        first: Literal["none", "ACS", "death", "revascularisation"] = "none"
        when = math.inf
        for cause, time in zip(CAUSES, (self.acs_y, self.death_y, self.revascularisation_y), strict=True):
            if time < when:  # never for NaN
                first, when = cause, time
        return first

    @property
    def first_event_y(self) -> float:
        """When the first event happened, or the end of observation."""
        times = [t for t in (self.acs_y, self.death_y, self.revascularisation_y) if not math.isnan(t)]
        return min(times, default=self.observed_y)


def log_hazard(person: Person, heart: HeartSummary, cause: Cause, *, constants: Calibrated = CALIBRATED) -> float:
    """The patient's log-hazard of one cause over the base."""
    w = WEIGHTS[cause]
    # Above ten percent the published ratio rises slowly: the whole deficit saturates before its logarithm is taken.
    saturated = heart.deficit_percent / (1 + heart.deficit_percent / constants.deficit_limit_percent)
    felt = constants.deficit_weight * math.log1p(saturated)
    return (
        (w.deficit + w.diabetes_deficit * person.diabetes) * felt
        + w.age_decade * (person.age_y - 65) / 10
        + w.male * (person.sex == "M")
        + w.diabetes * person.diabetes
        + w.hypertension * person.hypertension
        + w.smoking * person.smoking
        + w.drug_stress * (person.stress_type == "pharmacological")
        + w.ef_lost * max(60 - heart.ef_percent, 0) / 10
        + w.kidney * max(80 - person.egfr_mL_min_1_73m2, 0) / 20
        + w.prior_pci * person.prior_pci
        + w.prior_cabg * person.prior_cabg
    )


def follow_up(
    person: Person,
    heart: HeartSummary,
    rng: np.random.Generator,
    *,
    referred: bool,
    obstructive_vessels: int,
    constants: Calibrated = CALIBRATED,
) -> FollowUp:
    """The years after the scan of one patient.

    ``referred`` says whether angiography followed the scan, and ``obstructive_vessels`` what it found: without an
    obstructive stenosis nobody is revascularised at once.

    Raises
    ------
    InvalidValue
        A number of vessels other than 0 to 3.
    """
    if not 0 <= obstructive_vessels <= 3:
        raise InvalidValue(f"there are 0 to 3 obstructive vessels, not {obstructive_vessels}")
    # Always the same draws, so that one patient's luck does not depend on another's disease.
    luck = rng.standard_exponential(len(CAUSES))
    end_y = float(np.clip(_FOLLOW_UP_MEDIAN_Y * math.exp(rng.normal(0, _FOLLOW_UP_LOG_SD)), _SHORTEST_Y, _LONGEST_Y))
    treated, early_y = rng.random(), float(rng.triangular(1, 20, EARLY_DAYS)) / _DAYS_PER_YEAR

    time = {}
    for cause, chance in zip(CAUSES, luck, strict=True):
        rate = constants.base_hazard_per_y[cause] * math.exp(log_hazard(person, heart, cause, constants=constants))
        time[cause] = float((chance / rate) ** (1 / WEIGHTS[cause].shape))
    early = bool(referred and obstructive_vessels > 0 and treated < early_chance(heart, obstructive_vessels, constants))
    if early:
        time["revascularisation"] = early_y
    else:
        time["revascularisation"] += EARLY_DAYS / _DAYS_PER_YEAR

    observed = min(time["death"], end_y)
    acs, revasc = (t if t < observed else math.nan for t in (time["ACS"], time["revascularisation"]))
    return FollowUp(
        observed_y=observed,
        acs_y=acs,
        death_y=time["death"] if time["death"] < end_y else math.nan,
        revascularisation_y=revasc,
        early_revascularisation=early and not math.isnan(revasc),
    )


def early_chance(heart: HeartSummary, obstructive_vessels: int, constants: Calibrated = CALIBRATED) -> float:
    """Chance that an angiogram with obstructive disease leads to treatment within weeks."""
    logit = constants.early_logit + 0.06 * min(heart.ischaemic_percent, 30) + 0.4 * (obstructive_vessels - 1)
    return 1 / (1 + math.exp(-logit))
