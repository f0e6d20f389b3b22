"""One study from files to report. Read top to bottom: this file is the pipeline.

read -> reconstruct projections that nobody has reconstructed, corrected for attenuation where there is a map -> (per
image) find the left ventricle -> fit its surfaces -> sample the polar map -> reorient -> measure perfusion and function
(`measure.py`), and blood flow where the image is dynamic (`flow_study.py`) -> compare stress with rest -> ask
trained models -> write ``result.json``, ``report.html`` and images, all at once by an atomic rename.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

import myoscope
from myoscope import across_images, flow_study, heart, io, measure, quantify, reconstruct, report
from myoscope.core import (
    AS_STORED,
    Flag,
    HeartResult,
    InvalidValue,
    ModelReport,
    MyoscopeError,
    NormalLimits,
    PairResult,
    PolarMap,
    Projections,
    Quantity,
    Series,
    SeriesResult,
    Study,
    StudyResult,
    Volume,
)
from myoscope.known_hearts import KnownHearts
from myoscope.made_images import MAP_KINDS, MadeImage, choose_map, free_name, image_of, wanted_images
from myoscope.systems import MODELS

if TYPE_CHECKING:
    from myoscope.systems.one_flow_study import FlowStudy

_DYNAMIC = "DYNAMIC PET"
_BOLUS_MISSED = 0.3  # of the highest activity of blood in the first frame: the scan began too late
_GATES_THAT_TELL_NOISE = 8

Progress = Callable[[str, float], None]
"""Called with what is being done and the fraction of the study that is behind us, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a user may choose about one analysis.

    ``finder``: ``auto`` takes the learned finder for images like its training set and the model-based one
    elsewhere. ``sampling``: how the wall's counts become polar-map values (see ``heart.sample_wall``).
    ``resolution_fwhm_mm``: the reconstructed resolution, where it is known better than by the voxel size.
    ``reconstruction``: how projections become images. ``limits``: folders of normal limits besides those that come
    with the program; ``models`` folders of trained models, likewise; ``seed`` of the draws that intervals come from.
    ``flow`` is how blood flow is measured, ``rest_rate_pressure`` heart rate times systolic pressure at rest, to which
    files have no word.
    """

    finder: Literal["auto", "network", "model"] = "auto"
    sampling: Literal["surface", "profile", "hybrid"] = "surface"
    resolution_fwhm_mm: float | None = None
    colour_table: str = report.DEFAULT_COLOUR_TABLE
    overwrite: bool = False
    reconstruction: reconstruct.ReconstructionSettings = field(default_factory=reconstruct.ReconstructionSettings)
    limits: tuple[Path, ...] = ()
    models: tuple[Path, ...] = ()
    seed: int = 1
    flow: flow_study.FlowSettings = field(default_factory=flow_study.FlowSettings)
    rest_rate_pressure: float | None = None

    def known_limits(self) -> tuple[io.SignedLimits, ...]:
        """The user's limits, and those that come with the program."""
        own = [one for folder in self.limits for one in io.read_limits_folder(folder)]
        return (*own, *io.shipped_limits())

    def known_models(self) -> dict[str, Path]:
        """The folder of the model of each system: the user's before the program's.

        Raises
        ------
        InvalidValue
            A folder of the user's holds no model.
        """
        roots = [*self.models, *([MODELS] if MODELS.is_dir() else [])]
        if not roots:
            return {}
        # Asking models brings scipy's statistics and more, which most analyses do without.
        from myoscope.systems.one_study import model_folders

        found: dict[str, Path] = {}
        for root in roots:
            here = model_folders(root)
            if not here and root in self.models:
                raise InvalidValue(f"{root} holds no trained model that an analysis can ask (myoscope train makes one)")
            found = here | found
        return found


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
    settings.known_models()

    tell("reading", 0.0)
    with _stopwatch() as reading:
        found = io.read_paths(paths)
    study = analyze_study(found.study, settings=settings, progress=_scaled(tell, 0.1, 0.75))
    tell("asking models", 0.85)
    with _stopwatch() as asking:
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
    write_result(result, out, settings=settings)
    tell("done", 1.0)
    return result


