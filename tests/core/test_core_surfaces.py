"""Volumes and areas of the two surfaces against closed forms."""

import numpy as np
import pytest

from myoscope.core import CardiacFrame, InvalidValue, Surfaces

FRAME = CardiacFrame(np.array((3, -4, 5)), np.array((1, -1, -1)))


def prolate(short_mm: float, long_mm: float, base_mm: float, *, rings: int = 200, angles: int = 360) -> np.ndarray:
    """Nodes of a prolate ellipsoid cut at a plane ``base_mm`` from its centre on the side away from the apex."""
    polar = np.linspace(0, np.arccos(-base_mm / long_mm), rings + 1)[:, None]
    angle = np.arange(angles) * 2 * np.pi / angles
    radius = short_mm * np.sin(polar)
    heart = np.stack(np.broadcast_arrays(radius * np.cos(angle), radius * np.sin(angle), long_mm * np.cos(polar)), -1)
    return FRAME.to_patient(heart)


def closed_form_mL(a: float, c: float, h: float) -> float:
    return np.pi * a**2 * (2 * c / 3 + h - h**3 / (3 * c**2)) / 1000


def wall(endo: np.ndarray, epi: np.ndarray) -> Surfaces:
    return Surfaces(endo, epi, FRAME, endo[..., -1, :, :].reshape(-1, 3).mean(axis=0), -FRAME.long_axis)


def test_the_two_truncated_prolate_ellipsoids_of_the_reference() -> None:
    assert closed_form_mL(25, 60, 20) == pytest.approx(116.36, abs=0.005)
    assert closed_form_mL(17, 50, 17) == pytest.approx(45.10, abs=0.005)
    surfaces = wall(prolate(17, 50, 17), prolate(25, 60, 20))
    assert float(surfaces.cavity_mL) == pytest.approx(45.10, abs=0.01)
    assert float(surfaces.wall_mL) == pytest.approx(116.36 - 45.10, abs=0.02)


@pytest.mark.parametrize("base_mm", [0.0, 15.0, 29.0])
def test_the_volume_of_a_cut_sphere(base_mm: float) -> None:
    surfaces = wall(prolate(30, 30, base_mm), prolate(40, 40, base_mm))
    assert float(surfaces.cavity_mL) == pytest.approx(closed_form_mL(30, 30, base_mm), rel=2e-4)


def test_a_coarse_mesh_errs_as_the_square_of_its_spacing() -> None:
    truth = closed_form_mL(25, 60, 20)
    error = [
        truth - float(wall(nodes, nodes * 1.0).cavity_mL)
        for nodes in (prolate(25, 60, 20, rings=20, angles=36), prolate(25, 60, 20, rings=40, angles=72))
    ]
    assert 0 < error[1] < error[0]
    assert error[0] / error[1] == pytest.approx(4, rel=0.05)


def test_the_usual_mesh_underestimates_a_volume_by_less_than_a_quarter_per_cent() -> None:
    volume = float(wall(*[prolate(25, 60, 20, rings=40, angles=72)] * 2).cavity_mL)
    assert 0 < 1 - volume / closed_form_mL(25, 60, 20) < 0.0025


def test_moving_and_turning_the_heart_keeps_its_volumes() -> None:
    endo, epi = prolate(17, 50, 17, rings=40, angles=72), prolate(25, 60, 20, rings=40, angles=72)
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    here, there = wall(endo, epi), wall(endo @ turn + 100, epi @ turn + 100)
    assert float(there.cavity_mL) == pytest.approx(float(here.cavity_mL), rel=1e-9)
    assert float(there.wall_mL) == pytest.approx(float(here.wall_mL), rel=1e-9)
    np.testing.assert_allclose(there.cell_area_mm2(), here.cell_area_mm2(), rtol=1e-9)
    np.testing.assert_allclose(there.thickness_mm, here.thickness_mm, rtol=1e-9)


def test_doubling_the_heart_makes_eight_times_the_volume_and_four_times_the_area() -> None:
    endo, epi = prolate(17, 50, 17, rings=40, angles=72), prolate(25, 60, 20, rings=40, angles=72)
    here, there = wall(endo, epi), wall(2 * endo, 2 * epi)
    assert float(there.cavity_mL) == pytest.approx(8 * float(here.cavity_mL))
    np.testing.assert_allclose(there.cell_area_mm2(), 4 * here.cell_area_mm2())


def test_the_cells_add_up_to_the_area_of_a_hemisphere() -> None:
    surfaces = wall(prolate(30, 30, 0), prolate(40, 40, 0))
    assert surfaces.cell_area_mm2().shape == (200, 360)
    assert surfaces.cell_area_mm2().sum() == pytest.approx(2 * np.pi * 35**2, rel=2e-4)


def test_the_wall_between_two_spheres_is_as_thick_as_their_radii_differ() -> None:
    surfaces = wall(prolate(30, 30, 0, rings=40, angles=72), prolate(40, 40, 0, rings=40, angles=72))
    np.testing.assert_allclose(surfaces.thickness_mm, 10)
    radius = np.linalg.norm(surfaces.mid_mm - FRAME.centre_mm, axis=-1)
    np.testing.assert_allclose(radius, 35)


def test_gated_surfaces_give_one_number_per_gate() -> None:
    endo = np.stack([prolate(a, 50, 17, rings=40, angles=72) for a in (25, 20, 15)])
    epi = np.stack([prolate(35, 60, 17, rings=40, angles=72)] * 3)
    surfaces = wall(endo, epi)
    assert (surfaces.n_gates, surfaces.n_rings, surfaces.n_angles) == (3, 40, 72)
    assert surfaces.cavity_mL.shape == (3,)
    assert (np.diff(surfaces.cavity_mL) < 0).all()
    np.testing.assert_allclose(surfaces.cavity_mL + surfaces.wall_mL, float(wall(epi[0], epi[0]).cavity_mL))
    assert float(surfaces.gate(1).cavity_mL) == pytest.approx(surfaces.cavity_mL[1])
    with pytest.raises(InvalidValue, match="not gated"):
        surfaces.gate(0).gate(0)


def test_surfaces_cannot_be_changed() -> None:
    nodes = prolate(25, 60, 20, rings=10, angles=16)
    surfaces = wall(nodes, nodes)
    nodes[0, 0, 0] = 1e6
    assert surfaces.endo_mm[0, 0, 0] < 1e5
    with pytest.raises(ValueError, match="read-only"):
        surfaces.epi_mm[0] = 0


def test_what_is_no_surface_is_refused() -> None:
    nodes = prolate(25, 60, 20, rings=10, angles=16)
    with pytest.raises(InvalidValue, match="matched surfaces"):
        wall(nodes, nodes[:-1])
    with pytest.raises(InvalidValue, match="at least 2 rings and 8 angles"):
        wall(nodes[:, :4], nodes[:, :4])
    broken = nodes.copy()
    broken[3, 3] = np.nan
    with pytest.raises(InvalidValue, match="finite"):
        wall(nodes, broken)


def test_surfaces_say_what_they_enclose() -> None:
    text = repr(wall(prolate(17, 50, 17), prolate(25, 60, 20)))
    assert text.startswith("Surfaces(200 rings x 360 angles, cavity 45 mL, wall 71 mL")
