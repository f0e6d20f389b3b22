"""N-13 ammonia by two compartments with trapping, all rates fitted.

Hutchins GD, Schwaiger M, Rosenspire KC, Krivokapich J, Schelbert H, Kuhl DE. J Am Coll Cardiol 1990;15:1032.

    dC1/dt = F C_a - (k2 + k3) C1,    dC2/dt = k3 C1

K1 is flow: ammonia enters freely and is trapped as glutamine. Metabolites in blood are left out of the input when
``metabolites_per_min`` is given (0.077 per minute, valid for four minutes: DeGrado 1996); by default the whole blood is
the input. Longer scans suit this model better than the one-tissue ones, and leave k2 and k3 better known.
"""

from __future__ import annotations

from myoscope.quantify.flow.compartment_model import MUSCLE_G_ML, CompartmentModel, PartialVolume
from myoscope.quantify.flow.plasma_input import without_metabolites
from myoscope.quantify.flow.two_tissue_model import TwoTissue


def hutchins(
    *,
    partial_volume: PartialVolume = "geometric",
    density_g_mL: float = MUSCLE_G_ML,
    metabolites_per_min: float = 0.0,
) -> CompartmentModel:
    """The model of the head of this file."""
    model = TwoTissue("Hutchins two-tissue (N-13 ammonia)", None, False, partial_volume, density_g_mL)
    return without_metabolites(model, metabolites_per_min)
