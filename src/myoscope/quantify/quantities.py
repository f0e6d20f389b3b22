"""Measured figures as quantities: name, unit, 95 % interval, and the limit they are held to with its source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myoscope.core import VESSELS, Flag, NormalLimits, PolarMap, Quantity
from myoscope.core.geometry import FloatArray
from myoscope.quantify.combined_positions import (
    ABNORMAL_TPD_PERCENT,
    ABNORMAL_TPD_SOURCE,
    ABNORMAL_VESSEL_TPD_PERCENT,
)
from myoscope.quantify.drawn_interval import interval_of_draws, interval_without_noise
from myoscope.quantify.function import VentricularFunction
from myoscope.quantify.interval_constants import (
    PHASE_BANDWIDTH_NOISE,
    PHASE_ENTROPY_NOISE,
    PHASE_SD_NOISE,
    SCORE_DRAWS,
    TPD_DRAWS,
)
from myoscope.quantify.ischaemia import Ischaemia
from myoscope.quantify.map_noise import MapNoise, noise_from_gates
from myoscope.quantify.perfusion_intervals import draw_perfusion, no_noise
from myoscope.quantify.phase import (
    PhaseAnalysis,
    PhaseSettings,
    phase_of_gates,
    phase_statistics_of_many,
    phase_weights,
)
from myoscope.quantify.phase import first_harmonic as first_harmonic_of
from myoscope.quantify.segment_scores import SegmentScores
from myoscope.quantify.tpd import PerfusionDeficit, perfusion_deficit
from myoscope.quantify.transient_dilation import TransientDilation
from myoscope.quantify.volume_intervals import cavity_ratio_interval, ef_interval, volume_interval
from myoscope.quantify.wall_smoothing import smoothed_on_wall

_NO_NOISE = "noise, which nothing tells of in this image"
_EF_LIMITS_PERCENT: Mapping[str, float] = {"F": 51.0, "M": 43.0}
_EF_SOURCE = "another program's (QGS; Sharir et al. 2006, from memory)"
_LEAST_WALL_PERCENT = 50.0  # with a phase: statistics of less say little of the heart
_N_PHASE_DRAWS = 60
_LOWEST_ABNORMAL_SSS = 4


def perfusion_quantities(
    scaled: PolarMap,
    counts: PolarMap,
    limits: NormalLimits,
    deficit: PerfusionDeficit,
    scores: SegmentScores,
    scores_20: SegmentScores,
    *,
    noise: MapNoise | None,
    rng: np.random.Generator,
    n_draws: int,
) -> tuple[Quantity, ...]:
    """TPD and what belongs to it; ``scaled`` is the map of ``counts`` at the level of its limits.

    Intervals cover noise (unless ``noise`` is None, which they say), the contour and the limits themselves.
    """
    draws = draw_perfusion(counts, limits, no_noise(counts) if noise is None else noise, rng=rng, n=n_draws)
    leaves_out = _NO_NOISE if noise is None else ""

    def percent(name: str, value: float, drawn: FloatArray, abnormal_from: float | None) -> Quantity:
        low, high = interval_of_draws(value, drawn, TPD_DRAWS, highest=100.0)
        if abnormal_from is None:
            return Quantity(name, value, "%", low, high, group="perfusion", interval_of=leaves_out)
        limit = f"abnormal from {abnormal_from:g} % ({ABNORMAL_TPD_SOURCE})"
        abnormal = value >= abnormal_from
        return Quantity(
            name, value, "%", low, high, group="perfusion", abnormal=abnormal, limit=limit, interval_of=leaves_out
        )

    name = "SRS" if limits.kind.state == "rest" else "SSS"
    others = {
        "TPD, samples weighted equally": perfusion_deficit(scaled, limits, weighting="sample"),
        "TPD, weighted by the displayed disc": perfusion_deficit(scaled, limits, weighting="display"),
        "TPD, scored from the limit": perfusion_deficit(scaled, limits, score_reference="limit"),
    }
    return (
        percent("TPD", deficit.tpd_percent, draws.tpd_percent, ABNORMAL_TPD_PERCENT),
        *(
            percent(
                f"TPD, {vessel}",
                float(deficit.vessel_tpd_percent[n]),
                draws.vessel_tpd_percent[:, n],
                ABNORMAL_VESSEL_TPD_PERCENT,
            )
            for n, vessel in enumerate(VESSELS)
        ),
        *(Quantity(which, one.tpd_percent, "%", group="perfusion") for which, one in others.items()),
        percent("extent", deficit.extent_percent, draws.extent_percent, None),
        *(
            Quantity(f"extent, {vessel}", float(deficit.vessel_extent_percent[n]), "%", group="perfusion")
            for n, vessel in enumerate(VESSELS)
        ),
        _severity(deficit),
        *_score_quantities(name, scores, draws.summed_score, leaves_out),
        *sum_of_20(name, scores_20),
    )


def _severity(deficit: PerfusionDeficit) -> Quantity:
    if np.isnan(deficit.severity_deviations):
        return Quantity("severity", None, "deviations", reason="no part of the wall is abnormal", group="perfusion")
    return Quantity("severity", deficit.severity_deviations, "deviations", group="perfusion")


def _score_quantities(name: str, scores: SegmentScores, drawn: FloatArray, leaves_out: str) -> tuple[Quantity, ...]:
    total = scores.total
    if np.isnan(total):
        reason = "a segment was not seen"
        return tuple(
            Quantity(what, None, unit, reason=reason, group="perfusion")
            for what, unit in ((name, "1"), (f"{name}, percent", "%"))
        )
    low, high = interval_of_draws(total, drawn, SCORE_DRAWS, highest=68.0)
    limit = f"abnormal from {_LOWEST_ABNORMAL_SSS} (17 segments, common use)" if name == "SSS" else ""
    return (
        Quantity(
            name,
            total,
            "1",
            low,
            high,
            group="perfusion",
            abnormal=total >= _LOWEST_ABNORMAL_SSS if limit else None,
            limit=limit,
            interval_of=leaves_out,
        ),
        Quantity(
            f"{name}, percent",
            scores.percent,
            "%",
            low / 0.68,
            high / 0.68,
            group="perfusion",
            interval_of=leaves_out,
        ),
    )


def sum_of_20(name: str, scores: SegmentScores, *, group: str = "perfusion") -> tuple[Quantity, ...]:
    """The sum of the scores of 20 segments, none where one was not seen."""
    if np.isnan(scores.total):
        return ()
    return (Quantity(f"{name}, 20 segments", scores.total, "1", group=group),)


def cavity_quantity(cavity_mL: float, *, fwhm_mm: float, relative_noise: float | None = None) -> Quantity:
    """The cavity of the ungated image."""
    low, high = volume_interval(cavity_mL, which="ungated", fwhm_mm=fwhm_mm, relative_noise=relative_noise)
    return Quantity("cavity volume, ungated", cavity_mL, "mL", low, high)


def function_quantities(
    function: VentricularFunction,
    *,
    fwhm_mm: float,
    relative_noise: float | None,
    sex: str | None,
    camera: str | None = None,
) -> tuple[Quantity, ...]:
    """Volumes, ejection fraction and rates; ``fwhm_mm`` and ``relative_noise`` (of a cell of one gate) of the image."""
    about: dict[str, Any] = {"fwhm_mm": fwhm_mm, "relative_noise": relative_noise, "camera": camera}
    edv = volume_interval(function.edv_mL, which="EDV", **about)
    esv = volume_interval(max(function.esv_mL, 1.0), which="ESV", **about)
    stroke = volume_interval(max(function.stroke_mL, 1.0), which="stroke volume", edv_mL=function.edv_mL, **about)
    ef = ef_interval(function.ef_percent, edv_mL=function.edv_mL, **about)
    abnormal, limit = None, ""
    if sex is not None and sex in _EF_LIMITS_PERCENT:
        least = _EF_LIMITS_PERCENT[sex]
        abnormal = function.ef_percent < least
        limit = f"normal from {least:g} % in {'women' if sex == 'F' else 'men'}: {_EF_SOURCE}"
    rates = (
        ("peak ejection rate", function.peak_ejection_edv_s, "EDV/s"),
        ("peak filling rate", function.peak_filling_edv_s, "EDV/s"),
        ("mean filling rate, first third", function.mean_filling_third_edv_s, "EDV/s"),
        ("time to peak filling", function.time_to_peak_filling_ms, "ms"),
    )
    return (
        Quantity("EDV", function.edv_mL, "mL", *edv, group="function"),
        Quantity("ESV", function.esv_mL, "mL", *esv, group="function"),
        Quantity("EF", function.ef_percent, "%", *ef, group="function", abnormal=abnormal, limit=limit),
        Quantity("stroke volume", function.stroke_mL, "mL", *stroke, group="function"),
        *(
            Quantity(name, value, unit, group="function")
            if value is not None
            else Quantity(name, None, unit, reason="the R-R interval is not stated", group="function")
            for name, value, unit in rates
        ),
    )


_PHASE_NAMES: Mapping[str, tuple[str, str, float]] = {
    "peak_deg": ("phase peak", "deg", 360.0),
    "sd_deg": ("phase SD", "deg", 180.0),
    "bandwidth_deg": ("phase bandwidth", "deg", 360.0),
    "entropy": ("phase entropy", "1", 1.0),
    "skewness": ("phase skewness", "1", 100.0),
    "kurtosis": ("phase kurtosis", "1", 1000.0),
}
_WITH_INTERVAL = {"sd_deg": PHASE_SD_NOISE, "bandwidth_deg": PHASE_BANDWIDTH_NOISE, "entropy": PHASE_ENTROPY_NOISE}
_INDEX = {"mean_deg": 0, "peak_deg": 1, "sd_deg": 2, "bandwidth_deg": 3, "entropy": 4, "skewness": 5, "kurtosis": 6}


@dataclass(frozen=True, eq=False, slots=True)
class PhaseFigures:
    """Phase as it is reported: numbers, maps, doubts; mean and SD of the 17 segments (deg, NaN where none moves)."""

    quantities: tuple[Quantity, ...]
    maps: Mapping[str, PolarMap]
    flags: tuple[Flag, ...]
    segment_mean_deg: FloatArray
    segment_sd_deg: FloatArray


def phase_figures(gates: Sequence[PolarMap], settings: PhaseSettings, *, rng: np.random.Generator) -> PhaseFigures:
    """Spread of phases by one harmonic and by several, with intervals for what noise adds to, the maps, and doubts.

    The gates' maps are smoothed along the wall first: phases of single cells tell noise. Phases are counted from the
    R wave: half a gate later than from the middle of the first one. The maps are of the phase where the wall moves, of
    what of it the statistics count (off the valve plane), and of the amplitude.

    Raises
    ------
    InvalidValue
        As `phase_analysis`.
    """
    one = phase_of_gates(gates, settings)
    several = phase_of_gates(gates, settings, n_harmonics=2)
    half_gate_deg = 180 / len(gates)
    draws = phase_draws(gates, one, settings, rng=rng)
    quantities = []
    for attribute, (name, unit, highest) in _PHASE_NAMES.items():
        value = float(getattr(one.statistics, attribute))
        value = (value + half_gate_deg) % 360 if attribute == "peak_deg" else value
        low = high = None
        if draws is not None and attribute in _WITH_INTERVAL:
            calibration = _WITH_INTERVAL[attribute]
            low, high = interval_without_noise(value, draws[:, _INDEX[attribute]], calibration, highest=highest)
        quantities.append(_phase_quantity(name, value, unit, low, high))
    for attribute in _WITH_INTERVAL:
        name, unit, _ = _PHASE_NAMES[attribute]
        value = float(getattr(several.statistics, attribute))
        quantities.append(_phase_quantity(f"{name}, multi-harmonic", value, unit, None, None))
    quantities.append(Quantity("wall with a phase", one.counted_percent, "%", group="phase"))
    for n, vessel in enumerate(VESSELS):
        sd_deg = float(one.vessel_sd_deg[n])
        reason = "no part of this territory changes its counts beyond noise over the beat"
        name = f"phase SD, {vessel}"
        quantities.append(
            Quantity(name, sd_deg, "deg", group="phase")
            if np.isfinite(sd_deg)
            else Quantity(name, None, "deg", reason=reason, group="phase")
        )
    turned = (one.phase.value + half_gate_deg) % 360

    def of_cells(which: NDArray[np.bool_], step: str) -> PolarMap:
        return one.phase.like(np.where(which, turned, np.nan), step)

    maps = {
        "phase": of_cells(one.moving, "counted from the R wave, where the wall moves"),
        "phase_counted": of_cells(one.counted, "counted from the R wave, where statistics count it"),
        "amplitude": one.amplitude,
    }
    flags: tuple[Flag, ...] = ()
    if one.counted_percent < _LEAST_WALL_PERCENT:
        message = (
            f"Only {one.counted_percent:.0f} % of the wall changes its counts beyond noise over the beat; phase SD, "
            "bandwidth and entropy say how that part agrees, and nothing of the rest."
        )
        flags = (Flag("phase_of_little_wall", message, evidence={"percent": round(one.counted_percent)}),)
    segment_mean_deg = (one.segment_mean_deg + half_gate_deg) % 360
    return PhaseFigures(tuple(quantities), maps, flags, segment_mean_deg, one.segment_sd_deg)


def _phase_quantity(name: str, value: float, unit: str, low: float | None, high: float | None) -> Quantity:
    if not np.isfinite(value):
        return Quantity(name, None, unit, reason="all parts contract at once", group="phase")
    return Quantity(name, value, unit, low, high, group="phase")


def phase_draws(
    gates: Sequence[PolarMap], found: PhaseAnalysis, settings: PhaseSettings, *, rng: np.random.Generator
) -> FloatArray | None:
    """Phase statistics (draw, 7) of gates with noise added once more and smoothed along the wall as for ``found``.

    None where too few gates tell their noise.
    """
    counts = np.stack([gate.value for gate in gates])
    n = len(counts)
    if n < 8:
        return None
    noise = noise_from_gates(counts)
    total = np.nan_to_num(counts.sum(axis=0))
    drawn = []
    for _ in range(_N_PHASE_DRAWS):
        noisy = counts + noise.drawn(total, n, rng=rng) / np.sqrt(n)
        phase, _ = first_harmonic_of(smoothed_on_wall(noisy, gates[0].area_mm2, settings.smooth_fwhm_mm))
        drawn.append(phase)
    weights = np.where(found.counted, phase_weights(gates[0], found.amplitude.value, "sample"), 0.0)
    return phase_statistics_of_many(np.stack(drawn), weights)


def change_quantities(
    found: Ischaemia, difference: SegmentScores, stress: Sequence[Quantity], rest: Sequence[Quantity]
) -> list[Quantity]:
    """Difference scores and ischaemic TPD; intervals from those of stress and rest, taken as independent."""
    ours, theirs = ({q.name: q for q in quantities} for quantities in (stress, rest))

    def difference_of(name: str, value: float, rest_name: str = "") -> tuple[float | None, float | None]:
        one, other = ours.get(name), theirs.get(rest_name or name)
        if one is None or other is None or one.low is None or other.low is None:
            return None, None
        assert one.high is not None
        assert other.high is not None
        assert one.value is not None
        assert other.value is not None
        down = np.hypot(one.value - one.low, other.high - other.value)
        up = np.hypot(one.high - one.value, other.value - other.low)
        return max(value - float(down), 0.0), value + float(up)

    left_out = {q.interval_of for q in (ours.get("TPD"), theirs.get("TPD")) if q is not None}
    leaves_out = "; ".join(sorted(left_out - {""}))

    vessels = [
        Quantity(
            f"ischaemic TPD, {vessel}",
            float(found.vessel_itpd_percent[n]),
            "%",
            *difference_of(f"TPD, {vessel}", float(found.vessel_itpd_percent[n])),
            group="change",
            interval_of=leaves_out,
        )
        for n, vessel in enumerate(VESSELS)
    ]
    sds = difference.total
    scores = [Quantity("SDS", None, "1", reason="a segment was not seen", group="change")]
    if np.isfinite(sds):
        scores = [
            Quantity("SDS", sds, "1", *difference_of("SSS", sds, "SRS"), group="change", interval_of=leaves_out),
            Quantity("SDS, percent", difference.percent, "%", group="change"),
        ]
    return [
        *scores,
        Quantity(
            "ischaemic TPD",
            found.itpd_percent,
            "%",
            *difference_of("TPD", found.itpd_percent),
            group="change",
            interval_of=leaves_out,
        ),
        *vessels,
        Quantity("reversible part", found.reversible_percent, "%", group="change"),
        Quantity("fixed part", found.fixed_percent, "%", group="change"),
    ]


def dilation_quantity(
    dilation: TransientDilation, *, fwhm_mm: tuple[float, float] | None = None, camera: str | None = None
) -> Quantity:
    """Transient dilation; no limit is shipped, as it depends on program and protocol.

    With ``fwhm_mm``, how soft the two images are, stress first, its interval holds what it would be without noise.
    """
    if dilation.small:
        return Quantity("TID", None, "1", reason="the cavity is too small for a ratio to mean anything", group="change")
    if fwhm_mm is None:
        return Quantity("TID", dilation.ratio, "1", group="change")
    low, high = cavity_ratio_interval(dilation.stress_mL, dilation.rest_mL, fwhm_mm=fwhm_mm, camera=camera)
    left_out = "what the two images do not share besides noise"
    return Quantity("TID", dilation.ratio, "1", low, high, group="change", interval_of=left_out)
