"""What perfusion systems are fed with: counts, what falls short of normal limits, and how far, map by map.

From a cohort's images in counts: the map in percent of its own maximum (*raw*), the same with everything below the
normal limit set to nothing (*blackout*), which cells are abnormal (*defect*) and by how many deviations of normal
studies (*severity*); and total perfusion deficit with its part in each vessel's usual territory, the score that every
system has to beat. Limits are those of one sex, camera, tracer and image, made from the low-likelihood patients of a
cohort.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from myoscope import io
from myoscope.core import VESSELS, InvalidValue, UnitMismatch, territory_map
from myoscope.core.geometry import FloatArray
from myoscope.learn import Examples
from myoscope.simulate.deficit import SEGMENT_OF_PLACE, SHARE_OF_WALL

Channel = Literal["raw", "blackout", "defect", "severity"]
Kind = tuple[str, str, str]
"""Sex, camera and tracer."""

TERRITORY_OF_PLACE: NDArray[np.int16] = territory_map(SEGMENT_OF_PLACE)
"""Index into ``VESSELS`` of the usual artery of each cell, (40, 72), on a wall of average shape."""

_LOW_LIKELIHOOD = "low-likelihood"
_LEAST_NORMALS = 10
_MULTIPLE = 3.0
_TOP_PERCENTILE = 99.5
_FULL_SCORE_LOSS, _HIGHEST_SCORE = 0.70, 4.0
_MOST_ROUNDS = 10


@dataclass(frozen=True, eq=False, slots=True)
class MapLimits:
    """Mean and mean absolute deviation (40, 72) of ``n`` normal maps of one kind, at a mean level of 1."""

    mean: FloatArray
    deviation: FloatArray
    n: int

    @property
    def threshold(self) -> FloatArray:
        """Below it a cell is abnormal."""
        return np.maximum(self.mean - _MULTIPLE * self.deviation, 0.0)


Limits = Mapping[str, Mapping[Kind, MapLimits]]
"""Limits by image and kind."""


def limits_of(normals: Sequence[io.CohortFolder], images: Sequence[str]) -> dict[str, dict[Kind, MapLimits]]:
    """Normal limits of each image from the low-likelihood patients of these cohorts, for every kind with 10 of them.

    Raises
    ------
    UnitMismatch
        An image that is not in counts.
    InvalidValue
        No cohort holds enough low-likelihood patients of any kind for an image.
    """
    found: dict[str, dict[Kind, MapLimits]] = {}
    for image in images:
        maps, kinds = [], []
        for folder in normals:
            rows = np.flatnonzero(folder.cohort["population"] == _LOW_LIKELIHOOD)
            if rows.size and any(kind.name == image for kind in folder.kinds):
                maps.append(counts(folder, image)[rows])
                kinds += [kind for row, kind in enumerate(kinds_of(folder)) if row in set(rows.tolist())]
        found[image] = {}
        together = np.concatenate(maps) if maps else np.empty((0, 1, 1))
        for kind in sorted(set(kinds)):
            of_kind = together[[k == kind for k in kinds]]
            of_kind = of_kind[np.isfinite(of_kind).any(axis=(1, 2))]
            if len(of_kind) >= _LEAST_NORMALS:
                found[image][kind] = _limits(of_kind)
        if not found[image] and not any(_imaged(folder, image) for folder in normals):
            continue  # nobody has it, so nobody needs limits of it
        if not found[image]:
            raise InvalidValue(
                f"normal limits of {image} need {_LEAST_NORMALS} low-likelihood patients of one sex, camera and "
                "tracer; give a cohort that has them (--normals)"
            )
    return found


def _imaged(folder: io.CohortFolder, image: str) -> bool:
    return any(kind.name == image for kind in folder.kinds) and bool(np.isfinite(folder.map(image)).any())


def counts(folder: io.CohortFolder, image: str) -> NDArray[np.float32]:
    """An image's polar maps (study, 40, 72) in counts.

    Raises
    ------
    UnitMismatch
        The cohort holds it in another unit.
    InvalidValue
        The cohort has no such image.
    """
    return maps_in(folder, image, "counts")


def maps_in(folder: io.CohortFolder, name: str, unit: str) -> NDArray[np.float32]:
    """A cohort's map (study, 40, 72) in the unit that a system needs.

    Raises
    ------
    UnitMismatch
        The cohort holds it in another unit.
    InvalidValue
        The cohort has no such map.
    """
    kind = folder.kind(name)
    if kind.unit != unit:
        raise UnitMismatch(f"the map {name} of {folder.folder.name} is in {kind.unit}; it is needed in {unit}")
    return folder.map(name)


def kinds_of(folder: io.CohortFolder) -> list[Kind]:
    """Sex, camera and tracer of each study."""
    columns = (folder.cohort[name].tolist() for name in ("sex", "camera", "tracer"))
    return [(str(sex), str(camera), str(tracer)) for sex, camera, tracer in zip(*columns, strict=True)]


@dataclass(frozen=True, eq=False, slots=True)
class PerfusionMaps:
    """One image of some studies, each channel (study, 40, 72), all NaN where it was not made or no heart was found.

    ``raw`` is in % of the map's own maximum (its 99.5th percentile); ``severity`` in deviations below the normal mean,
    0 where not abnormal. ``defect`` is 1 where abnormal. ``score`` (0 to 4) is what TPD sums.
    """

    raw: NDArray[np.float32]
    blackout: NDArray[np.float32]
    defect: NDArray[np.float32]
    severity: NDArray[np.float32]
    score: NDArray[np.float32]

    def channel(self, name: Channel) -> NDArray[np.float32]:
        """One of them by name."""
        values: NDArray[np.float32] = getattr(self, name)
        return values

    @property
    def tpd_percent(self) -> FloatArray:
        """Total perfusion deficit of each study, NaN where there is no map."""
        return total_deficit(self.score)

    @property
    def vessel_tpd_percent(self) -> FloatArray:
        """Its part in the usual territory of each of ``VESSELS`` (study, 3)."""
        return vessel_deficit(self.score)


def perfusion_maps(
    values: FloatArray | NDArray[np.float32], kinds: Sequence[Kind], limits: Mapping[Kind, MapLimits]
) -> PerfusionMaps:
    """Channels and scores of maps (study, 40, 72) in counts, each against the limits of its kind.

    Raises
    ------
    InvalidValue
        There are no limits for a kind that occurs with a map.
    """
    value = np.asarray(values, np.float64)
    seen = np.isfinite(value)
    there = seen.any(axis=(1, 2))
    mean, deviation = np.ones_like(value), np.ones_like(value)
    for kind in sorted(set(kinds)):
        rows = np.array([k == kind for k in kinds]) & there
        if not rows.any():
            continue
        if kind not in limits:
            sex, camera, tracer = kind
            raise InvalidValue(
                f"there are no normal limits for sex {sex}, camera {camera}, tracer {tracer}; there are those for "
                f"{'; '.join(', '.join(known) for known in sorted(limits)) or 'nobody'} (give --normals that hold them)"
            )
        mean[rows], deviation[rows] = limits[kind].mean, limits[kind].deviation
    threshold = np.maximum(mean - _MULTIPLE * deviation, 0.0)
    level = _levels(value, mean, threshold)
    scaled = value * level[:, None, None]
    with np.errstate(invalid="ignore"):
        abnormal = seen & (scaled < threshold)
        lost = np.where(seen, 1 - scaled / mean, 0.0)
    top = np.full(len(value), np.nan)
    top[there] = np.nanpercentile(value[there], _TOP_PERCENTILE, axis=(1, 2))
    raw = 100 * value / top[:, None, None]

    def where_seen(channel: Any) -> NDArray[np.float32]:
        kept: NDArray[np.float32] = np.where(seen, channel, np.nan).astype(np.float32)
        return kept

    return PerfusionMaps(
        where_seen(raw),
        where_seen(np.where(abnormal, 0.0, raw)),
        where_seen(abnormal),
        where_seen(np.where(abnormal, np.nan_to_num((mean - scaled) / deviation), 0.0)),
        where_seen(np.where(abnormal, np.clip(_HIGHEST_SCORE * lost / _FULL_SCORE_LOSS, 0, _HIGHEST_SCORE), 0.0)),
    )


@dataclass(frozen=True, eq=False, slots=True)
class StudyMaps:
    """One study outside any cohort: maps (40, 72) by name with their unit, its kind, limits, and what else is known."""

    maps: Mapping[str, tuple[NDArray[np.float32], str]]
    kind: Kind
    limits: Limits
    covariates: Mapping[str, float]

    def perfusion(self, image: str) -> PerfusionMaps:
        """Channels of one image, as a cohort of one; all missing if the study has no such image."""
        limits = self.limits.get(image, {})
        return perfusion_maps(self.plane(image, "counts")[None], [self.kind], limits)

    def plane(self, name: str, unit: str) -> NDArray[np.float32]:
        """One map (40, 72), all missing if the study has none.

        Raises
        ------
        UnitMismatch
            The map is in another unit.
        """
        if name not in self.maps:
            return np.full(SHARE_OF_WALL.shape, np.nan, np.float32)
        values, given = self.maps[name]
        if given != unit:
            raise UnitMismatch(f"the map {name} is in {given}; it is needed in {unit}")
        return values

    def examples(
        self,
        maps: NDArray[np.float32],
        channels: tuple[str, ...],
        covariates: Mapping[str, float],
        n_targets: int,
        target_names: tuple[str, ...],
    ) -> Examples:
        """Inputs of a system for this study, its answers not known.

        Raises
        ------
        InvalidValue
            The study has none of the maps.
        """
        if not np.isfinite(maps).any():
            raise InvalidValue(f"the study has none of the maps {', '.join(channels)}")
        return Examples(
            np.array(["this"]),
            np.array(["this"]),
            maps[None],
            channels,
            np.array([list(covariates.values())], np.float32).reshape(1, len(covariates)),
            tuple(covariates),
            np.full((1, n_targets), np.nan, np.float32),
            target_names,
            "",
        )


def combined_score(first: PerfusionMaps, second: PerfusionMaps) -> NDArray[np.float32]:
    """Score of two positions together: a cell counts only if abnormal in both, by the less severe of the two."""
    both: NDArray[np.float32] = np.minimum(first.score, second.score)  # NaN where either was not seen
    return both


def total_deficit(score: NDArray[np.float32]) -> FloatArray:
    """TPD in % of scores (study, 40, 72), cells weighed by their share of an average wall."""
    return _sums(score, np.zeros(score.shape[1:], np.intp), 1)[:, 0]


def vessel_deficit(score: NDArray[np.float32]) -> FloatArray:
    """Its part in each usual territory (study, 3); the three add up to the whole."""
    return _sums(score, TERRITORY_OF_PLACE.astype(np.intp), len(VESSELS))


def _sums(score: NDArray[np.float32], group: NDArray[np.intp], n_groups: int) -> FloatArray:
    seen = np.isfinite(score)
    w = np.where(seen, SHARE_OF_WALL, 0.0)
    total = w.sum(axis=(1, 2))
    part = 100 * w * np.nan_to_num(score) / _HIGHEST_SCORE
    member = (group.reshape(-1, 1) == np.arange(n_groups)).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        sums: FloatArray = part.reshape(len(score), -1) @ member / total[:, None]
    return np.where(total[:, None] > 0, sums, np.nan)


def _limits(values: NDArray[Any]) -> MapLimits:
    """Each study scaled to the mean by its healthy part, in turns until neither moves."""
    scaled = np.asarray(values, np.float64) / np.nanmean(values, axis=(1, 2), keepdims=True)
    for _ in range(_MOST_ROUNDS):
        mean = np.nanmean(scaled, axis=0)
        deviation = _smoothed(np.nanmean(np.abs(scaled - mean), axis=0))
        factor = _levels(scaled, mean[None], np.maximum(mean - _MULTIPLE * deviation, 0.0)[None])
        scaled = scaled * factor[:, None, None]
        if np.abs(factor - factor.mean()).max() < 1e-6:
            break
    mean = np.nanmean(scaled, axis=0)
    deviation = _smoothed(np.nanmean(np.abs(scaled - mean), axis=0))
    level = float(mean.mean())
    return MapLimits(mean / level, np.maximum(deviation / level, 1e-3), len(values))


def _smoothed(deviation: FloatArray) -> FloatArray:
    """Median over five by five cells: the deviation of a few dozen studies is known to some 10 %."""
    from scipy.ndimage import median_filter

    wide = np.pad(deviation, ((0, 0), (2, 2)), mode="wrap")
    smooth: FloatArray = median_filter(wide, 5, mode="nearest")[:, 2:-2]
    return smooth


def _levels(value: FloatArray, mean: FloatArray, threshold: FloatArray) -> FloatArray:
    """Factor (study,) that brings the healthy part of each map to the normal mean; NaN where there is no map."""
    n = len(value)
    x = value.reshape(n, -1)
    mu, low = (np.broadcast_to(a, value.shape).reshape(n, -1) for a in (mean, threshold))
    seen = np.isfinite(x) & (x > 0)
    there = seen.any(axis=1)
    factor = np.full(n, np.nan)
    x, mu, low, seen = x[there], mu[there], low[there], seen[there]
    k = np.nanmedian(np.where(seen, mu / np.where(seen, x, 1), np.nan), axis=1)
    for _ in range(_MOST_ROUNDS):
        normal = seen & (k[:, None] * x >= low)
        share = np.where(normal, x * mu, 0.0).sum(axis=1)
        k = np.where(share > 0, np.where(normal, mu**2, 0.0).sum(axis=1) / np.where(share > 0, share, 1), k)
    factor[there] = k
    return factor
