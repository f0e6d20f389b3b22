"""Where the heart lies in each frame of a dynamic study, relative to its late frames.

Patients settle, breathe deeply when the stress agent starts, and drift; a heart that has moved by a centimetre while
the bolus passes takes blood for muscle. Each frame is displaced until it fits best what the heart can show at its time:

    frame(x + d)  =  a muscle(x) + b (l left blood(x) + r right blood(x)) + c

with free a, b and c. Frames in which muscle stands out are tied to the late image. From them, once they lie in place,
comes an image of all blood, for a minute after the bolus both ventricles hold the same: that ties the frames of the
blood phase, which show no muscle, to the wall. How much blood is left and right, l and r, is read in the middle of both
pools, where a displacement hardly matters; without that, the right pool would be laid over the left one.

Drawn blood and the late image are not quite what early frames show, and draw them off by a few millimetres. Where three
time courses explain the heart well, all frames are therefore settled together (`joint_placement`), which asks nothing
of templates; courses and places are found in turn.

Displacements are sought within 25 mm, all at once by Fourier transform, and read between the voxels off the paraboloid
of the misfit. Translation only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from myoscope.core import Grid, InvalidValue, Surfaces, Volume
from myoscope.core.geometry import FloatArray, frozen
from myoscope.correct.joint_placement import joint_step
from myoscope.physics.compartments import one_tissue
from myoscope.physics.frames import Frames
from myoscope.physics.time_curve import TimeCurve

FrameKind = Literal["empty", "blood", "tissue"]

SEARCH_MM = 25.0
_LEAP_MM = 13.0
_MARGIN_MM = 34.0
_SMOOTH_FWHM_MM = 7.0
_PRIOR_MM = 8.0
_GRAIN_MM = 12.0  # noise of the smoothed image is correlated over about this width
_BEHIND_VALVE_MM = 18.0
_LEAST_FIT = 0.25
# Left unexplained at the best place, of what is at the place of the next frame: above this, the frame stays with it. In
# noise-free scans of still hearts, false displacements of 4 to 12 mm left 0.76 to 0.97 (ammonia, water).
_CLEAR_GAIN = 0.7
_INNER_SIDE = 0.38  # of the fitted thickness from the middle of the wall to where blood begins
_NEAR_MM, _WIDE_MM = 8.0, 30.0
_SEPTUM_DEG, _CRESCENT_MM = (115, 245), 28.0
_SETTLE_ROUNDS = 4
_FWHM = float(np.sqrt(8 * np.log(2)))


@dataclass(frozen=True, eq=False, slots=True)
class FrameShifts:
    """Displacement of the heart in each frame from its place in the late image, LPS mm, (frame, 3).

    ``kind`` says what the frame shows; ``fit`` (frame,) is the share of the frame's variance about the heart that the
    model explains, 0 to 1, and ``error_mm`` (frame, 3) the standard error of the displacement. Frames that show nothing
    have a displacement of 0 and no error (NaN).
    """

    displacement_mm: FloatArray
    kind: tuple[FrameKind, ...]
    fit: FloatArray
    error_mm: FloatArray

    def __post_init__(self) -> None:
        n = len(self.kind)
        for name, shape in (("displacement_mm", (n, 3)), ("fit", (n,)), ("error_mm", (n, 3))):
            value = frozen(getattr(self, name), np.float64)
            if value.shape != shape:
                raise InvalidValue(f"{name} of {n} frames has shape {shape}, got {value.shape}")
            object.__setattr__(self, name, value)

    @classmethod
    def none(cls, n_frames: int) -> FrameShifts:
        """No displacement in any frame."""
        kind: tuple[FrameKind, ...] = tuple("tissue" for _ in range(n_frames))
        return cls(np.zeros((n_frames, 3)), kind, np.full(n_frames, np.nan), np.zeros((n_frames, 3)))

    @property
    def largest_mm(self) -> float:
        """Length of the largest displacement."""
        return float(np.linalg.norm(self.displacement_mm, axis=1).max())


def find_frame_shifts(
    volume: Volume, surfaces: Surfaces, *, late: NDArray[np.bool_], settle: bool = False
) -> FrameShifts:
    """Displacement of the heart in every frame of a dynamic image.

    ``surfaces`` is the wall fitted to the mean of the ``late`` frames (frame,). With ``settle`` all frames are settled
    together at the end: for tracers whose muscle has one course of time, as rubidium's has. Where lung, liver and
    muscle differ in time (ammonia, water) it would lead astray.

    Raises
    ------
    InvalidValue
        If the image is not dynamic, or no frame is late.
    """
    _refuse_unplaceable(volume, surfaces, late)
    box = _Box.about(volume, surfaces)
    septal = box.septal_side(surfaces)
    around = box.near(surfaces, _NEAR_MM)
    # Until right blood is seen, little of it is looked at.
    near = np.where(septal > 0.5, box.near(surfaces, 2.0), around)
    wide = np.maximum(around, box.near(surfaces, _WIDE_MM) * septal)
    drawn, on_the_left = box.left_blood(surfaces), box.left_side(surfaces)
    wall, pool = box.wall(surfaces) > 0.6, drawn > 0.9
    seen = _Frames(box, box.frames, Frames.of(volume))

    left = seen.mean_in(pool)
    muscle = seen.muscle(left, wall)
    shows = np.maximum(np.abs(left), muscle) > 0.03 * max(float(left.max()), float(muscle.max()))
    led = np.flatnonzero(shows & (muscle > 0.5 * left) & (muscle > 0.2 * muscle.max()))
    others = np.setdiff1d(np.flatnonzero(shows), led)
    reference = box.frames[late].mean(axis=0)

    # Muscle leads: the late image and drawn blood say where, then blood as it is seen beside the muscle.
    late_muscle = float(muscle[late].mean())
    seen.place(led, _Templates(box, (reference, drawn, box.beside_septum(surfaces)), near))
    blood = seen.blood(led, left, muscle, reference, late_muscle)
    left_blood, right_blood = blood * on_the_left, blood * (1 - on_the_left)
    # Blood leads: both pools, each with as much as it holds.
    right = seen.mean_in(_brightest(right_blood, wide))
    # From the later to the earlier ones: patients do not leap from frame to frame.
    templates = _Templates(box, (reference, left_blood, right_blood), wide)
    for f in others[::-1]:
        seen.place([f], templates, blood=(left, right), beside=seen.next_place(f, led, others))
    if settle and others.size:
        which = np.flatnonzero(shows & (seen.fit > _LEAST_FIT))
        right_blood = seen.separated(which, (muscle, left, right))[2]
        seen.settle(which, wide, late, regions=(wall, pool, _brightest(right_blood, wide)))

    lost = ~(seen.fit > _LEAST_FIT)
    seen.shift[lost], seen.error[lost] = 0.0, np.nan
    muscle_leads = np.isin(np.arange(len(lost)), led)
    kind: list[FrameKind] = [
        "empty" if gone else "tissue" if by_muscle else "blood"
        for gone, by_muscle in zip(lost, muscle_leads, strict=True)
    ]
    return FrameShifts(seen.shift, tuple(kind), seen.fit, seen.error)


def _brightest(blood: FloatArray, weight: FloatArray) -> NDArray[np.bool_]:
    """Where an image of blood is nearly as bright as it gets, of the places that count."""
    level = max(float(np.quantile(blood[weight > 0.5], 0.98)), 1e-9)
    bright: NDArray[np.bool_] = blood > 0.75 * level
    return bright


def find_relative_shifts(volume: Volume, surfaces: Surfaces, *, late: NDArray[np.bool_]) -> FrameShifts:
    """Displacement of the heart in every frame from where it lay on average, for images too blurred for more.

    In an image that shows the wall thrice as thick as it is, drawn templates misplace even a heart that lies still, by
    a centimetre in virtual dynamic SPECT. Here nothing is drawn: images of muscle, left and right blood come from the
    frames themselves by their time courses, and each frame is laid over their mixture. A still heart stays in place.
    Jumps of single frames are found; a displacement that all frames of the blood phase share is not, since nothing
    in such an image ties blood to wall.

    Raises
    ------
    InvalidValue
        As `find_frame_shifts`, and if no frame shows anything where the heart should be.
    """
    _refuse_unplaceable(volume, surfaces, late)
    box = _Box.about(volume, surfaces)
    wide = np.maximum(box.near(surfaces, _NEAR_MM), box.near(surfaces, _WIDE_MM) * box.septal_side(surfaces))
    drawn, beside = box.left_blood(surfaces), box.beside_septum(surfaces)
    # The blurred cavity of a small heart reaches no fixed level.
    wall, pool, crescent = box.wall(surfaces) > 0.6, drawn > 0.85 * drawn.max(), beside > 0.6 * beside.max()
    seen = _Frames(box, box.frames, Frames.of(volume))
    left = seen.mean_in(pool)
    muscle, right = seen.muscle(left, wall), seen.mean_in(crescent)
    shows = np.maximum(np.abs(left), muscle) > 0.03 * max(float(left.max()), float(muscle.max()))
    which = np.flatnonzero(shows)
    if not which.size:
        raise InvalidValue("no frame shows blood or muscle where the heart was found; is it another organ?")
    tissue, left_blood, right_blood = seen.separated(which, (muscle, left, right))
    seen.place(which, _Templates(box, (tissue, left_blood, right_blood), wide))
    lost = ~(seen.fit > _LEAST_FIT)
    seen.shift[lost], seen.error[lost] = 0.0, np.nan
    kind: list[FrameKind] = [
        "empty" if gone else "tissue" if m > 0.5 * b else "blood" for gone, m, b in zip(lost, muscle, left, strict=True)
    ]
    return FrameShifts(seen.shift, tuple(kind), seen.fit, seen.error)


def _refuse_unplaceable(volume: Volume, surfaces: Surfaces, late: NDArray[np.bool_]) -> None:
    if volume.frame_axis != "time":
        raise InvalidValue("frames are aligned in dynamic images; this one has no time frames")
    if late.shape != (volume.n_frames,) or not late.any():
        raise InvalidValue("at least one frame is late")
    if surfaces.endo_mm.ndim != 3:
        raise InvalidValue("frames are aligned to one wall, not to gates")


class _Frames:
    """Frames of a box with where each of them has been placed so far."""

    def __init__(self, box: _Box, images: FloatArray, timing: Frames) -> None:
        n = len(images)
        self.box, self.images, self.timing = box, images, timing
        self.shift, self.fit, self.error = np.zeros((n, 3)), np.full(n, np.nan), np.full((n, 3), np.nan)
        self.moved = np.array(images)

    def mean_in(self, region: NDArray[np.bool_]) -> FloatArray:
        """Mean of each frame over a region, (frame,)."""
        if not region.any():
            return np.zeros(len(self.images))
        return np.array([float(f[region].mean()) for f in self.moved])

    def muscle(self, left: FloatArray, wall: NDArray[np.bool_]) -> FloatArray:
        """What muscle holds of the wall's mean curve, (frame,): the rest is spilt blood. One compartment, on a grid."""
        there = self.mean_in(wall)
        curve = TimeCurve.through_means(self.timing, np.maximum(left, 0))
        rates = np.concatenate([[0.0], np.geomspace(0.02, 3.0, 12)])
        weight = self.timing.duration_min
        best: tuple[float, FloatArray] = (np.inf, np.zeros_like(left))
        for shape in one_tissue(curve, self.timing, rates):
            design = np.stack([shape, left])
            solved = np.clip(
                np.linalg.lstsq((design * np.sqrt(weight)).T, there * np.sqrt(weight), rcond=None)[0], 0, None
            )
            misfit = float((weight * (there - solved @ design) ** 2).sum())
            if misfit < best[0]:
                best = misfit, solved[0] * shape
        return best[1]

    def place(
        self,
        which: Iterable[int],
        templates: _Templates,
        *,
        blood: tuple[FloatArray, FloatArray] | None = None,
        beside: FloatArray | None = None,
    ) -> None:
        """Displace these frames to where they fit the templates best, within reach of a place if one is given.

        ``blood`` holds how much left and right blood each frame shows; without it, their amounts are free.
        """
        for f in which:
            mix = None if blood is None else (float(blood[0][f]), float(blood[1][f]))
            self.shift[f], self.fit[f], self.error[f] = templates.place(self.images[f], mix, beside)
            self.moved[f] = self.box.displaced(self.images[f], self.shift[f])

    def next_place(self, frame: int, led: NDArray[np.intp], others: NDArray[np.intp]) -> FloatArray:
        """Where the heart lies in the next later frame that has been placed."""
        later = [g for g in (*led, *others) if g > frame and self.fit[g] > _LEAST_FIT]
        return np.zeros(3) if not later else np.array(self.shift[min(later)])

    def blood(
        self, which: NDArray[np.intp], left: FloatArray, muscle: FloatArray, reference: FloatArray, late: float
    ) -> FloatArray:
        """All blood as frames in place show it beside their muscle, about 1 where nothing else is."""
        total, weight = np.zeros_like(reference), 0.0
        for f in which:
            total += left[f] * (self.moved[f] - muscle[f] / max(late, 1e-9) * reference)
            weight += float(left[f]) ** 2
        return np.clip(total / max(weight, 1e-30), 0, 1.2)

    def settle(
        self,
        which: NDArray[np.intp],
        weight: FloatArray,
        late: NDArray[np.bool_],
        *,
        regions: tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]],
    ) -> None:
        """Settle these frames together; ``regions`` are wall, left and right blood, where courses are read."""
        wall, pool, crescent = regions
        counted = weight > 1e-3
        inside = weight[counted]
        grains = float(weight.sum()) * self.box.grid.voxel_volume_mL * 1000 / _GRAIN_MM**3
        level = np.maximum([float(f[counted] @ inside) for f in self.moved[which]], 1e-9)
        precision = self.timing.duration_min[which] / level
        for _ in range(_SETTLE_ROUNDS):
            left = self.mean_in(pool)
            courses = np.stack([self.muscle(left, wall), left, self.mean_in(crescent)], axis=1)[which]
            step, self.error[which] = joint_step(
                np.stack([self.moved[f][counted] for f in which]).astype(np.float32),
                np.stack([self.box.gradient(self.moved[f])[:, counted] for f in which]),
                courses / np.maximum(np.abs(courses).max(axis=0), 1e-9),
                weight=inside.astype(np.float32),
                precision=precision / precision.mean(),
                grains=grains,
                shifts_mm=self.shift[which],
                late=late[which],
            )
            self.shift[which] += step
            for f in which:
                self.moved[f] = self.box.displaced(self.images[f], self.shift[f])

    def separated(self, which: NDArray[np.intp], courses: tuple[FloatArray, ...]) -> tuple[FloatArray, ...]:
        """Images of what follows each time course, (course, i, j, k), by least squares over frames in place."""
        scale = [max(float(np.abs(c[which]).max()), 1e-9) for c in courses]
        design = np.stack([c[which] / s for c, s in zip(courses, scale, strict=True)], axis=1)
        weight = np.sqrt(self.timing.duration_min[which])[:, None]
        inverse = np.linalg.pinv(design * weight)
        data = self.moved[which].reshape(len(which), -1) * weight
        images = (inverse @ data).reshape(len(courses), *self.images.shape[1:])
        return tuple(np.clip(image / s, 0, None) for image, s in zip(images, scale, strict=True))


