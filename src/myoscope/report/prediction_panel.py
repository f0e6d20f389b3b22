"""What models say, as a part of the page: probabilities, where they looked, what counted, and what if.

In: ``ModelReport``s. Out: what the template ``prediction_panel.html`` shows. A model that abstains shows its reason and
no picture; the sentence that says what a model is not for stands over every answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myoscope.core import PROBABILITY, ModelReport, PolarMap, Prediction, WhatIfCurve
from myoscope.report.indexed_png import LEVELS, data_url, encode_png, to_levels, windowed_palette
from myoscope.report.polar_disc import disc_image, segment_centres, segment_outlines
from myoscope.report.wall_values import polar_percent

_DISC_PIXELS = 240
_LOOKED_AT = 0.5
"""Share of the greatest attention inside the outline that is drawn over the perfusion map."""
_PLOT_WIDTH, _PLOT_HEIGHT = 300.0, 150.0
_WATERFALL_WIDTH, _BAR_HEIGHT = 300.0, 22.0


@dataclass(frozen=True, slots=True)
class AnswerLine:
    """One prediction: words, and where its bar and interval lie, 0 to 100."""

    name: str
    text: str
    interval: str
    at: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class LabelledDisc:
    """A polar map as a picture with lines between segments, an outline over it, and a number in each segment."""

    title: str
    picture: str
    overlay: str
    outlines: str
    labels: tuple[tuple[str, float, float], ...]
    alt: str


@dataclass(frozen=True, slots=True)
class BarLine:
    """One bar of the waterfall, in the units of its drawing."""

    name: str
    shown: str
    x: float
    width: float
    y: float
    raises: bool
    amount: str


@dataclass(frozen=True, slots=True)
class Plot:
    """A what-if curve as a path, with ticks and the patient's own place."""

    title: str
    unit: str
    path: str
    own_x: float | None
    own_y: float
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True)
class ModelView:
    """One model on the page."""

    system: str
    does: str
    source: str
    card: str
    warning: str
    series: str
    abstained: str
    answers: tuple[AnswerLine, ...]
    discs: tuple[LabelledDisc, ...]
    bars: tuple[BarLine, ...]
    bars_height: float
    bars_zero: float
    bars_start: str
    bars_end: str
    plots: tuple[Plot, ...]
    method: str
    explained: str


def model_views(reports: Sequence[ModelReport], palette: NDArray[np.uint8]) -> tuple[ModelView, ...]:
    """What the page shows of each model; ``palette`` (256, 3) colours the perfusion map."""
    return tuple(_view(report, palette) for report in reports)


def render_predictions(reports: Sequence[ModelReport], palette: NDArray[np.uint8]) -> str:
    """The part of the page as HTML, without its style (``prediction_panel.css``)."""
    return str(_template().render(models=model_views(reports, palette)))


@cache
def _template() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("prediction_panel.html")


def _view(report: ModelReport, palette: NDArray[np.uint8]) -> ModelView:
    bars, height, zero = _bars(report)
    return ModelView(
        report.system,
        report.does,
        report.source,
        report.model_card,
        report.warning,
        report.series,
        report.abstained,
        tuple(_answer(one) for one in report.predictions),
        _discs(report, palette),
        bars,
        height,
        zero,
        f"{_chance(report.start):.0f} %",
        f"{_chance(report.steps[-1].end):.0f} %" if report.steps else "",
        tuple(_plot(curve) for curve in report.curves),
        report.explanation.method if report.explanation is not None else "",
        report.explained,
    )


def _answer(one: Prediction) -> AnswerLine:
    if one.value is None:
        return AnswerLine(one.name, "no answer", "", None, None, None)
    if one.unit != PROBABILITY:
        return AnswerLine(one.name, f"{one.value:.3g} {one.unit}", "", None, None, None)
    interval = ""
    if one.low is not None and one.high is not None:
        interval = f"{100 * one.low:.0f} to {100 * one.high:.0f} %"
    low, high = (None if x is None else 100 * x for x in (one.low, one.high))
    return AnswerLine(one.name, f"{100 * one.value:.0f} %", interval, 100 * one.value, low, high)


def _discs(report: ModelReport, palette: NDArray[np.uint8]) -> tuple[LabelledDisc, ...]:
    """What the model was shown with an outline of what was looked at, attention, and the probability by segment."""
    wall, explanation = report.polar_map, report.explanation
    if wall is None or explanation is None:
        return ()
    percent = polar_percent(wall)
    attribution = np.asarray(explanation.attribution, np.float64)
    attention = np.maximum(attribution.sum(axis=0) if attribution.ndim == 3 else attribution, 0)
    top = float(attention.max())
    scaled = 100 * attention / top if top > 0 else attention
    violet, found = _attention_palette(), []
    if percent is not None:
        alt = f"{report.shown}; the line bounds what was looked at"
        found.append(_disc(percent.value, percent, palette, f"{report.shown}, % of maximum", alt, over=scaled))
    found.append(_disc(scaled, wall, violet, "attention, % of greatest", "where the model looked"))
    shown = report.segment_probability
    if shown is not None:
        title, alt = "probability by segment, %", "the patient's probability by segment"
        found.append(_disc(100 * shown[wall.segment - 1], wall, violet, title, alt, numbers=100 * shown))
    return tuple(found)


