"""A schematic chest for the tests of the whole way from projections: a heart between lungs, and its attenuation."""

from __future__ import annotations

import numpy as np
import torch

from myoscope.core import CardiacFrame, EnergyWindow, Gating, Grid, Projections, Volume
from myoscope.physics.collimator import COLLIMATORS
from myoscope.physics.parallel import parallel_projector
from myoscope.simulate import Cycle, lv_phantom

FRAME = CardiacFrame(np.array((35.0, -25.0, 0.0)), np.array((0.55, -0.78, -0.3)))
GRID = Grid.axis_aligned((56, 56, 32), spacing_mm=6.4)
ANGLES = 225 - 180 * (np.arange(32) + 0.5) / 32
WINDOWS = (EnergyWindow("photopeak", 126, 154), EnergyWindow("lower", 120, 126))


def chest(*, gated: bool = False) -> tuple[Volume, Volume]:
    """Activity in kBq/mL (gates if asked for) and attenuation in 1/cm on one grid."""
    x, y, z = np.moveaxis(GRID.points_mm(), -1, 0)
    body = (x / 165) ** 2 + ((y - 10) / 110) ** 2 < 1
    lungs = body & (((np.abs(x) - 75) / 55) ** 2 + ((y - 10) / 80) ** 2 < 1) & (z > -45 - 0.2 * y)
    along = np.clip(FRAME.to_heart(GRID.points_mm())[..., 2], -60, 14)
    heart = np.linalg.norm(GRID.points_mm() - (FRAME.centre_mm + along[..., None] * FRAME.long_axis), axis=-1) < 36
    mu = np.where(lungs & ~heart, 0.04, np.where(body | heart, 0.15, 0.0))
    ventricle = lv_phantom(
        GRID, frame=FRAME, fwhm_mm=4, background_ratio=0, lung_ratio=0, cycle=Cycle(60, n_gates=4) if gated else None
    ).volume
    wall = np.asarray(ventricle.array, np.float32) * np.float32(60 / 1000)
    activity = wall + np.where(body, np.where(lungs & ~heart, 2.0, 4.0), 0).astype(np.float32)
    if not gated:
        return Volume(activity, GRID, "kBq/mL"), Volume(mu, GRID, "1/cm")
    return Volume(activity, GRID, "kBq/mL", frame_axis="gate"), Volume(mu, GRID, "1/cm")


def projections_of(activity: Volume, mu: Volume, *, scatter: bool = True, seed: int = 1) -> Projections:
    """Counted projections; a fifth of the photopeak is scatter, told of by a narrow window below it."""
    projector = parallel_projector(
        GRID,
        angle_deg=ANGLES,
        radius_mm=220.0,
        pixel_mm=6.4,
        detector_shape=(32, 56),
        collimator=COLLIMATORS["SY-LEHR"],
        attenuation=mu,
    )
    gated = activity.frame_axis == "gate"
    image = torch.tensor(np.asarray(activity.array), dtype=torch.float32)
    primary = np.maximum(projector.forward(image if gated else image[None]).numpy(), 0) * 40
    windows: tuple[EnergyWindow, ...] = WINDOWS[:1]
    counts = [primary]
    if scatter:
        scattered = np.broadcast_to(0.25 * primary.mean(axis=(-1, -2), keepdims=True), primary.shape)
        windows, counts = WINDOWS, [primary + scattered, scattered * 2 * 6 / 28]
    rng = np.random.default_rng(seed)
    n_gates = len(primary)
    return Projections(
        rng.poisson(np.stack(counts)).astype(np.uint16),
        ANGLES,
        np.full(len(ANGLES), 220.0),
        (6.4, 6.4),
        windows,
        np.full(len(ANGLES), 40.0),
        "HFS",
        "SY-LEHR",
        Gating(n_gates, rr_ms=800.0) if gated else None,
    )


def ct_of(mu: Volume, *, shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Volume:
    """A CT that gives this attenuation back, lying beside its place."""
    affine = np.array(mu.grid.affine)
    affine[:3, 3] += shift_mm
    return Volume(1000 * (np.asarray(mu.array) / 0.1536 - 1), Grid(mu.grid.shape, affine), "HU")
