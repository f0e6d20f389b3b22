"""Reconstructions and projections as DICOM Nuclear Medicine images.

``RECON TOMO`` and ``RECON GATED TOMO`` from volumes, ``TOMO`` and ``GATED TOMO`` from projections, after DICOM
PS3.3 A.5 and C.8.4. No voxel is moved: columns, rows and slices are the array's i, j, k, and the place goes into
the detector's image position and orientation; slices that run against the cross product of rows and columns get a
negative spacing, as C.8.4.15 asks.

NM stores 16-bit integers and has no rescale of its own. Whole numbers that fit are stored as they are. Others are
scaled, and the factor is written twice: as a real world value map with its unit, which is the standard's way, and
as Rescale Slope, which is what most programs look for.

Written images carry no identifiers unless they are given, and no date or time of writing: with a seed for the
identifiers the same input gives the same bytes.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence as Items
from pydicom.tag import Tag
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    NuclearMedicineImageStorage,
    RLELossless,
    generate_uid,
)
from pydicom.valuerep import format_number_as_ds

from myoscope.core import (
    CardiacFrame,
    EnergyWindow,
    Gating,
    Grid,
    InvalidValue,
    OutputError,
    Projections,
    Series,
    Stated,
    Volume,
)
from myoscope.core.geometry import FloatArray
from myoscope.io.atomic import atomic_write
from myoscope.io.codes import PRIVATE_CREATOR, PRIVATE_GROUP, PRIVATE_VIEWS

TransferSyntax = Literal["explicit", "implicit", "rle", "jpeg-ls", "jpeg-2000"]
_TRANSFER_SYNTAXES = {
    "explicit": ExplicitVRLittleEndian,
    "implicit": ImplicitVRLittleEndian,
    "rle": RLELossless,
    "jpeg-ls": JPEGLSLossless,
    "jpeg-2000": JPEG2000Lossless,
}

# Code value, scheme, meaning.
Code = tuple[str, str, str]
_STATES: dict[str, Code] = {
    "stress": ("109091", "DCM", "Cardiac Stress State"),
    "rest": ("128975004", "SCT", "Resting State"),
}
_PATIENT_STATE: Code = ("109054", "DCM", "Patient State")
_RECUMBENT: Code = ("102538003", "SCT", "recumbent")
_ERECT: Code = ("C86043", "NCIt", "erect")
_POSITIONS: dict[str, tuple[Code, Code]] = {
    "supine": (_RECUMBENT, ("40199007", "SCT", "supine")),
    "prone": (_RECUMBENT, ("1240000", "SCT", "prone")),
    "left lateral": (_RECUMBENT, ("102536004", "SCT", "left lateral decubitus")),
    "right lateral": (_RECUMBENT, ("102535000", "SCT", "right lateral decubitus")),
    "upright": (_ERECT, ("33586001", "SCT", "sitting")),
}
_GANTRY: dict[str, Code] = {
    "head-first": ("102540008", "SCT", "headfirst"),
    "feet-first": ("102541007", "SCT", "feet-first"),
}
_TC99M: Code = ("72454006", "SCT", "^99m^Technetium")
_F18: Code = ("77004003", "SCT", "^18^Fluorine")
_TERMS: dict[str, tuple[str, str]] = {
    f"{entry}{lie}": (position, gantry)
    for entry, gantry in (("HF", "head-first"), ("FF", "feet-first"))
    for lie, position in (("S", "supine"), ("P", "prone"), ("DL", "left lateral"), ("DR", "right lateral"))
}
"""Position and entry behind DICOM's terms for how a patient lies, such as HFS."""
_TRACERS: tuple[tuple[tuple[str, ...], Code, Code], ...] = (
    (("sestamibi", "mibi"), _TC99M, ("424299003", "SCT", "Technetium Tc^99m^ sestamibi")),
    (("tetrofosmin",), _TC99M, ("424118002", "SCT", "Technetium Tc^99m^Tetrofosmin")),
    (("thallium", "tl-201", "tl201"), ("60057003", "SCT", "^201^Thallium"), ("353842007", "SCT", "Thallous chloride")),
    (("rubidium", "rb-82"), ("79197006", "SCT", "^82^Rubidium"), ("129503007", "SCT", "Rubidium chloride Rb^82^")),
    (("ammonia", "n-13"), ("21576001", "SCT", "^13^Nitrogen"), ("129508003", "SCT", "Ammonia N^13^")),
    (("water", "o-15"), ("129504001", "SCT", "^15^Oxygen"), ("129505000", "SCT", "Water O^15^")),
    (("flurpiridaz",), _F18, ("126718", "DCM", "Flurpiridaz F^18^")),
    (
        ("fdg", "fluorodeoxyglucose"),
        ("77004003", "SCT", "^18^Fluorine"),
        ("35321007", "SCT", "Fluorodeoxyglucose F^18^"),
    ),
)
"""Words that tell a tracer, the code of its nuclide (CID 18, 4020), its own code (CID 25, 4021)."""
_UNITS: dict[str, Code] = {
    "counts": ("{counts}", "UCUM", "Counts"),
    "counts/s": ("{counts}/s", "UCUM", "Counts per second"),
    "Bq/mL": ("Bq/ml", "UCUM", "Becquerels/milliliter"),
    "1/cm": ("/cm", "UCUM", "/Centimeter"),
    "%": ("%", "UCUM", "Percent"),
    "mL/min/g": ("ml/min/g", "UCUM", "Milliliter/minute/gram"),
}
_SHORT_AXIS: Code = ("103340004", "SCT", "Short Axis")

