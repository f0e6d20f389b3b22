"""The build of a body: outline of the trunk, fat, muscle and the cage of the ribs, by sex, height and weight.

Heights (z) are measured from the heart, widths from the midline. The skeleton follows height and sex, the
outline follows weight: trunk mass is a fixed share of body mass, and fat fills what lies between muscle and
skin. Every proportion is this project's own choice of a plausible body; none comes from a licensed phantom. The
resulting widths of 320 to 440 mm and depths of 200 to 300 mm are those usual for cardiac patients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.simulate.shapes import SUPERELLIPSE_AREA

Sex = Literal["F", "M"]

# Heights as shares of standing height, from the heart: crotch, hip, waist, costal margin, heart, axilla, shoulder,
# base of the neck, neck, and the relative widths and depths there.
_LEVEL = np.array([-0.245, -0.185, -0.115, -0.045, 0.0, 0.055, 0.095, 0.118, 0.135, 0.150])
_WIDTH = {
    "M": np.array([0.86, 0.97, 0.93, 0.97, 1.00, 1.05, 1.02, 0.72, 0.40, 0.34]),
    "F": np.array([0.94, 1.08, 0.92, 0.95, 1.00, 1.03, 0.99, 0.68, 0.37, 0.32]),
}
_DEPTH = {
    "M": np.array([0.80, 0.92, 0.95, 1.00, 1.00, 0.94, 0.78, 0.62, 0.50, 0.48]),
    "F": np.array([0.86, 1.00, 0.94, 0.98, 1.00, 0.93, 0.76, 0.58, 0.46, 0.44]),
}
# The inner face of chest wall and belly: width and depth relative to the chest at the heart.
_CAVITY_LEVEL = np.array([-0.235, -0.185, -0.115, -0.06, -0.02, 0.03, 0.06, 0.08, 0.094, 0.1035])
_CAVITY_WIDTH = np.array([0.55, 0.86, 0.95, 1.03, 1.02, 0.95, 0.82, 0.66, 0.44, 0.10])
_CAVITY_DEPTH = np.array([0.55, 0.82, 0.92, 1.00, 1.02, 0.98, 0.86, 0.70, 0.48, 0.12])
# Trunk without head, neck and limbs as a share of body mass, at a body mass index of 25, and its rise per unit.
_TRUNK_SHARE, _TRUNK_SHARE_PER_BMI = 0.46, 0.0015
_TRUNK_LEVEL = (-0.245, 0.118)
# Around the cavity: ribs and muscle beside, in front of and behind it.
_RIB_MM = 8.0
_MUSCLE_MM = {"M": (13.0, 10.0, 20.0), "F": (9.0, 6.0, 15.0)}
_SKIN_FAT_MM = 4.0


@dataclass(frozen=True, eq=False, slots=True)
class Build:
    """Sizes of one body in mm; profiles are functions of the height above the heart.

    ``half_width_mm`` and ``half_depth_mm`` belong to the skin at the level of the heart, ``cage_half_width_mm``
    and ``cage_half_depth_mm`` to the inner face of the ribs there, whose centre lies at ``cage_centre_y_mm``.
    ``visceral_fat`` is the share of fat in what lies between the organs of the belly.
    """

    sex: Sex
    height_cm: float
    weight_kg: float
    half_width_mm: float
    half_depth_mm: float
    cage_half_width_mm: float
    cage_half_depth_mm: float
    cage_centre_y_mm: float
    belly: float
    visceral_fat: float

    @property
    def bmi(self) -> float:
        return self.weight_kg / (self.height_cm / 100) ** 2

    @property
    def body_surface_m2(self) -> float:
        """Body surface after Mosteller: sqrt(height weight / 3600)."""
        return float(np.sqrt(self.height_cm * self.weight_kg / 3600))

    @property
    def trunk_mm(self) -> tuple[float, float]:
        """Lower and upper end of the trunk, from the heart."""
        return _TRUNK_LEVEL[0] * self.height_cm * 10, _TRUNK_LEVEL[1] * self.height_cm * 10

    @property
    def stature(self) -> float:
        """Height relative to 172 cm: what lengths along the body scale with."""
        return self.height_cm / 172.0

    def skin(self, z_mm: ArrayLike) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Half width, half depth and centre (y) of the outline at heights ``z_mm``."""
        muscle_x, muscle_y, muscle_centre = self.muscle(z_mm)
        level = np.asarray(z_mm, float) / (self.height_cm * 10)
        width = self.half_width_mm * np.interp(level, _LEVEL, _WIDTH[self.sex])
        depth = self.half_depth_mm * np.interp(level, _LEVEL, _DEPTH[self.sex])
        # A heavy belly protrudes forwards.
        bulge = self.belly * np.interp(level, [-0.20, -0.13, -0.08, 0.0], [0.3, 1.0, 0.8, 0.0])
        width = np.maximum(width, muscle_x + _SKIN_FAT_MM)
        front = np.maximum(depth * (1 + bulge), muscle_y - muscle_centre + _SKIN_FAT_MM)
        back = np.maximum(depth, muscle_y + muscle_centre + _SKIN_FAT_MM)
        return width, (front + back) / 2, (back - front) / 2

    def cavity(self, z_mm: ArrayLike) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Half width, half depth and centre (y) of chest and belly cavity at heights ``z_mm``."""
        level = np.asarray(z_mm, float) / (self.height_cm * 10)
        width = self.cage_half_width_mm * np.interp(level, _CAVITY_LEVEL, _CAVITY_WIDTH)
        depth = self.cage_half_depth_mm * np.interp(level, _CAVITY_LEVEL, _CAVITY_DEPTH)
        bulge = self.belly * 0.8 * np.interp(level, [-0.20, -0.13, -0.08, -0.02], [0.3, 1.0, 0.6, 0.0])
        front = depth * (1 + bulge)
        # Towards its apex the chest leans back.
        lean = 0.30 * self.cage_half_depth_mm * np.clip(level / 0.10, 0, 1) ** 2
        centre = self.cage_centre_y_mm + (depth - front) / 2 + lean
        width = np.where(level > _CAVITY_LEVEL[-1], 1e-3, width)
        return width, (front + depth) / 2, centre

    def muscle(self, z_mm: ArrayLike) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Half width, half depth and centre (y) of the outer face of the muscles at heights ``z_mm``."""
        level = np.asarray(z_mm, float) / (self.height_cm * 10)
        width, depth, centre = self.cavity(np.minimum(z_mm, 0.05 * self.height_cm * 10))
        beside, before, behind = _MUSCLE_MM[self.sex]
        # The girdle of the shoulders covers the narrowing chest; above it is the neck.
        girdle = np.interp(level, [0.05, 0.08, 0.10, 0.12, 0.135], [1.0, 1.10, 1.08, 0.75, 0.42])
        tall = np.interp(level, [0.05, 0.08, 0.10, 0.12, 0.135], [1.0, 0.92, 0.80, 0.66, 0.52])
        width = (width + _RIB_MM + beside) * girdle
        front, back = depth + _RIB_MM + before, depth + _RIB_MM + behind
        return width, (front + back) / 2 * tall, centre + (back - front) / 2

    def mass_kg(self, *, lung_mL: float, breasts_mL: float, lung_density: float) -> float:
        """Mass of the trunk from its outline, with lungs and breasts of the given volumes."""
        low, high = self.trunk_mm
        z = np.linspace(low, high, 200)
        width, depth, _ = self.skin(z)
        litres = float(np.trapezoid(SUPERELLIPSE_AREA * width * depth, z)) / 1e6
        lean = 1.04 - 0.0025 * min(max(self.bmi - 20, 0.0), 25.0)
        return litres * lean - lung_mL / 1000 * (1.04 - lung_density) + breasts_mL / 1000 * 0.98


