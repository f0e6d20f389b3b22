"""The volume curve and the phase histogram show the numbers that they were given."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from analytic_heart import cold_spot, even, heart_of, series_of
from measured_heart import PEAK_DEG, measured

from myoscope.core import SeriesResult, Stated, VolumeCurve
from myoscope.report.phase_histogram import BIN_DEG, N_BINS, phase_histograms, phase_shares_percent
from myoscope.report.plot_axes import scale_for
from myoscope.report.volume_curve import VOLUME_FRAME, extremes, volume_plot


@pytest.fixture(scope="module")
def stress() -> SeriesResult:
    series = series_of("stress", *heart_of(cold_spot(110), n_gates=8), state=Stated("stress", "code"))
    return measured(series, "stress")


@pytest.fixture(scope="module")
def rest() -> SeriesResult:
    return measured(series_of("rest", *heart_of(even, n_gates=8), state=Stated("rest", "code")), "rest", delay_deg=0)


def _curve(result: SeriesResult, curve: VolumeCurve | None) -> SeriesResult:
    assert result.heart is not None
    return replace(result, heart=replace(result.heart, curve=curve))


def _volume_at(y: float, ticks: list[tuple[float, float]]) -> float:
    (low, at_low), (high, at_high) = ticks[0], ticks[-1]
    return low + (high - low) * (y - at_low) / (at_high - at_low)


def test_gates_and_curve_can_be_read_off_the_axes(stress: SeriesResult) -> None:
    plot = volume_plot([stress])
    assert plot is not None
    assert stress.heart is not None
    curve = stress.heart.curve
    assert curve is not None
    ticks = [(float(t.text), t.at) for t in plot.upwards]
    (beat,) = plot.beats
    read = [_volume_at(y, ticks) for _, y in beat.gates]
    assert read == pytest.approx(curve.gate_mL.tolist(), abs=0.01)
    across = {t.text: t.at for t in plot.across}
    assert beat.gates[0][0] == pytest.approx(across["0"] + (across["100"] - across["0"]) / 16)  # middle of gate 1 of 8
    points = np.array(re.findall(r"[-\d.]+", beat.path), float).reshape(-1, 2)
    drawn = np.array([_volume_at(y, ticks) for y in points[:, 1]])
    time = (points[:, 0] - across["0"]) / (across["100"] - across["0"])
    assert drawn == pytest.approx(np.interp(time, curve.time, curve.volume_mL), abs=0.5)


def test_end_diastole_is_the_top_and_end_systole_the_bottom_of_the_curve(stress: SeriesResult) -> None:
    plot = volume_plot([stress])
    assert plot is not None
    (beat,) = plot.beats
    points = np.array(re.findall(r"[-\d.]+", beat.path), float).reshape(-1, 2)
    ed, es = beat.extremes
    assert (ed.name, es.name) == ("ED", "ES")
    assert ed.y == pytest.approx(points[:, 1].min(), abs=0.2)  # the drawing counts downwards
    assert es.y == pytest.approx(points[:, 1].max(), abs=0.2)
    assert stress.heart is not None
    assert stress.heart.curve is not None
    found = extremes(stress.heart.curve)
    assert found["ED"][1] == stress.heart.curve.volume_mL.max()
    assert 0.3 < found["ES"][0] < 0.7


def test_hearts_share_axes_that_hold_the_larger_one_and_their_names_part(
    stress: SeriesResult, rest: SeriesResult
) -> None:
    assert rest.heart is not None
    assert rest.heart.curve is not None
    small = rest.heart.curve
    large = VolumeCurve(3 * small.gate_mL, small.time, 3 * small.volume_mL, 1000.0)
    plot = volume_plot([_curve(stress, large), rest])
    assert plot is not None
    assert float(plot.upwards[-1].text) >= large.volume_mL.max()
    assert all(VOLUME_FRAME.top <= y <= VOLUME_FRAME.height for b in plot.beats for _, y in b.gates)
    above, below = plot.beats
    assert all(e.text_y < e.y for e in above.extremes)
    assert all(e.text_y > e.y for e in below.extremes)
    assert [b.beat for b in plot.beats] == ["1000 ms", "850 ms"]


def test_the_numbers_stand_beside_the_curve_and_in_its_alternative_text(
    stress: SeriesResult, rest: SeriesResult
) -> None:
    assert rest.heart is not None
    without = replace(rest, heart=replace(rest.heart, quantities=()))
    plot = volume_plot([stress, without])
    assert plot is not None
    rows = dict(plot.rows)
    assert list(rows) == ["EDV", "ESV", "EF", "stroke volume"]
    told, missing = rows["EF"]
    assert told is not None
    assert told.interval == "56 to 66"
    assert missing is None
    assert f"EF {told.text}" in plot.alt


def test_there_is_no_plot_without_a_curve(stress: SeriesResult) -> None:
    assert volume_plot([_curve(stress, None)]) is None
    still = series_of("rest", *heart_of(even))
    assert volume_plot([still]) is None
    assert phase_histograms([still]) == ()


@pytest.mark.parametrize("highest", [0.4, 9.0, 61.0, 99.0, 101.0, 148.0, 302.0])
def test_an_axis_holds_what_it_must_with_a_few_round_ticks(highest: float) -> None:
    scale = scale_for(highest)
    assert highest < scale.top < 1.6 * highest
    assert 3 <= scale.top / scale.step <= 7
    assert float(f"{scale.step:.0e}") == scale.step


def test_the_histogram_weighs_the_wall_by_its_area_and_adds_up(stress: SeriesResult) -> None:
    assert stress.heart is not None
    phase = stress.heart.maps["phase"]
    shares = phase_shares_percent(phase)
    assert shares.sum() == pytest.approx(100)
    late = phase.value > PEAK_DEG
    expected = 100 * phase.area_mm2[late].sum() / phase.area_mm2.sum()
    assert shares[int((PEAK_DEG + 60) // BIN_DEG)] == pytest.approx(expected)
    assert np.count_nonzero(shares) == 2


def test_a_later_beat_moves_the_histogram_round_the_circle(stress: SeriesResult) -> None:
    assert stress.heart is not None
    phase = stress.heart.maps["phase"]
    later = phase.like((phase.value + 180) % 360, "later")
    assert phase_shares_percent(later) == pytest.approx(np.roll(phase_shares_percent(phase), N_BINS // 2))


def test_wall_without_a_phase_has_no_part_in_the_histogram(stress: SeriesResult) -> None:
    assert stress.heart is not None
    phase = stress.heart.maps["phase"]
    half = phase.like(np.where(phase.value > PEAK_DEG, np.nan, phase.value), "half unseen")
    shares = phase_shares_percent(half)
    assert shares[int(PEAK_DEG // BIN_DEG)] == pytest.approx(100)
    nothing = phase.like(np.full(phase.value.shape, np.nan), "nothing")
    assert phase_shares_percent(nothing).sum() == 0
    blind = replace(stress, heart=replace(stress.heart, maps={"phase_counted": nothing}))
    assert phase_histograms([blind]) == ()


def test_histograms_that_are_compared_share_their_axes_and_say_their_numbers(
    stress: SeriesResult, rest: SeriesResult
) -> None:
    spread, narrow = phase_histograms([stress, rest])
    assert spread.upwards == narrow.upwards
    assert len(spread.bars) == 2
    assert len(narrow.bars) == 1
    assert narrow.bars[0].height > max(b.height for b in spread.bars)
    assert [f.name for f in spread.facts] == ["SD", "bandwidth"]
    assert "SD 30.0°" in spread.alt