_ENERGY, _DETECTOR, _ROTATION = Tag(0x0054, 0x0010), Tag(0x0054, 0x0020), Tag(0x0054, 0x0050)
_RR_INTERVAL, _TIME_SLOT = Tag(0x0054, 0x0060), Tag(0x0054, 0x0070)
_STUDY_COMMENTS = Tag(0x0032, 0x4000)
_SLICE, _ANGULAR_VIEW = Tag(0x0054, 0x0080), Tag(0x0054, 0x0090)

NEUTRAL_PATIENT = "ANONYMOUS"
IMPLEMENTATION_UID = generate_uid(entropy_srcs=["Myoscope", "implementation class"])


@dataclass(frozen=True, slots=True, kw_only=True)
class NmDescription:
    """What a DICOM image says besides its voxels; anything left out is left empty in the file.

    ``state`` is stress or rest, ``corrected`` whether attenuation was corrected, ``position`` supine, prone,
    upright, left lateral or right lateral, ``gantry`` head-first or feet-first. ``study_date`` is YYYYMMDD.
    ``uid_seed`` makes the identifiers repeatable: one seed is one study (without one every image is a study of
    its own), ``series_label`` tells its series apart, ``place_label`` those that share a frame of reference (by
    default each series has its own). Facts of a ``Series`` fill what is None here.

    ``comments`` (one sentence) goes into the comments on patient, study and image: that an object is synthetic stands
    there. ``geometry`` describes a camera that DICOM has no attributes for (pinholes, swivelling columns); it is kept
    in a private element and comes back as ``acquisition["geometry"]`` of the series.
    """

    patient_name: str = f"{NEUTRAL_PATIENT}^"
    patient_id: str = NEUTRAL_PATIENT
    sex: str | None = None
    age_y: float | None = None
    state: str | None = None
    corrected: bool | None = None
    position: str | None = None
    gantry: str | None = None
    tracer: str | None = None
    dose_MBq: float | None = None
    camera: str | None = None
    manufacturer: str = "Myoscope"
    collimator: str | None = None
    energy_windows: tuple[EnergyWindow, ...] = ()
    study_description: str = ""
    series_description: str | None = None
    series_label: str | None = None
    place_label: str | None = None
    series_number: int = 1
    study_date: str = ""
    uid_seed: str | None = None
    comments: str = ""
    geometry: str | None = None

    def __post_init__(self) -> None:
        for name, allowed in (("state", _STATES), ("position", _POSITIONS), ("gantry", _GANTRY)):
            value = getattr(self, name)
            if value is not None and value not in allowed:
                raise InvalidValue(f"{name} is {', '.join(allowed)} or not stated, got {value!r}")
        if self.sex not in (None, "F", "M", "O"):
            raise InvalidValue(f"sex is F, M, O or not stated in DICOM, got {self.sex!r}")
        if self.age_y is not None and not 0 < self.age_y < 130:
            raise InvalidValue(f"nobody is {self.age_y:g} years old")
        if self.study_date and not (len(self.study_date) == 8 and self.study_date.isdigit()):
            raise InvalidValue(f"a DICOM date is eight digits YYYYMMDD, got {self.study_date!r}")
        if self.dose_MBq is not None and not 0 < self.dose_MBq < 1e5:
            raise InvalidValue(f"an injected activity of {self.dose_MBq:g} MBq is not one a patient was given")
        if len(self.comments) > 1024 or "\\" in self.comments or any(ord(c) < 32 for c in self.comments):
            raise InvalidValue("DICOM comments are one line of up to 1024 characters without a backslash")
        object.__setattr__(self, "energy_windows", tuple(self.energy_windows))


