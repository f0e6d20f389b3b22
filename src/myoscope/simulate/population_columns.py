"""The columns that describe virtual patients in a cohort: what each means, and the row of one patient."""

from __future__ import annotations

import math

import numpy as np

from myoscope.core import VESSELS, Column
from myoscope.simulate.outcome import FollowUp
from myoscope.simulate.person import Person
from myoscope.simulate.readers import IMPRESSIONS, Reading
from myoscope.simulate.referral import PatientFacts

Value = float | int | bool | str

PERSON_COLUMNS: tuple[Column, ...] = (
    Column("sex", "F or M"),
    Column("age_y", "age at the scan", "y"),
    Column("height_cm", "body height", "cm"),
    Column("weight_kg", "body weight", "kg"),
    Column("bmi_kg_m2", "body mass index", "kg/m2"),
    Column("hypertension", "known high blood pressure"),
    Column("diabetes", "known diabetes"),
    Column("dyslipidaemia", "known disorder of blood lipids"),
    Column("smoking", "smokes now"),
    Column("family_history", "early coronary disease in the family"),
    Column("prior_mi", "infarction before the scan"),
    Column("prior_pci", "stent or balloon before the scan"),
    Column("prior_cabg", "bypass surgery before the scan"),
    Column("symptoms", "asymptomatic, dyspnoea, atypical or typical (angina)"),
    Column("stress_type", "exercise or pharmacological"),
    Column("rest_heart_rate_bpm", "heart rate at rest", "bpm"),
    Column("peak_heart_rate_bpm", "heart rate at peak stress", "bpm"),
    Column("rest_systolic_mmHg", "systolic blood pressure at rest", "mmHg"),
    Column("peak_systolic_mmHg", "systolic blood pressure at peak stress", "mmHg"),
    Column("creatinine_mg_dL", "serum creatinine", "mg/dL"),
    Column("egfr_mL_min_1_73m2", "glomerular filtration rate by CKD-EPI 2021", "mL/min/1.73m2"),
)

FINDING_COLUMNS: tuple[Column, ...] = (
    Column("rest_ecg", "normal, lbbb, q waves or st-t changes"),
    Column("stress_ecg", "negative, positive (ST depression of 1 mm or more) or not interpretable"),
    Column("st_depression_mm", "deepest ST depression under stress; missing with bundle branch block", "mm"),
    Column("stress_chest_pain", "angina during stress"),
    Column("exercise_capacity_MET", "capacity reached on the treadmill; missing without exercise", "MET"),
    Column("exercise_duration_s", "time on the Bruce treadmill; missing without exercise", "s"),
    Column("calcium_score", "coronary calcium by CT, Agatston"),
    *(
        Column(
            f"ct_stenosis_grade_{vessel.lower()}",
            f"worst stenosis of the {vessel} in CT angiography: 0 none, 1 under 25 %, 2 under 50, 3 under 70, "
            "4 under 99, 5 occluded",
        )
        for vessel in VESSELS
    ),
    Column("epicardial_fat_mL", "fat within the pericardium by CT, volume", "mL"),
    Column("epicardial_fat_HU", "fat within the pericardium by CT, mean density", "HU"),
    Column("statin", "takes a statin"),
    Column("ldl_mg_dL", "low-density lipoprotein cholesterol", "mg/dL"),
    Column("hdl_mg_dL", "high-density lipoprotein cholesterol", "mg/dL"),
    Column("triglycerides_mg_dL", "serum triglycerides", "mg/dL"),
    Column("hba1c_percent", "glycated haemoglobin", "%"),
    Column("hs_crp_mg_L", "C-reactive protein, high sensitivity", "mg/L"),
    Column("hs_troponin_ng_L", "cardiac troponin, high sensitivity", "ng/L"),
    Column("nt_pro_bnp_ng_L", "N-terminal pro-B-type natriuretic peptide", "ng/L"),
    Column("haemoglobin_g_dL", "haemoglobin", "g/dL"),
)


def _reader_columns(number: int) -> tuple[Column, ...]:
    who = f"reader_{number}"
    return (
        Column(f"{who}", "name of this reader; the first one's reading is the clinical report"),
        Column(f"{who}_stress_scores", "17 digits, the score 0 to 4 of segments 1 to 17 in stress"),
        Column(f"{who}_rest_scores", "17 digits, the score 0 to 4 of segments 1 to 17 at rest"),
        Column(f"{who}_sss", "summed stress score, 0 to 68"),
        Column(f"{who}_srs", "summed rest score, 0 to 68"),
        Column(f"{who}_sds", "summed difference score, 0 to 68"),
        Column(f"{who}_impression", "overall: " + ", ".join(f"{n} {word}" for n, word in enumerate(IMPRESSIONS))),
    )


N_READERS = 2
READER_COLUMNS: tuple[Column, ...] = tuple(c for n in range(N_READERS) for c in _reader_columns(n + 1))

REFERRAL_COLUMNS: tuple[Column, ...] = (
    Column("population", "all, referred (angiography, no disease known before) or low-likelihood"),
    Column("site", "the centre"),
    Column("pretest_likelihood", "probability of obstructive disease by history alone, 0 to 1"),
    Column("referred", "angiography followed the scan"),
    *(
        Column(f"angiography_{vessel.lower()}", f"{vessel} obstructed in angiography (1, 0); missing if not referred")
        for vessel in VESSELS
    ),
    *(
        Column(
            f"angiography_stenosis_{vessel.lower()}_percent",
            f"worst diameter stenosis of the {vessel} as read in angiography; missing if not referred",
            "%",
        )
        for vessel in (*VESSELS, "LM")
    ),
)

