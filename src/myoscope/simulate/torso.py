"""A virtual torso by sex, height and weight: outline, organs, bones, and the seat of the heart among them.

A body is drawn once; ``tissues`` then lays it on any grid, supine, prone or upright, with or without a heart. All
geometry is this project's own, drawn from plausible proportions; no phantom data went into it. Heart and diaphragm
are drawn together, lungs wrap round what is left.

Directions of long axes follow the manual masks of 53 shared scans (``benchmarks/heart_axes.py``): 34 (SD 10) degrees
left of anterior, 15 (SD 8) below the transverse plane, 10th to 90th percentile 23 to 44 and 6 to 25. That hearts of
slender people stand more upright is added on top as a shift of the mean, its size this project's choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from myoscope.core import CardiacFrame, Grid, InvalidValue
from myoscope.core.geometry import FloatArray, frozen
from myoscope.simulate.build import Build, Sex, draw_build
from myoscope.simulate.organs import Diaphragm, Organs, draw_organs, heart_envelope
from myoscope.simulate.shapes import Array, Box, Ellipsoid, Lattice, Tube, superellipse_distance
from myoscope.simulate.skeleton import arm_tubes, ribs, shoulder_bones, spine, spine_front_mm, sternum
from myoscope.simulate.tissues import HEART, Tissues

Position = Literal["supine", "prone", "upright"]
Arms = Literal["up", "down"]

_AZIMUTH_DEG, _AZIMUTH_RANGE_DEG = (34.0, 9.5), (8.0, 62.0)
_ELEVATION_DEG, _ELEVATION_RANGE_DEG = (15.0, 7.6), (-5.0, 40.0)
_STEEPER_PER_BMI_DEG = 0.45
# Prone, the domes (right, left) sink from the heart, and the heart moves forward with its weight; upright, the
# diaphragm with what lies below sinks further than the heart does.
_PRONE_DOME_MM, _UPRIGHT_BEYOND_HEART_MM = (-6.0, -14.0), 8.0
# Thickness and base of the breasts by position: base radius over thickness, towards the side, towards the head (mm).
_BREAST = {"supine": (1.9, 2.0, 45.0), "prone": (2.4, 0.0, 38.0), "upright": (1.35, 0.0, 6.0)}
_PECTORAL_MM, _PECTORAL_AT_MM = (11.0, 62.0, 58.0), (0.0, 38.0)


@dataclass(frozen=True, eq=False, slots=True)
class Torso:
    """One body. Lengths in mm; ``offset_mm`` takes body coordinates to the camera's LPS.

    ``seat_in_body`` is centre and long axis of the supine heart in body coordinates, ``heart_size`` the size of its
    sac (1 = a man of 172 cm). ``breast_mL`` is the volume of one breast, ``upright_drop_mm`` how far diaphragm and
    heart sink when the person stands, ``prone_forward_mm`` how far the heart moves forward when the person lies prone.
    """

    build: Build
    organs: Organs
    seat_in_body: CardiacFrame
    heart_size: float
    offset_mm: FloatArray
    lung_density: float
    breast_mL: float
    upright_drop_mm: float
    prone_forward_mm: float

    @property
    def heart_seat(self) -> CardiacFrame:
        """Centre and long axis of the supine heart, LPS mm about the camera's axis of rotation."""
        return self.seat("supine")

    def seat(self, position: Position = "supine", *, displace_mm: float = 0.0) -> CardiacFrame:
        """Centre and long axis of the heart in a position, moved towards the head with the diaphragm by breathing."""
        inside = self._seat(position, displace_mm)
        return CardiacFrame(inside.centre_mm + self.offset_mm, inside.long_axis)

    def moved(self, offset_mm: ArrayLike) -> Torso:
        """The same body elsewhere in the camera."""
        return replace(self, offset_mm=frozen(self.offset_mm + np.asarray(offset_mm, float), np.float64))

    def tissues(
        self,
        grid: Grid,
        *,
        position: Position = "supine",
        heart: Mapping[str, ArrayLike] | None = None,
        displace_mm: float = 0.0,
        arms: Arms = "up",
    ) -> Tissues:
        """The body on a grid: share of each tissue in each voxel.

        ``heart`` gives the shares of the heart (``lv_wall``, ``lv_blood``, ``rv_wall``, ``rv_blood``, ``atria``;
        arrays on the same grid), which displace everything else; without it its sac is filled with soft tissue.
        ``displace_mm`` moves diaphragm, heart sac and the organs below towards the head (breathing in is negative).

        Raises
        ------
        InvalidValue
            If the position or an entry of ``heart`` is unknown, or the grid is not axis-aligned.
        """
        if position not in get_args(Position):
            raise InvalidValue(f"a body lies supine, prone or upright, got {position!r}")
        if arms not in get_args(Arms):
            raise InvalidValue(f"arms are up or down, got {arms!r}")
        lattice = Lattice.of(grid, origin_mm=self.offset_mm)
        return _Laying(self, lattice, position, displace_mm, arms).tissues(grid, heart)

    def _seat(self, position: Position, displace_mm: float) -> CardiacFrame:
        seat = self.seat_in_body
        shift = np.array([0.0, 0.0, displace_mm])
        axis = seat.long_axis
        if position == "upright":
            shift[2] -= self.upright_drop_mm
            # Standing, the heart hangs a little steeper.
            axis = _steeper(axis, 0.25 * self.upright_drop_mm)
        elif position == "prone":
            shift[1] -= self.prone_forward_mm
        return CardiacFrame(seat.centre_mm + shift, axis)


