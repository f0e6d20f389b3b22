"""Classic PET: one file per slice and frame, put together as volumes, static, gated or dynamic.

Files of one ``SeriesInstanceUID`` become one image. Slices are placed by where they lie and frames by when they were
taken, never by file name or number; slices may come in any order, but every frame must hold the same ones. Each slice
has its own rescaling. Dynamic images are decay-corrected to the start of the series, whatever the file says it was
corrected to; what had to be done, or contradicts itself, becomes a flag. DICOM PS3.3 C.8.9 (PET Series, Isotope, Image)
and A.21.

Habits of makers that are met here: frame times as acquisition times, as frame reference times in milliseconds (and, by
mistake, in seconds), or as neither; durations left out; slices counted from head or feet, or in any order; counts with
a private factor to Bq/mL; decay corrected to the start of each frame although the file says the series'.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myoscope.core import Flag, Gating, Grid, InvalidValue, UnreadableFile, UnsupportedFile, Volume
from myoscope.core.geometry import FloatArray
from myoscope.io.codes import RADIONUCLIDE, RADIOPHARMACEUTICAL
from myoscope.io.dicom_header import Header, contain
from myoscope.io.dicom_pixels import frame_shape, stored_pixels
from myoscope.io.geometry_dicom import pixel_spacing_mm

PT_CLASS = "1.2.840.10008.5.1.4.1.1.128"
_UNITS = {"BQML": "Bq/mL", "CNTS": "counts", "PROPCPS": "counts/s (proportional)", "CPS": "counts/s"}
_HALF_LIFE_S = {"Rb-82": 76.4, "N-13": 597.9, "O-15": 122.24, "F-18": 6586.2, "C-11": 1223.4, "Ga-68": 4062.6}
_NOT_DECAYING = 1e9
_ROUNDED_MM = 0.15
_SAME_TIME_S = 0.02
_DECAY_TOLERANCE = 0.03
_PHILIPS_SCALE = (0x7053, 0x1009)
_LONGEST_FRAME_S, _LONGEST_SERIES_S = 3 * 3600.0, 24 * 3600.0


@dataclass(frozen=True, eq=False, slots=True)
class PtSlice:
    """One slice of one frame: its values (row, column) in ``unit``, where it lies (LPS mm), when it was taken.

    ``clock_s`` is when the frame began by the wall clock, ``reference_s`` its frame reference time, ``trigger_ms`` its
    time after the R wave; NaN where a file does not say. ``decay`` is what the file says it was corrected to, and
    ``decay_factor`` by how much.
    """

    values: NDArray[np.float32]
    unit: str
    row: FloatArray
    column: FloatArray
    position_mm: FloatArray
    spacing_mm: tuple[float, float]
    clock_s: float
    reference_s: float
    duration_s: float
    trigger_ms: float
    time_slot: int | None
    temporal_position: int | None
    image_index: int | None
    n_slices: int | None
    n_times: int | None
    n_slots: int | None
    series_type: str
    decay: str
    decay_factor: float
    half_life_s: float
    injected_at_s: float
    injected_bq: float
    rr_ms: float
    series_uid: str
    file_name: str

    @property
    def alike(self) -> tuple[Any, ...]:
        """What slices of one image share."""
        orientation = tuple(np.round(np.concatenate([self.row, self.column]), 3).tolist())
        spacing = tuple(round(mm, 3) for mm in self.spacing_mm)
        return (self.series_uid, self.values.shape, spacing, orientation, self.unit)


@dataclass(frozen=True, eq=False, slots=True)
class PtStack:
    """A PET image, the numbers of its slices in the list that was given, its kind, and what is odd about it.

    ``began_s`` is when a dynamic image began by the wall clock, seconds from a fixed day; NaN if it is not stated.
    """

    kind: str
    volume: Volume
    members: tuple[int, ...]
    flags: tuple[Flag, ...]
    acquisition: dict[str, Any] = field(default_factory=dict)
    began_s: float = math.nan


def is_pt(header: Header) -> bool:
    """Whether a file calls itself PET, of whatever object class."""
    return header.text("Modality").upper() == "PT"


def refuse_other_pt(header: Header) -> None:
    """Check that a PET file is one classic slice of an image, without looking at its pixels.

    Raises
    ------
    UnsupportedFile
        If it is PET in another object (enhanced multi-frame, captured), a projection, or a transmission scan.
    """
    name = header.file_name
    if header.text("SOPClassUID") != PT_CLASS:
        raise UnsupportedFile(
            f"{name} is PET stored as another object than one slice per file (enhanced, converted or captured), which "
            "this version does not read."
        )
    if "REPROJECTION" in {word.upper() for word in header.texts("SeriesType")}:
        raise UnsupportedFile(f"{name} is a PET reprojection (a view of the whole body), not a slice; it was left out.")
    if header.text("CountsSource").upper() == "TRANSMISSION":
        raise UnsupportedFile(f"{name} is a PET transmission image, which this version does not read.")


def read_pt_slice(header: Header) -> PtSlice:
    """The slice of one classic PET file.

    Raises
    ------
    UnreadableFile
        If pixels, rescaling, spacing, position or orientation are missing or make no sense.
    UnsupportedFile
        See ``refuse_other_pt``; also for units that are no activity (SUV, for one).
    """
    refuse_other_pt(header)
    name = header.file_name
    if frame_shape(header)[0] != 1:
        raise UnsupportedFile(f"{name} is PET with several frames in one file, which this version does not read.")
    cosines, position = header.numbers("ImageOrientationPatient"), header.numbers("ImagePositionPatient")
    if len(cosines) != 6 or len(position) != 3 or not np.isfinite([*cosines, *position]).all():
        raise UnreadableFile(f"{name} does not say where its slice lies (ImagePositionPatient and orientation).")
    row, column = np.asarray(cosines[:3]), np.asarray(cosines[3:])
    lengths = np.linalg.norm([row, column], axis=1)
    if np.abs(lengths - 1).max() > 0.05 or abs(row @ column) > 0.02:
        raise UnreadableFile(f"{name}: ImageOrientationPatient does not hold two perpendicular directions.")
    values, unit = _activity(header)
    tracer = header.first("RadiopharmaceuticalInformationSequence")
    words = header.texts("SeriesType")
    return PtSlice(
        values=values,
        unit=unit,
        row=row / lengths[0],
        column=column / lengths[1],
        position_mm=np.asarray(position, float),
        spacing_mm=pixel_spacing_mm(header),
        clock_s=_clock_s(header, "Acquisition"),
        reference_s=_or_nan(header.number("FrameReferenceTime")) / 1000,
        duration_s=_or_nan(header.positive("ActualFrameDuration")) / 1000,
        trigger_ms=_or_nan(header.number("TriggerTime")),
        time_slot=_time_slot(header),
        temporal_position=header.count("TemporalPositionIdentifier"),
        image_index=header.count("ImageIndex"),
        n_slices=header.count("NumberOfSlices"),
        n_times=header.count("NumberOfTimeSlices"),
        n_slots=header.count("NumberOfTimeSlots"),
        series_type=words[0].upper() if words else "",
        decay=header.text("DecayCorrection").upper(),
        decay_factor=_or_nan(header.positive("DecayFactor")),
        half_life_s=_half_life_s(tracer),
        injected_at_s=_injected_at_s(tracer) if tracer else math.nan,
        injected_bq=_or_nan(tracer.positive("RadionuclideTotalDose")) if tracer else math.nan,
        rr_ms=_or_nan(header.positive("NominalInterval")),
        series_uid=header.text("SeriesInstanceUID"),
        file_name=name,
    )


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _activity(header: Header) -> tuple[NDArray[np.float32], str]:
    name = header.file_name
    stored = stored_pixels(header)[0]
    slope, intercept = header.number("RescaleSlope"), header.number("RescaleIntercept")
    if slope is None or slope <= 0:
        raise UnreadableFile(f"{name} is PET without a rescale slope above 0 (RescaleSlope); its values mean nothing.")
    word = header.text("Units").upper()
    if word not in _UNITS:
        said = f"in {word[:16]}" if word else "without a unit"
        raise UnsupportedFile(f"{name} is PET {said}; activity is read in {', '.join(_UNITS)}.")
    values = stored.astype(np.float64) * slope + (intercept or 0.0)
    unit = _UNITS[word]
    if word == "CNTS":
        factor = _philips_factor(header)
        if factor is not None:
            values, unit = values * factor, "Bq/mL"
    if not np.isfinite(values).all() or np.abs(values).max() > 1e12:
        raise UnreadableFile(f"{name} rescales its pixels by {slope:g}, beyond any meaningful activity.")
    return values.astype(np.float32), unit


def _philips_factor(header: Header) -> float | None:
    """The private factor from counts to Bq/mL, where a Philips camera wrote one."""

    def read() -> float | None:
        element = header.dataset.get(_PHILIPS_SCALE)
        if element is None:
            return None
        value = element.value
        text = value.decode("ascii", "ignore") if isinstance(value, bytes) else str(value)
        return float(text.strip(" \0"))

    try:
        factor = contain(read, header.file_name)
    except UnreadableFile:
        return None
    return factor if factor is not None and math.isfinite(factor) and factor > 0 else None


def _time_slot(header: Header) -> int | None:
    """The gate of a slice, where a file says it by number."""
    return header.count("TimeSlotVector")


def _clock_s(header: Header, what: str) -> float:
    """Seconds of the wall clock, counted from a fixed day, of ``<what>Date`` and ``<what>Time``; NaN if not stated."""
    day, moment = header.text(f"{what}Date"), header.text(f"{what}Time")
    together = header.text(f"{what}DateTime")
    if not moment and len(together) >= 14:
        day, moment = together[:8], together[8:].split("+")[0].split("-")[0]
    seconds = _seconds_of(moment)
    return math.nan if seconds is None else seconds + 86_400.0 * _day_of(day)


def _seconds_of(moment: str) -> float | None:
    text = moment.replace(":", "").strip()
    whole, _, fraction = text.partition(".")
    if len(whole) < 4 or not whole.isdigit() or (fraction and not fraction.isdigit()):
        return None
    whole = whole.ljust(6, "0")
    hours, minutes, seconds = int(whole[:2]), int(whole[2:4]), int(whole[4:6])
    if hours > 23 or minutes > 59 or seconds > 60:
        return None
    return hours * 3600.0 + minutes * 60.0 + seconds + (float(f"0.{fraction}") if fraction else 0.0)


def _day_of(day: str) -> int:
    from datetime import date

    digits = day.replace(".", "").replace("-", "").strip()
    if len(digits) != 8 or not digits.isdigit():
        return 0
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:])).toordinal()
    except ValueError:
        return 0


def _injected_at_s(tracer: Header) -> float:
    together = tracer.text("RadiopharmaceuticalStartDateTime")
    if len(together) >= 14:
        seconds = _seconds_of(together[8:].split("+")[0].split("-")[0])
        return math.nan if seconds is None else seconds + 86_400.0 * _day_of(together[:8])
    seconds = _seconds_of(tracer.text("RadiopharmaceuticalStartTime"))
    return math.nan if seconds is None else seconds


def _half_life_s(tracer: Header | None) -> float:
    """Half-life in s: as stated, or that of the coded nuclide."""
    if tracer is None:
        return math.nan
    stated = tracer.positive("RadionuclideHalfLife")
    if stated is not None:
        return stated
    for code in tracer.codes("RadionuclideCodeSequence"):
        if code in RADIONUCLIDE:
            return _HALF_LIFE_S.get(RADIONUCLIDE[code], math.nan)
    for code in tracer.codes("RadiopharmaceuticalCodeSequence"):
        if code in RADIOPHARMACEUTICAL:
            return _HALF_LIFE_S.get(RADIOPHARMACEUTICAL[code].split()[0], math.nan)
    return math.nan


def nuclide_of_half_life(half_life_s: float) -> str | None:
    """The positron emitter with this half-life, to within 3 %; None where there is none."""
    for nuclide, known in _HALF_LIFE_S.items():
        if abs(half_life_s / known - 1) < 0.03:
            return nuclide
    return None


def stack_pt(slices: Sequence[PtSlice]) -> tuple[list[PtStack], list[str]]:
    """Images of all series among the slices, and a sentence for each series that is left out."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for n, one in enumerate(slices):
        groups.setdefault(one.alike, []).append(n)
    stacks, left_out = [], []
    for members in groups.values():
        try:
            stacks.append(_stack(slices, members))
        except (UnreadableFile, UnsupportedFile) as error:
            left_out.append(str(error))
    return stacks, left_out


