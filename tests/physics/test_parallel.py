"""The parallel-hole projector: laws of a linear operator, of counting, of attenuation and of resolution."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from myoscope.core import Grid, InvalidValue, UnitMismatch, Volume
from myoscope.physics.attenuation import attenuation_per_cm
from myoscope.physics.collimator import COLLIMATORS, Collimator
from myoscope.physics.parallel import Discretisation, ParallelProjector, parallel_projector

torch.set_num_threads(1)
LEHR = COLLIMATORS["SY-LEHR"]
GRID = Grid.axis_aligned((24, 24, 12), spacing_mm=6.4)
BOX = Grid.axis_aligned((17, 16, 15), spacing_mm=3.2, centre_mm=(31.3, -22.0, 5.1))


def body(grid: Grid, mu: float = 0.15) -> Volume:
    points = grid.points_mm()
    return Volume(mu * (np.hypot(points[..., 0] / 70, points[..., 1] / 60) < 1), grid, "1/cm")


def camera(
    grid: Grid = GRID,
    *,
    n_views: int = 7,
    collimator: Collimator | None = LEHR,
    attenuation: Volume | list[Volume] | None = None,
    discretisation: Discretisation = "conserving",
    shape: tuple[int, int] = (14, 24),
) -> ParallelProjector:
    return parallel_projector(
        grid,
        angle_deg=np.linspace(225, 45, n_views),
        radius_mm=np.linspace(180, 200, n_views),
        pixel_mm=6.4,
        detector_shape=shape,
        collimator=collimator,
        attenuation=attenuation,
        discretisation=discretisation,
    )


CASES = {
    "plain": camera(collimator=None),
    "response": camera(),
    "attenuation": camera(collimator=None, attenuation=body(GRID)),
    "both": camera(attenuation=body(GRID)),
    "sampled": camera(attenuation=body(GRID), discretisation="sampled"),
    "fine box": camera(BOX, attenuation=body(GRID)),
    "narrow detector": camera(attenuation=body(GRID), shape=(6, 7)),
    "subset": camera(attenuation=body(GRID)).subset([4, 1]),
}


@pytest.mark.parametrize("name", CASES)
def test_the_adjoint_is_the_transpose(name: str) -> None:
    projector = CASES[name]
    rng = torch.Generator().manual_seed(1)
    image = torch.rand((3, *projector.grid.shape), generator=rng)
    data = torch.rand((3, projector.n_views, *projector.detector_shape), generator=rng)
    there = (projector.forward(image).double() * data).sum()
    back = (image.double() * projector.adjoint(data)).sum()
    assert float(there) > 0
    assert float(there / back) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", ["both", "fine box"])
def test_each_direction_is_the_gradient_of_the_other(name: str) -> None:
    projector = CASES[name]
    image = torch.rand(projector.grid.shape, requires_grad=True)
    data = torch.rand((projector.n_views, *projector.detector_shape), requires_grad=True)
    (to_image,) = torch.autograd.grad((projector.forward(image) * data.detach()).sum(), image)
    (to_data,) = torch.autograd.grad((projector.adjoint(data) * image.detach()).sum(), data)
    assert torch.allclose(to_image, projector.adjoint(data.detach()), rtol=1e-5)
    assert torch.allclose(to_data, projector.forward(image.detach()), rtol=1e-5)


@pytest.mark.parametrize("name", ["plain", "both", "fine box", "subset"])
def test_a_batch_of_any_shape_is_projected_image_by_image(name: str) -> None:
    projector = CASES[name]
    images = torch.rand((2, 5, *projector.grid.shape))
    data = projector.forward(images)
    assert data.shape == (2, 5, projector.n_views, *projector.detector_shape)
    assert torch.allclose(data[1, 3], projector.forward(images[1, 3]), rtol=1e-4)
    assert torch.allclose(projector.adjoint(data)[0, 4], projector.adjoint(data[0, 4]), rtol=1e-4)


def test_a_subset_gives_the_same_views() -> None:
    projector, image = CASES["both"], torch.rand(GRID.shape)
    assert torch.allclose(projector.subset([6, 0, 3]).forward(image), projector.forward(image)[[6, 0, 3]], rtol=1e-5)
    assert torch.allclose(
        projector.subset([6, 0, 3]).subset([1]).forward(image), projector.forward(image)[[0]], rtol=1e-5
    )


@pytest.mark.parametrize("name", ["plain", "response", "fine box"])
def test_every_view_counts_every_photon_of_a_source_once(name: str) -> None:
    projector = camera(
        BOX if name == "fine box" else GRID, collimator=None if name == "plain" else LEHR, shape=(26, 36)
    )
    rng = np.random.default_rng(2)
    image = np.zeros(projector.grid.shape, dtype=np.float32)
    image[tuple(rng.integers(4, 11, (3, 6)))] = rng.uniform(1, 9, 6)  # a few points: no averaging over voxels
    counts = projector.forward(torch.from_numpy(image)).sum(dim=(-1, -2)).numpy()
    per_photon = 1.0 if name == "plain" else LEHR.sensitivity
    photons_per_s = image.sum() * projector.grid.voxel_volume_mL * 1000 * 0.885
    assert np.allclose(counts, photons_per_s * per_photon, rtol=1e-3)


def test_sensitivity_can_be_stated() -> None:
    projector = parallel_projector(
        GRID, angle_deg=[0, 50], radius_mm=190, pixel_mm=6.4, detector_shape=(14, 24), collimator=LEHR, sensitivity=0.5
    )
    reference = camera(n_views=2)
    image = torch.zeros(GRID.shape)
    image[12, 12, 6] = 1
    ratio = projector.forward(image).sum() / reference.forward(image).sum()
    assert float(ratio) == pytest.approx(0.5 / LEHR.sensitivity, rel=1e-3)


@pytest.mark.parametrize(
    ("angle_deg", "column"), [(180, "x"), (0, "-x"), (90, "y"), (270, "-y")], ids=["front", "back", "left", "right"]
)
def test_views_show_the_patient_as_the_convention_says(angle_deg: float, column: str) -> None:
    place = np.array([25.6, -12.8, 19.2])
    image = torch.zeros(GRID.shape)
    i, j, k = np.round(GRID.to_index(place)).astype(int)
    image[i, j, k] = 1
    x, y, z = GRID.to_mm((i, j, k))
    projector = parallel_projector(
        GRID, angle_deg=angle_deg, radius_mm=190, pixel_mm=6.4, detector_shape=(12, 24), collimator=None
    )
    view = projector.forward(image)[0].numpy()
    v, u = np.unravel_index(view.argmax(), view.shape)
    expected_u = {"x": x, "-x": -x, "y": y, "-y": -y}[column]
    assert (u - 11.5) * 6.4 == pytest.approx(expected_u, abs=1e-3)
    assert (5.5 - v) * 6.4 == pytest.approx(z, abs=1e-3)
    assert view[v, u] == pytest.approx(view.sum(), rel=1e-5)


def test_resolution_is_that_of_the_collimator_at_every_depth() -> None:
    fine = Grid.axis_aligned((60, 60, 40), spacing_mm=2.0)
    projector = parallel_projector(
        fine, angle_deg=180, radius_mm=130, pixel_mm=2.0, detector_shape=(60, 60), collimator=LEHR
    )
    for j in (10, 30, 50):
        image = torch.zeros(fine.shape)
        image[30, j, 20] = 1
        profile = projector.forward(image)[0].sum(dim=0).double().numpy()
        u = 2.0 * np.arange(60)
        variance = np.average(u**2, weights=profile) - np.average(u, weights=profile) ** 2
        distance = 130 + fine.to_mm((30, j, 20))[1]
        assert np.sqrt(variance) == pytest.approx(float(LEHR.sigma_mm(distance)), rel=0.01)


def test_coarse_voxels_project_as_fine_ones_do() -> None:
    image = torch.rand(GRID.shape) * (torch.rand(GRID.shape) > 0.9)
    fine_grid = Grid.axis_aligned((96, 96, 12), spacing_mm=(1.6, 1.6, 6.4))
    fine = camera(fine_grid).forward(image.repeat_interleave(4, 0).repeat_interleave(4, 1))
    apart = {
        name: float((camera(discretisation=name).forward(image) - fine).norm() / fine.norm())
        for name in ("conserving", "sampled")
    }
    assert apart["conserving"] < apart["sampled"] < 0.1


def test_blur_never_comes_round_or_turns_negative() -> None:
    image = torch.zeros(GRID.shape)
    image[0, :, 0] = 1
    image[:, 0, -1] = 1
    most = float(CASES["response"].forward(image).max())
    for projector in (CASES["response"], CASES["narrow detector"], CASES["sampled"]):
        assert float(projector.forward(image).min()) > -1e-4 * most
    lateral = camera(n_views=1).forward(image * (torch.arange(12) == 0))[0]
    # Only the lowest slice emits: rows more than 8 cells above it see nothing.
    assert float(lateral[:4].abs().max()) < 2e-4 * float(lateral.max())


def test_nothing_behind_the_collimator_is_seen() -> None:
    image = torch.zeros(GRID.shape)
    image[12, 2, 6] = 1  # 61 mm in front of the axis
    near, far = (
        parallel_projector(
            GRID, angle_deg=180, radius_mm=radius, pixel_mm=6.4, detector_shape=(14, 24), collimator=LEHR
        ).forward(image)
        for radius in (40, 80)
    )
    assert float(near.abs().max()) == 0
    assert float(far.sum()) > 0


def test_attenuation_of_a_slab_is_exact() -> None:
    mu = attenuation_per_cm("water", energy_keV=140.5)
    grid = Grid.axis_aligned((20, 20, 4), spacing_mm=10.0)
    for angle_deg in (0, 90, 180, 270):
        projector, free = (
            parallel_projector(
                grid,
                angle_deg=angle_deg,
                radius_mm=200,
                pixel_mm=10,
                detector_shape=(4, 20),
                collimator=None,
                attenuation=attenuation,
            )
            for attenuation in (Volume(np.full(grid.shape, mu), grid, "1/cm"), None)
        )
        image = torch.zeros(grid.shape)
        # The source's middle lies 10 cm deep: 9.5 voxels and half its own.
        image[{90: 10, 270: 9}.get(angle_deg, 10), {0: 10, 180: 9}.get(angle_deg, 10), 1] = 1
        share = float(projector.forward(image).sum() / free.forward(image).sum())
        assert share == pytest.approx(np.exp(-mu * 9.5), rel=1e-5)


def test_attenuation_may_lie_on_a_coarser_grid_than_the_image() -> None:
    attenuation = body(Grid.axis_aligned((64, 64, 20), spacing_mm=3.2))
    coarse = body(Grid.axis_aligned((32, 32, 10), spacing_mm=6.4))
    image = torch.ones(BOX.shape)
    fine, rough = (camera(BOX, attenuation=mu).forward(image) for mu in (attenuation, coarse))
    free = camera(BOX).forward(image)
    assert float(rough.sum() / free.sum()) < 0.65
    assert float(rough.sum() / fine.sum()) == pytest.approx(1, abs=0.02)


def test_a_fine_box_projects_as_the_same_activity_on_the_camera_s_own_voxels() -> None:
    box = Grid.axis_aligned((16, 16, 16), spacing_mm=3.2, centre_mm=(12.8, -6.4, 6.4))
    own = Grid.axis_aligned((8, 8, 8), spacing_mm=6.4, centre_mm=(12.8, -6.4, 6.4))
    coarse = torch.rand(own.shape)
    fine = coarse.repeat_interleave(2, 0).repeat_interleave(2, 1).repeat_interleave(2, 2)
    a, b = camera(own).forward(coarse), camera(box).forward(fine)
    assert float((a - b).norm() / a.norm()) < 0.06
    assert float(a.sum() / b.sum()) == pytest.approx(1, rel=1e-3)


def test_each_patient_of_a_batch_has_its_own_attenuation() -> None:
    maps = [body(GRID, mu) for mu in (0.0, 0.1, 0.2)]
    images = torch.rand((2, 3, *GRID.shape))
    together = camera(attenuation=maps)
    data = together.forward(images)
    for patient, mu in enumerate(maps):
        alone = camera(attenuation=mu)
        assert torch.allclose(data[1, patient], alone.forward(images[1, patient]), rtol=1e-4)
        assert torch.allclose(together.adjoint(data)[1, patient], alone.adjoint(data[1, patient]), rtol=1e-4, atol=1e-8)
    with pytest.raises(InvalidValue, match="3 patients"):
        together.forward(images[0, :2])


def test_what_cannot_be_projected_is_refused() -> None:
    projector = CASES["both"]
    with pytest.raises(InvalidValue, match="ends in"):
        projector.forward(torch.zeros(3, 3, 3))
    with pytest.raises(InvalidValue, match="float32"):
        projector.forward(torch.zeros(GRID.shape, dtype=torch.float64))
    with pytest.raises(InvalidValue, match="subset"):
        projector.subset([7])
    with pytest.raises(UnitMismatch, match="HU"):
        camera(attenuation=Volume(np.zeros(GRID.shape), GRID, "HU"))
    with pytest.raises(InvalidValue, match="orbit unknown"):
        parallel_projector(
            GRID, angle_deg=[0, 3], radius_mm=np.nan, pixel_mm=6.4, detector_shape=(9, 9), collimator=None
        )
    oblique = Grid(GRID.shape, GRID.affine @ np.diag([-1.0, 1, 1, 1]))
    with pytest.raises(InvalidValue, match="axis-aligned"):
        camera(oblique)
    with pytest.raises(InvalidValue, match="sight"):
        camera(Grid.axis_aligned((4, 4, 4), spacing_mm=6.4, centre_mm=(900, 0, 0)))
    with pytest.raises(InvalidValue, match="above or below"):
        camera(Grid.axis_aligned((4, 4, 4), spacing_mm=6.4, centre_mm=(0, 0, 900)))


def test_a_projector_can_move_to_another_device() -> None:
    projector, image = camera(attenuation=[body(GRID, 0.1), body(GRID, 0.2)]), torch.rand((3, 2, *GRID.shape))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    moved = projector.to(device)
    data = projector.forward(image)
    assert torch.allclose(moved.forward(image.to(device)).cpu(), data, rtol=1e-4, atol=1e-9)
    assert torch.allclose(moved.adjoint(data.to(device)).cpu(), projector.adjoint(data), rtol=1e-4, atol=1e-12)
