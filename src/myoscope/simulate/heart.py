"""The heart of one virtual person at end diastole, drawn as hearts are in people.

Volume and mass of the left ventricle are those of cardiac MRI in healthy adults (UK Biobank: 166 (SD 32) mL and
103 (21) g in men, 124 (21) mL and 70 (13) g in women; configurable defaults, to be checked against the paper),
scaled with powers of body surface area and correlated; what age, weight and blood pressure add to a patient's mass is
the caller's ``hypertrophy``. Form varies in elongation, roundness, bend, tilt of the base, apical thinning and an
individual pattern round the axis; blunt apex, short upper septum and the tilt of the base are set so that virtual
short-axis slices have the outline of real ones (`docs/validation/realism.md`). Own geometry throughout; nothing of a
licensed phantom.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from myoscope.core import CardiacFrame, InvalidValue, Surfaces
from myoscope.core.geometry import FloatArray
from myoscope.simulate.chambers import Atrium, RightVentricle, fit_right_ventricle
from myoscope.simulate.inner_muscle import InnerMuscle, draw_inner_muscle, no_inner_muscle
from myoscope.simulate.lv_shape import LVForm, cell_volumes, fit_volumes

if TYPE_CHECKING:
    from myoscope.simulate.beat import BeatingHeart, Contracting

Sex = Literal["F", "M"]
Position = Literal["supine", "prone", "upright"]

MUSCLE_G_PER_ML = 1.05
# UK Biobank, healthy adults, by cardiac MRI: mean and SD as quoted, to be checked in the paper; and the body
# surface area of such people.
_EDV_ML = {"M": (166.0, 32.0), "F": (124.0, 21.0)}
_MASS_G = {"M": (103.0, 21.0), "F": (70.0, 13.0)}
_SURFACE_M2 = {"M": (2.00, 0.17), "F": (1.73, 0.16)}
_VOLUME_MASS_CORRELATION = 0.75
# Powers of body surface: in UK Biobank a standard deviation of body mass index (16 %, 8 % of surface) goes with about
# 5 % of volume and 8 % of mass (Petersen et al., PLoS One 2017;12:e0185114; to be checked in the paper).
_VOLUME_POWER, _MASS_POWER = 0.75, 1.05
_EDV_RANGE_ML = (30.0, 300.0)
# A ventricle dilated for years gains mass, but less than volume (eccentric hypertrophy): assumed.
_MASS_WITH_DILATION = 0.5
# Where a heart goes with the body, where the torso does not say: mm in LPS, assumed.
_SHIFT_MM = {"supine": (0.0, 0.0, 0.0), "prone": (0.0, -6.0, 0.0), "upright": (0.0, 0.0, -12.0)}


@dataclass(frozen=True, eq=False)
class Heart:
    """A heart at end diastole.

    ``form`` is the left ventricle's shape, ``frame`` its place: the centroid of its wall and its long axis.
    ``inner`` is muscle inside the cavity, papillary and trabecular. As in cardiac MRI the surfaces run outside of it:
    it counts to the volume of the cavity and not to the mass of the wall, but takes up tracer, and images show it as
    wall.
    """

    form: LVForm
    frame: CardiacFrame
    right: RightVentricle
    left_atrium: Atrium
    right_atrium: Atrium
    inner: InnerMuscle

    @cached_property
    def wall_nodes(self) -> tuple[FloatArray, FloatArray]:
        """Mid-wall nodes and vectors across the wall in heart coordinates; each (41, 72, 3)."""
        return self.form.wall()

    @cached_property
    def centroid(self) -> FloatArray:
        """Centroid of the wall in the coordinates of ``wall_nodes``."""
        mid, span = self.wall_nodes
        volume = cell_volumes(mid, span)[0]
        following = np.roll(mid, -1, axis=1)
        centre = 0.25 * (mid[:-1] + mid[1:] + following[:-1] + following[1:])
        middle: FloatArray = np.einsum("ra,rai->i", volume, centre) / volume.sum()
        return middle

    @cached_property
    def surfaces(self) -> Surfaces:
        """Endo- and epicardium of the left ventricle, LPS mm."""
        mid, span = self.wall_nodes
        p0, p1, p2 = self.form.valve_plane()
        away = np.array([p1, p2, -1.0])
        return Surfaces(
            self.to_patient(mid - 0.5 * span),
            self.to_patient(mid + 0.5 * span),
            self.frame,
            self.to_patient(np.array([0.0, 0.0, p0])),
            away / np.linalg.norm(away) @ self.frame.rotation,
            ("simulated heart",),
        )

    @property
    def edv_mL(self) -> float:
        return float(self.surfaces.cavity_mL)

    @property
    def mass_g(self) -> float:
        """Mass of the left ventricle's wall, without papillary muscles and trabeculae."""
        mid, span = self.wall_nodes
        return float(cell_volumes(mid, span)[0].sum()) / 1000 * MUSCLE_G_PER_ML

    def to_patient(self, points: FloatArray) -> FloatArray:
        """Heart coordinates of this heart (..., 3) to LPS mm."""
        return self.frame.to_patient(points - self.centroid)

    def at(self, seat: CardiacFrame) -> Heart:
        """The same heart elsewhere."""
        return replace(self, frame=seat)

    def beat(
        self,
        contraction: Contracting,
        n_gates: int,
        *,
        position: Position = "supine",
        seat: CardiacFrame | None = None,
    ) -> BeatingHeart:
        """The heart over one R-R interval cut into ``n_gates`` equal gates (1: the average over all of it).

        ``contraction`` has ``thickening`` (40, 72), the share of wall thickness gained at end systole,
        ``delay_deg`` (40, 72), how much later than normal each piece contracts in degrees of the cycle, and
        ``dilation``, a factor on the cavity at end diastole. ``seat`` is where the heart lies in this position
        (the torso knows); without it, ``position`` moves it by a typical amount from its supine place.

        Raises
        ------
        InvalidValue
            If the contraction is not one, or the heart has no cavity left to contract.
        """
        from myoscope.simulate.beat import beat

        if position not in get_args(Position):
            raise InvalidValue(f"a body lies supine, prone or upright, got {position!r}")
        if seat is None:
            seat = CardiacFrame(self.frame.centre_mm + np.array(_SHIFT_MM[position]), self.frame.long_axis)
        return beat(self.at(seat), contraction, n_gates)


