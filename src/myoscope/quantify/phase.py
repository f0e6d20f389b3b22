"""When each part of the wall contracts: phase of the counts over the cycle, and how much the parts agree.

A wall that thickens looks brighter, so the counts of a cell rise and fall with its contraction. Their first harmonic
(Chen et al., J Nucl Cardiol 2005;12:687) over N gates with counts c_k is

    a = 2/N sum c_k cos(2 pi k/N),  b = 2/N sum c_k sin(2 pi k/N),  amplitude = hypot(a, b),  phase = atan2(b, a).

Phase is that of the cosine's maximum in degrees of the R-R interval, counted from the *middle of the first gate*: gate
k stands at 360 k/N. A gate holds the counts of a stretch of time and stands for its middle, so after the R wave the
maximum comes 180/N degrees later (`after_r_wave_deg`). Papers call the phase "onset of mechanical contraction"; their
normal values (135 to 140 degrees) are the time of end systole, which is the maximum. An upward crossing of the mean
would come 90 degrees earlier. Spread, bandwidth and entropy do not depend on any of this.

Two or three harmonics follow the shape of the curve; the time of its maximum, or of its steepest rise, is then found
between the gates, without steps. Higher harmonics are given back what averaging over the width of a gate took.

Gates must hold equal counts (`gating_quality.equal_count_factors`): the last ones open for fewer beats, and what all
cells lose together there would look like contraction in unison.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from myoscope.core import SEGMENTS_17, VESSELS, GeometryMismatch, InvalidValue, PolarMap
from myoscope.core.geometry import FloatArray
from myoscope.quantify.wall_smoothing import smoothed_gates

PhaseEvent = Literal["maximum", "steepest rise"]
PhaseWeighting = Literal["sample", "surface", "amplitude"]

N_BINS = 60
"""Bins of 6 degrees in which entropy and peak are counted."""
_BAND = 0.95
_GRID = 48  # instants per cycle at which a curve is looked at before its maximum is found exactly
_NEWTON_STEPS = 4
_CURVES_AT_ONCE = 50_000
_MOST_HARMONICS = 3


@dataclass(frozen=True, slots=True)
class PhaseStatistics:
    """How the phases of many cells are spread; degrees of the R-R interval.

    ``mean_deg`` is the circular mean, ``peak_deg`` the mode, ``sd_deg`` the standard deviation about the mean along
    the shorter way round, ``bandwidth_deg`` the shortest arc that holds 95 % of the weight. ``entropy`` is
    -sum p ln p / ln 60 over bins of 6 degrees, 0 (all in one) to 1 (evenly spread). ``skewness`` and ``kurtosis``
    (3 for a Gaussian) are the standardised third and fourth moments.
    """

    mean_deg: float
    peak_deg: float
    sd_deg: float
    bandwidth_deg: float
    entropy: float
    skewness: float
    kurtosis: float


PHASE_INDICES: tuple[str, ...] = tuple(field.name for field in fields(PhaseStatistics))
"""Names of the columns of `phase_statistics_of_many`."""


@dataclass(frozen=True, slots=True)
class PhaseSettings:
    """Which cells tell of time, as chosen for noisy gates.

    Gates are averaged over ``smooth_fwhm_mm`` along the wall. A cell moves if its first harmonic is at least
    ``least_amplitude_percent`` of its mean counts and ``least_amplitude_noises`` times the noise of a harmonic on its
    ring (not judged with fewer than 8 gates). Of the whole wall's statistics the outermost ``valve_share`` of the rings
    is left out: the valve plane moves through it and takes counts away as the wall thickens.

    Chosen on 44 virtual patients for development (16 normal, 14 with left bundle branch block, 14 with an infarct, five
    centres, seed 7301).
    """

    smooth_fwhm_mm: float = 30.0
    least_amplitude_percent: float = 5.0
    least_amplitude_noises: float = 2.0
    valve_share: float = 0.3


@dataclass(frozen=True, eq=False, slots=True)
class PhaseAnalysis:
    """Phase and amplitude of one gated heart, for the whole wall and its parts.

    ``phase`` (deg) and ``amplitude`` (% of the cell's mean counts) are NaN where the wall was not seen; ``moving``
    (ring, angle) tells which cells tell of time, ``counted`` which of them the statistics of the whole wall count:
    ``counted_percent`` of those that were seen off the valve plane.
    Means and standard deviations (deg) of the 17 segments and of the territories in the order of ``VESSELS`` are NaN
    where none of their cells moves.
    """

    phase: PolarMap
    amplitude: PolarMap
    moving: NDArray[np.bool_]
    counted: NDArray[np.bool_]
    counted_percent: float
    statistics: PhaseStatistics
    segment_mean_deg: FloatArray
    segment_sd_deg: FloatArray
    vessel_mean_deg: FloatArray
    vessel_sd_deg: FloatArray


def phase_analysis(
    gates: Sequence[PolarMap],
    *,
    n_harmonics: int = 1,
    event: PhaseEvent = "maximum",
    least_amplitude_percent: float,
    least_amplitude_noises: float = 0.0,
    valve_share: float = 0.0,
    weighting: PhaseWeighting = "sample",
) -> PhaseAnalysis:
    """Phase maps and their statistics from the polar maps of all gates, in order from the R wave.

    The wall's shares and segments are those of the first gate. One harmonic as published (``event`` is then the
    maximum, or 90 degrees before); two or three follow the curve. Cells whose first harmonic is weaker than
    ``least_amplitude_percent`` of their mean, or than ``least_amplitude_noises`` times its noise, tell noise, not time,
    and are left out. ``weighting``: cells count equally (as published), by their area, or by their amplitude. See
    `PhaseSettings`.

    Raises
    ------
    InvalidValue
        Too few gates for so many harmonics, or no cell moves.
    GeometryMismatch
        If the gates' maps differ in shape.
    """
    if not gates or any(gate.value.shape != gates[0].value.shape for gate in gates):
        raise GeometryMismatch("phase needs one polar map of the same cells for every gate")
    counts = np.stack([gate.value for gate in gates])
    first, amplitude = first_harmonic(counts)
    if n_harmonics == 1:
        phase = first if event == "maximum" else (first - 90) % 360
    else:
        phase = harmonic_timing_deg(counts, n_harmonics=n_harmonics, event=event)
    mean = counts.mean(axis=0)
    percent = 100 * amplitude / np.where(mean > 0, mean, np.nan)
    least = np.maximum(least_amplitude_percent, least_amplitude_noises * amplitude_noise_percent(counts))
    moving = np.isfinite(phase) & (percent >= least)
    off_valve = np.isfinite(phase)
    off_valve[len(off_valve) - round(valve_share * len(off_valve)) :] = False
    counted = moving & off_valve
    if not counted.any():
        beyond = " and beyond noise" if (percent >= least_amplitude_percent)[off_valve].any() else ""
        where = " off the valve plane" if valve_share else ""
        raise InvalidValue(
            f"no part of the wall{where} changes its counts by {least_amplitude_percent:g} % over the cycle{beyond}; "
            "there is no phase"
        )
    wall = gates[0]
    every = phase_weights(wall, percent, weighting)
    weights = np.where(moving, every, 0.0)
    values = phase_statistics_of_many(phase[None], np.where(counted, every, 0.0))[0]
    segment_mean, segment_sd = regional_phase_of_many(
        phase[None], weights, wall.segment.astype(int) - 1, len(SEGMENTS_17)
    )
    vessel_mean, vessel_sd = regional_phase_of_many(phase[None], weights, wall.territory.astype(int), len(VESSELS))
    told = f"{n_harmonics} harmonic{'s' if n_harmonics > 1 else ''}, {event}"
    return PhaseAnalysis(
        wall.like(phase, f"phase of counts: {told}", unit="deg"),
        wall.like(percent, "amplitude of the first harmonic of counts", unit="%"),
        moving,
        counted,
        float(100 * counted.sum() / off_valve.sum()),
        PhaseStatistics(*(float(value) for value in values)),
        segment_mean[0],
        segment_sd[0],
        vessel_mean[0],
        vessel_sd[0],
    )


def phase_of_gates(gates: Sequence[PolarMap], settings: PhaseSettings, *, n_harmonics: int = 1) -> PhaseAnalysis:
    """`phase_analysis` of gates of equal counts, smoothed along the wall, of the cells that ``settings`` choose.

    Raises
    ------
    InvalidValue
        As `phase_analysis`.
    """
    return phase_analysis(
        smoothed_gates(gates, settings.smooth_fwhm_mm),
        n_harmonics=n_harmonics,
        least_amplitude_percent=settings.least_amplitude_percent,
        least_amplitude_noises=settings.least_amplitude_noises,
        valve_share=settings.valve_share,
    )


def amplitude_noise_percent(counts: FloatArray) -> FloatArray:
    """Standard deviation that noise gives the first harmonic of a cell, % of its mean counts: (ring, 1).

    Told by harmonics above the third, which hold nothing but noise, and averaged over the ring; 0 with fewer than 8
    gates, where there is none.
    """
    n_gates = len(counts)
    mean = counts.mean(axis=0)
    orders = np.arange(_MOST_HARMONICS + 1, n_gates // 2 + 1)
    if not orders.size:
        return np.zeros((mean.shape[0], 1))
    turn = 2 * np.pi * np.outer(orders, np.arange(n_gates)) / n_gates
    waves = np.tensordot(np.exp(1j * turn), counts, axes=(1, 0))
    # A harmonic of n gates has the variance of n of them; the first one's amplitude is 2/n of it, per component half.
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.abs(waves) ** 2 / n_gates / np.where(mean > 0, mean, np.nan) ** 2
    seen = np.isfinite(share)
    ring = np.where(seen, share, 0.0).sum(axis=(0, 2)) / np.maximum(seen.sum(axis=(0, 2)), 1)
    noise: FloatArray = 100 * np.sqrt(2 / n_gates * ring)[:, None]
    return noise


def first_harmonic(counts: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Phase in degrees (0 to 360, of the cosine's maximum) and amplitude in counts; (..., gate, ring, angle) in.

    Raises
    ------
    InvalidValue
        With fewer than 3 gates.
    """
    wave = _harmonics(counts, 1)[0]
    return np.degrees(np.angle(wave)) % 360, np.abs(wave)


