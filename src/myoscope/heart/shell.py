"""The left ventricle as a blurred, open ellipsoid shell, fitted to counts.

The mid-wall surface is a half ellipsoid at the apex that goes on towards the base, more or less tapered, and
ends at a plane which may be tilted (the septum is shorter than the lateral wall). Across the surface the
counts are a Gaussian: a thin wall seen through the camera. Around it stand the level of the cavity and, region
by region, the level outside, so that a liver touching the wall is part of the model and not an error of it.

Wall and outside levels are free in 25 overlapping regions and enter linearly; they are solved exactly for each
trial shape (variable projection, Golub & Pereyra, SIAM J Numer Anal 1973; derivative after Kaufman, BIT 1975),
so that a perfusion defect changes levels and not the axis. The shape itself is found by damped Gauss-Newton
steps with Huber weights and weak priors on direction, size and form.

The direction of the long axis comes from the shape of the mid-wall alone: a tilted or unequal base moves the
end plane and leaves the axis in place, which the principal axis of a wall mask cannot do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myoscope.core import CardiacFrame, Grid
from myoscope.core.geometry import FloatArray

# Trial shapes: displacement of the centre along the local axes (3), tilt of the axis (2), log short semi-axes
# (2) and their skew, log long semi-axis, log taper, end plane (offset and two slopes), log sigma.
_N_PARAMETERS = 14
_MARGIN_MM = 15.0
_N_SECTORS = 6
# At 4 mm half of the voxels near a heart; neighbours share most of their noise, so little is lost.
_MOST_SAMPLES, _FEW_SAMPLES = 4500, 1800
# What is left over by a shell is correlated, more by form than by noise, over about this volume.
_CORRELATED_MM3 = 18.0**3
# Well below the number of resolution volumes about a heart (300): what no shell explains is not noise.
_INDEPENDENT_SAMPLES = 30.0
# Sum of squared prior terms (11 of them) below which a fit is taken for an ordinary heart.
_ORDINARY_FORM = 3.5
# Long axes tried in the search: degrees left of anterior, degrees below the transverse plane. The middle is that of
# the shared manual masks, the others cover their spread and then some.
DIRECTIONS_DEG = ((33.0, 17.0), (5.0, 20.0), (62.0, 10.0), (35.0, 48.0), (30.0, -15.0))
# Nodes of the regional levels, degrees from the apex on the ellipsoid.
_POLAR_NODES_DEG = np.array([0.0, 34.0, 62.0, 88.0, 115.0])


@dataclass(frozen=True, eq=False, slots=True)
class Shell:
    """A fitted (or starting) shell in patient coordinates.

    ``centre_mm`` is the centre of the ellipsoid, usually nearer the base than the centre of the wall;
    ``short_mm`` the two mid-wall semi-axes along lateral and up, with ``skew`` (-1..1) turning the ellipse;
    ``long_mm`` the distance from centre to apex; the basal half is an ellipsoid ``taper`` times as long (1: full
    ellipsoid, large: cylinder); the wall ends at ``end_mm`` along the axis (negative: towards the base), sloping
    by ``end_slope`` along lateral and up; ``sigma_mm`` is the standard deviation of the count profile across
    the wall.
    """

    centre_mm: FloatArray
    axis: FloatArray
    short_mm: tuple[float, float] = (26.0, 26.0)
    skew: float = 0.0
    long_mm: float = 48.0
    taper: float = 1.15
    end_mm: float = -20.0
    end_slope: tuple[float, float] = (0.0, 0.0)
    sigma_mm: float = 6.5

    @property
    def frame(self) -> CardiacFrame:
        """The heart's directions about the centre of the ellipsoid (not of the wall)."""
        return CardiacFrame(self.centre_mm, self.axis)

    def depths(self, points_mm: FloatArray) -> ShellDepths:
        """How deep in the wall and how far from its end points lie; ``points_mm`` has shape (n, 3)."""
        return ShellDepths(*self._placed(points_mm)[:2])

    def coordinates(self, points_mm: FloatArray) -> ShellCoordinates:
        """Where points lie relative to the mid-wall; ``points_mm`` has shape (n, 3)."""
        distance, beyond, x, y, zeta, rho2 = self._placed(points_mm)
        polar = np.degrees(np.arctan2(np.sqrt(np.maximum(rho2, 0)), zeta))
        return ShellCoordinates(distance, beyond, polar, np.arctan2(y, x))

    def _placed(self, points_mm: FloatArray) -> tuple[FloatArray, ...]:
        precision = points_mm.dtype
        across, up, z = _rotation(self.axis).astype(precision) @ (points_mm - self.centre_mm.astype(precision)).T
        a, b = self.short_mm
        x, y = across / a, up / b
        long = np.where(z > 0, precision.type(self.long_mm), precision.type(self.long_mm * self.taper))
        zeta = z / long
        rho2 = x * x + y * y + 2 * self.skew * x * y
        level2 = np.maximum(rho2 + zeta * zeta, 1e-12)
        level = np.sqrt(level2)
        gradient = np.sqrt(((x + self.skew * y) / a) ** 2 + ((y + self.skew * x) / b) ** 2 + (zeta / long) ** 2)
        distance = (level - 1) * level / np.maximum(gradient, 1e-9)
        beyond = z - self.end_mm - self.end_slope[0] * across - self.end_slope[1] * up
        return distance, beyond, x, y, zeta, rho2