def _along(one: PtSlice) -> float:
    # Written out: of thousands of slices, numpy's cross product takes a tenth of the time of reading.
    (a, b, c), (x, y, z) = one.row, one.column
    normal = (b * z - c * y, c * x - a * z, a * y - b * x)
    return float(np.dot(normal, one.position_mm))


def _stack(slices: Sequence[PtSlice], members: Sequence[int]) -> PtStack:
    flags: list[Flag] = []
    first = slices[members[0]]
    series = f"{first.file_name} and its PET series"
    frames = _frames(slices, members, series)
    order = [sorted(frame, key=lambda n: _along(slices[n])) for frame in frames]
    counts = sorted({len(frame) for frame in order})
    if len(counts) > 1:
        short = min(range(len(order)), key=lambda f: len(order[f]))
        raise UnreadableFile(
            f"{series} are incomplete: frame {short + 1} of {len(order)} has {len(order[short])} slices, others have "
            f"{counts[-1]}; the series was left out."
        )
    stated = first.n_slices
    if stated is not None and counts[0] != stated and len(members) != stated:
        flags.append(
            Flag(
                "pt_slices_differ_from_header",
                f"The file says {stated} slices, {counts[0]} per frame were found; those were read.",
                "warning",
                {"stated": stated, "found": counts[0]},
            )
        )
    grid = _grid(slices, order, series)
    array = np.stack([np.stack([slices[n].values.T for n in frame], axis=-1) for frame in order])  # (frame, i, j, k)
    unit = first.unit
    acquisition: dict[str, Any] = {"n_slices": counts[0]}
    if math.isfinite(first.injected_bq):
        acquisition["administered_MBq"] = first.injected_bq / 1e6 if first.injected_bq > 1e5 else first.injected_bq
    if math.isfinite(first.half_life_s):
        acquisition["half_life_s"] = first.half_life_s
    members_in_order = tuple(n for frame in order for n in frame)
    if len(order) == 1:
        volume = Volume(array[0], grid, unit, ("read from PET DICOM",))
        return PtStack("PET", volume, members_in_order, tuple(flags), acquisition)
    if _is_gated(first):
        gates = _gating(first, len(order), flags)
        volume = Volume(array, grid, unit, ("read from PET DICOM",), "gate", gates)
        return PtStack("GATED PET", volume, members_in_order, tuple(flags), acquisition)
    heads = [slices[frame[0]] for frame in order]
    start, duration = _timing(heads, series, flags)
    steps = ["read from PET DICOM"]
    factors = _decay_factors(heads, start, duration, flags, series)
    if factors is not None:
        array = np.asarray(array * factors[:, None, None, None], np.float32)
        steps.append("corrected for decay to the start of the series")
    if unit == "counts":
        array = np.asarray(array / duration[:, None, None, None], np.float32)
        unit = "counts/s"
        message = (
            "The images hold counts without a factor to Bq/mL; they were divided by the duration of their frames, as "
            "counts of a whole frame must be."
        )
        flags.append(Flag("pt_counts_per_frame", message, "warning"))
        steps.append("counts divided by frame duration")
    acquisition["decay_correction"] = heads[0].decay or None
    injected = heads[0].injected_at_s
    if math.isfinite(injected) and math.isfinite(heads[0].clock_s):
        began = heads[0].clock_s if injected > 86_400 else heads[0].clock_s % 86_400
        acquisition["injected_before_start_s"] = round(began - injected, 1)
    volume = Volume(np.ascontiguousarray(array, np.float32), grid, unit, tuple(steps), "time", None, start, duration)
    return PtStack("DYNAMIC PET", volume, members_in_order, tuple(flags), acquisition, heads[0].clock_s)


