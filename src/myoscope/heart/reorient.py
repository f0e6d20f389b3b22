"""From the scanner's axes to the heart's: short-axis, vertical and horizontal long-axis views.

One interpolation from the image as read to the view, never two in a row. Orientation of the views: the
nuclear-cardiology display standard (Circulation 1990;82:1540, ACC/AHA/SNM): short axis apex to base with
anterior up and septum left, vertical long axis with the apex right, horizontal long axis with the apex up.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from myoscope.core import CardiacFrame, Grid, InvalidValue, Volume

View = Literal["short_axis", "vertical_long_axis", "horizontal_long_axis"]
Interpolation = Literal["trilinear", "cubic"]

# Half the extent shown along the long axis: the longest hearts, with room beyond apex and base.
_HALF_EXTENT_MM = 80.0


def view_grid(frame: CardiacFrame, view: View, *, spacing_mm: float, shape: tuple[int, int, int] | None = None) -> Grid:
    """The lattice of a standard view, centred on the ventricle; columns, rows and slices in display order.

    | view | columns run to | rows run to | slices run |
    |---|---|---|---|
    | short axis | lateral | inferior | apex to base |
    | vertical long axis | apex | inferior | septal to lateral |
    | horizontal long axis | lateral | base | inferior to anterior |

    ``shape`` counts columns, rows and slices; without it 64 x 64 and enough slices for 160 mm.

    Raises
    ------
    InvalidValue
        For another view, or a spacing that is not positive.
    """
    if not spacing_mm > 0:
        raise InvalidValue(f"a view needs a positive spacing in mm, got {spacing_mm}")
    if shape is None:
        shape = (64, 64, 2 * int(np.ceil(_HALF_EXTENT_MM / spacing_mm)))
    if view == "short_axis":
        return frame.short_axis_grid(shape, spacing_mm=spacing_mm)
    if view == "vertical_long_axis":
        axes = np.stack([frame.long_axis, -frame.up, frame.lateral], axis=1)
    elif view == "horizontal_long_axis":
        axes = np.stack([frame.lateral, -frame.long_axis, frame.up], axis=1)
    else:
        raise InvalidValue(f"a view is short_axis, vertical_long_axis or horizontal_long_axis, not {view!r}")
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing_mm
    affine[:3, 3] = frame.centre_mm - affine[:3, :3] @ ((np.asarray(shape, float) - 1) / 2)
    return Grid(shape, affine)


def reorient(
    volume: Volume,
    frame: CardiacFrame,
    *,
    view: View = "short_axis",
    spacing_mm: float | None = None,
    shape: tuple[int, int, int] | None = None,
    interpolation: Interpolation = "trilinear",
    outside: float = 0.0,
) -> Volume:
    """The image as the heart stands: a stack of standard slices, float32, gated images gate by gate.

    ``spacing_mm`` is the smallest voxel side of the input unless given. Places outside the input's field of
    view hold ``outside`` (0, or NaN to tell them apart). Values between voxels are trilinear or a cubic
    B-spline through the voxels; the spline resolves more and may undershoot beside hot structures.

    Raises
    ------
    InvalidValue
        If the image holds values that are not finite: they would spread.
    """
    if not np.isfinite(volume.array).all():
        raise InvalidValue("an image with values that are not finite cannot be reoriented: they would spread")
    spacing = float(volume.grid.spacing_mm.min()) if spacing_mm is None else spacing_mm
    grid = view_grid(frame, view, spacing_mm=spacing, shape=shape)
    step = f"{view.replace('_', ' ')}, {interpolation}, {spacing:.3g} mm"
    return resample(volume, grid, interpolation=interpolation, outside=outside, step=step)


def resample(
    volume: Volume, grid: Grid, *, interpolation: Interpolation = "trilinear", outside: float = 0.0, step: str
) -> Volume:
    """The image read at another grid's voxel centres, in one interpolation; float32."""
    from scipy.ndimage import map_coordinates

    if interpolation not in ("trilinear", "cubic"):
        raise InvalidValue(f"interpolation is trilinear or cubic, not {interpolation!r}")
    order = 1 if interpolation == "trilinear" else 3
    index = volume.grid.to_index(grid.points_mm())
    # A voxel fills half its side around its centre: within that the edge voxel's value stands.
    inside = ((index >= -0.5) & (index <= np.asarray(volume.grid.shape) - 0.5)).all(axis=-1)
    coordinates = np.moveaxis(index, -1, 0)
    frames = volume.array if volume.frame_axis else volume.array[None]
    views = [
        np.where(inside, map_coordinates(frame.astype(np.float32), coordinates, order=order, mode="nearest"), outside)
        for frame in frames
    ]
    array = np.stack(views).astype(np.float32)
    return Volume(
        array if volume.frame_axis else array[0],
        grid,
        volume.unit,
        (*volume.made_by, step),
        volume.frame_axis,
        volume.gating,
        volume.frame_start_s,
        volume.frame_duration_s,
    )
