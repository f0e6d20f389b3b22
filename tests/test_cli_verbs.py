"""What the command line says about itself, and how it answers a wrong call."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest
from typer.testing import CliRunner, Result

from myoscope import __version__
from myoscope.cli import app
from myoscope.registry import reference_shards
from myoscope.simulate.patient import Disease
from myoscope.simulate.pet_tracers import PetTracerName
from myoscope.simulate.referral import POPULATIONS
from myoscope.simulate.sites import Tracer
from myoscope.verbs import simulate

VERBS = ("analyze", "demo", "info", "list", "simulate", "limits", "train", "evaluate", "reproduce")
COMMANDS = (
    *("analyze", "demo", "info", "list", "train", "evaluate", "reproduce", "limits build", "limits show"),
    *("simulate patient", "simulate registry", "simulate reference"),
    *("simulate pet-patient", "simulate pet-registry"),
)
BAD_CALL, NOTHING_TO_ANALYSE = 2, 3
ROOT = Path(__file__).parents[1]


def _call(*words: str | Path) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(word) for word in words])


def _options_of(verb: str) -> set[str]:
    return set(re.findall(r"(?<!\S)--[a-z][a-z-]+", _call(*verb.split(), "--help").stdout)) - {"--help"}


def test_help_names_every_verb() -> None:
    answer = _call("--help")
    assert answer.exit_code == 0
    for verb in VERBS:
        assert re.search(rf"^\s+{verb}\s", answer.stdout, re.MULTILINE), verb


def test_help_says_that_this_is_no_medical_device() -> None:
    assert "not a medical device" in " ".join(_call("--help").stdout.split())


def test_version_is_that_of_the_package() -> None:
    answer = _call("--version")
    assert (answer.exit_code, answer.stdout.strip()) == (0, f"myoscope {__version__}")


def test_help_of_analyze_names_its_exit_codes() -> None:
    text = _call("analyze", "--help").stdout
    for code in ("0 analysed", "2 bad call", "3 nothing to analyse", "4 analysed in part"):
        assert code in " ".join(text.split())


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_option_stands_in_the_documentation(verb: str) -> None:
    page = (ROOT / "docs/reference/command-line.md").read_text(encoding="utf-8")
    assert f"## `myoscope {verb}" in page
    missing = {option for option in _options_of(verb) if f"`{option}" not in page}
    assert missing == set()


def test_every_documented_option_exists() -> None:
    page = (ROOT / "docs/reference/command-line.md").read_text(encoding="utf-8")
    known = set().union(*(_options_of(verb) for verb in COMMANDS)) | {"--version", "--help"}
    assert set(re.findall(r"`(--[a-z-]+)", page)) - known == set()


def test_list_gives_the_same_systems_as_text_and_as_json() -> None:
    listed = json.loads(_call("list", "--json").stdout)
    assert {"name", "does", "source"} <= set(listed[0])
    text = _call("list").stdout
    assert all(system["name"] in text for system in listed)


@pytest.mark.parametrize(
    "words",
    [
        ("analyze",),
        ("analyze", "study"),
        ("analyse", "study", "--out", "results"),
        ("analyze", "study", "--out", "results", "--finder", "guess"),
        ("analyze", "study", "--out", "results", "--sampling", "mean"),
        ("analyze", "study", "--out", "results", "--resolution-mm", "0"),
        ("analyze", "study", "--out", "results", "--resolution-mm", "wide"),
        ("analyze", "study", "--out", "results", "--unknown"),
        ("demo", "--seed", "-1"),
        ("simulate", "patient", "--seed", "1"),
        ("simulate", "patient", "--seed", "1", "--out", "p", "--site", "moon"),
        ("simulate", "patient", "--seed", "1", "--out", "p", "--disease", "flu"),
        ("simulate", "patient", "--seed", "1", "--out", "p", "--site", "north", "--misregistration-mm", "0", "0", "9"),
        ("simulate", "patient", "--seed", "1", "--out", "study", "--misregistration-mm", "0", "0", "999"),
        ("simulate", "registry", "--seed", "1", "--patients", "0", "--site", "north", "--out", "r"),
        ("simulate", "registry", "--seed", "1", "--patients", "2", "--site", "north,north", "--out", "r"),
        (
            "simulate",
            "registry",
            "--seed",
            "1",
            "--patients",
            "2",
            "--site",
            "north",
            "--population",
            "x",
            "--out",
            "r",
        ),
        ("simulate", "reference", "--tier", "maps", "--shard", "99", "--out", "r"),
        ("train", "betancur2018", "--out", "m"),
        ("train", "betancur2017", "--cohort", "study", "--out", "m"),
        ("train", "lv_wall", "--cohort", "study", "--out", "m"),
        ("train", "otaki2022", "--cohort", "study", "--out", "m", "--set", "stepz=3"),
        ("train", "otaki2022", "--cohort", "study", "--out", "m"),
        ("evaluate", "otaki2022", "--model", "study", "--cohort", "study", "--out", "t"),
        ("reproduce", "yeung2022", "--cohort", "study", "--out", "t", "--precision", "8"),
    ],
    ids=lambda words: " ".join(words),
)
def test_a_wrong_call_ends_with_code_2_and_no_output(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study").mkdir()
    answer = _call(*words)
    assert answer.exit_code == BAD_CALL
    assert "Traceback" not in answer.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["study"]


def test_choices_of_the_command_line_are_those_of_the_library() -> None:
    assert {d.value for d in simulate.Disease} == set(get_args(Disease))
    assert {p.value for p in simulate.Population} == set(POPULATIONS)
    assert {t.value for t in simulate.Tracer} == set(get_args(Tracer))
    assert {t.value for t in simulate.PetTracer} == set(get_args(PetTracerName))
    for tier in simulate.Tier:
        assert reference_shards(tier.value)


def test_an_unknown_colour_table_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    answer = _call("analyze", tmp_path, "--out", tmp_path / "results", "--colours", "mauve")
    assert answer.exit_code == BAD_CALL
    assert "mauve" in answer.stderr
    assert "uniform" in answer.stderr


@pytest.mark.parametrize("option", ["--reconstruction-set", "--flow-set", "--flow-model"])
def test_a_choice_that_does_not_exist_is_a_bad_call(tmp_path: Path, option: str) -> None:
    (tmp_path / "scan.dcm").write_bytes(b"anything")
    answer = _call("analyze", tmp_path / "scan.dcm", "--out", tmp_path / "out", option, "nonsense")
    assert answer.exit_code == BAD_CALL
    assert "nonsense" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not (tmp_path / "out").exists()
