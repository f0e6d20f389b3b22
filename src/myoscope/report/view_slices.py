"""The slices that a reader expects: short axis, vertical and horizontal long axis, in standard orientation.

All three are cut from the short-axis stack, whose axes are the heart's own, so a display slice is a separable
cubic-spline interpolation: smooth, exact at the voxels, and quick. Orientation after the ASNC display standard:
short axis from apex to base with the anterior wall up and the septum left; vertical long axis from septal to
lateral with the apex right; horizontal long axis from inferior to anterior with the apex up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from myoscope.core import GeometryMismatch, HeartResult, InvalidValue, Surfaces
from myoscope.report.plane_contours import plane_contours

FloatArray = NDArray[np.float64]
View = Literal["SA", "VLA", "HLA"]

_RIGHT, _UP, _DEPTH = 0, 1, 2
# Heart axis (0 lateral, 1 up, 2 towards the apex) and sign of image right, image up and slice order.
_ORIENTATION: dict[View, tuple[tuple[int, int], tuple[int, int], tuple[int, int]]] = {
    "SA": ((0, 1), (1, 1), (2, -1)),
    "VLA": ((2, 1), (1, 1), (0, 1)),
    "HLA": ((0, 1), (2, 1), (1, 1)),
}
EDGE_LABELS: dict[View, tuple[str, str, str, str]] = {
    "SA": ("Ant", "Inf", "Sep", "Lat"),
    "VLA": ("Ant", "Inf", "Base", "Apex"),
    "HLA": ("Apex", "Base", "Sep", "Lat"),
}
"""What lies at the top, bottom, left and right of each view."""


@dataclass(frozen=True, eq=False, slots=True)
class Framing:
    """What every slice of a comparison shares: half the width of the pictures and the distances of the slices.

    Short axes are cropped closer than long axes, which must hold the whole length of the heart.
    """

    short_half_mm: float
    long_half_mm: float
    sa_step_mm: float
    vla_step_mm: float
    hla_step_mm: float

    def half_mm(self, view: View) -> float:
        return self.short_half_mm if view == "SA" else self.long_half_mm

    def step_mm(self, view: View) -> float:
        return {"SA": self.sa_step_mm, "VLA": self.vla_step_mm, "HLA": self.hla_step_mm}[view]


@dataclass(frozen=True, eq=False, slots=True)
class HeartBox:
    """Where the epicardium lies in heart coordinates (lateral, up, towards the apex), mm."""

    low: FloatArray
    high: FloatArray

    @property
    def middle(self) -> FloatArray:
        middle: FloatArray = (self.low + self.high) / 2
        return middle

    @property
    def size(self) -> FloatArray:
        size: FloatArray = self.high - self.low
        return size


def heart_box(heart: HeartResult) -> HeartBox:
    """The box around the epicardium, over all gates."""
    points = heart.frame.to_heart(heart.surfaces.epi_mm).reshape(-1, 3)
    return HeartBox(points.min(axis=0), points.max(axis=0))


def frame_together(boxes: list[HeartBox], *, n_short_axis: int, n_long_axis: int) -> Framing:
    """One framing for hearts that are compared: the same scale and the same distance between slices."""
    size = np.max([b.size for b in boxes], axis=0)
    return Framing(
        short_half_mm=float(size[:2].max() / 2 + 13),
        long_half_mm=float(size.max() / 2 + 8),
        # The first slice grazes the apex, the last one lies just behind the valve plane.
        sa_step_mm=float((size[2] + 2) / (n_short_axis - 1)),
        vla_step_mm=float(0.72 * size[0] / (n_long_axis - 1)),
        hla_step_mm=float(0.72 * size[1] / (n_long_axis - 1)),
    )


def slice_depths_mm(view: View, box: HeartBox, framing: Framing, count: int) -> FloatArray:
    """Heart coordinate of each slice along the viewing direction, in display order."""
    axis, sign = _ORIENTATION[view][_DEPTH]
    step = framing.step_mm(view)
    if view == "SA":
        depths: FloatArray = box.high[axis] - 2.0 - step * np.arange(count)
        return depths
    centred: FloatArray = box.middle[axis] + sign * step * (np.arange(count) - (count - 1) / 2)
    return centred


def cut_slices(
    heart: HeartResult,
    stack: NDArray[np.float64],
    view: View,
    *,
    depths_mm: FloatArray,
    middle_mm: FloatArray,
    half_mm: float,
    n_pixels: int,
) -> FloatArray:
    """Slices of the short-axis stack; shape (slice, row, column), rows from top to bottom.

    ``stack`` is the stack's array (i, j, k) or one gate of it. Outside the stack the picture is 0; it is NaN
    where most of what is around has no value.

    Raises
    ------
    GeometryMismatch
        If the stack's axes are not those of the heart.
    """
    grid, frame = heart.short_axis.grid, heart.frame
    expected = np.stack([frame.lateral, -frame.up, -frame.long_axis], axis=1)
    if not np.allclose(grid.direction, expected, atol=1e-3):
        raise GeometryMismatch(
            "the short-axis stack is not aligned with the heart: columns must run to lateral, rows to inferior, "
            "slices from apex to base"
        )
    origin = frame.to_heart(grid.to_mm((0, 0, 0)))
    direction_sign = np.array([1.0, -1.0, -1.0])
    (right, right_sign), (up, up_sign), (depth, _) = _ORIENTATION[view]
    along = (np.arange(n_pixels) + 0.5) / n_pixels * 2 * half_mm - half_mm
    coordinate: dict[int, FloatArray] = {
        right: middle_mm[right] + right_sign * along,
        up: middle_mm[up] - up_sign * along,
        depth: np.asarray(depths_mm, float),
    }
    weight = [
        spline_weights(
            grid.shape[axis], (coordinate[axis] - origin[axis]) * direction_sign[axis] / grid.spacing_mm[axis]
        )
        for axis in range(3)
    ]
    order = "".join("ijk"[axis] for axis in (depth, up, right))
    spec = f"d{order[0]},u{order[1]},r{order[2]},ijk->dur"

    def cut(array: NDArray[np.float64]) -> FloatArray:
        picture: FloatArray = np.einsum(spec, weight[depth], weight[up], weight[right], array, optimize=True)
        return picture

    seen = np.isfinite(stack)
    if seen.all():
        return cut(stack)
    # Outside the stack nothing is missing, there is just no image.
    missing = cut((~seen).astype(float)) > 0.5
    return np.where(missing, np.nan, cut(np.where(seen, stack, 0.0)))


def spline_weights(n: int, index: FloatArray) -> FloatArray:
    """Weights that interpolate ``n`` samples at fractional indices by a cubic B-spline; shape (len(index), n).

    Exact at the samples; rows outside the samples (by more than half a voxel) are zero.
    """
    if n < 2:
        raise InvalidValue("a slice cannot be cut from a stack that is one voxel thick")
    inside = (index >= -0.5) & (index <= n - 0.5)
    at = np.clip(index, 0, n - 1)
    basis = _b_spline(at[:, None] - np.arange(-1, n + 1)[None, :])
    knots = _b_spline(np.arange(float(n))[:, None] - np.arange(-1, n + 1)[None, :])
    # The outer coefficients mirror the inner ones, so the curve is flat past the last voxel.
    for matrix in (basis, knots):
        matrix[:, 2] += matrix[:, 0]
        matrix[:, -3] += matrix[:, -1]
    weights: NDArray[Any] = np.linalg.solve(knots[:, 1:-1].T, basis[:, 1:-1].T).T
    return weights * inside[:, None]


def _b_spline(x: FloatArray) -> FloatArray:
    distance: NDArray[Any] = np.abs(x)
    near: NDArray[Any] = 2 / 3 - distance**2 + distance**3 / 2
    far: NDArray[Any] = np.maximum(2 - distance, 0.0) ** 3 / 6
    value: FloatArray = np.where(distance < 1, near, far)
    return value


def slice_contours(
    heart: HeartResult,
    surfaces: Surfaces,
    view: View,
    *,
    depths_mm: FloatArray,
    middle_mm: FloatArray,
    half_mm: float,
) -> list[dict[str, list[FloatArray]]]:
    """The endo- and epicardium in each slice, in mm of the picture (right, down) from its top left corner."""
    (right, right_sign), (up, up_sign), (depth, _) = _ORIENTATION[view]
    normal = np.eye(3)[depth]
    drawn: list[dict[str, list[FloatArray]]] = []
    nodes = {name: heart.frame.to_heart(getattr(surfaces, f"{name}_mm")) for name in ("endo", "epi")}
    for offset in depths_mm:
        picture = {}
        for name, points in nodes.items():
            lines = plane_contours(points, normal=normal, offset_mm=float(offset))
            picture[name] = [
                np.stack(
                    [
                        half_mm + right_sign * (line[:, right] - middle_mm[right]),
                        half_mm - up_sign * (line[:, up] - middle_mm[up]),
                    ],
                    axis=1,
                )
                for line in lines
            ]
        drawn.append(picture)
    return drawn


def display_maximum(heart: HeartResult, stack: NDArray[np.float64]) -> float:
    """The largest value inside the wall: 100 % of the display, so that bowel or liver cannot dim the heart.

    Raises
    ------
    InvalidValue
        If the wall holds no positive value.
    """
    grid = heart.short_axis.grid
    index = np.rint(heart.wall.grid.to_index(grid.points_mm())).astype(int)
    inside: NDArray[np.bool_] = np.all((index >= 0) & (index < heart.wall.grid.shape), axis=-1)
    i, j, k = np.where(inside[..., None], index, 0)[inside].T
    in_wall = np.zeros(grid.shape, bool)
    in_wall[inside] = heart.wall.array[i, j, k] > 0
    values = stack[..., in_wall]
    values = values[np.isfinite(values)]
    top = float(values.max()) if values.size else 0.0
    if not top > 0:
        raise InvalidValue("the wall holds no positive counts, so there is no maximum to scale the images to")
    return top
