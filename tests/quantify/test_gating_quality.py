from dataclasses import replace

import numpy as np
import pytest

from myoscope.core import EnergyWindow, Flag, Gating, Grid, InvalidValue, Projections, Volume
from myoscope.physics.beats import Rhythm, draw_beats
from myoscope.quantify import beat_flags, count_flags, curve_flags, gate_counts, gating_flags

STEADY = np.array([120, 105, 75, 52, 55, 75, 95, 112.0])


def codes(flags: tuple[Flag, ...]) -> list[str]:
    return [flag.code for flag in flags]


def views(gate_s: np.ndarray, *, rate: float = 2e4, seed: int = 0, n_views: int = 12) -> Projections:
    """Poisson counts (1, gate, view, 4, 4) of gates that were open for these seconds in each view (view, gate)."""
    expected = np.broadcast_to(gate_s.T[None, :, :, None, None] * rate / 16, (1, gate_s.shape[1], n_views, 4, 4))
    counts = np.random.default_rng(seed).poisson(expected)
    return Projections(
        counts,
        np.linspace(225, 45, n_views),
        np.full(n_views, 200.0),
        (6.4, 6.4),
        (EnergyWindow("photopeak", 126, 154),),
        np.full(n_views, 25.0),
        gating=Gating(gate_s.shape[1], rr_ms=900),
    )


def beats(rhythm: Rhythm, seed: int = 1) -> tuple[np.ndarray, Gating]:
    drawn = draw_beats(rhythm, n_gates=8, n_phases=8, stop_s=np.full(12, 25.0), rng=np.random.default_rng(seed))
    assert drawn.gating is not None
    return drawn.gate_phase_s.sum(axis=2), drawn.gating


def test_a_steady_rhythm_raises_no_flag() -> None:
    gate_s, gating = beats(Rhythm(900, variability=0.02, window_percent=40))
    projections = replace(views(gate_s), gating=gating)
    assert gating_flags(projections, cavity_mL=STEADY) == ()


def test_short_beats_empty_the_last_gates() -> None:
    gate_s, gating = beats(Rhythm(900, variability=0.12, window_percent=60))
    found = gating_flags(replace(views(gate_s), gating=gating))
    drop = next(flag for flag in found if flag.code == "count_drop_between_gates")
    assert drop.evidence["last_gates_only"]
    assert drop.evidence["gates"][-1] == 8
    loss = 1 - gate_s.sum(axis=0) / np.median(gate_s.sum(axis=0))
    assert drop.evidence["drop_percent"][-1] == pytest.approx(100 * loss[-1], abs=1.5)


def test_ectopic_beats_are_rejected_and_counted() -> None:
    gate_s, gating = beats(Rhythm(900, variability=0.05, ectopy=0.4, window_percent=30))
    found = gating_flags(replace(views(gate_s), gating=gating))
    assert "many_beats_rejected" in codes(found)
    evidence = next(f for f in found if f.code == "many_beats_rejected").evidence
    assert evidence["rejected"] > evidence["accepted"] / 2


def test_one_gate_in_the_middle_that_lacks_counts_is_not_called_the_last() -> None:
    counts = np.full(8, 1e6)
    counts[3] = 7e5
    (flag,) = count_flags(counts, poisson=True)
    assert flag.severity == "warning"
    assert not flag.evidence["last_gates_only"]
    assert flag.evidence["gates"] == [4]
    assert "gate 4" in flag.message


def test_chance_is_not_a_drop() -> None:
    rng = np.random.default_rng(3)
    assert all(count_flags(rng.poisson(np.full(8, 400.0)).astype(float), poisson=True) == () for _ in range(200))
    assert count_flags(np.array([100, 100, 100, 97.0]), poisson=False) == ()
    assert count_flags(np.zeros(8), poisson=True) == ()


def test_a_view_with_few_accepted_beats_stands_out() -> None:
    gate_s = np.full((12, 8), 3.0)
    gate_s[5] *= 0.4
    (flag,) = [f for f in gating_flags(views(gate_s)) if f.code == "views_short_of_beats"]
    assert flag.evidence["views"] == [6]
    assert flag.evidence["least_share"] == pytest.approx(0.4, abs=0.03)


