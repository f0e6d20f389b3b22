from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from myoscope import io, normals
from myoscope.cli import app
from myoscope.core import CardiacFrame, Cohort, Column, Grid, InvalidValue, StudyKind
from myoscope.heart import sample_wall
from myoscope.simulate import lv_phantom
from myoscope.simulate.sites import SITES
from myoscope.virtual import kind_of

LEVEL = {"F": 90.0, "M": 70.0}


IMAGE = io.MapKind("stress_supine", "uptake", "counts")


def write_cohort(
    folder: Path,
    *,
    n: int,
    site: str = "harbour",
    made_by: str = "virtual patients, not people",
    kind: io.MapKind = IMAGE,
    **said: str,
) -> Path:
    """Even walls whose level tells the sexes apart, and twice as many sick people with none of it."""
    rng = np.random.default_rng(3)
    about = SITES.get(site, SITES["harbour"])
    sex = np.array(["F", "M"] * n + ["F"] * 4 * n)
    population = np.array(["low-likelihood"] * 2 * n + ["referred"] * 4 * n)
    base = np.array([LEVEL[s] for s in sex])[:, None, None] * np.ones((1, 40, 72))
    base[:, 30:] *= np.where(sex == "F", 0.9, 0.7)[:, None, None]
    base[population == "referred"] *= 0.01
    maps = base * rng.normal(1, 0.05, base.shape)
    words = {"camera": about.camera, "tracer": about.tracer, "site": site} | said
    columns = tuple(Column(name, name) for name in ("sex", "population", *words))
    values = {"sex": sex, "population": population, **{k: np.array([v] * len(sex)) for k, v in words.items()}}
    names = np.array([f"p{k}" for k in range(len(sex))])
    io.write_cohort(folder, Cohort(names, names, columns, values, (made_by,)), {kind: maps})
    return folder


def test_each_sex_has_limits_of_its_own_from_its_low_likelihood_patients(tmp_path: Path) -> None:
    found = normals.limits_of_cohorts([io.read_cohort(write_cohort(tmp_path / "c", n=30))])
    assert [one.kind.sex for one in found] == ["F", "M"]
    assert all(one.n == 30 for one in found)
    for one, share in zip(found, (0.9, 0.7), strict=True):
        # Limits hold smoothed maps: the step at ring 30 is read 20 mm away from it on both sides.
        assert one.mean[39].mean() / one.mean[12].mean() == pytest.approx(share, abs=0.01)


def test_limits_are_for_images_made_as_the_cohort_says(tmp_path: Path) -> None:
    words = "OSEM, 4 iterations, 8 subsets, response of SY-LEHR modelled"
    (one, _) = normals.limits_of_cohorts([io.read_cohort(write_cohort(tmp_path / "c", n=20, processing=words))])
    study = kind_of(SITES["harbour"], "F", "stress", "supine", corrected=False)
    assert one.kind.differences(study)
    assert not one.kind.differences(replace(study, processing=words))


def test_limits_of_a_virtual_centre_fit_the_studies_it_writes(tmp_path: Path) -> None:
    found = normals.limits_of_cohorts([io.read_cohort(write_cohort(tmp_path / "c", n=20))])
    study = kind_of(SITES["harbour"], "F", "stress", "supine", corrected=False)
    assert not found[0].kind.differences(study)
    assert found[0].kind.differences(kind_of(SITES["coast"], "F", "stress", "supine", corrected=False))


def test_late_frames_of_pet_make_limits_that_fit_a_study_with_their_tracer(tmp_path: Path) -> None:
    late = io.MapKind("rest_late", "activity of late frames", "kBq/mL")
    folder = write_cohort(tmp_path / "c", n=20, kind=late, camera="Maker scanner", tracer="rubidium")
    found = normals.limits_of_cohorts([io.read_cohort(folder)])
    study = StudyKind(
        sex="M", tracer="Rb-82 chloride", camera="Maker scanner", position="supine", state="rest", corrected=True
    )
    assert [one.kind.differences(study) for one in found] == [("the limits are for sex F, the study has M",), ()]


def test_limits_are_of_maps_as_an_analysis_samples_them(tmp_path: Path) -> None:
    found = normals.limits_of_cohorts([io.read_cohort(write_cohort(tmp_path / "c", n=20))])
    grid = Grid.axis_aligned((32, 32, 28), spacing_mm=6.0)
    phantom = lv_phantom(grid, frame=CardiacFrame(np.zeros(3), np.array([0.5, -0.8, -0.35])), fwhm_mm=9.0)
    found[0].require_cells(sample_wall(phantom.volume, phantom.surfaces, method="surface"))


def test_another_centre_is_named_as_its_table_names_it(tmp_path: Path) -> None:
    folder = write_cohort(tmp_path / "c", n=20, site="elsewhere", made_by="by hand")
    found = normals.limits_of_cohorts([io.read_cohort(folder)])
    assert found[0].kind.camera == "conventional"
    assert "not people" not in found[0].provenance


def test_too_few_normal_patients_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=r"at least 20 low-likelihood patients .* have 12 at most"):
        normals.limits_of_cohorts([io.read_cohort(write_cohort(tmp_path / "c", n=12))])


def test_the_command_makes_limits_that_the_command_shows(tmp_path: Path) -> None:
    cohort, out, key = write_cohort(tmp_path / "c", n=20), tmp_path / "limits", tmp_path / "key.pem"
    call = ["limits", "build", str(cohort), "--out", str(out), "--signer", "A centre", "--key", str(key)]
    assert CliRunner().invoke(app, call).exit_code == 0
    assert {one.signer.name for one in io.read_limits_folder(out) if one.signer} == {"A centre"}
    assert CliRunner().invoke(app, call).exit_code == 2  # there is something already
    again = CliRunner().invoke(app, [*call, "--overwrite"])
    assert again.exit_code == 0
    assert len({one.signer for one in io.read_limits_folder(out)}) == 1
    shown = CliRunner().invoke(app, ["limits", "show", str(out)])
    assert shown.output.count("signed by A centre") == 2
    assert "F, " in shown.output


def test_a_key_without_a_name_and_a_folder_without_a_cohort_are_refused(tmp_path: Path) -> None:
    key = CliRunner().invoke(app, ["limits", "build", "c", "--out", "o", "--key", "k"])
    assert key.exit_code == 2
    missing = CliRunner().invoke(app, ["limits", "build", str(tmp_path / "no"), "--out", str(tmp_path / "o")])
    assert missing.exit_code == 2
    assert "not a cohort folder" in missing.output
    assert not (tmp_path / "o").exists()
