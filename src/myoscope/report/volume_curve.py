"""The volume of the cavity over one beat, drawn: gates as points, the curve, end diastole and end systole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from myoscope.core import SeriesResult, VolumeCurve
from myoscope.report.pairing import state_label
from myoscope.report.plot_axes import Frame, Tick, scale_for
from myoscope.report.quantity_text import Told, tell

VOLUME_FRAME = Frame(width=420, height=250, left=44, right=12, top=14, bottom=36)
_POINTS = 120
_TOLD = ("EDV", "ESV", "EF", "stroke volume")


@dataclass(frozen=True, slots=True)
class Extreme:
    """End diastole or end systole on the curve; ``text_y`` is where its name stands."""

    name: str
    x: float
    y: float
    text_y: float


@dataclass(frozen=True, slots=True)
class Beat:
    """One series' curve as drawn; ``beat`` tells the length of the R-R interval."""

    label: str
    state: str
    path: str
    gates: tuple[tuple[float, float], ...]
    extremes: tuple[Extreme, ...]
    beat: str


@dataclass(frozen=True, slots=True)
class VolumePlot:
    """Curves of the series that are compared, on one pair of axes: % of the R-R interval across, mL upwards.

    ``rows`` are the numbers beside it: a name, and one number (or None) for each of ``beats``.
    """

    beats: tuple[Beat, ...]
    rows: tuple[tuple[str, tuple[Told | None, ...]], ...]
    across: tuple[Tick, ...]
    upwards: tuple[Tick, ...]
    alt: str


def volume_plot(members: Sequence[SeriesResult]) -> VolumePlot | None:
    """The curves of all series that have one; None if none has."""
    curves = [(m, m.heart.curve) for m in members if m.heart is not None and m.heart.curve is not None]
    if not curves:
        return None
    frame = VOLUME_FRAME
    scale = scale_for(max(float(max(c.volume_mL.max(), c.gate_mL.max())) for _, c in curves))
    largest = max(range(len(curves)), key=lambda n: float(curves[n][1].volume_mL.max()))
    beats = tuple(
        Beat(
            label=state_label(member),
            state=member.series.state.value or "image",
            path=_path(curve, frame, scale.top),
            gates=tuple(
                (frame.x((k + 0.5) / len(curve.gate_mL)), frame.y(mL / scale.top))
                for k, mL in enumerate(curve.gate_mL.tolist())
            ),
            extremes=_named(curve, frame, scale.top, above=n == largest),
            beat="" if curve.rr_ms is None else f"{curve.rr_ms:.0f} ms",
        )
        for n, (member, curve) in enumerate(curves)
    )
    rows = [(name, [m.heart.quantity(name) for m, _ in curves if m.heart is not None]) for name in _TOLD]
    told = tuple((name, tuple(None if q is None else tell(q) for q in found)) for name, found in rows if any(found))
    read = "; ".join(
        f"{beat.label}: {', '.join(f'{name} {one.text}' for name, row in told if (one := row[n]) is not None)}"
        for n, beat in enumerate(beats)
    )
    return VolumePlot(
        beats,
        told,
        tuple(Tick(f"{percent}", frame.x(percent / 100)) for percent in (0, 20, 40, 60, 80, 100)),
        scale.ticks(frame),
        f"Volume of the cavity over one beat, in mL against % of the R-R interval. {read}",
    )


def _named(curve: VolumeCurve, frame: Frame, top_mL: float, *, above: bool) -> tuple[Extreme, ...]:
    """The extremes as drawn: names of the larger heart stand above its curve, those of the smaller one below."""
    shift = -10 if above else 18
    places = {name: (frame.x(time), frame.y(mL / top_mL)) for name, (time, mL) in extremes(curve).items()}
    return tuple(Extreme(name, x, y, y + shift) for name, (x, y) in places.items())


def extremes(curve: VolumeCurve) -> dict[str, tuple[float, float]]:
    """Time (0 to 1) and volume of the largest (ED) and smallest (ES) volume of the continuous curve."""
    ed, es = int(np.argmax(curve.volume_mL)), int(np.argmin(curve.volume_mL))
    return {name: (float(curve.time[k]), float(curve.volume_mL[k])) for name, k in (("ED", ed), ("ES", es))}


def _path(curve: VolumeCurve, frame: Frame, top_mL: float) -> str:
    keep = np.unique(np.linspace(0, len(curve.time) - 1, _POINTS).round().astype(int))
    points = zip(curve.time[keep].tolist(), curve.volume_mL[keep].tolist(), strict=True)
    return "M" + " ".join(f"{frame.x(t):.1f} {frame.y(mL / top_mL):.1f}" for t, mL in points)
