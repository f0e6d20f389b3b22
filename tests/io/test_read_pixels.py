"""Stored values become counts whatever their bits, sign, byte order and compression."""

from __future__ import annotations

import warnings
import zlib
from pathlib import Path
from typing import Any

import nm_factory as make
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from myoscope.core import UnreadableFile, UnsupportedFile, Volume
from myoscope.io import dicom_header, read_paths, read_volume
from myoscope.io.jpeg_lossless import decode_jpeg_lossless


def _volume(ds: Dataset, folder: Path) -> NDArray[Any]:
    return read_volume(make.write(ds, folder / "a.dcm")).array


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4"])
def test_every_whole_number_type_keeps_its_values_and_type(tmp_path: Path, dtype: str) -> None:
    info = np.iinfo(dtype)
    pixels = np.random.default_rng(1).integers(info.min, info.max, (5, 8, 7), dtype=dtype, endpoint=True)
    array = _volume(make.nm(pixels, (make.SLICE,)), tmp_path)
    assert array.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(array, pixels.transpose(2, 1, 0))


@pytest.mark.parametrize("signed", [False, True])
def test_bits_above_the_stored_ones_are_ignored(tmp_path: Path, signed: bool) -> None:
    low, high = (-2048, 2047) if signed else (0, 4095)
    true = np.random.default_rng(1).integers(low, high, (5, 8, 7), endpoint=True)
    garbage = np.random.default_rng(2).integers(0, 16, true.shape)
    stored = ((true & 0x0FFF) | (garbage << 12)).astype("u2")
    ds = make.nm(stored, (make.SLICE,), BitsStored=12, HighBit=11, PixelRepresentation=int(signed))
    np.testing.assert_array_equal(_volume(ds, tmp_path), true.transpose(2, 1, 0))


def test_rescaling_is_applied_and_a_real_world_map_goes_first(tmp_path: Path) -> None:
    pixels = make.counts(5, 8, 7)
    array = _volume(make.nm(pixels, (make.SLICE,), RescaleSlope=0.5, RescaleIntercept=3), tmp_path)
    np.testing.assert_allclose(array, pixels.transpose(2, 1, 0) * 0.5 + 3)
    mapping = make.item(
        RealWorldValueSlope=2.0,
        RealWorldValueIntercept=1.0,
        MeasurementUnitsCodeSequence=[make.code("Bq/ml", "UCUM")],
    )
    ds = make.nm(pixels, (make.SLICE,), RescaleSlope=0.5, RealWorldValueMappingSequence=[mapping])
    volume = read_volume(make.write(ds, tmp_path / "b.dcm"))
    np.testing.assert_allclose(volume.array, pixels.transpose(2, 1, 0) * 2.0 + 1.0)
    assert volume.unit == "Bq/mL"


def test_floating_point_pixels_are_read(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).random((5, 8, 7)).astype("f4")
    ds = make.nm(make.counts(5, 8, 7), (make.SLICE,), BitsAllocated=32)
    del ds.PixelData, ds.BitsStored, ds.HighBit, ds.PixelRepresentation
    ds.FloatPixelData = pixels.tobytes()
    np.testing.assert_array_equal(_volume(ds, tmp_path), pixels.transpose(2, 1, 0))


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        DeflatedExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        RLELossless,
        JPEGLSLossless,
        JPEG2000Lossless,
    ],
    ids=lambda uid: uid.name,
)
@pytest.mark.parametrize("dtype", ["u1", "u2", "i2"])
def test_every_transfer_syntax_gives_the_same_voxels(tmp_path: Path, syntax: UID, dtype: str) -> None:
    low = -100 if dtype == "i2" else 0
    pixels = np.random.default_rng(1).integers(low, 120, (5, 64, 48)).astype(dtype)
    ds = make.nm(pixels, (make.SLICE,))
    if syntax.is_compressed and syntax != DeflatedExplicitVRLittleEndian:
        ds.compress(syntax)
    else:
        ds.file_meta.TransferSyntaxUID = syntax
        if syntax == ExplicitVRBigEndian:
            ds.PixelData = pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()
    np.testing.assert_array_equal(_volume(ds, tmp_path), pixels.transpose(2, 1, 0))


