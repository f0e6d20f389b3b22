"""True deficits of uptake maps, how images show them, and how experts read those."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from myoscope.core import InvalidValue, territory_map
from myoscope.simulate.deficit import SEGMENT_OF_PLACE, SHARE_OF_WALL, Deficit, deficit
from myoscope.simulate.person import Person, draw_person
from myoscope.simulate.readers import READERS, appearance, read_segments
from myoscope.simulate.sites import SITES

HEALTHY = np.ones((40, 72))
TERRITORY = territory_map(SEGMENT_OF_PLACE)


def with_loss(loss: float, vessel: int = 0) -> NDArray[np.float64]:
    return np.where(vessel == TERRITORY, 1 - loss, 1.0)


def person_of(sex: str, bmi: float) -> Person:
    rng = np.random.default_rng(1)
    while True:
        person = draw_person(SITES["north"], rng)
        if person.sex == sex and abs(person.bmi_kg_m2 - bmi) < 1:
            return person


def test_even_uptake_has_no_deficit_however_little_there_is() -> None:
    truth = deficit(0.4 * HEALTHY, HEALTHY, TERRITORY)
    assert truth.stress_percent == truth.ischaemic_percent == 0


def test_a_full_loss_of_one_territory_is_its_share_of_the_wall() -> None:
    share = 100 * SHARE_OF_WALL[TERRITORY == 2].sum()
    truth = deficit(with_loss(0.7, 2), HEALTHY, TERRITORY)
    assert truth.stress_percent == pytest.approx(share)
    assert truth.vessel_percent[2] == pytest.approx(share)
    assert deficit(with_loss(0.35, 2), HEALTHY, TERRITORY).stress_percent == pytest.approx(share / 2)


def test_territories_add_up_to_the_whole() -> None:
    rng = np.random.default_rng(0)
    truth = deficit(rng.uniform(0.3, 1, (40, 72)), rng.uniform(0.5, 1, (40, 72)), TERRITORY)
    assert truth.vessel_percent.sum() == pytest.approx(truth.stress_percent)


def test_a_scar_is_no_ischaemia() -> None:
    truth = deficit(with_loss(0.6), with_loss(0.6), TERRITORY)
    assert truth.stress_percent > 5
    assert truth.ischaemic_percent == 0


def test_segments_of_an_average_wall_are_alike_in_size() -> None:
    share = np.bincount(SEGMENT_OF_PLACE.ravel(), SHARE_OF_WALL.ravel())[1:]
    assert share.sum() == pytest.approx(1)
    assert share.min() > 0.02
    assert share.max() < 0.10


def test_maps_of_another_shape_are_refused() -> None:
    with pytest.raises(InvalidValue, match="40, 72"):
        deficit(np.ones((3, 3)), HEALTHY, TERRITORY)
    with pytest.raises(InvalidValue, match="not missing"):
        deficit(np.full((40, 72), np.nan), HEALTHY, TERRITORY)


def mean_artefact(sex: str, segment: int, *, corrected: bool = False) -> float:
    truth, person, rng = deficit(HEALTHY, HEALTHY, TERRITORY), person_of(sex, 33), np.random.default_rng(2)
    return float(np.mean([appearance(truth, person, rng, corrected=corrected).stress[segment - 1] for _ in range(400)]))


def test_breasts_shade_the_anterior_wall_and_diaphragms_the_inferior() -> None:
    assert mean_artefact("F", 7) > mean_artefact("F", 10) + 0.03
    assert mean_artefact("M", 10) > mean_artefact("M", 7) + 0.03
    assert mean_artefact("M", 10, corrected=True) < 0.6 * mean_artefact("M", 10)


def test_readers_see_a_deep_defect_and_leave_a_healthy_heart() -> None:
    rng, person = np.random.default_rng(3), person_of("M", 26)
    deep, none = deficit(with_loss(0.5), HEALTHY, TERRITORY), deficit(HEALTHY, HEALTHY, TERRITORY)
    for name in READERS:
        ill = [read_segments(appearance(deep, person, rng), name, rng) for _ in range(40)]
        well = [read_segments(appearance(none, person, rng), name, rng) for _ in range(40)]
        assert np.median([r.sss for r in ill]) >= 13
        assert np.median([r.sss for r in well]) <= 3
        assert np.median([r.sds for r in ill]) >= 10
        assert np.mean([r.impression for r in ill]) > 3.5 > 1.5 > np.mean([r.impression for r in well])


def test_scores_run_from_0_to_4() -> None:
    truth = deficit(with_loss(1.0), HEALTHY, TERRITORY)
    reading = read_segments(
        appearance(truth, person_of("M", 26), np.random.default_rng(0)), "A", np.random.default_rng(1)
    )
    assert set(reading.stress.tolist()) <= set(range(5))
    assert reading.stress[0] == 4


def mixed_truths(n: int) -> list[tuple[Deficit, Person]]:
    rng = np.random.default_rng(5)
    people = [draw_person(SITES["north"], rng) for _ in range(n)]
    losses = np.where(rng.random(n) < 0.5, 0, rng.uniform(0.1, 0.7, n))
    return [
        (deficit(with_loss(loss, int(rng.integers(3))), HEALTHY, TERRITORY), person)
        for loss, person in zip(losses, people, strict=True)
    ]


def kappa(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    agree, chance = np.mean(one == other), one.mean() * other.mean() + (1 - one.mean()) * (1 - other.mean())
    return float((agree - chance) / (1 - chance))


def test_readers_agree_well_but_not_wholly_and_each_with_itself_better() -> None:
    rng = np.random.default_rng(6)
    shown = [appearance(truth, person, rng) for truth, person in mixed_truths(400)]
    abnormal = {
        name: np.array([[read_segments(image, name, rng).sss >= 4 for image in shown] for _ in range(2)])
        for name in ("A", "B", "D")
    }
    between = [kappa(abnormal[one][0], abnormal[other][0]) for one, other in (("A", "B"), ("A", "D"), ("B", "D"))]
    within = [kappa(*abnormal[name]) for name in abnormal]
    assert min(between) > 0.5
    assert max(between) < 0.95
    assert np.mean(within) > np.mean(between)


def test_an_unknown_reader_is_refused() -> None:
    shown = appearance(deficit(HEALTHY, HEALTHY, TERRITORY), person_of("F", 26), np.random.default_rng(0))
    with pytest.raises(InvalidValue, match="no reader 'Z'"):
        read_segments(shown, "Z", np.random.default_rng(0))
