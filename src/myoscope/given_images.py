"""Images that a study brings along: whether its projections and its CT say something against them.

A clinic exports reconstructed images together with the projections they were made of and the CT that corrected them.
Those images are analysed as they are; but the projections still tell whether the patient moved or the heart was cut
off, and the CT whether it lay where the heart was. Both are asked only where the images visibly show the heart in the
coordinates of projections or map.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from myoscope import correct, measure, reconstruct
from myoscope.core import Flag, InvalidValue, MyoscopeError, Projections, Series, Surfaces, Volume
from myoscope.core.geometry import FloatArray
from myoscope.made_images import mu_of_ct, same_scan
from myoscope.physics.camera_geometry import geometry_named

# Of an image about the heart with the quick image of the projections: how alike, and how far apart they seem.
_LEAST_CORRELATION, _FARTHEST_MM, _STEP_MM = 0.7, 6.0, 6.0
_BESIDE_MM = np.array([-20.0, -10.0, 0.0, 10.0, 20.0])  # from the middle of the wall
_THALLIUM_KEV, _USUAL_KEV = 72.0, 140.5


def given_image(series: Series, states: Sequence[measure.State]) -> measure.State | None:
    """The image of an acquisition that the study brings along: ungated and uncorrected rather than not."""
    fitting = [one for one in states if same_scan(series, one.series)]
    return min(fitting, key=lambda one: (one.series.gated, one.series.corrected.value == "yes"), default=None)


def why_not_compared(series: Series, projections: Projections, given: measure.State) -> Flag | None:
    """None where an image shows the heart where the projections see it, else why they say nothing of its heart.

    Told from a quick image of theirs, or, for cameras whose views make none, from the frame of reference that both
    state.
    """
    name = given.series.name
    if geometry_named(projections.collimator) is not None:
        place = series.frame_of_reference_sha256
        if place and place == given.series.frame_of_reference_sha256:
            return None
        return _not_compared(f"the files do not say that {name} and these projections have the same coordinates")
    try:
        quick = reconstruct.quick_image(projections, reconstruct.photopeak(projections))
    except InvalidValue as error:
        return _not_compared(f"the projections could not be compared with {name} ({error})")
    if _alike_about(given.still, quick, given.image):
        return None
    return _not_compared(
        f"{name} does not show the heart where these projections do (other coordinates, or another scan)"
    )


def _not_compared(why: str) -> Flag:
    return Flag("projections_not_compared", f"Movement and truncation were not looked for: {why}.", "info")


def _alike_about(surfaces: Surfaces, one: Volume, other: Volume) -> bool:
    """Whether two images show the same about a wall, and not beside it."""
    outward = surfaces.epi_mm - surfaces.endo_mm
    outward = outward / np.maximum(np.linalg.norm(outward, axis=-1, keepdims=True), 1e-6)
    points = surfaces.mid_mm[::4, ::6, None] + _BESIDE_MM[:, None] * outward[::4, ::6, None]
    shown = _read(one, points)

    def alike(step_mm: FloatArray) -> float:
        moved = _read(other, points + step_mm)
        both = np.isfinite(shown) & np.isfinite(moved)
        if both.mean() < 0.9 or shown[both].std() == 0 or moved[both].std() == 0:
            return 0.0
        return float(np.corrcoef(shown[both], moved[both])[0, 1])

    here = alike(np.zeros(3))
    if here < _LEAST_CORRELATION:
        return False
    off_mm = []
    for axis in np.eye(3) * _STEP_MM:
        before, after = alike(-axis), alike(axis)
        bend = 2 * here - before - after
        # The top of the parabola through the three.
        off_mm.append(0.5 * (after - before) / bend * _STEP_MM if bend > 0 else np.inf)
    return bool(np.linalg.norm(off_mm) <= _FARTHEST_MM)


def _read(image: Volume, points_mm: FloatArray) -> FloatArray:
    """An image at points in mm, NaN outside of it."""
    from scipy.ndimage import map_coordinates

    index = np.moveaxis(image.grid.to_index(points_mm), -1, 0)
    known = np.nan_to_num(np.asarray(image.array, np.float64))
    read: FloatArray = map_coordinates(known, index, order=1, mode="constant", cval=np.nan)
    return read


def alignment_of_given(corrected: measure.State, wall: Surfaces, map_series: Series | None) -> tuple[Flag, ...]:
    """Whether the map beside a stored corrected image lies where the heart was, ``wall`` (ungated).

    Nothing is said where image and map do not state the same frame of reference: what corrected the image may have been
    moved before, or be another map.
    """
    place = corrected.series.frame_of_reference_sha256
    if map_series is None or not place or map_series.frame_of_reference_sha256 != place:
        return ()
    given = map_series.image
    assert isinstance(given, Volume)
    energy_keV = _THALLIUM_KEV if "tl-201" in (corrected.series.tracer.value or "").lower() else _USUAL_KEV
    try:
        if map_series.kind == "CT":
            given, _ = mu_of_ct(map_series, given, energy_keV=energy_keV)
        mu, _ = correct.mu_on_grid(given, corrected.image.grid)
        found = correct.find_alignment(mu, wall)
    except MyoscopeError as error:
        message = f"Whether {map_series.name} lies where the heart was could not be checked: {error}"
        return (Flag("mu_map_alignment_unchecked", message, "info"),)
    told = found.flag()
    if found.to_be_applied:
        message = (
            f"The heart of {map_series.name} lies {found.distance_mm:.0f} mm beside that of the emission image. If "
            "this image was corrected with it as it lies there, part of the wall was corrected as lung: look at both "
            "before believing the corrected image."
        )
        return (Flag("mu_map_displaced", message, "warning", told.evidence),)
    if found.found:
        return (told,)
    message = (
        f"The heart of {map_series.name} was not found near that of the emission image. Look at both before believing "
        "the corrected image."
    )
    return (Flag("mu_map_alignment_doubtful", message, "warning", told.evidence),)
