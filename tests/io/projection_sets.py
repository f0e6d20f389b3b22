"""Projection sets for the tests of the writers."""

from typing import Any

import numpy as np

from myoscope.core import EnergyWindow, Gating, Projections

WINDOWS = (EnergyWindow("photopeak", 126.45, 154.55), EnergyWindow("scatter", 92.0, 125.0))


def projections(
    *,
    n_windows: int = 1,
    gating: Gating | None = None,
    start_deg: float = 225.0,
    step_deg: float = -6.0,
    n_views: int = 12,
    **changes: Any,
) -> Projections:
    """Poisson counts of 10 rows and 8 columns, all different; views from right anterior to left posterior."""
    gates = gating.n_gates if gating else 1
    rng = np.random.default_rng(17)
    values: dict[str, Any] = {
        "counts": rng.poisson(30, (n_windows, gates, n_views, 10, 8)).astype(np.uint16),
        "angle_deg": start_deg + step_deg * np.arange(n_views),
        "radius_mm": np.full(n_views, 210.0),
        "pixel_mm": (6.8, 6.4),
        "windows": WINDOWS[:n_windows],
        "view_duration_s": np.full(n_views, 25.717),
        "patient_position": "HFS",
        "collimator": "LEHR",
        "gating": gating,
    }
    return Projections(**{**values, **changes})


def apart_deg(one: np.ndarray, two: np.ndarray) -> float:
    """The largest difference between two lists of angles, whole turns left out."""
    return float(np.abs((one - two + 180) % 360 - 180).max())
