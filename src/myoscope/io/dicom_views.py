"""The views of a tomographic acquisition: at which angle and distance each projection was taken.

DICOM counts detector angles from the patient's back towards the patient's left: 0 = detector behind the patient,
90 = at the left, 180 = in front, 270 = at the right; rotation ``CW`` (seen from the feet) lowers the angle, ``CC``
raises it (PS3.3 C.8.4.10, C.8.4.11). On a real acquisition the angle of 225.44 degrees and the detector's
orientation (its row runs along (-cos a, sin a, 0), it faces (-sin a, -cos a, 0)) agree to five digits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myoscope.core import EnergyWindow, Flag, UnreadableFile
from myoscope.core.geometry import FloatArray
from myoscope.io.dicom_frames import DETECTOR, ROTATION, VIEW, FrameIndex
from myoscope.io.dicom_header import Header

_USUAL_RADIUS_MM = (80.0, 300.0)


@dataclass(frozen=True, eq=False, slots=True)
class Views:
    """All views of all detectors and rotations, as one list by rising angle.

    ``view_of_frame`` numbers the view of each frame from 1, before sorting; ``order`` sorts the views. Angles rise
    without a jump, so that an arc over 0 degrees goes on beyond 360. ``rows_run_up`` says that the detector's rows
    run to the head.
    """

    view_of_frame: tuple[int, ...]
    order: tuple[int, ...]
    angle_deg: FloatArray
    radius_mm: FloatArray
    duration_s: FloatArray
    rows_run_up: bool
    flags: tuple[Flag, ...]
    acquisition: dict[str, Any]


def read_views(header: Header, vectors: Mapping[FrameIndex, Sequence[int]], n_frames: int) -> Views:
    """Angle, distance and duration of every view.

    Raises
    ------
    UnreadableFile
        If a view is missing, or the start angle or the step of a detector is nowhere to be found.
    """
    name = header.file_name
    flags: list[Flag] = []
    columns = [vectors.get(index, [1] * n_frames) for index in (ROTATION, DETECTOR, VIEW)]
    keys = list(zip(*columns, strict=True))
    distinct = sorted(set(keys))
    groups: dict[tuple[int, int], list[int]] = {}
    for rotation, detector, view in distinct:
        groups.setdefault((rotation, detector), []).append(view)
    angle: dict[tuple[int, int, int], float] = {}
    radius: dict[tuple[int, int, int], float] = {}
    duration: dict[tuple[int, int, int], float] = {}
    for (rotation, detector), numbers in groups.items():
        gaps = sorted(set(range(numbers[0], numbers[-1] + 1)) - set(numbers))
        if gaps:
            raise UnreadableFile(f"{name} is incomplete: view {gaps[0]} of detector {detector} is missing.")
        start, step = _start_and_step(header, rotation, detector, len(numbers), flags)
        distances = _radii(header, rotation, detector, len(numbers), flags)
        seconds = _duration_s(header, rotation)
        for n, view in enumerate(numbers):
            key = (rotation, detector, view)
            angle[key], radius[key], duration[key] = start + n * step, distances[n], seconds
    number = {key: n + 1 for n, key in enumerate(distinct)}
    angles = np.array([angle[key] for key in distinct])
    order, angles = _by_rising_angle(angles)
    distance = np.array([radius[key] for key in distinct])[order]
    _check_radii(distance, flags)
    acquisition: dict[str, Any] = {
        "n_views": len(distinct),
        "n_detectors": len({detector for _, detector in groups}),
        "n_rotations": len({rotation for rotation, _ in groups}),
        "acquired_order": [int(n) for n in np.argsort(order)],
        "detector_of_view": [distinct[n][1] for n in order],
    }
    motion = header.text("TypeOfDetectorMotion").upper()
    if motion in ("STEP AND SHOOT", "CONTINUOUS", "ACQ DURING STEP"):
        acquisition["detector_motion"] = motion.lower()
    return Views(
        view_of_frame=tuple(number[key] for key in keys),
        order=tuple(int(n) for n in order),
        angle_deg=angles,
        radius_mm=distance,
        duration_s=np.array([duration[key] for key in distinct])[order],
        rows_run_up=_rows_run_up(header, flags),
        flags=tuple(flags),
        acquisition=acquisition,
    )


def energy_windows(header: Header, n_windows: int) -> list[EnergyWindow]:
    """The energy windows in the order of their vector; one that is not described spans 0 to 1000 keV."""
    found = []
    items = header.items("EnergyWindowInformationSequence")
    for n in range(n_windows):
        limits = items[n].first("EnergyWindowRangeSequence") if n < len(items) else None
        low = limits.number("EnergyWindowLowerLimit") if limits else None
        high = limits.number("EnergyWindowUpperLimit") if limits else None
        if low is None or high is None or not 0 <= low < high:
            found.append(EnergyWindow(f"window {n + 1} (limits not stated)", 0.0, 1000.0))
        else:
            found.append(EnergyWindow(f"{low:g} to {high:g} keV", low, high))
    return found


def orientation_angle_deg(cosines: Sequence[float]) -> float | None:
    """The detector's angle by its orientation in the patient; None if it does not stand upright."""
    if len(cosines) != 6 or not np.isfinite(cosines).all():
        return None
    facing = np.cross(cosines[:3], cosines[3:])
    if np.hypot(facing[0], facing[1]) < 0.9:
        return None
    return float(np.degrees(np.arctan2(-facing[0], -facing[1])) % 360)


