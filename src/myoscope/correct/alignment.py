"""Is the attenuation map where the heart was? Its shift against the emission image, found and undone.

Minutes pass between CT and emission, and a breath-held CT shows the heart where it is not on average. A wall that
falls into the map's lung is not given back the counts that it lost. Two things are asked of the right shift: the wall
that was found in the emission image lies in soft tissue, and where lung begins outside the heart, it begins just
outside that wall. Both are counted over the surface for a lattice of shifts that is refined twice. Directions in which
no lung follows (diaphragm, right heart, chest wall) say nothing and do no harm. Only shifts are looked for.

On virtual patients with known shifts this finds them to about 4 mm (``docs/make/validate_attenuation.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from myoscope.core import Flag, InvalidValue, Surfaces, UnitMismatch, Volume
from myoscope.core.geometry import FloatArray

_LATTICES_MM = ((36.0, 9.0), (9.0, 3.0), (3.0, 1.0))  # reach and step
_BEYOND_EPICARDIUM_MM = 2.0  # fat and pericardium
_ACROSS_MM = 5.0  # from the border, to either side
_PER_CM2_SHIFT = 0.01  # what a shift of 1 cm must gain, times its square
_MAP_BLUR_MM = 2.0  # standard deviation
_BASAL_RINGS_LEFT_OUT = 6  # no wall, but atrium and valves

_WORTH_CORRECTING_MM = 8.0
_WORTH_CORRECTING_GAIN = 0.04
_BELIEVED_MM = 35.0
_FITS = 1.12


@dataclass(frozen=True, eq=False, slots=True)
class Alignment:
    """By how much the attenuation map must move, LPS mm, to fit the heart of the emission image.

    ``fit`` is the share of the wall in soft tissue plus the mean step from soft tissue to lung across its outside, as a
    share of soft tissue: about 1.2 where all is well. ``fit_before`` is that without the shift.
    """

    shift_mm: FloatArray
    fit_before: float
    fit: float

    @property
    def distance_mm(self) -> float:
        return float(np.linalg.norm(self.shift_mm))

    @property
    def found(self) -> bool:
        """Whether the map's heart was found near the emission's."""
        return self.fit >= _FITS and self.distance_mm <= _BELIEVED_MM

    @property
    def to_be_applied(self) -> bool:
        """Whether the shift is large enough to matter, improves the fit, and can be true."""
        gain = self.fit - self.fit_before
        return self.found and self.distance_mm > _WORTH_CORRECTING_MM and gain > _WORTH_CORRECTING_GAIN

    def flag(self) -> Flag:
        """What a reader should know about it."""
        left, posterior, superior = (round(float(mm), 1) for mm in self.shift_mm)
        evidence = {
            "left_mm": left,
            "posterior_mm": posterior,
            "superior_mm": superior,
            "fit_before": round(self.fit_before, 2),
            "fit": round(self.fit, 2),
        }
        if self.to_be_applied:
            message = (
                f"The heart of the attenuation map lay {self.distance_mm:.0f} mm beside that of the emission image; "
                "the map was moved there. Look at both before believing the corrected image."
            )
            return Flag("mu_map_moved", message, "warning", evidence)
        if self.found:
            message = "The heart of the attenuation map lies where that of the emission image does."
            return Flag("mu_map_aligned", message, "info", evidence)
        message = (
            "The heart of the attenuation map was not found near that of the emission image; the map was left where it "
            "is. Look at both before believing the corrected image."
        )
        return Flag("mu_map_alignment_doubtful", message, "warning", evidence)


def find_alignment(mu: Volume, surfaces: Surfaces) -> Alignment:
    """The shift that brings an attenuation map to the heart of an emission image (its ungated surfaces).

    Raises
    ------
    UnitMismatch
        If the map is not in 1/cm.
    InvalidValue
        If the map holds no body, or the surfaces are gated.
    """
    if mu.unit != "1/cm":
        raise UnitMismatch(f"mu map is in {mu.unit}; alignment needs 1/cm (did you pass the CT in HU?)")
    if surfaces.epi_mm.ndim != 3:
        raise InvalidValue("alignment needs the wall of the ungated image")
    values = ndimage.gaussian_filter(np.asarray(mu.array, np.float32), _MAP_BLUR_MM / mu.grid.spacing_mm)
    body = values[values > 0.1]
    if body.size < 50:
        raise InvalidValue("the attenuation map holds no body")
    relative = values / np.float32(np.median(body))

    epi = surfaces.epi_mm[1:-_BASAL_RINGS_LEFT_OUT:2, ::4].reshape(-1, 3)
    endo = surfaces.endo_mm[1:-_BASAL_RINGS_LEFT_OUT:2, ::4].reshape(-1, 3)
    outward = (epi - endo) / np.maximum(np.linalg.norm(epi - endo, axis=1, keepdims=True), 1e-6)
    border = epi + _BEYOND_EPICARDIUM_MM * outward
    points = np.stack([border - _ACROSS_MM * outward, border + _ACROSS_MM * outward, (epi + endo) / 2])
    at_points = mu.grid.to_index(points)
    per_mm = np.linalg.inv(mu.grid.affine[:3, :3])

    def fit(shifts_mm: FloatArray) -> FloatArray:
        """One value for each shift of the map, shape (n,)."""
        at = at_points[None] - (shifts_mm @ per_mm.T)[:, None, None]  # (shift, kind, point, 3)
        inside, outside, wall = np.moveaxis(
            ndimage.map_coordinates(relative, np.moveaxis(at, -1, 0), order=1, mode="nearest"), 1, 0
        )
        total: FloatArray = np.clip(inside - outside, 0, None).mean(axis=-1) + np.clip(wall, 0, 1).mean(axis=-1)
        return total

    best = np.zeros(3)
    for reach, step in _LATTICES_MM:
        steps = np.arange(-reach, reach + step / 2, step)
        shifts = best + np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
        worth = fit(shifts) - _PER_CM2_SHIFT * (shifts**2).sum(axis=1) / 100
        best = shifts[int(np.argmax(worth))]
    before, after = fit(np.stack([np.zeros(3), best]))
    return Alignment(best, float(before), float(after))


def moved(mu: Volume, alignment: Alignment) -> Volume:
    """The map with its content shifted; what comes from beyond its ends repeats the last voxels."""
    voxels = np.linalg.solve(mu.grid.affine[:3, :3], alignment.shift_mm)
    array = ndimage.shift(np.asarray(mu.array, np.float32), voxels, order=1, mode="nearest")
    told = ", ".join(f"{mm:+.0f}" for mm in alignment.shift_mm)
    return mu.like(array, f"moved by ({told}) mm LPS to the heart of the emission image")