@dataclass(frozen=True, eq=False, slots=True)
class ShellDepths:
    """Per point: signed distance from the mid-wall (mm, positive outside) and distance past the end plane towards
    the apex (mm)."""

    distance_mm: FloatArray
    past_end_mm: FloatArray


@dataclass(frozen=True, eq=False, slots=True)
class ShellCoordinates(ShellDepths):
    """Per point, besides its depths: angle from the apex on the ellipsoid (degrees) and angle about the axis
    (radians, 0 lateral, pi/2 anterior)."""

    polar_deg: FloatArray
    angle_rad: FloatArray


@dataclass(frozen=True, eq=False, slots=True)
class ShellFit:
    """A shell that has been fitted, with its levels and how well it explains the counts.

    ``wall_level`` and ``outside_level`` hold one value per region (see ``region_weights``), in counts;
    ``cavity_level`` one; ``explained`` is the share of the variance around the wall that the model explains;
    ``complete`` the share of regions with a wall at least 0.35 times as strong as the strong ones; ``contrast``
    how far the typical wall stands above cavity and outside, relative to itself; ``misfit`` (lower is better)
    weighs the unexplained variance against the priors, to compare fits of one image from different starts.
    """

    shell: Shell
    wall_level: FloatArray
    outside_level: FloatArray
    cavity_level: float
    explained: float
    complete: float
    contrast: float
    last_turn_deg: float
    misfit: float


def axis_from_angles(left_of_anterior_deg: float, below_transverse_deg: float) -> FloatArray:
    """Unit vector base to apex, LPS."""
    left, below = np.radians([left_of_anterior_deg, below_transverse_deg])
    return np.array([np.sin(left) * np.cos(below), -np.cos(left) * np.cos(below), -np.sin(below)])


def angles_from_axis(axis: FloatArray) -> tuple[float, float]:
    """Degrees left of anterior and below the transverse plane of a vector base to apex, LPS."""
    left = float(np.degrees(np.arctan2(axis[0], -axis[1])))
    return left, float(np.degrees(np.arcsin(np.clip(-axis[2], -1, 1))))


def shell_about(wall_centre_mm: FloatArray, axis: FloatArray, short_mm: float) -> Shell:
    """A shell of ordinary proportions whose wall, not whose ellipsoid, is centred at a point."""
    long_mm, end_mm = 1.75 * short_mm, -0.9 * short_mm
    centre = wall_centre_mm - 0.3 * (long_mm + end_mm) * axis
    return Shell(centre, axis, (short_mm, short_mm), 0.0, long_mm, 1.2, end_mm, (0.0, 0.0), 8.5)


def points_near(grid: Grid, centre_mm: FloatArray, radius_mm: float) -> tuple[NDArray[np.int64], FloatArray]:
    """Flat indices and LPS positions, shapes (n,) and (n, 3), of the voxels within a radius of a point."""
    middle = grid.to_index(centre_mm)
    # A sphere of radius r reaches r times the row norm of the inverse along each index.
    reach = radius_mm * np.linalg.norm(np.linalg.inv(grid.affine[:3, :3]), axis=1)
    low = np.maximum(np.ceil(middle - reach), 0).astype(np.int64)
    high = np.minimum(np.floor(middle + reach), np.array(grid.shape) - 1).astype(np.int64)
    ranges = [np.arange(a, b + 1) for a, b in zip(low.tolist(), high.tolist(), strict=True)]
    index = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3)
    points = grid.to_mm(index)
    near = ((points - centre_mm) ** 2).sum(axis=1) < radius_mm**2
    flat: NDArray[np.int64] = np.ravel_multi_index(tuple(index[near].T), grid.shape).astype(np.int64)
    return flat, points[near]


