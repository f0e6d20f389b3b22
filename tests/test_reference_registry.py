"""The parts of the reference registry that are kept in the repository: whole, small, virtual, each patient once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from myoscope import io
from myoscope.registry import PATIENTS_PER_PART, reference_shards, simulate_reference

REFERENCE = Path(__file__).parents[1] / "reference"
TIERS = sorted(folder.name.removesuffix(".parts") for folder in REFERENCE.glob("*.parts"))
MOST_BYTES = 80_000_000


def test_all_parts_together_take_80_megabytes_at_most() -> None:
    assert sum(path.stat().st_size for path in REFERENCE.rglob(f"*{io.PART_SUFFIX}")) <= MOST_BYTES


@pytest.mark.parametrize("tier", TIERS)
def test_every_part_belongs_to_a_shard_of_its_tier(tier: str) -> None:
    names = {shard.name: shard.settings.patients for shard in reference_shards(tier)}
    for folder in (REFERENCE / f"{tier}.parts").iterdir():
        parts = sorted(path.name for path in folder.glob(f"*{io.PART_SUFFIX}"))
        assert (folder / "registry.json").is_file()
        assert len(parts) <= -(-names[folder.name] // PATIENTS_PER_PART)


@pytest.mark.parametrize("tier", TIERS)
def test_a_tier_is_put_together_from_the_parts_that_are_there(tier: str, tmp_path: Path) -> None:
    (tmp_path / f"{tier}.parts").symlink_to(REFERENCE / f"{tier}.parts")
    said = simulate_reference(tier, tmp_path / tier, as_far_as_made=True)
    cohort = io.read_cohort(tmp_path / tier).cohort
    n = len(cohort.patient)
    assert f"{n:,} of" in said
    assert len(np.unique(cohort.patient)) == n
    assert any("virtual patients, not people" in words for words in cohort.made_by)
