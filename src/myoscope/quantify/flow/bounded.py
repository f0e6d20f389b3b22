"""A flow model whose kinetic parameters are held within bounds that a user chose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.quantify.flow.compartment_model import CompartmentModel, FlowModel, PartialVolume, Rate
from myoscope.quantify.flow.estimate import Parameter
from myoscope.quantify.flow.wall_data import WallCurves


@dataclass(frozen=True, slots=True)
class Bounded(CompartmentModel):
    """``model`` with other ``kinetic`` bounds."""

    model: CompartmentModel
    kinetic: tuple[Parameter, ...]

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def sharing(self) -> PartialVolume:
        return self.model.sharing

    def prepared(self, curves: WallCurves) -> WallCurves:
        return self.model.prepared(curves)

    def tissue(self, kinetic: FloatArray, curves: WallCurves) -> tuple[FloatArray, FloatArray]:
        return self.model.tissue(kinetic, curves)

    def first_guess(self, curves: WallCurves) -> FloatArray:
        return self.model.first_guess(curves)

    def flow(self, kinetic: FloatArray) -> tuple[FloatArray, FloatArray]:
        return self.model.flow(kinetic)

    def rates(self, kinetic: FloatArray) -> Mapping[str, Rate]:
        return self.model.rates(kinetic)


def within_bounds(model: FlowModel, bounds: Mapping[str, tuple[float, float]]) -> FlowModel:
    """The model with kinetic parameters held within ``bounds`` (lowest, highest by name), none wider than its own.

    Raises
    ------
    InvalidValue
        If the model has no such parameter, or its own bounds do not allow these.
    """
    if not bounds:
        return model
    if not isinstance(model, CompartmentModel):
        raise InvalidValue(f"{model.name} fits no parameters that could be bounded")
    known = {p.name: p for p in model.kinetic}
    for name, (low, high) in bounds.items():
        if name not in known:
            raise InvalidValue(f"{model.name} has no kinetic parameter {name!r}; it has {', '.join(known)}")
        own = known[name]
        if low < own.low or high > own.high:
            raise InvalidValue(
                f"{name} of {model.name} may lie from {own.low:g} to {own.high:g} {own.unit}, "
                f"not from {low:g} to {high:g}"
            )
        known[name] = replace(own, low=low, high=high)
    return Bounded(model, tuple(known.values()))
