"""One series of a study: its images, and the heart in each, or why there is none. Read top to bottom.

reconstruct projections that nobody has reconstructed, corrected for attenuation where there is a map -> (per image)
find the left ventricle -> fit its surfaces -> sample the polar map -> reorient -> measure perfusion and function
(`measure.py`) -> measure blood flow where the image is dynamic (`flow_study.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from myoscope import (
    across_images,
    flow_figures,
    flow_pair,
    flow_study,
    given_images,
    heart,
    io,
    measure,
    quantify,
    reconstruct,
)
from myoscope.analysis_settings import Settings
from myoscope.camera_kind import camera_kind, like_training_set
from myoscope.core import (
    AS_STORED,
    Flag,
    HeartResult,
    InvalidValue,
    MyoscopeError,
    PolarMap,
    Projections,
    Quantity,
    Series,
    SeriesResult,
    Study,
    Volume,
)
from myoscope.known_hearts import KnownHearts
from myoscope.late_perfusion import without_residual
from myoscope.made_images import (
    MAP_KINDS,
    MadeImage,
    choose_map,
    free_name,
    image_of,
    stored_ungated_too,
    wanted_images,
)

DYNAMIC = "DYNAMIC PET"
_BOLUS_MISSED = 0.3  # of the highest activity of blood in the first frame: the scan began too late
_GATES_THAT_TELL_NOISE = 8
_USUAL_MINUTES_BETWEEN = 60.0
_MUCH_LEFT = 0.05  # of the first injection: perfusion of the second study is then mixed

Progress = Callable[[str, float], None]
"""Called with what is being done and the fraction of the study that is behind us, 0 to 1."""


@dataclass(frozen=True, eq=False, slots=True)
class Measured:
    """A series result with what comparing states needs, None where there is no heart.

    ``of_given`` are figures that projections tell of the heart in the image that came with them.
    """

    result: SeriesResult
    state: measure.State | None = None
    of_given: tuple[Quantity, ...] = ()


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
) -> Measured:
    series = made.series
    assert isinstance(series.image, Volume)
    seconds: dict[str, float] = {}
    try:
        tell = progress or (lambda step, fraction: None)
        state = _analyze_heart(made, series.image, settings, limits, hearts, seconds, tell)
    except MyoscopeError as error:
        return Measured(SeriesResult(series, None, series.flags, (f"{series.name}: {error}",), seconds))
    return Measured(SeriesResult(series, state.heart, series.flags, (), seconds), state)


def analyze_state(
    study: Study, settings: Settings, names: Collection[str], progress: Progress | None = None
) -> list[tuple[Measured, ...]]:
    """The series of one state of a study in their order, each with the images that are made of it.

    The study also holds the attenuation maps, which are passed over; ``names`` are the names taken elsewhere. Blood
    flow of dynamic series is left to `with_blood_flow`.
    """
    tell = progress or (lambda step, fraction: None)
    limits, hearts, taken = settings.known_limits(), KnownHearts(), set(names)
    own = [n for n, series in enumerate(study.series) if series.kind not in MAP_KINDS]
    found: dict[int, tuple[Measured, ...]] = {}

    def turn(n: int) -> tuple[bool, bool, int]:
        """Hearts are surest in ungated images, which therefore go first; projections ask what came with them."""
        series = study.series[n]
        return series.gated, isinstance(series.image, Projections), n

    for done, n in enumerate(sorted(own, key=turn)):
        series = study.series[n]
        told = scaled(tell, done / len(own), 1 / len(own))
        if isinstance(series.image, Projections):
            stored = {m: one.state for m, (one, *_) in found.items() if one.state is not None}
            given = given_images.given_image(series, tuple(stored.values()))
            found[n] = analyze_projections(
                series,
                study,
                settings=settings,
                limits=limits,
                hearts=hearts,
                given=given,
                names=taken,
                progress=told,
            )
            for m, state in stored.items():
                if state is given:
                    found[m] = (_with_new_quantities(found[m][0], found[n][0].of_given),)
        elif series.kind == DYNAMIC:
            found[n] = (_analyze_late(series, settings, limits, hearts, told),)
        else:
            found[n] = (_analyze_image(MadeImage(series), settings, limits, hearts, told),)
    return [_with_alignment(found[n], study, found) for n in own]


def _with_alignment(
    one: tuple[Measured, ...], study: Study, found: Mapping[int, tuple[Measured, ...]]
) -> tuple[Measured, ...]:
    """A stored corrected image with whether the study's map lies where its heart is."""
    state = one[0].state
    if state is None or state.series.corrected.value != "yes" or state.series.kind == DYNAMIC:
        return one
    map_series, _ = choose_map(state.series, study)
    others = [first.state for first, *_ in found.values() if first.state is not None]
    place = state.series.frame_of_reference_sha256
    fitting = [o for o in others if o.series.corrected.value != "yes" and o.series.frame_of_reference_sha256 == place]
    plain = given_images.given_image(state.series, fitting)
    wall = (plain or state).still
    return (with_flags(one[0], given_images.alignment_of_given(state, wall, map_series)), *one[1:])


