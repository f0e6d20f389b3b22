"""What dynamic studies of a virtual patient have in common: time courses of the body's parts, few instead of many.

In: a tracer's kinetics and the blood of one circulation. Out: mean activities over frames, of blood, wall and organs,
and the images of pieces of wall that share a time course.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from myoscope.core import CardiacFrame, Grid
from myoscope.core.geometry import FloatArray
from myoscope.physics.compartments import one_tissue
from myoscope.physics.frames import Frames
from myoscope.physics.time_curve import TimeCurve
from myoscope.simulate.beat import BeatingHeart
from myoscope.simulate.circulation import BloodCurves, Circulation
from myoscope.simulate.motion import draw_motion
from myoscope.simulate.patient import VirtualPatient
from myoscope.simulate.pet_tracers import Organ
from myoscope.simulate.sites import State

Array = NDArray[np.float32]

MUSCLE_BLOOD_SHARE = 0.08
"""Share of the wall that is blood in its vessels; assumed."""
BEGIN_S = 5.0
"""The scan begins so long before the injection."""
_FEATURES = 1e-4  # wall curves are kept to this share of the largest
_MOST_SHAPES = 10
_LIKE = {"breast": "fat", "gallbladder": "liver", "bowel": "stomach"}
_STRESS_OUTPUT, _REST_OUTPUT_ML_MIN_KG = 1.35, 68.0


class Agent(Protocol):
    """What is injected: how it travels, what organs take up, and what muscle holds of it."""

    @property
    def uptake_share(self) -> float: ...
    @property
    def return_per_min(self) -> float: ...
    @property
    def organs(self) -> Mapping[str, Organ]: ...
    @property
    def decay_per_min(self) -> float: ...

    def muscle_means(
        self, left: TimeCurve, frames: Frames, flow_mL_min_g: FloatArray, *, volume: float, decay_per_min: float = 0.0
    ) -> FloatArray: ...


class TimeCourses:
    """Mean activities over the frames, as they decay and as they would be without."""

    def __init__(self, agent: Agent, frames: Frames, blood: BloodCurves, volume: float) -> None:
        self.agent, self.frames, self.volume, self.decay = agent, frames, volume, agent.decay_per_min
        self.blood_curves = blood
        self.left = self.fading(blood.left)

    def fading(self, curve: TimeCurve) -> TimeCurve:
        return curve.times(np.exp(-self.decay * curve.time_min))

    def blood(self, curve: TimeCurve) -> FloatArray:
        return self.fading(curve).frame_means(self.frames)

    def wall(self, flow: FloatArray) -> tuple[FloatArray, FloatArray]:
        """What a mL of wall holds with its vessels, without decay and decaying, (ring, angle, frame) each."""
        both = []
        for left, decay in ((self.blood_curves.left, 0.0), (self.left, self.decay)):
            muscle = self.agent.muscle_means(left, self.frames, flow.ravel(), volume=self.volume, decay_per_min=decay)
            whole = (1 - MUSCLE_BLOOD_SHARE) * muscle + MUSCLE_BLOOD_SHARE * left.frame_means(self.frames)
            both.append(whole.reshape(*flow.shape, len(self.frames)))
        return both[0], both[1]

    def organ(self, name: str, scatter: float) -> FloatArray:
        """What a mL of an organ holds, decaying, (frame,); ``scatter`` is what this body's uptake differs by."""
        organ = self.agent.organs[_LIKE.get(name, name)]
        vessels = self.blood(self.blood_curves.lung if name == "lung" else self.blood_curves.left)
        held = one_tissue(self.left, self.frames, organ.k1 / organ.volume + self.decay)
        curve: FloatArray = organ.blood * vessels + (1 - organ.blood) * organ.k1 * scatter * held
        return curve


def few_shapes(curves: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Curves (curve, frame) as coefficients (curve, shape) of a few shapes (shape, frame)."""
    left, size, right = np.linalg.svd(curves, full_matrices=False)
    n = int(np.clip((size > _FEATURES * size[0]).sum(), 1, _MOST_SHAPES))
    return left[:, :n] * size[:n], right[:n]


def wall_image(beating: BeatingHeart, grid: Grid, wall: FloatArray) -> Array:
    """What a wall of this activity shows on average over the beat, before the camera's blur."""
    gated = beating.activity(grid, wall_kBq_mL=wall, rv_wall_kBq_mL=0.0, blood_kBq_mL=0.0)
    return np.asarray(np.asarray(gated.array).mean(axis=0), np.float32)


def left_of_the_atria(grid: Grid, heart: CardiacFrame, radius_mm: float) -> Array:
    """1 where an atrium is the left one: lateral of a plane beside it."""
    lateral = heart.to_heart(grid.points_mm())[..., 0]
    return np.asarray(lateral > -radius_mm, np.float32)


def circulation_of(patient: VirtualPatient, state: State, agent: Agent) -> Circulation:
    """The patient's circulation while this tracer runs; the same person in every call."""
    person = patient.facts.person
    rng = patient.rng("pet circulation")
    output = (
        _REST_OUTPUT_ML_MIN_KG * min(person.weight_kg, 1.3 * (person.height_cm - 100)) * np.exp(rng.normal(0, 0.12))
    )
    size = float(np.exp(rng.normal(0, 0.10)))
    return Circulation(
        cardiac_output_mL_min=float(np.clip(output * (_STRESS_OUTPUT if state == "stress" else 1.0), 2500, 14_000)),
        right_heart_mL=170 * size,
        lung_mL=480 * size,
        left_heart_mL=210 * size,
        body_mL=3000 * size,
        vein_s=float(np.clip(4 * np.exp(rng.normal(0, 0.25)), 2, 9)),
        uptake_share=agent.uptake_share,
        return_per_min=agent.return_per_min,
    )


def breathing_sd_mm(patient: VirtualPatient, state: State) -> tuple[float, float, float]:
    """Standard deviation of the heart's place over a breath, along LPS."""
    motion = draw_motion(
        sex=patient.facts.person.sex, state=state, stress_type="pharmacological", rng=patient.rng("pet breathing")
    )
    spread = motion.breathing_spread(16).std(axis=0)
    return (float(spread[0]), float(spread[1]), float(spread[2]))
