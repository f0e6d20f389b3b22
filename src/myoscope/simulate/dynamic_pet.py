"""A dynamic PET study of a virtual patient: bolus, blood, kinetics in every piece of wall, movement, resolution, noise.

In one state the body is a sum of regions, each with one time course: the wall of the left ventricle piece by piece
(its 2,880 curves are a few shapes in changing proportions, found by singular values), the blood of both ventricles and
atria, the right ventricle's wall and the organs. Regions are blurred once; a frame is their sum at its mean activities,
displaced by the patient's motion in that frame, with noise. Another scan of the same scene is another noise and another
motion: that is how repeatability is measured.

Attenuation, scatter and randoms count as corrected; that a CT can lie wrong is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from myoscope.core import CardiacFrame, Grid, InvalidValue, Volume
from myoscope.core.geometry import FloatArray
from myoscope.physics.decay import mean_share_left, share_left
from myoscope.physics.frames import Frames
from myoscope.simulate.circulation import BloodCurves
from myoscope.simulate.dynamic_body import (
    BEGIN_S,
    TimeCourses,
    breathing_sd_mm,
    circulation_of,
    few_shapes,
    left_of_the_atria,
    wall_image,
)
from myoscope.simulate.flow_traits import perfuse_for_pet, transmural_flow
from myoscope.simulate.patient import VirtualPatient
from myoscope.simulate.perfusion import Perfusion
from myoscope.simulate.pet_camera import Array, PetCamera, moved
from myoscope.simulate.pet_tracers import PetTracer, pet_tracer
from myoscope.simulate.sites import State
from myoscope.simulate.tissues import ORGANS

VOXEL_MM = 4.0
SHAPE = (96, 80, 48)
"""Voxels of a virtual PET image: 38 x 32 x 19 cm about the heart's height."""


@dataclass(frozen=True, slots=True)
class FrameMotion:
    """How far the patient's heart is displaced in each frame, LPS mm, (frame, 3), from where it lies at the end."""

    displacement_mm: FloatArray

    @classmethod
    def none(cls, n_frames: int) -> FrameMotion:
        return cls(np.zeros((n_frames, 3)))


@dataclass(frozen=True, slots=True)
class MotionHabit:
    """How patients move during dynamic scans; assumed.

    ``early_mm`` is the standard deviation (right-left, front-back, head-feet) of a displacement at the injection that
    fades with ``fades_s`` as the patient settles; ``jump_mm`` that of a displacement of single early frames, which a
    deep breath makes, each with the probability ``jump_share``; ``drift_mm`` that of a slow drift over the whole scan.
    """

    early_mm: tuple[float, float, float] = (2.0, 2.5, 5.0)
    fades_s: float = 75.0
    jump_mm: tuple[float, float, float] = (1.5, 2.0, 4.0)
    jump_share: float = 0.15
    drift_mm: tuple[float, float, float] = (0.7, 0.7, 1.2)
    early_until_s: float = 150.0

    def draw(self, frames: Frames, *, rng: np.random.Generator) -> FrameMotion:
        """One scan's motion, zero at the end of the scan."""
        start = rng.normal(0, self.early_mm)
        drift = rng.normal(0, self.drift_mm)
        since = 60 * frames.middle_min
        share = np.exp(-since / self.fades_s)[:, None]
        left = (1 - frames.middle_min / frames.middle_min[-1])[:, None]
        jumps = rng.normal(0, self.jump_mm, (len(frames), 3))
        jumps *= ((rng.random(len(frames)) < self.jump_share) & (since < self.early_until_s))[:, None]
        return FrameMotion(start * share + drift * left + jumps)

    def times(self, factor: float) -> MotionHabit:
        """All displacements larger by a factor."""

        def scaled(mm: tuple[float, float, float]) -> tuple[float, float, float]:
            return (factor * mm[0], factor * mm[1], factor * mm[2])

        return replace(
            self, early_mm=scaled(self.early_mm), jump_mm=scaled(self.jump_mm), drift_mm=scaled(self.drift_mm)
        )


