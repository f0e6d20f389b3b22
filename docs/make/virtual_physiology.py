"""Draw virtual coronary disease: flow behind a narrowing, uptake against flow, and six hearts on polar maps.

    python docs/make/virtual_physiology.py [--seed 8]

writes ``docs/images/virtual_physiology.png``. Nothing in it was measured in a patient.
"""

from __future__ import annotations

import argparse
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from myoscope.core.geometry import FloatArray
from myoscope.physics.tracers import extraction
from myoscope.report.colour_tables import colour_table
from myoscope.simulate.coronaries import CoronaryDisease, Infarct, Stenosis, coronary_disease
from myoscope.simulate.coronary_tree import Dominance, Place, draw_tree
from myoscope.simulate.perfusion import flow_share, perfuse, uptake

IMAGES = Path(__file__).parents[1] / "images"
TERRITORY_COLOURS = ("#4c78a8", "#54a24b", "#e45756")
ROWS = ("supply", "behind 70 %", "stress", "rest")


def hearts(seed: int) -> list[tuple[str, CoronaryDisease]]:
    """Six told diseases, each in the arteries of another person."""

    def heart(n: int, dominance: Dominance, *narrow: tuple[str, float, float], **more: Any) -> CoronaryDisease:
        rng = np.random.default_rng([seed, n])
        tree = draw_tree(dominance, rng)
        stenoses = tuple(Stenosis(Place(branch, along), percent) for branch, along, percent in narrow)
        return coronary_disease(tree, stenoses=stenoses, rng=rng, **more)

    infarct = Infarct(Place("RCA", 0.4), 0.7, 0.5)
    return [
        ("healthy", heart(0, "right")),
        ("LAD 85 %, proximal", heart(1, "right", ("LAD", 0.05, 85))),
        ("LAD 85 %, half-way", heart(2, "right", ("LAD", 0.40, 85))),
        ("LCx 85 %, left dom.", heart(3, "left", ("LCx", 0.08, 85))),
        ("RCA 90 %, infarct", heart(4, "right", ("RCA", 0.4, 90), infarcts=(infarct,))),
        ("three vessels, 80 %", heart(5, "right", ("LAD", 0.05, 80), ("LCx", 0.05, 80), ("RCA", 0.2, 80))),
    ]  # fmt: skip


def disc(axis: Any, value: FloatArray, **how: Any) -> None:
    """A polar map as displayed: apex in the middle, anterior above, septum left."""
    angle, radius = np.radians(np.arange(value.shape[1] + 1) * 5.0), np.arange(value.shape[0] + 1.0)
    axis.pcolormesh(np.outer(radius, np.cos(angle)), np.outer(radius, np.sin(angle)), value, rasterized=True, **how)
    axis.set_aspect("equal")
    axis.axis("off")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=8)
    parser.add_argument("--out", type=Path, default=IMAGES / "virtual_physiology.png")
    options = parser.parse_args()
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt
    from matplotlib.colors import ListedColormap

    figure = plt.figure(figsize=(12.5, 11.6))
    curves = figure.add_gridspec(1, 2, top=0.98, bottom=0.76, wspace=0.16)
    grid = figure.add_gridspec(4, 6, top=0.675, bottom=0.02, hspace=0.1, wspace=0.05)
    left, right = figure.add_subplot(curves[0]), figure.add_subplot(curves[1])
    percent = np.linspace(0, 100, 201)
    for collateral, style in ((0.05, ":"), (0.22, "-"), (0.40, "--")):
        rest, stress = np.array([flow_share(s, collateral_index=collateral) for s in percent]).T
        left.plot(percent, stress, "k" + style, label=f"hyperaemia, collateral index {collateral:g}")
        left.plot(percent, rest, "tab:blue", ls=style, lw=1, label="rest" if collateral == 0.22 else None)
    left.set(xlabel="diameter stenosis, %", ylabel="flow, share of an open artery's", ylim=(0, 1.05), xlim=(0, 100))
    left.legend(frameon=False, fontsize=8, loc="lower left")
    flow = np.linspace(0, 4, 200)
    for tracer in ("thallium", "sestamibi", "tetrofosmin", "rubidium"):
        curve = extraction(tracer)
        right.plot(flow, curve.uptake_rate_mL_min_g(flow) / curve.uptake_rate_mL_min_g(3.0), label=tracer)
    right.plot(flow, flow / 3, "0.7", lw=1, label="all of it")
    right.set(xlabel="flow, mL/min/g", ylabel="uptake, 1 at 3 mL/min/g", ylim=(0, 1.3), xlim=(0, 4))
    right.legend(frameon=False, fontsize=8, loc="upper left")

    perfusion_colours = ListedColormap(np.asarray(colour_table("spectrum"))[:, :3] / 255.0)
    for column, (title, disease) in enumerate(hearts(options.seed)):
        rng = np.random.default_rng([options.seed, 99, column])
        seen = perfuse(disease, stress_type="pharmacological", rng=rng)
        panels = [figure.add_subplot(grid[row, column]) for row in range(4)]
        panels[0].set_title(title, fontsize=9)
        disc(panels[0], disease.territory.astype(float), cmap=ListedColormap(TERRITORY_COLOURS), vmin=-0.5, vmax=2.5)
        disc(panels[1], disease.diseased, cmap="Greys", vmin=0, vmax=1.1)
        for panel, state in ((panels[2], "stress"), (panels[3], "rest")):
            value = uptake(seen, tracer="sestamibi", state=state)  # type: ignore[arg-type]
            disc(panel, value / np.percentile(value, 99.5), cmap=perfusion_colours, vmin=0, vmax=1)
            panel.text(
                0.5, -0.02, f"mean {value.mean():.2f}", ha="center", va="top", fontsize=8, transform=panel.transAxes
            )
        if column == 0:
            for panel, name in zip(panels, ROWS, strict=True):
                panel.text(
                    -0.08, 0.5, name, rotation=90, ha="center", va="center", fontsize=9, transform=panel.transAxes
                )
    page = BytesIO()
    figure.savefig(page, dpi=72, bbox_inches="tight", facecolor="white")
    plt.close(figure)
    Image.open(page).convert("RGB").quantize(200, dither=Image.Dither.NONE).save(options.out, optimize=True)
    print(f"wrote {options.out.name}, {options.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
