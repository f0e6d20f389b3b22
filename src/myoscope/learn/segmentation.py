"""Networks that outline the left-ventricular wall in a perfusion image, and how they are taught.

Two small networks share one design. The coarse one sees 256 mm of the patient at 8 mm and says where the heart is;
the fine one sees 128 mm around that place at 4 mm and outlines the wall. Emission images are smooth over one voxel,
so most of the work is done at half the resolution of the input, where a convolution costs an eighth; a thin path at
full resolution keeps the edge.

This module needs torch; ``import myoscope.learn`` does not.

Ideas taken from: U-Net (Ronneberger 2015), residual units (He 2016), instance normalisation (Ulyanov 2016), soft Dice
with cross-entropy (nnU-Net, Isensee 2021).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch  # noqa: TID253 - this module is the networks; whoever imports it wants torch
from numpy.typing import NDArray
from torch import Tensor, nn  # noqa: TID253 - as above
from torch.nn import functional  # noqa: TID253 - as above


@dataclass(frozen=True)
class WallNetworkSettings:
    """Width and depth of one network; sides of the input must be divisible by 2 ** len(channels)."""

    channels: tuple[int, ...]
    blocks_per_level: int
    edge_channels: int


class _ResidualUnit(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv3d(channels, channels, 3, padding=1, bias=False)
        self.first_norm = nn.InstanceNorm3d(channels, affine=True)
        self.second = nn.Conv3d(channels, channels, 3, padding=1, bias=False)
        self.second_norm = nn.InstanceNorm3d(channels, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.leaky_relu(self.first_norm(self.first(x)), 0.01)
        return functional.leaky_relu(x + self.second_norm(self.second(y)), 0.01)


class _Change(nn.Module):
    """A convolution that changes the number of channels or the resolution, with its norm and activation."""

    def __init__(self, conv: nn.Module, channels: int) -> None:
        super().__init__()
        self.conv = conv
        self.norm = nn.InstanceNorm3d(channels, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        return functional.leaky_relu(self.norm(self.conv(x)), 0.01)


class WallNetwork(nn.Module):
    """Residual U-Net whose first level runs at half the input resolution.

    In: (batch, 1, i, j, k) activity, 1 = mean wall activity. Out: (batch, 1, i, j, k) logit of "this voxel is wall".
    """

    def __init__(self, settings: WallNetworkSettings) -> None:
        super().__init__()
        widths, edge, n = settings.channels, settings.edge_channels, settings.blocks_per_level
        self.edge_in = _Change(nn.Conv3d(1, edge, 3, padding=1, bias=False), edge)
        before = (edge + 1, *widths[:-1])
        self.down = nn.ModuleList(
            _Change(nn.Conv3d(a, b, 2, stride=2, bias=False), b) for a, b in zip(before, widths, strict=True)
        )
        self.encode = nn.ModuleList(nn.Sequential(*(_ResidualUnit(w) for _ in range(n))) for w in widths)
        pairs = list(zip(widths[1:], widths[:-1], strict=True))[::-1]
        self.up = nn.ModuleList(_Change(nn.ConvTranspose3d(a, b, 2, stride=2, bias=False), b) for a, b in pairs)
        self.join = nn.ModuleList(_Change(nn.Conv3d(2 * b, b, 1, bias=False), b) for _, b in pairs)
        self.decode = nn.ModuleList(_ResidualUnit(b) for _, b in pairs)
        self.up_to_full = nn.ConvTranspose3d(widths[0], edge, 2, stride=2)
        self.mix = nn.Conv3d(2 * edge + 2, 2 * edge, 1)
        self.head = nn.Conv3d(2 * edge, 1, 1)
        self.head.bias = nn.Parameter(torch.full((1,), -2.0))  # about an eighth of what it sees is wall

    def forward(self, x: Tensor) -> Tensor:
        edge = torch.cat([self.edge_in(x), x], dim=1)
        y = edge
        kept = []
        for down, encode in zip(self.down, self.encode, strict=True):
            y = encode(down(y))
            kept.append(y)
        kept.pop()
        for up, join, decode in zip(self.up, self.join, self.decode, strict=True):
            y = decode(join(torch.cat([up(y), kept.pop()], dim=1)))
        # At full resolution a voxel is only compared with what the levels below say of its place: a reader's edge is
        # nearly an iso-activity surface, and a wider convolution here would cost as much as all the rest.
        # Readers raise that level over a bright background, which instance normalisation hides: it is told here.
        background = torch.log(x.mean(dim=(2, 3, 4), keepdim=True) + 0.05).expand_as(x)
        mixed = functional.leaky_relu(self.mix(torch.cat([self.up_to_full(y), edge, background], dim=1)), 0.01)
        out: Tensor = self.head(mixed)
        return out


class SideBySide(nn.Module):
    """The coarse and the fine network in one graph; either may be given an empty batch."""

    def __init__(self, coarse: nn.Module, fine: nn.Module) -> None:
        super().__init__()
        self.coarse = coarse
        self.fine = fine

    def forward(self, coarse: Tensor, fine: Tensor) -> tuple[Tensor, Tensor]:
        return self.coarse(coarse), self.fine(fine)


def dice_cross_entropy(logit: Tensor, target: Tensor) -> Tensor:
    """Soft Dice loss per image plus binary cross-entropy, equally weighted; target in [0, 1], any shape alike."""
    p = torch.sigmoid(logit)
    axes = tuple(range(1, logit.ndim))
    overlap = (p * target).sum(axes)
    dice = (2 * overlap + 1) / (p.sum(axes) + target.sum(axes) + 1)
    return (1 - dice).mean() + functional.binary_cross_entropy_with_logits(logit, target)


def wall_loss(network: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    """The loss of a batch of (image, wall)."""
    image, wall = batch
    return dice_cross_entropy(network(image), wall)


@dataclass(frozen=True)
class AugmentationSettings:
    """How far a training example may differ from the scan it was made from."""

    rotation_deg: float
    scale_log_sd: float
    shear_sd: float
    shift_mm: float
    elastic_mm: float
    intensity_strength: float


def sample_training_batch(
    volumes: Tensor,
    which: Tensor,
    *,
    centres_voxel: Tensor,
    spacing_ratio: float,
    side: int,
    voxel_mm: float,
    scaled_by: Literal["wall", "middle"],
    settings: AugmentationSettings,
    rng: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    """Cubes of (image, wall) cut from whole scans with a random pose, shape, perfusion, background and noise.

    ``volumes`` is (scan, 2, i, j, k): activity and wall in [0, 1]; ``which`` the scans of this batch;
    ``centres_voxel`` (batch, 3) the cube centres; the cube has ``side`` voxels of ``spacing_ratio`` source voxels.
    The image is scaled by the mean activity of the wall, or by the 90th percentile of the middle half of the cube
    when the wall is what is looked for. Returns image and wall, each (batch, 1, side, side, side). Outside the field
    of view there is nothing, as in a real scan.
    """
    n = len(which)
    matrix = np.stack([_random_linear(settings, rng) for _ in range(n)])
    shift = rng.uniform(-1, 1, (n, 3)) * settings.shift_mm / voxel_mm
    # A third of the examples stay on the scan's own voxels, so that the network also sees them unblurred.
    still = rng.random(n) < 1 / 3
    matrix[still] = np.eye(3)
    centre = centres_voxel.numpy() + shift
    centre[still] = np.round(centre[still])
    axis = (torch.arange(side, dtype=torch.float32) - side // 2) * spacing_ratio
    offsets = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(-1, 3)
    points = offsets[None] @ torch.from_numpy(matrix).float().transpose(1, 2)
    points = points + torch.from_numpy(centre).float()[:, None, :]
    points = points.reshape(n, side, side, side, 3)
    if settings.elastic_mm > 0:
        knots = torch.from_numpy(rng.normal(0, settings.elastic_mm / voxel_mm, (n, 3, 5, 5, 5))).float()
        knots[torch.from_numpy(still | (rng.random(n) < 0.3))] = 0
        points = points + functional.interpolate(
            knots, size=(side, side, side), mode="trilinear", align_corners=True
        ).permute(0, 2, 3, 4, 1)
    size = torch.tensor(volumes.shape[2:], dtype=torch.float32)
    grid = (points * 2 / (size - 1) - 1).flip(-1)  # grid_sample wants (k, j, i) in [-1, 1]
    cut = functional.grid_sample(volumes[which], grid, mode="bilinear", padding_mode="zeros", align_corners=True)
    image, wall = cut[:, :1], cut[:, 1:]
    axes = (1, 2, 3, 4)
    if scaled_by == "wall":
        scale = ((image * wall).sum(axes) + 1e-6) / (wall.sum(axes) + 1e-6)
    else:
        quarter = side // 4
        middle = image[:, 0, quarter:-quarter, quarter:-quarter, quarter:-quarter].flatten(1)
        scale = torch.quantile(middle, 0.9, dim=1).clamp_min(1e-6)
    image = image / scale.reshape(-1, 1, 1, 1, 1)
    if settings.intensity_strength > 0:
        image = torch.cat(
            [_vary_activity(image[i : i + 1], wall[i : i + 1], settings, spacing_ratio, rng) for i in range(n)]
        )
    return image.clamp(0, 3), wall


def _random_linear(settings: AugmentationSettings, rng: np.random.Generator) -> NDArray[np.float64]:
    angles = np.deg2rad(rng.uniform(-1, 1, 3) * settings.rotation_deg)
    c, s = np.cos(angles), np.sin(angles)
    turn = (
        np.array([[1, 0, 0], [0, c[0], -s[0]], [0, s[0], c[0]]])
        @ np.array([[c[1], 0, s[1]], [0, 1, 0], [-s[1], 0, c[1]]])
        @ np.array([[c[2], -s[2], 0], [s[2], c[2], 0], [0, 0, 1]])
    )
    scale = np.exp(rng.normal(0, settings.scale_log_sd) + rng.normal(0, settings.scale_log_sd / 2, 3))
    shear = np.eye(3) + rng.normal(0, settings.shear_sd, (3, 3)) * (1 - np.eye(3))
    linear: NDArray[np.float64] = turn @ shear @ np.diag(np.clip(scale, 0.7, 1.4))
    return linear


def _smooth_field(shape: torch.Size, knots: int, rng: np.random.Generator) -> Tensor:
    coarse = torch.from_numpy(rng.normal(0, 1, (1, 1, knots, knots, knots))).float()
    return functional.interpolate(coarse, size=tuple(shape[2:]), mode="trilinear", align_corners=True)


def _ball(shape: torch.Size, centre: NDArray[np.float64], sigma: NDArray[np.float64]) -> Tensor:
    parts = [
        torch.exp(-(((torch.arange(shape[2 + d]) - float(centre[d])) / float(sigma[d])) ** 2) / 2) for d in range(3)
    ]
    return parts[0][:, None, None] * parts[1][None, :, None] * parts[2][None, None, :]


def _vary_activity(
    image: Tensor, wall: Tensor, settings: AugmentationSettings, spacing_ratio: float, rng: np.random.Generator
) -> Tensor:
    """Defects, attenuation-like shading, hot organs, contrast, blur and noise; image and wall (1, 1, i, j, k)."""
    a = settings.intensity_strength
    near = functional.avg_pool3d(wall, 3, stride=1, padding=1)
    inside = torch.nonzero(wall[0, 0] > 0.5).numpy()
    if len(inside) and rng.random() < 0.5:
        for _ in range(rng.integers(1, 3)):
            spot = inside[rng.integers(len(inside))]
            ball = _ball(image.shape, spot, rng.uniform(2, 5.5, 3) / spacing_ratio)
            image = image * (1 - rng.uniform(0.2, 0.85) * a * ball * near)
    if rng.random() < 0.4:
        for _ in range(rng.integers(1, 3)):
            spot = rng.uniform(0, image.shape[2], 3)
            ball = _ball(image.shape, spot, rng.uniform(2, 6, 3) / spacing_ratio)
            image = image + rng.uniform(0.2, 1.8) * a * ball * (1 - near)
    if rng.random() < 0.7:
        image = image * torch.exp(0.2 * a * _smooth_field(image.shape, 3, rng))
    if rng.random() < 0.5:
        image = image.clamp_min(0) ** float(np.exp(rng.normal(0, 0.2 * a)))
    if rng.random() < 0.4:
        image = image + rng.normal(0, 0.05 * a)
    if rng.random() < 0.5:
        softened = functional.avg_pool3d(image, 3, stride=1, padding=1)
        image = image + rng.uniform(-0.5, 1.0) * a * (softened - image)
    if rng.random() < 0.5:
        noise = torch.from_numpy(rng.normal(0, 1, tuple(image.shape))).float()
        if rng.random() < 0.7:
            noise = 2.5 * functional.avg_pool3d(noise, 3, stride=1, padding=1)
        image = image + rng.uniform(0, 0.15) * a * noise * image.clamp_min(0.05).sqrt()
    return image * float(np.exp(rng.normal(0, 0.15 * a)))
