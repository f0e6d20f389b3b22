import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from myoscope.core import InvalidValue
from myoscope.quantify import MapNoise, noise_from_gates, noise_from_halves

LEVEL = 200.0 + 100 * np.cos(np.linspace(0, 2 * np.pi, 72))[None] * np.ones((40, 1))


def correlated(rng: np.random.Generator, n: int, waves: float = 2.2) -> np.ndarray:
    """Noise of unit variance, correlated over some cells, as images have it."""
    fields = np.stack(
        [gaussian_filter(rng.standard_normal((40, 72)), waves, mode=("nearest", "wrap")) for _ in range(n)]
    )
    scaled: np.ndarray = fields / fields.std()
    return scaled


def test_halves_tell_the_noise_of_the_whole() -> None:
    rng = np.random.default_rng(1)
    sd = 0.5 * np.sqrt(LEVEL)
    halves = [LEVEL / 2 + sd / np.sqrt(2) * correlated(rng, 1)[0] for _ in range(2)]
    drawn = noise_from_halves(*halves, value=LEVEL).drawn(LEVEL, 400, rng=rng)
    # As large as it is everywhere, more where there are more counts, and as correlated.
    assert drawn.std() == pytest.approx(sd.mean(), rel=0.15)
    assert drawn[:, :, :6].std() / drawn[:, :, 33:39].std() == pytest.approx(np.sqrt(3), rel=0.1)
    neighbours = (drawn[..., :-2] * drawn[..., 2:]).mean() / (drawn**2).mean()
    assert 0.5 < neighbours < 0.95


def test_gates_tell_the_noise_of_their_sum_apart_from_the_beat() -> None:
    rng = np.random.default_rng(2)
    beat = 1 + 0.3 * np.cos(2 * np.pi * (np.arange(16) + 0.5) / 16 - 2.3)
    gates = LEVEL * beat[:, None, None] / 16 + 1.5 * correlated(rng, 16)
    noise = noise_from_gates(gates)
    assert noise.drawn(gates.sum(0), 300, rng=rng).std() == pytest.approx(1.5 * 4, rel=0.15)
    still = noise_from_gates(LEVEL * beat[:, None, None] / 16)
    assert still.relative(LEVEL) < 1e-10


def test_eight_gates_are_needed() -> None:
    with pytest.raises(InvalidValue, match="8 gates or more, not in 6"):
        noise_from_gates(np.ones((6, 40, 72)))


def test_noise_is_as_relative_as_it_is() -> None:
    pattern = np.random.default_rng(4).standard_normal((5, 40, 72))
    assert MapNoise(pattern, "x").relative(np.full((40, 72), 100.0)) == pytest.approx(0.1, rel=0.02)
