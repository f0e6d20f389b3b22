"""Explanations of models whose reasons are known, because they were written down."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from myoscope.core import Explanation, InvalidValue
from myoscope.explain import (
    by_segment,
    covariate_shapley,
    lime,
    map_shapley,
    occlusion,
    plane,
    region_occlusion,
    region_shapley,
    segment_probabilities,
    shapley_values,
    waterfall,
    what_if,
)
from myoscope.simulate.deficit import SEGMENT_OF_PLACE

FloatArray = NDArray[np.float64]
SEGMENT = np.asarray(SEGMENT_OF_PLACE)


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def _heart(seed: int = 0) -> tuple[FloatArray, FloatArray]:
    """A patient's maps and normal ones (2, 40, 72)."""
    rng = np.random.default_rng(seed)
    return rng.uniform(0.3, 1, (2, 40, 72)), np.ones((2, 40, 72))


def _linear(weight: FloatArray) -> Callable[[NDArray[Any]], FloatArray]:
    return lambda maps: np.asarray((maps * weight).sum(axis=(1, 2, 3)))


def _weights() -> FloatArray:
    """A model that looks at segment 10 of the first map, a little at segment 3 of the second."""
    weight = np.zeros((2, 40, 72))
    weight[0][SEGMENT == 10] = -1.0
    weight[1][SEGMENT == 3] = -0.2
    return weight


def test_shapley_values_of_a_sum_are_its_terms() -> None:
    worth = np.array([1.0, -2.0, 0.5, 0.0])
    found = shapley_values(lambda revealed: 3 + revealed @ worth, list("abcd"))
    assert found.values == pytest.approx(worth)
    assert (found.baseline, found.total, found.gap) == pytest.approx((3, 2.5, 0))


def test_shapley_values_of_a_game_worked_out_by_hand() -> None:
    """Three players; any two win 1, the first two win 2 together: values 5/6, 5/6, 1/3."""

    def game(revealed: NDArray[np.bool_]) -> FloatArray:
        together = revealed.sum(axis=1)
        first_two = revealed[:, 0] & revealed[:, 1]
        return np.where(first_two, 2.0, np.where(together >= 2, 1.0, 0.0))

    assert shapley_values(game, list("abc")).values == pytest.approx([5 / 6, 5 / 6, 1 / 3])


def test_drawn_orders_come_to_the_exact_values_and_always_add_up() -> None:
    rng = np.random.default_rng(1)
    pairs = rng.normal(size=(12, 12))

    def game(revealed: NDArray[np.bool_]) -> FloatArray:
        r = revealed.astype(float)
        return np.asarray(np.tanh(((r @ pairs) * r).sum(axis=1) / 6))

    names = [str(n) for n in range(12)]
    few, many = (shapley_values(game, names, rng=_rng(), orders=n) for n in (20, 4000))
    assert few.gap == pytest.approx(0, abs=1e-12)
    assert np.abs((few.values - many.values) / np.maximum(few.standard_error, 1e-3)).max() < 4.5
    assert many.standard_error.max() < 0.01
    with pytest.raises(InvalidValue, match="give a generator"):
        shapley_values(game, names)


def test_shapley_values_are_fair() -> None:
    """What does nothing gets nothing, and what does the same gets the same."""

    def game(revealed: NDArray[np.bool_]) -> FloatArray:
        return np.asarray((revealed[:, 0] | revealed[:, 1]).astype(float) + revealed[:, 2] * 0.7)

    a, b, c, idle = shapley_values(game, list("abcd")).values
    assert (a, b, c, idle) == pytest.approx((0.5, 0.5, 0.7, 0))


def test_whole_maps_get_what_they_add() -> None:
    maps, normal = _heart()
    found = map_shapley(_linear(_weights()), maps, normal, groups=[("perfusion", [0]), ("motion", [1])])
    each = (_weights() * (maps - normal)).sum(axis=(1, 2))
    assert found.values == pytest.approx(each)
    assert found.gap == pytest.approx(0, abs=1e-9)


def test_covariates_get_what_they_add_even_where_they_interact() -> None:
    patient, reference = np.array([70.0, 1.0, 120.0]), np.array([60.0, 0.0, 80.0])

    def model(x: NDArray[Any]) -> FloatArray:
        return np.asarray(0.1 * x[:, 0] + x[:, 1] * (x[:, 2] - 80) / 40)

    found = covariate_shapley(model, patient, reference, names=["age_y", "male", "edv_mL"])
    assert found.values == pytest.approx([1.0, 0.5, 0.5])  # the interaction is shared


@pytest.mark.parametrize("method", ["region Shapley", "region occlusion", "occlusion", "LIME"])
def test_every_method_finds_the_segment_that_the_model_looks_at(method: str) -> None:
    maps, normal = _heart()
    maps[0][SEGMENT == 10] = 0.3
    model = _linear(_weights())
    about: dict[str, Any] = {"target": "log-odds", "baseline_name": "a normal heart"}
    if method == "region Shapley":
        found = region_shapley(model, maps, normal, region=SEGMENT, rng=_rng(), orders=20, **about)
        assert found.completeness_gap == pytest.approx(0, abs=1e-9)
        assert found.total == pytest.approx(float(model(maps[None])[0] - model(normal[None])[0]))
    elif method == "region occlusion":
        found = region_occlusion(model, maps, normal, region=SEGMENT, **about)
    elif method == "occlusion":
        found = occlusion(model, maps, normal, **about)
    else:
        found = lime(model, maps, normal, region=SEGMENT, rng=_rng(), **about)
    assert isinstance(found, Explanation)
    assert found.input_shape == maps.shape
    means = by_segment(found, SEGMENT)
    assert np.argmax(means) == 9
    assert means[9] > 3 * np.median(np.abs(means))


