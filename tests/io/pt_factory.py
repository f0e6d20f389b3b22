"""Small dynamic PET series for the reader's tests, built with pydicom and independent of the project's own writer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

PT_CLASS = UID("1.2.840.10008.5.1.4.1.1.128")
RB82_S = 76.4
DURATION_S = (10.0, 10.0, 20.0, 60.0)
SHAPE = (5, 4, 3)


def activity(seed: int = 0) -> NDArray[np.float64]:
    """Bq/mL by frame, column, row, slice: no two alike, each frame on a scale of its own."""
    rng = np.random.default_rng(seed)
    return rng.uniform(1, 9, (len(DURATION_S), *SHAPE)) * 10.0 ** np.arange(2, 6)[:, None, None, None]


def starts() -> NDArray[np.float64]:
    return np.concatenate([[0.0], np.cumsum(DURATION_S[:-1])])


def decay_factor(start_s: float, duration_s: float) -> float:
    rate = math.log(2) / RB82_S
    x = rate * duration_s
    return x / (1 - math.exp(-x)) * math.exp(rate * start_s)


def reference_ms(start_s: float, duration_s: float) -> float:
    rate = math.log(2) / RB82_S
    x = rate * duration_s
    return 1000 * (start_s + math.log(x / (1 - math.exp(-x))) / rate)


def clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"10{int(minutes):02d}{rest:06.3f}".replace(" ", "0")


def write_series(
    folder: Path,
    *,
    values: NDArray[np.float64] | None = None,
    change: Callable[[Dataset, int, int], None] | None = None,
    order: Sequence[int] | None = None,
    skip: Sequence[tuple[int, int]] = (),
) -> NDArray[np.float64]:
    """One file per slice and frame, as a Siemens or GE camera writes them; returns the activity.

    ``change`` may alter each data set (given with frame and slice) before it is written; ``order`` shuffles the names;
    ``skip`` leaves (frame, slice) out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    values = activity() if values is None else values
    keys = [(f, k) for f in range(len(values)) for k in range(values.shape[3]) if (f, k) not in skip]
    numbers = np.arange(len(keys)) if order is None else np.asarray(order)
    for name, (f, k) in zip(numbers, keys, strict=True):
        ds = one_slice(values[f, :, :, k], f, k, len(values), values.shape[3])
        if change is not None:
            change(ds, f, k)
        ds.save_as(folder / f"{name:04d}.dcm", enforce_file_format=True)
    return values


def one_slice(values: NDArray[np.float64], f: int, k: int, n_frames: int, n_slices: int) -> Dataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = PT_CLASS, ExplicitVRLittleEndian
    ds = Dataset()
    ds.file_meta = meta
    ds.SOPClassUID = PT_CLASS
    ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["pt", str(f), str(k)])
    ds.StudyInstanceUID = generate_uid(entropy_srcs=["pt study"])
    ds.SeriesInstanceUID = generate_uid(entropy_srcs=["pt series"])
    ds.FrameOfReferenceUID = generate_uid(entropy_srcs=["pt frame"])
    ds.Modality, ds.ImageType = "PT", ["ORIGINAL", "PRIMARY"]
    ds.PatientID, ds.PatientName, ds.PatientSex, ds.PatientPosition = "P1", "Doe^Jo", "F", "HFS"
    ds.Manufacturer, ds.SeriesDescription = "SIEMENS", "Rest Rb dynamic"
    ds.SeriesDate = ds.AcquisitionDate = "20200102"
    ds.SeriesTime = clock(0)
    start, duration = float(starts()[f]), DURATION_S[f]
    ds.AcquisitionTime = clock(start)
    ds.FrameReferenceTime = f"{reference_ms(start, duration):.3f}"
    ds.ActualFrameDuration = round(1000 * duration)
    ds.SeriesType, ds.Units, ds.CountsSource = ["DYNAMIC", "IMAGE"], "BQML", "EMISSION"
    ds.DecayCorrection, ds.DecayFactor = "START", f"{decay_factor(start, duration):.8g}"
    ds.NumberOfSlices, ds.NumberOfTimeSlices = n_slices, n_frames
    ds.ImageIndex = f * n_slices + k + 1
    tracer, nuclide = Dataset(), Dataset()
    nuclide.CodeValue, nuclide.CodingSchemeDesignator, nuclide.CodeMeaning = "C-159A2", "SRT", "^82^Rubidium"
    tracer.RadionuclideCodeSequence = [nuclide]
    tracer.RadionuclideHalfLife, tracer.RadionuclideTotalDose = str(RB82_S), "1.11e9"
    tracer.RadiopharmaceuticalStartTime = clock(0)
    ds.RadiopharmaceuticalInformationSequence = [tracer]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.ImagePositionPatient = [-10.0, -20.0, 30.0 + 3.0 * k]
    ds.PixelSpacing, ds.SliceThickness = [4.0, 5.0], 3.0
    slope = float(values.max()) / 30_000
    stored = np.rint(values / slope).astype("<i2")
    ds.RescaleSlope, ds.RescaleIntercept = f"{slope:.10g}", "0"
    ds.Rows, ds.Columns = stored.shape[1], stored.shape[0]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 1
    ds.PixelData = np.ascontiguousarray(stored.T).tobytes()
    ds["PixelData"].VR = "OW"
    return ds
