"""Attenuation correction from projections and CT, the whole chain on virtual patients.

    python docs/make/validate_attenuation.py [--seed 1] [--patients 12] [--quick]

writes ``docs/validation/attenuation.md`` and its figure: how far shifts that were put between CT and emission are found
again, and what correction does to the wall of healthy hearts, with the CT in place, beside it, and moved back. One
core, about five minutes (``--quick``: about one).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from myoscope import correct, heart
from myoscope.core import Grid, MyoscopeError, Surfaces, Volume
from myoscope.reconstruct import image_grid, photopeak, reconstruct
from myoscope.simulate.acquire import acquire
from myoscope.simulate.cameras import CAMERAS
from myoscope.simulate.patient import draw_patient

PAGE = Path(__file__).parents[1] / "validation" / "attenuation.md"
FIGURE = PAGE.parent / "figures" / "attenuation_alignment.png"
DISTANCES_MM = (0.0, 6.0, 10.0, 15.0, 20.0, 25.0)
BESIDE_MM = (15.0, 0.0, 0.0)  # to the left: the lateral wall comes to lie in the map's mediastinum, the septum in lung
RINGS = slice(6, 34)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--patients", type=int, default=12)
    parser.add_argument("--quick", action="store_true", help="three patients; the page is not written")
    chosen = parser.parse_args()
    n_patients = 3 if chosen.quick else chosen.patients
    rng = np.random.default_rng(chosen.seed)
    found: list[tuple[float, float, float, bool]] = []  # distance put, found, error, moved
    worst_patient: list[float] = []
    spread: dict[str, list[float]] = {name: [] for name in ("uncorrected", "in place", "15 mm beside", "moved back")}
    n_lost = 0
    for n in range(n_patients):
        patient = draw_patient(chosen.seed, index=n, site="harbour", population="low-likelihood")
        look = patient.looks(("stress",), all_positions=False)[0]
        camera = CAMERAS["conventional"]
        projections = acquire(
            patient.scene(look, n_phases=1),
            camera,
            view_duration_s=look.duration_s / camera.n_stops,
            motion=patient.motion(look),
            beats=None,
            rng=patient.rng("counts"),
        )
        ct = correct.ct_to_mu(patient.tissues("stress", look.position).ct(120.0), kvp=120.0)
        plain = reconstruct(projections)
        try:
            ventricle, _ = heart.find_left_ventricle(plain, in_training_domain=False)
            surfaces = heart.fit_surfaces(plain, ventricle)
        except MyoscopeError:
            n_lost += 1
            continue
        errors = []
        for distance in DISTANCES_MM:
            direction = rng.normal(size=3)
            shift = distance * direction / np.linalg.norm(direction)
            mu, _ = correct.mu_on_grid(beside(ct, shift), image_grid(projections))
            alignment = correct.find_alignment(mu, surfaces)
            error = float(np.linalg.norm(alignment.shift_mm + shift))
            errors.append(error)
            found.append((distance, alignment.distance_mm, error, alignment.to_be_applied))
        worst_patient.append(float(np.median(errors)))

        scatter = correct.estimate_scatter(projections, photopeak=photopeak(projections))
        assert scatter is not None
        spread["uncorrected"].append(unevenness(plain, surfaces))
        for name, shift in (("in place", np.zeros(3)), ("15 mm beside", np.array(BESIDE_MM))):
            mu, _ = correct.mu_on_grid(beside(ct, shift), image_grid(projections))
            spread[name].append(unevenness(reconstruct(projections, attenuation=mu, scatter=scatter.counts), surfaces))
            if name == "15 mm beside":
                back = correct.moved(mu, correct.find_alignment(mu, surfaces))
                image = reconstruct(projections, attenuation=back, scatter=scatter.counts)
                spread["moved back"].append(unevenness(image, surfaces))
        print(f"patient {n + 1} of {n_patients}: median error {worst_patient[-1]:.1f} mm", flush=True)
    rows = np.array(found)
    text = page(rows, worst_patient, spread, n_patients, n_lost, chosen.seed)
    print(text)
    if not chosen.quick:
        draw(rows)
        PAGE.write_text(text, encoding="utf-8")


def beside(ct: Volume, shift_mm: NDArray[np.float64]) -> Volume:
    """The CT as if the patient had lain elsewhere."""
    affine = np.array(ct.grid.affine)
    affine[:3, 3] += shift_mm
    return Volume(ct.array, Grid(ct.grid.shape, affine), ct.unit, ct.made_by)


def unevenness(image: Volume, wall: Surfaces) -> float:
    """Standard deviation of the segments' means over their mean, in percent, apex left out."""
    value = np.asarray(heart.sample_wall(image, wall, method="surface").value)[RINGS]
    sectors = value.reshape(value.shape[0], 12, 6).mean(axis=2)  # 30 degrees each
    blocks = sectors.reshape(4, -1, 12).mean(axis=1)
    return float(100 * np.nanstd(blocks) / np.nanmean(blocks))


