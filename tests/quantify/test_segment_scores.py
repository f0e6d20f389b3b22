import numpy as np
import pytest
from normal_wall import SHAPE, limits, polar_map

from myoscope.core import InvalidValue
from myoscope.quantify import SegmentScores, category, score_segments
from myoscope.simulate.deficit import SEGMENT_OF_PLACE


@pytest.mark.parametrize(
    ("left", "score"), [(100, 0), (84, 1), (74, 1), (72, 2), (58, 2), (55, 3), (40, 3), (38, 4), (0, 4)]
)
def test_a_segment_scores_by_what_it_lost(left: float, score: int) -> None:
    """Reference section 3.4: 1 below 26.25 %, 2 below 43.75 %, 3 below 61.25 %."""
    value = np.where(SEGMENT_OF_PLACE == 8, left, 100.0)
    found = score_segments(polar_map(value), limits()).scores
    assert found[7] == score
    assert found.sum() == score


def test_a_small_defect_within_a_segment_does_not_count() -> None:
    value = np.full(SHAPE, 100.0)
    rows, columns = np.nonzero(SEGMENT_OF_PLACE == 10)
    value[rows[: len(rows) // 6], columns[: len(rows) // 6]] = 20
    assert score_segments(polar_map(value), limits()).total == 0


@pytest.mark.parametrize(("sss", "percent"), [(4, 5.882), (7, 10.294), (8, 11.765), (13, 19.118), (68, 100)])
def test_summed_scores_are_percent_of_the_highest(sss: int, percent: float) -> None:
    """Reference sections 3.2 and 9.1 (AT-05)."""
    scores = np.zeros(17)
    for n in range(sss):
        scores[n % 17] += 1
    assert SegmentScores(scores).total == sss
    assert SegmentScores(scores).percent == pytest.approx(percent, abs=5e-4)


def test_differences_are_never_negative() -> None:
    stress, rest = np.zeros(17), np.zeros(17)
    stress[3], rest[3], rest[5] = 3, 1, 2
    difference = SegmentScores(stress).minus(SegmentScores(rest))
    assert difference.total == 2


def test_a_segment_that_was_not_seen_has_no_score_and_spoils_the_sum() -> None:
    value = np.where(SEGMENT_OF_PLACE == 5, np.nan, 100.0)
    found = score_segments(polar_map(value), limits())
    assert np.isnan(found.scores[4])
    assert np.isnan(found.total)


def test_scores_beyond_four_are_refused() -> None:
    with pytest.raises(InvalidValue, match="from 0 to 4"):
        SegmentScores(np.full(17, 5.0))
    with pytest.raises(InvalidValue, match="17 or 20"):
        SegmentScores(np.zeros(16))


@pytest.mark.parametrize(("sss", "name"), [(0, "normal"), (3, "normal"), (4, "mild"), (9, "moderate"), (14, "severe")])
def test_categories_of_the_summed_stress_score(sss: float, name: str) -> None:
    assert category(sss) == name