def _analyze_late(
    series: Series,
    settings: Settings,
    limits: Sequence[io.SignedLimits],
    hearts: KnownHearts,
    progress: Progress,
) -> Measured:
    """The heart and perfusion of a dynamic series, in its late frames."""
    image = series.image
    assert isinstance(image, Volume)
    try:
        tracer = flow_study.flow_tracer(series.tracer.value)
        late = flow_study.late_image(image, tracer)
        progress(f"{series.name}: finding the left ventricle", 0.0)
        with stopwatch() as finding:
            ventricle = flow_study.find_ventricle(image, tracer, prefer=settings.finder)
    except MyoscopeError as error:
        return Measured(SeriesResult(series, None, series.flags, (f"{series.name}: {error}",)))
    made = MadeImage(replace(series, image=late), ventricle=ventricle)
    hearts.remember(series, late, *ventricle)
    found = _analyze_image(made, settings, limits, hearts, scaled(progress, 0.5, 0.5))
    seconds = {**found.result.seconds, "find": finding()}
    return replace(found, result=replace(found.result, series=series, seconds=seconds))


def with_blood_flow(
    one: Measured, others: Sequence[Measured], settings: Settings, progress: Progress | None = None
) -> Measured:
    """A dynamic series whose heart is known, with its blood flow.

    ``others`` are the other dynamic series of the study: what an injection shortly before left is taken off.
    """
    series, state, image = one.result.series, one.state, one.result.series.image
    if state is None:
        return one
    assert isinstance(image, Volume)
    if progress is not None:
        progress(f"{series.name}: measuring blood flow", 0.0)
    flags: tuple[Flag, ...] = ()
    not_done: tuple[str, ...] = ()
    with stopwatch() as elapsed:
        try:
            tracer = flow_study.flow_tracer(series.tracer.value)
            image, flags = _without_first(series, image, tracer, others, state)
            if image is not series.image:
                state = without_residual(state, image, tracer, settings=settings)
            flow = flow_study.measure_flow(image, state.still, tracer, settings=settings.flow)
            stress = series.state.value == "stress"
            quantities = flow_figures.flow_quantities(flow, stress=stress)
            maps = {**state.heart.maps, **flow_figures.flow_maps(flow)}
            flags = (*flags, *flow.flags, *_bolus_flags(flow.curves.left))
            heart_found = replace(state.heart, flow=flow, maps=maps)
        except MyoscopeError as error:
            not_done = (f"{series.name}: blood flow was not measured: {error}",)
            quantities, heart_found = flow_figures.no_flow(str(error)), state.heart
    heart_found = replace(
        heart_found,
        quantities=(*heart_found.quantities, *quantities),
        flags=(*heart_found.flags, *flags),
    )
    seconds = {**one.result.seconds, "blood_flow": elapsed()}
    result = replace(one.result, heart=heart_found, not_done=not_done, seconds=seconds)
    return Measured(result, replace(state, series=series, heart=heart_found))


def _began_after_s(series: Series) -> float | None:
    """When a dynamic series began, counted from the first one of the study; None if the files do not say."""
    began = series.acquisition.get("began_after_first_s")
    return float(began) if isinstance(began, (int, float)) else None


