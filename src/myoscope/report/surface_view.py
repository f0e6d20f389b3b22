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
    """A surface as a dense cloud of its own points, in heart coordinates: places, normals and tones.

    ``half_mm`` is half the width of a picture that holds the surface from every viewpoint.
    """

    points: NDArray[np.float32]
    normals: NDArray[np.float32]
    tone: NDArray[np.uint8]
    half_mm: float


def surface_cloud(nodes: FloatArray, cell_level: NDArray[np.uint8], *, n_pixels: int) -> SurfaceCloud:
    """The surface sampled so densely that pictures ``n_pixels`` wide have no holes.

    ``nodes`` (ring + 1, angle, 3) in heart coordinates, ``cell_level`` (ring, angle) as ``to_levels`` gives it.
    """
    n_rings, n_angles = cell_level.shape
    spread = [np.ptp(nodes.reshape(-1, 3) @ view_matrix(v)[:2].T, axis=0).max() for v in VIEWPOINTS]
    half_mm = float(max(spread)) / 2 * 1.04
    # 1.45 samples per pixel along each side of the longest cell leave no gap on its diagonal.
    per_mm = 1.45 * n_pixels / (2 * half_mm)
    along_mm = float(np.linalg.norm(np.diff(nodes, axis=0), axis=-1).max())
    around_mm = float(np.linalg.norm(np.roll(nodes, -1, axis=1) - nodes, axis=-1).max())
    per_ring, per_angle = (int(np.clip(np.ceil(mm * per_mm), 2, 12)) for mm in (along_mm, around_mm))

    ring = (np.arange(n_rings * per_ring) + 0.5) / per_ring
    angle = (np.arange(n_angles * per_angle) + 0.5) / per_angle
    r0, a0 = ring.astype(int), angle.astype(int)
    closed = np.concatenate([nodes, nodes[:, :1]], axis=1)
    both = np.concatenate([closed, _node_normals(closed)], axis=-1).astype(np.float32)  # (ring + 1, angle + 1, 6)
    along = both[r0] + (ring - r0).astype(np.float32)[:, None, None] * (both[r0 + 1] - both[r0])
    share = (angle - a0).astype(np.float32)[None, :, None]
    flat = (along[:, a0] + share * (along[:, a0 + 1] - along[:, a0])).reshape(-1, 6)
    tone = np.repeat(np.repeat(_tones(cell_level), per_ring, axis=0), per_angle, axis=1).reshape(-1)
    return SurfaceCloud(flat[:, :3], flat[:, 3:], tone, half_mm)


def still_picture(cloud: SurfaceCloud, viewpoint: Viewpoint, *, n_pixels: int) -> NDArray[np.uint8]:
    """A shaded picture as indices into ``shaded_palette``; shape (n_pixels, n_pixels).

    Of the points that fall on one pixel the nearest to the viewer wins.
    """
    across = view_matrix(viewpoint).astype(np.float32)
    x, y, depth = across @ cloud.points.T
    scale = n_pixels / (2 * cloud.half_mm)
    column = ((x - (x.min() + x.max()) / 2) * scale + n_pixels / 2).astype(np.intp)
    row = (n_pixels / 2 - (y - (y.min() + y.max()) / 2) * scale).astype(np.intp)
    colour = cloud.tone * np.uint8(N_SHADES) + _shade(across @ cloud.normals.T)
    picture = np.full((n_pixels, n_pixels), BACKGROUND, np.uint8)
    # Far to near, in 65,536 steps of depth: integers of that size are sorted in linear time.
    steps = ((depth - depth.min()) * (65535 / max(float(np.ptp(depth)), 1e-6))).astype(np.uint16)
    order = np.argsort(steps, kind="stable")
    picture[row[order], column[order]] = colour[order]
    return picture


def shaded_palette(
    table: NDArray[np.uint8], *, lower_percent: float = 0.0, upper_percent: float = 100.0
) -> NDArray[np.uint8]:
    """Colours of ``still_picture``: each tone in each shade, then unseen wall, then the background."""
    tones = windowed_palette(table, lower_percent=lower_percent, upper_percent=upper_percent)
    tones = tones[np.round(np.linspace(0, 254, N_TONES)).astype(int)]
    tones = np.vstack([tones, NOT_SEEN_RGB])
    # From 42 to 100 % of the brightness, in whole numbers so that the page's script finds the same colours.
    brightness = 294 + 58 * np.arange(N_SHADES)
    shaded = (tones[:, None, :].astype(int) * brightness[None, :, None] + 350) // 700
    palette: NDArray[np.uint8] = shaded.reshape(-1, 3).astype(np.uint8)
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


def _tones(level: NDArray[np.uint8]) -> NDArray[np.uint8]:
    tone = np.round(level.astype(float) * (N_TONES - 1) / 254).astype(np.uint8)
    tone[level == NOT_SEEN] = UNSEEN_TONE
    return tone


def _shade(normal: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Light from above the viewer's left shoulder; the inside of the wall is lit more dimly. Normals (3, point)."""
    lit = np.array([-0.35, 0.45, 0.82], np.float32) @ normal
    lit = np.where(normal[2] >= 0, lit, 0.35 * np.abs(lit))
    shade: NDArray[np.uint8] = np.round(np.clip(lit, 0, 1) * (N_SHADES - 1)).astype(np.uint8)
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
