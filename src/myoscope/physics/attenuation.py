"""Linear attenuation coefficients of tissues at a photon energy.

Mass attenuation coefficients are those of the NIST tables (Hubbell and Seltzer 1995) of the named material; between
their energies they are interpolated linearly in the logarithms of both. Densities: the ICRU-44 ones of the same
tables, but for the lung, whose 0.26 g/mL is that of an inflated lung.
"""

from __future__ import annotations

import numpy as np

from myoscope.core import InvalidValue

_ENERGY_KEV = np.array([30.0, 40, 50, 60, 80, 100, 150, 200, 300, 400, 500, 600])
# cm2/g at these energies, and g/mL
_WATER = (0.3756, 0.2683, 0.2269, 0.2059, 0.1837, 0.1707, 0.1505, 0.1370, 0.1186, 0.1061, 0.09687, 0.08956)
_MUSCLE = (0.3783, 0.2685, 0.2262, 0.2048, 0.1823, 0.1693, 0.1492, 0.1358, 0.1176, 0.1052, 0.09598, 0.08874)
_ADIPOSE = (0.3063, 0.2396, 0.2123, 0.1974, 0.1800, 0.1688, 0.1500, 0.1368, 0.1187, 0.1062, 0.09696, 0.08965)
_BREAST = (0.3403, 0.2530, 0.2186, 0.2006, 0.1808, 0.1688, 0.1493, 0.1361, 0.1179, 0.1055, 0.09631, 0.08904)
_BONE = (1.331, 0.6655, 0.4242, 0.3148, 0.2229, 0.1855, 0.1480, 0.1309, 0.1113, 0.09908, 0.09022, 0.08332)
_LUNG = (0.3815, 0.2699, 0.2270, 0.2053, 0.1826, 0.1695, 0.1493, 0.1359, 0.1177, 0.1053, 0.09607, 0.08882)
_MATERIALS = {
    "water": (1.00, _WATER),
    "muscle": (1.05, _MUSCLE),
    "adipose": (0.95, _ADIPOSE),
    "breast": (1.02, _BREAST),
    "cortical bone": (1.92, _BONE),
    "lung": (0.26, _LUNG),
}
MATERIALS = tuple(_MATERIALS)


def attenuation_per_cm(material: str, *, energy_keV: float, density_g_mL: float | None = None) -> float:
    """Linear attenuation coefficient of a material; ``density_g_mL`` replaces its usual density.

    >>> round(attenuation_per_cm("water", energy_keV=140.5), 4)
    0.1536

    Raises
    ------
    InvalidValue
        If the material is not in ``MATERIALS`` or the energy lies outside 30 to 600 keV.
    """
    if material not in _MATERIALS:
        raise InvalidValue(f"no attenuation table for {material!r}; known: {', '.join(MATERIALS)}")
    if not _ENERGY_KEV[0] <= energy_keV <= _ENERGY_KEV[-1]:
        raise InvalidValue(f"attenuation is tabled from 30 to 600 keV, got {energy_keV:g} keV")
    density, per_g = _MATERIALS[material]
    if density_g_mL is not None:
        if density_g_mL < 0:
            raise InvalidValue(f"a density is not negative, got {density_g_mL:g} g/mL")
        density = density_g_mL
    return float(density * np.exp(np.interp(np.log(energy_keV), np.log(_ENERGY_KEV), np.log(per_g))))