def _is_gated(one: PtSlice) -> bool:
    return one.series_type == "GATED" or (one.n_slots or 1) > 1


def _gating(one: PtSlice, n_gates: int, flags: list[Flag]) -> Gating:
    try:
        return Gating(n_gates, one.rr_ms if math.isfinite(one.rr_ms) else None)
    except InvalidValue as error:
        flags.append(Flag("rr_implausible", f"The R-R interval was passed over: {error}.", "warning"))
        return Gating(n_gates)


def _frames(slices: Sequence[PtSlice], members: Sequence[int], series: str) -> list[list[int]]:
    """The members frame by frame, in the order of time.

    Told apart by what a maker fills in: acquisition time and frame reference time, trigger time, temporal position,
    or the image index, which counts slices within times.
    """
    first = slices[members[0]]
    places = {round(_along(slices[n]) / _ROUNDED_MM) for n in members}
    if len(places) == len(members):
        return [list(members)]

    def grouped(key: Any) -> list[list[int]] | None:
        groups: dict[Any, list[int]] = {}
        for n in members:
            value = key(slices[n])
            if value is None or (isinstance(value, float) and math.isnan(value)):
                return None
            groups.setdefault(value, []).append(n)
        # A frame holds a place once.
        for frame in groups.values():
            at = sorted(_along(slices[n]) for n in frame)
            if len(at) > 1 and float(np.diff(at).min()) <= _ROUNDED_MM:
                return None
        return [groups[value] for value in sorted(groups)] if len(groups) > 1 else None

    def by_index(one: PtSlice) -> int | None:
        per_frame = one.n_slices
        if one.image_index is None or per_frame is None:
            return None
        return (one.image_index - 1) // per_frame

    keys: list[Any] = []
    if _is_gated(first):
        keys = [lambda s: s.time_slot, lambda s: round(s.trigger_ms, 1)]
    keys += [
        lambda s: None if math.isnan(s.reference_s) else round(s.reference_s, 3),
        lambda s: None if math.isnan(s.clock_s) else round(s.clock_s, 2),
        lambda s: s.temporal_position,
        by_index,
    ]
    for key in keys:
        found = grouped(key)
        if found is not None:
            return found
    raise UnreadableFile(
        f"{series} hold several slices at one place, but neither frame times nor an image index that tell them apart; "
        "the series was left out."
    )


