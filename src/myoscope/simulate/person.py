"""Who comes for a perfusion scan: sex, age, build, risk factors, history, complaint and how the heart was stressed.

A Gaussian copula: standard normal numbers with assumed correlations, each turned into its own marginal. Marginals
follow the external three-site cohort of Pieszko et al. 2023 (npj Digit Med 6:78; n = 13,988) and, for symptoms,
Nakazato et al. 2010 (J Nucl Med 51:1724); smoking, prior infarction and bundle branch block are not given there and are
assumptions, as every correlation is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from myoscope.core import InvalidValue
from myoscope.simulate.sites import Site

Sex = Literal["F", "M"]
Symptoms = Literal["asymptomatic", "dyspnoea", "atypical", "typical"]
StressType = Literal["exercise", "pharmacological"]

SHARE = {
    "hypertension": 0.64,
    "diabetes": 0.29,
    "dyslipidaemia": 0.33,
    "family_history": 0.18,
    "prior_pci": 0.099,
    "prior_cabg": 0.060,
    "smoking": 0.15,  # assumed: 10 to 20 % current smokers
    "prior_mi": 0.08,  # assumed
    "lbbb": 0.025,  # assumed
}
"""Share of patients with each yes-or-no fact."""

SYMPTOM_SHARE: tuple[tuple[Symptoms, float], ...] = (
    ("asymptomatic", 0.29),
    ("dyspnoea", 0.09),
    ("atypical", 0.55),
    ("typical", 0.07),
)
"""Share of patients with each complaint, from the least to the most suspicious."""

_SYMPTOM_EDGES = np.cumsum([share for _, share in SYMPTOM_SHARE])[:-1]
_AGE_SD_Y, _YOUNGEST_Y, _OLDEST_Y = 12.0, 25.0, 95.0
_BMI_LOG_SD = 0.193  # IQR 26 to 34
_SMALLEST_BMI, _LARGEST_BMI = 16.0, 49.0  # a torso can be built for

_LATENT = (
    "male",
    "age",
    "bmi",
    "height",
    "hypertension",
    "diabetes",
    "dyslipidaemia",
    "smoking",
    "family_history",
    "prior_pci",
    "prior_cabg",
    "prior_mi",
    "lbbb",
    "exercise",
    "symptoms",
    "rest_rate",
    "peak_rate",
    "rest_pressure",
    "peak_pressure",
    "creatinine",
)

ASSUMED_CORRELATION: dict[tuple[str, str], float] = {
    ("male", "age"): -0.08,
    ("male", "bmi"): -0.10,
    ("male", "smoking"): 0.30,
    ("male", "family_history"): -0.05,
    ("male", "prior_pci"): 0.25,
    ("male", "prior_cabg"): 0.32,
    ("male", "prior_mi"): 0.25,
    ("male", "exercise"): 0.12,
    ("male", "symptoms"): -0.05,
    ("male", "rest_rate"): -0.10,
    ("age", "bmi"): -0.18,
    ("age", "height"): -0.20,
    ("age", "hypertension"): 0.25,
    ("age", "diabetes"): 0.05,
    ("age", "dyslipidaemia"): 0.10,
    ("age", "smoking"): -0.25,
    ("age", "family_history"): -0.20,
    ("age", "prior_pci"): 0.15,
    ("age", "prior_cabg"): 0.28,
    ("age", "prior_mi"): 0.12,
    ("age", "lbbb"): 0.25,
    ("age", "exercise"): -0.45,
    ("age", "rest_rate"): -0.08,
    ("age", "rest_pressure"): 0.20,
    ("age", "creatinine"): 0.25,
    ("bmi", "hypertension"): 0.18,
    ("bmi", "diabetes"): 0.25,
    ("bmi", "dyslipidaemia"): 0.06,
    ("bmi", "exercise"): -0.15,
    ("bmi", "rest_rate"): 0.10,
    ("hypertension", "diabetes"): 0.20,
    ("hypertension", "dyslipidaemia"): 0.20,
    ("hypertension", "prior_pci"): 0.15,
    ("hypertension", "prior_cabg"): 0.15,
    ("hypertension", "exercise"): -0.15,
    ("hypertension", "rest_pressure"): 0.55,
    ("hypertension", "peak_pressure"): 0.15,
    ("hypertension", "creatinine"): 0.15,
    ("diabetes", "dyslipidaemia"): 0.20,
    ("diabetes", "prior_pci"): 0.12,
    ("diabetes", "prior_cabg"): 0.12,
    ("diabetes", "exercise"): -0.20,
    ("diabetes", "rest_rate"): 0.15,
    ("diabetes", "creatinine"): 0.10,
    ("dyslipidaemia", "prior_pci"): 0.20,
    ("dyslipidaemia", "prior_cabg"): 0.20,
    ("smoking", "prior_mi"): 0.10,
    ("prior_pci", "prior_cabg"): 0.20,
    ("prior_pci", "prior_mi"): 0.50,
    ("prior_cabg", "prior_mi"): 0.40,
    ("prior_mi", "lbbb"): 0.15,
    ("prior_mi", "exercise"): -0.10,
    ("exercise", "creatinine"): -0.15,
    ("rest_rate", "peak_rate"): 0.35,
    ("rest_pressure", "peak_pressure"): 0.55,
}
"""Correlations of the normal numbers behind the facts, all assumed; pairs not named are independent."""


@dataclass(frozen=True, slots=True)
class Person:
    """One patient before the camera. Years, centimetres, kilograms, beats per minute, mmHg, mg/dL."""

    sex: Sex
    age_y: float
    height_cm: float
    weight_kg: float
    hypertension: bool
    diabetes: bool
    dyslipidaemia: bool
    smoking: bool
    family_history: bool
    prior_mi: bool
    prior_pci: bool
    prior_cabg: bool
    symptoms: Symptoms
    stress_type: StressType
    rest_heart_rate_bpm: float
    peak_heart_rate_bpm: float
    rest_systolic_mmHg: float
    peak_systolic_mmHg: float
    lbbb: bool
    creatinine_mg_dL: float

    def __post_init__(self) -> None:
        if self.sex not in ("F", "M"):
            raise InvalidValue(f"sex is F or M, not {self.sex!r}")
        if min(self.age_y, self.height_cm, self.weight_kg, self.creatinine_mg_dL) <= 0:
            raise InvalidValue(f"age, height, weight and creatinine are positive, got {self}")

    @property
    def bmi_kg_m2(self) -> float:
        """Body mass index."""
        return self.weight_kg / (self.height_cm / 100) ** 2

    @property
    def known_cad(self) -> bool:
        """Coronary disease known before the scan: an infarct, a stent or a bypass."""
        return self.prior_mi or self.prior_pci or self.prior_cabg

    @property
    def egfr_mL_min_1_73m2(self) -> float:
        """Estimated glomerular filtration rate, CKD-EPI 2021 without race (Inker et al., N Engl J Med 385:1737)."""
        kappa, alpha, sex = (0.7, -0.241, 1.012) if self.sex == "F" else (0.9, -0.302, 1.0)
        ratio = self.creatinine_mg_dL / kappa
        return float(142 * min(ratio, 1) ** alpha * max(ratio, 1) ** -1.2 * 0.9938**self.age_y * sex)


def _lower_triangle() -> NDArray[np.float64]:
    matrix = np.eye(len(_LATENT))
    for (one, other), value in ASSUMED_CORRELATION.items():
        i, j = _LATENT.index(one), _LATENT.index(other)
        matrix[i, j] = matrix[j, i] = value
    return np.linalg.cholesky(matrix).astype(np.float64)


_LOWER = _lower_triangle()


def draw_person(site: Site, rng: np.random.Generator) -> Person:
    """A patient of this site, all numbers rounded as they are written down in a clinic."""
    z = dict(zip(_LATENT, (_LOWER @ rng.standard_normal(len(_LATENT))).tolist(), strict=True))
    woman = z["male"] < ndtri(site.share_women)

    age_y = _within(z["age"], site.age_mean_y, _AGE_SD_Y, _YOUNGEST_Y, _OLDEST_Y)
    height_cm = _within(z["height"], *((161.5, 6.6) if woman else (175.5, 7.2)), 142, 203)
    log_bmi = _within(
        z["bmi"], math.log(site.bmi_median_kg_m2), _BMI_LOG_SD, math.log(_SMALLEST_BMI), math.log(_LARGEST_BMI)
    )

    has = {name: bool(z[name] > ndtri(1 - share)) for name, share in SHARE.items()}
    symptoms = SYMPTOM_SHARE[int(np.searchsorted(_SYMPTOM_EDGES, ndtr(z["symptoms"])))][0]

    # A treadmill moves the septum late in bundle branch block and mimics a defect; such patients get a vasodilator.
    exercise = z["exercise"] > ndtri(1 - site.share_exercise) and not has["lbbb"]
    rest_rate = math.exp(_within(z["rest_rate"], math.log(73), 0.19, math.log(40), math.log(120)))
    reached, spread = (0.92 * (220 - age_y), 10.0) if exercise else (93.0, 16.0)
    peak_rate = _within(z["peak_rate"], max(reached, rest_rate + 5), spread, rest_rate + 3, 205)
    rest_pressure = _within(z["rest_pressure"], 132, 18, 85, 210)
    peak_pressure = _within(z["peak_pressure"], 172 if exercise else 139, 24, 75, 250)
    creatinine = (0.80 if woman else 0.98) * math.exp(0.22 * z["creatinine"])
    return Person(
        sex="F" if woman else "M",
        age_y=round(age_y, 1),
        height_cm=round(height_cm, 0),
        weight_kg=round(math.exp(log_bmi) * (height_cm / 100) ** 2, 1),
        symptoms=symptoms,
        stress_type="exercise" if exercise else "pharmacological",
        rest_heart_rate_bpm=round(rest_rate, 0),
        peak_heart_rate_bpm=round(peak_rate, 0),
        rest_systolic_mmHg=round(rest_pressure, 0),
        peak_systolic_mmHg=round(peak_pressure, 0),
        creatinine_mg_dL=round(creatinine, 2),
        **has,
    )


def _within(z: float, mean: float, sd: float, low: float, high: float) -> float:
    """A standard normal number as one of this mean and spread, its distribution cut (not piled up) at the ends."""
    below, above = float(ndtr((low - mean) / sd)), float(ndtr((high - mean) / sd))
    return mean + sd * float(ndtri(below + (above - below) * float(ndtr(z))))
