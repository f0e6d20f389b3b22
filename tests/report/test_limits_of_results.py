"""Normal limits from folders of analysed studies: like with like, each study once, and what is left out is said."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from analytic_heart import even, heart_of, series_of, study_of
from typer.testing import CliRunner, Result

from myoscope import io, report
from myoscope.analyze import Settings, analyze
from myoscope.cli import app
from myoscope.core import MISSING, CardiacFrame, Flag, Grid, InvalidValue, SourceFile, Stated, UnreadableFile
from myoscope.normals_of_results import limits_of_results, read_normal_studies, result_folders
from myoscope.simulate import lv_phantom

GRID = Grid.axis_aligned((44, 44, 40), spacing_mm=4, centre_mm=(12, -18, 6))
FRAME = CardiacFrame(np.array((12.0, -18.0, 6.0)), np.array((0.45, -0.82, -0.35)))


def analysed(
    folder: Path,
    n: int,
    *,
    sex: str | None = "F",
    state: str = "stress",
    n_gates: int = 1,
    method: str = "formula",
    camera: str = "Discovery NM 530c",
    base: float = 1.0,
    flags: tuple[Flag, ...] = (),
) -> Path:
    """A result as analyze writes it, of an even wall with the noise and the inputs of study ``n``."""
    image, heart = heart_of(even, n_gates=n_gates)
    value = heart.polar_map.value * np.random.default_rng(n).normal(1, 0.05, heart.polar_map.value.shape)
    value[30:] *= base
    polar_map = replace(heart.polar_map.like(value, "noise"), method=method)
    one = series_of("image", image, replace(heart, polar_map=polar_map), state=Stated(state, "code"), flags=flags)
    who = MISSING if sex is None else Stated(sex, "header")
    sources = (SourceFile(f"{n:064d}", 100, ""),)
    one = replace(one, series=replace(one.series, sex=who, camera=Stated(camera, "header"), sources=sources))
    (folder / "image").mkdir(parents=True)
    report.write_json(study_of(one), folder / "result.json")
    io.save(polar_map, folder / "image" / "polar_map.npz")
    return folder


def clinic(parent: Path, **how_many: int) -> Path:
    """A folder with one folder for each study, by sex."""
    for sex, many in how_many.items():
        for n in range(many):
            analysed(parent / f"{sex}-{n:02d}", n + 1000 * (sex == "M"), sex=sex, base=0.9 if sex == "F" else 0.7)
    return parent


def build(*words: str | Path) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["limits", "build", *(str(word) for word in words)])


def test_each_sex_has_limits_of_its_own_from_the_studies_of_a_clinic(tmp_path: Path) -> None:
    folders = result_folders(clinic(tmp_path / "normals", F=12, M=10))
    assert len(folders) == 22
    found = limits_of_results(read_normal_studies(folders), least=10)
    assert [(one.kind.sex, one.n) for one in found] == [("F", 12), ("M", 10)]
    for one, share in zip(found, (0.9, 0.7), strict=True):
        assert one.mean[39].mean() / one.mean[12].mean() == pytest.approx(share, abs=0.01)
        assert one.kind.camera == "Discovery NM 530c"
        assert one.method == "formula"
        assert "results of myoscope" in one.provenance
        assert "F-0" not in one.provenance


def test_the_command_builds_from_a_parent_and_says_how_many_of_each_kind(tmp_path: Path) -> None:
    parent = clinic(tmp_path / "normals", F=12, M=4)
    answer = build(parent, "--out", tmp_path / "limits", "--least", "10")
    assert answer.exit_code == 0, answer.output
    lines = answer.stdout.splitlines()
    assert lines[0].startswith("n = 12   F, ")
    assert lines[1].startswith("n = 4    M, ")
    assert "too few" in lines[1]
    assert [one.limits.n for one in io.read_limits_folder(tmp_path / "limits")] == [12]


def test_kinds_are_not_mixed_and_one_sentence_says_what_was_found(tmp_path: Path) -> None:
    parent = clinic(tmp_path / "normals", F=8, M=7)
    answer = build(parent, "--out", tmp_path / "limits", "--least", "10")
    assert answer.exit_code == 2
    assert len(answer.stderr.strip().splitlines()) == 1
    assert "at least 10 studies of one kind, and kinds are not mixed" in answer.stderr
    assert "8 of F, " in answer.stderr
    assert "7 of M, " in answer.stderr
    assert not (tmp_path / "limits").exists()


def test_of_many_kinds_the_commonest_are_named_and_the_others_counted(tmp_path: Path) -> None:
    cameras = [f"camera {n}" for n in range(11)]
    folders = [analysed(tmp_path / str(n), n, camera=one) for n, one in enumerate([*cameras, cameras[5]])]
    with pytest.raises(
        InvalidValue, match=r"hold 2 of F, [^;]*camera 5.*; and 3 other kinds with no more than 1 each$"
    ):
        limits_of_results(read_normal_studies(folders), least=10)


def test_gated_images_and_rest_are_kinds_of_their_own(tmp_path: Path) -> None:
    folders = [
        analysed(tmp_path / "still", 1),
        analysed(tmp_path / "gated", 2, n_gates=8),
        analysed(tmp_path / "rest", 3, state="rest"),
    ]
    kinds = read_normal_studies(folders).maps
    assert sorted((kind.state, kind.processing) for kind in kinds) == [
        ("rest", "as stored"),
        ("stress", "as stored"),
        ("stress", "as stored, gates summed"),
    ]


def test_damaged_folders_are_left_out_with_a_sentence_each(tmp_path: Path) -> None:
    parent = clinic(tmp_path / "normals", F=11)
    (parent / "F-00" / "result.json").write_text("[1, 2")
    (parent / "F-01" / "image" / "polar_map.npz").write_bytes(b"nothing")
    (parent / "F-02" / "image" / "polar_map.npz").unlink()
    (parent / "F-03" / "result.json").write_text('{"schema_version": "1.4", "series": [{}], "pairs": []}')
    (parent / "F-04" / "result.json").write_text('{"schema_version": "9.0", "series": [], "pairs": []}')
    (parent / "notes").mkdir()
    (parent / "notes" / "letter.txt").write_text("no result")
    analysed(parent / "more" / "unknown", 90, sex=None)
    analysed(parent / "more" / "bad", 91, flags=(Flag("axis_wrong", "The axis is wrong.", "error", {}),))
    studies = read_normal_studies(result_folders(parent))
    assert [len(found) for found in studies.maps.values()] == [6]
    said = "\n".join(studies.skipped)
    assert len(studies.skipped) == 7
    assert "F-00 was left out: F-00 holds no sound result" in said
    assert "F-01, image was left out: polar_map.npz is damaged" in said
    assert "F-02, image was left out: polar_map.npz does not exist" in said
    assert "F-03 was left out" in said
    assert "result format 9.0" in said
    assert "unknown, image was left out: the files do not state the sex." in said
    assert "bad, image was left out, since it is flagged as an error: The axis is wrong." in said


def test_a_study_that_was_analysed_twice_counts_once(tmp_path: Path) -> None:
    folders = [analysed(tmp_path / "a", 1), analysed(tmp_path / "b", 2), analysed(tmp_path / "again", 1)]
    studies = read_normal_studies([*folders, folders[0]])
    assert [len(found) for found in studies.maps.values()] == [2]
    assert studies.skipped == ("again, image was left out: it is the image that a gave.",)


def test_maps_that_were_sampled_in_different_ways_are_refused(tmp_path: Path) -> None:
    folders = [analysed(tmp_path / str(n), n, method="hybrid" if n < 4 else "formula") for n in range(11)]
    with pytest.raises(InvalidValue, match="7 by formula and 4 by hybrid"):
        limits_of_results(read_normal_studies(folders), least=10)


def test_folders_without_results_and_mixtures_with_cohorts_are_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    analysed(tmp_path / "one", 1)
    (tmp_path / "cohort").mkdir()
    (tmp_path / "cohort" / "cohort.json").write_text("{}")
    for words, said in (
        ((tmp_path / "empty",), "not a cohort folder"),
        ((tmp_path / "one", tmp_path / "empty"), "empty holds no result"),
        ((tmp_path / "one", tmp_path / "cohort"), "cohort is a cohort"),
    ):
        answer = build(*words, "--out", tmp_path / "limits")
        assert answer.exit_code == 2
        assert said in answer.stderr
        assert len(answer.stderr.strip().splitlines()) == 1
    analysed(tmp_path / "nobody" / "x", 1, sex=None)
    with pytest.raises(UnreadableFile, match="do not state the sex"):
        read_normal_studies([tmp_path / "nobody" / "x"])


def test_a_study_of_the_clinic_finds_the_limits_that_its_own_normals_made(tmp_path: Path) -> None:
    made = lv_phantom(GRID, frame=FRAME, fwhm_mm=9, rng=np.random.default_rng(4)).volume
    about = io.NmDescription(
        state="stress", uid_seed="3", sex="F", manufacturer="A maker", camera="a camera", tracer="Tc-99m sestamibi"
    )
    io.write_nm(made, tmp_path / "a.dcm", description=about)
    settings = Settings(finder="model", workers=1)
    (one,) = analyze([tmp_path / "a.dcm"], tmp_path / "first", settings=settings).series
    assert one.heart is not None
    assert one.heart.limits is None
    # The same study as if others had had it, with other noise.
    stored = json.loads((tmp_path / "first" / "result.json").read_text())
    for n in range(10):
        place = tmp_path / "normals" / str(n) / one.series.name
        place.mkdir(parents=True)
        noise = np.random.default_rng(n).normal(1, 0.05, (40, 72))
        io.save(one.heart.polar_map.like(one.heart.polar_map.value * noise, "noise"), place / "polar_map.npz")
        stored["series"][0]["inputs"][0]["sha256"] = f"{n:064d}"
        (place.parent / "result.json").write_text(json.dumps(stored))
    assert build(tmp_path / "normals", "--out", tmp_path / "limits", "--least", "10").exit_code == 0
    compared = replace(settings, limits=(tmp_path / "limits",))
    (again,) = analyze([tmp_path / "a.dcm"], tmp_path / "second", settings=compared).series
    assert again.heart is not None
    assert again.heart.limits is not None
    assert again.heart.limits.n == 10
    tpd = again.heart.quantity("TPD")
    assert tpd is not None
    assert tpd.value is not None
    assert tpd.value < 3
