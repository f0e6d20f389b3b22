"""The left-ventricular wall as readers outline it, found by a trained network.

Two passes. A coarse network sees 256 mm of the patient at 8 mm, twice, the second time recentred on what it found;
a fine network then outlines the wall at 4 mm in 128 mm about that place. The image is scaled by the activity of
the wall that was just found, so that a hot liver or a rim artefact outside the heart does not set the scale.

In: activity on any grid and in any orientation, with its affine to LPS mm. Out: the probability that a voxel is wall,
on the same grid, and the mask that a reader would have drawn. Runs on onnxruntime; the weights are in
``heart/weights`` and their hash is checked on loading.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from myoscope.core import InvalidValue, MyoscopeError

COARSE_VOXEL_MM = 8.0
FINE_VOXEL_MM = 4.0
SIDE = 32  # voxels of both networks' input
COARSE_BLUR_SD_MM = 4.0
# The same scan cut a voxel or two apart; the mean of these is what is reported.
_SHIFTS_VOXEL = ((0, 0, 0), (1, 1, 1), (-2, 1, 0), (1, -2, -1), (0, 1, -2), (-1, 0, 1))
_MARGIN = 4  # voxels of canvas around the fine cube, to hold the shifted cuts
# Walls outlined by readers on 53 scans measure 131 to 353 mL; outside these limits it is no left ventricle.
_SMALLEST_WALL_ML, _LARGEST_WALL_ML = 40.0, 800.0
_LEAST_CONFIDENCE = 0.6
# Outlined wall over its surroundings: 2.7 to 6.7 in 53 scans, 1.0 in an even image, 1.3 in plain noise.
_LEAST_CONTRAST = 1.6
_SURROUNDINGS_MM = 20.0

# The correction of the outlined volume for the reader's level stays within what was seen.
_LEAST_EDGE_PROBABILITY = 0.01
_LARGEST_LOG_RATIO = 0.3

Network = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Logits of "wall" for a batch of cubes, (batch, 1, 32, 32, 32) in and out."""


@dataclass(frozen=True, slots=True)
class ReaderLevel:
    """How the volume readers outline depends on the peak of the image, beyond what the networks see.

    A reader sets the display by the hottest voxel of the image. The hotter something outside the heart, the tighter the
    outline: log(reader's volume / network's volume) = ``slope`` x (log(image peak / wall activity) - ``centre``).
    """

    centre: float
    slope: float

    def log_ratio(self, peak_over_wall: float) -> float:
        """Log of the factor on the network's volume; kept between a quarter less and a third more."""
        ratio = self.slope * (float(np.log(peak_over_wall)) - self.centre)
        return float(np.clip(ratio, -_LARGEST_LOG_RATIO, _LARGEST_LOG_RATIO))


NO_CORRECTION = ReaderLevel(0.0, 0.0)


@dataclass(frozen=True, eq=False, slots=True)
class LearnedWall:
    """What the networks found.

    ``mask`` is the wall on the grid of the input: its most probable voxels in one piece, down to ``edge_probability``,
    where a reader would have drawn it (see `ReaderLevel`; 0.5 without that correction). ``centre_mm`` is its centroid
    in LPS mm, ``volume_mL`` its volume, ``confidence`` the mean probability within it, up to 1.
    When ``located`` is false ``reason`` says why in one sentence, the mask is empty and the numbers are NaN.
    """

    located: bool
    reason: str
    mask: NDArray[np.bool_]
    centre_mm: NDArray[np.float64]
    volume_mL: float
    confidence: float
    edge_probability: float


def segment_wall(
    array: ArrayLike, affine_lps: ArrayLike, *, threads: int = 1
) -> tuple[NDArray[np.float32], LearnedWall]:
    """Probability that each voxel belongs to the left-ventricular wall, and the wall itself.

    ``array`` (i, j, k) is activity in any unit; ``affine_lps`` (4, 4) takes indices to LPS mm. A heart that cannot
    be found is not an error: the answer has ``located`` false, the reason, and a probability of 0 everywhere.

    Raises
    ------
    InvalidValue
        If the array is not three-dimensional or the affine is not a 4x4 matrix that can be inverted.
    MyoscopeError
        If the installed weights are not the ones this version was released with.
    """
    coarse, fine, level = load_networks(threads)
    return segment_wall_with(array, affine_lps, coarse=coarse, fine=fine, level=level)


