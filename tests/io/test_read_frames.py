"""The order of frames comes from the index vectors, and nothing missing goes unnoticed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nm_factory as make
import numpy as np
import pytest

from myoscope.core import Flag, NothingToAnalyse, UnreadableFile, UnsupportedFile, Volume
from myoscope.io import read_paths, read_volume


def _codes(flags: tuple[Flag, ...]) -> set[str]:
    return {flag.code for flag in flags}


def test_voxels_are_column_row_slice_without_any_flip(tmp_path: Path) -> None:
    pixels = make.counts(5, 8, 7)
    volume = read_volume(make.write(make.nm(pixels, (make.SLICE,)), tmp_path / "a.dcm"))
    assert volume.array.shape == (7, 8, 5)
    assert volume.array.dtype == np.uint16
    np.testing.assert_array_equal(volume.array, pixels.transpose(2, 1, 0))


@pytest.mark.parametrize("seed", range(5))
def test_stored_order_does_not_matter_for_gated_slices(tmp_path: Path, seed: int) -> None:
    pixels = make.counts(6, 5, 8, 7)
    kind = ("ORIGINAL", "PRIMARY", "RECON GATED TOMO", "EMISSION")
    ds = make.nm(pixels, (make.GATE, make.SLICE), image_type=kind, shuffle=seed)
    volume = read_volume(make.write(ds, tmp_path / "a.dcm"))
    assert volume.frame_axis == "gate"
    np.testing.assert_array_equal(volume.array, pixels.transpose(0, 3, 2, 1))


@pytest.mark.parametrize("axes", [(make.GATE, make.SLICE), (make.SLICE, make.GATE)])
def test_vectors_count_in_whichever_order_they_are_declared(tmp_path: Path, axes: tuple[int, int]) -> None:
    sizes = {make.GATE: 4, make.SLICE: 5}
    pixels = make.counts(*(sizes[a] for a in axes), 8, 7)
    kind = ("ORIGINAL", "PRIMARY", "RECON GATED TOMO", "EMISSION")
    volume = read_volume(make.write(make.nm(pixels, axes, image_type=kind), tmp_path / "a.dcm"))
    gate_first = pixels if axes[0] == make.GATE else pixels.swapaxes(0, 1)
    np.testing.assert_array_equal(volume.array, gate_first.transpose(0, 3, 2, 1))


def _drop_frames(ds: Any, keep: list[int]) -> None:
    frames = np.frombuffer(ds.PixelData, "u2").reshape(-1, ds.Rows, ds.Columns)[keep]
    ds.PixelData = frames.tobytes()
    ds.NumberOfFrames = len(keep)
    for tag in make.VECTOR_NAME.values():
        if tag in ds:
            setattr(ds, tag, [int(np.atleast_1d(ds[tag].value)[n]) for n in keep])


def test_a_missing_gate_is_named(tmp_path: Path) -> None:
    ds = make.gated_recon(8)
    _drop_frames(ds, [n for n in range(40) if n // 5 != 3])
    with pytest.raises(UnreadableFile, match="gate 4 of 8 is missing"):
        read_volume(make.write(ds, tmp_path / "a.dcm"))


def test_the_last_gate_missing_is_noticed_by_its_declared_number(tmp_path: Path) -> None:
    ds = make.gated_recon(8)
    _drop_frames(ds, list(range(35)))
    with pytest.raises(UnreadableFile, match="gate 8 of 8 is missing"):
        read_volume(make.write(ds, tmp_path / "a.dcm"))


def test_a_single_missing_frame_is_named_by_gate_and_slice(tmp_path: Path) -> None:
    ds = make.gated_recon(8)
    _drop_frames(ds, [n for n in range(40) if n != 17])
    with pytest.raises(UnreadableFile, match="gate 4, slice 3 is missing"):
        read_volume(make.write(ds, tmp_path / "a.dcm"))


def test_a_frame_that_occurs_twice_is_named(tmp_path: Path) -> None:
    ds = make.gated_recon(8)
    ds.SliceVector = [*ds.SliceVector[:6], 1, *ds.SliceVector[7:]]
    with pytest.raises(UnreadableFile, match="gate 2, slice 1 occurs twice"):
        read_volume(make.write(ds, tmp_path / "a.dcm"))


def test_slices_missing_at_the_start_are_named(tmp_path: Path) -> None:
    ds = make.recon()
    ds.SliceVector = [3, 4, 5, 6, 7]
    with pytest.raises(UnreadableFile, match="outside 1 to 5"):
        read_volume(make.write(ds, tmp_path / "a.dcm"))
    ds.SliceVector = [2, 3, 4, 5, 5]
    with pytest.raises(UnreadableFile, match="slice 5 occurs twice"):
        read_volume(make.write(ds, tmp_path / "b.dcm"))


def test_a_vector_of_the_wrong_length_is_refused(tmp_path: Path) -> None:
    ds = make.recon()
    ds.SliceVector = [1, 2, 3]
    with pytest.raises(UnreadableFile, match="SliceVector has 3 values for 5 frames"):
        read_volume(make.write(ds, tmp_path / "a.dcm"))


def test_a_declared_vector_that_is_absent_is_refused(tmp_path: Path) -> None:
    ds = make.gated_recon()
    del ds.TimeSlotVector
    with pytest.raises(UnreadableFile, match="TimeSlotVector is missing"):
        read_volume(make.write(ds, tmp_path / "a.dcm"))


def test_vectors_from_zero_are_read_in_the_same_order_and_flagged(tmp_path: Path) -> None:
    one = read_volume(make.write(make.recon(), tmp_path / "one.dcm"))
    series = read_paths([make.write(make.recon(SliceVector=[0, 1, 2, 3, 4]), tmp_path / "zero.dcm")]).study.series[0]
    assert isinstance(series.image, Volume)
    np.testing.assert_array_equal(series.image.array, one.array)
    assert "index_counted_from_zero" in _codes(series.flags)


def test_a_contradiction_between_count_and_vector_is_flagged_with_both_numbers(tmp_path: Path) -> None:
    path = make.write(make.recon(NumberOfSlices=50), tmp_path / "a.dcm")
    flags = {f.code: f for f in read_paths([path]).study.series[0].flags}
    assert flags["count_contradicts_vector"].evidence == {"stated": 50, "counted": 5}


def test_a_vector_that_the_pointer_forgets_is_still_believed_and_flagged(tmp_path: Path) -> None:
    ds = make.gated_recon(FrameIncrementPointer=[make.SLICE])
    series = read_paths([make.write(ds, tmp_path / "a.dcm")]).study.series[0]
    assert series.image.gating is not None
    assert series.image.gating.n_gates == 8
    assert "frame_pointer_incomplete" in _codes(series.flags)


def test_slices_without_a_vector_keep_their_order_and_say_so(tmp_path: Path) -> None:
    ds = make.recon()
    del ds.SliceVector, ds.FrameIncrementPointer
    series = read_paths([make.write(ds, tmp_path / "a.dcm")]).study.series[0]
    assert "frame_order_assumed" in _codes(series.flags)


def test_gates_hidden_in_an_ungated_image_type_are_read_as_gates(tmp_path: Path) -> None:
    ds = make.gated_recon(image_type=("ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"))
    series = read_paths([make.write(ds, tmp_path / "a.dcm")]).study.series[0]
    assert series.kind == "RECON GATED TOMO"
    assert "image_type_contradicts_vector" in _codes(series.flags)


@pytest.mark.parametrize(
    "image_type",
    [
        ("ORIGINAL", "PRIMARY", "RECON_TOMO", "EMISSION"),
        ("ORIGINAL", "PRIMARY", "TOMO RECON"),
        ("DERIVED", "SECONDARY", "RECON TOMO"),
        ("ORIGINAL", "PRIMARY"),
        (),
    ],
)
def test_near_misses_of_the_image_type_are_understood(tmp_path: Path, image_type: tuple[str, ...]) -> None:
    series = read_paths([make.write(make.recon(image_type=image_type), tmp_path / "a.dcm")]).study.series[0]
    assert series.kind == "RECON TOMO"
    if "RECON TOMO" not in image_type:
        assert _codes(series.flags) & {"image_type_unusual", "image_type_inferred"}


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("STATIC", "planar"),
        ("WHOLE BODY", "whole-body"),
        ("DYNAMIC", "dynamic planar"),
        ("GATED", "gated planar"),
        ("SCREEN SAVE", "screen save"),
    ],
)
def test_planar_images_are_refused_by_name(tmp_path: Path, kind: str, word: str) -> None:
    ds = make.recon(image_type=("ORIGINAL", "PRIMARY", kind, "EMISSION"))
    with pytest.raises(UnsupportedFile, match=word):
        read_volume(make.write(ds, tmp_path / "a.dcm"))


def test_a_transmission_image_without_a_unit_is_a_mu_map_that_cannot_be_used(tmp_path: Path) -> None:
    ds = make.recon(image_type=("ORIGINAL", "PRIMARY", "RECON TOMO", "TRANSMISSION"))
    path = make.write(ds, tmp_path / "a.dcm")
    assert read_volume(path).array.shape == (7, 8, 5)
    (series,) = read_paths([path]).study.series
    assert (series.kind, series.name) == ("MU MAP", "mu-map-stress")
    assert isinstance(series.image, Volume)
    assert series.image.unit == "unknown"
    assert "mu_map_unit_not_stated" in {flag.code for flag in series.flags}


def test_transmission_projections_are_left_out_by_name(tmp_path: Path) -> None:
    ds = make.tomo(image_type=("ORIGINAL", "PRIMARY", "TOMO", "TRANSMISSION"))
    with pytest.raises(NothingToAnalyse, match="transmission projections"):
        read_paths([make.write(ds, tmp_path / "a.dcm")])


def test_gating_information_is_read(tmp_path: Path) -> None:
    gating = read_volume(make.write(make.gated_recon(), tmp_path / "a.dcm")).gating
    assert gating is not None
    assert (gating.n_gates, gating.rr_ms, gating.rr_low_ms, gating.rr_high_ms) == (8, 800, 700, 900)
    assert (gating.accepted_beats, gating.rejected_beats) == (410, 12)


def test_an_rr_interval_that_is_no_heart_beat_is_left_out_and_flagged(tmp_path: Path) -> None:
    data = make.item(NominalInterval=8)
    ds = make.gated_recon(GatedInformationSequence=[make.item(DataInformationSequence=[data])])
    series = read_paths([make.write(ds, tmp_path / "a.dcm")]).study.series[0]
    assert series.image.gating is not None
    assert series.image.gating.rr_ms is None
    assert "rr_implausible" in _codes(series.flags)


def test_of_several_classes_of_beats_the_first_is_read_and_flagged(tmp_path: Path) -> None:
    pixels = make.counts(2, 8, 5, 8, 7)
    kind = ("ORIGINAL", "PRIMARY", "RECON GATED TOMO", "EMISSION")
    ds = make.nm(pixels, (make.RR, make.GATE, make.SLICE), image_type=kind, shuffle=4)
    series = read_paths([make.write(ds, tmp_path / "a.dcm")]).study.series[0]
    assert isinstance(series.image, Volume)
    np.testing.assert_array_equal(series.image.array, pixels[0].transpose(0, 3, 2, 1))
    assert "several_rr_intervals" in _codes(series.flags)


def test_reconstructions_of_two_energy_windows_become_two_series(tmp_path: Path) -> None:
    pixels = make.counts(2, 5, 8, 7)
    windows = [
        make.item(EnergyWindowRangeSequence=[make.item(EnergyWindowLowerLimit=low, EnergyWindowUpperLimit=high)])
        for low, high in ((126, 154), (60, 80))
    ]
    ds = make.nm(pixels, (make.WINDOW, make.SLICE), EnergyWindowInformationSequence=windows, ImageID="Rest")
    path = make.write(ds, tmp_path / "a.dcm")
    study = read_paths([path]).study
    assert [s.name for s in study.series] == ["rest-126to154kev", "rest-60to80kev"]
    for series, expected in zip(study.series, pixels, strict=True):
        assert isinstance(series.image, Volume)
        np.testing.assert_array_equal(series.image.array, expected.transpose(2, 1, 0))
    with pytest.raises(UnsupportedFile, match="2 volumes"):
        read_volume(path)
