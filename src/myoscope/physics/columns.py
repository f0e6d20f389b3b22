"""Projector of columns that swivel: parallel views that look past the axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from myoscope.core import Grid, Volume
from myoscope.physics.camera_geometry import ColumnGeometry
from myoscope.physics.parallel import ParallelProjector, ParallelViews, project_views


def column_projector(
    grid: Grid,
    *,
    geometry: ColumnGeometry,
    attenuation: Volume | Sequence[Volume] | None = None,
    energy_keV: float = 140.5,
    photons_per_decay: float = 0.885,
    response: Literal["modelled", "left out"] = "modelled",
) -> ParallelProjector:
    """A projector of a camera of swivelling columns for images on ``grid``; arguments as in `parallel_projector`.

    Views in the order of the geometry: columns first, each at all its positions. ``response`` "left out" keeps the
    sensitivity of the holes but not their blur.
    """
    collimator = geometry.collimator.at(energy_keV)
    views = ParallelViews(
        tuple(geometry.angle_deg.tolist()),
        tuple(geometry.radius_mm.tolist()),
        tuple(geometry.u_centre_mm.tolist()),
        geometry.pixel_mm,
        geometry.detector_shape,
    )
    return project_views(
        grid,
        views,
        collimator=collimator if response == "modelled" else None,
        attenuation=attenuation,
        photons_per_decay=photons_per_decay,
        sensitivity=collimator.sensitivity,
        discretisation="conserving",
    )
