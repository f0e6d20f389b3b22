"""The picture panels of the page, each as one sheet per row with its contours as vector lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from myoscope.core import HeartResult, SeriesResult, Surfaces
from myoscope.report.indexed_png import data_url, encode_png, to_levels
from myoscope.report.pairing import Comparison, state_label
from myoscope.report.view_slices import (
    EDGE_LABELS,
    Framing,
    HeartBox,
    View,
    cut_slices,
    display_maximum,
    frame_together,
    heart_box,
    slice_contours,
    slice_depths_mm,
)

FloatArray = NDArray[np.float64]

N_COLUMNS = 10
N_SHORT_AXIS = 2 * N_COLUMNS
N_LONG_AXIS = N_COLUMNS // 2
SLICE_PIXELS = 112
UNIT = 100.0
"""Width of one slice in the units of the vector drawing."""

VIEW_NAMES: dict[View, str] = {
    "SA": "short axis from apex to base",
    "VLA": "vertical long axis from septal to lateral",
    "HLA": "horizontal long axis from inferior to anterior",
}


@dataclass(frozen=True, slots=True)
class EdgeLabel:
    text: str
    x: float
    y: float
    anchor: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """Lines over one sheet: SVG paths."""

    endo: str
    epi: str
    valve: str
    edges: tuple[EdgeLabel, ...] = ()


@dataclass(frozen=True, slots=True)
class PictureRow:
    """Ten slices side by side."""

    label: str
    state: str
    picture: str
    alt: str
    drawing: Drawing
    n_columns: int = N_COLUMNS


@dataclass(frozen=True, slots=True)
class Band:
    """Rows under one heading: stress above rest."""

    headings: tuple[str, ...]
    rows: tuple[PictureRow, ...]


@dataclass(frozen=True, slots=True)
class CineRow:
    """Five views through the cardiac cycle: gates below each other in one sheet, and end-systole as a still."""

    label: str
    state: str
    n_gates: int
    ed_gate: int
    es_gate: int
    sheet: str
    drawings: tuple[Drawing, ...]
    still: str
    still_drawing: Drawing
    alt: str
    still_alt: str
    n_columns: int = N_LONG_AXIS


@dataclass(frozen=True, slots=True)
class ImagePanel:
    """Everything in the dark panel of one comparison."""

    bands: tuple[Band, ...]
    cine: tuple[CineRow, ...]
    short_axis_step_mm: float


def image_panel(comparison: Comparison, palette: NDArray[np.uint8]) -> ImagePanel:
    """The slices of one comparison, all at one scale, each series scaled to its own maximum in the wall."""
    hearts = [_heart(r) for r in comparison.members]
    boxes = [heart_box(h) for h in hearts]
    framing = frame_together(boxes, n_short_axis=N_SHORT_AXIS, n_long_axis=N_LONG_AXIS)
    short: list[list[PictureRow]] = [[], []]
    long: list[PictureRow] = []
    cine = []
    for result, heart, box in zip(comparison.members, hearts, boxes, strict=True):
        surfaces = mean_surfaces(heart.surfaces)
        stack = np.asarray(heart.short_axis.summed().array, float)
        percent = stack * (100 / display_maximum(heart, stack))
        label, state = state_label(result), result.series.state.value or "image"

        depths = slice_depths_mm("SA", box, framing, N_SHORT_AXIS)
        slices, contours = _view(heart, surfaces, percent, "SA", depths, box, framing)
        for half in (0, 1):
            part = slice(half * N_COLUMNS, (half + 1) * N_COLUMNS)
            alt = f"{label}: {VIEW_NAMES['SA']}, slices {part.start + 1} to {part.stop} of {N_SHORT_AXIS}"
            short[half].append(
                PictureRow(
                    label,
                    state,
                    _sheet(slices[part], palette),
                    alt,
                    _drawing(contours[part], edges={} if half else {0: "SA"}),
                )
            )

        both, lines = [], []
        for view in ("VLA", "HLA"):
            depths = slice_depths_mm(view, box, framing, N_LONG_AXIS)
            slices, contours = _view(heart, surfaces, percent, view, depths, box, framing)
            both.append(slices)
            lines += contours
        alt = f"{label}: {VIEW_NAMES['VLA']}, then {VIEW_NAMES['HLA']}, {N_LONG_AXIS} slices each"
        drawing = _drawing(lines, edges={0: "VLA", N_LONG_AXIS: "HLA"})
        long.append(PictureRow(label, state, _sheet(np.concatenate(both), palette), alt, drawing))

        if heart.short_axis.frame_axis == "gate":
            cine.append(_cine(result, heart, box, framing, palette))

    bands = (
        Band(("Short axis · apex → mid",), tuple(short[0])),
        Band(("Short axis · mid → base",), tuple(short[1])),
        Band(("Vertical long axis · septal → lateral", "Horizontal long axis · inferior → anterior"), tuple(long)),
    )
    return ImagePanel(bands, tuple(cine), framing.sa_step_mm)


def mean_surfaces(surfaces: Surfaces) -> Surfaces:
    """The wall averaged over the gates: what the summed image shows."""
    if surfaces.endo_mm.ndim == 3:
        return surfaces
    return Surfaces(
        surfaces.endo_mm.mean(axis=0),
        surfaces.epi_mm.mean(axis=0),
        surfaces.frame,
        surfaces.valve_point_mm,
        surfaces.valve_normal,
        (*surfaces.made_by, "mean over gates"),
    )


def _heart(result: SeriesResult) -> HeartResult:
    assert result.heart is not None  # comparisons hold series with a heart only
    return result.heart


def _view(
    heart: HeartResult,
    surfaces: Surfaces,
    percent: FloatArray,
    view: View,
    depths: FloatArray,
    box: HeartBox,
    framing: Framing,
    n_pixels: int = SLICE_PIXELS,
) -> tuple[FloatArray, list[dict[str, list[FloatArray]]]]:
    half_mm = framing.half_mm(view)
    slices = cut_slices(
        heart, percent, view, depths_mm=depths, middle_mm=box.middle, half_mm=half_mm, n_pixels=n_pixels
    )
    contours = slice_contours(heart, surfaces, view, depths_mm=depths, middle_mm=box.middle, half_mm=half_mm)
    scale = UNIT / (2 * half_mm)
    return slices, [{name: [line * scale for line in lines] for name, lines in c.items()} for c in contours]


def _sheet(slices: FloatArray, palette: NDArray[np.uint8]) -> str:
    return data_url(encode_png(to_levels(np.hstack(list(slices))), palette))


def _drawing(contours: Sequence[dict[str, list[FloatArray]]], *, edges: dict[int, View]) -> Drawing:
    parts: dict[str, list[str]] = {"endo": [], "epi": [], "valve": []}
    for n, contour in enumerate(contours):
        shift = np.array([n * UNIT, 0.0])
        for name in ("endo", "epi"):
            parts[name] += [_path(line + shift) for line in contour[name]]
        open_lines = [line for line in contour["epi"] if not np.array_equal(line[0], line[-1])]
        parts["valve"] += [_path(line[[0, -1]] + shift) for line in open_lines]
    labels = tuple(label for column, view in edges.items() for label in _edge_labels(column, view))
    return Drawing("".join(parts["endo"]), "".join(parts["epi"]), "".join(parts["valve"]), labels)


def _path(line: FloatArray) -> str:
    closed = len(line) > 2 and np.array_equal(line[0], line[-1])
    points = " ".join(f"{x:.1f} {y:.1f}" for x, y in (line[:-1] if closed else line).tolist())
    return f"M{points}" + ("Z" if closed else "")


def _edge_labels(column: int, view: View) -> tuple[EdgeLabel, ...]:
    top, bottom, left, right = EDGE_LABELS[view]
    x = column * UNIT
    return (
        EdgeLabel(top, x + UNIT / 2, 10.5, "middle"),
        EdgeLabel(bottom, x + UNIT / 2, 96.5, "middle"),
        EdgeLabel(left, x + 3, 53.5, "start"),
        EdgeLabel(right, x + UNIT - 3, 53.5, "end"),
    )


def _cine(
    result: SeriesResult, heart: HeartResult, box: HeartBox, framing: Framing, palette: NDArray[np.uint8]
) -> CineRow:
    """Three short-axis levels and the middle of both long axes in every gate, on one scale over all gates."""
    stack = np.asarray(heart.short_axis.array, float)
    n_gates = stack.shape[0]
    percent = stack * (100 / display_maximum(heart, stack))
    gated = heart.surfaces if heart.surfaces.endo_mm.ndim == 4 and heart.surfaces.n_gates == n_gates else None
    levels = box.high[2] - np.array([0.25, 0.5, 0.75]) * box.size[2]
    depths: dict[View, FloatArray] = {"SA": levels, "VLA": box.middle[[0]], "HLA": box.middle[[1]]}

    frames, drawings = [], []
    for gate in range(n_gates):
        surfaces = mean_surfaces(heart.surfaces) if gated is None else gated.gate(gate)
        slices, lines = [], []
        for view, at in depths.items():
            picture, contours = _view(heart, surfaces, percent[gate], view, at, box, framing, n_pixels=88)
            slices.append(picture)
            lines += contours
        frames.append(np.hstack(list(np.concatenate(slices))))
        drawings.append(_drawing(lines, edges={0: "SA", 3: "VLA", 4: "HLA"}))
    if gated is None:
        ed, es = 0, n_gates // 3
    else:
        ed, es = int(np.argmax(gated.cavity_mL)), int(np.argmin(gated.cavity_mL))
    label = state_label(result)
    views = "apical, mid and basal short axis, vertical and horizontal long axis"
    return CineRow(
        label=label,
        state=result.series.state.value or "image",
        n_gates=n_gates,
        ed_gate=ed,
        es_gate=es,
        sheet=data_url(encode_png(to_levels(np.vstack(frames)), palette)),
        drawings=tuple(drawings),
        still=data_url(encode_png(to_levels(frames[es]), palette)),
        still_drawing=drawings[es],
        alt=f"{label}, gated: {views}, starting at end-diastole (gate {ed + 1} of {n_gates})",
        still_alt=f"{label}, gated: {views} at end-systole (gate {es + 1} of {n_gates})",
    )
