"""The tests of explanations, tested: a true explanation passes, a picture of something else fails."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from myoscope.core import InvalidValue
from myoscope.explain import (
    chance_of_hit,
    faithfulness,
    grad_cam,
    grad_cam_plus_plus,
    gradient_shap,
    integrated_gradients,
    likeness,
    lowest_segment_hits,
    plane,
    point_at,
    stability,
)
from myoscope.explain.cam import enlarged
from myoscope.simulate.deficit import SEGMENT_OF_PLACE

FloatArray = NDArray[np.float64]
SEGMENT = np.asarray(SEGMENT_OF_PLACE)
REGION = np.isin(SEGMENT, [3, 4, 9, 10, 15])


def test_pointing_tells_a_true_place_from_a_wrong_one() -> None:
    right, wrong = np.zeros((40, 72)), np.zeros((40, 72))
    right[SEGMENT == 10], wrong[SEGMENT == 7] = 1, 1
    assert point_at(right, REGION, SEGMENT).hit
    assert not point_at(wrong, REGION, SEGMENT).hit
    assert point_at(REGION.astype(float), REGION, SEGMENT).dice == 1
    assert point_at(right, REGION, SEGMENT).overlap == 1
    assert point_at(wrong, REGION, SEGMENT).overlap == 0


def test_an_even_picture_points_as_well_as_chance() -> None:
    even = point_at(np.ones((40, 72)), REGION, SEGMENT)
    assert even.overlap == pytest.approx(REGION.mean())
    assert chance_of_hit(REGION, SEGMENT) == pytest.approx(5 / 17)
    hits = [point_at(np.random.default_rng(n).random((40, 72)), REGION, SEGMENT).hit for n in range(400)]
    assert np.mean(hits) == pytest.approx(5 / 17, abs=0.08)


def test_the_darkest_segment_is_a_rule_of_its_own() -> None:
    counts = np.ones((40, 72))
    counts[SEGMENT == 4] = 0.5
    counts[SEGMENT == 12] = np.nan
    assert lowest_segment_hits(counts, REGION, SEGMENT)
    counts[SEGMENT == 7] = 0.3
    assert not lowest_segment_hits(counts, REGION, SEGMENT)


def test_a_region_that_is_everything_or_nothing_is_refused() -> None:
    for region in (np.zeros((40, 72), bool), np.ones((40, 72), bool)):
        with pytest.raises(InvalidValue, match="neither empty nor the whole wall"):
            point_at(np.ones((40, 72)), region, SEGMENT)


def _model(maps: NDArray[Any]) -> FloatArray:
    return np.asarray(-maps[:, 0, 20:30, 10:20].sum(axis=(1, 2)))


def test_the_true_order_is_more_faithful_than_a_random_and_a_reversed_one() -> None:
    rng = np.random.default_rng(1)
    maps, normal = rng.uniform(0.2, 0.9, (1, 40, 72)), np.ones((1, 40, 72))
    truth = np.zeros((40, 72))
    truth[20:30, 10:20] = (normal - maps)[0, 20:30, 10:20]
    good, bad = (faithfulness(_model, maps, normal, picture) for picture in (truth, -truth))
    assert good.deletion[0] == good.insertion[-1]
    assert good.deletion_area < 0.1
    assert good.insertion_area > 0.9
    assert bad.deletion_area > 0.5 > bad.insertion_area
    blind = [faithfulness(_model, maps, normal, rng.random((40, 72))) for _ in range(30)]
    assert np.mean([one.deletion_area for one in blind]) == pytest.approx(0.5, abs=0.02)
    assert np.mean([one.insertion_area for one in blind]) == pytest.approx(0.5, abs=0.02)


def test_where_nothing_differs_there_is_nothing_to_explain() -> None:
    same = np.ones((1, 40, 72))
    assert np.isnan(faithfulness(_model, same, same, np.ones((40, 72))).deletion_area)


def test_likeness_is_one_for_the_same_order_and_nothing_for_a_flat_picture() -> None:
    picture = np.random.default_rng(2).random((40, 72))
    assert likeness(picture, np.exp(picture)) == pytest.approx(1)
    assert likeness(picture, -picture) == pytest.approx(-1)
    assert likeness(picture, np.ones((40, 72))) == 0
    assert abs(likeness(picture, np.random.default_rng(3).random((40, 72)))) < 0.06


def test_a_steady_method_is_stable_and_an_erratic_one_is_not() -> None:
    maps = np.random.default_rng(4).random((2, 40, 72))
    rng = np.random.default_rng(5)
    steady = stability(lambda x: x.mean(axis=0), maps, noise=0.01, rng=np.random.default_rng(0))
    erratic = stability(lambda x: rng.random(x.shape[1:]), maps, noise=0.01, rng=np.random.default_rng(0))
    assert steady.least > 0.95
    assert abs(erratic.mean) < 0.1


torch = pytest.importorskip("torch", reason="torch is not installed")


def _inputs() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(6)
    return rng.uniform(0, 1, (2, 40, 72)).astype(np.float32), np.ones((2, 40, 72), np.float32)


def _smooth(maps: Any) -> Any:
    """Differentiable, not linear, blind to what is missing; looks at the second map's rings 20 to 29."""
    seen = torch.nan_to_num(maps)
    return torch.tanh(-0.01 * seen[:, 1, 20:30].sum(dim=(1, 2))) + 0.001 * seen[:, 0].sum(dim=(1, 2))


