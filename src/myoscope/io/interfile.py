"""Projections in Interfile 3.3: a text header with keys, and the pixels in a file beside it.

Keys after Todd-Pokropek, Cradduck and Deconinck, "A file format for the exchange of nuclear medicine image data:
a specification of Interfile version 3.3", Nucl Med Commun 1992;13:673, with its later keys for gated SPECT.

**Angles.** Interfile counts from top dead centre in the direction of rotation; it does not say from which side.
Here, as in the usual reading, one looks from the patient's feet. DICOM and ``Projections`` count from the patient's
back, counter-clockwise as seen from the feet. So for a supine patient, whose front is at the top,

    DICOM = 180 - Interfile (rotation CW)        DICOM = 180 + Interfile (rotation CCW)

and for a prone one, whose back is at the top, 0 in place of 180. This is the only place that converts.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myoscope.core import EnergyWindow, Gating, InvalidValue, Projections, UnreadableFile, UnsupportedFile
from myoscope.core.geometry import FloatArray
from myoscope.io.atomic import atomic_write

_MAX_HEADER_BYTES = 1_000_000
_BLOCK_BYTES = 2048
_FORMATS = {"unsignedinteger": "u", "signedinteger": "i", "shortfloat": "f", "longfloat": "f", "float": "f"}
_TOP_DEG = {"supine": 180.0, "prone": 0.0}
"""DICOM angle of top dead centre by how the patient lies."""


def read_interfile(header_path: Path | str) -> Projections:
    """The projections that an Interfile 3.3 header describes (``Tomographic`` or ``GSPECT``, acquired).

    Case, spaces, underscores, exclamation marks and comments in the header do not matter. Several heads become
    one list of views. The pixels are read only from a file in the header's own folder. An energy window without
    limits spans 0 to 1000 keV and says so in its name; ``radius_mm`` and ``view_duration_s`` are NaN where the
    header is silent; a patient whose position is not given counts as supine, as the format says.

    Raises
    ------
    UnreadableFile
        Not an Interfile header, a key that is missing or makes no sense, a data file that is missing, too short or
        outside the header's folder.
    UnsupportedFile
        Sound, but a reconstruction, another kind of study, compressed, or in bits or text.
    """
    path = Path(header_path)
    keys = _Keys.read(path)
    kind = keys.word("type of data", "other")
    if kind not in ("tomographic", "tomo", "gspect"):
        raise UnsupportedFile(f"{path.name} holds {kind} data; only Tomographic and GSPECT projections are read")
    if keys.word("process status", "acquired") != "acquired":
        raise UnsupportedFile(f"{path.name} holds a reconstruction; only projections are read from Interfile")
    for key in ("data compression", "data encode"):
        if keys.word(key, "none") != "none":
            raise UnsupportedFile(f"{path.name}: {key} {keys.word(key, '')!r} cannot be undone here")

    columns, rows = keys.count("matrix size [1]"), keys.count("matrix size [2]")
    n_views, n_windows = keys.count("number of projections"), keys.count("number of energy windows", 1)
    heads = keys.count("number of detector heads", 1)
    gates = keys.count("number of images in time window") if kind == "gspect" else 1
    if kind == "gspect" and keys.count("number of time windows", 1) != 1:
        raise UnsupportedFile(f"{path.name} sorts beats into several time windows; only one is read")
    by_view = kind == "gspect" and keys.word("gated spect nesting outer level", "gated") == "spect"

    dtype = _pixel_type(keys)
    shape = (n_windows, heads, n_views, gates) if by_view else (n_windows, heads, gates, n_views)
    stored = _pixels(keys, dtype, (*shape, rows, columns))
    if by_view:
        stored = np.swapaxes(stored, 2, 3)
    # (window, head, gate, view, v, u) to one list of views
    counts = np.moveaxis(stored, 1, 2).reshape(n_windows, gates, heads * n_views, rows, columns)
    slope, made_by = keys.slope(), ["read from Interfile"]
    if slope != 1.0:
        counts = counts * slope
        made_by.append(f"scaled by {slope:g} as the header asks")

    position = keys.word("patient rotation", "supine")
    if position not in _TOP_DEG:
        raise UnsupportedFile(f"{path.name}: the patient lay {position!r}; angles need supine or prone")
    try:
        return Projections(
            counts=counts,
            angle_deg=np.concatenate([_angles(keys, head, heads, n_views, position) for head in range(heads)]),
            radius_mm=np.concatenate([_radii(keys, head, heads, n_views) for head in range(heads)]),
            pixel_mm=(keys.length("scaling factor (mm/pixel) [1]"), keys.length("scaling factor (mm/pixel) [2]")),
            windows=tuple(_window(keys, n) for n in range(1, n_windows + 1)),
            view_duration_s=np.full(heads * n_views, keys.number("time per projection (sec)", math.nan)),
            patient_position=_position_term(keys, position),
            collimator=keys.text("collimator") or None,
            gating=_gating(keys, gates) if kind == "gspect" else None,
            made_by=tuple(made_by),
        )
    except InvalidValue as error:
        raise UnreadableFile(f"{path.name} describes projections that cannot be: {error}") from error


@dataclass(frozen=True, slots=True)
class _Keys:
    """A header's keys as the format compares them, each with its values from top to bottom."""

    path: Path
    values: dict[str, list[str]]

    @classmethod
    def read(cls, path: Path) -> _Keys:
        try:
            with path.open("rb") as file:
                raw = file.read(_MAX_HEADER_BYTES)
        except OSError as error:
            raise UnreadableFile(f"{path.name} cannot be read: {error.strerror or error}") from error
        values: dict[str, list[str]] = {}
        for line in re.split(r"\r\n|\r|\n", raw.split(b"\x1a")[0].decode("latin-1")):
            key, separator, value = line.split(";")[0].partition(":=")
            if not key.strip():
                continue
            name = _canonical(key)
            if not values and name != "interfile":
                break
            if not separator:
                continue
            if name == "endofinterfile":
                break
            values.setdefault(name, []).append(value.strip())
        if not values:
            raise UnreadableFile(f"{path.name} is not an Interfile header: it does not begin with !INTERFILE")
        return cls(path, values)

    def text(self, key: str, head: int = 0) -> str:
        """The value of a key (for one head, where each head repeats it), or nothing."""
        found = self.values.get(_canonical(key), [])
        return found[min(head, len(found) - 1)] if found else ""

    def word(self, key: str, default: str) -> str:
        return re.sub(r"[\s_]+", " ", self.text(key)).strip().lower() or default

    def number(self, key: str, default: float | None = None, head: int = 0) -> float:
        text = self.text(key, head)
        if not text:
            if default is None:
                raise UnreadableFile(f"{self.path.name} lacks the key '{key}'")
            return default
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise UnreadableFile(f"{self.path.name}: '{key}' is not a number")
        return value

    def count(self, key: str, default: int | None = None) -> int:
        value = self.number(key, default)
        if value != int(value) or not 1 <= value <= 65535:
            raise UnreadableFile(f"{self.path.name}: '{key}' is {value:g}, not a whole number from 1 to 65535")
        return int(value)

    def length(self, key: str) -> float:
        value = self.number(key)
        if not 0.05 <= value <= 100:
            raise UnreadableFile(f"{self.path.name}: '{key}' is {value:g}, not a pixel size in mm")
        return value

    def numbers(self, key: str) -> list[float]:
        """A list in braces, as in ``Radii := {150, 151}``; empty where there is none."""
        text = self.text(key)
        if not text.startswith("{"):
            return []
        try:
            return [float(part) for part in text.strip("{}").split(",")]
        except ValueError as error:
            raise UnreadableFile(f"{self.path.name}: '{key}' is not a list of numbers") from error

    def slope(self) -> float:
        slopes = {self.number(key, 1.0) for key in ("quantification units", "NUD/rescale slope")} - {1.0}
        if len(slopes) > 1 or self.number("NUD/rescale intercept", 0.0) != 0:
            raise UnsupportedFile(f"{self.path.name} scales its pixels in a way that contradicts itself")
        slope = slopes.pop() if slopes else 1.0
        if not slope > 0:
            raise UnreadableFile(f"{self.path.name} scales its pixels by {slope:g}")
        return slope


