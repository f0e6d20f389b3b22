"""From a scene to counts: laws that any camera obeys."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from myoscope.core import Grid, InvalidValue, Projections, Volume
from myoscope.physics.beats import Rhythm, steady_beats
from myoscope.physics.decay import mean_share_left
from myoscope.simulate.acquire import acquire, acquire_gated_and_ungated, expected_counts, expose
from myoscope.simulate.cameras import CAMERAS, TL_201
from myoscope.simulate.motion import AT_REST, Motion, Shift
from myoscope.simulate.scene import Scene

CONVENTIONAL = CAMERAS["conventional"].with_views(12)
FloatArray = NDArray[np.float64]


def _scene(n_phases: int = 4, *, heart: float = 1.0, rest: float = 1.0) -> Scene:
    """A ball that swells and shrinks in an elliptic body with lungs on both sides."""
    fine = Grid.axis_aligned((24, 24, 24), spacing_mm=3.2, centre_mm=(6.4, -12.8, 0.0))
    radius = np.linalg.norm(fine.points_mm() - fine.centre_mm, axis=-1)
    frames = []
    for phase in range(n_phases):
        shell = (radius < 30 - 6 * np.sin(np.pi * phase / n_phases)) & (
            radius > 16 - 4 * np.sin(np.pi * phase / n_phases)
        )
        frames.append(shell * (heart * 4000.0 / shell.sum()))
    coarse = Grid.axis_aligned((48, 36, 24), spacing_mm=8.0, centre_mm=(-20.0, 30.0, 0.0))
    x, y, _ = np.moveaxis(coarse.points_mm() - coarse.centre_mm, -1, 0)
    body = (x / 170) ** 2 + (y / 115) ** 2 < 1
    lung = body & (np.abs(x) > 70) & ((np.abs(x) - 100) ** 2 / 50**2 + (y / 80) ** 2 < 1)
    mu = np.where(lung, 0.04, 0.15 * body)
    return Scene(
        Volume(np.array(frames, np.float32), fine, "kBq/mL", frame_axis="gate"),
        Volume((rest * 3.0 * body).astype(np.float32), coarse, "kBq/mL"),
        Volume(mu.astype(np.float32), coarse, "1/cm"),
    )


SCENE = _scene()


def _total(projections: Projections, window: int = 0) -> float:
    return float(projections.counts[window].sum(dtype=np.float64))


@pytest.mark.parametrize("name", list(CAMERAS))
def test_gates_add_up_to_the_ungated_acquisition(name: str) -> None:
    camera = CONVENTIONAL if name == "conventional" else CAMERAS[name]
    motion = Motion(breathing_si_mm=9, breathing_ap_mm=3, creep_mm=6)
    gated = expected_counts(SCENE, camera, view_duration_s=30, motion=motion)
    mean = Volume(
        np.asarray(SCENE.heart.array).mean(axis=0, keepdims=True), SCENE.heart.grid, "kBq/mL", frame_axis="gate"
    )
    ungated = expected_counts(replace(SCENE, heart=mean), camera, view_duration_s=30, motion=motion)
    assert gated.gating is not None
    assert ungated.gating is None
    together = gated.counts.sum(axis=1)
    assert np.allclose(together, ungated.counts[:, 0], rtol=1e-3, atol=1e-3 * together.max())


@pytest.mark.parametrize("name", list(CAMERAS))
def test_counts_are_linear_in_activity_and_time(name: str) -> None:
    camera = CONVENTIONAL if name == "conventional" else CAMERAS[name]
    once = expected_counts(SCENE, camera, view_duration_s=30)
    # Neither decay nor anything else makes twice the activity give other than twice the counts.
    twice = expected_counts(_scene(heart=2, rest=2), camera, view_duration_s=30)
    assert np.allclose(twice.counts, 2 * once.counts, rtol=1e-4, atol=1e-4 * once.counts.max())
    heart = expected_counts(_scene(rest=0), camera, view_duration_s=30)
    rest = expected_counts(_scene(heart=0), camera, view_duration_s=30)
    assert np.allclose(heart.counts + rest.counts, once.counts, rtol=1e-3, atol=2e-3 * once.counts.max())


def test_the_same_seed_gives_the_same_counts_as_whole_numbers() -> None:
    rhythm = Rhythm(900, ectopy=0.05)

    def once() -> Projections:
        return acquire(SCENE, CONVENTIONAL, view_duration_s=25, beats=rhythm, rng=np.random.default_rng(4))

    first, second = once(), once()
    assert np.issubdtype(first.counts.dtype, np.integer)
    assert np.array_equal(first.counts, second.counts)
    assert first.counts.shape == (2, 4, 12, 64, 64)
    assert first.gating is not None
    assert first.gating.accepted_beats
    assert first.collimator == "SY-LEHR"


def test_rejected_beats_miss_in_the_gates_and_not_in_the_ungated_image() -> None:
    rhythm = Rhythm(900, variability=0.05, ectopy=0.15, window_percent=40)
    rng = np.random.default_rng(4)
    gated, ungated = acquire_gated_and_ungated(SCENE, CONVENTIONAL, view_duration_s=25, beats=rhythm, rng=rng)
    expected = _total(expected_counts(SCENE, CONVENTIONAL, view_duration_s=25))
    assert _total(ungated) == pytest.approx(expected, rel=0.01)
    assert _total(gated) < 0.9 * expected
    assert (ungated.counts[:, 0] >= gated.counts.sum(axis=1)).all()
    alone = acquire(SCENE, CONVENTIONAL, view_duration_s=25, beats=None, rng=rng)
    assert alone.gating is None
    assert _total(alone) == pytest.approx(expected, rel=0.01)


def test_drawn_counts_scatter_about_the_expected_ones_as_poisson() -> None:
    expected = expected_counts(SCENE, CONVENTIONAL, view_duration_s=25).counts
    beats = steady_beats(n_gates=4, n_phases=4, stop_s=np.full(6, 25.0))
    drawn = acquire(SCENE, CONVENTIONAL, view_duration_s=25, beats=beats, rng=np.random.default_rng(6)).counts
    bright = expected > 2
    z = (drawn[bright] - expected[bright]) / np.sqrt(expected[bright])
    assert abs(z.mean()) < 4 / np.sqrt(z.size)
    assert z.std() == pytest.approx(1, abs=0.02)


def test_decay_lowers_late_views_and_leaves_the_middle_as_it_is() -> None:
    exposure = expose(SCENE, CONVENTIONAL, view_duration_s=600)
    counts, _ = exposure.counts(steady_beats(n_gates=1, n_phases=4, stop_s=np.full(6, 600.0)), 600)
    rate = (exposure.heart.mean(axis=0) + exposure.rest[0]).sum(axis=(1, 2)) * 600
    share = counts[0, 0].sum(axis=(1, 2)) / rate
    start = np.arange(6) * 602.0 - (6 * 600 + 5 * 2) / 2
    assert np.allclose(share[:6], mean_share_left("Tc-99m", start, 600), rtol=1e-4)
    assert np.allclose(share[:6], share[6:], rtol=1e-4)


def _centroid_v_mm(counts: FloatArray, pixel_mm: float) -> FloatArray:
    v = (np.arange(counts.shape[-2]) - (counts.shape[-2] - 1) / 2) * pixel_mm
    profile = counts.sum(axis=-1)
    centroid: FloatArray = (profile * v).sum(axis=-1) / profile.sum(axis=-1)
    return centroid


def test_creep_moves_the_heart_up_from_view_to_view_and_not_the_body() -> None:
    motion = Motion(creep_mm=10, creep_time_s=60)

    def views(scene: Scene, motion: Motion) -> FloatArray:
        seen = expose(scene, CONVENTIONAL, view_duration_s=30, motion=motion, scatter=False).heart
        return np.asarray(seen.mean(axis=0), np.float64)

    moved, still = views(_scene(rest=0), motion), views(_scene(rest=0), AT_REST)
    rise_mm = _centroid_v_mm(still, 6.4) - _centroid_v_mm(moved, 6.4)  # v runs to the feet
    assert (np.diff(rise_mm[:6]) > 0).all()
    assert rise_mm[5] - rise_mm[0] == pytest.approx(10 * (np.exp(-15 / 60) - np.exp(-175 / 60)), rel=0.1)
    body = expose(_scene(heart=0), CONVENTIONAL, view_duration_s=30, motion=motion, scatter=False).rest
    same = expose(_scene(heart=0), CONVENTIONAL, view_duration_s=30, scatter=False).rest
    assert np.allclose(body, same, atol=1e-4 * same.max())


def test_breathing_spreads_the_heart_along_the_body_and_keeps_its_place() -> None:
    camera = CONVENTIONAL
    scene = _scene(1, rest=0)
    scene = replace(scene, attenuation=scene.attenuation.like(np.zeros(scene.attenuation.grid.shape), "air"))

    def heart(motion: Motion) -> FloatArray:
        return np.asarray(expose(scene, camera, view_duration_s=30, motion=motion, scatter=False).heart[0], np.float64)

    still, moved = heart(AT_REST), heart(Motion(breathing_si_mm=15))
    assert np.allclose(_centroid_v_mm(still, 6.4), _centroid_v_mm(moved, 6.4), atol=0.3)
    v = (np.arange(64) - 31.5) * 6.4

    def variance(views: FloatArray) -> float:
        profile = views[6].sum(axis=-1)
        mean = (profile * v).sum() / profile.sum()
        return float((profile * (v - mean) ** 2).sum() / profile.sum())

    spread = Motion(breathing_si_mm=15).breathing_spread(400)[:, 2].var()
    assert variance(moved) - variance(still) == pytest.approx(spread, rel=0.15)
    assert moved.sum() == pytest.approx(still.sum(), rel=0.01)


def test_a_shift_of_the_patient_shifts_later_views() -> None:
    motion = Motion(shifts=(Shift(95.0, (0.0, 0.0, -12.0)),))
    scene = _scene(1, rest=0)
    moved = expose(scene, CONVENTIONAL, view_duration_s=30, motion=motion, scatter=False).heart[0]
    still = expose(scene, CONVENTIONAL, view_duration_s=30, scatter=False).heart[0]
    down_mm = _centroid_v_mm(moved, 6.4) - _centroid_v_mm(still, 6.4)
    assert np.allclose(down_mm[:3] + 12, down_mm[3:6], atol=1.0)


def test_about_a_third_of_the_photons_of_a_heart_in_a_chest_are_scattered() -> None:
    """Anywhere on the detector; within the heart's outline it is less."""
    scene = _scene(rest=0)
    for name in CAMERAS:
        camera = CONVENTIONAL if name == "conventional" else CAMERAS[name]
        with_scatter = _total(expected_counts(scene, camera, view_duration_s=30))
        without = _total(expected_counts(scene, camera, view_duration_s=30, scatter=False))
        assert 0.25 < 1 - without / with_scatter < 0.40


