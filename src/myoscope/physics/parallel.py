"""Projector of a parallel-hole camera: every view of an orbit, or of columns that swivel.

For each view the image is laid on planes parallel to the detector (a sparse product), weighted with the attenuation
on the way out, blurred by the response of each depth (`depth_response`) and summed into the pixels. All tables that
do not depend on the patient are made once for a camera and a grid and shared.

Two discretisations. "conserving": every voxel's counts are spread over the four nearest cells of the planes, and
the Gaussian on the lattice keeps its variance; a source gives the same counts wherever it lies and whatever the
view. "sampled": cells read the image by bilinear interpolation and Gaussians are sampled, as most programs do; a
point source then gives up to 7 % more or fewer counts in oblique views. Use it to compare with such programs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from myoscope.core import Grid, InvalidValue, UnitMismatch, Volume
from myoscope.core.geometry import FloatArray
from myoscope.physics.collimator import Collimator
from myoscope.physics.depth_response import Kernel, depth_response, gaussian_matrix
from myoscope.physics.operator import Projector
from myoscope.physics.planes import Discretisation as Discretisation
from myoscope.physics.planes import Sight, lattices, resampling, seen_slices
from myoscope.physics.sparse import SparseRows
from myoscope.physics.transmission import Transmission

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_REACH = 3.5  # standard deviations beyond which blur from outside the detector is left out
_CACHED, _LEAST_TOGETHER = 600_000, 4  # cells of planes that a processor works on at once, and images worth it


@dataclass(frozen=True, slots=True)
class ParallelViews:
    """Where a parallel-hole detector stands at each view.

    ``angle_deg`` is the detector's direction from the axis of rotation, as DICOM counts it; ``radius_mm`` the
    distance of the collimator's face from the axis along that direction; ``offset_mm`` how far the detector's
    middle is from the projected axis along its columns (0 for an orbit).
    """

    angle_deg: tuple[float, ...]
    radius_mm: tuple[float, ...]
    offset_mm: tuple[float, ...]
    pixel_mm: float
    detector_shape: tuple[int, int]

    def __post_init__(self) -> None:
        lengths = {len(self.angle_deg), len(self.radius_mm), len(self.offset_mm)}
        if len(lengths) != 1 or not self.angle_deg:
            raise InvalidValue("every view needs an angle, a radius and an offset")
        if not np.isfinite([*self.angle_deg, *self.radius_mm, *self.offset_mm]).all():
            raise InvalidValue("the angle or the radius of a view is not a number (is the orbit unknown?)")
        if self.pixel_mm <= 0 or min(self.detector_shape) < 1:
            raise InvalidValue(f"a detector has pixels of positive size, got {self.detector_shape}, {self.pixel_mm} mm")


@dataclass(frozen=True, eq=False, slots=True)
class _View:
    """One view's tables; a plane has ``n_cells`` columns, cell (depth, column) is row depth * n_cells + column."""

    spread: SparseRows  # (cell, voxel)
    gather: SparseRows  # (voxel, cell)
    depth_weight: Tensor  # (Gaussian, depth)
    to_pixels: Tensor  # (Gaussian, u pixel, column)

    def to(self, device: str | torch.device) -> _View:
        return _View(
            self.spread.to(device), self.gather.to(device), self.depth_weight.to(device), self.to_pixels.to(device)
        )


@dataclass(frozen=True, eq=False, slots=True)
class _Tables:
    """What a camera sees of a grid, whatever the patient."""

    views: tuple[_View, ...]
    to_rows: Tensor  # (Gaussian, slice, v pixel), holds the sensitivity
    n_cells: int
    slices: slice  # of the image's k axis that reach the detector


