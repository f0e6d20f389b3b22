"""Where a DICOM data set turns into plain values: the only place that touches pydicom's objects.

pydicom meets a damaged file with whatever exception its parser happens to fall into, and with warnings. Both are
contained here: every access ends in a plain Python value, in None (with the attribute's keyword noted in
``unreadable``), or in ``UnreadableFile``. The code that makes sense of the values sees nothing else, so an
exception there is a defect of ours and is not hidden.
"""

from __future__ import annotations

import hashlib
import math
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from myoscope.core import UnreadableFile
from myoscope.io.codes import Code, vocabulary

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.tag import BaseTag

T = TypeVar("T")

MAX_FILE_BYTES = 1 << 30
# A deflated data set is unpacked in memory at once, several times over; no NM study comes near this.
_MAX_UNPACKED_BYTES = 1 << 28
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_MAX_VALUES = 100_000


def contain(action: Callable[[], T], failed: str) -> T:
    """What pydicom returns, with its warnings silenced and any failure raised as ``UnreadableFile``.

    The one broad ``except`` of this package: pydicom and its decoders document no closed list of what they raise
    on damaged bytes (seen: AttributeError, KeyError, IndexError, TypeError, struct.error, RecursionError,
    NotImplementedError, UnicodeError). Only pydicom may be called inside ``action``.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _unreadable_if_it_fails(action, failed)


def _unreadable_if_it_fails(action: Callable[[], T], failed: str) -> T:
    try:
        return action()
    except Exception as error:
        raise UnreadableFile(failed) from error


# Values of these kinds follow from their bytes alone: no character set and no other attribute has a say in them.
_PLAIN_KINDS = frozenset(("AE", "AS", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "SL", "SS", "TM", "UI", "UL", "US"))
_LONGEST_REMEMBERED, _MOST_REMEMBERED = 256, 20_000

_Bytes = tuple[int, str, bytes, bool]
_KNOWN: ContextVar[dict[_Bytes, tuple[Any, ...]] | None] = ContextVar("_KNOWN", default=None)


@contextmanager
def many_files() -> Iterator[None]:
    """While many files are read, pydicom is silent, and a value that one file told is not decoded for the next.

    `contain` round each attribute would cost a fifth of a dynamic study, decoding the same words of its thousand files
    half of it.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")
        before = _KNOWN.set({})
        try:
            yield
        finally:
            _KNOWN.reset(before)


@dataclass(frozen=True, slots=True)
class Header:
    """The attributes of one data set (or sequence item) as plain values.

    ``unreadable`` collects, over the whole file, the keywords of attributes whose content was not what their
    type promises; they count as missing. No attribute's content appears in any message: it could be a name.
    """

    dataset: Dataset
    file_name: str
    unreadable: set[str]
    _known: dict[str, tuple[Any, ...]] = field(default_factory=dict, repr=False)

    def has(self, keyword: str) -> bool:
        """Whether the attribute is there and not empty."""
        return len(self._values(keyword)) > 0

    def texts(self, keyword: str) -> tuple[str, ...]:
        """All values as stripped text, empty ones left out."""
        return tuple(text for text in self._all(keyword, _stripped) if text)

    def text(self, keyword: str) -> str:
        """All values as one text; empty where the attribute is missing."""
        return " ".join(self.texts(keyword))

    def numbers(self, keyword: str) -> tuple[float, ...]:
        """All values as numbers (possibly not finite); empty if one of them is no number."""
        return self._all(keyword, float)

    def integers(self, keyword: str) -> tuple[int, ...]:
        """All values as whole numbers; empty if one of them is none."""
        return self._all(keyword, _whole)

    def number(self, keyword: str) -> float | None:
        """The first value as a finite number, or None."""
        values = self.numbers(keyword)
        if values and not math.isfinite(values[0]):
            self.unreadable.add(keyword)
            return None
        return values[0] if values else None

    def positive(self, keyword: str) -> float | None:
        """The first value where it is finite and above zero, or None: many writers fill gaps with 0."""
        value = self.number(keyword)
        return value if value is not None and value > 0 else None

    def integer(self, keyword: str) -> int | None:
        """The first value as a whole number, or None."""
        values = self.integers(keyword)
        return values[0] if values else None

    def count(self, keyword: str) -> int | None:
        """The first value as a whole number above zero, or None."""
        value = self.integer(keyword)
        return value if value is not None and value > 0 else None

    def items(self, keyword: str) -> tuple[Header, ...]:
        """The items of a sequence; empty where it is missing or no sequence."""
        from pydicom.dataset import Dataset

        found = tuple(v for v in self._values(keyword) if isinstance(v, Dataset))
        return tuple(Header(item, self.file_name, self.unreadable) for item in found)

    def first(self, keyword: str) -> Header | None:
        """The first item of a sequence, or None."""
        items = self.items(keyword)
        return items[0] if items else None

    def codes(self, keyword: str) -> tuple[Code, ...]:
        """The (vocabulary, code value) of each item of a code sequence."""
        found = (
            (vocabulary(item.text("CodingSchemeDesignator")), item.text("CodeValue") or item.text("LongCodeValue"))
            for item in self.items(keyword)
        )
        return tuple(code for code in found if code[1])

    def _values(self, keyword: str) -> tuple[Any, ...]:
        values = self._known.get(keyword)
        if values is None:
            values = self._known[keyword] = self._tried(keyword, lambda: self._decoded(keyword))
        return values

    def _decoded(self, keyword: str) -> tuple[Any, ...]:
        told = _KNOWN.get()
        key = None if told is None else _bytes_of(self.dataset.get_item(_tag_of(keyword)))
        if told is None or key is None:
            return _as_tuple(self.dataset.get(keyword))
        values = told.get(key)
        if values is None:
            values = _as_tuple(self.dataset.get(keyword))
            if len(told) < _MOST_REMEMBERED:
                told[key] = values
        return values

    def _all(self, keyword: str, kind: Callable[[Any], T]) -> tuple[T, ...]:
        values = self._values(keyword)
        return self._tried(keyword, lambda: tuple(kind(value) for value in values)) if values else ()

    def _tried(self, keyword: str, get: Callable[[], tuple[T, ...]]) -> tuple[T, ...]:
        try:
            return (contain if _KNOWN.get() is None else _unreadable_if_it_fails)(get, keyword)
        except UnreadableFile:
            self.unreadable.add(keyword)
            return ()


