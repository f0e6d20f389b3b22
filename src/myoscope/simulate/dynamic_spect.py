"""A dynamic SPECT study of a virtual patient: bolus, blood, kinetics in every piece of wall, projected frame by frame.

In one state the body is a sum of regions with one time course each, as for PET (`dynamic_pet`): a few shapes make the
wall of the left ventricle, then the blood of ventricles and atria, the right ventricle's wall, and the organs. The
dedicated cameras look at the heart without turning, so that every frame has all its views. Each region is projected
once; a frame is their sum at its mean activities and is then drawn, so that its noise is that of its own counts. Where
the heart moves, its frames are projected one by one instead, displaced in the middle of a body that lies still.

Attenuation and scatter are those of the patient's body, in the photopeak and a window below it. The columns sweep in a
few seconds: each position is taken to see the mean of the frame for its share of it. What dead time would take of the
bolus is left out; these detectors count linearly far beyond it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from myoscope.core import CardiacFrame, Grid, InvalidValue, Projections, Volume
from myoscope.core.geometry import FloatArray
from myoscope.physics.decay import mean_share_left, share_left
from myoscope.physics.frames import Frames
from myoscope.physics.noise import poisson_counts
from myoscope.simulate.acquire import dropped, scatter_grid_mean, scattered_views
from myoscope.simulate.cameras import CAMERAS, TC_99M, Camera, projector_for
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
from myoscope.simulate.dynamic_pet import FrameMotion, MotionHabit, pet_perfusion
from myoscope.simulate.flow_traits import transmural_flow
from myoscope.simulate.patient import BODY_GRID, VirtualPatient
from myoscope.simulate.sites import State
from myoscope.simulate.spect_tracers import SpectTracer, spect_tracer
from myoscope.simulate.tissues import ORGANS

Array = NDArray[np.float32]

MINUTES_BETWEEN = 60.0
"""From the start of the rest scan to that of the stress scan, the same day; assumed."""
_HEART_VOXEL_MM, _MOVES_MM = 3.2, 26.0
_STILL_MM = 0.05


@dataclass(frozen=True, eq=False, slots=True)
class LeftOver:
    """What an injection has left in heart and body when another study begins, kBq/mL, each on its own grid."""

    heart: Volume
    body: Volume


@dataclass(frozen=True, eq=False, slots=True)
class SpectScene:
    """One state of one patient with a tracer in the body: what a camera would count over time, before chance.

    ``heart`` (region, i, j, k) are shares of the parts of the heart on ``heart_grid``, ``body`` (region, i, j, k) those
    of everything else on `BODY_GRID`, both blurred by breathing; ``heart_kBq_mL`` and ``body_kBq_mL`` (region, frame)
    their mean activities over each frame as they decay. ``flow`` (ring, angle) is the truth, mL/min/g, of the
    transmural wall; ``left`` and ``right`` of ``blood`` are the ventricles' without decay.
    """

    tracer: SpectTracer
    state: State
    frames: Frames
    camera: Camera
    heart_grid: Grid
    heart: Array
    heart_kBq_mL: FloatArray
    body: Array
    body_kBq_mL: FloatArray
    attenuation: Volume
    flow: FloatArray
    blood: BloodCurves
    muscle_volume: float
    seat: CardiacFrame

    @property
    def decay_factors(self) -> FloatArray:
        """What corrects each frame's decay to the start of the scan, (frame,)."""
        factors: FloatArray = 1 / mean_share_left(self.tracer.nuclide, self.frames.start_s, self.frames.duration_s)
        return factors

    def left_at(self, seconds_later: float) -> LeftOver:
        """What this injection has left when another study begins, ``seconds_later`` after the start of this one.

        Tracer stays where it was at the end of the scan and decays.
        """
        share = float(self.decay_factors[-1]) * float(share_left(self.tracer.nuclide, seconds_later))
        return LeftOver(
            Volume(_mixed(self.heart, share * self.heart_kBq_mL[:, -1]), self.heart_grid, "kBq/mL", ("left over",)),
            Volume(_mixed(self.body, share * self.body_kBq_mL[:, -1]), BODY_GRID, "kBq/mL", ("left over",)),
        )

    def expected(self, *, motion: FrameMotion | None = None, left_over: LeftOver | None = None) -> FloatArray:
        """Mean counts of every frame, (frame, window, view, v, u), photopeak and scatter window.

        ``left_over`` is what an earlier injection has left at the start (`left_at`); it moves with the heart.

        Raises
        ------
        InvalidValue
            If there is not one displacement per frame.
        """
        import torch

        n_frames = len(self.frames)
        motion = FrameMotion.none(n_frames) if motion is None else motion
        if motion.displacement_mm.shape != (n_frames, 3):
            raise InvalidValue(f"motion needs one displacement per frame, got {motion.displacement_mm.shape}")
        heart, heart_rows = self.heart, self.heart_kBq_mL
        body, body_rows = self.body, self.body_kBq_mL
        if left_over is not None:
            fading = (1 / self.decay_factors)[None]
            there = _on_grid(left_over.heart, self.heart_grid)
            heart, heart_rows = np.concatenate([heart, there[None]]), np.concatenate([heart_rows, fading])
            body = np.concatenate([body, np.asarray(left_over.body.array, np.float32)[None]])
            body_rows = np.concatenate([body_rows, fading])

        radius_mm = self.camera.radius_mm(self.attenuation)

        def seen(images: Array, grid: Grid) -> FloatArray:
            projector = projector_for(self.camera, grid, attenuation=self.attenuation, radius_mm=radius_mm)
            with torch.no_grad():
                rates: FloatArray = np.maximum(projector.forward(torch.from_numpy(images)).numpy(), 0)
            return rates

        if np.abs(motion.displacement_mm).max() < _STILL_MM:
            primary = _sum_of(seen(heart, self.heart_grid), heart_rows)
        else:
            images = np.stack([_mixed(heart, row) for row in heart_rows.T])
            moved = [_displaced(i, self.heart_grid, d) for i, d in zip(images, motion.displacement_mm, strict=True)]
            primary = seen(np.stack(moved), self.heart_grid)
        primary = primary + _sum_of(seen(body, BODY_GRID), body_rows)

        # Scatter is smooth: that the heart moves a little does not change it.
        windows, response = TC_99M.windows, self.camera.response()
        accepted = float(response.acceptance(TC_99M.energy_keV, windows[0]))
        mu = scatter_grid_mean(self.attenuation)
        parts = [dropped(Volume(h[None], self.heart_grid, "1", (), "gate"), mu.grid) for h in heart]
        parts += [np.asarray(scatter_grid_mean(Volume(b, BODY_GRID, "1", ())).array) for b in body]
        with torch.no_grad():
            scattered = np.stack(
                [scattered_views(p, mu, self.camera, windows, TC_99M, radius_mm).numpy() for p in parts]
            )
        scatter = _sum_of(scattered, np.concatenate([heart_rows, body_rows])) / accepted
        share = np.array([float(response.acceptance(TC_99M.energy_keV, w)) for w in windows], np.float32) / accepted
        rate = primary[:, None] * share[:, None, None, None].astype(np.float32) + scatter
        return np.maximum(rate * self._view_s()[:, None, None, None, None], 0)

    def _view_s(self) -> Array:
        return np.asarray(self.frames.duration_s / self.camera.n_stops, np.float32)

    def scan(
        self,
        *,
        rng: np.random.Generator | None,
        motion: FrameMotion | None = None,
        left_over: LeftOver | None = None,
    ) -> tuple[Projections, ...]:
        """The projections of every frame, which begin at ``frames.start_s``; ``rng`` None leaves chance out."""
        counts = self.expected(motion=motion, left_over=left_over)
        camera, radius_mm = self.camera, self.camera.radius_mm(self.attenuation)
        return tuple(
            Projections(
                counts=(frame if rng is None else poisson_counts(frame, rng=rng))[:, None],
                angle_deg=camera.angle_deg,
                radius_mm=radius_mm,
                pixel_mm=(camera.pixel_mm, camera.pixel_mm),
                windows=TC_99M.windows,
                view_duration_s=np.full(camera.n_views, float(view_s)),
                collimator=camera.collimator,
                made_by=(f"simulated: virtual patient, {camera.name} camera, dynamic",),
            )
            for frame, view_s in zip(counts, self._view_s(), strict=True)
        )


