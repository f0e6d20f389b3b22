from dataclasses import replace

import numpy as np
import pytest
from normal_wall import SHAPE, polar_map

from myoscope.core import CardiacFrame, GeometryMismatch, Grid, InvalidValue, Surfaces, Volume
from myoscope.quantify import displacement_to_gates, motion_frozen, motion_frozen_map
from myoscope.simulate import Cycle, Phantom, lv_phantom

GRID = Grid.axis_aligned((38, 38, 38), spacing_mm=4)
FRAME = CardiacFrame(np.array([2.0, -3.0, 1.0]), np.array([0.45, -0.80, -0.40]))


@pytest.fixture(scope="module")
def beat() -> Phantom:
    return lv_phantom(GRID, frame=FRAME, fwhm_mm=7.5, cycle=Cycle(60, n_gates=4), lung_ratio=0.0)


@pytest.fixture(scope="module")
def frozen(beat: Phantom) -> Volume:
    return motion_frozen(beat.volume, beat.surfaces, ed_gate=0)


def test_a_beat_that_is_frozen_looks_like_end_diastole(beat: Phantom, frozen: Volume) -> None:
    gates = np.asarray(beat.volume.array, float)
    blurred = beat.volume.summed().array
    wall = np.asarray(beat.wall.array) > 0.5
    diastole = gates[0] * len(gates)

    def unlike(image: np.ndarray) -> float:
        """What is left of end diastole once brightness is let go."""
        level = (image[wall] @ diastole[wall]) / (image[wall] @ image[wall])
        return float(np.std(level * image[wall] - diastole[wall]) / diastole[wall].mean())

    assert unlike(blurred) > 0.12
    assert unlike(frozen.array) < 0.4 * unlike(blurred)


def test_the_cavity_is_emptied_of_the_wall_that_came_in(beat: Phantom, frozen: Volume) -> None:
    """A quarter of the way from the endocardium to the axis, where the wall comes in systole."""
    from scipy.ndimage import map_coordinates

    endo = beat.surfaces.endo_mm[0, 12:28]
    place = GRID.to_index(endo + 0.25 * (endo.mean(axis=1, keepdims=True) - endo)).reshape(-1, 3).T
    gates = np.asarray(beat.volume.array, float)
    diastole, blurred, now = (
        float(map_coordinates(image, place, order=3).mean())
        for image in (4 * gates[0], gates.sum(axis=0), frozen.array)
    )
    assert blurred > 2 * diastole
    assert now == pytest.approx(diastole, rel=0.05)


def test_far_from_the_heart_nothing_is_touched(beat: Phantom, frozen: Volume) -> None:
    distance = np.linalg.norm(
        GRID.points_mm()[..., None, :] - beat.surfaces.mid_mm[0, ::5, ::9].reshape(-1, 3), axis=-1
    )
    far = distance.min(axis=-1) > 36
    assert far.sum() > 5000
    assert np.array_equal(frozen.array[far], np.asarray(beat.volume.array, float).sum(axis=0)[far])
    assert frozen.frame_axis is None
    assert "warped" in frozen.made_by[-1]


def test_a_heart_that_only_moves_is_brought_back() -> None:
    from scipy.ndimage import shift

    still = lv_phantom(GRID, frame=FRAME, fwhm_mm=9, blood_ratio=0, background_ratio=0, lung_ratio=0)
    way_mm = np.array([[0, 0, 0], [6.0, -4.0, 3.0]])
    array = np.stack([shift(np.asarray(still.volume.array, float), d / 4, order=3) for d in way_mm])
    nodes = [np.stack([surface + d for d in way_mm]) for surface in (still.surfaces.endo_mm, still.surfaces.epi_mm)]
    walls = replace(still.surfaces, endo_mm=nodes[0], epi_mm=nodes[1])
    back = motion_frozen(Volume(array, GRID, "counts", frame_axis="gate"), walls, ed_gate=0)
    wall = np.asarray(still.wall.array) > 0.2
    assert back.array[wall] == pytest.approx(2 * array[0][wall], abs=0.02 * array[0].max())
    near, displacement = displacement_to_gates(GRID.points_mm(), walls, ed_gate=0)
    assert displacement[0] == pytest.approx(np.zeros_like(displacement[0]), abs=1e-9)
    assert displacement[1][wall[near]] == pytest.approx(np.tile(way_mm[1], (int(wall.sum()), 1)), abs=1e-6)


def test_the_displacement_meets_the_nodes(beat: Phantom) -> None:
    for layer in (beat.surfaces.endo_mm, beat.surfaces.epi_mm):
        near, found = displacement_to_gates(layer[0], beat.surfaces, ed_gate=0)
        assert near.all()
        expected = (layer - layer[0]).reshape(4, -1, 3)
        assert np.abs(found - expected).max() < 1.0
        assert np.sqrt(((found - expected) ** 2).mean()) < 0.15


def test_polar_maps_add_up_on_the_wall_of_end_diastole() -> None:
    gates = [polar_map(np.full(SHAPE, n + 1.0), "counts") for n in range(3)]
    assert motion_frozen_map(gates, ed_gate=0).value == pytest.approx(np.full(SHAPE, 6.0))
    with pytest.raises(InvalidValue, match="no gate 3"):
        motion_frozen_map(gates, ed_gate=3)
    with pytest.raises(GeometryMismatch):
        motion_frozen_map([gates[0], polar_map(np.ones(SHAPE), "%")], ed_gate=0)


def test_what_does_not_fit_is_refused(beat: Phantom) -> None:
    with pytest.raises(InvalidValue, match="gated image"):
        motion_frozen(beat.volume.frame(0), beat.surfaces, ed_gate=0)
    half = Surfaces(
        beat.surfaces.endo_mm[:2],
        beat.surfaces.epi_mm[:2],
        beat.surfaces.frame,
        beat.surfaces.valve_point_mm,
        beat.surfaces.valve_normal,
    )
    with pytest.raises(GeometryMismatch, match="4 gates"):
        motion_frozen(beat.volume, half, ed_gate=0)
    with pytest.raises(InvalidValue, match="no gate 9"):
        motion_frozen(beat.volume, beat.surfaces, ed_gate=9)
