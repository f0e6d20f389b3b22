"""The shape of the left ventricle: shape index and eccentricity. Diseased ventricles become rounder.

Shape index (Abidov et al., J Nucl Cardiol 2006;13:652): the largest short-axis diameter of the endocardium over its
length from apex to valve plane; 0.5 is slender, 1 a ball. Eccentricity: of the ellipsoid that fits the mid-wall best,
with semi-axes a >= b >= c,

    e = sqrt(1 - b c / a^2)

from 0 (a ball) towards 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from myoscope.core import InvalidValue, Surfaces
from myoscope.core.geometry import FloatArray

_LEVELS = 200  # planes in which a diameter is looked for


def shape_index(surfaces: Surfaces) -> FloatArray:
    """Largest endocardial diameter in any short-axis plane over the endocardial length; one value per gate.

    A diameter is the distance between opposite meridians at the same height on the long axis, so that it runs across
    the axis; the length is that from the endocardial apex to the valve plane along the axis.
    """
    endo = surfaces.endo_mm if surfaces.endo_mm.ndim == 4 else surfaces.endo_mm[None]
    return np.array([_shape_index(gate, surfaces) for gate in endo])


def eccentricity(semi_axes_mm: ArrayLike) -> FloatArray:
    """Eccentricity of ellipsoids from their three semi-axes in any order; shape (..., 3) to (...).

    Raises
    ------
    InvalidValue
        If a semi-axis is not positive.
    """
    axes = np.sort(np.asarray(semi_axes_mm, float), axis=-1)
    if axes.shape[-1] != 3 or not (axes > 0).all():
        raise InvalidValue("an ellipsoid has three positive semi-axes")
    e: FloatArray = np.sqrt(1 - axes[..., 0] * axes[..., 1] / axes[..., 2] ** 2)
    return e


def wall_semi_axes_mm(surfaces: Surfaces) -> FloatArray:
    """Semi-axes of the best-fitting ellipsoid of the mid-wall, shape (3,) or (gate, 3).

    The first lies along the heart's long axis, the others across it, the larger one first. Least squares of the
    quadric, every cell by its area; NaN where the wall is not shaped like an ellipsoid (its base opens like a cone).
    """
    mid = surfaces.mid_mm if surfaces.endo_mm.ndim == 4 else surfaces.mid_mm[None]
    area = surfaces.cell_area_mm2().reshape(len(mid), -1)
    found = np.stack([_semi_axes_mm(gate, w, surfaces) for gate, w in zip(mid, area, strict=True)])
    return found if surfaces.endo_mm.ndim == 4 else found[0]


def _shape_index(endo: FloatArray, surfaces: Surfaces) -> float:
    heart = surfaces.frame.to_heart(endo)
    height = heart[..., 2]
    apex, rim = float(height[0, 0]), height[-1]
    levels = np.linspace(float(rim.max()), apex, _LEVELS, endpoint=False)
    # Heights fall from apex to base; every meridian is read at the same ones.
    places = np.stack(
        [[np.interp(-levels, -height[:, a], heart[:, a, axis]) for a in range(height.shape[1])] for axis in (0, 1)],
        axis=-1,
    )  # (angle, level, 2)
    across = places - np.roll(places, height.shape[1] // 2, axis=0)
    return float(np.linalg.norm(across, axis=-1).max() / (apex - float(rim.mean())))


def _semi_axes_mm(mid: FloatArray, area: FloatArray, surfaces: Surfaces) -> FloatArray:
    following = np.roll(mid, -1, axis=1)
    centres = 0.25 * (mid[:-1] + mid[1:] + following[:-1] + following[1:])
    x, y, z = surfaces.frame.to_heart(centres).reshape(-1, 3).T / 30.0
    # A x2 + B y2 + C xy + D z2 + E x + F y + G z = 1: upright on the long axis, free across it.
    terms = np.stack([x * x, y * y, x * y, z * z, x, y, z], axis=1)
    root = np.sqrt(area / area.sum())
    a, b, c, d, e, f, g = np.linalg.lstsq(terms * root[:, None], root, rcond=None)[0]
    across = np.array([[a, c / 2], [c / 2, b]])
    bend = np.linalg.eigvalsh(across)
    if not (bend.min() > 0 and d > 0):
        return np.full(3, np.nan)
    linear = np.array([e, f])
    level = 1 + 0.25 * linear @ np.linalg.solve(across, linear) + g * g / (4 * d)
    axes: FloatArray = 30.0 * np.sqrt(level / np.array([d, bend[0], bend[1]]))
    return axes