def page(
    rows: NDArray[np.float64],
    by_patient: list[float],
    spread: dict[str, list[float]],
    n_patients: int,
    n_lost: int,
    seed: int,
) -> str:
    lines = [
        "# Attenuation",
        "",
        f"`python docs/make/validate_attenuation.py --seed {seed} --patients {n_patients}`. Virtual patients with a",
        "low likelihood of disease, conventional camera, Tc-99m, CT of 120 kVp from the same bodies: noisy projections",
        "with scatter, breathing and movement; the CT is that of the mean position. Nothing here is a patient.",
        "",
        "## Is a shift between CT and emission found?",
        "",
        f"Shifts in random directions, n = {len(by_patient)} hearts ({n_lost} more were not found in the uncorrected",
        "image). The error includes that of the heart found in the emission image. A map is moved when it lies more",
        "than 8 mm off and fits clearly better after.",
        "",
        "| shift put in | found, median | error, median (90th percentile) | moved |",
        "|---|---|---|---|",
    ]
    for distance in DISTANCES_MM:
        these = rows[rows[:, 0] == distance]
        lines.append(
            f"| {distance:.0f} mm | {np.median(these[:, 1]):.0f} mm | {np.median(these[:, 2]):.1f} mm "
            f"({np.percentile(these[:, 2], 90):.1f}) | {int(these[:, 3].sum())} of {len(these)} |"
        )
    lines += [
        "",
        f"Worst patient: {max(by_patient):.1f} mm (median over the shifts).",
        "",
        "![Shift found against shift put in](figures/attenuation_alignment.png)",
        "",
        "## What correction does to a healthy wall",
        "",
        "Unevenness of the wall without its apex: standard deviation over the mean of 48 blocks, all images of a",
        "patient sampled on the same wall. Uptake is even; what is left is noise, resolution, motion and thickness.",
        "",
        "| image | unevenness, mean (SD) |",
        "|---|---|",
    ]
    for name, values in spread.items():
        lines.append(f"| {name} | {np.mean(values):.1f} % ({np.std(values, ddof=1):.1f}) |")
    return "\n".join([*lines, ""])


def draw(rows: NDArray[np.float64]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(4.4, 3.6), layout="constrained")
    jitter = np.random.default_rng(0).uniform(-0.5, 0.5, len(rows))
    for moved, colour, label in ((1.0, "#0b7a75", "map moved"), (0.0, "#9aa0a6", "map left")):
        these = rows[:, 3] == moved
        axes.scatter(rows[these, 0] + jitter[these], rows[these, 1], s=16, color=colour, label=label)
    axes.plot([0, 28], [0, 28], color="black", lw=0.8)
    axes.axhline(8, color="black", lw=0.6, ls=":")
    axes.set(xlabel="shift put in (mm)", ylabel="shift found (mm)", xlim=(-1, 28), ylim=(0, 36))
    axes.legend(frameon=False)
    figure.savefig(FIGURE, dpi=110)


if __name__ == "__main__":
    main()
