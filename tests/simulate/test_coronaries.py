"""Arteries and their beds, and the disease that is drawn into them."""

import json
from itertools import pairwise

import numpy as np
import pytest

from myoscope.core import VESSELS, InvalidValue
from myoscope.simulate.coronaries import (
    OBSTRUCTIVE_PERCENT,
    CoronaryRisk,
    Infarct,
    Stenosis,
    coronary_disease,
    draw_coronaries,
    healthy_coronaries,
)
from myoscope.simulate.coronary_tree import DOMINANCE_SHARE, Dominance, Place, draw_tree
from myoscope.simulate.wall_field import cell_angle_deg, cell_depth, cell_place_mm, cell_weight, smooth_field

RISK = CoronaryRisk(0.3, 0.17, 0.2, 0.03, 0.2, 0.2, 0.05, 0.05, correlation=0.4)


def _share(bed: np.ndarray) -> float:
    return float((bed * cell_weight()).sum())


@pytest.mark.parametrize("dominance", ["right", "left", "balanced"])
def test_territories_partition_the_wall(dominance: Dominance) -> None:
    for seed in range(8):
        tree = draw_tree(dominance, np.random.default_rng(seed))
        np.testing.assert_allclose(tree.supply.sum(0), 1, atol=1e-12)
        np.testing.assert_allclose(tree.vessel_supply().sum(0), 1, atol=1e-12)
        assert set(np.unique(tree.territory)) <= {0, 1, 2}


def test_dominance_decides_who_feeds_the_inferior_wall() -> None:
    inferior = (np.abs(cell_angle_deg() - 245) < 15) & (cell_depth() > 0.5)
    feeds: dict[Dominance, str] = {"right": "RCA", "left": "LCx", "balanced": "RCA"}
    for dominance, vessel in feeds.items():
        for seed in range(6):
            supply = draw_tree(dominance, np.random.default_rng(seed)).vessel_supply()
            assert supply[VESSELS.index(vessel)][inferior].mean() > 0.6
    left = draw_tree("left", np.random.default_rng(0)).vessel_supply()
    assert left[VESSELS.index("RCA")].max() == 0
    posterolateral = (np.abs(cell_angle_deg() - 295) < 10) & (cell_depth() > 0.7)
    balanced = draw_tree("balanced", np.random.default_rng(0)).vessel_supply()
    assert balanced[VESSELS.index("LCx")][posterolateral].mean() > 0.6


def test_beds_have_the_sizes_and_places_of_the_usual_territories() -> None:
    shares, agreement = [], []
    for seed in range(60):
        tree = draw_tree("right", np.random.default_rng(seed))
        supply = tree.vessel_supply()
        shares.append([_share(s) for s in supply])
        level = cell_depth() > 0.35
        angle = cell_angle_deg()
        usual = np.where((angle >= 60) & (angle < 180), 0, np.where((angle >= 180) & (angle < 300), 2, 1))
        agreement.append((tree.territory == usual)[level].mean())
    mean = np.mean(shares, 0)
    assert 0.38 < mean[0] < 0.52
    assert 0.20 < mean[1] < 0.34
    assert 0.20 < mean[2] < 0.34
    assert np.mean(agreement) > 0.75
    assert np.std(shares, 0).min() > 0.015, "people differ"


def test_the_apex_belongs_mostly_to_the_anterior_descending() -> None:
    apex = cell_depth() < 0.1
    supply = np.mean([draw_tree("right", np.random.default_rng(s)).vessel_supply()[0][apex].mean() for s in range(40)])
    assert supply > 0.6


def test_the_further_down_a_narrowing_the_smaller_its_bed() -> None:
    tree = draw_tree("right", np.random.default_rng(4))
    beds = [tree.bed(Place("LAD", along)) for along in np.linspace(0, 1, 15)]
    sizes = [_share(bed) for bed in beds]
    assert (np.diff(sizes) <= 1e-12).all()
    assert sizes[0] > 0.35
    assert sizes[10] < 0.5 * sizes[0]
    np.testing.assert_allclose(tree.bed(Place("LM", 0.5)), tree.vessel_supply()[:2].sum(0), atol=1e-12)
    assert _share(tree.bed(Place("D1", 0.0))) < 0.2
    for upper, lower in pairwise(beds):
        assert (lower <= upper + 1e-12).all()


