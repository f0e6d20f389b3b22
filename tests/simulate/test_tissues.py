"""What follows from the tissues of a body: density, attenuation, activity, CT numbers."""

from __future__ import annotations

import numpy as np
import pytest

from myoscope.core import Grid, InvalidValue
from myoscope.simulate.tissues import Tissues
from myoscope.simulate.torso import draw_torso

GRID = Grid.axis_aligned((4, 4, 4), spacing_mm=5.0)


def of_one(name: str, share: float = 1.0) -> Tissues:
    return Tissues({name: np.full(GRID.shape, share, np.float32)}, GRID, 0.26)


@pytest.mark.parametrize(
    ("name", "mu"), [("soft_tissue", 0.1599), ("fat", 0.1452), ("lung", 0.1524 * 0.26), ("lv_wall", 0.1599)]
)
def test_pure_voxels_attenuate_like_their_tissue(name: str, mu: float) -> None:
    assert of_one(name).attenuation_per_cm(140.5).array == pytest.approx(mu, abs=5e-4)


def test_bone_attenuates_between_muscle_and_cortex() -> None:
    mu = float(of_one("bone").attenuation_per_cm(140.5).array[0, 0, 0])
    assert 0.1599 < mu < 0.2947


def test_attenuation_is_linear_in_the_share_and_falls_with_energy() -> None:
    half, whole = (of_one("liver", share).attenuation_per_cm(140.5).array for share in (0.5, 1.0))
    np.testing.assert_allclose(2 * half, whole, rtol=1e-5)
    assert of_one("liver").attenuation_per_cm(75).array[0, 0, 0] > whole[0, 0, 0]


def test_ct_numbers_are_those_of_the_tissues() -> None:
    expected = {"soft_tissue": (20, 80), "fat": (-130, -60), "lung": (-780, -650), "bone": (300, 900)}
    for name, (low, high) in expected.items():
        hu = float(of_one(name).ct(120).array[0, 0, 0])
        assert low < hu < high, (name, hu)
    assert float(Tissues({}, GRID, 0.26).ct(120).array.max()) == -1000


def test_noise_has_the_given_spread_and_needs_a_generator() -> None:
    torso = draw_torso(sex="F", height_cm=165, weight_kg=70, rng=np.random.default_rng(0))
    tissues = torso.tissues(Grid.axis_aligned((64, 64, 20), spacing_mm=6.4))
    noise = tissues.ct(120, noise_hu=20, rng=np.random.default_rng(1)).array - tissues.ct(120).array
    body = tissues.density().array > 0.2
    assert float(noise[body].std()) == pytest.approx(20, rel=0.05)
    with pytest.raises(InvalidValue, match="generator"):
        tissues.ct(120, noise_hu=20)
    with pytest.raises(InvalidValue, match="kVp"):
        tissues.ct(20)


def test_a_shifted_ct_shows_the_body_elsewhere() -> None:
    torso = draw_torso(sex="M", height_cm=175, weight_kg=80, rng=np.random.default_rng(0))
    tissues = torso.tissues(Grid.axis_aligned((64, 64, 20), spacing_mm=6.4))
    straight, moved = tissues.ct(120).array, tissues.ct(120, shift_mm=(6.4, 0, 12.8)).array
    np.testing.assert_allclose(moved[1:, :, 2:], straight[:-1, :, :-2], atol=0.5)


def test_activity_follows_the_concentrations_and_leaves_the_heart_out() -> None:
    fraction = {
        "liver": np.full(GRID.shape, 0.5, np.float32),
        "vessel_blood": np.full(GRID.shape, 0.2, np.float32),
        "lv_wall": np.full(GRID.shape, 0.3, np.float32),
    }
    tissues = Tissues(fraction, GRID, 0.26)
    activity = tissues.activity({"liver": 10.0, "blood": 5.0, "lv_wall": 99.0, "atrial_wall": 9.0, "spleen": 7.0})
    assert activity.unit == "kBq/mL"
    np.testing.assert_allclose(activity.array, 0.5 * 10 + 0.2 * 5, rtol=1e-5)


def test_a_tissue_without_concentration_is_refused() -> None:
    with pytest.raises(InvalidValue, match="no concentration of liver"):
        of_one("liver").activity({"spleen": 1.0})
