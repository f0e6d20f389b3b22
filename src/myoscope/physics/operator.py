"""The one contract of every camera: images in, expected counts out, and the exact way back.

A projector is linear. `Projector.forward` takes activity in kBq/mL to expected counts per second in every detector
pixel: sensitivity, photon abundance and voxel volume are inside. `Projector.adjoint` is its exact transpose, which
is all that iterative reconstruction needs. Both are differentiable, each being the other's gradient.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from myoscope.core import Grid, InvalidValue

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Projector(ABC):
    """Expected counts per second of one camera, at all its views, from an image in kBq/mL on ``grid``.

    ``detector_shape`` is (v, u) pixels. A camera supplies the two directions `_project` and `_back_project` and
    the choice of views; checking and differentiation are done here, once.
    """

    grid: Grid
    n_views: int
    detector_shape: tuple[int, int]

    def forward(self, image: Tensor) -> Tensor:
        """Expected counts per second, shape (..., view, v, u), of images (..., i, j, k) in kBq/mL.

        Leading axes are a batch of any shape: gates, patients. float32; differentiable.

        Raises
        ------
        InvalidValue
            If the image is not float32 on the projector's grid.
        """
        self._check(image, self.grid.shape, "an image (..., i, j, k)")
        result: Tensor = _linear().apply(image, self._project, self._back_project)
        return result

    def adjoint(self, data: Tensor) -> Tensor:
        """The transpose of `forward`: data (..., view, v, u) to images (..., i, j, k).

        Raises
        ------
        InvalidValue
            If the data are not float32 of the camera's views and pixels.
        """
        self._check(data, (self.n_views, *self.detector_shape), "projection data (..., view, v, u)")
        result: Tensor = _linear().apply(data, self._back_project, self._project)
        return result

    @abstractmethod
    def subset(self, views: Sequence[int]) -> Projector:
        """The same camera with some of its views, in the order given; shares memory."""

    @abstractmethod
    def to(self, device: str | torch.device) -> Projector:
        """The same projector with its tables on another device."""

    @abstractmethod
    def _project(self, image: Tensor) -> Tensor:
        """`forward` for an image that has been checked, without gradient."""

    @abstractmethod
    def _back_project(self, data: Tensor) -> Tensor:
        """`adjoint` for data that have been checked, without gradient."""

    def _chosen(self, views: Sequence[int]) -> list[int]:
        chosen = [int(v) for v in views]
        if not chosen or min(chosen) < 0 or max(chosen) >= self.n_views:
            raise InvalidValue(f"views of a subset are numbers from 0 to {self.n_views - 1}, got {chosen}")
        return chosen

    def _check(self, values: Tensor, shape: tuple[int, ...], what: str) -> None:
        import torch

        if tuple(values.shape[-3:]) != tuple(shape):
            raise InvalidValue(f"{what} of this projector ends in {tuple(shape)}, got {tuple(values.shape)}")
        if values.dtype != torch.float32:
            raise InvalidValue(f"a projector works in float32, got {values.dtype}")


@cache
def _linear() -> Any:
    """A linear map as an autograd function: (values, map, its transpose)."""
    import torch

    class Linear(torch.autograd.Function):
        @staticmethod
        def forward(
            ctx: Any, values: Tensor, there: Callable[[Tensor], Tensor], back: Callable[[Tensor], Tensor]
        ) -> Tensor:
            ctx.there, ctx.back = there, back
            return there(values)

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
            return Linear.apply(gradients[0].contiguous(), ctx.back, ctx.there), None, None  # type: ignore[no-untyped-call]

    return Linear
