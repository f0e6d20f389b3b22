"""Draw the figures of the pages on coordinates and on polar maps, from the program's own tables and frames.

    python docs/make/conventions.py

writes ``docs/images/frames_convention.svg`` and ``docs/images/polar_map_convention.svg``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from myoscope.core import N_ANGLES, N_RINGS, SEGMENTS_17, CardiacFrame

IMAGES = Path(__file__).parents[1] / "images"
VESSEL_COLOUR = {"LAD": "#e8b04b", "LCx": "#6fb07f", "RCA": "#7aa6d6"}
LEVEL_RADII = {"apex": (0.0, 0.25), "apical": (0.25, 0.5), "mid": (0.5, 0.75), "basal": (0.75, 1.0)}
INK, PATIENT, HEART = "#222222", "#555555", "#b03030"


def main() -> None:
    import matplotlib as mpl

    mpl.use("svg")
    # The same bytes on every machine, so that a redrawn figure only changes when its content does.
    mpl.rcParams.update({"svg.hashsalt": "myoscope", "svg.fonttype": "path", "font.size": 10, "text.color": INK})
    IMAGES.mkdir(exist_ok=True)
    _save(_frames(), "frames_convention.svg")
    _save(_polar_map(), "polar_map_convention.svg")


def _save(figure: Any, name: str) -> None:
    figure.savefig(IMAGES / name, metadata={"Date": None}, facecolor="white")


def _frames() -> Any:
    from matplotlib import pyplot as plt

    frame = CardiacFrame(centre_mm=np.zeros(3), long_axis=np.array([0.58, -0.69, -0.43]))
    figure = plt.figure(figsize=(11, 4.6))
    space = figure.add_axes((0.0, 0.0, 0.42, 0.9), projection="3d")
    _heart_in_patient(space, frame)
    space.set_title("In the patient (supine, seen from the left front)", fontsize=10, pad=16)
    cuts = (
        ("short axis", "closed", ("anterior", "lateral", "inferior", "septal")),
        ("vertical long axis", "open left", ("anterior", "apex", "inferior", "base")),
        ("horizontal long axis", "open down", ("apex", "lateral", "base", "septal")),
    )
    for n, (title, shape, names) in enumerate(cuts):
        _cut(figure.add_axes((0.43 + 0.19 * n, 0.2, 0.18, 0.55)), title, shape, names)
    return figure


def _heart_in_patient(axes: Any, frame: CardiacFrame) -> None:
    turn, along = np.meshgrid(np.linspace(0, 2 * np.pi, 37), np.linspace(0, 0.62 * np.pi, 16))
    points = np.stack([28 * np.sin(along) * np.cos(turn), 28 * np.sin(along) * np.sin(turn), 48 * np.cos(along)], -1)
    x, y, z = np.moveaxis(frame.to_patient(points), -1, 0)
    axes.plot_wireframe(x, y, z, color="#999999", linewidth=0.4, rstride=1, cstride=3)
    arrows = (
        (np.eye(3)[0] * 75, "x: left", PATIENT),
        (np.eye(3)[1] * 75, "y: posterior", PATIENT),
        (np.eye(3)[2] * 75, "z: superior", PATIENT),
        (frame.long_axis * 85, "u: to the apex", HEART),
        (frame.up * 65, "up: anterior wall", HEART),
        (frame.lateral * 65, "lateral", HEART),
    )
    for tip, name, colour in arrows:
        axes.quiver(0, 0, 0, *tip, color=colour, arrow_length_ratio=0.12, linewidth=1.6)
        axes.text(*(1.2 * tip), name, color=colour, ha="center", va="center", fontsize=9)
    axes.set(xlim=(-60, 60), ylim=(-60, 60), zlim=(-60, 60))
    axes.set_box_aspect((1, 1, 1), zoom=1.1)
    axes.view_init(elev=22, azim=-20)
    axes.set_axis_off()


def _cut(axes: Any, title: str, shape: str, names: tuple[str, str, str, str]) -> None:
    """The wall as it looks in one cut; ``names`` go at the top, right, bottom and left."""
    if shape == "closed":
        angle = np.linspace(0, 2 * np.pi, 100)
        x, y = 0.62 * np.cos(angle), 0.62 * np.sin(angle)
    else:
        along = np.linspace(-0.62 * np.pi, 0.62 * np.pi, 100)
        x, y = 0.5 * np.sin(along), 0.85 * np.cos(along) - 0.2
        if shape == "open left":
            x, y = y, x
    axes.plot(x, y, color="#c9c9c9", linewidth=14, solid_capstyle="butt")
    for (px, py), name in zip(((0, 1.12), (1.12, 0), (0, -1.12), (-1.12, 0)), names, strict=True):
        axes.text(px, py, name, ha="center", va="center", fontsize=9, rotation=0 if px == 0 else -90 * np.sign(px))
    axes.set(xlim=(-1.3, 1.3), ylim=(-1.3, 1.3), aspect="equal", title=title)
    axes.set_axis_off()


def _polar_map() -> Any:
    from matplotlib import pyplot as plt
    from matplotlib.patches import Patch, Wedge

    figure = plt.figure(figsize=(7.4, 5.6))
    axes = figure.add_axes((0.0, 0.02, 0.78, 0.95))
    for segment in SEGMENTS_17:
        inner, outer = LEVEL_RADII[segment.level]
        colour = VESSEL_COLOUR[segment.vessel]
        wedge = Wedge(
            (0, 0), outer, segment.start_deg, segment.end_deg, width=outer - inner, fc=colour, ec="white", lw=2
        )
        axes.add_patch(wedge)
        middle = np.radians((segment.start_deg + segment.end_deg) / 2)
        radius = 0.0 if segment.level == "apex" else (inner + outer) / 2
        axes.text(radius * np.cos(middle), radius * np.sin(middle), str(segment.number), ha="center", va="center")
    for angle, name in ((0, "0°\nlateral"), (90, "90° anterior"), (180, "180°\nseptal"), (270, "270° inferior")):
        place = 1.17 if angle in (0, 180) else 1.09
        x, y = place * np.cos(np.radians(angle)), place * np.sin(np.radians(angle))
        axes.text(x, y, name, ha="center", va="center")
    turn = np.radians(np.linspace(8, 32, 30))
    axes.plot(1.06 * np.cos(turn), 1.06 * np.sin(turn), color=INK, lw=1.2)
    end, before = turn[-1], turn[-4]
    axes.annotate(
        "",
        xy=(1.06 * np.cos(end + 0.03), 1.06 * np.sin(end + 0.03)),
        xytext=(1.06 * np.cos(before), 1.06 * np.sin(before)),
        arrowprops={"arrowstyle": "-|>", "color": INK},
    )
    axes.set(xlim=(-1.35, 1.35), ylim=(-1.2, 1.2), aspect="equal")
    axes.set_axis_off()
    handles = [Patch(color=colour, label=vessel) for vessel, colour in VESSEL_COLOUR.items()]
    figure.legend(handles=handles, loc="upper right", frameon=False, title="usual vessel")
    note = f"{N_RINGS} rings,\napex to rim\n\n{N_ANGLES} angles of\n{360 / N_ANGLES:g}° each,\ncounter-\nclockwise"
    figure.text(0.83, 0.45, note, va="center")
    return figure


if __name__ == "__main__":
    main()
