"""Virtual PET studies as files and as rows: same seed same bytes, truth beside, and the analysis reads them back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from myoscope import io
from myoscope.analyze import Settings, analyze
from myoscope.core import InvalidValue, Volume
from myoscope.demo import DISEASE, _plain_pet_case
from myoscope.registry import RegistrySettings, simulate_registry
from myoscope.simulate.dynamic_pet import dynamic_scene
from myoscope.simulate.flow_traits import TRAIT_EFFECTS, trait_factors
from myoscope.simulate.patient import draw_patient
from myoscope.virtual_pet import PetPatientSettings, pet_study_columns, simulate_pet_patient, true_reserve


def test_a_tracer_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidValue, match="rubidium"):
        PetPatientSettings(seed=1, tracer="gold")  # type: ignore[arg-type]
    with pytest.raises(InvalidValue, match="lying on the back"):
        RegistrySettings(seed=1, patients=1, sites=("north",), pet="water", all_positions=True)


def test_traits_change_flow_by_their_stated_sizes() -> None:
    person = draw_patient(3, site="harbour").facts.person
    plain = replace(person, diabetes=False, smoking=False)
    both = replace(person, diabetes=True, smoking=True)
    for k, name in ((0, "rest"), (1, "stress")):
        expected = getattr(TRAIT_EFFECTS["diabetes"], name) * getattr(TRAIT_EFFECTS["smoking"], name)
        assert trait_factors(both)[k] / trait_factors(plain)[k] == pytest.approx(expected)


def test_the_demonstration_is_of_a_heart_whose_reserve_is_low_in_one_territory() -> None:
    reserve = true_reserve(draw_patient(1, site="harbour", index=_plain_pet_case(1), disease=DISEASE))
    assert reserve["LAD"] < 0.75 * min(reserve["LCx"], reserve["RCA"])
    assert min(reserve["LCx"], reserve["RCA"]) > 1.5


def test_what_an_injection_leaves_halves_with_every_half_life() -> None:
    scene = dynamic_scene(draw_patient(3, site="harbour"), "rest", "ammonia")
    one, two = scene.left_at(1800.0), scene.left_at(1800.0 + 9.965 * 60)
    assert float(two.sum() / one.sum()) == pytest.approx(0.5, rel=2e-3)


@pytest.mark.slow
def test_a_study_is_the_same_bytes_twice_and_is_read_back_as_rest_and_stress(tmp_path: Path) -> None:
    settings = PetPatientSettings(seed=4, disease="LAD", gated=True)
    for name in ("one", "two"):
        simulate_pet_patient(settings, tmp_path / name)
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*") if p.is_file())
    assert len(files) == 2 * (19 + 8) * 48 + 2
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file
    found = io.read_paths([tmp_path / "one" / "dicom"])
    assert not found.skipped
    gated = {one.state.value: one for one in found.study.series if one.kind == "GATED PET"}
    assert set(gated) == {"rest", "stress"}
    assert all(isinstance(one.image, Volume) and one.image.n_frames == 8 for one in gated.values())
    series = {one.state.value: one for one in found.study.series if one.kind != "GATED PET"}
    assert set(series) == {"rest", "stress"}
    for one in series.values():
        assert one.kind == "DYNAMIC PET"
        assert isinstance(one.image, Volume)
        assert one.image.unit == "Bq/mL"
        assert one.image.n_frames == 19
        assert (one.tracer.value or "").startswith("Rb-82")
    assert series["stress"].acquisition["began_after_first_s"] == 900.0


@pytest.mark.slow
@pytest.mark.parametrize(
    "tracer",
    [
        "ammonia",
        "water",
        "flurpiridaz",
    ],
)
def test_files_of_every_tracer_give_flow_near_the_truth(tmp_path: Path, tracer: str) -> None:
    settings = PetPatientSettings(seed=6, tracer=tracer)  # type: ignore[arg-type]
    simulate_pet_patient(settings, tmp_path / "study")
    result = analyze([tmp_path / "study" / "dicom"], tmp_path / "out", settings=Settings())
    truth = json.loads((tmp_path / "study" / "truth.json").read_text(encoding="utf-8"))
    for one in result.series:
        assert one.heart is not None
        flow = one.heart.quantity("blood flow")
        assert flow is not None
        true = truth["flow_mL_min_g"][one.series.state.value or ""]["left ventricle"]
        assert flow.value == pytest.approx(true, rel=0.25)
    codes = {flag.code for one in result.series if one.heart for flag in one.heart.flags}
    assert "residual_activity_subtracted" in codes  # the second injection comes soon enough in all of them
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "flow reserve" in page
    assert (tmp_path / "out" / "result.json").exists()


@pytest.mark.slow
def test_a_pet_registry_is_the_same_whatever_the_workers(tmp_path: Path) -> None:
    settings = RegistrySettings(seed=9, patients=2, sites=("harbour",), pet="rubidium")
    one, two = (simulate_registry(settings, tmp_path / str(n), workers=n) for n in (1, 2))
    assert one == two
    registry = io.read_cohort(tmp_path / "1")
    assert [c.name for c in registry.cohort.columns] == [c.name for c in pet_study_columns()]
    assert np.isfinite(registry.map("stress_flow")).any()
    measured, true = registry.cohort["stress_flow_mL_min_g"], registry.cohort["truth_stress_flow_mL_min_g"]
    assert np.abs(measured / true - 1).max() < 0.3
    assert np.nanmedian(registry.map("reserve")) > 0.5
