"""All real scans: pictures, volumes and flags of each, beside the reader's mask, and what a reader would object to.

    python docs/make/validate_real_scans.py [--data FOLDER] [--keep FOLDER]

writes ``docs/validation/real_scans.md`` and ``figures/real_scans_*.png``. Scans are kept one by one, so a run that was
stopped goes on. ``--data`` is the folder of real data (``physionet-mps``).
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from figures_in_words import share, told
from numpy.typing import NDArray
from page_files import VALIDATION, write_page
from real_scan_tile import HALF_MM, write_sheet
from real_scans_looked_at import LOOKS, OBJECTIONS, Objection
from real_scans_measured import HALF_PERCENT, N_DIGITS, Row, measured_scans

DATA = Path(__file__).parents[3] / "shared/data"
SCANS = Path("physionet-mps")
TILES_PER_SHEET = 12
BASAL_ANTEROSEPTAL, BASAL_INFEROSEPTAL, BASAL_ANTEROLATERAL = 1, 2, 5
FALLS_SHORT = (
    "## What falls short",
    "",
    "* One camera, one tracer, one hospital, mostly rest, no gates. Nothing is known of sex, age, diagnosis or "
    "outcome: whether a deficit is a disease cannot be said, and no map here has normal limits.",
    "* The notes were written by someone who writes the program, not by a physician, knowing the flags and the "
    "reader's outline; the septum was looked at again when its counts had been measured. Distances in them are by eye, "
    "to about 5 mm. Two cardiologists reading blind would be worth more than all of it.",
    "* The finder was taught on 53 of these scans. The overlap of networks that had not seen them stands beside its "
    "own. The model-based finder's outlining, the limits of `finders_disagree` and the test for softness were set "
    "while looking at them; what walls and valve planes usually are comes from phantoms and virtual hearts.",
    "* The masks outline blurred counts, at a level that the reader chose scan by scan. Their volume is two to three "
    "times that of the muscle, and they say nothing of how thick the wall is.",
    "* The flag of the septum's base (`septum_base_faint`, 13 mm) was made after this look and from these scans: how "
    "often it is right on others is not known. It doubts the contour and does not mend it; walls without counts that "
    "had to be guessed have no flag.",
)


def column(rows: Sequence[Row], of: Callable[[Row], float | None]) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """A figure (scan, 1) of the scans that have it, and their patients (scan,)."""
    pairs = [(value, row["patient"]) for row in rows if (value := of(row)) is not None]
    return np.array([[value] for value, _ in pairs], np.float64), np.array([patient for _, patient in pairs])


def summary_line(rows: Sequence[Row], name: str, form: str, of: Callable[[Row], float | None]) -> str:
    value, patients = column(rows, of)
    median = told(lambda t: float(np.median(t)), value, form, cluster=patients)
    return f"| {name} | {len(value)} | {median} | {value.min():{form}} to {value.max():{form}} |"


def together(rows: Sequence[Row]) -> list[str]:
    """Medians over all scans with a heart."""
    lines = ["| figure | scans | median (95 % over patients) | range |", "|---|---|---|---|"]
    for name, form, of in (
        ("long axis, network against model, degrees", ".1f", lambda r: r["agreement"].get("axis_deg")),
        ("centre, network against model, mm", ".1f", lambda r: r["agreement"].get("centre_mm")),
        ("overlap (Dice), network against model", ".2f", lambda r: r["agreement"].get("overlap")),
        ("confidence of the finder", ".2f", lambda r: r["confidence"]),
        ("cavity, mL", ".0f", lambda r: r["cavity_mL"][0]),
        ("wall (muscle), mL", ".0f", lambda r: r["wall_mL"]),
        ("wall as a reader outlines it, mL", ".0f", lambda r: r["outlined_mL"]),
        ("softness, FWHM mm", ".1f", lambda r: r["fwhm_mm"]),
        ("thickness of the wall, mm", ".1f", lambda r: r["thickness_mm"]),
        ("length of the long axis, mm", ".0f", lambda r: r["length_mm"]),
        ("counts highest so far inside the middle of the drawn wall, mm", ".1f", lambda r: r["ridge_inside_mm"]),
        ("septum below half the maximum from its base on, mm", ".0f", lambda r: r["septum_past_mm"]),
        ("basal inferoseptal segment, % of maximum", ".0f", lambda r: r["segments_percent"][BASAL_INFEROSEPTAL]),
        ("basal anteroseptal segment, % of maximum", ".0f", lambda r: r["segments_percent"][BASAL_ANTEROSEPTAL]),
        ("basal anterolateral segment, % of maximum", ".0f", lambda r: r["segments_percent"][BASAL_ANTEROLATERAL]),
        ("overlap (Dice) with the mask, this finder, **taught on it**", ".3f", lambda r: r.get("dice")),
        ("the same, networks that had not seen the scan", ".3f", lambda r: r.get("held_out_dice")),
        ("the same, model-based finder, its outlining calibrated on the masks", ".3f", lambda r: r.get("model_dice")),
        ("centre against that of the mask, mm (taught on it)", ".1f", lambda r: r.get("centre_mm")),
        ("outlined wall further to the base than the mask, mm", "+.1f", lambda r: r.get("base_further_mm")),
        ("outlined wall further to the apex than the mask, mm", "+.1f", lambda r: r.get("apex_further_mm")),
    ):
        lines.append(summary_line(rows, name, form, of))
    return lines


def common_flags(rows: Sequence[Row]) -> list[str]:
    """The flags that every scan has."""
    return sorted(set.intersection(*({code for code, _, _ in row["flags"]} for row in rows)))


def flags_of_all(rows: Sequence[Row]) -> list[str]:
    n = Counter(code for row in rows for code in {code for code, _, _ in row["flags"]})
    severity = {code: level for row in rows for code, level, _ in row["flags"]}
    lines = ["| flag | kind | scans |", "|---|---|---|"]
    lines += [
        f"| `{code}` | {severity[code]} | {count} of {len(rows)} |"
        for code, count in sorted(n.items(), key=lambda kv: (-kv[1], kv[0]))
    ]
    return lines


def has_flag(row: Row, code: str) -> bool:
    return any(one == code for one, _, _ in row["flags"])


def objects(row: Row, objection: Objection) -> bool:
    return objection in LOOKS[row["scan"]].objections


def objections(rows: Sequence[Row]) -> list[str]:
    """How many scans were objected to, and what the program's own flags knew of it."""
    verdicts = Counter(LOOKS[row["scan"]].verdict for row in rows)
    redraw = [row for row in rows if LOOKS[row["scan"]].verdict == "redraw"]
    warned = [any(level == "warning" for _, level, _ in row["flags"]) for row in redraw]
    touching = [row for row in rows if objects(row, "neighbour")]
    flagged = [row for row in rows if has_flag(row, "extracardiac_activity")]
    lines = [
        "**By looking.** Slices in all three directions with their contours, the reader's outline over them, and the "
        f"polar map of each of {len(rows)} scans: the contours of {verdicts['as it is']} may stay as they are, "
        f"{verdicts['with a remark']} have a remark, and {verdicts['redraw']} would be redrawn somewhere, "
        f"{share([LOOKS[row['scan']].verdict == 'redraw' for row in rows])}. In none was something else taken for the "
        "ventricle, the base for the apex, or an axis seen to be wrong. To be redrawn means: some part "
        "runs on for 15 mm or more past the end of its counts or stops as far short of it, follows a neighbour, is "
        "guessed over most of a wall without counts, or leaves the wall all round the base.",
        "",
        "| objection | scans | of them redrawn |",
        "|---|---|---|",
    ]
    for kind, words in OBJECTIONS.items():
        own = [row for row in rows if objects(row, kind)]
        lines.append(f"| {words} | {len(own)} | {sum(row in redraw for row in own)} |")
    low = [min(row["segments_percent"][k] for k in (BASAL_ANTEROSEPTAL, BASAL_INFEROSEPTAL)) for row in rows]
    septum = [value < HALF_PERCENT for value in low]
    ridge = np.array([row["ridge_inside_mm"] for row in rows])
    assumed = sum(row["thickness_assumed"] for row in rows)
    cavity = np.array([row["cavity_mL"] for row in rows])
    below, above = (np.median(100 * np.abs(cavity[:, k] / cavity[:, 0] - 1)) for k in (1, 2))
    past = [row for row in rows if objects(row, "septum")]
    not_past = [row for row in rows if not objects(row, "septum")]
    redrawn_past = [row for row in past if row in redraw]
    past_mm = {seen: [r["septum_past_mm"] for r in rows if objects(r, "septum") == seen] for seen in (True, False)}
    return [
        *lines,
        "",
        "What the program's flags knew of it:",
        "",
        f"* Of the {len(redraw)} scans to be redrawn, {sum(warned)} carry a warning, and the two finders agree on "
        f"{sum(not has_flag(row, 'finders_disagree') for row in redraw)}: their agreement says that the heart was "
        "found, nothing of its base.",
        f"* Bowel or liver touches the wall in {len(touching)} scans by looking; "
        f"{sum(has_flag(row, 'extracardiac_activity') for row in touching)} of them are flagged "
        f"`extracardiac_activity`. Of {len(flagged)} flagged, in {sum(row not in touching for row in flagged)} it lies "
        "apart.",
        f"* A septum that runs on past its counts is flagged `septum_base_faint` in "
        f"{sum(has_flag(row, 'septum_base_faint') for row in past)} of {len(past)} scans where it was objected to, "
        f"and in {sum(has_flag(row, 'septum_base_faint') for row in redrawn_past)} of the {len(redrawn_past)} of them "
        f"to be redrawn; in {sum(has_flag(row, 'septum_base_faint') for row in not_past)} of {len(not_past)} where "
        "nothing was objected to there. A wall without counts that had to be guessed has no flag.",
        "",
        "What holds for most of them:",
        "",
        f"* **The base of the septum.** From the base on, the drawn septum holds less than {HALF_PERCENT:.0f} % of the "
        f"maximum over {np.median(past_mm[True]):.0f} mm (median; {min(past_mm[True]):.0f} to "
        f"{max(past_mm[True]):.0f}) where it was objected to and over {np.median(past_mm[False]):.0f} mm "
        f"({min(past_mm[False]):.0f} to {max(past_mm[False]):.0f}) where not. The basal anteroseptal or inferoseptal "
        f"segment is below {HALF_PERCENT:.0f} % in {share(septum)}. Some of it is the membranous septum and the plane "
        "of the valves, not a deficit. Normal limits made in the same way would expect it; a reader of a map without "
        "limits would call it a defect.",
        f"* **The thickness is not measured** in {assumed} of {len(rows)}: the usual one for the heart's size stands "
        f"in its place, so wall volume has no interval. The cavity's reaches from {below:.0f} % below to {above:.0f} % "
        "above it (medians); whether that holds the truth on such images is known of virtual hearts only.",
        f"* **The endocardium looks too far out** to an eye used to outlines of counts: it runs near the brightest "
        f"counts. Measured, counts are highest {np.median(ridge):.1f} mm inside the middle of the drawn wall (median; "
        f"{ridge.min():.1f} to {ridge.max():.1f}); blur on a curved wall moves them inwards.",
        f"* **No map can be judged.** {reasons_without_limits(rows)} The limits that come with the program are those "
        "of virtual cameras.",
        "",
        "Scan by scan, redrawn ones in bold:",
        "",
        "| scan | verdict | seen |",
        "|---|---|---|",
        *(note(row["scan"]) for row in rows if LOOKS[row["scan"]].words),
        "",
        f"Nothing to remark: {', '.join(row['scan'] for row in rows if not LOOKS[row['scan']].words)}.",
    ]