@dataclass(frozen=True, slots=True)
class WrittenNm:
    """What became of an image: its identifiers, and what storing it in 16 bits cost.

    A stored number times ``slope`` is the value; ``max_error`` is the largest difference, in the image's unit,
    between a voxel and what a reader gets back (0 for whole numbers that fit).
    """

    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    slope: float
    max_error: float


def write_nm(
    image: Series | Volume,
    path: Path | str,
    *,
    description: NmDescription | None = None,
    short_axis_of: CardiacFrame | None = None,
    transfer_syntax: TransferSyntax = "explicit",
) -> WrittenNm:
    """Store a reconstruction as an NM image: ``RECON TOMO``, or ``RECON GATED TOMO`` if its frames are gates.

    ``short_axis_of`` gives the heart that a reoriented stack was cut along; the image then says that it is a
    short-axis view and which way its slices go. A unit of 1/cm makes it a transmission image.

    Raises
    ------
    InvalidValue
        Voxels that are missing or infinite, axes that are not at right angles, time frames (NM has no dynamic
        reconstruction), more than 65535 rows or columns, a short axis that the grid does not follow.
    OutputError
        The file cannot be written.
    """
    volume = image.image if isinstance(image, Series) else image
    if isinstance(volume, Projections):
        raise InvalidValue("these are projections; write_nm_projections stores them")
    about = _completed(description or NmDescription(), image if isinstance(image, Series) else None)
    if volume.frame_axis == "time":
        raise InvalidValue("NM DICOM has no reconstruction with time frames; write a dynamic volume as NIfTI")
    gates = volume.n_frames if volume.frame_axis == "gate" else 0
    columns, rows, slices = volume.grid.shape
    if max(columns, rows, slices * max(gates, 1)) > 65535:
        raise InvalidValue(f"DICOM counts rows, columns and frames to 65535; the image has {volume.array.shape}")

    stored, slope, max_error = _stored(volume.array)
    ds = _identity(about, "RECON GATED TOMO" if gates else "RECON TOMO", volume.unit, gated=bool(gates))
    _add_detector_geometry(ds, volume.grid, about, short_axis_of)
    # Frames in file order: time slot, then slice; within a frame rows, then columns.
    frames = np.swapaxes(stored, -1, -3).reshape(-1, rows, columns)
    slice_vector = np.tile(np.arange(1, slices + 1), max(gates, 1))
    if gates:
        slots = np.repeat(np.arange(1, gates + 1), slices)
        _add_vectors(ds, ((_RR_INTERVAL, np.ones_like(slots)), (_TIME_SLOT, slots), (_SLICE, slice_vector)))
        ds.NumberOfRRIntervals, ds.NumberOfTimeSlots = 1, gates
        _add_gating(ds, volume.gating, gates)
    else:
        _add_vectors(ds, ((_SLICE, slice_vector),))
    ds.NumberOfSlices = slices
    ds.NumberOfRotations = 1
    ds.RotationInformationSequence = Items()
    _add_energy_windows(ds, about.energy_windows)
    _add_pixels(ds, frames, slope, volume.unit, max_error)
    return _write(ds, Path(path), transfer_syntax, slope, max_error)