def body_surface_m2(height_cm: float, weight_kg: float) -> float:
    """Body surface area after Mosteller, N Engl J Med 1987;317:1098."""
    return float(np.sqrt(height_cm * weight_kg / 3600))


def draw_heart(
    *,
    sex: Sex,
    height_cm: float,
    weight_kg: float,
    seat: CardiacFrame,
    rng: np.random.Generator,
    dilation: float = 1.0,
    hypertrophy: float = 1.0,
    inner_muscle: bool = True,
) -> Heart:
    """A heart for a person of this sex and size, its wall centred on ``seat``.

    ``inner_muscle`` False leaves papillary muscles and trabeculae out.

    ``dilation`` multiplies the end-diastolic volume (a dilated cardiomyopathy: 1.5 to 2.5) and, with its square
    root, the mass; it makes the ventricle rounder. ``hypertrophy`` multiplies the mass alone. Volumes are held
    within 30 to 300 mL.

    Raises
    ------
    InvalidValue
        If the sex is unknown or a size or factor is outside what hearts are drawn for.
    """
    if sex not in get_args(Sex):
        raise InvalidValue(f"sex is F or M, got {sex!r}")
    if not 100 <= height_cm <= 230 or not 25 <= weight_kg <= 300:
        raise InvalidValue(f"{height_cm:g} cm and {weight_kg:g} kg are no adult's size")
    if not 0.2 <= dilation <= 3 or not 0.5 <= hypertrophy <= 3:
        raise InvalidValue(
            f"dilation is 0.2 to 3 and hypertrophy 0.5 to 3 times normal, got {dilation:g} and {hypertrophy:g}"
        )
    edv_mL, mass_g = _draw_size(sex, body_surface_m2(height_cm, weight_kg), rng)
    edv_mL = float(np.clip(edv_mL * dilation, *_EDV_RANGE_ML))
    mass_g *= hypertrophy * dilation**_MASS_WITH_DILATION
    # A wall of 0.42 to 3.5 g per mL of cavity: beyond lies no heart.
    mass_g = float(np.clip(mass_g, max(25.0, 0.42 * edv_mL), max(3.5 * edv_mL, 90.0)))
    size = (edv_mL / 150) ** (1 / 3)
    rounder = float(np.clip(dilation, 1, 2.5)) ** 0.28
    form = LVForm(
        elongation=float(np.clip(rng.normal(2.10, 0.14) / rounder, 1.35, 2.5)),
        base=float(np.clip(rng.normal(0.34, 0.05), 0.2, 0.46)),
        ovality=float(np.clip(rng.normal(0.01, 0.06), -0.13, 0.13)),
        # Blunt at the end and short at the septum: measured against real images (docs/validation/realism.md).
        point=float(np.clip(rng.normal(-0.29, 0.08) / rounder, -0.50, 0.0)),
        septal_shortening_mm=min(size * float(np.clip(rng.normal(22.5, 4.0), 11, 32)), 30.0),
        valve_tilt_deg=float(np.clip(rng.normal(-7.0, 4.0), -17, 5)),
        apical_thinning=float(np.clip(rng.normal(0.43, 0.08), 0.22, 0.60)),
        # By cardiac MRI the septum is thicker than the lateral wall, the more so where pressure was high.
        septal_excess=float(np.clip(rng.normal(0.18, 0.07), -0.02, 0.38)),
        unevenness=tuple(np.clip(rng.normal(0, 0.035, 4), -0.09, 0.09).tolist()),
        outline=tuple(np.clip(rng.normal(0, (0.06, 0.03, 0.03)), -0.13, 0.13).tolist()),
        bend=tuple(np.clip(rng.normal(0, 0.13, 2), -0.26, 0.26).tolist()),
    )
    form = fit_volumes(form, cavity_mL=edv_mL, wall_mL=mass_g / MUSCLE_G_PER_ML)
    mid, span = form.wall()
    # The right ventricle is as large as the left in health, but a quarter of it, its outflow, lies beyond the
    # crescent; a dilated left one does not take it along fully.
    right_mL = float(np.clip(0.75 * edv_mL / dilation**0.6 * rng.normal(1.0, 0.10), 25, 200))
    right = fit_right_ventricle(
        mid + 0.5 * span,
        cavity_mL=right_mL,
        wall_mm=float(np.clip(rng.normal(3.7, 0.4), 3, 5)),
        systolic_share=float(np.clip(rng.normal(0.36, 0.05), 0.2, 0.48)),
    )
    left_atrium = Atrium(
        radius_mm=float(23 * size * np.clip(rng.normal(1, 0.08), 0.8, 1.3)),
        length_mm=float(38 * size * np.clip(rng.normal(1, 0.08), 0.8, 1.3)),
    )
    right_atrium = Atrium(
        radius_mm=float(22 * size * np.clip(rng.normal(1, 0.08), 0.8, 1.3)),
        length_mm=float(36 * size * np.clip(rng.normal(1, 0.08), 0.8, 1.3)),
    )
    inner = no_inner_muscle()
    if inner_muscle:
        inner = draw_inner_muscle(wall_mL=cell_volumes(mid, span)[0] / 1000, cavity_mL=edv_mL, rng=rng)
    return Heart(form, seat, right, left_atrium, right_atrium, inner)


def _draw_size(sex: Sex, surface_m2: float, rng: np.random.Generator) -> tuple[float, float]:
    """End-diastolic volume (mL) and mass (g): by powers of body surface, log-normal about them, correlated.

    The spread about them is what body surface leaves of the population's.
    """
    mean_surface, sd_surface = _SURFACE_M2[sex]
    relative = surface_m2 / mean_surface
    first, second = rng.standard_normal(2)
    second = _VOLUME_MASS_CORRELATION * first + np.sqrt(1 - _VOLUME_MASS_CORRELATION**2) * second
    drawn = []
    for (mean, sd), power, normal in (
        (_EDV_ML[sex], _VOLUME_POWER, first),
        (_MASS_G[sex], _MASS_POWER, second),
    ):
        left = np.sqrt(max((sd / mean) ** 2 - (power * sd_surface / mean_surface) ** 2, 0.01))
        normal = float(np.clip(normal, -2.5, 2.5))
        drawn.append(mean * relative**power * float(np.exp(left * normal - 0.5 * left**2)))
    return drawn[0], drawn[1]
