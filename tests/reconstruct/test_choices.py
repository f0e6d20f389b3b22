"""Choices about reconstruction in words."""

from __future__ import annotations

import pytest

from myoscope.core import InvalidValue
from myoscope.reconstruct import Butterworth, Gaussian, Hann, ReconstructionSettings, settings_from_words


def test_words_become_settings() -> None:
    words = ["method=osem", "iterations=6", "subsets=10", "response=off", "radius-mm=230", "median-prior=0.3"]
    assert settings_from_words(words) == ReconstructionSettings(
        "osem", 6, 10, response="off", radius_mm=230.0, median_prior=0.3
    )
    assert settings_from_words([]) == ReconstructionSettings()


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("none", "none"),
        ("gaussian:10", Gaussian(10.0)),
        ("hann:0.8:cycles/cm", Hann(0.8, "cycles/cm")),
        ("butterworth:5:0.33:cycles/pixel:power", Butterworth(5, 0.33, "cycles/pixel", "power")),
    ],
)
def test_filters_are_named_with_all_that_they_need(words: str, meant: object) -> None:
    assert settings_from_words([f"filter={words}"]).post_filter == meant


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("colour=red", "NAME=VALUE"),
        ("method", "NAME=VALUE"),
        ("method=art", "auto, fbp, mlem, osem"),
        ("iterations=two", "whole number"),
        ("iterations=0", "at least 1"),
        ("filter=butterworth:5:0.33", "ORDER:CUTOFF:UNIT:FORM"),
        ("filter=butterworth:5:0.33:cycles/pixel:other", "amplitude, power"),
        ("filter=gaussian:wide", "is a number"),
        ("radius-mm=-3", "positive"),
    ],
)
def test_a_wrong_choice_is_refused_in_one_sentence(words: str, says: str) -> None:
    with pytest.raises(InvalidValue, match=says) as refused:
        settings_from_words([words])
    assert "\n" not in str(refused.value)
