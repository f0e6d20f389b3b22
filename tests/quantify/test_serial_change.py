from dataclasses import replace

import numpy as np
import pytest
from normal_wall import SHAPE, polar_map

from myoscope.core import GeometryMismatch, InvalidValue, PolarMap, Quantity, UnitMismatch
from myoscope.quantify import CellChange, changed_cells, false_discoveries_held, serial_change


def ef(value: float, low: float | None = None, high: float | None = None) -> Quantity:
    return Quantity("LVEF", value, "%", low, high)


def test_the_interval_of_a_difference_follows_from_both() -> None:
    found = serial_change(ef(50, 47, 53), ef(60, 56, 64), repeatability=8.0)
    assert found.change.value == 10
    assert [found.change.low, found.change.high] == pytest.approx([5, 15])
    assert found.beyond_noise
    assert found.beyond_repeatability


def test_lopsided_intervals_stay_lopsided() -> None:
    """A TPD near zero: 1 (0 to 5) before, 4 (3 to 8) after."""
    found = serial_change(Quantity("TPD", 1.0, "%", 0.0, 5.0), Quantity("TPD", 4.0, "%", 3.0, 8.0), repeatability=None)
    assert found.change.low == pytest.approx(3 - np.hypot(1, 4))
    assert found.change.high == pytest.approx(3 + np.hypot(4, 1))
    assert not found.beyond_noise
    assert found.beyond_repeatability is None


def test_the_interval_covers_the_true_difference_as_often_as_it_says() -> None:
    rng = np.random.default_rng(6)
    hits = 0
    for _ in range(2000):
        a, b = rng.normal(50, 2), rng.normal(57, 3)
        one, other = ef(a, a - 1.96 * 2, a + 1.96 * 2), ef(b, b - 1.96 * 3, b + 1.96 * 3)
        change = serial_change(one, other, repeatability=None).change
        assert change.low is not None
        assert change.high is not None
        hits += change.low <= 7 <= change.high
    assert hits / 2000 == pytest.approx(0.95, abs=0.015)


def test_what_is_missing_stays_missing_with_its_reason() -> None:
    missing = Quantity("LVEF", None, "%", reason="this series has one gate")
    found = serial_change(ef(50), missing, repeatability=5.0)
    assert found.change.value is None
    assert found.change.reason == "after: this series has one gate"
    assert found.beyond_noise is None
    assert found.beyond_repeatability is None
    assert serial_change(ef(50), ef(57, 50, 60), repeatability=None).beyond_noise is None


def test_different_quantities_are_not_compared() -> None:
    with pytest.raises(InvalidValue, match="different quantities"):
        serial_change(ef(50), Quantity("EDV", 100.0, "%"), repeatability=None)
    with pytest.raises(UnitMismatch):
        serial_change(ef(50), Quantity("LVEF", 0.5, "1"), repeatability=None)
    with pytest.raises(InvalidValue, match="0 or more"):
        serial_change(ef(50), ef(55), repeatability=-1)


def noisy(truth: np.ndarray, sd: float, seed: int) -> PolarMap:
    return polar_map(truth + np.random.default_rng(seed).normal(0, sd, SHAPE), "counts")


def compared(before: PolarMap, after: PolarMap, sd: tuple[float, float] = (50.0, 20.0)) -> CellChange:
    return changed_cells(
        before,
        after,
        before_sd=np.full(SHAPE, sd[0]),
        after_sd=np.full(SHAPE, sd[1]),
        false_discovery_rate=0.05,
    )


def test_an_unchanged_wall_with_other_counts_has_next_to_no_changed_cells() -> None:
    found = [
        compared(noisy(np.full(SHAPE, 1000.0), 50, n), noisy(np.full(SHAPE, 400.0), 20, 100 + n)) for n in range(20)
    ]
    assert np.mean([f.better.any() or f.worse.any() for f in found]) < 0.25
    assert np.mean([f.better_percent + f.worse_percent for f in found]) < 0.1
    assert np.mean([f.level for f in found]) == pytest.approx(2.5, rel=0.002)
    assert np.nanstd([f.z for f in found]) == pytest.approx(1, abs=0.02)


