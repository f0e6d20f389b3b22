"""One study from files to report. Read top to bottom: this file is the pipeline.

read -> analyse every series (`one_series.py`), stress and rest side by side -> compare stress with rest -> ask trained
models -> write ``result.json``, ``report.html`` and images, all at once by an atomic rename.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

import myoscope
from myoscope import across_images, flow_figures, flow_pair, flow_protocols, io, measure, report
from myoscope.analysis_settings import Settings as Settings
from myoscope.core import (
    InvalidValue,
    ModelReport,
    NormalLimits,
    PairResult,
    PolarMap,
    Quantity,
    SeriesResult,
    Study,
    StudyResult,
    Volume,
)
from myoscope.made_images import MADE_FROM, MAP_KINDS
from myoscope.one_series import (
    DYNAMIC,
    Measured,
    Progress,
    analyze_state,
    scaled,
    stopwatch,
    with_blood_flow,
    with_quantities,
)
from myoscope.one_series import analyze_series as analyze_series
from myoscope.processes import processes
from myoscope.series_tables import write_series_tables

if TYPE_CHECKING:
    from myoscope.systems.one_flow_study import FlowStudy

T = TypeVar("T")
MAPS_FOLDER = "maps"


def analyze(
    paths: Sequence[Path], out: Path, *, settings: Settings | None = None, progress: Progress | None = None
) -> StudyResult:
    """Analyse one patient's study and write everything into the folder ``out``.

    Raises
    ------
    OutputError
        If ``out`` exists (and may not be replaced) or cannot be written; nothing is left behind.
    MyoscopeError
        If nothing in ``paths`` can be read, or files of two patients are mixed; nothing is written.
    """
    settings = settings or Settings()
    tell = progress or (lambda step, fraction: None)
    io.refuse_existing(out, replace=settings.overwrite, sign="result.json", keep=paths)
    if settings.models:
        settings.known_models()

    with _helpers(settings, paths) as pool:
        tell("reading", 0.0)
        with stopwatch() as reading:
            found = io.read_paths(paths, pool=pool)
        study = analyze_study(found.study, settings=settings, progress=scaled(tell, 0.1, 0.75), pool=pool)
    tell("asking models", 0.85)
    with stopwatch() as asking:
        models, silent = ask_models(study.states, study.pairs, settings=settings)
    result = StudyResult(
        series=study.series,
        pairs=study.pairs,
        models=models,
        models_silent=silent,
        flags=(*found.study.flags, *found.flags),
        skipped=found.skipped,
        software=f"myoscope {myoscope.__version__}",
        seconds={"read": reading(), "models": asking()},
        left_out=found.left_out,
    )

    result = replace(result, summary=report.summary_of(result))

    tell("writing", 0.9)
    write_result(result, out, settings=settings, states=study.states)
    tell("done", 1.0)
    return result


@contextmanager
def _helpers(settings: Settings, paths: Sequence[Path]) -> Iterator[Executor | None]:
    """Processes that help, which load what they need while the study is read; None where this one works alone."""
    one_file = len(paths) == 1 and os.path.isfile(paths[0])  # noqa: PTH113 - pathlib's raises for some impossible names
    if settings.workers == 1 or one_file:
        yield None
        return
    broken = (
        "A worker process ended unexpectedly, probably for want of memory; nothing was written. One worker needs less "
        "(--workers 1); a Python program with more must begin under if __name__ == '__main__'."
    )
    with processes(settings.workers - 1, broken=broken) as pool:
        for _ in range(settings.workers - 1):
            pool.submit(_get_ready)
        yield pool


def _get_ready() -> None:
    """A helper's first task; to be given it, it has loaded this module."""


@dataclass(frozen=True, eq=False, slots=True)
class AnalyzedStudy:
    """All series of a study in their order, what was reconstructed from projections after them; stress with rest.

    ``states`` holds, for each series with a heart, what was measured on it.
    """

    series: tuple[SeriesResult, ...]
    pairs: tuple[PairResult, ...]
    states: tuple[measure.State, ...]


