"""The coronary tree of one patient and the bed of each of its places on the wall.

Arteries run over an average wall as they do over hearts: the left anterior descending down the anterior groove and
round the apex, the circumflex along the atrioventricular groove, the posterior descending down the inferior groove.
Each cell is fed by the arterial places near it, softly, so that neighbouring beds overlap; what lies downstream of a
place on the tree is its bed. Courses, reaches and shares of dominance are this project's own plausible defaults,
jittered for each patient; where they come out close to the usual segments they were tuned to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from myoscope.core import N_ANGLES, N_RINGS, VESSELS, InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.core.segments import Vessel
from myoscope.simulate.wall_field import cell_place_mm, on_wall_mm, smooth_field

Dominance = Literal["right", "left", "balanced"]

DOMINANCE_SHARE: Mapping[Dominance, float] = MappingProxyType({"right": 0.83, "left": 0.09, "balanced": 0.08})
"""Share of people whose inferior wall hangs on the right, the left or both arteries; an assumption."""

RAMUS_SHARE = 0.22
"""Share of people with an intermediate branch between the left anterior descending and the circumflex; assumed."""

_NODE_MM = 7.0  # one feeding place for each such length of artery
_BORDER_MM = 3.5  # overlap of neighbouring beds: a tenth to nine tenths within about four times this
_VESSEL_OF: Mapping[str, Vessel] = {
    "LAD": "LAD",
    "D1": "LAD",
    "D2": "LAD",
    "ramus": "LCx",
    "LCx": "LCx",
    "OM1": "LCx",
    "OM2": "LCx",
}


@dataclass(frozen=True, slots=True)
class Place:
    """A place on the tree: a branch and how far along it, 0 at its mouth and 1 at its end."""

    branch: str
    along: float


@dataclass(frozen=True, eq=False, slots=True)
class CoronaryTree:
    """Branches, where each springs from, and what each feeding place gives to the wall.

    ``parent`` names the place each branch leaves (None: the aorta); ``node`` lists the feeding places and ``supply``
    (node, ring, angle) the share of each cell's blood that comes through each of them, summing to 1 in every cell.
    """

    dominance: Dominance
    parent: Mapping[str, Place | None]
    node: tuple[Place, ...]
    supply: FloatArray

    def vessel(self, branch: str) -> Vessel | Literal["LM"]:
        """The main artery a branch belongs to."""
        if branch not in self.parent:
            raise InvalidValue(f"this patient has no branch {branch!r}; there are {', '.join(self.parent)}")
        if branch == "LM":
            return "LM"
        if branch in _VESSEL_OF:
            return _VESSEL_OF[branch]
        mouth = self.parent[branch]
        return "RCA" if mouth is None else self.vessel(mouth.branch)

    def is_downstream(self, of: Place, place: Place) -> bool:
        """Whether blood on its way to ``place`` passes ``of``."""
        at: Place | None = place
        while at is not None:
            if at.branch == of.branch:
                return at.along >= of.along
            at = self.parent[at.branch]
        return False

    def nodes_downstream(self, of: Place) -> NDArray[np.bool_]:
        """Which feeding places lie downstream of a place, (node,)."""
        if of.branch not in self.parent:
            raise InvalidValue(f"this patient has no branch {of.branch!r}; there are {', '.join(self.parent)}")
        return np.array([self.is_downstream(of, place) for place in self.node], bool)

    def bed(self, of: Place) -> FloatArray:
        """Share of each cell's blood that passes a place, (ring, angle), 0 to 1."""
        bed: FloatArray = self.supply[self.nodes_downstream(of)].sum(0)
        return bed

    def vessel_supply(self) -> FloatArray:
        """Share of each cell's blood from each artery in the order of ``VESSELS``, (3, ring, angle)."""
        owner = np.array([VESSELS.index(self.vessel(place.branch)) for place in self.node])
        shares: FloatArray = np.stack([self.supply[owner == v].sum(0) for v in range(len(VESSELS))])
        return shares

    @property
    def territory(self) -> NDArray[np.int16]:
        """Index into ``VESSELS`` of the artery that gives each cell most, (ring, angle)."""
        owner: NDArray[np.int16] = self.vessel_supply().argmax(0).astype(np.int16)
        return owner


@dataclass(frozen=True, slots=True)
class _Course:
    """Turning points (depth, angle) of a branch, its reach in mm, and where along it its wall begins."""

    points: tuple[tuple[float, float], ...]
    reach_mm: float
    starts: float = 0.0
    septals: bool = False