def _as_tuple(value: Any) -> tuple[Any, ...]:
    from pydicom.multival import MultiValue
    from pydicom.sequence import Sequence

    if value is None or value == "" or value == b"":
        return ()
    if isinstance(value, MultiValue | Sequence | list | tuple):
        return tuple(value[:_MAX_VALUES])
    return (value,)


def _bytes_of(element: object) -> _Bytes | None:
    """All that the value of an attribute follows from: tag, kind, bytes, their order; None if there is more to it."""
    from pydicom.dataelem import RawDataElement

    if not isinstance(element, RawDataElement) or not element.value or len(element.value) > _LONGEST_REMEMBERED:
        return None
    kind = element.VR or _kind_of(element.tag)
    return (int(element.tag), kind, element.value, element.is_little_endian) if kind in _PLAIN_KINDS else None


@cache
def _tag_of(keyword: str) -> BaseTag:
    from pydicom.tag import Tag

    return Tag(keyword)


@cache
def _kind_of(tag: int) -> str:
    """The kind of value that the standard gives an attribute, empty for unknown ones; files may leave it out."""
    from pydicom.datadict import dictionary_VR

    try:
        return dictionary_VR(tag)
    except KeyError:
        return ""


def _stripped(value: Any) -> str:
    return str(value).strip(" \0\t\r\n")


def _whole(value: Any) -> int:
    number = float(value)
    if number != int(number):
        raise ValueError
    return int(number)


@dataclass(frozen=True, slots=True)
class LoadedFile:
    """A whole DICOM file: its attributes with pixels, its hash and its size."""

    header: Header
    sha256: str
    n_bytes: int


def read_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises
    ------
    UnreadableFile
        If it is not there (any more), may not be read, is no ordinary file, is empty or larger than 1 GB.
    """
    try:
        if path.exists() and not path.is_file():
            raise UnreadableFile(f"{path.name} is not an ordinary file.")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise UnreadableFile(f"{path.name} is larger than {MAX_FILE_BYTES >> 30} GB; no such study is read.")
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise UnreadableFile(f"{path.name} does not exist, or disappeared while it was being read.") from error
    except PermissionError as error:
        raise UnreadableFile(f"{path.name} may not be read by this user (permission denied).") from error
    except OSError as error:
        raise UnreadableFile(f"{path.name} could not be read: {error.strerror or 'input/output error'}.") from error
    if not content:
        raise UnreadableFile(f"{path.name} is empty (0 bytes); it was probably not copied completely.")
    return content


def looks_like_dicom(start: bytes) -> bool:
    """Whether the first bytes of a file are those of DICOM, with or without the 128-byte preamble."""
    if start[128:132] == b"DICM":
        return True
    # Old files begin with the first element at once: group 0002 or 0008, in either byte order.
    return start[:2] in (b"\x02\x00", b"\x08\x00") and start[3:4] == b"\x00" and len(start) > 8


def parse(content: bytes, file_name: str, *, with_pixels: bool) -> Header:
    """The attributes of a DICOM file held in memory.

    Raises
    ------
    UnreadableFile
        If it is not DICOM, or pydicom cannot follow its structure.
    """
    if not looks_like_dicom(content[:256]):
        raise UnreadableFile(f"{file_name} is not a DICOM file (the mark DICM is missing).")
    _refuse_deflate_bomb(content, file_name)

    def read() -> Dataset:
        from pydicom import dcmread

        return dcmread(BytesIO(content), force=content[128:132] != b"DICM", stop_before_pixels=not with_pixels)

    dataset = contain(read, f"{file_name} is damaged: its DICOM structure cannot be followed.")
    return Header(dataset, file_name, set())


def load(path: Path, *, content: bytes | None = None) -> LoadedFile:
    """Read a DICOM file with its pixels (not yet decoded); ``content`` if all of it was read already.

    Raises
    ------
    UnreadableFile
        See ``read_bytes`` and ``parse``.
    """
    content = read_bytes(path) if content is None else content
    header = parse(content, path.name, with_pixels=True)
    return LoadedFile(header, hashlib.sha256(content).hexdigest(), len(content))


def _refuse_deflate_bomb(content: bytes, file_name: str) -> None:
    """Deflated data sets are inflated whole by pydicom: refuse those that would not fit."""
    if _DEFLATED not in content[:2048] or content[128:132] != b"DICM":
        return
    start = 144 + int.from_bytes(content[140:144], "little")
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    n_bytes, chunk = 0, content[start:]
    try:
        while chunk and not inflater.eof:
            n_bytes += len(inflater.decompress(chunk, 1 << 24))
            chunk = inflater.unconsumed_tail
            if n_bytes > _MAX_UNPACKED_BYTES:
                raise UnreadableFile(f"{file_name} would unpack to more than {_MAX_UNPACKED_BYTES >> 20} MB.")
    except zlib.error as error:
        raise UnreadableFile(f"{file_name} is damaged: its deflated data cannot be unpacked.") from error