def draw_torso(*, sex: Sex, height_cm: float, weight_kg: float, rng: np.random.Generator) -> Torso:
    """A body of this sex, height (140 to 210 cm) and weight (body mass index 15 to 50).

    Raises
    ------
    InvalidValue
        If sex, height or weight lie outside what bodies are drawn for.
    """
    bmi = weight_kg / (height_cm / 100) ** 2
    woman = sex == "F"
    breast_mL = 0.0
    if woman:
        breast_mL = float(np.clip(360 * np.exp(0.05 * (bmi - 25) + rng.normal(0, 0.38)), 90, 1600))
    lung_mL = (24.0 if sex == "M" else 19.0) * height_cm
    build = draw_build(
        sex=sex, height_cm=height_cm, weight_kg=weight_kg, lung_mL=lung_mL, breasts_mL=2 * breast_mL, rng=rng
    )
    size = (0.93 if woman else 1.0) * (height_cm / 172) ** 0.5 * float(np.clip((bmi / 25) ** 0.12, 0.9, 1.1))
    seat = _draw_seat(build, size, rng)
    organs = draw_organs(build, seat, size, rng)
    surface = build.body_surface_m2
    liver_mL = float(np.clip((1600 + 1200 * (surface - 1.9)) * rng.normal(1, 0.10), 1000, 2200))
    spleen_mL = float(np.clip(rng.normal(190, 45) * surface / 1.9, 100, 300))
    # The body lies about centred on the table; the table is set so that the heart is in the middle head to feet.
    offset = rng.normal(0, (9.0, 12.0, 10.0)) + np.array([-8.0, 4.0, 0.0])
    torso = Torso(
        build=build,
        organs=organs,
        seat_in_body=seat,
        heart_size=size,
        offset_mm=frozen(offset, np.float64),
        lung_density=float(rng.uniform(0.25, 0.32)),
        breast_mL=breast_mL,
        upright_drop_mm=float(rng.uniform(10, 22)),
        prone_forward_mm=float(rng.uniform(3, 8)),
    )
    return _sized(torso, liver_mL, spleen_mL)