class _Templates:
    """What a frame is made of: wall, left and right blood, and a constant; ready to be compared at every shift."""

    def __init__(self, box: _Box, images: tuple[FloatArray, FloatArray, FloatArray], weight: FloatArray) -> None:
        self.box, self.weight = box, weight
        spacing = box.grid.spacing_mm
        self.reach = np.floor(SEARCH_MM / spacing).astype(int)
        from scipy import fft

        self.size = [
            fft.next_fast_len(int(n + 2 * r), real=True) for n, r in zip(weight.shape, self.reach, strict=True)
        ]
        self.images = (*images, np.ones_like(weight))
        self.spectra = [np.conj(fft.rfftn((weight * t).astype(np.float32), self.size)) for t in self.images]
        self.whole = np.conj(fft.rfftn(weight.astype(np.float32), self.size))
        flat = np.stack([t.ravel() for t in self.images])
        self.gram = (flat * weight.ravel()) @ flat.T
        steps = [np.arange(-r, r + 1) for r in self.reach]
        index = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1)
        self.offsets = index @ (box.grid.direction * spacing).T
        self.inside = (self.offsets**2).sum(axis=-1) <= SEARCH_MM**2
        grains = float(weight.sum()) * box.grid.voxel_volume_mL * 1000 / _GRAIN_MM**3
        self.dof = max(grains - 6, 4.0)

    def place(
        self, frame: FloatArray, blood: tuple[float, float] | None, beside: FloatArray | None
    ) -> tuple[FloatArray, float, FloatArray]:
        """Displacement (mm) at which a frame fits best, the share of its variance that is explained, its error."""
        # Beyond the box a frame goes on as at its edge.
        padded = np.pad(frame, [(int(r), int(r)) for r in self.reach], mode="edge")
        from scipy import fft

        scale = max(float(np.abs(frame).max()), 1e-30)
        padded = (padded / scale).astype(np.float32)
        image, squared = fft.rfftn(padded, self.size), fft.rfftn(padded**2, self.size)
        mix = np.eye(4)
        if blood is not None:
            left, right = max(blood[0], 0.0), max(blood[1], 0.0)
            total_blood = max(left + right, 1e-30)
            mix = np.array([[1, 0, 0, 0], [0, left / total_blood, right / total_blood, 0], [0, 0, 0, 1]])
        mix = mix[(mix @ np.diag(self.gram)) > 0]
        products = np.stack([self._correlated(k, image) for k in self.spectra], axis=-1) @ mix.T
        gram = mix @ self.gram @ mix.T
        inverse = np.linalg.inv(gram + 1e-9 * np.diag(np.maximum(np.diag(gram), 1e-30)))
        total = self._correlated(self.whole, squared)
        residual = np.maximum(total - np.einsum("...a,ab,...b->...", products, inverse, products), 0)
        inside = self.inside
        if beside is not None:
            inside = inside & (((self.offsets - beside) ** 2).sum(axis=-1) <= _LEAP_MM**2)
        residual = np.where(inside, residual, np.inf)
        unit = max(float(residual.min()), 1e-9 * float(total.max())) / self.dof
        cost = 0.5 * residual / unit + 0.5 * (self.offsets**2).sum(axis=-1) / _PRIOR_MM**2
        best = np.unravel_index(int(np.argmin(cost)), cost.shape)
        shift, error = self._between(cost, best)
        if beside is not None:
            # What the templates do not explain draws a frame about as well; only a clear gain is movement.
            there = np.unravel_index(int(((self.offsets - beside) ** 2).sum(axis=-1).argmin()), cost.shape)
            if residual[best] > _CLEAR_GAIN * residual[there]:
                best, shift = there, np.array(beside)
        mean = products[(*best, -1)] / self.gram[-1, -1]
        spread = float(total[best] - self.gram[-1, -1] * mean**2)
        return shift, float(np.clip(1 - residual[best] / max(spread, 1e-30), 0, 1)), error

    def _correlated(self, spectrum: NDArray[np.complexfloating], image: NDArray[np.complexfloating]) -> FloatArray:
        from scipy import fft

        whole = fft.irfftn(image * spectrum, self.size)
        r = 2 * self.reach + 1
        return np.asarray(whole[: r[0], : r[1], : r[2]], np.float64)

    def _between(self, cost: FloatArray, best: tuple[np.intp, ...]) -> tuple[FloatArray, FloatArray]:
        """Lowest place of the paraboloid through the 27 costs about the lowest one, and its width."""
        middle = np.clip(best, 1, np.array(cost.shape) - 2)
        around = cost[tuple(slice(m - 1, m + 2) for m in middle)].ravel()
        known = np.isfinite(around)
        place = _CUBE[known]
        terms = np.column_stack(
            [
                np.ones(len(place)),
                place,
                place**2,
                place[:, 0] * place[:, 1],
                place[:, 0] * place[:, 2],
                place[:, 1] * place[:, 2],
            ]
        )
        at = self.offsets[tuple(best)]
        nothing = np.full(3, np.nan)
        if known.sum() < 20:
            return at, nothing
        # Near the minimum counts most: farther away the misfit is no paraboloid.
        trust = np.exp(-0.5 * (place**2).sum(axis=1))[:, None] ** 0.5
        c = np.linalg.lstsq(terms * trust, around[known] * trust[:, 0], rcond=None)[0]
        curved = np.array([[2 * c[4], c[7], c[8]], [c[7], 2 * c[5], c[9]], [c[8], c[9], 2 * c[6]]])
        if np.linalg.eigvalsh(curved).min() <= 0:
            return at, nothing
        step = np.clip(-np.linalg.solve(curved, c[1:4]), -1, 1)
        axes = self.box.grid.direction * self.box.grid.spacing_mm
        covariance = axes @ np.linalg.inv(curved) @ axes.T
        corner = self.offsets[tuple(middle)]
        return corner + axes @ step, np.sqrt(np.maximum(np.diag(covariance), 0))


