"""What is told of blood flow: maps by name, and numbers with intervals and limits, of one series and of a pair."""

from __future__ import annotations

import numpy as np

from myoscope.core import FlowResult, PolarMap, Quantity, RegionValue, ReserveResult
from myoscope.flow_protocols import Threshold, protocol_of
from myoscope.quantify.flow.indices import REFERENCE_RATE_PRESSURE

_MAP_NAMES = {
    "k1": "uptake",
    "k2": "washout",
    "k3": "trapping",
    "k4": "release",
    "v_lv": "left_blood",
    "v_rv": "right_blood",
    "ptf": "tissue_share",
}


def flow_maps(found: FlowResult) -> dict[str, PolarMap]:
    """The maps of a flow result by the names of `MAP_MEANINGS`."""
    named = {_MAP_NAMES[name]: one for name, one in found.parameters.items() if name in _MAP_NAMES}
    return {"flow": found.flow, "flow_error": found.error, **named}


_AT_REFERENCE = f"at a rate-pressure product of {REFERENCE_RATE_PRESSURE:g} at rest"
_INTERVAL_OF = "what people have that virtual patients have not: errors beyond the fit's own were measured on those"


def flow_quantities(found: FlowResult, *, stress: bool) -> tuple[Quantity, ...]:
    """Flow of the ventricle and its territories as numbers of the series; ``stress`` holds them against a limit."""
    limit = protocol_of(found.tracer).low_flow if stress else None
    parts = (found.whole, *found.vessels)
    names = ("blood flow", *(f"blood flow, {one.region}" for one in found.vessels))
    return tuple(_told(name, one, "mL/min/g", limit) for name, one in zip(names, parts, strict=True))


def no_flow(reason: str) -> tuple[Quantity, ...]:
    """Flow that is missing for a reason."""
    return (Quantity("blood flow", None, "mL/min/g", reason=reason, group="flow"),)


def _told(name: str, one: RegionValue, unit: str, limit: Threshold | None = None) -> Quantity:
    if one.value is None:
        return Quantity(name, None, unit, reason=one.reason, group="flow")
    return Quantity(
        name,
        one.value,
        unit,
        one.low,
        one.high,
        group="flow",
        abnormal=None if limit is None else one.value < limit.value,
        limit="" if limit is None else limit.said(),
        interval_of="" if one.low is None else _INTERVAL_OF,
    )


def reserve_maps(found: ReserveResult) -> dict[str, PolarMap]:
    """Reserve and capacity as maps by the names of `MAP_MEANINGS`."""
    capacity = np.where(found.capacity >= 0, found.capacity, np.nan)
    return {
        "reserve": found.reserve,
        "capacity": found.reserve.like(capacity, "classes of flow capacity", unit="class"),
    }


def reserve_quantities(found: ReserveResult, tracer: str) -> tuple[Quantity, ...]:
    """Reserve and capacity as numbers of the pair."""
    limit = protocol_of(tracer).low_reserve
    lowest = min((s for s in found.relative if s.value is not None), key=lambda s: s.value or 0.0, default=None)
    low = found.relative[0] if lowest is None else lowest
    return (
        _told("flow reserve", found.whole, "1", limit),
        *(_told(f"flow reserve, {one.region}", one, "1", limit) for one in found.vessels),
        _told(f"flow reserve, {_AT_REFERENCE}", found.corrected, "1"),
        *(
            _told(f"flow reserve, {_AT_REFERENCE}, {one.region}", one, "1")
            for one in found.corrected_vessels
            if one.value is not None
        ),
        *(
            _told(f"blood flow at rest, {_AT_REFERENCE}, {one.region}", one, "mL/min/g")
            for one in found.corrected_rest
            if one.value is not None
        ),
        _told("relative flow reserve, lowest segment", low, "1"),
        *(
            Quantity(f"flow capacity: {name}", 100 * float(share), "%", group="flow", limit=found.capacity_source)
            if (found.capacity >= 0).any()
            else Quantity(f"flow capacity: {name}", None, "%", reason="no place has a reserve", group="flow")
            for name, share in zip(found.capacity_names, found.capacity_share, strict=True)
        ),
    )
