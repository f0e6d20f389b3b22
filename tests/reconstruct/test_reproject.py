from dataclasses import replace

import numpy as np
import pytest

from myoscope.core import EnergyWindow, Grid, InvalidValue, Projections
from myoscope.physics import parallel_projector
from myoscope.physics.camera_geometry import GENERIC_19_PINHOLE
from myoscope.reconstruct import reprojector


def projections(counts: np.ndarray) -> Projections:
    n_views = counts.shape[0]
    return Projections(
        counts[None, None],
        225.0 - 180.0 * (np.arange(n_views) + 0.5) / n_views,
        np.full(n_views, 200.0),
        (6.4, 6.4),
        (EnergyWindow("photopeak", 126, 154),),
        np.full(n_views, 25.0),
    )


@pytest.fixture(scope="module")
def views() -> np.ndarray:
    """Views of two balls, as a camera without blur and a patient who does not absorb would give."""
    import torch

    grid = Grid.axis_aligned((32, 32, 32), spacing_mm=6.4)
    points = grid.points_mm()
    image = sum(
        level * (np.linalg.norm(points - np.array(at), axis=-1) < radius)
        for level, at, radius in ((100.0, (30, -20, 10), 25), (40.0, (-40, 10, -30), 35))
    )
    blank = projections(np.zeros((30, 32, 32)))
    projector = parallel_projector(
        grid,
        angle_deg=blank.angle_deg,
        radius_mm=np.full(30, 250.0),
        pixel_mm=6.4,
        detector_shape=(32, 32),
        collimator=None,
    )
    seen: np.ndarray = projector.forward(torch.as_tensor(np.asarray(image, np.float32))).numpy()
    return seen


def test_consistent_views_come_back_as_they_are(views: np.ndarray) -> None:
    again = reprojector(projections(views))(views)
    assert again.shape == views.shape
    assert again.sum() == pytest.approx(views.sum(), rel=0.02)
    assert np.corrcoef(again.ravel(), views.ravel())[0, 1] > 0.97


def test_one_view_that_does_not_fit_comes_back_nearer_to_the_others(views: np.ndarray) -> None:
    odd = views.copy()
    odd[12] = np.roll(odd[12], 3, axis=0)
    again = reprojector(projections(odd))(odd)

    def middle(view: np.ndarray) -> float:
        return float((view.sum(axis=1) * np.arange(32)).sum() / view.sum())

    assert middle(odd[12]) - middle(views[12]) == pytest.approx(3, abs=0.01)
    assert middle(again[12]) - middle(views[12]) < 1.5


def test_cameras_of_their_own_layout_and_oblong_pixels_are_refused(views: np.ndarray) -> None:
    with pytest.raises(InvalidValue, match="not parallel"):
        reprojector(replace(projections(views), collimator=GENERIC_19_PINHOLE))
    with pytest.raises(InvalidValue, match="square"):
        reprojector(replace(projections(views), pixel_mm=(6.4, 5.0)))
