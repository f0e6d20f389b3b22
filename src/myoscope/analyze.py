"""One study from files to report. Read top to bottom: this file is the pipeline.

read -> (per image series) find the left ventricle -> fit its surfaces -> sample the polar map -> reorient
-> measure -> write ``result.json``, ``report.html`` and images, all at once by an atomic rename.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

import myoscope
from myoscope import heart, io, quantify, report
from myoscope.core import (
    Flag,
    HeartResult,
    MyoscopeError,
    Projections,
    Quantity,
    Series,
    SeriesResult,
    StudyResult,
    Surfaces,
    Volume,
)

# Walls over the cardiac cycle; thinner or thicker ones are more often a wrong resolution than a disease.
_PLAUSIBLE_WALL_MM = (6.0, 14.5)

Progress = Callable[[str, float], None]
"""Called with what is being done and the fraction of the study that is behind us, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a user may choose about one analysis.

    ``finder``: ``auto`` takes the learned finder for images like its training set and the model-based one
    elsewhere. ``sampling``: how the wall's counts become polar-map values (see ``heart.sample_wall``).
    ``resolution_fwhm_mm``: the reconstructed resolution, where it is known better than by the voxel size.
    """

    finder: Literal["auto", "network", "model"] = "auto"
    sampling: Literal["surface", "profile", "hybrid"] = "surface"
    resolution_fwhm_mm: float | None = None
    colour_table: str = report.DEFAULT_COLOUR_TABLE
    overwrite: bool = False


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
    results = []
    for n, series in enumerate(found.study.series):
        share = (0.1 + 0.8 * n / len(found.study.series), 0.8 / len(found.study.series))
        results.append(analyze_series(series, settings=settings, progress=_scaled(tell, *share)))
    result = StudyResult(
        series=tuple(results),
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


def analyze_series(series: Series, *, settings: Settings, progress: Progress | None = None) -> SeriesResult:
    """One series: its heart, or the reasons why there is none."""
    tell = progress or (lambda step, fraction: None)
    seconds: dict[str, float] = {}
    if isinstance(series.image, Projections):
        reason = (
            f"{series.name}: projections were read ({series.image.n_views} views), but this version does not "
            "reconstruct them; give the reconstructed images instead."
        )
        return SeriesResult(series, None, series.flags, (reason,), seconds)
    try:
        found = _analyze_heart(series, series.image, settings, seconds, tell)
    except MyoscopeError as error:
        return SeriesResult(series, None, series.flags, (f"{series.name}: {error}",), seconds)
    return SeriesResult(series, found, series.flags, (), seconds)


def _analyze_heart(
    series: Series, image: Volume, settings: Settings, seconds: dict[str, float], tell: Progress
) -> HeartResult:
    summed = image.summed()

    tell(f"{series.name}: finding the left ventricle", 0.0)
    with _stopwatch() as elapsed:
        ventricle, agreement = heart.find_left_ventricle(
            summed, prefer=settings.finder, in_training_domain=like_training_set(series)
        )
    seconds["find"] = elapsed()

    tell(f"{series.name}: fitting the wall", 0.5)
    with _stopwatch() as elapsed:
        surfaces, wall_flags = fit_wall(summed, ventricle, settings.resolution_fwhm_mm)
        gated = None
        if image.frame_axis == "gate":
            gated, wall_flags = fit_wall(image, ventricle, settings.resolution_fwhm_mm)
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
            Quantity("thickening, median", function.thickening_percent, "%"),
        ]
    return tuple(quantities)


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
