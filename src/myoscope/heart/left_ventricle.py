"""A located left ventricle: where its axis is, which voxels its wall fills, and how sure we are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from myoscope.core import CardiacFrame, Flag, GeometryMismatch, InvalidValue, UnitMismatch, Volume


@dataclass(frozen=True, eq=False, slots=True)
class LeftVentricle:
    """The left ventricle as found in one image.

    ``frame`` holds the long axis (base to apex) and the centre, which is the centroid of the wall. ``wall`` is
    a boolean volume in unit ``mask`` on the image's own grid: the wall *as readers outline it* on blurred
    counts, about three times the volume of the anatomical wall (that is the business of `Surfaces`).
    ``method`` names the finder; ``confidence`` runs from 0 to 1 and is comparable only within one method.
    """

    frame: CardiacFrame
    wall: Volume
    method: str
    confidence: float
    flags: tuple[Flag, ...] = ()

    def __post_init__(self) -> None:
        if self.wall.array.dtype != bool or self.wall.frame_axis is not None:
            raise InvalidValue(
                f"a wall mask is one boolean volume, got {self.wall.array.dtype} with {self.wall.n_frames} frame(s)"
            )
        if self.wall.unit != "mask":
            raise UnitMismatch(f"a wall mask has the unit mask, got {self.wall.unit!r}")
        if not self.wall.array.any():
            raise InvalidValue("a wall mask without a voxel is no left ventricle")
        if not 0 <= self.confidence <= 1:
            raise InvalidValue(f"confidence runs from 0 to 1, got {self.confidence:g}")
        if not self.method:
            raise InvalidValue("a left ventricle names the method that found it")
        object.__setattr__(self, "flags", tuple(self.flags))

    @property
    def wall_mL(self) -> float:
        """Volume of the outlined wall."""
        return float(np.count_nonzero(self.wall.array)) * self.wall.grid.voxel_volume_mL

    def overlap(self, other: LeftVentricle) -> float:
        """Dice overlap of the two wall masks, 0 to 1.

        Raises
        ------
        GeometryMismatch
            If the masks lie on different grids.
        """
        if not self.wall.grid.same_place(other.wall.grid):
            raise GeometryMismatch(
                f"wall masks on different grids cannot be compared: {self.wall.grid!r} and {other.wall.grid!r}"
            )
        common = np.count_nonzero(self.wall.array & other.wall.array)
        return 2.0 * common / (np.count_nonzero(self.wall.array) + np.count_nonzero(other.wall.array))

    def __repr__(self) -> str:
        flags = f", flags {', '.join(f.code for f in self.flags)}" if self.flags else ""
        return (
            f"LeftVentricle(by {self.method}, wall {self.wall_mL:.0f} mL, {self.frame!r}, "
            f"confidence {self.confidence:.2f}{flags})"
        )
