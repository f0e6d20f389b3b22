import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from myoscope.core import Cohort, Column, Folds, InvalidValue

COLUMNS = (
    Column("dose_MBq", "injected activity", "MBq"),
    Column("tpd_percent", "total perfusion deficit", "%"),
    Column("obstructive_cad", "stenosis of 70 % or more in any vessel"),
    Column("sex", "F or M"),
)


def cohort(n: int = 40, *, patients: int = 25, seed: int = 3) -> Cohort:
    rng = np.random.default_rng(seed)
    patient = np.array([f"p{i}" for i in rng.integers(0, patients, n)])
    values = {
        "dose_MBq": rng.uniform(250, 900, n),
        "tpd_percent": np.where(rng.random(n) < 0.1, np.nan, rng.uniform(0, 40, n)),
        "obstructive_cad": rng.random(n) < 0.4,
        "sex": rng.choice(["F", "M"], n),
    }
    return Cohort(patient, np.array([f"s{i}" for i in range(n)]), COLUMNS, values, (f"seed {seed}",))


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 8), st.integers(0, 2**32 - 1), st.sampled_from([None, "obstructive_cad", "tpd_percent"]))
def test_no_patient_is_ever_trained_on_and_tested_on(n_folds: int, seed: int, even: str | None) -> None:
    studies = cohort()
    folds = studies.split_by_patient(n_folds, rng=np.random.default_rng(seed), even=even)
    tested = np.concatenate([folds.test_rows(k) for k in range(n_folds)])
    np.testing.assert_array_equal(np.sort(tested), np.arange(len(studies)))
    for k in range(n_folds):
        here, there = folds.test_rows(k), folds.training_rows(k)
        assert here.size + there.size == len(studies)
        assert not set(studies.patient[here]) & set(studies.patient[there])


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 8), st.integers(0, 2**32 - 1))
def test_folds_hold_nearly_the_same_number_of_patients(n_folds: int, seed: int) -> None:
    studies = cohort()
    folds = studies.split_by_patient(n_folds, rng=np.random.default_rng(seed))
    sizes = [np.unique(studies.patient[folds.test_rows(k)]).size for k in range(n_folds)]
    assert max(sizes) - min(sizes) <= 1


def test_disease_is_dealt_out_evenly_when_asked() -> None:
    studies = cohort(400, patients=400)
    folds = studies.split_by_patient(5, rng=np.random.default_rng(0), even="obstructive_cad")
    ill = [
        sum(studies["obstructive_cad"][studies.patient == p].any() for p in set(studies.patient[folds.test_rows(k)]))
        for k in range(5)
    ]
    assert max(ill) - min(ill) <= 1