@dataclass(frozen=True, eq=False, slots=True)
class SpectScan:
    """One state: the projections as the camera gives them, and the scene that they show."""

    scene: SpectScene
    frames: tuple[Projections, ...]
    displacement_mm: FloatArray


def scan_spect(
    patient: VirtualPatient, tracer: SpectTracer | str, *, habit: MotionHabit | None = None, again: int = 0
) -> dict[State, SpectScan]:
    """Rest, then stress, with what rest has left; ``again`` counts repetitions, each with its own noise and motion."""
    habit, left_over, scans = habit or MotionHabit(), None, {}
    states: tuple[State, ...] = ("rest", "stress")
    for state in states:
        scene = spect_scene(patient, state, tracer)
        rng = patient.rng(f"dynamic spect {scene.tracer.name} {state} {again}")
        motion = habit.draw(scene.frames, rng=rng)
        frames = scene.scan(rng=rng, motion=motion, left_over=left_over)
        scans[state] = SpectScan(scene, frames, motion.displacement_mm)
        left_over = scene.left_at(60 * MINUTES_BETWEEN)
    return scans


def spect_scene(
    patient: VirtualPatient, state: State, tracer: SpectTracer | str, *, flow: FloatArray | None = None
) -> SpectScene:
    """The patient at rest or under a vasodilator with this tracer, before the dedicated camera of the patient's site.

    ``flow`` (ring, angle) sets the truth, otherwise it is the patient's, the same that a PET study finds. The volume of
    distribution and the circulation are the patient's, the same in every call.

    Raises
    ------
    InvalidValue
        For an unknown tracer, a site whose camera turns, or flow that is no map of the wall.
    """
    agent = spect_tracer(tracer) if isinstance(tracer, str) else tracer
    camera = CAMERAS[patient.site.camera]
    if camera.turns:
        raise InvalidValue(
            f"the {camera.name} camera of {patient.site.name} turns too slowly to follow a bolus; flow needs a camera "
            "that sees all views at once"
        )
    frames = agent.frames
    if flow is None:
        flow = transmural_flow(pet_perfusion(patient), state)
    flow = np.asarray(flow, np.float64)
    if flow.shape != (40, 72) or not (flow >= 0).all():
        raise InvalidValue("flow is a map of 40 rings and 72 angles, of at least 0 mL/min/g")

    rng = patient.rng(f"dynamic spect {agent.name}")
    volume = agent.muscle_volume * float(np.exp(rng.normal(0, 0.15)))
    organ_scatter = float(np.exp(rng.normal(0, 0.15)))
    blood = circulation_of(patient, state, agent).inject(
        agent.dose_MBq[state], infusion_s=agent.infusion_s, begin_s=BEGIN_S, until_min=float(frames.end_min[-1])
    )
    seat, beating = patient.frame("supine"), patient.beating(state, "supine")
    grid = _with_room(beating.box_grid(_HEART_VOXEL_MM))
    shares = beating.fractions(grid)
    left_side = left_of_the_atria(grid, seat, patient.heart.left_atrium.radius_mm)

    curves = TimeCourses(agent, frames, blood, volume)
    coefficient, shapes = few_shapes(curves.wall(flow)[1].reshape(-1, len(frames)))
    ones = wall_image(beating, grid, np.ones((40, 72)))
    images, rows = [], []
    for k, row in enumerate(shapes):
        part = coefficient[:, k].reshape(40, 72)
        # Images are not negative: what a shape takes off is one more share of the even wall.
        lowest = min(float(part.min()), 0.0)
        images.append(wall_image(beating, grid, part - lowest))
        rows.append(row)
        if lowest < 0:
            images.append(ones)
            rows.append(lowest * row)
    left, right = curves.blood(blood.left), curves.blood(blood.right)
    right_wall = np.full((1, 1), 0.7 * float(np.median(flow)))
    for image, curve in (
        (shares["lv_blood"], left),
        (shares["rv_blood"], right),
        (shares["atria"] * left_side, left),
        (shares["atria"] * (1 - left_side), right),
        (shares["rv_wall"], curves.wall(right_wall)[1][0, 0]),
    ):
        images.append(image)
        rows.append(curve)
    tissues = patient.tissues(state, "supine", BODY_GRID)
    organs = {name: share for name, share in tissues.fraction.items() if name in ORGANS}
    organ_rows = [left if name == "vessel_blood" else curves.organ(name, organ_scatter) for name in organs]

    breath = np.array(breathing_sd_mm(patient, state))
    return SpectScene(
        tracer=agent,
        state=state,
        frames=frames,
        camera=camera,
        heart_grid=grid,
        heart=np.stack([_blurred(image, grid, breath) for image in images]),
        heart_kBq_mL=np.stack(rows),
        body=np.stack([_blurred(image, BODY_GRID, breath) for image in organs.values()]),
        body_kBq_mL=np.stack(organ_rows),
        attenuation=tissues.attenuation_per_cm(TC_99M.energy_keV),
        flow=flow,
        blood=blood,
        muscle_volume=volume,
        seat=seat,
    )


