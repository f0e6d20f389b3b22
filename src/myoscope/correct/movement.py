"""Did the patient move while the camera turned? Found in the projections of the heart, and undone.

A view that was taken after a movement does not fit the image of all views. So a quick image is made and projected
again, every view is laid over its reprojection round the heart (shift along both sides of the detector, brightness and
a plane of background, by weighted least squares), and the shifts of all views are asked for the two movements that
patients make:

* a **step**: from one stop of the camera to the next everything lies elsewhere, by (x, y, z). The image absorbs part of
  it, most of it far from the step in time, so that what is left of a step fades out to both sides;
* **creep**: the heart comes up with the diaphragm as breathing calms down after exercise, fast at first (z only).

Anatomy makes shifts of its own (one side of the heart is dimmed by the body more than the other): they change slowly
with the angle and are given to a polynomial of the seventh order. Steps stand out from it. Creep does if two heads
look at once, because both see it at once; with a single head, slow movement and anatomy look alike, and only steps are
found. What was found is undone, another quick image is made, and so on until nothing is left. A displacement of the
whole acquisition is no movement: the mean is left where it is.

After the reprojection method of Matsumoto et al. (J Nucl Med 2001;42:687), who let every view move by itself; that
movements have a shape in time, and that anatomy is told apart, is ours. What it finds on virtual patients stands in
``docs/validation/movement.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from myoscope.core import Flag, InvalidValue, Projections, Surfaces
from myoscope.core.geometry import FloatArray, frozen
from myoscope.physics.camera_geometry import PinholeGeometry, geometry_named

Reprojection = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Takes ungated views (view, v, u) and gives the views of their own quick image."""

_Kind = Literal["step", "creep up", "creep down"]  # creep down: views stored in the opposite order

_REACH_MM, _SOFT_MM = 42.0, 10.0  # of the window round the heart, and its rim
_BLUR_PIXELS = 1.0
_MATCH_STEPS = 4
_LEAST_BRIGHTNESS = 0.2  # of the reprojected heart, below which a view says nothing
_FURTHEST_PIXELS = 4.0
_ORDER = 7  # of the polynomial that stands for anatomy
_FADES_DEG = 15.0  # how far apart views are that still agree on where the image is
_UNEXPLAINED_MM = 1.0
_DOUBTFUL_MM = 3.0  # a match noisier than this may have locked onto something else
_CREEP_SHARE = 0.35  # of the scan: time constant of creep
# Chi squared that makes a movement. 42 virtual acquisitions without one (14 patients, wall misplaced by some mm) went
# up to 5 with two heads, 15 with one, and 1 for creep; what is seen of a movement is in proportion to it squared.
_STEP_EVIDENCE = {1: 18.0, 2: 7.0}
_CREEP_EVIDENCE = 2.5
_MOST_FOUND, _MOST_PASSES = 3, 12
_SETTLED_MM, _MOST_AT_ONCE_MM = 0.5, 15.0
_LEAST_MM, _MOST_MM, _WORTH_MM = 2.0, 30.0, 4.0
_USUAL_MM, _ANATOMY_MM = 20.0, 1000.0  # how large movements and the shifts of anatomy are thought to be beforehand
_LEAST_STOPS, _EDGE_STOPS = 12, 2


@dataclass(frozen=True, slots=True)
class Step:
    """A sudden movement: by how much (mm, LPS) and with what standard deviation.

    ``view`` counts from 0: the first view of the first head that was taken on the far side of the step, in the order of
    the views. ``by_mm`` leads from the places before to those from this view on. ``evidence`` is the chi squared (3
    degrees of freedom) that the step explained when it was found.
    """

    view: int
    by_mm: tuple[float, float, float]
    sd_mm: tuple[float, float, float]
    evidence: float


@dataclass(frozen=True, slots=True)
class Creep:
    """Upward creep: how far the heart rose during the acquisition (mm), its standard deviation, and its chi squared.

    ``forward`` says that the views are stored in the order in which they were taken, as far as the creep's shape tells.
    """

    rise_mm: float
    sd_mm: float
    evidence: float
    forward: bool


