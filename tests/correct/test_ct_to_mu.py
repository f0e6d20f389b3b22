"""CT numbers to attenuation: known materials, any grid, and what is not covered is said."""

import numpy as np
import pytest

from myoscope.core import Grid, InvalidValue, UnitMismatch, Volume
from myoscope.correct import broad_beam, ct_to_mu, mu_on_grid
from myoscope.physics.attenuation import attenuation_per_cm

GRID = Grid.axis_aligned((6, 5, 4), spacing_mm=4)


def uniform(hu: float) -> Volume:
    return Volume(np.full(GRID.shape, hu), GRID, "HU")


@pytest.mark.parametrize("kvp", [80.0, 100.0, 120.0, 140.0])
@pytest.mark.parametrize("energy_keV", [72.0, 140.5])
def test_air_and_water_are_exact_at_every_voltage(kvp: float, energy_keV: float) -> None:
    for hu, mu in ((-1000, 0.0), (-1024, 0.0), (0, attenuation_per_cm("water", energy_keV=energy_keV))):
        np.testing.assert_allclose(ct_to_mu(uniform(hu), kvp=kvp, energy_keV=energy_keV).array, mu, atol=1e-6)


@pytest.mark.parametrize("kvp", [80.0, 120.0])
def test_cortical_bone_comes_out_as_bone_although_its_ct_number_depends_on_the_voltage(kvp: float) -> None:
    tube_keV = 70 + 0.25 * (kvp - 120)
    bone, water = (attenuation_per_cm(m, energy_keV=tube_keV) for m in ("cortical bone", "water"))
    mu = ct_to_mu(uniform(1000 * (bone / water - 1)), kvp=kvp).array
    np.testing.assert_allclose(mu, attenuation_per_cm("cortical bone", energy_keV=140.5), rtol=1e-5)


def test_lung_is_the_mixture_of_air_and_water_that_its_number_says() -> None:
    np.testing.assert_allclose(ct_to_mu(uniform(-740), kvp=120).array, 0.26 * 0.1536, rtol=2e-3)


def test_the_broad_beam_value_of_water_is_0_12_per_cm() -> None:
    np.testing.assert_allclose(broad_beam(ct_to_mu(uniform(0), kvp=120)).array, 0.12, rtol=1e-3)


def test_what_is_no_ct_is_refused() -> None:
    with pytest.raises(UnitMismatch, match="1/cm"):
        ct_to_mu(Volume(np.zeros(GRID.shape), GRID, "1/cm"), kvp=120)
    with pytest.raises(InvalidValue, match="kVp"):
        ct_to_mu(uniform(0), kvp=20)
    with pytest.raises(UnitMismatch, match="HU"):
        mu_on_grid(uniform(0), GRID)


def test_a_map_lands_where_it_was_in_millimetres_and_keeps_its_mean() -> None:
    fine = Grid.axis_aligned((120, 100, 80), spacing_mm=(1.5, 1.5, 2.0), centre_mm=(7, -3, 5))
    points = fine.points_mm()
    centre = np.array([20.0, -15.0, 12.0])
    values = 0.15 * np.exp(-(((points - centre) / 15) ** 2).sum(axis=-1))
    coarse = Grid.axis_aligned((28, 24, 26), spacing_mm=6.4, centre_mm=(7, -3, 5))
    mu, flags = mu_on_grid(Volume(values, fine, "1/cm"), coarse)
    weight = np.asarray(mu.array, float)
    found = (weight[..., None] * coarse.points_mm()).sum(axis=(0, 1, 2)) / weight.sum()
    np.testing.assert_allclose(found, centre, atol=0.2)
    assert weight.sum() * coarse.voxel_volume_mL == pytest.approx(values.sum() * fine.voxel_volume_mL, rel=0.02)
    assert [f.severity for f in flags] in ([], ["info"])


def test_flipped_and_turned_ct_grids_give_the_same_map() -> None:
    grid = Grid.axis_aligned((40, 36, 30), spacing_mm=4)
    values = np.random.default_rng(1).uniform(0, 0.15, grid.shape)
    target = Grid.axis_aligned((20, 18, 15), spacing_mm=6)
    plain, _ = mu_on_grid(Volume(values, grid, "1/cm"), target)
    affine = grid.affine.copy()
    affine[:3, 2] *= -1
    affine[2, 3] = grid.to_mm((0, 0, 29))[2]
    upside_down, _ = mu_on_grid(Volume(values[:, :, ::-1], Grid(grid.shape, affine), "1/cm"), target)
    np.testing.assert_allclose(upside_down.array, plain.array, atol=1e-6)


def test_a_map_that_is_too_short_goes_on_and_says_by_how_much() -> None:
    short = Grid.axis_aligned((20, 20, 10), spacing_mm=6)
    target = Grid.axis_aligned((20, 20, 20), spacing_mm=6)
    mu, flags = mu_on_grid(Volume(np.full(short.shape, 0.15), short, "1/cm"), target)
    np.testing.assert_allclose(mu.array, 0.15, rtol=1e-5)
    assert [f.code for f in flags] == ["mu_map_too_short"]
    assert flags[0].severity == "warning"
    assert flags[0].evidence["missing_mm"] == 60


def test_a_map_that_cuts_the_body_off_says_so_and_a_map_elsewhere_is_refused() -> None:
    narrow = Grid.axis_aligned((12, 20, 20), spacing_mm=6)
    target = Grid.axis_aligned((20, 20, 20), spacing_mm=6)
    body = Volume(np.full(narrow.shape, 0.15), narrow, "1/cm")
    mu, flags = mu_on_grid(body, target)
    assert "mu_map_cuts_the_body" in [f.code for f in flags]
    assert float(np.asarray(mu.array)[0].max()) == 0
    with pytest.raises(InvalidValue, match="overlap"):
        mu_on_grid(body, Grid.axis_aligned((20, 20, 20), spacing_mm=6, centre_mm=(900, 0, 0)))
