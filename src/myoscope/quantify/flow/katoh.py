"""Rb-82 by one tissue compartment with a corrected spill-over from blood.

Katoh C, Yoshinaga K, Klein R, et al. J Nucl Cardiol 2012;19:763.

    C(t) = K1 exp(-k2 t) (x) C_a(t) + V_a C_a(t) + V_RV C_RV(t),    K1 = F (1 - a exp(-b / F))

Spill-over of both ventricles is fitted region by region and nothing multiplies the tissue term. The paper converts K1
with an extraction measured against O-15 water in its own volunteers; those constants were not seen, and Lortie's (0.77,
0.63) stand in for them: unverified.
"""

from __future__ import annotations

from myoscope.physics.tracers import EXTRACTION, Extraction
from myoscope.quantify.flow.compartment_model import MUSCLE_G_ML
from myoscope.quantify.flow.one_tissue import OneTissue


def katoh(*, density_g_mL: float = MUSCLE_G_ML, extraction: Extraction = EXTRACTION["rubidium"]) -> OneTissue:
    """The model of the head of this file."""
    return OneTissue("Katoh one-tissue (Rb-82)", extraction, "none", density_g_mL)
