"""One NM DICOM file to images: reconstructed volumes and projection sets, gated or not.

Read are the NM image types ``RECON TOMO``, ``RECON GATED TOMO``, ``TOMO`` and ``GATED TOMO``. Frames are ordered by
their index vectors, stored values are rescaled as the file says, and whatever contradicts itself becomes a flag.
DICOM PS3.3 C.8.4 (NM modules).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myoscope.core import Flag, Gating, InvalidValue, Projections, UnreadableFile, UnsupportedFile, Volume
from myoscope.core.geometry import FloatArray
from myoscope.io.codes import PRIVATE_CREATOR, PRIVATE_GROUP, PRIVATE_VIEWS, UNIT
from myoscope.io.dicom_frames import (
    DETECTOR,
    GATE,
    ROTATION,
    RR_INTERVAL,
    SLICE,
    VIEW,
    WINDOW,
    FrameIndex,
    order_frames,
    read_vectors,
)
from myoscope.io.dicom_header import Header, contain
from myoscope.io.dicom_pixels import frame_shape, stored_pixels, surplus_bytes
from myoscope.io.dicom_views import energy_windows, read_views
from myoscope.io.geometry_dicom import pixel_spacing_mm, stated_view, volume_grid

KINDS = ("RECON GATED TOMO", "GATED TOMO", "RECON TOMO", "TOMO")
_PLANAR = {
    "STATIC": "a planar image",
    "WHOLE BODY": "a whole-body scan",
    "DYNAMIC": "a dynamic planar study",
    "GATED": "a gated planar study",
}
_MODALITY = {
    "CT": "CT",
    "PT": "PET",
    "MR": "MR",
    "SR": "a structured report",
    "SC": "a secondary capture (screenshot)",
    "OT": "an object of another kind",
}

Vectors = dict[FrameIndex, list[int]]


@dataclass(frozen=True, eq=False, slots=True)
class NMImage:
    """One image of an NM file: its kind, the image, what is odd about it and how it was acquired.

    ``window`` names the energy window of a reconstruction where a file holds several, else it is empty.
    """

    kind: str
    image: Volume | Projections
    flags: tuple[Flag, ...]
    acquisition: dict[str, Any] = field(default_factory=dict)
    window: str = ""


def refuse_other_objects(header: Header) -> None:
    """Check that this is an NM image of a kind that can be analysed, without looking at its pixels.

    Raises
    ------
    UnsupportedFile
        If it is another modality, or a planar or whole-body image.
    """
    name = header.file_name
    modality = header.text("Modality").upper()
    if modality not in ("NM", ""):
        what = _MODALITY.get(modality, "of another modality")
        raise UnsupportedFile(f"{name} is {what}, which this version does not analyse; it reads NM (SPECT) images.")
    if modality == "" and header.text("SOPClassUID") != "1.2.840.10008.5.1.4.1.1.20":
        raise UnsupportedFile(f"{name} does not say what it is (no Modality); it is not an NM (SPECT) image.")
    words = _image_type(header)
    kind = _kind_by_words(words)
    if kind is None:
        for planar, what in _PLANAR.items():
            if planar in words:
                raise UnsupportedFile(f"{name} is {what} ({planar}), not tomography; polar maps need slices.")
    dose_report = {"SCREEN SAVE", "SCREENSHOT", "RESULT", "PLANAR"} & words
    if kind is None and dose_report:
        raise UnsupportedFile(f"{name} is a {sorted(dose_report)[0].lower()}, not a tomographic image.")


def is_transmission(header: Header) -> bool:
    """Whether an NM image shows attenuation (value 4 of ImageType) and no tracer."""
    return "TRANSMISSION" in _image_type(header)


def read_nm(header: Header) -> list[NMImage]:
    """All images of an NM file: one, or one per energy window for reconstructions that hold several.

    Raises
    ------
    UnreadableFile
        If the file is damaged, incomplete or contradicts itself in a way that leaves its meaning open.
    UnsupportedFile
        If it is sound but nothing that can be analysed here.
    """
    refuse_other_objects(header)
    flags: list[Flag] = []
    n_frames = frame_shape(header)[0]
    vectors, vector_flags = read_vectors(header, n_frames)
    flags += vector_flags
    kind = _kind(header, vectors, n_frames, flags)
    values, unit = _values(header, flags)
    if kind.startswith("RECON"):
        images = _volumes(header, kind, values, unit, vectors, flags)
    else:
        images = [_projections(header, kind, values, vectors, flags)]
    if header.unreadable:
        unread = Flag(
            "attributes_unreadable",
            f"{len(header.unreadable)} attributes hold something else than they should and were passed over: "
            f"{', '.join(sorted(header.unreadable))}.",
            "warning",
            {"attributes": sorted(header.unreadable)},
        )
        images = [NMImage(i.kind, i.image, (*i.flags, unread), i.acquisition, i.window) for i in images]
    return images


def _image_type(header: Header) -> set[str]:
    return {" ".join(word.upper().replace("_", " ").replace("-", " ").split()) for word in header.texts("ImageType")}


def _kind_by_words(words: set[str]) -> str | None:
    """The NM image type, also from near misses: words run together or in another order."""
    for kind in KINDS:
        if kind in words:
            return kind
    for word in words:
        parts = set(word.split())
        for kind in KINDS:
            if set(kind.split()) == parts:
                return kind
    if any("RECON" in word for word in words):
        return "RECON GATED TOMO" if any("GATED" in word for word in words) else "RECON TOMO"
    return None


def _kind(header: Header, vectors: Vectors, n_frames: int, flags: list[Flag]) -> str:
    name = header.file_name
    words = _image_type(header)
    kind = _kind_by_words(words)
    n_gates = max(vectors.get(GATE, [1]))
    if kind is None:
        recon, views = SLICE in vectors, VIEW in vectors
        if recon == views:
            raise UnsupportedFile(
                f"{name} does not say what kind of NM image it is (ImageType), and its frames are counted neither "
                "as slices nor as views."
            )
        kind = f"{'RECON ' if recon else ''}{'GATED ' if n_gates > 1 else ''}TOMO"
        flags.append(
            Flag(
                "image_type_inferred",
                f"ImageType does not name a kind of NM image; by its index vectors it is {kind}.",
                "warning",
            )
        )
    elif kind not in {word.upper() for word in header.texts("ImageType")}:
        flags.append(Flag("image_type_unusual", f"ImageType is spelled unusually; it was read as {kind}.", "info"))
    if n_gates > 1 and "GATED" not in kind:
        kind = kind.replace("TOMO", "GATED TOMO")
        flags.append(
            Flag(
                "image_type_contradicts_vector",
                f"ImageType says ungated, the frames belong to {n_gates} gates; the image was read as gated.",
                "warning",
                {"n_gates": n_gates},
            )
        )
    if "GATED" in kind and n_gates == 1:
        stated = header.count(GATE.number)
        if stated is not None and stated > 1:
            raise UnreadableFile(f"{name} says it has {stated} gates, but no TimeSlotVector tells its frames apart.")
        kind = kind.replace("GATED ", "")
        flags.append(
            Flag("gated_without_gates", "ImageType says gated, but there is a single gate; read as ungated.", "warning")
        )
    index, number = (SLICE, header.count(SLICE.number)) if kind.startswith("RECON") else (VIEW, None)
    if index not in vectors and n_frames > 1:
        if "GATED" in kind or (number is not None and number != n_frames):
            raise UnreadableFile(f"{name} has {n_frames} frames but no {index.vector}; their order is unknown.")
        vectors[index] = list(range(1, n_frames + 1))
        flags.append(
            Flag(
                "frame_order_assumed",
                f"The {index.vector} is missing; frames were taken in the order in which they are stored.",
                "warning",
            )
        )
    return kind


def _values(header: Header, flags: list[Flag]) -> tuple[NDArray[Any], str]:
    """Rescaled values (frame, row, column) and their unit.

    Whole numbers stay whole numbers where the file does not rescale them; else float64.
    """
    name = header.file_name
    stored = stored_pixels(header)
    if stored.dtype.kind == "f" and not np.isfinite(stored).all():
        n_bad = int(stored.size - np.isfinite(stored).sum())
        raise UnreadableFile(f"{name} holds {n_bad} pixels that are no number (NaN or infinite).")
    low, high = stored.min(), stored.max()
    if low == high:
        what = "only zeros" if low == 0 else f"the same value ({low}) everywhere"
        raise UnreadableFile(f"{name} holds {what}; there is no image in it.")
    surplus = surplus_bytes(header)
    if surplus:
        flags.append(
            Flag(
                "pixel_data_longer",
                f"The file holds {surplus} bytes of pixels more than it declares; they were left out.",
                "warning",
                {"surplus_bytes": surplus},
            )
        )
    if header.text("PhotometricInterpretation").upper() == "MONOCHROME1":
        flags.append(
            Flag(
                "inverted_grey_scale",
                "The file asks to be shown dark on bright (MONOCHROME1); the stored values were taken as counts.",
                "warning",
            )
        )
    slope, intercept, unit = _rescaling(header)
    if not (np.isfinite([slope, intercept]).all() and slope != 0):
        raise UnreadableFile(f"{name} rescales its pixels by {slope:g}; that leaves no image.")
    values = stored if (slope, intercept) == (1.0, 0.0) else stored * slope + intercept
    if not np.isfinite(values).all() or np.abs(values).max() > 1e30:
        raise UnreadableFile(f"{name} rescales its pixels by {slope:g}, beyond any meaningful number.")
    negative = float((values < 0).mean())
    if negative > 0:
        flags.append(
            Flag(
                "negative_pixels",
                f"{100 * negative:.1f} % of the pixels are negative, which counts cannot be (a filter overshoots?).",
                "info",
                {"fraction": negative, "minimum": float(values.min())},
            )
        )
    if unit == "counts" and (slope, intercept) == (1.0, 0.0) and _scaled_to_full_range(header, stored):
        unit = "counts (rescaled)"
        evidence: dict[str, Any] = {"maximum": int(high)}
        window = header.positive("WindowWidth")
        if window is not None and window > 1.5 * float(high):
            evidence["display_window"] = window
        flags.append(
            Flag(
                "pixels_rescaled",
                f"The pixels were scaled to a maximum of {int(high)} when the file was written: they are proportional "
                "to counts, but are not counts.",
                "info",
                evidence,
            )
        )
    return values, unit


def _scaled_to_full_range(header: Header, stored: NDArray[Any]) -> bool:
    """Whether the maximum is exactly the largest whole number of its type, and no count total speaks against it."""
    if stored.dtype.kind == "f" or int(stored.max()) not in (255, 4095, 32767, 65535):
        return False
    total = header.positive("CountsAccumulated")
    return total is None or abs(total - float(stored.sum(dtype=np.float64))) > 0.01 * total


def _rescaling(header: Header) -> tuple[float, float, str]:
    """Slope, intercept and unit: a real-world value map before the rescale tags."""
    mapping = header.first("RealWorldValueMappingSequence")
    if mapping is not None and mapping.has("RealWorldValueSlope"):
        codes = mapping.codes("MeasurementUnitsCodeSequence")
        unit = UNIT.get(codes[0][1], "unknown") if codes else "counts"
        explained = mapping.text("LUTExplanation")
        if unit in ("1", "unknown") and explained in (*UNIT.values(), "mask"):
            unit = explained
        slope, intercept = mapping.number("RealWorldValueSlope"), mapping.number("RealWorldValueIntercept")
        return (np.nan if slope is None else slope), intercept or 0.0, unit
    unit = UNIT.get(header.text("Units"), "counts")
    slopes, intercepts = header.numbers("RescaleSlope"), header.numbers("RescaleIntercept")
    return (slopes[0] if slopes else 1.0), (intercepts[0] if intercepts else 0.0), unit


def _volumes(
    header: Header, kind: str, values: NDArray[Any], unit: str, vectors: Vectors, flags: list[Flag]
) -> list[NMImage]:
    values, vectors = _one_rr_interval(values, vectors, flags)
    order = order_frames(header, vectors, (WINDOW, DETECTOR, ROTATION, GATE, SLICE), len(values))
    flags = [*flags, *order.flags]
    arranged = order.arrange(values)  # (window, detector, rotation, gate, k, j, i)
    if arranged.shape[1] > 1 or arranged.shape[2] > 1:
        raise UnsupportedFile(
            f"{header.file_name} holds slices of {arranged.shape[1]} detectors and {arranged.shape[2]} rotations; "
            "a reconstruction belongs to all of them together."
        )
    arranged = arranged[:, 0, 0].transpose(0, 1, 4, 3, 2)  # (window, gate, i, j, k)
    if min(arranged.shape[2:]) < 2:
        raise UnsupportedFile(f"{header.file_name} holds {arranged.shape[-1]} slice, not a volume.")
    first_stored = vectors[SLICE][0] if SLICE in vectors else 1
    i, j, k = (int(n) for n in arranged.shape[2:])
    grid, grid_flags = volume_grid(header, (i, j, k), first_stored=first_stored)
    flags += grid_flags
    view = stated_view(header)
    if view is not None and "axis" in view:
        flags.append(
            Flag(
                "already_reoriented", f"The slices were cut along the heart ({view}) before the file was made.", "info"
            )
        )
    gating = read_gating(header, int(arranged.shape[1]), flags)
    windows = energy_windows(header, len(arranged))
    acquisition = describe_acquisition(header)
    images = []
    for window, array in zip(windows, arranged, strict=True):
        if array.max() == 0:
            flags = [*flags, Flag("window_empty", f"Energy window {window.name} holds only zeros.", "warning")]
            continue
        volume = Volume(
            array if gating else array[0],
            grid,
            unit,
            ("read from NM DICOM",),
            "gate" if gating else None,
            gating,
        )
        images.append(NMImage(kind, volume, tuple(flags), acquisition, window.name if len(windows) > 1 else ""))
    return images


def _projections(header: Header, kind: str, values: NDArray[Any], vectors: Vectors, flags: list[Flag]) -> NMImage:
    values, vectors = _one_rr_interval(values, vectors, flags)
    views = read_views(header, vectors, len(values))
    renumbered = {index: v for index, v in vectors.items() if index not in (DETECTOR, ROTATION, VIEW)}
    renumbered[VIEW] = list(views.view_of_frame)
    order = order_frames(header, renumbered, (WINDOW, GATE, VIEW), len(values))
    flags = [*flags, *order.flags, *views.flags]
    counts = order.arrange(values)[:, :, views.order]  # (window, gate, view, v, u)
    if views.rows_run_up:
        counts = counts[:, :, :, ::-1]
    gating = read_gating(header, int(counts.shape[1]), flags)
    width_mm, height_mm = pixel_spacing_mm(header)
    position = header.text("PatientPosition").upper()
    detector = header.first("DetectorInformationSequence")
    projections = Projections(
        counts=counts,
        angle_deg=views.angle_deg,
        radius_mm=views.radius_mm,
        pixel_mm=(width_mm, height_mm),
        windows=tuple(energy_windows(header, len(counts))),
        view_duration_s=views.duration_s,
        patient_position=position if position.isalpha() and len(position) <= 4 else None,
        collimator=_collimator(detector) if detector else None,
        gating=gating,
        made_by=("read from NM DICOM", *(("rows turned to run to the feet",) if views.rows_run_up else ())),
    )
    acquisition = {**describe_acquisition(header), **views.acquisition}
    private = _private_views(header, len(views.order))
    if private is not None:
        # Sorting by angle was right for an orbit; this camera's views have an order of their own.
        projections = _in_own_order(projections, views.order, *private)
        acquisition["geometry"] = private[0]
        acquisition["acquired_order"] = list(range(len(views.order)))
    return NMImage(kind, projections, tuple(flags), acquisition)


def _private_views(header: Header, n_views: int) -> tuple[str, FloatArray] | None:
    """Camera and angles from our own private element, where its content fits the views; else None."""

    def read() -> tuple[str, FloatArray] | None:
        block = header.dataset.private_block(PRIVATE_GROUP, PRIVATE_CREATOR)
        content = json.loads(str(block[PRIVATE_VIEWS].value))
        angle_deg = np.asarray(content["angle_deg"], np.float64)
        geometry = content["geometry"]
        whole = angle_deg.shape == (n_views,) and bool(np.isfinite(angle_deg).all())
        return (geometry, angle_deg) if whole and _word(geometry, 64) else None

    try:
        return contain(read, header.file_name)
    except UnreadableFile:
        return None


def _collimator(detector: Header) -> str | None:
    """The collimator by its name, such as LEHR, else by its type, such as PARA."""
    return _word(detector.text("CollimatorGridName")) or detector.text("CollimatorType") or None


def _in_own_order(projections: Projections, order: Sequence[int], geometry: str, angle_deg: FloatArray) -> Projections:
    back = np.argsort(order)
    return replace(
        projections,
        counts=projections.counts[:, :, back],
        angle_deg=angle_deg,
        radius_mm=projections.radius_mm[back],
        view_duration_s=projections.view_duration_s[back],
        collimator=geometry,
    )


def _one_rr_interval(values: NDArray[Any], vectors: Vectors, flags: list[Flag]) -> tuple[NDArray[Any], Vectors]:
    """Where beats were sorted by their length, only the first class of beats is read, and a flag says so."""
    interval = vectors.get(RR_INTERVAL)
    if interval is None:
        return values, vectors
    others = {index: v for index, v in vectors.items() if index is not RR_INTERVAL}
    classes = sorted(set(interval))
    if len(classes) == 1:
        return values, others
    flags.append(
        Flag(
            "several_rr_intervals",
            f"Beats were sorted into {len(classes)} classes of R-R interval; only the first class was read.",
            "warning",
            {"classes": len(classes)},
        )
    )
    keep = [n for n, value in enumerate(interval) if value == classes[0]]
    return values[keep], {index: [v[n] for n in keep] for index, v in others.items()}


def read_gating(header: Header, n_gates: int, flags: list[Flag]) -> Gating | None:
    """How the cardiac cycle was cut, from the gated information sequence; None for a single gate."""
    if n_gates < 2:
        return None
    gated = header.first("GatedInformationSequence") or header
    data = gated.first("DataInformationSequence") or gated
    rr_ms = data.positive("NominalInterval") or header.positive("NominalInterval")
    if rr_ms is None:
        frame_ms = data.positive("FrameTime") or header.positive("FrameTime")
        rate = header.positive("HeartRate")
        if frame_ms is not None:
            rr_ms = frame_ms * n_gates
            source = "the time per gate"
        elif rate is not None:
            rr_ms = 60_000 / rate
            source = "the heart rate"
        if rr_ms is not None:
            flags.append(
                Flag("rr_inferred", f"The R-R interval was worked out from {source}.", "info", {"rr_ms": rr_ms})
            )
    try:
        return Gating(
            n_gates,
            rr_ms,
            data.positive("LowRRValue"),
            data.positive("HighRRValue"),
            data.count("IntervalsAcquired"),
            _not_negative(data.integer("IntervalsRejected")),
        )
    except InvalidValue as error:
        flags.append(Flag("rr_implausible", f"The R-R interval was passed over: {error}.", "warning"))
        return Gating(n_gates)


def _not_negative(count: int | None) -> int | None:
    return count if count is not None and count >= 0 else None


def describe_acquisition(header: Header) -> dict[str, Any]:
    """Plain numbers and class words of the acquisition, for the result file; free text stays out."""
    detector = header.first("DetectorInformationSequence")
    tracer = header.first("RadiopharmaceuticalInformationSequence")
    found: dict[str, Any] = {
        "counts_accumulated": header.positive("CountsAccumulated"),
        "administered_MBq": _administered_MBq(tracer) if tracer else None,
        "heart_rate_per_min": header.positive("HeartRate"),
        "trigger": "ECG" if header.text("TriggerSourceOrType").upper() in ("EKG", "ECG") else None,
        "collimator_type": _word(detector.text("CollimatorType")) if detector else None,
        "collimator": _word(detector.text("CollimatorGridName")) if detector else None,
        "frame_duration_s": _seconds(header),
    }
    return {key: value for key, value in found.items() if value is not None}


def _administered_MBq(tracer: Header) -> float | None:
    """The administered activity: DICOM asks for MBq in NM, several makers write Bq."""
    dose = tracer.positive("RadionuclideTotalDose")
    if dose is None:
        return None
    return dose / 1e6 if dose > 1e5 else dose


def _seconds(header: Header) -> float | None:
    rotation = header.first("RotationInformationSequence")
    milliseconds = (rotation.positive("ActualFrameDuration") if rotation else None) or header.positive(
        "ActualFrameDuration"
    )
    return None if milliseconds is None else milliseconds / 1000


def _word(text: str, longest: int = 16) -> str | None:
    """A short technical label such as LEHR, or None: nothing that could be a name or a number of a person."""
    text = text.strip().upper()
    return text if 0 < len(text) <= longest and all(c.isalnum() or c in "-_ /" for c in text) else None
