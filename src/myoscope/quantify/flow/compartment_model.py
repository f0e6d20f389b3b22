"""What all compartment models of the wall share: spill-over of blood, partial volume, and how they are fitted.

    C(t) = s C_tissue(t) + V_LV C_LV(t) + V_RV C_RV(t)

s is the share of the sample that is muscle. Three conventions are published, and one is open to each model:

* ``geometric``: s = 1 - V_LV - V_RV. What is not blood is muscle; counts lost to the lung are not made good, unless the
  curves say what share of each lies outside the wall, which then is left out as well, and how much of the rest lies
  past the wall's end: s = (1 - past end) (1 - outside - V_LV - V_RV).
* ``none``: s = 1. Rates are those per mL of what was sampled.
* ``recovery``: s is given for every curve, from the wall's thickness and the resolution of the image.

Flow per gram of muscle is flow per mL of it divided by the density, 1.05 g/mL. Most programs leave the density out,
which makes their flows 5 % higher; ``density_g_mL=1`` does the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.quantify.flow.estimate import FlowEstimate, Parameter
from myoscope.quantify.flow.least_squares import (
    LeastSquares,
    ModelCurves,
    covariance_of,
    nearest_curve,
    nearest_shape,
    solve,
)
from myoscope.quantify.flow.wall_data import WallCurves

PartialVolume = Literal["geometric", "none", "recovery"]
Rate = tuple[FloatArray, str]
"""Values of one rate, (curve,), and its unit: mL/min/mL of muscle for k1, 1/min for the others."""
MUSCLE_G_ML = 1.05
"""Density of heart muscle, by which flow per mL becomes flow per gram (1.04 to 1.06 are quoted)."""

V_LV = Parameter("v_lv", "1", 0.0, 1.0)
V_RV = Parameter("v_rv", "1", 0.0, 1.0)
_NO_TISSUE = 0.02  # a share of muscle below this says nothing about it


class FlowModel(ABC):
    """A published way from curves of the wall to flow."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Authors and form, as a reader would call it."""

    @abstractmethod
    def estimate(self, curves: WallCurves) -> FlowEstimate:
        """Flow of every curve with its standard error, or the reason why there is none."""

    def rates(self, kinetic: FloatArray) -> Mapping[str, Rate]:
        """Rates of exchange by name (k1, k2, ...), of parameters (curve, parameter); empty where the model has none."""
        del kinetic
        return {}


