"""Images with a place and a unit: reconstructed volumes and projection sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from myoscope.core.errors import InvalidValue
from myoscope.core.geometry import FloatArray, Grid, frozen

FrameAxis = Literal["gate", "time"]


@dataclass(frozen=True, slots=True)
class Gating:
    """How the cardiac cycle was cut into gates.

    Missing values are None, never zero. ``rr_ms`` is the nominal R-R interval; ``accepted_beats`` and
    ``rejected_beats`` count heart beats; the window is in ms.
    """

    n_gates: int
    rr_ms: float | None = None
    rr_low_ms: float | None = None
    rr_high_ms: float | None = None
    accepted_beats: int | None = None
    rejected_beats: int | None = None

    def __post_init__(self) -> None:
        if self.n_gates < 2:
            raise InvalidValue(f"a gated study has at least 2 gates, got {self.n_gates}")
        if self.rr_ms is not None and not 200 <= self.rr_ms <= 3000:
            raise InvalidValue(f"an R-R interval of {self.rr_ms:g} ms is not a heart beat (expected 200 to 3000 ms)")


@dataclass(frozen=True, eq=False, slots=True)
class Volume:
    """A reconstructed image: voxels on a ``Grid``, in a unit, with how it was made.

    ``array`` has shape (i, j, k), or (frame, i, j, k) when ``frame_axis`` says that frames are gates or
    points in time; its dtype is kept. ``frame_start_s`` and ``frame_duration_s`` belong to time frames.
    ``made_by`` lists the steps that made it, oldest first.
    """

    array: NDArray[Any]
    grid: Grid
    unit: str
    made_by: tuple[str, ...] = ()
    frame_axis: FrameAxis | None = None
    gating: Gating | None = None
    frame_start_s: FloatArray | None = None
    frame_duration_s: FloatArray | None = None

    def __post_init__(self) -> None:
        array = frozen(self.array)
        if not (np.issubdtype(array.dtype, np.number) or array.dtype == bool):
            raise InvalidValue(f"voxels must be numbers, got {array.dtype}")
        if not self.unit:
            raise InvalidValue("a volume carries a unit, such as counts, Bq/mL or 1/cm")
        if array.shape[-3:] != self.grid.shape or array.ndim != 3 + (self.frame_axis is not None):
            raise InvalidValue(
                f"an array of shape {array.shape} does not fit a grid of {self.grid.shape}"
                + (f" with a {self.frame_axis} axis in front" if self.frame_axis else "")
            )
        if self.gating is not None and (self.frame_axis != "gate" or self.gating.n_gates != array.shape[0]):
            raise InvalidValue(f"gating says {self.gating.n_gates} gates, the array has shape {array.shape}")
        for name in ("frame_start_s", "frame_duration_s"):
            times = getattr(self, name)
            if times is not None:
                times = frozen(times, np.float64)
                if self.frame_axis != "time" or times.shape != (array.shape[0],):
                    raise InvalidValue(f"{name} needs one value per time frame")
                object.__setattr__(self, name, times)
        object.__setattr__(self, "array", array)
        object.__setattr__(self, "made_by", tuple(self.made_by))

    @property
    def n_frames(self) -> int:
        return 1 if self.frame_axis is None else int(self.array.shape[0])

    def frame(self, index: int) -> Volume:
        """One gate or time frame as a volume of its own."""
        if self.frame_axis is None:
            raise InvalidValue("an ungated, static volume has no frames to choose from")
        return Volume(self.array[index], self.grid, self.unit, (*self.made_by, f"{self.frame_axis} {index}"))

    def summed(self) -> Volume:
        """All frames added up (float64): the ungated image of a gated study."""
        if self.frame_axis is None:
            return self
        total = self.array.sum(axis=0, dtype=np.float64)
        return Volume(total, self.grid, self.unit, (*self.made_by, f"sum of {self.n_frames} {self.frame_axis}s"))

    def like(self, array: ArrayLike, step: str, *, unit: str | None = None) -> Volume:
        """The same place and frames with other voxels; ``step`` says what was done."""
        return Volume(
            np.asarray(array),
            self.grid,
            unit or self.unit,
            (*self.made_by, step),
            self.frame_axis,
            self.gating,
            self.frame_start_s,
            self.frame_duration_s,
        )

    def __repr__(self) -> str:
        frames = f"{self.n_frames} {self.frame_axis}s, " if self.frame_axis else ""
        values = self.array[np.isfinite(self.array)] if self.array.dtype.kind == "f" else self.array
        span = f"{values.min():.4g} to {values.max():.4g}" if values.size else "no finite value"
        return f"Volume({frames}{self.array.dtype}, {span} {self.unit}, {self.grid!r})"


@dataclass(frozen=True, eq=False, slots=True)
class EnergyWindow:
    """One energy window in keV."""

    name: str
    lower_keV: float
    upper_keV: float

    def __post_init__(self) -> None:
        if not 0 <= self.lower_keV < self.upper_keV:
            raise InvalidValue(f"energy window {self.lower_keV:g} to {self.upper_keV:g} keV is empty or negative")


@dataclass(frozen=True, eq=False, slots=True)
class Projections:
    """Counts as the detector saw them, view by view.

    ``counts`` has shape (window, gate, view, v, u): v runs towards the patient's feet (detector rows), u
    along detector columns as stored; an ungated set has one gate. ``angle_deg`` is the detector position of
    each view as DICOM counts it (0 = detector at the patient's back, 90 = at the left, 180 = in front, 270 = at
    the right; an arc over 0 goes on beyond 360); ``radius_mm`` the distance of the collimator face from the
    axis, NaN where unknown; ``view_duration_s`` likewise; ``patient_position`` the DICOM term, such as HFS.
    """

    counts: NDArray[Any]
    angle_deg: FloatArray
    radius_mm: FloatArray
    pixel_mm: tuple[float, float]
    windows: tuple[EnergyWindow, ...]
    view_duration_s: FloatArray
    patient_position: str | None = None
    collimator: str | None = None
    gating: Gating | None = None
    made_by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        counts = frozen(self.counts)
        if counts.ndim != 5:
            raise InvalidValue(f"projections have axes (window, gate, view, v, u), got shape {counts.shape}")
        n_windows, n_gates, n_views = counts.shape[:3]
        for name in ("angle_deg", "radius_mm", "view_duration_s"):
            value = frozen(getattr(self, name), np.float64)
            if value.shape != (n_views,):
                raise InvalidValue(f"{name} needs one value for each of the {n_views} views, got {value.shape}")
            object.__setattr__(self, name, value)
        if len(self.windows) != n_windows:
            raise InvalidValue(f"{n_windows} energy windows of counts but {len(self.windows)} described")
        if (self.gating.n_gates if self.gating else 1) != n_gates:
            raise InvalidValue(f"the counts hold {n_gates} gates, the gating information says otherwise")
        if min(self.pixel_mm) <= 0:
            raise InvalidValue(f"pixel size {self.pixel_mm} mm is not positive")
        object.__setattr__(self, "counts", counts)
        object.__setattr__(self, "windows", tuple(self.windows))
        object.__setattr__(self, "made_by", tuple(self.made_by))

    @property
    def n_views(self) -> int:
        return int(self.counts.shape[2])

    def __repr__(self) -> str:
        windows, gates, views, rows, columns = self.counts.shape
        arc = float(np.ptp(self.angle_deg)) if views > 1 else 0.0
        return (
            f"Projections({windows} windows x {gates} gates x {views} views of {columns} x {rows} pixels "
            f"of {self.pixel_mm[0]:.4g} mm, {arc:.4g} deg, {float(self.counts.sum()):.4g} counts)"
        )