def segment_wall_with(
    array: ArrayLike, affine_lps: ArrayLike, *, coarse: Network, fine: Network, level: ReaderLevel
) -> tuple[NDArray[np.float32], LearnedWall]:
    """The same with networks of your own, such as those of one cross-validation fold."""
    activity = np.asarray(array)
    affine = np.asarray(affine_lps, dtype=np.float64)
    if activity.ndim != 3:
        raise InvalidValue(f"the heart is looked for in a three-dimensional image, got shape {activity.shape}")
    if affine.shape != (4, 4) or not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise InvalidValue("the affine must be a finite, invertible 4x4 matrix from voxel index to LPS mm")
    nothing = np.zeros(activity.shape, np.float32)
    if activity.dtype.kind not in "uifb":
        raise InvalidValue(f"activity must be real numbers, got {activity.dtype}")
    if not np.isfinite(activity).all():
        return nothing, _not_found(nothing, f"{int((~np.isfinite(activity)).sum())} voxels are not finite numbers")
    if activity.size == 0 or activity.max() <= 0:
        return nothing, _not_found(nothing, "the image holds no activity")
    activity = activity.astype(np.float32)
    activity = np.maximum(activity / activity.max(), 0)

    place = _locate(activity, affine, coarse)
    if isinstance(place, str):
        return nothing, _not_found(nothing, place)
    centre_mm, wall_activity = place
    for shifts in (_SHIFTS_VOXEL[:1], _SHIFTS_VOXEL):
        outlined = _outline(activity, affine, centre_mm, wall_activity, fine, shifts)
        if isinstance(outlined, str):
            return nothing, _not_found(nothing, outlined)
        cube, origin_mm, centre_mm, wall_activity = outlined
    probability = _onto_grid(cube, origin_mm, affine, activity.shape)
    found = wall_from_probability(probability, activity, affine, level=level)
    return (probability if found.located else nothing), found


def _locate(
    activity: NDArray[np.float32], affine: NDArray[np.float64], coarse: Network
) -> tuple[NDArray[np.float64], float] | str:
    """Centre of the wall in LPS mm and its mean activity, or why there is none."""
    spacing_mm = np.linalg.norm(affine[:3, :3], axis=0)
    blurred = ndimage.gaussian_filter(activity, COARSE_BLUR_SD_MM / spacing_mm, mode="constant")
    centre_mm = affine[:3, :3] @ ((np.asarray(activity.shape) - 1) / 2) + affine[:3, 3]
    for _ in range(2):
        cube, origin_mm = _cut(blurred, affine, centre_mm, SIDE, COARSE_VOXEL_MM)
        scale = coarse_scale(cube)
        if not scale > 0:
            return "there is no activity in the middle of the image"
        wall = _sigmoid(coarse(_as_batch(cube / scale)))[0, 0]
        if wall.max() < 0.5:
            return f"no voxel looks like heart wall (highest probability {wall.max():.2f})"
        weight = np.where(_largest_piece(wall >= 0.5), wall, 0)
        centre_mm = origin_mm + COARSE_VOXEL_MM * _centroid(weight)
    return centre_mm, float((cube * weight).sum() / weight.sum())


def coarse_scale(cube: NDArray[np.float32]) -> float:
    """Activity that the coarse network sees as 1: the 90th percentile of the middle half of its view."""
    quarter = SIDE // 4
    middle = cube[quarter:-quarter, quarter:-quarter, quarter:-quarter]
    return float(np.quantile(middle, 0.9))


