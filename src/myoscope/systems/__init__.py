"""The systems: one file each, from the cohort it needs to the table it reproduces.

In: a cohort or a folder of scans. Out: a trained, evaluated and carded model. The table below is all that
``myoscope list`` reads, so that listing imports neither a system nor torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

MODELS = Path(__file__).with_name("models")
"""Where models that come with the program lie, one folder per system."""


@dataclass(frozen=True, slots=True)
class System:
    """One line of the table: the module's name, what it does, where it was published, and what it learns from."""

    name: str
    does: str
    source: str
    learns_from: Literal["cohort", "scans"] = "cohort"


SYSTEMS: tuple[System, ...] = (
    System(
        "lv_wall",
        "Outlines the wall of the left ventricle on reconstructed SPECT, as readers do",
        "this project",
        "scans",
    ),
    System(
        "betancur2018",
        "Predicts which arteries are obstructed from the stress polar map",
        "Betancur et al., JACC Cardiovasc Imaging 2018;11:1654 (PMC6135711)",
    ),
    System(
        "betancur2019",
        "Predicts which arteries are obstructed from upright and supine stress polar maps together",
        "Betancur et al., J Nucl Med 2019;60:664 (PMC6495237)",
    ),
    System(
        "otaki2022",
        "Predicts obstructive disease from perfusion, motion, thickening, volumes, age and sex, and shows where",
        "Otaki et al., JACC Cardiovasc Imaging 2022;15:1091, doi 10.1016/j.jcmg.2021.04.030",
    ),
    System(
        "yeung2022",
        "Predicts impaired flow reserve and risk traits from polar maps of blood flow, many tasks at once",
        "Yeung et al., J Nucl Cardiol 2022;29:3300",
    ),
)
