"""8-bit images with a colour table beside them, as PNG.

The page keeps one byte per pixel (a percentage of the maximum) and the colours in the PNG's own table, so a
browser without scripts shows it, and the page's script recolours it by replacing 768 bytes. Rows are stored
with filter 0 or 2.
"""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

LEVELS = 254
"""Index of 100 %; 0 is 0 %."""
NOT_SEEN = 255
"""Index of a pixel without a value."""
NOT_SEEN_RGB = (120, 124, 132)


def to_levels(percent: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Percentages as palette indices: below 0 and above 100 are clipped, NaN becomes ``NOT_SEEN``."""
    seen = np.isfinite(percent)
    level = np.round(np.clip(np.where(seen, percent, 0.0), 0, 100) * (LEVELS / 100)).astype(np.uint8)
    return np.where(seen, level, np.uint8(NOT_SEEN)).astype(np.uint8)


def windowed_palette(
    table: NDArray[np.uint8], *, lower_percent: float = 0.0, upper_percent: float = 100.0
) -> NDArray[np.uint8]:
    """The table stretched between two percentages of the maximum, for all 256 indices."""
    percent = np.arange(256) * (100 / LEVELS)
    span = max(upper_percent - lower_percent, 1e-6)
    entry = np.floor(np.clip((percent - lower_percent) / span, 0, 1) * 255 + 0.5).astype(int)
    palette: NDArray[np.uint8] = table[entry].copy()
    palette[NOT_SEEN] = NOT_SEEN_RGB
    return palette


def encode_png(
    pixels: NDArray[np.uint8], palette: NDArray[np.uint8], *, transparent: int | None = None, level: int = 6
) -> bytes:
    """A palette PNG of an index image; shape (rows, columns), palette (256, 3)."""
    rows, columns = pixels.shape
    above = np.vstack([np.zeros((1, columns), np.uint8), pixels[:-1]])
    # Filter 2 (difference to the row above) suits smooth images.
    body = np.hstack([np.full((rows, 1), 2, np.uint8), pixels - above])
    alpha = b""
    if transparent is not None:
        alpha = _chunk(b"tRNS", bytes([255] * transparent + [0]))
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0))
        + _chunk(b"PLTE", np.ascontiguousarray(palette).tobytes())
        + alpha
        + _chunk(b"IDAT", zlib.compress(body.tobytes(), level))
        + _chunk(b"IEND", b"")
    )


def data_url(png: bytes) -> str:
    """The picture as text that stands inside the page."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
