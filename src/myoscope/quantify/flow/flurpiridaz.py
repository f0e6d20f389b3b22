"""F-18 flurpiridaz by one tissue compartment over the first minutes.

Packard RRS, Huang SC, Dahlbom M, Czernin J, Maddahi J. J Nucl Med 2014;55:1438 (one-tissue model of early data, K1
about equal to flow; unverified).

    dC/dt = K1 C_a - k2 C,    K1 = 0.94 F

First-pass extraction of about 0.94 that hardly falls with flow is common knowledge of the tracer; that it is constant
is assumed. The tracer stays in muscle for hours: only early frames tell flow, and a second injection on the same day
needs what is left of the first subtracted (`correct.residual`). There are no clinical normal limits to quote.
"""

from __future__ import annotations

from myoscope.physics.tracers import EXTRACTION
from myoscope.quantify.flow.compartment_model import MUSCLE_G_ML, PartialVolume
from myoscope.quantify.flow.one_tissue import OneTissue

FIRST_MIN = 5.0


def flurpiridaz(*, partial_volume: PartialVolume = "geometric", density_g_mL: float = MUSCLE_G_ML) -> OneTissue:
    """The model of the head of this file."""
    return OneTissue(
        "Flurpiridaz one-tissue (F-18)",
        EXTRACTION["flurpiridaz"],
        partial_volume,
        density_g_mL,
        within_min=FIRST_MIN,
    )
