import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from normal_wall import SHAPE, polar_map

from myoscope.core import GeometryMismatch, InvalidValue
from myoscope.quantify import (
    PHASE_INDICES,
    PhaseSettings,
    after_r_wave_deg,
    centred_phase_deg,
    encoded_phase,
    first_harmonic,
    harmonic_timing_deg,
    phase_analysis,
    phase_figures,
    phase_statistics_of_many,
    regional_phase_of_many,
)
from myoscope.quantify.phase import amplitude_noise_percent
from myoscope.simulate.deficit import SEGMENT_OF_PLACE


def curve(n_gates: int, phase_deg: np.ndarray | float, strength: float = 30.0) -> np.ndarray:
    """Counts (gate, ring, angle) of a cosine about 100 with its maximum at a phase, read at the gates' middles."""
    time = 360 * np.arange(n_gates)[:, None, None] / n_gates
    counts: np.ndarray = 100 + strength * np.cos(np.radians(time - np.asarray(phase_deg)))
    return counts


def statistics(phases: np.ndarray, weights: np.ndarray | None = None) -> dict[str, float]:
    row = phases.reshape(1, 1, -1)
    w = np.ones_like(row) if weights is None else weights.reshape(1, 1, -1)
    return dict(zip(PHASE_INDICES, phase_statistics_of_many(row, w)[0], strict=True))


@pytest.mark.parametrize("n_gates", [3, 8, 16, 32])
def test_a_cosine_gives_back_its_phase_and_amplitude(n_gates: int) -> None:
    """AT-09: 100 + 30 cos(2 pi k/N - 140 deg)."""
    phase, amplitude = first_harmonic(curve(n_gates, np.full((2, 9), 140.0)))
    assert amplitude == pytest.approx(np.full((2, 9), 30.0), abs=1e-9)
    assert phase == pytest.approx(np.full((2, 9), 140.0), abs=1e-9)


def test_evenly_spread_phases_over_sixty_degrees() -> None:
    """AT-09: SD 17.321, bandwidth 57, entropy ln 10 / ln 60 = 0.5624."""
    found = statistics(100 + (np.arange(3000) + 0.5) / 50)
    assert found["sd_deg"] == pytest.approx(17.321, abs=1e-3)
    assert found["bandwidth_deg"] == pytest.approx(57.0, abs=0.03)
    assert found["entropy"] == pytest.approx(0.5624, abs=1e-4)
    assert found["mean_deg"] == pytest.approx(130, abs=1e-9)
    assert found["skewness"] == pytest.approx(0, abs=1e-9)
    assert found["kurtosis"] == pytest.approx(1.8, abs=1e-3)


def test_gaussian_phases() -> None:
    """AT-09: a standard deviation of 10 has a bandwidth of 39.2."""
    from scipy.stats import norm

    found = statistics(norm.ppf((np.arange(20_000) + 0.5) / 20_000, loc=355, scale=10))
    assert found["bandwidth_deg"] == pytest.approx(39.2, abs=0.02)
    assert found["sd_deg"] == pytest.approx(10, abs=0.01)
    assert found["mean_deg"] == pytest.approx(355, abs=1e-3)
    assert found["peak_deg"] == pytest.approx(355, abs=0.5)
    assert found["kurtosis"] == pytest.approx(3, abs=0.01)