def harmonic_timing_deg(counts: FloatArray, *, n_harmonics: int, event: PhaseEvent) -> FloatArray:
    """When the curve of the first harmonics has its maximum, or rises most steeply, in degrees.

    ``counts`` are (..., gate, ring, angle). Counted like `first_harmonic`, with which it agrees for a pure cosine (90
    degrees earlier for the steepest rise).
    Found exactly: from the highest of 48 instants by Newton's method.

    Raises
    ------
    InvalidValue
        Unless there are 1 to 3 harmonics, and more than twice as many gates.
    """
    if event not in ("maximum", "steepest rise"):
        raise InvalidValue(f"a phase is that of the maximum or of the steepest rise, not of {event!r}")
    waves = _harmonics(counts, n_harmonics)
    order = np.arange(1, n_harmonics + 1)
    n_gates = counts.shape[-3]
    share = order / n_gates
    # A gate averages over its width, which weakens fast changes more than slow ones.
    scale = (1 / np.sinc(share)).astype(complex)
    if event == "steepest rise":
        scale *= -1j * order
    flat = (waves.reshape(n_harmonics, -1) * scale[:, None]).T  # (curve, harmonic)
    time = np.empty(len(flat))
    for start in range(0, len(flat), _CURVES_AT_ONCE):
        part = slice(start, start + _CURVES_AT_ONCE)
        time[part] = _time_of_maximum(flat[part], order)
    degrees: FloatArray = np.degrees(time).reshape(waves.shape[1:]) % 360
    return degrees


