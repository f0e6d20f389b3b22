"""Normal limits from studies of people with a low likelihood of disease.

After the simplified limits of Slomka et al. (J Nucl Cardiol 2005;12:66): mean and mean absolute deviation of each
cell over the studies, no scoring by eye, no optimising of regional thresholds; abnormal is what lies some deviations
below the mean (three: Nishina et al., J Nucl Med 2006;47:51). What is ours: maps are smoothed over 20 mm of wall first,
which takes the noise of single cells out of the deviations (from 9.5 to 6.9 % of the mean in virtual patients of low
likelihood) and lets 2.5 of them do; every study is scaled to the mean by its healthy part, in turns until neither
moves; deviations are smoothed over neighbouring cells, because that of 40 studies is only known to 12 %; and the limits
say how uncertain they are themselves.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from myoscope.core import InvalidValue, NormalLimits, StudyKind
from myoscope.core.geometry import FloatArray
from myoscope.quantify.scaling import scale_factors
from myoscope.quantify.wall_smoothing import smoothed_on_wall

MULTIPLE = 2.5
"""Deviations from the mean to the threshold."""
SMOOTHING_FWHM_MM = 20.0
"""How far maps are smoothed along the wall before they are compared."""
UNIT = "% of normal maximum"
_ROUNDS = 12
_NEIGHBOURS = 5
_LEAST_STUDIES = 10
_LEAST_SHARE_SEEN = 0.5
_TOP = 99.5


def build_limits(
    values: FloatArray,
    *,
    area_mm2: FloatArray,
    kind: StudyKind,
    method: str,
    provenance: str,
    rng: np.random.Generator,
    multiple: float = MULTIPLE,
    smoothing_fwhm_mm: float = SMOOTHING_FWHM_MM,
    n_modes: int = 6,
    n_bootstrap: int = 200,
) -> NormalLimits:
    """Limits from polar maps (study, ring, angle) in counts, NaN where the wall was not seen.

    ``area_mm2`` (study, ring, angle) or (ring, angle) are the cells' areas. The mean's 99.5th percentile is put at 100.
    ``rng`` draws the bootstrap samples that say how uncertain the limits are.

    Raises
    ------
    InvalidValue
        Fewer than 10 studies, or a cell that was seen in less than half of them.
    """
    values = np.asarray(values, np.float64)
    usable = np.isfinite(values).any(axis=(1, 2))
    values = values[usable]
    n = len(values)
    if n < _LEAST_STUDIES:
        raise InvalidValue(f"normal limits need at least {_LEAST_STUDIES} normal studies with a heart, got {n}")
    if np.isfinite(values).mean(axis=0).min() < _LEAST_SHARE_SEEN:
        raise InvalidValue("a part of the wall was seen in less than half of the normal studies; limits need all of it")
    area = np.asarray(area_mm2, np.float64)
    area = area if area.ndim == 2 else np.nanmean(area[usable], axis=0)
    values = smoothed_on_wall(values, area, smoothing_fwhm_mm)
    weights = area / area.sum()
    scaled = values / np.nanmean(values, axis=(1, 2), keepdims=True)
    mean, deviation = _moments(scaled)
    for _ in range(_ROUNDS):
        factors = scale_factors(scaled, mean, np.maximum(mean - multiple * deviation, 0.0), weights)
        scaled = scaled * factors[:, None, None]
        mean, deviation = _moments(scaled)
        if np.abs(factors - factors.mean()).max() < 1e-6:
            break
    level = 100 / np.percentile(mean, _TOP)
    return NormalLimits(
        mean=mean * level,
        deviation=regularised(deviation) * level,
        area_mm2=area,
        multiple=multiple,
        n=n,
        kind=kind,
        unit=UNIT,
        method=method,
        provenance=provenance,
        modes=_modes(scaled * level, n_modes, n_bootstrap, rng),
        smoothing_fwhm_mm=smoothing_fwhm_mm,
    )


def _moments(scaled: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and mean absolute deviation of each cell, the latter freed of the bias of deviating from one's own mean."""
    mean = np.nanmean(scaled, axis=0)
    n = np.isfinite(scaled).sum(axis=0)
    deviation = np.nanmean(np.abs(scaled - mean), axis=0) * np.sqrt(n / np.maximum(n - 1, 1))
    return mean, deviation


def regularised(deviation: FloatArray) -> FloatArray:
    """Median over five by five cells, round the angles and up to the first and last ring."""
    from scipy.ndimage import median_filter

    margin = _NEIGHBOURS // 2
    wide = np.pad(deviation, ((0, 0), (margin, margin)), mode="wrap")
    smooth: FloatArray = median_filter(wide, _NEIGHBOURS, mode="nearest")[:, margin:-margin]
    return smooth


def _modes(scaled: FloatArray, n_modes: int, n_bootstrap: int, rng: np.random.Generator) -> FloatArray | None:
    """Main directions in which mean and deviation vary over bootstrap samples, with their standard deviation."""
    if n_modes < 1:
        return None
    n = len(scaled)
    drawn: list[NDArray[np.float64]] = []
    for _ in range(n_bootstrap):
        mean, deviation = _moments(scaled[rng.integers(0, n, n)])
        drawn.append(np.stack([mean, regularised(deviation)]))
    samples = np.stack(drawn)
    samples = np.nan_to_num(samples - samples.mean(axis=0)).reshape(n_bootstrap, -1)
    _, size, directions = np.linalg.svd(samples, full_matrices=False)
    keep = min(n_modes, len(size))
    modes: FloatArray = (size[:keep, None] * directions[:keep] / np.sqrt(n_bootstrap - 1)).reshape(
        keep, 2, *scaled.shape[1:]
    )
    return modes
