"""Rb-82 by an axially distributed model of capillary and tissue.

Alessio AM, Bassingthwaighte JB, Glenny R, Caldwell JH. J Nucl Cardiol 2013;20:64 (validated for ammonia), one of the
models of the RUBY-10 comparison for Rb-82.

Blood loses tracer to the tissue along the capillary (`physics.capillary`); fitted are flow and the volume of
distribution of the tissue, V_t, beside spill-over. The permeability PS = 0.63 + 0.26 F mL/min/g is that of Lortie's
extraction (1 - exp(-PS / F) = 1 - 0.77 exp(-0.63 / F)), and the capillary volume 0.07 mL/mL is assumed: what the
compared program held fixed was not seen (unverified). Spill-over is geometric.

Curves are read from a table over flow and V_t, made once for an input, by cubic splines.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from myoscope.core.geometry import FloatArray
from myoscope.physics.capillary import capillary_frame_means
from myoscope.physics.frames import Frames
from myoscope.physics.time_curve import TimeCurve
from myoscope.quantify.flow.compartment_model import (
    MUSCLE_G_ML,
    CompartmentModel,
    PartialVolume,
    checked_sharing,
    guess_by_curve,
    inverse_density,
)
from myoscope.quantify.flow.estimate import Parameter
from myoscope.quantify.flow.wall_data import WallCurves

CAPILLARY_ML_ML = 0.07
PS_ML_MIN_G, PS_PER_FLOW = 0.63, -math.log(0.77)
_FLOW_GRID = np.geomspace(0.05, 8.0, 40)
_VOLUME_GRID = np.geomspace(0.5, 60.0, 24)


@dataclass(frozen=True, slots=True)
class Alessio(CompartmentModel):
    """The axially distributed model; see the head of this file."""

    partial_volume: PartialVolume = "geometric"
    density_g_mL: float = MUSCLE_G_ML

    def __post_init__(self) -> None:
        checked_sharing(self.partial_volume)
        inverse_density(self.density_g_mL)

    @property
    def name(self) -> str:
        return "Alessio axially distributed (Rb-82)"

    @property
    def kinetic(self) -> tuple[Parameter, ...]:
        return (
            Parameter("flow", "mL/min/g", float(_FLOW_GRID[0]), float(_FLOW_GRID[-1])),
            Parameter("v_tissue", "mL/mL", float(_VOLUME_GRID[0]), float(_VOLUME_GRID[-1])),
        )

    @property
    def sharing(self) -> PartialVolume:
        return self.partial_volume

    def prepared(self, curves: WallCurves) -> WallCurves:
        return curves

    def tissue(self, kinetic: FloatArray, curves: WallCurves) -> tuple[FloatArray, FloatArray]:
        flow, volume = kinetic[:, 0], kinetic[:, 1]
        at = np.log(flow), np.log(volume)
        mean, by_flow, by_volume = (np.empty((len(kinetic), len(curves.frames))) for _ in range(3))
        for t, spline in enumerate(_table(curves.left.curve, curves.frames, self.density_g_mL)):
            mean[:, t] = spline.ev(*at)
            by_flow[:, t] = spline.ev(*at, dx=1) / flow
            by_volume[:, t] = spline.ev(*at, dy=1) / volume
        return mean, np.stack([by_flow, by_volume], axis=-1)

    def first_guess(self, curves: WallCurves) -> FloatArray:
        rows = np.stack(np.meshgrid(_FLOW_GRID[::4], _VOLUME_GRID[::4], indexing="ij"), -1).reshape(-1, 2)
        return guess_by_curve(curves, self.partial_volume, rows, self.tissue(rows, curves)[0])

    def flow(self, kinetic: FloatArray) -> tuple[FloatArray, FloatArray]:
        slope = np.zeros_like(kinetic)
        slope[:, 0] = 1.0
        return kinetic[:, 0], slope


@lru_cache(maxsize=8)
def _table(curve: TimeCurve, frames: Frames, density_g_mL: float):  # type: ignore[no-untyped-def]
    """A spline over the logarithms of flow and volume for each frame."""
    from scipy.interpolate import RectBivariateSpline

    flow, volume = (a.ravel() for a in np.meshgrid(_FLOW_GRID, _VOLUME_GRID, indexing="ij"))
    per_mL = density_g_mL * flow
    ps = density_g_mL * (PS_ML_MIN_G + PS_PER_FLOW * flow)
    means = per_mL[:, None] * capillary_frame_means(
        curve, frames, flow=per_mL, ps=ps, plasma_volume=CAPILLARY_ML_ML, tissue_volume=volume
    )
    shape = (len(_FLOW_GRID), len(_VOLUME_GRID))
    return [
        RectBivariateSpline(np.log(_FLOW_GRID), np.log(_VOLUME_GRID), means[:, t].reshape(shape), s=0)
        for t in range(len(frames))
    ]


def alessio(*, partial_volume: PartialVolume = "geometric", density_g_mL: float = MUSCLE_G_ML) -> Alessio:
    """The axially distributed model; see the head of this file."""
    return Alessio(partial_volume, density_g_mL)