def test_regions_of_a_sum_get_the_same_from_all_three_methods() -> None:
    maps, normal = _heart(3)
    model = _linear(_weights())
    about: dict[str, Any] = {"region": SEGMENT, "target": "log-odds", "baseline_name": "a normal heart"}
    shapley = by_segment(region_shapley(model, maps, normal, rng=_rng(), orders=10, **about), SEGMENT)
    removed = by_segment(region_occlusion(model, maps, normal, **about), SEGMENT)
    line = by_segment(lime(model, maps, normal, rng=_rng(), samples=400, **about), SEGMENT)
    assert removed == pytest.approx(shapley, abs=1e-9)
    assert line == pytest.approx(shapley, abs=2e-3 * np.abs(shapley).max())


def test_occlusion_goes_round_the_circle() -> None:
    maps, normal = _heart(4)
    weight = np.zeros((2, 40, 72))
    weight[0, 10:20, :4], weight[0, 10:20, -4:] = -1, -1  # about angle 0
    about: dict[str, Any] = {"target": "log-odds", "baseline_name": "a normal heart"}
    found = plane(occlusion(_linear(weight), maps, normal, **about))
    turned = plane(occlusion(_linear(np.roll(weight, 36, -1)), np.roll(maps, 36, -1), normal, **about))
    assert np.roll(found, 36, -1) == pytest.approx(turned)
    with pytest.raises(InvalidValue, match="leaves cells"):
        occlusion(_linear(weight), maps, normal, stride=(9, 6), **about)


def test_what_was_not_seen_gets_nothing_and_breaks_nothing() -> None:
    maps, normal = _heart(5)
    maps[1], normal[1] = np.nan, np.nan

    def model(x: NDArray[Any]) -> FloatArray:
        return np.asarray(-np.nansum(x[:, 0], axis=(1, 2)) + 5 * np.isnan(x[:, 1, 0, 0]))

    found = map_shapley(model, maps, normal, groups=[("perfusion", [0]), ("motion", [1])])
    assert found.values[1] == 0
    about: dict[str, Any] = {"target": "log-odds", "baseline_name": "a normal heart"}
    assert np.isfinite(occlusion(model, maps, normal, **about).attribution).all()


def test_a_model_that_gives_no_number_is_refused() -> None:
    maps, normal = _heart()
    with pytest.raises(InvalidValue, match="no finite number"):
        map_shapley(lambda x: np.full(len(x), np.nan), maps, normal, groups=[("a", [0]), ("b", [1])])
    with pytest.raises(InvalidValue, match="one number per input"):
        map_shapley(lambda x: np.zeros((len(x), 2)), maps, normal, groups=[("a", [0]), ("b", [1])])


def test_a_curve_is_the_model_along_one_covariate() -> None:
    patients = np.array([[60.0, 0.0], [80.0, 1.0]])

    def model(x: NDArray[Any]) -> FloatArray:
        return np.asarray(0.1 * x[:, 0] * (1 + x[:, 1]))

    found = what_if(model, patients, ("age_y", "male"), "age_y", [50, 60, 70])
    assert found.answers == pytest.approx(np.array([[5, 6, 7], [10, 12, 14]]))
    assert found.own_answer == pytest.approx([6, 16])
    assert found.own.tolist() == [60, 80]
    assert found.mean == pytest.approx([7.5, 9, 10.5])
    with pytest.raises(InvalidValue, match="there are age_y, male"):
        what_if(model, patients, ("age_y", "male"), "bmi", [20])


def test_segment_probabilities_reach_the_patients_and_no_higher() -> None:
    attribution = np.zeros((40, 72))
    attribution[SEGMENT == 10], attribution[SEGMENT == 4], attribution[SEGMENT == 1] = 2.0, 1.0, -3.0
    explanation = Explanation(attribution=attribution, input_shape=(40, 72), method="m", target="t")
    shown = segment_probabilities(explanation, SEGMENT, 0.8)
    assert shown[9] == pytest.approx(0.8)
    assert shown[3] == pytest.approx(0.4)
    assert shown[0] == 0
    flat = Explanation(attribution=np.zeros((40, 72)), input_shape=(40, 72), method="m", target="t")
    assert not segment_probabilities(flat, SEGMENT, 0.8).any()


def test_a_waterfall_leads_from_the_baseline_to_the_answer() -> None:
    steps = waterfall(["a", "b", "c", "d"], [0.1, -2.0, 0.5, 0.05], baseline=-1.0, target="log-odds", most=3)
    assert [step.name for step in steps.steps] == ["b", "c", "2 others"]
    assert steps.steps[0].start == -1
    for before, after in zip(steps.steps, steps.steps[1:], strict=False):
        assert before.end == after.start
    assert steps.total == steps.steps[-1].end == pytest.approx(-1 + 0.1 - 2 + 0.5 + 0.05)
