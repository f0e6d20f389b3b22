"""From what is in the patient to what the camera counts.

Expected counts are the sum of the heart (a fine box, all phases at once), everything else (a coarse grid), and what
both scatter. Breathing and the slow motion of cameras that stand still act on the images, the slow motion of a
camera that turns on its views. A gate adds up the phases of the heart that its beats let it see. The tracer decays
from view to view. All of it is linear in the activity; counts are drawn last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from myoscope.core import EnergyWindow, Grid, InvalidValue, Projections, Volume
from myoscope.core.geometry import FloatArray
from myoscope.physics.beats import Beats, Rhythm, draw_beats, steady_beats
from myoscope.physics.camera_geometry import PinholeGeometry
from myoscope.physics.collimator import COLLIMATORS
from myoscope.physics.decay import mean_share_left
from myoscope.physics.noise import poisson_counts
from myoscope.physics.operator import Projector
from myoscope.physics.parallel import parallel_projector
from myoscope.physics.pinhole import pinhole_projector
from myoscope.physics.scatter import scatter_kernel, scatter_sources
from myoscope.simulate.cameras import TC_99M, Camera, Emission, ParallelGeometry, projector_for
from myoscope.simulate.motion import AT_REST, Motion
from myoscope.simulate.scene import Scene

if TYPE_CHECKING:
    from torch import Tensor

_SCATTER_VOXEL_MM = 12.8
_SCATTER_ANGLE_DEG = 12.0
_SLOW_STEPS = 48  # instants at which the slow motion of a stationary camera's patient is looked at


@dataclass(frozen=True, eq=False, slots=True)
class Exposure:
    """Counts that a camera expects per second, before beats, decay and chance.

    ``heart`` (phase, view, v, u) in the photopeak, of which each window sees its ``heart_share``; ``rest`` (window,
    view, v, u): everything that does not beat, and all scatter. float32 arrays.
    """

    camera: Camera
    emission: Emission
    windows: tuple[EnergyWindow, ...]
    radius_mm: FloatArray
    heart_share: FloatArray
    heart: FloatArray
    rest: FloatArray

    @property
    def n_phases(self) -> int:
        return int(self.heart.shape[0])

    def counts(self, beats: Beats, view_duration_s: float) -> tuple[FloatArray, FloatArray]:
        """Expected counts (window, gate, view, v, u), and those that no gate took (window, view, v, u)."""
        stop = self.camera.stop
        decay = self._decay(view_duration_s)[stop]
        in_gate = (beats.gate_phase_s[stop] * decay[:, None, None]).astype(np.float32)  # (view, gate, phase) s
        left_out = (beats.left_out_s[stop] * decay[:, None]).astype(np.float32)  # (view, phase) s
        n_phases, n_views = self.heart.shape[:2]
        if in_gate.shape[2] != n_phases:
            raise InvalidValue(f"the beats tell {in_gate.shape[2]} phases of the heart apart, the scene {n_phases}")
        by_view = self.heart.reshape(n_phases, n_views, -1).transpose(1, 0, 2)
        mixed = (in_gate @ by_view).transpose(1, 0, 2).reshape(-1, *self.heart.shape[1:])  # (gate, view, v, u)
        missed = (left_out[:, None] @ by_view).reshape(self.heart.shape[1:])
        share = self.heart_share.astype(np.float32)[:, None, None, None]
        gate_s = in_gate.sum(axis=2).T[None, :, :, None, None]
        gated = share[..., None] * mixed + gate_s * self.rest[:, None]
        lost = share * missed + left_out.sum(axis=1)[None, :, None, None] * self.rest
        return gated, lost

    def _decay(self, view_duration_s: float) -> FloatArray:
        """Activity of each stop with respect to the middle of the acquisition."""
        start = np.arange(self.camera.n_stops) * (view_duration_s + self.camera.step_s)
        middle = self.camera.scan_s(view_duration_s) / 2
        return mean_share_left(self.emission.nuclide, start - middle, view_duration_s)


def expose(
    scene: Scene,
    camera: Camera,
    *,
    view_duration_s: float,
    motion: Motion = AT_REST,
    windows: Sequence[EnergyWindow] | None = None,
    emission: Emission = TC_99M,
    scatter: bool = True,
    device: str = "cpu",
) -> Exposure:
    """What a camera expects per second of a scene: projections of everything, once, for any beats and noise.

    ``windows`` are those of the emission (photopeak and a lower one) unless given. The scene's places are those of
    the time average of breathing and slow motion.

    Raises
    ------
    InvalidValue
        If a view lasts no time.
    """
    import torch

    if view_duration_s <= 0:
        raise InvalidValue(f"a view lasts a positive time, got {view_duration_s:g} s")
    chosen = tuple(emission.windows if windows is None else windows)
    radius_mm = camera.radius_mm(scene.attenuation)
    slow_heart, slow_body = _slow_motion(camera, motion, view_duration_s)
    moved = _moved(scene, motion, None if camera.turns else slow_heart)

    with torch.no_grad():

        def seen(image: Volume) -> Tensor:
            projector = projector_for(
                camera,
                image.grid,
                attenuation=scene.attenuation,
                radius_mm=radius_mm,
                emission=emission,
                device=device,
            )
            return projector.forward(torch.as_tensor(np.array(image.array, np.float32), device=device))

        heart, rest = seen(moved.heart), seen(moved.background)
        if camera.turns:
            heart = _shifted(heart, slow_heart, camera)
            rest = _shifted(rest, slow_body, camera)
        reference = float(camera.response().acceptance(emission.energy_keV, emission.windows[0]))
        share = [float(camera.response().acceptance(emission.energy_keV, w)) / reference for w in chosen]
        shares = torch.tensor(share, dtype=torch.float32, device=device)
        rest = rest[None] * shares[:, None, None, None]
        if scatter:
            rest = rest + _scattered(moved, camera, chosen, emission, radius_mm, device) / reference
    # Shifts by parts of a pixel and the few terms of the blur ring a little where there is nothing.
    return Exposure(
        camera,
        emission,
        chosen,
        radius_mm,
        np.asarray(share),
        np.maximum(heart.cpu().numpy(), 0),
        np.maximum(rest.cpu().numpy(), 0),
    )


def expected_counts(
    scene: Scene,
    camera: Camera,
    *,
    view_duration_s: float,
    motion: Motion = AT_REST,
    beats: Beats | None = None,
    windows: Sequence[EnergyWindow] | None = None,
    emission: Emission = TC_99M,
    scatter: bool = True,
    device: str = "cpu",
) -> Projections:
    """Mean counts of an acquisition, real numbers: gated with the phases of the scene, or by ``beats``.

    Without ``beats`` every gate is one phase of the scene and holds its equal share of the time, so that the gates
    add up to the ungated acquisition. A scene of one phase gives ungated projections.
    """
    exposure = expose(
        scene,
        camera,
        view_duration_s=view_duration_s,
        motion=motion,
        windows=windows,
        emission=emission,
        scatter=scatter,
        device=device,
    )
    beats = beats if beats is not None else _steady_for(scene, camera, view_duration_s, n_gates=scene.n_gates)
    gated, _ = exposure.counts(beats, view_duration_s)
    return _projections(exposure, gated, view_duration_s, beats)


def acquire(
    scene: Scene,
    camera: Camera,
    *,
    view_duration_s: float,
    motion: Motion = AT_REST,
    beats: Rhythm | Beats | None,
    rng: np.random.Generator,
    n_gates: int | None = None,
    windows: Sequence[EnergyWindow] | None = None,
    emission: Emission = TC_99M,
    scatter: bool = True,
    device: str = "cpu",
) -> Projections:
    """One acquisition: integer counts (window, gate, view, v, u).

    ``beats`` None = ungated, every photon counts; a `Rhythm` = gated into ``n_gates`` (as many as the scene has
    phases unless given) by beats drawn from it.
    """
    gated, ungated = acquire_gated_and_ungated(
        scene,
        camera,
        view_duration_s=view_duration_s,
        motion=motion,
        beats=beats if beats is not None else _steady_for(scene, camera, view_duration_s),
        rng=rng,
        n_gates=n_gates,
        windows=windows,
        emission=emission,
        scatter=scatter,
        device=device,
    )
    return ungated if beats is None else gated


def acquire_gated_and_ungated(
    scene: Scene,
    camera: Camera,
    *,
    view_duration_s: float,
    motion: Motion = AT_REST,
    beats: Rhythm | Beats,
    rng: np.random.Generator,
    n_gates: int | None = None,
    windows: Sequence[EnergyWindow] | None = None,
    emission: Emission = TC_99M,
    scatter: bool = True,
    device: str = "cpu",
) -> tuple[Projections, Projections]:
    """One acquisition, as a camera stores it: gated, and ungated with the photons of rejected beats as well.

    Both hold the same photons; the ungated counts are the gated ones and what no gate took.
    """
    exposure = expose(
        scene,
        camera,
        view_duration_s=view_duration_s,
        motion=motion,
        windows=windows,
        emission=emission,
        scatter=scatter,
        device=device,
    )
    if isinstance(beats, Rhythm):
        beats = draw_beats(
            beats,
            n_gates=n_gates or exposure.n_phases,
            n_phases=exposure.n_phases,
            stop_s=np.full(camera.n_stops, view_duration_s),
            rng=rng,
        )
    expected, left_out = exposure.counts(beats, view_duration_s)
    gated = poisson_counts(expected, rng=rng)
    total = gated.sum(axis=1, keepdims=True, dtype=np.uint32)
    if left_out.any():
        total = total + poisson_counts(left_out, rng=rng)[:, None]
    if total.max(initial=0) <= np.iinfo(np.uint16).max:
        total = total.astype(np.uint16)
    return (
        _projections(exposure, gated, view_duration_s, beats),
        _projections(exposure, total, view_duration_s, None),
    )


def _steady_for(scene: Scene, camera: Camera, view_duration_s: float, n_gates: int = 1) -> Beats:
    return steady_beats(n_gates=n_gates, n_phases=scene.n_gates, stop_s=np.full(camera.n_stops, view_duration_s))


def _projections(exposure: Exposure, counts: FloatArray, view_duration_s: float, beats: Beats | None) -> Projections:
    camera = exposure.camera
    return Projections(
        counts=counts,
        angle_deg=camera.angle_deg,
        radius_mm=exposure.radius_mm,
        pixel_mm=(camera.pixel_mm, camera.pixel_mm),
        windows=exposure.windows,
        view_duration_s=np.full(camera.n_views, view_duration_s),
        collimator=camera.collimator,
        gating=beats.gating if beats is not None and beats.gating is not None else None,
        made_by=(f"simulated: virtual patient, {camera.name} camera",),
    )


def _slow_motion(camera: Camera, motion: Motion, view_duration_s: float) -> tuple[FloatArray, FloatArray]:
    """Displacement (mm, LPS) of heart and body about its mean: at each view, or at even times (time, 3)."""
    if camera.turns:
        start = np.arange(camera.n_stops) * (view_duration_s + camera.step_s)
        within = (np.arange(8) + 0.5) / 8 * view_duration_s
        time_s = np.add.outer(start, within)
    else:
        time_s = ((np.arange(_SLOW_STEPS) + 0.5) / _SLOW_STEPS * camera.scan_s(view_duration_s))[:, None]
    heart = motion.displacement_mm(time_s).mean(axis=1)
    body = motion.patient_displacement_mm(time_s).mean(axis=1)
    return heart - heart.mean(axis=0), body - body.mean(axis=0)


def _moved(scene: Scene, motion: Motion, slow_mm: FloatArray | None) -> Scene:
    """The scene averaged over breathing, and over slow motion where that acts on the image."""
    displacement = motion.breathing_spread()
    if slow_mm is not None:
        displacement = (displacement[:, None] + slow_mm[None]).reshape(-1, 3)
    if np.abs(displacement).max() < 0.05:
        return scene
    heart = _smeared(_with_margin(scene.heart, displacement), displacement)
    # Organs under the diaphragm breathe with the heart; the chest wall, which does not, holds little activity.
    return Scene(heart, _smeared(scene.background, displacement), scene.attenuation)


def _smeared(volume: Volume, displacement_mm: FloatArray) -> Volume:
    """The mean of a volume displaced by each of the equally likely displacements; same grid."""
    from scipy.fft import irfftn, next_fast_len, rfftn

    array = np.asarray(volume.array, dtype=np.float32)
    steps = displacement_mm / volume.grid.spacing_mm
    reach = np.ceil(np.abs(steps).max(axis=0)).astype(int)
    shape = [next_fast_len(n + int(r), real=True) for n, r in zip(volume.grid.shape, reach, strict=True)]
    kernel = np.zeros(shape, dtype=np.float32)
    below = np.floor(steps).astype(int)
    part = steps - below
    for corner in np.ndindex(2, 2, 2):
        share = np.prod(np.where(corner, part, 1 - part), axis=1)
        place = tuple(((below + corner) % shape).T)
        np.add.at(kernel, place, share / len(steps))
    n_i, n_j, n_k = volume.grid.shape
    axes = (-3, -2, -1)
    moved = irfftn(rfftn(array, s=shape, axes=axes) * rfftn(kernel), s=shape, axes=axes)[..., :n_i, :n_j, :n_k]
    return volume.like(np.maximum(moved, 0).astype(np.float32), "averaged over motion")


def _with_margin(volume: Volume, displacement_mm: FloatArray) -> Volume:
    """The volume on a grid with room for its activity to move."""
    array = np.asarray(volume.array)
    need = np.ceil(np.abs(displacement_mm).max(axis=0) / volume.grid.spacing_mm).astype(int) + 1
    active: NDArray[np.bool_] = np.asarray(array.any(axis=0))
    pad = []
    for axis in range(3):
        where = np.flatnonzero(np.moveaxis(active, axis, 0).reshape(active.shape[axis], -1).any(axis=1))
        if not len(where):
            return volume
        n = active.shape[axis]
        missing = (int(need[axis]) - int(where[0]), int(need[axis]) - (n - 1 - int(where[-1])))
        pad.append((max(missing[0], 0), max(missing[1], 0)))
    if not any(map(any, pad)):
        return volume
    grid = volume.grid
    affine = np.array(grid.affine)
    affine[:3, 3] = grid.to_mm([-before for before, _ in pad])
    shape = tuple(n + before + after for n, (before, after) in zip(grid.shape, pad, strict=True))
    padded = np.pad(array, [(0, 0)] * (array.ndim - 3) + pad)
    wider = Grid((shape[0], shape[1], shape[2]), affine)
    return Volume(padded, wider, volume.unit, (*volume.made_by, "margin for motion"), volume.frame_axis, volume.gating)


def _shifted(views: Tensor, slow_mm: FloatArray, camera: Camera) -> Tensor:
    """Views (..., view, v, u) moved along the detector as the displacement of each stop (stop, 3) asks."""
    import torch

    if np.abs(slow_mm).max() < 0.02:
        return views
    at_view = slow_mm[camera.stop]
    phi = np.radians(camera.angle_deg)
    along_u = (-np.cos(phi) * at_view[:, 0] + np.sin(phi) * at_view[:, 1]) / camera.pixel_mm
    along_v = -at_view[:, 2] / camera.pixel_mm
    n_v, n_u = views.shape[-2:]
    turn = np.exp(
        -2j
        * np.pi
        * (
            np.fft.fftfreq(n_v)[None, :, None] * along_v[:, None, None]
            + np.fft.rfftfreq(n_u)[None, None, :] * along_u[:, None, None]
        )
    )
    phase = torch.as_tensor(turn.astype(np.complex64), device=views.device)
    moved: Tensor = torch.fft.irfft2(torch.fft.rfft2(views) * phase, s=(n_v, n_u))
    return moved


def _scattered(
    scene: Scene,
    camera: Camera,
    windows: tuple[EnergyWindow, ...],
    emission: Emission,
    radius_mm: FloatArray,
    device: str,
) -> Tensor:
    """Scatter per second in every window, shape (window, view, v, u): projected coarsely, as it is smooth."""
    mu = scatter_grid_mean(scene.attenuation)
    activity = np.asarray(scatter_grid_mean(scene.background).array) + dropped(scene.heart, mu.grid)
    return scattered_views(activity, mu, camera, windows, emission, radius_mm, device)


def scatter_grid_mean(volume: Volume) -> Volume:
    """A volume as block means on the coarse lattice on which scatter is made; activity keeps its total."""
    factor = max(1, int(np.ceil(_SCATTER_VOXEL_MM / float(volume.grid.spacing_mm[0]) - 0.01)))
    coarse = _block_mean(np.asarray(volume.array, np.float32), factor)
    return Volume(coarse, _coarser(volume.grid, factor), volume.unit, volume.made_by)


def scattered_views(
    activity: FloatArray,
    mu: Volume,
    camera: Camera,
    windows: tuple[EnergyWindow, ...],
    emission: Emission,
    radius_mm: FloatArray,
    device: str = "cpu",
) -> Tensor:
    """Scatter per second in every window, shape (window, view, v, u), of activity (i, j, k) on the grid of ``mu``."""
    import torch

    grid = mu.grid
    g = camera.geometry
    if isinstance(g, PinholeGeometry):
        coarse = replace(
            g, pixel_mm=2 * g.pixel_mm, detector_shape=(g.detector_shape[0] // 2, g.detector_shape[1] // 2)
        )
        towards = g.towards_detector
        projector: Projector = pinhole_projector(
            grid, geometry=coarse, attenuation=mu, photons_per_decay=emission.photons_per_decay, device=device
        )
    else:
        first, last = float(camera.angle_deg.min()), float(camera.angle_deg.max())
        angles = np.linspace(first, last, max(2, round((last - first) / _SCATTER_ANGLE_DEG) + 1))
        phi = np.radians(angles)
        towards = np.stack([np.sin(phi), np.cos(phi), np.zeros_like(phi)], axis=1)
        half_mm = max(n * camera.pixel_mm for n in camera.detector_shape) / 2
        if not isinstance(g, ParallelGeometry):
            half_mm = max(half_mm, float(np.abs(g.u_centre_mm).max()) + g.detector_shape[1] * g.pixel_mm / 2)
        pixel_mm = float(grid.spacing_mm[0])
        n = 2 * int(np.ceil(half_mm / pixel_mm)) + 2
        order = np.argsort(camera.angle_deg)
        projector = parallel_projector(
            grid,
            angle_deg=angles,
            radius_mm=np.round(np.interp(angles, camera.angle_deg[order], radius_mm[order]), -1),
            pixel_mm=pixel_mm,
            detector_shape=(n, n),
            collimator=COLLIMATORS[g.collimator] if isinstance(g, ParallelGeometry) else g.collimator,
            attenuation=mu,
            energy_keV=emission.energy_keV,
            photons_per_decay=emission.photons_per_decay,
        )
        projector = projector if device == "cpu" else projector.to(device)
    kernel = scatter_kernel(
        grid,
        towards_detector=towards,
        windows=windows,
        response=camera.response(),
        energy_keV=emission.energy_keV,
        mu_water_per_cm=emission.mu_water_per_cm,
    )
    sources = scatter_sources(
        torch.as_tensor(np.array(activity, np.float32), device=device),
        torch.as_tensor(np.array(mu.array), device=device),
        kernel.to(device),
    )
    views = torch.einsum("wvb,bvyx->wvyx", kernel.view_weight.to(device), projector.forward(sources))
    views = torch.clamp(views, min=0)
    if isinstance(g, PinholeGeometry):
        return torch.nn.functional.interpolate(views, scale_factor=2, mode="bilinear") / 4
    return _read_views(views, angles, pixel_mm, camera)


def _read_views(views: Tensor, angles_deg: FloatArray, pixel_mm: float, camera: Camera) -> Tensor:
    """The camera's own views from smooth parallel ones (window, angle, v, u) of larger pixels, interpolated."""
    import torch

    g = camera.geometry
    n_v, n_u = camera.detector_shape
    v_mm = (np.arange(n_v) - (n_v - 1) / 2) * camera.pixel_mm
    u_mm = (np.arange(n_u) - (n_u - 1) / 2) * camera.pixel_mm
    centre_mm = np.zeros(camera.n_views) if isinstance(g, ParallelGeometry) else g.u_centre_mm  # type: ignore[union-attr]
    n_angles, n = views.shape[1:3]
    at_angle = (camera.angle_deg - angles_deg[0]) / (angles_deg[-1] - angles_deg[0]) * 2 - 1
    place = np.empty((camera.n_views, n_v, n_u, 3), dtype=np.float32)
    place[..., 0] = 2 * (u_mm + centre_mm[:, None])[:, None, :] / (n * pixel_mm)
    place[..., 1] = 2 * v_mm[None, :, None] / (n * pixel_mm)
    # grid_sample puts the first and last samples half a step inside of -1 and 1.
    place[..., 2] = at_angle[:, None, None] * (n_angles - 1) / n_angles
    sampled = torch.nn.functional.grid_sample(
        views[None], torch.as_tensor(place, device=views.device)[None], padding_mode="border", align_corners=False
    )
    return sampled[0] * (camera.pixel_mm / pixel_mm) ** 2


