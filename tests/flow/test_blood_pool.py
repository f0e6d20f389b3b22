"""All left blood together is read as high as one clean region shows it, and with half its noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from flow_scene import rest_scene, still_image, still_wall

from myoscope.core import Surfaces, Volume
from myoscope.correct.frame_motion import FrameShifts
from myoscope.physics.frames import Frames
from myoscope.quantify.flow import frame_weights
from myoscope.quantify.flow.blood_pool import blood_pool
from myoscope.quantify.flow.input_function import left_region, right_region
from myoscope.simulate.pet_camera import PetCamera

NOISY = 6


def read(image: Volume, wall: Surfaces) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Left blood of the clean region and of the pool, and the points that the pool's height comes from."""
    frames = Frames.of(image)
    still = FrameShifts.none(len(frames)).displacement_mm
    first = left_region(image, wall, still, where="basal").means
    right = right_region(image, wall, still, first)
    assert right is not None
    weight = frame_weights(frames, first, nuclide="Rb-82")
    pool = blood_pool(image, wall, still, first=first, right=right.means, weight=weight)
    assert pool is not None
    return first, pool.means, pool.points_mm


def test_without_noise_it_is_the_blood_that_was_put_in() -> None:
    true = rest_scene().blood.left.frame_means(rest_scene().frames)
    _, pool, _ = read(still_image(), still_wall())
    assert np.abs(pool - true).max() < 0.04 * true.max()


def test_it_is_quieter_than_the_clean_region() -> None:
    scans = (rest_scene().scan(rng=np.random.default_rng(k), camera=PetCamera()) for k in range(NOISY))
    seen = [read(scan, still_wall()) for scan in scans]
    region, pool = (float(np.std([one[which] for one in seen], axis=0).mean()) for which in (0, 1))
    assert pool < 0.6 * region


def test_its_height_does_not_come_from_where_there_is_no_blood() -> None:
    """A wall drawn too far to the side: half of the cylinder behind the valve lies outside the atrium."""
    true, wall = rest_scene().blood.left.frame_means(rest_scene().frames), still_wall()
    aside = 18.0 * wall.frame.lateral
    drawn = replace(wall, endo_mm=wall.endo_mm + aside, epi_mm=wall.epi_mm + aside)
    region, pool, core = read(still_image(), drawn)
    assert np.abs(region - true).max() > 0.10 * true.max()
    assert np.abs(pool - true).max() < 0.05 * true.max()
    assert len(core) < len(read(still_image(), wall)[2])


@pytest.mark.parametrize("times", [0.0, 1.5])
def test_it_is_not_guessed_from_a_first_estimate_that_fits_nowhere(times: float) -> None:
    image, frames = still_image(), rest_scene().frames
    still = FrameShifts.none(len(frames)).displacement_mm
    first = left_region(image, still_wall(), still, where="basal").means
    weight = frame_weights(frames, first, nuclide="Rb-82")
    assert blood_pool(image, still_wall(), still, first=times * first, right=None, weight=weight) is None
