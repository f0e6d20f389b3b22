"""Rb-82 by one exchanging compartment beside blood, with the extraction of Yoshida.

El Fakhri G, Kardan A, Sitek A, et al. J Nucl Med 2009;50:1062 ("two-compartment": blood and trapped space).

    C(t) = f C_a(t) + r C_RV(t) + K1 exp(-k2 t) (x) C_a(t),    K1 = F (1 - exp(-(0.45 + 0.16 F) / F))

No share of muscle multiplies the tissue term: rates are those per mL of what was sampled, and K1 comes out lower than
by a geometric model. The paper goes on linearly above K1 = 0.92 mL/min/g because its fixed-point inversion fails
there; its line was not seen, so the tangent at that place is taken (unverified). The constants 0.45 and 0.16 are those
quoted for Yoshida et al., J Nucl Med 1996;37:1701 (unverified).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from myoscope.core.geometry import FloatArray
from myoscope.physics.tracers import Extraction
from myoscope.quantify.flow.compartment_model import MUSCLE_G_ML
from myoscope.quantify.flow.one_tissue import OneTissue

YOSHIDA = Extraction(
    "rubidium", math.exp(-0.16), 0.45, "Yoshida 1996 as quoted: 1 - exp(-(0.45 + 0.16 F) / F); unverified"
)
"""The same as Renkin and Crone's form with a = exp(-0.16)."""
LINEAR_ABOVE = 0.92
"""K1 in mL/min/g from which flow goes on as a straight line."""


@dataclass(frozen=True, slots=True)
class LinearAbove:
    """An extraction curve that goes on along its tangent above a certain K1."""

    curve: Extraction
    above_mL_min_g: float

    @property
    def _turn(self) -> tuple[float, float]:
        """Flow at which the line begins, and its slope."""
        flow = float(self.curve.flow_mL_min_g(self.above_mL_min_g))
        return flow, float(self.curve.uptake_rate_slope(flow))

    def uptake_rate_mL_min_g(self, flow_mL_min_g: ArrayLike) -> FloatArray:
        flow, (turn, slope) = np.asarray(flow_mL_min_g, float), self._turn
        line = self.above_mL_min_g + slope * (flow - turn)
        rate: FloatArray = np.where(flow > turn, line, self.curve.uptake_rate_mL_min_g(flow))
        return rate

    def uptake_rate_slope(self, flow_mL_min_g: ArrayLike) -> FloatArray:
        flow, (turn, slope) = np.asarray(flow_mL_min_g, float), self._turn
        result: FloatArray = np.where(flow > turn, slope, self.curve.uptake_rate_slope(flow))
        return result

    def flow_mL_min_g(self, uptake_rate_mL_min_g: ArrayLike) -> FloatArray:
        rate, (turn, slope) = np.asarray(uptake_rate_mL_min_g, float), self._turn
        beyond = rate > self.above_mL_min_g
        inside = self.curve.flow_mL_min_g(np.where(beyond, self.above_mL_min_g, rate))
        flow: FloatArray = np.where(beyond, turn + (rate - self.above_mL_min_g) / slope, inside)
        return flow


def el_fakhri(*, density_g_mL: float = MUSCLE_G_ML) -> OneTissue:
    """The model of El Fakhri 2009; see the head of this file."""
    curve = LinearAbove(YOSHIDA, LINEAR_ABOVE)
    return OneTissue("El Fakhri one-tissue (Rb-82)", curve, "none", density_g_mL, most_flow=10.0)
