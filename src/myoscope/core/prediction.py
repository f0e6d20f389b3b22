"""What a model says about one study: a number with its interval and the card of the model, or why it says nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass

from myoscope.core.errors import InvalidValue

PROBABILITY = "probability"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """A predicted probability, or a value in a unit, with its interval.

    ``unit`` is ``probability`` for a number from 0 to 1. ``low`` and ``high`` bound the interval at
    ``interval_level`` (0.95 = 95 %); both or neither. ``model_card`` is the identifier of the model's card.
    A model that abstains (an input unlike its training data, a failed step before it) has no value and says why
    in ``abstained``.
    """

    name: str
    unit: str
    model_card: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    interval_level: float = 0.95
    abstained: str = ""

    def __post_init__(self) -> None:
        if not (self.name and self.unit and self.model_card):
            raise InvalidValue("a prediction states its name, its unit and the card of the model that made it")
        if (self.value is None) != bool(self.abstained):
            raise InvalidValue(f"{self.name}: a prediction has a value, or the reason why the model abstained")
        if (self.low is None) != (self.high is None):
            raise InvalidValue(f"{self.name}: an interval has both ends or is left out")
        numbers = [x for x in (self.low, self.value, self.high) if x is not None]
        if not all(math.isfinite(x) for x in numbers):
            raise InvalidValue(f"{self.name}: NaN or infinity is no prediction; abstain and give the reason")
        if numbers and self.value is None:
            raise InvalidValue(f"{self.name}: a model that abstains gives no interval")
        if numbers != sorted(numbers):
            raise InvalidValue(f"{self.name}: {self.value} lies outside its own interval {self.low} to {self.high}")
        if self.unit == PROBABILITY and not all(0 <= x <= 1 for x in numbers):
            raise InvalidValue(f"{self.name}: a probability lies between 0 and 1, got {self.value}")
        if not 0 < self.interval_level < 1:
            raise InvalidValue(f"{self.name}: an interval level such as 0.95 is needed, got {self.interval_level}")

    def __str__(self) -> str:
        if self.value is None:
            return f"{self.name}: abstained, {self.abstained}"
        interval = ""
        if self.low is not None and self.high is not None:
            interval = f" ({self.interval_level:.0%} interval {self.low:.3g} to {self.high:.3g})"
        unit = "" if self.unit == PROBABILITY else f" {self.unit}"
        return f"{self.name}: {self.value:.3g}{unit}{interval}"

    def __repr__(self) -> str:
        return f"Prediction({self}; {self.unit}; model {self.model_card})"
