"""All left blood together is read as high as one clean region shows it, and with half its noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from myoscope import flow_study
from myoscope.core import Surfaces, Volume
from myoscope.correct.frame_motion import FrameShifts
from myoscope.physics.frames import Frames
from myoscope.quantify.flow import frame_weights
from myoscope.quantify.flow.blood_pool import blood_pool
from myoscope.quantify.flow.input_function import left_region, right_region
from myoscope.simulate.dynamic_pet import DynamicScene, dynamic_scene
from myoscope.simulate.patient import draw_patient
from myoscope.simulate.pet_camera import PetCamera

PATIENT, NOISY = 104, 6


@pytest.fixture(scope="module")
def rest() -> DynamicScene:
    return dynamic_scene(draw_patient(PATIENT, site="harbour"), "rest", "rubidium")


@pytest.fixture(scope="module")
def image(rest: DynamicScene) -> Volume:
    """Noise-free and still."""
    return rest.scan(rng=np.random.default_rng(0))


@pytest.fixture(scope="module")
def wall(image: Volume) -> Surfaces:
    return flow_study.find_wall(image, "rubidium")


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


def test_without_noise_it_is_the_blood_that_was_put_in(rest: DynamicScene, image: Volume, wall: Surfaces) -> None:
    true = rest.blood.left.frame_means(rest.frames)
    _, pool, _ = read(image, wall)
    assert np.abs(pool - true).max() < 0.04 * true.max()


def test_it_is_quieter_than_the_clean_region(rest: DynamicScene, wall: Surfaces) -> None:
    seen = [read(rest.scan(rng=np.random.default_rng(k), camera=PetCamera()), wall) for k in range(NOISY)]
    region, pool = (float(np.std([one[which] for one in seen], axis=0).mean()) for which in (0, 1))
    assert pool < 0.6 * region


def test_its_height_does_not_come_from_where_there_is_no_blood(
    rest: DynamicScene, image: Volume, wall: Surfaces
) -> None:
    """A wall drawn too far to the side: half of the cylinder behind the valve lies outside the atrium."""
    true = rest.blood.left.frame_means(rest.frames)
    aside = 18.0 * wall.frame.lateral
    drawn = replace(wall, endo_mm=wall.endo_mm + aside, epi_mm=wall.epi_mm + aside)
    region, pool, core = read(image, drawn)
    assert np.abs(region - true).max() > 0.15 * true.max()
    assert np.abs(pool - true).max() < 0.05 * true.max()
    assert len(core) < len(read(image, wall)[2])