STILL = MotionHabit((0.0, 0.0, 0.0), 75.0, (0.0, 0.0, 0.0), 0.0, (0.0, 0.0, 0.0))


@dataclass(frozen=True, eq=False, slots=True)
class DynamicScene:
    """One state of one patient with a tracer in the body: what a camera would see over time, before noise and motion.

    ``regions`` (region, i, j, k) are blurred shares on ``grid``; ``decayed`` (region, frame) the mean activity of each
    over each frame as it decays (kBq/mL). ``flow`` (ring, angle) is the truth, mL/min/g, of the transmural wall;
    ``left``, ``right`` the blood of the ventricles without decay, and ``wall_means`` (ring, angle, frame) what a mL of
    wall holds on average over each frame, decay-corrected.
    """

    tracer: PetTracer
    state: State
    frames: Frames
    grid: Grid
    regions: NDArray[np.float32]
    decayed: FloatArray
    flow: FloatArray
    blood: BloodCurves
    wall_means: FloatArray
    muscle_volume: float
    heart: CardiacFrame

    @property
    def decay_factors(self) -> FloatArray:
        """What corrects each frame's decay to the injection's time, (frame,)."""
        factors: FloatArray = 1 / mean_share_left(self.tracer.nuclide, self.frames.start_s, self.frames.duration_s)
        return factors

    def left_at(self, seconds_later: float) -> Array:
        """What this injection has left in the body when another study begins, kBq/mL, (i, j, k).

        ``seconds_later`` counts from the start of this scan. Tracer stays where it was at its end and decays.
        """
        end = (self.decayed[:, -1].astype(np.float32) @ self.regions.reshape(len(self.regions), -1)).reshape(
            self.grid.shape
        )
        share = float(self.decay_factors[-1]) * float(share_left(self.tracer.nuclide, seconds_later))
        return np.asarray(end * share, np.float32)

    def scan(
        self,
        *,
        rng: np.random.Generator,
        camera: PetCamera | None = None,
        motion: FrameMotion | None = None,
        left_over: Array | None = None,
    ) -> Volume:
        """One dynamic image, kBq/mL, decay-corrected to the start of the study; ``camera`` None adds no noise.

        ``left_over`` is what an earlier injection has left at the start (`left_at`).
        """
        motion = FrameMotion.none(len(self.frames)) if motion is None else motion
        if motion.displacement_mm.shape != (len(self.frames), 3):
            raise InvalidValue(f"motion needs one displacement per frame, got {motion.displacement_mm.shape}")
        factors, still = self.decay_factors, self.regions.reshape(len(self.regions), -1)
        images = np.empty((len(self.frames), *self.grid.shape), np.float32)
        for f in range(len(self.frames)):
            image = (self.decayed[:, f].astype(np.float32) @ still).reshape(self.grid.shape)
            factor = float(factors[f])
            if left_over is not None:
                image = image + left_over / np.float32(factor)
            image = moved(image, self.grid, motion.displacement_mm[f])
            images[f] = image * factor
            if camera is not None:
                variance = camera.variance(
                    image,
                    duration_s=float(self.frames.duration_s[f]),
                    decay_factor=factor,
                    body_kBq_mL=float(image.mean()),
                )
                images[f] += np.sqrt(variance) * camera.grain(self.grid, rng=rng)
        return Volume(
            images,
            self.grid,
            "kBq/mL",
            ("simulated dynamic PET, synthetic",),
            "time",
            None,
            self.frames.start_s,
            self.frames.duration_s,
        )


def pet_grid(heart: CardiacFrame) -> Grid:
    """The lattice of a virtual PET image: about the body's middle, at the height of the heart."""
    x, y = 0.35 * heart.centre_mm[:2]
    return Grid.axis_aligned(SHAPE, spacing_mm=VOXEL_MM, centre_mm=(x, y, heart.centre_mm[2]))