def _as_jpeg_lossless(pixels: NDArray[Any], predictor: int) -> Dataset:
    ds = make.nm(pixels, (make.SLICE,))
    ds.PixelData = encapsulate([make.jpeg_lossless(frame.view("u2"), predictor) for frame in pixels])
    ds["PixelData"].VR = "OB"
    ds.file_meta.TransferSyntaxUID = JPEGLosslessSV1 if predictor == 1 else JPEGLossless
    return ds


@pytest.mark.parametrize("dtype", ["u2", "i2"])
@pytest.mark.parametrize("predictor", range(1, 8))
def test_jpeg_lossless_gives_the_same_voxels(tmp_path: Path, predictor: int, dtype: str) -> None:
    info = np.iinfo(dtype)
    pixels = np.random.default_rng(predictor).integers(info.min, info.max, (3, 16, 12), dtype=dtype, endpoint=True)
    pixels[0] //= 100
    ds = _as_jpeg_lossless(pixels, predictor)
    np.testing.assert_array_equal(_volume(ds, tmp_path), pixels.transpose(2, 1, 0))


@pytest.mark.parametrize("predictor", range(1, 8))
def test_our_jpeg_lossless_agrees_with_another_decoder(predictor: int) -> None:
    pytest.importorskip("gdcm", reason="python-gdcm, an independent decoder of JPEG Lossless, is not installed")
    pixels = make.counts(2, 16, 12, seed=predictor)
    ds = _as_jpeg_lossless(pixels, predictor)
    theirs, _ = get_decoder(ds.file_meta.TransferSyntaxUID).as_array(ds, decoding_plugin="gdcm")
    ours = decode_jpeg_lossless([make.jpeg_lossless(frame, predictor) for frame in pixels], 16, 12, "a.dcm")
    np.testing.assert_array_equal(ours, theirs)


def test_damaged_jpeg_lossless_ends_in_a_sentence() -> None:
    frame = make.jpeg_lossless(make.counts(16, 12))
    rng = np.random.default_rng(0)
    n_decoded, sentences = 0, []
    for _ in range(120):
        damaged = bytearray(frame)
        for _ in range(rng.integers(1, 6)):
            damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
        cut = len(damaged) if rng.random() < 0.7 else int(rng.integers(len(damaged)))
        try:
            assert decode_jpeg_lossless([bytes(damaged[:cut])], 16, 12, "a.dcm").shape == (1, 16, 12)
            n_decoded += 1
        except UnreadableFile as error:
            sentences.append(str(error))
    assert n_decoded >= 3
    assert len(sentences) > 30
    assert all(s.startswith("a.dcm: its JPEG Lossless pixels are damaged") for s in sentences)


def test_a_missing_decoder_is_named_as_the_likely_cause(tmp_path: Path) -> None:
    ds = make.recon()
    ds.PixelData = encapsulate([b"no image at all "] * 5)
    ds["PixelData"].VR = "OB"
    ds.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.4.100")  # MPEG-2 video
    with pytest.raises(UnreadableFile, match=r"a\.dcm.*decoder"):
        _volume(ds, tmp_path)


def test_a_file_without_preamble_is_still_dicom(tmp_path: Path) -> None:
    ds = make.recon()
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    bare = tmp_path / "bare.dcm"
    ds.save_as(bare, implicit_vr=True, little_endian=True, enforce_file_format=False)
    content = make.to_bytes(ds)
    start = 144 + int.from_bytes(content[140:144], "little")
    bare.write_bytes(content[start:])
    np.testing.assert_array_equal(read_volume(bare).array, _volume(make.recon(), tmp_path))


@pytest.mark.parametrize("lost", [1, 2, 100, 10_000])
def test_truncated_pixels_are_refused(tmp_path: Path, lost: int) -> None:
    content = make.to_bytes(make.recon())
    path = tmp_path / "a.dcm"
    path.write_bytes(content[:-lost])
    with pytest.raises(UnreadableFile, match=r"a\.dcm"):
        read_volume(path)


@pytest.mark.parametrize("value", [0, 7])
def test_an_image_of_one_value_is_no_image(tmp_path: Path, value: int) -> None:
    with pytest.raises(UnreadableFile, match="only zeros" if value == 0 else "same value"):
        _volume(make.nm(np.full((5, 8, 7), value, "u2"), (make.SLICE,)), tmp_path)


