"""How far measured volumes and ejection fractions lie from the truth: intervals calibrated on virtual patients.

The error of a volume has parts that no image can tell: the wall's thickness, which is taken to be the usual one, and
where it ends. So the interval is a regression: on virtual patients of five sites, whose volumes are known, mean and
spread of the logarithm of measured over true volume were fitted to how soft and noisy the image is and how small the
heart, for each kind of camera and for all of them together (docs/make/calibrate_intervals.py writes the constants). It
covers the truth, bias included, for hearts like those; what it cannot cover is a heart of another kind than any of
them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from myoscope.quantify.error_model import ErrorModel
from myoscope.quantify.interval_constants import (
    EDV_ERROR,
    EF_ERROR,
    ESV_ERROR,
    STILL_ERROR,
    STILL_NOISE,
    STROKE_ERROR,
)

ANY_CAMERA = "any"
"""Key of the constants that are averages over kinds of cameras."""
STROKE = "stroke volume"

_MODELS = {"EDV": EDV_ERROR, "ESV": ESV_ERROR, STROKE: STROKE_ERROR, "ungated": STILL_ERROR}


def volume_interval(
    volume_mL: float,
    *,
    which: str,
    fwhm_mm: float,
    relative_noise: float | None,
    camera: str | None = None,
    edv_mL: float | None = None,
) -> tuple[float, float]:
    """95 % interval of the true volume; ``which`` is EDV, ESV, stroke volume (needs ``edv_mL``) or ungated.

    ``camera`` is a kind as `camera_kind` names them; the average over kinds is taken where it is none of the
    calibrated.
    """
    model = _of_camera(_MODELS[which], camera)
    size_mL = volume_mL if edv_mL is None or which != STROKE else edv_mL
    low, high = model.interval(
        float(np.log(volume_mL)), fwhm_mm=fwhm_mm, volume_mL=size_mL, relative_noise=relative_noise
    )
    return float(np.exp(low)), float(np.exp(high))


def ef_interval(
    ef_percent: float, *, edv_mL: float, fwhm_mm: float, relative_noise: float | None, camera: str | None = None
) -> tuple[float, float]:
    """95 % interval of the true ejection fraction; ``camera`` as for `volume_interval`."""
    low, high = _of_camera(EF_ERROR, camera).interval(
        ef_percent, fwhm_mm=fwhm_mm, volume_mL=edv_mL, relative_noise=relative_noise
    )
    return float(np.clip(low, 0, 100)), float(np.clip(high, 0, 100))


def cavity_ratio_interval(
    first_mL: float,
    second_mL: float,
    *,
    fwhm_mm: tuple[float, float],
    camera: str | None = None,
    model: ErrorModel | None = None,
) -> tuple[float, float]:
    """95 % interval of the ratio of two ungated cavities of one heart: what it would be without noise.

    Errors that both images share cancel; ``fwhm_mm`` is how soft each of them is, ``camera`` as for `volume_interval`;
    ``model`` stands in for the constants of the camera.
    """
    model = model or _of_camera(STILL_NOISE, camera)
    width, middle = 0.0, float(np.log(first_mL / second_mL))
    for volume_mL, softness_mm, sign in ((first_mL, fwhm_mm[0], -1), (second_mL, fwhm_mm[1], 1)):
        about = {"fwhm_mm": softness_mm, "volume_mL": volume_mL}
        width = float(np.hypot(width, model.factor * model.spread(**about)))
        middle += sign * float(model.mean(**about))
    measured = first_mL / second_mL
    return min(float(np.exp(middle - width)), measured), max(float(np.exp(middle + width)), measured)


def _of_camera(models: Mapping[str, ErrorModel], camera: str | None) -> ErrorModel:
    return models.get(camera or ANY_CAMERA, models[ANY_CAMERA])
