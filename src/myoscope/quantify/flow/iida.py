"""O-15 water: flow from washout, with the perfusable share of tissue.

Iida H, Rhodes CG, de Silva R, et al. J Nucl Med 1991;32:2169; with the form of Hermansen et al. (manual of PKIN, PMOD).

    C(t) = PTF F exp(-(F / p) t) (x) C_a(t) + V_a C_a(t) + V_RV C_RV(t),    p = 0.91 mL/g

Water goes in and out freely, so its washout is F / p, whatever share of the sample (PTF, g/mL) is perfused: flow is
that of the tissue that water can reach, and PTF takes up partial volume. PTF F is the flow of the whole wall. p = 0.91
is Iida's; a program of Turku uses 0.9464 mL/mL (unverified which belongs to which PTF).

`basis_functions` is the same model solved on a grid of flows by linear least squares (Harms HJ, et al. Eur J Nucl Med
Mol Imaging 2011;38:930; Katoh C, et al. Ann Nucl Med 2012): exact for flows on the grid, half a step off at most
between.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.physics.compartments import one_tissue, one_tissue_and_slope
from myoscope.physics.tracers import WATER_PARTITION_ML_G
from myoscope.quantify.flow.compartment_model import CompartmentModel, PartialVolume, blood_means, guess_by_shape
from myoscope.quantify.flow.estimate import Parameter
from myoscope.quantify.flow.least_squares import nearest_shape
from myoscope.quantify.flow.wall_data import WallCurves

_MOST_FLOW = 8.0
_GRID_FLOW = np.geomspace(0.05, 7.0, 40)


@dataclass(frozen=True, slots=True)
class Iida(CompartmentModel):
    """The water model; see the head of this file."""

    partition_mL_g: float = WATER_PARTITION_ML_G

    def __post_init__(self) -> None:
        if not 0.5 <= self.partition_mL_g <= 1.2:
            raise InvalidValue(f"the partition coefficient of water is about 0.91 mL/g, not {self.partition_mL_g:g}")

    @property
    def name(self) -> str:
        return "Iida (O-15 water)"

    @property
    def kinetic(self) -> tuple[Parameter, ...]:
        return (Parameter("flow", "mL/min/g", 0.0, _MOST_FLOW), Parameter("ptf", "g/mL", 0.0, 1.5))

    @property
    def sharing(self) -> PartialVolume:
        return "none"

    def prepared(self, curves: WallCurves) -> WallCurves:
        return curves

    def tissue(self, kinetic: FloatArray, curves: WallCurves) -> tuple[FloatArray, FloatArray]:
        flow, ptf = kinetic[:, 0], kinetic[:, 1]
        mean, by_rate = one_tissue_and_slope(curves.left.curve, curves.frames, flow / self.partition_mL_g)
        by_flow = ptf[:, None] * (mean + (flow / self.partition_mL_g)[:, None] * by_rate)
        by_ptf = flow[:, None] * mean
        return ptf[:, None] * by_ptf, np.stack([by_flow, by_ptf], axis=-1)

    def first_guess(self, curves: WallCurves) -> FloatArray:
        shapes = one_tissue(curves.left.curve, curves.frames, _GRID_FLOW / self.partition_mL_g)

        def kinetic(number: NDArray[np.intp], amplitude: FloatArray) -> FloatArray:
            flow = _GRID_FLOW[number]
            return np.stack([flow, np.clip(amplitude / flow, 0.02, 1.4)], axis=1)

        return guess_by_shape(curves, "none", shapes, kinetic)

    def flow(self, kinetic: FloatArray) -> tuple[FloatArray, FloatArray]:
        slope = np.zeros_like(kinetic)
        slope[:, 0] = 1.0
        return kinetic[:, 0], slope


def iida(*, partition_mL_g: float = WATER_PARTITION_ML_G) -> Iida:
    """The water model; see the head of this file."""
    return Iida(partition_mL_g)


@dataclass(frozen=True, eq=False, slots=True)
class BasisFunctionFlow:
    """Flow (mL/min/g), perfusable share (g/mL) and spill-over of each curve by basis functions, (curve,) each.

    NaN where the best fit has no tissue at all.
    """

    flow: FloatArray
    ptf: FloatArray
    v_lv: FloatArray
    v_rv: FloatArray


def basis_functions(
    curves: WallCurves, *, flow_grid: ArrayLike | None = None, partition_mL_g: float = WATER_PARTITION_ML_G
) -> BasisFunctionFlow:
    """Water flow of every curve by linear least squares over a grid of flows, non-negative in all amplitudes.

    ``flow_grid`` in mL/min/g; by default 100 flows from 0.1 to 6, equally spaced in their logarithm.

    Raises
    ------
    InvalidValue
        If the grid is not rising and positive.
    """
    grid = np.geomspace(0.1, 6.0, 100) if flow_grid is None else np.asarray(flow_grid, np.float64)
    if grid.ndim != 1 or len(grid) < 2 or not ((grid > 0).all() and (np.diff(grid) > 0).all()):
        raise InvalidValue("a grid of flows rises from a positive number")
    shapes = one_tissue(curves.left.curve, curves.frames, grid / partition_mL_g)
    number, amplitude = nearest_shape(curves.tissue, curves.weights, shapes, blood_means(curves))
    flow = np.where(amplitude[:, 0] > 0, grid[number], np.nan)
    right = amplitude[:, 2] if curves.right is not None else np.zeros(len(curves))
    return BasisFunctionFlow(flow, amplitude[:, 0] / flow, amplitude[:, 1], right)
