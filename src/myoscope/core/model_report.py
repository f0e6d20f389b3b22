"""What a trained model says of one study, and why: predictions and what the pictures that explain them are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from myoscope.core.errors import InvalidValue
from myoscope.core.explanation import Explanation
from myoscope.core.geometry import FloatArray, frozen
from myoscope.core.polar_map import PolarMap
from myoscope.core.prediction import Prediction


@dataclass(frozen=True, slots=True)
class Contribution:
    """One step of a waterfall: what, its value in this patient in words, where its bar begins and ends (log-odds)."""

    name: str
    shown: str
    start: float
    end: float


@dataclass(frozen=True, eq=False, slots=True)
class WhatIfCurve:
    """Probability (k,) if one thing about this patient were otherwise, over ``values`` (k,) in ``unit``.

    ``own`` is the patient's own value, NaN if not known. It says what the model would do, not what would happen.
    """

    name: str
    unit: str
    values: FloatArray
    probability: FloatArray
    own: float

    def __post_init__(self) -> None:
        values, probability = frozen(self.values, np.float64), frozen(self.probability, np.float64)
        if values.ndim != 1 or values.size < 2 or probability.shape != values.shape:
            raise InvalidValue(f"a curve has a probability for each value, got {values.shape} and {probability.shape}")
        if not ((probability >= 0) & (probability <= 1)).all():
            raise InvalidValue("a what-if curve holds probabilities from 0 to 1")
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "probability", probability)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ModelReport:
    """One model's answer for one study.

    ``predictions`` begin with the patient; a model that abstains gives predictions that say why, and no pictures.
    ``explanation`` attributes the log-odds to cells of ``polar_map``, the map that was shown to the model (``shown``
    says of what), on the wall of series ``series``; ``explained`` is the name of
    the answer that this is about; ``segment_probability`` (17,) shows the patient's probability in
    proportion to it. ``steps`` lead from ``start`` (log-odds of an average patient with a normal heart) to the
    patient's. ``warning`` stands wherever the answer stands.
    """

    system: str
    does: str
    source: str
    model_card: str
    warning: str
    series: str
    predictions: tuple[Prediction, ...]
    polar_map: PolarMap | None = None
    shown: str = "perfusion"
    explanation: Explanation | None = None
    explained: str = ""
    segment_probability: NDArray[np.float64] | None = None
    start: float = 0.0
    steps: tuple[Contribution, ...] = ()
    curves: tuple[WhatIfCurve, ...] = ()

    def __post_init__(self) -> None:
        if not self.predictions:
            raise InvalidValue(f"a report of {self.system} needs a prediction, if only one that says why there is none")
        if not self.warning:
            raise InvalidValue("a model's answer carries the sentence that says what it is not for")
        if self.segment_probability is not None:
            shown = frozen(self.segment_probability, np.float64)
            if shown.shape != (17,) or not ((shown >= 0) & (shown <= 1)).all():
                raise InvalidValue(
                    f"a probability for each of 17 segments lies between 0 and 1, got shape {shown.shape}"
                )
            object.__setattr__(self, "segment_probability", shown)
        if self.explanation is not None and self.polar_map is not None:
            shape = self.explanation.attribution.shape[-2:]
            if shape != self.polar_map.value.shape:
                raise InvalidValue(f"an attribution of {shape} does not lie on a map of {self.polar_map.value.shape}")

    @property
    def abstained(self) -> str:
        """Why the model says nothing, or an empty string."""
        return self.predictions[0].abstained
