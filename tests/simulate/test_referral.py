"""Disease, findings and referral of virtual patients, and the populations drawn from them."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from myoscope.core import Cohort, InvalidValue
from myoscope.simulate.findings import findings, short_of_flow_percent
from myoscope.simulate.outcome import HeartSummary, follow_up
from myoscope.simulate.person import Person, draw_person
from myoscope.simulate.population_columns import (
    FINDING_COLUMNS,
    OUTCOME_COLUMNS,
    POPULATION_COLUMNS,
    facts_row,
    outcome_row,
)
from myoscope.simulate.readers import Reading
from myoscope.simulate.referral import PatientFacts, _most_evidence, draw_patient_facts, is_referred, referral_evidence
from myoscope.simulate.risk import any_obstructed, coronary_risk, pretest_likelihood, risk_logit
from myoscope.simulate.sites import SITES


@pytest.fixture(scope="module")
def everyone() -> list[PatientFacts]:
    rng = np.random.default_rng(21)
    return [draw_patient_facts(site, "all", rng) for site in SITES.values() for _ in range(70)]


@pytest.fixture(scope="module")
def person() -> Person:
    return draw_person(SITES["north"], np.random.default_rng(4))


def reading(impression: int, sds: int) -> Reading:
    stress = np.zeros(17, np.int8)
    stress[:sds] = 1
    return Reading("A", stress, np.zeros(17, np.int8), impression)


def test_risk_rises_with_age_history_and_typical_pain(person: Person) -> None:
    young = dataclasses.replace(person, age_y=45.0, symptoms="asymptomatic", diabetes=False)
    for worse in ({"age_y": 75.0}, {"symptoms": "typical"}, {"diabetes": True}):
        assert risk_logit(dataclasses.replace(young, **worse)) > risk_logit(young)


def test_what_history_tells_is_certain(person: Person) -> None:
    told = coronary_risk(dataclasses.replace(person, lbbb=True, prior_mi=True))
    untold = coronary_risk(dataclasses.replace(person, lbbb=False, prior_mi=False, prior_pci=False, prior_cabg=False))
    assert told.lbbb == 1
    assert untold.lbbb == 0
    assert told.infarct > 0.5 > untold.infarct


def test_any_of_correlated_events_lies_between_the_worst_and_the_sum() -> None:
    each = np.array([0.1, 0.05, 0.2])
    assert any_obstructed(each, 0.0) == pytest.approx(1 - 0.9 * 0.95 * 0.8, abs=1e-6)
    assert 0.2 < any_obstructed(each, 0.7) < any_obstructed(each, 0.3) < 0.35


def test_likelihood_before_the_test_is_that_of_the_disease_drawn() -> None:
    rng = np.random.default_rng(8)
    facts = [draw_patient_facts(SITES["harbour"], "all", rng) for _ in range(300)]
    expected = np.array([f.pretest_likelihood for f in facts])
    found = np.mean([f.obstructive_vessels > 0 for f in facts])
    assert found == pytest.approx(expected.mean(), abs=4 * math.sqrt((expected * (1 - expected)).sum()) / 300)


def test_findings_fill_every_documented_column(everyone: list[PatientFacts]) -> None:
    for facts in everyone[:20]:
        assert set(facts.findings) == {column.name for column in FINDING_COLUMNS}


def test_treadmill_findings_are_missing_without_a_treadmill(everyone: list[PatientFacts]) -> None:
    for facts in everyone:
        on_treadmill = facts.person.stress_type == "exercise"
        assert math.isnan(float(facts.findings["exercise_duration_s"])) != on_treadmill


def test_a_blocked_ecg_cannot_be_interpreted(everyone: list[PatientFacts]) -> None:
    rng, facts = np.random.default_rng(0), everyone[0]
    blocked = dataclasses.replace(facts.disease, lbbb=True)
    found = findings(facts.person, blocked, facts.perfusion, rng)
    assert found["rest_ecg"] == "lbbb"
    assert found["stress_ecg"] == "not interpretable"
    assert math.isnan(float(found["st_depression_mm"]))


def test_ill_vessels_look_ill_in_ct_and_calcium(everyone: list[PatientFacts]) -> None:
    ill = [f for f in everyone if f.obstructive_vessels]
    well = [f for f in everyone if not f.obstructive_vessels]

    def worst(facts: PatientFacts) -> float:
        return max(float(facts.findings[f"ct_stenosis_grade_{v}"]) for v in ("lad", "lcx", "rca"))

    assert np.mean([worst(f) for f in ill]) > np.mean([worst(f) for f in well]) + 1.5
    assert np.median([f.findings["calcium_score"] for f in ill]) > np.median(
        [f.findings["calcium_score"] for f in well]
    )
    assert 0.1 < np.mean([f.findings["calcium_score"] == 0 for f in everyone]) < 0.6


def test_flow_is_short_where_arteries_are_obstructed(everyone: list[PatientFacts]) -> None:
    short = np.array([short_of_flow_percent(f.perfusion) for f in everyone])
    ill = np.array([f.obstructive_vessels > 0 for f in everyone])
    assert 0 <= short.min() <= short.max() <= 100
    assert short[ill].mean() > short[~ill].mean() + 5


def test_a_worse_report_speaks_for_angiography(person: Person) -> None:
    found: dict[str, float | int | bool | str] = {
        "stress_ecg": "negative",
        "stress_chest_pain": False,
        **{f"ct_stenosis_grade_{vessel}": 1 for vessel in ("lad", "lcx", "rca")},
    }
    calm, alarming = (referral_evidence(person, found, r, ct_known=False) for r in (reading(0, 0), reading(4, 10)))
    assert alarming > calm + 2
    ct = {**found, "ct_stenosis_grade_lad": 5}
    assert referral_evidence(person, ct, reading(0, 0), ct_known=True) > calm
    assert referral_evidence(person, ct, reading(0, 0), ct_known=False) == calm
    rng = np.random.default_rng(0)
    sent = [np.mean([is_referred(person, found, r, rng) for _ in range(400)]) for r in (reading(0, 0), reading(4, 10))]
    assert sent[1] > sent[0] + 0.2


def test_the_referred_are_sicker_and_know_of_no_disease() -> None:
    rng = np.random.default_rng(3)
    referred = [draw_patient_facts(SITES["north"], "referred", rng) for _ in range(30)]
    assert all(f.referred and not f.person.known_cad for f in referred)
    assert np.mean([f.obstructive_vessels > 0 for f in referred]) > 0.35


def test_rejecting_early_rejects_nobody_who_would_have_been_referred() -> None:
    """Nobody has more evidence than the bound that spares the drawing of disease."""
    rng = np.random.default_rng(5)
    for _ in range(150):
        facts = draw_patient_facts(SITES["harbour"], "all", rng)
        for known in (False, True):
            evidence = referral_evidence(facts.person, facts.findings, facts.readings[0], ct_known=known)
            assert evidence <= _most_evidence(facts.person, ct_known=known)


def test_the_unlikely_have_no_history_a_low_likelihood_and_a_normal_ecg() -> None:
    rng = np.random.default_rng(3)
    unlikely = [draw_patient_facts(SITES["coast"], "low-likelihood", rng, sex=sex) for sex in ("F", "M") * 12]
    assert [f.person.sex for f in unlikely] == ["F", "M"] * 12
    for facts in unlikely:
        assert not facts.person.known_cad
        assert facts.pretest_likelihood < 0.05
        assert facts.findings["rest_ecg"] == "normal"
        assert facts.findings["stress_ecg"] == "negative"
        assert facts.pretest_likelihood == pretest_likelihood(facts.person, site_logit=SITES["coast"].risk_logit)


def test_the_same_seed_gives_the_same_patient() -> None:
    one, other = (
        facts_row(draw_patient_facts(SITES["hillside"], "referred", np.random.default_rng([1, 5]))) for _ in range(2)
    )
    assert repr(one) == repr(other)


def test_an_unknown_population_is_refused() -> None:
    with pytest.raises(InvalidValue, match="low-likelihood"):
        draw_patient_facts(SITES["north"], "healthy", np.random.default_rng(0))  # type: ignore[arg-type]


def test_rows_make_a_cohort_of_the_documented_columns(everyone: list[PatientFacts]) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for facts in everyone[:12]:
        heart = HeartSummary(facts.deficit.stress_percent, facts.deficit.ischaemic_percent, 0.0, 60.0)
        lived = follow_up(
            facts.person, heart, rng, referred=facts.referred, obstructive_vessels=facts.obstructive_vessels
        )
        rows.append({**facts_row(facts), **outcome_row(lived)})
    names = np.array([f"p{k}" for k in range(len(rows))])
    cohort = Cohort(
        names, names, POPULATION_COLUMNS, {c.name: np.array([r[c.name] for r in rows]) for c in POPULATION_COLUMNS}
    )
    assert len(cohort) == 12
    assert {column.name for column in OUTCOME_COLUMNS} <= set(cohort.values)


def test_angiography_is_known_of_the_referred_only(everyone: list[PatientFacts]) -> None:
    for facts in everyone:
        row = facts_row(facts)
        assert math.isnan(float(row["angiography_lad"])) != facts.referred
        if facts.referred:
            assert bool(row["angiography_lad"]) == facts.angiogram.obstructive["LAD"]
            assert row["angiography_stenosis_lad_percent"] == facts.angiogram.stenosis_percent["LAD"]


def test_territories_of_the_deficit_add_up(everyone: list[PatientFacts]) -> None:
    for facts in everyone[:30]:
        assert facts.deficit.vessel_percent.sum() == pytest.approx(facts.deficit.stress_percent)