def test_integrated_gradients_add_up_and_agree_with_a_sum_over_the_line() -> None:
    pytest.importorskip("captum", reason="captum is not installed (pip install myoscope[train])")
    maps, normal = _inputs()
    found = integrated_gradients(_smooth, maps, normal, target="log-odds", baseline_name="a normal heart")
    with torch.no_grad():
        difference = float(_smooth(torch.from_numpy(maps[None]))[0] - _smooth(torch.from_numpy(normal[None]))[0])
    assert found.completeness_gap == pytest.approx(difference - found.total, abs=1e-5)
    assert abs(found.completeness_gap or 0) < 1e-3
    line = np.zeros_like(maps)
    for share in (np.arange(200) + 0.5) / 200:
        at = torch.from_numpy(normal + np.float32(share) * (maps - normal))[None].requires_grad_(True)
        (gradient,) = torch.autograd.grad(_smooth(at).sum(), at)
        line += gradient[0].numpy() / 200
    assert found.attribution == pytest.approx(line * (maps - normal), abs=1e-5)


def test_cells_that_were_not_seen_get_no_gradient() -> None:
    pytest.importorskip("captum", reason="captum is not installed (pip install myoscope[train])")
    maps, normal = _inputs()
    maps[1, 22] = np.nan
    found = integrated_gradients(_smooth, maps, normal, target="log-odds", baseline_name="a normal heart")
    assert not found.attribution[1, 22].any()
    assert abs(found.completeness_gap or 0) < 1e-3


def test_gradient_shap_adds_up_on_average_and_leaves_the_global_generator_alone() -> None:
    pytest.importorskip("captum", reason="captum is not installed (pip install myoscope[train])")
    maps, normal = _inputs()
    starts = np.stack([normal, 0.9 * normal, 1.1 * normal])
    before = np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
    about: dict[str, Any] = {"target": "log-odds", "baseline_name": "normal hearts", "samples": 200}
    first, again = (gradient_shap(_smooth, maps, starts, rng=np.random.default_rng(1), **about) for _ in range(2))
    assert np.array_equal(first.attribution, again.attribution)
    assert abs(first.completeness_gap or 9) < 0.1 * abs(first.total)
    assert np.array_equal(np.random.get_state()[1], before)  # type: ignore[index]  # noqa: NPY002


def _cnn() -> tuple[Any, Any]:
    """One feature that fires on dark cells of the first map, one on bright cells; only the first one counts."""

    def features(maps: Any) -> Any:
        pooled = torch.nn.functional.avg_pool2d(maps[:, :1], (8, 8))
        return torch.cat([torch.relu(0.7 - pooled), torch.relu(pooled)], dim=1)

    def head(found: Any) -> Any:
        return 3 * found[:, 0].mean(dim=(1, 2)) + 0 * found[:, 1].mean(dim=(1, 2))

    return features, head


@pytest.mark.parametrize("method", [grad_cam, grad_cam_plus_plus])
def test_a_class_activation_map_shows_the_feature_that_counts(method: Any) -> None:
    maps = np.ones((2, 40, 72), np.float32)
    maps[0, 16:24, 32:40] = 0.2
    found = method(*_cnn(), torch.from_numpy(maps), target="log-odds")
    assert found.input_shape == (40, 72)
    assert found.completeness_gap is None
    ring, angle = np.unravel_index(np.argmax(plane(found)), (40, 72))
    assert 16 <= ring < 24
    assert 32 <= angle < 40
    assert (plane(found) >= 0).all()


def test_enlarging_keeps_even_pictures_even_and_goes_round() -> None:
    assert enlarged(np.full((5, 9), 2.0), (40, 72)) == pytest.approx(np.full((40, 72), 2.0))
    coarse = np.zeros((5, 9))
    coarse[2, 0] = 1
    fine = enlarged(coarse, (40, 72))
    assert fine[20, 3] == pytest.approx(fine[20, 4])
    assert fine[20, -1] > 0.3  # on the other side of angle 0
    assert enlarged(np.roll(coarse, 3, 1), (40, 72)) == pytest.approx(np.roll(fine, 24, 1))
