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


def still_picture(
    nodes: FloatArray, cell_level: NDArray[np.uint8], viewpoint: Viewpoint, *, n_pixels: int
) -> NDArray[np.uint8]:
    """A shaded picture as indices into ``shaded_palette``; shape (n_pixels, n_pixels).

    ``nodes`` (ring + 1, angle, 3) in heart coordinates, ``cell_level`` (ring, angle) as ``to_levels`` gives it.
    The surface is drawn as a dense cloud of its own points, the nearest to the viewer winning.
    """
    across = view_matrix(viewpoint)
    n_rings, n_angles = cell_level.shape
    fine_rings = max(1, int(np.ceil(2.2 * n_pixels / n_rings)))
    fine_angles = max(1, int(np.ceil(3.2 * n_pixels / n_angles)))
    ring = (np.arange(n_rings * fine_rings) + 0.5) / fine_rings
    angle = (np.arange(n_angles * fine_angles) + 0.5) / fine_angles
    closed = np.concatenate([nodes, nodes[:, :1]], axis=1)

    projected = closed @ across.T
    normals = _node_normals(closed) @ across.T
    r0, a0 = ring.astype(int), angle.astype(int)
    fr, fa = (ring - r0)[:, None, None], (angle - a0)[None, :, None]

    def between(field: FloatArray) -> FloatArray:
        low = field[r0][:, a0] * (1 - fa) + field[r0][:, a0 + 1] * fa
        high = field[r0 + 1][:, a0] * (1 - fa) + field[r0 + 1][:, a0 + 1] * fa
        mixed: FloatArray = low * (1 - fr) + high * fr
        return mixed

    point, normal = between(projected).reshape(-1, 3), between(normals).reshape(-1, 3)
    middle = (projected.reshape(-1, 3).min(axis=0) + projected.reshape(-1, 3).max(axis=0)) / 2
    # Every view at the same scale, so that the four stand side by side.
    half = 0.54 * float(np.linalg.norm(nodes.reshape(-1, 3).max(axis=0) - nodes.reshape(-1, 3).min(axis=0)))
    half = min(half, 0.56 * float(np.ptp(nodes.reshape(-1, 3), axis=0).max()) + 4)
    column = ((point[:, 0] - middle[0]) / half * 0.5 + 0.5) * n_pixels
    row = (0.5 - (point[:, 1] - middle[1]) / half * 0.5) * n_pixels
    shade = _shade(normal)
    tone = _tones(cell_level)[r0][:, a0].reshape(-1)
    colour = tone * N_SHADES + shade

    picture = np.full((n_pixels, n_pixels), BACKGROUND, np.uint8)
    column_i, row_i = np.floor(column).astype(int), np.floor(row).astype(int)
    inside = (column_i >= 0) & (column_i < n_pixels) & (row_i >= 0) & (row_i < n_pixels)
    order = np.argsort(point[inside, 2], kind="stable")  # far to near
    picture[row_i[inside][order], column_i[inside][order]] = colour[inside][order]
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
    return np.where(level == NOT_SEEN, UNSEEN_TONE, tone)


def _shade(normal: FloatArray) -> NDArray[np.int64]:
    """Light from above the viewer's left shoulder; the inside of the wall is lit more dimly."""
    length = np.linalg.norm(normal, axis=1)
    unit = normal / np.where(length > 0, length, 1.0)[:, None]
    light = np.array([-0.35, 0.45, 0.82])
    facing = unit[:, 2] >= 0
    lit = np.where(facing, unit @ light, 0.35 * np.abs(unit @ light))
    return np.clip(np.round(np.clip(lit, 0, 1) * (N_SHADES - 1)), 0, N_SHADES - 1).astype(np.int64)


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
