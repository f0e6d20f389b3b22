"""The smallest projector there is: any matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from myoscope.core import Grid
from myoscope.physics.operator import Projector


class DenseProjector(Projector):
    """A projector by its matrix, shape (view, v * u, voxel)."""

    def __init__(self, matrix: Tensor, grid: Grid, detector_shape: tuple[int, int]) -> None:
        self.matrix = matrix
        self.grid = grid
        self.n_views = len(matrix)
        self.detector_shape = detector_shape

    @classmethod
    def random(cls, *, n_views: int = 12, seed: int = 1) -> DenseProjector:
        grid = Grid.axis_aligned((5, 4, 3), spacing_mm=6)
        matrix = np.random.default_rng(seed).exponential(size=(n_views, 7 * 6, 60)) ** 3
        return cls(torch.tensor(matrix, dtype=torch.float32), grid, (7, 6))

    def subset(self, views: Sequence[int]) -> DenseProjector:
        return DenseProjector(self.matrix[list(views)], self.grid, self.detector_shape)

    def to(self, device: Any) -> DenseProjector:
        return DenseProjector(self.matrix.to(device), self.grid, self.detector_shape)

    def _project(self, image: Tensor) -> Tensor:
        seen = torch.einsum("vpn,...n->...vp", self.matrix, image.flatten(-3))
        return seen.reshape(*image.shape[:-3], self.n_views, *self.detector_shape)

    def _back_project(self, data: Tensor) -> Tensor:
        image = torch.einsum("vpn,...vp->...n", self.matrix, data.flatten(-2))
        return image.reshape(*data.shape[:-3], *self.grid.shape)
