"""Check virtual hearts against people, conservation laws and one real beating heart; draw three of them.

    python docs/make/validate_heart.py [--seed 4] [--hearts 100] [--quick] [--mesh FILE]

writes ``docs/validation/heart.md`` and ``figures/heart_*.png``. ``--mesh`` is the cine mesh of a real left ventricle
(``lv-mesh/biv_me_patient1_25frames.npz`` of the shared data); without it that comparison says so.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from myoscope.core import CardiacFrame, Grid
from myoscope.simulate.beat import BeatingHeart
from myoscope.simulate.cycle import contraction_course
from myoscope.simulate.heart import Heart, Sex, draw_heart
from myoscope.simulate.lv_motion import move_wall
from myoscope.simulate.lv_shape import cell_volumes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PAGE = Path(__file__).parents[1] / "validation" / "heart.md"
FIGURES = PAGE.parent / "figures"
MESH = Path(__file__).parents[3] / "shared/data/lv-mesh/biv_me_patient1_25frames.npz"
SEAT = CardiacFrame(np.array([30.0, -30.0, 0.0]), np.array([0.54, -0.77, -0.34]))
ANGLE, ARC = np.arange(72) * 5 + 2.5, (np.arange(40)[:, None] + 0.5) / 40
COLOUR = {
    "lv_wall": (0.78, 0.16, 0.16),
    "lv_blood": (0.97, 0.72, 0.70),
    "rv_wall": (0.18, 0.28, 0.68),
    "rv_blood": (0.68, 0.76, 0.95),
    "atria": (0.74, 0.74, 0.78),
}
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Squeeze:
    """Thickening, delay (40, 72) and dilation of one state."""

    thickening: Array
    delay_deg: Array
    dilation: float = 1.0


def even(thickening: float) -> Squeeze:
    return Squeeze(np.full((40, 72), thickening), np.zeros((40, 72)))


def apart(angle: float) -> Array:
    degrees: Array = np.abs((ANGLE - angle + 180) % 360 - 180)
    return degrees


def infarct() -> Squeeze:
    """An anteroseptal and apical scar that bulges a little."""
    scar = np.clip(1.5 - np.hypot(apart(125) / 60 * np.clip(2 * ARC, 0, 1), (ARC - 0.3) / 0.3) * 1.2, 0, 1)
    return Squeeze(0.55 * (1 - scar) - 0.04 * scar, np.zeros((40, 72)))


def branch_block() -> Squeeze:
    """Left bundle branch block: the septum early and weak, the lateral wall late."""
    late = 0.5 + 0.5 * np.cos(np.radians(ANGLE))
    return Squeeze(0.42 + np.zeros((40, 1)) - 0.15 * (1 - late), np.broadcast_to(85 * late - 10, (40, 72)))


def drawn(sex: Sex, rng: np.random.Generator, *, dilation: float = 1.0, hypertrophy: float = 1.0) -> Heart:
    """A heart of a body drawn for this sex: 176 (SD 7) cm or 163 (6.5) cm, body mass index about 27."""
    height = float(np.clip(rng.normal(*((176, 7) if sex == "M" else (163, 6.5))), 145, 205))
    weight = 26.6 * float(np.exp(rng.normal(0, 0.15))) * (height / 100) ** 2
    return draw_heart(
        sex=sex,
        height_cm=height,
        weight_kg=weight,
        seat=SEAT,
        rng=rng,
        dilation=dilation,
        hypertrophy=hypertrophy,
    )


def plane(beating: BeatingHeart, grid: Grid, gate: int, points: Array) -> Array:
    """Colours (rows, columns, 3) of a plane of points in heart coordinates."""
    from scipy.ndimage import map_coordinates

    index = np.moveaxis(grid.to_index(SEAT.to_patient(points)), -1, 0)
    image = np.zeros((*points.shape[:2], 3))
    for name, share in beating.fractions(grid, gate).items():
        image += map_coordinates(share, index, order=1)[..., None] * np.array(COLOUR[name])
    return np.clip(image, 0, 1)


def planes(beating: BeatingHeart, grid: Grid, gate: int) -> dict[str, Array]:
    """Three short-axis slices and both long axes, 128 x 128 mm, as a reader sees them."""
    c = np.linspace(-64, 64, 112)
    right, top = np.meshgrid(c, -c)
    zero = np.zeros_like(right)
    cuts = {
        "short axis, apical": np.stack([right, top, zero + 26], axis=-1),
        "short axis, middle": np.stack([right, top, zero + 4], axis=-1),
        "short axis, basal": np.stack([right, top, zero - 22], axis=-1),
        "horizontal long axis": np.stack([right, zero, top - 14], axis=-1),
        "vertical long axis": np.stack([zero, top, right - 14], axis=-1),
    }
    return {name: plane(beating, grid, gate, points) for name, points in cuts.items()}


def disc(axes: Axes, value: Array, title: str, **colours: Any) -> None:
    """A polar map on polar axes."""
    edges = np.radians(np.arange(73) * 5.0), np.linspace(0, 1, 41)
    shown = axes.pcolormesh(*edges, value, rasterized=True, **colours)
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=8)
    axes.figure.colorbar(shown, ax=axes, shrink=0.75).ax.tick_params(labelsize=7)


def save(figure: Any, name: str) -> None:
    """A PNG of at most 128 colours."""
    buffer = BytesIO()
    figure.savefig(buffer, dpi=80)
    FIGURES.mkdir(parents=True, exist_ok=True)
    Image.open(buffer).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(
        FIGURES / name, format="PNG", optimize=True
    )


def draw_pictures(seed: int) -> list[str]:
    """Figure of a normal, an infarcted and an asynchronous heart; rows of the table beside it."""
    from matplotlib import pyplot as plt

    heart = draw_heart(
        sex="M", height_cm=178, weight_kg=82, seat=SEAT, rng=np.random.default_rng(seed), hypertrophy=1.15
    )
    figure = plt.figure(figsize=(14, 10.4))
    rows = []
    for number, (name, squeeze) in enumerate(
        (("normal", even(0.55)), ("anterior infarct", infarct()), ("left bundle branch block", branch_block()))
    ):
        beating = heart.beat(squeeze, 8)
        grid = beating.box_grid(2.0)
        systole = int(beating.volumes_mL.argmin())
        for line, gate in enumerate((0, systole)):
            for column, (cut, image) in enumerate(planes(beating, grid, gate).items()):
                axes = figure.add_subplot(6, 7, 7 * (2 * number + line) + column + 1)
                axes.imshow(image)
                axes.set(xticks=[], yticks=[])
                if number == 0 and line == 0:
                    axes.set_title(cut, fontsize=9)
                if column == 0:
                    axes.set_ylabel(f"{name}\n{'end diastole' if line == 0 else 'end systole'}", fontsize=8)
        maps = (
            (6, beating.thickening_percent, "thickening, %", {"cmap": "viridis", "vmin": -10, "vmax": 60}),
            (7, beating.displacement_mm, "inward motion, mm", {"cmap": "viridis", "vmin": -2, "vmax": 10}),
            (13, beating.phase_deg, "phase, degrees", {"cmap": "turbo", "vmin": 90, "vmax": 270}),
        )
        for place, value, title, colours in maps:
            disc(figure.add_subplot(6, 7, 14 * number + place, projection="polar"), value, title, **colours)
        volume = figure.add_subplot(6, 7, 14 * number + 14)
        volume.plot((np.arange(8) + 0.5) / 8, beating.volumes_mL, "o-", markersize=3)
        volume.set_ylim(0, 1.1 * beating.edv_mL)
        volume.set_title("volume, mL", fontsize=8)
        volume.tick_params(labelsize=7)
        phase = beating.phase_deg[np.isfinite(beating.phase_deg)]
        rows.append(
            f"| {name} | {beating.edv_mL:.0f} / {beating.esv_mL:.0f} | {beating.ef_percent:.0f} "
            f"| {np.median(beating.thickening_percent):.0f} | {np.median(beating.displacement_mm):.1f} "
            f"| {phase.mean():.0f} (SD {phase.std():.0f}) |"
        )
    figure.tight_layout()
    save(figure, "heart_slices.png")
    plt.close(figure)
    return rows


def interval(values: Array) -> str:
    """Mean with its 95 % interval."""
    half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    return f"{values.mean():.1f} ({values.mean() - half:.1f} to {values.mean() + half:.1f})"


def population(n: int, seed: int) -> tuple[list[str], list[str]]:
    """Table rows of sizes by sex and of ejection fraction by thickening."""
    sizes, function = [], []
    fractions: dict[float, list[float]] = {t: [] for t in (0.3, 0.4, 0.5, 0.6, 0.7)}
    for sex, name, edv, mass in (("M", "men", "166 (32)", "103 (21)"), ("F", "women", "124 (21)", "70 (13)")):
        rng = np.random.default_rng([seed, ord(sex)])
        hearts = [drawn("M" if sex == "M" else "F", rng) for _ in range(n)]
        table = np.array([[h.edv_mL, h.mass_g, np.median(h.surfaces.thickness_mm)] for h in hearts])
        length = [float(np.ptp(SEAT.to_heart(h.surfaces.epi_mm)[..., 2])) for h in hearts]
        sizes.append(
            f"| {name} | {interval(table[:, 0])}, SD {table[:, 0].std(ddof=1):.0f} | {edv} "
            f"| {interval(table[:, 1])}, SD {table[:, 1].std(ddof=1):.0f} | {mass} "
            f"| {table[:, 2].mean():.1f} | {np.mean(length):.0f} |"
        )
        for heart in hearts[: max(n // 5, 3)]:
            for thickening, found in fractions.items():
                found.append(heart.beat(even(thickening), 1).ef_percent)
        print(f"{name}: {n} hearts")
    for thickening, found in fractions.items():
        values = np.array(found)
        function.append(
            f"| {100 * thickening:.0f} | {interval(values)} | {values.min():.0f} to {values.max():.0f} "
            f"| {len(values)} |"
        )
    return sizes, function


def laws(n: int, seed: int) -> dict[str, float]:
    """Worst cases over random hearts, from 30 to 300 mL, thin to hypertrophied, scarred and delayed."""
    worst = {"total": 0.0, "piece": 0.0, "activity": 0.0, "fold": 1.0, "eased": 0.0}
    for number in range(n):
        rng = np.random.default_rng([seed, number])
        heart = drawn(
            "M" if rng.random() < 0.5 else "F",
            rng,
            dilation=float(np.exp(rng.uniform(np.log(0.3), np.log(2.5)))),
            hypertrophy=float(np.exp(rng.uniform(np.log(0.7), np.log(2.2)))),
        )
        patch = (apart(float(rng.uniform(0, 360))) < rng.uniform(20, 80)) & (np.abs(ARC - rng.uniform(0, 1)) < 0.25)
        thickening = np.where(patch, rng.uniform(-0.2, 0.2), rng.uniform(0.1, 0.75)) + rng.normal(0, 0.05, (40, 72))
        delay = np.broadcast_to(rng.uniform(0, 120) * (0.5 + 0.5 * np.cos(np.radians(ANGLE))), (40, 72))
        course = contraction_course(np.array([0.0, 0.2, 0.37, 0.45, 0.7])[:, None, None], delay)
        mid, span = heart.wall_nodes
        moved = move_wall(mid, span, np.array(heart.form.valve_plane()), 1 + thickening * course)
        pieces, least = cell_volumes(moved.mid, moved.span)
        total = pieces.sum(axis=(1, 2))
        worst["total"] = max(worst["total"], float(np.abs(total / total[0] - 1).max()))
        worst["piece"] = max(worst["piece"], float(np.quantile(np.abs(pieces / pieces[0] - 1), 0.999)))
        worst["fold"] = min(worst["fold"], float(least.min()))
        worst["eased"] += float(moved.eased < 1) / n
        if number % 10 == 0:
            beating = heart.beat(Squeeze(thickening, delay), 8)
            wall = rng.uniform(10, 100, (40, 72))
            image = beating.activity(beating.box_grid(3.2), wall_kBq_mL=wall, rv_wall_kBq_mL=0, blood_kBq_mL=0)
            found = image.array.sum(axis=(1, 2, 3), dtype=float) * image.grid.voxel_volume_mL
            worst["activity"] = max(worst["activity"], float(np.ptp(found) / found.mean()))
    return worst


def against_mesh(path: Path, seed: int) -> str:
    """Text and figure: volume curve and cavity radius of a real heart and of a virtual one of its size."""
    if not path.exists():
        return f"The mesh was not at hand when this page was made (`{path.name}`)."
    from matplotlib import pyplot as plt

    mesh = np.load(path)
    nodes, faces = mesh["LV_ENDOCARDIAL_verts"].astype(float), mesh["LV_ENDOCARDIAL_faces"]
    corner = nodes[:, faces] - nodes.mean(axis=1)[:, None, None]
    volume = np.abs(np.einsum("tfi,tfi->t", corner[:, :, 0], np.cross(corner[:, :, 1], corner[:, :, 2]))) / 6000
    ejected = 100 * np.ptp(volume) / volume.max()
    usual = draw_heart(sex="M", height_cm=178, weight_kg=82, seat=SEAT, rng=np.random.default_rng(seed))
    factor = float(volume.max() / usual.edv_mL)
    heart = draw_heart(
        sex="M", height_cm=178, weight_kg=82, seat=SEAT, rng=np.random.default_rng(seed), dilation=factor
    )
    steps = np.array([0.4, 0.5, 0.6, 0.7, 0.8])
    thickening = float(np.interp(ejected, [heart.beat(even(t), 1).ef_percent for t in steps], steps))
    ours = heart.beat(even(thickening), 25)
    emptied = (volume.max() - volume[:24]) / np.ptp(volume)
    time = (np.arange(25) + 0.5) / 25
    own = np.interp(np.arange(24) / 24, time, (ours.edv_mL - ours.volumes_mL) / ours.stroke_mL, period=1)

    centre = nodes[0].mean(axis=0)
    axis = np.linalg.svd(nodes[0] - centre, full_matrices=False)[2]
    systole = int(volume.argmin())
    still, moved = (nodes[0] - centre) @ axis.T, (nodes[systole] - centre) @ axis.T
    level = (still[:, 0] - still[:, 0].min()) / np.ptp(still[:, 0])
    endo = [SEAT.to_heart(ours.surfaces.endo_mm[gate]) for gate in (0, int(ours.volumes_mL.argmin()))]
    height = 1 - (endo[0][..., 2] - endo[0][..., 2].min()) / np.ptp(endo[0][..., 2])
    edges = np.linspace(0.1, 1.0, 10)
    ratios = []
    for low, high in pairwise(edges):
        band, rows = (level >= low) & (level < high), (height >= low) & (height < high)
        real = [np.hypot(*(p[band, 1:] - p[band, 1:].mean(axis=0)).T).mean() for p in (still, moved)]
        virtual = [np.hypot(e[..., 0], e[..., 1])[rows].mean() for e in endo]
        ratios.append((real[1] / real[0], virtual[1] / virtual[0]))
    ratio = np.array(ratios)
    shorter = np.ptp(still[:, 0]) - np.ptp(moved[:, 0]), np.ptp(endo[0][..., 2]) - np.ptp(endo[1][..., 2])

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4))
    left.plot(np.arange(24) / 24, emptied, "k.-", label="real (one person)")
    left.plot(np.arange(24) / 24, own, label="virtual")
    left.set(xlabel="share of the R-R interval", ylabel="share of the stroke volume ejected")
    left.legend()
    middle = 0.5 * (edges[1:] + edges[:-1])
    right.plot(middle, ratio[:, 0], "k.-", label="real (one person)")
    right.plot(middle, ratio[:, 1], label="virtual")
    right.set(xlabel="height, apex 0 to base 1", ylabel="radius, end systole / end diastole", ylim=(0.5, 1))
    right.legend()
    figure.tight_layout()
    save(figure, "heart_motion.png")
    plt.close(figure)
    return "\n".join(
        (
            f"One real left ventricle (cine mesh of 25 frames, {volume.max():.0f} to {volume.min():.0f} mL, ejection",
            f"fraction {ejected:.0f} %) and a virtual one of its size that thickens by {100 * thickening:.0f} %",
            f"everywhere, which gives {ours.ef_percent:.0f} %. Share of the stroke volume ejected: root mean square",
            f"difference {np.sqrt(np.mean((own - emptied) ** 2)):.2f} over the cycle. From apex to two thirds up, the",
            f"cavity's radius shrinks to {ratio[:6, 0].mean():.2f} of itself in the real heart and",
            f"{ratio[:6, 1].mean():.2f} in the virtual one, at the base to {ratio[6:, 0].mean():.2f} and",
            f"{ratio[6:, 1].mean():.2f}; the cavity's length by {shorter[0]:.0f} and {shorter[1]:.0f} mm.",
            "",
            "![Volume curve and radial motion of a real and a virtual heart](figures/heart_motion.png)",
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--hearts", type=int, default=100, help="per sex, and three times as many for the laws")
    parser.add_argument("--quick", action="store_true", help="8 hearts: to see whether it runs")
    parser.add_argument("--mesh", type=Path, default=MESH)
    options = parser.parse_args()
    import matplotlib as mpl

    mpl.use("agg")
    n = 8 if options.quick else options.hearts
    cases = draw_pictures(options.seed)
    print("pictures")
    compared = against_mesh(options.mesh, options.seed)
    print("mesh")
    sizes, function = population(n, options.seed)
    worst = laws(3 * n, options.seed)
    print("laws")
    command = "python docs/make/validate_heart.py" + (" --quick" if options.quick else "")
    lines = [
        "# Virtual hearts",
        "",
        f"`{command}` (seed {options.seed}); these hearts are simulated, but for the one real mesh below.",
        "",
        "![Three virtual hearts](figures/heart_slices.png)",
        "",
        "One heart in three states: left ventricle red, right ventricle blue, atria grey. Maps show the truth by piece",
        "of wall; white in the phase map is wall whose thickness does not change.",
        "",
        "| state | EDV / ESV, mL | EF, % | median thickening, % | median motion, mm | phase, degrees |",
        "|---|---|---|---|---|---|",
        *cases,
        "",
        "## Sizes",
        "",
        f"{n} hearts per sex of bodies of 176 (SD 7) cm and 163 (6.5) cm with a body mass index about 27; mean with",
        "its 95 % interval. Beside it what they are drawn after: cardiac MRI of healthy adults of the UK Biobank",
        "(defaults to be checked against the paper). MRI counts trabeculae as blood, so these walls are thinner than",
        "the 8 to 11 mm of echocardiography.",
        "",
        "| | EDV, mL | UK Biobank | mass, g | UK Biobank | wall, mm | epicardial length, mm |",
        "|---|---|---|---|---|---|---|",
        *sizes,
        "",
        "## Ejection fraction follows from thickening",
        "",
        "Muscle is incompressible: nothing but the thickening of the wall is set, the ejection fraction emerges. The",
        "same thickening everywhere, both sexes:",
        "",
        "| thickening, % | EF, % (95 % interval of the mean) | range | n |",
        "|---|---|---|---|",
        *function,
        "",
        "## Laws",
        "",
        f"Worst of {3 * n} random hearts of 30 to 300 mL, 0.7 to 2.2 times the usual mass, with a scar or bulge,",
        "uneven thickening of 10 to 75 % and delays up to 120 degrees:",
        "",
        "| law | worst |",
        "|---|---|",
        f"| wall volume over the cycle | {worst['total']:.1e} |",
        f"| volume of each of the 2,880 pieces (99.9th percentile) | {100 * worst['piece']:.1f} % |",
        f"| total activity over the gates (every tenth heart) | {worst['activity']:.1e} |",
        f"| smallest Jacobian in any piece over its mid-wall one (negative: folded) | {worst['fold']:.2f} |",
        f"| hearts whose contraction had to be eased because no cavity was left | {100 * worst['eased']:.0f} % |",
        "",
        "## Against a real heart",
        "",
        compared,
        "",
        "## What is simple",
        "",
        "- Walls move in planes through the long axis: no torsion, no shear across the wall.",
        "- The right ventricle is a crescent without an outflow tract, the atria are sacs; both follow the left",
        "  ventricle with a common course of time. There are no great vessels.",
        "- Papillary muscles are two blocks that move with the wall beneath them.",
        "- The septum keeps its form: no flattening by a loaded right ventricle.",
        "- The valve plane of the gated surfaces is that at end diastole; their last row moves.",
    ]
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
