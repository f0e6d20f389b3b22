"""Rb-82 retention with the extraction of Yoshida.

Yoshida K, Mullani N, Gould KL. J Nucl Med 1996;37:1701.

    R = F (1 - exp(-(0.45 + 0.16 F) / F))

measured in open-chest dogs; the two constants are quoted, not read (unverified), and so are the times and shares here:
blood is integrated over the first two minutes, the wall read from then to the end, a sixth of the sample counted as
blood and 0.7 as muscle where no recovery is given.
"""

from __future__ import annotations

from myoscope.quantify.flow.compartment_model import MUSCLE_G_ML
from myoscope.quantify.flow.el_fakhri import YOSHIDA
from myoscope.quantify.flow.retention import Retention


def yoshida(
    *,
    late_from_min: float = 2.0,
    late_until_min: float = 6.0,
    blood_share: float = 0.17,
    muscle_share: float = 0.70,
    density_g_mL: float = MUSCLE_G_ML,
) -> Retention:
    """The retention model of the head of this file."""
    return Retention(
        "Yoshida retention (Rb-82)", YOSHIDA, late_from_min, late_until_min, blood_share, muscle_share, density_g_mL
    )
