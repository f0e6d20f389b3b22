"""Coronary disease of one patient: where it is narrowed, what has died, and what else is wrong with the muscle.

Obstruction of the three arteries is drawn from a Gaussian copula, so that disease clusters in patients; below the
line of obstruction lie the many plaques that narrow less. How narrowings spread over severity and place, and every
share that `CoronaryRisk` does not carry, are this project's assumptions; the line itself (70 % of the diameter by eye,
left main 50 %) is the one of the angiographic registries (Betancur 2018). Diameters are measured ones throughout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr

from myoscope.core import VESSELS, InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.core.segments import Vessel
from myoscope.simulate.coronary_tree import DOMINANCE_SHARE, CoronaryTree, Dominance, Place, draw_tree
from myoscope.simulate.wall_field import cell_place_mm, cell_weight, smooth_field

Cardiomyopathy = Literal["dilated", "hypertrophic"]

READ_OBSTRUCTIVE_PERCENT: Mapping[str, float] = MappingProxyType({"LAD": 70.0, "LCx": 70.0, "RCA": 70.0, "LM": 50.0})
"""Diameter stenosis, as read by eye, from which an artery counts as obstructed."""

READ_EXCESS_PERCENT = 8.2
"""How much tighter the eye sees a narrowing than it measures (Nallamothu et al., Circulation 2013;127:1793)."""

OBSTRUCTIVE_PERCENT: Mapping[str, float] = MappingProxyType(
    {vessel: percent - READ_EXCESS_PERCENT for vessel, percent in READ_OBSTRUCTIVE_PERCENT.items()}
)
"""Measured diameter stenosis from which an artery is truly obstructed: an average reader would say so."""

HEALTHY_COLLATERAL_INDEX = 0.22
"""Share of the driving pressure that reaches a bed whose own artery is closed; an assumption, chosen with the
resistances in `perfusion` so that hyperaemic flow falls with narrowing as it does in people."""

MICROVASCULAR_LOG_SD = 0.2

RESISTANCE_LOG_SD = 1.0
"""Spread of what narrowings of one diameter cost. With the reading of angiograms (`angiography`) it brings the share of
narrowings with a fractional flow reserve of 0.80 or less near what it is in people: 35 % of those read as 50 to 70 %,
80 % of 71 to 90, 96 % of 91 to 99 (Tonino et al., J Am Coll Cardiol 2010;55:2816)."""

_ROUGH_MM, _BORDER_MM, _DEEP_MM, _DISTAL_MM = 2.5, 2.3, 16.0, 13.0

_SITES: Mapping[str, tuple[tuple[str, float, float, float], ...]] = MappingProxyType(
    {
        "LM": (("LM", 0.2, 0.9, 1.0),),
        "LAD": (("LAD", 0.02, 0.13, 0.32), ("LAD", 0.22, 0.50, 0.40), ("LAD", 0.55, 0.80, 0.10), ("D1", 0, 0.3, 0.18)),
        "LCx": (("LCx", 0.04, 0.20, 0.34), ("LCx", 0.45, 0.80, 0.22), ("OM1", 0, 0.3, 0.32), ("OM2", 0, 0.3, 0.12)),
        "RCA": (("RCA", 0.05, 0.33, 0.32), ("RCA", 0.33, 0.66, 0.36), ("RCA", 0.66, 0.95, 0.18), ("PDA", 0, 0.3, 0.14)),
    }
)
"""Where narrowings sit: branch, first and last place along it, share. Branches a patient lacks fall to the trunk."""


@dataclass(frozen=True, slots=True)
class CoronaryRisk:
    """Probability of each disease in one patient, and how strongly the three arteries go together (0 to below 1)."""

    obstructive_lad: float
    obstructive_lcx: float
    obstructive_rca: float
    left_main: float = 0.0
    infarct: float = 0.0
    microvascular: float = 0.0
    lbbb: float = 0.0
    cardiomyopathy: float = 0.0
    correlation: float = 0.4

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if not 0 <= value <= 1 or (name == "correlation" and value == 1):
                raise InvalidValue(f"{name} is a probability (correlation below 1), got {value}")


@dataclass(frozen=True, slots=True)
class Stenosis:
    """A narrowing: where, by how much of the diameter (100 = closed), and how much pressure it costs.

    ``resistance`` multiplies the pressure that a narrowing of this diameter costs on average: long, ragged narrowings
    of small arteries cost more.
    """

    place: Place
    diameter_percent: float
    resistance: float = 1.0

    def __post_init__(self) -> None:
        if not (0 <= self.diameter_percent <= 100 and 0 <= self.place.along <= 1):
            raise InvalidValue(f"a stenosis narrows by 0 to 100 % at a place from 0 to 1, got {self}")
        if not self.resistance > 0:
            raise InvalidValue(f"a stenosis costs pressure: its resistance is positive, got {self.resistance}")


@dataclass(frozen=True, slots=True)
class Infarct:
    """An old infarct: downstream of what, through how much of the wall, and over how much of the bed."""

    place: Place
    transmurality: float
    share_of_bed: float

    def __post_init__(self) -> None:
        if not (0 < self.transmurality <= 1 and 0 < self.share_of_bed <= 1):
            raise InvalidValue(f"transmurality and share of the bed lie above 0 and at most at 1, got {self}")


@dataclass(frozen=True, eq=False, slots=True)
class CoronaryDisease:
    """Everything that is wrong, or right, with one patient's heart muscle and its arteries.

    ``collateral_index`` gives each artery's share of the driving pressure behind a closed trunk;
    ``microvascular_factor`` multiplies hyperaemic flow everywhere, ``diffuse_loss`` is the further share of it lost
    from base to apex. ``scar`` (ring, angle) is the dead share of the wall's thickness. ``dilation`` multiplies the
    heart's diameters, ``hypertrophy`` its wall thickness, ``contractility`` its thickening (1 = healthy).
    """

    tree: CoronaryTree
    stenoses: tuple[Stenosis, ...]
    collateral_index: Mapping[Vessel, float]
    infarcts: tuple[Infarct, ...]
    scar: FloatArray
    microvascular_factor: float
    diffuse_loss: float
    lbbb: bool
    cardiomyopathy: Cardiomyopathy | None
    dilation: float = 1.0
    hypertrophy: float = 1.0
    contractility: float = 1.0

    def __post_init__(self) -> None:
        for place in (*(s.place for s in self.stenoses), *(i.place for i in self.infarcts)):
            self.tree.vessel(place.branch)
        if not (self.microvascular_factor > 0 and 0 <= self.diffuse_loss < 1):
            raise InvalidValue("the microvascular factor is positive and the diffuse loss lies from 0 to below 1")
        if not all(0 <= self.collateral_index[v] < 1 for v in VESSELS):
            raise InvalidValue(f"collateral indices lie from 0 to below 1, got {dict(self.collateral_index)}")

    @property
    def dominance(self) -> Dominance:
        """Which artery gives the posterior descending branch."""
        return self.tree.dominance

    @property
    def territory(self) -> NDArray[np.int16]:
        """Index into ``VESSELS`` of the artery that gives each cell most, (ring, angle)."""
        return self.tree.territory

    @property
    def worst_stenosis_percent(self) -> dict[str, float]:
        """Tightest narrowing of LAD, LCx, RCA (their branches included) and LM, % of the diameter; 0 = none."""
        worst = dict.fromkeys((*VESSELS, "LM"), 0.0)
        for s in self.stenoses:
            vessel = self.tree.vessel(s.place.branch)
            worst[vessel] = max(worst[vessel], s.diameter_percent)
        return worst

    @property
    def left_main_obstructive(self) -> bool:
        """Whether the left main is obstructed."""
        return self.worst_stenosis_percent["LM"] >= OBSTRUCTIVE_PERCENT["LM"]

    @property
    def obstructive(self) -> dict[Vessel, bool]:
        """Whether LAD, LCx and RCA are obstructed: as `OBSTRUCTIVE_PERCENT`, or for LAD and LCx by the left main."""
        worst, left_main = self.worst_stenosis_percent, self.left_main_obstructive
        return {v: worst[v] >= OBSTRUCTIVE_PERCENT[v] or (left_main and v != "RCA") for v in VESSELS}

    @property
    def diseased(self) -> FloatArray:
        """Share of each cell's blood that must pass an obstructive narrowing, (ring, angle), 0 to 1."""
        behind = np.zeros(len(self.tree.node), bool)
        for s in self.stenoses:
            if s.diameter_percent >= OBSTRUCTIVE_PERCENT[self.tree.vessel(s.place.branch)]:
                behind |= self.tree.nodes_downstream(s.place)
        share: FloatArray = self.tree.supply[behind].sum(0)
        return share

    def as_dict(self) -> dict[str, Any]:
        """The disease in plain numbers and words, without the maps."""
        return {
            "dominance": self.dominance,
            "branches": list(self.tree.parent),
            "stenoses": [
                {
                    "branch": s.place.branch,
                    "vessel": self.tree.vessel(s.place.branch),
                    "along": float(s.place.along),
                    "diameter_percent": float(s.diameter_percent),
                    "resistance": float(s.resistance),
                    "bed_percent_of_wall": 100 * float((self.tree.bed(s.place) * cell_weight()).sum()),
                }
                for s in self.stenoses
            ],
            "obstructive": {**self.obstructive, "LM": self.left_main_obstructive},
            "worst_stenosis_percent": self.worst_stenosis_percent,
            "collateral_index": {v: float(self.collateral_index[v]) for v in VESSELS},
            "infarcts": [
                {
                    "branch": i.place.branch,
                    "along": float(i.place.along),
                    "transmurality": float(i.transmurality),
                    "share_of_bed": float(i.share_of_bed),
                }
                for i in self.infarcts
            ],
            "scar_percent_of_wall": 100 * float((self.scar * cell_weight()).sum()),
            "microvascular_factor": float(self.microvascular_factor),
            "diffuse_loss": float(self.diffuse_loss),
            "lbbb": bool(self.lbbb),
            "cardiomyopathy": self.cardiomyopathy,
            "dilation": float(self.dilation),
            "hypertrophy": float(self.hypertrophy),
            "contractility": float(self.contractility),
        }


