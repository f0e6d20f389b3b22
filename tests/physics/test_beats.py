"""Gating: which beats are taken and where the time goes."""

import numpy as np
import pytest

from myoscope.core import InvalidValue
from myoscope.physics.beats import Rhythm, draw_beats, steady_beats

STOPS_S = np.full(30, 25.0)


def test_steady_beats_share_the_time_equally() -> None:
    beats = steady_beats(n_gates=8, n_phases=16, stop_s=STOPS_S)
    assert np.allclose(beats.gate_s, STOPS_S.sum() / 8)
    assert beats.accepted_share == pytest.approx(1)
    # Each gate holds its own two phases and no other.
    assert (beats.gate_phase_s[0] > 0).sum() == 16


def test_gates_and_what_they_left_out_add_up_to_the_time_of_each_stop() -> None:
    rhythm = Rhythm(900, variability=0.08, ectopy=0.1, window_percent=40)
    beats = draw_beats(rhythm, n_gates=8, n_phases=8, stop_s=STOPS_S, rng=np.random.default_rng(2))
    assert np.allclose(beats.gate_phase_s.sum(axis=(1, 2)) + beats.left_out_s.sum(axis=1), STOPS_S)
    assert (beats.gate_phase_s >= 0).all()


def test_a_constant_rhythm_loses_nothing_but_the_cut_at_the_stops() -> None:
    beats = draw_beats(Rhythm(1000, variability=0), n_gates=8, n_phases=8, stop_s=STOPS_S, rng=np.random.default_rng(2))
    assert beats.gating is not None
    assert beats.gating.rejected_beats == 0
    assert np.allclose(beats.gate_s, STOPS_S.sum() / 8, rtol=1e-9)


def test_short_beats_leave_the_last_gate_with_less_time() -> None:
    rhythm = Rhythm(850, variability=0.07, window_percent=100)
    beats = draw_beats(rhythm, n_gates=8, n_phases=8, stop_s=[900.0], rng=np.random.default_rng(5))
    share = beats.gate_s / beats.gate_s[:4].mean()
    assert share[-1] < 0.9
    assert np.allclose(share[:6], 1, atol=0.02)


def test_ectopy_costs_beats_and_a_wider_window_takes_more_of_them() -> None:
    def accepted(ectopy: float, window: float) -> float:
        rhythm = Rhythm(850, variability=0.05, ectopy=ectopy, window_percent=window)
        return draw_beats(rhythm, n_gates=8, n_phases=8, stop_s=[900.0], rng=np.random.default_rng(5)).accepted_share

    assert accepted(0.15, 40) < accepted(0.0, 40) - 0.15
    assert accepted(0.15, 100) > accepted(0.15, 40)


def test_each_gate_sees_mostly_its_own_phase() -> None:
    rhythm = Rhythm(850, variability=0.05)
    beats = draw_beats(rhythm, n_gates=8, n_phases=8, stop_s=[900.0], rng=np.random.default_rng(5))
    mixing = beats.gate_phase_s[0] / beats.gate_phase_s[0].sum(axis=1, keepdims=True)
    assert (mixing.argmax(axis=1) == np.arange(8)).all()
    assert np.diag(mixing).min() > 0.6


def test_impossible_rhythms_are_refused() -> None:
    with pytest.raises(InvalidValue, match="R-R"):
        Rhythm(100)
    with pytest.raises(InvalidValue, match="ectopic"):
        Rhythm(800, ectopy=0.9)
    with pytest.raises(InvalidValue, match="stop"):
        steady_beats(n_gates=8, n_phases=8, stop_s=[0.0])
