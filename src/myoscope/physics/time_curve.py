"""Activity of blood over time as a piecewise-linear curve, and the curve behind frame means.

A dynamic image gives means over frames, a kinetic model wants the activity at every moment. Reading the means as if
they were the values at the middles of the frames rounds off the bolus, whose first pass lasts two or three frames, and
moves flow by some per cent. `TimeCurve.through_means` finds the smoothest piecewise-linear curve whose means over the
frames are the measured ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray, frozen
from myoscope.physics.frames import Frames


@dataclass(frozen=True, eq=False, slots=True)
class TimeCurve:
    """A curve through ``value`` at ``time_min`` (node,), linear between nodes.

    It is 0 before the first node and keeps its last value after the last one. Times rise strictly, in minutes.
    """

    time_min: FloatArray
    value: FloatArray

    def __post_init__(self) -> None:
        time, value = frozen(self.time_min, np.float64), frozen(self.value, np.float64)
        if time.ndim != 1 or time.shape != value.shape or len(time) < 2:
            raise InvalidValue(f"a curve needs at least two times and as many values, got {time.shape}, {value.shape}")
        if not (np.isfinite(time).all() and np.isfinite(value).all()):
            raise InvalidValue("a curve of activity is a number at every time")
        if not (np.diff(time) > 0).all():
            raise InvalidValue("the times of a curve rise from node to node")
        object.__setattr__(self, "time_min", time)
        object.__setattr__(self, "value", value)

    @classmethod
    def through_means(cls, frames: Frames, means: ArrayLike) -> TimeCurve:
        """The smoothest curve whose mean over each frame is the given one, (frame,).

        Nodes lie at the edges and the middle of each frame (long frames have more), the first at 0 min with no
        activity. Of all curves through the means the one with the least bending is taken; it is a fixed matrix times
        the means, and may undershoot a little before a bolus.
        """
        measured = np.asarray(means, np.float64)
        if measured.shape != (len(frames),):
            raise InvalidValue(f"a curve needs one mean per frame, {len(frames)}, got shape {measured.shape}")
        nodes, matrix = _smoothest(tuple(frames.start_min.tolist()), tuple(frames.end_min.tolist()))
        return cls(nodes, matrix @ measured)

    @classmethod
    def through_middles(cls, frames: Frames, means: ArrayLike) -> TimeCurve:
        """The curve that takes frame means for values at the middles of the frames, as most programs do.

        It begins with no activity at the start of the first frame and ends with the last mean.
        """
        measured = np.asarray(means, np.float64)
        time = np.concatenate([[frames.start_min[0]], frames.middle_min, [frames.end_min[-1]]])
        return cls(time, np.concatenate([[0.0], measured, measured[-1:]]))

    def at(self, time_min: ArrayLike) -> FloatArray:
        """The curve at these times, any shape."""
        time = np.asarray(time_min, np.float64)
        read = np.interp(time, self.time_min, self.value)
        values: FloatArray = np.where(time < self.time_min[0], 0.0, read)
        return values

    def integral(self, time_min: ArrayLike) -> FloatArray:
        """Area under the curve from its beginning to these times, value times minutes."""
        time = np.asarray(time_min, np.float64)
        steps = 0.5 * np.diff(self.time_min) * (self.value[1:] + self.value[:-1])
        area = np.concatenate([[0.0], np.cumsum(steps)])
        within = np.clip(time, self.time_min[0], self.time_min[-1])
        left = np.clip(np.searchsorted(self.time_min, within, side="right") - 1, 0, len(area) - 2)
        beyond = np.maximum(time - self.time_min[-1], 0) * self.value[-1]
        reached: FloatArray = (
            area[left] + 0.5 * (within - self.time_min[left]) * (self.value[left] + self.at(within)) + beyond
        )
        return reached

    def frame_means(self, frames: Frames) -> FloatArray:
        """Exact mean over each frame, (frame,)."""
        means: FloatArray = (self.integral(frames.end_min) - self.integral(frames.start_min)) / frames.duration_min
        return means

    def times(self, factor: FloatArray) -> TimeCurve:
        """The curve with each node's value multiplied by a factor, (node,)."""
        return TimeCurve(self.time_min, self.value * factor)

    def delayed(self, by_min: float) -> TimeCurve:
        """The same curve, later by this time."""
        return TimeCurve(self.time_min + by_min, self.value)


# Frames longer than this many minutes get more than one node inside.
_LONGEST_STEP_MIN = 0.5
_SAME_MIN = 1e-4


@lru_cache(maxsize=64)
def _smoothest(start: tuple[float, ...], end: tuple[float, ...]) -> tuple[FloatArray, FloatArray]:
    """Nodes, and the matrix (node, frame) from frame means to values at the nodes."""
    parts = [np.array([0.0, start[0]])] if start[0] > 0 else [np.array([0.0])]
    for a, b in zip(start, end, strict=True):
        n = 2 * max(1, int(np.ceil((b - a) / (2 * _LONGEST_STEP_MIN) - 1e-9)))
        parts.append(np.linspace(a, b, n + 1))
    nodes = np.unique(np.concatenate(parts))
    nodes = nodes[np.concatenate([[True], np.diff(nodes) > _SAME_MIN])]
    mean = np.array([_mean_weights(nodes, a, b) for a, b in zip(start, end, strict=True)])  # (frame, node)
    fixed = np.zeros((1, len(nodes)))
    fixed[0, 0] = 1.0  # nothing is there at the injection
    constraint = np.concatenate([fixed, mean])
    target = np.concatenate([np.zeros((1, len(start))), np.eye(len(start))])
    step = np.diff(nodes)
    bend = np.zeros((len(nodes) - 2, len(nodes)))
    for n in range(len(nodes) - 2):
        width = np.sqrt(0.5 * (step[n] + step[n + 1]))
        bend[n, n] = 1 / step[n] / width
        bend[n, n + 2] = 1 / step[n + 1] / width
        bend[n, n + 1] = -bend[n, n] - bend[n, n + 2]
    # Least bending under exact means: the optimality conditions are linear.
    k = len(constraint)
    system = np.zeros((len(nodes) + k, len(nodes) + k))
    system[: len(nodes), : len(nodes)] = bend.T @ bend
    system[: len(nodes), len(nodes) :] = constraint.T
    system[len(nodes) :, : len(nodes)] = constraint
    right = np.concatenate([np.zeros((len(nodes), len(start))), target])
    matrix = np.linalg.solve(system, right)[: len(nodes)]
    return frozen(nodes, np.float64), frozen(matrix, np.float64)


def _mean_weights(nodes: FloatArray, start: float, end: float) -> FloatArray:
    """What each node adds to the mean over an interval whose edges are nodes."""
    weight = np.zeros(len(nodes))
    inside = np.flatnonzero((nodes[:-1] > start - 0.5 * _SAME_MIN) & (nodes[1:] < end + 0.5 * _SAME_MIN))
    for n in inside:
        half = 0.5 * (nodes[n + 1] - nodes[n])
        weight[n] += half
        weight[n + 1] += half
    shares: FloatArray = weight / weight.sum()
    return shares