@dataclass(frozen=True, eq=False, slots=True)
class _Measured:
    """A series result with what comparing states needs, None where there is no heart."""

    result: SeriesResult
    state: measure.State | None = None


@dataclass(frozen=True, eq=False, slots=True)
class AnalyzedStudy:
    """All series of a study in their order, what was reconstructed from projections after them; stress with rest.

    ``states`` holds, for each series with a heart, what was measured on it.
    """

    series: tuple[SeriesResult, ...]
    pairs: tuple[PairResult, ...]
    states: tuple[measure.State, ...]


def analyze_study(study: Study, *, settings: Settings, progress: Progress | None = None) -> AnalyzedStudy:
    """Every series of a study, and stress with rest."""
    tell = progress or (lambda step, fraction: None)
    limits, hearts = settings.known_limits(), KnownHearts()
    by_place: dict[int, tuple[_Measured, ...]] = {}
    names = {series.name for series in study.series}
    # Hearts are surest in ungated images, which therefore go first; what a first injection left is taken off the second
    # study, so dynamic series come in the order of their times.
    began = {n: _began_after_s(series) or 0.0 for n, series in enumerate(study.series)}
    for done, n in enumerate(sorted(began, key=lambda n: (study.series[n].gated, began[n], n))):
        series = study.series[n]
        told = _scaled(tell, done / len(study.series), 1 / len(study.series))
        if series.kind in MAP_KINDS:
            by_place[n] = (_Measured(SeriesResult(series, None, series.flags, used_for="attenuation map")),)
        elif isinstance(series.image, Projections):
            by_place[n] = analyze_projections(
                series, study, settings=settings, limits=limits, hearts=hearts, names=names, progress=told
            )
        elif series.kind == _DYNAMIC:
            before = [one for found in by_place.values() for one in found if one.result.series.kind == _DYNAMIC]
            by_place[n] = (_analyze_dynamic(series, before, settings=settings, limits=limits, progress=told),)
        else:
            by_place[n] = (_analyze_image(MadeImage(series), settings, limits, hearts, told),)
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
            usual = flow_study.protocol_of(stress.tracer).model().name
            return FlowStudy(
                rest.flow, stress.flow, pair.reserve.reserve, stress.tracer, pair.stress, stress.model == usual
            )
    return None


def analyze_series(
    series: Series,
    *,
    settings: Settings,
    limits: Sequence[io.SignedLimits] | None = None,
    progress: Progress | None = None,
) -> SeriesResult:
    """One reconstructed series: its heart, or the reasons why there is none."""
    if isinstance(series.image, Projections):
        raise InvalidValue(f"{series.name} holds projections; analyze_projections reconstructs and analyses them")
    known = settings.known_limits() if limits is None else limits
    return _analyze_image(MadeImage(series), settings, known, KnownHearts(), progress).result


def _analyze_image(
    made: MadeImage,
    settings: Settings,
    limits: Sequence[io.SignedLimits],
    hearts: KnownHearts,
    progress: Progress | None = None,
) -> _Measured:
    series = made.series
    assert isinstance(series.image, Volume)
    seconds: dict[str, float] = {}
    try:
        tell = progress or (lambda step, fraction: None)
        state = _analyze_heart(made, series.image, settings, limits, hearts, seconds, tell)
    except MyoscopeError as error:
        return _Measured(SeriesResult(series, None, series.flags, (f"{series.name}: {error}",), seconds))
    return _Measured(SeriesResult(series, state.heart, series.flags, (), seconds), state)


def _began_after_s(series: Series) -> float | None:
    """When a dynamic series began, counted from the first one of the study; None if the files do not say."""
    began = series.acquisition.get("began_after_first_s")
    return float(began) if isinstance(began, (int, float)) else None


