import numpy as np
import pytest

from myoscope.core import CardiacFrame, InvalidValue, Surfaces
from myoscope.quantify import long_axis_length_mm, ventricular_function


def half_ellipsoid(short_mm: float, long_mm: float) -> np.ndarray:
    """Nodes (41, 72, 3) of a half ellipsoid whose apex points along +x (the long axis used below)."""
    polar = np.linspace(0, np.pi / 2, 41)[:, None]
    angle = np.arange(72) * 2 * np.pi / 72
    frame = CardiacFrame(np.array((0, 0, 0)), np.array((1, 0, 0)))
    x = long_mm * np.cos(polar) * np.ones(72)
    lateral, up = short_mm * np.sin(polar) * np.cos(angle), short_mm * np.sin(polar) * np.sin(angle)
    return frame.to_patient(np.stack([lateral, up, x], axis=-1))


def beating(scales: list[float]) -> Surfaces:
    frame = CardiacFrame(np.array((0, 0, 0)), np.array((1, 0, 0)))
    endo = np.stack([half_ellipsoid(25 * s, 60) for s in scales])
    epi = np.stack([half_ellipsoid(25 * s + 10, 70) for s in scales])
    return Surfaces(endo, epi, frame, np.zeros(3), np.array([-1.0, 0, 0]))


def test_ejection_fraction_follows_the_squared_radius_of_an_ellipsoid() -> None:
    function = ventricular_function(beating([1.0, 0.8, 0.6, 0.9]))
    assert function.ef_percent == pytest.approx(100 * (1 - 0.6**2), abs=1e-6)
    assert (function.ed_gate, function.es_gate) == (0, 2)


def test_end_diastolic_volume_is_that_of_the_half_ellipsoid() -> None:
    function = ventricular_function(beating([1.0, 0.6]))
    assert function.edv_mL == pytest.approx(2 / 3 * np.pi * 25**2 * 60 / 1000, rel=0.005)


def test_a_wall_that_keeps_its_thickness_does_not_thicken() -> None:
    assert ventricular_function(beating([1.0, 0.7])).thickening_percent == pytest.approx(0, abs=2)


def test_one_gate_has_no_ejection_fraction() -> None:
    with pytest.raises(InvalidValue, match="gated surfaces"):
        ventricular_function(beating([1.0, 0.7]).gate(0))


def test_long_axis_length_runs_from_epicardial_apex_to_valve_plane() -> None:
    assert long_axis_length_mm(beating([1.0, 0.7])) == pytest.approx(70)