def test_the_same_seed_gives_the_same_folds_and_another_seed_others() -> None:
    studies = cohort()
    one, same, other = (studies.split_by_patient(5, rng=np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.fold, same.fold)
    assert (one.fold != other.fold).any()
    assert one.cohort_sha256 == studies.sha256


def test_a_patient_in_two_folds_cannot_be_constructed() -> None:
    with pytest.raises(InvalidValue, match="a patient is in two folds"):
        Folds(np.array(["a", "b", "a"]), np.array([0, 1, 1]), "hash")


@pytest.mark.parametrize("fold", [[0, 0, 0], [0, 2, 2], [1, 2, 2], [-1, 0, 1]])
def test_folds_are_counted_from_zero_without_a_gap(fold: list[int]) -> None:
    with pytest.raises(InvalidValue, match="numbered from 0"):
        Folds(np.array(["a", "b", "c"]), np.array(fold), "hash")


@pytest.mark.parametrize("n_folds", [0, 1, 26])
def test_an_impossible_number_of_folds_is_refused(n_folds: int) -> None:
    with pytest.raises(InvalidValue, match="cannot be split"):
        cohort(200).split_by_patient(n_folds, rng=np.random.default_rng(0))


def test_a_fold_that_is_not_there_is_refused() -> None:
    folds = cohort().split_by_patient(3, rng=np.random.default_rng(0))
    with pytest.raises(InvalidValue, match="folds 0 to 2"):
        folds.test_rows(3)
    assert repr(folds).startswith("Folds(3 folds of ")


def test_the_hash_is_of_the_values_and_nothing_else() -> None:
    base = cohort()
    assert base.sha256 == cohort().sha256
    assert base.sha256 == Cohort(base.patient, base.study, base.columns[::-1], base.values, ("told otherwise",)).sha256
    padded = {**base.values, "sex": base.values["sex"].astype("<U9")}
    assert base.sha256 == Cohort(base.patient, base.study, base.columns, padded).sha256
    big_endian = {**base.values, "dose_MBq": base.values["dose_MBq"].astype(">f8")}
    assert base.sha256 == Cohort(base.patient, base.study, base.columns, big_endian).sha256
    changed = {**base.values, "dose_MBq": base.values["dose_MBq"] + 1e-9}
    assert base.sha256 != Cohort(base.patient, base.study, base.columns, changed).sha256
    assert base.sha256 != cohort(seed=4).sha256


def test_a_column_of_whole_numbers_has_a_hash() -> None:
    names = np.array(["a", "b"])
    one = Cohort(names, names, (Column("sss", "summed stress score"),), {"sss": np.array([3, 0])})
    two = Cohort(names, names, (Column("sss", "summed stress score"),), {"sss": np.array([3, 1])})
    assert one.sha256 != two.sha256


def test_rows_keep_patients_columns_and_history() -> None:
    base = cohort()
    women = base.rows(base["sex"] == "F", "women only")
    assert set(women["sex"]) == {"F"}
    assert women.made_by == ("seed 3", "women only")
    assert len(women) == int((base["sex"] == "F").sum())
    np.testing.assert_array_equal(base.rows([3, 1], "two").study, ["s3", "s1"])


@pytest.mark.parametrize(
    ("name", "unit", "message"),
    [
        ("dose", "MBq", "ends in _MBq"),
        ("flow_mL", "mL/min/g", "ends in _mL_min_g"),
        ("tpd", "%", "ends in _percent"),
        ("2nd", "", "starting with a letter"),
        ("a b", "", "starting with a letter"),
    ],
)
def test_a_column_wears_its_unit(name: str, unit: str, message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        Column(name, "something", unit)


def test_a_column_is_documented() -> None:
    assert Column("flow_mL_min_g", "stress flow", "mL/min/g").unit == "mL/min/g"
    with pytest.raises(InvalidValue, match="what it means"):
        Column("sex", "")


def test_tables_that_do_not_fit_are_refused() -> None:
    base = cohort()
    parts = {"patient": base.patient, "study": base.study, "columns": base.columns, "values": base.values}

    def refused(message: str, **changes: object) -> None:
        with pytest.raises(InvalidValue, match=message):
            Cohort(**{**parts, **changes})  # type: ignore[arg-type]

    refused("patient identifiers but", study=base.study[:-1])
    refused("appear twice", study=base.study[[0, *range(39)]])
    refused("not the same", columns=base.columns[:-1])
    refused("not the same", columns=(*base.columns[:-1], base.columns[0]))
    refused("each of 40 rows", values={**base.values, "sex": base.values["sex"][:-1]})
    refused("each of 40 rows", values={**base.values, "sex": np.full(40, None)})
    refused("a word per row", patient=np.arange(40))
    refused("empty patient", patient=np.array([""] * 40))
    refused("schema 2", schema_version=2)
    with pytest.raises(InvalidValue, match="no column 'age_years'"):
        base["age_years"]


def test_a_cohort_cannot_be_changed() -> None:
    base = cohort()
    with pytest.raises(ValueError, match="read-only"):
        base["dose_MBq"][0] = 1
    with pytest.raises(ValueError, match="read-only"):
        base.patient[0] = "someone else"


def test_a_cohort_says_how_large_it_is() -> None:
    base = cohort()
    assert repr(base) == f"Cohort(40 studies of {base.n_patients} patients, 4 columns, sha256 {base.sha256[:12]})"