def _analyze_dynamic(
    series: Series,
    before: Sequence[_Measured],
    *,
    settings: Settings,
    limits: Sequence[io.SignedLimits],
    progress: Progress,
) -> _Measured:
    """A dynamic series: perfusion in its late frames, then blood flow.

    ``before`` are the dynamic series that were analysed already: what an injection shortly before left is taken off.
    """
    image = series.image
    assert isinstance(image, Volume)
    try:
        tracer = flow_study.flow_tracer(series.tracer.value)
        late = flow_study.late_image(image, tracer)
        progress(f"{series.name}: finding the left ventricle", 0.0)
        with _stopwatch() as finding:
            ventricle = flow_study.find_ventricle(image, tracer, prefer=settings.finder)
    except MyoscopeError as error:
        return _Measured(SeriesResult(series, None, series.flags, (f"{series.name}: {error}",)))
    still = replace(series, image=late)
    made = MadeImage(still, ventricle=ventricle)
    found = _analyze_image(made, settings, limits, KnownHearts(), _scaled(progress, 0.3, 0.3))
    result, state = replace(found.result, series=series), found.state
    if state is None:
        return _Measured(result)
    progress(f"{series.name}: measuring blood flow", 0.6)
    flags: tuple[Flag, ...] = ()
    not_done: tuple[str, ...] = ()
    with _stopwatch() as elapsed:
        try:
            image, flags = _without_first(series, image, tracer, before, state)
            flow = flow_study.measure_flow(image, state.still, tracer, settings=settings.flow)
            stress = series.state.value == "stress"
            quantities = flow_study.flow_quantities(flow, stress=stress)
            maps = {**state.heart.maps, **flow_study.flow_maps(flow)}
            flags = (*flags, *flow.flags, *_bolus_flags(flow.curves.left))
            heart_found = replace(state.heart, flow=flow, maps=maps)
        except MyoscopeError as error:
            not_done = (f"{series.name}: blood flow was not measured: {error}",)
            quantities, heart_found = flow_study.no_flow(str(error)), state.heart
    heart_found = replace(
        heart_found,
        quantities=(*heart_found.quantities, *quantities),
        flags=(*heart_found.flags, *flags),
    )
    seconds = {**result.seconds, "find": finding(), "blood_flow": elapsed()}
    result = replace(result, heart=heart_found, not_done=not_done, seconds=seconds)
    return _Measured(result, replace(state, series=series, heart=heart_found))


def _without_first(
    series: Series, image: Volume, tracer: str, before: Sequence[_Measured], state: measure.State
) -> tuple[Volume, tuple[Flag, ...]]:
    """The image less what the last injection before it left, and what was done about it."""
    began = _began_after_s(series)
    earlier = [
        (began - start, one)
        for one in before
        if began is not None
        and (start := _began_after_s(one.result.series)) is not None
        and start < began
        and one.state is not None
        and one.result.series.tracer.value == series.tracer.value
    ]
    if not earlier:
        return image, ()
    seconds, last = min(earlier, key=lambda pair: pair[0])
    share = flow_study.left_by_first(tracer, seconds)
    first = last.result.series.image
    if share == 0 or last.state is None or not isinstance(first, Volume):
        return image, ()
    image = flow_study.without_first(
        image, first, tracer, seconds_between=seconds, second_wall=state.still, first_wall=last.state.still
    )
    percent = f"{100 * share:.2g} % of its activity"
    message = f"What the injection of {last.result.series.name} had left was subtracted ({percent})."
    return image, (Flag("residual_activity_subtracted", message, "info", {"minutes": round(seconds / 60, 1)}),)


