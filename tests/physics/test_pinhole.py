"""The multi-pinhole projector: laws of geometry, and the transpose."""

import numpy as np
import pytest
import torch

from myoscope.core import Grid, InvalidValue, UnitMismatch, Volume
from myoscope.physics.camera_geometry import PinholeGeometry, generic_19_pinhole
from myoscope.physics.pinhole import pinhole_projector

CAMERA = generic_19_pinhole()
GRID = Grid.axis_aligned((20, 18, 16), spacing_mm=8.0, centre_mm=(5.0, -4.0, 3.0))


def _one_pinhole(azimuth_deg: float, elevation_deg: float = 0.0) -> PinholeGeometry:
    return PinholeGeometry("one", (azimuth_deg,), (elevation_deg,), 145.0, 60.0, 5.1, 2.46, (32, 32), 1.0)


def _point(place_mm: tuple[float, float, float], spacing_mm: float = 1.0) -> tuple[Grid, torch.Tensor]:
    """1 kBq in one small voxel."""
    grid = Grid.axis_aligned((1, 1, 1), spacing_mm=spacing_mm, centre_mm=place_mm)
    return grid, torch.full(grid.shape, 1 / grid.voxel_volume_mL)


def _image_of(place_mm: tuple[float, float, float], geometry: PinholeGeometry) -> torch.Tensor:
    grid, image = _point(place_mm)
    return pinhole_projector(grid, geometry=geometry).forward(image)


def _centroid(view: torch.Tensor) -> tuple[float, float]:
    """Mean (u, v) in mm from the middle of the detector."""
    v, u = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) - (n - 1) / 2 for n in view.shape), indexing="ij")
    return float((view * u).sum() / view.sum()) * 2.46, float((view * v).sum() / view.sum()) * 2.46


def test_adjoint_is_the_transpose_with_and_without_attenuation() -> None:
    generator = torch.Generator().manual_seed(3)
    mu = Volume(np.full((10, 10, 10), 0.12), Grid.axis_aligned((10, 10, 10), spacing_mm=20), "1/cm")
    for attenuation in (None, mu):
        projector = pinhole_projector(GRID, geometry=CAMERA, attenuation=attenuation)
        image = torch.rand(2, 3, *GRID.shape, generator=generator)
        data = torch.rand(2, 3, 19, 32, 32, generator=generator)
        there = float((projector.forward(image).double() * data).sum())
        back = float((image.double() * projector.adjoint(data)).sum())
        assert there == pytest.approx(back, rel=1e-5)


def test_gradient_is_the_adjoint() -> None:
    projector = pinhole_projector(GRID, geometry=CAMERA).subset([2, 11])
    image = torch.rand(GRID.shape, requires_grad=True)
    data = torch.rand(2, 32, 32)
    (gradient,) = torch.autograd.grad((projector.forward(image) * data).sum(), image)
    assert torch.allclose(gradient, projector.adjoint(data), rtol=1e-5)


@pytest.mark.parametrize("place_mm", [(0.0, 0.0, 0.0), (40.0, -30.0, 20.0), (-25.0, 50.0, -35.0)])
def test_sensitivity_is_that_of_the_pinhole_formula(place_mm: tuple[float, float, float]) -> None:
    geometry = _one_pinhole(135.0, 30.0)
    to_hole = 145.0 * geometry.towards_detector[0] - np.array(place_mm)
    cosine = float(to_hole @ geometry.towards_detector[0] / np.linalg.norm(to_hole))
    depth_mm = float(to_hole @ geometry.towards_detector[0])
    expected = 1000 * 0.885 * 5.1**2 * cosine**3 / (16 * depth_mm**2)
    assert float(_image_of(place_mm, geometry).sum()) == pytest.approx(expected, rel=5e-3)


def test_a_point_appears_upright_at_its_perspective_place() -> None:
    geometry = _one_pinhole(180.0)  # from the front: columns to the patient's left, rows to the feet
    u, v = _centroid(_image_of((30.0, 20.0, 25.0), geometry)[0])
    depth_mm = 145.0 + 20.0
    assert u == pytest.approx(30.0 * 60 / depth_mm, abs=0.05)
    assert v == pytest.approx(-25.0 * 60 / depth_mm, abs=0.05)
    # From the left, columns run to posterior.
    u, _ = _centroid(_image_of((0.0, 20.0, 0.0), _one_pinhole(90.0))[0])
    assert u == pytest.approx(20.0 * 60 / 145, abs=0.05)


