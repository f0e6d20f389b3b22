import numpy as np
import pytest

from myoscope.core import InvalidValue, NormalLimits, StudyKind
from myoscope.quantify import build_limits, tpd_of_many
from myoscope.quantify.scaling import scale_factors
from myoscope.simulate.deficit import SHARE_OF_WALL

KIND = StudyKind(sex="M", tracer="any", camera="any", position="supine", state="stress", corrected=True)
SHAPE = (40, 72)


def built(values: np.ndarray, **more: object) -> NormalLimits:
    about = {
        "multiple": 3.0,
        "smoothing_fwhm_mm": 0.0,
        "area_mm2": SHARE_OF_WALL,
        "kind": KIND,
        "method": "surface",
        "provenance": "made up",
    }
    return build_limits(values, rng=np.random.default_rng(1), **{**about, **more})  # type: ignore[arg-type]


def normals(n: int, *, deviation: float = 10.0, seed: int = 2) -> np.ndarray:
    """Independent cells of mean 100, each study with its own number of counts."""
    rng = np.random.default_rng(seed)
    return rng.normal(100, deviation, (n, *SHAPE)) * rng.uniform(0.2, 50, (n, 1, 1))


def test_three_mean_deviations_of_a_gaussian_are_2394_standard_deviations() -> None:
    """AT-03: 3 x sqrt(2/pi) = 2.394, one-sided false positive rate 0.834 %."""
    found = built(normals(400), n_modes=0)
    relative = found.deviation / found.mean
    assert relative.mean() == pytest.approx(0.0797885, rel=0.01)
    fresh = normals(200, seed=9)
    weights = found.weights("surface")
    level = scale_factors(fresh, found.mean, found.threshold, weights)[:, None, None]
    false_positive = float((fresh * level < found.threshold).mean())
    assert false_positive == pytest.approx(0.00834, rel=0.1)


def test_the_number_of_counts_of_a_study_does_not_matter() -> None:
    values = normals(30)
    one, other = built(values, n_modes=0), built(values * np.linspace(1, 9, 30)[:, None, None], n_modes=0)
    assert other.mean == pytest.approx(one.mean, rel=1e-6)
    assert other.deviation == pytest.approx(one.deviation, rel=1e-5)


def test_a_pattern_of_normal_walls_becomes_the_mean() -> None:
    pattern = 1 - 0.2 * np.cos(np.linspace(0, 2 * np.pi, 72))[None] * np.linspace(0, 1, 40)[:, None]
    found = built(normals(200) * pattern, n_modes=0)
    shape = found.mean / found.mean.mean()
    assert shape == pytest.approx(pattern / pattern.mean(), abs=0.04)
    assert np.percentile(found.mean, 99.5) == pytest.approx(100)


def test_one_diseased_study_among_the_normal_ones_hardly_moves_the_level() -> None:
    values = normals(40, deviation=5.0)
    values[0, :, 10:40] *= 0.4
    sick = values[:1]
    found = built(values, n_modes=0)
    level = scale_factors(sick, found.mean, found.threshold, found.weights("surface"))
    healthy = (sick[0, :, 45:] * level[0]).mean() / found.mean[:, 45:].mean()
    assert healthy == pytest.approx(1, abs=0.01)


def test_limits_know_how_uncertain_they_are() -> None:
    """The spread of limits drawn from the modes is that of limits built again from other people."""
    n, pattern = 40, np.cos(np.linspace(0, 2 * np.pi, 72))[None] * np.linspace(0.2, 1, 40)[:, None]

    def people(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return 100 * (1 + 0.1 * rng.normal(size=(n, 1, 1)) * pattern + 0.03 * rng.normal(size=(n, *SHAPE)))

    # How one patient scores by the limits of 40 samples of normal people, and by drawn ones. The deficit is clear of
    # the threshold: one that lies on it is counted or not by chance.
    patient = np.full((1, *SHAPE), 100.0)
    patient[0, 15:30, 20:40] = 70

    def tpd(mean: np.ndarray, threshold: np.ndarray) -> np.ndarray:
        many = np.repeat(patient, len(mean), axis=0)
        level = scale_factors(many, mean, threshold, SHARE_OF_WALL)[:, None, None]
        return tpd_of_many(many * level, mean, threshold, SHARE_OF_WALL)

    others = [built(people(seed), n_modes=0) for seed in range(100, 140)]
    truly = tpd(np.stack([one.mean for one in others]), np.stack([one.threshold for one in others]))
    told = tpd(*built(people(1)).drawn(400, rng=np.random.default_rng(4)))
    assert truly.std() > 0.05
    assert 0.5 < told.std() / truly.std() < 2


def test_too_few_normal_studies_are_refused() -> None:
    with pytest.raises(InvalidValue, match="at least 10 normal studies with a heart, got 9"):
        built(normals(9))


def test_a_part_of_the_wall_that_is_seldom_seen_is_refused() -> None:
    values = normals(20)
    values[:12, 39] = np.nan
    with pytest.raises(InvalidValue, match="less than half"):
        built(values)
