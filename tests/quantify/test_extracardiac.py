from typing import Any

import numpy as np
import pytest
from normal_wall import SHAPE, polar_map

from myoscope.core import CardiacFrame, GeometryMismatch, Grid, InvalidValue, PolarMap
from myoscope.heart import sample_wall
from myoscope.quantify import ExtracardiacActivity, extracardiac_activity
from myoscope.simulate import Cycle, Defect, Phantom, lv_phantom

GRID = Grid.axis_aligned((44, 40, 40), spacing_mm=5)
FRAME = CardiacFrame(np.array([6.0, -3.0, 14.0]), np.array([0.45, -0.80, -0.40]))
INFERIOR = {4, 10, 15, 3, 5, 9, 11, 17}


def heart(**more: Any) -> Phantom:
    return lv_phantom(GRID, frame=FRAME, fwhm_mm=11, **more)


def looked(phantom: Phantom) -> ExtracardiacActivity:
    counts = sample_wall(phantom.volume, phantom.surfaces, method="surface")
    return extracardiac_activity(phantom.volume, phantom.surfaces, counts)


@pytest.fixture(scope="module")
def beside() -> ExtracardiacActivity:
    return looked(heart(liver_ratio=1.5, liver_gap_mm=6))


def test_a_hot_liver_under_the_heart_is_found_where_it_touches(beside: ExtracardiacActivity) -> None:
    flag = beside.flag()
    assert flag is not None
    assert flag.code == "extracardiac_activity"
    assert flag.severity == "warning"
    assert beside.segments[0] in (4, 10, 15)
    assert set(beside.segments) <= INFERIOR
    assert beside.hottest > 1
    assert "inferior" in flag.message
    assert beside.touched_percent > 5
    assert beside.nearest_mm == pytest.approx(6, abs=4)


def test_a_liver_further_away_is_no_trouble() -> None:
    near, far = (looked(heart(liver_ratio=1.2, liver_gap_mm=gap)) for gap in (14, 45))
    assert near.flag() is not None
    assert far.flag() is None
    assert np.isnan(far.nearest_mm)
    assert near.nearest_mm == pytest.approx(14, abs=5)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"rv_ratio": 0.45},
        {"blood_ratio": 0.2, "background_ratio": 0.15},
        {"defect": Defect(angle_deg=270, arc_fraction=0.5, extent=0.15, depth=0.9)},
        {"wall_mm": 14.0, "short_axis_radius_mm": 32.0},
    ],
)
def test_a_heart_without_neighbours_raises_no_flag(more: dict[str, Any]) -> None:
    assert looked(heart(**more)).flag() is None


def test_bowel_is_told_by_its_place() -> None:
    found = looked(heart(gut_ratio=1.2))
    flag = found.flag()
    assert flag is not None
    assert found.segments[0] in INFERIOR
    assert found.nearest_mm == pytest.approx(6, abs=4)


def test_what_does_not_belong_together_is_refused() -> None:
    phantom = heart()
    counts: PolarMap = polar_map(np.full(SHAPE, 900.0), "counts")
    beat = heart(cycle=Cycle(50, n_gates=2))
    with pytest.raises(InvalidValue, match="ungated"):
        extracardiac_activity(beat.volume, beat.surfaces, counts)
    with pytest.raises(InvalidValue, match="without counts"):
        extracardiac_activity(phantom.volume, phantom.surfaces, polar_map(np.zeros(SHAPE), "counts"))
    short = PolarMap(
        counts.value[:20], "counts", counts.segment[:20], counts.segment_20[:20], counts.area_mm2[:20], "surface"
    )
    with pytest.raises(GeometryMismatch):
        extracardiac_activity(phantom.volume, phantom.surfaces, short)