def write_nm_projections(
    projections: Series | Projections,
    path: Path | str,
    *,
    description: NmDescription | None = None,
    transfer_syntax: TransferSyntax = "explicit",
) -> WrittenNm:
    """Store projections as an NM image: ``TOMO``, or ``GATED TOMO`` if they are gated.

    Views are kept in their order. Each run of views at one angular step and one duration becomes a rotation of
    one detector; a set of views at irregular angles becomes as many rotations as it takes. Detector columns are
    taken to run as seen from the detector, looking at the patient; rows run to the feet. Durations are kept to the
    millisecond; an unknown one is left out, although the standard asks for one.

    Raises
    ------
    InvalidValue
        Counts that are missing or infinite.
    OutputError
        The file cannot be written.
    """
    images = projections.image if isinstance(projections, Series) else projections
    if isinstance(images, Volume):
        raise InvalidValue("this is a reconstruction; write_nm stores it")
    about = _completed(description or NmDescription(), projections if isinstance(projections, Series) else None)
    position, gantry = _TERMS.get(images.patient_position or "", (None, None))
    about = replace(
        about,
        collimator=about.collimator or images.collimator,
        position=about.position or position,
        gantry=about.gantry or gantry,
    )
    windows, gates, _, rows, columns = images.counts.shape
    gated = images.gating is not None
    runs = _runs(images)

    stored, slope, max_error = _stored(images.counts)
    ds = _identity(about, "GATED TOMO" if gated else "TOMO", "counts", gated=gated)
    order: list[NDArray[Any]] = []  # one row per frame: window, rotation, gate, view in rotation (from 1), view
    for window in range(windows):
        for number, run in enumerate(runs, start=1):
            for gate in range(gates):
                within = np.arange(1, run.size + 1)
                head = np.broadcast_to((window + 1, number, gate + 1), (run.size, 3))
                order.append(np.column_stack([head, within, run]))
    index = np.concatenate(order)
    frames = stored[index[:, 0] - 1, index[:, 2] - 1, index[:, 4]]  # (frame, v, u)
    one = np.ones(len(index), int)
    vectors = [(_ENERGY, index[:, 0]), (_DETECTOR, one), (_ROTATION, index[:, 1])]
    if gated:
        vectors += [(_RR_INTERVAL, one), (_TIME_SLOT, index[:, 2])]
        ds.NumberOfRRIntervals, ds.NumberOfTimeSlots = 1, gates
        _add_gating(ds, images.gating, gates)
    _add_vectors(ds, [*vectors, (_ANGULAR_VIEW, index[:, 3])])
    ds.NumberOfRotations = len(runs)
    ds.RotationInformationSequence = Items(_rotation(images, run) for run in runs)
    ds.TypeOfDetectorMotion = "STEP AND SHOOT"
    ds.PixelSpacing = [_ds(images.pixel_mm[1]), _ds(images.pixel_mm[0])]
    ds.DetectorInformationSequence = Items([_projection_detector(images, about, rows, columns)])
    ds.NumberOfDetectors = 1
    _add_energy_windows(ds, images.windows)
    if about.geometry is not None:
        _add_private_views(ds, images, about.geometry)
    _add_pixels(ds, frames, slope, "counts", max_error)
    return _write(ds, Path(path), transfer_syntax, slope, max_error)


def _completed(about: NmDescription, series: Series | None) -> NmDescription:
    """The description with what the series knows put where nothing was said."""
    if series is None:
        return about

    def known(fact: Stated, allowed: Sequence[str] | None = None) -> str | None:
        return fact.value if allowed is None or fact.value in allowed else None

    corrected = known(series.corrected, ("yes", "no"))
    sex = known(series.sex, ("F", "M", "O")) or {"female": "F", "male": "M"}.get((series.sex.value or "").lower())
    return replace(
        about,
        state=about.state or known(series.state, tuple(_STATES)),
        corrected=about.corrected if about.corrected is not None or corrected is None else corrected == "yes",
        position=about.position or known(series.position, tuple(_POSITIONS)),
        tracer=about.tracer or known(series.tracer),
        camera=about.camera or known(series.camera),
        sex=about.sex or sex,
        age_y=about.age_y if about.age_y is not None else series.age_y,
        series_label=about.series_label or series.name,
    )


