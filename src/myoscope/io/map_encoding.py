"""Maps of many studies as stored numbers: 8 bits with a scale and an offset per study, labels, or 16-bit floats.

In 8 bits the largest error is 1/508 of the study's own range. NaN (not seen, not acquired) stays NaN in each but
labels, where it is 255.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from myoscope.core import InvalidValue

Encoding = Literal["8 bit", "label", "float16"]
CODES: dict[str, Any] = {"8 bit": np.uint8, "label": np.uint8, "float16": np.float16}
"""Type of the stored numbers of each encoding."""
_MISSING = 255
_STEPS = 254
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class MapKind:
    """One map of every study: its name, what it means, its unit and shape, and how it is stored.

    Polar maps have shape (40, 72); short-axis volumes (i, j, k).
    """

    name: str
    meaning: str
    unit: str
    shape: tuple[int, ...] = (40, 72)
    encoding: Encoding = "8 bit"

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InvalidValue(f"a map's name is lower-case letters, digits and _; got {self.name!r}")
        if not self.meaning or not self.unit:
            raise InvalidValue(f"map {self.name} needs a word on what it means and a unit (1 for pure numbers)")
        if self.encoding not in CODES:
            raise InvalidValue(f"a map is stored as {', '.join(CODES)}, not {self.encoding!r}")
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))

    def entry(self) -> dict[str, Any]:
        """What a file's header says of the map; `MapKind(**entry)` is the map again."""
        return {**asdict(self), "shape": list(self.shape)}


@dataclass(frozen=True, eq=False, slots=True)
class EncodedMap:
    """Stored numbers of some studies and what makes values of them: value = offset + scale x code, per study."""

    code: NDArray[Any]
    scale: NDArray[np.float32]
    offset: NDArray[np.float32]

    @property
    def n_bytes(self) -> int:
        return int(self.code.nbytes + self.scale.nbytes + self.offset.nbytes)


def encode_map(values: NDArray[Any], encoding: Encoding) -> EncodedMap:
    """Values (study, ...) as they are stored.

    Raises
    ------
    InvalidValue
        Infinite values, labels that are not whole numbers from 0 to 254, or numbers too large for 16-bit floats.
    """
    array = np.asarray(values, np.float32)
    n = array.shape[0]
    one, zero = np.ones(n, np.float32), np.zeros(n, np.float32)
    if np.isinf(array).any():
        raise InvalidValue("maps hold numbers or NaN, not infinity")
    seen = np.isfinite(array)
    if encoding == "float16":
        if np.abs(np.where(seen, array, 0)).max(initial=0) > 65504:
            raise InvalidValue("a map with numbers above 65504 does not fit 16-bit floats; store it in 8 bits")
        return EncodedMap(array.astype(np.float16), one, zero)
    if encoding == "label":
        whole = np.where(seen, np.rint(array), 0)
        if (np.where(seen, array, 0) != whole).any() or whole.min(initial=0) < 0 or whole.max(initial=0) >= _MISSING:
            raise InvalidValue("labels are whole numbers from 0 to 254")
        return EncodedMap(np.where(seen, whole, _MISSING).astype(np.uint8), one, zero)
    flat, known = array.reshape(n, -1), seen.reshape(n, -1)
    low = np.where(known, flat, np.inf).min(axis=1, initial=np.inf)
    high = np.where(known, flat, -np.inf).max(axis=1, initial=-np.inf)
    some = known.any(axis=1)
    offset = np.where(some, low, 0).astype(np.float32)
    scale = (np.where(some, high - np.where(some, low, 0), 0) / _STEPS).astype(np.float32)
    divisor = np.where(scale > 0, scale, 1)[:, None]
    code = np.rint((np.where(known, flat, offset[:, None]) - offset[:, None]) / divisor).clip(0, _STEPS)
    return EncodedMap(np.where(known, code, _MISSING).astype(np.uint8).reshape(array.shape), scale, offset)


def decode_map(encoded: EncodedMap, encoding: Encoding) -> NDArray[np.float32]:
    """The values of stored numbers, float32, NaN where there is none."""
    if encoding == "float16":
        return encoded.code.astype(np.float32)
    along = (-1, *(1 for _ in encoded.code.shape[1:]))
    values = encoded.offset.reshape(along) + encoded.scale.reshape(along) * encoded.code.astype(np.float32)
    result: NDArray[np.float32] = np.where(encoded.code == _MISSING, np.float32(np.nan), values).astype(np.float32)
    return result
