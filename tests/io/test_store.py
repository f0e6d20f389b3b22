"""Every core type to a file and back, to the last bit."""

import io
import json
import subprocess
import sys
import zipfile
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from myoscope import core
from myoscope.core import InvalidValue, UnreadableFile, UnsupportedFile
from myoscope.io import load, save, store

RNG = np.random.default_rng(11)
GRID = core.Grid((3, 4, 5), np.array([[0.1, 0, 4, -42.2], [0, -3, 0, 208.8], [2, 0, 0.3, 573.7], [0, 0, 0, 1]]))
FRAME = core.CardiacFrame(RNG.normal(size=3) * 100, RNG.normal(size=3))
GATING = core.Gating(8, rr_ms=823.5, accepted_beats=1200)
IMAGE = core.Volume(RNG.poisson(30, (8, 3, 4, 5)).astype(np.uint16), GRID, "counts", ("a", "b"), "gate", GATING)
MASK = core.Volume(RNG.random((3, 4, 5)) > 0.5, GRID, "mask")
DYNAMIC = core.Volume(
    RNG.normal(size=(2, 3, 4, 5)), GRID, "Bq/mL", (), "time", None, np.array([0.0, 5]), np.array([5.0, 60])
)
WINDOW = core.EnergyWindow("Tc-99m", 126.45, 154.55)
PROJECTIONS = core.Projections(
    RNG.poisson(9, (1, 8, 6, 4, 5)),
    np.linspace(225, 45, 6),
    np.full(6, np.nan),
    (6.8, 6.4),
    (WINDOW,),
    np.full(6, 25.0),
    "HFS",
    None,
    GATING,
)
SURFACES = core.Surfaces(
    RNG.normal(size=(8, 4, 9, 3)), RNG.normal(size=(8, 4, 9, 3)), FRAME, RNG.normal(size=3), RNG.normal(size=3)
)
VALUE = RNG.normal(size=(4, 24))
VALUE[0, 3] = np.nan
POLAR_MAP = core.PolarMap(
    VALUE,
    "%",
    RNG.integers(1, 18, (4, 24), np.int16),
    RNG.integers(1, 21, (4, 24), np.int16),
    RNG.random((4, 24)) + 1,
    "hybrid",
    ("x",),
)
FLAG = core.Flag("axis", "The finders differ.", "warning", {"degrees": 7.5, "n": 3, "who": ["a", "b"], "none": None})
SERIES = core.Series(
    "stress-1",
    "RECON GATED TOMO",
    IMAGE,
    state=core.Stated("stress", "description", "é"),
    sources=(core.SourceFile("ab" * 32, 123),),
    flags=(FLAG,),
    acquisition={"dose_MBq": 740.0, "views": (30, 2), "unknown": float("nan")},
)
QUANTITY = core.Quantity("EF", 64.1, "%", 60.0, 68.0)
HEART = core.HeartResult(
    FRAME, MASK, SURFACES, IMAGE.frame(0), POLAR_MAP, "network", (QUANTITY,), (FLAG,), {"angle_deg": 3.5}
)
SERIES_RESULT = core.SeriesResult(SERIES, HEART, (FLAG,), ("no EF: x",), {"read": 0.25})
KIND = core.StudyKind(sex="F", tracer="any", camera="any", position="supine", state="stress", corrected=True)
LIMITS = core.NormalLimits(
    mean=VALUE**0 * 80.0 + np.nan_to_num(VALUE),
    deviation=np.full((4, 24), 5.0),
    area_mm2=np.full((4, 24), 20.0),
    multiple=3.0,
    n=40,
    kind=KIND,
    unit="%",
    method="surface",
    provenance="cohort 12ab",
    modes=np.ones((3, 2, 4, 24)),
)
COHORT = core.Cohort(
    np.array(["p1", "p2", "p1"]),
    np.array(["s1", "s2", "s3"]),
    (core.Column("dose_MBq", "activity", "MBq"), core.Column("sex", "F or M")),
    {"dose_MBq": np.array([1.5, np.nan, 3]), "sex": np.array(["F", "M", "F"])},
    ("made up",),
)
FLOW_MAP = core.PolarMap(
    np.abs(VALUE), "mL/min/g", POLAR_MAP.segment, POLAR_MAP.segment_20, POLAR_MAP.area_mm2, "hybrid"
)
REGION = core.RegionValue("LAD", 0.9, 0.7, 1.1)
CURVES = core.FlowCurves(
    np.array([0.0, 10]),
    np.array([10.0, 10]),
    np.ones(2),
    np.full(2, np.nan),
    ("LAD",),
    np.ones((1, 2)),
    np.ones((1, 2)),
    "Bq/mL",
)
FLOW = core.FlowResult(
    "rubidium",
    "lortie",
    FLOW_MAP,
    FLOW_MAP,
    {"k2": FLOW_MAP},
    (REGION,) * 17,
    (REGION,) * 3,
    REGION,
    CURVES,
    np.zeros((2, 3)),
    ("blood", "wall"),
    np.ones(2),
    {"no maximum": 3},
    (FLAG,),
    ("weights by counts",),
)
EXPLANATION = core.Explanation(attribution=RNG.normal(size=(4, 24)), input_shape=(4, 24), method="ig", target="CAD")
PREDICTION = core.Prediction(name="CAD", unit=core.PROBABILITY, model_card="m", value=0.1 + 0.2)
WHAT_IF = core.WhatIfCurve("age", "years", np.array([40.0, 60]), np.array([0.1, 0.3]), float("nan"))
VALUES: list[object] = [
    GRID,
    FRAME,
    GATING,
    WINDOW,
    IMAGE,
    MASK,
    DYNAMIC,
    PROJECTIONS,
    SURFACES,
    POLAR_MAP,
    core.MISSING,
    FLAG,
    core.SourceFile("ab" * 32, 123),
    SERIES,
    core.Study("key", (SERIES,), (FLAG,)),
    QUANTITY,
    HEART,
    SERIES_RESULT,
    core.StudyResult((SERIES_RESULT,), (FLAG,), ("x is not DICOM",), "Myoscope 0.1"),
    KIND,
    LIMITS,
    core.VolumeCurve(np.array([100.0, 60, 80]), np.array([0.2, 0.7]), np.array([90.0, 55]), 850.0),
    core.LimitsUsed(KIND, 80, "cohort 12ab", "ab" * 32, "Core lab"),
    core.PairResult("stress", "rest", (QUANTITY,), {"reversibility": POLAR_MAP}, (FLAG,)),
    COHORT.columns[0],
    COHORT,
    COHORT.split_by_patient(2, rng=np.random.default_rng(0)),
    PREDICTION,
    EXPLANATION,
    REGION,
    core.CurveFit("LAD", 1.5, "k2", -0.4, 0.7, None, ("v_rv",)),
    CURVES,
    FLOW,
    core.ReserveResult(
        FLOW_MAP,
        (REGION,) * 17,
        (REGION,) * 3,
        REGION,
        core.RegionValue("ventricle", None, reason="no blood pressure"),
        (REGION,) * 17,
        np.zeros((4, 24)),
        ("normal", "reduced"),
        np.array([0.4, 0.6]),
        "Johnson and Gould",
        (FLAG,),
    ),
    WHAT_IF,
    core.Contribution("age", "71 years", -0.5, 0.25),
    core.ModelReport(
        system="otaki2022",
        does="says",
        source="a paper",
        model_card="m",
        warning="not for use",
        series="stress",
        predictions=(PREDICTION,),
        polar_map=POLAR_MAP,
        explanation=EXPLANATION,
        segment_probability=np.full(17, 0.5),
        start=-1.5,
        steps=(core.Contribution("age", "71 years", -0.5, 0.25),),
        curves=(WHAT_IF,),
    ),
]


