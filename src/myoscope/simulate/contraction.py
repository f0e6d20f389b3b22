"""How each part of the wall thickens and when, given its scar, its flow and its conduction.

Healthy walls thicken by 35 to 60 %, most at the apex and least in the septum and at the base. Scar does not thicken,
muscle that was ischaemic during stress is stunned for a while after it, and muscle short of flow at rest hibernates.
Sizes of these effects are this project's assumptions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.simulate.coronaries import CoronaryDisease
from myoscope.simulate.perfusion import Perfusion, State
from myoscope.simulate.wall_field import cell_depth, smooth_field, toward

_DELAY_SD_DEG = 5.0


@dataclass(frozen=True, eq=False, slots=True)
class Contraction:
    """Mechanics of one state.

    ``thickening`` (ring, angle) is the gain of wall thickness at end systole as a share of the end-diastolic one
    (negative where scar bulges); ``delay_deg`` (ring, angle) how much later than the average of a healthy wall a
    place contracts, degrees of the cardiac cycle; ``dilation`` multiplies the diameters of the cavity in this state
    (1 at rest; above 1 after stress that left much of the wall ischaemic).
    """

    thickening: FloatArray
    delay_deg: FloatArray
    dilation: float


def healthy_thickening() -> FloatArray:
    """Mean thickening of healthy people, (ring, angle): 0.60 at the apex, about 0.35 in the basal septum.

    An incompressible wall of usual mass then ejects about 60 % of the cavity.
    """
    depth = cell_depth()
    around = 0.06 * toward(0, 60) - 0.09 * toward(180, 45)
    thickening: FloatArray = 0.60 - 0.16 * depth + around * np.clip(depth / 0.25, 0, 1)
    return thickening


def contract(disease: CoronaryDisease, perfusion: Perfusion, *, state: State, rng: np.random.Generator) -> Contraction:
    """Thickening, timing and transient dilation of this heart in this state.

    A patient's own level and pattern take the same share of ``rng`` in every state: give generators of equal seed to
    stress and rest, and they differ by what stress did alone.
    """
    if state not in ("stress", "rest"):
        raise InvalidValue(f"state is stress or rest, not {state!r}")
    vigour, basal_delay, septal_delay, late_scar, width, large = rng.standard_normal(6)
    pattern, timing, stiffness = smooth_field(18.0, rng, 3)

    scar = perfusion.scar_fraction
    # Thickening falls faster than the living share: half a wall of scar tethers the other half.
    living = np.clip(1 - 1.45 * scar, -0.08, 1)
    asleep = np.clip((perfusion.hibernation - 0.08) / 0.5, 0, 1)
    thickening = healthy_thickening() * np.clip(1 + 0.10 * vigour, 0.7, 1.3) * (1 + 0.07 * pattern)
    thickening = thickening * disease.contractility * living * (1 - 0.75 * asleep)
    # Hypertrophy stiffens unevenly; dilated hearts lose pattern and some of their synchrony.
    unevenly = 0.15 if disease.cardiomyopathy else 0.0
    thickening = thickening * np.clip(1 + unevenly * stiffness, 0.3, 1.7)
    delay = _DELAY_SD_DEG * timing * (2.2 if disease.cardiomyopathy == "dilated" else 1.0)
    delay = delay + (5 + 3 * basal_delay) * (cell_depth() - 0.5) + (18 + 8 * late_scar) * np.clip(1.3 * scar, 0, 1)
    delay = delay + 14 * asleep
    dilation = 1.0

    if disease.lbbb:
        # The septum is excited first and bulges back while the lateral wall, excited last, contracts.
        septum = toward(175, 45) * np.clip(cell_depth() / 0.15, 0, 1)
        thickening = thickening * (1 - 0.55 * septum)
        delay = delay + np.clip(42 + 10 * septal_delay, 15, 75) * (toward(-15, 65) - septum) * (
            0.4 + 0.6 * cell_depth()
        )
    if state == "stress":
        # Exercise leaves muscle stunned; a vasodilator only where it has drawn flow away from the inner wall.
        lasting = 1.0 if perfusion.stress_type == "exercise" else 0.55
        stunned = lasting * np.clip((perfusion.ischaemia - 0.40) / 0.40, 0, 1) * (1 - scar)
        thickening = thickening * (1 - 0.40 * stunned)
        delay = delay + 9 * stunned
        burden = max(perfusion.ischaemic_burden - 0.08, 0.0)
        dilation = float(np.clip(1 + 0.03 * width + 0.55 * burden * np.exp(0.3 * large), 0.93, 1.4))
    return Contraction(np.clip(thickening, -0.06, 1.1), delay, dilation)
