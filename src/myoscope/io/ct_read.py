"""Classic CT: one file per slice, put together as volumes in Hounsfield units.

Files of one ``SeriesInstanceUID`` become one volume, unless they differ in size, spacing or orientation or were
acquired more than once: then one each. Slices are stacked by where they lie, never by file name or number. A missing
slice, or two different ones at one place, leaves the series out with the reason; localisers are no slices. DICOM PS3.3
C.8.2.1 (CT Image) and C.7.6.2 (Image Plane).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myoscope.core import Flag, Grid, UnreadableFile, UnsupportedFile, Volume
from myoscope.core.geometry import FloatArray
from myoscope.io.dicom_header import Header
from myoscope.io.dicom_pixels import frame_shape, stored_pixels
from myoscope.io.geometry_dicom import pixel_spacing_mm

CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"
AIR_HU = -1000.0

# Positions are decimal strings and often rounded to 0.1 mm by the writer.
_ROUNDED_MM = 0.15
_TILT_DEG = 1.0


@dataclass(frozen=True, eq=False, slots=True)
class CtSlice:
    """One slice: its values (row, column) in HU, its place (LPS mm), and what must agree along a stack."""

    values: NDArray[Any]
    row: FloatArray
    column: FloatArray
    position_mm: FloatArray
    spacing_mm: tuple[float, float]
    thickness_mm: float | None
    kvp: float | None
    kernel: str | None
    acquisition_number: int
    series_uid: str
    file_name: str

    @property
    def alike(self) -> tuple[Any, ...]:
        """What slices of one volume share."""
        orientation = tuple(np.round(np.concatenate([self.row, self.column]), 3).tolist())
        spacing = tuple(round(mm, 3) for mm in self.spacing_mm)
        return (self.series_uid, self.values.shape, spacing, orientation)


@dataclass(frozen=True, eq=False, slots=True)
class CtStack:
    """A CT volume (unit HU), the numbers of its slices in the list that was given, and what is odd about it."""

    volume: Volume
    members: tuple[int, ...]
    flags: tuple[Flag, ...]
    acquisition: dict[str, Any] = field(default_factory=dict)


def is_ct(header: Header) -> bool:
    """Whether a file calls itself CT, of whatever object class."""
    return header.text("Modality").upper() == "CT"


def refuse_other_ct(header: Header) -> None:
    """Check that a CT file is one classic slice, without looking at its pixels.

    Raises
    ------
    UnsupportedFile
        If it is a localiser, or CT in another object (enhanced multi-frame, secondary capture).
    """
    name = header.file_name
    words = {word.upper() for word in header.texts("ImageType")}
    if "LOCALIZER" in words or "SCOUT" in words:
        raise UnsupportedFile(f"{name} is CT, but a localiser (scout), not a slice; it was left out.")
    if header.text("SOPClassUID") != CT_CLASS:
        raise UnsupportedFile(
            f"{name} is CT stored as another object than one slice per file (enhanced or captured), which this "
            "version does not read."
        )


def read_ct_slice(header: Header) -> CtSlice:
    """The slice of one classic CT file.

    Raises
    ------
    UnreadableFile
        If pixels, rescaling, spacing, position or orientation are missing or make no sense.
    UnsupportedFile
        See ``refuse_other_ct``.
    """
    refuse_other_ct(header)
    name = header.file_name
    if frame_shape(header)[0] != 1:
        raise UnsupportedFile(f"{name} is CT with several frames in one file, which this version does not read.")
    cosines, position = header.numbers("ImageOrientationPatient"), header.numbers("ImagePositionPatient")
    if len(cosines) != 6 or len(position) != 3 or not np.isfinite([*cosines, *position]).all():
        raise UnreadableFile(f"{name} does not say where its slice lies (ImagePositionPatient and orientation).")
    row, column = np.asarray(cosines[:3]), np.asarray(cosines[3:])
    lengths = np.linalg.norm([row, column], axis=1)
    if np.abs(lengths - 1).max() > 0.05 or abs(row @ column) > 0.02:
        raise UnreadableFile(f"{name}: ImageOrientationPatient does not hold two perpendicular directions.")
    return CtSlice(
        values=_hounsfield(header),
        row=row / lengths[0],
        column=column / lengths[1],
        position_mm=np.asarray(position, float),
        spacing_mm=pixel_spacing_mm(header),
        thickness_mm=header.positive("SliceThickness"),
        kvp=header.positive("KVP"),
        kernel=_kernel(header),
        acquisition_number=header.integer("AcquisitionNumber") or 0,
        series_uid=header.text("SeriesInstanceUID"),
        file_name=name,
    )


def stack_ct(slices: Sequence[CtSlice]) -> tuple[list[CtStack], list[str]]:
    """Volumes of all series among the slices, and a sentence for each series that is left out."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for n, one in enumerate(slices):
        groups.setdefault(one.alike, []).append(n)
    stacks, left_out = [], []
    for members in groups.values():
        for again in _acquired_once(slices, members):
            try:
                stacks.append(_stack(slices, again))
            except (UnreadableFile, UnsupportedFile) as error:
                left_out.append(str(error))
    return stacks, left_out