def same(one: Any, two: Any) -> bool:
    """Whether two values are the same to the last bit, types of arrays and containers included."""
    if type(one) is not type(two):
        return False
    if isinstance(one, np.ndarray):
        return bool(one.dtype == two.dtype and one.shape == two.shape and one.tobytes() == two.tobytes())
    if is_dataclass(one):
        return all(same(getattr(one, f.name), getattr(two, f.name)) for f in fields(one))
    if isinstance(one, dict):
        return list(one) == list(two) and all(same(one[key], two[key]) for key in one)
    if isinstance(one, tuple | list):
        return len(one) == len(two) and all(map(same, one, two))
    return bool(one == two or (one != one and two != two))


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_every_value_comes_back_the_same(tmp_path: Path, value: object) -> None:
    save(value, tmp_path / "v.npz")
    assert same(load(tmp_path / "v.npz"), value)
    assert same(load(tmp_path / "v.npz", type(value)), value)


def test_every_core_type_that_holds_data_can_be_stored() -> None:
    tested = {type(value).__name__ for value in VALUES}
    held = {name for name, kind in vars(core).items() if isinstance(kind, type) and is_dataclass(kind)}
    assert set(store.STORED_TYPES) == tested
    assert held - tested == {"Segment"}  # a row of a table that ships with the code