def healthy_coronaries(rng: np.random.Generator, *, dominance: Dominance = "right") -> CoronaryDisease:
    """A heart without any disease, its arteries laid as in some person."""
    return coronary_disease(draw_tree(dominance, rng), rng=rng)


def coronary_disease(
    tree: CoronaryTree,
    *,
    stenoses: tuple[Stenosis, ...] = (),
    infarcts: tuple[Infarct, ...] = (),
    collateral_index: Mapping[Vessel, float] | None = None,
    microvascular_factor: float = 1.0,
    diffuse_loss: float = 0.0,
    lbbb: bool = False,
    cardiomyopathy: Cardiomyopathy | None = None,
    dilation: float = 1.0,
    hypertrophy: float = 1.0,
    contractility: float = 1.0,
    rng: np.random.Generator,
) -> CoronaryDisease:
    """Disease as told, not drawn; ``rng`` only roughens the borders of infarcts."""
    return CoronaryDisease(
        tree,
        tuple(stenoses),
        MappingProxyType(dict(collateral_index or dict.fromkeys(VESSELS, HEALTHY_COLLATERAL_INDEX))),
        tuple(infarcts),
        _scar(tree, infarcts, rng),
        microvascular_factor,
        diffuse_loss,
        lbbb,
        cardiomyopathy,
        dilation,
        hypertrophy,
        contractility,
    )


