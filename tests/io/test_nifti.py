"""NIfTI out and back, with nibabel and SimpleITK as readers that know nothing of ours."""

import gzip
import itertools
from pathlib import Path
from typing import Any

import nibabel as typed_nibabel
import numpy as np
import pytest

from myoscope.core import Gating, Grid, InvalidValue, MyoscopeError, UnreadableFile, UnsupportedFile, Volume
from myoscope.io import read_nifti, write_nifti

nibabel: Any = typed_nibabel  # its own annotations cover half of it

MASKS = Path(__file__).parents[3] / "shared/data/physionet-mps/masks"
ORIENTATIONS = list(itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)))
SHAPE = (5, 6, 7)
CORNERS = np.array(list(itertools.product((0, 4), (0, 5), (0, 6))))


def grid(axes: np.ndarray, spacing: tuple[float, float, float] = (2.0, 3.0, 4.0)) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing
    affine[:3, 3] = (-42.2, 208.8, 573.7)
    return Grid(SHAPE, affine)


def tilted() -> np.ndarray:
    axes, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))
    return axes


def counts(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).poisson(300, SHAPE).astype(np.int16)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_orientation_reads_back_to_the_same_voxels_in_the_same_place(
    tmp_path: Path, orientation: tuple[tuple[int, ...], tuple[int, ...]]
) -> None:
    import SimpleITK

    order, signs = orientation
    volume = Volume(counts(), grid(np.eye(3)[:, list(order)] * signs), "counts")
    path = tmp_path / "v.nii"
    write_nifti(volume, path)

    ours = read_nifti(path)
    assert ours.grid.same_place(volume.grid, tolerance_mm=1e-3)
    np.testing.assert_array_equal(ours.array, volume.array)

    theirs = nibabel.load(path)
    np.testing.assert_array_equal(np.asarray(theirs.dataobj), volume.array)
    for affine in (theirs.get_sform(), theirs.get_qform()):
        ras = nibabel.affines.apply_affine(affine, CORNERS)
        np.testing.assert_allclose(ras * (-1, -1, 1), volume.grid.to_mm(CORNERS), atol=1e-3)

    itk: Any = SimpleITK.ReadImage(str(path))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(itk).T, volume.array)
    for corner in CORNERS:
        place = itk.TransformIndexToPhysicalPoint([int(n) for n in corner])
        np.testing.assert_allclose(place, volume.grid.to_mm(corner), atol=1e-3)


def test_an_oblique_grid_has_the_same_sform_and_qform(tmp_path: Path) -> None:
    for mirror in (1, -1):
        axes = tilted() * (1, 1, mirror)
        write_nifti(Volume(counts(), grid(axes), "counts"), tmp_path / "v.nii")
        image = nibabel.load(tmp_path / "v.nii")
        np.testing.assert_allclose(image.get_sform(), image.get_qform(), atol=1e-4)
        assert read_nifti(tmp_path / "v.nii").grid.same_place(grid(axes), tolerance_mm=1e-3)


def test_a_sheared_grid_has_no_qform_and_keeps_its_place(tmp_path: Path) -> None:
    sheared = np.eye(3)
    sheared[0, 2] = 0.3
    write_nifti(Volume(counts(), grid(sheared), "counts"), tmp_path / "v.nii")
    header = nibabel.load(tmp_path / "v.nii").header
    assert (int(header["qform_code"]), int(header["sform_code"])) == (0, 1)
    assert read_nifti(tmp_path / "v.nii").grid.same_place(grid(sheared), tolerance_mm=1e-3)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize(
    "dtype",
    [
        "bool",
        "int8",
        "uint8",
        "int16",
        "uint16",
        "int32",
        "uint32",
        "int64",
        "uint64",
        "float32",
        "float64",
        ">i2",
        ">f8",
    ],
)
def test_every_type_of_voxel_comes_back_with_its_values(tmp_path: Path, dtype: str, suffix: str) -> None:
    import SimpleITK

    rng = np.random.default_rng(1)
    values = rng.normal(0, 50, SHAPE) if "f" in dtype else rng.integers(0, 2 if dtype == "bool" else 120, SHAPE)
    array = values.astype(dtype)
    path = tmp_path / f"v{suffix}"
    write_nifti(Volume(array, grid(np.eye(3)), "counts"), path)
    back = read_nifti(path).array
    assert back.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(back, array)
    np.testing.assert_array_equal(np.asarray(nibabel.load(path).dataobj), array)
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))).T, array)


