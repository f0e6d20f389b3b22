"""The surface of the left ventricle in three dimensions, as the page shows it: stills and the viewer's mesh."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from myoscope.core import PolarMap, SeriesResult
from myoscope.report.indexed_png import data_url, encode_png, to_levels
from myoscope.report.oklab import Palette
from myoscope.report.pairing import state_label
from myoscope.report.surface_view import (
    BACKGROUND,
    VIEWPOINTS,
    mean_nodes,
    shaded_palette,
    still_picture,
    surface_cloud,
    view_matrix,
    viewer_mesh,
)


@dataclass(frozen=True, slots=True)
class Still:
    name: str
    picture: str
    alt: str
    matrix: str


@dataclass(frozen=True, slots=True)
class Solid:
    """Four still pictures and, for the viewer, the mesh."""

    label: str
    state: str
    stills: tuple[Still, ...]
    mesh: str


def solid_of(member: SeriesResult, percent: PolarMap, table: Palette, *, n_pixels: int) -> Solid:
    """The surface of a heart, coloured by its polar map in %."""
    assert member.heart is not None  # comparisons hold series with a heart only
    endo, epi = mean_nodes(member.heart)
    level = to_levels(percent.value)
    label = state_label(member)
    palette, cloud = shaded_palette(table), surface_cloud(epi, level, n_pixels=n_pixels)
    stills = []
    for viewpoint in VIEWPOINTS:
        pixels = still_picture(cloud, viewpoint, n_pixels=n_pixels)
        picture = data_url(encode_png(pixels, palette, transparent=BACKGROUND))
        alt = f"{label}: surface of the left ventricle, {viewpoint.name.lower()} view"
        stills.append(Still(viewpoint.name, picture, alt, json.dumps(np.round(view_matrix(viewpoint), 4).tolist())))
    mesh = json.dumps(viewer_mesh(endo, epi, level), separators=(",", ":"))
    return Solid(label, member.series.state.value or "image", tuple(stills), mesh)
