"""Cohorts in folders: everything comes back, nothing half-written, the same bytes however it was made."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import zarr

from myoscope.core import Cohort, Column, InvalidValue, OutputError, UnreadableFile, UnsupportedFile
from myoscope.io import CohortPart, MapKind, merge_parts, read_cohort, read_part, write_cohort, write_part

STRESS = MapKind("stress_perfusion", "counts of the stress polar map", "counts")
SCAR = MapKind("rest_scar", "share of scar", "1", encoding="float16")
TERRITORY = MapKind("territory", "LAD 0, LCx 1, RCA 2", "1", encoding="label")
KINDS = (STRESS, SCAR, TERRITORY)


def cohort(n: int = 7, first: int = 0) -> Cohort:
    rows = np.arange(first, first + n)
    columns = (
        Column("age_years", "age at the study", "years"),
        Column("sex", "F or M"),
        Column("diabetes", "known diabetes"),
        Column("n_stenoses", "how many narrowings of 50 % or more"),
    )
    age = 50 + rows * 1.25
    age[rows % 5 == 3] = np.nan
    values = {
        "age_years": age,
        "sex": np.array(["F" if r % 2 else "M" for r in rows]),
        "diabetes": rows % 3 == 0,
        "n_stenoses": rows % 4,
    }
    names = np.array([f"p{r:04d}" for r in rows])
    return Cohort(names, np.char.add(names, "-1"), columns, values, ("made for a test, seed 0",))


def maps(n: int = 7, first: int = 0) -> dict[MapKind, np.ndarray]:
    made: dict[MapKind, list[np.ndarray]] = {kind: [] for kind in KINDS}
    for row in range(first, first + n):
        rng = np.random.default_rng(row)
        made[STRESS].append(np.where(rng.random((40, 72)) < 0.1, np.nan, rng.uniform(5, 300, (40, 72))))
        made[SCAR].append(rng.uniform(0, 1, (40, 72)) if row % 2 else np.full((40, 72), np.nan))
        made[TERRITORY].append(rng.integers(0, 3, (40, 72)).astype(float))
    return {kind: np.stack(each) for kind, each in made.items()}


def part(n: int, first: int) -> CohortPart:
    return CohortPart.of(cohort(n, first), KINDS, {kind.name: v for kind, v in maps(n, first).items()})


def hashes(folder: Path) -> dict[str, str]:
    files = (p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_table_and_maps_come_back(tmp_path: Path) -> None:
    original, arrays = cohort(), maps()
    sha256 = write_cohort(tmp_path / "c", original, arrays)
    back = read_cohort(tmp_path / "c")
    assert back.cohort.sha256 == original.sha256
    assert back.cohort.columns == original.columns
    assert back.cohort.made_by == original.made_by
    assert back.kinds == KINDS
    assert back.sha256 == sha256
    back.verify()
    np.testing.assert_array_equal(back.map("territory"), arrays[TERRITORY])
    np.testing.assert_allclose(back.map("rest_scar"), arrays[SCAR], atol=5e-4)
    for row, stored in enumerate(back.map("stress_perfusion")):
        span = np.nanmax(arrays[STRESS][row]) - np.nanmin(arrays[STRESS][row])
        np.testing.assert_allclose(stored, arrays[STRESS][row], atol=1.01 * span / 508)


def test_some_rows_are_those_rows(tmp_path: Path) -> None:
    write_cohort(tmp_path / "c", cohort(), maps())
    folder = read_cohort(tmp_path / "c")
    rows = np.array([5, 1])
    np.testing.assert_array_equal(folder.map("stress_perfusion", rows), folder.map("stress_perfusion")[rows])


def test_other_programs_read_it(tmp_path: Path) -> None:
    write_cohort(tmp_path / "c", cohort(), maps())
    table = pq.read_table(tmp_path / "c" / "cohort.parquet")
    assert table.column_names == ["patient", "study", "age_years", "sex", "diabetes", "n_stenoses"]
    assert table.schema.field("age_years").metadata == {b"meaning": b"age at the study", b"unit": b"years"}
    store = zarr.open_group(tmp_path / "c" / "maps.zarr", mode="r")
    group = store["stress_perfusion"]
    assert group.attrs["unit"] == "counts"
    assert group["code"].shape == (7, 40, 72)  # type: ignore[index, union-attr]
    assert json.loads((tmp_path / "c" / "cohort.json").read_text())["n_studies"] == 7


@pytest.mark.parametrize("sizes", [(7,), (3, 4), (1, 1, 5)])
def test_parts_merge_to_the_same_bytes_however_they_were_cut(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    write_cohort(tmp_path / "whole", cohort(), maps())
    paths, first = [], 0
    for number, n in enumerate(sizes):
        paths.append(tmp_path / f"part-{number}.part.zip")
        write_part(paths[-1], part(n, first))
        first += n
    merge_parts(paths, tmp_path / "merged")
    assert hashes(tmp_path / "merged") == hashes(tmp_path / "whole")


def test_a_part_comes_back(tmp_path: Path) -> None:
    original = part(4, 2)
    write_part(tmp_path / "p.part.zip", original)
    back = read_part(tmp_path / "p.part.zip")
    assert back.cohort.sha256 == original.cohort.sha256
    assert back.kinds == original.kinds
    for name, encoded in original.maps.items():
        np.testing.assert_array_equal(back.maps[name].code, encoded.code)
        np.testing.assert_array_equal(back.maps[name].scale, encoded.scale)


def test_a_part_is_small_and_always_the_same_bytes(tmp_path: Path) -> None:
    ring, angle = np.mgrid[0:40, 0:72]
    smooth = 100 + 30 * np.sin(ring / 9.0) * np.cos(2 * np.pi * angle / 72) + np.arange(7)[:, None, None]
    smooth[:, 37:, 30:44] = np.nan
    kind = MapKind("stress_perfusion", "counts", "counts")
    made = CohortPart.of(cohort(), (kind,), {"stress_perfusion": smooth})
    for name in ("a", "b"):
        write_part(tmp_path / name, made)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").stat().st_size < 0.3 * smooth.size
    np.testing.assert_array_equal(read_part(tmp_path / "a").maps["stress_perfusion"].code, made.maps[kind.name].code)


@pytest.mark.parametrize("place", [0.3, 0.6, 0.95])
def test_a_part_with_a_wrong_byte_is_refused(tmp_path: Path, place: float) -> None:
    path = tmp_path / "p.part.zip"
    write_part(path, part(4, 0))
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 0x55
    path.write_bytes(content)
    with pytest.raises(UnreadableFile, match="part of a cohort, or damaged"):
        read_part(path)


def test_parts_that_differ_or_overlap_are_not_merged(tmp_path: Path) -> None:
    write_part(tmp_path / "a.part.zip", part(2, 0))
    write_part(tmp_path / "b.part.zip", part(2, 1))
    with pytest.raises(InvalidValue, match="twice"):
        merge_parts([tmp_path / "a.part.zip", tmp_path / "b.part.zip"], tmp_path / "c")
    write_part(tmp_path / "d.part.zip", CohortPart(cohort(2, 4), (), {}))
    with pytest.raises(InvalidValue, match=r"d\.part.zip has other columns or maps"):
        merge_parts([tmp_path / "a.part.zip", tmp_path / "d.part.zip"], tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_a_changed_cohort_does_not_verify(tmp_path: Path) -> None:
    write_cohort(tmp_path / "c", cohort(), maps())
    write_cohort(tmp_path / "other", cohort(7, 1), maps(7, 1))
    (tmp_path / "c" / "cohort.parquet").write_bytes((tmp_path / "other" / "cohort.parquet").read_bytes())
    with pytest.raises(UnreadableFile, match="hash differs"):
        read_cohort(tmp_path / "c").verify()


def test_damage_is_said_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="not a cohort folder"):
        read_cohort(tmp_path)
    write_cohort(tmp_path / "c", cohort(), maps())
    manifest = tmp_path / "c" / "cohort.json"
    text = manifest.read_text()
    manifest.write_text(text.replace('"schema_version": 1', '"schema_version": 99'))
    with pytest.raises(UnsupportedFile, match="99"):
        read_cohort(tmp_path / "c")
    manifest.write_text(text)
    (tmp_path / "c" / "cohort.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(UnreadableFile, match="parquet"):
        read_cohort(tmp_path / "c")
    (tmp_path / "p.part.zip").write_bytes(b"PK not an archive")
    with pytest.raises(UnreadableFile, match="part of a cohort"):
        read_part(tmp_path / "p.part.zip")
    write_cohort(tmp_path / "d", cohort())
    with pytest.raises(InvalidValue, match="no map 'rest'"):
        read_cohort(tmp_path / "d").map("rest")


def test_a_folder_that_is_there_stays(tmp_path: Path) -> None:
    write_cohort(tmp_path / "c", cohort(), maps())
    before = hashes(tmp_path / "c")
    with pytest.raises(OutputError, match="exists already"):
        write_cohort(tmp_path / "c", cohort(3), maps(3))
    assert hashes(tmp_path / "c") == before
    write_cohort(tmp_path / "c", cohort(3), maps(3), replace=True)
    assert len(read_cohort(tmp_path / "c").cohort) == 3


@pytest.mark.parametrize(
    ("kind", "value"),
    [(STRESS, np.inf), (TERRITORY, 0.5), (TERRITORY, 255.0), (SCAR, 1e6)],
    ids=["infinite", "half a label", "label too large", "too large for 16 bits"],
)
def test_numbers_that_cannot_be_stored_are_refused(tmp_path: Path, kind: MapKind, value: float) -> None:
    with pytest.raises(InvalidValue):
        write_cohort(tmp_path / "c", cohort(2), {kind: np.full((2, 40, 72), value)})
    assert not (tmp_path / "c").exists()