def test_half_precision_is_widened_without_loss(tmp_path: Path) -> None:
    array = np.random.default_rng(2).normal(size=SHAPE).astype(np.float16)
    write_nifti(Volume(array, grid(np.eye(3)), "counts"), tmp_path / "v.nii")
    back = read_nifti(tmp_path / "v.nii").array
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize("dtype", [complex, np.longdouble])
def test_what_nifti_cannot_hold_is_refused(tmp_path: Path, dtype: type) -> None:
    if np.dtype(dtype).itemsize == 8:
        pytest.skip("extended precision is double precision here")
    with pytest.raises(InvalidValue, match="real numbers up to 64 bits"):
        write_nifti(Volume(np.ones(SHAPE, dtype), grid(np.eye(3)), "counts"), tmp_path / "v.nii")
    assert not list(tmp_path.iterdir())


def test_missing_voxels_stay_missing(tmp_path: Path) -> None:
    array = np.ones(SHAPE)
    array[0, 0, 0], array[1, 1, 1] = np.nan, np.inf
    write_nifti(Volume(array, grid(np.eye(3)), "counts"), tmp_path / "v.nii.gz")
    np.testing.assert_array_equal(read_nifti(tmp_path / "v.nii.gz").array, array)


def test_gates_come_back_in_order_with_their_gating(tmp_path: Path) -> None:
    array = np.random.default_rng(4).poisson(40, (8, *SHAPE)).astype(np.uint16)
    beats = np.array([1200, 30])  # numpy's integers, as a reader may have them
    gating = Gating(8, 823.0, 700, 950, accepted_beats=beats[0], rejected_beats=beats[1])
    volume = Volume(array, grid(tilted()), "counts", ("simulated", "gated"), "gate", gating)
    write_nifti(volume, tmp_path / "v.nii.gz")
    back = read_nifti(tmp_path / "v.nii.gz")
    np.testing.assert_array_equal(back.array, array)
    assert (back.unit, back.made_by, back.frame_axis, back.gating) == (
        "counts",
        ("simulated", "gated"),
        "gate",
        gating,
    )
    image = nibabel.load(tmp_path / "v.nii.gz")
    np.testing.assert_array_equal(np.moveaxis(np.asarray(image.dataobj), -1, 0), array)
    assert image.header.get_xyzt_units() == ("mm", "msec")
    assert image.header.get_zooms()[3] == pytest.approx(823 / 8)


@pytest.mark.parametrize("n", [1, 3])
def test_time_frames_come_back_with_their_uneven_times(tmp_path: Path, n: int) -> None:
    start, duration = np.array([0.0, 5, 15])[:n], np.array([5.0, 10, 60])[:n]
    array = np.random.default_rng(5).normal(size=(n, *SHAPE))
    write_nifti(Volume(array, grid(np.eye(3)), "Bq/mL", (), "time", None, start, duration), tmp_path / "v.nii")
    back = read_nifti(tmp_path / "v.nii")
    np.testing.assert_array_equal(back.array, array)
    np.testing.assert_array_equal(back.frame_start_s, start)
    np.testing.assert_array_equal(back.frame_duration_s, duration)
    assert back.frame_axis == "time"


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_the_same_volume_gives_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    volume = Volume(counts(), grid(tilted()), "counts")
    write_nifti(volume, tmp_path / f"a{suffix}")
    write_nifti(volume, tmp_path / f"b{suffix}")
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_a_mask_is_a_mask_again_and_the_unit_is_in_the_header_for_others(tmp_path: Path) -> None:
    write_nifti(Volume(counts() > 300, grid(np.eye(3)), "mask"), tmp_path / "wall.nii.gz")
    back = read_nifti(tmp_path / "wall.nii.gz")
    assert back.array.dtype == bool
    assert back.unit == "mask"
    header = nibabel.load(tmp_path / "wall.nii.gz").header
    assert header["descrip"].item() == b"Myoscope; unit mask"


