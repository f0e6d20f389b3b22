"""Frames placed together against frames that were displaced by a known amount."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from myoscope.correct.joint_placement import joint_step

Array = NDArray[np.float64]
_PLACES = np.stack(np.meshgrid(*[np.arange(-30.0, 31.0, 4.0)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)


def _blob(centre: tuple[float, float, float], shift_mm: Array) -> tuple[Array, Array]:
    """A Gaussian blob read at every place plus a shift, and its change per mm (3, voxel)."""
    away = _PLACES + shift_mm - np.array(centre)
    value = np.exp(-0.5 * (away**2).sum(axis=1) / 9.0**2)
    return value, (-away / 9.0**2 * value[:, None]).T


def _frames(courses: Array, shifts_mm: Array) -> tuple[Array, Array]:
    """Two blobs with their courses of time, on a constant of each frame's own."""
    images, gradients = [], []
    for f, (course, shift) in enumerate(zip(courses, shifts_mm, strict=True)):
        blobs = [_blob(centre, shift) for centre in ((0.0, 0.0, 0.0), (12.0, 4.0, -6.0))]
        images.append(sum(c * b[0] for c, b in zip(course, blobs, strict=True)) + 0.1 * f)
        gradients.append(sum(c * b[1] for c, b in zip(course, blobs, strict=True)))
    return np.array(images), np.array(gradients)


def _step(
    images: Array, gradients: Array, courses: Array, shifts_mm: Array, late: NDArray[np.bool_]
) -> tuple[Array, Array]:
    """One step in which all voxels and frames count alike."""
    return joint_step(
        images,
        gradients,
        courses,
        weight=np.ones(len(_PLACES)),
        precision=np.ones(len(images)),
        grains=1000.0,
        shifts_mm=shifts_mm,
        late=late,
    )


def test_displacements_are_found_without_knowing_the_images() -> None:
    time = np.linspace(0, 1, 12)
    courses = np.stack([np.exp(-4 * time), 1 - np.exp(-3 * time)], axis=1)
    late = time > 0.6
    true = np.random.default_rng(3).normal(0, 2.0, (12, 3)) * ~late[:, None]
    found = np.zeros((12, 3))
    for _ in range(12):
        # What a frame shows back in its place: the heart lies at +true, and is read at +found.
        images, gradients = _frames(courses, found - true)
        step, error = _step(images, gradients, courses, found, late)
        found = found + step
    assert np.abs(found - true).max() < 0.02
    assert error.shape == (12, 3)
    assert (error > 0).all()


def test_frames_that_show_nothing_stay_with_their_neighbours() -> None:
    courses = np.ones((5, 1))
    images, gradients = _frames(np.array([[1.0, 0.0]] * 5), np.zeros((5, 3)))
    images[0], gradients[0] = 0.0, 0.0
    late = np.array([False, False, False, True, True])
    step, error = _step(images, gradients, courses, np.zeros((5, 3)), late)
    assert np.abs(step).max() < 0.5
    assert error[0].min() > error[1].max()