def after_r_wave_deg(phase_deg: FloatArray, *, n_gates: int) -> FloatArray:
    """Phase counted from the R wave, at which the first gate begins, instead of from that gate's middle."""
    shifted: FloatArray = (np.asarray(phase_deg, np.float64) + 180 / n_gates) % 360
    return shifted


def phase_weights(wall: PolarMap, amplitude_percent: FloatArray, weighting: PhaseWeighting) -> FloatArray:
    """How much each cell counts: equally, by its area, or by its amplitude; NaN amplitudes count nothing.

    Raises
    ------
    InvalidValue
        For another weighting.
    """
    if weighting not in ("sample", "surface", "amplitude"):
        raise InvalidValue(f"phases are weighted by sample, surface or amplitude, not {weighting!r}")
    if weighting == "amplitude":
        return np.nan_to_num(np.asarray(amplitude_percent, np.float64))
    return wall.weights(weighting)


def circular_mean_deg(phase_deg: FloatArray, weights: FloatArray) -> FloatArray:
    """Direction of the mean unit vector over the last two axes, 0 to 360; NaN where nothing has a weight."""
    phase, w = _known(phase_deg, weights)
    turn = np.exp(1j * np.radians(phase))
    total = (w * turn).sum(axis=(-2, -1))
    mean: FloatArray = np.where(w.sum(axis=(-2, -1)) > 0, np.degrees(np.angle(total)) % 360, np.nan)
    return mean


