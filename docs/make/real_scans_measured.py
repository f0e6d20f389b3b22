"""What an analysis says of each real scan, beside the reader's mask where there is one; kept scan by scan."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from page_files import VALIDATION
from real_scan_tile import draw_tile

from myoscope import analyze, io, report
from myoscope.analysis_settings import Settings
from myoscope.core import HeartResult, MyoscopeError, PolarMap, StudyResult, Surfaces, Volume
from myoscope.heart import default_resolution_mm
from myoscope.quantify import faint_base_of_septum_mm
from myoscope.report.panel import mean_surfaces

Row = dict[str, Any]
N_DIGITS = 6
"""So many last digits of the number in a file's name tell the scans of this data set apart."""
HALF_PERCENT = 50.0
_SHARES = np.linspace(-1.0, 2.0, 61)  # of the way through the wall, endocardium 0, epicardium 1
_HELD_OUT = {"held_out_dice": VALIDATION / "lv_wall_cv.csv", "model_dice": VALIDATION / "figures" / "finder_masks.csv"}


def scan_number(file: Path) -> str:
    """The name of a scan on the page: the end of the number that its public file is named by."""
    return file.stem.rsplit(".", 1)[-1][-N_DIGITS:]


def measured_scans(folder: Path, keep: Path) -> list[Row]:
    """One row for each scan of the data set, in the order of their numbers; scans that are kept are not done again.

    Beside the row lie the tile of the contact sheet and all that ``myoscope analyze`` writes.
    """
    files = sorted((folder / "dicom").glob("*.dcm"), key=scan_number)
    if len({scan_number(file) for file in files}) < len(files):
        raise SystemExit(f"the last {N_DIGITS} digits of the file names in {folder} do not tell the scans apart")
    rows: list[Row] = []
    for n, file in enumerate(files, start=1):
        print(f"\rscan {n} of {len(files)}", end="", flush=True)
        place = keep / scan_number(file)
        kept = place / "row.json"
        if not kept.exists():
            place.mkdir(parents=True, exist_ok=True)
            row = _measured(file, folder / "masks", place)
            with io.atomic_write(kept, "w") as out:
                json.dump(row, out, indent=1)
        rows.append(json.loads(kept.read_text(encoding="utf-8")))
    print()
    return _with_dice_of_others(rows)


def _measured(file: Path, masks: Path, place: Path) -> Row:
    import pydicom

    header = pydicom.dcmread(file, stop_before_pixels=True)
    row: Row = {
        "scan": scan_number(file),
        "patient": _short_hash(str(header.PatientID)),
        "hash": _short_hash(str(header.SOPInstanceUID)),
    }
    try:
        result = analyze.analyze([file], place / "analysis", settings=Settings(overwrite=True))
    except MyoscopeError as error:
        return row | {"failed": str(error)}
    one = result.series[0]
    row |= {
        "state": one.series.state.value,
        "state_evidence": one.series.state.evidence,
        "position": one.series.position.value,
        "not_done": [*one.not_done, *result.skipped],
    }
    if one.heart is None or not isinstance(one.series.image, Volume):
        return row | {"failed": "; ".join(flag.message for flag in one.flags) or "no heart was found"}
    draw_tile(result, place / "tile.png")
    report.figure_png(result, place / "study.png")
    return row | _of_heart(one.heart, result, one.series.image) | _against_mask(one.heart, file.stem, masks)