def _item(items: Sequence[Header], number: int) -> Header | None:
    return items[number - 1] if number <= len(items) else None


def _start_and_step(
    header: Header, rotation: int, detector: int, n_views: int, flags: list[Flag]
) -> tuple[float, float]:
    name = header.file_name
    turns = header.items("RotationInformationSequence")
    heads = header.items("DetectorInformationSequence")
    turn, head = _item(turns, rotation), _item(heads, detector)
    start = _start_deg(turns, heads, rotation, detector)
    facing = _facing_deg(head)
    if start is None:
        if facing is None:
            raise UnreadableFile(f"{name} does not say at which angle detector {detector} started (StartAngle).")
        start = facing
        flags.append(
            Flag(
                "start_angle_inferred",
                f"The start angle of detector {detector} was worked out from its orientation.",
                "info",
                {"detector": detector, "start_angle_deg": start},
            )
        )
    elif facing is not None and rotation == 1:
        apart = abs((start - facing + 180) % 360 - 180)
        if apart > 2:
            flags.append(
                Flag(
                    "start_angle_contradicts_orientation",
                    f"Detector {detector} starts at {start:g} degrees, but its orientation says {facing:.1f}; "
                    "the start angle was believed.",
                    "warning",
                    {"start_angle_deg": start, "by_orientation_deg": facing},
                )
            )
    if abs(start) > 1000:
        raise UnreadableFile(f"{name}: a start angle of {start:g} degrees is none.")
    if n_views == 1:
        return start, 0.0
    source = turn or header
    step = source.positive("AngularStep")
    arc = source.positive("ScanArc")
    if step is None and arc is not None:
        step = arc / n_views
        flags.append(Flag("angular_step_inferred", f"The angular step ({step:g} degrees) is scan arc / views.", "info"))
    if step is None:
        raise UnreadableFile(f"{name} does not say by how many degrees its views differ (AngularStep, ScanArc).")
    if not 0.1 <= step <= 180:
        raise UnreadableFile(f"{name}: views {step:g} degrees apart are no tomography.")
    if arc is not None and min(abs(arc - n * step) for n in (n_views, n_views - 1)) > 0.6 * step:
        flags.append(
            Flag(
                "scan_arc_contradicts_views",
                f"{n_views} views of {step:g} degrees do not make an arc of {arc:g} degrees; the step was believed.",
                "warning",
                {"n_views": n_views, "angular_step_deg": step, "scan_arc_deg": arc},
            )
        )
    direction = source.text("RotationDirection").upper()
    if direction not in ("CW", "CC", "CCW"):
        raise UnreadableFile(f"{name} does not say to which side its detectors turn (RotationDirection CW or CC).")
    return start, -step if direction == "CW" else step


