"""Small trained systems that tests here share, made once however many processes run the tests.

The fixtures are imported by the test modules that use them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tiny_cohort import write_cohort_of_maps

from myoscope import io
from myoscope.learn import Examples, ModelCard, TrainedModel, load_model, read_card
from myoscope.systems import SYSTEMS
from myoscope.systems.contract import CohortSystem, load_system, settings_with

NAMES = [system.name for system in SYSTEMS if system.learns_from == "cohort"]
BRIEF = ["members=3", "steps=4", "batch=8", "validate_every=2", "patience=2", "widths=4,4,4"]
OWN = {
    "betancur2018": ["hidden=4"],
    "betancur2019": ["hidden=4"],
    "otaki2022": ["hidden=4"],
    "yeung2022": ["stand_in=true", "pretraining_patients=12", "pretraining_steps=3", "frozen_steps=2"],
}


@dataclass(frozen=True)
class Trained:
    """A system taught for four steps on thirty-four made-up patients: it knows nothing, but is whole."""

    system: CohortSystem
    settings: Any
    examples: Examples
    card: ModelCard
    folder: Path

    @property
    def model(self) -> TrainedModel:
        return load_model(self.folder, self.card.system)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A folder that the processes of one run of the tests have in common."""
    own = tmp_path_factory.getbasetemp()
    return own if getattr(request.config, "workerinput", None) is None else own.parent


@pytest.fixture(scope="session")
def cohorts(shared: Path) -> tuple[io.CohortFolder, io.CohortFolder]:
    """Patients of two sites, and healthy ones for normal limits."""
    from filelock import FileLock

    with FileLock(shared / "cohorts.lock"):
        if not (shared / "maps").exists():
            write_cohort_of_maps(shared / "normals", {"riverside": 30, "coast": 30}, seed=4, healthy=True)
            write_cohort_of_maps(shared / "maps", {"riverside": 34, "coast": 20}, seed=3)
    return io.read_cohort(shared / "maps"), io.read_cohort(shared / "normals")


def trained_system(name: str, cohorts: tuple[io.CohortFolder, io.CohortFolder], shared: Path) -> Trained:
    """A system by name, taught if no process has done so yet."""
    from filelock import FileLock

    system = load_system(name)
    settings = settings_with(system.Settings(), [*BRIEF, *OWN[name]])
    examples = system.prepare([cohorts[0]], settings, normals=[cohorts[1]])
    folder = shared / name
    with FileLock(shared / f"{name}.lock"):
        if not (folder / f"{name}.json").exists():
            system.train(examples, settings, out=folder)
    return Trained(system, settings, examples, read_card(folder, name), folder)


# What 2019 has of its own is its preparation; the network is that of 2018.
_SLOW = {"betancur2019"}


@pytest.fixture(scope="session", params=[pytest.param(n, marks=pytest.mark.slow) if n in _SLOW else n for n in NAMES])
def trained(
    request: pytest.FixtureRequest, cohorts: tuple[io.CohortFolder, io.CohortFolder], shared: Path
) -> Iterator[Trained]:
    """Each system in turn."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("lightning_fabric", reason="lightning is not installed (pip install myoscope[train])")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield trained_system(request.param, cohorts, shared)
    torch.set_num_threads(threads)
