"""The polar map as a disc: apex in the middle, anterior on top, septum left, lateral right, inferior below."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from myoscope.core import PolarMap, segment_table

FloatArray = NDArray[np.float64]


def disc_image(value: FloatArray, *, n_pixels: int) -> FloatArray:
    """The disc as a square picture, rows from top to bottom; bilinear between cells, NaN outside and where unseen.

    ``value`` has shape (ring, angle); the disc touches the edges of the picture. A pixel is unseen when the
    cell it lies in is.
    """
    n_rings, n_angles = value.shape
    along = (np.arange(n_pixels) + 0.5) / n_pixels * 2 - 1
    x, y = along[None, :], -along[:, None]
    radius = np.hypot(x, y)
    ring = radius * n_rings - 0.5
    angle = np.degrees(np.arctan2(y, x)) % 360 / (360 / n_angles) - 0.5

    ring_low, angle_low = np.floor(ring).astype(int), np.floor(angle).astype(int)
    total, weight = np.zeros(ring.shape), np.zeros(ring.shape)
    for ring_step in (0, 1):
        for angle_step in (0, 1):
            r = np.clip(ring_low + ring_step, 0, n_rings - 1)
            cell = value[r, (angle_low + angle_step) % n_angles]
            w = np.abs(1 - ring_step - (ring - ring_low)) * np.abs(1 - angle_step - (angle - angle_low))
            seen = np.isfinite(cell)
            total += np.where(seen, w * np.where(seen, cell, 0.0), 0.0)
            weight += np.where(seen, w, 0.0)
    nearest = value[np.clip(np.rint(ring).astype(int), 0, n_rings - 1), np.rint(angle).astype(int) % n_angles]
    shown = np.isfinite(nearest) & (weight > 0) & (radius <= 1 + 1.5 / n_pixels)
    picture: FloatArray = np.where(shown, total / np.where(weight > 0, weight, 1.0), np.nan)
    return picture


def segment_edges(segment: NDArray[np.int16]) -> list[FloatArray]:
    """Lines between segments, each (n, 2): x to the right, y downwards, in units of the disc's radius."""
    n_rings, n_angles = segment.shape
    lines = []
    for ring, changes in enumerate(segment[:-1] != segment[1:], start=1):
        for start, end in _runs(changes):
            angle = 2 * np.pi * np.arange(start, end + 1) / n_angles
            lines.append(ring / n_rings * np.stack([np.cos(angle), -np.sin(angle)], axis=1))
    changes_along = segment != np.roll(segment, 1, axis=1)  # at the lower edge of each angle
    for angle_index in range(n_angles):
        angle = 2 * np.pi * angle_index / n_angles
        for start, end in _runs(changes_along[:, angle_index]):
            radius = np.array([start, end]) / n_rings
            lines.append(np.outer(radius, [np.cos(angle), -np.sin(angle)]))
    return lines


def segment_outlines(segment: NDArray[np.int16], *, radius: float) -> str:
    """The same lines as an SVG path about (0, 0); the rim is not part of it."""
    return "".join(
        "M" + " ".join(f"{x:.1f} {y:.1f}" for x, y in (line * radius).tolist()) for line in segment_edges(segment)
    )


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Start and end (exclusive) of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


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
