"""How likely coronary disease is before anything has been imaged: the odds behind every virtual patient.

Obstructive disease (70 % or more; left main 50 %) of each vessel is a latent logistic in age, sex, complaint, risk
factors and history. Weights are assumptions in the direction and about the size that pre-test models report; the three
intercepts and the correlation between vessels are solved by `docs/make/calibrate_population.py` so that 12 % of all who
are imaged without known disease have it (10 to 20 %), shared between LAD, RCA and LCx as 45:30:25, and so that in
those referred to angiography 37 % of vessels are obstructed where 62 % of patients are (Betancur 2018, 2019).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from myoscope.core import VESSELS
from myoscope.simulate.coronaries import CoronaryRisk
from myoscope.simulate.person import Person, Symptoms
from myoscope.simulate.population_constants import CALIBRATED, Calibrated

FloatArray = NDArray[np.float64]

SYMPTOM_LOGIT: Mapping[Symptoms, float] = MappingProxyType(
    {"asymptomatic": -0.40, "dyspnoea": 0.10, "atypical": 0.0, "typical": 1.40}
)
LEFT_MAIN_SHARE = 0.05
"""Odds of a narrowed left main, as a share of those of the LAD; assumed."""
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(21)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


def risk_logit(person: Person) -> float:
    """Log-odds of obstructive disease that the person brings, 0 for a man-to-be of 65 without anything else."""
    return (
        0.50 * (person.age_y - 65) / 10
        + 0.85 * (person.sex == "M")
        + 0.55 * person.diabetes
        + 0.35 * person.hypertension
        + 0.35 * person.dyslipidaemia
        + 0.45 * person.smoking
        + 0.25 * person.family_history
        + 1.00 * person.known_cad
        + SYMPTOM_LOGIT[person.symptoms]
    )


def coronary_risk(person: Person, *, site_logit: float = 0.0, constants: Calibrated = CALIBRATED) -> CoronaryRisk:
    """Probabilities of each disease of this person's heart; ``site_logit`` shifts those of obstruction.

    What the history says is taken as told: a bundle branch block on the resting ECG is there, and most infarcts that
    are remembered have left a scar.
    """
    x = risk_logit(person) + site_logit
    lad, lcx, rca = (1 / (1 + math.exp(-constants.vessel_logit[vessel] - x)) for vessel in VESSELS)
    return CoronaryRisk(
        obstructive_lad=lad,
        obstructive_lcx=lcx,
        obstructive_rca=rca,
        left_main=LEFT_MAIN_SHARE * lad,
        infarct=0.85 if person.prior_mi else 0.12 if person.known_cad else 0.02,
        microvascular=min(0.08 + 0.10 * person.diabetes + 0.05 * (person.sex == "F") + 0.05 * person.hypertension, 0.9),
        lbbb=1.0 if person.lbbb else 0.0,
        cardiomyopathy=0.015 + 0.015 * (person.sex == "M") + 0.10 * person.lbbb,
        correlation=constants.vessel_correlation,
    )


def pretest_likelihood(person: Person, *, site_logit: float = 0.0, constants: Calibrated = CALIBRATED) -> float:
    """Probability that at least one vessel of this person is obstructed, given all that history tells."""
    risk = coronary_risk(person, site_logit=site_logit, constants=constants)
    each = np.array([risk.obstructive_lad, risk.obstructive_lcx, risk.obstructive_rca, risk.left_main])
    return float(any_obstructed(each, risk.correlation))


def any_obstructed(each: FloatArray, correlation: float) -> FloatArray:
    """Probability of at least one event among correlated ones (last axis) of these probabilities.

    They share one hidden standard normal number with weight ``sqrt(correlation)``; this integrates over it.
    """
    shared = math.sqrt(correlation) * _NODES
    spared = 1 - ndtr((ndtri(each)[..., None] + shared) / math.sqrt(1 - correlation))
    hit: FloatArray = 1 - spared.prod(axis=-2) @ _WEIGHTS
    return hit
