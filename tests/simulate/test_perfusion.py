"""Flow behind narrowings, and the uptake that shows it."""

import numpy as np
import pytest

from myoscope.core import VESSELS, InvalidValue
from myoscope.simulate.coronaries import (
    CoronaryDisease,
    CoronaryRisk,
    Infarct,
    Stenosis,
    coronary_disease,
    draw_coronaries,
)
from myoscope.simulate.coronary_tree import CoronaryTree, Place, draw_tree
from myoscope.simulate.perfusion import Perfusion, flow_share, perfuse, uptake
from myoscope.simulate.wall_field import cell_angle_deg, cell_depth, cell_weight

TREE = draw_tree("right", np.random.default_rng(11))


def _disease(*narrow: tuple[str, float, float], tree: CoronaryTree = TREE, **more: object) -> CoronaryDisease:
    stenoses = tuple(Stenosis(Place(branch, along), percent) for branch, along, percent in narrow)
    return coronary_disease(tree, stenoses=stenoses, rng=np.random.default_rng(0), **more)  # type: ignore[arg-type]


def _perfuse(disease: CoronaryDisease, **more: object) -> Perfusion:
    more = {"stress_type": "pharmacological", "wall_cv": 0.0, "age_y": 40.0} | more
    return perfuse(disease, rng=np.random.default_rng(5), **more)  # type: ignore[arg-type]


def _mean(value: np.ndarray) -> float:
    return float((value * cell_weight()).sum())


def test_hyperaemic_flow_falls_with_narrowing_as_in_people() -> None:
    stress = {s: flow_share(s)[1] for s in (0, 30, 40, 50, 70, 75, 90)}
    assert stress[0] == pytest.approx(1, abs=1e-9)
    assert stress[30] > 0.97
    assert stress[40] > 0.93
    assert stress[50] > 0.85
    assert stress[70] > 0.5 > stress[75], "half at 70 to 75 %"
    assert 0.25 <= stress[90] <= 0.30


def test_rest_flow_is_held_to_85_percent_and_falls_beyond_90() -> None:
    for percent in range(0, 86, 5):
        assert flow_share(percent)[0] == pytest.approx(1, abs=1e-9)
    assert flow_share(92)[0] < 0.9
    assert flow_share(99)[0] > 0.5, "usual collaterals keep the muscle alive"
    assert flow_share(99, collateral_index=0.05)[0] < 0.25


def test_tighter_narrowing_never_brings_more_flow() -> None:
    for reserve in (1.8, 2.5, 3.5, 4.5):
        for collateral in (0.0, 0.2, 0.5):
            flow = np.array(
                [flow_share(s, reserve=reserve, collateral_index=collateral) for s in np.linspace(0, 100, 101)]
            )
            assert (np.diff(flow, axis=0) <= 1e-9).all()
            assert (flow >= 0).all()


def test_collaterals_protect_most_where_the_narrowing_is_severe() -> None:
    gain = [flow_share(s, collateral_index=0.35)[1] - flow_share(s, collateral_index=0.05)[1] for s in (30, 70, 95)]
    assert 0 <= gain[0] < 0.02
    assert gain[0] < gain[1] < gain[2]
    assert gain[2] > 0.2


def test_a_narrowing_is_felt_downstream_of_it_and_nowhere_else() -> None:
    place = Place("LAD", 0.5)
    flow = _perfuse(_disease(("LAD", 0.5, 85.0)))
    lost = 1 - flow.stress_flow_mL_min_g / flow.healthy_stress_mL_min_g
    bed = TREE.bed(place)
    np.testing.assert_allclose(lost, bed * (1 - flow_share(85, reserve=3.0 / 0.85)[1]), atol=1e-9)
    healthy = _perfuse(_disease())
    np.testing.assert_allclose(healthy.stress_flow_mL_min_g[bed < 1e-9], flow.stress_flow_mL_min_g[bed < 1e-9])