class ParallelProjector(Projector):
    """Expected counts per second in every pixel of a parallel-hole camera from an image in kBq/mL.

    Made by `parallel_projector` or `column_projector`. With several attenuation maps the last leading axis of
    images and data is the patient, one map each.
    """

    def __init__(
        self, grid: Grid, views: ParallelViews, tables: _Tables, chosen: Sequence[int], transmission: Transmission
    ) -> None:
        self.grid = grid
        self.views = views
        self.n_views = len(chosen)
        self.detector_shape = views.detector_shape
        self._tables = tables
        self._views = tuple(chosen)
        self._transmission = transmission

    def subset(self, views: Sequence[int]) -> ParallelProjector:
        chosen = [self._views[v] for v in self._chosen(views)]
        return ParallelProjector(self.grid, self.views, self._tables, chosen, self._transmission)

    def to(self, device: str | torch.device) -> ParallelProjector:
        tables = self._tables
        moved = _Tables(
            tuple(view.to(device) for view in tables.views), tables.to_rows.to(device), tables.n_cells, tables.slices
        )
        return ParallelProjector(self.grid, self.views, moved, self._views, self._transmission.to(device))

    def _project(self, image: Tensor) -> Tensor:
        import torch

        self._check_batch(image)
        stack = image.reshape(-1, *self.grid.shape)
        parts = [self._project_part(part, n) for n, part in enumerate(torch.split(stack, self._at_once(stack)))]
        return torch.cat(parts).view(*image.shape[:-3], self.n_views, *self.detector_shape)

    def _back_project(self, data: Tensor) -> Tensor:
        import torch

        self._check_batch(data)
        stack = data.reshape(-1, self.n_views, *self.detector_shape)
        parts = [self._back_project_part(part, n) for n, part in enumerate(torch.split(stack, self._at_once(stack)))]
        return torch.cat(parts).view(*data.shape[:-3], *self.grid.shape)

    def _project_part(self, stack: Tensor, part: int) -> Tensor:
        import torch

        tables = self._tables
        rank, n_slices, n_v = tables.to_rows.shape
        n_images, n_u, (n_i, n_j, _) = len(stack), self.detector_shape[1], self.grid.shape
        columns = stack[..., tables.slices].permute(1, 2, 0, 3).reshape(n_i * n_j, n_images * n_slices)
        lines = stack.new_empty(self.n_views, n_u, rank, n_images * n_slices)
        for place, number in enumerate(self._views):
            view, through = tables.views[number], self._transmission.of(number)
            planes = view.spread @ columns  # (depth * column, image * slice)
            if through is not None:
                _attenuate(planes, through, part)
            summed = view.depth_weight @ planes.view(view.depth_weight.shape[1], -1)
            # Pixels first, as the product with all Gaussians' rows at once below wants them.
            out = lines[place].transpose(0, 1)
            torch.bmm(view.to_pixels, summed.view(rank, tables.n_cells, -1), out=out)
        rows = lines.view(self.n_views, n_u, rank, n_images, n_slices).transpose(2, 3)
        pixels = rows.reshape(-1, rank * n_slices) @ tables.to_rows.view(rank * n_slices, n_v)
        return pixels.view(self.n_views, n_u, n_images, n_v).permute(2, 0, 3, 1)

    def _back_project_part(self, stack: Tensor, part: int) -> Tensor:
        import torch

        tables = self._tables
        rank, n_slices, n_v = tables.to_rows.shape
        n_images, n_u, (n_i, n_j, n_k) = len(stack), self.detector_shape[1], self.grid.shape
        pixels = stack.permute(1, 3, 0, 2).reshape(-1, n_v)  # (view * u * image, v)
        rows = (pixels @ tables.to_rows.view(rank * n_slices, n_v).T).view(-1, n_images, rank, n_slices)
        lines = rows.transpose(1, 2).reshape(self.n_views, n_u, rank, n_images * n_slices)
        columns = stack.new_zeros(n_i * n_j, n_images * n_slices)
        for place, number in enumerate(self._views):
            view, through = tables.views[number], self._transmission.of(number)
            summed = torch.bmm(view.to_pixels.transpose(1, 2), lines[place].transpose(0, 1))
            planes = (view.depth_weight.T @ summed.view(rank, -1)).view(-1, n_images * n_slices)
            if through is not None:
                _attenuate(planes, through, part)
            columns += view.gather @ planes
        seen = columns.view(n_i, n_j, n_images, n_slices).permute(2, 0, 1, 3)
        before = tables.slices.start
        image: Tensor = torch.nn.functional.pad(seen, (before, n_k - before - n_slices))
        return image

    def _at_once(self, stack: Tensor) -> int:
        # Planes stay in a processor's cache on their way through a view, those of several images where they are small;
        # large ones gain nothing from company. A GPU wants all there are.
        if stack.device.type != "cpu":
            return len(stack)
        n_slices = self._tables.to_rows.shape[1]
        deepest = max(view.depth_weight.shape[1] for view in self._tables.views)
        at_once = _CACHED // (deepest * self._tables.n_cells * n_slices)
        patients = self._transmission.n_patients
        return 1 if at_once < max(_LEAST_TOGETHER, patients) else at_once - at_once % patients

    def _check_batch(self, values: Tensor) -> None:
        patients = self._transmission.n_patients
        if patients > 1 and (values.ndim < 4 or values.shape[-4] != patients):
            raise InvalidValue(
                f"this projector holds the attenuation of {patients} patients; the last leading axis of what it "
                f"projects is the patient, got {tuple(values.shape)}"
            )