class CompartmentModel(FlowModel, ABC):
    """A model whose tissue curve follows from a few rates and the arterial input; fitted by `fit_model`.

    A concrete model lists its kinetic parameters, gives the tissue curve with its derivatives and a first guess
    (`guess_by_shape` or `guess_by_curve`), and says which parameter is flow.
    """

    @property
    @abstractmethod
    def kinetic(self) -> tuple[Parameter, ...]:
        """The parameters of the tissue, without spill-over."""

    @property
    @abstractmethod
    def sharing(self) -> PartialVolume:
        """How the share of muscle in a sample is counted."""

    @abstractmethod
    def prepared(self, curves: WallCurves) -> WallCurves:
        """The curves as the model takes them: early frames alone, input corrected for metabolites."""

    @abstractmethod
    def tissue(self, kinetic: FloatArray, curves: WallCurves) -> tuple[FloatArray, FloatArray]:
        """Tissue curves (curve, frame) and derivatives (curve, frame, parameter) at (curve, parameter)."""

    @abstractmethod
    def first_guess(self, curves: WallCurves) -> FloatArray:
        """Where to begin: kinetic parameters and spill-over of every curve, (start, curve, parameter).

        The fit goes on from each start and the best end is kept; one start is enough for most models.
        """

    @abstractmethod
    def flow(self, kinetic: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Flow (curve,) in mL/min/g and its derivatives by the kinetic parameters (curve, parameter)."""

    def estimate(self, curves: WallCurves) -> FlowEstimate:
        return fit_model(self, curves)


def fit_model(
    model: CompartmentModel, curves: WallCurves, *, fixed: Mapping[str, FloatArray | float] | None = None
) -> FlowEstimate:
    """Fit a compartment model to all curves at once.

    ``fixed`` holds parameters at values (one, or one per curve). Standard errors come from the curvature of the sum of
    squares, scaled by the residuals unless the weights are absolute; parameters that end on a bound take part in them,
    as leaving them out would make the others look better known than they are.
    """
    curves = model.prepared(curves)
    parameters = (*model.kinetic, V_LV, *([V_RV] if curves.right is not None else []))
    names = [p.name for p in parameters]
    n, n_kinetic = len(curves), len(model.kinetic)
    low = np.tile([p.low for p in parameters], (n, 1))
    high = np.tile([p.high for p in parameters], (n, 1))
    if curves.right is not None and curves.beside_right is not None:
        high[~curves.beside_right, -1] = 0.0
    for name, value in (fixed or {}).items():
        if name not in names:
            raise InvalidValue(f"{model.name} has no parameter {name!r}; it has {', '.join(names)}")
        low[:, names.index(name)] = high[:, names.index(name)] = value
    if model.sharing == "recovery" and curves.recovery is None:
        raise InvalidValue(f"{model.name} is told the share of muscle in each sample, but the curves have none")

    reason = _unusable(curves)
    usable = np.flatnonzero(reason == "")
    out = _Empty(n, len(parameters), len(curves.frames))
    if usable.size:
        part = curves.some(usable)
        found = _best_of_starts(model, part, low[usable], high[usable])
        free = high[usable] > low[usable]
        covariance, sound = covariance_of(found.normal, free)
        dof = max(int((curves.weights.max(axis=0) > 0).sum()) - int(free.sum(axis=1).max(initial=1)), 1)
        if not curves.absolute:
            covariance = covariance * (found.cost / dof)[:, None, None]
        flow, by_kinetic = model.flow(found.value[:, :n_kinetic])
        variance = np.einsum("np,npq,nq->n", by_kinetic, covariance[:, :n_kinetic, :n_kinetic], by_kinetic)
        at_bound = free & ((found.value <= low[usable]) | (found.value >= high[usable]))
        told = _failures(model, found.converged, sound, flow, at_bound[:, :n_kinetic], found.value, high[usable])
        reason[usable] = told
        good = told == ""
        where = usable[good]
        out.flow[where], out.flow_se[where] = flow[good], np.sqrt(np.maximum(variance[good], 0))
        out.value[where], out.covariance[where] = found.value[good], covariance[good]
        out.fitted[where], out.chi2[where] = found.fitted[good], found.cost[good]
        out.at_bound[where] = at_bound[good]
    else:
        dof = 1
    return FlowEstimate(
        model=model.name,
        parameters=parameters,
        flow=out.flow,
        flow_se=out.flow_se,
        value=out.value,
        standard_error=np.sqrt(np.maximum(np.einsum("npp->np", out.covariance), 0)),
        covariance=out.covariance,
        fitted=out.fitted,
        chi2=out.chi2,
        dof=dof,
        reason=reason,
        at_bound=out.at_bound,
    )


def profile(
    model: CompartmentModel, curves: WallCurves, name: str, values: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """How much the fit of one curve worsens when a parameter is held at each of ``values``; all others are refitted.

    Returns the rise of the weighted sum of squares over its least value, divided by the variance of a residual (so
    that 3.84 is the usual 95 % limit), and the flow at each value; both (value,), NaN where a fit failed. A flat
    profile means that the curve does not know the parameter.
    """
    if len(curves) != 1:
        raise InvalidValue(f"a profile is drawn of one curve at a time, got {len(curves)}")
    best = fit_model(model, curves)
    copies = curves.some(np.zeros(len(values), np.intp))
    held = fit_model(model, copies, fixed={name: np.asarray(values, np.float64)})
    unit = 1.0 if curves.absolute else float(best.reduced_chi2[0])
    return (held.chi2 - best.chi2[0]) / unit, held.flow


def inverse_density(density_g_mL: float) -> float:
    """Checked density, as its inverse."""
    if not 0.9 <= density_g_mL <= 1.2:
        raise InvalidValue(f"heart muscle has a density of about 1.05 g/mL (1 leaves it out), not {density_g_mL:g}")
    return 1 / density_g_mL


def checked_sharing(sharing: str) -> PartialVolume:
    """The convention by its name.

    Raises
    ------
    InvalidValue
        If there is no such one.
    """
    for known in get_args(PartialVolume):
        if sharing == known:
            return known  # type: ignore[no-any-return]
    raise InvalidValue(f"partial volume is {', '.join(get_args(PartialVolume))}, not {sharing!r}")


class _Empty:
    """Results of failed fits, to be filled with those of good ones."""

    def __init__(self, n: int, p: int, t: int) -> None:
        self.flow, self.flow_se, self.chi2 = (np.full(n, np.nan) for _ in range(3))
        self.value, self.fitted = np.full((n, p), np.nan), np.full((n, t), np.nan)
        self.covariance = np.full((n, p, p), np.nan)
        self.at_bound = np.zeros((n, p), bool)


def _unusable(curves: WallCurves) -> NDArray[np.str_]:
    reason = np.full(len(curves), "", dtype="<U96")
    used = (curves.weights > 0) & np.ones_like(curves.tissue, bool)
    missing = (~np.isfinite(curves.tissue) & used).any(axis=1)
    reason[missing] = "the curve has missing values (wall not seen in every frame)"
    with np.errstate(invalid="ignore"):
        empty = ~missing & ~((np.nan_to_num(curves.tissue) * used).sum(axis=1) > 0)
    reason[empty] = "the curve shows no activity"
    return reason


def _failures(
    model: CompartmentModel,
    converged: NDArray[np.bool_],
    sound: NDArray[np.bool_],
    flow: FloatArray,
    at_bound: NDArray[np.bool_],
    value: FloatArray,
    high: FloatArray,
) -> NDArray[np.str_]:
    told = np.full(len(flow), "", dtype="<U96")
    for k, parameter in enumerate(model.kinetic):
        ran_away = at_bound[:, k] & (value[:, k] >= high[:, k]) & (parameter.unit in ("mL/min/g", "mL/min/mL"))
        told[ran_away] = f"{parameter.name} ran to its upper bound of {parameter.high:g} {parameter.unit}"
    told[(flow <= 0) & (told == "")] = "the curve shows no uptake beside its blood"
    told[~np.isfinite(flow) & (told == "")] = "no flow gives so high an uptake rate"
    told[~sound & (told == "")] = "the curve does not determine the parameters (they cannot be told apart)"
    told[~converged & (told == "")] = "the fit did not converge"
    return told


def _share(sharing: PartialVolume, curves: WallCurves, which: NDArray[np.intp]) -> tuple[FloatArray, FloatArray]:
    """Share of muscle in samples over which no blood spills, and how each unit of spill-over changes it; (curve,)."""
    if sharing == "recovery":
        assert curves.recovery is not None
        return curves.recovery[which], np.zeros(len(which))
    if sharing == "none":
        return np.ones(len(which)), np.zeros(len(which))
    inside = np.ones(len(which)) if curves.outside is None else 1 - curves.outside[which]
    there = np.ones(len(which)) if curves.past_end is None else 1 - curves.past_end[which]
    return there * inside, -there


def blood_means(curves: WallCurves) -> FloatArray:
    """Frame means of the ventricles' blood, (1 or 2, frame), the left one first."""
    return np.stack([curves.left.means] if curves.right is None else [curves.left.means, curves.right.means])


def _full_model(model: CompartmentModel, curves: WallCurves) -> ModelCurves:
    blood = blood_means(curves)
    n_kinetic = len(model.kinetic)

    def full(theta: FloatArray, which: NDArray[np.intp]) -> tuple[FloatArray, FloatArray]:
        tissue, slope = model.tissue(theta[:, :n_kinetic], curves)
        spill = theta[:, n_kinetic:]
        alone, by_spill = _share(model.sharing, curves, which)
        share = alone + by_spill * spill.sum(axis=1)
        curve = share[:, None] * tissue + spill @ blood
        derivative = np.empty((*tissue.shape, theta.shape[1]))
        derivative[..., :n_kinetic] = share[:, None, None] * slope
        derivative[..., n_kinetic:] = blood.T + by_spill[:, None, None] * tissue[..., None]
        return curve, derivative

    return full


def _best_of_starts(model: CompartmentModel, curves: WallCurves, low: FloatArray, high: FloatArray) -> LeastSquares:
    best: LeastSquares | None = None
    for start in model.first_guess(curves):
        full = _full_model(model, curves)
        found = solve(full, curves.tissue, curves.weights, np.clip(start, low, high), low, high)
        best = found if best is None else best.or_better(found)
    assert best is not None
    return best


def guess_by_shape(
    curves: WallCurves,
    sharing: PartialVolume,
    shapes: FloatArray,
    kinetic: Callable[[NDArray[np.intp], FloatArray], FloatArray],
) -> FloatArray:
    """One first guess, (1, curve, parameter), from a grid of tissue curves of unit amplitude (shape, frame).

    ``kinetic`` makes parameters (curve, parameter) of the number of the best shape and its amplitude, (curve,) each.
    """
    number, amplitude = nearest_shape(curves.tissue, curves.weights, shapes, blood_means(curves))
    spill = np.clip(amplitude[:, 1:], 0, 0.95)
    spill = spill / np.maximum(spill.sum(axis=1, keepdims=True) / 0.95, 1.0)
    share, by_spill = _share(sharing, curves, np.arange(len(curves)))
    muscle = np.maximum(share + by_spill * spill.sum(axis=1), _NO_TISSUE)
    return np.concatenate([kinetic(number, amplitude[:, 0] / muscle), spill], axis=1)[None]


def guess_by_curve(curves: WallCurves, sharing: PartialVolume, rows: FloatArray, tissue: FloatArray) -> FloatArray:
    """One first guess, (1, curve, parameter), from parameters (grid, parameter) with their tissue curves."""
    share, by_spill = _share(sharing, curves, np.arange(len(curves)))
    # A guess may take the change with spill-over for the same everywhere.
    usual = float(np.median(by_spill))
    number, spill = nearest_curve(curves.tissue, curves.weights, tissue, blood_means(curves), share, usual)
    return np.concatenate([rows[number], spill], axis=1)[None]
