"""The tables in the folder of a series: what a physicist reads off them is what was measured."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from myoscope import io, measure, quantify
from myoscope.analyze import Settings, analyze, analyze_study
from myoscope.core import CardiacFrame, Grid, NormalLimits, Series, Stated, Study, StudyKind
from myoscope.series_tables import N_SLICES, profile_columns, write_series_tables
from myoscope.simulate import Cycle, Defect, lv_phantom

FRAME = CardiacFrame(np.array((12.0, -18.0, 6.0)), np.array((0.45, -0.82, -0.35)))
GRID = Grid.axis_aligned((44, 44, 40), spacing_mm=4, centre_mm=(12, -18, 6))
KIND = StudyKind(sex="F", tracer="Tc-99m", camera="a camera", position="supine", state="stress", corrected=False)
LIMITS = NormalLimits(
    mean=np.full((40, 72), 90.0),
    deviation=np.full((40, 72), 6.0),
    area_mm2=np.full((40, 72), 4.0),
    multiple=2.5,
    n=40,
    kind=KIND,
    unit="% of normal maximum",
    method="surface sampling, maximum across the wall",
    provenance="nobody; a test",
    smoothing_fwhm_mm=20.0,
)


def state_of(folder: Path, *, with_limits: bool, n_gates: int = 1) -> measure.State:
    beat = Cycle(55, n_gates=n_gates) if n_gates > 1 else None
    defect = Defect(angle_deg=200, arc_fraction=0.4, extent=0.15, depth=0.7)
    made = lv_phantom(GRID, frame=FRAME, fwhm_mm=9, defect=defect, rng=np.random.default_rng(4), cycle=beat)
    known: tuple[Path, ...] = ()
    if with_limits:
        folder.mkdir()
        io.write_limits(LIMITS, folder / "a.limits")
        known = (folder,)
    series = Series(
        "stress",
        "RECON TOMO",
        made.volume,
        state=Stated("stress", "code"),
        sex=Stated("F", "header"),
        tracer=Stated("Tc-99m", "code"),
        camera=Stated("a camera", "header"),
    )
    (state,) = analyze_study(Study("nobody", (series,)), settings=Settings(finder="model", limits=known)).states
    return state


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> measure.State:
    return state_of(tmp_path_factory.mktemp("limits") / "known", with_limits=True)


def test_a_profile_lies_below_the_normal_limit_where_the_polar_map_does(compared: measure.State) -> None:
    columns = profile_columns(compared)
    assert {column.shape for column in columns.values()} == {(N_SLICES * 72,)}
    assert columns["normal_mean_percent"][np.isfinite(columns["counts"])] == pytest.approx(90, abs=0.01)
    seen = np.isfinite(columns["counts"])
    assert columns["normal_limit_percent"][seen] == pytest.approx(90 - 2.5 * 6, abs=0.01)
    below = seen & (columns["percent_of_normal"] < columns["normal_limit_percent"])
    assert 0.03 < below.sum() / seen.sum() < 0.5
    assert abs(np.median(columns["angle_deg"][below]) - 200) < 25
    # The defect in the profile itself, which is not smoothed, lies where the smoothed map is below the limit.
    assert columns["percent_of_maximum"][below].mean() < columns["percent_of_maximum"][seen & ~below].mean() - 20


def test_counts_are_those_of_the_image_and_percent_is_of_their_highest(compared: measure.State) -> None:
    columns = profile_columns(compared)
    top = np.nanmax(columns["counts"])
    assert columns["percent_of_maximum"] == pytest.approx(100 * columns["counts"] / top, nan_ok=True)
    assert 0.7 * top < np.nanpercentile(compared.heart.polar_map.value, 99.5) < 1.1 * top


def test_without_limits_those_columns_are_empty_and_the_rest_is_there(tmp_path: Path) -> None:
    state = state_of(tmp_path / "none", with_limits=False)
    write_series_tables(state, tmp_path)
    with (tmp_path / "count_profiles.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == N_SLICES * 72
    assert {row["percent_of_normal"] + row["normal_limit_percent"] for row in rows} == {""}
    assert rows[0]["slice"] == "1"
    assert float(rows[0]["angle_deg"]) == 2.5
    # Nothing tells of the noise of one image without gates or halves.
    assert not (tmp_path / "polar_map_noise.npz").exists()


def test_a_gated_series_has_profiles_of_its_sum_and_the_noise_of_its_map(tmp_path: Path) -> None:
    state = state_of(tmp_path / "limits", with_limits=False, n_gates=8)
    write_series_tables(state, tmp_path)
    assert (tmp_path / "count_profiles.csv").is_file()
    noise = io.load(tmp_path / "polar_map_noise.npz")
    polar_map = state.heart.polar_map
    assert noise.unit == polar_map.unit
    relative = noise.value / polar_map.value
    assert 0.0005 < np.nanmedian(relative) < 0.1
    assert np.array_equal(np.isnan(noise.value), np.isnan(polar_map.value))


def test_smoothing_takes_noise_away_as_it_does_from_maps(compared: measure.State) -> None:
    rng = np.random.default_rng(8)
    polar_map = compared.heart.polar_map
    level = polar_map.like(np.full(polar_map.value.shape, 400.0), "even")
    noise = quantify.MapNoise(rng.standard_normal((30, *level.value.shape)), "white")
    drawn = 400 + 20 * rng.standard_normal((200, *level.value.shape))
    for fwhm_mm in (0.0, 20.0):
        told = quantify.noise_sd_map(level, noise, smoothing_fwhm_mm=fwhm_mm).value.mean()
        there = quantify.smoothed_on_wall(drawn, level.area_mm2, fwhm_mm).std(axis=0)
        assert told == pytest.approx(np.sqrt((there**2).mean()), rel=0.05)


def test_a_wall_without_counts_has_no_profiles(compared: measure.State, tmp_path: Path) -> None:
    empty = replace(compared, image=compared.image.like(0 * np.asarray(compared.image.array), "empty"))
    write_series_tables(empty, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_analyze_writes_the_profiles_of_every_series_with_a_heart(tmp_path: Path) -> None:
    made = lv_phantom(GRID, frame=FRAME, fwhm_mm=9, rng=np.random.default_rng(4)).volume
    io.write_nm(made, tmp_path / "a.dcm", description=io.NmDescription(state="stress", uid_seed="3"))
    result = analyze([tmp_path / "a.dcm"], tmp_path / "out", settings=Settings(finder="model", workers=1))
    (one,) = result.series
    head = (tmp_path / "out" / one.series.name / "count_profiles.csv").read_text().splitlines()[0]
    assert head.startswith("slice,depth_mm,angle_deg,counts,percent_of_maximum,percent_of_normal,")
