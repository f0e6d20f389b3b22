"""Rb-82 by one tissue compartment with blood curves from factor analysis.

Sitek A, Gullberg GT, Huesman RH. IEEE Trans Med Imaging 2002;21:216 (factor analysis by penalised least squares), as
one of the models of the RUBY-10 comparison (Nesterov et al., JACC Cardiovasc Imaging 2014;7:1119), which names it a
one-tissue model.

The image is taken for a sum of factors, right blood, left blood and tissue; see `input_function.factor_curves`. Curves
of the wall are then fitted by one compartment,

    C(t) = (1 - V_LV - V_RV) K1 exp(-k2 t) (x) C_a(t) + V_LV C_a(t) + V_RV C_RV(t)

with the factors for C_a and C_RV, and K1 becomes flow by Yoshida's extraction. Which conversion and which partial
volume the compared program used was not seen: both are unverified here.
"""

from __future__ import annotations

from myoscope.quantify.flow.compartment_model import MUSCLE_G_ML
from myoscope.quantify.flow.el_fakhri import YOSHIDA
from myoscope.quantify.flow.one_tissue import OneTissue


def sitek(*, density_g_mL: float = MUSCLE_G_ML) -> OneTissue:
    """The one-tissue model of the head of this file; give it curves whose blood comes from factor analysis."""
    return OneTissue("Sitek one-tissue (Rb-82)", YOSHIDA, "geometric", density_g_mL, most_flow=12.0)
