"""NIfTI-1 volumes to and from ``Volume``.

NIfTI counts millimetres to right, anterior and superior (RAS), DICOM and Myoscope to left, posterior and superior
(LPS): the affine's first two rows change sign here and nowhere else, and no voxel is moved. The header is written
by hand, 348 bytes after Cox et al., "A (sort of) new image data format standard: NIfTI-1", 2004 (nifti1.h);
nibabel, whose import costs more than the writing, is loaded only to read.

What the format has no field for (unit, gates or times, how the volume was made) goes as JSON into a header
extension of the comment kind (code 6), which other programs carry along or ignore; the unit is also in ``descrip``.
"""

from __future__ import annotations

import gzip
import json
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myoscope.core import Gating, Grid, InvalidValue, UnreadableFile, UnsupportedFile, Volume
from myoscope.core.geometry import FloatArray
from myoscope.core.volume import FrameAxis
from myoscope.io.atomic import atomic_write

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

_DATA_TYPES = {
    "uint8": 2,
    "int16": 4,
    "int32": 8,
    "float32": 16,
    "float64": 64,
    "int8": 256,
    "uint16": 512,
    "uint32": 768,
    "int64": 1024,
    "uint64": 1280,
}
_HEADER_BYTES = 348
_COMMENT_EXTENSION = 6
_XFORM_SCANNER = 1
_UNIT_MM, _UNIT_S, _UNIT_MS = 2, 8, 16
_MM_PER_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
_S_PER_UNIT = {0: 1.0, 8: 1.0, 16: 1e-3, 24: 1e-6}
_UNIT_UNKNOWN = "unknown"
_SPACING_OF_ZERO = 30  # how grave nibabel finds it; a wrong qfac or bit count is less


def write_nifti(volume: Volume, path: Path | str) -> None:
    """Store a volume as one NIfTI-1 file (``.nii``, or ``.nii.gz`` for a compressed one).

    Voxels keep their type, except that a mask (bool) becomes uint8 and float16 becomes float32, both exact.
    Frames become the fourth axis. The affine goes into the sform, and into the qform too unless the axes are
    sheared, which a qform cannot say; both are single precision, so a place is kept to about 1e-5 mm. The same
    volume gives the same bytes. The file appears whole or not at all.

    Raises
    ------
    InvalidValue
        Complex or extended-precision voxels, an axis longer than 32767, a name that ends in neither suffix.
    OutputError
        The file cannot be written.
    """
    path = Path(path)
    if not path.name.endswith((".nii", ".nii.gz")):
        raise InvalidValue(f"a NIfTI file is named .nii or .nii.gz, not {path.name}")
    array = _storable(volume.array)
    extension = _extension(volume)
    header = _header(volume, array, vox_offset=_HEADER_BYTES + 4 + len(extension))
    # NIfTI runs fastest along i; C order of the axes (frame, k, j, i) is just that.
    spatial_last = np.ascontiguousarray(np.swapaxes(array, -1, -3))
    content = header + b"\x01\0\0\0" + extension + spatial_last.astype(array.dtype.newbyteorder("<")).tobytes()
    if path.name.endswith(".gz"):
        content = gzip.compress(content, compresslevel=6, mtime=0)
    with atomic_write(path) as file:
        file.write(content)