def _start_deg(turns: Sequence[Header], heads: Sequence[Header], rotation: int, detector: int) -> float | None:
    """The stated start angle of a detector in a rotation, or None.

    A detector's own start angle holds for the first rotation; a later rotation moves it by the difference of the
    rotations' start angles. Without one, the rotation's start angle is that of the first detector, and the others
    follow from how their orientations differ, or from one rotation item per detector.
    """
    turn, first_turn = _item(turns, rotation), _item(turns, 1)
    turn_deg = turn.number("StartAngle") if turn else None
    first_turn_deg = first_turn.number("StartAngle") if first_turn else None
    head = _item(heads, detector)
    own = head.number("StartAngle") if head else None
    if own is not None:
        if turn_deg is None or first_turn_deg is None:
            return own
        return own + turn_deg - first_turn_deg
    if turn_deg is None or detector == 1:
        return turn_deg
    here, first = _facing_deg(head), _facing_deg(_item(heads, 1))
    if here is not None and first is not None:
        return turn_deg + here - first
    own_turn = _item(turns, detector) if len(turns) == len(heads) else None
    return own_turn.number("StartAngle") if own_turn else None


def _facing_deg(head: Header | None) -> float | None:
    return orientation_angle_deg(head.numbers("ImageOrientationPatient")) if head else None


def _radii(header: Header, rotation: int, detector: int, n_views: int, flags: list[Flag]) -> list[float]:
    """Distance of the collimator from the axis: one value, or one per view; NaN where it is not stated."""
    head = _item(header.items("DetectorInformationSequence"), detector)
    turn = _item(header.items("RotationInformationSequence"), rotation)
    for place in (head, turn, header):
        values = place.numbers("RadialPosition") if place else ()
        if not values:
            continue
        usable = [v if np.isfinite(v) and v > 0 else float("nan") for v in values]
        if len(usable) == 1:
            return usable * n_views
        if len(usable) == n_views:
            return usable
        flags.append(
            Flag(
                "radial_positions_do_not_fit",
                f"{len(usable)} radial positions for {n_views} views; they were left out.",
                "warning",
                {"radial_positions": len(usable), "n_views": n_views},
            )
        )
    return [float("nan")] * n_views


def _check_radii(radius_mm: FloatArray, flags: list[Flag]) -> None:
    known = radius_mm[np.isfinite(radius_mm)]
    low, high = _USUAL_RADIUS_MM
    if known.size and (known.min() < low or known.max() > high):
        flags.append(
            Flag(
                "radius_unusual",
                f"The detector is said to be {known.min():.0f} to {known.max():.0f} mm from the axis; "
                f"cardiac acquisitions lie between {low:.0f} and {high:.0f} mm. Check before correcting for distance.",
                "warning",
                {"radius_min_mm": float(known.min()), "radius_max_mm": float(known.max())},
            )
        )


def _duration_s(header: Header, rotation: int) -> float:
    turn = _item(header.items("RotationInformationSequence"), rotation)
    milliseconds = (turn.positive("ActualFrameDuration") if turn else None) or header.positive("ActualFrameDuration")
    return float("nan") if milliseconds is None else milliseconds / 1000


def _by_rising_angle(angles: FloatArray) -> tuple[NDArray[np.intp], FloatArray]:
    """The order of views by angle, beginning after the largest gap, and their angles without a jump."""
    wrapped = angles % 360
    order = np.argsort(wrapped, kind="stable")
    turned = wrapped[order]
    gaps = np.diff(turned, append=turned[0] + 360)
    first = (int(np.argmax(gaps)) + 1) % len(turned) if gaps.max() > 1.5 * np.median(gaps) else 0
    order = np.roll(order, -first)
    result = wrapped[order]
    result = np.where(result < result[0] - 1e-9, result + 360, result)
    return order, result


def _rows_run_up(header: Header, flags: list[Flag]) -> bool:
    head = header.first("DetectorInformationSequence")
    cosines = head.numbers("ImageOrientationPatient") if head else ()
    if len(cosines) != 6 or not np.isfinite(cosines).all() or abs(cosines[5]) < 0.7:
        flags.append(
            Flag(
                "detector_orientation_unknown",
                "The file does not say how its detector's rows lie; they were taken to run to the feet.",
                "info",
            )
        )
        return False
    return cosines[5] > 0
