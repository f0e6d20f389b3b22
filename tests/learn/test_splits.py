"""Who teaches and who judges: folds, sites, how often patients are shown, examples."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from myoscope.core import InvalidValue
from myoscope.learn import (
    STRATEGIES,
    Examples,
    Split,
    cross_validation,
    external_site,
    leave_one_site_out,
    patient_groups,
    sampling_chances,
)


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def _patients(n: int = 120) -> tuple[NDArray[np.str_], NDArray[np.int64], NDArray[np.str_]]:
    """Rows of patients of whom some have several studies, an outcome, and a site."""
    rng = _rng(1)
    number = rng.integers(0, n, 2 * n)
    patient = np.array([f"p{i}" for i in number])
    return patient, (number % 3 == 0).astype(int), np.array(["north", "coast", "harbour"])[number % 3]


def test_a_patient_on_two_sides_cannot_be_constructed() -> None:
    patient = np.array(["a", "a", "b", "c"])
    with pytest.raises(InvalidValue, match="1 patients are in training and in test"):
        Split("x", patient, np.array([0, 2]), np.array([], int), np.array([1, 3]))
    with pytest.raises(InvalidValue, match="validation and in test"):
        Split("x", patient, np.array([2]), np.array([0]), np.array([1]))


def test_every_row_is_tested_once_in_each_round() -> None:
    patient, outcome, _ = _patients()
    splits = cross_validation(patient, folds=5, repeats=3, rng=_rng(), even=outcome)
    assert len(splits) == 15
    for start in (0, 5, 10):
        tested = np.concatenate([s.test for s in splits[start : start + 5]])
        assert np.array_equal(np.sort(tested), np.arange(patient.size))
    for split in splits:
        assert split.training.size + split.validation.size + split.test.size == patient.size
    assert not np.array_equal(splits[0].test, splits[5].test)


def test_outcomes_are_dealt_out_evenly_over_patients() -> None:
    patient, outcome, _ = _patients()
    group = patient_groups(patient, 6, rng=_rng(), even=outcome)
    names, first = np.unique(patient, return_index=True)
    counts = np.array([[np.sum(group[first] == g), outcome[first][group[first] == g].sum()] for g in range(6)])
    assert names.size == counts[:, 0].sum()
    assert np.ptp(counts[:, 0]) <= 1
    assert np.ptp(counts[:, 1]) <= 1


def test_nested_folds_never_look_at_the_outer_test_rows() -> None:
    patient, outcome, _ = _patients()
    for outer in cross_validation(patient, folds=4, rng=_rng(), even=outcome, inner_folds=3):
        assert len(outer.inner) == 3
        seen = np.concatenate([inner.test for inner in outer.inner])
        assert np.array_equal(np.sort(seen), np.sort(np.concatenate([outer.training, outer.validation])))
        for inner in outer.inner:
            rows = np.concatenate([inner.training, inner.validation, inner.test])
            assert not set(patient[rows]) & set(patient[outer.test])


def test_a_site_left_out_teaches_nothing() -> None:
    patient, outcome, site = _patients()
    splits = leave_one_site_out(patient, site, rng=_rng(), even=outcome)
    assert [s.name for s in splits] == ["external coast", "external harbour", "external north"]
    for split, name in zip(splits, ("coast", "harbour", "north"), strict=True):
        assert set(site[split.test]) == {name}
        assert name not in site[np.concatenate([split.training, split.validation])]
        share = split.validation.size / (split.validation.size + split.training.size)
        assert 0.08 < share < 0.22


def test_an_external_site_that_is_not_there_is_refused() -> None:
    patient, _, site = _patients()
    with pytest.raises(InvalidValue, match="there are coast, harbour, north"):
        external_site(patient, site, ["hillside"], rng=_rng())
    with pytest.raises(InvalidValue, match="needs another one"):
        leave_one_site_out(patient[site == "north"], site[site == "north"], rng=_rng())


def test_the_same_seed_gives_the_same_folds() -> None:
    patient, _, _ = _patients()
    first, again, other = (patient_groups(patient, 4, rng=_rng(seed)) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_chances_of_being_shown_add_up_to_one(strategy: str) -> None:
    outcome = np.array([0, 0, 1, 1, 1, np.nan])
    chances = sampling_chances(outcome, strategy=strategy, times=3, tpd_percent=[1, 5, 1, 9, 9, 1])  # type: ignore[arg-type]
    assert chances.sum() == pytest.approx(1)
    assert (chances > 0).all()


def test_those_without_disease_are_shown_as_often_as_asked() -> None:
    outcome, tpd = np.array([0, 0, 1, 1, 1]), np.array([1.0, 5.0, 1.0, 8.0, 9.0])
    plain = sampling_chances(outcome, strategy="without disease", times=4)
    assert plain * 11 == pytest.approx([4, 4, 1, 1, 1])
    strict = sampling_chances(outcome, strategy="without disease or defect", times=4, tpd_percent=tpd)
    assert strict * 8 == pytest.approx([4, 1, 1, 1, 1])
    half = sampling_chances(outcome, strategy="balanced")
    assert half[:2].sum() == pytest.approx(0.5)
    with pytest.raises(InvalidValue, match="known by their TPD"):
        sampling_chances(outcome, strategy="without disease or defect", times=4)


def _examples() -> Examples:
    rng = _rng(2)
    maps = rng.random((4, 2, 6, 8)).astype(np.float32)
    maps[1, 1] = np.nan
    return Examples(
        np.array(["a", "b", "c", "c"]),
        np.array(["a1", "b1", "c1", "c2"]),
        maps,
        ("raw", "severity"),
        np.array([[60.0], [np.nan], [70.0], [71.0]]),
        ("age_y",),
        np.array([[1.0, 0.0], [0.0, np.nan], [1.0, 1.0], [0.0, 0.0]]),
        ("LAD", "RCA"),
        "f" * 64,
        {"site": np.array(["n", "n", "c", "c"])},
    )


def test_rows_of_examples_keep_everything_together() -> None:
    examples = _examples()
    some = examples.rows([2, 0])
    assert some.study.tolist() == ["c1", "a1"]
    assert np.array_equal(some.maps[0], examples.maps[2])
    assert some.target("LAD").tolist() == [1, 1]
    assert some.about["site"].tolist() == ["c", "n"]
    assert "LAD 4, RCA 3" in repr(examples)
    with pytest.raises(InvalidValue, match="there are LAD, RCA"):
        examples.target("LCx")


def test_examples_that_do_not_fit_are_refused() -> None:
    good = _examples()
    parts = {name: getattr(good, name) for name in good.__slots__}
    with pytest.raises(InvalidValue, match="maps of 4 studies and 1 names"):
        Examples(**{**parts, "channels": ("raw",)})
    with pytest.raises(InvalidValue, match="infinite"):
        Examples(**{**parts, "covariates": np.full((4, 1), np.inf)})
    with pytest.raises(InvalidValue, match="site needs one value for each of 4"):
        Examples(**{**parts, "about": {"site": np.array(["n"])}})


def test_sites_are_left_out_with_nested_folds_of_the_others() -> None:
    patient, outcome, site = _patients()
    splits = leave_one_site_out(patient, site, rng=_rng(), even=outcome, inner_folds=3)
    assert [split.name for split in splits] == ["external coast", "external harbour", "external north"]
    for split in splits:
        assert len(split.inner) == 3
        tested = set(patient[split.test].tolist())
        for inner in split.inner:
            used = np.concatenate([inner.training, inner.validation, inner.test])
            assert not tested & set(patient[used].tolist())
            assert used.size + split.test.size == patient.size
    with pytest.raises(InvalidValue, match="nested folds are at least 3"):
        leave_one_site_out(patient, site, rng=_rng(), inner_folds=2)
    with pytest.raises(InvalidValue, match="at least one round"):
        cross_validation(patient, folds=3, repeats=0, rng=_rng())
