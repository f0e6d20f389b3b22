"""How well the left ventricle is found: axis, centre and wall on phantoms and on the shared manual masks.

    python benchmarks/finder.py [--phantoms 200] [--masks ../shared/data/physionet-mps] [--csv-dir DIR] [--network]

Phantoms: the acceptance population of ``myoscope.simulate.random_phantom`` (clinical noise, even numbers CZT
resolution at 4 mm, odd numbers conventional resolution at 6.4 mm, a third with a defect of 10 to 30 % of the wall, a
third with a liver hotter than the heart). Two ways to the axis are scored: the model-based finder on the image, and
``frame_from_wall`` given the outlined true wall, as the learned finder uses it. Masks: the model-based finder against
the readers' outlines, none of which it was trained on; with ``--network`` also how far the two finders are apart
(the shipped network has seen these masks: that column calibrates the disagreement flag and scores nothing).
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from myoscope.core import Grid, HeartNotFound, Volume
from myoscope.heart import find_by_model, find_by_network, frame_from_wall
from myoscope.simulate import random_phantom

Row = dict[str, float | str]


def phantom_rows(n_phantoms: int) -> list[Row]:
    """One row per phantom of the acceptance population."""
    from scipy.ndimage import gaussian_filter

    rows: list[Row] = []
    for number in range(n_phantoms):
        voxel_mm = 4.0 if number % 2 == 0 else 6.4
        phantom, drawn = random_phantom(np.random.default_rng([2, number]), voxel_mm=voxel_mm)
        row: Row = {
            "phantom": number,
            "voxel_mm": voxel_mm,
            "fwhm_mm": round(phantom.fwhm_mm, 2),
            "defect": int(drawn.with_defect),
            "hot_liver": int(drawn.hot_liver),
            "found": 0,
            "axis_error_deg": np.nan,
            "centre_error_mm": np.nan,
            "cpu_s": np.nan,
        }
        started = time.process_time()
        try:
            found = find_by_model(phantom.volume)
            row["cpu_s"] = round(time.process_time() - started, 3)
            row["found"] = 1
            row["axis_error_deg"] = round(found.frame.angle_to_deg(phantom.frame), 3)
            row["centre_error_mm"] = round(float(np.linalg.norm(found.frame.centre_mm - phantom.frame.centre_mm)), 3)
        except HeartNotFound:
            pass
        sigma = phantom.fwhm_mm / np.sqrt(8 * np.log(2)) / phantom.volume.grid.spacing_mm
        blurred = gaussian_filter(np.asarray(phantom.wall.array, np.float64), sigma)
        outline = Volume(blurred > 0.4 * blurred.max(), phantom.volume.grid, "mask")
        started = time.process_time()
        frame = frame_from_wall(phantom.volume, outline)
        row["from_wall_cpu_s"] = round(time.process_time() - started, 3)
        row["from_wall_axis_error_deg"] = round(frame.angle_to_deg(phantom.frame), 3)
        rows.append(row)
    return rows


def mask_rows(folder: Path, *, network: bool) -> list[Row]:
    """One row per shared scan that has a manual mask; scans are named by a hash."""
    import hashlib

    import pydicom

    rows: list[Row] = []
    for path in sorted((folder / "dicom").glob("*.dcm")):
        data = pydicom.dcmread(path)
        uid = str(data.SOPInstanceUID)
        masks = list((folder / "masks").glob(f"{uid}_mask*"))
        if not masks:
            continue
        mask, affine = _read_mask(masks[0])
        counts = data.pixel_array.astype(np.float32).transpose(2, 1, 0)
        volume = Volume(counts, Grid((counts.shape[0], counts.shape[1], counts.shape[2]), affine), "counts")
        row: Row = {
            "scan": hashlib.sha256(uid.encode()).hexdigest()[:8],
            "position": str(data.get("PatientPosition")),
            "found": 0,
        }
        for name in ("dice", "centre_error_mm", "axis_apart_deg", "wall_mL", "confidence", "cpu_s"):
            row[name] = np.nan
        row["reader_wall_mL"] = round(float(mask.sum()) * volume.grid.voxel_volume_mL, 1)
        started = time.process_time()
        try:
            found = find_by_model(volume)
        except HeartNotFound:
            rows.append(row)
            continue
        row["cpu_s"] = round(time.process_time() - started, 3)
        row["found"] = 1
        common = float(np.count_nonzero(found.wall.array & mask))
        row["dice"] = round(2 * common / float(found.wall.array.sum() + mask.sum()), 4)
        centre = volume.grid.to_mm(np.argwhere(mask)).mean(axis=0)
        row["centre_error_mm"] = round(float(np.linalg.norm(found.frame.centre_mm - centre)), 2)
        row["axis_apart_deg"] = round(found.frame.angle_to_deg(frame_from_wall(volume, mask)), 2)
        row["wall_mL"] = round(found.wall_mL, 1)
        row["confidence"] = round(found.confidence, 3)
        row["flags"] = " ".join(flag.code for flag in found.flags)
        if network:
            learned = find_by_network(volume)
            row["finders_centre_mm"] = round(float(np.linalg.norm(learned.frame.centre_mm - found.frame.centre_mm)), 2)
            row["finders_axis_deg"] = round(learned.frame.angle_to_deg(found.frame), 2)
            row["finders_overlap"] = round(learned.overlap(found), 4)
        rows.append(row)
    return rows


def _read_mask(path: Path) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """A mask and its affine to LPS mm; one shared mask lacks .nii in its name, so the content decides."""
    import gzip

    import nibabel

    image = nibabel.Nifti1Image.from_bytes(gzip.decompress(path.read_bytes()))
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine
    return np.asarray(image.dataobj) > 0, affine


def summary(rows: Sequence[Mapping[str, float | str]], column: str) -> str:
    """Median, 5th and 95th percentile and the worst."""
    values = np.array([float(row[column]) for row in rows if column in row])
    values = values[np.isfinite(values)]
    if not values.size:
        return "-"
    low, middle, high = np.percentile(values, [5, 50, 95])
    return f"{middle:.3g} (5th {low:.3g}, 95th {high:.3g}, range {values.min():.3g} to {values.max():.3g})"


def print_phantoms(rows: Sequence[Row]) -> None:
    groups: list[tuple[str, Callable[[Row], bool]]] = [
        ("all", lambda _: True),
        ("no defect", lambda row: row["defect"] == 0),
        ("defect", lambda row: row["defect"] == 1),
        ("hot liver", lambda row: row["hot_liver"] == 1),
        ("4 mm, CZT", lambda row: row["voxel_mm"] == 4.0),
        ("6.4 mm, conventional", lambda row: row["voxel_mm"] == 6.4),
    ]
    for name, belongs in groups:
        group = [row for row in rows if belongs(row)]
        if not group:
            continue
        print(f"{name}: found {sum(int(row['found']) for row in group)} of {len(group)}")
        for column in ("axis_error_deg", "from_wall_axis_error_deg", "centre_error_mm", "cpu_s", "from_wall_cpu_s"):
            print(f"    {column:26s} {summary(group, column)}")


def print_masks(rows: Sequence[Row]) -> None:
    print(f"manual masks: found {sum(int(row['found']) for row in rows)} of {len(rows)}")
    columns = ["dice", "centre_error_mm", "axis_apart_deg", "confidence", "cpu_s"]
    columns += [name for name in ("finders_centre_mm", "finders_axis_deg", "finders_overlap") if name in rows[0]]
    for column in columns:
        print(f"    {column:26s} {summary(rows, column)}")


def write_csv(rows: Sequence[Row], path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phantoms", type=int, default=200, help="how many phantoms (0: none)")
    parser.add_argument("--masks", type=Path, default=Path("../shared/data/physionet-mps"))
    parser.add_argument("--network", action="store_true", help="also compare the two finders on the masks")
    parser.add_argument("--csv-dir", type=Path, help="write finder_phantoms.csv and finder_masks.csv here")
    options = parser.parse_args()
    if (options.masks / "dicom").is_dir():
        rows = mask_rows(options.masks, network=options.network)
        print_masks(rows)
        if options.csv_dir:
            write_csv(rows, options.csv_dir / "finder_masks.csv")
    else:
        print(f"no shared scans at {options.masks}: the part with manual masks is left out")
    if options.phantoms:
        rows = phantom_rows(options.phantoms)
        print_phantoms(rows)
        if options.csv_dir:
            write_csv(rows, options.csv_dir / "finder_phantoms.csv")


if __name__ == "__main__":
    main()