def _without_first(
    series: Series, image: Volume, tracer: str, others: Sequence[Measured], state: measure.State
) -> tuple[Volume, tuple[Flag, ...]]:
    """The image less what the last injection before it left, and what was done about it."""
    began = _began_after_s(series)
    earlier = [
        (began - start, one)
        for one in others
        if began is not None
        and (start := _began_after_s(one.result.series)) is not None
        and start < began
        and one.result.series.tracer.value == series.tracer.value
    ]
    if not earlier:
        return image, _order_unknown(series, tracer, others)
    seconds, last = min(earlier, key=lambda pair: pair[0])
    share = flow_pair.left_by_first(tracer, seconds)
    first = last.result.series.image
    if share == 0:
        return image, ()
    if last.state is None or not isinstance(first, Volume):
        message = (
            f"What the injection of {last.result.series.name} had left ({100 * share:.2g} % of its activity) was not "
            "subtracted, because no heart was found there: flow is too high."
        )
        return image, (Flag("residual_activity_not_subtracted", message, "warning"),)
    image = flow_pair.without_first(
        image, first, tracer, seconds_between=seconds, second_wall=state.still, first_wall=last.state.still
    )
    percent = f"{100 * share:.2g} % of its activity"
    message = (
        f"What the injection of {last.result.series.name} had left ({percent}) was subtracted before flow and "
        "perfusion were measured; the heart was found and its wall fitted with it."
    )
    severity: Literal["info", "warning"] = "warning" if share >= _MUCH_LEFT else "info"
    return image, (Flag("residual_activity_subtracted", message, severity, {"minutes": round(seconds / 60, 1)}),)


def _order_unknown(series: Series, tracer: str, others: Sequence[Measured]) -> tuple[Flag, ...]:
    """A doubt if another injection of a lasting tracer may have come before, and the files do not say when."""
    unknown = [
        one.result.series.name
        for one in others
        if one.result.series.tracer.value == series.tracer.value
        and (_began_after_s(series) is None or _began_after_s(one.result.series) is None)
    ]
    if not unknown or flow_pair.left_by_first(tracer, _USUAL_MINUTES_BETWEEN * 60) == 0:
        return ()
    message = (
        f"The files do not say whether {unknown[0]} was taken before or after this series, and when: what its "
        "injection may have left was not subtracted. If it came first, flow is too high."
    )
    return (Flag("residual_activity_not_subtracted", message, "warning"),)