@dataclass(frozen=True, eq=False, slots=True)
class Movement:
    """What moved during an acquisition, as far as its projections tell.

    ``displacement_mm`` (view, 2): how far the heart lies from its mean place in every view, along v (to the feet) and u
    (columns) of the detector. ``n_heads`` is the number of heads that fits best. ``not_judged`` gives the reason where
    movement could not be looked for; then nothing was found either.
    """

    displacement_mm: FloatArray
    steps: tuple[Step, ...] = ()
    creep: Creep | None = None
    n_heads: int = 1
    not_judged: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "displacement_mm", frozen(self.displacement_mm, np.float64))

    @property
    def range_mm(self) -> float:
        """Largest distance between the heart's places in any two views, along one side of the detector."""
        return float(np.ptp(self.displacement_mm, axis=0).max())

    @property
    def to_be_applied(self) -> bool:
        """Whether something was found that is large enough to matter."""
        return self.range_mm >= _WORTH_MM

    def flag(self, pixel_mm: float) -> Flag | None:
        """What a reader should know; None where nothing moved. Movement by a pixel or more is a warning."""
        if self.not_judged:
            return Flag("movement_not_judged", f"Movement was not looked for: {self.not_judged}.", "info")
        if not self.to_be_applied:
            return None
        told = [f"by {np.linalg.norm(step.by_mm):.0f} mm at view {step.view + 1}" for step in self.steps]
        told += [f"creeping up by {self.creep.rise_mm:.0f} mm"] if self.creep else []
        steps = [
            {
                "view": step.view + 1,
                "left_mm": round(step.by_mm[0], 1),
                "posterior_mm": round(step.by_mm[1], 1),
                "superior_mm": round(step.by_mm[2], 1),
                "evidence": round(step.evidence, 1),
            }
            for step in self.steps
        ]
        return Flag(
            "patient_moved",
            f"The heart moved during the acquisition ({'; '.join(told)}); unless the views are corrected, the wall may "
            "look thin or doubled.",
            "warning" if self.range_mm >= pixel_mm else "info",
            {
                "range_mm": round(self.range_mm, 1),
                "steps": steps,
                "creep_mm": None if self.creep is None else round(self.creep.rise_mm, 1),
                "n_heads": self.n_heads,
            },
        )


def find_movement(
    projections: Projections,
    surfaces: Surfaces,
    *,
    reproject: Reprojection,
    n_heads: int | None = None,
    window: int = 0,
) -> Movement:
    """Look for movement of the heart, whose place in the (perhaps blurred) image is that of its surfaces.

    ``reproject`` makes a quick image of ungated views and projects it again. ``n_heads`` heads take equal runs of
    consecutive views at the same time; None = not known: one and two are tried. Gates are added up. Cameras that do
    not turn, and sets with too few stops, are not judged and say why.

    Raises
    ------
    InvalidValue
        If the number of heads does not divide the views, or there is no such energy window.
    """
    n_views = projections.n_views
    nothing = np.zeros((n_views, 2))
    geometry = geometry_named(projections.collimator)
    if geometry is not None:
        what = "sees all views at once" if isinstance(geometry, PinholeGeometry) else "looks past the heart most often"
        return Movement(nothing, not_judged=f"the camera stands still and {what}; its views cannot be compared")
    if not 0 <= window < projections.counts.shape[0]:
        raise InvalidValue(f"there is no energy window {window} among {projections.counts.shape[0]}")
    if n_heads is not None and (n_heads < 1 or n_views % n_heads):
        raise InvalidValue(f"{n_views} views cannot be shared by {n_heads} heads")
    heads = [n for n in ((1, 2) if n_heads is None else (n_heads,)) if n_views % n == 0]
    models = [_Model(projections.angle_deg, n) for n in heads if n_views >= _LEAST_STOPS * n]
    if not models:
        return Movement(nothing, not_judged=f"{n_views} views are too few to tell movement from what changes anyway")
    counts = np.asarray(projections.counts[window], np.float64).sum(axis=0)
    if not counts.sum() > 0:
        return Movement(nothing, not_judged="the projections hold no counts")

    place = _heart_pixels(projections, surfaces)
    found: list[_Part] = []
    model, displacement_mm = models[0], nothing
    for _ in range(_MOST_PASSES):
        views = shifted(counts, -displacement_mm, pixel_mm=projections.pixel_mm)
        again = np.asarray(reproject(views.astype(np.float32)), np.float64)
        shift_mm, sd_mm = match(views, again, place, pixel_mm=projections.pixel_mm)
        found, change_mm = model.refined(found, shift_mm, sd_mm)
        if change_mm <= _SETTLED_MM:
            if len(found) == _MOST_FOUND:
                break
            candidates = [(m, m.best(found, shift_mm, sd_mm)) for m in (models if not found else [model])]
            model, part = max(candidates, key=lambda pair: pair[1].worth)
            if part.worth < 1:
                break
            found = [*found, part]
        displacement_mm = model.displacement_mm(found)
    return model.told([part for part in found if _LEAST_MM <= model.size_mm(part) <= _MOST_MM])


