"""Function measured in the reference registry beside its truth, one row per gated study.

The tier ``full`` of ``myoscope simulate reference`` holds stress and rest of every patient. No constant of the program
is solved on any of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from figures_in_words import Array
from numpy.typing import NDArray

from myoscope import io
from myoscope.simulate.patient import STATES
from myoscope.simulate.sites import SITES


@dataclass(frozen=True, eq=False)
class FunctionRows:
    """Gated studies in which a heart was found, one entry each; ``true`` and measured figures under the same names.

    ``figures`` and ``truth`` hold ``edv_mL``, ``esv_mL``, ``stroke_mL`` and ``ef_percent``; ``figures`` also
    ``fwhm_mm``, ``gate_noise``, ``phase_sd_deg``, ``phase_bandwidth_deg`` and ``phase_entropy``. ``scar_percent`` is
    the share of the wall with scar, ``deficit_percent`` what the state lacks in uptake.
    """

    patient: NDArray[np.str_]
    site: NDArray[np.str_]
    state: NDArray[np.str_]
    sex: NDArray[np.str_]
    lbbb: NDArray[np.bool_]
    cardiomyopathy: NDArray[np.bool_]
    scar_percent: Array
    deficit_percent: Array
    figures: dict[str, Array]
    truth: dict[str, Array]
    n_missing: int

    def __len__(self) -> int:
        return len(self.patient)

    @property
    def error(self) -> dict[str, Array]:
        """Measured over true volume, in logarithms; EF in points."""
        error = {name: np.log(self.figures[name] / self.truth[name]) for name in ("edv_mL", "esv_mL", "stroke_mL")}
        return error | {"ef_percent": self.figures["ef_percent"] - self.truth["ef_percent"]}


TRUE = ("edv_mL", "esv_mL", "ef_percent")
MEASURED = (*TRUE, "fwhm_mm", "gate_noise", "phase_sd_deg", "phase_bandwidth_deg", "phase_entropy")


def function_rows(folder: io.CohortFolder) -> FunctionRows:
    """All gated studies, stress before rest."""
    table = folder.cohort
    n = len(table)
    scar = np.asarray(folder.map("truth_scar"), np.float64).reshape(n, -1).mean(axis=1)
    per_state = []
    for state in STATES:
        found = np.isfinite(np.asarray(table[f"{state}_ef_percent"], np.float64))
        per_state.append((state, np.flatnonzero(found)))

    def stacked(name: str, *, by_state: bool = False) -> NDArray[np.generic]:
        return np.concatenate([np.asarray(table[f"{state}_{name}" if by_state else name])[r] for state, r in per_state])

    def truth(name: str) -> Array:
        return np.concatenate([np.asarray(table[f"truth_{state}_{name}"], np.float64)[r] for state, r in per_state])

    lacks = {"stress": "truth_deficit_percent", "rest": "truth_rest_deficit_percent"}
    figures = {name: stacked(name, by_state=True).astype(np.float64) for name in MEASURED}
    true = {name: truth(name) for name in TRUE}
    for volumes in (figures, true):
        volumes["stroke_mL"] = volumes["edv_mL"] - volumes["esv_mL"]
    return FunctionRows(
        patient=np.concatenate([np.asarray(table.patient)[r] for _, r in per_state]).astype(str),
        site=stacked("site").astype(str),
        state=np.concatenate([np.full(len(r), state) for state, r in per_state]).astype(str),
        sex=stacked("sex").astype(str),
        lbbb=stacked("truth_lbbb").astype(bool),
        cardiomyopathy=stacked("truth_cardiomyopathy").astype(str) != "none",
        scar_percent=100 * np.concatenate([scar[r] for _, r in per_state]),
        deficit_percent=np.concatenate([np.asarray(table[lacks[s]], np.float64)[r] for s, r in per_state]),
        figures=figures,
        truth=true,
        n_missing=sum(n - len(r) for _, r in per_state),
    )


def gates_of(site: str) -> int:
    """Into how many gates a site's beat is divided."""
    return SITES[site].gates
