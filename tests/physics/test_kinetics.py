"""Tracer kinetics: exact against closed forms, quadrature and the differential equations themselves."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp
from scipy.stats import ncx2

from myoscope.core import Grid, InvalidValue, Volume
from myoscope.physics.capillary import capillary_frame_means, kept_share
from myoscope.physics.compartments import one_tissue, two_tissue, two_tissue_and_slopes
from myoscope.physics.convolution import exponential_frame_means, exponential_frame_means_and_slope
from myoscope.physics.frames import Frames
from myoscope.physics.time_curve import TimeCurve

FRAMES = Frames.lasting([*[10] * 12, *[20] * 3, *[30] * 2, *[60] * 2])


def _bolus(step_min: float = 0.02) -> TimeCurve:
    since = np.arange(0, 7, step_min)
    value = (2000 * since - 38) * np.exp(-8 * since) + 20 * np.exp(-0.7 * since) + 18 * np.exp(-0.05 * since)
    return TimeCurve(0.25 + since, value)


# --- frames and curves ------------------------------------------------------------------------------------------


def test_frames_follow_one_another_in_minutes() -> None:
    assert len(FRAMES) == 19
    assert FRAMES.end_min[-1] == pytest.approx(6)
    np.testing.assert_allclose(FRAMES.start_s[:3], [0, 10, 20])
    np.testing.assert_allclose(FRAMES.middle_min[-1], 5.5)


def test_frames_of_an_image_are_its_own() -> None:
    grid = Grid.axis_aligned((2, 2, 2), spacing_mm=4.0)
    image = Volume(
        np.ones((2, 2, 2, 2)), grid, "Bq/mL", (), "time", None, np.array([0.0, 30.0]), np.array([30.0, 60.0])
    )
    np.testing.assert_allclose(Frames.of(image).end_min, [0.5, 1.5])
    with pytest.raises(InvalidValue, match="time frames"):
        Frames.of(image.frame(0))


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [([0, 1], [1, 1], "lasts no time"), ([0, 0.5], [1, 2], "before frame 1 has ended"), ([0, np.nan], [1, 2], "every")],
)
def test_frames_that_cannot_be_are_refused(start: list[float], end: list[float], said: str) -> None:
    with pytest.raises(InvalidValue, match=said):
        Frames(np.array(start), np.array(end))


def test_a_curve_through_means_has_those_means_and_begins_with_nothing() -> None:
    measured = _bolus().frame_means(FRAMES)
    curve = TimeCurve.through_means(FRAMES, measured)
    np.testing.assert_allclose(curve.frame_means(FRAMES), measured, rtol=1e-8, atol=1e-9)
    assert curve.at(0.0) == pytest.approx(0, abs=1e-9)


def test_a_curve_through_means_gives_uptake_nearer_the_truth_than_one_through_middles() -> None:
    truth = _bolus()
    measured, rate = truth.frame_means(FRAMES), np.linspace(0.05, 1, 9)
    exact = one_tissue(truth, FRAMES, rate)
    error = {
        name: np.abs(one_tissue(make(FRAMES, measured), FRAMES, rate)[:, 4:] / exact[:, 4:] - 1).mean()
        for name, make in (("means", TimeCurve.through_means), ("middles", TimeCurve.through_middles))
    }
    assert error["means"] < 0.002
    assert error["means"] < 0.4 * error["middles"]


def test_the_area_under_a_curve_is_that_of_its_polygon() -> None:
    curve = TimeCurve(np.array([1.0, 2.0, 4.0]), np.array([0.0, 2.0, 1.0]))
    np.testing.assert_allclose(curve.integral([0, 1, 1.5, 2, 3, 4, 5]), [0, 0, 0.25, 1, 2.75, 4, 5])
    assert curve.at([0.5, 1.5, 9]).tolist() == [0, 1, 1]


# --- convolution ------------------------------------------------------------------------------------------------


def test_convolution_with_an_exponential_is_that_of_quadrature() -> None:
    curve, rate = _bolus(0.1), 0.37

    def content(t: float) -> float:
        places = [p for p in curve.time_min if p < t]
        return float(
            quad(lambda s: float(curve.at(s)) * np.exp(-rate * (t - s)), 0, t, points=places[:90], limit=800)[0]
        )

    frame = Frames(np.array([1.0]), np.array([1.5]))
    mean = quad(content, 1.0, 1.5, limit=100, epsabs=1e-9)[0] / 0.5
    assert exponential_frame_means(curve, frame, rate)[0] == pytest.approx(mean, rel=1e-6)


def test_a_step_of_input_fills_a_compartment_as_the_closed_form_says() -> None:
    step = TimeCurve(np.array([0.0, 20.0]), np.array([1.0, 1.0]))
    rate = np.array([1e-9, 0.01, 0.5, 3.0, 40.0])[:, None]
    a, b = FRAMES.start_min, FRAMES.end_min
    exact = np.empty((5, len(FRAMES)))
    exact[0] = 0.5 * (a + b)  # nothing leaves
    for n, k in enumerate(rate[1:, 0], start=1):
        exact[n] = (1 - (np.exp(-k * a) - np.exp(-k * b)) / (k * (b - a))) / k
    np.testing.assert_allclose(exponential_frame_means(step, FRAMES, rate[:, 0]), exact, rtol=1e-8)


def test_nothing_is_lost_without_washout() -> None:
    curve = _bolus()
    last = Frames(np.array([5.999]), np.array([6.0]))
    kept = exponential_frame_means(curve, last, 0.0)[0]
    assert kept == pytest.approx(float(curve.integral(5.9995)), rel=1e-6)


@pytest.mark.parametrize("rate", [1e-6, 0.02, 0.3, 2.0, 12.0])
def test_the_slope_by_the_rate_is_the_derivative(rate: float) -> None:
    step = 1e-5 * max(rate, 1e-2)
    low, high = exponential_frame_means(_bolus(), FRAMES, [max(rate - step, 0), rate + step])
    _, slope = exponential_frame_means_and_slope(_bolus(), FRAMES, rate)
    width = rate + step - max(rate - step, 0)
    np.testing.assert_allclose(slope, (high - low) / width, rtol=2e-4, atol=1e-6 * np.abs(slope).max())


def test_frames_may_leave_gaps() -> None:
    whole = exponential_frame_means(_bolus(), FRAMES, 0.2)
    some = Frames(FRAMES.start_min[[3, 9, 18]], FRAMES.end_min[[3, 9, 18]])
    np.testing.assert_allclose(exponential_frame_means(_bolus(), some, 0.2), whole[[3, 9, 18]], rtol=1e-10)


def test_negative_rates_are_refused() -> None:
    with pytest.raises(InvalidValue, match="at least 0"):
        exponential_frame_means(_bolus(), FRAMES, [-0.1])


# --- compartments -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rates", [(0.4, 0.3, 0.05), (1.25, 5.949, 0.0), (2.0, 0.0, 2.0), (0.1, 0.2, 0.9)])
def test_two_compartments_are_their_differential_equations(rates: tuple[float, float, float]) -> None:
    curve, (k2, k3, k4) = _bolus(), rates

    def change(t: float, c: np.ndarray) -> list[float]:
        into = k3 * c[0] - k4 * c[1]
        return [float(curve.at(t)) - k2 * c[0] - into, into, c[0] + c[1]]

    edges = np.concatenate([FRAMES.start_min, FRAMES.end_min[-1:]])
    solved = solve_ivp(change, (0, 6), [0, 0, 0], t_eval=edges, max_step=0.02, rtol=1e-9, atol=1e-10).y[2]
    means = np.diff(solved) / FRAMES.duration_min
    np.testing.assert_allclose(two_tissue(curve, FRAMES, k2, k3, k4)[0], means, rtol=2e-5, atol=1e-5)


def test_slopes_of_two_compartments_are_derivatives() -> None:
    curve, rates = _bolus(), [np.array([0.3, 1.2]), np.array([0.2, 0.05]), np.array([0.01, 0.4])]
    means, slopes = two_tissue_and_slopes(curve, FRAMES, *rates)
    np.testing.assert_allclose(means, two_tissue(curve, FRAMES, *rates))
    for n in range(3):
        more, less = ([r + (k == n) * sign * 1e-6 for k, r in enumerate(rates)] for sign in (1, -1))
        slope = (two_tissue(curve, FRAMES, *more) - two_tissue(curve, FRAMES, *less)) / 2e-6
        np.testing.assert_allclose(slopes[..., n], slope, rtol=1e-5, atol=1e-5)


def test_without_trapping_two_compartments_are_one() -> None:
    curve, rate = _bolus(), np.array([0.2, 0.7])
    np.testing.assert_allclose(two_tissue(curve, FRAMES, rate, 0.0, 0.3), one_tissue(curve, FRAMES, rate), rtol=1e-9)


# --- capillary --------------------------------------------------------------------------------------------------


def test_what_a_capillary_keeps_is_a_non_central_chi_square() -> None:
    flow, ps, volume = np.array([0.5, 1.0, 3.0]), np.array([0.8, 0.9, 1.4]), np.array([0.7, 3.0, 9.0])
    time = np.array([0.05, 0.5, 2.0, 6.0])
    kept = kept_share(time, flow, ps, 0.0, volume)
    exact = [[ncx2.cdf(2 * p / f, 2, 2 * p * t / v) for t in time] for f, p, v in zip(flow, ps, volume, strict=True)]
    np.testing.assert_allclose(kept, exact, rtol=1e-9)


def test_right_after_the_passage_a_capillary_has_kept_the_extraction_of_renkin_and_crone() -> None:
    kept = kept_share([0.0699, 0.0701], 1.0, 0.9, 0.07, 4.0)[0]
    assert kept[0] == 1
    assert kept[1] == pytest.approx(1 - np.exp(-0.9), rel=1e-3)


def test_a_capillary_is_the_limit_of_many_stirred_pieces() -> None:
    curve, flow, ps, plasma, tissue, n = _bolus(), 1.0, 0.9, 0.07, 0.6, 200
    step = plasma / n / 1.3
    times = np.arange(int(1.6 / step)) * step
    supply = curve.at(times)
    inside, outside, held = np.zeros(n), np.zeros(n), []
    for a in supply:
        exchange = ps * (inside - outside)
        before = np.concatenate([[a], inside[:-1]])
        inside = inside + step * (flow * n * (before - inside) - exchange) / plasma
        outside = outside + step * exchange / tissue
        held.append(plasma * inside.mean() + tissue * outside.mean())
    frames = Frames.lasting([10] * 9)
    pieces = TimeCurve(np.asarray(times + step), np.array(held)).frame_means(frames)
    whole = flow * capillary_frame_means(
        curve, frames, flow=[flow], ps=[ps], plasma_volume=plasma, tissue_volume=[tissue]
    )
    np.testing.assert_allclose(whole[0][2:], pieces[2:], rtol=3e-3)