def _stored(array: NDArray[Any]) -> tuple[NDArray[Any], float, float]:
    """16-bit integers, the factor that makes values of them, and the largest error that this brings."""
    if array.dtype.kind == "c":
        raise InvalidValue("DICOM stores real numbers, not complex ones")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InvalidValue("DICOM NM stores integers; a voxel that is missing (NaN) or infinite has no place in it")
    low, high = float(array.min()), float(array.max())
    integers: type[np.int16] | type[np.uint16] = np.int16 if low < 0 else np.uint16
    limits = np.iinfo(integers)
    whole = array.dtype.kind in "biu" or bool((array == np.rint(array)).all())
    if whole and limits.min <= low and high <= limits.max:
        return array.astype(integers), 1.0, 0.0
    # The factor as the file will spell it, rounded up so that the largest value still fits.
    largest = max(high / limits.max, low / limits.min if low < 0 else 0.0)
    slope = float(format_number_as_ds(largest * (1 + 1e-9)))
    values = array.astype(np.float64)
    stored = np.rint(values / slope).astype(integers)
    return stored, slope, float(np.abs(stored * slope - values).max())


def _identity(about: NmDescription, kind: str, unit: str, *, gated: bool) -> Dataset:
    """Patient, study, series, equipment and image, without geometry and pixels."""
    label = about.series_label or about.series_description or f"series {about.series_number}"
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageType = ["DERIVED", "PRIMARY", kind, "TRANSMISSION" if unit == "1/cm" else "EMISSION"]
    ds.SOPClassUID = NuclearMedicineImageStorage
    ds.StudyInstanceUID = dicom_uid(about, "study")
    ds.SeriesInstanceUID = dicom_uid(about, "series", label)
    ds.SOPInstanceUID = dicom_uid(about, "image", label, kind)
    ds.FrameOfReferenceUID = dicom_uid(about, "place", about.place_label or label)
    ds.PositionReferenceIndicator = ""
    ds.StudyDate, ds.StudyTime = about.study_date, ""
    ds.ContentDate, ds.ContentTime = about.study_date, ""
    ds.AcquisitionDate, ds.AcquisitionTime = about.study_date, ""
    ds.AccessionNumber, ds.StudyID, ds.ReferringPhysicianName = "", "", ""
    ds.Modality = "NM"
    ds.Manufacturer = dicom_text(about.manufacturer)
    ds.ManufacturerModelName = dicom_text(about.camera or "")
    ds.SoftwareVersions = "Myoscope"
    ds.StudyDescription = dicom_text(about.study_description)
    ds.SeriesDescription = dicom_text(about.series_description or _series_description(about, gated=gated))
    ds.SeriesNumber, ds.InstanceNumber = about.series_number, 1
    ds.PatientName, ds.PatientID = dicom_text(about.patient_name), dicom_text(about.patient_id)
    ds.PatientBirthDate = ""
    ds.PatientSex = about.sex or ""
    if about.age_y is not None:
        ds.PatientAge = f"{about.age_y:03.0f}Y"
    add_comments(ds, about)
    if about.patient_name.rstrip("^") == about.patient_id == NEUTRAL_PATIENT:
        ds.PatientIdentityRemoved = "YES"
        ds.DeidentificationMethod = "Written by Myoscope without identifiers"
    ds.BodyPartExamined = "HEART"
    ds.CountsAccumulated = None
    if about.corrected:
        ds.CorrectedImage = ["ATTN"]
    add_state(ds, about)
    _add_position(ds, about)
    add_isotope(ds, about)
    return ds


def dicom_uid(about: NmDescription, *what: str) -> str:
    seed = about.uid_seed if about.uid_seed is not None else secrets.token_hex(16)
    return str(generate_uid(entropy_srcs=["Myoscope", seed, *what]))


def add_comments(ds: Dataset, about: NmDescription) -> None:
    """The description's comments where programs show them: with the patient, the study and the image."""
    if about.comments:
        ds.PatientComments = ds.ImageComments = about.comments
        ds.add_new(_STUDY_COMMENTS, "LT", about.comments)


def _series_description(about: NmDescription, *, gated: bool) -> str:
    correction = {True: "AC", False: "NAC", None: None}[about.corrected]
    words = (about.state, "gated" if gated else None, about.position, correction)
    return " ".join(word for word in words if word)


def dicom_text(text: str) -> str:
    if "\\" in text or any(ord(c) < 32 for c in text) or len(text) > 64:
        raise InvalidValue(f"DICOM text has up to 64 characters and no backslash or line break, got {text[:80]!r}")
    return text


