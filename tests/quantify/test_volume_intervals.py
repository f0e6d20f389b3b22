"""Intervals of volumes and ejection fractions, and how their constants are solved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from myoscope import quantify
from myoscope.quantify.error_model import ErrorModel
from myoscope.quantify.interval_constants import EDV_ERROR, EF_ERROR, ESV_ERROR
from myoscope.simulate.sites import SITES

DOCS_MAKE = Path(__file__).parents[2] / "docs" / "make"


def test_an_interval_is_its_closed_form() -> None:
    model = ErrorModel(
        0.1, 0.05, by_softness=1.0, by_size=-0.5, by_noise=0.0, factor=2.0, bias_by_softness=0.2, bias_by_size=0.0
    )
    low, high = model.interval(5.0, fwhm_mm=30.0, volume_mL=25.0, relative_noise=None)

    # Twice as soft as usual and a quarter as large: spread 0.05 x 2 x 2, error to expect 0.1 + 0.2 ln 2.
    middle = 5.0 - 0.1 - 0.2 * np.log(2)
    assert (low, high) == pytest.approx((middle - 0.4, max(middle + 0.4, 5.0)))


def test_beyond_the_hearts_that_it_was_solved_on_an_interval_goes_on_as_at_the_end() -> None:
    model = ErrorModel(
        0.0, 0.1, 0.5, -0.3, 0.0, bias_by_size=5.0, known_fwhm_mm=(12.0, 20.0), known_volume_mL=(60.0, 250.0)
    )
    at_the_end = model.mean(fwhm_mm=15.0, volume_mL=60.0), model.spread(fwhm_mm=20.0, volume_mL=250.0)
    beyond = model.mean(fwhm_mm=15.0, volume_mL=20.0), model.spread(fwhm_mm=40.0, volume_mL=600.0)
    assert beyond == at_the_end


@pytest.mark.parametrize("camera", [None, *sorted({site.camera for site in SITES.values()}), "a camera of 2040"])
def test_intervals_hold_the_measured_figure_and_widen_with_noise(camera: str | None) -> None:
    about: dict[str, Any] = {"fwhm_mm": 16.0, "camera": camera}
    for which, measured in (("EDV", 120.0), ("ESV", 40.0), ("ungated", 90.0)):
        low, high = quantify.volume_interval(measured, which=which, relative_noise=0.1, **about)
        wider = quantify.volume_interval(measured, which=which, relative_noise=0.3, **about)
        assert 0 < low <= measured <= high
        assert wider[0] <= low
        assert high <= wider[1]
    low, high = quantify.ef_interval(98.0, edv_mL=60.0, relative_noise=0.2, **about)
    assert 0 <= low <= 98 <= high <= 100


def test_kinds_of_cameras_have_constants_of_their_own_and_others_the_average() -> None:
    for models in (EDV_ERROR, ESV_ERROR, EF_ERROR):
        assert {"any", "conventional", "column-czt"} <= set(models) <= {"any", *(s.camera for s in SITES.values())}
    about: dict[str, Any] = {"which": "EDV", "fwhm_mm": 16.0, "relative_noise": 0.1}
    average = quantify.volume_interval(120.0, **about)
    assert quantify.volume_interval(120.0, camera="a camera of 2040", **about) == average
    assert quantify.volume_interval(120.0, camera="column-czt", **about) != average


def test_constants_are_found_again_in_errors_drawn_from_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS_MAKE))
    import calibrate_intervals

    rng = np.random.default_rng(5)
    n = 4000
    fwhm_mm, volume_mL, noise = rng.uniform(12, 20, n), rng.uniform(60, 260, n), rng.uniform(0.05, 0.3, n)
    true = ErrorModel(-0.05, 0.08, 0.6, -0.3, 0.1, bias_by_softness=0.2, bias_by_size=-0.06)
    mean = true.mean(fwhm_mm=fwhm_mm, volume_mL=volume_mL)
    spread = true.spread(fwhm_mm=fwhm_mm, volume_mL=volume_mL, noise=noise)
    solved = calibrate_intervals.error_model(mean + spread * rng.standard_normal(n), fwhm_mm, volume_mL, noise)

    assert np.abs(solved.mean(fwhm_mm=fwhm_mm, volume_mL=volume_mL) - mean).max() < 0.015
    # The fit is robust, so its spread alone is narrower than a normal one; the width of the interval is what counts.
    width = solved.factor * solved.spread(fwhm_mm=fwhm_mm, volume_mL=volume_mL, noise=noise)
    assert np.abs(width / (1.96 * spread) - 1).max() < 0.06
    other = mean + spread * rng.standard_normal(n)
    off = np.abs(other - solved.mean(fwhm_mm=fwhm_mm, volume_mL=volume_mL))
    assert np.mean(off <= width) == pytest.approx(0.95, abs=0.015)


def test_lines_of_a_noisy_statistic_are_found_again_and_close_up_with_less_noise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(DOCS_MAKE))
    import calibrate_intervals

    rng = np.random.default_rng(8)
    measured = rng.uniform(10, 40, 600)
    quiet = 2 + 0.3 * measured + rng.uniform(-1, 1, 600)
    low = calibrate_intervals.quantile_line(measured, quiet, 0.025)
    assert low == pytest.approx((2 - 0.95, 0.3), abs=0.12)

    figures = np.column_stack([measured, measured + 3, np.full(600, 4.0), quiet])
    solved = calibrate_intervals.noise_addition(figures)
    noisy, calm = np.array([16.0, 24.0]), np.array([19.9, 20.1])
    wide = quantify.interval_without_noise(20.0, noisy, solved, highest=180.0)
    assert wide[0] == pytest.approx(2 + 6 - 0.95, abs=0.4)
    assert wide[1] == 20.0
    near = quantify.interval_without_noise(20.0, calm, solved, highest=180.0)
    assert near[1] - near[0] < 0.1 * (wide[1] - wide[0])


def test_errors_that_grow_with_the_figure_are_allowed_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS_MAKE))
    import calibrate_intervals

    rng = np.random.default_rng(9)
    n = 1500
    quiet = rng.exponential(8.0, n) * (rng.random(n) < 0.6)
    spread = rng.uniform(0.4, 0.8, n)
    measured = np.maximum(quiet + np.hypot(spread, 0.2 * quiet) * rng.standard_normal(n), 0)
    solved = calibrate_intervals.draw_calibration(np.column_stack([measured, measured, spread, quiet]), 0.3)
    assert solved.relative == pytest.approx(0.2, abs=0.08)
    for chosen in (measured < 2, measured >= 10):
        held = [
            low <= without <= high
            for m, s, without in zip(measured[chosen], spread[chosen], quiet[chosen], strict=True)
            for low, high in [quantify.interval_of_draws(m, np.array([m - s, m + s]), solved, highest=100.0)]
        ]
        assert np.mean(held) == pytest.approx(0.95, abs=0.035)