def test_the_lower_window_tells_of_the_scatter_in_the_photopeak() -> None:
    """The triangular estimate from the lower window, within a quarter of the truth for the whole view."""
    for name in CAMERAS:
        camera = CONVENTIONAL if name == "conventional" else CAMERAS[name]
        seen = expected_counts(SCENE, camera, view_duration_s=30)
        primary = expected_counts(SCENE, camera, view_duration_s=30, scatter=False)
        estimate = _total(seen, 1) / 6 * 28 / 2
        assert estimate == pytest.approx(_total(seen) - _total(primary), rel=0.25)


def test_thallium_is_imaged_in_its_own_windows() -> None:
    thallium = expected_counts(SCENE, CONVENTIONAL, view_duration_s=30, emission=TL_201)
    assert [(w.lower_keV, w.upper_keV) for w in thallium.windows] == [(61, 83), (55, 61)]


def test_a_view_of_no_duration_is_refused() -> None:
    with pytest.raises(InvalidValue, match="positive time"):
        expected_counts(SCENE, CONVENTIONAL, view_duration_s=0)
    with pytest.raises(InvalidValue, match="phases"):
        expected_counts(
            SCENE, CONVENTIONAL, view_duration_s=5, beats=steady_beats(n_gates=8, n_phases=8, stop_s=np.full(6, 5.0))
        )
