"""The parallel-hole projector against an independent program, PyTomography 3.4.0."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch

from myoscope.core import Grid, Volume
from myoscope.physics.collimator import COLLIMATORS
from myoscope.physics.parallel import Discretisation, parallel_projector

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns, and silences all warnings, when imported
    pytest.importorskip("pytomography", reason="the peer is not installed (pip install pytomography)")
    import pytomography
    from pytomography.metadata.SPECT import SPECTObjectMeta, SPECTProjMeta, SPECTPSFMeta
    from pytomography.projectors.SPECT import SPECTSystemMatrix
    from pytomography.transforms.SPECT import SPECTAttenuationTransform, SPECTPSFTransform

torch.set_num_threads(1)
LEHR = COLLIMATORS["SY-LEHR"]
GRID = Grid.axis_aligned((32, 32, 14), spacing_mm=6.4)
ANGLE_DEG = 225 - 12.0 * np.arange(16)
RADIUS_MM = np.linspace(150, 190, 16)


def scene() -> tuple[torch.Tensor, Volume]:
    points = GRID.points_mm()
    body = np.hypot(points[..., 0] / 85, points[..., 1] / 65) < 1
    shell = np.linalg.norm((points - (25, -20, 3)) / (30, 26, 24), axis=-1)
    activity = (body + 20.0 * ((shell < 1) & (shell > 0.6))).astype(np.float32)
    return torch.from_numpy(activity), Volume(0.15 * body, GRID, "1/cm")


@pytest.fixture(scope="module")
def peer() -> torch.Tensor:
    """Their projections of the scene in our order (view, v, u), in voxel values summed along rays."""
    activity, mu = scene()

    def sigma_cm(distance_cm: Any, *_: Any) -> Any:
        return LEHR.sigma_mm(np.asarray(distance_cm) * 10) / 10

    pytomography.device = "cpu"
    matrix = SPECTSystemMatrix(
        [
            # Their x and y run to the right and to anterior.
            SPECTAttenuationTransform(torch.from_numpy(mu.array.astype(np.float32)).flip(0, 1)),
            SPECTPSFTransform(SPECTPSFMeta([0.0], sigma_fit=sigma_cm)),
        ],
        [],
        SPECTObjectMeta([0.64] * 3, list(GRID.shape)),
        SPECTProjMeta([32, 14], [0.64, 0.64], ANGLE_DEG, RADIUS_MM / 10),
    )
    projected: torch.Tensor = matrix.forward(activity.flip(0, 1))
    return projected.transpose(1, 2).flip(1)


def nrmse(discretisation: Discretisation, peer: torch.Tensor) -> float:
    activity, mu = scene()
    projector = parallel_projector(
        GRID,
        angle_deg=ANGLE_DEG,
        radius_mm=RADIUS_MM,
        pixel_mm=6.4,
        detector_shape=(14, 32),
        collimator=LEHR,
        attenuation=mu,
        photons_per_decay=1.0,
        sensitivity=1 / (1000 * GRID.voxel_volume_mL),
        discretisation=discretisation,
    )
    ours = projector.forward(activity)
    return float((ours - peer).norm() / peer.norm())


def test_projections_are_equal_with_the_same_discretisation(peer: torch.Tensor) -> None:
    assert nrmse("sampled", peer) < 1e-3


def test_the_conserving_discretisation_differs_by_no_more_than_that(peer: torch.Tensor) -> None:
    assert 1e-3 < nrmse("conserving", peer) < 0.03