def note(scan: str) -> str:
    look = LOOKS[scan]
    name = f"**{scan}**" if look.verdict == "redraw" else scan
    return f"| {name} | {look.verdict} | {look.words} |"


def reasons_without_limits(rows: Sequence[Row]) -> str:
    n = Counter("; ".join(row["no_limits"]) for row in rows)
    return " ".join(
        f"In {count} of {len(rows)} there is neither TPD nor a score, because {why}." for why, count in n.most_common()
    )


def state(row: Row) -> str:
    """Stress or rest as the file says, and whether the patient lay prone."""
    return f"{'prone ' if row.get('position') == 'prone' else ''}{row.get('state') or 'state not stated'}"


def scan_line(row: Row, common: Sequence[str]) -> str:
    if "failed" in row:
        return f"| {row['scan']} | {state(row)} | {row['failed']} |" + " |" * 11
    agreement = row["agreement"]
    apart = f"{agreement['axis_deg']:.1f}° / {agreement['centre_mm']:.1f} / {agreement['overlap']:.2f}"
    value, low, high = row["cavity_mL"]
    thickness = f"{row['thickness_mm']:.1f} {'assumed' if row['thickness_assumed'] else 'measured'}"
    dice = "no mask" if "dice" not in row else f"{row['dice']:.3f}"
    others = " / ".join("–" if row[key] is None else f"{row[key]:.3f}" for key in ("held_out_dice", "model_dice"))
    centre = "–" if "dice" not in row else f"{row['centre_mm']:.1f}"
    flags = ", ".join(f"`{code}`" for code, _, _ in row["flags"] if code not in common) or "none"
    return (
        f"| {row['scan']} | {state(row)} | {row['finder']} | {apart} | {value:.0f} ({low:.0f} to {high:.0f}) | "
        f"{row['wall_mL']:.0f} | {row['outlined_mL']:.0f} | {row['fwhm_mm']:.1f} | {thickness} | "
        f"{row['septum_past_mm']:.0f} | {dice} | {others} | "
        f"{centre} | {flags} |"
    )


