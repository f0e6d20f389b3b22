"""Two dynamic studies of one day: what the first injection left in the second, and stress over rest."""

from __future__ import annotations

import numpy as np

from myoscope.core import FlowResult, InvalidValue, ReserveResult, Surfaces, Volume
from myoscope.correct.residual import residual_image, subtract_residual
from myoscope.flow_protocols import protocol_of
from myoscope.physics.decay import share_left
from myoscope.quantify.flow.capacity import HOUSTON, CapacityClasses, capacity_class, capacity_shares
from myoscope.quantify.flow.indices import corrected_for_work, flow_reserve, relative_reserve, reserve_map

_LEAST_RESIDUAL = 0.002
"""Less than this share of the first injection is left to nobody's harm."""


def left_by_first(tracer: str, seconds_between: float) -> float:
    """Share of a first injection that is left at the start of a second study, 0 where it is too little to matter."""
    share = float(share_left(protocol_of(tracer).nuclide, seconds_between))
    return share if share >= _LEAST_RESIDUAL else 0.0


def without_first(
    second: Volume, first: Volume, tracer: str, *, seconds_between: float, second_wall: Surfaces, first_wall: Surfaces
) -> Volume:
    """The second dynamic image of a day less what the first injection left in it, put where the heart now lies."""
    moved_mm = second_wall.mid_mm.mean(axis=(0, 1)) - first_wall.mid_mm.mean(axis=(0, 1))
    return subtract_residual(
        second,
        residual_image(first),
        nuclide=protocol_of(tracer).nuclide,
        seconds_between=seconds_between,
        moved_mm=moved_mm,
    )


def reserve_of(
    stress: FlowResult,
    rest: FlowResult,
    *,
    rate_pressure: float | None = None,
    classes: CapacityClasses = HOUSTON,
) -> ReserveResult:
    """Stress over rest: map, regions, reserve corrected for work at rest, relative reserve, and flow capacity.

    ``rate_pressure`` is heart rate times systolic pressure at rest.

    Raises
    ------
    InvalidValue
        If the two were measured with different tracers or models.
    """
    if stress.tracer != rest.tracer or stress.model != rest.model:
        raise InvalidValue(
            f"stress was measured with {stress.tracer} by {stress.model}, rest with {rest.tracer} by {rest.model}: "
            "their ratio is no reserve"
        )
    ratio = reserve_map(stress.flow, rest.flow)
    quiet = tuple(corrected_for_work(one, rate_pressure) for one in (*rest.vessels, rest.whole))
    capacity = capacity_class(stress.flow.value, ratio.value, classes=classes)
    return ReserveResult(
        reserve=ratio,
        segments=tuple(flow_reserve(s, r) for s, r in zip(stress.segments, rest.segments, strict=True)),
        vessels=tuple(flow_reserve(s, r) for s, r in zip(stress.vessels, rest.vessels, strict=True)),
        whole=flow_reserve(stress.whole, rest.whole),
        corrected=flow_reserve(stress.whole, quiet[-1]),
        corrected_rest=quiet,
        corrected_vessels=tuple(flow_reserve(s, r) for s, r in zip(stress.vessels, quiet[:-1], strict=True)),
        relative=relative_reserve(stress.segments, stress.vessels),
        capacity=np.asarray(capacity, np.float64),
        capacity_names=classes.names,
        capacity_share=capacity_shares(capacity, stress.flow.weights("surface"), classes=classes),
        capacity_source=classes.source,
    )