def _sized(torso: Torso, liver_mL: float, spleen_mL: float) -> Torso:
    """The same body with liver and spleen grown until the space that others leave them holds their volumes."""
    build = torso.build
    grid = Grid.axis_aligned((36, 26, 26), spacing_mm=0.055 * build.cage_half_width_mm + 1)
    high = np.array([0.0, build.cage_centre_y_mm, max(torso.organs.dome_mm) + 20 - 13 * grid.spacing_mm[2]])
    grid = Grid.axis_aligned(grid.shape, spacing_mm=grid.spacing_mm, centre_mm=high)
    lattice = Lattice.of(grid)
    for _ in range(4):
        laying = _Laying(torso, lattice, "supine", 0.0, "up")
        fraction = laying.tissues(grid, None).fraction
        liver, spleen = (float(fraction[name].sum()) * grid.voxel_volume_mL for name in ("liver", "spleen"))
        organs = torso.organs
        larger = np.cbrt(np.clip(spleen_mL / spleen, 0.5, 2))
        grown = Ellipsoid(organs.spleen.centre_mm, organs.spleen.semi_axes_mm * larger, organs.spleen.rotation)
        deeper = organs.liver_depth_mm * float(np.clip(liver_mL / liver, 0.6, 1.6)) ** 0.8
        torso = replace(torso, organs=replace(organs, spleen=grown, liver_depth_mm=deeper))
    return torso


def _draw_seat(build: Build, size: float, rng: np.random.Generator) -> CardiacFrame:
    azimuth = float(np.clip(rng.normal(*_AZIMUTH_DEG), *_AZIMUTH_RANGE_DEG))
    steep = _ELEVATION_DEG[0] - _STEEPER_PER_BMI_DEG * (np.clip(build.bmi, 17, 42) - 27)
    elevation = float(np.clip(rng.normal(steep, _ELEVATION_DEG[1]), *_ELEVATION_RANGE_DEG))
    a, e = np.radians([azimuth, elevation])
    axis = np.array([np.sin(a) * np.cos(e), -np.cos(a) * np.cos(e), -np.sin(e)])
    left = float(np.clip(rng.normal(0.33, 0.035), 0.25, 0.42)) * build.cage_half_width_mm
    gap = float(rng.uniform(3, 12))
    # The sac all but touches the front wall of the chest.
    width, depth, centre = (float(p) for p in build.cavity(0.0))

    at_midline = CardiacFrame(np.array([left, 0.0, 0.0]), axis)
    clear = np.inf
    for part in heart_envelope(at_midline, size)[:2]:
        surface = part.centre_mm + (part.semi_axes_mm * _DIRECTIONS) @ part.rotation
        off = np.clip(np.abs(surface[:, 0]) / width, 0, 0.999)
        wall = centre - depth * (1 - off**2.5) ** 0.4
        clear = min(clear, float((surface[:, 1] - wall).min()))
    return CardiacFrame(np.array([left, gap - clear, 0.0]), axis)


def _sphere(n: int) -> FloatArray:
    """Directions spread evenly over the sphere (Fibonacci)."""
    turn = np.arange(n) * np.pi * (3 - np.sqrt(5))
    z = 1 - (2 * np.arange(n) + 1) / n
    r = np.sqrt(1 - z * z)
    directions: FloatArray = np.stack([r * np.cos(turn), r * np.sin(turn), z], axis=1)
    return directions


_DIRECTIONS = _sphere(200)


def _steeper(axis: FloatArray, degrees: float) -> FloatArray:
    azimuth, elevation = np.arctan2(axis[0], -axis[1]), -np.arcsin(axis[2]) + np.radians(degrees)
    tilted: FloatArray = np.array(
        [np.sin(azimuth) * np.cos(elevation), -np.cos(azimuth) * np.cos(elevation), -np.sin(elevation)]
    )
    return tilted


