"""A registry: the same bytes whoever makes it, goes on after a kill, and never mixes two."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from myoscope import io, registry
from myoscope.core import InvalidValue, MyoscopeError, OutputError
from myoscope.registry import RegistrySettings, reference_shards, simulate_reference, simulate_registry
from myoscope.virtual_rows import StudyRow, study_columns

SETTINGS = RegistrySettings(seed=1, patients=60, sites=("north", "coast"), states=("stress",), gated=False)


def made_up(settings: RegistrySettings, index: int) -> StudyRow:
    """A row that costs nothing, in the place of a simulated patient."""
    rng = np.random.default_rng([settings.seed, settings.first_patient + index])
    words = {"site": settings.site_of(index), "stress_supine_heart": "found"}
    values: dict[str, Any] = {c.name: words.get(c.name, float(rng.normal())) for c in study_columns()}
    name = f"{settings.site_of(index)}-{settings.first_patient + index}"
    return StudyRow(name, f"{name}-1", values, {"stress_supine": rng.uniform(0, 9, (40, 72))})


def hashes(folder: Path) -> dict[str, str]:
    files = (p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def in_order(work: Any, todo: Sequence[tuple[int, int]], workers: int, *, broken: str) -> Any:
    del workers, broken
    for job in todo:
        yield job, work(job[1])


def shuffled(work: Any, todo: Sequence[tuple[int, int]], workers: int, *, broken: str) -> Any:
    del broken
    for n in np.random.default_rng(workers).permutation(len(todo)):
        yield todo[n], work(todo[n][1])


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(registry, "_study", made_up)
    monkeypatch.setattr(registry, "in_processes", in_order)
    return monkeypatch


def test_the_order_in_which_patients_are_done_leaves_no_trace(quick: pytest.MonkeyPatch, tmp_path: Path) -> None:
    simulate_registry(SETTINGS, tmp_path / "one", workers=1)
    quick.setattr(registry, "in_processes", shuffled)
    simulate_registry(SETTINGS, tmp_path / "other", workers=7)
    assert hashes(tmp_path / "one") == hashes(tmp_path / "other")
    cohort = io.read_cohort(tmp_path / "one")
    cohort.verify()
    assert len(cohort.cohort) == 60
    assert [str(s) for s in cohort.cohort["site"][:4]] == ["north", "coast", "north", "coast"]
    said = " ".join(cohort.cohort.made_by)
    assert "virtual patients, not people" in said
    assert "--site north,coast --population all --state stress --ungated-only" in said
    assert not (tmp_path / "one.parts").exists()


def test_a_killed_run_goes_on_from_its_parts(quick: pytest.MonkeyPatch, tmp_path: Path) -> None:
    simulate_registry(SETTINGS, tmp_path / "whole")
    done: list[int] = []

    def dies(settings: RegistrySettings, index: int) -> StudyRow:
        if len(done) == 40:
            raise KeyboardInterrupt
        done.append(index)
        return made_up(settings, index)

    quick.setattr(registry, "_study", dies)
    with pytest.raises(KeyboardInterrupt):
        simulate_registry(SETTINGS, tmp_path / "killed")
    assert not (tmp_path / "killed").exists()
    assert len(list((tmp_path / "killed.parts").glob("part-*.part.zip"))) == 1
    done.clear()
    told: list[float] = []
    simulate_registry(SETTINGS, tmp_path / "killed", progress=lambda step, share: told.append(share))
    assert len(done) == 35
    assert told[0] > 25 / 60
    assert hashes(tmp_path / "killed") == hashes(tmp_path / "whole")


def test_parts_of_another_registry_are_not_taken_for_ones_own(quick: pytest.MonkeyPatch, tmp_path: Path) -> None:
    del quick
    registry._claim(tmp_path / "r.parts", SETTINGS)
    other = RegistrySettings(seed=2, patients=60, sites=("north", "coast"), states=("stress",), gated=False)
    with pytest.raises(OutputError, match="other settings"):
        simulate_registry(other, tmp_path / "r")
    (tmp_path / "s.parts").mkdir()
    (tmp_path / "s.parts" / "letter.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        simulate_registry(other, tmp_path / "s")


def test_what_is_there_is_refused_before_any_work(quick: pytest.MonkeyPatch, tmp_path: Path) -> None:
    simulate_registry(SETTINGS, tmp_path / "r")
    quick.setattr(registry, "_study", None)
    with pytest.raises(OutputError, match="exists already"):
        simulate_registry(SETTINGS, tmp_path / "r")


@pytest.mark.parametrize(
    "wrong",
    [
        {"patients": 0},
        {"seed": -1},
        {"sites": ()},
        {"sites": ("north", "north")},
        {"sites": ("moon",)},
        {"population": "everyone"},
        {"states": ()},
    ],
    ids=str,
)
def test_settings_that_make_no_registry_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue):
        RegistrySettings(**{"seed": 1, "patients": 3, "sites": ("north",), **wrong})


def test_the_reference_registry_is_what_it_is_said_to_be() -> None:
    full, maps, unlikely, flow = (reference_shards(tier) for tier in ("full", "maps", "low-likelihood", "flow"))
    assert sum(s.settings.patients for s in full) == 2000
    assert len({s.settings.sites for s in full}) == 5
    assert sum(s.settings.patients for s in maps) == 6000
    assert sum(s.settings.patients for s in maps if s.settings.sites == ("coast",)) >= 2500
    assert {s.settings.population for s in maps} == {"referred"}
    assert {s.settings.sites[0] for s in maps if s.settings.all_positions} == {"coast", "riverside"}
    assert all(s.settings.patients >= 160 and s.settings.even_sexes for s in unlikely)
    assert sum(s.settings.patients for s in flow) == 1500
    assert {s.settings.pet for s in flow} == {"ammonia"}
    names = [shard.name for shard in (*full, *maps, *unlikely, *flow)]
    assert len(set(names)) == len(names)
    with pytest.raises(InvalidValue, match="tiers"):
        reference_shards("all")


def test_shards_of_the_reference_registry_come_together(quick: pytest.MonkeyPatch, tmp_path: Path) -> None:
    quick.setattr(registry, "_FULL_PER_SITE", 30)
    quick.setattr(registry, "_FULL_PER_SHARD", 20)
    assert len(reference_shards("full")) == 10
    assert "Shard 3 of 10" in simulate_reference("full", tmp_path / "r", shard=3)
    assert not (tmp_path / "r").exists()
    said = simulate_reference("full", tmp_path / "r", as_far_as_made=True)
    assert "of 150 patients so far" in said
    so_far = io.read_cohort(tmp_path / "r").cohort
    assert "as-far-as-made" in so_far.made_by[0]
    assert len(set(so_far["site"])) == 1
    shutil.rmtree(tmp_path / "r")
    with pytest.raises(InvalidValue, match="no part"):
        simulate_reference("maps", tmp_path / "nothing", as_far_as_made=True)
    with pytest.raises(InvalidValue, match="one of the two"):
        simulate_reference("full", tmp_path / "r", shard=3, as_far_as_made=True)
    assert "tier full" in simulate_reference("full", tmp_path / "r")
    cohort = io.read_cohort(tmp_path / "r").cohort
    assert len(cohort) == cohort.n_patients == 150
    assert cohort.made_by[0] == "myoscope simulate reference --tier full"
    with pytest.raises(InvalidValue, match="shards 0 to 9"):
        simulate_reference("full", tmp_path / "other", shard=10)


def test_a_kill_while_claiming_and_another_version_are_told_apart(quick: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "r.parts").mkdir()
    (tmp_path / "r.parts" / ".registry.json.abcdef012345.part").write_text("{")
    simulate_registry(SETTINGS, tmp_path / "r")
    registry._claim(tmp_path / "s.parts", SETTINGS)
    quick.setattr(registry, "_sources_sha256", lambda: "another version")
    with pytest.raises(OutputError, match="another version"):
        simulate_registry(SETTINGS, tmp_path / "s")


def test_a_patient_who_cannot_be_drawn_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise np.linalg.LinAlgError("singular")

    monkeypatch.setattr(registry, "image_study", fails)
    with pytest.raises(MyoscopeError, match="Patient 3 of site coast could not be drawn: singular"):
        registry._study(SETTINGS, 3)


@pytest.mark.slow
def test_one_worker_and_two_give_the_same_registry(tmp_path: Path) -> None:
    settings = RegistrySettings(seed=5, patients=4, sites=("north",), states=("stress",), gated=False)
    simulate_registry(settings, tmp_path / "one", workers=1)
    simulate_registry(settings, tmp_path / "two", workers=2)
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two")