def pet_perfusion(patient: VirtualPatient) -> Perfusion:
    """The patient's flow at rest and under a vasodilator, with the traits of the person; always the same."""
    return perfuse_for_pet(patient.facts.person, patient.facts.disease, rng=patient.rng("pet flow"))


def dynamic_scene(
    patient: VirtualPatient,
    state: State,
    tracer: PetTracer | str,
    *,
    flow: FloatArray | None = None,
    camera: PetCamera | None = None,
) -> DynamicScene:
    """The patient at rest or stressed with this tracer.

    ``flow`` (ring, angle) sets the truth, otherwise it is `pet_perfusion`'s; ``camera`` gives the resolution (its
    default without). The volume of distribution and the circulation are the patient's, the same in every call.

    Raises
    ------
    InvalidValue
        For an unknown tracer, or flow that is no map of the wall.
    """
    camera = PetCamera() if camera is None else camera
    agent = pet_tracer(tracer) if isinstance(tracer, str) else tracer
    frames = agent.frames
    if flow is None:
        flow = transmural_flow(pet_perfusion(patient), state)
    flow = np.asarray(flow, np.float64)
    if flow.shape != (40, 72) or not (flow >= 0).all():
        raise InvalidValue("flow is a map of 40 rings and 72 angles, of at least 0 mL/min/g")

    rng = patient.rng(f"pet {agent.name}")
    volume = agent.muscle_volume * float(np.exp(rng.normal(0, 0.08)))
    organ_scatter = float(np.exp(rng.normal(0, 0.15)))
    circulation = circulation_of(patient, state, agent)
    last = float(frames.end_min[-1])
    blood = circulation.inject(agent.dose_MBq[state], infusion_s=agent.infusion_s, begin_s=BEGIN_S, until_min=last)

    heart = patient.frame("supine")
    grid = pet_grid(heart)
    beating = patient.beating(state, "supine")
    shares = beating.fractions(grid)
    tissues = patient.tissues(state, "supine", grid)
    left_atrium = left_of_the_atria(grid, heart, patient.heart.left_atrium.radius_mm)

    curves = TimeCourses(agent, frames, blood, volume)
    wall, wall_decayed = curves.wall(flow)
    names, images, rows = [], [], []
    coefficient, shapes = few_shapes(wall_decayed.reshape(-1, len(frames)))
    ones = wall_image(beating, grid, np.ones((40, 72)))
    for k, row in enumerate(shapes):
        part = coefficient[:, k].reshape(40, 72)
        lowest = min(float(part.min()), 0.0)
        names.append(f"wall {k}")
        images.append(wall_image(beating, grid, part - lowest) + lowest * ones)
        rows.append(row)
    for name, image, curve in (
        ("lv_blood", shares["lv_blood"], blood.left),
        ("rv_blood", shares["rv_blood"], blood.right),
        ("left atrium", shares["atria"] * left_atrium, blood.left),
        ("right atrium", shares["atria"] * (1 - left_atrium), blood.right),
        ("vessels", tissues.fraction.get("vessel_blood", np.zeros(grid.shape, np.float32)), blood.left),
    ):
        names.append(name)
        images.append(image)
        rows.append(curves.blood(curve))
    right_wall = 0.7 * float(np.median(flow))
    names.append("rv_wall")
    images.append(shares["rv_wall"])
    rows.append(curves.wall(np.full((1, 1), right_wall))[1][0, 0])
    for name, share in tissues.fraction.items():
        if name in ORGANS and name != "vessel_blood":
            names.append(name)
            images.append(share)
            rows.append(curves.organ(name, organ_scatter))

    breath = breathing_sd_mm(patient, state)
    regions = np.stack([camera.blurred(np.asarray(i, np.float32), grid, also_mm=breath) for i in images])
    return DynamicScene(
        tracer=agent,
        state=state,
        frames=frames,
        grid=grid,
        regions=regions,
        decayed=np.stack(rows),
        flow=flow,
        blood=blood,
        wall_means=wall,
        muscle_volume=volume,
        heart=heart,
    )
