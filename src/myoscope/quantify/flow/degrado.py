"""N-13 ammonia by one tissue compartment over the first four minutes.

DeGrado TR, Hanson MW, Turkington TG, Delong DM, Brezinski DA, Vallee JP, et al. J Nucl Cardiol 1996;3:494; as described
in the manual of PKIN (PMOD).

    dC/dt = F C_p - k2 C,    C_p(t) = C_LV(t) (1 - 0.077 t),    t in minutes, at most 4

K1 is flow: nothing is lost to extraction. The factor takes metabolites out of the plasma input; spill-over is that of
whole blood, of both ventricles, geometric.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from myoscope.core.geometry import FloatArray
from myoscope.physics.tracers import EXTRACTION
from myoscope.quantify.flow.compartment_model import MUSCLE_G_ML, CompartmentModel, PartialVolume
from myoscope.quantify.flow.estimate import Parameter
from myoscope.quantify.flow.one_tissue import OneTissue
from myoscope.quantify.flow.wall_data import Blood, WallCurves

METABOLITES_PER_MIN = 0.077
FIRST_MIN = 4.0


@dataclass(frozen=True, slots=True)
class PlasmaInput(CompartmentModel):
    """A one-tissue model whose input loses a share of the blood's activity with time, as metabolites form."""

    model: OneTissue
    metabolites_per_min: float = METABOLITES_PER_MIN

    @property
    def name(self) -> str:
        return self.model.name

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


def degrado(*, partial_volume: PartialVolume = "geometric", density_g_mL: float = MUSCLE_G_ML) -> PlasmaInput:
    """The model of DeGrado 1996; see the head of this file."""
    ammonia = OneTissue(
        "DeGrado one-tissue (N-13 ammonia)",
        EXTRACTION["ammonia"],
        partial_volume,
        density_g_mL,
        within_min=FIRST_MIN,
    )
    return PlasmaInput(ammonia)