def _of_heart(heart: HeartResult, result: StudyResult, image: Volume) -> Row:
    raised = [*result.flags, *result.series[0].flags, *heart.flags]
    assumed = next((flag for flag in raised if flag.code == "wall_thickness_assumed"), None)
    values = {q.name: q for q in heart.quantities}
    cavity = values["cavity volume, ungated"]
    percent = heart.polar_map.percent_of_maximum(percentile=99.5)
    surfaces = mean_surfaces(heart.surfaces)
    return {
        "finder": heart.finder,
        "agreement": {name: float(value) for name, value in heart.agreement.items()},
        "confidence": values["finder confidence"].value,
        "outlined_mL": values["outlined wall volume"].value,
        "wall_mL": values["wall volume"].value,
        "cavity_mL": [cavity.value, cavity.low, cavity.high],
        "length_mm": values["long axis length"].value,
        "thickness_mm": float(np.median(heart.surfaces.thickness_mm)),
        "thickness_assumed": assumed is not None,
        "fwhm_mm": default_resolution_mm(image) if assumed is None else assumed.evidence["effective_fwhm_mm"],
        "sampling_percent": values["sampling methods, mean difference"].value,
        "no_limits": list(heart.no_limits),
        "segments_percent": percent.segment_means(17).tolist(),
        "septum_past_mm": faint_base_of_septum_mm(heart.polar_map, surfaces),
        "ridge_inside_mm": _ridge_inside_mm(percent, surfaces, image),
        "flags": [[flag.code, flag.severity, flag.message] for flag in raised],
    }


def _ridge_inside_mm(percent: PolarMap, surfaces: Surfaces, image: Volume) -> float:
    """How far inside the middle of the drawn wall the counts are highest across it, median between apex and base.

    Asked where the polar map holds at least half its maximum: of a wall without counts the highest says nothing.
    """
    from scipy.ndimage import map_coordinates

    endo, epi = (0.5 * (nodes[1:] + nodes[:-1]) for nodes in (surfaces.endo_mm, surfaces.epi_mm))
    across = epi - endo  # (ring, angle, 3)
    points = endo[..., None, :] + _SHARES[:, None] * across[..., None, :]
    index = np.moveaxis(image.grid.to_index(points), -1, 0)
    counts = map_coordinates(np.asarray(image.summed().array, float), index, order=3, mode="nearest")
    from_middle = (0.5 - _SHARES[counts.argmax(axis=-1)]) * np.linalg.norm(across, axis=-1)
    n_rings = len(from_middle)
    chosen = percent.value >= HALF_PERCENT
    chosen &= (np.abs((np.arange(n_rings) + 0.5) / n_rings - 0.5) < 0.3)[:, None]
    return float(np.median(from_middle[chosen]))


def _against_mask(heart: HeartResult, uid: str, masks: Path) -> Row:
    """Overlap of the outlined wall with the reader's mask, how far their centres and their ends are apart."""
    found = sorted(masks.glob(f"{uid}_mask*"))
    if not found:
        return {}
    mask = _read_mask(found[0])
    wall = np.asarray(heart.wall.array) > 0
    if mask.shape != wall.shape:
        raise SystemExit(f"the mask {found[0].name} has shape {mask.shape}, its scan {wall.shape}")
    grid = heart.wall.grid
    ours, theirs = (grid.to_mm(np.argwhere(one)) for one in (wall, mask))
    ends = [np.percentile(heart.frame.to_heart(points)[:, 2], [2, 98]) for points in (ours, theirs)]
    return {
        "dice": 2 * float(np.count_nonzero(wall & mask)) / float(wall.sum() + mask.sum()),
        "centre_mm": float(np.linalg.norm(ours.mean(axis=0) - theirs.mean(axis=0))),
        "reader_mL": float(mask.sum()) * grid.voxel_volume_mL,
        "base_further_mm": float(ends[1][0] - ends[0][0]),
        "apex_further_mm": float(ends[0][1] - ends[1][1]),
    }


def _read_mask(path: Path) -> NDArray[np.bool_]:
    """A mask on the voxels of its scan; one lacks .nii in its name, so the content decides."""
    import nibabel

    return np.asarray(nibabel.Nifti1Image.from_bytes(gzip.decompress(path.read_bytes())).dataobj) > 0


def _with_dice_of_others(rows: Sequence[Row]) -> list[Row]:
    """The overlap that networks reached which had not seen the scan, and that of the model-based finder."""
    tables = {}
    for name, path in _HELD_OUT.items():
        with path.open(encoding="utf-8", newline="") as file:
            tables[name] = {line["scan"]: float(line["dice"]) for line in csv.DictReader(file)}
    return [row | {name: table.get(row["hash"]) for name, table in tables.items()} for row in rows]


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
