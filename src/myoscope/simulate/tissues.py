"""What a body is made of, voxel by voxel, and what follows from it: attenuation, activity, CT numbers.

In: the share of every tissue in every voxel. Out: volumes on the same grid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from myoscope.core import Grid, InvalidValue, Volume
from myoscope.physics.attenuation import attenuation_per_cm

Array = NDArray[np.float32]

ORGANS = (
    "soft_tissue",
    "fat",
    "breast",
    "lung",
    "liver",
    "gallbladder",
    "stomach",
    "bowel",
    "spleen",
    "kidney",
    "bone",
    "vessel_blood",
)
HEART = ("lv_wall", "lv_blood", "rv_wall", "rv_blood", "atria")

# Density in g/mL; what each tissue attenuates like, per gram. Bone is cortex and marrow of a whole rib or vertebra.
_DENSITY = {
    "soft_tissue": 1.05,
    "fat": 0.95,
    "breast": 0.98,
    "liver": 1.06,
    "gallbladder": 1.01,
    "stomach": 1.03,
    "bowel": 1.03,
    "spleen": 1.06,
    "kidney": 1.05,
    "bone": 1.38,
    "vessel_blood": 1.06,
    "lv_wall": 1.05,
    "lv_blood": 1.06,
    "rv_wall": 1.05,
    "rv_blood": 1.06,
    "atria": 1.06,
}
_BONE_MINERAL_SHARE = 0.45
_MATERIAL: dict[str, dict[str, float]] = {
    "fat": {"adipose": 1.0},
    "breast": {"adipose": 0.5, "breast": 0.5},
    "lung": {"lung": 1.0},
    "gallbladder": {"water": 1.0},
    "stomach": {"water": 1.0},
    "bone": {"cortical bone": _BONE_MINERAL_SHARE, "muscle": 1 - _BONE_MINERAL_SHARE},
}
# A CT of this tube voltage weighs its spectrum about like photons of this energy; chest-sized bodies.
# Not what the attenuation correction assumes (70 keV, 0.25 per kVp): no scanner's spectrum is known exactly.
_EFFECTIVE_KEV_AT_120_KVP, _EFFECTIVE_KEV_PER_KVP = 66.0, 0.45


@dataclass(frozen=True, eq=False, slots=True)
class Tissues:
    """Share of each tissue in each voxel (0 to 1); the shares of a voxel add up to 1 or less, the rest is air.

    ``fraction`` is keyed by the names in `ORGANS` and, where a heart was laid into the body, in `HEART`.
    """

    fraction: Mapping[str, Array]
    grid: Grid
    lung_density: float

    def density(self) -> Volume:
        """Mass density in g/mL (air counts as nothing)."""
        total = np.zeros(self.grid.shape, np.float32)
        for name, share in self.fraction.items():
            total += share * np.float32(self._density(name))
        return Volume(total, self.grid, "g/mL", ("density of the virtual torso",))

    def attenuation_per_cm(self, energy_keV: float) -> Volume:
        """Linear attenuation of narrow-beam photons of this energy, 1/cm."""
        values = self._attenuation(energy_keV)
        return Volume(values, self.grid, "1/cm", (f"attenuation of the virtual torso at {energy_keV:g} keV",))

    def activity(self, concentration_kBq_mL: Mapping[str, float]) -> Volume:
        """Activity of everything but the heart, kBq/mL.

        ``concentration_kBq_mL`` is keyed by organ; blood vessels may also be given as ``blood``. Other entries are
        passed over: the heart's own, which a beating heart places, and organs that lie outside the grid.

        Raises
        ------
        InvalidValue
            If a tissue of this body has no concentration.
        """
        given = dict(concentration_kBq_mL)
        if "blood" in given:
            given.setdefault("vessel_blood", given["blood"])
        missing = [name for name in self.fraction if name in ORGANS and name not in given]
        if missing:
            raise InvalidValue(f"activity is given per organ; no concentration of {', '.join(missing)}")
        total = np.zeros(self.grid.shape, np.float32)
        for name, share in self.fraction.items():
            if name in ORGANS:
                total += share * np.float32(given[name])
        return Volume(total, self.grid, "kBq/mL", ("activity of the virtual torso without its heart",))

    def ct(
        self,
        kvp: float,
        *,
        noise_hu: float = 0.0,
        shift_mm: ArrayLike = (0.0, 0.0, 0.0),
        rng: np.random.Generator | None = None,
    ) -> Volume:
        """CT numbers in HU of a tube voltage, as from its effective energy: 1000 (mu - mu_water) / mu_water.

        ``noise_hu`` is the standard deviation of white noise (``rng`` needed), ``shift_mm`` moves the content along
        LPS: a CT that is not aligned with the emission. Voxels that come from outside are air.

        Raises
        ------
        InvalidValue
            If the voltage is not 60 to 150 kVp, or noise is wanted without a generator.
        """
        if not 60 <= kvp <= 150:
            raise InvalidValue(f"CT tube voltages run from 60 to 150 kVp, got {kvp:g}")
        if noise_hu > 0 and rng is None:
            raise InvalidValue("CT noise needs a random generator")
        energy = _EFFECTIVE_KEV_AT_120_KVP + _EFFECTIVE_KEV_PER_KVP * (kvp - 120)
        water = attenuation_per_cm("water", energy_keV=energy)
        hu = 1000 * (self._attenuation(energy) / np.float32(water) - 1)
        moved = np.asarray(shift_mm, float) / self.grid.spacing_mm
        if np.any(moved != 0):
            from scipy.ndimage import shift

            hu = shift(hu, moved, order=1, mode="constant", cval=-1000.0)
        if noise_hu > 0 and rng is not None:
            hu = hu + rng.normal(0, noise_hu, self.grid.shape).astype(np.float32)
        # The scale of CT starts at -1024.
        hu = np.maximum(hu, -1024).astype(np.float32)
        return Volume(hu, self.grid, "HU", (f"CT of the virtual torso at {kvp:g} kVp",))

    def _density(self, name: str) -> float:
        return self.lung_density if name == "lung" else _DENSITY[name]

    def _attenuation(self, energy_keV: float) -> Array:
        total = np.zeros(self.grid.shape, np.float32)
        for name, share in self.fraction.items():
            mu = sum(
                part * attenuation_per_cm(material, energy_keV=energy_keV, density_g_mL=self._density(name))
                for material, part in _MATERIAL.get(name, {"muscle": 1.0}).items()
            )
            total += share * np.float32(mu)
        return total
