"""Rb-82 simplified retention as in Lautamaki's canine validation.

Lautamaki R, George RT, Kitagawa K, et al. Eur J Nucl Med Mol Imaging 2009;36:576.

Activity of the wall at two to four minutes over the integral of blood until then, turned into flow by a measured
extraction. The paper's constants were not seen; those of Yoshida stand in for them, and no partial volume is corrected
(the whole sample counts as muscle): all unverified.
"""

from __future__ import annotations

from myoscope.quantify.flow.compartment_model import MUSCLE_G_ML
from myoscope.quantify.flow.el_fakhri import YOSHIDA
from myoscope.quantify.flow.retention import Retention


def lautamaki(
    *, late_from_min: float = 2.0, late_until_min: float = 4.0, density_g_mL: float = MUSCLE_G_ML
) -> Retention:
    """The retention model of the head of this file."""
    return Retention("Lautamaki retention (Rb-82)", YOSHIDA, late_from_min, late_until_min, 0.0, 1.0, density_g_mL)
