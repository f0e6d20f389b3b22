"""Where voxels and hearts are.

One patient frame everywhere: DICOM **LPS** in millimetres (x to the patient's left, y to posterior, z to
superior). An array index (i, j, k) runs along columns, rows and slices as the file stores them, and a 4x4
affine takes it to LPS millimetres; nothing is flipped on reading.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from myoscope.core.errors import InvalidValue

FloatArray = NDArray[np.float64]

_AXIS_LETTERS = (("R", "L"), ("A", "P"), ("I", "S"))


def frozen(array: ArrayLike, dtype: Any = None) -> NDArray[Any]:
    """A read-only array of the given type; the caller's own array stays writable."""
    result = np.array(array, dtype=dtype, copy=True)
    result.setflags(write=False)
    return result


def unit_vector(vector: ArrayLike) -> FloatArray:
    """The vector scaled to length one.

    Raises
    ------
    InvalidValue
        If the vector is not three finite numbers or has no direction.
    """
    v = np.asarray(vector, dtype=np.float64)
    if v.shape != (3,) or not np.isfinite(v).all():
        raise InvalidValue(f"a direction needs three finite numbers, got {v.tolist()}")
    length = float(np.linalg.norm(v))
    if length < 1e-12:
        raise InvalidValue("a direction of length zero points nowhere")
    # Already of length one to rounding: left as it is, so that a stored direction comes back to the last bit.
    result: FloatArray = v if abs(length - 1) < 1e-15 else v / length
    return result


@dataclass(frozen=True, eq=False, slots=True)
class Grid:
    """A lattice of voxels and its place in the patient, without the voxels.

    ``shape`` counts voxels along (i, j, k); ``affine`` is 4x4 float64 and takes voxel *centres* to LPS mm.

    >>> grid = Grid.axis_aligned((70, 70, 50), spacing_mm=(4, 4, 4))
    >>> grid.voxel_volume_mL
    0.064
    """

    shape: tuple[int, int, int]
    affine: FloatArray

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        if len(shape) != 3 or min(shape) < 1:
            raise InvalidValue(f"a grid needs three positive sizes, got {self.shape}")
        affine = frozen(self.affine, np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise InvalidValue("an affine is 4x4 and finite")
        if not np.allclose(affine[3], (0, 0, 0, 1)):
            raise InvalidValue(f"the last row of an affine is 0 0 0 1, got {affine[3].tolist()}")
        if abs(np.linalg.det(affine[:3, :3])) < 1e-9:
            raise InvalidValue("the affine is singular: two axes coincide or a spacing is zero")
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "affine", affine)

    @classmethod
    def axis_aligned(
        cls,
        shape: tuple[int, int, int],
        *,
        spacing_mm: ArrayLike,
        centre_mm: ArrayLike = (0.0, 0.0, 0.0),
    ) -> Grid:
        """A grid whose axes run to left, posterior and superior, centred at a point."""
        spacing = np.broadcast_to(np.asarray(spacing_mm, float), 3)
        affine = np.diag([*spacing, 1.0])
        middle = (np.asarray(shape, float) - 1) / 2
        affine[:3, 3] = np.asarray(centre_mm, float) - spacing * middle
        return cls(shape, affine)

    @property
    def spacing_mm(self) -> FloatArray:
        """Distance between neighbouring voxel centres along i, j, k."""
        spacing: FloatArray = np.linalg.norm(self.affine[:3, :3], axis=0)
        return spacing

    @property
    def direction(self) -> FloatArray:
        """Unit vectors of the i, j, k axes as columns (3x3)."""
        direction: FloatArray = self.affine[:3, :3] / self.spacing_mm
        return direction

    @property
    def voxel_volume_mL(self) -> float:
        return float(abs(np.linalg.det(self.affine[:3, :3])) / 1000)

    @property
    def centre_mm(self) -> FloatArray:
        return self.to_mm((np.asarray(self.shape, float) - 1) / 2)

    @property
    def orientation(self) -> str:
        """The patient direction that each axis mostly runs to, such as ``LPS``."""
        letters = []
        for column in self.direction.T:
            axis = int(np.argmax(np.abs(column)))
            letters.append(_AXIS_LETTERS[axis][int(column[axis] > 0)])
        return "".join(letters)

    def to_mm(self, index: ArrayLike) -> FloatArray:
        """LPS millimetres of (possibly fractional) indices; shape (..., 3) in and out."""
        points: FloatArray = np.asarray(index, float) @ self.affine[:3, :3].T + self.affine[:3, 3]
        return points

    def to_index(self, point_mm: ArrayLike) -> FloatArray:
        """Fractional indices of LPS points; shape (..., 3) in and out."""
        inverse = np.linalg.inv(self.affine[:3, :3])
        index: FloatArray = (np.asarray(point_mm, float) - self.affine[:3, 3]) @ inverse.T
        return index

    def points_mm(self) -> FloatArray:
        """LPS position of every voxel centre, shape (i, j, k, 3)."""
        index = np.stack(np.meshgrid(*(np.arange(n) for n in self.shape), indexing="ij"), axis=-1)
        return self.to_mm(index)

    def same_place(self, other: Grid, *, tolerance_mm: float = 1e-3) -> bool:
        """Whether both grids put every voxel at the same place."""
        if self.shape != other.shape:
            return False
        corners = np.array(np.meshgrid(*((0, n - 1) for n in self.shape))).reshape(3, -1).T
        return bool(np.abs(self.to_mm(corners) - other.to_mm(corners)).max() <= tolerance_mm)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Grid) and self.same_place(other, tolerance_mm=1e-9)

    def __hash__(self) -> int:
        return hash(self.shape)

    def __repr__(self) -> str:
        spacing = " x ".join(f"{s:.4g}" for s in self.spacing_mm)
        centre = ", ".join(f"{c:.1f}" for c in self.centre_mm)
        size = " x ".join(map(str, self.shape))
        return f"Grid({size} voxels of {spacing} mm, {self.orientation}, centre ({centre}) mm)"