class _Laying:
    """One body being laid on one lattice: every tissue takes its share of what earlier ones left."""

    def __init__(self, torso: Torso, lattice: Lattice, position: Position, displace_mm: float, arms: Arms) -> None:
        self.torso, self.lattice, self.position, self.arms = torso, lattice, position, arms
        self.drop = displace_mm - (torso.upright_drop_mm + _UPRIGHT_BEYOND_HEART_MM if position == "upright" else 0.0)
        self.seat = torso._seat(position, displace_mm)
        self.envelope = heart_envelope(self.seat, torso.heart_size)
        z = lattice.z.ravel()
        self.skin = [_per_slice(p) for p in torso.build.skin(z)]
        self.muscle = [_per_slice(p) for p in torso.build.muscle(z)]
        self.cavity = [_per_slice(p) for p in torso.build.cavity(z)]
        self.fraction: dict[str, Array] = {}
        self.left = np.zeros(lattice.shape, np.float32)

    def tissues(self, grid: Grid, heart: Mapping[str, ArrayLike] | None) -> Tissues:
        torso, lattice, build = self.torso, self.lattice, self.torso.build
        skin = superellipse_distance(lattice, *self.skin)
        low, _ = build.trunk_mm
        ends = np.maximum(low - lattice.z, lattice.z - 0.155 * build.height_cm * 10)
        self.left = lattice.inside(skin) * lattice.inside(ends)
        limbs = arm_tubes(build, self.arms)
        for arm, _ in limbs:
            box, part = arm.box(lattice)
            np.maximum(self.left[box], part.inside(arm.distance(part)), out=self.left[box])
        self._breasts()
        if heart is not None:
            self._heart(heart)
        to_cage = superellipse_distance(lattice, *self.cavity)
        for _, bone in limbs:
            self._shape("bone", bone)
        self._bones(to_cage)
        self._vessels()
        for chamber in self.envelope:
            if heart is None:
                self._shape("soft_tissue", chamber)
            else:
                self._shape("soft_tissue", chamber, share=0.5)
                self._shape("fat", chamber)
        self._belly(to_cage)
        self._lungs(to_cage)
        # What lies between the organs of chest and belly.
        between = lattice.inside(to_cage)
        self._take("fat", _EVERYWHERE, between * np.float32(build.visceral_fat))
        self._take("soft_tissue", _EVERYWHERE, between)
        self._take("soft_tissue", _EVERYWHERE, lattice.inside(superellipse_distance(lattice, *self.muscle)))
        for arm, _ in limbs:
            box, part = arm.box(lattice)
            self._take("soft_tissue", box, part.inside(arm.distance(part) + 7))
        self._take("fat", _EVERYWHERE, np.float32(1))
        return Tissues(self.fraction, grid, torso.lung_density)

    def _take(self, name: str | None, box: Box, share: ArrayLike) -> None:
        """Give a tissue its share of what is left in a box; no name is air."""
        left = self.left[box]
        if 0 in left.shape:
            return
        taken = left * np.asarray(share, np.float32)
        left -= taken
        if name is not None:
            if name not in self.fraction:
                self.fraction[name] = np.zeros(self.lattice.shape, np.float32)
            self.fraction[name][box] += taken

    def _shape(self, name: str | None, shape: Ellipsoid | Tube, *, share: float = 1.0) -> None:
        box, part = shape.box(self.lattice)
        if 0 not in part.shape:
            self._take(name, box, part.inside(shape.distance(part)) * np.float32(share))

    def _heart(self, heart: Mapping[str, ArrayLike]) -> None:
        unknown = set(heart) - set(HEART)
        if unknown:
            raise InvalidValue(f"a heart is made of {', '.join(HEART)}; {', '.join(sorted(unknown))} is none of these")
        total = np.zeros(self.lattice.shape, np.float32)
        for name, share in heart.items():
            array: Array = np.clip(np.asarray(share, np.float32), 0, 1)
            if array.shape != self.lattice.shape:
                raise InvalidValue(f"{name} has shape {array.shape}, the grid {self.lattice.shape}")
            self.fraction[name] = array
            total += array
        # Deposited walls may overfill a voxel by rounding.
        excess = np.maximum(total, 1)
        for name in heart:
            self.fraction[name] /= excess
        self.left = np.maximum(self.left - total / excess, 0).astype(np.float32)

    def _breasts(self) -> None:
        """Breasts of women, pectoral muscles of men: caps on the front of the chest, outside its outline."""
        build = self.torso.build
        if self.torso.breast_mL:
            made_of = {"breast": 1.0}
            flat, aside, up = _BREAST[self.position]
            # Lying, it flattens; standing, it hangs.
            thick = np.cbrt(self.torso.breast_mL * 1000 / (2 / 3 * np.pi * flat**2))
            size = (thick, flat * thick, flat * thick)
        else:
            fat = min(max((build.bmi - 20) / 20, 0.1), 0.8)
            made_of = {"soft_tissue": 1 - fat, "fat": fat}
            aside, up = _PECTORAL_AT_MM
            size = _PECTORAL_MM
        height = up - 0.006 * build.height_cm * 10
        half_width, half_depth, centre = (float(p) for p in build.skin(height))
        x = min(0.48 * half_width + aside, 0.80 * half_width)
        u = x / half_width
        v = (1 - u**2.5) ** 0.4
        for side in (-1.0, 1.0):
            normal = np.array([side * u**1.5 / half_width, -(v**1.5) / half_depth, 0.0])
            normal /= np.linalg.norm(normal)
            rotation = np.stack([normal, np.array([-normal[1], normal[0], 0.0]), np.array([0.0, 0.0, 1.0])])
            cap = Ellipsoid.at((side * x, centre - v * half_depth, height), size, rotation)
            box, part = cap.box(self.lattice)
            if 0 in part.shape:
                continue
            beyond = part.inside(cap.distance(part)) * (1 - self.left[box])
            for name, share in made_of.items():
                total = self.fraction.setdefault(name, np.zeros(self.lattice.shape, np.float32))
                np.maximum(total[box], beyond * np.float32(share), out=total[box])

    def _bones(self, to_cage: Array) -> None:
        build, lattice = self.torso.build, self.lattice
        box, bone, column = spine(lattice, build)
        self._take("bone", box, bone)
        self._take("soft_tissue", box, column)
        for box, share in (sternum(lattice, build, to_cage), ribs(lattice, build, to_cage)):
            self._take("bone", box, share)
        for shape in shoulder_bones(build, self.arms):
            self._shape("bone", shape)

    def _vessels(self) -> None:
        torso, build = self.torso, self.torso.build
        ay, yc, s = build.cage_half_depth_mm, build.cage_centre_y_mm, build.stature
        seat, g = self.seat, torso.heart_size
        h = build.height_cm * 10

        def prevertebral(z: float) -> float:
            return float(spine_front_mm(build, np.array([z]))[0])

        root = seat.to_patient(np.array([-16.0, 14.0, -48.0]) * g)
        outflow = seat.to_patient(np.array([-24.0, 36.0, -40.0]) * g)
        top = 0.053 * h
        aorta = [
            tuple(root),
            (-16 * s, yc - 0.10 * ay, 0.55 * top),
            (-10 * s, yc + 0.02 * ay, 0.90 * top),
            (4 * s, yc + 0.16 * ay, top),
            (19 * s, yc + 0.34 * ay, 0.90 * top),
            (22 * s, prevertebral(20.0) - 5 * s, 20 * s),
            (14 * s, prevertebral(-60.0) - 10 * s, -60 * s),
            (6 * s, prevertebral(-120.0) - 11 * s, -120 * s),
            (3 * s, prevertebral(-260.0) - 9 * s, -260 * s),
        ]
        self._shape("vessel_blood", Tube.along(aorta, np.array([16, 16, 15, 14, 13, 12.5, 12, 10, 9]) * g))
        split = (6 * s, yc + 0.10 * ay, 0.026 * h)
        self._shape("vessel_blood", Tube.along([tuple(outflow), split], np.array([14, 13]) * g))
        hilum_r, hilum_l = (-52 * s, yc + 0.20 * ay, 0.010 * h), (52 * s, yc + 0.26 * ay, 0.016 * h)
        self._shape("vessel_blood", Tube.along([split, hilum_r, (-80 * s, yc + 0.36 * ay, -0.012 * h)], [11, 9, 4]))
        self._shape("vessel_blood", Tube.along([split, hilum_l, (78 * s, yc + 0.42 * ay, -0.008 * h)], [11, 9, 4]))
        self._shape("vessel_blood", Tube.along([hilum_r, (-74 * s, yc + 0.05 * ay, 0.045 * h)], [6, 3]))
        self._shape("vessel_blood", Tube.along([hilum_l, (70 * s, yc + 0.08 * ay, 0.050 * h)], [6, 3]))
        superior = [(-24 * s, yc - 0.02 * ay, 0.016 * h), (-25 * s, yc - 0.10 * ay, 0.075 * h)]
        self._shape("vessel_blood", Tube.along([*superior, (-52 * s, yc - 0.12 * ay, 0.098 * h)], [10, 9, 7]))
        inferior = [
            (-24 * s, yc + 0.22 * ay, -18 * s + self.drop),
            (-22 * s, yc + 0.40 * ay, -75 * s + self.drop),
            (-17 * s, prevertebral(-140.0) - 11 * s, -140 * s),
            (-15 * s, prevertebral(-260.0) - 10 * s, -260 * s),
        ]
        self._shape("vessel_blood", Tube.along(inferior, np.array([12, 12, 11, 10]) * g))
        windpipe = [(2 * s, yc + 0.22 * ay, 0.036 * h), (0, yc + 0.24 * ay, 0.10 * h), (0, yc + 0.1 * ay, 0.16 * h)]
        self._shape(None, Tube.along(windpipe, 8.0 * s))

    def _belly(self, to_cage: Array) -> None:
        """Organs under the diaphragm, in the order in which they give way to each other."""
        organs, lattice = self.torso.organs, self.lattice
        sheet = self._diaphragm(lattice)
        move = (0.0, 0.0, self.drop)
        bottom = float(lattice.z.min())

        def roof(box: Box, part: Lattice) -> Array:
            """Distance to the space below diaphragm and inside the wall of the belly, 3 mm from both."""
            face, cosine = sheet.height_mm[box[:2]], sheet.cosine[box[:2]]
            below = (part.z - face.astype(np.float32)) * cosine.astype(np.float32)
            return np.maximum(below, to_cage[box]) + np.float32(3)

        def organ(name: str | None, shape: Ellipsoid | Tube) -> None:
            box, part = shape.box(lattice)
            if 0 in part.shape:
                return
            distance = np.maximum(shape.distance(part), roof(box, part))
            self._take(name, box, part.inside(distance))

        half_move = (0.0, 0.0, 0.5 * self.drop)
        for kidney in organs.kidneys:
            organ("kidney", kidney.moved(half_move))
        organ("gallbladder", organs.gallbladder.moved(move))
        high = max(organs.dome_mm) + self.drop + 60
        box, part = lattice.box((-1e4, -1e4, min(bottom, high)), (organs.liver_tip_mm, 1e4, high))
        if 0 not in part.shape:
            self._take("liver", box, part.inside(np.maximum(self._liver(part), roof(box, part))))
        organ("spleen", organs.spleen.moved(move))
        for shape in organs.stomach:
            moved = shape.moved(move)
            box, part = moved.box(lattice)
            if 0 in part.shape:
                continue
            distance = np.maximum(moved.distance(part), roof(box, part))
            self._take(None, box, part.inside(np.maximum(distance + 3, self._gas(part))))
            self._take("stomach", box, part.inside(distance))
        for shape in organs.bowel:
            organ("bowel", shape.moved(half_move if isinstance(shape, Ellipsoid) else move))

    def _diaphragm(self, lattice: Lattice) -> Diaphragm:
        more = _PRONE_DOME_MM if self.position == "prone" else (0.0, 0.0)
        right, left = (top + self.drop + extra for top, extra in zip(self.torso.organs.dome_mm, more, strict=True))
        return Diaphragm.over(lattice, self.torso.build, dome_mm=(right, left), heart=self.envelope[:2])

    def _liver(self, part: Lattice) -> Array:
        """Signed distance to the lower and left faces of the liver."""
        build, organs = self.torso.build, self.torso.organs
        ax, ay, yc = build.cage_half_width_mm, build.cage_half_depth_mm, build.cage_centre_y_mm
        start, tip = -0.55 * ax, organs.liver_tip_mm
        share = np.clip((part.x - start) / (tip - start), -0.35, 1)
        floor = organs.dome_mm[0] + self.drop - organs.liver_depth_mm * (1 - 0.80 * share)
        # The lower face rises towards the back.
        floor = floor + 0.18 * (part.y - yc)
        thickness = np.float32(0.93) * (floor.astype(np.float32) - part.z)
        # Left of the midline the liver lies in front of the stomach.
        limit = yc + ay * (0.62 - 1.15 * np.clip((part.x + 0.10 * ax) / ax, 0, 1))
        behind = np.float32(0.8) * (part.y - limit.astype(np.float32))
        lobe = np.where(part.x > -0.10 * ax, behind, np.float32(-1e3))
        liver: Array = np.maximum(np.maximum(thickness, lobe), part.x - np.float32(tip))
        return liver

    def _gas(self, part: Lattice) -> Array:
        """Signed distance to the gas in the stomach: the side away from the ground."""
        fundus, body = self.torso.organs.stomach
        level = self.torso.organs.gas_level
        if self.position == "upright":
            top, bottom = fundus.centre_mm[2] + fundus.reach_mm[2], float(body.points_mm[:, 2].min())
            return np.float32(bottom + level * (top - bottom) + self.drop) - part.z
        front = float((body.points_mm[:, 1] - body.radii_mm).min())
        back = fundus.centre_mm[1] + fundus.reach_mm[1]
        if self.position == "supine":
            return part.y - np.float32(back - level * (back - front))
        return np.float32(front + level * (back - front)) - part.y

    def _lungs(self, to_cage: Array) -> None:
        build, s = self.torso.build, self.torso.build.stature
        low = min(self.torso.organs.dome_mm) + self.drop - 110 * s
        box, part = self.lattice.box((-1e4, -1e4, low), (1e4, 1e4, 0.104 * build.height_cm * 10))
        if 0 in part.shape:
            return
        sheet = self._diaphragm(part)
        above = (sheet.height_mm.astype(np.float32) - part.z) * sheet.cosine.astype(np.float32)
        # Between the lungs: narrow behind the breast bone, wide at great vessels and spine.
        across = (part.y - build.cage_centre_y_mm) / build.cage_half_depth_mm
        middle = np.interp(across, [-1.1, -0.85, -0.4, 0.0, 0.5, 1.0], [13, 7, 20, 27, 24, 22]) * s
        high = np.exp(-(((part.z - 0.058 * build.height_cm * 10) / (30 * s)) ** 2))
        half = (middle * (1 + 0.25 * high)).astype(np.float32)
        distance = np.maximum(np.maximum(to_cage[box] + np.float32(1), above), half - np.abs(part.x))
        self._take("lung", box, part.inside(distance))


_EVERYWHERE: Box = (slice(None), slice(None), slice(None))


def _per_slice(profile: NDArray[np.float64]) -> Array:
    array: Array = profile.astype(np.float32).reshape(1, 1, -1)
    return array
