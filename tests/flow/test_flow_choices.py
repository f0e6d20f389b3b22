"""Choices about blood flow as they are said on a command line, and what becomes of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from flow_curves import FRAMES, left_blood

from myoscope.core import InvalidValue, UnreadableFile
from myoscope.flow_choices import read_capacity_classes, settings_of
from myoscope.quantify.flow import OneTissue, WallCurves, fit_model, herrero, hutchins, lortie, ucla, yoshida
from myoscope.quantify.flow.bounded import within_bounds
from myoscope.quantify.flow.identifiability import curve_fits, profile_interval


def curves(noise: float = 0.0, flow: float = 1.2, n: int = 3) -> WallCurves:
    model = lortie()
    assert isinstance(model, OneTissue)
    left = left_blood()
    empty = WallCurves(FRAMES, np.zeros((n, len(FRAMES))), left)
    kinetic = np.column_stack([np.full(n, flow), np.full(n, 0.2)])
    tissue = 0.7 * model.tissue(kinetic, empty)[0] + 0.3 * left.means
    drawn = np.random.default_rng(3).normal(size=tissue.shape)
    return WallCurves(FRAMES, tissue + noise * tissue.max() * drawn, left)


def test_words_become_settings() -> None:
    chosen = settings_of(
        "lortie", choices=["input=atrium", "motion=off", "washout=cells", "outside=off", "weighting=duration"]
    )
    assert (chosen.input_region, chosen.weighting) == ("atrium", "duration")
    assert (chosen.motion, chosen.global_volume, chosen.outside) == (False, False, False)
    assert settings_of("sitek").input_region == "factors"
    assert settings_of("sitek", choices=["input=basal"]).input_region == "basal"
    assert settings_of(None, choices=["bound-k2=0:1.5"]).bounds == {"k2": (0.0, 1.5)}


def test_choices_of_a_model_go_to_the_model() -> None:
    chosen = settings_of("lortie", choices=["partial-volume=none", "density=1"]).model
    assert isinstance(chosen, OneTissue)
    assert (chosen.partial_volume, chosen.density_g_mL) == ("none", 1.0)


@pytest.mark.parametrize(
    ("model", "words", "says"),
    [
        (None, "colour=red", "NAME=VALUE"),
        (None, "input", "NAME=VALUE"),
        (None, "input=aorta", "basal, atrium, cavity, factors"),
        (None, "motion=yes", "on, off"),
        (None, "bound-k2=2:1", "LOWEST:HIGHEST"),
        (None, "bound-k2=low:high", "is a number"),
        (None, "density=1", "name it as well"),
        ("katoh", "partial-volume=none", "leaves no choice"),
        ("lortie", "density=3", "about 1.05"),
    ],
)
def test_a_wrong_choice_is_refused_in_one_sentence(model: str | None, words: str, says: str) -> None:
    with pytest.raises(InvalidValue, match=says) as refused:
        settings_of(model, choices=[words])
    assert "\n" not in str(refused.value)


def test_capacity_classes_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "classes.json"
    read = {"names": ["good", "poor"], "stress_flow": [2.0], "reserve": [2.5], "source": "our laboratory"}
    path.write_text(json.dumps(read))
    assert read_capacity_classes(path).names == ("good", "poor")
    assert settings_of(None, capacity=path).capacity.source == "our laboratory"
    path.write_text(json.dumps(read | {"reserve": [2.5, 3.0]}))
    with pytest.raises(UnreadableFile, match="falling limits"):
        read_capacity_classes(path)
    for wrong, says in (
        ({"stress_flow": [float("nan")]}, "numbers above 0"),
        ({"reserve": [-1.0]}, "numbers above 0"),
        ({"names": ["good"], "stress_flow": [], "reserve": []}, "two or more"),
        ({"names": ["good", "good"]}, "a name of its own"),
        ({"names": "ab"}, "names, stress_flow"),
        ({"source": None}, "names, stress_flow"),
    ):
        path.write_text(json.dumps(read | wrong))
        with pytest.raises(UnreadableFile, match=says):
            read_capacity_classes(path)
    path.write_text("{}")
    with pytest.raises(UnreadableFile, match="names, stress_flow, reserve and source"):
        read_capacity_classes(path)


def test_bounds_hold_a_parameter() -> None:
    held = within_bounds(lortie(), {"k2": (0.3, 0.4)})
    found = held.estimate(curves())
    np.testing.assert_array_less(found.of("k2"), 0.4 + 1e-9)
    np.testing.assert_array_less(0.3 - 1e-9, found.of("k2"))
    assert within_bounds(lortie(), {}).name == held.name
    with pytest.raises(InvalidValue, match="no kinetic parameter 'k9'"):
        within_bounds(lortie(), {"k9": (0, 1)})
    with pytest.raises(InvalidValue, match="may lie from"):
        within_bounds(lortie(), {"flow": (0, 50)})
    with pytest.raises(InvalidValue, match="no parameters"):
        within_bounds(yoshida(), {"flow": (0, 1)})


def test_rates_are_those_of_the_equations() -> None:
    flow = np.array([[0.8, 0.1, 0.2], [2.0, 0.3, 0.4]])
    one = lortie()
    assert isinstance(one, OneTissue)
    np.testing.assert_allclose(one.rates(flow)["k1"][0], one.uptake_rate(flow[:, 0]))
    np.testing.assert_allclose(one.rates(flow)["k2"][0], flow[:, 1])
    for model in (herrero(), hutchins(), ucla()):
        rates = model.rates(flow)
        np.testing.assert_allclose(rates["k1"][0], 1.05 * flow[:, 0])
        assert {"k2", "k3"} <= set(rates)
        assert rates["k3"][1] == "1/min"
    assert yoshida().rates(flow) == {}


def test_a_profile_brackets_the_flow_and_widens_with_noise() -> None:
    widths = []
    for noise in (0.02, 0.08):
        noisy = curves(noise, n=1)
        found = fit_model(lortie(), noisy)
        low, high = profile_interval(lortie(), noisy)
        assert low is not None
        assert high is not None
        assert low < found.flow[0] < high
        # Where the sum of squares is nearly a parabola, as here, the profile is what the standard error says.
        assert (high - low) / (2 * 1.96 * found.flow_se[0]) == pytest.approx(1, abs=0.35)
        widths.append(high - low)
    assert widths[1] > 2 * widths[0]


def test_how_well_curves_tell_their_flow() -> None:
    noisy = curves(0.03)
    found = lortie().estimate(noisy)
    fits = curve_fits(lortie(), noisy, found, ["a", "b", "c"])
    assert [fit.region for fit in fits] == ["a", "b", "c"]
    for fit in fits:
        assert fit.unexplained_percent is not None
        assert 0 < fit.unexplained_percent < 5
        assert fit.hangs_on in ("k2", "v_lv")
        assert fit.correlation is not None
        assert abs(fit.correlation) <= 1
    assert curve_fits(yoshida(), noisy, yoshida().estimate(noisy), "abc")[0].profile_low_mL_min_g is None
