from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from normal_wall import KIND, SHAPE, limits, polar_map

from myoscope.core import VESSELS, GeometryMismatch, InvalidValue, NormalLimits, PolarMap
from myoscope.quantify import PerfusionDeficit, combined_deficit, combined_tpd_of_many, perfusion_deficit
from myoscope.simulate.deficit import SEGMENT_OF_PLACE, SHARE_OF_WALL

SUPINE: NormalLimits = limits()
UPRIGHT: NormalLimits = replace(limits(deviation=4.0), kind=replace(KIND, position="upright"))


def lowered(segments: list[int], left: float) -> np.ndarray:
    return np.where(np.isin(SEGMENT_OF_PLACE, segments), left, 100.0)


def both(first: np.ndarray, second: np.ndarray, **choices: Any) -> PerfusionDeficit:
    return combined_deficit(polar_map(first), UPRIGHT, polar_map(second), SUPINE, **choices)


def test_what_only_one_position_shows_is_an_artefact() -> None:
    found = both(lowered([10, 4], 60), lowered([7, 1], 60))
    assert found.tpd_percent == 0
    assert found.extent_percent == 0
    assert np.isnan(found.severity_deviations)


def test_what_both_show_is_as_severe_as_in_the_less_severe() -> None:
    """Scores of 2 (65 % left) and 1 (82.5 %): as if both were 82.5."""
    found = both(lowered([8], 65), lowered([8], 82.5))
    supine = perfusion_deficit(polar_map(lowered([8], 82.5)), SUPINE)
    assert found.tpd_percent == pytest.approx(supine.tpd_percent)
    assert found.severity_deviations == pytest.approx(17.5 / 5)
    assert found.score.max() == pytest.approx(1.0)
    assert found.vessel_tpd_percent == pytest.approx([supine.tpd_percent, 0, 0])


@given(st.integers(0, 2**31), st.sampled_from(["surface", "sample", "display"]), st.sampled_from(["mean", "limit"]))
def test_two_positions_never_find_more_than_either(seed: int, weighting: str, reference: str) -> None:
    """Reference section 3.5, on walls of different areas and partly unseen."""
    rng = np.random.default_rng(seed)
    maps = []
    for _ in range(2):
        value = 100 * rng.uniform(0.4, 1.2, SHAPE)
        value[38:, : rng.integers(0, 72)] = np.nan
        area = SHARE_OF_WALL * rng.uniform(0.8, 1.2, SHAPE)
        maps.append(replace(polar_map(value), area_mm2=area))
    choices: dict[str, Any] = {"weighting": weighting, "score_reference": reference}
    found = combined_deficit(maps[0], UPRIGHT, maps[1], SUPINE, **choices)
    for one, own in ((maps[0], UPRIGHT), (maps[1], SUPINE)):
        alone = perfusion_deficit(one, own, **choices)
        assert found.tpd_percent <= alone.tpd_percent + 1e-9
        assert found.extent_percent <= alone.extent_percent + 1e-9
    assert found.vessel_tpd_percent.sum() == pytest.approx(found.tpd_percent)
    assert found.segment_tpd_percent.sum() == pytest.approx(found.tpd_percent)
    many = combined_tpd_of_many(
        maps[0].value[None],
        maps[1].value[None],
        mean=(UPRIGHT.mean, SUPINE.mean),
        threshold=(UPRIGHT.threshold, SUPINE.threshold),
        weights=(maps[0].weights(choices["weighting"]), maps[1].weights(choices["weighting"])),
        score_reference=choices["score_reference"],
    )
    assert many[0] == pytest.approx(found.tpd_percent)


def test_many_at_once_agree_with_one_after_another() -> None:
    rng = np.random.default_rng(4)
    first, second = (100 * rng.uniform(0.5, 1.1, (5, *SHAPE)) for _ in range(2))
    wall: PolarMap = polar_map(first[0])
    by_vessel = combined_tpd_of_many(
        first,
        second,
        mean=(UPRIGHT.mean, SUPINE.mean),
        threshold=(UPRIGHT.threshold, SUPINE.threshold),
        weights=(wall.weights("surface"), wall.weights("surface")),
        group=wall.territory,
        n_groups=len(VESSELS),
    )
    for n in range(5):
        assert by_vessel[n] == pytest.approx(both(first[n], second[n]).vessel_tpd_percent)


def test_the_same_maps_combined_are_what_they_are() -> None:
    value = lowered([8, 9, 10], 55)
    found = combined_deficit(polar_map(value), SUPINE, polar_map(value), replace(SUPINE, kind=UPRIGHT.kind))
    assert found.tpd_percent == pytest.approx(perfusion_deficit(polar_map(value), SUPINE).tpd_percent)


def test_each_position_needs_its_own_limits_and_the_same_cells() -> None:
    value = polar_map(lowered([8], 60))
    with pytest.raises(InvalidValue, match="limits of its own"):
        combined_deficit(value, SUPINE, value, SUPINE)
    short = PolarMap(
        value.value[:20], value.unit, value.segment[:20], value.segment_20[:20], value.area_mm2[:20], value.method
    )
    with pytest.raises(GeometryMismatch):
        combined_deficit(value, UPRIGHT, short, SUPINE)
