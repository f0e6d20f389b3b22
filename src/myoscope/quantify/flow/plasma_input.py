"""Metabolites taken out of the input of any model: blood counts them, muscle does not take them up.

    C_p(t) = C_LV(t) (1 - m t),    m = 0.077 per minute for N-13 ammonia

DeGrado TR, Hanson MW, Turkington TG, et al. J Nucl Cardiol 1996;3:494, given for the first four minutes; beyond them
the line is carried on until nothing is left. Spill-over stays that of whole blood.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from myoscope.core.geometry import FloatArray
from myoscope.quantify.flow.compartment_model import CompartmentModel, PartialVolume, Rate
from myoscope.quantify.flow.estimate import Parameter
from myoscope.quantify.flow.wall_data import Blood, WallCurves

METABOLITES_PER_MIN = 0.077


@dataclass(frozen=True, slots=True)
class PlasmaInput(CompartmentModel):
    """A model whose input loses a share of the blood's activity with time, as metabolites form."""

    model: CompartmentModel
    metabolites_per_min: float = METABOLITES_PER_MIN

    @property
    def name(self) -> str:
        return f"{self.model.name}, without metabolites"

    @property
    def kinetic(self) -> tuple[Parameter, ...]:
        return self.model.kinetic

    @property
    def sharing(self) -> PartialVolume:
        return self.model.sharing

    def prepared(self, curves: WallCurves) -> WallCurves:
        early = self.model.prepared(curves)
        curve = early.left.curve
        unchanged = (1 - self.metabolites_per_min * curve.time_min).clip(min=0.0)
        return replace(early, left=Blood(early.left.means, curve.times(unchanged)))

    def tissue(self, kinetic: FloatArray, curves: WallCurves) -> tuple[FloatArray, FloatArray]:
        return self.model.tissue(kinetic, curves)

    def first_guess(self, curves: WallCurves) -> FloatArray:
        return self.model.first_guess(curves)

    def flow(self, kinetic: FloatArray) -> tuple[FloatArray, FloatArray]:
        return self.model.flow(kinetic)

    def rates(self, kinetic: FloatArray) -> Mapping[str, Rate]:
        return self.model.rates(kinetic)


def without_metabolites(model: CompartmentModel, metabolites_per_min: float) -> CompartmentModel:
    """The model with metabolites left out of its input; the model itself where none form (0 per minute)."""
    return PlasmaInput(model, metabolites_per_min) if metabolites_per_min else model
