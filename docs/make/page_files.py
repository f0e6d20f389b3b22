"""Pages of the documentation and their figures, written whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from myoscope import io

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VALIDATION = Path(__file__).parents[1] / "validation"
_FIGURES = VALIDATION / "figures"


def write_page(path: Path, lines: Sequence[str]) -> None:
    """Lines of Markdown as a page."""
    with io.atomic_write(path, "w") as file:
        file.write("\n".join(lines) + "\n")


def save_figure(figure: Figure, name: str) -> None:
    """A figure of a validation page, and its memory given back."""
    from matplotlib import pyplot as plt

    _FIGURES.mkdir(exist_ok=True)
    figure.savefig(_FIGURES / name, dpi=100, bbox_inches="tight")
    plt.close(figure)
