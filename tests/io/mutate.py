"""Damage done to DICOM files on purpose: flipped bits, lost and nonsense attributes, cut and swapped parts.

``mutations(base, n, seed)`` gives the same ``n`` damaged files for the same bytes and seed.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import pydicom
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

_VRS = ("LO", "DS", "IS", "US", "SS", "UL", "FD", "CS", "UI", "DA", "OW", "SQ", "AT", "PN", "UN")
_NONSENSE: tuple[Any, ...] = (
    *(0, -1, 1, 2, 65535, 2**31 - 1, -(2**31), 10**12, 0.0, -0.0, 1e-300, 1e300, -1e300),
    *(float("nan"), float("inf"), "", " ", "NaN", "inf", "x" * 300, "\\\\\\", "1\\2\\3", "ä漢\0", "-", "1e400"),
    *([], [0], [1, 2, 3], [0] * 50, [1] * 2000, ["a", "b"], None),
)
# The attributes that decide what a file means: damaged more often than chance would have it.
_DECISIVE = (
    *("Rows", "Columns", "NumberOfFrames", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("SamplesPerPixel", "PhotometricInterpretation", "PixelSpacing", "SpacingBetweenSlices", "SliceThickness"),
    *("ImageType", "Modality", "SOPClassUID", "FrameIncrementPointer", "SliceVector", "TimeSlotVector"),
    *("RRIntervalVector", "AngularViewVector", "DetectorVector", "RotationVector", "EnergyWindowVector"),
    *("NumberOfSlices", "NumberOfTimeSlots", "NumberOfDetectors", "NumberOfRotations", "NumberOfEnergyWindows"),
    *("DetectorInformationSequence", "RotationInformationSequence", "GatedInformationSequence", "RescaleSlope"),
    *("RescaleIntercept", "PatientPosition", "PatientID", "PatientName", "StudyInstanceUID", "SOPInstanceUID"),
    *("ImagePositionPatient", "ImageOrientationPatient", "StartAngle", "AngularStep", "ScanArc", "RadialPosition"),
    *("CountsAccumulated", "WindowWidth", "NominalInterval", "FrameTime", "EnergyWindowLowerLimit"),
)


def mutations(base: bytes, n: int, seed: int) -> Iterator[bytes]:
    """``n`` damaged versions of a DICOM file, the same ones for the same seed."""
    acts: tuple[Callable[[bytes, random.Random], bytes], ...] = (
        _flip_bits,
        _flip_bits_of_header,
        _overwrite,
        _cut_tail,
        _cut_middle,
        _swap_parts,
        _repeat_part,
        _change_attributes,
        _change_attributes,
        _change_attributes,
        _swap_attributes,
        _lose_attributes,
    )
    for number in range(n):
        rng = random.Random(f"{seed}/{number}")
        content = rng.choice(acts)(base, rng)
        if rng.random() < 0.15:
            content = rng.choice(acts)(content, rng)
        yield content


def _flip_bits(content: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(rng.choice((1, 2, 8, 64, 512))):
        if damaged:
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def _header_size(content: bytes) -> int:
    end = content.find(b"\xe0\x7f\x10\x00")
    return end + 16 if end > 0 else min(len(content), 4096)


def _flip_bits_of_header(content: bytes, rng: random.Random) -> bytes:
    size = max(_header_size(content), 1)
    damaged = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        if damaged:
            damaged[rng.randrange(min(size, len(damaged)))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def _overwrite(content: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(max(_header_size(content), 1))
    length = rng.choice((1, 2, 4, 8, 32))
    filler = rng.choice((b"\0", b"\xff", b"A", b"\\", b"9"))
    return content[:start] + filler * length + content[start + length :]


def _cut_tail(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.choice((rng.randrange(len(content) + 1), rng.randrange(_header_size(content) + 1), -1, -2))]


def _cut_middle(content: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(max(_header_size(content), 1))
    return content[:start] + content[start + rng.choice((1, 2, 7, 64, 1000)) :]


def _swap_parts(content: bytes, rng: random.Random) -> bytes:
    size, length = max(_header_size(content), 1), rng.choice((2, 8, 40))
    a, b = sorted(rng.randrange(size) for _ in range(2))
    if b - a < length:
        return content[:a] + content[b:]
    return (
        content[:a]
        + content[b : b + length]
        + content[a + length : b]
        + content[a : a + length]
        + content[b + length :]
    )


def _repeat_part(content: bytes, rng: random.Random) -> bytes:
    start, length = rng.randrange(max(_header_size(content), 1)), rng.choice((4, 20, 200))
    return content[: start + length] + content[start : start + length] * rng.choice((1, 5)) + content[start + length :]


def _edit(content: bytes, rng: random.Random, act: Callable[[list[Dataset], random.Random], None]) -> bytes:
    """Change a file through its attributes; where it can no longer be parsed or written, flip bits instead."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = pydicom.dcmread(BytesIO(content), force=True)
            act(list(_levels(dataset)), rng)
            buffer = BytesIO()
            dataset.save_as(buffer, enforce_file_format=False)
            return buffer.getvalue()
        except Exception:  # whatever pydicom cannot write is no file that could reach a reader
            return _flip_bits_of_header(content, rng)


def _levels(dataset: Dataset) -> Iterator[Dataset]:
    yield dataset
    for element in list(dataset):
        if element.VR == "SQ":
            for item in element.value:
                yield from _levels(item)


def _element(levels: list[Dataset], rng: random.Random) -> tuple[Dataset, int] | None:
    everywhere = [(level, element) for level in levels for element in list(level)]
    decisive = [(level, e.tag) for level, e in everywhere if e.keyword in _DECISIVE]
    pool = decisive if decisive and rng.random() < 0.7 else [(level, e.tag) for level, e in everywhere]
    return rng.choice(pool) if pool else None


def _change_attributes(content: bytes, rng: random.Random) -> bytes:
    def act(levels: list[Dataset], rng: random.Random) -> None:
        for _ in range(rng.choice((1, 1, 2, 4))):
            found = _element(levels, rng)
            if found is None:
                return
            level, tag = found
            vr = level[tag].VR if rng.random() < 0.8 else rng.choice(_VRS)
            value = rng.choice(_NONSENSE)
            if isinstance(value, list) and vr == "SQ":
                value = [Dataset() for _ in value[:3]]
            level[tag] = DataElement(tag, vr, value)

    return _edit(content, rng, act)


def _swap_attributes(content: bytes, rng: random.Random) -> bytes:
    def act(levels: list[Dataset], rng: random.Random) -> None:
        one, other = _element(levels, rng), _element(levels, rng)
        if one is None or other is None:
            return
        (a, tag_a), (b, tag_b) = one, other
        value_a, value_b = a[tag_a].value, b[tag_b].value
        a[tag_a] = DataElement(tag_a, b[tag_b].VR, value_b)
        b[tag_b] = DataElement(tag_b, a[tag_a].VR, value_a)

    return _edit(content, rng, act)


def _lose_attributes(content: bytes, rng: random.Random) -> bytes:
    def act(levels: list[Dataset], rng: random.Random) -> None:
        for _ in range(rng.choice((1, 1, 3, 10))):
            found = _element(levels, rng)
            if found is not None and found[1] in found[0]:
                del found[0][found[1]]

    return _edit(content, rng, act)
