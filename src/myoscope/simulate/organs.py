"""The organs of one torso: where they lie in relation to ribs, heart and diaphragm, and how large they are.

All places are in body coordinates: LPS millimetres from the midline, the middle of the trunk's depth, and the
level of the heart of the person lying supine at the end of a quiet breath out. Sizes and places are this project's
own choice of plausible anatomy (liver 1.0 to 2.2 L, spleen 100 to 300 mL, gallbladder 15 to 60 mL).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from myoscope.core import CardiacFrame
from myoscope.core.geometry import FloatArray
from myoscope.simulate.build import Build
from myoscope.simulate.shapes import Ellipsoid, Lattice, Tube

# The whole heart with its fat, in the left ventricle's own directions (lateral, up, towards apex), mm from the centre
# of its wall, of a man of 172 cm: left and right ventricle, atria with the roots of the great vessels, right atrium.
_ENVELOPE = (
    ((0.0, 0.0, -4.0), (37.0, 37.0, 54.0)),
    ((-30.0, 6.0, -8.0), (40.0, 38.0, 48.0)),
    ((-16.0, 8.0, -62.0), (45.0, 38.0, 30.0)),
    ((-56.0, -6.0, -42.0), (28.0, 36.0, 32.0)),
)


@dataclass(frozen=True, eq=False, slots=True)
class Organs:
    """Drawn organs; see the module for coordinates. Tubes and ellipsoids are cut by diaphragm and wall of the belly.

    ``dome_mm`` holds the heights of right and left hemidiaphragm; ``liver_depth_mm`` how far the right lobe reaches
    below its dome and ``liver_tip_mm`` where the left lobe ends. ``gas_level`` is the share of the stomach's height
    (away from the ground) below its gas.
    """

    dome_mm: tuple[float, float]
    liver_depth_mm: float
    liver_tip_mm: float
    spleen: Ellipsoid
    kidneys: tuple[Ellipsoid, Ellipsoid]
    gallbladder: Ellipsoid
    stomach: tuple[Ellipsoid, Tube]
    gas_level: float
    bowel: tuple[Tube | Ellipsoid, ...]
    bowel_near_heart: bool


def heart_envelope(seat: CardiacFrame, size: float) -> tuple[Ellipsoid, ...]:
    """Left and right ventricle, atria and right atrium with their fat; ``size`` 1 is a man of 172 cm."""
    return tuple(
        Ellipsoid.at(seat.to_patient(np.array(centre) * size), np.array(axes) * size, seat.rotation)
        for centre, axes in _ENVELOPE
    )


def draw_organs(build: Build, seat: CardiacFrame, heart_size: float, rng: np.random.Generator) -> Organs:
    """Diaphragm, drawn with the heart that rests on it, and the organs below it."""
    ax, ay, yc = build.cage_half_width_mm, build.cage_half_depth_mm, build.cage_centre_y_mm
    s, g = build.stature, np.cbrt(build.body_surface_m2 / 1.9)
    left_heart = heart_envelope(seat, heart_size)[0]
    lowest = float(left_heart.centre_mm[2] - left_heart.reach_mm[2])
    # The heart presses a hollow into the diaphragm, so that both domes reach above its lower face: more in men and with
    # a heavy belly, and in one of six people the left one much more.
    elevated = float(rng.uniform(8, 22)) if rng.random() < 1 / 6 else 0.0
    belly = 0.35 * (build.bmi - 26) + (9.0 if build.sex == "M" else 0.0)
    left = lowest + float(rng.normal(16, 6)) + belly + elevated
    right = lowest + float(rng.normal(26, 6)) + belly
    # The left flexure of the colon: near the inferior wall, or well below it. It shows there only when bile has come
    # so far, which is a matter of uptake, so that about one person in five has a hot loop near the heart.
    near = bool(rng.random() < 0.6)
    flexure = left - (15 if near else float(rng.uniform(75, 110))) * s
    transverse = right - float(rng.uniform(135, 165)) * s
    front = yc - 0.55 * ay
    bowel: list[Tube | Ellipsoid] = [
        Tube.along(
            [
                (0.80 * ax, yc + 0.30 * ay, flexure - 150 * s),
                (0.82 * ax, yc + 0.10 * ay, flexure - 60 * s),
                (0.62 * ax, yc - 0.30 * ay, flexure - 14 * s),
                (0.34 * ax, front, flexure - 30 * s),
                (0.10 * ax, front, transverse),
                (-0.45 * ax, front, transverse - 5 * s),
                (-0.78 * ax, yc + 0.05 * ay, transverse - 20 * s),
                (-0.78 * ax, yc + 0.20 * ay, transverse - 120 * s),
            ],
            np.array([16, 17, 18, 17, 18, 19, 21, 24]) * g,
        ),
        Ellipsoid.at((0.0, yc - 0.15 * ay, -0.165 * build.height_cm * 10), (0.74 * ax, 0.55 * ay, 75 * s)),
    ]
    tilt = np.radians(25)
    semi = np.array([24.0, 43.0, 54.0]) * g
    turn = np.array([[np.cos(tilt), np.sin(tilt), 0], [-np.sin(tilt), np.cos(tilt), 0], [0, 0, 1]])
    spleen = Ellipsoid.at((0.80 * ax - semi[0] * 0.55, yc + 0.42 * ay, left - 26 * s - 0.75 * semi[2]), semi, turn)
    kidney = np.array([26.0, 24.0, 54.0]) * g * float(rng.normal(1, 0.05))
    back = yc + 0.52 * ay
    kidneys = (
        Ellipsoid.at((-0.44 * ax, back, right - 128 * s), kidney),
        Ellipsoid.at((0.44 * ax, back, right - 116 * s), kidney),
    )
    gall_mL = float(rng.uniform(15, 60))
    gall = np.array([11.0, 13.0, 26.0])
    gall *= np.cbrt(gall_mL * 1000 / (4 / 3 * np.pi * gall.prod()))
    full = float(rng.uniform(0.75, 1.15))
    fundus = np.array([38.0, 40.0, 46.0]) * g * full
    stomach = (
        Ellipsoid.at((0.46 * ax, yc + 0.12 * ay, left - 8 * s - fundus[2]), fundus),
        Tube.along(
            [
                (0.46 * ax, yc - 0.05 * ay, left - 62 * s),
                (0.40 * ax, yc - 0.42 * ay, left - 105 * s),
                (0.04 * ax, yc - 0.46 * ay, left - 125 * s),
                (-0.16 * ax, yc - 0.25 * ay, left - 115 * s),
            ],
            np.array([32, 28, 21, 14]) * g * full,
        ),
    )
    return Organs(
        dome_mm=(right, left),
        liver_depth_mm=150 * s,
        liver_tip_mm=float(rng.uniform(0.30, 0.62)) * ax,
        spleen=spleen,
        kidneys=kidneys,
        gallbladder=Ellipsoid.at((-0.36 * ax, yc - 0.42 * ay, right - 118 * s), gall),
        stomach=stomach,
        gas_level=float(rng.uniform(0.75, 1.0)),
        bowel=tuple(bowel),
        bowel_near_heart=near,
    )


@dataclass(frozen=True, eq=False, slots=True)
class Diaphragm:
    """The sheet between lungs and belly over (x, y): its height and the cosine of its slope, shape (i, j, 1)."""

    height_mm: FloatArray
    cosine: FloatArray

    @classmethod
    def over(
        cls, lattice: Lattice, build: Build, *, dome_mm: tuple[float, float], heart: tuple[Ellipsoid, ...]
    ) -> Diaphragm:
        """Two domes that fall towards the chest wall, lifted to the heart wherever it lies on them."""
        x, y = lattice.x.astype(float), lattice.y.astype(float)
        ax, ay, yc = build.cage_half_width_mm, build.cage_half_depth_mm, build.cage_centre_y_mm
        s = build.stature
        height = np.full((lattice.x.size, lattice.y.size, 1), -1e3)
        # Right dome, left dome, and the central tendon between them.
        for side, top, reach in ((-0.50, dome_mm[0], 0.60), (0.54, dome_mm[1], 0.56), (0.0, min(dome_mm) - 10, 0.60)):
            # Highest a little in front of the middle; fixed high at the sternum and low at the last ribs.
            forward = (y - yc) / ay + 0.18
            off = ((x - side * ax) / (reach * ax)) ** 2 + (forward / 1.1) ** 2
            height = np.maximum(height, top - s * (60 * off + 24 * forward * np.minimum(off, 1.0)))
        for part in heart:
            face, depth = part.lower_face(x, y)
            contact = np.clip(depth / 0.35, 0, 1)
            height = height + contact * np.maximum(face - 1 - height, 0)
        slope_x = np.gradient(height, x.ravel(), axis=0) if x.size > 1 else np.zeros_like(height)
        slope_y = np.gradient(height, y.ravel(), axis=1) if y.size > 1 else np.zeros_like(height)
        return cls(height, 1 / np.sqrt(1 + slope_x**2 + slope_y**2))
