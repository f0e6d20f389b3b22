"""Wall, volumes and polar maps against phantoms of known truth: the tables and figures of docs/validation.

    python benchmarks/wall.py [TABLE ...] [--n 40] [--first 100] [--out DIR]

Tables: thickness, volumes, resolution, population, gated, uniform, figures.

Without names all tables are made. The starting outline is the true wall blurred and thresholded, the axis the
true one: what is measured here is the fit and the sampling, not the search for the heart. ``figures`` needs
matplotlib and writes PNG files to ``--out``.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from myoscope.core import CardiacFrame, Grid, Surfaces, Volume
from myoscope.heart import SAMPLING_METHODS, LeftVentricle, fit_surfaces, sample_wall
from myoscope.simulate import Cycle, Phantom, lv_phantom, random_phantom

CAMERAS = ((4.0, 6.7), (4.0, 8.6), (6.4, 12.0), (6.4, 15.0))
OFF_BASE = slice(0, 34)


def grid_for(voxel_mm: float) -> Grid:
    return Grid.axis_aligned((56, 56, 50) if voxel_mm < 5 else (38, 38, 34), spacing_mm=voxel_mm)


def frame_for(seed: int, voxel_mm: float) -> CardiacFrame:
    """An axis as in patients, somewhere between the voxels."""
    rng = np.random.default_rng([3, seed])
    azimuth, elevation = np.radians([rng.uniform(10, 50), rng.uniform(5, 35)])
    axis = np.array([np.sin(azimuth) * np.cos(elevation), -np.cos(azimuth) * np.cos(elevation), -np.sin(elevation)])
    return CardiacFrame(rng.uniform(-voxel_mm / 2, voxel_mm / 2, 3), axis)


def outlined(phantom: Phantom) -> LeftVentricle:
    from scipy.ndimage import gaussian_filter

    grid = phantom.volume.grid
    mask = gaussian_filter(phantom.wall.array, 2.5 / grid.spacing_mm) > 0.25
    return LeftVentricle(phantom.frame, Volume(mask, grid, "mask"), "truth", 1.0)


def fitted(phantom: Phantom, fwhm_mm: float | None = None) -> Surfaces:
    return fit_surfaces(phantom.volume, outlined(phantom), resolution_fwhm_mm=fwhm_mm or phantom.fwhm_mm)


def errors(surfaces: Surfaces, truth: Surfaces) -> tuple[float, float, float, float, float]:
    """Cavity mL, wall mL, mean thickness mm, spread of thickness mm, base mm (+ = too far from the apex)."""
    off = surfaces.thickness_mm - truth.thickness_mm
    base = (surfaces.valve_point_mm - truth.valve_point_mm) @ truth.valve_normal
    return (
        float(surfaces.cavity_mL - truth.cavity_mL),
        float(surfaces.wall_mL - truth.wall_mL),
        float(off.mean()),
        float(off.std()),
        float(base),
    )


def thickness() -> None:
    print("\n| voxel mm | FWHM mm | true wall mm | wall error mm | cavity % | wall volume % | base error mm |")
    print("|---|---|---|---|---|---|---|")
    for voxel_mm, fwhm_mm in CAMERAS:
        for wall_mm in (6.0, 8.0, 10.0, 12.0, 14.0):
            rows = []
            for seed in range(2):
                phantom = lv_phantom(
                    grid_for(voxel_mm), frame=frame_for(seed, voxel_mm), fwhm_mm=fwhm_mm, wall_mm=wall_mm
                )
                truth = phantom.surfaces
                cavity, wall, mean, _, base = errors(fitted(phantom), truth)
                rows.append((mean, 100 * cavity / float(truth.cavity_mL), 100 * wall / float(truth.wall_mL), base))
            mean, cavity, wall, base = np.mean(rows, axis=0)
            print(
                f"| {voxel_mm:g} | {fwhm_mm:g} | {wall_mm:g} | {mean:+.2f} "
                f"| {cavity:+.1f} | {wall:+.1f} | {base:+.1f} |",
                flush=True,
            )


def volumes() -> None:
    print("\n| voxel mm | FWHM mm | true cavity mL | cavity error mL | true wall mL | wall error mL |")
    print("|---|---|---|---|---|---|")
    for voxel_mm, fwhm_mm in ((4.0, 7.5), (6.4, 13.5)):
        for radius_mm in (20.0, 25.0, 31.0, 37.0, 42.0):
            phantom = lv_phantom(
                grid_for(voxel_mm),
                frame=frame_for(1, voxel_mm),
                fwhm_mm=fwhm_mm,
                short_axis_radius_mm=radius_mm,
                long_axis_mm=2.7 * radius_mm,
            )
            truth = phantom.surfaces
            cavity, wall, *_ = errors(fitted(phantom), truth)
            print(
                f"| {voxel_mm:g} | {fwhm_mm:g} | {float(truth.cavity_mL):.0f} | {cavity:+.1f} "
                f"| {float(truth.wall_mL):.0f} | {wall:+.1f} |",
                flush=True,
            )


def resolution() -> None:
    print("\n| voxel mm | true FWHM mm | FWHM believed mm | wall error mm | cavity error mL |")
    print("|---|---|---|---|---|")
    for voxel_mm, fwhm_mm in ((4.0, 7.5), (6.4, 13.5)):
        phantom = lv_phantom(grid_for(voxel_mm), frame=frame_for(1, voxel_mm), fwhm_mm=fwhm_mm)
        for factor in (0.8, 0.9, 1.0, 1.1, 1.2):
            cavity, _, mean, _, _ = errors(fitted(phantom, factor * fwhm_mm), phantom.surfaces)
            print(f"| {voxel_mm:g} | {fwhm_mm:g} | {factor * fwhm_mm:.1f} | {mean:+.2f} | {cavity:+.1f} |", flush=True)


def population(first: int, n: int) -> None:
    names = ("cavity mL", "wall mL", "mean thickness mm", "regional thickness SD mm", "base mm")
    print(
        f"\nAcceptance population, seeds {first} to {first + n - 1}, clinical noise: mean error (limits of agreement)\n"
    )
    print("| camera | n | " + " | ".join(names) + " |")
    print("|---" * (len(names) + 2) + "|")
    found: dict[float, list[tuple[float, ...]]] = {4.0: [], 6.4: []}
    for seed in range(first, first + n):
        voxel_mm = 4.0 if seed % 2 == 0 else 6.4
        phantom, _ = random_phantom(np.random.default_rng([2, seed]), voxel_mm=voxel_mm)
        found[voxel_mm].append(errors(fitted(phantom), phantom.surfaces))
    for voxel_mm, rows in found.items():
        table = np.array(rows)
        mean, spread = table.mean(axis=0), 1.96 * table.std(axis=0, ddof=1)
        cells = [f"{m:+.1f} ({m - s:+.1f} to {m + s:+.1f})" for m, s in zip(mean, spread, strict=True)]
        cells[3] = f"{mean[3]:.1f}"
        name = "CZT, 4 mm, 6.7 to 8.6 mm" if voxel_mm < 5 else "conventional, 6.4 mm, 12 to 15 mm"
        print(f"| {name} | {len(rows)} | " + " | ".join(cells) + " |", flush=True)


def gated() -> None:
    print("\n| voxel mm | noise | true EF % | EF % | true EDV mL | EDV mL | true ESV mL | ESV mL |")
    print("|---|---|---|---|---|---|---|---|")
    for voxel_mm, fwhm_mm in ((4.0, 7.5), (6.4, 13.5)):
        for noisy in (False, True):
            for ejection, radius_mm in ((65.0, 26.0), (50.0, 29.0), (30.0, 34.0)):
                rng: Any = np.random.default_rng(int(ejection)) if noisy else None
                phantom = lv_phantom(
                    grid_for(voxel_mm),
                    frame=frame_for(2, voxel_mm),
                    fwhm_mm=fwhm_mm,
                    short_axis_radius_mm=radius_mm,
                    long_axis_mm=2.8 * radius_mm,
                    cycle=Cycle(ejection, n_gates=8),
                    rv_ratio=0.4,
                    myocardial_counts=1e6,
                    rng=rng,
                )
                true, seen = phantom.surfaces.cavity_mL, fitted(phantom).cavity_mL
                print(
                    f"| {voxel_mm:g} | {'clinical' if noisy else 'none'} | {100 * (1 - true.min() / true.max()):.0f} "
                    f"| {100 * (1 - seen.min() / seen.max()):.0f} | {true.max():.0f} | {seen.max():.0f} "
                    f"| {true.min():.0f} | {seen.min():.0f} |",
                    flush=True,
                )


def uniform() -> None:
    print("\n| voxel mm | FWHM mm | method | CV % | CV by area % | mean off % | ring step % | first ring % |")
    print("|---|---|---|---|---|---|---|---|")
    for voxel_mm, fwhm_mm in CAMERAS:
        worst: dict[str, list[tuple[float, ...]]] = {method: [] for method in SAMPLING_METHODS}
        for seed in range(3):
            phantom = lv_phantom(grid_for(voxel_mm), frame=frame_for(seed, voxel_mm), fwhm_mm=fwhm_mm)
            surfaces = fitted(phantom)
            reference = sample_wall(phantom.volume, surfaces, method="surface").value[OFF_BASE].mean()
            for method in SAMPLING_METHODS:
                polar_map = sample_wall(phantom.volume, surfaces, method=method)
                body, area = polar_map.value[OFF_BASE], polar_map.area_mm2[OFF_BASE]
                mean = np.average(body, weights=area)
                by_area = np.sqrt(np.average((body - mean) ** 2, weights=area)) / mean
                step = np.abs(np.diff(body.mean(axis=1))).max() / body.mean()
                apex = body[0].mean() / body[14:28].mean()
                numbers = (body.std() / body.mean(), by_area, abs(body.mean() / reference - 1), step, apex)
                worst[method].append(tuple(100 * float(x) for x in numbers))
        for named, rows in worst.items():
            cells = " | ".join(f"{x:.2f}" for x in np.max(rows, axis=0))
            print(f"| {voxel_mm:g} | {fwhm_mm:g} | {named} | {cells} |", flush=True)


def figures(out: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from myoscope.heart import reorient

    out.mkdir(parents=True, exist_ok=True)
    drawn, panels = plt.subplots(2, 4, figsize=(12, 6.4))
    for row, (seed, voxel_mm) in enumerate(((0, 4.0), (1, 6.4))):
        phantom, _ = random_phantom(np.random.default_rng([2, seed]), voxel_mm=voxel_mm)
        surfaces = fitted(phantom)
        top = float(phantom.volume.array[phantom.wall.array > 0.5].max())
        view = reorient(phantom.volume, phantom.frame, spacing_mm=2, shape=(64, 64, 64))
        for column, height in enumerate((30, 0, -24)):
            k = round(31.5 - height / 2)
            axes = panels[row, column]
            axes.imshow(view.array[:, :, k].T, cmap="gray", vmin=0, vmax=top)
            for nodes, colour in ((phantom.surfaces, "tab:green"), (surfaces, "tab:red")):
                for side in (nodes.endo_mm, nodes.epi_mm):
                    ring = _cut(phantom.frame.to_heart(side), height)
                    axes.plot(31.5 + ring[:, 0] / 2, 31.5 - ring[:, 1] / 2, color=colour, linewidth=0.9)
            axes.set_title(f"{voxel_mm:g} mm, {height:+d} mm from the centre", fontsize=8)
        polar_map = sample_wall(phantom.volume, surfaces, method="surface")
        panels[row, 3].imshow(polar_map.percent_of_maximum().value, cmap="viridis", vmin=0, vmax=100, aspect="auto")
        panels[row, 3].set_title("polar map (ring, angle), %", fontsize=8)
    for axes in panels.flat:
        axes.set_xticks([])
        axes.set_yticks([])
    drawn.suptitle("True (green) and fitted (red) endo- and epicardium at clinical noise", fontsize=10)
    drawn.tight_layout()
    drawn.savefig(out / "wall.png", dpi=64)


def _cut(nodes: np.ndarray[Any, Any], height_mm: float) -> np.ndarray[Any, Any]:
    """Where each meridian crosses a height on the long axis; (angle, 2), NaN where it does not."""
    result = np.full((nodes.shape[1] + 1, 2), np.nan)
    for column in range(nodes.shape[1]):
        z = nodes[:, column, 2]
        if z.min() < height_mm < z.max():
            order = np.argsort(z)
            result[column] = [np.interp(height_mm, z[order], nodes[order, column, axis]) for axis in (0, 1)]
    result[-1] = result[0]
    return result


def main() -> None:
    tables = ("thickness", "volumes", "resolution", "population", "gated", "uniform", "figures")
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=", ".join(tables))
    parser.add_argument("--n", type=int, default=40, help="phantoms of the acceptance population (default 40)")
    parser.add_argument("--first", type=int, default=100, help="its first seed (default 100)")
    parser.add_argument("--out", type=Path, default=Path("docs/validation/figures"), help="folder for figures")
    chosen = parser.parse_args()
    if unknown := set(chosen.tables) - set(tables):
        parser.error(f"no table called {', '.join(sorted(unknown))}; there are {', '.join(tables)}")
    for name in chosen.tables or tables:
        start = time.process_time()
        if name == "population":
            population(chosen.first, chosen.n)
        elif name == "figures":
            figures(chosen.out)
        else:
            {"thickness": thickness, "volumes": volumes, "resolution": resolution, "gated": gated, "uniform": uniform}[
                name
            ]()
        print(f"\n{name}: {time.process_time() - start:.0f} s of processor time", flush=True)


if __name__ == "__main__":
    main()
