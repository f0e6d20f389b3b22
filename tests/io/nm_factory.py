"""Small NM DICOM files for the reader's tests, built with pydicom and independent of the project's own writer."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

NM_CLASS = UID("1.2.840.10008.5.1.4.1.1.20")
WINDOW, DETECTOR, ROTATION, RR, GATE, SLICE, VIEW = (
    0x00540010,
    0x00540020,
    0x00540050,
    0x00540060,
    0x00540070,
    0x00540080,
    0x00540090,
)
VECTOR_NAME = {
    WINDOW: "EnergyWindowVector",
    DETECTOR: "DetectorVector",
    ROTATION: "RotationVector",
    RR: "RRIntervalVector",
    GATE: "TimeSlotVector",
    SLICE: "SliceVector",
    VIEW: "AngularViewVector",
}
NUMBER_NAME = {
    WINDOW: "NumberOfEnergyWindows",
    DETECTOR: "NumberOfDetectors",
    ROTATION: "NumberOfRotations",
    RR: "NumberOfRRIntervals",
    GATE: "NumberOfTimeSlots",
    SLICE: "NumberOfSlices",
}


def code(value: str, scheme: str, meaning: str = "") -> Dataset:
    """One item of a code sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def item(**attributes: Any) -> Dataset:
    """A sequence item with the given attributes."""
    made = Dataset()
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def nm(
    pixels: NDArray[Any],
    axes: Sequence[int],
    *,
    image_type: Sequence[str] = ("ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"),
    shuffle: int | None = None,
    seed_uid: str = "one",
    **attributes: Any,
) -> Dataset:
    """An NM data set whose pixels have one axis per index (``axes``, as tags) in front of (row, column).

    ``shuffle`` stores the frames in a random order (the seed); the vectors say which is which.
    """
    shape = pixels.shape[: len(axes)]
    keys = np.array(list(itertools.product(*(range(1, n + 1) for n in shape)))).reshape(-1, len(axes))
    frames = pixels.reshape(len(keys), *pixels.shape[len(axes) :])
    if shuffle is not None:
        order = np.random.default_rng(shuffle).permutation(len(keys))
        keys, frames = keys[order], frames[order]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = NM_CLASS
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = Dataset()
    ds.file_meta = meta
    ds.SOPClassUID = NM_CLASS
    ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["instance", seed_uid])
    ds.StudyInstanceUID = generate_uid(entropy_srcs=["study"])
    ds.SeriesInstanceUID = generate_uid(entropy_srcs=["series", seed_uid])
    ds.FrameOfReferenceUID = generate_uid(entropy_srcs=["frame"])
    ds.Modality = "NM"
    ds.ImageType = list(image_type)
    ds.PatientID, ds.PatientName, ds.PatientBirthDate, ds.PatientSex = "P1", "Doe^Jo", "19500101", "F"
    ds.Manufacturer, ds.ManufacturerModelName = "SIEMENS NM", "Symbia"
    ds.PatientPosition = "HFS"
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.NumberOfFrames = len(frames)
    ds.FrameIncrementPointer = list(axes)
    ds.Rows, ds.Columns = (int(n) for n in frames.shape[1:])
    ds.PixelSpacing = [6.0, 5.0]  # rows 6 mm apart, columns 5 mm
    bits = frames.dtype.itemsize * 8
    ds.BitsAllocated = ds.BitsStored = bits
    ds.HighBit = bits - 1
    ds.PixelRepresentation = int(frames.dtype.kind == "i")
    for axis, column, size in zip(axes, keys.T, shape, strict=True):
        setattr(ds, VECTOR_NAME[axis], [int(v) for v in column])
        if axis in NUMBER_NAME:
            setattr(ds, NUMBER_NAME[axis], int(size))
    detector = item(CollimatorType="PARA", CollimatorGridName="LEHR")
    if SLICE in axes:
        detector.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        detector.ImagePositionPatient = [-20.0, -30.0, 100.0]
        ds.SpacingBetweenSlices, ds.SliceThickness = 4.0, 4.0
    ds.DetectorInformationSequence = [detector]
    limits = item(EnergyWindowLowerLimit=126.0, EnergyWindowUpperLimit=154.0)
    ds.EnergyWindowInformationSequence = [item(EnergyWindowRangeSequence=[limits])]
    ds.PixelData = np.ascontiguousarray(frames.astype(frames.dtype.newbyteorder("<"))).tobytes()
    ds["PixelData"].VR = "OW" if bits > 8 else "OB"
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


def counts(*shape: int, seed: int = 0, dtype: str = "u2") -> NDArray[Any]:
    """Random counts, no two frames alike."""
    return np.random.default_rng(seed).poisson(40, shape).astype(dtype)


def recon(**attributes: Any) -> Dataset:
    """An ungated reconstruction: 5 slices of 8 x 7 (rows x columns)."""
    return nm(counts(5, 8, 7), (SLICE,), **{"ImageID": "StressRecon", **attributes})


def gated_recon(n_gates: int = 8, **attributes: Any) -> Dataset:
    """A gated reconstruction with its R-R interval: 8 gates of 5 slices of 8 x 7."""
    beats = item(NominalInterval=800, LowRRValue=700, HighRRValue=900, IntervalsAcquired=410, IntervalsRejected=12)
    gated = item(DataInformationSequence=[beats])
    settings: dict[str, Any] = {
        "image_type": ("ORIGINAL", "PRIMARY", "RECON GATED TOMO", "EMISSION"),
        "GatedInformationSequence": [gated],
        **attributes,
    }
    return nm(counts(1, n_gates, 5, 8, 7, seed=1), (RR, GATE, SLICE), **settings)


