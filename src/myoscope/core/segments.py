"""The 17 and 20 segments of the left ventricle, their territories and their codes.

Angles run counter-clockwise in the displayed short axis: 0 = lateral, 90 = anterior, 180 = septal,
270 = inferior. Source: Cerqueira et al., Circulation 2002;105:539 (17 segments); codes from DICOM CID 3717
(segments) and CID 3016 (vessels), SNOMED CT.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from myoscope.core.errors import InvalidValue

Vessel = Literal["LAD", "LCx", "RCA"]
VESSELS: tuple[Vessel, ...] = ("LAD", "LCx", "RCA")
VESSEL_SNOMED: dict[str, str] = {"LAD": "59438005", "LCx": "57396003", "RCA": "13647002", "LM": "3227004"}


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment: number, name, level, start and end angle in degrees, usual vessel, SNOMED code."""

    number: int
    name: str
    level: Literal["basal", "mid", "apical", "apex"]
    start_deg: float
    end_deg: float
    vessel: Vessel
    snomed: str | None


def _sixths(level: Literal["basal", "mid"], first: int, codes: tuple[str, ...]) -> list[Segment]:
    walls = ("anterior", "anteroseptal", "inferoseptal", "inferior", "inferolateral", "anterolateral")
    vessels: tuple[Vessel, ...] = ("LAD", "LAD", "RCA", "RCA", "LCx", "LCx")
    return [
        Segment(first + n, f"{level} {wall}", level, (60 + 60 * n) % 360, (60 + 60 * n) % 360 + 60, vessel, code)
        for n, (wall, vessel, code) in enumerate(zip(walls, vessels, codes, strict=True))
    ]


SEGMENTS_17: tuple[Segment, ...] = (
    *_sixths("basal", 1, ("264850008", "396482007", "396646008", "264846001", "396652009", "396654005")),
    *_sixths("mid", 7, ("264848000", "396647004", "396649001", "264847005", "396655006", "396656007")),
    Segment(13, "apical anterior", "apical", 45, 135, "LAD", "264844003"),
    Segment(14, "apical septal", "apical", 135, 225, "LAD", "264845002"),
    Segment(15, "apical inferior", "apical", 225, 315, "RCA", "264849008"),
    Segment(16, "apical lateral", "apical", 315, 405, "LCx", "264853005"),
    Segment(17, "apex", "apex", 0, 360, "LAD", "128564006"),
)
"""AHA 17-segment model."""

_DISTAL_WALLS = ("anterior", "anteroseptal", "inferoseptal", "inferior", "inferolateral", "anterolateral")
_DISTAL_VESSELS: tuple[Vessel, ...] = ("LAD", "LAD", "RCA", "RCA", "LCx", "LCx")

SEGMENTS_20: tuple[Segment, ...] = (
    *(
        Segment(n + 1, f"distal {wall}", "apical", (60 + 60 * n) % 360, (60 + 60 * n) % 360 + 60, vessel, None)
        for n, (wall, vessel) in enumerate(zip(_DISTAL_WALLS, _DISTAL_VESSELS, strict=True))
    ),
    *_sixths("mid", 7, ("264848000", "396647004", "396649001", "264847005", "396655006", "396656007")),
    *_sixths("basal", 13, ("264850008", "396482007", "396646008", "264846001", "396652009", "396654005")),
    Segment(19, "anteroapical", "apex", 0, 180, "LAD", None),
    Segment(20, "inferoapical", "apex", 180, 360, "LAD", None),
)
"""The older 20-segment model: six distal, six mid, six basal, two apical segments, numbered from the distal ring."""


def segment_table(model: Literal[17, 20]) -> tuple[Segment, ...]:
    """The segments of the 17- or the 20-segment model, in numerical order.

    Raises
    ------
    InvalidValue
        For any other number of segments.
    """
    if model == 17:
        return SEGMENTS_17
    if model == 20:
        return SEGMENTS_20
    raise InvalidValue(f"there is a 17- and a 20-segment model, not one of {model}")


def segment_number(
    axis_fraction: ArrayLike, angle_deg: ArrayLike, *, apex: ArrayLike, model: Literal[17, 20] = 17
) -> NDArray[np.int16]:
    """The segment of each place on the wall.

    ``axis_fraction`` is the position along the long axis between the end of the cavity at the apex (0) and
    the valve plane (1): thirds of it are apical, mid and basal. ``apex`` is true where the wall lies beyond
    the end of the cavity (segment 17, or 19 and 20). All arguments broadcast.
    """
    fraction, angle, beyond = np.broadcast_arrays(
        np.asarray(axis_fraction, float), np.asarray(angle_deg, float) % 360, np.asarray(apex, bool)
    )
    if not (np.isfinite(fraction).all() and np.isfinite(angle).all()):
        raise InvalidValue("segments need finite positions and angles")
    sixth = (np.floor((angle - 60) / 60) % 6).astype(np.int16)  # 0 = anterior, counter-clockwise
    level = np.clip(np.floor(fraction * 3), 0, 2).astype(np.int16)  # 0 = apical third
    if model == 17:
        quarter = (np.floor((angle - 45) / 90) % 4).astype(np.int16)
        number = np.select([level == 2, level == 1], [1 + sixth, 7 + sixth], 13 + quarter)
        return np.where(beyond, 17, number).astype(np.int16)
    segment_table(model)
    number = 1 + 6 * level + sixth
    return np.where(beyond, np.where(angle < 180, 19, 20), number).astype(np.int16)


def territory_map(segment: ArrayLike, *, model: Literal[17, 20] = 17) -> NDArray[np.int16]:
    """Index into ``VESSELS`` of the usual vessel of each segment number."""
    table = segment_table(model)
    lookup = np.array([-1, *(VESSELS.index(s.vessel) for s in table)], dtype=np.int16)
    number = np.asarray(segment, int)
    if number.min() < 1 or number.max() > model:
        raise InvalidValue(f"segment numbers run from 1 to {model}, got {number.min()} to {number.max()}")
    territory: NDArray[np.int16] = lookup[number]
    return territory
