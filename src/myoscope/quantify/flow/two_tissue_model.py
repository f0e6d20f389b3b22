"""Two tissue compartments in a row with K1 equal to flow: what Herrero's and Hutchins' models share.

    dC1/dt = K1 C_a - (k2 + k3) C1 + k4 C2,    dC2/dt = k3 C1 - k4 C2,    K1 = density F

Either k2 is fitted, or it is flow over the volume of the first compartment; either k4 is fitted, or it is nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from myoscope.core.geometry import FloatArray
from myoscope.physics.compartments import two_tissue, two_tissue_and_slopes
from myoscope.quantify.flow.compartment_model import (
    MUSCLE_G_ML,
    CompartmentModel,
    PartialVolume,
    Rate,
    checked_sharing,
    guess_by_curve,
    guess_by_shape,
    inverse_density,
)
from myoscope.quantify.flow.estimate import Parameter
from myoscope.quantify.flow.wall_data import WallCurves

_MOST_FLOW, _MOST_RATE = 8.0, 15.0


@dataclass(frozen=True, slots=True)
class TwoTissue(CompartmentModel):
    """Two compartments in a row; ``first_volume_mL_mL`` ties k2 to flow, ``reversible`` fits k4."""

    label: str
    first_volume_mL_mL: float | None
    reversible: bool
    partial_volume: PartialVolume = "geometric"
    density_g_mL: float = MUSCLE_G_ML
    within_min: float | None = None

    def __post_init__(self) -> None:
        checked_sharing(self.partial_volume)
        inverse_density(self.density_g_mL)

    @property
    def name(self) -> str:
        return self.label

    @property
    def kinetic(self) -> tuple[Parameter, ...]:
        return (
            Parameter("flow", "mL/min/g", 0.0, _MOST_FLOW),
            *([Parameter("k2", "1/min", 0.0, _MOST_RATE)] if self.first_volume_mL_mL is None else []),
            Parameter("k3", "1/min", 0.0, _MOST_RATE),
            *([Parameter("k4", "1/min", 0.0, _MOST_RATE)] if self.reversible else []),
        )

    @property
    def sharing(self) -> PartialVolume:
        return self.partial_volume

    def prepared(self, curves: WallCurves) -> WallCurves:
        return curves if self.within_min is None else curves.until(self.within_min)

    def _rates(self, kinetic: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        if self.first_volume_mL_mL is None:
            k2, rest = kinetic[:, 1], kinetic[:, 2:]
        else:
            k2, rest = self.density_g_mL * kinetic[:, 0] / self.first_volume_mL_mL, kinetic[:, 1:]
        k4 = rest[:, 1] if self.reversible else np.zeros(len(kinetic))
        return k2, rest[:, 0], k4

    def tissue(self, kinetic: FloatArray, curves: WallCurves) -> tuple[FloatArray, FloatArray]:
        k1 = self.density_g_mL * kinetic[:, 0]
        mean, by_rate = two_tissue_and_slopes(curves.left.curve, curves.frames, *self._rates(kinetic))
        by_rate = k1[:, None, None] * by_rate
        by_flow = self.density_g_mL * mean
        columns = []
        if self.first_volume_mL_mL is None:
            columns.append(by_rate[..., 0])
        else:
            by_flow = by_flow + by_rate[..., 0] * self.density_g_mL / self.first_volume_mL_mL
        columns.append(by_rate[..., 1])
        if self.reversible:
            columns.append(by_rate[..., 2])
        return k1[:, None] * mean, np.stack([by_flow, *columns], axis=-1)

    def first_guess(self, curves: WallCurves) -> FloatArray:
        k4 = np.array([0.02, 0.06, 0.15, 0.4]) if self.reversible else np.zeros(1)
        if self.first_volume_mL_mL is None:
            grid = _grid(np.geomspace(0.1, 8, 7), np.geomspace(0.05, 6, 7), k4)
            shapes = two_tissue(curves.left.curve, curves.frames, *grid.T)

            def kinetic(number: NDArray[np.intp], amplitude: FloatArray) -> FloatArray:
                flow = np.clip(amplitude / self.density_g_mL, 0.05, 0.95 * _MOST_FLOW)
                return np.column_stack([flow, grid[number][:, : len(self.kinetic) - 1]])

            return guess_by_shape(curves, self.partial_volume, shapes, kinetic)
        # Flow is in the shape as well as in the amplitude, and a low flow with fast trapping resembles a high one with
        # slow trapping: there are two basins, and the fit starts in each.
        starts = []
        for flows in (np.geomspace(0.1, 0.8, 7), np.geomspace(1.0, 2.2, 5), np.geomspace(2.6, 7, 5)):
            rows = _grid(flows, np.geomspace(0.3, 12, 8), k4)[:, : len(self.kinetic)]
            starts.append(guess_by_curve(curves, self.partial_volume, rows, self.tissue(rows, curves)[0]))
        return np.concatenate(starts)

    def flow(self, kinetic: FloatArray) -> tuple[FloatArray, FloatArray]:
        slope = np.zeros_like(kinetic)
        slope[:, 0] = 1.0
        return kinetic[:, 0], slope

    def rates(self, kinetic: FloatArray) -> Mapping[str, Rate]:
        k2, k3, k4 = self._rates(kinetic)
        known: dict[str, Rate] = {
            "k1": (self.density_g_mL * kinetic[:, 0], "mL/min/mL"),
            "k2": (k2, "1/min"),
            "k3": (k3, "1/min"),
        }
        return known | ({"k4": (k4, "1/min")} if self.reversible else {})


def _grid(*axes: FloatArray) -> FloatArray:
    """All combinations of the values of several axes, (combination, axis)."""
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
