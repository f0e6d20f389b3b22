"""Linear attenuation coefficients: the exact table."""

import numpy as np
import pytest

from myoscope.core import InvalidValue
from myoscope.physics.attenuation import MATERIALS, attenuation_per_cm

TABLE_PER_CM = {
    ("water", 140.5): 0.1536,
    ("muscle", 140.5): 0.1599,
    ("adipose", 140.5): 0.1452,
    ("breast", 140.5): 0.1553,
    ("cortical bone", 140.5): 0.2947,
    ("water", 75): 0.1885,
    ("muscle", 75): 0.1965,
    ("adipose", 75): 0.1746,
    ("breast", 75): 0.1888,
    ("cortical bone", 75): 0.4624,
    ("water", 511): 0.0960,
    ("muscle", 511): 0.0998,
    ("adipose", 511): 0.0913,
    ("breast", 511): 0.0973,
    ("cortical bone", 511): 0.1716,
}


@pytest.mark.parametrize(("material", "energy_keV"), TABLE_PER_CM)
def test_coefficients_equal_the_reference_table(material: str, energy_keV: float) -> None:
    mu = attenuation_per_cm(material, energy_keV=energy_keV)
    # The reference gives three to four digits.
    assert mu == pytest.approx(TABLE_PER_CM[material, energy_keV], abs=6e-4 if energy_keV == 511 else 2.1e-4)


def test_the_lung_is_a_quarter_of_tissue() -> None:
    assert attenuation_per_cm("lung", energy_keV=140.5) == pytest.approx(0.040, abs=5e-4)
    assert attenuation_per_cm("lung", energy_keV=140.5, density_g_mL=0.30) == pytest.approx(0.046, abs=5e-4)


def test_ten_cm_of_water_let_a_fifth_through() -> None:
    assert np.exp(-10 * attenuation_per_cm("water", energy_keV=140.5)) == pytest.approx(0.2152, abs=1e-4)


@pytest.mark.parametrize("material", MATERIALS)
def test_attenuation_falls_with_energy(material: str) -> None:
    assert (np.diff([attenuation_per_cm(material, energy_keV=e) for e in range(30, 600, 7)]) < 0).all()


def test_what_is_not_tabled_is_refused() -> None:
    with pytest.raises(InvalidValue, match="known: water"):
        attenuation_per_cm("iron", energy_keV=140)
    with pytest.raises(InvalidValue, match="30 to 600"):
        attenuation_per_cm("water", energy_keV=20)
    with pytest.raises(InvalidValue, match="density"):
        attenuation_per_cm("lung", energy_keV=140, density_g_mL=-1)
