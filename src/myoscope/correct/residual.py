"""What the first injection of a day has left when the second is imaged, taken off.

Both images are corrected for decay to their own starts. An activity R at the end of the first study, corrected to its
start, is R exp(-l dT) in every frame of the second one, dT the time between the two starts: constant, because the
second image's frames are corrected for decay as well. A tracer that leaves muscle with a rate m falls by exp(-m t) on
top of that. Rest lies where it was; the heart may have moved between the studies, so that the first image is displaced
by the difference of the two hearts. Voxel by voxel, muscle and blood alike.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from myoscope.core import InvalidValue, UnitMismatch, Volume
from myoscope.physics.decay import share_left
from myoscope.physics.frames import Frames


def residual_image(first: Volume, *, last_s: float = 120.0) -> Volume:
    """The mean of the last frames of a dynamic image: what it ends with, corrected for decay to its start."""
    frames = Frames.of(first)
    use: NDArray[np.bool_] = frames.end_min > frames.end_min[-1] - last_s / 60 + 1e-9
    weight = use * frames.duration_min
    image = np.tensordot(weight / weight.sum(), np.asarray(first.array, np.float64), axes=1)
    return Volume(image.astype(np.float32), first.grid, first.unit, (*first.made_by, "mean of the last frames"))


def subtract_residual(
    second: Volume,
    left_over: Volume,
    *,
    nuclide: str,
    seconds_between: float,
    moved_mm: ArrayLike = (0.0, 0.0, 0.0),
    washout_per_min: float = 0.0,
) -> Volume:
    """The second dynamic image without what the first injection left.

    ``left_over`` is `residual_image` of the first study, ``seconds_between`` runs from the first study's start to the
    second one's, ``moved_mm`` (LPS) is where the heart lies in the second study less where it lay in the first.

    Raises
    ------
    UnitMismatch
        If the two images are in different units.
    InvalidValue
        If the second study did not begin after the first, or the washout is negative.
    """
    from scipy.ndimage import map_coordinates

    if left_over.unit != second.unit:
        raise UnitMismatch(f"an image in {left_over.unit} cannot be subtracted from one in {second.unit}")
    if not (np.isfinite(seconds_between) and seconds_between > 0 and washout_per_min >= 0):
        raise InvalidValue("the second study begins after the first, and what washes out does not come back")
    frames = Frames.of(second)
    points = second.grid.points_mm() - np.asarray(moved_mm, float)
    index = np.moveaxis(left_over.grid.to_index(points), -1, 0)
    there = map_coordinates(np.asarray(left_over.array, np.float64), index, order=1, mode="constant", cval=0.0)
    decayed = float(share_left(nuclide, seconds_between))
    washed = np.exp(-washout_per_min * (frames.middle_min + seconds_between / 60))
    array = np.asarray(second.array, np.float64) - decayed * washed[:, None, None, None] * there
    share = f"{100 * decayed:.3g} % of it left after {seconds_between / 60:.4g} min"
    return second.like(array.astype(np.float32), f"activity of the first injection subtracted ({share})")