def _attenuate(planes: Tensor, through: Tensor, part: int) -> None:
    """Weigh planes (cell, image * slice) by the transmission (patient, cell, slice); patients alternate."""
    n_patients, n_cells, n_slices = through.shape
    if planes.shape[1] == n_slices:
        planes.mul_(through[part % n_patients])
    else:
        planes.view(n_cells, -1, n_patients, n_slices).mul_(through.transpose(0, 1)[:, None])


def parallel_projector(
    grid: Grid,
    *,
    angle_deg: ArrayLike,
    radius_mm: ArrayLike,
    pixel_mm: float,
    detector_shape: tuple[int, int],
    collimator: Collimator | None,
    attenuation: Volume | Sequence[Volume] | None = None,
    energy_keV: float = 140.5,
    photons_per_decay: float = 0.885,
    sensitivity: float | None = None,
    discretisation: Discretisation = "conserving",
) -> ParallelProjector:
    """A projector of an orbiting parallel-hole camera for images on ``grid``.

    Parameters
    ----------
    grid
        Axis-aligned LPS, voxels square in the transverse plane; anywhere round the axis of rotation (x = y = 0).
        Voxels a whole fraction of ``pixel_mm`` fall into pixels as a whole; others are shared between them.
    angle_deg, radius_mm
        Detector position of each view as DICOM counts it, and the distance of the collimator's face from the axis
        (one value, or one for each view).
    pixel_mm, detector_shape
        Size of the square pixels and their number (v, u); the axis projects to the middle of u, z = 0 to the
        middle of v, which runs to the feet.
    collimator
        Resolution and sensitivity; None = neither: every photon that leaves towards the detector is counted once,
        without blur.
    attenuation
        Map in 1/cm on any axis-aligned grid, or one for each patient of a batch; None = no attenuation.
    energy_keV
        Energy of the photons: what the septa and the crystal make of them.
    photons_per_decay
        Abundance of the photons that are counted (Tc-99m: 0.885).
    sensitivity
        Counts per emitted photon, in place of the collimator's own.

    Raises
    ------
    InvalidValue
        If the grid is oblique, a radius is unknown, or nothing of the grid is seen.
    UnitMismatch
        If the attenuation is not in 1/cm.
    """
    angles = np.atleast_1d(np.asarray(angle_deg, dtype=np.float64))
    radii = np.broadcast_to(np.asarray(radius_mm, dtype=np.float64), angles.shape)
    views = ParallelViews(
        tuple(angles.tolist()),
        tuple(radii.tolist()),
        (0.0,) * len(angles),
        float(pixel_mm),
        (int(detector_shape[0]), int(detector_shape[1])),
    )
    return project_views(
        grid,
        views,
        collimator=collimator.at(energy_keV) if collimator else None,
        attenuation=attenuation,
        photons_per_decay=photons_per_decay,
        sensitivity=sensitivity,
        discretisation=discretisation,
    )


def project_views(
    grid: Grid,
    views: ParallelViews,
    *,
    collimator: Collimator | None,
    attenuation: Volume | Sequence[Volume] | None,
    photons_per_decay: float,
    sensitivity: float | None,
    discretisation: Discretisation,
) -> ParallelProjector:
    """The projector of any set of parallel views; arguments as in `parallel_projector`."""
    if discretisation not in ("conserving", "sampled"):
        raise InvalidValue(f'a discretisation is "conserving" or "sampled", got {discretisation!r}')
    _check_grid(grid, "image")
    maps = [attenuation] if isinstance(attenuation, Volume) else list(attenuation or ())
    for volume in maps:
        if volume.unit != "1/cm":
            raise UnitMismatch(f"the mu map is in {volume.unit}; attenuation needs 1/cm (did you pass the CT in HU?)")
        if volume.frame_axis is not None:
            raise InvalidValue("a mu map has no gates or time frames")
        _check_grid(volume.grid, "attenuation")
    per_photon = sensitivity if sensitivity is not None else collimator.sensitivity if collimator else 1.0
    scale = grid.voxel_volume_mL * 1000 * photons_per_decay * per_photon
    sight = Sight(
        views.angle_deg, views.offset_mm, views.pixel_mm, views.detector_shape, _reach(grid, views, collimator)
    )
    tables = _tables(grid, views, sight, collimator, scale, discretisation)
    return ParallelProjector(grid, views, tables, range(len(views.angle_deg)), Transmission(grid, sight, maps))


