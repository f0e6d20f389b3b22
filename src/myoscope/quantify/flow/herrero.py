"""Rb-82 by two compartments: one that exchanges fast with blood, and muscle cells.

Herrero P, Markham J, Shelton ME, Bergmann SR. Circ Res 1992;70:496.

    dq1/dt = F C_a - (F / V1 + k1) q1 + k2 q2,    dq2/dt = k1 q1 - k2 q2

q1 is what the fast space (capillaries and interstitium, V1 mL per mL) holds, q2 the cells; flow is fitted with k1 and
k2 and needs no extraction curve. V1 = 0.15 is assumed, and so is the geometric partial volume in the place of the
paper's recovery coefficient: both unverified. A low flow with a fast k1 resembles a high one with a slow k1.
"""

from __future__ import annotations

from myoscope.quantify.flow.compartment_model import MUSCLE_G_ML, PartialVolume
from myoscope.quantify.flow.two_tissue_model import TwoTissue

FAST_SPACE_ML_ML = 0.15


def herrero(*, partial_volume: PartialVolume = "geometric", density_g_mL: float = MUSCLE_G_ML) -> TwoTissue:
    """The model of the head of this file; its parameters ``k3`` and ``k4`` are the paper's k1 and k2."""
    return TwoTissue("Herrero two-tissue (Rb-82)", FAST_SPACE_ML_ML, True, partial_volume, density_g_mL)
