"""When each image of a dynamic series was taken."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from myoscope.core import InvalidValue, Volume
from myoscope.core.geometry import FloatArray, frozen

SECONDS_PER_MIN = 60.0
_OVERLAP_MIN = 1e-3 / SECONDS_PER_MIN  # file times are whole milliseconds


@dataclass(frozen=True, eq=False, slots=True)
class Frames:
    """Start and end of every frame in minutes from the start of the study, each (frame,), in order.

    Frames may leave gaps but do not overlap. What a scanner stores for a frame is the mean of the activity over it;
    a model that is compared with it must be averaged over the frame as well and not read at its middle.
    """

    start_min: FloatArray
    end_min: FloatArray

    def __post_init__(self) -> None:
        start, end = frozen(self.start_min, np.float64), frozen(self.end_min, np.float64)
        if start.ndim != 1 or start.shape != end.shape or not len(start):
            raise InvalidValue(f"frames have one start and one end each, got shapes {start.shape} and {end.shape}")
        if not (np.isfinite(start).all() and np.isfinite(end).all()):
            raise InvalidValue("every frame has a start and an end")
        if not (end > start).all():
            raise InvalidValue(f"frame {int(np.argmin(end > start)) + 1} lasts no time")
        late = start[1:] < end[:-1] - _OVERLAP_MIN
        if late.any():
            n = int(np.argmax(late))
            raise InvalidValue(f"frame {n + 2} begins at {start[n + 1]:.4g} min, before frame {n + 1} has ended")
        object.__setattr__(self, "start_min", start)
        object.__setattr__(self, "end_min", end)

    @classmethod
    def lasting(cls, duration_s: ArrayLike, *, start_s: float = 0.0) -> Frames:
        """Frames of these durations in seconds, each beginning when the one before ends."""
        edges = start_s + np.concatenate([[0.0], np.cumsum(np.asarray(duration_s, float))])
        return cls(edges[:-1] / SECONDS_PER_MIN, edges[1:] / SECONDS_PER_MIN)

    @classmethod
    def of(cls, volume: Volume) -> Frames:
        """The frames of a dynamic image.

        Raises
        ------
        InvalidValue
            If the image has no time frames, or does not say when they were.
        """
        if volume.frame_axis != "time" or volume.frame_start_s is None or volume.frame_duration_s is None:
            raise InvalidValue("a dynamic image has time frames with a start and a duration each; this one has not")
        start = volume.frame_start_s / SECONDS_PER_MIN
        return cls(start, start + volume.frame_duration_s / SECONDS_PER_MIN)

    def __len__(self) -> int:
        return len(self.start_min)

    @property
    def duration_min(self) -> FloatArray:
        return self.end_min - self.start_min

    @property
    def middle_min(self) -> FloatArray:
        return 0.5 * (self.start_min + self.end_min)

    @property
    def start_s(self) -> FloatArray:
        return self.start_min * SECONDS_PER_MIN

    @property
    def duration_s(self) -> FloatArray:
        return self.duration_min * SECONDS_PER_MIN

    def first(self, n: int) -> Frames:
        """The first ``n`` frames."""
        return Frames(self.start_min[:n], self.end_min[:n])

    def __repr__(self) -> str:
        return f"Frames({len(self)}, {self.start_min[0]:.4g} to {self.end_min[-1]:.4g} min)"
