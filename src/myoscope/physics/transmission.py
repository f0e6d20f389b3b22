"""How many of the photons born in each cell of a view's planes leave the body towards the detector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from myoscope.core import Grid, Volume
from myoscope.core.geometry import FloatArray
from myoscope.physics.planes import Lattice, Sight, in_view, lattices, sampling, seen_slices
from myoscope.physics.sparse import SparseRows, sparse_rows

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_MM_PER_CM = 10.0


class Transmission:
    """Share of the photons from every cell of a view's planes that leaves the body, made when first asked for."""

    def __init__(self, grid: Grid, sight: Sight, maps: Sequence[Volume]) -> None:
        self.n_patients = max(1, len(maps))
        self._of: dict[int, Tensor] = {}
        self._make = (grid, sight, tuple(maps))
        self._columns: list[Tensor] = []  # (voxel in the transverse plane, slice) of each map
        self._device: str | torch.device = "cpu"

    def of(self, view: int) -> Tensor | None:
        """Shape (patient, cell, slice), or None without attenuation."""
        grid, sight, maps = self._make
        if not maps:
            return None
        if view not in self._of:
            import torch

            each = [
                _transmission(grid, sight, volume.grid, mu, view) for volume, mu in zip(maps, self._mu(), strict=True)
            ]
            self._of[view] = (torch.stack(each) if len(each) > 1 else each[0][None]).to(self._device)
        return self._of[view]

    def _mu(self) -> list[Tensor]:
        import torch

        if not self._columns:
            arrays = (np.array(volume.array, dtype=np.float32) for volume in self._make[2])
            self._columns = [torch.from_numpy(array.reshape(-1, array.shape[2])) for array in arrays]
        return self._columns

    def to(self, device: str | torch.device) -> Transmission:
        moved = Transmission(*self._make)
        moved._device = device
        moved._of = {view: values.to(device) for view, values in self._of.items()}
        return moved


def _transmission(grid: Grid, sight: Sight, map_grid: Grid, mu: Tensor, view: int) -> Tensor:
    """exp(-integral of mu) from the middle of each cell to the detector, shape (cell, slice)."""
    import torch

    path = _path(grid, map_grid, sight, view)
    sampled = (path.sample @ mu).view(path.lattice.n_depths, path.lattice.n_cells, -1)
    # A photon crosses what lies nearer to the detector, and half of the cell it was born in.
    beyond = torch.cumsum(sampled, dim=0).neg_().add_(sampled.sum(dim=0)).add_(sampled, alpha=0.5)
    if path.to_slices is not None:
        beyond = beyond @ path.to_slices.T
    if path.to_cells is not None:
        beyond = path.to_cells @ beyond
    if path.to_depths is not None:
        beyond = (path.to_depths @ beyond.reshape(len(beyond), -1)).view(-1, *beyond.shape[1:])
    through: Tensor = (beyond * (-map_grid.spacing_mm[0] / _MM_PER_CM)).exp_().reshape(-1, beyond.shape[-1])
    return through


@dataclass(frozen=True, eq=False, slots=True)
class _Path:
    """How one view samples a mu map, and how it comes from the map's lattice to the image's (None: the same)."""

    sample: SparseRows  # (cell of the map's planes, voxel of the map)
    lattice: Lattice
    to_slices: Tensor | None
    to_cells: Tensor | None
    to_depths: Tensor | None


@lru_cache(maxsize=16)
def _known_paths(grid: Grid, map_grid: Grid, sight: Sight) -> dict[int, _Path]:  # noqa: ARG001
    return {}


def _path(grid: Grid, map_grid: Grid, sight: Sight, view: int) -> _Path:
    """Made once for all patients imaged on the same grids."""
    known = _known_paths(grid, map_grid, sight)
    if view not in known:
        known[view] = _made_path(grid, map_grid, sight, view)
    return known[view]


def _made_path(grid: Grid, map_grid: Grid, sight: Sight, view: int) -> _Path:
    ours, slices = lattices(grid, sight)[view], seen_slices(grid, sight)
    size, map_size = grid.spacing_mm[0], map_grid.spacing_mm[0]
    left = -sight.detector_shape[1] * sight.pixel_mm / 2
    _, t_mm = in_view(map_grid, sight, view)
    ours_u = (np.arange(ours.n_cells) + ours.first_cell + 0.5) * size + left
    ours_t = (np.arange(ours.n_depths) + ours.first_depth + 0.5) * size
    first_cell = int(np.floor((ours_u[0] - left) / map_size - 0.5 + 1e-9))
    last_cell = int(np.ceil((ours_u[-1] - left) / map_size - 0.5 - 1e-9))
    first_depth = int(np.floor(ours_t[0] / map_size - 0.5 + 1e-9))
    last_depth = int(np.ceil(max(ours_t[-1], float(t_mm.max())) / map_size - 0.5 - 1e-9))
    lattice = Lattice(first_cell, last_cell - first_cell + 1, first_depth, last_depth - first_depth + 1)
    map_u = (np.arange(lattice.n_cells) + first_cell + 0.5) * map_size + left
    map_t = (np.arange(lattice.n_depths) + first_depth + 0.5) * map_size
    z = grid.affine[2, 3] + grid.spacing_mm[2] * np.arange(grid.shape[2])[slices]
    map_z = map_grid.affine[2, 3] + map_grid.spacing_mm[2] * np.arange(map_grid.shape[2])
    row, column, weight = sampling(map_grid, sight, view, lattice)
    return _Path(
        sparse_rows(row, column, weight, lattice.n_cells * lattice.n_depths),
        lattice,
        _interpolation(map_z, z),
        _interpolation(map_u, ours_u),
        _interpolation(map_t, ours_t),
    )


def _interpolation(known: FloatArray, wanted: FloatArray) -> Tensor | None:
    """Linear interpolation (constant beyond the ends) as a matrix (wanted, known); None if both are the same."""
    import torch

    if len(known) == len(wanted) and np.allclose(known, wanted, atol=1e-4):
        return None
    place = np.interp(wanted, known, np.arange(len(known)))
    weights = np.maximum(1 - np.abs(place[:, None] - np.arange(len(known))), 0)
    return torch.from_numpy(weights.astype(np.float32))
