"""Colour tables for perfusion images: 256 entries from no counts to the maximum.

Each table is built here from a rule, none is copied from a vendor. ``uniform`` walks through OKLab
(B. Ottosson, 2020) with equal steps of lightness, so that equal differences of counts look equally large and
survive printing in grey and every common form of colour blindness. The step tables have as many colours as
their name says; a reader sees percentages as bands.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from myoscope.core import InvalidValue
from myoscope.report.oklab import Palette, oklab_colours

DEFAULT_COLOUR_TABLE = "uniform"


COLOUR_TABLES: Mapping[str, str] = MappingProxyType(
    {
        "uniform": "Uniform (colour-blind safe)",
        "grey": "Grey",
        "grey_inverse": "Grey, inverse",
        "hot": "Hot body",
        "cool": "Cool body",
        "spectrum": "Spectrum",
        "steps_10": "10 steps",
        "steps_20": "20 steps",
    }
)
"""The name of each table, as the command line takes it, and its label, as a reader sees it."""

# Anchors are (position 0..1, red, green, blue 0..255).
_HOT = (
    (0.0, 0, 0, 0),
    (0.38, 200, 0, 0),
    (0.5, 240, 70, 0),
    (0.75, 255, 190, 0),
    (0.9, 255, 250, 120),
    (1, 255, 255, 255),
)
_COOL = ((0.0, 0, 0, 0), (0.3, 0, 20, 120), (0.55, 0, 95, 225), (0.78, 40, 205, 245), (1, 255, 255, 255))
_SPECTRUM = (
    (0.0, 0, 0, 0),
    (0.12, 70, 0, 110),
    (0.28, 20, 30, 225),
    (0.42, 0, 170, 230),
    (0.54, 0, 185, 70),
    (0.68, 235, 225, 20),
    (0.82, 255, 130, 0),
    (0.93, 235, 10, 10),
    (1.0, 255, 255, 255),
)
# The colours of the ten bands, lowest first: each differs clearly from its neighbours.
_TEN = (
    (0, 0, 0),
    (45, 0, 90),
    (25, 25, 190),
    (0, 120, 235),
    (0, 165, 130),
    (20, 170, 20),
    (190, 205, 0),
    (255, 190, 0),
    (255, 95, 0),
    (225, 0, 20),
)


def colour_table(name: str) -> Palette:
    """The red, green and blue values of a table, lowest counts first; shape (256, 3), uint8.

    Raises
    ------
    InvalidValue
        For a name that is not in ``COLOUR_TABLES``.
    """
    ramp = np.linspace(0, 1, 256)
    if name == "uniform":
        return _uniform(ramp)
    if name in ("grey", "grey_inverse"):
        level = np.round(255 * (ramp if name == "grey" else 1 - ramp)).astype(np.uint8)
        return np.stack([level, level, level], axis=1)
    if name in ("hot", "cool", "spectrum"):
        return _between({"hot": _HOT, "cool": _COOL, "spectrum": _SPECTRUM}[name], ramp)
    if name == "steps_10":
        bands: Palette = np.array(_TEN, np.uint8)[np.minimum((ramp * 10).astype(int), 9)]
        return bands
    if name == "steps_20":
        return _between(_SPECTRUM, np.minimum(np.floor(ramp * 20), 19) / 19)
    known = ", ".join(COLOUR_TABLES)
    raise InvalidValue(f"there is no colour table called {name!r}; choose one of {known}")


def _between(anchors: tuple[tuple[float, int, int, int], ...], at: NDArray[np.float64]) -> Palette:
    position, *channels = np.array(anchors, float).T
    return np.round(np.stack([np.interp(at, position, c) for c in channels], axis=1)).astype(np.uint8)


def _uniform(ramp: NDArray[np.float64]) -> Palette:
    """Black through violet, red and orange to pale yellow, lightness rising in equal steps."""
    hue = np.interp(ramp, (0, 0.3, 0.6, 0.85, 1), (290, 325, 395, 445, 465))
    chroma = np.interp(ramp, (0, 0.15, 0.4, 0.65, 0.85, 1), (0, 0.115, 0.19, 0.18, 0.165, 0.10))
    return oklab_colours(0.97 * ramp, chroma, hue)
