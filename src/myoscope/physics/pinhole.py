"""Projector of a stationary multi-pinhole camera.

A voxel at depth h before a pinhole of effective diameter d is seen with the sensitivity d^2 cos^3(a) / (16 h^2), a
the angle to the pinhole's axis, through a hole that blurs it by d (1 + h/f) in the object; the pixel adds its own
width. Each voxel is placed on the detectors at its own exact perspective position, spread over four pixels (the
response of the pixel), and weighted with its own attenuation along the ray. The blur changes with depth: voxels are
sorted into layers of equal blur, 3 % apart in width, and each layer is blurred by its own Gaussian, so that a view is
one sparse product and two small dense ones. The Gaussian is the discrete one (Lindeberg 1990), whose variance is
exact for every width. Voxels are boxes: their width is part of the blur.

Forward and adjoint use the same weights; the adjoint is the exact transpose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ive

from myoscope.core import Grid, InvalidValue, UnitMismatch, Volume
from myoscope.core.geometry import FloatArray
from myoscope.physics.camera_geometry import PinholeGeometry
from myoscope.physics.operator import Projector
from myoscope.physics.sparse import SparseRows, transposed

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_MM_PER_CM = 10.0
_FWHM_TO_SIGMA = 1 / np.sqrt(8 * np.log(2))
_PAD = 8  # pixels round the detector from which blur reaches it
_NEAREST_MM = 30.0  # nothing radiates closer to a pinhole
_LAYER_STEP = 0.03  # of the blur's width, from one layer to the next
_RAYS, _RAY_STEP_MM = 25, 6.0
_BEHIND_MM = 300.0  # the body ends closer behind the centre of the field of view


@dataclass(frozen=True, eq=False, slots=True)
class _View:
    """What one pinhole sees of a field of m voxels: tensors on one device; rows of planes are (layer, padded v,
    padded u)."""

    splat: SparseRows  # (row of the planes, m)
    gather: SparseRows  # its transpose
    sensitivity: Tensor  # (m,) counts per decay, 0 where the pinhole does not see
    seen: Tensor  # (n,) numbers of the voxels that reach the detector or its margin
    ray: Tensor  # (n, 3) place of these in the table of optical depths: u, v, depth, each from -1 to 1
    blur_v: Tensor  # (layer, v, padded v)
    blur_u: Tensor  # (u, layer * padded u)

    def to(self, device: str | torch.device) -> _View:
        return _View(*(getattr(self, field.name).to(device) for field in fields(self)))


@dataclass(frozen=True, eq=False, slots=True)
class _Sight:
    """What a camera sees of a grid, whatever the patient: ``voxel`` (m,) are flat indices of the field of view."""

    voxel: Tensor
    views: tuple[_View, ...]


class PinholeProjector(Projector):
    """Counts per second that every pixel of a multi-pinhole camera expects from an image in kBq/mL.

    Made by `pinhole_projector`.
    """

    def __init__(
        self,
        grid: Grid,
        geometry: PinholeGeometry,
        sight: _Sight,
        weights: Sequence[Tensor],
        views: Sequence[int],
        field: tuple[float, float] = (np.inf, _NEAREST_MM),
    ) -> None:
        self.grid = grid
        self.geometry = geometry
        self.n_views = len(views)
        self.detector_shape = geometry.detector_shape
        self._sight = sight
        self._weights = tuple(weights)
        self._views = tuple(views)
        self._field = field

    def subset(self, views: Sequence[int]) -> PinholeProjector:
        """The same camera with some of its pinholes only; shares memory."""
        chosen = self._chosen(views)
        return PinholeProjector(
            self.grid,
            self.geometry,
            self._sight,
            [self._weights[v] for v in chosen],
            [self._views[v] for v in chosen],
            self._field,
        )

    def to(self, device: str | torch.device) -> PinholeProjector:
        """The same projector with its tables on another device."""
        import torch

        sight = _sight_on(self.grid, self.geometry, self._field, str(torch.device(device)))
        weights = [w.to(device) for w in self._weights]
        return PinholeProjector(self.grid, self.geometry, sight, weights, self._views, self._field)

    def _project(self, image: Tensor) -> Tensor:
        n_v, n_u = self.detector_shape
        batch = image.shape[:-3]
        columns = image.reshape(-1, int(np.prod(self.grid.shape))).T.index_select(0, self._sight.voxel)
        columns = columns.contiguous()  # (voxel of the field, batch)
        n_batch = columns.shape[1]
        result = image.new_empty(n_batch, self.n_views, n_v, n_u)
        for place, (number, weight) in enumerate(zip(self._views, self._weights, strict=True)):
            view = self._sight.views[number]
            layers, _, wide_v = view.blur_v.shape
            planes = view.splat @ (columns * weight[:, None])
            rows = (view.blur_v @ planes.view(layers, wide_v, -1)).view(layers, n_v, -1, n_batch)
            rows = rows.permute(0, 2, 1, 3).reshape(-1, n_v * n_batch)  # (layer and padded u, v and batch)
            result[:, place] = (view.blur_u @ rows).view(n_u, n_v, n_batch).permute(2, 1, 0)
        return result.view(*batch, self.n_views, n_v, n_u)

    def _back_project(self, data: Tensor) -> Tensor:
        n_v, n_u = self.detector_shape
        batch = data.shape[:-3]
        flat = data.reshape(-1, self.n_views, n_v, n_u)
        n_batch = len(flat)
        field = data.new_zeros(len(self._sight.voxel), n_batch)
        for place, (number, weight) in enumerate(zip(self._views, self._weights, strict=True)):
            view = self._sight.views[number]
            layers = len(view.blur_v)
            rows = view.blur_u.T @ flat[:, place].permute(2, 1, 0).reshape(n_u, n_v * n_batch)
            rows = rows.view(layers, -1, n_v, n_batch).permute(0, 2, 1, 3).reshape(layers, n_v, -1)
            planes = view.blur_v.transpose(1, 2) @ rows  # (layer, padded v, padded u and batch)
            field.addcmul_(view.gather @ planes.view(-1, n_batch), weight[:, None])
        image = data.new_zeros(int(np.prod(self.grid.shape)), n_batch)
        image[self._sight.voxel] = field
        return image.T.reshape(*batch, *self.grid.shape)


def pinhole_projector(
    grid: Grid,
    *,
    geometry: PinholeGeometry,
    attenuation: Volume | None = None,
    photons_per_decay: float = 0.885,
    views: Sequence[int] | None = None,
    reach_mm: float = np.inf,
    clear_mm: float = _NEAREST_MM,
    device: str = "cpu",
) -> PinholeProjector:
    """A projector of a multi-pinhole camera for images on ``grid`` (axis-aligned LPS, mm).

    ``attenuation`` (1/cm, on any grid) weighs every voxel with its way to every pinhole; None = no attenuation.
    Voxels further than ``reach_mm`` from the centre of the field of view, or less than ``clear_mm`` before the plane
    of any pinhole, are taken to hold nothing: an image is made within a field of view. The tables of grid and camera
    are kept and shared by all patients imaged on the same grid.

    Raises
    ------
    InvalidValue
        If the grid is oblique, or lies out of the camera's sight.
    UnitMismatch
        If the attenuation is not in 1/cm.
    """
    import torch

    if not np.allclose(grid.direction, np.eye(3), atol=1e-6):
        raise InvalidValue(f"the image grid of a projector is axis-aligned LPS, got {grid!r}")
    if attenuation is not None and attenuation.unit != "1/cm":
        raise UnitMismatch(f"the mu map is in {attenuation.unit}; attenuation needs 1/cm (did you pass the CT in HU?)")
    chosen = tuple(range(geometry.n_views)) if views is None else tuple(int(v) for v in views)
    field = (float(reach_mm), float(max(clear_mm, _NEAREST_MM)))
    sight = _sight_on(grid, geometry, field, str(torch.device(device)))
    counts_per_kBq_mL = grid.voxel_volume_mL * 1000 * photons_per_decay * geometry.efficiency
    weights = [sight.views[v].sensitivity * counts_per_kBq_mL for v in chosen]
    if attenuation is not None:
        depths = _optical_depths(attenuation, geometry, str(torch.device(device)))
        for n, view in enumerate(chosen):
            one = sight.views[view]
            through = torch.nn.functional.grid_sample(
                depths[view][None, None], one.ray[None, None, None], padding_mode="border", align_corners=True
            )
            # A new tensor: what was made for all patients stays as it is.
            weights[n] = weights[n].index_put((one.seen,), weights[n][one.seen] * torch.exp(-through.reshape(-1)))
    return PinholeProjector(grid, geometry, sight, weights, chosen, field)


def _sight_on(grid: Grid, geometry: PinholeGeometry, field: tuple[float, float], device: str) -> _Sight:
    return _sight(grid, geometry, field) if device == "cpu" else _moved_sight(grid, geometry, field, device)


@lru_cache(maxsize=4)
def _moved_sight(grid: Grid, geometry: PinholeGeometry, field: tuple[float, float], device: str) -> _Sight:
    sight = _sight(grid, geometry, field)
    return _Sight(sight.voxel.to(device), tuple(view.to(device) for view in sight.views))


# A gated study goes through five grids: the heart's box, the body, its scatter, the image, and the box of its gates.
@lru_cache(maxsize=6)
def _sight(grid: Grid, geometry: PinholeGeometry, field: tuple[float, float]) -> _Sight:
    import torch

    n_v, n_u = (n + 2 * _PAD for n in geometry.detector_shape)
    points = grid.points_mm().reshape(-1, 3)
    depth_mm = geometry.distance_mm - points @ geometry.towards_detector.T  # (voxel, view)
    reach_mm, clear_mm = field
    within = (np.linalg.norm(points, axis=1) <= reach_mm) & (
        (depth_mm >= clear_mm).all(axis=1) if clear_mm > _NEAREST_MM else True
    )
    voxel = np.flatnonzero(within)
    points, depth_mm = points[voxel], depth_mm[voxel]
    half_u, half_v = _half_widths_mm(geometry)
    depth_range_mm = (_ray_steps(geometry) - 1) * _RAY_STEP_MM
    views = []
    for view in range(geometry.n_views):
        h = depth_mm[:, view]
        with np.errstate(divide="ignore"):
            scale = np.where(h >= _NEAREST_MM, geometry.focal_mm / geometry.pixel_mm / h, np.inf)
        offset = points @ np.stack([geometry.along_u[view], geometry.along_v[view]], axis=1)  # (voxel, 2) u, v mm
        with np.errstate(invalid="ignore"):
            on_detector = offset * scale[:, None]
            u, v = on_detector[:, 0] + (n_u - 1) / 2, on_detector[:, 1] + (n_v - 1) / 2
            seen = np.flatnonzero((h >= _NEAREST_MM) & (u >= 0) & (u < n_u - 1) & (v >= 0) & (v < n_v - 1))
        if not len(seen):
            raise InvalidValue(f"{grid!r} lies out of the sight of pinhole {view + 1} of the {geometry.name} camera")
        u, v, h = u[seen], v[seen], h[seen]
        u0, v0 = np.floor(u).astype(np.int32), np.floor(v).astype(np.int32)
        fu, fv = u - u0, v - v0
        sigma_px = _blur_px(geometry, grid, h)
        layer = np.round(np.log(sigma_px) / _LAYER_STEP).astype(np.int32)
        first, n_layers = int(layer.min()), int(np.ptp(layer)) + 1
        corner = (layer - first) * (n_v * n_u) + v0 * n_u + u0
        row = corner[:, None] + np.array([0, 1, n_u, n_u + 1], np.int32)
        weight = np.empty((len(seen), 4), np.float32)
        for n, (along_v, along_u) in enumerate(((1 - fv, 1 - fu), (1 - fv, fu), (fv, 1 - fu), (fv, fu))):
            weight[:, n] = along_v * along_u
        start = np.zeros(len(voxel) + 1, np.int32)
        start[seen + 1] = 4
        gather = SparseRows(
            torch.from_numpy(row.ravel()),
            torch.from_numpy(np.cumsum(start, dtype=np.int32)),
            torch.from_numpy(weight.ravel()),
        )
        tangent = offset[seen] / h[:, None]
        cosine = 1 / np.sqrt(1 + (tangent**2).sum(axis=1))
        blur_v, blur_u = (
            _gaussians(np.exp((first + np.arange(n_layers)) * _LAYER_STEP), n) for n in geometry.detector_shape
        )
        ray = np.stack(
            [
                tangent[:, 0] * geometry.focal_mm / half_u,
                tangent[:, 1] * geometry.focal_mm / half_v,
                2 * h / depth_range_mm - 1,
            ],
            axis=1,
        )
        sensitivity = np.zeros(len(voxel))
        sensitivity[seen] = geometry.aperture_mm**2 * cosine**3 / (16 * h**2)
        views.append(
            _View(
                splat=transposed(gather, n_layers * n_v * n_u),
                gather=gather,
                sensitivity=_float(sensitivity),
                seen=torch.from_numpy(seen),
                ray=_float(ray),
                blur_v=_float(blur_v),
                blur_u=_float(blur_u.transpose(1, 0, 2).reshape(geometry.detector_shape[1], -1)),
            )
        )
    return _Sight(torch.from_numpy(voxel), tuple(views))


def _blur_px(geometry: PinholeGeometry, grid: Grid, depth_mm: FloatArray) -> FloatArray:
    """Standard deviation in pixels of the blur by hole and voxel, at depths before the pinhole."""
    hole_mm = geometry.aperture_mm * (1 + geometry.focal_mm / depth_mm) * _FWHM_TO_SIGMA
    voxel_mm = float(grid.spacing_mm.mean()) * geometry.focal_mm / depth_mm / np.sqrt(12)
    sigma_px: FloatArray = np.hypot(hole_mm, voxel_mm) / geometry.pixel_mm
    return sigma_px


def _gaussians(sigma_px: FloatArray, n_pixels: int) -> FloatArray:
    """Discrete Gaussians from the padded detector to its pixels, shape (layer, pixel, padded pixel)."""
    steps = np.arange(n_pixels + _PAD)
    profile = ive(steps, sigma_px[:, None] ** 2)  # (layer, distance)
    apart = np.abs(np.arange(n_pixels)[:, None] + _PAD - np.arange(n_pixels + 2 * _PAD))
    kernels: FloatArray = profile[:, apart]
    return kernels


@lru_cache(maxsize=2)
def _optical_depths(attenuation: Volume, geometry: PinholeGeometry, device: str) -> Tensor:
    """Line integrals of mu from each pinhole along its rays, shape (view, depth, ray v, ray u)."""
    import torch

    half_u, half_v = _half_widths_mm(geometry)
    tangent_u = np.linspace(-half_u, half_u, _RAYS) / geometry.focal_mm
    tangent_v = np.linspace(-half_v, half_v, _RAYS) / geometry.focal_mm
    depth = np.arange(_ray_steps(geometry)) * _RAY_STEP_MM
    n, along_u, along_v = geometry.towards_detector, geometry.along_u, geometry.along_v
    direction = (
        -n[:, None, None]
        + tangent_v[:, None, None] * along_v[:, None, None]
        + tangent_u[None, :, None] * along_u[:, None, None]
    )  # (view, ray v, ray u, 3), one mm of depth long
    to_index = np.linalg.inv(attenuation.grid.affine)
    start = (geometry.distance_mm * n) @ to_index[:3, :3].T + to_index[:3, 3]
    index = start[:, None, None, None] + depth[:, None, None, None] * (direction @ to_index[:3, :3].T)[:, None]
    # Voxel centres at +-(1 - 1/n): beyond the outer half voxel there is air.
    place = ((2 * index + 1) / np.array(attenuation.grid.shape) - 1)[..., ::-1]
    points = torch.as_tensor(np.ascontiguousarray(place, dtype=np.float32), device=device)
    mu = torch.as_tensor(np.array(attenuation.array, dtype=np.float32), device=device)
    sampled = torch.nn.functional.grid_sample(mu[None, None], points.view(1, 1, 1, -1, 3), align_corners=False)
    step_mm = _RAY_STEP_MM * np.sqrt(1 + tangent_v[:, None] ** 2 + tangent_u[None] ** 2)
    per_step = sampled.view(points.shape[:-1]) * _float(step_mm / _MM_PER_CM).to(device)
    through: Tensor = torch.cumsum(per_step, dim=1) - per_step / 2 - per_step[:, :1] / 2
    return through


def _half_widths_mm(geometry: PinholeGeometry) -> tuple[float, float]:
    """Half width and height of a detector with its margin."""
    n_v, n_u = ((n + 2 * _PAD) / 2 * geometry.pixel_mm for n in geometry.detector_shape)
    return n_u, n_v


def _ray_steps(geometry: PinholeGeometry) -> int:
    return int(np.ceil((geometry.distance_mm + _BEHIND_MM) / _RAY_STEP_MM)) + 1


def _float(values: FloatArray) -> Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
