"""How perfusion of the wall changed between two analysed studies, cell by cell: from the maps in two result folders.

The later map is laid upon the earlier one by a turn about the long axis, both are smoothed along the wall as they are
before they are compared with normal limits, and the later one is brought to the level of the earlier one: by the level
of the normal limits where both studies were compared with the same ones, else by what did not change. Cells are called
changed where they differ by more than a study of an unchanged patient does when it is done again; the noise of the maps
enters where the folders tell it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from myoscope import io, quantify
from myoscope.core import GeometryMismatch, InvalidValue, PolarMap
from myoscope.core.geometry import FloatArray

FALSE_DISCOVERY_RATE = 0.05
"""The share of the cells called changed that is expected to be false, for noise alone."""
# What one study adds to a smoothed map, in % of its mean, where its noise is not known and beside a known one: counts,
# movement, rhythm and the fit of the wall anew, in 28 images of 5 virtual patients photographed twice, in 14 of them
# beside a known noise (docs/make/measure_repeats.py).
_REPEAT_PERCENT, _BESIDE_NOISE_PERCENT = 4.2, 3.7
_TOP_PERCENTILE = 99.5
_LEAST_TURN_DEG = 0.5
_OWN = "% of maximum"


@dataclass(frozen=True, eq=False, slots=True)
class MapChange:
    """The maps of one image at two times, on the cells of the earlier one, and their difference.

    ``before`` and ``after`` are smoothed and in one unit (% of normal maximum, or of the earlier map's own), ``change``
    is later less earlier in points of it. ``called`` is the same where the change is beyond that of a repeated study
    and 0 elsewhere, ``better_percent`` and ``worse_percent`` are shares of the wall; ``noise_known`` says that noise of
    both maps went into that. ``level`` is what multiplied the counts of the later map to compare them with
    those of the earlier one, told by ``level_by``; ``turn_deg`` by how much the later heart was turned,
    counter-clockwise as displayed, and is not any more.
    """

    of: str
    state: str
    before: PolarMap
    after: PolarMap
    change: PolarMap
    called: PolarMap
    better_percent: float
    worse_percent: float
    noise_known: bool
    level: float
    level_by: str
    turn_deg: float

    @property
    def against_normal(self) -> bool:
        """Whether 100 % is the normal maximum and not the earlier map's own."""
        return self.before.unit != _OWN


@dataclass(frozen=True, eq=False, slots=True)
class _Maps:
    """What a result folder holds of one series: counts, what brings them to the level of limits, and their noise."""

    counts: PolarMap
    factor: float | None
    unit: str
    noise: PolarMap | None


def change_of_maps(
    before: tuple[Path, Mapping[str, Any]], after: tuple[Path, Mapping[str, Any]], *, same_limits: bool
) -> MapChange:
    """The change between two series, each with the folder of its result and its entry in ``result.json``.

    Raises
    ------
    UnreadableFile, UnsupportedFile
        A polar map that is missing, damaged, or of a later format.
    InvalidValue, GeometryMismatch
        Maps that were sampled in different ways, have different cells, or show nothing in common.
    """
    one, other = _maps_of(*before), _maps_of(*after)
    earlier, later = one.counts, other.counts
    if earlier.value.shape != later.value.shape:
        raise GeometryMismatch("their polar maps have different cells")
    if earlier.method != later.method:
        raise InvalidValue(f"their polar maps were sampled in different ways ({earlier.method}; {later.method})")
    first, second = (_smoothed(m.counts) for m in (one, other))
    turn_deg = quantify.turn_between(first, second, earlier.area_mm2)
    turn_deg = turn_deg if abs(turn_deg) >= _LEAST_TURN_DEG else 0.0
    second = quantify.turned(second, -turn_deg)
    sd = [_sd(map_, None) for map_ in (first, second)]
    known = one.noise is not None and other.noise is not None
    if one.noise is not None and other.noise is not None:
        sd = [_sd(first, one.noise.value), _sd(second, quantify.turned(other.noise.value, -turn_deg))]
    level, level_by = None, "what did not change"
    scale, unit = 100 / float(np.nanpercentile(first, _TOP_PERCENTILE)), _OWN
    if same_limits and one.factor is not None and other.factor is not None:
        level, level_by = other.factor / one.factor, "normal limits"
        scale, unit = one.factor, one.unit
    told = f"smoothed along the wall, {quantify.SMOOTHING_FWHM_MM:g} mm"
    shown = earlier.like(scale * first, told, unit=unit)
    cells = quantify.changed_cells(
        shown,
        shown.like(scale * second, "later"),
        before_sd=scale * sd[0],
        after_sd=scale * sd[1],
        false_discovery_rate=FALSE_DISCOVERY_RATE,
        level=level,
    )
    change = shown.like(cells.level * scale * second - shown.value, "later less earlier")
    called = np.where(np.isfinite(change.value), np.where(cells.better | cells.worse, change.value, 0.0), np.nan)
    return MapChange(
        of=str(before[1]["name"]),
        state=str(before[1]["state"]["value"] or "image"),
        before=shown,
        after=shown.like(cells.level * scale * second, "later, at the level of the earlier map"),
        change=change,
        called=change.like(called, "0 where a repeated study may differ as much"),
        better_percent=cells.better_percent,
        worse_percent=cells.worse_percent,
        noise_known=known,
        level=cells.level,
        level_by=level_by,
        turn_deg=turn_deg,
    )


def _sd(smoothed: FloatArray, noise: FloatArray | None) -> FloatArray:
    """How far a repeated study might lie from this map, cell by cell (ring, angle), in its unit."""
    mean = float(np.nanmean(smoothed))
    if noise is None:
        return np.full(smoothed.shape, _REPEAT_PERCENT / 100 * mean)
    both: FloatArray = np.hypot(noise, _BESIDE_NOISE_PERCENT / 100 * mean)
    return both


def _maps_of(folder: Path, series: Mapping[str, Any]) -> _Maps:
    name = str(series["name"])
    if Path(name).name != name:
        raise InvalidValue("the name of a series is not the name of a folder")
    place = folder / name
    counts = io.load(place / "polar_map.npz", PolarMap)
    factor, unit = None, ""
    if (place / "maps" / "relative.npz").is_file():
        relative = io.load(place / "maps" / "relative.npz", PolarMap)
        factor, unit = _factor(counts, relative), relative.unit
    noise = None
    if (place / "polar_map_noise.npz").is_file():
        noise = io.load(place / "polar_map_noise.npz", PolarMap)
        seen = np.isfinite(counts.value)
        if noise.value.shape != counts.value.shape or not (noise.value[seen] > 0).all():
            noise = None
    return _Maps(counts, factor, unit, noise)


def _factor(counts: PolarMap, relative: PolarMap) -> float | None:
    """What multiplied counts to bring them to the level of normal limits."""
    if counts.value.shape != relative.value.shape:
        return None
    both = np.isfinite(counts.value) & np.isfinite(relative.value) & (counts.value > 0)
    if not both.any():
        return None
    factor = float(np.median(relative.value[both] / counts.value[both]))
    return factor if factor > 0 else None


def _smoothed(counts: PolarMap) -> FloatArray:
    return quantify.smoothed_on_wall(counts.value, counts.area_mm2, quantify.SMOOTHING_FWHM_MM)
