"""The left ventricle at end diastole: a wall about an open ellipsoid, from its volume, mass and form.

The mid-wall is an ellipsoid that is a little oval and a little pointed, cut by a tilted valve plane which is
nearer the apex on the septal side; the wall lies half its thickness to either side. Everything is in heart
coordinates (lateral, up, towards the apex; millimetres), nodes in the convention of `core.Surfaces`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from myoscope.core import N_ANGLES, N_RINGS, InvalidValue
from myoscope.core.geometry import FloatArray

ANGLES_RAD: FloatArray = np.linspace(0, 2 * np.pi, N_ANGLES, endpoint=False)
ARC: FloatArray = np.linspace(0, 1, N_RINGS + 1)
# Rows over which the wall's direction turns into the valve plane, in which it ends.
_LEAN_FROM = 0.8


@dataclass(frozen=True, slots=True)
class LVForm:
    """Proportions of a left ventricle.

    ``radius_mm`` is the largest mid-wall radius, ``elongation`` the half-length of the ellipsoid over it; the
    valve plane cuts the axis ``base`` half-lengths beyond the equator. ``ovality`` stretches the lateral-septal
    diameter by that share and shrinks the other, ``point`` draws the apical half in (negative: the end is blunt).
    ``septal_shortening_mm`` moves the valve plane towards the apex at the septum, ``valve_tilt_deg`` tilts it about the
    lateral axis.
    ``wall_mm`` is the thickness of the free wall; it is less by the share ``apical_thinning`` at the apex, more by
    ``septal_excess`` in the septum, and falls to a third in the membranous septum under the valve; ``unevenness``
    holds amplitudes (cos, sin of the angle and of twice it) of an individual's own pattern. ``outline`` (sin of twice
    the angle, cos and sin of three times it) are shares of the radius by which rings are not round, ``bend`` how far,
    in shares of the radius (lateral, up), the middle lies off a straight line through both ends.
    """

    radius_mm: float = 29.0
    elongation: float = 2.0
    base: float = 0.33
    ovality: float = 0.02
    point: float = 0.08
    septal_shortening_mm: float = 9.0
    valve_tilt_deg: float = 4.0
    wall_mm: float = 9.0
    apical_thinning: float = 0.4
    septal_excess: float = 0.06
    unevenness: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    outline: tuple[float, float, float] = (0.0, 0.0, 0.0)
    bend: tuple[float, float] = (0.0, 0.0)

    @property
    def half_length_mm(self) -> float:
        return self.radius_mm * self.elongation

    def valve_plane(self) -> tuple[float, float, float]:
        """Height of the valve plane as (on the axis, per mm lateral, per mm up): z = p0 + p1 x + p2 y."""
        lateral = -self.septal_shortening_mm / (2 * self.radius_mm)
        return -self.base * self.half_length_mm, lateral, float(np.tan(np.radians(self.valve_tilt_deg)))

    def mid(self) -> FloatArray:
        """Mid-wall nodes, equally spaced along each meridian; (41, 72, 3)."""
        s2, c3, s3 = self.outline
        radius = self.radius_mm * (
            1
            + self.ovality * np.cos(2 * ANGLES_RAD)
            + s2 * np.sin(2 * ANGLES_RAD)
            + c3 * np.cos(3 * ANGLES_RAD)
            + s3 * np.sin(3 * ANGLES_RAD)
        )
        # Nodes stay in their half-planes: a ring that moves aside is nearer to one and farther from another.
        aside = self.radius_mm * (self.bend[0] * np.cos(ANGLES_RAD) + self.bend[1] * np.sin(ANGLES_RAD))
        p0, p1, p2 = self.valve_plane()
        slope = p1 * np.cos(ANGLES_RAD) + p2 * np.sin(ANGLES_RAD)
        polar = np.linspace(0, 2.6, 1201)[:, None]
        z = self.half_length_mm * np.cos(polar)
        rho = radius * np.sin(polar) * (1 - self.point * np.where(polar < np.pi / 2, np.cos(polar) ** 2, 0))
        rho = rho + aside * np.sin(polar) ** 2
        z = np.broadcast_to(z, rho.shape)
        beyond = z - p0 - slope * rho < 0
        if not beyond[-1].all():
            raise InvalidValue("the valve plane does not cut the ventricle")
        step = np.hypot(np.diff(rho, axis=0), np.diff(z, axis=0))
        length = np.vstack([np.zeros(N_ANGLES), np.cumsum(step, axis=0)])
        nodes = np.empty((N_RINGS + 1, N_ANGLES, 3))
        for a in range(N_ANGLES):
            last = int(beyond[:, a].argmax())
            height = z[:, a] - p0 - slope[a] * rho[:, a]
            share = height[last - 1] / (height[last - 1] - height[last])
            end = length[last - 1, a] + share * (length[last, a] - length[last - 1, a])
            at = ARC * end
            r = np.interp(at, length[:, a], rho[:, a])
            nodes[:, a, 0], nodes[:, a, 1] = r * np.cos(ANGLES_RAD[a]), r * np.sin(ANGLES_RAD[a])
            nodes[:, a, 2] = np.interp(at, length[:, a], z[:, a])
            # Interpolation leaves the plane by micrometres; the rim lies in it.
            nodes[-1, a, 2] = p0 + slope[a] * r[-1]
        return nodes

    def thickness(self) -> FloatArray:
        """Wall thickness at the nodes in mm; (41, 72)."""
        arc = ARC[:, None]
        apex = 1 - self.apical_thinning * np.exp(-((arc / 0.20) ** 2))
        from_septum = np.cos(ANGLES_RAD - np.pi)
        reach = np.clip(arc / 0.3, 0, 1) ** 2  # patterns round the axis fade towards the apex
        # Its excess belongs to the upper septum, below the outflow tract; the apex is even.
        septum = 1 + self.septal_excess * np.clip(arc / 0.5, 0, 1) ** 2 * np.clip(from_septum, 0, 1)
        base = 1 - 0.10 * np.clip((arc - 0.75) / 0.25, 0, 1) ** 2
        # The top of the septum, anterior of its middle, thins out to a membrane under the root of the aorta.
        turn = np.angle(np.exp(1j * (ANGLES_RAD - np.radians(168))))
        membrane = 1 - 0.65 * np.exp(-((turn / 0.65) ** 2)) * np.clip((arc - 0.78) / 0.22, 0, 1) ** 1.5
        c1, s1, c2, s2 = self.unevenness
        own = 1 + reach * (
            c1 * np.cos(ANGLES_RAD)
            + s1 * np.sin(ANGLES_RAD)
            + c2 * np.cos(2 * ANGLES_RAD)
            + s2 * np.sin(2 * ANGLES_RAD)
        )
        thickness: FloatArray = self.wall_mm * apex * septum * base * membrane * own
        return thickness

    def wall(self) -> tuple[FloatArray, FloatArray]:
        """Mid-wall nodes and the vectors from endo- to epicardium; each (41, 72, 3)."""
        mid = self.mid()
        _, p1, p2 = self.valve_plane()
        direction = across_wall(mid, np.array([-p1, -p2, 1.0]))
        return mid, direction * self.thickness()[..., None]


def across_wall(mid: FloatArray, valve: FloatArray) -> FloatArray:
    """Unit vectors across the wall at mid-wall nodes (..., 41, 72, 3), outwards, lying in the valve plane at its end.

    ``valve`` (..., 3) is normal to the valve plane, of any length.
    """
    around = np.roll(mid, -1, axis=-2) - np.roll(mid, 1, axis=-2)
    along = np.empty_like(mid)
    along[..., 1:-1, :, :] = mid[..., 2:, :, :] - mid[..., :-2, :, :]
    along[..., -1, :, :] = 3 * mid[..., -1, :, :] - 4 * mid[..., -2, :, :] + mid[..., -3, :, :]
    along[..., 0, :, :] = mid[..., 1, :, :] - mid[..., 0, :, :]
    around[..., 0, :, :] = around[..., 1, :, :]
    normal = np.cross(around, along)
    normal *= np.where((normal * mid)[..., :2].sum(-1).mean() < 0, -1.0, 1.0)
    # The pole has one normal: the mean round the first ring.
    normal[..., 0, :, :] = normal[..., 1, :, :].mean(axis=-2, keepdims=True)
    unit = valve / np.linalg.norm(valve, axis=-1, keepdims=True)
    unit = unit[..., None, None, :]
    lean = np.clip((ARC - _LEAN_FROM) / (1 - _LEAN_FROM), 0, 1)[:, None, None] ** 2
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    normal = normal - lean * (normal * unit).sum(-1, keepdims=True) * unit
    result: FloatArray = normal / np.linalg.norm(normal, axis=-1, keepdims=True)
    return result


def cell_volumes(mid: FloatArray, span: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Wall volume of each cell in mm3 (..., 40, 72), and the smallest Jacobian across its depth over the mid-wall one.

    ``mid`` and ``span`` (..., 41, 72, 3) are mid-wall nodes and vectors from endo- to epicardium. The Jacobian is a
    quadratic in depth, so Simpson's rule is exact; a cell that folds has a negative smallest Jacobian.
    """
    m = _corners(mid)
    s = _corners(span)
    across = 0.25 * (s[0] + s[1] + s[2] + s[3])
    along_m, around_m = 0.5 * (m[1] + m[3] - m[0] - m[2]), 0.5 * (m[2] + m[3] - m[0] - m[1])
    along_s, around_s = 0.5 * (s[1] + s[3] - s[0] - s[2]), 0.5 * (s[2] + s[3] - s[0] - s[1])
    # Jacobian at depth d (-1/2 to 1/2): ((along_m + d along_s) x (around_m + d around_s)) . across
    zero = _triple(along_m, around_m, across)
    two = _triple(along_s, around_s, across)
    one = _triple(along_m, around_s, across) + _triple(along_s, around_m, across)
    sign = np.sign(zero.mean())
    zero, one, two = sign * zero, sign * one, sign * two
    volume = zero + two / 12
    least = np.minimum(zero - 0.5 * one, zero + 0.5 * one) + 0.25 * two
    return volume, least / zero