_CUBE = np.stack(np.meshgrid(*[np.arange(-1.0, 2.0)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)


@dataclass(frozen=True, eq=False, slots=True)
class _Box:
    """The part of the image about the heart, smoothed, on voxels of about 4 mm; frames (frame, i, j, k)."""

    frames: FloatArray
    grid: Grid

    @classmethod
    def about(cls, volume: Volume, surfaces: Surfaces) -> _Box:
        from scipy.ndimage import gaussian_filter

        spacing = volume.grid.spacing_mm
        corners = volume.grid.to_index(surfaces.epi_mm.reshape(-1, 3))
        margin = _MARGIN_MM / spacing
        low = np.clip(np.floor(corners.min(axis=0) - margin), 0, None).astype(int)
        high = np.minimum(np.ceil(corners.max(axis=0) + margin).astype(int) + 1, volume.grid.shape)
        block = np.maximum(np.rint(4.0 / spacing).astype(int), 1)
        size = (high - low) // block * block
        part = np.asarray(volume.array, np.float64)[
            :, low[0] : low[0] + size[0], low[1] : low[1] + size[1], low[2] : low[2] + size[2]
        ]
        part = np.nan_to_num(part)
        shape = size // block
        part = part.reshape(len(part), shape[0], block[0], shape[1], block[1], shape[2], block[2]).mean(axis=(2, 4, 6))
        affine = np.array(volume.grid.affine)
        affine[:3, 3] = volume.grid.to_mm(low + 0.5 * (block - 1))
        affine[:3, :3] = affine[:3, :3] * block
        grid = Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)
        sigma = _SMOOTH_FWHM_MM / _FWHM / grid.spacing_mm
        return cls(np.stack([gaussian_filter(f, sigma, mode="nearest") for f in part]), grid)

    def _inside(self, outer_mm: FloatArray, surfaces: Surfaces, behind_mm: float) -> FloatArray:
        """Share of each voxel inside a surface (ring, angle, 3), which goes on straight behind the valve plane."""
        heart = surfaces.frame.to_heart(self.grid.points_mm())
        nodes = surfaces.frame.to_heart(outer_mm)
        depth = nodes[..., 2].mean(axis=1)  # towards the apex, of each ring
        centre = nodes[..., :2].mean(axis=1)
        radius = np.linalg.norm(nodes[..., :2] - centre[:, None], axis=-1)  # (ring, angle)
        order = np.argsort(depth)
        along = heart[..., 2]
        at = np.clip(along, depth.min(), depth.max())
        middle = np.stack([np.interp(at, depth[order], centre[order, n]) for n in range(2)], axis=-1)
        away = heart[..., :2] - middle
        angle = np.arctan2(away[..., 1], away[..., 0]) % (2 * np.pi) / (2 * np.pi) * surfaces.n_angles
        ring = np.interp(at, depth[order], np.arange(len(depth))[order])
        low_r, low_a = np.floor(ring).astype(int), np.floor(angle).astype(int)
        fr, fa = ring - low_r, angle - low_a
        next_r = np.minimum(low_r + 1, len(depth) - 1)
        a0, a1 = low_a % surfaces.n_angles, (low_a + 1) % surfaces.n_angles
        reach = (1 - fr) * ((1 - fa) * radius[low_r, a0] + fa * radius[low_r, a1]) + fr * (
            (1 - fa) * radius[next_r, a0] + fa * radius[next_r, a1]
        )
        edge = float(self.grid.spacing_mm.min())
        across = np.clip(0.5 + (reach - np.linalg.norm(away, axis=-1)) / edge, 0, 1)
        length = np.clip(0.5 + (depth.max() - along) / edge, 0, 1) * np.clip(
            0.5 + (along - depth.min() + behind_mm) / edge, 0, 1
        )
        share: FloatArray = across * length
        return share

    def _blurred(self, share: FloatArray, fwhm_mm: float) -> FloatArray:
        from scipy.ndimage import gaussian_filter

        blurred: FloatArray = gaussian_filter(share, fwhm_mm / _FWHM / self.grid.spacing_mm, mode="nearest")
        return blurred

    def left_blood(self, surfaces: Surfaces) -> FloatArray:
        """Cavity and left atrium as the smoothed image shows them."""
        # A blurred wall comes out thicker than it is, and its inner side moves with the beat.
        inner = surfaces.mid_mm - _INNER_SIDE * (surfaces.epi_mm - surfaces.endo_mm)
        return self._blurred(self._inside(inner, surfaces, _BEHIND_VALVE_MM), np.hypot(_SMOOTH_FWHM_MM, 11.0))

    def wall(self, surfaces: Surfaces) -> FloatArray:
        """Share of wall in each voxel."""
        outer = self._inside(surfaces.epi_mm, surfaces, 0.0)
        wall: FloatArray = np.clip(outer - self._inside(surfaces.endo_mm, surfaces, 0.0), 0, 1)
        return wall

    def near(self, surfaces: Surfaces, within_mm: float) -> FloatArray:
        """1 inside the epicardium and within a distance of it, falling to 0 over a few millimetres."""
        from scipy.ndimage import distance_transform_edt

        inside = self._inside(surfaces.epi_mm, surfaces, _BEHIND_VALVE_MM) > 0.5
        away = distance_transform_edt(~inside, sampling=self.grid.spacing_mm)
        away = away - distance_transform_edt(inside, sampling=self.grid.spacing_mm)
        weight: FloatArray = np.clip((within_mm + 4.0 - away) / 4.0, 0, 1)
        return weight

    def displaced(self, frame: FloatArray, shift_mm: FloatArray) -> FloatArray:
        """The frame read at every place plus the shift: back where the heart lies in the late image.

        By the Fourier shift theorem, on an image that goes on as at its edge for as far as it is moved.
        """
        from scipy import fft

        step = self.grid.direction.T @ shift_mm / self.grid.spacing_mm
        if not np.any(np.abs(step) > 1e-6):
            return frame
        reach = np.ceil(np.abs(step)).astype(int) + 2
        size = [fft.next_fast_len(int(n + 2 * r), real=True) for n, r in zip(frame.shape, reach, strict=True)]
        padded = np.pad(
            frame, [(int(r), int(s - n - r)) for r, s, n in zip(reach, size, frame.shape, strict=True)], mode="edge"
        )
        turned = fft.rfftn(padded.astype(np.float32))
        for axis, n in enumerate(size):
            frequency = np.fft.rfftfreq(n) if axis == 2 else np.fft.fftfreq(n)
            shape = [1, 1, 1]
            shape[axis] = len(frequency)
            turned = turned * np.exp(2j * np.pi * frequency * step[axis]).astype(np.complex64).reshape(shape)
        whole = fft.irfftn(turned, size)
        inside = tuple(slice(int(r), int(r + n)) for r, n in zip(reach, frame.shape, strict=True))
        return np.asarray(whole[inside], np.float64)

    def gradient(self, frame: FloatArray) -> FloatArray:
        """Change of a frame per mm along LPS axes, (3, i, j, k)."""
        single = np.asarray(frame, np.float32)
        along = np.stack([np.gradient(single, step, axis=axis) for axis, step in enumerate(self.grid.spacing_mm)])
        slope: FloatArray = np.tensordot(self.grid.direction.astype(np.float32), along.astype(np.float32), axes=1)
        return slope

    def left_side(self, surfaces: Surfaces) -> FloatArray:
        """1 where blood is that of the left heart: inside the wall and behind its valve plane; soft over the septum."""
        middle = self._inside(0.5 * (surfaces.endo_mm + surfaces.epi_mm), surfaces, 60.0)
        return self._blurred(middle, 5.0)

    def beside_septum(self, surfaces: Surfaces) -> FloatArray:
        """Right blood as it may be expected: a crescent beyond the septum, thinner towards the apex."""
        from scipy.ndimage import distance_transform_edt

        inside = self._inside(surfaces.epi_mm, surfaces, _BEHIND_VALVE_MM) > 0.5
        away = distance_transform_edt(~inside, sampling=self.grid.spacing_mm)
        heart = surfaces.frame.to_heart(self.grid.points_mm())
        apex = float(surfaces.frame.to_heart(surfaces.endo_mm[0, 0])[2])
        valve = float(surfaces.frame.to_heart(surfaces.valve_point_mm)[2])
        depth = _CRESCENT_MM * np.clip((apex - heart[..., 2]) / max(apex - valve, 1.0), 0, 1)
        angle = np.degrees(np.arctan2(heart[..., 1], heart[..., 0])) % 360
        facing = (angle > _SEPTUM_DEG[0]) & (angle < _SEPTUM_DEG[1])
        return self._blurred(((away > 0) & (away < depth) & facing).astype(float), np.hypot(_SMOOTH_FWHM_MM, 8.0))

    def septal_side(self, surfaces: Surfaces) -> FloatArray:
        """1 in the directions in which the right ventricle lies, and behind the valve plane, where the atria do."""
        heart = surfaces.frame.to_heart(self.grid.points_mm())
        angle = np.degrees(np.arctan2(heart[..., 1], heart[..., 0])) % 360
        valve = surfaces.frame.to_heart(surfaces.valve_point_mm)[2]
        side = ((angle > _SEPTUM_DEG[0] - 25) & (angle < _SEPTUM_DEG[1] + 25)) | (heart[..., 2] < valve)
        return np.asarray(side, np.float64)
