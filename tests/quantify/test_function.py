import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from myoscope.core import CardiacFrame, InvalidValue, Surfaces
from myoscope.quantify import function_of_curve, long_axis_length_mm, ventricular_function, volume_curve

FRAME = CardiacFrame(np.array((0, 0, 0)), np.array((1, 0, 0)))


def half_ellipsoid(short_mm: float, long_mm: float, *, beyond_mm: float = 0.0) -> np.ndarray:
    """Nodes (41, 72, 3) of an ellipsoid cut ``beyond_mm`` past its middle; the apex points along +x."""
    last = np.pi / 2 + np.arcsin(beyond_mm / long_mm)
    polar = np.linspace(0, last, 41)[:, None]
    angle = np.arange(72) * 2 * np.pi / 72
    x = long_mm * np.cos(polar) * np.ones(72)
    lateral, up = short_mm * np.sin(polar) * np.cos(angle), short_mm * np.sin(polar) * np.sin(angle)
    return FRAME.to_patient(np.stack([lateral, up, x], axis=-1))


def beating(scales: list[float]) -> Surfaces:
    endo = np.stack([half_ellipsoid(25 * s, 60) for s in scales])
    epi = np.stack([half_ellipsoid(25 * s + 10, 70) for s in scales])
    return Surfaces(endo, epi, FRAME, np.zeros(3), np.array([-1.0, 0, 0]))


def volume_at(time: np.ndarray) -> np.ndarray:
    """A beat of three harmonics, mL."""
    turn = 2 * np.pi * time
    volume: np.ndarray = 100 + 35 * np.cos(turn - 0.3) + 8 * np.sin(2 * turn) - 3 * np.cos(3 * turn + 1)
    return volume


def in_gates(n: int) -> np.ndarray:
    """The same beat averaged over each of n gates, by brute force."""
    time = (np.arange(n * 2000) + 0.5) / (n * 2000)
    mean: np.ndarray = volume_at(time).reshape(n, 2000).mean(axis=1)
    return mean


@pytest.mark.parametrize("n_gates", [8, 16, 24])
def test_averaging_over_gates_is_undone(n_gates: int) -> None:
    fine = volume_at(np.linspace(0, 1, 100_001))
    found = function_of_curve(volume_curve(in_gates(n_gates)))
    assert found.edv_mL == pytest.approx(fine.max(), rel=1e-4)
    assert found.esv_mL == pytest.approx(fine.min(), rel=1e-4)
    # The gates themselves miss some of both.
    assert in_gates(n_gates).max() < fine.max()
    assert in_gates(n_gates).min() > fine.min()


def test_rates_are_slopes_of_the_curve() -> None:
    fine = np.linspace(0, 1, 100_001)
    slope = np.gradient(volume_at(fine), fine) / volume_at(fine).max() / 0.9  # EDV per s at 900 ms
    found = function_of_curve(volume_curve(in_gates(16), rr_ms=900))
    assert found.peak_ejection_edv_s == pytest.approx(-slope.min(), rel=1e-3)
    assert found.peak_filling_edv_s == pytest.approx(slope.max(), rel=1e-3)
    fastest, smallest = fine[slope.argmax()], fine[volume_at(fine).argmin()]
    assert found.time_to_peak_filling_ms == pytest.approx(900 * (fastest - smallest), abs=2)
    assert found.mean_filling_third_edv_s is not None
    assert 0 < found.mean_filling_third_edv_s < slope.max()


def test_without_an_rr_interval_there_are_no_rates() -> None:
    found = function_of_curve(volume_curve(in_gates(16)))
    assert found.peak_ejection_edv_s is None
    assert found.time_to_peak_filling_ms is None


@given(st.integers(0, 15), st.floats(0.1, 10))
def test_when_the_beat_begins_and_how_large_the_heart_is_leave_the_ejection_fraction(shift: int, size: float) -> None:
    still = function_of_curve(volume_curve(in_gates(16)))
    turned = function_of_curve(volume_curve(np.roll(in_gates(16), shift) * size))
    assert turned.ef_percent == pytest.approx(still.ef_percent, abs=1e-6)
    assert turned.stroke_mL == pytest.approx(size * still.stroke_mL)
    assert (turned.es_gate - still.es_gate - shift) % 16 == 0


def test_few_gates_or_impossible_volumes_make_no_curve() -> None:
    with pytest.raises(InvalidValue, match="4 gates or more, got 3"):
        volume_curve([100, 80, 60])
    with pytest.raises(InvalidValue, match="positive"):
        volume_curve([100, 80, 60, 0, 60, 80])


def test_gated_surfaces_eject_what_their_cavity_loses() -> None:
    time = (np.arange(16) + 0.5) / 16
    scales = np.sqrt(volume_at(time) / 100).tolist()
    surfaces = beating(scales)
    found = ventricular_function(surfaces)
    fine = volume_at(np.linspace(0, 1, 2001))
    assert found.ef_percent == pytest.approx(100 * (1 - fine.min() / fine.max()), abs=1.0)
    assert found.ed_gate == int(surfaces.cavity_mL.argmax())


@pytest.mark.parametrize(
    ("short_mm", "long_mm", "beyond_mm", "volume_mL"), [(25, 60, 20, 116.36), (17, 50, 17, 45.10), (25, 60, 0, 78.54)]
)
def test_volumes_of_truncated_prolate_ellipsoids(
    short_mm: float, long_mm: float, beyond_mm: float, volume_mL: float
) -> None:
    """AT-07: pi a^2 (2c/3 + h - h^3 / (3 c^2))."""
    h = beyond_mm
    assert np.pi * short_mm**2 * (2 * long_mm / 3 + h - h**3 / (3 * long_mm**2)) / 1000 == pytest.approx(
        volume_mL, abs=5e-3
    )
    endo = half_ellipsoid(short_mm, long_mm, beyond_mm=beyond_mm)
    surfaces = Surfaces(endo, 1.2 * endo, FRAME, np.zeros(3), np.array([-1.0, 0, 0]))
    assert float(surfaces.cavity_mL) == pytest.approx(volume_mL, rel=0.004)


def test_one_gate_has_no_ejection_fraction() -> None:
    with pytest.raises(InvalidValue, match="gated surfaces"):
        ventricular_function(beating([1.0, 0.7]).gate(0))


def test_long_axis_length_runs_from_epicardial_apex_to_valve_plane() -> None:
    assert long_axis_length_mm(beating([1.0, 0.7])) == pytest.approx(70)
