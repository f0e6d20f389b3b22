"""The recipe of the left-ventricular wall networks: folds, scores and their summary; no training here."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from myoscope.core import InvalidValue
from myoscope.heart.learned import NO_CORRECTION, ReaderLevel, peak_over_wall, wall_from_probability
from myoscope.systems.lv_wall import (
    LabelledScan,
    ScanScore,
    _weighted_quantile,
    dice_score,
    fit_reader_level,
    patient_folds,
    reader_level_evidence,
    summary,
)


def _scan(number: int, patient: int) -> LabelledScan:
    empty = np.zeros((2, 2, 2))
    return LabelledScan(str(number), f"p{patient}", False, empty.astype(np.float32), np.eye(4), empty > 0)


def _score(number: int, dice: float, error_mm: float) -> ScanScore:
    return ScanScore(str(number), f"p{number}", 0, dice, error_mm, 200.0, 210.0, 0.9, False, 0.7)


def test_all_scans_of_a_patient_share_a_fold() -> None:
    scans = [_scan(n, n // 3) for n in range(30)]
    fold = patient_folds(scans, folds=5, seed=1)
    assert sorted(set(fold.tolist())) == [0, 1, 2, 3, 4]
    for patient in {scan.patient_id for scan in scans}:
        assert len({f for f, scan in zip(fold, scans, strict=True) if scan.patient_id == patient}) == 1


def test_more_folds_than_patients_are_refused() -> None:
    with pytest.raises(InvalidValue, match="2 patients cannot be split into 5 folds"):
        patient_folds([_scan(0, 0), _scan(1, 1)], folds=5, seed=0)


def test_dice_of_alike_apart_and_half_overlapping_masks() -> None:
    a = np.array([True, True, False, False])
    assert dice_score(a, a) == 1
    assert dice_score(a, ~a) == 0
    assert dice_score(a, np.array([False, True, True, False])) == 0.5


def _drawn(peak: float, reader_radius_voxel: float) -> tuple[LabelledScan, NDArray[np.float32]]:
    """A ball of activity 1 with one hot voxel elsewhere, outlined by a reader at one radius and by us at 8 voxels."""
    radius = np.linalg.norm(np.indices((32, 32, 32)) - 15.5, axis=0)
    activity = np.where(radius < 8, 1.0, 0.1).astype(np.float32)
    activity[:2, :2, :2] = peak
    probability = (1 / (1 + np.exp(2 * (radius - 8)))).astype(np.float32)
    return LabelledScan("s", "p", False, activity, np.diag([4.0, 4, 4, 1]), radius < reader_radius_voxel), probability


def test_a_reader_who_draws_tighter_when_the_peak_is_hotter_is_followed() -> None:
    peaks = np.geomspace(1.5, 8.0, 40)
    usual = float(np.sqrt(1.5 * 8.0))
    seen = [_drawn(float(peak), 8 * (peak / usual) ** -0.05) for peak in peaks]
    level = fit_reader_level([reader_level_evidence(scan, probability) for scan, probability in seen])
    assert level.slope == pytest.approx(-0.15 * 40 / 50, abs=0.02)  # volume goes with the cube; ten scans' prior
    scan, probability = _drawn(8.0, 8 * (8.0 / usual) ** -0.05)
    found = wall_from_probability(probability, scan.activity, scan.affine_lps, level=level)
    plain = wall_from_probability(probability, scan.activity, scan.affine_lps, level=NO_CORRECTION)
    assert dice_score(found.mask, scan.wall) > dice_score(plain.mask, scan.wall)
    assert dice_score(found.mask, scan.wall) > 0.97


def test_the_correction_for_the_reader_stays_within_what_was_seen() -> None:
    level = ReaderLevel(centre=1.0, slope=-0.25)
    assert level.log_ratio(1e9) == -0.3
    assert level.log_ratio(1e-9) == 0.3
    assert level.log_ratio(float(np.e)) == 0.0


def test_a_single_defective_voxel_does_not_set_the_reader_s_display() -> None:
    rng = np.random.default_rng(3)
    activity = ndimage.gaussian_filter(rng.random((24, 24, 24)), 2).astype(np.float32)
    wall = activity > np.percentile(activity, 95)
    sound = peak_over_wall(activity, wall)
    activity[2, 3, 4] = 1000 * activity.max()
    assert peak_over_wall(activity, wall) < 2.1 * sound


@pytest.mark.parametrize("q", [0.0, 0.05, 0.5, 0.77, 1.0])
def test_quantile_with_equal_weights_is_the_plain_quantile(q: float) -> None:
    values = np.random.default_rng(0).normal(size=17)
    assert _weighted_quantile(values, np.ones((1, 17)), q)[0] == pytest.approx(np.quantile(values, q))


def test_quantile_with_counts_is_that_of_the_repeated_sample() -> None:
    rng = np.random.default_rng(1)
    values, counts = rng.normal(size=9), rng.integers(0, 4, 9)
    repeated = np.repeat(values, counts)
    assert _weighted_quantile(values, counts[None].astype(float), 0.3)[0] == pytest.approx(np.quantile(repeated, 0.3))


def test_a_heart_that_was_not_found_counts_against_the_result() -> None:
    found = [_score(n, 0.9, 2.0) for n in range(9)]
    lost = _score(9, 0.0, float("inf"))
    told = summary([*found, lost], rng=np.random.default_rng(0), resamples=50)
    assert told["located"] == 9
    assert told["dice_min"] == 0
    assert told["centre_error_p95_mm"]["value"] == float("inf")
