"""One polar map as it stands on the page: the disc, its segments, its colour bar, and the numbers that belong to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from myoscope.core import VESSELS, HeartResult, PolarMap, ReserveResult
from myoscope.report.indexed_png import LEVELS, data_url, encode_png, windowed_palette
from myoscope.report.map_scales import MAP_SCALES, MapScale, own_palette
from myoscope.report.oklab import Palette
from myoscope.report.polar_disc import cyclic_disc_image, disc_image, segment_centres, segment_outlines
from myoscope.report.quantity_text import Told, tell
from myoscope.report.wall_values import means_of

FloatArray = NDArray[np.float64]

_PIXELS = {"perfusion": 280}
_FEWER_PIXELS = 200  # of the maps that stand smaller on the page
RADIUS = 100.0
"""Of the disc in the units of the drawing."""
_BAR_TOP, _BAR_HEIGHT = -84.0, 168.0

_SAID_BESIDE: Mapping[str, tuple[str, ...]] = {
    "blackout": ("TPD", "SSS", "SRS"),
    "severity": ("extent", "severity"),
    "motion": ("wall motion, mean",),
    "thickening": ("wall thickening, mean",),
    "phase": ("phase SD", "phase bandwidth"),
}
"""The quantities that a reader looks for beside each map."""
_BY_VESSEL = ("serial_change", "serial_change_called")
"""Maps of their own colours beside which the means of the territories are told."""
_SHORT = {
    "wall motion, mean": "mean",
    "wall thickening, mean": "mean",
    "phase SD": "SD",
    "phase bandwidth": "bandwidth",
}


@dataclass(frozen=True, slots=True)
class Label:
    """A number on the disc or a tick beside its bar, in units of the drawing."""

    text: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class ColourBar:
    """The colours of the map from highest to lowest, with ticks; ``words`` says what lies past the ends."""

    picture: str
    unit: str
    ticks: tuple[Label, ...]
    words: str
    top: float = _BAR_TOP
    height: float = _BAR_HEIGHT


@dataclass(frozen=True, slots=True)
class MapDisc:
    """A polar map as drawn.

    ``paint`` says whose colours it has (`MapScale.paint`); ``outlines`` names the lines between the segments, which
    all maps of one heart share; ``labels`` are the numbers in the 17 or 20 segments, ``facts`` those below the disc.
    """

    name: str
    title: str
    label: str
    state: str
    picture: str
    paint: str
    bar: ColourBar
    outlines: str
    labels: dict[int, tuple[Label, ...]]
    facts: tuple[Told, ...]
    alt: str
    unseen_percent: float

    @property
    def unseen_word(self) -> str:
        """What grey means: wall without counts was not seen; wall with counts may still have no phase."""
        return "without a value" if self.paint == "own" else "not seen"


@dataclass(frozen=True, eq=False, slots=True)
class Ground:
    """What all maps of one heart have in common: the lines between its segments, and where their numbers go."""

    key: str
    outlines: dict[int, str]
    centres: dict[int, dict[int, tuple[float, float]]]


def ground_of(polar_map: PolarMap, key: str) -> Ground:
    """The segments of a heart; ``key`` names them within the page."""
    models: tuple[Literal[17, 20], ...] = (17, 20)
    return Ground(
        key,
        {model: segment_outlines(polar_map, model, radius=RADIUS) for model in models},
        {model: segment_centres(polar_map, model) for model in models},
    )


def map_disc(
    name: str,
    shown: PolarMap,
    *,
    label: str,
    state: str,
    ground: Ground,
    table: Palette,
    heart: HeartResult | None = None,
    reserve: ReserveResult | None = None,
) -> MapDisc:
    """The disc of a map in the unit of its scale; ``name`` is a key of `MAP_SCALES`.

    ``table`` are the colours that the page opens with. ``heart`` gives the numbers that are told beside it; on the
    blackout map its segment scores stand in the place of means, on the map of flow reserve those of ``reserve``.
    """
    scale = MAP_SCALES[name]
    palette = palette_of(name, table)
    means = means_of(name, shown, cyclic=scale.cyclic, reserve=reserve)
    vessels = tuple(
        Told(vessel, scale.text(value)) for vessel, value in zip(VESSELS, means.vessels.tolist(), strict=True)
    )
    facts = vessels if scale.paint == "table" or name in _BY_VESSEL else _beside(name, heart)
    numbers: dict[int, tuple[str, ...]] = {
        17: tuple(scale.text(v) for v in means.segments_17.tolist()),
        20: tuple(scale.text(v) for v in means.segments_20.tolist()),
    }
    said = "most of the wall" if name == "capacity" else "means"
    if name == "blackout" and heart is not None and heart.segment_scores is not None:
        said = "segments hold scores from 0 to 4; means"
        numbers = {17: _scores(heart.segment_scores, 17), 20: _scores(heart.segment_scores_20, 20)}
    read = ", ".join(f"{v.name} {v.text}" for v in vessels)
    told = "".join(f"; {f.name} {f.text}{f' ({f.verdict})' if f.verdict else ''}" for f in facts if f not in vessels)
    return MapDisc(
        name=name,
        title=scale.title,
        label=label,
        state=state,
        picture=data_url(encode_png(scale.levels(_picture(name, shown, heart)), palette)),
        paint=scale.paint,
        bar=_bar(scale, palette),
        outlines=ground.key,
        labels={
            model: tuple(
                Label(numbers[model][n - 1], RADIUS * x, RADIUS * y) for n, (x, y) in ground.centres[model].items()
            )
            for model in (17, 20)
        },
        facts=facts,
        alt=f"{label}: polar map of {scale.title} in {scale.unit}, apex in the middle, anterior on top, septum left; "
        f"{said}: {read}{told}",
        unseen_percent=100 * float(np.mean(~np.isfinite(shown.value))),
    )


def palette_of(name: str, table: Palette) -> Palette:
    """The colours of a map for each level, ``table`` being the reader's."""
    paint = MAP_SCALES[name].paint
    if paint == "own":
        return own_palette(name)
    palette = windowed_palette(table)
    if paint == "blackout":
        palette[0] = 0
    return palette


