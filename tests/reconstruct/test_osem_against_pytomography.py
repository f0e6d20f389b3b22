"""MLEM and OSEM against an independent implementation, from the same projections."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from cameras import PIXEL_MM, ball, cylinder

from myoscope.core import Grid, Volume
from myoscope.physics.collimator import COLLIMATORS
from myoscope.physics.parallel import parallel_projector
from myoscope.reconstruct import Measurement, mlem, osem

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns, and silences all warnings, when imported
    pytest.importorskip("pytomography", reason="the peer is not installed (pip install pytomography)")

torch.set_num_threads(1)

GRID = Grid.axis_aligned((32, 32, 16), spacing_mm=PIXEL_MM)
ANGLE_DEG, RADIUS_MM = 225.0 - 6.0 * np.arange(30), 180.0
COLLIMATOR = COLLIMATORS["SY-LEHR"]


def peer(mu: Volume) -> Any:
    """PyTomography's system matrix of the same camera; its x and y run to the right and to anterior, in cm."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pytomography
        from pytomography.metadata.SPECT import SPECTObjectMeta, SPECTProjMeta, SPECTPSFMeta
        from pytomography.projectors.SPECT import SPECTSystemMatrix
        from pytomography.transforms.SPECT import SPECTAttenuationTransform, SPECTPSFTransform

        pytomography.device = "cpu"

        def sigma_cm(distance_cm: Any, *_: Any) -> Any:
            return COLLIMATOR.sigma_mm(np.asarray(distance_cm) * 10) / 10

        spacing = (GRID.spacing_mm / 10).tolist()
        return SPECTSystemMatrix(
            [
                SPECTAttenuationTransform(turned(torch.from_numpy(np.array(mu.array, np.float32)))),
                SPECTPSFTransform(SPECTPSFMeta([0.0], sigma_fit=sigma_cm)),
            ],
            [],
            SPECTObjectMeta(spacing, list(GRID.shape)),
            SPECTProjMeta([32, 16], spacing[:2], ANGLE_DEG % 360, np.full(30, RADIUS_MM / 10)),
        )


def turned(image: torch.Tensor) -> torch.Tensor:
    return image.flip(0, 1).contiguous()


@pytest.mark.parametrize("subsets", [1, 5])
def test_the_image_is_that_of_pytomography(subsets: int) -> None:
    from pytomography.algorithms import OSEM
    from pytomography.likelihoods import PoissonLogLikelihood

    mu = cylinder(85, value=0.15, unit="1/cm", grid=GRID)
    truth = np.asarray(ball((20, -15, 5), 25, grid=GRID, value=10).array) + np.asarray(
        cylinder(85, value=1, unit="kBq/mL", grid=GRID).array
    )
    theirs = peer(mu)
    expected = theirs.forward(turned(torch.tensor(truth, dtype=torch.float32)))
    counts = torch.tensor(np.random.default_rng(1).poisson(expected.numpy() * 20), dtype=torch.float32)
    iterations = 12 // subsets * 2
    their_image = turned(OSEM(PoissonLogLikelihood(theirs, counts))(n_iters=iterations, n_subsets=subsets))

    projector = parallel_projector(
        GRID,
        angle_deg=ANGLE_DEG,
        radius_mm=RADIUS_MM,
        pixel_mm=PIXEL_MM,
        detector_shape=(16, 32),
        collimator=COLLIMATOR,
        attenuation=mu,
        photons_per_decay=1.0,
        sensitivity=1 / (GRID.voxel_volume_mL * 1000),
        discretisation="sampled",
    )
    measured = Measurement(counts.transpose(1, 2).flip(1).contiguous())
    start = torch.ones(GRID.shape)
    image = (
        mlem(measured, projector, iterations=iterations, start=start)
        if subsets == 1
        else osem(measured, projector, iterations=iterations, subsets=subsets, start=start)
    )
    inside = torch.tensor(np.asarray(mu.array) > 0.1)
    difference = (image - their_image)[inside].norm() / their_image[inside].norm()
    # Step for step the same; with subsets, up to the order in which they are used.
    assert float(difference) < (0.01 if subsets == 1 else 0.05)
