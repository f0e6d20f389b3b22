"""Stored pixels of a DICOM image: how many there should be, whether they are there, and their values.

Uncompressed pixels are taken straight from the bytes; compressed transfer syntaxes go through pydicom's decoders.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from myoscope.core import UnreadableFile, UnsupportedFile
from myoscope.io.dicom_header import Header, contain
from myoscope.io.jpeg_lossless import decode_jpeg_lossless

MAX_PIXELS = 1 << 27
"""More than 16 gates of 128 views of 128 x 128 pixels in two energy windows, twice over."""
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", _BIG_ENDIAN)
# The first that knows the transfer syntax decodes: one library per format, so that a damaged file meets only one.
# GDCM is left out even where it is installed: damaged data make it end the process.
_DECODERS = ("pydicom", "pyjpegls", "pylibjpeg", "pillow")
_JPEG_LOSSLESS = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")


def frame_shape(header: Header) -> tuple[int, int, int]:
    """(frames, rows, columns) as declared.

    Raises
    ------
    UnreadableFile
        If a size is missing or zero, or if there are more pixels than any such image has.
    UnsupportedFile
        If it is a colour image: a screenshot, not counts.
    """
    name = header.file_name
    samples = header.integer("SamplesPerPixel")
    photometric = header.text("PhotometricInterpretation").upper()
    if (samples or 1) != 1 or photometric.startswith(("RGB", "PALETTE", "YBR")):
        raise UnsupportedFile(f"{name} is a colour image (a screenshot?), not counts.")
    rows, columns = header.integer("Rows"), header.integer("Columns")
    if rows is None or columns is None:
        raise UnreadableFile(f"{name} does not state its size (Rows, Columns); it holds no image.")
    frames = header.integer("NumberOfFrames")
    frames = 1 if frames is None and not header.has("NumberOfFrames") else frames
    if frames is None or min(frames, rows, columns) < 1:
        raise UnreadableFile(f"{name} declares an image of {columns} x {rows} pixels in {frames} frames: no image.")
    n_pixels = frames * rows * columns
    if n_pixels > MAX_PIXELS:
        raise UnreadableFile(
            f"{name} declares {columns} x {rows} pixels in {frames} frames ({n_pixels / 1e6:.0f} million): "
            "not a nuclear cardiology image, or damaged."
        )
    return frames, rows, columns


def stored_pixels(header: Header) -> NDArray[Any]:
    """The stored values, shape (frame, row, column), before any rescaling; in the machine's byte order.

    Raises
    ------
    UnreadableFile
        If pixels are missing, fewer than declared, or cannot be decoded.
    UnsupportedFile
        If the pixels are neither 8, 16 nor 32 bit whole numbers nor 32 or 64 bit floating-point numbers.
    """
    name = header.file_name
    shape = frame_shape(header)
    syntax = contain(lambda: str(header.dataset.file_meta.get("TransferSyntaxUID", "")), f"{name} is damaged.")
    keyword = next((k for k in ("PixelData", "FloatPixelData", "DoubleFloatPixelData") if k in header.dataset), "")
    if not keyword:
        raise UnreadableFile(f"{name} holds no pixels; it was probably cut off while being copied.")
    if syntax in _JPEG_LOSSLESS:
        return _meaningful_bits(header, _decoded_here(header, shape))
    if syntax and syntax not in _NATIVE:
        return _meaningful_bits(header, _decoded(header, shape))
    content = contain(lambda: bytes(header.dataset.get(keyword)), f"{name}: the pixels cannot be read.")
    floating: dict[str, np.dtype[Any]] = {"FloatPixelData": np.dtype("f4"), "DoubleFloatPixelData": np.dtype("f8")}
    dtype = floating.get(keyword) or _integer_type(header)
    dtype = dtype.newbyteorder(">" if syntax == _BIG_ENDIAN else "<")
    n_values = int(np.prod(shape))
    if len(content) < n_values * dtype.itemsize:
        raise UnreadableFile(
            f"{name} is truncated: {shape[0]} frames of {shape[2]} x {shape[1]} pixels need "
            f"{n_values * dtype.itemsize} bytes, the file holds {len(content)}."
        )
    pixels = np.frombuffer(content, dtype, n_values).reshape(shape).astype(dtype.newbyteorder("="))
    return _meaningful_bits(header, pixels) if keyword == "PixelData" else pixels


def surplus_bytes(header: Header) -> int:
    """How many more bytes of uncompressed pixels there are than declared (one byte of padding is normal)."""
    shape = frame_shape(header)
    syntax = contain(lambda: str(header.dataset.file_meta.get("TransferSyntaxUID", "")), header.file_name)
    if (syntax and syntax not in _NATIVE) or "PixelData" not in header.dataset:
        return 0
    length = contain(lambda: len(header.dataset.get("PixelData")), header.file_name)
    surplus = length - int(np.prod(shape)) * _integer_type(header).itemsize
    return surplus if surplus > 1 else 0


def _integer_type(header: Header) -> np.dtype[Any]:
    allocated = header.integer("BitsAllocated") or 16
    if allocated not in (8, 16, 32):
        raise UnsupportedFile(f"{header.file_name} stores {allocated} bits per pixel; 8, 16 and 32 are read.")
    signed = header.integer("PixelRepresentation") == 1
    return np.dtype(f"{'i' if signed else 'u'}{allocated // 8}")


def _meaningful_bits(header: Header, pixels: NDArray[Any]) -> NDArray[Any]:
    """Only the stored bits: what lies above them may be anything (old files kept overlays there)."""
    allocated = pixels.dtype.itemsize * 8
    stored = header.integer("BitsStored") or allocated
    if not 1 <= stored <= allocated:
        raise UnreadableFile(f"{header.file_name} declares {stored} stored bits of {allocated} allocated.")
    high = header.integer("HighBit")
    high = stored - 1 if high is None else high
    if not stored - 1 <= high < allocated:
        raise UnreadableFile(f"{header.file_name} declares {high} as its highest bit with {stored} bits stored.")
    if stored == allocated:
        return pixels
    # Up to the top, then down again: the second shift copies the sign of signed pixels.
    shifted: NDArray[Any] = (pixels << (allocated - 1 - high)) >> (allocated - stored)
    return shifted


def _decoded_here(header: Header, shape: tuple[int, int, int]) -> NDArray[Any]:
    def split() -> list[bytes]:
        from pydicom.encaps import generate_frames

        return list(generate_frames(header.dataset.PixelData, number_of_frames=shape[0]))

    frames = contain(split, f"{header.file_name}: its compressed pixels are damaged.")
    if len(frames) != shape[0]:
        raise UnreadableFile(f"{header.file_name} is truncated: it holds {len(frames)} of {shape[0]} declared frames.")
    return decode_jpeg_lossless(frames, shape[1], shape[2], header.file_name).astype(_integer_type(header))


def _decoded(header: Header, shape: tuple[int, int, int]) -> NDArray[Any]:
    name = header.file_name

    def decode() -> NDArray[Any]:
        from pydicom.pixels.decoders.base import get_decoder

        decoder = get_decoder(header.dataset.file_meta.TransferSyntaxUID)
        plugin = next((p for p in _DECODERS if p in decoder.available_plugins), "")
        array, _ = decoder.as_array(header.dataset, raw=True, decoding_plugin=plugin)
        return np.asarray(array)

    pixels = contain(decode, f"{name}: its compressed pixels are damaged, or no decoder for them is installed.")
    if pixels.size != int(np.prod(shape)):
        raise UnreadableFile(f"{name} is truncated: it holds {pixels.size} of {int(np.prod(shape))} declared pixels.")
    return pixels.reshape(shape).astype(pixels.dtype.newbyteorder("="))