def trunk_mass_kg(height_cm: float, weight_kg: float) -> float:
    """Expected mass of the trunk (no head, neck, arms, legs); this project's choice, about half of the body."""
    bmi = weight_kg / (height_cm / 100) ** 2
    return weight_kg * (_TRUNK_SHARE + _TRUNK_SHARE_PER_BMI * (bmi - 25))


def draw_build(
    *, sex: Sex, height_cm: float, weight_kg: float, lung_mL: float, breasts_mL: float, rng: np.random.Generator
) -> Build:
    """A body whose trunk weighs what its height and weight ask for.

    Raises
    ------
    InvalidValue
        If the sex is not F or M, the height not 140 to 210 cm or the body mass index not 15 to 50.
    """
    if sex not in ("F", "M"):
        raise InvalidValue(f"a body is drawn for sex F or M, got {sex!r}")
    if not 140 <= height_cm <= 210:
        raise InvalidValue(f"bodies are drawn for heights of 140 to 210 cm, got {height_cm:g}")
    bmi = weight_kg / (height_cm / 100) ** 2
    if not 15 <= bmi <= 50:
        raise InvalidValue(f"bodies are drawn for a body mass index of 15 to 50, got {bmi:.1f} ({weight_kg:g} kg)")
    stature = height_cm * 10
    depth_per_width = float(np.clip(rng.normal(0.635 + 0.004 * (bmi - 25), 0.02), 0.56, 0.76))
    widest = (0.0760 if sex == "M" else 0.0745) * stature * float(rng.normal(1.0, 0.025)) * (1 + 0.004 * (bmi - 25))
    deepest = (0.0510 if sex == "M" else 0.0495) * stature * float(rng.normal(1.0, 0.035)) * (1 + 0.005 * (bmi - 25))
    belly = float(np.clip(0.013 * (bmi - 22) + rng.normal(0, 0.03), 0, 0.30)) * (1.0 if sex == "M" else 0.75)
    visceral = float(np.clip(0.20 + 0.022 * (bmi - 22) + rng.normal(0, 0.05), 0.08, 0.65))
    target = trunk_mass_kg(height_cm, weight_kg)

    def of_half_width(half_width: float) -> Build:
        half_depth = half_width * depth_per_width
        beside, before, behind = _MUSCLE_MM[sex]
        # In thin bodies the skin limits the chest, not the skeleton.
        cage_x = min(widest, half_width - _RIB_MM - beside - _SKIN_FAT_MM)
        room = 2 * half_depth - 2 * _RIB_MM - before - behind - 2 * _SKIN_FAT_MM
        cage_y = min(deepest, room / 2)
        # Two fifths of what fat there is lies in front.
        spare = room - 2 * cage_y
        centre = -half_depth + _SKIN_FAT_MM + 0.4 * spare + before + _RIB_MM + cage_y
        return Build(
            sex, height_cm, weight_kg, half_width, half_depth, cage_x, cage_y, centre, belly, visceral
        )  # fmt: skip

    low, high = 80.0, 360.0
    for _ in range(30):
        middle = 0.5 * (low + high)
        heavy = of_half_width(middle).mass_kg(lung_mL=lung_mL, breasts_mL=breasts_mL, lung_density=0.28) > target
        low, high = (low, middle) if heavy else (middle, high)
    return of_half_width(high)