def scan_by_scan(rows: Sequence[Row], common: Sequence[str]) -> list[str]:
    return [
        "Finders apart: long axis in degrees, centre in mm, overlap (Dice) of the network's wall and the model's. "
        "Cavity in mL with its 95 % interval. Wall in mL: the muscle, and as a reader outlines it. Septum: how far it "
        "holds less than half the maximum from its base on, mm. Dice with the mask: of this finder, **which was taught "
        "on it**; then of networks that had not seen the scan / of the model-based finder. Flags besides "
        + " and ".join(f"`{code}`" for code in common)
        + ", which all have.",
        "",
        "| scan | state | finder | finders apart | cavity | wall | outlined | softness, FWHM mm | thickness, mm "
        "| septum | Dice | Dice of others | centre off, mm | flags |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
        *(scan_line(row, common) for row in rows),
    ]


def sheets(rows: Sequence[Row], keep: Path) -> list[str]:
    """Contact sheets of a dozen scans each, in the order of the table."""
    lines: list[str] = []
    for n, start in enumerate(range(0, len(rows), TILES_PER_SHEET), start=1):
        part = rows[start : start + TILES_PER_SHEET]
        name = f"real_scans_{n}.png"
        write_sheet([(heading(row), keep / row["scan"] / "tile.png") for row in part], name)
        lines += [f"![Scans {part[0]['scan']} to {part[-1]['scan']}](figures/{name})", ""]
    return lines


