"""Solve the constants of the virtual population for published figures and write them into the package.

    python docs/make/calibrate_population.py

Rewrites `src/myoscope/simulate/population_constants.py`. Three steps, each on the same virtual patients (seeded): odds
of obstruction and the correlation between vessels; who is referred; what happens afterwards. The first two meet in the
referred, so the correlation is found by secant steps, with new patients each time.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from virtual_population import VirtualPopulation, band, draw_population, follow, mace

from myoscope.core import VESSELS
from myoscope.simulate.outcome import CAUSES, early_chance
from myoscope.simulate.person import draw_person
from myoscope.simulate.population_constants import CALIBRATED, Calibrated
from myoscope.simulate.risk import LEFT_MAIN_SHARE, any_obstructed, risk_logit
from myoscope.simulate.sites import SITES

OBSTRUCTED_UNSELECTED = 0.12  # of those without known disease who come for a scan: 10 to 20 %
VESSEL_SHARE = {"LAD": 0.45, "LCx": 0.25, "RCA": 0.30}
REFERRED_SHARE = 0.084  # angiography in REFINE SPECT 2.0
OBSTRUCTED_REFERRED, VESSELS_REFERRED = 0.62, 0.37  # Betancur 2018, 2019
EARLY_SHARE = 0.48  # of the referred, Hu 2020
FIRST_EVENT_PER_Y = {"ACS": 0.0083, "death": 0.0158, "revascularisation": 0.0212}  # Pieszko 2023
MACE_RATIO = (2.42, 3.85)  # REFINE SPECT 2.0: 5 to under 10 %, 10 % or more, against less
CONSTANTS = Path(__file__).parents[2] / "src/myoscope/simulate/population_constants.py"
Array = NDArray[np.float64]


def vessel_logits(correlation: float, n: int, seed: int) -> dict[str, float]:
    """Intercepts for the wanted prevalence in people without known disease, and for the shares of the vessels."""
    from scipy.optimize import brentq

    rng = np.random.default_rng([seed, 0])
    sites = [SITES[name] for name in SITES for _ in range(n // len(SITES))]
    drawn = [(draw_person(site, rng), site) for site in sites]
    x = np.array([risk_logit(person) + site.risk_logit for person, site in drawn if not person.known_cad])

    def each(logit: dict[str, float]) -> Array:
        own = np.stack([1 / (1 + np.exp(-logit[vessel] - x)) for vessel in VESSELS], axis=-1)
        return np.concatenate([own, LEFT_MAIN_SHARE * own[:, :1]], axis=-1)

    logit: dict[str, float] = {vessel: math.log(VESSEL_SHARE[vessel]) for vessel in VESSELS}
    for _ in range(40):
        offset = logit

        def excess(shift: float, offset: dict[str, float] = offset) -> float:
            shifted = each({vessel: value + shift for vessel, value in offset.items()})
            return float(any_obstructed(shifted, correlation).mean()) - OBSTRUCTED_UNSELECTED

        shift = float(brentq(excess, -12, 8, xtol=1e-6))
        logit = {vessel: value + shift for vessel, value in logit.items()}
        mean = each(logit)[:, :3].mean(0)
        share = dict(zip(VESSELS, mean / mean.sum(), strict=True))
        logit = {v: value + math.log(VESSEL_SHARE[v] / share[v]) for v, value in logit.items()}
    return logit


def referral(group: VirtualPopulation, constants: Calibrated) -> Calibrated:
    """Intercept and weight of the evidence for the share referred and their prevalence."""
    from scipy.optimize import brentq

    ill, unknown = group.read_ill, ~group.known_cad

    def at(weight: float) -> Calibrated:
        def excess(logit: float) -> float:
            tried = replace(constants, referral_weight=weight, referral_logit=logit)
            return float(group.referral_chance(tried).mean()) - REFERRED_SHARE

        return replace(constants, referral_weight=weight, referral_logit=float(brentq(excess, -40, 5)))

    def prevalence(weight: float) -> float:
        chance = group.referral_chance(at(weight)) * unknown
        return float((chance * ill).sum() / chance.sum()) - OBSTRUCTED_REFERRED

    return at(float(brentq(prevalence, 0.02, 6)))


def vessels_in_referred(group: VirtualPopulation, constants: Calibrated) -> float:
    chance = group.referral_chance(constants) * ~group.known_cad
    return float((chance * group.read_obstructed.mean(1)).sum() / chance.sum())


def early(group: VirtualPopulation, constants: Calibrated) -> Calibrated:
    """Intercept of early treatment, for its share in the referred without known disease."""
    from scipy.optimize import brentq

    chance, vessels = group.referral_chance(constants) * ~group.known_cad, group.read_obstructed.sum(1)

    def excess(logit: float) -> float:
        tried = replace(constants, early_logit=logit)
        treated = [
            early_chance(heart, int(k), tried) if k else 0.0 for heart, k in zip(group.heart, vessels, strict=True)
        ]
        return float((chance * treated).sum() / chance.sum()) - EARLY_SHARE

    return replace(constants, early_logit=float(brentq(excess, -8, 8)))


def outcomes(group: VirtualPopulation, constants: Calibrated, *, seed: int, times: int, rounds: int) -> Calibrated:
    """Base hazards for the first-event rates, and weight and limit of the deficit for the hazard ratios of MACE.

    Fixed-point steps with the same luck every time. Bands are those of the true deficit.
    """
    sent = np.random.default_rng([seed, 2]).random(len(group)) < group.referral_chance(constants)
    bands = np.tile(band(group.deficit_percent), times)
    weight, log_limit = constants.deficit_weight, math.log(constants.deficit_limit_percent)
    base = dict(constants.base_hazard_per_y)
    for step in range(rounds):
        constants = replace(
            constants,
            deficit_weight=weight,
            deficit_limit_percent=math.exp(log_limit),
            base_hazard_per_y=MappingProxyType(dict(base)),
        )
        lives = follow(group, sent, seed=seed, times=times, constants=constants)
        years = float(np.median([life.observed_y for life in lives]))
        firsts = np.array([life.first_event for life in lives])
        rate = {cause: float((firsts == cause).mean()) / years for cause in CAUSES}
        counted = mace(lives)
        per_year = [counted.happened[bands == k].sum() / counted.time_y[bands == k].sum() for k in range(3)]
        ratio = (per_year[1] / per_year[0], per_year[2] / per_year[0])
        print(
            f"  round {step}: "
            + ", ".join(f"{cause} {100 * rate[cause]:.2f} %/y" for cause in CAUSES)
            + f"; ratios {ratio[0]:.2f}, {ratio[1]:.2f}; weight {weight:.3f}, limit {math.exp(log_limit):.3f} %",
            flush=True,
        )
        for cause in CAUSES:
            base[cause] *= (FIRST_EVENT_PER_Y[cause] / rate[cause]) ** 0.9
        # The weight moves both ratios; the limit bends the curve, and so moves the step from the second to the third.
        weight *= (math.log(MACE_RATIO[1]) / math.log(ratio[1])) ** 0.8
        bend = math.log(MACE_RATIO[0]) / math.log(MACE_RATIO[1]) - math.log(ratio[0]) / math.log(ratio[1])
        log_limit = float(np.clip(log_limit - 4 * bend, math.log(2), math.log(500)))
    return constants


def write(constants: Calibrated, path: Path) -> None:
    """Replace the values in the module of constants; its class stays as it is."""
    head = path.read_text().split("CALIBRATED = ")[0]

    def mapping(values: dict[str, float], digits: int) -> str:
        return "MappingProxyType({" + ", ".join(f'"{k}": {v:.{digits}g}' for k, v in values.items()) + "})"

    path.write_text(
        f"{head}CALIBRATED = Calibrated(\n"
        f"    vessel_logit={mapping(dict(constants.vessel_logit), 5)},\n"
        f"    vessel_correlation={constants.vessel_correlation:.4g},\n"
        f"    referral_logit={constants.referral_logit:.5g},\n"
        f"    referral_weight={constants.referral_weight:.5g},\n"
        f"    deficit_weight={constants.deficit_weight:.4g},\n"
        f"    deficit_limit_percent={constants.deficit_limit_percent:.4g},\n"
        f"    early_logit={constants.early_logit:.4g},\n"
        f"    base_hazard_per_y={mapping(dict(constants.base_hazard_per_y), 4)},\n"
        ")\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--patients", type=int, default=6000)
    parser.add_argument("--rounds", type=int, default=3, help="secant steps of the correlation")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--times", type=int, default=6, help="lives drawn per patient")
    parser.add_argument("--out", type=Path, default=CONSTANTS)
    given = parser.parse_args()
    start = time.time()

    tried: list[tuple[float, float]] = []
    correlation, constants = CALIBRATED.vessel_correlation, CALIBRATED
    for step in range(given.rounds):
        logit = vessel_logits(correlation, 20_000, given.seed)
        constants = replace(constants, vessel_logit=MappingProxyType(logit), vessel_correlation=correlation)
        group = draw_population(given.patients, seed=given.seed, constants=constants, say=lambda text: None)
        constants = referral(group, constants)
        vessels = vessels_in_referred(group, constants)
        tried.append((correlation, vessels))
        print(
            f"correlation {correlation:.3f}: {100 * vessels:.1f} % of vessels in the referred; "
            f"logits {', '.join(f'{v} {logit[v]:.2f}' for v in VESSELS)}; referral {constants.referral_logit:.2f} "
            f"+ {constants.referral_weight:.2f} x evidence; {time.time() - start:.0f} s",
            flush=True,
        )
        if step + 1 == given.rounds or abs(vessels - VESSELS_REFERRED) < 0.004:
            break
        slope = 0.2
        if len(tried) > 1 and abs(tried[-1][0] - tried[-2][0]) > 0.02:
            slope = float(np.clip((tried[-1][1] - tried[-2][1]) / (tried[-1][0] - tried[-2][0]), 0.08, 0.6))
        correlation = float(np.clip(correlation + (VESSELS_REFERRED - vessels) / slope, 0.0, 0.95))
    constants = early(group, constants)
    constants = outcomes(group, constants, seed=given.seed, times=given.times, rounds=14)
    write(constants, given.out)
    print(f"wrote {given.out.name} after {time.time() - start:.0f} s")


if __name__ == "__main__":
    main()
