"""The median root prior leaves what is its own median, and pulls what stands alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from myoscope.core import InvalidValue
from myoscope.reconstruct import ReconstructionSettings
from myoscope.reconstruct.median_prior import median_27, towards_median


def test_what_is_its_own_median_stays() -> None:
    step = torch.ones(9, 9, 9)
    step[5:] = 4.0
    torch.testing.assert_close(towards_median(step, 0.8), step)
    torch.testing.assert_close(towards_median(torch.zeros(5, 5, 5), 0.8), torch.zeros(5, 5, 5))


def test_a_voxel_that_stands_alone_is_drawn_to_its_neighbours() -> None:
    image = torch.full((7, 7, 7), 2.0)
    image[3, 3, 3], image[1, 1, 1] = 4.0, 1.0
    pulled = towards_median(image, 0.5)
    assert float(pulled[3, 3, 3]) == pytest.approx(4 / 1.5)
    assert float(pulled[1, 1, 1]) == pytest.approx(1 / 0.75)
    assert float((pulled != image).sum()) == 2


def test_images_of_a_batch_do_not_see_each_other_and_nothing_turns_negative() -> None:
    batch = torch.rand(3, 6, 5, 4, generator=torch.Generator().manual_seed(1)) ** 4
    together = towards_median(batch, 0.99)
    torch.testing.assert_close(together, torch.stack([towards_median(one, 0.99) for one in batch]))
    assert bool((together >= 0).all() and torch.isfinite(together).all())


@pytest.mark.parametrize("shape", [(40, 33, 50), (5, 1, 2), (1, 1, 1)])
def test_the_median_is_that_of_a_rank_filter_ties_and_borders_included(shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(7)
    for volume in (rng.random(shape, np.float32), rng.integers(0, 4, shape).astype(np.float64)):
        expected = ndimage.median_filter(volume, size=3, mode="nearest")
        np.testing.assert_array_equal(median_27(volume, tuple(slice(0, n) for n in shape)), expected)  # type: ignore[arg-type]
    box = (slice(1, 5), slice(0, 1), slice(0, 2))
    inside = ndimage.median_filter(volume, size=3, mode="nearest")[box]
    np.testing.assert_array_equal(median_27(volume, box) if shape[0] > 5 else inside, inside)


@pytest.mark.parametrize(("weight", "method"), [(1.0, "osem"), (-0.1, "osem"), (0.3, "mlem"), (0.3, "fbp")])
def test_a_prior_that_cannot_be_is_refused(weight: float, method: str) -> None:
    with pytest.raises(InvalidValue, match="median prior"):
        ReconstructionSettings(method=method, median_prior=weight)  # type: ignore[arg-type]
