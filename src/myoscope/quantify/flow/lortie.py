"""Rb-82 by one tissue compartment with the extraction of Lortie.

Lortie M, Beanlands RSB, Yoshinaga K, Klein R, DaSilva JN, deKemp RA. Eur J Nucl Med Mol Imaging 2007;34:1765.

    dC/dt = K1 C_a - k2 C,    K1 = F (1 - a exp(-b / F)),    a = 0.77, b = 0.63 mL/min/g

C_a is the blood of the left ventricle; spill-over of both ventricles, geometric. Constants as given by the manual of
PKIN (PMOD) and an open implementation in R; bounds of the latter: F and k2 0 to 8, V_LV 0 to 1.

One distribution volume for the whole heart, `with_global_distribution_volume`, gave the most repeatable flows of
twelve volunteers (Comput Math Methods Med 2017;6810626: repeatability coefficient 15.8 % of flow, 20.2 % of reserve).
"""

from __future__ import annotations

from myoscope.physics.tracers import EXTRACTION, Extraction
from myoscope.quantify.flow.compartment_model import MUSCLE_G_ML, PartialVolume
from myoscope.quantify.flow.one_tissue import OneTissue


def lortie(
    *,
    partial_volume: PartialVolume = "geometric",
    density_g_mL: float = MUSCLE_G_ML,
    extraction: Extraction = EXTRACTION["rubidium"],
) -> OneTissue:
    """The model of Lortie 2007; see the head of this file."""
    return OneTissue("Lortie one-tissue (Rb-82)", extraction, partial_volume, density_g_mL)
