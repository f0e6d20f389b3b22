"""Polar maps of virtual patients without a photon: cheap enough to draw by the thousand while a network waits.

Person, arteries, disease and true uptake are those of the virtual patients of `myoscope.simulate`; what an image does
to them is imitated on the map itself: blur, the shadow of breast or diaphragm, counting noise. So they know nothing of
cameras, positions or reconstruction. They serve where that does not matter: to teach a trunk what polar maps look like
before it meets the maps it is for, and to test recipes. No figure of a system comes from them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from myoscope.core import N_ANGLES, N_RINGS
from myoscope.core.geometry import FloatArray
from myoscope.simulate.referral import PatientFacts, Population, draw_patient_facts
from myoscope.simulate.sites import site_named

# Assumed: what blur and shadows of a usual camera come to on the map.
_BLUR_CELLS = (1.2, 2.0)  # rings, angles
_SHADOW = {"F": (100.0, 0.16), "M": (262.0, 0.14)}  # middle (deg) and mean depth: breast in front, diaphragm below
_SHADOW_WIDTH_DEG = 40.0
_NOISE = 0.035
_COUNTS = 400.0


@dataclass(frozen=True, eq=False, slots=True)
class VirtualMaps:
    """Patients, and what an image of each might show: ``stress`` and ``rest`` (patient, 40, 72), in counts."""

    facts: tuple[PatientFacts, ...]
    stress: NDArray[np.float32]
    rest: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.facts)


def draw_virtual_maps(
    n: int, *, seed: int, site: str = "harbour", population: Population = "all", healthy: bool = False
) -> VirtualMaps:
    """Draw ``n`` patients of a site; a patient depends on seed, site and number, not on how many there are.

    ``healthy`` shows every wall as if it took up evenly, whatever the patient has.

    Raises
    ------
    InvalidValue
        No such site or population.
    """
    facts, maps = [], []
    for number in range(n):
        rng = np.random.default_rng([seed, number, sum(site.encode())])
        one = draw_patient_facts(site_named(site), population, rng)
        shadow = _shadow(one.person.sex, rng)
        facts.append(one)
        states = (one.stress_uptake, one.rest_uptake)
        maps.append([_pictured(np.ones_like(u) if healthy else u, shadow, rng) for u in states])
    stress, rest = np.asarray(maps, np.float32).transpose(1, 0, 2, 3)
    return VirtualMaps(tuple(facts), stress, rest)


def _shadow(sex: str, rng: np.random.Generator) -> FloatArray:
    """What body and uneven tracer leave of counts (40, 72), the same at stress and rest."""
    middle, depth = _SHADOW[sex]
    angle = (np.arange(N_ANGLES) + 0.5) * 360 / N_ANGLES
    away = (angle - middle - rng.normal(0, 15) + 180) % 360 - 180
    along = np.linspace(0.4, 1.0, N_RINGS)[:, None]
    dark = max(rng.normal(depth, 0.08), 0.0) * along * np.exp(-((away / _SHADOW_WIDTH_DEG) ** 2) / 2)
    uneven = ndimage.gaussian_filter(rng.normal(size=(N_RINGS, N_ANGLES)), (6, 9), mode=("nearest", "wrap"))
    left: FloatArray = (1 - dark) * (1 + 0.03 * uneven / uneven.std())
    return left


def _pictured(uptake: FloatArray, shadow: FloatArray, rng: np.random.Generator) -> FloatArray:
    blurred = ndimage.gaussian_filter(uptake * shadow, _BLUR_CELLS, mode=("nearest", "wrap"))
    noise = ndimage.gaussian_filter(rng.normal(size=uptake.shape), (1.0, 1.5), mode=("nearest", "wrap"))
    counts: FloatArray = np.clip(_COUNTS * blurred * (1 + _NOISE * noise / noise.std()), 0, None)
    return counts