def test_the_same_seed_draws_the_same_patient_and_another_seed_another() -> None:
    one, same, other = (draw_coronaries(RISK, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert one.as_dict() == same.as_dict()
    np.testing.assert_array_equal(one.tree.supply, same.tree.supply)
    assert one.as_dict() != other.as_dict()


def test_a_disease_is_written_in_plain_words_and_numbers() -> None:
    for seed in range(20):
        told = draw_coronaries(
            CoronaryRisk(0.6, 0.5, 0.5, 0.3, 0.7, 0.5, 0.3, 0.5), np.random.default_rng(seed)
        ).as_dict()
        assert json.loads(json.dumps(told)) == told


def test_obstruction_comes_as_often_as_its_odds_and_clusters() -> None:
    n = 700
    worst, left_main, dominance = np.zeros((n, 3)), np.zeros(n, bool), []
    for seed in range(n):
        d = draw_coronaries(RISK, np.random.default_rng(1000 + seed))
        worst[seed] = [d.worst_stenosis_percent[v] for v in VESSELS]
        left_main[seed] = d.left_main_obstructive
        dominance.append(d.dominance)
        if left_main[seed]:
            assert d.obstructive["LAD"]
            assert d.obstructive["LCx"]
    line = OBSTRUCTIVE_PERCENT["LAD"]
    found = worst >= line
    wanted = np.array([0.3, 0.17, 0.2])
    assert (np.abs(found.mean(0) - wanted) < 3.5 * np.sqrt(wanted * (1 - wanted) / n)).all()
    assert (found[:, 0] & found[:, 2]).mean() > 1.4 * wanted[0] * wanted[2]
    some_plaque = ((worst >= 20) & (worst < line)).any(1).mean()
    assert 0.3 < some_plaque < 0.9, "narrowing below the line is common"
    assert abs(left_main.mean() - 0.03) < 0.022
    share = [dominance.count(k) / n for k in DOMINANCE_SHARE]
    np.testing.assert_allclose(share, [*DOMINANCE_SHARE.values()], atol=0.045)


def test_without_risk_nothing_is_obstructed_and_with_certainty_everything_is() -> None:
    for seed in range(30):
        free = draw_coronaries(CoronaryRisk(0, 0, 0), np.random.default_rng(seed))
        assert not any(free.obstructive.values())
        assert free.diseased.max() == 0
        assert not free.infarcts
        full = draw_coronaries(CoronaryRisk(1, 1, 1, 1), np.random.default_rng(seed))
        assert all(full.obstructive.values())
        assert full.left_main_obstructive


def test_scar_lies_in_its_bed_and_no_deeper_than_told() -> None:
    rng = np.random.default_rng(6)
    tree = draw_tree("right", rng)
    place = Place("LAD", 0.3)
    disease = coronary_disease(tree, infarcts=(Infarct(place, 0.8, 0.6),), rng=rng)
    bed = tree.bed(place)
    assert disease.scar.max() <= 0.8
    assert disease.scar.max() > 0.7
    assert disease.scar[bed < 0.05].max() < 0.05
    assert 0.35 * _share(bed) < _share(disease.scar) / 0.8 < 0.75 * _share(bed)
    border = (disease.scar > 0.1) & (disease.scar < 0.7)
    assert border.sum() > 20, "the border is soft"


def test_a_right_artery_that_feeds_no_left_ventricle_leaves_no_trace_there() -> None:
    rng = np.random.default_rng(1)
    tree = draw_tree("left", rng)
    disease = coronary_disease(
        tree, stenoses=(Stenosis(Place("RCA", 0.2), 99.0),), infarcts=(Infarct(Place("RCA", 0.2), 0.9, 0.8),), rng=rng
    )
    assert disease.obstructive["RCA"]
    assert disease.diseased.max() == 0
    assert disease.scar.max() == 0


def test_smooth_fields_have_unit_spread_and_the_asked_reach() -> None:
    field = smooth_field(15.0, np.random.default_rng(0), 300)
    assert abs(field.std() - 1) < 0.03
    assert abs(field.mean()) < 0.05
    here = (20, 0)
    distance = np.linalg.norm(cell_place_mm() - cell_place_mm()[here], axis=-1)
    correlation = (field * field[:, *here][:, None, None]).mean(0)
    assert np.sqrt(np.mean((correlation - np.exp(-0.5 * (distance / 15) ** 2)) ** 2)) < 0.12


def test_nonsense_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(InvalidValue, match="probability"):
        CoronaryRisk(1.2, 0, 0)
    with pytest.raises(InvalidValue, match="correlation below 1"):
        CoronaryRisk(0, 0, 0, correlation=1.0)
    with pytest.raises(InvalidValue, match="0 to 100 %"):
        Stenosis(Place("LAD", 0.5), 120)
    with pytest.raises(InvalidValue, match="transmurality"):
        Infarct(Place("LAD", 0.5), 0.0, 0.5)
    with pytest.raises(InvalidValue, match="dominance"):
        draw_tree("codominant", rng)  # type: ignore[arg-type]
    with pytest.raises(InvalidValue, match="no branch"):
        coronary_disease(draw_tree("right", rng), stenoses=(Stenosis(Place("OM9", 0.5), 50),), rng=rng)
    assert healthy_coronaries(rng).scar.max() == 0