def _grid(slices: Sequence[PtSlice], order: Sequence[Sequence[int]], series: str) -> Grid:
    """One lattice for all frames; refuses gaps and frames that lie elsewhere."""
    place = np.array([[_along(slices[n]) for n in frame] for frame in order])
    if place.shape[1] < 2:
        raise UnsupportedFile(f"{series} are a single PET slice, not a volume; it was left out.")
    apart = np.abs(place - place[0]).max(axis=0)
    if apart.max() > 2 * _ROUNDED_MM:
        raise UnreadableFile(
            f"{series} do not lie still: slices of later frames are up to {apart.max():.1f} mm away from those of the "
            "first; the series was left out."
        )
    steps = np.diff(place[0])
    usual = float(np.median(steps))
    if steps.min() <= _ROUNDED_MM:
        raise UnreadableFile(f"{series} hold two slices at one place in one frame; the series was left out.")
    if np.abs(steps - usual).max() > _ROUNDED_MM + 0.02 * usual:
        raise UnreadableFile(
            f"{series} have gaps: slices are {usual:.3g} mm apart, but one is {steps.max():.3g} mm from the next; the "
            "series was left out."
        )
    first, last = slices[order[0][0]], slices[order[0][-1]]
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = first.row * first.spacing_mm[0], first.column * first.spacing_mm[1]
    affine[:3, 2] = (last.position_mm - first.position_mm) / (place.shape[1] - 1)
    affine[:3, 3] = first.position_mm
    rows, columns = first.values.shape
    return Grid((columns, rows, place.shape[1]), affine)


