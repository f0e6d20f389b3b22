"""Tc-99m agents in dynamic SPECT by one tissue compartment with Renkin and Crone's extraction.

Shrestha U, Sciammarella M, Alhassen F, et al. J Nucl Cardiol 2017;24:268 (tetrofosmin: a = 0.874, b = 0.443 mL/min/g;
quoted, unverified). For sestamibi no constants were found; those of `physics.tracers` are assumed.

    dC/dt = K1 C_a - k2 C,    K1 = F (1 - a exp(-b / F))

What muscle has taken up it keeps for hours: within the few minutes of a dynamic scan its washout cannot be told from
none, and letting it free only adds noise to flow. ``washout`` "none" leaves it out; "fitted" lets each curve have its
own, as some authors do.

Extraction falls steeply: at 3 mL/min/g tetrofosmin keeps a quarter, and an error of 1 % in K1 is one of 2 % in flow.
"""

from __future__ import annotations

from typing import Literal

from myoscope.physics.tracers import extraction
from myoscope.quantify.flow.compartment_model import MUSCLE_G_ML, PartialVolume
from myoscope.quantify.flow.one_tissue import OneTissue

_NEVER_LEAVES_ML_ML = 1e6  # washout of K1 over this is none


def tc99m_one_tissue(
    tracer: str,
    *,
    partial_volume: PartialVolume = "geometric",
    density_g_mL: float = MUSCLE_G_ML,
    washout: Literal["fitted", "none"] = "fitted",
) -> OneTissue:
    """The model of the head of this file for ``sestamibi`` or ``tetrofosmin``.

    Raises
    ------
    InvalidValue
        For a tracer without an extraction curve.
    """
    label = f"One-tissue with Renkin-Crone (Tc-99m {tracer})"
    volume = _NEVER_LEAVES_ML_ML if washout == "none" else None
    return OneTissue(label, extraction(tracer), partial_volume, density_g_mL, volume, most_flow=10.0)
