"""Every polar map has a scale of its own, and its colours mean what the bar beside it says."""

from __future__ import annotations

import numpy as np
import pytest
from analytic_heart import even, polar_map_of, surfaces_of

from myoscope.core import MAP_MEANINGS
from myoscope.report.indexed_png import LEVELS, NOT_SEEN, NOT_SEEN_RGB
from myoscope.report.map_scales import MAP_SCALES, own_palette
from myoscope.report.oklab import oklab_colours
from myoscope.report.polar_disc import cyclic_disc_image, disc_image
from myoscope.report.wall_values import map_means

OWN = [name for name, scale in MAP_SCALES.items() if scale.paint == "own"]
RUNNING = [name for name in OWN if not MAP_SCALES[name].cyclic]


def _luminance(rgb: np.ndarray) -> np.ndarray:
    value = rgb / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    light: np.ndarray = linear @ [0.2126, 0.7152, 0.0722]
    return light


def test_every_map_that_an_analysis_may_make_can_be_shown() -> None:
    assert set(MAP_MEANINGS) <= set(MAP_SCALES)


@pytest.mark.parametrize("name", list(MAP_SCALES))
def test_the_ends_of_a_scale_take_the_ends_of_its_colours(name: str) -> None:
    scale = MAP_SCALES[name]
    assert scale.ticks[0] == scale.low
    assert scale.ticks[-1] == scale.high
    lowest, highest, unseen = scale.levels(np.array([scale.low, scale.high, np.nan])).tolist()
    assert lowest == (1 if scale.below else 0)
    assert highest == (0 if scale.cyclic else LEVELS)
    assert unseen == NOT_SEEN


@pytest.mark.parametrize("name", RUNNING)
def test_colours_of_a_map_run_one_way_from_dark_to_light_or_back(name: str) -> None:
    light = _luminance(own_palette(name)[1:LEVELS:8])
    steps = np.diff(light)
    assert (steps > 0).all() or (steps < 0).all()
    assert abs(light[-1] - light[0]) > 0.5


@pytest.mark.parametrize("name", OWN)
def test_wall_without_a_value_looks_like_no_value_of_the_map(name: str) -> None:
    palette = own_palette(name).astype(int)
    assert palette[NOT_SEEN].tolist() == list(NOT_SEEN_RGB)
    assert np.abs(palette[:NOT_SEEN] - palette[NOT_SEEN]).max(axis=1).min() > 20


@pytest.mark.parametrize("name", ["motion", "thickening", "thickening_counts"])
def test_a_wall_that_moves_backwards_stands_out(name: str) -> None:
    scale = MAP_SCALES[name]
    back, still, well = scale.levels(np.array([-0.01, 0.0, scale.high])).tolist()
    assert back == 0 < still < well
    palette = own_palette(name).astype(int)
    assert palette[0].tolist() == list(scale.below or ())
    assert np.abs(palette[1:NOT_SEEN] - palette[0]).max(axis=1).min() > 40


def test_the_colours_of_phase_close_a_circle_without_a_seam() -> None:
    palette = own_palette("phase")[: LEVELS + 1].astype(int)
    steps = np.abs(np.diff(palette, axis=0)).max(axis=1)
    assert np.abs(palette[0] - palette[-1]).max() <= steps.max() <= 12
    level = MAP_SCALES["phase"].levels(np.array([0.0, 359.9, 360.0, 370.0, 10.0]))
    assert level[0] == level[2]
    assert level[3] == level[4]


def test_opposite_phases_differ_to_a_colour_blind_eye() -> None:
    """Lightness alone, without hue, tells early systole from what comes half a beat later."""
    palette = own_palette("phase")
    scale = MAP_SCALES["phase"]
    for early in (90.0, 120.0, 150.0):
        pair = palette[scale.levels(np.array([early, early + 180]))]
        light = _luminance(pair)
        assert light[0] > 1.4 * light[1]


def test_colours_keep_the_lightness_that_was_asked_for_even_where_a_screen_cannot_show_their_chroma() -> None:
    vivid, grey = (oklab_colours(np.full(36, 0.6), chroma, np.arange(0, 360, 10.0)) for chroma in (0.4, 0.0))
    assert _luminance(vivid) == pytest.approx(_luminance(grey), rel=0.35)
    assert (np.ptp(vivid.astype(int), axis=1) > 60).all()


def test_numbers_on_the_map_have_no_minus_before_nothing_and_no_second_zero_degrees() -> None:
    assert MAP_SCALES["motion"].text(-0.04) == "0"
    assert MAP_SCALES["motion"].text(-1.26) == "\u22121.3"
    assert MAP_SCALES["severity"].text(3.14) == "3.1"
    assert MAP_SCALES["phase"].text(359.8) == "0"
    assert MAP_SCALES["thickening"].text(float("nan")) == "–"


def test_between_350_and_10_degrees_lies_0_and_not_180() -> None:
    value = np.full((40, 72), 350.0)
    value[:, :36] = 10.0
    picture = cyclic_disc_image(value, n_pixels=101)
    seen = picture[np.isfinite(picture)]
    assert ((seen <= 10.01) | (seen >= 349.99)).all()
    assert np.isnan(cyclic_disc_image(np.full((40, 72), np.nan), n_pixels=21)).all()


def test_a_disc_of_one_value_shows_that_value_whatever_its_size() -> None:
    for n_pixels in (31, 60, 101):
        picture = disc_image(np.full((40, 72), 7.0), n_pixels=n_pixels)
        assert np.nanmax(np.abs(picture - 7)) < 1e-12
        along = np.abs((np.arange(n_pixels) + 0.5) / n_pixels * 2 - 1)
        radius = np.hypot(along[:, None], along[None, :])
        # The page cuts the disc round; it must be filled up to there.
        assert np.isfinite(picture[radius <= 1]).all()
        assert np.isnan(picture[radius > 1 + 2 / n_pixels]).all()


def test_means_of_angles_run_round_the_circle_and_turn_with_it() -> None:
    wall = polar_map_of(surfaces_of(), even)
    alternating = np.where(np.arange(72)[None, :] % 2, 350.0, 14.0) + np.zeros((40, 1))
    means = map_means(wall.like(alternating, "two phases"), cyclic=True)
    assert means.segments_17 == pytest.approx(2.0, abs=1e-6)
    turned = map_means(wall.like((alternating + 100) % 360, "later"), cyclic=True)
    for model in (17, 20):
        assert turned.segments(model) == pytest.approx(means.segments(model) + 100)
    assert turned.vessels == pytest.approx(102.0)