def _disc(
    value: NDArray[np.float64],
    wall: PolarMap,
    palette: NDArray[np.uint8],
    title: str,
    alt: str,
    *,
    over: NDArray[np.float64] | None = None,
    numbers: NDArray[np.float64] | None = None,
) -> LabelledDisc:
    labels = []
    if numbers is not None:
        labels = [
            (f"{numbers[segment - 1]:.0f}", 100 * x, 100 * y) for segment, (x, y) in segment_centres(wall, 17).items()
        ]
    return LabelledDisc(
        title,
        data_url(encode_png(to_levels(disc_image(value, n_pixels=_DISC_PIXELS)), windowed_palette(palette))),
        _outline(over) if over is not None else "",
        segment_outlines(wall, 17, radius=100),
        tuple(labels),
        alt,
    )


def _outline(attention: NDArray[np.float64]) -> str:
    """The edge of what was looked at, as a picture that is clear elsewhere; nothing where nothing was."""
    inside = np.nan_to_num(disc_image(attention, n_pixels=_DISC_PIXELS)) >= 100 * _LOOKED_AT
    if not inside.any():
        return ""
    core = inside.copy()
    for axis in (0, 1):
        for step in (-1, 1, -2, 2):
            core &= np.roll(inside, step, axis)
    pixels = np.where(inside & ~core, 0, LEVELS).astype(np.uint8)
    palette = np.tile(np.array([[255, 0, 190]], np.uint8), (256, 1))
    return data_url(encode_png(pixels, palette, transparent=LEVELS))


def _attention_palette() -> NDArray[np.uint8]:
    """From white to a dark violet: more is darker, in print too."""
    share = np.linspace(0, 1, 256)[:, None]
    light, middle, dark = (np.array(c, np.float64) for c in ((255, 255, 255), (214, 118, 190), (58, 8, 84)))
    low = light + (middle - light) * np.clip(2 * share, 0, 1)
    colours: NDArray[np.uint8] = np.rint(np.where(share < 0.5, low, middle + (dark - middle) * (2 * share - 1))).astype(
        np.uint8
    )
    return colours


def _bars(report: ModelReport) -> tuple[tuple[BarLine, ...], float, float]:
    """Bars between the least and the greatest log-odds on the way, top to bottom, and where the start lies."""
    if not report.steps:
        return (), 0.0, 0.0
    ends = [report.start, *(x for step in report.steps for x in (step.start, step.end))]
    low, high = min(ends), max(ends)
    unit = _WATERFALL_WIDTH / max(high - low, 1e-6)
    bars = []
    for number, step in enumerate(report.steps):
        left, right = sorted((step.start, step.end))
        change = step.end - step.start
        bars.append(
            BarLine(
                step.name,
                step.shown,
                (left - low) * unit,
                max((right - left) * unit, 0.8),
                number * _BAR_HEIGHT,
                change >= 0,
                f"{change:+.2f}",
            )
        )
    return tuple(bars), len(bars) * _BAR_HEIGHT, (report.start - low) * unit


def _plot(curve: WhatIfCurve) -> Plot:
    low, high = float(curve.values[0]), float(curve.values[-1])

    def x(value: float) -> float:
        return _PLOT_WIDTH * (value - low) / (high - low)

    def y(probability: float) -> float:
        return _PLOT_HEIGHT * (1 - probability)

    points = " ".join(f"{x(v):.1f} {y(p):.1f}" for v, p in zip(curve.values, curve.probability, strict=True))
    own = curve.own if math.isfinite(curve.own) and low <= curve.own <= high else None
    at = float(np.interp(own, curve.values, curve.probability)) if own is not None else 0.0
    step = 10 if high - low < 100 else 50
    ticks = np.arange(math.ceil(low / step) * step, high + 1e-9, step)
    return Plot(
        curve.name,
        curve.unit,
        f"M{points}",
        None if own is None else x(own),
        y(at),
        tuple((x(float(t)), f"{t:.0f}") for t in ticks),
        tuple((y(p), f"{100 * p:.0f}") for p in (0.0, 0.5, 1.0)),
    )


def _chance(log_odds: float) -> float:
    return 100 / (1 + math.exp(-max(min(log_odds, 60.0), -60.0)))