def phase_statistics_of_many(phase_deg: FloatArray, weights: FloatArray) -> FloatArray:
    """The indices of `PhaseStatistics` for many maps (map, ring, angle); shape (map, 7) in the order of PHASE_INDICES.

    ``weights`` broadcast; cells that are NaN or weigh nothing do not count. Bins are laid so that the circular mean
    lies on an edge: turning all phases by one angle changes mean and peak by that angle and nothing else.
    """
    phase, w = _known(phase_deg, weights)
    mean = circular_mean_deg(phase, w)
    n = len(phase)
    phase, w = phase.reshape(n, -1), w.reshape(n, -1)
    found = np.full((n, len(PHASE_INDICES)), np.nan)
    rows = np.flatnonzero(w.sum(axis=1) > 0)
    if not rows.size:
        return found
    w = w[rows] / w[rows].sum(axis=1, keepdims=True)
    off = (phase[rows] - mean[rows, None] + 180) % 360 - 180
    middle = (w * off).sum(axis=1, keepdims=True)
    variance = (w * (off - middle) ** 2).sum(axis=1)
    sd = np.sqrt(variance)
    unit = np.where(sd > 1e-9, sd, np.nan)
    histogram = _histogram(off, w)
    with np.errstate(divide="ignore", invalid="ignore"):
        information = np.where(histogram > 0, histogram * np.log(histogram), 0.0)
    found[rows] = np.stack(
        [
            mean[rows],
            (mean[rows] + _peak(histogram)) % 360,
            sd,
            _shortest_arc(off, w),
            -information.sum(axis=1) / np.log(N_BINS),
            (w * (off - middle) ** 3).sum(axis=1) / unit**3,
            (w * (off - middle) ** 4).sum(axis=1) / unit**4,
        ],
        axis=1,
    )
    return found


def regional_phase_of_many(
    phase_deg: FloatArray, weights: FloatArray, group: NDArray[Any], n_groups: int
) -> tuple[FloatArray, FloatArray]:
    """Circular mean and standard deviation of each group of cells, deg, both (map, group); maps are (map, ring, angle).

    ``group`` (ring, angle) numbers cells from 0; NaN where none of a group's cells has a weight.
    """
    phase, w = _known(phase_deg, weights)
    phase, w = phase.reshape(len(phase), -1), w.reshape(len(phase), -1)
    number = group.ravel()
    member = (number[:, None] == np.arange(n_groups)).astype(np.float64)
    turn = np.radians(phase)
    weight = w @ member
    mean = np.arctan2((w * np.sin(turn)) @ member, (w * np.cos(turn)) @ member)
    off = (phase - np.degrees(mean)[:, number] + 180) % 360 - 180
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = (w * off) @ member / weight
        variance = (w * off**2) @ member / weight - middle**2
    seen = weight > 0
    return (
        np.where(seen, np.degrees(mean) % 360, np.nan),
        np.where(seen, np.sqrt(np.maximum(variance, 0)), np.nan),
    )


def centred_phase_deg(phase_deg: FloatArray, weights: FloatArray) -> FloatArray:
    """Phases as what they differ by from their circular mean, -180 to 180; (..., ring, angle).

    Does not change when all phases are turned by one angle: what a network should see. NaN stays NaN.
    """
    phase = np.asarray(phase_deg, np.float64)
    mean = circular_mean_deg(phase, weights)
    centred: FloatArray = (phase - mean[..., None, None] + 180) % 360 - 180
    return centred


def encoded_phase(phase_deg: FloatArray, weights: FloatArray) -> FloatArray:
    """Cosine and sine of the centred phases, (..., 2, ring, angle): no jump at 360 degrees, nor for a turn of all."""
    centred = np.radians(centred_phase_deg(phase_deg, weights))
    return np.stack([np.cos(centred), np.sin(centred)], axis=-3)


def _harmonics(counts: FloatArray, n_harmonics: int) -> NDArray[np.complex128]:
    """Complex waves c (harmonic, ..., ring, angle): the curve is the mean plus the real parts of c_m exp(-i m t)."""
    counts = np.asarray(counts, np.float64)
    n_gates = counts.shape[-3]
    if not 1 <= n_harmonics <= _MOST_HARMONICS or n_gates < 2 * n_harmonics + 1:
        raise InvalidValue(
            f"{n_gates} gates do not give {n_harmonics} harmonics (1 to {_MOST_HARMONICS}, each needs two gates)"
        )
    turn = 2 * np.pi * np.outer(np.arange(1, n_harmonics + 1), np.arange(n_gates)) / n_gates
    waves: NDArray[np.complex128] = np.tensordot(2 / n_gates * np.exp(1j * turn), counts, axes=(1, counts.ndim - 3))
    return waves


