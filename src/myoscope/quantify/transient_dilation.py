"""Transient ischaemic dilation: a cavity that looks larger under stress than at rest.

TID = endocardial volume of the ungated stress image / that of the ungated rest image. What is normal depends on
protocol, tracer and program: published upper limits run from 1.13 to 1.38 (pooled sensitivity 44 %, 30 to 60, and
specificity 88 %, 83 to 92, for severe disease: meta-analysis in J Nucl Cardiol 2018, doi 10.1007/s12350-017-1040-7).
None of them holds for these surfaces; a limit is made from normal studies of the same protocol, as mean + 2 SD.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from myoscope.core import InvalidValue, Surfaces

PUBLISHED_LIMITS: tuple[tuple[float, str], ...] = (
    (1.22, "endocardial volumes (McLaughlin and Danias, review 2002)"),
    (1.12, "epicardial volumes (McLaughlin and Danias, review 2002)"),
    (1.36, "vasodilator stress, two isotopes (Abidov; sensitivity 73 %, specificity 88 %)"),
)
"""Upper limits of other programs and protocols, for context only."""
_LEAST_STUDIES = 10
_SMALL_CAVITY_ML = 20.0


@dataclass(frozen=True, slots=True)
class TransientDilation:
    """Cavities of the ungated images and their ratio.

    ``ratio`` is stress over rest. ``small`` says that a cavity is so small (below 20 mL) that a ratio means little.
    """

    stress_mL: float
    rest_mL: float

    @property
    def ratio(self) -> float:
        return self.stress_mL / self.rest_mL

    @property
    def small(self) -> bool:
        return min(self.stress_mL, self.rest_mL) < _SMALL_CAVITY_ML


def transient_dilation(stress: Surfaces, rest: Surfaces) -> TransientDilation:
    """TID from the surfaces of the two ungated images.

    Raises
    ------
    InvalidValue
        If surfaces are gated, or a cavity is empty.
    """
    if stress.endo_mm.ndim != 3 or rest.endo_mm.ndim != 3:
        raise InvalidValue("transient dilation compares the ungated cavities of stress and rest")
    volumes = float(stress.cavity_mL), float(rest.cavity_mL)
    if not min(volumes) > 0:
        raise InvalidValue("a ventricle without a cavity has no dilation")
    return TransientDilation(*volumes)


def dilation_limit(normal_ratios: ArrayLike) -> float:
    """Mean + 2 standard deviations of the ratios of normal studies; NaN among them are left out.

    Raises
    ------
    InvalidValue
        With fewer than 10 studies.
    """
    ratios = np.asarray(normal_ratios, float)
    ratios = ratios[np.isfinite(ratios)]
    if ratios.size < _LEAST_STUDIES:
        raise InvalidValue(f"a limit of dilation needs at least {_LEAST_STUDIES} normal studies, got {ratios.size}")
    return float(ratios.mean() + 2 * ratios.std(ddof=1))
