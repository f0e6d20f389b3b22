"""Two halves of the counts of one acquisition: what tells the noise of the image that all of them make.

Each photon goes to one half or the other by the toss of a coin, so that the halves are two independent acquisitions of
half the time (for Poisson counts exactly so). The difference of their images has the noise of the image of all counts.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from myoscope.core import Projections


def split_counts(projections: Projections, *, rng: np.random.Generator) -> tuple[Projections, Projections] | None:
    """Both halves of a set of projections; None where its pixels are not counted photons."""
    counts = np.asarray(projections.counts)
    whole = np.rint(counts)
    if counts.min(initial=0) < 0 or not np.allclose(counts, whole, atol=1e-3):
        return None
    first = rng.binomial(whole.astype(np.int64), 0.5)
    halves = (first, whole - first)
    one, other = (
        replace(projections, counts=half.astype(np.float32), made_by=(*projections.made_by, "half of the counts"))
        for half in halves
    )
    return one, other