def draw_tree(dominance: Dominance, rng: np.random.Generator) -> CoronaryTree:
    """A coronary tree of the given dominance, its courses jittered as between people."""
    if dominance not in DOMINANCE_SHARE:
        raise InvalidValue(f"dominance is right, left or balanced, not {dominance!r}")

    def turn(sd_deg: float) -> float:
        return float(np.clip(rng.normal(0, sd_deg), -2.2 * sd_deg, 2.2 * sd_deg))

    groove, crux = 113 + turn(5), 243 + turn(6)  # anterior and inferior insertion of the right ventricle
    wraps = float(np.clip(rng.normal(0.25, 0.10), -0.05, 0.42))  # how far the LAD climbs the inferior wall
    tip = (wraps, 268.0 + turn(8)) if wraps > 0 else (-wraps, groove - 8)
    d1, d2, om1, om2, pl = 58 + turn(8), 62 + turn(10), 18 + turn(9), 335 + turn(10), 293 + turn(10)
    ramus = bool(rng.random() < RAMUS_SHARE)
    first, second = float(rng.uniform(0.14, 0.24)), float(rng.uniform(0.34, 0.48))
    marginal, late = float(rng.uniform(0.22, 0.42)), float(rng.uniform(0.50, 0.72))
    end_depth = rng.uniform(-0.08, 0.08, 6)

    course = {
        "LAD": _Course(((0.97, groove - 12), (0.75, groove), (0.40, groove - 2), tip), 2.0 + turn(2), 0.10, True),
        "D1": _Course(((0.86, groove - 14), (0.62, d1 + 12), (0.34 + end_depth[0], d1)), 1.0 + turn(3)),
        "D2": _Course(((0.58, groove - 14), (0.40, d2 + 14), (0.17 + end_depth[1], d2)), 0.0 + turn(3)),
        "OM1": _Course(((0.92, om1 + 22), (0.60, om1), (0.30 + end_depth[2], om1 - 4)), 1.5 + turn(3)),
        "OM2": _Course(((0.92, om2 + 15), (0.60, om2), (0.30 + end_depth[3], om2 - 5)), 0.0 + turn(3)),
        "PL": _Course(((0.95, crux + 14), (0.75, pl), (0.42 + end_depth[4], pl + 4)), 0.5 + turn(3)),
        "PDA": _Course(((0.97, crux), (0.60, crux + 4), (0.34 + end_depth[5], crux + 22)), 2.5 + turn(3)),
    }
    # The trunk of the circumflex follows the groove as far as its share of the inferior wall reaches.
    last = {"right": 325.0, "balanced": 306.0, "left": 250.0}[dominance] + turn(8) - 360
    course["LCx"] = _Course(((0.98, 62.0), (0.985, 0.5 * (62 + last)), (0.985, last)), -1.0 + turn(2), 0.15)
    parent: dict[str, Place | None] = {
        "LM": None,
        "LAD": Place("LM", 1.0),
        "D1": Place("LAD", first),
        "D2": Place("LAD", second),
        "LCx": Place("LM", 1.0),
        "OM1": Place("LCx", marginal),
        "OM2": Place("LCx", late),
        "RCA": None,
        "PDA": Place("LCx" if dominance == "left" else "RCA", 1.0),
        "PL": Place("RCA" if dominance == "right" else "LCx", 1.0),
    }
    if ramus:
        course["ramus"] = _Course(((0.92, 52 + turn(4)), (0.66, 40 + turn(5)), (0.40, 36.0)), -1.0 + turn(2))
        parent["ramus"] = Place("LM", 1.0)

    node, place, reach = [], [], []
    for branch, c in course.items():
        where, along = _walk(c)
        lanes = [(0.0, 0.0)]
        if c.septals:  # septal branches leave the LAD at right angles and feed the anterior two thirds of the septum
            lanes += [(28.0, 0.5), (58.0, 2.5)]
        for offset, shorter in lanes:
            keep = (where[:, 0] > 0.24) & (where[:, 0] < 0.97) if offset else np.ones(len(along), bool)
            node += [Place(branch, float(a)) for a in along[keep]]
            place.append(on_wall_mm(where[keep, 0], where[keep, 1] + offset))
            reach += [c.reach_mm - shorter] * int(keep.sum())
    points = np.concatenate(place)  # (node, 3)
    owner = np.array([_owner(n.branch, dominance) for n in node])
    cells = cell_place_mm().reshape(-1, 3)
    square = (points**2).sum(1)[:, None] + (cells**2).sum(1) - 2 * points @ cells.T
    distance = np.sqrt(np.maximum(square, 0)).reshape(-1, N_RINGS, N_ANGLES)
    wander = 3.0 * smooth_field(22.0, rng, len(VESSELS))[owner]
    score = (np.array(reach)[:, None, None] - distance + wander) / _BORDER_MM
    score = np.maximum(score - score.max(0), -30.0)
    weight = np.where(score > -30.0, np.exp(score.astype(np.float32)), 0.0).astype(np.float64)
    return CoronaryTree(dominance, MappingProxyType(parent), tuple(node), weight / weight.sum(0))


def _owner(branch: str, dominance: Dominance) -> int:
    if branch in _VESSEL_OF:
        return VESSELS.index(_VESSEL_OF[branch])
    left = dominance == "left" or (branch == "PL" and dominance == "balanced")
    return VESSELS.index("LCx" if left else "RCA")


def _walk(course: _Course) -> tuple[FloatArray, FloatArray]:
    """Feeding places along a course: (n, 2) depth and angle, and (n,) how far along the branch."""
    turning = np.array(course.points)
    disc = turning[:, :1] * np.stack([np.cos(np.radians(turning[:, 1])), np.sin(np.radians(turning[:, 1]))], -1)
    if np.abs(np.diff(turning[:, 1])).max() > 60 and turning[:, 0].min() > 0.9:  # along the groove, not across it
        fine = np.stack([np.interp(np.linspace(0, 1, 201), np.linspace(0, 1, len(turning)), t) for t in turning.T], -1)
    else:
        steps = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(disc, axis=0).T))])
        at = np.linspace(0, steps[-1], 201)
        x, y = (np.interp(at, steps, d) for d in disc.T)
        fine = np.stack([np.hypot(x, y), np.degrees(np.arctan2(y, x))], -1)
    points = on_wall_mm(fine[:, 0], fine[:, 1])
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    n = max(round(length[-1] / _NODE_MM), 2)
    pick = np.searchsorted(length, (np.arange(n) + 0.5) / n * length[-1])
    along = course.starts + (1 - course.starts) * length[pick] / length[-1]
    return fine[pick], along
