"""How the wall is spread over the phases of the beat: the histogram of what statistics count, in bins of 6 degrees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from myoscope.core import PolarMap, SeriesResult
from myoscope.report.indexed_png import LEVELS
from myoscope.report.map_scales import own_palette
from myoscope.report.pairing import state_label
from myoscope.report.plot_axes import Frame, Tick, scale_for
from myoscope.report.quantity_text import Told, tell

N_BINS = 60
BIN_DEG = 360 / N_BINS
PHASE_FRAME = Frame(width=420, height=130, left=40, right=18, top=8, bottom=22)
COUNTED_PHASE = "phase_counted"
"""The map of the phases that statistics count."""
_TOLD = ("phase SD", "phase bandwidth", "phase entropy", "phase peak")


@dataclass(frozen=True, slots=True)
class Bar:
    """One bin as drawn; its colour is that of its phase on the map."""

    x: float
    y: float
    width: float
    height: float
    colour: str


@dataclass(frozen=True, slots=True)
class PhaseHistogram:
    """The histogram of one series: degrees after the R wave across, % of the wall upwards."""

    label: str
    state: str
    bars: tuple[Bar, ...]
    across: tuple[Tick, ...]
    upwards: tuple[Tick, ...]
    facts: tuple[Told, ...]
    alt: str


def phase_shares_percent(phase: PolarMap) -> NDArray[np.float64]:
    """Share of the wall's area (of what has a phase) in each bin of 6 degrees from 0 to 360; shape (60,), sum 100.

    All 0 where no part of the wall has a phase.
    """
    known = np.isfinite(phase.value)
    area = np.where(known, phase.area_mm2, 0.0)
    place = np.floor(np.where(known, phase.value, 0.0) % 360 / BIN_DEG).astype(int) % N_BINS
    total = np.bincount(place.ravel(), area.ravel(), N_BINS)
    shares: NDArray[np.float64] = 100 * total / area.sum() if area.any() else np.zeros(N_BINS)
    return shares


def phase_histograms(members: Sequence[SeriesResult]) -> tuple[PhaseHistogram, ...]:
    """A histogram for each series with a phase map, all on the same axes."""
    known = [(m, m.heart.maps[COUNTED_PHASE]) for m in members if m.heart is not None and COUNTED_PHASE in m.heart.maps]
    shares = [phase_shares_percent(phase) for _, phase in known]
    highest = max((float(s.max()) for s in shares), default=0.0)
    if not highest > 0:
        return ()
    frame, scale = PHASE_FRAME, scale_for(highest)
    width = frame.x(1 / N_BINS) - frame.x(0)
    colours = own_palette("phase")[np.round((np.arange(N_BINS) + 0.5) / N_BINS * LEVELS).astype(int)]
    drawn = []
    for (member, _), share in zip(known, shares, strict=True):
        assert member.heart is not None
        found = (member.heart.quantity(name) for name in _TOLD)
        facts = tuple(tell(q, q.name.removeprefix("phase ")) for q in found if q is not None)
        label = state_label(member)
        read = ", ".join(f"{fact.name} {fact.text}" for fact in facts)
        peak = (int(np.argmax(share)) + 0.5) * BIN_DEG
        drawn.append(
            PhaseHistogram(
                label=label,
                state=member.series.state.value or "image",
                bars=tuple(
                    Bar(
                        frame.x(n / N_BINS),
                        frame.y(percent / scale.top),
                        width * 0.92,
                        frame.y(0) - frame.y(percent / scale.top),
                        "#{:02x}{:02x}{:02x}".format(*colours[n].tolist()),
                    )
                    for n, percent in enumerate(share.tolist())
                    if percent > 0
                ),
                across=tuple(Tick(f"{d}°", frame.x(d / 360)) for d in (0, 60, 120, 180, 240, 300, 360)),
                upwards=scale.ticks(frame),
                facts=facts,
                alt=f"{label}: histogram of phase, % of the wall against degrees after the R wave, "
                f"highest at {peak:.0f} degrees. {read}",
            )
        )
    return tuple(drawn)
