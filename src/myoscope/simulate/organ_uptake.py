"""Tracer in the heart and in the organs around it, kBq/mL, at the time of imaging.

The heart's share of the injected dose is 1.2 % of tetrofosmin and of sestamibi at rest, 1.5 % of sestamibi after
exercise (package inserts and common knowledge); the half-lives of heart and liver are those of Muench et al. 1997
(tetrofosmin 278 and 67 min, sestamibi 680 and 136 min). Ratios of the other organs to the heart are defaults within
ranges of the simulation literature; measured planar ratios (heart to lung 2.5 to 3.0, heart to liver 0.8 to 1.5) judge
the projections they lead to. The liver's lie low in those ranges, where the planar ratios and the liver in real resting
images (`docs/validation/realism.md`) put them. Thallium's are assumptions throughout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from myoscope.core import InvalidValue
from myoscope.physics.decay import share_left
from myoscope.simulate.perfusion import Perfusion, State, StressType


@dataclass(frozen=True, slots=True)
class _Biology:
    """One tracer: nuclide, % of the dose in healthy heart by kind of stress, half-lives in min, ratios to the heart."""

    nuclide: str
    heart_percent: Mapping[str, float]  # rest, exercise, pharmacological
    heart_half_life_min: float
    liver_half_life_min: float
    liver_at_rest: float
    bile: float  # what gallbladder and bowel show, sestamibi = 1
    lung: float


_BIOLOGY: Mapping[str, _Biology] = MappingProxyType(
    {
        "tetrofosmin": _Biology(
            "Tc-99m", {"rest": 1.2, "exercise": 1.3, "pharmacological": 1.3}, 278, 67, 0.31, 0.9, 0.060
        ),
        "sestamibi": _Biology(
            "Tc-99m", {"rest": 1.2, "exercise": 1.5, "pharmacological": 1.4}, 680, 136, 0.38, 1.0, 0.060
        ),
        "thallium": _Biology(
            "Tl-201", {"rest": 3.2, "exercise": 3.8, "pharmacological": 3.6}, 360, 420, 0.47, 0.0, 0.10
        ),
    }
)

_LIVER_BY_STRESS: Mapping[str, float] = MappingProxyType({"rest": 1.0, "pharmacological": 0.95, "exercise": 0.70})
"""Liver against rest: exercise takes blood from the belly, a vasodilator gives it."""

_LIVER_LOG_SD, _REFERENCE_MIN = 0.35, 45.0
_WALL_ML: Mapping[str, float] = MappingProxyType({"F": 67.0, "M": 98.0})
"""Wall of the left ventricle from masses of 70 and 103 g at 1.05 g/mL; give the patient's own where it is known."""

_BOWEL_NEAR_HEART_SHARE = 0.25

TRACERS: tuple[str, ...] = tuple(_BIOLOGY)


def lung_factor(perfusion: Perfusion, *, state: State) -> float:
    """How much more tracer the lungs hold when stress made much of the heart fail: 1 at rest, up to 1.8."""
    if state == "rest":
        return 1.0
    share = 1.0 if perfusion.stress_type == "exercise" else 0.6
    return float(min(1 + share * 1.6 * max(perfusion.ischaemic_burden - 0.10, 0.0), 1.8))


