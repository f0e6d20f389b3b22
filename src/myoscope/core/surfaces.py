"""The anatomical wall of the left ventricle as two matched surfaces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from myoscope.core.errors import InvalidValue
from myoscope.core.geometry import CardiacFrame, FloatArray, frozen


@dataclass(frozen=True, eq=False, slots=True)
class Surfaces:
    """Endocardium and epicardium as matched points: the anatomical wall, not its blurred image.

    ``endo_mm`` and ``epi_mm`` have shape (ring + 1, angle, 3), LPS mm, or (gate, ring + 1, angle, 3): nodes
    on the *edges* of the polar map's cells. Row 0 is the apex (one point, repeated), the last row lies on
    the valve plane; rows are equally spaced in mid-wall arc length; column a is at 360 a / n_angle degrees,
    counter-clockwise as displayed (0 lateral, 90 anterior). ``frame`` gives the long axis; ``valve_point_mm``
    and ``valve_normal`` (unit, away from the apex) the valve plane.
    """

    endo_mm: FloatArray
    epi_mm: FloatArray
    frame: CardiacFrame
    valve_point_mm: FloatArray
    valve_normal: FloatArray
    made_by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        endo, epi = frozen(self.endo_mm, np.float64), frozen(self.epi_mm, np.float64)
        if endo.shape != epi.shape or endo.ndim not in (3, 4) or endo.shape[-1] != 3:
            raise InvalidValue(
                f"matched surfaces are two arrays (ring + 1, angle, 3), got {endo.shape} and {epi.shape}"
            )
        if endo.shape[-3] < 3 or endo.shape[-2] < 8:
            raise InvalidValue(f"a surface needs at least 2 rings and 8 angles, got shape {endo.shape}")
        if not (np.isfinite(endo).all() and np.isfinite(epi).all()):
            raise InvalidValue("surface points must be finite; a wall that was not found is no surface")
        for name, value in (("endo_mm", endo), ("epi_mm", epi)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "valve_point_mm", frozen(self.valve_point_mm, np.float64))
        object.__setattr__(self, "valve_normal", frozen(self.valve_normal, np.float64))
        object.__setattr__(self, "made_by", tuple(self.made_by))

    @property
    def n_rings(self) -> int:
        return int(self.endo_mm.shape[-3]) - 1

    @property
    def n_angles(self) -> int:
        return int(self.endo_mm.shape[-2])

    @property
    def n_gates(self) -> int:
        return int(self.endo_mm.shape[0]) if self.endo_mm.ndim == 4 else 1

    def gate(self, index: int) -> Surfaces:
        """The surfaces of one gate."""
        if self.endo_mm.ndim == 3:
            raise InvalidValue("these surfaces are not gated")
        return Surfaces(
            self.endo_mm[index], self.epi_mm[index], self.frame, self.valve_point_mm, self.valve_normal, self.made_by
        )

    @property
    def mid_mm(self) -> FloatArray:
        """Mid-wall nodes, halfway between the matched points."""
        mid: FloatArray = 0.5 * (self.endo_mm + self.epi_mm)
        return mid

    @property
    def thickness_mm(self) -> FloatArray:
        """Distance between matched nodes; shape (..., ring + 1, angle)."""
        thickness: FloatArray = np.linalg.norm(self.epi_mm - self.endo_mm, axis=-1)
        return thickness

    @property
    def cavity_mL(self) -> FloatArray:
        """Volume inside the endocardium up to the valve plane; one value per gate."""
        return enclosed_mL(self.endo_mm)

    @property
    def wall_mL(self) -> FloatArray:
        """Volume between the surfaces; one value per gate."""
        wall: FloatArray = enclosed_mL(self.epi_mm) - enclosed_mL(self.endo_mm)
        return wall

    def cell_area_mm2(self) -> FloatArray:
        """Mid-wall area of every polar-map cell; shape (..., ring, angle)."""
        return _cell_area_mm2(self.mid_mm)

    def __repr__(self) -> str:
        gates = f"{self.n_gates} gates, " if self.endo_mm.ndim == 4 else ""
        cavity = ", ".join(f"{v:.0f}" for v in np.atleast_1d(self.cavity_mL))
        return (
            f"Surfaces({gates}{self.n_rings} rings x {self.n_angles} angles, cavity {cavity} mL, "
            f"wall {np.mean(self.wall_mL):.0f} mL, median thickness {np.median(self.thickness_mm):.1f} mm)"
        )


def enclosed_mL(nodes: FloatArray) -> FloatArray:
    """Volume of a closed mesh: quads split in two, the base capped by a fan about its centroid.

    The divergence theorem, summed over triangles; exact for the polyhedron.
    """
    following = np.roll(nodes, -1, axis=-2)
    a, b = nodes[..., :-1, :, :], nodes[..., 1:, :, :]
    c, d = following[..., 1:, :, :], following[..., :-1, :, :]
    origin = nodes[..., :1, :1, :]

    def wedge(p: FloatArray, q: FloatArray, r: FloatArray) -> FloatArray:
        triple: FloatArray = np.einsum("...i,...i->...", p - origin, np.cross(q - origin, r - origin))
        total: FloatArray = triple.sum(axis=(-2, -1))
        return total

    rim, rim_next = nodes[..., -1:, :, :], following[..., -1:, :, :]
    middle = np.broadcast_to(rim.mean(axis=-2, keepdims=True), rim.shape)
    total = wedge(a, b, c) + wedge(a, c, d) + wedge(rim, middle, rim_next)
    volume: FloatArray = np.abs(total) / 6000.0
    return volume


def _cell_area_mm2(nodes: FloatArray) -> FloatArray:
    following = np.roll(nodes, -1, axis=-2)
    a, b = nodes[..., :-1, :, :], nodes[..., 1:, :, :]
    c, d = following[..., 1:, :, :], following[..., :-1, :, :]
    first = np.linalg.norm(np.cross(b - a, c - a), axis=-1)
    second = np.linalg.norm(np.cross(c - a, d - a), axis=-1)
    area: FloatArray = 0.5 * (first + second)
    return area
