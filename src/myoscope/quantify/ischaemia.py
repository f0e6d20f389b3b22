"""What of a perfusion deficit is there under stress only: ischaemia, and what stays at rest: scar.

Ischaemic TPD is stress TPD less rest TPD, not below 0, as a registry of the field reports it; the same for every
vessel, so that the vessels' need not add up to the whole. Cell by cell the fixed part of a deficit is the smaller of
the two, the reversible part the rest of stress: these add up to stress TPD, and the reversible part is at least
ischaemic TPD, because a deficit that is deeper at rest in one place does not make up for ischaemia in another.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from myoscope.core import VESSELS, GeometryMismatch, InvalidValue, PolarMap
from myoscope.core.geometry import FloatArray
from myoscope.quantify.tpd import HIGHEST_SCORE, PerfusionDeficit


@dataclass(frozen=True, eq=False, slots=True)
class Ischaemia:
    """The difference of two deficits, in percent of the myocardium as TPD.

    ``itpd_percent`` is ischaemic TPD, ``vessel_itpd_percent`` (3,) that of the territories in the order of ``VESSELS``.
    ``reversible`` and ``fixed`` are the parts of the stress score (0 to 4) of every cell, NaN where either image did
    not show the wall; ``reversible_percent`` and ``fixed_percent`` are their sums in percent of the highest score.
    """

    itpd_percent: float
    vessel_itpd_percent: FloatArray
    reversible: PolarMap
    fixed: PolarMap
    reversible_percent: float
    fixed_percent: float

    @property
    def reversibility_percent(self) -> float:
        """Share of the stress deficit that is reversible; NaN where there is no deficit."""
        whole = self.reversible_percent + self.fixed_percent
        return 100 * self.reversible_percent / whole if whole > 0 else float("nan")


def ischaemia(stress: PerfusionDeficit, rest: PerfusionDeficit, wall: PolarMap) -> Ischaemia:
    """Reversible and fixed parts of a stress deficit; ``wall`` is the stress map, for its areas and territories.

    Raises
    ------
    InvalidValue
        If the two deficits were scored or weighted differently.
    GeometryMismatch
        If their cells differ.
    """
    if (stress.weighting, stress.score_reference) != (rest.weighting, rest.score_reference):
        raise InvalidValue("stress and rest deficits must be weighted and scored in the same way to be compared")
    if not stress.score.shape == rest.score.shape == wall.value.shape:
        raise GeometryMismatch("stress, rest and wall must have the same rings and angles")
    reversible, fixed = deficit_parts(stress.score, rest.score)
    w = np.where(np.isfinite(reversible), wall.weights(stress.weighting), 0.0)
    scale = 100 / (HIGHEST_SCORE * w.sum()) if w.any() else float("nan")
    return Ischaemia(
        itpd_percent=max(0.0, stress.tpd_percent - rest.tpd_percent),
        vessel_itpd_percent=np.maximum(0.0, stress.vessel_tpd_percent - rest.vessel_tpd_percent)[: len(VESSELS)],
        reversible=wall.like(reversible, "reversible part of the score", unit="score"),
        fixed=wall.like(fixed, "fixed part of the score", unit="score"),
        reversible_percent=float(scale * (w * np.nan_to_num(reversible)).sum()),
        fixed_percent=float(scale * (w * np.nan_to_num(fixed)).sum()),
    )


def deficit_parts(stress_score: ArrayLike, rest_score: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Reversible and fixed parts of stress scores, which add up to them; arguments broadcast, NaN where either is."""
    stress, rest = np.asarray(stress_score, float), np.asarray(rest_score, float)
    fixed: FloatArray = np.minimum(stress, rest)
    return stress - fixed, fixed