def organ_concentrations(
    *,
    tracer: str,
    state: State,
    stress_type: StressType,
    minutes_after_injection: float,
    injected_MBq: float,
    weight_kg: float,
    sex: str,
    rng: np.random.Generator,
    lv_wall_mL: float | None = None,
    lung_factor: float = 1.0,
) -> dict[str, float]:
    """Concentration of tracer in each organ in kBq/mL, physical decay since injection included.

    ``lv_wall`` is healthy wall of this state: multiply it by `uptake`. Beside the torso's organs there are
    ``rv_wall``, ``atrial_wall``, ``blood`` (cavities) and ``vessel_blood``. Half-lives act from 5 minutes on.
    ``lv_wall_mL`` is the volume that the heart's share is spread over (default by sex); ``lung_factor`` raises the
    lungs.

    Raises
    ------
    InvalidValue
        For an unknown tracer, state, kind of stress or sex, or times, doses and weights that are not positive.
    """
    if tracer not in _BIOLOGY:
        raise InvalidValue(f"no organ uptake for {tracer!r}; there are {', '.join(TRACERS)}")
    if state not in ("stress", "rest") or stress_type not in ("exercise", "pharmacological") or sex not in _WALL_ML:
        raise InvalidValue(f"state, stress and sex cannot be {state!r}, {stress_type!r} and {sex!r}")
    wall_mL = _WALL_ML[sex] if lv_wall_mL is None else lv_wall_mL
    numbers = (injected_MBq, weight_kg, wall_mL, lung_factor)
    if not (minutes_after_injection >= 0 and np.isfinite(numbers).all() and min(numbers) > 0):
        raise InvalidValue("dose, weight, wall volume and lung factor are positive and the delay is at least 0 minutes")
    b = _BIOLOGY[tracer]
    kind = "rest" if state == "rest" else stress_type
    since = max(minutes_after_injection - 5.0, 0.0)
    z = rng.standard_normal(12)
    chance = rng.uniform(size=3)

    # The heart's share of the flow, and with it of the dose, falls a little as the body grows.
    heart_percent = b.heart_percent[kind] * np.exp(0.15 * z[0]) * (75 / weight_kg) ** 0.25
    peak = heart_percent / 100 * injected_MBq * 1000 / wall_mL  # kBq/mL
    heart = peak * 2 ** (-since / b.heart_half_life_min)
    ratio = b.liver_at_rest * _LIVER_BY_STRESS[kind] * np.exp(_LIVER_LOG_SD * z[1])
    liver = peak * ratio * 2 ** (-(minutes_after_injection - _REFERENCE_MIN) / b.liver_half_life_min)
    liver *= 2 ** (-(_REFERENCE_MIN - 5) / b.heart_half_life_min)  # the ratio is meant at the reference time
    liver *= -np.expm1(-max(minutes_after_injection, 0.5) / 3.0)  # it takes some minutes to fill

    reached = minutes_after_injection / (minutes_after_injection + 45.0)  # bile on its way
    gallbladder = peak * b.bile * 2.6 * reached * np.exp(0.7 * z[2]) * (1.0 if chance[0] > 0.15 else 0.15)
    lit = chance[1] < _BOWEL_NEAR_HEART_SHARE
    belly = 0.6 if kind == "exercise" else 1.0
    bowel = peak * belly * reached * (1.3 if lit else 0.45) * np.exp(0.45 * z[3])
    # Bile flows back into the stomach of some, and free pertechnetate goes there.
    stomach = peak * belly * (0.75 * reached if chance[2] < 0.12 else 0.16) * np.exp(0.4 * z[4])
    if tracer == "thallium":
        bowel, stomach, gallbladder = (0.40 * peak * belly * np.exp(0.3 * z[n]) for n in (3, 4, 2))
        gallbladder *= 0.3

    blood_ratio = 0.045 + 0.12 * np.exp(-minutes_after_injection / 8.0)
    soft = 0.057 if kind != "exercise" else 0.068  # working limbs and trunk
    relative = {
        "rv_wall": 0.60 * np.exp(0.10 * z[5]),
        "atrial_wall": 0.35 * np.exp(0.15 * z[5]),
        "blood": blood_ratio * np.exp(0.2 * z[6]),
        "lung": b.lung * lung_factor * np.exp(0.2 * z[7]) * (0.9 + 0.3 * np.exp(-since / 25)),
        "spleen": 0.35 * np.exp(0.25 * z[8]),
        "kidney": 0.85 * np.exp(0.2 * z[9]),
        "soft_tissue": soft * np.exp(0.2 * z[10]),
        "breast": 0.8 * soft * np.exp(0.2 * z[11]),
        "fat": 0.4 * soft,
        "bone": 0.055,
    }
    concentration = {"lv_wall": heart, **{name: heart * share for name, share in relative.items()}}
    concentration |= {"vessel_blood": concentration["blood"], "liver": liver, "gallbladder": gallbladder}
    concentration |= {"bowel": bowel, "stomach": stomach}
    left = float(share_left(b.nuclide, minutes_after_injection * 60))
    return {name: float(value) * left for name, value in concentration.items()}
