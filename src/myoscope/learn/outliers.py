"""Whether an input looks like those a network was taught on; if not, it should say nothing.

Training inputs are described by their mean and their main directions of variation (principal components). A new input
is strange if it lies far out along these directions, or off all of them (Q and T2 statistics of Jackson and Mudholkar,
Technometrics 1979;21:341): one cut through a failed contour has structure that no training map has. A map whose sides
were exchanged has not; it is told by `wrong_turns`. How strange is too strange is set on validation patients, who did
not shape the directions.

numpy only: it runs wherever the exported network runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.learn.wrong_turns import tell_turned

_EXPLAINED = 0.9
_MOST_DIRECTIONS = 60
_MAP_AXES = 4
# Both ways of being strange are brought to one scale: half of the validation inputs lie below 1, and as many below this
# quantile of the one as of the other.
_RARE = 0.99


@dataclass(frozen=True, eq=False, slots=True)
class InputDescription:
    """Mean (feature,), directions (direction, feature) and their variances of training inputs, and what is left over.

    ``turned`` (turn, feature) and ``turned_offset`` (turn,) give how likely an input is turned or mirrored, none where
    inputs are no maps. ``reference`` (k,) are the sorted strangenesses of validation inputs.
    """

    mean: FloatArray
    directions: FloatArray
    variance: FloatArray
    residual_variance: float
    turned: FloatArray
    turned_offset: FloatArray
    reference: FloatArray

    def strangeness(self, inputs: ArrayLike) -> FloatArray:
        """How unlike the training inputs each input (n, ...) is; 1 is usual. What is missing counts as the mean."""
        x = self._deviation(inputs)
        turned = (x @ self.turned.T + self.turned_offset).max(axis=1, initial=0.0)
        strange: FloatArray = np.maximum(self._unlike(x), turned)
        return strange

    def _deviation(self, inputs: ArrayLike) -> FloatArray:
        x = _flat(inputs, self.mean.size) - self.mean
        deviation: FloatArray = np.where(np.isfinite(x), x, 0.0)
        return deviation

    def _unlike(self, x: FloatArray) -> FloatArray:
        """Distance along the directions of variation and off them, for deviations from the mean (n, feature)."""
        along = x @ self.directions.T
        off = (x**2).sum(axis=1) - (along**2).sum(axis=1)
        n_off = max(self.mean.size - len(self.variance), 1)
        within = (along**2 / self.variance).mean(axis=1)
        strange: FloatArray = 0.5 * (within + np.maximum(off, 0) / (n_off * self.residual_variance))
        return strange

    def rank(self, inputs: ArrayLike) -> FloatArray:
        """Share of validation inputs (n,) that were less strange; near 1 is unheard of."""
        found: FloatArray = np.searchsorted(self.reference, self.strangeness(inputs)) / self.reference.size
        return found

    def limit(self, level: float) -> float:
        """Strangeness that a share ``level`` of the validation inputs stays below."""
        return float(np.quantile(self.reference, level))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """As plain arrays, for storing (16-bit where it does not matter)."""
        return {
            "mean": self.mean.astype(np.float32),
            "directions": self.directions.astype(np.float16),
            "variance": self.variance.astype(np.float32),
            "residual_variance": np.array([self.residual_variance], np.float32),
            "turned": self.turned.astype(np.float32),
            "turned_offset": self.turned_offset.astype(np.float32),
            "reference": self.reference.astype(np.float32),
        }

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> InputDescription:
        """From what ``arrays`` gave.

        Raises
        ------
        InvalidValue
            Some of it is missing, as in models of earlier versions.
        """
        missing = {field.name for field in fields(cls)} - set(arrays)
        if missing:
            raise InvalidValue(
                f"the description of a model's usual inputs lacks {', '.join(sorted(missing))}: it was written by an "
                "earlier version; train the model again"
            )
        as_numbers = {name: np.asarray(value, np.float64) for name, value in arrays.items()}
        return cls(
            as_numbers["mean"],
            as_numbers["directions"],
            as_numbers["variance"],
            float(as_numbers["residual_variance"][0]),
            as_numbers["turned"],
            as_numbers["turned_offset"],
            as_numbers["reference"],
        )


def describe_inputs(training: ArrayLike, validation: ArrayLike) -> InputDescription:
    """Describe training inputs (n, ...), scaled as the network sees them; NaN where something is missing.

    Inputs (n, channel, ring, angle) are polar maps, of which it is learned as well how they look when turned.

    Raises
    ------
    InvalidValue
        Fewer than 3 training or 2 validation inputs.
    """
    x = np.asarray(training, np.float64)
    n = len(x)
    if n < 3 or len(np.asarray(validation)) < 2:
        raise InvalidValue("usual inputs are known from at least 3 training and 2 validation studies")
    x = x.reshape(n, -1)
    seen = np.isfinite(x)
    total = np.where(seen, x, 0.0).sum(axis=0)
    mean = total / np.maximum(seen.sum(axis=0), 1)
    centred = np.where(seen, x - mean, 0.0)
    # The smaller of the two matrices of products has the same spectrum.
    small = centred @ centred.T / n if n < centred.shape[1] else centred.T @ centred / n
    variance, vectors = np.linalg.eigh(small)
    variance, vectors = np.maximum(variance[::-1], 0), vectors[:, ::-1]
    share = np.cumsum(variance) / max(variance.sum(), 1e-300)
    k = min(int(np.searchsorted(share, _EXPLAINED)) + 1, _MOST_DIRECTIONS, n - 2)
    if n < centred.shape[1]:
        directions = (centred.T @ vectors[:, :k]).T / np.sqrt(n * np.maximum(variance[:k], 1e-300))[:, None]
    else:
        directions = vectors[:, :k].T
    rest = float(variance[k:].sum() / max(centred.shape[1] - k, 1))
    described = InputDescription(
        mean,
        directions,
        np.maximum(variance[:k], 1e-12),
        max(rest, 1e-12),
        np.zeros((0, mean.size)),
        np.zeros(0),
        np.zeros(1),
    )
    if np.ndim(training) == _MAP_AXES:
        described = _with_turns(described, centred.reshape(np.shape(training)), validation)
    return replace(described, reference=np.sort(described.strangeness(validation)))


def _with_turns(described: InputDescription, deviations: FloatArray, validation: ArrayLike) -> InputDescription:
    """The description with what tells turned maps, on the scale of the other strangeness of validation maps."""
    maps = described.mean.reshape(deviations.shape[1:]) + deviations
    turned = tell_turned(maps, np.random.default_rng(0))
    x = described._deviation(validation)
    score = x @ turned.T
    middle, rare = np.quantile(score, 0.5, axis=0), np.quantile(score, _RARE, axis=0)
    stretch = (np.quantile(described._unlike(x), _RARE) - 1) / np.maximum(rare - middle, 1e-12)
    return replace(described, turned=turned * stretch[:, None], turned_offset=1 - middle * stretch)


def _flat(inputs: ArrayLike, size: int) -> FloatArray:
    x = np.asarray(inputs, np.float64)
    x = x.reshape(len(x), -1)
    if x.shape[1] != size:
        raise InvalidValue(f"inputs of {x.shape[1]} numbers are not of the kind that was described, which has {size}")
    return x
