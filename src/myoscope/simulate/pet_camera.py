"""What a PET camera makes of activity, in image space: resolution, counting noise and decay.

A PET reconstruction is nearly linear in its activity, so images are made without projections: activity is blurred by
the camera's resolution and noise of the right size and grain is added. The noise of a frame of length d, whose decayed
mean activity is A (kBq/mL) with the mean B over the body, has at each voxel the variance

    sigma^2 = s^2 D^2 (w A + (1 - w) B) (1 + B / R) / d

s^2 (kBq s/mL) is the camera's constant, w the share of noise that follows the voxel's own activity (images from
iterative algorithms are noisier where they are hotter), D the factor that corrects the frame's decay, and B / R what
random coincidences add when activity is high. Noise of neighbouring voxels is correlated over ``noise_fwhm_mm``. Noise
is Gaussian and not Poisson, so that cold voxels can come out below 0, as they do after corrected sinograms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from myoscope.core import Grid, InvalidValue
from myoscope.core.geometry import FloatArray

Array = NDArray[np.float32]
_FWHM_PER_SIGMA = float(np.sqrt(8 * np.log(2)))


@dataclass(frozen=True, slots=True)
class PetCamera:
    """Resolution and noise of a camera with its usual reconstruction.

    ``fwhm_mm`` is the resolution of the image, ``noise_kBq_s_mL`` the constant s^2 of the noise, ``own_share`` w and
    ``randoms_kBq_mL`` R; see the head of this file. The defaults are those of a clinical three-dimensional scanner with
    a filter, set so that a virtual rubidium study looks and scatters like clinical ones.
    """

    fwhm_mm: float = 7.0
    noise_fwhm_mm: float = 7.5
    noise_kBq_s_mL: float = 16.0
    own_share: float = 0.5
    randoms_kBq_mL: float = 60.0

    def __post_init__(self) -> None:
        if min(self.fwhm_mm, self.noise_fwhm_mm) <= 0 or self.noise_kBq_s_mL < 0 or self.randoms_kBq_mL <= 0:
            raise InvalidValue(f"a camera has a resolution and a level of noise, got {self}")
        if not 0 <= self.own_share <= 1:
            raise InvalidValue(f"the share of noise that follows a voxel lies from 0 to 1, got {self.own_share:g}")

    def blurred(self, image: Array, grid: Grid, *, also_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Array:
        """The image at the camera's resolution; motion adds ``also_mm`` (standard deviations along LPS) to it."""
        from scipy.ndimage import gaussian_filter

        sigma = np.hypot(self.fwhm_mm / _FWHM_PER_SIGMA, also_mm) / grid.spacing_mm
        return np.asarray(gaussian_filter(image, sigma, mode="nearest", truncate=3.5), np.float32)

    def variance(
        self, decayed: Array, *, duration_s: float, decay_factor: float, body_kBq_mL: float
    ) -> NDArray[np.float32]:
        """Variance of a decay-corrected frame at every voxel, (kBq/mL)^2, for its decayed mean activity (kBq/mL)."""
        local = self.own_share * np.maximum(decayed, 0) + (1 - self.own_share) * body_kBq_mL
        randoms = 1 + body_kBq_mL / self.randoms_kBq_mL
        return np.asarray(self.noise_kBq_s_mL * decay_factor**2 * randoms / duration_s * local, np.float32)

    def grain(self, grid: Grid, *, rng: np.random.Generator) -> Array:
        """A field of noise of variance 1 at every voxel, correlated as the camera's noise is."""
        sigma = self.noise_fwhm_mm / _FWHM_PER_SIGMA / grid.spacing_mm
        white = np.fft.rfftn(rng.standard_normal(grid.shape).astype(np.float32))
        squared = np.zeros(())
        transfer = np.ones(())
        for axis, (n, s) in enumerate(zip(grid.shape, sigma, strict=True)):
            frequency = np.fft.rfftfreq(n) if axis == 2 else np.fft.fftfreq(n)
            shape = [1, 1, 1]
            shape[axis] = len(frequency)
            transfer = transfer * np.exp(-2 * (np.pi * frequency * s) ** 2).reshape(shape)
            # By Parseval, axis by axis: the variance that a filter leaves of white noise.
            whole = np.exp(-4 * (np.pi * np.fft.fftfreq(n) * s) ** 2).mean()
            squared = squared * whole if axis else whole
        field = np.fft.irfftn(white * transfer, grid.shape, axes=(0, 1, 2))
        return np.asarray(field / np.sqrt(squared), np.float32)


def moved(image: Array, grid: Grid, by_mm: FloatArray) -> Array:
    """The content of an image displaced by a vector (LPS mm), by the Fourier shift theorem.

    Exact for images that the camera's resolution has smoothed. The grid is axis-aligned; what leaves on one side would
    come in on the other, so that shifts are small against the image.
    """
    shift = np.asarray(by_mm, float) / np.diag(grid.affine[:3, :3])
    if not np.any(np.abs(shift) > 1e-6):
        return image
    turned = np.fft.rfftn(image)
    for axis, n in enumerate(grid.shape):
        frequency = np.fft.rfftfreq(n) if axis == 2 else np.fft.fftfreq(n)
        shape = [1, 1, 1]
        shape[axis] = len(frequency)
        turned = turned * np.exp(-2j * np.pi * frequency * shift[axis]).reshape(shape)
    return np.asarray(np.fft.irfftn(turned, grid.shape, axes=(0, 1, 2)), np.float32)
