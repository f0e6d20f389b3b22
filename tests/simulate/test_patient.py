"""A virtual patient: the same from the same seed, one part's draws apart from another's, and true to what was asked."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from myoscope.core import Grid, InvalidValue
from myoscope.simulate.patient import PHASES, TRUTH_MAPS, VirtualPatient, draw_patient
from myoscope.simulate.population_columns import POPULATION_COLUMNS
from myoscope.simulate.sites import SITES


@pytest.fixture(scope="module")
def patient() -> VirtualPatient:
    return draw_patient(3, site="north", disease="LAD")


def test_the_same_seed_gives_the_same_patient(patient: VirtualPatient) -> None:
    again = draw_patient(3, site="north", disease="LAD")
    assert json.dumps(again.truth()) == json.dumps(patient.truth())
    for name, values in patient.truth_maps().items():
        np.testing.assert_array_equal(again.truth_maps()[name], values)


def test_seed_number_and_site_each_give_another_patient(patient: VirtualPatient) -> None:
    others = (
        draw_patient(4, site="north", disease="LAD"),
        draw_patient(3, site="north", disease="LAD", index=1),
        draw_patient(3, site="coast", disease="LAD"),
    )
    assert len({p.identifier for p in (patient, *others)}) == 4
    assert len({p.heart.mass_g for p in (patient, *others)}) == 4


def test_streams_of_different_purposes_are_independent_and_repeat(patient: VirtualPatient) -> None:
    one, again, other = (patient.rng(name).normal(size=4).tolist() for name in ("a", "a", "b"))
    assert one == again != other


def test_the_disease_that_was_asked_for_is_there() -> None:
    assert not any(draw_patient(1, site="coast", disease="none").facts.disease.obstructive.values())
    obstructed = draw_patient(1, site="coast", disease="three-vessel").facts.disease.obstructive
    assert all(obstructed.values())
    assert draw_patient(1, site="coast", disease="lbbb").facts.disease.lbbb
    with pytest.raises(InvalidValue, match="disease is any"):
        draw_patient(1, site="coast", disease="flu")  # type: ignore[arg-type]
    with pytest.raises(InvalidValue, match="no site"):
        draw_patient(1, site="moon")
    with pytest.raises(InvalidValue, match="not negative"):
        draw_patient(-1, site="coast")


def test_populations_are_what_they_say() -> None:
    assert draw_patient(2, site="coast", population="referred").facts.referred
    unlikely = draw_patient(2, site="coast", population="low-likelihood", sex="F")
    assert unlikely.facts.pretest_likelihood < 0.05
    assert unlikely.facts.person.sex == "F"


def test_truth_is_plain_and_its_maps_are_described(patient: VirtualPatient) -> None:
    truth = json.loads(json.dumps(patient.truth(), allow_nan=False))
    assert truth["synthetic"] == "simulated; not a patient"
    assert truth["coronaries"]["obstructive"]["LAD"]
    assert set(truth["row"]) == {column.name for column in POPULATION_COLUMNS}
    maps = patient.truth_maps()
    assert set(maps) == set(TRUTH_MAPS)
    assert {values.shape for values in maps.values()} == {(40, 72)}


def test_a_scene_holds_the_tracer_that_the_truth_names(patient: VirtualPatient) -> None:
    look = patient.looks(("stress",))[0]
    scene = patient.scene(look)
    assert scene.n_gates == PHASES
    organs, wall = patient.concentrations(look)
    volume_mL = patient.beating("stress", "supine").wall_volume_mL
    inside = float((wall * volume_mL).sum())
    total = np.asarray(scene.heart.array).sum(axis=(1, 2, 3)) * scene.heart.grid.voxel_volume_mL
    assert (total > inside).all()
    # The walls keep theirs in every phase; what differs is blood that comes and goes.
    assert np.ptp(total) < 0.12 * total.mean()
    assert 0.9 * organs["liver"] < float(np.asarray(scene.background.array).max())
    average = patient.scene(look, n_phases=1)
    assert average.n_gates == 1
    np.testing.assert_allclose(
        np.asarray(average.heart.array).sum(), np.asarray(scene.heart.array).mean(0).sum(), rtol=1e-4
    )


def test_the_heart_lies_where_the_truth_says_and_the_body_round_it(patient: VirtualPatient) -> None:
    look = patient.looks()[0]
    scene = patient.scene(look, n_phases=1)
    frame = patient.frame(look.position)
    share = patient.wall_share(look, Grid.axis_aligned((40, 40, 40), spacing_mm=4.0, centre_mm=frame.centre_mm))
    weight = np.asarray(share.array, float)[..., None]
    centre = (weight * share.grid.points_mm()).sum(axis=(0, 1, 2)) / weight.sum()
    np.testing.assert_allclose(centre, frame.centre_mm, atol=6)
    index = tuple(np.rint(scene.attenuation.grid.to_index(frame.centre_mm)).astype(int))
    assert scene.attenuation.array[index] > 0.1


def test_dedicated_cameras_have_the_heart_in_the_middle() -> None:
    for position in ("upright", "supine"):
        centre = draw_patient(1, site="riverside").frame(position).centre_mm
        assert np.linalg.norm(centre) < 25


def test_a_one_day_protocol_leaves_the_first_dose_in_the_second_image(patient: VirtualPatient) -> None:
    rest = next(look for look in patient.looks() if look.state == "rest")
    two_days = replace(patient, site=replace(SITES["north"], protocol="two-day"))
    assert patient.concentrations(rest)[1].sum() > 1.05 * two_days.concentrations(rest)[1].sum()
    stress = patient.looks()[0]
    np.testing.assert_allclose(patient.concentrations(stress)[1], two_days.concentrations(stress)[1])


def test_other_positions_are_imaged_later_and_in_stress_only() -> None:
    looks = draw_patient(1, site="north").looks()
    assert [look.name for look in looks] == ["stress-supine", "stress-prone", "rest-supine"]
    assert looks[1].minutes_after_injection > looks[0].minutes_after_injection + looks[0].duration_s / 60