def _corners(nodes: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    following = np.roll(nodes, -1, axis=-2)
    return nodes[..., :-1, :, :], nodes[..., 1:, :, :], following[..., :-1, :, :], following[..., 1:, :, :]


def _triple(a: FloatArray, b: FloatArray, c: FloatArray) -> FloatArray:
    result: FloatArray = (
        (a[..., 1] * b[..., 2] - a[..., 2] * b[..., 1]) * c[..., 0]
        + (a[..., 2] * b[..., 0] - a[..., 0] * b[..., 2]) * c[..., 1]
        + (a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]) * c[..., 2]
    )
    return result


def enclosed_mL(nodes: FloatArray) -> FloatArray:
    """Volume inside a closed surface of nodes (..., 41, 72, 3), capped at its rim, as `core.Surfaces` counts it."""
    following = np.roll(nodes, -1, axis=-2)
    origin = nodes[..., :1, :1, :]
    a, b = nodes[..., :-1, :, :] - origin, nodes[..., 1:, :, :] - origin
    c, d = following[..., 1:, :, :] - origin, following[..., :-1, :, :] - origin
    rim, rim_next = nodes[..., -1, :, :] - origin[..., 0, :], following[..., -1, :, :] - origin[..., 0, :]
    middle = np.broadcast_to(rim.mean(axis=-2, keepdims=True), rim.shape)
    total = (_triple(a, b, c) + _triple(a, c, d)).sum(axis=(-2, -1)) + _triple(rim, middle, rim_next).sum(axis=-1)
    volume: FloatArray = np.abs(total) / 6000
    return volume


