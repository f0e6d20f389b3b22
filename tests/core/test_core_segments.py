"""The segment models; angles, codes and territories are those of the quantification reference, section 1.3 (AT-02)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from myoscope.core import (
    SEGMENTS_17,
    SEGMENTS_20,
    VESSEL_SNOMED,
    VESSELS,
    InvalidValue,
    segment_number,
    segment_table,
    territory_map,
)

DEGREES = np.arange(360)
# Written out degree by degree from the reference, not computed as the code does.
BASAL = {1: (60, 120), 2: (120, 180), 3: (180, 240), 4: (240, 300), 5: (300, 360), 6: (0, 60)}
APICAL = {13: ((45, 135),), 14: ((135, 225),), 15: ((225, 315),), 16: ((315, 360), (0, 45))}
SNOMED = {
    **{1: "264850008", 2: "396482007", 3: "396646008", 4: "264846001", 5: "396652009", 6: "396654005"},
    **{7: "264848000", 8: "396647004", 9: "396649001", 10: "264847005", 11: "396655006", 12: "396656007"},
    **{13: "264844003", 14: "264845002", 15: "264849008", 16: "264853005", 17: "128564006"},
}


def expected(ranges: dict[int, tuple[tuple[int, int], ...]]) -> np.ndarray:
    number = np.zeros(360, int)
    for segment, spans in ranges.items():
        for start, end in spans:
            assert (number[start:end] == 0).all()
            number[start:end] = segment
    assert (number > 0).all()
    return number


def sixths(first: int) -> np.ndarray:
    return expected({first + n - 1: (span,) for n, span in BASAL.items()})


def test_the_17_segments_degree_by_degree() -> None:
    np.testing.assert_array_equal(segment_number(0.9, DEGREES, apex=False), sixths(1))
    np.testing.assert_array_equal(segment_number(0.5, DEGREES, apex=False), sixths(7))
    np.testing.assert_array_equal(segment_number(0.1, DEGREES, apex=False), expected(APICAL))
    np.testing.assert_array_equal(segment_number(-0.1, DEGREES, apex=True), np.full(360, 17))


def test_the_20_segments_degree_by_degree() -> None:
    np.testing.assert_array_equal(segment_number(0.9, DEGREES, apex=False, model=20), sixths(13))
    np.testing.assert_array_equal(segment_number(0.5, DEGREES, apex=False, model=20), sixths(7))
    np.testing.assert_array_equal(segment_number(0.1, DEGREES, apex=False, model=20), sixths(1))
    apex = segment_number(-0.1, DEGREES, apex=True, model=20)
    np.testing.assert_array_equal(apex, np.where(DEGREES < 180, 19, 20))


def test_the_long_axis_is_cut_in_thirds() -> None:
    fraction = np.array([0.0, 0.3333, 0.3334, 0.6666, 0.6667, 1.0])
    np.testing.assert_array_equal(segment_number(fraction, 90, apex=False), [13, 13, 7, 7, 1, 1])


def test_the_wall_above_the_valve_plane_counts_as_basal_and_below_the_cavity_end_as_apical() -> None:
    np.testing.assert_array_equal(segment_number([1.4, -0.4], 90, apex=False), [1, 13])


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 1), st.integers(0, 359), st.integers(-3, 3), st.sampled_from([17, 20]))
def test_a_whole_turn_changes_nothing(fraction: float, angle: int, turns: int, model: int) -> None:
    here = segment_number(fraction, angle, apex=False, model=model)  # type: ignore[arg-type]
    there = segment_number(fraction, angle + 360 * turns, apex=False, model=model)  # type: ignore[arg-type]
    assert here == there


def test_the_17_codes() -> None:
    assert {s.number: s.snomed for s in SEGMENTS_17} == SNOMED
    assert VESSEL_SNOMED == {"LAD": "59438005", "LCx": "57396003", "RCA": "13647002", "LM": "3227004"}


def test_a_place_of_the_20_segment_model_has_the_code_of_the_17_segment_model() -> None:
    by_name = {s.name: s.snomed for s in SEGMENTS_17}
    shared = [s for s in SEGMENTS_20 if s.level in ("basal", "mid")]
    assert len(shared) == 12
    assert all(s.snomed == by_name[s.name] for s in shared)


@pytest.mark.parametrize("table", [SEGMENTS_17, SEGMENTS_20])
def test_segments_are_numbered_in_order_with_names_of_their_own(table: tuple) -> None:  # type: ignore[type-arg]
    assert [s.number for s in table] == list(range(1, len(table) + 1))
    assert len({s.name for s in table}) == len(table)


@pytest.mark.parametrize("model", [17, 20])
def test_the_table_and_the_lookup_agree_in_the_middle_of_every_segment(model: int) -> None:
    fraction = {"basal": 0.9, "mid": 0.5, "apical": 0.1, "apex": -0.1}
    for s in segment_table(model):  # type: ignore[arg-type]
        middle = (s.start_deg + s.end_deg) / 2
        number = segment_number(fraction[s.level], middle, apex=s.level == "apex", model=model)  # type: ignore[arg-type]
        assert number == s.number


@pytest.mark.parametrize(("word", "angle"), [("anterior", 90), ("septal", 180), ("inferior", 270), ("lateral", 0)])
def test_the_four_walls_are_where_the_display_has_them(word: str, angle: int) -> None:
    number = int(segment_number(0.1, angle, apex=False))
    assert SEGMENTS_17[number - 1].name == f"apical {word}"


def test_the_territories_of_the_17_segments() -> None:
    vessel = {n: VESSELS[i] for n, i in zip(range(1, 18), territory_map(np.arange(1, 18)), strict=True)}
    assert {n for n, v in vessel.items() if v == "LAD"} == {1, 2, 7, 8, 13, 14, 17}
    assert {n for n, v in vessel.items() if v == "RCA"} == {3, 4, 9, 10, 15}
    assert {n for n, v in vessel.items() if v == "LCx"} == {5, 6, 11, 12, 16}


def test_a_wall_of_the_20_segment_model_has_the_vessel_of_the_17_segment_model() -> None:
    by_name = {s.name: s.vessel for s in SEGMENTS_17}
    assert all(s.vessel == by_name[s.name] for s in SEGMENTS_20 if s.name in by_name)


def test_arguments_broadcast() -> None:
    number = segment_number(np.array([0.1, 0.5, 0.9])[:, None], DEGREES, apex=np.array([[True], [False], [False]]))
    assert number.shape == (3, 360)
    assert number.dtype == np.int16
    assert set(number[0]) == {17}


def test_what_has_no_segment_is_refused() -> None:
    with pytest.raises(InvalidValue, match="finite"):
        segment_number(np.nan, 0, apex=False)
    with pytest.raises(InvalidValue, match="17- and a 20-segment"):
        segment_table(16)  # type: ignore[arg-type]
    with pytest.raises(InvalidValue, match="17- and a 20-segment"):
        segment_number(0.5, 0, apex=False, model=18)  # type: ignore[arg-type]
    with pytest.raises(InvalidValue, match="from 1 to 17"):
        territory_map([0, 3])
    with pytest.raises(InvalidValue, match="from 1 to 17"):
        territory_map([18])
