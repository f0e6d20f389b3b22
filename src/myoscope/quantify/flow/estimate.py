"""What a flow model found in each curve: parameters with their errors, how well they fit, or why there is nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray, frozen

FLOW_UNIT = "mL/min/g"
INTERVAL_PERCENT = 95.0


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a model: name, unit and the bounds that a fit may not leave."""

    name: str
    unit: str
    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise InvalidValue(f"the bounds of {self.name} are {self.low:g} and {self.high:g}: the first is higher")


@dataclass(frozen=True, eq=False, slots=True)
class FlowEstimate:
    """Flow in each curve with its standard error, and everything that was fitted along with it.

    ``flow`` and ``flow_se`` (curve,) in mL/min/g. ``value`` and ``standard_error`` (curve, parameter) follow the order
    of ``parameters``; ``covariance`` is (curve, parameter, parameter). ``fitted`` (curve, frame) is the model's curve,
    ``chi2`` (curve,) the weighted sum of squared residuals and ``dof`` its degrees of freedom. Where something failed,
    everything is NaN and ``reason`` (curve,) says why; it is empty elsewhere. ``at_bound`` (curve, parameter) marks
    parameters that ended on a bound; their errors are those of the unbounded fit there.
    """

    model: str
    parameters: tuple[Parameter, ...]
    flow: FloatArray
    flow_se: FloatArray
    value: FloatArray
    standard_error: FloatArray
    covariance: FloatArray
    fitted: FloatArray
    chi2: FloatArray
    dof: int
    reason: NDArray[np.str_]
    at_bound: NDArray[np.bool_]

    def __post_init__(self) -> None:
        n, p = len(self.flow), len(self.parameters)
        shapes = {
            "flow": (n,),
            "flow_se": (n,),
            "value": (n, p),
            "standard_error": (n, p),
            "covariance": (n, p, p),
            "chi2": (n,),
            "reason": (n,),
            "at_bound": (n, p),
        }
        for name, shape in shapes.items():
            array = frozen(getattr(self, name))
            if array.shape != shape:
                raise InvalidValue(f"{name} of an estimate has shape {array.shape}, not {shape}")
            object.__setattr__(self, name, array)
        object.__setattr__(self, "fitted", frozen(self.fitted, np.float64))
        failed = self.reason != ""
        if (np.isnan(self.flow) != failed).any():
            raise InvalidValue("a flow is missing exactly where there is a reason")

    def __len__(self) -> int:
        return len(self.flow)

    @property
    def failed(self) -> NDArray[np.bool_]:
        """Which curves gave no flow, (curve,)."""
        missing: NDArray[np.bool_] = self.reason != ""
        return missing

    def of(self, name: str) -> FloatArray:
        """Values of one parameter by its name, (curve,).

        Raises
        ------
        InvalidValue
            If the model has no such parameter.
        """
        return self.value[:, self._index(name)]

    def error_of(self, name: str) -> FloatArray:
        """Standard errors of one parameter, (curve,)."""
        return self.standard_error[:, self._index(name)]

    def _index(self, name: str) -> int:
        names = [p.name for p in self.parameters]
        if name not in names:
            raise InvalidValue(f"the model {self.model} has no parameter {name!r}; it has {', '.join(names)}")
        return names.index(name)

    def has(self, name: str) -> bool:
        return any(p.name == name for p in self.parameters)

    def some(self, which: NDArray[np.intp]) -> FlowEstimate:
        """The estimate of some of the curves."""
        per_curve = ("flow", "flow_se", "value", "standard_error", "covariance", "fitted", "chi2", "reason", "at_bound")
        return replace(self, **{name: getattr(self, name)[which] for name in per_curve})

    @property
    def correlation(self) -> FloatArray:
        """Correlation of the parameters' errors, (curve, parameter, parameter): near 1 or -1, only a combination of
        the two is known."""
        scale = np.sqrt(np.einsum("npp->np", self.covariance))
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio: FloatArray = self.covariance / (scale[:, :, None] * scale[:, None, :])
        return ratio

    @property
    def reduced_chi2(self) -> FloatArray:
        """Weighted sum of squares per degree of freedom, (curve,): 1 where weights are inverse variances."""
        return self.chi2 / max(self.dof, 1)

    def interval(self, percent: float = INTERVAL_PERCENT) -> tuple[FloatArray, FloatArray]:
        """Lower and upper end of the interval of flow, (curve,) each.

        Symmetric in the logarithm of flow, by Student's t with the fit's degrees of freedom: flow is positive, and
        where extraction falls with flow the upper end is farther away.
        """
        t = float(stdtrit(max(self.dof, 1), 0.5 + percent / 200))
        with np.errstate(invalid="ignore", divide="ignore"):
            factor = np.exp(np.minimum(t * self.flow_se / self.flow, 50))
            low, high = self.flow / factor, self.flow * factor
        return low, high
