"""What a full analysis would say about the hearts of ``analytic_heart``: maps, limits, curve, scores and numbers.

Everything follows from the heart's own surfaces and polar map by plain formulas, so that the page can be checked
against them; no limit here is that of a real population.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from analytic_heart import Uptake, heart_of, series_of, study_of

from myoscope.core import (
    HeartResult,
    LimitsUsed,
    PairResult,
    Quantity,
    SeriesResult,
    Stated,
    StudyKind,
    StudyResult,
    Surfaces,
    VolumeCurve,
)

NORMAL_PERCENT, DEVIATION_PERCENT, MULTIPLE = 95.0, 6.0, 3.0
THRESHOLD_PERCENT = NORMAL_PERCENT - MULTIPLE * DEVIATION_PERCENT
PEAK_DEG = 140.0
SUMMARY = (
    "Gated SPECT with Tc-99m sestamibi, stress and rest.",
    "Perfusion: a reversible anterior defect, stress TPD 12 %.",
    "Function: EF 61 %.",
)


def kind(state: str) -> StudyKind:
    return StudyKind(
        sex="F",
        tracer="Tc-99m sestamibi",
        camera="Discovery NM 530c",
        position="supine",
        state=state,
        corrected=False,
    )


def limits(state: str, *, virtual: bool = True) -> LimitsUsed:
    cohort = "virtual low-likelihood patients, seed 1" if virtual else "low-likelihood patients of one hospital"
    return LimitsUsed(kind(state), 40, cohort, "5f" * 32, "the maintainers" if virtual else "")


def measured(series: SeriesResult, state: str, *, delay_deg: float = 60.0) -> SeriesResult:
    """The series with maps, limits and numbers; function and phase where it is gated.

    The lateral half of the wall contracts ``delay_deg`` after the rest.
    """
    heart = series.heart
    assert heart is not None
    relative = heart.polar_map.percent_of_maximum()
    relative = relative.like(np.array(relative.value), "at the level of normal", unit="% of normal maximum")
    value = relative.value
    abnormal = value < THRESHOLD_PERCENT
    loss = 1 - value / NORMAL_PERCENT
    maps = {
        "relative": relative,
        "blackout": relative.like(np.where(abnormal, 0.0, value), "abnormal places at 0"),
        "severity": relative.like(
            np.where(np.isfinite(value), np.where(abnormal, loss * NORMAL_PERCENT / DEVIATION_PERCENT, 0.0), np.nan),
            "deviations below normal",
            unit="deviations",
        ),
    }
    scores = [np.clip(np.round(4 * relative.like(loss, "loss").segment_means(n) / 0.7), 0, 4) for n in (17, 20)]
    summed = "SRS" if state == "rest" else "SSS"
    perfusion = (
        Quantity("TPD", 12.4, "%", 9.8, 15.1, group="perfusion", abnormal=True, limit="abnormal from 5 %",
                 interval_of="what other normal patients would change"),
        Quantity("TPD, LAD", 11.2, "%", 8.9, 13.6, group="perfusion", abnormal=True, limit="abnormal from 2 %"),
        Quantity("TPD, LCx", 0.4, "%", 0.0, 1.2, group="perfusion", abnormal=False, limit="abnormal from 2 %"),
        Quantity("extent", 18.0, "%", group="perfusion"),
        Quantity("severity", 4.1, "deviations", group="perfusion"),
        Quantity(summed, float(np.nansum(scores[0])), "1", group="perfusion"),
        Quantity(f"{summed}, percent", 100 * float(np.nansum(scores[0])) / 68, "%", group="perfusion"),
        Quantity("lung to heart ratio", None, "1", reason="there are no projections", group="perfusion"),
    )  # fmt: skip
    found = replace(
        heart,
        quantities=(*(q for q in heart.quantities if q.name not in _OF_GATES), *perfusion),
        maps=maps,
        limits=limits(state),
        segment_scores=scores[0],
        segment_scores_20=scores[1],
    )
    return replace(series, heart=_moving(found, delay_deg) if heart.surfaces.n_gates > 1 else _still(found))


_OF_GATES = ("EDV", "ESV", "EF", "thickening, median")


def _moving(heart: HeartResult, delay_deg: float) -> HeartResult:
    surfaces = heart.surfaces
    gate_mL = surfaces.cavity_mL
    ed, es = int(np.argmax(gate_mL)), int(np.argmin(gate_mL))
    time = (np.arange(360) + 0.5) / 360
    middle = (np.arange(len(gate_mL)) + 0.5) / len(gate_mL)
    # The first harmonic through the gates; one is all that these hearts have.
    wave = np.exp(-2j * np.pi * middle)
    swing = 2 * np.mean(gate_mL * wave)
    curve = VolumeCurve(gate_mL, time, gate_mL.mean() + (swing * np.exp(2j * np.pi * time)).real, 850.0)
    edv, esv = float(curve.volume_mL.max()), float(curve.volume_mL.min())

    wall = heart.polar_map
    thick = [_cells(surfaces.thickness_mm[gate]) for gate in (ed, es)]
    angle = np.broadcast_to(wall.angle_deg, wall.value.shape)
    late = np.where((angle < 90) | (angle >= 270), delay_deg, 0.0)
    maps = dict(heart.maps) | {
        "motion": wall.like(_cells(_inward_mm(surfaces, ed, es)), "inward", unit="mm"),
        "thickening": wall.like(100 * (thick[1] / thick[0] - 1), "surfaces", unit="%"),
        "phase": wall.like((PEAK_DEG + late) % 360, "first harmonic", unit="deg"),
        "phase_counted": wall.like((PEAK_DEG + late) % 360, "first harmonic", unit="deg"),
        "amplitude": wall.like(np.full(wall.value.shape, 18.0), "first harmonic", unit="%"),
        "motion_frozen": wall.like(np.array(wall.value), "beat frozen"),
    }
    numbers = (
        Quantity("EDV", edv, "mL", edv - 8, edv + 8, group="function", abnormal=False, limit="up to 102 mL, women"),
        Quantity("ESV", esv, "mL", esv - 5, esv + 5, group="function", abnormal=False, limit="up to 46 mL, women"),
        Quantity("EF", 100 * (1 - esv / edv), "%", 56.0, 66.0, group="function", abnormal=False, limit="from 51 %"),
        Quantity("stroke volume", edv - esv, "mL", group="function"),
        Quantity("peak filling rate", 2.61, "EDV/s", group="function"),
        Quantity("wall motion, mean", float(maps["motion"].value.mean()), "mm", group="function"),
        Quantity("phase SD", delay_deg / 2, "deg", 25.0, 36.0, group="phase", abnormal=True, limit="up to 18.4°",
                 interval_of="the contour"),
        Quantity("phase SD, multi-harmonic", delay_deg / 2 + 1, "deg", group="phase"),
        Quantity("phase bandwidth", delay_deg, "deg", group="phase"),
        Quantity("shape index, end diastole", 0.58, "1", group="shape"),
    )  # fmt: skip
    return replace(heart, quantities=(*heart.quantities, *numbers), maps=maps, curve=curve)


def _still(heart: HeartResult) -> HeartResult:
    reason = "the series is not gated"
    missing = (
        Quantity("EDV", None, "mL", reason=reason, group="function"),
        Quantity("EF", None, "%", reason=reason, group="function"),
        Quantity("phase SD", None, "deg", reason=reason, group="phase"),
    )
    return replace(heart, quantities=(*heart.quantities, *missing))


def _inward_mm(surfaces: Surfaces, ed: int, es: int) -> np.ndarray:
    moved: np.ndarray = np.linalg.norm(surfaces.endo_mm[ed] - surfaces.endo_mm[es], axis=-1)
    return moved


def _cells(nodes: np.ndarray) -> np.ndarray:
    """Means of the four corners of each cell."""
    rows = (nodes[:-1] + nodes[1:]) / 2
    cells: np.ndarray = (rows + np.roll(rows, -1, axis=1)) / 2
    return cells


def pair(stress: SeriesResult, rest: SeriesResult) -> PairResult:
    """What the two say together."""
    assert stress.heart is not None
    assert rest.heart is not None
    assert stress.heart.segment_scores is not None
    assert rest.heart.segment_scores is not None
    before, after = (m.heart.maps["relative"].value for m in (stress, rest) if m.heart is not None)
    gain = np.where(before < THRESHOLD_PERCENT, np.clip(after - before, 0, None), 0.0)
    gain = np.where(np.isfinite(before) & np.isfinite(after), gain, np.nan)
    scores = np.maximum(stress.heart.segment_scores - rest.heart.segment_scores, 0)
    return PairResult(
        stress.series.name,
        rest.series.name,
        (
            Quantity("SDS", float(np.nansum(scores)), "1", group="change", abnormal=True, limit="abnormal from 2"),
            Quantity("ischaemic TPD", 11.9, "%", 9.0, 14.6, group="change"),
            Quantity("ischaemic TPD, LAD", 10.9, "%", group="change"),
            Quantity("TID", 1.04, "1", 0.98, 1.11, group="change", abnormal=False, limit="abnormal from 1.22"),
            Quantity("EF change", -4.0, "%", -8.0, 0.5, group="change"),
        ),
        {"reversibility": stress.heart.polar_map.like(gain, "stress to rest", unit="% of normal maximum")},
        segment_scores=scores,
    )


def full_study(stress: Uptake, rest: Uptake, *, n_gates: int = 8) -> StudyResult:
    """A stress and a rest series with everything that an analysis can say about them."""
    members = [
        measured(series_of(state, *heart_of(uptake, n_gates=n_gates), state=Stated(state, "code")), state)
        for state, uptake in (("stress", stress), ("rest", rest))
    ]
    return replace(study_of(*members), pairs=(pair(*members),), summary=SUMMARY)
