"""Breathing, creep and shifts as a population moves."""

import numpy as np
import pytest

from myoscope.core import InvalidValue
from myoscope.simulate.motion import Motion, Shift, draw_motion


def _amplitudes(sex: str, n: int = 4000) -> np.ndarray:
    rng = np.random.default_rng(11)
    return np.array(
        [draw_motion(sex=sex, state="rest", stress_type="exercise", rng=rng).breathing_si_mm for _ in range(n)]
    )


def test_breathing_amplitudes_are_those_of_a_population() -> None:
    """Median 8 mm, a third above 10 mm, 1.1 to 37.4 mm, men more than women."""
    men, women = _amplitudes("M"), _amplitudes("F")
    both = np.concatenate([men, women])
    assert np.median(both) == pytest.approx(8.0, rel=0.04)
    assert (both > 10).mean() == pytest.approx(0.33, abs=0.02)
    assert both.min() >= 1.1
    assert both.max() <= 37.4
    assert np.median(men) > 1.1 * np.median(women)


def test_breathing_is_centred_and_rests_longer_at_end_expiration() -> None:
    motion = Motion(breathing_si_mm=12, breathing_ap_mm=3, breathing_power=2)
    spread = motion.breathing_spread(400)
    assert np.allclose(spread.mean(axis=0), 0, atol=0.01)
    assert np.ptp(spread[:, 2]) == pytest.approx(12, rel=0.01)
    assert np.ptp(spread[:, 1]) == pytest.approx(3, rel=0.01)
    # End expiration is up (superior): the median lies above the mean.
    assert np.median(spread[:, 2]) > 0.5
    over_time = motion.breathing_mm(np.linspace(0, 4, 4001)[:-1])
    assert np.allclose(
        np.quantile(over_time[:, 2], (0.1, 0.5, 0.9)), np.quantile(spread[:, 2], (0.1, 0.5, 0.9)), atol=0.1
    )


def test_creep_goes_up_only_after_exercise_and_dies_away() -> None:
    rng = np.random.default_rng(4)
    stress = [draw_motion(sex="M", state="stress", stress_type="exercise", rng=rng) for _ in range(300)]
    rest = [draw_motion(sex="M", state="rest", stress_type="exercise", rng=rng) for _ in range(20)]
    assert all(m.creep_mm == 0 for m in rest)
    creep = np.array([m.creep_mm for m in stress])
    assert 0 <= creep.min() < creep.max() <= 13
    z = Motion(creep_mm=8).creep_displacement_mm([0, 240, 1e5])[:, 2]
    assert z == pytest.approx([-8, -8 / np.e, 0])


def test_a_shift_takes_the_patient_along_from_its_time_on() -> None:
    motion = Motion(shifts=(Shift(100.0, (0.0, 2.0, -5.0)),), drift_mm_per_min=(0.6, 0, 0))
    assert np.allclose(motion.patient_displacement_mm([0, 99, 101]), np.array([[0, 0, 0], [0.99, 0, 0], [1.01, 2, -5]]))


def test_unknown_patients_are_refused() -> None:
    rng = np.random.default_rng(4)
    with pytest.raises(InvalidValue, match="sex"):
        draw_motion(sex="X", state="rest", stress_type="exercise", rng=rng)
    with pytest.raises(InvalidValue, match="stress or rest"):
        draw_motion(sex="F", state="peak", stress_type="exercise", rng=rng)
    with pytest.raises(InvalidValue, match="amplitude"):
        Motion(breathing_si_mm=-1)
