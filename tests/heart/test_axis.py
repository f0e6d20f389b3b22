"""The long axis of an outlined wall comes from its form, not from its mass."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from myoscope.core import GeometryMismatch, Grid, HeartNotFound, InvalidValue, Volume
from myoscope.heart import frame_from_wall
from myoscope.simulate import Phantom, random_phantom


def _outlined(phantom: Phantom) -> Volume:
    """The true wall as it looks blurred: what a reader or a network outlines."""
    sigma = phantom.fwhm_mm / 2.3548 / phantom.volume.grid.spacing_mm
    blurred = gaussian_filter(np.asarray(phantom.wall.array, np.float64), sigma)
    return Volume(blurred > 0.4 * blurred.max(), phantom.volume.grid, "mask")


def _principal_axis(mask: Volume) -> np.ndarray:
    points = mask.grid.to_mm(np.argwhere(mask.array))
    return np.asarray(np.linalg.svd(points - points.mean(axis=0), full_matrices=False)[2][0])


@pytest.fixture(scope="module")
def drawn() -> list[tuple[Phantom, Volume]]:
    phantoms = [random_phantom(np.random.default_rng([7, n]), voxel_mm=4.0 if n % 2 == 0 else 6.4)[0] for n in range(6)]
    return [(phantom, _outlined(phantom)) for phantom in phantoms]


def test_axis_of_an_outlined_wall_within_five_degrees(drawn: list[tuple[Phantom, Volume]]) -> None:
    errors = [frame_from_wall(phantom.volume, wall).angle_to_deg(phantom.frame) for phantom, wall in drawn]
    assert max(errors) < 5.0
    assert np.median(errors) < 2.0


def test_fitted_axis_beats_the_principal_axis_of_the_mask(drawn: list[tuple[Phantom, Volume]]) -> None:
    fitted, principal = [], []
    for phantom, wall in drawn:
        fitted.append(frame_from_wall(phantom.volume, wall).angle_to_deg(phantom.frame))
        cosine = abs(float(_principal_axis(wall) @ phantom.frame.long_axis))
        principal.append(float(np.degrees(np.arccos(min(cosine, 1.0)))))
    assert np.mean(fitted) < 0.7 * np.mean(principal)


def test_axis_points_from_base_to_apex(drawn: list[tuple[Phantom, Volume]]) -> None:
    for phantom, wall in drawn:
        assert frame_from_wall(phantom.volume, wall).long_axis @ phantom.frame.long_axis > 0.9


def test_centre_is_the_centroid_of_the_mask(drawn: list[tuple[Phantom, Volume]]) -> None:
    phantom, wall = drawn[0]
    centroid = wall.grid.to_mm(np.argwhere(wall.array)).mean(axis=0)
    np.testing.assert_allclose(frame_from_wall(phantom.volume, wall).centre_mm, centroid)


def test_refuses_masks_of_another_place_type_or_size(drawn: list[tuple[Phantom, Volume]]) -> None:
    volume = drawn[0][0].volume
    elsewhere = Volume(
        np.ones(volume.grid.shape, bool),
        Grid.axis_aligned(volume.grid.shape, spacing_mm=volume.grid.spacing_mm, centre_mm=(50, 0, 0)),
        "mask",
    )
    with pytest.raises(GeometryMismatch):
        frame_from_wall(volume, elsewhere)
    with pytest.raises(InvalidValue, match="boolean"):
        frame_from_wall(volume, Volume(np.zeros(volume.grid.shape), volume.grid, "fraction"))
    with pytest.raises(HeartNotFound, match="too little"):
        frame_from_wall(volume, np.zeros(volume.grid.shape, bool))


def test_a_mask_over_nothing_has_no_axis() -> None:
    grid = Grid.axis_aligned((40, 40, 40), spacing_mm=4.0)
    noise = Volume(np.random.default_rng(0).random(grid.shape), grid, "counts")
    ball = np.linalg.norm(grid.points_mm(), axis=-1) < 40
    with pytest.raises(HeartNotFound):
        frame_from_wall(noise, ball)
