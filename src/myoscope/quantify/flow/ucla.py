"""N-13 ammonia by two compartments whose rates all follow from flow.

Kuhle WG, Porenta G, Huang SC, et al. Circulation 1992;86:1004 (UCLA), with the retention of Schelbert HR, Phelps ME,
Huang SC, et al. Circulation 1981;63:1259.

    K1 = F,  k2 = F / 0.8,  k3 = 1.25 F (1.65 exp(1.25 / F) - 1),  k4 = 0

so that k3 / (k2 + k3) is the retained fraction 1 - 0.607 exp(-1.25 / F) (0.607 = 1 / 1.65). One parameter, flow, beside
spill-over. The constants are quoted, not read in the papers: unverified.

Whole blood is the input by default. Ten minutes after the injection most of what blood holds are metabolites, which no
muscle takes up, so flow comes out low; ``metabolites_per_min`` leaves them out (`plasma_input.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from myoscope.core.geometry import FloatArray
from myoscope.physics.compartments import two_tissue_and_slopes
from myoscope.physics.tracers import (
    AMMONIA_SURFACE_ML_MIN_G,
    AMMONIA_TRAPPING,
    AMMONIA_VOLUME_ML_G,
    ammonia_rates,
)
from myoscope.quantify.flow.compartment_model import (
    MUSCLE_G_ML,
    CompartmentModel,
    PartialVolume,
    Rate,
    checked_sharing,
    guess_by_curve,
    inverse_density,
)
from myoscope.quantify.flow.estimate import Parameter
from myoscope.quantify.flow.plasma_input import without_metabolites
from myoscope.quantify.flow.wall_data import WallCurves

_LEAST_FLOW, _MOST_FLOW = 0.05, 8.0
_GRID_FLOW = np.geomspace(0.1, 7.0, 30)


@dataclass(frozen=True, slots=True)
class Ucla(CompartmentModel):
    """The UCLA model; see the head of this file."""

    partial_volume: PartialVolume = "geometric"
    density_g_mL: float = MUSCLE_G_ML

    def __post_init__(self) -> None:
        checked_sharing(self.partial_volume)
        inverse_density(self.density_g_mL)

    @property
    def name(self) -> str:
        return "UCLA two-tissue (N-13 ammonia)"

    @property
    def kinetic(self) -> tuple[Parameter, ...]:
        return (Parameter("flow", "mL/min/g", _LEAST_FLOW, _MOST_FLOW),)

    @property
    def sharing(self) -> PartialVolume:
        return self.partial_volume

    def prepared(self, curves: WallCurves) -> WallCurves:
        return curves

    def tissue(self, kinetic: FloatArray, curves: WallCurves) -> tuple[FloatArray, FloatArray]:
        flow = kinetic[:, 0]
        k2, k3 = ammonia_rates(flow)
        ratio = AMMONIA_SURFACE_ML_MIN_G / flow
        k3_slope = AMMONIA_SURFACE_ML_MIN_G * (AMMONIA_TRAPPING * np.exp(ratio) * (1 - ratio) - 1)
        mean, by_rate = two_tissue_and_slopes(curves.left.curve, curves.frames, k2, k3, 0.0)
        by_flow = by_rate[..., 0] / AMMONIA_VOLUME_ML_G + by_rate[..., 1] * k3_slope[:, None]
        k1 = self.density_g_mL * flow
        slope = self.density_g_mL * mean + k1[:, None] * by_flow
        return k1[:, None] * mean, slope[..., None]

    def first_guess(self, curves: WallCurves) -> FloatArray:
        rows = _GRID_FLOW[:, None]
        return guess_by_curve(curves, self.partial_volume, rows, self.tissue(rows, curves)[0])

    def flow(self, kinetic: FloatArray) -> tuple[FloatArray, FloatArray]:
        return kinetic[:, 0], np.ones_like(kinetic)

    def rates(self, kinetic: FloatArray) -> Mapping[str, Rate]:
        flow = np.maximum(kinetic[:, 0], _LEAST_FLOW)
        k2, k3 = ammonia_rates(flow)
        return {"k1": (self.density_g_mL * flow, "mL/min/mL"), "k2": (k2, "1/min"), "k3": (k3, "1/min")}


def ucla(
    *,
    partial_volume: PartialVolume = "geometric",
    density_g_mL: float = MUSCLE_G_ML,
    metabolites_per_min: float = 0.0,
) -> CompartmentModel:
    """The model of the head of this file."""
    return without_metabolites(Ucla(partial_volume, density_g_mL), metabolites_per_min)
