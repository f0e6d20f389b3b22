from dataclasses import replace

import numpy as np
import pytest

from myoscope.core import CardiacFrame, InvalidValue, Surfaces
from myoscope.quantify import dilation_limit, transient_dilation


def ventricle(scale: float) -> Surfaces:
    """Half an ellipsoid of 25 x 25 x 60 mm (78.5 mL), scaled."""
    frame = CardiacFrame(np.zeros(3), np.array([0.0, -1.0, 0.0]))
    polar, angle = np.linspace(0, np.pi / 2, 41)[:, None], np.arange(72) * 2 * np.pi / 72
    unit = np.stack([np.sin(polar) * np.cos(angle), np.sin(polar) * np.sin(angle), np.cos(polar) * np.ones(72)], -1)
    endo, epi = (frame.to_patient(unit * scale * np.array(size)) for size in ((25, 25, 60), (35, 35, 70)))
    return Surfaces(endo, epi, frame, np.zeros(3), -frame.long_axis)


def test_the_ratio_is_that_of_the_cavities() -> None:
    found = transient_dilation(ventricle(1.1), ventricle(1.0))
    assert found.ratio == pytest.approx(1.1**3)
    assert found.rest_mL == pytest.approx(2 / 3 * np.pi * 25 * 25 * 60 / 1000, rel=0.005)
    assert not found.small


def test_the_ratio_does_not_depend_on_the_place_or_the_size_of_the_heart() -> None:
    moved = ventricle(1.1)
    moved = replace(moved, endo_mm=moved.endo_mm + 40, epi_mm=moved.epi_mm + 40)
    assert transient_dilation(moved, ventricle(1.0)).ratio == pytest.approx(1.1**3)
    assert transient_dilation(ventricle(0.66), ventricle(0.6)).ratio == pytest.approx(1.1**3)


def test_a_small_cavity_is_said_to_be_one() -> None:
    assert transient_dilation(ventricle(0.66), ventricle(0.6)).small


def test_the_limit_is_two_deviations_above_the_mean() -> None:
    ratios = 1.05 + 0.06 * np.array([-1, 1] * 20, float)
    sd = ratios.std(ddof=1)
    assert dilation_limit([*ratios, np.nan]) == pytest.approx(1.05 + 2 * sd)
    with pytest.raises(InvalidValue, match="at least 10"):
        dilation_limit(ratios[:9])


def test_gated_surfaces_and_empty_cavities_are_refused() -> None:
    one = ventricle(1.0)
    gated = replace(one, endo_mm=one.endo_mm[None], epi_mm=one.epi_mm[None])
    with pytest.raises(InvalidValue, match="ungated"):
        transient_dilation(gated, one)
    empty = replace(one, endo_mm=np.zeros_like(one.endo_mm))
    with pytest.raises(InvalidValue, match="without a cavity"):
        transient_dilation(one, empty)
