"""What there is to know about a set of projections before it is reconstructed: what is missing, dead or doubtful."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from myoscope.core import Flag, Projections
from myoscope.core.geometry import FloatArray
from myoscope.physics.camera_geometry import ColumnGeometry, geometry_named
from myoscope.physics.collimator import COLLIMATORS, Collimator

# A collimator stands between the ribs of a child and the reach of a gantry from the axis. Some workstations write
# the distance of something else (the gantry, the crystal) into the same field.
_PLAUSIBLE_RADIUS_MM = (80.0, 300.0)
_USUAL_KEV, _TRACERS_KEV = 140.5, (50.0, 400.0)
_ENOUGH_VIEWS_PER_HALF_TURN = 30
_HALF_TURN_DEG = 180.0
_TRUNCATED_SHARE = 0.2  # of the counts inside, at the detector's edge
_EDGE_COLUMNS = 2
_DEAD_EXPECTS = 50  # counts that a pixel's neighbours hold before its silence means something
_HOT_FACTOR = 5.0
_LOST_SHARE = 0.02  # of the usual counts of a view


@dataclass(frozen=True, eq=False, slots=True)
class Survey:
    """Which pixels and views can be used, whether the distance is known, and the flags that say so.

    ``dead`` (v, u) is True where a detector pixel is silent or hot; ``lost`` (view,) where a view holds no counts.
    ``radius_mm`` (view,) is None where distances are unknown or cannot be true. ``collimator`` is the one that the
    projections name, or the usual one of its kind.
    """

    window: int
    dead: NDArray[np.bool_]
    lost: NDArray[np.bool_]
    radius_mm: FloatArray | None
    collimator: Collimator
    flags: tuple[Flag, ...]

    @property
    def good(self) -> NDArray[np.bool_]:
        """Pixels to believe, shape (view, v, u)."""
        good: NDArray[np.bool_] = ~self.lost[:, None, None] & ~self.dead
        return good


def survey(projections: Projections, *, window: int | None = None) -> Survey:
    """Look at projections before they are reconstructed. ``window`` is the photopeak; None = `photopeak`."""
    window = photopeak(projections) if window is None else window
    counts = np.asarray(projections.counts[window], np.float64).sum(axis=0)  # (view, v, u)
    flags: list[Flag] = []
    geometry = geometry_named(projections.collimator)
    # A column that swivels may look past the patient; a detector of another camera always sees some of the body.
    lost = np.zeros(len(counts), bool) if isinstance(geometry, ColumnGeometry) else _lost_views(counts, flags)
    dead = np.zeros(counts.shape[1:], bool)
    radius_mm = None
    if geometry is None:
        dead = _dead_pixels(counts[~lost], flags)
        _check_arc(projections.angle_deg[~lost], flags)
        _check_truncation(counts[~lost], flags)
        radius_mm = _plausible_radius_mm(projections.radius_mm, flags)
    collimator, named = _collimator(projections.collimator)
    if radius_mm is not None and not named:
        flags.append(
            Flag(
                "collimator_assumed",
                f"The collimator's dimensions are not stated; its resolution was taken to be {collimator.name}'s.",
                "info",
                {"stated": projections.collimator or "nothing"},
            )
        )
    return Survey(window, dead, lost, radius_mm, collimator, tuple(flags))


def photopeak(projections: Projections) -> int:
    """The energy window to reconstruct: the one about 140.5 keV, else the one with the most counts."""
    about = [n for n, w in enumerate(projections.windows) if w.lower_keV < _USUAL_KEV < w.upper_keV]
    if about:
        return min(about, key=lambda n: projections.windows[n].upper_keV - projections.windows[n].lower_keV)
    return int(np.argmax(projections.counts.sum(axis=(1, 2, 3, 4))))


def photopeak_keV(projections: Projections, window: int | None = None) -> float:
    """The energy of the photons in the photopeak window, its middle; 140.5 keV where its limits are not known."""
    chosen = projections.windows[photopeak(projections) if window is None else window]
    middle = (chosen.lower_keV + chosen.upper_keV) / 2
    return middle if _TRACERS_KEV[0] < middle < _TRACERS_KEV[1] else _USUAL_KEV


def _lost_views(counts: FloatArray, flags: list[Flag]) -> NDArray[np.bool_]:
    total = counts.sum(axis=(1, 2))
    lost: NDArray[np.bool_] = total <= _LOST_SHARE * np.median(total)
    if lost.any() and not lost.all():
        flags.append(
            Flag(
                "views_without_counts",
                f"{int(lost.sum())} of {lost.size} views hold no counts and were left out.",
                "warning",
                {"views": (np.flatnonzero(lost) + 1).tolist()},
            )
        )
    return lost if not lost.all() else np.zeros_like(lost)


def _dead_pixels(counts: FloatArray, flags: list[Flag]) -> NDArray[np.bool_]:
    """Silent or hot pixels of one turning detector, by their eight neighbours over all views."""
    total = counts.sum(axis=0)
    ring = np.ones((3, 3), bool)
    ring[1, 1] = False
    usual = ndimage.median_filter(total, footprint=ring, mode="nearest")
    most = ndimage.maximum_filter(total, footprint=ring, mode="nearest")
    silent = (total < 0.02 * usual) & (usual >= _DEAD_EXPECTS)
    # No collimator is so sharp that one pixel holds five times what its brightest neighbour does.
    hot = (total > _HOT_FACTOR * np.maximum(most, 1)) & (total > _DEAD_EXPECTS)
    dead: NDArray[np.bool_] = silent | hot
    if dead.any():
        flags.append(
            Flag(
                "dead_pixels",
                f"{int(dead.sum())} detector pixels are silent or hot and were not believed.",
                "warning",
                {"silent": int(silent.sum()), "hot": int(hot.sum())},
            )
        )
    return dead


def _check_arc(angle_deg: FloatArray, flags: list[Flag]) -> None:
    folded = np.sort(np.mod(angle_deg, _HALF_TURN_DEG))
    n_distinct = int(np.count_nonzero(np.diff(folded, append=folded[0] + _HALF_TURN_DEG) > 0.1))
    gap = float(np.diff(folded, append=folded[0] + _HALF_TURN_DEG).max()) if folded.size > 1 else _HALF_TURN_DEG
    step = _HALF_TURN_DEG / max(n_distinct, 1)
    if gap > 3 * step + 3:
        flags.append(
            Flag(
                "arc_incomplete",
                f"No view covers {gap:.0f} of the 180 degrees that an image needs; it is distorted.",
                "warning",
                {"largest_gap_deg": round(gap, 1)},
            )
        )
    if n_distinct < _ENOUGH_VIEWS_PER_HALF_TURN:
        flags.append(
            Flag(
                "few_views",
                f"{n_distinct} directions are few (at least {_ENOUGH_VIEWS_PER_HALF_TURN} are usual): expect streaks.",
                "warning",
                {"n_directions": n_distinct},
            )
        )


def _check_truncation(counts: FloatArray, flags: list[Flag]) -> None:
    rows = slice(counts.shape[1] // 4, counts.shape[1] - counts.shape[1] // 4)
    profile = counts[:, rows].mean(axis=1)  # (view, u)
    inside = np.median(profile, axis=1)
    edge = np.maximum(profile[:, :_EDGE_COLUMNS].mean(axis=1), profile[:, -_EDGE_COLUMNS:].mean(axis=1))
    cut = edge > _TRUNCATED_SHARE * np.maximum(inside, 1e-9)
    if cut.mean() > 0.1:
        flags.append(
            Flag(
                "truncated",
                f"The body reaches beyond the detector in {int(cut.sum())} of {cut.size} views; counts near the border "
                "of the image are too high.",
                "info",
                {"n_views": int(cut.sum()), "edge_over_inside": round(float(np.max(edge / inside.clip(1e-9))), 2)},
            )
        )


def _plausible_radius_mm(radius_mm: FloatArray, flags: list[Flag]) -> FloatArray | None:
    low, high = _PLAUSIBLE_RADIUS_MM
    if not np.isfinite(radius_mm).all():
        flags.append(
            Flag(
                "radius_unknown",
                "The distance of the detector is not stated for every view; the loss of sharpness with distance was "
                "not modelled.",
                "info",
            )
        )
        return None
    if radius_mm.min() < low or radius_mm.max() > high:
        flags.append(
            Flag(
                "radius_not_believed",
                f"A detector {radius_mm.max():.0f} mm from the axis is not where cardiac detectors stand ({low:.0f} to "
                f"{high:.0f} mm); the loss of sharpness with distance was not modelled.",
                "warning",
                {"radius_min_mm": float(radius_mm.min()), "radius_max_mm": float(radius_mm.max())},
            )
        )
        return None
    return radius_mm


def _collimator(name: str | None) -> tuple[Collimator, bool]:
    """The collimator by its name, or a common one of its kind; and whether it is known by name."""
    said = (name or "").upper().replace("_", "-")
    if said in COLLIMATORS:
        return COLLIMATORS[said], True
    return (COLLIMATORS["SY-LEAP"] if "LEAP" in said or "LEGP" in said else COLLIMATORS["SY-LEHR"]), False
