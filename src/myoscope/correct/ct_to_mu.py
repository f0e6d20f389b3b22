"""From CT numbers to attenuation: two straight lines, after Burger et al., Eur J Nucl Med 2002;29:922.

Below 0 HU a voxel is a mixture of air and water, above it one of water and cortical bone. The first line goes from
air (-1000 HU, no attenuation) to water (0 HU); the second from water to cortical bone, whose CT number follows from
the tube's effective energy. Attenuation coefficients are those of `physics.attenuation`.

The couch is left in: on a hybrid camera it absorbs the emitted photons too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from myoscope.core import Flag, Grid, InvalidValue, UnitMismatch, Volume
from myoscope.core.geometry import FloatArray
from myoscope.physics.attenuation import attenuation_per_cm

_AIR_HU = -1000.0
# Filtered tubes: about 70 keV at 120 kVp. A default, not a measurement; only bone depends on it.
_EFFECTIVE_KEV_AT_120_KVP, _EFFECTIVE_KEV_PER_KVP = 70.0, 0.25
_BODY_PER_CM = 0.05
_BROAD_BEAM = 0.12 / 0.1536  # effective over true attenuation of water at 140.5 keV
_CUT_AT_BORDER = 0.02  # share of the field's lateral border that is body before it counts as cut


def ct_to_mu(ct: Volume, *, kvp: float, energy_keV: float = 140.5) -> Volume:
    """The attenuation map (1/cm at the photopeak's energy) of a CT in HU, on the CT's own grid.

    Raises
    ------
    UnitMismatch
        If the volume is not in HU.
    InvalidValue
        If the tube voltage is not 60 to 150 kVp, or the energy not one of a tracer (30 to 600 keV).
    """
    if ct.unit != "HU":
        raise UnitMismatch(f"a CT is in HU, this volume in {ct.unit} (is it a mu map already?)")
    slope_air, slope_bone = slopes_per_cm(kvp=kvp, energy_keV=energy_keV)
    hu = np.maximum(np.asarray(ct.array, np.float32), np.float32(_AIR_HU))
    water = np.float32(1000 * slope_air)
    mu = water + hu * np.where(hu < 0, np.float32(slope_air), np.float32(slope_bone))
    return ct.like(
        mu.astype(np.float32), f"CT at {kvp:g} kVp to attenuation at {energy_keV:g} keV, bilinear", unit="1/cm"
    )


def broad_beam(mu: Volume) -> Volume:
    """The map for images that still hold their scatter: as if water absorbed 0.12/cm at 140.5 keV, all in proportion.

    Part of what tissue takes out of a beam comes back as scatter from elsewhere; where scatter is not subtracted, the
    full coefficients correct too much.
    """
    return mu.like(
        np.asarray(mu.array, np.float32) * np.float32(_BROAD_BEAM), f"times {_BROAD_BEAM:.2f}: scatter is counted along"
    )


def slopes_per_cm(*, kvp: float, energy_keV: float) -> tuple[float, float]:
    """Attenuation (1/cm) per HU below and above 0 HU."""
    if not 60 <= kvp <= 150:
        raise InvalidValue(f"CT tube voltages run from 60 to 150 kVp, got {kvp:g}")
    tube_keV = _EFFECTIVE_KEV_AT_120_KVP + _EFFECTIVE_KEV_PER_KVP * (kvp - 120)
    bone_hu = 1000 * (
        attenuation_per_cm("cortical bone", energy_keV=tube_keV) / attenuation_per_cm("water", energy_keV=tube_keV) - 1
    )
    water = attenuation_per_cm("water", energy_keV=energy_keV)
    bone = attenuation_per_cm("cortical bone", energy_keV=energy_keV)
    return water / 1000, (bone - water) / bone_hu


def mu_on_grid(mu: Volume, grid: Grid) -> tuple[Volume, tuple[Flag, ...]]:
    """The attenuation map on the grid of the emission image, and what of the image it does not cover.

    Averaged over the target's voxels, then interpolated. Beyond the ends of the map its last slices go on (the body
    does too); beyond its sides there is air.

    Raises
    ------
    UnitMismatch
        If the map is not in 1/cm.
    InvalidValue
        If map and image do not overlap.
    """
    if mu.unit != "1/cm":
        raise UnitMismatch(f"mu map is in {mu.unit}; attenuation needs 1/cm (did you pass the CT in HU?)")
    if mu.grid.same_place(grid):
        return mu, ()
    to_source = np.linalg.inv(mu.grid.affine) @ grid.affine
    reach = np.abs(to_source[:3, :3]).sum(axis=1)  # voxels of the map across one voxel of the image
    values = np.maximum(np.asarray(mu.array, np.float32), 0)
    for axis, across in enumerate(reach):
        if across > 1:
            values = _box_mean(values, float(across), axis)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"))
    at = np.tensordot(to_source[:3, :3], index, axes=1) + to_source[:3, 3][:, None, None, None]
    ends = np.array(mu.grid.shape)[:, None, None, None] - 1
    # The map's slices are stacked along its last axis (CT, NM) and the body goes on beyond them.
    covered = np.asarray(at[2] >= -0.5) & (at[2] <= ends[2] + 0.5)
    beside = np.any((at[:2] < -0.5) | (at[:2] > ends[:2] + 0.5), axis=0)
    if not (covered & ~beside).any():
        raise InvalidValue("the attenuation map and the image do not overlap: are they of the same patient position?")
    sampled = ndimage.map_coordinates(values, at, order=1, mode="nearest")
    sampled[beside] = 0
    flags = tuple(_coverage_flags(mu, grid, covered, beside))
    size = " x ".join(f"{s:.3g}" for s in grid.spacing_mm)
    made_by = (*mu.made_by, f"averaged and resampled to {size} mm")
    return Volume(sampled.astype(np.float32), grid, "1/cm", made_by), flags


def _box_mean(values: FloatArray, width: float, axis: int) -> FloatArray:
    """Mean over a window of a fractional number of voxels, its two end voxels counted in part."""
    half = (width - 1) / 2
    whole = int(np.floor(half))
    weights = np.ones(2 * whole + 3)
    weights[[0, -1]] = half - whole
    smoothed: FloatArray = ndimage.convolve1d(
        values, (weights / weights.sum()).astype(np.float32), axis, mode="nearest"
    )
    return smoothed


def _coverage_flags(mu: Volume, grid: Grid, covered: NDArray[Any], beside: NDArray[Any]) -> list[Flag]:
    flags = []
    missing = float(1 - covered.mean())
    if missing > 0.01:
        height_mm = missing * grid.shape[2] * float(grid.spacing_mm[2])
        flags.append(
            Flag(
                "mu_map_too_short",
                f"The attenuation map does not reach over {height_mm:.0f} mm of the image's height; its last slices "
                "were taken to go on.",
                "warning" if missing > 0.3 else "info",
                {"missing_mm": round(height_mm), "missing_percent": round(100 * missing)},
            )
        )
    body = np.asarray(mu.array) > _BODY_PER_CM
    border = np.concatenate([body[[0, -1]].reshape(-1), body[:, [0, -1]].reshape(-1)])
    if border.mean() > _CUT_AT_BORDER and beside.any():
        flags.append(
            Flag(
                "mu_map_cuts_the_body",
                "The body reaches beyond the sides of the attenuation map; there it was taken to be air.",
                "warning",
                {"border_percent": round(100 * float(border.mean()))},
            )
        )
    return flags
