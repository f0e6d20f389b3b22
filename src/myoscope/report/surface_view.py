"""The epicardium in three dimensions, coloured by the polar map: a still picture for print and the viewer's mesh."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from myoscope.core import HeartResult
from myoscope.report.indexed_png import NOT_SEEN, NOT_SEEN_RGB, windowed_palette

FloatArray = NDArray[np.float64]

N_SHADES, N_TONES = 8, 31
"""A still picture has one palette entry for each of 31 tones (steps of 3.3 %) in each of 8 shades."""
UNSEEN_TONE, BACKGROUND = N_TONES, 255
_SHADE_LOW = 0.42


@dataclass(frozen=True, slots=True)
class Viewpoint:
    """A named direction of view, in heart coordinates (lateral, up, towards the apex)."""

    name: str
    towards_viewer: tuple[float, float, float]
    image_up: tuple[float, float, float]
    edges: tuple[str, str, str, str]  # top, bottom, left, right


# Each is tilted a little towards the base, so that the open base shows which way the heart points.
VIEWPOINTS: tuple[Viewpoint, ...] = (
    Viewpoint("Anterior", (0, 1, -0.35), (0, 0, -1), ("Base", "Apex", "Sep", "Lat")),
    Viewpoint("Septal", (-1, 0, -0.35), (0, 1, 0), ("Ant", "Inf", "Base", "Apex")),
    Viewpoint("Inferior", (0, -1, -0.35), (0, 0, 1), ("Apex", "Base", "Sep", "Lat")),
    Viewpoint("Lateral", (1, 0, -0.35), (0, 1, 0), ("Ant", "Inf", "Apex", "Base")),
)


def view_matrix(viewpoint: Viewpoint) -> FloatArray:
    """Rows (image right, image up, towards the viewer) in heart coordinates; orthonormal, right-handed."""
    towards = np.asarray(viewpoint.towards_viewer, float)
    towards /= np.linalg.norm(towards)
    up = np.asarray(viewpoint.image_up, float)
    up = up - (up @ towards) * towards
    up /= np.linalg.norm(up)
    return np.stack([np.cross(up, towards), up, towards])


def mean_nodes(heart: HeartResult) -> tuple[FloatArray, FloatArray]:
    """Endo- and epicardial nodes in heart coordinates, averaged over gates; shape (ring + 1, angle, 3)."""
    endo, epi = heart.surfaces.endo_mm, heart.surfaces.epi_mm
    if endo.ndim == 4:
        endo, epi = endo.mean(axis=0), epi.mean(axis=0)
    return heart.frame.to_heart(endo), heart.frame.to_heart(epi)


@dataclass(frozen=True, eq=False, slots=True)
class SurfaceCloud:
    """A surface as a dense cloud of its own points, in heart coordinates: places, normals and tones."""

    points: FloatArray
    normals: FloatArray
    tone: NDArray[np.int64]
    half_mm: float


def surface_cloud(nodes: FloatArray, cell_level: NDArray[np.uint8], *, n_pixels: int) -> SurfaceCloud:
    """The surface sampled so densely that pictures ``n_pixels`` wide have no holes.

    ``nodes`` (ring + 1, angle, 3) in heart coordinates, ``cell_level`` (ring, angle) as ``to_levels`` gives it.
    """
    n_rings, n_angles = cell_level.shape
    # One scale for every view, so that the pictures stand side by side.
    half_mm = 0.53 * float(np.ptp(nodes.reshape(-1, 3), axis=0).max()) + 3
    widest_mm = max(
        float(np.linalg.norm(np.diff(nodes, axis=0), axis=-1).max()),
        float(np.linalg.norm(np.roll(nodes, -1, axis=1) - nodes, axis=-1).max()),
    )
    per_cell = int(np.clip(np.ceil(1.5 * widest_mm * n_pixels / (2 * half_mm)), 2, 12))
    ring = (np.arange(n_rings * per_cell) + 0.5) / per_cell
    angle = (np.arange(n_angles * per_cell) + 0.5) / per_cell
    r0, a0 = ring.astype(int), angle.astype(int)
    closed = np.concatenate([nodes, nodes[:, :1]], axis=1)
    both = np.concatenate([closed, _node_normals(closed)], axis=-1)  # (ring + 1, angle + 1, 6)
    along = both[r0] + (ring - r0)[:, None, None] * (both[r0 + 1] - both[r0])
    fine = along[:, a0] + (angle - a0)[None, :, None] * (along[:, a0 + 1] - along[:, a0])
    flat = fine.reshape(-1, 6)
    return SurfaceCloud(
        flat[:, :3],
        flat[:, 3:],
        np.repeat(np.repeat(_tones(cell_level), per_cell, axis=0), per_cell, axis=1).reshape(-1),
        half_mm,
    )


def still_picture(cloud: SurfaceCloud, viewpoint: Viewpoint, *, n_pixels: int) -> NDArray[np.uint8]:
    """A shaded picture as indices into ``shaded_palette``; shape (n_pixels, n_pixels).

    Of the points that fall on one pixel the nearest to the viewer wins.
    """
    across = view_matrix(viewpoint)
    point = cloud.points @ across.T
    middle = (point.min(axis=0) + point.max(axis=0)) / 2
    column = np.floor(((point[:, 0] - middle[0]) / cloud.half_mm * 0.5 + 0.5) * n_pixels).astype(int)
    row = np.floor((0.5 - (point[:, 1] - middle[1]) / cloud.half_mm * 0.5) * n_pixels).astype(int)
    colour = (cloud.tone * N_SHADES + _shade(cloud.normals @ across.T)).astype(np.uint8)
    picture = np.full((n_pixels, n_pixels), BACKGROUND, np.uint8)
    order = np.argsort(point[:, 2], kind="stable")  # far to near
    inside = order[((column >= 0) & (column < n_pixels) & (row >= 0) & (row < n_pixels))[order]]
    picture[row[inside], column[inside]] = colour[inside]
    return picture


def shaded_palette(
    table: NDArray[np.uint8], *, lower_percent: float = 0.0, upper_percent: float = 100.0
) -> NDArray[np.uint8]:
    """Colours of ``still_picture``: each tone in each shade, then unseen wall, then the background."""
    tones = windowed_palette(table, lower_percent=lower_percent, upper_percent=upper_percent)
    tones = tones[np.round(np.linspace(0, 254, N_TONES)).astype(int)]
    tones = np.vstack([tones, NOT_SEEN_RGB])
    brightness = np.linspace(_SHADE_LOW, 1.0, N_SHADES)
    palette = np.round(tones[:, None, :] * brightness[None, :, None]).reshape(-1, 3).astype(np.uint8)
    palette[BACKGROUND] = 0
    return palette


def viewer_mesh(endo: FloatArray, epi: FloatArray, cell_level: NDArray[np.uint8]) -> dict[str, object]:
    """What the page's viewer draws: nodes in tenths of a millimetre about their middle, one level per cell."""
    middle = (epi.reshape(-1, 3).min(axis=0) + epi.reshape(-1, 3).max(axis=0)) / 2

    def packed(nodes: FloatArray) -> str:
        tenths = np.clip(np.round((nodes - middle) * 10), -32000, 32000).astype("<i2")
        return base64.b64encode(np.ascontiguousarray(tenths).tobytes()).decode("ascii")

    return {
        "rings": int(cell_level.shape[0]),
        "angles": int(cell_level.shape[1]),
        "epi": packed(epi),
        "endo": packed(endo),
        "level": base64.b64encode(np.ascontiguousarray(cell_level).tobytes()).decode("ascii"),
    }