def _timing(heads: Sequence[PtSlice], series: str, flags: list[Flag]) -> tuple[FloatArray, FloatArray]:
    """Start of each frame from the first one's and duration, both in s."""
    clock = np.array([h.clock_s for h in heads])
    reference = np.array([h.reference_s for h in heads])
    duration = np.array([h.duration_s for h in heads])
    rate = math.log(2) / (heads[0].half_life_s if math.isfinite(heads[0].half_life_s) else _NOT_DECAYING)
    by_clock = np.isfinite(clock).all() and len(np.unique(np.round(clock, 2))) == len(heads)
    by_reference = np.isfinite(reference).all() and len(np.unique(np.round(reference, 3))) == len(heads)
    if by_reference:
        reference = _in_seconds(reference, duration, flags)
    if by_clock:
        start = clock - clock[0]
    elif by_reference and np.isfinite(duration).all():
        start = reference - _mean_activity_s(duration, rate)
        start = start - start[0]
        flags.append(
            Flag("pt_times_from_reference", "When frames began follows from their frame reference times.", "info")
        )
    elif np.isfinite(duration).all():
        start = np.concatenate([[0.0], np.cumsum(duration[:-1])])
        flags.append(
            Flag(
                "pt_times_assumed",
                "The files do not say when each frame began; frames were taken to follow each other without a gap.",
                "warning",
            )
        )
    elif by_reference:
        start, duration = _from_middles(reference)
    else:
        raise UnreadableFile(
            f"{series} do not say when their {len(heads)} frames were taken (AcquisitionTime, FrameReferenceTime or "
            "ActualFrameDuration); without that there is no blood flow, and the series was left out."
        )
    if not np.isfinite(duration).all():
        gaps = np.diff(start)
        duration = np.where(np.isfinite(duration), duration, np.append(gaps, gaps[-1]))
        flags.append(
            Flag(
                "pt_duration_inferred",
                "Some frames do not state how long they lasted; they were taken to last until the next one began, the "
                "last as long as the one before.",
                "warning",
            )
        )
    if by_clock and by_reference:
        expected = start + _mean_activity_s(duration, rate)
        apart = np.abs((reference - reference[0]) - (expected - expected[0]))
        if float(apart.max()) > 1.0 + 0.05 * float(duration.max()):
            flags.append(
                Flag(
                    "pt_times_contradictory",
                    f"Acquisition times and frame reference times differ by up to {apart.max():.1f} s; the acquisition "
                    "times were believed.",
                    "warning",
                    {"largest_s": round(float(apart.max()), 1)},
                )
            )
    overlap = start[1:] - (start[:-1] + duration[:-1])
    if float(overlap.min()) < -0.5:
        n = int(np.argmin(overlap))
        raise UnreadableFile(
            f"{series}: frame {n + 2} begins {-overlap[n]:.1f} s before frame {n + 1} has ended; the frame times "
            "contradict each other and the series was left out."
        )
    # Times that overlap by rounding are cut, not believed.
    duration = np.minimum(duration, np.append(np.diff(start), np.inf))
    if float(duration.max()) > _LONGEST_FRAME_S or float(start[-1]) > _LONGEST_SERIES_S:
        raise UnreadableFile(
            f"{series} last {start[-1] + duration[-1]:.0f} s with frames of up to {duration.max():.0f} s, which no "
            "cardiac study does (are times in other units?); the series was left out."
        )
    if float(overlap.max()) > 30.0:
        flags.append(
            Flag(
                "pt_frames_have_gaps",
                f"Between frames are pauses of up to {overlap.max():.0f} s.",
                "warning",
                {"longest_s": round(float(overlap.max()), 1)},
            )
        )
    return start, duration


