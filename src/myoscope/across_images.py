"""What the images of one study say only together, and what the projections say once the heart is found in their image.

Two positions of one state give the deficit that both show; planar views give the ratio of lung to heart and tell
whether the patient moved, in which case the views are also moved back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from myoscope import correct, measure, quantify, reconstruct
from myoscope.core import VESSELS, Flag, InvalidValue, MyoscopeError, Projections, Quantity
from myoscope.core.geometry import FloatArray
from myoscope.quantify.drawn_interval import interval_of_draws
from myoscope.quantify.interval_constants import TPD_DRAWS

_N_DRAWS = 160
_USUAL_ORDER = ("supine", "upright", "prone")


@dataclass(frozen=True, eq=False, slots=True)
class OfProjections:
    """What projections say of a heart that was found in their image; ``moved_back`` are they without its movement."""

    quantities: tuple[Quantity, ...] = ()
    flags: tuple[Flag, ...] = ()
    moved_back: Projections | None = None


def of_projections(projections: Projections, plain: measure.State) -> OfProjections:
    """Truncation, movement and lung to heart ratio of one acquisition, gates added up."""
    cut = quantify.heart_truncation(projections, plain.still)
    flags = () if cut is None else (cut,)
    moved_back = None
    window = reconstruct.photopeak(projections)
    try:
        movement = correct.find_movement(
            projections, plain.still, reproject=reconstruct.reprojector(projections), window=window
        )
        told = movement.flag(projections.pixel_mm[0])
        flags = flags if told is None else (*flags, told)
        moved_back = correct.moved_back(projections, movement) if movement.to_be_applied else None
    except InvalidValue as error:
        flags = (*flags, Flag("movement_not_judged", f"Movement was not looked for: {error}.", "info"))
    return OfProjections((_lung_heart(projections, plain, window),), flags, moved_back)


def _lung_heart(projections: Projections, plain: measure.State, window: int) -> Quantity:
    name = "lung to heart ratio"
    try:
        found = quantify.lung_heart_ratio(projections, plain.still, window=window)
    except InvalidValue as error:
        return Quantity(name, None, "1", reason=str(error), group="perfusion")
    reach = 1.96 * found.ratio_sd
    left_out = "anything but counting noise"
    return Quantity(
        name, found.ratio, "1", found.ratio - reach, found.ratio + reach, group="perfusion", interval_of=left_out
    )


def partner_in_another_position(one: measure.State, others: Sequence[measure.State]) -> measure.State | None:
    """The image of the same state, correction and gating in another position, where one was taken."""

    def same(other: measure.State) -> bool:
        ours, theirs = one.series, other.series
        return (
            theirs.state.value == ours.state.value
            and theirs.gated == ours.gated
            and theirs.corrected.value == ours.corrected.value
            and (theirs.position.value or "supine") != (ours.position.value or "supine")
            and other.perfusion.normal is not None
        )

    fitting = [other for other in others if same(other)]
    return min(fitting, key=lambda other: _order(other.series.position.value)) if fitting else None


def _order(position: str | None) -> int:
    return _USUAL_ORDER.index(position or "supine") if (position or "supine") in _USUAL_ORDER else len(_USUAL_ORDER)


def combined_positions(
    first: measure.State, second: measure.State, *, rng: np.random.Generator
) -> tuple[Quantity, ...]:
    """TPD that two positions of one state agree on, whole and by vessel, with intervals from both maps' noise."""
    names = tuple(state.series.position.value or "supine" for state in (first, second))
    title = f"TPD, {names[0]} and {names[1]} combined"
    sides = [(state.heart.polar_map, state.perfusion.normal) for state in (first, second)]
    (one, ours), (other, theirs) = sides
    if ours is None or theirs is None:
        return ()
    try:
        found = quantify.combined_deficit(
            quantify.scale_to_limits(one, ours), ours, quantify.scale_to_limits(other, theirs), theirs
        )
    except MyoscopeError as error:
        return (Quantity(title, None, "%", reason=str(error), group="perfusion"),)
    drawn = [
        quantify.drawn_maps(
            polar_map, limits, state.perfusion.noise or quantify.no_noise(polar_map), rng=rng, n=_N_DRAWS
        )
        for (polar_map, limits), state in zip(((one, ours), (other, theirs)), (first, second), strict=True)
    ]
    a, b = drawn
    about: dict[str, Any] = {
        "mean": (a.mean, b.mean),
        "threshold": (a.threshold, b.threshold),
        "weights": (one.weights("surface"), other.weights("surface")),
    }
    whole = quantify.combined_tpd_of_many(a.value, b.value, **about)
    by_vessel = quantify.combined_tpd_of_many(a.value, b.value, group=one.territory, n_groups=len(VESSELS), **about)
    silent = any(state.perfusion.noise is None for state in (first, second))

    def quantity(name: str, value: float, draws: FloatArray, abnormal_from: float) -> Quantity:
        low, high = interval_of_draws(value, draws, TPD_DRAWS, highest=100.0)
        return Quantity(
            name,
            value,
            "%",
            low,
            high,
            group="perfusion",
            abnormal=value >= abnormal_from,
            limit=f"abnormal from {abnormal_from:g} % ({quantify.ABNORMAL_TPD_SOURCE})",
            interval_of="noise, which nothing tells of in one of the images" if silent else "",
        )

    return (
        quantity(title, found.tpd_percent, whole, quantify.ABNORMAL_COMBINED_TPD_PERCENT),
        *(
            quantity(
                f"{title}, {vessel}",
                float(found.vessel_tpd_percent[n]),
                by_vessel[:, n],
                quantify.ABNORMAL_VESSEL_TPD_PERCENT,
            )
            for n, vessel in enumerate(VESSELS)
        ),
    )
