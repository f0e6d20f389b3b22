"""Thickening and timing follow scar, flow and conduction."""

import numpy as np
import pytest

from myoscope.core import InvalidValue
from myoscope.simulate.contraction import Contraction, contract, healthy_thickening
from myoscope.simulate.coronaries import CoronaryDisease, Infarct, Stenosis, coronary_disease
from myoscope.simulate.coronary_tree import Place, draw_tree
from myoscope.simulate.perfusion import State, perfuse
from myoscope.simulate.wall_field import cell_angle_deg, cell_depth, cell_weight

TREE = draw_tree("right", np.random.default_rng(2))
LAD = Place("LAD", 0.05)


def _disease(*percent: float, **more: object) -> CoronaryDisease:
    places = (LAD, Place("RCA", 0.3), Place("LCx", 0.05))
    stenoses = tuple(Stenosis(p, s) for p, s in zip(places, percent, strict=False))
    return coronary_disease(TREE, stenoses=stenoses, rng=np.random.default_rng(0), **more)  # type: ignore[arg-type]


def _contract(disease: CoronaryDisease, state: State = "rest", *, kind: str = "exercise", seed: int = 0) -> Contraction:
    flow = perfuse(disease, stress_type=kind, rng=np.random.default_rng(1), wall_cv=0.0)  # type: ignore[arg-type]
    return contract(disease, flow, state=state, rng=np.random.default_rng(seed))


def test_healthy_walls_thicken_by_30_to_70_percent_most_at_the_apex() -> None:
    mean = np.mean([_contract(_disease(), seed=s).thickening for s in range(30)], axis=0)
    assert mean.min() > 0.28
    assert mean.max() < 0.72
    np.testing.assert_allclose(mean, healthy_thickening(), atol=0.05)
    base = cell_depth() > 0.75
    septum, lateral = (np.abs(cell_angle_deg() - a) < 25 for a in (180, 30))
    assert mean[cell_depth() < 0.1].mean() > mean[base & lateral].mean() > mean[base & septum].mean()


def test_healthy_hearts_contract_together() -> None:
    spread = [_contract(_disease(), seed=s).delay_deg.std() for s in range(30)]
    assert 2 < np.mean(spread) < 9


def test_scar_does_not_thicken_and_contracts_late_in_every_state() -> None:
    scarred = _disease(infarcts=(Infarct(LAD, 0.9, 0.7),))
    core = scarred.scar > 0.85
    for state in ("stress", "rest"):
        c, healthy = _contract(scarred, state), _contract(_disease(), state)
        assert c.thickening[core].max() < 0.05
        assert (c.delay_deg - healthy.delay_deg)[core].mean() > 5
        untouched = scarred.scar < 1e-6
        np.testing.assert_allclose(c.thickening[untouched], healthy.thickening[untouched], rtol=1e-3)


def test_deeper_scar_thickens_less() -> None:
    core = TREE.bed(LAD) > 0.99
    thick = [
        _contract(_disease(infarcts=(Infarct(LAD, depth, 0.8),))).thickening[core].mean()
        for depth in (0.2, 0.4, 0.6, 0.9)
    ]
    assert (np.diff(thick) < 0).all()


def test_ischaemia_stuns_after_exercise_and_recovers_at_rest() -> None:
    ischaemic = _disease(85.0)
    core = TREE.bed(LAD) > 0.95
    healthy = _contract(_disease())
    np.testing.assert_allclose(_contract(ischaemic, "rest").thickening, healthy.thickening, atol=1e-9)
    after_exercise = _contract(ischaemic, "stress").thickening[core].mean()
    after_vasodilator = _contract(ischaemic, "stress", kind="pharmacological").thickening[core].mean()
    assert after_exercise < after_vasodilator < healthy.thickening[core].mean()


def test_muscle_short_of_flow_at_rest_hibernates_in_both_states() -> None:
    asleep = _disease(98.0, collateral_index={"LAD": 0.08, "LCx": 0.2, "RCA": 0.2})
    core = TREE.bed(LAD) > 0.95
    healthy = _contract(_disease()).thickening[core].mean()
    assert _contract(asleep, "rest").thickening[core].mean() < 0.6 * healthy
    assert _contract(asleep, "stress").thickening[core].mean() < 0.6 * healthy


def test_only_severe_extensive_ischaemia_dilates_and_only_after_stress() -> None:
    def mean(*percent: float, state: State = "stress") -> float:
        return float(np.mean([_contract(_disease(*percent), state, seed=s).dilation for s in range(25)]))

    assert mean() == pytest.approx(1, abs=0.02)
    assert mean(90, 90, 90, state="rest") == 1.0
    assert mean(0, 75) < 1.06
    assert 1.1 < mean(92, 90, 88) < 1.4
    assert mean(50, 50, 50) < mean(75, 75, 75) < mean(90, 90, 90)


def test_bundle_branch_block_delays_the_lateral_wall_and_weakens_the_septum() -> None:
    blocked, healthy = _contract(_disease(lbbb=True)), _contract(_disease())
    basal = cell_depth() > 0.4
    septum, lateral = (basal & (np.abs((cell_angle_deg() - a + 180) % 360 - 180) < 25) for a in (178, -10))
    assert blocked.delay_deg[lateral].mean() - blocked.delay_deg[septum].mean() > 30
    assert blocked.delay_deg.std() > 2.5 * healthy.delay_deg.std()
    assert blocked.thickening[septum].mean() < 0.7 * healthy.thickening[septum].mean()


def test_dilated_cardiomyopathy_weakens_all_walls() -> None:
    weak = _contract(_disease(cardiomyopathy="dilated", contractility=0.5)).thickening
    healthy = _contract(_disease()).thickening
    assert float((weak * cell_weight()).sum()) == pytest.approx(0.5 * float((healthy * cell_weight()).sum()), rel=0.1)


def test_equal_seeds_give_equal_hearts_and_nonsense_is_refused() -> None:
    np.testing.assert_array_equal(_contract(_disease(), seed=3).thickening, _contract(_disease(), seed=3).thickening)
    with pytest.raises(InvalidValue, match="state is"):
        _contract(_disease(), "peak")  # type: ignore[arg-type]
