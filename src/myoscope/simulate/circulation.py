"""How an injected tracer travels: vein, right heart, lungs, left heart, body and back, as stirred chambers in a row.

Each chamber of volume V passes on Q / V of its content per second, Q the cardiac output. Of what reaches the body a
share is taken up by the organs, from where it comes back slowly; the rest returns through the veins. Right and left
heart thus show two peaks some seconds apart, the later one lower and wider, a recirculation shoulder and a tail.
Volumes and shares are ordinary ones of adults, chosen here. Curves are without decay.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from myoscope.core import InvalidValue
from myoscope.physics.frames import SECONDS_PER_MIN
from myoscope.physics.time_curve import TimeCurve

_STEP_S = 0.5
_LUNG_CHAMBERS, _BODY_CHAMBERS = 5, 3


@dataclass(frozen=True, eq=False, slots=True)
class BloodCurves:
    """Tracer concentration in the right heart, the lungs' vessels, and the left heart, kBq/mL over minutes."""

    right: TimeCurve
    lung: TimeCurve
    left: TimeCurve


@dataclass(frozen=True, slots=True)
class Circulation:
    """One person's circulation while the tracer runs; volumes in mL.

    ``uptake_share`` is the part of the tracer that organs take from the blood in one passage, ``return_per_min`` the
    rate at which they give it back; ``vein_s`` how long the injected volume takes to the heart.
    """

    cardiac_output_mL_min: float
    right_heart_mL: float = 170.0
    lung_mL: float = 480.0
    left_heart_mL: float = 210.0
    body_mL: float = 3000.0
    vein_s: float = 4.0
    uptake_share: float = 0.6
    return_per_min: float = 0.05

    def __post_init__(self) -> None:
        volumes = (self.right_heart_mL, self.lung_mL, self.left_heart_mL, self.body_mL, self.vein_s)
        if not 1000 <= self.cardiac_output_mL_min <= 30_000 or min(volumes) <= 0:
            raise InvalidValue(f"a circulation has volumes and an output of 1 to 30 L/min, got {self}")
        if not (0 <= self.uptake_share < 1 and self.return_per_min >= 0):
            raise InvalidValue("the share taken up lies from 0 to below 1, and what returns is not negative")

    def inject(self, activity_MBq: float, *, infusion_s: float, begin_s: float, until_min: float) -> BloodCurves:
        """Blood after an even infusion into a vein that begins at ``begin_s`` and lasts ``infusion_s``."""
        from scipy.linalg import expm

        if not (activity_MBq >= 0 and infusion_s > 0 and begin_s >= 0 and until_min > 0):
            raise InvalidValue("an injection has an activity, a beginning and a duration")
        output_mL_s = self.cardiac_output_mL_min / SECONDS_PER_MIN
        chambers = [
            *[self.vein_s * output_mL_s / 2] * 2,
            self.right_heart_mL,
            *[self.lung_mL / _LUNG_CHAMBERS] * _LUNG_CHAMBERS,
            self.left_heart_mL,
            *[self.body_mL / _BODY_CHAMBERS] * _BODY_CHAMBERS,
        ]
        n = len(chambers)
        right, lungs = 2, slice(3, 3 + _LUNG_CHAMBERS)
        left, body = 3 + _LUNG_CHAMBERS, 4 + _LUNG_CHAMBERS
        flow = np.zeros((n + 1, n + 1))  # the last one holds what organs took up
        for k, volume in enumerate(chambers):
            rate = output_mL_s / volume
            flow[k, k] -= rate
            if k == left:
                flow[body, k] += (1 - self.uptake_share) * rate
                flow[n, k] += self.uptake_share * rate
            else:
                flow[k + 1 if k + 1 < n else right, k] += rate
        back = self.return_per_min / SECONDS_PER_MIN
        flow[n, n] -= back
        flow[right, n] += back

        steps = int(np.ceil(until_min * SECONDS_PER_MIN / _STEP_S))
        # An even supply within a step is one more state that stands still.
        wide = np.zeros((n + 2, n + 2))
        wide[:-1, :-1] = flow
        wide[0, -1] = 1.0
        once = expm(wide * _STEP_S)
        edge = np.arange(steps + 1) * _STEP_S
        share = np.diff(np.clip((edge - begin_s) / infusion_s, 0, 1)) / _STEP_S
        state, content = np.zeros(n + 1), np.zeros((steps + 1, n + 1))
        for k, supplied in enumerate(share * activity_MBq * 1000):  # kBq/s
            state = once[:-1, :-1] @ state + once[:-1, -1] * supplied
            content[k + 1] = state
        minutes = np.asarray(edge / SECONDS_PER_MIN, np.float64)
        return BloodCurves(
            TimeCurve(minutes, np.asarray(content[:, right] / self.right_heart_mL)),
            TimeCurve(minutes, np.asarray(content[:, lungs].sum(axis=1) / self.lung_mL)),
            TimeCurve(minutes, np.asarray(content[:, left] / self.left_heart_mL)),
        )