def _rotation(axis: FloatArray) -> FloatArray:
    """`CardiacFrame.rotation` without building a frame: it is needed hundreds of times in a fit."""
    x, y, z = axis
    level = np.sqrt(x * x + y * y)
    rows: FloatArray = np.array([[-y / level, x / level, 0.0], [-z * x / level, -z * y / level, level], [x, y, z]])
    return rows


def region_weights(polar_deg: FloatArray, angle_rad: FloatArray) -> FloatArray:
    """Weights of the overlapping regions at each point, summing to one; shape (n, 25).

    Region 0 is the apex; then four rings of six regions about 0, 60, ... 300 degrees, linearly blended.
    """
    position = np.interp(polar_deg, _POLAR_NODES_DEG, np.arange(len(_POLAR_NODES_DEG)))
    ring = np.minimum(position.astype(np.int64), len(_POLAR_NODES_DEG) - 2)
    along = position - ring
    turn = (angle_rad % (2 * np.pi)) * (_N_SECTORS / (2 * np.pi))
    sector = turn.astype(np.int64) % _N_SECTORS
    around = turn - np.floor(turn)
    n = len(polar_deg)
    weights = np.zeros((n, 1 + (len(_POLAR_NODES_DEG) - 1) * _N_SECTORS))
    rows = np.arange(n)
    for step, share in ((0, 1 - around), (1, around)):
        column = (sector + step) % _N_SECTORS
        inner = np.where(ring > 0, 1 + (ring - 1) * _N_SECTORS + column, 0)
        weights[rows, inner] += (1 - along) * share
        weights[rows, 1 + ring * _N_SECTORS + column] += along * share
    return weights


def _normal_cdf(x: FloatArray) -> FloatArray:
    """Smooth step; the logistic form is within 0.01 of the normal integral."""
    step: FloatArray = 1 / (1 + np.exp(np.clip(-1.702 * x, -60, 60)))
    return step


def _moved(shell: Shell, step: FloatArray) -> Shell:
    rotation = _rotation(shell.axis)
    axis = shell.axis + step[3] * rotation[0] + step[4] * rotation[1]
    return Shell(
        centre_mm=shell.centre_mm + step[:3] @ rotation,
        axis=axis / np.linalg.norm(axis),
        short_mm=(shell.short_mm[0] * float(np.exp(step[5])), shell.short_mm[1] * float(np.exp(step[6]))),
        skew=float(np.clip(shell.skew + step[7], -0.6, 0.6)),
        long_mm=shell.long_mm * float(np.exp(step[8])),
        taper=float(np.clip(shell.taper * np.exp(step[9]), 0.8, 6.0)),
        end_mm=shell.end_mm + float(step[10]),
        end_slope=(
            float(np.clip(shell.end_slope[0] + step[11], -1.2, 1.2)),
            float(np.clip(shell.end_slope[1] + step[12], -1.2, 1.2)),
        ),
        sigma_mm=float(np.clip(shell.sigma_mm * np.exp(step[13]), 3.0, 11.0)),
    )


_EXPECTED_AXIS = axis_from_angles(*DIRECTIONS_DEG[0])
_STEP = np.array([0.5, 0.5, 0.5, 0.01, 0.01, 0.02, 0.02, 0.02, 0.02, 0.05, 0.5, 0.02, 0.02, 0.03])