def _bolus_flags(left: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[Flag, ...]:
    share = float(left[0] / max(float(left.max()), 1e-12))
    if share < _BOLUS_MISSED:
        return ()
    message = (
        f"Blood holds {100 * share:.0f} % of its highest activity in the first frame already: the scan began after the "
        "bolus had arrived, and flow is too high."
    )
    return (Flag("bolus_missed", message, "warning", {"first_frame_percent": round(100 * share)}),)


def with_quantities(one: Measured, more: Sequence[Quantity]) -> Measured:
    """The same with more figures of its heart."""
    if one.state is None or not more:
        return one
    return _with_heart(one, replace(one.state.heart, quantities=(*one.state.heart.quantities, *more)))


def _with_new_quantities(one: Measured, more: Sequence[Quantity]) -> Measured:
    """The same with those figures that it has not got yet: of several acquisitions the first one tells."""
    known = set() if one.state is None else {q.name for q in one.state.heart.quantities}
    return with_quantities(one, [q for q in more if q.name not in known])


def with_flags(one: Measured, more: Sequence[Flag]) -> Measured:
    """The same with more doubts about its heart."""
    if one.state is None or not more:
        return one
    return _with_heart(one, replace(one.state.heart, flags=(*one.state.heart.flags, *more)))


def _with_heart(one: Measured, found: HeartResult) -> Measured:
    state = None if one.state is None else replace(one.state, heart=found)
    return replace(one, result=replace(one.result, heart=found), state=state)


def analyze_projections(
    series: Series,
    study: Study,
    *,
    settings: Settings,
    limits: Sequence[io.SignedLimits] = (),
    hearts: KnownHearts | None = None,
    given: measure.State | None = None,
    names: set[str] | None = None,
    progress: Progress | None = None,
) -> tuple[Measured, ...]:
    """One acquisition: the projections themselves, then each image that is made of them.

    Wanted are the ungated image, the same corrected for attenuation if the study holds a map, and the gates. An image
    that the study already holds (same state, position, gating and correction) is not made again, and ungated images
    come from ungated projections where both kinds were stored. ``given`` is what was measured on an image that came
    with them: it stands in for the ungated one. ``names`` are the names taken so far, ``hearts`` those found so far.
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
    if stored_ungated_too(series, study) or "plain" in wanted:
        given = None
    of_given = across_images.OfProjections()
    if given is not None:
        tell(f"{series.name}: comparing the projections with their image", 0.0)
        why = given_images.why_not_compared(series, projections, given)
        if why is None:
            of_given = across_images.of_projections(projections, given)
            flags += of_given.flags
        else:
            flags.append(why)
            given = None
    if not wanted:
        flags.append(
            Flag(
                "reconstructions_given",
                "The study holds the reconstructed images of these projections; those were analysed.",
                "info",
            )
        )
        head = SeriesResult(
            source,
            None,
            (*source.flags, *flags),
            used_for="nothing: images were given" if given is None else "looked at for movement; its images were given",
            moved_back=of_given.moved_back,
        )
        return (Measured(head, of_given=of_given.quantities),)

    results: list[Measured] = []
    not_done: list[str] = []
    seconds: dict[str, float] = {}
    plain = given
    for n, what in enumerate(wanted):
        told = scaled(tell, n / len(wanted), 1 / len(wanted))
        try:
            with stopwatch() as elapsed:
                made = image_of(
                    source,
                    projections,
                    what,
                    map_series,
                    plain,
                    settings.reconstruction,
                    seed=settings.seed,
                    tell=scaled(told, 0.0, 0.6),
                )
        except MyoscopeError as error:
            not_done.append(f"{series.name}: the {what} image was not reconstructed: {error}")
            continue
        seconds[f"reconstruct_{what}"] = elapsed()
        named = replace(made, series=replace(made.series, name=free_name(made.series, names)))
        found = _analyze_image(named, settings, limits, hearts, scaled(told, 0.6, 0.4))
        found = replace(found, result=replace(found.result, seconds={"reconstruct": elapsed(), **found.result.seconds}))
        plain = found.state if what == "plain" else plain
        results.append(found)
    told_by = of_given
    if plain is not None and plain is not given:
        told_by = across_images.of_projections(projections, plain)
        results = [with_quantities(one, told_by.quantities) if one.state is plain else one for one in results]
        flags += told_by.flags
    used_for = f"reconstructed as {', '.join(r.result.series.name for r in results)}" if results else ""
    head = SeriesResult(
        source, None, (*source.flags, *flags), tuple(not_done), seconds, used_for, moved_back=told_by.moved_back
    )
    return (Measured(head, of_given=of_given.quantities), *results)


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
    if series.kind == DYNAMIC:
        usual = flow_study.protocol_of(flow_study.flow_tracer(series.tracer.value)).wall_fit_fwhm_mm
        fwhm_mm = usual  # the beat blurs the wall as well; the camera's own resolution goes to the fit of flow
    rng = np.random.default_rng(settings.seed)

    tell(f"{series.name}: finding the left ventricle", 0.0)
    with stopwatch() as elapsed:
        ventricle, agreement = made.ventricle or hearts.find(
            series, summed, finder=settings.finder, in_training_domain=like_training_set(series)
        )
    seconds["find"] = elapsed()

    tell(f"{series.name}: fitting the wall", 0.4)
    with stopwatch() as elapsed:
        still = measure.measure_wall(summed, ventricle, stated_fwhm_mm=fwhm_mm)
        wall = still
        if image.frame_axis == "gate":
            wall = measure.measure_wall(image, ventricle, stated_fwhm_mm=fwhm_mm)
    seconds["surfaces"] = elapsed()

    tell(f"{series.name}: sampling the polar map", 0.7)
    with stopwatch() as elapsed:
        polar_map = heart.sample_wall(summed, still.surfaces, method=settings.sampling)
    seconds["polar_map"] = elapsed()
    with stopwatch() as elapsed:
        short_axis = heart.reorient(image, ventricle.frame)
    seconds["reorient"] = elapsed()

    tell(f"{series.name}: measuring", 0.8)
    function = None
    with stopwatch() as elapsed:
        if image.frame_axis == "gate":
            function = measure.measure_function(
                image,
                wall,
                sampling=settings.sampling,
                rng=rng,
                sex=series.sex.value,
                camera=camera_kind(series),
            )
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
        by_segment={**perfusion.by_segment, **({} if function is None else function.by_segment)},
        curve=None if function is None else function.curve,
    )
    return measure.State(series, found, summed, still.surfaces, perfusion, function, still.fwhm_mm)


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


def _image_flags(image: Volume) -> Iterator[Flag]:
    if image.array.dtype.kind == "f" and not np.isfinite(image.array).all():
        missing = int(np.count_nonzero(~np.isfinite(image.array)))
        yield Flag("missing_voxels", "Some voxels have no value and were left out.", evidence={"voxels": missing})


@contextmanager
def stopwatch() -> Iterator[Callable[[], float]]:
    start = time.perf_counter()
    end: list[float] = []
    yield lambda: round((end[0] if end else time.perf_counter()) - start, 4)
    end.append(time.perf_counter())


def scaled(tell: Progress, start: float, width: float) -> Progress:
    return lambda step, fraction: tell(step, start + width * fraction)
