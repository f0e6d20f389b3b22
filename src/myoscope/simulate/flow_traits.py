"""How sex, risk factors and the heart's work at rest change blood flow in virtual patients, by stated effect sizes.

Directions are common knowledge of the PET literature (women have higher flow; diabetes, hypertension, disorders of
lipids and smoking lower what a vasodilator reaches; flow at rest follows the product of heart rate and pressure). Sizes
are this project's assumptions, one number each, so that a model that is trained on virtual patients can be asked
whether it found them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from myoscope.core.geometry import FloatArray
from myoscope.simulate.coronaries import CoronaryDisease
from myoscope.simulate.perfusion import Perfusion, perfuse
from myoscope.simulate.person import Person


@dataclass(frozen=True, slots=True)
class TraitEffect:
    """Factors on flow at rest and under a vasodilator for people who have a trait; assumed."""

    rest: float
    stress: float
    why: str


TRAIT_EFFECTS: Mapping[str, TraitEffect] = MappingProxyType(
    {
        "female": TraitEffect(1.12, 1.08, "women have higher flow per gram, more so at rest"),
        "diabetes": TraitEffect(1.02, 0.84, "small vessels that widen less"),
        "hypertension": TraitEffect(1.00, 0.92, "thicker muscle, stiffer small vessels; work at rest is counted apart"),
        "dyslipidaemia": TraitEffect(1.00, 0.93, "endothelium that answers less"),
        "smoking": TraitEffect(1.04, 0.90, "endothelium that answers less, and a faster heart at rest"),
    }
)
REFERENCE_RATE_PRESSURE = 9400.0
"""Heart rate times systolic pressure at which flow at rest is as drawn (median of a PET registry)."""
RATE_PRESSURE_POWER = 0.7
"""Flow at rest is proportional to this power of the rate-pressure product."""
PERSONAL_LOG_SD = 0.10
"""Scatter of hyperaemic flow between people of the same traits, standard deviation of its logarithm."""


def has_traits(person: Person) -> dict[str, bool]:
    """Which of the traits a person has."""
    return {
        "female": person.sex == "F",
        "diabetes": person.diabetes,
        "hypertension": person.hypertension,
        "dyslipidaemia": person.dyslipidaemia,
        "smoking": person.smoking,
    }


def trait_factors(person: Person) -> tuple[float, float]:
    """Factors of this person's traits on flow at rest, work included, and under a vasodilator."""
    rest = stress = 1.0
    for name, present in has_traits(person).items():
        if present:
            rest *= TRAIT_EFFECTS[name].rest
            stress *= TRAIT_EFFECTS[name].stress
    work = person.rest_heart_rate_bpm * person.rest_systolic_mmHg / REFERENCE_RATE_PRESSURE
    return rest * float(work**RATE_PRESSURE_POWER), stress


def perfuse_for_pet(person: Person, disease: CoronaryDisease, *, rng: np.random.Generator) -> Perfusion:
    """Flow of this heart at rest and under a vasodilator, as `perfuse` with the person's traits."""
    rest_factor, stress_factor = trait_factors(person)
    personal = float(np.exp(rng.normal(0, PERSONAL_LOG_SD)))
    flow = perfuse(
        disease,
        stress_type="pharmacological",
        rng=rng,
        age_y=person.age_y,
        hyperaemic_factor=stress_factor * personal,
    )
    # What a heart can reach does not rise with its work at rest, so rest is scaled on its own, and never beyond it.
    rest = np.minimum(flow.rest_flow_mL_min_g * rest_factor, flow.stress_flow_mL_min_g)
    healthy = np.minimum(flow.healthy_rest_mL_min_g * rest_factor, flow.healthy_stress_mL_min_g)
    return replace(flow, rest_flow_mL_min_g=rest, healthy_rest_mL_min_g=healthy)


SCAR_FLOW = 0.15
"""Blood flow of scar, mL/min/g; assumed."""


def transmural_flow(perfusion: Perfusion, state: str) -> FloatArray:
    """Flow per gram of the whole wall, living and dead, (ring, angle): what a flow map can show."""
    living = perfusion.stress_flow_mL_min_g if state == "stress" else perfusion.rest_flow_mL_min_g
    whole: FloatArray = living * (1 - perfusion.scar_fraction) + SCAR_FLOW * perfusion.scar_fraction
    return whole
