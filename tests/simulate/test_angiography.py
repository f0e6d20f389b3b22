import numpy as np
import pytest

from myoscope.core import VESSELS
from myoscope.simulate.angiography import Angiogram, read_angiogram
from myoscope.simulate.coronaries import (
    OBSTRUCTIVE_PERCENT,
    READ_EXCESS_PERCENT,
    RESISTANCE_LOG_SD,
    CoronaryDisease,
    Stenosis,
    coronary_disease,
)
from myoscope.simulate.coronary_tree import Place, draw_tree
from myoscope.simulate.perfusion import flow_share


def narrowed(percent: float) -> CoronaryDisease:
    rng = np.random.default_rng(1)
    tree = draw_tree("right", rng)
    return coronary_disease(tree, stenoses=(Stenosis(Place("LAD", 0.3), percent),), rng=rng)


def readings(percent: float, n: int = 600) -> np.ndarray:
    disease, rng = narrowed(percent), np.random.default_rng(2)
    return np.array([read_angiogram(disease, rng).stenosis_percent["LAD"] for _ in range(n)])


def test_the_eye_sees_narrowings_tighter_than_they_measure_and_scatters() -> None:
    read = readings(55)
    assert read.mean() == pytest.approx(55 + READ_EXCESS_PERCENT, abs=1.2)
    assert read.std() == pytest.approx(8.4, rel=0.1)


def test_on_the_line_of_obstruction_half_of_the_readings_say_so() -> None:
    assert (readings(OBSTRUCTIVE_PERCENT["LAD"]) >= 70).mean() == pytest.approx(0.5, abs=0.08)


def test_closed_and_smooth_arteries_are_seen_as_they_are() -> None:
    assert (readings(100, 50) == 100).all()
    assert (readings(0, 50) == 0).all()


def test_a_narrow_left_main_obstructs_both_its_branches() -> None:
    read = Angiogram({"LAD": 20.0, "LCx": 0.0, "RCA": 40.0, "LM": 50.0})
    assert read.obstructive == {"LAD": True, "LCx": True, "RCA": False}
    assert set(read.obstructive) == set(VESSELS)


def test_pressure_wires_and_eyes_disagree_as_in_people() -> None:
    """Tonino 2010: flow reserve of 0.80 or less in 35, 80 and 96 % of narrowings read as 50-70, 71-90, 91-99 %."""
    rng = np.random.default_rng(3)
    n = 1500
    true = rng.uniform(30, 97, n)
    read = np.clip(true + READ_EXCESS_PERCENT + 8.4 * rng.standard_normal(n), 0, 99)
    cost = np.exp(RESISTANCE_LOG_SD * rng.standard_normal(n))
    reserve = np.array([flow_share(p, reserve=3.0, resistance=c)[1] for p, c in zip(true, cost, strict=True)])
    for low, high, published in ((50, 70, 0.35), (71, 90, 0.80), (91, 99, 0.96)):
        here = reserve[(read >= low) & (read <= high)] <= 0.80
        assert here.mean() == pytest.approx(published, abs=0.10)