@pytest.mark.parametrize("towards_mm", [-60.0, 0.0, 60.0])
def test_blur_is_that_of_the_hole_and_the_pixel(towards_mm: float) -> None:
    view = _image_of((0.0, -towards_mm, 0.0), _one_pinhole(180.0))[0]
    across = (torch.arange(32) - 15.5) * 2.46
    profile = view.sum(dim=0)
    variance = float((profile * across**2).sum() / profile.sum())
    depth_mm = 145.0 - towards_mm
    hole_mm = 5.1 * (1 + 60 / depth_mm) / 2.3548
    # A point spread over two pixels: half a pixel to either side here. Layers of blur lie 3 % apart.
    assert np.sqrt(variance) == pytest.approx(np.sqrt(hole_mm**2 + (2.46 / 2) ** 2), rel=0.02)


def test_attenuation_is_that_of_the_way_to_the_hole() -> None:
    slab = Grid.axis_aligned((60, 60, 60), spacing_mm=5.0)
    mu = np.zeros(slab.shape)
    y = slab.points_mm()[..., 1]
    mu[(y > -80) & (y < -30)] = 0.15
    grid, image = _point((20.0, 10.0, -15.0))
    geometry = _one_pinhole(180.0)
    free = pinhole_projector(grid, geometry=geometry).forward(image).sum()
    behind = pinhole_projector(grid, geometry=geometry, attenuation=Volume(mu, slab, "1/cm")).forward(image).sum()
    slant = np.sqrt(1 + (20**2 + 15**2) / 155**2)
    assert float(torch.log(free / behind)) == pytest.approx(0.15 * 5.0 * slant, rel=0.03)


def test_batches_and_subsets_are_what_they_are_one_by_one() -> None:
    projector = pinhole_projector(GRID, geometry=CAMERA)
    images = torch.rand(3, *GRID.shape)
    together = projector.forward(images)
    assert together.shape == (3, 19, 32, 32)
    assert torch.allclose(together[1], projector.forward(images[1]), rtol=1e-5, atol=1e-6)
    some = projector.subset([4, 18])
    assert torch.allclose(some.forward(images[0]), together[0, [4, 18]], rtol=1e-5, atol=1e-6)
    assert some.n_views == 2


def test_all_pinholes_see_all_of_a_heart() -> None:
    """A point 60 mm from the centre, where a large heart ends, is counted by every detector in full."""
    rng = np.random.default_rng(5)
    for direction in rng.normal(size=(6, 3)):
        place = 60.0 * direction / np.linalg.norm(direction)
        grid, image = _point((float(place[0]), float(place[1]), float(place[2])))
        seen = pinhole_projector(grid, geometry=CAMERA).forward(image).sum(dim=(1, 2)).numpy()
        to_hole = CAMERA.distance_mm * CAMERA.towards_detector - place
        depth_mm = (to_hole * CAMERA.towards_detector).sum(axis=1)
        cosine = depth_mm / np.linalg.norm(to_hole, axis=1)
        expected = 1000 * 0.885 * CAMERA.efficiency * 5.1**2 * cosine**3 / (16 * depth_mm**2)
        assert np.allclose(seen, expected, rtol=0.02)


def test_unsuitable_maps_are_refused() -> None:
    hu = Volume(np.zeros(GRID.shape), GRID, "HU")
    with pytest.raises(UnitMismatch, match="1/cm"):
        pinhole_projector(GRID, geometry=CAMERA, attenuation=hu)
    far = Grid.axis_aligned((2, 2, 2), spacing_mm=4, centre_mm=(0, 0, 900))
    with pytest.raises(InvalidValue, match="out of the sight"):
        pinhole_projector(far, geometry=CAMERA)
    with pytest.raises(InvalidValue, match="subset"):
        pinhole_projector(GRID, geometry=CAMERA).subset([19])
