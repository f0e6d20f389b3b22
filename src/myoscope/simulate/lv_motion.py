"""How the wall of the left ventricle moves when its pieces thicken.

The wall is incompressible: a piece that thickens loses mid-wall area. Half-planes through the long axis stay what
they are (no torsion); in them every mid-wall node moves inwards and towards the apex so that the area of each
piece follows its thickness. The valve ring stays a plane: what a stiff meridian does not shorten, its neighbours
drag along, and the girth of the wall makes up for it. Thickness then follows from the conserved volume node by
node, whatever the area turned out to be.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from myoscope.core import N_ANGLES, N_RINGS, InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.simulate.lv_shape import ANGLES_RAD, ARC, across_wall, cell_volumes

# Neighbouring fibres pull at each other over this distance (standard deviation), assumed.
_TETHER_MM = 6.0
# Share of the lost area that comes from shortening along the axis; the rest is girth. Gives a loss of length of
# about 17 % of the wall at a thickening of 50 %, as in healthy people, assumed.
_LONGITUDINAL = 0.36
# The same share at the valve ring, whose girth shrinks by some 15 % only, assumed.
_AT_THE_RING = 0.70
# The fibrous skeleton takes half of the tilt that an unequally shortening wall asks for, assumed.
_RING_TILT = 0.5
# Of the shortening of the long axis, so much is the apex coming up, the rest the base coming down; in the cine
# mesh of one real heart it is more, with the chest's own motion in it, assumed.
_TIP_SHARE = 0.2
# A piece keeps at least this share of its mid-wall volume element at its inner face.
_LEAST_JACOBIAN = 0.04


@dataclass(frozen=True, eq=False, slots=True)
class MovingWall:
    """Mid-wall nodes and vectors from endo- to epicardium at several times; each (time, 41, 72, 3), heart coordinates.

    ``valve`` (time, 3) is the valve plane z = v0 + v1 x + v2 y; ``eased`` the share of the asked contraction that
    the geometry allowed (1 unless the cavity would have vanished).
    """

    mid: FloatArray
    span: FloatArray
    valve: FloatArray
    eased: float


def tether(field: FloatArray, mid: FloatArray, sigma_mm: float = _TETHER_MM) -> FloatArray:
    """Cell values (..., 40, 72) smoothed over the wall with a Gaussian of this standard deviation.

    ``mid`` (41, 72, 3) are the mid-wall nodes. Round the axis by the true girth of each ring, then along each
    diameter through the apex; a constant stays a constant.
    """
    rho = np.hypot(mid[..., 0], mid[..., 1]).mean(axis=1)
    ring = 0.5 * (rho[1:] + rho[:-1])
    order = np.arange(N_ANGLES // 2 + 1)
    keep = np.exp(-0.5 * (order * sigma_mm / ring[:, None]) ** 2)
    round_axis = np.fft.irfft(np.fft.rfft(field, axis=-1) * keep, N_ANGLES, axis=-1)
    length = float(np.linalg.norm(np.diff(mid, axis=0), axis=-1).sum(axis=0).mean())
    at = (np.arange(2 * N_RINGS) + 0.5) * (length / N_RINGS)
    kernel = np.exp(-0.5 * ((at[:, None] - at) / sigma_mm) ** 2)
    kernel /= kernel.sum(axis=1, keepdims=True)
    opposite = np.roll(round_axis, N_ANGLES // 2, axis=-1)[..., ::-1, :]
    diameter = np.concatenate([opposite, round_axis], axis=-2)
    result: FloatArray = np.einsum("rs,...sa->...ra", kernel[N_RINGS:], diameter)
    return result


def _to_nodes(cells: FloatArray) -> FloatArray:
    """Cell values (..., 40, 72) at the nodes (..., 41, 72); the apex takes the mean of its ring."""
    columns = 0.5 * (cells + np.roll(cells, 1, axis=-1))
    nodes = np.empty((*cells.shape[:-2], N_RINGS + 1, N_ANGLES))
    nodes[..., 1:-1, :] = 0.5 * (columns[..., 1:, :] + columns[..., :-1, :])
    nodes[..., 0, :] = columns[..., 0, :].mean(axis=-1, keepdims=True)
    nodes[..., -1, :] = columns[..., -1, :]
    return nodes


def _node_sums(cells: FloatArray) -> FloatArray:
    """Quarters of the cells that meet at each node, added up (..., 41, 72)."""
    columns = 0.25 * (cells + np.roll(cells, 1, axis=-1))
    nodes = np.zeros((*cells.shape[:-2], N_RINGS + 1, N_ANGLES))
    nodes[..., :-1, :] += columns
    nodes[..., 1:, :] += columns
    return nodes


def _areas(mid: FloatArray) -> FloatArray:
    """Mid-wall area of each cell in mm2; (..., 40, 72)."""
    following = np.roll(mid, -1, axis=-2)
    first = following[..., 1:, :, :] - mid[..., :-1, :, :]
    second = mid[..., 1:, :, :] - following[..., :-1, :, :]
    area: FloatArray = 0.5 * np.linalg.norm(np.cross(first, second), axis=-1)
    return area


def move_wall(mid: FloatArray, span: FloatArray, valve: FloatArray, stretch: FloatArray) -> MovingWall:
    """The wall at each time from the thickness its cells ask for.

    ``mid`` and ``span`` (41, 72, 3) are the wall at end diastole, ``valve`` (3,) its valve plane, ``stretch``
    (time, 40, 72) thickness over that at end diastole. Asked thickness is met but for what the valve ring and
    neighbouring fibres impose; where a wall would fold because no cavity is left, all pieces contract less.

    Raises
    ------
    InvalidValue
        If even the resting wall folds.
    """
    asked = tether(np.log(stretch), mid)
    share = 1.0
    for _ in range(14):
        moved = _moved(mid, span, valve, share * asked)
        least = cell_volumes(moved[0], moved[1])[1].min()
        if least > _LEAST_JACOBIAN:
            return MovingWall(*moved, share)
        share *= 0.88
    raise InvalidValue("the wall is too thick for its cavity to move")


def _moved(
    mid: FloatArray, span: FloatArray, valve: FloatArray, log_stretch: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    n_times = log_stretch.shape[0]
    rho0 = np.hypot(mid[..., 0], mid[..., 1])
    z0 = mid[..., 2]
    cosine, sine = np.cos(ANGLES_RAD), np.sin(ANGLES_RAD)
    node = _to_nodes(log_stretch)
    # Round the apex both directions of the wall are girth; the ring of the valve is stiff, so that the wall near it
    # shortens along the axis instead.
    along_share = _LONGITUDINAL + (0.5 - _LONGITUDINAL) * np.exp(-((ARC[:, None] / 0.2) ** 2))
    along_share = along_share + (_AT_THE_RING - along_share) * np.clip((ARC[:, None] - 0.65) / 0.35, 0, 1) ** 1.5
    girth = -(1 - along_share) * node
    shorter = -along_share * node
    between = 0.5 * (shorter[:, 1:] + shorter[:, :-1])
    height = np.empty((n_times, N_RINGS + 1, N_ANGLES))
    height[:, 0] = z0[0]
    height[:, 1:] = z0[0] + np.cumsum(np.diff(z0, axis=0) * np.exp(between), axis=1)
    area0 = _areas(mid)
    fade = np.clip(ARC / 0.35, 0, 1)[:, None] ** 2  # near the apex girth and length cannot be told apart
    stiff = (1 - along_share) / (1 - _LONGITUDINAL)
    pull = ARC[:, None] ** 1.5
    for step in range(3):
        rho = rho0 * np.exp(girth)
        plane, ring = _ring_plane(valve, rho[:, -1], height[:, -1], cosine, sine)
        z = height + pull * (ring - height[:, -1])[:, None]
        moved = np.stack([rho * cosine, rho * sine, z], axis=-1)
        if step < 2:
            excess = tether(np.log(_areas(moved) / area0) + log_stretch, mid)
            girth = girth - fade * stiff * _to_nodes(excess)
    direction = across_wall(moved, np.stack([-plane[:, 1], -plane[:, 2], np.ones(n_times)], axis=-1))
    volume0 = _node_sums(cell_volumes(mid, span)[0])
    thickness = np.linalg.norm(span, axis=-1) * np.exp(node)
    for _ in range(3):
        volume = _node_sums(cell_volumes(moved, direction * thickness[..., None])[0])
        thickness = thickness * np.clip(volume0 / np.maximum(volume, 1e-9), 0.7, 1.4)
        thickness[:, 0] = thickness[:, :1].mean(axis=-1)
    # The wall's volume as a whole is conserved to the last digit.
    for _ in range(4):
        total = cell_volumes(moved, direction * thickness[..., None])[0].sum(axis=(1, 2))
        thickness = thickness * (volume0.sum() / total)[:, None, None]
    # The tip of the epicardium follows the base a little; from a common tip, the base has come down by this much.
    tip = z0[0, 0] + 0.5 * span[0, 0, 2] - (moved[:, 0, 0, 2] + 0.5 * thickness[:, 0, 0])
    tip = tip - _TIP_SHARE * (plane[:, 0] + tip - valve[0])
    moved[..., 2] += tip[:, None, None]
    plane[:, 0] += tip
    return moved, direction * thickness[..., None], plane


def _ring_plane(
    valve: FloatArray, rho: FloatArray, height: FloatArray, cosine: FloatArray, sine: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Valve plane (time, 3) that best follows the shortened meridians, and the heights of the ring in it."""
    x, y = rho * cosine, rho * sine
    design = np.stack([np.ones_like(x), x, y], axis=-1)
    normal = np.einsum("tai,taj->tij", design, design)
    right = np.einsum("tai,ta->ti", design, height)
    fitted = np.linalg.solve(normal, right[..., None])[..., 0]
    plane = valve + (fitted - valve) * np.array([1.0, _RING_TILT, _RING_TILT])
    ring: FloatArray = np.einsum("tai,ti->ta", design, plane)
    return plane, ring