def _outline(
    activity: NDArray[np.float32],
    affine: NDArray[np.float64],
    centre_mm: NDArray[np.float64],
    wall_activity: float,
    fine: Network,
    shifts_voxel: tuple[tuple[int, int, int], ...],
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64], float] | str:
    """Wall probability on a 4 mm canvas with its origin, and the centre and mean activity of the wall in it."""
    # On the image's own voxels where those are 4 mm already, so that nothing is blurred by resampling.
    nearest = np.round(np.linalg.solve(affine[:3, :3], centre_mm - affine[:3, 3]))
    on_voxel_mm = affine[:3, :3] @ nearest + affine[:3, 3]
    spacing_mm = np.linalg.norm(affine[:3, :3], axis=0)
    blur_mm = np.sqrt(np.maximum(0, (FINE_VOXEL_MM / 2) ** 2 - (spacing_mm / 2) ** 2))
    source = ndimage.gaussian_filter(activity, blur_mm / spacing_mm, mode="constant") if blur_mm.any() else activity
    canvas, origin_mm = _cut(source, affine, on_voxel_mm, SIDE + 2 * _MARGIN, FINE_VOXEL_MM)
    if not wall_activity > 0:
        return "the wall that was found holds no activity"
    image = np.clip(canvas / wall_activity, 0, 3)
    total = np.zeros_like(canvas)
    seen = np.zeros_like(canvas)
    for shift in shifts_voxel:
        window = tuple(slice(_MARGIN + s, _MARGIN + s + SIDE) for s in shift)
        total[window] += _sigmoid(fine(_as_batch(image[window])))[0, 0]
        seen[window] += 1
    wall = (total / np.maximum(seen, 1)).astype(np.float32)
    weight = np.where(_largest_piece(wall >= 0.5), wall, 0)
    if not weight.any():
        return f"no voxel looks like heart wall from near by (highest probability {wall.max():.2f})"
    new_centre_mm = origin_mm + FINE_VOXEL_MM * _centroid(weight)
    return wall, origin_mm, new_centre_mm, float((canvas * weight).sum() / weight.sum())