def _hounsfield(header: Header) -> NDArray[Any]:
    """Values in HU, as 16-bit integers where the rescaling gives whole numbers; padding becomes air."""
    name = header.file_name
    stored = stored_pixels(header)[0]
    slope, intercept = header.number("RescaleSlope"), header.number("RescaleIntercept")
    if slope is None or intercept is None or slope == 0:
        raise UnreadableFile(f"{name} is CT without a rescale to Hounsfield units (RescaleSlope, RescaleIntercept).")
    kind = header.text("RescaleType").upper()
    if kind not in ("", "HU", "HU_MOD", "US"):
        raise UnsupportedFile(f"{name} is CT in other units than Hounsfield ({kind[:16]}).")
    values: NDArray[Any] = stored * slope + intercept
    padding = header.integer("PixelPaddingValue")
    if padding is not None:
        values = np.where(stored == padding, AIR_HU, values)
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all() or low < -33_000 or high > 66_000:
        raise UnreadableFile(f"{name} holds {low:g} to {high:g} after rescaling, which are no Hounsfield units.")
    whole = float(slope).is_integer() and float(intercept).is_integer()
    limits = np.iinfo(np.int16)
    fits = limits.min <= low and high <= limits.max
    kind_of: type[np.int16] | type[np.float32] = np.int16 if whole and fits else np.float32
    return values.astype(kind_of)


def _kernel(header: Header) -> str | None:
    text = " ".join(header.text("ConvolutionKernel").split()).upper()
    return text if 0 < len(text) <= 16 and all(c.isalnum() or c in "-_ /." for c in text) else None


def _acquired_once(slices: Sequence[CtSlice], members: Sequence[int]) -> list[list[int]]:
    """The members as they are, or apart by acquisition number where some lie at the same place."""
    along = np.sort([_along(slices[n]) for n in members])
    if along.size < 2 or np.diff(along).min() > _ROUNDED_MM:
        return [list(members)]
    numbers = sorted({slices[n].acquisition_number for n in members})
    return [[n for n in members if slices[n].acquisition_number == number] for number in numbers]


def _along(one: CtSlice) -> float:
    return float(np.cross(one.row, one.column) @ one.position_mm)


def _stack(slices: Sequence[CtSlice], members: Sequence[int]) -> CtStack:
    ordered = sorted(members, key=lambda n: _along(slices[n]))
    first = slices[ordered[0]]
    if len(ordered) < 2:
        raise UnsupportedFile(f"{first.file_name} is a single CT slice, not a volume; it was left out.")
    positions = np.stack([slices[n].position_mm for n in ordered])
    along = np.array([_along(slices[n]) for n in ordered])
    steps = np.diff(along)
    usual = float(np.median(steps))
    if steps.min() <= _ROUNDED_MM:
        raise UnreadableFile(
            f"{first.file_name} and its CT series hold two different slices at one place; the series was left out."
        )
    off = np.abs(steps - usual)
    if off.max() > _ROUNDED_MM + 0.02 * usual:
        missing = round(float((steps / usual - 1).clip(0).sum()))
        where = float(along[int(np.argmax(off))])
        raise UnreadableFile(
            f"{first.file_name} and its CT series have gaps: slices are {usual:.3g} mm apart, but after {where:.0f} mm "
            f"the next is {steps[int(np.argmax(off))]:.3g} mm away ({missing or 'no'} slices missing); "
            "the series was left out."
        )
    step = (positions[-1] - positions[0]) / (len(ordered) - 1)
    straight = positions[0] + np.arange(len(ordered))[:, None] * step
    if np.abs(positions - straight).max() > 2 * _ROUNDED_MM + 0.02 * usual:
        raise UnreadableFile(
            f"{first.file_name} and its CT series do not stand one behind the other; the series was left out."
        )
    flags: list[Flag] = []
    normal = np.cross(first.row, first.column)
    tilt_deg = float(np.degrees(np.arccos(min(step @ normal / np.linalg.norm(step), 1.0))))
    if tilt_deg > _TILT_DEG:
        flags.append(
            Flag(
                "gantry_tilted", f"The CT gantry was tilted by {tilt_deg:.0f} degrees.", "info", {"tilt_deg": tilt_deg}
            )
        )
    thickness = first.thickness_mm
    if thickness is not None and thickness < 0.9 * usual:
        flags.append(
            Flag(
                "ct_slices_apart",
                f"CT slices are {thickness:g} mm thick but {usual:g} mm apart: what lies between was not seen.",
                "warning",
                {"thickness_mm": thickness, "spacing_mm": usual},
            )
        )
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = first.row * first.spacing_mm[0], first.column * first.spacing_mm[1]
    affine[:3, 2], affine[:3, 3] = step, positions[0]
    rows, columns = first.values.shape
    array = np.stack([slices[n].values.T for n in ordered], axis=-1)  # (i, j, k)
    volume = Volume(array, Grid((columns, rows, len(ordered)), affine), "HU", ("read from CT DICOM",))
    acquisition: dict[str, Any] = {"n_slices": len(ordered)}
    if thickness is not None:
        acquisition["slice_thickness_mm"] = thickness
    if first.kernel is not None:
        acquisition["kernel"] = first.kernel
    voltages = {slices[n].kvp for n in ordered}
    if len(voltages) == 1 and None not in voltages:
        acquisition["kvp"] = first.kvp
    else:
        flags.append(Flag("kvp_unknown", "The CT does not state one tube voltage for all its slices (KVP).", "warning"))
    return CtStack(volume, tuple(ordered), tuple(flags), acquisition)
