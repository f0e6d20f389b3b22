"""Ordered subsets: an MLEM step from some of the views at a time, after Hudson & Larkin, IEEE Trans Med Imaging 1994.

Subsets are interleaved, and each next one lies as far as possible from those already used (as Guan & Gordon, Phys
Med Biol 1994, order views), so that a few passes do what tens of MLEM steps do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from myoscope.core import InvalidValue
from myoscope.reconstruct.median_prior import towards_median
from myoscope.reconstruct.mlem import Measurement, Progress, check, em_step, uniform_start

if TYPE_CHECKING:
    from torch import Tensor

    from myoscope.physics.operator import Projector


def osem(
    measured: Measurement,
    projector: Projector,
    *,
    iterations: int,
    subsets: int,
    median_prior: float = 0.0,
    start: Tensor | None = None,
    progress: Progress | None = None,
) -> Tensor:
    """The image (..., i, j, k) after ``iterations`` passes over ``subsets`` subsets, in the projector's unit (kBq/mL).

    ``median_prior`` (0 to less than 1) draws the image to its local medians after every pass (`towards_median`).
    ``start`` is the first guess; None = the same value in every voxel that the camera sees. Views are taken to lie
    in the order of their angles. Batched: each leading index is an image of its own.

    Raises
    ------
    InvalidValue
        If counts and projector do not match, there is no count at all, or there are more subsets than views.
    """
    check(measured, projector, iterations)
    parts = []
    for chosen in ordered_subsets(projector.n_views, subsets):
        part = measured.views(chosen)
        weight = part.weight()
        if not bool((weight > 0).any()):
            continue
        some = projector.subset(chosen)
        parts.append((part, some, weight, some.adjoint(weight)))
    sensitivity = sum((part[3] for part in parts[1:]), parts[0][3])
    image = uniform_start(measured, sensitivity) if start is None else start
    for n in range(iterations):
        for m, (part, some, weight, share) in enumerate(parts):
            if progress:
                progress("OSEM", (n + m / len(parts)) / iterations)
            image = em_step(image, part, some, weight, share)
        if median_prior > 0:
            image = towards_median(image, median_prior)
    if progress:
        progress("OSEM", 1.0)
    return image


def ordered_subsets(n_views: int, subsets: int) -> list[list[int]]:
    """View numbers of each subset, in the order of use.

    >>> ordered_subsets(8, 4)
    [[0, 4], [2, 6], [1, 5], [3, 7]]
    """
    if not 1 <= subsets <= n_views:
        raise InvalidValue(f"{n_views} views make 1 to {n_views} subsets, not {subsets}")

    def apart(one: int, two: int) -> int:
        return min((one - two) % subsets, (two - one) % subsets)

    order = [0]
    left = list(range(1, subsets))
    while left:
        # Far from every subset used so far, then from the recent ones.
        best = max(left, key=lambda m: (min(apart(m, used) for used in order), apart(m, order[-1]), -m))
        order.append(best)
        left.remove(best)
    return [list(range(first, n_views, subsets)) for first in order]
