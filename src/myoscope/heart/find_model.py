"""The left ventricle found from its shape alone, with no training.

The outline follows Germano et al. (J Nucl Med 1995;36:2107-14): find the ring of counts that is a heart, fit an
ellipsoid to it, iterate until the axis stands still. What is different: the search is a matched filter for open,
blurred shells in local contrast (so that a liver ten times hotter is one more edge and not a better heart), and
the fit explains all counts around the wall at once, the liver's included (``shell.py``).

1. The image is brought to an 8 mm lattice along the patient's axes and turned into local contrast: how far each
   place stands above its surroundings.
2. Shell templates of three sizes and several axis directions are correlated with it, normalised by the local energy.
3. The best places are fitted with the shell model; the one that looks most like a ventricle is refined.
4. The wall is outlined as readers outline it: where counts exceed a share of the local wall maximum, within a band
   about the fitted mid-wall and up to the fitted base.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from myoscope.core import CardiacFrame, Flag, Grid, HeartNotFound, InvalidValue, Volume
from myoscope.core.geometry import FloatArray
from myoscope.heart.left_ventricle import LeftVentricle
from myoscope.heart.shell import (
    DIRECTIONS_DEG,
    Shell,
    ShellFit,
    angles_from_axis,
    axis_from_angles,
    fit_best_shell,
    form_misfit,
    points_near,
    shell_about,
)

_LATTICE_MM = 8.0
_NARROW_MM, _WIDE_MM = 5.0, 16.0  # standard deviations of the two smoothings whose difference is local contrast
_SHORT_MM = (19.0, 25.0, 33.0)


@dataclass(frozen=True, eq=False, slots=True)
class _Lattice:
    """An 8 mm image along the patient's axes: values, where its first voxel lies, and where there is image."""

    counts: NDArray[np.float32]
    origin_mm: FloatArray
    seen: NDArray[np.float32]


@dataclass(frozen=True, eq=False, slots=True)
class _Candidate:
    likeness: float
    centre_mm: FloatArray
    axis: FloatArray
    short_mm: float

    def starts(self) -> list[Shell]:
        axes = [self.axis, *(axis_from_angles(*angles) for angles in DIRECTIONS_DEG)]
        return [shell_about(self.centre_mm, axis, self.short_mm) for axis in axes]


def _to_lattice(volume: Volume, array: NDArray[np.float32]) -> _Lattice:
    from scipy.ndimage import affine_transform, gaussian_filter

    grid = volume.grid
    corners = np.array(
        [[i * (n - 1) for i, n in zip(corner, grid.shape, strict=True)] for corner in np.ndindex(2, 2, 2)]
    )
    place = grid.to_mm(corners)
    origin = place.min(axis=0)
    size = tuple(int(n) for n in np.ceil((place.max(axis=0) - origin) / _LATTICE_MM) + 1)
    # Half of the narrow smoothing happens here, before the coarser sampling.
    smooth = gaussian_filter(array, np.sqrt(0.5) * _NARROW_MM / grid.spacing_mm, mode="nearest")
    inverse = np.linalg.inv(grid.affine[:3, :3])
    matrix = inverse * _LATTICE_MM
    offset = grid.to_index(origin)
    counts = affine_transform(smooth, matrix, offset, output_shape=size, order=1, mode="constant", cval=0.0)
    # Multi-pinhole reconstructions are zero outside a cylinder, and bright at its edge.
    present = (smooth > 1e-4 * float(np.percentile(smooth, 95))).astype(np.float32)
    seen = affine_transform(present, matrix, offset, output_shape=size, order=1, mode="constant", cval=0.0)
    return _Lattice(counts, origin, seen)


def _local_contrast(lattice: _Lattice) -> NDArray[np.float32]:
    from scipy.ndimage import gaussian_filter

    narrow = gaussian_filter(lattice.counts, np.sqrt(0.5) * _NARROW_MM / _LATTICE_MM, mode="nearest")
    seen = gaussian_filter(lattice.seen, _WIDE_MM / _LATTICE_MM, mode="constant") + 1e-3
    wide = gaussian_filter(lattice.counts * lattice.seen, _WIDE_MM / _LATTICE_MM, mode="constant") / seen
    usual = float(np.percentile(wide[lattice.seen > 0.5], 75)) if (lattice.seen > 0.5).any() else 1.0
    contrast = (narrow - wide) / (np.maximum(wide, 0) + 0.5 * max(usual, 1e-30))
    inner = gaussian_filter(lattice.seen, 1.0, mode="constant")
    contrast *= np.clip((inner - 0.6) / 0.3, 0, 1)
    clipped: NDArray[np.float32] = np.clip(contrast, -1.0, 1.5).astype(np.float32)
    return clipped


