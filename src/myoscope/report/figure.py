"""One picture of a study: short-axis rows and polar maps, for a README, a slide or a paper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from myoscope.core import HeartResult, InvalidValue, StudyResult
from myoscope.report.colour_tables import DEFAULT_COLOUR_TABLE
from myoscope.report.colour_tables import colour_table as palette_of
from myoscope.report.indexed_png import to_levels, windowed_palette
from myoscope.report.pairing import comparisons, state_label
from myoscope.report.panel import mean_surfaces
from myoscope.report.place_file import place_file
from myoscope.report.polar_disc import disc_image, segment_centres, segment_edges
from myoscope.report.view_slices import (
    View,
    cut_slices,
    display_maximum,
    frame_together,
    heart_box,
    slice_contours,
    slice_depths_mm,
)
from myoscope.report.wall_values import polar_percent

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

_N_COLUMNS, _SLICE, _DISC, _MARGIN, _HEADING = 8, 104, 230, 16, 24
_ROW = 2 * (_SLICE + _HEADING) + _MARGIN
_GROUND, _WHITE, _CYAN, _SOFT = (10, 13, 18), (255, 255, 255), (95, 240, 255), (195, 204, 214)


def figure_png(result: StudyResult, path: Path, *, colour_table: str = DEFAULT_COLOUR_TABLE) -> None:
    """Write the first stress and rest pair (or the first series) as one PNG of at most some 300 kB.

    One row for each series: short axis from apex to base, vertical and horizontal long axis, polar map with
    the means of the 17 segments in %; the wall's contours are drawn on the slices.

    Raises
    ------
    InvalidValue
        If no series has a heart, or the colour table does not exist.
    OutputError
        If the file cannot be written.
    """
    import io

    from PIL import Image, ImageDraw

    groups = comparisons(result.series, result.pairs)
    if not groups:
        raise InvalidValue("no left ventricle was found in this study, so there is no picture to make")
    members = groups[0].members
    palette = windowed_palette(palette_of(colour_table))
    hearts = [m.heart for m in members if m.heart is not None]
    framing = frame_together([heart_box(h) for h in hearts], n_short_axis=_N_COLUMNS + 2, n_long_axis=_N_COLUMNS // 2)

    width = 3 * _MARGIN + _N_COLUMNS * _SLICE + _DISC
    image = Image.new("RGB", (width, _MARGIN + len(members) * _ROW), _GROUND)
    draw = ImageDraw.Draw(image)
    for n, (member, heart) in enumerate(zip(members, hearts, strict=True)):
        top = _MARGIN + n * _ROW
        half_way = _MARGIN + _N_COLUMNS * _SLICE // 2
        below = top + _HEADING + _SLICE + 2
        _text(draw, (_MARGIN, top), f"{state_label(member)} · short axis, apex to base", 14, _WHITE)
        _text(draw, (_MARGIN, below + 5), "vertical long axis", 14, _SOFT)
        _text(draw, (half_way, below + 5), "horizontal long axis", 14, _SOFT)
        _text(draw, (2 * _MARGIN + _N_COLUMNS * _SLICE, top), "polar map, % of maximum", 14, _SOFT)
        stack = np.asarray(heart.short_axis.summed().array, float)
        percent = stack * (100 / display_maximum(heart, stack))
        box, surfaces = heart_box(heart), mean_surfaces(heart.surfaces)
        places: tuple[tuple[View, int, int, int], ...] = (
            ("SA", _N_COLUMNS, _MARGIN, top + _HEADING),
            ("VLA", _N_COLUMNS // 2, _MARGIN, below + _HEADING),
            ("HLA", _N_COLUMNS // 2, half_way, below + _HEADING),
        )
        for view, count, left, upper in places:
            depths, half = slice_depths_mm(view, box, framing, count), framing.half_mm(view)
            cut = cut_slices(
                heart, percent, view, depths_mm=depths, middle_mm=box.middle, half_mm=half, n_pixels=_SLICE
            )
            lines = slice_contours(heart, surfaces, view, depths_mm=depths, middle_mm=box.middle, half_mm=half)
            for column, (picture, contour) in enumerate(zip(palette[to_levels(cut)], lines, strict=True)):
                image.paste(_with_contours(picture, contour, half), (left + column * _SLICE, upper))
        _paste_disc(image, heart, palette, (2 * _MARGIN + _N_COLUMNS * _SLICE, top + _HEADING))
    buffer = io.BytesIO()
    image.quantize(192, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    place_file(path, buffer.getvalue())


def _with_contours(picture: NDArray[np.uint8], contour: dict[str, list[NDArray[np.float64]]], half_mm: float) -> Image:
    """A slice with its contours, drawn at twice the size so that the lines are smooth."""
    from PIL import Image, ImageDraw

    size = picture.shape[0]
    large = Image.fromarray(picture).resize((2 * size, 2 * size), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(large)
    for name, colour in (("epi", _WHITE), ("endo", _CYAN)):
        for line in contour[name]:
            draw.line([(x, y) for x, y in (line * (size / half_mm)).tolist()], fill=colour, width=2)
    draw.rectangle((0, 0, 2 * size - 1, 2 * size - 1), outline=(42, 49, 58), width=2)
    return large.resize((size, size), Image.Resampling.BOX)


def _paste_disc(image: Image, heart: HeartResult, palette: NDArray[np.uint8], corner: tuple[int, int]) -> None:
    """The polar map with segment means; nothing where the map holds no positive value."""
    from PIL import Image, ImageDraw

    percent = polar_percent(heart.polar_map)
    if percent is None:
        return
    size = 2 * _DISC
    value = disc_image(percent.value, n_pixels=size)
    along = np.abs((np.arange(size) + 0.5) / size * 2 - 1)
    inside = np.hypot(along[:, None], along[None, :]) <= 1
    large = Image.fromarray(np.where(inside[..., None], palette[to_levels(value)], np.array(_GROUND, np.uint8)))
    draw = ImageDraw.Draw(large)
    edges = segment_edges(percent, 17)
    for line in edges:
        draw.line([(size / 2 * (1 + x), size / 2 * (1 + y)) for x, y in line.tolist()], fill=(0, 0, 0), width=2)
    image.paste(large.resize((_DISC, _DISC), Image.Resampling.BOX), corner)
    means = percent.segment_means(17)
    on = ImageDraw.Draw(image)
    for number, (x, y) in segment_centres(percent, 17).items():
        if np.isfinite(means[number - 1]):
            at = (corner[0] + _DISC / 2 * (1 + x), corner[1] + _DISC / 2 * (1 + y))
            _text(on, at, f"{means[number - 1]:.0f}", 13, _WHITE, anchor="mm", halo=2)


def _text(
    draw: ImageDraw,
    at: tuple[float, float],
    text: str,
    size: int,
    colour: tuple[int, int, int],
    *,
    anchor: str = "lt",
    halo: int = 0,
) -> None:
    from PIL import ImageFont

    draw.text(at, text, fill=colour, font=ImageFont.load_default(size), anchor=anchor, stroke_width=halo, stroke_fill=0)