def fit_volumes(form: LVForm, *, cavity_mL: float, wall_mL: float) -> LVForm:
    """The same proportions at the size that holds a cavity and a wall of given volumes.

    Raises
    ------
    InvalidValue
        If no such ventricle exists: the wall is too thick for the cavity, or too thin to be one.
    """
    radius, wall = form.radius_mm, form.wall_mm

    def volumes(radius_mm: float, wall_mm: float) -> FloatArray:
        mid, span = replace(form, radius_mm=radius_mm, wall_mm=wall_mm).wall()
        return np.array([enclosed_mL(mid - 0.5 * span), cell_volumes(mid, span)[0].sum() / 1000])

    target = np.array([cavity_mL, wall_mL])
    for _ in range(25):
        now = volumes(radius, wall)
        miss = np.log(target / now)
        if np.abs(miss).max() < 1e-6:
            return replace(form, radius_mm=radius, wall_mm=wall)
        by_radius = np.log(volumes(radius * 1.01, wall) / now) / np.log(1.01)
        by_wall = np.log(volumes(radius, wall * 1.01) / now) / np.log(1.01)
        step = np.linalg.solve(np.column_stack([by_radius, by_wall]), miss)
        radius *= float(np.exp(np.clip(step[0], -0.3, 0.3)))
        wall *= float(np.exp(np.clip(step[1], -0.3, 0.3)))
    raise InvalidValue(f"no ventricle holds {cavity_mL:.0f} mL in a wall of {wall_mL:.0f} mL")