@lru_cache(maxsize=1)
def _templates() -> tuple[tuple[Shell, NDArray[np.float32], NDArray[np.float32]], ...]:
    """(shell, template, window) on the 8 mm lattice; templates are local contrast with mean 0 and energy 1."""
    from scipy.ndimage import gaussian_filter

    half = 11
    steps = np.arange(-half, half + 1) * _LATTICE_MM
    points = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1)
    made = []
    for short_mm in _SHORT_MM:
        for direction in DIRECTIONS_DEG:
            shell = shell_about(np.zeros(3), axis_from_angles(*direction), short_mm)
            place = shell.depths(points.reshape(-1, 3))
            image = np.exp(-0.5 * (place.distance_mm / shell.sigma_mm) ** 2) / (1 + np.exp(-place.past_end_mm / 4))
            image = image.reshape(points.shape[:3])
            wide = gaussian_filter(image, np.hypot(_WIDE_MM, _NARROW_MM) / _LATTICE_MM, mode="constant")
            contrast = image - wide
            reach = place.distance_mm.reshape(points.shape[:3]) < 14
            window = reach & (place.past_end_mm.reshape(points.shape[:3]) > -14)
            template = np.where(window, contrast, 0.0)
            template = np.where(window, template - template[window].mean(), 0.0)
            template /= np.sqrt((template**2).sum())
            made.append((shell, template.astype(np.float32), window.astype(np.float32)))
    return tuple(made)


@lru_cache(maxsize=2)
def _spectra(shape: tuple[int, int, int]) -> tuple[tuple[NDArray[np.complex64], NDArray[np.complex64], float], ...]:
    """Fourier transforms of the mirrored templates and windows (correlation is convolution with the mirror image)
    and the number of voxels in each window."""
    from scipy.fft import rfftn

    return tuple(
        (rfftn(template[::-1, ::-1, ::-1], shape), rfftn(window[::-1, ::-1, ::-1], shape), float(window.sum()))
        for _, template, window in _templates()
    )


def _search(lattice: _Lattice, *, search_centre_mm: FloatArray | None, n_best: int) -> list[_Candidate]:
    """The places most like an open shell, best first, at least 24 mm apart."""
    from scipy.fft import irfftn, next_fast_len, rfftn

    contrast = _local_contrast(lattice)
    templates = _templates()
    reach = templates[0][1].shape[0] // 2
    a, b, c = (next_fast_len(n + 2 * reach, real=True) for n in contrast.shape)
    shape = (a, b, c)
    image = rfftn(contrast, shape)
    squared = rfftn(contrast**2, shape)
    inside = tuple(slice(reach, reach + n) for n in contrast.shape)
    best = np.full(contrast.shape, -1.0, np.float32)
    which = np.zeros(contrast.shape, np.int16)
    for number, (template, window, n_window) in enumerate(_spectra(shape)):
        match = irfftn(image * template, shape)[inside]
        mean = irfftn(image * window, shape)[inside] / n_window
        energy = irfftn(squared * window, shape)[inside] - n_window * mean**2
        # A floor keeps empty space from looking like anything.
        likeness = match / np.sqrt(np.maximum(energy, 0.01 * n_window))
        better = likeness > best
        best = np.where(better, likeness, best)
        which = np.where(better, number, which)
    if search_centre_mm is not None:
        index = np.moveaxis(np.indices(best.shape), 0, -1)
        away = np.linalg.norm(index * _LATTICE_MM + lattice.origin_mm - search_centre_mm, axis=-1)
        best = np.where(away < 45.0, best, -1.0)
    found: list[_Candidate] = []
    left = best.copy()
    for _ in range(n_best):
        at = np.unravel_index(int(np.argmax(left)), left.shape)
        if left[at] < 0.2:
            break
        shell = templates[int(which[at])][0]
        centre = np.array(at) * _LATTICE_MM + lattice.origin_mm
        found.append(_Candidate(float(best[at]), centre, shell.axis, shell.short_mm[0]))
        clear = tuple(slice(max(0, i - 3), i + 4) for i in at)
        left[clear] = -1.0
    return found