def _prior(shell: Shell) -> FloatArray:
    """Weak expectations, in standard deviations: the direction, size and form of adult hearts, wide on purpose."""
    a, b = shell.short_mm
    mean_short = np.sqrt(a * b)
    wall_length = shell.long_mm - shell.end_mm
    off_right, off_up, _ = _rotation(shell.axis) @ _EXPECTED_AXIS
    terms = [
        off_right / 0.35,
        off_up / 0.35,
        (np.log(mean_short) - np.log(27.0)) / 0.35,
        np.log(a / b) / 0.20,
        shell.skew / 0.20,
        (np.log(shell.long_mm / mean_short) - np.log(1.75)) / 0.25,
        (np.log(shell.taper) - np.log(1.15)) / 0.25,
        (np.log(max(wall_length, 5.0) / mean_short) - np.log(2.45)) / 0.30,
        shell.end_slope[0] / 0.3,
        shell.end_slope[1] / 0.2,
        (np.log(shell.sigma_mm) - np.log(6.5)) / 0.35,
    ]
    return np.array(terms)


def _penalty(shell: Shell) -> float:
    return float(np.sum(_prior(shell) ** 2))


# Direction (2), size, roundness, skew, elongation, length of the wall.
_FORM_TERMS = [0, 1, 2, 3, 4, 5, 7]


def form_misfit(shell: Shell) -> float:
    """How unlike an adult heart a shell is: sum of 7 squared standard scores of direction, size and proportions.

    Taper and slope of the base and the thickness of the profile are left out: a cylindrical heart seen sharply is a
    heart.
    """
    return float(np.sum(_prior(shell)[_FORM_TERMS] ** 2))


def _design(shell: Shell, place: ShellDepths, regions: FloatArray) -> FloatArray:
    """Columns of the linear part: wall by region, outside by region, cavity, beyond the base; shape (n, 52)."""
    wall, outside, cavity, base = _profiles(shell, place)
    return np.concatenate([regions * wall[:, None], regions * outside[:, None], cavity[:, None], base[:, None]], axis=1)


def _profiles(shell: Shell, place: ShellDepths) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    sigma = shell.sigma_mm
    present = _normal_cdf(place.past_end_mm / sigma)
    outside = _normal_cdf(place.distance_mm / sigma)
    wall = np.exp(-0.5 * (place.distance_mm / sigma) ** 2) * present
    return wall, outside, (1 - outside) * present, (1 - outside) * (1 - present)


def fit_shell(
    points_mm: FloatArray,
    counts: FloatArray,
    start: Shell,
    *,
    voxel_volume_mm3: float,
    inclusion: NDArray[np.bool_] | None = None,
    n_iterations: int = 12,
    stop_below_deg: float = 0.1,
    most_samples: int = _MOST_SAMPLES,
) -> ShellFit:
    """The shell that best explains the counts near it, from a rough start (within about 15 mm and 40 degrees).

    Parameters
    ----------
    points_mm, counts
        Voxel centres, shape (n, 3), LPS mm, and their counts, shape (n,): all voxels that could matter.
    start
        Where to begin.
    voxel_volume_mm3
        Sets how many voxels are independent: about one per resolution volume.
    inclusion
        Voxels that may be used, for instance those that a wall mask makes credible; default all.
    stop_below_deg
        The iteration ends when a step turns the axis by less than this and moves the centre by less than 0.2 mm.
    most_samples
        Every n-th voxel near the shell is used so that no more than these remain.
    """
    shell = start
    damping = 1e-2
    scale = 0.0
    turn = 180.0
    solution: _Solution | None = None
    for iteration in range(n_iterations):
        near, near_step = _near(shell, points_mm, inclusion, most_samples)
        if len(near) < 200:
            break
        independent = min(1.0, voxel_volume_mm3 * near_step / _CORRELATED_MM3)
        subset, observed = points_mm[near], counts[near]
        solution = _solve_levels(shell, subset, observed, scale)
        scale = solution.scale
        moved = False
        for _ in range(6):
            step = _step(shell, subset, solution, independent, damping)
            trial = _moved(shell, step)
            if _plausible(trial):
                after = _solve_levels(trial, subset, observed, scale, solution.inflation)
                if after.cost * independent + _penalty(trial) < solution.cost * independent + _penalty(shell):
                    moved = True
                    break
            damping *= 5
        if not moved:
            break
        turn = float(np.degrees(np.arccos(np.clip(trial.axis @ shell.axis, -1, 1))))
        travel = float(np.linalg.norm(trial.centre_mm - shell.centre_mm))
        shell = trial
        damping = max(damping / 4, 1e-4)
        if turn < stop_below_deg and travel < 0.2 and iteration > 2:
            break
    return _judge(shell, points_mm, counts, inclusion, turn, most_samples)


