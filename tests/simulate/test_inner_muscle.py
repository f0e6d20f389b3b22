"""Papillary muscles and trabeculae: a share of the wall, inside the cavity at all times, another in every person."""

from __future__ import annotations

import numpy as np
import pytest

from myoscope.simulate.inner_muscle import InnerMuscle, draw_inner_muscle, no_inner_muscle
from myoscope.simulate.lv_shape import LVForm, cell_volumes, fit_volumes

MID, SPAN = fit_volumes(LVForm(), cavity_mL=140, wall_mL=120).wall()
PIECES_ML = cell_volumes(MID, SPAN)[0] / 1000


def drawn(seed: int = 1, *, cavity_mL: float = 140.0) -> InnerMuscle:
    return draw_inner_muscle(wall_mL=PIECES_ML, cavity_mL=cavity_mL, rng=np.random.default_rng(seed))


def test_both_hold_their_shares_of_the_wall_on_average() -> None:
    people = [drawn(seed) for seed in range(200)]
    wall_mL = PIECES_ML.sum()
    assert np.mean([p.papillary_mL for p in people]) / wall_mL == pytest.approx(0.045, abs=0.004)
    assert np.mean([p.volume_mL - p.papillary_mL for p in people]) / wall_mL == pytest.approx(0.035, abs=0.003)
    assert no_inner_muscle().volume_mL == 0


def test_a_small_cavity_keeps_its_blood() -> None:
    assert drawn(cavity_mL=40.0).volume_mL <= 0.13 * 40 + 1e-9


def test_no_two_people_have_the_same_ridges_and_the_base_and_tip_have_none() -> None:
    one, other = drawn(1), drawn(2)
    assert np.corrcoef(one.trabeculae_mL.ravel(), other.trabeculae_mL.ravel())[0, 1] < 0.7
    assert one.papillaries != other.papillaries
    for person in (one, other):
        assert person.trabeculae_mL[35:].sum() == 0
        assert person.trabeculae_mL[0].sum() < 0.02 * person.trabeculae_mL.sum()
        assert (person.trabeculae_mL > 0).mean() < 0.75  # ridges, not a lining


def test_everything_lies_inside_the_cavity_however_far_it_empties() -> None:
    endo = MID - 0.5 * SPAN
    along = np.linspace(0, 1, 41)[:, None]
    spine = endo[0, :1] + along * (endo[-1].mean(axis=0) - endo[0, 0])
    # A cavity of half the girth stands for systole.
    empty = spine[:, None] + 0.5 * (endo - spine[:, None])
    muscle = drawn(3)
    points, volume, cell = muscle.samples(np.stack([endo, empty]), np.stack([spine, spine]), np.array([1.0, 2.0]))
    assert volume.sum() == pytest.approx(muscle.volume_mL)
    assert points.shape == (2, len(volume), 3)
    assert 0 <= cell.min() <= cell.max() < 40 * 72
    for time, wall in enumerate((endo, empty)):
        height = wall[..., 2].ravel()
        radius = np.hypot(wall[..., 0], wall[..., 1]).ravel()
        for point in points[time][::7]:
            near = np.argsort(np.abs(height - point[2]))[:40]
            assert np.hypot(point[0], point[1]) < radius[near].max() + 0.5