def _tones(level: NDArray[np.uint8]) -> NDArray[np.int64]:
    tone = np.round(level.astype(float) * (N_TONES - 1) / 254).astype(np.int64)
    tone[level == NOT_SEEN] = UNSEEN_TONE
    return tone


def _shade(normal: FloatArray) -> NDArray[np.int64]:
    """Light from above the viewer's left shoulder; the inside of the wall is lit more dimly."""
    length = np.linalg.norm(normal, axis=1)
    unit = normal / np.where(length > 0, length, 1.0)[:, None]
    light = np.array([-0.35, 0.45, 0.82])
    facing = unit[:, 2] >= 0
    lit = np.where(facing, unit @ light, 0.35 * np.abs(unit @ light))
    shade: NDArray[np.int64] = np.round(np.clip(lit, 0, 1) * (N_SHADES - 1)).astype(np.int64)
    return shade


def _node_normals(closed: FloatArray) -> FloatArray:
    """Outward normals at the nodes of a surface whose last column repeats the first."""
    around = np.gradient(closed[:, :-1], axis=1, edge_order=1)
    around[:, 0] = (closed[:, 1] - closed[:, -2]) / 2
    around[:, -1] = (closed[:, 0] - closed[:, -3]) / 2
    along = np.gradient(closed[:, :-1], axis=0)
    normal = np.cross(along, around)
    # At the apex all columns meet and the direction is the mean of the first ring's.
    normal[0] = normal[1].mean(axis=0)
    outward = np.einsum("rai,rai->", normal[1:], closed[1:, :-1] - closed[1:, :-1].mean(axis=1, keepdims=True))
    normal = normal if outward >= 0 else -normal
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    normal = normal / np.where(length > 0, length, 1.0)
    result: FloatArray = np.concatenate([normal, normal[:, :1]], axis=1)
    return result