def test_a_file_from_elsewhere_has_an_unknown_unit_unless_told(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(counts(), np.diag([4.0, 4, 4, 1])), tmp_path / "v.nii")
    assert read_nifti(tmp_path / "v.nii").unit == "unknown"
    told = read_nifti(tmp_path / "v.nii", unit="counts")
    assert told.unit == "counts"
    assert told.grid.orientation == "RAS"
    np.testing.assert_allclose(told.grid.to_mm((1, 2, 3)), (-4, -8, 12))


def test_a_scaled_file_gives_values_and_an_unscaled_one_keeps_its_type(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(counts(), np.eye(4))
    image.header.set_slope_inter(0.5, 10)
    nibabel.save(image, tmp_path / "v.nii")
    stored = nibabel.load(tmp_path / "v.nii")
    back = read_nifti(tmp_path / "v.nii")
    assert back.array.dtype == np.float64
    np.testing.assert_allclose(back.array, stored.get_fdata())


def test_distances_in_metres_become_millimetres(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(counts(), np.diag([0.004, 0.004, 0.004, 1]))
    image.header.set_xyzt_units("meter")
    nibabel.save(image, tmp_path / "v.nii")
    np.testing.assert_allclose(read_nifti(tmp_path / "v.nii").grid.spacing_mm, 4, rtol=1e-6)


def test_the_sform_is_believed_and_a_different_qform_is_mentioned(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(counts(), np.diag([4.0, 4, 4, 1]))
    moved = np.diag([4.0, 4, 4, 1])
    moved[0, 3] = 30
    image.set_sform(np.diag([4.0, 4, 4, 1]), code=1)
    image.set_qform(moved, code=1)
    nibabel.save(image, tmp_path / "v.nii")
    back = read_nifti(tmp_path / "v.nii")
    np.testing.assert_allclose(back.grid.to_mm((0, 0, 0)), 0)
    assert back.made_by == ("placed by the sform; the qform differs by up to 30.0 mm",)


def test_four_axes_need_a_word_on_what_the_fourth_is(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((*SHAPE, 8), np.int16), np.eye(4))
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_zooms((1, 1, 1, 2.5))
    nibabel.save(image, tmp_path / "v.nii")
    with pytest.raises(UnsupportedFile, match="gates or times"):
        read_nifti(tmp_path / "v.nii")
    assert read_nifti(tmp_path / "v.nii", frame_axis="gate").frame_axis == "gate"
    dynamic = read_nifti(tmp_path / "v.nii", frame_axis="time")
    assert dynamic.frame_duration_s is not None
    assert dynamic.frame_start_s is not None
    np.testing.assert_allclose(dynamic.frame_duration_s, 2.5)
    np.testing.assert_allclose(dynamic.frame_start_s, 2.5 * np.arange(8.0))


def test_what_the_file_says_cannot_be_talked_away(tmp_path: Path) -> None:
    write_nifti(Volume(np.zeros((8, *SHAPE)), grid(np.eye(3)), "counts", (), "gate"), tmp_path / "v.nii")
    with pytest.raises(InvalidValue, match="is in counts, not Bq/mL"):
        read_nifti(tmp_path / "v.nii", unit="Bq/mL")
    with pytest.raises(InvalidValue, match="frames are gates, not times"):
        read_nifti(tmp_path / "v.nii", frame_axis="time")


def edited(path: Path, **fields: object) -> Path:
    """A sound file with some header fields overwritten behind nibabel's back."""
    nibabel.save(nibabel.Nifti1Image(counts(), np.diag([4.0, 4, 4, 1])), path)
    raw = bytearray(path.read_bytes())
    header = np.frombuffer(raw, nibabel.nifti1.header_dtype, 1)[0].copy()
    for name, value in fields.items():
        header[name] = value
    raw[:348] = header.tobytes()
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"sform_code": 0, "qform_code": 0}, UnreadableFile, "neither an sform nor a qform"),
        ({"srow_x": 0}, UnreadableFile, "cannot be placed in the patient: the affine is singular"),
        ({"srow_y": np.nan}, UnreadableFile, "not made of numbers"),
        ({"pixdim": [1, 0, 4, 4, 0, 0, 0, 0], "sform_code": 0, "qform_code": 1}, UnreadableFile, "should be non-zero"),
        ({"pixdim": [1, np.nan, 4, 4, 0, 0, 0, 0]}, UnreadableFile, "voxel size that is not a number"),
        ({"datatype": 32, "bitpix": 64, "dim": [3, 5, 6, 3, 1, 1, 1, 1]}, UnsupportedFile, "colours or complex"),
        ({"datatype": 128, "bitpix": 24, "dim": [3, 5, 6, 4, 1, 1, 1, 1]}, UnsupportedFile, "colours or complex"),
        ({"dim": [2, 5, 6, 1, 1, 1, 1, 1]}, UnsupportedFile, "2 axes"),
        ({"dim": [3, 500, 600, 700, 1, 1, 1, 1]}, UnreadableFile, "damaged or truncated"),
        ({"dim": [3, 5, -6, 7, 1, 1, 1, 1]}, UnreadableFile, "damaged"),
        ({"datatype": 4711}, UnreadableFile, "not a readable NIfTI"),
        ({"magic": b"xx"}, UnreadableFile, "not a NIfTI file"),
        ({"xyzt_units": 5}, UnreadableFile, "unit that NIfTI does not know"),
    ],
)
def test_a_file_that_makes_no_sense_is_one_sentence(
    tmp_path: Path, fields: dict[str, object], error: type[MyoscopeError], message: str
) -> None:
    path = edited(tmp_path / "v.nii", **fields)
    with pytest.raises(error, match=message) as caught:
        read_nifti(path)
    assert str(caught.value).startswith("v.nii ")
    assert str(tmp_path) not in str(caught.value)  # a folder's name may be the patient's
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kept", [0, 10, 200, 348, 400])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_truncated_file_is_one_sentence(tmp_path: Path, kept: int, suffix: str) -> None:
    path = tmp_path / f"v{suffix}"
    write_nifti(Volume(counts(), grid(np.eye(3)), "counts"), path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UnreadableFile, match=rf"^v{suffix} "):
        read_nifti(path)


