"""JPEG Lossless (process 14) for one grey component, after ITU-T T.81 annexes F and H.

Older nuclear medicine archives compress this way (DICOM transfer syntaxes .57 and .70). Of the libraries that decode
it, one is GPL and the other (GDCM 3.2) ends the whole process on damaged data, so it is decoded here. Huffman codes
can only be read one after the other, but every frame of a DICOM image is a stream of its own: all frames are read in
step, one pixel of each at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from myoscope.core import UnreadableFile

MAX_PIXELS_PER_FRAME = 512 * 512
_BATCH_BYTES = 8 << 20
_SOI, _EOI, _SOS, _DHT, _SOF3 = 0xD8, 0xD9, 0xDA, 0xC4, 0xC3

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class _Stream:
    """One frame: its Huffman table (code length and category of every 16-bit beginning), and the coded bits."""

    precision: int
    predictor: int
    point_transform: int
    code_length: IntArray
    category: IntArray
    coded: bytes


def decode_jpeg_lossless(frames: Sequence[bytes], rows: int, columns: int, file_name: str) -> NDArray[np.uint16]:
    """Frames of JPEG Lossless as numbers, shape (frame, row, column).

    Raises
    ------
    UnreadableFile
        If a frame is damaged, of another size, or larger than 512 x 512 pixels.
    """
    if rows * columns > MAX_PIXELS_PER_FRAME:
        raise UnreadableFile(f"{file_name}: JPEG Lossless is read up to 512 x 512 pixels, not {columns} x {rows}.")
    try:
        streams = [_parse(frame, rows, columns) for frame in frames]
        decoded = [_decode(batch, rows, columns) for batch in _batches(streams)]
    except _DamagedJpeg as error:
        raise UnreadableFile(f"{file_name}: its JPEG Lossless pixels are damaged ({error}).") from error
    return np.concatenate(decoded)


class _DamagedJpeg(Exception):
    """What is wrong with a stream, in a few words."""


def _parse(frame: bytes, rows: int, columns: int) -> _Stream:
    if frame[:2] != bytes((0xFF, _SOI)):
        raise _DamagedJpeg("no start of image")
    precision, table = 0, None
    at = 2
    while True:
        while frame[at : at + 2] == b"\xff\xff":
            at += 1
        if at + 4 > len(frame) or frame[at] != 0xFF:
            raise _DamagedJpeg("a marker is missing")
        marker, length = frame[at + 1], int.from_bytes(frame[at + 2 : at + 4], "big")
        part = frame[at + 4 : at + 2 + length]
        if length < 2 or len(part) != length - 2:
            raise _DamagedJpeg("a part is cut off")
        at += 2 + length
        if marker == _SOF3:
            precision = _frame_header(part, rows, columns)
        elif marker == _DHT:
            table = _huffman_table(part)
        elif 0xC0 <= marker <= 0xCF:
            raise _DamagedJpeg("it is another kind of JPEG")
        elif marker == 0xDD and any(part):
            raise _DamagedJpeg("it has restart intervals, which are not read")
        elif marker == _SOS:
            break
    if not precision or table is None or len(part) != 6 or part[0] != 1:
        raise _DamagedJpeg("a header is missing")
    predictor, point_transform = part[3], part[5] & 0x0F
    if not 1 <= predictor <= 7 or point_transform >= precision:
        raise _DamagedJpeg("its prediction does not exist")
    return _Stream(precision, predictor, point_transform, *table, _coded_bits(frame[at:]))


def _frame_header(part: bytes, rows: int, columns: int) -> int:
    if len(part) != 9 or part[5] != 1:
        raise _DamagedJpeg("it has more than one component")
    size = int.from_bytes(part[1:3], "big"), int.from_bytes(part[3:5], "big")
    if size != (rows, columns):
        raise _DamagedJpeg(f"a frame has {size[1]} x {size[0]} instead of {columns} x {rows} pixels")
    if not 2 <= part[0] <= 16:
        raise _DamagedJpeg("its precision does not exist")
    return part[0]


def _huffman_table(part: bytes) -> tuple[IntArray, IntArray]:
    """Code length and category for every 16-bit beginning; length 0 where no code begins so."""
    counts, values = part[1:17], part[17:]
    if len(counts) != 16 or sum(counts) > len(values) or sum(counts) == 0:
        raise _DamagedJpeg("its Huffman table is cut off")
    lengths, categories = np.zeros(1 << 16, np.int64), np.zeros(1 << 16, np.int64)
    code, n = 0, 0
    for length, count in enumerate(counts, start=1):
        for _ in range(count):
            first, after = code << (16 - length), (code + 1) << (16 - length)
            if after > 1 << 16 or values[n] > 16:
                raise _DamagedJpeg("its Huffman table does not exist")
            lengths[first:after], categories[first:after] = length, values[n]
            code, n = code + 1, n + 1
        code <<= 1
    return lengths, categories


def _coded_bits(rest: bytes) -> bytes:
    """The scan up to the next marker, without the zero that follows each 0xFF of the data."""
    raw = np.frombuffer(rest, np.uint8)
    marks = np.flatnonzero((raw[:-1] == 0xFF) & (raw[1:] != 0)) if raw.size > 1 else np.empty(0, int)
    end = int(marks[0]) if marks.size else raw.size
    return raw[:end].tobytes().replace(b"\xff\x00", b"\xff")


def _batches(streams: Sequence[_Stream]) -> Iterator[list[_Stream]]:
    """Runs of frames of one kind that together stay within a modest amount of memory."""
    batch: list[_Stream] = []
    for stream in streams:
        longest = max(len(s.coded) for s in (*batch, stream))
        alike = not batch or (batch[0].precision, batch[0].predictor, batch[0].point_transform) == (
            stream.precision,
            stream.predictor,
            stream.point_transform,
        )
        if batch and (not alike or longest * (len(batch) + 1) > _BATCH_BYTES):
            yield batch
            batch = []
        batch.append(stream)
    if batch:
        yield batch


def _decode(streams: list[_Stream], rows: int, columns: int) -> NDArray[np.uint16]:
    first = streams[0]
    difference = _differences(streams, rows * columns).reshape(len(streams), rows, columns)
    start = 1 << (first.precision - first.point_transform - 1)
    if first.predictor == 1:
        # Each row begins from the pixel above, then every pixel from the one to its left: two running sums.
        difference[:, 0, 0] += start
        difference[:, :, 0] = np.cumsum(difference[:, :, 0], axis=1)
        pixels = np.cumsum(difference, axis=2)
    else:
        pixels = _predicted(difference, first.predictor, start)
    return ((pixels & 0xFFFF) << first.point_transform).astype(np.uint16)


def _differences(streams: list[_Stream], n_pixels: int) -> IntArray:
    """The coded differences of all frames, shape (frame, pixel)."""
    n_bytes = np.array([len(s.coded) for s in streams])
    width = int(n_bytes.max()) + 1
    padded = np.zeros((len(streams), width + 5), np.uint8)
    for row, stream in zip(padded, streams, strict=True):
        row[: len(stream.coded)] = np.frombuffer(stream.coded, np.uint8)
    # The 40 bits from each byte on: a code and its bits are at most 32, beginning within a byte.
    ahead = np.zeros((len(streams), width), np.int64)
    for n in range(5):
        ahead = (ahead << 8) | padded[:, n : n + width]
    lengths = np.stack([s.code_length for s in streams])
    categories = np.stack([s.category for s in streams])
    frame = np.arange(len(streams))
    position = np.zeros(len(streams), np.int64)
    last = (n_bytes * 8).astype(np.int64)
    found = np.empty((len(streams), n_pixels), np.int64)
    for pixel in range(n_pixels):
        bits = ahead[frame, np.minimum(position >> 3, width - 1)]
        within = position & 7
        beginning = (bits >> (24 - within)) & 0xFFFF
        length, category = lengths[frame, beginning], categories[frame, beginning]
        # Category 16 stands for 32768 alone and has no bits of its own.
        extra = np.where(category == 16, 0, category)
        value = (bits >> (40 - within - length - extra)) & ((1 << extra) - 1)
        negative = value < (1 << np.maximum(extra - 1, 0))
        found[:, pixel] = np.where(
            category == 16, 1 << 15, np.where((extra > 0) & negative, value - (1 << extra) + 1, value)
        )
        position += length + extra
        if length.min() == 0 or (position > last).any():
            raise _DamagedJpeg("its codes end early or do not exist")
    return found


def _predicted(difference: IntArray, predictor: int, start: int) -> IntArray:
    """Undo the prediction from left (a), above (b) and above left (c), T.81 table H.1; all frames in step."""
    pixels = np.zeros_like(difference)
    _, rows, columns = difference.shape
    for row in range(rows):
        for column in range(columns):
            if row == 0:
                guess = np.asarray(start) if column == 0 else pixels[:, 0, column - 1]
            elif column == 0:
                guess = pixels[:, row - 1, 0]
            else:
                a, b, c = pixels[:, row, column - 1], pixels[:, row - 1, column], pixels[:, row - 1, column - 1]
                guess = _guess(predictor, a, b, c)
            pixels[:, row, column] = (guess + difference[:, row, column]) & 0xFFFF
    return pixels


def _guess(predictor: int, a: IntArray, b: IntArray, c: IntArray) -> IntArray:
    match predictor:
        case 2:
            return b
        case 3:
            return c
        case 4:
            return a + b - c
        case 5:
            return a + ((b - c) >> 1)
        case 6:
            return b + ((a - c) >> 1)
        case _:
            return (a + b) >> 1
