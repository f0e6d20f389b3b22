"""The learned left-ventricle finder, with its shipped weights."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from myoscope.core import InvalidValue, MyoscopeError
from myoscope.heart import learned
from myoscope.heart.learned import LearnedWall, segment_wall

_REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "physionet-mps"
_CENTRE_MM = np.array([6.0, -12.0, 20.0])


def _heart(
    *, spacing_mm: float = 4.0, shape: tuple[int, int, int] = (64, 64, 50), centre_mm: Any = _CENTRE_MM
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_]]:
    """An LV-sized half-ellipsoid shell in a dim chest, blurred like SPECT: activity, affine, voxels above 40 %."""
    affine = np.diag([spacing_mm] * 3 + [1.0])
    affine[:3, 3] = -spacing_mm * (np.array(shape) - 1) / 2
    points_mm = np.moveaxis(np.indices(shape), 0, -1) * spacing_mm + affine[:3, 3] - np.asarray(centre_mm)
    axis = np.array([0.65, -0.65, -0.4])
    along = points_mm @ (axis / np.linalg.norm(axis))
    across = np.sqrt(np.maximum((points_mm**2).sum(-1) - along**2, 0))
    outer = (along / 48) ** 2 + (across / 34) ** 2 < 1
    inner = (along / 36) ** 2 + (across / 22) ** 2 < 1
    wall = outer & ~inner & (along > -28)
    activity = ndimage.gaussian_filter(1000.0 * wall + 60.0, 5.0 / spacing_mm)
    return activity.astype(np.float32), affine, activity > 0.4 * activity.max()


@pytest.fixture(scope="module")
def reference() -> tuple[NDArray[np.float32], LearnedWall]:
    return segment_wall(*_heart()[:2])


def _dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


def test_importing_the_finder_imports_neither_torch_nor_onnxruntime() -> None:
    asked = "import myoscope.heart.learned, sys; sys.exit(bool({'torch', 'onnxruntime'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", asked], check=False).returncode == 0


def test_a_simulated_heart_is_outlined(reference: tuple[NDArray[np.float32], LearnedWall]) -> None:
    activity, affine, wall = _heart()
    probability, found = reference
    assert found.located, found.reason
    assert probability.shape == activity.shape
    assert probability.dtype == np.float32
    assert _dice(found.mask, wall) > 0.7
    true_centre_mm = np.argwhere(wall).mean(axis=0) * 4 + affine[:3, 3]
    assert np.linalg.norm(found.centre_mm - true_centre_mm) < 6


def test_the_unit_of_activity_does_not_matter(reference: tuple[NDArray[np.float32], LearnedWall]) -> None:
    activity, affine, _ = _heart()
    _, found = segment_wall((activity * 1e6).astype(np.float64), affine)
    assert _dice(found.mask, reference[1].mask) > 0.995


def test_a_heart_far_from_the_middle_is_found() -> None:
    for offset_mm in ([55, 10, 10], [-40, -45, -25]):
        activity, affine, wall = _heart(shape=(70, 70, 70), centre_mm=offset_mm)
        _, found = segment_wall(activity, affine)
        assert found.located, found.reason
        true_centre_mm = np.argwhere(wall).mean(axis=0) * 4 + affine[:3, 3]
        assert np.linalg.norm(found.centre_mm - true_centre_mm) < 8


def test_other_voxel_sizes_give_the_same_place_and_volume(
    reference: tuple[NDArray[np.float32], LearnedWall],
) -> None:
    for spacing_mm, shape in ((6.4, (64, 64, 40)), (2.5, (110, 110, 80))):
        activity, affine, _ = _heart(spacing_mm=spacing_mm, shape=shape)
        _, found = segment_wall(activity, affine)
        assert found.located, found.reason
        assert np.linalg.norm(found.centre_mm - reference[1].centre_mm) < 4
        assert found.volume_mL == pytest.approx(reference[1].volume_mL, rel=0.2)


def test_the_order_and_sense_of_stored_axes_do_not_matter(
    reference: tuple[NDArray[np.float32], LearnedWall],
) -> None:
    activity, affine, _ = _heart()
    # Stored as (k, i reversed, j), with the affine that says so.
    turned = activity.transpose(2, 0, 1)[:, ::-1]
    columns = affine[:3, :3]
    turned_affine = np.eye(4)
    turned_affine[:3, :3] = np.stack([columns[:, 2], -columns[:, 0], columns[:, 1]], axis=1)
    turned_affine[:3, 3] = affine[:3, 3] + columns[:, 0] * (activity.shape[0] - 1)
    turned_probability, found = segment_wall(turned, turned_affine)
    np.testing.assert_allclose(found.centre_mm, reference[1].centre_mm, atol=0.5)
    np.testing.assert_allclose(turned_probability, reference[0].transpose(2, 0, 1)[:, ::-1], atol=0.05)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda a: a * 0, "holds no activity"),
        (lambda a: -a, "holds no activity"),
        (lambda a: np.where(a == a.max(), np.nan, a), "not finite"),
        (lambda a: np.where(a == a.max(), np.inf, a), "not finite"),
        (lambda a: np.ones_like(a), "as bright as its surroundings"),
        (lambda a: np.random.default_rng(0).random(a.shape), ""),
    ],
)
def test_an_image_without_a_heart_gives_a_reason_and_no_number(spoil: Any, reason: str) -> None:
    activity, affine, _ = _heart()
    probability, found = segment_wall(spoil(activity), affine)
    assert not found.located
    assert reason in found.reason
    assert found.reason
    assert np.isnan([*found.centre_mm, found.volume_mL, found.confidence]).all()
    assert not found.mask.any()
    assert not probability.any()


def test_a_gated_series_is_refused_as_a_whole() -> None:
    with pytest.raises(InvalidValue, match="three-dimensional"):
        segment_wall(np.ones((8, 4, 4, 4)), np.eye(4))


def test_a_singular_affine_is_refused() -> None:
    with pytest.raises(InvalidValue, match="invertible"):
        segment_wall(np.ones((4, 4, 4)), np.zeros((4, 4)))


def test_a_model_with_another_hash_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    shipped = resources.files("myoscope.heart") / "weights"
    (weights / "lv_wall.json").write_bytes((shipped / "lv_wall.json").read_bytes())
    (weights / "lv_wall.onnx").write_bytes((shipped / "lv_wall.onnx").read_bytes() + b"x")
    monkeypatch.setattr(resources, "files", lambda _: tmp_path)
    learned.load_networks.cache_clear()
    with pytest.raises(MyoscopeError, match="not the released model"):
        segment_wall(*_heart()[:2])
    learned.load_networks.cache_clear()


def test_shipped_graph_and_shipped_weights_are_the_same_network() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed (pip install myoscope[train])")
    from myoscope.learn import load_weights, run_onnx
    from myoscope.learn.segmentation import SideBySide
    from myoscope.systems.lv_wall import LvWallSettings, build_networks

    with resources.as_file(resources.files("myoscope.heart") / "weights") as folder:
        facts = json.loads((folder / "lv_wall.json").read_text(encoding="utf-8"))
        settings: dict[str, Any] = {
            name: tuple(v) if isinstance(v, list) else v for name, v in facts["settings"].items()
        }
        pair = SideBySide(*build_networks(LvWallSettings(**settings)))
        load_weights(pair, folder / "lv_wall.safetensors", sha256=facts["sha256"]["lv_wall.safetensors"])
        rng = np.random.default_rng(0)
        inputs = {name: rng.random((1, 1, 32, 32, 32), dtype=np.float32) for name in ("coarse", "fine")}
        answers = run_onnx(folder / "lv_wall.onnx", inputs, ("coarse_logit", "fine_logit"))
    with torch.no_grad():
        expected = pair(*(torch.from_numpy(value) for value in inputs.values()))
    for ours, theirs in zip(answers, expected, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-3)


@pytest.mark.skipif(not _REAL.is_dir(), reason="the shared real scans are not beside this checkout")
def test_real_scans_are_found_where_their_readers_outlined_them() -> None:
    """On scans the shipped weights were taught on: a check of the chain, no measure of quality (docs/validation)."""
    from myoscope.systems.lv_wall import prepare

    scans = prepare(_REAL)
    assert len(scans) == 53
    for scan in (scans[0], scans[-1]):
        _, found = segment_wall(scan.activity, scan.affine_lps)
        assert found.located, found.reason
        assert _dice(found.mask, scan.wall) > 0.8
