"""A PET image as DICOM: classic PET Image Storage, one file per slice and frame.

Static, gated or dynamic. Each slice has its own rescale slope, so that dim frames keep as many digits as bright ones.
Dynamic images are written as corrected for decay to the start of the series (``START``), with acquisition time, frame
reference time and duration of every frame. No voxel is moved. PS3.3 A.21 and C.8.9.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian, PositronEmissionTomographyImageStorage
from pydicom.valuerep import format_number_as_ds

from myoscope.core import InvalidValue, UnitMismatch, Volume
from myoscope.io.atomic import atomic_folder
from myoscope.io.ct_write import PATIENT_TERMS
from myoscope.io.dicom_write import (
    IMPLEMENTATION_UID,
    NmDescription,
    add_comments,
    add_isotope,
    add_state,
    dicom_text,
    dicom_uid,
)

_UNITS = {"Bq/mL": ("BQML", 1.0), "kBq/mL": ("BQML", 1000.0), "counts": ("CNTS", 1.0)}
_FIRST_CLOCK_S = 9 * 3600.0  # a study of no real day begins at nine o'clock


@dataclass(frozen=True, slots=True)
class WrittenPt:
    """What became of a PET image: how many files, the identifier of their series, and the largest rounding error (unit
    of the image)."""

    n_files: int
    series_instance_uid: str
    max_error: float


def write_pt(
    volume: Volume,
    folder: Path | str,
    description: NmDescription | None = None,
    *,
    half_life_s: float | None = None,
    injected_before_start_s: float = 0.0,
    clock_s: float = _FIRST_CLOCK_S,
) -> WrittenPt:
    """Store a PET image (Bq/mL, kBq/mL or counts) as one file per slice and frame in a new folder.

    ``description`` says whose it is and what else is known, as for NM images. Time frames need their starts and
    durations; ``half_life_s`` is that of the nuclide, to which the image is taken to be corrected already.
    ``injected_before_start_s`` is when the tracer was given, ``clock_s`` the time of day of the first frame.

    Raises
    ------
    UnitMismatch
        A volume in another unit.
    InvalidValue
        Missing voxels, sheared axes, time frames without times.
    OutputError
        The folder exists or cannot be written.
    """
    about = description or NmDescription()
    if volume.unit not in _UNITS:
        raise UnitMismatch(f"a PET image is in {', '.join(_UNITS)}, this volume is in {volume.unit}")
    direction = volume.grid.direction
    if np.abs(direction.T @ direction - np.eye(3)).max() > 1e-4:
        raise InvalidValue("DICOM PET needs columns, rows and slices at right angles; this grid is sheared")
    if volume.frame_axis == "time" and (volume.frame_start_s is None or volume.frame_duration_s is None):
        raise InvalidValue("time frames are written with their starts and durations; this volume has none")
    word, factor = _UNITS[volume.unit]
    array = np.asarray(volume.array, np.float64) * factor
    if not np.isfinite(array).all():
        raise InvalidValue("a PET image with missing or infinite voxels cannot be stored as whole numbers")
    frames = array if volume.frame_axis else array[None]
    largest = 0.0
    with atomic_folder(folder, replace=False) as part:
        for f in range(len(frames)):
            for k in range(volume.grid.shape[2]):
                stored, slope = _stored(frames[f, :, :, k])
                largest = max(largest, float(np.abs(stored * slope - frames[f, :, :, k]).max()))
                ds = _slice(volume, stored, slope, f, k, about, word, half_life_s, injected_before_start_s, clock_s)
                number = f * volume.grid.shape[2] + k + 1
                with (part / f"pt-{number:05d}.dcm").open("wb") as file:
                    dcmwrite(file, ds, enforce_file_format=True)
    return WrittenPt(len(frames) * volume.grid.shape[2], str(ds.SeriesInstanceUID), largest / factor)


def _stored(values: NDArray[np.float64]) -> tuple[NDArray[np.int16], float]:
    """Whole numbers of 16 bits, and what one of them is worth."""
    top = float(np.abs(values).max())
    # The slope is what a reader finds: a decimal string of 16 characters.
    slope = float(format_number_as_ds(max(top, 1e-12) / 32767 * (1 + 1e-9)))
    return np.rint(values / slope).astype("<i2"), slope


def _slice(
    volume: Volume,
    stored: NDArray[np.int16],
    slope: float,
    f: int,
    k: int,
    about: NmDescription,
    word: str,
    half_life_s: float | None,
    injected_before_start_s: float,
    clock_s: float,
) -> Dataset:
    label = about.series_label or "pet"
    grid, n_slices = volume.grid, volume.grid.shape[2]
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.SOPClassUID = PositronEmissionTomographyImageStorage
    ds.StudyInstanceUID = dicom_uid(about, "study")
    ds.SeriesInstanceUID = dicom_uid(about, "series", label)
    ds.SOPInstanceUID = dicom_uid(about, "image", label, f"frame {f} slice {k}")
    ds.FrameOfReferenceUID = dicom_uid(about, "place", about.place_label or label)
    ds.PositionReferenceIndicator = ""
    day = about.study_date or "19000101"
    start_s, duration_s = _times(volume, f)
    ds.StudyDate, ds.StudyTime = about.study_date, ""
    ds.SeriesDate, ds.SeriesTime = day, _clock(clock_s)
    ds.ContentDate, ds.ContentTime = day, _clock(clock_s)
    ds.AcquisitionDate, ds.AcquisitionTime = day, _clock(clock_s + start_s)
    ds.AccessionNumber, ds.StudyID, ds.ReferringPhysicianName = "", "", ""
    ds.Modality = "PT"
    ds.Manufacturer = dicom_text(about.manufacturer)
    ds.ManufacturerModelName = dicom_text(about.camera or "")
    ds.SoftwareVersions = "Myoscope"
    ds.StudyDescription = dicom_text(about.study_description)
    ds.SeriesDescription = dicom_text(about.series_description or f"{about.state or ''} PET".strip())
    ds.SeriesNumber, ds.InstanceNumber = about.series_number, f * n_slices + k + 1
    ds.PatientName, ds.PatientID = dicom_text(about.patient_name), dicom_text(about.patient_id)
    ds.PatientBirthDate, ds.PatientSex = "", about.sex or ""
    if about.age_y is not None:
        ds.PatientAge = f"{about.age_y:03.0f}Y"
    add_comments(ds, about)
    ds.BodyPartExamined = "HEART"
    ds.PatientPosition = PATIENT_TERMS.get((about.position or "supine", about.gantry), "HFS")
    add_state(ds, about)
    add_isotope(ds, about)
    ds.CorrectedImage = ["DECY", *(["ATTN"] if about.corrected in (None, True) else []), "SCAT", "RAN", "NORM"]
    ds.Units, ds.CountsSource = word, "EMISSION"
    ds.SeriesType = [{"time": "DYNAMIC", "gate": "GATED", None: "STATIC"}[volume.frame_axis], "IMAGE"]
    ds.RandomsCorrectionMethod, ds.DecayCorrection = "DLYD", "START"
    ds.NumberOfSlices = n_slices
    ds.ImageIndex = f * n_slices + k + 1
    if volume.frame_axis == "time":
        ds.NumberOfTimeSlices = volume.n_frames
        ds.ActualFrameDuration = round(duration_s * 1000)
        ds.FrameReferenceTime = _ds(1000 * (start_s + _mean_activity_s(duration_s, half_life_s)))
    if volume.frame_axis == "gate":
        ds.NumberOfTimeSlots = volume.n_frames
        rr_ms = volume.gating.rr_ms if volume.gating is not None and volume.gating.rr_ms is not None else None
        ds.TriggerTime = _ds((rr_ms or 1000.0) * f / volume.n_frames)
        if rr_ms is not None:
            ds.NominalInterval = round(rr_ms)
    if half_life_s is not None:
        item = ds.RadiopharmaceuticalInformationSequence[0]
        item.RadionuclideHalfLife = _ds(half_life_s)
        item.RadiopharmaceuticalStartTime = _clock(clock_s - injected_before_start_s)
        if about.dose_MBq is not None:
            item.RadionuclideTotalDose = _ds(about.dose_MBq * 1e6)  # PET counts in Bq where NM counts in MBq
        ds.DecayFactor = _ds(_decay_factor(start_s, duration_s, half_life_s))
    row, column, _ = grid.direction.T
    ds.ImageOrientationPatient = [_ds(x) for x in (*row, *column)]
    ds.ImagePositionPatient = [_ds(x) for x in grid.to_mm((0, 0, k))]
    ds.PixelSpacing = [_ds(mm) for mm in grid.spacing_mm[[1, 0]]]
    ds.SliceThickness = _ds(grid.spacing_mm[2])
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = stored.shape[1], stored.shape[0]
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 1
    ds.RescaleIntercept, ds.RescaleSlope = 0, _ds(slope)
    ds.PixelData = np.ascontiguousarray(stored.T).tobytes()
    ds["PixelData"].VR = "OW"
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.ImplementationClassUID = IMPLEMENTATION_UID
    meta.ImplementationVersionName = "MYOSCOPE"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta = meta
    return ds


def _times(volume: Volume, f: int) -> tuple[float, float]:
    if volume.frame_axis != "time" or volume.frame_start_s is None or volume.frame_duration_s is None:
        return 0.0, 0.0
    return float(volume.frame_start_s[f]), float(volume.frame_duration_s[f])


def _mean_activity_s(duration_s: float, half_life_s: float | None) -> float:
    """When within a frame the activity equals its mean."""
    if half_life_s is None or duration_s < 1e-6 * half_life_s:
        return 0.5 * duration_s
    x = math.log(2) * duration_s / half_life_s
    return -math.log(-math.expm1(-x) / x) * half_life_s / math.log(2)


def _decay_factor(start_s: float, duration_s: float, half_life_s: float) -> float:
    rate = math.log(2) / half_life_s
    x = rate * duration_s
    within = 1.0 if x < 1e-9 else x / -math.expm1(-x)
    return within * math.exp(rate * start_s)


def _clock(seconds: float) -> str:
    """A time of day as DICOM writes it, to the millisecond."""
    whole = round(seconds * 1000) % 86_400_000
    hours, rest = divmod(whole, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{hours:02d}{minutes:02d}{rest // 1000:02d}.{rest % 1000:03d}"


def _ds(value: float) -> str:
    return str(format_number_as_ds(float(value)))
