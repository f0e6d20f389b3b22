"""What perfusion systems are fed with: counts, what falls short of normal limits, and how far, map by map.

From images in counts: the map in percent of its own maximum (*raw*), the same with everything below the normal limit
set to nothing (*blackout*), which cells are abnormal (*defect*) and by how many deviations of normal studies
(*severity*); and total perfusion deficit with its part in each vessel's usual territory, the score that every system
has to beat. Limits, levels and deficits are those of `myoscope.quantify`. A cohort keeps no walls, so cells there weigh
as on a wall of average shape; its limits come from the low-likelihood patients of a cohort, for each sex, camera,
tracer and image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from myoscope import io, quantify
from myoscope.core import VESSELS, InvalidValue, NormalLimits, StudyKind, UnitMismatch, territory_map
from myoscope.core.geometry import FloatArray
from myoscope.learn import Examples
from myoscope.simulate.deficit import SEGMENT_OF_PLACE, SHARE_OF_WALL

Channel = Literal["raw", "blackout", "defect", "severity"]
Kind = tuple[str, str, str]
"""Sex, camera and tracer."""

TERRITORY_OF_PLACE: NDArray[np.int16] = territory_map(SEGMENT_OF_PLACE)
"""Index into ``VESSELS`` of the usual artery of each cell, (40, 72), on a wall of average shape."""

Limits = Mapping[str, Mapping[Kind, NormalLimits]]
"""Limits by image and kind."""

SAMPLED_BY = "surface sampling, maximum across the wall"
"""How the polar maps of registries are sampled (`PolarMap.method`)."""

_LOW_LIKELIHOOD = "low-likelihood"
_LEAST_NORMALS = 10
_TOP_PERCENTILE = 99.5
_AVERAGE_WALL_MM2 = 12_000.0


def limits_of(
    normals: Sequence[io.CohortFolder],
    images: Sequence[str],
    *,
    studies: Sequence[NDArray[np.bool_]] | None = None,
) -> dict[str, dict[Kind, NormalLimits]]:
    """Normal limits of each image from the low-likelihood patients of these cohorts, for every kind with 10 of them.

    ``studies`` says for each cohort which of its studies may be used (study,); all unless given.

    Raises
    ------
    UnitMismatch
        An image that is not in counts.
    InvalidValue
        No cohort holds enough low-likelihood patients of any kind for an image.
    """
    found: dict[str, dict[Kind, NormalLimits]] = {}
    for image in images:
        of_kind: dict[Kind, list[NDArray[np.float32]]] = {}
        for number, folder in enumerate(normals):
            if any(kind.name == image for kind in folder.kinds):
                values, kinds = counts(folder, image), kinds_of(folder)
                usable = folder.cohort["population"] == _LOW_LIKELIHOOD
                for row in np.flatnonzero(usable if studies is None else usable & studies[number]):
                    if np.isfinite(values[row]).any():
                        of_kind.setdefault(kinds[row], []).append(values[row])
        enough = {kind: maps for kind, maps in sorted(of_kind.items()) if len(maps) >= _LEAST_NORMALS}
        found[image] = {kind: _limits(image, kind, maps, normals) for kind, maps in enough.items()}
        if not enough and any(_imaged(folder, image) for folder in normals):
            raise InvalidValue(
                f"normal limits of {image} need {_LEAST_NORMALS} low-likelihood patients of one sex, camera and "
                "tracer; give a cohort that has them (--normals)"
            )
    return found


def _limits(
    image: str, kind: Kind, maps: Sequence[NDArray[np.float32]], normals: Sequence[io.CohortFolder]
) -> NormalLimits:
    sex, camera, tracer = kind
    state, position, *correction = image.split("_")
    return quantify.build_limits(
        np.stack(maps).astype(np.float64),
        area_mm2=_AVERAGE_WALL_MM2 * SHARE_OF_WALL,
        kind=StudyKind(
            sex=sex, tracer=tracer, camera=camera, position=position, state=state, corrected=correction == ["ac"]
        ),
        method=SAMPLED_BY,
        provenance=f"low-likelihood patients of {' and '.join(folder.sha256[:12] for folder in normals)}",
        rng=np.random.default_rng(0),
        n_modes=0,
    )


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

    ``raw`` is in % of the map's own maximum (its 99.5th percentile) and keeps its detail; what is compared with limits
    is smoothed as they are: ``severity`` in deviations below the normal mean, 0 where not abnormal, ``defect`` 1 where
    abnormal, ``scaled`` at the level of the limits, whose ``mean`` and ``threshold`` stand beside it.
    """

    raw: NDArray[np.float32]
    blackout: NDArray[np.float32]
    defect: NDArray[np.float32]
    severity: NDArray[np.float32]
    scaled: NDArray[np.float32]
    mean: NDArray[np.float32]
    threshold: NDArray[np.float32]

    def channel(self, name: Channel) -> NDArray[np.float32]:
        """One of them by name."""
        values: NDArray[np.float32] = getattr(self, name)
        return values

    @property
    def there(self) -> NDArray[np.bool_]:
        """Which studies have a map (study,)."""
        found: NDArray[np.bool_] = np.asarray(np.isfinite(self.scaled).any(axis=(1, 2)))
        return found

    @property
    def tpd_percent(self) -> FloatArray:
        """Total perfusion deficit of each study, NaN where there is no map."""
        total: FloatArray = self.vessel_tpd_percent.sum(axis=1)
        return total

    @property
    def vessel_tpd_percent(self) -> FloatArray:
        """Its part in the usual territory of each of ``VESSELS`` (study, 3)."""
        deficit = np.full((len(self.scaled), len(VESSELS)), np.nan)
        rows = self.there
        scaled, mean, threshold = self.against_limits(rows)
        deficit[rows] = quantify.tpd_of_many(scaled, mean, threshold, SHARE_OF_WALL, **_IN_TERRITORIES)
        return deficit

    def against_limits(self, rows: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Maps at the level of their limits, the mean and the threshold of those, for some studies, to sum over."""
        scaled, mean, threshold = (a[rows].astype(np.float64) for a in (self.scaled, self.mean, self.threshold))
        return scaled, mean, threshold


_IN_TERRITORIES: dict[str, Any] = {"group": TERRITORY_OF_PLACE, "n_groups": len(VESSELS)}


def perfusion_maps(values: FloatArray | NDArray[np.float32], limits: Sequence[NormalLimits | None]) -> PerfusionMaps:
    """Channels and scores of maps (study, 40, 72) in counts, each against its own limits.

    Raises
    ------
    InvalidValue
        There are no limits for a study that has a map.
    """
    value = np.asarray(values, np.float64)
    there = np.isfinite(value).any(axis=(1, 2))
    mean, deviation, threshold = (np.ones_like(value) for _ in range(3))
    smooth = np.full_like(value, np.nan)
    for row in np.flatnonzero(there).tolist():
        own = limits[row]
        if own is None:
            raise InvalidValue("there are no normal limits for a study that has a map")
        mean[row], deviation[row], threshold[row] = own.mean, own.deviation, own.threshold
        smooth[row] = quantify.smoothed_on_wall(value[row], own.area_mm2, own.smoothing_fwhm_mm)
    level = np.full(len(value), np.nan)
    if there.any():
        level[there] = quantify.scale_factors(smooth[there], mean[there], threshold[there], SHARE_OF_WALL)
    scaled = smooth * level[:, None, None]
    seen, abnormal = np.isfinite(scaled), scaled < threshold
    raw = percent_of_maximum(value)

    def where_seen(channel: Any) -> NDArray[np.float32]:
        kept: NDArray[np.float32] = np.where(seen, channel, np.nan).astype(np.float32)
        return kept

    return PerfusionMaps(
        where_seen(raw),
        where_seen(np.where(abnormal, 0.0, raw)),
        where_seen(abnormal),
        where_seen(np.where(abnormal, quantify.severities(scaled, mean, deviation), 0.0)),
        scaled.astype(np.float32),
        mean.astype(np.float32),
        threshold.astype(np.float32),
    )


def percent_of_maximum(values: FloatArray) -> FloatArray:
    """Maps (study, 40, 72) in % of their own maximum (99.5th percentile); it asks no normal limits."""
    top = np.full(len(values), np.nan)
    there = np.isfinite(values).any(axis=(1, 2))
    if there.any():
        top[there] = np.nanpercentile(values[there], _TOP_PERCENTILE, axis=(1, 2))
    percent: FloatArray = 100 * values / np.where(top > 0, top, np.nan)[:, None, None]
    return percent


def perfusion_of_cohort(folder: io.CohortFolder, image: str, limits: Limits) -> PerfusionMaps:
    """One image of all studies of a cohort, each against the limits of its kind.

    Raises
    ------
    UnitMismatch
        The image is not in counts.
    InvalidValue
        There are no limits for a kind that was imaged.
    """
    values, kinds, known = counts(folder, image), kinds_of(folder), limits.get(image, {})
    for row in np.flatnonzero(np.isfinite(values).any(axis=(1, 2))).tolist():
        if kinds[row] not in known:
            sex, camera, tracer = kinds[row]
            raise InvalidValue(
                f"there are no normal limits for sex {sex}, camera {camera}, tracer {tracer}; there are those for "
                f"{'; '.join(', '.join(one) for one in sorted(known)) or 'nobody'} (give --normals that hold them)"
            )
    return perfusion_maps(values, [known.get(kind) for kind in kinds])


@dataclass(frozen=True, eq=False, slots=True)
class StudyMaps:
    """One study outside any cohort: maps (40, 72) by name with their unit, whose, and what else is known.

    ``sex`` F or M, anything else is not known; ``limits`` by image, those that fit it.
    """

    maps: Mapping[str, tuple[NDArray[np.float32], str]]
    sex: str
    limits: Mapping[str, NormalLimits]
    covariates: Mapping[str, float]

    @property
    def male(self) -> float:
        """1 for a man, 0 for a woman, NaN if not known."""
        return {"M": 1.0, "F": 0.0}.get(self.sex, float("nan"))

    def perfusion(self, image: str) -> PerfusionMaps:
        """Channels of one image, as a cohort of one; all missing if the study has no such image.

        Raises
        ------
        InvalidValue
            There are no normal limits for it.
        """
        if image in self.maps and image not in self.limits:
            raise InvalidValue(f"there are no normal limits for {image.replace('_', ' ')}")
        return perfusion_maps(self.plane(image, "counts")[None], [self.limits.get(image)])

    def raw(self, image: str) -> NDArray[np.float32]:
        """One image (40, 72) in % of its own maximum, without any limits; all missing if the study has none."""
        percent = percent_of_maximum(self.plane(image, "counts")[None].astype(np.float64))
        of_one: NDArray[np.float32] = percent[0].astype(np.float32)
        return of_one

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


def combined_vessel_tpd_percent(first: PerfusionMaps, second: PerfusionMaps) -> FloatArray:
    """Deficit that two positions agree on, by territory (study, 3); where one was not imaged, the other's."""
    deficit = np.where(first.there[:, None], first.vessel_tpd_percent, second.vessel_tpd_percent)
    both = first.there & second.there
    one, other = first.against_limits(both), second.against_limits(both)
    if both.any():
        deficit[both] = quantify.combined_tpd_of_many(
            one[0],
            other[0],
            mean=(one[1], other[1]),
            threshold=(one[2], other[2]),
            weights=(SHARE_OF_WALL, SHARE_OF_WALL),
            **_IN_TERRITORIES,
        )
    return deficit