def rotation(**attributes: Any) -> Dataset:
    """One rotation: from the right anterior side over the front to the left back."""
    settings = {
        "StartAngle": 225.0,
        "AngularStep": 45.0,
        "ScanArc": 180.0,
        "RotationDirection": "CW",
        "RadialPosition": 200.0,
        "ActualFrameDuration": 20000,
        "NumberOfFramesInRotation": 4,
    }
    return item(**{**settings, **attributes})


def tomo(n_windows: int = 1, n_detectors: int = 1, n_views: int = 4, **attributes: Any) -> Dataset:
    """Projections of 8 x 7 (rows x columns), with detectors 90 degrees apart."""
    detectors = []
    for d in range(n_detectors):
        a = np.radians(225.0 + 90.0 * d)
        orientation = [round(float(v), 6) for v in (-np.cos(a), np.sin(a), 0, 0, 0, -1)]
        detectors.append(item(CollimatorType="PARA", CollimatorGridName="LEHR", ImageOrientationPatient=orientation))
    windows = [
        item(
            EnergyWindowName=f"W{n}",
            EnergyWindowRangeSequence=[
                item(EnergyWindowLowerLimit=126.0 - 20 * n, EnergyWindowUpperLimit=154 - 30 * n)
            ],
        )
        for n in range(n_windows)
    ]
    settings: dict[str, Any] = {
        "image_type": ("ORIGINAL", "PRIMARY", "TOMO", "EMISSION"),
        "DetectorInformationSequence": detectors,
        "EnergyWindowInformationSequence": windows,
        "RotationInformationSequence": [rotation(NumberOfFramesInRotation=n_views)],
        **attributes,
    }
    pixels = counts(n_windows, n_detectors, 1, n_views, 8, 7, seed=2)
    return nm(pixels, (WINDOW, DETECTOR, ROTATION, VIEW), **settings)


def gated_tomo(n_gates: int = 8, n_views: int = 4, **attributes: Any) -> Dataset:
    """Gated projections of 8 x 7 from one detector."""
    a = np.radians(225.0)
    orientation = [round(float(v), 6) for v in (-np.cos(a), np.sin(a), 0, 0, 0, -1)]
    settings: dict[str, Any] = {
        "image_type": ("ORIGINAL", "PRIMARY", "GATED TOMO", "EMISSION"),
        "DetectorInformationSequence": [item(CollimatorType="PARA", ImageOrientationPatient=orientation)],
        "RotationInformationSequence": [rotation(NumberOfFramesInRotation=n_views)],
        "GatedInformationSequence": [item(DataInformationSequence=[item(FrameTime=100)])],
        **attributes,
    }
    pixels = counts(1, 1, 1, 1, n_gates, n_views, 8, 7, seed=3)
    return nm(pixels, (WINDOW, DETECTOR, ROTATION, RR, GATE, VIEW), **settings)


def jpeg_lossless(frame: NDArray[Any], predictor: int = 1) -> bytes:
    """A frame of unsigned 16-bit numbers as JPEG Lossless (ITU-T T.81, annex H), slowly and plainly."""
    rows, columns = frame.shape
    x = frame.astype(int).tolist()
    bits = []
    for r in range(rows):
        for c in range(columns):
            if r == 0:
                guess = 1 << 15 if c == 0 else x[0][c - 1]
            elif c == 0:
                guess = x[r - 1][0]
            else:
                left, above, corner = x[r][c - 1], x[r - 1][c], x[r - 1][c - 1]
                guess = {
                    1: left,
                    2: above,
                    3: corner,
                    4: left + above - corner,
                    5: left + ((above - corner) >> 1),
                    6: above + ((left - corner) >> 1),
                    7: (left + above) >> 1,
                }[predictor]
            difference = (x[r][c] - guess + 0x7FFF) % 0x10000 - 0x7FFF  # -32767 to 32768
            size = abs(difference).bit_length()
            value = difference if difference >= 0 else difference + (1 << size) - 1
            # 17 sizes, each with a code of five bits: its own number. Size 16 has no further bits.
            bits.append(f"{size:05b}" + (f"{value:0{size}b}" if 0 < size < 16 else ""))
    stream = "".join(bits)
    stream += "1" * (-len(stream) % 8)
    scan = int(stream, 2).to_bytes(len(stream) // 8, "big").replace(b"\xff", b"\xff\x00")
    size_of_image = rows.to_bytes(2, "big") + columns.to_bytes(2, "big")
    return b"".join(
        (
            b"\xff\xd8",
            b"\xff\xc3\x00\x0b\x10" + size_of_image + b"\x01\x01\x11\x00",
            b"\xff\xc4" + (2 + 17 + 17).to_bytes(2, "big") + b"\x00" + bytes((0, 0, 0, 0, 17, *[0] * 11)),
            bytes(range(17)),
            b"\xff\xda\x00\x08\x01\x01\x00" + bytes((predictor, 0, 0)),
            scan,
            b"\xff\xd9",
        )
    )


def to_bytes(ds: Dataset) -> bytes:
    """The data set as the bytes of a DICOM file."""
    buffer = BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def write(ds: Dataset, path: Path) -> Path:
    """Write the data set and give back its path."""
    path.write_bytes(to_bytes(ds))
    return path