def fit_best_shell(
    points_mm: FloatArray,
    counts: FloatArray,
    starts: Sequence[Shell],
    *,
    voxel_volume_mm3: float,
    inclusion: NDArray[np.bool_] | None = None,
) -> ShellFit:
    """The best fit from several starts: the axis of a ventricle can settle in more than one valley.

    The start that explains the counts best as it stands is fitted on a thinned sample, and the second best too
    unless the first gives a heart of ordinary form; the one with the lower misfit is finished on all.
    Parameters as for `fit_shell`.
    """
    thin, thin_counts = points_mm[::3], counts[::3]
    thin_inclusion = None if inclusion is None else inclusion[::3]
    as_they_stand = [_judge(start, thin, thin_counts, thin_inclusion, 180.0, _FEW_SAMPLES).misfit for start in starts]
    rough: list[ShellFit] = []
    for number in np.argsort(as_they_stand)[:2]:
        fit = fit_shell(
            thin,
            thin_counts,
            starts[int(number)],
            voxel_volume_mm3=3 * voxel_volume_mm3,
            inclusion=thin_inclusion,
            n_iterations=8,
            stop_below_deg=0.5,
            most_samples=_FEW_SAMPLES,
        )
        rough.append(fit)
        if fit.explained > 0.9 and _penalty(fit.shell) < _ORDINARY_FORM:
            break
    best = min(rough, key=lambda fit: fit.misfit)
    return fit_shell(points_mm, counts, best.shell, voxel_volume_mm3=voxel_volume_mm3, inclusion=inclusion)


def _plausible(shell: Shell) -> bool:
    a, b = shell.short_mm
    return (
        min(a, b) > 10
        and max(a, b) < 60
        and 18 < shell.long_mm < 130
        and shell.end_mm < 0.5 * shell.long_mm
        and 25 < shell.long_mm - shell.end_mm < 170
        and abs(shell.axis[2]) < 0.98
    )


def _near(
    shell: Shell, points_mm: FloatArray, inclusion: NDArray[np.bool_] | None, most_samples: int
) -> tuple[NDArray[np.int64], int]:
    """Which samples the fit looks at, and every how many-th of them."""
    place = shell.depths(points_mm)
    near = (place.distance_mm < _MARGIN_MM) & (place.past_end_mm > -_MARGIN_MM)
    if inclusion is not None:
        near &= inclusion
    chosen: NDArray[np.int64] = np.flatnonzero(near)
    step = max(1, int(np.ceil(len(chosen) / most_samples)))
    return chosen[::step], step


@dataclass(frozen=True, eq=False, slots=True)
class _Solution:
    levels: FloatArray
    design: FloatArray
    weights: FloatArray
    residual: FloatArray
    regions: FloatArray
    scale: float
    cost: float
    normal: FloatArray
    inflation: FloatArray | None = None


def _solve_levels(
    shell: Shell,
    points_mm: FloatArray,
    observed: FloatArray,
    scale: float,
    reuse: FloatArray | None = None,
) -> _Solution:
    """Regional levels by ridge-stabilised least squares with Huber weights (two passes)."""
    place = shell.coordinates(points_mm)
    regions = region_weights(place.polar_deg, place.angle_rad)
    design = _design(shell, place, regions)
    ridge = _ridge(design.shape[1]) * (0.002 * len(observed) / design.shape[1])
    weights = np.ones(len(observed)) if reuse is None else reuse
    for repeat in range(3 if reuse is None else 1):
        root = np.sqrt(weights)
        rooted = design * root[:, None]
        normal = rooted.T @ rooted + ridge
        levels = np.linalg.solve(normal, rooted.T @ (root * observed))
        residual = observed - design @ levels
        if repeat == 0 and scale == 0.0:
            scale = max(1.4826 * float(np.median(np.abs(residual))), 1e-6)
        if reuse is None and repeat < 2:
            weights = np.minimum(1.0, 2.0 * scale / np.maximum(np.abs(residual), 1e-12))
            if repeat == 1:
                scale = max(1.4826 * float(np.median(np.abs(residual))), 1e-6)
    cost = float(np.sum(weights * residual**2) / scale**2) + float(levels @ ridge @ levels) / scale**2
    return _Solution(levels, design, weights, residual, regions, scale, cost, normal, weights)