def _in_seconds(reference_s: FloatArray, duration_s: FloatArray, flags: list[Flag]) -> FloatArray:
    """Frame reference times that were written in seconds instead of milliseconds."""
    known = np.isfinite(duration_s)
    if not known.all():
        return reference_s
    span, length = float(np.ptp(reference_s)), float(duration_s.sum())
    if span < 0.01 * length:
        flags.append(
            Flag(
                "pt_reference_in_seconds",
                "Frame reference times are a thousandth of the frames' durations: they were taken for seconds.",
                "info",
            )
        )
        return reference_s * 1000
    return reference_s


def _mean_activity_s(duration_s: FloatArray, rate_per_s: float) -> FloatArray:
    """How long after a frame's start its mean activity occurs: what a frame reference time tells."""
    x = rate_per_s * duration_s
    share = -np.expm1(-np.maximum(x, 1e-9)) / np.maximum(x, 1e-9)
    middle: FloatArray = np.where(x < 1e-4, 0.5 * duration_s, -np.log(share) / max(rate_per_s, 1e-30))
    return middle


def _from_middles(middle_s: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Starts and durations of frames that follow each other, from the middles of their times alone."""
    start = np.zeros(len(middle_s))
    duration = np.zeros(len(middle_s))
    begin = 0.0
    for n, middle in enumerate(middle_s):
        start[n] = begin
        duration[n] = 2 * (middle - begin)
        begin += duration[n]
    if not (duration > 0).all():
        half = np.diff(middle_s)
        duration = np.append(half, half[-1])
        start = middle_s - 0.5 * duration
        start = start - start[0]
    return start, duration


def _decay_factors(
    heads: Sequence[PtSlice], start: FloatArray, duration: FloatArray, flags: list[Flag], series: str
) -> FloatArray | None:
    """What corrects the decay of each frame to the start of the series, (frame,); None where nothing is to be done."""
    half_life = heads[0].half_life_s
    said = heads[0].decay
    if len({h.decay for h in heads}) > 1:
        raise UnreadableFile(f"{series}: frames were corrected for decay to different times; the series was left out.")
    if said not in ("NONE", "START", "ADMIN"):
        flags.append(
            Flag(
                "pt_decay_not_stated",
                "The files do not say whether decay was corrected; the images were taken as corrected.",
                "warning",
            )
        )
        return None
    if not math.isfinite(half_life):
        if said == "NONE":
            raise UnreadableFile(
                f"{series} are not corrected for decay and do not name their nuclide; the series was left out."
            )
        return None
    rate = math.log(2) / half_life
    x = np.maximum(rate * duration, 1e-9)
    within = x / -np.expm1(-x)  # correction within a frame to its own start
    whole = within * np.exp(rate * start)
    if said == "NONE":
        flags.append(Flag("pt_decay_corrected_here", "Decay was corrected here to the start of the series.", "info"))
        return np.asarray(whole)
    stated = np.array([h.decay_factor for h in heads])
    if not np.isfinite(stated).all():
        return None
    relative = stated / stated[0]
    if np.abs(relative / (whole / whole[0]) - 1).max() < _DECAY_TOLERANCE:
        return None
    if np.abs(relative / (within / within[0]) - 1).max() < _DECAY_TOLERANCE:
        flags.append(
            Flag(
                "pt_decay_per_frame",
                f"The files say that decay was corrected to one time ({said}), but their decay factors are those of "
                "each frame's own start; the rest was corrected here.",
                "warning",
            )
        )
        return np.asarray(np.exp(rate * start))
    flags.append(
        Flag(
            "pt_decay_factors_unclear",
            "The decay factors of the frames fit neither one time nor each frame's start; they were not used.",
            "warning",
            {"largest_ratio": round(float((relative / (whole / whole[0])).max()), 3)},
        )
    )
    return None
