"""The polar map as a disc: apex in the middle, anterior on top, septum left, lateral right, inferior below."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from myoscope.core import PolarMap, segment_table

FloatArray = NDArray[np.float64]

_LEVELS = ("apex", "apical", "mid", "basal")
_SMOOTH = 3  # columns to each side


def disc_image(value: FloatArray, *, n_pixels: int) -> FloatArray:
    """The disc as a square picture, rows from top to bottom; bilinear between cells, NaN outside and where unseen.

    ``value`` has shape (ring, angle); the disc touches the edges of the picture. A pixel is unseen when the
    cell it lies in is.
    """
    raster = _raster(*value.shape, n_pixels)
    cells = value.ravel()
    seen = np.isfinite(cells)
    known = np.where(seen, cells, 0.0)
    total, weight = np.zeros(raster.inside.shape), np.zeros(raster.inside.shape)
    for cell, share in zip(raster.cell, raster.share, strict=True):
        part = share * seen[cell]
        total += part * known[cell]
        weight += part
    shown = seen[raster.nearest] & (weight > 0) & raster.inside
    picture: FloatArray = np.where(shown, total / np.where(weight > 0, weight, 1.0), np.nan)
    return picture


def cyclic_disc_image(value_deg: FloatArray, *, n_pixels: int) -> FloatArray:
    """The disc of a map of angles, 0 to 360: between 350 and 10 degrees lies 0, not 180."""
    angle = np.radians(value_deg)
    along, across = disc_image(np.cos(angle), n_pixels=n_pixels), disc_image(np.sin(angle), n_pixels=n_pixels)
    picture: FloatArray = np.degrees(np.arctan2(across, along)) % 360
    return picture


@dataclass(frozen=True, eq=False, slots=True)
class _Raster:
    """For each pixel (row, column) the four cells around it and their shares, the nearest cell, and the disc."""

    cell: NDArray[np.intp]  # (4, row, column), index into the flat map
    share: FloatArray
    nearest: NDArray[np.intp]
    inside: NDArray[np.bool_]


@lru_cache(maxsize=8)
def _raster(n_rings: int, n_angles: int, n_pixels: int) -> _Raster:
    along = (np.arange(n_pixels) + 0.5) / n_pixels * 2 - 1
    x, y = along[None, :], -along[:, None]
    radius = np.hypot(x, y)
    ring = radius * n_rings - 0.5
    angle = np.degrees(np.arctan2(y, x)) % 360 / (360 / n_angles) - 0.5
    ring_low, angle_low = np.floor(ring).astype(int), np.floor(angle).astype(int)
    cells, shares = [], []
    for ring_step in (0, 1):
        for angle_step in (0, 1):
            r = np.clip(ring_low + ring_step, 0, n_rings - 1)
            cells.append(r * n_angles + (angle_low + angle_step) % n_angles)
            shares.append(np.abs(1 - ring_step - (ring - ring_low)) * np.abs(1 - angle_step - (angle - angle_low)))
    nearest = np.clip(np.rint(ring).astype(int), 0, n_rings - 1) * n_angles + np.rint(angle).astype(int) % n_angles
    return _Raster(np.stack(cells), np.stack(shares), nearest, radius <= 1 + 1.5 / n_pixels)


def segment_edges(polar_map: PolarMap, model: Literal[17, 20]) -> list[FloatArray]:
    """Lines between segments, each (n, 2): x to the right, y downwards, in units of the disc's radius.

    The cells' own borders between basal, mid, apical and apex are stairs; they are drawn as smooth closed
    curves that deviate from the stairs by less than a cell or two.
    """
    numbers = polar_map.segment if model == 17 else polar_map.segment_20
    n_rings, n_angles = numbers.shape
    table = segment_table(model)
    order = {level: n for n, level in enumerate(_LEVELS)}
    level = np.array([0, *(order[s.level] for s in table)])[numbers]  # (ring, angle), 0 = apex
    # Radius of the outer border of each level at each angle's centre; the rim is the last one.
    border = np.stack([(level <= n).sum(axis=0) / n_rings for n in range(len(_LEVELS))])
    padded = np.concatenate([border[:, -_SMOOTH:], border, border[:, :_SMOOTH]], axis=1)
    kernel = np.hanning(2 * _SMOOTH + 3)[1:-1]
    smooth = np.stack([np.convolve(row, kernel / kernel.sum(), mode="valid") for row in padded])
    inner = np.concatenate([np.zeros((1, n_angles)), smooth[:-1]])

    lines = [
        _on_disc(np.append(row, row[0]), np.append(polar_map.angle_deg, polar_map.angle_deg[0])) for row in smooth[:-1]
    ]
    for n, name in enumerate(_LEVELS):
        starts = [s.start_deg for s in table if s.level == name]
        for start in starts if len(starts) > 1 else ():
            # The border's radius at the segment's edge, between the two neighbouring columns.
            column = int(start / 360 * n_angles)
            radius = (np.stack([inner[n], smooth[n]])[:, [column - 1, column]]).mean(axis=1)
            lines.append(_on_disc(radius, np.array([start, start])))
    return lines


def _on_disc(radius: FloatArray, angle_deg: FloatArray) -> FloatArray:
    angle = np.radians(angle_deg)
    return np.stack([radius * np.cos(angle), -radius * np.sin(angle)], axis=1)


def segment_outlines(polar_map: PolarMap, model: Literal[17, 20], *, radius: float) -> str:
    """The same lines as an SVG path about (0, 0); the rim is not part of it."""
    return "".join(
        "M" + " ".join(f"{x:.1f} {y:.1f}" for x, y in (line * radius).tolist())
        for line in segment_edges(polar_map, model)
    )


def segment_centres(polar_map: PolarMap, model: Literal[17, 20]) -> dict[int, tuple[float, float]]:
    """Where the label of each segment goes: x to the right, y downwards, in units of the disc's radius."""
    numbers = polar_map.segment if model == 17 else polar_map.segment_20
    n_rings = numbers.shape[0]
    radius = (np.arange(n_rings) + 0.5) / n_rings
    angle = np.radians(polar_map.angle_deg)
    area = polar_map.weights("display")
    x, y = radius[:, None] * np.cos(angle), -radius[:, None] * np.sin(angle)
    centres = {}
    for segment in segment_table(model):
        cells = numbers == segment.number
        if cells.any():
            w = area[cells] / area[cells].sum()
            centres[segment.number] = (float((w * x[cells]).sum()), float((w * y[cells]).sum()))
    return centres
