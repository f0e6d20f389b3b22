"""A pinhole camera's image can be made within a field of view only; forward and adjoint agree on it."""

from __future__ import annotations

import numpy as np
import torch

from myoscope.core import Grid
from myoscope.physics.camera_geometry import generic_19_pinhole
from myoscope.physics.pinhole import pinhole_projector

GRID = Grid.axis_aligned((28, 28, 20), spacing_mm=10.0)
REACH_MM, CLEAR_MM = 110.0, 70.0


def test_voxels_outside_the_field_are_neither_seen_nor_filled() -> None:
    geometry = generic_19_pinhole()
    whole = pinhole_projector(GRID, geometry=geometry)
    part = pinhole_projector(GRID, geometry=geometry, reach_mm=REACH_MM, clear_mm=CLEAR_MM)
    points = GRID.points_mm()
    depth_mm = geometry.distance_mm - points @ geometry.towards_detector.T
    inside = (np.linalg.norm(points, axis=-1) <= REACH_MM) & (depth_mm >= CLEAR_MM).all(-1)
    ones = torch.ones(19, *geometry.detector_shape)
    filled = part.adjoint(ones)
    assert not filled[torch.as_tensor(~inside)].any()
    torch.testing.assert_close(filled, whole.adjoint(ones) * torch.as_tensor(inside, dtype=torch.float32))
    image = torch.rand(GRID.shape, generator=torch.Generator().manual_seed(2))
    masked = image * torch.as_tensor(inside, dtype=torch.float32)
    torch.testing.assert_close(part.forward(image), whole.forward(masked), rtol=1e-5, atol=1e-6)


def test_subsets_keep_the_field() -> None:
    part = pinhole_projector(GRID, geometry=generic_19_pinhole(), reach_mm=REACH_MM, clear_mm=CLEAR_MM)
    image = torch.ones(GRID.shape)
    torch.testing.assert_close(part.subset([3, 11]).forward(image), part.forward(image)[[3, 11]])