def _scar(tree: CoronaryTree, infarcts: tuple[Infarct, ...], rng: np.random.Generator) -> FloatArray:
    """Dead share of the wall: the core of each bed, with a border zone about 10 mm wide."""
    alive = np.ones(tree.supply.shape[1:])
    rough_mm = _ROUGH_MM * smooth_field(12.0, rng, max(len(infarcts), 1))
    for infarct, uneven_mm in zip(infarcts, rough_mm, strict=False):
        bed = tree.bed(infarct.place)
        inside = bed > 0.5
        if not inside.any():
            continue  # an artery that does not reach the left ventricle leaves no scar in it
        # The rim of a bed is fed from its neighbours and survives; what dies lies deep in it, and above all far down
        # the artery, where nothing else arrives.
        behind = tree.nodes_downstream(infarct.place)
        far = np.array([place.along for place in tree.node]) * behind
        distal = np.tensordot(far, tree.supply, 1) / np.maximum(bed, 1e-9)
        depth_mm = np.minimum(_depth_mm(inside), _DEEP_MM) + uneven_mm + _DISTAL_MM * (distal - distal[inside].mean())
        cut_mm = float(np.quantile(depth_mm[inside], 1 - infarct.share_of_bed))
        alive *= 1 - infarct.transmurality * bed * expit((depth_mm - cut_mm) / _BORDER_MM)
    scar: FloatArray = 1 - alive
    return scar


