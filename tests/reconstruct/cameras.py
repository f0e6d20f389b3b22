"""Simulated acquisitions for the tests: what a plain camera would count of an activity map."""

from __future__ import annotations

import numpy as np
import torch

from myoscope.core import EnergyWindow, Gating, Grid, Projections, Volume
from myoscope.core.geometry import FloatArray
from myoscope.physics.collimator import COLLIMATORS
from myoscope.physics.parallel import parallel_projector

PIXEL_MM = 6.4
PHOTOPEAK = EnergyWindow("photopeak", 126.45, 154.55)
HALF_TURN = 225 - 3.0 * np.arange(60)
GRID = Grid.axis_aligned((48, 48, 24), spacing_mm=PIXEL_MM)


def acquired(
    activity: Volume,
    *,
    attenuation: Volume | None = None,
    angle_deg: np.ndarray = HALF_TURN,
    collimator: str | None = "SY-LEHR",
    view_duration_s: float = 20.0,
    rng: np.random.Generator | None = None,
) -> Projections:
    """Projections of an image in kBq/mL, expected or (with ``rng``) counted; gates if it has them."""
    n_i, _, n_k = activity.grid.shape
    projector = parallel_projector(
        activity.grid,
        angle_deg=angle_deg,
        radius_mm=200.0,
        pixel_mm=PIXEL_MM,
        detector_shape=(n_k, n_i),
        collimator=COLLIMATORS[collimator] if collimator else None,
        attenuation=attenuation,
    )
    image = torch.tensor(np.asarray(activity.array), dtype=torch.float32)
    gates = image if activity.frame_axis == "gate" else image[None]
    counts = np.maximum(projector.forward(gates).numpy(), 0) * view_duration_s
    if rng is not None:
        counts = rng.poisson(counts)
    return Projections(
        counts[None],
        angle_deg,
        np.full(len(angle_deg), 200.0),
        (PIXEL_MM, PIXEL_MM),
        (PHOTOPEAK,),
        np.full(len(angle_deg), view_duration_s),
        "HFS",
        collimator,
        Gating(len(gates), rr_ms=800.0) if activity.frame_axis == "gate" else None,
    )


def ball(centre_mm: tuple[float, float, float], radius_mm: float, *, grid: Grid = GRID, value: float = 1.0) -> Volume:
    """A ball of activity with soft edges, so that the voxels do not matter."""
    away = np.linalg.norm(grid.points_mm() - np.array(centre_mm), axis=-1)
    return Volume(value / (1 + np.exp((away - radius_mm) / 2)), grid, "kBq/mL")


def cylinder(radius_mm: float, *, value: float, unit: str, grid: Grid = GRID) -> Volume:
    """Uniform along z; voxels at the edge hold the share of them that lies inside."""
    fine = Grid.axis_aligned((grid.shape[0] * 4, grid.shape[1] * 4, 1), spacing_mm=grid.spacing_mm[0] / 4)
    inside = np.linalg.norm(fine.points_mm()[..., :2], axis=-1)[..., 0] < radius_mm
    share = inside.reshape(grid.shape[0], 4, grid.shape[1], 4).mean(axis=(1, 3))
    return Volume(np.repeat(value * share[..., None], grid.shape[2], axis=2), grid, unit)


def centroid_mm(volume: Volume, *, above: float = 0.3) -> FloatArray:
    """Centre of gravity of what is brighter than a share of the maximum."""
    values = np.asarray(volume.array, float)
    bright = np.where(values > above * values.max(), values, 0)
    centre: FloatArray = np.einsum("ijk,ijkc->c", bright, volume.grid.points_mm()) / bright.sum()
    return centre