def _storable(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype == bool:
        return array.astype(np.uint8)
    if array.dtype == np.float16:
        return array.astype(np.float32)
    if array.dtype.name not in _DATA_TYPES:
        raise InvalidValue(f"NIfTI stores real numbers up to 64 bits, not {array.dtype}")
    if max(array.shape) > 32767:
        raise InvalidValue(f"NIfTI-1 stores at most 32767 voxels along an axis, got shape {array.shape}")
    return array


def _header(volume: Volume, array: NDArray[Any], *, vox_offset: int) -> bytes:
    ras = LPS_TO_RAS @ volume.grid.affine
    code, quaternion, handedness = _quaternion(volume.grid)
    step, time_unit, start = _frame_timing(volume)
    frames = () if volume.frame_axis is None else (volume.n_frames,)
    dim = [3 + len(frames), *volume.grid.shape, *frames]
    dim += [1] * (8 - len(dim))
    pixdim = [handedness, *volume.grid.spacing_mm, step if frames else 0.0, 0.0, 0.0, 0.0]
    about = f"Myoscope; unit {volume.unit}" + (f"; frames are {volume.frame_axis}s" if frames else "")
    scl_slope = 0.0  # 0: the stored numbers are the values
    header = struct.pack(
        "<i10x18sihcB8h3f4h8f3fhBB4f2i80s24s2h3f3f4f4f4f16s4s",
        *(_HEADER_BYTES, b"", 0, 0, b"r", 0, *dim),
        *(0.0, 0.0, 0.0, 0, _DATA_TYPES[array.dtype.name], array.dtype.itemsize * 8, 0),
        *(*pixdim, float(vox_offset), scl_slope, 0.0, 0, 0, _UNIT_MM | time_unit),
        *(0.0, 0.0, 0.0, start, 0, 0, about.encode()[:79], b""),
        *(code, _XFORM_SCANNER, *quaternion, *ras[:3, 3], *ras[0], *ras[1], *ras[2]),
        *(b"", b"n+1\0"),
    )
    if len(header) != _HEADER_BYTES:
        raise AssertionError(f"a NIfTI-1 header has {_HEADER_BYTES} bytes, made {len(header)}")
    return header


def _quaternion(grid: Grid) -> tuple[int, FloatArray, float]:
    """qform code, quaternion (b, c, d) and handedness of the axes; code 0 where the axes are not orthogonal."""
    rotation = LPS_TO_RAS[:3, :3] @ grid.direction
    if np.abs(rotation.T @ rotation - np.eye(3)).max() > 1e-5:
        return 0, np.zeros(3), 1.0
    handedness = 1.0 if np.linalg.det(rotation) > 0 else -1.0
    proper = rotation * (1.0, 1.0, handedness)
    # The largest of the four components is found first, so that nothing is divided by a small number
    # (Shepperd 1978, J Guid Control 1:223).
    xx, yy, zz = np.diag(proper)
    fourfold = np.array([1 + xx + yy + zz, 1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz])
    largest = int(np.argmax(fourfold))
    d10, d01 = proper[1, 0], proper[0, 1]
    d20, d02 = proper[2, 0], proper[0, 2]
    d21, d12 = proper[2, 1], proper[1, 2]
    rows = (
        (fourfold[0], d21 - d12, d02 - d20, d10 - d01),
        (d21 - d12, fourfold[1], d10 + d01, d02 + d20),
        (d02 - d20, d10 + d01, fourfold[2], d21 + d12),
        (d10 - d01, d02 + d20, d21 + d12, fourfold[3]),
    )
    q = np.array(rows[largest]) / (2 * math.sqrt(fourfold[largest]))
    q *= -1.0 if q[0] < 0 else 1.0  # the format leaves a out and takes it as not negative
    quaternion: FloatArray = q[1:]
    return _XFORM_SCANNER, quaternion, handedness


def _frame_timing(volume: Volume) -> tuple[float, int, float]:
    """Step along the fourth axis, the code of its unit, and the start of the first frame."""
    if volume.gating is not None and volume.gating.rr_ms is not None:
        return volume.gating.rr_ms / volume.gating.n_gates, _UNIT_MS, 0.0
    if volume.frame_start_s is not None and volume.frame_duration_s is not None:
        return float(volume.frame_duration_s[0]), _UNIT_S, float(volume.frame_start_s[0])
    return 1.0, 0, 0.0


def _extension(volume: Volume) -> bytes:
    """The header extension: size, code, then JSON, padded to a multiple of 16 bytes."""
    about: dict[str, Any] = {"myoscope": 1, "unit": volume.unit, "dtype": volume.array.dtype.name}
    about["made_by"] = list(volume.made_by)
    if volume.frame_axis is not None:
        about["frame_axis"] = volume.frame_axis
    for name in ("frame_start_s", "frame_duration_s"):
        times = getattr(volume, name)
        if times is not None:
            about[name] = times.tolist()
    if volume.gating is not None:
        about["gating"] = {f: getattr(volume.gating, f) for f in Gating.__dataclass_fields__}
    text = json.dumps(about, sort_keys=True, ensure_ascii=False, default=np.generic.item).encode()
    size = -(-(len(text) + 8) // 16) * 16
    return struct.pack("<2i", size, _COMMENT_EXTENSION) + text.ljust(size - 8, b"\0")


def read_nifti(path: Path | str, *, unit: str | None = None, frame_axis: FrameAxis | None = None) -> Volume:
    """A NIfTI volume as it is stored, with its place in LPS millimetres.

    Voxels keep their stored type unless the header scales them (then float64). ``unit`` and ``frame_axis`` say
    what a file from another program does not; files written here say it themselves, and a contradiction is an
    error. A unit that nobody states is ``unknown``. The sform is used where there is one, else the qform; where
    they differ by more than 0.1 mm the volume's ``made_by`` says so.

    Raises
    ------
    UnreadableFile
        Not NIfTI, truncated, or without a usable place (no sform or qform, a spacing of zero, NaN).
    UnsupportedFile
        Sound, but not a volume: colour, complex, two or more than four axes, or four without a word on what the
        fourth one is.
    """
    import nibabel
    from nibabel import imageglobals
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    path = Path(path)
    try:
        # nibabel puts some damaged headers right and says so on the terminal; here they are refused instead.
        with imageglobals.LoggingOutputSuppressor(), imageglobals.ErrorLevel(_SPACING_OF_ZERO):  # type: ignore[no-untyped-call]
            image: Any = nibabel.load(path)
            if not isinstance(image, nibabel.Nifti1Image | nibabel.Nifti2Image):
                raise UnsupportedFile(f"{path.name} is {type(image).__name__}, not a NIfTI volume")
            affine, note = _affine(image, path)
            about = _stated(image)
            array = _voxels(image, path, keep_frames="frame_axis" in about)
            place = Grid(array.shape[:3], affine)
    except InvalidValue as error:
        raise UnreadableFile(f"{path.name} cannot be placed in the patient: {error}") from error
    except FileNotFoundError as error:
        raise UnreadableFile(f"{path.name} does not exist") from error
    except HeaderDataError as error:
        raise UnreadableFile(f"{path.name} is not a readable NIfTI file: {_first_line(error)}") from error
    except ImageFileError as error:  # its text names folders
        raise UnreadableFile(f"{path.name} is not a NIfTI file, or its name does not end in .nii or .nii.gz") from error
    except (OSError, EOFError, zlib.error, ValueError, struct.error, OverflowError, MemoryError) as error:
        raise UnreadableFile(f"{path.name} is damaged or truncated") from error
    stated_unit = about.get("unit")
    if unit is not None and stated_unit is not None and unit != stated_unit:
        raise InvalidValue(f"{path.name} says that it is in {stated_unit}, not {unit}")
    made_by = (*map(str, about.get("made_by", ())), *((note,) if note else ()))
    if about.get("dtype") == "bool" and array.dtype == np.uint8:
        array = array.astype(bool)
    unit = unit or stated_unit or _UNIT_UNKNOWN
    if array.ndim == 3:
        return Volume(array, place, unit, made_by)
    frames = about.get("frame_axis")
    if frame_axis is not None and frames is not None and frames != frame_axis:
        raise InvalidValue(f"{path.name} says that its frames are {frames}s, not {frame_axis}s")
    frames = frames or frame_axis
    if frames not in ("gate", "time"):
        raise UnsupportedFile(f"{path.name} has four axes and does not say whether its frames are gates or times")
    return _framed(np.moveaxis(array, -1, 0), place, unit, made_by, frames, about, image, path)


def _framed(
    array: NDArray[Any],
    place: Grid,
    unit: str,
    made_by: tuple[str, ...],
    frame_axis: FrameAxis,
    about: dict[str, Any],
    image: Any,
    path: Path,
) -> Volume:
    n = array.shape[0]
    try:
        if frame_axis == "gate":
            gating = Gating(**about["gating"]) if "gating" in about else None
            return Volume(array, place, unit, made_by, "gate", gating)
        start, duration = about.get("frame_start_s"), about.get("frame_duration_s")
        step = float(image.header["pixdim"][4])
        seconds = _S_PER_UNIT.get(int(image.header["xyzt_units"]) & 0x38)
        if not about and seconds and step > 0:
            duration = np.full(n, step * seconds)
            start = float(image.header["toffset"]) * seconds + np.arange(n) * step * seconds
        return Volume(array, place, unit, made_by, "time", None, start, duration)
    except (InvalidValue, TypeError) as error:
        raise UnreadableFile(f"{path.name} contradicts itself about its frames: {error}") from error


def _affine(image: Any, path: Path) -> tuple[FloatArray, str]:
    header = image.header
    scale = _MM_PER_UNIT.get(int(header["xyzt_units"]) & 0x07)
    if scale is None:
        raise UnreadableFile(f"{path.name} gives its distances in a unit that NIfTI does not know")
    spacing = np.asarray(header["pixdim"][1:4], float)
    if not np.isfinite(spacing).all():
        raise UnreadableFile(f"{path.name} has a voxel size that is not a number")
    sform = image.get_sform(coded=True)[0] if int(header["sform_code"]) > 0 else None
    qform = image.get_qform(coded=True)[0] if int(header["qform_code"]) > 0 else None
    ras = sform if sform is not None else qform
    if ras is None:
        raise UnreadableFile(f"{path.name} does not say where its voxels are: it has neither an sform nor a qform")
    if not np.isfinite(ras).all():
        raise UnreadableFile(f"{path.name} has an affine that is not made of numbers")
    note = ""
    if sform is not None and qform is not None and np.isfinite(qform).all():
        corners = np.array(np.meshgrid(*((0, n - 1) for n in image.shape[:3]))).reshape(3, -1).T
        difference = corners @ (sform - qform)[:3, :3].T + (sform - qform)[:3, 3]
        worst = float(np.linalg.norm(difference, axis=1).max()) * scale
        if worst > 0.1:
            note = f"placed by the sform; the qform differs by up to {worst:.1f} mm"
    affine: FloatArray = LPS_TO_RAS @ np.asarray(ras, float)
    affine[:3] *= scale
    return affine, note


def _voxels(image: Any, path: Path, *, keep_frames: bool) -> NDArray[Any]:
    dtype = image.get_data_dtype()
    if dtype.kind not in "iuf":
        raise UnsupportedFile(f"{path.name} holds colours or complex numbers ({dtype}), not one number per voxel")
    slope, inter = image.dataobj.slope, image.dataobj.inter
    scaled = (slope, inter) != (1, 0)
    array = np.asarray(image.dataobj) if scaled else image.dataobj.get_unscaled()
    array = np.asarray(array)
    while array.ndim > (4 if keep_frames else 3) and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim not in (3, 4):
        raise UnsupportedFile(f"{path.name} has {array.ndim} axes; a volume has three, or four with gates or times")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _stated(image: Any) -> dict[str, Any]:
    """What a file written by ``write_nifti`` says about itself; empty for any other."""
    for extension in image.header.extensions:
        if extension.get_code() != _COMMENT_EXTENSION:
            continue
        content = extension.get_content()
        raw = content if isinstance(content, bytes) else str(content).encode()
        try:
            about = json.loads(raw.rstrip(b"\0"))
        except ValueError:
            continue
        if isinstance(about, dict) and about.get("myoscope") == 1:
            return about
    return {}


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