def _cut(
    array: NDArray[np.float32],
    affine: NDArray[np.float64],
    centre_mm: NDArray[np.float64],
    side: int,
    voxel_mm: float,
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """A cube with axes to left, posterior, superior; voxel side // 2 lies on the centre. With its origin, LPS mm."""
    origin_mm = np.asarray(centre_mm, float) - (side // 2) * voxel_mm
    inverse = np.linalg.inv(affine[:3, :3])
    cube: NDArray[np.float32] = ndimage.affine_transform(
        array,
        np.round(inverse * voxel_mm, 9),
        np.round(inverse @ (origin_mm - affine[:3, 3]), 9),
        output_shape=(side, side, side),
        order=1,
        mode="grid-constant",
    )
    return cube, origin_mm


def _onto_grid(
    cube: NDArray[np.float32], origin_mm: NDArray[np.float64], affine: NDArray[np.float64], shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """The fine probability at every voxel of the input grid (trilinear); 0 outside the cube."""
    corners = np.array(np.meshgrid(*([0, n - 1] for n in cube.shape))).reshape(3, -1).T * FINE_VOXEL_MM + origin_mm
    index = (corners - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
    low = np.clip(np.floor(index.min(0)).astype(int), 0, shape)
    high = np.clip(np.ceil(index.max(0)).astype(int) + 1, 0, shape)
    out = np.zeros(shape, np.float32)
    if (high <= low).any():
        return out
    start = (affine[:3, :3] @ low + affine[:3, 3] - origin_mm) / FINE_VOXEL_MM
    out[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = ndimage.affine_transform(
        cube,
        np.round(affine[:3, :3] / FINE_VOXEL_MM, 9),
        np.round(start, 9),
        output_shape=tuple(high - low),
        order=1,
        mode="constant",
    )
    return out


def wall_from_probability(
    probability: NDArray[np.floating[Any]],
    activity: NDArray[Any],
    affine_lps: NDArray[np.float64],
    *,
    level: ReaderLevel,
) -> LearnedWall:
    """The most probable voxels, as many as a reader would take, if bright, sure and large enough for a wall."""
    nothing = np.zeros(probability.shape, np.float32)
    likely = likely_wall(probability)
    if not likely.any():
        return _not_found(nothing, "the wall that was found lies outside the image")
    ratio = level.log_ratio(peak_over_wall(activity, likely))
    rank = min(probability.size, max(1, round(np.count_nonzero(likely) * float(np.exp(ratio)))))
    edge = max(_LEAST_EDGE_PROBABILITY, float(np.partition(probability, -rank, axis=None)[-rank]))
    mask = _largest_piece(probability >= edge)
    volume_mL = float(mask.sum() * abs(np.linalg.det(affine_lps[:3, :3])) / 1000)
    if not _SMALLEST_WALL_ML <= volume_mL <= _LARGEST_WALL_ML:
        return _not_found(nothing, f"what looks like wall measures {volume_mL:.0f} mL; no left ventricle does")
    confidence = float(probability[mask].mean(dtype=np.float64))
    if confidence < _LEAST_CONFIDENCE:
        return _not_found(nothing, f"what looks like wall is uncertain (mean probability {confidence:.2f})")
    contrast = _contrast(activity, mask, affine_lps)
    if not contrast >= _LEAST_CONTRAST:
        return _not_found(nothing, f"what looks like wall is {contrast:.2f} times as bright as its surroundings")
    centre_mm = affine_lps[:3, :3] @ _centroid(mask) + affine_lps[:3, 3]
    return LearnedWall(True, "", mask, centre_mm, volume_mL, confidence, edge)


def likely_wall(probability: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    """Voxels that are wall more likely than not, largest piece."""
    return _largest_piece(probability >= 0.5)


def peak_over_wall(activity: NDArray[Any], wall: NDArray[np.bool_]) -> float:
    """The hottest place of the whole image over the activity of the wall (its 90th percentile).

    A voxel counts for no more than twice its hottest neighbour: a single defective one sets no reader's display.
    """
    values = np.asarray(activity, np.float32)
    beside = np.ones((3, 3, 3), bool)
    beside[1, 1, 1] = False
    hottest_neighbour = ndimage.maximum_filter(values, footprint=beside, mode="nearest")
    peak = float(np.minimum(values, 2 * hottest_neighbour).max())
    return peak / max(float(np.percentile(values[wall], 90)), 1e-12)


def _contrast(activity: NDArray[Any], mask: NDArray[np.bool_], affine: NDArray[np.float64]) -> float:
    """Mean activity of the wall over that of the rest of a box 20 mm larger, the cavity included."""
    margin = np.ceil(_SURROUNDINGS_MM / np.linalg.norm(affine[:3, :3], axis=0)).astype(int)
    box = tuple(
        slice(max(0, side.start - m), side.stop + m)
        for side, m in zip(ndimage.find_objects(mask.astype(np.uint8))[0], margin, strict=True)
    )
    inside, rest = mask[box], ~mask[box]
    around = float(activity[box][rest].mean()) if rest.any() else 0.0
    return float(activity[box][inside].mean()) / max(around, 1e-12)


def _not_found(nothing: NDArray[np.float32], why: str) -> LearnedWall:
    nan = float("nan")
    return LearnedWall(False, why, nothing.astype(bool), np.full(3, nan), nan, nan, nan)


def _largest_piece(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    pieces, count = ndimage.label(mask, np.ones((3, 3, 3)))
    if count < 2:
        return mask
    largest: NDArray[np.bool_] = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    return largest


def _centroid(weight: NDArray[Any]) -> NDArray[np.float64]:
    return np.array(ndimage.center_of_mass(weight.astype(np.float64)))


def _sigmoid(logit: NDArray[np.float32]) -> NDArray[np.float32]:
    p: NDArray[np.float32] = (1 / (1 + np.exp(-np.clip(logit, -30, 30)))).astype(np.float32)
    return p


def _as_batch(cube: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.clip(cube, 0, 3).astype(np.float32)[None, None]


@lru_cache(maxsize=2)
def load_networks(threads: int) -> tuple[Network, Network, ReaderLevel]:
    """The coarse and the fine network and the reader's level, read once per process and checked by their hash.

    Raises
    ------
    MyoscopeError
        If the installed weights are not the ones this version was released with.
    """
    import onnxruntime

    folder = resources.files("myoscope.heart") / "weights"
    model = (folder / "lv_wall.onnx").read_bytes()
    facts = json.loads((folder / "lv_wall.json").read_text(encoding="utf-8"))
    promised = facts["sha256"]["lv_wall.onnx"]
    actual = hashlib.sha256(model).hexdigest()
    if actual != promised:
        raise MyoscopeError(
            f"heart/weights/lv_wall.onnx is not the released model (sha256 starts {actual[:12]}, expected "
            f"{promised[:12]}); install myoscope again"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    # One graph holds both networks; an empty batch leaves the other one idle.
    idle = np.zeros((0, 1, SIDE, SIDE, SIDE), np.float32)

    def coarse(cubes: NDArray[np.float32]) -> NDArray[np.float32]:
        logit: NDArray[np.float32] = session.run(["coarse_logit"], {"coarse": cubes, "fine": idle})[0]
        return logit

    def fine(cubes: NDArray[np.float32]) -> NDArray[np.float32]:
        logit: NDArray[np.float32] = session.run(["fine_logit"], {"coarse": idle, "fine": cubes})[0]
        return logit

    return coarse, fine, ReaderLevel(**facts["reader_level"])
