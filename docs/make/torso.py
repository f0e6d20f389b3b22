"""Draw four virtual torsos: tissues and attenuation in three planes through the heart.

    python docs/make/torso.py [--seed 7]

writes ``docs/images/virtual_torsos.png``. The people are invented, their hearts left out: its sac is shown filled.
"""

from __future__ import annotations

import argparse
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from myoscope.core import Grid
from myoscope.simulate.build import Sex
from myoscope.simulate.tissues import ORGANS, Tissues
from myoscope.simulate.torso import draw_torso

IMAGES = Path(__file__).parents[1] / "images"
PEOPLE: tuple[tuple[str, Sex, float, float], ...] = (
    ("woman, 165 cm, 54 kg", "F", 165.0, 54.0),
    ("woman, 160 cm, 102 kg", "F", 160.0, 102.0),
    ("man, 180 cm, 70 kg", "M", 180.0, 70.0),
    ("man, 175 cm, 125 kg", "M", 175.0, 125.0),
)
COLOUR = {
    "soft_tissue": "#c98b7f",
    "fat": "#f0dfae",
    "breast": "#eec6a0",
    "lung": "#3c4d63",
    "liver": "#7d3b2c",
    "gallbladder": "#5d8f3a",
    "stomach": "#c9a5c9",
    "bowel": "#a78bb5",
    "spleen": "#6a4c93",
    "kidney": "#b5543c",
    "bone": "#ffffff",
    "vessel_blood": "#d1495b",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, default=IMAGES / "virtual_torsos.png")
    options = parser.parse_args()
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    grid = Grid.axis_aligned((148, 112, 144), spacing_mm=3.2, centre_mm=(0, -12, 0))
    figure, axes = plt.subplots(4, 6, figsize=(15, 12.2), facecolor="black")
    for row, (title, sex, height, weight) in zip(axes, PEOPLE, strict=True):
        rng = np.random.default_rng([options.seed, int(weight)])
        torso = draw_torso(sex=sex, height_cm=height, weight_kg=weight, rng=rng)
        tissues = torso.tissues(grid)
        mu = tissues.attenuation_per_cm(140.5).array
        picture = np.concatenate([_painted(tissues), np.repeat(mu[..., None] / 0.22, 3, axis=-1)], axis=-1).clip(0, 1)
        i, j, k = (int(n) for n in np.round(grid.to_index(torso.heart_seat.centre_mm)))
        cuts = (
            ("coronal", picture[:, j, ::-1].swapaxes(0, 1)),
            ("transverse", picture[:, :, k].swapaxes(0, 1)),
            ("sagittal", picture[i, :, ::-1].swapaxes(0, 1)),
        )
        for column, (name, cut) in enumerate(cuts):
            row[column].imshow(cut[..., :3])
            row[column + 3].imshow(cut[..., 3:])
            row[column].set_title(f"{title}: {name}" if column == 0 else name, color="w", fontsize=9)
        for ax in row:
            ax.axis("off")
    figure.tight_layout(pad=0.3)
    options.out.parent.mkdir(exist_ok=True)
    drawn = BytesIO()
    figure.savefig(drawn, dpi=70, facecolor="black")
    Image.open(drawn).convert("RGB").quantize(128, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(
        options.out, optimize=True
    )


def _painted(tissues: Tissues) -> NDArray[np.float64]:
    """Every voxel in the colours of its tissues, mixed by their shares."""
    from matplotlib.colors import to_rgb

    colours = np.array([to_rgb(COLOUR[name]) for name in ORGANS])
    shares = np.stack([tissues.fraction.get(name, np.zeros(tissues.grid.shape)) for name in ORGANS], axis=-1)
    painted: NDArray[np.float64] = shares @ colours
    return painted


if __name__ == "__main__":
    main()