def _bolus_flags(left: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[Flag, ...]:
    share = float(left[0] / max(float(left.max()), 1e-12))
    if share < _BOLUS_MISSED:
        return ()
    message = (
        f"Blood holds {100 * share:.0f} % of its highest activity in the first frame already: the scan began after the "
        "bolus had arrived, and flow is too high."
    )
    return (Flag("bolus_missed", message, "warning", {"first_frame_percent": round(100 * share)}),)


def _with_reserve(pair: PairResult, stress: measure.State, rest: measure.State, settings: Settings) -> PairResult:
    """The comparison with flow reserve and capacity where both states have a flow."""
    ours, theirs = stress.heart.flow, rest.heart.flow
    if ours is None or theirs is None:
        return pair
    try:
        reserve = flow_study.reserve_of(ours, theirs, rate_pressure=settings.rest_rate_pressure)
    except InvalidValue as error:
        missing = Quantity("flow reserve", None, "1", reason=str(error), group="flow")
        return replace(pair, quantities=(*pair.quantities, missing))
    return replace(
        pair,
        quantities=(*pair.quantities, *flow_study.reserve_quantities(reserve, ours.tracer)),
        maps={**pair.maps, **flow_study.reserve_maps(reserve)},
        reserve=reserve,
    )


def _with_quantities(one: _Measured, more: Sequence[Quantity]) -> _Measured:
    """The same with more figures of its heart."""
    if one.state is None or not more:
        return one
    found = replace(one.state.heart, quantities=(*one.state.heart.quantities, *more))
    return _Measured(replace(one.result, heart=found), replace(one.state, heart=found))


def _with_combined_positions(measured: Sequence[_Measured], settings: Settings) -> list[_Measured]:
    """The first of two positions of a state gets the deficit that both show."""
    states = [one.state for one in measured if one.state is not None]
    results: list[_Measured] = []
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
        results.append(_with_quantities(one, across_images.combined_positions(state, partner, rng=rng)))
    return results


def analyze_projections(
    series: Series,
    study: Study,
    *,
    settings: Settings,
    limits: Sequence[io.SignedLimits] = (),
    hearts: KnownHearts | None = None,
    names: set[str] | None = None,
    progress: Progress | None = None,
) -> tuple[_Measured, ...]:
    """One acquisition: the projections themselves, then each image that is made of them.

    Wanted are the ungated image, the same corrected for attenuation if the study holds a map, and the gates. An image
    that the study already holds (same state, position, gating and correction) is not made again, and ungated images
    come from ungated projections where both kinds were stored. ``names`` are the names taken so far, ``hearts`` those
    found so far.
    """
    tell = progress or (lambda step, fraction: None)
    hearts = KnownHearts() if hearts is None else hearts
    names = set() if names is None else names
    projections = series.image
    if not isinstance(projections, Projections):
        raise InvalidValue(f"{series.name} is reconstructed already; analyze_series analyses it")
    flags = list(reconstruct.survey(projections).flags)
    map_series, map_flags = choose_map(series, study)
    flags += map_flags
    wanted = wanted_images(series, study, with_map=map_series is not None)
    source = replace(series, flags=tuple(f for f in series.flags if f.code != "radius_unusual"))
    if not wanted:
        flags.append(
            Flag(
                "reconstructions_given",
                "The study holds the reconstructed images of these projections; those were analysed.",
                "info",
            )
        )
        head = SeriesResult(source, None, (*source.flags, *flags), used_for="nothing: images were given")
        return (_Measured(head),)

    results: list[_Measured] = []
    not_done: list[str] = []
    seconds: dict[str, float] = {}
    plain: measure.State | None = None
    for n, what in enumerate(wanted):
        told = _scaled(tell, n / len(wanted), 1 / len(wanted))
        try:
            with _stopwatch() as elapsed:
                made = image_of(
                    source,
                    projections,
                    what,
                    map_series,
                    plain,
                    settings.reconstruction,
                    seed=settings.seed,
                    tell=_scaled(told, 0.0, 0.6),
                )
        except MyoscopeError as error:
            not_done.append(f"{series.name}: the {what} image was not reconstructed: {error}")
            continue
        seconds[f"reconstruct_{what}"] = elapsed()
        named = replace(made, series=replace(made.series, name=free_name(made.series, names)))
        found = _analyze_image(named, settings, limits, hearts, _scaled(told, 0.6, 0.4))
        found = replace(found, result=replace(found.result, seconds={"reconstruct": elapsed(), **found.result.seconds}))
        plain = found.state if what == "plain" else plain
        results.append(found)
    told_by = across_images.OfProjections()
    if plain is not None:
        told_by = across_images.of_projections(projections, plain)
        results = [_with_quantities(one, told_by.quantities) if one.state is plain else one for one in results]
    flags += told_by.flags
    used_for = f"reconstructed as {', '.join(r.result.series.name for r in results)}" if results else ""
    head = SeriesResult(
        source, None, (*source.flags, *flags), tuple(not_done), seconds, used_for, moved_back=told_by.moved_back
    )
    return (_Measured(head), *results)


def _analyze_heart(
    made: MadeImage,
    image: Volume,
    settings: Settings,
    limits: Sequence[io.SignedLimits],
    hearts: KnownHearts,
    seconds: dict[str, float],
    tell: Progress,
) -> measure.State:
    series, summed = made.series, image.summed()
    fwhm_mm = settings.resolution_fwhm_mm or series.acquisition.get("resolution_fwhm_mm")
    if series.kind == _DYNAMIC:
        usual = flow_study.protocol_of(flow_study.flow_tracer(series.tracer.value)).wall_fit_fwhm_mm
        fwhm_mm = fwhm_mm or usual
    rng = np.random.default_rng(settings.seed)

    tell(f"{series.name}: finding the left ventricle", 0.0)
    with _stopwatch() as elapsed:
        ventricle, agreement = made.ventricle or hearts.find(
            series, summed, finder=settings.finder, in_training_domain=like_training_set(series)
        )
    seconds["find"] = elapsed()

    tell(f"{series.name}: fitting the wall", 0.4)
    with _stopwatch() as elapsed:
        still = measure.measure_wall(summed, ventricle, stated_fwhm_mm=fwhm_mm)
        wall = still
        if image.frame_axis == "gate":
            wall = measure.measure_wall(image, ventricle, stated_fwhm_mm=fwhm_mm)
    seconds["surfaces"] = elapsed()

    tell(f"{series.name}: sampling the polar map", 0.7)
    with _stopwatch() as elapsed:
        polar_map = heart.sample_wall(summed, still.surfaces, method=settings.sampling)
    seconds["polar_map"] = elapsed()
    with _stopwatch() as elapsed:
        short_axis = heart.reorient(image, ventricle.frame)
    seconds["reorient"] = elapsed()

    tell(f"{series.name}: measuring", 0.8)
    function = None
    with _stopwatch() as elapsed:
        if image.frame_axis == "gate":
            function = measure.measure_function(image, wall, sampling=settings.sampling, rng=rng, sex=series.sex.value)
        processing = str(series.acquisition.get("processing", AS_STORED))
        if image.frame_axis == "gate":
            processing += ", gates summed"
        kind, unknown = measure.study_kind(series, processing=processing)
        noise = _noise_of(made, polar_map, still, function, settings)
        perfusion = measure.measure_perfusion(polar_map, kind, limits, noise=noise, rng=rng, unknown=unknown)
    seconds["measure"] = elapsed()

    found = HeartResult(
        frame=ventricle.frame,
        wall=ventricle.wall,
        surfaces=wall.surfaces,
        short_axis=short_axis,
        polar_map=polar_map,
        finder=ventricle.method,
        quantities=(
            *measure.wall_quantities(ventricle, wall, still),
            *measure.sampling_quantities(summed, still.surfaces, polar_map),
            *perfusion.quantities,
            *(measure.no_function("the series is not gated") if function is None else function.quantities),
        ),
        flags=(
            *ventricle.flags,
            *wall.flags,
            *(() if function is None else function.flags),
            *measure.image_flags(summed, still.surfaces, polar_map),
            *_image_flags(summed),
        ),
        agreement=agreement,
        maps={**perfusion.maps, **({} if function is None else function.maps)},
        limits=perfusion.limits,
        no_limits=perfusion.no_limits,
        segment_scores=None if perfusion.scores is None else perfusion.scores.scores,
        segment_scores_20=None if perfusion.scores_20 is None else perfusion.scores_20.scores,
        curve=None if function is None else function.curve,
    )
    return measure.State(series, found, summed, still.surfaces, perfusion, function)


def _noise_of(
    made: MadeImage,
    polar_map: PolarMap,
    still: measure.FittedWall,
    function: measure.Function | None,
    settings: Settings,
) -> quantify.MapNoise | None:
    """Noise of the ungated map: from halves of the counts, else from gates; None where nothing tells of it."""
    if made.halves is not None:
        one, other = (heart.sample_wall(half, still.surfaces, method=settings.sampling).value for half in made.halves)
        return quantify.noise_from_halves(one, other, value=polar_map.value)
    if function is not None and len(function.gates) >= _GATES_THAT_TELL_NOISE:
        return quantify.noise_from_gates(np.stack([gate.value for gate in function.gates]))
    return None


def like_training_set(series: Series) -> bool:
    """Whether an image resembles what the learned finder was trained on: NM 530c, ungated, 4 mm voxels.

    Judged by the collimator (multi-pinhole) or the camera's name, and by the voxel size.
    """
    if not isinstance(series.image, Volume) or series.image.frame_axis is not None:
        return False
    names = f"{series.camera.value or ''} {series.acquisition.get('collimator_type') or ''}".lower()
    pinhole = any(word in names for word in ("pinh", "530c", "570c", "alcyone"))
    return pinhole and bool(np.allclose(series.image.grid.spacing_mm, 4.0, atol=0.3))


def write_result(result: StudyResult, out: Path, *, settings: Settings) -> None:
    """All files of one result, in one rename: either everything is there or nothing is."""
    with io.atomic_folder(out, replace=settings.overwrite, sign="result.json") as folder:
        for one in result.series:
            if one.moved_back is not None:
                (folder / one.series.name).mkdir()
                io.write_nm_projections(
                    replace(one.series, image=one.moved_back), folder / one.series.name / "moved_back.dcm"
                )
            if one.heart is None:
                continue
            place = folder / one.series.name
            place.mkdir()
            io.write_nifti(one.heart.wall, place / "lv_wall.nii.gz")
            io.write_nifti(one.heart.short_axis, place / "short_axis.nii.gz")
            io.save(one.heart.polar_map, place / "polar_map.npz")
            io.save(one.heart.surfaces, place / "surfaces.npz")
            for name, flow_map in ({} if one.heart.flow is None else flow_study.flow_maps(one.heart.flow)).items():
                io.save(flow_map, place / f"{name}.npz")
        for pair in result.pairs:
            if pair.reserve is not None:
                for name, one_map in flow_study.reserve_maps(pair.reserve).items():
                    io.save(one_map, folder / pair.stress / f"{name}.npz")
        report.write_html(result, folder / "report.html", colour_table=settings.colour_table)
        report.write_json(result, folder / "result.json")


def _image_flags(image: Volume) -> Iterator[Flag]:
    if image.array.dtype.kind == "f" and not np.isfinite(image.array).all():
        missing = int(np.count_nonzero(~np.isfinite(image.array)))
        yield Flag("missing_voxels", "Some voxels have no value and were left out.", evidence={"voxels": missing})


@contextmanager
def _stopwatch() -> Iterator[Callable[[], float]]:
    start = time.perf_counter()
    end: list[float] = []
    yield lambda: round((end[0] if end else time.perf_counter()) - start, 4)
    end.append(time.perf_counter())


def _scaled(tell: Progress, start: float, width: float) -> Progress:
    return lambda step, fraction: tell(step, start + width * fraction)
