"""The camera of swivelling columns: where its columns look, what they count, and the laws of a linear operator."""

import numpy as np
import pytest
import torch

from myoscope.core import Grid, Volume
from myoscope.physics.camera_geometry import generic_columns
from myoscope.physics.columns import column_projector

torch.set_num_threads(1)
GEOMETRY = generic_columns()
GRID = Grid.axis_aligned((21, 21, 15), spacing_mm=4.92)


def test_the_adjoint_is_the_transpose() -> None:
    points = GRID.points_mm()
    mu = Volume(0.15 * (np.hypot(points[..., 0], points[..., 1]) < 45), GRID, "1/cm")
    projector = column_projector(GRID, geometry=GEOMETRY, attenuation=mu)
    rng = torch.Generator().manual_seed(4)
    image = torch.rand(GRID.shape, generator=rng)
    data = torch.rand((projector.n_views, *projector.detector_shape), generator=rng)
    there = float((projector.forward(image).double() * data).sum())
    assert there / float((image.double() * projector.adjoint(data)).sum()) == pytest.approx(1, abs=1e-5)


def test_each_column_sees_the_centre_in_its_middle_when_it_looks_there() -> None:
    image = torch.zeros(GRID.shape)
    image[10, 10, 7] = 1
    seen = column_projector(GRID, geometry=GEOMETRY).forward(image).numpy()
    n_columns, n_positions = len(GEOMETRY.azimuth_deg), len(GEOMETRY.swivel_deg)
    assert seen.shape == (n_columns * n_positions, *GEOMETRY.detector_shape)
    by_position = seen.sum(axis=(1, 2)).reshape(n_columns, n_positions)
    # Sweeps are symmetrical, and the positions in their middle see most.
    assert np.allclose(by_position, by_position[:, ::-1], rtol=1e-3)
    assert set(by_position.argmax(axis=1)) <= {(n_positions - 1) // 2, n_positions // 2}


def test_a_source_in_sight_gives_what_the_collimator_passes() -> None:
    image = torch.zeros(GRID.shape)
    image[10, 10, 7] = 1
    seen = column_projector(GRID, geometry=GEOMETRY).forward(image).numpy()
    photons_per_s = 1000 * GRID.voxel_volume_mL * 0.885
    # Columns are narrower than the blur: less than all of it, in no position more.
    share = seen.sum(axis=(1, 2)).max() / (photons_per_s * GEOMETRY.collimator.sensitivity)
    assert 0.5 < share <= 1.0


def test_a_source_moves_across_a_column_against_its_swivel() -> None:
    image = torch.zeros(GRID.shape)
    image[10, 10, 7] = 1
    seen = column_projector(GRID, geometry=GEOMETRY).forward(image).numpy().sum(axis=1)
    u_mm = (np.arange(GEOMETRY.detector_shape[1]) - 7.5) * GEOMETRY.pixel_mm
    offset = GEOMETRY.u_centre_mm
    near = np.abs(offset) < 15
    assert near.any()
    middle = (seen[near] * u_mm).sum(axis=1) / seen[near].sum(axis=1)
    assert (np.sign(middle) == -np.sign(offset[near])).all()