def test_stress_flow_falls_steadily_as_one_artery_closes_in_a_diseased_tree() -> None:
    flows = [
        _perfuse(_disease(("LM", 0.5, 40), ("LAD", 0.3, s), ("D1", 0.1, 60), ("RCA", 0.4, 75))).stress_flow_mL_min_g
        for s in (0, 30, 50, 60, 70, 80, 90, 99)
    ]
    bed = TREE.bed(Place("LAD", 0.3))
    assert (np.diff([_mean(f * bed) for f in flows]) < 0).all()
    assert (np.diff([_mean(f) for f in flows]) < 0).all()


def test_narrowings_in_series_cost_more_than_either() -> None:
    distal = TREE.bed(Place("LAD", 0.7)) > 0.9
    first, second, both = (
        _perfuse(_disease(*n)).stress_flow_mL_min_g[distal].mean()
        for n in ([("LAD", 0.05, 65)], [("LAD", 0.6, 65)], [("LAD", 0.05, 65), ("LAD", 0.6, 65)])
    )
    assert both < min(first, second) - 0.05


def test_a_narrowed_left_main_starves_both_its_arteries() -> None:
    lost = _perfuse(_disease(("LM", 0.5, 80))).ischaemia
    supply = TREE.vessel_supply()
    for vessel, starved in zip(VESSELS, (True, True, False), strict=True):
        core = supply[VESSELS.index(vessel)] > 0.99
        assert bool(lost[core].mean() > 0.4) is starved


def test_balanced_disease_lowers_all_and_leaves_the_relative_map_flat() -> None:
    healthy = uptake(_perfuse(_disease()), tracer="sestamibi", state="stress")
    sick = uptake(_perfuse(_disease(("LM", 0.5, 85), ("RCA", 0.1, 85))), tracer="sestamibi", state="stress")
    relative = (sick / sick.mean()) / (healthy / healthy.mean())
    assert sick.mean() < 0.75 * healthy.mean()
    assert relative.std() < 0.03


def test_small_vessel_disease_lowers_reserve_everywhere_alike() -> None:
    healthy, sick = _perfuse(_disease()), _perfuse(_disease(microvascular_factor=0.6))
    np.testing.assert_allclose(sick.reserve, 0.6 * healthy.reserve)
    np.testing.assert_allclose(sick.rest_flow_mL_min_g, healthy.rest_flow_mL_min_g)
    assert sick.ischaemia.max() < 1e-12, "no artery is to blame"


def test_diffuse_disease_starves_the_apex_more_than_the_base() -> None:
    sick = _perfuse(_disease(diffuse_loss=0.25))
    apex, base = cell_depth() < 0.2, cell_depth() > 0.8
    assert sick.stress_flow_mL_min_g[apex].mean() < 0.87 * sick.stress_flow_mL_min_g[base].mean()


def test_half_the_flow_of_healthy_wall_shows_as_seven_tenths_of_its_tetrofosmin() -> None:
    def at(factor: float) -> np.ndarray:
        return uptake(_perfuse(_disease(), hyperaemic_factor=factor), tracer="tetrofosmin", state="stress")

    np.testing.assert_allclose(at(1.0), 1.0)
    np.testing.assert_allclose(at(0.5), 0.7104, atol=1e-4)


def test_ischaemia_is_reversible_and_scar_is_not() -> None:
    place = Place("LAD", 0.05)
    core = TREE.bed(place) > 0.95
    remote = TREE.bed(place) < 0.01

    def contrast(disease: CoronaryDisease, state: str) -> float:
        seen = uptake(_perfuse(disease), tracer="sestamibi", state=state)  # type: ignore[arg-type]
        return float(seen[core].mean() / seen[remote].mean())

    ischaemic = _disease(("LAD", 0.05, 80))
    assert contrast(ischaemic, "stress") < 0.75
    assert contrast(ischaemic, "rest") == pytest.approx(1, abs=1e-6)
    scarred = _disease(infarcts=(Infarct(place, 0.8, 0.7),))
    assert contrast(scarred, "rest") < 0.6
    assert contrast(scarred, "stress") == pytest.approx(contrast(scarred, "rest"), rel=1e-9)


