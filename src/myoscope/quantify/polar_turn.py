"""By how much the heart of one polar map is turned about its long axis against that of another, and turning it back.

The long axis of a ventricle is told well by its image, its turn about that axis hardly: it comes from how the patient
lies. Two maps of one heart are laid upon one another by the turn at which most of the wall agrees. A changed part of
the wall counts no more beyond a few deviations (Tukey's biweight), so that it does not pull the other map along, and
hearts turn little between two studies, by some degrees: where the walls are too even to tell a turn clearly, it is 0.
"""

from __future__ import annotations

import numpy as np

from myoscope.core import GeometryMismatch, InvalidValue
from myoscope.core.geometry import FloatArray
from myoscope.quantify.wall_smoothing import smoothed_on_wall

_MOST_DEG, _STEP_DEG = 20.0, 1.0
_PRIOR_DEG = 6.0  # standard deviation of turns between two studies, as between stress and rest
_PARTS = 25.0  # of the wall that maps smoothed by 20 mm resolve; neighbouring cells say the same
_CLEAR = 6.0  # twice the logarithm by which a turn must be likelier than none: twenty times as likely
_TUKEY = 4.685
_NOISE_PERCENT = 5.0  # of the mean, where the noise of smoothed maps is not known
_LEVEL_STEPS = 5


def turn_between(
    before: FloatArray,
    after: FloatArray,
    area_mm2: FloatArray,
    *,
    noise_sd: FloatArray | None = None,
    smoothing_fwhm_mm: float = 0.0,
) -> float:
    """Degrees, counter-clockwise as displayed, by which ``after`` (ring, angle) is turned against ``before``.

    ``noise_sd`` (ring, angle) is the noise of their difference at the level of ``before``, 5 % of its mean unless
    given. Maps that were not smoothed are smoothed here by ``smoothing_fwhm_mm``.

    Raises
    ------
    GeometryMismatch
        If the maps or areas have different cells.
    InvalidValue
        If the maps show no counts in common.
    """
    if not before.shape == after.shape == area_mm2.shape:
        raise GeometryMismatch("both maps and the areas must have the same rings and angles")
    first, second = (smoothed_on_wall(one, area_mm2, smoothing_fwhm_mm) for one in (before, after))
    seen = np.isfinite(first) & (first > 0)
    if not (seen & np.isfinite(second) & (second > 0)).any():
        raise InvalidValue("the two maps show no counts in common")
    sd = _NOISE_PERCENT / 100 * float(first[seen].mean()) if noise_sd is None else noise_sd
    tried = np.arange(-_MOST_DEG, _MOST_DEG + _STEP_DEG / 2, _STEP_DEG)
    cost = np.array([_unlike(first, turned(second, -deg), area_mm2, sd) for deg in tried])
    # Twice the negative logarithm of how likely a turn is, the size of the residuals being as unknown as the turn.
    unlikely = _PARTS * np.log(np.maximum(cost, 1e-9)) + (tried / _PRIOR_DEG) ** 2
    best = int(np.argmin(unlikely))
    if unlikely[np.argmin(np.abs(tried))] - unlikely[best] < _CLEAR:
        return 0.0
    if not 0 < best < len(tried) - 1:
        return float(tried[best])
    left, here, right = unlikely[best - 1 : best + 2]
    return float(tried[best] + _STEP_DEG * 0.5 * (left - right) / max(left - 2 * here + right, 1e-12))


def turned(value: FloatArray, deg: float) -> FloatArray:
    """A map (ring, angle) turned counter-clockwise as displayed, between cells by straight lines; NaN stays beside."""
    columns = deg / 360 * value.shape[1]
    whole = int(np.floor(columns))
    part = columns - whole
    near = np.roll(value, whole, axis=1)
    if part == 0:
        return near
    mixed: FloatArray = (1 - part) * near + part * np.roll(value, whole + 1, axis=1)
    return mixed


def _unlike(first: FloatArray, second: FloatArray, area_mm2: FloatArray, sd: FloatArray | float) -> float:
    """Mean biweight of the difference over the wall, at the level that unchanged wall tells; 1 where nothing agrees."""
    both = np.isfinite(first) & np.isfinite(second) & (second > 0)
    if not both.any():
        return 1.0
    w = np.where(both, area_mm2, 0.0)
    one, other = np.where(both, first, 0.0), np.where(both, second, 0.0)
    level = float(np.median(first[both] / second[both]))
    off = np.ones_like(w)
    for _ in range(_LEVEL_STEPS):
        off = np.clip((level * other - one) / (_TUKEY * sd), -1, 1)
        fits = w * (1 - off**2) ** 2
        if not (fits * other).sum() > 0:
            break
        level = float((fits * one).sum() / (fits * other).sum())
    return float((w * (1 - (1 - off**2) ** 3)).sum() / w.sum())