def test_counts_that_change_slowly_round_the_patient_are_no_loss() -> None:
    gate_s = np.repeat(3.0 + 2.0 * np.sin(np.linspace(0, np.pi, 12))[:, None], 8, axis=1)
    assert gating_flags(views(gate_s)) == ()


def test_windows_and_nominal_beats_are_compared() -> None:
    wide = Gating(8, rr_ms=900, rr_low_ms=300, rr_high_ms=1400)
    assert codes(beat_flags(wide)) == ["acceptance_window_wide"]
    odd = Gating(8, rr_ms=900, rr_low_ms=500, rr_high_ms=700)
    assert codes(beat_flags(odd)) == ["nominal_beat_outside_window"]
    assert beat_flags(Gating(8, rr_ms=900, rr_low_ms=720, rr_high_ms=1080, accepted_beats=900, rejected_beats=90)) == ()
    assert beat_flags(Gating(8)) == ()


def test_the_curve_of_a_beat_raises_no_flag_and_that_of_shuffled_gates_does() -> None:
    assert curve_flags(STEADY) == ()
    assert curve_flags(np.roll(STEADY, -1)) == ()
    shuffled = STEADY[[0, 4, 1, 5, 2, 6, 3, 7]]
    assert "volume_curve_restless" in codes(curve_flags(shuffled))


@pytest.mark.parametrize("n_gates", [8, 16])
@pytest.mark.parametrize("systole", [0.30, 0.37, 0.45])
def test_normal_and_noisy_beats_are_not_called_wrong(n_gates: int, systole: float) -> None:
    time = (np.arange(n_gates) + 0.5) / n_gates
    falling = 0.5 * (1 + np.cos(np.pi * time / systole))
    rising = 0.5 * (1 - np.cos(np.pi * (time - systole) / (1 - systole)))
    curve = 50 + 70 * np.where(time < systole, falling, rising)
    rng = np.random.default_rng(1)
    wrong = [curve_flags(curve + rng.normal(0, 3, n_gates)) for _ in range(100)]
    assert sum(bool(flags) for flags in wrong) <= 2


def test_a_curve_that_begins_in_systole_has_a_shifted_trigger() -> None:
    assert "trigger_shifted" in codes(curve_flags(np.roll(STEADY, 3)))
    assert "trigger_shifted" in codes(curve_flags(np.roll(STEADY, 4)))


def test_a_heart_that_does_not_move_is_said_not_to() -> None:
    assert codes(curve_flags(np.array([100, 99, 98, 97.0]))) == ["no_motion_between_gates"]


def test_gates_that_are_copies_are_found() -> None:
    grid = Grid.axis_aligned((4, 4, 4), spacing_mm=4)
    rng = np.random.default_rng(0)
    image = rng.uniform(1, 2, (4, 4, 4))
    other = image * rng.uniform(0.9, 1.1, (4, 4, 4))
    copies = Volume(np.stack([image, image, other, image]), grid, "counts", frame_axis="gate")
    (flag,) = [f for f in gating_flags(copies) if f.code == "gates_are_copies"]
    assert flag.evidence["gates"] == [1, 2, 4]
    assert gate_counts(copies) == pytest.approx([image.sum(), image.sum(), other.sum(), image.sum()])
    good = Volume(np.stack([image, other]), grid, "counts", frame_axis="gate")
    assert gating_flags(good) == ()


def test_what_is_not_gated_is_refused() -> None:
    grid = Grid.axis_aligned((4, 4, 4), spacing_mm=4)
    with pytest.raises(InvalidValue, match="one gate"):
        gating_flags(Volume(np.ones((4, 4, 4)), grid, "counts"))
    good = Volume(np.random.default_rng(0).uniform(1, 2, (2, 4, 4, 4)), grid, "counts", frame_axis="gate")
    with pytest.raises(InvalidValue, match="as many volumes"):
        gating_flags(good, cavity_mL=STEADY)