def test_bundle_branch_block_dims_the_septum_more_with_exercise() -> None:
    septum = (np.abs(cell_angle_deg() - 165) < 15) & (cell_depth() > 0.4)
    lateral = (np.abs(cell_angle_deg() - 345) < 14) & (cell_depth() > 0.4)

    def contrast(kind: str) -> float:
        seen = uptake(_perfuse(_disease(lbbb=True), stress_type=kind), tracer="sestamibi", state="stress")
        return float(seen[septum].mean() / seen[lateral].mean())

    assert contrast("exercise") < contrast("pharmacological") < 0.95
    assert contrast("exercise") > 0.6


def test_healthy_people_have_the_flows_of_volunteers_and_less_with_age_and_exercise() -> None:
    def flows(**more: object) -> tuple[np.ndarray, np.ndarray]:
        drawn = [
            perfuse(_disease(), rng=np.random.default_rng(s), **more)  # type: ignore[arg-type]
            for s in range(40)
        ]
        return (
            np.array([_mean(p.rest_flow_mL_min_g) for p in drawn]),
            np.array([_mean(p.stress_flow_mL_min_g) for p in drawn]),
        )

    rest, young = flows(stress_type="pharmacological", age_y=30.0)
    assert 0.7 < rest.mean() < 1.0
    assert 2.5 < young.mean() < 3.5
    old = flows(stress_type="pharmacological", age_y=80.0)[1]
    assert old.mean() < 0.85 * young.mean()
    effort = flows(stress_type="exercise", age_y=30.0)[1]
    assert 0.7 < effort.mean() / young.mean() < 0.9


def test_healthy_walls_are_a_tenth_uneven_and_smooth() -> None:
    cv = [
        perfuse(_disease(), stress_type="pharmacological", rng=np.random.default_rng(s)).stress_flow_mL_min_g
        for s in range(30)
    ]
    spread = np.mean([f.std() / f.mean() for f in cv])
    assert 0.08 < spread < 0.13
    step = np.mean([np.abs(np.diff(f, axis=0)).mean() / f.mean() for f in cv])
    assert step < 0.03


def test_drawn_patients_have_finite_positive_maps_and_repeat_with_the_seed() -> None:
    risk = CoronaryRisk(0.7, 0.6, 0.6, 0.3, 0.5, 0.5, 0.2, 0.2)
    for seed in range(60):
        maps = []
        for _ in range(2):
            rng = np.random.default_rng(seed)
            flow = perfuse(draw_coronaries(risk, rng), stress_type="exercise", rng=rng)
            maps.append([uptake(flow, tracer="thallium", state=s) for s in ("stress", "rest")])
            assert (flow.rest_flow_mL_min_g <= flow.healthy_rest_mL_min_g + 1e-9).all()
            assert (flow.stress_flow_mL_min_g <= flow.healthy_stress_mL_min_g + 1e-9).all()
            assert flow.rest_flow_mL_min_g.min() > 0.05
        np.testing.assert_array_equal(maps[0], maps[1])
        assert np.isfinite(maps[0]).all()
        assert (np.array(maps[0]) >= 0).all()


def test_nonsense_is_refused() -> None:
    with pytest.raises(InvalidValue, match="stress is exercise"):
        _perfuse(_disease(), stress_type="cold")
    with pytest.raises(InvalidValue, match="positive"):
        _perfuse(_disease(), hyperaemic_factor=0.0)
    with pytest.raises(InvalidValue, match="state is"):
        uptake(_perfuse(_disease()), tracer="sestamibi", state="peak")  # type: ignore[arg-type]