def test_the_same_value_gives_the_same_bytes(tmp_path: Path) -> None:
    save(SERIES_RESULT, tmp_path / "a.npz")
    save(load(tmp_path / "a.npz"), tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_numpy_alone_opens_a_stored_polar_map(tmp_path: Path) -> None:
    save(POLAR_MAP, tmp_path / "polar_map.npz")
    with np.load(tmp_path / "polar_map.npz", allow_pickle=False) as archive:
        header = json.loads(archive["header.json"])
        value = archive[f"array_{header['value']['fields']['value']['$array']}"]
    assert (header["type"], header["schema_version"]) == ("PolarMap", 1)
    np.testing.assert_array_equal(value, POLAR_MAP.value)


def test_what_is_loaded_cannot_be_changed(tmp_path: Path) -> None:
    save(IMAGE, tmp_path / "v.npz")
    with pytest.raises(ValueError, match="read-only"):
        load(tmp_path / "v.npz", core.Volume).array[0] = 1


def test_a_file_of_another_type_is_refused_by_name(tmp_path: Path) -> None:
    save(GRID, tmp_path / "v.npz")
    with pytest.raises(UnsupportedFile, match=r"^v.npz holds a Grid, not a PolarMap$"):
        load(tmp_path / "v.npz", core.PolarMap)


@pytest.mark.parametrize(
    "value",
    [
        np.ones(3),
        {"a": 1},
        core.SEGMENTS_17[0],
        core.Flag("a", "b", evidence={"x": object()}),
        core.Flag("a", "b", evidence={"x": np.array([None])}),
        core.Flag("a", "b", evidence={"x": {1: "a"}}),
        core.Flag("a", "b", evidence={"x": Path("a")}),
    ],
)
def test_what_cannot_be_stored_without_pickling_is_refused(tmp_path: Path, value: object) -> None:
    with pytest.raises(InvalidValue, match="stored"):
        save(value, tmp_path / "v.npz")
    assert not list(tmp_path.iterdir())


def test_values_are_stored_under_the_one_suffix(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=r"stored as \.npz"):
        save(GRID, tmp_path / "v.pkl")


def rewritten(path: Path, **changes: object) -> Path:
    """A stored grid with some of its header replaced."""
    save(GRID, path)
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    header = json.loads(content["header.json"])
    header.update(changes)
    content["header.json"] = json.dumps(header).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, raw in content.items():
            archive.writestr(name, raw)
    return path


def test_a_newer_schema_is_refused_as_newer(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedFile, match="schema version 2; this version of Myoscope knows up to 1"):
        load(rewritten(tmp_path / "v.npz", schema_version=2))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, "not stored by Myoscope"),
        ({"value": {"$type": "Popen", "fields": {}}}, "not stored by Myoscope"),
        ({"value": {"$type": "Grid", "fields": {"shape": [1]}}}, "damaged"),
        (
            {"value": {"$type": "Grid", "fields": {"shape": {"$tuple": [0, 1, 1]}, "affine": {"$array": 0}}}},
            "contradict",
        ),
        ({"value": {"$type": "Grid", "fields": {"shape": {"$tuple": [1, 1, 1]}, "affine": {"$array": 9}}}}, "missing"),
        ({"value": 3}, "does not hold the Grid"),
        ({"type": "PolarMap"}, "does not hold the PolarMap"),
        ({"value": {"$type": "Grid"}}, "parts of it are missing"),
    ],
)
def test_a_header_that_makes_no_sense_is_one_sentence(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    path = rewritten(tmp_path / "v.npz", **changes)
    with pytest.raises(UnreadableFile, match=message) as caught:
        load(path)
    assert str(caught.value).startswith("v.npz ")


def test_a_pickle_inside_is_never_opened(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    path = rewritten(tmp_path / "v.npz")
    with zipfile.ZipFile(path) as archive:
        header = archive.read("header.json")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.json", header)
        archive.writestr("array_0.npy", buffer.getvalue())
    with pytest.raises(UnreadableFile, match="damaged"):
        load(path)


def test_a_file_damaged_anywhere_is_one_sentence_or_still_right(tmp_path: Path) -> None:
    save(GRID, tmp_path / "v.npz")
    raw = (tmp_path / "v.npz").read_bytes()
    rng = np.random.default_rng(0)
    sentences = []
    for position in rng.choice(len(raw), 150, replace=False):
        damaged = bytearray(raw)
        damaged[position] ^= 1 << int(rng.integers(8))
        (tmp_path / "d.npz").write_bytes(damaged)
        try:
            assert load(tmp_path / "d.npz") == GRID  # a flipped bit in a time stamp harms nobody
        except (UnreadableFile, UnsupportedFile) as error:
            sentences.append(str(error))
    assert len(sentences) > 75
    assert all(s.startswith("d.npz ") and "\n" not in s for s in sentences)


def test_a_file_cut_off_anywhere_is_one_sentence(tmp_path: Path) -> None:
    save(GRID, tmp_path / "v.npz")
    raw = (tmp_path / "v.npz").read_bytes()
    for kept in range(0, len(raw), 37):
        (tmp_path / "d.npz").write_bytes(raw[:kept])
        with pytest.raises(UnreadableFile, match=r"^d.npz "):
            load(tmp_path / "d.npz")


def test_a_file_that_is_not_there_or_not_ours_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match=r"^v.npz does not exist$"):
        load(tmp_path / "v.npz")
    np.savez(tmp_path / "n.npz", a=np.ones(3))
    with pytest.raises(UnreadableFile, match="not stored by Myoscope"):
        load(tmp_path / "n.npz")
    with pytest.raises(UnreadableFile, match="damaged or was not stored"):
        load(tmp_path)


def test_storing_brings_in_nothing_heavy() -> None:
    script = "import sys, myoscope.io.store; print([m for m in ('nibabel', 'torch', 'scipy') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