def _ridge(n_columns: int) -> FloatArray:
    """Penalty on differences between a region's level and the mean of its kind: an unseen region is average."""
    n = (n_columns - 2) // 2
    penalty = np.zeros((n_columns, n_columns))
    block = np.eye(n) - 1.0 / n
    penalty[:n, :n] = block
    penalty[n : 2 * n, n : 2 * n] = block
    penalty += 1e-6 * np.eye(n_columns)
    return penalty


def _step(shell: Shell, points_mm: FloatArray, solution: _Solution, independent: float, damping: float) -> FloatArray:
    # Slopes by differences are known to three digits at best: single precision halves their cost.
    n = solution.regions.shape[1]
    points: NDArray[Any] = points_mm.astype(np.float32)
    wall_level = (solution.regions @ solution.levels[:n]).astype(np.float32)
    outside_level = (solution.regions @ solution.levels[n : 2 * n]).astype(np.float32)
    cavity_level, base_level = solution.levels[2 * n :].astype(np.float32)

    def image(trial: Shell) -> FloatArray:
        wall, outside, cavity, base = _profiles(trial, trial.depths(points))
        seen: FloatArray = wall_level * wall + outside_level * outside + cavity_level * cavity + base_level * base
        return seen

    before, prior_before = image(shell), _prior(shell)
    jacobian = np.empty((len(points_mm), _N_PARAMETERS))
    prior_jacobian = np.empty((len(prior_before), _N_PARAMETERS))
    for p in range(_N_PARAMETERS):
        nudge = np.zeros(_N_PARAMETERS)
        nudge[p] = _STEP[p]
        trial = _moved(shell, nudge)
        jacobian[:, p] = (image(trial) - before) / _STEP[p]
        prior_jacobian[:, p] = (_prior(trial) - prior_before) / _STEP[p]
    fitted = np.linalg.solve(solution.normal, solution.design.T @ (solution.weights[:, None] * jacobian))
    jacobian -= solution.design @ fitted
    gain = independent / solution.scale**2
    hessian = gain * (jacobian * solution.weights[:, None]).T @ jacobian + prior_jacobian.T @ prior_jacobian
    gradient = gain * jacobian.T @ (solution.weights * solution.residual) - prior_jacobian.T @ prior_before
    step = np.asarray(np.linalg.solve(hessian + np.diag(damping * np.diag(hessian) + 1e-3), gradient), np.float64)
    limit = np.array([8, 8, 8, 0.25, 0.25, 0.25, 0.25, 0.2, 0.25, 0.5, 10, 0.3, 0.3, 0.25])
    shortened: FloatArray = step / max(1.0, float(np.max(np.abs(step) / limit)))
    return shortened


def _judge(
    shell: Shell,
    points_mm: FloatArray,
    counts: FloatArray,
    inclusion: NDArray[np.bool_] | None,
    turn: float,
    most_samples: int,
) -> ShellFit:
    near, _ = _near(shell, points_mm, inclusion, most_samples)
    observed = counts[near]
    if len(near) < 200:
        nothing = np.zeros(1 + (len(_POLAR_NODES_DEG) - 1) * _N_SECTORS)
        return ShellFit(shell, nothing, nothing, 0.0, 0.0, 0.0, 0.0, turn, np.inf)
    solution = _solve_levels(shell, points_mm[near], observed, 0.0)
    n = solution.regions.shape[1]
    wall, outside = solution.levels[:n], solution.levels[n : 2 * n]
    cavity = float(solution.levels[2 * n])
    weights = solution.weights
    mean = float(np.average(observed, weights=weights))
    spread = float(np.sum(weights * (observed - mean) ** 2))
    explained = 1 - float(np.sum(weights * solution.residual**2)) / max(spread, 1e-30)
    # The wall's own part of the counts, on top of half the level on each side.
    peak = wall + 0.5 * (outside + cavity)
    strong = float(np.percentile(wall, 80))
    complete = float(np.mean(wall > 0.35 * strong)) if strong > 0 else 0.0
    top = float(np.percentile(peak, 60))
    around = max(float(np.median(outside)), cavity)
    contrast = (top - around) / max(top, 1e-30) if strong > 0 else 0.0
    misfit = _INDEPENDENT_SAMPLES * float(np.log(max(1 - explained, 1e-6))) + _penalty(shell)
    return ShellFit(shell, wall, outside, cavity, explained, complete, contrast, turn, misfit)