def heading(row: Row) -> str:
    words = [row["scan"], state(row)]
    return ", ".join([*words, "redraw"] if LOOKS[row["scan"]].verdict == "redraw" else words)


def opening(rows: Sequence[Row], found: Sequence[Row]) -> list[str]:
    states = Counter(state(row) for row in rows)
    masks = sum("dice" in row for row in found)
    finders = Counter(row["finder"] for row in found)
    return [
        "# Real scans",
        "",
        "`python docs/make/validate_real_scans.py`: what `myoscope analyze` says of "
        f"{len(rows)} real scans of {len({row['patient'] for row in rows})} patients, one by one, and what a reader "
        "would object to. GE Discovery NM 530c (multi-pinhole CZT), Tc-99m MIBI, ungated, 4 mm voxels; from "
        '"Myocardial perfusion scintigraphy image database" 1.0.0, Calixto, Nogueira, Luz, Ortiz de Camargo, PhysioNet '
        "2025, [10.13026/ce2z-dw74](https://doi.org/10.13026/ce2z-dw74), CC BY 4.0.",
        "",
        f"A scan is named by the last {N_DIGITS} digits of the number that its public file has for a name. The state "
        "is taken from the image ID in the file: " + ", ".join(f"{name} {n}" for name, n in states.most_common()) + ". "
        f"A heart was found in {share([row in found for row in rows])}, by "
        + ", ".join(f"the {name} in {n}" for name, n in finders.most_common())
        + f". {masks} have a reader's outline; the network was taught on these very outlines, so its overlap with them "
        "is no test: what networks reach that had not seen a scan is in [its own page](lv_wall.md). Of volumes, "
        "softness and thickness there is no truth here.",
    ]


def page(rows: Sequence[Row], keep: Path) -> list[str]:
    found = [row for row in rows if "failed" not in row]
    common = common_flags(found)
    return [
        *opening(rows, found),
        "",
        "## All scans together",
        "",
        *together(found),
        "",
        "Intervals resample patients. All that is flagged:",
        "",
        *flags_of_all(found),
        "",
        "## What a reader would object to",
        "",
        *objections(found),
        "",
        "## Pictures",
        "",
        "Middle slice of the short axis, the vertical and the horizontal long axis, and the polar map. Short axis: "
        "anterior up, septum left; vertical long axis: apex right; horizontal long axis: apex up; map: apex in the "
        "middle, anterior up, septum left, 17 segments. White: epicardium, blue: endocardium. Colours as the report "
        "opens with, 0 to 100 % of the highest counts in the wall (slices) and of the map (99.5th percentile). All "
        f"slices are {2 * HALF_MM:.0f} mm wide.",
        "",
        *sheets(rows, keep),
        "## Scan by scan",
        "",
        *scan_by_scan(rows, common),
        "",
        *FALLS_SHORT,
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--keep", type=Path, default=Path("validate_real_scans.kept"))
    asked = parser.parse_args()
    folder = asked.data / SCANS
    if not (folder / "dicom").is_dir():
        raise SystemExit(f"there are no scans in {folder}: --data is the folder that holds {SCANS}")
    rows = measured_scans(folder, asked.keep)
    unseen = sorted({row["scan"] for row in rows} ^ set(LOOKS))
    if unseen:
        raise SystemExit(f"notes and scans do not belong together: {', '.join(unseen)}")
    path = VALIDATION / "real_scans.md"
    write_page(path, page(rows, asked.keep))
    print(path)


if __name__ == "__main__":
    main()
