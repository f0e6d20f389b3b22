"""Which heart beats a gated acquisition takes, and how much time each gate got in each phase of the heart.

The scanner cuts the nominal R-R interval into equal gates, counted from the R peak, and takes beats whose
length lies in the acceptance window. A beat shorter than nominal ends before the last gate has closed, so that
late gates hold less time; what comes after the nominal interval in a longer beat is not stored. Systole hardly
changes its length with the beat (here with its square root, as in Bazett's rule), diastole takes the rest: a gate
of a short beat sees a later phase of the heart. Ectopic beats come early and are followed by a pause.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from myoscope.core import Gating, InvalidValue
from myoscope.core.geometry import FloatArray

# End systole of a resting heart, as a share of the nominal R-R interval.
_SYSTOLE = 0.37
_EARLY_SHARE = (0.50, 0.80)  # an ectopic beat ends the sinus beat before it at this share of its length


@dataclass(frozen=True, slots=True)
class Rhythm:
    """A patient's rhythm during one acquisition.

    ``rr_ms`` is the mean sinus interval, ``variability`` its standard deviation as a share of it, ``ectopy`` the
    share of beats cut short by an ectopic one; ``window_percent`` the full width of the acceptance window round
    the nominal interval (40 = from -20 to +20 %), 100 or more takes every beat up to twice the nominal length.
    """

    rr_ms: float
    variability: float = 0.04
    ectopy: float = 0.0
    window_percent: float = 60.0

    def __post_init__(self) -> None:
        if not 300 <= self.rr_ms <= 2500:
            raise InvalidValue(f"a mean R-R interval of {self.rr_ms:g} ms is no rhythm (expected 300 to 2500 ms)")
        if not 0 <= self.variability <= 0.4 or not 0 <= self.ectopy <= 0.5 or self.window_percent <= 0:
            raise InvalidValue(f"a rhythm varies by 0 to 0.4, has 0 to half ectopic beats and a window, got {self}")


@dataclass(frozen=True, eq=False, slots=True)
class Beats:
    """The time an acquisition spent in every gate and phase.

    ``gate_phase_s`` (stop, gate, phase): seconds of each phase of the heart collected in each gate at each stop of
    the camera; ``left_out_s`` (stop, phase): seconds that no gate took (rejected beats, ends of long beats). Both
    together are the time of the stop. ``gating`` is None where there is one gate only.
    """

    gating: Gating | None
    gate_phase_s: FloatArray
    left_out_s: FloatArray

    @property
    def gate_s(self) -> FloatArray:
        """Seconds in each gate, summed over the acquisition."""
        total: FloatArray = self.gate_phase_s.sum(axis=(0, 2))
        return total

    @property
    def accepted_share(self) -> float:
        """Share of the acquisition time that the gates hold."""
        return float(self.gate_phase_s.sum() / (self.gate_phase_s.sum() + self.left_out_s.sum()))


def steady_beats(*, n_gates: int, n_phases: int, stop_s: ArrayLike, rr_ms: float | None = None) -> Beats:
    """Beats that are all alike and all taken: each gate gets its equal share of every stop."""
    times = _stops(stop_s)
    overlap = _overlap(np.linspace(0, 1, n_gates + 1)[None], np.linspace(0, 1, n_phases + 1)[None], np.ones(1))[0]
    gating = Gating(n_gates, rr_ms) if n_gates > 1 else None
    return Beats(gating, times[:, None, None] * overlap, np.zeros((len(times), n_phases)))


def draw_beats(rhythm: Rhythm, *, n_gates: int, n_phases: int, stop_s: ArrayLike, rng: np.random.Generator) -> Beats:
    """One acquisition's beats: R-R intervals, ectopic beats, which were taken, and where the time went.

    ``stop_s`` holds the duration of each stop of the camera (one entry for a camera that stands still).
    """
    if n_gates < 2:
        raise InvalidValue(f"a gated acquisition has at least 2 gates, got {n_gates}")
    times = _stops(stop_s)
    nominal_s = rhythm.rr_ms / 1000
    total_s = float(times.sum())
    n_beats = int(np.ceil(total_s / nominal_s * (1.25 + 2 * rhythm.variability))) + 20
    interval_s = nominal_s * np.clip(rng.normal(1, rhythm.variability, n_beats), 0.35, 2.2)
    early = rng.random(n_beats) < rhythm.ectopy
    early[1:] &= ~early[:-1]
    share = rng.uniform(*_EARLY_SHARE, n_beats)
    # The pause makes up for what the ectopic beat took: the next sinus beat comes when it would have come anyway.
    pause = np.zeros(n_beats)
    pause[1:] = (early * (1 - share) * interval_s)[:-1]
    interval_s = np.where(early, share * interval_s, interval_s) + pause
    start_s = np.concatenate([[0.0], np.cumsum(interval_s)[:-1]])
    taken = start_s < total_s
    start_s, interval_s = start_s[taken], interval_s[taken]

    half = min(rhythm.window_percent / 200, 1.0)
    accepted = np.abs(interval_s / nominal_s - 1) <= half
    stop = np.searchsorted(np.cumsum(times), start_s, side="right").clip(max=len(times) - 1)
    end_s = np.minimum(interval_s, np.cumsum(times)[stop] - start_s)

    gate_edges = nominal_s * np.linspace(0, 1, n_gates + 1)
    phase_edges = _phase_edges(interval_s, nominal_s, n_phases)
    gate_phase = _overlap(np.broadcast_to(gate_edges, (len(start_s), n_gates + 1)), phase_edges, end_s)
    phase = _overlap(np.stack([np.zeros_like(end_s), end_s], axis=1), phase_edges, end_s)[:, 0]
    gate_phase *= accepted[:, None, None]

    gate_phase_s = np.zeros((len(times), n_gates, n_phases))
    phase_s = np.zeros((len(times), n_phases))
    np.add.at(gate_phase_s, stop, gate_phase)
    np.add.at(phase_s, stop, phase)
    # Beats that began at one stop and end at the next lose their end there; the stop's own time is kept.
    scale = times / np.maximum(phase_s.sum(axis=1), 1e-9)
    gate_phase_s *= scale[:, None, None]
    phase_s *= scale[:, None]
    gating = Gating(
        n_gates,
        rr_ms=rhythm.rr_ms,
        rr_low_ms=rhythm.rr_ms * (1 - half),
        rr_high_ms=rhythm.rr_ms * (1 + half),
        accepted_beats=int(accepted.sum()),
        rejected_beats=int((~accepted).sum()),
    )
    return Beats(gating, gate_phase_s, np.maximum(phase_s - gate_phase_s.sum(axis=1), 0.0))


def _stops(stop_s: ArrayLike) -> FloatArray:
    times = np.atleast_1d(np.asarray(stop_s, dtype=np.float64))
    if times.ndim != 1 or not (times > 0).all() or not np.isfinite(times).all():
        raise InvalidValue("every stop of the camera lasts a positive number of seconds")
    return times


def _phase_edges(interval_s: FloatArray, nominal_s: float, n_phases: int) -> FloatArray:
    """Seconds after the R peak at which each phase of the heart begins, shape (beat, phase + 1)."""
    phase = np.linspace(0, 1, n_phases + 1)
    systole_s = _SYSTOLE * np.minimum(np.sqrt(nominal_s * interval_s), interval_s / (2 * _SYSTOLE))
    in_systole = np.minimum(phase / _SYSTOLE, 1)
    in_diastole = np.maximum(phase - _SYSTOLE, 0) / (1 - _SYSTOLE)
    edges: FloatArray = systole_s[:, None] * in_systole + (interval_s - systole_s)[:, None] * in_diastole
    return edges


def _overlap(gate_edges: FloatArray, phase_edges: FloatArray, end: FloatArray) -> FloatArray:
    """Time that gates and phases share before the end of the beat, shape (beat, gate, phase)."""
    upper = np.minimum(gate_edges[:, 1:, None], phase_edges[:, None, 1:])
    lower = np.maximum(gate_edges[:, :-1, None], phase_edges[:, None, :-1])
    shared: FloatArray = np.maximum(np.minimum(upper, end[:, None, None]) - lower, 0)
    return shared
