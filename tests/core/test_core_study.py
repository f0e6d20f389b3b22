import numpy as np
import pytest

from myoscope.core import (
    MISSING,
    Flag,
    Gating,
    Grid,
    InvalidValue,
    Quantity,
    Series,
    SeriesResult,
    Stated,
    Study,
    StudyResult,
    Volume,
)

GRID = Grid.axis_aligned((2, 2, 2), spacing_mm=4)
IMAGE = Volume(np.ones((2, 2, 2)), GRID, "counts")


def test_an_inferred_fact_says_that_it_was_inferred() -> None:
    assert str(Stated("stress", "code")) == "stress"
    assert str(Stated("stress", "description", "the series description")) == (
        "stress (inferred from the series description)"
    )
    assert str(MISSING) == "not stated"
    assert [Stated("x", s).inferred for s in ("code", "header", "description", "assumed")] == [
        False,
        False,
        True,
        True,
    ]


@pytest.mark.parametrize(("value", "source"), [(None, "code"), ("stress", "missing")])
def test_a_fact_is_missing_exactly_when_it_has_no_value(value: object, source: str) -> None:
    with pytest.raises(InvalidValue, match="missing exactly when"):
        Stated(value, source)  # type: ignore[arg-type]


def test_a_flag_keeps_its_own_evidence() -> None:
    evidence = {"degrees": 7.0}
    flag = Flag("axis_disagreement", "The two finders differ.", "warning", evidence)
    evidence["degrees"] = 90
    assert flag.evidence == {"degrees": 7.0}
    with pytest.raises(InvalidValue, match="info, warning, error"):
        Flag("x", "y", "fatal")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "stress/gated", "../x", "a b", "x.nii"])
def test_a_series_name_is_safe_as_a_folder(name: str) -> None:
    with pytest.raises(InvalidValue, match="becomes a folder"):
        Series(name, "NIFTI", IMAGE)


def test_a_series_is_gated_when_its_image_is() -> None:
    gated = Volume(np.ones((8, 2, 2, 2)), GRID, "counts", (), "gate", Gating(8))
    assert not Series("rest", "RECON TOMO", IMAGE).gated
    assert Series("stress", "RECON GATED TOMO", gated).gated


def test_a_series_says_what_is_known_about_it() -> None:
    text = repr(Series("rest-1", "RECON TOMO", IMAGE, state=Stated("rest", "code")))
    assert "rest-1: RECON TOMO" in text
    assert "state rest" in text
    assert "tracer not stated" in text


def test_two_series_of_a_study_cannot_share_a_name() -> None:
    one, two = Series("rest", "NIFTI", IMAGE), Series("rest", "NIFTI", IMAGE)
    with pytest.raises(InvalidValue, match="must differ"):
        Study("key", (one, two))
    assert repr(Study("key", (one, Series("stress", "NIFTI", IMAGE)))) == "Study(2 series: rest, stress)"


def test_a_quantity_has_a_value_or_a_reason_and_never_both() -> None:
    assert str(Quantity("EF", 64.2, "%", 60, 68)) == "64.2 (60 to 68) %"
    assert str(Quantity("EF", None, "%", reason="the image is not gated")) == ("not available: the image is not gated")
    for value, reason in ((None, ""), (64.2, "because")):
        with pytest.raises(InvalidValue, match="a missing value has a reason"):
            Quantity("EF", value, "%", reason=reason)
    with pytest.raises(InvalidValue, match="NaN is not a result"):
        Quantity("EF", float("nan"), "%")


def test_an_analysis_is_complete_when_every_series_has_a_heart_and_no_file_was_left_out() -> None:
    without = SeriesResult(Series("rest", "NIFTI", IMAGE), None, not_done=("no heart in view",))
    assert not StudyResult((without,)).complete
    assert StudyResult(()).complete
    assert not StudyResult((), skipped=("x is not DICOM",)).complete