TRUTH_COLUMNS: tuple[Column, ...] = (
    *(
        Column(
            f"truth_obstructive_{v.lower()}",
            f"{v} truly obstructed (left main counts as LAD and LCx), whether anyone looked or not",
        )
        for v in VESSELS
    ),
    *(
        Column(f"truth_stenosis_{v.lower()}_percent", f"worst diameter stenosis of the {v}", "%")
        for v in (*VESSELS, "LM")
    ),
    Column("truth_lbbb", "left bundle branch block"),
    Column("truth_cardiomyopathy", "disease of the muscle without coronary cause: none, dilated or hypertrophic"),
    Column("truth_deficit_percent", "deficit of the true stress uptake, on the scale of TPD", "%"),
    Column("truth_rest_deficit_percent", "deficit of the true rest uptake", "%"),
    Column("truth_ischaemic_percent", "true stress deficit less that at rest", "%"),
    *(
        Column(
            f"truth_deficit_{v.lower()}_percent", f"part of the true stress deficit in the territory of the {v}", "%"
        )
        for v in VESSELS
    ),
)

OUTCOME_COLUMNS: tuple[Column, ...] = (
    Column("observed_y", "from the scan to death or the end of observation", "y"),
    Column("first_event", "none, ACS (acute coronary syndrome), death or revascularisation"),
    Column("first_event_y", "time of the first event, or of the end of observation", "y"),
    Column("acs_y", "time of an acute coronary syndrome; missing if none", "y"),
    Column("death_y", "time of death; missing if alive", "y"),
    Column("revascularisation_y", "time of the first revascularisation after the scan; missing if none", "y"),
    Column("early_revascularisation", "revascularised within 90 days of the scan"),
)

POPULATION_COLUMNS: tuple[Column, ...] = (
    *REFERRAL_COLUMNS,
    *PERSON_COLUMNS,
    *FINDING_COLUMNS,
    *READER_COLUMNS,
    *TRUTH_COLUMNS,
    *OUTCOME_COLUMNS,
)
"""Every column of this page, in the order of a table."""


def person_row(person: Person) -> dict[str, Value]:
    """Values of ``PERSON_COLUMNS``."""
    row: dict[str, Value] = {
        "bmi_kg_m2": round(person.bmi_kg_m2, 1),
        "egfr_mL_min_1_73m2": round(person.egfr_mL_min_1_73m2, 0),
    }
    return {c.name: row[c.name] if c.name in row else getattr(person, c.name) for c in PERSON_COLUMNS}


def facts_row(facts: PatientFacts) -> dict[str, Value]:
    """Values of every column but those of outcome."""
    disease, truth = facts.disease, facts.deficit
    blocked = disease.obstructive
    row: dict[str, Value] = {
        "population": facts.population,
        "site": facts.site,
        "pretest_likelihood": round(facts.pretest_likelihood, 4),
        "referred": facts.referred,
        **_angiography_row(facts),
        **person_row(facts.person),
        **facts.findings,
    }
    for number, reading in enumerate(facts.readings[:N_READERS], 1):
        row.update(_reading_row(f"reader_{number}", reading))
    row.update(
        {
            **{f"truth_obstructive_{v.lower()}": blocked[v] for v in VESSELS},
            **{f"truth_stenosis_{v.lower()}_percent": percent for v, percent in disease.worst_stenosis_percent.items()},
            "truth_lbbb": bool(disease.lbbb),
            "truth_cardiomyopathy": disease.cardiomyopathy or "none",
            "truth_deficit_percent": truth.stress_percent,
            "truth_rest_deficit_percent": truth.rest_percent,
            "truth_ischaemic_percent": truth.ischaemic_percent,
            **{
                f"truth_deficit_{v.lower()}_percent": float(part)
                for v, part in zip(VESSELS, truth.vessel_percent, strict=True)
            },
        }
    )
    return row


def _angiography_row(facts: PatientFacts) -> dict[str, Value]:
    obstructive, read = facts.angiogram.obstructive, facts.angiogram.stenosis_percent
    return {
        **{f"angiography_{v.lower()}": float(obstructive[v]) if facts.referred else math.nan for v in VESSELS},
        **{
            f"angiography_stenosis_{v.lower()}_percent": read[v] if facts.referred else math.nan
            for v in (*VESSELS, "LM")
        },
    }


def outcome_row(after: FollowUp) -> dict[str, Value]:
    """Values of ``OUTCOME_COLUMNS``."""
    return {column.name: getattr(after, column.name) for column in OUTCOME_COLUMNS}


def _reading_row(who: str, reading: Reading) -> dict[str, Value]:
    return {
        who: reading.reader,
        f"{who}_stress_scores": "".join(map(str, np.asarray(reading.stress).tolist())),
        f"{who}_rest_scores": "".join(map(str, np.asarray(reading.rest).tolist())),
        f"{who}_sss": reading.sss,
        f"{who}_srs": reading.srs,
        f"{who}_sds": reading.sds,
        f"{who}_impression": reading.impression,
    }