def analyze_study(
    study: Study, *, settings: Settings, progress: Progress | None = None, pool: Executor | None = None
) -> AnalyzedStudy:
    """Every series of a study, and stress with rest; the states side by side in the processes of a ``pool``."""
    tell = progress or (lambda step, fraction: None)
    by_place: dict[int, tuple[Measured, ...]] = {
        n: (Measured(SeriesResult(series, None, series.flags, used_for="attenuation map")),)
        for n, series in enumerate(study.series)
        if series.kind in MAP_KINDS
    }
    names = frozenset(series.name for series in study.series)
    places = _by_state(study)
    parts = [
        (replace(study, series=tuple(study.series[n] for n in (*chosen, *by_place))), settings, names)
        for chosen in places
    ]
    found = _side_by_side(analyze_state, parts, pool, scaled(tell, 0.0, 0.7))
    for chosen, of_state in zip(places, found, strict=True):
        by_place |= zip(chosen, of_state, strict=True)
    # What a first injection left is taken off the second study, so flow comes when all hearts are known.
    dynamic = [(n, one) for n in sorted(by_place) for one in by_place[n] if one.result.series.kind == DYNAMIC]
    tasks = [(one, tuple(other for _, other in dynamic if other is not one), settings) for _, one in dynamic]
    with_flow = _side_by_side(with_blood_flow, tasks, pool, scaled(tell, 0.7, 0.3))
    by_place |= {n: (one,) for (n, _), one in zip(dynamic, with_flow, strict=True)}
    measured = _with_combined_positions([one for n in sorted(by_place) for one in by_place[n]], settings)
    results = tuple(one.result for one in measured)
    states = {one.state.series.name: one.state for one in measured if one.state is not None}
    pairs = tuple(
        _with_reserve(measure.compare_states(stress, rest), stress, rest, settings)
        for pair in report.comparisons(results)
        if [member.series.state.value for member in pair.members] == ["stress", "rest"]
        for stress, rest in [[states[member.series.name] for member in pair.members]]
    )
    return AnalyzedStudy(results, pairs, tuple(states.values()))


def _by_state(study: Study) -> list[list[int]]:
    """Places of the series of each state; attenuation maps are in none."""
    places: dict[str | None, list[int]] = {}
    for n, series in enumerate(study.series):
        if series.kind not in MAP_KINDS:
            places.setdefault(series.state.value, []).append(n)
    return list(places.values())


def _side_by_side(
    work: Callable[..., T], tasks: Sequence[tuple[Any, ...]], pool: Executor | None, tell: Progress
) -> list[T]:
    """``work`` on every task: one after the other, or the first one here and the others in the pool."""
    if pool is None or len(tasks) < 2:
        return [work(*task, scaled(tell, n / len(tasks), 1 / len(tasks))) for n, task in enumerate(tasks)]
    others = [pool.submit(work, *task) for task in tasks[1:]]
    first = work(*tasks[0], tell)
    return [first, *(other.result() for other in others)]


def ask_models(
    states: Sequence[measure.State], pairs: Sequence[PairResult], *, settings: Settings
) -> tuple[tuple[ModelReport, ...], tuple[str, ...]]:
    """What trained models say of a study's stress images, and for each that says nothing one sentence why.

    An ungated image goes before the sum of gates, which has the same counts but another blur. Models of blood flow are
    asked where an image is dynamic.
    """
    folders = settings.known_models()
    stress = [one for one in states if one.series.state.value == "stress"]
    if not folders or not stress:
        return (), ()
    from myoscope.systems import one_flow_study, one_study

    if all(one.heart.flow is None for one in states):
        folders = {name: folder for name, folder in folders.items() if name != one_flow_study.SYSTEM}

    maps: dict[str, PolarMap] = {}
    names: dict[str, str] = {}
    limits: dict[str, NormalLimits] = {}
    for one in sorted(stress, key=lambda one: one.series.gated):
        image = f"stress_{one.series.position.value or 'supine'}{'_ac' * (one.series.corrected.value == 'yes')}"
        if image not in maps:
            maps[image], names[image] = one.heart.polar_map, one.series.name
            if one.perfusion.normal is not None:
                limits[image] = one.perfusion.normal
    known: dict[str, float] = {}
    ages = [one.series.age_y for one in stress if one.series.age_y is not None]
    if ages:
        known["age_y"] = ages[0]
    for one in stress:
        thickening = None if one.function is None else measure.count_thickening(one.function)
        if one.function is not None and one.function.ventricular is not None and thickening is not None:
            maps |= {"stress_motion": one.heart.maps["motion"], "stress_thickening": thickening}
            known |= {
                "stress_edv_mL": one.function.ventricular.edv_mL,
                "stress_esv_mL": one.function.ventricular.esv_mL,
            }
            break
    sex = next((one.series.sex.value for one in stress if one.series.sex.value in ("F", "M")), "")
    study = one_study.StudyInputs(maps, sex or "", limits, known, names, _flow_study(states, pairs))
    return one_study.model_reports(study, folders)


