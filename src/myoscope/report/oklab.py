"""Colours by how they look: lightness, chroma and hue in OKLab (B. Ottosson, 2020), as a screen can show them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
Palette = NDArray[np.uint8]


def oklab_colours(lightness: ArrayLike, chroma: ArrayLike, hue_deg: ArrayLike) -> Palette:
    """Red, green and blue (n, 3) of colours of given lightness (0 to 1), chroma and hue.

    Colours that a screen cannot show lose chroma, never lightness.
    """
    light, strength, hue = np.broadcast_arrays(
        np.asarray(lightness, float), np.asarray(chroma, float), np.radians(np.asarray(hue_deg, float))
    )
    for _ in range(60):
        linear = _to_linear_rgb(light, strength * np.cos(hue), strength * np.sin(hue))
        outside = ((linear < -1e-4) | (linear > 1 + 1e-4)).any(axis=1)
        if not outside.any():
            break
        strength = np.where(outside, strength * 0.96, strength)
    linear = np.clip(linear, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    colours: Palette = np.round(255 * encoded).astype(np.uint8)
    return colours


def _to_linear_rgb(lightness: FloatArray, a: FloatArray, b: FloatArray) -> FloatArray:
    """Linear sRGB of OKLab colours, after Ottosson's matrices; shape (n, 3)."""
    cone = (
        np.stack(
            [
                lightness + 0.3963377774 * a + 0.2158037573 * b,
                lightness - 0.1055613458 * a - 0.0638541728 * b,
                lightness - 0.0894841775 * a - 1.2914855480 * b,
            ],
            axis=1,
        )
        ** 3
    )
    to_rgb = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    linear: FloatArray = cone @ to_rgb.T
    return linear
