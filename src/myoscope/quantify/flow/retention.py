"""Retention: late activity of the wall over the blood that has passed, turned into flow.

    R = (C_late - V_b C_a,late) / (s integral from 0 to T of C_a dt),    R = F E(F)

C_late is the wall's mean over the late frames, T the time when they begin (or, with ``running``, each moment in them,
the integral averaged as the wall is: right where uptake goes on meanwhile), V_b an assumed share of blood and s one of
muscle (the recovery of the sample), unless the curves bring their own. What has left the tissue by then counts as never
retained, so the curve R(F) is lower than the first-pass extraction. Standard errors come from the scatter of the late
frames about a straight line. Yoshida's, Lautamaki's and the Tc-99m net retention are of this form, each with its own E
and times.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.physics.compartments import one_tissue
from myoscope.quantify.flow.compartment_model import MUSCLE_G_ML, FlowModel, inverse_density
from myoscope.quantify.flow.estimate import FlowEstimate, Parameter
from myoscope.quantify.flow.one_tissue import UptakeCurve
from myoscope.quantify.flow.wall_data import WallCurves


@dataclass(frozen=True, slots=True)
class Retention(FlowModel):
    """A retention model; ``blood_share`` is V_b and ``muscle_share`` s where the curves have no shares of their own."""

    label: str
    extraction: UptakeCurve
    late_from_min: float
    late_until_min: float
    blood_share: float
    muscle_share: float
    density_g_mL: float = MUSCLE_G_ML
    running: bool = False

    def __post_init__(self) -> None:
        inverse_density(self.density_g_mL)
        if not 0 <= self.blood_share < 1 or not 0 < self.muscle_share <= 1.5:
            raise InvalidValue("shares of blood and muscle lie between 0 and 1")
        if not 0 < self.late_from_min < self.late_until_min:
            raise InvalidValue("late frames begin after the injection and end later")

    @property
    def name(self) -> str:
        return self.label

    def estimate(self, curves: WallCurves) -> FlowEstimate:
        frames = curves.frames
        late = (frames.start_min >= self.late_from_min - 1e-6) & (frames.end_min <= self.late_until_min + 1e-6)
        if late.sum() < 2:
            raise InvalidValue(
                f"{self.label} needs two frames between {self.late_from_min:g} and {self.late_until_min:g} min, "
                f"the study has {int(late.sum())}"
            )
        length = frames.duration_min * late
        length = length / length.sum()
        begin = float(frames.start_min[np.argmax(late)])
        if self.running:
            passed = float(one_tissue(curves.left.curve, frames, 0.0) @ length)
        else:
            passed = float(curves.left.curve.integral(begin))
        if not passed > 0:
            raise InvalidValue("no blood has passed before the late frames: the input is empty")
        share = np.full(len(curves), self.muscle_share) if curves.recovery is None else curves.recovery
        blood = np.full(len(curves), self.blood_share) if curves.blood_share is None else curves.blood_share
        kept = curves.tissue @ length - blood * float(curves.left.means @ length)
        retained = kept / (share * passed) / self.density_g_mL
        flow = self.extraction.flow_mL_min_g(np.where(np.isfinite(retained), retained, np.nan))
        error = self._scatter(curves, late, length) / (share * passed) / self.density_g_mL
        with np.errstate(invalid="ignore"):
            slope = self.extraction.uptake_rate_slope(np.where(np.isfinite(flow) & (flow > 0), flow, 1.0))
        flow_se = error / np.maximum(slope, 1e-6)

        reason = np.full(len(curves), "", dtype="<U96")
        reason[~np.isfinite(flow)] = "no flow gives so high a retention"
        reason[retained <= 0] = "the wall keeps less than its share of blood"
        reason[~np.isfinite(curves.tissue).all(axis=1)] = "the curve has missing values (wall not seen in every frame)"
        bad = reason != ""
        retained, flow, flow_se = (np.where(bad, np.nan, a) for a in (retained, flow, flow_se))
        n = len(curves)
        return FlowEstimate(
            model=self.label,
            parameters=(Parameter("retention", "mL/min/g", 0.0, np.inf),),
            flow=flow,
            flow_se=flow_se,
            value=retained[:, None],
            standard_error=np.where(bad, np.nan, error)[:, None],
            covariance=np.where(bad, np.nan, error**2)[:, None, None],
            fitted=np.full_like(curves.tissue, np.nan),
            chi2=np.full(n, np.nan),
            dof=max(int(late.sum()) - 2, 1),
            reason=reason,
            at_bound=np.zeros((n, 1), bool),
        )

    def _scatter(self, curves: WallCurves, late: NDArray[np.bool_], length: FloatArray) -> FloatArray:
        """Standard error of the late mean, (curve,), from the residuals about a line through the late frames."""
        values = curves.tissue[:, late]
        design = np.stack([np.ones(int(late.sum())), curves.frames.middle_min[late]], axis=1)
        hat = design @ np.linalg.pinv(design)
        residual = values - values @ hat.T
        variance = (residual**2).sum(axis=1) / max(int(late.sum()) - 2, 1)
        error: FloatArray = np.sqrt(variance * (length[late] ** 2).sum())
        return error
