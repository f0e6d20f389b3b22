"""MLEM and OSEM against laws that hold for any projector."""

import numpy as np
import pytest
import torch
from dense_projector import DenseProjector

from myoscope.core import InvalidValue
from myoscope.reconstruct import Measurement, log_likelihood, mlem, ordered_subsets, osem

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def projector() -> DenseProjector:
    return DenseProjector.random()


def noisy(projector: DenseProjector, *, batch: tuple[int, ...] = (), mean: float = 40) -> torch.Tensor:
    rng = np.random.default_rng(7)
    image = torch.tensor(rng.exponential(size=(*batch, *projector.grid.shape)), dtype=torch.float32)
    expected = projector.forward(image)
    return torch.tensor(rng.poisson((expected * mean / expected.mean()).numpy()), dtype=torch.float32)


def test_no_mlem_step_lowers_the_likelihood(projector: DenseProjector) -> None:
    counts = noisy(projector)
    scatter = 0.3 * counts.mean().expand(counts.shape)
    seen = torch.ones(counts.shape, dtype=torch.bool)
    seen[3, 2:4] = False
    measured = Measurement(counts, torch.linspace(1, 2, 12), scatter, seen)
    image = mlem(measured, projector, iterations=1)
    likelihood = log_likelihood(image, measured, projector)
    for _ in range(30):
        image = mlem(measured, projector, iterations=1, start=image)
        after = log_likelihood(image, measured, projector)
        assert after >= likelihood - 1e-6 * abs(likelihood)
        likelihood = after


def test_every_mlem_step_expects_as_many_counts_as_were_measured(projector: DenseProjector) -> None:
    counts = noisy(projector)
    duration_s = torch.linspace(5, 9, 12)
    for iterations in (1, 2, 9):
        image = mlem(Measurement(counts, duration_s), projector, iterations=iterations)
        expected = projector.forward(image) * duration_s[:, None, None]
        assert float(expected.sum()) == pytest.approx(float(counts.sum()), rel=1e-5)


def test_osem_with_one_subset_is_mlem(projector: DenseProjector) -> None:
    measured = Measurement(noisy(projector))
    torch.testing.assert_close(
        osem(measured, projector, iterations=4, subsets=1), mlem(measured, projector, iterations=4)
    )


def test_exact_counts_give_the_image_back(projector: DenseProjector) -> None:
    rng = np.random.default_rng(3)
    truth = torch.tensor(rng.uniform(0.5, 2, projector.grid.shape), dtype=torch.float32)
    measured = Measurement(projector.forward(truth))
    torch.testing.assert_close(osem(measured, projector, iterations=60, subsets=6), truth, rtol=0.03, atol=0.02)


def test_gates_reconstructed_together_are_the_gates_reconstructed_alone(projector: DenseProjector) -> None:
    counts = noisy(projector, batch=(2, 3))
    together = osem(Measurement(counts), projector, iterations=3, subsets=4)
    assert together.shape == (2, 3, *projector.grid.shape)
    alone = osem(Measurement(counts[1, 2]), projector, iterations=3, subsets=4)
    torch.testing.assert_close(together[1, 2], alone, rtol=1e-4, atol=1e-6)


def test_known_scatter_is_not_reconstructed_as_activity(projector: DenseProjector) -> None:
    truth = torch.tensor(np.random.default_rng(4).uniform(0.5, 2, projector.grid.shape), dtype=torch.float32)
    primary = projector.forward(truth)
    scatter = 0.4 * primary.mean().expand(primary.shape)
    corrected = osem(Measurement(primary + scatter, scatter=scatter), projector, iterations=40, subsets=6)
    plain = osem(Measurement(primary + scatter), projector, iterations=40, subsets=6)
    assert float((corrected - truth).abs().mean()) < 0.03
    assert float((plain - truth).mean()) > 0.1


def test_dead_pixels_and_lost_views_do_not_change_what_the_others_say(projector: DenseProjector) -> None:
    truth = torch.tensor(np.random.default_rng(5).uniform(0.5, 2, projector.grid.shape), dtype=torch.float32)
    counts = projector.forward(truth)
    seen = torch.ones(counts.shape, dtype=torch.bool)
    seen[4], seen[:, 3, 2] = False, False
    image = osem(Measurement(counts * seen, seen=seen), projector, iterations=60, subsets=4)
    torch.testing.assert_close(image, truth, rtol=0.05, atol=0.03)


def test_a_voxel_that_one_subset_cannot_see_is_left_to_the_others() -> None:
    projector = DenseProjector.random()
    projector.matrix[::4, :, 7] = 0  # no view of one of four subsets sees voxel 7
    truth = torch.ones(projector.grid.shape)
    image = osem(Measurement(projector.forward(truth)), projector, iterations=60, subsets=4)
    torch.testing.assert_close(image, truth, rtol=0.03, atol=0.03)


def test_a_gate_without_counts_is_an_empty_image(projector: DenseProjector) -> None:
    counts = noisy(projector, batch=(2,))
    counts[1] = 0
    image = osem(Measurement(counts), projector, iterations=2, subsets=3)
    assert float(image[0].sum()) > 0
    assert float(image[1].abs().max()) == 0


def test_progress_rises_from_0_to_1(projector: DenseProjector) -> None:
    told: list[float] = []
    osem(Measurement(noisy(projector)), projector, iterations=2, subsets=4, progress=lambda _, f: told.append(f))
    assert told[0] == 0
    assert told[-1] == 1
    assert told == sorted(told)


def test_subsets_hold_every_view_once_and_neighbours_in_time_lie_far_apart() -> None:
    for n_views, subsets in ((60, 8), (64, 8), (19, 4), (30, 7), (5, 5)):
        parts = ordered_subsets(n_views, subsets)
        assert sorted(v for part in parts for v in part) == list(range(n_views))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert [part[0] for part in ordered_subsets(64, 8)] == [0, 4, 2, 6, 1, 5, 3, 7]


def test_what_cannot_be_reconstructed_is_refused_in_words(projector: DenseProjector) -> None:
    counts = noisy(projector)
    with pytest.raises(InvalidValue, match="no counts"):
        mlem(Measurement(counts * 0), projector, iterations=2)
    with pytest.raises(InvalidValue, match="at least one iteration"):
        mlem(Measurement(counts), projector, iterations=0)
    with pytest.raises(InvalidValue, match="do not fit"):
        mlem(Measurement(counts[:5]), projector, iterations=2)
    with pytest.raises(InvalidValue, match="subsets"):
        osem(Measurement(counts), projector, iterations=2, subsets=13)
    with pytest.raises(InvalidValue, match="durations"):
        Measurement(counts, torch.ones(3))