def moved_back(projections: Projections, movement: Movement) -> Projections:
    """The projections with every view shifted to where the heart is on average; all windows and gates, real numbers.

    A shift by part of a pixel shares counts between neighbours: totals are kept, also at the edges, where counts stay
    in the outermost pixels, but noise between neighbours is no longer independent.
    """
    counts = shifted(
        np.asarray(projections.counts, np.float64), -movement.displacement_mm, pixel_mm=projections.pixel_mm
    )
    told = f"views moved back by up to {movement.range_mm:.1f} mm against the patient's movement"
    return replace(projections, counts=counts.astype(np.float32), made_by=(*projections.made_by, told))


def shifted(views: FloatArray, by_mm: FloatArray, *, pixel_mm: tuple[float, float]) -> FloatArray:
    """Views (..., view, v, u) with their content moved by (view, 2) mm along v and u; every count is kept."""
    moved = np.asarray(views, np.float64)
    width, height = pixel_mm
    rows = _sharing(by_mm[:, 0] / height, moved.shape[-2])
    columns = _sharing(by_mm[:, 1] / width, moved.shape[-1])
    result: FloatArray = np.einsum("npv,...nvu,nqu->...npq", rows, moved, columns, optimize=True)
    return result


def match(
    views: FloatArray, reprojected: FloatArray, place: FloatArray, *, pixel_mm: tuple[float, float]
) -> tuple[FloatArray, FloatArray]:
    """How far the heart in every view lies from that in its reprojection, (view, 2) mm along v and u, and its noise.

    ``place`` (view, 2) is the heart's middle in pixels (v, u). Least squares within 42 to 52 mm of it, both blurred by
    a pixel: brightness, shift and a plane of background.
    """
    width, height = pixel_mm
    mm = np.array([height, width])
    n, n_v, n_u = views.shape
    blur = (0.0, _BLUR_PIXELS, _BLUR_PIXELS)
    seen, model = ndimage.gaussian_filter(views, blur), ndimage.gaussian_filter(reprojected, blur)
    half = np.minimum(np.ceil((_REACH_MM + _SOFT_MM) / mm).astype(int), np.array([n_v, n_u]) // 2)
    low = np.clip(np.rint(place).astype(int) - half, 0, np.array([n_v, n_u]) - 2 * half)
    rows, columns = low[:, :1] + np.arange(2 * half[0]), low[:, 1:] + np.arange(2 * half[1])
    box = (np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :])
    away = np.hypot((rows - place[:, :1])[:, :, None] * height, (columns - place[:, 1:])[:, None, :] * width)
    inside = np.clip((_REACH_MM + _SOFT_MM - away) / _SOFT_MM, 0, 1)
    spectrum = np.fft.rfft2(model)
    f_v, f_u = 2j * np.pi * np.fft.fftfreq(n_v)[:, None], 2j * np.pi * np.fft.rfftfreq(n_u)[None, :]
    plane_v = np.broadcast_to(np.linspace(-1, 1, 2 * half[0])[:, None], away.shape)
    plane_u = np.broadcast_to(np.linspace(-1, 1, 2 * half[1])[None, :], away.shape)
    target = seen[box]
    shift = np.zeros((n, 2))
    for _ in range(_MATCH_STEPS):
        turned = spectrum * np.exp(-f_v * shift[:, 0, None, None] - f_u * shift[:, 1, None, None])
        laid, down, right = (np.fft.irfft2(part, s=(n_v, n_u))[box] for part in (turned, turned * f_v, turned * f_u))
        level = np.maximum(laid.mean(axis=(1, 2), keepdims=True), 1e-9)
        weight = (inside / np.maximum(laid, 0.3 * level)).reshape(n, -1)
        terms = [laid, -down, -right, level * np.ones_like(laid), level * plane_v, level * plane_u]
        columns_of = np.stack(terms, axis=-1).reshape(n, -1, 6)
        normal = np.einsum("npi,np,npj->nij", columns_of, weight, columns_of)
        normal += 1e-9 * np.trace(normal, axis1=1, axis2=2)[:, None, None] * np.eye(6)
        right_side = np.einsum("npi,np,np->ni", columns_of, weight, target.reshape(n, -1))
        solved = np.linalg.solve(normal, right_side[..., None])[..., 0]
        bright = np.maximum(solved[:, :1], _LEAST_BRIGHTNESS)
        shift = np.clip(shift + np.clip(solved[:, 1:3] / bright, -0.7, 0.7), -_FURTHEST_PIXELS, _FURTHEST_PIXELS)
    spread = np.linalg.inv(normal)[:, [1, 2], [1, 2]]
    return shift * mm, np.sqrt(np.maximum(spread, 0)) / bright * mm