def _canonical(key: str) -> str:
    """Key as the format compares it: no case, and blanks, tabs, underscores and ! count for nothing."""
    return re.sub(r"[\s_!]", "", key.lower())


def _pixel_type(keys: _Keys) -> np.dtype[Any]:
    name = _canonical(keys.text("number format") or "unsigned integer")
    if name in ("bit", "ascii"):
        raise UnsupportedFile(f"{keys.path.name} stores its pixels as {name}; integers and floats are read")
    size = keys.count("number of bytes per pixel", 8 if name == "longfloat" else 4 if name.endswith("float") else None)
    if name not in _FORMATS or size not in ((4, 8) if name.endswith("float") else (1, 2, 4, 8)):
        raise UnreadableFile(f"{keys.path.name}: pixels of {size} bytes in the format {name!r} do not exist")
    order = keys.word("imagedata byte order", "bigendian").replace(" ", "")
    if order not in ("bigendian", "littleendian"):
        raise UnreadableFile(f"{keys.path.name}: a byte order is BIGENDIAN or LITTLEENDIAN, not {order!r}")
    return np.dtype(f"{'>' if order == 'bigendian' else '<'}{_FORMATS[name]}{size}")


def _pixels(keys: _Keys, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    data = _data_file(keys)
    offset = int(keys.number("data offset in bytes", keys.number("data starting block", 0.0) * _BLOCK_BYTES))
    needed = math.prod(shape) * dtype.itemsize
    try:
        available = data.stat().st_size - offset
        if offset < 0 or available < needed:
            raise UnreadableFile(
                f"{data.name} is too short: {keys.path.name} describes {needed} bytes of pixels "
                f"from byte {offset}, there are {max(available, 0)}"
            )
        with data.open("rb") as file:
            file.seek(offset)
            raw = file.read(needed)
    except OSError as error:
        raise UnreadableFile(f"{data.name} cannot be read: {error.strerror or error}") from error
    if len(raw) != needed:
        raise UnreadableFile(f"{data.name} became shorter while it was read")
    return np.frombuffer(raw, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _data_file(keys: _Keys) -> Path:
    """The file with the pixels: beside the header, nowhere else."""
    name = keys.text("name of data file")
    if not name:
        raise UnreadableFile(f"{keys.path.name} does not name its data file")
    if len(PurePosixPath(name).parts) != 1 or len(PureWindowsPath(name).parts) != 1 or name in (".", ".."):
        raise UnreadableFile(
            f"{keys.path.name} points to data in another folder; put the data file beside the header and name it alone"
        )
    folder = keys.path.parent
    try:
        candidates = [entry for entry in folder.iterdir() if entry.name.lower() == name.lower()]
        chosen = next((c for c in candidates if c.name == name), candidates[0] if len(candidates) == 1 else None)
        if chosen is None or not chosen.is_file():
            raise UnreadableFile(f"the data file that {keys.path.name} names is not beside it")
        if chosen.resolve().parent != folder.resolve():
            raise UnreadableFile(f"the data file that {keys.path.name} names is a link to another folder")
    except OSError as error:
        raise UnreadableFile(f"the folder of {keys.path.name} cannot be read: {error.strerror or error}") from error
    return chosen


def _angles(keys: _Keys, head: int, heads: int, n_views: int, position: str) -> FloatArray:
    """DICOM angles of one head's views."""
    for key in ("start angle", "extent of rotation"):
        if key == "start angle" and heads > 1 and len(keys.values.get(_canonical(key), [])) != heads:
            raise UnreadableFile(f"{keys.path.name} has {heads} heads and does not give each its start angle")
    start = keys.number("first projection angle in data set", math.nan, head)
    if not math.isfinite(start):
        start = keys.number("start angle", None, head)
    extent = keys.number("extent of rotation", None, head)
    if not 0 < abs(extent) <= 3600:
        raise UnreadableFile(f"{keys.path.name}: an extent of rotation of {extent:g} deg turns nothing")
    direction = _canonical(keys.text("direction of rotation", head) or "CW")
    if direction not in ("cw", "ccw"):
        raise UnreadableFile(f"{keys.path.name}: a direction of rotation is CW or CCW, not {direction!r}")
    turned = start + np.arange(n_views) * extent / n_views
    angle: FloatArray = _TOP_DEG[position] + (turned if direction == "ccw" else -turned)
    angle -= 360 * math.floor(angle[0] / 360)
    return angle


def _position_term(keys: _Keys, rotation: str) -> str | None:
    """How the patient lay in DICOM's term, such as HFS; None where the entry is neither head nor feet first."""
    entry = {"head in": "HF", "feet in": "FF"}.get(keys.word("patient orientation", "head in"))
    return entry and entry + rotation[0].upper()


def _radii(keys: _Keys, head: int, heads: int, n_views: int) -> FloatArray:
    """One radius for all views, or a list (an extension that STIR writes); NaN where none is given."""
    for key in ("radii", "radius"):
        listed = keys.numbers(key)
        if listed:
            if heads != 1 or len(listed) != n_views:
                raise UnreadableFile(f"{keys.path.name} lists {len(listed)} radii for {n_views} views")
            return np.asarray(listed, float)
    radius = keys.number("radius", math.nan, head)
    return np.full(n_views, radius if radius > 0 else math.nan)


def _window(keys: _Keys, n: int) -> EnergyWindow:
    low = keys.number(f"energy window lower level [{n}]", math.nan)
    high = keys.number(f"energy window upper level [{n}]", math.nan)
    if not math.isfinite(low) or not math.isfinite(high):
        return EnergyWindow(f"window {n} (limits not stated)", 0.0, 1000.0)
    return EnergyWindow(keys.text(f"energy window [{n}]") or f"{low:g} to {high:g} keV", low, high)


def _gating(keys: _Keys, gates: int) -> Gating:
    def positive(key: str) -> float | None:
        value = keys.number(key, math.nan)
        return value if value > 0 else None

    duration = positive("image duration (sec)")
    low, high = positive("time window lower limit (sec)"), positive("time window upper limit (sec)")
    accepted = positive("number of cardiac cycles (acquired)")
    observed = positive("number of cardiac cycles (observed)")
    known = accepted is not None and observed is not None and observed >= accepted
    return Gating(
        gates,
        rr_ms=duration * gates * 1000 if duration is not None else None,
        rr_low_ms=low * 1000 if low is not None else None,
        rr_high_ms=high * 1000 if high is not None else None,
        accepted_beats=round(accepted) if accepted is not None else None,
        rejected_beats=round((observed or 0) - (accepted or 0)) if known else None,
    )


def write_interfile(projections: Projections, header_path: Path | str) -> Path:
    """Store projections as an Interfile 3.3 header (``.h33``) and its data (``.i33``, the path that is returned).

    Counts keep their type and value, little-endian; the view angles must be evenly spaced. Both files are whole
    before either takes its name. No identifiers are written.

    Raises
    ------
    InvalidValue
        Unevenly spaced views or durations, complex counts, a patient neither supine nor prone, a header not named
        ``.h33``.
    OutputError
        A file cannot be written.
    """
    path = Path(header_path)
    if path.suffix != ".h33":
        raise InvalidValue(f"an Interfile header is named .h33, not {path.name}")
    counts = projections.counts
    if counts.dtype == np.float16:
        counts = counts.astype(np.float32)
    if counts.dtype.kind not in "biuf" or counts.dtype.itemsize > 8:
        raise InvalidValue(f"Interfile stores integers and floats, not {counts.dtype}")
    term = projections.patient_position or "HFS"
    if term not in ("HFS", "HFP", "FFS", "FFP"):
        raise InvalidValue(f"Interfile knows supine and prone patients, head or feet first, not {term}")
    position = "prone" if term.endswith("P") else "supine"
    start, extent, direction = _turn(projections.angle_deg, position)
    duration = projections.view_duration_s
    if not (np.isnan(duration).all() or (duration == duration[0]).all()):
        raise InvalidValue("Interfile has one duration for all views; these differ")
    n_windows, gates, n_views, rows, columns = counts.shape
    data = path.with_suffix(".i33")
    lines = [
        "!INTERFILE :=",
        "!imaging modality := nucmed",
        "!originating system := Myoscope",
        "!version of keys := 3.3",
        "!GENERAL DATA :=",
        "!data offset in bytes := 0",
        f"!name of data file := {data.name}",
        "patient name :=",
        "!patient ID := ANONYMOUS",
        "!study ID := ANONYMOUS",
        "data compression := none",
        "data encode := none",
        "!GENERAL IMAGE DATA :=",
        f"!type of data := {'GSPECT' if projections.gating else 'Tomographic'}",
        f"!total number of images := {n_windows * gates * n_views}",
        "imagedata byte order := LITTLEENDIAN",
        f"number of energy windows := {n_windows}",
    ]
    for n, window in enumerate(projections.windows, start=1):
        lines += [
            f"energy window [{n}] := {_line(window.name)}",
            f"energy window lower level [{n}] := {_number(window.lower_keV)}",
            f"energy window upper level [{n}] := {_number(window.upper_keV)}",
        ]
    lines += [
        "!SPECT STUDY (general) :=",
        "number of detector heads := 1",
        f"!number of images/energy window := {gates * n_views}",
        "!process status := Acquired",
        f"!matrix size [1] := {columns}",
        f"!matrix size [2] := {rows}",
        f"!number format := {_number_format(counts.dtype)}",
        f"!number of bytes per pixel := {counts.dtype.itemsize}",
        f"scaling factor (mm/pixel) [1] := {_number(projections.pixel_mm[0])}",
        f"scaling factor (mm/pixel) [2] := {_number(projections.pixel_mm[1])}",
        *_gated_lines(projections.gating),
        f"!number of projections := {n_views}",
        f"!extent of rotation := {_number(extent)}",
        *([] if np.isnan(duration).all() else [f"!time per projection (sec) := {_number(duration[0])}"]),
        f"!maximum pixel count := {counts.max()}",
        f"patient orientation := {'feet_in' if term.startswith('FF') else 'head_in'}",
        f"patient rotation := {position}",
        "!SPECT STUDY (acquired data) :=",
        f"!direction of rotation := {direction}",
        f"start angle := {_number(start)}",
        *_orbit_lines(projections.radius_mm),
        *([f"collimator := {_line(projections.collimator)}"] if projections.collimator else []),
        "!END OF INTERFILE :=",
    ]
    pixels = np.ascontiguousarray(counts).astype(counts.dtype.newbyteorder("<")).tobytes()
    with atomic_write(path) as header_file, atomic_write(data) as data_file:
        data_file.write(pixels)
        header_file.write("\r\n".join([*lines, ""]).encode("latin-1", "replace"))
    return data


def _turn(angle_deg: FloatArray, position: str) -> tuple[float, float, str]:
    """Start angle, extent and direction of rotation as Interfile counts them."""
    steps = (np.diff(angle_deg) + 180) % 360 - 180
    step = float(steps.mean()) if steps.size else 0.0
    if steps.size and (np.abs(steps - step).max() > 1e-4 or step == 0):
        raise InvalidValue("Interfile needs views at an even angular step; these are uneven")
    sign, direction = (1.0, "CCW") if step > 0 else (-1.0, "CW")
    start = sign * (float(angle_deg[0]) - _TOP_DEG[position]) % 360
    return start, abs(step) * angle_deg.size if steps.size else 360.0, direction


def _number_format(dtype: np.dtype[Any]) -> str:
    if dtype.kind == "f":
        return "short float" if dtype.itemsize == 4 else "long float"
    return "signed integer" if dtype.kind == "i" else "unsigned integer"


def _gated_lines(gating: Gating | None) -> list[str]:
    if gating is None:
        return []
    lines = ["!Gated SPECT nesting outer level := Gated"]
    if gating.accepted_beats is not None and gating.rejected_beats is not None:
        observed = gating.accepted_beats + gating.rejected_beats
        lines.append(f"number of cardiac cycles (observed) := {observed}")
    lines += ["number of time windows := 1", "!time window number := 1"]
    lines.append(f"!number of images in time window := {gating.n_gates}")
    if gating.rr_ms is not None:
        lines.append(f"!image duration (sec) := {_number(gating.rr_ms / 1000 / gating.n_gates)}")
    for word, value in (("lower", gating.rr_low_ms), ("upper", gating.rr_high_ms)):
        if value is not None:
            lines.append(f"time window {word} limit (sec) := {_number(value / 1000)}")
    if gating.accepted_beats is not None:
        lines.append(f"number of cardiac cycles (acquired) := {gating.accepted_beats}")
    return lines


def _orbit_lines(radius_mm: FloatArray) -> list[str]:
    if not np.isfinite(radius_mm).all():
        return []
    if (radius_mm == radius_mm[0]).all():
        return ["orbit := Circular", f"Radius := {_number(radius_mm[0])}"]
    listed = ", ".join(_number(r) for r in radius_mm)
    return ["orbit := non-circular", f"Radii := {{{listed}}}"]


def _line(text: str) -> str:
    """Text that stays on its line and is no comment."""
    return re.sub(r"[;\r\n\x1a]", " ", text).strip()


def _number(value: float) -> str:
    """The shortest decimal that reads back to the same number."""
    return repr(float(value))
