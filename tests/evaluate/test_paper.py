"""Subgroups, conformal sets, abstention, and the one call for the table and plots of a paper."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from myoscope.core import InvalidValue
from myoscope.evaluate import (
    ExplainedCurves,
    Score,
    auc,
    bands,
    clustered_share,
    conformal_thresholds,
    draw_explained,
    paper,
    risk_coverage,
    risk_coverage_band,
    set_accuracy,
    subgroups,
)

FloatArray = NDArray[np.float64]


def _patients(n: int, seed: int, *, strength: float = 1.2) -> tuple[NDArray[np.bool_], FloatArray]:
    rng = np.random.default_rng(seed)
    odds = rng.normal(0, strength, n)
    return rng.random(n) < expit(odds), expit(odds)


def test_a_subgroup_has_the_figures_of_its_rows_alone() -> None:
    y, p = _patients(400, 1)
    sex = np.where(np.random.default_rng(2).random(400) < 0.4, "F", "M")
    (factor,) = subgroups(y, p, {"sex": sex})
    assert [level.level for level in factor.levels] == ["F", "M"]
    assert sum(level.n for level in factor.levels) == 400
    women = factor.levels[0]
    assert women.auc is not None
    assert women.auc.value == auc(y[sex == "F"], p[sex == "F"]).value
    assert women.observed == y[sex == "F"].mean()
    assert women.mean_predicted == p[sex == "F"].mean()


def test_levels_that_differ_are_told_from_levels_that_do_not() -> None:
    rng = np.random.default_rng(3)
    y, p = _patients(1500, 3)
    site = np.array(["north", "coast", "harbour"])[rng.integers(0, 3, 1500)]
    worse = np.where(site == "coast", rng.permutation(p), p)
    alike, apart = (subgroups(y, score, {"site": site})[0].p_equal_auc for score in (p, worse))
    assert alike > 0.05
    assert apart < 0.001


def test_chance_calls_levels_different_as_often_as_it_says() -> None:
    found = []
    for seed in range(300):
        y, p = _patients(300, seed)
        found.append(subgroups(y, p, {"half": np.arange(300) % 2})[0].p_equal_auc < 0.05)
    assert 0.02 < np.mean(found) < 0.09


def test_small_and_missing_levels_say_so() -> None:
    y, p = _patients(100, 4)
    bmi = np.r_[np.full(60, 27.0), np.full(34, 33.0), np.full(6, np.nan)]
    (factor,) = subgroups(y, p, {"BMI": bands(bmi, [25, 30])})
    missing = factor.levels[-1]
    assert missing.level == "missing"
    assert missing.auc is None
    assert "with and" in missing.reason


@pytest.mark.parametrize("by_class", [False, True])
def test_conformal_sets_miss_as_rarely_as_promised_even_for_a_bad_model(by_class: bool) -> None:
    coverage = []
    for seed in range(200):
        y, p = _patients(300, seed)
        p = np.clip(p**3 + 0.1 * np.random.default_rng(seed).random(300), 0, 1)  # badly calibrated
        thresholds = conformal_thresholds(y[:150], p[:150], miscoverage=0.2, by_class=by_class)
        found = set_accuracy(y[150:], thresholds.sets(p[150:]))
        coverage.append((found.coverage.value, found.coverage_with.value, found.coverage_without.value))
    whole, with_outcome, without = np.mean(coverage, axis=0)
    assert 0.79 < whole < 0.84
    if by_class:
        assert min(with_outcome, without) > 0.79


def test_a_better_model_gives_smaller_sets() -> None:
    single = []
    for strength in (0.5, 3.0):
        y, p = _patients(2000, 5, strength=strength)
        thresholds = conformal_thresholds(y[:1000], p[:1000])
        found = set_accuracy(y[1000:], thresholds.sets(p[1000:]))
        single.append(found.single)
        assert found.single + found.both + found.empty == pytest.approx(1)
    assert single[1] > single[0] + 0.2


def test_a_promise_that_too_few_patients_cannot_keep_is_refused() -> None:
    y, p = np.arange(20) % 2 == 0, np.linspace(0.1, 0.9, 20)
    with pytest.raises(InvalidValue, match="at least 19 are needed"):
        conformal_thresholds(y, p, miscoverage=0.05)


def test_abstaining_by_the_loss_itself_is_best_and_by_nothing_saves_nothing() -> None:
    loss = np.random.default_rng(6).random(500)
    knowing = risk_coverage(loss, loss)
    assert knowing.area == pytest.approx(knowing.area_best)
    assert (np.diff(knowing.risk) >= 0).all()
    blind = risk_coverage(loss, np.zeros(500))
    assert blind.area == pytest.approx(blind.area_at_random)
    assert blind.risk[-1] == pytest.approx(loss.mean())
    wrong = risk_coverage(loss, -loss)
    assert wrong.area > wrong.area_at_random


def test_the_band_of_risk_over_coverage_is_about_the_same_curve() -> None:
    rng = np.random.default_rng(11)
    loss, doubt = rng.random(400), np.round(rng.random(400), 1)  # many are equally doubtful
    whole, band = risk_coverage(loss, doubt), risk_coverage_band(loss, doubt, rng=rng, resamples=200)
    np.testing.assert_allclose(band.risk, whole.risk[np.rint(band.coverage * 400).astype(int) - 1], rtol=1e-9)
    assert band.saved.value == pytest.approx(whole.area_at_random - whole.area)
    assert band.risk[-1] == pytest.approx(band.at_random)
    assert band.best.max() <= band.at_random + 1e-12
    assert (band.low[5:] < band.risk[5:]).all()
    assert (band.risk[5:] < band.high[5:]).all()
    assert not band.saved.excludes_zero


def test_doubt_that_knows_where_the_loss_is_saves_and_repeated_rows_do_not_narrow_it() -> None:
    rng = np.random.default_rng(12)
    doubt = rng.random(150)
    loss = doubt**2 + 0.1 * rng.random(150)
    once = risk_coverage_band(loss, doubt, rng=np.random.default_rng(0), resamples=300).saved
    patient = np.tile(np.arange(150), 3)
    thrice = risk_coverage_band(
        np.tile(loss, 3), np.tile(doubt, 3), rng=np.random.default_rng(0), cluster=patient, resamples=300
    ).saved
    assert once.low > 0
    assert thrice.high - thrice.low == pytest.approx(once.high - once.low, rel=0.1)


def test_rows_of_one_patient_count_for_fewer() -> None:
    held = np.random.default_rng(13).random(200) < 0.7
    plain = clustered_share(held, np.arange(200))
    same = clustered_share(np.tile(held, 4), np.tile(np.arange(200), 4))
    assert plain.method == "Wilson"
    assert same.n == 800
    assert same.high - same.low == pytest.approx(plain.high - plain.low, rel=0.02)


def _curves(method: str, steepness: float) -> ExplainedCurves:
    rng = np.random.default_rng(14)
    share = np.linspace(0, 1, 21)
    power = steepness * np.exp(rng.normal(0, 0.3, 25))[:, None]
    return ExplainedCurves(method, share, (1 - share) ** power, 1 - (1 - share) ** power)


def test_areas_of_explanations_are_those_of_their_curves() -> None:
    curves = _curves("occlusion", 3.0)
    deleted, inserted = (curves.area(which, rng=np.random.default_rng(0)) for which in ("deletion", "insertion"))
    mean = [one.value for one in curves.means("deletion", rng=np.random.default_rng(0))]
    assert deleted.value == pytest.approx(np.trapezoid(mean, curves.share))
    assert deleted.value + inserted.value == pytest.approx(1)
    assert deleted.high < 0.5 < inserted.low
    with pytest.raises(InvalidValue, match="a value per patient and share"):
        ExplainedCurves("x", np.linspace(0, 1, 3), np.zeros((2, 4)), np.zeros((2, 4)))


def _comparison() -> tuple[NDArray[np.bool_], FloatArray, FloatArray, FloatArray]:
    rng = np.random.default_rng(70)
    y, p = _patients(600, 7)
    tpd = np.clip(6 + 4 * np.log(p / (1 - p)) + rng.normal(0, 6, 600), 0, None)
    return y, p, tpd, np.repeat(np.arange(200), 3).astype(float)


def test_one_call_makes_the_table_of_a_paper() -> None:
    y, p, tpd, vessel_of = _comparison()
    model, fair = Score.of_probability("DL", p), Score.of_probability("fair", np.clip(p * 0.8, 0, 1))
    table = paper(
        y,
        [Score("TPD", tpd, threshold=5.0), model, fair],
        reference="TPD",
        rng=np.random.default_rng(0),
        cluster=vessel_of,
        unit="vessels",
        resamples=60,
    )
    row = table.row("DL")
    assert row.auc == auc(y, p, cluster=vessel_of)
    assert row.difference is not None
    assert row.difference.excludes_zero
    assert row.sensitivity is not None
    assert row.sensitivity.difference.value > 0
    assert row.nri is None  # the reference is no probability
    assert table.row("TPD").calibration is None
    text = table.markdown()
    assert "n = 600 vessels of 200 patients" in text
    assert text.count("\n") > 8
    assert all(line.count("|") == 5 for line in text.splitlines() if line.startswith("|"))
    assert "cannot be negative" in text.splitlines()[-1]


def test_between_probabilities_reclassification_is_said_too(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    y, p, _, _ = _comparison()
    old = expit(0.4 * np.log(p / (1 - p)) + np.random.default_rng(8).normal(0, 0.5, 600))
    table = paper(
        y,
        [Score.of_probability("old", old), Score.of_probability("new", p)],
        reference="old",
        rng=np.random.default_rng(0),
        resamples=60,
    )
    row = table.row("new")
    assert row.nri is not None
    assert row.nri.total.value == pytest.approx(row.nri.events.value + row.nri.nonevents.value)
    assert row.sensitivity is None  # the reference has no usual threshold
    table.draw(tmp_path / "figure.png", rng=np.random.default_rng(0), resamples=30)
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_abstention_and_explanations_are_drawn_by_the_call_that_draws_the_others(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    from PIL import Image

    y, p, tpd, _ = _comparison()
    doubt = np.abs(y - p) + np.random.default_rng(15).normal(0, 0.3, y.size)
    scores = [Score("TPD", tpd, threshold=5.0), Score.of_probability("DL", p, doubt=doubt)]
    sizes = []
    for explained in ((), (_curves("occlusion", 3.0), _curves("random order", 1.0))):
        table = paper(y, scores, reference="TPD", rng=np.random.default_rng(0), explained=explained, resamples=60)
        table.draw(tmp_path / "figure.png", rng=np.random.default_rng(0), title="a " * 200, resamples=30)
        with Image.open(tmp_path / "figure.png") as picture:
            sizes.append(picture.size)
    assert sizes == [(924, 924), (1386, 924)]
    row = table.row("DL")
    assert row.abstaining is not None
    assert row.abstaining.saved.low > 0
    assert table.row("TPD").abstaining is None
    text = table.markdown()
    assert "saved by leaving out the most doubtful" in text
    assert "| occlusion | 25 |" in text
    draw_explained(table.explained, tmp_path / "explained.svg", rng=np.random.default_rng(0), resamples=30)
    assert (tmp_path / "explained.svg").read_text().startswith("<?xml")


def test_scores_of_one_name_or_without_their_reference_are_refused() -> None:
    y, p, _, _ = _comparison()
    twice = [Score.of_probability("a", p), Score.of_probability("a", p)]
    with pytest.raises(InvalidValue, match="different names"):
        paper(y, twice, reference="a", rng=np.random.default_rng(0))
    with pytest.raises(InvalidValue, match="one of them 'TPD'"):
        paper(y, twice[:1], reference="TPD", rng=np.random.default_rng(0))