def _check_grid(grid: Grid, name: str) -> None:
    spacing = grid.spacing_mm
    if not np.allclose(grid.direction, np.eye(3), atol=1e-6) or abs(spacing[0] - spacing[1]) > 1e-6:
        raise InvalidValue(
            f"the {name} grid of a projector is axis-aligned LPS with square transverse voxels, got {grid!r}"
        )


def _tables(
    grid: Grid,
    views: ParallelViews,
    sight: Sight,
    collimator: Collimator | None,
    scale: float,
    discretisation: Discretisation,
) -> _Tables:
    size, size_z = grid.spacing_mm[0], grid.spacing_mm[2]
    n_v, n_u = views.detector_shape
    slices = seen_slices(grid, sight)
    n_slices = len(range(*slices.indices(grid.shape[2])))
    planes = lattices(grid, sight)
    cells = planes[0].n_cells
    distance_mm = [
        radius - (np.arange(x.n_depths) + x.first_depth + 0.5) * size
        for radius, x in zip(views.radius_mm, planes, strict=True)
    ]
    kernel: Kernel = "matched" if discretisation == "conserving" else "sampled"
    if collimator is None:
        widths, weights = np.zeros(1), [np.ones((len(d), 1)) for d in distance_mm]
    else:
        # Views of one radius share their distances: each width is solved for once.
        sigma_mm, place = np.unique(np.round(collimator.sigma_mm(np.concatenate(distance_mm)), 6), return_inverse=True)
        response = depth_response(
            float(sigma_mm[0]), float(sigma_mm[-1]), cell_mm=float(min(size, size_z)), kernel=kernel
        )
        widths = response.sigma_mm
        ends = np.cumsum([len(d) for d in distance_mm])[:-1]
        weights = np.split(response.weights(sigma_mm)[place], ends)
    if discretisation == "conserving":
        # What lies behind the collimator's face is not seen; the other programs see it as if it lay on the face.
        weights = [w * (d >= 0)[:, None] for w, d in zip(weights, distance_mm, strict=True)]

    # Edges of pixels and rows in cells and slices, from the first that the image has.
    bottom = (grid.affine[2, 3] - size_z / 2) / size_z + slices.start
    row_edges = np.linspace(-n_v / 2, n_v / 2, n_v + 1) * views.pixel_mm / size_z - bottom
    to_rows = np.stack([_blurred_pixels(row_edges, n_slices, s, size_z, kernel)[::-1].T for s in widths]) * scale
    to_pixels: dict[int, Tensor] = {}
    for first in {lattice.first_cell for lattice in planes}:
        edges = np.arange(n_u + 1) * views.pixel_mm / size - first
        to_pixels[first] = _float(np.stack([_blurred_pixels(edges, cells, s, size, kernel) for s in widths]))
    matrices = resampling(grid, sight, discretisation)
    made = [
        _View(spread, gather, _float(weight.T), to_pixels[lattice.first_cell])
        for (spread, gather), weight, lattice in zip(matrices, weights, planes, strict=True)
    ]
    return _Tables(tuple(made), _float(to_rows), cells, slices)


def _blurred_pixels(edges: FloatArray, n_cells: int, sigma_mm: float, cell_mm: float, kernel: Kernel) -> FloatArray:
    """What each cell gives each pixel after a Gaussian, shape (pixel, cell); edges of pixels are in cells."""
    reached = range(int(np.floor(edges[0])), int(np.ceil(edges[-1])))
    cell = np.arange(reached.start, reached.stop)
    share = np.minimum(edges[1:, None], cell + 1) - np.maximum(edges[:-1, None], cell)
    blur = gaussian_matrix(sigma_mm, cell_mm, out=reached, cells=range(n_cells), kernel=kernel)
    matrix: FloatArray = np.maximum(share, 0) @ blur
    return matrix


def _reach(grid: Grid, views: ParallelViews, collimator: Collimator | None) -> tuple[int, int]:
    """How many cells along u, and how many slices, a blur reaches at most."""
    if collimator is None:
        return 0, 0
    corners = grid.to_mm([(i, j, 0) for i in (0, grid.shape[0] - 1) for j in (0, grid.shape[1] - 1)])
    farthest = float(np.linalg.norm(corners[:, :2], axis=1).max()) + max(views.radius_mm)
    reach_mm = _REACH * float(collimator.sigma_mm(farthest))
    return int(np.ceil(reach_mm / grid.spacing_mm[0])) + 1, int(np.ceil(reach_mm / grid.spacing_mm[2])) + 1


def _float(values: FloatArray) -> Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
