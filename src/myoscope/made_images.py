"""Images of an acquisition that nobody has reconstructed: which ones to make of its projections, and how.

Wanted are the ungated image, the same corrected for attenuation where the study holds a map, and the gates; what the
study holds already is not made again. Each image becomes a series of its own that says what it was made from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from myoscope import correct, heart, measure, reconstruct
from myoscope.core import Flag, Projections, Series, Stated, Study, Volume

MAP_KINDS = ("CT", "MU MAP")
MADE_FROM = "reconstructed_from"
"""What of an acquisition says that an image was made here, and of which projections."""
_USUAL_KVP = 120.0

Progress = Callable[[str, float], None]


@dataclass(frozen=True, eq=False, slots=True)
class MadeImage:
    """An image as a series of its own, images of two halves of its counts if it was made here, and its ventricle with
    the agreement of the finders where more than the image told of it."""

    series: Series
    halves: tuple[Volume, Volume] | None = None
    ventricle: tuple[heart.LeftVentricle, Mapping[str, float]] | None = None


def wanted_images(series: Series, study: Study, *, with_map: bool) -> tuple[str, ...]:
    """Which images to make of an acquisition: ``plain``, ``corrected`` and ``gated``, less those that are there."""

    def there(*, gated: bool, corrected: bool) -> bool:
        return any(
            same_scan(series, s)
            and isinstance(s.image, Volume)
            and s.kind not in MAP_KINDS
            and s.gated == gated
            and (s.corrected.value == "yes") == corrected
            for s in study.series
        )

    ungated_elsewhere = stored_ungated_too(series, study)
    wanted = []
    if not ungated_elsewhere:
        wanted += [] if there(gated=False, corrected=False) else ["plain"]
        wanted += ["corrected"] if with_map and not there(gated=False, corrected=True) else []
    if series.gated and not (there(gated=True, corrected=False) or there(gated=True, corrected=True)):
        wanted.append("gated")
    return tuple(wanted)


def same_scan(one: Series, other: Series) -> bool:
    """Whether two series of a study are of the same state and position."""
    same_position = (other.position.value or "supine") == (one.position.value or "supine")
    return other is not one and other.state.value == one.state.value and same_position


def stored_ungated_too(series: Series, study: Study) -> bool:
    """Whether gated projections stand beside ungated ones: a camera that stores both stores the same photons twice."""
    return series.gated and any(
        same_scan(series, s) and isinstance(s.image, Projections) and not s.gated for s in study.series
    )


def choose_map(series: Series, study: Study) -> tuple[Series | None, tuple[Flag, ...]]:
    """The attenuation map or CT that belongs to an acquisition, and why there is none.

    It must have been taken in the same position. Among several, one in the same frame of reference goes first, then
    one of the same state, then an attenuation map before a CT.
    """
    maps = [s for s in study.series if s.kind in MAP_KINDS]
    if not maps:
        message = "The study holds no CT and no attenuation map: the image was not corrected for attenuation."
        return None, (Flag("no_attenuation_map", message, "info"),)
    usable = [s for s in maps if s.kind == "CT" or (isinstance(s.image, Volume) and s.image.unit == "1/cm")]
    position = series.position.value or "supine"
    fitting = [s for s in usable if (s.position.value or position) == position]
    if not fitting:
        why = "was taken in another position" if usable else "does not state its unit"
        message = f"The attenuation map {why}: the image was not corrected for attenuation."
        return None, (Flag("attenuation_map_not_used", message, "warning"),)

    def fits(other: Series) -> tuple[bool, bool, bool]:
        place = series.frame_of_reference_sha256
        return (
            bool(place) and other.frame_of_reference_sha256 == place,
            other.state.value == series.state.value,
            other.kind != "CT",
        )

    return max(fitting, key=fits), ()


def image_of(
    series: Series,
    projections: Projections,
    what: str,
    map_series: Series | None,
    plain: measure.State | None,
    settings: reconstruct.ReconstructionSettings,
    *,
    seed: int,
    tell: Progress,
) -> MadeImage:
    """One image of an acquisition as a series of its own, without its final name, and its halves."""
    tell(f"{series.name}: reconstructing the {what} image", 0.0)

    def told(step: str, fraction: float) -> None:
        tell(f"{series.name}: reconstructing the {what} image ({step})", fraction)

    flags: tuple[Flag, ...] = ()
    halves = None
    ungated = reconstruct.without_gates(projections)
    rng = np.random.default_rng(seed)
    split = None if what == "gated" else reconstruct.split_counts(ungated, rng=rng)
    if what == "gated":
        image = reconstruct.reconstruct(projections, settings=settings, progress=told)
    elif what == "plain":
        image = reconstruct.reconstruct(ungated, settings=settings, progress=told)
        if split is not None:
            one, other = (reconstruct.reconstruct(half, settings=settings) for half in split)
            halves = one, other
    else:
        assert map_series is not None
        image, halves, flags = corrected_image(ungated, split, map_series, plain, settings, told)
    by = f"attenuation corrected with {map_series.name}" if what == "corrected" and map_series else "not corrected here"
    made = Series(
        name=series.name,
        kind="RECON GATED TOMO" if what == "gated" else "RECON TOMO",
        image=image,
        state=series.state,
        corrected=Stated("yes" if what == "corrected" else "no", "made", by),
        position=series.position,
        tracer=series.tracer,
        camera=series.camera,
        sex=series.sex,
        age_y=series.age_y,
        series_uid_sha256=series.series_uid_sha256,
        frame_of_reference_sha256=series.frame_of_reference_sha256,
        sources=(*series.sources, *(map_series.sources if what == "corrected" and map_series else ())),
        flags=flags,
        acquisition={
            **series.acquisition,
            MADE_FROM: series.name,
            "processing": processing_of(image, projections if what == "gated" else ungated),
        },
    )
    return MadeImage(made, halves)


def processing_of(image: Volume, projections: Projections) -> str:
    """How an image was made of projections, in words that are the same for every patient: what normal limits ask.

    How far the detector went round this patient, and how his map came about, are left out.
    """
    steps = image.made_by[len(projections.made_by) :]
    return "; ".join(step for step in steps if not step.startswith(reconstruct.OF_ONE_PATIENT))


def corrected_image(
    ungated: Projections,
    split: tuple[Projections, Projections] | None,
    map_series: Series,
    plain: measure.State | None,
    settings: reconstruct.ReconstructionSettings,
    tell: Progress,
) -> tuple[Volume, tuple[Volume, Volume] | None, tuple[Flag, ...]]:
    """The ungated image corrected for attenuation (and scatter, if an energy window tells of it), its halves and its
    doubts."""
    mu, flags = _attenuation_map(ungated, map_series)
    if plain is not None:
        alignment = correct.find_alignment(mu, plain.still)
        flags.append(alignment.flag())
        if alignment.to_be_applied:
            mu = correct.moved(mu, alignment)
    else:
        message = (
            "Whether the attenuation map lies where the heart was could not be checked: there is no uncorrected image "
            "in the coordinates of the projections in which a heart was found."
        )
        flags.append(Flag("mu_map_alignment_unchecked", message, "warning"))
    scatter = correct.estimate_scatter(ungated, photopeak=reconstruct.photopeak(ungated))
    if scatter is None:
        mu = correct.broad_beam(mu)
        message = (
            "No energy window tells how many counts were scattered; attenuation was corrected with the lower values "
            "that hold where scatter is counted along."
        )
        flags.append(Flag("scatter_not_measured", message, "info"))
    else:
        message = f"Scatter was estimated from the energy windows ({scatter.method})."
        evidence = {"scatter_percent": round(100 * scatter.share_of_photopeak)}
        flags.append(Flag("scatter_corrected", message, "info", evidence))
    if settings.method == "fbp":
        settings = replace(settings, method="osem")
    counts = None if scatter is None else scatter.counts
    image = reconstruct.reconstruct(ungated, settings=settings, attenuation=mu, scatter=counts, progress=tell)
    halves = None
    if split is not None:
        half_scatter = None if counts is None else 0.5 * counts
        one, other = (
            reconstruct.reconstruct(half, settings=settings, attenuation=mu, scatter=half_scatter) for half in split
        )
        halves = one, other
    return image, halves, tuple(flags)


def _attenuation_map(projections: Projections, map_series: Series) -> tuple[Volume, list[Flag]]:
    """The map in 1/cm at the photopeak on the grid of the image to be, and what is doubtful about it."""
    given = map_series.image
    assert isinstance(given, Volume)
    flags: list[Flag] = []
    if map_series.kind == "CT":
        given, kvp_flags = mu_of_ct(map_series, given, energy_keV=reconstruct.photopeak_keV(projections))
        flags += kvp_flags
    mu, coverage = correct.mu_on_grid(given, reconstruct.image_grid(projections))
    return mu, [*flags, *coverage]


def mu_of_ct(series: Series, ct: Volume, *, energy_keV: float) -> tuple[Volume, tuple[Flag, ...]]:
    """A CT (in HU) as attenuation in 1/cm, and whether its voltage had to be assumed."""
    kvp = series.acquisition.get("kvp")
    flags: tuple[Flag, ...] = ()
    if not isinstance(kvp, (int, float)):
        kvp = _USUAL_KVP
        message = f"The CT does not state its tube voltage; bone was converted as at {kvp:g} kVp."
        flags = (Flag("kvp_assumed", message, "info"),)
    return correct.ct_to_mu(ct, kvp=float(kvp), energy_keV=energy_keV), flags


def free_name(series: Series, names: set[str]) -> str:
    """A name that says what sets the image apart from its siblings, and is taken from now on."""
    position = series.position.value
    facts = (
        series.state.value or "image",
        "gated" if series.gated else None,
        position if position != "supine" else None,
        {"yes": "ac", "no": "nc"}.get(series.corrected.value or ""),
    )
    stem = "-".join(fact for fact in facts if fact)
    name, n = stem, 1
    while name in names:
        n += 1
        name = f"{stem}-{n}"
    names.add(name)
    return name
