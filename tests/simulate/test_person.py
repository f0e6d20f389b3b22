"""Who comes for a scan: marginals, correlations and where they come from."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from myoscope.core import InvalidValue
from myoscope.simulate.person import ASSUMED_CORRELATION, SHARE, Person, draw_person
from myoscope.simulate.readers import READERS
from myoscope.simulate.sites import SITES, Scan, site_named


def people(n: int, seed: int = 0, sites: tuple[str, ...] = tuple(SITES)) -> list[Person]:
    rng = np.random.default_rng(seed)
    return [draw_person(SITES[name], rng) for name in sites for _ in range(n // len(sites))]


@pytest.fixture(scope="module")
def crowd() -> list[Person]:
    return people(10_000)


def test_the_same_seed_draws_the_same_person() -> None:
    one, other = (draw_person(SITES["north"], np.random.default_rng([7, 3])) for _ in range(2))
    assert one == other
    assert one != draw_person(SITES["north"], np.random.default_rng([7, 4]))


@pytest.mark.parametrize("name", sorted(SHARE))
def test_yes_or_no_facts_have_their_published_share(crowd: list[Person], name: str) -> None:
    share = SHARE[name]
    found = np.mean([getattr(person, name) for person in crowd])
    assert abs(found - share) < 4 * np.sqrt(share * (1 - share) / len(crowd))


@pytest.mark.parametrize(
    ("name", "quartiles", "within"),
    [
        ("age_y", (59, 67, 75), 2.0),
        ("bmi_kg_m2", (26, 29, 34), 1.0),
        ("rest_heart_rate_bpm", (64, 73, 83), 1.5),
        ("peak_heart_rate_bpm", (97, 126, 146), 5.0),
        ("peak_systolic_mmHg", (134, 157, 178), 3.5),
    ],
)
def test_numbers_have_their_published_quartiles(
    crowd: list[Person], name: str, quartiles: tuple[float, ...], within: float
) -> None:
    found = np.percentile([getattr(person, name) for person in crowd], [25, 50, 75])
    assert np.abs(found - quartiles).max() <= within


def test_the_old_have_more_hypertension_and_exercise_less(crowd: list[Person]) -> None:
    age = np.array([p.age_y for p in crowd])
    assert np.corrcoef(age, [p.hypertension for p in crowd])[0, 1] > 0.1
    assert np.corrcoef(age, [p.stress_type == "exercise" for p in crowd])[0, 1] < -0.2


def test_every_pair_of_assumed_correlations_fits_the_rest() -> None:
    """The matrix they fill is positive definite, or importing would have failed; none is named twice."""
    assert len({frozenset(pair) for pair in ASSUMED_CORRELATION}) == len(ASSUMED_CORRELATION)


def test_nobody_with_bundle_branch_block_is_put_on_a_treadmill(crowd: list[Person]) -> None:
    blocked = [p for p in crowd if p.lbbb]
    assert blocked
    assert {p.stress_type for p in blocked} == {"pharmacological"}


def test_filtration_follows_the_published_formula() -> None:
    person = dataclasses.replace(people(5)[0], sex="F", age_y=50.0, creatinine_mg_dL=0.7)
    assert person.egfr_mL_min_1_73m2 == pytest.approx(142 * 0.9938**50 * 1.012)
    worse = dataclasses.replace(person, creatinine_mg_dL=1.4)
    assert worse.egfr_mL_min_1_73m2 == pytest.approx(person.egfr_mL_min_1_73m2 * 2**-1.2)


def test_a_person_of_no_size_is_refused() -> None:
    with pytest.raises(InvalidValue, match="positive"):
        dataclasses.replace(people(5)[0], height_cm=0.0)


def test_centres_see_other_people() -> None:
    women = {name: np.mean([p.sex == "F" for p in people(3000, sites=(name,))]) for name in ("harbour", "riverside")}
    assert women["riverside"] - women["harbour"] > 0.03


def test_five_centres_hold_every_camera_and_one_stays_outside() -> None:
    assert len(SITES) == 5
    assert [site.camera for site in SITES.values()].count("conventional") == 2
    assert {site.camera for site in SITES.values()} == {"conventional", "multi-pinhole-czt", "column-czt"}
    assert any(site.external for site in SITES.values())
    assert not all(site.external for site in SITES.values())
    assert {site.protocol for site in SITES.values()} == {"one-day stress-rest", "one-day rest-stress", "two-day"}
    assert all(reader in READERS for site in SITES.values() for reader in site.readers)


def test_a_one_day_protocol_leaves_activity_for_the_second_scan_only() -> None:
    north, harbour, riverside = (SITES[name] for name in ("north", "harbour", "riverside"))
    assert north.residual_MBq("stress") == 0
    assert north.residual_MBq("rest") == pytest.approx(400 / 2 ** (3 / 6.02))
    assert riverside.residual_MBq("stress") == pytest.approx(200 / 2 ** (3 / 6.02))
    assert harbour.residual_MBq("stress") == harbour.residual_MBq("rest") == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"gates": 12}, "8 or 16"),
        ({"positions": ("upright",)}, "column"),
        ({"readers": ()}, "reader"),
        ({"share_women": 1.2}, "between 0 and 1"),
    ],
)
def test_a_site_that_cannot_be_is_refused(change: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidValue, match=says):
        dataclasses.replace(SITES["north"], **change)  # type: ignore[arg-type]


def test_correcting_without_a_ct_is_refused() -> None:
    with pytest.raises(InvalidValue, match="without a CT"):
        dataclasses.replace(SITES["harbour"], has_ct=False)


def test_an_unknown_site_is_answered_with_those_there_are() -> None:
    with pytest.raises(InvalidValue, match="north, harbour"):
        site_named("nowhere")
    with pytest.raises(InvalidValue, match="positive"):
        Scan(0.0, 10.0, 60.0)
