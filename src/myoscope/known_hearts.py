"""The left ventricle of each image of a study, with the other images of the same scan as witnesses.

Corrected, uncorrected and gated images of one scan show the same heart in the same place. Where the two finders
contradict each other in one of them, or only the one that is less sure there found anything, the place comes from an
image of the same scan in which they agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from myoscope import heart
from myoscope.core import Flag, HeartNotFound, Series, Volume

_Place = tuple[str | None, str, str | None]


class KnownHearts:
    """Ventricles found so far, by state, position and frame of reference."""

    def __init__(self) -> None:
        self._sure: dict[_Place, list[tuple[str, heart.LeftVentricle]]] = {}

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
        place = (series.state.value, series.position.value or "supine", series.frame_of_reference_sha256)
        witness = next(((n, lv) for n, lv in self._sure.get(place, ()) if lv.wall.grid.same_place(still.grid)), None)
        try:
            found, agreement = heart.find_left_ventricle(still, prefer=finder, in_training_domain=in_training_domain)
        except HeartNotFound as error:
            if witness is None:
                raise
            return _borrowed(*witness, f"no heart was found in this image ({error})"), {}
        doubts = [flag for flag in found.flags if flag.severity == "error"]
        if not doubts:
            self._sure.setdefault(place, []).append((series.name, found))
            return found, agreement
        if witness is None:
            return found, agreement
        return _borrowed(*witness, "the finders contradict each other in this image"), agreement


def _borrowed(name: str, ventricle: heart.LeftVentricle, why: str) -> heart.LeftVentricle:
    flag = Flag(
        "heart_from_other_image",
        f"The place of the heart was taken from {name}, an image of the same scan: {why}.",
        "warning",
    )
    return replace(ventricle, flags=(flag,))
