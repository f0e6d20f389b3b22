"""PET perfusion tracers as virtual patients get them: dose, frames, and what muscle and organs do with them.

What muscle holds follows from flow by the tracer's published kinetics; scatter between people in the volume of
distribution, doses and the organs' constants are ordinary ones, assumed. Ammonia turns into metabolites in blood, which
a camera counts and muscle does not take up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.physics.compartments import one_tissue, two_tissue
from myoscope.physics.decay import decay_constant_per_s
from myoscope.physics.frames import SECONDS_PER_MIN, Frames
from myoscope.physics.time_curve import TimeCurve
from myoscope.physics.tracers import WATER_PARTITION_ML_G, ammonia_rates, extraction

PetTracerName = Literal["rubidium", "ammonia", "water", "flurpiridaz"]
MUSCLE_G_PER_ML = 1.05
_LEAST_FLOW = 0.05  # no muscle that is imaged has less
_METABOLITES_PER_MIN, _MOST_METABOLITES = 0.077, 0.8


@dataclass(frozen=True, slots=True)
class Organ:
    """One tissue compartment of an organ: K1 in mL/min/mL, distribution volume in mL/mL, share of blood."""

    k1: float
    volume: float
    blood: float


@dataclass(frozen=True, eq=False, slots=True)
class PetTracer:
    """A tracer with its protocol.

    ``dose_MBq`` by state; ``infusion_s`` how long it runs in, ``frame_s`` how the scan is cut. ``muscle_volume`` is the
    volume of distribution of muscle (mean over people, mL/mL) where the kinetics leave it open.
    """

    name: PetTracerName
    nuclide: str
    dose_MBq: Mapping[str, float]
    infusion_s: float
    frame_s: tuple[float, ...]
    uptake_share: float
    return_per_min: float
    muscle_volume: float
    organs: Mapping[str, Organ]

    @property
    def frames(self) -> Frames:
        return Frames.lasting(self.frame_s)

    @property
    def decay_per_min(self) -> float:
        return decay_constant_per_s(self.nuclide) * SECONDS_PER_MIN

    def input(self, left: TimeCurve) -> TimeCurve:
        """What of the arterial blood muscle can take up: without metabolites."""
        if self.name != "ammonia":
            return left
        return left.times(1 - np.minimum(_METABOLITES_PER_MIN * left.time_min, _MOST_METABOLITES))

    def muscle_means(
        self, left: TimeCurve, frames: Frames, flow_mL_min_g: FloatArray, *, volume: float, decay_per_min: float = 0.0
    ) -> FloatArray:
        """Means over the frames of what a mL of muscle without its vessels holds, (flow, frame), for flows (flow,).

        With ``decay_per_min`` the curve decays from 0 min on: ``left`` must be given decaying as well.
        """
        flow = np.maximum(np.asarray(flow_mL_min_g, float), _LEAST_FLOW)
        supply, loss = self.input(left), decay_per_min
        per_mL = MUSCLE_G_PER_ML * flow
        if self.name == "ammonia":
            k2, k3 = ammonia_rates(flow)
            if loss:
                # Both compartments lose alike, so all exponents grow by the decay: two one-way exits of k2 and k3.
                fast = one_tissue(supply, frames, k2 + k3 + loss)
                slow = one_tissue(supply, frames, np.full_like(flow, loss))
                kept = (k3 / (k2 + k3))[:, None]
                return np.asarray(per_mL[:, None] * (kept * slow + (1 - kept) * fast))
            return np.asarray(per_mL[:, None] * two_tissue(supply, frames, k2, k3, 0.0))
        if self.name == "water":
            return np.asarray(per_mL[:, None] * one_tissue(supply, frames, flow / WATER_PARTITION_ML_G + loss))
        k1 = MUSCLE_G_PER_ML * extraction(self.name).uptake_rate_mL_min_g(flow)
        return np.asarray(k1[:, None] * one_tissue(supply, frames, k1 / volume + loss))


def _organs(**given: tuple[float, float, float]) -> Mapping[str, Organ]:
    return MappingProxyType({name: Organ(*values) for name, values in given.items()})


PET_TRACERS: Mapping[str, PetTracer] = MappingProxyType(
    {
        t.name: t
        for t in (
            PetTracer(
                "rubidium",
                "Rb-82",
                MappingProxyType({"rest": 1110.0, "stress": 1110.0}),
                20.0,
                (*[10.0] * 12, *[20.0] * 3, *[30.0] * 2, *[60.0] * 2),
                0.62,
                0.10,
                4.2,
                _organs(
                    lung=(0.05, 1.0, 0.20),
                    liver=(0.35, 3.0, 0.20),
                    soft_tissue=(0.03, 4.0, 0.03),
                    fat=(0.015, 2.0, 0.02),
                    stomach=(0.30, 3.0, 0.08),
                    spleen=(0.80, 4.0, 0.25),
                    kidney=(1.60, 5.0, 0.20),
                    bone=(0.06, 3.0, 0.05),
                ),
            ),
            PetTracer(
                "ammonia",
                "N-13",
                MappingProxyType({"rest": 550.0, "stress": 550.0}),
                10.0,
                (*[10.0] * 12, *[30.0] * 4, *[60.0] * 2, *[120.0] * 2),
                0.70,
                0.04,
                1.0,
                _organs(
                    lung=(0.08, 0.9, 0.20),
                    liver=(0.90, 4.0, 0.20),
                    soft_tissue=(0.04, 4.0, 0.03),
                    fat=(0.02, 2.0, 0.02),
                    stomach=(0.30, 3.0, 0.08),
                    spleen=(0.60, 2.5, 0.25),
                    kidney=(1.40, 3.0, 0.20),
                    bone=(0.08, 3.0, 0.05),
                ),
            ),
            PetTracer(
                "water",
                "O-15",
                MappingProxyType({"rest": 400.0, "stress": 400.0}),
                15.0,
                (*[5.0] * 14, *[10.0] * 3, *[20.0] * 3, *[30.0] * 4),
                0.90,
                0.25,
                0.91,
                _organs(
                    lung=(0.30, 0.30, 0.20),
                    liver=(1.00, 0.80, 0.20),
                    soft_tissue=(0.05, 0.80, 0.03),
                    fat=(0.03, 0.30, 0.02),
                    stomach=(0.40, 0.80, 0.08),
                    spleen=(1.30, 0.80, 0.25),
                    kidney=(2.50, 0.80, 0.20),
                    bone=(0.15, 0.60, 0.05),
                ),
            ),
            PetTracer(
                "flurpiridaz",
                "F-18",
                MappingProxyType({"rest": 110.0, "stress": 240.0}),
                8.0,
                (*[10.0] * 12, *[30.0] * 4, *[60.0] * 3, *[120.0] * 4),
                0.70,
                0.02,
                60.0,
                _organs(
                    lung=(0.08, 1.2, 0.20),
                    liver=(0.70, 20.0, 0.20),
                    soft_tissue=(0.03, 6.0, 0.03),
                    fat=(0.015, 3.0, 0.02),
                    stomach=(0.25, 6.0, 0.08),
                    spleen=(0.50, 6.0, 0.25),
                    kidney=(1.50, 20.0, 0.20),
                    bone=(0.08, 6.0, 0.05),
                ),
            ),
        )
    }
)
"""Tracers by name."""


def pet_tracer(name: str) -> PetTracer:
    """A tracer by its name.

    Raises
    ------
    InvalidValue
        If there is no such tracer.
    """
    if name not in PET_TRACERS:
        raise InvalidValue(f"a PET tracer is {', '.join(PET_TRACERS)}, not {name!r}")
    return PET_TRACERS[name]
