"""The tables say every number with its interval, its limit and its side of it, and why others are missing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from analytic_heart import cold_spot, even, heart_of, series_of, study_of
from measured_heart import full_study, limits, measured

from myoscope.core import Quantity, SeriesResult, Stated, StudyResult
from myoscope.report.limits_told import limits_lines, limits_note
from myoscope.report.number_tables import NumberTable, letter, number_tables
from myoscope.report.pairing import comparisons
from myoscope.report.quantity_text import format_interval, format_quantity, tell
from myoscope.report.segment_tables import segment_table_of


@pytest.fixture(scope="module")
def study() -> StudyResult:
    return full_study(cold_spot(110), even)


@pytest.fixture(scope="module")
def still() -> SeriesResult:
    return series_of("rest_nc", *heart_of(even), state=Stated("rest", "code"))


def _table(result: StudyResult, title: str) -> NumberTable:
    return next(t for t in number_tables(result).tables if t.title == title)


def _heart_with(result: SeriesResult, *quantities: Quantity) -> StudyResult:
    assert result.heart is not None
    return study_of(replace(result, heart=replace(result.heart, quantities=quantities)))


def test_a_percentage_near_its_limit_keeps_a_decimal() -> None:
    assert format_quantity(Quantity("TPD", 4.6, "%", 3.24, 11.96)) == "4.6 %"
    assert format_interval(Quantity("TPD", 4.6, "%", 3.24, 11.96)) == "3.2 to 12.0"
    assert format_quantity(Quantity("EF", 61.4, "%")) == "61 %"


@pytest.mark.parametrize(
    ("quantity", "text"),
    [
        (Quantity("SSS", 12.0, "1"), "12"),
        (Quantity("SSS", 0.0, "1"), "0"),
        (Quantity("TID", 1.0834, "1"), "1.08"),
        (Quantity("entropy", 0.4321, "1"), "0.43"),
        (Quantity("EDV", 121.7, "mL"), "122 mL"),
        (Quantity("time", 163.4, "ms"), "163 ms"),
        (Quantity("SD", 12.34, "deg"), "12.3°"),
        (Quantity("rate", 2.614, "EDV/s"), "2.61 EDV/s"),
        (Quantity("kurtosis", 19.72, "1"), "19.7"),
        (Quantity("change", -0.04, "%"), "0.0 %"),
        (Quantity("change", -4.2, "%"), "\u22124.2 %"),
        (Quantity("EF", None, "%", reason="not gated"), "—"),
    ],
)
def test_numbers_have_as_many_digits_as_mean_something(quantity: Quantity, text: str) -> None:
    assert format_quantity(quantity) == text


def test_which_side_of_the_limit_is_said_in_a_word() -> None:
    assert tell(Quantity("EF", 40.0, "%", abnormal=True, limit="from 51 %")).verdict == "abnormal"
    assert tell(Quantity("EF", 60.0, "%", abnormal=False, limit="from 51 %")).verdict == "normal"
    assert tell(Quantity("EF", 60.0, "%")).verdict == ""


def test_tables_stand_in_the_order_of_reading_and_hold_every_quantity_once(study: StudyResult) -> None:
    numbers = number_tables(study)
    assert [t.title for t in numbers.tables] == [
        "Perfusion", "Change", "Function", "Synchrony", "Shape", "Left ventricle in the image",
    ]  # fmt: skip
    told = [c.told.name for t in numbers.tables for r in t.rows for c in r.cells if c.told]
    asked = [q.name for s in study.series if s.heart for q in s.heart.quantities]
    asked += [q.name for p in study.pairs for q in p.quantities]
    assert sorted(told) == sorted(asked)


def test_parts_stand_below_what_they_belong_to(study: StudyResult) -> None:
    rows = [(r.name, r.part) for r in _table(study, "Perfusion").rows]
    assert rows[:3] == [("TPD", False), ("LAD", True), ("LCx", True)]
    assert ("SSS / SRS", False) in rows
    assert rows[rows.index(("SSS / SRS", False)) + 1] == ("percent", True)
    assert ("multi-harmonic", True) in [(r.name, r.part) for r in _table(study, "Synchrony").rows]
    image = [(r.name, r.part) for r in _table(study, "Left ventricle in the image").rows]
    assert ("Wall thickness, median", False) in image  # there is no wall thickness that it would be a part of


def test_a_summed_score_is_one_row_under_stress_and_at_rest(study: StudyResult) -> None:
    row = next(r for r in _table(study, "Perfusion").rows if r.name == "SSS / SRS")
    assert [c.told.name for c in row.cells if c.told] == ["SSS", "SRS"]
    assert study.series[1].heart is not None
    alone = study_of(study.series[1])
    assert any(r.name == "SRS" for r in _table(alone, "Perfusion").rows)


def test_limits_stand_with_their_row_and_differing_ones_with_their_state(study: StudyResult) -> None:
    rows = {r.name: r.limit for r in _table(study, "Perfusion").rows}
    assert rows["TPD"] == "abnormal from 5 %"
    assert rows["Extent"] == ""
    stress, rest = study.series
    assert rest.heart is not None
    changed = tuple(replace(q, limit="abnormal from 3 %") if q.name == "TPD" else q for q in rest.heart.quantities)
    mixed = replace(study, series=(stress, replace(rest, heart=replace(rest.heart, quantities=changed))))
    assert {r.name: r.limit for r in _table(mixed, "Perfusion").rows}["TPD"] == (
        "stress: abnormal from 5 %; rest: abnormal from 3 %"
    )


def test_a_missing_number_is_explained_and_an_interval_says_what_it_leaves_out(study: StudyResult) -> None:
    numbers = number_tables(study)
    assert numbers.reasons == ("there are no projections",)
    assert numbers.omissions == ("what other normal patients would change", "the contour")
    perfusion = next(t for t in numbers.tables if t.title == "Perfusion")
    cells = {r.name: r.cells[0] for r in perfusion.rows}
    assert cells["TPD"].marks == ("a",)
    assert cells["Lung to heart ratio"].marks == ("1",)
    assert cells["LAD"].marks == ()


def test_a_series_without_any_number_of_a_group_gets_a_sentence_and_no_column(
    study: StudyResult, still: SeriesResult
) -> None:
    mixed = replace(study, series=(*study.series, measured(still, "rest")))
    function = _table(mixed, "Function")
    assert [c.series for c in function.columns] == ["", ""]
    assert [c.series for c in _table(mixed, "Perfusion").columns] == ["stress", "rest", "rest_nc"]
    (lacking,) = number_tables(mixed).not_measured
    assert lacking.titles == ("Function", "Synchrony")
    assert lacking.series == ("rest_nc",)
    assert lacking.reasons == ("the series is not gated",)


def test_several_pairs_have_a_column_each(study: StudyResult) -> None:
    other = replace(study.pairs[0], stress="stress_ac", rest="rest_ac")
    table = _table(replace(study, pairs=(*study.pairs, other)), "Change")
    assert [c.label for c in table.columns] == ["stress to rest", "stress_ac to rest_ac"]


def test_footnote_letters_do_not_run_out() -> None:
    assert [letter(n) for n in (0, 25, 26, 27)] == ["a", "z", "aa", "ab"]


def test_the_segment_table_holds_every_kind_of_value_stress_beside_rest(study: StudyResult) -> None:
    (group,) = comparisons(study.series, study.pairs)
    table = segment_table_of(group, study.pairs[0], title="")
    assert table.headings == (
        ("Counts, % of max.", 2), ("Score, 0 to 4", 3), ("Motion, mm", 2), ("Thickening, %", 2), ("Phase, °", 2),
    )  # fmt: skip
    assert table.labels[:5] == ("Stress", "Rest", "Stress", "Rest", "Difference")
    by_name = {r.name: r.values for r in table.rows}
    assert len(by_name) == 17
    assert by_name["7 mid anterior"][4] == by_name["7 mid anterior"][2] != "0"
    assert by_name["10 mid inferior"][2:5] == ("0", "0", "0")
    assert by_name["9 mid inferoseptal"][9:] == ("140", "140")
    assert [r.values[2] for r in table.vessels] == ["", "", ""]


def test_limits_of_virtual_patients_are_called_that(study: StudyResult) -> None:
    stress, rest = limits_lines(study)
    assert stress.series == ("stress",)
    assert stress.sentence.startswith("limits of 40 virtual patients, not people: women, Tc-99m sestamibi")
    assert "signed by the maintainers" in stress.detail
    assert "5f5f5f5f5f5f" in stress.detail
    assert rest.sentence != stress.sentence
    hearts = [s.heart for s in study.series if s.heart]
    assert "40 virtual patients, not people" in limits_note(hearts)


def test_limits_of_patients_are_not_called_virtual_and_an_unsigned_file_is_called_unsigned(study: StudyResult) -> None:
    stress = study.series[0]
    assert stress.heart is not None
    real = replace(stress, heart=replace(stress.heart, limits=limits("stress", virtual=False)))
    (line,) = limits_lines(study_of(real))
    assert not line.virtual
    assert "virtual" not in line.sentence
    assert "not signed" in line.detail


def test_a_study_that_no_limits_fit_says_why_and_that_its_values_are_relative(still: SeriesResult) -> None:
    assert still.heart is not None
    reason = "the limits are for camera A, the study has B"
    (line,) = limits_lines(study_of(replace(still, heart=replace(still.heart, no_limits=(reason,)))))
    assert reason in line.sentence
    assert "relative to the heart's own maximum" in line.sentence
    assert "No normal limits were used" in limits_note([still.heart])
