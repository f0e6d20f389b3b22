"""Where an NM image lies in the patient, from wherever the file hides it.

Orientation and position stand in the detector information sequence (where the standard puts them for NM), at the
root, or in functional groups; the signed ``SpacingBetweenSlices`` says to which side of the first slice the others
are stacked: positive along row x column, negative against it (DICOM PS3.3 C.8.4.15). What has to be assumed or
contradicts itself becomes a flag with its evidence.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from myoscope.core import Flag, Grid, UnreadableFile, UnsupportedFile
from myoscope.core.geometry import FloatArray
from myoscope.io.codes import VIEW
from myoscope.io.dicom_header import Header

_MIN_SPACING_MM, _MAX_SPACING_MM = 0.05, 100.0


def pixel_spacing_mm(header: Header) -> tuple[float, float]:
    """Distance of neighbouring pixel centres along a row (i or u) and along a column (j or v).

    Raises
    ------
    UnreadableFile
        If it is missing, not finite, zero or not a size of the human body.
    """
    name = header.file_name
    for place in _places(header):
        values = place.numbers("PixelSpacing")
        if not values:
            continue
        if len(values) != 2:
            raise UnreadableFile(f"{name}: PixelSpacing has {len(values)} values instead of 2.")
        row_mm, column_mm = values
        return _spacing(column_mm, "PixelSpacing", name), _spacing(row_mm, "PixelSpacing", name)
    raise UnreadableFile(f"{name} does not state its PixelSpacing, so nothing in it can be measured.")


def volume_grid(header: Header, shape: tuple[int, int, int], *, first_stored: int = 1) -> tuple[Grid, list[Flag]]:
    """The grid of a stack of (i, j, k) = ``shape`` voxels, and what had to be assumed.

    ``first_stored`` is the number of the slice that the file stores first.

    Raises
    ------
    UnreadableFile
        If a spacing is missing, zero, or not finite; if the orientation is not two perpendicular directions.
    UnsupportedFile
        If reoriented slices (short axis ...) do not say how they lie in the patient.
    """
    flags: list[Flag] = []
    spacing_i, spacing_j = pixel_spacing_mm(header)
    step_mm = _slice_step_mm(header, flags, single=shape[2] == 1)
    row, column = _orientation(header, flags)
    normal = np.cross(row, column)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = row * spacing_i, column * spacing_j, normal * step_mm
    position = _position(header, flags)
    if position is None:
        affine[:3, 3] = -affine[:3, :3] @ ((np.asarray(shape, float) - 1) / 2)
    else:
        affine[:3, 3] = position
    if first_stored != 1 and position is not None:
        flags.append(
            Flag(
                "slices_stored_out_of_order",
                f"The file stores slice {first_stored} first; its position was taken to be that of slice 1.",
                "warning",
                {"first_stored_slice": first_stored},
            )
        )
    return Grid(shape, affine), flags


def stated_view(header: Header) -> str | None:
    """The cut that the slices are coded as (transverse, short axis ...), or None."""
    detector = header.first("DetectorInformationSequence")
    coded = (*(detector.codes("ViewCodeSequence") if detector else ()), *header.codes("ViewCodeSequence"))
    return next((VIEW[code] for code in coded if code in VIEW), None)


def _places(header: Header) -> Iterator[Header]:
    """Where geometry may stand: the first detector, the root, shared and per-frame functional groups."""
    yield from header.items("DetectorInformationSequence")[:1]
    yield header
    for keyword in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        group = header.first(keyword)
        if group is not None:
            for inner in ("PixelMeasuresSequence", "PlaneOrientationSequence", "PlanePositionSequence"):
                yield from group.items(inner)[:1]


def _spacing(value: float, keyword: str, name: str) -> float:
    if not math.isfinite(value) or value == 0:
        raise UnreadableFile(f"{name}: {keyword} is {value:g}; voxels have a size.")
    if not _MIN_SPACING_MM <= abs(value) <= _MAX_SPACING_MM:
        raise UnreadableFile(f"{name}: {keyword} is {value:g} mm, which no nuclear image has (is it in cm or m?).")
    if value < 0 and keyword != "SpacingBetweenSlices":
        raise UnreadableFile(f"{name}: {keyword} is {value:g} mm; a distance is not negative.")
    return value


def _slice_step_mm(header: Header, flags: list[Flag], *, single: bool) -> float:
    """Signed distance from one slice to the next along row x column."""
    name = header.file_name
    stated = next((v for v in (p.numbers("SpacingBetweenSlices") for p in _places(header)) if v), ())
    thickness = next((v for v in (p.positive("SliceThickness") for p in _places(header)) if v), None)
    by_position = _step_from_positions(header)
    if stated and stated[0] == 0 and (by_position or thickness):
        flags.append(Flag("slice_spacing_zero", "SpacingBetweenSlices is 0, which says nothing; it was passed over."))
        stated = ()
    if stated:
        step = _spacing(stated[0], "SpacingBetweenSlices", name)
        if thickness is not None and abs(abs(step) - thickness) > 0.05 * thickness:
            flags.append(
                Flag(
                    "spacing_contradicts_thickness",
                    f"Slices are {abs(step):g} mm apart but {thickness:g} mm thick; the distance was believed.",
                    "warning",
                    {"spacing_mm": step, "thickness_mm": thickness},
                )
            )
        if by_position is not None and abs(by_position - step) > 0.02 * abs(step):
            flags.append(
                Flag(
                    "spacing_contradicts_positions",
                    f"SpacingBetweenSlices is {step:g} mm, the slice positions are {by_position:g} mm apart; "
                    "the positions were believed.",
                    "warning",
                    {"spacing_mm": step, "by_position_mm": by_position},
                )
            )
            return by_position
        return step
    if by_position is not None:
        return _spacing(by_position, "SpacingBetweenSlices", name)
    if thickness is not None:
        step = _spacing(thickness, "SliceThickness", name)
        flags.append(
            Flag(
                "slice_spacing_assumed",
                f"The distance between slices is not stated; the slice thickness ({step:g} mm) was taken, "
                "stacked along row x column.",
                "warning",
                {"thickness_mm": step},
            )
        )
        return step
    if single:
        raise UnsupportedFile(f"{name} holds a single slice of unknown thickness, not a volume.")
    raise UnreadableFile(f"{name} states neither SpacingBetweenSlices nor SliceThickness: its volume is unknown.")


def _step_from_positions(header: Header) -> float | None:
    """Slice distance from the positions of the first two frames, where functional groups give them."""
    frames = header.items("PerFrameFunctionalGroupsSequence")[:2]
    positions = [
        place.numbers("ImagePositionPatient") for frame in frames for place in frame.items("PlanePositionSequence")[:1]
    ]
    if len(positions) != 2 or any(len(p) != 3 for p in positions):
        return None
    cosines = next((v for v in (p.numbers("ImageOrientationPatient") for p in _places(header)) if len(v) == 6), None)
    if cosines is None:
        return None
    normal = np.cross(cosines[:3], cosines[3:])
    step = float(normal @ (np.asarray(positions[1]) - np.asarray(positions[0])))
    return step if math.isfinite(step) and abs(step) > _MIN_SPACING_MM else None


def _orientation(header: Header, flags: list[Flag]) -> tuple[FloatArray, FloatArray]:
    name = header.file_name
    found = [v for v in (p.numbers("ImageOrientationPatient") for p in _places(header)) if v]
    usable = [v for v in found if len(v) == 6 and any(v)]
    if not usable:
        return _assumed_orientation(header, flags)
    cosines = np.asarray(usable[0], float)
    lengths = np.linalg.norm(cosines.reshape(2, 3), axis=1)
    if not np.isfinite(cosines).all() or abs(lengths - 1).max() > 0.05:
        raise UnreadableFile(f"{name}: ImageOrientationPatient does not hold two directions of length one.")
    row, column = cosines[:3] / lengths[0], cosines[3:] / lengths[1]
    if abs(row @ column) > 0.02:
        raise UnreadableFile(f"{name}: ImageOrientationPatient holds two directions that are not perpendicular.")
    column = column - (row @ column) * row
    column /= np.linalg.norm(column)
    others = [v for v in usable[1:] if np.isfinite(v).all() and np.abs(np.asarray(v) - cosines).max() > 0.01]
    if others:
        flags.append(
            Flag(
                "orientation_contradictory",
                "ImageOrientationPatient is given twice and differs; the one of the detector was believed.",
                "warning",
                {"used": list(usable[0]), "other": list(others[0])},
            )
        )
    return row, column


def _assumed_orientation(header: Header, flags: list[Flag]) -> tuple[FloatArray, FloatArray]:
    """Transverse slices as they are displayed: rows to the patient's left, columns to posterior.

    This is the patient's own frame and does not depend on how the patient lay: real feet-first and prone
    reconstructions of the cameras seen so far are stored that way.
    """
    view = stated_view(header)
    if view not in (None, "transverse"):
        raise UnsupportedFile(
            f"{header.file_name} holds {view} slices without an orientation in the patient; "
            "export the transverse slices instead."
        )
    position = header.text("PatientPosition").upper()
    flags.append(
        Flag(
            "orientation_inferred",
            "The file does not say how its slices lie in the patient. They were taken as transverse, with the "
            "patient's left on the right of the image and anterior at the top; check the pictures.",
            "warning",
            {"patient_position": position if position.isalpha() and len(position) <= 4 else "not stated"},
        )
    )
    return np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])


def _position(header: Header, flags: list[Flag]) -> FloatArray | None:
    found: list[Sequence[float]] = [v for v in (p.numbers("ImagePositionPatient") for p in _places(header)) if v]
    if not found:
        flags.append(
            Flag(
                "position_inferred",
                "The file does not say where its image lies; its centre was put at the origin. "
                "Distances within the image are not affected.",
                "info",
            )
        )
        return None
    position = np.asarray(found[0], float)
    if position.shape != (3,) or not np.isfinite(position).all() or np.abs(position).max() > 1e5:
        raise UnreadableFile(f"{header.file_name}: ImagePositionPatient is not three coordinates in mm.")
    finite = [np.asarray(v) for v in found[1:] if len(v) == 3 and np.isfinite(v).all()]
    others = [v.tolist() for v in finite if np.abs(v - position).max() > 0.1]
    if others:
        flags.append(
            Flag(
                "position_contradictory",
                "ImagePositionPatient is given twice and differs; the one of the detector was believed.",
                "warning",
                {"used": list(found[0]), "other": others[0]},
            )
        )
    return position
