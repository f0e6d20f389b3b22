"""One study from files to report. Read top to bottom: this file is the pipeline.

read -> reconstruct projections that nobody has reconstructed, corrected for attenuation where there is a map -> (per
image) find the left ventricle -> fit its surfaces -> sample the polar map -> reorient -> measure -> write
``result.json``, ``report.html`` and images, all at once by an atomic rename.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

import myoscope
from myoscope import correct, heart, io, quantify, reconstruct, report
from myoscope.core import (
    Flag,
    HeartResult,
    InvalidValue,
    MyoscopeError,
    Projections,
    Quantity,
    Series,
    SeriesResult,
    Stated,
    Study,
    StudyResult,
    Surfaces,
    Volume,
)

# Walls over the cardiac cycle; thinner or thicker ones are more often a wrong resolution than a disease.
_PLAUSIBLE_WALL_MM = (6.0, 14.5)
_MAP_KINDS = ("CT", "MU MAP")
_USUAL_KVP = 120.0
# Back-projected gates with their usual filter, and the breathing that no gate takes out: at this resolution the
# ejection fraction of six virtual hearts was 2.5 points too high on average, at the 13.5 mm of other images 7 points.
_BACK_PROJECTED_GATES_FWHM_MM = 15.0

Progress = Callable[[str, float], None]
"""Called with what is being done and the fraction of the study that is behind us, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a user may choose about one analysis.

    ``finder``: ``auto`` takes the learned finder for images like its training set and the model-based one
    elsewhere. ``sampling``: how the wall's counts become polar-map values (see ``heart.sample_wall``).
    ``resolution_fwhm_mm``: the reconstructed resolution, where it is known better than by the voxel size.
    ``reconstruction``: how projections become images.
    """

    finder: Literal["auto", "network", "model"] = "auto"
    sampling: Literal["surface", "profile", "hybrid"] = "surface"
    resolution_fwhm_mm: float | None = None
    colour_table: str = report.DEFAULT_COLOUR_TABLE
    overwrite: bool = False
    reconstruction: reconstruct.ReconstructionSettings = field(default_factory=reconstruct.ReconstructionSettings)


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

    tell("reading", 0.0)
    with _stopwatch() as reading:
        found = io.read_paths(paths)
    result = StudyResult(
        series=analyze_study(found.study, settings=settings, progress=_scaled(tell, 0.1, 0.8)),
        flags=(*found.study.flags, *found.flags),
        skipped=found.skipped,
        software=f"myoscope {myoscope.__version__}",
        seconds={"read": reading()},
        left_out=found.left_out,
    )

    tell("writing", 0.9)
    write_result(result, out, settings=settings)
    tell("done", 1.0)
    return result


def analyze_study(study: Study, *, settings: Settings, progress: Progress | None = None) -> tuple[SeriesResult, ...]:
    """All series of a study in their order; what is reconstructed from projections follows them."""
    tell = progress or (lambda step, fraction: None)
    results: list[SeriesResult] = []
    names = {series.name for series in study.series}
    for n, series in enumerate(study.series):
        told = _scaled(tell, n / len(study.series), 1 / len(study.series))
        if series.kind in _MAP_KINDS:
            results.append(SeriesResult(series, None, series.flags, used_for="attenuation map"))
        elif isinstance(series.image, Projections):
            results += analyze_projections(series, study, settings=settings, names=names, progress=told)
        else:
            results.append(analyze_series(series, settings=settings, progress=told))
    return tuple(results)


def analyze_series(series: Series, *, settings: Settings, progress: Progress | None = None) -> SeriesResult:
    """One reconstructed series: its heart, or the reasons why there is none."""
    tell = progress or (lambda step, fraction: None)
    if isinstance(series.image, Projections):
        raise InvalidValue(f"{series.name} holds projections; analyze_projections reconstructs and analyses them")
    seconds: dict[str, float] = {}
    try:
        found = _analyze_heart(series, series.image, settings, seconds, tell)
    except MyoscopeError as error:
        return SeriesResult(series, None, series.flags, (f"{series.name}: {error}",), seconds)
    return SeriesResult(series, found, series.flags, (), seconds)


def analyze_projections(
    series: Series,
    study: Study,
    *,
    settings: Settings,
    names: set[str] | None = None,
    progress: Progress | None = None,
) -> tuple[SeriesResult, ...]:
    """One acquisition: the projections themselves, then each image that is made of them.

    Wanted are the ungated image, the same corrected for attenuation if the study holds a map, and the gates. An image
    that the study already holds (same state, position, gating and correction) is not made again, and ungated images
    come from ungated projections where both kinds were stored. ``names`` are the names taken so far.
    """
    tell = progress or (lambda step, fraction: None)
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
        return (SeriesResult(source, None, (*source.flags, *flags), used_for="nothing: images were given"),)

    results: list[SeriesResult] = []
    not_done: list[str] = []
    seconds: dict[str, float] = {}
    plain: SeriesResult | None = None
    for n, what in enumerate(wanted):
        told = _scaled(tell, n / len(wanted), 1 / len(wanted))
        try:
            with _stopwatch() as elapsed:
                made = _image_of(
                    source, projections, what, map_series, plain, settings.reconstruction, _scaled(told, 0.0, 0.6)
                )
        except MyoscopeError as error:
            not_done.append(f"{series.name}: the {what} image was not reconstructed: {error}")
            continue
        seconds[f"reconstruct_{what}"] = elapsed()
        named = replace(made, name=_free_name(made, names))
        result = analyze_series(named, settings=settings, progress=_scaled(told, 0.6, 0.4))
        result = replace(result, seconds={"reconstruct": elapsed(), **result.seconds})
        plain = result if what == "plain" else plain
        results.append(result)
    used_for = f"reconstructed as {', '.join(r.series.name for r in results)}" if results else ""
    head = SeriesResult(source, None, (*source.flags, *flags), tuple(not_done), seconds, used_for=used_for)
    return (head, *results)


def wanted_images(series: Series, study: Study, *, with_map: bool) -> tuple[str, ...]:
    """Which images to make of an acquisition: ``plain``, ``corrected`` and ``gated``, less those that are there."""

    def like(other: Series) -> bool:
        same_position = (other.position.value or "supine") == (series.position.value or "supine")
        return other is not series and other.state.value == series.state.value and same_position

    def there(*, gated: bool, corrected: bool) -> bool:
        return any(
            like(s)
            and isinstance(s.image, Volume)
            and s.kind not in _MAP_KINDS
            and s.gated == gated
            and (s.corrected.value == "yes") == corrected
            for s in study.series
        )

    # A camera that stores an acquisition gated and ungated stores the same photons twice.
    ungated_elsewhere = series.gated and any(
        like(s) and isinstance(s.image, Projections) and not s.gated for s in study.series
    )
    wanted = []
    if not ungated_elsewhere:
        wanted += [] if there(gated=False, corrected=False) else ["plain"]
        wanted += ["corrected"] if with_map and not there(gated=False, corrected=True) else []
    if series.gated and not (there(gated=True, corrected=False) or there(gated=True, corrected=True)):
        wanted.append("gated")
    return tuple(wanted)


def choose_map(series: Series, study: Study) -> tuple[Series | None, tuple[Flag, ...]]:
    """The attenuation map or CT that belongs to an acquisition, and why there is none.

    It must have been taken in the same position. Among several, one in the same frame of reference goes first, then
    one of the same state, then an attenuation map before a CT.
    """
    maps = [s for s in study.series if s.kind in _MAP_KINDS]
    if not maps:
        message = "The study holds no CT and no attenuation map: the image was not corrected for attenuation."
        return None, (Flag("no_attenuation_map", message, "info"),)
    usable = [s for s in maps if s.kind == "CT" or (isinstance(s.image, Volume) and s.image.unit == "1/cm")]
    position = series.position.value or "supine"
    fitting = [s for s in usable if (s.position.value or position) == position]
    if not fitting:
        why = "was taken in another position" if usable else "does not state its unit"
        message = f"The attenuation map {why}: the image was not corrected for attenuation."
        return None, (Flag("attenuation_map_not_used", message, "warning"),)

    def fits(other: Series) -> tuple[bool, bool, bool]:
        place = series.frame_of_reference_sha256
        return (
            bool(place) and other.frame_of_reference_sha256 == place,
            other.state.value == series.state.value,
            other.kind != "CT",
        )

    return max(fitting, key=fits), ()


def _image_of(
    series: Series,
    projections: Projections,
    what: str,
    map_series: Series | None,
    plain: SeriesResult | None,
    settings: reconstruct.ReconstructionSettings,
    tell: Progress,
) -> Series:
    """One image of an acquisition as a series of its own, without its final name."""
    tell(f"{series.name}: reconstructing the {what} image", 0.0)

    def told(step: str, fraction: float) -> None:
        tell(f"{series.name}: reconstructing the {what} image ({step})", fraction)

    flags: tuple[Flag, ...] = ()
    if what == "gated":
        image = reconstruct.reconstruct(projections, settings=settings, progress=told)
    elif what == "plain":
        image = reconstruct.reconstruct(reconstruct.without_gates(projections), settings=settings, progress=told)
    else:
        assert map_series is not None
        image, flags = _corrected_image(projections, map_series, plain, settings, told)
    by = f"attenuation corrected with {map_series.name}" if what == "corrected" and map_series else "not corrected here"
    return Series(
        name=series.name,
        kind="RECON GATED TOMO" if what == "gated" else "RECON TOMO",
        image=image,
        state=series.state,
        corrected=Stated("yes" if what == "corrected" else "no", "made", by),
        position=series.position,
        tracer=series.tracer,
        camera=series.camera,
        sex=series.sex,
        series_uid_sha256=series.series_uid_sha256,
        frame_of_reference_sha256=series.frame_of_reference_sha256,
        sources=(*series.sources, *(map_series.sources if what == "corrected" and map_series else ())),
        flags=flags,
        acquisition={**series.acquisition, "reconstructed_from": series.name, **_known_resolution(image)},
    )


def _known_resolution(image: Volume) -> dict[str, float]:
    """The resolution of images that are made here, where it is not what others of their voxel size have."""
    usual = str(reconstruct.GATED_FILTER)
    if image.frame_axis == "gate" and image.grid.spacing_mm.max() > 5 and usual in image.made_by[-1]:
        return {"resolution_fwhm_mm": _BACK_PROJECTED_GATES_FWHM_MM}
    return {}


def _corrected_image(
    projections: Projections,
    map_series: Series,
    plain: SeriesResult | None,
    settings: reconstruct.ReconstructionSettings,
    tell: Progress,
) -> tuple[Volume, tuple[Flag, ...]]:
    """The ungated image corrected for attenuation (and scatter, if an energy window tells of it), and its doubts."""
    ungated = reconstruct.without_gates(projections)
    mu, flags = _attenuation_map(ungated, map_series)
    if plain is not None and plain.heart is not None and plain.heart.surfaces.n_gates == 1:
        alignment = correct.find_alignment(mu, plain.heart.surfaces)
        flags.append(alignment.flag())
        if alignment.to_be_applied:
            mu = correct.moved(mu, alignment)
    else:
        message = (
            "Whether the attenuation map lies where the heart was could not be checked: no heart was found in the "
            "uncorrected image."
        )
        flags.append(Flag("mu_map_alignment_unchecked", message, "warning"))
    scatter = correct.estimate_scatter(ungated, photopeak=reconstruct.photopeak(ungated))
    if scatter is None:
        mu = correct.broad_beam(mu)
        message = (
            "No energy window tells how many counts were scattered; attenuation was corrected with the lower values "
            "that hold where scatter is counted along."
        )
        flags.append(Flag("scatter_not_measured", message, "info"))
    else:
        message = f"Scatter was estimated from the energy windows ({scatter.method})."
        evidence = {"scatter_percent": round(100 * scatter.share_of_photopeak)}
        flags.append(Flag("scatter_corrected", message, "info", evidence))
    if settings.method == "fbp":
        settings = replace(settings, method="osem")
    image = reconstruct.reconstruct(
        ungated,
        settings=settings,
        attenuation=mu,
        scatter=None if scatter is None else scatter.counts,
        progress=tell,
    )
    return image, tuple(flags)


def _attenuation_map(projections: Projections, map_series: Series) -> tuple[Volume, list[Flag]]:
    """The map in 1/cm at the photopeak on the grid of the image to be, and what is doubtful about it."""
    given = map_series.image
    assert isinstance(given, Volume)
    flags: list[Flag] = []
    if map_series.kind == "CT":
        kvp = map_series.acquisition.get("kvp")
        if not isinstance(kvp, (int, float)):
            kvp = _USUAL_KVP
            message = f"The CT does not state its tube voltage; bone was converted as at {kvp:g} kVp."
            flags.append(Flag("kvp_assumed", message, "info"))
        given = correct.ct_to_mu(given, kvp=float(kvp), energy_keV=reconstruct.photopeak_keV(projections))
    mu, coverage = correct.mu_on_grid(given, reconstruct.image_grid(projections))
    return mu, [*flags, *coverage]


def _free_name(series: Series, names: set[str]) -> str:
    """A name that says what sets the image apart from its siblings, and is taken from now on."""
    position = series.position.value
    facts = (
        series.state.value or "image",
        "gated" if series.gated else None,
        position if position != "supine" else None,
        {"yes": "ac", "no": "nc"}.get(series.corrected.value or ""),
    )
    stem = "-".join(fact for fact in facts if fact)
    name, n = stem, 1
    while name in names:
        n += 1
        name = f"{stem}-{n}"
    names.add(name)
    return name


def _analyze_heart(
    series: Series, image: Volume, settings: Settings, seconds: dict[str, float], tell: Progress
) -> HeartResult:
    summed = image.summed()
    fwhm_mm = settings.resolution_fwhm_mm or series.acquisition.get("resolution_fwhm_mm")

    tell(f"{series.name}: finding the left ventricle", 0.0)
    with _stopwatch() as elapsed:
        ventricle, agreement = heart.find_left_ventricle(
            summed, prefer=settings.finder, in_training_domain=like_training_set(series)
        )
    seconds["find"] = elapsed()

    tell(f"{series.name}: fitting the wall", 0.5)
    with _stopwatch() as elapsed:
        surfaces, wall_flags = fit_wall(summed, ventricle, fwhm_mm)
        gated = None
        if image.frame_axis == "gate":
            gated, wall_flags = fit_wall(image, ventricle, fwhm_mm)
    seconds["surfaces"] = elapsed()

    tell(f"{series.name}: sampling the polar map", 0.8)
    with _stopwatch() as elapsed:
        polar_map = heart.sample_wall(summed, surfaces, method=settings.sampling)
    seconds["polar_map"] = elapsed()

    with _stopwatch() as elapsed:
        short_axis = heart.reorient(image, ventricle.frame)
    seconds["reorient"] = elapsed()

    return HeartResult(
        frame=ventricle.frame,
        wall=ventricle.wall,
        surfaces=surfaces if gated is None else gated,
        short_axis=short_axis,
        polar_map=polar_map,
        finder=ventricle.method,
        quantities=measure(
            ventricle, surfaces, gated, thickness_measured=all(f.code != "wall_thickness_assumed" for f in wall_flags)
        ),
        flags=(*ventricle.flags, *wall_flags, *_image_flags(summed)),
        agreement=agreement,
    )


def fit_wall(
    image: Volume, ventricle: heart.LeftVentricle, stated_fwhm_mm: float | None
) -> tuple[Surfaces, tuple[Flag, ...]]:
    """The anatomical wall, of each gate if there are gates, and what is doubtful about it.

    A resolution that the user states is believed. Otherwise the camera's usual one is tried first; where the
    wall's edges are softer than that, the heart moved, and its mean thickness is the population's.
    """
    if stated_fwhm_mm is not None:
        stated = heart.fit_surfaces(image, ventricle, resolution_fwhm_mm=stated_fwhm_mm)
        return stated, _implausible_thickness(stated)
    usual_fwhm_mm = heart.default_resolution_mm(image)
    surfaces = heart.fit_surfaces(image, ventricle, resolution_fwhm_mm=usual_fwhm_mm)
    moving_fwhm_mm = heart.resolution_with_motion_mm(image, surfaces, resolution_fwhm_mm=usual_fwhm_mm)
    if moving_fwhm_mm is None:
        return surfaces, _implausible_thickness(surfaces)
    flag = Flag(
        "wall_thickness_assumed",
        "The wall's edges are softer than the camera's resolution explains (breathing, beating): its mean thickness "
        f"was taken to be {heart.POPULATION_WALL_MM:.0f} mm, and the cavity and wall volumes rest on that.",
        "info",
        {"usual_fwhm_mm": usual_fwhm_mm, "effective_fwhm_mm": round(moving_fwhm_mm, 1)},
    )
    blurred = heart.fit_surfaces(image, ventricle, resolution_fwhm_mm=moving_fwhm_mm)
    return heart.with_median_thickness(blurred, heart.POPULATION_WALL_MM), (flag,)


def _implausible_thickness(surfaces: Surfaces) -> tuple[Flag, ...]:
    thickness_mm = float(np.median(surfaces.thickness_mm))
    if _PLAUSIBLE_WALL_MM[0] <= thickness_mm <= _PLAUSIBLE_WALL_MM[1]:
        return ()
    message = (
        f"The fitted wall is {thickness_mm:.1f} mm thick, outside {_PLAUSIBLE_WALL_MM[0]:.0f} to "
        f"{_PLAUSIBLE_WALL_MM[1]:.0f} mm: the resolution is probably not what was assumed; do not trust the volumes."
    )
    return (Flag("wall_thickness_implausible", message, "warning", {"thickness_mm": round(thickness_mm, 1)}),)


def measure(
    ventricle: heart.LeftVentricle, surfaces: Surfaces, gated: Surfaces | None, *, thickness_measured: bool
) -> tuple[Quantity, ...]:
    """The numbers of one heart, each with its unit; intervals where one is known."""
    wall = surfaces if gated is None else gated
    outlined_mL = float(np.count_nonzero(ventricle.wall.array)) * ventricle.wall.grid.voxel_volume_mL
    quantities = [
        Quantity("outlined wall volume", outlined_mL, "mL"),
        Quantity("wall volume", float(np.mean(wall.wall_mL)), "mL"),
        Quantity("wall thickness, median", float(np.median(wall.thickness_mm)), "mm")
        if thickness_measured
        else Quantity("wall thickness, median", None, "mm", reason="the heart moved too much to measure it"),
        Quantity("cavity volume, ungated", float(surfaces.cavity_mL), "mL"),
        Quantity("long axis length", quantify.long_axis_length_mm(surfaces), "mm"),
        Quantity("finder confidence", ventricle.confidence, "1"),
    ]
    if gated is None:
        reason = "the series is not gated"
        quantities += [
            Quantity(name, None, unit, reason=reason)
            for name, unit in (("EDV", "mL"), ("ESV", "mL"), ("EF", "%"), ("thickening, median", "%"))
        ]
    else:
        function = quantify.ventricular_function(gated)
        quantities += [
            Quantity("EDV", function.edv_mL, "mL"),
            Quantity("ESV", function.esv_mL, "mL"),
            Quantity("EF", function.ef_percent, "%"),
            Quantity("thickening, median", _median_thickening_percent(gated, function), "%"),
        ]
    return tuple(quantities)


def _median_thickening_percent(gated: Surfaces, function: quantify.VentricularFunction) -> float:
    thickness_mm = gated.thickness_mm
    diastole, systole = thickness_mm[function.ed_gate], thickness_mm[function.es_gate]
    return float(np.median(100 * (systole - diastole) / diastole))


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
            if one.heart is None:
                continue
            place = folder / one.series.name
            place.mkdir()
            io.write_nifti(one.heart.wall, place / "lv_wall.nii.gz")
            io.write_nifti(one.heart.short_axis, place / "short_axis.nii.gz")
            io.save(one.heart.polar_map, place / "polar_map.npz")
            io.save(one.heart.surfaces, place / "surfaces.npz")
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