@dataclass(frozen=True, eq=False, slots=True)
class _Part:
    """One movement: its kind, where it is, how large (3 numbers or 1, mm) with standard deviations, its evidence.

    ``worth`` is evidence over what is needed.
    """

    kind: _Kind
    stop: int
    amount: FloatArray
    sd: FloatArray
    evidence: float
    worth: float


class _Model:
    """What movements look like in the views of a camera with so many heads."""

    def __init__(self, angle_deg: FloatArray, n_heads: int) -> None:
        self._n_heads = n_heads
        self._n_stops = angle_deg.size // n_heads
        self._stop = np.arange(angle_deg.size) % self._n_stops
        phi = np.radians(angle_deg)
        flat = np.zeros_like(phi)
        # How 1 mm to the left, to posterior and to superior shows along v and u: (view, 2, 3).
        self._shows = np.stack(
            [np.stack([flat, flat, flat - 1], axis=1), np.stack([-np.cos(phi), np.sin(phi), flat], axis=1)], axis=1
        )
        apart_deg = np.abs(angle_deg[:, None] - angle_deg[None, :])
        near = np.exp(-apart_deg / _FADES_DEG)
        self._absorbs = near / near.sum(axis=1, keepdims=True)
        middle, half = (angle_deg.max() + angle_deg.min()) / 2, max(np.ptp(angle_deg) / 2, 1e-9)
        powers = np.polynomial.legendre.legvander((angle_deg - middle) / half, _ORDER)
        # Along v and along u, each a polynomial of its own: (view and side, terms).
        self._anatomy = np.stack(
            [np.concatenate([powers, 0 * powers], axis=1), np.concatenate([0 * powers, powers], axis=1)], axis=1
        ).reshape(2 * angle_deg.size, -1)

    def displacement_mm(self, parts: list[_Part]) -> FloatArray:
        """Where the heart is in every view, (view, 2) along v and u, about its mean place in the patient."""
        total = np.zeros((self._stop.size, 3))
        for part in parts:
            axes = slice(0, 3) if part.kind == "step" else slice(2, 3)
            total[:, axes] += self._course(part.kind, part.stop)[:, None] * part.amount
        moved: FloatArray = np.einsum("nij,nj->ni", self._shows, total - total.mean(axis=0))
        return moved

    def size_mm(self, part: _Part) -> float:
        """How far it leads from one end of the acquisition to the other; negative for a heart that sinks."""
        if part.kind == "step":
            return float(np.linalg.norm(part.amount))
        return float(part.amount[0] * np.ptp(self._course(part.kind, 0)))

    def refined(self, parts: list[_Part], shift_mm: FloatArray, sd_mm: FloatArray) -> tuple[list[_Part], float]:
        """The parts with what is left of them added, and the largest change; mm."""
        if not parts:
            return parts, 0.0
        change, covariance = self._fit([self._leftover(part.kind, part.stop) for part in parts], shift_mm, sd_mm)
        change = np.clip(change, -_MOST_AT_ONCE_MM, _MOST_AT_ONCE_MM)
        result, first = [], 0
        for part in parts:
            which = slice(first, first + part.amount.size)
            first += part.amount.size
            sd = np.sqrt(np.diag(covariance)[which])
            result.append(replace(part, amount=part.amount + change[which], sd=sd))
        return result, float(np.abs(change).max())

    def best(self, parts: list[_Part], shift_mm: FloatArray, sd_mm: FloatArray) -> _Part:
        """The further movement that explains most, whether or not it is enough."""
        known = [self._leftover(part.kind, part.stop) for part in parts]
        taken = {(part.kind, part.stop) for part in parts}
        candidates: list[tuple[_Kind, int]] = [("step", k) for k in range(_EDGE_STOPS, self._n_stops - 1)]
        if all(part.kind == "step" for part in parts):
            candidates += [("creep up", 0), ("creep down", 0)]
        best: _Part | None = None
        for kind, stop in candidates:
            if (kind, stop) in taken:
                continue
            n_new = 3 if kind == "step" else 1
            amount, covariance = self._fit([*known, self._leftover(kind, stop)], shift_mm, sd_mm)
            new, spread = amount[-n_new:], covariance[-n_new:, -n_new:]
            evidence = float(new @ np.linalg.solve(spread, new))
            needed = _STEP_EVIDENCE.get(self._n_heads, _STEP_EVIDENCE[2]) if kind == "step" else _CREEP_EVIDENCE
            # A heart that sinks as if it crept is not what is looked for, nor is what no image shows.
            part = _Part(kind, stop, new, np.sqrt(np.diag(spread)), evidence, evidence / needed)
            if self.size_mm(part) < _LEAST_MM:
                part = replace(part, worth=0.0)
            if best is None or part.worth > best.worth:
                best = part
        if best is None:
            raise AssertionError("a camera with so few stops has been refused before")
        return best

    def told(self, parts: list[_Part]) -> Movement:
        """The parts in the reader's words."""
        steps = tuple(
            Step(
                part.stop,
                (float(part.amount[0]), float(part.amount[1]), float(part.amount[2])),
                (float(part.sd[0]), float(part.sd[1]), float(part.sd[2])),
                part.evidence,
            )
            for part in sorted(parts, key=lambda part: part.stop)
            if part.kind == "step"
        )
        creep = None
        for part in parts:
            if part.kind != "step":
                span = float(np.ptp(self._course(part.kind, 0)))
                creep = Creep(
                    float(part.amount[0]) * span, float(part.sd[0]) * span, part.evidence, part.kind == "creep up"
                )
        return Movement(self.displacement_mm(parts), steps, creep, self._n_heads)

    def _course(self, kind: _Kind, stop: int) -> FloatArray:
        """Displacement of every view for an amount of 1: -1/2 before a step and 1/2 after it; creep ends at 0."""
        if kind == "step":
            return np.where(self._stop >= stop, 0.5, -0.5)
        time = (self._stop + 0.5) / self._n_stops
        time = time if kind == "creep up" else 1 - time
        course: FloatArray = -np.exp(-time / _CREEP_SHARE)
        return course

    def _leftover(self, kind: _Kind, stop: int) -> FloatArray:
        """How a movement that is in the views shows against their common image: (2 views, 3 or 1).

        In every view the image lies where the views of about the same angle want it.
        """
        course = self._course(kind, stop)
        course = course - self._absorbs @ course
        axes = slice(0, 3) if kind == "step" else slice(2, 3)
        shown: FloatArray = course[:, None, None] * self._shows[:, :, axes]
        return shown.reshape(2 * course.size, -1)

    def _fit(
        self, movements: list[FloatArray], shift_mm: FloatArray, sd_mm: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Amounts of movements beside anatomy, and their covariance."""
        terms = np.concatenate([*movements, self._anatomy], axis=1)
        weight = 1 / (sd_mm**2 * (1 + (sd_mm / _DOUBTFUL_MM) ** 2) + _UNEXPLAINED_MM**2).ravel()
        n = terms.shape[1] - self._anatomy.shape[1]
        prior = np.diag([_USUAL_MM**-2] * n + [_ANATOMY_MM**-2] * self._anatomy.shape[1])
        normal = (terms * weight[:, None]).T @ terms + prior
        covariance = np.linalg.inv(normal)
        amounts: FloatArray = covariance @ ((terms * weight[:, None]).T @ shift_mm.ravel())
        return amounts[:n], covariance[:n, :n]


def _heart_pixels(projections: Projections, surfaces: Surfaces) -> FloatArray:
    """The middle of the wall in every view, (view, 2) pixels along v and u."""
    middle = surfaces.mid_mm.reshape(-1, 3).mean(axis=0)
    phi = np.radians(projections.angle_deg)
    u = -np.cos(phi) * middle[0] + np.sin(phi) * middle[1]
    place = np.stack([np.full_like(u, -middle[2]), u], axis=1)
    width, height = projections.pixel_mm
    n_v, n_u = projections.counts.shape[-2:]
    pixels: FloatArray = place / np.array([height, width]) + (np.array([n_v, n_u]) - 1) / 2
    return pixels


def _sharing(pixels: FloatArray, n: int) -> FloatArray:
    """Which share of every pixel goes where if content moves by so many pixels: (view, n to, n from)."""
    target = np.arange(n) + pixels[:, None]
    low = np.floor(target)
    part = target - low
    matrix = np.zeros((len(pixels), n, n))
    view, source = np.broadcast_arrays(np.arange(len(pixels))[:, None], np.arange(n)[None, :])
    for place, share in ((low, 1 - part), (low + 1, part)):
        np.add.at(matrix, (view, np.clip(place, 0, n - 1).astype(int), source), share)
    return matrix
