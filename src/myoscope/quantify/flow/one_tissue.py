"""One tissue compartment of any tracer: dC/dt = K1 C_a - k2 C, with K1 a known function of flow.

The published one-compartment models differ in that function, in how they count muscle in a sample, and in which frames
they use; each has a file of its own that says so. With ``distribution_volume_mL_mL`` the washout is tied to the uptake,
k2 = K1 / DV; see `with_global_distribution_volume`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.physics.compartments import one_tissue, one_tissue_and_slope
from myoscope.quantify.flow.compartment_model import (
    MUSCLE_G_ML,
    CompartmentModel,
    PartialVolume,
    Rate,
    checked_sharing,
    guess_by_shape,
    inverse_density,
)
from myoscope.quantify.flow.estimate import Parameter
from myoscope.quantify.flow.wall_data import WallCurves

_MOST_FLOW, _MOST_WASHOUT = 8.0, 8.0
_GRID_K2 = np.concatenate([[0.0], np.geomspace(0.02, 4.0, 23)])


class UptakeCurve(Protocol):
    """K1 as a strictly rising function of flow, both in mL/min/g; `physics.tracers.Extraction` is one."""

    def uptake_rate_mL_min_g(self, flow_mL_min_g: ArrayLike) -> FloatArray: ...
    def uptake_rate_slope(self, flow_mL_min_g: ArrayLike) -> FloatArray: ...
    def flow_mL_min_g(self, uptake_rate_mL_min_g: ArrayLike) -> FloatArray: ...


@dataclass(frozen=True, slots=True)
class OneTissue(CompartmentModel):
    """One tissue compartment of any tracer whose K1 follows from flow by a Renkin-Crone curve."""

    label: str
    extraction: UptakeCurve
    partial_volume: PartialVolume = "geometric"
    density_g_mL: float = MUSCLE_G_ML
    distribution_volume_mL_mL: float | None = None
    within_min: float | None = None
    most_flow: float = _MOST_FLOW

    def __post_init__(self) -> None:
        checked_sharing(self.partial_volume)
        inverse_density(self.density_g_mL)
        if self.distribution_volume_mL_mL is not None and not self.distribution_volume_mL_mL > 0:
            raise InvalidValue(f"a distribution volume is positive, not {self.distribution_volume_mL_mL:g} mL/mL")

    @property
    def name(self) -> str:
        return self.label

    @property
    def kinetic(self) -> tuple[Parameter, ...]:
        flow = Parameter("flow", "mL/min/g", 0.0, self.most_flow)
        if self.distribution_volume_mL_mL is not None:
            return (flow,)
        return (flow, Parameter("k2", "1/min", 0.0, _MOST_WASHOUT))

    @property
    def sharing(self) -> PartialVolume:
        return self.partial_volume

    def prepared(self, curves: WallCurves) -> WallCurves:
        return curves if self.within_min is None else curves.until(self.within_min)

    def uptake_rate(self, flow: FloatArray) -> FloatArray:
        """K1 per mL of muscle, mL/min/mL."""
        return self.density_g_mL * self.extraction.uptake_rate_mL_min_g(flow)

    def tissue(self, kinetic: FloatArray, curves: WallCurves) -> tuple[FloatArray, FloatArray]:
        flow = kinetic[:, 0]
        k1 = self.uptake_rate(flow)
        k1_slope = self.density_g_mL * self.extraction.uptake_rate_slope(flow)
        if self.distribution_volume_mL_mL is None:
            mean, by_k2 = one_tissue_and_slope(curves.left.curve, curves.frames, kinetic[:, 1])
            return k1[:, None] * mean, np.stack([k1_slope[:, None] * mean, k1[:, None] * by_k2], axis=-1)
        volume = self.distribution_volume_mL_mL
        mean, by_k2 = one_tissue_and_slope(curves.left.curve, curves.frames, k1 / volume)
        by_k1 = mean + (k1 / volume)[:, None] * by_k2
        return k1[:, None] * mean, (k1_slope[:, None] * by_k1)[..., None]

    def first_guess(self, curves: WallCurves) -> FloatArray:
        shapes = one_tissue(curves.left.curve, curves.frames, _GRID_K2)

        def kinetic(number: NDArray[np.intp], amplitude: FloatArray) -> FloatArray:
            flow = self.extraction.flow_mL_min_g(amplitude / self.density_g_mL)
            flow = np.clip(np.nan_to_num(flow, nan=self.most_flow), 0.02, 0.95 * self.most_flow)
            if self.distribution_volume_mL_mL is not None:
                return flow[:, None]
            return np.stack([flow, np.maximum(_GRID_K2[number], 0.01)], axis=1)

        return guess_by_shape(curves, self.partial_volume, shapes, kinetic)

    def flow(self, kinetic: FloatArray) -> tuple[FloatArray, FloatArray]:
        slope = np.zeros_like(kinetic)
        slope[:, 0] = 1.0
        return kinetic[:, 0], slope

    def rates(self, kinetic: FloatArray) -> Mapping[str, Rate]:
        k1, volume = self.uptake_rate(kinetic[:, 0]), self.distribution_volume_mL_mL
        return {"k1": (k1, "mL/min/mL"), "k2": (kinetic[:, 1] if volume is None else k1 / volume, "1/min")}


_LEAST_VOLUME, _MOST_VOLUME = 0.3, 60.0


def with_global_distribution_volume(model: OneTissue, curves: WallCurves) -> OneTissue:
    """The same model with one distribution volume K1 / k2 for the whole heart, held fixed.

    It is the volume at which all ``curves`` together are fitted best, each with its own flow and spill-over. A few
    curves of large regions tell it as well as thousands of small ones.

    Raises
    ------
    InvalidValue
        If no curve can be fitted, or the best volume lies outside 0.3 to 60 mL/mL.
    """
    from scipy.optimize import minimize_scalar

    usable = curves.some(~replace(model, distribution_volume_mL_mL=None).estimate(curves).failed)

    def misfit(log_volume: float) -> float:
        held = replace(model, distribution_volume_mL_mL=float(np.exp(log_volume)))
        return float(np.nansum(held.estimate(usable).chi2))

    found = minimize_scalar(
        misfit, bounds=(np.log(_LEAST_VOLUME), np.log(_MOST_VOLUME)), method="bounded", options={"xatol": 1e-4}
    )
    volume = float(np.exp(found.x))
    if not 1.01 * _LEAST_VOLUME < volume < 0.99 * _MOST_VOLUME:
        raise InvalidValue(f"the wall shows no distribution volume: the best one found is {volume:.3g} mL/mL")
    return replace(model, distribution_volume_mL_mL=volume)
