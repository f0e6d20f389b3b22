"""How much of what the blood brings the heart muscle keeps: extraction falls as flow rises.

Every tracer here follows the Renkin-Crone form K1 = F (1 - a exp(-b / F)), F the flow in mL/min/g. It says why a
segment with half the hyperaemic flow of its neighbours shows a defect of three tenths and not of one half.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray

_MOST_STEPS, _BEYOND_MEANING = 200, 1e4


@dataclass(frozen=True, slots=True)
class Extraction:
    """Renkin-Crone curve of one tracer; ``source`` says where its two constants come from.

    ``alpha`` has no unit, ``beta_mL_min_g`` is a permeability times surface per gram of muscle.
    """

    tracer: str
    alpha: float
    beta_mL_min_g: float
    source: str

    def __post_init__(self) -> None:
        if not (0 <= self.alpha <= 1 and self.beta_mL_min_g >= 0):
            raise InvalidValue(f"an extraction curve needs alpha from 0 to 1 and beta of at least 0, got {self}")

    def uptake_rate_mL_min_g(self, flow_mL_min_g: ArrayLike) -> FloatArray:
        """K1 in mL/min/g at these flows, any shape; rises with flow, and no flow brings nothing.

        Raises
        ------
        InvalidValue
            For negative or missing flow.
        """
        flow = np.asarray(flow_mL_min_g, float)
        if not (flow >= 0).all():
            raise InvalidValue("flow is a number of at least 0 mL/min/g")
        lost = self.alpha * np.exp(-self.beta_mL_min_g / np.maximum(flow, 1e-9))
        rate: FloatArray = flow * (1 - lost)
        return rate

    def uptake_rate_slope(self, flow_mL_min_g: ArrayLike) -> FloatArray:
        """Derivative of K1 by flow; falls from 1 at no flow to 1 - alpha."""
        flow = np.maximum(np.asarray(flow_mL_min_g, float), 1e-9)
        ratio = self.beta_mL_min_g / flow
        slope: FloatArray = 1 - self.alpha * np.exp(-ratio) * (1 + ratio)
        return slope

    def flow_mL_min_g(self, uptake_rate_mL_min_g: ArrayLike) -> FloatArray:
        """Flow at which K1 has these values: the inverse, unique because K1 rises strictly.

        NaN where K1 is negative, missing, or higher than any flow gives.
        """
        rate = np.asarray(uptake_rate_mL_min_g, float)
        with np.errstate(invalid="ignore"):
            # K1 is concave and at most flow: Newton's steps from below end at the root without passing it.
            flow = np.where(rate > 0, rate, 0.0)
            for _ in range(_MOST_STEPS):
                step = (rate - self.uptake_rate_mL_min_g(flow)) / np.maximum(self.uptake_rate_slope(flow), 1e-12)
                step = np.where(rate > 0, np.nan_to_num(step, nan=0.0), 0.0)
                flow = np.minimum(flow + np.maximum(step, 0), _BEYOND_MEANING)
                if (step <= 1e-14 * (1 + flow)).all():
                    break
        result: FloatArray = np.where((rate >= 0) & (flow < _BEYOND_MEANING), flow, np.nan)
        return result


EXTRACTION: Mapping[str, Extraction] = MappingProxyType(
    {
        e.tracer: e
        for e in (
            Extraction("tetrofosmin", 0.874, 0.443, "Shrestha 2017, constants not re-read: a configurable default"),
            Extraction(
                "sestamibi", 0.86, 0.50, "assumed: close to tetrofosmin, extracted a little better; none published here"
            ),
            Extraction(
                "thallium", 0.70, 0.95, "assumed: 0.73 extracted at 1 mL/min/g (Leppo and Meerdink 1989), nearer linear"
            ),
            Extraction("rubidium", 0.77, 0.63, "Lortie 2007"),
            Extraction("ammonia", 0.0, 0.0, "DeGrado model: K1 equals flow"),
            Extraction("water", 0.0, 0.0, "freely diffusible: all that blood brings enters"),
            Extraction("flurpiridaz", 0.06, 0.0, "first-pass extraction 0.94, taken as independent of flow"),
        )
    }
)
"""Curves by name of tracer. Only the constants of rubidium are read from a source; the others are defaults."""


def extraction(tracer: str) -> Extraction:
    """The curve of a tracer by name.

    Raises
    ------
    InvalidValue
        For a tracer without a curve.
    """
    if tracer not in EXTRACTION:
        raise InvalidValue(f"no extraction curve for {tracer!r}; there are {', '.join(EXTRACTION)}")
    return EXTRACTION[tracer]


WATER_PARTITION_ML_G = 0.91
"""Partition coefficient of water between muscle and blood (Iida 1991): its washout is flow over this."""

AMMONIA_VOLUME_ML_G, AMMONIA_SURFACE_ML_MIN_G, AMMONIA_TRAPPING = 0.8, 1.25, 1.65
"""Constants of the UCLA model of ammonia (Kuhle 1992, after Schelbert 1981; quoted, not read in the papers)."""


def ammonia_rates(flow_mL_min_g: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Washout k2 and trapping k3 of ammonia per minute at these flows: k3 / (k2 + k3) = 1 - 0.607 exp(-1.25 / F).

    Flows of at least 0.05 mL/min/g; below, trapping is too fast for numbers.
    """
    flow = np.asarray(flow_mL_min_g, float)
    if not (flow >= 0.049).all():
        raise InvalidValue("rates of ammonia are given for flows of at least 0.05 mL/min/g")
    k3: FloatArray = AMMONIA_SURFACE_ML_MIN_G * flow * (AMMONIA_TRAPPING * np.exp(AMMONIA_SURFACE_ML_MIN_G / flow) - 1)
    return flow / AMMONIA_VOLUME_ML_G, k3
