"""The left ventricle of each image of a study, with the other images of the same scan as witnesses.

Corrected, uncorrected and gated images of one scan show the same heart in the same place. Once the two finders agree
about it in one of them, it is not searched for in the others, which then also share their polar coordinates: those must
state the same frame of reference and visibly show the heart there. Elsewhere each image is searched; where the finders
contradict each other, or only the one that is less sure there found anything, the place comes from an image of the same
scan in which they agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from myoscope import heart
from myoscope.core import Flag, HeartNotFound, Series, Volume

_Place = tuple[str | None, str, str]
# Of an image about the heart with another one of the same scan: how alike they are, and how far apart they seem.
_LEAST_CORRELATION, _FARTHEST_MM = 0.9, 3.0
_MARGIN = 3  # voxels about the wall
_DOUBTS = ("finders_disagree", "found_by_one_finder")
_OF_ONE_IMAGE = ("hot_neighbour", "low_contrast")


@dataclass(frozen=True, eq=False, slots=True)
class _Witness:
    """A ventricle that is not in grave doubt, and the image that it was found in."""

    name: str
    still: Volume
    ventricle: heart.LeftVentricle
    agreement: Mapping[str, float]


class KnownHearts:
    """Ventricles found so far, by state, position and frame of reference."""

    def __init__(self) -> None:
        self._sure: dict[_Place, list[_Witness]] = {}

    def remember(
        self, series: Series, still: Volume, ventricle: heart.LeftVentricle, agreement: Mapping[str, float]
    ) -> None:
        """Keep a ventricle, unless it is in grave doubt, for the other images of its scan."""
        if not _in_grave_doubt(ventricle):
            self._sure.setdefault(_place(series), []).append(_Witness(series.name, still, ventricle, agreement))

    def find(
        self,
        series: Series,
        still: Volume,
        *,
        finder: Literal["auto", "network", "model"],
        in_training_domain: bool,
    ) -> tuple[heart.LeftVentricle, Mapping[str, float]]:
        """The ventricle of an ungated image, and how far the two finders agree about it.

        Raises
        ------
        HeartNotFound
            If there is none here, and no other image of this scan tells where it is.
        """
        witnesses = self._sure.get(_place(series), ())
        witness = next((w for w in witnesses if w.ventricle.wall.grid.same_place(still.grid)), None)
        if (
            witness is not None
            and series.frame_of_reference_sha256
            and not any(flag.code in _DOUBTS for flag in witness.ventricle.flags)
            and _shows_the_same(witness, still)
        ):
            message = f"The place of the heart is that found in {witness.name}, an image of the same scan."
            of_place = (flag for flag in witness.ventricle.flags if flag.code not in _OF_ONE_IMAGE)
            shared = replace(witness.ventricle, flags=(*of_place, Flag("heart_shared", message, "info")))
            return shared, witness.agreement
        try:
            found, agreement = heart.find_left_ventricle(still, prefer=finder, in_training_domain=in_training_domain)
        except HeartNotFound as error:
            if witness is None:
                raise
            return _borrowed(witness, f"no heart was found in this image ({error})"), {}
        self.remember(series, still, found, agreement)
        if witness is None or not _in_grave_doubt(found):
            return found, agreement
        return _borrowed(witness, "the finders contradict each other in this image"), agreement


def _in_grave_doubt(ventricle: heart.LeftVentricle) -> bool:
    return any(flag.severity == "error" for flag in ventricle.flags)


def _place(series: Series) -> _Place:
    return (series.state.value, series.position.value or "supine", series.frame_of_reference_sha256)


def _shows_the_same(witness: _Witness, still: Volume) -> bool:
    """Whether an image shows about the heart what the witness shows there, and not beside it."""
    inside = np.argwhere(np.asarray(witness.ventricle.wall.array) > 0)
    size = np.array(still.array.shape)
    low = np.maximum(inside.min(axis=0) - _MARGIN, 1)
    high = np.minimum(inside.max(axis=0) + 1 + _MARGIN, size - 1)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    shown = np.nan_to_num(np.asarray(witness.still.array, np.float64)[box]).ravel()
    image = np.nan_to_num(np.asarray(still.array, np.float64))

    def alike(step: NDArray[np.int_]) -> float:
        moved = image[tuple(slice(a + d, b + d) for a, b, d in zip(low, high, step, strict=True))].ravel()
        if shown.std() == 0 or moved.std() == 0:
            return 0.0
        return float(np.corrcoef(shown, moved)[0, 1])

    here = alike(np.zeros(3, int))
    if here < _LEAST_CORRELATION:
        return False
    off_mm = []
    for axis, spacing_mm in enumerate(still.grid.spacing_mm):
        step = np.eye(3, dtype=int)[axis]
        before, after = alike(-step), alike(step)
        bend = 2 * here - before - after
        # The top of the parabola through the three.
        off_mm.append(0.5 * (after - before) / bend * float(spacing_mm) if bend > 0 else np.inf)
    return bool(np.linalg.norm(off_mm) <= _FARTHEST_MM)


def _borrowed(witness: _Witness, why: str) -> heart.LeftVentricle:
    flag = Flag(
        "heart_from_other_image",
        f"The place of the heart was taken from {witness.name}, an image of the same scan: {why}.",
        "warning",
    )
    return replace(witness.ventricle, flags=(flag,))
