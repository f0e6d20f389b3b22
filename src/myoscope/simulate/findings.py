"""What other examinations of a virtual patient show: ECG, treadmill, coronary CT, fat around the heart, blood.

Every patient is told as if everyone had had every examination; who would have had which is a matter of the system that
uses them. Each finding depends on the person and on the true disease, with scatter. Directions and rough sizes are
those of general cardiology; the numbers themselves are assumptions.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from myoscope.core import VESSELS
from myoscope.simulate.coronaries import CoronaryDisease
from myoscope.simulate.deficit import SHARE_OF_WALL
from myoscope.simulate.perfusion import Perfusion
from myoscope.simulate.person import Person

_CT_GRADE_EDGES = np.array([1.0, 25.0, 50.0, 70.0, 99.0])
"""Percent diameter stenosis at which CAD-RADS 1 (minimal), 2, 3, 4 and 5 (occluded) begin."""
_CT_ERROR_PERCENT = 12.0
_PERCENT_SHORT = 0.35  # a place is short of flow where this share is missing against the best-perfused tenth


def findings(
    person: Person, disease: CoronaryDisease, perfusion: Perfusion, rng: np.random.Generator
) -> dict[str, float | int | bool | str]:
    """Findings by column name (described in `population_columns`); NaN where an examination cannot give one."""
    stenosis = worst_stenosis_percent(disease)
    short = short_of_flow_percent(perfusion)
    scar = 100 * float((SHARE_OF_WALL * perfusion.scar_fraction).sum())
    return {
        **_ecg(person, disease, short, scar, rng),
        **_treadmill(person, short, rng),
        **_coronary_ct(person, stenosis, rng),
        **_blood(person, disease, short, scar, rng),
    }


def worst_stenosis_percent(disease: CoronaryDisease) -> NDArray[np.float64]:
    """Diameter stenosis at the tightest place of each of ``VESSELS``, percent."""
    return np.array([disease.worst_stenosis_percent[vessel] for vessel in VESSELS], dtype=float)


def short_of_flow_percent(perfusion: Perfusion) -> float:
    """Share of the wall, not counting scar, whose stress flow is far below that of the best-perfused tenth."""
    flow = np.asarray(perfusion.stress_flow_mL_min_g, float)
    best = np.percentile(flow, 90)
    short = (flow < (1 - _PERCENT_SHORT) * best) * (1 - np.asarray(perfusion.scar_fraction, float))
    return 100 * float((SHARE_OF_WALL * short).sum())


def _ecg(
    person: Person, disease: CoronaryDisease, short: float, scar: float, rng: np.random.Generator
) -> dict[str, float | bool | str]:
    q_wave, changed, spread, pain = rng.random(), rng.random(), rng.normal(0, 0.55), rng.random()
    if disease.lbbb:
        rest = "lbbb"
    elif q_wave < (0.02 if scar < 2 else min(0.25 + 0.03 * scar, 0.8)):
        rest = "q waves"
    elif changed < 0.06 + 0.08 * person.hypertension + 0.05 * (person.age_y > 75):
        rest = "st-t changes"
    else:
        rest = "normal"
    exercise = person.stress_type == "exercise"
    gain = 0.045 if exercise else 0.015
    st_mm = 0.25 + 0.12 * (person.sex == "F") + gain * min(short, 40) + spread * (1 if exercise else 0.6)
    if rest == "lbbb":
        st_mm, response = math.nan, "not interpretable"
    else:
        st_mm = round(max(st_mm, 0.0), 1)
        response = "positive" if st_mm >= 1.0 else "negative"
    chance = 0.03 + 0.05 * (person.symptoms == "atypical") + 0.20 * (person.symptoms == "typical")
    return {
        "rest_ecg": rest,
        "stress_ecg": response,
        "st_depression_mm": st_mm,
        "stress_chest_pain": bool(pain < chance + 0.008 * min(short, 40)),
    }


def _treadmill(person: Person, short: float, rng: np.random.Generator) -> dict[str, float]:
    spread = rng.normal(0, 1.9)
    if person.stress_type == "pharmacological":
        return {"exercise_capacity_MET": math.nan, "exercise_duration_s": math.nan}
    capacity = (
        (14.7 if person.sex == "M" else 12.9)
        - 0.11 * (person.age_y - 20)
        - 0.12 * (person.bmi_kg_m2 - 27)
        - 0.6 * person.diabetes
        - 0.03 * min(short, 30)
    )
    capacity = max(capacity + 1.5 + spread, 2.5)
    # Bruce treadmill: oxygen uptake rises by 0.056 mL/kg/min a second from one MET.
    return {"exercise_capacity_MET": round(capacity, 1), "exercise_duration_s": round((capacity - 1.11) / 0.016, 0)}


def _coronary_ct(person: Person, stenosis: NDArray[np.float64], rng: np.random.Generator) -> dict[str, float | int]:
    worst, burden = float(stenosis.max()), float(stenosis.sum())
    age = (person.age_y - 65) / 10
    calcified, amount = rng.random(), rng.normal(0, 1.35)
    logit = 0.25 + 0.85 * age + 0.9 * (person.sex == "M") + 0.35 * person.diabetes + 0.3 * person.smoking
    logit += 0.025 * worst + 0.6 * person.known_cad
    if calcified < 1 / (1 + math.exp(-logit)):
        centre = 3.6 + 0.40 * age + 0.45 * (person.sex == "M") + 0.25 * person.diabetes + 0.010 * burden
        score = float(np.clip(round(math.exp(centre + 0.5 * person.known_cad + amount)), 1, 6000))
    else:
        score = 0.0
    # Calcium blooms and makes a stenosis look tighter; an empty artery is not mistaken for one as easily.
    error = rng.normal(0, _CT_ERROR_PERCENT, len(VESSELS)) + 3.0 * math.log10(1 + score)
    seen = np.where(stenosis >= 100, 100, np.clip(stenosis + error * np.where(stenosis > 10, 1.0, 0.7), 0, 98))
    grade = np.searchsorted(_CT_GRADE_EDGES, seen, side="right")
    fat = 92 * math.exp(0.035 * (person.bmi_kg_m2 - 29) + 0.07 * age + 0.0012 * worst + rng.normal(0, 0.28))
    fat *= 1.18 if person.sex == "M" else 1.0
    density = -79.0 + 0.02 * worst + 0.04 * (35 - min(person.bmi_kg_m2, 45)) + rng.normal(0, 4.0)
    return {
        "calcium_score": score,
        **{f"ct_stenosis_grade_{v.lower()}": int(g) for v, g in zip(VESSELS, grade, strict=True)},
        "epicardial_fat_mL": round(fat, 1),
        "epicardial_fat_HU": round(density, 1),
    }


def _blood(
    person: Person, disease: CoronaryDisease, short: float, scar: float, rng: np.random.Generator
) -> dict[str, float | bool]:
    z = rng.standard_normal(9)
    statin = bool(rng.random() < 0.18 + 0.50 * person.dyslipidaemia + 0.30 * person.known_cad)
    woman = person.sex == "F"
    heavy = person.bmi_kg_m2 - 29
    ldl = 122 + 16 * person.dyslipidaemia - 34 * statin + 30 * z[0]
    triglycerides = 128 * math.exp(
        0.012 * heavy + 0.15 * person.diabetes + 0.10 * person.dyslipidaemia + 0.12 * z[0] + 0.42 * z[1]
    )
    hdl = (57 if woman else 47) - 0.35 * heavy - 4 * person.diabetes - 3 * person.smoking - 3.5 * z[1] + 10 * z[2]
    hba1c = (7.2 + 1.1 * z[3]) if person.diabetes else (5.55 + 0.01 * heavy + 0.32 * z[3])
    kidney = max(90 - person.egfr_mL_min_1_73m2, 0) / 30
    crp = 1.7 * math.exp(0.04 * heavy + 0.35 * person.smoking + 0.15 * woman + 0.95 * z[4])
    troponin = (4.2 if woman else 6.5) * math.exp(
        0.022 * (person.age_y - 65) + 0.45 * kidney + 0.010 * min(short, 40) + 0.015 * min(scar, 40) + 0.55 * z[5]
    )
    bnp = (105 if woman else 75) * math.exp(
        0.035 * (person.age_y - 65)
        + 0.45 * kidney
        - 0.02 * heavy
        + 0.030 * min(scar, 40)
        + 1.2 * (disease.cardiomyopathy is not None)
        + 0.5 * disease.lbbb
        + 0.75 * z[6]
    )
    haemoglobin = (13.1 if woman else 14.5) - 0.45 * kidney - 0.012 * (person.age_y - 65) + 1.4 * z[7]
    return {
        "statin": statin,
        "ldl_mg_dL": round(float(np.clip(ldl, 25, 300)), 0),
        "hdl_mg_dL": round(float(np.clip(hdl, 18, 110)), 0),
        "triglycerides_mg_dL": round(float(np.clip(triglycerides, 30, 1200)), 0),
        "hba1c_percent": round(float(np.clip(hba1c, 4.3 if not person.diabetes else 5.5, 14)), 1),
        "hs_crp_mg_L": round(float(np.clip(crp, 0.1, 60)), 1),
        "hs_troponin_ng_L": round(float(np.clip(troponin, 1.5, 500)), 1),
        "nt_pro_bnp_ng_L": round(float(np.clip(bnp, 10, 20000)), 0),
        "haemoglobin_g_dL": round(float(np.clip(haemoglobin, 7, 19)), 1),
    }
