"""Which frame is which: the index vectors of a multi-frame NM image.

An NM file stores its frames in one row; ``FrameIncrementPointer`` names the vectors that say, for each frame, its
energy window, detector, rotation, view, R-R interval, time slot (gate) and slice. Frames are put in order by these
values, never by their position in the file (DICOM PS3.3 C.8.4.8).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from myoscope.core import Flag, UnreadableFile
from myoscope.io.dicom_header import Header


@dataclass(frozen=True, slots=True)
class FrameIndex:
    """One index of the frames: what it counts, its vector and the attribute that says how many there are."""

    word: str
    vector: str
    tag: int
    number: str


WINDOW = FrameIndex("energy window", "EnergyWindowVector", 0x00540010, "NumberOfEnergyWindows")
DETECTOR = FrameIndex("detector", "DetectorVector", 0x00540020, "NumberOfDetectors")
ROTATION = FrameIndex("rotation", "RotationVector", 0x00540050, "NumberOfRotations")
RR_INTERVAL = FrameIndex("R-R interval", "RRIntervalVector", 0x00540060, "NumberOfRRIntervals")
GATE = FrameIndex("gate", "TimeSlotVector", 0x00540070, "NumberOfTimeSlots")
SLICE = FrameIndex("slice", "SliceVector", 0x00540080, "NumberOfSlices")
VIEW = FrameIndex("view", "AngularViewVector", 0x00540090, "")
_ALL = (WINDOW, DETECTOR, ROTATION, RR_INTERVAL, GATE, SLICE, VIEW)

Key = tuple[int, ...]


@dataclass(frozen=True, eq=False, slots=True)
class FrameOrder:
    """The place of every frame: for each combination of index values (from 1), the frame that holds it.

    ``sizes`` holds the number of values of each index, in the order that was asked for.
    """

    indices: tuple[FrameIndex, ...]
    sizes: tuple[int, ...]
    frame_of: Mapping[Key, int]
    flags: tuple[Flag, ...]

    def arrange(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Frames (frame, row, column) as an array with one axis per index in front of (row, column)."""
        order = [self.frame_of[key] for key in itertools.product(*(range(1, n + 1) for n in self.sizes))]
        return pixels[order].reshape(*self.sizes, *pixels.shape[1:])


def read_vectors(header: Header, n_frames: int) -> tuple[dict[FrameIndex, list[int]], list[Flag]]:
    """The index vectors that are there, counted from 1, and what is odd about them.

    Raises
    ------
    UnreadableFile
        If a vector's length is not the number of frames, or a value lies outside 1..n.
    """
    flags: list[Flag] = []
    declared = set(header.integers("FrameIncrementPointer"))
    vectors: dict[FrameIndex, list[int]] = {}
    for index in _ALL:
        values = list(header.integers(index.vector))
        if not values:
            if index.tag in declared and (header.count(index.number) if index.number else 1) != 1:
                raise UnreadableFile(
                    f"{header.file_name} orders its frames by {index.word}, but the {index.vector} is missing "
                    "or unreadable."
                )
            continue
        if len(values) != n_frames:
            raise UnreadableFile(
                f"{header.file_name}: the {index.vector} has {len(values)} values for {n_frames} frames; "
                "the file is damaged or was changed by hand."
            )
        if min(values) == 0 and len(set(values)) == max(values) + 1:
            flags.append(
                Flag(
                    "index_counted_from_zero",
                    f"The {index.vector} counts from 0 instead of 1; it was read as the same order.",
                    "info",
                )
            )
            values = [v + 1 for v in values]
        if min(values) < 1 or max(values) > n_frames:
            wrong = min(values) if min(values) < 1 else max(values)
            raise UnreadableFile(
                f"{header.file_name}: the {index.vector} holds {wrong}, which is outside 1 to {n_frames}."
            )
        if index.tag not in declared and len(set(values)) > 1:
            flags.append(
                Flag(
                    "frame_pointer_incomplete",
                    f"The frames differ by {index.word}, but FrameIncrementPointer does not say so; "
                    f"the {index.vector} was believed.",
                    "warning",
                    {"vector": index.vector, "values": len(set(values))},
                )
            )
        vectors[index] = values
    return vectors, flags


def order_frames(
    header: Header, vectors: Mapping[FrameIndex, Sequence[int]], indices: Sequence[FrameIndex], n_frames: int
) -> FrameOrder:
    """Put the frames in order by the given indices; every combination must occur exactly once.

    Raises
    ------
    UnreadableFile
        If a combination is missing or occurs twice, or frames differ by an index that was not asked for.
    """
    name = header.file_name
    flags: list[Flag] = []
    for index, values in vectors.items():
        if index not in indices and len(set(values)) > 1:
            raise UnreadableFile(
                f"{name}: its frames belong to {len(set(values))} {_plural(index.word)}, which an image of this kind "
                "does not have."
            )
    columns = [vectors.get(index, [1] * n_frames) for index in indices]
    sizes = tuple(max(column) for column in columns)
    frame_of: dict[Key, int] = {}
    for frame, key in enumerate(zip(*columns, strict=True)):
        if key in frame_of:
            raise UnreadableFile(f"{name}: {_say(indices, sizes, key)} occurs twice; the file is damaged.")
        frame_of[key] = frame
    for index, size, column in zip(indices, sizes, columns, strict=True):
        flags += _check_size(header, index, size, column)
    if len(frame_of) != math.prod(sizes):
        complete = itertools.product(*(range(1, n + 1) for n in sizes))
        missing = [key for key in itertools.islice(complete, 10 * n_frames + 1000) if key not in frame_of]
        raise UnreadableFile(
            f"{name} is incomplete: {_say(indices, sizes, missing[0])} is missing"
            + (f", and {math.prod(sizes) - len(frame_of) - 1} more frames." if len(missing) > 1 else ".")
        )
    return FrameOrder(tuple(indices), sizes, frame_of, tuple(flags))


def _check_size(header: Header, index: FrameIndex, size: int, column: Sequence[int]) -> list[Flag]:
    """Whole gates, slices... that are not there, and what the file says about their number."""
    absent = sorted(set(range(1, size + 1)) - set(column))
    stated = header.count(index.number) if index.number else None
    if index is not SLICE and stated is not None and stated > size:
        absent += range(size + 1, min(stated, size + 1000) + 1)
    if absent:
        raise UnreadableFile(
            f"{header.file_name} is incomplete: {index.word} {_listed(absent)} of {max(size, stated or 0)} is missing."
        )
    if stated is not None and stated != size:
        return [
            Flag(
                "count_contradicts_vector",
                f"{index.number} says {stated}, the {index.vector} counts {size} {_plural(index.word)}; "
                "the vector was believed.",
                "warning",
                {"stated": stated, "counted": size},
            )
        ]
    return []


def _say(indices: Sequence[FrameIndex], sizes: Sequence[int], key: Key) -> str:
    told = [f"{i.word} {value}" for i, size, value in zip(indices, sizes, key, strict=True) if size > 1]
    return ", ".join(told) or "the only frame"


def _listed(values: Sequence[int]) -> str:
    return ", ".join(map(str, values[:5])) + (" ..." if len(values) > 5 else "")


def _plural(word: str) -> str:
    return f"{word}s"
