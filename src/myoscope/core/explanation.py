"""Which parts of an input a prediction rests on, and how far the parts add up to it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myoscope.core.errors import InvalidValue
from myoscope.core.geometry import Grid, frozen


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Explanation:
    """One attribution for each element of a model's input.

    ``attribution`` has the input's shape ``input_shape``, in the unit of the prediction ``target``; positive
    values raised it. ``method`` names how it was computed, ``baseline`` the input it was compared with.
    ``completeness_gap`` is what is left of (prediction - prediction of the baseline) after taking away the sum of
    the attributions: 0 for a method that adds up exactly, None for one that does not claim to. ``grid`` is the
    place of an image input, whose last three axes are the attribution's.
    """

    attribution: NDArray[Any]
    input_shape: tuple[int, ...]
    method: str
    target: str
    baseline: str = ""
    completeness_gap: float | None = None
    model_card: str = ""
    grid: Grid | None = None

    def __post_init__(self) -> None:
        attribution = frozen(self.attribution)
        shape = tuple(int(n) for n in self.input_shape)
        if attribution.dtype.kind != "f":
            raise InvalidValue(f"attributions are real numbers, got {attribution.dtype}")
        if attribution.shape != shape:
            raise InvalidValue(f"an attribution of shape {attribution.shape} does not explain an input of {shape}")
        if not np.isfinite(attribution).all():
            raise InvalidValue("an attribution that is NaN or infinite explains nothing; mask the input instead")
        if self.grid is not None and shape[-3:] != self.grid.shape:
            raise InvalidValue(f"an attribution of shape {shape} does not lie on a grid of {self.grid.shape}")
        if not (self.method and self.target):
            raise InvalidValue("an explanation states its method and what it explains")
        if self.completeness_gap is not None:
            if not math.isfinite(self.completeness_gap):
                raise InvalidValue("a completeness gap is a number, or None for a method that does not add up")
            if not self.baseline:
                raise InvalidValue("attributions add up against a baseline; say which")
        object.__setattr__(self, "attribution", attribution)
        object.__setattr__(self, "input_shape", shape)

    @property
    def total(self) -> float:
        """Sum of all attributions."""
        return float(self.attribution.sum(dtype=np.float64))

    def __repr__(self) -> str:
        gap = "not additive" if self.completeness_gap is None else f"gap {self.completeness_gap:.3g}"
        shape = " x ".join(map(str, self.input_shape))
        return f"Explanation({self.target} by {self.method}, input {shape}, sum {self.total:.3g}, {gap})"
