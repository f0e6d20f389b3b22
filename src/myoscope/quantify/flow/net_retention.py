"""Net retention of Tc-99m agents in dynamic SPECT.

    R = (C_T(T) - V_b C_a(T)) / (s integral from 0 to T of C_a dt),    R = F (1 - a exp(-b / F))

T runs through the late frames: the blood of technetium agents falls slowly, and what is taken up after the late frames
have begun would count for nothing in the denominator otherwise.

The form is common to PET and SPECT; the WATERDAY study (Agostini D, et al. Eur J Nucl Med Mol Imaging 2018;45:1079)
used it with sestamibi and an extraction after Leppo and Meerdink (Circ Res 1989;65:632). The constants of that
correction were not seen: those of `physics.tracers` are assumed (tetrofosmin a = 0.874, b = 0.443; sestamibi 0.86,
0.50).
"""

from __future__ import annotations

from myoscope.physics.tracers import extraction
from myoscope.quantify.flow.compartment_model import MUSCLE_G_ML
from myoscope.quantify.flow.retention import Retention


def net_retention(
    tracer: str,
    *,
    late_from_min: float = 3.0,
    late_until_min: float = 6.0,
    blood_share: float = 0.15,
    muscle_share: float = 0.85,
    density_g_mL: float = MUSCLE_G_ML,
) -> Retention:
    """Net retention of ``sestamibi`` or ``tetrofosmin``."""
    return Retention(
        f"Net retention (Tc-99m {tracer})",
        extraction(tracer),
        late_from_min,
        late_until_min,
        blood_share,
        muscle_share,
        density_g_mL,
        running=True,
    )