def _depth_mm(inside: NDArray[np.bool_]) -> FloatArray:
    """Distance to the border of a bed, (ring, angle), positive inside; the base is no border."""
    from scipy.spatial import cKDTree  # slow to import, and only infarcts need it

    place = cell_place_mm()
    depth = np.full(inside.shape, 99.0)
    if not inside.all():
        depth[inside] = cKDTree(place[~inside]).query(place[inside])[0]
        depth[~inside] = -cKDTree(place[inside]).query(place[~inside])[0]
    return depth


def draw_coronaries(risk: CoronaryRisk, rng: np.random.Generator) -> CoronaryDisease:
    """Coronary disease of a patient with these odds, drawn in a fixed order.

    Obstruction has exactly the given probability in each artery, and any two arteries the given correlation of the
    normal numbers behind it. The same numbers decide how tight the narrowing is, so worse disease clusters too.
    """
    dominance: Dominance = ("right", "left", "balanced")[int(rng.choice(3, p=[*DOMINANCE_SHARE.values()]))]
    tree = draw_tree(dominance, rng)

    shared, own = rng.standard_normal(), rng.standard_normal(len(VESSELS) + 1)
    latent = np.sqrt(risk.correlation) * shared + np.sqrt(1 - risk.correlation) * own
    rank = dict(zip((*VESSELS, "LM"), ndtr(latent).tolist(), strict=True))
    odds = dict(
        zip(
            (*VESSELS, "LM"),
            (risk.obstructive_lad, risk.obstructive_lcx, risk.obstructive_rca, risk.left_main),
            strict=True,
        )
    )
    stenoses: list[Stenosis] = []
    for vessel, threshold in OBSTRUCTIVE_PERCENT.items():
        percent = _severity(rank[vessel], odds[vessel], threshold)
        main = _place(vessel, tree, rng)
        further = [(_place(vessel, tree, rng), float(rng.uniform(0.25, 0.85))) for _ in range(2)]
        n_further = int(min(rng.poisson(0.6), 2)) if vessel != "LM" else 0
        resistance = np.exp(RESISTANCE_LOG_SD * rng.standard_normal(3)).round(3).tolist()
        if percent < 15:
            continue
        stenoses.append(Stenosis(main, round(percent, 1), resistance[0]))
        for (place, share), cost in zip(further[:n_further], resistance[1:], strict=False):
            # What is not the main narrowing never makes an artery obstructed that was drawn free of obstruction.
            least = threshold - 0.1 if percent < threshold else 99.0
            stenoses.append(Stenosis(place, round(min(share * percent, least), 1), cost))
    worst = {
        v: max((s.diameter_percent for s in stenoses if tree.vessel(s.place.branch) == v), default=0) for v in VESSELS
    }

    collateral: dict[Vessel, float] = {}
    for vessel in VESSELS:
        # Slow, severe narrowing makes collaterals grow; a closed artery whose bed still lives has good ones.
        grown = 0.10 * np.clip((worst[vessel] - 80) / 19, 0, 1)
        collateral[vessel] = float(np.clip(HEALTHY_COLLATERAL_INDEX * np.exp(rng.normal(0, 0.35)) + grown, 0.05, 0.5))

    infarcts: list[Infarct] = []
    has_infarct, second = rng.random() < risk.infarct, rng.random() < 0.15
    weight = np.array([10 + worst[v] for v in VESSELS]) ** 2 * np.array([1.2, 0.8, 1.0])
    culprits = rng.choice(len(VESSELS), size=2, replace=False, p=weight / weight.sum())
    for index in culprits[: (1 + second) * has_infarct]:
        infarcts.append(_draw_infarct(VESSELS[int(index)], tree, stenoses, rng))

    sick_vessels = rng.random() < risk.microvascular
    factor = float(np.exp(rng.normal(np.log(0.65) if sick_vessels else 0.0, MICROVASCULAR_LOG_SD)))
    atheroma = sum(worst.values()) / 300
    diffuse = float(rng.uniform(0, 0.12) * (1 + sick_vessels) + rng.uniform(0, 0.2) * atheroma)
    lbbb = bool(rng.random() < risk.lbbb)
    kind = rng.random()
    size, strength = rng.uniform(0, 1, 2)
    cardiomyopathy: Cardiomyopathy | None = None
    dilation = hypertrophy = contractility = 1.0
    if rng.random() < risk.cardiomyopathy:
        cardiomyopathy = "dilated" if kind < 0.7 else "hypertrophic"
        if cardiomyopathy == "dilated":
            dilation, hypertrophy, contractility = 1.12 + 0.28 * size, 0.95, 0.35 + 0.35 * strength
        else:
            dilation, hypertrophy, contractility = 0.97, 1.25 + 0.45 * size, 0.85 + 0.15 * strength
    scarred = coronary_disease(tree, infarcts=tuple(infarcts), rng=rng)
    lost = float((scarred.scar * cell_weight()).sum())
    return CoronaryDisease(
        tree,
        tuple(stenoses),
        MappingProxyType(collateral),
        tuple(infarcts),
        scarred.scar,
        factor,
        diffuse,
        lbbb,
        cardiomyopathy,
        dilation * (1 + 0.6 * lost),  # ventricles that lost muscle dilate
        hypertrophy,
        contractility * (1 - 0.5 * lost),
    )


