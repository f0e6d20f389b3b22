"""The pipeline from files to results: what it promises, and laws that must hold whatever the numbers."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from chest_phantom import FRAME, chest, ct_of, projections_of
from myoscope import io
from myoscope.analyze import (
    Settings,
    analyze,
    analyze_series,
    analyze_study,
    write_result,
)
from myoscope.camera_kind import like_training_set
from myoscope.core import (
    CardiacFrame,
    Grid,
    InvalidValue,
    OutputError,
    Projections,
    Series,
    SeriesResult,
    Stated,
    Study,
    StudyResult,
    Volume,
)
from myoscope.correct.movement import shifted
from myoscope.made_images import choose_map, wanted_images
from myoscope.measure import gate_maps
from myoscope.simulate import Cycle, lv_phantom

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
DICOM = DATA / "physionet-mps" / "dicom"
ACQUISITION = DATA / "spect-projections"
needs_real_scans = pytest.mark.skipif(not DICOM.is_dir(), reason=f"needs the real scans in {DICOM.parent.name}")
TRUE_FRAME = CardiacFrame(np.array((12.0, -18.0, 6.0)), np.array((0.45, -0.82, -0.35)))


@pytest.fixture(scope="module")
def phantom_volume() -> Volume:
    grid = Grid.axis_aligned((44, 44, 40), spacing_mm=4, centre_mm=(12, -18, 6))
    return lv_phantom(grid, frame=TRUE_FRAME, fwhm_mm=9, rng=np.random.default_rng(4)).volume


def analysed(volume: Volume) -> SeriesResult:
    return analyze_series(Series("test", "RECON TOMO", volume), settings=Settings(finder="model"))


def test_phantom_is_found_where_it_was_put(phantom_volume: Volume) -> None:
    heart = analysed(phantom_volume).heart
    assert heart is not None
    assert heart.frame.angle_to_deg(TRUE_FRAME) < 5
    assert np.linalg.norm(heart.frame.centre_mm - TRUE_FRAME.centre_mm) < 6


def test_storage_order_of_the_voxels_does_not_move_the_heart(phantom_volume: Volume) -> None:
    grid = phantom_volume.grid
    array = np.transpose(phantom_volume.array, (2, 1, 0))[::-1]
    # array[a, b, c] = old[c, b, 39 - a]
    turn = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [-1, 0, 0, 39], [0, 0, 0, 1]], float)
    turned = Volume(array, Grid((40, 44, 44), grid.affine @ turn), phantom_volume.unit)
    a, b = analysed(phantom_volume).heart, analysed(turned).heart
    assert a is not None
    assert b is not None
    assert np.linalg.norm(a.frame.centre_mm - b.frame.centre_mm) < 1.5
    assert a.frame.angle_to_deg(b.frame) < 1.5


def test_scaling_the_counts_changes_nothing_but_the_counts(phantom_volume: Volume) -> None:
    scaled = phantom_volume.like(np.asarray(phantom_volume.array, float) * 37.5, "scaled")
    a, b = analysed(phantom_volume).heart, analysed(scaled).heart
    assert a is not None
    assert b is not None
    np.testing.assert_array_equal(a.wall.array, b.wall.array)
    np.testing.assert_allclose(b.polar_map.value, 37.5 * a.polar_map.value, rtol=1e-3)


def test_gated_phantom_gives_the_ejection_fraction_that_was_put_in() -> None:
    grid = Grid.axis_aligned((44, 44, 40), spacing_mm=4, centre_mm=(12, -18, 6))
    volume = lv_phantom(grid, frame=TRUE_FRAME, fwhm_mm=8, cycle=Cycle(60), rng=np.random.default_rng(5)).volume
    heart = analysed(volume).heart
    assert heart is not None
    numbers = {q.name: q.value for q in heart.quantities}
    assert numbers["EF"] == pytest.approx(60, abs=10)
    assert heart.short_axis.n_frames == 8

    # The last gate opens for fewer beats: that is no contraction in unison.
    open_for = np.ones((8, 1, 1, 1), np.float32)
    open_for[-1] = 0.7
    assert heart.surfaces.n_gates == 8
    whole = gate_maps(volume, heart.surfaces, sampling="surface")
    fewer = gate_maps(replace(volume, array=volume.array * open_for), heart.surfaces, sampling="surface")
    counts = [np.stack([gate.value for gate in gates]) for gates in (whole, fewer)]
    assert counts[1] / np.nanmean(counts[1]) == pytest.approx(counts[0] / np.nanmean(counts[0]), rel=1e-4, nan_ok=True)


def test_an_image_turned_upside_down_is_flagged(phantom_volume: Volume) -> None:
    upside_down = phantom_volume.like(phantom_volume.array[:, :, ::-1], "slices in the wrong order")
    heart = analysed(upside_down).heart
    assert heart is not None
    assert "axis_out_of_range" in [flag.code for flag in heart.flags]


def test_a_resolution_that_leaves_no_wall_is_flagged(phantom_volume: Volume) -> None:
    settings = Settings(finder="model", resolution_fwhm_mm=14.0)
    heart = analyze_series(Series("test", "RECON TOMO", phantom_volume), settings=settings).heart
    assert heart is not None
    assert "wall_thickness_implausible" in [flag.code for flag in heart.flags]


def test_a_true_resolution_raises_no_doubt_about_the_wall(phantom_volume: Volume) -> None:
    settings = Settings(finder="model", resolution_fwhm_mm=9.0)
    heart = analyze_series(Series("test", "RECON TOMO", phantom_volume), settings=settings).heart
    assert heart is not None
    assert not [flag.code for flag in heart.flags if flag.code.startswith("wall_thickness")]


def test_an_image_without_a_heart_says_why() -> None:
    volume = Volume(np.zeros((40, 40, 40), np.int16), Grid.axis_aligned((40, 40, 40), spacing_mm=4), "counts")
    result = analysed(volume)
    assert result.heart is None
    assert len(result.not_done) == 1


def test_learned_finder_is_meant_for_its_own_kind_of_camera(phantom_volume: Volume) -> None:
    pinhole = Stated("GE 530c, multi-pinhole", "header")
    assert like_training_set(Series("a", "RECON TOMO", phantom_volume, camera=pinhole))
    assert not like_training_set(Series("a", "RECON TOMO", phantom_volume, camera=Stated("parallel hole", "header")))


@needs_real_scans
def test_real_scan_gives_every_promised_file_on_the_input_grid(tmp_path: Path) -> None:
    scan = sorted(DICOM.glob("*.dcm"))[0]
    out = tmp_path / "out"
    result = analyze([scan], out)
    place = out / result.series[0].series.name
    mask: Any = nib.load(place / "lv_wall.nii.gz")
    original = io.read_volume(scan)
    assert mask.shape == original.grid.shape
    np.testing.assert_allclose(np.diag([-1, -1, 1, 1]) @ mask.affine, original.grid.affine, atol=1e-3)
    assert (place / "short_axis.nii.gz").is_file()
    assert io.load(place / "polar_map.npz").value.shape == (40, 72)
    assert "http://" not in (out / "report.html").read_text().replace("http://www.w3.org", "")
    written = json.loads((out / "result.json").read_text())
    assert scan.stem not in json.dumps(written)


@needs_real_scans
def test_same_scan_gives_the_same_numbers_twice(tmp_path: Path) -> None:
    scan = sorted(DICOM.glob("*.dcm"))[3]
    first, second = analyze([scan], tmp_path / "a"), analyze([scan], tmp_path / "b")
    assert first.series[0].heart is not None
    assert second.series[0].heart is not None
    np.testing.assert_array_equal(first.series[0].heart.polar_map.value, second.series[0].heart.polar_map.value)


def test_stress_and_rest_side_by_side_give_the_same_numbers(tmp_path: Path, phantom_volume: Volume) -> None:
    weaker = Volume(phantom_volume.array * np.float32(0.5), phantom_volume.grid, phantom_volume.unit)
    for state, image in (("stress", phantom_volume), ("rest", weaker)):
        about = io.NmDescription(state=state, uid_seed="3", series_label=state)
        io.write_nm(image, tmp_path / f"{state}.dcm", description=about)
    files = [tmp_path / "stress.dcm", tmp_path / "rest.dcm"]
    results = []
    for workers in (1, 2):
        out = tmp_path / str(workers)
        analyze(files, out, settings=Settings(finder="model", workers=workers))
        result = json.loads((out / "result.json").read_text())
        for part in (result, *result["series"]):
            part.pop("seconds")
        results.append(result)
        assert {s["state"]["value"] for s in result["series"] if s["heart"]} == {"stress", "rest"}
    assert results[0] == results[1]
    with pytest.raises(InvalidValue, match="at least one worker"):
        Settings(workers=0)


def test_overwriting_never_removes_what_is_no_earlier_output(tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    folder.mkdir()
    (folder / "precious.dcm").write_bytes(b"only copy")
    with pytest.raises(OutputError):
        analyze([folder], folder, settings=Settings(overwrite=True))
    assert (folder / "precious.dcm").read_bytes() == b"only copy"


def test_existing_output_is_refused_and_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    with pytest.raises(OutputError, match="exists"):
        analyze([tmp_path], out)
    assert (out / "mine.txt").read_text() == "keep"


STRESS, MODEL = Stated("stress", "code"), Settings(finder="model")
BESIDE_MM = (14.0, -6.0, 10.0)


def acquired(name: str = "stress-projections", *, gated: bool = False, scatter: bool = True) -> Series:
    activity, mu = chest(gated=gated)
    image = projections_of(activity, mu, scatter=scatter)
    return Series(name, "GATED TOMO" if gated else "TOMO", image, state=STRESS)


def ct_series(**changes: Any) -> Series:
    shift_mm = changes.pop("shift_mm", (0.0, 0.0, 0.0))
    return Series("ct", "CT", ct_of(chest()[1], shift_mm=shift_mm), acquisition={"kvp": 120.0}, **changes)


def studied(study: Study, *, settings: Settings) -> tuple[SeriesResult, ...]:
    return analyze_study(study, settings=settings).series


def by_name(results: tuple[SeriesResult, ...]) -> dict[str, SeriesResult]:
    return {one.series.name: one for one in results}


def codes(result: SeriesResult) -> list[str]:
    return [flag.code for flag in (*result.flags, *(result.heart.flags if result.heart else ()))]


@pytest.fixture(scope="module")
def with_ct() -> dict[str, SeriesResult]:
    study = Study("patient", (ct_series(shift_mm=BESIDE_MM), acquired()))
    return by_name(studied(study, settings=MODEL))


def test_projections_with_a_ct_give_a_corrected_and_an_uncorrected_heart_in_its_place(
    with_ct: dict[str, SeriesResult],
) -> None:
    assert list(with_ct) == ["ct", "stress-projections", "stress-nc", "stress-ac"]
    assert with_ct["ct"].used_for == "attenuation map"
    assert with_ct["stress-projections"].used_for == "reconstructed as stress-nc, stress-ac"
    for name, corrected in (("stress-nc", "no"), ("stress-ac", "yes")):
        one = with_ct[name]
        assert one.heart is not None
        assert one.heart.frame.angle_to_deg(FRAME) < 5
        assert np.linalg.norm(one.heart.frame.centre_mm - FRAME.centre_mm) < 8
        assert one.series.corrected.value == corrected
        assert not one.series.corrected.inferred
        assert one.series.corrected.evidence
        assert one.series.state == STRESS
        assert one.series.kind == "RECON TOMO"
    steps = " ".join(with_ct["stress-ac"].series.image.made_by)
    assert "attenuation corrected" in steps
    assert "scatter modelled" in steps


def test_images_that_were_made_are_stored_with_their_maps(with_ct: dict[str, SeriesResult], tmp_path: Path) -> None:
    write_result(StudyResult(series=tuple(with_ct.values())), tmp_path / "out", settings=MODEL)
    for name in ("stress-nc", "stress-ac"):
        made = with_ct[name].series.image
        assert isinstance(made, Volume)
        stored: Any = nib.load(tmp_path / "out" / name / "image.nii.gz")
        assert stored.shape == made.grid.shape
        assert np.asarray(stored.dataobj).sum() == pytest.approx(float(np.asarray(made.array).sum()), rel=1e-4)
    assert not (tmp_path / "out" / "ct").exists()


def test_correction_gives_the_wall_its_lost_counts_back(with_ct: dict[str, SeriesResult]) -> None:
    plain, corrected = with_ct["stress-nc"].heart, with_ct["stress-ac"].heart
    assert plain is not None
    assert corrected is not None
    uneven = [float(np.nanstd(h.polar_map.value) / np.nanmean(h.polar_map.value)) for h in (plain, corrected)]
    assert uneven[1] < 0.8 * uneven[0]
    assert np.nanmean(corrected.polar_map.value) > 2 * np.nanmean(plain.polar_map.value)


def test_a_ct_that_lies_beside_the_heart_is_moved_and_said_so(with_ct: dict[str, SeriesResult]) -> None:
    flag = next(f for f in with_ct["stress-ac"].flags if f.code == "mu_map_moved")
    found = [flag.evidence[key] for key in ("left_mm", "posterior_mm", "superior_mm")]
    np.testing.assert_allclose(found, [-mm for mm in BESIDE_MM], atol=7)
    assert flag.severity == "warning"


def test_gated_projections_without_a_map_give_an_image_and_its_gates_and_say_what_is_missing() -> None:
    results = by_name(studied(Study("patient", (acquired(gated=True, scatter=False),)), settings=MODEL))
    assert list(results) == ["stress-projections", "stress-nc", "stress-gated-nc"]
    assert "no_attenuation_map" in codes(results["stress-projections"])
    assert not results["stress-nc"].series.gated
    gated = results["stress-gated-nc"]
    assert gated.series.gated
    assert gated.series.kind == "RECON GATED TOMO"
    assert gated.heart is not None
    assert {q.name: q.value for q in gated.heart.quantities}["EF"] == pytest.approx(60, abs=15)


def test_a_patient_who_moved_is_told_of_and_the_views_are_moved_back(with_ct: dict[str, SeriesResult]) -> None:
    """The last two thirds of the views 15 mm further up: found, and moved back to where they fit one another."""
    still = acquired()
    assert isinstance(still.image, Projections)
    n = still.image.n_views // 3
    steps_mm = np.zeros((still.image.n_views, 2))
    steps_mm[n:, 0] = -15.0
    counts = shifted(np.asarray(still.image.counts, float), steps_mm, pixel_mm=still.image.pixel_mm)
    moved = replace(still, image=replace(still.image, counts=counts.astype(np.float32)))
    head = by_name(studied(Study("patient", (moved,)), settings=MODEL))["stress-projections"]
    assert "patient_moved" in codes(head)
    assert head.moved_back is not None
    assert head.moved_back.counts.sum() == pytest.approx(counts.sum(), rel=1e-4)

    def jump_pixels(views: np.ndarray) -> float:
        profile = views[0].sum(axis=(0, 3))
        rows = (profile * np.arange(profile.shape[1])).sum(axis=1) / profile.sum(axis=1)
        return abs(float(rows[n : n + 3].mean() - rows[n - 3 : n].mean()))

    before, after = (jump_pixels(np.asarray(v)) for v in (counts, head.moved_back.counts))
    assert after < 0.4 * before
    assert with_ct["stress-projections"].moved_back is None
    assert "patient_moved" not in codes(with_ct["stress-projections"])


def test_planar_views_give_the_lung_to_heart_ratio_and_maps_how_far_their_definitions_differ(
    with_ct: dict[str, SeriesResult],
) -> None:
    plain, corrected = with_ct["stress-nc"].heart, with_ct["stress-ac"].heart
    assert plain is not None
    assert corrected is not None
    ratio = {q.name: q for q in plain.quantities}["lung to heart ratio"]
    if ratio.value is None:
        assert ratio.reason
    else:
        assert ratio.low is not None
        assert ratio.high is not None
        assert 0 < ratio.low < ratio.value < ratio.high < 1
    assert "lung to heart ratio" not in {q.name for q in corrected.quantities}
    for found in (plain, corrected):
        differ = {q.name: q.value for q in found.quantities}
        mean, worst = (differ[f"sampling methods, {what}"] for what in ("mean difference", "worst segment"))
        assert mean is not None
        assert worst is not None
        assert 0 < mean < 15
        assert 0 < worst < 30


def test_without_a_scatter_window_the_lower_attenuation_is_used_and_said() -> None:
    study = Study("patient", (ct_series(), acquired(scatter=False)))
    corrected = by_name(studied(study, settings=MODEL))["stress-ac"]
    assert "scatter_not_measured" in codes(corrected)
    assert "mu_map_moved" not in codes(corrected)


def test_images_that_are_there_are_not_made_again() -> None:
    there = chest()[0]
    ungated, gated = acquired(), acquired("stress-gated-projections", gated=True)
    image = Series("stress", "RECON TOMO", there, state=STRESS)
    corrected = replace(image, name="stress-ac", corrected=Stated("yes", "code"))
    rest = replace(image, name="rest", state=Stated("rest", "code"))
    prone = replace(image, name="prone", position=Stated("prone", "code"))

    def wanted(series: Series, *others: Series, with_map: bool = True) -> tuple[str, ...]:
        return wanted_images(series, Study("patient", (series, *others)), with_map=with_map)

    assert wanted(ungated) == ("plain", "corrected")
    assert wanted(ungated, with_map=False) == ("plain",)
    assert wanted(ungated, rest, prone) == ("plain", "corrected")
    assert wanted(ungated, image) == ("corrected",)
    assert wanted(ungated, image, corrected) == ()
    assert wanted(gated) == ("plain", "corrected", "gated")
    # The ungated images come from the ungated projections of the same acquisition.
    assert wanted(gated, ungated) == ("gated",)


def test_given_reconstructions_are_analysed_and_their_projections_left_alone() -> None:
    image = Series("stress", "RECON TOMO", chest()[0], state=STRESS)
    results = by_name(studied(Study("patient", (image, acquired())), settings=MODEL))
    assert list(results) == ["stress", "stress-projections"]
    assert "reconstructions_given" in codes(results["stress-projections"])
    assert results["stress"].heart is not None


def test_the_map_of_the_same_place_and_position_is_chosen() -> None:
    here = replace(acquired(), frame_of_reference_sha256="here", position=Stated("supine", "code"))
    one = replace(ct_series(), name="a", frame_of_reference_sha256="elsewhere")
    same = replace(one, name="b", frame_of_reference_sha256="here")
    prone = replace(same, name="c", position=Stated("prone", "code"))
    chosen, flags = choose_map(here, Study("patient", (one, same, prone, here)))
    assert chosen is same
    assert flags == ()
    assert choose_map(here, Study("patient", (prone, here)))[1][0].code == "attenuation_map_not_used"
    mu = chest()[1]
    nameless = Series("mu", "MU MAP", Volume(mu.array, mu.grid, "unknown"))
    chosen, flags = choose_map(here, Study("patient", (nameless, here)))
    assert chosen is None
    assert "unit" in flags[0].message


def test_projections_that_cannot_be_reconstructed_say_why() -> None:
    empty = acquired()
    assert isinstance(empty.image, Projections)
    image = replace(empty.image, counts=np.zeros_like(empty.image.counts))
    results = studied(Study("patient", (replace(empty, image=image),)), settings=MODEL)
    assert len(results) == 1
    assert "no counts" in results[0].not_done[0]


@pytest.mark.skipif(not ACQUISITION.is_dir(), reason="needs the real acquisition in spect-projections")
def test_a_real_acquisition_becomes_a_heart_and_a_report(tmp_path: Path) -> None:
    result = analyze([ACQUISITION], tmp_path / "out")
    assert result.complete
    found = by_name(result.series)["stress-nc"]
    assert found.heart is not None
    assert "radius_not_believed" in codes(by_name(result.series)["stress-projections"])
    # The long axis points to the left, to anterior and a little to the feet; the heart lies left of the middle.
    left, posterior, superior = found.heart.frame.long_axis
    assert left > 0.3
    assert posterior < -0.5
    assert -0.6 < superior < 0.2
    assert 30 < found.heart.frame.centre_mm[0] < 90
    written = json.loads((tmp_path / "out" / "result.json").read_text())
    made_by = {series["name"]: series["image"]["made_by"] for series in written["series"]}
    assert any("OSEM" in step for step in made_by["stress-nc"])
    page = (tmp_path / "out" / "report.html").read_text()
    assert "OSEM" in page
    assert "reconstructed as stress-nc" in page