# Outlining as readers do; calibrated on the 53 shared masks (docs/validation/finder.md).
_OUTLINE_SHARE = 0.45
_OUTLINE_INNER_SIGMA, _OUTLINE_OUTER_SIGMA = 2.0, 1.8
_OUTLINE_PAST_END_MM = -10.0

# Hearts of the shared scans reach 0.62 or more, noise 0.46; see docs/validation/finder.md.
_LEAST_LIKENESS = 0.50
_LEAST_EXPLAINED = 0.75
_LEAST_COMPLETE = 0.40
_LEAST_CONTRAST = 0.30
_LARGEST_FORM_MISFIT = 14.0
_LEAST_EXTENT_MM = 90.0


def find_by_model(volume: Volume, *, search_centre_mm: ArrayLike | None = None) -> LeftVentricle:
    """The left ventricle of a perfusion image, located by its shape.

    Works on any grid and orientation, on gated volumes through their sum, and on any count scale. With
    ``search_centre_mm`` (LPS) only hearts whose wall centre lies within 45 mm of that point are considered.

    Raises
    ------
    HeartNotFound
        If the image is empty, constant, not finite or too small, or holds nothing like an open, blurred shell of a
        heart's size; the sentence says which.
    InvalidValue
        If ``search_centre_mm`` is not a finite point.

    Examples
    --------
    >>> from myoscope.core import CardiacFrame, Grid
    >>> from myoscope.simulate import lv_phantom
    >>> grid = Grid.axis_aligned((64, 64, 48), spacing_mm=4)
    >>> truth = lv_phantom(grid, frame=CardiacFrame((0, 0, 0), (0.5, -0.8, -0.3)), fwhm_mm=9)
    >>> found = find_by_model(truth.volume)
    >>> found.frame.angle_to_deg(truth.frame) < 2
    True
    """
    image = _usable_image(volume)
    centre = None
    if search_centre_mm is not None:
        centre = np.asarray(search_centre_mm, np.float64)
        if centre.shape != (3,) or not np.isfinite(centre).all():
            raise InvalidValue(f"a search centre is three finite LPS coordinates in mm, got {centre.tolist()}")
    lattice = _to_lattice(image, image.array)
    candidates = _search(lattice, search_centre_mm=centre, n_best=3)
    if not candidates or candidates[0].likeness < _LEAST_LIKENESS:
        best = candidates[0].likeness if candidates else 0.0
        raise HeartNotFound(
            f"nothing in the image looks like a left ventricle: the best match with a hollow, open shell is "
            f"{best:.2f} and {_LEAST_LIKENESS:.2f} is needed (is the heart in the field of view?)"
        )
    coarse = _for_fitting(image)
    best_fit: tuple[float, _Candidate, ShellFit] | None = None
    for candidate in candidates:
        if candidate.likeness < candidates[0].likeness - 0.15:
            break
        near, points = points_near(coarse.grid, candidate.centre_mm, 75.0)
        counts = coarse.array.reshape(-1)[near].astype(np.float64)
        fit = fit_best_shell(points, counts, candidate.starts(), voxel_volume_mm3=coarse.grid.voxel_volume_mL * 1000)
        score = candidate.likeness * max(fit.explained, 0) * (0.5 + 0.5 * fit.complete) * max(fit.contrast, 0.05)
        if best_fit is None or score > best_fit[0]:
            best_fit = (score, candidate, fit)
    assert best_fit is not None
    _, candidate, fit = best_fit
    _refuse_what_is_no_ventricle(fit)
    mask = outline_wall(image, fit)
    if not mask.any():
        raise HeartNotFound("a shell was fitted but no voxel of the image lies in its wall")
    wall_centre = image.grid.to_mm(np.argwhere(mask)).mean(axis=0)
    return LeftVentricle(
        frame=CardiacFrame(wall_centre, fit.shell.axis),
        wall=Volume(mask, volume.grid, "mask", (*volume.made_by, "wall outlined by model")),
        method="model",
        confidence=_confidence(candidate, fit),
        flags=(*place_flags(image, fit.shell.axis, mask), *_count_flags(image, fit, mask)),
    )