@dataclass(frozen=True, eq=False, slots=True)
class CardiacFrame:
    """The left ventricle's own directions: long axis base to apex, anterior, lateral.

    ``up`` points to the anterior wall and ``lateral`` to the lateral wall with the two-rotation convention
    (no roll about the long axis): up = normalise(S - (S.u) u) with S = superior, lateral = up x u.
    ``centre_mm`` is the centroid of the wall.
    """

    centre_mm: FloatArray
    long_axis: FloatArray

    def __post_init__(self) -> None:
        centre = frozen(self.centre_mm, np.float64)
        if centre.shape != (3,) or not np.isfinite(centre).all():
            raise InvalidValue(f"a centre needs three finite coordinates in mm, got {centre.tolist()}")
        axis = frozen(unit_vector(self.long_axis))
        if abs(axis[2]) > 0.9999:
            raise InvalidValue("a long axis along head-feet leaves the anterior direction undefined")
        object.__setattr__(self, "centre_mm", centre)
        object.__setattr__(self, "long_axis", axis)

    @property
    def up(self) -> FloatArray:
        superior = np.array([0.0, 0.0, 1.0])
        return unit_vector(superior - (superior @ self.long_axis) * self.long_axis)

    @property
    def lateral(self) -> FloatArray:
        lateral: FloatArray = np.cross(self.up, self.long_axis)
        return lateral

    @property
    def rotation(self) -> FloatArray:
        """Rows (lateral, up, long axis): takes an LPS vector to heart coordinates."""
        return np.stack([self.lateral, self.up, self.long_axis])

    def to_heart(self, point_mm: ArrayLike) -> FloatArray:
        """LPS points to heart coordinates (lateral, up, towards apex) in mm from the centre; (..., 3)."""
        heart: FloatArray = (np.asarray(point_mm, float) - self.centre_mm) @ self.rotation.T
        return heart

    def to_patient(self, point_heart_mm: ArrayLike) -> FloatArray:
        """Heart coordinates back to LPS points; (..., 3)."""
        points: FloatArray = np.asarray(point_heart_mm, float) @ self.rotation + self.centre_mm
        return points

    def angle_to_deg(self, other: CardiacFrame) -> float:
        """Angle between the two long axes."""
        cosine = float(np.clip(self.long_axis @ other.long_axis, -1, 1))
        return float(np.degrees(np.arccos(cosine)))

    def short_axis_grid(self, shape: tuple[int, int, int], *, spacing_mm: float) -> Grid:
        """A short-axis grid about the centre: columns to lateral, rows to inferior, slices apex to base."""
        axes = np.stack([self.lateral, -self.up, -self.long_axis], axis=1) * spacing_mm
        affine = np.eye(4)
        affine[:3, :3] = axes
        affine[:3, 3] = self.centre_mm - axes @ ((np.asarray(shape, float) - 1) / 2)
        return Grid(shape, affine)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, CardiacFrame)
            and np.array_equal(self.centre_mm, other.centre_mm)
            and np.array_equal(self.long_axis, other.long_axis)
        )

    def __hash__(self) -> int:
        return hash((*self.centre_mm.tolist(), *self.long_axis.tolist()))

    def __repr__(self) -> str:
        centre = ", ".join(f"{c:.1f}" for c in self.centre_mm)
        axis = ", ".join(f"{c:+.3f}" for c in self.long_axis)
        return f"CardiacFrame(centre ({centre}) mm LPS, base to apex ({axis}))"
