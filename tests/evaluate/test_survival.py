"""Censored follow-up: golden values, lifelines, and truth that was simulated."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from myoscope.core import InvalidValue
from myoscope.evaluate import (
    FollowUpTimes,
    auc,
    brier_at,
    censoring_curve,
    cumulative_incidence,
    dynamic_auc,
    harrell_c,
    incidence_at,
    integrated_brier,
    kaplan_meier,
    uno_c,
)

FloatArray = NDArray[np.float64]

# Acceptance test AT-19 of the project's quantification reference, computed there with scikit-survival 0.28.
TEN = FollowUpTimes(np.arange(1.0, 11), np.array([1, 0, 1, 1, 0, 1, 0, 1, 0, 0]))
RISK = np.array([0.9, 0.5, 0.8, 0.4, 0.45, 0.7, 0.2, 0.3, 0.35, 0.1])


def _patients(n: int, seed: int, *, lost: float = 0.08) -> tuple[FollowUpTimes, FloatArray, FloatArray]:
    """Two competing events whose hazards hang on a marker; times, the marker, and the times without censoring."""
    rng = np.random.default_rng(seed)
    marker = rng.normal(size=n)
    first = rng.exponential(1 / (0.10 * np.exp(0.8 * marker)))
    second = rng.exponential(1 / (0.05 * np.exp(0.3 * marker)))
    censored = rng.exponential(1 / lost, n)
    time = np.minimum(first, second)
    kind = np.where(first < second, 1, 2)
    seen = time < censored
    return FollowUpTimes(np.minimum(time, censored), np.where(seen, kind, 0)), marker, time


def test_golden_dynamic_areas_and_concordances() -> None:
    assert dynamic_auc(TEN, RISK, [4.5, 6.5, 8.5]) == pytest.approx([0.884615, 1.0, 0.859375], abs=1e-6)
    assert harrell_c(TEN, RISK) == pytest.approx(0.892857, abs=1e-6)
    assert uno_c(TEN, RISK, tau=8.5) == pytest.approx(0.852861, abs=1e-6)


def test_kaplan_meier_and_harrell_agree_with_lifelines() -> None:
    lifelines = pytest.importorskip("lifelines", reason="lifelines is not installed")
    follow_up, marker, _ = _patients(300, 1)
    time = np.ceil(follow_up.time * 4) / 4  # with ties
    event = follow_up.event > 0
    ours = kaplan_meier(time, event)
    theirs = lifelines.KaplanMeierFitter().fit(time, event)
    at = np.arange(0, 12, 0.3)
    assert ours.at(at) == pytest.approx(theirs.survival_function_at_times(at).to_numpy(), abs=1e-12)
    c = lifelines.utils.concordance_index(time, -marker, event)
    assert harrell_c(FollowUpTimes(time, event.astype(int)), marker) == pytest.approx(c, abs=1e-12)


def test_aalen_johansen_agrees_with_lifelines_and_its_variance_with_repetition() -> None:
    lifelines = pytest.importorskip("lifelines", reason="lifelines is not installed")
    follow_up, _, _ = _patients(250, 2)
    theirs = lifelines.AalenJohansenFitter(calculate_variance=True).fit(
        follow_up.time, follow_up.event, event_of_interest=1
    )
    table = theirs.cumulative_density_
    at = table.index.to_numpy()
    assert cumulative_incidence(follow_up).at(at) == pytest.approx(table.iloc[:, 0].to_numpy(), abs=1e-9)
    values, errors = [], []
    for seed in range(300):
        found = incidence_at(_patients(200, seed)[0], 5.0)
        values.append(found.value)
        errors.append(found.standard_error**2)
    assert np.mean(errors) == pytest.approx(np.var(values), rel=0.2)


def test_incidences_of_all_events_and_event_free_survival_add_up_to_one() -> None:
    follow_up, _, _ = _patients(400, 3)
    at = np.linspace(0, 9, 20)
    shares = [cumulative_incidence(follow_up, event=k).at(at) for k in (1, 2)]
    free = kaplan_meier(follow_up.time, follow_up.event > 0).at(at)
    assert shares[0] + shares[1] + free == pytest.approx(np.ones(20), abs=1e-12)
    alone = 1 - kaplan_meier(follow_up.time, follow_up.event == 1).at(9.0)
    assert alone > shares[0][-1]  # what competes makes it rarer


def test_without_censoring_dynamic_area_and_brier_are_the_plain_ones() -> None:
    _, marker, time = _patients(300, 4)
    follow_up = FollowUpTimes(time, np.ones(300, int))
    done = time <= 4.0
    assert dynamic_auc(follow_up, marker, 4.0)[0] == pytest.approx(auc(done, marker).value, abs=1e-12)
    p = 1 / (1 + np.exp(-marker))
    assert brier_at(follow_up, p, 4.0)[0] == pytest.approx(np.mean((p - done) ** 2), abs=1e-12)


def test_weighting_undoes_censoring() -> None:
    areas, naive, scores = [], [], []
    for seed in range(30):
        follow_up, marker, time = _patients(600, seed, lost=0.25)
        any_event = FollowUpTimes(follow_up.time, (follow_up.event > 0).astype(int))
        true = auc(time <= 4.0, marker).value
        areas.append(dynamic_auc(any_event, marker, 4.0)[0] - true)
        p = np.clip(0.4 + 0.15 * marker, 0, 1)
        scores.append(brier_at(any_event, p, 4.0)[0] - np.mean((p - (time <= 4.0)) ** 2))
        naive.append(
            np.mean((p - ((follow_up.time <= 4.0) & (follow_up.event > 0))) ** 2) - np.mean((p - (time <= 4.0)) ** 2)
        )
    assert abs(np.mean(areas)) < 0.01
    assert abs(np.mean(scores)) < 0.005
    assert abs(np.mean(naive)) > 0.01


def test_unos_concordance_does_not_hang_on_censoring_and_harrells_does() -> None:
    uno, harrell = {}, {}
    for lost in (0.02, 0.5):
        found = [_patients(800, seed, lost=lost) for seed in range(25)]
        both = [(FollowUpTimes(f.time, (f.event > 0).astype(int)), m + 0.3 * f.time.clip(0, 2)) for f, m, _ in found]
        uno[lost] = np.mean([uno_c(f, m, tau=4.0) for f, m in both])
        harrell[lost] = np.mean([harrell_c(f, m) for f, m in both])
    assert abs(uno[0.5] - uno[0.02]) < abs(harrell[0.5] - harrell[0.02])


def test_the_two_kinds_of_controls_ask_two_questions() -> None:
    follow_up, marker, _ = _patients(2000, 5)
    free = dynamic_auc(follow_up, marker, 5.0, controls="free of any event")[0]
    of_this = dynamic_auc(follow_up, marker, 5.0, controls="free of this event")[0]
    assert free > of_this  # those with the other event have high markers too
    one_kind = FollowUpTimes(follow_up.time, (follow_up.event > 0).astype(int))
    assert dynamic_auc(one_kind, marker, 5.0)[0] == dynamic_auc(one_kind, marker, 5.0, controls="free of this event")[0]


def test_of_an_event_and_a_loss_at_one_time_the_event_comes_first() -> None:
    curve = censoring_curve(FollowUpTimes(np.array([1.0, 1.0, 2.0, 3.0]), np.array([1, 0, 0, 1])))
    assert curve.at(1.0) == pytest.approx(1 - 1 / 3)
    assert curve.before(1.0) == 1


def test_integrated_brier_of_a_constant_is_that_constant() -> None:
    follow_up = FollowUpTimes(np.arange(1.0, 21), np.ones(20, int))
    half = np.full((20, 3), 0.5)
    assert integrated_brier(follow_up, half, [3.5, 6.5, 12.5]) == pytest.approx(0.25)


@pytest.mark.parametrize("call", [lambda: dynamic_auc(TEN, RISK, 11.0), lambda: brier_at(TEN, RISK, 11.0)])
def test_a_time_beyond_all_follow_up_is_refused(call) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InvalidValue, match="nobody is followed beyond 11"):
        call()


def test_follow_up_without_comparable_patients_is_refused() -> None:
    with pytest.raises(InvalidValue, match="no two patients can be compared"):
        harrell_c(FollowUpTimes(np.array([1.0, 2.0]), np.array([0, 1])), [0.1, 0.2])
