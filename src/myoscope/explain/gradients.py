"""Attribution by gradients: integrated gradients and gradient SHAP (by captum).

Integrated gradients (Sundararajan et al., ICML 2017) follow the straight line from the baseline to the input and add up
to the difference of the answers, up to the steps of the line. Gradient SHAP (Lundberg and Lee 2017) averages over
several baselines and noise; it adds up on average only. Needs a network of torch, not just a callable.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from myoscope.core import Explanation

if TYPE_CHECKING:
    from torch import Tensor

Network = Callable[["Tensor"], "Tensor"]
"""Takes maps (n, channel, ring, angle) and gives one number each (n,), differentiable."""


def integrated_gradients(
    network: Network,
    maps: NDArray[Any],
    baseline: NDArray[Any],
    *,
    target: str,
    baseline_name: str,
    steps: int = 64,
    model_card: str = "",
) -> Explanation:
    """Attribution of each cell of each map (channel, ring, angle); cells that were not seen get nothing."""
    from captum.attr import IntegratedGradients

    asked, start, end = _line(network, maps, baseline)
    attribution, delta = IntegratedGradients(asked).attribute(
        end, baselines=start, n_steps=steps, method="gausslegendre", return_convergence_delta=True
    )
    return Explanation(
        attribution=attribution[0].detach().numpy().astype(np.float64),
        input_shape=maps.shape,
        method="integrated gradients",
        target=target,
        baseline=baseline_name,
        # Captum's delta is the sum of the attributions less the difference of the answers.
        completeness_gap=-float(delta[0]),
        model_card=model_card,
    )


def gradient_shap(
    network: Network,
    maps: NDArray[Any],
    baselines: NDArray[Any],
    *,
    target: str,
    baseline_name: str,
    rng: np.random.Generator,
    samples: int = 32,
    noise: float = 0.0,
    model_card: str = "",
) -> Explanation:
    """The same averaged over random ``baselines`` (n, channel, ring, angle) and places on the line to each.

    ``noise`` is the standard deviation added to the input, in its own units.
    """
    import torch
    from captum.attr import GradientShap

    asked, _, end = _line(network, maps, baselines[0])
    starts = torch.from_numpy(np.where(np.isfinite(maps), baselines, 0.0).astype(np.float32))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**31)))
        # Captum draws baselines and places with numpy's global generator, which is put back afterwards.
        before = np.random.get_state()  # noqa: NPY002
        np.random.seed(int(rng.integers(2**31)))  # noqa: NPY002
        try:
            attribution = GradientShap(asked).attribute(end, baselines=starts, n_samples=samples, stdevs=noise)
        finally:
            np.random.set_state(before)  # noqa: NPY002
    found = attribution[0].detach().numpy().astype(np.float64)
    with torch.no_grad():
        difference = float(asked(end)[0] - asked(starts).mean())
    return Explanation(
        attribution=found,
        input_shape=maps.shape,
        method="gradient SHAP",
        target=target,
        baseline=baseline_name,
        completeness_gap=difference - float(found.sum()),
        model_card=model_card,
    )


def _line(network: Network, maps: NDArray[Any], baseline: NDArray[Any]) -> tuple[Network, Tensor, Tensor]:
    """The network with missing cells put back, and both ends of the line with numbers in their place."""
    import torch

    missing = torch.from_numpy(~np.isfinite(maps))
    start, end = (
        torch.from_numpy(np.where(np.isfinite(maps), values, 0.0).astype(np.float32))[None]
        for values in (baseline, maps)
    )

    def asked(values: Tensor) -> Tensor:
        return network(torch.where(missing, torch.full((), float("nan")), values))

    return asked, start, end
