"""Tracer in the heart and its neighbours."""

from typing import Any

import numpy as np
import pytest

from myoscope.core import InvalidValue
from myoscope.simulate.coronaries import Stenosis, coronary_disease
from myoscope.simulate.coronary_tree import Place, draw_tree
from myoscope.simulate.organ_uptake import lung_factor, organ_concentrations
from myoscope.simulate.perfusion import perfuse

ORGANS = {
    "lv_wall", "rv_wall", "atrial_wall", "blood", "vessel_blood", "soft_tissue", "fat", "breast", "lung", "liver",
    "gallbladder", "stomach", "bowel", "spleen", "kidney", "bone",
}  # fmt: skip


def _drawn(n: int = 300, **more: object) -> dict[str, np.ndarray]:
    call = {
        "tracer": "tetrofosmin", "state": "rest", "stress_type": "exercise", "minutes_after_injection": 45.0,
        "injected_MBq": 740.0, "weight_kg": 75.0, "sex": "M",
    } | more  # fmt: skip
    drawn = [organ_concentrations(rng=np.random.default_rng(s), **call) for s in range(n)]  # type: ignore[arg-type]
    return {name: np.array([d[name] for d in drawn]) for name in drawn[0]}


def test_the_heart_holds_its_published_share_of_the_dose() -> None:
    decay = 2 ** (-5 / (6.02 * 60))
    for tracer, state, percent in (
        ("tetrofosmin", "rest", 1.2),
        ("sestamibi", "rest", 1.2),
        ("sestamibi", "stress", 1.5),
    ):
        heart = _drawn(tracer=tracer, state=state, minutes_after_injection=5.0, lv_wall_mL=100.0)["lv_wall"]
        share = np.median(heart) * 100 / (740_000 * decay)
        assert 100 * share == pytest.approx(percent, rel=0.03)


def test_every_organ_is_there_and_positive_and_scales_with_the_dose() -> None:
    for tracer in ("tetrofosmin", "sestamibi", "thallium"):
        one, double = _drawn(50, tracer=tracer), _drawn(50, tracer=tracer, injected_MBq=1480.0)
        assert set(one) == ORGANS
        for name in ORGANS:
            assert (one[name] > 0).all()
            np.testing.assert_allclose(double[name], 2 * one[name])


def test_organs_keep_the_ranges_of_their_ratios_to_the_heart() -> None:
    c = _drawn()
    ratio = {name: np.median(c[name] / c["lv_wall"]) for name in ORGANS}
    for name, low, high in (
        ("blood", 0.03, 0.10), ("rv_wall", 0.5, 0.7), ("lung", 0.03, 0.08), ("liver", 0.3, 1.2),
        ("gallbladder", 0.5, 4.0), ("spleen", 0.2, 0.5), ("kidney", 0.5, 1.2), ("soft_tissue", 0.03, 0.08),
        ("bowel", 0.0, 2.0), ("stomach", 0.0, 2.0),
    ):  # fmt: skip
        assert low < ratio[name] < high, name


def test_liver_clears_with_its_half_life_and_heart_with_its_own() -> None:
    for tracer, heart_min, liver_min in (("tetrofosmin", 278, 67), ("sestamibi", 680, 136)):
        early, late = (_drawn(20, tracer=tracer, minutes_after_injection=t) for t in (30.0, 90.0))
        decay = 2 ** (-60 / (6.02 * 60))
        np.testing.assert_allclose(late["lv_wall"] / early["lv_wall"], decay * 2 ** (-60 / heart_min), rtol=1e-6)
        np.testing.assert_allclose(late["liver"] / early["liver"], decay * 2 ** (-60 / liver_min), rtol=1e-3)


def test_exercise_spares_the_liver_and_sestamibi_loads_it_more() -> None:
    def ratio(**more: Any) -> float:
        c = _drawn(**more)
        return float(np.median(c["liver"] / c["lv_wall"]))

    for tracer in ("tetrofosmin", "sestamibi"):
        exercise = ratio(tracer=tracer, state="stress")
        vasodilator = ratio(tracer=tracer, state="stress", stress_type="pharmacological")
        assert exercise < 0.75 * vasodilator
        assert exercise < 0.75 * ratio(tracer=tracer)
    assert ratio(tracer="sestamibi") > ratio(tracer="tetrofosmin")


def test_a_hot_bowel_is_seen_in_a_quarter_of_patients() -> None:
    c = _drawn(600)
    assert 0.15 < (c["bowel"] / c["lv_wall"] > 0.5).mean() < 0.35


def test_lungs_fill_after_stress_of_a_severely_diseased_heart_only() -> None:
    tree = draw_tree("right", np.random.default_rng(0))
    severe = coronary_disease(
        tree,
        stenoses=(Stenosis(Place("LM", 0.5), 88.0), Stenosis(Place("RCA", 0.2), 90.0)),
        rng=np.random.default_rng(0),
    )
    healthy = coronary_disease(tree, rng=np.random.default_rng(0))
    sick, well = (perfuse(d, stress_type="exercise", rng=np.random.default_rng(1)) for d in (severe, healthy))
    assert lung_factor(sick, state="stress") > 1.3
    assert lung_factor(sick, state="rest") == 1.0
    assert lung_factor(well, state="stress") == 1.0
    np.testing.assert_allclose(_drawn(5, lung_factor=1.5)["lung"], 1.5 * _drawn(5)["lung"])


def test_nonsense_is_refused() -> None:
    for wrong in (
        {"tracer": "teboroxime"},
        {"state": "peak"},
        {"sex": "X"},
        {"injected_MBq": 0.0},
        {"weight_kg": -1.0},
    ):
        with pytest.raises(InvalidValue):
            _drawn(1, **wrong)
