"""N-13 ammonia by one tissue compartment over the first four minutes.

DeGrado TR, Hanson MW, Turkington TG, Delong DM, Brezinski DA, Vallee JP, et al. J Nucl Cardiol 1996;3:494; as described
in the manual of PKIN (PMOD).

    dC/dt = F C_p - k2 C,    C_p(t) = C_LV(t) (1 - 0.077 t),    t in minutes, at most 4

K1 is flow: nothing is lost to extraction. The factor takes metabolites out of the plasma input; spill-over is that of
whole blood, of both ventricles, geometric.
"""

from __future__ import annotations

from myoscope.physics.tracers import EXTRACTION
from myoscope.quantify.flow.compartment_model import MUSCLE_G_ML, PartialVolume
from myoscope.quantify.flow.one_tissue import OneTissue
from myoscope.quantify.flow.plasma_input import PlasmaInput

FIRST_MIN = 4.0


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
