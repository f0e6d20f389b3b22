"""What is written of a series beside its images and maps: circumferential count profiles, and the noise of its map.

Profiles are the highest count along each radius of each short-axis slice, as they are read by eye. Limits are of polar
maps that were smoothed along the wall, so the map that was compared with them is read at the places of the profiles,
and the normal mean and the normal limit beside it: of these three, one is below another where the polar map is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from myoscope import io, measure, quantify
from myoscope.core import N_ANGLES, InvalidValue

PROFILES_FILE = "count_profiles.csv"
NOISE_FILE = "polar_map_noise.npz"
N_SLICES = 36
_DIGITS = 6


def write_series_tables(state: measure.State, place: Path) -> None:
    """Write the profiles of a heart, and the noise of its map where it is known, into the folder of its series.

    There are no profiles of a wall without counts.
    """
    try:
        columns = profile_columns(state)
    except InvalidValue:
        columns = {}  # the series says already that its map holds nothing
    if columns:
        io.write_columns(columns, place / PROFILES_FILE, digits=_DIGITS)
    noise = state.perfusion.noise
    if noise is not None:
        noise_map = quantify.noise_sd_map(state.heart.polar_map, noise, smoothing_fwhm_mm=quantify.SMOOTHING_FWHM_MM)
        io.save(noise_map, place / NOISE_FILE)


def profile_columns(state: measure.State) -> dict[str, NDArray[Any]]:
    """The profiles as columns, each of N_SLICES x N_ANGLES numbers, slice by slice from the apex.

    ``counts`` is in the unit of the image. The last three are NaN where no normal limits fit.

    Raises
    ------
    InvalidValue
        A wall without counts.
    """
    profiles = quantify.count_profiles(state.image, state.still, n_slices=N_SLICES, n_angles=N_ANGLES)
    normal, shape = state.perfusion.normal, profiles.value.shape
    against = [np.full(shape, np.nan)] * 3
    if normal is not None:
        compared = quantify.scale_to_limits(state.heart.polar_map, normal).value
        against = [
            quantify.along_profiles(value, profiles, state.still) for value in (compared, normal.mean, normal.threshold)
        ]
    columns = {
        "slice": np.repeat(np.arange(1, N_SLICES + 1), N_ANGLES),
        "depth_mm": np.repeat(profiles.depth_mm, N_ANGLES),
        "angle_deg": np.tile(profiles.angle_deg, N_SLICES),
        "counts": profiles.value * profiles.maximum / 100,
        "percent_of_maximum": profiles.value,
        **dict(zip(("percent_of_normal", "normal_mean_percent", "normal_limit_percent"), against, strict=True)),
    }
    return {name: column.ravel() for name, column in columns.items()}
