"""Blood flow at rest and under stress in every part of the wall, and the tracer uptake that follows from it.

Each feeding place of the coronary tree lies behind its own series of narrowings. A narrowing costs pressure, in part
proportional to flow (friction) and in part to its square (the jet behind it), the form of Young and Tsai and of Gould.
Behind it the small vessels widen as far as they can: at rest they hold flow until they are wide open, under stress
they are wide open everywhere. Collaterals bring flow in proportion to the pressure that is missing. The pressures of
all beds are solved together, so serial narrowings, side branches and a narrowed left main need no special case.

The two resistances are this project's choice, made with the usual collaterals so that hyperaemic flow is about normal
up to 40 to 50 % of the diameter, half at 70 to 75 % and a quarter or a little more at 90 %, and resting flow holds up
to 85 %. Levels of flow follow volunteers (0.72 at rest and 2.89 mL/min/g stressed, Sdringola 2011), lower with age.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from myoscope.core import VESSELS, InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.physics.tracers import extraction
from myoscope.simulate.coronaries import CoronaryDisease
from myoscope.simulate.wall_field import cell_depth, cell_weight, smooth_field, toward

State = Literal["stress", "rest"]
StressType = Literal["exercise", "pharmacological"]

HEALTHY_REST_MBF, HEALTHY_STRESS_MBF = 0.85, 3.0
"""Flow of healthy wall, mL/min/g, at rest and under a vasodilator: what uptake is relative to."""

EXERCISE_SHARE, _EXERCISE_SD = 0.8, 0.12
"""Flow that exercise reaches as a share of what a vasodilator does; an assumption, as is how far people differ: many
stop short of their limit."""

_RESPONSE_LOG_SD = 0.12
_BLUNTED_SHARE, _BLUNTED_FACTOR = 0.10, 0.65
"""How differently people respond to a vasodilator, and how many respond poorly (caffeine, say): assumed."""

PATCHY_LOG_SD, _PATCHY_MM = 0.16, 34.0
"""Unevenness of hyperaemic flow where small vessels are diseased, over areas of some 30 mm of any artery: assumed."""

WALL_CV = 0.10
"""Standard deviation of flow within a healthy wall as a share of its mean, over areas of some 15 mm; an assumption."""

# Share of the driving pressure lost at resting flow by a narrowing of area ratio 1, see the module.
_FRICTION, _JET = 1.0e-4, 1.65e-3
_SICK_FROM = 0.35  # a microvascular factor lower than normal by this is full disease
_CLOSED_PERCENT = 98.5  # thinner lumens carry nothing that matters and would only upset the arithmetic
_FIELD_MM = 17.0


REDISTRIBUTION_MIN = 150.0
"""Time constant with which thallium evens out in living muscle; assumed."""


@dataclass(frozen=True, eq=False, slots=True)
class Perfusion:
    """Flow in living muscle at rest and under stress, mL/min/g, and the dead share of the wall, (ring, angle).

    ``healthy_rest_mL_min_g`` and ``healthy_stress_mL_min_g`` are the flows the same muscle would have behind open
    arteries: what is missing from them is hibernation and ischaemia.
    """

    rest_flow_mL_min_g: FloatArray
    stress_flow_mL_min_g: FloatArray
    scar_fraction: FloatArray
    healthy_rest_mL_min_g: FloatArray
    healthy_stress_mL_min_g: FloatArray
    stress_type: StressType

    @property
    def reserve(self) -> FloatArray:
        """Stress flow over rest flow, (ring, angle)."""
        ratio: FloatArray = self.stress_flow_mL_min_g / np.maximum(self.rest_flow_mL_min_g, 1e-6)
        return ratio

    @property
    def ischaemia(self) -> FloatArray:
        """Share of its stress flow that living muscle lacks because of narrowed arteries, (ring, angle), 0 to 1."""
        lack: FloatArray = np.clip(1 - self.stress_flow_mL_min_g / self.healthy_stress_mL_min_g, 0, 1)
        return lack

    @property
    def hibernation(self) -> FloatArray:
        """Share of its resting flow that living muscle lacks because of narrowed arteries, (ring, angle), 0 to 1."""
        lack: FloatArray = np.clip(1 - self.rest_flow_mL_min_g / self.healthy_rest_mL_min_g, 0, 1)
        return lack

    @property
    def ischaemic_burden(self) -> float:
        """Share of the wall that is alive and lacks flow under stress, weighed by how much it lacks; 0 to 1."""
        lack = np.clip((self.ischaemia - 0.25) / 0.5, 0, 1) * (1 - self.scar_fraction)
        return float((lack * cell_weight()).sum())


def perfuse(
    disease: CoronaryDisease,
    *,
    stress_type: StressType,
    rng: np.random.Generator,
    age_y: float = 60.0,
    hyperaemic_factor: float = 1.0,
    wall_cv: float = WALL_CV,
) -> Perfusion:
    """Flow in this heart at rest and under this kind of stress.

    ``hyperaemic_factor`` multiplies stress flow for whatever the caller knows beyond age (risk factors, caffeine);
    ``wall_cv`` is the unevenness of healthy walls and 0 gives the mean heart.

    Raises
    ------
    InvalidValue
        For another kind of stress, or factors that are not positive.
    """
    if stress_type not in ("exercise", "pharmacological"):
        raise InvalidValue(f"stress is exercise or pharmacological, not {stress_type!r}")
    if not (hyperaemic_factor > 0 and age_y > 0 and wall_cv >= 0):
        raise InvalidValue("age and hyperaemic factor are positive and the wall's unevenness is at least 0")
    tone, effort, drift, response = rng.standard_normal(4)
    blunted = rng.random() < _BLUNTED_SHARE
    always, rest_only, stress_only = smooth_field(_FIELD_MM, rng, 3)
    (patchy,) = smooth_field(_PATCHY_MM, rng, 1)
    # Half of the unevenness (in variance) is the wall's own and returns in every scan, half belongs to the state.
    rest_pattern = np.exp(wall_cv * (always + rest_only) * np.sqrt(0.5))
    stress_pattern = np.exp(wall_cv * (always + stress_only) * np.sqrt(0.5))
    even = wall_cv > 0
    # Flow is a little higher toward the apex and in the lateral wall, and lower in the basal septum.
    level = 1 + even * ((0.04 + 0.03 * drift) * (0.5 - cell_depth()) + 0.03 * (toward(0, 50) - toward(180, 50)))

    rest = HEALTHY_REST_MBF * np.exp(0.12 * even * tone) * level * rest_pattern
    older = 1 - 0.006 * np.clip(age_y - 40, 0, 50)
    if stress_type == "pharmacological":
        share = float(np.exp(_RESPONSE_LOG_SD * even * response)) * (_BLUNTED_FACTOR if even and blunted else 1.0)
    else:
        share = float(np.clip(EXERCISE_SHARE + _EXERCISE_SD * even * effort, 0.45, 1))
    muscle = 0.8 if disease.cardiomyopathy else 1.0
    stress = HEALTHY_STRESS_MBF * share * older * muscle * hyperaemic_factor * disease.microvascular_factor
    stress = np.maximum(stress, 1.05 * HEALTHY_REST_MBF) * level * stress_pattern
    sick = float(np.clip((1 - disease.microvascular_factor) / _SICK_FROM, 0, 1))
    stress = stress * np.exp(PATCHY_LOG_SD * even * sick * patchy)
    stress = stress * (1 - disease.diffuse_loss * (1 - cell_depth()))
    if disease.lbbb:
        # A septum that contracts late against closed perforators gets less, the more the faster the heart beats.
        septum = toward(165, 32) * np.clip(cell_depth() / 0.2, 0, 1)
        rest = rest * (1 - 0.13 * septum)
        stress = stress * (1 - (0.27 if stress_type == "exercise" else 0.17) * septum)

    # Small vessels can widen as much before exercise as before a vasodilator, so rest is held by the full reserve.
    reserve = float(np.average(stress / rest, weights=cell_weight()))
    rest_share, stress_share = _through_narrowings(disease, reserve / min(share, 1.0), reserve)
    return Perfusion(
        np.tensordot(rest_share, disease.tree.supply, 1) * rest,
        np.tensordot(stress_share, disease.tree.supply, 1) * stress,
        disease.scar,
        rest,
        stress,
        stress_type,
    )


def flow_share(
    diameter_percent: float, *, reserve: float = 3.5, collateral_index: float = 0.22, resistance: float = 1.0
) -> tuple[float, float]:
    """Rest and hyperaemic flow behind one narrowing of a trunk as shares of those of an open artery.

    ``reserve`` is the healthy ratio of hyperaemic to resting flow. The hyperaemic share is also the pressure behind
    the narrowing over the one before it: its fractional flow reserve.

    >>> rest, stress = flow_share(72.5)
    >>> round(rest, 2), round(stress, 1)
    (1.0, 0.5)
    """
    friction, jet = _pressure_loss(np.array([float(diameter_percent)]))
    loss = friction * resistance, jet * resistance
    one = np.ones((1, 1))
    rest, stress = _solve(one, one.astype(bool), loss, (reserve, reserve), np.array([collateral_index]))
    return float(rest[0]), float(stress[0])


def _through_narrowings(
    disease: CoronaryDisease, full_reserve: float, stress_reserve: float
) -> tuple[FloatArray, FloatArray]:
    """Share of its healthy flow that each feeding place gets, at rest and under stress, (node,) each."""
    tree = disease.tree
    n = len(tree.node)
    behind = [tree.nodes_downstream(s.place) for s in disease.stenoses]
    kept = [(s, b) for s, b in zip(disease.stenoses, behind, strict=True) if b.any()]
    if not kept:
        return np.ones(n), np.ones(n)
    passes = np.stack([b for _, b in kept], axis=1)  # (node, stenosis)
    vessel = np.array([VESSELS.index(tree.vessel(p.branch)) for p in tree.node])
    beds, bed_of = np.unique(np.column_stack([passes, vessel]), axis=0, return_inverse=True)
    bed_of = bed_of.reshape(-1)
    size = np.bincount(bed_of, (tree.supply * cell_weight()).sum((1, 2)), len(beds))  # share of the wall
    upstream = beds[:, :-1].astype(bool)  # (bed, stenosis)
    share = (upstream * size[:, None]).T  # (stenosis, bed)
    share = share / np.maximum(share.sum(1, keepdims=True), 1e-12)
    collateral = np.array([disease.collateral_index[VESSELS[int(v)]] for v in beds[:, -1]])
    resistance = np.array([s.resistance for s, _ in kept])
    friction, jet = _pressure_loss(np.array([s.diameter_percent for s, _ in kept]))
    loss = friction * resistance, jet * resistance
    rest, stress = _solve(share, upstream, loss, (full_reserve, stress_reserve), collateral)
    return rest[bed_of], stress[bed_of]


def _pressure_loss(diameter_percent: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Friction and jet of each narrowing: share of the driving pressure lost at the resting flow of its own bed."""
    area_ratio = 1 / (1 - np.minimum(diameter_percent, _CLOSED_PERCENT) / 100) ** 2
    return _FRICTION * (area_ratio**2 - 1), _JET * (area_ratio - 1) ** 2


