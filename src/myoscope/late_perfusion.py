"""Perfusion of a dynamic series read once more, when what an earlier injection had left is taken off its late image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from myoscope import flow_study, heart, measure
from myoscope.analysis_settings import Settings
from myoscope.core import AS_STORED, Volume


def without_residual(state: measure.State, image: Volume, tracer: str, *, settings: Settings) -> measure.State:
    """The same heart with counts, perfusion figures and maps of ``image``, the dynamic series less the residue.

    Axis and wall stay where they were found: residual activity lies in the wall as well and does not move it.
    """
    late = flow_study.late_image(image, tracer)
    polar_map = heart.sample_wall(late, state.still, method=settings.sampling)
    processing = str(state.series.acquisition.get("processing", AS_STORED))
    kind, unknown = measure.study_kind(state.series, processing=processing)
    perfusion = measure.measure_perfusion(
        polar_map,
        kind,
        settings.known_limits(),
        noise=None,
        rng=np.random.default_rng(settings.seed),
        unknown=unknown,
    )
    anew = {q.name: q for q in perfusion.quantities}
    before = [q for q in state.heart.quantities if q.group != "perfusion" or q.name in anew]
    more = [q for name, q in anew.items() if name not in {one.name for one in before}]
    found = replace(
        state.heart,
        polar_map=polar_map,
        short_axis=heart.reorient(late, state.heart.frame),
        quantities=(*(anew.get(q.name, q) for q in before), *more),
        maps={**state.heart.maps, **perfusion.maps},
        limits=perfusion.limits,
        no_limits=perfusion.no_limits,
        segment_scores=None if perfusion.scores is None else perfusion.scores.scores,
        segment_scores_20=None if perfusion.scores_20 is None else perfusion.scores_20.scores,
        by_segment={**state.heart.by_segment, **perfusion.by_segment},
    )
    return replace(state, heart=found, image=late, perfusion=perfusion)
