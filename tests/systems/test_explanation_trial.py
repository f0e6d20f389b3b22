"""Explanations held against the truth: what a perfect, a blind and a real explanation get."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from small_systems import Trained, cohorts, shared, trained_system

from myoscope import io
from myoscope.core import VESSELS, Explanation, InvalidValue
from myoscope.simulate.deficit import SEGMENT_OF_PLACE
from myoscope.systems.betancur2018 import build_from_card
from myoscope.systems.explanation import Explainer
from myoscope.systems.explanation_trial import (
    Case,
    draw_trials,
    paired_difference,
    share_of,
    trial_lines,
    truth_of,
    try_method,
    try_random_order,
    try_rules,
)

SEGMENTS = np.asarray(SEGMENT_OF_PLACE)
LATERAL = np.isin(SEGMENTS, (5, 6, 11, 12, 16))


class Known:
    """An explainer whose model adds up what is missing in a region, and whose picture is given."""

    def __init__(self, picture: NDArray[np.float64], region: NDArray[np.bool_]) -> None:
        self.picture, self.region = picture, region

    def by(self, method: str, maps: NDArray[np.float32], covariates: Any, target: int) -> Explanation:
        del covariates, target
        shape = maps.shape
        return Explanation(
            attribution=np.broadcast_to(self.picture, shape).astype(np.float64),
            input_shape=shape,
            method=method,
            target="log-odds",
        )

    def asked(self, covariates: Any, target: int) -> Any:
        del covariates, target
        return lambda maps: (100 - maps[:, 0])[:, self.region].sum(axis=1).astype(np.float64)

    def baseline(self, maps: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.full_like(maps, 100)


def _case(region: NDArray[np.bool_]) -> Case:
    maps = np.where(region, 40, 100).astype(np.float32)
    severity = np.where(region, 5, 0).astype(np.float32)
    return Case("s", maps[None], np.zeros(1, np.float32), 0, region, region, maps, severity)


def test_a_true_picture_hits_and_one_of_the_other_wall_does_not() -> None:
    case, rng = _case(LATERAL), np.random.default_rng(0)
    right: Any = Known(LATERAL.astype(float), LATERAL)
    wrong: Any = Known((~LATERAL).astype(float), LATERAL)
    found = try_method(right, wrong, "told", [case, case], rng=rng)
    assert found.hit.tolist() == [1, 1]
    assert found.random_hit.tolist() == [0, 0]
    np.testing.assert_allclose(found.overlap, 1)
    np.testing.assert_allclose(found.overlap_by_chance, LATERAL.mean())
    np.testing.assert_allclose(found.random_likeness, -1)
    np.testing.assert_allclose(found.stability, 1)
    assert (found.deletion < 0.35).all()
    assert (found.insertion > 0.65).all()
    blind = try_method(wrong, right, "told", [case], rng=rng)
    assert blind.hit.tolist() == [0]
    assert blind.deletion[0] > 0.65


def test_rules_without_a_network_find_a_plain_defect_and_chance_is_the_share_of_segments() -> None:
    rules = try_rules([_case(LATERAL)])
    assert rules["darkest segment"].tolist() == [1]
    assert rules["most abnormal segment"].tolist() == [1]
    assert rules["random segment"].tolist() == pytest.approx([5 / 17])


def test_a_dark_healthy_wall_misleads_the_darkest_segment_and_not_the_most_abnormal() -> None:
    case = _case(LATERAL)
    breast = np.where(SEGMENTS == 1, 20, case.counts).astype(np.float32)
    rules = try_rules([replace(case, counts=breast)])
    assert rules["darkest segment"].tolist() == [0]
    assert rules["most abnormal segment"].tolist() == [1]


def test_shares_and_differences_come_with_intervals() -> None:
    hits, others = np.array([1.0] * 45 + [0.0] * 5), np.array([1.0] * 30 + [0.0] * 20)
    share = share_of(hits)
    assert (share.value, share.n) == (0.9, 50)
    assert share.low < 0.9 < share.high
    difference = paired_difference(hits, others, rng=np.random.default_rng(0))
    assert difference.value == pytest.approx(0.3)
    assert difference.excludes_zero
    assert np.isnan(share_of(np.array([0.3, 0.4])).low)  # chances are no counts


@pytest.fixture(scope="module")
def taught(cohorts: tuple[io.CohortFolder, io.CohortFolder], shared: Path) -> Trained:
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("lightning_fabric", reason="lightning is not installed (pip install myoscope[train])")
    return trained_system("betancur2018", cohorts, shared)


def test_truth_is_that_of_the_study_asked_for(cohorts: tuple[io.CohortFolder, io.CohortFolder]) -> None:
    folder = cohorts[0]
    ill = np.stack([folder.cohort[f"truth_obstructive_{v.lower()}"] for v in VESSELS], axis=1).astype(float)
    studies = folder.cohort.study[[7, 2]].tolist()
    territory, defect = truth_of(folder, studies)
    for place, row in enumerate((7, 2)):
        vessel = np.rint(folder.map("truth_territory")[row]).astype(int)
        assert np.array_equal(territory[place], ill[row][vessel] > 0)
        assert defect[place].mean() < 0.9
    with pytest.raises(InvalidValue, match="has no study nobody"):
        truth_of(folder, ["nobody"])


def test_a_real_system_goes_through_the_trial(
    taught: Trained, cohorts: tuple[io.CohortFolder, io.CohortFolder], tmp_path: Path
) -> None:
    explainer = Explainer(taught.folder, "betancur2018", build_from_card)
    random = explainer.with_random_weights(1)
    examples = taught.examples
    logits = explainer.model.logits(np.array(examples.maps[:2]), np.array(examples.covariates[:2]))
    others = random._logits(np.array(examples.maps[:2]), np.array(examples.covariates[:2]))
    assert np.abs(others - logits).max() > 0.01
    again = explainer.with_random_weights(1)._logits(np.array(examples.maps[:2]), np.array(examples.covariates[:2]))
    np.testing.assert_array_equal(again, others)
    territory, defect = truth_of(cohorts[0], examples.study.tolist())
    rows = np.flatnonzero(territory.any(axis=(1, 2)) & ~territory.all(axis=(1, 2)))[:3].tolist()
    cases = [
        Case(
            str(examples.study[row]),
            np.array(examples.maps[row]),
            np.array(examples.covariates[row]),
            0,
            territory[row],
            defect[row],
            np.array(examples.maps[row, 0]),
            np.zeros((40, 72), np.float32),
        )
        for row in rows
    ]
    trials = [
        try_method(explainer, random, method, cases, rng=np.random.default_rng(0), n_noisy=1)
        for method in ("occlusion of regions", "Grad-CAM")
    ]
    for trial in trials:
        curves = trial.curves()
        areas = np.trapezoid(curves.deletion, curves.share, axis=1)
        np.testing.assert_allclose(areas, trial.deletion[np.isfinite(trial.deletion)])
        np.testing.assert_allclose(curves.insertion[:, [0, -1]], [[0, 1]] * curves.n, atol=1e-9)
        assert trial.hit.shape == (3,)
        assert np.isfinite(trial.stability[:1]).all()
        assert np.isnan(trial.stability[1:]).all()
        assert (np.abs(trial.random_likeness) <= 1).all()
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    without = try_random_order(explainer, cases, rng=np.random.default_rng(0))
    assert without.n == 3
    picture = tmp_path / "explained.png"
    draw_trials(trials, picture, rng=np.random.default_rng(0), without=without, title="three patients", resamples=20)
    assert picture.stat().st_size > 10_000
    lines = trial_lines(trials, try_rules(cases), rng=np.random.default_rng(0))
    assert sum(line.startswith("| Grad-CAM |") for line in lines) == 2
    with pytest.raises(InvalidValue, match="needs patients"):
        try_method(explainer, random, "occlusion", [], rng=np.random.default_rng(0))
