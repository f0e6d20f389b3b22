"""``result.json``: everything an analysis found, for a program to read.

The content follows ``result.schema.json`` beside this file. A missing number is ``null`` with its reason, never
0 and never NaN; inputs are known by their hashes only.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from myoscope.core import (
    MAP_MEANINGS,
    CurveFit,
    Flag,
    FlowResult,
    HeartResult,
    LimitsUsed,
    ModelReport,
    PairResult,
    PolarMap,
    Projections,
    Quantity,
    RegionValue,
    ReserveResult,
    Series,
    SeriesResult,
    Stated,
    StudyResult,
    VolumeCurve,
)
from myoscope.core.geometry import FloatArray
from myoscope.report.facts import FACTS, flags_of, inferences, left_out, stated_fact
from myoscope.report.limits_told import from_virtual_patients
from myoscope.report.map_scales import MAP_SCALES
from myoscope.report.phase_histogram import BIN_DEG, COUNTED_PHASE, phase_shares_percent
from myoscope.report.place_file import place_file
from myoscope.report.wall_values import SCALE_PERCENTILE, means_of, segment_values, vessel_values

SCHEMA_VERSION = "1.5"
"""Raised when a key changes its meaning or goes away (first number) or is added (second)."""

_DIGITS = 7
_CURVE_POINTS = 90  # of the volume curve; the analysis draws it finer than anyone needs to read it


def result_to_dict(result: StudyResult) -> dict[str, Any]:
    """The content of ``result.json``: strings, finite numbers, booleans, ``None``, lists and dictionaries.

    Units stand in the names; positions and directions are in the DICOM patient frame (LPS), millimetres.
    """
    name, _, version = result.software.partition(" ")
    content = {
        "schema_version": SCHEMA_VERSION,
        "software": {"name": name or "myoscope", "version": version},
        "complete": result.complete,
        "summary": list(result.summary),
        "series": [_series(s) for s in result.series],
        "pairs": [_pair(p) for p in result.pairs],
        "flags": [_flag(f) for f in result.flags],
        "not_done": left_out(result),
        "predictions": [_model(m) for m in result.models],
        "models_silent": list(result.models_silent),
        "seconds": _seconds(result.seconds),
        "intended_use": "Research only; not a medical device.",
    }
    strict: dict[str, Any] = _strict(content)
    return strict


def write_json(result: StudyResult, path: Path) -> None:
    """Write ``result.json``: strict JSON, UTF-8, the same bytes for the same result.

    Raises
    ------
    OutputError
        If the file cannot be written; nothing is left behind.
    """
    text = json.dumps(result_to_dict(result), indent=2, ensure_ascii=False, allow_nan=False)
    place_file(path, (text + "\n").encode("utf-8"))


def result_schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) that ``result_to_dict`` follows."""
    text = Path(__file__).with_name("result.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def _series(result: SeriesResult) -> dict[str, Any]:
    series = result.series
    return {
        "name": series.name,
        "kind": series.kind,
        **{name: _stated(stated_fact(series, name)) for name in FACTS},
        "gated": series.gated,
        "image": _image(series),
        "acquisition": {key: series.acquisition[key] for key in sorted(series.acquisition)},
        "inputs": [
            {"sha256": s.sha256, "n_bytes": s.n_bytes, "sop_instance_uid_sha256": s.sop_instance_uid_sha256 or None}
            for s in sorted(series.sources, key=lambda s: s.sha256)
        ],
        "series_uid_sha256": series.series_uid_sha256 or None,
        "frame_of_reference_sha256": series.frame_of_reference_sha256 or None,
        "heart": None if result.heart is None else _heart(result.heart),
        "inferred": [{"fact": i.fact, "value": i.value, "from": i.evidence} for i in inferences(series)],
        "flags": [_flag(f) for f in flags_of(result)],
        "not_done": list(result.not_done),
        "used_for": result.used_for or None,
        "predictions": [],
        "seconds": _seconds(result.seconds),
    }


def _stated(stated: Stated) -> dict[str, Any]:
    return {"value": stated.value, "source": stated.source, "evidence": stated.evidence, "inferred": stated.inferred}


def _image(series: Series) -> dict[str, Any]:
    image = series.image
    gating = image.gating
    gates = None
    if gating is not None:
        gates = {
            "n_gates": gating.n_gates,
            "rr_ms": gating.rr_ms,
            "accepted_beats": gating.accepted_beats,
            "rejected_beats": gating.rejected_beats,
        }
    if isinstance(image, Projections):
        return {
            "form": "projections",
            "n_views": image.n_views,
            "shape": list(image.counts.shape[-2:]),
            "spacing_mm": list(image.pixel_mm),
            "unit": "counts",
            "gating": gates,
            "made_by": list(image.made_by),
        }
    return {
        "form": "volume",
        "shape": list(image.grid.shape),
        "spacing_mm": image.grid.spacing_mm,
        "affine_lps_mm": image.grid.affine,
        "n_frames": image.n_frames,
        "unit": image.unit,
        "gating": gates,
        "made_by": list(image.made_by),
    }


def _heart(heart: HeartResult) -> dict[str, Any]:
    wall = np.asarray(heart.wall.array) > 0
    centre = None
    if wall.any():
        centre = heart.wall.grid.to_mm(np.argwhere(wall).mean(axis=0))
    return {
        "finder": heart.finder,
        "agreement": {key: heart.agreement[key] for key in sorted(heart.agreement)},
        "long_axis_lps": heart.frame.long_axis,
        "centre_lps_mm": centre,
        "outlined_wall_mL": float(np.count_nonzero(wall)) * heart.wall.grid.voxel_volume_mL,
        "volumes_mL": {
            "cavity": np.atleast_1d(heart.surfaces.cavity_mL),
            "wall": np.atleast_1d(heart.surfaces.wall_mL),
        },
        "valve_plane": {
            "point_lps_mm": heart.surfaces.valve_point_mm,
            "normal_lps": heart.surfaces.valve_normal,
        },
        "polar_map": _polar_map(heart.polar_map),
        "maps": _maps(heart.maps),
        "perfusion": {
            "limits": None if heart.limits is None else _limits(heart.limits),
            "no_limits": list(heart.no_limits),
            "segment_scores_17": _scores(heart.segment_scores),
            "segment_scores_20": _scores(heart.segment_scores_20),
        },
        "function": None if heart.curve is None else {"volume_curve": _volume_curve(heart.curve)},
        "phase": _phase(heart.maps[COUNTED_PHASE]) if COUNTED_PHASE in heart.maps else None,
        "flow": None if heart.flow is None else _flow(heart.flow),
        "by_segment": {name: np.asarray(heart.by_segment[name]) for name in sorted(heart.by_segment)},
        "quantities": [_quantity(q) for q in heart.quantities],
    }


def _flow(flow: FlowResult) -> dict[str, Any]:
    curves = flow.curves
    return {
        "tracer": flow.tracer,
        "model": flow.model,
        "settings": list(flow.settings),
        "whole_mL_min_g": _region(flow.whole),
        "vessels_mL_min_g": [_region(one) for one in flow.vessels],
        "segments_mL_min_g": [_region(one) for one in flow.segments],
        "failed_cells": {reason: flow.failed[reason] for reason in sorted(flow.failed)},
        "fits": [_fit(one) for one in flow.fits],
        "curves": {
            "unit": curves.unit,
            "start_s": curves.start_s,
            "duration_s": curves.duration_s,
            "left_blood": curves.left,
            "right_blood": curves.right,
            "regions": [
                {"region": name, "measured": measured, "fitted": fitted}
                for name, measured, fitted in zip(curves.regions, curves.measured, curves.fitted, strict=True)
            ],
        },
        "motion": {
            "displacement_lps_mm": flow.shifts_mm,
            "frame_shows": list(flow.shift_kind),
            "fit": flow.shift_fit,
        },
    }


def _fit(one: CurveFit) -> dict[str, Any]:
    profile = [one.profile_low_mL_min_g, one.profile_high_mL_min_g]
    return {
        "region": one.region,
        "unexplained_percent": one.unexplained_percent,
        "flow_hangs_on": one.hangs_on or None,
        "correlation": one.correlation,
        "profile_95_mL_min_g": profile,
        "at_bound": list(one.at_bound),
    }


def _region(one: RegionValue) -> dict[str, Any]:
    return {
        "region": one.region,
        "value": one.value,
        "interval_95": None if one.low is None or one.high is None else [one.low, one.high],
        "reason": one.reason or None,
    }


def _reserve(reserve: ReserveResult) -> dict[str, Any]:
    return {
        "whole": _region(reserve.whole),
        "vessels": [_region(one) for one in reserve.vessels],
        "segments": [_region(one) for one in reserve.segments],
        "corrected_for_work_at_rest": _region(reserve.corrected),
        "corrected_for_work_vessels": [_region(one) for one in reserve.corrected_vessels],
        "corrected_rest_flow_mL_min_g": [_region(one) for one in reserve.corrected_rest],
        "relative_segments": [_region(one) for one in reserve.relative],
        "capacity": {
            "source": reserve.capacity_source,
            "percent_of_wall": {
                name: 100 * float(share)
                for name, share in zip(reserve.capacity_names, reserve.capacity_share, strict=True)
            },
        },
    }


def _maps(maps: Mapping[str, PolarMap], reserve: ReserveResult | None = None) -> dict[str, Any]:
    return {name: _map(name, maps[name], reserve) for name in sorted(maps)}


def _map(name: str, polar_map: PolarMap, reserve: ReserveResult | None) -> dict[str, Any]:
    """The values of the segments and territories; the map itself, with every cell, is a file of its own."""
    cyclic = name in MAP_SCALES and MAP_SCALES[name].cyclic
    means = means_of(name, polar_map, cyclic=cyclic, reserve=reserve)
    return {
        "meaning": MAP_MEANINGS.get(name, ""),
        "unit": polar_map.unit,
        "seen_fraction": float(np.isfinite(polar_map.value).mean()),
        "segments_17": means.segments_17,
        "segments_20": means.segments_20,
        "vessels": means.vessels,
    }


def _limits(limits: LimitsUsed) -> dict[str, Any]:
    kind = limits.kind
    return {
        "kind": {
            "sex": kind.sex,
            "tracer": kind.tracer,
            "camera": kind.camera,
            "position": kind.position,
            "state": kind.state,
            "corrected": kind.corrected,
            "processing": kind.processing,
        },
        "n": limits.n,
        "virtual_patients": from_virtual_patients(limits),
        "provenance": limits.provenance,
        "sha256": limits.sha256,
        "signed_by": limits.signed_by or None,
    }


def _scores(scores: FloatArray | None) -> list[float] | None:
    return None if scores is None else scores.tolist()


def _volume_curve(curve: VolumeCurve) -> dict[str, Any]:
    keep = np.unique(np.linspace(0, len(curve.time) - 1, _CURVE_POINTS).round().astype(int))
    return {
        "gate_mL": curve.gate_mL,
        "time": curve.time[keep],
        "volume_mL": curve.volume_mL[keep],
        "rr_ms": curve.rr_ms,
    }


def _phase(phase: PolarMap) -> dict[str, Any]:
    return {"bin_deg": BIN_DEG, "wall_percent": phase_shares_percent(phase)}


def _pair(pair: PairResult) -> dict[str, Any]:
    return {
        "stress": pair.stress,
        "rest": pair.rest,
        "quantities": [_quantity(q) for q in pair.quantities],
        "maps": _maps(pair.maps, pair.reserve),
        "reserve": None if pair.reserve is None else _reserve(pair.reserve),
        "segment_scores_17": _scores(pair.segment_scores),
        "segment_scores_20": _scores(pair.segment_scores_20),
        "flags": [_flag(f) for f in pair.flags],
    }


def _model(report: ModelReport) -> dict[str, Any]:
    shown = report.segment_probability
    return {
        "system": report.system,
        "model_card": report.model_card,
        "does": report.does,
        "source": report.source,
        "warning": report.warning,
        "series": report.series,
        "answers": [
            {
                "name": one.name,
                "unit": one.unit,
                "value": one.value,
                "interval_95": None if one.low is None or one.high is None else [one.low, one.high],
                "abstained": one.abstained or None,
            }
            for one in report.predictions
        ],
        "explained": report.explained or None,
        "attention_by": None if report.explanation is None else report.explanation.method,
        "segment_probability_17": None if shown is None else shown.tolist(),
        "start_log_odds": report.start if report.steps else None,
        "contributions": [
            {"name": step.name, "shown": step.shown or None, "log_odds": step.end - step.start} for step in report.steps
        ],
        "what_if": [
            {"name": c.name, "unit": c.unit, "values": c.values, "probability": c.probability, "own": c.own}
            for c in report.curves
        ],
    }


def _polar_map(polar_map: PolarMap) -> dict[str, Any]:
    return {
        "method": polar_map.method,
        "unit": polar_map.unit,
        "n_rings": polar_map.value.shape[0],
        "n_angles": polar_map.value.shape[1],
        "seen_fraction": float(np.isfinite(polar_map.value).mean()),
        "maximum_percentile": SCALE_PERCENTILE,
        "segments_17": _segments(polar_map, 17),
        "segments_20": _segments(polar_map, 20),
        "vessels": [
            {"vessel": v.vessel, "snomed": v.snomed, "percent_of_maximum": v.percent_of_maximum, "counts": v.counts}
            for v in vessel_values(polar_map)
        ],
        "made_by": list(polar_map.made_by),
    }


def _segments(polar_map: PolarMap, model: Literal[17, 20]) -> list[dict[str, Any]]:
    return [
        {
            "number": s.number,
            "name": s.name,
            "vessel": s.vessel,
            "snomed": s.snomed,
            "percent_of_maximum": s.percent_of_maximum,
            "counts": s.counts,
        }
        for s in segment_values(polar_map, model)
    ]


def _quantity(quantity: Quantity) -> dict[str, Any]:
    return {
        "name": quantity.name,
        "value": quantity.value,
        "unit": quantity.unit,
        "interval_95": None if quantity.low is None or quantity.high is None else [quantity.low, quantity.high],
        "reason": quantity.reason or None,
        "group": quantity.group,
        "abnormal": quantity.abnormal,
        "limit": quantity.limit or None,
        "interval_of": quantity.interval_of or None,
    }


def _flag(flag: Flag) -> dict[str, Any]:
    evidence = {str(key): flag.evidence[key] for key in sorted(flag.evidence, key=str)}
    return {"code": flag.code, "severity": flag.severity, "message": flag.message, "evidence": evidence}


def _seconds(seconds: Mapping[str, float]) -> dict[str, float]:
    return {step: round(float(s), 4) for step, s in seconds.items()}


def _strict(value: Any) -> Any:
    """Plain JSON values: arrays become lists, NaN and infinity null, floats a stable seven digits."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, np.generic):
        return _strict(value.item())
    if isinstance(value, np.ndarray):
        return _strict(value.tolist())
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        # Adding 0 makes a negative zero plain.
        return float(f"{value:.{_DIGITS}g}") + 0.0 if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value, key=str) if isinstance(value, (set, frozenset)) else value
        return [_strict(item) for item in items]
    return str(value)
