"""Maximum-likelihood expectation maximisation, after Shepp & Vardi, IEEE Trans Med Imaging 1982, and Lange & Carson,
J Comput Assist Tomogr 1984.

Counts y are Poisson with mean  t (A x) + s : the projector A knows of attenuation and response, t is how long each
view lasted, s what is expected from scatter. One step multiplies the image by the back-projected ratio of measured to
expected counts over the sensitivity; no step lowers the likelihood, and without s every step keeps the counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from myoscope.core import InvalidValue

if TYPE_CHECKING:
    from torch import Tensor

    from myoscope.physics.operator import Projector

Progress = Callable[[str, float], None]
"""Called with what is being done and the fraction that is behind us, 0 to 1."""

# Voxels that see less than this share of the best-seen one's counts hold no information, only noise.
_SEEN_AT_LEAST = 1e-3
_EXPECTED_AT_LEAST = 1e-3  # of the mean count of a pixel


@dataclass(frozen=True, eq=False, slots=True)
class Measurement:
    """What a camera counted, and what is known about it besides the projector.

    ``counts`` (..., view, v, u), leading axes are gates or patients. ``duration_s`` (view,): how long each view lasted;
    None = the counts are rates. ``scatter`` (broadcasts to counts): expected counts that are not primary photons.
    ``seen`` (view, v, u) is False where a detector pixel is dead or a view was lost; None = all are good.
    """

    counts: Tensor
    duration_s: Tensor | None = None
    scatter: Tensor | None = None
    seen: Tensor | None = None

    def __post_init__(self) -> None:
        if self.counts.ndim < 3:
            raise InvalidValue(f"counts have axes (..., view, v, u), got shape {tuple(self.counts.shape)}")
        n_views = self.counts.shape[-3]
        if self.duration_s is not None and tuple(self.duration_s.shape) != (n_views,):
            raise InvalidValue(f"{n_views} views need as many durations, got {tuple(self.duration_s.shape)}")
        if self.seen is not None and tuple(self.seen.shape) != tuple(self.counts.shape[-3:]):
            raise InvalidValue("the map of good pixels has the shape (view, v, u) of the counts")

    def views(self, chosen: list[int]) -> Measurement:
        """The same for some views only."""
        return Measurement(
            self.counts[..., chosen, :, :],
            None if self.duration_s is None else self.duration_s[chosen],
            None if self.scatter is None else self.scatter.expand(self.counts.shape)[..., chosen, :, :],
            None if self.seen is None else self.seen[chosen],
        )

    def weight(self) -> Tensor:
        """Seconds that each pixel looked, shape (view, v, u): 0 where it is dead."""
        import torch

        weight = torch.ones(self.counts.shape[-3:], dtype=torch.float32, device=self.counts.device)
        if self.duration_s is not None:
            weight = weight * self.duration_s.to(weight)[:, None, None]
        return weight if self.seen is None else weight * self.seen


def mlem(
    measured: Measurement,
    projector: Projector,
    *,
    iterations: int,
    start: Tensor | None = None,
    progress: Progress | None = None,
) -> Tensor:
    """The image (..., i, j, k) after ``iterations`` steps of MLEM, in the projector's unit (kBq/mL).

    ``start`` is the first guess; None = the same value in every voxel that the camera sees, with the measured counts.
    Voxels that are zero at the start stay zero. Batched: each leading index is an image of its own.

    Raises
    ------
    InvalidValue
        If counts and projector do not match, there is no count at all, or less than one iteration is asked for.
    """
    check(measured, projector, iterations)
    weight = measured.weight()
    sensitivity = projector.adjoint(weight)
    image = uniform_start(measured, sensitivity) if start is None else start
    for n in range(iterations):
        if progress:
            progress("MLEM", n / iterations)
        image = em_step(image, measured, projector, weight, sensitivity)
    if progress:
        progress("MLEM", 1.0)
    return image


def em_step(image: Tensor, measured: Measurement, projector: Projector, weight: Tensor, sensitivity: Tensor) -> Tensor:
    """One multiplicative update; ``sensitivity`` is the adjoint of ``weight``."""
    import torch

    expected = projector.forward(image) * weight
    if measured.scatter is not None:
        expected = expected + measured.scatter
    # Counts in a pixel that expects next to none (less than the rounding of the projector) must not blow the image up.
    least = _EXPECTED_AT_LEAST * measured.counts.mean(dim=(-3, -2, -1), keepdim=True).clamp_min(1e-6)
    ratio = measured.counts / expected.clamp_min(least) * (weight > 0)
    back = projector.adjoint(ratio * weight)
    # A voxel that these views hardly see stays as it is: other views will tell.
    seen = sensitivity > _SEEN_AT_LEAST * sensitivity.max()
    return torch.where(seen, image * back / sensitivity.clamp_min(1e-30), image)


def log_likelihood(image: Tensor, measured: Measurement, projector: Projector) -> Tensor:
    """Poisson log-likelihood of the counts given the image, up to a constant; one value per leading index (float64)."""
    weight = measured.weight()
    expected = projector.forward(image) * weight
    if measured.scatter is not None:
        expected = expected + measured.scatter
    good = weight > 0
    mean = expected.double().clamp_min(1e-12)
    each = (measured.counts.double() * mean.log() - mean) * good
    return each.sum(dim=(-3, -2, -1))


def uniform_start(measured: Measurement, sensitivity: Tensor) -> Tensor:
    """The same positive value in every voxel that is seen, such that the expected counts are those measured."""
    counts = measured.counts if measured.seen is None else measured.counts * measured.seen
    total = counts.sum(dim=(-3, -2, -1))
    if measured.scatter is not None:
        scatter = measured.scatter.expand(measured.counts.shape)
        scatter = scatter if measured.seen is None else scatter * measured.seen
        total = (total - scatter.sum(dim=(-3, -2, -1))).clamp_min(1e-3 * total)
    seen = (sensitivity > _SEEN_AT_LEAST * sensitivity.max()).to(sensitivity)
    value = total / (sensitivity * seen).sum()
    return seen * value[..., None, None, None]


def check(measured: Measurement, projector: Projector, iterations: int) -> None:
    """Refuse what cannot be reconstructed."""
    if iterations < 1:
        raise InvalidValue(f"at least one iteration is needed, got {iterations}")
    shape = (projector.n_views, *projector.detector_shape)
    if tuple(measured.counts.shape[-3:]) != shape:
        raise InvalidValue(
            f"counts of shape {tuple(measured.counts.shape[-3:])} do not fit a projector of {shape} (view, v, u)"
        )
    if not float(measured.counts.sum()) > 0:
        raise InvalidValue("the projections hold no counts")
