"""Which series are shown together: stress above rest of the same kind of image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from myoscope.core import PairResult, SeriesResult

STATE_ORDER = ("stress", "rest")


@dataclass(frozen=True, eq=False, slots=True)
class Comparison:
    """One or two series with a heart that share pages; stress comes first."""

    members: tuple[SeriesResult, ...]


def comparisons(results: Sequence[SeriesResult], pairs: Sequence[PairResult] = ()) -> tuple[Comparison, ...]:
    """Series with a heart, stress paired with rest; every series appears exactly once.

    What the analysis compared (``pairs``) stays together. Else a pair agrees in gating, attenuation correction and
    position if it can, else in correction, else it is the only stress and the only rest that are left. A series whose
    state is not known stands alone.
    """
    left = [r for r in results if r.heart is not None]
    groups: list[tuple[SeriesResult, ...]] = []
    for pair in pairs:
        members = tuple(r for name in (pair.stress, pair.rest) for r in left if r.series.name == name)
        if len(members) == 2:
            groups.append(members)
            left = [r for r in left if all(r is not member for member in members)]
    agreements = (
        lambda r: (r.series.gated, r.series.corrected.value, r.series.position.value),
        lambda r: (r.series.corrected.value, r.series.position.value),
        lambda r: (r.series.corrected.value,),
    )
    for agreement in agreements:
        for stress in [r for r in left if r.series.state.value == "stress"]:
            partners = [r for r in left if r.series.state.value == "rest" and agreement(r) == agreement(stress)]
            if partners:
                groups.append((stress, partners[0]))
                left = [r for r in left if r is not stress and r is not partners[0]]
    stress_left = [r for r in left if r.series.state.value == "stress"]
    rest_left = [r for r in left if r.series.state.value == "rest"]
    if len(stress_left) == 1 and len(rest_left) == 1:
        groups.append((stress_left[0], rest_left[0]))
        left = [r for r in left if r is not stress_left[0] and r is not rest_left[0]]
    groups += [(r,) for r in left]
    place = {id(r): n for n, r in enumerate(results)}
    groups.sort(key=lambda members: min(place[id(r)] for r in members))
    return tuple(Comparison(members) for members in groups)


def pair_of(comparison: Comparison, pairs: Sequence[PairResult]) -> PairResult | None:
    """What the analysis said about just these two series together, None if it compared others."""
    names = tuple(member.series.name for member in comparison.members)
    return next((pair for pair in pairs if (pair.stress, pair.rest) == names), None)


def state_label(result: SeriesResult) -> str:
    """What a reader calls the series: Stress, Rest, CT, or Image; a star says that the state was inferred."""
    state = result.series.state
    if result.series.kind in ("CT", "MU MAP"):
        return "CT" if result.series.kind == "CT" else "Attenuation map"
    if state.value is None:
        return "Image"
    return state.value.capitalize() + ("*" if state.inferred else "")