def _usable_image(volume: Volume) -> Volume:
    """The summed image as float32, or the reason why it cannot hold a heart."""
    image = volume.summed()
    array = np.asarray(image.array, np.float32)
    bad = int(array.size - np.count_nonzero(np.isfinite(array)))
    if bad:
        raise HeartNotFound(f"{bad} of {array.size} voxels are not finite numbers (a broken reconstruction or export?)")
    low, high = float(array.min()), float(array.max())
    if high <= 0:
        raise HeartNotFound("the image holds no counts: no voxel is above zero")
    if low == high:
        raise HeartNotFound(f"the image is constant: every voxel is {high:g}")
    extent = image.grid.spacing_mm * np.array(image.grid.shape)
    if extent.min() < _LEAST_EXTENT_MM or min(image.grid.shape) < 8:
        size = " x ".join(f"{e:.0f}" for e in extent)
        raise HeartNotFound(
            f"the image spans {size} mm and a left ventricle needs {_LEAST_EXTENT_MM:.0f} mm each way "
            f"(a planar image or a cut-out?)"
        )
    return image.like(array, "as float32")


def _for_fitting(image: Volume) -> Volume:
    """The image itself, or at 4 mm if it is finer than 3.5 mm: the shell is thick and the fit is not free."""
    grid, array = image.grid, image.array
    if grid.spacing_mm.min() < 3.5:
        from scipy.ndimage import affine_transform, gaussian_filter

        target = np.maximum(grid.spacing_mm, 4.0)
        step = target / grid.spacing_mm
        smooth = gaussian_filter(array, 0.4 * np.maximum(step - 1, 0), mode="nearest")
        shape = tuple(int(n) for n in np.floor((np.array(grid.shape) - 1) / step) + 1)
        array = affine_transform(smooth, np.diag(step), output_shape=shape, order=1)
        affine = grid.affine.copy()
        affine[:3, :3] = grid.affine[:3, :3] * step
        grid = Grid((shape[0], shape[1], shape[2]), affine)
    return Volume(array, grid, image.unit, image.made_by)


def outline_wall(image: Volume, fit: ShellFit) -> NDArray[np.bool_]:
    """The wall as readers outline it: voxels above 45 % of the wall's typical maximum, about the fitted shell."""
    from scipy.ndimage import label

    grid = image.grid
    shell = fit.shell
    near, points = points_near(grid, shell.centre_mm, shell.long_mm + 30)
    place = shell.depths(points)
    peak = fit.wall_level + 0.5 * (fit.outside_level + fit.cavity_level)
    level = _OUTLINE_SHARE * float(np.percentile(peak, 70))
    inside = (
        (image.array.reshape(-1)[near] > level)
        & (place.distance_mm > -_OUTLINE_INNER_SIGMA * shell.sigma_mm)
        & (place.distance_mm < _OUTLINE_OUTER_SIGMA * shell.sigma_mm)
        & (place.past_end_mm > _OUTLINE_PAST_END_MM)
    )
    mask = np.zeros(grid.shape, bool)
    mask.reshape(-1)[near[inside]] = True
    pieces, n_pieces = label(mask, np.ones((3, 3, 3)))
    if n_pieces > 1:
        # A defect may cut the wall in two; crumbs are dropped.
        sizes = np.bincount(pieces.reshape(-1))[1:]
        keep = 1 + np.flatnonzero(sizes >= 0.1 * sizes.max())
        mask = np.isin(pieces, keep)
    return mask


def _refuse_what_is_no_ventricle(fit: ShellFit) -> None:
    checks = (
        (fit.explained, _LEAST_EXPLAINED, "a shell explains only {0:.0%} of the counts' variation about it"),
        (fit.complete, _LEAST_COMPLETE, "only {0:.0%} of the wall is there"),
        (fit.contrast, _LEAST_CONTRAST, "the wall stands only {0:.0%} above its surroundings"),
    )
    for value, least, sentence in checks:
        if not value >= least:
            raise HeartNotFound(
                f"the best place found is no left ventricle: {sentence.format(value)}, and {least:.0%} is needed"
            )
    form = form_misfit(fit.shell)
    if form > _LARGEST_FORM_MISFIT:
        raise HeartNotFound(
            f"the best place found is no left ventricle: its size and form are far from any heart's "
            f"(misfit {form:.0f}, at most {_LARGEST_FORM_MISFIT:.0f})"
        )


def _confidence(candidate: _Candidate, fit: ShellFit) -> float:
    """The weakest of four signs, each mapped linearly from the refusal limit (0) to what ordinary hearts reach (1)."""
    signs = (
        (candidate.likeness, _LEAST_LIKENESS, 0.65),
        (fit.explained, _LEAST_EXPLAINED, 0.90),
        (fit.complete, _LEAST_COMPLETE, 0.70),
        (fit.contrast, _LEAST_CONTRAST, 0.50),
    )
    return float(min(np.clip((value - low) / (high - low), 0, 1) for value, low, high in signs))


