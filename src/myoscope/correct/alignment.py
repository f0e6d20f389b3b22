"""Is the attenuation map where the patient was? Its shift against the emission image, found and undone.

Minutes pass between CT and emission, and a breath-held CT shows the heart where it is not on average. A wall that
falls into the map's lung loses counts that it had. The map's tissues (air, lung, soft tissue) should each hold one
level of emission, so the shift sought is the one whose tissues explain most of the emission's variance round the
heart: the correlation ratio (Roche et al., MICCAI 1998). With three tissues, every shift is tried at once by Fourier
transforms. Only shifts are looked for: turns of a lying patient are small.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import fft, ndimage

from myoscope.core import Flag, GeometryMismatch, InvalidValue, UnitMismatch, Volume
from myoscope.core.geometry import FloatArray

# Limits between air, lung and soft tissue, as shares of the map's soft tissue.
_AIR_BELOW, _LUNG_BELOW = 0.08, 0.62
_REACH_MM = 110.0
_SEARCH_MM = 40.0
_WORTH_CORRECTING_MM = 5.0
_BELIEVED_MM = 30.0


@dataclass(frozen=True, eq=False, slots=True)
class Alignment:
    """By how much the attenuation map must move, LPS mm, to fit the emission image.

    ``agreement`` is the share of the emission's variance that the tissues explain (0 to 1), before and after;
    ``at_limit`` says that the best shift lies at the end of the search and is not to be believed.
    """

    shift_mm: FloatArray
    agreement_before: float
    agreement: float
    at_limit: bool

    @property
    def distance_mm(self) -> float:
        return float(np.linalg.norm(self.shift_mm))

    @property
    def to_be_applied(self) -> bool:
        """Whether the shift is large enough to matter and small enough to be true."""
        return _WORTH_CORRECTING_MM < self.distance_mm <= _BELIEVED_MM and not self.at_limit

    def flag(self) -> Flag:
        """What a reader should know about it."""
        left, posterior, superior = (float(np.round(mm, 1)) for mm in self.shift_mm)
        evidence = {
            "left_mm": left,
            "posterior_mm": posterior,
            "superior_mm": superior,
            "agreement_before": round(self.agreement_before, 3),
            "agreement": round(self.agreement, 3),
        }
        if self.to_be_applied:
            return Flag(
                "mu_map_moved",
                f"The attenuation map lay {self.distance_mm:.0f} mm beside the emission image and was moved there; "
                "look at both before believing the corrected image.",
                "warning",
                evidence,
            )
        if self.distance_mm <= _WORTH_CORRECTING_MM:
            return Flag(
                "mu_map_aligned",
                f"The attenuation map lies within {_WORTH_CORRECTING_MM:.0f} mm of the emission image.",
                "info",
                evidence,
            )
        return Flag(
            "mu_map_alignment_doubtful",
            "The attenuation map and the emission image do not seem to belong together (or too little of the body is "
            "seen to tell); the map was left where it is. Do not believe the corrected image without looking.",
            "warning",
            evidence,
        )


def find_alignment(
    emission: Volume, mu: Volume, *, about_mm: ArrayLike, reach_mm: float = _REACH_MM, search_mm: float = _SEARCH_MM
) -> Alignment:
    """The shift that brings an attenuation map to an emission image on the same grid.

    ``about_mm`` is the heart's place (LPS mm): voxels count the more the nearer they are, half at ``reach_mm``/2.
    Shifts up to ``search_mm`` along each axis are tried, to a fraction of a voxel.

    Raises
    ------
    GeometryMismatch
        If the two are not on the same grid.
    UnitMismatch
        If the map is not in 1/cm.
    InvalidValue
        If the map holds no body.
    """
    if not emission.grid.same_place(mu.grid):
        raise GeometryMismatch("bring the attenuation map to the emission's grid first")
    if mu.unit != "1/cm":
        raise UnitMismatch(f"mu map is in {mu.unit}; alignment needs 1/cm")
    tissue = _tissues(mu)
    spacing = emission.grid.spacing_mm
    away = np.linalg.norm(emission.grid.points_mm() - np.asarray(about_mm, float), axis=-1)
    weight = np.exp(-np.log(2) * (away / (reach_mm / 2)) ** 2)
    # The square root keeps hot organs from outweighing the body.
    values = np.sqrt(np.maximum(np.asarray(emission.summed().array, np.float64), 0))
    most = [max(1, round(search_mm / mm)) for mm in spacing]
    explained = _explained(values, weight, tissue, most)
    best = np.unravel_index(int(np.argmax(explained)), explained.shape)
    at_limit = any(b in (0, 2 * m) for b, m in zip(best, most, strict=True))
    fraction = _peak(explained, best)
    shift_voxels = np.array(best) - most + fraction
    return Alignment(
        shift_mm=emission.grid.direction @ (shift_voxels * spacing),
        agreement_before=float(explained[tuple(most)]),
        agreement=float(explained[best]),
        at_limit=at_limit,
    )


def moved(mu: Volume, shift_mm: ArrayLike) -> Volume:
    """The map with its content shifted along LPS; what comes from beyond its ends repeats the last voxels."""
    shift = np.asarray(shift_mm, float)
    voxels = np.linalg.solve(mu.grid.affine[:3, :3], shift)
    array = ndimage.shift(np.asarray(mu.array, np.float32), voxels, order=1, mode="nearest")
    told = ", ".join(f"{mm:+.1f}" for mm in shift)
    return mu.like(array, f"moved by ({told}) mm LPS to fit the emission")


def _tissues(mu: Volume) -> FloatArray:
    """Shares of air, lung and soft tissue, shape (3, i, j, k); a voxel at a border belongs to both sides."""
    values = np.asarray(mu.array, np.float64)
    body = values[values > 0.06]
    if body.size < 50:
        raise InvalidValue("the attenuation map holds no body")
    soft = float(np.median(body[body > 0.5 * np.percentile(body, 90)]))
    at_air = np.clip((values / soft - _AIR_BELOW + 0.06) / 0.12, 0, 1)
    at_soft = np.clip((values / soft - _LUNG_BELOW + 0.2) / 0.4, 0, 1)
    return np.stack([1 - at_air, at_air - at_soft, at_soft])


def _explained(values: FloatArray, weight: FloatArray, tissue: FloatArray, most: list[int]) -> FloatArray:
    """Share of the weighted variance that the tissues explain, for all shifts of up to ``most`` voxels."""
    shape = [fft.next_fast_len(n + 2 * m) for n, m in zip(values.shape, most, strict=True)]
    margin = [(m, m) for m in most]
    masks = fft.rfftn(np.pad(tissue, [(0, 0), *margin], mode="edge"), s=shape, axes=(1, 2, 3))
    sums = []
    for moment in (weight, weight * values):
        image = fft.rfftn(moment, s=shape)
        # Moving the map by s reads it at x - s: lag m - s of the padded map against the image.
        lag = fft.irfftn(masks * np.conj(image), s=shape, axes=(1, 2, 3))
        window = lag[:, : 2 * most[0] + 1, : 2 * most[1] + 1, : 2 * most[2] + 1]
        sums.append(window[:, ::-1, ::-1, ::-1])
    share, first = sums
    total = weight.sum()
    mean = float((weight * values).sum() / total)
    variance = float((weight * values**2).sum() / total) - mean**2
    share = np.maximum(share, 1e-9 * total)
    between = (share * (first / share - mean) ** 2).sum(axis=0) / total
    explained: FloatArray = between / max(variance, 1e-12)
    return explained


def _peak(values: FloatArray, at: tuple[np.intp, ...]) -> FloatArray:
    """Where the top of a parabola through the neighbours lies, in voxels from ``at``, axis by axis."""
    offset = np.zeros(len(at))
    for axis, n in enumerate(at):
        if not 0 < n < values.shape[axis] - 1:
            continue
        before, here, after = (
            float(values[tuple(int(a) + (step if k == axis else 0) for k, a in enumerate(at))]) for step in (-1, 0, 1)
        )
        bend = before - 2 * here + after
        if bend < 0:
            offset[axis] = np.clip(0.5 * (before - after) / bend, -0.5, 0.5)
    return offset
