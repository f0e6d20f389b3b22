"""Collimators: the exact table."""

from dataclasses import replace

import numpy as np
import pytest

from myoscope.core import InvalidValue
from myoscope.physics.collimator import COLLIMATORS, Collimator

EXACT = {
    "SY-LEHR": (1.171e-4, 103.7, (3.96, 5.16, 6.99, 9.09, 11.29, 13.56)),
    "GE-LEHR": (1.009e-4, 89.3, (4.09, 5.30, 7.00, 8.92, 10.94, 13.01)),
    "VENTRI-LEHR": (1.263e-4, 111.8, (4.05, 5.37, 7.26, 9.38, 11.61, 13.89)),
}


@pytest.mark.parametrize("name", EXACT)
def test_sensitivity_and_resolution_equal_the_exact_table(name: str) -> None:
    share, per_s_MBq, fwhm_mm = EXACT[name]
    collimator = replace(COLLIMATORS[name], gap_mm=0)
    assert collimator.geometric_efficiency == pytest.approx(share, rel=5e-4)
    assert collimator.geometric_efficiency * 0.885e6 == pytest.approx(per_s_MBq, rel=5e-4)
    assert np.allclose(collimator.fwhm_mm([0, 50, 100, 150, 200, 250]), fwhm_mm, atol=0.0051)


@pytest.mark.parametrize(("name", "counted"), [("SY-LEHR", 87), ("GE-LEHR", 75), ("VENTRI-LEHR", 94)])
def test_counted_photons_per_MBq(name: str, counted: float) -> None:
    assert COLLIMATORS[name].sensitivity * 0.885e6 == pytest.approx(counted, abs=0.6)


def test_the_default_gap_brings_the_resolution_that_a_vendor_states() -> None:
    assert float(COLLIMATORS["SY-LEHR"].fwhm_mm(100)) == pytest.approx(7.5, abs=0.2)


def test_sensitivity_does_not_depend_on_distance_but_resolution_does() -> None:
    fwhm = COLLIMATORS["GE-LEHR"].fwhm_mm(np.arange(0, 400, 10))
    assert (np.diff(fwhm) > 0).all()
    assert COLLIMATORS["GE-LEHR"].fwhm_mm(-20) == fwhm[0]


def test_impossible_collimators_are_refused() -> None:
    with pytest.raises(InvalidValue, match="too short"):
        Collimator("short", 1.0, 0.1, 0.5)
    with pytest.raises(InvalidValue, match="positive"):
        Collimator("closed", 0.0, 0.1, 24)
    with pytest.raises(InvalidValue, match="hexagonal"):
        Collimator("odd", 1.0, 0.1, 24, holes="oval")  # type: ignore[arg-type]
    with pytest.raises(InvalidValue, match="photon"):
        Collimator("generous", 1.0, 0.1, 24, efficiency=1.2)