def test_a_compressed_file_with_a_flipped_bit_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "v.nii.gz"
    write_nifti(Volume(counts(), grid(np.eye(3)), "counts"), path)
    content = bytearray(gzip.decompress(path.read_bytes()))
    assert len(content) > 0
    raw = bytearray(path.read_bytes())
    raw[-5] ^= 1  # in the stored check sum
    path.write_bytes(raw)
    with pytest.raises(UnreadableFile):
        read_nifti(path)


def test_what_is_no_nifti_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.nii").write_bytes(b"not an image" * 100)
    with pytest.raises(UnreadableFile, match=r"^a.nii "):
        read_nifti(tmp_path / "a.nii")
    with pytest.raises(UnreadableFile, match=r"^b.nii does not exist$"):
        read_nifti(tmp_path / "b.nii")
    with pytest.raises(InvalidValue, match="a NIfTI file is named"):
        write_nifti(Volume(counts(), grid(np.eye(3)), "counts"), tmp_path / "v.img")


@pytest.mark.skipif(not MASKS.is_dir(), reason="the shared masks are not here")
def test_real_masks_lie_on_the_grid_that_nibabel_gives_them() -> None:
    paths = sorted(MASKS.iterdir())[:5]
    assert paths
    for path in paths:
        volume, image = read_nifti(path, unit="mask"), nibabel.load(path)
        np.testing.assert_array_equal(volume.array, np.asarray(image.dataobj))
        corner = np.array(volume.grid.shape) - 1
        ras = nibabel.affines.apply_affine(image.affine, corner)
        np.testing.assert_allclose(volume.grid.to_mm(corner), ras * (-1, -1, 1), atol=1e-4)