def test_a_level_that_is_given_is_the_one_that_is_used() -> None:
    before, after = noisy(np.full(SHAPE, 1000.0), 50, 1), noisy(np.full(SHAPE, 400.0), 20, 2)
    sd = np.full(SHAPE, 50.0)
    half = changed_cells(before, after, before_sd=sd, after_sd=sd, false_discovery_rate=0.05, level=1.25)
    assert half.level == 1.25
    assert np.nanmean(half.change.value) == pytest.approx(-50, abs=1)
    with pytest.raises(InvalidValue, match="positive level"):
        changed_cells(before, after, before_sd=sd, after_sd=sd, false_discovery_rate=0.05, level=0.0)


def test_a_part_that_got_worse_is_found_and_the_rest_is_not_called_better() -> None:
    truth = np.full(SHAPE, 400.0)
    truth[10:20, 10:34] = 280.0
    found = compared(noisy(np.full(SHAPE, 1000.0), 50, 1), noisy(truth, 20, 2))
    true = truth < 400
    assert (found.worse & true).sum() > 0.9 * true.sum()
    called = found.worse | found.better
    assert (called & ~true).sum() <= 0.1 * called.sum()
    assert found.change.value[true].mean() == pytest.approx(-30, abs=2)
    w = found.change.weights("surface")
    assert found.worse_percent == pytest.approx(100 * w[found.worse].sum())


def test_swapping_the_studies_swaps_better_and_worse() -> None:
    truth = np.full(SHAPE, 400.0)
    truth[10:20, 10:34] = 280.0
    before, after = noisy(np.full(SHAPE, 1000.0), 50, 1), noisy(truth, 20, 2)
    forth, back = compared(before, after), compared(after, before, (20.0, 50.0))
    assert np.array_equal(forth.worse, back.better)
    assert forth.level * back.level == pytest.approx(1, rel=1e-6)


def test_false_discoveries_stay_below_their_rate() -> None:
    rng = np.random.default_rng(9)
    false, called = 0, 0
    for _ in range(100):
        z = rng.normal(0, 1, 1000)
        z[:100] += 4
        chosen = false_discoveries_held(z, 0.1)
        false += chosen[100:].sum()
        called += chosen.sum()
    assert false / called == pytest.approx(0.09, abs=0.02)
    assert not false_discoveries_held(np.zeros(5), 0.05).any()


def test_cells_that_were_not_seen_twice_are_left_out() -> None:
    before = noisy(np.full(SHAPE, 1000.0), 50, 1)
    hidden = np.array(before.value)
    hidden[30:] = np.nan
    found = compared(replace(before, value=hidden), noisy(np.full(SHAPE, 400.0), 20, 2))
    assert np.isnan(found.z[30:]).all()
    assert not found.worse[30:].any()


def test_maps_that_cannot_be_compared_are_refused() -> None:
    one, sd = polar_map(np.full(SHAPE, 100.0), "counts"), np.ones(SHAPE)
    with pytest.raises(InvalidValue, match="between 0 and 1"):
        changed_cells(one, one, before_sd=sd, after_sd=sd, false_discovery_rate=0)
    with pytest.raises(GeometryMismatch):
        changed_cells(one, one, before_sd=sd[:20], after_sd=sd, false_discovery_rate=0.05)
    with pytest.raises(InvalidValue, match="above 0"):
        changed_cells(one, one, before_sd=0 * sd, after_sd=sd, false_discovery_rate=0.05)
    with pytest.raises(InvalidValue, match="sampled by"):
        changed_cells(one, replace(one, method="hybrid"), before_sd=sd, after_sd=sd, false_discovery_rate=0.05)
    nothing = polar_map(np.full(SHAPE, np.nan), "counts")
    with pytest.raises(InvalidValue, match="in common"):
        changed_cells(one, nothing, before_sd=sd, after_sd=sd, false_discovery_rate=0.05)
