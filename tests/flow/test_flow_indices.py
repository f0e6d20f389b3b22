"""From two flows to what is acted upon: reserve, work at rest, relative reserve, capacity, serial change, residuals."""

from __future__ import annotations

import numpy as np
import pytest

from myoscope.core import Grid, InvalidValue, RegionValue, UnitMismatch, Volume
from myoscope.correct.residual import residual_image, subtract_residual
from myoscope.physics.decay import share_left
from myoscope.quantify.flow.capacity import HOUSTON, CapacityClasses, capacity_class, capacity_shares
from myoscope.quantify.flow.indices import (
    corrected_for_work,
    flow_reserve,
    log_sd,
    relative_reserve,
)


def region(name: str, value: float, sd: float = 0.1) -> RegionValue:
    return RegionValue(name, value, value * float(np.exp(-1.96 * sd)), value * float(np.exp(1.96 * sd)))


def test_reserve_is_the_ratio_and_its_relative_variance_the_sum_of_both() -> None:
    found = flow_reserve(region("LAD", 3.0, 0.06), region("LAD", 1.0, 0.08))
    assert found.value == pytest.approx(3.0)
    assert log_sd(found) == pytest.approx(0.10, rel=1e-4)


def test_reserve_of_two_regions_is_refused_and_of_a_missing_flow_is_missing() -> None:
    with pytest.raises(InvalidValue, match="LAD"):
        flow_reserve(region("LAD", 3.0), region("RCA", 1.0))
    missing = flow_reserve(region("LAD", 3.0), RegionValue("LAD", None, reason="no uptake"))
    assert missing.value is None
    assert missing.reason == "no uptake"


def test_a_heart_that_works_twice_as_hard_at_rest_has_half_the_flow_at_reference_work() -> None:
    rest = region("left ventricle", 1.2)
    assert corrected_for_work(rest, 20_000.0).value == pytest.approx(0.6)
    assert corrected_for_work(rest, 10_000.0).value == pytest.approx(1.2)
    assert corrected_for_work(rest, None).value is None


def test_relative_reserve_is_held_against_the_best_territory() -> None:
    segments = [region("a", 1.5), region("b", 3.0)]
    vessels = [region("LAD", 1.5), region("LCx", 3.0)]
    assert [one.value for one in relative_reserve(segments, vessels)] == pytest.approx([0.5, 1.0])


def test_capacity_takes_the_better_of_flow_and_reserve_and_never_falls_when_either_rises() -> None:
    flow, ratio = np.meshgrid(np.linspace(0.1, 4, 40), np.linspace(0.5, 5, 46), indexing="ij")
    classes = capacity_class(flow, ratio)
    assert (np.diff(classes, axis=0) <= 0).all()
    assert (np.diff(classes, axis=1) <= 0).all()
    assert classes[0, 0] == len(HOUSTON.names) - 1
    assert classes[-1, -1] == 0
    # A heart that works hard at rest: low reserve, good stress flow.
    assert capacity_class(2.5, 1.5) == 0
    assert capacity_class(np.nan, 2.0) == -1


def test_shares_of_capacity_add_up_over_what_is_known() -> None:
    classes = np.array([0, 0, 4, -1], np.int16)
    shares = capacity_shares(classes, np.array([1.0, 2.0, 1.0, 7.0]))
    assert shares == pytest.approx([0.75, 0, 0, 0, 0.25])


def test_classes_must_fall() -> None:
    with pytest.raises(InvalidValue, match="falling"):
        CapacityClasses(("a", "b", "c"), (1.0, 2.0), (3.0, 2.0), "nobody")


GRID = Grid.axis_aligned((12, 10, 8), spacing_mm=4.0)
START_S, LAST_S = np.array([0.0, 60.0, 120.0, 240.0]), np.array([60.0, 60.0, 120.0, 120.0])


def dynamic(array: np.ndarray, unit: str = "kBq/mL") -> Volume:
    return Volume(array.astype(np.float32), GRID, unit, ("made",), "time", None, START_S, LAST_S)


def test_a_second_injection_of_nothing_leaves_nothing_after_the_first_is_taken_off() -> None:
    rng = np.random.default_rng(3)
    end = rng.uniform(10, 100, GRID.shape)
    first = dynamic(np.stack([0.2 * end, 0.6 * end, end, end]))
    seconds = 3600.0
    # Corrected to the second study's start, what the first one left stands still.
    second = dynamic(np.stack([end * float(share_left("F-18", seconds))] * 4))
    rest = subtract_residual(second, residual_image(first), nuclide="F-18", seconds_between=seconds)
    assert np.abs(np.asarray(rest.array)).max() < 1e-4 * float(np.asarray(second.array).max())


def test_what_is_left_follows_the_heart_to_where_it_lies_now() -> None:
    image = np.zeros(GRID.shape)
    image[5, 5, 4] = 100.0
    left = dynamic(np.stack([image] * 4))
    moved = np.roll(image, 1, axis=0)
    second = dynamic(np.stack([moved * float(share_left("N-13", 1800.0))] * 4))
    rest = subtract_residual(
        second, residual_image(left), nuclide="N-13", seconds_between=1800.0, moved_mm=(4.0, 0.0, 0.0)
    )
    assert np.abs(np.asarray(rest.array)).max() < 1e-3


def test_images_in_different_units_or_times_are_not_subtracted() -> None:
    one = dynamic(np.ones((4, *GRID.shape)))
    with pytest.raises(UnitMismatch, match="Bq/mL"):
        subtract_residual(
            one, residual_image(dynamic(np.ones((4, *GRID.shape)), "Bq/mL")), nuclide="F-18", seconds_between=60.0
        )
    with pytest.raises(InvalidValue, match="after the first"):
        subtract_residual(one, residual_image(one), nuclide="F-18", seconds_between=-60.0)