def _flow_study(states: Sequence[measure.State], pairs: Sequence[PairResult]) -> FlowStudy | None:
    """Blood flow at rest and under stress, if both were measured."""
    from myoscope.systems.one_flow_study import FlowStudy

    flow = {one.series.name: one.heart.flow for one in states}
    for pair in pairs:
        stress, rest = flow.get(pair.stress), flow.get(pair.rest)
        if pair.reserve is not None and stress is not None and rest is not None:
            usual = flow_protocols.protocol_of(stress.tracer).model().name
            return FlowStudy(
                rest.flow, stress.flow, pair.reserve.reserve, stress.tracer, pair.stress, stress.model == usual
            )
    return None


def _with_reserve(pair: PairResult, stress: measure.State, rest: measure.State, settings: Settings) -> PairResult:
    """The comparison with flow reserve and capacity where both states have a flow."""
    ours, theirs = stress.heart.flow, rest.heart.flow
    if ours is None or theirs is None:
        return pair
    try:
        reserve = flow_pair.reserve_of(
            ours, theirs, rate_pressure=settings.rest_rate_pressure, classes=settings.flow.capacity
        )
    except InvalidValue as error:
        missing = Quantity("flow reserve", None, "1", reason=str(error), group="flow")
        return replace(pair, quantities=(*pair.quantities, missing))
    return replace(
        pair,
        quantities=(*pair.quantities, *flow_figures.reserve_quantities(reserve, ours.tracer)),
        maps={**pair.maps, **flow_figures.reserve_maps(reserve)},
        reserve=reserve,
    )


def _with_combined_positions(measured: Sequence[Measured], settings: Settings) -> list[Measured]:
    """The first of two positions of a state gets the deficit that both show."""
    states = [one.state for one in measured if one.state is not None]
    results: list[Measured] = []
    told: set[int] = set()
    for one in measured:
        state = one.state
        partner = None
        if state is not None and state.perfusion.normal is not None and id(state) not in told:
            partner = across_images.partner_in_another_position(state, states)
        if state is None or partner is None:
            results.append(one)
            continue
        told |= {id(state), id(partner)}
        rng = np.random.default_rng(settings.seed)
        results.append(with_quantities(one, across_images.combined_positions(state, partner, rng=rng)))
    return results


def write_result(result: StudyResult, out: Path, *, settings: Settings, states: Sequence[measure.State] = ()) -> None:
    """All files of one result, in one rename: either everything is there or nothing is.

    ``states`` are what was measured on its hearts; those of them get their tables too (`series_tables.py`).
    """
    with io.atomic_folder(out, replace=settings.overwrite, sign="result.json") as folder:
        for one in result.series:
            if one.moved_back is not None:
                (folder / one.series.name).mkdir()
                io.write_nm_projections(
                    replace(one.series, image=one.moved_back), folder / one.series.name / "moved_back.dcm"
                )
            place = folder / one.series.name
            if MADE_FROM in one.series.acquisition and isinstance(one.series.image, Volume):
                place.mkdir()
                io.write_nifti(one.series.image, place / "image.nii.gz")
            if one.heart is None:
                continue
            place.mkdir(exist_ok=True)
            io.write_nifti(one.heart.wall, place / "lv_wall.nii.gz")
            io.write_nifti(one.heart.short_axis, place / "short_axis.nii.gz")
            io.save(one.heart.polar_map, place / "polar_map.npz")
            io.save(one.heart.surfaces, place / "surfaces.npz")
            _write_maps(one.heart.maps, place)
        for state in states:
            write_series_tables(state, folder / state.series.name)
        for pair in result.pairs:
            _write_maps(pair.maps, folder / pair.stress)
        report.write_html(result, folder / "report.html", colour_table=settings.colour_table)
        report.write_json(result, folder / "result.json")


def _write_maps(maps: Mapping[str, PolarMap], place: Path) -> None:
    """Further polar maps of a series, with every cell, into a folder of their own."""
    for name, one_map in maps.items():
        (place / MAPS_FOLDER).mkdir(exist_ok=True)
        io.save(one_map, place / MAPS_FOLDER / f"{name}.npz")
