"""Technetium tracers as virtual patients get them for blood flow: dose, frames, and what muscle and organs take up.

Muscle extracts by the Renkin-Crone curves of `physics.tracers` and hardly lets go: its volume of distribution is large
(washout of K1 / 150 a minute, half a per cent; assumed after a clearance that is too slow to be seen within minutes).
Blood is set so that about a fourteenth of the dose is left in it after five minutes, as labels say of sestamibi; organs
stand to muscle roughly as labels say as well, tetrofosmin leaving the liver sooner. Doses (rest first, three times as
much under stress) are ordinary ones, assumed.

Frames are those of dynamic studies on the column camera, as quoted (21 of 3 s, one each of 9, 15, 21 and 27 s, 7 of
30 s: 345 s; not re-read); the scan begins before the injection.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import numpy as np

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.physics.compartments import one_tissue
from myoscope.physics.decay import decay_constant_per_s
from myoscope.physics.frames import SECONDS_PER_MIN, Frames
from myoscope.physics.time_curve import TimeCurve
from myoscope.physics.tracers import extraction
from myoscope.simulate.pet_tracers import MUSCLE_G_PER_ML, Organ
from myoscope.simulate.sites import State

SpectTracerName = Literal["sestamibi", "tetrofosmin"]
DOSE_MBQ: Mapping[State, float] = MappingProxyType({"rest": 250.0, "stress": 750.0})
FRAME_S = (*[3.0] * 21, 9.0, 15.0, 21.0, 27.0, *[30.0] * 7)


@dataclass(frozen=True, eq=False, slots=True)
class SpectTracer:
    """A tracer with its protocol; ``muscle_volume`` is the mean volume of distribution of muscle, mL/mL."""

    name: SpectTracerName
    organs: Mapping[str, Organ]
    dose_MBq: Mapping[State, float] = field(default_factory=lambda: DOSE_MBQ)
    infusion_s: float = 5.0
    frame_s: tuple[float, ...] = FRAME_S
    uptake_share: float = 0.42
    return_per_min: float = 0.03
    muscle_volume: float = 150.0

    @property
    def nuclide(self) -> str:
        return "Tc-99m"

    @property
    def frames(self) -> Frames:
        return Frames.lasting(self.frame_s)

    @property
    def decay_per_min(self) -> float:
        return decay_constant_per_s(self.nuclide) * SECONDS_PER_MIN

    def muscle_means(
        self, left: TimeCurve, frames: Frames, flow_mL_min_g: FloatArray, *, volume: float, decay_per_min: float = 0.0
    ) -> FloatArray:
        """Means over the frames of what a mL of muscle without its vessels holds, (flow, frame), for flows (flow,).

        With ``decay_per_min`` the curve decays from 0 min on: ``left`` must be given decaying as well.
        """
        k1 = MUSCLE_G_PER_ML * extraction(self.name).uptake_rate_mL_min_g(np.asarray(flow_mL_min_g, float))
        return np.asarray(k1[:, None] * one_tissue(left, frames, k1 / volume + decay_per_min))


def _organs(liver: float) -> Mapping[str, Organ]:
    return MappingProxyType(
        {
            "lung": Organ(0.05, 3.0, 0.20),
            "liver": Organ(liver, 20.0, 0.20),
            "soft_tissue": Organ(0.05, 30.0, 0.03),
            "fat": Organ(0.02, 15.0, 0.02),
            "stomach": Organ(0.30, 10.0, 0.08),
            "spleen": Organ(0.60, 8.0, 0.25),
            "kidney": Organ(1.60, 20.0, 0.20),
            "bone": Organ(0.06, 10.0, 0.05),
        }
    )


SPECT_TRACERS: Mapping[str, SpectTracer] = MappingProxyType(
    {t.name: t for t in (SpectTracer("sestamibi", _organs(0.60)), SpectTracer("tetrofosmin", _organs(0.40)))}
)
"""Tracers by name."""


def spect_tracer(name: str) -> SpectTracer:
    """A tracer by its name.

    Raises
    ------
    InvalidValue
        If there is no such tracer.
    """
    if name not in SPECT_TRACERS:
        raise InvalidValue(f"a tracer of dynamic SPECT is {', '.join(SPECT_TRACERS)}, not {name!r}")
    return SPECT_TRACERS[name]