def _mixed(images: Array, amounts: FloatArray) -> Array:
    flat = np.asarray(amounts, np.float32) @ images.reshape(len(images), -1)
    return np.asarray(np.maximum(flat, 0).reshape(images.shape[1:]), np.float32)


def _sum_of(rates: FloatArray, rows: FloatArray) -> FloatArray:
    """Rates per region at unit activity (region, ...) added up at the regions' activities, (frame, ...)."""
    summed = np.asarray(rows.T, np.float32) @ np.asarray(rates, np.float32).reshape(len(rates), -1)
    frames: FloatArray = np.asarray(summed.reshape(rows.shape[1], *rates.shape[1:]))
    return frames


def _blurred(image: Array, grid: Grid, sd_mm: FloatArray) -> Array:
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(np.asarray(image, np.float32), sd_mm / grid.spacing_mm), np.float32)


def _displaced(image: Array, grid: Grid, by_mm: FloatArray) -> Array:
    from scipy.ndimage import shift

    if np.abs(by_mm).max() < _STILL_MM:
        return image
    return np.asarray(shift(image, by_mm / np.diag(grid.affine)[:3], order=1), np.float32)


def _with_room(grid: Grid) -> Grid:
    """The grid with an even number of voxels more on every side, so that a moving heart stays in it."""
    n = 2 * int(np.ceil(_MOVES_MM / float(grid.spacing_mm[0]) / 2))
    affine = np.array(grid.affine)
    affine[:3, 3] = grid.to_mm([-n, -n, -n])
    i, j, k = (m + 2 * n for m in grid.shape)
    return Grid((i, j, k), affine)


def _on_grid(volume: Volume, grid: Grid) -> Array:
    from scipy.ndimage import map_coordinates

    index = np.moveaxis(volume.grid.to_index(grid.points_mm()), -1, 0)
    return np.asarray(map_coordinates(np.asarray(volume.array), index, order=1, mode="constant"), np.float32)
