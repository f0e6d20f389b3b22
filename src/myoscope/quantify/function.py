"""Volumes and ejection fraction from gated surfaces.

EDV is the largest and ESV the smallest endocardial volume over the gates (Germano et al., J Nucl Med
1995;36:2138); nothing is interpolated between gates, so 8 gates give a slightly lower EF than 16.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from myoscope.core import InvalidValue, Surfaces


@dataclass(frozen=True, slots=True)
class VentricularFunction:
    """Global function of the left ventricle over one cardiac cycle."""

    edv_mL: float
    esv_mL: float
    ef_percent: float
    thickening_percent: float
    ed_gate: int
    es_gate: int


def ventricular_function(surfaces: Surfaces) -> VentricularFunction:
    """EDV, ESV, EF and the median geometric wall thickening, 100 (d_ES - d_ED) / d_ED.

    Raises
    ------
    InvalidValue
        If the surfaces are not gated.
    """
    if surfaces.n_gates < 2:
        raise InvalidValue("an ejection fraction needs gated surfaces; this series has one gate")
    cavity_mL = surfaces.cavity_mL
    ed, es = int(np.argmax(cavity_mL)), int(np.argmin(cavity_mL))
    edv, esv = float(cavity_mL[ed]), float(cavity_mL[es])
    thickness = surfaces.thickness_mm
    return VentricularFunction(
        edv_mL=edv,
        esv_mL=esv,
        ef_percent=100 * (edv - esv) / edv,
        thickening_percent=float(np.median(100 * (thickness[es] - thickness[ed]) / thickness[ed])),
        ed_gate=ed,
        es_gate=es,
    )


def long_axis_length_mm(surfaces: Surfaces) -> float:
    """Distance along the long axis from the epicardial apex to the valve plane."""
    apex = surfaces.epi_mm[..., 0, 0, :].reshape(-1, 3)[0]
    return float(abs((surfaces.valve_point_mm - apex) @ surfaces.frame.long_axis))
