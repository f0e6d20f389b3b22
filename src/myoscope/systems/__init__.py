"""The systems: one file each, from the cohort it needs to the table it reproduces.

In: a cohort or a folder of scans. Out: a trained, evaluated and carded model. The table below is all that
``myoscope list`` reads, so that listing imports neither a system nor torch.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class System:
    """One line of the table: the module's name, what it does, where it was published."""

    name: str
    does: str
    source: str


SYSTEMS: tuple[System, ...] = (
    System("lv_wall", "Outlines the wall of the left ventricle on reconstructed SPECT, as readers do", "this project"),
)