def _time_of_maximum(waves: NDArray[np.complex128], order: NDArray[np.int_]) -> FloatArray:
    """Where each of many curves (curve, harmonic) is highest, in radians; NaN where a curve is NaN."""

    pairs = np.concatenate([waves.real, waves.imag], axis=1)  # of cosines and sines

    def derivatives(time: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Cosine and sine rows (2 harmonics, time) of a curve, its slope and its bend."""
        angle = np.multiply.outer(order, time)
        cosine, sine, m = np.cos(angle), np.sin(angle), order[:, None]
        return (
            np.concatenate([cosine, sine]),
            np.concatenate([-m * sine, m * cosine]),
            np.concatenate([-m * m * cosine, -m * m * sine]),
        )

    grid = 2 * np.pi * np.arange(_GRID) / _GRID
    value, slope, bend = (pairs @ rows for rows in derivatives(grid))
    # The top of the parabola at each instant, so that of two peaks the higher is taken and not the better hit one.
    top = np.where(bend < 0, np.clip(-slope / np.where(bend < 0, bend, -1), -np.pi / _GRID, np.pi / _GRID), 0.0)
    reached = value + (slope + bend * top / 2) * top
    best = np.argmax(np.nan_to_num(reached, nan=-np.inf), axis=1)
    time: FloatArray = grid[best] + top[np.arange(len(waves)), best]
    for _ in range(_NEWTON_STEPS):
        _, slope, bend = ((pairs.T * rows).sum(axis=0) for rows in derivatives(time))
        step = -slope / np.where(bend < 0, bend, -np.inf)
        time = time + np.clip(step, -2 * np.pi / _GRID, 2 * np.pi / _GRID)
    time[~np.isfinite(waves).all(axis=1)] = np.nan
    return time


def _known(phase_deg: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    phase = np.asarray(phase_deg, np.float64)
    seen = np.isfinite(phase)
    return np.where(seen, phase, 0.0), np.where(seen, np.broadcast_to(weights, phase.shape), 0.0)


def _histogram(off: FloatArray, w: FloatArray) -> FloatArray:
    """Share of the weight (map, bin) in bins of 6 degrees from -180 on."""
    bins = np.clip(np.floor((off + 180) * N_BINS / 360), 0, N_BINS - 1).astype(int)
    place = bins + N_BINS * np.arange(len(off))[:, None]
    counted = np.bincount(place.ravel(), w.ravel(), N_BINS * len(off)).astype(np.float64)
    return counted.reshape(len(off), N_BINS)


def _peak(histogram: FloatArray) -> FloatArray:
    """The mode with respect to the mean, deg: top of a parabola through the fullest of the smoothed bins."""
    smooth: FloatArray = 0.5 * histogram + 0.25 * (np.roll(histogram, 1, axis=1) + np.roll(histogram, -1, axis=1))
    row, best = np.arange(len(smooth)), np.argmax(smooth, axis=1)
    before, at, after = (smooth[row, (best + step) % N_BINS] for step in (-1, 0, 1))
    bend = before - 2 * at + after
    shift = np.where(bend < 0, 0.5 * (before - after) / np.where(bend < 0, bend, -1), 0.0)
    peak: FloatArray = (best + 0.5 + shift) * 360 / N_BINS - 180
    return peak


def _shortest_arc(off: FloatArray, w: FloatArray) -> FloatArray:
    """Shortest arc that holds 95 % of the weight (map,), the circle closed; weights of a map add up to 1."""
    order = np.argsort(off, axis=1)
    once, share = np.take_along_axis(off, order, axis=1), np.take_along_axis(w, order, axis=1)
    n = once.shape[1]
    place = np.concatenate([once, once + 360], axis=1)
    upto = np.cumsum(np.concatenate([share, share], axis=1), axis=1)
    # All maps searched at once: each is lifted above the one before.
    lift = 4.0 * np.arange(len(off))[:, None]
    wanted = upto[:, :n] - share + _BAND * (1 - 1e-9)
    found = np.searchsorted((upto + lift).ravel(), (wanted + lift).ravel()).reshape(-1, n)
    end = np.minimum(found - 2 * n * np.arange(len(off))[:, None], 2 * n - 1)
    arc: FloatArray = (np.take_along_axis(place, end, axis=1) - once).min(axis=1)
    return arc
