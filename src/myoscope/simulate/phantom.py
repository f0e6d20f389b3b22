"""An analytic left ventricle in a schematic chest: images with their exact truth beside them.

The mid-wall surface is a truncated ellipsoid, the wall lies half its thickness to either side, the valve
plane closes it. Activity is placed by sampling the wall in its own coordinates (arc length, angle, depth),
each sample carrying its exact volume, so that mass is conserved to the last digit whatever the voxels; a
Gaussian point spread function turns it into an image sampled at the voxel centres. No photon physics: what
this object tests is geometry. Shapes and ratios: Imbert 2012 (resolution, counts) and the priors of the
shared manual masks (axis directions).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from myoscope.core import (
    N_ANGLES,
    N_RINGS,
    CardiacFrame,
    Gating,
    Grid,
    InvalidValue,
    Surfaces,
    Volume,
)
from myoscope.core.geometry import FloatArray

_FWHM_TO_SIGMA = 1 / np.sqrt(8 * np.log(2))
# Wall noise of 10 % at 750,000 myocardial counts: the middle of clinical CZT practice (5e5 to 1e6 counts).
_CV_AT_REFERENCE, _REFERENCE_COUNTS = 0.10, 7.5e5
# Share of the image's resolution that acts after the noise has arisen (post-filter): its grain.
_GRAIN_SHARE = 0.7
# Long axes of the shared manual masks: mean and spread, degrees left of anterior and below transverse.
_AZIMUTH_DEG, _AZIMUTH_RANGE_DEG = (30.0, 13.0), (0.0, 60.0)
_ELEVATION_DEG, _ELEVATION_RANGE_DEG = (18.0, 9.0), (-5.0, 45.0)


@dataclass(frozen=True, slots=True)
class Defect:
    """A perfusion defect: a disc on the mid-wall surface.

    ``angle_deg`` and ``arc_fraction`` (0 apex, 1 valve plane) place its centre, ``extent`` is its share of
    the mid-wall area, ``depth`` the share of the activity that is missing (1 = none left).
    """

    angle_deg: float
    arc_fraction: float
    extent: float
    depth: float

    def __post_init__(self) -> None:
        if not 0 < self.extent < 1 or not 0 < self.depth <= 1 or not 0 <= self.arc_fraction <= 1:
            raise InvalidValue(f"a defect has an extent in (0, 1), a depth in (0, 1] and a place in [0, 1], got {self}")


@dataclass(frozen=True, slots=True)
class Cycle:
    """How the ventricle contracts: ejection fraction and number of gates; mass is conserved.

    The first gate is end diastole, end systole falls at 37 % of the cycle. ``shortening`` is the share of
    the long axis lost at end systole while the apex stays in place; radius and thickness follow from the
    cavity volume and the constant wall volume.
    """

    ejection_fraction_percent: float
    n_gates: int = 8
    shortening: float = 0.14
    rr_ms: float = 850.0

    def __post_init__(self) -> None:
        if not 0 < self.ejection_fraction_percent < 90 or self.n_gates < 2:
            raise InvalidValue(f"a cycle has 2 gates or more and an ejection fraction of 0 to 90 %, got {self}")


@dataclass(frozen=True, eq=False, slots=True)
class Phantom:
    """A simulated image and what is true about it.

    ``volume`` is the image (counts, or (gate, i, j, k)); ``surfaces`` the true endo- and epicardium in the
    node convention of `Surfaces`; ``defect_map`` the missing share of activity of every polar-map cell,
    shape (40, 72); ``wall`` the true wall as a share of each voxel (of the first gate).
    """

    volume: Volume
    frame: CardiacFrame
    surfaces: Surfaces
    defect_map: FloatArray
    wall: Volume
    fwhm_mm: float
    description: str


@dataclass(frozen=True, slots=True)
class _Shape:
    """Mid-wall ellipsoid in heart coordinates (lateral, up, towards apex), origin at its centre."""

    radius_mm: float
    half_length_mm: float
    base_mm: float  # where the valve plane meets the axis, below the origin
    wall_mm: float
    apical_thinning: float
    septal_shortening_mm: float
    valve_tilt_deg: float
    ovality: float

    def valve_normal(self) -> FloatArray:
        """Unit normal of the valve plane away from the apex, heart coordinates."""
        gx = self.septal_shortening_mm / (2 * self.radius_mm)
        gy = np.tan(np.radians(self.valve_tilt_deg))
        normal = np.array([gx, gy, 1.0])
        outward: FloatArray = -normal / np.linalg.norm(normal)
        return outward

    def radius_at(self, angle: FloatArray) -> FloatArray:
        radius: FloatArray = self.radius_mm * (1 + self.ovality * np.cos(2 * angle))
        return radius

    def mid(self, arc: FloatArray, angle: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Mid-wall points and outward normals at fractions of each meridian's arc length; (arc, angle, 3)."""
        a, c = self.radius_at(angle), self.half_length_mm
        normal = self.valve_normal()
        origin = np.array([0.0, 0.0, -self.base_mm])
        # Where each meridian (a sin phi, c cos phi) meets the valve plane: A sin phi + B cos phi = D.
        big_a = a * (normal[0] * np.cos(angle) + normal[1] * np.sin(angle))
        big_b = c * normal[2]
        d = normal @ origin
        size = np.hypot(big_a, big_b)
        phi_valve = np.arctan2(big_a, big_b) + np.arccos(np.clip(d / size, -1, 1)) * -1
        phi_valve = np.where(phi_valve <= 0, phi_valve + 2 * np.pi, phi_valve)
        phi_other = np.mod(np.arctan2(big_a, big_b) + np.arccos(np.clip(d / size, -1, 1)), 2 * np.pi)
        phi_valve = np.minimum(np.mod(phi_valve, 2 * np.pi), phi_other)
        fine = np.linspace(0, 1, 801)[:, None] * phi_valve
        speed = np.sqrt((a * np.cos(fine)) ** 2 + (c * np.sin(fine)) ** 2)
        step = 0.5 * (speed[1:] + speed[:-1]) * np.diff(fine, axis=0)
        length = np.vstack([np.zeros_like(a), np.cumsum(step, axis=0)])
        phi = np.empty((arc.size, angle.size))
        for column in range(angle.size):
            phi[:, column] = np.interp(arc * length[-1, column], length[:, column], fine[:, column])
        rho, z = a * np.sin(phi), c * np.cos(phi)
        points = np.stack([rho * np.cos(angle), rho * np.sin(angle), z], axis=-1)
        normals = np.stack([c * np.sin(phi) * np.cos(angle), c * np.sin(phi) * np.sin(angle), a * np.cos(phi)], axis=-1)
        normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
        return points, normals

    def surfaces(self, arc: FloatArray, angle: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Endo- and epicardial points in heart coordinates; each (arc, angle, 3)."""
        mid, direction = self.mid(arc, angle)
        # Near the valve the wall ends in the plane, so the last row's offsets lie in it.
        lean = np.clip((arc - 0.8) / 0.2, 0, 1) ** 2
        valve = self.valve_normal()
        across = (direction @ valve)[..., None] * valve
        direction = direction - lean[:, None, None] * across
        direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
        thickness = self.wall_mm * (1 - self.apical_thinning * np.exp(-((arc / 0.15) ** 2)))
        offset = 0.5 * thickness[:, None, None] * direction
        return mid - offset, mid + offset


def lv_phantom(
    grid: Grid,
    *,
    frame: CardiacFrame,
    fwhm_mm: float,
    short_axis_radius_mm: float = 28.0,
    long_axis_mm: float = 80.0,
    wall_mm: float = 10.0,
    apical_thinning: float = 0.0,
    septal_shortening_mm: float = 10.0,
    valve_tilt_deg: float = 0.0,
    ovality: float = 0.0,
    defect: Defect | Sequence[Defect] | None = None,
    blood_ratio: float = 0.08,
    background_ratio: float = 0.05,
    lung_ratio: float = 0.04,
    rv_ratio: float = 0.0,
    liver_ratio: float = 0.0,
    liver_gap_mm: float = 10.0,
    gut_ratio: float = 0.0,
    hot_rim_ratio: float = 0.0,
    peak_counts: float = 1000.0,
    cycle: Cycle | None = None,
    myocardial_counts: float = 7.5e5,
    rng: np.random.Generator | None = None,
) -> Phantom:
    """A left ventricle of known walls in a schematic chest, seen with a given resolution.

    The ventricle's long axis and centroid are those of ``frame``. ``short_axis_radius_mm`` is the largest
    mid-wall radius, ``long_axis_mm`` the mid-wall distance from apex to valve plane on the axis, ``wall_mm``
    the thickness, less by the share ``apical_thinning`` at the apex. ``septal_shortening_mm`` moves the
    valve plane on the septal side towards the apex, ``valve_tilt_deg`` tilts it about the lateral axis;
    ``ovality`` stretches the lateral-septal diameter by that share and shrinks the other. Ratios are
    activity concentrations relative to the wall's; ``liver_ratio`` puts a liver ``liver_gap_mm`` below the
    inferior wall, ``gut_ratio`` a bowel loop, ``hot_rim_ratio`` the bright edge of the field of view that
    multi-pinhole reconstructions show. ``fwhm_mm`` is the resolution of the finished image, post-filter
    included. A fully resolved wall shows ``peak_counts``.

    With ``rng`` the image carries the correlated noise of a reconstruction: Poisson counts drawn at the
    resolution before post-filtering, then filtered. ``myocardial_counts`` (all gates together) sets its
    level: a standard deviation of 10 % in a resolved wall at 750,000 counts, falling with their square root;
    each gate gets its share. Without ``rng`` the image is noise-free.

    ``cycle`` makes it gated: ``volume`` has a gate axis in front and ``surfaces`` too.

    Raises
    ------
    InvalidValue
        If the ventricle has no cavity, or a ratio is negative, or it does not fit into the grid.
    """
    ratios = (blood_ratio, background_ratio, lung_ratio, rv_ratio, liver_ratio, gut_ratio, hot_rim_ratio)
    if min(ratios) < 0:
        raise InvalidValue(f"activity ratios are not negative, got {min(ratios)}")
    if fwhm_mm <= 0 or wall_mm <= 0 or short_axis_radius_mm <= wall_mm / 2 or long_axis_mm <= wall_mm:
        raise InvalidValue(
            f"a ventricle of radius {short_axis_radius_mm} mm, length {long_axis_mm} mm and wall {wall_mm} mm "
            f"at {fwhm_mm} mm resolution has no cavity or no resolution"
        )
    half_length = _half_length_mm(long_axis_mm)
    diastole = _Shape(
        short_axis_radius_mm,
        half_length,
        long_axis_mm - half_length,
        wall_mm,
        apical_thinning,
        septal_shortening_mm,
        valve_tilt_deg,
        ovality,
    )
    shapes = [diastole] if cycle is None else _cycle_shapes(diastole, cycle)
    apex = _apex_mm(diastole, frame)
    defects = () if defect is None else (defect,) if isinstance(defect, Defect) else tuple(defect)
    missing = _defect_share(diastole, defects)

    still = CardiacFrame(apex - half_length * frame.long_axis, frame.long_axis)
    around = _surroundings(grid, diastole, still, ratios, liver_gap_mm)
    images, walls, endo, epi = [], [], [], []
    for shape in shapes:
        origin = apex - shape.half_length_mm * frame.long_axis
        place = CardiacFrame(origin, frame.long_axis)
        image, share = _image(
            grid,
            shape,
            place,
            missing,
            around,
            blood_ratio=blood_ratio,
            fwhm_mm=fwhm_mm,
            myocardial_counts=myocardial_counts / len(shapes),
            rng=rng,
        )
        images.append(image)
        walls.append(share)
        node_endo, node_epi = shape.surfaces(np.linspace(0, 1, N_RINGS + 1), _angles(N_ANGLES))
        endo.append(place.to_patient(node_endo))
        epi.append(place.to_patient(node_epi))
    inside = grid.to_index(epi[0]) if cycle is None else grid.to_index(np.stack(epi))
    if (inside < 0).any() or (inside > np.array(grid.shape) - 1).any():
        raise InvalidValue("the ventricle does not fit into the grid")

    made_by = f"phantom: radius {short_axis_radius_mm:g} mm, wall {wall_mm:g} mm, {fwhm_mm:g} mm FWHM"
    valve_point = apex - long_axis_mm * frame.long_axis
    array = np.stack([image * peak_counts for image in images]).astype(np.float32)
    if cycle is None:
        volume = Volume(array[0], grid, "counts", (made_by,))
        surfaces = Surfaces(
            endo[0], epi[0], frame, valve_point, diastole.valve_normal() @ frame.rotation, ("phantom truth",)
        )
    else:
        # Gates share the acquisition: each holds its part of the counts.
        volume = Volume(
            array / len(shapes), grid, "counts", (made_by,), "gate", Gating(cycle.n_gates, rr_ms=cycle.rr_ms)
        )
        surfaces = Surfaces(
            np.stack(endo),
            np.stack(epi),
            frame,
            valve_point,
            diastole.valve_normal() @ frame.rotation,
            ("phantom truth",),
        )
    rings = (np.arange(N_RINGS) + 0.5) / N_RINGS
    angles = _angles(N_ANGLES, offset=0.5)
    return Phantom(
        volume,
        frame,
        surfaces,
        missing(rings, angles),
        Volume(walls[0], grid, "fraction", ("phantom truth",)),
        fwhm_mm,
        made_by,
    )


def _half_length_mm(long_axis_mm: float) -> float:
    """Half-length of the ellipsoid: the valve cuts it 30 % beyond its equator, where it tapers again."""
    return long_axis_mm / 1.30


def _angles(n: int, *, offset: float = 0.0) -> FloatArray:
    """``n`` angles once around in radians, the first ``offset`` steps from lateral."""
    angles: FloatArray = (np.arange(n, dtype=np.float64) + offset) * (2 * np.pi / n)
    return angles


class _DefectShare:
    """The missing share of activity at (arc, angle) of the wall: discs about points on the mid-wall."""

    def __init__(self, shape: _Shape, defects: Sequence[Defect]) -> None:
        self._shape = shape
        rings, angles = (np.arange(80) + 0.5) / 80, _angles(144, offset=0.5)
        points, _ = shape.mid(rings, angles)
        edges, _ = shape.mid(np.linspace(0, 1, 81), _angles(144))
        following = np.roll(edges, -1, axis=1)
        area = np.linalg.norm(np.cross(edges[1:] - edges[:-1], following[:-1] - edges[:-1]), axis=-1)
        self._discs = []
        for one in defects:
            centre = shape.mid(np.array([one.arc_fraction]), np.radians([one.angle_deg]))[0][0, 0]
            distance = np.linalg.norm(points - centre, axis=-1)
            order = np.argsort(distance, axis=None)
            share = np.cumsum(area.ravel()[order]) / area.sum()
            radius = distance.ravel()[order][np.searchsorted(share, one.extent)]
            self._discs.append((centre, float(radius), one.depth))

    def __call__(self, rings: FloatArray, angles: FloatArray) -> FloatArray:
        left = np.ones((rings.size, angles.size))
        if self._discs:
            points, _ = self._shape.mid(rings, angles)
            for centre, radius, depth in self._discs:
                distance = np.linalg.norm(points - centre, axis=-1)
                # A border of 4 mm: perfusion does not end like a cut.
                left *= 1 - depth * np.clip((radius - distance) / 4 + 0.5, 0, 1)
        share: FloatArray = 1 - left
        return share


def _defect_share(shape: _Shape, defects: Sequence[Defect]) -> _DefectShare:
    return _DefectShare(shape, defects)


def _wall_samples(shape: _Shape, *, n_arc: int, n_angle: int, n_depth: int) -> tuple[FloatArray, ...]:
    """Sample points of the wall in heart coordinates with their volumes in mm3, and those of the cavity.

    Volume elements are the Jacobian of (arc, angle, depth), differences taken across each cell.
    """
    edges = np.linspace(0, 1, n_arc + 1)
    endo, epi = shape.surfaces(edges, _angles(n_angle))
    endo, epi = (np.concatenate([s, s[:, :1]], axis=1) for s in (endo, epi))
    axis_end = np.array([0.0, 0.0, -shape.base_mm])
    tip = endo[0, 0]
    # The cavity is filled from a line between its tip and the middle of the valve.
    spine = tip + edges[:, None] * (axis_end - tip)
    spine = np.broadcast_to(spine[:, None], endo.shape)

    def fill(inner: FloatArray, outer: FloatArray, n: int) -> tuple[FloatArray, FloatArray]:
        depth = (np.arange(n) + 0.5) / n
        corners = inner[None], outer[None]
        nodes = corners[0] + depth[:, None, None, None] * (corners[1] - corners[0])
        centre = 0.25 * (nodes[:, 1:, 1:] + nodes[:, :-1, 1:] + nodes[:, 1:, :-1] + nodes[:, :-1, :-1])
        along = 0.5 * (nodes[:, 1:, 1:] - nodes[:, :-1, 1:] + nodes[:, 1:, :-1] - nodes[:, :-1, :-1])
        around = 0.5 * (nodes[:, 1:, 1:] - nodes[:, 1:, :-1] + nodes[:, :-1, 1:] - nodes[:, :-1, :-1])
        span = outer - inner
        across = 0.25 * (span[1:, 1:] + span[:-1, 1:] + span[1:, :-1] + span[:-1, :-1]) / n
        volume = np.abs(np.einsum("dabi,dabi->dab", np.cross(along, around), across[None]))
        return centre, volume

    wall, wall_volume = fill(endo, epi, n_depth)
    cavity, cavity_volume = fill(spine, endo, 2 * n_depth)
    return wall, wall_volume, cavity, cavity_volume


def _splat(shape: tuple[int, int, int], index: FloatArray, weight: FloatArray) -> FloatArray:
    """Points added to a lattice, each shared among its eight neighbours (trilinear)."""
    low = np.floor(index).astype(np.int64)
    inside = ((low >= 0) & (low < np.array(shape) - 1)).all(axis=-1)
    if not inside.all():
        low, index, weight = low[inside], index[inside], weight[inside]
    part = index - low
    stride = np.array([shape[1] * shape[2], shape[2], 1])
    flat = low @ stride
    start = int(flat.min(initial=0))
    size = int(flat.max(initial=0)) - start + int(stride.sum()) + 1
    window = np.zeros(size)
    side = [(1 - part[:, axis], part[:, axis]) for axis in range(3)]
    for i, j, k in np.ndindex(2, 2, 2):
        at = flat + (i * stride[0] + j * stride[1] + k - start)
        window += np.bincount(at, weight * side[0][i] * side[1][j] * side[2][k], size)
    total = np.zeros(shape[0] * shape[1] * shape[2])
    total[start : start + size] = window
    return total.reshape(shape)


def _fine_lattice(grid: Grid) -> tuple[int, tuple[int, int, int], float]:
    """Subdivision of the voxels to 3.3 mm or less, its shape, and its voxel volume in mm3."""
    n = max(1, int(np.ceil(grid.spacing_mm.max() / 3.3)))
    shape = tuple(n * (size - 1) + 1 for size in grid.shape)
    return n, (shape[0], shape[1], shape[2]), grid.voxel_volume_mL * 1000 / n**3


def _lv_on_lattice(
    grid: Grid, shape: _Shape, place: CardiacFrame, missing: _DefectShare
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Wall activity, wall occupancy and cavity occupancy on the fine lattice."""
    n, fine, cell = _fine_lattice(grid)
    n_arc, n_angle = 110, 190
    wall, wall_volume, _, _ = _wall_samples(shape, n_arc=n_arc, n_angle=n_angle, n_depth=7)
    wall_index = grid.to_index(place.to_patient(wall)).reshape(-1, 3) * n
    occupancy = _splat(fine, wall_index, wall_volume.ravel() / cell)
    rings, angles = (np.arange(n_arc) + 0.5) / n_arc, _angles(n_angle, offset=0.5)
    left = 1 - missing(rings, angles)
    activity = occupancy
    if (left < 1).any():
        activity = _splat(fine, wall_index, (wall_volume * left[None]).ravel() / cell)
    _, _, cavity, cavity_volume = _wall_samples(shape, n_arc=64, n_angle=96, n_depth=8)
    cavity_index = grid.to_index(place.to_patient(cavity)).reshape(-1, 3) * n
    return activity, occupancy, _splat(fine, cavity_index, cavity_volume.ravel() / cell)


def _share_of_voxels(occupancy: FloatArray, n: int) -> NDArray[np.float32]:
    """Fine occupancy averaged over each voxel; ``n`` fine cells to a voxel's side."""
    from scipy.ndimage import convolve1d

    # An even number of cells reaches half a cell beyond the voxel's face on both sides.
    weight = np.full(n, 1.0) if n % 2 else np.array([0.5, *np.ones(n - 1), 0.5])
    share = np.clip(occupancy, 0, 1)
    for axis in range(3):
        share = convolve1d(share, weight / n, axis=axis, mode="constant")
        share = share[tuple(slice(None, None, n) if a == axis else slice(None) for a in range(3))]
    result: NDArray[np.float32] = share.astype(np.float32)
    return result


def _ellipsoid_distance(points: NDArray[np.float32], centre: FloatArray, axes: FloatArray) -> NDArray[np.float32]:
    """First-order signed distance to an axis-aligned ellipsoid in mm, negative inside."""
    level: NDArray[np.float32] = np.full(points.shape[:-1], 1e-12, np.float32)
    slope: NDArray[np.float32] = np.full(points.shape[:-1], 1e-12, np.float32)
    for axis in range(3):
        squared = (points[..., axis] - np.float32(centre[axis])) ** 2
        level += squared * np.float32(axes[axis] ** -2)
        slope += squared * np.float32(axes[axis] ** -4)
    # level - 1 over the length of its gradient
    distance = (level - np.sqrt(level)) / np.sqrt(slope)
    return distance.astype(np.float32)


def _surroundings(
    grid: Grid, outline: _Shape, place: CardiacFrame, ratios: tuple[float, ...], liver_gap_mm: float
) -> NDArray[np.float32]:
    """Activity outside the left ventricle on the fine lattice; it stands still while the heart beats."""
    _, background, lung, rv, liver, gut, rim = ratios
    n, fine, _ = _fine_lattice(grid)
    index = np.stack(np.meshgrid(*(np.arange(size) / n for size in fine), indexing="ij"), axis=-1)
    points = grid.to_mm(index).astype(np.float32)
    soft_mm = float(grid.spacing_mm.max()) / n

    def inside(distance: NDArray[np.float32]) -> NDArray[np.float32]:
        share: NDArray[np.float32] = np.clip(0.5 - distance / soft_mm, 0, 1).astype(np.float32)
        return share

    around = np.full(fine, background, np.float32)
    if lung != background:
        lungs = place.centre_mm + np.array([75.0, 40.0, 30.0])
        around += (lung - background) * inside(_ellipsoid_distance(points, lungs, np.array([55.0, 90.0, 120.0])))
    epi = outline.surfaces(np.linspace(0, 1, 21), _angles(36))[1]
    epi_mm = place.to_patient(epi).reshape(-1, 3)
    if liver > 0:
        towards, axes = np.array([-0.35, 0.05, -0.94]), np.array([95.0, 75.0, 60.0])
        around += (liver - around) * inside(_beside(points, epi_mm, towards, axes, liver_gap_mm))
    if gut > 0:
        towards, axes = np.array([0.35, -0.25, -0.90]), np.array([22.0, 15.0, 13.0])
        around += (gut - around) * inside(_beside(points, epi_mm, towards, axes, 6.0))
    if rv > 0:
        radius = outline.radius_mm
        heart = place.to_heart(points).astype(np.float32)
        axes = np.array([radius * 1.15, radius * 1.2, outline.half_length_mm * 0.95])
        shell = np.abs(_ellipsoid_distance(heart, np.array([-0.95 * radius, 0.0, -0.1 * radius]), axes))
        beyond_valve = (heart - np.array([0, 0, -outline.base_mm], np.float32)) @ outline.valve_normal()
        around += (
            (rv - around)
            * inside(shell - 2)
            * inside(beyond_valve.astype(np.float32))
            * (heart[..., 0] < -radius * 0.2)
        )
    if rim > 0:
        around += (rim - around) * _rim(grid, points, soft_mm)
    return around


def _image(
    grid: Grid,
    shape: _Shape,
    place: CardiacFrame,
    missing: _DefectShare,
    around: NDArray[np.float32],
    *,
    blood_ratio: float,
    fwhm_mm: float,
    myocardial_counts: float,
    rng: np.random.Generator | None,
) -> tuple[FloatArray, NDArray[np.float32]]:
    """One image, wall activity = 1, and the wall's share of each voxel."""
    from scipy.ndimage import gaussian_filter

    n, _, _ = _fine_lattice(grid)
    activity, wall, cavity = _lv_on_lattice(grid, shape, place, missing)
    total = activity + blood_ratio * cavity + (1 - np.clip(wall + cavity, 0, 1)) * around
    # Sharing points among neighbours has blurred by h^2/6 along each axis already.
    whole = _filter_sigma(grid, fwhm_mm, n, splat=True)
    image: FloatArray = gaussian_filter(total, whole, mode="nearest")[::n, ::n, ::n]
    share = _share_of_voxels(wall, n)
    if rng is None:
        return image, share
    before = _filter_sigma(grid, fwhm_mm * np.sqrt(1 - _GRAIN_SHARE**2), n, splat=True)
    expected = np.clip(gaussian_filter(total, before, mode="nearest")[::n, ::n, ::n], 0, None)
    grain = _filter_sigma(grid, fwhm_mm * _GRAIN_SHARE, 1, splat=False)
    # What the filter keeps of the variance of white noise.
    impulse = np.zeros([2 * int(np.ceil(5 * s)) + 1 for s in grain])
    impulse[tuple(size // 2 for size in impulse.shape)] = 1
    kept = float((gaussian_filter(impulse, grain, mode="constant") ** 2).sum())
    deviation = _CV_AT_REFERENCE * np.sqrt(_REFERENCE_COUNTS / myocardial_counts)
    scale = kept / deviation**2
    noise = rng.poisson(expected * scale) / scale - expected
    noisy: FloatArray = image + gaussian_filter(noise, grain, mode="nearest")
    return noisy, share


def _filter_sigma(grid: Grid, fwhm_mm: float, n: int, *, splat: bool) -> tuple[float, ...]:
    variance = (fwhm_mm * _FWHM_TO_SIGMA / (grid.spacing_mm / n)) ** 2 - (1 / 6 if splat else 0)
    return tuple(np.sqrt(np.maximum(variance, 1e-6)))


def _beside(
    points: NDArray[np.float32], epi_mm: FloatArray, towards: FloatArray, axes: FloatArray, gap_mm: float
) -> NDArray[np.float32]:
    """Signed distance to an ellipsoid moved along ``towards`` until it is ``gap_mm`` from the epicardium."""
    centre = epi_mm.mean(axis=0)
    direction = towards / np.linalg.norm(towards)
    near, far = 0.0, 400.0
    for _ in range(40):
        middle = 0.5 * (near + far)
        clear = _ellipsoid_distance(epi_mm.astype(np.float32), centre + middle * direction, axes).min()
        near, far = (middle, far) if clear < gap_mm else (near, middle)
    return _ellipsoid_distance(points, centre + far * direction, axes)


def _rim(grid: Grid, points: NDArray[np.float32], soft_mm: float) -> FloatArray:
    """The bright edge of the field of view: patches on a cylinder about the head-feet axis."""
    centre = grid.centre_mm
    offset = points - centre
    size = np.abs(grid.affine[:3, :3] @ np.diag(np.array(grid.shape) - 1.0)).sum(axis=1)
    radius = 0.48 * float(size[:2].min())
    from_axis = np.hypot(offset[..., 0], offset[..., 1])
    angle = np.arctan2(offset[..., 1], offset[..., 0])
    patches = 0.5 + 0.5 * np.cos(3 * angle + 0.02 * offset[..., 2])
    rim: FloatArray = np.clip((from_axis - radius) / soft_mm + 0.5, 0, 1) * patches
    return rim


def _apex_mm(shape: _Shape, frame: CardiacFrame) -> FloatArray:
    """Mid-wall apex in LPS mm, so that the wall's centroid is the frame's centre."""
    wall, volume, _, _ = _wall_samples(shape, n_arc=80, n_angle=72, n_depth=4)
    centroid = np.einsum("dab,dabi->i", volume, wall) / volume.sum()
    apex: FloatArray = frame.to_patient(np.array([0, 0, shape.half_length_mm]) - centroid)
    return apex


def _volumes_mL(shape: _Shape) -> tuple[float, float]:
    _, wall, _, cavity = _wall_samples(shape, n_arc=60, n_angle=72, n_depth=3)
    return float(wall.sum() / 1000), float(cavity.sum() / 1000)


def _cycle_shapes(diastole: _Shape, cycle: Cycle) -> list[_Shape]:
    """The ventricle gate by gate: volume curve, constant wall volume, apex in place."""
    wall_mL, cavity_mL = _volumes_mL(diastole)
    time = (np.arange(cycle.n_gates) + 0.0) / cycle.n_gates
    # Ejection takes 37 % of the cycle, filling the rest; both are raised cosines.
    phase = np.where(time <= 0.37, time / 0.37 * np.pi, np.pi + (time - 0.37) / 0.63 * np.pi)
    contraction = 0.5 - 0.5 * np.cos(phase)
    contraction /= contraction.max()
    shapes = []
    for share in contraction:
        shorter = 1 - cycle.shortening * share
        target = cavity_mL * (1 - cycle.ejection_fraction_percent / 100 * share)
        radius, wall = diastole.radius_mm, diastole.wall_mm
        base = replace(diastole, half_length_mm=diastole.half_length_mm * shorter, base_mm=diastole.base_mm * shorter)
        for _ in range(30):
            now = np.array(_volumes_mL(replace(base, radius_mm=radius, wall_mm=wall)))
            miss = np.array([wall_mL, target]) - now
            if np.abs(miss).max() < 1e-3:
                break
            by_radius = (np.array(_volumes_mL(replace(base, radius_mm=radius + 0.05, wall_mm=wall))) - now) / 0.05
            by_wall = (np.array(_volumes_mL(replace(base, radius_mm=radius, wall_mm=wall + 0.05))) - now) / 0.05
            step = np.linalg.solve(np.column_stack([by_radius, by_wall]), miss)
            radius, wall = radius + float(np.clip(step[0], -4, 4)), wall + float(np.clip(step[1], -2, 2))
        shapes.append(replace(base, radius_mm=radius, wall_mm=wall))
    return shapes


@dataclass(frozen=True, slots=True)
class PhantomDraw:
    """The drawn parameters of one random ventricle, for reports that stratify by them."""

    with_defect: bool
    hot_liver: bool
    defect_extent: float
    liver_ratio: float
    azimuth_deg: float
    elevation_deg: float


def random_phantom(
    rng: np.random.Generator,
    *,
    voxel_mm: float = 4.0,
    fwhm_mm: float | None = None,
    noise: bool = True,
) -> tuple[Phantom, PhantomDraw]:
    """A ventricle drawn from the acceptance population.

    Long axes spread as in the shared manual masks (left of anterior and below the transverse plane);
    mid-wall radius 23 to 33 mm, length 66 to 92 mm, wall 8 to 11 mm with up to 20 % apical thinning. A third
    carry a defect of 10 to 30 % of the wall, a third (drawn independently) a liver 1 to 1.5 times as hot as
    the wall beside the inferior wall; the others' liver takes 0.2 to 0.8. ``voxel_mm`` 4 is a CZT camera
    (resolution 6.7 to 8.6 mm unless ``fwhm_mm`` is given), 6.4 a conventional one (12 to 15 mm). The
    acceptance population of 200: ``numpy.random.default_rng([2, n])`` for n = 0 to 199, even n at 4 mm, odd
    n at 6.4 mm.
    """
    fine = voxel_mm < 5
    if fwhm_mm is None:
        fwhm_mm = float(rng.uniform(6.7, 8.6) if fine else rng.uniform(12, 15))
    azimuth = float(np.clip(rng.normal(*_AZIMUTH_DEG), *_AZIMUTH_RANGE_DEG))
    elevation = float(np.clip(rng.normal(*_ELEVATION_DEG), *_ELEVATION_RANGE_DEG))
    a, e = np.radians([azimuth, elevation])
    axis = np.array([np.sin(a) * np.cos(e), -np.cos(a) * np.cos(e), -np.sin(e)])
    shape = (70, 70, 50) if fine else (64, 64, 40)
    grid = Grid.axis_aligned(shape, spacing_mm=voxel_mm)
    frame = CardiacFrame(rng.normal(0, 10, 3) + np.array([0.0, 0.0, 15.0]), axis)
    with_defect, hot_liver = bool(rng.random() < 1 / 3), bool(rng.random() < 1 / 3)
    defect = Defect(
        angle_deg=float(rng.uniform(0, 360)),
        arc_fraction=float(rng.uniform(0.1, 0.85)),
        extent=float(rng.uniform(0.10, 0.30)),
        depth=float(rng.uniform(0.4, 1.0)),
    )
    liver = float(rng.uniform(1.0, 1.5) if hot_liver else rng.uniform(0.2, 0.8))
    radius = float(rng.uniform(23, 33))
    phantom = lv_phantom(
        grid,
        frame=frame,
        fwhm_mm=fwhm_mm,
        short_axis_radius_mm=radius,
        long_axis_mm=float(radius * rng.uniform(2.5, 3.0)),
        wall_mm=float(rng.uniform(8, 11)),
        apical_thinning=float(rng.uniform(0, 0.2)),
        septal_shortening_mm=float(rng.uniform(4, 14)),
        valve_tilt_deg=float(rng.uniform(-8, 8)),
        ovality=float(rng.uniform(-0.05, 0.05)),
        defect=defect if with_defect else None,
        blood_ratio=float(rng.uniform(0.03, 0.10)),
        background_ratio=float(rng.uniform(0.03, 0.08)),
        lung_ratio=float(rng.uniform(0.03, 0.06)),
        rv_ratio=float(rng.uniform(0.2, 0.6)),
        liver_ratio=liver,
        liver_gap_mm=float(rng.uniform(6, 20)),
        gut_ratio=float(rng.uniform(0.3, 1.2)) if rng.random() < 0.25 else 0.0,
        myocardial_counts=float(rng.uniform(5e5, 1e6)),
        rng=rng if noise else None,
    )
    return phantom, PhantomDraw(
        with_defect, hot_liver, defect.extent if with_defect else 0.0, liver, azimuth, elevation
    )
