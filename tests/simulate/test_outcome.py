"""Events after the scan: competing, censored, and more frequent where more is wrong."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from myoscope.core import InvalidValue
from myoscope.simulate.outcome import CAUSES, WEIGHTS, FollowUp, HeartSummary, follow_up, log_hazard
from myoscope.simulate.person import Person, draw_person
from myoscope.simulate.population_constants import CALIBRATED
from myoscope.simulate.sites import SITES

WELL = HeartSummary(0.0, 0.0, 0.0, 65.0)
ILL = HeartSummary(20.0, 12.0, 6.0, 42.0)


@pytest.fixture(scope="module")
def person() -> Person:
    return draw_person(SITES["north"], np.random.default_rng(11))


def lives(person: Person, heart: HeartSummary, n: int, *, referred: bool = False, vessels: int = 0) -> list[FollowUp]:
    rng = np.random.default_rng(12)
    return [follow_up(person, heart, rng, referred=referred, obstructive_vessels=vessels) for _ in range(n)]


def test_a_larger_deficit_brings_every_event_sooner(person: Person) -> None:
    for cause in CAUSES:
        assert log_hazard(person, ILL, cause) > log_hazard(person, WELL, cause)
    rate = [sum(life.first_event != "none" for life in lives(person, heart, 2000)) for heart in (WELL, ILL)]
    assert rate[1] > 1.5 * rate[0]


def test_diabetes_weighs_more_with_a_deficit(person: Person) -> None:
    without, with_dm = (dataclasses.replace(person, diabetes=has) for has in (False, True))
    for cause in CAUSES:
        at_rest = log_hazard(with_dm, WELL, cause) - log_hazard(without, WELL, cause)
        assert log_hazard(with_dm, ILL, cause) - log_hazard(without, ILL, cause) > at_rest > 0


def test_event_times_follow_the_weibull_hazard(person: Person) -> None:
    """Share with death by 1 year, before censoring can begin to matter much, against 1 - exp(-cumulative hazard)."""
    constants = dataclasses.replace(
        CALIBRATED, base_hazard_per_y={"ACS": 1e-12, "death": 0.2, "revascularisation": 1e-12}
    )
    rng, w = np.random.default_rng(0), WEIGHTS["death"]
    n = 8000
    lived = [follow_up(person, WELL, rng, referred=False, obstructive_vessels=0, constants=constants) for _ in range(n)]
    expected = 1 - math.exp(-0.2 * math.exp(log_hazard(person, WELL, "death")) * 0.5**w.shape)
    died = np.mean([life.death_y <= 0.5 for life in lived])
    assert died == pytest.approx(expected, abs=4 * math.sqrt(expected / n))


def test_nothing_happens_after_death_or_the_end(person: Person) -> None:
    old = dataclasses.replace(person, age_y=92.0)
    for life in lives(old, ILL, 500, referred=True, vessels=3):
        times = [t for t in (life.acs_y, life.death_y, life.revascularisation_y) if not math.isnan(t)]
        assert max(times, default=0.0) <= life.observed_y
        assert life.first_event_y == min(times, default=life.observed_y)
        assert (life.first_event == "none") == (not times)


def test_only_the_referred_with_obstruction_are_revascularised_early(person: Person) -> None:
    assert not any(life.early_revascularisation for life in lives(person, ILL, 300))
    assert not any(life.early_revascularisation for life in lives(person, ILL, 300, referred=True))
    treated = lives(person, ILL, 300, referred=True, vessels=2)
    assert np.mean([life.early_revascularisation for life in treated]) > 0.4
    assert all(life.revascularisation_y <= 0.25 for life in treated if life.early_revascularisation)


def test_follow_up_ends_as_in_the_registries(person: Person) -> None:
    ends = [life.observed_y for life in lives(dataclasses.replace(person, age_y=40.0), WELL, 3000)]
    assert np.percentile(ends, [25, 50, 75]) == pytest.approx([2.5, 3.5, 4.8], abs=0.35)


def test_the_same_seed_gives_the_same_fate(person: Person) -> None:
    assert repr(lives(person, ILL, 20)) == repr(lives(person, ILL, 20))


def test_impossible_hearts_are_refused(person: Person) -> None:
    with pytest.raises(InvalidValue, match="ef_percent"):
        HeartSummary(0.0, 0.0, 0.0, float("nan"))
    with pytest.raises(InvalidValue, match="0 to 3"):
        follow_up(person, WELL, np.random.default_rng(0), referred=True, obstructive_vessels=4)
