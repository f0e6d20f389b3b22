"""Variants of polar maps that the same heart could have given: turned and stretched a little, noisier, one left out.

What cannot happen to a heart does not happen here: no mirror images (the septum is on one side), no large turns (they
would move a defect into another artery's territory). Both are what the finder of the heart gets wrong: the direction of
the septum by some degrees, the apex and the valve plane by some millimetres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch  # noqa: TID253 - this module works on tensors; whoever imports it wants torch
from torch import Tensor  # noqa: TID253 - as above
from torch.nn import functional  # noqa: TID253 - as above

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray

_LARGEST_ROTATION_DEG = 30.0


@dataclass(frozen=True)
class PolarAugmentation:
    """How far a map may differ from the one that was measured; all zero leaves it as it is.

    ``rotation_deg`` and ``ring_shift`` (rings, at apex and base apart) are standard deviations, ``noise`` that of the
    counts of a cell relative to its own, ``left_out`` the share of patients of whom one of several images is left out,
    so that a network learns to do without.
    """

    rotation_deg: float = 5.0
    ring_shift: float = 1.0
    noise: float = 0.03
    left_out: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.rotation_deg <= _LARGEST_ROTATION_DEG / 3:
            raise InvalidValue(
                f"a polar map may be turned by a few degrees ({_LARGEST_ROTATION_DEG / 3:g} at most, SD), not "
                f"{self.rotation_deg:g}: a defect would move into another artery's territory"
            )
        if min(self.ring_shift, self.noise) < 0 or not 0 <= self.left_out < 1:
            raise InvalidValue("variations are not negative, and not every map may be left out")


def augment_polar(
    maps: Tensor,
    settings: PolarAugmentation,
    *,
    rng: np.random.Generator,
    counts: tuple[int, ...] = (),
    groups: tuple[tuple[int, ...], ...] = (),
) -> Tensor:
    """Variants of maps (batch, channel, ring, angle); NaN stays NaN and moves with the wall.

    All channels of a patient move alike. ``counts`` are the channels that counting noise reaches; ``groups`` are sets
    of channels that come from one image, of which one may be left out (never all).
    """
    n, n_channels, n_rings, n_angles = maps.shape
    seen = torch.isfinite(maps)
    both = torch.cat([torch.where(seen, maps, torch.zeros(())), seen.to(maps.dtype)], dim=1)
    turn = np.clip(rng.normal(0, 1, n) * settings.rotation_deg, -_LARGEST_ROTATION_DEG, _LARGEST_ROTATION_DEG)
    apex, base = rng.normal(0, 1, (2, n)) * settings.ring_shift
    if turn.any() or apex.any() or base.any():
        both = _moved(both, turn * n_angles / 360, apex, base)
    values, weight = both[:, :n_channels], both[:, n_channels:]
    maps = torch.where(weight > 0.5, values / weight.clamp_min(0.5), torch.full((), float("nan")))
    if settings.noise > 0 and counts:
        strength = torch.from_numpy(rng.uniform(0, settings.noise, (n, 1, 1, 1))).to(maps)
        white = torch.from_numpy(rng.normal(size=(n, len(counts), n_rings, n_angles))).to(maps)
        # Counting noise of a filtered image is smooth over a few cells; its spread is brought back to what was asked.
        ringed = functional.pad(functional.pad(white, (1, 1, 0, 0), mode="circular"), (0, 0, 1, 1), mode="replicate")
        smooth = 3 * functional.avg_pool2d(ringed, 3, stride=1)
        channels = list(counts)
        maps = maps.clone()
        maps[:, channels] = maps[:, channels] * (1 + strength * smooth)
    if settings.left_out > 0 and len(groups) > 1:
        maps = maps.clone()
        for row in np.flatnonzero(rng.random(n) < settings.left_out):
            present = [group for group in groups if bool(torch.isfinite(maps[int(row), list(group)]).any())]
            if len(present) > 1:
                maps[int(row), list(present[int(rng.integers(len(present)))])] = float("nan")
    return maps


def _moved(maps: Tensor, turn_cells: FloatArray, apex_rings: FloatArray, base_rings: FloatArray) -> Tensor:
    """Maps sampled where each cell came from: turned, and stretched between a shift at the apex and one at the base."""
    n_rings, n_angles = maps.shape[-2:]
    margin = 1 + int(np.ceil(np.abs(turn_cells).max()))
    wide = functional.pad(maps, (margin, margin, 0, 0), mode="circular")
    ring = np.arange(n_rings)
    share = ring / (n_rings - 1)
    from_ring = np.clip(
        ring + apex_rings[:, None] * (1 - share) + base_rings[:, None] * share, 0, n_rings - 1
    )  # (batch, ring)
    from_angle = np.arange(n_angles) + margin - turn_cells[:, None]  # (batch, angle)
    y = 2 * from_ring / (n_rings - 1) - 1
    x = 2 * from_angle / (n_angles + 2 * margin - 1) - 1
    grid = np.stack(np.broadcast_arrays(x[:, None, :], y[:, :, None]), axis=-1)
    at = torch.from_numpy(grid).to(maps)
    return functional.grid_sample(wide, at, mode="bilinear", padding_mode="border", align_corners=True)
