from dataclasses import replace

import numpy as np
import pytest
from normal_wall import SHAPE, polar_map

from myoscope.core import CardiacFrame, GeometryMismatch, Grid, InvalidValue, PolarMap, UnitMismatch
from myoscope.heart import SAMPLING_METHODS, sample_wall
from myoscope.quantify import sampling_agreement
from myoscope.simulate import lv_phantom
from myoscope.simulate.deficit import SEGMENT_OF_PLACE


def sampled(value: np.ndarray, method: str) -> PolarMap:
    return replace(polar_map(value, "counts"), method=method)


def test_maps_that_differ_in_level_only_agree() -> None:
    value = 50 + 10 * np.cos(np.arange(72) / 12) * np.ones(SHAPE)
    found = sampling_agreement([sampled(value, "a"), sampled(1.1 * value, "b")])
    assert found.mean_spread_percent == pytest.approx(0, abs=1e-9)
    assert found.level_percent == pytest.approx([100 / 1.05, 110 / 1.05])


def test_a_segment_that_one_method_sees_brighter_is_named_with_its_size() -> None:
    value = np.full(SHAPE, 100.0)
    inside = SEGMENT_OF_PLACE == 5
    brighter = np.where(inside, 108.0, 100.0)
    found = sampling_agreement([sampled(value, "a"), sampled(brighter, "b"), sampled(value, "c")], weighting="sample")
    expected = 108 / (1 + 0.08 * inside.mean()) - 100
    assert found.worst_segment == 5
    assert found.segment_spread_percent[4] == pytest.approx(expected, rel=0.01)
    assert found.pairs == ((0, 1), (0, 2), (1, 2))
    assert found.pair_sd_percent[1] == pytest.approx(0, abs=1e-9)
    assert found.pair_sd_percent[0] == pytest.approx(found.pair_sd_percent[2])
    assert found.pair_worst_percent[0] == pytest.approx(expected, rel=0.01)


def test_cells_that_one_method_did_not_see_do_not_count() -> None:
    value = np.full(SHAPE, 100.0)
    part = value.copy()
    part[:5] = np.nan
    other = value.copy()
    other[:5] = 500
    found = sampling_agreement([sampled(part, "a"), sampled(other, "b")])
    assert found.mean_spread_percent == pytest.approx(0, abs=1e-9)
    assert np.isnan(found.spread.value[:5]).all()


def test_the_three_methods_agree_on_a_sharp_even_wall() -> None:
    """Reference section 2.2: within 1 % of each other; the base, where the wall ends, is left out."""
    grid = Grid.axis_aligned((36, 36, 36), spacing_mm=4)
    frame = CardiacFrame(np.array([2.0, -3.0, 1.0]), np.array([0.45, -0.80, -0.40]))
    phantom = lv_phantom(grid, frame=frame, fwhm_mm=9, background_ratio=0, lung_ratio=0)
    maps = []
    for method in SAMPLING_METHODS:
        one = sample_wall(phantom.volume, phantom.surfaces, method=method)
        maps.append(one.like(np.where(np.arange(40)[:, None] < 36, one.value, np.nan), "without its base"))
    found = sampling_agreement(maps)
    assert np.abs(found.level_percent - 100).max() < 1
    assert found.mean_spread_percent < 2
    assert len(found.methods) == 3


def test_maps_that_cannot_be_compared_are_refused() -> None:
    value = np.full(SHAPE, 100.0)
    one = sampled(value, "a")
    with pytest.raises(InvalidValue, match="at least two"):
        sampling_agreement([one])
    with pytest.raises(InvalidValue, match="same method"):
        sampling_agreement([one, one])
    with pytest.raises(UnitMismatch):
        sampling_agreement([one, replace(sampled(value, "b"), unit="%")])
    short = PolarMap(value[:20], "counts", one.segment[:20], one.segment_20[:20], one.area_mm2[:20], "b")
    with pytest.raises(GeometryMismatch):
        sampling_agreement([one, short])
    with pytest.raises(InvalidValue, match="no counts"):
        sampling_agreement([one, sampled(np.full(SHAPE, np.nan), "b")])