def _code_item(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code
    return item


def add_state(ds: Dataset, about: NmDescription) -> None:
    """Stress or rest, coded."""
    context = Items()
    if about.state is not None:
        item = Dataset()
        item.ValueType = "CODE"
        item.ConceptNameCodeSequence = Items([_code_item(_PATIENT_STATE)])
        item.ConceptCodeSequence = Items([_code_item(_STATES[about.state])])
        context.append(item)
    ds.AcquisitionContextSequence = context


def _add_position(ds: Dataset, about: NmDescription) -> None:
    ds.PatientOrientationCodeSequence = Items()
    ds.PatientGantryRelationshipCodeSequence = Items()
    if about.position is not None:
        orientation, modifier = _POSITIONS[about.position]
        item = _code_item(orientation)
        item.PatientOrientationModifierCodeSequence = Items([_code_item(modifier)])
        ds.PatientOrientationCodeSequence.append(item)
    if about.gantry is not None:
        ds.PatientGantryRelationshipCodeSequence.append(_code_item(_GANTRY[about.gantry]))


def add_isotope(ds: Dataset, about: NmDescription) -> None:
    """Tracer and dose (MBq, as NM images have it)."""
    item = Dataset()
    item.RadionuclideCodeSequence = Items()
    if about.tracer is not None:
        item.Radiopharmaceutical = dicom_text(about.tracer)
        for words, nuclide, tracer in _TRACERS:
            if any(word in about.tracer.lower() for word in words):
                item.RadionuclideCodeSequence = Items([_code_item(nuclide)])
                item.RadiopharmaceuticalCodeSequence = Items([_code_item(tracer)])
                break
    if about.dose_MBq is not None:
        item.RadionuclideTotalDose = _ds(about.dose_MBq)
    ds.RadiopharmaceuticalInformationSequence = Items([item])


def _add_energy_windows(ds: Dataset, windows: Sequence[EnergyWindow]) -> None:
    items = []
    for window in windows:
        limits = Dataset()
        limits.EnergyWindowLowerLimit = _ds(window.lower_keV)
        limits.EnergyWindowUpperLimit = _ds(window.upper_keV)
        item = Dataset()
        item.EnergyWindowName = dicom_text(window.name)[:16]
        item.EnergyWindowRangeSequence = Items([limits])
        items.append(item)
    ds.EnergyWindowInformationSequence = Items(items)
    ds.NumberOfEnergyWindows = max(len(items), 1)


def _add_detector_geometry(ds: Dataset, grid: Grid, about: NmDescription, heart: CardiacFrame | None) -> None:
    direction, spacing = grid.direction, grid.spacing_mm
    if np.abs(direction.T @ direction - np.eye(3)).max() > 1e-4:
        raise InvalidValue("DICOM NM needs columns, rows and slices at right angles; this grid is sheared")
    row, column, along = direction.T  # unit vectors of increasing i, j, k
    normal = np.cross(row, column)
    detector = Dataset()
    detector.CollimatorGridName = dicom_text(about.collimator or "")[:16]
    detector.CollimatorType = ""
    detector.FocalDistance, detector.ZoomFactor = None, None
    detector.XFocusCenter, detector.YFocusCenter = None, None
    detector.ImagePositionPatient = [_ds(x) for x in grid.affine[:3, 3]]
    detector.ImageOrientationPatient = [_ds(x) for x in (*row, *column)]
    if heart is not None:
        towards_apex = float(along @ heart.long_axis)
        if abs(towards_apex) < np.cos(np.radians(2)):
            tilt = np.degrees(np.arccos(min(abs(towards_apex), 1)))
            raise InvalidValue(f"the slices are tilted {tilt:.0f} deg against the heart's long axis: not a short axis")
        view = _code_item(_SHORT_AXIS)
        view.ViewModifierCodeSequence = Items()
        detector.ViewCodeSequence = Items([view])
        ds.SliceProgressionDirection = "BASE_TO_APEX" if towards_apex > 0 else "APEX_TO_BASE"
    ds.DetectorInformationSequence = Items([detector])
    ds.NumberOfDetectors = 1
    ds.PixelSpacing = [_ds(spacing[1]), _ds(spacing[0])]
    ds.SliceThickness = _ds(spacing[2])
    ds.SpacingBetweenSlices = _ds(spacing[2] if along @ normal > 0 else -spacing[2])


def _add_vectors(ds: Dataset, vectors: Sequence[tuple[Any, NDArray[Any]]]) -> None:
    ds.FrameIncrementPointer = [tag for tag, _ in vectors]
    for tag, vector in vectors:
        ds.add_new(tag, "US", [int(n) for n in vector])


def _add_gating(ds: Dataset, gating: Gating | None, gates: int) -> None:
    """Gated information; without an R-R interval the data item, whose frame time is mandatory, stays away."""
    interval = Dataset()
    interval.DataInformationSequence = Items()
    if gating is not None and gating.rr_ms is not None:
        data = Dataset()
        data.FrameTime = _ds(gating.rr_ms / gates)
        data.NominalInterval = round(gating.rr_ms)
        for keyword, value in (
            ("LowRRValue", gating.rr_low_ms),
            ("HighRRValue", gating.rr_high_ms),
            ("IntervalsAcquired", gating.accepted_beats),
            ("IntervalsRejected", gating.rejected_beats),
        ):
            if value is not None:
                setattr(data, keyword, round(value))
        data.TimeSlotInformationSequence = Items()
        for _ in range(gates):
            slot = Dataset()
            if gating.accepted_beats is not None:
                slot.TimeSlotTime = _ds(gating.accepted_beats * gating.rr_ms / gates)
            data.TimeSlotInformationSequence.append(slot)
        interval.DataInformationSequence.append(data)
        ds.HeartRate = round(60_000 / gating.rr_ms)
    ds.GatedInformationSequence = Items([interval])


def _runs(projections: Projections) -> list[NDArray[np.intp]]:
    """Indices of the views, cut where the angular step or the duration of a view changes."""
    angle, duration = projections.angle_deg, projections.view_duration_s
    step = (np.diff(angle) + 180) % 360 - 180
    runs, start = [], 0
    for view in range(1, angle.size + 1):
        same = view < angle.size and (duration[view] == duration[start] or np.isnan(duration[[start, view]]).all())
        if same and view > start + 1:
            same = abs(step[view - 1] - step[start]) < 1e-4
        if not same:
            runs.append(np.arange(start, view))
            start = view
    return runs


def _rotation(projections: Projections, run: NDArray[np.intp]) -> Dataset:
    angle = projections.angle_deg[run]
    total = float(((np.diff(angle) + 180) % 360 - 180).sum())
    step = total / (run.size - 1) if run.size > 1 else 0.0
    item = Dataset()
    item.StartAngle = _ds(angle[0] % 360)
    item.AngularStep = _ds(abs(step))
    item.RotationDirection = "CC" if step > 0 else "CW"
    item.ScanArc = _ds(abs(step) * run.size)
    duration = float(projections.view_duration_s[run[0]])
    if np.isfinite(duration):
        item.ActualFrameDuration = round(duration * 1000)
    item.NumberOfFramesInRotation = int(run.size)
    radius = projections.radius_mm[run]
    if np.isfinite(radius).all():
        same = bool((radius == radius[0]).all())
        item.RadialPosition = _ds(radius[0]) if same else [_ds(r) for r in radius]
    item.TableHeight, item.TableTraverse = None, None
    return item


def _projection_detector(projections: Projections, about: NmDescription, rows: int, columns: int) -> Dataset:
    detector = Dataset()
    detector.CollimatorGridName = dicom_text(about.collimator or "")[:16]
    detector.CollimatorType = ""
    detector.FocalDistance, detector.ZoomFactor = None, None
    detector.XFocusCenter, detector.YFocusCenter = None, None
    angle = np.radians(projections.angle_deg[0])
    # 0 deg is the patient's back (+y), 90 deg the left (+x): PS3.3 C.8.4.12.
    outward = np.array([np.sin(angle), np.cos(angle), 0.0])
    row = np.array([-np.cos(angle), np.sin(angle), 0.0])
    column = np.array([0.0, 0.0, -1.0])
    detector.ImageOrientationPatient = [_ds(x) for x in (*row, *column)]
    detector.ImagePositionPatient = None
    radius = float(projections.radius_mm[0])
    if np.isfinite(radius):
        width, height = projections.pixel_mm
        corner: FloatArray = outward * radius - row * width * (columns - 1) / 2 - column * height * (rows - 1) / 2
        detector.ImagePositionPatient = [_ds(x) for x in corner]
    return detector


def _add_private_views(ds: Dataset, projections: Projections, geometry: str) -> None:
    """The camera and the angle of each view in their own order, which a list by rising angle would lose."""
    views = {"geometry": geometry, "angle_deg": projections.angle_deg.tolist()}
    block = ds.private_block(PRIVATE_GROUP, PRIVATE_CREATOR, create=True)
    block.add_new(PRIVATE_VIEWS, "UT", json.dumps(views, separators=(",", ":")))


def _add_pixels(ds: Dataset, frames: NDArray[Any], slope: float, unit: str, max_error: float) -> None:
    ds.NumberOfFrames, ds.Rows, ds.Columns = (int(n) for n in frames.shape)
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 16, 15
    ds.PixelRepresentation = int(frames.dtype.kind == "i")
    ds.add_new(Tag(0x0028, 0x0106), "SS" if ds.PixelRepresentation else "US", int(frames.min()))
    ds.add_new(Tag(0x0028, 0x0107), "SS" if ds.PixelRepresentation else "US", int(frames.max()))
    span = float(frames.max()) - float(frames.min())
    ds.WindowCenter, ds.WindowWidth = _ds(frames.min() + span / 2), _ds(max(span, 1))
    if slope != 1.0:
        ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = 0, _ds(slope), "US"
        told = f"Stored value x {slope:.9g} = value in {unit}, to within {max_error:.3g} {unit}"
        ds.ImageComments = f"{ds.ImageComments}; {told}" if "ImageComments" in ds else told
    if slope != 1.0 or unit != "counts":
        item = Dataset()
        item.RealWorldValueFirstValueMapped = ds.SmallestImagePixelValue
        item.RealWorldValueLastValueMapped = ds.LargestImagePixelValue
        for keyword in ("RealWorldValueFirstValueMapped", "RealWorldValueLastValueMapped"):
            item[keyword].VR = "SS" if ds.PixelRepresentation else "US"
        item.RealWorldValueSlope, item.RealWorldValueIntercept = float(slope), 0.0
        item.LUTExplanation, item.LUTLabel = dicom_text(unit), "VALUE"
        item.MeasurementUnitsCodeSequence = Items([_code_item(_UNITS.get(unit, ("1", "UCUM", "no units")))])
        ds.RealWorldValueMappingSequence = Items([item])
    ds.PixelData = np.ascontiguousarray(frames).astype(frames.dtype.newbyteorder("<")).tobytes()
    if len(ds.PixelData) % 2:
        raise AssertionError("16-bit pixels fill an even number of bytes")
    ds["PixelData"].VR = "OW"


def _write(ds: Dataset, path: Path, transfer_syntax: TransferSyntax, slope: float, max_error: float) -> WrittenNm:
    if transfer_syntax not in _TRANSFER_SYNTAXES:
        raise InvalidValue(f"a transfer syntax is {', '.join(_TRANSFER_SYNTAXES)}, not {transfer_syntax!r}")
    syntax = _TRANSFER_SYNTAXES[transfer_syntax]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.ImplementationClassUID = IMPLEMENTATION_UID
    meta.ImplementationVersionName = "MYOSCOPE"
    meta.TransferSyntaxUID = syntax if not syntax.is_encapsulated else ExplicitVRLittleEndian
    ds.file_meta = meta
    if syntax.is_encapsulated:
        try:
            ds.compress(syntax, generate_instance_uid=False)
        except (RuntimeError, ValueError, NotImplementedError) as error:
            # JPEG encoders give up on images of a few pixels and where they are not installed.
            raise OutputError(f"{path.name} could not be compressed as {transfer_syntax}; store it as rle") from error
    with atomic_write(path) as file:
        dcmwrite(file, ds, enforce_file_format=True)
    return WrittenNm(str(ds.SOPInstanceUID), str(ds.SeriesInstanceUID), str(ds.StudyInstanceUID), slope, max_error)


def _ds(value: float) -> str:
    """A decimal string of at most 16 characters, as close as they allow."""
    return format_number_as_ds(float(value))