# Left of anterior and below transverse: the shared masks span 20 to 61 and -3 to 40 degrees; wider by a third.
_LEFT_RANGE_DEG, _BELOW_RANGE_DEG = (0.0, 75.0), (-8.0, 55.0)
# Outlined walls of the shared masks measure 131 to 353 mL.
_WALL_RANGE_ML = (80.0, 500.0)
_HOT_NEIGHBOUR = 1.3
_LOW_CONTRAST = 0.45


def place_flags(image: Volume, long_axis: FloatArray, mask: NDArray[np.bool_]) -> tuple[Flag, ...]:
    """What is unusual about where a ventricle lies and how much of it is seen, whichever finder outlined it."""
    flags = []
    left, below = angles_from_axis(long_axis)
    if not (_LEFT_RANGE_DEG[0] <= left <= _LEFT_RANGE_DEG[1] and _BELOW_RANGE_DEG[0] <= below <= _BELOW_RANGE_DEG[1]):
        flags.append(
            Flag(
                "axis_out_of_range",
                f"The long axis points {left:.0f} degrees left of anterior and {below:.0f} below the transverse "
                f"plane, outside what is usual: check the contours and the patient position in the header.",
                evidence={"left_of_anterior_deg": round(left, 1), "below_transverse_deg": round(below, 1)},
            )
        )
    wall_mL = float(np.count_nonzero(mask)) * image.grid.voxel_volume_mL
    if not _WALL_RANGE_ML[0] <= wall_mL <= _WALL_RANGE_ML[1]:
        flags.append(
            Flag(
                "wall_volume_out_of_range",
                f"The outlined wall measures {wall_mL:.0f} mL; "
                f"{_WALL_RANGE_ML[0]:.0f} to {_WALL_RANGE_ML[1]:.0f} mL is usual.",
                evidence={"wall_mL": round(wall_mL, 1)},
            )
        )
    edge = _share_at_edge(image, mask)
    if edge > 0.01:
        flags.append(
            Flag(
                "heart_truncated",
                f"{edge:.0%} of the outlined wall lies at the edge of the field of view: the heart may be cut off.",
                evidence={"share_at_edge": round(edge, 3)},
            )
        )
    return tuple(flags)


def _count_flags(image: Volume, fit: ShellFit, mask: NDArray[np.bool_]) -> tuple[Flag, ...]:
    """What the counts in and about the fitted shell say."""
    flags = []
    shell = fit.shell
    near, points = points_near(image.grid, shell.centre_mm, shell.long_mm + 45)
    distance = shell.depths(points).distance_mm
    counts = image.array.reshape(-1)[near]
    in_wall = mask.reshape(-1)[near]
    beside = ~in_wall & (distance > 2.0 * shell.sigma_mm) & (distance < 35)
    wall_maximum = float(np.percentile(counts[in_wall], 99))
    if beside.any() and wall_maximum > 0:
        ratio = float(np.percentile(counts[beside], 99.5)) / wall_maximum
        if ratio > _HOT_NEIGHBOUR:
            flags.append(
                Flag(
                    "hot_neighbour",
                    f"Something within 35 mm of the wall is {ratio:.1f} times as hot as the wall (liver or bowel?): "
                    f"scatter and spill-over may raise the wall beside it.",
                    evidence={"neighbour_to_wall_maximum": round(ratio, 2)},
                )
            )
    if fit.contrast < _LOW_CONTRAST:
        flags.append(
            Flag(
                "low_contrast",
                f"The wall stands only {fit.contrast:.0%} above cavity and surroundings.",
                evidence={"contrast": round(fit.contrast, 3)},
            )
        )
    return tuple(flags)


def _share_at_edge(image: Volume, mask: NDArray[np.bool_]) -> float:
    """Share of the mask's voxels in the outermost layer of the array or beside a place without any counts."""
    from scipy.ndimage import minimum_filter

    at_edge = np.ones(mask.shape, bool)
    at_edge[1:-1, 1:-1, 1:-1] = False
    # Empty beyond the reconstructed cylinder: exactly zero over a whole neighbourhood, which tissue is not.
    empty = minimum_filter((image.array == 0).astype(np.uint8), 3, mode="nearest").astype(bool)
    beside_empty = minimum_filter((~empty).astype(np.uint8), 3, mode="nearest") == 0
    return float(np.count_nonzero(mask & (at_edge | beside_empty)) / np.count_nonzero(mask))
