"""One real scan in four pictures: short axis, vertical and horizontal long axis with the wall, and the polar map."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from page_files import VALIDATION
from PIL import Image, ImageDraw, ImageFont

from myoscope import io
from myoscope.core import HeartResult, PolarMap, StudyResult
from myoscope.report.colour_tables import DEFAULT_COLOUR_TABLE, colour_table
from myoscope.report.indexed_png import to_levels, windowed_palette
from myoscope.report.panel import mean_surfaces
from myoscope.report.polar_disc import disc_image, segment_edges
from myoscope.report.view_slices import View, cut_slices, display_maximum, heart_box, slice_contours
from myoscope.report.wall_values import polar_percent

_FIGURES = VALIDATION / "figures"
_VIEWS: tuple[View, ...] = ("SA", "VLA", "HLA")
_PIXELS, _GAP, _HEADING, _MARGIN, _FINE = 116, 4, 18, 8, 2
HALF_MM = 66.0
"""Half the width of every picture, so that hearts can be compared in size."""
_GROUND, _WHITE, _CYAN, _SOFT = (10, 13, 18), (255, 255, 255), (95, 240, 255), (195, 204, 214)
_N_COLUMNS, _N_COLOURS = 2, 96
_WIDTH = 4 * _PIXELS + 3 * _GAP


def draw_tile(result: StudyResult, path: Path) -> None:
    """The middle slice of each view with its contours, and the polar map, side by side."""
    heart = result.series[0].heart
    assert heart is not None  # the caller has a heart
    palette = windowed_palette(colour_table(DEFAULT_COLOUR_TABLE))
    tile = Image.new("RGB", (_WIDTH, _PIXELS), _GROUND)
    for column, picture in enumerate([*_slices(heart, palette), _disc(heart.polar_map, palette)]):
        tile.paste(picture, (column * (_PIXELS + _GAP), 0))
    _write(tile, path)


def _slices(heart: HeartResult, palette: NDArray[np.uint8]) -> list[Image.Image]:
    stack = np.asarray(heart.short_axis.summed().array, float)
    percent = stack * (100 / display_maximum(heart, stack))
    surfaces, middle = mean_surfaces(heart.surfaces), heart_box(heart).middle
    pictures = []
    for view in _VIEWS:
        depths = middle[{"SA": 2, "VLA": 0, "HLA": 1}[view]] + np.zeros(1)
        cut = cut_slices(
            heart,
            percent,
            view,
            depths_mm=depths,
            middle_mm=middle,
            half_mm=HALF_MM,
            n_pixels=_FINE * _PIXELS,
        )
        lines = slice_contours(heart, surfaces, view, depths_mm=depths, middle_mm=middle, half_mm=HALF_MM)
        picture = Image.fromarray(palette[to_levels(cut[0])])
        draw = ImageDraw.Draw(picture)
        for name, colour in (("epi", _WHITE), ("endo", _CYAN)):
            for line in lines[0][name]:
                points = (line * (_FINE * _PIXELS / 2 / HALF_MM)).tolist()
                draw.line([(x, y) for x, y in points], fill=colour, width=_FINE + 1)
        pictures.append(picture.resize((_PIXELS, _PIXELS), Image.Resampling.BOX))
    return pictures


def _disc(polar_map: PolarMap, palette: NDArray[np.uint8]) -> Image.Image:
    """The polar map with the lines between its segments; empty where it holds no positive value."""
    size = _FINE * _PIXELS
    percent = polar_percent(polar_map)
    if percent is None:
        return Image.new("RGB", (_PIXELS, _PIXELS), _GROUND)
    along = np.abs((np.arange(size) + 0.5) / size * 2 - 1)
    inside = np.hypot(along[:, None], along[None, :]) <= 1
    colours = palette[to_levels(disc_image(percent.value, n_pixels=size))]
    picture = Image.fromarray(np.where(inside[..., None], colours, np.array(_GROUND, np.uint8)))
    draw = ImageDraw.Draw(picture)
    for line in segment_edges(percent, 17):
        draw.line([(size / 2 * (1 + x), size / 2 * (1 + y)) for x, y in line.tolist()], fill=(0, 0, 0), width=1)
    return picture.resize((_PIXELS, _PIXELS), Image.Resampling.BOX)


def write_sheet(tiles: Sequence[tuple[str, Path]], name: str) -> None:
    """A contact sheet of tiles, two in a row, each under its heading."""
    n_rows = -(-len(tiles) // _N_COLUMNS)
    width, height = _WIDTH + 2 * _MARGIN, _PIXELS + _HEADING + _MARGIN
    sheet = Image.new("RGB", (_N_COLUMNS * width, n_rows * height + _MARGIN), _GROUND)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(13)
    for n, (heading, path) in enumerate(tiles):
        left, top = n % _N_COLUMNS * width + _MARGIN, n // _N_COLUMNS * height + _MARGIN
        draw.text((left, top), heading, fill=_WHITE, font=font)
        if path.exists():
            with Image.open(path) as tile:
                sheet.paste(tile.convert("RGB"), (left, top + _HEADING))
        else:
            draw.text((left, top + 2 * _HEADING), "no heart was found", fill=_SOFT, font=font)
    _FIGURES.mkdir(exist_ok=True)
    _write(sheet.quantize(_N_COLOURS, dither=Image.Dither.NONE), _FIGURES / name)


def _write(image: Image.Image, path: Path) -> None:
    buffer = BytesIO()
    image.save(buffer, "PNG", optimize=True)
    with io.atomic_write(path) as file:
        file.write(buffer.getvalue())
