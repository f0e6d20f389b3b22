"""PET slices in and out: frames in order and in time, decay to one moment, in the unit they say; or refused in a
sentence."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pt_factory as make
import pytest
from pydicom.dataset import Dataset

from myoscope.core import Gating, Grid, InvalidValue, NothingToAnalyse, Series, UnitMismatch, Volume
from myoscope.io import NmDescription, read_paths, studies, write_pt


def only(folder: Path) -> Series:
    (series,) = read_paths([folder]).study.series
    return series


def codes(series: Series) -> set[str]:
    return {f.code for f in series.flags}


def image(series: Series) -> Volume:
    assert isinstance(series.image, Volume)
    return series.image


def refusal(folder: Path) -> str:
    with pytest.raises(NothingToAnalyse) as caught:
        read_paths([folder])
    return str(caught.value)


def test_half_of_very_many_files_can_be_read_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make.write_series(tmp_path)
    (tmp_path / "0000a.dcm").write_bytes(b"damaged")
    (tmp_path / "9999.dcm").write_bytes(b"damaged too")
    here = read_paths([tmp_path])
    monkeypatch.setattr(studies, "_FILES_WORTH_SHARING", 4)
    with ThreadPoolExecutor(1) as pool:
        both = read_paths([tmp_path], pool=pool)
    assert len(here.skipped) == 2
    assert both.skipped == here.skipped
    (ours,), (theirs,) = here.study.series, both.study.series
    assert np.array_equal(image(ours).array, image(theirs).array)
    assert theirs.sources == ours.sources


# --- what is there ----------------------------------------------------------------------------------------------


def test_a_dynamic_series_comes_back_slice_by_slice_with_its_times(tmp_path: Path) -> None:
    values = make.write_series(tmp_path)
    series = only(tmp_path)
    volume = image(series)
    assert series.kind == "DYNAMIC PET"
    assert series.name == "rest-dynamic"
    assert volume.unit == "Bq/mL"
    np.testing.assert_allclose(volume.array, values, rtol=2e-4)
    assert volume.frame_start_s is not None
    assert volume.frame_duration_s is not None
    np.testing.assert_allclose(volume.frame_start_s, make.starts(), atol=1e-3)
    np.testing.assert_allclose(volume.frame_duration_s, make.DURATION_S, atol=1e-3)
    np.testing.assert_allclose(volume.grid.to_mm((1, 2, 1)), [-5.0, -12.0, 33.0])
    assert series.tracer.value == "Rb-82"
    assert series.state.value == "rest"
    assert series.acquisition["administered_MBq"] == pytest.approx(1110)
    assert not codes(series)


def test_the_order_of_files_says_nothing(tmp_path: Path) -> None:
    make.write_series(tmp_path / "a")
    order = np.random.default_rng(1).permutation(12)
    make.write_series(tmp_path / "b", order=order.tolist())
    one, other = image(only(tmp_path / "a")), image(only(tmp_path / "b"))
    np.testing.assert_array_equal(one.array, other.array)
    assert one.grid == other.grid


def test_slices_counted_from_the_head_lie_where_they_say(tmp_path: Path) -> None:
    values = make.write_series(
        tmp_path, change=lambda ds, f, k: setattr(ds, "ImagePositionPatient", [-10.0, -20.0, 30.0 - 3.0 * k])
    )
    volume = image(only(tmp_path))
    np.testing.assert_allclose(volume.array, values[:, :, :, ::-1], rtol=2e-4)
    assert volume.grid.to_mm((0, 0, 0))[2] == pytest.approx(24)


def test_each_slice_has_its_own_rescaling(tmp_path: Path) -> None:
    values = make.activity()
    values[:, :, :, 1] *= 50
    np.testing.assert_allclose(
        image(only_of(tmp_path, values)).array, make.write_series(tmp_path / "again", values=values), rtol=2e-4
    )


def only_of(tmp_path: Path, values: np.ndarray) -> Series:
    make.write_series(tmp_path / "one", values=values)
    return only(tmp_path / "one")


# --- when it was ------------------------------------------------------------------------------------------------


def test_frames_without_acquisition_times_are_placed_by_their_reference_times(tmp_path: Path) -> None:
    def philips(ds: Dataset, _f: int, _k: int) -> None:
        ds.AcquisitionTime = make.clock(0)  # the series' in every frame

    make.write_series(tmp_path, change=philips)
    series = only(tmp_path)
    start = image(series).frame_start_s
    assert start is not None
    np.testing.assert_allclose(start, make.starts(), atol=0.01)
    assert "pt_times_from_reference" in codes(series)


def test_reference_times_in_seconds_are_understood(tmp_path: Path) -> None:
    def in_seconds(ds: Dataset, _f: int, _k: int) -> None:
        ds.AcquisitionTime = make.clock(0)
        ds.FrameReferenceTime = f"{float(ds.FrameReferenceTime) / 1000:.6f}"

    make.write_series(tmp_path, change=in_seconds)
    series = only(tmp_path)
    start = image(series).frame_start_s
    assert start is not None
    np.testing.assert_allclose(start, make.starts(), atol=0.01)
    assert "pt_reference_in_seconds" in codes(series)


def test_durations_that_are_left_out_follow_from_the_starts(tmp_path: Path) -> None:
    make.write_series(tmp_path, change=lambda ds, f, k: ds.__delattr__("ActualFrameDuration"))
    series = only(tmp_path)
    duration = image(series).frame_duration_s
    assert duration is not None
    np.testing.assert_allclose(duration, [10, 10, 20, 20])
    assert "pt_duration_inferred" in codes(series)


def test_durations_alone_are_laid_end_to_end(tmp_path: Path) -> None:
    def bare(ds: Dataset, _f: int, _k: int) -> None:
        del ds.AcquisitionTime, ds.FrameReferenceTime

    make.write_series(tmp_path, change=bare)
    series = only(tmp_path)
    start = image(series).frame_start_s
    assert start is not None
    np.testing.assert_allclose(start, make.starts())
    assert "pt_times_assumed" in codes(series)


def test_a_study_across_midnight_goes_on(tmp_path: Path) -> None:
    def late(ds: Dataset, f: int, _k: int) -> None:
        seconds = 86_395.0 + make.starts()[f]
        ds.AcquisitionDate = "20200102" if seconds < 86_400 else "20200103"
        inside = seconds % 86_400
        ds.AcquisitionTime = f"{int(inside // 3600):02d}{int(inside % 3600 // 60):02d}{inside % 60:06.3f}"

    make.write_series(tmp_path, change=late)
    start = image(only(tmp_path)).frame_start_s
    assert start is not None
    np.testing.assert_allclose(start, make.starts(), atol=1e-3)


def test_times_that_contradict_each_other_are_told(tmp_path: Path) -> None:
    def shifted(ds: Dataset, f: int, _k: int) -> None:
        ds.FrameReferenceTime = str(float(ds.FrameReferenceTime) + 20_000 * f)

    make.write_series(tmp_path, change=shifted)
    assert "pt_times_contradictory" in codes(only(tmp_path))


# --- decay ------------------------------------------------------------------------------------------------------


def test_images_without_decay_correction_are_corrected(tmp_path: Path) -> None:
    values = make.activity()
    factor = np.array([make.decay_factor(s, d) for s, d in zip(make.starts(), make.DURATION_S, strict=True)])
    decayed = values / factor[:, None, None, None]

    def raw(ds: Dataset, _f: int, _k: int) -> None:
        ds.DecayCorrection = "NONE"
        del ds.DecayFactor

    make.write_series(tmp_path, values=decayed, change=raw)
    series = only(tmp_path)
    np.testing.assert_allclose(image(series).array, values, rtol=2e-4)
    assert "pt_decay_corrected_here" in codes(series)


def test_images_corrected_to_each_frames_start_are_corrected_to_the_series(tmp_path: Path) -> None:
    """Some programs say START and correct each frame to its own start: late rubidium frames are then far too low."""
    values = make.activity()
    rate = np.log(2) / make.RB82_S
    short = values * np.exp(-rate * make.starts())[:, None, None, None]

    def own(ds: Dataset, f: int, _k: int) -> None:
        ds.DecayFactor = f"{make.decay_factor(0, make.DURATION_S[f]):.8g}"

    make.write_series(tmp_path, values=short, change=own)
    series = only(tmp_path)
    np.testing.assert_allclose(image(series).array, values, rtol=2e-4)
    assert "pt_decay_per_frame" in codes(series)


def test_correction_to_the_injection_differs_by_a_factor_only(tmp_path: Path) -> None:
    def to_injection(ds: Dataset, _f: int, _k: int) -> None:
        ds.DecayCorrection = "ADMIN"
        ds.DecayFactor = f"{1.07 * float(ds.DecayFactor):.8g}"

    values = make.write_series(tmp_path, change=to_injection)
    series = only(tmp_path)
    np.testing.assert_allclose(image(series).array, values, rtol=2e-4)
    assert not codes(series)


def test_decay_that_is_not_mentioned_is_doubted(tmp_path: Path) -> None:
    make.write_series(tmp_path, change=lambda ds, f, k: ds.__delattr__("DecayCorrection"))
    assert "pt_decay_not_stated" in codes(only(tmp_path))


def test_uncorrected_images_of_an_unknown_nuclide_are_refused(tmp_path: Path) -> None:
    def nameless(ds: Dataset, _f: int, _k: int) -> None:
        ds.DecayCorrection = "NONE"
        del ds.RadiopharmaceuticalInformationSequence

    make.write_series(tmp_path, change=nameless)
    assert "do not name their nuclide" in refusal(tmp_path)


def test_the_nuclide_is_known_by_its_half_life(tmp_path: Path) -> None:
    def only_half_life(ds: Dataset, _f: int, _k: int) -> None:
        del ds.RadiopharmaceuticalInformationSequence[0].RadionuclideCodeSequence
        ds.SeriesDescription = "dynamic"
        ds.RadiopharmaceuticalInformationSequence[0].RadionuclideHalfLife = "122.2"

    make.write_series(tmp_path, change=only_half_life)
    tracer = only(tmp_path).tracer
    assert tracer.value == "O-15"
    assert tracer.inferred


# --- units ------------------------------------------------------------------------------------------------------


def test_counts_become_rates(tmp_path: Path) -> None:
    values = make.write_series(tmp_path, change=lambda ds, f, k: setattr(ds, "Units", "CNTS"))
    series = only(tmp_path)
    volume = image(series)
    assert volume.unit == "counts/s"
    np.testing.assert_allclose(volume.array, values / np.array(make.DURATION_S)[:, None, None, None], rtol=2e-4)
    assert "pt_counts_per_frame" in codes(series)


def test_counts_with_a_private_factor_are_activity(tmp_path: Path) -> None:
    def philips(ds: Dataset, _f: int, _k: int) -> None:
        ds.Units = "CNTS"
        ds.add_new(0x70530010, "LO", "Philips PET Private Group")
        ds.add_new(0x70531009, "DS", "2.5")

    values = make.write_series(tmp_path, change=philips)
    volume = image(only(tmp_path))
    assert volume.unit == "Bq/mL"
    np.testing.assert_allclose(volume.array, 2.5 * values, rtol=2e-4)


def test_proportional_counts_are_read_as_such(tmp_path: Path) -> None:
    values = make.write_series(tmp_path, change=lambda ds, f, k: setattr(ds, "Units", "PROPCPS"))
    volume = image(only(tmp_path))
    assert volume.unit == "counts/s (proportional)"
    np.testing.assert_allclose(volume.array, values, rtol=2e-4)


def test_standardised_uptake_is_no_activity(tmp_path: Path) -> None:
    make.write_series(tmp_path, change=lambda ds, f, k: setattr(ds, "Units", "GML"))
    assert "GML" in refusal(tmp_path)


# --- what makes no sense ----------------------------------------------------------------------------------------


def test_a_frame_with_a_missing_slice_is_named(tmp_path: Path) -> None:
    make.write_series(tmp_path, skip=[(2, 1)])
    assert "frame 3 of 4 has 2 slices, others have 3" in refusal(tmp_path)


def test_slices_with_a_gap_are_refused(tmp_path: Path) -> None:
    values = np.repeat(make.activity(), 2, axis=3)
    make.write_series(tmp_path, values=values, skip=[(f, 3) for f in range(4)])
    assert "gaps" in refusal(tmp_path)


def test_frames_that_overlap_are_refused(tmp_path: Path) -> None:
    make.write_series(tmp_path, change=lambda ds, f, k: setattr(ds, "ActualFrameDuration", 45_000))
    assert "before frame" in refusal(tmp_path)


def test_frames_without_any_time_are_refused(tmp_path: Path) -> None:
    def timeless(ds: Dataset, _f: int, _k: int) -> None:
        del ds.AcquisitionTime, ds.FrameReferenceTime, ds.ActualFrameDuration

    make.write_series(tmp_path, change=timeless)
    assert "do not say when" in refusal(tmp_path)


def test_slices_that_nothing_tells_apart_are_refused(tmp_path: Path) -> None:
    def anonymous(ds: Dataset, _f: int, _k: int) -> None:
        del ds.AcquisitionTime, ds.FrameReferenceTime, ds.ImageIndex

    make.write_series(tmp_path, change=anonymous)
    assert "several slices at one place" in refusal(tmp_path)


def test_a_couch_that_moves_between_frames_is_refused(tmp_path: Path) -> None:
    def moving(ds: Dataset, f: int, k: int) -> None:
        ds.ImagePositionPatient = [-10.0, -20.0, 30.0 + 3.0 * k + 1.0 * f]

    make.write_series(tmp_path, change=moving)
    assert "do not lie still" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda ds, f, k: setattr(ds, "RescaleSlope", "0"), "rescale slope"),
        (lambda ds, f, k: setattr(ds, "SOPClassUID", "1.2.840.10008.5.1.4.1.1.130"), "another object"),
        (lambda ds, f, k: setattr(ds, "SeriesType", ["STATIC", "REPROJECTION"]), "reprojection"),
        (lambda ds, f, k: setattr(ds, "CountsSource", "TRANSMISSION"), "transmission"),
        (lambda ds, f, k: ds.__delattr__("ImagePositionPatient"), "where its slice lies"),
    ],
)
def test_other_objects_are_refused_in_a_sentence(tmp_path: Path, change: object, said: str) -> None:
    make.write_series(tmp_path, change=change)  # type: ignore[arg-type]
    assert said in refusal(tmp_path)


# --- static, gated, written -------------------------------------------------------------------------------------


def test_a_single_frame_is_a_static_image(tmp_path: Path) -> None:
    values = make.write_series(tmp_path, values=make.activity()[:1])
    series = only(tmp_path)
    assert series.kind == "PET"
    np.testing.assert_allclose(image(series).array, values[0], rtol=2e-4)


def test_gates_are_put_in_order_by_trigger_time(tmp_path: Path) -> None:
    def gated(ds: Dataset, f: int, _k: int) -> None:
        ds.SeriesType = ["GATED", "IMAGE"]
        ds.TriggerTime, ds.NominalInterval, ds.NumberOfTimeSlots = str(200.0 * f), 800, 4
        ds.AcquisitionTime = make.clock(0)
        del ds.FrameReferenceTime, ds.ActualFrameDuration

    values = make.write_series(tmp_path, change=gated, order=list(range(11, -1, -1)))
    series = only(tmp_path)
    assert series.kind == "GATED PET"
    assert series.image.gating == Gating(4, 800.0)
    np.testing.assert_allclose(image(series).array, values, rtol=2e-4)


ABOUT = NmDescription(
    patient_name="Synthetic^One",
    patient_id="SYNTHETIC-1",
    sex="F",
    state="stress",
    tracer="N-13 ammonia",
    dose_MBq=550.0,
    uid_seed="pt test",
    comments="synthetic (simulated), not a patient",
)


def _dynamic() -> Volume:
    grid = Grid.axis_aligned((6, 5, 4), spacing_mm=(4.0, 4.0, 3.0), centre_mm=(10, -20, 30))
    values = np.random.default_rng(0).normal(3, 4, (3, *grid.shape)) * np.array([1, 40, 0.01])[:, None, None, None]
    return Volume(values, grid, "kBq/mL", (), "time", None, np.array([0.0, 10.0, 40.0]), np.array([10.0, 30.0, 120.0]))


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    volume = _dynamic()
    written = write_pt(volume, tmp_path / "pt", ABOUT, half_life_s=597.9, injected_before_start_s=3.0)
    series = only(tmp_path / "pt")
    back = image(series)
    assert written.n_files == 12
    assert back.grid.same_place(volume.grid)
    for f in range(3):
        largest = float(np.abs(volume.array[f]).max())
        np.testing.assert_allclose(back.array[f] / 1000, volume.array[f], atol=2e-5 * largest)
    np.testing.assert_allclose(back.frame_start_s, volume.frame_start_s)  # type: ignore[arg-type]
    np.testing.assert_allclose(back.frame_duration_s, volume.frame_duration_s)  # type: ignore[arg-type]
    assert series.state.value == "stress"
    assert series.tracer.value == "N-13 ammonia"
    assert series.acquisition["injected_before_start_s"] == pytest.approx(3)
    assert series.acquisition["administered_MBq"] == pytest.approx(550)
    assert not codes(series)


def test_the_same_image_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_pt(_dynamic(), tmp_path / name, ABOUT, half_life_s=597.9)
    one, other = (sorted((tmp_path / name).iterdir()) for name in ("a", "b"))
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in other]


def test_a_gated_image_goes_there_and_back(tmp_path: Path) -> None:
    grid = Grid.axis_aligned((5, 5, 4), spacing_mm=4.0)
    volume = Volume(
        np.random.default_rng(1).uniform(0, 9, (8, *grid.shape)), grid, "Bq/mL", (), "gate", Gating(8, 900.0)
    )
    write_pt(volume, tmp_path / "pt", ABOUT)
    back = image(only(tmp_path / "pt"))
    assert back.gating == Gating(8, 900.0)
    np.testing.assert_allclose(back.array, volume.array, atol=1e-3)


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    volume = _dynamic()
    with pytest.raises(UnitMismatch, match="mL/min/g"):
        write_pt(volume.like(volume.array, "x", unit="mL/min/g"), tmp_path / "a", ABOUT)
    timeless = Volume(volume.array, volume.grid, volume.unit, (), "time")
    with pytest.raises(InvalidValue, match="starts and durations"):
        write_pt(timeless, tmp_path / "b", ABOUT)
    holes = np.array(volume.array)
    holes[0, 0, 0, 0] = np.nan
    with pytest.raises(InvalidValue, match="missing or infinite"):
        write_pt(volume.like(holes, "x"), tmp_path / "c", ABOUT)
    assert not list(tmp_path.iterdir())
