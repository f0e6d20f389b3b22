"""A CT as DICOM: classic CT Image Storage, one file per slice.

Values are stored as whole Hounsfield units with the customary intercept of -1024. No voxel is moved: columns, rows and
slices are the array's i, j, k; each slice carries its own place. PS3.3 A.3 and C.8.2.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pydicom.valuerep import format_number_as_ds

from myoscope.core import InvalidValue, UnitMismatch, Volume
from myoscope.io.atomic import atomic_folder
from myoscope.io.dicom_write import IMPLEMENTATION_UID, NmDescription, add_comments, dicom_text, dicom_uid

_INTERCEPT_HU = -1024
PATIENT_TERMS = {
    ("supine", "feet-first"): "FFS",
    ("supine", None): "HFS",
    ("supine", "head-first"): "HFS",
    ("prone", "feet-first"): "FFP",
    ("prone", None): "HFP",
    ("prone", "head-first"): "HFP",
}


@dataclass(frozen=True, slots=True)
class WrittenCt:
    """What became of a CT: how many files, the identifier of their series, and the largest rounding (HU)."""

    n_files: int
    series_instance_uid: str
    max_error_HU: float  # noqa: N815


def write_ct(
    volume: Volume, folder: Path | str, description: NmDescription | None = None, *, kvp: float | None = None
) -> WrittenCt:
    """Store a CT volume (HU) as one file per slice in a new folder, ``ct-0001.dcm`` and on.

    ``description`` says whose it is and what else is known, as for NM images; ``kvp`` is the tube voltage.

    Raises
    ------
    UnitMismatch
        A volume in other units than HU.
    InvalidValue
        Frames, axes that are not at right angles, values outside what 16 bits hold, a voltage that no tube has.
    OutputError
        The folder exists or cannot be written.
    """
    about = description or NmDescription()
    if volume.unit != "HU":
        raise UnitMismatch(f"a CT is in HU, this volume is in {volume.unit}")
    if volume.frame_axis is not None:
        raise InvalidValue("a CT has no gates or time frames here")
    if kvp is not None and not 40 <= kvp <= 150:
        raise InvalidValue(f"a tube voltage of {kvp:g} kV is none that CT uses (40 to 150)")
    direction = volume.grid.direction
    if np.abs(direction.T @ direction - np.eye(3)).max() > 1e-4:
        raise InvalidValue("DICOM CT needs columns, rows and slices at right angles; this grid is sheared")
    values = np.asarray(volume.array, np.float64)
    if not np.isfinite(values).all() or values.min() < _INTERCEPT_HU or values.max() > 65535 + _INTERCEPT_HU:
        raise InvalidValue(
            f"CT values from {values.min():g} to {values.max():g} HU do not fit {_INTERCEPT_HU} to "
            f"{65535 + _INTERCEPT_HU}"
        )
    rounded = np.rint(values)
    stored = (rounded - _INTERCEPT_HU).astype("<u2")
    with atomic_folder(folder, replace=False) as part:
        for number in range(stored.shape[2]):
            ds = _slice(volume, stored[:, :, number], number, about, kvp)
            with (part / f"ct-{number + 1:04d}.dcm").open("wb") as file:
                dcmwrite(file, ds, enforce_file_format=True)
    return WrittenCt(stored.shape[2], str(ds.SeriesInstanceUID), float(np.abs(rounded - values).max()))


def _slice(volume: Volume, stored: NDArray[np.uint16], number: int, about: NmDescription, kvp: float | None) -> Dataset:
    label = about.series_label or "ct"
    grid = volume.grid
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageType = ["DERIVED", "PRIMARY", "AXIAL"]
    ds.SOPClassUID = CTImageStorage
    ds.StudyInstanceUID = dicom_uid(about, "study")
    ds.SeriesInstanceUID = dicom_uid(about, "series", label)
    ds.SOPInstanceUID = dicom_uid(about, "image", label, f"slice {number}")
    ds.FrameOfReferenceUID = dicom_uid(about, "place", about.place_label or label)
    ds.PositionReferenceIndicator = ""
    ds.StudyDate, ds.StudyTime = about.study_date, ""
    ds.ContentDate, ds.ContentTime = about.study_date, ""
    ds.AcquisitionDate, ds.AcquisitionTime = about.study_date, ""
    ds.AccessionNumber, ds.StudyID, ds.ReferringPhysicianName = "", "", ""
    ds.Modality = "CT"
    ds.Manufacturer = dicom_text(about.manufacturer)
    ds.ManufacturerModelName = dicom_text(about.camera or "")
    ds.SoftwareVersions = "Myoscope"
    ds.StudyDescription = dicom_text(about.study_description)
    ds.SeriesDescription = dicom_text(about.series_description or "CT for attenuation correction")
    ds.SeriesNumber, ds.AcquisitionNumber, ds.InstanceNumber = about.series_number, 1, number + 1
    ds.PatientName, ds.PatientID = dicom_text(about.patient_name), dicom_text(about.patient_id)
    ds.PatientBirthDate, ds.PatientSex = "", about.sex or ""
    if about.age_y is not None:
        ds.PatientAge = f"{about.age_y:03.0f}Y"
    add_comments(ds, about)
    ds.BodyPartExamined = "CHEST"
    ds.PatientPosition = PATIENT_TERMS.get((about.position or "supine", about.gantry), "HFS")
    ds.KVP = None if kvp is None else format_number_as_ds(float(kvp))
    row, column, _ = grid.direction.T
    ds.ImageOrientationPatient = [format_number_as_ds(float(x)) for x in (*row, *column)]
    ds.ImagePositionPatient = [format_number_as_ds(float(x)) for x in grid.to_mm((0, 0, number))]
    ds.PixelSpacing = [format_number_as_ds(float(mm)) for mm in grid.spacing_mm[[1, 0]]]
    ds.SliceThickness = format_number_as_ds(float(grid.spacing_mm[2]))
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = stored.shape[1], stored.shape[0]
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 0
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = _INTERCEPT_HU, 1, "HU"
    ds.WindowCenter, ds.WindowWidth = 40, 400
    ds.PixelData = np.ascontiguousarray(stored.T).tobytes()
    ds["PixelData"].VR = "OW"
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.ImplementationClassUID = IMPLEMENTATION_UID
    meta.ImplementationVersionName = "MYOSCOPE"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta = meta
    return ds
