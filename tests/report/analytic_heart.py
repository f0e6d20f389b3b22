"""A study by formula for the report's tests: a half ellipsoid with a wall, blurred, on a transaxial grid.

Surfaces, segments and polar map come from the same formula, so what the page shows can be checked against it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from myoscope.core import (
    MISSING,
    CardiacFrame,
    Flag,
    Gating,
    Grid,
    HeartResult,
    PolarMap,
    Quantity,
    Series,
    SeriesResult,
    SourceFile,
    Stated,
    StudyResult,
    Surfaces,
    Volume,
    segment_number,
)

FloatArray = NDArray[Any]
Uptake = Callable[[FloatArray, FloatArray], FloatArray]
"""Relative uptake from the share of the way from apex to base (0 to 1) and the angle in degrees."""

RADIUS_MM, LENGTH_MM, HALF_WALL_MM, BASE_MM = 27.0, 52.0, 5.0, -32.0
APEX_SHIFT_MM = -6.0
FRAME = CardiacFrame(np.array([38.0, -42.0, 12.0]), np.array([0.42, -0.80, -0.43]))


def even(share: FloatArray, angle_deg: FloatArray) -> FloatArray:
    return np.ones(np.broadcast_shapes(share.shape, angle_deg.shape))


@cache
def cold_spot(angle_deg: float, *, low: float = 0.15, high: float = 0.75, depth: float = 0.6) -> Uptake:
    """Uptake with a defect about an angle, between two levels on the way from apex to base."""

    def uptake(share: FloatArray, angle: FloatArray) -> FloatArray:
        away = np.abs((angle - angle_deg + 180) % 360 - 180)
        inside = np.exp(-((away / 38) ** 4)) * np.exp(-((np.abs(share - (low + high) / 2) / ((high - low) / 2)) ** 4))
        result: FloatArray = 1 - depth * inside
        return result

    return uptake


@cache
def hot_spot(angle_deg: float) -> Uptake:
    """One hot region on the middle of a wall; the rest is at half."""
    cold = cold_spot(angle_deg, low=0.35, high=0.75, depth=0.5)

    def uptake(share: FloatArray, angle: FloatArray) -> FloatArray:
        return 1.5 - cold(share, angle)

    return uptake


def surfaces_of(*, scale: float = 1.0, half_wall_mm: float = HALF_WALL_MM) -> Surfaces:
    """Endo- and epicardium of the half ellipsoid; ``scale`` shrinks the cavity (a later gate)."""
    edges = np.linspace(0, 1, 41)
    theta = np.radians(np.arange(72) * 5.0)

    def nodes(offset_mm: float) -> FloatArray:
        radius, length = RADIUS_MM * scale + offset_mm, LENGTH_MM * (0.5 + 0.5 * scale) + offset_mm
        end = np.arccos((BASE_MM - APEX_SHIFT_MM) / length)
        fine = np.linspace(0, end, 2001)
        step = np.hypot(radius * np.cos(fine), length * np.sin(fine))
        arc = np.concatenate([[0], np.cumsum((step[1:] + step[:-1]) / 2)])
        phi = np.interp(edges * arc[-1], arc, fine)[:, None]
        heart = np.stack(
            np.broadcast_arrays(
                radius * np.sin(phi) * np.cos(theta), radius * np.sin(phi) * np.sin(theta), length * np.cos(phi)
            ),
            axis=-1,
        )
        return FRAME.to_patient(heart + np.array([0, 0, APEX_SHIFT_MM]))

    base = FRAME.to_patient((0, 0, BASE_MM))
    return Surfaces(nodes(-half_wall_mm), nodes(half_wall_mm), FRAME, base, -FRAME.long_axis, ("formula",))


def polar_map_of(surfaces: Surfaces, uptake: Uptake, *, counts: float = 800.0) -> PolarMap:
    share = ((np.arange(40) + 0.5) / 40)[:, None]
    angle = ((np.arange(72) + 0.5) * 5.0)[None, :]
    mid, endo = FRAME.to_heart(surfaces.mid_mm), FRAME.to_heart(surfaces.endo_mm)
    height = (mid[:-1, :, 2] + mid[1:, :, 2]) / 2
    cavity_end = endo[0, 0, 2]
    along = np.clip((cavity_end - height) / (cavity_end - BASE_MM), 0, 1)
    apex = height > cavity_end
    return PolarMap(
        counts * uptake(share, angle),
        "counts",
        segment_number(along, angle, apex=apex),
        segment_number(along, angle, apex=apex, model=20),
        surfaces.cell_area_mm2(),
        "formula",
    )


def image_of(uptake: Uptake, grid: Grid, *, scale: float = 1.0, hot_liver: bool = False, seed: int = 0) -> FloatArray:
    """Counts of the wall on a transaxial grid, blurred to 11 mm, with background, liver and Poisson-like noise."""
    rng = np.random.default_rng(seed)
    heart = FRAME.to_heart(grid.points_mm())
    z = heart[..., 2] - APEX_SHIFT_MM
    rho = np.hypot(heart[..., 0], heart[..., 1])
    radius, length = RADIUS_MM * scale, LENGTH_MM * (0.5 + 0.5 * scale)
    level = np.hypot(rho / radius, z / length)
    half = HALF_WALL_MM / np.hypot(rho, z) * level * 1.15
    wall = (np.abs(level - 1) < half) & (heart[..., 2] > BASE_MM)
    share = np.clip((length - z) / (length - (BASE_MM - APEX_SHIFT_MM)), 0, 1)
    angle = np.degrees(np.arctan2(heart[..., 1], heart[..., 0])) % 360
    activity = np.where(wall, uptake(share, angle), 0.06 * (np.hypot(rho, z) < 110))
    if hot_liver:
        away = grid.points_mm() - (FRAME.centre_mm + np.array([-70.0, 25.0, -70.0]))
        activity = np.where(np.linalg.norm(away / [60, 45, 40], axis=-1) < 1, 1.6, activity)
    blurred = ndimage.gaussian_filter(activity, 11 / 2.355 / grid.spacing_mm)
    counts: FloatArray = np.clip(1000 * blurred + rng.normal(0, 9, grid.shape), 0, None)
    return counts


@cache
def heart_of(
    uptake: Uptake, *, n_gates: int = 1, hot_liver: bool = False, unseen: bool = False, seed: int = 0
) -> tuple[Volume, HeartResult]:
    """An image and what an analysis of it would find."""
    grid = Grid.axis_aligned((64, 64, 44), spacing_mm=4, centre_mm=FRAME.centre_mm + np.array([-18, 30, 4]))
    scales = 0.86 + 0.14 * np.cos(2 * np.pi * np.arange(n_gates) / n_gates) if n_gates > 1 else np.ones(1)
    walls = [surfaces_of(scale=s, half_wall_mm=HALF_WALL_MM / np.sqrt(s)) for s in scales]
    frames = np.stack(
        [
            image_of(uptake, grid, scale=s, hot_liver=hot_liver, seed=seed + n)
            for n, (w, s) in enumerate(zip(walls, scales, strict=True))
        ]
    )
    gating = Gating(n_gates, rr_ms=850) if n_gates > 1 else None
    axis: Literal["gate"] | None = "gate" if gating else None
    image = Volume(frames if gating else frames[0], grid, "counts", frame_axis=axis, gating=gating)

    stack_grid = FRAME.short_axis_grid((34, 34, 34), spacing_mm=4.0)
    index = np.moveaxis(grid.to_index(stack_grid.points_mm()), -1, 0)
    stack = np.stack([ndimage.map_coordinates(f, index, order=1) for f in frames])
    short_axis = Volume(stack if gating else stack[0], stack_grid, "counts", ("reoriented",), axis, gating)

    wall = (
        walls[0]
        if n_gates == 1
        else Surfaces(
            np.stack([w.endo_mm for w in walls]),
            np.stack([w.epi_mm for w in walls]),
            FRAME,
            walls[0].valve_point_mm,
            walls[0].valve_normal,
            ("formula",),
        )
    )
    heart = FRAME.to_heart(grid.points_mm())
    z, rho = heart[..., 2] - APEX_SHIFT_MM, np.hypot(heart[..., 0], heart[..., 1])
    level = np.hypot(rho / RADIUS_MM, z / LENGTH_MM)
    mask = (np.abs(level - 1) * np.hypot(rho, z) / np.maximum(level, 1e-6) < 9) & (heart[..., 2] > BASE_MM)

    polar_map = polar_map_of(walls[0], uptake)
    if unseen:
        value = np.array(polar_map.value)
        value[34:, 50:58] = np.nan
        polar_map = polar_map.like(value, "part unseen")
    quantities = (
        Quantity("outlined wall volume", 241.3, "mL"),
        Quantity("wall volume", float(np.mean(wall.wall_mL)), "mL"),
        Quantity("wall thickness, median", float(np.median(wall.thickness_mm)), "mm"),
        Quantity("cavity volume, ungated", float(np.max(wall.cavity_mL)), "mL", 70.0, 110.0),
        Quantity("long axis length", 83.0, "mm"),
        Quantity("finder confidence", 0.93, "1"),
        *(
            (
                Quantity("EDV", float(np.max(wall.cavity_mL)), "mL", group="function"),
                Quantity("ESV", float(np.min(wall.cavity_mL)), "mL", group="function"),
                Quantity("EF", 61.0, "%", 56.0, 66.0, group="function"),
                Quantity("thickening, median", 22.0, "%", group="function"),
            )
            if gating
            else tuple(
                Quantity(name, None, unit, reason="the series is not gated", group="function")
                for name, unit in (("EDV", "mL"), ("ESV", "mL"), ("EF", "%"), ("thickening, median", "%"))
            )
        ),
    )
    found = HeartResult(
        frame=FRAME,
        wall=Volume(mask, grid, "mask"),
        surfaces=wall,
        short_axis=short_axis,
        polar_map=polar_map,
        finder="model",
        quantities=quantities,
        agreement={"axis_angle_deg": 2.4, "centre_distance_mm": 1.7, "dice": 0.91},
    )
    return image, found


def series_of(
    name: str,
    image: Volume,
    heart: HeartResult | None,
    *,
    state: Stated = MISSING,
    flags: tuple[Flag, ...] = (),
    not_done: tuple[str, ...] = (),
) -> SeriesResult:
    series = Series(
        name=name,
        kind="RECON GATED TOMO" if image.gating else "RECON TOMO",
        image=image,
        state=state,
        corrected=Stated("no", "header"),
        position=Stated("supine", "header"),
        tracer=Stated("Tc-99m sestamibi", "code"),
        camera=Stated("Discovery NM 530c", "header"),
        series_uid_sha256="ab" * 32,
        sources=(SourceFile("0123456789abcdef" * 4, 494000, "cd" * 32),),
    )
    return SeriesResult(series, heart, flags, not_done, {"find": 0.61, "surfaces": 0.3, "polar_map": 0.02})


def study_of(*results: SeriesResult, flags: tuple[Flag, ...] = (), skipped: tuple[str, ...] = ()) -> StudyResult:
    nameless = tuple(f"The file {sentence.split(' ', 1)[1]}" for sentence in skipped)
    return StudyResult(results, flags, skipped, "myoscope 0.1.0", {"read": 0.2}, nameless)
