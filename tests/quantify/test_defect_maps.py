import numpy as np
import pytest
from normal_wall import SHAPE, limits, polar_map

from myoscope.core import UnitMismatch
from myoscope.quantify import (
    blackout_map,
    defect_map,
    defect_severity_map,
    perfusion_deficit,
    severity_map,
)

VALUE = np.full(SHAPE, 98.0)
VALUE[10:20, 5:15] = 70.0  # 6 deviations of 5 below 100
VALUE[20:25, 30:40] = 86.0  # 2.8 deviations: within the limit
VALUE[39, 70] = np.nan
DEFECT = np.zeros(SHAPE, bool)
DEFECT[10:20, 5:15] = True


def test_the_blackout_map_is_black_in_the_defect_and_itself_elsewhere() -> None:
    found = blackout_map(polar_map(VALUE), limits())
    assert (found.value[DEFECT] == 0).all()
    assert np.array_equal(found.value[~DEFECT], VALUE[~DEFECT], equal_nan=True)
    assert found.unit == polar_map(VALUE).unit


def test_the_defect_map_has_the_extent_of_the_deficit() -> None:
    found = defect_map(polar_map(VALUE), limits())
    seen = np.isfinite(VALUE)
    assert np.array_equal(found.value[seen] == 1, DEFECT[seen])
    assert np.isnan(found.value[39, 70])
    w = np.where(seen, found.weights("surface"), 0.0)
    share = 100 * (w * np.nan_to_num(found.value)).sum() / w.sum()
    assert share == pytest.approx(perfusion_deficit(polar_map(VALUE), limits()).extent_percent)


def test_severity_counts_deviations_below_the_mean() -> None:
    found = severity_map(polar_map(VALUE), limits())
    assert found.value[DEFECT] == pytest.approx(np.full(DEFECT.sum(), 6.0))
    assert found.value[22, 35] == pytest.approx(2.8)
    assert found.value[0, 0] == pytest.approx(0.4)
    assert severity_map(polar_map(VALUE + 10), limits()).value[0, 0] == pytest.approx(-1.6)
    assert found.unit == "deviations"


def test_the_severity_of_defects_is_nothing_outside_them() -> None:
    found = defect_severity_map(polar_map(VALUE), limits())
    assert found.value[DEFECT] == pytest.approx(np.full(DEFECT.sum(), 6.0))
    assert np.nansum(found.value[~DEFECT]) == 0
    assert np.isnan(found.value[39, 70])


@pytest.mark.parametrize("made", [blackout_map, defect_map, severity_map, defect_severity_map])
def test_a_map_in_counts_has_no_defect(made) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UnitMismatch, match="level"):
        made(polar_map(VALUE, "counts"), limits())