def test_pixels_that_are_no_number_are_refused(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).random((5, 8, 7)).astype("f4")
    pixels[2, 3, 4] = np.nan
    ds = make.recon(BitsAllocated=32)
    del ds.PixelData
    ds.FloatPixelData = pixels.tobytes()
    with pytest.raises(UnreadableFile, match="1 pixels that are no number"):
        _volume(ds, tmp_path)


@pytest.mark.parametrize(
    ("attributes", "word"),
    [
        ({"Rows": 0}, "no image"),
        ({"Rows": None}, "does not state its size"),
        ({"NumberOfFrames": 0}, "no image"),
        ({"NumberOfFrames": -3}, "no image"),
        ({"Rows": 60000, "Columns": 60000, "NumberOfFrames": 5}, "million"),
        ({"NumberOfFrames": 2_000_000_000}, "million"),
        ({"BitsStored": 40}, "stored bits"),
        ({"HighBit": 3}, "highest bit"),
        ({"RescaleSlope": 0}, "leaves no image"),
    ],
)
def test_absurd_sizes_are_refused_before_anything_is_allocated(
    tmp_path: Path, attributes: dict[str, Any], word: str
) -> None:
    with pytest.raises(UnreadableFile, match=word):
        _volume(make.recon(**attributes), tmp_path)


def test_colour_and_odd_bits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedFile, match="colour"):
        _volume(make.recon(SamplesPerPixel=3, PhotometricInterpretation="RGB"), tmp_path)
    with pytest.raises(UnsupportedFile, match="12 bits"):
        _volume(make.recon(BitsAllocated=12), tmp_path)


def test_a_deflate_bomb_is_refused_without_unpacking_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom_header, "_MAX_UNPACKED_BYTES", 4 << 20)
    ds = make.recon()
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    content = make.to_bytes(ds)
    start = 144 + int.from_bytes(content[140:144], "little")
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = packer.compress(bytes(64 << 20)) + packer.flush()
    path = tmp_path / "bomb.dcm"
    path.write_bytes(content[:start] + bomb)
    with pytest.raises(UnreadableFile, match="unpack to more than 4 MB"):
        read_volume(path)


def _unit_and_flags(ds: Dataset, folder: Path) -> tuple[str, set[str]]:
    series = read_paths([make.write(ds, folder / "a.dcm")]).study.series[0]
    assert isinstance(series.image, Volume)
    return series.image.unit, {flag.code for flag in series.flags}


def test_pixels_scaled_to_full_range_are_not_called_counts(tmp_path: Path) -> None:
    pixels = make.counts(5, 8, 7)
    pixels[2, 3, 4] = 32767
    unit, flags = _unit_and_flags(make.nm(pixels, (make.SLICE,), CountsAccumulated=0), tmp_path)
    assert unit == "counts (rescaled)"
    assert "pixels_rescaled" in flags
    total = int(pixels.sum())
    assert _unit_and_flags(make.nm(pixels, (make.SLICE,), CountsAccumulated=total), tmp_path) == ("counts", set())
    assert _unit_and_flags(make.recon(), tmp_path) == ("counts", set())


def test_negative_pixels_and_inverted_grey_scales_are_flagged(tmp_path: Path) -> None:
    pixels = make.counts(5, 8, 7).astype("i2") - 40
    unit, flags = _unit_and_flags(make.nm(pixels, (make.SLICE,), PhotometricInterpretation="MONOCHROME1"), tmp_path)
    assert unit == "counts"
    assert flags == {"negative_pixels", "inverted_grey_scale"}


def test_surplus_pixels_are_left_out_and_flagged(tmp_path: Path) -> None:
    ds = make.recon()
    ds.PixelData = ds.PixelData + bytes(112)
    _, flags = _unit_and_flags(ds, tmp_path)
    assert flags == {"pixel_data_longer"}


def test_nonsense_in_attributes_warns_nobody_but_is_flagged(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ds = make.recon()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds.add_new(0x00180070, "LO", "many")  # CountsAccumulated, which is a whole number
        path = make.write(ds, tmp_path / "a.dcm")
    content = path.read_bytes().replace(b"\x18\x00\x70\x00LO", b"\x18\x00\x70\x00IS")
    path.write_bytes(content)
    flags = {flag.code: flag for flag in read_paths([path]).study.series[0].flags}
    assert flags["attributes_unreadable"].evidence == {"attributes": ["CountsAccumulated"]}
    assert "many" not in flags["attributes_unreadable"].message
    assert capfd.readouterr() == ("", "")
