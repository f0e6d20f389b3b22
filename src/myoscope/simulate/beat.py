"""A beating heart: every gate's walls and chambers, their activity on a grid, and the truth of their motion.

A gate is not an instant: each holds the average over its part of the R-R interval, of at least three phases.
Times count from the R wave (end diastole). Matter is carried by samples of constant content, so that a wall's
activity is the same in every gate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from myoscope.core import N_ANGLES, N_RINGS, Gating, Grid, InvalidValue, Surfaces, Volume
from myoscope.core.geometry import FloatArray, frozen
from myoscope.simulate.chambers import Samples, fill
from myoscope.simulate.cycle import contraction_course
from myoscope.simulate.deposit import deposit
from myoscope.simulate.lv_motion import MovingWall, move_wall
from myoscope.simulate.lv_shape import cell_volumes, enclosed_mL, fit_volumes

if TYPE_CHECKING:
    from myoscope.simulate.heart import Heart

PARTS = ("lv_wall", "lv_blood", "rv_wall", "rv_blood", "atria")
"""Names of the shares that `BeatingHeart.fractions` gives."""

_N_PHASES = 24
_WALL_LAYERS = 6
# Below this share of the mean thickness a wall's first harmonic has no time of its own.
_LEAST_AMPLITUDE = 0.004


class Contracting(Protocol):
    """What a contraction must say; see `Heart.beat`."""

    @property
    def thickening(self) -> FloatArray: ...
    @property
    def delay_deg(self) -> FloatArray: ...
    @property
    def dilation(self) -> float: ...


@dataclass(frozen=True, eq=False, slots=True)
class _Matter:
    """Samples in LPS mm, phase by phase: ``points_mm`` (time, n, 3), ``volume_mL`` (time, n), and for the wall of the
    left ventricle the polar-map ``cell`` (n,) of each."""

    points_mm: NDArray[np.float32]
    volume_mL: NDArray[np.float32]
    cell: NDArray[np.intp] | None = None


@dataclass(frozen=True, eq=False)
class BeatingHeart:
    """One heart over one R-R interval.

    Volumes are of the left ventricle: ``edv_mL`` at the R wave, ``esv_mL`` the smallest of all phases (both at an
    instant, as no gate sees them), ``volumes_mL`` (gate,) averages over the gates. ``surfaces`` holds endo- and
    epicardium gate by gate. The truth maps (40, 72) belong to pieces of wall, named by where they lie at end diastole:

    ``thickness_mm``       thickness of the wall at end diastole, without what rises from it into the cavity
    ``displacement_mm``    inward motion of the endocardium along its end-diastolic normal, ED to end systole
    ``thickening_percent`` 100 (thickness at end systole / at end diastole - 1)
    ``phase_deg``          when the wall is thickest by the first harmonic of its thickness over the cycle (0 = R wave,
                           360 = next); what counts show, which follow thickness. Counts indexed by gate k = 0, 1, ...
                           give 180 / n_gates less, as gate k stands for the time (k + 1/2) / n_gates. NaN where the
                           thickness does not change.
    ``wall_volume_mL``     volume of each piece, constant over the cycle
    ``end_systole``        time of the smallest volume as a share of the cycle
    """

    heart: Heart
    surfaces: Surfaces
    n_gates: int
    edv_mL: float
    esv_mL: float
    volumes_mL: FloatArray
    thickness_mm: FloatArray
    displacement_mm: FloatArray
    thickening_percent: FloatArray
    phase_deg: FloatArray
    wall_volume_mL: FloatArray
    end_systole: float
    eased: float
    _cell_mm: float
    _fill: Callable[[], dict[str, _Matter]]

    @cached_property
    def _matter(self) -> dict[str, _Matter]:
        return self._fill()

    @cached_property
    def _reach_mm(self) -> FloatArray:
        return _reach_mm(self._matter)

    @property
    def ef_percent(self) -> float:
        """Ejection fraction of the left ventricle."""
        return 100 * (1 - self.esv_mL / self.edv_mL)

    @property
    def stroke_mL(self) -> float:
        return self.edv_mL - self.esv_mL

    def box_grid(self, spacing_mm: float = 3.2, *, margin_mm: float = 4.0, block: int = 2) -> Grid:
        """The smallest box that holds the heart in all gates, with a margin.

        Its faces lie on multiples of ``block`` voxels from the origin, so that each block of voxels is one voxel of
        a camera grid of an even number of ``block * spacing_mm`` voxels centred on the origin.
        """
        step = block * spacing_mm
        low = np.floor((self._reach_mm[0] - margin_mm) / step) * step
        high = np.ceil((self._reach_mm[1] + margin_mm) / step) * step
        size = np.rint((high - low) / spacing_mm).astype(int)
        return Grid.axis_aligned((size[0], size[1], size[2]), spacing_mm=spacing_mm, centre_mm=0.5 * (low + high))

    def activity(
        self,
        grid: Grid,
        *,
        wall_kBq_mL: ArrayLike,
        rv_wall_kBq_mL: float,
        blood_kBq_mL: float,
        atrial_wall_kBq_mL: float = 0.0,
    ) -> Volume:
        """Activity of the heart on a grid in kBq/mL, one frame per gate; nothing is lost to the voxels.

        ``wall_kBq_mL`` (40, 72) is the concentration in each piece of the left ventricle's wall; papillary muscles and
        trabeculae take that of the wall they rise from.

        Raises
        ------
        InvalidValue
            If a concentration is negative or not finite, or the heart does not fit into the grid.
        """
        wall = np.asarray(wall_kBq_mL, float)
        if wall.shape != (N_RINGS, N_ANGLES):
            raise InvalidValue(f"the wall's activity is a map of {N_RINGS} x {N_ANGLES} cells, got shape {wall.shape}")
        others = np.array([rv_wall_kBq_mL, blood_kBq_mL, atrial_wall_kBq_mL], float)
        if not (np.isfinite(wall).all() and np.isfinite(others).all()) or wall.min() < 0 or others.min() < 0:
            raise InvalidValue("activity concentrations are finite and not negative")
        concentration: dict[str, FloatArray | float] = {
            "lv_wall": wall,
            # What takes the place of blood.
            "inner_muscle": wall - float(blood_kBq_mL),
            "lv_blood": float(blood_kBq_mL),
            "rv_blood": float(blood_kBq_mL),
            "atrial_blood": float(blood_kBq_mL),
            "rv_wall": float(rv_wall_kBq_mL),
            "atrial_wall": float(atrial_wall_kBq_mL),
        }
        named = [(name, value) for name, value in concentration.items() if np.any(value)]
        array = self._deposit(grid, named, range(self.n_gates)) / grid.voxel_volume_mL
        return Volume(
            array.astype(np.float32),
            grid,
            "kBq/mL",
            (f"simulated heart, {self.n_gates} gates",),
            "gate",
            Gating(self.n_gates) if self.n_gates > 1 else None,
        )

    def fractions(self, grid: Grid, gate: int | None = None) -> dict[str, NDArray[np.float32]]:
        """Share of each voxel taken by each of `PARTS`, in one gate or on average over the cycle; sum at most 1.

        Where samples overlap or crowd, shares are scaled down together so that no voxel holds more than itself.
        """
        if gate is not None and not 0 <= gate < self.n_gates:
            raise InvalidValue(f"there are gates 0 to {self.n_gates - 1}, got {gate}")
        gates: Sequence[int] = range(self.n_gates) if gate is None else [gate]
        content: dict[str, list[tuple[str, FloatArray | float]]] = {
            "lv_wall": [("lv_wall", 1.0), ("inner_muscle", 1.0)],
            "lv_blood": [("lv_blood", 1.0), ("inner_muscle", -1.0)],
            "rv_wall": [("rv_wall", 1.0)],
            "rv_blood": [("rv_blood", 1.0)],
            "atria": [("atrial_blood", 1.0), ("atrial_wall", 1.0)],
        }
        shares = {
            part: np.clip(self._deposit(grid, named, gates, merge=True)[0] / grid.voxel_volume_mL, 0, None)
            for part, named in content.items()
        }
        crowd = np.maximum(np.sum(list(shares.values()), axis=0), 1.0)
        return {part: (share / crowd).astype(np.float32) for part, share in shares.items()}

    def _deposit(
        self,
        grid: Grid,
        named: Sequence[tuple[str, FloatArray | float]],
        gates: Sequence[int],
        *,
        merge: bool = False,
    ) -> FloatArray:
        """Content of the voxels by gate (or averaged over the gates) from matter and what a mL of it carries."""
        inverse = np.linalg.inv(grid.affine)
        turn, shift = inverse[:3, :3].T.astype(np.float32), inverse[:3, 3].astype(np.float32)
        width = float(max(self._cell_mm / grid.spacing_mm.min(), 0.2))
        # Pieces hardly wider than voxels overlap enough as they are; cutting them costs eight times the work.
        width = 1.0 if 1 < width < 1.3 else width
        frames = np.zeros((1 if merge else len(gates), *grid.shape))
        for number, gate in enumerate(gates):
            index, content = [], []
            for name, value in named:
                matter = self._matter.get(name)
                if matter is None:
                    continue
                each = len(matter.points_mm) // self.n_gates
                # An average over the cycle needs no more than some ten phases.
                every = max(min(each, each * len(gates) // 8), 1) if merge else 1
                here = slice(gate * each + every // 2, (gate + 1) * each, every)
                carried = value
                if isinstance(value, np.ndarray) and matter.cell is not None:
                    carried = value.ravel()[matter.cell].astype(np.float32)
                points, volume = matter.points_mm[here], matter.volume_mL[here]
                index.append((points @ turn + shift).reshape(-1, 3))
                content.append((volume * carried / len(points)).astype(np.float32).ravel())
            if index:
                part = deposit(grid.shape, np.concatenate(index), np.concatenate(content), width=width)[0]
                frames[0 if merge else number] += part
        return frames / len(gates) if merge else frames


def beat(heart: Heart, contraction: Contracting, n_gates: int) -> BeatingHeart:
    """The heart over one R-R interval; see `Heart.beat`."""
    thickening, delay = _checked(contraction, n_gates)
    if contraction.dilation != 1:
        mid, span = heart.wall_nodes
        form = fit_volumes(
            heart.form,
            cavity_mL=heart.edv_mL * float(contraction.dilation),
            wall_mL=float(cell_volumes(mid, span)[0].sum()) / 1000,
        )
        heart = type(heart)(form, heart.frame, heart.right, heart.left_atrium, heart.right_atrium, heart.inner)
    each = max(3, -(-_N_PHASES // n_gates))
    phases = (np.arange(n_gates * each) + 0.5) / (n_gates * each)
    times = np.concatenate([[0.0], phases])
    course = contraction_course(times[:, None, None], delay)
    mid, span = heart.wall_nodes
    valve = np.array(heart.form.valve_plane())
    wall = move_wall(mid, span, valve, 1 + thickening * course)
    endo = wall.mid - 0.5 * wall.span
    cavity = enclosed_mL(endo)
    systole = int(cavity.argmin())
    thickness = _cells(np.linalg.norm(wall.span, axis=-1))
    pieces = cell_volumes(mid, span)[0] / 1000
    return BeatingHeart(
        heart=heart,
        surfaces=_gated_surfaces(heart, wall, n_gates, each),
        n_gates=n_gates,
        edv_mL=float(cavity[0]),
        esv_mL=float(cavity[systole]),
        volumes_mL=frozen(cavity[1:].reshape(n_gates, each).mean(axis=1), np.float64),
        thickness_mm=frozen(thickness[0], np.float64),
        displacement_mm=frozen(_inward(endo[0], endo[systole]), np.float64),
        thickening_percent=frozen(100 * (thickness[systole] / thickness[0] - 1), np.float64),
        phase_deg=frozen(_phase_deg(thickness[1:], phases), np.float64),
        wall_volume_mL=frozen(pieces, np.float64),
        end_systole=float(times[systole]),
        eased=wall.eased,
        _cell_mm=_piece_mm(mid + 0.5 * span),
        # Volumes and truth maps do without; many a beat is never imaged.
        _fill=partial(_matter, heart, wall, pieces, times, each),
    )


def _checked(contraction: Contracting, n_gates: int) -> tuple[FloatArray, FloatArray]:
    thickening = np.asarray(contraction.thickening, float)
    delay = np.asarray(contraction.delay_deg, float)
    for name, field in (("thickening", thickening), ("delay_deg", delay)):
        if field.shape != (N_RINGS, N_ANGLES) or not np.isfinite(field).all():
            raise InvalidValue(f"{name} is a finite map of {N_RINGS} x {N_ANGLES} cells, got shape {field.shape}")
    if thickening.min() < -0.4 or thickening.max() > 1.2:
        raise InvalidValue(
            f"a wall thickens by -0.4 to 1.2 of its thickness, got {thickening.min():.2f} to {thickening.max():.2f}"
        )
    if not 0.7 <= contraction.dilation <= 1.6:
        raise InvalidValue(f"transient dilation is a factor of 0.7 to 1.6 on the cavity, got {contraction.dilation:g}")
    if not 1 <= n_gates <= 64:
        raise InvalidValue(f"a cycle is cut into 1 to 64 gates, got {n_gates}")
    return thickening, delay


def _cells(nodes: FloatArray) -> FloatArray:
    """Node values (..., 41, 72) averaged over each cell (..., 40, 72)."""
    columns = nodes + np.roll(nodes, -1, axis=-1)
    cells: FloatArray = 0.25 * (columns[..., 1:, :] + columns[..., :-1, :])
    return cells


def _inward(diastole: FloatArray, systole: FloatArray) -> FloatArray:
    """Displacement of each cell along its inward normal at end diastole; (40, 72)."""
    around = np.roll(diastole, -1, axis=1) - np.roll(diastole, 1, axis=1)
    along = np.gradient(diastole, axis=0)
    normal = np.cross(around, along)
    normal[0] = normal[1].mean(axis=0)
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-12)
    outwards = np.sign((normal * (diastole - diastole.mean(axis=(0, 1)))).sum(axis=-1).mean())
    inward: FloatArray = -outwards * ((systole - diastole) * normal).sum(axis=-1)
    return _cells(inward)


def _phase_deg(thickness: FloatArray, times: FloatArray) -> FloatArray:
    angle = 2 * np.pi * times
    cosine = np.einsum("t,tra->ra", np.cos(angle), thickness) * 2 / len(times)
    sine = np.einsum("t,tra->ra", np.sin(angle), thickness) * 2 / len(times)
    phase = np.degrees(np.arctan2(sine, cosine)) % 360
    amplitude = np.hypot(cosine, sine) / thickness.mean(axis=0)
    result: FloatArray = np.where(amplitude > _LEAST_AMPLITUDE, phase, np.nan)
    return result


def _gated_surfaces(heart: Heart, wall: MovingWall, n_gates: int, each: int) -> Surfaces:
    mid = wall.mid[1:].reshape(n_gates, each, *wall.mid.shape[1:]).mean(axis=1)
    span = wall.span[1:].reshape(n_gates, each, *wall.span.shape[1:]).mean(axis=1)
    step = np.linalg.norm(np.diff(mid, axis=1), axis=-1)
    length = np.concatenate([np.zeros_like(step[:, :1]), np.cumsum(step, axis=1)], axis=1)
    # Rows are equally spaced along the wall in every gate; the wall's own pieces are so at end diastole only.
    position = length / length[:, -1:]
    at = np.linspace(0, 1, N_RINGS + 1)[None, :, None]
    low = np.clip((position[:, None] <= at[:, :, None]).sum(axis=2) - 1, 0, N_RINGS - 1)
    start, stop = np.take_along_axis(position, low, axis=1), np.take_along_axis(position, low + 1, axis=1)
    share = ((at - start) / (stop - start))[..., None]

    def resampled(nodes: FloatArray) -> FloatArray:
        first = np.take_along_axis(nodes, low[..., None], axis=1)
        second = np.take_along_axis(nodes, low[..., None] + 1, axis=1)
        between: FloatArray = first + share * (second - first)
        return between

    mid, span = resampled(mid), resampled(span)
    still = heart.surfaces
    return Surfaces(
        heart.to_patient(mid - 0.5 * span),
        heart.to_patient(mid + 0.5 * span),
        heart.frame,
        still.valve_point_mm,
        still.valve_normal,
        ("simulated heart",),
    )


def _reach_mm(matter: dict[str, _Matter]) -> FloatArray:
    """Lowest and highest corner (2, 3) of the box that all samples of all phases lie in."""
    points = [m.points_mm.reshape(-1, 3) for m in matter.values()]
    low = np.min([[p[:, axis].min() for axis in range(3)] for p in points], axis=0)
    high = np.max([[p[:, axis].max() for axis in range(3)] for p in points], axis=0)
    return frozen(np.stack([low, high]), np.float64)


def _piece_mm(epi: FloatArray) -> float:
    """Side of a typical piece of wall where pieces are largest, at the epicardium."""
    around = np.linalg.norm(np.roll(epi, -1, axis=1) - epi, axis=-1)
    along = np.linalg.norm(np.diff(epi, axis=0), axis=-1)
    return float(np.sqrt(np.median(around[1:]) * np.median(along)))


def _matter(heart: Heart, wall: MovingWall, pieces: FloatArray, times: FloatArray, each: int) -> dict[str, _Matter]:
    """All samples of all phases in LPS mm. ``pieces`` (40, 72) are the cells' volumes in mL."""
    endo, epi = wall.mid - 0.5 * wall.span, wall.mid + 0.5 * wall.span
    turn = heart.frame.rotation.astype(np.float32)
    shift = heart.to_patient(np.zeros(3)).astype(np.float32)

    def lps(samples: Samples, cell: NDArray[np.intp] | None = None) -> _Matter:
        return _Matter(samples.points @ turn + shift, samples.volume_mL.astype(np.float32), cell)

    closed_endo, closed_epi = (np.concatenate([s, s[:, :, :1]], axis=2) for s in (endo[1:], epi[1:]))
    muscle = fill(closed_endo, closed_epi, _WALL_LAYERS, pole=True)
    # A piece keeps its volume; how it divides over the depth follows the geometry of the moment.
    by_piece = muscle.volume_mL.reshape(len(times) - 1, _WALL_LAYERS, -1)
    by_piece = by_piece * (pieces.ravel() / by_piece.sum(axis=1))[:, None]
    cell = np.tile(np.arange(pieces.size), _WALL_LAYERS)
    matter = {"lv_wall": lps(Samples(muscle.points, by_piece.reshape(muscle.volume_mL.shape)), cell)}

    spine_end = endo[1:, -1].mean(axis=1)
    along = np.linspace(0, 1, N_RINGS + 1)[:, None]
    spine = endo[1:, 0, :1] + along * (spine_end - endo[1:, 0, 0])[:, None]
    cavity = enclosed_mL(endo[1:])
    blood = fill(np.broadcast_to(spine[:, :, None], closed_endo.shape), closed_endo, 7)
    exact = blood.volume_mL * (cavity / blood.total_mL)[:, None]
    matter["lv_blood"] = lps(Samples(blood.points, exact.astype(np.float32)))
    if heart.inner.volume_mL > 0:
        points, volume, cell = heart.inner.samples(endo[1:], spine, np.sqrt(heart.edv_mL / cavity))
        matter["inner_muscle"] = lps(
            Samples(points.astype(np.float32), np.broadcast_to(volume, points.shape[:2]).astype(np.float32)), cell
        )

    # The right heart does not feel the left one's delays; it and the atria are sampled once in most gates.
    course = contraction_course(times)
    every = each if len(times) > 8 * each else max(each // 8, 1)
    some = np.concatenate([[0], 1 + np.arange(every // 2, len(times) - 1, every)])
    matter["rv_blood"] = lps(heart.right.cavity(epi[some[1:]], course[some[1:]]))
    right_wall = heart.right.wall(epi[some], course[some])
    matter["rv_wall"] = lps(Samples(right_wall.points[1:], right_wall.volume_mL[1:]))

    slope = wall.valve[:, 1:]
    left_mouth = endo[:, -1].mean(axis=1) + np.array([2.0, -3.0, 0.0])
    septal = epi[:, -1, 36]
    right_mouth = septal - np.stack(
        [0.62 * heart.right.depth_mm * np.ones_like(course), np.zeros_like(course), np.zeros_like(course)], axis=-1
    )
    blood_parts, wall_parts = [], []
    for atrium, mouth, aside in (
        (heart.left_atrium, left_mouth, np.array([-2.0, -4.0, -1.0])),
        (heart.right_atrium, right_mouth, np.array([-4.0, -6.0, -1.0])),
    ):
        back = mouth[0] + aside * np.array([1, 1, atrium.length_mm])
        place = (mouth[some], slope[some], back, course[some])
        blood_parts.append(atrium.samples(*place))
        wall_parts.append(atrium.wall(*place))
    for name, parts in (("atrial_blood", blood_parts), ("atrial_wall", wall_parts)):
        points = np.concatenate([p.points for p in parts], axis=1)[1:]
        volumes = np.concatenate([p.volume_mL for p in parts], axis=1)[1:]
        matter[name] = lps(Samples(points.astype(np.float32), volumes.astype(np.float32)))
    return matter