def _solve(
    share: FloatArray,
    upstream: FloatArray,
    loss: tuple[FloatArray, FloatArray],
    reserve: tuple[float, float],
    collateral_index: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Flow of each bed as shares of its healthy rest flow and of its healthy hyperaemic flow.

    ``share`` (stenosis, bed) is what each bed has in the resting flow through each narrowing, ``upstream`` (bed,
    stenosis) which narrowings it lies behind; ``reserve`` is how far small vessels
    can widen and how far stress makes them. Units: driving pressure 1, resting flow of a bed 1.
    """
    collateral_share = collateral_index / (1 - collateral_index)
    wide_open = np.full(len(collateral_index), reserve[1])
    stress = _pressures(share, upstream, loss, wide_open, np.zeros_like(wide_open), wide_open * collateral_share)
    wide_open = np.full(len(collateral_index), reserve[0])
    to_collateral = wide_open * collateral_share  # conductance
    # At rest a bed holds its flow while it can; the rest are wide open. Which are which is found by trying: a bed
    # that gets more than it needs closes down, and what it leaves raises the pressure of the others.
    holds = np.zeros(len(wide_open), bool)
    for _ in range(len(wide_open) + 1):
        pressure = _pressures(
            share, upstream, loss, np.where(holds, 0, wide_open), np.where(holds, 1.0, 0.0), to_collateral
        )
        more = ~holds & (wide_open * pressure > 1)
        if not more.any():
            break
        holds |= more
    rest = np.where(holds, 1.0, np.minimum(wide_open * pressure, 1))
    return rest, np.clip(stress, 0, 1)


def _pressures(
    share: FloatArray,
    upstream: FloatArray,
    loss: tuple[FloatArray, FloatArray],
    conductance: FloatArray,
    fixed_flow: FloatArray,
    to_collateral: FloatArray,
) -> FloatArray:
    """Pressure before each bed's small vessels by Newton's method, (bed,), as a share of the driving pressure."""
    friction, jet = loss
    up = upstream.astype(float)
    pressure = np.ones(len(conductance))
    slope = conductance + to_collateral

    def excess(p: FloatArray) -> tuple[FloatArray, FloatArray]:
        through = share @ (conductance * p + fixed_flow - to_collateral * (1 - p))  # epicardial, (stenosis,)
        return p - 1 + up @ (friction * through + jet * through * np.abs(through)), through

    value, through = excess(pressure)
    for _ in range(60):
        if np.abs(value).max() < 1e-10:
            break
        jacobian = np.eye(len(pressure)) + (up * (friction + 2 * jet * np.abs(through))) @ (share * slope)
        step = np.linalg.solve(jacobian, value)
        for shorter in (1.0, 0.5, 0.25, 0.1, 0.03):
            trial, flows = excess(pressure - shorter * step)
            if np.abs(trial).max() < np.abs(value).max():
                break
        pressure, value, through = pressure - shorter * step, trial, flows
    return pressure


def uptake(perfusion: Perfusion, *, tracer: str, state: State) -> FloatArray:
    """Tracer per mL of wall relative to healthy wall in the same state, (ring, angle).

    K1 of the local flow over K1 of healthy flow (``HEALTHY_REST_MBF``, or ``HEALTHY_STRESS_MBF`` times
    ``EXERCISE_SHARE`` for exercise), times the living share of the wall: scar keeps nothing. Multiply by the
    concentration in healthy wall that `organ_concentrations` gives for the same state.
    """
    if state not in ("stress", "rest"):
        raise InvalidValue(f"state is stress or rest, not {state!r}")
    curve = extraction(tracer)
    if state == "rest":
        flow, healthy = perfusion.rest_flow_mL_min_g, HEALTHY_REST_MBF
    else:
        flow = perfusion.stress_flow_mL_min_g
        healthy = HEALTHY_STRESS_MBF * (EXERCISE_SHARE if perfusion.stress_type == "exercise" else 1.0)
    ratio = curve.uptake_rate_mL_min_g(flow) / curve.uptake_rate_mL_min_g(healthy)
    alive: FloatArray = ratio * (1 - perfusion.scar_fraction)
    return alive


def redistributed(perfusion: Perfusion, *, tracer: str, minutes_after_injection: float) -> FloatArray:
    """Tracer of a stress injection per mL of wall some time later, relative to healthy wall then, (ring, angle).

    Thallium leaves muscle and comes back to it: living wall that got little at first fills up towards what healthy
    wall holds, with a time constant of ``REDISTRIBUTION_MIN`` (assumed; published times vary, and severe narrowings
    fill more slowly than this). Scar keeps nothing at any time.

    Raises
    ------
    InvalidValue
        For a negative or missing time.
    """
    if not (np.isfinite(minutes_after_injection) and minutes_after_injection >= 0):
        raise InvalidValue("the time of redistribution is at least 0 minutes")
    alive = 1 - perfusion.scar_fraction
    still_lacks = np.exp(-minutes_after_injection / REDISTRIBUTION_MIN)
    later: FloatArray = alive + (uptake(perfusion, tracer=tracer, state="stress") - alive) * still_lacks
    return later
