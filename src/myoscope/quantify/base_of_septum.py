"""Whether the drawn septum runs on past the end of its counts.

The upper septum of people ends in a membrane under the root of the aorta, which holds no muscle, while the fitted wall
ends in a plane. Where the septum's base is faint for longer than the membrane and the camera's blur explain, the plane
lies too far out there, or muscle is missing; the image cannot tell which.
"""

from __future__ import annotations

import numpy as np

from myoscope.core import Flag, PolarMap, Surfaces

_SEPTAL_DEG, _HALF_WIDTH_DEG = 180.0, 30.0
_FAINT_PERCENT, _MAXIMUM_PERCENTILE = 50.0, 99.5
_FAINT_FROM_MM = 13.0
"""In 55 real scans a reader by eye would have redrawn the base of the septum in 15; it was fainter than half of the
maximum over 13 mm or more in all of those, and in 2 of 30 where nothing was objected to there."""


def faint_base_of_septum_mm(polar_map: PolarMap, surfaces: Surfaces) -> float:
    """How far from the base on the drawn septum holds less than half of the maximum, median over 60 degrees, mm."""
    percent = polar_map.percent_of_maximum(percentile=_MAXIMUM_PERCENTILE)
    middle = 0.5 * (surfaces.endo_mm + surfaces.epi_mm)
    length_mm = np.linalg.norm(np.diff(middle, axis=0), axis=-1)  # (ring, angle), apex to base
    septal = np.abs(percent.angle_deg - _SEPTAL_DEG) < _HALF_WIDTH_DEG
    faint = np.logical_and.accumulate(percent.value[::-1, septal] < _FAINT_PERCENT, axis=0)[::-1]
    return float(np.median((faint * length_mm[:, septal]).sum(axis=0)))


def base_of_septum_flag(polar_map: PolarMap, surfaces: Surfaces) -> Flag | None:
    """A doubt where the base of the septum is faint for longer than usual."""
    faint_mm = faint_base_of_septum_mm(polar_map, surfaces)
    if not faint_mm >= _FAINT_FROM_MM:
        return None
    message = (
        f"The base of the septum holds less than half of the highest counts over {faint_mm:.0f} mm: the wall is "
        "probably drawn on past its muscle there (the upper septum is a membrane), or muscle is missing. Look at the "
        "long axes before a defect of the basal septum is believed."
    )
    return Flag("septum_base_faint", message, "warning", {"faint_mm": round(faint_mm)})