def _severity(rank: float, odds: float, threshold: float) -> float:
    """Diameter stenosis in % from a patient's rank (0 to 1) among all arteries with these odds of obstruction."""
    if rank > 1 - odds:
        worse = (rank - (1 - odds)) / odds
        if worse > 0.90:
            return 100.0 if threshold > 60 else 90.0
        return threshold + (99 - threshold if threshold > 60 else 40) * float((worse / 0.90) ** 1.15)
    # Of the arteries without obstruction a share that rises with the odds has plaques, up to just below the line.
    plaque = min(0.25 + 1.2 * odds, 0.8)
    position = rank / (1 - odds)
    if position < 1 - plaque:
        return 0.0
    return 15 + (threshold - 15.1) * float(((position - (1 - plaque)) / plaque) ** 1.1)


def _place(vessel: str, tree: CoronaryTree, rng: np.random.Generator) -> Place:
    sites = _SITES[vessel]
    branch, first, last, _ = sites[int(rng.choice(len(sites), p=[s[3] for s in sites]))]
    at = Place(branch, round(float(rng.uniform(first, last)), 3))
    # A posterior descending branch that springs from the circumflex is no part of the right artery.
    return at if tree.vessel(branch) == vessel else Place(vessel, round(float(rng.uniform(0.66, 0.95)), 3))


def _draw_infarct(vessel: Vessel, tree: CoronaryTree, stenoses: list[Stenosis], rng: np.random.Generator) -> Infarct:
    own = [s for s in stenoses if tree.vessel(s.place.branch) == vessel]
    fresh = _place(vessel, tree, rng)
    place = max(own, key=lambda s: s.diameter_percent).place if own else fresh
    transmural = rng.random() < 0.5
    depth = float(rng.uniform(0.7, 0.92) if transmural else rng.uniform(0.25, 0.55))
    return Infarct(place, round(depth, 2), round(float(rng.uniform(0.35, 0.9)), 2))