def _picture(name: str, shown: PolarMap, heart: HeartResult | None) -> FloatArray:
    n_pixels = _PIXELS.get(name, _FEWER_PIXELS)
    if MAP_SCALES[name].cyclic:
        return cyclic_disc_image(shown.value, n_pixels=n_pixels)
    if name == "blackout" and heart is not None and "relative" in heart.maps:
        # Smooth inside, sharp at the edge: counts are interpolated as everywhere, then what is abnormal is cut out.
        normal = np.where(np.isfinite(shown.value), (shown.value > 0).astype(float), np.nan)
        counts = disc_image(heart.maps["relative"].value, n_pixels=n_pixels)
        return np.where(disc_image(normal, n_pixels=n_pixels) < 0.5, 0.0, counts)
    return disc_image(shown.value, n_pixels=n_pixels)


def _beside(name: str, heart: HeartResult | None) -> tuple[Told, ...]:
    if heart is None:
        return ()
    found = (heart.quantity(wanted) for wanted in _SAID_BESIDE.get(name, ()))
    return tuple(tell(q, _SHORT.get(q.name, "")) for q in found if q is not None and q.value is not None)


def _scores(scores: FloatArray | None, n_segments: int) -> tuple[str, ...]:
    if scores is None:
        return ("",) * n_segments
    return tuple(score_text(score) for score in scores.tolist())


def score_text(score: float) -> str:
    """A segment's score as it is written, a dash where it was not seen."""
    return f"{score + 0.0:.0f}" if np.isfinite(score) else "–"


def _bar(scale: MapScale, palette: Palette) -> ColourBar:
    levels = np.arange(LEVELS, -1, -1, dtype=np.uint8)[:, None]
    ticks = tuple(
        Label(f"{tick:g}", 0.0, _BAR_TOP + _BAR_HEIGHT * (1 - (tick - scale.low) / (scale.high - scale.low)))
        for tick in scale.ticks
    )
    past = [f"{scale.high:g} {scale.beyond}"] if scale.beyond else []
    if scale.below_means:
        past.append(f"violet: {scale.below_means}")
    return ColourBar(data_url(encode_png(levels, palette)), scale.unit, ticks, ", ".join(past))