@given(st.floats(0, 360), st.integers(0, 2**31))
def test_turning_all_phases_changes_mean_and_peak_and_nothing_else(turn: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    phases = 140 + np.concatenate([rng.normal(0, 15, 200), rng.exponential(40, 100)])
    before, after = statistics(phases % 360), statistics((phases + turn) % 360)
    for name in ("mean_deg", "peak_deg"):
        assert (after[name] - before[name] - turn + 180) % 360 - 180 == pytest.approx(0, abs=1e-6)
    for name in ("sd_deg", "bandwidth_deg", "entropy", "skewness", "kurtosis"):
        assert after[name] == pytest.approx(before[name], abs=1e-6)


def test_weights_count_as_that_many_cells_would() -> None:
    rng = np.random.default_rng(2)
    phases, times = rng.normal(30, 20, 300), rng.integers(0, 4, 300)
    weighted, repeated = statistics(phases, times.astype(float)), statistics(np.repeat(phases, times))
    for name in PHASE_INDICES:
        assert weighted[name] == pytest.approx(repeated[name], abs=1e-6), name


def test_the_bandwidth_is_the_shortest_arc_by_trying_all() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        phases, w = rng.uniform(0, 360, 40), rng.uniform(0, 1, 40)
        best = 360.0
        for start in phases:
            off = (phases - start) % 360
            order = np.argsort(off)
            enough = np.flatnonzero(np.cumsum(w[order]) >= 0.95 * w.sum())[0]
            best = min(best, float(off[order][enough]))
        assert statistics(phases, w)["bandwidth_deg"] == pytest.approx(best, abs=1e-9)


def test_one_phase_everywhere_has_no_spread_and_no_shape() -> None:
    found = statistics(np.full(100, 200.0))
    assert found["sd_deg"] == pytest.approx(0, abs=1e-6)
    assert found["bandwidth_deg"] == pytest.approx(0, abs=1e-6)
    assert found["entropy"] == pytest.approx(0, abs=1e-9)
    assert np.isnan(found["skewness"])


def test_phases_all_round_the_circle_have_an_entropy_of_one() -> None:
    assert statistics((np.arange(3600) + 0.5) / 10)["entropy"] == pytest.approx(1, abs=1e-6)


def test_two_halves_of_the_wall_are_told_apart_by_their_groups() -> None:
    phase = np.full(SHAPE, 350.0)
    phase[:, 36:] = 10.0
    phase[0] = np.nan
    group = np.zeros(SHAPE, int)
    group[:, 36:] = 1
    mean, sd = regional_phase_of_many(phase[None], np.ones(SHAPE), group, 3)
    assert mean[0, :2] == pytest.approx([350, 10])
    assert sd[0, :2] == pytest.approx([0, 0], abs=1e-6)
    assert np.isnan(mean[0, 2])
    whole, spread = regional_phase_of_many(phase[None], np.ones(SHAPE), np.zeros(SHAPE, int), 1)
    assert (whole[0, 0] + 180) % 360 == pytest.approx(180)
    assert spread[0, 0] == pytest.approx(10)


def averaged(n_gates: int, waves: dict[int, tuple[float, float]], shape: tuple[int, int] = (2, 9)) -> np.ndarray:
    """Counts of gates that hold the mean of a curve over their width; the curve starts at the R wave."""
    fine = (np.arange(n_gates * 500) + 0.5) / (n_gates * 500)
    value = 100 + sum(a * np.cos(2 * np.pi * m * fine - np.radians(m * at)) for m, (a, at) in waves.items())
    gates = value.reshape(n_gates, 500).mean(axis=1)
    return np.broadcast_to(gates[:, None, None], (n_gates, *shape))


@pytest.mark.parametrize(("n_gates", "n_harmonics"), [(8, 2), (8, 3), (16, 3)])
def test_the_maximum_of_a_curve_is_found_between_the_gates(n_gates: int, n_harmonics: int) -> None:
    waves = {m: (30.0 / m**2, 130.0 + 12 * m) for m in range(1, n_harmonics + 1)}
    fine = np.linspace(0, 2 * np.pi, 200_001)
    value = sum(a * np.cos(m * fine - np.radians(m * at)) for m, (a, at) in waves.items())
    rise = sum(-m * a * np.sin(m * fine - np.radians(m * at)) for m, (a, at) in waves.items())
    counts = averaged(n_gates, waves)
    top = harmonic_timing_deg(counts, n_harmonics=n_harmonics, event="maximum")
    steep = harmonic_timing_deg(counts, n_harmonics=n_harmonics, event="steepest rise")
    assert after_r_wave_deg(top, n_gates=n_gates) == pytest.approx(np.degrees(fine[np.argmax(value)]), abs=0.01)
    assert after_r_wave_deg(steep, n_gates=n_gates) == pytest.approx(np.degrees(fine[np.argmax(rise)]), abs=0.01)


def test_harmonics_of_a_cosine_agree_with_the_first() -> None:
    counts = curve(16, np.linspace(0, 359, 18).reshape(2, 9))
    expected, _ = first_harmonic(counts)
    for n in (1, 2, 3):
        top = harmonic_timing_deg(counts, n_harmonics=n, event="maximum")
        steep = harmonic_timing_deg(counts, n_harmonics=n, event="steepest rise")
        assert (top - expected + 180) % 360 == pytest.approx(np.full((2, 9), 180.0), abs=1e-6)
        assert (steep + 90 - expected + 180) % 360 == pytest.approx(np.full((2, 9), 180.0), abs=1e-6)


def test_of_two_nearly_equal_peaks_the_higher_is_the_maximum() -> None:
    time = 2 * np.pi * np.arange(16) / 16
    for small in (1e-3, -1e-3):
        value = 100 + np.cos(2 * time) + small * np.cos(time)
        found = harmonic_timing_deg(np.broadcast_to(value[:, None, None], (16, 1, 1)), n_harmonics=2, event="maximum")
        assert (float(found[0, 0]) + 90) % 360 == pytest.approx(90 if small > 0 else 270, abs=1e-6)


def test_a_cell_that_was_not_seen_has_no_phase_and_does_not_spoil_others() -> None:
    counts = np.array(curve(8, np.full(SHAPE, 100.0)))
    counts[:, 5, 5] = np.nan
    for phase in (first_harmonic(counts)[0], harmonic_timing_deg(counts, n_harmonics=2, event="maximum")):
        assert np.isnan(phase[5, 5])
        assert np.isfinite(np.delete(phase.ravel(), 5 * 72 + 5)).all()


def test_an_analysis_leaves_out_what_does_not_move() -> None:
    phase = np.full(SHAPE, 130.0)
    phase[:10] = 300.0
    strength = np.full(SHAPE, 20.0)
    strength[:10] = 2.0
    time = 360 * np.arange(8)[:, None, None] / 8
    counts = 100 + strength * np.cos(np.radians(time - phase))
    gates = [polar_map(gate, "counts") for gate in counts]
    found = phase_analysis(gates, least_amplitude_percent=5)
    assert found.statistics.mean_deg == pytest.approx(130)
    assert found.statistics.sd_deg == pytest.approx(0, abs=1e-6)
    assert found.counted_percent == pytest.approx(75)
    assert found.amplitude.value[20] == pytest.approx(np.full(72, 20.0))
    everything = phase_analysis(gates, least_amplitude_percent=0)
    assert everything.statistics.sd_deg > 50
    by_amplitude = phase_analysis(gates, least_amplitude_percent=0, weighting="amplitude")
    assert by_amplitude.statistics.sd_deg < 0.6 * everything.statistics.sd_deg
    with pytest.raises(InvalidValue, match="there is no phase"):
        phase_analysis(gates, least_amplitude_percent=50)


def test_cells_weaker_than_noise_and_rings_of_the_valve_plane_are_not_counted() -> None:
    rng = np.random.default_rng(8)
    phase = np.full(SHAPE, 130.0)
    phase[30:] = 310.0
    strength = np.full(SHAPE, 20.0)
    strength[:10] = 0.5
    counts = np.stack([100 + strength * np.cos(2 * np.pi * k / 16 - np.radians(phase)) for k in range(16)])
    noisy = counts + rng.normal(0, 5.0, counts.shape)
    # Of 16 gates with a noise of 5 % each, a component of the first harmonic has sqrt(2/16) of 5 %.
    assert amplitude_noise_percent(noisy)[:, 0] == pytest.approx(np.full(SHAPE[0], 5 * np.sqrt(2 / 16)), rel=0.3)
    assert amplitude_noise_percent(counts) == pytest.approx(np.zeros((SHAPE[0], 1)), abs=1e-6)
    assert not amplitude_noise_percent(noisy[:7]).any(), "nothing tells noise"
    gates = [polar_map(gate, "counts") for gate in noisy]
    found = phase_analysis(gates, least_amplitude_percent=0, least_amplitude_noises=4.0, valve_share=0.25)
    assert found.moving[10:].all()
    assert found.moving[:10].mean() < 0.05
    assert not found.counted[30:].any()
    assert found.counted_percent == pytest.approx(100 * found.counted.sum() / (30 * 72))
    assert (found.counted[:30] == found.moving[:30]).all()
    assert found.statistics.mean_deg == pytest.approx(130, abs=1)
    assert found.statistics.sd_deg < 10
    whole = phase_analysis(gates, least_amplitude_percent=0, least_amplitude_noises=4.0)
    assert whole.statistics.sd_deg > 60
    with pytest.raises(
        InvalidValue, match="off the valve plane changes its counts by 5 % over the cycle and beyond noise"
    ):
        phase_analysis(gates, least_amplitude_percent=5, least_amplitude_noises=90.0, valve_share=0.25)


def test_phases_of_a_small_part_of_the_wall_are_told_with_a_warning() -> None:
    rng = np.random.default_rng(5)

    def doubts(moving_rings: int) -> list[str]:
        strength = np.full(SHAPE, 20.0)
        strength[moving_rings:] = 0.0
        time = 2 * np.pi * np.arange(16)[:, None, None] / 16
        counts = 100 + strength * np.cos(time - np.radians(140)) + rng.normal(0, 1.0, (16, *SHAPE))
        gates = [polar_map(gate, "counts") for gate in counts]
        found = phase_figures(gates, PhaseSettings(smooth_fwhm_mm=0.0), rng=rng)
        share = next(q.value for q in found.quantities if q.name == "wall with a phase")
        assert share == pytest.approx(100 * min(moving_rings / 28, 1), abs=12)
        # Counted from the R wave: half of a gate of 22.5 degrees later.
        assert np.nanmean(found.maps["phase_counted"].value[:2]) == pytest.approx(140 + 11.25, abs=3)
        assert np.isnan(found.maps["phase_counted"].value[28:]).all()
        return [flag.code for flag in found.flags]

    assert doubts(8) == ["phase_of_little_wall"]
    assert doubts(40) == []


def test_a_late_territory_shows_in_its_segments_and_vessel() -> None:
    late = SEGMENT_OF_PLACE == 5  # basal inferolateral
    counts = curve(16, np.where(late, 165.0, 130.0))
    found = phase_analysis([polar_map(gate, "counts") for gate in counts], least_amplitude_percent=1)
    assert found.segment_mean_deg[4] == pytest.approx(165)
    assert np.delete(found.segment_mean_deg, 4) == pytest.approx(np.full(16, 130.0))
    assert found.vessel_sd_deg[1] > 5
    assert found.vessel_sd_deg[[0, 2]] == pytest.approx([0, 0], abs=1e-6)
    assert found.vessel_mean_deg[0] == pytest.approx(130)


def test_the_steepest_rise_of_one_harmonic_comes_a_quarter_earlier() -> None:
    gates = [polar_map(gate, "counts") for gate in curve(8, np.full(SHAPE, 40.0))]
    assert phase_analysis(gates, event="steepest rise", least_amplitude_percent=1).statistics.mean_deg == pytest.approx(
        310
    )


@given(st.floats(0, 360))
def test_what_a_network_sees_does_not_change_when_all_phases_turn(turn: float) -> None:
    rng = np.random.default_rng(3)
    phase = (140 + rng.normal(0, 25, SHAPE)) % 360
    phase[3, 4] = np.nan
    before, after = encoded_phase(phase, np.ones(SHAPE)), encoded_phase((phase + turn) % 360, np.ones(SHAPE))
    assert before.shape == (2, *SHAPE)
    assert np.isnan(before[:, 3, 4]).all()
    assert np.allclose(before, after, atol=1e-9, equal_nan=True)
    assert np.nanmax(np.abs(centred_phase_deg(phase, np.ones(SHAPE)))) < 180


def test_too_few_gates_and_unknown_choices_are_refused() -> None:
    with pytest.raises(InvalidValue, match="harmonics"):
        first_harmonic(np.ones((2, 3, 9)))
    with pytest.raises(InvalidValue, match="harmonics"):
        harmonic_timing_deg(np.ones((6, 3, 9)), n_harmonics=3, event="maximum")
    with pytest.raises(InvalidValue, match="steepest rise"):
        harmonic_timing_deg(np.ones((8, 3, 9)), n_harmonics=2, event="minimum")  # type: ignore[arg-type]
    gates = [polar_map(gate, "counts") for gate in curve(8, np.full(SHAPE, 40.0))]
    with pytest.raises(InvalidValue, match="weighted by"):
        phase_analysis(gates, least_amplitude_percent=0, weighting="display")  # type: ignore[arg-type]
    with pytest.raises(GeometryMismatch):
        phase_analysis([], least_amplitude_percent=0)


def test_no_map_with_weight_gives_no_number() -> None:
    assert np.isnan(phase_statistics_of_many(np.full((2, *SHAPE), 100.0), np.zeros(SHAPE))).all()
