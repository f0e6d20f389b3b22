"""The pipeline from files to results: what it promises, and laws that must hold whatever the numbers."""

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from myoscope import io
from myoscope.analyze import Settings, analyze, analyze_series, like_training_set
from myoscope.core import CardiacFrame, Grid, OutputError, Series, SeriesResult, Stated, Volume
from myoscope.simulate import Cycle, lv_phantom

DICOM = Path(__file__).resolve().parents[2] / "shared" / "data" / "physionet-mps" / "dicom"
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
