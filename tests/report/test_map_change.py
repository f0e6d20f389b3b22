"""The change over the wall between two results: where it is, how large, at which level, and on whose cells."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from analytic_heart import Uptake, cold_spot, even, polar_map_of, surfaces_of

from myoscope import io
from myoscope.core import InvalidValue, PolarMap, UnreadableFile
from myoscope.map_change import MapChange, change_of_maps
from myoscope.quantify import turned

Side = tuple[Path, dict[str, Any]]
SEGMENT_OF_ANTERIOR_MID = 7


def stored(
    folder: Path,
    uptake: Uptake,
    *,
    counts: float = 800.0,
    noise_percent: float = 0.0,
    to_normal: float | None = None,
    turn_deg: float = 0.0,
    seed: int = 1,
    name: str = "stress",
) -> Side:
    """What analyze leaves of one image: counts with noise of single cells, and what else is asked for."""
    place = folder / name
    (place / "maps").mkdir(parents=True)
    even_map = polar_map_of(surfaces_of(), uptake, counts=counts)
    noise = np.random.default_rng(seed).normal(1, 0.06, even_map.value.shape)
    polar_map = even_map.like(turned(even_map.value, turn_deg) * noise, "noise")
    io.save(polar_map, place / "polar_map.npz")
    if noise_percent:
        sd = noise_percent / 100 * polar_map.value
        io.save(polar_map.like(sd, "noise"), place / "polar_map_noise.npz")
    if to_normal is not None:
        relative = polar_map.like(polar_map.value * to_normal, "at the level", unit="% of normal maximum")
        io.save(relative, place / "maps" / "relative.npz")
    return folder, {"name": name, "state": {"value": "stress"}}


def changed(before: Side, after: Side, *, same_limits: bool = False) -> MapChange:
    return change_of_maps(before, after, same_limits=same_limits)


def test_the_same_wall_with_other_counts_and_noise_has_not_changed(tmp_path: Path) -> None:
    found = changed(
        stored(tmp_path / "a", cold_spot(250), counts=800), stored(tmp_path / "b", cold_spot(250), counts=300, seed=2)
    )
    assert np.abs(found.change.segment_means(17)).max() < 2
    assert (found.better_percent, found.worse_percent) == (0, 0)
    assert not found.called.value.any()
    assert found.level == pytest.approx(800 / 300, rel=0.01)
    assert found.level_by == "what did not change"
    assert found.turn_deg == 0
    assert np.nanpercentile(found.before.value, 99.5) == pytest.approx(100)


def test_a_new_defect_is_where_it_came_and_the_rest_stays(tmp_path: Path) -> None:
    found = changed(
        stored(tmp_path / "a", even, noise_percent=1.5),
        stored(tmp_path / "b", cold_spot(90), noise_percent=1.5, seed=2),
    )
    means = found.change.segment_means(17)
    assert int(np.argmin(means)) + 1 == SEGMENT_OF_ANTERIOR_MID
    assert means.min() == pytest.approx(-45, abs=8)
    assert np.abs(means[[8, 9, 10]]).max() < 3  # the inferior wall
    assert 10 < found.worse_percent < 40
    assert found.better_percent < 1
    assert found.noise_known
    assert np.array_equal(found.called.value[found.called.value != 0], found.change.value[found.called.value != 0])


def test_swapping_the_studies_changes_the_sign(tmp_path: Path) -> None:
    one, other = stored(tmp_path / "a", even), stored(tmp_path / "b", cold_spot(90), seed=2)
    forth, back = changed(one, other), changed(other, one)
    assert forth.change.segment_means(17) == pytest.approx(-back.change.segment_means(17), abs=3)
    assert forth.worse_percent == pytest.approx(back.better_percent, abs=2)


def test_with_the_same_limits_the_level_is_that_of_normal(tmp_path: Path) -> None:
    """Half of the wall is worse: what did not change is a matter of taste, what is normal is not."""
    before = stored(tmp_path / "a", even, counts=800, to_normal=0.11)
    after = stored(tmp_path / "b", cold_spot(90, low=0, high=1.2), counts=400, to_normal=0.22, seed=2)
    found = changed(before, after, same_limits=True)
    assert found.level == pytest.approx(2)
    assert found.level_by == "normal limits"
    assert found.before.unit == "% of normal maximum"
    assert found.against_normal
    assert np.nanmean(found.before.value) == pytest.approx(88, abs=1)
    other = changed(before, after)
    assert other.level_by == "what did not change"
    assert not other.against_normal


def test_a_heart_that_lies_turned_is_turned_back(tmp_path: Path) -> None:
    before = stored(tmp_path / "a", cold_spot(200))
    found = changed(before, stored(tmp_path / "b", cold_spot(200), turn_deg=12, seed=2))
    assert found.turn_deg == pytest.approx(12, abs=1.5)
    assert found.worse_percent + found.better_percent < 1
    assert np.abs(found.change.segment_means(17)).max() < 3


def test_unseen_wall_stays_unseen(tmp_path: Path) -> None:
    before, after = stored(tmp_path / "a", even), stored(tmp_path / "b", even, seed=2)
    polar_map: PolarMap = io.load(tmp_path / "b" / "stress" / "polar_map.npz")
    value = np.array(polar_map.value)
    value[34:, 50:58] = np.nan
    io.save(polar_map.like(value, "part unseen"), tmp_path / "b" / "stress" / "polar_map.npz")
    found = changed(before, after)
    assert np.isnan(found.change.value[34:, 50:58]).all()
    assert np.isnan(found.called.value).sum() == 6 * 8


def test_maps_that_cannot_be_compared_say_why(tmp_path: Path) -> None:
    before = stored(tmp_path / "a", even)
    with pytest.raises(UnreadableFile, match=r"polar_map.npz does not exist"):
        changed(before, (tmp_path / "none", before[1]))
    with pytest.raises(InvalidValue, match="not the name of a folder"):
        changed(before, (tmp_path, {**before[1], "name": "../a/stress"}))
    other = stored(tmp_path / "b", even, seed=2)
    path = tmp_path / "b" / "stress" / "polar_map.npz"
    polar_map: PolarMap = io.load(path)
    sampled = PolarMap(
        polar_map.value, "counts", polar_map.segment, polar_map.segment_20, polar_map.area_mm2, "another way"
    )
    io.save(sampled, path)
    with pytest.raises(InvalidValue, match="sampled in different ways"):
        changed(before, other)
