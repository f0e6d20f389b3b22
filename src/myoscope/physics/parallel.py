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
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from myoscope.core import Grid, InvalidValue, UnitMismatch, Volume
from myoscope.core.geometry import FloatArray
from myoscope.physics.collimator import Collimator
from myoscope.physics.depth_response import Kernel, depth_response, gaussian_matrix
from myoscope.physics.operator import Projector
from myoscope.physics.sparse import SparseRows, sparse_rows

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Discretisation = Literal["conserving", "sampled"]

_Indices = NDArray[np.int64]
_Entries = tuple[_Indices, _Indices, FloatArray]  # of a sparse matrix: row, column, weight

_MM_PER_CM = 10.0
_REACH = 3.5  # standard deviations beyond which blur from outside the detector is left out


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


@dataclass(frozen=True, eq=False, slots=True)
class _Lattice:
    """Planes of one view: first column and first depth in cells, and how many of each."""

    first_cell: int
    n_cells: int
    first_depth: int
    n_depths: int


class ParallelProjector(Projector):
    """Expected counts per second in every pixel of a parallel-hole camera from an image in kBq/mL.

    Made by `parallel_projector` or `column_projector`. With several attenuation maps the last leading axis of
    images and data is the patient, one map each.
    """

    def __init__(
        self, grid: Grid, views: ParallelViews, tables: _Tables, chosen: Sequence[int], transmission: _Transmission
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
        # One image stays in a processor's cache while it passes through all views; a GPU wants all there are.
        return 1 if stack.device.type == "cpu" else len(stack)

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
    tables = _tables(grid, views, collimator, scale, discretisation)
    return ParallelProjector(
        grid, views, tables, range(len(views.angle_deg)), _Transmission(grid, views, collimator, maps)
    )


def _check_grid(grid: Grid, name: str) -> None:
    spacing = grid.spacing_mm
    if not np.allclose(grid.direction, np.eye(3), atol=1e-6) or abs(spacing[0] - spacing[1]) > 1e-6:
        raise InvalidValue(
            f"the {name} grid of a projector is axis-aligned LPS with square transverse voxels, got {grid!r}"
        )


class _Transmission:
    """Share of the photons from every cell of a view's planes that leaves the body, made when first asked for."""

    def __init__(self, grid: Grid, views: ParallelViews, collimator: Collimator | None, maps: Sequence[Volume]) -> None:
        self.n_patients = max(1, len(maps))
        self._of: dict[int, Tensor] = {}
        self._make = (grid, views, collimator, tuple(maps))
        self._device: str | torch.device = "cpu"

    def of(self, view: int) -> Tensor | None:
        """Shape (patient, cell, slice), or None without attenuation."""
        grid, views, collimator, maps = self._make
        if not maps:
            return None
        if view not in self._of:
            import torch

            each = [_transmission(grid, views, collimator, volume, view) for volume in maps]
            self._of[view] = torch.stack(each).to(self._device)
        return self._of[view]

    def to(self, device: str | torch.device) -> _Transmission:
        moved = _Transmission(*self._make)
        moved._device = device
        moved._of = {view: values.to(device) for view, values in self._of.items()}
        return moved


def _transmission(grid: Grid, views: ParallelViews, collimator: Collimator | None, volume: Volume, view: int) -> Tensor:
    """exp(-integral of mu) from the middle of each cell to the detector, shape (cell, slice)."""
    import torch

    path = _path(grid, volume.grid, views, collimator, view)
    mu = np.array(volume.array, dtype=np.float32).reshape(-1, volume.grid.shape[2])
    sampled = (path.sample @ torch.from_numpy(mu)).view(path.lattice.n_depths, path.lattice.n_cells, -1)
    # A photon crosses half of the cell it was born in.
    beyond = sampled.flip(0).cumsum(0).flip(0) - sampled / 2
    if path.to_slices is not None:
        beyond = beyond @ path.to_slices.T
    if path.to_cells is not None:
        beyond = path.to_cells @ beyond
    if path.to_depths is not None:
        beyond = (path.to_depths @ beyond.reshape(len(beyond), -1)).view(-1, *beyond.shape[1:])
    return torch.exp(beyond * (-volume.grid.spacing_mm[0] / _MM_PER_CM)).reshape(-1, beyond.shape[-1]).contiguous()


@dataclass(frozen=True, eq=False, slots=True)
class _Path:
    """How one view samples a mu map, and how it comes from the map's lattice to the image's (None: the same)."""

    sample: SparseRows  # (cell of the map's planes, voxel of the map)
    lattice: _Lattice
    to_slices: Tensor | None
    to_cells: Tensor | None
    to_depths: Tensor | None


@lru_cache(maxsize=4096)
def _path(grid: Grid, map_grid: Grid, views: ParallelViews, collimator: Collimator | None, view: int) -> _Path:
    ours, slices = _lattice(grid, views, collimator, view), _seen_slices(grid, views, collimator)
    size, map_size = grid.spacing_mm[0], map_grid.spacing_mm[0]
    left = -views.detector_shape[1] * views.pixel_mm / 2
    _, t_mm = _in_view(map_grid, views, view)
    ours_u = (np.arange(ours.n_cells) + ours.first_cell + 0.5) * size + left
    ours_t = (np.arange(ours.n_depths) + ours.first_depth + 0.5) * size
    first_cell = int(np.floor((ours_u[0] - left) / map_size - 0.5 + 1e-9))
    last_cell = int(np.ceil((ours_u[-1] - left) / map_size - 0.5 - 1e-9))
    first_depth = int(np.floor(ours_t[0] / map_size - 0.5 + 1e-9))
    last_depth = int(np.ceil(max(ours_t[-1], float(t_mm.max())) / map_size - 0.5 - 1e-9))
    lattice = _Lattice(first_cell, last_cell - first_cell + 1, first_depth, last_depth - first_depth + 1)
    map_u = (np.arange(lattice.n_cells) + first_cell + 0.5) * map_size + left
    map_t = (np.arange(lattice.n_depths) + first_depth + 0.5) * map_size
    z = grid.affine[2, 3] + grid.spacing_mm[2] * np.arange(grid.shape[2])[slices]
    map_z = map_grid.affine[2, 3] + map_grid.spacing_mm[2] * np.arange(map_grid.shape[2])
    row, column, weight = _sampling(map_grid, views, view, lattice)
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


@lru_cache(maxsize=8)
def _tables(
    grid: Grid, views: ParallelViews, collimator: Collimator | None, scale: float, discretisation: Discretisation
) -> _Tables:
    size, size_z = grid.spacing_mm[0], grid.spacing_mm[2]
    n_v, n_u = views.detector_shape
    n_views = len(views.angle_deg)
    slices = _seen_slices(grid, views, collimator)
    n_slices = len(range(*slices.indices(grid.shape[2])))
    lattices = [_lattice(grid, views, collimator, view) for view in range(n_views)]
    cells = lattices[0].n_cells
    distances = [
        views.radius_mm[v] - (np.arange(x.n_depths) + x.first_depth + 0.5) * size for v, x in enumerate(lattices)
    ]
    if collimator is None:
        kernel: Kernel = "matched"
        widths, weights = np.zeros(1), [np.ones((len(d), 1)) for d in distances]
    else:
        kernel = "matched" if discretisation == "conserving" else "sampled"
        near, far = (
            float(collimator.sigma_mm(end(d)))
            for end, d in ((np.min, np.concatenate(distances)), (np.max, np.concatenate(distances)))
        )
        response = depth_response(near, far, cell_mm=min(size, size_z), kernel=kernel)
        widths, weights = response.sigma_mm, [response.weights(collimator.sigma_mm(d)) for d in distances]

    # Edges of pixels and rows in cells and slices, from the first that the image has.
    bottom = (grid.affine[2, 3] - size_z / 2) / size_z + slices.start
    row_edges = np.linspace(-n_v / 2, n_v / 2, n_v + 1) * views.pixel_mm / size_z - bottom
    to_rows = np.stack([_blurred_pixels(row_edges, n_slices, s, size_z, kernel)[::-1].T for s in widths]) * scale
    to_pixels: dict[int, Tensor] = {}
    made = []
    for view, lattice in enumerate(lattices):
        first = lattice.first_cell
        if first not in to_pixels:
            edges = np.arange(n_u + 1) * views.pixel_mm / size - first
            to_pixels[first] = _float(np.stack([_blurred_pixels(edges, cells, s, size, kernel) for s in widths]))
        entries = _spreading if discretisation == "conserving" else _sampling
        row, column, weight = entries(grid, views, view, lattice)
        made.append(
            _View(
                sparse_rows(row, column, weight, lattice.n_depths * cells),
                sparse_rows(column, row, weight, grid.shape[0] * grid.shape[1]),
                _float(weights[view].T),
                to_pixels[first],
            )
        )
    return _Tables(tuple(made), _float(to_rows), cells, slices)


def _blurred_pixels(edges: FloatArray, n_cells: int, sigma_mm: float, cell_mm: float, kernel: Kernel) -> FloatArray:
    """What each cell gives each pixel after a Gaussian, shape (pixel, cell); edges of pixels are in cells."""
    reached = range(int(np.floor(edges[0])), int(np.ceil(edges[-1])))
    cell = np.arange(reached.start, reached.stop)
    share = np.minimum(edges[1:, None], cell + 1) - np.maximum(edges[:-1, None], cell)
    blur = gaussian_matrix(sigma_mm, cell_mm, out=reached, cells=range(n_cells), kernel=kernel)
    matrix: FloatArray = np.maximum(share, 0) @ blur
    return matrix


def _reach(grid: Grid, views: ParallelViews, collimator: Collimator | None, axis: int) -> int:
    """How many cells a blur reaches, at most."""
    if collimator is None:
        return 0
    far = float(np.max(np.linalg.norm(_corners(grid), axis=1))) + max(views.radius_mm)
    return int(np.ceil(_REACH * float(collimator.sigma_mm(far)) / grid.spacing_mm[axis])) + 1


def _corners(grid: Grid) -> FloatArray:
    """Outermost voxel centres in the transverse plane, shape (4, 2) mm."""
    x, y = ((grid.affine[a, 3] + grid.spacing_mm[a] * np.array([0, grid.shape[a] - 1])) for a in (0, 1))
    return np.array([(a, b) for a in x for b in y])


def _in_view(grid: Grid, views: ParallelViews, view: int) -> tuple[FloatArray, FloatArray]:
    """Column (mm from the detector's middle) and depth (mm towards the detector) of each voxel, shape (i, j)."""
    x, y = (grid.affine[a, 3] + grid.spacing_mm[a] * np.arange(grid.shape[a]) for a in (0, 1))
    sine, cosine = _direction(views, view)
    return (
        -x[:, None] * cosine + y[None, :] * sine - views.offset_mm[view],
        x[:, None] * sine + y[None, :] * cosine,
    )


def _direction(views: ParallelViews, view: int) -> tuple[float, float]:
    phi = np.radians(views.angle_deg[view])
    return float(np.sin(phi)), float(np.cos(phi))


@lru_cache(maxsize=16)
def _lattices(grid: Grid, views: ParallelViews, collimator: Collimator | None) -> tuple[_Lattice, ...]:
    size = grid.spacing_mm[0]
    n_u = views.detector_shape[1]
    reach = _reach(grid, views, collimator, 0)
    end = int(np.ceil(n_u * views.pixel_mm / size - 1e-6)) + reach
    spans = []
    for view in range(len(views.angle_deg)):
        u_mm, t_mm = _in_view(grid, views, view)
        u, t = (u_mm + n_u * views.pixel_mm / 2) / size - 0.5, t_mm / size - 0.5
        first, last = max(int(np.floor(u.min())), -reach), min(int(np.floor(u.max())) + 1, end - 1)
        if first > last:
            raise InvalidValue(f"{grid!r} lies out of sight of the detector at view {view + 1}")
        spans.append((first, last, int(np.floor(t.min())), int(np.floor(t.max())) + 1))
    cells = max(last - first + 1 for first, last, _, _ in spans)
    return tuple(_Lattice(first, cells, near, far - near + 1) for first, _, near, far in spans)


def _lattice(grid: Grid, views: ParallelViews, collimator: Collimator | None, view: int) -> _Lattice:
    return _lattices(grid, views, collimator)[view]


def _seen_slices(grid: Grid, views: ParallelViews, collimator: Collimator | None) -> slice:
    """Slices of the image that reach the detector."""
    size = grid.spacing_mm[2]
    half = views.detector_shape[0] * views.pixel_mm / 2 + _reach(grid, views, collimator, 2) * size
    z = grid.affine[2, 3] + size * np.arange(grid.shape[2])
    seen = np.flatnonzero(np.abs(z) < half + size / 2)
    if not len(seen):
        raise InvalidValue(f"{grid!r} lies above or below what the detector sees")
    return slice(int(seen[0]), int(seen[-1]) + 1)


def _spreading(grid: Grid, views: ParallelViews, view: int, lattice: _Lattice) -> _Entries:
    """Entries (cell, voxel, weight): every voxel's counts go to the four nearest cells."""
    size = grid.spacing_mm[0]
    u_mm, t_mm = _in_view(grid, views, view)
    u = (u_mm + views.detector_shape[1] * views.pixel_mm / 2) / size - 0.5 - lattice.first_cell
    t = t_mm / size - 0.5 - lattice.first_depth
    voxel = np.arange(u.size)
    cells, voxels, weights = [], [], []
    for near_u, share_u in _neighbours(u.reshape(-1)):
        for near_t, share_t in _neighbours(t.reshape(-1)):
            inside = (near_u >= 0) & (near_u < lattice.n_cells) & (near_t >= 0) & (near_t < lattice.n_depths)
            cells.append((near_t * lattice.n_cells + near_u)[inside])
            voxels.append(voxel[inside])
            weights.append((share_u * share_t)[inside])
    return np.concatenate(cells), np.concatenate(voxels), np.concatenate(weights)


def _sampling(grid: Grid, views: ParallelViews, view: int, lattice: _Lattice) -> _Entries:
    """Entries (cell, voxel, weight): every cell of the planes reads the four nearest voxels."""
    size = grid.spacing_mm[0]
    u = (np.arange(lattice.n_cells) + lattice.first_cell + 0.5) * size
    u = u - views.detector_shape[1] * views.pixel_mm / 2 + views.offset_mm[view]
    t = (np.arange(lattice.n_depths) + lattice.first_depth + 0.5) * size
    sine, cosine = _direction(views, view)
    i = ((-u[None] * cosine + t[:, None] * sine - grid.affine[0, 3]) / size).reshape(-1)
    j = ((u[None] * sine + t[:, None] * cosine - grid.affine[1, 3]) / size).reshape(-1)
    cell = np.arange(i.size)
    n_i, n_j = grid.shape[:2]
    cells, voxels, weights = [], [], []
    for near_i, share_i in _neighbours(i):
        for near_j, share_j in _neighbours(j):
            inside = (near_i >= 0) & (near_i < n_i) & (near_j >= 0) & (near_j < n_j)
            cells.append(cell[inside])
            voxels.append((near_i * n_j + near_j)[inside])
            weights.append((share_i * share_j)[inside])
    return np.concatenate(cells), np.concatenate(voxels), np.concatenate(weights)


def _neighbours(place: FloatArray) -> tuple[tuple[_Indices, FloatArray], tuple[_Indices, FloatArray]]:
    """The two lattice points next to each place, with their linear weights."""
    # Angles such as 180 degrees leave places a rounding error off the lattice.
    place = np.round(place, 9)
    below = np.floor(place).astype(np.int64)
    share = place - below
    return (below, 1 - share), (below + 1, share)


def _float(values: FloatArray) -> Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