def _coarser(grid: Grid, factor: int) -> Grid:
    """The grid of blocks of ``factor`` voxels, from the first voxel on."""
    if factor == 1:
        return grid
    shape = tuple(-(-n // factor) for n in grid.shape)
    affine = np.array(grid.affine)
    affine[:3, :3] *= factor
    affine[:3, 3] = grid.to_mm(np.full(3, (factor - 1) / 2))
    return Grid((shape[0], shape[1], shape[2]), affine)


def _block_mean(array: FloatArray, factor: int) -> FloatArray:
    padded = np.pad(array, [(0, -n % factor) for n in array.shape])
    i, j, k = (n // factor for n in padded.shape)
    mean: FloatArray = padded.reshape(i, factor, j, factor, k, factor).mean(axis=(1, 3, 5), dtype=np.float32)
    return mean


def dropped(heart: Volume, grid: Grid) -> FloatArray:
    """The heart's mean activity over its phases as a concentration on a coarser grid; keeps the total."""
    activity = np.asarray(heart.array, dtype=np.float32).mean(axis=0)
    index = [
        np.round(
            (heart.grid.to_mm(np.eye(3)[a] * np.arange(heart.grid.shape[a])[:, None])[:, a] - grid.affine[a, 3])
            / grid.spacing_mm[a]
        ).astype(int)
        for a in range(3)
    ]
    dropped = activity
    for axis in range(3):
        onto = np.zeros((grid.shape[axis], heart.grid.shape[axis]), dtype=np.float32)
        inside = (index[axis] >= 0) & (index[axis] < grid.shape[axis])
        onto[index[axis][inside], np.flatnonzero(inside)] = 1
        dropped = np.moveaxis(np.tensordot(onto, dropped, axes=(1, axis)), 0, axis)
    scaled: FloatArray = dropped * np.float32(heart.grid.voxel_volume_mL / grid.voxel_volume_mL)
    return scaled
