"""How each polar map is shown: its range, its unit, its ticks and its colours.

Counts take the colour table that the reader chose, dark where there is little. The other maps have tables of their own,
built in OKLab with lightness that runs one way, so that they can be told apart in grey and by the colour-blind: motion
and thickening are dark where the wall does little, severity is dark where much is lacking, reversibility bright where
much comes back. Phase runs in a circle: its hue is the angle itself (green for the end of systole, blue and violet for
what comes late), and lightness sets early apart from late. Ranges are the usual ones of clinical programs where there
are such: motion 0 to 10 mm, thickening 0 to 100 %, phase one beat.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from myoscope.report.indexed_png import LEVELS, NOT_SEEN, NOT_SEEN_RGB, to_levels
from myoscope.report.oklab import Palette, oklab_colours
from myoscope.report.quantity_text import MINUS

FloatArray = NDArray[np.float64]
Paint = Literal["table", "blackout", "own"]
"""Whose colours: the reader's table, the same with black for nothing, or the map's own."""


@dataclass(frozen=True, slots=True)
class MapScale:
    """The way to show one kind of polar map.

    ``low`` and ``high`` are the ends of the colours, ``ticks`` the numbers beside the colour bar, ``digits`` those
    behind the point in the segments. What lies past an end takes the colour of that end; ``beyond`` says so where it
    matters. ``below`` is a colour (red, green, blue) that is kept for what lies under ``low``, and ``below_means`` what
    that is. ``anchors`` (place 0 to 1, lightness, chroma, hue in degrees) make the colours; empty for counts.
    """

    title: str
    unit: str
    low: float
    high: float
    ticks: tuple[float, ...]
    digits: int = 0
    paint: Paint = "own"
    cyclic: bool = False
    below: tuple[int, int, int] | None = None
    below_means: str = ""
    beyond: str = ""
    anchors: tuple[tuple[float, float, float, float], ...] = ()

    def levels(self, value: FloatArray) -> NDArray[np.uint8]:
        """Values as indices of the colours, 0 to 254; NaN becomes ``NOT_SEEN``."""
        share = (value - self.low) / (self.high - self.low)
        level = to_levels(100 * (share % 1.0 if self.cyclic else share))
        if self.below is None:
            return level
        inside = np.isfinite(value) & (np.where(np.isfinite(value), value, 0.0) >= self.low)
        return np.where(inside, np.maximum(level, 1), level).astype(np.uint8)

    def place(self, value: float) -> float:
        """Where a value stands on the colour bar, 0 at its lower and 1 at its upper end."""
        return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)

    def text(self, value: float) -> str:
        """The value of a segment as it is written on the map."""
        if not np.isfinite(value):
            return "–"
        rounded = f"{value:.{self.digits}f}"
        if self.cyclic and float(rounded) == self.high:
            rounded = f"{self.low:.{self.digits}f}"
        return "0" if float(rounded) == 0 else rounded.replace("-", MINUS)


_PERCENT = (0.0, 20.0, 40.0, 60.0, 80.0, 100.0)
_BACKWARDS = (150, 60, 200)
_THICKENING = (
    (0.0, 0.16, 0.05, 275.0),
    (0.35, 0.42, 0.11, 265.0),
    (0.7, 0.74, 0.11, 235.0),
    (1.0, 0.97, 0.04, 205.0),
)

_FLOW = (
    (0.0, 0.13, 0.06, 300.0),
    (0.25, 0.36, 0.15, 330.0),
    (0.5, 0.56, 0.17, 20.0),
    (0.75, 0.76, 0.15, 65.0),
    (1.0, 0.97, 0.08, 105.0),
)
_SHARE = ((0.0, 0.16, 0.03, 25.0), (0.4, 0.44, 0.14, 25.0), (0.75, 0.70, 0.14, 35.0), (1.0, 0.97, 0.03, 60.0))
_CAPACITY = (
    (0.0, 0.93, 0.10, 110.0),
    (0.25, 0.78, 0.16, 130.0),
    (0.5, 0.60, 0.13, 200.0),
    (0.75, 0.42, 0.14, 270.0),
    (1.0, 0.15, 0.08, 290.0),
)
_MORE_OR_LESS = ((0.0, 0.18, 0.10, 268.0), (0.5, 0.60, 0.12, 190.0), (1.0, 0.96, 0.11, 95.0))
_RATE = ((0.0, 0.15, 0.04, 265.0), (0.35, 0.42, 0.09, 245.0), (0.7, 0.74, 0.12, 205.0), (1.0, 0.97, 0.06, 180.0))

MAP_SCALES: Mapping[str, MapScale] = MappingProxyType(
    {
        "perfusion": MapScale("perfusion", "% of maximum", 0, 100, _PERCENT, paint="table"),
        "motion_frozen": MapScale("motion frozen", "% of maximum", 0, 100, _PERCENT, paint="table"),
        "relative": MapScale("perfusion at the level of normal", "% of normal", 0, 100, _PERCENT, paint="table"),
        "blackout": MapScale("blackout", "% of normal", 0, 100, _PERCENT, paint="blackout"),
        "severity": MapScale(
            "severity",
            "deviations",
            0,
            9,
            (0, 3, 6, 9),
            digits=1,
            beyond="and more",
            anchors=(
                (0.0, 0.95, 0.02, 100.0),
                (0.25, 0.86, 0.14, 88.0),
                (0.5, 0.64, 0.20, 40.0),
                (0.75, 0.42, 0.16, 22.0),
                (1.0, 0.16, 0.06, -10.0),
            ),
        ),
        "reversibility": MapScale(
            "reversibility",
            "% of normal",
            0,
            50,
            (0, 10, 20, 30, 40, 50),
            beyond="and more",
            anchors=(
                (0.0, 0.17, 0.03, 165.0),
                (0.35, 0.45, 0.09, 155.0),
                (0.7, 0.78, 0.17, 140.0),
                (1.0, 0.97, 0.08, 115.0),
            ),
        ),
        "change": MapScale(
            "stress over rest",
            "% more or less",
            -50,
            50,
            (-50, -25, 0, 25, 50),
            beyond="and more",
            anchors=_MORE_OR_LESS,
        ),
        "serial_change": MapScale(
            "later less earlier",
            "% more or less",
            -40,
            40,
            (-40, -20, 0, 20, 40),
            beyond="and more",
            anchors=_MORE_OR_LESS,
        ),
        "serial_change_called": MapScale(
            "beyond repeats",
            "% more or less",
            -40,
            40,
            (-40, -20, 0, 20, 40),
            beyond="and more",
            anchors=_MORE_OR_LESS,
        ),
        "motion": MapScale(
            "motion",
            "mm",
            0,
            10,
            (0, 2, 4, 6, 8, 10),
            digits=1,
            below=_BACKWARDS,
            below_means="outward",
            beyond="and more",
            anchors=(
                (0.0, 0.16, 0.05, 290.0),
                (0.3, 0.40, 0.075, 240.0),
                (0.6, 0.62, 0.10, 170.0),
                (0.85, 0.82, 0.16, 130.0),
                (1.0, 0.95, 0.15, 108.0),
            ),
        ),
        "thickening": MapScale(
            "thickening",
            "%",
            0,
            100,
            _PERCENT,
            below=_BACKWARDS,
            below_means="thinning",
            beyond="and more",
            anchors=_THICKENING,
        ),
        "thickening_counts": MapScale(
            "thickening by counts",
            "%",
            0,
            100,
            _PERCENT,
            below=_BACKWARDS,
            below_means="thinning",
            beyond="and more",
            anchors=_THICKENING,
        ),
        "phase": MapScale("phase", "° after R", 0, 360, (0, 90, 180, 270, 360), cyclic=True),
        "phase_counted": MapScale("phase counted", "° after R", 0, 360, (0, 90, 180, 270, 360), cyclic=True),
        "amplitude": MapScale(
            "amplitude",
            "% of mean",
            0,
            50,
            (0, 10, 20, 30, 40, 50),
            beyond="and more",
            anchors=(
                (0.0, 0.16, 0.03, 330.0),
                (0.4, 0.46, 0.13, 345.0),
                (0.75, 0.75, 0.12, 365.0),
                (1.0, 0.97, 0.03, 400.0),
            ),
        ),
        "flow": MapScale("blood flow", "mL/min/g", 0, 4, (0, 1, 2, 3, 4), digits=1, beyond="and more", anchors=_FLOW),
        "flow_error": MapScale(
            "error of flow", "mL/min/g", 0, 1, (0, 0.25, 0.5, 0.75, 1), digits=2, beyond="and more", anchors=_RATE
        ),
        "uptake": MapScale(
            "uptake K1", "mL/min/mL", 0, 1.5, (0, 0.5, 1, 1.5), digits=2, beyond="and more", anchors=_RATE
        ),
        "washout": MapScale("washout k2", "1/min", 0, 1, (0, 0.25, 0.5, 0.75, 1), digits=2, anchors=_RATE),
        "trapping": MapScale("trapping k3", "1/min", 0, 1, (0, 0.25, 0.5, 0.75, 1), digits=2, anchors=_RATE),
        "release": MapScale("release k4", "1/min", 0, 1, (0, 0.25, 0.5, 0.75, 1), digits=2, anchors=_RATE),
        "left_blood": MapScale("left blood", "share", 0, 1, (0, 0.25, 0.5, 0.75, 1), digits=2, anchors=_SHARE),
        "right_blood": MapScale("right blood", "share", 0, 1, (0, 0.25, 0.5, 0.75, 1), digits=2, anchors=_SHARE),
        "tissue_share": MapScale("perfusable tissue", "g/mL", 0, 1, (0, 0.25, 0.5, 0.75, 1), digits=2, anchors=_RATE),
        "reserve": MapScale("flow reserve", "ratio", 0, 4, (0, 1, 2, 3, 4), digits=1, beyond="and more", anchors=_FLOW),
        "capacity": MapScale("flow capacity", "class", 0, 4, (0, 1, 2, 3, 4), anchors=_CAPACITY),
    }
)
"""How to show the counts (``perfusion``), each map of `MAP_MEANINGS`, and the change between two studies."""


@cache
def own_palette(name: str) -> Palette:
    """The 256 colours of a map that does not follow the reader's table; the last is that of wall that was not seen."""
    scale = MAP_SCALES[name]
    ramp = np.arange(256) / LEVELS
    if scale.cyclic:
        angle = 360 * ramp
        palette = oklab_colours(0.72 + 0.13 * np.cos(np.radians(angle - 120)), 0.118, angle)
    else:
        place, *look = np.array(scale.anchors).T
        palette = oklab_colours(*(np.interp(ramp, place, one) for one in look))
    if scale.below is not None:
        palette[0] = scale.below
    palette[NOT_SEEN] = NOT_SEEN_RGB
    palette.setflags(write=False)
    return palette
